// Several labels per row: the target holds 1 for the classes that are there and 0 for the others.
#pragma once

#include "products.hpp"
#include "row_terms.hpp"

namespace fusedloss {

// sum over pairs of a present class y and an absent one j of max(0, 1 - (z_y - z_j)), divided by the number
// of classes.
struct multilabel_margin {
    static constexpr const char* name = "multilabel_margin";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 0b01};
};

// Mean over the classes of their binary cross entropies, times the class weights.
struct multilabel_soft_margin {
    static constexpr const char* name = "multilabel_soft_margin";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 0b01, false, true};
};

// Su et al. (2022), ZLPR: log(1 + sum_j (1 - t_j) e^z_j) + log(1 + sum_j t_j e^-z_j).
struct zlpr {
    static constexpr const char* name = "zlpr";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 0b01};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const multilabel_margin&, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), count = row.classes();
    const bool wants_grad = row.wants_grad(0);
    row.for_each([&](auto j) { row.put(0, j, zero); });
    // Nothing, and not a number where a score is none.
    T value = row.sum([&](auto j) { return poisoned_by(row.in(0, j), zero); });
    for (T y = zero; any(y < count); y = y + 1.0) {
        const T present = row.at(1, y), target = row.at(0, y);
        const auto absent = present == zero;
        if (!any(!absent)) continue;
        const auto gap = [&](auto j) {
            return select(absent, zero, (1.0 - row.in(1, j)) * max(zero, 1.0 - (target - row.in(0, j))));
        };
        value = value + present * row.sum(gap);
        if (!wants_grad) continue;
        const T active = row.sum([&](auto j) { return sign(gap(j)); });
        row.for_each([&](auto j) {
            const T own = select(row.index(j) == y, active, zero);
            row.put(0, j, row.get(0, j) + present * (sign(gap(j)) - own));
        });
    }
    row.value(value / count);
    if (wants_grad) row.grad(0, [&](auto j) { return poisoned_by(value, row.get(0, j) / count); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const multilabel_soft_margin&, Row& row) {
    using T = typename Row::number;
    const T count = row.classes();
    row.value(row.sum([&](auto j) {
        const auto s = logistic(row.in(0, j));
        const T t = row.in(1, j);
        return row.class_weight(j) * (zero_times(t, s.softplus_neg) + zero_times(1.0 - t, s.softplus));
    }) / count);
    if (row.wants_hess())
        row.hess([&](auto j) {
            const auto s = logistic(row.in(0, j));
            return poisoned_by(row.in(1, j), row.class_weight(j) * s.sigmoid * s.sigmoid_neg / count);
        });
    if (!row.wants_grad(0)) return;
    row.grad(0, [&](auto j) {
        const auto s = logistic(row.in(0, j));
        const T t = row.in(1, j);
        return row.class_weight(j) * ((1.0 - t) * s.sigmoid - t * s.sigmoid_neg) / count;
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const zlpr&, Row& row) {
    using T = typename Row::number;
    struct side {
        double sign;          // 1: the absent classes, -1: the present ones
        T max, total, value;  // of their terms and the 1 beside them
    };
    const T zero(0.0);
    const auto share = [&](const side& s, auto j) {
        const T t = row.in(1, j);
        return s.sign < 0.0 ? t : 1.0 - t;
    };
    const auto term = [&](const side& s, auto j) {
        const T x = s.sign * row.in(0, j);  // may be infinite like the maximum
        return zero_times(share(s, j), select(x == s.max, T(1.0), exp_difference(x, s.max)));
    };
    const auto side_of = [&](double sign) {
        side s{sign, zero, zero, zero};
        s.max = max(zero,
                    row.max([&](auto j) { return select(share(s, j) == zero, zero, sign * row.in(0, j)); }));
        const T sum = row.sum([&](auto j) { return term(s, j); });
        s.total = sum + exp(-s.max);
        s.value = select(s.max == zero, log1p(sum), s.max + log(s.total));
        return s;
    };
    const side absent = side_of(1.0), present = side_of(-1.0);
    row.value(absent.value + present.value);
    if (row.wants_grad(0))
        row.grad(0,
                 [&](auto j) { return term(absent, j) / absent.total - term(present, j) / present.total; });
}

FUSEDLOSS_END
