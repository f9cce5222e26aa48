"""Dask: losses over predictions that outgrow one machine, as dask arrays or files that all workers can read.

Each chunk becomes an `Evaluation`, whose state is exact: the result has the bits of `fusedloss.evaluate` with the same
`chunk_rows`, whatever worker saw which chunk, and whatever was computed again because a worker died.

Examples
--------
>>> import dask.array as da
>>> import fusedloss as fl
>>> from fusedloss.adapters.dask import evaluate
>>> scores = da.from_array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], chunks=(2, 2))
>>> round(evaluate(fl.cross_entropy, scores, da.from_array([0, 1, 0], chunks=2)).value, 6)
0.162926

Notes
-----
The same with PySpark, where `frame` has columns "score" and "label"::

    def part(batches):
        evaluation = fl.Evaluation(fl.binary_cross_entropy_with_logits)
        for batch in batches:
            evaluation.update(batch["score"].to_numpy(), batch["label"].to_numpy())
        yield pd.DataFrame({"state": [json.dumps(evaluation.to_dict())]})

    states = [json.loads(row.state) for row in frame.mapInPandas(part, "state string").toLocalIterator()]
    parts = [fl.Evaluation.from_dict(state) for state in states]
    total = functools.reduce(fl.Evaluation.merge, parts)
    print(total.value, total.count)

and with Ray, over pairs of files::

    @ray.remote(max_retries=3)
    def part(scores, labels):
        return fl.evaluate(fl.binary_cross_entropy_with_logits, scores, labels, n_threads=1).evaluations[0]

    waiting, total = [part.remote(*pair) for pair in pairs], fl.Evaluation(fl.binary_cross_entropy_with_logits)
    while waiting:
        done, waiting = ray.wait(waiting)
        total.merge(ray.get(done[0]))
        print(len(pairs) - len(waiting), "of", len(pairs), total.value)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .._loss import Loss
from .._metrics import Metric
from .._sources import Source, open_source
from ..evaluation import Evaluation, Progress, Scorer, Scores, _check_axes, _common_rows, _reporter

__all__ = ["evaluate"]

_CHUNK_BYTES = 64 << 20  # of all arguments together: tasks of some hundredths of a second
_BLOCK = 8192  # rows whose sums are rounded together
_FAN_IN = 16  # states merged by one task


@dataclass(frozen=True)
class _Rows:
    """A chunk of rows of a file, to be read where it is needed."""

    argument: str
    path: str
    size: int
    index: int
    count: int

    def read(self) -> Any:
        return next(open_source(self.argument, self.path).chunks(self.size, self.index, self.count))


def _part(
    evaluations: Sequence[Evaluation], where: str, threads: int, weighted: bool, *pieces: Any
) -> list[Evaluation]:
    """The evaluations of one chunk."""
    parts = [Evaluation(evaluation.loss) for evaluation in evaluations]
    try:
        arrays = [piece.read() if isinstance(piece, _Rows) else piece for piece in pieces]
        weight = arrays.pop() if weighted else None
        for part in parts:
            part.update(*arrays, sample_weight=weight, n_threads=threads)
    except (ValueError, TypeError, IndexError, OSError) as error:
        raise type(error)(f"{error} ({where})") from error
    return parts


def _merged(several: Sequence[Sequence[Evaluation]]) -> list[Evaluation]:
    """The evaluations of several chunks together; the states of the chunks are left as they are."""
    totals = [Evaluation(first.loss) for first in several[0]]
    for parts in several:
        for total, part in zip(totals, parts, strict=True):
            total.merge(part)
    return totals


def evaluate(
    loss: Scorer | Iterable[Scorer],
    input: Any,
    target: Any = ...,
    *more: Any,
    sample_weight: Any = None,
    chunk_rows: int | None = None,
    client: Any = None,
    progress: Progress | bool | None = None,
    n_threads: int = 1,
    **params: Any,
) -> Scores:
    """Mean of one or several losses, or metrics, over data on a cluster, in one pass.

    Parameters
    ----------
    loss : Loss, Metric or iterable of these
        Each is given all the arrays, in the order of its arguments.
    input, target, *more : dask array, array_like or path
        As many as the loss takes, with the same number of rows: dask arrays, arrays of this process, files as
        `fusedloss.evaluate` takes them (under the same path on every worker), or a number for a constant.
    sample_weight : dask array, array_like or path, optional
        Weights of the samples, one row per row of the data.
    chunk_rows : int, optional
        Rows of a task; by default the largest chunk of the first dask array, or about 64 MB of a file.
    client : distributed.Client, optional
        The cluster; by default the current client, or the local scheduler of dask if there is none.
    progress : callable or bool, optional
        Called with (rows done, all rows) after each chunk; True shows a bar of tqdm.
    n_threads : int, default 1
        Threads of each task.
    **params
        Parameters of the loss, or of all the losses.

    Returns
    -------
    Scores
        Mapping of loss names to mean values, with their mergeable evaluations.

    Raises
    ------
    ValueError, TypeError, IndexError, OSError
        If the data do not fit together or a loss refuses a chunk; the message names the rows.
    """
    started = time.perf_counter()
    evaluations = [Evaluation(each, **params) for each in ([loss] if isinstance(loss, (Loss, Metric)) else loss)]
    if not evaluations:
        raise ValueError("evaluate: loss is empty")
    given = [input, *(() if target is ... else (target,)), *more]
    names = [*evaluations[0].loss.inputs, *(f"argument {k}" for k in range(len(given)))][: len(given)]
    if sample_weight is not None:
        given.append(sample_weight)
        names.append("sample_weight")
    for name, array in zip(names, given, strict=True):
        if any(n != n for n in getattr(array, "shape", ())):
            raise ValueError(f"evaluate: {name} has chunks of unknown size; call its compute_chunk_sizes() first")
    sources = [open_source(name, array) for name, array in zip(names, given, strict=True)]
    rows = _common_rows(sources)
    columns = len(given) - (sample_weight is not None)
    for evaluation in evaluations:
        _check_axes(evaluation.loss, sources[:columns], sources[columns:])

    size = _rows_of_a_task(given, sources) if chunk_rows is None else chunk_rows
    if size < 1:
        raise ValueError(f"evaluate: chunk_rows must be positive, got {chunk_rows}")
    starts = range(0, rows, size)
    pieces = [_pieces(array, source, rows, size) for array, source in zip(given, sources, strict=True)]
    labels = ", ".join(source.label for source in sources)
    delayed = import_module("dask").delayed
    part = delayed(_part, pure=False)
    leaves = [
        part(
            evaluations,
            f"in rows {start} to {min(start + size, rows) - 1} of {labels}",
            n_threads,
            sample_weight is not None,
            *(piece(k) for piece in pieces),
        )
        for k, start in enumerate(starts)
    ]
    with _reporter(progress, rows) as report:
        done = _RowsDone(rows, size, report)
        client = _current_client() if client is None else client
        totals = _on_cluster(client, leaves, done) if client is not None else _locally(leaves, done)
    if not totals:
        totals = evaluations
    seconds = time.perf_counter() - started
    return Scores(totals, rows, sum(rows * source.row_bytes for source in sources), seconds)


def _is_dask(array: Any) -> bool:
    return hasattr(array, "__dask_graph__")


def _rows_of_a_task(given: Sequence[Any], sources: Sequence[Source]) -> int:
    for array in given:
        if _is_dask(array) and array.ndim:
            return max(1, int(max(array.chunks[0])))
    size = _CHUNK_BYTES // max(1, sum(source.row_bytes for source in sources))
    return max(1, size - size % _BLOCK if size > _BLOCK else size)


def _pieces(array: Any, source: Source, rows: int, size: int) -> Callable[[int], Any]:
    """What the k-th task is given of an argument."""
    if not source.shape:
        return lambda k: array
    if _is_dask(array):
        whole = array.rechunk({0: size, **dict.fromkeys(range(1, array.ndim), -1)})
        blocks = whole.to_delayed().reshape(-1)
        return lambda k: blocks[k]
    if isinstance(array, str) or hasattr(array, "__fspath__"):
        argument, count = source.label.partition(" (")[0], -(-rows // size)
        return lambda k: _Rows(argument, str(array), size, k, count)
    return lambda k: next(source.chunks(size, k, rows))


class _RowsDone:
    """Counts the rows of finished tasks; a task that was lost and run again counts once."""

    def __init__(self, rows: int, size: int, report: Progress) -> None:
        self.rows, self.size, self.report = rows, size, report
        self.seen: set[int] = set()
        self.done = 0

    def __call__(self, task: int) -> None:
        if task not in self.seen:
            self.seen.add(task)
            self.done += min(self.size, self.rows - task * self.size)
            self.report(self.done, self.rows)


def _tree(states: list[Any], merge: Callable[[list[Any]], Any]) -> Any:
    while len(states) > 1:
        states = [merge(states[k : k + _FAN_IN]) for k in range(0, len(states), _FAN_IN)]
    return states[0] if states else None


def _on_cluster(client: Any, leaves: list[Any], done: _RowsDone) -> Any:
    futures = client.compute(leaves)
    order = {future.key: k for k, future in enumerate(futures)}
    total = _tree(futures, lambda group: client.submit(_merged, group, pure=False))
    if total is None:
        return []
    for future in import_module("distributed").as_completed(futures, loop=client.loop):
        if future.status == "error":
            error = future.exception()
            client.cancel(futures)
            raise error
        done(order[future.key])
    return total.result()


def _locally(leaves: list[Any], done: _RowsDone) -> Any:
    dask = import_module("dask")
    order = {leaf.key: k for k, leaf in enumerate(leaves)}

    def finished(key: Any, *_: Any) -> None:
        if key in order:
            done(order[key])

    merge = dask.delayed(_merged, pure=False)
    total = _tree(leaves, merge)
    if total is None:
        return []
    with import_module("dask.callbacks").Callback(posttask=finished):
        return total.compute()


def _current_client() -> Any:
    """The client of `distributed` in use, if that has been imported at all."""
    try:
        return import_module("distributed").get_client()
    except (ImportError, ValueError):
        return None
