"""Losses of paired vectors in plain NumPy, one value per row, at whatever precision the arrays have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def norm(u: Array, p: float) -> Array:
    if p == np.inf:
        return abs(u).max(-1)
    return (abs(u) ** p).sum(-1) ** (1 / u.dtype.type(p))


def cosine(x: Array, y: Array, eps: float = 1e-8) -> Array:
    lengths = [np.sqrt((v * v).sum(-1)) for v in (x, y)]
    product = np.maximum(lengths[0], eps) * np.maximum(lengths[1], eps)
    return (x * y).sum(-1) / np.where(product == 0, 1, product)


def distance(x: Array, y: Array, kind: str = "lp", p: float = 2.0, eps: float = 0.0) -> Array:
    if kind == "cosine":
        return 1 - cosine(x, y)
    return -(x * y).sum(-1) if kind == "dot" else norm(x - y + x.dtype.type(eps), p)


def squared(x: Array, y: Array) -> Array:
    return ((x - y) ** 2).sum(-1)


def hinge(x: Array) -> Array:
    return np.maximum(x, 0)


def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6) -> Array:
    return distance(x1, x2, "lp", p, eps)


def cosine_distance(x1: Array, x2: Array, eps: float = 1e-8) -> Array:
    return 1 - cosine(x1, x2, eps)


def cosine_similarity_loss(x1: Array, x2: Array, target: Array, eps: float = 1e-8) -> Array:
    return (cosine(x1, x2, eps) - target) ** 2


def cosine_embedding_loss(input1: Array, input2: Array, target: Array, margin: float = 0.0) -> Array:
    c = cosine(input1, input2, 0.0)
    return np.where(target == 1, 1 - c, np.where(target == -1, hinge(c - margin), 0))


def contrastive_loss(
    x1: Array,
    x2: Array,
    target: Array,
    margin: float = 1.0,
    similar_label: int = 0,
    scale: float = 0.5,
    squared: bool = True,
    distance: str = "lp",
    positive_margin: float = 0.0,
    p: float = 2.0,
    eps: float = 0.0,
) -> Array:
    d, unlike = globals()["distance"](x1, x2, distance, p, eps), target if similar_label == 0 else 1 - target
    power = 2 if squared else 1
    return scale * ((1 - unlike) * hinge(d - positive_margin) ** power + unlike * hinge(margin - d) ** power)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    squared: bool = False,
    soft_margin: bool = False,
    distance: str = "lp",
) -> Array:
    def d(x: Array, y: Array) -> Array:
        return ((x - y) ** 2).sum(-1) if squared else globals()["distance"](x, y, distance, p, eps)

    far = np.minimum(d(anchor, negative), d(positive, negative)) if swap else d(anchor, negative)
    gap = d(anchor, positive) - far
    return np.log1p(np.exp(gap)) if soft_margin else hinge(gap + margin)


def quadruplet_loss(
    anchor: Array,
    positive: Array,
    negative1: Array,
    negative2: Array,
    margin1: float = 1.0,
    margin2: float = 0.5,
    squared: bool = True,
) -> Array:
    def d(x: Array, y: Array) -> Array:
        return ((x - y) ** 2).sum(-1) if squared else distance(x, y)

    near = d(anchor, positive)
    return hinge(near - d(anchor, negative1) + margin1) + hinge(near - d(negative1, negative2) + margin2)


def margin_mse_loss(query: Array, positive: Array, negative: Array, target: Array, similarity: str = "dot") -> Array:
    def score(x: Array, y: Array) -> Array:
        return cosine(x, y) if similarity == "cosine" else (x * y).sum(-1)

    return (score(query, positive) - score(query, negative) - target) ** 2


def center_loss(input: Array, centers: Array, target: Array, scale: float = 0.5) -> Array:
    return scale * squared(input, centers[target])


def online_contrastive_loss(
    x1: Array, x2: Array, target: Array, margin: float = 0.5, similar_label: int = 1, distance: str = "cosine"
) -> Array:
    d, similar = globals()["distance"](x1, x2, distance), target == similar_label
    near, far = d[similar], d[~similar]
    farthest = near.max() if len(near) > 1 else far.mean() if len(far) else 0
    nearest = far.min() if len(far) > 1 else near.mean() if len(near) else 0
    return np.where(similar, (d > nearest) * d**2, (d < farthest) * hinge(margin - d) ** 2)


PAIR_REFERENCES: dict[str, Callable[..., Any]] = {
    "pairwise_distance": pairwise_distance,
    "cosine_similarity": lambda x1, x2, eps=1e-8: cosine(x1, x2, eps),
    "cosine_distance": cosine_distance,
    "cosine_similarity_loss": cosine_similarity_loss,
    "cosine_embedding_loss": cosine_embedding_loss,
    "contrastive_loss": contrastive_loss,
    "triplet_margin_loss": triplet_margin_loss,
    "quadruplet_loss": quadruplet_loss,
    "margin_mse_loss": margin_mse_loss,
    "center_loss": center_loss,
    "byol_loss": lambda x1, x2, eps=1e-12: 2 - 2 * cosine(x1, x2, eps),
    "simsiam_loss": lambda x1, x2, eps=1e-8: -cosine(x1, x2, eps),
    "alignment_loss": lambda x1, x2, alpha=2.0: norm(x1 - x2, 2.0) ** alpha,
    "online_contrastive_loss": online_contrastive_loss,
}
