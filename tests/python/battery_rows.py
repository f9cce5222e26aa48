"""What the tests of losses over class scores share: every such loss, every case, and ways to run them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import fusedloss as fl
import numpy as np
import pytest
from cases_rows import ROW_CASES, RowCase
from references import Reference
from references_rows import PLAIN, ROW_REFERENCES

Array = np.ndarray
Arrays = Mapping[str, Array]

ROW_LOSSES = {loss.name: loss for loss in fl.losses() if loss.family == "rows"}
ROW_CASES_ENLISTED = tuple(case for case in ROW_CASES if case.loss in ROW_LOSSES)


def run_of(case: RowCase, classes: int = 3) -> fl.Loss:
    """The loss of a case with its parameters fixed."""
    return ROW_LOSSES[case.loss].bind(**case.options(classes))


def call_of(case: RowCase) -> Any:
    """The call of a kernel that a case makes."""
    return ROW_LOSSES[case.loss]._function(**sample(case, 2, 3), **case.options(3))


def kernel_of(case: RowCase) -> str:
    """The compiled kernel a case runs, and how it takes its target."""
    return f"{call_of(case)[0].name}-{'index' if case.indexed else 'dense'}"


def sample(case: RowCase, rows: int, classes: int, dtype: Any = np.float64, salt: int = 0) -> dict[str, Array]:
    """Moderate random arrays that depend on the case alone, the class axis last."""
    return case.random(rows, classes, dtype, generator(case, salt))


def generator(case: RowCase, salt: int = 0) -> np.random.Generator:
    """Random numbers that depend on the case alone."""
    return np.random.default_rng([zlib.crc32(str(case).encode()), salt])


KERNEL_CASES = tuple({kernel_of(case): case for case in reversed(ROW_CASES_ENLISTED)}.values())[::-1]
FIRST_CASES = tuple({case.loss: case for case in reversed(ROW_CASES_ENLISTED)}.values())[::-1]

each_row_loss = pytest.mark.parametrize("loss", ROW_LOSSES.values(), ids=ROW_LOSSES)
each_row_case = pytest.mark.parametrize("case", ROW_CASES_ENLISTED, ids=str)
one_case_per_row_kernel = pytest.mark.parametrize("case", KERNEL_CASES, ids=str)
one_case_per_row_loss = pytest.mark.parametrize("case", FIRST_CASES, ids=str)


def differentiable(case: RowCase) -> tuple[str, ...]:
    """The arguments of a case that have a gradient, in argument order."""
    named = (key for key in ROW_LOSSES[case.loss].differentiable if key in case.arguments)
    return tuple(key for key in named if not (case.indexed and key == "target"))


def first_of(arrays: Arrays) -> Array:
    """The array whose shape all others go by."""
    return next(iter(arrays.values()))


def classes_of(arrays: Arrays, axis: int = -1) -> int:
    """The number of classes of arrays with their classes along an axis."""
    return first_of(arrays).shape[axis]


def reference(case: RowCase, arrays: Arrays, m: Any = PLAIN) -> Reference:
    """The exact result for arrays ``[N, C]``."""
    return ROW_REFERENCES[case.loss](m, **arrays, **case.options(classes_of(arrays)))


def value(case: RowCase, arrays: Arrays, **options: Any) -> Any:
    """The loss of a case on arrays with their classes last, unless `axis` is given."""
    axis = options.setdefault("axis", -1)
    return ROW_LOSSES[case.loss](**arrays, **{**case.options(classes_of(arrays, axis)), **options})


def value_and_grads(case: RowCase, arrays: Arrays, **options: Any) -> tuple[Any, dict[str, Array]]:
    """The value and the gradients by argument name, of `wrt` or of every argument that has one."""
    axis = options.setdefault("axis", -1)
    wrt = options.pop("wrt", differentiable(case))
    params = {**case.options(classes_of(arrays, axis)), **options}
    result, grads = ROW_LOSSES[case.loss].value_and_grad(**arrays, **params, wrt=wrt)
    return result, dict(zip(wrt, grads if isinstance(grads, tuple) else (grads,), strict=True))


def grads_of(case: RowCase, arrays: Arrays, **options: Any) -> dict[str, Array]:
    """The gradients by argument name; of the sum unless `reduction` is given."""
    return value_and_grads(case, arrays, **{"reduction": "sum", **options})[1]


def has_hessian(case: RowCase) -> bool:
    """Whether the kernel of a case gives a Hessian."""
    return bool(call_of(case)[0].has_hessian)


def everything(case: RowCase, arrays: Arrays, **options: Any) -> dict[str, Any]:
    """Values, gradients and Hessian per row, by name."""
    values, grads = value_and_grads(case, arrays, **{"reduction": "none", **options})
    results = {"value": values, **{f"d/d{key}": grad for key, grad in grads.items()}}
    if has_hessian(case) and ROW_LOSSES[case.loss].has_hessian:
        options = {"axis": -1, "reduction": "none", **{k: v for k, v in options.items() if k not in ("wrt", "out")}}
        params = {**case.options(classes_of(arrays, options["axis"])), **options}
        grad, hess = ROW_LOSSES[case.loss].grad_and_hess(**arrays, **params)
        results |= {"grad of grad_and_hess": grad, "hess": hess}
    return results


def moved(case: RowCase, arrays: Arrays, axis: int, lay: Any = lambda x: x) -> dict[str, Array]:
    """Arrays with the class axis elsewhere, laid out anew."""
    return {
        key: lay(array if array.ndim < first_of(arrays).ndim else np.moveaxis(array, -1, axis))
        for key, array in arrays.items()
    }
