"""scikit-learn: its metrics at our speed, under its names, and scorers of any loss for its searches.

Metrics take no detour over one-hot labels and no float64 copies; arrays are checked as the losses check them.

Examples
--------
>>> import fusedloss as fl
>>> from fusedloss.adapters.sklearn import log_loss, make_scorer
>>> round(log_loss(["spam", "ham", "ham", "spam"], [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]]), 5)
0.21616
>>> make_scorer(fl.sigmoid_focal_loss, gamma=1.0)
make_scorer(sigmoid_focal_loss, greater_is_better=False, response_method='predict_proba')
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .. import binary, multiclass, regression
from .._loss import Array, Loss
from ..likelihood import tweedie_deviance_loss
from ._boosting import link_of, takes_signs

__all__ = [
    "Score",
    "brier_score_loss",
    "hinge_loss",
    "log_loss",
    "make_scorer",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_gamma_deviance",
    "mean_pinball_loss",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_squared_log_error",
    "mean_tweedie_deviance",
    "root_mean_squared_error",
]


# What several metrics say about a parameter.
_PARAGRAPHS = {
    "y_true": """\
y_true : array_like of shape (n,)
    Labels of any kind.""",
    "y_proba": """\
y_proba : array_like of shape (n, classes) or (n,)
    Probabilities of the classes in the order of their sorted labels, or of the second of two.""",
    "values": """\
y_true, y_pred : array_like of shape (n,) or (n, outputs)
    Targets and predictions.""",
    "sample_weight": """\
sample_weight : array_like of shape (n,), optional
    Weights of the samples.""",
    "labels": """\
labels : array_like, optional
    All labels, where `y_true` may lack some.""",
    "multioutput": """\
multioutput : {"raw_values", "uniform_average"} or array_like, default "uniform_average"
    A value per output, their mean, or their mean with these weights.""",
}
F = TypeVar("F", bound=Callable[..., Any])


def _described(function: F) -> F:
    """Put the paragraphs in the place of their names."""
    text = inspect.cleandoc(function.__doc__ or "")
    for name, paragraph in _PARAGRAPHS.items():
        text = text.replace(f"{{{name}}}", paragraph)
    function.__doc__ = text
    return function


# ---- classification -------------------------------------------------------------------------------


@_described
def log_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    labels: ArrayLike | None = None,
) -> float:
    """Cross entropy of probabilities, as ``sklearn.metrics.log_loss``; they are not checked to sum to one.

    Parameters
    ----------
    {y_true}
    {y_proba}
    normalize : bool, default True
        The mean rather than the sum.
    {sample_weight}
    {labels}

    Returns
    -------
    float
    """
    proba = _float_array("y_proba", y_proba)
    index, classes = _encoded(y_true, labels)
    proba = _matched("y_proba", proba, index, classes)
    picked = np.where(index == 1, proba, 1 - proba) if proba.ndim == 1 else _picked(proba, index)
    clamp = -math.log(np.finfo(picked.dtype).eps)
    options: dict[str, Any] = {"sample_weight": sample_weight, "reduction": "mean" if normalize else "sum"}
    result = float(binary.binary_cross_entropy(picked, 1.0, log_clamp=clamp, **options))
    if math.isnan(result) and not ((picked >= 0) & (picked <= 1)).all():
        raise ValueError("log_loss: y_proba has values that are not in [0, 1]")
    return result


@_described
def brier_score_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    labels: ArrayLike | None = None,
    scale_by_half: bool | str = "auto",
) -> float:
    """Mean squared error of probabilities, as ``sklearn.metrics.brier_score_loss``.

    Parameters
    ----------
    {y_true}
    {y_proba}
    {sample_weight}
    pos_label : optional
        The label whose probability a vector holds, if not the second of two.
    {labels}
    scale_by_half : bool or "auto", default "auto"
        Whether two times a probability's squared error counts once: "auto" is yes for two classes.

    Returns
    -------
    float
    """
    proba = _float_array("y_proba", y_proba)
    if pos_label is not None:
        index, classes = (np.asarray(y_true) == pos_label).astype(np.int64), 2
    else:
        index, classes = _encoded(y_true, labels)
    proba = _matched("y_proba", proba, index, classes)
    half = classes <= 2 if scale_by_half == "auto" else bool(scale_by_half)
    options: dict[str, Any] = {"reduction": "sum"}
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    total = float(len(index)) if weight is None else float(weight.sum())
    if proba.ndim == 1:
        squares = 2 * float(regression.mse_loss(proba, index, sample_weight=weight, **options))
    else:
        by_row = None if weight is None else weight[:, None]
        picked = _picked(proba, index).astype(np.float64)
        # (p - 1)**2 - p**2 = 1 - 2 * p at the label
        squares = float(regression.mse_loss(proba, 0.0, sample_weight=by_row, **options))
        squares += float(np.sum(1 - 2 * picked) if weight is None else (1 - 2 * picked) @ weight)
    return squares / total / (2 if half else 1)


@_described
def hinge_loss(
    y_true: ArrayLike,
    pred_decision: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Hinge loss, of several classes that of Crammer and Singer, as ``sklearn.metrics.hinge_loss``.

    Parameters
    ----------
    {y_true}
    pred_decision : array_like of shape (n,) or (n, classes)
        Scores, as of ``decision_function``.
    {labels}
    {sample_weight}

    Returns
    -------
    float
    """
    scores = _float_array("pred_decision", pred_decision)
    index, classes = _encoded(y_true, labels)
    if scores.ndim == 1:
        if classes > 2:
            raise ValueError(f"hinge_loss: pred_decision has shape {scores.shape}, expected {classes} columns")
        return float(binary.hinge_loss(scores, 2 * index - 1, sample_weight=sample_weight))
    scores = _matched("pred_decision", scores, index, classes)
    return float(multiclass.multiclass_hinge_loss(scores, index, sample_weight=sample_weight, axis=1))


