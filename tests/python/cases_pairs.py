"""Losses of paired vectors on random ones: at moderate distances, so that hinges are on either side of their kink."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases_arrays import Array, ArrayCase, Draw

WIDTH = 7


def vectors(*names: str, **others: Any) -> Draw:
    """Vectors near each other, and what else a row has: `others` draw it."""

    def draw(generator: np.random.Generator, size: int, width: int = WIDTH) -> dict[str, Array]:
        middle = generator.normal(0, 1, (size, width))
        arrays = {name: middle + generator.normal(0, 0.7, (size, width)) / np.sqrt(width) for name in names}
        return arrays | {name: other(generator, size) for name, other in others.items()}

    return draw


def labels(*values: float) -> Any:
    return lambda generator, size: generator.choice(np.array(values, np.float64), size)


def numbers(generator: np.random.Generator, size: int) -> Array:
    return generator.uniform(-1, 1, size)


PAIR, TRIPLET = vectors("x1", "x2"), vectors("anchor", "positive", "negative")
CONTRASTIVE = vectors("x1", "x2", target=labels(0, 1))


def centers(generator: np.random.Generator, size: int, width: int = WIDTH) -> dict[str, Array]:
    return {
        "input": generator.normal(0, 1, (size, width)),
        "centers": generator.normal(0, 1, (4, width)),
        "target": generator.integers(0, 4, size),
    }


def _each(loss: str, draw: Draw, *params: dict[str, Any]) -> tuple[ArrayCase, ...]:
    return tuple(ArrayCase(loss, draw, p) for p in params)


PAIR_CASES = (
    *_each("pairwise_distance", PAIR, {}, {"p": 1.0, "eps": 0.0}, {"p": 3.5}, {"p": 1.5}, {"p": np.inf}),
    *_each("cosine_similarity", PAIR, {}, {"eps": 1e-3}),
    *_each("cosine_distance", PAIR, {}, {"eps": 0.0}),
    *_each("cosine_similarity_loss", vectors("x1", "x2", target=numbers), {}, {"eps": 0.0}),
    *_each("cosine_embedding_loss", vectors("input1", "input2", target=labels(-1, 1)), {}, {"margin": 0.85}),
    *_each(
        *("contrastive_loss", CONTRASTIVE, {}, {"margin": 1.2, "similar_label": 1, "scale": 1.0, "squared": False}),
        *({"distance": "cosine", "margin": 0.2, "positive_margin": 0.1}, {"distance": "dot", "margin": -6.0}),
        {"p": 3.0, "eps": 0.01, "positive_margin": 0.4},
    ),
    *_each(
        *("triplet_margin_loss", TRIPLET, {}, {"swap": True, "margin": 0.2}, {"squared": True, "margin": 0.1}),
        *({"soft_margin": True}, {"distance": "cosine", "margin": 0.05}, {"distance": "dot"}),
        *({"p": 1.0, "swap": True}, {"p": 4.0, "eps": 0.0}, {"p": np.inf, "margin": 0.1}),
        {"distance": "cosine", "swap": True, "soft_margin": True},
    ),
    *_each(
        *("quadruplet_loss", vectors("anchor", "positive", "negative1", "negative2")),
        *({}, {"margin1": 0.1, "margin2": 0.05, "squared": False}),
    ),
    *_each(
        *("margin_mse_loss", vectors("query", "positive", "negative", target=numbers)),
        *({}, {"similarity": "cosine"}),
    ),
    *_each("byol_loss", PAIR, {}, {"eps": 1e-3}),
    *_each("simsiam_loss", PAIR, {}, {"eps": 1e-3}),
    *_each("alignment_loss", PAIR, {}, {"alpha": 3.0}, {"alpha": 1.0}),
    *_each(
        *("online_contrastive_loss", CONTRASTIVE, {"margin": 0.2}, {"similar_label": 0}),
        {"distance": "lp", "margin": 1.2},
    ),
    *_each("center_loss", centers, {}, {"scale": 1.0}),
)
