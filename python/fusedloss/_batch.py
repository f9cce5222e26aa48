"""Plans of losses that look at a whole batch at once: second moments of its columns, all pairs of its scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from . import _core
from ._composition import Asked, Given, Gradients, Plan, Shape, Source
from ._loss import _FLOAT64_VALUES, _GRAD, _VALUE, Array, Loss


def matrix(array: Given) -> Given:
    """The vectors of a batch: ``[N, D]``."""
    if array.array.ndim != 2:
        raise ValueError(f"{array.name} has shape {array.array.shape}, expected [N, D]")
    return array


class OfABatch:
    """A plan of one number for a whole batch."""

    shape = ()


@dataclass(frozen=True)
class Later(OfABatch):
    """A plan that depends on the shapes of its arrays: made when it is run."""

    make: Callable[[], Plan]

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        return self.make().run(asked)


class MomentLoss(IntEnum):
    """What the core makes of the second moments of a batch."""

    VARIANCE_COVARIANCE = 0
    CROSS_CORRELATION = 1
    ORTHOGONALITY = 2
    MEAN_ACTIVATION = 3


@dataclass(frozen=True)
class Moments(OfABatch):
    """A loss of the second moments of one or two batches of vectors of the same shape."""

    loss: MomentLoss
    arrays: tuple[Given, ...]
    agreement: float = 0.0
    spread: float = 0.0
    common: float = 1.0
    eps: float = 0.0

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        first = matrix(self.arrays[0]).array.shape
        for x in self.arrays[1:]:
            if x.array.shape != first:
                raise ValueError(f"{x.name} has shape {x.array.shape}, expected {first}")
        wanted = [x for x in self.arrays if x.names & asked.wrt]
        value, grads = _core.moments(
            self.loss,
            "",
            " ".join(x.name for x in self.arrays),
            tuple(x.array for x in self.arrays),
            (self.agreement, self.spread, self.common, self.eps),
            asked.factor,
            sum(1 << k for k, x in enumerate(self.arrays) if x in wanted),
            asked.threads,
        )
        into: Gradients = {}
        for x, grad in zip(wanted, grads, strict=True):
            x.pull(grad, asked, into)
        return value, into


@dataclass(frozen=True)
class ScorePairs(OfABatch):
    """The weighted mean of ``softplus(negative - positive)`` over all pairs."""

    positive: Given
    negative: Given
    positive_weight: Array
    negative_weight: Array

    UNIT = 16  # the kernel takes so many negatives at a time

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        n = self.negative.array.size
        padded = np.zeros((2, -(-n // self.UNIT) * self.UNIT))
        padded[0, :n], padded[1, :n] = self.negative.array.ravel(), self.negative_weight
        total = math.fsum(self.positive_weight) * math.fsum(self.negative_weight)
        if total == 0.0:
            return math.nan, {}
        wanted = bool((self.positive.names | self.negative.names) & asked.wrt)
        scores = self.positive.array.ravel().astype(np.float64)
        value, *slopes = _core.score_pairs(scores, self.positive_weight, padded[0], padded[1], wanted, asked.threads)
        into: Gradients = {}
        for x, slope in zip((self.positive, self.negative), slopes, strict=True):
            if x.names & asked.wrt:
                x.pull((slope[: x.array.size] * (asked.factor / total)).reshape(x.shape), asked, into)
        return value / total, into


@dataclass(frozen=True)
class Cosines:
    """The cosines of paired vectors; a block of rows at a time is in double precision."""

    cosine: Loss[Any]
    x1: Given
    x2: Given

    BLOCK = 1024

    def prepared(self, x1: Array, x2: Array) -> tuple[Array, Array]:
        """The vectors whose cosines are the scores."""
        return x1, x2

    def returned(self, x1: Array, x2: Array) -> tuple[Array, Array]:
        """Gradients in the vectors from those in the prepared ones."""
        return x1, x2

    @property
    def shape(self) -> Shape:
        return self.x1.shape[:1]

    def value(self, asked: Asked) -> Array:
        shape = matrix(self.x1).array.shape
        if matrix(self.x2).array.shape != shape:
            raise ValueError(f"{self.x2.name} has shape {self.x2.array.shape}, expected {shape}")
        if shape[1] == 0:
            raise ValueError(f"{self.x1.name} has shape {shape}, vectors without any components")
        scores = np.empty(shape[0])
        for rows in self._blocks():
            scores[rows] = self.cosine(*self._wide(rows), n_threads=asked.threads or None)
        return scores

    @property
    def names(self) -> frozenset[str]:
        return self.x1.names | self.x2.names

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        totals = [np.empty(x.shape, np.promote_types(x.dtype, np.float32)) for x in (self.x1, self.x2)]
        for rows in self._blocks():
            grads = self.returned(*self.cosine.backward(grad[rows], *self._wide(rows), n_threads=asked.threads or None))
            for total, part in zip(totals, grads, strict=True):
                total[rows] = part
        for x, total in zip((self.x1, self.x2), totals, strict=True):
            if x.names & asked.wrt:
                x.pull(total, asked, into)

    def _blocks(self) -> Iterator[slice]:
        return (slice(k, k + self.BLOCK) for k in range(0, len(self.x1.array), self.BLOCK))

    def _wide(self, rows: slice) -> tuple[Array, Array]:
        return self.prepared(*(x.array[rows].astype(np.float64) for x in (self.x1, self.x2)))


class TurnedCosines(Cosines):
    """The cosines with what is left of the second vectors when they are taken for complex numbers and multiplied by
    1 + i: the halves of a vector are the real and the imaginary parts."""

    def prepared(self, x1: Array, x2: Array) -> tuple[Array, Array]:
        odd = [(0, 0), (0, x1.shape[1] % 2)]
        x1, x2 = np.pad(x1, odd), np.pad(x2, odd)
        real, imaginary = np.split(x2, 2, axis=1)
        return x1, np.concatenate([real - imaginary, real + imaginary], axis=1)

    def returned(self, x1: Array, x2: Array) -> tuple[Array, Array]:
        real, imaginary = np.split(x2, 2, axis=1)
        width = self.x1.array.shape[1]
        return x1[:, :width], np.concatenate([real + imaginary, imaginary - real], axis=1)[:, :width]


@dataclass(frozen=True)
class Verification:
    """A number times the cosines of vectors and the means of groups of others, plus a number; in double precision."""

    cosine: Loss[Any]
    vectors: Given
    groups: Given
    scale: Given
    shift: Given
    _kept: list[Array] = field(default_factory=list, repr=False)

    @property
    def shape(self) -> Shape:
        return self.vectors.shape[:1]

    @property
    def names(self) -> frozenset[str]:
        return self.vectors.names | self.groups.names | self.scale.names | self.shift.names

    def value(self, asked: Asked) -> Array:
        if not self._kept:
            self._check()
            pairs = self.vectors.array.astype(np.float64), self.groups.array.mean(1, dtype=np.float64)
            cosines = np.asarray(self.cosine(*pairs, **asked.options("none", None)))
            self._kept.extend((*pairs, cosines))
        with np.errstate(invalid="ignore"):
            scores: Array = self._number(self.scale) * self._kept[2] + self._number(self.shift)
        return scores

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        x, means, cosines = self._kept
        counts = grad != 0.0  # else a row weighs nothing, whatever it holds
        cotangent, of_scale = (
            np.multiply(factor, grad, out=np.zeros(grad.shape), where=counts)
            for factor in (self._number(self.scale), cosines)
        )
        options = asked.options("none", None)
        of_x, of_means = self.cosine.backward(cotangent, x, means, wrt=("x1", "x2"), **options)
        members = self.groups.shape[1]
        for source, part in (
            (self.vectors, of_x),
            (self.groups, np.repeat(of_means[:, None] / members, members, axis=1)),
            (self.scale, self._of_number(self.scale, of_scale)),
            (self.shift, self._of_number(self.shift, grad)),
        ):
            if source.names & asked.wrt:
                source.pull(part, asked, into)

    @staticmethod
    def _number(source: Given) -> Array:
        number: Array = source.array.astype(np.float64)
        return number.reshape(-1)

    @staticmethod
    def _of_number(source: Given, each: Array) -> Array:
        alone = source.array.size == 1
        return np.full(source.shape, math.fsum(each)) if alone else np.asarray(each, np.float64)

    def _check(self) -> None:
        count, width = matrix(self.vectors).shape
        shape = self.groups.shape
        if len(shape) != 3 or (shape[0], shape[2]) != (count, width) or shape[1] == 0:
            raise ValueError(f"{self.groups.name} has shape {shape}, expected ({count}, M, {width})")
        for number in (self.scale, self.shift):
            if number.array.size != 1 and number.shape != (count,):
                raise ValueError(f"{number.name} has shape {number.shape}, expected a single number or ({count},)")


@dataclass(frozen=True)
class Magnitudes:
    """Scores without their signs, times a number."""

    own: Source
    factor: float
    _kept: list[Array] = field(default_factory=list, repr=False)

    @property
    def shape(self) -> Shape:
        return self.own.shape

    def value(self, asked: Asked) -> Array:
        return self.factor * np.abs(self._signed(asked))

    @property
    def names(self) -> frozenset[str]:
        return self.own.names

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        self.own.pull(self.factor * np.sign(self._signed(asked)) * grad, asked, into)

    def _signed(self, asked: Asked) -> Array:
        if not self._kept:
            self._kept.append(self.own.value(asked))
        return self._kept[0]


@dataclass(frozen=True)
class Ordered(OfABatch):
    """``log(1 + sum(exp(scale * (s_i - s_j))))`` over all pairs of scores whose targets are in the other order."""

    scores: Source
    target: Given
    scale: float

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        scores, target = self.scores.value(asked), self.target.array
        if target.shape != scores.shape:
            raise ValueError(f"{self.target.name} has shape {target.shape}, expected {scores.shape}")
        wanted = bool(self.scores.names & asked.wrt)
        flat, order = (np.asarray(x, np.float64).ravel() for x in (scores, target))
        value, grad = _core.ordered_scores(flat, order, self.scale, wanted)
        into: Gradients = {}
        if wanted:
            self.scores.pull(asked.factor * grad.reshape(scores.shape), asked, into)
        return value, into


@dataclass(frozen=True)
class LogMeanExp(OfABatch):
    """A number times the log of a mean over all ordered pairs of rows; a loss of two equal matrices gives each row of
    the first the log of its sum."""

    loss: Loss[Any]
    array: Given
    scale: float

    def run(self, asked: Asked) -> tuple[float, Gradients]:
        n = len(matrix(self.array).array)
        if n < 2:
            raise ValueError(f"{self.array.name} has shape {self.array.array.shape}, expected two vectors at least")
        x, into = self.array.value(asked), Gradients()
        wanted = self.array.names & asked.wrt
        want = _VALUE | _FLOAT64_VALUES | (_GRAD if wanted else 0)
        rows, grad, _, _ = self.loss._run((x, x), asked.options("none", None), want, "input")
        shares = np.exp(rows - rows.max())
        total = math.fsum(shares)
        if wanted:
            # Each pair is in two rows, and weighs the same in both.
            factor = 2.0 * asked.factor * self.scale / total * shares[:, None]
            self.array.pull(np.multiply(grad, factor, out=grad, casting="same_kind"), asked, into)
        return self.scale * (float(rows.max()) + math.log(total) - math.log(n * (n - 1.0))), into
