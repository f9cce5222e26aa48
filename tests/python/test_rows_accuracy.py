"""Units in the last place over extreme rows, against 400 digits, and what a NaN does; `ulp.py` prints the figures."""

from __future__ import annotations

import os

import numpy as np
from battery import assert_same_bits, each_float
from battery_rows import each_row_case, everything, generator
from ulp_rows import bars_of, measure

POINTS = int(os.environ.get("FUSEDLOSS_TEST_POINTS", "6"))


@each_row_case
@each_float
def test_extremes(case, dtype):
    """A NaN or an infinity where the exact result is finite is an infinite error, and so is the reverse."""
    bars = bars_of(case)
    for error in measure(case, dtype, POINTS):
        assert error.ulp <= bars[error.kind][np.dtype(dtype).name], str(error)


@each_row_case
@each_float
def test_one_nan_poisons_its_row_alone(case, dtype):
    for classes in (2, 3, 64, 65, 200):
        arrays = case.random(20, classes, dtype, generator(case))
        expected = everything(case, arrays)
        for at in {0, classes // 2, classes - 1} - {case.params.get("ignore_index")}:
            spoiled = {**arrays, "input": arrays["input"].copy()}
            spoiled["input"][7, at] = np.nan
            if case.indexed and (not case.poison or "ignore_index" in case.params):
                spoiled["target"] = arrays["target"].copy()
                spoiled["target"][7] = at
            for key, result in everything(case, spoiled).items():
                assert_same_bits(np.delete(result, 7, axis=0), np.delete(expected[key], 7, axis=0), key)
                if key == "value" or case.poison:
                    assert np.isnan(result[7]).any(), f"{key} of {classes} classes, NaN at {at}"
