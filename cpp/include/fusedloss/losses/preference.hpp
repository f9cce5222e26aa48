// Preference optimisation and policy losses over log-probabilities.
#pragma once

#include "products.hpp"

namespace fusedloss {

// Direct preference optimisation (Rafailov et al. 2023) and its relatives. With the scaled log-ratios
// c = beta (policy - reference) of the chosen answer, r of the rejected one, u = c - r:
//   sigmoid    (1 - e) softplus(-u) + e softplus(u), e = label_smoothing (conservative DPO where e > 0)
//   robust     ((1 - e) softplus(-u) - e softplus(u)) / (1 - 2e)
//   hinge      max(0, 1 - u)
//   ipo        (u / beta - 1 / (2 beta))^2
//   exo_pair   KL((s(u), s(-u)) || (1 - e, e))
//   nca_pair   softplus(-c) + softplus(c) / 2 + softplus(r) / 2
//   bco_pair   softplus(-(c - d)) + softplus(r - d), d = reward_mean
//   sppo_hard  (c / beta - 1 / (2 beta))^2 + (r / beta + 1 / (2 beta))^2
//   apo_zero   s(-c) + s(r)
//   apo_down   s(c) + s(-u)
//   discopop   softplus(-u) (1 - k) + e^-u k, k = s(u / tau)
struct dpo {
    double beta = 0.1, loss_type = sigmoid, label_smoothing = 0.0, reward_mean = 0.0, tau = 0.05;
    static constexpr double sigmoid = 0, robust = 1, hinge = 2, ipo = 3, exo_pair = 4, nca_pair = 5,
                            bco_pair = 6, sppo_hard = 7, apo_zero = 8, apo_down = 9, discopop = 10;
    static constexpr const char* name = "dpo";
    static constexpr const char* inputs = "policy_chosen policy_rejected reference_chosen reference_rejected";
    static constexpr const char* params = "beta loss_type label_smoothing reward_mean tau";
    static constexpr elementwise_traits traits{4, 0b1111, false, arithmetic::extended};
};

// Without a reference: u = beta (chosen - rejected) - gamma, (1 - e) softplus(-u) + e softplus(u) - alpha
// chosen. Contrastive preference optimisation (Xu et al. 2024) is gamma = 0, SimPO (Meng et al. 2024) alpha =
// 0.
struct cpo {
    double beta = 0.1, gamma = 0.0, label_smoothing = 0.0;
    static constexpr const char* name = "cpo";
    static constexpr const char* inputs = "policy_chosen policy_rejected alpha";
    static constexpr const char* params = "beta gamma label_smoothing";
    static constexpr elementwise_traits traits{3, 0b011, false, arithmetic::extended};
};

// Odds ratio preference optimisation (Hong et al. 2024): beta softplus(-v) - alpha chosen, with v the
// difference of the log-odds a - log(1 - e^a) of the two answers.
struct orpo {
    double beta = 0.1;
    static constexpr const char* name = "orpo";
    static constexpr const char* inputs = "policy_chosen policy_rejected alpha";
    static constexpr const char* params = "beta";
    static constexpr elementwise_traits traits{3, 0b011, false, arithmetic::extended};
};

// Kahneman-Tversky optimisation (Ethayarajh et al. 2024): w s(-+beta (policy - reference - kl)), minus and
// w = desirable_weight where desirable = 1, plus and w = undesirable_weight where it is 0.
struct kto {
    double beta = 0.1, desirable_weight = 1.0, undesirable_weight = 1.0;
    static constexpr const char* name = "kto";
    static constexpr const char* inputs = "policy reference desirable kl";
    static constexpr const char* params = "beta desirable_weight undesirable_weight";
    static constexpr elementwise_traits traits{4, 0b0011, false, arithmetic::extended};
};

// One token of a policy update, with the ratio r = e^(log_prob - old_log_prob) and the advantage A:
//   clip   -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A)      Schulman et al. 2017, PPO
//   cispo  -min(r, clip_high) A log_prob, the ratio held constant   MiniMax-M1 (2025)
//   sapo   -4 A s(tau (r - 1)) / tau, tau by the sign of A          Soft adaptive policy optimisation (2025)
// plus beta (e^d - d - 1), d = reference_log_prob - log_prob (GRPO, Shao et al. 2024).
struct policy_ratio {
    double variant = clip, clip_low = 0.2, clip_high = 0.2, beta = 0.0, tau_pos = 1.0, tau_neg = 1.05;
    static constexpr double clip = 0, cispo = 1, sapo = 2;
    static constexpr const char* name = "policy_ratio";
    static constexpr const char* inputs = "log_prob old_log_prob advantage reference_log_prob";
    static constexpr const char* params = "variant clip_low clip_high beta tau_pos tau_neg";
    static constexpr elementwise_traits traits{4, 0b0001, false, arithmetic::extended};
};

}  // namespace fusedloss

