"""How many units in the last place every loss is off, at extreme points and against 400 digits.

``python tests/python/ulp.py [--points N] [LOSS ...]`` prints the table.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import ulp_rows
from battery import CASES_ENLISTED, LOSSES, Array, bound, everything, name_of
from battery_rows import ROW_CASES_ENLISTED, ROW_LOSSES
from cases import Case
from references import Reference, evaluate, ulp_error

BARS = {"value": {"float32": 2.0, "float64": 2.0}, "gradient": {"float32": 2.0, "float64": 3.0}}
BARS["hess"] = {"float32": 4.0, "float64": 4.0}


@dataclass(frozen=True)
class Error:
    """The largest error of one result of one case, and where it is."""

    ulp: float
    at: Mapping[str, float]
    actual: float
    exact: float

    def __str__(self) -> str:
        point = ", ".join(f"{key}={float(number)!r}" for key, number in self.at.items())
        return f"{self.ulp:.3g} ULP at {point}: {self.actual!r} instead of {self.exact!r}"


def points_of(case: Case, dtype: Any, count: int) -> dict[str, Array]:
    """Extreme points of a case: `count` of its grid, and all with an infinity or a NaN."""
    grid, special = case.grid(dtype), case.special(dtype)
    size = len(next(iter(grid.values())))
    generator = np.random.default_rng(zlib.crc32(f"{case} {np.dtype(dtype)}".encode()))
    chosen = generator.permutation(size)[:count]
    return {key: np.concatenate([grid[key][chosen], special[key]]) for key in case.arguments}


def kink_points(case: Case, dtype: Any, count: int) -> dict[str, Array]:
    """Up to `count` points that lie exactly on a kink: of small binary fractions, whose differences are exact."""
    axes = [domain.extremes(dtype) for domain in case.arguments.values()]
    axes = [axis[(abs(axis) <= 4) & (axis % 0.125 == 0)] for axis in axes]
    columns = dict(zip(case.arguments, (axis.ravel() for axis in np.meshgrid(*axes)), strict=True))
    met = np.flatnonzero(sum(distance == 0 for distance in case.distances(columns)))
    chosen = np.random.default_rng(0).permutation(met)[:count]
    return {key: column[chosen] for key, column in columns.items()}


def measure(case: Case, arrays: dict[str, Array], *, beside_kinks: bool = True) -> dict[str, Error]:
    """The largest error of the value, of each gradient and of the Hessian.

    With `beside_kinks` a derivative may be that of a point beside a kink, for either side of one is right within the
    rounding of the arguments.
    """
    dtype = next(iter(arrays.values())).dtype
    results = everything(case, arrays)
    results.pop("grad of grad_and_hess", None)
    worst: dict[str, Error] = {}
    for k in range(len(next(iter(arrays.values())))):
        at = {key: array[k] for key, array in arrays.items()}
        exact = evaluate(case.loss, {key: float(number) for key, number in at.items()}, **case.params)
        if exact is None:
            continue
        for name, number, scale in _parts(exact, dtype):
            if name not in results or (name == "hess" and any(map(np.isnan, at.values()))):
                continue
            actual = float(results[name][k])
            ulp = ulp_error(actual, number, dtype, scale)
            if beside_kinks and ulp > BARS[kind_of(name)][dtype.name] and name != "value" and case.kinks:
                for parts in _neighbours(case, at):
                    beside, its_scale = parts[name]
                    ulp = min(ulp, ulp_error(actual, beside, dtype, its_scale))
            if name not in worst or ulp > worst[name].ulp:
                worst[name] = Error(ulp, at, actual, float(number))
    return worst


def _neighbours(case: Case, at: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """Results beside a point, as near as numbers of its size or of size 1 are rounded: there either side is right."""
    for key, number in at.items():
        limit = np.finfo(number.dtype).max
        if not abs(number) < limit:
            continue
        steps = (np.finfo(number.dtype).eps, np.finfo(np.float64).eps)  # float32 may be computed in either
        near = [float(number) + sign * step for step in steps for sign in (-1, 1)]
        for beside in (*near, np.nextafter(number, -limit), np.nextafter(number, limit)):
            exact = evaluate(case.loss, {k: float(v) for k, v in {**at, key: beside}.items()}, **case.params)
            if exact is not None:
                yield {name: parts for name, *parts in _parts(exact, number.dtype)}


def _parts(exact: Reference, dtype: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, exact result and the magnitude its error is relative to."""
    yield "value", exact.value, exact.value_scale
    for key, grad in exact.grads.items():
        yield f"d/d{key}", grad, exact.grad_scales.get(key)
    if exact.hess is not None:
        # A product of several factors, of which nobody needs the last bits where it nearly underflows.
        info = np.finfo(dtype)
        yield "hess", exact.hess, max(exact.hess_scale or 0, float(info.tiny / info.eps))


def kind_of(name: str) -> str:
    """What a result is, as `BARS` names it."""
    return "gradient" if name.startswith("d/d") else name


def table(names: list[str], count: int) -> str:
    """Markdown: the largest error of each loss over its cases, by dtype and kind of result."""
    columns = [(kind, np.dtype(dtype)) for dtype in (np.float32, np.float64) for kind in BARS]
    lines = ["| loss | " + " | ".join(f"{kind} {dtype}" for kind, dtype in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name in names:
        largest: dict[Any, float] = {}
        for dtype in (np.float32, np.float64):
            for kind, ulp in _errors(name, dtype, count):
                largest[kind, np.dtype(dtype)] = max(largest.get((kind, np.dtype(dtype)), 0.0), ulp)
        cells = [f"{largest[key]:.2f}" if key in largest else "" for key in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _errors(name: str, dtype: Any, count: int) -> Iterator[tuple[str, float]]:
    """Kind and error of results of all cases of a loss of either family."""
    for case in (case for case in CASES_ENLISTED if case.loss == name):
        for result, error in measure(case, points_of(case, dtype, count)).items():
            yield kind_of(result), error.ulp
    for case in (case for case in ROW_CASES_ENLISTED if case.loss == name):
        for row_error in ulp_rows.measure(case, dtype, count // 4):
            yield row_error.kind, row_error.ulp


def main() -> None:
    """Print the table, or with --worst what is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("losses", nargs="*", metavar="LOSS")
    parser.add_argument("--points", type=int, default=400, help="points of the grid per case")
    parser.add_argument("--worst", action="store_true", help="list the results over the bar instead")
    options = parser.parse_args()
    names = options.losses or sorted([*LOSSES, *ROW_LOSSES])
    if not options.worst:
        print(table(names, options.points))
        return
    for case in (case for case in CASES_ENLISTED if case.loss in names):
        for dtype in (np.float32, np.float64):
            for result, error in measure(case, points_of(case, dtype, options.points)).items():
                if not error.ulp <= BARS[kind_of(result)][np.dtype(dtype).name]:
                    kernel = bound(case)._probe[0].name
                    print(f"{name_of(case)} [{kernel}] {np.dtype(dtype)} {result}: {error}", flush=True)
    for case in (case for case in ROW_CASES_ENLISTED if case.loss in names):
        for dtype in (np.float32, np.float64):
            for error in ulp_rows.measure(case, dtype, options.points // 4):
                if not error.ulp <= ulp_rows.bars_of(case)[error.kind][np.dtype(dtype).name]:
                    print(f"{case} {np.dtype(dtype)} {error}", flush=True)


if __name__ == "__main__":
    main()
