"""Losses composed of others: sums of losses of some of the arguments, with the gradients of all of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, ParamSpec, Protocol, TypeAlias

import numpy as np

from ._documented import Documented, search
from ._loss import Array, Loss, Result
from ._validation import as_input, is_bfloat16
from .activation import l2_normalize

P = ParamSpec("P")

_COMMON = """\
Returns
-------
float
    The loss, accumulated in double precision.

Raises
------
ValueError
    If a parameter is out of its range or arrays do not fit each other.
TypeError
    If an argument is not a real array on the CPU."""

# An array of the composition: the name of its argument, and which of a list of arrays it is.
Key: TypeAlias = tuple[str, int]
Gradients: TypeAlias = dict[Key, Array]


@dataclass(frozen=True)
class Given:
    """An array as it was given."""

    name: str
    array: Any
    index: int = 0

    @property
    def value(self) -> Any:
        return self.array

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def pull(self, grad: Array, into: Gradients) -> None:
        """Add what the gradient in the value means for the arguments."""
        key = self.name, self.index
        into[key] = into[key] + grad if key in into else grad


@dataclass(frozen=True)
class Relative:
    """An array less the mean of another one."""

    own: Given
    other: Given

    @property
    def value(self) -> Any:
        return self.own.array.astype(_arithmetic(self.own.array)) - _mean(self.other.array)

    @property
    def names(self) -> frozenset[str]:
        return self.own.names | self.other.names

    def pull(self, grad: Array, into: Gradients) -> None:
        self.own.pull(grad.astype(_float_of(self.own.array)), into)
        each = -float(np.sum(grad, dtype=np.float64)) / max(self.other.array.size, 1)
        self.other.pull(np.full(self.other.array.shape, each, _float_of(self.other.array)), into)


def _scaled(grad: Array, factor: float) -> Array:
    if factor == 1.0:
        return grad
    wide = grad.astype(_arithmetic(grad), copy=False)
    return (wide * factor).astype(grad.dtype, copy=False)


def _mean(array: Array) -> float:
    return float(np.sum(array, dtype=np.float64)) / array.size if array.size else math.nan


@dataclass(frozen=True)
class Norms:
    """Euclidean norms of the samples along the first axis of an array, none of them smaller than `floor`."""

    own: Given
    floor: float

    @functools.cached_property
    def _rows(self) -> Array:
        array: Array = self.own.array
        return array.astype(_arithmetic(array), copy=False).reshape(len(array) if array.ndim else 1, -1)

    @functools.cached_property
    def _directions(self) -> Array:
        return l2_normalize(self._rows)

    @functools.cached_property
    def value(self) -> Array:
        lengths: Array = np.einsum("nd,nd->n", self._rows, self._directions, dtype=np.float64)
        return np.asarray(np.maximum(lengths, self.floor))

    @property
    def names(self) -> frozenset[str]:
        return self.own.names

    def pull(self, grad: Array, into: Gradients) -> None:
        rows = np.multiply(self._directions, grad[:, None], dtype=np.float64)
        self.own.pull(rows.reshape(self.own.array.shape).astype(_float_of(self.own.array)), into)


def _float_of(array: Array) -> Any:
    """The dtype of gradients."""
    return np.float64 if array.dtype.kind in "biu" else array.dtype


def _arithmetic(array: Array) -> Any:
    return np.promote_types(_float_of(array), np.float32)


class Plan(Protocol):
    """What the body of a composition returns: how to get its value and gradients."""

    def run(self, wrt: frozenset[str], threads: int | None) -> tuple[float, Gradients]:
        """The value and the gradients in the arguments named by `wrt`."""


@dataclass(frozen=True)
class Part:
    """A number times a loss of arrays or numbers, in the order of its arguments."""

    loss: Loss[Any]
    arrays: tuple[Given | Relative | Norms | float, ...]
    scale: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(self, wrt: frozenset[str], threads: int | None) -> tuple[float, Gradients]:
        values = [x if isinstance(x, float) else x.value for x in self.arrays]
        wanted = {
            name: x
            for name, x in zip(self.loss.inputs, self.arrays, strict=True)
            if not isinstance(x, float) and x.names & wrt
        }
        into: Gradients = {}
        value: Any
        try:
            if wanted:
                value, grads = self.loss.value_and_grad(*values, wrt=tuple(wanted), n_threads=threads, **self.options)
                for x, grad in zip(wanted.values(), grads if isinstance(grads, tuple) else (grads,), strict=True):
                    x.pull(_scaled(grad, self.scale), into)
            else:
                value = self.loss(*values, n_threads=threads, **self.options)
        except (TypeError, ValueError) as error:
            self._blame(error)
        return self.scale * value, into

    def _blame(self, error: Exception) -> NoReturn:
        """Raise the error again in terms of the composition's argument, whose name it will be given."""
        for name, x in zip(self.loss.inputs, self.arrays, strict=True):
            text = str(error)
            if isinstance(x, Given) and text.startswith(f"{self.loss.name}: {name} "):
                raise type(error)(x.name + text[len(f"{self.loss.name}: {name}") :]) from None
        raise error


