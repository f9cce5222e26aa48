"""Preference losses and policy losses of answers under a linear layer, whose scores are never all in memory."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._answers import Pairs, Singles, TokenMeans, answers
from ._loss import Result, answers_of_a_layer, pairs_of_answers
from ._validation import choice, finite
from .preference import cpo_loss, dpo_loss, grpo_loss, kto_loss, orpo_loss, simpo_loss

__all__ = [
    "linear_cpo_loss",
    "linear_dpo_loss",
    "linear_grpo_loss",
    "linear_kto_loss",
    "linear_orpo_loss",
    "linear_simpo_loss",
]


@pairs_of_answers(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearDPOLoss", "fused linear DPO", "RPO loss"),
)
def linear_dpo_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    reference_log_prob: ArrayLike | None = None,
    reference_input: ArrayLike | None = None,
    reference_weight: ArrayLike | None = None,
    reference_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    beta: float = 0.1,
    loss_type: str = "sigmoid",
    label_smoothing: float = 0.0,
    reward_mean: float = 0.0,
    tau: float = 0.05,
    alpha: float = 0.0,
    average_log_prob: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Direct preference optimisation of a linear layer, whose scores are never all in memory.

    Formula: that of `dpo_loss` for the log-probabilities of answers, sums (means, with `average_log_prob`) of
        ``log(p[target])`` over their tokens with ``p = softmax(input @ linear_weight.T + linear_bias)``; the
        reference's likewise; plus `alpha` times the mean of ``-log(p[target])`` over the tokens of the chosen answers.
    Gradient: that of `dpo_loss` for every token of an answer less ``alpha`` over their number for those of chosen ones,
        times that of `linear_selected_log_prob`; for `linear_bias` on request.
    Domain: any real numbers.
    Source: Rafailov et al. (2023), Direct preference optimization; without the scores: Hsu et al. (2024), Liger kernel:
        efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    beta : float, default 0.1
        Strength of the pull towards the reference.
    loss_type : str, default "sigmoid"
        One of the types of `dpo_loss`; "ipo" is meant for averages.
    label_smoothing : float, default 0.0
        Probability that a preference is wrong, as `dpo_loss` has it.
    reward_mean : float, default 0.0
        Running mean of the rewards, for "bco_pair".
    tau : float, default 0.05
        Temperature of "discopop".
    {common}
    """
    loss = dpo_loss.bind(
        beta=beta, loss_type=loss_type, label_smoothing=label_smoothing, reward_mean=reward_mean, tau=tau
    )
    reference = reference_log_prob, reference_input, reference_weight, reference_bias
    formula = Pairs(loss, bool(average_log_prob), finite("alpha", alpha))
    return answers(formula, input, linear_weight, linear_bias, target, ignore_index, reference=reference)


@pairs_of_answers(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearCPOLoss", "fused linear CPO"),
)
def linear_cpo_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    alpha: float = 1.0,
    average_log_prob: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Contrastive preference optimisation of a linear layer, whose scores are never all in memory.

    Formula: that of `cpo_loss` for the log-probabilities of answers, sums (means, with `average_log_prob`) of
        ``log(p[target])`` over their tokens with ``p = softmax(input @ linear_weight.T + linear_bias)`` and without its
        likelihood; plus `alpha` times the mean of ``-log(p[target])`` over the tokens of the chosen answers.
    Gradient: that of `cpo_loss` for every token of an answer less ``alpha`` over their number for those of chosen ones,
        times that of `linear_selected_log_prob`; for `linear_bias` on request.
    Domain: any real numbers.
    Source: Xu et al. (2024), Contrastive preference optimization; without the scores: Hsu et al. (2024), Liger kernel:
        efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    beta : float, default 0.1
        Scale of the difference.
    label_smoothing : float, default 0.0
        Probability that a preference is wrong.
    {common}
    """
    loss = cpo_loss.bind(beta=beta, label_smoothing=label_smoothing, alpha=0.0)
    formula = Pairs(loss, bool(average_log_prob), finite("alpha", alpha))
    return answers(formula, input, linear_weight, linear_bias, target, ignore_index)


@pairs_of_answers(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearSimPOLoss", "fused linear SimPO"),
)
def linear_simpo_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    beta: float = 2.0,
    gamma: float = 0.5,
    label_smoothing: float = 0.0,
    alpha: float = 0.0,
    average_log_prob: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """SimPO of a linear layer, whose scores are never all in memory.

    Formula: that of `simpo_loss` for the log-probabilities of answers, sums (means, with `average_log_prob`) of
        ``log(p[target])`` over their tokens with ``p = softmax(input @ linear_weight.T + linear_bias)``; plus `alpha`
        times the mean of ``-log(p[target])`` over the tokens of the chosen answers.
    Gradient: that of `simpo_loss` for every token of an answer less ``alpha`` over their number for those of chosen
        ones, times that of `linear_selected_log_prob`; for `linear_bias` on request.
    Domain: any real numbers.
    Source: Meng, Xia and Chen (2024), SimPO: simple preference optimization with a reference-free reward; without the
        scores: Hsu et al. (2024), Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    beta : float, default 2.0
        Scale of the difference.
    gamma : float, default 0.5
        Margin by which the scaled difference should exceed 0.
    label_smoothing : float, default 0.0
        Probability that a preference is wrong.
    {common}
    """
    loss = simpo_loss.bind(beta=beta, gamma=gamma, label_smoothing=label_smoothing)
    formula = Pairs(loss, bool(average_log_prob), finite("alpha", alpha))
    return answers(formula, input, linear_weight, linear_bias, target, ignore_index)


@pairs_of_answers(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearORPOLoss", "fused linear ORPO"),
)
def linear_orpo_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    beta: float = 0.1,
    alpha: float = 1.0,
    average_log_prob: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Odds ratio preference optimisation of a linear layer, whose scores are never all in memory.

    Formula: that of `orpo_loss` for the log-probabilities of answers, sums (means, with `average_log_prob`) of
        ``log(p[target])`` over their tokens with ``p = softmax(input @ linear_weight.T + linear_bias)`` and without its
        likelihood; plus `alpha` times the mean of ``-log(p[target])`` over the tokens of the chosen answers.
    Gradient: that of `orpo_loss` for every token of an answer less ``alpha`` over their number for those of chosen
        ones, times that of `linear_selected_log_prob`; for `linear_bias` on request.
    Domain: any real numbers. An answer without tokens counts as certain.
    Source: Hong, Lee and Thorne (2024), ORPO: monolithic preference optimization without reference model; without the
        scores: Hsu et al. (2024), Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    beta : float, default 0.1
        Weight of the odds ratio (lambda in the paper).
    {common}
    """
    loss = orpo_loss.bind(beta=beta, alpha=0.0)
    formula = Pairs(loss, bool(average_log_prob), finite("alpha", alpha))
    return answers(formula, input, linear_weight, linear_bias, target, ignore_index)


