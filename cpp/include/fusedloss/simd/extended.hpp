// extended: a number kept as the unevaluated sum of two doubles, hi + lo with |lo| <= ulp(hi) / 2, which
// gives about 104 bits. A formula that would lose 2-3 ULP in double runs on it unchanged and rounds once,
// at the end, in round_to_double.
//
// Where hi overflows or is not a number, lo is zero: the low part never turns an infinity into a NaN.
// Results in the subnormal range have no low part to speak of.
//
// Sources: Dekker (1971) and Knuth (TAOCP 2, 4.2.2) for the exact sums and products; Joldes, Muller and
// Popescu (2017), Tight and rigorous error bounds for basic building blocks of double-word arithmetic.
#pragma once

#include "math.hpp"

// FUSEDLOSS_OUTLINE for arguments by reference, which it costs less to pass than to copy: `const` would
// promise not to read through them, `pure` still lets an unused call be dropped.
#define FUSEDLOSS_OUTLINE_REF inline __attribute__((noinline, pure))

FUSEDLOSS_BEGIN

struct extended {
    using scalar = double;
    using mask_type = mask<double>;
    static constexpr int lanes = pack<double>::lanes;
    pack<double> hi, lo;

    extended() = default;
    FUSEDLOSS_INLINE extended(double a) : hi(a), lo(0.0) {}
    FUSEDLOSS_INLINE extended(pack<double> a) : hi(a), lo(0.0) {}
    FUSEDLOSS_INLINE extended(pack<double> high, pack<double> low) : hi(high), lo(low) {}
    FUSEDLOSS_INLINE extended(double_double a) : hi(a.hi), lo(a.lo) {}
};

FUSEDLOSS_INLINE pack<double> round_to_double(extended a) { return a.hi + a.lo; }

// --- arithmetic ---

// a + b exactly, in whichever order of magnitude (exact_sum wants the larger first).
FUSEDLOSS_INLINE extended two_sum(pack<double> a, pack<double> b) {
    const pack<double> s = a + b, t = s - a;
    return {s, (a - (s - t)) + (b - t)};
}

FUSEDLOSS_INLINE mask<double> is_finite(pack<double> a) { return a - a == pack<double>(0.0); }

// exact_sum(a, b), or `limit` alone where that is infinite or NaN.
FUSEDLOSS_INLINE extended settle(pack<double> a, pack<double> b, pack<double> limit) {
    const extended s = exact_sum(a, b);
    const mask<double> finite = is_finite(s.hi);
    return {select(finite, s.hi, limit), select(finite, s.lo, pack<double>(0.0))};
}

FUSEDLOSS_INLINE extended operator-(extended a) { return {-a.hi, -a.lo}; }
FUSEDLOSS_INLINE extended operator+(extended a, extended b) {
    const extended high = two_sum(a.hi, b.hi), low = two_sum(a.lo, b.lo);
    const extended sum = exact_sum(high.hi, high.lo + low.hi);
    return settle(sum.hi, sum.lo + low.lo, high.hi);
}
FUSEDLOSS_INLINE extended operator-(extended a, extended b) { return a + -b; }
FUSEDLOSS_INLINE extended operator*(extended a, extended b) {
    const extended p = exact_product(a.hi, b.hi);
    return settle(p.hi, fma(a.hi, b.lo, fma(a.lo, b.hi, p.lo)), p.hi);
}
FUSEDLOSS_INLINE extended quotient(extended a, extended b) {
    const pack<double> q = a.hi / b.hi;
    const extended p = exact_product(q, b.hi);
    return settle(q, ((a.hi - p.hi) - p.lo + fma(-q, b.lo, a.lo)) / b.hi, q);
}
FUSEDLOSS_OUTLINE_REF extended operator/(const extended& a, const extended& b) { return quotient(a, b); }
FUSEDLOSS_OUTLINE_REF extended sqrt(const extended& a) {
    const pack<double> s = sqrt(a.hi);
    const extended p = exact_product(s, s);
    return settle(s, ((a.hi - p.hi) - p.lo + a.lo) / (s + s), s);
}

// --- comparisons and signs ---

#define FUSEDLOSS_EXTENDED_ORDER(op, strict)                            \
    FUSEDLOSS_INLINE mask<double> operator op(extended a, extended b) { \
        return (a.hi strict b.hi) | ((a.hi == b.hi) & (a.lo op b.lo));  \
    }
