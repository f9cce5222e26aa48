// Elementary functions of packs; special.hpp has the others. Every stated bound is held by
// tests/cpp/test_math.cpp: ULP of the result in float, in double; where it differs without fused multiply-add
// (x86-64 baseline), that bound in brackets.
//
// Polynomials are near-minimax fits made for this library: Lawson's iterated least squares on Chebyshev
// nodes in 70-digit arithmetic, coefficients rounded one after another so that the later ones absorb the
// rounding of the earlier. Argument reductions are exact without fma too: the high parts of constants end
// in enough zeros. Functions of floats are pasted into the kernels; those of doubles are called.
#pragma once

#include "pack.hpp"

FUSEDLOSS_BEGIN

template <class T>
struct format;
template <>
struct format<float> {
    static constexpr int mantissa = 23, bias = 127;
    // Adding it rounds a small number to an integer, which then stands in the low bits.
    static constexpr double round_shift = 0x1.8p23;
    static constexpr double lowest_exp = -104.0, highest_exp = 89.0;  // where e^x is 0, is infinite
    static constexpr double spent = 124.0;  // where e^-x is 0 even if multiplied by x
    // If e^x = 2^k p, then 2^(k + guard) for x < 0 and 2^(k - guard) for x >= 0 are normal numbers.
    static constexpr int guard = 64;
    static constexpr double guard_power = 0x1p64;
    // ln2_hi times an exponent is exact; ln2 is the nearest float.
    static constexpr double ln2_hi = 0x1.62e4p-1, ln2_lo = 0x1.7f7d1cf79abcap-20;
    static constexpr double ln2 = 0x1.62e43p-1, ln2_rest = -0x1.05c610ca86c39p-29;
    static constexpr double pi_4 = 0x1.921fb6p-1, pi_4_rest = -0x1.777a5cf72cecep-26;
    static constexpr double smallest_normal = 0x1p-126;
    static constexpr std::int32_t sqrt_half_bits = 0x3f3504f3;
};
template <>
struct format<double> {
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double round_shift = 0x1.8p52;
    static constexpr double lowest_exp = -746.0, highest_exp = 710.0;
    static constexpr double spent = 766.0;
    static constexpr int guard = 512;
    static constexpr double guard_power = 0x1p512;
    static constexpr double ln2_hi = 0x1.62e42fefa38p-1, ln2_lo = 0x1.ef35793c7673p-45;
    static constexpr double ln2 = 0x1.62e42fefa39efp-1, ln2_rest = 0x1.abc9e3b39803fp-56;
    static constexpr double pi_4 = 0x1.921fb54442d18p-1, pi_4_rest = 0x1.1a62633145c07p-55;
    static constexpr double smallest_normal = 0x1p-1022;
    static constexpr std::int64_t sqrt_half_bits = 0x3fe6a09e667f3bcd;
};
template <>
struct format<wide_float> : format<double> {};
// Whether the last digits of T do not count: a float needs little more than half of a double.
template <class T>
inline constexpr bool spare_digits = false;
template <>
inline constexpr bool spare_digits<wide_float> = true;

inline constexpr double log2_e = 0x1.71547652b82fep0;

// Several packs, step by step next to each other: they wait less for their results.
template <class T, int N>
struct packs {
    pack<T> part[N];
    packs() = default;
    FUSEDLOSS_INLINE packs(double s) {
        for (pack<T>& p : part) p = s;
    }
};
template <class T, int N>
FUSEDLOSS_INLINE packs<T, N> fma(packs<T, N> a, const packs<T, N>& b, const packs<T, N>& c) {
    for (int i = 0; i < N; ++i) a.part[i] = fma(a.part[i], b.part[i], c.part[i]);
    return a;
}

// c0 + c1 x + c2 x^2 + ... by Horner's rule; x is a pack or several.
template <class X>
FUSEDLOSS_INLINE X polynomial(const X&, double c0) {
    return c0;
}
template <class X, class... C>
FUSEDLOSS_INLINE X polynomial(const X& x, double c0, C... higher) {
    return fma(x, polynomial(x, higher...), X(c0));
}

// The same in two chains, of the even and of the odd powers: half as long to wait for, but the chains may
// cancel, which takes digits to spare.
template <class T, class... C>
FUSEDLOSS_INLINE pack<T> two_chains(pack<T> x, C... coefficients) {
    constexpr int n = sizeof...(C);
    const double c[n] = {coefficients...};
    const pack<T> z = x * x;
    pack<T> r[2] = {c[n - 1], c[n - 2]};
    for (int i = n - 3; i >= 0; --i) r[(n - 1 - i) % 2] = fma(r[(n - 1 - i) % 2], z, pack<T>(c[i]));
    return n % 2 ? fma(r[1], x, r[0]) : fma(r[0], x, r[1]);
}

