"""Instructions per 16 elements of each loss at each ISA level, value and gradient of float32 arrays.

Runs a call one instruction at a time (x86-64 Linux), so that it needs neither hardware counters, which most virtual
machines lack, nor an emulator that knows AVX-512. The difference between a long and a short call leaves the loss with
all that it does per element: loading, storing and summing.
"""

from __future__ import annotations

import argparse
import ctypes
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fusedloss as fl
import report
from floors import compile_library
from workloads import Calls, Workload, family_of, mean_loss

SHORT, LONG = 1024, 7168  # whole chunks within one block


class Stepper:
    """Counts instructions of a call: see stepper.cpp."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = ctypes.PyDLL(str(compile_library("stepper.cpp", Path(folder))))
        self._start, self._stop = library.start_counting, library.stop_counting
        self._stop.restype = ctypes.c_int64

    def count(self, call: Callable[[], Any]) -> int:
        """Instructions of one call, once the interpreter and the caches of NumPy have settled."""
        for _ in range(100):
            call()
        return min(self._once(call), self._once(call))

    def _once(self, call: Callable[[], Any]) -> int:
        self._start()
        call()
        return self._stop()


def per_16_elements(name: str, level: str, stepper: Stepper) -> float:
    """Instructions that 16 more elements take, or one more row of 16 classes, or four more pairs of boxes."""
    fl.set_isa(level)
    columns = {"rows": 16, "boxes": 4}.get(family_of(name))
    shapes = [(size // columns, columns) if columns else (size,) for size in (SHORT, LONG)]
    trained = mean_loss(name).trains
    short, long = (stepper.count(Calls(Workload(name, shape), trained, n_threads=1).reused) for shape in shapes)
    return (long - short) / (LONG - SHORT) * 16


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("losses", nargs="*", metavar="LOSS", help="by default those with a stated goal")
    parser.add_argument("--all", action="store_true", help="every loss")
    chosen = parser.parse_args(arguments)
    stated = [*report.GOALS, *report.ROW_GOALS, *report.BOX_GOALS]
    kernels = [loss.name for loss in fl.losses() if loss.family != "composition"]
    names = kernels if chosen.all else chosen.losses or stated
    levels = [level for level, supported in fl.show_config()["isa_levels"].items() if supported]
    stepper = Stepper()
    body = [[name, *(f"{per_16_elements(name, level, stepper):.1f}" for level in levels)] for name in names]
    print(report.table(["loss", *levels], body))


if __name__ == "__main__":
    main()
