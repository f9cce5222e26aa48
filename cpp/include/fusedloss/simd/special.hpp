// Special functions of packs and of extended numbers. One computation, on a double, serves both: extended, it
// is good to 2^-55 or better, so the double result is rounded once, and the float result once more. Only erf,
// which no loss wants extended, is plain. Bounds as in math.hpp. The polynomials are Chebyshev expansions cut
// off below that accuracy, whose first coefficients are held, and applied, in two parts.
#pragma once

#include "extended.hpp"

FUSEDLOSS_BEGIN

// The operators for finite numbers, at half the price: what is not finite is put right once, at the end, by
// `settle`.
FUSEDLOSS_INLINE extended finite_sum(extended a, extended b) {
    const extended high = two_sum(a.hi, b.hi);
    return exact_sum(high.hi, high.lo + (a.lo + b.lo));
}
FUSEDLOSS_INLINE extended finite_product(extended a, extended b) {
    const extended p = exact_product(a.hi, b.hi);
    return exact_sum(p.hi, fma(a.hi, b.lo, fma(a.lo, b.hi, p.lo)));
}
FUSEDLOSS_INLINE extended finite_quotient(extended a, extended b) {
    const pack<double> inverse = 1.0 / b.hi, q = a.hi * inverse;
    const extended p = exact_product(q, b.hi);
    return exact_sum(q, ((a.hi - p.hi) - p.lo + fma(-q, b.lo, a.lo)) * inverse);
}
FUSEDLOSS_INLINE extended scaled(extended a, pack<double> factor) {  // a power of two
    return {a.hi * factor, a.lo * factor};
}
// log(x) to about 2^-65.
FUSEDLOSS_INLINE extended finite_log(extended x) {
    const extended l = log_extended(x.hi);
    return exact_sum(l.hi, l.lo + x.lo / x.hi);
}

// --- normal distribution ---

inline constexpr double half_log_2pi = 0x1.d67f1c864beb5p-1;

// (a + 1) R(a) / sqrt(2 pi) for a >= 1, where R(a) = (1 - Phi(a)) / phi(a) is Mills' ratio.
FUSEDLOSS_INLINE extended scaled_mills_ratio(pack<double> a) {
    const pack<double> limited = min(pack<double>(0x1p1000), a);
    const extended t = finite_quotient(two_sum(limited, -7.0), two_sum(limited, 5.0));
    extended p = polynomial(t.hi, -0.0011707392062381737, -0.005453038908161242, 0.00512097538905516,
                            -0.00295908407936511, 0.001222934501693887, -0.00034413812716170013,
                            4.351925561984677e-05, 1.249764806690533e-05, -7.421991366617846e-06,
                            7.986798199159574e-07, 5.353802916249797e-07, -1.866766461816832e-07,
                            -2.6157935244646356e-08, 2.4610651821136635e-08, 2.2629946080619112e-10,
                            -2.9470260740127826e-09, 1.732285381090221e-10, 3.2350203642030244e-10,
                            -2.964300577556887e-11, -2.3724332612333218e-11, 2.3993904357410374e-12);
    p = horner(p, t, {0x1.7302c3ac8deb5p-6, 0x1.bfae182cb7974p-63});
    p = horner(p, t, {-0x1.13baea96a29bcp-4, 0x1.5e816504a9614p-58});
    return horner(p, t, {0x1.c9e120e488937p-2, -0x1.2ce811b323701p-56});
}

