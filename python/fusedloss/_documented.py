"""What losses, metrics and activations have in common: a documented function whose parameters can be fixed."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

import numpy as np

from ._core_kernels import Call
from ._validation import flag

P = ParamSpec("P")
Self = TypeVar("Self", bound="Documented[Any]")

_REFUSALS = (TypeError, ValueError, IndexError)
_METADATA = ("Formula", "Gradient", "Hessian", "Domain", "Source")


class Documented(Generic[P]):
    """A public function whose body names the kernel that computes it."""

    kind: ClassVar[str]
    registry: ClassVar[dict[str, Any]]
    per_call: ClassVar[tuple[str, ...]]  # keyword arguments that `bind` does not fix
    around: ClassVar[tuple[str, ...]]  # keyword arguments that do not reach the function's body

    def __init__(self, function: Callable[P, Any], *, aliases: Sequence[str] = ()) -> None:
        wrapper: Any = self  # callable in every subclass
        functools.update_wrapper(wrapper, function)
        self._function: Callable[..., Any] = function
        self._bound: dict[str, Any] = {}
        self.name: str = function.__name__
        self.aliases: tuple[str, ...] = tuple(aliases)
        self._signature = inspect.signature(function)
        self.__doc__ = self._document(inspect.cleandoc(function.__doc__ or ""))

    def _document(self, text: str) -> str:
        return text

    @property
    def __signature__(self) -> inspect.Signature:
        changed = [
            p.replace(default=self._bound[p.name]) if p.name in self._bound else p
            for p in self._signature.parameters.values()
        ]
        return self._signature.replace(parameters=changed)

    @functools.cached_property
    def _metadata(self) -> dict[str, str]:
        return _parse_metadata(inspect.cleandoc(self._function.__doc__ or ""))

    @functools.cached_property
    def _probe(self) -> Call:
        """The call that the function makes with its default (or bound) parameters."""
        arrays = [0.0] * sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in self._signature.parameters.values())
        return self._described(tuple(arrays), {k: v for k, v in self._bound.items() if k not in self.around})

    @functools.cached_property
    def _flags(self) -> frozenset[str]:
        """The parameters that are true or false."""
        return frozenset(p.name for p in self._signature.parameters.values() if p.annotation == "bool")

    def _described(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """What the body asks for, given arguments that it takes; errors say who asks."""
        try:
            for name in self._flags & kwargs.keys():
                flag(name, kwargs[name])
            call: Call = self._function(*args, **kwargs)
        except _REFUSALS as error:
            if str(error).startswith(self.name):
                raise
            kind = next(kind for kind in _REFUSALS if isinstance(error, kind))
            inner, _, said = str(error).partition(": ")  # of a loss that this one is made of
            raise kind(f"{self.name}: {said if inner in self.registry else error}") from None
        return call

    @property
    def inputs(self) -> tuple[str, ...]:
        names = self._probe[0].inputs
        order = [*self._signature.parameters, *names]
        return tuple(sorted(names, key=order.index))

    @property
    def params(self) -> dict[str, Any]:
        skip = {*self.inputs, *self.around}
        return {p.name: p.default for p in self.__signature__.parameters.values() if p.name not in skip}

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
    def domain(self) -> str:
        return self._metadata["Domain"]

    @property
    def source(self) -> str:
        return self._metadata["Source"]

    def bind(self: Self, **params: Any) -> Self:
        """The same with parameters fixed.

        Parameters
        ----------
        **params
            New defaults for keyword-only arguments.

        Returns
        -------
        Loss or Activation
            Picklable, with the same name.
        """
        for name in params:
            p = self._signature.parameters.get(name)
            if p is None or p.kind is not p.KEYWORD_ONLY or name in self.per_call:
                raise TypeError(f"{self.name} has no parameter {name!r}")
        bound: Self = object.__new__(type(self))
        bound.__dict__.update({k: v for k, v in self.__dict__.items() if not _is_cached(type(self), k)})
        bound._bound = {**self._bound, **params}
        _ = bound._probe  # refuses a bad parameter now rather than at the first call
        return bound

    def __reduce__(self) -> tuple[Any, ...]:
        # By name, so that a pickle holds no code and outlives the layout of this class.
        return (_restore, (type(self), self.name, self._bound))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Documented) or (type(self), self.name) != (type(other), other.name):
            return False
        mine, its = self._bound, other._bound
        return mine.keys() == its.keys() and all(_equal(mine[key], its[key]) for key in mine)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        bound = ", ".join(f"{k}={v!r}" for k, v in self._bound.items())
        return f"<{self.kind} {self.name} with {bound}>" if bound else f"<{self.kind} {self.name}>"


def _equal(a: Any, b: Any) -> bool:
    if hasattr(a, "__array__") or hasattr(b, "__array__"):
        return np.array_equal(a, b)
    return bool(a == b)


def _is_cached(cls: type, name: str) -> bool:
    return isinstance(getattr(cls, name, None), functools.cached_property)


def _restore(cls: type[Documented[Any]], name: str, bound: Mapping[str, Any]) -> Documented[Any]:
    known: Documented[Any] = cls.registry[name]
    return known.bind(**bound) if bound else known


D = TypeVar("D", bound=Documented[Any])


def search(everything: Iterable[D], query: str | None) -> list[D]:
    """All by name, or those with the query for a name, in a name or alias, and in summary or source, in this order."""
    everything = sorted(everything, key=lambda d: d.name)
    if query is None:
        return everything
    wanted = squeezed(query)
    everything.sort(key=lambda d: squeezed(d.name) != wanted)
    by_name = [d for d in everything if any(wanted in squeezed(n) for n in (d.name, *d.aliases))]
    by_text = [d for d in everything if wanted in squeezed(d.summary + d.source)]
    return by_name + [d for d in by_text if d not in by_name]


def squeezed(text: str) -> str:
    """Letters and digits alone, in one case."""
    return re.sub(r"[\W_]+", "", text).casefold()


def _parse_metadata(text: str) -> dict[str, str]:
    """The summary line and the paragraphs that open with "Formula:", "Gradient:", ..."""
    found = {"Summary": text.split("\n", 1)[0], **dict.fromkeys(_METADATA, "")}
    pattern = rf"^({'|'.join(_METADATA)}):(.*?)(?=^(?:{'|'.join(_METADATA)}):|^\s*$|\Z)"
    for name, body in re.findall(pattern, text, re.MULTILINE | re.DOTALL):
        found[name] = " ".join(body.split())
    return found
