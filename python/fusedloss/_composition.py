"""Losses composed of others: sums of losses of some of the arguments, with the gradients of all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Protocol, TypeAlias

import numpy as np

from ._core_kernels import Kernel
from ._loss import _GRAD, _REDUCTIONS, _VALUE, Array, Family, Loss, Result, _Enlist
from ._validation import as_array, spread

_EACH = """
    Each array is reduced by itself, and the results are added; "none" adds them element by element,
    which needs arrays of one shape."""
_PER_SAMPLE = """ "sum_per_sample" sums over each sample and
    averages over the first axis."""
_SCORES = """\
real : array_like
    Scores that the discriminator gives real samples, any shape.
fake : array_like
    Scores that the discriminator gives generated samples, any shape.
"""
_COMMON_OF_A_BATCH = """
Returns
-------
float
    The loss, accumulated in double precision: one number of the whole batch. As its terms compare samples
    with each other, none is that of one sample: there is neither another reduction nor a weight of samples.

Raises
------
ValueError
    If a parameter is out of its range or arrays do not fit each other.
TypeError
    If an argument is not a real array on the CPU."""

_SUMS = Family("composition", "elements", "an element", "the arrays", how=_EACH, arrays=_SCORES)
_DIFFERENCES = _SUMS._replace(how=_EACH + _PER_SAMPLE, reductions=("none", "mean", "sum_per_sample", "sum"))
_BY_SAMPLE = Family("composition", "samples", "a sample", "the first axis of `{}`")
_OF_A_BATCH = Family("composition", "", "", "", text=_COMMON_OF_A_BATCH, reductions=("mean",))

composition = _Enlist(_SUMS)
composition_of_differences = _Enlist(_DIFFERENCES)
composition_by_sample = _Enlist(_BY_SAMPLE)
composition_of_a_batch = _Enlist(_OF_A_BATCH)

_BY_CODE = {code: name for name, code in _REDUCTIONS.items()}

# An array of the composition: the name of its argument, and which of a list of arrays it is.
Key: TypeAlias = tuple[str, int]
Gradients: TypeAlias = dict[Key, Array]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Asked:
    """What a call asks of its plans: the value, the gradients in some arguments, and how both are reduced."""

    want: int
    wrt: frozenset[str]
    threads: int = 0
    reduction: str = "mean"
    weight: Any = None
    cotangent: Any = None

    @property
    def factor(self) -> float:
        """What multiplies the gradients of a reduced loss."""
        return 1.0 if self.cotangent is None else float(self.cotangent)

    def options(self, reduction: str, weight: Any) -> dict[str, Any]:
        """What a loss that runs for this call is told."""
        return {"n_threads": self.threads or None, "reduction": reduction, "sample_weight": weight}


@dataclass(frozen=True)
class Given:
    """An array as it was given."""

    name: str
    array: Array
    index: int = 0
    constant: bool = False  # has no gradient

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    @property
    def shape(self) -> Shape:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> Any:
        """That of its gradient."""
        dtype = self.array.dtype
        return np.dtype(np.float64) if dtype.kind in "biu" else dtype.newbyteorder("=")

    def value(self, asked: Asked) -> Array:
        """The array in the precision of the arithmetic: results of halves are rounded once, in the end."""
        if self.array.dtype.kind in "biu":
            return self.array
        return self.array.astype(np.promote_types(self.dtype, np.float32), copy=False)

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        add({(self.name, self.index): grad}, into)


def add(grads: Gradients, into: Gradients) -> None:
    """Add gradients to those that are there."""
    for key, grad in grads.items():
        if key in into and into[key].dtype == grad.dtype:
            into[key] += grad
        else:
            into[key] = into[key] + grad if key in into else grad


class Source(Protocol):
    """What a part takes for an array: one that was given, or what is made of some."""

    @property
    def names(self) -> frozenset[str]:
        """Those of the arguments it is made of."""

    @property
    def shape(self) -> Shape: ...

    def value(self, asked: Asked) -> Array:
        """The numbers."""

    def pull(self, grad: Array, asked: Asked, into: Gradients) -> None:
        """Add what the gradient in the value means for the arguments."""


class Plan(Protocol):
    """Part of what the body of a composition returns: how to get its value and gradients."""

    @property
    def shape(self) -> Shape:
        """Of the value that is not reduced."""

    def run(self, asked: Asked) -> tuple[Any, Gradients]:
        """The value and the gradients that are wanted."""


@dataclass(frozen=True)
class Part:
    """A number times a loss of arrays or numbers, in the order of its arguments."""

    loss: Loss[Any]
    arrays: tuple[Source | float, ...]
    scale: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        return next(x.shape for x in self.arrays if not isinstance(x, float))

    def run(self, asked: Asked) -> tuple[Any, Gradients]:
        reduction, scale = asked.reduction, self.scale
        if reduction == "sum_per_sample":
            reduction, scale = "mean", scale * (np.prod(self.shape[1:], dtype=float) if self.shape else 1.0)
        cotangent = None if asked.cotangent is None else np.asarray(asked.cotangent)
        return self._run(asked, asked.options(reduction, asked.weight), scale, cotangent)

    def _run(
        self, asked: Asked, options: dict[str, Any], scale: float, cotangent: Array | None
    ) -> tuple[Any, Gradients]:
        wanted = {
            name: x
            for name, x in zip(self.loss.inputs, self.arrays, strict=True)
            if asked.want & _GRAD and not isinstance(x, float) and x.names & asked.wrt
        }
        want = asked.want & _VALUE | (_GRAD if wanted else 0)
        into: Gradients = {}
        if not want:
            return None, into
        factor = scale if cotangent is None else np.asarray(scale * cotangent, np.float64)
        try:
            value, grads, _, _ = self.loss._run(
                self._values(asked), {**options, **self.options}, want, tuple(wanted), cotangent=factor
            )
        except (TypeError, ValueError) as error:
            self._blame(error)
        for x, grad in zip(wanted.values(), grads if isinstance(grads, tuple) else (grads,), strict=True):
            x.pull(grad, asked, into)
        return scale * value if want & _VALUE else None, into

    def _values(self, asked: Asked) -> tuple[Any, ...]:
        return tuple(x if isinstance(x, float) else x.value(asked) for x in self.arrays)

    def _blame(self, error: Exception) -> NoReturn:
        """Raise the error again in terms of the composition's argument, whose name it will be given."""
        text = re.sub(r"^\w+: ", "", str(error))
        for name, x in zip(self.loss.inputs, self.arrays, strict=True):
            if isinstance(x, Given) and text.startswith(f"{name} "):
                raise type(error)(x.name + text[len(name) :]) from None
        raise type(error)(text) from None


