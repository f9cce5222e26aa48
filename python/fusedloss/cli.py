"""The command `fusedloss`: evaluate stored predictions, list and show losses, print the configuration."""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import math
import os
import sys
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, TypeVar

from ._activation import activations
from ._config import show_config
from ._core import __version__
from ._documented import Documented, squeezed
from ._loss import Loss, losses
from ._metrics import metrics
from .evaluation import Evaluation, Scorer, Scores, evaluate
from .sample import SAMPLES

__all__ = ["main"]

_DATA_ERROR, _USAGE_ERROR = 1, 2
_ARRAY = "FILE.npy, FILE.npz:MEMBER or FILE.parquet:COLUMN"

D = TypeVar("D", bound=Documented[Any])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 for an error in the data, or 2 for one in the arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except _UsageError as error:
        print(f"fusedloss: error: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; Python must not flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, TypeError, IndexError, ImportError) as error:
        print(f"fusedloss: error: {error}", file=sys.stderr)
        return _DATA_ERROR
    except KeyboardInterrupt:
        return 130  # as shells report SIGINT
    return 0


class _UsageError(Exception):
    pass


class _PrintPlace(argparse.Action):
    """Prints a path as it is: the action `version` of argparse would break it at the width of the terminal."""

    def __init__(self, option_strings: Sequence[str], dest: str, const: str, help: str) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, const=const, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(self.const)
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fusedloss", description="Losses with their gradients, fast, on a CPU.")
    parser.add_argument("--version", action="version", version=f"fusedloss {__version__}")
    for flag, folder, content in (
        ("--includes", "include", "C++ headers"),
        ("--cmakedir", "lib/cmake/fusedloss", "CMake package"),
    ):
        place = str(files("fusedloss") / folder)
        parser.add_argument(flag, action=_PrintPlace, const=place, help=f"print the folder of the {content} and exit")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    command = commands.add_parser(
        "evaluate",
        help="mean losses and metrics of stored predictions, in one pass over the files",
        description="Mean losses and metrics of stored predictions, in one pass over the files and constant memory. "
        "Without arguments: those of real samples that are part of the package.",
    )
    command.add_argument("arrays", nargs="*", metavar="ARRAY", help=f"input, target, and more by loss: {_ARRAY}")
    command.add_argument("--loss", action="append", default=[], metavar="NAME[:PARAM=VALUE,...]", help="repeatable")
    command.add_argument("--weight", metavar="ARRAY", help="weight of each row")
    command.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    command.add_argument(
        "--chunk-rows", type=_positive, metavar="N", help="rows in memory at a time, per thread (about 4 MB)"
    )
    command.add_argument("--threads", type=_positive, metavar="N", help="threads to compute with")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("list", help="names of losses, metrics and activations")
    command.add_argument("query", nargs="?", help="what to find in names, other names, summaries and sources")
    command.set_defaults(run=_list)

    command = commands.add_parser("show", help="formula, gradient, parameters and source")
    command.add_argument("loss", metavar="NAME")
    command.set_defaults(run=_show)

    command = commands.add_parser("config", help="version, instruction set and threads")
    command.set_defaults(run=_config)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be positive, got {number}")
    return number


def _evaluate(options: argparse.Namespace) -> None:
    chosen = [_parse_loss(text) for text in options.loss]
    if not options.arrays and not chosen and not options.weight:
        _evaluate_samples(options)
        return
    if not options.arrays or not chosen:
        raise _UsageError("evaluate: expected --loss NAME, and the arrays that it takes: INPUT [TARGET [MORE...]]")
    for loss in chosen:
        try:
            inspect.signature(loss).bind(*options.arrays)
        except TypeError as error:
            raise _UsageError(f"evaluate: {loss.name}: {error}; its arguments are {', '.join(loss.inputs)}") from error
    scores = evaluate(
        chosen,
        *options.arrays,
        sample_weight=options.weight,
        chunk_rows=options.chunk_rows,
        progress=not options.quiet and sys.stderr.isatty() and find_spec("tqdm") is not None,
        n_threads=options.threads,
    )
    if options.json:
        print(json.dumps(_report(scores), allow_nan=False))
        return
    _print_table([(key, value) for key, value in scores.items()])
    print(f"{scores.rows:,} rows, {scores.bytes / 1e9:.3g} GB in {scores.seconds:.3g} s")


def _evaluate_samples(options: argparse.Namespace) -> None:
    reports = []
    for sample in SAMPLES:
        arrays = sample.arrays()
        results = [
            (
                score,
                evaluate(
                    _parse_loss(score.loss),
                    *(arrays[name] for name in score.arrays),
                    chunk_rows=options.chunk_rows,
                    n_threads=options.threads,
                ),
            )
            for score in sample.scores
        ]
        if options.json:
            about = {key: getattr(sample, key) for key in ("name", "title", "model", "origin", "licence")}
            scores = [{"title": score.title, **_report(result)["losses"][0]} for score, result in results]
            reports.append({**about, "losses": scores})
            continue
        print(sample.title)
        for key in ("model", "origin", "licence"):
            print(f"  {key + ':':<9}{getattr(sample, key)}")
        print()
        width = max(len(score.title) for score, _ in results) + 2
        _print_table([(f"{score.title:<{width}}{score.loss}", result.value) for score, result in results])
        print()
    if options.json:
        print(json.dumps({"samples": reports}, allow_nan=False))


def _list(options: argparse.Namespace) -> None:
    query = options.query
    found: list[Documented[Any]] = [*losses(query), *metrics(query), *activations(query)]
    if not found:
        raise ValueError(f"no loss, metric or activation matches {query!r}")
    width = max(len(each.name) for each in found)
    for each in found:
        print(f"{each.name:<{width}}  {each.summary}")


def _show(options: argparse.Namespace) -> None:
    documented = _find(options.loss, [*activations(), *metrics(), *losses()])
    signature = documented.__signature__
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    call = signature.replace(parameters=parameters, return_annotation=signature.empty)
    print(f"fusedloss.{documented.name}{call}\n")
    print(inspect.getdoc(documented))
    if documented.aliases:
        print(f"\nAlso known as: {', '.join(documented.aliases)}")


def _config(options: argparse.Namespace) -> None:
    for key, value in show_config().items():
        print(f"{key + ':':<18}{value}")


def _find(name: str, known: Sequence[D]) -> D:
    """What has this name, with or without ``_loss``, or this other name; part of one does not do. The last wins."""
    short_names = {each.name.removesuffix("_loss"): each for each in known}
    named = (
        {alias: each for each in known for alias in each.aliases} | short_names | {each.name: each for each in known}
    )
    found = {squeezed(key): each for key, each in named.items()}.get(squeezed(name))
    if found is not None:
        return found
    close = difflib.get_close_matches(name.lower().removesuffix("_loss"), short_names)
    hint = f"did you mean {' or '.join(close)}?" if close else "`fusedloss list` names all"
    *kinds, last = sorted({each.kind for each in known}, reverse=True)
    raise _UsageError(f"there is no {', '.join(kinds)} or {last} named {name!r}; {hint}")


def _parse_loss(text: str) -> Scorer:
    """The loss or metric that ``NAME[:PARAM=VALUE,...]`` describes."""
    name, _, assignments = text.partition(":")
    known: list[Scorer] = [*metrics(), *Loss.registry.values()]
    loss = _find(name, known)
    params = {}
    for assignment in filter(None, assignments.split(",")):
        key, equals, value = assignment.partition("=")
        if not equals:
            raise _UsageError(f"--loss {text}: expected PARAM=VALUE, got {assignment!r}")
        try:
            params[key] = json.loads(value)  # numbers, true, false and null
        except json.JSONDecodeError:
            params[key] = value
    try:
        return loss.bind(**params) if params else loss
    except (TypeError, ValueError) as error:
        raise _UsageError(f"--loss {text}: {error}") from error


def _report(scores: Scores) -> dict[str, Any]:
    return {
        "losses": [_report_loss(evaluation) for evaluation in scores.evaluations],
        "rows": scores.rows,
        "bytes": scores.bytes,
        "seconds": scores.seconds,
    }


def _report_loss(evaluation: Evaluation) -> dict[str, Any]:
    numbers = {"mean": evaluation.value, "sum": evaluation.sum, "weight": evaluation.weight}
    # JSON has no words for these; as strings they survive strict readers, and float() of most languages knows them.
    strict = {key: number if math.isfinite(number) else str(number) for key, number in numbers.items()}
    return {"name": evaluation.loss.name, "params": evaluation.params, "count": evaluation.count, **strict}


def _print_table(lines: Sequence[tuple[str, float]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"  {name:<{width}}  {value:>14.9g}")
