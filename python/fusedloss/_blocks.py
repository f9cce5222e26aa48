"""Plans of losses of the similarities of all pairs of a batch, which see a block of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from . import _core
from ._batch import OfABatch, matrix
from ._composition import Asked, Given, Gradients
from ._loss import Array, Loss
from .activation import l2_normalize

_BLOCK_BYTES = 16 << 20  # of similarities in double precision

Product: TypeAlias = Callable[[Array, Array], Array]


def products(threads: int) -> Product:
    """Products of matrices in double precision, by so many threads."""

    def product(a: Array, b: Array) -> Array:
        out = np.empty((a.shape[0], b.shape[1]))
        _core.gemm(a, b, out, 1.0, False, threads)
        return out

    return product


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Blocks of rows, of which each has so many columns: they depend on sizes alone."""
    step = max(_BLOCK_BYTES // (8 * max(columns, 1)), 1)
    return (slice(begin, min(begin + step, rows)) for begin in range(0, rows, step))


class Directions:
    """Vectors divided by their norms, in double precision, and the gradient in what they have become."""

    def __init__(self, array: Given) -> None:
        self.given = array
        self.vectors = matrix(array).array.astype(np.float64, copy=False)
        self.unit: Array = np.asarray(l2_normalize(self.vectors))
        self.grad = np.zeros_like(self.unit)

    def __len__(self) -> int:
        return len(self.unit)

    def wanted(self, asked: Asked) -> bool:
        """Whether the call asks for the gradient."""
        return bool(self.given.names & asked.wrt)

    def pull(self, scale: float, asked: Asked, into: Gradients) -> None:
        """Hand on the gradient, times a number."""
        if self.wanted(asked):
            self.given.pull(scale * asked.factor * l2_normalize.backward(self.grad, self.vectors), asked, into)


def ranked(
    cross_entropy: Loss[Any], scores: Array, rows: slice, wanted: bool, asked: Asked
) -> tuple[float, Array | None]:
    """The sum over a block of rows, each of which belongs to the column of its number, and the gradient if wanted."""
    label = np.arange(rows.start, rows.stop)
    if not wanted:
        return float(cross_entropy(scores, label, **asked.options("sum", None))), None
    value, grad = cross_entropy.value_and_grad(scores, label, **asked.options("sum", None))
    return float(value), np.asarray(grad)


@dataclass(frozen=True)
class Guided(OfABatch):
    """Cross entropy of the similarities of anchors, less those that a guide finds nearer than the positive."""

    cross_entropy: Loss[Any]
    vectors: tuple[Given, ...]  # anchors, positives, perhaps negatives
    guides: tuple[Given, ...]
    contrasts: tuple[tuple[int, int], ...]  # which of them are rows and columns; first anchors and positives
    temperature: float
    margin: float
    relative: bool

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        product, own = products(asked.threads), [Directions(x) for x in self.vectors]
        guides = [np.asarray(l2_normalize(matrix(x).array.astype(np.float64, copy=False))) for x in self.guides]
        self._check(own, guides)
        count, totals = len(own[0]), list[float]()
        ends = np.cumsum([len(own[column]) for _, column in self.contrasts])
        wanted = any(x.wanted(asked) for x in own)
        for rows in row_blocks(count, 2 * int(ends[-1])):
            scores = self._scores(product, rows, own, guides)
            value, grad = ranked(self.cross_entropy, scores, rows, wanted, asked)
            totals.append(value)
            if grad is None:
                continue
            for (row, column), part in zip(self.contrasts, np.split(grad, ends[:-1], axis=1), strict=True):
                own[row].grad[rows] += product(part, own[column].unit)
                own[column].grad += product(part.T, own[row].unit[rows])
        into: Gradients = {}
        for x in own:
            x.pull(1.0 / (self.temperature * max(count, 1)), asked, into)
        return math.fsum(totals) / count if count else math.nan, into

    def _scores(self, product: Product, rows: slice, own: list[Directions], guides: list[Array]) -> Array:
        """All scores of some anchors; minus infinity where there is none."""
        parts = []
        at = np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)
        limit = np.empty(0)
        for k, (row, column) in enumerate(self.contrasts):
            near = product(guides[row][rows], guides[column].T)
            if k == 0:
                limit = near[at].copy()
                limit = (limit - (abs(limit) if self.relative else 1.0) * self.margin)[:, None]
            drop = near > limit
            if k == 0 or row == column:
                drop[at] = k > 0  # the positive stays, a vector itself never does
            scores = product(own[row].unit[rows], own[column].unit.T)
            parts.append(np.where(drop, -np.inf, scores / self.temperature))
        return np.concatenate(parts, axis=1)

    def _check(self, own: list[Directions], guides: list[Array]) -> None:
        counts = [len(own[0]), len(own[0]), *map(len, own[2:])]
        for vectors, count in zip(own, counts, strict=True):
            if vectors.vectors.shape != (count, own[0].vectors.shape[1]):
                expected = (count, own[0].vectors.shape[1])
                raise ValueError(f"{vectors.given.name} has shape {vectors.vectors.shape}, expected {expected}")
        for guide, array, count in zip(guides, self.guides, counts, strict=True):
            if guide.shape != (count, guides[0].shape[1]):
                raise ValueError(
                    f"{array.name} has shape {guide.shape}, expected {(count, guides[0].shape[1])}: "
                    f"one vector for each of {self.vectors[self.guides.index(array)].name}"
                )