@dataclass(frozen=True)
class SampleSums(Part):
    """A number times the sums of a loss over each sample of its arrays, which lie along the first axis.

    Columns of the samples that `columns`, if given, does not name are left out.
    """

    columns: Array | None = None

    @property
    def shape(self) -> Shape:
        return super().shape[:1]

    def run(self, asked: Asked) -> tuple[Any, Gradients]:
        samples = self.shape
        weight, divisor = self._weight(asked), samples_weighed(asked, samples)[1]
        if self.columns is not None:
            weight = self.columns if weight is None else weight * self.columns
        cotangent = None if asked.cotangent is None else np.asarray(asked.cotangent)
        if asked.reduction == "none":
            if cotangent is not None and cotangent.ndim:
                cotangent = self._along(spread("grad_output", cotangent, samples))
            value, into = self._run(asked, asked.options("none", weight), self.scale, cotangent)
            return None if value is None else by_sample(value, samples).sum(-1, dtype=np.float64), into
        scale = self.scale if asked.reduction == "sum" else self.scale / divisor if divisor else 0.0
        value, into = self._run(asked, asked.options("sum", weight), scale, cotangent)
        return value if divisor or asked.reduction == "sum" else np.nan, into

    def elements(self, asked: Asked) -> Any:
        """What the sums are over, weighed, in double precision."""
        terms = self.loss(*self._values(asked), **asked.options("none", self._weight(asked)))
        return self.scale * np.asarray(terms, np.float64)

    def _weight(self, asked: Asked) -> Array | None:
        weight = samples_weighed(asked, self.shape)[0]
        return None if weight is None else self._along(weight)

    def _along(self, array: Array) -> Array:
        """An array with a number for each sample, for all that a sample has."""
        return array.reshape(*array.shape, *(1,) * (len(super().shape) - array.ndim))


def samples_weighed(asked: Asked, samples: Shape) -> tuple[Array | None, float]:
    """The weights of the samples, and what a mean over them divides by."""
    if asked.weight is None:
        return None, float(np.prod(samples))
    weight = spread("sample_weight", asked.weight, samples)
    wrong = ~(np.isfinite(weight) & (weight >= 0.0))
    if wrong.any():
        at = ", ".join(map(str, np.argwhere(wrong)[0]))
        raise ValueError(f"sample_weight[{at}] is negative or not finite")
    return weight, float(np.sum(weight, dtype=np.float64))


def by_sample(array: Array, samples: Shape) -> Array:
    """A row for each sample."""
    return array.reshape(*samples, int(np.prod(array.shape[len(samples) :])))


