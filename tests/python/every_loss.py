"""One call of every loss, whatever its family: small arrays by name, and the parameters of a case."""

from __future__ import annotations

from typing import Any

import fusedloss as fl
import numpy as np
import pytest
from cases import CASES, Case
from cases_answers import CASES as ANSWER_CASES
from cases_arrays import ArrayCase
from cases_batch import BATCH_CASES
from cases_boxes import CASES as BOX_CASES
from cases_compositions import CASES as COMPOSITION_CASES
from cases_metric import METRIC_CASES
from cases_overlap import OVERLAP_CASES, OverlapCase
from cases_pairs import PAIR_CASES
from cases_rows import ROW_CASES, RowCase
from cases_similarity import CASES as SIMILARITY_CASES


def _graded(generator: np.random.Generator, n: int) -> dict[str, Any]:
    return {"input": generator.normal(size=n), "thresholds": np.array([-1.0, 0.5, 2.0]), "target": np.arange(n) % 4}


DRAWN = (*BATCH_CASES, *BOX_CASES, *COMPOSITION_CASES, *PAIR_CASES)
OF_PRODUCTS = (*ANSWER_CASES, *METRIC_CASES, *SIMILARITY_CASES)
ORDINAL = ArrayCase("cumulative_link_loss", _graded)
EVERY_CASE: tuple[Any, ...] = (*CASES, *ROW_CASES, *OVERLAP_CASES, *DRAWN, *OF_PRODUCTS, ORDINAL)
FIRST = {case.loss: case for case in reversed(EVERY_CASE)}

each_loss = pytest.mark.parametrize("loss", fl.losses(), ids=lambda loss: loss.name)
each_case = pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: getattr(case, "id", str(case)))


def call_of(loss: fl.Loss[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A few arrays and parameters."""
    return draw(FIRST[loss.name], 4)


def draw(case: Any, n: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays of so many elements, rows or images, and parameters."""
    generator = np.random.default_rng(0)
    if isinstance(case, RowCase):
        return case.random(n, 5, np.float64, generator), case.options(5)
    if isinstance(case, OverlapCase):
        names = fl.Loss.registry[case.loss].__signature__.parameters
        more = {key: make(generator, (n, *case.shape[1:])) for key, make in case.arguments.items()}
        return {**dict(zip(names, case.arrays(generator, n).values(), strict=False)), **more}, case.params
    if isinstance(case, Case):
        return case.random((n,), np.float64, generator), case.params
    arrays = case.draw if hasattr(case, "draw") else case.arrays
    return arrays(generator, n), case.params


def many(case: Any) -> int:
    """So many that a case takes several blocks, tiles or stretches."""
    if isinstance(case, Case):
        return 20011
    if isinstance(case, (RowCase, OverlapCase)):
        return 3001 if isinstance(case, RowCase) else 7
    return 600 if case in (*OF_PRODUCTS, *BATCH_CASES) else 3001