FUSEDLOSS_EXTENDED_ORDER(<, <)
FUSEDLOSS_EXTENDED_ORDER(<=, <)
FUSEDLOSS_EXTENDED_ORDER(>, >)
FUSEDLOSS_EXTENDED_ORDER(>=, >)
#undef FUSEDLOSS_EXTENDED_ORDER
FUSEDLOSS_INLINE mask<double> operator==(extended a, extended b) { return (a.hi == b.hi) & (a.lo == b.lo); }
FUSEDLOSS_INLINE mask<double> operator!=(extended a, extended b) { return (a.hi != b.hi) | (a.lo != b.lo); }

FUSEDLOSS_INLINE extended select(mask<double> m, extended a, extended b) {
    return {select(m, a.hi, b.hi), select(m, a.lo, b.lo)};
}
FUSEDLOSS_INLINE mask<double> is_nan(extended a) { return is_nan(a.hi); }
FUSEDLOSS_INLINE extended sign(extended a) { return sign(a.hi); }
FUSEDLOSS_INLINE extended copysign(extended magnitude, extended sign) {
    const bits<double> top(sign_bit<double>::value), flip = (as_bits(magnitude.hi) ^ as_bits(sign.hi)) & top;
    return {from_bits(as_bits(magnitude.hi) ^ flip), from_bits(as_bits(magnitude.lo) ^ flip)};
}
FUSEDLOSS_INLINE extended abs(extended a) { return copysign(a, 1.0); }
// As for packs: NaN in either argument gives b.
FUSEDLOSS_INLINE extended min(extended a, extended b) { return select(a < b, a, b); }
FUSEDLOSS_INLINE extended max(extended a, extended b) { return select(a > b, a, b); }

// --- exponential and logarithm ---

// c + x * p where c dominates: a Horner step, on finite numbers.
FUSEDLOSS_INLINE extended horner(extended p, extended x, extended c) {
    const extended product = exact_product(p.hi, x.hi), sum = exact_sum(c.hi, product.hi);
    return exact_sum(sum.hi, sum.lo + (c.lo + fma(p.hi, x.lo, fma(p.lo, x.hi, product.lo))));
}

// ln 2 in three pieces; an exponent times either of the first two is exact.
inline constexpr double ln2_high = 0x1.62e42fefa4p-1, ln2_mid = -0x1.8432a1b0e2p-43,
                        ln2_low = -0x1.8cff81a12a17ep-85;

struct exponentials {
    extended exp, expm1;
};

// e^x = 2^k e^r with |r| <= ln2 / 2, and e^r - 1 by its Taylor series (the terms from r^5 on are below
// 2^-14 of the first). Where k = 0, expm1 is the series itself: no cancellation. Both from one function,
// since a kernel often wants both and its size matters more than the subtraction.
FUSEDLOSS_OUTLINE_REF exponentials exponential(const extended& x) {
    const extended limited = max(-800.0, min(800.0, x));
    const pack<double> shift(format<double>::round_shift);
    const pack<double> k = fma(limited.hi, pack<double>(log2_e), shift) - shift;
    const extended high = two_sum(fma(-k, pack<double>(ln2_high), limited.hi), -k * ln2_mid);
    const extended r = exact_sum(high.hi, high.lo + fma(-k, pack<double>(ln2_low), limited.lo));

    extended q = polynomial(r.hi, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
                            1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200,
                            1.0 / 1307674368000, 1.0 / 20922789888000);
    q = horner(q, r, {0x1.5555555555555p-5, 0x1.5555555555555p-59});
    q = horner(q, r, {0x1.5555555555555p-3, 0x1.5555555555555p-57});
    q = horner(q, r, 0.5);
    const extended series = horner(r * q, r, r), e = series + 1.0;

    // Two factors, since 2^k itself may overflow or be subnormal.
    const pack<double> biased = shift + double(format<double>::bias);
    const pack<double> half = 0.5 * k + biased, rest = (k - (half - biased)) + biased;
    const pack<double> first = power_of_two(half), second = power_of_two(rest);
    const pack<double> hi = e.hi * first * second, lo = e.lo * first * second;
    const extended exp = {hi, select(is_finite(hi), lo, pack<double>(0.0))};
    return {exp, select(k == pack<double>(0.0), series, exp - 1.0)};
}
FUSEDLOSS_INLINE extended exp(extended x) { return exponential(x).exp; }
FUSEDLOSS_INLINE extended expm1(extended x) { return exponential(x).expm1; }

