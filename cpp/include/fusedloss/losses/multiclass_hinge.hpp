// Hinges: what the score of the label lacks to lead the other classes by a margin.
#pragma once

#include "products.hpp"
#include "row_terms.hpp"

namespace fusedloss {

// sum_{j != y} max(0, margin - z_y + z_j)^p, divided by the number of classes with `mean`.
// Weston and Watkins (1999) without.
struct multi_margin {
    double p = 1.0, margin = 1.0, mean = 1.0;
    static constexpr const char* name = "multi_margin";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "p margin mean";
    static constexpr rows_traits traits{1, 0b1, true};
};

// max(0, max(floor, max_{j != y} z_j) + margin - z_y). Crammer and Singer (2001) without a floor, the
// multiclass perceptron at margin 0; Keras' categorical hinge has the floor 0.
struct multiclass_hinge {
    double margin = 1.0, floor = -__builtin_inf();
    static constexpr const char* name = "multiclass_hinge";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "margin floor";
    static constexpr rows_traits traits{1, 0b1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const multi_margin& h, Row& row) {
    using T = typename Row::number;
    const T target = row.at(0, row.label()), zero(0.0), unit = h.mean != 0.0 ? row.classes() : T(1.0);
    const T own = poisoned_by(target, zero);
    const bool linear = h.p == 1.0;
    const auto gap = [&](auto j) {
        return select(row.at_label(j), own, max(zero, (row.in(0, j) - target) + h.margin));
    };
    const auto slope = [&](auto j) {
        const T v = gap(j);
        return linear ? sign(v) : 2.0 * v;
    };
    row.value(row.sum([&](auto j) {
        const T v = gap(j);
        return linear ? v : v * v;
    }) / unit);
    if (!row.wants_grad(0)) return;
    const T total = row.sum(slope);
    row.grad(0, [&](auto j) { return select(row.at_label(j), -total, slope(j)) / unit; });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const multiclass_hinge& h, Row& row) {
    using T = typename Row::number;
    const T target = row.at(0, row.label()), zero(0.0), one(1.0), floor = h.floor;
    const auto rival = [&](auto j) { return select(row.at_label(j), floor, row.in(0, j)); };
    const T strongest = max(floor, row.max(rival)), value = max(zero, (strongest - target) + h.margin);
    row.value(value);
    if (!row.wants_grad(0)) return;
    const T active = sign(value);
    const T first = row.min([&](auto j) {
        const T z = rival(j);
        return select((z == strongest) & (z > floor), row.index(j), row.classes());
    });
    row.grad(0, [&](auto j) {
        return active * select(row.at_label(j), -one, select(row.index(j) == first, one, zero));
    });
}

FUSEDLOSS_END
