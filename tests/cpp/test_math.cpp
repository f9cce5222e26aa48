// Holds the error bounds stated in simd/math.hpp and simd/special.hpp: every function in float over more than
// 2^24 bit patterns and in double over a directed grid and a million random arguments, special values
// included, against libm in a wider type. Prints the largest error met; exits with 1 where one exceeds its
// bound.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "fusedloss/simd/special.hpp"
#include "level.hpp"

static_assert(LDBL_MANT_DIG >= 64, "the references for double need an extended long double");

namespace {

// --- references, for R = double (checking float) and R = long double (checking double) ---

constexpr long double pi = 3.14159265358979323846264338327950288L;

template <class R>
R sigmoid(R x) {
    return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
template <class R>
R softplus(R x) {
    return std::isnan(x) ? x : std::fmax(x, R(0)) + std::log1p(std::exp(-std::fabs(x)));
}
template <class R>
R log_cosh(R x) {
    const R a = std::fabs(x), h = std::sinh(a / 2);
    return a < 1 ? std::log1p(2 * h * h) : a - std::log(R(2)) + std::log1p(std::exp(-2 * a));
}
// a (1 - Phi(a)) / phi(a) for a >= 10, by its asymptotic series.
template <class R>
R mills_series(R a) {
    R sum = 1, term = 1;
    for (int k = 1; k < 45; ++k) sum += term *= -(2 * k - 1) / (a * a);
    return sum;
}
// phi(a), the square taken exactly: the high part of a keeps 26 bits, a itself has at most 53.
template <class R>
R normal_density(R a) {
    const R high = R(float(a)), low = a - high;
    return std::exp(-high * high / 2) * std::exp(-low * (a + high) / 2) / std::sqrt(2 * R(pi));
}
// 1 - Phi(a), a >= 0.
template <class R>
R upper_tail(R a) {
    if (a >= 1e4) return 0;
    return a >= 10 ? normal_density(a) * mills_series(a) / a : std::erfc(a / std::sqrt(R(2))) / 2;
}
template <class R>
R log_ndtr(R x) {
    if (x >= 0) return std::log1p(-upper_tail(x));
    if (x > -10) return std::log(upper_tail(-x));
    return -x * x / 2 - std::log(-x) - std::log(2 * R(pi)) / 2 + std::log(mills_series(x));
}
template <class R>
R ndtr_ratio(R x) {
    if (x >= 0) return x > 1e4 ? R(0) : normal_density(x) / (1 - upper_tail(x));
    return x > -10 ? normal_density(x) / upper_tail(-x) : -x / mills_series(x);
}
template <class R>
R lgamma(R x) {
    return x < 0 ? std::numeric_limits<R>::quiet_NaN() : std::lgamma(x);
}
template <class R>
R digamma(R x) {
    if (x < 0) return std::numeric_limits<R>::quiet_NaN();
    R shift = 0;
    for (; x < 20; x += 1) shift -= 1 / x;
    const R z = 1 / (x * x);
    const R bernoulli[] = {R(1) / 12,       R(-1) / 120, R(1) / 252,           R(-1) / 240,     R(1) / 132,
                           R(-691) / 32760, R(1) / 12,   R(-3617) / R(8160.0), R(43867) / 14364};
    R series = 0;
    for (int k = 8; k >= 0; --k) series = (series + bernoulli[k]) * z;
    return shift + (std::log(x) - 1 / (2 * x) - series);
}
template <class R>
R trigamma(R x) {
    if (x < 0) return std::numeric_limits<R>::quiet_NaN();
    R shift = 0;
    for (; x < 20; x += 1) shift += 1 / x / x;
    const R z = 1 / x / x;
    const R bernoulli[] = {R(1) / 6,       R(-1) / 30, R(1) / 42,      R(-1) / 30,    R(5) / 66,
                           R(-691) / 2730, R(7) / 6,   R(-3617) / 510, R(43867) / 798};
    R series = 0;
    for (int k = 8; k >= 0; --k) series = (series + bernoulli[k]) * z;
    return shift + (1 + 1 / (2 * x) + series) / x;
}
template <class R>
R pow(R x, R y) {
    if (std::isnan(x) || std::isnan(y) || (x < 0 && y != 0)) return std::numeric_limits<R>::quiet_NaN();
    return std::pow(std::fabs(x), y);
}

// --- the functions under test ---

template <class T>
using wider = std::conditional_t<std::is_same_v<T, float>, double, long double>;
template <class T>
using pack = fusedloss::pack<T>;

// A function of numbers T, on packs of T or of a kin that lies alike in memory.
template <class T, class P = pack<T>>
struct tested {
    P (*kernel)(P);
    wider<T> (*reference)(wider<T>);
    double max_ulp;

    pack<T> operator()(pack<T> x) const {
        P p;
        std::memcpy(&p, &x, sizeof p);
        p = kernel(p);
        std::memcpy(&x, &p, sizeof x);
        return x;
    }
};
using tested_wide_float = tested<double, pack<fusedloss::wide_float>>;
// What doubles that only serve floats promise: 43 bits.
constexpr double wide_float_ulp = 0x1p10;

struct bound {
    double with_fma, without_fma;
    bound(double both) : with_fma(both), without_fma(both) {}
    bound(double with, double without) : with_fma(with), without_fma(without) {}
};
struct function {
    const char* name;
    tested<float> in_float;
    tested<double> in_double;
    tested_wide_float in_wide_float;
    double low, high;         // where nearly half of the random arguments fall evenly
    bool absolute_below_one;  // errors are in ULP of max(1, |f|)
};

template <class Kernel, class Reference>
function row(const char* name, Kernel kernel, Reference reference, bound in_float, bound in_double,
             double low, double high, bool absolute_below_one = false) {
    const auto limit = [](bound b) { return fusedloss::has_fma ? b.with_fma : b.without_fma; };
    return {name,
            {kernel, reference, limit(in_float)},
            {kernel, reference, limit(in_double)},
            {kernel, reference, wide_float_ulp},
            low,
            high,
            absolute_below_one};
}
#define FUNCTION(name) #name, [](auto x) { return fusedloss::name(x); }

// clang-format off
const function functions[] = {
    row(FUNCTION(exp), [](auto x) { return std::exp(x); }, 1, 1, -20, 20),
    row(FUNCTION(expm1), [](auto x) { return std::expm1(x); }, {1, 1.2}, 1.2, -3, 3),
    row(FUNCTION(log), [](auto x) { return std::log(x); }, 1, 1, 0, 4),
    row(FUNCTION(log1p), [](auto x) { return std::log1p(x); }, 1, 1, -1, 4),
    row(FUNCTION(sigmoid), [](auto x) { return sigmoid(x); }, 2, 2, -40, 40),
    row("sigmoid_neg", [](auto x) { return fusedloss::logistic(x).sigmoid_neg; },
        [](auto x) { return sigmoid(-x); }, 2, 2, -4, 4),
    row(FUNCTION(softplus), [](auto x) { return softplus(x); }, {1.8, 1.9}, {1.8, 2.1}, -40, 40),
    row("softplus_neg", [](auto x) { return fusedloss::logistic(x).softplus_neg; },
        [](auto x) { return softplus(-x); }, {1.8, 1.9}, {1.8, 2.1}, -4, 4),
    row(FUNCTION(tanh), [](auto x) { return std::tanh(x); }, 1, 1, -3, 3),
    row(FUNCTION(log_cosh), [](auto x) { return log_cosh(x); }, {1.1, 1.5}, {1.1, 1.5}, -3, 3),
    row(FUNCTION(atan), [](auto x) { return std::atan(x); }, 1, 1, -4, 4),
    row("atan_of_ratio", [](auto x) { return fusedloss::atan_of_ratio(fusedloss::abs(x), decltype(x)(3.0)); },
        [](auto x) { return std::atan(std::fabs(x) / 3); }, 2, 2, -4, 4),
    row(FUNCTION(erf), [](auto x) { return std::erf(x); }, 0.51, 1.5, -3, 3),
    row(FUNCTION(log_ndtr), [](auto x) { return log_ndtr(x); }, 0.51, 0.9, -10, 40),
    row(FUNCTION(ndtr_ratio), [](auto x) { return ndtr_ratio(x); }, 0.51, 0.9, -10, 40),
    row(FUNCTION(lgamma), [](auto x) { return lgamma(x); }, 0.51, 0.6, 0, 12),
    row(FUNCTION(digamma), [](auto x) { return digamma(x); }, 0.51, 0.6, 0, 12, true),
    row(FUNCTION(trigamma), [](auto x) { return trigamma(x); }, 0.51, 3.5, 0, 12),
};
// clang-format on

// --- arguments and the measure ---

template <class T>
const std::vector<T>& special_values() {
    using limits = std::numeric_limits<T>;
    static const std::vector<T> values = [] {
        std::vector<T> v;
        const double thresholds[] = {0,
                                     limits::min(),
                                     limits::max(),
                                     limits::infinity(),
                                     1e-30,
                                     0.4142135,
                                     0.5,
                                     0.6931472,
                                     0.7,
                                     1,
                                     1.41421,
                                     1.4616321,
                                     2,
                                     2.3,
                                     2.4142135,
                                     2.5,
                                     4.5,
                                     6.5,
                                     7,
                                     8,
                                     16.6,
                                     17,
                                     18,
                                     36.7,
                                     37.5,
                                     38.5,
                                     87.3,
                                     88.0297,
                                     88.72284,
                                     89,
                                     103.97208,
                                     104,
                                     708.39642,
                                     709.78,
                                     745.13322,
                                     746,
                                     1e10};
        for (double t : thresholds)
            for (T x : {T(t), std::nextafter(T(t), T(0)), std::nextafter(T(t), limits::infinity())}) {
                v.push_back(x);
                v.push_back(-x);
            }
        for (T x : {limits::quiet_NaN(), limits::denorm_min()}) {
            v.push_back(x);
            v.push_back(-x);
        }
        return v;
    }();
    return values;
}

// |got - exact| in units of the last place of the exact value; infinite where one alone is NaN, or where odd
// functions lose the sign of zero.
// Beyond the largest finite number, infinity counts as the next power of two.
template <class T>
double ulp_error(T x, T got, wider<T> exact, bool absolute_below_one) {
    using limits = std::numeric_limits<T>;
    using W = wider<T>;
    if (std::isnan(got) || std::isnan(exact)) return std::isnan(got) && std::isnan(exact) ? 0 : HUGE_VAL;
    if (exact == 0 && got == 0) return x == 0 && std::signbit(got) != std::signbit(exact) ? HUGE_VAL : 0;
    const W overflow = std::ldexp(W(1), limits::max_exponent);
    const auto finite = [&](W x) {
        return std::isinf(x) || std::fabs(x) > overflow ? std::copysign(overflow, x) : x;
    };
    const W e = finite(exact), g = finite(got);
    const W size = absolute_below_one ? std::fmax(std::fabs(e), W(1)) : std::fabs(e);
    const int exponent =
        std::max(size == 0 ? limits::min_exponent : std::ilogb(size) + 1, limits::min_exponent);
    return double(std::ldexp(std::fabs(g - e), limits::digits - std::min(exponent, limits::max_exponent)));
}

struct worst {
    double ulp = 0, argument = 0;
};

template <class T, class P>
void check(const function& f, const tested<T, P>& t, const T* x, int n, worst& w) {
    constexpr int lanes = pack<T>::lanes;
    for (int i = 0; i < n; i += lanes) {
        T got[lanes];
        const int count = std::min(lanes, n - i);
        fusedloss::store(got, t(fusedloss::load_partial(x + i, count)));
        for (int j = 0; j < count; ++j) {
            const double e = ulp_error<T>(x[i + j], got[j], t.reference(x[i + j]), f.absolute_below_one);
            if (e > w.ulp) w = {e, double(x[i + j])};
        }
    }
}

worst check_float(const function& f) {
    worst w;
    check(f, f.in_float, special_values<float>().data(), int(special_values<float>().size()), w);
    constexpr int block = 4096;
    constexpr std::uint32_t stride = 255;  // 2^32 / 255 > 2^24
    std::uint32_t bits = 0;
    for (std::uint32_t done = 0; done < (1u << 24) + (1u << 16); done += block) {
        float x[block];
        for (float& v : x) {
            std::memcpy(&v, &bits, sizeof v);
            bits += stride;
        }
        check(f, f.in_float, x, block, w);
    }
    return w;
}

template <class P>
worst check_double(const function& f, const tested<double, P>& t) {
    worst w;
    std::vector<double> x = special_values<double>();
    for (int e = -1074; e < 1024; ++e)
        for (double m : {1.0, 1.0 + DBL_EPSILON, 1.25, 1.41421356, 1.5, 1.7320508, 2 - DBL_EPSILON})
            for (double sign : {-1.0, 1.0}) x.push_back(std::ldexp(sign * m, e));
    std::mt19937_64 random(20240229);
    std::uniform_real_distribution<double> even(f.low, f.high), magnitude(-25, 10), phase(-1, 1),
        wide(-750, 750);
    for (int i = 0; i < 500000; ++i) {
        x.push_back(even(random));
        if (i % 4 == 0) x.push_back(wide(random));
        const double size = std::exp2(magnitude(random));
        x.push_back(std::copysign(size, phase(random)));
    }
    check(f, t, x.data(), int(x.size()), w);
    return w;
}

// Every pair of special values, and pairs whose power is spread over the range of T.
template <class T>
worst check_pow(int pairs) {
    worst w;
    constexpr int lanes = pack<T>::lanes;
    T x[lanes], y[lanes], got[lanes];
    const auto check_pack = [&] {
        fusedloss::store(got, fusedloss::pow(fusedloss::load(x), fusedloss::load(y)));
        for (int j = 0; j < lanes; ++j) {
            const double e = ulp_error<T>(0, got[j], pow<wider<T>>(x[j], y[j]), false);
            if (e > w.ulp) w = {e, double(x[j])};
        }
    };
    for (T a : special_values<T>())
        for (T b : special_values<T>()) {
            std::fill_n(x, lanes, a);
            std::fill_n(y, lanes, b);
            check_pack();
        }
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> even(0, 4), magnitude(-120, 120);
    std::uniform_real_distribution<double> exponent(-0.75 * std::numeric_limits<T>::max_exponent,
                                                    0.72 * std::numeric_limits<T>::max_exponent);
    for (int i = 0; i < pairs; i += lanes) {
        for (int j = 0; j < lanes; ++j) {
            x[j] = T(j % 2 ? even(random) : std::exp2(magnitude(random)));
            y[j] = T(exponent(random) / std::log(double(x[j])));
        }
        check_pack();
    }
    return w;
}

}  // namespace

int main() {
    if (!level_runs_here()) return skipped;
    bool failed = false;
    const auto report = [&](const char* name, const char* type, worst w, double limit) {
        const bool bad = !(w.ulp <= limit);
        failed |= bad;
        std::printf("%-20s %-7s %8.3f ULP at %-24.17g bound %g%s\n", name, type, w.ulp, w.argument, limit,
                    bad ? "  EXCEEDED" : "");
    };
    for (const function& f : functions) {
        report(f.name, "float", check_float(f), f.in_float.max_ulp);
        report(f.name, "double", check_double(f, f.in_double), f.in_double.max_ulp);
        report(f.name, "wide_float", check_double(f, f.in_wide_float), f.in_wide_float.max_ulp);
    }
    report("pow", "float", check_pow<float>(1 << 22), 0.51);
    report("pow", "double", check_pow<double>(1 << 20), 1.1);
    return failed;
}
