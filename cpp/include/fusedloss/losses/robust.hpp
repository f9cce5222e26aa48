// Losses of the residual e = input - target that grow slower than its square: smooth relatives of the
// absolute error, the M-estimators of robust statistics, and the landmark losses of face alignment.
#pragma once

#include "products.hpp"

namespace fusedloss {

// delta^2 (sqrt(1 + (e / delta)^2) - 1).
struct pseudo_huber {
    double delta = 1.0;
    static constexpr const char* name = "pseudo_huber";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "delta";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// Charbonnier et al. (1994): (e^2 + eps^2)^alpha.
struct charbonnier {
    double eps = 1e-3, alpha = 0.5;
    static constexpr const char* name = "charbonnier";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "eps alpha";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// c^2 / 2 log(1 + z), z = (e / c)^2. Gradient e / (1 + z).
struct cauchy {
    double c = 1.0;
    static constexpr const char* name = "cauchy";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "c";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// c^2 / 2 atan(z), z = (e / c)^2. Gradient e / (1 + z^2).
struct arctan {
    double c = 1.0;
    static constexpr const char* name = "arctan";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "c";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// Fair (1974): c^2 (|e| / c - log(1 + |e| / c)). Gradient c e / (c + |e|).
struct fair {
    double c = 1.0;
    static constexpr const char* name = "fair";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "c";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// Dennis and Welsch (1978): c^2 / 2 (1 - exp(-z)), z = (e / c)^2. Gradient e exp(-z).
struct welsch {
    double c = 1.0;
    static constexpr const char* name = "welsch";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "c";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// Geman and McClure (1985): e^2 / 2 / (1 + z), z = (e / c)^2. Gradient e / (1 + z)^2.
struct geman_mcclure {
    double c = 1.0;
    static constexpr const char* name = "geman_mcclure";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "c";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// Beaton and Tukey (1974): c^2 / 6 (1 - (1 - u)^3), u = min((e / c)^2, 1). Gradient e (1 - u)^2.
struct tukey_biweight {
    double c = 4.685;
    static constexpr const char* name = "tukey_biweight";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "c";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// Barron (2019): A / alpha ((1 + z / A)^(alpha / 2) - 1) with z = (e / scale)^2, A = |alpha - 2|.
struct general_robust {
    static constexpr const char* name = "general_robust";
    static constexpr const char* inputs = "input target alpha scale";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{4, 0b1111, true, arithmetic::extended};
};

// Feng et al. (2018): width log(1 + |e| / curvature) where |e| < width, else |e| - C, continuous.
struct wing {
    double width = 5.0, curvature = 0.5;
    static constexpr const char* name = "wing";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "width curvature";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::extended};
};

// Wang, Bo and Fuxin (2019): omega log(1 + (|e| / epsilon)^(alpha - t)) where |e| < theta, linear beyond.
struct adaptive_wing {
    double omega = 14.0, theta = 0.5, epsilon = 1.0, alpha = 2.1;
    static constexpr const char* name = "adaptive_wing";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "omega theta epsilon alpha";
    static constexpr elementwise_traits traits{2, 0b01, false, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// |e| against a scale c > 0 without squaring anything that may overflow: with r = min / max of the two,
// functions of q = |e| / c become functions of r in [0, 1], finite even where q is infinite.
template <class T>
struct against_scale {
    typename T::mask_type outside;  // |e| > c
    T lower, upper;                 // min(|e|, c) and max(|e|, c) in the unit of the residual
    T smaller;                      // min(|e|, c)
    T r;                            // q or 1 / q
    T w;                            // min(1, 1 / q)

    FUSEDLOSS_INLINE against_scale(const residual<T>& d, T c) {
        const T a = abs(d.e), limit = d.unit * c;
        outside = a > limit;
        lower = min(limit, a);
        upper = max(limit, a);
        smaller = d.back * lower;
        r = lower / upper;
        w = select(outside, r, T(1.0));
    }
    // 1 / (1 + q^2).
    FUSEDLOSS_INLINE T weight() const { return w * w / (1.0 + r * r); }
    // q^2 / (1 + q^2).
    FUSEDLOSS_INLINE T saturation() const { return select(outside, T(1.0), r * r) / (1.0 + r * r); }
    // log(w), also where w underflows.
    FUSEDLOSS_INLINE T log_w() const { return select(outside, log(lower) - log(upper), T(0.0)); }
};

// A loss that starts as e^2 / 2: that where (e / c)^2 is negligible, and perhaps subnormal, hence inaccurate.
template <class T>
FUSEDLOSS_INLINE T quadratic_start(T a, T c, T value) {
    return select(a < 0x1p-54 * c, 0.5 * a * a, value);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const pseudo_huber& p, T x, T t) {
    // With k = sqrt(1 + r^2) the gradient is min(|e|, delta) / k, and w / k = 1 / sqrt(1 + (e / delta)^2).
    const residual<T> d(x, t);
    const against_scale<T> s(d, p.delta);
    const T k = sqrt(1.0 + s.r * s.r), v = s.w / k, g = s.smaller / k;
    return residual_terms(abs(d.e) * (d.back * g / (1.0 + v)), copysign(g, d.e), v * v * v);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const charbonnier& p, T x, T t) {
    // In terms of h = sqrt(e^2 + eps^2): h^(2 alpha).
    const residual<T> d(x, t);
    const against_scale<T> s(d, p.eps);
    const T k = sqrt(1.0 + s.r * s.r), h = s.upper * k;                   // in the unit of d
    const T sine = select(s.outside, T(1.0), s.r) / k, cosine = s.w / k;  // |e| / h, eps / h
    if (p.alpha == 0.5)
        return residual_terms(d.back * h, copysign(sine, d.e), d.unit * (cosine * cosine / h));
    const T n = T(2.0) * p.alpha, back = d.back_power(n), slope = back * d.unit * pow(h, n - 1.0),
            bend = back * d.unit * d.unit * pow(h, n - 2.0);
    return residual_terms(back * pow(h, n), copysign(n * sine * slope, d.e),
                          n * bend * (cosine * cosine + (n - 1.0) * sine * sine));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const cauchy& p, T x, T t) {
    const residual<T> d(x, t);
    const T c = p.c;
    const against_scale<T> s(d, c);
    const T weight = s.weight(), r2 = s.r * s.r;
    return residual_terms(quadratic_start(abs(d.e), c, 0.5 * c * c * (log1p(r2) - 2.0 * s.log_w())),
                          copysign(s.smaller * s.w / (1.0 + r2), d.e), weight * (weight - s.saturation()));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const arctan& p, T x, T t) {
    const residual<T> d(x, t);
    const T c = p.c, q = abs(d.e) / (d.unit * c);
    const against_scale<T> s(d, c);
    const T r4 = s.r * s.r * s.r * s.r, w4 = s.w * s.w * s.w * s.w, n = 1.0 + r4;
    return residual_terms(quadratic_start(abs(d.e), c, 0.5 * c * c * atan(q * q)),
                          copysign(s.smaller * s.w * s.w * s.w / n, d.e),
                          w4 * (w4 - 3.0 * select(s.outside, T(1.0), r4)) / n / n);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const fair& p, T x, T t) {
    const residual<T> d(x, t);
    const T a = abs(d.e), c = p.c, scale = d.unit * c, q = a / scale;
    const against_scale<T> s(d, c);
    // q - log1p(q) with y = q / (2 + q) and log1p(q) = 2 artanh(y): q y - 2 y^3 (1 / 3 + y^2 / 5 + ...).
    const T y = q / (2.0 + q), y2 = y * y, third = T(1.0) / 3.0;
    const T series = 2.0 * y2 * (third + y2 * (0.2 + y2 * (1.0 / 7.0)));
    // The logarithm of an infinite q must not be subtracted from it.
    const auto small = q < T(0x1p-10);
    const T value =
        c * d.back * select(small, y, T(1.0)) * (a - scale * select(small, series, log1p(min(T(1e300), q))));
    const T weight = s.w / (1.0 + s.r);
    return residual_terms(value, copysign(s.smaller / (1.0 + s.r), d.e), weight * weight);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const welsch& p, T x, T t) {
    // exp(-z) is 0 from |e| = 28 c on; an infinite e must not be multiplied by it. As root^2 it does not
    // lose digits below the normal range before it is multiplied.
    const T e = x - t, c = p.c, a = min(40.0 * c, abs(e)), q = a / c, z = q * q, root = exp(-0.5 * z);
    return residual_terms(quadratic_start(a, c, -0.5 * c * c * expm1(-z)), copysign(a * root * root, e),
                          (1.0 - 2.0 * z) * root * root);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const geman_mcclure& p, T x, T t) {
    const residual<T> d(x, t);
    const against_scale<T> s(d, p.c);
    const T weight = s.weight(), n = 1.0 + s.r * s.r;
    return residual_terms(0.5 * s.smaller * s.smaller / n, copysign(s.smaller * s.w * weight / n, d.e),
                          weight * weight * (weight - 3.0 * s.saturation()));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const tukey_biweight& p, T x, T t) {
    const T e = x - t, c = p.c, a = min(c, abs(e)), q = a / c, u = q * q, rest = (c - a) / c * (1.0 + q);
    return residual_terms(a * a * (3.0 - u * (3.0 - u)) / 6.0, copysign(a * rest * rest, e),
                          rest * (1.0 - 5.0 * u));
}

// (exp(-u) - 1 + u) / u^2 = 1/2 - u/6 + u^2/24 - ..., for |u| < 2^-5.
template <class T>
FUSEDLOSS_INLINE T second_order_series(T u) {
    T s = 1.0;
    for (int n = 12; n > 2; --n) s = 1.0 - u * (1.0 / n) * s;
    return 0.5 * s;
}

// d/d alpha of A / alpha expm1(y) with y = L alpha / 2 and L = log(1 + u), u = z / A; power = exp(y) and
// saturation = u / (1 + u). With psi(v) = (exp(-v) - 1 + v) / v^2 it is power L^2 / 2 |psi(y) - psi(L)|.
template <class T>
FUSEDLOSS_INLINE T shape_slope(T A, T y, T L, T power, T saturation) {
    const auto y_small = abs(y) < T(0x1p-5);
    const auto both_small = y_small & (L < T(0x1p-5));
    // Both series at once, with their common factor |y - L| = L A / 2 taken out of the difference.
    T sum = 1.0, power_L = 1.0, series = T(1.0) / 6.0;
    double factorial = 6.0;
    for (int n = 2; n <= 11; ++n) {
        power_L = -power_L * L;
        sum = power_L - sum * y;  // +- of y^i L^(n - 1 - i) over all i
        factorial *= n + 2;
        series = series + sum * (1.0 / factorial);
    }
    const T psi_L = select(L < T(0x1p-5), second_order_series(L), (L - saturation) / L / L);
    const T psi_y = select(y_small, second_order_series(y), (1.0 / power + (y - 1.0)) / y / y);
    // Below 0 the exponential of -y would overflow; that of y vanishes.
    const T below = ((y - 1.0) * power + 1.0) / y / y - power * psi_L;
    const T gap = select((y < T(0.0)) & !y_small, below, power * (psi_y - psi_L));
    return 0.5 * L * L * select(both_small, 0.5 * A * L * series * power, abs(gap));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 4> eval(const general_robust&, T x, T t, T alpha, T scale) {
    // With u = z / A, L = log(1 + u) and y = L alpha / 2 the loss is A / alpha expm1(y): a limit is needed
    // at alpha = 0, and at 2 and +-infinity, where A = 0 and 1 / A = 0. Powers of 1 + u are kept as squares
    // of roots, so that their products overflow or round only where the result does.
    const residual<T> d(x + 0.0 * scale, t);
    const T A = abs(alpha - 2.0), half = 0.5 * alpha;
    const auto log_limit = abs(half) < T(1e-100);
    const auto square_limit = A == T(0.0);
    const auto exp_limit = A > T(1e40);

    const against_scale<T> s(d, scale * sqrt(A));
    const T l = log1p(s.r * s.r), log_w = s.log_w(), L = l - 2.0 * log_w, saturation = s.saturation();
    const T y = select(log_limit, T(0.0), half * L), root = exp(0.5 * y), amount = A / alpha;
    const T power_value = select(y > T(300.0), amount * root * root, amount * expm1(y));
    const T value = select(log_limit, 0.5 * A * L, power_value);
    // The slope is |e| (1 + u)^(alpha / 2 - 1) / scale^2, with |e| taken into the power beyond the scale.
    const T beyond = select(alpha == T(1.0), T(0.0), (alpha - 1.0) * log_w);
    const T slope_root = exp(0.5 * ((half - 1.0) * l - beyond)) / scale;
    const T slope = s.smaller * slope_root * slope_root;
    const T fourth_root = exp(0.25 * ((half - 1.0) * l - (alpha - 2.0) * log_w)) / sqrt(scale);
    const T bend = fourth_root * fourth_root, foot = zero_times(s.w, bend) * s.w / (1.0 + s.r * s.r);
    const T curvature = bend * (foot + (alpha - 1.0) * bend * saturation);
    // e times the slope, over the scale.
    const T v = select(s.outside, T(1.0), s.r);
    const T stretch = A * v * root * (v * root / scale) / (1.0 + s.r * s.r);
    const T bounded = min(T(1e150), L), y_bounded = select(log_limit, T(0.0), half * bounded);
    const T shape = shape_slope(A, y_bounded, bounded, root * root, saturation);

    // alpha = 2 (and all others near 0) and alpha = +-infinity: z / 2 and +-expm1(+-z / 2).
    const T q = abs(d.e) / (d.unit * scale), capped = min(T(1e3), q), z = capped * capped;
    const T direction = copysign(T(1.0), alpha), limit_root = exp(0.25 * direction * z),
            steep = limit_root / scale;
    const auto near_square = square_limit | ((q < T(0x1p-55)) & (A > T(0.0)));  // false where alpha is NaN
    const auto pick = [&](T general, T square, T exponential) {
        return select(near_square, square, select(exp_limit, exponential, general));
    };
    const T grad = copysign(pick(slope, q / scale, capped * limit_root * steep), d.e);
    return {pick(value, 0.5 * q * q, direction * expm1(0.5 * direction * z)),
            {grad, -grad, select(square_limit | exp_limit, select(is_nan(q), q, T(0.0)), shape),
             -pick(stretch, q / scale * q, z * limit_root * steep)},
            pick(curvature, 1.0 / scale / scale, steep * steep * (1.0 + direction * z))};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const wing& p, T x, T t) {
    const T e = x - t, a = abs(e), w = p.width, c = p.curvature, m = min(w, a);
    const auto outside = a >= w;
    const T value = select(m < 0x1p-110 * c, w / c * m, w * log1p(m / c));  // m / c may be subnormal
    return residual_terms(value + (a - m), sign(e) * select(outside, T(1.0), w / (c + m)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const adaptive_wing& p, T x, T t) {
    // The logarithmic branch at min(|e|, theta), continued with its own slope there. q^(n - 1) = root^2, so
    // that products with it round once below the normal range.
    const T e = x - t, a = abs(e), eps = p.epsilon, omega = p.omega, m = min(T(p.theta), a), q = m / eps;
    const T n = p.alpha - t, root = pow(q, 0.5 * (n - 1.0)), power = q * root * root;
    const T slope = omega * n / eps * root / (1.0 + power) * root;
    const T value = select(power < T(0x1p-110), omega * root * (q * root), omega * log1p(power));
    return input_terms<2>(value + slope * (a - m), select(a == T(0.0), T(0.0), copysign(slope, e)));
}

FUSEDLOSS_END