@dataclass(frozen=True)
class Constant:
    """A number."""

    number: float

    def run(self, wrt: frozenset[str], threads: int | None) -> tuple[float, Gradients]:
        return self.number, {}


@dataclass(frozen=True)
class Sum:
    """Plans added up."""

    plans: tuple[Plan, ...]

    def run(self, wrt: frozenset[str], threads: int | None) -> tuple[float, Gradients]:
        total, into = 0.0, dict[Key, Array]()
        for plan in self.plans:
            value, grads = plan.run(wrt, threads)
            total += value
            for (name, index), grad in grads.items():
                Given(name, None, index).pull(grad, into)
        return total, into


def given(name: str, value: Any) -> Given:
    """The one array of an argument."""
    return Given(name, as_array(name, value))


def each_given(name: str, value: Any) -> tuple[Given, ...]:
    """The arrays of an argument that may be a list of them."""
    several = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(Given(name, as_array(name, x), index) for index, x in enumerate(several))


def as_array(name: str, value: Any) -> Array:
    """What the core takes, as an array."""
    array = np.asarray(as_input("", name, value))
    if array.dtype.kind not in "biuf" and not is_bfloat16(array.dtype):
        raise TypeError(f"{name} has dtype {array.dtype}; expected a real floating, integer or bool array")
    return array


def composed(*plans: Plan) -> Result:
    """The sum of plans; annotated as what the public function gives its caller."""
    return Sum(plans)  # type: ignore[return-value]


