"""Results as CSV, Markdown and a chart."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import fusedloss as fl
from peers import PEERS

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "FUSEDLOSS_NUM_THREADS")
TEXTS = ("loss", "family", "dtype", "shape", "wants")
COUNTS = ("size", "threads", "extra_bytes")
KEYS = ("loss", "family", "dtype", "shape", "size", "threads", "wants", "bytes")
OURS = ("fusedloss", "fusedloss_out", "floor", "in_cache", "float32_out", "extra_bytes")
PACKAGES = ("numpy", "torch", "jax", "optax", "numexpr", "scikit-learn")

Row = dict[str, Any]


class Goal(NamedTuple):
    """What is promised of a loss at the largest size, in all threads."""

    of_floor: float
    over_torch: float


CHEAP, TRANSCENDENTAL = Goal(0.85, 8.0), Goal(0.6, 12.0)
GOALS = {
    **dict.fromkeys(("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "hinge_loss", "quantile_loss"), CHEAP),
    **dict.fromkeys(
        (
            "binary_cross_entropy_with_logits",
            "sigmoid_focal_loss",
            "poisson_nll_loss",
            "soft_margin_loss",
            "log_cosh_loss",
        ),
        TRANSCENDENTAL,
    ),
}


class RowGoal(NamedTuple):
    """What is promised of a loss of class scores at every shape, in all threads."""

    of_floor: float
    over_torch: float
    over_compiled: float
    value_of_floor: float
    value_over_torch: float
    value_over_log_loss: float
    extra_bytes: int


ROW_GOALS = {"cross_entropy": RowGoal(0.7, 6.0, 4.0, 0.6, 4.0, 20.0, 10**6)}
BOX_GOALS = {"complete_box_iou_loss": 15.0}  # times faster than torch
MASK_GOALS = {"dice_loss": Goal(0.6, 6.0), "lovasz_softmax_loss": Goal(0.0, 3.0)}
PAIR_GOALS = {"triplet_margin_loss": Goal(0.75, 8.0), "contrastive_loss": Goal(0.75, 8.0)}
STATED = (*GOALS, *ROW_GOALS, *BOX_GOALS, *MASK_GOALS, *PAIR_GOALS)
COMPUTE_BOUND = 0.85  # of the time in cache, where that and not memory is the floor
OVER_COMPILED, OVER_COMPILED_ALLOCATING = 4.0, 2.5
OVER_TORCH_IN_CACHE = 8.0
COMPILED = ("torch.compile", "jax.jit")


def write(rows: Sequence[Row], folder: Path, *, kept: int, seconds: float, rounds: int, load: float) -> None:
    """Writes results.csv, results.md and, with matplotlib, results.png; `kept` rows are of earlier runs."""
    write_csv(rows, folder)
    chart = _draw(rows, folder / "results.png")
    parts = _preface(kept, seconds, rounds, load)
    if elements := select(rows, family="elementwise"):
        size, threads = extent(elements)
        largest = select(elements, size=size, threads=threads)
        parts += _timings(largest, f"{size:,} elements, {threads_text(threads)}")
        parts += [*_goals(elements), *_halves(elements, f"{size:,} elements"), *_smaller(elements)]
    if scores := select(rows, family="rows"):
        parts += _row_goals(scores)
        for threads in sorted({row["threads"] for row in scores}, reverse=True):
            parts += _timings(select(scores, threads=threads), f"class scores, {threads_text(threads)}")
        parts += _halves(scores, "class scores")
    if boxes := select(rows, family="boxes"):
        parts += _box_goals(boxes)
        for threads in sorted({row["threads"] for row in boxes}, reverse=True):
            parts += _timings(select(boxes, threads=threads), f"boxes of four numbers, {threads_text(threads)}")
        parts += _halves(boxes, "boxes")
    if masks := select(rows, family="overlap"):
        parts += _mask_goals(masks)
        for threads in sorted({row["threads"] for row in masks}, reverse=True):
            parts += _timings(select(masks, threads=threads), f"masks, {threads_text(threads)}")
        parts += _halves(masks, "masks")
    if vectors := select(rows, family="pairs"):
        parts += _pair_goals(vectors)
        for threads in sorted({row["threads"] for row in vectors}, reverse=True):
            parts += _timings(select(vectors, threads=threads), f"paired vectors, {threads_text(threads)}")
        parts += _halves(vectors, "paired vectors")
    if chart:
        parts.append("![nanoseconds per element](results.png)")
    (folder / "results.md").write_text("\n\n".join(parts) + "\n")


def write_csv(rows: Sequence[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = [*KEYS, *OURS, *PEERS, "numpy_expression"]
    with (folder / "results.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def read_csv(path: Path) -> list[Row]:
    """The rows of an earlier run, of none if there is no file."""
    if not path.exists():
        return []
    kinds: dict[str, Callable[[str], Any]] = {**dict.fromkeys(TEXTS, str), **dict.fromkeys(COUNTS, int)}
    with path.open(newline="") as stream:
        return [{k: kinds.get(k, float)(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]


def merged(kept: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Earlier rows of what was not measured again, in front of new ones."""
    fresh = {_identity(row) for row in rows}
    return [*(row for row in kept if _identity(row) not in fresh), *rows]


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in KEYS if key != "bytes")


