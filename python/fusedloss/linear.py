"""Losses of class scores that are a linear layer of something: the scores are never all in memory."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._core_kernels import Head
from ._loss import Result, similarity, student_and_teacher
from ._validation import in_range, non_negative, positive
from .distribution import distillation_parameters, jensen_shannon_parameters

__all__ = [
    "linear_cosine_distillation_loss",
    "linear_cross_entropy",
    "linear_distillation_loss",
    "linear_jensen_shannon_divergence",
    "linear_selected_log_prob",
]


_CROSS_ENTROPY = Head("cross_entropy")
_LOG_PROB = Head("selected_log_prob")
_DIVERGENCE = Head("divergence", target="labels")
_COSINE = Head("score_cosine", target="labels")


@similarity(
    trains=("input", "linear_weight"),
    aliases=(
        "LinearCrossEntropyLoss",
        "fused linear cross entropy",
        "LigerFusedLinearCrossEntropy",
        "cut cross entropy",
    ),
)
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cross entropy of a linear layer's scores, a chunk of rows at a time: they are never all in memory.

    Formula: that of `cross_entropy` for the scores ``z = input @ linear_weight.T + linear_bias``.
    Gradient: ``G @ linear_weight`` for `input` and ``G.T @ input`` for `linear_weight`, G being the gradient of
        `cross_entropy`; the sum of G over the rows for `linear_bias`, on request.
    Domain: any real numbers; target probabilities are not negative.
    Source: Good (1952), Rational decisions; without the scores: Wijmans et al. (2024), Cut your losses in
        large-vocabulary language models.

    Parameters
    ----------
    input : array_like
        What the layer is applied to, ``[N, D]``.
    linear_weight : array_like
        Its weights ``[C, D]``, one row per class.
    target : array_like
        Class indices ``[N]`` of an integer dtype, or class probabilities ``[N, C]`` of a floating dtype.
    weight : array_like, optional
        One weight per class. As in PyTorch the mean over class indices divides by the sum of the weights of the
        targets, the mean over class probabilities by the number of rows.
    label_smoothing : float, default 0.0
        How much of the target is spread over all classes, in [0, 1].
    softcap : float, optional
        Keeps scores within ``(-softcap, softcap)``.
    z_loss : float, default 0.0
        Factor of the squared log-sum-exp, which keeps scores from drifting.
    {common}
    """
    return _CROSS_ENTROPY(
        input,
        linear_weight,
        linear_bias,
        label=target,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=in_range("label_smoothing", label_smoothing, 0.0, 1.0),
        softcap=0.0 if softcap is None else positive("softcap", softcap),
        z_loss=non_negative("z_loss", z_loss),
        divisor="weights",
    )


