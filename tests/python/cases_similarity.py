"""Losses of similarities with their parameters and the arrays to try them on."""

from __future__ import annotations

import numpy as np
from cases_arrays import ArrayCase


def vectors(*names, width=5, **more):
    """Arrays of n vectors, and others from functions of (generator, n)."""

    def arrays(generator, n):
        given = {name: generator.normal(size=(n, width)) for name in names}
        return given | {name: make(generator, n) for name, make in more.items()}

    return arrays


def several(k, width=5):
    return lambda generator, n: generator.normal(size=(k, width))


def own(k, width=5):
    return lambda generator, n: generator.normal(size=(n, k, width))


def classes(generator, n):
    return generator.integers(0, max(1, n // 2), n)


def number(x):
    return lambda generator, n: np.array(x)


def some_ignored(c):
    def make(generator, n):
        target = generator.integers(0, c, n)
        target[1::4] = -100
        return target

    return make


def linear(c, **more):
    return vectors("input", linear_weight=several(c), **more)


def biases(n):
    return lambda generator, _: generator.normal(size=n)


def taught(c, own, other, **more):
    """Layers of a student and of a teacher, with so many biases."""

    def inputs(generator, n):
        return generator.normal(size=(n, 3))

    return linear(
        c, linear_bias=biases(own), target=inputs, target_weight=several(c, 3), target_bias=biases(other), **more
    )


def scores(generator, n):
    return generator.normal(size=(n, 7))


INDICES, PROBABILITIES = some_ignored(7), lambda generator, n: generator.dirichlet(np.ones(7), n)


def all_of_seven(generator, n):
    return generator.integers(0, 7, n)


CASES = (
    ArrayCase("info_nce_loss", vectors("query", "positive")),
    ArrayCase("info_nce_loss", vectors("query", "positive"), {"temperature": 3.0, "normalize": False}),
    ArrayCase("info_nce_loss", vectors("query", "positive", negatives=several(9))),
    ArrayCase("info_nce_loss", vectors("query", "positive", negatives=several(300)), {"temperature": 0.5}),
    ArrayCase("info_nce_loss", vectors("query", "positive", negatives=own(3)), {"normalize": False}),
    ArrayCase("info_nce_loss", vectors("query", "positive", negatives=own(3))),
    ArrayCase("n_pairs_loss", vectors("anchor", "positive")),
    ArrayCase("multiple_negatives_ranking_loss", vectors("anchor", "positive")),
    ArrayCase("multiple_negatives_ranking_loss", vectors("anchor", "positive"), {"symmetric": True}),
    ArrayCase(
        "multiple_negatives_ranking_loss",
        vectors("anchor", "positive", negatives=several(4)),
        {"scale": 2.0, "normalize": False},
    ),
    ArrayCase(
        "multiple_negatives_ranking_loss",
        vectors("anchor", "positive", negatives=several(4)),
        {"scale": 5.0, "symmetric": True},
    ),
    ArrayCase("gte_loss", vectors("anchor", "positive"), {"temperature": 0.2}),
    ArrayCase("gte_loss", vectors("anchor", "positive"), {"temperature": 2.0, "normalize": False}),
    ArrayCase("clip_loss", vectors("image_features", "text_features", logit_scale=number(2.5))),
    ArrayCase("clip_loss", vectors("image_features", "text_features", logit_scale=number([14.0])), {"normalize": True}),
    ArrayCase(
        "siglip_loss",
        vectors("image_features", "text_features", logit_scale=number(10.0), logit_bias=number(-10.0)),
        {"normalize": True},
    ),
    ArrayCase(
        "siglip_loss", vectors("image_features", "text_features", logit_scale=number(0.5), logit_bias=number([1.0]))
    ),
    ArrayCase("nt_xent_loss", vectors("view1", "view2")),
    ArrayCase("nt_xent_loss", vectors("view1", "view2"), {"temperature": 2.0, "normalize": False}),
    ArrayCase("decoupled_contrastive_loss", vectors("view1", "view2")),
    ArrayCase("decoupled_contrastive_loss", vectors("view1", "view2"), {"temperature": 1.0, "normalize": False}),
    ArrayCase("supervised_contrastive_loss", vectors("input", target=classes)),
    ArrayCase(
        "supervised_contrastive_loss",
        vectors("input", target=classes),
        {"temperature": 2.0, "base_temperature": 0.7, "normalize": False},
    ),
    ArrayCase("labelled_nt_xent_loss", vectors("input", target=classes)),
    ArrayCase(
        "labelled_nt_xent_loss",
        vectors("input", target=classes),
        {"denominator": "all", "temperature": 1.5, "normalize": False},
    ),
    ArrayCase("instance_loss", vectors("input"), {"scale": 2.0}),
    ArrayCase("instance_loss", vectors("input"), {"scale": 8.0}),
    ArrayCase("linear_cross_entropy", linear(7, target=INDICES)),
    ArrayCase("linear_cross_entropy", linear(400, target=some_ignored(400))),
    ArrayCase(
        "linear_cross_entropy",
        linear(7, linear_bias=lambda generator, n: generator.normal(size=7), target=INDICES),
        {"weight": (1.0, 0.5, 2.0, 1.0, 3.0, 0.1, 1.0), "label_smoothing": 0.1},
    ),
    ArrayCase(
        "linear_cross_entropy",
        linear(7, linear_bias=number([0.3]), target=PROBABILITIES),
        {"softcap": 3.0, "z_loss": 0.01},
    ),
    ArrayCase("linear_cross_entropy", linear(7, target=all_of_seven), {"ignore_index": 3}),
    ArrayCase("linear_selected_log_prob", linear(7, target=INDICES)),
    ArrayCase(
        "linear_selected_log_prob",
        linear(300, linear_bias=lambda generator, n: generator.normal(size=300), target=some_ignored(300)),
    ),
    ArrayCase("linear_selected_log_prob", linear(7, target=all_of_seven), {"ignore_index": 3}),
    ArrayCase("linear_distillation_loss", linear(7, target=scores)),
    ArrayCase("linear_distillation_loss", linear(7, target=scores, labels=INDICES), {"temperature": 2.5}),
    ArrayCase("linear_distillation_loss", taught(300, 300, 300, labels=some_ignored(300))),
    ArrayCase("linear_jensen_shannon_divergence", linear(7, target=scores, labels=all_of_seven), {"ignore_index": 3}),
    ArrayCase("linear_jensen_shannon_divergence", taught(7, 7, 1), {"beta": 0.125, "temperature": 0.75}),
    ArrayCase("linear_jensen_shannon_divergence", taught(7, 7, 7), {"beta": 0.0, "temperature": 2.0}),
    ArrayCase("linear_jensen_shannon_divergence", taught(300, 300, 1, labels=some_ignored(300)), {"beta": 1.0}),
    ArrayCase("linear_cosine_distillation_loss", linear(7, target=scores, labels=INDICES)),
    ArrayCase("linear_cosine_distillation_loss", taught(300, 300, 300)),
    ArrayCase("linear_cosine_distillation_loss", taught(7, 1, 7, labels=all_of_seven), {"ignore_index": 3}),
)