// erf(a) / a - 1 where z = a^2 <= 1.
FUSEDLOSS_INLINE pack<double> erf_series(pack<double> z) {
    return polynomial(z, 0.1283791670955126, -0.37612638903183876, 0.11283791670958743, -0.026866170645619556,
                      0.005223977629096022, -0.0008548327189637884, 0.00012055337779272825,
                      -1.4925738545747615e-05, 1.646308784539884e-06, -1.6370646971319312e-07,
                      1.4786610721924186e-08, -1.1830843405505914e-09, 6.685274949885416e-11);
}
// Max error 0.51 ULP (float), 1.5 ULP (double). Odd, erf(+-inf) = +-1, NaN stays NaN.
FUSEDLOSS_OUTLINE pack<double> erf(pack<double> x) {
    const pack<double> a = abs(x), z = a * a,
                       b = 0x1.6a09e667f3bcdp0 * a;  // 1 - erf(a) = 2 (1 - Phi(sqrt2 a))
    const pack<double> large = 1.0 - 2.0 * exp(-z) * scaled_mills_ratio(b).hi / (b + 1.0);
    return copysign(select(a < pack<double>(1.0), fma(a, erf_series(z), a), large), x);
}
FUSEDLOSS_OUTLINE pack<float> erf(pack<float> x) {
    return through_double(x, [](pack<double> v) { return erf(v); });
}
FUSEDLOSS_INLINE extended erf(extended x) {
    return first_order(erf(x.hi), 0x1.20dd750429b6dp0 * exp(-(x.hi * x.hi)), x);  // 2 / sqrt(pi)
}

// 2^200 e^x for x <= 0, as exp_sum: normal while e^x is not zero.
FUSEDLOSS_INLINE extended lifted_exp(extended x) {
    using F = format<double>;
    const auto e = reduce_exponent(max(pack<double>(F::lowest_exp), x.hi), pack<double>(F::bias + F::guard));
    const pack<double> low = fma(e.k, pack<double>(-F::ln2_lo), x.lo), r = e.rest + low;
    const extended leading = exact_sum(1.0, r);
    const extended sum = exact_sum(leading.hi, fma(r * r, exp_series(r), leading.lo + ((e.rest - r) + low)));
    return scaled(scaled(sum, power_of_two(e.k_shifted)), 0x1p200 / F::guard_power);
}

// log Phi(x) and phi(x) / Phi(x), its derivative.
struct normal_logarithm {
    extended value, slope;
};
// With g = e^(-x^2/2), m = scaled_mills_ratio(|x|) and n = |x| + 1, Phi(x) is
//   x <= -1   g m / n
//   |x| < 1   1/2 + x (1 / sqrt(2 pi) + x^2 series)
//   x >= 1    1 - g m / n
FUSEDLOSS_OUTLINE normal_logarithm log_normal(pack<double> any) {
    const pack<double> x = min(pack<double>(40.0), any), a = abs(x), one(1.0);  // both are 0 from 39 on
    const mask<double> lower = !(x > -one), upper = x >= one;                   // NaN is lower
    const extended half_square = exact_product(-0.5 * a, a);
    const extended exponent = settle(half_square.hi, half_square.lo, half_square.hi);
    const extended g = lifted_exp(exponent), m = scaled_mills_ratio(a), n = two_sum(a, 1.0);
    const extended ratio = finite_quotient(m, n), complement = scaled(finite_product(g, ratio), -0x1p-200);

    const extended square = scaled(exponent, -2.0);
    extended middle =
        polynomial(square.hi, -0.0011873282154804237, 0.00011543468761567449, -9.444656255645193e-06,
                   6.659693335529573e-07, -4.1226621272000885e-08, 2.2734302947276097e-09,
                   -1.1289091709739722e-10, 5.0207069592263105e-12, -1.7207040946474852e-13);
    middle = horner(middle, square, {0x1.46d04297691dap-7, -0x1.9af758c1c6dd5p-61});
    middle = horner(middle, square, {-0x1.1058377e2cee0p-4, -0x1.77ee59661ea96p-58});
    const extended density_at_0 = {0x1.9884533d43651p-2, -0x1.cbc0d30ebfd15p-56};
    const extended odd = finite_product(x, horner(middle, square, density_at_0));

    // Phi, less g where x <= -1. Near 1 its logarithm is a series in Phi - 1.
    const extended above = finite_sum(select(upper, one, pack<double>(0.5)), select(upper, complement, odd));
    const extended phi = select(lower, ratio, above);
    const extended near_1 = {complement.hi, fma(-0.5 * complement.hi, complement.hi, complement.lo)};
    const extended l = select(x > pack<double>(6.5), near_1, finite_log(phi));
    const extended value = finite_sum(select(lower, exponent, 0.0), l);
    const extended numerator = finite_product(density_at_0, select(lower, n, g));
    const extended slope =
        scaled(finite_quotient(numerator, select(lower, m, phi)), select(lower, one, pack<double>(0x1p-200)));
    return {settle(value.hi, value.lo, exponent.hi), settle(slope.hi, slope.lo, a)};
}

