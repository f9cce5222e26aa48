"""Preference optimisation and policy losses over log-probabilities of whole answers or of tokens."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise
from ._validation import choice, finite, in_range, non_negative, positive

__all__ = ["cpo_loss", "dpo_loss", "grpo_loss", "kto_loss", "orpo_loss", "ppo_clip_loss", "simpo_loss"]

# In the order of the constants of `dpo` in losses/preference.hpp.
_DPO_TYPES = (
    "sigmoid",
    "robust",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "apo_zero",
    "apo_down",
    "discopop",
)


@elementwise(
    trains=("policy_chosen", "policy_rejected"),
    aliases=("direct preference optimization", "cDPO", "IPO", "EXO", "NCA", "BCO", "SPPO", "APO", "DiscoPOP"),
)
def dpo_loss(
    policy_chosen: ArrayLike,
    policy_rejected: ArrayLike,
    reference_chosen: ArrayLike,
    reference_rejected: ArrayLike,
    *,
    beta: float = 0.1,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    reward_mean: float = 0.0,
    tau: float = 0.05,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Direct preference optimisation and its relatives, one value per pair of answers.

    Formula: with ``c = beta * (policy_chosen - reference_chosen)``, ``r`` likewise of the rejected answers,
        ``u = c - r``, ``sp = softplus``, ``s = sigmoid`` and ``e = label_smoothing``:
        "sigmoid" ``(1 - e) * sp(-u) + e * sp(u)``;
        "robust" ``((1 - e) * sp(-u) - e * sp(u)) / (1 - 2 * e)``;
        "hinge" ``max(0, 1 - u)``;
        "ipo" ``(u / beta - 1 / (2 * beta))**2``;
        "exo_pair" ``s(u) * log(s(u) / (1 - e)) + s(-u) * log(s(-u) / e)``;
        "nca_pair" ``sp(-c) + sp(c) / 2 + sp(r) / 2``;
        "bco_pair" ``sp(-(c - reward_mean)) + sp(r - reward_mean)``;
        "sppo_hard" ``(c / beta - 1 / (2 * beta))**2 + (r / beta + 1 / (2 * beta))**2``;
        "apo_zero" ``s(-c) + s(r)``;
        "apo_down" ``s(c) + s(-u)``;
        "discopop" ``sp(-u) * (1 - k) + exp(-u) * k`` with ``k = s(u / tau)``.
    Gradient: of the formula; the references get the negatives of the policies' gradients. 0 at the kink of "hinge".
    Domain: any real log-probabilities.
    Source: Rafailov et al. (2023), Direct preference optimization; types: Mitchell (2023) conservative DPO, Chowdhury
        et al. (2024) robust DPO, Zhao et al. (2023) SLiC hinge, Azar et al. (2024) IPO, Ji et al. (2024) EXO, Chen
        et al. (2024) NCA, Jung et al. (2024) BCO, Wu et al. (2024) SPPO, D'Oosterlinck et al. (2024) APO, Lu et al.
        (2024) DiscoPOP.

    Parameters
    ----------
    policy_chosen, policy_rejected : array_like
        Log-probabilities of the preferred and of the other answer under the policy, summed over tokens ("ipo":
        averaged), any shape.
    reference_chosen, reference_rejected : array_like
        The same under the frozen reference model, broadcast to the shape of `policy_chosen`.
    beta : float, default 0.1
        Strength of the pull towards the reference.
    loss_type : str, default "sigmoid"
        One of the types above.
    label_smoothing : float, default 0.0
        Probability that a preference is wrong: in [0, 1] for "sigmoid" (conservative DPO), in [0, 0.5) for "robust",
        in (0, 1) for "exo_pair"; other types ignore it.
    reward_mean : float, default 0.0
        Running mean of the rewards, for "bco_pair".
    tau : float, default 0.05
        Temperature of "discopop".
    {common}
    """
    kind = choice("loss_type", loss_type, _DPO_TYPES)
    limits = {"robust": (0.0, 0.5, "low"), "exo_pair": (0.0, 1.0, "neither")}
    low, high, inclusive = limits.get(kind, (0.0, 1.0, "both"))
    return kernels.dpo(
        policy_chosen,
        policy_rejected,
        reference_chosen,
        reference_rejected,
        beta=positive("beta", beta),
        loss_type=float(_DPO_TYPES.index(kind)),
        label_smoothing=in_range("label_smoothing", label_smoothing, low, high, inclusive=inclusive),
        reward_mean=finite("reward_mean", reward_mean),
        tau=positive("tau", tau),
    )


