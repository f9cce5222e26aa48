"""Losses of class scores that are a linear layer of something: the scores are never all in memory."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from ._core_kernels import SimilarityKernel
from ._loss import Result, similarity
from ._validation import in_range, non_negative, positive

__all__ = ["linear_cross_entropy", "linear_selected_log_prob"]

_LINEAR = {"input": "row", "linear_weight": "column"}
_CROSS_ENTROPY = SimilarityKernel("cross_entropy", _LINEAR, target="target")
_BIASED_CROSS_ENTROPY = SimilarityKernel("cross_entropy", {**_LINEAR, "linear_bias": "bias"}, target="target")
_LOG_PROB = SimilarityKernel("selected_log_prob", _LINEAR, target="target")
_BIASED_LOG_PROB = SimilarityKernel("selected_log_prob", {**_LINEAR, "linear_bias": "bias"}, target="target")


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
    linear_bias : array_like, optional
        Its bias ``[C]``, or one number.
    weight : array_like, optional
        One weight per class. As in PyTorch the mean over class indices divides by the sum of the weights of the
        targets, the mean over class probabilities by the number of rows.
    ignore_index : int, default -100
        Rows with this class index count for nothing.
    label_smoothing : float, default 0.0
        How much of the target is spread over all classes, in [0, 1].
    softcap : float, optional
        Keeps scores within ``(-softcap, softcap)``.
    z_loss : float, default 0.0
        Factor of the squared log-sum-exp, which keeps scores from drifting.
    {common}
    """
    options: dict[str, Any] = {
        "label": target,
        "weight": weight,
        "ignore_index": ignore_index,
        "label_smoothing": in_range("label_smoothing", label_smoothing, 0.0, 1.0),
        "softcap": 0.0 if softcap is None else positive("softcap", softcap),
        "z_loss": non_negative("z_loss", z_loss),
        "divisor": "weights",
    }
    if linear_bias is None:
        return _CROSS_ENTROPY(input, linear_weight, **options)
    return _BIASED_CROSS_ENTROPY(input, linear_weight, linear_bias, **options)


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
    linear_bias : array_like, optional
        Its bias ``[C]``, or one number.
    ignore_index : int, default -100
        Rows with this class index count for nothing.
    {common}

    Notes
    -----
    Preference losses (DPO, CPO, ORPO, SimPO, KTO, GRPO) take sums of it over the tokens of an answer: call it, give the
    sums to the loss, and hand that loss's gradient, repeated for the tokens, to `backward`.
    """
    if linear_bias is None:
        return _LOG_PROB(input, linear_weight, label=target, ignore_index=ignore_index)
    return _BIASED_LOG_PROB(input, linear_weight, linear_bias, label=target, ignore_index=ignore_index)
