// Losses of one row of class scores and the index of its class.
#pragma once

#include "products.hpp"
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

// Brier 1950: sum over the classes of (p - q)^2, p the softmax of the scores and q the target.
// `gauss_newton`: a Hessian without the second derivatives of p, never negative.
struct brier {
    double gauss_newton = 0.0;
    static constexpr const char* name = "brier";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "gauss_newton";
    static constexpr rows_traits traits{1, 0b11, true, true, 0, true};
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
FUSEDLOSS_INLINE void eval(const brier& b, Row& row) {
    using T = typename Row::number;
    const auto s = softmax_of(row, 0);
    // p - q without cancellation where p is nearly 1.
    const auto residual = [&](auto j) {
        const T q = row.target(j);
        const auto dominant = (row.in(0, j) == s.max) & (s.others < T(1.0));
        return select(dominant, (1.0 - q) - s.one_minus_prob(row, j), s.prob(row, j) - q);
    };
    row.value(row.sum([&](auto j) {
        const T d = residual(j);
        return d * d;
    }));
    if (row.wants_grad(1)) row.grad(1, [&](auto j) { return -2.0 * residual(j); });
    if (!row.wants_grad(0) && !row.wants_hess()) return;
    const T mean = row.sum([&](auto j) { return s.prob(row, j) * residual(j); });
    if (row.wants_hess()) {
        const T square = row.sum([&](auto j) {
            const T p = s.prob(row, j);
            return p * p;
        });
        row.hess([&](auto j) {
            const T p = s.prob(row, j), rest = s.one_minus_prob(row, j), e = residual(j) - mean;
            const T own = rest * rest + (square - p * p);
            return 2.0 * p * (b.gauss_newton != 0.0 ? poisoned_by(e, p * own) : rest * e + p * (own - e));
        });
    }
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return 2.0 * s.prob(row, j) * (residual(j) - mean); });
}

FUSEDLOSS_END
