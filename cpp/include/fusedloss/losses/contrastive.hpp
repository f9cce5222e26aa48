// Formulas over a row of similarities of one vector with many (families/similarity.hpp). A column that is the
// row itself has the score minus infinity and takes no part.
#pragma once

#include "row_terms.hpp"

FUSEDLOSS_BEGIN

// The log-sum-exp of the scores `among(j)` chooses, minus infinity if there are none; scratch 0 holds e^(s -
// max) where it is finite.
template <class Row>
struct chosen_log_sum {
    using T = typename Row::number;
    T max, total, value;
};
template <class Row, class Among>
FUSEDLOSS_INLINE chosen_log_sum<Row> log_sum_among(Row& row, Among among) {
    using T = typename Row::number;
    const T none(-__builtin_inf());
    const T max = row.max([&](auto j) { return select(among(j), row.in(0, j), none); });
    const T total = row.sum([&](auto j) {
        const T e = exp_difference(row.in(0, j), max);
        row.put(0, j, select(among(j), e, T(0.0)));
        return select(among(j), e, T(0.0));
    });
    return {max, total, select(max == none, none, max + log(total))};
}

template <class Row, class J>
FUSEDLOSS_INLINE typename Row::mask is_positive(const Row& row, J j) {
    return (row.in(1, j) == row.label()) & (row.in(0, j) != typename Row::number(-__builtin_inf()));
}
template <class Row, class J>
FUSEDLOSS_INLINE typename Row::mask is_negative_of(const Row& row, J j) {
    return row.in(1, j) != row.label();
}

FUSEDLOSS_END