@dataclass(frozen=True)
class LateInteraction(OfABatch):
    """Cross entropy of scores of queries and documents that have a vector for each token."""

    cross_entropy: Loss[Any]
    query: Given
    document: Given
    query_mask: Array | None
    document_mask: Array | None
    scale: float

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        self._check()
        product = products(asked.threads)
        queries, documents = (x.array.astype(np.float64, copy=False) for x in (self.query, self.document))
        (count, tokens, width), others = queries.shape, documents.shape[:2]
        words = np.ascontiguousarray(documents.reshape(-1, width))
        of_queries, of_words, totals = np.zeros(queries.shape), np.zeros(words.shape), list[float]()
        wanted = bool((self.query.names | self.document.names) & asked.wrt)
        for rows in row_blocks(count, 2 * tokens * len(words)):
            own = np.ascontiguousarray(queries[rows].reshape(-1, width))
            near: Array = product(own, words.T).reshape(-1, *others)
            if self.document_mask is not None:
                near[:, ~self.document_mask] = -np.inf
            best = near.argmax(2)[..., None]
            top = np.take_along_axis(near, best, 2)[..., 0]
            if self.query_mask is not None:
                top[~self.query_mask[rows].ravel()] = 0.0
            scores = self.scale * top.reshape(-1, tokens, others[0]).sum(1)
            value, grad = ranked(self.cross_entropy, scores, rows, wanted, asked)
            totals.append(value)
            if grad is None:
                continue
            slopes = np.repeat(grad, tokens, axis=0)
            if self.query_mask is not None:
                slopes[~self.query_mask[rows].ravel()] = 0.0
            chosen = np.zeros_like(near)
            np.put_along_axis(chosen, best, slopes[..., None], 2)
            flat = chosen.reshape(len(own), len(words))
            of_queries[rows] = product(flat, words).reshape(-1, tokens, width)
            of_words += product(flat.T, own)
        into: Gradients = {}
        factor = asked.factor * self.scale / max(count, 1)
        for x, grad in ((self.query, of_queries), (self.document, of_words.reshape(documents.shape))):
            if x.names & asked.wrt:
                x.pull(factor * grad, asked, into)
        return math.fsum(totals) / count if count else math.nan, into

    def _check(self) -> None:
        for x, mask in ((self.query, self.query_mask), (self.document, self.document_mask)):
            if len(x.shape) != 3 or 0 in x.shape[1:] or x.shape[2] != self.query.shape[2]:
                raise ValueError(
                    f"{x.name} has shape {x.shape}, expected [N, L, D] with as many dimensions on both sides"
                )
            if mask is not None and mask.shape != x.shape[:2]:
                raise ValueError(f"{x.name}_mask has shape {mask.shape}, expected {x.shape[:2]}")
        if self.document.shape[0] < self.query.shape[0]:
            raise ValueError(
                f"{self.document.name} has shape {self.document.shape}, expected one document for each of the "
                f"{self.query.shape[0]} of {self.query.name}"
            )


