"""Losses of pairs of boxes: object detection."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from . import _core
from ._config import thread_count
from ._core_kernels import box_kernels
from ._loss import Array, Result, boxes
from ._validation import as_input, choice, in_range, non_negative, positive

__all__ = [
    "alpha_iou_loss",
    "box_iou",
    "box_iou_loss",
    "complete_box_iou_loss",
    "distance_box_iou_loss",
    "efficient_box_iou_loss",
    "generalized_box_iou_loss",
    "minimum_point_distance_iou_loss",
    "scylla_box_iou_loss",
    "wise_box_iou_loss",
]

_FORMATS = {"xyxy": 0.0, "cxcywh": 1.0, "xywh": 2.0}


def _code(format: str) -> float:
    return _FORMATS[choice("format", format, _FORMATS)]


@boxes(trains=("boxes1",), aliases=("IoU", "soft Jaccard of boxes", "UnitBox", "bounding box regression"))
def box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    log: bool = False,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Intersection over union of two boxes as a loss.

    Formula: ``1 - IoU``, ``IoU = intersection / (union + eps)``; with `log`, ``-log(max(IoU, eps))``.
    Gradient: ``-dIoU``; with `log`, ``-dIoU / IoU``. 0 where the boxes do not meet; where both share an edge, each
        takes half of what that edge gives, so that equal boxes have a gradient of about `eps`.
    Domain: any corners. Boxes without, or with a negative, width or height have an IoU of 0; a NaN or infinite corner
        makes the loss and the gradients of its pair NaN.
    Source: Yu, Jiang, Wang, Cao and Huang (2016), UnitBox: an advanced object detection network.

    Parameters
    ----------
    {arrays}
    log : bool, default False
        Take the negative logarithm.
    {common}
    """
    return box_kernels.box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps), log=float(log))


@boxes(trains=("boxes1",), aliases=("GIoU",))
def generalized_box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generalized IoU: boxes that do not meet are drawn together by the smallest box around both.

    Formula: ``1 - IoU + (hull - union) / (hull + eps)``, with the area of the smallest enclosing box, the `hull`.
    Gradient: ``-dIoU`` and that of the second term; where both boxes share an edge, each takes half of what that edge
        gives.
    Domain: any corners. Boxes with a negative width or height overlap nothing and have a negative area; a NaN or
        infinite corner makes the loss and the gradients of its pair NaN.
    Source: Rezatofighi, Tsoi, Gwak, Sadeghian, Reid and Savarese (2019), Generalized intersection over union.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return box_kernels.generalized_box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps))


@boxes(trains=("boxes1",), aliases=("DIoU",))
def distance_box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Distance IoU: IoU and the distance of the centres.

    Formula: ``1 - IoU + |center1 - center2|**2 / (w**2 + h**2 + eps)``, with the sides of the smallest enclosing box.
    Gradient: ``-dIoU`` and that of the second term; where both boxes share an edge, each takes half of what that edge
        gives.
    Domain: any corners. Boxes with a negative width or height overlap nothing; a NaN or infinite corner makes the loss
        and the gradients of its pair NaN.
    Source: Zheng, Wang, Liu, Li, Ye and Ren (2020), Distance-IoU loss.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return box_kernels.distance_box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps))


@boxes(trains=("boxes1",), aliases=("CIoU",))
def complete_box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Complete IoU: IoU, the distance of the centres and the difference of the aspect ratios.

    Formula: ``DIoU + alpha * v``, ``v = (2 / pi * (atan(w2 / h2) - atan(w1 / h1)))**2``,
        ``alpha = v / (1 - IoU + v + eps)``, with `DIoU` the loss of `distance_box_iou_loss`.
    Gradient: that of ``DIoU + alpha * v``, where `alpha` counts as a constant.
    Domain: any corners. A height of 0 is the limit of small ones, and a box without width and height has the aspect
        ratio of the other one. Boxes with a negative width or height overlap nothing; a NaN or infinite corner makes
        the loss and the gradients of its pair NaN.
    Source: Zheng, Wang, Liu, Li, Ye and Ren (2020), Distance-IoU loss.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return box_kernels.complete_box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps))


@boxes(trains=("boxes1",), aliases=("EIoU",))
def efficient_box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Efficient IoU: IoU, the distance of the centres and the differences of width and height.

    Formula: ``DIoU + (w1 - w2)**2 / (w**2 + eps) + (h1 - h2)**2 / (h**2 + eps)``, with the sides ``w, h`` of the
        smallest enclosing box and `DIoU` the loss of `distance_box_iou_loss`.
    Gradient: the sum of those of the terms.
    Domain: any corners. Boxes with a negative width or height overlap nothing; a NaN or infinite corner makes the loss
        and the gradients of its pair NaN.
    Source: Zhang, Ren, Zhang, Jia, Wang and Tan (2022), Focal and efficient IOU loss.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return box_kernels.efficient_box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps))


