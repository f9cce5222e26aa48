"""How many units in the last place losses over class scores are off, at extreme rows and against 400 digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from battery_rows import Arrays, everything, first_of, generator, reference
from cases_rows import RowCase
from references import Exact, ulp_error
from references_rows import EXACT

BARS = {
    "value": {"float32": 2.0, "float64": 2.0},
    "gradient": {"float32": 2.0, "float64": 3.0},
    "hess": {"float32": 4.0, "float64": 4.0},
}
# Formulas of a whole row are computed in double, whatever the dtype: a float64 result carries the rounding of a few
# steps; and so do functions of a log-probability other than the cross entropy.
STEPS = 8.0
# What multiplies that rounding: scores that are scaled first; powers of ratios of probabilities.
AMPLIFIED = {"ldam_loss": 2, "alpha_divergence": 2}

# How many classes, and how many tenths of the rows have so many.
CLASSES = ((1, 2), (2, 8), (3, 10), (10, 3), (65, 1))


class RowError(NamedTuple):
    """The error of one number of one result."""

    result: str
    ulp: float
    actual: Any
    exact: Exact
    at: tuple[int, ...]
    row: dict[str, Any]

    @property
    def kind(self) -> str:
        """What the result is, as `BARS` names it."""
        return "gradient" if self.result.startswith("d/d") else self.result

    def __str__(self) -> str:
        return f"{self.result} {self.ulp:.3g} ULP: {self.actual!r} instead of {self.exact!r} at {self.at} of {self.row}"


def bars_of(case: RowCase) -> dict[str, dict[str, float]]:
    """The bars of a case."""
    if case.loss == "cross_entropy" and case.indexed and "softcap" not in case.params:
        return BARS
    steps = STEPS * AMPLIFIED.get(case.loss, 1)
    return {kind: {**bar, "float64": steps} for kind, bar in BARS.items()}


def measure(case: RowCase, dtype: Any, count: int) -> Iterator[RowError]:
    """The errors at about `count` extreme rows of each number of classes; the same rows in every run."""
    for classes, share in CLASSES:
        rng = generator(case, classes)
        arrays = case.extreme(classes, dtype, rng)
        picked = rng.permutation(len(first_of(arrays)))[: max(1, count * share // 10)]
        yield from _errors(case, {key: array[picked] for key, array in arrays.items()})


def _errors(case: RowCase, arrays: Arrays) -> Iterator[RowError]:
    exact, results = reference(case, arrays, EXACT), everything(case, arrays)
    results.pop("grad of grad_and_hess", None)
    for name, array in results.items():
        if name == "value":
            right, scale = exact.value, exact.value_scale
        elif name == "hess":
            right, scale = exact.hess, exact.hess_scale
        else:
            right, scale = exact.grads[name[3:]], exact.grad_scales.get(name[3:])
        info = np.finfo(array.dtype)
        # Numbers below this may be flushed to zero; products of doubles lose their low parts before.
        negligible = info.tiny if array.dtype == np.float32 else info.tiny / info.eps
        for at in np.ndindex(array.shape):
            number, magnitude = Exact(right[at]).v, None if scale is None else Exact(scale[at]).v
            if abs(number) < negligible and abs(array[at]) <= negligible:
                continue
            if name == "hess":  # as of the elementwise losses: nobody needs its last bits where it nearly underflows
                magnitude = max(magnitude or 0, float(info.tiny / info.eps))
            ulp = ulp_error(float(array[at]), number, array.dtype, magnitude)
            row = {key: argument[at[0]].tolist() for key, argument in arrays.items()}
            yield RowError(name, ulp, array[at], right[at], at, row)
