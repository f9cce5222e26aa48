"""Compiled core of fusedloss."""

from collections.abc import Callable, Sequence
from typing import Any

__version__: str

def losses() -> list[dict[str, Any]]: ...
def isa_levels() -> dict[str, bool]: ...
def active_isa() -> str: ...
def set_isa(name: str) -> bool: ...
def default_threads() -> int: ...
def set_threads(n: int) -> None: ...
def cgroup_cpu_limit() -> int: ...
def openmp() -> str: ...
def compiler() -> str: ...
def last_level_cache() -> int: ...
def watch_forks() -> None: ...
def elementwise(
    loss: int,
    label: str,
    inputs: tuple[Any, ...],
    params: tuple[float, ...],
    options: tuple[Any, ...],
    sample_weight: Any,
    cotangent: Any,
    reduction: int,
    want: int,
    wrt: int,
    out: Any,
    threads: int,
) -> tuple[Any, tuple[Any, ...], Any, Any]: ...
def rows(
    loss: int,
    label: str,
    inputs: tuple[Any, ...],
    params: tuple[float, ...],
    options: tuple[Any, ...],
    sample_weight: Any,
    cotangent: Any,
    reduction: int,
    want: int,
    wrt: int,
    out: Any,
    threads: int,
) -> tuple[Any, tuple[Any, ...], Any, Any]: ...
def similarity(
    loss: int,
    label: str,
    inputs: tuple[Any, ...],
    params: tuple[float, ...],
    options: tuple[Any, ...],
    sample_weight: Any,
    cotangent: Any,
    reduction: int,
    want: int,
    wrt: int,
    out: Any,
    threads: int,
) -> tuple[Any, tuple[Any, ...], Any, Any]: ...
def pairs(
    loss: int,
    label: str,
    inputs: tuple[Any, ...],
    params: tuple[float, ...],
    options: tuple[Any, ...],
    sample_weight: Any,
    cotangent: Any,
    reduction: int,
    want: int,
    wrt: int,
    out: Any,
    threads: int,
) -> tuple[Any, tuple[Any, ...], Any, Any]: ...
def boxes(
    loss: int,
    label: str,
    inputs: tuple[Any, ...],
    params: tuple[float, ...],
    options: tuple[Any, ...],
    sample_weight: Any,
    cotangent: Any,
    reduction: int,
    want: int,
    wrt: int,
    out: Any,
    threads: int,
) -> tuple[Any, tuple[Any, ...], Any, Any]: ...
def box_iou(boxes1: Any, boxes2: Any, format: float, threads: int) -> Any: ...
def overlap(
    loss: int,
    label: str,
    inputs: tuple[Any, ...],
    params: tuple[float, ...],
    options: tuple[Any, ...],
    sample_weight: Any,
    cotangent: Any,
    reduction: int,
    want: int,
    wrt: int,
    out: Any,
    threads: int,
) -> tuple[Any, tuple[Any, ...], Any, Any]: ...
def gemm(a: Any, b: Any, out: Any, alpha: float, accumulate: bool, threads: int) -> None: ...
def finish_derivatives(grad: Any, hess: Any, scale: float, floor: float, sign: float, threads: int) -> bool: ...
def moments(
    loss: int,
    label: str,
    names: str,
    views: tuple[Any, ...],
    weights: tuple[float, ...],
    factor: float,
    wrt: int,
    threads: int,
) -> tuple[float, tuple[Any, ...]]: ...
def score_pairs(
    positive: Any, positive_weight: Any, negative: Any, negative_weight: Any, gradients: bool, threads: int
) -> tuple[float, Any, Any]: ...
def ordered_scores(scores: Any, labels: Any, scale: float, gradients: bool) -> tuple[float, Any]: ...
def tensor_views(table: Any, otherwise: Callable[[Any], Any]) -> Callable[[Sequence[Any]], tuple[Any, ...]]: ...
