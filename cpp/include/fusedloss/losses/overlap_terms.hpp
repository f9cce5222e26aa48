// What formulas of the overlap of masks are made of: sums over the positions of a class, p being the
// probability that the scores give it and t its target,
//
//     both = sum of p t,   surplus = sum of p (1 - t),   missing = sum of (1 - p) t
//
// (or another form of these, see overlap_job.hpp), none of which cancels where p comes close to t. A loss
// gives its value and its slopes, the derivatives in the sums. There are two kinds: of one class alone,
//
//     template <class T>
//     overlap_terms<T> eval(const the_loss& p, const overlap_sums<T>& s, T count);
//
// and of all classes of a group together,
//
//     template <class Group>
//     void eval(const the_loss& p, Group& group);
//
// where `group` offers, j being a class:
//
//     Group::number            pack<double>; lanes are groups
//     group.first(), classes() the classes that have an overlap are first() <= j < classes()
//     group.sums(j)            its sums
//     group.weight(j)          its weight; 0 where an absent class shall not count
//     group.count(j)           the positions that count (for any class; so do the next two)
//     group.pixel(j)           the sum of the loss by position
//     group.pixel_slope(j, x)  the derivative in pixel(j)
//     group.value(x)           the value
//     group.slopes(j, s)       the derivatives in sums(j)
#pragma once

#include "../core/overlap_job.hpp"
#include "terms.hpp"

FUSEDLOSS_BEGIN

template <class T>
struct overlap_sums {
    T both, surplus, missing, extra;
};

template <class T>
struct overlap_terms {
    T value;
    overlap_sums<T> slope;
};

// x times w, and exactly 0 where w is 0, whatever x is.
template <class S>
FUSEDLOSS_INLINE pack<S> weighted(pack<S> x, pack<S> w) {
    return select(w == pack<S>(0.0), pack<S>(0.0), x * w);
}

FUSEDLOSS_END