namespace fusedloss {

// The mean over the positives or, by_pair = 1, their sum; times a factor.
struct supervised_contrastive {
    double factor, by_pair;
    static constexpr const char *name = "supervised_contrastive", *inputs = "scores column_label label",
                                *params = "factor by_pair";
    static constexpr rows_traits traits{2, 1, true};
};

// For each positive its own denominator: itself and the negatives.
struct pairwise_nt_xent {
    static constexpr const char *name = "pairwise_nt_xent", *inputs = "scores column_label label",
                                *params = "";
    static constexpr rows_traits traits{2, 1, true};
};

// The positive stays out of the denominator.
struct decoupled_contrastive {
    static constexpr const char *name = "decoupled_contrastive", *inputs = "scores label", *params = "";
    static constexpr rows_traits traits{1, 1, true};
};

// Half the cross entropy of the row and half that of the column of its number, whose log-sum-exp is given and
// whose weight may be another.
struct two_sided_cross_entropy {
    static constexpr const char *name = "two_sided_cross_entropy",
                                *inputs = "scores column_log_sum_exp column_weight label", *params = "";
    static constexpr rows_traits traits{3, 1, true};
};

// The log-sum-exp of the row and of its other half's together, given for every column, and counted by both.
struct shared_partition {
    static constexpr const char *name = "shared_partition",
                                *inputs = "scores column_log_sum_exp column_weight label", *params = "";
    static constexpr rows_traits traits{3, 1, true};
};

// 1 less the cosine of the angle between the scores and others.
struct score_cosine {
    static constexpr const char *name = "score_cosine", *inputs = "scores target", *params = "";
    static constexpr rows_traits traits{2, 1};
};

// Every pair is classified by itself.
struct sigmoid_pairs {
    static constexpr const char *name = "sigmoid_pairs", *inputs = "scores label", *params = "";
    static constexpr rows_traits traits{1, 1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// A row without positives has no loss.
template <class Row>
FUSEDLOSS_INLINE void eval(const supervised_contrastive& p, Row& row) {
    using T = typename Row::number;
    const T zero(0.0);
    const auto s = softmax_of(row, 0);
    const T positives = row.sum([&](auto j) { return select(is_positive(row, j), T(1.0), zero); });
    const auto alone = positives == zero;
    const T each = select(alone, zero, p.by_pair != 0.0 ? T(p.factor) : p.factor / positives);
    const T all = each * positives;
    const T gaps = row.sum([&](auto j) { return select(is_positive(row, j), s.max - row.in(0, j), zero); });
    row.value(select(alone, zero, gaps * each + all * s.log_total));
    if (row.wants_grad(0))
        row.grad(0, [&](auto j) {
            // The only positive may have p next to 1: what is left is the others'.
            const auto positive = is_positive(row, j);
            const T p = all * s.prob(row, j), rest = all * s.one_minus_prob(row, j);
            return select(alone, zero, select(positive, select(positives == T(1.0), -rest, p - each), p));
        });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const pairwise_nt_xent&, Row& row) {
    using T = typename Row::number;
    const T zero(0.0);
    const auto negatives = log_sum_among(row, [&](auto j) { return is_negative_of(row, j); });
    const auto gap = [&](auto j) { return negatives.value - row.in(0, j); };
    row.value(row.sum([&](auto j) { return select(is_positive(row, j), softplus(gap(j)), zero); }));
    if (!row.wants_grad(0)) return;
    const T pull = row.sum([&](auto j) { return select(is_positive(row, j), sigmoid(gap(j)), zero); });
    const T each = select(negatives.total == zero, zero, pull / negatives.total);
    row.grad(0, [&](auto j) {
        return select(is_positive(row, j), -sigmoid(gap(j)),
                      select(is_negative_of(row, j), row.get(0, j) * each, zero));
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const decoupled_contrastive&, Row& row) {
    using T = typename Row::number;
    const auto others = log_sum_among(row, [&](auto j) { return !row.at_label(j); });
    row.value(others.value - row.at(0, row.label()));
    if (row.wants_grad(0))
        row.grad(0, [&](auto j) { return select(row.at_label(j), T(-1.0), row.get(0, j) / others.total); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const two_sided_cross_entropy&, Row& row) {
    using T = typename Row::number;
    const auto s = softmax_of(row, 0);
    const T at_label = row.at(0, row.label()), own = 0.5 * row.at(2, row.label());
    const T of_column = row.at(1, row.label()) - at_label;
    row.value(own * (((s.max - at_label) + s.log_total) + of_column));
    if (!row.wants_grad(0)) return;
    const T rest_of_column = expm1(-of_column);
    row.grad(0, [&](auto j) {
        const auto here = row.at_label(j);
        const T of_row = select(here, -s.one_minus_prob(row, j), s.prob(row, j));
        const T column = select(here, rest_of_column, exp(row.in(0, j) - row.in(1, j)));
        return own * of_row + 0.5 * row.in(2, j) * column;
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const shared_partition&, Row& row) {
    using T = typename Row::number;
    const T half = 0.5 * row.classes(), label = row.label();
    const T self = select(label < half, label + half, label - half);
    const T log_total = row.at(1, label), gap = log_total - row.at(0, label);
    const T weight = row.at(2, self), both = weight + row.at(2, label);
    row.value(weight * gap);
    if (row.wants_grad(0))
        row.grad(0, [&](auto j) {
            return both * exp(row.in(0, j) - log_total) - select(row.at_label(j), weight, T(0.0));
        });
}

// By the difference of the directions, which does not cancel where they are next to each other. Scores
// without a direction have a cosine of 0 and no gradient.
template <class Row>
FUSEDLOSS_INLINE void eval(const score_cosine&, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), one(1.0);
    const auto inverse_norm = [&](int k) {
        const T largest = row.max([&](auto j) { return abs(row.in(k, j)); });
        const auto nowhere = largest < T(1e-300);
        const T unit = select(nowhere, zero, one / largest);
        const T squares = row.sum([&](auto j) {
            const T x = row.in(k, j) * unit;
            return x * x;
        });
        return select(nowhere, zero, unit / sqrt(squares));
    };
    const T own = inverse_norm(0), other = inverse_norm(1);
    const auto gap = [&](auto j) { return other * row.in(1, j) - own * row.in(0, j); };
    const T distance = row.sum([&](auto j) {
        const T d = gap(j);
        return 0.5 * (d * d);
    });
    row.value(select((own == zero) | (other == zero), one, distance));
    // -(t - cos s) / |x| with the directions s and t, and t - cos s = (t - s) + (1 - cos) s.
    if (row.wants_grad(0))
        row.grad(0, [&](auto j) {
            const T turned = gap(j) + distance * (own * row.in(0, j));
            return select(other == zero, zero, -(own * turned));
        });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const sigmoid_pairs&, Row& row) {
    using T = typename Row::number;
    const auto signed_score = [&](auto j) { return select(row.at_label(j), -row.in(0, j), row.in(0, j)); };
    row.value(row.sum([&](auto j) { return softplus(signed_score(j)); }));
    if (row.wants_grad(0))
        row.grad(0, [&](auto j) {
            const T g = sigmoid(signed_score(j));
            return select(row.at_label(j), -g, g);
        });
}

FUSEDLOSS_END
