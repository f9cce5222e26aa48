"""Losses of overlaps of masks in plain NumPy and float64, written from their formulas."""

from __future__ import annotations

import numpy as np


def probabilities(z, activation):
    if activation == "softmax":
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)
    return 1.0 / (1.0 + np.exp(-z)) if activation == "sigmoid" else z


def masks(target, shape, ignore_index):
    """The target as numbers in the shape of the scores, and where it counts."""
    target = np.asarray(target)
    if target.shape == shape:
        kept = target != ignore_index if ignore_index is not None else np.ones(shape, bool)
        return np.where(kept, target, 0).astype(float), kept
    kept = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    classes = np.arange(shape[1]) if shape[1] > 1 else np.ones(1, int)
    if target.dtype.kind == "f":
        return np.where(kept, target, 0.0)[:, None], kept[:, None]
    onehot = target[:, None] == classes.reshape(1, -1, *[1] * (target.ndim - 1))
    kept = np.broadcast_to(kept[:, None], shape)
    return (onehot & kept).astype(float), kept


class Setting:
    """Probabilities, targets and what is summed, as the parameters that all these losses share have it."""

    def __init__(
        self,
        input,
        target,
        *,
        activation="softmax",
        form="product",
        weight=None,
        ignore_index=-100,
        include_background=True,
        absent="keep",
        batch=False,
        axis=None,
        position_weight=1.0,
    ):
        z = np.moveaxis(np.asarray(input, float), 1 if axis is None else axis, 1)
        target = np.asarray(target)
        if target.ndim == z.ndim and axis is not None:
            target = np.moveaxis(target, axis, 1)
        self.batch, self.z = batch, z
        self.t, self.kept = masks(target, z.shape, ignore_index)
        self.p = probabilities(z, activation)
        self.weights = np.broadcast_to(position_weight, z.shape) * self.kept
        p, t = self.p, self.t
        if form == "product":
            terms = p * t, p * (1 - t), (1 - p) * t
        elif form == "minimum":
            terms = np.minimum(p, t), np.maximum(p - t, 0), np.maximum(t - p, 0)
        else:
            terms = p * t, np.maximum(p - t, 0) ** 2, np.maximum(t - p, 0) ** 2
        first = 0 if include_background else 1
        self.both, self.surplus, self.missing = (self.sum(x * self.weights)[..., first:] for x in terms)
        self.neither = self.sum((1 - p) * (1 - t) * self.weights)[..., first:]
        self.volume = self.sum(t * self.weights)[..., first:]
        self.count = self.sum(self.kept * 1.0)
        counts = (self.volume > 0) | (absent == "keep")
        self.factor = counts * (1.0 if weight is None else np.asarray(weight))
        self.first = first

    def sum(self, x):
        axes = tuple(range(2, x.ndim))
        return x.sum((0, *axes) if self.batch else axes)

    def score(self, alpha, beta, smooth_nr, smooth_dr):
        return (self.both + smooth_nr) / (self.both + alpha * self.surplus + beta * self.missing + smooth_dr)


def tversky(s, alpha, beta, smooth_nr, smooth_dr, log_loss=False, eps=0.0):
    score = s.score(alpha, beta, smooth_nr, smooth_dr)
    return s.factor * (-np.log(np.maximum(score, eps)) if log_loss else 1 - score)


def dice_loss(input, target, *, smooth_nr=1e-5, smooth_dr=1e-5, log_loss=False, eps=0.0, **shared):
    return tversky(Setting(input, target, **shared), 0.5, 0.5, smooth_nr / 2, smooth_dr / 2, log_loss, eps)


def jaccard_loss(input, target, *, smooth_nr=1e-5, smooth_dr=1e-5, log_loss=False, eps=0.0, **shared):
    return tversky(Setting(input, target, **shared), 1.0, 1.0, smooth_nr, smooth_dr, log_loss, eps)


def tversky_loss(
    input, target, *, alpha=0.5, beta=0.5, smooth_nr=1e-5, smooth_dr=1e-5, log_loss=False, eps=0.0, **shared
):
    return tversky(Setting(input, target, **shared), alpha, beta, smooth_nr, smooth_dr, log_loss, eps)


def focal_tversky_loss(
    input,
    target,
    *,
    alpha=0.3,
    beta=0.7,
    gamma=0.75,
    reduce_first=False,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    **shared,
):
    s = Setting(input, target, **shared)
    rest = 1 - s.score(alpha, beta, smooth_nr, smooth_dr)
    return (s.factor * rest).mean(-1) ** gamma if reduce_first else s.factor * rest**gamma


def log_cosh_dice_loss(input, target, *, smooth_nr=1e-5, smooth_dr=1e-5, **shared):
    s = Setting(input, target, **shared)
    return s.factor * np.log(np.cosh(1 - s.score(0.5, 0.5, smooth_nr / 2, smooth_dr / 2)))


def generalized_dice_loss(input, target, *, weight_type="square", smooth_nr=1e-5, smooth_dr=1e-5, **shared):
    s = Setting(input, target, **shared)
    with np.errstate(divide="ignore"):
        w = 1 / s.volume ** {"square": 2, "simple": 1, "uniform": 0}[weight_type]
    largest = np.where(np.isinf(w), 0.0, w).max(-1, keepdims=True)
    w = np.where(np.isinf(w), largest, w) * s.factor
    wrong, right = (w * (s.surplus + s.missing)).sum(-1), (2 * w * s.both).sum(-1)
    return 1 - (right + smooth_nr) / (right + wrong + smooth_dr)


