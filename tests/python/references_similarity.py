"""What the losses of similarities are, row by row, in plain NumPy of float64: a matrix of all scores and a formula."""

from __future__ import annotations

import numpy as np


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def log_sum_exp(s, axis=-1):
    most = s.max(axis)
    return most + np.log(np.exp(s - np.expand_dims(most, axis)).sum(axis))


def products(a, b, scale, normalize):
    return scale * (unit(a) @ unit(b).T if normalize else a @ b.T)


def without_self(s):
    s = s.copy()
    np.fill_diagonal(s, -np.inf)
    return s


def softplus(x):
    return np.logaddexp(0.0, x)


def info_nce_loss(query, positive, negatives=None, temperature=0.1, normalize=True):
    if negatives is None:
        s = products(query, positive, 1 / temperature, normalize)
        return log_sum_exp(s) - np.diag(s)
    prepare = unit if normalize else np.asarray
    q, p, n = prepare(query), prepare(positive), prepare(negatives)
    own = (q * p).sum(-1, keepdims=True)
    others = q @ n.T if n.ndim == 2 else np.einsum("nd,nkd->nk", q, n)
    s = np.concatenate([own, others], axis=1) / temperature
    return log_sum_exp(s) - s[:, 0]


def instance_loss(input, scale=64.0):
    s = products(input, input, scale, True)
    return log_sum_exp(s) - np.diag(s)


def n_pairs_loss(anchor, positive):
    s = anchor @ positive.T
    return log_sum_exp(s) - np.diag(s)


def multiple_negatives_ranking_loss(anchor, positive, negatives=None, scale=20.0, symmetric=False, normalize=True):
    documents = positive if negatives is None else np.concatenate([positive, negatives])
    s = products(anchor, documents, scale, normalize)
    rows = log_sum_exp(s) - np.diag(s)
    return (rows + log_sum_exp(s[:, : len(s)], 0) - np.diag(s)) / 2 if symmetric else rows


def other_view(n):
    return (np.arange(2 * n) + n) % (2 * n)


def gte_loss(anchor, positive, temperature=0.01, normalize=True):
    both, n = np.concatenate([anchor, positive]), len(anchor)
    s = without_self(products(both, both, 1 / temperature, normalize))
    one = log_sum_exp(s)
    total = np.logaddexp(one[:n], one[n:])
    return np.tile(total, 2) - s[np.arange(2 * n), other_view(n)]


def clip_loss(image_features, text_features, logit_scale, normalize=False):
    s = products(image_features, text_features, logit_scale, normalize)
    return (log_sum_exp(s) + log_sum_exp(s, 0)) / 2 - np.diag(s)


def siglip_loss(image_features, text_features, logit_scale, logit_bias, normalize=False):
    z = products(image_features, text_features, logit_scale, normalize) + logit_bias
    return softplus(np.where(np.eye(len(z), dtype=bool), -z, z)).sum(-1)


def nt_xent_loss(view1, view2, temperature=0.5, normalize=True):
    both, n = np.concatenate([view1, view2]), len(view1)
    s = without_self(products(both, both, 1 / temperature, normalize))
    return log_sum_exp(s) - s[np.arange(2 * n), other_view(n)]


def decoupled_contrastive_loss(view1, view2, temperature=0.1, normalize=True):
    both, n = np.concatenate([view1, view2]), len(view1)
    s = without_self(products(both, both, 1 / temperature, normalize))
    own = np.arange(2 * n), other_view(n)
    positive = s[own]
    s[own] = -np.inf
    return log_sum_exp(s) - positive


def same_class(target):
    return (target[:, None] == target[None]) & ~np.eye(len(target), dtype=bool)


def supervised_contrastive_loss(input, target, temperature=0.1, base_temperature=None, normalize=True):
    s, same = without_self(products(input, input, 1 / temperature, normalize)), same_class(target)
    terms = np.where(same, log_sum_exp(s)[:, None] - s, 0.0).sum(1) / np.maximum(same.sum(1), 1)
    return terms if base_temperature is None else terms * temperature / base_temperature


