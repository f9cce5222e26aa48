// What formulas over rows of class scores are made of. There are two kinds.
//
// A loss of u = log p_y alone, p being the softmax of the row and y its label, says what it is as a function
// of u; everything around it is the driver's (families/softmax.hpp):
//
//     template <class T>
//     phi_terms<T> phi(const the_loss& p, log_prob<T> y);
//
// Every other one is a formula over a row, for any view of it (families/rows.hpp):
//
//     template <class Row>
//     void eval(const the_loss& p, Row& row);
//
// where `row` offers the following, j being a position that only the row understands, and numbers of the row
// and of its elements having one type:
//
//     Row::number, Row::mask       pack<double> and its mask
//     row.classes()                the number of classes C
//     row.in(k, j)                 element j of input k
//     row.at(k, i)                 element of input k at the class index i, a number of the row
//     row.index(j)                 the class index of j
//     row.label()                  the class index of the label, 0 in rows that have been excluded
//     row.at_label(j)              whether j is the label; row.onehot(j) is 1 there and 0 elsewhere
//     row.has(k)                   whether there is an input k: one that `dense` traits make optional
//     row.target(j)                the share of class j in the target of a loss whose traits are `dense`:
//                                  in(1, j) if there are probabilities, onehot(j) otherwise
//     row.class_weight(j)          1 where there are none; the weight of the label is the driver's to apply
//     row.sum(f), max(f), min(f)   of f(j) over the classes. Sums are compensated, their order depends on C
//                                  alone; NaN anywhere makes all three NaN
//     row.for_each(f)              f(j) over the classes, in order
//     row.put(b, j, x), get(b, j)  rows of scratch, b = 0, 1
//     row.prefix_sum(b)            makes element j the sum of elements 0...j; suffix_sum(b): of j...C-1
//     row.size()                   the number of classes as a position; row.leading(n): the row without all
//     but
//                                  its first n classes, whose grad_from(j, k, f) writes as grad does, from j
//                                  on; up to a pack beyond the last of them may be overwritten
//     row.add_at(b, i, x)          adds x to scratch b at the class index i, a number of the row
//     row.value(x)                 the value of the row
//     row.count(x)                 how many terms the value sums, of losses that average over terms
//     row.wants_grad(k)            whether anybody asked for it
//     row.grad(k, f)               d value / d in(k, j) = f(j); row.wants_hess() and row.hess(f) likewise
//     row.learned()                a number that the row was given besides; row.learned_grad(x): d value / d
//     it row.output(f)                activations: the result has f(j) in place of a gradient
#pragma once

#include "terms.hpp"

FUSEDLOSS_BEGIN

// log p_y, p_y and 1 - p_y, each right to its own last digits, and what log_p leaves out, where that is
// known.
template <class T>
struct log_prob {
    T log_p, p, rest, log_rest = T(0.0);
};
// phi and its first two derivatives in u = log p_y.
template <class T>
struct phi_terms {
    T value, slope, curvature;
};

// e^(a - b), including what the subtraction rounds off.
FUSEDLOSS_OUTLINE pack<double> exp_difference(pack<double> a, pack<double> b) {
    const extended d = two_sum(a, -b);
    return exp_sum(d.hi, select(abs(d.lo) < pack<double>(1.0), d.lo, pack<double>(0.0)));
}

// The softmax of row input `input`, relative to its largest element: `others` sums the exponentials of all
// elements but one of the largest, so that neither 1 - p nor log p cancels there. Scratch 0 holds them.
template <class Row>
struct softmax_terms {
    using T = typename Row::number;
    int input;
    T max, others, total, log_total;  // total = 1 + others, log_total = log(total)

    template <class J>
    FUSEDLOSS_INLINE T prob(const Row& row, J j) const {
        return row.get(0, j) / total;
    }
    template <class J>
    FUSEDLOSS_INLINE T one_minus_prob(const Row& row, J j) const {
        return select(row.in(input, j) == max, others, total - row.get(0, j)) / total;
    }
    template <class J>
    FUSEDLOSS_INLINE T log_prob(const Row& row, J j) const {
        return (row.in(input, j) - max) - log_total;
    }
};
template <class Row>
FUSEDLOSS_INLINE softmax_terms<Row> softmax_of(Row& row, int input) {
    using T = typename Row::number;
    const T max = row.max([&](auto j) { return row.in(input, j); });
    const T smaller = row.sum([&](auto j) {
        const T z = row.in(input, j), e = exp_difference(z, max);
        row.put(0, j, select(z == max, T(1.0), e));
        return select(z == max, T(0.0), e);
    });
    const T largest = row.sum([&](auto j) { return select(row.in(input, j) == max, T(1.0), T(0.0)); });
    const T others = smaller + (largest - 1.0);
    return {input, max, others, 1.0 + others, log1p(others)};
}

FUSEDLOSS_END
