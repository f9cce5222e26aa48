"""The `Loss` object: a documented function plus every way of asking it for value, gradient and Hessian."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeAlias

import numpy as np

from . import _core
from ._config import thread_count
from ._core_kernels import Call, Kernel
from ._validation import as_input

P = ParamSpec("P")

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Result: TypeAlias = float | Array
Grads: TypeAlias = Array | tuple[Array, ...]

_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2, "batchmean": 3, "partial": 4}
_VALUE, _GRAD, _HESS = 1, 2, 4
_METADATA = ("Formula", "Gradient", "Hessian", "Domain", "Source")

_COMMON = """\
sample_weight : array_like, optional
    Weights of the elements, broadcast to the shape of `{first}`; must be finite and not negative. The
    mean divides by their sum. Weight 0 excludes an element, whatever it holds; a bool array is a mask.
reduction : {{{reductions}}}, default "{default}"
    "mean" and "sum" give a float accumulated in double precision; "none" gives an array.

Returns
-------
float or ndarray
    The reduced loss, or one value per element of `{first}`. The mean of nothing is NaN.

Raises
------
ValueError
    If a parameter is out of its range, an array does not broadcast to the shape of `{first}`, or a
    weight is negative or not finite.
TypeError
    If an argument is not a real array on the CPU."""


class PartialSum(NamedTuple):
    """The sums of one chunk as unevaluated pairs of doubles (high + low), ready to be merged."""

    total: float
    total_low: float
    weight: float
    weight_low: float
    size: int


class Loss(Generic[P]):
    """A loss function.

    Calling it gives the (reduced) value. `value_and_grad`, `grad`, `backward` and `grad_and_hess` take the same
    arguments; all of them run the same kernel in one pass over the data.

    Attributes
    ----------
    name : str
        The public name, e.g. ``"huber_loss"``.
    family : str
        The driver that carries it: ``"elementwise"``, ...
    inputs : tuple of str
        Names of the array arguments.
    params : dict
        Names and defaults (or bound values) of the parameters.
    differentiable : tuple of str
        Array arguments that have a gradient.
    trains : tuple of str
        Those of them whose gradient is given by default.
    has_hessian : bool
        Whether `grad_and_hess` works.
    aliases : tuple of str
        Other names of the same loss.
    summary, formula, gradient, hessian, domain, source : str
        From the documentation.
    """

    def __init__(
        self,
        function: Callable[P, Result],
        *,
        family: str,
        trains: Sequence[str],
        aliases: Sequence[str] = (),
        reductions: Sequence[str] = ("none", "mean", "sum"),
    ) -> None:
        functools.update_wrapper(self, function)
        self._function: Callable[..., Any] = function
        self._bound: dict[str, Any] = {}
        self.name: str = function.__name__
        self.family = family
        self.trains: tuple[str, ...] = tuple(trains)
        self.aliases: tuple[str, ...] = tuple(aliases)
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._default_reduction: str = parameters["reduction"].default
        self._default_bits: dict[int, int] = {}  # by kernel
        self._reductions = tuple(reductions)
        self._metadata = _parse_metadata(inspect.cleandoc(function.__doc__ or ""))
        self.__doc__ = self._document(inspect.cleandoc(function.__doc__ or ""))

    # ---- what it is ----------------------------------------------------------------------------

    @property
    def __signature__(self) -> inspect.Signature:
        changed = [
            p.replace(default=self._bound[p.name]) if p.name in self._bound else p
            for p in self._signature.parameters.values()
        ]
        return self._signature.replace(parameters=changed)

    @functools.cached_property
    def _probe(self) -> Call:
        """The call that a loss with its default (or bound) parameters makes."""
        arrays = [0.0] * sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in self._signature.parameters.values())
        call: Call = self._function(*arrays, **{k: v for k, v in self._bound.items() if k != "reduction"})
        return call

    @functools.cached_property
    def inputs(self) -> tuple[str, ...]:
        return self._probe[0].inputs

    @functools.cached_property
    def differentiable(self) -> tuple[str, ...]:
        kernel = self._probe[0]
        return tuple(name for k, name in enumerate(kernel.inputs) if kernel.differentiable >> k & 1)

    @property
    def params(self) -> dict[str, Any]:
        skip = {*self.inputs, "weight", "sample_weight", "reduction"}
        return {p.name: p.default for p in self.__signature__.parameters.values() if p.name not in skip}

    @functools.cached_property
    def has_hessian(self) -> bool:
        return self._probe[0].has_hessian

    @property
    def summary(self) -> str:
        return self._metadata["Summary"]

    @property
    def formula(self) -> str:
        return self._metadata["Formula"]

    @property
    def gradient(self) -> str:
        return self._metadata["Gradient"]

    @property
    def hessian(self) -> str:
        return self._metadata["Hessian"]

    @property
    def domain(self) -> str:
        return self._metadata["Domain"]

    @property
    def source(self) -> str:
        return self._metadata["Source"]

    def _document(self, text: str) -> str:
        first = next(iter(self._signature.parameters))
        reductions = ", ".join(f'"{name}"' for name in self._reductions)
        return text.replace(
            "{common}", _COMMON.format(first=first, reductions=reductions, default=self._default_reduction)
        )

    # ---- calling it ----------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result:
        value: Result = self._run(args, kwargs, _VALUE)[0]
        return value

    def value_and_grad(
        self, *args: Any, wrt: str | Sequence[str] | None = None, out: Any = None, **kwargs: Any
    ) -> tuple[Result, Grads]:
        """The value and, in the same pass, its gradient.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself; also ``n_threads``.
        wrt : str or sequence of str, optional
            Arguments to differentiate with respect to; by default those in `trains`.
        out : ndarray or tuple of ndarray, optional
            Where to write the gradient(s): writable, of the argument's shape and dtype. May be the argument itself.

        Returns
        -------
        value : float or ndarray
        grad : ndarray or tuple of ndarray
            The gradient of the reduced value (of the sum, for reduction "none"), in the argument's dtype (float64
            for integers); a tuple in argument order if there are several.
        """
        value, grads, _ = self._run(args, kwargs, _VALUE | _GRAD, wrt, out)
        return value, grads

    def grad(self, *args: Any, wrt: str | Sequence[str] | None = None, out: Any = None, **kwargs: Any) -> Grads:
        """The gradient alone; arguments and result as for `value_and_grad`."""
        grads: Grads = self._run(args, kwargs, _GRAD, wrt, out)[1]
        return grads

    def backward(
        self, grad_output: Any, *args: Any, wrt: str | Sequence[str] | None = None, out: Any = None, **kwargs: Any
    ) -> Grads:
        """The vector-Jacobian product: the gradient of ``sum(grad_output * loss)``.

        Parameters
        ----------
        grad_output : float or array_like
            The cotangent: a scalar for a reduced loss; for reduction "none" an array that broadcasts to the loss.
        *args, wrt, out, **kwargs
            As for `value_and_grad`.

        Returns
        -------
        ndarray or tuple of ndarray
        """
        cotangent = as_input(self.name, "grad_output", grad_output)
        grads: Grads = self._run(args, kwargs, _GRAD, wrt, out, cotangent)[1]
        return grads

    def grad_and_hess(self, *args: Any, out: Any = None, **kwargs: Any) -> tuple[Array, Array]:
        """Gradient and Hessian diagonal in the first argument, in one pass: what boosting asks for.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself. Unlike elsewhere `reduction` is "sum" unless given: boosting libraries add
            up the elements themselves.
        out : tuple of ndarray, optional
            ``(grad, hess)`` to write into.

        Returns
        -------
        grad, hess : ndarray

        Raises
        ------
        TypeError
            If the loss has no Hessian; see `has_hessian`.
        """
        if not self.has_hessian:
            raise TypeError(f"{self.name} has no Hessian")
        kwargs.setdefault("reduction", "sum")
        _, grads, hess = self._run(args, kwargs, _GRAD | _HESS, self.inputs[0], out)
        return grads, hess

    def partial(self, *args: Any, **kwargs: Any) -> PartialSum:
        """The sum of the losses and of the weights as compensated pairs, for evaluation in chunks.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself, without `reduction`.

        Returns
        -------
        PartialSum
        """
        return PartialSum(*self._run(args, kwargs, _VALUE, reduction="partial")[0])

    def bind(self, **params: Any) -> Loss[P]:
        """This loss with parameters fixed.

        Parameters
        ----------
        **params
            New defaults for keyword-only arguments.

        Returns
        -------
        Loss
            A picklable loss with the same name.
        """
        for name in params:
            p = self._signature.parameters.get(name)
            if p is None or p.kind is not p.KEYWORD_ONLY or name == "sample_weight":
                raise TypeError(f"{self.name} has no parameter {name!r}")
        self._reduction_code(params.get("reduction", self._default_reduction))
        bound: Loss[P] = object.__new__(type(self))
        bound.__dict__.update({k: v for k, v in self.__dict__.items() if k not in _CACHED})
        bound._bound = {**self._bound, **params}
        _ = bound._probe  # refuses a bad parameter now rather than at the first call
        return bound

    def __reduce__(self) -> tuple[Any, ...]:
        # By name, so that a pickle holds no code and outlives the layout of this class.
        return (_restore, (self.name, self._bound))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loss) and (self.name, self._bound) == (other.name, other._bound)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        if not self._bound:
            return f"<loss {self.name}>"
        return f"<loss {self.name} with {', '.join(f'{k}={v!r}' for k, v in self._bound.items())}>"

    # ---- how it runs ---------------------------------------------------------------------------

    def _reduction_code(self, reduction: Any) -> int:
        if not isinstance(reduction, str) or reduction not in self._reductions:
            options = ", ".join(map(repr, self._reductions))
            raise ValueError(f"{self.name}: reduction must be one of {options}, got {reduction!r}")
        return _REDUCTIONS[reduction]

    def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        want: int,
        wrt: str | Sequence[str] | None = None,
        out: Any = None,
        cotangent: Any = None,
        reduction: str | None = None,
    ) -> tuple[Any, Any, Any]:
        name = self.name
        if self._bound:
            kwargs = {**self._bound, **kwargs}
        sample_weight = threads = None
        chosen = self._default_reduction
        if kwargs:
            sample_weight = kwargs.pop("sample_weight", None)
            threads = kwargs.pop("n_threads", None)
            chosen = kwargs.pop("reduction", chosen)
        code = self._reduction_code(chosen) if reduction is None else _REDUCTIONS[reduction]
        try:
            kernel, inputs, params, weight, weight_normalises = self._function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            if str(error).startswith(name):
                raise
            raise type(error)(f"{name}: {error}") from None
        for x in inputs:
            if type(x) is not np.ndarray:
                inputs = tuple([as_input(name, n, x) for n, x in zip(kernel.inputs, inputs, strict=True)])
                break
        if sample_weight is not None:
            sample_weight = as_input(name, "sample_weight", sample_weight)
        if weight is not None:
            weight = as_input(name, "weight", weight)
        value, grads, hess = _core.elementwise(
            kernel.index,
            name,
            inputs,
            params,
            sample_weight,
            weight,
            weight_normalises,
            cotangent,
            code,
            want,
            self._wrt_bits(kernel, wrt) if want & _GRAD else 0,
            out,
            thread_count(threads),
        )
        return value, grads[0] if len(grads) == 1 else grads, hess

    def _wrt_bits(self, kernel: Kernel, wrt: str | Sequence[str] | None) -> int:
        if wrt is None:
            known = self._default_bits.get(kernel.index)
            if known is None:
                known = self._default_bits[kernel.index] = self._wrt_bits(kernel, self.trains)
            return known
        if not isinstance(wrt, (str, list, tuple)):
            raise TypeError(f"{self.name}: wrt must be the name of an argument or several, got {type(wrt).__name__}")
        bits = 0
        for name in (wrt,) if isinstance(wrt, str) else wrt:
            k = kernel.inputs.index(name) if name in kernel.inputs else -1
            if k < 0 or not kernel.differentiable >> k & 1:
                raise ValueError(
                    f"{self.name}: wrt must be among {', '.join(map(repr, self.differentiable))}, got {name!r}"
                )
            bits |= 1 << k
        if not bits:
            raise ValueError(f"{self.name}: wrt names no argument")
        return bits


_CACHED = ("_probe", "inputs", "differentiable", "has_hessian")
REGISTRY: dict[str, Loss[Any]] = {}


def _restore(name: str, bound: dict[str, Any]) -> Loss[Any]:
    return REGISTRY[name].bind(**bound) if bound else REGISTRY[name]


def elementwise(
    *,
    trains: Sequence[str] = ("input",),
    aliases: Sequence[str] = (),
    reductions: Sequence[str] = ("none", "mean", "sum"),
) -> Callable[[Callable[P, Result]], Loss[P]]:
    """Makes a `Loss` of the elementwise family from a function whose body names the kernel.

    Parameters
    ----------
    trains : sequence of str
        Arguments whose gradient is given by default.
    aliases : sequence of str
        Other names people search for.
    reductions : sequence of str
        What `reduction` may be.
    """

    def decorate(function: Callable[P, Result]) -> Loss[P]:
        loss = Loss(function, family="elementwise", trains=trains, aliases=aliases, reductions=reductions)
        REGISTRY[loss.name] = loss
        return loss

    return decorate


def losses(query: str | None = None) -> list[Loss[Any]]:
    """Every loss, or those a search finds.

    Parameters
    ----------
    query : str, optional
        Case-insensitive text to look for in names and aliases, then in summaries and sources.

    Returns
    -------
    list of Loss
        Sorted by name; for a query, matches of a name or alias come first.
    """
    everything = [REGISTRY[name] for name in sorted(REGISTRY)]
    if query is None:
        return everything
    wanted = _squeezed(query)
    by_name = [loss for loss in everything if any(wanted in _squeezed(n) for n in (loss.name, *loss.aliases))]
    by_text = [loss for loss in everything if wanted in _squeezed(loss.summary + loss.source)]
    return by_name + [loss for loss in by_text if loss not in by_name]


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _parse_metadata(text: str) -> dict[str, str]:
    """The summary line and the paragraphs that open with "Formula:", "Gradient:", ..."""
    found = {"Summary": text.split("\n", 1)[0], **dict.fromkeys(_METADATA, "")}
    pattern = rf"^({'|'.join(_METADATA)}):(.*?)(?=^(?:{'|'.join(_METADATA)}):|^\s*$|\Z)"
    for name, body in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
        found[name] = " ".join(body.split())
    return found
