"""Metric learning, written from its papers in plain float64 NumPy: what one row of similarities or distances costs.

A function of `ROWS` takes a matrix (of cosines, or of distances), and boolean matrices that say which columns are
positives and negatives of which row; it gives the values of the rows and how many terms each of them sums.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def log_sum_exp(z: Array, chosen: Array, *more: float) -> Array:
    """Over the chosen columns of each row and some more numbers; minus infinity of nothing."""
    found = np.full(len(z), -np.inf)
    for i, row in enumerate(z):
        terms = np.concatenate([row[chosen[i]], more])
        if terms.size:
            found[i] = terms.max() + np.log(np.exp(terms - terms.max()).sum())
    return found


def softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def multi_similarity(s, same, other, *, alpha=2.0, beta=50.0, base=0.5):
    near = log_sum_exp(-alpha * (s - base), same, 0.0) / alpha
    return near + log_sum_exp(beta * (s - base), other, 0.0) / beta, np.ones(len(s))


def circle(s, same, other, *, margin=0.4, scale=80.0, detach=True, at=None):
    """`at`: the similarities whose weights are taken, where these are no function of `s`."""
    fixed = s if at is None or not detach else at
    near = log_sum_exp(-scale * relu(1 + margin - fixed) * (s - (1 - margin)), same)
    far = log_sum_exp(scale * relu(fixed + margin) * (s - margin), other)
    valid = same.any(1) & other.any(1)
    return np.where(valid, softplus(near + far), 0), valid


def nca(d2, same, other, *, scale=1.0):
    valid = same.any(1)
    everyone = log_sum_exp(-scale * d2, same | other)
    near = log_sum_exp(-scale * d2, same)
    return np.where(valid, everyone - np.where(valid, near, 0), 0), valid


def or_zero(x):
    return np.where(np.isinf(x), 0, x)


def generalized_lifted(d, same, other, *, positive_margin=0.0, negative_margin=1.0):
    near = log_sum_exp(d - positive_margin, same)
    return relu(or_zero(near) + or_zero(log_sum_exp(negative_margin - d, other))), np.ones(len(d))


def lifted_structure(d, same, other, *, positive_margin=0.0, negative_margin=1.0):
    values = np.zeros(len(d))
    for i, j in zip(*np.nonzero(same), strict=True):
        negatives = np.concatenate([d[i, other[i]], d[j, other[j]]])
        far = np.log(np.exp(negative_margin - negatives).sum()) if negatives.size else 0.0
        values[i] += relu(far + d[i, j] - positive_margin) ** 2 / 2
    return values, same.sum(1)


def tuplet_margin(s, same, other, *, margin=0.1, scale=64.0):
    values = np.zeros(len(s))
    for i, j in zip(*np.nonzero(same), strict=True):
        turned = np.cos(np.arccos(s[i, j]) - margin)
        values[i] += np.logaddexp.reduce(np.concatenate([[0], scale * (s[i, other[i]] - turned)]))
    return values, same.sum(1)


def smooth_ap(s, same, other, *, temperature=0.01):
    values = np.zeros(len(s))
    for i, j in zip(*np.nonzero(same), strict=True):
        q = 1 / (1 + np.exp(-(s[i] - s[i, j]) / temperature))
        near = 1 + q[same[i]].sum() - q[j]
        values[i] += (1 - near / (near + q[other[i]].sum())) / same[i].sum()
    return values, same.any(1)


COSTS = {
    "O": lambda r, alpha, b: r,
    "Iu": lambda r, alpha, b: (1 + r) * np.log(1 + r),
    "Ib": lambda r, alpha, b: (b * r - np.log(1 + b * r)) / b**2,
    "Ds": lambda r, alpha, b: np.log(1 + r),
    "Dq": lambda r, alpha, b: 1 - (1 + r) ** -alpha,
}


def pnp(s, same, other, *, variant="O", temperature=0.01, alpha=1.0, b=2.0, include_self=False):
    values = np.zeros(len(s))
    for i in np.nonzero(same.any(1))[0]:
        found = [*s[i, same[i]], *[1.0] * include_self]
        ranks = np.array([(1 / (1 + np.exp(-(s[i, other[i]] - p) / temperature))).sum() for p in found])
        values[i] = COSTS[variant](ranks, alpha, b).mean()
    return values, same.any(1)


def ranked_list(d, same, other, *, margin=0.4, boundary=1.2, positive_temperature=0.0, negative_temperature=10.0,
                imbalance=0.5, detach=True, eps=0.0, at=None):  # fmt: skip
    """`at`: the distances whose weights are taken, where these are no function of `d`."""
    fixed = d if at is None or not detach else at

    def mean(chosen, h, h_fixed, temperature):
        w = np.where(chosen & (h_fixed > 0), np.exp(temperature * h_fixed), 0)
        total = w.sum(1) + eps * len(d)
        return (w * h).sum(1) / np.where(total > 0, total, 1)

    near = mean(same, d - boundary + margin, fixed - boundary + margin, positive_temperature)
    far = mean(other, boundary - d, boundary - fixed, negative_temperature)
    return (1 - imbalance) * near + imbalance * far, np.ones(len(d))


def fast_ap(d, same, other, *, bins=10):
    values = np.zeros(len(d))
    middles = np.linspace(0, 4, bins + 1)[:, None]
    for i in np.nonzero(same.any(1))[0]:
        found, others = (relu(1 - abs(d[i, chosen[i]] - middles) * bins / 4).sum(1) for chosen in (same, other))
        everything = np.cumsum(found + others)
        precision = np.where(everything > 0, np.cumsum(found) / np.where(everything > 0, everything, 1), 0)
        values[i] = 1 - (found * precision).sum() / same[i].sum()
    return values, same.any(1)


def margin_pairs(d, same, other, *, alpha=0.2, beta=1.2):
    excess = np.where(same, relu(alpha + d - beta), 0) + np.where(other, relu(alpha + beta - d), 0)
    return excess.sum(1), (excess > 0).sum(1)


def batch_hard(d, same, other, *, margin=5.0, soft=False, valid_only=True):
    values, counts = np.zeros(len(d)), np.zeros(len(d))
    for i, row in enumerate(d):
        partners = row[same[i] | other[i]]
        if not partners.size or (valid_only and not (same[i].any() and other[i].any())):
            continue
        near = row[same[i]].max() if same[i].any() else 0.0
        far = row[other[i]].min() if other[i].any() else partners.max()
        values[i] = softplus(near - far) if soft else relu(near - far + margin)
        counts[i] = 1
    return values, counts


def batch_all(d, same, other, *, margin=5.0):
    values, counts = np.zeros(len(d)), np.zeros(len(d))
    for i, j in zip(*np.nonzero(same), strict=True):
        excess = relu(d[i, j] - d[i, other[i]] + margin)
        values[i] += excess.sum()
        counts[i] += (excess > 0).sum()
    return values, counts


def batch_semi_hard(d, same, other, *, margin=5.0):
    values, counts = np.zeros(len(d)), np.zeros(len(d))
    for i, j in zip(*np.nonzero(same), strict=True):
        negatives = d[i, other[i]]
        if negatives.size:
            beyond = negatives[negatives > d[i, j]]
            values[i] += relu(d[i, j] - (beyond.min() if beyond.size else negatives.max()) + margin)
            counts[i] += 1
    return values, counts


def proxy_anchor(s, same, other, *, scale=32.0, margin=0.1, positive_share=1.0):
    near = log_sum_exp(-scale * (s - margin), same, 0.0)
    return positive_share * near + log_sum_exp(scale * (s + margin), other, 0.0), np.ones(len(s))


def mega_batch_margin(s, same, other, *, positive_margin=0.8, negative_margin=0.3):
    hardest = np.where(same, -np.inf, s).max(1)
    return relu(positive_margin - s[same]) + relu(hardest - negative_margin), np.ones(len(s))


def turned(c, m1, m2, m3, beyond):
    """The cosine of the label's angle, made harder."""
    angle = np.arccos(np.clip(c, -1, 1))
    t = m1 * angle + m2
    if beyond == "falls":
        k = np.floor(t / np.pi)
        return (-1) ** k * np.cos(t) - 2 * k - m3
    if beyond == "cosine":
        return np.where(c > 0, np.cos(t), c) - m3
    return np.where(angle <= np.pi - m2, np.cos(t), c - m2 * np.sin(m2)) - m3


