// Points of the probability simplex: distributions over the classes of a row, given in four forms; the
// gradient of a function of their probabilities in what was given; sparse projections onto the simplex.
#pragma once

#include "products.hpp"
#include "row_terms.hpp"

namespace fusedloss {

// How an array describes a distribution over the classes.
namespace distribution_form {
constexpr double logits = 0.0;  // divided by a temperature
constexpr double log_probabilities = 1.0;
constexpr double probabilities = 2.0;
constexpr double weights = 3.0;  // not negative; their sum is divided out
}  // namespace distribution_form

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// (a - b) / t with what is rounded off there, and its exponential.
FUSEDLOSS_INLINE extended exact_quotient(pack<double> a, pack<double> b, pack<double> t) {
    const extended d = two_sum(a, -b);
    return quotient(settle(d.hi, d.lo, d.hi), t);
}
// e^(x + x_lo), where x_lo counts while the result is a number.
FUSEDLOSS_OUTLINE pack<double> exp_parts(pack<double> x, pack<double> x_lo) {
    return exp_sum(x, select(abs(x_lo) < pack<double>(1.0), x_lo, pack<double>(0.0)));
}
FUSEDLOSS_OUTLINE pack<double> exp_quotient(pack<double> a, pack<double> b, pack<double> t) {
    const extended q = exact_quotient(a, b, t);
    return exp_parts(q.hi, q.lo);
}

// The distribution that row input `input` describes. Where a sum over the classes is divided out, `top` is
// the class of one largest element, which that sum leaves out: neither 1 - p nor log p nor the gradient
// cancels there, however dominant it is. Elsewhere top is no class.
template <class Row>
struct distribution {
    using T = typename Row::number;
    int input;
    double form, temperature;
    T top, max, others, total, log_total;
    T unit;  // what divides the gradient

    FUSEDLOSS_INLINE bool exponential() const { return form < distribution_form::probabilities; }
    FUSEDLOSS_INLINE bool normalises() const {
        return form == distribution_form::logits || form == distribution_form::weights;
    }
    template <class J>
    FUSEDLOSS_INLINE auto at_top(const Row& row, J j) const {
        return row.index(j) == top;
    }
    // total times the probability.
    template <class J>
    FUSEDLOSS_INLINE T weight(const Row& row, J j) const {
        const T x = row.in(input, j);
        if (!exponential()) return x;
        return temperature == 1.0 ? exp_difference(x, max) : exp_quotient(x, max, temperature);
    }
    template <class J>
    FUSEDLOSS_INLINE T prob(const Row& row, J j) const {
        return weight(row, j) / total;
    }
    template <class J>
    FUSEDLOSS_INLINE T log_prob(const Row& row, J j) const {
        const T x = row.in(input, j);
        if (exponential()) return (x - max) / temperature - log_total;
        return select(at_top(row, j), -log_total, log(x / total));
    }
    // log p in two parts.
    template <class J>
    FUSEDLOSS_INLINE extended log_prob_parts(const Row& row, J j) const {
        const T x = row.in(input, j);
        if (exponential()) return exact_quotient(x, max, temperature) - extended(log_total);
        return select(at_top(row, j), extended(-log_total), log(extended(x / total)));
    }
    // 1 - p, given p.
    template <class J>
    FUSEDLOSS_INLINE T rest(const Row& row, J j, T p) const {
        return select(at_top(row, j), others / total, 1.0 - p);
    }

