"""Threads, ISA level and what was compiled in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import _core

_context_threads: ContextVar[int] = ContextVar("fusedloss_threads", default=0)


def _checked(name: str, n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"{name} must be at least 1, got {n}")
    return int(n)


def thread_count(n_threads: Any) -> int:
    """The number of threads for one call; 0 leaves the choice to the core."""
    return _context_threads.get() if n_threads is None else _checked("n_threads", n_threads)


def get_num_threads() -> int:
    """The number of threads a call uses now.

    Returns
    -------
    int
        What `num_threads` or `set_num_threads` chose; else ``FUSEDLOSS_NUM_THREADS``; else ``OMP_NUM_THREADS``; else
        what OpenMP, the CPU affinity and the cgroup quota all allow.
    """
    return _context_threads.get() or int(_core.default_threads())


def set_num_threads(n: int | None) -> None:
    """Sets the number of threads of every later call in this process.

    Parameters
    ----------
    n : int or None
        At least 1; None goes back to the default.
    """
    _core.set_threads(0 if n is None else _checked("n", n))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Sets the number of threads inside a ``with`` block, for this thread or task only.

    Parameters
    ----------
    n : int
        At least 1.
    """
    token = _context_threads.set(_checked("n", n))
    try:
        yield
    finally:
        _context_threads.reset(token)


def get_isa() -> str:
    """The ISA level in use: "v4" (AVX-512), "v3" (AVX2 and FMA), "v1" (any x86-64), "neon" or "generic"."""
    return str(_core.active_isa())


def set_isa(name: str) -> None:
    """Uses another ISA level from here on; the environment variable ``FUSEDLOSS_ISA`` does so at import.

    Parameters
    ----------
    name : str
        One of the levels in ``show_config()["isa_levels"]`` that this CPU supports.

    Raises
    ------
    ValueError
        If the level is unknown or this CPU lacks it.
    """
    levels = _core.isa_levels()
    if name not in levels:
        raise ValueError(f"unknown ISA level {name!r}; compiled in: {', '.join(levels)}")
    if not _core.set_isa(name):
        raise ValueError(f"this CPU does not support ISA level {name!r}")


def show_config() -> dict[str, Any]:
    """What this installation is and how it will run.

    Returns
    -------
    dict
        Version, compiler, ISA levels and the active one, OpenMP, threads, cgroup limit, cache size.
    """
    return {
        "version": _core.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
        "compiler": _core.compiler(),
        "isa": get_isa(),
        "isa_levels": dict(_core.isa_levels()),
        "openmp": _core.openmp(),
        "num_threads": get_num_threads(),
        "cgroup_cpu_limit": _core.cgroup_cpu_limit() or None,
        "last_level_cache": _core.last_level_cache(),
    }


def apply_environment() -> None:
    """Reads ``FUSEDLOSS_ISA`` and ``FUSEDLOSS_NUM_THREADS``; a value that means nothing is an error."""
    _core.watch_forks()
    isa = os.environ.get("FUSEDLOSS_ISA")
    if isa:
        set_isa(isa)
    threads = os.environ.get("FUSEDLOSS_NUM_THREADS")
    if threads:
        if not threads.isdecimal():
            raise ValueError(f"FUSEDLOSS_NUM_THREADS must be a positive integer, got {threads!r}")
        set_num_threads(int(threads))
