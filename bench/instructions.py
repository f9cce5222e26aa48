"""Instructions per 16 elements of each loss at each ISA level, value and gradient of float32 arrays.

Linux only: runs a call under ptrace one instruction at a time, so that it needs neither hardware counters (most virtual
machines have none) nor an emulator that knows AVX-512. The difference between a long and a short call leaves the loss
with all that it does per element: loading, storing and summing.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import fusedloss as fl
import numpy as np
import report
import run

SHORT, LONG = 2048, 6144  # whole chunks within one block
TRACEME, CONTINUE, SINGLE_STEP = 0, 7, 9

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def count_instructions(calls: Sequence[Callable[[], Any]]) -> list[int]:
    """Instructions of each call, in a child process."""
    child = os.fork()
    if child == 0:
        _ptrace(TRACEME, 0, None, None)
        for call in calls:
            call()  # whatever happens only once, such as binding symbols
            call()
            os.kill(os.getpid(), signal.SIGSTOP)
            call()
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    counts = []
    for _ in calls:
        _wait(child)
        counts.append(0)
        while True:
            _step(child, SINGLE_STEP)
            if _wait(child) == signal.SIGSTOP:
                break
            counts[-1] += 1
        _step(child, CONTINUE)
    _wait(child)
    return counts


def _step(child: int, request: int) -> None:
    if _ptrace(request, child, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _wait(child: int) -> int | None:
    """The signal that stopped the child; None if it has ended."""
    _, status = os.waitpid(child, 0)
    return os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None


def per_16_elements(name: str, level: str) -> float:
    """Instructions that 16 more elements take."""
    loss, case = run.fl_loss(name), run.case_of(name)
    fl.set_isa(level)
    calls = []
    for size in (SHORT, LONG):
        arrays = run.arrays_of(name, size)
        outs = tuple([np.empty_like(arrays[trained]) for trained in loss.trains])
        out = outs if len(outs) > 1 else outs[0]
        calls.append(partial(loss.value_and_grad, *arrays.values(), out=out, n_threads=1, **case.params))
    short, long = count_instructions(calls)
    return (long - short) / (LONG - SHORT) * 16


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("losses", nargs="*", metavar="LOSS", help="by default those with a stated goal")
    parser.add_argument("--all", action="store_true", help="every loss")
    chosen = parser.parse_args(arguments)
    names = [loss.name for loss in fl.losses()] if chosen.all else chosen.losses or list(report.GOALS)
    levels = [level for level, supported in fl.show_config()["isa_levels"].items() if supported]
    print(report.table(["loss", *levels], ([n, *(f"{per_16_elements(n, v):.1f}" for v in levels)] for n in names)))


if __name__ == "__main__":
    main()
