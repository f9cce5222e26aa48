// Losses of whole distributions over the classes: divergences, entropies, and likelihoods of probabilities.
#pragma once

#include "simplex.hpp"

namespace fusedloss {

// A divergence sum_j f(p_j, r_j) of the model p from the reference r, times `factor`:
//   cross_entropy    -r log p
//   kl               r log(r / p)
//   reverse_kl       p log(p / r)
//   jeffreys         (p - r) log(p / r), the sum of both
//   jensen_shannon   beta r log(r / m) + (1 - beta) p log(p / m), where m = beta r + (1 - beta) p
//   total_variation  |p - r| / 2
//   hellinger        (sqrt(p) - sqrt(r))^2 / 2
// Hinton, Vinyals and Dean (2015) distil with kl of logits, a temperature T and factor = T^2.
struct divergence {
    double kind = kl, input_form = distribution_form::logits;
    double target_form = distribution_form::probabilities, temperature = 1.0, target_temperature = 1.0;
    double factor = 1.0, beta = 0.5;
    static constexpr double cross_entropy = 0.0, kl = 1.0, reverse_kl = 2.0, jeffreys = 3.0;
    static constexpr double jensen_shannon = 4.0, total_variation = 5.0, hellinger = 6.0;
    static constexpr const char* name = "divergence";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params =
        "kind input_form target_form temperature target_temperature factor beta";
    static constexpr rows_traits traits{2, 0b11};
};

// The reverse_kl of `divergence` for two rows of probabilities, D(p || q), under the names of its formula.
struct kl_divergence {
    static constexpr const char* name = "kl_divergence";
    static constexpr const char* inputs = "p q";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 0b11};
};

// Of s = sum_j r_j^alpha p_j^(1 - alpha), times `factor`:
//   renyi   log(s) / (alpha - 1)               Renyi (1961); Bhattacharyya's distance is half of alpha = 1/2
//   amari   (1 - s) / (alpha (1 - alpha))      Amari (1985), the alpha divergence
struct power_divergence {
    double kind = renyi, alpha = 0.5, input_form = distribution_form::logits;
    double target_form = distribution_form::probabilities, temperature = 1.0, factor = 1.0;
    static constexpr double renyi = 0.0, amari = 1.0;
    static constexpr const char* name = "power_divergence";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "kind alpha input_form target_form temperature factor";
    static constexpr rows_traits traits{2, 0b11};
};

// -sum_j p_j log(p_j).
struct entropy {
    double input_form = distribution_form::logits;
    static constexpr const char* name = "entropy";
    static constexpr const char* inputs = "input";
    static constexpr const char* params = "input_form";
    static constexpr rows_traits traits{1, 0b1};
};

// Pereyra et al. (2017): cross entropy less beta times the entropy of the softmax.
struct confidence_penalty {
    double beta = 0.1;
    static constexpr const char* name = "confidence_penalty";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "beta";
    static constexpr rows_traits traits{1, 0b1, true};
};

// -x_y of log-probabilities x.
struct nll {
    static constexpr const char* name = "nll";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{1, 0b1, true};
};