    // Keeps the derivative of a row's value in p_j, which is slope - pull / p_j, for `pull_back`.
    template <class J>
    FUSEDLOSS_INLINE void keep(Row& row, J j, T p, T slope, T pull) const {
        row.put(0, j, exponential() ? zero_times(p, slope) - pull : slope - zero_times(pull, 1.0 / p));
        row.put(1, j, p);
    }
    // The gradient of `scale` times that value in the row input. For logits it is w_j - p_j sum(w) with w_j =
    // p_j dvalue/dp_j, for weights (w_j / p_j - sum(w)) / total; what was given normalised is taken as it is.
    // An infinite w_j outgrows what the sum takes back, and pushes all other classes the other way.
    FUSEDLOSS_SHARED void pull_back(Row& row, T scale) const {
        T mean(0.0), mean_top(0.0);
        const auto weighted = [&](auto j) {
            const T w = row.get(0, j);
            return exponential() ? w : zero_times(row.get(1, j), w);
        };
        if (normalises()) {
            mean = row.sum([&](auto j) { return select(at_top(row, j), T(0.0), weighted(j)); });
            mean_top = row.sum([&](auto j) { return select(at_top(row, j), weighted(j), T(0.0)); });
        }
        row.grad(input, [&](auto j) {
            const T w = row.get(0, j), p = row.get(1, j), share = exponential() ? p : T(1.0);
            const T other = normalises() ? rest(row, j, p) : T(1.0);
            const T g = select(at_top(row, j), w * other - zero_times(share, mean),
                               w - zero_times(share, mean + mean_top));
            return zero_times(select(abs(w) == T(__builtin_inf()), zero_times(other, w), g) / unit, scale);
        });
    }
};

template <class Row>
FUSEDLOSS_SHARED distribution<Row> distribution_of(const Row& row, int input, double form,
                                                   double temperature = 1.0) {
    using T = typename Row::number;
    const bool logits = form == distribution_form::logits;
    const T one(1.0), zero(0.0), sign(temperature < 0.0 ? -1.0 : 1.0);
    distribution<Row> d{input, form, logits ? temperature : 1.0, -one, zero, zero, one, zero, one};
    if (!d.normalises()) return d;
    d.max = sign * row.max([&](auto j) { return sign * row.in(input, j); });
    d.top = row.min([&](auto j) { return select(row.in(input, j) == d.max, row.index(j), row.classes()); });
    d.others = row.sum([&](auto j) { return select(d.at_top(row, j), zero, d.weight(row, j)); });
    d.total = (logits ? one : d.max) + d.others;
    d.log_total = log1p(logits ? d.others : d.others / d.max);
    d.unit = logits ? T(temperature) : d.total;
    return d;
}

// The projection of z (power 1) or z / 2 (power 2) onto the simplex: p_j = max(0, x_j - threshold)^power with
// x = (z - max z) / power. Power 1 is sparsemax (Martins and Astudillo 2016), power 2 is entmax with alpha =
// 1.5 (Peters, Niculae and Martins 2019).
template <class Row>
struct sparse_projection {
    using T = typename Row::number;
    double power;
    T max, threshold;

    template <class J>
    FUSEDLOSS_INLINE T distance(const Row& row, J j) const {
        return (row.in(0, j) - max) / power - threshold;
    }
    // p_j^(1 / power)
    template <class J>
    FUSEDLOSS_INLINE T root(const Row& row, J j) const {
        return fusedloss::max(T(0.0), distance(row, j));
    }
    FUSEDLOSS_INLINE T prob_of(T root) const { return power == 1.0 ? root : root * root; }
};

// Newton's method on the norm of max(0, x - threshold), a convex function of the threshold: from the left it
// goes upwards to the root.
template <class Row>
FUSEDLOSS_SHARED sparse_projection<Row> project(const Row& row, double power) {
    using T = typename Row::number;
    const T max = row.max([&](auto j) { return row.in(0, j); });
    sparse_projection<Row> s{power, max, T(-1.0)};
    for (int step = 0; step < 100; ++step) {
        const T total = row.sum([&](auto j) { return s.prob_of(s.root(row, j)); });
        const T slope = row.sum([&](auto j) {
            const T v = s.root(row, j);
            return power == 1.0 ? sign(v) : v;
        });
        const T norm = power == 1.0 ? T(1.0) : sqrt(total), excess = total - 1.0;
        const T next = s.threshold + (power == 1.0 ? excess : excess / (norm + 1.0) * norm) / slope;
        const auto higher = next > s.threshold;
        if (!any(higher)) {
            s.threshold = next;  // takes back what the rounding of a large step had added
            break;
        }
        s.threshold = select(higher, next, s.threshold);
    }
    return s;
}

FUSEDLOSS_END
