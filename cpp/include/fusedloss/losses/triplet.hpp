// Losses of three and four vectors per row.
#pragma once

#include "pair_terms.hpp"

namespace fusedloss {

// max(0, d(anchor, positive) - d(anchor, negative) + margin), or softplus of the difference of distances.
struct triplet {
    double margin = 1.0, soft = 0.0;
    static constexpr const char* name = "triplet";
    static constexpr const char* inputs = "anchor positive negative";
    static constexpr const char* params = "margin soft";
    static constexpr pairs_traits traits{3, 0, 0b111, vector_pairs::anchored};
};

// Balntas et al. (2016): the negative is as near as it is to the anchor or to the positive.
struct triplet_swap {
    double margin = 1.0, soft = 0.0;
    static constexpr const char* name = "triplet_swap";
    static constexpr const char* inputs = "anchor positive negative";
    static constexpr const char* params = "margin soft";
    static constexpr pairs_traits traits{3, 0, 0b111, vector_pairs::triangle};
};

// Chen et al. (2017): max(0, d(a, p) - d(a, n1) + margin1) + max(0, d(a, p) - d(n1, n2) + margin2).
struct quadruplet {
    double margin1 = 1.0, margin2 = 0.5;
    static constexpr const char* name = "quadruplet";
    static constexpr const char* inputs = "anchor positive negative1 negative2";
    static constexpr const char* params = "margin1 margin2";
    static constexpr pairs_traits traits{4, 0, 0b1111, vector_pairs::chained};
};

// Hofstaetter et al. (2020): (score(query, positive) - score(query, negative) - target)^2.
struct margin_mse {
    static constexpr const char* name = "margin_mse";
    static constexpr const char* inputs = "query positive negative target";
    static constexpr const char* params = "";
    static constexpr pairs_traits traits{3, 1, 0b1111, vector_pairs::anchored};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// Of the distances to the positive and to the negative: the value and its derivative in the first, which is
// minus that in the second.
template <class T>
FUSEDLOSS_INLINE hinge_terms<T> triplet_terms(double margin, double soft, T positive, T negative) {
    const T gap = positive - negative;
    if (soft != 0.0) {
        const auto s = logistic(gap);
        return {s.softplus, s.sigmoid};
    }
    return hinge_of(gap + margin);
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const triplet& p, const T* s, const T*) {
    const auto t = triplet_terms(p.margin, p.soft, s[0], s[1]);
    return {t.value, {t.slope, -t.slope}, {}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const triplet_swap& p, const T* s, const T*) {
    const T zero(0.0), poison = s[1] + s[2];
    const auto swapped = s[2] < s[1];
    const T negative = select(is_nan(poison), poison, select(swapped, s[2], s[1]));
    const auto t = triplet_terms(p.margin, p.soft, s[0], negative);
    const T away = select(is_nan(t.slope), t.slope, zero);
    return {t.value, {t.slope, select(swapped, away, -t.slope), select(swapped, -t.slope, away)}, {}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const quadruplet& p, const T* s, const T*) {
    const auto first = hinge_of(s[0] - s[1] + p.margin1), second = hinge_of(s[0] - s[2] + p.margin2);
    return {first.value + second.value, {first.slope + second.slope, -first.slope, -second.slope}, {}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const margin_mse&, const T* s, const T* x) {
    const T e = s[0] - s[1] - x[0];
    return {e * e, {2.0 * e, -2.0 * e}, {-2.0 * e}};
}

FUSEDLOSS_END
