"""The compiled losses as Python callables that describe a call without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from . import _core

if TYPE_CHECKING:
    from ._loss import Result

# One call of a kernel, as the body of a public loss returns it: the kernel, its inputs and parameters in its own order,
# the `weight` of torch's losses that have one, and whether a mean divides by that weight. A plain tuple, because it
# stands in the path of every call.
Call: TypeAlias = "tuple[Kernel, tuple[Any, ...], tuple[float, ...], Any, bool]"


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

    # Annotated as what the public function gives its caller: the decorator turns the call into that result.
    def __call__(self, *inputs: Any, weight: Any = None, weight_normalises: bool = False, **params: float) -> Result:
        if tuple(params) != self.params:
            if params.keys() != set(self.params):
                raise TypeError(f"kernel {self.name} takes the parameters {self.params}")
            params = {name: params[name] for name in self.params}
        if len(inputs) != len(self.inputs):
            raise TypeError(f"kernel {self.name} takes the inputs {self.inputs}")
        return self, inputs, tuple(params.values()), weight, weight_normalises  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.inputs)}; {', '.join(self.params)})>"


class Kernels:
    """Every compiled loss, as an attribute."""

    def __init__(self) -> None:
        self.__dict__.update({info["name"]: Kernel(info) for info in _core.losses()})

    def __getattr__(self, name: str) -> Kernel:
        raise AttributeError(f"no kernel {name!r} is compiled in")


kernels = Kernels()
