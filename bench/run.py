"""Speed of every registered loss, beside its floor and its peers, all measured in the same run.

``python bench/run.py --help``; see README.md here for how and why.
"""

from __future__ import annotations

import argparse
import inspect
import math
import multiprocessing
import os
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import fusedloss as fl
import numpy as np
import report
from floors import Floors, compile_library
from peers import PEERS, SLOW_TO_COMPILE, Task

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
from cases import Case, cases_of

SIZES = (16, 2**10, 2**14, 2**20, 2**24)
HALVES = ("float16", "bfloat16")
# Two sizes within the second-level cache; their difference is free of what a call costs.
IN_CACHE = (2**13, 2**15)
BLOCK = 2**20  # random numbers repeat after so many elements
SAMPLE_SECONDS = 1e-4
PAUSE_SECONDS = 0.01  # OpenMP's idle threads spin for some milliseconds, and every peer has a pool of its own

Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What one worker needs to know."""

    threads: int
    sizes: tuple[int, ...]
    halves: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    turn: float
    floors: Path


# ---- timing -----------------------------------------------------------------------------------------


def race(timers: Mapping[str, timeit.Timer], options: Options, *, pause: bool) -> dict[str, float]:
    """Best seconds per call of each. They take turns, so that a change of the machine's mood meets all of them."""
    best = dict.fromkeys(timers, math.inf)
    for _ in range(options.rounds):
        for name, timer in timers.items():
            if pause:
                time.sleep(PAUSE_SECONDS)
            once = timer.timeit(1)
            best[name] = min(best[name], once)
            if once < options.turn:
                calls = max(1, round(SAMPLE_SECONDS / once))
                repeats = min(20, max(1, round(options.turn / (once * calls))))
                best[name] = min(best[name], min(timer.repeat(repeats, calls)) / calls)
    return best


# ---- one loss -----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def block_of(case_index: int, loss: str) -> dict[str, np.ndarray]:
    case = cases_of(loss)[case_index]
    return case.random((BLOCK,), np.float32, np.random.default_rng(0))


def arrays_of(loss: str, size: int, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    return {name: np.resize(block, size).astype(dtype) for name, block in block_of(0, loss).items()}


def case_of(loss: str) -> Case:
    cases = cases_of(loss)
    if not cases:
        raise LookupError("tests/python/cases.py has no case for it")
    return cases[0]


def measure_loss(name: str, options: Options) -> tuple[list[Row], list[str]]:
    """All rows of one loss, measured in this process, and what went wrong with its peers."""
    case = case_of(name)
    rows: list[Row] = []
    troubles: list[str] = []
    for size in options.sizes:
        for trained in ((), fl_loss(name).trains):
            rows.append(measure(case, size, trained, options, troubles))
    if options.halves:
        rows += measure_halves(case, max(options.sizes), options)
    return rows, troubles


def fl_loss(name: str) -> fl.Loss[Any]:
    """The loss with the reduction that every peer has."""
    loss = next(loss for loss in fl.losses() if loss.name == name)
    by_default = inspect.signature(loss).parameters["reduction"].default
    return loss if by_default == "mean" else loss.bind(reduction="mean")


def row_of(case: Case, size: int, trained: tuple[str, ...], options: Options, dtype: str = "float32") -> Row:
    arrays = len(case.arguments) + len(trained)
    wants = "value+grad" if trained else "value"
    return {
        **{"loss": case.loss, "dtype": dtype, "size": size, "threads": options.threads, "wants": wants},
        "bytes": arrays * (4 if dtype == "float32" else 2),
    }


def measure(case: Case, size: int, trained: tuple[str, ...], options: Options, troubles: list[str]) -> Row:
    """One loss at one size, in nanoseconds per element."""
    loss, arrays = fl_loss(case.loss), arrays_of(case.loss, size)
    outs = tuple([np.zeros_like(arrays[name]) for name in trained])
    timers: dict[str, timeit.Timer] = {}
    method = partial(loss.value_and_grad if trained else loss, *arrays.values(), **case.params)
    timers["fusedloss"] = timeit.Timer(method)
    if trained:
        timers["fusedloss_out"] = timeit.Timer(partial(method, out=outs if len(outs) > 1 else outs[0]))

    floors = floor_timers(list(arrays.values()), outs, options)
    timers.update({key: timer for key, (timer, _) in floors.items()})

    task = Task(case.loss, arrays, case.params, trained, options.threads)
    expected = method() if trained else (method(), ())
    for name in options.peers:
        if name in SLOW_TO_COMPILE and size < max(options.sizes):
            continue
        try:
            run = PEERS[name](task)
            if run is not None:
                assert_same(run(), expected)
                timers[name] = timeit.Timer(run)
        except Exception as error:  # a peer may fail in any way, and the others still count
            troubles.append(f"{name} on {case}, {size} elements: {error!r:.200}")
    if case.loss == "mse_loss" and size == min(options.sizes) and not trained:
        x, y = arrays.values()
        timers["numpy_expression"] = timeit.Timer("((x - y) ** 2).mean()", globals={"x": x, "y": y})

    seconds = race(timers, options, pause=options.threads > 1 and size >= IN_CACHE[0])
    elements = {key: covered for key, (_, covered) in floors.items()}
    each = {key: 1e9 * s / elements.get(key, size) for key, s in seconds.items()}
    floor = [each.pop(key) for key in floors]
    if floor:
        each["floor"] = min(floor)
    if size == max(options.sizes):
        each["in_cache"] = in_cache(case, trained, options)
    return row_of(case, size, trained, options) | each


def floor_timers(
    reads: list[np.ndarray], writes: tuple[np.ndarray, ...], options: Options
) -> dict[str, tuple[timeit.Timer, int]]:
    """Passes of the same reads and writes, with and without streaming stores, and the elements each covers."""
    library, timers = Floors(options.floors), {}
    for stream in (False, True) if writes else (False,):
        run, covered = library.prepare(reads, writes, stream=stream, threads=options.threads)
        if covered:
            timers[f"floor, {stream=}"] = timeit.Timer(run), covered
    return timers


def in_cache(case: Case, trained: tuple[str, ...], options: Options) -> float:
    """Nanoseconds per element in one thread when no data comes from memory."""
    loss, timers = fl_loss(case.loss), {}
    for size in IN_CACHE:
        arrays = arrays_of(case.loss, size)
        method = partial(loss.value_and_grad if trained else loss, *arrays.values(), n_threads=1, **case.params)
        if trained:
            outs = tuple([np.zeros_like(arrays[name]) for name in trained])
            method = partial(method, out=outs if len(outs) > 1 else outs[0])
        timers[str(size)] = timeit.Timer(method)
    short, long = race(timers, options, pause=False).values()
    return 1e9 * (long - short) / (IN_CACHE[1] - IN_CACHE[0])


def measure_halves(case: Case, size: int, options: Options) -> list[Row]:
    """Value and gradient of 16-bit arrays, raced against float32."""
    import ml_dtypes

    loss = fl_loss(case.loss)
    types = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
    timers = {}
    for dtype in ("float32", *options.halves):
        arrays = arrays_of(case.loss, size, types[dtype])
        outs = tuple([np.zeros_like(arrays[name]) for name in loss.trains])
        out = outs if len(outs) > 1 else outs[0]
        timers[dtype] = timeit.Timer(partial(loss.value_and_grad, *arrays.values(), out=out, **case.params))
    each = {key: 1e9 * s / size for key, s in race(timers, options, pause=options.threads > 1).items()}
    return [
        row_of(case, size, loss.trains, options, dtype) | {"fusedloss_out": each[dtype], "float32_out": each["float32"]}
        for dtype in options.halves
    ]


def assert_same(found: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    """A peer must compute the same mean, and the same gradients up to a common factor."""
    value, grads = found
    if not math.isclose(float(value), expected[0], rel_tol=1e-3, abs_tol=1e-6):
        raise AssertionError(f"{float(value)} instead of {expected[0]}")
    ours = expected[1] if isinstance(expected[1], tuple) else (expected[1],)
    for one, other in zip(grads, ours, strict=True):
        one, other = (a / abs(a).max() for a in (np.asarray(one), other))
        if not np.allclose(one, other, rtol=0, atol=1e-3):
            raise AssertionError(f"gradients differ by {abs(one - other).max():.2g} of the largest")


# ---- all losses -----------------------------------------------------------------------------------------


@contextmanager
def worker(threads: int) -> Iterator[ProcessPoolExecutor]:
    """A fresh process confined to as many CPUs as threads, so that no peer's own pool uses more."""
    os.environ.update({name: str(threads) for name in report.THREAD_VARIABLES})
    confine = hasattr(os, "sched_setaffinity")
    if confine:
        everything = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(everything)[-threads:])
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(os.getpid).result()
            yield pool
    finally:
        if confine:
            os.sched_setaffinity(0, everything)


def progress(items: list[Any]) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, unit="loss")