// --- exponentials ---

// (e^r - 1 - r) / r^2 for |r| <= ln2 / 2.
template <class X>
FUSEDLOSS_INLINE X float_exp_series(const X& r) {
    return polynomial(r, 0.49999997, 0.166665435, 0.0416675806, 0.00836649351, 0.00138573756);
}
FUSEDLOSS_INLINE pack<float> exp_series(pack<float> r) { return float_exp_series(r); }
FUSEDLOSS_INLINE pack<double> exp_series(pack<double> r) {
    return polynomial(r, 0.5000000000000013, 0.16666666666666688, 0.04166666666651001, 0.008333333333313316,
                      0.0013888888948458717, 0.00019841269905419699, 2.4801488424797774e-05,
                      2.755722622862073e-06, 2.763183138487133e-07, 2.5114894431702107e-08);
}

FUSEDLOSS_INLINE pack<wide_float> exp_series(pack<wide_float> r) {
    return two_chains(r, 0.4999999999980571, 0.16666666666796473, 0.041666666890193896, 0.008333333277915791,
                      0.0013888821540309164, 0.00019841320007331996, 2.487629864663399e-05,
                      2.7576043550993657e-06);
}

// x = k ln2_hi + rest exactly, k an integer; k_shifted holds k + offset in its low bits.
template <class T>
struct reduced_exponent {
    pack<T> k_shifted, k, rest;
};
template <class T>
FUSEDLOSS_INLINE reduced_exponent<T> reduce_exponent(pack<T> x, pack<T> offset) {
    using F = format<T>;
    const pack<T> shift = F::round_shift + offset, k_shifted = fma(x, pack<T>(log2_e), shift);
    const pack<T> k = k_shifted - shift;
    return {k_shifted, k, fma(k, pack<T>(-F::ln2_hi), x)};
}
// e^(rest - k ln2_lo + x_lo) - 1. Floats do without x_lo; in double what the argument rounds off is kept.
template <class T>
FUSEDLOSS_INLINE pack<T> reduced_expm1(pack<T> k, pack<T> rest, pack<T>) {
    const pack<T> r = fma(k, pack<T>(-format<T>::ln2_lo), rest);
    return fma(r * r, exp_series(r), r);
}
FUSEDLOSS_INLINE pack<double> reduced_expm1(pack<double> k, pack<double> rest, pack<double> x_lo) {
    const pack<double> low = fma(k, pack<double>(-format<double>::ln2_lo), x_lo), r = rest + low;
    return r + fma(r * r, exp_series(r), (rest - r) + low);
}
template <class T, int N>
FUSEDLOSS_INLINE void reduced_expm1(const pack<T> (&k)[N], const pack<T> (&rest)[N], const pack<T> (&x_lo)[N],
                                    pack<T> (&em1)[N]) {
    if constexpr (sizeof(T) == 4) {
        packs<T, N> r;
        for (int i = 0; i < N; ++i) r.part[i] = fma(k[i], pack<T>(-format<T>::ln2_lo), rest[i]);
        const packs<T, N> series = float_exp_series(r);
        for (int i = 0; i < N; ++i) em1[i] = fma(r.part[i] * r.part[i], series.part[i], r.part[i]);
    } else {
        for (int i = 0; i < N; ++i) em1[i] = reduced_expm1(k[i], rest[i], x_lo[i]);
    }
}
// The float whose exponent field is what `shifted` holds in its low bits.
template <class T>
FUSEDLOSS_INLINE pack<T> power_of_two(pack<T> shifted) {
    return from_bits(as_bits(shifted) << format<T>::mantissa);
}

