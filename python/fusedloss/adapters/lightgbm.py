"""LightGBM: objectives and metrics for `lightgbm.train` and for the scikit-learn estimators.

Examples
--------
>>> import fusedloss as fl
>>> from fusedloss.adapters.lightgbm import Objective
>>> objective = Objective(fl.sigmoid_focal_loss, gamma=2.0)
>>> float(objective.inverse_link(0.0))
0.5
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .._loss import Array
from ._boosting import METRIC_PARAMETERS, PARAMETERS, BoostingLoss, BoostingMetric

__all__ = ["Metric", "Objective"]


class Objective(BoostingLoss):
    __doc__ = f"""An objective for LightGBM, both for ``train`` and for its estimators.

    ``lightgbm.train({{"objective": Objective(...)}}, data)``, or ``LGBMClassifier(objective=Objective(...))``: weights
    are applied, gradients are what LightGBM wants to have in memory. Scores are raw: let `predict` make predictions.

    {PARAMETERS}

    Notes
    -----
    "builtin" Hessians are ``K / (K - 1) * p * (1 - p)`` of `cross_entropy`, 1 of `huber_loss`, and ``exp(0.7)`` times
    the true one of `poisson_nll_loss`. The built-in objectives for quantiles and absolute errors move the leaves of
    finished trees to quantiles of the residuals, which LightGBM lets no custom objective do.
    """

    order = "F"
    default_threads = None

    def builtin_hessian(self) -> tuple[str, float]:
        return {"cross_entropy": "lightgbm", "huber_loss": "ones"}.get(self.loss.name, ""), 1.0

    # LightGBM's estimators count parameters: the third has them pass weights.
    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[Array, Array]:
        """Gradient and Hessian, of ``(scores, Dataset)`` or of ``(labels, scores, weight)``."""
        if hasattr(y_pred, "get_label"):
            return self.grad_and_hess(y_pred.get_label(), y_true, y_pred.get_weight())
        return self.grad_and_hess(y_true, y_pred, weight)

    def init_score(self, label: Any, weight: Any = None, num_class: int | None = None) -> Array:
        """Where training on these labels should start: an array for ``Dataset`` or ``fit``.

        Built-in objectives find that start themselves, but LightGBM has custom ones start from 0. It does not store
        it in the model either: `predict` adds it.

        Parameters
        ----------
        label : array_like
            Labels of the training data.
        weight : array_like, optional
            Their weights.
        num_class : int, optional
            Number of classes, by default those in `label`.

        Returns
        -------
        ndarray
            The best constant score for every row, with a column per class if there are classes.
        """
        self.find_start(label, weight, num_class)
        return self.same_score(len(label))

    def same_score(self, rows: int) -> Array:
        """The start of training for so many rows of other data, such as those for validation."""
        return np.tile(np.asarray(self.start, np.float64), (rows, 1) if np.ndim(self.start) else rows)

    def dataset(self, data: Any, label: Any, *, weight: Any = None, reference: Any = None, **options: Any) -> Any:
        """A ``lightgbm.Dataset`` that starts from the best constant score, or from that of its `reference`."""
        start = self.init_score(label, weight) if reference is None else self.same_score(len(label))
        make = import_module("lightgbm").Dataset
        return make(data, label, weight=weight, reference=reference, init_score=start, **options)

    def predict(self, model: Any, data: Any, **options: Any) -> Array:
        """Predictions of a ``Booster`` or an estimator trained with this objective: start added, link inverted."""
        return self.inverse_link(model.predict(data, raw_score=True, **options) + self.start)

    def metric(self) -> Metric:
        """The loss itself, for validation."""
        return Metric(self.loss)


class Metric(BoostingMetric):
    __doc__ = f"""A metric for LightGBM: `feval` of ``train``, `eval_metric` of its estimators.

    It is given raw scores, as LightGBM has them where the objective is a custom one.

    {METRIC_PARAMETERS}
    """

    default_threads = None

    def __call__(self, y_true: Any, y_pred: Any, weight: Any = None) -> tuple[str, float, bool]:
        """Name, mean and which way is better, of ``(scores, Dataset)`` or of ``(labels, scores, weight)``."""
        if hasattr(y_pred, "get_label"):
            y_true, y_pred, weight = y_pred.get_label(), y_true, y_pred.get_weight()
        return self.name, self.mean(y_true, y_pred, weight), self.higher_is_better
