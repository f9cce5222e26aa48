"""Speed of every registered loss, beside its floor and its peers, all measured in the same run.

``python bench/run.py --help``; see README.md here for how and why.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import multiprocessing
import os
import re
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fusedloss as fl
import numpy as np
import report
from floors import Floors, compile_library
from peers import PEERS, SLOW_TO_COMPILE, Task
from workloads import (
    BOXES,
    ELEMENTS,
    FAMILIES,
    FEW_ELEMENTS,
    FEW_SCORES,
    MASKS,
    QUICK_BOXES,
    QUICK_MASKS,
    QUICK_SCORES,
    QUICK_VECTORS,
    SCORES,
    VECTORS,
    Calls,
    Shape,
    Workload,
    family_of,
    mean_loss,
    parse_shape,
    shape_text,
)

HALVES = ("float16", "bfloat16")
# Two sizes within the second-level cache; their difference is free of what a call costs.
IN_CACHE = (2**13, 2**15)
SAMPLE_SECONDS = 1e-4
PAUSE_SECONDS = 0.01  # OpenMP's idle threads spin for some milliseconds, and every peer has a pool of its own
LEAST_TURNS = 2
READ_AGAIN = "floor, read again"
PEERS_IN_FEW_THREADS = ("torch", "jax.jit")
SECOND_LEVEL_CACHE = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")

Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What one worker needs to know."""

    threads: int
    halves: tuple[str, ...]
    peers: tuple[str, ...]
    rounds: int
    turn: float
    patience: float
    floors: Path


# ---- timing -----------------------------------------------------------------------------------------


def race(timers: Mapping[Any, timeit.Timer], options: Options, *, pause: bool) -> dict[Any, float]:
    """Best seconds per call of each. They take turns, so that a change of the machine's mood meets all of them.

    Who has used up everybody's patience takes no more turns, beyond the first two.
    """
    best, spent = dict.fromkeys(timers, math.inf), dict.fromkeys(timers, 0.0)
    for turn in range(options.rounds):
        for name, timer in timers.items():
            if turn >= LEAST_TURNS and spent[name] > options.patience:
                continue
            if pause:
                time.sleep(PAUSE_SECONDS)
            began = time.perf_counter()
            once = timer.timeit(1)
            best[name] = min(best[name], once)
            if once < options.turn:
                calls = max(1, round(SAMPLE_SECONDS / once))
                repeats = min(20, max(1, round(options.turn / (once * calls))))
                best[name] = min(best[name], min(timer.repeat(repeats, calls)) / calls)
            spent[name] += time.perf_counter() - began
    return best


