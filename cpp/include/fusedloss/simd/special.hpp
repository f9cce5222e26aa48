// Special functions of packs, computed in double: the float versions round the double result once. Bounds and
// polynomials as in math.hpp.
#pragma once

#include "math.hpp"

FUSEDLOSS_BEGIN

// --- normal distribution ---

inline constexpr double inverse_sqrt_2pi = 0x1.9884533d43651p-2, half_log_2pi = 0x1.d67f1c864beb5p-1;

// (a + 1) R(a) / sqrt(2 pi) for a >= 1, where R(a) = (1 - Phi(a)) / phi(a) is Mills' ratio.
FUSEDLOSS_INLINE pack<double> scaled_mills_ratio(pack<double> a) {
    const pack<double> limited = min(pack<double>(0x1p1000), a), t = (limited - 7.0) / (limited + 5.0);
    return polynomial(
        t, 0.4471478595243243, -0.0673169292078119, 0.022644702041560046, -0.0011707392062378318,
        -0.005453038908224337, 0.005120975389051055, -0.0029590840781266964, 0.0012229345016818844,
        -0.00034413813822225386, 4.3519256089437025e-05, 1.2497703180415198e-05, -7.421994743441324e-06,
        7.985123000292559e-07, 5.353926184880157e-07, -1.8635365356678473e-07, -2.6184517722264902e-08,
        2.4213673838091048e-08, 2.6155218701900385e-10, -2.6456213982521387e-09, 1.4494447629400717e-10,
        1.946493600205192e-10, -1.7033662730592754e-11);
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
    const pack<double> large = 1.0 - 2.0 * exp(-z) * scaled_mills_ratio(b) / (b + 1.0);
    return copysign(select(a < pack<double>(1.0), fma(a, erf_series(z), a), large), x);
}
FUSEDLOSS_OUTLINE pack<float> erf(pack<float> x) {
    return through_double(x, [](pack<double> v) { return erf(v); });
}

// The normal distribution function Phi(x) in three ranges, each to full relative accuracy:
//   x <= -1   e^(-x^2/2) scaled_mills_ratio(-x) / (1 - x)
//   |x| < 1   1/2 + x (1 / sqrt(2 pi) + z series), in two parts
//   x >= 1    1 - Phi(-x), in two parts
struct normal_distribution {
    mask<double> lower;          // x <= -1
    pack<double> gauss;          // e^(-x^2/2)
    pack<double> mills, offset;  // gauss mills / offset = Phi(-|x|) for |x| >= 1
    double_double phi;           // Phi(x) for x > -1, mills / offset for x <= -1
};
FUSEDLOSS_INLINE normal_distribution normal(pack<double> x) {
    const pack<double> a = abs(x), one(1.0);
    const double_double square = exact_product(a, a);
    const pack<double> z = square.hi;
    const pack<double> z_lo = select(a < pack<double>(64.0), square.lo, pack<double>(0.0));
    const pack<double> gauss = exp_sum(-0.5 * z, -0.5 * z_lo), mills = scaled_mills_ratio(a),
                       offset = a + 1.0;
    const auto lower = x <= -one, upper = x >= one;

    const double_double leading = exact_product(x, inverse_sqrt_2pi);
    const pack<double> series = polynomial(
        z, -0.06649038006690541, 0.00997355701003454, -0.0011873282154620838, 0.00011543468747995988,
        -9.444655663645826e-06, 6.659677076973298e-07, -4.1223729816652835e-08, 2.2701045648762565e-09,
        -1.1050251831708163e-10, 4.046986563383948e-12);
    const double_double middle = exact_sum(0.5, leading.hi);
    const pack<double> middle_lo = middle.lo + fma(x, z * series, leading.lo);
    const pack<double> ratio = mills / offset;
    const double_double inner =
        exact_sum(select(upper, one, middle.hi), select(upper, -gauss * ratio, middle_lo));
    const double_double phi = {select(lower, ratio, inner.hi), select(lower, pack<double>(0.0), inner.lo)};
    return {lower, gauss, mills, offset, phi};
}
// log Phi(x). Max error 0.51 ULP (float), 4 ULP (double). log_ndtr(-inf) = -inf, log_ndtr(inf) = 0,
// NaN stays NaN.
FUSEDLOSS_OUTLINE pack<double> log_ndtr(pack<double> x) {
    const normal_distribution n = normal(x);
    const pack<double> l = log_sum(n.phi.hi, n.phi.lo);
    return select(n.lower, fma(-0.5 * x, x, l), l);
}
FUSEDLOSS_OUTLINE pack<float> log_ndtr(pack<float> x) {
    return through_double(x, [](pack<double> v) { return log_ndtr(v); });
}
// phi(x) / Phi(x), the derivative of log_ndtr. Max error 0.51 ULP (float), 4 ULP (double).
// ndtr_ratio(-inf) = inf, ndtr_ratio(inf) = 0, NaN stays NaN.
FUSEDLOSS_OUTLINE pack<double> ndtr_ratio(pack<double> x) {
    const normal_distribution n = normal(x);
    return inverse_sqrt_2pi * select(n.lower, n.offset, n.gauss) / select(n.lower, n.mills, n.phi.hi);
}
FUSEDLOSS_OUTLINE pack<float> ndtr_ratio(pack<float> x) {
    return through_double(x, [](pack<double> v) { return ndtr_ratio(v); });
}

