"""The examples in the documentation of modules run and give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages

import fusedloss as fl
import pytest

MODULES = [m.name for m in walk_packages(fl.__path__, "fusedloss.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    package = name.rpartition(".adapters.")[2]
    if package != name and find_spec(package) is None and not package.startswith("_"):
        pytest.skip(f"needs {package}")
    assert doctest.testmod(import_module(name)).failed == 0
