"""JAX: every loss as a function of arrays on the CPU, under `jit`, `grad` and `vmap`.

Losses are called as in `fusedloss`. They run in a callback, so XLA does not fuse them with the rest of a program; the
gradient is computed along with the value. What the callback raises (a label out of range, say) comes out of JAX as an
error of its run time.

Examples
--------
>>> import jax
>>> import jax.numpy as jnp
>>> from fusedloss.adapters.jax import huber_loss
>>> jax.grad(lambda x: huber_loss(x, jnp.zeros(2), delta=0.5))(jnp.array([0.5, -1.0]))
Array([ 0.25, -0.25], dtype=float32)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from .._loss import Loss, losses


class _Call:
    """A loss with its parameters and the names of the arrays it is given: what is constant in a program."""

    def __init__(self, loss: Loss[Any], names: tuple[str, ...]) -> None:
        self.loss = loss
        self.names = names
        self.data = len(_data_names(loss))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and (self.loss, self.names) == (other.loss, other.names)

    def __hash__(self) -> int:
        return hash((self.loss, self.names))

    def arguments(self, arrays: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of the loss."""
        known = [np.asarray(array) for array in arrays]
        return known[: self.data], dict(zip(self.names[self.data :], known[self.data :], strict=True))

    @property
    def unreduced(self) -> bool:
        """Whether there is a value per term."""
        return self.loss._chosen_reduction == "none"

    def value_type(self, arrays: Sequence[Any]) -> Any:
        """Shape and dtype of the value."""
        floating = [a for a in arrays[: self.data] if jax.numpy.issubdtype(a.dtype, np.floating)]
        dtype = jax.numpy.result_type(*floating) if floating else np.dtype(np.float32)
        shape: tuple[int, ...] = ()
        if self.unreduced:
            data, options = self.arguments([np.zeros(a.shape, a.dtype) for a in arrays])
            shape = np.shape(self.loss(*data, **options))
        return jax.ShapeDtypeStruct(shape, dtype)

    def run(self, arrays: Sequence[Any]) -> Any:
        """The value."""
        dtype = self.value_type(arrays)

        def callback(*known: Any) -> Any:
            data, options = self.arguments(known)
            return np.asarray(self.loss(*data, **options), dtype.dtype)

        return jax.pure_callback(callback, dtype, *arrays, vmap_method="sequential")

    def value_and_grads(self, wrt: tuple[str, ...], arrays: Sequence[Any]) -> Any:
        """The value and the gradients of a reduced loss."""
        dtype = self.value_type(arrays)

        def callback(*known: Any) -> Any:
            data, options = self.arguments(known)
            value, grads = self.loss.value_and_grad(*data, wrt=wrt, **options)
            return np.asarray(value, dtype.dtype), _several(grads)

        return jax.pure_callback(callback, (dtype, self._types(wrt, arrays)), *arrays, vmap_method="sequential")

    def backward(self, wrt: tuple[str, ...], cotangent: Any, arrays: Sequence[Any]) -> Any:
        """The gradients of the sum of cotangents times unreduced values."""

        def callback(cotangent: Any, *known: Any) -> Any:
            data, options = self.arguments(known)
            differentiated: Any = self.loss.backward
            return _several(differentiated(np.asarray(cotangent), *data, wrt=wrt, **options))

        return jax.pure_callback(callback, self._types(wrt, arrays), cotangent, *arrays, vmap_method="sequential")

    def _types(self, wrt: tuple[str, ...], arrays: Sequence[Any]) -> Any:
        chosen = [arrays[self.names.index(name)] for name in wrt]
        return tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in chosen)


def _several(grads: Any) -> tuple[Any, ...]:
    return grads if isinstance(grads, tuple) else (grads,)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(call: _Call, *arrays: Any) -> Any:
    return call.run(arrays)


def _forward(call: _Call, *primals: Any) -> tuple[Any, Any]:
    arrays = tuple(primal.value for primal in primals)
    wrt = tuple(name for name, primal in zip(call.names, primals, strict=True) if primal.perturbed)
    for name in wrt:
        if name not in call.loss.differentiable:
            raise TypeError(f"{call.loss.name}: {name} is differentiated, but the loss has no gradient for it")
    if not wrt:
        return call.run(arrays), (arrays, None)
    if call.unreduced:
        return call.run(arrays), (arrays, _Names(wrt))
    value, grads = call.value_and_grads(wrt, arrays)
    return value, (dict(zip(wrt, grads, strict=True)), None)


@jax.tree_util.register_static
class _Names(tuple[str, ...]):
    """Names that JAX takes for part of the program."""


def _backward(call: _Call, kept: Any, cotangent: Any) -> tuple[Any, ...]:
    arrays, wrt = kept
    if isinstance(arrays, dict):
        grads = {name: (grad * cotangent).astype(grad.dtype) for name, grad in arrays.items()}
    elif wrt is not None:
        grads = dict(zip(wrt, call.backward(tuple(wrt), cotangent, arrays), strict=True))
    else:
        grads = {}
    return tuple(grads.get(name) for name in call.names)


_loss.defvjp(_forward, _backward, symbolic_zeros=True)


@functools.cache
def _data_names(loss: Loss[Any]) -> tuple[str, ...]:
    """The arguments that are data rather than options."""
    return tuple(p.name for p in loss._signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)


def _array_of(loss: Loss[Any], name: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)) and any(np.ndim(each) for each in value):
        raise TypeError(f"{loss.name}: {name} is a list of arrays; call the loss for each and add up")
    return jax.numpy.asarray(value)


def _function_of(loss: Loss[Any]) -> Callable[..., Any]:
    empty = inspect.Parameter.empty
    parameters = [p.replace(annotation=empty) for p in loss._signature.parameters.values()]
    signature = inspect.Signature(parameters)

    def function(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        arrays = {name: _array_of(loss, name, given.pop(name)) for name in _data_names(loss)}
        arrays |= {name: value for name, value in given.items() if isinstance(value, (jax.Array, np.ndarray))}
        constants = {name: value for name, value in given.items() if name not in arrays and value is not None}
        return _loss(_Call(loss.bind(**constants) if constants else loss, tuple(arrays)), *arrays.values())

    function.__name__ = function.__qualname__ = loss.name
    function.__doc__ = loss.__doc__
    vars(function)["__signature__"] = signature
    return function


globals().update({loss.name: _function_of(loss) for loss in losses()})


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
