"""Losses of embeddings compared row by row: pairs, triplets, quadruplets, centres."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from ._core_kernels import pair_kernels
from ._loss import Result, pairs
from ._validation import choice, finite, non_negative
from ._validation import positive as _positive

__all__ = [
    "center_loss",
    "contrastive_loss",
    "cosine_distance",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cosine_similarity_loss",
    "margin_mse_loss",
    "pairwise_distance",
    "quadruplet_loss",
    "triplet_margin_loss",
]

_COSINE_EPS = 1e-8


def _norm(p: float, eps: float, *, squared: bool = False) -> dict[str, Any]:
    """How the kernels measure the p-norm of a difference."""
    order, shift = _positive("p", p), finite("eps", eps)
    if squared:
        if order != 2.0:
            raise ValueError(f"squared needs p = 2, got {order}")
        return {"measure": "squared_l2", "eps": 0.0}
    name = {1.0: "l1", 2.0: "l2", math.inf: "linf"}.get(order, "lp")
    return {"measure": name, "p": order, "eps": shift}


def _distance(distance: str, p: float, eps: float, *, squared: bool = False) -> dict[str, Any]:
    if choice("distance", distance, ("lp", "cosine", "dot")) == "lp":
        return _norm(p, eps, squared=squared)
    if squared:
        raise ValueError(f"squared needs distance 'lp', got {distance!r}")
    return {"measure": {"cosine": "cosine_distance", "dot": "negative_dot"}[distance], "eps": _COSINE_EPS}


@pairs(trains=("x1", "x2"), aliases=("Euclidean distance", "Lp distance", "Minkowski distance"))
def pairwise_distance(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    p: float = 2.0,
    eps: float = 1e-6,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """Distance between paired vectors: the p-norm of their difference.

    Formula: ``sum(abs(u)**p)**(1 / p)`` with ``u = x1 - x2 + eps``, eps being added to every component.
    Gradient: ``sign(u) * (abs(u) / d)**(p - 1)`` for `x1`, with ``d`` the distance, and its negative for `x2`; 0 where
        ``u`` is. For ``p = inf`` it is shared by the largest components.
    Domain: any real vectors; ``p > 0``.
    Source: Minkowski (1910), Geometrie der Zahlen; the shift by `eps` is PyTorch's.

    Parameters
    ----------
    x1 : array_like
        Vectors along the last axis.
    x2 : array_like
        The vectors they are compared with, broadcast to the shape of `x1`.
    p : float, default 2.0
        Order of the norm: positive, may be infinite.
    eps : float, default 1e-6
        Added to every component of the difference; 0 for the distance itself.
    {common}
    """
    return pair_kernels.pair_value(x1, x2, scale=1.0, power=1.0, axis=axis, **_norm(p, eps))


@pairs(trains=("x1", "x2"))
def cosine_similarity(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    eps: float = 1e-8,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """Cosine of the angle between paired vectors.

    Formula: ``dot(x1, x2) / (max(norm(x1), eps) * max(norm(x2), eps))``, 0 where a norm is 0.
    Gradient: ``(x2 / norm(x2) - cos * x1 / norm(x1)) / norm(x1)`` for `x1`, likewise for `x2`; 0 for a vector shorter
        than `eps`.
    Domain: any real vectors.
    Source: Salton and McGill (1983), Introduction to modern information retrieval.

    Parameters
    ----------
    x1 : array_like
        Vectors along the last axis.
    x2 : array_like
        The vectors they are compared with, broadcast to the shape of `x1`.
    eps : float, default 1e-8
        Norms below it count as `eps`.
    {common}
    """
    eps = non_negative("eps", eps)
    return pair_kernels.pair_value(x1, x2, scale=1.0, power=1.0, axis=axis, measure="cosine", eps=eps)


@pairs(trains=("x1", "x2"), aliases=("cosine proximity",))
def cosine_distance(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    eps: float = 1e-8,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """One minus the cosine of the angle between paired vectors, exact for vectors that nearly agree, too.

    Formula: ``1 - dot(x1, x2) / (max(norm(x1), eps) * max(norm(x2), eps))``; computed as
        ``norm(x1 - x2 * norm(x1) / norm(x2))**2 / (2 * norm(x1)**2)`` where it is small.
    Gradient: ``(cos * x1 / norm(x1) - x2 / norm(x2)) / norm(x1)`` for `x1`, likewise for `x2`; 0 for a vector shorter
        than `eps`.
    Domain: any real vectors.
    Source: Salton and McGill (1983), Introduction to modern information retrieval.

    Parameters
    ----------
    x1 : array_like
        Vectors along the last axis.
    x2 : array_like
        The vectors they are compared with, broadcast to the shape of `x1`.
    eps : float, default 1e-8
        Norms below it count as `eps`.
    {common}
    """
    eps = non_negative("eps", eps)
    return pair_kernels.pair_value(x1, x2, scale=1.0, power=1.0, axis=axis, measure="cosine_distance", eps=eps)


@pairs(trains=("x1", "x2"), aliases=("CosineSimilarityLoss", "cosine regression"))
def cosine_similarity_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    target: ArrayLike,
    *,
    eps: float = 1e-8,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared error of the cosine of paired vectors against a target.

    Formula: ``(cos - target)**2`` with ``cos`` as in `cosine_similarity`.
    Gradient: ``2 * (cos - target)`` times that of `cosine_similarity`; ``-2 * (cos - target)`` for `target`.
    Domain: any real vectors; `target` in [-1, 1].
    Source: Reimers and Gurevych (2019), Sentence-BERT.

    Parameters
    ----------
    x1 : array_like
        Embeddings along the last axis.
    x2 : array_like
        The embeddings they are compared with, broadcast to the shape of `x1`.
    target : array_like
        Wanted cosines, one per row.
    eps : float, default 1e-8
        Norms below it count as `eps`.
    {common}
    """
    return pair_kernels.pair_regression(x1, x2, target, axis=axis, measure="cosine", eps=non_negative("eps", eps))


