"""Losses of pairs of boxes on random ones: overlapping, nested and apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class BoxCase:
    """A loss and its parameters."""

    loss: str
    params: Mapping[str, Any] = field(default_factory=dict)
    arguments: ClassVar[tuple[str, ...]] = ("boxes1", "boxes2")

    def arrays(self, generator: np.random.Generator, size: int) -> dict[str, Array]:
        """So many pairs of boxes, in the format of the case; a few are apart, a few nested."""
        first = generator.uniform(0, 10, (size, 2))
        truth = np.concatenate([first, first + generator.uniform(0.5, 6, (size, 2))], 1)
        guess = truth + generator.normal(0, 0.6, (size, 4))
        guess[:, 2:] = np.maximum(guess[:, 2:], guess[:, :2] + 0.1)
        guess[::7] += 9.0
        guess[3::7] = truth[3::7] + np.array([0.1, 0.15, -0.12, -0.11])
        return {"boxes1": self._formatted(guess), "boxes2": self._formatted(truth)}

    def _formatted(self, boxes: Array) -> Array:
        format = self.params.get("format", "xyxy")
        first, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        if format == "xyxy":
            return boxes
        return np.concatenate([first + size / 2 if format == "cxcywh" else first, size], 1)

    def __str__(self) -> str:
        return "-".join([self.loss, *(f"{key}={value}" for key, value in self.params.items())])


def _formats(loss: str, **params: Any) -> tuple[BoxCase, ...]:
    return tuple(BoxCase(loss, {**params, "format": format}) for format in ("cxcywh", "xywh"))


CASES = (
    BoxCase("box_iou_loss"),
    BoxCase("box_iou_loss", {"log": True}),
    BoxCase("box_iou_loss", {"eps": 0.0}),
    *_formats("box_iou_loss", log=True, eps=0.01),
    BoxCase("generalized_box_iou_loss"),
    *_formats("generalized_box_iou_loss", eps=0.5),
    BoxCase("distance_box_iou_loss"),
    *_formats("distance_box_iou_loss", eps=0.5),
    BoxCase("complete_box_iou_loss"),
    *_formats("complete_box_iou_loss", eps=0.5),
    BoxCase("efficient_box_iou_loss"),
    *_formats("efficient_box_iou_loss", eps=0.5),
    BoxCase("alpha_iou_loss"),
    BoxCase("alpha_iou_loss", {"alpha": 0.5}),
    *_formats("alpha_iou_loss", alpha=1.0, eps=0.5),
    BoxCase("minimum_point_distance_iou_loss"),
    *_formats("minimum_point_distance_iou_loss", image_size=(48.0, 64.0), eps=0.5),
)
