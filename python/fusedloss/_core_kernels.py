"""The compiled losses as Python callables that describe a call without running it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

from . import _core


class Call(NamedTuple):
    """One call of a kernel: what the body of a public loss returns."""

    kernel: Kernel
    inputs: tuple[Any, ...]
    params: tuple[float, ...]
    weight: Any
    weight_normalises: bool


class Kernel:
    """A compiled loss; calling it with inputs in order and parameters by name gives a `Call`."""

    __slots__ = ("differentiable", "has_hessian", "index", "inputs", "name", "params")

    def __init__(self, info: dict[str, Any]) -> None:
        self.index: int = info["index"]
        self.name: str = info["name"]
        self.inputs: tuple[str, ...] = info["inputs"]
        self.params: tuple[str, ...] = info["params"]
        self.differentiable: int = info["differentiable"]
        self.has_hessian: bool = info["has_hessian"]

    def __call__(self, *inputs: Any, weight: Any = None, weight_normalises: bool = False, **params: float) -> Any:
        if len(inputs) != len(self.inputs) or len(params) != len(self.params):
            raise TypeError(f"kernel {self.name} takes inputs {self.inputs} and parameters {self.params}")
        return Call(self, inputs, tuple([params[name] for name in self.params]), weight, weight_normalises)

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.inputs)}; {', '.join(self.params)})>"


kernels: Any = SimpleNamespace(**{info["name"]: Kernel(info) for info in _core.losses()})
