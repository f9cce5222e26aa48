"""`fusedloss evaluate` on files larger than a chunk: its speed beside that of summing the same bytes, and its memory.

Both run as processes of their own, in turns, on files that the page cache holds if memory allows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

BLOCK = 2**21  # elements written at a time; the files repeat them
SUM = "import sys, numpy; [print(numpy.load(path, mmap_mode='r').sum()) for path in sys.argv[1:]]"


class Usage(NamedTuple):
    """What a process took."""

    seconds: float
    resident_mb: float


def write(path: Path, elements: int, generator: np.random.Generator) -> None:
    """A .npy file of float32 numbers; not by a memory map, as a process counts its parent's peak as its own."""
    block = generator.standard_normal(BLOCK, np.float32)
    header = {"descr": np.lib.format.dtype_to_descr(block.dtype), "fortran_order": False, "shape": (elements,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for begin in range(0, elements, BLOCK):
            block[: elements - begin].tofile(file)


def run(command: Sequence[str]) -> Usage:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Usage(seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=4.0, help="of the two files together")
    parser.add_argument("--loss", nargs="+", default=["mse_loss"], metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the files for the time being")
    chosen = parser.parse_args(arguments)
    elements = int(chosen.gigabytes * 2**30 / 8)
    evaluate = [sys.executable, "-m", "fusedloss", "evaluate", "--quiet"]
    for loss in chosen.loss:
        evaluate += ["--loss", loss]
    contestants = {"numpy memmap sum": [sys.executable, "-c", SUM], "fusedloss evaluate": evaluate}
    usages: dict[str, list[Usage]] = {name: [] for name in contestants}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        paths = [Path(folder) / "input.npy", Path(folder) / "target.npy"]
        for path in paths:
            write(path, elements, np.random.default_rng(len(path.name)))
        for _ in range(chosen.repeats):
            for name, command in contestants.items():
                usages[name].append(run([*command, *map(str, paths)]))
    best = {name: min(usage.seconds for usage in each) for name, each in usages.items()}
    for name, each in usages.items():
        resident = max(usage.resident_mb for usage in each)
        speed = chosen.gigabytes * 2**30 / 1e9 / best[name]
        print(f"{name}: {best[name]:.2f} s, {speed:.2f} GB/s, at most {resident:.0f} MB resident")
    print(f"speed of fusedloss evaluate: {best['numpy memmap sum'] / best['fusedloss evaluate']:.2f} of the sum's")


if __name__ == "__main__":
    main()
