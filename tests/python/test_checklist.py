"""The losses that people come for, by the names they use: each is there, and is the formula that they know.

Values are compared with those formulas in float64, gradients with central differences of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fusedloss as fl
import numpy as np
import pytest
from cases_compositions import generalized_end_to_end

Array = np.ndarray

ROWS, CLASSES, WIDTH = 6, 4, 5


@dataclass(frozen=True)
class Entry:
    """What a loss is called, where it is, and what it is of some arrays."""

    name: str
    loss: str
    formula: Callable[..., Any]
    arrays: Mapping[str, Callable[[np.random.Generator], Any]]
    params: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "_")


# ---- arrays -----------------------------------------------------------------------------------------


def normal(*shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda generator: generator.normal(size=shape)


def signs(*shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda generator: np.where(generator.uniform(size=shape) < 0.5, -1.0, 1.0)


def bits(*shape: int) -> Callable[[np.random.Generator], Array]:
    return lambda generator: (np.arange(np.prod(shape)) % 2).reshape(shape).astype(float)


def probabilities(*shape: int) -> Callable[[np.random.Generator], Array]:
    """Between 0 and 1; along the last of several axes they add up to 1."""

    def draw(generator: np.random.Generator) -> Array:
        p = generator.uniform(0.05, 0.95, shape)
        return p / p.sum(-1, keepdims=True) if len(shape) > 1 else p

    return draw


def labels(count: int, classes: int = CLASSES) -> Callable[[np.random.Generator], Array]:
    return lambda generator: np.arange(count) * 7 % classes


def boxes(generator: np.random.Generator) -> Array:
    first = generator.uniform(0, 2, (ROWS, 2))
    return np.concatenate([first, first + generator.uniform(1, 4, (ROWS, 2))], 1)


PAIR = {"input": normal(ROWS), "target": normal(ROWS)}
LOGITS = {"input": normal(ROWS), "target": bits(ROWS)}
MARGINS = {"input": normal(ROWS), "target": signs(ROWS)}
SCORES = {"input": normal(ROWS, CLASSES), "target": labels(ROWS)}
VECTORS = {"x1": normal(ROWS, WIDTH), "x2": normal(ROWS, WIDTH), "target": bits(ROWS)}
TRIPLET = {name: normal(ROWS, WIDTH) for name in ("anchor", "positive", "negative")}
VIEWS = {"view1": normal(ROWS, WIDTH), "view2": normal(ROWS, WIDTH)}
HEAD = {"input": normal(ROWS, WIDTH), "weight": normal(CLASSES, WIDTH), "target": labels(ROWS)}
SPEAKERS = {
    "input": normal(3, 4, WIDTH),
    "weight": lambda generator: np.array(generator.uniform(5, 10)),
    "bias": lambda generator: np.array(generator.uniform(-5, 0)),
}
MASKS = {"input": normal(2, 3, 4, 5), "target": lambda generator: generator.integers(0, 3, (2, 4, 5))}
SCORED = {"real": normal(7), "fake": normal(5)}

# ---- formulas ---------------------------------------------------------------------------------------


def softplus(x):
    return np.logaddexp(0.0, x)


def log_softmax(x, axis=-1):
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def picked(x, target):
    """The entry of each row at its label."""
    return x[np.arange(len(x)), target]


def unit(x):
    return x / np.sqrt((x**2).sum(-1, keepdims=True))


def norm(x):
    return np.sqrt((x**2).sum(-1))


def huber(input, target, delta=1.0):
    e = abs(input - target)
    return np.where(e <= delta, e**2 / 2, delta * (e - delta / 2)).mean()


def cross_entropy(input, target):
    return -picked(log_softmax(input), target).mean()


def focal(input, target, alpha=0.25, gamma=2.0):
    p = 1 / (1 + np.exp(-input))
    p_t, weight = np.where(target == 1, p, 1 - p), np.where(target == 1, alpha, 1 - alpha)
    return (-weight * (1 - p_t) ** gamma * np.log(p_t)).mean()


def softmax_focal(input, target, gamma=2.0):
    log_p = picked(log_softmax(input), target)
    return (-((1 - np.exp(log_p)) ** gamma) * log_p).mean()


def poly1(input, target, epsilon=2.0):
    log_p = picked(log_softmax(input), target)
    return (-log_p + epsilon * (1 - np.exp(log_p))).mean()


def multiclass_hinge(input, target):
    others = np.where(np.eye(CLASSES)[target] == 1, -np.inf, input)
    return np.maximum(0, 1 + others.max(1) - picked(input, target)).mean()


def contrastive(x1, x2, target):
    """Label 1 for dissimilar pairs, with 1/2: Hadsell et al."""
    d = norm(x1 - x2)
    return ((1 - target) * d**2 / 2 + target * np.maximum(0, 1 - d) ** 2 / 2).mean()


def contrastive_of_similar(x1, x2, target):
    """Label 1 for similar pairs, without 1/2."""
    d = norm(x1 - x2)
    return (target * d**2 + (1 - target) * np.maximum(0, 4 - d) ** 2).mean()


def triplet(anchor, positive, negative):
    near, far = norm(anchor - positive + 1e-6), norm(anchor - negative + 1e-6)
    return np.maximum(0, near - far + 1).mean()


def squared_triplet(anchor, positive, negative):
    near, far = ((anchor - positive) ** 2).sum(1), ((anchor - negative) ** 2).sum(1)
    return np.maximum(0, near - far + 0.5).mean()


def in_batch(query, positive, temperature):
    """Every query against all positives."""
    return cross_entropy(unit(query) @ unit(positive).T / temperature, np.arange(len(query)))


def nt_xent(view1, view2, temperature=0.5):
    z = unit(np.concatenate([view1, view2]))
    s, n = z @ z.T / temperature, len(view1)
    s[np.diag_indices(2 * n)] = -np.inf
    return cross_entropy(s, np.r_[n : 2 * n, :n])


def supervised_contrastive(input, target, temperature=0.1):
    s = unit(input) @ unit(input).T / temperature
    others = ~np.eye(len(s), dtype=bool)
    log_p = s - np.log((np.exp(s) * others).sum(1, keepdims=True))
    positives = (target[:, None] == target) & others
    return sum(-log_p[i][positives[i]].mean() for i in range(len(s)) if positives[i].any())


def dice(input, target):
    p, t = np.exp(log_softmax(input, 1)), np.eye(3)[target].transpose(0, 3, 1, 2)
    common, total = (p * t).sum((2, 3)), (p + t).sum((2, 3))
    return (1 - (2 * common + 1e-5) / (total + 1e-5)).mean()


def jaccard(input, target):
    p, t = np.exp(log_softmax(input, 1)), np.eye(3)[target].transpose(0, 3, 1, 2)
    common, total = (p * t).sum((2, 3)), (p + t).sum((2, 3))
    return (1 - (common + 1e-5) / (total - common + 1e-5)).mean()


def box_iou(boxes1, boxes2):
    sides = np.minimum(boxes1[:, 2:], boxes2[:, 2:]) - np.maximum(boxes1[:, :2], boxes2[:, :2])
    common = np.prod(np.maximum(sides, 0), 1)
    areas = [np.prod(b[:, 2:] - b[:, :2], 1) for b in (boxes1, boxes2)]
    return (1 - common / (sum(areas) - common + 1e-7)).mean()


def minimax_discriminator(real, fake):
    def d(x):
        return 1 / (1 + np.exp(-x))

    return -np.log(d(real)).mean() - np.log(1 - d(fake)).mean()


def cycle(real_a, cycled_a, real_b, cycled_b):
    """The norms of the paper: sums over a sample, means over samples."""
    return abs(cycled_a - real_a).sum() / len(real_a) + abs(cycled_b - real_b).sum() / len(real_b)


def margin_head(input, weight, target, head, scale):
    """Cross entropy of cosines with the rows of a matrix; `head` changes the cosine of the label."""
    cosines = unit(input) @ unit(weight).T
    one = np.eye(len(weight))[target] == 1
    return cross_entropy(scale * np.where(one, head(np.arccos(np.clip(cosines, -1, 1))), cosines), target)


def arcface(input, weight, target):
    """cos(angle + 1/2), and a line where the angle exceeds pi - 1/2."""

    def head(angle):
        return np.where(angle <= np.pi - 0.5, np.cos(angle + 0.5), np.cos(angle) - 0.5 * np.sin(0.5))

    return margin_head(input, weight, target, head, 64.0)


def sphereface(input, weight, target):
    """(-1)^k cos(4 angle) - 2 k; the embeddings keep their norms."""

    def head(angle):
        k = np.floor(4 * angle / np.pi)
        return (-1) ** k * np.cos(4 * angle) - 2 * k

    return margin_head(input, weight, target, head, norm(input)[:, None])


def uniformity(input):
    squares = ((input[:, None] - input) ** 2).sum(2)[np.triu_indices(len(input), 1)]
    return np.log(np.exp(-2 * squares).mean())


# ---- the list ---------------------------------------------------------------------------------------

ENTRIES = (
    Entry("mean squared error", "mse_loss", lambda input, target: ((input - target) ** 2).mean(), PAIR),
    Entry("L2 loss", "mse_loss", lambda input, target: ((input - target) ** 2).sum(), PAIR, {"reduction": "sum"}),
    Entry("mean absolute error", "l1_loss", lambda input, target: abs(input - target).mean(), PAIR),
    Entry("L1 loss", "l1_loss", lambda input, target: abs(input - target).sum(), PAIR, {"reduction": "sum"}),
    Entry("mean bias error", "mean_bias_error", lambda input, target: (target - input).mean(), PAIR),
    Entry("Huber", "huber_loss", huber, PAIR),
    Entry("Huber with delta", "huber_loss", lambda input, target: huber(input, target, 0.4), PAIR, {"delta": 0.4}),
    Entry(
        "correntropy",
        "welsch_loss",
        lambda input, target: ((1 - np.exp(-(((input - target) / 1.5) ** 2))) * 1.5**2 / 2).mean(),
        PAIR,
        {"c": 1.5},
    ),
    Entry(
        "binary cross entropy",
        "binary_cross_entropy",
        lambda input, target: -(target * np.log(input) + (1 - target) * np.log(1 - input)).mean(),
        {"input": probabilities(ROWS), "target": bits(ROWS)},
    ),
    Entry(
        "binary cross entropy of logits",
        "binary_cross_entropy_with_logits",
        lambda input, target: (target * softplus(-input) + (1 - target) * softplus(input)).mean(),
        LOGITS,
    ),
    Entry("cross entropy of logits", "cross_entropy", cross_entropy, SCORES),
    Entry(
        "cross entropy with class probabilities",
        "cross_entropy",
        lambda input, target: -(target * log_softmax(input)).sum(1).mean(),
        {"input": normal(ROWS, CLASSES), "target": probabilities(ROWS, CLASSES)},
    ),
    Entry(
        "categorical cross entropy",
        "categorical_cross_entropy",
        lambda input, target: -(target * np.log(input)).sum(1).mean(),
        {"input": probabilities(ROWS, CLASSES), "target": probabilities(ROWS, CLASSES)},
    ),
    Entry(
        "sparse categorical cross entropy",
        "categorical_cross_entropy",
        lambda input, target: -np.log(picked(input, target)).mean(),
        {"input": probabilities(ROWS, CLASSES), "target": labels(ROWS)},
    ),
    Entry(
        "entropy",
        "softmax_entropy",
        lambda input: -(np.exp(log_softmax(input)) * log_softmax(input)).sum(1).mean(),
        {"input": normal(ROWS, CLASSES)},
    ),
    Entry(
        "Kullback-Leibler divergence",
        "kl_divergence",
        lambda p, q: (p * np.log(p / q)).sum(1).mean(),
        {"p": probabilities(ROWS, CLASSES), "q": probabilities(ROWS, CLASSES)},
    ),
    Entry(
        "Kullback-Leibler divergence of log-probabilities",
        "kl_div",
        lambda input, target: (target * (np.log(target) - input)).sum() / ROWS,
        {"input": normal(ROWS, CLASSES), "target": probabilities(ROWS, CLASSES)},
        {"reduction": "batchmean"},
    ),
    Entry("hinge", "hinge_loss", lambda input, target: np.maximum(0, 1 - target * input).mean(), MARGINS),
    Entry("multiclass SVM", "multiclass_hinge_loss", multiclass_hinge, SCORES),
    Entry(
        "multiclass SVM, all classes",
        "multi_margin_loss",
        lambda input, target: ((np.maximum(0, 1 - picked(input, target)[:, None] + input).sum(1) - 1) / CLASSES).mean(),
        SCORES,
    ),
    Entry("focal", "sigmoid_focal_loss", focal, LOGITS, {"reduction": "mean"}),
    Entry(
        "focal without alpha",
        "sigmoid_focal_loss",
        lambda input, target: 2 * focal(input, target, 0.5),
        LOGITS,
        {"alpha": None, "reduction": "mean"},
    ),
    Entry("focal of classes", "softmax_focal_loss", softmax_focal, SCORES),
    Entry("PolyLoss", "poly1_cross_entropy", poly1, SCORES),
    Entry(
        "margin ranking",
        "margin_ranking_loss",
        lambda input1, input2, target: np.maximum(0, 0.5 - target * (input1 - input2)).mean(),
        {"input1": normal(ROWS), "input2": normal(ROWS), "target": signs(ROWS)},
        {"margin": 0.5},
    ),
    Entry("contrastive", "contrastive_loss", contrastive, VECTORS),
    Entry(
        "contrastive, 1 for similar",
        "contrastive_loss",
        contrastive_of_similar,
        VECTORS,
        {"similar_label": 1, "scale": 1.0, "margin": 4.0},
    ),
    Entry("triplet", "triplet_margin_loss", triplet, TRIPLET),
    Entry("FaceNet triplet", "triplet_margin_loss", squared_triplet, TRIPLET, {"squared": True, "margin": 0.5}),
    Entry(
        "centre loss",
        "center_loss",
        lambda input, centers, target: ((input - centers[target]) ** 2).sum() / 2,
        {"input": normal(ROWS, WIDTH), "centers": normal(CLASSES, WIDTH), "target": labels(ROWS)},
        {"reduction": "sum"},
    ),
    Entry(
        "InfoNCE",
        "info_nce_loss",
        lambda query, positive: in_batch(query, positive, 0.1),
        {"query": normal(ROWS, WIDTH), "positive": normal(ROWS, WIDTH)},
    ),
    Entry(
        "multiple negatives ranking",
        "multiple_negatives_ranking_loss",
        lambda anchor, positive: in_batch(anchor, positive, 1 / 20),
        {"anchor": normal(ROWS, WIDTH), "positive": normal(ROWS, WIDTH)},
    ),
    Entry("NT-Xent", "nt_xent_loss", nt_xent, VIEWS),
    Entry(
        "supervised contrastive",
        "supervised_contrastive_loss",
        supervised_contrastive,
        {"input": normal(8, WIDTH), "target": labels(8)},
        {"reduction": "sum"},
    ),
    Entry("ArcFace", "arcface_loss", arcface, HEAD),
    Entry("SphereFace", "sphereface_loss", sphereface, HEAD),
    Entry("GE2E", "ge2e_loss", generalized_end_to_end, SPEAKERS),
    Entry(
        "GE2E contrast",
        "ge2e_loss",
        lambda input, weight, bias: generalized_end_to_end(input, weight, bias, "contrast", "mean"),
        SPEAKERS,
        {"variant": "contrast", "reduction": "mean"},
    ),
    Entry(
        "triplets of siamese scores",
        "siamese_score_triplet_loss",
        lambda positive, negative: softplus(negative - positive[:, None]).mean(),
        {"positive": normal(4), "negative": normal(6)},
    ),
    Entry(
        "alignment",
        "alignment_loss",
        lambda x1, x2: ((x1 - x2) ** 2).sum(1).mean(),
        {"x1": normal(ROWS, WIDTH), "x2": normal(ROWS, WIDTH)},
    ),
    Entry("uniformity", "uniformity_loss", uniformity, {"input": normal(ROWS, WIDTH)}),
    Entry("dice", "dice_loss", dice, MASKS),
    Entry("IoU of masks", "jaccard_loss", jaccard, MASKS),
    Entry("IoU of boxes", "box_iou_loss", box_iou, {"boxes1": boxes, "boxes2": boxes}),
    Entry("minimax GAN discriminator", "gan_discriminator_loss", minimax_discriminator, SCORED),
    Entry(
        "GAN discriminator with 1/2",
        "gan_discriminator_loss",
        lambda real, fake: minimax_discriminator(real, fake) / 2,
        SCORED,
        {"scale": 0.5},
    ),
    Entry(
        "minimax GAN generator",
        "gan_generator_loss",
        lambda fake: np.log(1 - 1 / (1 + np.exp(-fake))).mean(),
        {"fake": normal(5)},
        {"saturating": True},
    ),
    Entry(
        "non-saturating GAN generator with 1/2",
        "gan_generator_loss",
        lambda fake: -np.log(1 / (1 + np.exp(-fake))).mean() / 2,
        {"fake": normal(5)},
        {"scale": 0.5},
    ),
    Entry(
        "least squares GAN discriminator",
        "lsgan_discriminator_loss",
        lambda real, fake: ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2,
        SCORED,
    ),
    Entry(
        "least squares GAN generator",
        "lsgan_generator_loss",
        lambda fake: ((fake - 1) ** 2).mean() / 2,
        {"fake": normal(5)},
    ),
    Entry(
        "cycle consistency",
        "cycle_consistency_loss",
        cycle,
        {name: normal(3, 2, 4) for name in ("real_a", "cycled_a", "real_b", "cycled_b")},
        {"reduction": "sum_per_sample"},
    ),
    Entry(
        "L1 regularization",
        "l1_penalty",
        lambda weights: 0.1 * abs(weights).sum(),
        {"weights": normal(3, 4)},
        {"scale": 0.1},
    ),
    Entry(
        "L2 regularization",
        "l2_penalty",
        lambda weights: 0.1 * (weights**2).sum(),
        {"weights": normal(3, 4)},
        {"scale": 0.1},
    ),
)


def differences(function, arrays, name, step=1e-6):
    """The derivative of a function in one of its arrays."""
    slope = np.empty_like(arrays[name])
    for at in np.ndindex(slope.shape):
        sides = []
        for side in (step, -step):
            moved = arrays[name].copy()
            moved[at] += side
            sides.append(function(**arrays | {name: moved}))
        slope[at] = (sides[0] - sides[1]) / (2 * step)
    return slope


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_value_and_gradients(entry):
    loss = getattr(fl, entry.loss).bind(**entry.params)
    generator = np.random.default_rng(len(entry.name))
    arrays = {name: draw(generator) for name, draw in entry.arrays.items()}
    value, grads = loss.value_and_grad(**arrays)
    assert value == pytest.approx(entry.formula(**arrays), rel=1e-12, abs=1e-12)
    for name, grad in zip(loss.trains, grads if isinstance(grads, tuple) else (grads,), strict=True):
        np.testing.assert_allclose(grad, differences(entry.formula, arrays, name), rtol=1e-6, atol=1e-8, err_msg=name)


def test_names_are_not_used_twice():
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)


def test_iou_of_hard_masks():
    generator = np.random.default_rng(0)
    scores, target = generator.normal(size=(2, 3, 8, 8)), generator.integers(0, 3, (2, 8, 8))
    found = scores.argmax(1)
    each = [((found == c) & (target == c)).sum() / ((found == c) | (target == c)).sum() for c in range(3)]
    assert fl.mask_iou(scores, target) == pytest.approx(np.mean(each), rel=1e-12)


def test_sigmoid_and_softmax():
    generator = np.random.default_rng(0)
    x, cotangent = generator.normal(size=(2, ROWS, CLASSES))
    p = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(fl.sigmoid(x), p, rtol=1e-14)
    np.testing.assert_allclose(fl.sigmoid.backward(cotangent, x), cotangent * p * (1 - p), rtol=1e-13)
    p = np.exp(log_softmax(x))
    np.testing.assert_allclose(fl.softmax(x), p, rtol=1e-14)
    pulled = p * (cotangent - (p * cotangent).sum(1, keepdims=True))
    np.testing.assert_allclose(fl.softmax.backward(cotangent, x), pulled, rtol=1e-12, atol=1e-15)
