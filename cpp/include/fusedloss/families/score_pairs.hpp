// The logistic loss of all pairs of a positive and a negative score.
#pragma once

#include "../core/pairs_job.hpp"
#include "../simd/special.hpp"
#include "pair_loops.hpp"

FUSEDLOSS_BEGIN

// Negative scores are taken in stretches that stay in the first-level cache, each with all positive ones.
inline double compare_scores(const score_pairs& s, std::int64_t begin, std::int64_t end,
                             double* negative_grad) {
    using T = pack<double>;
    constexpr std::int64_t stretch = 64 * score_unit;
    T total[unit_packs];
    for (T& t : total) t = 0.0;
    for (std::int64_t first = 0; first < s.negatives; first += stretch) {
        const std::int64_t last = first + stretch < s.negatives ? first + stretch : s.negatives;
        for (std::int64_t i = begin; i < end; ++i) {
            const T positive = s.positive[i], weight = s.positive_weight[i];
            T values[unit_packs], slopes[unit_packs];
            for (int k = 0; k < unit_packs; ++k) values[k] = slopes[k] = 0.0;
            for (std::int64_t j = first; j < last; j += score_unit)
                for (int k = 0; k < unit_packs; ++k) {
                    const std::int64_t at = j + k * T::lanes;
                    const T v = load(s.negative_weight + at);
                    const auto terms = logistic(load(s.negative + at) - positive);
                    const auto counts = v != T(0.0);
                    values[k] = values[k] + select(counts, v * terms.softplus, T(0.0));
                    if (!negative_grad) continue;
                    const T slope = select(counts, terms.sigmoid, T(0.0));
                    slopes[k] = fma(v, slope, slopes[k]);
                    store(negative_grad + at, fma(weight * v, slope, load(negative_grad + at)));
                }
            for (int k = 0; k < unit_packs; ++k) total[k] = fma(weight, values[k], total[k]);
            if (negative_grad) s.positive_grad[i] -= s.positive_weight[i] * join_unit<adding>(slopes);
        }
    }
    return join_unit<adding>(total);
}

FUSEDLOSS_END