// e^(x + x_lo) for |x_lo| <= ulp(x). 2^k alone may lie outside the normal range, so it is applied in two
// factors of which the last rounds: subnormal results are rounded once.
template <class T>
FUSEDLOSS_INLINE pack<T> exp_sum(pack<T> x, pack<T> x_lo) {
    using F = format<T>;
    const pack<T> limited = min(pack<T>(F::highest_exp), max(pack<T>(F::lowest_exp), x));
    const auto negative = x < pack<T>(0.0);
    const pack<T> offset = select(negative, pack<T>(F::bias + F::guard), pack<T>(F::bias - F::guard));
    const pack<T> guard = select(negative, pack<T>(1 / F::guard_power), pack<T>(F::guard_power));
    const auto e = reduce_exponent(limited, offset);
    return fma(reduced_expm1(e.k, e.rest, x_lo), guard, guard) * power_of_two(e.k_shifted);
}
// Max error 1 ULP (float), 1 ULP (double), subnormals included. exp(-inf) = 0, NaN stays NaN.
FUSEDLOSS_INLINE pack<float> exp(pack<float> x) { return exp_sum(x, pack<float>(0.0)); }
FUSEDLOSS_OUTLINE pack<double> exp(pack<double> x) { return exp_sum(x, pack<double>(0.0)); }
FUSEDLOSS_INLINE pack<wide_float> exp(pack<wide_float> x) { return exp_sum(x, pack<wide_float>(0.0)); }

// e^-(a + a_lo) = fraction * power for a >= 0. The power alone may make it subnormal: a product in which it
// comes last is rounded once there.
template <class T>
struct exponential_parts {
    pack<T> fraction, power;
};
template <class T>
FUSEDLOSS_INLINE exponential_parts<T> exp_minus_parts(pack<T> a, pack<T> a_lo = 0.0) {
    using F = format<T>;
    const pack<T> limited = min(pack<T>(F::spent), a), shift = F::round_shift + (F::bias + F::guard);
    const pack<T> k_shifted = fma(limited, pack<T>(-log2_e), shift), k = k_shifted - shift;
    const pack<T> rest = fma(k, pack<T>(-F::ln2_hi), -limited), guard = 1 / F::guard_power;
    return {fma(reduced_expm1(k, rest, -a_lo), guard, guard), power_of_two(k_shifted)};
}
// e^-a for a >= 0, the common part of everything logistic: as exp, with one sign to care for.
template <class T>
FUSEDLOSS_INLINE pack<T> exp_minus(pack<T> a) {
    const auto parts = exp_minus_parts(a);
    return parts.fraction * parts.power;
}

// The same of several packs.
template <class T, int N>
FUSEDLOSS_INLINE void exp_minus(const pack<T> (&a)[N], pack<T> (&e)[N]) {
    using F = format<T>;
    const pack<T> shift = F::round_shift + (F::bias + F::guard), guard = 1 / F::guard_power;
    pack<T> limited[N], k_shifted[N], k[N], rest[N], low[N], em1[N];
    for (int i = 0; i < N; ++i) limited[i] = min(pack<T>(F::spent), a[i]);
    for (int i = 0; i < N; ++i) k_shifted[i] = fma(limited[i], pack<T>(-log2_e), shift);
    for (int i = 0; i < N; ++i) k[i] = k_shifted[i] - shift;
    for (int i = 0; i < N; ++i) rest[i] = fma(k[i], pack<T>(-F::ln2_hi), -limited[i]);
    for (int i = 0; i < N; ++i) low[i] = 0.0;
    reduced_expm1(k, rest, low, em1);
    for (int i = 0; i < N; ++i) e[i] = fma(em1[i], guard, guard) * power_of_two(k_shifted[i]);
}

// e^x - 1 = 2^k ((1 - 2^-k) + (e^r - 1)), the sum of 1 - 2^-k and r being exact in two parts.
template <class T>
FUSEDLOSS_INLINE pack<T> expm1_any(pack<T> x) {
    using F = format<T>;
    const pack<T> limited = min(pack<T>(F::highest_exp), max(pack<T>(-0.75 * F::mantissa), x));
    const auto e = reduce_exponent(limited, pack<T>(F::bias - 1.0));
    const pack<T> low = e.k * -F::ln2_lo, r = e.rest + low, r_lo = (e.rest - r) + low;
    const pack<T> scale = power_of_two(e.k_shifted);  // 2^(k - 1): 2^k overflows before the result does
    const pack<T> inverse =
        from_bits(bits<T>(typename bits<T>::scalar(2 * F::bias) << F::mantissa) - as_bits(scale));
    const pack<T> step = 1.0 - 0.5 * inverse, step_lo = (1.0 - step) - 0.5 * inverse;
    const pack<T> sum = step + r, rest = (r - (sum - step)) + (step_lo + r_lo);
    const pack<T> half = sum + fma(r * r, exp_series(r), rest);
    return select(x == pack<T>(0.0), x, (half + half) * scale);
}
// Max error 1 [1.2] ULP (float), 1.2 ULP (double). expm1(+-0) = +-0, expm1(-inf) = -1, NaN stays NaN.
FUSEDLOSS_INLINE pack<float> expm1(pack<float> x) { return expm1_any(x); }
FUSEDLOSS_OUTLINE pack<double> expm1(pack<double> x) { return expm1_any(x); }
FUSEDLOSS_OUTLINE pack<wide_float> expm1(pack<wide_float> x) { return expm1_any(x); }