@pairs(trains=("input1", "input2"))
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.0,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cosine embedding loss: similar pairs turned together, dissimilar ones until their cosine is below a margin.

    Formula: ``1 - cos`` where ``target == 1``, ``max(0, cos - margin)`` where ``target == -1``, else 0.
    Gradient: that of ``-cos`` or, where the hinge is positive, of ``cos``; 0 for zero vectors, whose cosine is 0.
    Domain: any real vectors; `target` 1 or -1.
    Source: Paszke et al. (2019), PyTorch; norms are exact here instead of shifted by 1e-12.

    Parameters
    ----------
    input1 : array_like
        Embeddings along the last axis.
    input2 : array_like
        The embeddings they are compared with, broadcast to the shape of `input1`.
    target : array_like
        1 for similar pairs and -1 for dissimilar ones, one per row.
    margin : float, default 0.0
        Cosine below which a dissimilar pair costs nothing.
    {common}
    """
    return pair_kernels.cosine_embedding(
        input1, input2, target, margin=finite("margin", margin), axis=axis, measure="cosine_distance"
    )


@pairs(trains=("x1", "x2"), aliases=("siamese loss", "Hadsell loss"))
def contrastive_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 1.0,
    similar_label: int = 0,
    scale: float = 0.5,
    squared: bool = True,
    distance: str = "lp",
    positive_margin: float = 0.0,
    p: float = 2.0,
    eps: float = 0.0,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Contrastive loss: similar pairs pulled together, dissimilar ones pushed past a margin.

    Formula: ``scale * ((1 - t) * max(0, d - positive_margin)**2 + t * max(0, margin - d)**2)`` with ``d`` the distance
        and ``t = target``, 0 for similar pairs and 1 for dissimilar ones (the other way round for
        ``similar_label=1``); without the squares for ``squared=False``.
    Gradient: for `x1`, ``(1 - t) * (x1 - x2)`` and, where ``d < margin``, ``-t * (margin - d) / d * (x1 - x2)``, by
        default; the negative for `x2`. 0 where ``d`` is 0, and at the kinks.
    Domain: any real vectors; `target` 0 or 1, or between them.
    Source: Hadsell, Chopra and LeCun (2006), Dimensionality reduction by learning an invariant mapping.

    Parameters
    ----------
    x1 : array_like
        Embeddings along the last axis.
    x2 : array_like
        The embeddings they are compared with, broadcast to the shape of `x1`.
    target : array_like
        Labels, one per row.
    margin : float, default 1.0
        Distance beyond which a dissimilar pair costs nothing.
    similar_label : int, default 0
        The label of similar pairs, 0 or 1.
    scale : float, default 0.5
        Factor of the loss.
    squared : bool, default True
        Whether what exceeds or lacks the margin is squared.
    distance : {"lp", "cosine", "dot"}, default "lp"
        The p-norm of the difference, one minus the cosine, or minus the dot product.
    positive_margin : float, default 0.0
        Distance within which a similar pair costs nothing.
    p : float, default 2.0
        Order of the norm: positive, may be infinite.
    eps : float, default 0.0
        Added to every component of the difference.
    {common}
    """
    if similar_label not in (0, 1):
        raise ValueError(f"similar_label must be 0 or 1, got {similar_label!r}")
    return pair_kernels.contrastive(
        x1,
        x2,
        target,
        margin=finite("margin", margin),
        positive_margin=finite("positive_margin", positive_margin),
        similar_label=float(similar_label),
        scale=_positive("scale", scale),
        power=2.0 if squared else 1.0,
        axis=axis,
        **_distance(distance, p, eps),
    )


