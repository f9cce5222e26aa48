"""Losses of the answers of language models: log-probabilities under a linear layer, and the way back to the layer.

The layer's scores are computed twice, for the log-probabilities and for the gradients, and never kept: what the
gradient of a token weighs is known only after the last token of its answer, and of the one it is compared with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from ._composition import Asked, Given, Gradients, Shape, composed, given, samples_weighed
from ._core_kernels import Head
from ._loss import _GRAD, _REDUCTIONS, _VALUE, Array, Loss, Result
from ._validation import integer, spread

_POLICY = Head("selected_log_prob")
_REFERENCE = Head("selected_log_prob", ("reference_input", "reference_weight", "reference_bias"))


class Tokens(NamedTuple):
    """The log-probabilities of the tokens of answers, a row for each answer; those that are left out are 0."""

    log_prob: Array
    kept: Array

    @property
    def lengths(self) -> Array:
        """How many tokens each answer has."""
        count: Array = self.kept.sum(1)
        return count

    def answers(self, average: bool) -> Array:
        """Their sums, or means, of which that of nothing is 0."""
        total: Array = self.log_prob.sum(1)
        return total / np.maximum(self.lengths, 1) if average else total

    def along(self, slopes: Array, average: bool) -> Array:
        """The derivatives in the tokens from those in the answers."""
        each = slopes / np.maximum(self.lengths, 1) if average else slopes
        return np.where(self.kept, each[:, None], 0.0)


class Formula(Protocol):
    """A loss of the log-probabilities of answers: terms, each of which has answers of its own."""

    def terms(self, answers: int) -> int:
        """How many terms so many answers make."""

    def compared(self, tokens: Tokens) -> Array:
        """What of a reference model the formula is told: of its tokens or of its answers."""

    def __call__(self, tokens: Tokens, others: Sequence[Array], weight: Array) -> tuple[Array, Array]:
        """The terms, weighed, and the derivatives of each in its tokens."""


def _each(loss: Loss[Any], weight: Array, *arrays: Array) -> tuple[Any, Any]:
    """The values of a loss that is not reduced, weighed, and their derivatives."""
    return loss.value_and_grad(*arrays, reduction="none", sample_weight=weight)


def _per_token(lengths: Array, weight: Array) -> Array:
    """What makes a mean over terms one over all their tokens; 0 where the weight is."""
    tokens = math.fsum(weight * lengths)
    return np.where(weight > 0.0, math.fsum(weight) / tokens if tokens else math.nan, 0.0)


@dataclass(frozen=True)
class Pairs:
    """A loss of chosen answers, the first half, and rejected ones, plus the negative log-likelihood of the chosen."""

    loss: Loss[Any]
    average: bool
    alpha: float

    def terms(self, answers: int) -> int:
        if answers % 2:
            raise ValueError(f"input has {answers} answers, expected as many rejected ones as chosen ones")
        return answers // 2

    def compared(self, tokens: Tokens) -> Array:
        return tokens.answers(self.average)

    def __call__(self, tokens: Tokens, others: Sequence[Array], weight: Array) -> tuple[Array, Array]:
        halves = [half for x in (tokens.answers(self.average), *others) for half in np.split(x, 2)]
        terms, slopes = _each(self.loss, weight, *halves)
        along, chosen = tokens.along(np.concatenate(slopes), self.average), len(terms)
        if self.alpha:
            share = self.alpha * weight * _per_token(tokens.lengths[:chosen], weight)
            terms = terms - np.where(weight > 0.0, share * tokens.log_prob[:chosen].sum(1), 0.0)
            along[:chosen] -= np.where(tokens.kept[:chosen], share[:, None], 0.0)
        return terms, along


@dataclass(frozen=True)
class Singles:
    """A loss of answers by themselves."""

    loss: Loss[Any]
    average: bool

    def terms(self, answers: int) -> int:
        return answers

    def compared(self, tokens: Tokens) -> Array:
        return tokens.answers(self.average)

    def __call__(self, tokens: Tokens, others: Sequence[Array], weight: Array) -> tuple[Array, Array]:
        terms, slopes = _each(self.loss, weight, tokens.answers(self.average), *others)
        return terms, tokens.along(slopes, self.average)


@dataclass(frozen=True)
class TokenMeans:
    """Means over the tokens of answers of a loss of them: in each answer, over all, or over all there is room for."""

    loss: Loss[Any]
    over: str
    refers: bool

    def terms(self, answers: int) -> int:
        return answers

    def compared(self, tokens: Tokens) -> Array:
        return tokens.log_prob

    def __call__(self, tokens: Tokens, others: Sequence[Array], weight: Array) -> tuple[Array, Array]:
        log_prob, kept = tokens
        reference, advantage, old = (*others, log_prob)[:3] if self.refers else (log_prob, *others, log_prob)[:3]
        given = [np.where(kept, x, 0.0) for x in (old, advantage[:, None], reference)]
        each, slopes = _each(self.loss, weight[:, None], log_prob, *given)
        if self.over == "answers":
            share: Any = 1.0 / np.maximum(tokens.lengths, 1)[:, None]
        elif self.over == "tokens":
            share = _per_token(tokens.lengths, weight)[:, None]
        else:
            share = 1.0 / max(kept.shape[1], 1)
        return (np.where(kept, each, 0.0) * share).sum(1), np.where(kept, slopes * share, 0.0)


class Layer(NamedTuple):
    """A linear layer, and what it is applied to for each token of each answer: ``[answers, tokens, D]``."""

    input: Given
    weight: Given
    bias: Given | None = None


@dataclass(frozen=True)
class Answers:
    """The plan of a formula of the answers whose tokens `target` names."""

    formula: Formula
    layer: Layer
    target: Given
    ignore_index: int
    reference: Mapping[str, Given] | None  # what a reference model says, or its layer; None: nobody asks
    others: tuple[Given, ...]

    @property
    def shape(self) -> Shape:
        return (self.formula.terms(self.target.shape[0] if self.target.shape else 0),)

    def run(self, asked: Asked) -> tuple[Any, Gradients]:
        self._check()
        given_weight, divisor = samples_weighed(asked, self.shape)
        weight = np.ones(self.shape) if given_weight is None else given_weight.astype(np.float64)
        factor: Any = 1.0 if asked.cotangent is None else np.asarray(asked.cotangent, np.float64)
        if asked.reduction == "none":
            factor = spread("grad_output", np.asarray(factor), self.shape)
        elif asked.reduction == "mean":
            factor = factor / divisor if divisor else 0.0
        tokens = self._tokens(asked, _POLICY, self.layer)
        others = [self._of_reference(asked, tokens, self.reference)] if self.reference is not None else []
        for x in self.others:
            shape = self.target.shape[: 2 if x.name == "old_log_prob" else 1]
            others.append(spread(x.name, x.array.astype(np.float64), shape))
        with np.errstate(all="ignore"):
            terms, along = self._terms(tokens, others, weight)
            along = np.where(along == 0.0, 0.0, along * np.resize(factor, (len(along), 1)))
            value: Any = terms if asked.reduction == "none" else terms.sum()
        if asked.reduction == "mean":
            value = value / divisor if divisor else math.nan
        return value, self._gradients(asked, along) if asked.want & _GRAD else {}

    def _check(self) -> None:
        input, weight, labels = self.layer.input.array, self.layer.weight.array, self.target.array
        if input.ndim != 3:
            raise ValueError(f"input has shape {input.shape}, expected [answers, tokens, D]")
        if weight.ndim != 2:
            raise ValueError(f"linear_weight has shape {weight.shape}, expected [classes, {input.shape[2]}]")
        if labels.dtype.kind not in "iu":
            raise TypeError(f"target has dtype {labels.dtype}; expected class indices of an integer dtype")
        if labels.shape != input.shape[:2]:
            raise ValueError(f"target has shape {labels.shape}, expected {input.shape[:2]}")
        wrong = (labels != self.ignore_index) & ((labels < 0) | (labels >= len(weight)))
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            text = f"target[{i}, {j}] = {labels[i, j]} is not in [0, {len(weight)})"
            raise IndexError(f"{text} and is not ignore_index ({self.ignore_index})")

    def _tokens(self, asked: Asked, head: Head, layer: Layer) -> Tokens:
        """The log-probabilities, in single precision at least."""
        log_prob, _ = self._run(asked, head, layer, layer.input.value(asked), _VALUE)
        kept: Array = self.target.array != self.ignore_index
        return Tokens(log_prob.reshape(kept.shape).astype(np.float64), kept)

    def _of_reference(self, asked: Asked, tokens: Tokens, said: Mapping[str, Given]) -> Array:
        if "reference_log_prob" in said:
            log_prob = said["reference_log_prob"].array.astype(np.float64)
            return spread("reference_log_prob", log_prob, self.formula.compared(tokens).shape)
        if not {"reference_input", "reference_weight"} <= said.keys():
            raise ValueError("needs reference_log_prob, or reference_input and reference_weight")
        shape = said["reference_input"].shape
        if len(shape) != 3 or shape[:2] != self.target.shape:
            raise ValueError(
                f"reference_input has shape {shape}, expected [{', '.join(map(str, self.target.shape))}, D]"
            )
        return self.formula.compared(self._tokens(asked, _REFERENCE, Layer(*said.values())))

    def _terms(self, tokens: Tokens, others: Sequence[Array], weight: Array) -> tuple[Array, Array]:
        try:
            return self.formula(tokens, others, weight)
        except ValueError as error:
            raise ValueError(_without_name(error)) from None

    def _gradients(self, asked: Asked, along: Array) -> Gradients:
        """Those in the layer from those in the tokens."""
        trained = [x for x in self.layer if x is not None]
        bits = sum(1 << k for k, x in enumerate(trained) if x.names & asked.wrt)
        _, grads = self._run(asked, _POLICY, self.layer, self.layer.input.array, _GRAD, bits, along.reshape(-1))
        wanted = [x for k, x in enumerate(trained) if bits >> k & 1]
        return {(x.name, 0): grad.reshape(x.shape) for x, grad in zip(wanted, grads, strict=True)}

    def _run(
        self, asked: Asked, head: Head, layer: Layer, input: Array, want: int, wrt: int = 0, along: Any = None
    ) -> tuple[Any, tuple[Any, ...]]:
        rows, bias = input.reshape(-1, input.shape[2]), None if layer.bias is None else layer.bias.array
        labels = self.target.array.reshape(-1)
        call: Any = head(rows, layer.weight.array, bias, label=labels, ignore_index=self.ignore_index)
        kernel, inputs, params, options = call
        none = _REDUCTIONS["none"]
        try:
            value, grads, _, _ = kernel.run(
                kernel.index, "answers", inputs, params, options, None, along, none, want, wrt, None, asked.threads
            )
        except (TypeError, ValueError, IndexError) as error:
            raise type(error)(_without_name(error)) from None
        return value, grads


def _without_name(error: Exception) -> str:
    return re.sub(r"^\w+: ", "", str(error))


def answers(
    formula: Formula,
    input: Any,
    linear_weight: Any,
    linear_bias: Any,
    target: Any,
    ignore_index: int,
    *,
    reference: tuple[Any, Any, Any, Any] | None = None,
    **others: Any,
) -> Result:
    """A composition of the answers; `others` are what the formula takes besides, constant."""
    trained = {"input": given("input", input), "linear_weight": given("linear_weight", linear_weight)}
    if linear_bias is not None:
        trained["linear_bias"] = given("linear_bias", linear_bias)
    labels = given("target", target, constant=True)
    names = ("reference_log_prob", "reference_input", "reference_weight", "reference_bias")
    said = {n: given(n, x, constant=True) for n, x in zip(names, reference or (), strict=False) if x is not None}
    more = {name: given(name, x, constant=True) for name, x in others.items()}
    fixed = integer("ignore_index", ignore_index), None if reference is None else said, tuple(more.values())
    return composed(Answers(formula, Layer(*trained.values()), labels, *fixed), **trained, target=labels, **more)
