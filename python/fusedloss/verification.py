"""Losses of speaker verification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._batch import products, pull
from ._composition import Given, Gradients, composed, composition, given
from ._loss import Array, Result
from ._validation import choice
from .activation import sigmoid
from .multiclass import cross_entropy

__all__ = ["ge2e_loss"]

_LEAST_NORM = 1e-12


class _Directions:
    """Vectors along the last axis divided by their norms; those without a norm to speak of have no direction."""

    def __init__(self, vectors: Array) -> None:
        norms = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))[..., None]
        self.inverse = np.where(norms < _LEAST_NORM, 0.0, 1.0 / np.maximum(norms, _LEAST_NORM))
        self.unit: Array = vectors * self.inverse

    def pull(self, grad: Array, along: Array) -> Array:
        """The gradient in the vectors, given that in their directions and its part along them."""
        pulled: Array = (grad - along[..., None] * self.unit) * self.inverse
        return pulled


@dataclass(frozen=True)
class _EndToEnd:
    """Cosines of every utterance with the centroid of every speaker, and a loss of their rows."""

    utterances: Given
    weight: Given
    bias: Given
    contrast: bool
    mean: bool

    def run(self, wrt: frozenset[str], threads: int | None) -> tuple[float, Gradients]:
        e, product = np.ascontiguousarray(self.utterances.array, np.float64), products(threads)
        if e.ndim != 3 or e.shape[1] < 2:
            raise ValueError(f"input has shape {e.shape}, expected [speakers, utterances, D] with two utterances each")
        for x in (self.weight, self.bias):
            if x.array.size != 1:
                raise ValueError(f"{x.name} has shape {x.array.shape}, expected a single number")
        speakers, utterances, size = e.shape
        weight, bias = float(self.weight.array.reshape(())), float(self.bias.array.reshape(()))
        total = e.sum(1)
        each, centroids = _Directions(e), _Directions(total / utterances)
        others = _Directions((total[:, None] - e) / (utterances - 1))
        own = np.arange(speakers)
        units = each.unit.reshape(-1, size)
        cosines = product(units, centroids.unit.T).reshape(speakers, utterances, speakers)
        cosines[own, :, own] = np.einsum("jid,jid->ji", each.unit, others.unit)
        value, slope = self._loss((weight * cosines + bias).reshape(-1, speakers), utterances, threads)

        into: Gradients = {}
        slope = slope.reshape(cosines.shape)
        if self.weight.names & wrt:
            pull(self.weight, np.full(self.weight.array.shape, np.sum(slope * cosines)), into)
        if self.bias.names & wrt:
            pull(self.bias, np.full(self.bias.array.shape, np.sum(slope)), into)
        if self.utterances.names & wrt:
            slope = weight * slope
            along = slope * cosines
            at_own = slope[own, :, own]
            along_own = along[own, :, own]
            slope[own, :, own] = 0.0
            flat = slope.reshape(-1, speakers)
            in_each = product(flat, centroids.unit).reshape(e.shape) + at_own[..., None] * others.unit
            grad = each.pull(in_each, along.sum(2))
            along[own, :, own] = 0.0
            in_centroids = centroids.pull(product(flat.T, units), along.sum((0, 1)))
            in_others = others.pull(at_own[..., None] * each.unit, along_own)
            grad += in_centroids[:, None] / utterances
            grad += (in_others.sum(1, keepdims=True) - in_others) / (utterances - 1)
            pull(self.utterances, grad, into)
        return value, into

    def _loss(self, scores: Array, utterances: int, threads: int | None) -> tuple[float, Array]:
        """The loss of rows of scores and its gradient in them."""
        rows, speakers = scores.shape
        labels = np.repeat(np.arange(speakers), utterances)
        if not self.contrast:
            reduction = "mean" if self.mean else "sum"
            value, grad = cross_entropy.value_and_grad(scores, labels, reduction=reduction, n_threads=threads)
            return float(value), np.asarray(grad)
        places = np.arange(rows)
        rest, like, unlike = scores.copy(), sigmoid(scores), sigmoid(-scores)
        rest[places, labels] = -np.inf
        rival = rest.argmax(1)
        slopes = like * unlike
        grad = np.zeros_like(scores)
        values = unlike[places, labels]
        if speakers > 1:
            values = values + like[places, rival]
            grad[places, rival] = slopes[places, rival]
        grad[places, labels] = -slopes[places, labels]
        divisor = rows if self.mean else 1
        return float(values.sum()) / divisor, grad / divisor


@composition(trains=("input", "weight", "bias"), aliases=("GE2E", "generalized end-to-end"))
def ge2e_loss(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike, *, variant: str = "softmax", reduction: str = "sum"
) -> Result:
    """Generalized end-to-end loss: every utterance is nearest to the centroid of its own speaker.

    Formula: ``log(sum_k exp(s[k])) - s[own]`` for each utterance, with
        ``s[k] = weight * cos(utterance, centroid_k) + bias``; the centroid of its own speaker is that of the other
        utterances. With "contrast"
        ``1 - sigmoid(s[own]) + max_k!=own sigmoid(s[k])``.
    Gradient: through all cosines, for the utterances also as parts of centroids; the first of equal rivals counts.
    Domain: any real vectors; one of norm below 1e-12 has no direction, cosine 0 and no gradient. `weight` should be
        positive.
    Source: Wan, Wang, Papir and Lopez Moreno (2018), Generalized end-to-end loss for speaker verification.

    Parameters
    ----------
    input : array_like
        Embeddings ``[speakers, utterances, D]``, at least two utterances each.
    weight : array_like
        A learned number that multiplies the cosines; the paper begins with 10.
    bias : array_like
        A learned number added to them; the paper begins with -5.
    variant : {"softmax", "contrast"}, default "softmax"
        All other speakers compete, or the nearest of them.
    reduction : {"sum", "mean"}, default "sum"
        Over the utterances.

    {common}
    """
    contrast = choice("variant", variant, ("softmax", "contrast")) == "contrast"
    mean = choice("reduction", reduction, ("sum", "mean")) == "mean"
    return composed(_EndToEnd(given("input", input), given("weight", weight), given("bias", bias), contrast, mean))
