"""Packages that bring an OpenMP of their own, in one process with ours: whoever comes first, both compute."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

WORK = {
    "torch": "import torch; torch.randn(400, 400) @ torch.randn(400, 400)",
    "lightgbm": """
        import lightgbm
        data = lightgbm.Dataset(np.random.rand(5000, 5), np.random.rand(5000))
        lightgbm.train({"verbose": -1, "num_threads": 2}, data, 2)
    """,
    "xgboost": """
        import xgboost
        data = xgboost.DMatrix(np.random.rand(5000, 5), np.random.rand(5000))
        xgboost.train({"nthread": 2}, data, 2)
    """,
    "sklearn": """
        from sklearn.ensemble import HistGradientBoostingRegressor
        HistGradientBoostingRegressor(max_iter=2).fit(np.random.rand(5000, 5), np.random.rand(5000))
    """,
}
OURS = """
import fusedloss as fl
x = np.random.rand(200_000)
fl.binary_cross_entropy_with_logits.value_and_grad(x, x, n_threads=2)
"""


def unindented(text):
    return "\n".join(line.strip() for line in text.strip().splitlines())


@pytest.mark.parametrize("order", ["ours first", "ours last", "in turns"])
@pytest.mark.parametrize("package", WORK)
def test_both_compute(package, order, run_python):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    theirs, ours = unindented(WORK[package]), unindented(OURS)
    script = {"ours first": [ours, theirs], "ours last": [theirs, ours], "in turns": [ours, theirs, ours, theirs]}
    text = "\n".join(["import numpy as np", *script[order], "print('done')"])
    assert run_python(text, OMP_NUM_THREADS="2").endswith("done")


def test_all_together(run_python):
    there = [unindented(work) for package, work in WORK.items() if find_spec(package) is not None]
    text = "\n".join(
        ["import numpy as np", unindented(OURS), *there, unindented(OURS), *reversed(there), "print('done')"]
    )
    assert run_python(text, OMP_NUM_THREADS="2").endswith("done")


@pytest.mark.parametrize("adapter", ["catboost", "dask", "lightgbm", "scipy", "sklearn", "xgboost"])
def test_an_adapter_imports_its_package_when_it_needs_it(adapter, run_python):
    script = f"""
        import sys
        import fusedloss.adapters.{adapter}
        packages = "catboost", "dask", "distributed", "lightgbm", "scipy", "sklearn", "xgboost", "torch", "jax"
        print([name for name in packages if name in sys.modules])
    """
    assert run_python(script) == "[]"