# ---- Markdown ---------------------------------------------------------------------------------------


def _preface(kept: int, seconds: float, rounds: int, load: float) -> list[str]:
    earlier = f"; {kept} rows of results.csv are of earlier runs" if kept else ""
    return [
        "# Speed",
        circumstances(seconds, load) + earlier,
        f"Best of {rounds} turns that all contestants take one after another on the same float32 arrays, in a process "
        "confined to as many CPUs as threads. *Floor*: a loop that only reads the same arrays and writes (past the "
        "caches where that is faster) as many as there are gradients, and leaves class indices out. *out*: the "
        "gradient goes to an array that exists; all peers but numexpr and scikit-learn allocate theirs. Peers return "
        "the mean and the gradient; a peer that computes anything else is not timed. `results.csv` has every figure, "
        f"in ns per element. {', '.join(THREAD_VARIABLES)} = threads; other OpenMP settings are the defaults.",
    ]


def circumstances(seconds: float, load: float) -> str:
    """The machine, the versions, and when, how long and beside what was measured."""
    config = fl.show_config()
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    cache = config["last_level_cache"] / 2**20
    return (
        f"- Machine: {_cpu()}, {os.cpu_count()} CPUs, {cache:.0f} MB last-level cache, {platform.system()}\n"
        f"- fusedloss {config['version']} ({config['compiler']}, {config['isa']}), Python {config['python']}, "
        f"{', '.join(versions)}\n"
        f"- {date.today()}, {seconds / 60:.0f} minutes, load average before {load:.1f}"
    )


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), platform.machine())


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names, the others figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def select(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def extent(rows: Sequence[Row]) -> tuple[int, int]:
    """The largest size and number of threads."""
    return max(row["size"] for row in rows), max(row["threads"] for row in rows)


def ratio(numerator: float | None, denominator: float | None) -> str:
    return "" if not numerator or not denominator else f"{numerator / denominator:.3g}"


def label_of(row: Row) -> str:
    """The loss and, where losses are measured at several, its shape."""
    return row["loss"] if row["family"] == "elementwise" else f"{row['loss']}, {row['shape']}"


def megabytes(row: Row) -> str:
    extra = row.get("extra_bytes")
    return "" if extra is None else f"{extra / 1e6:.2f}"


def _timings(rows: Sequence[Row], extent: str) -> list[str]:
    parts = []
    for wants, ours in (("value+grad", "fusedloss_out"), ("value", "fusedloss")):
        chosen = select(rows, dtype="float32", wants=wants)
        peers = [peer for peer in PEERS if any(peer in row for row in chosen)]
        without = ["without out"] if wants == "value+grad" else []
        body = [
            [
                label_of(row),
                f"{row[ours]:.3g}",
                *([f"{row['fusedloss']:.3g}"] if without else []),
                f"{row['bytes'] / row[ours]:.3g}",
                ratio(row.get("floor"), row[ours]),
                megabytes(row),
                *(ratio(row.get(peer), row[ours]) for peer in peers),
            ]
            for row in chosen
        ]
        head = ["loss", "ns/element", *without, "GB/s", "of floor", "extra MB", *(f"x {peer}" for peer in peers)]
        title = "Value and gradient" if wants == "value+grad" else "Value"
        parts += [f"## {title}, {extent}", table(head, body)]
    return parts


def threads_text(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _goals(rows: Sequence[Row]) -> list[str]:
    """The stated goals; a figure that falls short is bold."""
    size, threads = extent(rows)
    head = [
        "loss",
        "of floor",
        "x torch",
        "x compiled, out",
        "x compiled",
        "value: of floor",
        "x torch, 2^14, 1 thread",
    ]
    body = []
    for loss, goal in GOALS.items():
        both = select(rows, loss=loss, dtype="float32", size=size, threads=threads)
        if not both:
            continue
        value, grad = (next(row for row in both if row["wants"] == wants) for wants in ("value", "value+grad"))
        compiled = min((grad[peer] for peer in COMPILED if peer in grad), default=None)
        small = select(rows, loss=loss, dtype="float32", size=2**14, threads=1, wants="value+grad")
        body.append(
            [
                loss,
                _of_floor(grad, "fusedloss_out", goal),
                _against(grad.get("torch"), grad["fusedloss_out"], goal.over_torch),
                _against(compiled, grad["fusedloss_out"], OVER_COMPILED),
                _against(compiled, grad["fusedloss"], OVER_COMPILED_ALLOCATING),
                _of_floor(value, "fusedloss", goal),
                _against(small[0].get("torch"), small[0]["fusedloss_out"], OVER_TORCH_IN_CACHE) if small else "",
            ]
        )
    if not body:
        return []
    text = (
        f"{size:,} elements, {threads_text(threads)}, value and gradient, unless the column says otherwise; "
        "*compiled* is the faster of torch.compile and jax.jit; bold falls short. A *c* marks a loss whose time in "
        "cache, divided by the threads, is above the floor of memory: the fraction is of that time, and "
        f"{COMPUTE_BOUND} the goal. "
        "Goals: "
        f"{CHEAP.of_floor} of the floor and {CHEAP.over_torch:g} x torch for the first six, {TRANSCENDENTAL.of_floor} "
        f"and {TRANSCENDENTAL.over_torch:g} for the others; {OVER_COMPILED:g} and {OVER_COMPILED_ALLOCATING:g} x "
        f"compiled; {OVER_TORCH_IN_CACHE:g} x torch at 2^14 in one thread."
    )
    calls = [
        f"One call of mse_loss with {row['size']} elements: "
        f"{row['fusedloss'] * row['size']:.0f} ns; `((x - y) ** 2).mean()`: "
        f"{row['numpy_expression'] * row['size']:.0f} ns."
        for row in rows
        if "numpy_expression" in row and row["threads"] == 1
    ]
    return ["## Goals", text, table(head, body), *calls]


def _row_goals(rows: Sequence[Row]) -> list[str]:
    """The stated goals of class scores, at every shape; a figure that falls short is bold."""
    threads = extent(rows)[1]
    body = []
    for loss, goal in ROW_GOALS.items():
        both = select(rows, loss=loss, dtype="float32", threads=threads)
        for grad, value in zip(select(both, wants="value+grad"), select(both, wants="value"), strict=True):
            compiled = min((grad[peer] for peer in COMPILED if peer in grad), default=None)
            frugal = value.get("extra_bytes", 0) <= goal.extra_bytes
            body.append(
                [
                    label_of(grad),
                    _against(grad.get("floor"), grad["fusedloss_out"], goal.of_floor),
                    _against(grad.get("torch"), grad["fusedloss_out"], goal.over_torch),
                    _against(compiled, grad["fusedloss_out"], goal.over_compiled),
                    _against(value.get("floor"), value["fusedloss"], goal.value_of_floor),
                    _against(value.get("torch"), value["fusedloss"], goal.value_over_torch),
                    _against(value.get("log_loss"), value["fusedloss"], goal.value_over_log_loss),
                    _marked(megabytes(value), "log_loss" not in value or frugal),
                ]
            )
    if not body:
        return []
    of_value = ("of floor", "x torch", "x log_loss", "extra MB")
    head = ["loss", "of floor", "x torch", "x compiled", *(f"value: {name}" for name in of_value)]
    text = (
        f"{threads_text(threads)}, value and gradient with *out*, unless the column says otherwise. The floor reads "
        "the scores once and writes the gradient once; it reads rows larger than a core's second-level cache twice. "
        "*log_loss* is scikit-learn's, of probabilities that it is given; *extra MB* is what resident memory grows by "
        "for a while. Goals: "
        + "; ".join(
            f"{loss} {g.of_floor:g} of the floor, {g.over_torch:g} x torch, {g.over_compiled:g} x compiled, of the "
            f"value alone {g.value_of_floor:g}, {g.value_over_torch:g} x torch and {g.value_over_log_loss:g} x "
            f"log_loss with at most {g.extra_bytes / 1e6:g} MB"
            for loss, g in ROW_GOALS.items()
        )
        + "."
    )
    return ["## Goals of class scores", text, table(head, body)]


def _box_goals(rows: Sequence[Row]) -> list[str]:
    """The stated goals of boxes."""
    threads = extent(rows)[1]
    body = [
        [
            label_of(row),
            _against(row.get("torch"), row["fusedloss_out"], goal),
            ratio(row.get("floor"), row["fusedloss_out"]),
        ]
        for loss, goal in BOX_GOALS.items()
        for row in select(rows, loss=loss, dtype="float32", threads=threads, wants="value+grad")
    ]
    goals = ", ".join(f"{loss} {goal:g} x" for loss, goal in BOX_GOALS.items())
    text = f"{threads_text(threads)}, value and gradient with *out*. Goals, against the formulas in torch: {goals}."
    return ["## Goals of boxes", text, table(["loss", "x torch", "of floor"], body)] if body else []


def _mask_goals(rows: Sequence[Row]) -> list[str]:
    """The stated goals of overlaps of masks."""
    threads = extent(rows)[1]
    body = [
        [
            label_of(row),
            _against(row.get("torch"), row["fusedloss_out"], goal.over_torch),
            _against(row.get("floor"), row["fusedloss_out"], goal.of_floor),
        ]
        for loss, goal in MASK_GOALS.items()
        for row in select(rows, loss=loss, dtype="float32", threads=threads, wants="value+grad")
    ]
    goals = "; ".join(
        f"{loss} {goal.over_torch:g} x torch" + (f", {goal.of_floor:g} of the floor" if goal.of_floor else "")
        for loss, goal in MASK_GOALS.items()
    )
    text = (
        f"{threads_text(threads)}, value and gradient with *out*. The floor reads the scores twice and writes the "
        f"gradient once. Goals: {goals}."
    )
    return ["## Goals of masks", text, table(["loss", "x torch", "of floor"], body)] if body else []


def _pair_goals(rows: Sequence[Row]) -> list[str]:
    """The stated goals of paired vectors."""
    threads = extent(rows)[1]
    body = [
        [
            label_of(row),
            _against(row.get("torch"), row["fusedloss_out"], goal.over_torch),
            _against(row.get("floor"), row["fusedloss_out"], goal.of_floor),
        ]
        for loss, goal in PAIR_GOALS.items()
        for row in select(rows, loss=loss, dtype="float32", threads=threads, wants="value+grad")
    ]
    goals = "; ".join(f"{loss} {g.over_torch:g} x torch, {g.of_floor:g} of the floor" for loss, g in PAIR_GOALS.items())
    text = f"{threads_text(threads)}, value and gradients with *out*. Goals: {goals}."
    return ["## Goals of paired vectors", text, table(["loss", "x torch", "of floor"], body)] if body else []


def _marked(text: str, reached: bool) -> str:
    return text if reached else f"**{text}**"


def _against(peer: float | None, ours: float, goal: float) -> str:
    return _marked(ratio(peer, ours), peer / ours >= goal) if peer else ""


def _of_floor(row: Row, ours: str, goal: Goal) -> str:
    memory, compute = row.get("floor", 0.0), row.get("in_cache", 0.0) / row["threads"]
    if compute > memory:
        return _marked(f"{compute / row[ours]:.2f} c", compute / row[ours] >= COMPUTE_BOUND)
    return _marked(f"{memory / row[ours]:.2f}", memory / row[ours] >= goal.of_floor)


def _halves(rows: Sequence[Row], extent: str) -> list[str]:
    halves = [row for row in rows if row["dtype"] != "float32"]
    if not halves:
        return []
    types = sorted({row["dtype"] for row in halves})
    found: dict[str, dict[str, Row]] = {}
    for row in halves:
        found.setdefault(label_of(row), {})[row["dtype"]] = row
    body = []
    for name, by_type in found.items():
        times = [by_type[t]["fusedloss_out"] / by_type[t]["float32_out"] for t in types]
        most = max(by_type.values(), key=lambda row: row.get("extra_bytes") or 0)
        body.append([name, *(_marked(f"{t:.2f}", round(t, 2) <= 1) for t in times), megabytes(most)])
    threads = threads_text(max(row["threads"] for row in halves))
    title = f"## Time with 16-bit arrays over time with float32, value and gradient, {extent}, {threads}"
    return [title, table(["loss", *types, "extra MB"], body)]


def _smaller(rows: Sequence[Row]) -> list[str]:
    """How the loss fares from a few elements up: in nanoseconds, and beside PyTorch."""
    sizes = sorted({row["size"] for row in rows})
    parts = []
    for threads in sorted({row["threads"] for row in rows}):
        chosen = select(rows, dtype="float32", threads=threads, wants="value+grad")
        by_key = {(row["loss"], row["size"]): row for row in chosen}
        body = []
        for loss in dict.fromkeys(row["loss"] for row in chosen):
            cells = []
            for size in sizes:
                row = by_key.get((loss, size))
                if row is None:
                    cells.append("")
                    continue
                ours = row["fusedloss_out"]
                time = f"{ours * size:.0f} ns" if size < 1000 else f"{ours:.3g}"
                cells.append(f"{time} (x {ratio(row['torch'], ours)})" if "torch" in row else time)
            body.append([loss, *cells])
        parts += [
            f"## Value and gradient by size, {threads_text(threads)}: ns per element (below 1000 elements: per call), "
            "and times PyTorch eager",
            table(["loss", *(f"{size:,}" for size in sizes)], body),
        ]
    return parts


# ---- chart ------------------------------------------------------------------------------------------


def _draw(rows: Sequence[Row], path: Path) -> bool:
    """Nanoseconds per element at the largest size, of the losses that have peers."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    chosen, titles = [], []
    for family in dict.fromkeys(row["family"] for row in rows):
        members = select(rows, family=family, dtype="float32", wants="value+grad")
        size, threads = extent(members)
        of_interest = select(members, threads=threads)
        if family == "elementwise":
            of_interest = select(of_interest, size=size)
            titles.append(f"{size:,} elements")
        chosen += [row for row in of_interest if any(peer in row for peer in PEERS)]
    chosen.reverse()
    if not chosen:
        return False
    figure = Figure(figsize=(8, 1.5 + 0.24 * len(chosen)), layout="constrained")
    axes = figure.subplots()
    series = {"floor": "floor of memory", "fusedloss_out": "fusedloss", **{peer: peer for peer in PEERS}}
    markers = {"floor": "|", "fusedloss_out": "D"}
    colours = {"floor": "black", "fusedloss_out": "crimson"}
    for key, label in series.items():
        points = [(row[key], k) for k, row in enumerate(chosen) if key in row]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=36, marker=markers.get(key, "o"), color=colours.get(key), label=label, zorder=3)
    axes.set_xscale("log")
    axes.set_yticks(range(len(chosen)), [label_of(row) for row in chosen], fontsize=8)
    axes.grid(axis="x", which="both", alpha=0.3)
    axes.set_xlabel("ns per element (logarithmic)")
    axes.set_title(", ".join(["Value and gradient, float32", *titles, threads_text(threads)]), fontsize=10)
    figure.legend(fontsize=8, ncols=4, loc="outside lower center")
    figure.savefig(path, dpi=100)
    return True
