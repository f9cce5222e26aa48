"""Miners: which pairs and triplets of a labelled batch to train on, as arrays of indices.

They go with losses of paired vectors: ``triplet_margin_loss(x[anchor], x[positive], x[negative])``. The mined triplet
losses of this package choose theirs by themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._loss import Array
from ._validation import as_array, choice, finite, flag
from .activation import l2_normalize

__all__ = [
    "all_triplets",
    "batch_hard_miner",
    "multi_similarity_miner",
    "semi_hard_miner",
    "triplet_margin_miner",
]

Triplets: TypeAlias = tuple[Array, Array, Array]
Pairs: TypeAlias = tuple[Array, Array, Array, Array]
Miner = TypeVar("Miner", bound=Callable[..., Any])

_BLOCK = 256  # anchors whose distances to all others are in memory at a time
_DISTANCES = ("euclidean", "sqeuclidean", "cosine")
_KINDS: dict[str, Callable[[Array, float], Any]] = {
    "all": lambda gap, margin: gap <= margin,
    "hard": lambda gap, margin: (gap <= margin) & (gap <= 0.0),
    "semi_hard": lambda gap, margin: (gap <= margin) & (gap > 0.0),
    "easy": lambda gap, margin: gap > margin,
}


_BATCH = """\
input : array_like
    Embeddings ``[N, D]``.
target : array_like
    Classes ``[N]``."""
_BETWEEN = """\
distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
    Between two embeddings; "cosine" is 1 minus the cosine.
