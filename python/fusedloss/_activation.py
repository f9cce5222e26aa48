"""The `Activation` object: a documented function of an array, its derivative and its vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, ParamSpec

import numpy as np

from ._config import thread_count
from ._core_kernels import Call, Kernel, row_kernels
from ._documented import Documented, search
from ._loss import Array, Result
from ._validation import as_input

P = ParamSpec("P")

_NOT_REDUCED = 0
_VALUE, _GRAD, _VALUE_TO_OUT = 1, 2, 16

# Kernels whose result is a row have another for the vector-Jacobian product.
_PULL_BACK: dict[str, Kernel] = {
    name: vars(row_kernels)[f"{name}_vjp"] for name in vars(row_kernels) if f"{name}_vjp" in vars(row_kernels)
}

# The softmax is the gradient of its normaliser, and computed fastest as that; its logarithm can stand in for it (the
# last option).
_AS_GRADIENT: dict[tuple[str, tuple[float, ...]], bool] = {
    ("softmax", (1.0, 0.0)): False,
    ("softmax", (1.0, 1.0)): True,
}

_AXIS = """\
axis : int, optional
    Axis of the classes; by default 1, or 0 of a single row."""
_COMMON = """\
out : ndarray, optional
    Where to write the result: writable, of the result's shape and dtype.{same}

Returns
-------
ndarray
    The result, of the shape{without} and dtype of `input`; float64 if that is not floating.

Raises
------
ValueError
    If a parameter is out of its range, or `out` has the wrong shape or is read-only.
