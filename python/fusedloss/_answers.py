"""Losses of the answers of language models: log-probabilities under a linear layer, and the way back to the layer.

The layer's scores are computed twice, for the log-probabilities and for the gradients, and never kept: what the
gradient of a token weighs is known only after the last token of its answer, and of the one it is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from ._core_kernels import Head, Kernel
from ._loss import _GRAD, _REDUCTIONS, _VALUE, Array, Loss, Result
from ._validation import integer, is_bfloat16

_TRAINED = ("input", "linear_weight", "linear_bias")
_POLICY = Head("selected_log_prob", _TRAINED)
_REFERENCE = Head("selected_log_prob", ("reference_input", "reference_weight", "reference_bias"))

Shape: TypeAlias = tuple[int, ...]


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
        """The terms, which have such weights, and the derivatives of each in its tokens."""


def _each(loss: Loss[Any], *arrays: Array) -> tuple[Any, Any]:
    """The values of a loss that is not reduced, and their derivatives."""
    return loss.value_and_grad(*arrays, reduction="none")


def _per_token(lengths: Array, weight: Array) -> float:
    """What makes a mean over terms one over all their tokens."""
    tokens = math.fsum(weight * lengths)
    return math.fsum(weight) / tokens if tokens else math.nan


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
        terms, slopes = _each(self.loss, *halves)
        along, chosen = tokens.along(np.concatenate(slopes), self.average), len(terms)
        if self.alpha:
            share = self.alpha * _per_token(tokens.lengths[:chosen], weight)
            terms = terms - share * tokens.log_prob[:chosen].sum(1)
            along[:chosen] -= np.where(tokens.kept[:chosen], share, 0.0)
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
        terms, slopes = _each(self.loss, tokens.answers(self.average), *others)
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
        spread = [np.where(kept, x, 0.0) for x in (old, advantage[:, None], reference)]
        each, slopes = _each(self.loss, log_prob, *spread)
        if self.over == "answers":
            share: Any = 1.0 / np.maximum(tokens.lengths, 1)[:, None]
        elif self.over == "tokens":
            share = _per_token(tokens.lengths, weight)
        else:
            share = 1.0 / max(kept.shape[1], 1)
        return (np.where(kept, each, 0.0) * share).sum(1), np.where(kept, slopes * share, 0.0)


class AnswerKernel(Kernel):
    """A loss of answers, by its formula; `others` are inputs of it without gradients."""

    __slots__ = ("trained",)

    array_options = ("target", "reference_log_prob", "reference_input", "reference_weight", "reference_bias")

    def __init__(self, biased: bool, others: Sequence[str]) -> None:
        trained = _TRAINED[: 3 if biased else 2]
        self.trained = len(trained)
        super().__init__(
            {
                "index": 0,
                "name": "answers",
                "inputs": (*trained, *others),
                "params": (),
                "arrays": len(trained) + len(others),
                "differentiable": (1 << len(trained)) - 1,
                "has_hessian": False,
            }
        )

    def run(
        self,
        index: int,
        name: str,
        inputs: tuple[Any, ...],
        params: tuple[float, ...],
        options: tuple[Any, ...],
        sample_weight: Any,
        cotangent: Any,
        reduction: int,
        want: int,
        wrt: int,
        out: Any,
        threads: int,
    ) -> tuple[Any, tuple[Any, ...], None, None]:
        """As every kernel; nothing is written before all arguments have been looked at."""
        target, *reference, told, ignore_index, formula = options
        if reduction == _REDUCTIONS["partial"]:
            raise TypeError(f"{name} looks at whole batches and cannot be summed in chunks")
        try:
            batch = _Batch.of(name, inputs[: self.trained], target, ignore_index, threads)
            answers, count = len(batch.labels), formula.terms(len(batch.labels))
            weight = _weights(1.0 if sample_weight is None else sample_weight, count)
            factor = _numbers("grad_output", 1.0 if cotangent is None else cotangent, _terms_of(reduction, count))
            tokens = batch.tokens(_POLICY, batch.layer)
            others = [batch.reference(formula, tokens, reference)] if told else []
            for other, given in zip(self.inputs[self.trained :], inputs[self.trained :], strict=True):
                others.append(_numbers(other, given, batch.labels.shape[: 2 if other == "old_log_prob" else 1]))
        except (TypeError, ValueError, IndexError) as error:
            if str(error).startswith(name):
                raise
            raise type(error)(f"{name}: {error}") from None
        with np.errstate(all="ignore"):
            terms, along = formula(tokens, others, weight)
            value, slopes = _reduced(terms, weight, reduction)
            slopes = np.tile(factor * slopes, answers // max(count, 1))[:, None]
            along = np.where(slopes == 0.0, 0.0, along * slopes)
        grads = batch.backward(along, wrt, out) if want & _GRAD else ()
        return value.astype(batch.value_type) if value.ndim else float(value), grads, None, None


def answers(
    formula: Formula,
    layer: tuple[Any, Any, Any],
    target: Any,
    ignore_index: int,
    *,
    reference: tuple[Any, Any, Any, Any] | None = None,
    **others: Any,
) -> Result:
    """The call of a loss of answers: of their layer and, if the formula is told it, of the reference model's."""
    trained = layer[: 3 if layer[2] is not None else 2]
    arrays = (target, *(reference or (None,) * 4))
    fixed = (reference is not None, integer("ignore_index", ignore_index), formula)
    return AnswerKernel(len(trained) == 3, tuple(others))._call((*trained, *others.values()), {}, (*arrays, *fixed))


def _terms_of(reduction: int, count: int) -> Shape:
    return (count,) if reduction == _REDUCTIONS["none"] else ()


