"""The examples run, one per adapter."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("with_*.py"))
EXPECTED = {
    "lightgbm": r"accuracy 0\.9\d\d",
    "xgboost": r"share below 0\.(8|9)\d",
    "jax": r"loss from 1\.\d\d to 0\.[0-5]\d",
    "scipy": r"weights 1\.0 -2\.0 0\.5 3\.0",
    "sklearn": r"log loss 0\.2\d",
    "dask": r"cross entropy 1\.\d\d, accuracy 0\.\d\d, 40000 rows",
    "torch": r"accuracy 0\.[89]\d\d",
    "catboost": r"accuracy 0\.9\d\d",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, run_python):
    package = path.stem.removeprefix("with_")
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    assert re.fullmatch(EXPECTED[package], run_python(path.read_text()))
