// Negative log-likelihoods.
#pragma once

#include "products.hpp"

namespace fusedloss {

// Poisson with a logarithmic rate: e^x - t x. Gradient e^x - t, Hessian e^x.
struct poisson_nll {
    static constexpr const char* name = "poisson_nll";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::working};
};

// Poisson with a rate: x - t log(x + eps). Gradient 1 - t / (x + eps), Hessian t / (x + eps)^2.
struct poisson_rate_nll {
    double eps = 1e-8;
    static constexpr const char* name = "poisson_rate_nll";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "eps";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::wide};
};

// Either of the two above plus log t!.
struct poisson_nll_full {
    double log_input = 1.0, eps = 1e-8;
    static constexpr const char* name = "poisson_nll_full";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "log_input eps";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::extended};
};

// Gaussian with v = max(var, eps), weighted by v^beta (Seitzer et al. 2022): v^beta (log v + e^2 / v) / 2 +
// offset. The gradient takes the weight as a constant, and in var is that in v, also where var < eps. Hessian
// v^beta / v.
struct gaussian_nll {
    double eps = 1e-6, beta = 0.0, offset = 0.0;
    static constexpr const char* name = "gaussian_nll";
    static constexpr const char* inputs = "input target var";
    static constexpr const char* params = "eps beta offset";
    static constexpr elementwise_traits traits{3, 0b111, true, arithmetic::extended};
};

// Gaussian with s = log(variance): (s + e^2 exp(-s)) / 2 + offset.
struct gaussian_log_var_nll {
    double offset = 0.0;
    static constexpr const char* name = "gaussian_log_var_nll";
    static constexpr const char* inputs = "input target var";
    static constexpr const char* params = "offset";
    static constexpr elementwise_traits traits{3, 0b111, true, arithmetic::extended};
};

// Gamma with a logarithmic mean: x + t e^-x. Gradient 1 - t e^-x, Hessian t e^-x.
struct gamma_nll {
    static constexpr const char* name = "gamma_nll";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::wide};
};

// Tweedie with a logarithmic mean, p = power other than 1 and 2: e^((2-p)x) / (2-p) - t e^((1-p)x) / (1-p);
// at p = 0, (e^x - t)^2 / 2. Gradient e^((2-p)x) - t e^((1-p)x).
struct tweedie_nll {
    double power = 1.5;
    static constexpr const char* name = "tweedie_nll";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "power";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::extended};
};

// Half the Tweedie deviance of a mean m: m^(2-p) / (2-p) - t m^(1-p) / (1-p) + t^(2-p) / ((1-p)(2-p)), and
// its limits t log(t / m) + m - t at p = 1, log(m / t) + t / m - 1 at p = 2. Gradient m^(-p) (m - t).
struct tweedie_deviance {
    double power = 1.5;
    static constexpr const char* name = "tweedie_deviance";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "power";
    static constexpr elementwise_traits traits{2, 0b01, true, arithmetic::extended};
};

// Laplace with scale b: |e| / b + log 2b. Gradient sign(e) / b.
struct laplace_nll {
    static constexpr const char* name = "laplace_nll";
    static constexpr const char* inputs = "input target scale";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{3, 0b111, false, arithmetic::wide};
};

// Student's t with scale c: constant(df) + log c + (df + 1) / 2 log(1 + (e / c)^2 / df).
struct student_t_nll {
    double df = 1.0, constant = 1.1447298858494002;  // log pi: the constant of df = 1
    static constexpr const char* name = "student_t_nll";
    static constexpr const char* inputs = "input target scale";
    static constexpr const char* params = "df constant";
    static constexpr elementwise_traits traits{3, 0b111, true, arithmetic::extended};
};

// Negative binomial with mean m, variance m + a m^2 and r = 1 / a:
// log G(r) - log G(t + r) + log t! + r log(1 + a m) - t log(a m / (1 + a m)).
// Gradient (m - t) / (m (1 + a m)).
struct negative_binomial_nll {
    static constexpr const char* name = "negative_binomial_nll";
    static constexpr const char* inputs = "input target dispersion";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{3, 0b101, true, arithmetic::extended};
};