// --- logarithms ---

// ((log((1 + s) / (1 - s)) - 2 s) / s) / z where z = s^2 and 1/sqrt2 <= (1 + s) / (1 - s) <= sqrt2.
FUSEDLOSS_INLINE pack<float> log_series(pack<float> z) {
    return polynomial(z, 0.666666627, 0.400008708, 0.28508541, 0.240598276);
}
FUSEDLOSS_INLINE pack<double> log_series(pack<double> z) {
    return polynomial(z, 0.6666666666666734, 0.3999999999941142, 0.28571428743616367, 0.22222198425668852,
                      0.18183572560454803, 0.1531383041777796, 0.1479822589961568);
}

FUSEDLOSS_INLINE pack<wide_float> log_series(pack<wide_float> z) {
    return polynomial(z, 0.6666666667594316, 0.39999995561565255, 0.2857211531958411, 0.22175942117628186,
                      0.19587584371710237);
}

// x = 2^k m with 1/sqrt2 <= m < sqrt2, for normal x > 0.
template <class T>
struct binary_parts {
    pack<T> k, m;
    bits<T> exponent;  // k in place
};
template <class T>
FUSEDLOSS_INLINE binary_parts<T> split_exponent(pack<T> x) {
    using F = format<T>;
    const bits<T> k = (as_bits(x) - bits<T>(F::sqrt_half_bits)) >> F::mantissa, exponent = k << F::mantissa;
    const pack<T> k_shifted = from_bits(k + as_bits(pack<T>(F::round_shift)));
    return {k_shifted - F::round_shift, from_bits(as_bits(x) - exponent), exponent};
}

// log(2^k (m + m_lo)), where log(m) = f - (f^2/2 - s (f^2/2 + z log_series(z))), s = f / (2 + f), f = m - 1.
template <class T>
FUSEDLOSS_INLINE pack<T> log_parts(pack<T> k, pack<T> m, pack<T> m_lo) {
    using F = format<T>;
    const pack<T> f = m - 1.0, s = f / (2.0 + f), z = s * s, half_square = 0.5 * f * f;
    const pack<T> one_s = 1.0 - s;  // (1 - s)^2 is 1 / m to the few digits that m_lo needs
    const pack<T> low = fma(m_lo, one_s * one_s, k * F::ln2_lo);
    return fma(k, pack<T>(F::ln2_hi), f - (half_square - fma(s, fma(z, log_series(z), half_square), low)));
}
// log at the ends of its range: log(0) = -inf, log(< 0) = NaN, log(inf) = inf, NaN stays NaN.
template <class T>
FUSEDLOSS_INLINE pack<T> with_log_limits(pack<T> x, pack<T> result) {
    const pack<T> infinity(__builtin_inf()), nan(__builtin_nan(""));
    const pack<T> limit = select(x < pack<T>(0.0), nan, select(x == pack<T>(0.0), -infinity, x));
    return select((x > pack<T>(0.0)) & (x < infinity), result, limit);
}
// log(u + u_lo) for |u_lo| <= ulp(u), u not subnormal.
template <class T>
FUSEDLOSS_INLINE pack<T> log_sum(pack<T> u, pack<T> u_lo) {
    const auto p = split_exponent(u);
    // u_lo counts only while u is small; beyond, its scale 2^-k may not exist.
    const pack<T> scale = from_bits(as_bits(pack<T>(1.0)) - p.exponent);
    const pack<T> m_lo = select(u < pack<T>(format<T>::guard_power), u_lo * scale, pack<T>(0.0));
    return with_log_limits(u, log_parts(p.k, p.m, m_lo));
}

