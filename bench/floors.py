"""The least time that memory or caches allow for a pass over arrays: see floors.cpp."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
_LINE = 64


def compile_library(source: str, folder: Path) -> Path:
    """A shared library of a source file here, built in `folder` by the system's compiler (or ``$CXX``)."""
    path = Path(__file__).with_name(source)
    library = folder / f"{path.stem}.so"
    subprocess.run([os.environ.get("CXX", "c++"), *FLAGS, str(path), "-o", str(library)], check=True)
    return library


class Floors:
    """Passes of the library over NumPy arrays."""

    def __init__(self, library: Path) -> None:
        self._run = ctypes.CDLL(str(library)).fusedloss_floor
        self._run.restype = ctypes.c_int64

    def prepare(
        self, reads: Sequence[np.ndarray], writes: Sequence[np.ndarray], *, stream: bool, threads: int
    ) -> tuple[Callable[[], object], int]:
        """A pass that reads and overwrites the arrays, past the caches with `stream`; and how many elements it covers.

        That is a little less than all of them, as output starts at a cache line and lines are taken in groups.
        """
        skipped = max((aligned(array) - array.ctypes.data for array in writes), default=0)
        arguments = (
            (ctypes.c_void_p * len(reads))(*(array.ctypes.data for array in reads)),
            ctypes.c_int(len(reads)),
            (ctypes.c_void_p * len(writes))(*map(aligned, writes)),
            ctypes.c_int(len(writes)),
            ctypes.c_int64(reads[0].nbytes - skipped),
            ctypes.c_int(stream),
            ctypes.c_int(threads),
            ctypes.byref(ctypes.c_float()),
        )
        covered = self._run(*arguments)
        if covered < 0:
            raise ValueError(f"no pass reads {len(reads)} arrays and writes {len(writes)}")
        alive = (*reads, *writes)

        def run(run=self._run, arguments=arguments, _alive=alive) -> None:
            run(*arguments)

        return run, covered // reads[0].itemsize


def aligned(array: np.ndarray) -> int:
    """The address of the first cache line that begins inside an array."""
    return -(-array.ctypes.data // _LINE) * _LINE