def out_of_cache() -> int:
    """The power of two at which one float32 array is at least twice the last-level cache."""
    return 2 ** math.ceil(math.log2(2 * max(1, fl.show_config()["last_level_cache"]) / 4))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", metavar="NAME", help="by default every registered loss")
    parser.add_argument("--focus", action="store_true", help="the losses with a stated goal, measured for longer")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="by default 1 and all")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=[*PEERS, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="few repetitions, small sizes")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"), metavar="DIR")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    registered = [loss.name for loss in fl.losses()]
    names = chosen.losses or (list(report.GOALS) if chosen.focus else registered)
    if unknown := set(names) - set(registered):
        sys.exit(f"not registered: {', '.join(sorted(unknown))}")
    sizes = chosen.sizes or (SIZES[:4] if chosen.quick else sorted({*SIZES, out_of_cache()}))
    threads = chosen.threads or sorted({1, fl.get_num_threads()})
    rounds, turn = (2, 0.002) if chosen.quick else (7, 0.03) if chosen.focus else (4, 0.015)
    rows: list[Row] = []
    failures: list[str] = []
    began, load = time.time(), os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory() as folder:
            floors = compile_library("floors.cpp", Path(folder))
            for count in threads:
                widest = count == max(threads)
                peers = tuple(p for p in chosen.peers if widest or p not in SLOW_TO_COMPILE)
                halves = HALVES if widest else ()
                measure_all(names, Options(count, tuple(sizes), halves, peers, rounds, turn, floors), rows, failures)
    finally:  # what an interrupted run has measured is worth keeping
        if rows:
            report.write(rows, chosen.out, seconds=time.time() - began, rounds=rounds, load=load)
            print((chosen.out / "results.md").read_text())
        for failure in failures:
            print(f"not measured: {failure}", file=sys.stderr)
    return 1 if failures else 0


def measure_all(names: list[str], options: Options, rows: list[Row], failures: list[str]) -> None:
    with worker(options.threads) as pool:
        for name in progress(names):
            try:
                measured, troubles = pool.submit(measure_loss, name, options).result()
                rows += measured
                failures += troubles
            except (LookupError, ValueError, TypeError) as error:
                failures.append(f"{name}, {report.threads_text(options.threads)}: {error}")


if __name__ == "__main__":
    sys.exit(main())