@pairs(trains=("anchor", "positive", "negative"), aliases=("triplet loss", "FaceNet loss"))
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    squared: bool = False,
    soft_margin: bool = False,
    distance: str = "lp",
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Triplet loss: the positive nearer to the anchor than the negative by a margin.

    Formula: ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``; with `swap`, the distance to the negative
        is the smaller of ``d(anchor, negative)`` and ``d(positive, negative)``; with `soft_margin` it is
        ``log(1 + exp(d(anchor, positive) - d(anchor, negative)))``.
    Gradient: that of the distances where the loss is positive, else 0 (at the kink, too); 0 where a distance is. Equal
        distances of `swap` leave the negative to the anchor.
    Domain: any real vectors.
    Source: Schroff, Kalenichenko and Philbin (2015), FaceNet; Balntas et al. (2016) for `swap`; Hermans, Beyer and
        Leibe (2017) for the soft margin.

    Parameters
    ----------
    anchor : array_like
        Embeddings along the last axis.
    positive : array_like
        Embeddings that should be near, broadcast to the shape of `anchor`.
    negative : array_like
        Embeddings that should be far, broadcast to the shape of `anchor`.
    margin : float, default 1.0
        By how much the positive should be nearer; must be positive. Not used with `soft_margin`.
    p : float, default 2.0
        Order of the norm: positive, may be infinite.
    eps : float, default 1e-6
        Added to every component of a difference, unless the distance is squared.
    swap : bool, default False
        Whether the distance between positive and negative counts, too.
    squared : bool, default False
        Squared Euclidean distances, as in FaceNet.
    soft_margin : bool, default False
        Softplus in place of the hinge.
    distance : {"lp", "cosine", "dot"}, default "lp"
        The p-norm of the difference, one minus the cosine, or minus the dot product.
    {common}
    """
    kernel = pair_kernels.triplet_swap if swap else pair_kernels.triplet
    return kernel(
        anchor,
        positive,
        negative,
        margin=_positive("margin", margin),
        soft=float(soft_margin),
        axis=axis,
        **_distance(distance, p, eps, squared=squared),
    )


@pairs(trains=("anchor", "positive", "negative1", "negative2"))
def quadruplet_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative1: ArrayLike,
    negative2: ArrayLike,
    *,
    margin1: float = 1.0,
    margin2: float = 0.5,
    squared: bool = True,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Quadruplet loss: a triplet loss, and the positive pair nearer than any two negatives by a margin.

    Formula: ``max(0, d(anchor, positive) - d(anchor, negative1) + margin1)
        + max(0, d(anchor, positive) - d(negative1, negative2) + margin2)`` with ``d`` the squared Euclidean distance.
    Gradient: that of the distances in each hinge that is positive, else 0 (at the kink, too).
    Domain: any real vectors.
    Source: Chen et al. (2017), Beyond triplet loss: a deep quadruplet network for person re-identification.

    Parameters
    ----------
    anchor : array_like
        Embeddings along the last axis.
    positive : array_like
        Embeddings of the same class, broadcast to the shape of `anchor`.
    negative1 : array_like
        Embeddings of another class, broadcast to the shape of `anchor`.
    negative2 : array_like
        Embeddings of a third class, broadcast to the shape of `anchor`.
    margin1 : float, default 1.0
        Margin of the first hinge.
    margin2 : float, default 0.5
        Margin of the second.
    squared : bool, default True
        Whether distances are squared.
    {common}
    """
    return pair_kernels.quadruplet(
        anchor,
        positive,
        negative1,
        negative2,
        margin1=finite("margin1", margin1),
        margin2=finite("margin2", margin2),
        axis=axis,
        measure="squared_l2" if squared else "l2",
    )