def _float_array(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}, expected one or two axes of numbers")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _encoded(y_true: ArrayLike, labels: ArrayLike | None) -> tuple[Array, int]:
    """Class indices, and how many classes there are."""
    y = np.asarray(y_true)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y_true has shape {y.shape}, expected labels in one axis")
    if labels is None and y.dtype.kind in "iub" and len(y):
        y = y.astype(np.int64, copy=False)
        low, high = int(y.min()), int(y.max())
        if low == 0 and high < 1024 and np.bincount(y).all():
            return y, high + 1
    known = np.unique(y if labels is None else np.asarray(labels))
    index = np.searchsorted(known, y)
    index = np.minimum(index, len(known) - 1)
    if not np.array_equal(known[index], y):
        raise ValueError(f"y_true has labels that are not among {known}")
    return index, len(known)


def _matched(name: str, scores: Array, index: Array, classes: int) -> Array:
    """Scores of as many rows and classes as there are labels; of one column, as a vector."""
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if len(scores) != len(index):
        raise ValueError(f"y_true has {len(index)} samples, {name} has {len(scores)}")
    if classes != (2 if scores.ndim == 1 else scores.shape[1]):
        raise ValueError(f"y_true has {classes} different labels, {name} has shape {scores.shape}; give labels=")
    return scores


def _picked(scores: Array, index: Array) -> Array:
    """One score per row; only these are read."""
    return scores[np.arange(len(index)), index]


# ---- regression -----------------------------------------------------------------------------------


def _mean(
    loss: Loss[Any],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None,
    multioutput: Any = "uniform_average",
) -> Any:
    """The mean over rows, and over columns as `multioutput` says."""
    y, prediction = np.asarray(y_true), np.asarray(y_pred)
    if y.shape[0:1] != prediction.shape[0:1] or y.size != prediction.size:
        raise ValueError(f"y_true has shape {y.shape}, y_pred has shape {prediction.shape}")
    y = y.reshape(prediction.shape)
    if prediction.ndim == 1 or (isinstance(multioutput, str) and multioutput == "uniform_average"):
        weight = None if sample_weight is None else np.reshape(sample_weight, (-1, *[1] * (prediction.ndim - 1)))
        value = float(loss(prediction, y, sample_weight=weight, reduction="mean"))
        return np.array([value]) if isinstance(multioutput, str) and multioutput == "raw_values" else value
    columns = zip(prediction.T, y.T, strict=True)
    each = np.array([float(loss(p, t, sample_weight=sample_weight, reduction="mean")) for p, t in columns])
    return each if isinstance(multioutput, str) else float(np.average(each, weights=multioutput))


