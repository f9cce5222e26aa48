"""Losses that order scores: pairs, distances, area under the ROC curve."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise
from ._validation import finite, in_range

__all__ = ["aucm_loss", "bpr_loss", "hinge_embedding_loss", "margin_ranking_loss"]


@elementwise(aliases=("embedding hinge",))
def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Hinge embedding loss of distances: similar pairs pulled together, dissimilar ones pushed past a margin.

    Formula: ``x`` where ``target == 1``, ``max(0, margin - x)`` where ``target == -1``, with ``x = input``; the sum of
        both for any other target, as in PyTorch.
    Gradient: 1 where ``target == 1``; -1 where ``target == -1`` and ``x < margin``, else 0 (at the kink, too).
    Domain: any real `input`; `target` -1 or 1.
    Source: Hadsell, Chopra and LeCun (2006), Dimensionality reduction by learning an invariant mapping.

    Parameters
    ----------
    input : array_like
        Distances, any shape.
    target : array_like
        1 for similar pairs and -1 for dissimilar ones, broadcast to the shape of `input`.
    margin : float, default 1.0
        Distance beyond which a dissimilar pair costs nothing.
    {common}
    """
    return kernels.hinge_embedding(input, target, margin=finite("margin", margin))


@elementwise(trains=("input1", "input2"), aliases=("pairwise hinge", "TransE loss"))
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Margin ranking loss: a hinge on the difference of two scores.

    Formula: ``max(0, margin - target * (input1 - input2))``.
    Gradient: ``-target`` for `input1` and ``target`` for `input2` where the loss is positive, else 0.
    Domain: any real inputs; `target` 1 if `input1` should rank higher, -1 if `input2` should.
    Source: Herbrich, Graepel and Obermayer (2000), Large margin rank boundaries for ordinal regression.

    Parameters
    ----------
    input1 : array_like
        Scores of the first items, any shape.
    input2 : array_like
        Scores of the second items, broadcast to the shape of `input1`.
    target : array_like
        1 or -1, broadcast to the shape of `input1`.
    margin : float, default 0.0
        Difference beyond which a pair costs nothing.
    {common}
    """
    return kernels.margin_ranking(input1, input2, target, margin=finite("margin", margin))


@elementwise(
    trains=("positive", "negative"),
    aliases=("Bayesian personalized ranking", "pairwise logistic loss", "RankNet pair", "Bradley-Terry"),
)
def bpr_loss(
    positive: ArrayLike, negative: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Bayesian personalised ranking: logistic loss of the difference of two scores.

    Formula: ``log(1 + exp(-d))`` with ``d = positive - negative``.
    Gradient: ``-sigmoid(-d)`` for `positive`, ``sigmoid(-d)`` for `negative`.
    Hessian: ``sigmoid(d) * sigmoid(-d)``.
    Domain: any real inputs.
    Source: Rendle et al. (2009), BPR: Bayesian personalized ranking from implicit feedback.

    Parameters
    ----------
    positive : array_like
        Scores of the items that should rank higher, any shape.
    negative : array_like
        Scores of the others, broadcast to the shape of `positive`.
    {common}
    """
    return kernels.bpr(positive, negative)


@elementwise(trains=("input", "a", "b", "alpha"), aliases=("AUC margin loss", "AUC maximization"))
def aucm_loss(
    input: ArrayLike,
    target: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    alpha: ArrayLike,
    *,
    pos_rate: float = 0.5,
    margin: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """AUC margin loss: the mean over samples is a min-max surrogate of the area under the ROC curve.

    Minimise over the model, `a` and `b`; maximise over `alpha`.

    Formula: ``(1 - p) * t * (x - a)**2 + p * (1 - t) * (x - b)**2 + 2 * alpha * (p * (1 - p) * margin
        + p * (1 - t) * x - (1 - p) * t * x) - p * (1 - p) * alpha**2`` with ``x = input``, ``t = target`` and
        ``p = pos_rate``.
    Gradient: of the formula, for `input`, `a`, `b` and `alpha`.
    Hessian: ``2 * ((1 - p) * t + p * (1 - t))`` in `input`.
    Domain: any real `input`; `target` 0 or 1.
    Source: Yuan et al. (2021), Large-scale robust deep AUC maximization.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels 0 or 1, broadcast to the shape of `input`.
    a, b : array_like
        Learned mean scores of the positives and of the negatives, broadcast to the shape of `input`.
    alpha : array_like
        Learned dual variable, broadcast to the shape of `input`.
    pos_rate : float, default 0.5
        Share of positives in the training set.
    margin : float, default 1.0
        Wanted difference between the mean scores.
    {common}
    """
    return kernels.aucm(
        input, target, a, b, alpha, margin=finite("margin", margin), pos_rate=in_range("pos_rate", pos_rate, 0.0, 1.0)
    )
