"""Compositions on example arrays, and what their terms are in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cases_arrays import Array, ArrayCase

# By argument, the shape of a sample; of an argument that is a list of arrays, one for each.
Shapes = Mapping[str, tuple[int, ...] | list[tuple[int, ...]]]

REAL_AND_FAKE: Shapes = {"real": (2,), "fake": (2,)}
FAKE: Shapes = {"fake": (2,)}
CYCLES: Shapes = {"real_a": (3, 2), "cycled_a": (3, 2), "real_b": (3, 2), "cycled_b": (3, 2)}
SAME: Shapes = {"real_a": (3,), "same_a": (3,), "real_b": (3,), "same_b": (3,)}
LAYERS: Shapes = {"real": [(3,), (3,)], "fake": [(3,), (3,)]}
CODES: Shapes = {"mu": (4,), "logvar": (4,)}
SLOPES: Shapes = {"gradients": (3, 2)}
WEIGHTS: Shapes = {"weights": [(4,), (4,)]}


def composition_case(loss: str, shapes: Shapes, params: Mapping[str, Any] | None = None) -> ArrayCase:
    """A loss on numbers around zero, or on probabilities where it wants them."""
    params = params or {}

    def draw(generator: np.random.Generator, n: int) -> dict[str, Any]:
        def one(shape: tuple[int, ...]) -> Array:
            normal = generator.normal(size=(n, *shape))
            return 1 / (1 + np.exp(-normal)) if params.get("from_logits") is False else normal

        return {
            name: [one(x) for x in shape] if isinstance(shape, list) else one(shape) for name, shape in shapes.items()
        }

    return ArrayCase(loss, draw, params, lambda weight, **given: REFERENCES[loss](weight, **given))


CASES = (
    composition_case("gan_discriminator_loss", REAL_AND_FAKE),
    composition_case("gan_discriminator_loss", REAL_AND_FAKE, {"real_label": 0.9, "scale": 0.5}),
    composition_case("gan_discriminator_loss", REAL_AND_FAKE, {"from_logits": False}),
    composition_case("gan_generator_loss", FAKE),
    composition_case("gan_generator_loss", FAKE, {"saturating": True, "scale": 0.5}),
    composition_case("gan_generator_loss", FAKE, {"saturating": True, "from_logits": False}),
    composition_case("lsgan_discriminator_loss", REAL_AND_FAKE),
    composition_case(
        "lsgan_discriminator_loss",
        REAL_AND_FAKE,
        {"real_label": 0.8, "fake_label": -1.0, "scale": 1.0},
    ),
    composition_case("lsgan_generator_loss", FAKE),
    composition_case("lsgan_generator_loss", FAKE, {"label": 0.0, "scale": 2.0}),
    composition_case("hinge_gan_discriminator_loss", REAL_AND_FAKE),
    composition_case("hinge_gan_generator_loss", FAKE),
    composition_case("wgan_discriminator_loss", REAL_AND_FAKE),
    composition_case("wgan_generator_loss", FAKE),
    composition_case("relativistic_discriminator_loss", REAL_AND_FAKE),
    composition_case("relativistic_discriminator_loss", REAL_AND_FAKE, {"scale": 0.5}),
    composition_case("relativistic_generator_loss", REAL_AND_FAKE),
    composition_case("relativistic_generator_loss", REAL_AND_FAKE, {"scale": 0.5}),
    composition_case("gradient_penalty", SLOPES),
    composition_case("gradient_penalty", SLOPES, {"one_sided": True, "target": 2.0, "scale": 3.0}),
    composition_case("r1_penalty", SLOPES),
    composition_case("r1_penalty", SLOPES, {"gamma": 2.0}),
    composition_case("cycle_consistency_loss", CYCLES),
    composition_case("cycle_consistency_loss", CYCLES, {"scale": 10.0}),
    composition_case("identity_loss", SAME),
    composition_case("identity_loss", SAME, {"scale": 0.5}),
    composition_case("feature_matching_loss", LAYERS),
    composition_case("feature_matching_loss", LAYERS, {"norm": "l2", "scale": 10.0}),
    composition_case("feature_matching_loss", REAL_AND_FAKE),
    composition_case("vae_kl_loss", CODES),
    composition_case("vae_kl_loss", CODES, {"free_bits": 0.9}),
    composition_case("l1_penalty", WEIGHTS),
    composition_case("l1_penalty", {"weights": (4,)}, {"scale": 0.1}),
    composition_case("l2_penalty", WEIGHTS),
    composition_case("l2_penalty", {"weights": (4,)}, {"scale": 0.1}),
)


def softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def average(x: Array, weight: Any, axis: Any = None) -> Any:
    return np.average(x, axis, None if weight is None else np.broadcast_to(weight, x.shape))


def _gan_discriminator(weight, real, fake, from_logits=True, real_label=1.0, scale=1.0):
    if from_logits:
        on_real, on_fake = real_label * softplus(-real) + (1 - real_label) * softplus(real), softplus(fake)
    else:
        on_real, on_fake = -real_label * np.log(real) - (1 - real_label) * np.log(1 - real), -np.log(1 - fake)
    return [scale * on_real, scale * on_fake]


def _gan_generator(weight, fake, saturating=False, from_logits=True, scale=1.0):
    if from_logits:
        return [-scale * softplus(fake) if saturating else scale * softplus(-fake)]
    return [scale * np.log(1 - fake) if saturating else -scale * np.log(fake)]


def _relativistic(weight, real, fake, scale=1.0):
    on_real, on_fake = softplus(-(real - average(fake, weight))), softplus(fake - average(real, weight))
    return [scale * on_real, scale * on_fake]


def _gradient_penalty(weight, gradients, target=1.0, one_sided=False, scale=10.0):
    excess = np.sqrt((gradients**2).reshape(len(gradients), -1).sum(1)) - target
    return [scale * (np.maximum(excess, 0) if one_sided else excess) ** 2]


def _apart(weight, real_a, own_a, real_b, own_b, scale=1.0):
    return [scale * abs(own_a - real_a), scale * abs(own_b - real_b)]


def _feature_matching(weight, real, fake, norm="l1", scale=1.0):
    layers = zip(real, fake, strict=True) if isinstance(real, list) else [(real, fake)]
    return [scale * abs(a - b) ** int(norm[1]) for a, b in layers]


def _vae_kl(weight, mu, logvar, free_bits=0.0):
    each = (mu**2 + np.exp(logvar) - logvar - 1) / 2
    if free_bits == 0.0:
        return [each.sum(1)]
    by_sample = None if weight is None else np.reshape(weight, (-1, 1))
    return [np.full(len(mu), np.maximum(average(each, by_sample, 0), free_bits).sum())]


def _penalty(power):
    def penalty(weight, weights, scale=1.0):
        return [scale * abs(w) ** power for w in (weights if isinstance(weights, list) else [weights])]

    return penalty


def generalized_end_to_end(input, weight, bias, variant="softmax", reduction="sum"):
    """One utterance after the other."""
    speakers, utterances, _ = input.shape
    total = 0.0
    for j in range(speakers):
        for i in range(utterances):
            centroids = input.mean(1)
            centroids[j] = (input[j].sum(0) - input[j, i]) / (utterances - 1)
            own, norms = input[j, i], np.sqrt((centroids**2).sum(1))
            s = weight * (centroids @ own / norms / np.sqrt((own**2).sum())) + bias
            p = 1 / (1 + np.exp(-s))
            contrast = 1 - p[j] + np.delete(p, j).max()
            total += contrast if variant == "contrast" else np.log(np.exp(s).sum()) - s[j]
    return total if reduction == "sum" else total / (speakers * utterances)


REFERENCES: dict[str, Callable[..., list[Array]]] = {
    "gan_discriminator_loss": _gan_discriminator,
    "gan_generator_loss": _gan_generator,
    "lsgan_discriminator_loss": lambda weight, real, fake, real_label=1.0, fake_label=0.0, scale=0.5: [
        scale * (real - real_label) ** 2,
        scale * (fake - fake_label) ** 2,
    ],
    "lsgan_generator_loss": lambda weight, fake, label=1.0, scale=0.5: [scale * (fake - label) ** 2],
    "hinge_gan_discriminator_loss": lambda weight, real, fake: [np.maximum(0, 1 - real), np.maximum(0, 1 + fake)],
    "hinge_gan_generator_loss": lambda weight, fake: [-fake],
    "wgan_discriminator_loss": lambda weight, real, fake: [-real, fake],
    "wgan_generator_loss": lambda weight, fake: [-fake],
    "relativistic_discriminator_loss": _relativistic,
    "relativistic_generator_loss": lambda weight, real, fake, **params: _relativistic(weight, fake, real, **params),
    "gradient_penalty": _gradient_penalty,
    "r1_penalty": lambda weight, gradients, gamma=10.0: [gamma / 2 * (gradients**2).reshape(len(gradients), -1).sum(1)],
    "cycle_consistency_loss": lambda weight, real_a, cycled_a, real_b, cycled_b, **params: _apart(
        weight, real_a, cycled_a, real_b, cycled_b, **params
    ),
    "identity_loss": lambda weight, real_a, same_a, real_b, same_b, **params: _apart(
        weight, real_a, same_a, real_b, same_b, **params
    ),
    "feature_matching_loss": _feature_matching,
    "vae_kl_loss": _vae_kl,
    "l1_penalty": _penalty(1),
    "l2_penalty": _penalty(2),
}
