"""Regenerates the parts of README.md that are produced by the library itself.

Usage: python bench/readme.py          rewrites README.md
       python bench/readme.py --check  exits with 1 if README.md is out of date
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import sys
from pathlib import Path

import fusedloss as fl
from fusedloss import cli

README = Path(__file__).resolve().parent.parent / "README.md"
RESULTS = Path(__file__).resolve().parent / "results"


def losses_table() -> str:
    """One row per loss: name, formula, what it has, other names."""
    rows = ["| loss | formula | gradients | Hessian | also known as |", "|---|---|---|---|---|"]
    for loss in fl.losses():
        formula = loss.formula.replace("``", "`").replace("|", "\\|")
        gradients = ", ".join(loss.differentiable)
        aliases = ", ".join(loss.aliases).replace("|", "\\|")
        rows.append(f"| `{loss.name}` | {formula} | {gradients} | {'yes' if loss.has_hessian else ''} | {aliases} |")
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
    """Value and gradient at the largest size measured, in all threads, beside the floor and the peers."""
    with (RESULTS / "results.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["wants"] == "value+grad" and row["dtype"] == "float32"]
    size, threads = max(int(row["size"]) for row in rows), max(int(row["threads"]) for row in rows)
    peers = ("torch", "torch.compile", "jax.jit", "numpy")
    lines = [
        f"Value and gradient of {size:,} float32 elements with `out=` in {threads} threads: nanoseconds per element,",
        "what part that is of the speed at which memory allows the same reads and writes, and how many times faster",
        "than peers that compute the same in the same run. `bench/results/results.md` has the machine, the versions",
        "and every table;",
        "`python bench/run.py --focus` measures it again.",
        "",
        "| loss | ns/element | of memory speed | x torch eager | x torch.compile | x jax.jit | x NumPy |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if (int(row["size"]), int(row["threads"])) != (size, threads):
            continue
        ours = float(row["fusedloss_out"])
        ratios = [f"{float(row[peer]) / ours:.1f}" if row.get(peer) else "" for peer in peers]
        floor = f"{float(row['floor']) / ours:.2f}" if row.get("floor") else ""
        lines.append(f"| `{row['loss']}` | {ours:.2f} | {floor} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def accuracy_table() -> str:
    """The largest error over all losses, per dtype and kind of result."""
    lines = (RESULTS / "accuracy.md").read_text(encoding="utf-8").splitlines()
    head, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    worst = {name: max(float(row[k]) for row in rows if row[k]) for k, name in enumerate(head) if k}
    kinds = ("value", "gradient", "hess")
    parts = [
        f"Largest error over {len(rows)} losses and all their options, in units in the last place, against 400-digit",
        "arithmetic on grids of extremes (subnormals, 1e+-38 and 1e+-300, saturated logits, probabilities 0 and 1);",
        "losses that cancel are judged in units of their largest term. `bench/results/accuracy.md` has every loss;",
        "`python tests/python/ulp.py` measures it again.",
        "",
        "| | value | gradient | Hessian |",
        "|---|---|---|---|",
    ]
    for dtype in ("float32", "float64"):
        parts.append(f"| {dtype} | " + " | ".join(f"{worst[f'{kind} {dtype}']:.2f}" for kind in kinds) + " |")
    return "\n".join(parts)


BLOCKS = {"evaluate": evaluate_output, "speed": speed_table, "accuracy": accuracy_table, "losses": losses_table}


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