def labelled_nt_xent_loss(input, target, denominator="neg_plus_self", temperature=0.07, normalize=True):
    s, same = without_self(products(input, input, 1 / temperature, normalize)), same_class(target)
    if denominator == "all":
        log_total = log_sum_exp(s)[:, None]
    else:
        negative = target[:, None] != target[None]
        with np.errstate(divide="ignore"):
            log_total = np.logaddexp(s, np.log(np.where(negative, np.exp(s), 0.0).sum(1, keepdims=True)))
    return np.where(same, log_total - np.where(same, s, 0.0), 0.0).sum(1)


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    linear_bias=0.0,
    weight=None,
    ignore_index=-100,
    label_smoothing=0.0,
    softcap=None,
    z_loss=0.0,
):
    z = input @ linear_weight.T + linear_bias
    if softcap is not None:
        z = softcap * np.tanh(z / softcap)
    classes = z.shape[1]
    q = target if target.dtype.kind == "f" else np.eye(classes)[np.where(target == ignore_index, 0, target)]
    q = (1 - label_smoothing) * q + label_smoothing / classes
    lse = log_sum_exp(z)
    value = ((1.0 if weight is None else weight) * q * (lse[:, None] - z)).sum(1) + z_loss * lse**2
    return value if target.dtype.kind == "f" else np.where(target == ignore_index, 0.0, value)


def linear_selected_log_prob(input, linear_weight, target, linear_bias=0.0, ignore_index=-100):
    return -linear_cross_entropy(input, linear_weight, target, linear_bias, ignore_index=ignore_index)


def log_softmax(z):
    return z - log_sum_exp(z)[:, None]


def of_teacher(measure):
    """A loss of the scores of a student and of a teacher, both of them given or made by a linear layer."""

    def loss(
        input,
        linear_weight,
        target,
        linear_bias=0.0,
        target_weight=None,
        target_bias=0.0,
        labels=None,
        ignore_index=-100,
        **params,
    ):
        teacher = target if target_weight is None else target @ target_weight.T + target_bias
        value = measure(input @ linear_weight.T + linear_bias, teacher, **params)
        return value if labels is None else np.where(labels == ignore_index, 0.0, value)

    return loss


def _kl(log_p, log_q):
    return (np.exp(log_p) * (log_p - log_q)).sum(1)


def _distillation(student, teacher, temperature=1.0):
    return temperature**2 * _kl(log_softmax(teacher / temperature), log_softmax(student / temperature))


def _jensen_shannon(student, teacher, beta=0.5, temperature=1.0):
    log_p, log_r = log_softmax(student / temperature), log_softmax(teacher / temperature)
    if beta in (0.0, 1.0):
        return _kl(log_p, log_r) if beta else _kl(log_r, log_p)
    log_m = np.log(beta * np.exp(log_r) + (1 - beta) * np.exp(log_p))
    return beta * _kl(log_r, log_m) + (1 - beta) * _kl(log_p, log_m)


def _cosine_distillation(student, teacher):
    return 1 - (unit(student) * unit(teacher)).sum(1)


def _positives(target):
    return same_class(target).sum(1)


REFERENCES = {
    f.__name__: f
    for f in (
        clip_loss,
        decoupled_contrastive_loss,
        gte_loss,
        info_nce_loss,
        instance_loss,
        labelled_nt_xent_loss,
        linear_cross_entropy,
        linear_selected_log_prob,
        multiple_negatives_ranking_loss,
        n_pairs_loss,
        nt_xent_loss,
        siglip_loss,
        supervised_contrastive_loss,
    )
}
REFERENCES |= {
    "linear_cosine_distillation_loss": of_teacher(_cosine_distillation),
    "linear_distillation_loss": of_teacher(_distillation),
    "linear_jensen_shannon_divergence": of_teacher(_jensen_shannon),
}


# What a mean counts each row by, where that is not 1.
def _class_weights(target, weight=None, ignore_index=-100, **_):
    if target.dtype.kind == "f":
        return np.ones(len(target))
    valid = target != ignore_index
    return np.where(valid, 1.0 if weight is None else np.asarray(weight)[np.where(valid, target, 0)], 0.0)


def _kept(input, labels=None, ignore_index=-100, **_):
    return np.ones(len(input)) if labels is None else (labels != ignore_index).astype(float)


COUNTS = {
    "linear_cosine_distillation_loss": _kept,
    "linear_distillation_loss": _kept,
    "linear_jensen_shannon_divergence": _kept,
    "supervised_contrastive_loss": lambda target, **_: (_positives(target) > 0).astype(float),
    "labelled_nt_xent_loss": lambda target, **_: _positives(target).astype(float),
    "linear_cross_entropy": _class_weights,
    "linear_selected_log_prob": _class_weights,
}
