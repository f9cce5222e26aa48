"""Losses of answers under a linear layer: their cases, and what they are in plain NumPy, a term at a time."""

from __future__ import annotations

import numpy as np
from cases_arrays import ArrayCase
from references_similarity import log_softmax, softplus


def answers(each, width=4, classes=7, length=3, other=2, bias=True, layer=True, empty=False, **more):
    """Arrays for n terms of so many answers each: one of them with fewer tokens, one with none if they may be empty."""

    def arrays(generator, n):
        count = each * n
        target = generator.integers(0, classes, (count, length))
        if count:
            target[0, 1:] = -100
            target[-1] = -100 if empty else target[-1]
        given = {
            "input": generator.normal(size=(count, length, width)),
            "linear_weight": generator.normal(size=(classes, width)),
            "target": target,
        }
        if bias:
            given["linear_bias"] = generator.normal(size=classes)
        if layer:
            given["reference_input"] = generator.normal(size=(count, length, other))
            given["reference_weight"] = generator.normal(size=(classes, other))
            given["reference_bias"] = generator.normal(size=classes)
        return given | {name: make(generator, count) for name, make in more.items()}

    return arrays


def numbers(*shape):
    return lambda generator, count: generator.normal(size=(count, *shape)) - 2.0


def bits(generator, count):
    return np.arange(count) % 2.0


PLAIN, LONG = {"layer": False}, {"classes": 300, "length": 40, "width": 9}

CASES = (
    ArrayCase("linear_dpo_loss", answers(2, empty=True)),
    ArrayCase("linear_dpo_loss", answers(2, **LONG), {"beta": 0.05, "alpha": 0.5, "label_smoothing": 0.125}),
    ArrayCase(
        "linear_dpo_loss",
        answers(2, **PLAIN, bias=False, reference_log_prob=numbers()),
        {"loss_type": "ipo", "beta": 0.5, "average_log_prob": True},
    ),
    ArrayCase("linear_dpo_loss", answers(2), {"loss_type": "bco_pair", "reward_mean": 0.25, "tau": 0.25}),
    ArrayCase("linear_cpo_loss", answers(2, **PLAIN, empty=True)),
    ArrayCase(
        "linear_cpo_loss",
        answers(2, **PLAIN, bias=False),
        {"beta": 0.5, "alpha": 0.25, "label_smoothing": 0.125, "average_log_prob": True},
    ),
    ArrayCase("linear_simpo_loss", answers(2, **PLAIN, empty=True)),
    ArrayCase(
        "linear_simpo_loss",
        answers(2, **PLAIN, bias=False),
        {"beta": 0.5, "gamma": 1.5, "alpha": 0.25, "label_smoothing": 0.125, "average_log_prob": False},
    ),
    ArrayCase("linear_orpo_loss", answers(2, **PLAIN)),
    ArrayCase(
        "linear_orpo_loss", answers(2, **PLAIN, bias=False), {"beta": 0.5, "alpha": 0.25, "average_log_prob": False}
    ),
    ArrayCase("linear_kto_loss", answers(1, desirable=bits, empty=True)),
    ArrayCase(
        "linear_kto_loss",
        answers(1, **PLAIN, bias=False, desirable=bits, kl=numbers(), reference_log_prob=numbers()),
        {"beta": 0.5, "desirable_weight": 1.5, "undesirable_weight": 0.75, "average_log_prob": True},
    ),
    ArrayCase("linear_grpo_loss", answers(1, advantage=numbers(), empty=True)),
    ArrayCase(
        "linear_grpo_loss",
        answers(1, **PLAIN, bias=False, advantage=numbers(), old_log_prob=numbers(3)),
        {"beta": 0.0, "clip_low": 0.5, "clip_high": 1.5, "average": "tokens"},
    ),
    ArrayCase(
        "linear_grpo_loss",
        answers(1, **PLAIN, advantage=numbers(), old_log_prob=numbers(3), reference_log_prob=numbers(3)),
        {"variant": "cispo", "clip_high": 1.5, "average": "length"},
    ),
    ArrayCase(
        "linear_grpo_loss",
        answers(1, advantage=numbers(), old_log_prob=numbers(3)),
        {"variant": "sapo", "tau_pos": 0.5, "tau_neg": 1.5, "average": "tokens"},
    ),
)


def sigmoid(x):
    return np.exp(-softplus(-x))


def token_log_probs(input, weight, bias, target, ignore_index):
    z = (input @ weight.T + bias).reshape(-1, len(weight))
    kept = target != ignore_index
    index = np.where(kept, target, 0)
    return np.where(
        kept, np.take_along_axis(log_softmax(z).reshape(*target.shape, -1), index[..., None], -1)[..., 0], 0
    )


def of_answers(tokens, kept, average):
    return tokens.sum(1) / np.maximum(kept.sum(1), 1) if average else tokens.sum(1)


