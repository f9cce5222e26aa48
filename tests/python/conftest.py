"""What is tested, and that no test changes it for the others."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import fusedloss as fl
import pytest


def pytest_report_header() -> str:
    config = fl.show_config()
    return ", ".join(f"{key}={config[key]}" for key in ("version", "isa", "isa_levels", "num_threads", "compiler"))


@pytest.fixture(autouse=True)
def unchanged_settings():
    """A test may change threads, ISA level and environment; the next one starts from the defaults."""
    isa, environment = fl.get_isa(), dict(os.environ)
    yield
    # dask.distributed, for one, sets variables of malloc and OpenMP for its workers.
    for name in os.environ.keys() - environment.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(environment)
    fl.set_isa(isa)
    fl.set_num_threads(None)


@pytest.fixture
def run_python():
    """Runs a script in a new interpreter: `run_python(script, VARIABLE="value")` gives what it printed."""

    def run(script: str, *, fails: bool = False, timeout: float = 60, **environment: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=Path(__file__).parent,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert (result.returncode != 0) == fails, result.stderr
        return (result.stderr if fails else result.stdout).strip()

    return run
