"""XGBoost: objectives and metrics for `xgboost.train` and for the scikit-learn estimators.

Examples
--------
>>> import fusedloss as fl
>>> from fusedloss.adapters.xgboost import Objective
>>> objective = Objective(fl.sigmoid_focal_loss, gamma=2.0)
>>> float(objective.inverse_link(0.0))
0.5
"""

from __future__ import annotations

import ctypes
import functools
import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .._loss import Array
from ._boosting import METRIC_PARAMETERS, PARAMETERS, BoostingLoss, BoostingMetric

__all__ = ["Metric", "Objective"]


class Objective(BoostingLoss):
    __doc__ = f"""An objective for XGBoost, both for ``train`` and for its estimators.

    ``xgboost.train(params, data, obj=Objective(...))``, or ``XGBClassifier(objective=Objective(...))``: weights are
    applied, gradients are float32 in C order. Scores are raw: let `predict` make predictions.

    {PARAMETERS}

    Notes
    -----
    "builtin" Hessians are ``2 * p * (1 - p)`` of `cross_entropy` (``|p - y|`` from XGBoost 3.5 on) and ``exp(0.7)``
    times the true one of `poisson_nll_loss`. The built-in objectives for quantiles and absolute errors move the leaves
    of finished trees to quantiles of the residuals, which XGBoost lets no custom objective do.
    """

    order = "C"

    def builtin_hessian(self) -> tuple[str, float]:
        if self.loss.name != "cross_entropy":
            return "", 1.0
        return "abs_residual" if _has_residual_hessian() else "upper", 1.0

    # XGBoost's estimators look for the name of the third parameter, and pass weights by it.
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """Gradient and Hessian, of ``(scores, DMatrix)`` or of ``(labels, scores, sample_weight)``."""
        if hasattr(y_pred, "get_label"):
            return self.grad_and_hess(_labels_of(y_pred, y_true), y_true, _field_of(y_pred, "weight"))
        return self.grad_and_hess(y_true, y_pred, sample_weight)

    def base_score(self, label: Any, weight: Any = None, num_class: int | None = None) -> float | list[float]:
        """Where training on these labels should start: the parameter `base_score` of training, in scores.

        Built-in objectives find that start themselves, but XGBoost has custom ones start from 0.5. It stores it in
        the model. ``XGBClassifier`` takes a probability for it, of two classes: ``inverse_link(base_score(...))``.

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
        float or list of float
            The best constant score; one per class if there are classes, for which XGBoost must be 3.1 or later.
        """
        start = self.find_start(label, weight, num_class)
        return start.tolist() if isinstance(start, np.ndarray) else start

    def predict(self, model: Any, data: Any, **options: Any) -> Array:
        """Predictions of a ``Booster`` or an estimator trained with this objective: scores with the link inverted."""
        xgboost = import_module("xgboost")
        if isinstance(model, xgboost.Booster) and not isinstance(data, xgboost.DMatrix):
            data = xgboost.DMatrix(data)
        return self.inverse_link(model.predict(data, output_margin=True, **options))

    def metric(self) -> Metric:
        """The loss itself, for validation."""
        return Metric(self.loss)


class Metric(BoostingMetric):
    __doc__ = f"""A metric for XGBoost: `custom_metric` of ``train``, `eval_metric` of its estimators.

    It is given raw scores, as XGBoost has them where the objective is a custom one.

    {METRIC_PARAMETERS}
    """

    @property
    def __name__(self) -> str:  # what XGBoost's estimators call it
        return self.name

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Name and mean of ``(scores, DMatrix)``, the mean alone of ``(labels, scores, sample_weight)``."""
        if hasattr(y_pred, "get_label"):
            return self.name, self.mean(_labels_of(y_pred, y_true), y_true, _field_of(y_pred, "weight"))
        return self.mean(y_true, y_pred, sample_weight)


def _labels_of(data: Any, scores: Any) -> Any:
    """The labels of a ``DMatrix``, which gives a matrix of them as a vector."""
    labels = _field_of(data, "label")
    several = labels is not None and labels.size > len(scores) and labels.size == np.size(scores)
    return labels.reshape(np.shape(scores)) if several else labels


def _field_of(data: Any, name: str) -> Any:
    """Labels or weights of a ``DMatrix``, None if it has none, in its own memory: good until it changes.

    Through XGBoost's C interface, as ``get_label`` and ``get_weight`` take longer than a loss: they copy. Its handle in
    Python is private; where that is gone, they serve.
    """
    give = _float_info()
    if give is None:
        copy = getattr(data, f"get_{name}")()
        return copy if copy.size else None
    size, start = ctypes.c_uint64(), ctypes.c_void_p()
    if give(data.handle, name.encode(), ctypes.byref(size), ctypes.byref(start)) != 0:
        raise RuntimeError(f"XGBoost does not give the {name} of {type(data).__name__}")
    if not start.value or not size.value:
        return None
    memory: Any = (ctypes.c_float * size.value).from_address(start.value)
    return np.frombuffer(memory, np.float32)


@functools.cache
def _float_info() -> Any:
    library = getattr(import_module("xgboost.core"), "_LIB", None)
    return getattr(library, "XGDMatrixGetFloatInfo", None)


@functools.cache
def _has_residual_hessian() -> bool:
    try:
        release = re.match(r"(\d+)\.(\d+)", version("xgboost"))
    except PackageNotFoundError:
        return False
    return release is not None and (int(release[1]), int(release[2])) >= (3, 5)
