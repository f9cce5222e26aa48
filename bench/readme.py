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

import fusedloss as fl
from fusedloss import cli

README = Path(__file__).resolve().parent.parent / "README.md"


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


BLOCKS = {"losses": losses_table, "evaluate": evaluate_output}


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