def _reduced(terms: Array, weight: Array, reduction: int) -> tuple[Any, Array]:
    """The value, and what the gradients of the terms count in it."""
    weighted = np.where(weight > 0.0, weight * terms, 0.0)
    if reduction == _REDUCTIONS["none"]:
        return weighted, weight
    if reduction == _REDUCTIONS["sum"]:
        return weighted.sum(), weight
    divisor = math.fsum(weight)
    return (weighted.sum() / divisor, weight / divisor) if divisor else (np.float64(math.nan), weight)


def _real(name: str, given: Any) -> Array:
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" and not is_bfloat16(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}; expected a real floating, integer or bool array")
    return array


def _numbers(name: str, given: Any, shape: Shape) -> Array:
    """The array in double precision, broadcast."""
    array = _real(name, given)
    try:
        return np.broadcast_to(array.astype(np.float64), shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to {shape}") from None


def _weights(given: Any, count: int) -> Array:
    weight = _numbers("sample_weight", given, (count,))
    wrong = ~((weight >= 0.0) & (weight < np.inf))
    if wrong.any():
        raise ValueError(f"sample_weight[{wrong.argmax()}] is negative or not finite")
    return weight


class _Batch(NamedTuple):
    """Answers, a row of class indices each, and the layer that gives them log-probabilities."""

    loss: str
    layer: tuple[Any, Any, Any]
    labels: Array
    ignore_index: int
    threads: int

    @classmethod
    def of(cls, loss: str, trained: Sequence[Any], target: Any, ignore_index: int, threads: int) -> _Batch:
        """The answers, whose class indices all belong to the layer."""
        input, weight, *bias = (_real(name, x) for name, x in zip(_TRAINED, trained, strict=False))
        if input.ndim != 3:
            raise ValueError(f"input has shape {input.shape}, expected [answers, tokens, D]")
        if weight.ndim != 2:
            raise ValueError(f"linear_weight has shape {weight.shape}, expected [classes, {input.shape[2]}]")
        labels = np.asarray(target)
        if labels.dtype.kind not in "iu":
            raise TypeError(f"target has dtype {labels.dtype}; expected class indices of an integer dtype")
        if labels.shape != input.shape[:2]:
            raise ValueError(f"target has shape {labels.shape}, expected {input.shape[:2]}")
        wrong = (labels != ignore_index) & ((labels < 0) | (labels >= len(weight)))
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            text = f"target[{i}, {j}] = {labels[i, j]} is not in [0, {len(weight)})"
            raise IndexError(f"{text} and is not ignore_index ({ignore_index})")
        return cls(loss, (input, weight, bias[0] if bias else None), labels.astype(np.int64), ignore_index, threads)

    @property
    def value_type(self) -> Any:
        """That of values which are not reduced."""
        dtype = self.layer[0].dtype
        return np.float64 if dtype.kind in "biu" else dtype.newbyteorder("=")

    def tokens(self, head: Head, layer: Sequence[Any]) -> Tokens:
        """The log-probabilities, in single precision at least."""
        input, weight, bias = layer
        if input.dtype.kind not in "biu" and input.dtype.itemsize == 2:
            input = input.astype(np.float32)
        log_prob = self._run(head, (input, weight, bias), _VALUE)[0]
        return Tokens(log_prob.reshape(self.labels.shape).astype(np.float64), self.labels != self.ignore_index)

    def reference(self, formula: Formula, tokens: Tokens, given: Sequence[Any]) -> Array:
        """What the formula is told of the reference model."""
        log_prob, input, weight, bias = given
        if log_prob is not None:
            return _numbers("reference_log_prob", log_prob, formula.compared(tokens).shape)
        if input is None or weight is None:
            raise ValueError("needs reference_log_prob, or reference_input and reference_weight")
        if input.ndim != 3 or input.shape[:2] != self.labels.shape:
            expected = ", ".join(map(str, self.labels.shape))
            raise ValueError(f"reference_input has shape {input.shape}, expected [{expected}, D]")
        return formula.compared(self.tokens(_REFERENCE, (input, weight, bias)))

    def backward(self, along: Array, wrt: int, out: Any) -> tuple[Any, ...]:
        """The gradients in the layer from those in the tokens."""
        outs: tuple[Any, ...] = out if isinstance(out, tuple) else (out,)
        shape, first = self.layer[0].shape, outs[0]
        if not (wrt & 1 and isinstance(first, np.ndarray)):
            grads = self._run(_POLICY, self.layer, _GRAD, wrt, out, along)[1]
            return (grads[0].reshape(shape), *grads[1:]) if wrt & 1 else grads
        if first.shape != shape:
            raise ValueError(f"{self.loss}: out has shape {first.shape}, expected {shape}")
        rows = first.reshape(-1, shape[2])
        rows.flags.writeable = first.flags.writeable
        grads = self._run(_POLICY, self.layer, _GRAD, wrt, (rows, *outs[1:]), along)[1]
        if not np.may_share_memory(rows, first):
            first[...] = rows.reshape(shape)
        return (first, *grads[1:])

    def _run(
        self, head: Head, layer: Sequence[Any], want: int, wrt: int = 0, out: Any = None, along: Array | None = None
    ) -> tuple[Any, tuple[Any, ...]]:
        input, *others = layer
        rows = input.reshape(-1, input.shape[2])
        call: Any = head(rows, *others, label=self.labels.reshape(-1), ignore_index=self.ignore_index)
        kernel, inputs, params, options = call
        cotangent = None if along is None else along.reshape(-1)
        none = _REDUCTIONS["none"]
        value, grads, _, _ = kernel.run(
            kernel.index, self.loss, inputs, params, options, None, cotangent, none, want, wrt, out, self.threads
        )
        return value, grads
