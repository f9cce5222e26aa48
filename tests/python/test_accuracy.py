"""Units in the last place over extreme grids, against 400 digits; `ulp.py` prints the figures as a table."""

from __future__ import annotations

import os

import numpy as np
from battery import each_case, each_float
from ulp import BARS, kind_of, measure

POINTS = int(os.environ.get("FUSEDLOSS_TEST_POINTS", "60"))


@each_case
@each_float
def test_extremes(case, dtype):
    """A NaN or an infinity where the exact result is finite is an infinite error, and so is the reverse."""
    for result, error in measure(case, dtype, POINTS).items():
        assert error.ulp <= BARS[kind_of(result)][np.dtype(dtype).name], f"{result}: {error}"
