// Divergences between a target distribution and a predicted one given by its logarithm, element by element.
#pragma once

#include "products.hpp"

namespace fusedloss {

// Kullback-Leibler: t (log t - x), or e^t (t - x) where the target is a logarithm too.
// Gradient -t in x and log t - x + 1 in t, both 0 at t = 0.
struct kl_div {
    double log_target = 0.0;
    static constexpr const char* name = "kl_div";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "log_target";
    static constexpr elementwise_traits traits{2, 0b11, false, arithmetic::wide};
};

// Generalised Kullback-Leibler (the Bregman divergence of t log t): t (log t - x) + e^x - t.
// Gradient e^x - t in x and log t - x in t, the latter 0 at t = 0; Hessian e^x.
struct generalized_kl {
    static constexpr const char* name = "generalized_kl";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{2, 0b11, true, arithmetic::wide};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const kl_div& p, T x, T t) {
    if (p.log_target != 0.0) {
        // A target of probability 0 has no say, whatever x is.
        const T gap = select(t == T(-__builtin_inf()), poisoned_by(x, T(0.0)), t - x);
        return {times_exp(gap, t), {-poisoned_by(x, exp(t)), times_exp(gap + 1.0, t)}, T(0.0)};
    }
    const auto absent = (t == T(0.0)) & !is_nan(x);
    const T gap = select(absent, T(0.0), log(t) - x);
    return {t * gap, {-poisoned_by(gap, t), select(absent, T(0.0), gap + 1.0)}, T(0.0)};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 2> eval(const generalized_kl&, T x, T t) {
    const auto absent = (t == T(0.0)) & !is_nan(x);
    const T q = exp(x), gap = select(absent, T(0.0), log(t) - x), excess = q - t;
    const T value = t * gap + excess;
    // The divergence is not negative: where its terms are opposite infinities, the positive one is the
    // larger.
    const auto beyond = is_nan(value) & !is_nan(gap);
    return {select(beyond, T(__builtin_inf()), value), {excess, gap}, poisoned_by(t, q)};
}

FUSEDLOSS_END
