"""Losses of whole batches, which are compositions, on example arrays, and what they are in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cases_arrays import Array, ArrayCase

# By argument, the shapes that do not depend on the number of vectors.
VIEWS = {"x1": (4,), "x2": (4,)}
WIDE_VIEWS = {"x1": (37,), "x2": (37,)}  # more than the lanes of a sum
VECTORS = {"input": (4,)}
GUIDED = {"anchor": (4,), "positive": (4,), "guide_anchor": (3,), "guide_positive": (3,)}
TOKENS = {"query": (3, 4), "document": (5, 4)}
CLASSIFIED = {**VECTORS, "target": ()}
SCORES = {"positive": (), "negative": (9,)}
DISTANCES = {"positive_distance": (), "negative_distance": (5,)}
# Enough vectors for several blocks of rows.
AT_MOST = {"gist_embed_loss": 700, "multi_vector_ranking_loss": 300}

# Gradients are products of matrices in the precision of the vectors, in which differences of these cancel.
IN_PRODUCTS = frozenset({"uniformity_loss", "align_uniform_loss"})


def batch_case(loss: str, shapes: Mapping[str, tuple[int, ...]], params: Mapping[str, Any] | None = None) -> ArrayCase:
    """A loss of a whole batch on random vectors or scores."""

    def draw(generator: np.random.Generator, n: int) -> dict[str, Array]:
        n = min(n, AT_MOST.get(loss, n))

        def one(name: str, shape: tuple[int, ...]) -> Array:
            normal = generator.normal(size=(n, *shape))
            if name == "target":  # some are alike
                return np.rint(normal) if shapes is not CLASSIFIED else generator.integers(0, n // 2 + 1, n) * 1.0
            if name.endswith("mask"):
                return np.where(np.arange(shape[0]) == 0, 1.0, np.rint(normal) != 0.0)
            return np.maximum(normal, 0.0) if name.endswith("weight") else normal

        return {name: one(name, shape) for name, shape in shapes.items()}

    def reference(weight: None, **given: Any) -> list[Array]:
        return [np.asarray(BATCH_REFERENCES[loss](**given))]

    return ArrayCase(loss, draw, params or {}, reference)


def _verified(generator: np.random.Generator, n: int) -> dict[str, Array]:
    return {
        "input": generator.normal(size=(n, 4)),
        "enrolment": generator.normal(size=(n, 3, 4)),
        "weight": generator.uniform(2, 8, n),
        "bias": generator.normal(size=n),
        "target": generator.integers(0, 2, n).astype(float),
    }


def _verification(_: None, input, enrolment, weight, bias, target) -> list[Array]:
    s = weight * _cosines(input, enrolment.mean(1)) + bias
    return [np.logaddexp(0.0, s) - target * s]


BATCH_CASES = (
    ArrayCase("te2e_loss", _verified, {}, _verification),
    batch_case("vicreg_loss", VIEWS),
    batch_case("vicreg_loss", VIEWS, {"invariance": 1.0, "variance": 2.0, "covariance": 0.5, "eps": 0.01}),
    batch_case("vicreg_loss", VIEWS, {"halve_variance": False}),
    batch_case("vicreg_loss", WIDE_VIEWS),
    batch_case("barlow_twins_loss", VIEWS),
    batch_case("barlow_twins_loss", WIDE_VIEWS, {"redundancy": 0.1}),
    batch_case("barlow_twins_loss", VIEWS, {"redundancy": 0.1, "eps": 0.01}),
    batch_case("global_orthogonal_regularization", VECTORS),
    batch_case("global_orthogonal_regularization", {"input": (40,)}, {"scale": 3.0}),
    batch_case("flops_loss", VECTORS),
    batch_case("flops_loss", {"input": (37,)}),
    batch_case("uniformity_loss", VECTORS),
    batch_case("uniformity_loss", VECTORS, {"t": 0.5}),
    batch_case("align_uniform_loss", VIEWS),
    batch_case("align_uniform_loss", VIEWS, {"alpha": 3.0, "t": 0.5, "align": 2.0, "uniform": 0.5}),
    batch_case("siamese_score_triplet_loss", SCORES),
    batch_case("siamese_score_triplet_loss", SCORES | {"positive_weight": (), "negative_weight": (9,)}),
    batch_case("self_adversarial_negative_sampling_loss", DISTANCES, {"gamma": 0.5, "temperature": 0.0}),
    batch_case("histogram_loss", CLASSIFIED, {"bins": 7}),
    batch_case("histogram_loss", CLASSIFIED),
    batch_case("intra_pair_variance_loss", CLASSIFIED),
    batch_case("intra_pair_variance_loss", CLASSIFIED, {"positive_eps": 0.25, "negative_eps": -0.5}),
    batch_case("threshold_consistent_margin_loss", CLASSIFIED),
    batch_case(
        "threshold_consistent_margin_loss",
        CLASSIFIED,
        {"positive_margin": 0.25, "negative_margin": -0.25, "positive_weight": 2.0, "negative_weight": 0.5},
    ),
    batch_case("gist_embed_loss", GUIDED, {"temperature": 0.25}),
    batch_case("gist_embed_loss", GUIDED, {"temperature": 0.5, "margin": 0.25, "contrast_anchors": False}),
    batch_case(
        "gist_embed_loss",
        {**GUIDED, "negatives": (4,), "guide_negatives": (3,)},
        {"temperature": 1.0, "margin": 0.125, "margin_strategy": "relative", "contrast_positives": False},
    ),
    batch_case("multi_vector_ranking_loss", TOKENS),
    batch_case("multi_vector_ranking_loss", {**TOKENS, "query_mask": (3,), "document_mask": (5,)}, {"scale": 0.5}),
    batch_case("cosent_loss", {"input": (5,), "target": (5,)}, {"scale": 3.0}),
    batch_case("cosent_embedding_loss", VIEWS | {"target": ()}),
    batch_case("cosent_embedding_loss", VIEWS | {"target": ()}, {"scale": 0.5}),
    batch_case("angle_loss", VIEWS | {"target": ()}),
    batch_case("angular_loss", CLASSIFIED),
    batch_case("angular_loss", CLASSIFIED, {"alpha": 30.0, "normalize_negatives": False}),
    batch_case("angle_loss", {"x1": (5,), "x2": (5,), "target": ()}, {"scale": 3.0}),
)


def _spread_of(x: Array, eps: float, weight: float, covariance: float) -> Any:
    moments = np.cov(x.T)
    lack = np.maximum(0, 1 - np.sqrt(np.diagonal(moments) + eps))
    apart = moments - np.diag(np.diagonal(moments))
    return weight * lack.mean() + covariance * (apart**2).sum() / x.shape[1]


def _vicreg(x1, x2, invariance=25.0, variance=25.0, covariance=1.0, eps=1e-4, halve_variance=True):
    weight = variance / (2 if halve_variance else 1)
    return invariance * ((x1 - x2) ** 2).mean() + sum(_spread_of(x, eps, weight, covariance) for x in (x1, x2))


def _barlow(x1, x2, redundancy=5e-3, eps=1e-6):
    a, b = ((x - x.mean(0)) / (x.std(0, ddof=1) + eps) for x in (x1, x2))
    c = a.T @ b / len(x1)
    same = np.diagonal(c)
    return ((1 - same) ** 2).sum() + redundancy * ((c**2).sum() - (same**2).sum())


def _orthogonal(input, scale=1.0):
    unit = input / np.linalg.norm(input, axis=1, keepdims=True)
    apart = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    return scale * (apart.mean() ** 2 + max(0.0, (apart**2).mean() - 1 / input.shape[1]))


def _uniformity(input, t=2.0):
    pairs = np.triu_indices(len(input), 1)
    return np.log(np.exp(-t * ((input[:, None] - input) ** 2).sum(-1)[pairs]).mean())


def _align_uniform(x1, x2, alpha=2.0, t=2.0, align=1.0, uniform=1.0):
    near = (np.linalg.norm(x1 - x2, axis=1) ** alpha).mean()
    return align * near + uniform * (_uniformity(x1, t) + _uniformity(x2, t)) / 2


def _score_pairs(positive, negative, positive_weight=None, negative_weight=None):
    w = np.ones_like(positive) if positive_weight is None else np.array(positive_weight)
    v = np.ones_like(negative) if negative_weight is None else np.array(negative_weight)
    each = np.logaddexp(0, negative.ravel() - positive.ravel()[:, None])
    return (w.ravel()[:, None] * v.ravel() * each).sum() / (w.sum() * v.sum())


def _self_adversarial(positive_distance, negative_distance, gamma=12.0, temperature=1.0):
    weight = np.exp(-temperature * negative_distance)
    weight /= weight.sum(-1, keepdims=True)
    far = (weight * np.logaddexp(0, gamma - negative_distance)).sum(-1)
    return (np.logaddexp(0, positive_distance - gamma) + far).mean()


def _cosent(input, target, scale=20.0):
    z, y = scale * input.ravel(), target.ravel()
    return np.logaddexp.reduce([0.0, *(z[:, None] - z)[y[:, None] < y]])


def _cosines(x1, x2):
    return (x1 * x2).sum(-1) / np.linalg.norm(x1, axis=-1) / np.linalg.norm(x2, axis=-1)


def _angles(x1, x2):
    half = -(-x1.shape[1] // 2)
    u, v = np.zeros((2, len(x1), half), complex)
    for z, x in ((u, x1), (v, x2)):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        z.real = unit[:, :half]
        z.imag[:, : x.shape[1] - half] = unit[:, half:]
    q = u * v.conj()
    return abs((q.real + q.imag).sum(1))


def _angular(input, target, alpha=40.0, normalize_negatives=True):
    unit, t = input / np.linalg.norm(input, axis=1, keepdims=True), np.tan(np.radians(alpha)) ** 2
    negatives, values = unit if normalize_negatives else input, []
    for a, p in np.argwhere((target[:, None] == target) & ~np.eye(len(target), dtype=bool)):
        far = 4 * t * negatives[target != target[a]] @ (unit[a] + unit[p])
        values.append(np.logaddexp.reduce([0.0, *(far - 2 * (1 + t) * unit[a] @ unit[p])]))
    return np.mean(values) if values else 0.0


def _histograms(input, target, bins=100):
    unit = input / np.linalg.norm(input, axis=1, keepdims=True)
    s = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    same = (target[:, None] == target)[np.triu_indices(len(unit), 1)]
    if same.all() or not same.any():
        return 0.0
    shares = np.maximum(0, 1 - abs(s[:, None] - np.linspace(-1, 1, bins + 1)) * bins / 2)
    return shares[~same].mean(0) @ np.cumsum(shares[same].mean(0))


def _kinds(input, target):
    """The cosines of the pairs of the same class, and of two."""
    unit, pairs = input / np.linalg.norm(input, axis=1, keepdims=True), np.triu_indices(len(input), 1)
    s, same = (unit @ unit.T)[pairs], (target[:, None] == target)[pairs]
    return s[same], s[~same]


def _intra_pair_variance(input, target, positive_eps=0.01, negative_eps=0.01):
    same, other = _kinds(input, target)
    lack = np.maximum(0, (1 - positive_eps) * same.mean() - same) if same.size else np.zeros(1)
    excess = np.maximum(0, other - (1 + negative_eps) * other.mean()) if other.size else np.zeros(1)
    return (lack**2).mean() + (excess**2).mean()


def _threshold_consistent(
    input, target, positive_margin=0.9, negative_margin=0.5, positive_weight=1.0, negative_weight=1.0
):
    same, other = _kinds(input, target)
    lack, excess = positive_margin - same[same <= positive_margin], other[other >= negative_margin] - negative_margin
    parts = (positive_weight, lack), (negative_weight, excess)
    return sum((weight * hard.mean() for weight, hard in parts if hard.size), 0.0)


def _guided(
    anchor,
    positive,
    guide_anchor,
    guide_positive,
    negatives=None,
    guide_negatives=None,
    temperature=0.01,
    margin=0.0,
    margin_strategy="absolute",
    contrast_anchors=True,
    contrast_positives=True,
):
    def cosines(a, b):
        return np.array([_cosines(x, b) for x in a])

    n, values = len(anchor), []
    limit = _cosines(guide_anchor, guide_positive)
    limit = limit - margin * (abs(limit) if margin_strategy == "relative" else 1.0)
    blocks = [(anchor, positive, guide_anchor, guide_positive)]
    blocks += [(anchor, anchor, guide_anchor, guide_anchor)] * contrast_anchors
    blocks += [(positive, positive, guide_positive, guide_positive)] * contrast_positives
    blocks += [(anchor, negatives, guide_anchor, guide_negatives)] * (negatives is not None)
    scores, kept = [], []
    for k, (a, b, of_a, of_b) in enumerate(blocks):
        scores.append(cosines(a, b) / temperature)
        kept.append(cosines(of_a, of_b) <= limit[:, None])
        if k == 0 or a is b:
            kept[k][np.arange(n), np.arange(n)] = k == 0
    scores, kept = np.hstack(scores), np.hstack(kept)
    for i in range(n):
        values.append(np.logaddexp.reduce(scores[i, kept[i]]) - scores[i, i])
    return np.mean(values)


def _late_interaction(query, document, query_mask=None, document_mask=None, scale=1.0):
    scores = np.zeros((len(query), len(document)))
    for i, j in np.ndindex(scores.shape):
        own = query[i] if query_mask is None else query[i][query_mask[i] != 0]
        other = document[j] if document_mask is None else document[j][document_mask[j] != 0]
        scores[i, j] = scale * (own @ other.T).max(1).sum()
    return (np.logaddexp.reduce(scores, axis=1) - np.diag(scores)).mean()


BATCH_REFERENCES: dict[str, Callable[..., Any]] = {
    "vicreg_loss": _vicreg,
    "barlow_twins_loss": _barlow,
    "global_orthogonal_regularization": _orthogonal,
    "flops_loss": lambda input: (input.mean(0) ** 2).sum(),
    "uniformity_loss": _uniformity,
    "align_uniform_loss": _align_uniform,
    "siamese_score_triplet_loss": _score_pairs,
    "self_adversarial_negative_sampling_loss": _self_adversarial,
    "cosent_loss": _cosent,
    "cosent_embedding_loss": lambda x1, x2, **given: _cosent(_cosines(x1, x2), **given),
    "angular_loss": _angular,
    "histogram_loss": _histograms,
    "intra_pair_variance_loss": _intra_pair_variance,
    "threshold_consistent_margin_loss": _threshold_consistent,
    "multi_vector_ranking_loss": _late_interaction,
    "gist_embed_loss": _guided,
    "angle_loss": lambda x1, x2, **given: _cosent(_angles(x1, x2), **given),
}
