// Cross entropies of a logit weighted by how wrong it is: C(x, t) Q(x, t)^gamma, with C the binary cross
// entropy and Q = 1 - p_t or a relative of it.
#pragma once

#include "products.hpp"

namespace fusedloss {

// a (C + epsilon Q) Q^gamma, where `form` chooses Q:
//   linear     1 - p_t = (1 - t) s(x) + t s(-x)           Lin et al. 2017, as torchvision reads soft targets
//   exp_bce    1 - e^-C                                   segmentation_models_pytorch
//   monai      s(-(2t - 1) x)                             MONAI
//   quality    |t - s(x)|                                 Li et al. 2020, Generalized Focal Loss
//   varifocal  s(x) where t = 0, and a = t, gamma = 0 elsewhere   Zhang et al. 2021, VarifocalNet
// The first three agree for t in {0, 1}. a = alpha t + (1 - alpha)(1 - t), or 1 where alpha < 0; varifocal
// takes a = alpha at t = 0. A positive threshold r divides Q by r in the power and drops the power where 1 -
// Q < r (Sergievskiy and Ponamarev 2019, Reduced Focal Loss). A nonzero epsilon is Poly-1 (Leng et al. 2022).
struct focal {
    double alpha = 0.25, gamma = 2.0, epsilon = 0.0, form = linear, threshold = 0.0;
    static constexpr double linear = 0.0, exp_bce = 1.0, monai = 2.0, quality = 3.0, varifocal = 4.0;
    static constexpr const char* name = "focal";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "alpha gamma epsilon form threshold";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::extended};
};

// Ridnik et al. 2021: Q^(gamma_pos t + gamma_neg (1 - t)) (t softplus(-x) - (1 - t) log(1 - p_m)), with
// p_m = max(0, s(x) - clip) and Q = t s(-x) + (1 - t) p_m. `detach` leaves the weight out of the gradient.
struct asymmetric {
    double gamma_pos = 1.0, gamma_neg = 4.0, clip = 0.05, detach = 0.0;
    static constexpr const char* name = "asymmetric";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "gamma_pos gamma_neg clip detach";
    static constexpr elementwise_traits traits{2, 0b01, false, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const focal& p, T x, T t) {
    const T zero(0.0), one(1.0), u = 1.0 - t;
    const auto s = logistic(x);
    const T linear = select(x > zero, u, t);  // the weight of the side of C that grows with |x|
    const T ce = min(s.softplus, s.softplus_neg) + zero_times(linear, abs(x));
    T c = ce;
    T c1 = u * s.sigmoid - t * s.sigmoid_neg, c2 = s.sigmoid * s.sigmoid_neg;

    T q, q1, q2;          // Q and its derivatives
    T log_q, rate, bend;  // for monai: log q, q1 / q and q2 / q, which do not underflow with q
    const bool squared = p.gamma == 2.0, monai = p.form == focal::monai;
    const T tilt = s.sigmoid_neg - s.sigmoid;
    if (monai) {
        const T k = t - u;
        const auto m = logistic(k * x);
        q = m.sigmoid_neg;
        log_q = -m.softplus;
        rate = -k * m.sigmoid;
        bend = rate * k * (m.sigmoid_neg - m.sigmoid);
        q1 = q * rate;
        q2 = q * bend;
    } else if (p.form == focal::exp_bce) {
        const T hit = exp(-c);
        q = -expm1(-c);
        q1 = hit * c1;
        q2 = hit * (c2 - c1 * c1);
    } else {
        const bool quality = p.form == focal::quality;
        const T side = !quality ? u - t : squared ? one : sign(c1);  // the square of |t - s(x)| needs no sign
        q = quality ? side * c1 : u * s.sigmoid + t * s.sigmoid_neg;
        q1 = side * c2;
        q2 = q1 * tilt;
    }
    if (p.epsilon != 0.0) {
        c = c + p.epsilon * q;
        c1 = c1 + p.epsilon * q1;
        c2 = c2 + p.epsilon * q2;
    }

    // q^g = r0^2 has the derivatives g r0 r1 and g (r0 r2 + (g - 1) r1^2), where r0 = q^(g/2), r1 = r0 q1 / q
    // and r2 = r0 q2 / q. In two factors, because q^g may underflow where q^g C does not.
    const T g = p.gamma;
    T r0 = one, r1 = zero, r2 = zero;
    if (p.gamma != 0.0) {
        if (p.threshold > 0.0) {
            const T scale = 1.0 / T(p.threshold);
            q = scale * q;
            q1 = scale * q1;
            q2 = scale * q2;
        }
        if (squared) {
            r0 = q;
            r1 = q1;
            r2 = q2;
        } else {
            r0 = exp(0.5 * g * (monai ? log_q : log(q)));
            r1 = r0 * (monai ? rate : select(q == zero, zero, q1 / q));
            r2 = r0 * (monai ? bend : select(q == zero, zero, q2 / q));
        }
    }
    T weight = p.alpha < 0.0 ? one : p.alpha * t + (1.0 - p.alpha) * u;
    if (p.form == focal::varifocal || p.threshold > 0.0) {
        auto plain = t > zero;  // where the power is dropped
        if (p.threshold > 0.0) {
            // C > -log threshold; near 0 in terms of C - log 2, which keeps the sign of the smallest x.
            const T level = -log(T(p.threshold)), shifted = -log(T(2.0 * p.threshold));
            const auto near = abs(x)<one, above = ce> level;
            plain = above ^ (near & (above ^ ((0.5 - t) * x + log_cosh(0.5 * x) > shifted)));
        } else {
            weight = select(plain, t, T(p.alpha));
        }
        r0 = select(plain, one, r0);
        r1 = select(plain, zero, r1);
        r2 = select(plain, zero, r2);
    }
    // A vanishing factor wins over an infinite c.
    const T top = min(T(__DBL_MAX__), c), bent = g * (2.0 * r1 * c1 + r2 * top) + r0 * c2;
    return input_terms<2>(zero_times(weight, r0 * zero_times(r0, c)),
                          weight * (r0 * (r0 * c1 + g * (r1 * top))),
                          weight * (r0 * bent + g * (g - 1.0) * (r1 * (r1 * top))));
}

// Of labels 0 and 1 and gamma = 2, with all forms but varifocal: with n = x or -x, q = s(n), r = s(-n) and c
// = softplus(n) the loss is a q^2 c, its slope +-a q^2 (q + 2 r c), its curvature a r q^2 (5 q + (4 r - 2 q)
// c).
struct focal_of_classes {
    focal loss;
    static constexpr elementwise_traits traits = focal::traits;
};
template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const focal_of_classes& of, T x, T t) {
    const T u = 1.0 - t, side = u - t;
    const auto s = logistic(side * x);
    // A vanishing factor wins over an infinite c.
    const T q = s.sigmoid, r = s.sigmoid_neg, c = min(T(0x1p1000), s.softplus), rc = r * c;
    const double alpha = of.loss.alpha;
    const T weight = alpha < 0.0 ? q * q : (alpha * t + (1.0 - alpha) * u) * (q * q);
    return input_terms<2>(zero_times(weight, s.softplus), side * (weight * fma(T(2.0), rc, q)),
                          weight * fma(T(4.0) * r, rc, q * fma(T(-2.0), rc, 5.0 * r)));
}