class Composition(Documented[P]):
    """A loss composed of other losses.

    Calling it gives the value; `value_and_grad`, `grad` and `backward` take the same arguments.

    Attributes
    ----------
    name : str
        The public name, e.g. ``"gan_discriminator_loss"``.
    family : str
        ``"composition"``.
    inputs : tuple of str
        Names of the array arguments that have a gradient: all but the labels, which are called `target`.
    params : dict
        Names and defaults (or bound values) of the parameters.
    differentiable : tuple of str
        The same.
    trains : tuple of str
        Those of them whose gradient is given by default.
    has_hessian : bool
        False.
    aliases : tuple of str
        Other names of the same loss.
    summary, formula, gradient, domain, source : str
        From the documentation.
    """

    kind: ClassVar[str] = "loss"
    registry: ClassVar[dict[str, Composition[Any]]] = {}
    per_call: ClassVar[tuple[str, ...]] = ()
    around: ClassVar[tuple[str, ...]] = ()
    family = "composition"
    has_hessian = False
    hessian = ""

    def __init__(self, function: Callable[P, Result], *, trains: Sequence[str], aliases: Sequence[str] = ()) -> None:
        self.trains: tuple[str, ...] = tuple(trains)
        super().__init__(function, aliases=aliases)

    def _document(self, text: str) -> str:
        return text.replace("{common}", _COMMON)

    @functools.cached_property
    def _probe(self) -> Any:
        return self._function(*(0.0 for _ in self._arrays), **self._bound)

    @property
    def _arrays(self) -> tuple[str, ...]:
        return tuple(p.name for p in self._signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name in self._arrays if name != "target")

    @property
    def differentiable(self) -> tuple[str, ...]:
        return self.inputs

    @property
    def params(self) -> dict[str, Any]:
        return {name: value for name, value in super().params.items() if name not in ("reduction", "target")}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> float:
        return self._run(args, kwargs, frozenset())[0]

    def value_and_grad(self, *args: Any, wrt: str | Sequence[str] | None = None, **kwargs: Any) -> tuple[float, Any]:
        """The value and, in the same call, its gradients.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself; also ``n_threads``.
        wrt : str or sequence of str, optional
            Arguments to differentiate with respect to; by default those in `trains`.

        Returns
        -------
        value : float
        grad : ndarray or tuple
            In the argument's shape and dtype (float64 for integers); a tuple in argument order if there are several
            arguments. The gradient of an argument that is a list of arrays is a tuple of arrays.
        """
        names = self._names(wrt)
        value, grads = self._run(args, kwargs, frozenset(names))
        given = self._signature.bind(*args, **{k: v for k, v in kwargs.items() if k != "n_threads"}).arguments
        each = tuple(self._collect(name, given[name], grads) for name in self.inputs if name in names)
        return value, each if len(each) > 1 else each[0]

    def grad(self, *args: Any, wrt: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        """The gradients alone; arguments and result as for `value_and_grad`."""
        return self.value_and_grad(*args, wrt=wrt, **kwargs)[1]

    def backward(self, grad_output: float, *args: Any, wrt: str | Sequence[str] | None = None, **kwargs: Any) -> Any:
        """The gradients of ``grad_output * loss``.

        Parameters
        ----------
        grad_output : float
            The cotangent.
        *args, wrt, **kwargs
            As for `value_and_grad`.

        Returns
        -------
        ndarray or tuple
        """
        factor = as_array("grad_output", grad_output)
        if factor.ndim:
            raise ValueError(f"{self.name}: grad_output has shape {factor.shape}, expected a scalar")

        def scaled(grads: Any) -> Any:
            return tuple(map(scaled, grads)) if isinstance(grads, tuple) else _scaled(grads, float(factor))

        return scaled(self.grad(*args, wrt=wrt, **kwargs))

    def _names(self, wrt: str | Sequence[str] | None) -> tuple[str, ...]:
        names = self.trains if wrt is None else (wrt,) if isinstance(wrt, str) else tuple(wrt)
        for name in names:
            if name not in self.inputs:
                options = ", ".join(map(repr, self.inputs))
                raise ValueError(f"{self.name}: wrt must be among {options}, got {name!r}")
        if not names:
            raise ValueError(f"{self.name}: wrt names no argument")
        return names

    def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any], wrt: frozenset[str]) -> tuple[float, Gradients]:
        options = {**self._bound, **kwargs}
        threads = options.pop("n_threads", None)
        try:
            plan: Plan = self._function(*args, **options)
            return plan.run(wrt, threads)
        except (TypeError, ValueError) as error:
            if str(error).startswith(self.name):
                raise
            raise type(error)(f"{self.name}: {str(error).removeprefix(': ')}") from None

    def _collect(self, name: str, value: Any, grads: Gradients) -> Any:
        several = value if isinstance(value, (list, tuple)) else (value,)
        each = tuple(
            grads[name, k] if (name, k) in grads else np.zeros_like(x, dtype=_float_of(np.asarray(x)))
            for k, x in enumerate(several)
        )
        return each if isinstance(value, (list, tuple)) else each[0]


def composition(
    *, trains: Iterable[str], aliases: Iterable[str] = ()
) -> Callable[[Callable[P, Result]], Composition[P]]:
    """Makes a `Composition` of a function whose body returns its plan.

    Parameters
    ----------
    trains : iterable of str
        Arguments whose gradient is given by default.
    aliases : iterable of str
        Other names people search for.
    """

    def decorate(function: Callable[P, Result]) -> Composition[P]:
        made = Composition(function, trains=tuple(trains), aliases=tuple(aliases))
        Composition.registry[made.name] = made
        return made

    return decorate


def losses(query: str | None = None) -> list[Loss[Any] | Composition[Any]]:
    """Every loss, or those a search finds.

    Parameters
    ----------
    query : str, optional
        Case-insensitive text to look for in names and aliases, then in summaries and sources.

    Returns
    -------
    list of Loss and Composition
        Sorted by name; for a query, matches of a name or alias come first.
    """
    everything: list[Loss[Any] | Composition[Any]] = [*Loss.registry.values(), *Composition.registry.values()]
    return search(everything, query)
