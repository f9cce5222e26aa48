// Losses that order scores: pairs, distances, area under the curve.
#pragma once

#include "terms.hpp"

namespace fusedloss {

// x where t = 1, max(0, margin - x) where t = -1, elsewhere their sum, which is max(x, margin).
struct hinge_embedding {
    double margin = 1.0;
    static constexpr const char* name = "hinge_embedding";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "margin";
    static constexpr elementwise_traits traits{2, 0b01, false, arithmetic::working};
};

// max(0, margin - y (x1 - x2)).
struct margin_ranking {
    double margin = 0.0;
    static constexpr const char* name = "margin_ranking";
    static constexpr const char* inputs = "input1 input2 target";
    static constexpr const char* params = "margin";
    static constexpr elementwise_traits traits{3, 0b011, false, arithmetic::working};
};

// max(0, p - min(n, s) + margin) or softplus(p - min(n, s)): a triplet loss of distances that are known.
struct distance_triplet {
    double margin = 1.0, soft = 0.0;
    static constexpr const char* name = "distance_triplet";
    static constexpr const char* inputs = "positive_distance negative_distance swap_distance";
    static constexpr const char* params = "margin soft";
    static constexpr elementwise_traits traits{3, 0b111, false, arithmetic::working};
};

// Rendle et al. (2009), Bayesian personalised ranking: softplus(-(positive - negative)).
struct bpr {
    static constexpr const char* name = "bpr";
    static constexpr const char* inputs = "positive negative";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::working};
};

// Yuan et al. (2021), the AUC margin loss of one sample, p = pos_rate:
// (1-p) t (x-a)^2 + p (1-t) (x-b)^2 + 2 alpha (p (1-p) margin + p (1-t) x - (1-p) t x) - p (1-p) alpha^2.
struct aucm {
    double margin = 1.0, pos_rate = 0.5;
    static constexpr const char* name = "aucm";
    static constexpr const char* inputs = "input target a b alpha";
    static constexpr const char* params = "margin pos_rate";
    static constexpr elementwise_traits traits{5, 0b11101, true, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// a + b as a rounded sum and what the rounding lost (Knuth's TwoSum); nothing is lost where the sum is
// infinite.
template <class T>
struct sum_parts {
    T sum, lost;
};
template <class T>
FUSEDLOSS_INLINE sum_parts<T> split_sum(T a, T b) {
    const T s = a + b, part = s - a, lost = (a - (s - part)) + (b - part);
    return {s, select(is_nan(lost), T(0.0), lost)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const hinge_embedding& p, T x, T t) {
    const T zero(0.0), one(1.0), gap = p.margin - x;
    const auto similar = t == one, dissimilar = t == -one;
    const T value = select(similar, x, select(dissimilar, max(zero, gap), max(T(p.margin), x)));
    const T slope = select(dissimilar, zero, one) - select((t != one) & (gap > zero), one, zero);
    const T poison = x + t;  // NaN where either is, and finite or infinite elsewhere
    return input_terms<2>(select(is_nan(poison), poison, value), select(is_nan(poison), poison, slope));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const margin_ranking& p, T x1, T x2, T y) {
    const auto d = split_sum(x1, -x2);
    const auto gap = split_sum(T(p.margin), -y * d.sum);
    const T r = gap.sum + (gap.lost - y * d.lost), value = max(T(0.0), r);
    const auto active = r > T(0.0);
    return {value, {select(active, -y, value), select(active, y, value), T(0.0)}, T(0.0)};
}

// The rounding error of the difference, to first order: in e^-d it would count |d| times.
template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const distance_triplet& p, T positive, T negative, T swap) {
    const T zero(0.0);
    const auto swapped = swap < negative;
    const T nearer = select(is_nan(swap), swap, select(swapped, swap, negative));
    const auto d = split_sum(positive, -nearer);
    T value, slope;
    if (p.soft != 0.0) {
        const auto s = logistic(d.sum);
        value = fma(d.lost, s.sigmoid, s.softplus);
        slope = fma(d.lost, s.sigmoid * s.sigmoid_neg, s.sigmoid);
    } else {
        const auto gap = split_sum(T(p.margin), d.sum);
        const T r = gap.sum + (gap.lost + d.lost);
        value = max(zero, r);
        slope = select(r > zero, T(1.0), value);
    }
    const T none = select(is_nan(slope), slope, zero);
    return {value, {slope, select(swapped, none, -slope), select(swapped, -slope, none)}, zero};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const bpr&, T positive, T negative) {
    const auto d = split_sum(positive, -negative);
    const auto s = logistic(d.sum);
    const T both = s.sigmoid * s.sigmoid_neg, shift = d.lost * both;
    return residual_terms(fma(-d.lost, s.sigmoid_neg, s.softplus_neg), shift - s.sigmoid_neg,
                          fma(shift, s.sigmoid_neg - s.sigmoid, both));
}

template <class T>
FUSEDLOSS_INLINE terms<T, 5> eval(const aucm& p, T x, T t, T a, T b, T alpha) {
    const T rate = p.pos_rate, other = 1.0 - rate, on = other * t, off = rate * (1.0 - t);
    const T da = x - a, db = x - b, balance = off - on, spread = rate * other;
    const T lift = spread * p.margin + balance * x;
    const T value = on * da * da + off * db * db + alpha * (2.0 * lift - spread * alpha);
    const auto unknown = is_nan(value);
    return {value,
            {2.0 * (on * da + off * db + alpha * balance), T(0.0), select(unknown, value, -2.0 * on * da),
             select(unknown, value, -2.0 * off * db), select(unknown, value, 2.0 * (lift - spread * alpha))},
            2.0 * (on + off)};
}

FUSEDLOSS_END
