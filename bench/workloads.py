"""What a loss is measured on: shapes, and random arrays from its first case in tests/python."""

from __future__ import annotations

import inspect
import math
import sys
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import fusedloss as fl
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
from cases import Case, cases_of
from cases_arrays import ArrayCase
from cases_boxes import CASES as BOX_CASES
from cases_overlap import OVERLAP_CASES, OverlapCase
from cases_pairs import PAIR_CASES
from cases_rows import RowCase, row_cases_of

Shape = tuple[int, ...]

BLOCK = 2**20  # random numbers repeat after about so many elements
FAMILIES = ("elementwise", "rows", "boxes", "overlap", "pairs")
ELEMENTS: tuple[Shape, ...] = ((16,), (2**10,), (2**14,), (2**20,), (2**24,))
FEW_ELEMENTS: tuple[Shape, ...] = ((16,), (2**14,), (2**24,))
# Small rows, a thousand classes, two vocabularies of language models, pictures (class axis 1), a test set.
SCORES: tuple[Shape, ...] = (
    *((65536, 10), (16384, 1000), (2048, 32000), (512, 128256)),
    *((8, 21, 512, 512), (1_000_000, 10)),
)
FEW_SCORES: tuple[Shape, ...] = ((65536, 10), (2048, 1000))
QUICK_SCORES: tuple[Shape, ...] = ((4096, 10), (256, 1000), (2, 21, 64, 64))
BOXES: tuple[Shape, ...] = ((1_000_000, 4),)
QUICK_BOXES: tuple[Shape, ...] = ((10_000, 4),)
# Images of four classes, and of one.
MASKS: tuple[Shape, ...] = ((8, 4, 512, 512), (8, 1, 1024, 1024))
QUICK_MASKS: tuple[Shape, ...] = ((2, 4, 64, 64), (2, 1, 64, 64))
VECTORS: tuple[Shape, ...] = ((2**20, 64),)
QUICK_VECTORS: tuple[Shape, ...] = ((4096, 64),)


def shape_text(shape: Shape) -> str:
    return "x".join(map(str, shape))


def parse_shape(text: str) -> Shape:
    return tuple(map(int, text.split("x")))


@lru_cache
def mean_loss(name: str) -> fl.Loss[Any]:
    """The loss with the reduction that every peer has."""
    loss = fl.Loss.registry[name]
    by_default = inspect.signature(loss).parameters["reduction"].default
    return loss if by_default == "mean" else loss.bind(reduction="mean")


def family_of(name: str) -> str:
    return mean_loss(name).family


@dataclass(frozen=True)
class Workload:
    """A loss on arrays whose first has a shape; `full`: with everything that takes long."""

    loss: str
    shape: Shape
    full: bool = True

    def __str__(self) -> str:
        return f"{self.loss} {shape_text(self.shape)}"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def classes(self) -> int:
        return self.shape[1] if self.rowwise else 1

    @property
    def rowwise(self) -> bool:
        return family_of(self.loss) != "elementwise"

    @property
    def params(self) -> dict[str, Any]:
        case = first_case(self.loss)
        if isinstance(case, OverlapCase) and "activation" in mean_loss(self.loss).params:
            return {"activation": "sigmoid" if self.classes == 1 else "softmax"}
        return case.options(self.classes) if isinstance(case, RowCase) else dict(case.params)

    def shrunk(self, elements: int) -> Workload | None:
        """The same in at most so many elements, if one row is not more."""
        rows = elements // self.classes
        if rows == 0:
            return None
        if not self.rowwise:
            return Workload(self.loss, (rows,))
        return Workload(self.loss, (1, self.classes, rows) if len(self.shape) > 2 else (rows, self.classes))

    def arrays(self, dtype: Any = np.float32) -> dict[str, np.ndarray]:
        """Every argument; labels stay integers."""
        if family_of(self.loss) == "overlap":
            return masks_of(self.loss, self.shape, dtype)
        rows = self.size // self.classes
        repeated = {}
        for name, block in block_of(self.loss, self.classes).items():
            array = block if block.dtype.kind == "i" else block.astype(dtype)
            array = np.resize(array, (rows, *block.shape[1:]))
            if len(self.shape) > 2:
                array = array.reshape(self.shape[0], *self.shape[2:], *block.shape[1:])
                if block.ndim > 1:
                    array = np.ascontiguousarray(np.moveaxis(array, -1, 1))
            repeated[name] = array
        return repeated


def masks_of(loss: str, shape: Shape, dtype: Any) -> dict[str, np.ndarray]:
    """Scores, and what they are compared with: labels in bytes, as they are stored."""
    case, generator = first_case(loss), np.random.default_rng(0)
    scores, target = case.input(generator, shape).astype(dtype), case.target(generator, shape)
    names = mean_loss(loss).inputs
    return dict(zip(names, (scores, target.astype(np.uint8 if target.dtype.kind == "i" else dtype)), strict=True))


def first_case(loss: str) -> Any:
    family = family_of(loss)
    cases: list[Any] = [case for case in (*BOX_CASES, *OVERLAP_CASES, *PAIR_CASES) if case.loss == loss]
    if not cases:
        cases = [*(row_cases_of if family == "rows" else cases_of)(loss)]
    if not cases:
        raise LookupError(f"tests/python has no case for {loss}")
    return cases[0]


@lru_cache(maxsize=1)
def block_of(loss: str, classes: int) -> dict[str, np.ndarray]:
    """Random elements, or rows of so many classes; nothing keeps rows off kinks, of which wide ones are full."""
    case, generator = first_case(loss), np.random.default_rng(0)
    if isinstance(case, Case):
        return case.random((BLOCK,), np.float32, generator)
    if isinstance(case, ArrayCase):
        rows = max(1, BLOCK // classes)
        return case.arrays(generator, rows) if case in BOX_CASES else case.arrays(generator, rows, classes)
    drawn = {name: d.random(max(1, BLOCK // classes), classes, generator) for name, d in case.arguments.items()}
    narrow = {name: np.int32 if x.dtype.kind == "i" else np.float32 for name, x in drawn.items()}
    return {name: x if x.ndim == 1 else x.astype(narrow[name]) for name, x in drawn.items()}


class Calls:
    """A loss on arrays of its own: the value, or also the gradients `trained`."""

    def __init__(self, workload: Workload, trained: tuple[str, ...], dtype: Any = np.float32, **options: Any) -> None:
        loss = mean_loss(workload.loss)
        self.arrays = workload.arrays(dtype)
        self.reads_twice = family_of(workload.loss) == "overlap"  # for the sums, and for the gradient
        self.outs = tuple([np.full_like(self.arrays[name], 0) for name in trained])
        method = loss.value_and_grad if trained else loss
        self.plain = partial(method, *self.arrays.values(), **workload.params, **options)
        outs = self.outs if len(self.outs) > 1 else self.outs[0] if trained else None
        self.reused = partial(self.plain, out=outs) if trained else self.plain

    @property
    def first(self) -> np.ndarray:
        return next(iter(self.arrays.values()))

    @property
    def streamed(self) -> list[np.ndarray]:
        """The arrays with a number per element: not the class indices."""
        return [array for array in self.arrays.values() if array.shape == self.first.shape]

    @property
    def bytes_per_element(self) -> float:
        return sum(array.nbytes for array in (*self.arrays.values(), *self.outs)) / self.first.size
