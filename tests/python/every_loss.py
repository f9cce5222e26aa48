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


DRAWN = (*ANSWER_CASES, *BATCH_CASES, *BOX_CASES, *COMPOSITION_CASES, *METRIC_CASES, *PAIR_CASES, *SIMILARITY_CASES)
ORDINAL = ArrayCase("cumulative_link_loss", _graded)
FIRST = {case.loss: case for case in reversed((*CASES, *ROW_CASES, *OVERLAP_CASES, *DRAWN, ORDINAL))}

each_loss = pytest.mark.parametrize("loss", fl.losses(), ids=lambda loss: loss.name)


def call_of(loss: fl.Loss[Any], n: int = 4) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays of so many elements, rows or images, and parameters."""
    case: Any = FIRST[loss.name]
    generator = np.random.default_rng(0)
    if isinstance(case, RowCase):
        return case.random(n, 5, np.float64, generator), case.options(5)
    if isinstance(case, OverlapCase):
        values = case.arrays(generator, n).values()
        more = {key: make(generator, (n, *case.shape[1:])) for key, make in case.arguments.items()}
        return {**dict(zip(loss.__signature__.parameters, values, strict=False)), **more}, case.params
    if isinstance(case, Case):
        return case.random((n,), np.float64, generator), case.params
    draw = case.draw if hasattr(case, "draw") else case.arrays
    return draw(generator, n), case.params
