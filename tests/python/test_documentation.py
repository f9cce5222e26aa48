"""What the documentation says: examples give their results, and parameters take the values that are listed."""

from __future__ import annotations

import ast
import doctest
import re
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages

import fusedloss as fl
import pytest
from every_loss import call_of, each_loss

MODULES = [m.name for m in walk_packages(fl.__path__, "fusedloss.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    package = name.rpartition(".adapters.")[2]
    if package != name and find_spec(package) is None and not package.startswith("_"):
        pytest.skip(f"needs {package}")
    assert doctest.testmod(import_module(name)).failed == 0


@each_loss
def test_listed_values(loss):
    """And no others."""
    for names, listed in re.findall(r"^ *(\w+(?:, \w+)*) : (\{.*?\})", loss.__doc__, re.MULTILINE):
        for name in names.split(", "):
            for value in ast.literal_eval(listed):
                arrays, parameters = call_of(loss)
                loss(**{**arrays, **parameters, name: value})
            arrays, parameters = call_of(loss)
            with pytest.raises((TypeError, ValueError), match=name):
                loss(**{**arrays, **parameters, name: "none of these"})