def tokens_of(
    input,
    linear_weight,
    target,
    linear_bias=0.0,
    reference_input=None,
    reference_weight=None,
    reference_bias=0.0,
    reference_log_prob=None,
    ignore_index=-100,
    average_log_prob=None,
    **_,
):
    """Log-probabilities of the tokens, which of them count, and what the reference says of them or of the answers."""
    tokens = token_log_probs(input, linear_weight, linear_bias, target, ignore_index)
    kept, reference = target != ignore_index, reference_log_prob
    if reference_input is not None:
        reference = token_log_probs(reference_input, reference_weight, reference_bias, target, ignore_index)
        if average_log_prob is not None:
            reference = of_answers(reference, kept, average_log_prob)
    return tokens, kept, reference


def _pairs(measure, average, alpha):
    def terms(weight, average_log_prob=average, alpha=alpha, **given):
        names = ("beta", "gamma", "label_smoothing", "loss_type", "reward_mean", "tau")
        tokens, kept, reference = tokens_of(average_log_prob=average_log_prob, **given)
        values = of_answers(tokens, kept, average_log_prob)
        halves = [half for x in (values, *([] if reference is None else [reference])) for half in np.split(x, 2)]
        each = measure(*halves, **{name: given[name] for name in names if name in given})
        if alpha:
            chosen, lengths = tokens[: len(each)].sum(1), kept[: len(each)].sum(1)
            each = each - alpha * weight.sum() / (weight * lengths).sum() * chosen
        return each

    return terms


def _dpo(chosen, rejected, of_chosen, of_rejected, beta=0.1, loss_type="sigmoid", label_smoothing=0.0, **more):
    c, r = beta * (chosen - of_chosen), beta * (rejected - of_rejected)
    if loss_type == "ipo":
        return ((c - r) / beta - 1 / (2 * beta)) ** 2
    if loss_type == "bco_pair":
        return softplus(more["reward_mean"] - c) + softplus(r - more["reward_mean"])
    return (1 - label_smoothing) * softplus(r - c) + label_smoothing * softplus(c - r)


def _cpo(chosen, rejected, beta=0.1, gamma=0.0, label_smoothing=0.0):
    u = beta * (chosen - rejected) - gamma
    return (1 - label_smoothing) * softplus(-u) + label_smoothing * softplus(u)


def _orpo(chosen, rejected, beta=0.1):
    odds = [a - np.log(-np.expm1(a)) for a in (chosen, rejected)]
    return beta * softplus(odds[1] - odds[0])


def _kto(weight, desirable, kl=0.0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0, **given):
    average = given.pop("average_log_prob", False)
    tokens, kept, reference = tokens_of(average_log_prob=average, **given)
    z = beta * (of_answers(tokens, kept, average) - reference - kl)
    return np.where(desirable, desirable_weight * sigmoid(-z), undesirable_weight * sigmoid(z))


def _grpo(
    weight,
    advantage,
    old_log_prob=None,
    held=None,
    beta=0.04,
    variant="clip",
    clip_low=0.2,
    clip_high=0.2,
    tau_pos=1.0,
    tau_neg=1.05,
    average="answers",
    **given,
):
    """`held` are the log-probabilities where they count as constants."""
    tokens, kept, reference = tokens_of(**given)
    held = tokens if held is None else held
    ratio, a = np.exp(tokens - (held if old_log_prob is None else old_log_prob)), advantage[:, None]
    if variant == "clip":
        each = -np.minimum(ratio * a, np.clip(ratio, 1 - clip_low, 1 + clip_high) * a)
    elif variant == "cispo":
        each = -np.minimum(np.exp(held - old_log_prob), clip_high) * a * tokens
    else:
        tau = np.where(a > 0, tau_pos, tau_neg)
        each = -4 / tau * a * sigmoid(tau * (ratio - 1))
    if beta:
        each = each + beta * (np.exp(reference - tokens) - (reference - tokens) - 1)
    lengths = kept.sum(1)
    share = {
        "answers": 1 / np.maximum(lengths, 1),
        "tokens": weight.sum() / (weight * lengths).sum(),
        "length": 1 / kept.shape[1],
    }[average]
    return np.where(kept, each, 0.0).sum(1) * share


REFERENCES = {
    "linear_cpo_loss": _pairs(_cpo, False, 1.0),
    "linear_dpo_loss": _pairs(_dpo, False, 0.0),
    "linear_grpo_loss": _grpo,
    "linear_kto_loss": _kto,
    "linear_orpo_loss": _pairs(_orpo, True, 1.0),
    "linear_simpo_loss": _pairs(lambda *a, beta=2.0, gamma=0.5, **more: _cpo(*a, beta, gamma, **more), True, 0.0),
}