// log Phi(x). Max error 0.51 ULP (float), 0.9 ULP (double). log_ndtr(-inf) = -inf,
// log_ndtr(inf) = 0, NaN stays NaN.
FUSEDLOSS_INLINE pack<double> log_ndtr(pack<double> x) { return log_normal(x).value.hi; }
FUSEDLOSS_OUTLINE pack<float> log_ndtr(pack<float> x) {
    return through_double(x, [](pack<double> v) { return log_ndtr(v); });
}
FUSEDLOSS_INLINE extended log_ndtr(extended x) {
    const normal_logarithm l = log_normal(x.hi);
    return first_order(l.value, l.slope.hi, x);
}

// phi(x) / Phi(x). Max error 0.51 ULP (float), 0.9 ULP (double). ndtr_ratio(-inf) = inf,
// ndtr_ratio(inf) = 0, NaN stays NaN.
FUSEDLOSS_INLINE pack<double> ndtr_ratio(pack<double> x) { return log_normal(x).slope.hi; }
FUSEDLOSS_OUTLINE pack<float> ndtr_ratio(pack<float> x) {
    return through_double(x, [](pack<double> v) { return ndtr_ratio(v); });
}
FUSEDLOSS_INLINE extended ndtr_ratio(extended x) {
    // The slope -r (x + r) tends to -1 on the left, where x + r cancels.
    const extended r = log_normal(x.hi).slope;
    return first_order(r, select(x.hi < pack<double>(-16.0), pack<double>(-1.0), -r.hi * (x.hi + r.hi)), x);
}

// --- gamma function ---

// Arguments up to 4.5 are moved to 2 + w, |w| <= 1/2: with n the integer nearest to x and w = x - n,
//   n = 0   log Gamma(x) = log Gamma(2 + w) - log(x (x + 1))
//   n = 1   log Gamma(x) = log Gamma(2 + w) - log(x)
//   n = 2   log Gamma(x) = log Gamma(2 + w)
//   n = 3   log Gamma(x) = log Gamma(2 + w) + log(x - 1)
//   n = 4   log Gamma(x) = log Gamma(2 + w) + log((x - 2) (x - 1))
// and each term keeps its relative accuracy at the zeros 1 and 2. Beyond, where the asymptotic series hold,
// the argument of the logarithm is x.
struct gamma_reduction {
    mask<double> small, divided;  // x <= 4.5; its logarithm, or the quotient of digamma, is subtracted
    pack<double> w;
    extended product, derivative;  // the argument of the logarithm
};
FUSEDLOSS_INLINE gamma_reduction reduce_gamma(pack<double> x) {
    const pack<double> zero(0.0), one(1.0), two(2.0), shift(format<double>::round_shift);
    const mask<double> small = x <= pack<double>(4.5);
    const pack<double> n = select(small, (x + shift) - shift, one), w = x - n;
    const mask<double> divided = n < two, both = (n == zero) | (n == pack<double>(4.0));
    const pack<double> first = select(n > two, w + 2.0, select(n == two, one, x));
    const extended second = select(both, two_sum(x, select(divided, one, -one)), 1.0);
    const extended product = exact_product(first, second.hi), sum = finite_sum(first, second);
    return {small,
            divided,
            w,
            {product.hi, fma(first, second.lo, product.lo)},
            select(both, sum, select(n == two, zero, one))};
}

