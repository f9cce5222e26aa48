// Losses of one row of class scores and the index of its class.
#pragma once

#include "row_terms.hpp"

namespace fusedloss {

// -log p_y; with dense targets q, - sum q log p.
struct cross_entropy {
    static constexpr const char* name = "cross_entropy";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 0b11, true, true, 0, true};
};

// log sum_j e^z_j, which is minus the log-probability of a score of 0 that does not count. Gradient
// softmax(z).
struct logsumexp {
    static constexpr const char* name = "logsumexp";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 0b1};
};

// Brier 1950: sum over the classes of (p - [j = y])^2, p the softmax of the scores.
struct brier {
    static constexpr const char* name = "brier";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 0b1, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
FUSEDLOSS_INLINE phi_terms<T> phi(const cross_entropy&, log_prob<T> y) {
    return {-y.log_p, -1.0, 0.0};
}
template <class T>
FUSEDLOSS_INLINE phi_terms<T> phi(const logsumexp&, log_prob<T> y) {
    return {-y.log_p, -1.0, 0.0};
}

template <class Row>
FUSEDLOSS_INLINE void eval(const brier&, Row& row) {
    using T = typename Row::number;
    const auto s = softmax_of(row, 0);
    // p - [j = y] without cancellation at the label.
    const auto residual = [&](auto j) {
        return select(row.at_label(j), -s.one_minus_prob(row, j), s.prob(row, j));
    };
    row.value(row.sum([&](auto j) {
        const T d = residual(j);
        return d * d;
    }));
    if (!row.wants_grad(0)) return;
    const T mean = row.sum([&](auto j) { return s.prob(row, j) * residual(j); });
    row.grad(0, [&](auto j) { return 2.0 * s.prob(row, j) * (residual(j) - mean); });
}

FUSEDLOSS_END
