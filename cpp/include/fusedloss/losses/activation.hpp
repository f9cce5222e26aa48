// Activations: functions of one number, most of them applied to the last layer of a network. The "gradient"
// is the derivative. Each is written in e^-|x|, so that its tails keep all their digits.
#pragma once

#include "products.hpp"

namespace fusedloss {

// 1 / (1 + e^-z) with z = scale x; `scale` is a power of two, so that scaling is exact. 2 is the half-logit
// link.
struct sigmoid_unit {
    double scale = 1.0;
    static constexpr const char* name = "sigmoid_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "scale";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// log(1 + e^z) / beta with z = beta x, and x itself where z > threshold. beta = -1 is log(sigmoid(x)).
struct softplus_unit {
    double beta = 1.0, threshold = __builtin_inf();
    static constexpr const char* name = "softplus_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "beta threshold";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

struct tanh_unit {
    static constexpr const char* name = "tanh_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// e^x, the inverse of the logarithmic link.
struct exp_unit {
    static constexpr const char* name = "exp_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// x / (1 + |x|).
struct softsign_unit {
    static constexpr const char* name = "softsign_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::wide};
};

// x where x > 0, else negative_slope x: the rectified linear unit, plain and leaky.
struct rectified_unit {
    double negative_slope = 0.0;
    static constexpr const char* name = "rectified_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "negative_slope";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// (x + shift) / divisor with x held within [low, high]: the hard hyperbolic tangent, and {-3, 3, 3, 6} the
// hard sigmoid.
struct clipped_unit {
    double low = -1.0, high = 1.0, shift = 0.0, divisor = 1.0;
    static constexpr const char* name = "clipped_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "low high shift divisor";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// Towards 0 by lambd, and 0 where that is too far.
struct softshrink_unit {
    double lambd = 0.5;
    static constexpr const char* name = "softshrink_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "lambd";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// scale x where x > 0, else scale alpha (e^x - 1).
struct elu_unit {
    double alpha = 1.0, scale = 1.0;
    static constexpr const char* name = "elu_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "alpha scale";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::wide};
};

// x sigmoid(x).
struct silu_unit {
    static constexpr const char* name = "silu_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::working};
};

// x Phi(x) with the normal distribution function Phi.
struct gelu_unit {
    static constexpr const char* name = "gelu_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::extended};
};

// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
struct gelu_tanh_unit {
    static constexpr const char* name = "gelu_tanh_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::wide};
};

// x tanh(log(1 + e^x)).
struct mish_unit {
    static constexpr const char* name = "mish_unit";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{1, 0b1, false, arithmetic::wide};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// e = e^-|z|, and the two factors of it of which the power should multiply last; up to |z| = 32, where
// nothing underflows, the first is e itself.
template <class S>
struct decay {
    pack<S> e, fraction, power;
    mask<S> negative;  // z < 0
    FUSEDLOSS_INLINE decay(pack<S> z, pack<S> z_lo = 0.0) : negative(z < pack<S>(0.0)) {
        const pack<S> a = abs(z);
        const auto parts = exp_minus_parts(a, select(negative, -z_lo, z_lo));
        const auto near = a < pack<S>(32.0);
        e = parts.fraction * parts.power;
        fraction = select(near, e, parts.fraction);
        power = select(near, pack<S>(1.0), parts.power);
    }
    // What was computed with the fraction, times the power where z < 0.
    FUSEDLOSS_INLINE pack<S> sided(pack<S> above, pack<S> below) const {
        return select(negative, below * power, above);
    }
};
// (1 + e)^2.
template <class T>
FUSEDLOSS_INLINE T square_of_one_plus(T e) {
    return fma(e, e + 2.0, T(1.0));
}
// (a + a_lo) / (d + d_lo), rounded about once.
template <class T>
FUSEDLOSS_INLINE T rounded_quotient(T a, T a_lo, T d, T d_lo) {
    const T inverse = 1.0 / d, q = a * inverse;
    return fma(inverse, fma(-q, d, a) + fma(-q, d_lo, a_lo), q);
}
template <class T>
FUSEDLOSS_INLINE T over_one_plus(T a, T a_lo, T e) {
    const T d = 1.0 + e;
    return rounded_quotient(a, a_lo, d, e - (d - 1.0));
}
template <class T>
FUSEDLOSS_INLINE T over_square_of_one_plus(T a, T a_lo, T e) {
    const T d = square_of_one_plus(e);
    return rounded_quotient(a, a_lo, d, fma(e, e, fma(T(2.0), e, 1.0 - d)));
}
// x, but where e^-|x| is nothing even beside x.
template <class S>
FUSEDLOSS_INLINE pack<S> moderate(pack<S> x) {
    const double far = format<S>::spent;
    return max(pack<S>(-far), min(pack<S>(far), x));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const sigmoid_unit& p, T x) {
    const T z = p.scale * x;
    const decay<typename T::scalar> d(z);
    return input_terms<1>(over_one_plus(select(d.negative, d.e, T(1.0)), T(0.0), d.e),
                          over_square_of_one_plus(p.scale * d.fraction, T(0.0), d.e) * d.power);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const softplus_unit& p, T x) {
    using S = typename T::scalar;
    const double far = format<S>::spent, limit = p.threshold < far ? p.threshold : far;
    const double back = 1.0 / p.beta, back_lo = (back - S(back)) + __builtin_fma(-back, p.beta, 1.0) * back;
    const T beta = p.beta, z = beta * x, one(1.0);
    // Far out the exponential is so sensitive that the rounding of z matters.
    const T rest = product_error(beta, x, z) + (p.beta - S(p.beta)) * x;
    const T z_lo = select(abs(z) < T(far), rest, T(0.0));
    const decay<S> d(z);
    const T shift = z_lo * (1.0 / (1.0 + d.e));
    // log(1 + e^z) in two parts, over beta: e (1 + e series) below 0, z + e + e^2 series above.
    const T tail = d.e * log1p_series(d.e), sum = z + d.e;
    const T small = fma(d.e, tail, (z - (sum - d.e)) + shift), above = sum + small;
    const T lead = select(d.negative, d.fraction, above);
    const T lead_lo = select(d.negative, d.fraction * (tail + shift), small - (above - sum));
    const T hi = lead * back, lo = fma(lead, T(back), -hi) + fma(lead, T(back_lo), lead_lo * back);
    const T value = hi + lo, top = select(d.negative, d.fraction, one);
    const T slope = over_one_plus(top, select(d.negative, d.fraction, d.e) * shift, d.e);
    const auto linear = z > T(limit);
    return input_terms<1>(select(linear, x, d.sided(value, value)),
                          select(linear, one, d.sided(slope, slope)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const tanh_unit&, T x) {
    const T a = abs(x);
    const decay<typename T::scalar> d(a + a);
    return input_terms<1>(tanh(x), over_square_of_one_plus(4.0 * d.fraction, T(0.0), d.e) * d.power);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const exp_unit&, T x) {
    const T e = exp(x);
    return input_terms<1>(e, e);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const softsign_unit&, T x) {
    const T a = abs(x), m = min(T(0x1p64), a), n = 1.0 + m;
    // Beyond 2^64 ones do not count, and squares may overflow.
    const auto far = a > m;
    const T inverse = 1.0 / select(far, a, square_of_one_plus(a));
    return input_terms<1>(copysign(select(far, T(1.0), a / n), x), select(far, inverse * inverse, inverse));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const rectified_unit& p, T x) {
    const auto active = x > T(0.0);
    return input_terms<1>(select(active, x, zero_times(T(p.negative_slope), x)),
                          poisoned_by(x, select(active, T(1.0), T(p.negative_slope))));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const clipped_unit& p, T x) {
    const T low = p.low, high = p.high, slope = 1.0 / p.divisor;
    const auto inside = (x > low) & (x < high);
    return input_terms<1>((max(low, min(high, x)) + p.shift) / p.divisor,
                          poisoned_by(x, select(inside, slope, T(0.0))));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const softshrink_unit& p, T x) {
    const double rest = p.lambd - typename T::scalar(p.lambd);
    const T m = max(T(0.0), (abs(x) - p.lambd) - rest);
    return input_terms<1>(copysign(m, x), poisoned_by(x, select(m > T(0.0), T(1.0), T(0.0))));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const elu_unit& p, T x) {
    const double c = p.scale * p.alpha, c_lo = __builtin_fma(p.scale, p.alpha, -c);
    const T m = expm1(x);
    const auto active = x > T(0.0);
    const decay<typename T::scalar> d(x);
    return input_terms<1>(select(active, p.scale * x, fma(m, T(c), m * c_lo)),
                          select(active, T(p.scale), c * d.fraction * d.power));
}

// x s(y) and its derivative s(y) + x y' s(y) s(-y), for a y of the sign of x; `slope` is x y'.
template <class T>
FUSEDLOSS_INLINE terms<T, 1> gated(T x, decay<typename T::scalar> d, T slope) {
    const T m = moderate(x), factor = select(d.negative, d.fraction, T(1.0)), b = m * factor;
    const T value = over_one_plus(b, fma(m, factor, -b), d.e);
    // 1 + slope + e below, 1 + (1 + slope) e above, either over (1 + e)^2.
    const T rise = 1.0 + slope, lead = select(d.negative, d.fraction, d.e);
    const T sum = select(d.negative, rise + d.e, rise), rest = select(d.negative, d.e - (sum - rise), T(0.0));
    const T constant = select(d.negative, T(0.0), T(1.0)), a = fma(sum, lead, constant);
    const T a_lo = fma(sum, lead, constant - a) + (rest + (slope - (rise - 1.0))) * lead;
    const T derivative = over_square_of_one_plus(a, a_lo, d.e);
    return input_terms<1>(select(x > m, x, d.sided(value, value)), d.sided(derivative, derivative));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 1> eval(const silu_unit&, T x) {
    return gated(x, decay<typename T::scalar>(x), moderate(x));
}

// 2 sqrt(2 / pi) (x + 0.044715 x^3) in two parts: beyond |x| = 4 a rounding more or less shows.
FUSEDLOSS_INLINE terms<pack<double>, 1> eval(const gelu_tanh_unit&, pack<double> any) {
    const pack<double> x = max(pack<double>(-23.0), min(pack<double>(23.0), any));
    const extended linear = {0x1.9884533d43651p0, -0x1.cbc0d30ebfd15p-54},
                   cubic = {0x1.2444f2a4d8b4bp-4, -0x1.6c843a29d1c70p-61}, square = exact_product(x, x);
    const extended ratio = finite_sum(linear, finite_product(cubic, square)), y = finite_product(x, ratio);
    const pack<double> slope = x * (linear.hi + 3.0 * cubic.hi * square.hi);
    return gated(any, decay<double>(y.hi, y.lo), slope);
}

// With g = e^(-x^2/2), m = scaled_mills_ratio(|x|) and n = |x| + 1, Phi(x) is
//   x <= -1   g m / n
//   |x| < 1   1/2 + x (1 + erf_series(x^2/2)) / (2 sqrt2)
//   x >= 1    1 - g m / n
FUSEDLOSS_OUTLINE terms<pack<double>, 1> gelu(pack<double> any) {
    const pack<double> x = max(pack<double>(-40.0), min(pack<double>(40.0), any)), a = abs(x), one(1.0);
    const extended density_at_0 = {0x1.9884533d43651p-2, -0x1.cbc0d30ebfd15p-56};
    const extended scale = {0x1.6a09e667f3bcdp-2, -0x1.bdd3413b26456p-56};  // 1 / (2 sqrt2)
    const extended half_square = exact_product(0.5 * a, a);
    const decay<double> g(half_square.hi, half_square.lo);
    const extended ratio = finite_quotient(scaled_mills_ratio(a), two_sum(a, 1.0));
    const pack<double> odd = x * fma(scale.hi, erf_series(half_square.hi), scale.lo);
    const pack<double> phi =
        select(a < one, fma(x, scale.hi, pack<double>(0.5)) + odd, fma(-g.e, ratio.hi, one));
    const auto lower = x <= -one;
    const extended tail = finite_product(x, ratio);
    const pack<double> tail_slope = fma(x, density_at_0.hi, fma(x, density_at_0.lo, ratio.hi));
    return input_terms<1>(
        select(lower, fma(g.fraction, tail.hi, g.fraction * tail.lo) * g.power, any * phi),
        select(lower, tail_slope * g.fraction * g.power, fma(density_at_0.hi * x, g.e, phi)));
}
FUSEDLOSS_INLINE terms<pack<double>, 1> eval(const gelu_unit&, pack<double> x) { return gelu(x); }
FUSEDLOSS_INLINE terms<extended, 1> eval(const gelu_unit&, extended x) {
    const auto r = gelu(x.hi);
    return input_terms<1>(extended(r.value), extended(r.grad[0]));
}
// For floats: with s = 1 / (1 + 0.265 |x|), Phi(-|x|) is g s times a polynomial, to 2^-31 up to |x| = 15.
FUSEDLOSS_INLINE terms<pack<wide_float>, 1> eval(const gelu_unit&, pack<wide_float> any) {
    using T = pack<wide_float>;
    const T x = max(T(-40.0), min(T(40.0), any)), g = exp_minus(0.5 * x * x),
            s = 1.0 / (1.0 + 0.265 * abs(x));
    const T tail =
        g * s *
        polynomial(s, 0.10571791470747632, 0.1057713934319299, 0.09764036325087395, 0.08825527764129937,
                   0.040067924099602914, 0.11120835551924199, -0.1382671217516072, 0.22662443586010578,
                   -0.2156256048630849, 0.09452302708054278, -0.015915965202533525);
    const auto negative = x < T(0.0);
    const T phi = select(negative, tail, 1.0 - tail);
    return input_terms<1>(select(negative, x, any) * phi, fma(0x1.9884533d43651p-2 * x, g, phi));
}

// With E = e^x and D = (1 + E)^2 + 1, tanh(log(1 + E)) = E (E + 2) / D and its derivative is 4 E (1 + E) /
// D^2. In e = e^-|x| both are 1 or, for negative x, e times 1 - a fraction that is small when e is.
FUSEDLOSS_INLINE terms<pack<double>, 1> eval(const mish_unit&, pack<double> any) {
    const pack<double> x = moderate(any), one(1.0);
    const decay<double> d(x);
    const pack<double> e = d.e, ee = e * e, n = 1.0 + e;
    const pack<double> denominator =
        select(d.negative, fma(e, 2.0 + e, pack<double>(2.0)), fma(e + e, n, one));
    const pack<double> q = select(d.negative, e * n, ee + ee) / denominator;
    const pack<double> r =
        select(d.negative, e * polynomial(e, 4.0, 8.0, 4.0, 1.0), 4.0 * ee * n) / (denominator * denominator);
    const pack<double> value = x * d.fraction, slope = (1.0 + x) - fma(x, r, q);
    return input_terms<1>(d.sided(fma(-x, q, any), fma(-value, q, value)),
                          d.sided(fma(x, r, 1.0 - q), slope * d.fraction));
}

FUSEDLOSS_END