struct focal_of_labels {
    focal loss;
    static constexpr elementwise_traits traits = focal::traits;
};
template <class T>
FUSEDLOSS_INLINE auto between_classes(T t) {
    return (t != T(0.0)) & (t != T(1.0));
}
template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const focal_of_labels& of, T x, T t) {
    const auto between = between_classes(t);
    const auto a = eval(of.loss, x, t), b = eval(focal_of_classes{of.loss}, x, t);
    return input_terms<2>(select(between, a.value, b.value), select(between, a.grad[0], b.grad[0]),
                          select(between, a.hess, b.hess));
}

template <>
struct shortcut<focal, pack<wide_float>> {
    static constexpr bool exists = true;
    using quick = focal_of_classes;
    using careful = focal_of_labels;
    static FUSEDLOSS_INLINE bool applies(const focal& p) {
        return p.gamma == 2.0 && p.form != focal::varifocal && p.epsilon == 0.0 && p.threshold <= 0.0;
    }
    static FUSEDLOSS_INLINE bool applies(pack<wide_float>, pack<wide_float> t) {
        return !any(between_classes(t));
    }
};

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const asymmetric& p, T x, T t) {
    const T zero(0.0), one(1.0), u = 1.0 - t;
    const auto s = logistic(x);
    const auto above = s.sigmoid > T(p.clip);
    const T shifted = max(zero, s.sigmoid - p.clip),
            rest = s.sigmoid_neg + p.clip;  // p_m and, above, 1 - p_m
    const T q = t * s.sigmoid_neg + u * shifted, gamma = p.gamma_pos * t + p.gamma_neg * u;
    // Far right the slope is a multiple of s(-x), which is subnormal there: it is multiplied in at the end.
    const auto far = (x > T(p.clip == 0.0 ? __builtin_inf() : 700.0)) & (q > T(1e-100));
    const T fall = select(far, one, s.sigmoid_neg), both = s.sigmoid * fall, inverse = 1.0 / rest;
    const T miss = p.clip == 0.0 ? s.softplus : log1p(shifted * inverse);  // -log(1 - p_m)
    const T miss_slope = p.clip == 0.0 ? s.sigmoid : select(above, both * inverse, zero);

    const T ce = zero_times(t, s.softplus_neg) + zero_times(u, miss);
    const T rate = select(q == zero, zero, both * (select(above, u, zero) - t) / q);
    const T pull = p.detach != 0.0 ? zero : gamma * (rate * min(T(__DBL_MAX__), ce));
    // The square root of the weight, which may underflow before the loss. log(0) would send exp where it is
    // slow.
    const auto faded = (q == zero) & (gamma != zero);
    const T root = select(faded, zero, exp(0.5 * gamma * log(select(q == zero, one, q))));
    T slope = root * (root * (u * miss_slope - t * fall + pull));
    if (any(far)) slope = select(far, times_exp(slope, -x), slope);
    return input_terms<2>(root * zero_times(root, ce), slope);
}

FUSEDLOSS_END