template <class T>
FUSEDLOSS_INLINE pack<T> log_any(pack<T> x) {
    const auto subnormal = x < pack<T>(format<T>::smallest_normal);
    const auto p = split_exponent(select(subnormal, x * 0x1p64, x));
    const pack<T> k = p.k - select(subnormal, pack<T>(64.0), pack<T>(0.0));
    return with_log_limits(x, log_parts(k, p.m, pack<T>(0.0)));
}
// Max error 1 ULP (float), 1 ULP (double), subnormals included. log(+-0) = -inf, log(x < 0) = NaN,
// log(inf) = inf, NaN stays NaN.
FUSEDLOSS_INLINE pack<float> log(pack<float> x) { return log_any(x); }
FUSEDLOSS_OUTLINE pack<double> log(pack<double> x) { return log_any(x); }
FUSEDLOSS_INLINE pack<wide_float> log(pack<wide_float> x) { return log_any(x); }

template <class T>
FUSEDLOSS_INLINE pack<T> log1p_any(pack<T> x) {
    const pack<T> u = 1.0 + x, t = u - 1.0, u_lo = (1.0 - (u - t)) + (x - t);
    return select(x == pack<T>(0.0), x, log_sum(u, u_lo));
}
// Max error 1 ULP (float), 1 ULP (double). log1p(+-0) = +-0, log1p(-1) = -inf, NaN below, log1p(inf) = inf.
FUSEDLOSS_INLINE pack<float> log1p(pack<float> x) { return log1p_any(x); }
FUSEDLOSS_OUTLINE pack<double> log1p(pack<double> x) { return log1p_any(x); }
FUSEDLOSS_OUTLINE pack<wide_float> log1p(pack<wide_float> x) { return log1p_any(x); }

// --- logistic functions ---

// (log(1 + u) / u - 1) / u for 0 <= u <= 1.
FUSEDLOSS_INLINE pack<float> log1p_series(pack<float> u) {
    return polynomial(u, -0.499999344, 0.333305359, -0.24958697, 0.196955621, -0.153552294, 0.106796473,
                      -0.0576515496, 0.0201962776, -0.00331639708);
}
FUSEDLOSS_INLINE pack<double> log1p_series(pack<double> u) {
    return polynomial(u, -0.4999999999999948, 0.33333333333238013, -0.2499999999382969, 0.19999999795205714,
                      -0.16666662556886477, 0.14285659475086904, -0.12499483631945832, 0.11107526508500132,
                      -0.09981094026672288, 0.09013388721291048, -0.08081756432311421, 0.0703653372130873,
                      -0.057516185256846125, 0.0423159310285557, -0.026757584916540712, 0.013847458790207916,
                      -0.005547328036784677, 0.001597124059502448, -0.0002920403042290586,
                      2.5356066226301087e-05);
}
FUSEDLOSS_INLINE pack<wide_float> log1p_series(pack<wide_float> u) {
    return two_chains(u, -0.4999999999722422, 0.3333333303829412, -0.2499998895489957, 0.19999789157961376,
                      -0.16664250780578033, 0.1426749676319226, -0.12404155451141455, 0.10744940578896525,
                      -0.08953822336625321, 0.06801360503857352, -0.04404811945382839, 0.022567987621024164,
                      -0.008367358600715077, 0.0019649729295134017, -0.00021732715343575503);
}
// log(1 + e) for 0 <= e <= 1.
template <class T>
FUSEDLOSS_INLINE pack<T> log_of_one_plus(pack<T> e) {
    return fma(e * e, log1p_series(e), e);
}
// 1 / (1 + e) for 0 <= e <= 1, with one Newton step: 1 - s being exact, it undoes the rounding of 1 + e too.
template <class T>
FUSEDLOSS_INLINE pack<T> reciprocal_of_one_plus(pack<T> e) {
    const pack<T> s = 1.0 / (1.0 + e);
    return spare_digits<T> ? s : fma(s, fma(-e, s, 1.0 - s), s);
}

