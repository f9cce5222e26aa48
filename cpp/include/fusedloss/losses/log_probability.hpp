// Losses of u = log p_y alone, where p is the softmax of a row, in place of cross entropy's -u. Each has a
// form for dense targets q and class weights w: sum_j w_j q_j phi(log p_j).
#pragma once

#include "simplex.hpp"

namespace fusedloss {

// u itself: what preference and policy losses are made of.
struct selected_log_prob {
    static constexpr const char* name = "selected_log_prob";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 0b1, true, true};
};

// Lin et al. (2017): -alpha (1 - p)^gamma u.
struct softmax_focal {
    double gamma = 2.0, alpha = 1.0;
    static constexpr const char* name = "softmax_focal";
    static constexpr const char* dense_name = "softmax_focal_dense";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "gamma alpha";
    static constexpr rows_traits traits{1, 0b11, true, true, 0, false, true};
};

// Leng et al. (2022), PolyLoss: -factor u + sum_j epsilon_j (1 - p)^j.
// Wang et al. (2019), symmetric cross entropy, is {alpha, beta |A|}.
struct poly_cross_entropy {
    double factor = 1.0, epsilon1 = 1.0, epsilon2 = 0.0, epsilon3 = 0.0, epsilon4 = 0.0;
    static constexpr const char* name = "poly_cross_entropy";
    static constexpr const char* dense_name = "poly_cross_entropy_dense";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "factor epsilon1 epsilon2 epsilon3 epsilon4";
    static constexpr rows_traits traits{1, 0b11, true, true};
};

// Zhang and Sabuncu (2018): (1 - p^q) / q, which is -u at q = 0.
struct generalized_cross_entropy {
    double q = 0.7;
    static constexpr const char* name = "generalized_cross_entropy";
    static constexpr const char* dense_name = "generalized_cross_entropy_dense";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "q";
    static constexpr rows_traits traits{1, 0b11, true, true, 0, false, true};
};

template <class Loss>
struct dense_targets : Loss {
    static constexpr const char* name = Loss::dense_name;
    static constexpr rows_traits traits{2, 0b11};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class T>
FUSEDLOSS_INLINE phi_terms<T> phi(const selected_log_prob&, log_prob<T> y) {
    return {y.log_p, T(1.0), T(0.0)};
}

template <class T>
FUSEDLOSS_INLINE phi_terms<T> phi(const softmax_focal& f, log_prob<T> y) {
    const T g = f.gamma, zero(0.0), power = f.gamma == 2.0 ? y.rest * y.rest : pow(y.rest, g);
    const auto certain = y.rest == zero;
    // log(p) / (1 - p) tends to -1; times p it vanishes with p.
    const T falling = zero_times(y.p, select(certain, T(-1.0), y.log_p / y.rest));
    const T weight = f.alpha * power, bend = 2.0 - (g - 1.0) * falling + y.log_p;
    return {-zero_times(weight, y.log_p), weight * (g * falling - 1.0),
            f.gamma == 0.0 ? zero : select(certain, zero, weight / y.rest * (g * zero_times(y.p, bend)))};
}

template <class T>
FUSEDLOSS_INLINE phi_terms<T> phi(const poly_cross_entropy& c, log_prob<T> y) {
    const T r = y.rest, a = c.epsilon1, b = c.epsilon2, d = c.epsilon3, e = c.epsilon4;
    const T value = r * (a + r * (b + r * (d + r * e)));
    const T slope = a + r * (2.0 * b + r * (3.0 * d + r * (4.0 * e)));
    const T bend = 2.0 * b + r * (6.0 * d + r * (12.0 * e));
    return {value - zero_times(T(c.factor), y.log_p), -(c.factor + y.p * slope), y.p * (y.p * bend - slope)};
}

// p^q where p itself has lost its last digits.
FUSEDLOSS_INLINE extended power_of(const log_prob<extended>& y, double q) { return exp(q * y.log_p); }
FUSEDLOSS_INLINE pack<double> power_of(const log_prob<pack<double>>& y, double q) {
    const extended u = q * (extended(y.log_p) + extended(y.log_rest));
    return exp_parts(u.hi, u.lo);
}

template <class T>
FUSEDLOSS_INLINE phi_terms<T> phi(const generalized_cross_entropy& c, log_prob<T> y) {
    if (c.q == 0.0) return {-y.log_p, T(-1.0), T(0.0)};
    // p to the power of q is more accurate than the exponential of a product, as long as there is a p.
    const T u = c.q * y.log_p, power = select(y.p > T(0x1p-1020), pow(y.p, T(c.q)), power_of(y, c.q));
    return {-expm1(u) / c.q, -power, -c.q * power};
}

template <class Loss, class Row>
FUSEDLOSS_INLINE void eval(const dense_targets<Loss>& loss, Row& row) {
    using T = typename Row::number;
    const auto model = distribution_of(row, 0, distribution_form::logits);
    const auto phi_at = [&](auto j, T p) {
        const T log_p = model.log_prob(row, j);
        const extended parts = model.log_prob_parts(row, j);
        const T left_out = (parts.hi - log_p) + parts.lo;  // nothing of minus infinity
        return phi(static_cast<const Loss&>(loss),
                   log_prob<T>{log_p, p, model.rest(row, j, p), select(is_nan(left_out), T(0.0), left_out)});
    };
    row.value(row.sum([&](auto j) {
        const T p = model.prob(row, j), q = row.class_weight(j) * row.in(1, j);
        const auto r = phi_at(j, p);
        model.keep(row, j, p, T(0.0), -q * r.slope);
        return zero_times(q, r.value);
    }));
    if (row.wants_grad(0)) model.pull_back(row, 1.0);
    if (!row.wants_grad(1)) return;
    row.grad(1, [&](auto j) {
        return poisoned_by(row.in(1, j), row.class_weight(j) * phi_at(j, model.prob(row, j)).value);
    });
}

FUSEDLOSS_END