@elementwise(trains=("policy_chosen", "policy_rejected"), aliases=("contrastive preference optimization",))
def cpo_loss(
    policy_chosen: ArrayLike,
    policy_rejected: ArrayLike,
    *,
    beta: float = 0.1,
    alpha: ArrayLike = 1.0,
    label_smoothing: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Contrastive preference optimisation: a preference loss without a reference, plus likelihood of the chosen.

    Formula: ``(1 - e) * softplus(-u) + e * softplus(u) - alpha * policy_chosen`` with
        ``u = beta * (policy_chosen - policy_rejected)`` and ``e = label_smoothing``.
    Gradient: ``beta * d - alpha`` for `policy_chosen`, ``-beta * d`` for `policy_rejected`, with
        ``d = e * sigmoid(u) - (1 - e) * sigmoid(-u)``.
    Domain: any real log-probabilities.
    Source: Xu et al. (2024), Contrastive preference optimization.

    Parameters
    ----------
    policy_chosen : array_like
        Log-probabilities of the preferred answers, summed over tokens, any shape.
    policy_rejected : array_like
        The same of the other answers, broadcast to the shape of `policy_chosen`.
    beta : float, default 0.1
        Scale of the difference.
    alpha : array_like, default 1.0
        Weight of the negative log-likelihood, broadcast to the shape of `policy_chosen`; divide it by the lengths of
        the chosen answers for a mean per token.
    label_smoothing : float, default 0.0
        Probability that a preference is wrong.
    {common}
    """
    return kernels.cpo(
        policy_chosen,
        policy_rejected,
        alpha,
        beta=positive("beta", beta),
        gamma=0.0,
        label_smoothing=in_range("label_smoothing", label_smoothing, 0.0, 1.0),
    )


@elementwise(trains=("policy_chosen", "policy_rejected"), aliases=("simple preference optimization",))
def simpo_loss(
    policy_chosen: ArrayLike,
    policy_rejected: ArrayLike,
    *,
    beta: float = 2.0,
    gamma: float = 0.5,
    label_smoothing: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """SimPO: a preference loss of average log-probabilities with a target margin and without a reference.

    Formula: ``(1 - e) * softplus(-u) + e * softplus(u)`` with
        ``u = beta * (policy_chosen - policy_rejected) - gamma`` and ``e = label_smoothing``.
    Gradient: ``beta * d`` for `policy_chosen`, ``-beta * d`` for `policy_rejected`, with
        ``d = e * sigmoid(u) - (1 - e) * sigmoid(-u)``.
    Domain: any real log-probabilities.
    Source: Meng, Xia and Chen (2024), SimPO: simple preference optimization with a reference-free reward.

    Parameters
    ----------
    policy_chosen : array_like
        Log-probabilities of the preferred answers, averaged over tokens, any shape.
    policy_rejected : array_like
        The same of the other answers, broadcast to the shape of `policy_chosen`.
    beta : float, default 2.0
        Scale of the difference.
    gamma : float, default 0.5
        Margin by which the scaled difference should exceed 0.
    label_smoothing : float, default 0.0
        Probability that a preference is wrong.
    {common}
    """
    return kernels.cpo(
        policy_chosen,
        policy_rejected,
        0.0,
        beta=positive("beta", beta),
        gamma=finite("gamma", gamma),
        label_smoothing=in_range("label_smoothing", label_smoothing, 0.0, 1.0),
    )


@elementwise(trains=("policy_chosen", "policy_rejected"), aliases=("odds ratio preference optimization",))
def orpo_loss(
    policy_chosen: ArrayLike,
    policy_rejected: ArrayLike,
    *,
    beta: float = 0.1,
    alpha: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Odds ratio preference optimisation: likelihood of the chosen answer plus a penalty on the odds ratio.

    Formula: ``beta * softplus(-v) - alpha * policy_chosen`` with ``v = o(policy_chosen) - o(policy_rejected)`` and the
        log-odds ``o(a) = a - log(1 - exp(a))``.
    Gradient: ``-beta * sigmoid(-v) / (1 - exp(policy_chosen)) - alpha`` for `policy_chosen`,
        ``beta * sigmoid(-v) / (1 - exp(policy_rejected))`` for `policy_rejected`.
    Domain: log-probabilities up to 0, NaN above.
    Source: Hong, Lee and Thorne (2024), ORPO: monolithic preference optimization without reference model.

    Parameters
    ----------
    policy_chosen : array_like
        Log-probabilities of the preferred answers, averaged over tokens, any shape.
    policy_rejected : array_like
        The same of the other answers, broadcast to the shape of `policy_chosen`.
    beta : float, default 0.1
        Weight of the odds ratio (lambda in the paper).
    alpha : array_like, default 1.0
        Weight of the negative log-likelihood, broadcast to the shape of `policy_chosen`.
    {common}
    """
    return kernels.orpo(policy_chosen, policy_rejected, alpha, beta=non_negative("beta", beta))


@elementwise(trains=("policy",), aliases=("Kahneman-Tversky optimization",))
def kto_loss(
    policy: ArrayLike,
    reference: ArrayLike,
    desirable: ArrayLike,
    kl: ArrayLike,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kahneman-Tversky optimisation: learns from single answers marked desirable or not.

    Formula: ``desirable_weight * sigmoid(-z)`` for desirable answers, ``undesirable_weight * sigmoid(z)`` for the
        others, with ``z = beta * (policy - reference - kl)``.
    Gradient: ``-/+ beta * weight * sigmoid(z) * sigmoid(-z)`` for `policy`, the negative for `reference`; none for
        `kl`, which the method holds constant.
    Domain: any real log-probabilities; `desirable` 0 or 1.
    Source: Ethayarajh et al. (2024), KTO: model alignment as prospect theoretic optimization.

    Parameters
    ----------
    policy : array_like
        Log-probabilities of the answers under the policy, summed over tokens, any shape.
    reference : array_like
        The same under the frozen reference model, broadcast to the shape of `policy`.
    desirable : array_like
        1 or True for desirable answers, 0 for the others, broadcast to the shape of `policy`.
    kl : array_like
        Estimate of the divergence from the reference, usually one number per batch.
    beta : float, default 0.1
        Strength of the pull towards the reference.
    desirable_weight, undesirable_weight : float, default 1.0
        Weights of the two kinds of answers.
    {common}
    """
    return kernels.kto(
        policy,
        reference,
        desirable,
        kl,
        beta=positive("beta", beta),
        desirable_weight=non_negative("desirable_weight", desirable_weight),
        undesirable_weight=non_negative("undesirable_weight", undesirable_weight),
    )


# In the order of the constants of `policy_ratio` in losses/preference.hpp.
_POLICY_VARIANTS = ("clip", "cispo", "sapo")


@elementwise(trains=("log_prob",), aliases=("PPO", "clipped surrogate objective"))
def ppo_clip_loss(
    log_prob: ArrayLike,
    old_log_prob: ArrayLike,
    advantage: ArrayLike,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Clipped surrogate loss of proximal policy optimisation, one value per token or action.

    Formula: ``-min(r * A, clip(r, 1 - clip_low, 1 + clip_high) * A)`` with ``r = exp(log_prob - old_log_prob)`` and
        ``A = advantage``.
    Gradient: ``-r * A`` for `log_prob`, 0 where the clipped term is the smaller one.
    Domain: any real log-probabilities and advantages.
    Source: Schulman et al. (2017), Proximal policy optimization algorithms.

    Parameters
    ----------
    log_prob : array_like
        Log-probabilities under the policy, any shape.
    old_log_prob : array_like
        The same under the policy that sampled, broadcast to the shape of `log_prob`.
    advantage : array_like
        Advantages, broadcast to the shape of `log_prob`.
    clip_low, clip_high : float, default 0.2
        How far the ratio may fall below and rise above 1.
    {common}
    """
    return kernels.policy_ratio(
        log_prob,
        old_log_prob,
        advantage,
        0.0,
        variant=0.0,
        clip_low=non_negative("clip_low", clip_low),
        clip_high=non_negative("clip_high", clip_high),
        beta=0.0,
        tau_pos=1.0,
        tau_neg=1.0,
    )


@elementwise(
    trains=("log_prob",),
    aliases=("GRPO", "group relative policy optimization", "Dr. GRPO", "DAPO", "CISPO", "SAPO"),
)
def grpo_loss(
    log_prob: ArrayLike,
    old_log_prob: ArrayLike,
    advantage: ArrayLike,
    reference_log_prob: ArrayLike,
    *,
    beta: float = 0.04,
    variant: str = "clip",
    clip_low: float = 0.2,
    clip_high: float | None = None,
    tau_pos: float = 1.0,
    tau_neg: float = 1.05,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Group relative policy optimisation, one value per token: a policy loss plus a penalty towards a reference.

    The variants of the method differ in how tokens are averaged, which `sample_weight` expresses: with
    ``mask / length`` per token the mean is the mean over answers of their token means (GRPO), with the mask alone it
    is the mean over all tokens (DAPO, BNPO); for Dr. GRPO take reduction "sum" and divide by a constant. For a ratio
    per answer (GSPO) pass log-probabilities averaged over its tokens.

    Formula: with ``r = exp(log_prob - old_log_prob)``, ``A = advantage`` and ``d = reference_log_prob - log_prob``:
        "clip" ``-min(r * A, clip(r, 1 - clip_low, 1 + clip_high) * A)``;
        "cispo" ``-min(r, clip_high) * A * log_prob`` with the ratio held constant;
        "sapo" ``-4 / tau * A * sigmoid(tau * (r - 1))``, ``tau`` being `tau_pos` where ``A > 0``, else `tau_neg`;
        each plus ``beta * (exp(d) - d - 1)``.
    Gradient: "clip" ``-r * A``, 0 where the clipped term is the smaller one; "cispo" ``-min(r, clip_high) * A``; "sapo"
        ``-4 * A * r * sigmoid(z) * sigmoid(-z)`` with ``z = tau * (r - 1)``; each plus ``beta * (1 - exp(d))``.
    Domain: any real log-probabilities and advantages.
    Source: Shao et al. (2024), DeepSeekMath; "cispo": MiniMax (2025), MiniMax-M1; "sapo": Gao et al. (2025), Soft
        adaptive policy optimization.

    Parameters
    ----------
    log_prob : array_like
        Log-probabilities of the tokens under the policy, any shape.
    old_log_prob : array_like
        The same under the policy that sampled, broadcast to the shape of `log_prob`.
    advantage : array_like
        Advantages, broadcast to the shape of `log_prob`.
    reference_log_prob : array_like
        The same under the frozen reference model; where `beta` is 0 it has no effect (pass 0), but NaN is passed on.
    beta : float, default 0.04
        Weight of the penalty.
    variant : {"clip", "cispo", "sapo"}, default "clip"
        What becomes of the ratio.
    clip_low : float, default 0.2
        How far the ratio may fall below 1, for "clip".
    clip_high : float, optional
        How far the ratio may rise above 1, for "clip" (default 0.2); the largest ratio, for "cispo" (default 5).
    tau_pos, tau_neg : float, default 1.0 and 1.05
        Temperatures of "sapo".
    {common}
    """
    kind = choice("variant", variant, _POLICY_VARIANTS)
    if clip_high is None:
        clip_high = 5.0 if kind == "cispo" else 0.2
    return kernels.policy_ratio(
        log_prob,
        old_log_prob,
        advantage,
        reference_log_prob,
        variant=float(_POLICY_VARIANTS.index(kind)),
        clip_low=non_negative("clip_low", clip_low),
        clip_high=non_negative("clip_high", clip_high),
        beta=non_negative("beta", beta),
        tau_pos=positive("tau_pos", tau_pos),
        tau_neg=positive("tau_neg", tau_neg),
    )