TypeError
    If an argument is not a real array on the CPU, or `out` has the wrong dtype."""


class Activation(Documented[P]):
    """A function of an array: of every element, or of every row of class scores.

    Calling it gives the value; `backward` is its vector-Jacobian product. Where every element has a function of its
    own, `grad` and `value_and_grad` give the derivative. All take the same arguments, and ``n_threads``.

    Attributes
    ----------
    name : str
        The public name, e.g. ``"softplus"``.
    family : str
        The driver that carries it: ``"elementwise"`` or ``"rows"``.
    inputs : tuple of str
        Names of the array arguments.
    params : dict
        Names and defaults (or bound values) of the parameters.
    aliases : tuple of str
        Other names of the same function.
    summary, formula, gradient, domain, source : str
        From the documentation.
    """

    kind: ClassVar[str] = "activation"
    registry: ClassVar[dict[str, Activation[Any]]] = {}
    per_call: ClassVar[tuple[str, ...]] = ("out",)
    around: ClassVar[tuple[str, ...]] = ("out",)

    def __init__(self, function: Callable[P, Result], *, aliases: Sequence[str] = (), reduces: bool = False) -> None:
        self._reduces = reduces
        super().__init__(function, aliases=aliases)
        self.family: str = "rows" if "axis" in self._signature.parameters else "elementwise"

    def _document(self, text: str) -> str:
        words = (" without `axis`", "") if self._reduces else ("", " May be `input` itself.")
        common = _COMMON.format(without=words[0], same=words[1])
        return text.replace("{axis}", _AXIS).replace("{common}", common)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Array:
        named: dict[str, Any] = dict(kwargs)
        out = named.pop("out", None)
        call, threads = self._prepare(args, named)
        kernel, inputs, params, options = call
        if kernel.name in _PULL_BACK:
            log = _AS_GRADIENT.get((kernel.name, params))
            if log is not None:
                call = row_kernels.logsumexp, inputs, (), (*options[:-1], log)
            return self._run(call, _GRAD, out, threads)[0]
        return self._run(call, _VALUE, out, threads)[0]

    def backward(self, grad_output: Any, *args: Any, out: Any = None, **kwargs: Any) -> Array:
        """The vector-Jacobian product: the gradient of ``sum(grad_output * self(input))`` in `input`.

        Parameters
        ----------
        grad_output : float or array_like
            The cotangent, broadcast to the shape of the result.
        *args, out, **kwargs
            As for the activation itself: its argument, not its result.

        Returns
        -------
        ndarray
            Of the shape and dtype of `input`. Of an elementwise activation exactly 0 where `grad_output` is 0.
        """
        cotangent = as_input(self.name, "grad_output", grad_output)
        call, threads = self._prepare(args, kwargs)
        kernel, inputs, params, options = call
        pull_back = _PULL_BACK.get(kernel.name)
        if pull_back is not None:
            call = pull_back, (*inputs, _spread(cotangent, inputs[0])), params, options
            cotangent = None
        return self._run(call, _GRAD, out, threads, cotangent)[0]

    def grad(self, *args: Any, out: Any = None, **kwargs: Any) -> Array:
        """The derivative of every element; arguments and result as for the activation itself."""
        call, threads = self._prepare(args, kwargs)
        self._refuse_rows()
        return self._run(call, _GRAD, out, threads)[0]

    def value_and_grad(self, *args: Any, out: Any = None, **kwargs: Any) -> tuple[Array, Array]:
        """The value and, in the same pass, the derivative of every element.

        Parameters
        ----------
        *args, **kwargs
            As for the activation itself.
        out : tuple of ndarray, optional
            ``(value, derivative)`` to write into; either may be None.

        Returns
        -------
        value, derivative : ndarray
        """
        call, threads = self._prepare(args, kwargs)
        self._refuse_rows()
        value, derivative = self._run(call, _VALUE | _GRAD, out, threads)
        return value, derivative

    def _refuse_rows(self) -> None:
        if self.family != "elementwise":
            raise TypeError(f"{self.name} mixes the elements of a row: it has `backward`, but no derivative by element")

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, int]:
        if self._bound:
            kwargs = {**self._bound, **kwargs}
        threads = thread_count(kwargs.pop("n_threads", None))
        kernel, inputs, params, options = self._described(args, kwargs)
        arrays = tuple(as_input(self.name, name, x) for name, x in zip(kernel.inputs, inputs, strict=True))
        return (kernel, arrays, params, options), threads

    def _run(self, call: Call, want: int, out: Any, threads: int, cotangent: Any = None) -> list[Array]:
        """The value, if wanted, and the gradient, if wanted."""
        kernel, inputs, params, options = call
        options = kernel.checked(self.name, options)
        value, grads, _, _ = kernel.run(
            kernel.index,
            self.name,
            inputs,
            params,
            options,
            None,
            cotangent,
            _NOT_REDUCED,
            want | _VALUE_TO_OUT if want & _VALUE else want,
            1 if want & _GRAD else 0,
            out,
            threads,
        )
        return [value, *grads] if want & _VALUE else [*grads]


def _spread(cotangent: Any, x: Any) -> Any:
    """The cotangent in the shape of `x`, if it fits: a kernel of rows wants every class."""
    shape = np.shape(x)
    try:
        return cotangent if np.shape(cotangent) == shape else np.broadcast_to(cotangent, shape)
    except ValueError:
        return cotangent


def activation(*, aliases: Sequence[str] = (), reduces: bool = False) -> Callable[[Callable[P, Result]], Activation[P]]:
    """Makes an `Activation` of a function whose body names the kernel.

    Parameters
    ----------
    aliases : sequence of str
        Other names people search for.
    reduces : bool
        Whether the result has one number per row.
    """

    def decorate(function: Callable[P, Result]) -> Activation[P]:
        made = Activation(function, aliases=aliases, reduces=reduces)
        Activation.registry[made.name] = made
        return made

    return decorate


def activations(query: str | None = None) -> list[Activation[Any]]:
    """Every activation, or those a search finds.

    Parameters
    ----------
    query : str, optional
        Case-insensitive text to look for in names and aliases, then in summaries and sources.

    Returns
    -------
    list of Activation
        Sorted by name; for a query, matches of a name or alias come first.
    """
    return search(Activation.registry.values(), query)
