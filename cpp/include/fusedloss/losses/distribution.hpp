// Losses of whole distributions over the classes: divergences, entropies, and likelihoods of probabilities.
#pragma once

#include "simplex.hpp"

namespace fusedloss {

// A divergence sum_j f(p_j, r_j) of the model p from the reference r, times `scale`:
//   cross_entropy    -r log p
//   kl               r log(r / p)
//   reverse_kl       p log(p / r)
//   jeffreys         (p - r) log(p / r), the sum of both
//   jensen_shannon   beta r log(r / m) + (1 - beta) p log(p / m), where m = beta r + (1 - beta) p
//   total_variation  |p - r| / 2
//   hellinger        (sqrt(p) - sqrt(r))^2 / 2
// Hinton, Vinyals and Dean (2015) distil with kl of logits, a temperature T and scale = T^2.
struct divergence {
    double kind = kl, input_form = distribution_form::logits;
    double target_form = distribution_form::probabilities, temperature = 1.0, target_temperature = 1.0;
    double scale = 1.0, beta = 0.5;
    static constexpr double cross_entropy = 0.0, kl = 1.0, reverse_kl = 2.0, jeffreys = 3.0;
    static constexpr double jensen_shannon = 4.0, total_variation = 5.0, hellinger = 6.0;
    static constexpr const char* name = "divergence";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params =
        "kind input_form target_form temperature target_temperature scale beta";
    static constexpr rows_traits traits{2, 0b01};
};

// The kl of `divergence` for two rows of probabilities, D(p || q), under the names of its formula.
struct kl_divergence {
    static constexpr const char* name = "kl_divergence";
    static constexpr const char* inputs = "q p";
    static constexpr const char* params = "";
    static constexpr rows_traits traits{2, 0b01};
};

// Of s = sum_j r_j^alpha p_j^(1 - alpha), times `scale`:
//   renyi   log(s) / (alpha - 1)               Renyi (1961); Bhattacharyya's distance is half of alpha = 1/2
//   amari   (1 - s) / (alpha (1 - alpha))      Amari (1985), the alpha divergence
struct power_divergence {
    double kind = renyi, alpha = 0.5, input_form = distribution_form::logits;
    double target_form = distribution_form::probabilities, temperature = 1.0, scale = 1.0;
    static constexpr double renyi = 0.0, amari = 1.0;
    static constexpr const char* name = "power_divergence";
    static constexpr const char* inputs = "input target";
    static constexpr const char* params = "kind alpha input_form target_form temperature scale";
    static constexpr rows_traits traits{2, 0b01};
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
    static constexpr rows_traits traits{1, 0b1, true};
};

;

}  // namespace fusedloss

FUSEDLOSS_BEGIN

template <class Row>
FUSEDLOSS_INLINE void eval(const divergence& d, Row& row) {
    using T = typename Row::number;
    const T zero(0.0);
    const auto model = distribution_of(row, 0, d.input_form, d.temperature);
    const auto reference = distribution_of(row, 1, d.target_form, d.target_temperature);
    // A softmax absorbs what is added to every slope: nothing is added there that would only be rounded.
    const T one(d.input_form == distribution_form::logits ? 0.0 : 1.0);
    const T value = row.sum([&](auto j) {
        const T p = model.prob(row, j), r = reference.prob(row, j);
        T term, slope = zero, pull = zero;
        if (d.kind == divergence::total_variation) {
            term = 0.5 * abs(p - r);
            slope = 0.5 * sign(p - r);
        } else if (d.kind == divergence::hellinger) {
            const T root = sqrt(p), other = sqrt(r), gap = root - other;
            term = 0.5 * (gap * gap);
            slope = 0.5 * one;
            pull = 0.5 * (root * other);
        } else {
            // Where both are 0 nothing is added and nothing pulls, whatever the quotients tend to.
            const auto nowhere = (p == zero) & (r == zero);
            const T log_p = select(nowhere, zero, model.log_prob(row, j));
            const T log_r = select(nowhere, zero, reference.log_prob(row, j)), ratio = log_p - log_r;
            if (d.kind == divergence::cross_entropy) {
                term = -zero_times(r, log_p);
                pull = r;
            } else if (d.kind == divergence::jensen_shannon) {
                const T own = (1.0 - d.beta) * p, other = d.beta * r,
                        middle = log(select(nowhere, T(1.0), own + other));
                slope = (1.0 - d.beta) * (log_p - middle);
                term = zero_times(p, slope) + zero_times(other, log_r - middle);
            } else {
                term = zero;
                if (d.kind != divergence::reverse_kl) {
                    term = -zero_times(r, ratio);
                    pull = r;
                }
                if (d.kind != divergence::kl) {
                    term = term + zero_times(p, ratio);
                    slope = ratio + one;
                }
            }
        }
        model.keep(row, j, p, slope, pull);
        return term;
    });
    row.value(d.scale * value);
    if (row.wants_grad(0)) model.pull_back(row, d.scale);
}

template <class Row>
FUSEDLOSS_INLINE void eval(const kl_divergence&, Row& row) {
    divergence d;
    d.input_form = d.target_form = distribution_form::probabilities;
    eval(d, row);
}

// With t the logarithm of a term of s, kept in two parts since its error would be multiplied by its size.
template <class Row>
FUSEDLOSS_INLINE void eval(const power_divergence& d, Row& row) {
    using T = typename Row::number;
    const T zero(0.0), one(1.0), nothing(-__builtin_inf()), alpha = d.alpha;
    const extended other = 1.0 - extended(alpha);
    const auto model = distribution_of(row, 0, d.input_form, d.temperature);
    const auto reference = distribution_of(row, 1, d.target_form, d.temperature);
    row.for_each([&](auto j) {
        const extended log_p = model.log_prob_parts(row, j), log_r = reference.log_prob_parts(row, j);
        const extended t = extended(alpha) * log_r + other * log_p;
        // One of the factors is 0: so is the product, unless the other is infinite alone.
        const auto absent =
            ((log_r.hi == nothing) & (alpha > zero)) | ((log_p.hi == nothing) & (alpha < one));
        row.put(0, j, select(absent & !is_nan(log_p) & !is_nan(log_r), nothing, t.hi));
        row.put(1, j, t.lo);
    });
    const T largest = row.max([&](auto j) { return row.get(0, j); });
    const T max = select(abs(largest) < -nothing, largest, zero);
    const auto term = [&](auto j) {
        const extended t = two_sum(row.get(0, j), -max);
        return exp_parts(t.hi, t.lo + row.get(1, j));
    };
    const T total = row.sum(term), log_sum = max + log(total), sum = exp(max) * total;
    const bool renyi = d.kind == power_divergence::renyi;
    const T excess = select(abs(log_sum) < one, expm1(log_sum), sum - 1.0);
    row.value(d.scale * (renyi ? log_sum / (alpha - 1.0) : excess / (alpha * (alpha - 1.0))));
    if (!row.wants_grad(0)) return;
    row.for_each([&](auto j) { model.keep(row, j, model.prob(row, j), zero, term(j) / total); });
    model.pull_back(row, d.scale * (renyi ? one : sum / alpha));
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