// -log x_y of probabilities x, of x / sum(x) with `renormalize`.
struct sparse_categorical_cross_entropy {
    double renormalize = 0.0;
    static constexpr const char* name = "sparse_categorical_cross_entropy";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "renormalize";
    static constexpr rows_traits traits{1, 0b11, true};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// The sum over the classes of the terms of a divergence; keeps their derivatives in `own`, one of its two
// distributions: the model or, with `mirrored`, the reference. Every kind but the cross entropy is the mirror
// image of another or of itself.
template <class Row>
FUSEDLOSS_SHARED typename Row::number keep_terms(const divergence& d, Row& row, const distribution<Row>& own,
                                                 const distribution<Row>& other, bool mirrored) {
    using T = typename Row::number;
    const T zero(0.0);
    // A softmax absorbs what is added to every slope: nothing is added there that would only be rounded.
    const T one(own.form == distribution_form::logits ? 0.0 : 1.0);
    const double kl = mirrored ? divergence::reverse_kl : divergence::kl;
    const double beta = mirrored ? 1.0 - d.beta : d.beta;
    return row.sum([&](auto j) {
        const T p = own.prob(row, j), r = other.prob(row, j);
        T term, slope = zero, pull = zero;
        if (d.kind == divergence::total_variation) {
            term = 0.5 * abs(p - r);
            slope = 0.5 * sign(p - r);
        } else if (d.kind == divergence::hellinger) {
            const T root = sqrt(p), distant = sqrt(r), gap = root - distant;
            term = 0.5 * (gap * gap);
            slope = 0.5 * select((one > zero) & (p == zero) & (r > zero), T(-__builtin_inf()), one);
            pull = 0.5 * (root * distant);
        } else {
            // Where both are 0 nothing is added and nothing pulls, whatever the quotients tend to.
            const auto nowhere = (p == zero) & (r == zero);
            const T log_p = select(nowhere, zero, own.log_prob(row, j));
            const T log_r = select(nowhere, zero, other.log_prob(row, j)), ratio = log_p - log_r;
            if (d.kind == divergence::cross_entropy && mirrored) {
                term = -zero_times(p, log_r);
                slope = -other.log_prob(row, j);
            } else if (d.kind == divergence::cross_entropy) {
                term = -zero_times(r, log_p);
                pull = r;
            } else if (d.kind == divergence::jensen_shannon) {
                const T half = (1.0 - beta) * p, rest = beta * r,
                        middle = log(select(nowhere, T(1.0), half + rest));
                slope = (1.0 - beta) * (log_p - middle);
                term = zero_times(p, slope) + zero_times(rest, log_r - middle);
            } else {
                term = zero;
                if (d.kind == kl || d.kind == divergence::jeffreys) {
                    term = -zero_times(r, ratio);
                    pull = r;
                }
                if (d.kind != kl) {
                    term = term + zero_times(p, ratio);
                    slope = ratio + one;
                }
            }
            // 0 log 0 = 0, and so is its derivative.
            if (d.kind != divergence::cross_entropy) slope = select(p == zero, poisoned_by(r, zero), slope);
        }
        own.keep(row, j, p, slope, pull);
        return term;
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const divergence& d, Row& row) {
    const auto model = distribution_of(row, 0, d.input_form, d.temperature);
    const auto reference = distribution_of(row, 1, d.target_form, d.target_temperature);
    row.value(d.factor * keep_terms(d, row, model, reference, false));
    if (row.wants_grad(0)) model.pull_back(row, d.factor);
    if (!row.wants_grad(1)) return;
    keep_terms(d, row, reference, model, true);
    reference.pull_back(row, d.factor);
}

template <class Row>
FUSEDLOSS_INLINE void eval(const kl_divergence&, Row& row) {
    divergence d;
    d.kind = divergence::reverse_kl;
    d.input_form = d.target_form = distribution_form::probabilities;
    eval(d, row);
}

// Leaves the logarithms t of the terms of s in both spare rows: in two parts, since the error of t would be
// multiplied by its size.
template <class Row>
FUSEDLOSS_SHARED void put_log_terms(double alpha, Row& row, const distribution<Row>& model,
                                    const distribution<Row>& reference) {
    using T = typename Row::number;
    const T zero(0.0), one(1.0), nothing(-__builtin_inf()), a = alpha;
    const extended other = 1.0 - extended(a);
    row.for_each([&](auto j) {
        const extended log_p = model.log_prob_parts(row, j), log_r = reference.log_prob_parts(row, j);
        const extended t = extended(a) * log_r + other * log_p;
        // One of the factors is 0: so is the product, unless the other is infinite alone.
        const auto absent = ((log_r.hi == nothing) & (a > zero)) | ((log_p.hi == nothing) & (a < one));
        row.put(0, j, select(absent & !is_nan(log_p) & !is_nan(log_r), nothing, t.hi));
        row.put(1, j, t.lo);
    });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const power_divergence& d, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), one(1.0), infinity(__builtin_inf());
    const auto model = distribution_of(row, 0, d.input_form, d.temperature);
    const auto reference = distribution_of(row, 1, d.target_form, d.temperature);
    put_log_terms(d.alpha, row, model, reference);
    const T largest = row.max([&](auto j) { return row.get(0, j); });
    const auto unbounded = abs(largest) == infinity;
    const T max = select(unbounded, zero, largest);
    const auto term = [&](auto j) {
        const extended t = two_sum(row.get(0, j), -max);
        return exp_parts(t.hi, t.lo + row.get(1, j));
    };
    const T total = row.sum(term), log_sum = max + log(total), sum = exp(max) * total;
    const bool renyi = d.kind == power_divergence::renyi;
    const T excess = select(abs(log_sum) < one, expm1(log_sum), sum - 1.0);
    row.value(d.factor * (renyi ? log_sum / (d.alpha - 1.0) : excess / (d.alpha * (d.alpha - 1.0))));
    const T leaders = row.sum([&](auto j) { return select(row.get(0, j) == largest, one, zero); });
    // s_j / s, or s_j; shares are equal where s is 0, and among the infinite terms.
    const auto pull = [&](auto j) {
        if (!renyi)
            return select(row.get(0, j) > T(709.79), infinity, exp_parts(row.get(0, j), row.get(1, j)));
        return select(unbounded, select(row.get(0, j) == largest, one / leaders, zero), term(j) / total);
    };
    for (int k = 0; k < 2; ++k) {
        if (!row.wants_grad(k)) continue;
        const auto& own = k == 0 ? model : reference;
        const auto& other = k == 0 ? reference : model;
        const double order = k == 0 ? d.alpha : 1.0 - d.alpha;
        if (k == 1 && row.wants_grad(0)) put_log_terms(d.alpha, row, model, reference);
        row.for_each([&](auto j) {
            const T p = own.prob(row, j);
            T slope = zero;
            // The derivative of a power less than 1 at 0.
            if (!own.exponential() && order > 0.0)
                slope = select((p == zero) & (other.prob(row, j) > zero), -infinity, zero);
            own.keep(row, j, p, slope, pull(j));
        });
        own.pull_back(row, d.factor * (renyi ? (k == 0 ? 1.0 : d.alpha / (1.0 - d.alpha)) : 1.0 / order));
    }
}

template <class Row>
FUSEDLOSS_INLINE void eval(const entropy& e, Row& row) {
    using T = typename Row::number;
    const auto model = distribution_of(row, 0, e.input_form);
    const T one(e.input_form == distribution_form::logits ? 0.0 : 1.0);
    row.value(row.sum([&](auto j) {
        const T p = model.prob(row, j), surprise = -model.log_prob(row, j);
        model.keep(row, j, p, surprise - one, T(0.0));
        return zero_times(p, surprise);
    }));
    if (row.wants_grad(0)) model.pull_back(row, 1.0);
}

template <class Row>
FUSEDLOSS_INLINE void eval(const confidence_penalty& c, Row& row) {
    using T = typename Row::number;
    const auto model = distribution_of(row, 0, distribution_form::logits);
    row.value(row.sum([&](auto j) {
        const T p = model.prob(row, j), log_p = model.log_prob(row, j), slope = c.beta * log_p,
                hit = row.onehot(j);
        model.keep(row, j, p, slope, hit);
        return zero_times(p, slope) - zero_times(hit, log_p);
    }));
    if (row.wants_grad(0)) model.pull_back(row, 1.0);
}

// x_y, or NaN where any element of the row is.
template <class Row>
FUSEDLOSS_INLINE typename Row::number at_label_of(const Row& row) {
    return poisoned_by(row.max([&](auto j) { return row.in(0, j); }), row.at(0, row.label()));
}

template <class Row>
FUSEDLOSS_INLINE void eval(const nll&, Row& row) {
    row.value(-at_label_of(row));
    if (row.wants_grad(0)) row.grad(0, [&](auto j) { return poisoned_by(row.in(0, j), -row.onehot(j)); });
}

template <class Row>
FUSEDLOSS_INLINE void eval(const sparse_categorical_cross_entropy& c, Row& row) {
    using T = typename Row::number;
    const T target = at_label_of(row), zero(0.0);
    // Not renormalised, the probability of the label stands alone: 1 / p is the whole gradient.
    const bool alone = c.renormalize == 0.0;
    const T others = row.sum([&](auto j) { return select(row.at_label(j), zero, row.in(0, j)); });
    const T ratio = others / target, rate = 1.0 / (others + target);
    row.value(alone ? -log(target) : log1p(ratio));
    if (!row.wants_grad(0)) return;
    const T own = alone ? -1.0 / target : -ratio * rate, other = alone ? poisoned_by(target, zero) : rate;
    row.grad(0, [&](auto j) { return select(row.at_label(j), own, other); });
}

FUSEDLOSS_END