// Normal-inverse-gamma evidence (Amini et al. 2020): Student's t with 2 alpha degrees of freedom and squared
// scale beta (1 + nu) / (nu alpha), plus regularizer |e| (2 nu + alpha).
struct evidential_nig {
    double regularizer = 0.01;
    static constexpr const char* name = "evidential_nig";
    static constexpr const char* inputs = "gamma nu alpha beta target";
    static constexpr const char* params = "regularizer";
    static constexpr elementwise_traits traits{5, 0b01111, false, arithmetic::extended};
};

// Accelerated failure time: with z(T) = (log T - x) / scale of distribution function F and density f, the
// event at exactly T = lower = upper costs log(scale T) - log f(z), the one in [lower, upper]
// -log(F(z(upper)) - F(z(lower))).
struct aft_nll {
    double distribution = normal, scale = 1.0;
    static constexpr double normal = 0.0, logistic = 1.0, extreme = 2.0;
    static constexpr const char* name = "aft_nll";
    static constexpr const char* inputs = "input target_lower target_upper";
    static constexpr const char* params = "distribution scale";
    static constexpr elementwise_traits traits{3, 0b001, true, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// x where x >= low, NaN elsewhere.
template <class T>
FUSEDLOSS_INLINE T at_least(T low, T x) {
    return select(x >= low, x, T(__builtin_nan("")));
}

// a - b where both may be infinite: then the sign of `lead` decides.
template <class T>
FUSEDLOSS_INLINE T settled_difference(T a, T b, T lead) {
    const T d = a - b;
    return select(is_nan(d) & !(is_nan(a) | is_nan(b)), copysign(T(__builtin_inf()), lead), d);
}

// e^x - t x. The rare lanes where that is NaN although neither argument is: t x is 0 times infinity, or both
// terms are beyond the range.
template <class T>
FUSEDLOSS_INLINE T poisson_value(T rate, T x, T t) {
    const T value = rate - t * x;
    const auto lost = is_nan(value) & !(is_nan(x) | is_nan(t));
    if (!any(lost)) return value;
    const T root = exp(0.5 * x), infinity(__builtin_inf());
    const T larger = select(root <= t * (x / root), -infinity, infinity);
    return select(lost, select(x > T(0.0), larger, rate), value);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const poisson_nll&, T x, T t) {
    const T rate = exp(x);
    return input_terms<2>(poisson_value(rate, x, t), rate - t, poisoned_by(t, rate));
}

// log(x + eps) with the digits that the sum rounds away: they matter where the logarithm is close to zero.
template <class T>
FUSEDLOSS_INLINE T log_of_sum(T sum, T x, T eps) {
    const T high = max(x, eps), low = min(eps, x);
    return log(sum) + (low - (sum - high)) / max(T(1e-300), sum);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> poisson_rate_terms(T x, T t, T eps) {
    const T zero(0.0), rate = at_least(zero, x + eps), ratio = t / rate;
    const T value =
        select(x == T(__builtin_inf()), select(is_nan(t), t, x), x - zero_times(t, log_of_sum(rate, x, eps)));
    const auto absent = (t == zero) & (rate >= zero);
    return input_terms<2>(value, select(absent, T(1.0), 1.0 - ratio), select(absent, zero, ratio / rate));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const poisson_rate_nll& p, T x, T t) {
    return poisson_rate_terms(x, t, T(p.eps));
}

// log G(x + 1); for small x by its Taylor series, -(Euler's constant) x + zeta(2) x^2 / 2 - zeta(3) x^3 / 3.
template <class T>
FUSEDLOSS_INLINE T lgamma_plus_one(T x) {
    const T series = x * (x * (T(0x1.a51a6625307d3p-1) - x * 0x1.9a4d55beab2d7p-2) - 0x1.2788cfc6fb619p-1);
    return select(x < T(1e-7), series, lgamma(x + 1.0));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const poisson_nll_full& p, T x, T t) {
    auto r = p.log_input != 0.0 ? eval(poisson_nll{}, x, t) : poisson_rate_terms(x, t, T(p.eps));
    const T log_factorial = lgamma_plus_one(t), infinity(__builtin_inf());
    // log t! outgrows t x: no probability exceeds 1.
    r.value = select((log_factorial == infinity) & !is_nan(r.grad[0]), infinity, r.value + log_factorial);
    return r;
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const gaussian_nll& p, T x, T t, T var) {
    const T one(1.0), infinity(__builtin_inf());
    const T v = max(T(p.eps), at_least(T(0.0), var)), e = x - t, r = e / v;
    const bool plain = p.beta == 0.0;
    const T precision = plain ? one / v : pow(v, T(p.beta) - 1.0), pull = plain ? r : precision * e;
    const T weight = plain ? one : select(v == infinity, infinity, precision * v);
    return {0.5 * (weight * log(v) + pull * e) + p.offset,
            {pull, -pull, 0.5 * settled_difference(precision, pull * r, v - e * e)},
            poisoned_by(e, precision)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const gaussian_log_var_nll& p, T x, T t, T log_var) {
    // Halving the exponent keeps both factors of e exp(-s / 2) in range wherever the result is.
    const T e = x - t, root = exp(-0.5 * log_var), standard = zero_times(e, root);
    const T square = standard * standard, pull = zero_times(standard, root), infinity(__builtin_inf());
    const T value = select(square == infinity, infinity, 0.5 * (log_var + square)) + p.offset;
    return {value, {pull, -pull, 0.5 * (1.0 - square)}, poisoned_by(e, root * root)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const gamma_nll&, T x, T t) {
    const T ratio = times_exp(t, -x), infinity(__builtin_inf());
    return input_terms<2>(select(ratio == infinity, ratio, x + ratio), 1.0 - ratio, ratio);
}

// k t f for t >= 0, multiplied in the order that stays in range.
template <class T>
FUSEDLOSS_INLINE T scaled_by(T k, T t, exponential_factor<T> f) {
    return select((abs(k) < T(1.0)) & (t > T(1.0)), k * t * f, k * (t * f));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const tweedie_nll& p, T x, T t) {
    const T c = 2.0 - T(p.power), d = 1.0 - T(p.power);
    const T up = exp(c * x), mean = exp(x);
    const auto down = factor_of_exp(d * x);
    // Both parts may leave the range for p outside (1, 2); the first is e^x / t times the second.
    const T grad = settled_difference(up, t * down, mean - t);
    const T hess = settled_difference(c * up, scaled_by(d, t, down), c * mean - d * t);
    if (p.power == 0.0) return input_terms<2>(0.5 * ((mean - t) * (mean - t)), grad, hess);
    return input_terms<2>(settled_difference(up / c, scaled_by(1.0 / d, t, down), mean / c - t / d), grad,
                          hess);
}

// log(a / b) for a, b > 0 from their ratio, which may leave the range.
template <class T>
FUSEDLOSS_INLINE T log_ratio(T ratio, T a, T b) {
    T r = log(ratio);
    const auto far = !((ratio > T(1e-290)) & (ratio < T(1e290)));
    if (any(far)) r = select(far, log(a) - log(b), r);
    return r;
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const tweedie_deviance& p, T mean, T target) {
    const T zero(0.0), c = 2.0 - T(p.power), d = 1.0 - T(p.power);
    if (p.power == 0.0) {
        const T e = mean - target;
        return input_terms<2>(0.5 * e * e, e, poisoned_by(e, T(1.0)));
    }
    const T m = at_least(zero, mean), t = p.power < 0.0 ? target : at_least(zero, target);
    const T ratio = select((t == zero) & (m >= zero), zero, t / m), infinity(__builtin_inf());
    // square = m^(2-p), scale = m^(1-p), grad and hess start from the power that stays in range the longest.
    const T rest = 1.0 - ratio, bend = d + p.power * ratio;
    T value, square, scale, grad, hess;
    if (p.power < 0.0) {
        const T inverse = pow(m, T(-p.power));
        scale = inverse * m;
        square = scale * m;
        grad = zero_times(m - t, inverse);
        hess = select(ratio == infinity, p.power * t * (inverse / m), zero_times(bend, inverse));
    } else if (p.power > 2.0) {
        square = pow(m, c);
        scale = square / m;
        grad = zero_times(rest, square) / m;
        // The power last: together with it the ratio may overflow before it is divided.
        hess = p.power * (zero_times(d / p.power + ratio, square) / m / m);
    } else {
        scale = p.power == 1.0 ? T(1.0) : pow(m, d);
        square = scale * m;
        grad = zero_times(rest, scale);
        hess = zero_times(bend, scale) / m;
    }
    if (p.power == 1.0)
        value = zero_times(t, log_ratio(ratio, t, m)) + (m - t);
    else if (p.power == 2.0)
        value = (ratio - 1.0) - log_ratio(ratio, t, m);
    else
        value = square / c - (p.power > 2.0 ? ratio * square : zero_times(t, scale)) / d +
                pow(max(zero, t), c) / (c * d);
    // A deviance is not negative: where its terms are opposite infinities, the positive one is the larger.
    const auto beyond = is_nan(value) & !(is_nan(m) | is_nan(t));
    value = select(m == t, zero, select(beyond, infinity, value));
    return input_terms<2>(value, grad, hess);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const laplace_nll&, T x, T t, T scale) {
    const T zero(0.0), b = select(scale > zero, scale, T(__builtin_nan(""))), e = x - t, ratio = abs(e) / b;
    // log 2b, without the overflow of 2b where log b is no longer near -log 2.
    const auto wide = b > T(1.0);
    const T log_2b = log(select(wide, b, b + b)) + select(wide, T(0x1.62e42fefa39efp-1), zero);
    const T pull = sign(e) / b;
    return {ratio + log_2b, {pull, -pull, (1.0 - ratio) / b}, zero};
}

// Of a residual e and a scale C = c k > 0, with u = e^2 + C^2, whether or not C and the squares are in range.
template <class T>
struct heavy_tail {
    T log1p_square;  // log(u / C^2)
    T share, rest;   // e^2 / u and C^2 / u
    T pull;          // e / u
    T inverse;       // 1 / u
};

template <class T>
FUSEDLOSS_INLINE heavy_tail<T> heavy_tail_of(T e, T c, T k) {
    const T ratio = e / c / k;
    const auto outer = abs(ratio) > T(1.0);
    const T small = select(outer, 1.0 / ratio, ratio), square = small * small, major = 1.0 / (1.0 + square);
    const T minor = square * major;
    heavy_tail<T> r;
    r.share = select(outer, major, minor);
    r.rest = select(outer, minor, major);
    r.pull = select(outer, major / e, small * major / k / c);
    r.inverse = select(outer, r.pull / e, major / k / k / c / c);
    r.log1p_square = log1p(ratio * ratio);
    const auto far = abs(ratio) > T(1e20);
    if (any(far)) r.log1p_square = select(far, 2.0 * (log(abs(e)) - log(c) - log(k)), r.log1p_square);
    return r;
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const student_t_nll& p, T x, T t, T scale) {
    const T zero(0.0), c = select(scale > zero, scale, T(__builtin_nan(""))), df = p.df, more = df + 1.0;
    const residual<T> d(x, t);
    const auto r = heavy_tail_of(d.e, c, d.unit * sqrt(df));
    const T pull = more * (d.unit * r.pull);
    return {p.constant + log(c) + 0.5 * more * r.log1p_square,
            {pull, -pull, (r.rest - df * r.share) / c},
            more * (r.rest - r.share) * (d.unit * d.unit * r.inverse)};
}

// c[0] - x (c[1] - x (c[2] - ...)).
template <class T, int N>
FUSEDLOSS_INLINE T alternating(T x, const double (&c)[N]) {
    T r(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) r = c[i] - x * r;
    return r;
}

// Stirling's log G(x) - (x - 1/2) log x + x - log(2 pi) / 2 and its derivative, for x > 1000.
template <class T>
FUSEDLOSS_INLINE T stirling_rest(T x) {
    const T u = 1.0 / x;
    return u * alternating(u * u, {1.0 / 12, 1.0 / 360, 1.0 / 1260});
}
template <class T>
FUSEDLOSS_INLINE T stirling_rest_slope(T x) {
    const T v = 1.0 / (x * x);
    return -v * alternating(v, {1.0 / 12, 1.0 / 120, 1.0 / 252});
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const negative_binomial_nll&, T mean, T target, T dispersion) {
    const T zero(0.0), one(1.0), infinity(__builtin_inf());
    const T m = at_least(zero, mean), t = at_least(zero, target), a = at_least(zero, dispersion);
    const T r = 1.0 / a, sum = r + t, q = zero_times(a, m), u = zero_times(a, t), log_growth = log1p(u);

    // log G(t + r) - log G(r) - t log r, and digamma(t + r) - digamma(r). In the Poisson limit a -> 0 the
    // difference of the two Stirling series keeps the digits that the difference of two large numbers loses.
    const auto poisson = r > T(1000.0);
    const T growth = select(u < T(1e-20), 0.5 * u * (t - 1.0),
                            (sum - 0.5) * log_growth - t + (stirling_rest(sum) - stirling_rest(r)));
    const T ascent = select(poisson, growth, lgamma(sum) - lgamma(r) - t * log(r));
    const T rise =
        select(poisson, log_growth + 0.5 * u / sum + (stirling_rest_slope(sum) - stirling_rest_slope(r)),
               digamma(sum) - digamma(r));

    // share = a m / (1 + a m), rest = 1 - share, inverse = 1 / (r + m), log_odds = log(1 + a m).
    const auto above = q > one;
    const T small = select(above, r / m, q), major = 1.0 / (1.0 + small), minor = small * major;
    const T share = select(above, major, minor), rest = select(above, minor, major);
    const T inverse = select(above, major / m, a * major), harmonic = select(above, r * major, m * major);
    const auto vast = q > T(1e290);
    T log_odds = log1p(q);
    if (any(vast)) log_odds = select(vast, log(m) + log(a), log_odds);

    // log t! outgrows everything else: no probability exceeds 1.
    const T log_factorial = lgamma_plus_one(t), cost = select(q < T(1e-40), m, zero_times(r, log_odds));
    const T value =
        select((log_factorial == infinity) & !is_nan(q), infinity,
               settled_difference(log_factorial - ascent + cost, zero_times(t, log(harmonic)), cost));

    // The gradient in a is -r^2 times that in r, or, where that cancels, two terms of its series at a = 0.
    const T by_r = select((t == infinity) & !is_nan(q), infinity, log_odds - (share - t * inverse) - rise);
    const T gap = m - t, first = 0.5 * gap * gap - 0.5 * t;
    const T second = q * m * (t - m * (2.0 / 3)) + u * (t * (0.5 - t * (1.0 / 3)) - 1.0 / 6);
    const T series = select(abs(first) == infinity, first, first + second);
    const T by_a = select((q < T(1e-9)) & (u < T(1e-9)), series, by_r * r * r);

    const auto absent = (t == zero) & (m >= zero);
    const T ratio = select(absent, zero, t / m), pull = select(absent, zero, ratio / m);
    return {value,
            {(1.0 - ratio) * rest, zero, -by_a},
            (pull * rest + zero_times(inverse, 2.0 * ratio - 1.0)) * rest};
}

// log G(x + 1/2) - log G(x) and its derivative for x > 0: x is raised by 16 with G(x + 1) = x G(x), then
// log w / 2 + sum of |E_2k| / (4 k (4 w)^2k) with alternating signs, w = x - 1/4 and E the Euler numbers.
template <class T>
struct gamma_step {
    T log, slope;
};

template <class T>
FUSEDLOSS_INLINE gamma_step<T> gamma_half_step(T x) {
    const auto raise = x < T(1000.0);
    const T from = select(raise, x, T(1.0));
    T upper(1.0), lower(1.0), upper_slope(0.0), lower_slope(0.0);
    for (int k = 0; k < 16; ++k) {
        const T f = from + (k + 0.5), g = from + double(k);
        upper_slope = upper_slope * f + upper;
        upper = upper * f;
        lower_slope = lower_slope * g + lower;
        lower = lower * g;
    }
    const T w = select(raise, x + 16.0, x) - 0.25, u = 1.0 / w, v = u * u;
    const T series = v * alternating(v, {1.0 / 64, 5.0 / 2048, 61.0 / 49152, 1385.0 / 1048576,
                                         50521.0 / 20971520, 2702765.0 / 402653184});
    const T series_slope = v * u *
                           alternating(v, {1.0 / 32, 5.0 / 512, 61.0 / 8192, 1385.0 / 131072,
                                           50521.0 / 2097152, 2702765.0 / 33554432});
    const T zero(0.0);
    return {0.5 * log(w) + series - select(raise, log(upper / lower), zero),
            0.5 * u - series_slope - select(raise, upper_slope / upper - lower_slope / lower, zero)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 5> eval(const evidential_nig& p, T gamma, T nu, T alpha, T beta, T target) {
    const residual<T> d(gamma, target);
    const T variance = 2.0 * beta * (1.0 + 1.0 / nu);  // 2 alpha times the squared scale
    const auto r = heavy_tail_of(d.e, sqrt(variance), d.unit);
    const auto step = gamma_half_step(alpha);
    const T twice = 2.0 * alpha + 1.0, lean = zero_times(r.share, alpha) - 0.5 * r.rest;
    const T penalty = zero_times(T(p.regularizer), d.back * abs(d.e)), side = p.regularizer * sign(d.e),
            evidence = 2.0 * nu + alpha;
    constexpr double log_pi = 0x1.250d048e7a1bdp+0;
    const T value = settled_difference(
        0.5 * (log(variance) + log_pi) + zero_times(r.log1p_square, alpha + 0.5), step.log, T(1.0));
    return {value + zero_times(penalty, evidence),
            {zero_times(d.unit * r.pull, twice) + zero_times(side, evidence),
             lean / (nu * (nu + 1.0)) + 2.0 * penalty, r.log1p_square - step.slope + penalty, -lean / beta,
             T(0.0)},
            T(0.0)};
}

// The cost of an event, and its first two derivatives in z.
template <class T>
struct survival_terms {
    T value, grad, hess;
};

// -log(1 - e^-x) for x > 0.
template <class T>
FUSEDLOSS_INLINE T minus_log1mexp(T x) {
    return log1p(1.0 / expm1(x));
}

// `width` is upper - lower.
template <class T>
FUSEDLOSS_INLINE survival_terms<T> censored_logistic(T lower, T upper, T width) {
    const auto l = logistic(lower), u = logistic(upper);
    return {u.softplus_neg + l.softplus + minus_log1mexp(width), l.sigmoid - u.sigmoid_neg,
            l.sigmoid * l.sigmoid_neg + u.sigmoid * u.sigmoid_neg};
}

// The smallest extreme value distribution, F(z) = 1 - exp(-e^z): with a = e^lower and d = e^upper - a, the
// cost is a - log(1 - e^-d).
template <class T>
FUSEDLOSS_INLINE survival_terms<T> censored_extreme(T lower, T upper, T width) {
    const T a = exp(lower), log_d = upper - minus_log1mexp(width), d = min(T(1000.0), exp(log_d));
    // Where d is too small to hold its digits, log(1 - e^-d) is log d.
    const auto tiny = log_d < T(-80.0);
    const auto decay = factor_of_exp(-d);
    const T fall = -expm1(-d), share = select(tiny, T(1.0), d * decay / fall);
    const T rest = select(tiny, -log_d, log1p(decay.whole / fall));
    const T taylor = d * (0.5 + d * (1.0 / 12 - d * d * (1.0 / 720)));  // of d + share - 1, which cancels
    const T bend = select(d < T(1e-3), taylor, d + share - 1.0);
    return {a + rest, a - share, a + select(tiny, bend, d * bend * decay / fall)};
}

// m (x + m) where m = phi(x) / Phi(x), which lies in (0, 1); far left by its asymptotic series.
template <class T>
FUSEDLOSS_INLINE T normal_bend(T x, T m) {
    const T v = 1.0 / (x * x);
    return select(x < T(-1000.0), alternating(v, {1.0, 1.0, 6.0, 50.0}), m * (x + m));
}

// A normal variable confined to m - h .. m + h: the mass there divided by phi(m), the mean less m, and the
// variance. By Gauss-Legendre quadrature with twelve nodes, good to a double where h and |m| h are at most 1.
template <class T>
struct normal_strip {
    T mass, mean, variance;
};

template <class T>
FUSEDLOSS_INLINE normal_strip<T> narrow_strip(T m, T h) {
    constexpr double node[] = {0.1252334085114689, 0.3678314989981802, 0.5873179542866175,
                               0.7699026741943047, 0.9041172563704749, 0.9815606342467192};
    constexpr double weight[] = {0.24914704581340277, 0.2334925365383548,  0.20316742672306592,
                                 0.16007832854334622, 0.10693932599531843, 0.04717533638651183};
    T mass(0.0), first(0.0), second(0.0);
    for (int i = 0; i < 6; ++i) {
        const T s = node[i] * h, fall = -0.5 * s * s, tilt = m * s;
        const T below = weight[i] * exp(fall + tilt), above = weight[i] * exp(fall - tilt);
        mass = mass + (below + above);
        first = first + s * (above - below);
        second = second + s * s * (below + above);
    }
    const T mean = first / mass;
    return {h * mass, mean, second / mass - mean * mean};
}

template <class T>
FUSEDLOSS_INLINE survival_terms<T> censored_normal(T lower, T upper, T width) {
    // Mirrored so that q, the upper end, is the one nearer to the mode.
    const T zero(0.0), one(1.0), infinity(__builtin_inf());
    const auto mirror = lower + upper > zero;
    const T p = select(mirror, -upper, lower), q = select(mirror, -lower, upper);
    const T sum = select(p == -infinity, p, p + q);
    // The tail beyond |q| is phi(q) over this ratio, which keeps its relative accuracy.
    const auto left = q < zero;
    const T log_density = -0.5 * q * q - half_log_2pi, at_tail = ndtr_ratio(-abs(q));
    const T density = exp(log_density), tail = density / at_tail;
    const T at_q = select(left, at_tail, density / (1.0 - tail));
    const T log_q = select(left, log_density - log(at_tail), log1p(-tail));
    // phi(p) / phi(q) - 1 and phi(p) / phi(q); Phi(p) / Phi(q).
    const T drop = expm1(0.5 * width * sum), ratio = exp(0.5 * width * sum);
    const auto alone = ratio == zero;
    const T mass_ratio = select(alone, zero, ratio * (at_q / ndtr_ratio(p)));
    const T inner = at_q / (1.0 - mass_ratio), outer = inner * ratio;  // phi(q) and phi(p) over the mass
    T value = -log_q - log1p(-mass_ratio), slope = -inner * drop;
    T bend = select(alone, select(q == infinity, zero, normal_bend(q, at_q)),
                    q * inner - zero_times(outer, p) + slope * slope);

    const T m = 0.5 * sum, h = 0.5 * width;
    const auto narrow = (h < T(0.7)) & (-m * h < one);
    if (any(narrow)) {
        const auto strip = narrow_strip(select(narrow, m, zero), select(narrow, h, one));
        value = select(narrow, 0.5 * m * m + half_log_2pi - log(strip.mass), value);
        slope = select(narrow, -(m + strip.mean), slope);
        bend = select(narrow, 1.0 - strip.variance, bend);
    }
    return {value, select(mirror, slope, -slope), max(zero, min(one, bend))};
}

// (t - x) / s; an infinite bound stays where it is.
template <class T>
FUSEDLOSS_INLINE T standardised(T t, T x, T s) {
    return select(abs(t) == T(__builtin_inf()), poisoned_by(x, t), (t - x) / s);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const aft_nll& p, T x, T target_lower, T target_upper) {
    const T s = p.scale, log_lower = log(target_lower), log_upper = log(target_upper);
    const T width = at_least(T(0.0), (log_upper - log_lower) / s);
    const T lower = standardised(log_lower, x, s), upper = poisoned_by(width, standardised(log_upper, x, s));
    survival_terms<T> exact, censored;
    if (p.distribution == aft_nll::logistic) {
        const auto z = logistic(lower);
        exact = {z.softplus + z.softplus_neg, tanh(0.5 * lower), 2.0 * z.sigmoid * z.sigmoid_neg};
        censored = censored_logistic(lower, upper, width);
    } else if (p.distribution == aft_nll::extreme) {
        const T rate = exp(lower);
        exact = {settled_difference(rate, lower, rate), expm1(lower), rate};
        censored = censored_extreme(lower, upper, width);
    } else {
        exact = {0.5 * lower * lower + half_log_2pi, lower, poisoned_by(lower, T(1.0))};
        censored = censored_normal(lower, upper, width);
    }
    const auto uncensored = target_lower == target_upper;
    return input_terms<3>(select(uncensored, exact.value + log(s) + log_lower, censored.value),
                          -select(uncensored, exact.grad, censored.grad) / s,
                          select(uncensored, exact.hess, censored.hess) / (s * s));
}

FUSEDLOSS_END