// --- gamma function ---

// log Gamma(x) for x > 0 (NaN for x < 0). Max error 0.51 ULP (float), 3.5 [4.5] ULP (double), also near the
// zeros 1 and 2. lgamma(0) = lgamma(inf) = inf, NaN stays NaN.
FUSEDLOSS_OUTLINE pack<double> lgamma(pack<double> x) {
    const pack<double> zero(0.0), infinity(__builtin_inf());
    // lgamma(y) / ((y - 1) (y - 2)) for 0.7 <= y <= 8: relative accuracy on both sides of the zeros.
    const auto below = x < pack<double>(0.7);
    const pack<double> y = min(pack<double>(8.0), select(below, x + 1.0, x));
    const pack<double> ratio = polynomial(
        (y - 2.5) / (y + 2.5), 0.37957716063055885, -0.3733178707724971, 0.12431098684609893,
        -0.13040622141450053, 0.08069143503370824, -0.08248419687276516, 0.06069273311011698,
        -0.06121615453392049, 0.04879866739188573, -0.048893210158699664, 0.040824378106453105,
        -0.040768480128210625, 0.03508613581585033, -0.034981806780941406, 0.030841914749747835,
        -0.030692090434566346, 0.026693776395490292, -0.02690220392186109, 0.029707998987685724,
        -0.027106378496574844, -0.003789668638537115, -0.009841294555184222, 0.12038133832846776,
        -0.066214730498081, -0.2500772898240302, 0.10182847664621215, 0.5100763754357587, -0.2407974582294406,
        -0.5400940829582136, 0.24966906327878216, 0.3229091252340893, -0.18169879814281964);
    const pack<double> small = ((y - 1.0) * (y - 2.0)) * ratio;
    // Stirling's series for x >= 8.
    const auto first = x < pack<double>(8.0);
    const pack<double> limited = min(pack<double>(0x1p1020), select(below | !first, x, pack<double>(1.0)));
    const double_double l = log_extended(limited);
    const pack<double> inverse = 1.0 / limited;
    const pack<double> series = polynomial(
        inverse * inverse, 0.08333333333333333, -0.0027777777777667823, 0.0007936507860639372,
        -0.0005952357753191502, 0.0008413837872553038, -0.0018859652011113007, 0.004978920068748516);
    const pack<double> large =
        fma(limited - 0.5, (l.hi - 1.0) + l.lo, fma(inverse, series, pack<double>(half_log_2pi - 0.5)));

    const pack<double> result = select(first, select(below, small - l.hi, small), large);
    const pack<double> limit = select(x < zero, pack<double>(__builtin_nan("")), infinity);
    return select(is_nan(x), x, select((x > zero) & (x < infinity), result, limit));
}
FUSEDLOSS_OUTLINE pack<float> lgamma(pack<float> x) {
    return through_double(x, [](pack<double> v) { return lgamma(v); });
}

// d/dx log Gamma(x) for x > 0 (NaN for x < 0). Max error 0.51 ULP (float), 3 [3.5] ULP (double) of
// max(1, |digamma|). digamma(0) = -inf, digamma(inf) = inf, NaN stays NaN.
FUSEDLOSS_OUTLINE pack<double> digamma(pack<double> x) {
    const auto below = x < pack<double>(1.0), first = x < pack<double>(8.0);
    // digamma(y) / (y - root) for 1 <= y <= 8.
    const pack<double> y = min(pack<double>(8.0), select(below, x + 1.0, x));
    const pack<double> ratio = polynomial(
        (y - 3.0) / (y + 3.0), 0.5998463449949618, -0.7992065518394018, 0.5146474725281586,
        -0.5124897379514824, 0.466571418615392, -0.4717500512419183, 0.45664698541826293, -0.4616560024794395,
        0.45485957384062164, -0.4586504804031889, 0.45482321927493896, -0.45757738793844915,
        0.45511212147459196, -0.4570565878608558, 0.4546902324475885, -0.45738002772007685,
        0.46282360506119213, -0.4513834406850904, 0.3943228997373251, -0.49398362055225914,
        0.8162255671875481, -0.2667702978872213, -1.0125242891169723, -1.1205367266094193, 4.426738858920253,
        1.0281484937911447, -6.063759121426793, -2.2139918325900494, 5.636608127454246);
    const pack<double> small = ((y - 0x1.762d86356be3fp0) - 0x1.b86a722197829p-54) * ratio;
    // The asymptotic series for x >= 8.
    const pack<double> inverse = 1.0 / x, z = inverse * inverse;
    const pack<double> series =
        polynomial(z, 0.08333333333333316, -0.008333333333044405, 0.003968253805294458, -0.004166623093678904,
                   0.007569487805346481, -0.020589418590834106, 0.06154423391516317);
    const pack<double> large = log(x) - fma(z, series, 0.5 * inverse);

    const pack<double> result = select(first, select(below, small - inverse, small), large);
    return select(x < pack<double>(0.0), pack<double>(__builtin_nan("")), result);
}
FUSEDLOSS_OUTLINE pack<float> digamma(pack<float> x) {
    return through_double(x, [](pack<double> v) { return digamma(v); });
}

FUSEDLOSS_END