normalize : bool, default {default}
    Divide embeddings by their lengths."""


def _documented(miner: Miner) -> Miner:
    """Put in what miners say alike of their arguments."""
    normalize = inspect.signature(miner).parameters.get("normalize")
    between = _BETWEEN.replace("{default}", str(normalize.default if normalize else ""))
    text = inspect.cleandoc(miner.__doc__ or "")
    miner.__doc__ = text.replace("{batch}", _BATCH).replace("{distances}", between)
    return miner


def _batch(name: str, input: Any, target: Any) -> tuple[Array, Array]:
    """Vectors in double precision and their labels."""
    x = as_array("input", input)
    if x.ndim != 2:
        raise ValueError(f"{name}: input has shape {x.shape}, expected [N, D]")
    return x.astype(np.float64, copy=False), _labels(name, target, len(x))


def _labels(name: str, target: Any, count: int | None = None) -> Array:
    labels = as_array("target", target)
    if labels.ndim != 1 or count not in (None, len(labels)):
        expected = "[N]" if count is None else f"one number per vector: ({count},)"
        raise ValueError(f"{name}: target has shape {labels.shape}, expected {expected}")
    return labels


def _products(x: Array) -> Iterator[tuple[slice, Array]]:
    """A block of rows, and their products with all vectors."""
    for begin in range(0, len(x), _BLOCK):
        rows = slice(begin, min(begin + _BLOCK, len(x)))
        out = np.empty((rows.stop - begin, len(x)))
        _core.gemm(x[rows], x.T, out, 1.0, False, 0)
        yield rows, out


def _distances(x: Array, distance: str, normalize: bool) -> Iterator[tuple[int, Array]]:
    """An anchor after the other, and its distances from all vectors."""
    flag("normalize", normalize)
    if choice("distance", distance, _DISTANCES) == "cosine":
        for rows, cosines in _products(np.asarray(l2_normalize(x))):
            yield from zip(range(rows.start, rows.stop), 1.0 - cosines, strict=True)
        return
    x = np.asarray(l2_normalize(x)) if normalize else x
    x = x - x.mean(0) if len(x) else x  # distances keep their digits far from the origin
    squares = np.einsum("nd,nd->n", x, x)
    for rows, products in _products(x):
        found = np.maximum(squares[rows, None] + squares - 2.0 * products, 0.0)
        found[np.arange(len(found)), np.arange(rows.start, rows.stop)] = 0.0
        yield from zip(range(rows.start, rows.stop), np.sqrt(found) if distance == "euclidean" else found, strict=True)


def _partners(labels: Array, anchor: int) -> tuple[Array, Array]:
    """The indices of the others of its class, and those of other classes."""
    same = labels == labels[anchor]
    (negatives,) = np.nonzero(~same)
    same[anchor] = False
    return np.nonzero(same)[0], negatives


def _joined(parts: list[Any], count: int) -> tuple[Array, ...]:
    columns = zip(*parts, strict=True) if parts else ([np.empty(0, np.intp)],) * count
    return tuple(np.concatenate(column).astype(np.intp, copy=False) for column in columns)


def _with(anchor: int, *indices: Array) -> tuple[Array, ...]:
    return np.full(len(indices[0]), anchor, np.intp), *indices


def all_triplets(target: ArrayLike) -> Triplets:
    """All triplets of an anchor, another vector of its class, and one of another class.

    Parameters
    ----------
    target : array_like
        Classes ``[N]``.

    Returns
    -------
    anchor, positive, negative : ndarray
        Indices, ordered by anchor, positive and negative.
    """
    labels, parts = _labels("all_triplets", target), []
    for anchor in range(len(labels)):
        positives, negatives = _partners(labels, anchor)
        pairs = np.repeat(positives, len(negatives)), np.tile(negatives, len(positives))
        parts.append(_with(anchor, *pairs))
    anchors, positives, negatives = _joined(parts, 3)
    return anchors, positives, negatives


@_documented
def batch_hard_miner(
    input: ArrayLike, target: ArrayLike, *, distance: str = "euclidean", normalize: bool = False
) -> Triplets:
    """The farthest positive and the nearest negative of each anchor that has both.

    Parameters
    ----------
    {batch}
    {distances}

    Returns
    -------
    anchor, positive, negative : ndarray
        Indices, ordered by anchor; of several equally far the first.
    """
    x, labels = _batch("batch_hard_miner", input, target)
    parts = []
    for anchor, far in _distances(x, distance, normalize):
        positives, negatives = _partners(labels, anchor)
        if len(positives) and len(negatives):
            hardest = positives[far[positives].argmax()], negatives[far[negatives].argmin()]
            parts.append(_with(anchor, *(np.array([index]) for index in hardest)))
    anchors, positives, negatives = _joined(parts, 3)
    return anchors, positives, negatives


@_documented
def semi_hard_miner(
    input: ArrayLike, target: ArrayLike, *, distance: str = "euclidean", normalize: bool = False
) -> Triplets:
    """For each anchor and positive the nearest negative that is farther than the positive, else the farthest one.

    Parameters
    ----------
    {batch}
    {distances}

    Returns
    -------
    anchor, positive, negative : ndarray
        Indices, ordered by anchor and positive; of several equally far the first.
    """
    x, labels = _batch("semi_hard_miner", input, target)
    parts = []
    for anchor, far in _distances(x, distance, normalize):
        positives, negatives = _partners(labels, anchor)
        if not len(positives) or not len(negatives):
            continue
        order = negatives[np.argsort(far[negatives], kind="stable")]
        place = np.searchsorted(far[order], far[positives], side="right")
        farthest = np.searchsorted(far[order], far[order[-1]])
        chosen = order[np.where(place < len(order), place, farthest)]
        parts.append(_with(anchor, positives, chosen))
    anchors, positives, negatives = _joined(parts, 3)
    return anchors, positives, negatives


@_documented
def triplet_margin_miner(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.2,
    kind: str = "all",
    distance: str = "euclidean",
    normalize: bool = True,
) -> Triplets:
    """The triplets that violate a margin, or some of them.

    Parameters
    ----------
    {batch}
    margin : float, default 0.2
        By how much a negative should be farther than a positive.
    kind : {"all", "hard", "semi_hard", "easy"}, default "all"
        All that violate the margin, those of them whose negative is not farther than the positive, those whose negative
        is; or those that do not violate it.
    {distances}

    Returns
    -------
    anchor, positive, negative : ndarray
        Indices, ordered by anchor, positive and negative.
    """
    x, labels = _batch("triplet_margin_miner", input, target)
    edge, wanted, parts = finite("margin", margin), _KINDS[choice("kind", kind, _KINDS)], []
    for anchor, far in _distances(x, distance, normalize):
        positives, negatives = _partners(labels, anchor)
        near, beyond = np.nonzero(wanted(far[negatives] - far[positives][:, None], edge))
        parts.append(_with(anchor, positives[near], negatives[beyond]))
    anchors, positives, negatives = _joined(parts, 3)
    return anchors, positives, negatives


@_documented
def multi_similarity_miner(input: ArrayLike, target: ArrayLike, *, eps: float = 0.1) -> Pairs:
    """Pairs that are hard for their anchor: positives less similar than some negative, negatives than some positive.

    Cosines count: positives below that of the most similar negative plus `eps`, and negatives above that of the least
    similar positive minus `eps`, as in the multi-similarity loss of Wang et al. (2019).

    Parameters
    ----------
    {batch}
    eps : float, default 0.1
        The margin of the comparison.

    Returns
    -------
    anchor1, positive, anchor2, negative : ndarray
        Indices of the pairs of a class, and of those of two classes, each ordered by anchor and partner.
    """
    x, labels = _batch("multi_similarity_miner", input, target)
    slack = finite("eps", eps)
    same, other = [], []
    for anchor, far in _distances(x, "cosine", normalize=True):
        positives, negatives = _partners(labels, anchor)
        if len(positives) and len(negatives):
            same.append(_with(anchor, positives[far[positives] + slack > far[negatives].min()]))
            other.append(_with(anchor, negatives[far[negatives] - slack < far[positives].max()]))
    return *_joined(same, 2), *_joined(other, 2)  # type: ignore[return-value]
