// Cross entropies of a logit weighted by how wrong it is: C(x, t) Q(x, t)^gamma, with C the binary cross entropy
// and Q = 1 - p_t or a relative of it.
#pragma once

#include "products.hpp"

namespace fusedloss {

// a (C + epsilon Q) Q^gamma, where `form` chooses Q:
//   linear     1 - p_t = (1 - t) s(x) + t s(-x)           Lin et al. 2017, as torchvision reads soft targets
//   exp_bce    1 - e^-C                                   segmentation_models_pytorch
//   monai      s(-(2t - 1) x)                             MONAI
//   quality    |t - s(x)|                                 Li et al. 2020, Generalized Focal Loss
//   varifocal  s(x) where t = 0, and a = t, gamma = 0 elsewhere   Zhang et al. 2021, VarifocalNet
// The first three agree for t in {0, 1}. a = alpha t + (1 - alpha)(1 - t), or 1 where alpha < 0; varifocal takes
// a = alpha at t = 0. A positive threshold r divides Q by r in the power and drops the power where 1 - Q < r
// (Sergievskiy and Ponamarev 2019, Reduced Focal Loss). A nonzero epsilon is Poly-1 (Leng et al. 2022).
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
    T c = min(s.softplus, s.softplus_neg) + zero_times(linear, abs(x));
    T c1 = u * s.sigmoid - t * s.sigmoid_neg, c2 = s.sigmoid * s.sigmoid_neg;

    T q, q1, q2, rate, bend;  // rate = q1 / q and bend = q2 / q, 0 where q underflows
    T log_q = zero;           // set where q underflows long before the loss does
    if (p.form == focal::monai) {
        const T k = t - u;
        const auto m = logistic(k * x);
        q = m.sigmoid_neg;
        log_q = -m.softplus;
        rate = -k * m.sigmoid;
        bend = rate * k * (m.sigmoid_neg - m.sigmoid);
        q1 = q * rate;
        q2 = q * bend;
    } else {
        if (p.form == focal::exp_bce) {
            const T hit = exp(-c);
            q = -expm1(-c);
            q1 = hit * c1;
            q2 = hit * (c2 - c1 * c1);
        } else {
            const bool quality = p.form == focal::quality;
            q = quality ? abs(c1) : u * s.sigmoid + t * s.sigmoid_neg;
            q1 = (quality ? sign(c1) : u - t) * c2;
            q2 = q1 * (s.sigmoid_neg - s.sigmoid);
        }
        rate = select(q == zero, zero, q1 / q);
        bend = select(q == zero, zero, q2 / q);
    }
    if (p.epsilon != 0.0) {
        c = c + p.epsilon * q;
        c1 = c1 + p.epsilon * q1;
        c2 = c2 + p.epsilon * q2;
    }
    auto plain = one < zero;  // where the power is dropped
    T weight = p.alpha < 0.0 ? one : p.alpha * t + (1.0 - p.alpha) * u;
    if (p.form == focal::varifocal) {
        plain = t > zero;
        weight = select(plain, t, T(p.alpha));
    }
    if (p.gamma == 0.0) return input_terms<2>(zero_times(weight, c), weight * c1, weight * c2);

    if (p.threshold > 0.0) {
        plain = 1.0 - q < T(p.threshold);
        q = q / T(p.threshold);
    }
    const T power = p.gamma == 2.0 ? q * q : exp(p.gamma * (p.form == focal::monai ? log_q : log(q)));
    weight = weight * select(plain, one, power);
    rate = select(plain, zero, rate);
    bend = select(plain, zero, bend);

    // At an infinite logit a vanishing weight wins over c, and so does the rate.
    const T g = p.gamma, pull = g * select(abs(x) < T(__builtin_inf()), c, zero);
    return input_terms<2>(zero_times(weight, c), weight * (c1 + pull * rate),
                          weight * (c2 + 2.0 * g * rate * c1 + pull * (bend + (g - 1.0) * rate * rate)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const asymmetric& p, T x, T t) {
    const T zero(0.0), u = 1.0 - t;
    const auto s = logistic(x);
    const auto above = s.sigmoid > T(p.clip);
    const T shifted = max(zero, s.sigmoid - p.clip), rest = s.sigmoid_neg + p.clip;  // p_m and, above, 1 - p_m
    const T both = s.sigmoid * s.sigmoid_neg;
    const T miss = p.clip == 0.0 ? s.softplus : log1p(shifted / rest);  // -log(1 - p_m)
    const T miss_slope = p.clip == 0.0 ? s.sigmoid : select(above, both / rest, zero);

    const T ce = zero_times(t, s.softplus_neg) + zero_times(u, miss);
    const T q = t * s.sigmoid_neg + u * shifted, gamma = p.gamma_pos * t + p.gamma_neg * u;
    const T rate = select(q == zero, zero, both * (select(above, u, zero) - t) / q);
    const T pull = p.detach != 0.0 ? zero : gamma * rate * select(abs(x) < T(__builtin_inf()), ce, zero);
    const T weight = exp(zero_times(gamma, log(q)));
    return input_terms<2>(weight * ce, weight * (u * miss_slope - t * s.sigmoid_neg + pull));
}

FUSEDLOSS_END
