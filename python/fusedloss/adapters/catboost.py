"""CatBoost: objectives and metrics for its estimators and `catboost.train`.

Examples
--------
>>> import fusedloss as fl
>>> from fusedloss.adapters.catboost import Objective
>>> objective = Objective(fl.sigmoid_focal_loss, gamma=2.0)
>>> float(objective.inverse_link(0.0))
0.5
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._loss import Array
from ._boosting import METRIC_PARAMETERS, PARAMETERS, BoostingLoss, BoostingMetric

__all__ = ["Metric", "Objective"]


class Objective(BoostingLoss):
    __doc__ = f"""An objective for CatBoost.

    ``CatBoostClassifier(loss_function=Objective(...), eval_metric=Metric(...))``; CatBoost demands both. Weights are
    applied; derivatives are those of the negative loss, as CatBoost maximises. Several classes (with the parameter
    `classes_count`) work, but CatBoost asks for one row at a time then, which takes longer than training itself.

    {PARAMETERS}
    """

    order = "C"
    class_count = "classes_count"

    def builtin_hessian(self) -> tuple[str, float]:
        return "", 1.0

    def calc_ders_range(self, approxes: Any, targets: Any, weights: Any) -> Array:
        """First and second derivatives of the negative loss as the two columns of an array, a row per score."""
        both = np.empty((2, len(approxes)), np.float32)
        self.grad_and_hess(targets, approxes, weights, (both[0], both[1]), -1.0)
        return both.T

    def calc_ders_multi(self, approx: Any, target: Any, weight: Any) -> tuple[list[float], list[list[float]]]:
        """Gradient and diagonal of the Hessian of the negative loss, for the scores of one row."""
        classes = len(approx)
        both = np.empty((2, 1, classes), np.float32)
        labels = np.array([target], np.int32 if float(target).is_integer() else None)
        weights = None if weight is None else np.array([weight], np.float64)
        self.grad_and_hess(labels, np.asarray(approx, np.float64)[None], weights, (both[0], both[1]), -1.0)
        grad, diagonal = both[:, 0].tolist()
        hess = [[0.0] * classes for _ in range(classes)]
        for k, second in enumerate(diagonal):
            hess[k][k] = second
        return grad, hess

    def init_score(self, label: Any, weight: Any = None) -> Array:
        """Where training on these labels should start: the `baseline` of ``catboost.Pool`` or ``fit``.

        Parameters
        ----------
        label : array_like
            Labels of the training data.
        weight : array_like, optional
            Their weights.

        Returns
        -------
        ndarray
            The best constant score for every row, with a column per class if there are classes.
        """
        start = np.asarray(self.find_start(label, weight))
        return np.tile(start, (len(label), 1) if start.ndim else len(label))

    def predict(self, model: Any, data: Any, **options: Any) -> Array:
        """Predictions of a model trained with this objective: start added, link inverted."""
        return self.inverse_link(model.predict(data, prediction_type="RawFormulaVal", **options) + self.start)

    def metric(self) -> Metric:
        """The loss itself, for validation."""
        return Metric(self.loss)


class Metric(BoostingMetric):
    __doc__ = f"""A metric for CatBoost, its `eval_metric`; it is given raw scores.

    {METRIC_PARAMETERS}
    """

    def is_max_optimal(self) -> bool:
        """Which way is better."""
        return self.higher_is_better

    def evaluate(self, approxes: Sequence[Any], target: Any, weight: Any) -> tuple[float, float]:
        """Weighted sum and sum of weights."""
        scores = np.asarray(approxes[0]) if len(approxes) == 1 else np.stack([np.asarray(a) for a in approxes], 1)
        weights = None if weight is None else np.asarray(weight)
        total = float(len(scores) if weights is None else weights.sum(dtype=np.float64))
        return self.mean(np.asarray(target), scores, weights) * total, total

    def get_final_error(self, error: float, weight: float) -> float:
        """Their quotient."""
        return error / weight if weight else 0.0
