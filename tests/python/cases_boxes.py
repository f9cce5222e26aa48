"""Losses of pairs of boxes on random ones: overlapping, nested and apart."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from cases_arrays import Array, ArrayCase
from references_boxes import CONSTANTS, REFERENCES


def pairs_of_boxes(generator: np.random.Generator, size: int, *, format: str = "xyxy") -> dict[str, Array]:
    """So many pairs of boxes; a few are apart, a few nested."""
    first = generator.uniform(0, 10, (size, 2))
    truth = np.concatenate([first, first + generator.uniform(0.5, 6, (size, 2))], 1)
    guess = truth + generator.normal(0, 0.6, (size, 4))
    guess[:, 2:] = np.maximum(guess[:, 2:], guess[:, :2] + 0.1)
    guess[::7] += 9.0
    guess[3::7] = truth[3::7] + np.array([0.1, 0.15, -0.12, -0.11])
    return {"boxes1": _formatted(guess, format), "boxes2": _formatted(truth, format)}


def _formatted(boxes: Array, format: str) -> Array:
    first, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    if format == "xyxy":
        return boxes
    return np.concatenate([first + size / 2 if format == "cxcywh" else first, size], 1)


def box_case(loss: str, params: dict[str, Any] | None = None) -> ArrayCase:
    """A loss of pairs of boxes with its parameters."""
    params = params or {}
    draw = functools.partial(pairs_of_boxes, format=params.get("format", "xyxy"))

    def constants(**arrays: Array) -> dict[str, Any]:
        name, function = CONSTANTS.get(loss, ("", None))
        return {name: function(**arrays, **params)} if function else {}

    def reference(weight: Any, **given: Any) -> list[Array]:
        return [REFERENCES[loss](**given)]

    return ArrayCase(loss, draw, params, reference, constants)


def _formats(loss: str, **params: Any) -> tuple[ArrayCase, ...]:
    return tuple(box_case(loss, {**params, "format": format}) for format in ("cxcywh", "xywh"))


CASES = (
    box_case("box_iou_loss"),
    box_case("box_iou_loss", {"log": True}),
    box_case("box_iou_loss", {"eps": 0.0}),
    *_formats("box_iou_loss", log=True, eps=0.01),
    box_case("generalized_box_iou_loss"),
    *_formats("generalized_box_iou_loss", eps=0.5),
    box_case("distance_box_iou_loss"),
    *_formats("distance_box_iou_loss", eps=0.5),
    box_case("complete_box_iou_loss"),
    *_formats("complete_box_iou_loss", eps=0.5),
    box_case("efficient_box_iou_loss"),
    *_formats("efficient_box_iou_loss", eps=0.5),
    box_case("alpha_iou_loss"),
    box_case("alpha_iou_loss", {"alpha": 0.5}),
    *_formats("alpha_iou_loss", alpha=1.0, eps=0.5),
    box_case("minimum_point_distance_iou_loss"),
    *_formats("minimum_point_distance_iou_loss", image_size=(48.0, 64.0), eps=0.5),
    box_case("scylla_box_iou_loss"),
    box_case("scylla_box_iou_loss", {"theta": 1.0}),
    *_formats("scylla_box_iou_loss", theta=2.5, eps=0.5),
    box_case("wise_box_iou_loss"),
    *_formats("wise_box_iou_loss", eps=0.5),
)
