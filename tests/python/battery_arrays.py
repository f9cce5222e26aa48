"""What the tests of losses of other arrays share: boxes, and losses composed of others."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import fusedloss as fl
import numpy as np
import pytest
from cases_arrays import ArrayCase
from cases_batch import BATCH_CASES
from cases_boxes import CASES as BOX_CASES
from cases_compositions import CASES as COMPOSITION_CASES

Array = np.ndarray
Arrays = Mapping[str, Any]  # arrays, or lists of arrays

CASES: tuple[ArrayCase, ...] = (*BOX_CASES, *COMPOSITION_CASES, *BATCH_CASES)
LOSSES = {loss.name: loss for loss in fl.losses() if loss.family in ("boxes", "composition")}
FIRST_CASES = tuple({case.loss: case for case in reversed(CASES)}.values())[::-1]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
one_case_per_loss = pytest.mark.parametrize("case", FIRST_CASES, ids=str)


def run_of(case: ArrayCase) -> fl.Loss:
    """The loss of a case with its parameters fixed."""
    return LOSSES[case.loss].bind(**case.params)


def each_array(arrays: Arrays, change: Callable[[Array], Any]) -> dict[str, Any]:
    """The arrays, changed."""
    return {name: [change(a) for a in x] if isinstance(x, list) else change(x) for name, x in arrays.items()}


def sample(case: ArrayCase, n: int = 9, dtype: Any = np.float64, salt: int = 0) -> dict[str, Any]:
    """Moderate random arrays that depend on the case alone."""
    generator = np.random.default_rng([zlib.crc32(str(case).encode()), salt])
    return each_array(case.arrays(generator, n), lambda a: a.astype(dtype))


def flat(x: Any) -> list[Array]:
    """The arrays of a list or tuple, which may hold some, or the one array."""
    return [a for each in x for a in flat(each)] if isinstance(x, (list, tuple)) else [x]


def differentiable(case: ArrayCase) -> tuple[str, ...]:
    """The arguments of a case that have a gradient, in argument order."""
    return tuple(name for name in run_of(case).differentiable if name in case.arguments)


def reductions(case: ArrayCase) -> tuple[str, ...]:
    """What `reduction` may be."""
    allowed = run_of(case)._reductions
    return tuple(name for name in allowed if name != "none" or not case.params.get("free_bits"))


def weights_of(case: ArrayCase, arrays: Arrays, dtype: Any = np.float64) -> Array | None:
    """Weights of the terms, some of them 0; None for a loss that is one number of a whole batch."""
    if "sample_weight" not in run_of(case).__signature__.parameters:
        return None
    shape = terms_of(case, arrays)[0].shape
    generator = np.random.default_rng(zlib.crc32(str(case).encode()))
    return (generator.uniform(0.5, 2, shape) * (generator.uniform(size=shape) > 0.25)).astype(dtype)


def terms_of(case: ArrayCase, arrays: Arrays, weight: Any = None, **constants: Any) -> list[Array]:
    """What is reduced, by the reference."""
    return case.reference(weight, **arrays, **{**case.params, **constants})


def reference(case: ArrayCase, arrays: Arrays, reduction: str, weight: Any = None, **constants: Any) -> Any:
    """The value by the reference."""
    total: Any = 0.0
    for term in terms_of(case, arrays, weight, **constants):
        w = np.ones(term.shape) if weight is None else np.broadcast_to(weight, term.shape)
        weighted = np.where(w > 0, w * term, 0.0)
        if reduction in ("mean", "sum_per_sample"):
            of_sample = np.prod(term.shape[1:]) if reduction == "sum_per_sample" else 1.0
            total = total + weighted.sum() / w.sum() * of_sample
        else:
            total = total + (weighted.sum() if reduction == "sum" else weighted)
    return total


def slopes_of(case: ArrayCase, arrays: Arrays, reduction: str, weight: Any = None) -> dict[str, list[Array]]:
    """The gradients of the reference by differences, of the sum where it is not reduced."""
    constants, step = case.constants(**arrays), 1e-5

    def total() -> float:
        return float(np.sum(reference(case, arrays, reduction, weight, **constants)))

    slopes: dict[str, list[Array]] = {}
    for name in differentiable(case):
        slopes[name] = [np.empty(x.shape) for x in flat(arrays[name])]
        for x, slope in zip(flat(arrays[name]), slopes[name], strict=True):
            for at in np.ndindex(x.shape):
                kept, sides = x[at], []
                for k in (-2, -1, 1, 2):
                    x[at] = kept + k * step
                    sides.append(total())
                x[at] = kept
                slope[at] = (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * step)
    return slopes


def everything(case: ArrayCase, arrays: Arrays, **options: Any) -> dict[str, Any]:
    """Value and gradients by name, each of a list of arrays as a list."""
    names = differentiable(case)
    value, grads = run_of(case).value_and_grad(**arrays, wrt=names, **options)
    return {"value": value, **by_name(names, grads)}


def by_name(names: tuple[str, ...], grads: Any) -> dict[str, list[Array]]:
    """Gradients as lists of arrays, by name."""
    each = grads if len(names) > 1 else (grads,)
    return {name: flat(grad) for name, grad in zip(names, each, strict=True)}


def outs_like(case: ArrayCase, arrays: Arrays, make: Callable[[Array], Array]) -> Any:
    """What to write gradients into, as `out` takes it."""
    outs = tuple(
        tuple(map(make, arrays[name])) if isinstance(arrays[name], list) else make(arrays[name])
        for name in differentiable(case)
    )
    return outs if len(outs) > 1 else outs[0]
