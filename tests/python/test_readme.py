"""The README's code runs, its commands exist, and its generated parts are up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import fusedloss as fl
import numpy as np
import pytest

tomllib = pytest.importorskip("tomllib", reason="the standard library has it from Python 3.11 on")
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

sys.path.insert(0, str(ROOT / "bench"))
import readme  # noqa: E402


def blocks(language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)


def run(code, **names):
    exec(compile(code, "README.md", "exec"), names)
    return names


def snippet_with(words):
    return next(code for code in blocks("python") if words in code)


def test_numpy_snippet_runs():
    names = run(snippet_with("import numpy as np"))
    assert isinstance(names["value"], float)
    assert names["grad"].shape == names["hess"].shape == (3,)


def test_lightgbm_snippet_runs():
    pytest.importorskip("lightgbm", reason="LightGBM is not installed")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 4))
    y = (X[:, 0] > 0.5).astype(float)
    p = run(snippet_with("lgb.train"), X=X, y=y)["p"]
    assert np.mean((p > 0.5) == y) > 0.95


def test_there_are_snippets():
    assert len(blocks("python")) == 2
    assert len(blocks("sh")) >= 2


@pytest.mark.parametrize("name", sorted(readme.BLOCKS))
def test_generated_parts_are_up_to_date(name):
    found = re.search(rf"<!-- generated: {name} -->\n(.*?)\n<!-- end -->", TEXT, re.DOTALL)
    assert found, f"README.md has no block {name}"
    assert found[1] == readme.BLOCKS[name](), "run: python bench/readme.py"


def test_every_loss_is_in_the_table():
    for loss in fl.losses():
        assert f"| `{loss.name}` |" in TEXT


def test_installed_extras_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for group in re.findall(r"pip install [^`\n]*'\.\[([a-z,]+)\]'", TEXT):
        assert set(group.split(",")) <= extras.keys()


def test_losses_named_on_command_lines_exist():
    for name in re.findall(r"--loss ([a-z_0-9]+)", TEXT):
        assert fl.losses(name) or fl.metrics(name)
