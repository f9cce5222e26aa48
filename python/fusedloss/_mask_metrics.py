"""How well hard masks overlap: numbers over stored or predicted masks, evaluated in the same ways as losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._exact import ExactSum
from ._loss import Array
from ._metrics import MetricSums, metric
from ._validation import as_input, choice, integer

__all__ = ["mask_dice", "mask_iou"]


def _mean_ratio(sums: Sequence[ExactSum]) -> tuple[ExactSum, ExactSum]:
    """The mean of first / second over the pairs of sums whose second is not zero."""
    pairs = [(a, b) for a, b in zip(sums[::2], sums[1::2], strict=True) if b.finite or b.special]
    total = ExactSum()
    total.add(*(a / b for a, b in pairs))
    return total, ExactSum(len(pairs))


def _hard_masks(
    name: str,
    input: ArrayLike,
    target: ArrayLike,
    activation: str,
    classes: int | None,
    ignore_index: int | None,
    axis: int | None,
) -> tuple[Array, Array, Array]:
    """Predicted and true masks, and where they count, as ``[N, C, positions]``."""
    choice("activation", activation, ("softmax", "sigmoid", "none"))
    scores, truth = np.asarray(as_input(name, "input", input)), np.asarray(as_input(name, "target", target))
    if scores.dtype.kind in "iu" and scores.shape == truth.shape:
        if classes is None:
            raise ValueError(f"{name}: input and target are class indices: classes must say how many classes there are")
        found = scores.reshape(len(scores), 1, math.prod(scores.shape[1:]))
        kept = np.ones(found.shape, bool) if ignore_index is None else truth.reshape(found.shape) != ignore_index
        _refuse_labels(name, "input", scores, classes, kept.reshape(scores.shape))
        predicted = found == np.arange(classes).reshape(1, -1, 1)
    else:
        if scores.ndim < 2:
            raise ValueError(f"{name}: input has shape {scores.shape}, expected images and an axis of classes")
        place = 1 if axis is None else integer("axis", axis) % scores.ndim
        if place == 0:
            raise ValueError(f"{name}: axis is 0, which is that of the images")
        if truth.ndim == scores.ndim:
            truth = np.moveaxis(truth, place, 1)
        scores = np.moveaxis(scores, place, 1)
        scores = scores.reshape(*scores.shape[:2], math.prod(scores.shape[2:]))
        classes = scores.shape[1]
        if activation == "softmax":
            predicted = scores.argmax(1)[:, None] == np.arange(classes).reshape(1, -1, 1)
        else:
            predicted = scores > (0.0 if activation == "sigmoid" else 0.5)
    if truth.size == predicted.size and truth.shape[:2] == predicted.shape[:2]:
        masks = truth.reshape(predicted.shape)
        kept = np.ones(masks.shape, bool) if ignore_index is None else masks != ignore_index
        return predicted, masks > 0.5, kept
    if truth.size * classes != predicted.size or len(truth) != len(predicted):
        raise ValueError(f"{name}: target has shape {truth.shape}, which does not fit that of input")
    kept = np.ones(truth.shape, bool) if ignore_index is None else truth != ignore_index
    _refuse_labels(name, "target", truth, max(classes, 2), kept)
    labels = np.arange(classes) if classes > 1 else np.ones(1, int)
    wide = truth.reshape(len(truth), 1, predicted.shape[2])
    return predicted, wide == labels.reshape(1, -1, 1), kept.reshape(wide.shape)


def _refuse_labels(name: str, argument: str, labels: Array, classes: int, kept: Array) -> None:
    if labels.dtype.kind not in "iub":
        raise TypeError(f"{name}: {argument} has dtype {labels.dtype}; expected class indices of an integer dtype")
    bad = np.argwhere(kept & ((labels < 0) | (labels >= classes)))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise IndexError(f"{name}: {argument}{list(where)} = {labels[where]} is not in [0, {classes})")


def _sums(
    name: str,
    masks: tuple[Array, Array, Array],
    dice: bool,
    per_image: bool,
    sample_weight: ArrayLike | None,
) -> MetricSums:
    predicted, present, kept = masks
    images = len(predicted)
    weight = np.ones(images) if sample_weight is None else np.asarray(as_input(name, "sample_weight", sample_weight))
    if weight.shape != (images,):
        raise ValueError(f"{name}: sample_weight has shape {weight.shape}, expected ({images},)")
    if not np.all((weight >= 0) & np.isfinite(weight)):
        raise ValueError(f"{name}: sample_weight is negative or not finite")
    both = np.count_nonzero(predicted & present & kept, -1).astype(float)
    sizes = np.count_nonzero(predicted & kept, -1) + np.count_nonzero(present & kept, -1)
    above, below = (2 * both, sizes) if dice else (both, sizes - both)
    if per_image:
        counts = below > 0
        values = np.divide(above, below, where=counts, out=np.zeros_like(above))
        weights = weight[:, None] * counts
        return MetricSums(((weights * values).ravel().tolist(), weights.ravel().tolist()), images)
    terms = [(weight[:, None] * x).T.tolist() for x in (above, below)]
    return MetricSums(tuple(own for pair in zip(*terms, strict=True) for own in pair), images)


@metric(_mean_ratio, "mIoU", "mean intersection over union", "Jaccard index", family="overlap")
def mask_iou(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    classes: int | None = None,
    per_image: bool = False,
    ignore_index: int | None = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    n_threads: int | None = None,
) -> MetricSums:
    """Intersection over union of predicted and true masks, on average over the classes.

    The sums are those of all images, of each class by itself; classes that are neither predicted nor there do not
    count. See Everingham et al. (2010), The PASCAL visual object classes challenge.

    Parameters
    ----------
    input : array_like
        Scores ``[N, C, d1, ...]``, or with the classes along `axis`, or predicted class indices of an integer dtype in
        the shape of `target`.
    target : array_like
        Class indices in the shape of the scores without the class axis, or masks in the shape of the scores.
    activation : {"softmax", "sigmoid", "none"}, default "softmax"
        What is predicted: the class with the largest score, all with a score above 0, or above 1/2.
    classes : int, optional
        The number of classes, where `input` holds class indices.
    per_image : bool, default False
        The mean over images and classes rather than over classes.
    ignore_index : int or None, default -100
        Positions with this class index, or elements of a mask with this number, count for nothing.
    axis : int, optional
        The axis of the classes, by default 1.
    sample_weight : array_like, optional
        Weights of the images.
    n_threads : int, optional
        Has no effect on the result.

    Returns
    -------
    float
    """
    masks = _hard_masks("mask_iou", input, target, activation, classes, ignore_index, axis)
    return _sums("mask_iou", masks, False, per_image, sample_weight)


@metric(_mean_ratio, "Dice score", "F1 score of masks", "Dice coefficient", family="overlap")
def mask_dice(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    classes: int | None = None,
    per_image: bool = False,
    ignore_index: int | None = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    n_threads: int | None = None,
) -> MetricSums:
    """Dice score of predicted and true masks, on average over the classes.

    Twice what both have over the sum of their sizes; as for `mask_iou` the sums are those of all images. See Dice
    (1945), Measures of the amount of ecologic association between species.

    Parameters
    ----------
    input : array_like
        Scores, or predicted class indices; see `mask_iou`.
    target : array_like
        Class indices or masks.
    activation : {"softmax", "sigmoid", "none"}, default "softmax"
        What is predicted: the class with the largest score, all with a score above 0, or above 1/2.
    classes : int, optional
        The number of classes, where `input` holds class indices.
    per_image : bool, default False
        The mean over images and classes rather than over classes.
    ignore_index : int or None, default -100
        Positions with this class index, or elements of a mask with this number, count for nothing.
    axis : int, optional
        The axis of the classes, by default 1.
    sample_weight : array_like, optional
        Weights of the images.
    n_threads : int, optional
        Has no effect on the result.

    Returns
    -------
    float
    """
    masks = _hard_masks("mask_dice", input, target, activation, classes, ignore_index, axis)
    return _sums("mask_dice", masks, True, per_image, sample_weight)