@pairs(trains=("query", "positive", "negative"), aliases=("MarginMSE", "margin distillation"))
def margin_mse_loss(
    query: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    target: ArrayLike,
    *,
    similarity: str = "dot",
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared error of a margin between scores against that of a teacher.

    Formula: ``(s(query, positive) - s(query, negative) - target)**2`` with ``s`` the dot product or the cosine.
    Gradient: with ``r`` the error and dot products, ``2 * r * (positive - negative)`` for `query`,
        ``2 * r * query`` for `positive`, the negative of it for `negative`, and ``-2 * r`` for `target`.
    Domain: any real vectors.
    Source: Hofstaetter et al. (2020), Improving efficient neural ranking models with cross-architecture knowledge
        distillation.

    Parameters
    ----------
    query : array_like
        Embeddings along the last axis.
    positive : array_like
        Embeddings of relevant passages, broadcast to the shape of `query`.
    negative : array_like
        Embeddings of other passages, broadcast to the shape of `query`.
    target : array_like
        Margins of the teacher, one per row.
    similarity : {"dot", "cosine"}, default "dot"
        How a query and a passage are scored.
    {common}
    """
    measure = choice("similarity", similarity, ("dot", "cosine"))
    return pair_kernels.margin_mse(query, positive, negative, target, axis=axis, measure=measure, eps=_COSINE_EPS)


@pairs(trains=("input", "centers"), aliases=("centre loss",))
def center_loss(
    input: ArrayLike,
    centers: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 0.5,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Centre loss: squared distance of embeddings from the centre of their class.

    Formula: ``scale * sum((input - centers[target])**2)`` along the last axis; the paper sums over the rows.
    Gradient: ``2 * scale * (input - centers[target])`` for `input`; for a centre minus the sum of it over the rows of
        its class.
    Domain: any real vectors; `target` in [0, number of centres).
    Source: Wen et al. (2016), A discriminative feature learning approach for deep face recognition.

    Parameters
    ----------
    input : array_like
        Embeddings along the last axis.
    centers : array_like
        One centre per class, in rows.
    target : array_like of int
        Class indices, one per embedding.
    scale : float, default 0.5
        Factor of the loss.
    {common}
    """
    return pair_kernels.center(
        input, centers, label=target, scale=_positive("scale", scale), axis=axis, measure="squared_l2"
    )