// log_gamma and digamma_sum: lgamma and digamma before they are rounded.
FUSEDLOSS_OUTLINE extended log_gamma(pack<double> x) {
    const gamma_reduction r = reduce_gamma(x);
    // log Gamma(2 + w) / w
    extended p = polynomial(r.w, 0.02058080842778463, -0.007385551028668096, 0.0028905103307343394,
                            -0.0011927539120033873, 0.0005096695250262799, -0.00022315475069647703,
                            9.945750665169756e-05, -4.492635166770342e-05, 2.0507292365464966e-05,
                            -9.438454884054723e-06, 4.374221208333783e-06, -2.044935323180052e-06,
                            9.584290249224467e-07, -4.303234692956732e-07, 2.0192169921430407e-07,
                            -1.341570273460026e-07, 6.473973449314896e-08);
    p = horner(p, r.w, {-0x1.13e001a55760ap-4, 0x1.1337e78417926p-58});
    p = horner(p, r.w, {0x1.4a34cc4a60fa6p-2, 0x1.132fcae21cc54p-56});
    p = horner(p, r.w, {0x1.b0ee6072093cep-2, 0x1.70dd987d4ef89p-58});
    // Stirling's series, added to log(2 pi) / 2 - 1/2
    const pack<double> inverse = 1.0 / x;
    const pack<double> series =
        polynomial(inverse * inverse, 0.08333333333333333, -0.0027777777777659306, 0.0007936507870966689,
                   -0.0005952366884892094, 0.000841597784812698, -0.0019079867130106537,
                   0.0060482958129430275, -0.02094479474823875, 0.048410347898782694);
    const extended rest =
        exact_sum(0x1.acfe390c97d69p-2, fma(inverse, series, pack<double>(0x1.3494bc9001442p-56)));

    const extended l = finite_log(r.product);
    const extended main =
        finite_product(select(r.small, r.w, two_sum(x, -0.5)), select(r.small, p, finite_sum(l, -1.0)));
    const extended result = finite_sum(main, select(r.small, select(r.divided, -l, l), rest));
    const pack<double> zero(0.0), infinity(__builtin_inf()), nan(__builtin_nan(""));
    const pack<double> limit = select((x < zero) | is_nan(x), nan, infinity);
    return settle(select(x > zero, result.hi, limit), result.lo, limit);
}
FUSEDLOSS_OUTLINE extended digamma_sum(pack<double> x) {
    const gamma_reduction r = reduce_gamma(x);
    // digamma(2 + w)
    extended p = polynomial(r.w, 0.08232323371114009, -0.03692775514337294, 0.01734306198428647,
                            -0.00834927738173558, 0.0040773562043552175, -0.002008392832041365,
                            0.0009945749891440375, -0.0004941884936611511, 0.00024608835245399605,
                            -0.0001227146209712178, 6.123355636501606e-05, -3.057884379548498e-05,
                            1.5356393399483115e-05, -7.681414917885606e-06, 3.588999760794955e-06,
                            -1.7806083625206747e-06, 1.3353198676963285e-06, -6.783738947916024e-07);
    p = horner(p, r.w, {-0x1.9dd0027803109p-3, -0x1.358b9cbebf81ep-59});
    p = horner(p, r.w, {0x1.4a34cc4a60fa6p-1, 0x1.b996e51654b0ep-56});
    p = horner(p, r.w, {0x1.b0ee6072093cep-2, 0x1.6b46fc92781c2p-58});
    // The asymptotic series, log x - 1 / (2 x) - z series
    const pack<double> inverse = 1.0 / x, z = inverse * inverse;
    const pack<double> series =
        polynomial(z, 0.08333333333333333, -0.008333333333314048, 0.003968253955020715, -0.004166663118146724,
                   0.007575268987704745, -0.021053483931257888, 0.0813514420762659, -0.3780977015611977,
                   1.6146678237795922, -4.018434261094418);

    const extended q = quotient(select(r.small, r.derivative, 0.5), r.product), l = log_extended(x);
    const extended main = select(r.small, p, finite_sum(l, -(z * series)));
    const extended result = finite_sum(main, select(r.divided, -q, q));
    const pack<double> infinity(__builtin_inf()), nan(__builtin_nan(""));
    const pack<double> limit = select(x < pack<double>(0.0), nan, select(x < infinity, -q.hi, x));
    const mask<double> inside = (x >= pack<double>(0.0)) & (x < infinity);  // NaN is not
    return settle(select(inside, result.hi, limit), result.lo, limit);
}

// log Gamma(x) for x > 0 (NaN for x < 0). Max error 0.51 ULP (float), 0.6 ULP (double), also near the zeros 1
// and 2. lgamma(0) = lgamma(inf) = inf, NaN stays NaN.
FUSEDLOSS_INLINE pack<double> lgamma(pack<double> x) { return log_gamma(x).hi; }
FUSEDLOSS_OUTLINE pack<float> lgamma(pack<float> x) {
    return through_double(x, [](pack<double> v) { return lgamma(v); });
}
FUSEDLOSS_INLINE extended lgamma(extended x) { return first_order(log_gamma(x.hi), digamma_sum(x.hi).hi, x); }

