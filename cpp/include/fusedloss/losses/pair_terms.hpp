// What a formula over rows of paired vectors is made of:
//
//     template <class T>
//     pair_terms<T> eval(const the_loss& p, const T* measure, const T* number);
//
// `measure[m]` says how near the m-th pair of vectors is (traits.pairs; core/pairs_job.hpp lists the
// measures, the caller chooses one), `number[k]` are the inputs with one number per row. Lanes are rows.
#pragma once

#include "terms.hpp"

FUSEDLOSS_BEGIN

template <class T>
struct pair_terms {
    T value;
    T slope[max_pair_measures];  // d value / d measure
    T number[max_pair_numbers];  // d value / d number, where differentiable
};

// max(0, x) and its derivative: 0 at the kink, NaN where x is.
template <class T>
struct hinge_terms {
    T value, slope;
};
template <class T>
FUSEDLOSS_INLINE hinge_terms<T> hinge_of(T x) {
    const T value = max(T(0.0), x);
    return {value, select(x > T(0.0), T(1.0), value)};
}

FUSEDLOSS_END
