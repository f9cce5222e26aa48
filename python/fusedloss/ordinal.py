"""Ordered classes: losses that know how far apart two classes are."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._core_kernels import kernels, row_kernels
from ._loss import Result, elementwise, ordinal, rows, rows_of_logits
from ._thresholds import threshold_kernel

__all__ = [
    "coral_loss",
    "corn_loss",
    "cumulative_link_loss",
    "logistic_interval_loss",
    "ranked_probability_score",
]


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
    Hessian: ``weight[k] * sigmoid(z[k]) * sigmoid(-z[k])``.
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
    Hessian: ``weight[k] * sigmoid(z[k]) * sigmoid(-z[k])`` for ``k <= target``, else 0.
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
    {common}

    Notes
    -----
    As in the paper the mean divides by the number of pairs of a row and a threshold that count: ``target + 1`` for a
    row, and one less for the last class.
    """
    return row_kernels.coral(
        input, label=target, axis=axis, weight=weight, ignore_index=ignore_index, divisor="tasks", conditional=1.0
    )


@rows_of_logits(aliases=("RPS", "squared earth mover's distance", "EMD squared", "squared EMD"))
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

    Formula: ``sum(d**2)`` with ``d = cumsum(p - q)``, ``p = softmax(input)`` and ``q`` the target probabilities (1 at a
        class index).
    Gradient: ``p * (a - sum(p * a))`` with ``a[j] = 2 * sum(d[k])`` over ``k >= j``; ``-a`` in target probabilities.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Epstein (1969), A scoring system for probability forecasts of ranked categories.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return row_kernels.ranked_probability_score(input, label=target, axis=axis, ignore_index=ignore_index)


@ordinal(
    trains=("input", "thresholds"),
    aliases=("proportional odds", "cumulative logit", "ordered logit", "threshold model"),
)
def cumulative_link_loss(
    input: ArrayLike,
    thresholds: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cumulative link loss: negative log-probability of a class that thresholds cut out of a logistic variable.

    Formula: ``-log(sigmoid(upper - x) - sigmoid(lower - x))`` with ``x = input``, ``lower`` and ``upper`` the
        thresholds around the class, infinite at the ends; computed without that difference.
    Gradient: ``sigmoid(x - upper) - sigmoid(lower - x)`` in `input`; in a threshold the sum over the elements
        of the class below it ``-sigmoid(x - t) - 1 / expm1(t - lower)``, and of the class above it
        ``sigmoid(t - x) + 1 / expm1(upper - t)``.
    Hessian: ``s(lower - x) + s(upper - x)`` with ``s(z) = sigmoid(z) * sigmoid(-z)``.
    Domain: any real `input`.
    Source: McCullagh (1980), Regression models for ordinal data.

    Parameters
    ----------
    input : array_like
        Predictions on one scale for all classes, any shape.
    thresholds : array_like
        What separates the classes, ascending: one less than there are classes.
    target : array_like
        Class indices of an integer dtype, broadcast to the shape of `input`.
    {common}

    Notes
    -----
    For `thresholds` that are trained without a constraint, train the first of them and the logarithms of the gaps. For
    bounds that differ from sample to sample see `logistic_interval_loss`.
    """
    return threshold_kernel(input, thresholds, target)


@elementwise(trains=("input", "lower", "upper"), aliases=("interval-censored logistic likelihood",))
def logistic_interval_loss(
    input: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Negative log-probability that a logistic variable lies between two bounds.

    Formula: ``-log(sigmoid(upper - x) - sigmoid(lower - x))`` with ``x = input``, computed without that difference.
    Gradient: ``sigmoid(x - upper) - sigmoid(lower - x)`` in `input`; ``sigmoid(lower - x) + 1 / expm1(upper - lower)``
        in `lower` and ``-sigmoid(x - upper) - 1 / expm1(upper - lower)`` in `upper`.
    Hessian: ``s(lower - x) + s(upper - x)`` with ``s(z) = sigmoid(z) * sigmoid(-z)``.
    Domain: any real `input`; `lower` less than `upper`, infinite where there is no bound. The loss is infinite
        where they are equal.
    Source: McCullagh (1980), Regression models for ordinal data; for intervals Stewart (1983), On least squares
        estimation when the dependent variable is grouped.

    Parameters
    ----------
    input : array_like
        Predictions, any shape.
    lower, upper : array_like
        The bounds, broadcast to the shape of `input`.
    {common}
    """
    return kernels.cumulative_link(input, lower, upper)