@boxes(trains=("boxes1",), aliases=("power IoU",))
def alpha_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    alpha: float = 3.0,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Power of the IoU: above 1 it gives pairs of high IoU more of the gradient.

    Formula: ``1 - IoU**alpha``, ``IoU = intersection / (union + eps)``.
    Gradient: ``-alpha * IoU**(alpha - 1) * dIoU``; 0 where the boxes do not meet.
    Domain: any corners. Boxes without, or with a negative, width or height have an IoU of 0; a NaN or infinite corner
        makes the loss and the gradients of its pair NaN.
    Source: He, Erfani, Ma, Bailey, Chi and Hua (2021), Alpha-IoU: a family of power intersection over union losses.

    Parameters
    ----------
    {arrays}
    alpha : float, default 3.0
        The power; must be positive.
    {common}
    """
    return box_kernels.alpha_iou(
        boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps), alpha=positive("alpha", alpha)
    )


@boxes(trains=("boxes1",), aliases=("MPDIoU",))
def minimum_point_distance_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    image_size: tuple[float, float] = (1.0, 1.0),
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """IoU and the distances of two opposite corners, relative to the diagonal of the image.

    Formula: ``1 - IoU + (d1**2 + d2**2) / (height**2 + width**2)``, with the distances of the first and of the second
        corners.
    Gradient: the sum of those of the terms.
    Domain: any corners. Boxes with a negative width or height overlap nothing; a NaN or infinite corner makes the loss
        and the gradients of its pair NaN.
    Source: Ma and Xu (2023), MPDIoU: a loss for efficient and accurate bounding box regression.

    Parameters
    ----------
    {arrays}
    image_size : tuple of float, default (1.0, 1.0)
        Height and width of the image, in the unit of the boxes; both must be positive. The default is for boxes that
        are relative to their image.
    {common}
    """
    if np.shape(image_size) != (2,):
        raise ValueError(f"image_size must be a height and a width, got {image_size!r}")
    height, width = (positive("image_size", side) for side in image_size)
    diagonal = math.hypot(height, width)
    return box_kernels.minimum_point_distance_iou(
        boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps), diagonal=diagonal
    )


@boxes(trains=("boxes1",), aliases=("SIoU", "SCYLLA-IoU"))
def scylla_box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    theta: float = 4.0,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """SCYLLA IoU: IoU, the distance of the centres by the angle between them, and the difference of the shapes.

    Formula: ``1 - IoU + (distance + shape) / 2``; ``distance = 2 - exp(-g * (dx / w)**2) - exp(-g * (dy / h)**2)`` with
        the distances ``dx, dy`` of the centres, the sides ``w, h`` of the smallest enclosing box and ``g = 2 - 2 * |dx
        * dy| / (dx**2 + dy**2)``; ``shape = (1 - exp(-|w1 - w2| / max(w1, w2)))**theta``, and the same of the heights.
    Gradient: the sum of those of the terms; what an absolute value gives is 0 at 0.
    Domain: any corners. Boxes with a negative width or height overlap nothing, and the larger side is that of the
        larger magnitude; a NaN or infinite corner makes the loss and the gradients of its pair NaN.
    Source: Gevorgyan (2022), SIoU loss: more powerful learning for bounding box regression.

    Parameters
    ----------
    {arrays}
    theta : float, default 4.0
        The power of the differences of the shapes; must be 1 at least, the paper takes 2 to 6.
    {common}
    """
    power = in_range("theta", theta, 1.0, np.inf, inclusive="low")
    return box_kernels.scylla_box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps), theta=power)


@boxes(trains=("boxes1",), aliases=("WIoU", "WIoU v1"))
def wise_box_iou_loss(
    boxes1: ArrayLike,
    boxes2: ArrayLike,
    *,
    format: str = "xyxy",
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Wise IoU, version 1: the loss of the IoU, multiplied where the centres are apart.

    Formula: ``(1 - IoU) * exp(|center1 - center2|**2 / (w**2 + h**2 + eps))``, with the sides of the smallest enclosing
        box. Later versions multiply that of each pair by a factor that counts as a constant in the gradient.
    Gradient: that of the product, where the denominator of the exponent counts as a constant.
    Domain: any corners. Boxes with a negative width or height overlap nothing; a NaN or infinite corner makes the loss
        and the gradients of its pair NaN.
    Source: Tong, Chen, Xu and Yu (2023), Wise-IoU: bounding box regression loss with dynamic focusing mechanism.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return box_kernels.wise_box_iou(boxes1, boxes2, format=_code(format), eps=non_negative("eps", eps))


def box_iou(boxes1: ArrayLike, boxes2: ArrayLike, *, format: str = "xyxy", n_threads: int | None = None) -> Array:
    """Intersection over union of every box of one set with every box of another.

    Parameters
    ----------
    boxes1, boxes2 : array_like
        Sets of boxes, [N, 4] and [M, 4].
    format : {"xyxy", "cxcywh", "xywh"}, default "xyxy"
        What the four numbers are: opposite corners, centre and size, or first corner and size.
    n_threads : int, optional
        Threads to compute with.

    Returns
    -------
    ndarray
        The [N, M] matrix of IoU, between 0 and 1: 0 for boxes that do not meet or lack a positive width and height,
        NaN for those with a NaN or infinite corner.

    Raises
    ------
    ValueError, TypeError
        If an array is no set of boxes; the message names it.
    """
    first, second = as_input("box_iou", "boxes1", boxes1), as_input("box_iou", "boxes2", boxes2)
    matrix: Array = _core.box_iou(first, second, _code(format), thread_count(n_threads))
    return matrix