def class_labels(target: Given, count: int) -> Array:
    """One class for each of so many vectors, numbered from 0."""
    labels = target.array
    if labels.shape != (count,):
        raise ValueError(f"{target.name} has shape {labels.shape}, expected one number per vector: ({count},)")
    numbered: Array = np.unique(labels.astype(np.float64), return_inverse=True)[1]
    return numbered.reshape(count)


def class_pairs(labels: Array) -> Iterator[tuple[Array, Array]]:
    """All pairs of the same class, in blocks in which an index stands once on either side."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    for step in range(1, len(labels)):
        same = ordered[step:] == ordered[:-step]
        if not same.any():
            return
        yield order[:-step][same], order[step:][same]


@dataclass(frozen=True)
class AngularPairs(OfABatch):
    """Pairs of a class against the vectors of all others; `rows` has the loss of sums of two vectors."""

    rows: Loss[Any]
    array: Given
    target: Given
    square: float  # of the tangent
    normalize_negatives: bool

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        own = Directions(self.array)
        unit, labels, wanted = own.unit, class_labels(self.target, len(own)), own.wanted(asked)
        others = unit if self.normalize_negatives else own.vectors
        of_others = own.grad if self.normalize_negatives else np.zeros_like(unit)
        totals, pairs, pull_of = list[float](), 0, 2.0 * (1.0 + self.square)
        options = {**asked.options("sum", None), "column_target": labels, "scale": 4.0 * self.square}
        for a, p in class_pairs(labels):
            pairs += len(a)
            pulls = pull_of * np.einsum("nd,nd->n", unit[a], unit[p])
            arguments = unit[a] + unit[p], others, pulls, labels[a]
            if not wanted:
                totals.append(float(self.rows(*arguments, **options)))
                continue
            value, (of_sums, of_columns, of_pulls) = self.rows.value_and_grad(*arguments, **options)
            totals.append(float(value))
            of_others += of_columns
            own.grad[a] += of_sums + (pull_of * of_pulls)[:, None] * unit[p]
            own.grad[p] += of_sums + (pull_of * of_pulls)[:, None] * unit[a]
        into: Gradients = {}
        own.pull(1.0 / max(pairs, 1), asked, into)
        if wanted and not self.normalize_negatives:
            self.array.pull(asked.factor / max(pairs, 1) * of_others, asked, into)
        return math.fsum(totals) / max(pairs, 1), into


@dataclass(frozen=True)
class PairLimits(OfABatch):
    """How far cosines of two classes are above a limit, and those of one class below another: means over the pairs.

    Limits are numbers, and the means are over the pairs beyond them; or they are multiples of the mean cosine of such
    pairs, and the means are of the squares over all of them.
    """

    array: Given
    target: Given
    limits: tuple[float, float]  # of pairs of two classes, and of those of the same
    weights: tuple[float, float]
    of_means: bool

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        product, own = products(asked.threads), Directions(self.array)
        labels, into = class_labels(self.target, len(own)), Gradients()
        if np.isnan(own.unit).any():
            own.grad[:] = math.nan
            own.pull(1.0, asked, into)
            return math.nan, into
        counts, means, of_means = self._means(own.unit, labels)
        limits = np.where(self.of_means, means, 1.0) * self.limits
        totals: tuple[list[float], list[float]] = ([], [])
        grads, beyond, slopes = np.zeros((2, *own.unit.shape)), [0, 0], [0.0, 0.0]
        for rows in row_blocks(len(own), 4 * len(own)):
            cosines = product(own.unit[rows], own.unit.T)
            same = labels[rows][:, None] == labels
            others = np.arange(rows.start, rows.stop)[:, None] != np.arange(len(own))
            for kind, side in enumerate((1.0, -1.0)):
                excess = np.where(others & (same == bool(kind)), side * (cosines - limits[kind]), -1.0)
                beyond[kind] += int(np.count_nonzero(excess >= 0.0))
                excess = np.maximum(excess, 0.0)
                totals[kind].append(float((excess**2 if self.of_means else excess).sum()))
                if own.wanted(asked):
                    slope = side * (2.0 * excess if self.of_means else np.sign(excess))
                    grads[kind, rows] += 2.0 * product(slope, own.unit)
                    slopes[kind] += float(slope.sum())
        value = 0.0
        for kind, weight in enumerate(self.weights):
            many = counts[kind] if self.of_means else beyond[kind]
            if not many:
                continue
            value += weight / many * math.fsum(totals[kind])
            if self.of_means:
                grads[kind] -= self.limits[kind] * slopes[kind] * of_means[kind]
            own.grad += weight / many * grads[kind]
        own.pull(1.0, asked, into)
        return value, into

    @staticmethod
    def _means(unit: Array, labels: Array) -> tuple[Array, Array, Array]:
        """How many pairs there are of either kind, their mean cosine, and its gradient."""
        sizes = np.bincount(labels)
        of_class = np.zeros((len(sizes), unit.shape[1]))
        np.add.at(of_class, labels, unit)
        together = int((sizes**2).sum())
        counts = np.array([len(unit) ** 2 - together, together - len(unit)])
        own = of_class[labels]
        grads = 2.0 * np.stack([of_class.sum(0) - own, own - unit]) / np.maximum(counts, 1)[:, None, None]
        # Each mean is of the second degree in the vectors.
        return counts, (grads * unit).sum((1, 2)) / 2.0, grads


@dataclass(frozen=True)
class Histograms(OfABatch):
    """How likely a pair of two classes is more similar than one of the same class, by histograms of both."""

    array: Given
    target: Given
    bins: int

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        product, own = products(asked.threads), Directions(self.array)
        labels, into = class_labels(self.target, len(own)), Gradients()
        if np.isnan(own.unit).any():
            own.grad[:] = math.nan
            own.pull(1.0, asked, into)
            return math.nan, into
        counts = np.zeros((2, self.bins + 1))  # of pairs of two classes, and of the same
        for rows in row_blocks(len(own), 4 * len(own)):
            place, share, same, others = self._placed(product, own, labels, rows)
            for kind in (0, 1):
                chosen = others & (same == bool(kind))
                low, high = place[chosen], share[chosen]
                counts[kind] += np.bincount(low, 1.0 - high, self.bins + 1)
                counts[kind, 1:] += np.bincount(low, high, self.bins)
        totals = counts.sum(1)
        if not totals.all():
            own.pull(0.0, asked, into)
            return 0.0, into
        apart, together = counts / totals[:, None]
        up_to = np.cumsum(together)
        if own.wanted(asked):
            # Derivatives in one more pair at each node; a similarity moves from a node to the next.
            at_node = up_to / totals[0], np.cumsum(apart[::-1])[::-1] / totals[1]
            slopes = [np.diff(each) * (self.bins / 2.0) for each in at_node]
            for rows in row_blocks(len(own), 4 * len(own)):
                place, share, same, others = self._placed(product, own, labels, rows)
                slope = np.where(same, slopes[1][place], slopes[0][place])
                slope[~others | (share == 0.0) | (share == 1.0)] = 0.0
                own.grad[rows] += 2.0 * product(slope, own.unit)
        own.pull(1.0, asked, into)
        return math.fsum(apart * up_to), into

    def _placed(
        self, product: Product, own: Directions, labels: Array, rows: slice
    ) -> tuple[Array, Array, Array, Array]:
        """Of the pairs of some rows: the node below, how far it is from there to the next, and what pairs they are."""
        height = np.clip((product(own.unit[rows], own.unit.T) + 1.0) * (self.bins / 2.0), 0.0, self.bins)
        place = np.minimum(height.astype(np.intp), self.bins - 1)
        others = np.arange(rows.start, rows.stop)[:, None] != np.arange(len(own))
        return place, height - place, labels[rows][:, None] == labels, others