FUSEDLOSS_BEGIN

// a softplus(-x) + b softplus(x) and its derivative.
template <class T>
struct value_slope {
    T value, slope;
};
template <class T>
FUSEDLOSS_INLINE value_slope<T> preference(T x, T a, T b) {
    const auto s = logistic(x);
    return {zero_times(a, s.softplus_neg) + zero_times(b, s.softplus), b * s.sigmoid - a * s.sigmoid_neg};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 4> eval(const dpo& p, T policy_chosen, T policy_rejected, T reference_chosen,
                                  T reference_rejected) {
    const T zero(0.0), one(1.0), beta = p.beta, e = p.label_smoothing;
    const T chosen = policy_chosen - reference_chosen, rejected = policy_rejected - reference_rejected;
    const T c = beta * chosen, r = beta * rejected, u = beta * (chosen - rejected);
    T value, by_u = zero, by_c = zero, by_r = zero;
    if (p.loss_type == dpo::sigmoid || p.loss_type == dpo::robust) {
        const T sharpen = p.loss_type == dpo::robust ? 1.0 / (1.0 - (e + e)) : one;
        const auto f = preference(u, (1.0 - e) * sharpen, p.loss_type == dpo::robust ? -e * sharpen : e);
        value = f.value;
        by_u = f.slope;
    } else if (p.loss_type == dpo::nca_pair || p.loss_type == dpo::bco_pair) {
        const bool nca = p.loss_type == dpo::nca_pair;
        const T half = nca ? 0.5 : 0.0, shift = nca ? 0.0 : p.reward_mean;
        const auto f = preference(c - shift, one, half), g = preference(r - shift, zero, 1.0 - half);
        value = f.value + g.value;
        by_c = f.slope;
        by_r = g.slope;
    } else if (p.loss_type == dpo::hinge) {
        value = max(zero, 1.0 - u);
        by_u = select(u < one, -one, value);
    } else if (p.loss_type == dpo::ipo) {
        const T d = (chosen - rejected) - 0.5 / beta;
        value = d * d;
        by_u = 2.0 * d / beta;
    } else if (p.loss_type == dpo::sppo_hard) {
        const T dc = chosen - 0.5 / beta, dr = rejected + 0.5 / beta;
        value = dc * dc + dr * dr;
        by_c = 2.0 * dc / beta;
        by_r = 2.0 * dr / beta;
    } else if (p.loss_type == dpo::exo_pair) {
        const T x = max(T(-1e6), min(T(1e6), u));  // s(-x) x is 0 long before; at infinity it would be NaN
        const auto s = logistic(x);
        const T log_right = log(1.0 - e), log_wrong = log(e);
        value = -s.sigmoid * (s.softplus_neg + log_right) - s.sigmoid_neg * (s.softplus + log_wrong);
        by_u = s.sigmoid * s.sigmoid_neg * (x - log_right + log_wrong);
    } else if (p.loss_type == dpo::apo_zero) {
        const auto f = logistic(c), g = logistic(r);
        value = f.sigmoid_neg + g.sigmoid;
        by_c = -f.sigmoid * f.sigmoid_neg;
        by_r = g.sigmoid * g.sigmoid_neg;
    } else if (p.loss_type == dpo::apo_down) {
        const auto f = logistic(c), g = logistic(u);
        value = f.sigmoid + g.sigmoid_neg;
        by_c = f.sigmoid * f.sigmoid_neg;
        by_u = -g.sigmoid * g.sigmoid_neg;
    } else {
        const T sharp = 1.0 / T(p.tau);
        const auto s = logistic(u), k = logistic(sharp * u);
        // e^-u k as one exponential, for its factors overflow and vanish together.
        const T mixed = exp(select(u < zero, (sharp - 1.0) * u, -u) - min(k.softplus, k.softplus_neg));
        value = s.softplus_neg * k.sigmoid_neg + mixed;
        by_u = sharp * k.sigmoid_neg * (mixed - k.sigmoid * min(T(1e300), s.softplus_neg)) -
               s.sigmoid_neg * k.sigmoid_neg - mixed;
    }
    const auto unknown = is_nan(value);
    const T to_chosen = select(unknown, value, beta * (by_u + by_c));
    const T to_rejected = select(unknown, value, beta * (by_r - by_u));
    return {value, {to_chosen, to_rejected, -to_chosen, -to_rejected}, zero};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const cpo& p, T chosen, T rejected, T alpha) {
    const T zero(0.0), e = p.label_smoothing;
    const auto f = preference(p.beta * (chosen - rejected) - p.gamma, 1.0 - e, e);
    const T slope = select(is_nan(alpha), alpha, p.beta * f.slope);
    return {f.value - zero_times(alpha, chosen), {slope - alpha, -slope, zero}, zero};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 3> eval(const orpo& p, T chosen, T rejected, T alpha) {
    const T zero(0.0), one(1.0), d = chosen - rejected;
    const T miss_chosen = -expm1(chosen), miss_rejected = -expm1(rejected);  // 1 - e^a
    const T value = p.beta * softplus(log(miss_chosen) - log(miss_rejected) - d) - zero_times(alpha, chosen);
    // The slopes by the odds ratio multiplied out, for the odds are infinite where they are finite: both
    // probabilities divided by the larger one.
    const T e = exp(-abs(d)), likely = select(d < zero, e, one), unlikely = select(d < zero, one, e);
    const T share = unlikely / (likely * miss_rejected + unlikely * miss_chosen);
    // share (1 - e^chosen) / (1 - e^rejected), by the quotient that neither overflows nor loses digits.
    const T relative = select(miss_rejected > T(1e-100), miss_chosen * (share / miss_rejected),
                              share * miss_chosen / miss_rejected);
    const T to_chosen = poisoned_by(value, -p.beta * share - alpha);
    return {value, {to_chosen, poisoned_by(value, p.beta * relative), zero}, zero};
}

template <class T>
FUSEDLOSS_INLINE terms<T, 4> eval(const kto& p, T policy, T reference, T desirable, T kl) {
    const T other = 1.0 - desirable, k = p.beta * (desirable - other);
    const T weight = p.desirable_weight * desirable + p.undesirable_weight * other;
    const auto s = logistic(k * ((policy - reference) - kl));
    const T slope = -weight * k * (s.sigmoid * s.sigmoid_neg), zero(0.0);
    return {weight * s.sigmoid_neg, {slope, -slope, zero, zero}, zero};
}

// m - d where m = e^d - 1: by its series where the difference would cancel.
template <class T>
FUSEDLOSS_INLINE T exponential_excess(T d, T m) {
    const T series = 1.0 / 6 + d * (1.0 / 24 + d * (1.0 / 120 + d * (1.0 / 720 + d * (1.0 / 5040))));
    return select(abs(d) < T(0x1p-8), d * d * (0.5 + d * series), m - d);
}

template <class T>
FUSEDLOSS_INLINE terms<T, 4> eval(const policy_ratio& p, T log_prob, T old_log_prob, T advantage,
                                  T reference_log_prob) {
    const T zero(0.0), step = log_prob - old_log_prob, ratio = exp(step);
    const auto gain = advantage > zero;
    T value, slope;
    if (p.variant == policy_ratio::sapo) {
        const T tau = select(gain, T(p.tau_pos), T(p.tau_neg));
        const auto s = logistic(tau * expm1(step));
        value = -4.0 * advantage * s.sigmoid / tau;
        slope = -4.0 * advantage * zero_times(s.sigmoid * s.sigmoid_neg, ratio);
    } else {
        const bool cispo = p.variant == policy_ratio::cispo;
        const T capped = min(cispo ? T(p.clip_high) : 1.0 + T(p.clip_high), ratio);
        const T bounded = cispo ? capped : select(gain, capped, max(1.0 - T(p.clip_low), ratio));
        const auto clipped = (bounded < ratio) | (bounded > ratio);
        const T weighted = -select(clipped, advantage * bounded, times_exp(advantage, step));
        value = cispo ? zero_times(weighted, log_prob) : weighted;
        slope = cispo ? weighted : select(clipped, advantage - advantage, weighted);
    }
    if (p.beta != 0.0) {
        const T d = reference_log_prob - log_prob, rise = expm1(d);
        T penalty = p.beta * exponential_excess(d, rise), pull = p.beta * rise;
        const auto far = d > T(700.0);  // e^d may overflow where beta e^d does not, and d does not count
        if (any(far)) {
            pull = select(far, times_exp(T(p.beta), d), pull);
            penalty = select(far, pull, penalty);
        }
        value = value + penalty;
        slope = slope - pull;
    }
    return input_terms<4>(poisoned_by(reference_log_prob, value), poisoned_by(reference_log_prob, slope));
}

FUSEDLOSS_END
