"""Units in the last place over extreme rows, against 400 digits, and what a NaN does; `ulp.py` prints the figures."""

from __future__ import annotations

import os

import numpy as np
from battery import assert_same_bits, each_float
from battery_rows import call_of, each_row_case, everything, generator
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
    for classes in (1, 2, 3, 64, 65, 200):
        arrays = case.random(20, classes, dtype, generator(case))
        if case.indexed and arrays["target"][7] == case.params.get("ignore_index"):
            arrays["target"][7] += -1 if arrays["target"][7] else 1
            if classes == 1:
                continue
        expected = everything(case, arrays)
        for name, array in arrays.items():
            for at in {0, classes // 2, classes - 1} if array.dtype == dtype else ():
                spoiled = {**arrays, name: array.copy()}
                spoiled[name][7, at] = np.nan
                for key, result in everything(case, spoiled).items():
                    assert_same_bits(np.delete(result, 7, axis=0), np.delete(expected[key], 7, axis=0), key)
                    # In the probabilities it is given the cross entropy is linear.
                    if not (key == "d/dtarget" and name == "target" and call_of(case)[0].name == "cross_entropy"):
                        assert np.isnan(result[7]).any(), f"{key} of {classes} classes, NaN at {at} of {name}"