// log(u) where u = 1 + f; f is what counts near 1, and may hold digits u cannot. With u = 2^k (1 + f),
// log(1 + f) = 2 artanh(f / (2 + f)) keeps its relative accuracy as f -> 0.
FUSEDLOSS_OUTLINE_REF extended logarithm(const extended& u, const extended& f) {
    const mask<double> tiny = u.hi < pack<double>(0x1p-900);
    const pack<double> lift = select(tiny, pack<double>(0x1p200), pack<double>(1.0));
    const binary_parts<double> b = split_exponent(u.hi * lift);
    // A fourth of the scale 4 * 2^-exponent, which is normal wherever the exponent lies.
    const pack<double> scale = from_bits(as_bits(pack<double>(4.0)) - b.exponent);
    const extended m = {b.m, 0.25 * (u.lo * lift * scale)};
    const pack<double> k = b.k - select(tiny, pack<double>(200.0), pack<double>(0.0));

    const extended g = select(k == pack<double>(0.0), f, m - 1.0);
    const extended q = quotient({g.hi + g.hi, g.lo + g.lo}, g + 2.0), square = q * q;
    const extended z = {0.25 * square.hi, 0.25 * square.lo};
    extended p = polynomial(z.hi, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21,
                            1.0 / 23, 1.0 / 25, 1.0 / 27, 1.0 / 29);
    p = horner(p, z, {0x1.2492492492492p-3, 0x1.2492492492492p-57});
    p = horner(p, z, {0x1.999999999999ap-3, -0x1.999999999999ap-57});
    p = horner(p, z, {0x1.5555555555555p-2, 0x1.5555555555555p-56});
    const extended series = horner(z * p, q, q);
    const extended result = series + exact_sum(k * ln2_high, fma(k, pack<double>(ln2_low), k * ln2_mid));

    const pack<double> hi = with_log_limits(u.hi, result.hi);
    return {hi, select(is_finite(hi), result.lo, pack<double>(0.0))};
}
FUSEDLOSS_OUTLINE_REF extended log(const extended& x) { return logarithm(x, x - 1.0); }
FUSEDLOSS_OUTLINE_REF extended log1p(const extended& x) { return logarithm(x + 1.0, x); }

// Special values as for packs.
FUSEDLOSS_OUTLINE_REF extended pow(const extended& x, const extended& y) {
    const extended result = select((y == 0.0) | (x == 1.0), 1.0, exp(y * log(x)));
    return select(is_nan(x) | is_nan(y), x.hi + y.hi, result);
}

// --- hyperbolic and logistic functions ---

FUSEDLOSS_OUTLINE_REF extended tanh(const extended& x) {
    const extended t = expm1(-2.0 * abs(x));
    return copysign(quotient(t, t + 2.0), x);
}

FUSEDLOSS_OUTLINE_REF logistic_terms<extended> logistic(const extended& x) {
    const extended e = exp(-abs(x)), larger = quotient(1.0, e + 1.0), smaller = e * larger, rest = log1p(e);
    const mask<double> negative = x.hi < pack<double>(0.0);
    return {select(negative, smaller, larger), select(negative, larger, smaller), max(0.0, x) + rest,
            max(0.0, -x) + rest};
}
FUSEDLOSS_OUTLINE_REF extended sigmoid(const extended& x) {
    const extended e = exp(-abs(x));
    return quotient(select(x.hi < pack<double>(0.0), e, 1.0), e + 1.0);
}
FUSEDLOSS_OUTLINE_REF extended softplus(const extended& x) { return max(0.0, x) + log1p(exp(-abs(x))); }

// log(1 + (cosh x - 1)) up to |x| = 1, where cosh x - 1 = (1 - e^-|x|)^2 / (2 e^-|x|); |x| - log 2 +
// log(1 + e^-2|x|) beyond.
FUSEDLOSS_OUTLINE_REF extended log_cosh(const extended& x) {
    const extended a = abs(x);
    const exponentials e = exponential(-a);
    const mask<double> small = a.hi < pack<double>(1.0);
    const extended argument = select(small, quotient(e.expm1 * e.expm1, 2.0 * e.exp), e.exp * e.exp);
    return select(small, 0.0, a - extended(ln2_high, ln2_mid)) + log1p(argument);
}

// --- functions known to double accuracy ---

// f(hi) + f'(hi) lo.
FUSEDLOSS_INLINE extended first_order(extended value, pack<double> slope, extended x) {
    return settle(value.hi, fma(slope, x.lo, value.lo), value.hi);
}
FUSEDLOSS_INLINE extended atan(extended x) { return first_order(atan(x.hi), 1.0 / (1.0 + x.hi * x.hi), x); }

FUSEDLOSS_END