template <class T>
struct logistic_terms {
    T sigmoid, sigmoid_neg;    // 1 / (1 + e^-x), 1 / (1 + e^x)
    T softplus, softplus_neg;  // log(1 + e^x), log(1 + e^-x)
};
// m + log(1 + e) where m = 0 or e = e^-m, with series = log1p_series(e).
template <class T>
FUSEDLOSS_INLINE pack<T> softplus_sum(pack<T> m, pack<T> e, pack<T> series) {
    if constexpr (spare_digits<T> || (sizeof(T) == 4 && has_fma)) {
        return m + fma(e * e, series, e);
    } else {
        // Keeping what m + e rounds off saves half a ULP. Where m is infinite that is NaN, which max drops.
        const pack<T> sum = m + e, rest = max(m - (sum - e), pack<T>(-1.0));
        return sum + fma(e * e, series, rest);
    }
}
template <class T>
FUSEDLOSS_INLINE logistic_terms<pack<T>> logistic_any(pack<T> x) {
    const pack<T> e = exp_minus(abs(x)), series = log1p_series(e), zero(0.0);
    const pack<T> larger = reciprocal_of_one_plus(e), smaller = e * larger;
    const auto negative = is_negative(x);
    return {select(negative, smaller, larger), select(negative, larger, smaller),
            softplus_sum(max(zero, x), e, series), softplus_sum(-min(zero, x), e, series)};
}
// All four from one e^-|x|, down to its underflow. Max error: sigmoids 2 ULP (float), 2 ULP (double);
// softplus 1.8 [1.9] ULP (float), 1.8 [2.1] ULP (double). Exact limits at +-inf, NaN stays NaN.
FUSEDLOSS_INLINE logistic_terms<pack<float>> logistic(pack<float> x) { return logistic_any(x); }
FUSEDLOSS_OUTLINE logistic_terms<pack<double>> logistic(pack<double> x) { return logistic_any(x); }
FUSEDLOSS_INLINE logistic_terms<pack<wide_float>> logistic(pack<wide_float> x) { return logistic_any(x); }
FUSEDLOSS_INLINE pack<float> sigmoid(pack<float> x) { return logistic_any(x).sigmoid; }
FUSEDLOSS_OUTLINE pack<double> sigmoid(pack<double> x) { return logistic_any(x).sigmoid; }
FUSEDLOSS_INLINE pack<wide_float> sigmoid(pack<wide_float> x) { return logistic_any(x).sigmoid; }
FUSEDLOSS_INLINE pack<float> softplus(pack<float> x) { return logistic_any(x).softplus; }
FUSEDLOSS_OUTLINE pack<double> softplus(pack<double> x) { return logistic_any(x).softplus; }
FUSEDLOSS_OUTLINE pack<wide_float> softplus(pack<wide_float> x) { return logistic_any(x).softplus; }

// (tanh(x) / x - 1) / z where z = x^2 <= 0.7^2.
FUSEDLOSS_INLINE pack<float> tanh_series(pack<float> z) {
    return polynomial(z, -0.333333254, 0.133329988, -0.0539221466, 0.0215753932, -0.00789070129,
                      0.00190045265);
}
FUSEDLOSS_INLINE pack<double> tanh_series(pack<double> z) {
    return polynomial(z, -0.3333333333333333, 0.1333333333333307, -0.05396825396810951, 0.02186948853194296,
                      -0.008863235454607135, 0.003592127144855346, -0.0014558270524415104,
                      0.0005899843061779003, -0.00023894473063388515, 9.633885001823028e-05,
                      -3.7963553090706016e-05, 1.375926599842117e-05, -3.953340906968651e-06,
                      6.376308256412378e-07);
}
template <class T>
FUSEDLOSS_INLINE pack<T> tanh_any(pack<T> x) {
    const pack<T> a = abs(x), e = exp_minus(a + a), z = x * x;
    const pack<T> large = fma(-2.0 * e, reciprocal_of_one_plus(e), pack<T>(1.0));
    return copysign(select(a < pack<T>(0.7), fma(a, z * tanh_series(z), a), large), x);
}
// Max error 1 ULP (float), 1 ULP (double). Odd, tanh(+-inf) = +-1, NaN stays NaN.
FUSEDLOSS_INLINE pack<float> tanh(pack<float> x) { return tanh_any(x); }
FUSEDLOSS_OUTLINE pack<double> tanh(pack<double> x) { return tanh_any(x); }

// (log(cosh(x)) / z - 1/2) / z where z = x^2 <= 1.
FUSEDLOSS_INLINE pack<float> log_cosh_series(pack<float> z) {
    return polynomial(z, -0.0833333135, 0.0222216584, -0.00674079545, 0.00216385629, -0.00068289804,
                      0.000178593618, -2.62711274e-05);
}
FUSEDLOSS_INLINE pack<double> log_cosh_series(pack<double> z) {
    return polynomial(
        z, -0.08333333333333333, 0.022222222222221397, -0.006746031745990947, 0.0021869488526644098,
        -0.0007386029480046342, 0.00025658046277917713, -9.0988985966822e-05, 3.277647132510228e-05,
        -1.194756261633606e-05, 4.3843183184105055e-06, -1.5993227428911638e-06, 5.61751702058065e-07,
        -1.7825979294165349e-07, 4.6091814454678644e-08, -8.27719070143692e-09, 7.478407799076649e-10);
}