@similarity(
    trains=("input", "linear_weight"), aliases=("fused linear log-probability", "per-token log-probability of a head")
)
def linear_selected_log_prob(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """Logarithm of the target's probability under a linear layer, whose scores are never all in memory.

    Formula: that of `selected_log_prob` for the scores ``input @ linear_weight.T + linear_bias``.
    Gradient: ``G @ linear_weight`` for `input` and ``G.T @ input`` for `linear_weight`, G being the gradient of
        `selected_log_prob`; the sum of G over the rows for `linear_bias`, on request.
    Domain: any real numbers.
    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network outputs; without the
        scores: Hsu et al. (2024), Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    input : array_like
        What the layer is applied to, ``[N, D]``.
    linear_weight : array_like
        Its weights ``[C, D]``, one row per class.
    target : array_like
        Class indices ``[N]``.
    {common}

    Notes
    -----
    Preference losses (DPO, CPO, ORPO, SimPO, KTO, GRPO) take sums of it over the tokens of an answer: call it, give the
    sums to the loss, and hand that loss's gradient, repeated for the tokens, to `backward`.
    """
    return _LOG_PROB(input, linear_weight, linear_bias, label=target, ignore_index=ignore_index)


# ---- a student and a teacher ----------------------------------------------------------------------


@student_and_teacher(
    trains=("input", "linear_weight"),
    aliases=("fused linear distillation", "linear KL divergence", "fused linear KL divergence"),
)
def linear_distillation_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    target_bias: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    ignore_index: int = -100,
    temperature: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Knowledge distillation between linear layers, whose scores are never all in memory.

    Formula: that of `distillation_loss` for the scores ``z = input @ linear_weight.T + linear_bias`` of the student and
        ``target @ target_weight.T + target_bias`` of the teacher.
    Gradient: ``G @ linear_weight`` for `input` and ``G.T @ input`` for `linear_weight`, G being the gradient of
        `distillation_loss`; the sum of G over the rows for `linear_bias`, on request. The teacher has none.
    Domain: any real numbers.
    Source: Hinton et al. (2015), Distilling the knowledge in a neural network; without the scores: Hsu et al. (2024),
        Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    temperature : float, default 1.0
        Divides both scores.
    {common}
    """
    return _DIVERGENCE(
        input,
        linear_weight,
        linear_bias,
        compared=(target, target_weight, target_bias),
        label=labels,
        ignore_index=ignore_index,
        **distillation_parameters(temperature),
    )


@student_and_teacher(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearJSD", "linear JSD", "fused linear Jensen-Shannon divergence"),
)
def linear_jensen_shannon_divergence(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    target_bias: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    ignore_index: int = -100,
    beta: float = 0.5,
    temperature: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Jensen-Shannon divergence of linear layers' softmaxes, whose scores are never all in memory.

    Formula: that of `jensen_shannon_divergence` for ``z / temperature``, ``z = input @ linear_weight.T + linear_bias``
        being the scores of the student and ``target @ target_weight.T + target_bias`` those of the teacher:
        D(teacher || student) for ``beta = 0`` and D(student || teacher) for ``beta = 1``.
    Gradient: ``G @ linear_weight`` for `input` and ``G.T @ input`` for `linear_weight`, G being the gradient of
        `jensen_shannon_divergence` over the temperature; the sum of G over the rows for `linear_bias`, on request. The
        teacher has none.
    Domain: any real numbers.
    Source: Agarwal et al. (2024), On-policy distillation of language models; without the scores: Hsu et al. (2024),
        Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    beta : float, default 0.5
        Share of the teacher in the mixture, in [0, 1], as `jensen_shannon_divergence` has it.
    temperature : float, default 1.0
        Divides both scores.
    {common}
    """
    t = positive("temperature", temperature)
    return _DIVERGENCE(
        input,
        linear_weight,
        linear_bias,
        compared=(target, target_weight, target_bias),
        label=labels,
        ignore_index=ignore_index,
        **jensen_shannon_parameters(beta, log_target=True, temperature=t),
    )


@student_and_teacher(
    trains=("input", "linear_weight"),
    aliases=("LigerFusedLinearCosineSimilarityLoss", "cosine distillation", "fused linear cosine distillation"),
)
def linear_cosine_distillation_loss(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    target_weight: ArrayLike | None = None,
    target_bias: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cosine distance of linear layers' scores, which are never all in memory.

    Formula: ``1 - cos(z, t)`` with the scores ``z = input @ linear_weight.T + linear_bias`` of the student and
        ``t = target @ target_weight.T + target_bias`` of the teacher.
    Gradient: ``G @ linear_weight`` for `input` and ``G.T @ input`` for `linear_weight` with
        ``G = -(t / |t| - cos(z, t) * z / |z|) / |z|``, 0 for scores of zeros; the sum of G over the rows for
        `linear_bias`, on request. The teacher has none.
    Domain: any real numbers.
    Source: Hsu et al. (2024), Liger kernel: efficient Triton kernels for LLM training.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _COSINE(
        input,
        linear_weight,
        linear_bias,
        compared=(target, target_weight, target_bias),
        label=labels,
        ignore_index=ignore_index,
    )
