"""Losses of embeddings compared row by row: pairs, triplets, quadruplets, centres."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._batch import Later, ScorePairs
from ._composition import Given, Part, Plan, composed, composition_of_a_batch, given
from ._core_kernels import kernels, pair_kernels
from ._loss import Result, elementwise, pairs
from ._validation import as_array, choice, finite, non_negative, one_of, spread
from ._validation import positive as _positive
from .activation import softmax
from .ranking import bpr_loss

__all__ = [
    "center_loss",
    "contrastive_loss",
    "cosine_distance",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cosine_similarity_loss",
    "margin_mse_loss",
    "online_contrastive_loss",
    "pairwise_distance",
    "quadruplet_loss",
    "self_adversarial_negative_sampling_loss",
    "siamese_score_triplet_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "updated_centers",
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
    similar = one_of("similar_label", similar_label, (0, 1))
    return pair_kernels.contrastive(
        x1,
        x2,
        target,
        margin=finite("margin", margin),
        positive_margin=finite("positive_margin", positive_margin),
        similar_label=similar,
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


def updated_centers(input: ArrayLike, centers: ArrayLike, target: ArrayLike, *, rate: float = 0.5) -> Any:
    """The update of centres that comes with the centre loss: each moves towards the mean of its class in the batch.

    ``centers[k] - rate * sum(centers[k] - x for x of class k) / (1 + number of them)``.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    centers : array_like
        One centre per class, in rows.
    target : array_like of int
        Class indices, one per embedding.
    rate : float, default 0.5
        How far centres move, between 0 and 1.

    Returns
    -------
    ndarray
        New centres.
    """
    pull = center_loss.grad(input, centers, target, wrt="centers", reduction="sum", scale=0.5)
    old = np.asarray(centers)
    counts = np.bincount(np.asarray(target).ravel(), minlength=len(old))
    return old - finite("rate", rate) * (pull / (1.0 + counts)[:, None]).astype(old.dtype, copy=False)


@pairs(trains=("x1", "x2"), aliases=("OnlineContrastiveLoss", "hard pair contrastive loss"))
def online_contrastive_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.5,
    similar_label: int = 1,
    distance: str = "cosine",
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "sum",
) -> Result:
    """Contrastive loss of the hard pairs of a batch alone.

    Formula: ``d**2`` of the similar pairs whose distance is above the smallest of the dissimilar ones, and
        ``max(0, margin - d)**2`` of the dissimilar pairs whose distance is below the largest of the similar ones; where
        there are no pairs of the other kind their mean distance takes the place of the extreme.
    Gradient: that of `contrastive_loss` for those pairs, else 0; the choice of pairs, in which those of weight 0 take
        part, is not differentiated. Evaluation in chunks chooses within each chunk.
    Domain: any real vectors; `target` 0 or 1.
    Source: Reimers and Gurevych (2019), Sentence-BERT.

    Parameters
    ----------
    x1 : array_like
        Embeddings along the last axis.
    x2 : array_like
        The embeddings they are compared with, broadcast to the shape of `x1`.
    target : array_like
        Labels, one per row.
    margin : float, default 0.5
        Distance beyond which a dissimilar pair costs nothing.
    similar_label : int, default 1
        The label of similar pairs, 0 or 1.
    distance : {"lp", "cosine"}, default "cosine"
        The Euclidean distance, or one minus the cosine.
    {common}
    """
    similar = one_of("similar_label", similar_label, (0, 1))
    hard = None
    if choice("distance", distance, ("lp", "cosine")) == "cosine":
        measured = cosine_distance.bind(axis=axis)
    else:
        measured = pairwise_distance.bind(axis=axis, eps=0.0)
    if np.ndim(x1):
        distances = np.asarray(measured(x1, x2))
        hard = _hard(distances, spread("target", as_array("target", target), distances.shape) == similar)
    return pair_kernels.contrastive(
        x1,
        x2,
        target,
        weight=hard,
        margin=finite("margin", margin),
        positive_margin=0.0,
        similar_label=similar,
        scale=1.0,
        power=2.0,
        axis=axis,
        **_distance(distance, 2.0, 0.0),
    )


def _hard(distances: Any, similar: Any) -> Any:
    """The pairs that are on the wrong side of one of the other kind, as a mask."""
    near, far = distances[similar], distances[~similar]
    farthest = np.fmax.reduce(near) if near.size > 1 else far.mean() if far.size else 0.0
    nearest = np.fmin.reduce(far) if far.size > 1 else near.mean() if near.size else 0.0
    return np.where(similar, distances > nearest, distances < farthest) | np.isnan(distances)


@elementwise(trains=("positive_distance", "negative_distance"), aliases=("triplet loss of distances",))
def triplet_margin_with_distance_loss(
    positive_distance: ArrayLike,
    negative_distance: ArrayLike,
    *,
    swap_distance: ArrayLike | None = None,
    margin: float = 1.0,
    soft_margin: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Triplet loss of distances that have been computed already, by whatever means.

    Formula: ``max(0, p - n + margin)`` with ``p`` and ``n`` the distances to the positive and to the negative;
        with `swap_distance`, between positive and negative, ``n`` is the smaller of the two; with `soft_margin` it is
        ``log(1 + exp(p - n))``.
    Gradient: 1 for `positive_distance` and -1 for the distance that counts where the loss is positive, else 0 (at the
        kink, too); ``sigmoid(p - n)`` with `soft_margin`.
    Domain: any real distances; knowledge graphs rank the distances of TransE, ``norm(head + relation - tail)``, so.
    Source: Schroff, Kalenichenko and Philbin (2015), FaceNet; Bordes et al. (2013), Translating embeddings for modeling
        multi-relational data.

    Parameters
    ----------
    positive_distance : array_like
        Distances between anchor and positive, any shape.
    negative_distance : array_like
        Distances between anchor and negative, broadcast to the shape of `positive_distance`.
    swap_distance : array_like, optional
        Distances between positive and negative, broadcast likewise.
    margin : float, default 1.0
        By how much the positive should be nearer; must be positive. Not used with `soft_margin`.
    soft_margin : bool, default False
        Softplus in place of the hinge.
    {common}
    """
    return kernels.distance_triplet(
        positive_distance,
        negative_distance,
        math.inf if swap_distance is None else swap_distance,
        margin=_positive("margin", margin),
        soft=float(soft_margin),
    )


