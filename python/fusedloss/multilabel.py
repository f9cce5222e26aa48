"""Any number of classes out of several: losses of rows with more than one label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._core_kernels import row_kernels
from ._loss import Result, rows
from ._validation import as_input, integer

__all__ = ["multilabel_margin_loss", "multilabel_soft_margin_loss", "zlpr_loss"]


def _marked(target: ArrayLike, axis: int | None) -> Any:
    """True at the classes that each row of indices names before its first negative one."""
    index = np.asarray(as_input("multilabel_margin_loss", "target", target))
    if index.ndim == 0:
        return target
    if index.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {index.dtype}, expected an integer dtype")
    axis = min(1, index.ndim - 1) if axis is None else integer("axis", axis)
    index = np.moveaxis(index, axis, -1)
    classes = index.shape[-1]
    listed = np.logical_and.accumulate(index >= 0, axis=-1)
    wrong = listed & (index >= classes)
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(np.moveaxis(wrong, -1, axis))[0])
        raise IndexError(f"target{list(at)} = {np.moveaxis(index, -1, axis)[at]} is not in [0, {classes})")
    marked = np.zeros((*index.shape[:-1], classes + 1), bool)
    np.put_along_axis(marked, np.where(listed, index, classes), True, axis=-1)
    return np.moveaxis(marked[..., :classes], -1, axis)


@rows(aliases=("MultiLabelMarginLoss",))
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Margin loss of several labels: each label should lead each other class by one.

    Formula: ``sum(max(0, 1 - (z[y] - z[j]))) / C`` over the labels `y` and the other classes `j`, with ``z = input``.
    Gradient: ``-1 / C`` at `y` and ``1 / C`` at `j` for each such pair whose hinge is positive; 0 at the kink.
    Domain: any real scores.
    Source: Elisseeff and Weston (2001), A kernel method for multi-labelled classification.

    Parameters
    ----------
    input : array_like
        Scores: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Class indices in the shape of `input`: along the class axis first the labels of the row, then -1.
    {common}
    """
    return row_kernels.multilabel_margin(input, _marked(target, axis), axis=axis)


@rows(aliases=("MultiLabelSoftMarginLoss", "mean binary cross entropy of the classes"))
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Binary cross entropy of the scores of the classes, averaged over the classes.

    Formula: ``sum(weight[c] * (t * softplus(-z) + (1 - t) * softplus(z))) / C`` with ``z = input`` and ``t = target``.
    Gradient: ``weight[c] * ((1 - t) * sigmoid(z) - t * sigmoid(-z)) / C``.
    Hessian: ``weight[c] * sigmoid(z) * sigmoid(-z) / C``.
    Domain: any real scores; `target` in [0, 1].
    Source: Cox (1958), The regression analysis of binary sequences.

    Parameters
    ----------
    input : array_like
        Scores (logits): ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        1 at the labels of a row, 0 elsewhere, or probabilities; in the shape of `input`.
    weight : array_like, optional
        One weight per class; as in PyTorch the mean does not divide by them.
    {common}
    """
    return row_kernels.multilabel_soft_margin(input, target, axis=axis, weight=weight)


@rows(aliases=("ZLPR", "multi-label categorical cross entropy", "Su's loss"))
def zlpr_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Zero-bounded log-sum-exp and pairwise rank loss: labels above zero, other classes below.

    Formula: ``log(1 + sum((1 - t) * exp(z))) + log(1 + sum(t * exp(-z)))`` with ``z = input`` and ``t = target``.
    Gradient: ``(1 - t) * exp(z) / (1 + sum((1 - t) * exp(z))) - t * exp(-z) / (1 + sum(t * exp(-z)))``.
    Domain: any real scores; `target` in [0, 1].
    Source: Su et al. (2022), ZLPR: a novel loss for multi-label classification.

    Parameters
    ----------
    input : array_like
        Scores: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        1 at the labels of a row, 0 elsewhere, in the shape of `input`.
    {common}
    """
    return row_kernels.zlpr(input, target, axis=axis)
