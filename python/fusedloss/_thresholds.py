"""The cumulative link kernel as users call it: with thresholds between the classes, and class indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._core_kernels import ElementwiseKernel, kernels
from ._validation import spread

if TYPE_CHECKING:
    from ._loss import Array, Result

_INPUT, _THRESHOLDS = 1, 2  # bits of what is differentiated
_LOWER_AND_UPPER = 0b110


class _ThresholdKernel(ElementwiseKernel):
    """Looks up the thresholds around the class of each element, and gathers their gradients again."""

    __slots__ = ()

    def __init__(self, between: ElementwiseKernel) -> None:
        self.index, self.name, self.params = between.index, between.name, between.params
        self.inputs, self.arrays = ("input", "thresholds", "target"), 3
        self.differentiable, self.has_hessian = _INPUT | _THRESHOLDS, between.has_hessian

    def __call__(self, *inputs: Any, **_: Any) -> Result:
        return self._call(inputs, {}, (None, False))

    @staticmethod
    def run(
        loss: int,
        label: str,
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
    ) -> tuple[Any, tuple[Any, ...], Any, Any]:
        x, thresholds, target = inputs[0], np.asarray(inputs[1]), np.asarray(inputs[2])
        classes = _checked_labels(label, thresholds, target, np.shape(x))
        edges = _edges(thresholds)
        bits, own = wrt & _INPUT, None
        if wrt & _THRESHOLDS:
            bits |= _LOWER_AND_UPPER
            out, own = _split(label, out, edges.dtype, thresholds.shape, wrt)
        value, grads, hess, aux = _core.elementwise(
            loss,
            label,
            (x, np.asarray(edges[classes]), np.asarray(edges[classes + 1])),
            params,
            options,
            sample_weight,
            cotangent,
            reduction,
            want,
            bits,
            out,
            threads,
        )
        if wrt & _THRESHOLDS:
            *rest, lower, upper = grads
            above, below = _by_class(classes, lower, len(edges) - 1), _by_class(classes, upper, len(edges) - 1)
            own = np.empty(thresholds.shape, edges.dtype) if own is None else own
            own[...] = above[1:] + below[:-1]
            grads = (*rest, own)
        return value, grads, hess, aux


def _checked_labels(loss: str, thresholds: Array, target: Array, shape: tuple[int, ...]) -> Array:
    """The class indices, refused by name where they or the thresholds cannot be right."""
    if thresholds.dtype.kind not in "fViu":
        raise TypeError(f"{loss}: thresholds has dtype {thresholds.dtype}, expected real numbers")
    if thresholds.ndim != 1:
        raise ValueError(f"{loss}: thresholds has shape {thresholds.shape}, expected one number between two classes")
    if (thresholds[1:] <= thresholds[:-1]).any():
        raise ValueError(f"{loss}: thresholds must ascend")
    if target.dtype.kind not in "biu":
        raise TypeError(f"{loss}: target has dtype {target.dtype}, expected class indices of an integer dtype")
    spread(f"{loss}: target", target, shape)
    classes = thresholds.size + 1
    wrong = (target < 0) | (target >= classes)
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(wrong)[0])
        place = f"target[{', '.join(map(str, at))}]" if at else "target"
        raise IndexError(f"{loss}: {place} = {target[at]} is not in [0, {classes})")
    return target.astype(np.intp)


def _edges(thresholds: Array) -> Array:
    """The thresholds with the infinite ends of the first and the last class."""
    dtype = thresholds.dtype if thresholds.dtype.kind not in "iu" else np.dtype(np.float64)
    edges: Array = np.concatenate([[-np.inf], thresholds.astype(np.float64), [np.inf]]).astype(dtype.newbyteorder("="))
    return edges


def _split(
    loss: str, out: Any, dtype: np.dtype[Any], shape: tuple[int, ...], wrt: int
) -> tuple[tuple[Any, ...] | None, Array | None]:
    """What is given to write into, for the input and both edges, and for the thresholds."""
    if out is None:
        return None, None
    given = out if isinstance(out, tuple) else (out,)
    expected = 2 if wrt & _INPUT else 1
    if len(given) != expected:
        raise ValueError(f"{loss}: out has {len(given)} arrays, expected {expected}")
    *rest, own = given
    if own is not None:
        if not isinstance(own, np.ndarray) or own.dtype != dtype:
            raise TypeError(f"{loss}: out has dtype {getattr(own, 'dtype', type(own).__name__)}, expected {dtype}")
        if own.shape != shape or not own.flags.writeable:
            raise ValueError(f"{loss}: out has shape {own.shape}, expected a writable array of shape {shape}")
        if any(a is not None and np.may_share_memory(a, own) for a in rest):
            raise ValueError(f"{loss}: out: two of the arrays overlap")
    return (*rest, None, None), own


def _by_class(label: Array, x: Array, classes: int) -> Array:
    """The sums of x over the elements of each class."""
    return np.bincount(label.ravel(), x.astype(np.float64).ravel(), classes)


threshold_kernel = _ThresholdKernel(kernels.cumulative_link)
