"""Ordered classes: losses that know how far apart two classes are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._core_kernels import kernels, row_kernels
from ._loss import Array, Result, elementwise, rows
from ._validation import as_input

__all__ = ["class_thresholds", "coral_loss", "corn_loss", "cumulative_link_loss", "ranked_probability_score"]


@rows(aliases=("CORAL", "consistent rank logits"))
def coral_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """CORAL loss: binary cross entropies of "the class is above k", one for each threshold.

    Formula: ``sum(weight[k] * softplus(s * z[k]))`` with ``z = input``, ``s = -1`` where ``target > k``, else 1.
    Gradient: ``weight[k] * s * sigmoid(s * z[k])``.
    Domain: any real scores.
    Source: Cao et al. (2020), Rank consistent ordinal regression for neural networks.

    Parameters
    ----------
    input : array_like
        Scores of being above each class but the last: ``[N, K - 1]``, ``[K - 1]``, ``[N, K - 1, d1, ...]``, or with
        the thresholds along `axis`.
    target : array_like
        Class indices from 0 to ``K - 1``, in the shape of `input` without the axis of the thresholds.
    weight : array_like, optional
        One weight per threshold.
    ignore_index : int, default -100
        Rows with this class index count for nothing.
    {common}
    """
    return row_kernels.coral(input, label=target, axis=axis, weight=weight, ignore_index=ignore_index, conditional=0.0)


@rows(aliases=("CORN", "conditional ordinal regression"))
def corn_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """CORN loss: binary cross entropies of "the class is above k, given that it is not below".

    Formula: ``sum(weight[k] * softplus(s * z[k]))`` over ``k <= target``, with ``z = input``, ``s = -1`` where
        ``target > k``, else 1.
    Gradient: ``weight[k] * s * sigmoid(s * z[k])`` for ``k <= target``, else 0.
    Domain: any real scores.
    Source: Shi et al. (2023), Deep neural networks for rank-consistent ordinal regression based on conditional
        probabilities.

    Parameters
    ----------
    input : array_like
        Conditional scores of being above each class but the last: ``[N, K - 1]``, ``[K - 1]``, ``[N, K - 1, d1, ...]``,
        or with the thresholds along `axis`.
    target : array_like
        Class indices from 0 to ``K - 1``, in the shape of `input` without the axis of the thresholds.
    weight : array_like, optional
        One weight per threshold.
    ignore_index : int, default -100
        Rows with this class index count for nothing.
    {common}

    Notes
    -----
    The authors' code divides the sum by the number of pairs of a row and a threshold that count; the mean here divides
    by the number of rows.
    """
    return row_kernels.coral(input, label=target, axis=axis, weight=weight, ignore_index=ignore_index, conditional=1.0)


@rows(aliases=("RPS", "squared earth mover's distance", "EMD squared"))
def ranked_probability_score(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Ranked probability score: squared error of the cumulative softmax of scores.

    Formula: ``sum(d**2)`` with ``d = cumsum(p - [j == y])``, ``p = softmax(input)`` and ``y = target``.
    Gradient: ``p * (a - sum(p * a))`` with ``a[j] = 2 * sum(d[k])`` over ``k >= j``.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Epstein (1969), A scoring system for probability forecasts of ranked categories.

    Parameters
    ----------
    input : array_like
        Scores (logits): ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Class indices in the shape of `input` without the class axis.
    ignore_index : int, default -100
        Rows with this class index count for nothing.
    {common}
    """
    return row_kernels.ranked_probability_score(input, label=target, axis=axis, ignore_index=ignore_index)


@elementwise(
    trains=("input", "lower", "upper"),
    aliases=("proportional odds", "cumulative logit", "ordered logit", "threshold model"),
)
def cumulative_link_loss(
    input: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cumulative link loss: negative log-probability that a logistic variable lies between two thresholds.

    Formula: ``-log(sigmoid(upper - x) - sigmoid(lower - x))`` with ``x = input``, computed without that difference.
    Gradient: ``sigmoid(x - upper) - sigmoid(lower - x)`` in `input`; ``sigmoid(lower - x) + 1 / expm1(upper - lower)``
        in `lower` and ``-sigmoid(x - upper) - 1 / expm1(upper - lower)`` in `upper`.
    Hessian: ``s(lower - x) + s(upper - x)`` with ``s(z) = sigmoid(z) * sigmoid(-z)``.
    Domain: any real `input`; `lower` less than `upper`, infinite at the ends. Infinite where they are equal.
    Source: McCullagh (1980), Regression models for ordinal data.

    Parameters
    ----------
    input : array_like
        Predictions on one scale for all classes, any shape.
    lower, upper : array_like
        Thresholds around the class of each element, broadcast to the shape of `input`; see `class_thresholds`.
    {common}
    """
    return kernels.cumulative_link(input, lower, upper)


def class_thresholds(thresholds: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """The thresholds around the class of each element, for `cumulative_link_loss`.

    Gradients of the thresholds are the sums of those of their copies:
    ``np.bincount(target, lower_grad)[1:] + np.bincount(target, upper_grad)[:-1]`` if every class occurs.

    Parameters
    ----------
    thresholds : array_like
        What separates the classes, ascending: one less than there are classes.
    target : array_like
        Class indices, any shape.

    Returns
    -------
    lower, upper : ndarray
        In the shape of `target` and the dtype of `thresholds`; infinite below the first class and above the last.

    Raises
    ------
    ValueError
        If the thresholds do not ascend.
    IndexError
        If a class index is out of range.
    TypeError
        If an argument is not a real array on the CPU, or `target` not of an integer dtype.
    """
    inner = np.asarray(as_input("class_thresholds", "thresholds", thresholds))
    label = np.asarray(as_input("class_thresholds", "target", target))
    if inner.ndim != 1 or not (inner[1:] > inner[:-1]).all():
        raise ValueError("class_thresholds: thresholds must be one-dimensional and ascend")
    if label.dtype.kind not in "iu":
        raise TypeError(f"class_thresholds: target has dtype {label.dtype}, expected an integer dtype")
    wrong = (label < 0) | (label > inner.size)
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise IndexError(f"class_thresholds: target{list(at)} = {label[at]} is not in [0, {inner.size + 1})")
    dtype = inner.dtype if inner.dtype.kind not in "iub" else np.dtype(np.float64)
    edges = np.concatenate([[-np.inf], inner, [np.inf]]).astype(dtype)
    return edges[label], edges[label.astype(np.int64) + 1]
