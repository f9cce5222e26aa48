"""Losses over stored data: one pass, constant memory, partial results that combine exactly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from ._config import get_num_threads, thread_count
from ._core_kernels import OverlapKernel
from ._documented import Documented
from ._exact import ExactSum
from ._loss import Loss
from ._metrics import Metric, add_terms

if TYPE_CHECKING:
    from ._sources import Source

__all__ = ["Evaluation", "Scores", "evaluate"]

_CHUNK_BYTES = 4 << 20  # of all arguments together, per thread: the fastest of 1 to 32 MB, as it stays in cache
# Rows the core sums at a time, at the most and (where there are many classes) at the least: chunks of whole blocks
# round alike.
_BLOCKS = (8192, 64)

Progress = Callable[[int, int], object]
Scorer: TypeAlias = "Loss[Any] | Metric"


class Evaluation:
    """A loss or metric accumulated over chunks of data, by one worker or by many.

    The state is exact: however chunks are ordered and shared among workers, the merged result has the same bits.
    Objects are picklable; `to_dict` gives the state as plain JSON types.

    Parameters
    ----------
    loss : Loss or Metric
        The loss or metric, bound or not.
    **params
        Its parameters.

    Attributes
    ----------
    loss : Loss or Metric
        The same with its parameters bound.
    count : int
        Number of terms seen.

    Examples
    --------
    >>> import fusedloss as fl
    >>> left = fl.Evaluation(fl.huber_loss, delta=2.0).update([1.0, 2.0], [1.5, 0.0])
    >>> right = fl.Evaluation(fl.huber_loss, delta=2.0).update([0.0], [1.0])
    >>> left.merge(right).count
    3
    """

    def __init__(self, loss: Scorer, **params: Any) -> None:
        if loss.family == "composition":
            raise TypeError(f"Evaluation: {loss.name} is composed of other losses and no mean over rows")
        self.loss: Scorer = loss.bind(**params) if params else loss
        self.count = 0
        self._sums: list[ExactSum] = []  # none before the first chunk

    def update(self, *arrays: Any, sample_weight: Any = None, n_threads: int | None = None) -> Evaluation:
        """Add a chunk: the array arguments of the loss in its order. Returns the evaluation itself."""
        chunk = self.loss.partial(*arrays, sample_weight=sample_weight, n_threads=n_threads)
        add_terms(self._sums, chunk.sums)
        self.count += chunk.size
        return self

    def merge(self, other: Evaluation) -> Evaluation:
        """Add what `other` has seen of the same loss. Returns the evaluation itself."""
        if other.loss != self.loss:
            raise ValueError(f"merge: other evaluates {other.name}, not {self.name}")
        self._sums += [ExactSum() for _ in range(len(other._sums) - len(self._sums))]
        for own, more in zip(self._sums, other._sums, strict=False):
            own += more
        self.count += other.count
        return self

    def _ratio(self) -> tuple[ExactSum, ExactSum]:
        if not self._sums:
            return ExactSum(), ExactSum()
        if isinstance(self.loss, Metric):
            return self.loss.ratio(self._sums)
        total, weight = self._sums
        return total, weight

    @property
    def params(self) -> dict[str, Any]:
        """Bound parameters of the loss."""
        return dict(self.loss._bound)

    @property
    def name(self) -> str:
        """Name of the loss with its bound parameters, as in ``huber_loss(delta=2.0)``."""
        params = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
        return f"{self.loss.name}({params})" if params else self.loss.name

    @property
    def value(self) -> float:
        """Weighted mean of all terms; NaN without any."""
        total, weight = self._ratio()
        return total / weight

    @property
    def sum(self) -> float:
        """Weighted sum of all terms."""
        return float(self._ratio()[0])

    @property
    def weight(self) -> float:
        """What the mean divides by."""
        return float(self._ratio()[1])

    def to_dict(self) -> dict[str, Any]:
        """State in plain JSON types, from which `from_dict` restores the evaluation."""
        return {
            "loss": self.loss.name,
            "params": self.params,
            "count": self.count,
            "sums": [each.state() for each in self._sums],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Evaluation:
        """The evaluation whose `to_dict` gave `state`."""
        known: dict[str, Scorer] = {**Loss.registry, **Metric.registry}
        if state["loss"] not in known:
            raise ValueError(f"from_dict: there is no loss named {state['loss']!r}")
        evaluation = cls(known[state["loss"]], **state["params"])
        evaluation.count = state["count"]
        evaluation._sums = [ExactSum(*each) for each in state["sums"]]
        return evaluation

    def __repr__(self) -> str:
        return f"<Evaluation of {self.name}: {self.value!r} over {self.count} terms>"


class Scores(Mapping[str, float]):
    """What `evaluate` returns: mean values by loss, and what it took to get them.

    The key of a loss is its name, with the bound parameters where several evaluated losses share the name.

    Attributes
    ----------
    evaluations : tuple of Evaluation
        One per loss, mergeable with those of other data.
    rows : int
        Length of the first axis of the data.
    bytes : int
        Size of the data.
    seconds : float
        Wall time of the pass.
    """

    def __init__(self, evaluations: Iterable[Evaluation], rows: int, bytes: int, seconds: float) -> None:
        self.evaluations = tuple(evaluations)
        self.rows = rows
        self.bytes = bytes
        self.seconds = seconds
        names = [evaluation.loss.name for evaluation in self.evaluations]
        self._by_key = {
            name if names.count(name) == 1 else evaluation.name: evaluation
            for name, evaluation in zip(names, self.evaluations, strict=True)
        }

    def __getitem__(self, key: str) -> float:
        return self._by_key[key].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def value(self) -> float:
        """The mean value, where a single loss was evaluated."""
        (evaluation,) = self.evaluations
        return evaluation.value

    def __repr__(self) -> str:
        return f"Scores({dict(self)}, rows={self.rows})"


def evaluate(
    loss: Scorer | Iterable[Scorer],
    input: Any,
    target: Any = ...,
    *more: Any,
    sample_weight: Any = None,
    chunk_rows: int | None = None,
    progress: Progress | bool | None = None,
    n_threads: int | None = None,
    **params: Any,
) -> Scores:
    """Mean of one or several losses, or metrics, over data of any size, in one pass and constant memory.

    Parameters
    ----------
    loss : Loss, Metric or iterable of these
        Each is given all the arrays, in the order of its arguments.
    input, target, *more : array_like or path
        As many as the loss takes: arrays (anything that slices by rows), or ``FILE.npy``, ``FILE.npz:MEMBER``,
        ``FILE.parquet:COLUMN`` (with pyarrow). All have the same number of rows; a single number stands for a constant.
    sample_weight : array_like or path, optional
        Weights of the samples, one row per row of the data.
    chunk_rows : int, optional
        Rows that each thread has in memory at a time; by default about 4 MB. All multiples of 8192 give the same bits;
        with others, sums of float32 terms may differ in the last bit of the double.
    progress : callable or bool, optional
        Called with (rows done, all rows) after each chunk, by one thread at a time; True shows a bar of tqdm.
    n_threads : int, optional
        Threads to read and compute with; the result does not depend on it. By default as for every loss.
    **params
        Parameters of the loss, or of all the losses.

    Returns
    -------
    Scores
        Mapping of loss names to mean values.

    Raises
    ------
    ValueError, TypeError, IndexError
        If files or shapes do not fit together or a loss refuses the data; the message names the argument, its file
        and the rows.

    Examples
    --------
    >>> import fusedloss as fl
    >>> fl.evaluate([fl.mse_loss, fl.l1_loss], [1.0, 2.0], [1.5, 4.0])["l1_loss"]
    1.25
    """
    # Here, because these would double the time that the import of the package takes.
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from ._sources import open_source

    if isinstance(loss, Documented) and not isinstance(loss, (Loss, Metric)):
        raise TypeError(f"evaluate: {loss.name} is no mean over rows")
    evaluations = [Evaluation(each, **params) for each in ([loss] if isinstance(loss, (Loss, Metric)) else loss)]
    if not evaluations:
        raise ValueError("evaluate: loss is empty")
    arrays = (input, *(() if target is ... else (target,)), *more)
    names = dict(enumerate(evaluations[0].loss.inputs))
    sources = [open_source(names.get(k, f"argument {k + 1}"), array) for k, array in enumerate(arrays)]
    if sample_weight is not None:
        sources.append(open_source("sample_weight", sample_weight))
    rows = _common_rows(sources)
    for evaluation in evaluations:
        _check_axes(evaluation.loss, sources[: len(arrays)], sources[len(arrays) :])
    row_bytes = sum(source.row_bytes for source in sources)
    if chunk_rows is None:
        chunk_rows = max(1, _CHUNK_BYTES // max(1, row_bytes))
        chunk_rows -= chunk_rows % next((block for block in _BLOCKS if block <= chunk_rows), 1)
    elif chunk_rows < 1:
        raise ValueError(f"evaluate: chunk_rows must be positive, got {chunk_rows}")

    started = time.perf_counter()
    threads = thread_count(n_threads) or get_num_threads()
    # One chunk per thread rather than all threads on each chunk: files are read in parallel too, and nobody waits.
    workers = threads if all(s.skips for s in sources) and rows > 2 * threads * chunk_rows else 1
    stopped, lock, done = threading.Event(), threading.Lock(), 0

    def work(worker: int) -> list[Evaluation]:
        nonlocal done
        parts = [Evaluation(evaluation.loss) for evaluation in evaluations]
        readers = [source.chunks(chunk_rows, worker, workers) for source in sources]
        for start in range(worker * chunk_rows, rows, workers * chunk_rows):
            if stopped.is_set():
                break
            chunk = [next(reader) for reader in readers]
            stop = min(start + chunk_rows, rows)
            weights = chunk.pop() if sample_weight is not None else None
            try:
                for part in parts:
                    part.update(*chunk, sample_weight=weights, n_threads=threads // workers)
            except (ValueError, TypeError, IndexError) as error:
                where = f"in rows {start} to {stop - 1} of {', '.join(source.label for source in sources)}"
                raise type(error)(f"{error} ({where})") from error
            with lock:
                done += stop - start
                report(done, rows)
        return parts

    with _reporter(progress, rows) as report, ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(work, worker) for worker in range(workers)]):
                for evaluation, part in zip(evaluations, future.result(), strict=True):
                    evaluation.merge(part)
        finally:
            stopped.set()
    return Scores(evaluations, rows, rows * row_bytes, time.perf_counter() - started)


def _common_rows(sources: list[Source]) -> int:
    """Length of the first axis, which all the sources but constants share."""
    columns = [source for source in sources if source.shape]
    for column in columns[1:]:
        first = columns[0]
        if column.shape[0] != first.shape[0]:
            raise ValueError(f"evaluate: {column.label} has {column.shape[0]} rows, {first.label} has {first.shape[0]}")
    return columns[0].shape[0] if columns else 1


def _check_axes(loss: Scorer, arrays: list[Source], weights: list[Source]) -> None:
    """Refuse shapes whose meaning would depend on the length of a chunk.

    Broadcasting aligns the last axes: [N] would meet the columns of [N, C] in a chunk of C rows.
    """
    if loss.family == "elementwise":
        columns = [source for source in (*arrays, *weights) if source.shape]
        alike = [(column, 0) for column in columns]
    else:
        scores = arrays[0]
        axis = loss.params.get("axis")
        if len(scores.shape) < 2 or (axis is not None and axis % len(scores.shape) == 0):
            lacks = "a row of boxes" if loss.family == "boxes" else "an axis of classes"
            classes = f"without {lacks}" if axis is None else f"and its classes along axis {axis}"
            raise ValueError(f"evaluate: {scores.label} has shape {scores.shape} {classes}; rows are the first axis")
        if loss.family == "overlap":
            _check_images(loss, scores, weights)
            return
        shared = loss._probe[0].arrays if isinstance(loss, Loss) else 1
        alike = [*((array, 0) for array in arrays[:shared]), *((weight, 1) for weight in weights)]
    for column, fewer in alike:
        if column.shape and len(column.shape) != len(alike[0][0].shape) - fewer:
            first = alike[0][0]
            raise ValueError(f"evaluate: {column.label} has shape {column.shape}, {first.label} has {first.shape}")


def _check_images(loss: Scorer, scores: Source, weights: list[Source]) -> None:
    """Losses of masks have a value for each image, or for each of its classes."""
    if loss.params.get("batch"):
        raise ValueError(f"evaluate: {loss.name} with batch=True is no mean over images; metrics of masks add them up")
    kernel = loss._probe[0] if isinstance(loss, Loss) else None
    by_class = isinstance(kernel, OverlapKernel) and not kernel.grouped
    for weight in weights:
        if weight.shape and len(weight.shape) != 1 + by_class:
            expected = "one weight per image and class" if by_class else "one weight per image"
            raise ValueError(f"evaluate: {weight.label} has shape {weight.shape}, expected {expected}")


@contextmanager
def _reporter(progress: Progress | bool | None, rows: int) -> Iterator[Progress]:
    if progress is True:
        with import_module("tqdm").tqdm(total=rows, unit=" rows", unit_scale=True) as bar:
            yield lambda done, _: bar.update(done - bar.n)
    else:
        yield progress or (lambda done, total: None)