// d/dx log Gamma(x) for x > 0 (NaN for x < 0). Max error 0.51 ULP (float), 0.6 ULP (double) of
// max(1, |digamma|). digamma(0) = -inf, digamma(inf) = inf, NaN stays NaN.
FUSEDLOSS_INLINE pack<double> digamma(pack<double> x) { return digamma_sum(x).hi; }
FUSEDLOSS_OUTLINE pack<float> digamma(pack<float> x) {
    return through_double(x, [](pack<double> v) { return digamma(v); });
}
FUSEDLOSS_INLINE extended digamma(extended x) {
    // trigamma(x) = 1 / x^2 + trigamma(x + 1), the latter by three terms of its asymptotic series.
    const pack<double> u = 1.0 / x.hi, v = 1.0 / (x.hi + 1.0);
    return first_order(digamma_sum(x.hi), u * u + v * (1.0 + v * (0.5 + v * (1.0 / 6))), x);
}

// d2/dx2 log Gamma(x) for x > 0 (NaN for x < 0). Max error 0.51 ULP (float), 3.5 ULP (double). trigamma(0) =
// inf, trigamma(inf) = 0, NaN stays NaN.
FUSEDLOSS_OUTLINE pack<double> trigamma(pack<double> x) {
    // 1 / x^2 + trigamma(x + 1) up to 12, where the asymptotic series holds; the first, largest term comes
    // last.
    const pack<double> zero(0.0), one(1.0), limit(12.0);
    const pack<double> first = select(x < limit, 1.0 / x, zero);
    pack<double> y = x + select(x < limit, one, zero), steps = zero;
    for (int i = 1; i < 12; ++i) {
        const mask<double> small = y < limit;
        const pack<double> u = select(small, 1.0 / y, zero);
        steps = fma(u, u, steps);
        y = y + select(small, one, zero);
    }
    const pack<double> u = 1.0 / y, z = u * u;
    const pack<double> series = polynomial(z, 1.0 / 6, -1.0 / 30, 1.0 / 42, -1.0 / 30, 5.0 / 66,
                                           -691.0 / 2730, 7.0 / 6, -3617.0 / 510);
    const pack<double> rest = steps + fma(z, fma(u, series, pack<double>(0.5)), u);
    return select(x < zero, pack<double>(__builtin_nan("")), fma(first, first, rest));
}
FUSEDLOSS_OUTLINE pack<float> trigamma(pack<float> x) {
    return through_double(x, [](pack<double> v) { return trigamma(v); });
}

// --- what wide floats leave to doubles ---

#define FUSEDLOSS_AS_DOUBLE(function)                                \
    FUSEDLOSS_INLINE pack<wide_float> function(pack<wide_float> x) { \
        return as_wide_float(function(as_double(x)));                \
    }
FUSEDLOSS_AS_DOUBLE(tanh)
FUSEDLOSS_AS_DOUBLE(log_cosh)
FUSEDLOSS_AS_DOUBLE(atan)
FUSEDLOSS_AS_DOUBLE(erf)
FUSEDLOSS_AS_DOUBLE(log_ndtr)
FUSEDLOSS_AS_DOUBLE(ndtr_ratio)
FUSEDLOSS_AS_DOUBLE(lgamma)
FUSEDLOSS_AS_DOUBLE(digamma)
FUSEDLOSS_AS_DOUBLE(trigamma)
#undef FUSEDLOSS_AS_DOUBLE
FUSEDLOSS_INLINE pack<wide_float> atan_of_ratio(pack<wide_float> a, pack<wide_float> b) {
    return as_wide_float(atan_of_ratio(as_double(a), as_double(b)));
}
FUSEDLOSS_INLINE pack<wide_float> pow(pack<wide_float> x, pack<wide_float> y) {
    return as_wide_float(pow(as_double(x), as_double(y)));
}

FUSEDLOSS_END
