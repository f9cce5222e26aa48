// Losses of two vectors per row.
#pragma once

#include "pair_terms.hpp"

namespace fusedloss {

// scale * measure^power.
struct pair_value {
    double scale = 1.0, power = 1.0;
    static constexpr const char* name = "pair_value";
    static constexpr const char* inputs = "x1 x2";
    static constexpr const char* params = "scale power";
    static constexpr pairs_traits traits{2, 0, 0b11, vector_pairs::both};
};

// (measure - target)^2.
struct pair_regression {
    static constexpr const char* name = "pair_regression";
    static constexpr const char* inputs = "x1 x2 target";
    static constexpr const char* params = "";
    static constexpr pairs_traits traits{2, 1, 0b111, vector_pairs::both};
};

// Hadsell, Chopra & LeCun (2006): scale * max(0, d - positive_margin)^power for similar pairs,
// scale * max(0, margin - d)^power for the others; labels between the two mix them.
struct contrastive {
    double margin = 1.0, positive_margin = 0.0, similar_label = 0.0, scale = 0.5, power = 2.0;
    static constexpr const char* name = "contrastive";
    static constexpr const char* inputs = "x1 x2 target";
    static constexpr const char* params = "margin positive_margin similar_label scale power";
    static constexpr pairs_traits traits{2, 1, 0b011, vector_pairs::both};
};

// 1 - cos where target = 1, max(0, cos - margin) where it is -1, else 0; measured by the distance 1 - cos.
struct cosine_embedding {
    double margin = 0.0;
    static constexpr const char* name = "cosine_embedding";
    static constexpr const char* inputs = "input1 input2 target";
    static constexpr const char* params = "margin";
    static constexpr pairs_traits traits{2, 1, 0b011, vector_pairs::both};
};

// Wen et al. (2016): scale * measure of an embedding and the centre of its class.
struct center {
    double scale = 0.5;
    static constexpr const char* name = "center";
    static constexpr const char* inputs = "input centers target";
    static constexpr const char* params = "scale";
    static constexpr pairs_traits traits{2, 0, 0b11, vector_pairs::both, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const pair_value& p, const T* s, const T*) {
    if (p.power == 1.0) return {p.scale * s[0], {T(p.scale)}, {}};
    const T zero(0.0), risen = pow(s[0], T(p.power));
    return {p.scale * risen, {select(s[0] == zero, zero, p.scale * p.power * (risen / s[0]))}, {}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const pair_regression&, const T* s, const T* x) {
    const T e = s[0] - x[0];
    return {e * e, {2.0 * e}, {-2.0 * e}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const contrastive& p, const T* s, const T* x) {
    const T d = s[0], label = x[0], alike = p.similar_label == 0.0 ? 1.0 - label : label;
    const T unlike = 1.0 - alike;
    const auto near = hinge_of(d - p.positive_margin), far = hinge_of(p.margin - d);
    if (p.power == 1.0)
        return {p.scale * (alike * near.value + unlike * far.value),
                {p.scale * (alike * near.slope - unlike * far.slope)},
                {}};
    return {p.scale * (alike * near.value * near.value + unlike * far.value * far.value),
            {2.0 * p.scale * (alike * near.value - unlike * far.value)},
            {}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const cosine_embedding& p, const T* s, const T* x) {
    const T zero(0.0), one(1.0), t = x[0];
    const auto far = hinge_of((1.0 - p.margin) - s[0]);
    const auto similar = t == one, dissimilar = t == -one;
    const T poison = s[0] + t, neither = select(is_nan(poison), poison, zero);
    return {select(similar, s[0], select(dissimilar, far.value, neither)),
            {select(similar, select(is_nan(s[0]), s[0], one), select(dissimilar, -far.slope, neither))},
            {}};
}

template <class T>
FUSEDLOSS_INLINE pair_terms<T> eval(const center& p, const T* s, const T*) {
    return {p.scale * s[0], {T(p.scale)}, {}};
}

FUSEDLOSS_END
