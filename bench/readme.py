"""Regenerates the parts of README.md that are produced by the library itself.

Usage: python bench/readme.py          rewrites README.md
       python bench/readme.py --check  exits with 1 if README.md is out of date
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import fusedloss as fl
import report
from fusedloss import cli

README = Path(__file__).resolve().parent.parent / "README.md"
RESULTS = Path(__file__).resolve().parent / "results"


def losses_table() -> str:
    """Per topic, one row per loss: name, formula, what it has, other names."""
    by_topic: dict[str, list[fl.Loss[Any]]] = {}
    for loss in fl.losses():
        by_topic.setdefault(loss.__module__, []).append(loss)
    parts = []
    for topic in sorted(by_topic):
        heading = (sys.modules[topic].__doc__ or "").splitlines()[0].removesuffix(".").replace("``", "`")
        parts += [
            *(f"### {heading}", ""),
            *("| loss | formula | gradients | Hessian | also known as |", "|---|---|---|---|---|"),
            *map(_loss_row, by_topic[topic]),
            "",
        ]
    return "\n".join(parts).rstrip()


def _loss_row(loss: fl.Loss[Any]) -> str:
    formula = loss.formula.replace("``", "`").replace("|", "\\|")
    gradients = ", ".join(loss.differentiable)
    aliases = ", ".join(loss.aliases).replace("|", "\\|")
    return f"| `{loss.name}` | {formula} | {gradients} | {'yes' if loss.has_hessian else ''} | {aliases} |"


def activations_table() -> str:
    """One row per activation: name, formula, other names."""
    rows = ["| activation | of | formula | also known as |", "|---|---|---|---|"]
    for activation in fl.activations():
        of = {"elementwise": "elements", "rows": "rows"}[activation.family]
        formula = activation.formula.replace("``", "`").replace("|", "\\|")
        rows.append(f"| `{activation.name}` | {of} | {formula} | {', '.join(activation.aliases)} |")
    return "\n".join(rows)


def evaluate_output() -> str:
    """What the evaluate command prints for the sample."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        cli.main(["evaluate"])
    # Elapsed time differs from run to run.
    return (
        "```text\n$ fusedloss evaluate\n" + re.sub(r"\d+\.\d+ m?s\b", "... ms", printed.getvalue()).rstrip() + "\n```"
    )


def speed_table() -> str:
    """Value and gradient in all threads beside floor and peers, at the largest size and at every shape of scores."""
    measured = report.select(report.read_csv(RESULTS / "results.csv"), wants="value+grad", dtype="float32")
    elements, scores = (report.select(measured, family=family) for family in ("elementwise", "rows"))
    size, threads = report.extent(elements)
    peers = {"torch": "torch eager", "torch.compile": "torch.compile", "jax.jit": "jax.jit", "numpy": "NumPy"}
    head = ["ns/element", "of memory speed", *(f"x {name}" for name in peers.values())]
    lines = [
        f"Value and gradient of {size:,} float32 elements with `out=` in {threads} threads: nanoseconds per element,",
        "what part that is of the speed at which memory allows the same reads and writes, and how many times faster",
        "than peers that compute the same in the same run. `bench/results/results.md` has the machine, the versions",
        "and every table; `python bench/run.py --focus` measures it again.",
    ]
    for title, rows in (
        (["loss"], report.select(elements, size=size, threads=threads)),
        (
            ["class scores", "shape"],
            [row for row in report.select(scores, threads=threads) if row["loss"] in report.ROW_GOALS],
        ),
    ):
        if not rows:
            continue
        lines += ["", f"| {' | '.join([*title, *head])} |", "|---" * len([*title, *head]) + "|"]
        for row in rows:
            ours = row["fusedloss_out"]
            names = [f"`{row['loss']}`", row["shape"].replace("x", " x ")][: len(title)]
            ratios = [f"{row[peer] / ours:.1f}" if peer in row else "" for peer in peers]
            floor = f"{row['floor'] / ours:.2f}" if "floor" in row else ""
            lines.append(f"| {' | '.join([*names, f'{ours:.2f}', floor, *ratios])} |")
    return "\n".join(lines)


def training_table() -> str:
    """How many times faster small PyTorch models train with our losses, by threads."""
    lines = (RESULTS / "train_torch.md").read_text(encoding="utf-8").splitlines()
    _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    parts = [
        "Small models in PyTorch on the CPU, trained from the same start on the same batches: how many times faster",
        "than with `torch.nn.functional` a whole step is where `import fusedloss.adapters.torch as F` takes its place,",
        "and the loss alone with its gradient. `bench/results/train_torch.md` has the times;",
        "`python bench/train_torch.py` measures them again.",
        "",
        "| model and loss | threads | x step | x loss |",
        "|---|---|---|---|",
        *(f"| {row[0]} | {row[1]} | {row[4]} | {row[7]} |" for row in rows if row[1].isdecimal()),
    ]
    return "\n".join(parts)


def accuracy_table() -> str:
    """The largest error over all losses of a family, per dtype and kind of result."""
    lines = (RESULTS / "accuracy.md").read_text(encoding="utf-8").splitlines()
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    families = {loss.name: loss.family for loss in fl.losses()}
    parts = [
        f"Largest error over {len(rows)} losses and all their options, in units in the last place, against 400-digit",
        "arithmetic on grids of extremes (subnormals, 1e+-38 and 1e+-300, saturated logits, probabilities 0 and 1);",
        "losses that cancel are judged in units of their largest term. `bench/results/accuracy.md` has every loss;",
        "`python tests/python/ulp.py` measures it again.",
        "",
        "| | value | gradient | Hessian |",
        "|---|---|---|---|",
    ]
    for family, title in (("elementwise", "elementwise"), ("rows", "class scores")):
        for dtype in ("float32", "float64"):
            columns = [head.index(f"{kind} {dtype}") for kind in ("value", "gradient", "hess")]
            own = [row for row in rows if families[row[0]] == family]
            worst = [max(float(row[k]) for row in own if row[k]) for k in columns]
            parts.append(f"| {title}, {dtype} | " + " | ".join(f"{ulp:.2f}" for ulp in worst) + " |")
    return "\n".join(parts)


BLOCKS = {
    "evaluate": evaluate_output,
    "speed": speed_table,
    "training": training_table,
    "accuracy": accuracy_table,
    "losses": losses_table,
    "activations": activations_table,
}


def regenerated(text: str) -> str:
    """The text with every generated block replaced."""
    for name, produce in BLOCKS.items():
        pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md has no block {name!r}")
        text = pattern.sub(lambda m, p=produce: m[1] + p() + m[2], text)
    return text


def main() -> int:
    """Rewrites or checks README.md."""
    text = README.read_text(encoding="utf-8")
    fresh = regenerated(text)
    if "--check" in sys.argv[1:]:
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