def mcc_loss(input, target, *, smooth=1e-5, **shared):
    s = Setting(input, target, **shared)
    tp, tn, fp, fn = (x + smooth for x in (s.both, s.neither, s.surplus, s.missing))
    return s.factor * (1 - (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def pixels(s, activation, gamma):
    """The mean focal loss of the positions, cross entropy for gamma = 0."""
    p, t = s.p, s.t
    loss = -((1 - p) ** gamma) * np.log(p) * t
    if activation == "sigmoid":
        loss = loss - p**gamma * np.log(1 - p) * (1 - t)
        return s.sum(loss * s.kept).sum(-1) / s.count.sum(-1)
    return s.sum(loss * s.kept).sum(-1) / s.count[..., 0]


def combined(input, target, activation, gamma, dice_factor, pixel_factor, smooth_nr, smooth_dr, shared):
    s = Setting(input, target, activation=activation, **shared)
    dice = s.factor * (1 - s.score(0.5, 0.5, smooth_nr / 2, smooth_dr / 2))
    return dice_factor * dice.mean(-1) + pixel_factor * pixels(s, activation, gamma)


def dice_ce_loss(
    input, target, *, activation="softmax", lambda_dice=1.0, lambda_ce=1.0, smooth_nr=1e-5, smooth_dr=1e-5, **shared
):
    return combined(input, target, activation, 0.0, lambda_dice, lambda_ce, smooth_nr, smooth_dr, shared)


def dice_focal_loss(
    input,
    target,
    *,
    activation="softmax",
    gamma=2.0,
    lambda_dice=1.0,
    lambda_focal=1.0,
    smooth_nr=1e-5,
    smooth_dr=1e-5,
    **shared,
):
    return combined(input, target, activation, gamma, lambda_dice, lambda_focal, smooth_nr, smooth_dr, shared)


def asymmetric_unified_focal_loss(
    input, target, *, delta=0.7, gamma=0.5, lambda_focal=0.5, smooth_nr=1e-5, smooth_dr=1e-5, **shared
):
    s = Setting(input, target, activation="sigmoid", **shared)
    p, t = s.p, s.t
    focal = -delta * t * np.log(p) - (1 - delta) * (1 - t) * p**gamma * np.log(1 - p)
    by_position = s.sum(focal * s.kept)[..., s.first :] / s.count[..., s.first :]
    front = 1 - s.score(1 - delta, delta, smooth_nr, smooth_dr)
    right = s.neither + smooth_nr
    back = 1 - right / (s.neither + delta * s.surplus + (1 - delta) * s.missing + smooth_dr)
    overlap = back + front ** (1 - gamma)
    return (s.factor * (lambda_focal * by_position + (1 - lambda_focal) * overlap) / 2).mean(-1)


def boundary_loss(input, distance, **shared):
    s = Setting(input, distance, ignore_index=None, **shared)
    return s.factor * s.both / s.count[..., s.first :]


def hausdorff_dt_loss(input, target, *, distance=1.0, **shared):
    s = Setting(input, target, form="squared", position_weight=distance, **shared)
    return s.factor * (s.surplus + s.missing) / s.count[..., s.first :]


def generalized_wasserstein_dice_loss(input, target, *, cost=None, smooth_nr=1e-5, smooth_dr=1e-5, **shared):
    s = Setting(input, target, **shared)
    label, kept = s.t.argmax(1), s.kept[:, 0]
    cost = 1 - np.eye(s.z.shape[1]) if cost is None else np.asarray(cost)
    distance = (np.moveaxis(cost[label], -1, 1) * s.p).sum(1)
    total = s.sum((distance * kept)[:, None])[..., 0]
    right = s.sum(((1 - distance) * kept * (label > 0))[:, None])[..., 0]
    return 1 - (2 * right + smooth_nr) / (2 * right + total + smooth_dr)


def lovasz(errors, present):
    order = np.argsort(-errors, kind="stable")
    there = present[order]
    both, either = present.sum() - np.cumsum(there), present.sum() + np.cumsum(1 - there)
    jaccard = 1 - both / either
    return errors[order] @ np.diff(jaccard, prepend=0.0)


def by_group(s, one):
    """Flat errors, targets and where they count, of each class of each group."""
    z = np.moveaxis(s.z, 1, 0), np.moveaxis(s.p, 1, 0), np.moveaxis(s.t, 1, 0), np.moveaxis(s.kept, 1, 0)
    images = [slice(None)] if s.batch else [slice(n, n + 1) for n in range(s.z.shape[0])]
    table = np.array(
        [[one(*(a[c][image][z[3][c][image]] for a in z[:3])) for c in range(s.first, s.z.shape[1])] for image in images]
    )
    return table[0] if s.batch else table


def lovasz_hinge_loss(input, target, **shared):
    s = Setting(input, target, activation="none", **shared)
    return by_group(s, lambda z, p, t: lovasz(np.maximum(1 - z * (2 * (t > 0.5) - 1), 0), (t > 0.5) * 1.0))


def lovasz_softmax_loss(input, target, *, classes="present", **shared):
    s = Setting(input, target, **shared)
    values = by_group(s, lambda z, p, t: lovasz(np.where(t > 0.5, 1 - p, p), (t > 0.5) * 1.0))
    counts = by_group(s, lambda z, p, t: float((t > 0.5).any())) if classes == "present" else np.ones_like(values)
    return (values * counts).sum(-1) / np.maximum(counts.sum(-1), 1)


OVERLAP_REFERENCES = {name: value for name, value in globals().items() if name.endswith("_loss")}