class Composite(Kernel):
    """Plans added up: the kernel that a call of a composition runs, with its arguments and without any options."""

    __slots__ = ("arguments", "plans")

    def __init__(self, arguments: tuple[Given | tuple[Given, ...], ...], names: tuple[str, ...], plans: Any) -> None:
        self.arguments = arguments
        self.plans: tuple[Plan, ...] = plans
        constant = [isinstance(argument, Given) and argument.constant for argument in arguments]
        super().__init__(
            {
                "index": 0,
                "name": "composition",
                "inputs": names,
                "params": (),
                "arrays": len(names),
                "differentiable": sum(1 << k for k in range(len(names)) if not constant[k]),
                "has_hessian": False,
            }
        )

    array_options = ()

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
        """As every kernel; nothing is written before all plans have run, so `out` may be an argument."""
        chosen = [(k, self.inputs[k], self.arguments[k]) for k in range(len(self.inputs)) if wrt >> k & 1]
        asked = Asked(want, frozenset(n for _, n, _ in chosen), threads, _BY_CODE[reduction], None, cotangent)
        try:
            if sample_weight is not None:
                asked = replace(asked, weight=as_array("sample_weight", sample_weight))
            self._check(asked)
            outs = _checked_outs([argument for *_, argument in chosen], out)
            value, into = self._sum(asked)
        except (TypeError, ValueError, IndexError) as error:
            raise type(error)(f"{name}: {error}") from None
        with np.errstate(over="ignore"):  # what a half cannot hold is infinite, as it is from the core
            grads = tuple(_written(argument, to, into) for (*_, argument), to in zip(chosen, outs, strict=True))
            if want & _VALUE:
                value = np.asarray(value, self._value_dtype()) if asked.reduction == "none" else float(value)
        return value, grads, None, None

    def _check(self, asked: Asked) -> None:
        if asked.reduction == "partial":
            raise TypeError("a composition of losses has no one sum of terms to merge")
        shapes = {plan.shape: None for plan in self.plans} if asked.reduction == "none" else {}
        if len(shapes) > 1:
            raise ValueError(f"reduction 'none' needs arrays of one shape, got {' and '.join(map(str, shapes))}")
        if asked.cotangent is not None and np.ndim(asked.cotangent) and asked.reduction != "none":
            shape = np.shape(asked.cotangent)
            raise ValueError(f"grad_output has shape {shape}, expected a scalar as the loss is reduced")

    def _sum(self, asked: Asked) -> tuple[Any, Gradients]:
        total, into = 0.0, Gradients()
        for plan in self.plans:
            value, grads = plan.run(asked)
            total = total + value if asked.want & _VALUE else total
            add(grads, into)
        return total, into

    def _value_dtype(self) -> Any:
        floats = [x.dtype for x in _flat(self.arguments) if x.array.dtype.kind not in "biu" and not x.constant]
        return np.result_type(*floats) if floats else np.float64


def _flat(arguments: Any) -> list[Given]:
    return [x for argument in arguments for x in several(argument)]


def _checked_outs(arguments: list[Any], out: Any) -> tuple[Any, ...]:
    """What the gradients are written into, for each argument an array, a tuple of arrays, or None."""
    if len(arguments) == 1 and not (isinstance(out, tuple) and not isinstance(arguments[0], tuple)):
        outs: tuple[Any, ...] = (out,)
    else:
        outs = _one_each(out, len(arguments))
    pairs: list[tuple[Given, Any]] = []
    for argument, to in zip(arguments, outs, strict=True):
        pairs += (
            zip(argument, _one_each(to, len(argument)), strict=True)
            if isinstance(argument, tuple)
            else [(argument, to)]
        )
    given = [to for like, to in pairs if to is not None and _checked_out(like, to)]
    if any(np.may_share_memory(a, b) for k, a in enumerate(given) for b in given[:k]):
        raise ValueError("out: two of the arrays overlap")
    return outs


def _one_each(out: Any, count: int) -> tuple[Any, ...]:
    outs = (None,) * count if out is None else out if isinstance(out, tuple) else (out,)
    if len(outs) != count:
        raise ValueError(f"out has {len(outs)} arrays, expected {count}")
    return outs


def _checked_out(like: Given, out: Any) -> bool:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array, got {type(out).__name__}")
    if out.shape != like.shape:
        raise ValueError(f"out has shape {out.shape}, expected {like.shape}")
    if out.dtype != like.dtype:
        raise TypeError(f"out has dtype {out.dtype}, expected {like.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return True


def _written(argument: Any, out: Any, grads: Gradients) -> Any:
    """The gradient in an argument, in its own dtype and where it is wanted."""
    if isinstance(argument, tuple):
        outs = _one_each(out, len(argument))
        return tuple(_written(x, to, grads) for x, to in zip(argument, outs, strict=True))
    grad = grads.get((argument.name, argument.index))
    if out is None and grad is not None:
        return grad.astype(argument.dtype, copy=False)
    out = np.empty(argument.shape, argument.dtype) if out is None else out
    out[...] = 0.0 if grad is None else grad
    return out


def composed(*plans: Plan, **arguments: Given | tuple[Given, ...]) -> Result:
    """The sum of plans, and the arguments in order; annotated as what the public function gives its caller."""
    return Composite(tuple(arguments.values()), tuple(arguments), plans), (), (), ()  # type: ignore[return-value]


def given(name: str, value: Any, *, constant: bool = False) -> Given:
    """The one array of an argument."""
    return Given(name, as_array(name, value), constant=constant)


def each_given(name: str, value: Any) -> Given | tuple[Given, ...]:
    """The arrays of an argument that may be a list of them."""
    if not isinstance(value, (list, tuple)):
        return given(name, value)
    return tuple(Given(name, as_array(name, x), index) for index, x in enumerate(value))


def several(argument: Given | tuple[Given, ...]) -> tuple[Given, ...]:
    """The arrays of an argument, whether it is a list or not."""
    return argument if isinstance(argument, tuple) else (argument,)
