"""What the losses of generative models are made of: scores relative to others, norms and columns of samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._composition import Asked, Given, Gradients, SampleSums, Shape, by_sample, samples_weighed
from ._loss import _VALUE, Array
from .metric import pairwise_distance
from .regression import mean_bias_error


@dataclass(frozen=True)
class Relative:
    """An array less the mean of another one, which sample weights weigh, too."""

    own: Given
    other: Given

    @property
    def names(self) -> frozenset[str]:
        return self.own.names | self.other.names

    @property
    def shape(self) -> Shape:
        return self.own.shape

    def value(self, asked: Asked) -> Array:
        options = asked.options("mean", asked.weight)
        result: Array = self.own.value(asked) + mean_bias_error(self.other.value(asked), 0.0, **options)
        return result

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        total = -float(mean_bias_error(grad, 0.0, **asked.options("sum", None)))
        self.own.pull(grad, asked, into)
        if self.other.name in asked.wrt:
            options = asked.options("mean", asked.weight)
            of_mean = mean_bias_error.backward(total, self.other.value(asked), 0.0, **options)
            self.other.pull(np.asarray(of_mean), asked, into)


@dataclass(frozen=True)
class Norms:
    """Euclidean norms of the samples along the first axis of an array, none of them smaller than `floor`."""

    own: Given
    floor: float

    @property
    def names(self) -> frozenset[str]:
        return self.own.names

    @property
    def shape(self) -> Shape:
        return self.own.shape[:1]

    def _rows(self, asked: Asked) -> tuple[Array, Array]:
        """The samples, and the origin."""
        rows = by_sample(self.own.value(asked), self.shape)
        return rows, np.zeros(rows.shape[-1:], self.own.dtype)

    def value(self, asked: Asked) -> Array:
        norms = pairwise_distance(*self._rows(asked), eps=0.0, **asked.options("none", None))
        return np.asarray(np.maximum(norms, self.floor))

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        rows = pairwise_distance.backward(grad, *self._rows(asked), eps=0.0, wrt="x1", **asked.options("none", None))
        self.own.pull(np.asarray(rows).reshape(self.own.shape), asked, into)


@dataclass(frozen=True)
class FreeBits:
    """Sums of losses by sample, where the average of a column over the samples is `least` at least."""

    terms: tuple[SampleSums, ...]
    least: float

    @property
    def shape(self) -> Shape:
        return self.terms[0].shape

    def run(self, asked: Asked) -> tuple[Any, Gradients]:
        if asked.reduction == "none":
            raise ValueError("reduction 'none' needs free_bits = 0: they hold for averages over the samples")
        divisor = samples_weighed(asked, self.shape)[1]
        each = sum(term.elements(asked) for term in self.terms)
        free = each.sum(tuple(range(len(self.shape)))) <= self.least * divisor
        total, into = self.least * np.count_nonzero(free) * (divisor if asked.reduction == "sum" else 1.0), Gradients()
        for term in self.terms:
            value, grads = replace(term, columns=~free).run(asked)
            total = total + value if asked.want & _VALUE else total
            into |= grads
        return total, into