def _weights(name: str, value: ArrayLike | None, scores: Given) -> Any:
    """Weights of scores, flat, in double precision."""
    if value is None:
        return np.ones(scores.array.size)
    weights = as_array(name, value).astype(np.float64)
    if weights.shape != scores.array.shape:
        raise ValueError(f"{name} has shape {weights.shape}, expected {scores.array.shape}")
    if not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise ValueError(f"{name} is negative or not finite")
    return weights.ravel()


@composition_of_a_batch(trains=("positive", "negative"), aliases=("triplet loss in siamese network", "all score pairs"))
def siamese_score_triplet_loss(
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    positive_weight: ArrayLike | None = None,
    negative_weight: ArrayLike | None = None,
) -> Result:
    """Logistic loss of all pairs of a positive and a negative score; no array of all pairs is made.

    Formula: ``sum(w_i * v_j * log(1 + exp(n_j - p_i))) / (sum(w) * sum(v))`` over all pairs of positive scores ``p``
        with weights ``w`` and negative scores ``n`` with weights ``v``.
    Gradient: ``-w_i * sum_j(v_j * sigmoid(n_j - p_i)) / (sum(w) * sum(v))`` for `positive`, likewise for `negative`.
    Domain: any real scores. A score of weight 0 does not count.
    Source: Dong and Shen (2018), Triplet loss in siamese network for object tracking.

    Parameters
    ----------
    positive : array_like
        Scores that should be high, any shape.
    negative : array_like
        Scores that should be low, any shape.
    positive_weight : array_like, optional
        Weights of the positive scores, in their shape.
    negative_weight : array_like, optional
        Weights of the negative scores, in their shape.
    {common}
    """
    high, low = given("positive", positive), given("negative", negative)

    def weighted() -> Plan:
        weights = (("positive_weight", positive_weight, high), ("negative_weight", negative_weight, low))
        return ScorePairs(high, low, *(_weights(*each) for each in weights))

    return composed(Later(weighted), positive=high, negative=low)


@composition_of_a_batch(
    trains=("positive_distance", "negative_distance"), aliases=("RotatE loss", "self-adversarial negative sampling")
)
def self_adversarial_negative_sampling_loss(
    positive_distance: ArrayLike, negative_distance: ArrayLike, *, gamma: float = 12.0, temperature: float = 1.0
) -> Result:
    """Self-adversarial negative sampling of knowledge graphs: hard negatives count most.

    Formula: the mean over rows of ``softplus(p - gamma) + sum(w * softplus(gamma - n))`` with ``p`` the distance of the
        positive triple, ``n`` those of the negative ones and ``w = softmax(-temperature * n)`` among them.
    Gradient: ``sigmoid(p - gamma) / N`` and ``-w * sigmoid(gamma - n) / N``; ``w`` is not differentiated.
    Domain: any real distances.
    Source: Sun et al. (2019), RotatE: knowledge graph embedding by relational rotation in complex space.

    Parameters
    ----------
    positive_distance : array_like
        Distances of the positive triples ``[N]``.
    negative_distance : array_like
        Distances of the negative triples ``[N, K]``.
    gamma : float, default 12.0
        Margin.
    temperature : float, default 1.0
        Sharpness of the weights; 0 weighs all negatives alike.
    {common}
    """
    near, far = given("positive_distance", positive_distance), given("negative_distance", negative_distance)
    margin, sharpness = finite("gamma", gamma), non_negative("temperature", temperature)

    def weighted() -> Plan:
        if far.array.ndim == 0 or far.array.shape[:-1] != near.array.shape:
            raise ValueError(
                f"negative_distance has shape {far.array.shape}, expected {near.array.shape} and one more axis"
            )
        wide = far.array.astype(np.float64)
        shares = softmax(-sharpness * np.where(np.isnan(wide), 0.0, wide), axis=-1)  # the loss itself is NaN there
        return Part(
            bpr_loss, (far, margin), 1.0 / max(near.array.size, 1), {"reduction": "sum", "sample_weight": shares}
        )

    edge = Given("", np.full(near.array.shape, margin))
    return composed(Part(bpr_loss, (edge, near)), Later(weighted), positive_distance=near, negative_distance=far)