@_described
def mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean squared error, as ``sklearn.metrics.mean_squared_error``.

    Parameters
    ----------
    {values}
    {sample_weight}
    {multioutput}

    Returns
    -------
    float or ndarray
    """
    return _mean(regression.mse_loss, y_true, y_pred, sample_weight, multioutput)


@_described
def root_mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Root of the mean squared error of each output, as ``sklearn.metrics.root_mean_squared_error``.

    Parameters
    ----------
    {values}
    {sample_weight}
    {multioutput}

    Returns
    -------
    float or ndarray
    """
    roots = np.sqrt(_mean(regression.mse_loss, y_true, y_pred, sample_weight, "raw_values"))
    if isinstance(multioutput, str):
        return roots if multioutput == "raw_values" else float(roots.mean())
    return float(np.average(roots, weights=multioutput))


@_described
def mean_absolute_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean absolute error, as ``sklearn.metrics.mean_absolute_error``.

    Parameters
    ----------
    {values}
    {sample_weight}
    {multioutput}

    Returns
    -------
    float or ndarray
    """
    return _mean(regression.l1_loss, y_true, y_pred, sample_weight, multioutput)


@_described
def mean_squared_log_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean squared error of ``log(1 + y)``, as ``sklearn.metrics.mean_squared_log_error``.

    Parameters
    ----------
    {values}
    {sample_weight}
    {multioutput}

    Returns
    -------
    float or ndarray
    """
    y, prediction = np.asarray(y_true), np.asarray(y_pred)
    if min(y.min(initial=0), prediction.min(initial=0)) <= -1:
        raise ValueError("mean_squared_log_error: y_true and y_pred must be greater than -1")
    return _mean(regression.mse_loss, np.log1p(y), np.log1p(prediction), sample_weight, multioutput)


