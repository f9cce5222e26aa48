"""Divergences between a target distribution and a predicted one, element by element."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise

__all__ = ["generalized_kl_divergence", "kl_div"]


@elementwise(
    aliases=("Kullback-Leibler divergence", "relative entropy", "KLDivLoss"),
    reductions=("none", "mean", "sum", "batchmean"),
)
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kullback-Leibler divergence of predicted log-probabilities from target probabilities.

    The arguments come in PyTorch's order: with ``q = exp(input)`` the sum over a distribution is D(target || q).

    Formula: ``t * (log(t) - input)`` with ``0 * log(0) = 0``; ``exp(t) * (t - input)`` with `log_target`.
    Gradient: ``-t`` (``-exp(t)``) in `input`; ``log(t) - input + 1`` (``exp(t) * (t - input + 1)``) in `target`,
        and 0 where the target probability is 0.
    Domain: `input` is a log-probability, minus infinity allowed; `target` is not negative, NaN below 0; with
        `log_target` any log-probability.
    Source: Kullback and Leibler (1951), On information and sufficiency.

    Parameters
    ----------
    input : array_like
        Predicted log-probabilities, any shape.
    target : array_like
        Probabilities, or their logarithms with `log_target`; broadcast to the shape of `input`.
    log_target : bool, default False
        Whether `target` holds logarithms.
    {common}

    Notes
    -----
    "mean" divides by the number of elements, as in PyTorch; "batchmean" divides the sum by ``len(input)`` and is the
    mean divergence of the rows of a batch.
    """
    return kernels.kl_div(input, target, log_target=float(log_target))


@elementwise(aliases=("I-divergence", "unnormalised Kullback-Leibler divergence"))
def generalized_kl_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kullback-Leibler divergence of positive measures that need not sum to one.

    Formula: ``t * (log(t) - input) + exp(input) - t`` with ``0 * log(0) = 0``.
    Gradient: ``exp(input) - t`` in `input`; ``log(t) - input`` in `target`, 0 at ``t = 0``.
    Hessian: ``exp(input)``.
    Domain: `input` is the logarithm of the prediction, any real number; `target` is not negative, NaN below 0.
    Source: Csiszar (1991), Why least squares and maximum entropy?

    Parameters
    ----------
    input : array_like
        Logarithms of the predictions, any shape.
    target : array_like
        Target values, not logarithms; broadcast to the shape of `input`.
    {common}
    """
    return kernels.generalized_kl(input, target)
