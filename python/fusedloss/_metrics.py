"""Numbers over class scores that are no mean of losses, evaluated in the same ways: at once, in chunks, by workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ._documented import Documented, search
from ._exact import ExactSum
from ._loss import AXIS, Array, Loss
from ._validation import as_input, integer
from .multiclass import cross_entropy

__all__ = ["Metric", "accuracy", "expected_calibration_error", "metrics"]

_BLOCK = 8192  # rows whose terms are added up in double precision; the rest of the sum is exact


_COMMON = """\
ignore_index : int, default -100
    Rows with this class index count for nothing.
{axis}sample_weight : array_like, optional
    Weights of the rows; weight 0 excludes a row.
n_threads : int, optional
    Threads to compute with.

Returns
-------
float"""


class MetricSums(NamedTuple):
    """The sums of one chunk: of each, the terms that are still to be added up."""

    sums: tuple[Sequence[float], ...]
    size: int


class Metric(Documented[Any]):
    """A metric of class scores or masks: the ratio of two numbers that follow from sums over the rows.

    Calling it gives the value. `Evaluation` and `evaluate` take metrics as well as losses.

    Attributes
    ----------
    name : str
        The public name, e.g. ``"accuracy"``.
    family : str
        That of the losses with the same arguments.
    inputs : tuple of str
        Names of the array arguments.
    params : dict
        Names and defaults (or bound values) of the parameters.
    aliases : tuple of str
        Other names of the same metric.
    summary : str
        First line of the documentation.
    """

    kind: ClassVar[str] = "metric"
    registry: ClassVar[dict[str, Metric]] = {}
    per_call: ClassVar[tuple[str, ...]] = ("sample_weight", "n_threads")
    around: ClassVar[tuple[str, ...]] = ("sample_weight", "n_threads")

    def __init__(
        self,
        function: Callable[..., MetricSums],
        ratio: Callable[[Sequence[ExactSum]], tuple[ExactSum, ExactSum]],
        aliases: Sequence[str],
        family: str,
    ) -> None:
        super().__init__(function, aliases=aliases)
        self.family = family
        self._signature = self._signature.replace(return_annotation="float")
        self._ratio = ratio

    def _document(self, text: str) -> str:
        return text.replace("{common}", _COMMON.format(axis=AXIS))

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("input", "target")

    @functools.cached_property
    def _probe(self) -> Any:
        return self.partial(np.zeros((1, 1)), np.zeros(1, np.int64))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> float:
        sums: list[ExactSum] = []
        add_terms(sums, self.partial(input, target, **options).sums)
        total, weight = self.ratio(sums)
        return total / weight

    def partial(self, *args: Any, **options: Any) -> MetricSums:
        """The sums over a chunk of data, for evaluation in chunks."""
        sums: MetricSums = self._function(*args, **{**self._bound, **options})
        return sums

    def ratio(self, sums: Sequence[ExactSum]) -> tuple[ExactSum, ExactSum]:
        """Numerator and denominator of the metric, given the sums over all data."""
        return self._ratio(sums)


def add_terms(sums: list[ExactSum], terms: Sequence[Sequence[float]]) -> None:
    """Add the terms of each sum to it; there are no sums before the first terms."""
    sums += [ExactSum() for _ in range(len(terms) - len(sums))]
    for total, own in zip(sums, terms, strict=True):
        total.add(*own)


def metrics(query: str | None = None) -> list[Metric]:
    """Every metric, or those a search finds.

    Parameters
    ----------
    query : str, optional
        As for `losses`.

    Returns
    -------
    list of Metric
        Sorted by name; for a query, matches of a name or alias come first.
    """
    return search(Metric.registry.values(), query)


def metric(
    ratio: Callable[[Sequence[ExactSum]], tuple[ExactSum, ExactSum]], *aliases: str, family: str = "rows"
) -> Callable[[Callable[..., MetricSums]], Metric]:
    """Decorate a function that gives the sums over a chunk."""

    def decorate(function: Callable[..., MetricSums]) -> Metric:
        own = Metric.registry[function.__name__] = Metric(function, ratio, aliases, family)
        return own

    return decorate


@functools.cache
def _softmax_of(metric: str) -> Loss[Any]:
    """Cross entropy that reports errors in the name of a metric."""
    loss = cross_entropy.bind()
    loss.name = metric
    return loss


class _Rows(NamedTuple):
    """What metrics want to know of the rows, excluded ones aside."""

    confidence: Array  # probability of the most probable class
    correct: Array  # 1.0 where that is the target
    weight: Array


def _rows_of(
    name: str,
    input: ArrayLike,
    target: ArrayLike,
    ignore_index: int,
    axis: int | None,
    sample_weight: ArrayLike | None,
    n_threads: int | None,
) -> _Rows:
    softmax: Any = _softmax_of(name)
    scores = as_input(name, "input", input)
    if isinstance(scores, np.ndarray) and scores.dtype.itemsize == 2 and scores.dtype.kind not in "iu":
        scores = scores.astype(np.float32)  # results by row have the precision of the scores
    options: dict[str, Any] = {"axis": axis, "reduction": "none", "n_threads": n_threads}
    excluded: dict[str, Any] = {"ignore_index": ignore_index, "sample_weight": sample_weight}
    _, (_, argmax, correct) = softmax(scores, target, return_aux=True, **excluded, **options)
    # Excluded rows have no most probable class.
    surprise = np.asarray(softmax(scores, argmax, ignore_index=-1, **options))
    kept = argmax >= 0
    given = 1.0 if sample_weight is None else as_input(name, "sample_weight", sample_weight)
    weight = np.broadcast_to(given, argmax.shape)
    confidence = np.exp(-surprise[kept], dtype=np.float64)
    return _Rows(confidence, np.where(np.isnan(confidence), np.nan, correct[kept]), weight[kept].astype(np.float64))


def _block_sums(values: Array, bins: Array | int = 0, count: int = 1) -> list[list[float]]:
    """Sums of values by bin, and in there by block."""
    blocks = -(-values.size // _BLOCK)
    place = np.arange(values.size) // _BLOCK * count + bins
    table = np.bincount(place, values, blocks * count).reshape(blocks, count)
    return [[float(term) for term in column] for column in table.T]


def _first_by_second(sums: Sequence[ExactSum]) -> tuple[ExactSum, ExactSum]:
    return sums[0], sums[1]


@metric(_first_by_second, "top-1 accuracy", "classification accuracy")
def accuracy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    n_threads: int | None = None,
) -> MetricSums:
    """Share of rows whose largest score is that of the target.

    Of equal scores the first counts as the largest; scores that are NaN make the result NaN.

    Parameters
    ----------
    input : array_like
        Class scores or probabilities, as for `cross_entropy`.
    target : array_like
        Class indices, or probabilities whose largest is the target, as for `cross_entropy`.
    {common}
    """
    rows = _rows_of("accuracy", input, target, ignore_index, axis, sample_weight, n_threads)
    return MetricSums((*_block_sums(rows.correct * rows.weight), *_block_sums(rows.weight)), rows.weight.size)


def _gaps_by_weight(sums: Sequence[ExactSum]) -> tuple[ExactSum, ExactSum]:
    weight, *gaps = sums
    return ExactSum(sum(abs(gap.finite) for gap in gaps), sum(gap.special for gap in gaps)), weight


@metric(_gaps_by_weight, "ECE", "calibration error", "confidence calibration")
def expected_calibration_error(
    input: ArrayLike,
    target: ArrayLike,
    *,
    bins: int = 15,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    n_threads: int | None = None,
) -> MetricSums:
    """How far the confidence of predictions is from their accuracy, on average over bins of confidence.

    Confidence is the softmax probability of the most probable class. It is cut into bins of equal width, open to the
    left; the mean is that of ``|accuracy - mean confidence|`` over the bins, weighted by their rows. See Guo, Pleiss,
    Sun and Weinberger (2017), On calibration of modern neural networks.

    Parameters
    ----------
    input : array_like
        Class scores (logits or log-probabilities), as for `cross_entropy`.
    target : array_like
        Class indices, or probabilities whose largest is the target, as for `cross_entropy`.
    bins : int, default 15
        Number of bins.
    {common}
    """
    if integer("bins", bins) < 1:
        raise ValueError(f"expected_calibration_error: bins must be positive, got {bins}")
    name = "expected_calibration_error"
    rows = _rows_of(name, input, target, ignore_index, axis, sample_weight, n_threads)
    known = np.nan_to_num(rows.confidence)
    place = np.clip(np.ceil(known * bins).astype(np.intp) - 1, 0, bins - 1)
    gaps = _block_sums((rows.confidence - rows.correct) * rows.weight, place, bins)
    return MetricSums((*_block_sums(rows.weight), *gaps), rows.weight.size)