def extra_bytes(call: Callable[[], object]) -> int | None:
    """Resident memory that a call needs for a while beyond what there was; only Linux tells."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed would hide what this one takes
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except OSError:
        return None
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(which: str) -> int:
    found = re.search(rf"{which}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1]) if found else 0


def second_level_cache() -> int:
    try:
        kilobytes = int(SECOND_LEVEL_CACHE.read_text().strip().removesuffix("K"))
    except (OSError, ValueError):
        kilobytes = 1024
    return 1024 * kilobytes


# ---- one loss -----------------------------------------------------------------------------------------


def measure_workload(workload: Workload, options: Options) -> tuple[list[Row], list[str]]:
    """All rows of one loss at one shape, measured in this process, and what went wrong with its peers."""
    troubles: list[str] = []
    rows = [measure(workload, trained, options, troubles) for trained in ((), mean_loss(workload.loss).trains)]
    if options.halves and workload.full:
        rows += measure_halves(workload, options)
    return rows, troubles


def row_of(workload: Workload, calls: Calls, options: Options, dtype: str = "float32") -> Row:
    wants = "value+grad" if calls.outs else "value"
    return {
        **{"loss": workload.loss, "family": family_of(workload.loss), "dtype": dtype},
        **{"shape": shape_text(workload.shape), "size": workload.size, "threads": options.threads, "wants": wants},
        "bytes": calls.bytes_per_element,
    }


def measure(workload: Workload, trained: tuple[str, ...], options: Options, troubles: list[str]) -> Row:
    """One loss at one shape, in nanoseconds per element."""
    calls, size = Calls(workload, trained), workload.size
    row = row_of(workload, calls, options)
    extra = extra_memory(workload, calls, trained) if workload.full else None
    timers: dict[Any, timeit.Timer] = {"fusedloss": timeit.Timer(calls.plain)}
    if trained:
        timers["fusedloss_out"] = timeit.Timer(calls.reused)
    floors = floor_timers(calls, options)
    timers.update({key: timer for key, (timer, _) in floors.items()})

    task = Task(workload.loss, calls.arrays, workload.params, trained, options.threads)
    expected = calls.plain() if trained else (calls.plain(), ())
    for name in options.peers:
        if name in SLOW_TO_COMPILE and not workload.full:
            continue
        try:
            run = PEERS[name](task)
            if run is not None:
                assert_same(run(), expected)
                timers[name] = timeit.Timer(run)
        except Exception as error:  # a peer may fail in any way, and the others still count
            troubles.append(f"{name} on {workload}: {error!r:.200}")
    if workload.loss == "mse_loss" and size == ELEMENTS[0][0] and not trained:
        x, y = calls.arrays.values()
        timers["numpy_expression"] = timeit.Timer("((x - y) ** 2).mean()", globals={"x": x, "y": y})

    seconds = race(timers, options, pause=options.threads > 1 and size >= IN_CACHE[0])
    each = {key: 1e9 * s / (floors[key][1] if key in floors else size) for key, s in seconds.items()}
    passes = {key: each.pop(key) for key in floors}
    if passes:
        again = passes.pop(READ_AGAIN, 0.0)
        each["floor"] = min(passes.values()) + again
    known = {"extra_bytes": extra, "in_cache": in_cache(workload, trained, options) if workload.full else None}
    return row | each | {key: value for key, value in known.items() if value is not None}


def floor_timers(calls: Calls, options: Options) -> dict[str, tuple[timeit.Timer, int]]:
    """Passes of the same reads and writes, with and without streaming stores, and the elements each covers.

    The gradient of a row of scores begins when all of it is read; a row larger than a core's cache is then read again,
    and so is an image.
    """
    library, reads = Floors(options.floors), calls.streamed
    passes = {f"floor, {stream=}": (calls.outs, stream) for stream in ((False, True) if calls.outs else (False,))}
    row_bytes = calls.first.itemsize * calls.first.shape[-1] if calls.first.ndim == 2 else 0
    if calls.outs and (calls.reads_twice or row_bytes > second_level_cache()):
        passes[READ_AGAIN] = ((), False)
    timers = {}
    for key, (writes, stream) in passes.items():
        run, covered = library.prepare(reads, writes, stream=stream, threads=options.threads)
        if covered:
            timers[key] = timeit.Timer(run), covered
    return timers


def extra_memory(workload: Workload, calls: Calls, trained: tuple[str, ...]) -> int | None:
    """Of a call with the gradient in an existing array, after a small one that has loaded the code."""
    small = workload.shrunk(IN_CACHE[0])
    if small is not None:
        Calls(small, trained, calls.first.dtype).reused()
    return extra_bytes(calls.reused)


def in_cache(workload: Workload, trained: tuple[str, ...], options: Options) -> float | None:
    """Nanoseconds per element in one thread when no data comes from memory."""
    small = [workload.shrunk(elements) for elements in IN_CACHE]
    if None in small:
        return None
    timers = {shrunk.size: timeit.Timer(Calls(shrunk, trained, n_threads=1).reused) for shrunk in small if shrunk}
    (short, long), seconds = timers, race(timers, options, pause=False)
    return 1e9 * (seconds[long] - seconds[short]) / (long - short)


def measure_halves(workload: Workload, options: Options) -> list[Row]:
    """Value and gradient of 16-bit arrays, raced against float32."""
    import ml_dtypes

    types = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
    trained = mean_loss(workload.loss).trains
    calls = {dtype: Calls(workload, trained, types[dtype]) for dtype in ("float32", *options.halves)}
    extra = {dtype: extra_memory(workload, calls[dtype], trained) for dtype in options.halves}
    timers = {dtype: timeit.Timer(calls[dtype].reused) for dtype in calls}
    seconds = race(timers, options, pause=options.threads > 1)
    each = {key: 1e9 * s / workload.size for key, s in seconds.items()}
    return [
        row_of(workload, calls[dtype], options, dtype)
        | {"fusedloss_out": each[dtype], "float32_out": each["float32"], "extra_bytes": extra[dtype]}
        for dtype in options.halves
    ]


def assert_same(found: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    """A peer must compute the same mean, and the same gradients up to a common factor (in a sample of them)."""
    value, grads = found
    if not math.isclose(float(value), expected[0], rel_tol=1e-3, abs_tol=1e-6):
        raise AssertionError(f"{float(value)} instead of {expected[0]}")
    ours = expected[1] if isinstance(expected[1], tuple) else (expected[1],)
    for pair in zip(grads, ours, strict=True):
        one, other = (sample / abs(sample).max() for sample in map(_sample, pair))
        if not np.allclose(one, other, rtol=0, atol=1e-3):
            raise AssertionError(f"gradients differ by {abs(one - other).max():.2g} of the largest")


def _sample(array: Any) -> np.ndarray:
    flat = np.asarray(array).reshape(-1)
    return flat[:: 1 + flat.size // 2**17]


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


def out_of_cache() -> int:
    """The power of two at which one float32 array is at least twice the last-level cache."""
    return 2 ** math.ceil(math.log2(2 * max(1, fl.show_config()["last_level_cache"]) / 4))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", metavar="NAME", help="by default every registered loss")
    parser.add_argument("--family", choices=FAMILIES, help="by default both")
    parser.add_argument("--focus", action="store_true", help="the losses with a stated goal, measured for longer")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="of elementwise losses")
    parser.add_argument("--shapes", nargs="+", type=parse_shape, metavar="NxC", help="of losses of class scores")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="by default 1 and all")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=[*PEERS, []], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="few repetitions, small sizes")
    parser.add_argument("--keep", action="store_true", help="keep earlier results of what is not measured now")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"), metavar="DIR")
    return parser.parse_args(arguments)


def plan(chosen: argparse.Namespace) -> list[Workload]:
    """What to measure, in order."""
    registered = [loss.name for loss in fl.losses() if loss.family in FAMILIES]
    names = chosen.losses or (list(report.STATED) if chosen.focus else registered)
    if unknown := set(names) - set(registered):
        sys.exit(f"not registered: {', '.join(sorted(unknown))}")
    if chosen.sizes:
        elements: Sequence[Shape] = [(size,) for size in chosen.sizes]
    elif chosen.quick:
        elements = ELEMENTS[:4]
    else:
        elements = sorted({*(FEW_ELEMENTS if chosen.focus else ELEMENTS), (out_of_cache(),)})
    largest = max(elements)
    workloads = []
    for name in names:
        if family_of(name) == "rows":
            few = QUICK_SCORES if chosen.quick else FEW_SCORES
            wide = QUICK_SCORES if chosen.quick else SCORES
            shapes = chosen.shapes or (wide if name in report.ROW_GOALS else few)
            workloads += [Workload(name, shape) for shape in shapes]
        elif family_of(name) == "boxes":
            boxes = QUICK_BOXES if chosen.quick else BOXES
            workloads += [Workload(name, shape) for shape in chosen.shapes or boxes]
        elif family_of(name) == "overlap":
            masks = QUICK_MASKS if chosen.quick else MASKS
            workloads += [Workload(name, shape) for shape in chosen.shapes or masks]
        elif family_of(name) == "pairs":
            vectors = QUICK_VECTORS if chosen.quick else VECTORS
            workloads += [Workload(name, shape) for shape in chosen.shapes or vectors]
        else:
            workloads += [Workload(name, shape, full=shape == largest) for shape in elements]
    return [w for w in workloads if chosen.family in (None, family_of(w.loss))]


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    workloads = plan(chosen)
    threads = chosen.threads or sorted({1, fl.get_num_threads()})
    effort = (2, 0.002, 0.02) if chosen.quick else (7, 0.03, 0.5) if chosen.focus else (4, 0.015, 0.25)
    kept = report.read_csv(chosen.out / "results.csv") if chosen.keep else []
    rows: list[Row] = []
    failures: list[str] = []
    began, load = time.time(), os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory() as folder:
            floors = compile_library("floors.cpp", Path(folder))
            for count in threads:
                widest = count == max(threads)
                peers = tuple(p for p in chosen.peers if widest or p in PEERS_IN_FEW_THREADS)
                options = Options(count, HALVES if widest else (), peers, *effort, floors)
                for measured, troubles in measure_all(workloads, options):
                    rows += measured
                    failures += troubles
                    report.write_csv(report.merged(kept, rows), chosen.out)
    finally:  # what an interrupted run has measured is worth keeping
        if rows:
            every = report.merged(kept, rows)
            report.write(
                every, chosen.out, kept=len(every) - len(rows), seconds=time.time() - began, rounds=effort[0], load=load
            )
            print((chosen.out / "results.md").read_text())
        for failure in failures:
            print(f"not measured: {failure}", file=sys.stderr)
    return 1 if failures else 0


def measure_all(workloads: list[Workload], options: Options) -> Iterator[tuple[list[Row], list[str]]]:
    """Rows and failures of one workload after the other, which it reports."""
    began = time.time()
    with worker(options.threads) as pool:
        for k, workload in enumerate(workloads, start=1):
            where = f"{workload}, {report.threads_text(options.threads)}"
            try:
                rows, troubles = pool.submit(measure_workload, workload, options).result()
            except (LookupError, ValueError, TypeError) as error:
                rows, troubles = [], [f"{where}: {error}"]
            print(f"{time.time() - began:4.0f} s  {k}/{len(workloads)}  {where}", file=sys.stderr, flush=True)
            yield rows, troubles


if __name__ == "__main__":
    sys.exit(main())