@_described
def mean_absolute_percentage_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean absolute error relative to the targets, as ``sklearn.metrics.mean_absolute_percentage_error``.

    Parameters
    ----------
    {values}
    {sample_weight}
    {multioutput}

    Returns
    -------
    float or ndarray
    """
    loss = regression.mean_absolute_percentage_error.bind(scale=1.0, eps=float(np.finfo(np.float64).eps))
    return _mean(loss, y_true, y_pred, sample_weight, multioutput)


@_described
def mean_pinball_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.5,
    multioutput: Any = "uniform_average",
) -> Any:
    """Mean pinball loss of a quantile, as ``sklearn.metrics.mean_pinball_loss``.

    Parameters
    ----------
    {values}
    {sample_weight}
    alpha : float, default 0.5
        The quantile.
    {multioutput}

    Returns
    -------
    float or ndarray
    """
    return _mean(regression.quantile_loss.bind(quantile=alpha), y_true, y_pred, sample_weight, multioutput)


@_described
def mean_tweedie_deviance(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None, power: float = 0
) -> float:
    """Mean Tweedie deviance, as ``sklearn.metrics.mean_tweedie_deviance``.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,)
        Targets and predicted means.
    {sample_weight}
    power : float, default 0
        The variance is the mean to this power.

    Returns
    -------
    float
    """
    return 2 * float(_mean(tweedie_deviance_loss.bind(power=float(power)), y_true, y_pred, sample_weight))


def mean_poisson_deviance(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """`mean_tweedie_deviance` of power 1, as ``sklearn.metrics.mean_poisson_deviance``."""
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=1)


def mean_gamma_deviance(y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """`mean_tweedie_deviance` of power 2, as ``sklearn.metrics.mean_gamma_deviance``."""
    return mean_tweedie_deviance(y_true, y_pred, sample_weight=sample_weight, power=2)


# ---- any loss -------------------------------------------------------------------------------------


class Score:
    """The mean of a loss as a metric of scikit-learn: ``Score(...)(y_true, y_pred, sample_weight=None)``.

    A plain object: it may be cloned, compared, pickled and sent to other processes.

    Parameters
    ----------
    loss : Loss
        Of predictions and targets.
    probabilities : bool, optional
        Whether a loss of logits or class scores is given probabilities, whose logarithms it then takes. By default it
        is, as most classifiers have these alone.
    labels : array_like, optional
        All labels of a classification, where some samples may lack some; by default those of the samples.
    **params
        Parameters of the loss.
    """

    def __init__(
        self, loss: Loss[Any], *, probabilities: bool | None = None, labels: ArrayLike | None = None, **params: Any
    ) -> None:
        self.loss = loss.bind(**params) if params else loss
        link = link_of(self.loss)
        if probabilities and link not in ("logit", "softmax"):
            raise ValueError(f"Score: {loss.name} is no loss of logits, which probabilities could be turned into")
        self.probabilities = link in ("logit", "softmax") if probabilities is None else bool(probabilities)
        self.labels = None if labels is None else np.asarray(labels).tolist()

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The weighted mean of the loss."""
        options: dict[str, Any] = {"sample_weight": sample_weight, "reduction": "mean"}
        if not self.classifies:
            return float(_mean(self.loss, y_true, y_pred, sample_weight))
        scores = _float_array("y_pred", y_pred)
        index, classes = _encoded(y_true, self.labels)
        by_class = self.loss.family == "rows"
        if scores.ndim == 2 and scores.shape[1] == 2 and not by_class:
            scores = scores[:, 1]
        elif scores.ndim == 1 and by_class:
            scores = np.stack([1 - scores, scores] if self.probabilities else [np.zeros_like(scores), scores], 1)
        _matched("y_pred", scores, index, classes)
        if self.probabilities:
            with np.errstate(divide="ignore"):
                scores = np.log(scores) if by_class else np.log(scores) - np.log1p(-scores)
        if by_class:
            options["axis"] = 1
        elif takes_signs(self.loss):
            index = 2 * index - 1
        return float(self.loss(scores, index, **options))

    @property
    def classifies(self) -> bool:
        """Whether targets are labels."""
        return self.loss.family == "rows" or link_of(self.loss) != "identity" or takes_signs(self.loss)

    @property
    def __name__(self) -> str:
        return self.loss.name

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.loss, self.probabilities))

    def __repr__(self) -> str:
        params = "".join(f", {key}={value!r}" for key, value in self.loss._bound.items())
        return f"Score({self.loss.name}{params})"


def make_scorer(
    loss: Loss[Any], *, response_method: str | None = None, labels: ArrayLike | None = None, **params: Any
) -> Any:
    """A scorer of a loss, the negative of its mean, for ``cross_val_score``, ``GridSearchCV`` and the like.

    Parameters
    ----------
    loss : Loss
        Of predictions and targets.
    response_method : {"predict", "predict_proba", "decision_function"}, optional
        What the loss is given. By default "predict_proba" for losses of logits and class scores, which are made of the
        probabilities, "decision_function" for those of margins, else "predict".
    labels : array_like, optional
        All labels of a classification, where a part of the samples may lack some.
    **params
        Parameters of the loss.

    Returns
    -------
    callable
        What ``sklearn.metrics.make_scorer`` makes.
    """
    score = Score(loss, labels=labels, **params)
    if response_method is None:
        margins = "decision_function" if takes_signs(score.loss) else "predict"
        proba = score.probabilities or loss.name in ("binary_cross_entropy", "categorical_cross_entropy")
        response_method = "predict_proba" if proba else margins
    if response_method == "decision_function":
        score.probabilities = False
    make = import_module("sklearn.metrics").make_scorer
    return make(score, greater_is_better=False, response_method=response_method)
