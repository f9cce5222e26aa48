"""Losses of pairs of boxes in plain NumPy, one value per pair; written from the papers, not from the kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def corners(boxes: Array, format: str) -> tuple[Array, ...]:
    """Left, top, right and bottom edges."""
    a, b, c, d = np.moveaxis(boxes, -1, 0)
    if format == "cxcywh":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return (a, b, a + c, b + d) if format == "xywh" else (a, b, c, d)


class Pair:
    """What the formulas are made of."""

    def __init__(self, boxes1: Array, boxes2: Array, format: str, eps: float) -> None:
        self.first, self.second = corners(boxes1, format), corners(boxes2, format)
        (x1, y1, x2, y2), (u1, v1, u2, v2) = self.first, self.second
        self.w1, self.h1, self.w2, self.h2 = x2 - x1, y2 - y1, u2 - u1, v2 - v1
        iw, ih = np.minimum(x2, u2) - np.maximum(x1, u1), np.minimum(y2, v2) - np.maximum(y1, v1)
        common = np.where((iw > 0) & (ih > 0), iw * ih, 0.0)
        self.union = self.w1 * self.h1 + self.w2 * self.h2 - common
        self.iou = common / (self.union + eps)
        self.hull_w, self.hull_h = np.maximum(x2, u2) - np.minimum(x1, u1), np.maximum(y2, v2) - np.minimum(y1, v1)
        self.centers = ((x1 + x2 - u1 - u2) / 2) ** 2 + ((y1 + y2 - v1 - v2) / 2) ** 2
        self.distance = self.centers / (self.hull_w**2 + self.hull_h**2 + eps)


def box_iou_loss(boxes1, boxes2, log=False, format="xyxy", eps=1e-7):
    iou = Pair(boxes1, boxes2, format, eps).iou
    return -np.log(np.maximum(iou, eps)) if log else 1 - iou


def generalized_box_iou_loss(boxes1, boxes2, format="xyxy", eps=1e-7):
    p = Pair(boxes1, boxes2, format, eps)
    hull = p.hull_w * p.hull_h
    return 1 - p.iou + (hull - p.union) / (hull + eps)


def distance_box_iou_loss(boxes1, boxes2, format="xyxy", eps=1e-7):
    p = Pair(boxes1, boxes2, format, eps)
    return 1 - p.iou + p.distance


def complete_box_iou_loss(boxes1, boxes2, format="xyxy", eps=1e-7, alpha=None):
    """`alpha` as a constant, for derivatives; by default what the formula says."""
    p = Pair(boxes1, boxes2, format, eps)
    v = (2 / np.pi * (np.arctan2(p.w2, p.h2) - np.arctan2(p.w1, p.h1))) ** 2
    return 1 - p.iou + p.distance + (v / (1 - p.iou + v + eps) if alpha is None else alpha) * v


def complete_alpha(boxes1, boxes2, format="xyxy", eps=1e-7):
    """The factor that counts as a constant in the gradient of the complete IoU."""
    p = Pair(boxes1, boxes2, format, eps)
    v = (2 / np.pi * (np.arctan2(p.w2, p.h2) - np.arctan2(p.w1, p.h1))) ** 2
    return v / (1 - p.iou + v + eps)


def efficient_box_iou_loss(boxes1, boxes2, format="xyxy", eps=1e-7):
    p = Pair(boxes1, boxes2, format, eps)
    wide, high = (p.w1 - p.w2) ** 2 / (p.hull_w**2 + eps), (p.h1 - p.h2) ** 2 / (p.hull_h**2 + eps)
    return 1 - p.iou + p.distance + wide + high


def alpha_iou_loss(boxes1, boxes2, alpha=3.0, format="xyxy", eps=1e-7):
    return 1 - Pair(boxes1, boxes2, format, eps).iou ** alpha


def minimum_point_distance_iou_loss(boxes1, boxes2, image_size=(1.0, 1.0), format="xyxy", eps=1e-7):
    p = Pair(boxes1, boxes2, format, eps)
    squares = sum((one - other) ** 2 for one, other in zip(p.first, p.second, strict=True))
    return 1 - p.iou + squares / (image_size[0] ** 2 + image_size[1] ** 2)


def scylla_box_iou_loss(boxes1, boxes2, theta=4.0, format="xyxy", eps=1e-7):
    p = Pair(boxes1, boxes2, format, eps)
    (x1, y1, x2, y2), (u1, v1, u2, v2) = p.first, p.second
    dx, dy = (x1 + x2 - u1 - u2) / 2, (y1 + y2 - v1 - v2) / 2
    angle = np.sin(2 * np.arctan2(abs(dy), abs(dx)))
    rho = dx**2 / (p.hull_w**2 + eps), dy**2 / (p.hull_h**2 + eps)
    distance = sum(1 - np.exp((angle - 2) * r) for r in rho)
    omega = abs(p.w1 - p.w2) / np.maximum(p.w1, p.w2), abs(p.h1 - p.h2) / np.maximum(p.h1, p.h2)
    return 1 - p.iou + (distance + sum((1 - np.exp(-o)) ** theta for o in omega)) / 2


def wise_box_iou_loss(boxes1, boxes2, format="xyxy", eps=1e-7, diagonal=None):
    """`diagonal` squared as a constant, for derivatives; by default that of the hull."""
    p = Pair(boxes1, boxes2, format, eps)
    return (1 - p.iou) * np.exp(
        p.centers / (wise_diagonal(boxes1, boxes2, format, eps) if diagonal is None else diagonal)
    )


def wise_diagonal(boxes1, boxes2, format="xyxy", eps=1e-7):
    """The denominator that counts as a constant in the gradient of the wise IoU."""
    p = Pair(boxes1, boxes2, format, eps)
    return p.hull_w**2 + p.hull_h**2 + eps


# Parameters of references that count as constants in a derivative.
CONSTANTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "complete_box_iou_loss": ("alpha", complete_alpha),
    "wise_box_iou_loss": ("diagonal", wise_diagonal),
}
REFERENCES: dict[str, Callable[..., Any]] = {
    "alpha_iou_loss": alpha_iou_loss,
    "box_iou_loss": box_iou_loss,
    "complete_box_iou_loss": complete_box_iou_loss,
    "distance_box_iou_loss": distance_box_iou_loss,
    "efficient_box_iou_loss": efficient_box_iou_loss,
    "generalized_box_iou_loss": generalized_box_iou_loss,
    "minimum_point_distance_iou_loss": minimum_point_distance_iou_loss,
    "scylla_box_iou_loss": scylla_box_iou_loss,
    "wise_box_iou_loss": wise_box_iou_loss,
}
