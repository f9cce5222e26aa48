// What losses over the scores of one anchor with a batch are made of. Row input 0 holds them: cosines, or
// minus squared distances; minus infinity where the column is the anchor itself, which takes no part. Row
// input 1 holds the labels of the columns; the label of the row is the anchor's.
#pragma once

#include "row_terms.hpp"

namespace fusedloss {

// Which distance a score stands for.
constexpr double euclidean_distance = 0.0;  // scores are minus its square
constexpr double squared_distance = 1.0;    // scores are minus it
constexpr double cosine_distance = 2.0;     // scores are 1 minus it

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// max(0, x) that keeps NaN.
template <class T>
FUSEDLOSS_INLINE T positive_part(T x) {
    return select(x < T(0.0), T(0.0), x);
}

// The columns of the anchor's class, those of other classes, and what lies between the anchor and a column.
template <class Row>
struct partners {
    using T = typename Row::number;
    using mask = typename Row::mask;
    const Row& row;
    const T own;
    const double measure;

    FUSEDLOSS_INLINE explicit partners(const Row& r, double distance = squared_distance)
        : row(r), own(r.label()), measure(distance) {}

    template <class J>
    FUSEDLOSS_INLINE mask same(J j) const {
        return (row.in(1, j) == own) & !(row.in(0, j) == T(-__builtin_inf()));
    }
    template <class J>
    FUSEDLOSS_INLINE mask other(J j) const {
        return !(row.in(1, j) == own);
    }
    FUSEDLOSS_INLINE T count_same() const {
        return row.sum([&](auto j) { return select(same(j), T(1.0), T(0.0)); });
    }
    template <class J>
    FUSEDLOSS_INLINE T choose(J j, T at_same, T at_other) const {
        return select(other(j), at_other, select(same(j), at_same, T(0.0)));
    }
    FUSEDLOSS_INLINE T distance_of(T score) const {
        if (measure == euclidean_distance) return sqrt(positive_part(-score));
        return measure == squared_distance ? -score : 1.0 - score;
    }
    template <class J>
    FUSEDLOSS_INLINE T distance(J j) const {
        return distance_of(row.in(0, j));
    }
    // Its derivative in the score; 0 where two vectors are the same.
    template <class J>
    FUSEDLOSS_INLINE T slope(J j) const {
        if (measure != euclidean_distance) return -1.0;
        const T d = distance(j);
        return select(d > T(0.0), -0.5 / d, d);
    }
};

// log sum exp f(j) over a set of columns, and of one more number `floor` unless that is -inf. Of nothing:
// -inf.
template <class Row, class Set, class F>
FUSEDLOSS_INLINE typename Row::number log_sum_exp(const Row& row, Set set, F f,
                                                  double floor = -__builtin_inf()) {
    using T = typename Row::number;
    const T none(-__builtin_inf()), least(floor);
    const T found = row.max([&](auto j) { return select(set(j), f(j), none); });
    const T largest = select(found < least, least, found);
    const T origin = select(largest == none, T(0.0), largest);
    const T total = row.sum([&](auto j) { return select(set(j), exp(f(j) - origin), T(0.0)); });
    return origin + log(total + exp(least - origin));
}

// The least index of a set of columns; the number of columns if it is empty.
template <class Row, class Set>
FUSEDLOSS_INLINE typename Row::number first_index(const Row& row, Set set) {
    return row.min([&](auto j) { return select(set(j), row.index(j), row.classes()); });
}

FUSEDLOSS_END
