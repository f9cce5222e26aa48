// Classes in an order.
#pragma once

#include "simplex.hpp"

namespace fusedloss {

// Cao, Mirjalili and Raschka (2020), CORAL: the input holds a logit for each threshold k, whose binary target
// is [y > k]; the sum of their binary cross entropies, times the class weights, which belong to the
// thresholds. `conditional` (Shi, Cao and Raschka 2021, CORN) takes k <= y only. Labels are one more than
// thresholds.
struct coral {
    double conditional = 0.0;
    static constexpr const char* name = "coral";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "conditional";
    static constexpr rows_traits traits{1, 0b1, true, true, 1};
};

// Epstein (1969): the squared distances between the cumulative sums of the softmax and of the target, of
// which a label is all in one class; the squared earth mover's distance of Hou, Yu and Samaras (2016).
struct ranked_probability_score {
    static constexpr const char* name = "ranked_probability_score";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 0b11, true, false, 0, true};
};

// McCullagh (1980), proportional odds: -log(s(upper - x) - s(lower - x)), where the class of the sample lies
// between the thresholds `lower` and `upper`, which may be infinite.
struct cumulative_link {
    static constexpr const char* name = "cumulative_link";
    static constexpr const char* inputs = "input lower upper";
    static constexpr const char* params = "";
    static constexpr elementwise_traits traits{3, 0b111, true, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const coral& c, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), one(1.0);
    const auto share = [&](auto j) {
        const T weight = row.class_weight(j);
        return c.conditional == 0.0 ? weight : select(row.index(j) <= row.label(), weight, zero);
    };
    const auto side = [&](auto j) { return select(row.index(j) < row.label(), -one, one); };
    row.value(row.sum([&](auto j) { return zero_times(share(j), softplus(side(j) * row.in(0, j))); }));
    if (row.wants_hess())
        row.hess([&](auto j) {
            const auto s = logistic(row.in(0, j));
            return share(j) * s.sigmoid * s.sigmoid_neg;
        });
    if (!row.wants_grad(0)) return;
    row.grad(0, [&](auto j) {
        const T s = side(j);
        return s * share(j) * sigmoid(s * row.in(0, j));
    });
}

// Below a label the difference of the cumulative sums is a sum of probabilities from the left; above, seen
// from the right, again one: nothing is subtracted from 1.
template <class Row>
FUSEDLOSS_INLINE void eval(const ranked_probability_score&, Row& row) {
    using T = typename Row::number;
    const T zero(0.0);
    const bool labelled = !row.has(1);
    const auto model = distribution_of(row, 0, distribution_form::logits);
    row.for_each([&](auto j) {
        const T p = model.prob(row, j);
        // p - q, without cancellation where p is nearly 1.
        const auto dominant = model.at_top(row, j) & (p > T(0.5));
        row.put(
            0, j,
            labelled ? p : select(dominant, (1.0 - row.in(1, j)) - model.rest(row, j, p), p - row.in(1, j)));
        row.put(1, j, p);
    });
    row.prefix_sum(0);
    if (labelled) row.suffix_sum(1);
    // The differences: one row of them, or those below the label and minus those above.
    const T value = row.sum([&](auto j) {
        const T left = row.get(0, j), right = row.get(1, j);
        const T below = labelled ? select(row.index(j) < row.label(), left, zero) : left;
        const T above = labelled ? select(row.index(j) > row.label(), right, zero) : zero;
        row.put(0, j, below);
        row.put(1, j, above);
        return below * below + above * above;
    });
    row.value(poisoned_by(model.others, value));
    if (!row.wants_grad(0) && !row.wants_grad(1)) return;
    row.suffix_sum(0);
    row.prefix_sum(1);
    const auto slope = [&](auto j) { return 2.0 * (row.get(0, j) + row.get(1, j)); };
    if (row.wants_grad(1)) row.grad(1, [&](auto j) { return poisoned_by(model.others, -slope(j)); });
    if (!row.wants_grad(0)) return;
    row.for_each([&](auto j) { model.keep(row, j, model.prob(row, j), slope(j), zero); });
    model.pull_back(row, 1.0);
}

// The probability is s(b) s(-a) (1 - e^(a - b)) with a = lower - x and b = upper - x.
template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const cumulative_link&, T x, T lower, T upper) {
    const auto a = logistic(lower - x), b = logistic(upper - x);
    // 1 / (e^width - 1), where e^width may overflow.
    const T width = upper - lower, decay = exp(-width), part = -expm1(-width), pull = decay / part;
    const T gap = select(width < T(0.5), -log(part), -log1p(-decay));
    return {gap + (b.softplus_neg + a.softplus),
            {b.sigmoid_neg - a.sigmoid, a.sigmoid + pull, -b.sigmoid_neg - pull},
            a.sigmoid * a.sigmoid_neg + b.sigmoid * b.sigmoid_neg};
}

FUSEDLOSS_END