def margin_softmax(s, label, *, scale=64.0, m1=1.0, m2=0.5, m3=0.0, beyond="line", norm=None, inclusive=True):
    rows = np.arange(len(s))
    z = scale * s
    z[rows, label] = scale * turned(s[rows, label], m1, m2, m3, beyond)
    if norm is not None:
        z = z * norm[:, None]
    own = np.arange(s.shape[1]) == label[:, None]
    return log_sum_exp(z, np.full_like(own, True) if inclusive else ~own) - z[rows, label]


def label_softmax(z, label, own):
    """Cross entropy of scores, those of the labels being others."""
    z[np.arange(len(z)), label] = own
    return log_sum_exp(z, np.full(z.shape, True)) - own


def adaface(s, label, norm, *, margin=0.4, concentration=0.333, scale=64.0, norm_mean=20.0, norm_std=100.0):
    q = np.clip((np.clip(norm, 1e-3, 100) - norm_mean) / (norm_std + 1e-3) * concentration, -1, 1)
    angle = np.clip(np.arccos(s[np.arange(len(s)), label]) - margin * q, 0, np.pi)
    return label_softmax(scale * s, label, scale * (np.cos(angle) - margin * (1 + q)))


def magface(s, label, norm, *, lower_norm=10.0, upper_norm=110.0, lower_margin=0.45, upper_margin=0.8,
            norm_weight=35.0, scale=64.0, easy_margin=True):  # fmt: skip
    a = np.clip(norm, lower_norm, upper_norm)
    m = lower_margin + (upper_margin - lower_margin) * (a - lower_norm) / (upper_norm - lower_norm)
    own = turned(s[np.arange(len(s)), label], 1.0, m, 0.0, "cosine" if easy_margin else "line")
    return label_softmax(scale * s, label, scale * own) + norm_weight * (a / upper_norm**2 + 1 / a)


def curricularface(s, label, *, curriculum=0.0, margin=0.5, scale=64.0):
    c = s[np.arange(len(s)), label]
    hard = s > np.cos(np.arccos(c) + margin)[:, None]
    return label_softmax(
        scale * np.where(hard, s * (curriculum + s), s), label, scale * turned(c, 1.0, margin, 0.0, "line")
    )


def centre_softmax(s, label, *, gamma=0.1, **head):
    """`s` is ``[N, classes, centres]``."""
    if gamma > 0:
        weights = np.exp(s / gamma - (s / gamma).max(2, keepdims=True))
        pooled = (weights * s).sum(2) / weights.sum(2)
    else:
        pooled = s.max(2)
    return margin_softmax(pooled, label, **head)
