// Sums whose bits depend on the data and its length alone: element i goes to one of as many lanes as fit
// 128 bytes, whatever the width of a pack; lanes are folded in a fixed order, blocks are combined in order.
// float32 values are added in double; float64 values carry the rounding error of every addition along
// (Knuth's TwoSum).
#pragma once

#include "../simd/pack.hpp"
#include "job.hpp"

FUSEDLOSS_BEGIN

FUSEDLOSS_INLINE void add_to(sum& s, double x) {
    const double t = s.high + x, z = t - s.high;
    const double error = (s.high - (t - z)) + (x - z);
    s.high = t;
    s.low += error;
}
FUSEDLOSS_INLINE void add_to(sum& s, sum x) {
    add_to(s, x.high);
    s.low += x.low;
}
// The low part means nothing once the high part has left the finite numbers.
FUSEDLOSS_INLINE sum settled(sum s) { return {s.high, s.high - s.high == 0.0 ? s.low : 0.0}; }
FUSEDLOSS_INLINE double rounded(sum s) {
    const sum t = settled(s);
    return t.high + t.low;
}

// Elements are taken in units of 128 bytes; element i of every unit has its own sum. Two of the widest packs,
// so that additions need not wait for each other.
constexpr int unit_bytes = 128;

template <class T>
struct accumulator;

template <>
struct accumulator<float> {
    static constexpr int lanes = 32, width = pack<double>::lanes, parts = lanes / width;
    pack<double> total[parts];

    accumulator() {
        for (auto& t : total) t = 0.0;
    }
    // Sums of floats cannot overflow a double: they need no scale.
    FUSEDLOSS_INLINE void add(const float* values, std::size_t units, double = 1.0) {
        pack<double> s[parts];
        for (int k = 0; k < parts; ++k) s[k] = total[k];
        for (std::size_t i = 0; i < units; ++i)
            for (int k = 0; k < parts; ++k) s[k] = s[k] + load_widened(values + lanes * i + width * k);
        for (int k = 0; k < parts; ++k) total[k] = s[k];
    }
    FUSEDLOSS_INLINE sum fold() const {
        sum s{0.0, 0.0};
        double lane[lanes];
        for (int k = 0; k < parts; ++k) store(lane + width * k, total[k]);
        for (double x : lane) add_to(s, x);
        return s;
    }
};

template <>
struct accumulator<double> {
    static constexpr int lanes = 16, width = pack<double>::lanes, parts = lanes / width;
    pack<double> total[parts], error[parts];

    accumulator() {
        for (int k = 0; k < parts; ++k) total[k] = error[k] = 0.0;
    }
    FUSEDLOSS_INLINE void add(const double* values, std::size_t units, double scale = 1.0) {
        const pack<double> factor = scale;
        pack<double> s[parts], e[parts];
        for (int k = 0; k < parts; ++k) s[k] = total[k], e[k] = error[k];
        for (std::size_t i = 0; i < units; ++i)
            for (int k = 0; k < parts; ++k) {
                const pack<double> x = load(values + lanes * i + width * k) * factor, t = s[k] + x,
                                   z = t - s[k];
                e[k] = e[k] + ((s[k] - (t - z)) + (x - z));
                s[k] = t;
            }
        for (int k = 0; k < parts; ++k) total[k] = s[k], error[k] = e[k];
    }
    FUSEDLOSS_INLINE sum fold() const {
        sum s{0.0, 0.0};
        double lane[lanes];
        for (int k = 0; k < parts; ++k) store(lane + width * k, total[k]);
        for (double x : lane) add_to(s, x);
        for (int k = 0; k < parts; ++k) store(lane + width * k, error[k]);
        for (double x : lane) s.low += x;
        return s;
    }
};

FUSEDLOSS_END