@answers_of_a_layer(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearKTOLoss", "fused linear KTO"),
)
def linear_kto_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    desirable: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    reference_log_prob: ArrayLike | None = None,
    reference_input: ArrayLike | None = None,
    reference_weight: ArrayLike | None = None,
    reference_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    kl: ArrayLike = 0.0,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    average_log_prob: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kahneman-Tversky optimisation of a linear layer, whose scores are never all in memory.

    Formula: that of `kto_loss` for the log-probabilities of answers, sums (means, with `average_log_prob`) of
        ``log(p[target])`` over their tokens with ``p = softmax(input @ linear_weight.T + linear_bias)``; the
        reference's likewise.
    Gradient: that of `kto_loss` for every token of an answer, times that of `linear_selected_log_prob`; for
        `linear_bias` on request.
    Domain: any real numbers.
    Source: Ethayarajh et al. (2024), KTO: model alignment as prospect theoretic optimization; without the scores: Hsu
        et al. (2024), Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    desirable : array_like
        1 or True for desirable answers, 0 for the others, ``[N]``.
    kl : array_like, default 0.0
        Estimate of the divergence from the reference, usually one number per batch.
    beta : float, default 0.1
        Strength of the pull towards the reference.
    desirable_weight, undesirable_weight : float, default 1.0
        Weights of the two kinds of answers.
    {common}
    """
    loss = kto_loss.bind(beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    reference = reference_log_prob, reference_input, reference_weight, reference_bias
    formula, layer = Singles(loss, bool(average_log_prob)), (input, linear_weight, linear_bias)
    return answers(formula, *layer, target, ignore_index, reference=reference, desirable=desirable, kl=kl)


@answers_of_a_layer(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearGRPOLoss", "fused linear GRPO"),
)
def linear_grpo_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    advantage: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    old_log_prob: ArrayLike | None = None,
    reference_log_prob: ArrayLike | None = None,
    reference_input: ArrayLike | None = None,
    reference_weight: ArrayLike | None = None,
    reference_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    beta: float = 0.04,
    variant: str = "clip",
    clip_low: float = 0.2,
    clip_high: float | None = None,
    tau_pos: float = 1.0,
    tau_neg: float = 1.05,
    average: str = "answers",
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Group relative policy optimisation of a linear layer, whose scores are never all in memory.

    Formula: means over tokens of that of `grpo_loss` for ``log(p[target])`` with ``p = softmax(input @ linear_weight.T
        + linear_bias)``; the reference's likewise.
    Gradient: that of `grpo_loss` for every token of an answer, times that of `linear_selected_log_prob`; for
        `linear_bias` on request.
    Domain: any real numbers.
    Source: Shao et al. (2024), DeepSeekMath: pushing the limits of mathematical reasoning in open language models;
        averages: Yu et al. (2025), DAPO, and Liu et al. (2025), Understanding R1-zero-like training; without the
        scores: Hsu et al. (2024), Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    advantage : array_like
        Advantages of the answers, ``[N]``.
    old_log_prob : array_like, optional
        Log-probabilities ``[N, T]`` of the tokens under the policy that sampled them; by default it is the policy.
    beta : float, default 0.04
        Weight of the penalty; where it is 0 no reference is asked for.
    variant : {"clip", "cispo", "sapo"}, default "clip"
        What becomes of the ratio.
    clip_low : float, default 0.2
        How far the ratio may fall below 1, for "clip".
    clip_high : float, optional
        How far the ratio may rise above 1, for "clip" (default 0.2); the largest ratio, for "cispo" (default 5).
    tau_pos, tau_neg : float, default 1.0 and 1.05
        Temperatures of "sapo".
    average : {"answers", "tokens", "length"}, default "answers"
        What the mean is of: of means over the tokens of each answer (GRPO), over all tokens (DAPO, BNPO), or of sums
        over them divided by T (Dr. GRPO).
    {common}
    """
    loss = grpo_loss.bind(
        beta=beta, variant=variant, clip_low=clip_low, clip_high=clip_high, tau_pos=tau_pos, tau_neg=tau_neg
    )
    layer, reference = (input, linear_weight, linear_bias), None
    if beta > 0.0:
        reference = reference_log_prob, reference_input, reference_weight, reference_bias
    formula = TokenMeans(loss, choice("average", average, ("answers", "tokens", "length")), reference is not None)
    old = {} if old_log_prob is None else {"old_log_prob": old_log_prob}
    return answers(formula, *layer, target, ignore_index, reference=reference, advantage=advantage, **old)
