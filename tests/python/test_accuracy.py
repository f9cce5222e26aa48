"""Units in the last place over extreme grids, against 400 digits; `ulp.py` prints the figures as a table."""

from __future__ import annotations

import os

import numpy as np
import pytest
from battery import CASES_ENLISTED, each_case, each_float, name_of
from ulp import BARS, kind_of, kink_points, measure, points_of

POINTS = int(os.environ.get("FUSEDLOSS_TEST_POINTS", "60"))


@each_case
@each_float
def test_extremes(case, dtype):
    """A NaN or an infinity where the exact result is finite is an infinite error, and so is the reverse."""
    for result, error in measure(case, points_of(case, dtype, POINTS)).items():
        assert error.ulp <= BARS[kind_of(result)][np.dtype(dtype).name], f"{result}: {error}"


@pytest.mark.parametrize("case", [case for case in CASES_ENLISTED if case.kinks], ids=name_of)
@each_float
def test_kinks(case, dtype):
    """On a kink itself derivatives follow the convention of the documentation."""
    points = kink_points(case, dtype, POINTS)
    for result, error in measure(case, points, beside_kinks=False).items():
        assert error.ulp <= BARS[kind_of(result)][np.dtype(dtype).name], f"{result}: {error}"