// log(cosh(x + x_lo)) for |x_lo| <= ulp(x), finite where x is.
template <class T>
FUSEDLOSS_INLINE pack<T> log_cosh_sum(pack<T> x, pack<T> x_lo) {
    using F = format<T>;
    const pack<T> a = abs(x), e = exp_minus(a + a), z = x * x, z_lo = fma(x, x, -z);
    const pack<T> small = fma(pack<T>(0.5), z, fma(z, z * log_cosh_series(z), fma(x, x_lo, 0.5 * z_lo)));
    const pack<T> large = (a - F::ln2) + (log_of_one_plus(e) + (times_sign(x_lo, x) - F::ln2_rest));
    return select(a < pack<T>(1.0), small, large);
}
template <class T>
FUSEDLOSS_INLINE pack<T> log_cosh_any(pack<T> x) {
    return log_cosh_sum(x, pack<T>(0.0));
}
// log(cosh(x)), x^2 / 2 near 0. Max error 1.1 [1.5] ULP (float), 1.1 [1.5] ULP (double).
// log_cosh(+-inf) = inf, NaN stays NaN.
FUSEDLOSS_INLINE pack<float> log_cosh(pack<float> x) { return log_cosh_any(x); }
FUSEDLOSS_OUTLINE pack<double> log_cosh(pack<double> x) { return log_cosh_any(x); }
// The same of an unevaluated sum, whose second part means nothing where the first is infinite.
template <class T>
FUSEDLOSS_INLINE pack<T> log_cosh(pack<T> x, pack<T> x_lo) {
    const pack<T> a = abs(x);
    return select(a < pack<T>(__builtin_inf()), log_cosh_sum(x, x_lo), a);
}

// --- arc tangent ---

// (atan(t) / t - 1) / z where z = t^2, |t| <= 0.6.
FUSEDLOSS_INLINE pack<float> atan_series(pack<float> z) {
    return polynomial(z, -0.333333284, 0.199996725, -0.142780706, 0.110235982, -0.0853431448, 0.0562675148,
                      -0.0214839838);
}
FUSEDLOSS_INLINE pack<double> atan_series(pack<double> z) {
    return polynomial(z, -0.33333333333333326, 0.19999999999997733, -0.14285714285474943, 0.11111111098407249,
                      -0.09090908690890671, 0.07692299496570888, -0.0666655099231475, 0.058811862029580275,
                      -0.052545479365103925, 0.04714763572875787, -0.04155047847592072, 0.03410681215944624,
                      -0.023606082946720904, 0.011680860987081577, -0.0029663417970067388);
}
// atan(a / b) = atan(t) + {0, pi/4, pi/2} with t = {a / b, (a - b) / (a + b), -b / a}, for a >= 0, b > 0.
template <class T>
FUSEDLOSS_INLINE pack<T> atan_positive(pack<T> a, pack<T> b) {
    using F = format<T>;
    const pack<T> zero(0.0), one(1.0);
    const auto middle = a > 0.6 * b, upper = a > (1.0 / 0.6) * b;
    const pack<T> numerator = select(upper, -b, select(middle, a - b, a));
    const pack<T> t = numerator / select(upper, a, select(middle, a + b, b));
    const pack<T> quarters = select(upper, pack<T>(2.0), select(middle, one, zero)), z = t * t;
    const pack<T> low = fma(t, z * atan_series(z), quarters * F::pi_4_rest);
    return fma(quarters, pack<T>(F::pi_4), t + low);
}
template <class T>
FUSEDLOSS_INLINE pack<T> atan_any(pack<T> x) {
    return copysign(atan_positive(abs(x), pack<T>(1.0)), x);
}
// Max error 1 ULP (float), 1 ULP (double). Odd, atan(+-inf) = +-pi/2, NaN stays NaN.
FUSEDLOSS_INLINE pack<float> atan(pack<float> x) { return atan_any(x); }
FUSEDLOSS_OUTLINE pack<double> atan(pack<double> x) { return atan_any(x); }
// atan(a / b) for a, b >= 0, with a single division: pi/2 for b = 0, but 0 for a = 0. Max error 2 ULP;
// overflows where a + b does.
template <class T>
FUSEDLOSS_INLINE pack<T> atan_of_ratio(pack<T> a, pack<T> b) {
    return atan_positive(a, select(a == pack<T>(0.0), pack<T>(1.0), b));
}

// --- power ---

