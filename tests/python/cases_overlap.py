"""What the losses of overlaps are tested with: parameters, and arrays that go with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHAPE = (3, 4, 5, 7)


def scores(generator, shape):
    return 2.0 * generator.standard_normal(shape)


def labels(generator, shape):
    """Class 2 is absent from the first image."""
    y = generator.integers(0, max(shape[1], 2), (shape[0], *shape[2:]))
    y[0] = np.where(y[0] == 2, 1, y[0])
    return y


def ignoring_labels(generator, shape):
    y = labels(generator, shape)
    y[generator.random(y.shape) < 0.2] = -100
    return y


def soft(generator, shape):
    return generator.random(shape)


def hard(generator, shape):
    return generator.random(shape) < 0.3


def marked(generator, shape):
    """Masks of bytes in which 255 counts for nothing."""
    return np.where(generator.random(shape) < 0.2, 255, hard(generator, shape)).astype(np.uint8)


def distances(generator, shape):
    return generator.standard_normal(shape)


@dataclass(frozen=True)
class OverlapCase:
    loss: str
    params: dict[str, Any] = field(default_factory=dict)
    target: Callable[..., np.ndarray] = labels
    input: Callable[..., np.ndarray] = scores
    shape: tuple[int, ...] = SHAPE
    arguments: dict[str, Callable[..., np.ndarray]] = field(default_factory=dict)  # keyword arguments

    @property
    def id(self) -> str:
        params = "-".join(f"{k}={v if np.ndim(v) == 0 else '...'}" for k, v in self.params.items())
        return f"{self.loss}-{self.target.__name__}-{'x'.join(map(str, self.shape))}-{params}"

    def arrays(self, generator, images):
        """The positional arguments, for so many images."""
        shape = (images, *self.shape[1:])
        return {"input": self.input(generator, shape), "target": self.target(generator, shape)}

    def draw(self, seed=0, shape=None):
        """Scores, targets and keyword arguments."""
        generator = np.random.default_rng([seed, *self.id.encode()])
        shape = shape or self.shape
        more = {key: make(generator, shape) for key, make in self.arguments.items()}
        return self.input(generator, shape), self.target(generator, shape), more


def _case(loss, target=labels, shape=SHAPE, input=scores, arrays=None, **params):
    return OverlapCase(loss, params, target, input, shape, arrays or {})


_ONE = (2, 1, 6, 5)
_SHARED = ("dice_loss", "jaccard_loss", "tversky_loss", "focal_tversky_loss", "log_cosh_dice_loss")

OVERLAP_CASES = [
    *(
        case
        for loss in _SHARED
        for case in (
            _case(loss),
            _case(loss, soft, form="product", activation="sigmoid"),
            _case(loss, soft, form="minimum"),
            _case(loss, soft, form="squared", activation="none", input=soft),
            _case(loss, hard, _ONE, activation="sigmoid", form="minimum"),
            _case(loss, ignoring_labels, form="squared", smooth_nr=0.0, smooth_dr=1.0, include_background=False),
            _case(loss, ignoring_labels, batch=True, absent="zero", weight=[1.0, 2.0, 0.5, 0.0]),
            _case(loss, marked, activation="sigmoid", ignore_index=255, absent="zero"),
        )
    ),
    _case("dice_loss", shape=(2, 3)),
    _case("dice_loss", shape=(2, 3, 2, 3, 4)),
    _case("dice_loss", shape=(2, 70, 5)),
    _case("dice_loss", labels, _ONE, activation="sigmoid"),
    *(_case("dice_loss", shape=(2, classes, 130)) for classes in (2, 3, 4, 5)),
    *(_case(loss, log_loss=True, eps=0.4) for loss in ("dice_loss", "jaccard_loss", "tversky_loss")),
    *(_case(loss, soft, log_loss=True) for loss in ("dice_loss", "jaccard_loss", "tversky_loss")),
    _case("tversky_loss", alpha=0.2, beta=0.9),
    _case("focal_tversky_loss", alpha=0.5, beta=0.5, gamma=2.0, reduce_first=True),
    _case("focal_tversky_loss", gamma=1.0, reduce_first=True, absent="zero", weight=[1.0, 2.0, 0.5, 0.0], batch=True),
    _case("generalized_dice_loss"),
    _case("generalized_dice_loss", soft, weight_type="simple", activation="sigmoid", batch=True),
    _case("generalized_dice_loss", ignoring_labels, weight_type="uniform", include_background=False, absent="zero"),
    _case(
        "generalized_dice_loss",
        marked,
        ignore_index=255,
        activation="none",
        input=soft,
        smooth_nr=0.0,
        smooth_dr=0.5,
        weight=[1.0, 2.0, 3.0, 4.0],
    ),
    _case("mcc_loss"),
    _case("mcc_loss", soft, smooth=1.0, activation="sigmoid", batch=True),
    _case("mcc_loss", ignoring_labels, include_background=False, absent="zero", weight=[1.0, 0.5, 2.0]),
    _case("mcc_loss", marked, activation="none", input=soft, ignore_index=255),
    _case("boundary_loss", distances),
    _case("boundary_loss", distances, activation="sigmoid", include_background=False, weight=[1.0, 2.0, 3.0]),
    _case("boundary_loss", distances, activation="none", input=soft, batch=True),
    _case("hausdorff_dt_loss"),
    _case("hausdorff_dt_loss", hard, activation="sigmoid", batch=True, arrays={"distance": soft}),
    _case(
        "hausdorff_dt_loss",
        ignoring_labels,
        include_background=False,
        weight=[1.0, 2.0, 3.0],
        arrays={"distance": soft},
    ),
    _case("hausdorff_dt_loss", marked, ignore_index=255, activation="none", input=soft),
    _case("generalized_wasserstein_dice_loss"),
    _case(
        "generalized_wasserstein_dice_loss",
        ignoring_labels,
        batch=True,
        smooth_nr=0.5,
        smooth_dr=1.0,
        cost=[[0, 1, 1, 1], [1, 0, 0.3, 0.5], [1, 0.3, 0, 0.2], [1, 0.5, 0.2, 0]],
    ),
    _case("generalized_wasserstein_dice_loss", activation="sigmoid", ignore_index=None),
    _case("generalized_wasserstein_dice_loss", activation="none", input=soft),
    _case("dice_ce_loss"),
    _case("dice_ce_loss", soft, activation="sigmoid", form="minimum", lambda_dice=0.3, lambda_ce=2.0),
    _case("dice_ce_loss", ignoring_labels, include_background=False, form="squared", batch=True, absent="zero"),
    _case(
        "dice_ce_loss",
        marked,
        activation="sigmoid",
        ignore_index=255,
        weight=[1.0, 2.0, 0.5, 0.0],
        smooth_nr=0.0,
        smooth_dr=1.0,
    ),
    _case("dice_focal_loss"),
    _case("dice_focal_loss", soft, activation="sigmoid", form="minimum", lambda_dice=0.3, lambda_focal=2.0, gamma=1.5),
    _case("dice_focal_loss", ignoring_labels, include_background=False, form="squared", batch=True, absent="zero"),
    _case(
        "dice_focal_loss",
        hard,
        _ONE,
        activation="sigmoid",
        ignore_index=None,
        gamma=0.5,
        weight=[2.0],
        smooth_nr=0.0,
        smooth_dr=1.0,
    ),
    _case("asymmetric_unified_focal_loss"),
    _case("asymmetric_unified_focal_loss", hard, _ONE, delta=0.4, gamma=0.2, lambda_focal=0.8),
    _case("asymmetric_unified_focal_loss", soft, batch=True, weight=[1.0, 2.0, 0.5, 0.0], smooth_nr=0.5, smooth_dr=1.0),
    _case("asymmetric_unified_focal_loss", ignoring_labels, include_background=False, absent="zero", gamma=0.0),
    _case("asymmetric_unified_focal_loss", marked, ignore_index=255),
    _case("lovasz_hinge_loss"),
    _case("lovasz_hinge_loss", hard, _ONE, batch=True),
    _case("lovasz_hinge_loss", ignoring_labels, include_background=False),
    _case("lovasz_hinge_loss", marked, ignore_index=255),
    _case("lovasz_softmax_loss"),
    _case("lovasz_softmax_loss", hard, activation="sigmoid", classes="all"),
    _case("lovasz_softmax_loss", ignoring_labels, include_background=False, batch=True),
    _case("lovasz_softmax_loss", marked, ignore_index=255, activation="none", input=soft),
]
