// Measures every function of extended against binary128 (glibc under g++; elsewhere long double, which
// can only confirm about 2^-60), then checks special values.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>

#include "fusedloss/simd/special.hpp"
#include "level.hpp"

using namespace fusedloss;

namespace {

// Low parts of arguments are multiples of ulp / 2 / low_steps, so that `wide` holds hi + lo exactly.
#if defined(__HAVE_FLOAT128) && __HAVE_FLOAT128
using wide = _Float128;
#define REFERENCE(f) ::f##f128
constexpr double finest_bound = -112, low_steps = 0x1p50;
#else
using wide = long double;
#define REFERENCE(f) ::f##l
constexpr double finest_bound = -60, low_steps = 0x1p10;
#endif

int failures = 0;

std::uint64_t random_bits() {
    static std::uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}
double uniform(double low, double high) { return low + (high - low) * double(random_bits() >> 11) * 0x1p-53; }

// Where arguments come from: magnitudes 2^low .. 2^high (evenly in the exponent) around `centre`.
struct range {
    double low, high;
    enum { positive, negative, either } signs = either;
    double centre = 0.0;
    double draw() const {
        const double magnitude = std::exp2(uniform(low, high));
        const bool minus = signs == negative || (signs == either && (random_bits() & 1));
        return centre + (minus ? -magnitude : magnitude);
    }
};

constexpr int lanes = extended::lanes;

struct arguments {
    double hi[lanes], lo[lanes];
    explicit arguments(range r) {
        for (int i = 0; i < lanes; ++i) {
            hi[i] = r.draw();
            const double half_ulp = 0.5 * (std::nextafter(std::fabs(hi[i]), INFINITY) - std::fabs(hi[i]));
            const double part = std::trunc(uniform(-low_steps, low_steps)) / low_steps;
            lo[i] = random_bits() & 1 ? 0.0 : part * half_ulp;
        }
    }
    extended load() const { return {fusedloss::load(hi), fusedloss::load(lo)}; }
    wide exact(int i) const { return wide(hi[i]) + wide(lo[i]); }
};

// The largest relative error of f over `count` draws must not exceed 2^bound.
template <class F, class G>
void accuracy(const char* name, double bound, range first, range second, F f, G reference,
              int count = 20000) {
    double worst = 0, at = 0;
    for (int n = 0; n < count; n += lanes) {
        const arguments x(first), y(second);
        const extended r = f(x.load(), y.load());
        double hi[lanes], lo[lanes];
        store(hi, r.hi);
        store(lo, r.lo);
        for (int i = 0; i < lanes; ++i) {
            const wide expected = reference(x.exact(i), y.exact(i));
            if (!(std::fabs(double(expected)) > 0x1p-900 && std::fabs(double(expected)) < 0x1p1020)) continue;
            const double error = std::fabs(double((wide(hi[i]) - expected + wide(lo[i])) / expected));
            if (!(error <= worst)) {
                worst = error;
                at = x.hi[i];
            }
        }
    }
    const bool ok = worst <= std::exp2(std::fmax(bound, finest_bound));
    std::printf("%-12s 2^%7.2f at % .17g%s\n", name, std::log2(worst), at, ok ? "" : "   FAILED");
    failures += !ok;
}
template <class F, class G>
void accuracy(const char* name, double bound, range r, F f, G reference, int count = 20000) {
    accuracy(
        name, bound, r, range{0, 1}, [&](extended x, extended) { return f(x); },
        [&](wide x, wide) { return reference(x); }, count);
}

// f(x) rounded to double is `expected` (NaN matches NaN).
template <class F>
void special(const char* name, F f, double x, double expected) {
    double r[lanes];
    store(r, round_to_double(f(extended(x))));
    const double last = r[lanes - 1];
    if (last == expected || (std::isnan(last) && std::isnan(expected))) return;
    std::printf("%s(%g) = %g, expected %g   FAILED\n", name, x, last, expected);
    ++failures;
}

wide square(wide x) { return x * x; }
wide ndtr(wide x) { return REFERENCE(erfc)(-x / REFERENCE(sqrt)(wide(2))) / 2; }
// phi / Phi; on the far left, where both underflow, by the asymptotic series of Mills' ratio (DLMF 7.12.1).
wide ndtr_ratio_reference(wide x) {
    const wide z = 1 / (x * x);
    if (x < -100) return -x / (1 - z * (1 - z * (3 - z * (15 - z * 105))));
    return REFERENCE(exp)(-x * x / 2) / REFERENCE(sqrt)(2 * REFERENCE(acos)(wide(-1))) / ndtr(x);
}
wide log_ndtr_reference(wide x) {
    if (x > 0) return REFERENCE(log1p)(-ndtr(-x));
    const wide two_pi = 2 * REFERENCE(acos)(wide(-1));
    return -x * x / 2 - REFERENCE(log)(two_pi) / 2 - REFERENCE(log)(ndtr_ratio_reference(x));
}
// Recurrence up to x >= 30, then the asymptotic series (DLMF 5.11.2).
wide digamma_reference(wide x) {
    const double b[][2] = {{1, 12},  {-1, 120},     {1, 252}, {-1, 240},
                           {1, 132}, {-691, 32760}, {1, 12},  {-3617, 8160}};
    wide r = 0;
    for (; x < 30; x += 1) r -= 1 / x;
    r += REFERENCE(log)(x) - 1 / (2 * x);
    wide power = 1;
    for (auto& c : b) r -= wide(c[0]) / c[1] * (power /= x * x);
    return r;
}

#define EXPRESSION(e) [](extended a) { return e; }
#define FUNCTION(f) EXPRESSION(f(a))
#define QUAD(f) [](wide x) { return wide(REFERENCE(f)(x)); }

void basic_operations() {
    const range any{-300, 300}, moderate{-4, 4};
    accuracy(
        "add", -102, moderate, moderate, [](extended x, extended y) { return x + y; },
        [](wide x, wide y) { return x + y; });
    accuracy(
        "multiply", -100, any, any, [](extended x, extended y) { return x * y; },
        [](wide x, wide y) { return x * y; });
    accuracy(
        "divide", -100, any, any, [](extended x, extended y) { return x / y; },
        [](wide x, wide y) { return x / y; });
    accuracy("sqrt", -100, {-600, 1020, range::positive}, FUNCTION(sqrt), QUAD(sqrt));
    accuracy("large square", -100, {500, 509}, EXPRESSION(a * a), square);
}

void elementary_functions() {
    const range tiny{-600, -3}, near_zero{-12, 1}, wide_range{-3, 9.4};
    accuracy("exp", -64, tiny, FUNCTION(exp), QUAD(exp));
    accuracy("exp", -64, wide_range, FUNCTION(exp), QUAD(exp));
    accuracy("expm1", -64, tiny, FUNCTION(expm1), QUAD(expm1));
    accuracy("expm1", -64, near_zero, FUNCTION(expm1), QUAD(expm1));
    accuracy("expm1", -64, wide_range, FUNCTION(expm1), QUAD(expm1));
    accuracy("log", -70, {-1000, 1020, range::positive}, FUNCTION(log), QUAD(log));
    accuracy("log near 1", -70, {-45, -1, range::either, 1.0}, FUNCTION(log), QUAD(log));
    accuracy("log", -70, {-4, 4, range::positive}, FUNCTION(log), QUAD(log));
    accuracy("log1p", -70, {-800, -1}, FUNCTION(log1p), QUAD(log1p));
    accuracy("log1p", -70, {-3, 1000, range::positive}, FUNCTION(log1p), QUAD(log1p));
    accuracy("log1p at -1", -70, {-40, 0, range::positive, -1.0}, FUNCTION(log1p), QUAD(log1p));
    const auto power = [](extended x, extended y) { return pow(x, y); };
    const auto power_reference = [](wide x, wide y) { return wide(REFERENCE(pow)(x, y)); };
    accuracy("pow", -62, {-300, 300, range::positive}, {-8, 1.5}, power, power_reference);
    accuracy("pow near 1", -62, {-30, -1, range::either, 1.0}, {-3, 10}, power, power_reference);
}

void logistic_functions() {
    const auto sigmoid_reference = [](wide x) { return 1 / (1 + REFERENCE(exp)(-x)); };
    const auto softplus_reference = [](wide x) {
        return x > 0 ? x + REFERENCE(log1p)(REFERENCE(exp)(-x)) : REFERENCE(log1p)(REFERENCE(exp)(x));
    };
    for (const range r : {range{-600, -3}, range{-10, 9.2}}) {
        accuracy("tanh", -63, r, FUNCTION(tanh), QUAD(tanh));
        accuracy("sigmoid", -63, r, FUNCTION(sigmoid), sigmoid_reference);
        accuracy("softplus", -63, r, FUNCTION(softplus), softplus_reference);
        accuracy("s(x)", -63, r, EXPRESSION(logistic(a).sigmoid), sigmoid_reference);
        accuracy("s(-x)", -63, r, EXPRESSION(logistic(-a).sigmoid_neg), sigmoid_reference);
        accuracy("softplus(x)", -63, r, EXPRESSION(logistic(a).softplus), softplus_reference);
        accuracy("softplus(-x)", -63, r, EXPRESSION(logistic(-a).softplus_neg), softplus_reference);
    }
    const auto log_cosh_reference = [](wide x) {
        const wide s = REFERENCE(sinh)(x);
        return REFERENCE(fabs)(x) < 1 ? REFERENCE(log1p)(s * s) / 2 : REFERENCE(log)(REFERENCE(cosh)(x));
    };
    accuracy("log_cosh", -62, {-400, -3}, FUNCTION(log_cosh), log_cosh_reference);
    accuracy("log_cosh", -62, {-4, 9}, FUNCTION(log_cosh), log_cosh_reference);
}

// atan and erf are as accurate as in double; none is worse for a low part.
void special_functions() {
    const int count = 4000;
    accuracy("atan", -50, {-100, 100}, FUNCTION(atan), QUAD(atan), count);
    accuracy("erf", -50, {-100, 2.5}, FUNCTION(erf), QUAD(erf), count);
    accuracy("log_ndtr", -54, {-20, 6}, FUNCTION(log_ndtr), log_ndtr_reference, count);
    accuracy("ndtr_ratio", -54, {-20, 6}, FUNCTION(ndtr_ratio), ndtr_ratio_reference, count);
    accuracy("log_ndtr", -54, {6, 500, range::negative}, FUNCTION(log_ndtr), log_ndtr_reference, count);
    accuracy("ndtr_ratio", -54, {6, 500, range::negative}, FUNCTION(ndtr_ratio), ndtr_ratio_reference, count);
    accuracy("lgamma", -58, {1.6, 100, range::positive}, FUNCTION(lgamma), QUAD(lgamma), count);
    accuracy("lgamma", -58, {-100, -1, range::positive}, FUNCTION(lgamma), QUAD(lgamma), count);
    accuracy("digamma", -58, {1, 100, range::positive}, FUNCTION(digamma), digamma_reference, count);
    accuracy("digamma", -58, {-100, 0, range::positive}, FUNCTION(digamma), digamma_reference, count);
}

void special_values() {
    const double inf = INFINITY, nan = NAN, log_2 = 0x1.62e42fefa39efp-1;
#define SPECIAL(f, x, expected) special(#f, FUNCTION(f), x, expected)
    SPECIAL(exp, inf, inf), SPECIAL(exp, 1e300, inf), SPECIAL(exp, 710, inf), SPECIAL(exp, -inf, 0);
    SPECIAL(exp, -746, 0), SPECIAL(exp, -745, 0x1p-1074), SPECIAL(exp, 0, 1);
    SPECIAL(exp, 0x1.62e42fefa39efp9, std::exp(0x1.62e42fefa39efp9));
    SPECIAL(expm1, inf, inf), SPECIAL(expm1, -inf, -1), SPECIAL(expm1, -1e300, -1), SPECIAL(expm1, 0, 0);
    SPECIAL(expm1, 0x1p-1074, 0x1p-1074), SPECIAL(expm1, 1e300, inf);
    SPECIAL(log, 0, -inf), SPECIAL(log, -0.0, -inf), SPECIAL(log, inf, inf), SPECIAL(log, -1, nan);
    SPECIAL(log, -inf, nan), SPECIAL(log, 1, 0), SPECIAL(log, 2, log_2);
    SPECIAL(log, 0x1p-1074, std::log(0x1p-1074)), SPECIAL(log, 1.7e308, std::log(1.7e308));
    SPECIAL(log1p, -1, -inf), SPECIAL(log1p, -2, nan), SPECIAL(log1p, inf, inf), SPECIAL(log1p, 0, 0);
    SPECIAL(log1p, 0x1p-1074, 0x1p-1074), SPECIAL(log1p, 1.7e308, std::log(1.7e308));
    SPECIAL(sqrt, 0, 0), SPECIAL(sqrt, inf, inf), SPECIAL(sqrt, -1, nan), SPECIAL(sqrt, 4, 2);
    SPECIAL(tanh, inf, 1), SPECIAL(tanh, -inf, -1), SPECIAL(tanh, 1e300, 1), SPECIAL(tanh, 0, 0);
    SPECIAL(tanh, -1e-310, -1e-310);
    SPECIAL(sigmoid, inf, 1), SPECIAL(sigmoid, -inf, 0), SPECIAL(sigmoid, 1e300, 1), SPECIAL(sigmoid, 0, 0.5);
    SPECIAL(softplus, inf, inf), SPECIAL(softplus, -inf, 0), SPECIAL(softplus, 1e300, 1e300);
    SPECIAL(softplus, 0, log_2);
    SPECIAL(log_cosh, inf, inf), SPECIAL(log_cosh, -inf, inf), SPECIAL(log_cosh, 0, 0);
    SPECIAL(log_cosh, 1e300, 1e300), SPECIAL(log_cosh, 1e-200, 0);
    SPECIAL(atan, inf, 0x1.921fb54442d18p0), SPECIAL(erf, inf, 1), SPECIAL(erf, -inf, -1);
    SPECIAL(sign, 0, 0), SPECIAL(sign, -3, -1), SPECIAL(sign, inf, 1), SPECIAL(abs, -inf, inf);
    SPECIAL(exp, nan, nan), SPECIAL(expm1, nan, nan), SPECIAL(log, nan, nan), SPECIAL(log1p, nan, nan);
    SPECIAL(sqrt, nan, nan), SPECIAL(tanh, nan, nan), SPECIAL(sigmoid, nan, nan), SPECIAL(softplus, nan, nan);
    SPECIAL(log_cosh, nan, nan), SPECIAL(sign, nan, nan), SPECIAL(abs, nan, nan), SPECIAL(atan, nan, nan);
    SPECIAL(erf, nan, nan), SPECIAL(log_ndtr, nan, nan), SPECIAL(ndtr_ratio, nan, nan);
    SPECIAL(lgamma, nan, nan), SPECIAL(digamma, nan, nan);
#undef SPECIAL
#define SPECIAL(expression, x, expected) special(#expression, EXPRESSION(expression), x, expected)
    SPECIAL(a * a, 1e300, inf), SPECIAL(a * -1e300, 1e300, -inf), SPECIAL(a * a, inf, inf);
    SPECIAL(a * 0.0, inf, nan), SPECIAL(a * a, 0x1p500, 0x1p1000), SPECIAL(a * 0x1p-990, 0x1p1000, 1024);
    SPECIAL(a * a, nan, nan);
    SPECIAL(a + a, 1.7e308, inf), SPECIAL(a + 1.0, inf, inf), SPECIAL(a - a, inf, nan);
    SPECIAL(a + 1.0, nan, nan), SPECIAL(a - 1.0, -inf, -inf), SPECIAL(a + a, 8e307, 1.6e308);
    SPECIAL(1.0 / a, 0, inf), SPECIAL(-1.0 / a, 0, -inf), SPECIAL(a / a, 0, nan), SPECIAL(1.0 / a, inf, 0);
    SPECIAL(a / 2.0, inf, inf), SPECIAL(a / 1e300, 1e300, 1), SPECIAL(a / 1e-300, 1e300, inf);
    SPECIAL(a / a, nan, nan), SPECIAL(a / a, 0x1.fffffffffffffp1023, 1), SPECIAL(a / a, 0x1p-1074, 1);
    SPECIAL(pow(a, 2.0), inf, inf), SPECIAL(pow(a, 2.0), 0, 0), SPECIAL(pow(a, -1.0), 0, inf);
    SPECIAL(pow(a, 0.0), 0, 1), SPECIAL(pow(a, 0.0), inf, 1), SPECIAL(pow(a, 2.0), 3, 9);
    SPECIAL(pow(a, 2.0), nan, nan), SPECIAL(pow(a, 0.0), nan, nan), SPECIAL(pow(1.0, a), nan, nan);
    SPECIAL(pow(1.0, a), inf, 1), SPECIAL(pow(2.0, a), 1e300, inf), SPECIAL(pow(0.5, a), inf, 0);
    SPECIAL(pow(a, 0.5), -1, nan), SPECIAL(max(0.0, a), nan, nan), SPECIAL(min(a, 2.0), 3, 2);
    SPECIAL(copysign(a, -1.0), 3, -3);
    SPECIAL(logistic(a).sigmoid_neg, inf, 0), SPECIAL(logistic(a).softplus_neg, -inf, inf);
    SPECIAL(logistic(a).softplus_neg, inf, 0), SPECIAL(logistic(a).sigmoid, -inf, 0);
    SPECIAL(logistic(a).softplus, nan, nan), SPECIAL(logistic(a).sigmoid_neg, nan, nan);
    // Equal high parts: the low parts decide.
    SPECIAL(select(a + 0x1p-80 > a, 1.0, 0.0), 1, 1), SPECIAL(select(a + 0x1p-80 <= a, 1.0, 0.0), 1, 0);
    SPECIAL(select(a + 0x1p-80 == a, 1.0, 0.0), 1, 0), SPECIAL(select(a - 0x1p-80 < a, 1.0, 0.0), 1, 1);
    SPECIAL(select(a >= a, 1.0, 0.0), 1, 1), SPECIAL(abs(-(a + 0x1p-80)) - a, 1, 0x1p-80);
#undef SPECIAL
}

}  // namespace

int main() {
    if (!level_runs_here()) return skipped;
    basic_operations();
    elementary_functions();
    logistic_functions();
    special_functions();
    special_values();
    if (failures) std::printf("%d failed\n", failures);
    return failures != 0;
}
