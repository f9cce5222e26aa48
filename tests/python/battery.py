"""What the tests of the battery share: every loss, every case, ways to run them and to compare bits."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from cases import CASES, Case, OneOf

Array = np.ndarray
Arrays = Mapping[str, Array]

FLOATS = (np.float32, np.float64)
HALVES = (np.float16, ml_dtypes.bfloat16)

LOSSES = {loss.name: loss for loss in fl.losses() if loss.family == "elementwise"}
CASES_ENLISTED = tuple(case for case in CASES if case.loss in LOSSES)


def name_of(case: Case) -> str:
    """A short readable test id."""
    arguments = [f"{key}:{domain}" for key, domain in case.arguments.items() if isinstance(domain, OneOf)]
    params = [f"{key}={value:g}" if type(value) is float else f"{key}={value}" for key, value in case.params.items()]
    return "-".join([case.loss, *params, *(text.split("(")[0] for text in arguments)])


def bound(case: Case) -> fl.Loss:
    """The loss of a case with its parameters fixed."""
    return LOSSES[case.loss].bind(**case.params)


def kernel_of(case: Case) -> str:
    """The compiled kernel a case runs."""
    return bound(case)._probe[0].name


def _firsts(cases: Sequence[Case], key: Any) -> list[Case]:
    return list({key(case): case for case in reversed(cases)}.values())[::-1]


FIRST_CASES = _firsts(CASES_ENLISTED, lambda case: case.loss)
KERNEL_CASES = _firsts(CASES_ENLISTED, kernel_of)

each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
each_case = pytest.mark.parametrize("case", CASES_ENLISTED, ids=name_of)
one_case_per_loss = pytest.mark.parametrize("case", FIRST_CASES, ids=name_of)
one_case_per_kernel = pytest.mark.parametrize("case", KERNEL_CASES, ids=kernel_of)
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)
each_half = pytest.mark.parametrize("dtype", HALVES, ids=lambda dtype: np.dtype(dtype).name)


def generator(case: Case, salt: int = 0) -> np.random.Generator:
    """Random numbers that depend on the case alone."""
    return np.random.default_rng([zlib.crc32(str(case).encode()), salt])


def sample(case: Case, shape: int | tuple[int, ...], dtype: Any = np.float64, salt: int = 0) -> dict[str, Array]:
    """Moderate random arrays for a case."""
    return case.random((shape,) if isinstance(shape, int) else shape, dtype, generator(case, salt))


def differentiable(case: Case) -> tuple[str, ...]:
    """The arguments of a case that have a gradient, in argument order."""
    return tuple(key for key in bound(case).differentiable if key in case.arguments)


def value(case: Case, arrays: Mapping[str, Any], **options: Any) -> Any:
    """The loss of a case."""
    return LOSSES[case.loss](**arrays, **{**case.params, **options})


def elements(case: Case, arrays: Mapping[str, Any], **options: Any) -> Array:
    """One value per element."""
    return value(case, arrays, reduction="none", **options)


def value_and_grads(case: Case, arrays: Mapping[str, Any], **options: Any) -> tuple[Any, dict[str, Array]]:
    """The value and the gradients by argument name, of `wrt` or of every argument that has one."""
    wrt = options.pop("wrt", differentiable(case))
    result, grads = LOSSES[case.loss].value_and_grad(**arrays, **{**case.params, **options}, wrt=wrt)
    return result, dict(zip(wrt, grads if isinstance(grads, tuple) else (grads,), strict=True))


def grads_of(case: Case, arrays: Mapping[str, Any], **options: Any) -> dict[str, Array]:
    """The gradients by argument name; of the sum unless `reduction` is given."""
    return value_and_grads(case, arrays, **{"reduction": "sum", **options})[1]


def everything(case: Case, arrays: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Values, gradients and Hessian per element, by name."""
    values, grads = value_and_grads(case, arrays, **{"reduction": "none", **options})
    results = {"value": values, **{f"d/d{key}": grad for key, grad in grads.items()}}
    options.pop("wrt", None)
    if bound(case).has_hessian:
        grad, hess = LOSSES[case.loss].grad_and_hess(**arrays, **{**case.params, "reduction": "none", **options})
        results |= {"grad of grad_and_hess": grad, "hess": hess}
    return results


def filled_like(arrays: Arrays, keys: Sequence[str], content: float = 777.0) -> tuple[Array, ...]:
    """Outputs for gradients with a content that shows whether they were written."""
    return tuple(np.full(arrays[key].shape, content, arrays[key].dtype) for key in keys)


def assert_same_bits(actual: Any, expected: Any, what: str = "") -> None:
    """Equal dtype, shape and bits; one NaN is as good as another."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    as_integers = f"u{actual.dtype.itemsize}"
    different = np.ascontiguousarray(actual).view(as_integers) != np.ascontiguousarray(expected).view(as_integers)
    different &= ~(np.isnan(actual) & np.isnan(expected))
    if different.any():
        at = tuple(int(i) for i in np.argwhere(different)[0])
        raise AssertionError(f"{what} differs in {different.sum()} elements; at {at}: {actual[at]!r}, {expected[at]!r}")


def assert_all_same_bits(actual: Mapping[str, Any], expected: Mapping[str, Any], what: str = "") -> None:
    """The same for results by name."""
    assert actual.keys() == expected.keys()
    for key in expected:
        assert_same_bits(actual[key], expected[key], f"{what} {key}")


def assert_close(actual: Any, exact: Any, rtol: float, scale: Any = None, atol: Any = 0.0, what: str = "") -> None:
    """Equal to `rtol` relative to the larger of the exact number and `scale`."""
    actual, exact = np.asarray(actual, np.float64), np.asarray(exact, np.float64)
    size = abs(exact) if scale is None else np.maximum(abs(exact), np.asarray(scale, np.float64))
    with np.errstate(invalid="ignore"):
        wrong = ~((abs(actual - exact) <= rtol * size + atol) | (actual == exact))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        actual, exact = np.broadcast_arrays(actual, exact)
        raise AssertionError(f"{what} is wrong in {wrong.sum()} elements; at {at}: {actual[at]!r}, {exact[at]!r}")
