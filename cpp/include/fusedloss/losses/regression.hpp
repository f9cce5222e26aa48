// Losses of the residual e = input - target, and of the ratio of the two.
#pragma once

#include "products.hpp"

namespace fusedloss {

// Squared error: scale e^2, with `scale` a power of two (1, or 1/2 for the half squared error), so that
// scaling is exact.
struct mse {
    double scale = 1.0;
    static constexpr const char* name = "mse";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "scale";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// Absolute error: |e|. Gradient sign(e).
struct l1 {
    static constexpr const char* name = "l1";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::working};
};

// Girshick (2015): e^2 / (2 beta) where |e| < beta, else |e| - beta / 2. beta = 0 is l1.
struct smooth_l1 {
    double beta = 1.0;
    static constexpr const char* name = "smooth_l1";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "beta";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// Huber (1964): e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2).
// Gradient clip(e, -delta, delta); Hessian 1 where |e| <= delta, else 0.
struct huber {
    double delta = 1.0;
    static constexpr const char* name = "huber";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "delta";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// log(cosh(a e)) / a. Gradient tanh(a e).
struct logcosh {
    double a = 1.0;
    static constexpr const char* name = "logcosh";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "a";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// Koenker and Bassett (1978), the pinball loss: q (t - x) where t >= x, else (1 - q) (x - t).
struct quantile {
    static constexpr const char* name = "quantile";
    static constexpr const char* inputs = "input target quantile";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{3, 0b011, false, arithmetic::working};
};

// Dabney et al. (2018): the Huber loss at delta, over delta, weighted like the pinball loss.
struct quantile_huber {
    double delta = 1.0;
    static constexpr const char* name = "quantile_huber";
    static constexpr const char* inputs = "input target quantile";
    static constexpr const char* params = "delta";
    static constexpr elementwise_traits traits{3, 0b011, true, arithmetic::extended};
};

// Newey and Powell (1987): tau e^2 where t >= x, else (1 - tau) e^2.
struct expectile {
    double tau = 0.5;
    static constexpr const char* name = "expectile";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "tau";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// scale |e| / max(|t|, eps).
struct mean_absolute_percentage {
    double scale = 100.0, eps = 1e-7;
    static constexpr const char* name = "mean_absolute_percentage";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "scale eps";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::extended};
};

// 2 |e| / (|x| + |t|), with 0 / 0 = 0.
struct symmetric_mean_absolute_percentage {
    static constexpr const char* name = "symmetric_mean_absolute_percentage";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::extended};
};

// (log(1 + max(x, eps)) - log(1 + max(t, eps)))^2.
struct mean_squared_logarithmic {
    double eps = 1e-7;
    static constexpr const char* name = "mean_squared_logarithmic";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "eps";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

// t - x: a diagnostic, unbounded below.
struct mean_bias {
    static constexpr const char* name = "mean_bias";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::working};
};

// Vapnik (1995): max(|e| - epsilon, 0).
struct epsilon_insensitive {
    double epsilon = 0.1;
    static constexpr const char* name = "epsilon_insensitive";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "epsilon";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::working};
};

// max(|e| - epsilon, 0)^2.
struct squared_epsilon_insensitive {
    double epsilon = 0.1;
    static constexpr const char* name = "squared_epsilon_insensitive";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "epsilon";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// |e|^p.
struct lp {
    double p = 2.0;
    static constexpr const char* name = "lp";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "p";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::extended};
};

// Varian (1975): exp(a e) - a e - 1.
struct linex {
    double a = 1.0;
    static constexpr const char* name = "linex";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "a";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// An unevaluated sum hi + lo of two numbers of type T. The working-precision losses carry the rounding
// error of e = x - t, of parameters and of products this far and round once, at the end. Where hi is
// infinite lo is meaningless, so `rounded` and `rounded_product` ignore it there.
template <class T>
struct split {
    T hi, lo;
};

template <class T>
FUSEDLOSS_INLINE split<T> select(typename T::mask_type m, split<T> a, split<T> b) {
    return {select(m, a.hi, b.hi), select(m, a.lo, b.lo)};
}

// v, or T's largest number beyond its range.
template <class T>
FUSEDLOSS_INLINE double limited(double v) {
    constexpr double largest =
        sizeof(typename T::scalar) == sizeof(float) ? double(__FLT_MAX__) : __DBL_MAX__;
    return v < largest ? v : largest;
}
// v + rest, of which T may hold only the leading digits.
template <class T>
FUSEDLOSS_INLINE split<T> constant(double v, double rest = 0.0) {
    const double hi = typename T::scalar(limited<T>(v));
    return {T(hi), T((limited<T>(v) - hi) + rest)};
}
// 1 - v.
template <class T>
FUSEDLOSS_INLINE split<T> complement(double v) {
    const double c = 1.0 - v;
    return constant<T>(c, (1.0 - c) - v);
}

// x - t exactly (Knuth's two-sum).
template <class T>
FUSEDLOSS_INLINE split<T> difference(T x, T t) {
    const T hi = x - t, b = hi - x;
    return {hi, (x - (hi - b)) - (t + b)};
}
// a - b where a.hi >= b.hi >= 0.
template <class T>
FUSEDLOSS_INLINE split<T> difference(split<T> a, split<T> b) {
    const T hi = a.hi - b.hi;
    return {hi, ((a.hi - hi) - b.hi) + (a.lo - b.lo)};
}
// |e| - m / 2 for 0 <= m <= |e|.
template <class T>
FUSEDLOSS_INLINE split<T> difference(split<T> e, T m) {
    const T half = -0.5, hi = fma(half, m, e.hi);
    return {hi, fma(half, m, e.hi - hi) + e.lo};
}
template <class T>
FUSEDLOSS_INLINE split<T> abs(split<T> a) {
    return {abs(a.hi), times_sign(a.lo, a.hi)};
}
template <class T>
FUSEDLOSS_INLINE split<T> operator*(T a, split<T> b) {
    const T hi = a * b.hi;
    return {hi, fma(a, b.lo, product_error(a, b.hi, hi))};
}
template <class T>
FUSEDLOSS_INLINE split<T> operator*(split<T> a, split<T> b) {
    const T hi = a.hi * b.hi;
    return {hi, product_error(a.hi, b.hi, hi) + (a.hi * b.lo + a.lo * b.hi)};
}

// `value`, or what `beyond` says where it is infinite, or NaN because a low part is: rare, so it is asked
// first.
template <class T, class Beyond>
FUSEDLOSS_INLINE T finite_or(T value, Beyond beyond) {
    const auto lost = !(value < T(__builtin_inf()));
    return any(lost) ? select(lost, beyond(), value) : value;
}
// `beyond` where the leading part is not finite.
template <class T>
FUSEDLOSS_INLINE T rounded(split<T> a, T beyond) {
    return select(abs(a.hi) < T(__builtin_inf()), a.hi + a.lo, beyond);
}
template <class T>
FUSEDLOSS_INLINE T rounded(split<T> a) {
    return rounded(a, a.hi);
}
template <class T>
FUSEDLOSS_INLINE T rounded_product(split<T> a, split<T> b) {
    const T hi = a.hi * b.hi;
    return select(abs(hi) < T(__builtin_inf()), fma(a.hi, b.hi, a.hi * b.lo + a.lo * b.hi), hi);
}
// slope |x - t|, also where x - t overflows and the product does not.
template <class T>
FUSEDLOSS_INLINE T linear(T slope, T x, T t) {
    return (slope + slope) * abs(0.5 * x - 0.5 * t);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const mse& p, T x, T t) {
    // The rounding of e alone costs the square at most 1.41 ULP (next to e = sqrt(2) 2^k).
    const T e = x - t, slope = p.scale * e;
    return residual_terms(slope * e, slope + slope, T(2.0 * p.scale));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const l1&, T x, T t) {
    const T e = x - t;
    return residual_terms(abs(e), sign(e));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const smooth_l1& p, T x, T t) {
    // Both branches are s h with the slope s = m / beta and h = |e| - m / 2, where m = min(|e|, beta).
    const double beta = typename T::scalar(limited<T>(p.beta)), inverse = 1.0 / beta;
    const split<T> reciprocal = constant<T>(inverse, __builtin_fma(-inverse, beta, 1.0) * inverse);
    const split<T> e = difference(x, t), a = abs(e);
    const T b = beta;
    const auto outside = a.hi >= b;
    const split<T> s = select(outside, split<T>{1.0, 0.0}, a.hi * reciprocal),
                   h = difference(a, min(b, a.hi));
    const T value = fma(s.hi, h.hi, fma(s.hi, h.lo, s.lo * h.hi));
    return residual_terms(finite_or(value, [&] { return a.hi; }),
                          select(a.hi == T(0.0), a.hi, copysign(s.hi + s.lo, e.hi)),
                          select(outside, T(0.0), reciprocal.hi));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const huber& p, T x, T t) {
    // Both branches are m h with h = |e| - m / 2, where m = min(|e|, delta).
    const split<T> e = difference(x, t), a = abs(e);
    const T d = p.delta, m = min(d, a.hi);
    const split<T> h = difference(a, m);
    const T value = fma(m, h.lo, m * h.hi);
    return residual_terms(finite_or(value, [&] { return linear(d, x, t); }), max(-d, min(d, e.hi)),
                          select(a.hi > d, T(0.0), T(1.0)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const logcosh& p, T x, T t) {
    // The functions of math.hpp taken apart, so that neither z = a e nor the division by a costs a rounding:
    // e z (1/2 + ...) near 0, |e| - log(2) / a + log1p(exp(-2 |z|)) / a beyond.
    if (p.a == 1.0) {
        const split<T> e = difference(x, t);
        const T a = abs(e.hi), lo = select(a < T(400.0), times_sign(e.lo, e.hi), T(0.0)), slope = tanh(e.hi);
        const T d = exp_minus(a + a), n = 1.0 + d;
        return residual_terms(log_cosh(e.hi, e.lo), slope, 4.0 * d / (n * n) * (1.0 - 2.0 * lo * abs(slope)));
    }
    using constants = format<double>;
    const double ln2_a = constants::ln2 / p.a;
    const double ln2_rest = (__builtin_fma(-ln2_a, p.a, constants::ln2) + constants::ln2_rest) / p.a;
    const split<T> e = difference(x, t), z = constant<T>(p.a) * e, m = abs(z),
                   ln2 = constant<T>(ln2_a, ln2_rest);
    const T square = z.hi * z.hi, cube = z.hi * square;
    const T lo = select(m.hi < T(400.0), m.lo + m.lo, T(0.0)), decay = exp_minus(m.hi + m.hi);
    const T shift = lo * decay, d = decay - shift, n = 1.0 + d, inverse = 1.0 / p.a;  // d = exp(-2 |z|)

    const auto small = m.hi < T(0.7);
    const split<T> half = {0.5 * z.hi, fma(cube, log_cosh_series(square), 0.5 * z.lo)};
    const split<T> large = {abs(e.hi) - ln2.hi,
                            fma(log1p(decay), inverse, abs(e).lo - ln2.lo - shift / n * inverse)};
    const split<T> slope = {z.hi, fma(cube, tanh_series(square), z.lo * (1.0 - square))};
    return residual_terms(select(small, rounded_product(e, half), rounded(large)),
                          select(small, rounded(slope), copysign(1.0 - 2.0 * d / n, z.hi)),
                          4.0 * p.a * d / (n * n));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const quantile&, T x, T t, T q) {
    const split<T> e = difference(x, t), a = abs(e);
    const T above = 1.0 - q, above_lo = (1.0 - above) - q;
    const auto over = e.hi > T(0.0);
    const split<T> w = select(over, split<T>{above, above_lo}, split<T>{q, 0.0});
    // Neither branch when e is NaN.
    const T grad = select(over, above, select(e.hi <= T(0.0), -q, e.hi));
    const T value = fma(w.hi, a.hi, fma(w.hi, a.lo, w.lo * a.hi));
    // 0 times infinity is the 0 of the gradient.
    const auto beyond = [&] { return max(linear(w.hi, x, t), abs(grad)); };
    return {finite_or(value, beyond), {grad, -grad}, T(0.0)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const quantile_huber& p, T x, T t, T q) {
    const residual<T> d(x, t);
    const T k = d.unit * p.delta, a = abs(d.e), m = min(k, a), ratio = m / k;
    const T w = select(d.e > T(0.0), 1.0 - q, q), grad = w * copysign(ratio, d.e);
    // The weight last: together with it the others might underflow.
    return {zero_times(d.back * w, ratio * (a - 0.5 * m)), {grad, -grad}, select(a > k, T(0.0), w / p.delta)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const expectile& p, T x, T t) {
    const split<T> e = difference(x, t);
    const split<T> w = select(e.hi > T(0.0), complement<T>(p.tau), constant<T>(p.tau)), slope = w * e;
    const T value = rounded_product(slope, e), grad = rounded(slope, copysign(linear(w.hi, x, t), e.hi));
    const auto flat = (w.hi == T(0.0)) & (e.hi == e.hi);  // 0, also times infinity
    return residual_terms(select(flat, T(0.0), value), select(flat, T(0.0), grad + grad), w.hi + w.hi);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const mean_absolute_percentage& p, T x, T t) {
    const residual<T> d(x, t);
    const T a = abs(d.e), eps = p.eps, m = d.unit * max(eps, abs(t)), scale = p.scale, slope = scale / m;
    const T ratio = select(a == m, T(1.0), a / m);  // 1 where t is infinite
    // Next to the end of the range a product with the slope may overflow; elsewhere a quotient underflow.
    const auto large = T(1.0) > d.unit;
    const T lead = select(large, T(1.0), slope), rest = select(large, slope, T(1.0)), side = sign(d.e);
    const T by_input = side * (d.unit * slope);
    // The loss is |x / t - 1| as long as |t| is above eps.
    return {select(large, scale * ratio, slope * a),
            {by_input, -select(abs(t) > eps, side * (lead * (d.unit * x) / t * rest), by_input)},
            T(0.0)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const symmetric_mean_absolute_percentage&, T x, T t) {
    // With s = |x| + |t| the derivatives are +-4 |t| / s^2 and -+4 |x| / s^2 where x and t have the same
    // sign, else 0. Both numbers are halved where s might overflow.
    const T half = select(max(abs(x), abs(t)) > T(0x1p1000), T(0.5), T(1.0)), u = half * x, v = half * t;
    const T e = u - v, sum = abs(u) + abs(v), s = select(sum == T(0.0), T(1.0), sum);
    const T slope = 2.0 * half * (1.0 + sign(x) * sign(t)) * sign(e), finite = 0.5 * __DBL_MAX__;
    return {select(abs(e) == s, T(2.0), 2.0 * abs(e) / s),
            {slope * min(finite, abs(v)) / s / s, -slope * min(finite, abs(u)) / s / s},
            T(0.0)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const mean_squared_logarithmic& p, T x, T t) {
    // The difference of the logarithms is log1p(|u - v| / (1 + min(u, v))) up to its sign: no cancellation.
    const T eps = p.eps, u = max(eps, x), v = max(eps, t), e = u - v, q = 1.0 + u;
    const T d = copysign(log1p(abs(e) / (1.0 + min(u, v))), e), none = select(is_nan(d), d, T(0.0));
    const auto clipped = x < eps;
    // An infinite logarithm must not be divided by the infinity it comes from.
    const T above = min(T(1e300), d), below = max(T(-1e300), d);
    return {d * d,
            {select(clipped, none, 2.0 * above / q), select(t < eps, none, -2.0 * below / (1.0 + v))},
            select(clipped, none, 2.0 * (1.0 - above) / q / q)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const mean_bias&, T x, T t) {
    const T e = t - x;
    return residual_terms(e, select(is_nan(e), e, T(-1.0)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const epsilon_insensitive& p, T x, T t) {
    const split<T> e = difference(x, t);
    const T excess = rounded(difference(abs(e), constant<T>(p.epsilon)));
    return residual_terms(max(T(0.0), excess), select(excess <= T(0.0), T(0.0), sign(e.hi)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const squared_epsilon_insensitive& p, T x, T t) {
    const split<T> e = difference(x, t), excess = difference(abs(e), constant<T>(p.epsilon));
    const T m = rounded(excess);
    // |e| may equal epsilon to T's precision and differ below it: then all of the excess is in its low part.
    const split<T> normal = {m, (excess.hi - m) + excess.lo};
    const auto inside = m <= T(0.0);
    return residual_terms(select(inside, T(0.0), rounded_product(normal, normal)),
                          select(inside, T(0.0), copysign(m + m, e.hi)), select(inside, T(0.0), T(2.0)));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const lp& p, T x, T t) {
    const residual<T> d(x, t);
    const T a = abs(d.e), q = p.p, back = d.back_power(q);
    // Below p = 1 the slope at 0 is infinite; sign(0) = 0 holds there too.
    const T grad = select(a == T(0.0), a, q * (back * d.unit * pow(a, q - 1.0)));
    return residual_terms(back * pow(a, q), copysign(grad, d.e));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const linex& p, T x, T t) {
    const residual<T> d(x, t);
    const T a = p.a, y = d.back * (a * d.e), m = expm1(y);
    // y^2 / 2 + y^3 / 6 + ... + y^7 / 5040 where the difference would cancel. Beyond 800 the exponential
    // has overflowed, and an infinite y must not be subtracted from it.
    const T series =
        y * y * (0.5 + y / 6.0 * (1.0 + y / 4.0 * (1.0 + y / 5.0 * (1.0 + y / 6.0 * (1.0 + y / 7.0)))));
    const T value = select(abs(y) < T(0x1p-10), series, m - min(T(800.0), y));
    return residual_terms(value, a * m, a * a * exp(y));
}

FUSEDLOSS_END