struct double_double {
    pack<double> hi, lo;
};
FUSEDLOSS_INLINE double_double exact_product(pack<double> a, pack<double> b) {
    const pack<double> p = a * b;
    if constexpr (has_fma) {
        return {p, fma(a, b, -p)};
    } else {
        const bits<double> upper(~((std::int64_t(1) << 27) - 1));
        const pack<double> a1 = from_bits(as_bits(a) & upper), a2 = a - a1;
        const pack<double> b1 = from_bits(as_bits(b) & upper), b2 = b - b1;
        return {p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2};
    }
}
// |a| >= |b| or a = 0.
FUSEDLOSS_INLINE double_double exact_sum(pack<double> a, pack<double> b) {
    const pack<double> s = a + b;
    return {s, b - (s - a)};
}

// log(x) to about 2^-65 for 0 < x < inf: k ln2 + 2 s + s^3 (2/3 + z series), s = (m - 1) / (m + 1), z = s^2.
FUSEDLOSS_INLINE double_double log_extended(pack<double> x) {
    using F = format<double>;
    const auto subnormal = x < pack<double>(0x1p-1022);
    const auto b = split_exponent(select(subnormal, x * 0x1p64, x));
    const pack<double> k = b.k - select(subnormal, pack<double>(64.0), pack<double>(0.0));
    const pack<double> f = b.m - 1.0;
    const double_double d = exact_sum(2.0, f);
    const pack<double> inverse = 1.0 / d.hi, s = f * inverse;
    const double_double back = exact_product(s, d.hi);
    const pack<double> s_lo = (((f - back.hi) - back.lo) - s * d.lo) * inverse;
    const double_double square = exact_product(s, s);
    const pack<double> z = square.hi, z_lo = fma(s + s, s_lo, square.lo);
    const pack<double> series =
        polynomial(z, 0.4000000000000226, 0.2857142857009835, 0.22222222520276905, 0.1818178431949737,
                   0.1538676023328202, 0.13256736190026408, 0.1319719280330286);
    const double_double c = exact_sum(0x1.5555555555555p-1, z * series);
    const double_double p = exact_product(z, c.hi);
    const double_double q = exact_sum(2.0, p.hi);
    const pack<double> q_lo = q.lo + (p.lo + fma(z, c.lo + 0x1.5555555555555p-55, z_lo * c.hi));
    const double_double v = exact_product(s, q.hi);
    const double_double sum = exact_sum(k * F::ln2_hi, v.hi);
    return exact_sum(sum.hi, sum.lo + (v.lo + fma(s, q_lo, fma(s_lo, q.hi, k * F::ln2_lo))));
}

// x^y for x >= 0 (NaN for x < 0). Max error 0.51 ULP (float), 1.1 ULP (double). pow(x, 0) = pow(1, y) = 1,
// pow(0, y < 0) = inf; unlike std::pow, NaN in either argument gives NaN, so that it is never hidden.
FUSEDLOSS_OUTLINE pack<double> pow(pack<double> x, pack<double> y) {
    const pack<double> zero(0.0), one(1.0), infinity(__builtin_inf());
    // Beyond 2^70 every x but 1 gives 0 or inf already; the limit keeps the products below finite.
    const pack<double> exponent = min(pack<double>(0x1p70), max(pack<double>(-0x1p70), y));
    const double_double l = log_extended(x), p = exact_product(exponent, l.hi);
    const pack<double> hi = min(pack<double>(2000.0), max(pack<double>(-2000.0), p.hi));
    const pack<double> regular = exp_sum(hi, select(hi == p.hi, fma(exponent, l.lo, p.lo), zero));
    const pack<double> at_limit = select((x == zero) ^ (y > zero), infinity, zero);  // x = 0 or inf, y != 0
    const pack<double> result = select((x == zero) | (x == infinity), at_limit, regular);
    const pack<double> poison = x + y;
    return select(
        is_nan(x) | is_nan(y), poison,
        select((y == zero) | (x == one), one, select(x < zero, pack<double>(__builtin_nan("")), result)));
}
FUSEDLOSS_OUTLINE pack<float> pow(pack<float> x, pack<float> y) {
    float base[pack<float>::lanes], exponent[pack<float>::lanes];
    store(base, x);
    store(exponent, y);
    for (int i = 0; i < pack<float>::lanes; i += pack<double>::lanes)
        store_narrowed(base + i, pow(load_widened(base + i), load_widened(exponent + i)));
    return load(base);
}

FUSEDLOSS_END
