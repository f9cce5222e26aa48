"""Compositions on example arrays, and what they are in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Shapes = Mapping[str, tuple[tuple[int, ...], ...] | tuple[int, ...]]

REAL_AND_FAKE: Shapes = {"real": (7,), "fake": (5, 2)}
FAKE: Shapes = {"fake": (5, 2)}
CYCLES: Shapes = {"real_a": (4, 3, 2), "cycled_a": (4, 3, 2), "real_b": (5, 2), "cycled_b": (5, 2)}
SAME: Shapes = {"real_a": (4, 3, 2), "same_a": (4, 3, 2), "real_b": (5, 2), "same_b": (5, 2)}
LAYERS: Shapes = {"real": ((4, 3), (4, 5, 2)), "fake": ((4, 3), (4, 5, 2))}
CODES: Shapes = {"mu": (6, 4), "logvar": (6, 4)}
SLOPES: Shapes = {"gradients": (5, 3, 2)}
WEIGHTS: Shapes = {"weights": ((3, 4), (5,))}


@dataclass(frozen=True)
class CompositionCase:
    """A composition, its parameters, and the shapes of its arrays, or of the arrays of a list."""

    loss: str
    shapes: Shapes
    params: Mapping[str, Any] = field(default_factory=dict)

    def random(self, dtype: Any = np.float64, salt: int = 0) -> dict[str, Any]:
        """Arrays of numbers around zero, or probabilities where the loss wants them; some targets are alike."""
        generator = np.random.default_rng([salt, *self.loss.encode()])

        def draw(shape: tuple[int, ...]) -> Array:
            normal = generator.normal(size=shape)
            return (1 / (1 + np.exp(-normal)) if self.params.get("from_logits") is False else normal).astype(dtype)

        drawn = {
            name: [draw(each) for each in shape] if isinstance(shape[0], tuple) else draw(shape)
            for name, shape in self.shapes.items()
        }
        return drawn | {"target": np.rint(drawn["target"])} if "target" in drawn else drawn

    def __str__(self) -> str:
        return "-".join([self.loss, *(f"{key}={value}" for key, value in self.params.items())])


CASES = (
    CompositionCase("gan_discriminator_loss", REAL_AND_FAKE),
    CompositionCase("gan_discriminator_loss", REAL_AND_FAKE, {"real_label": 0.9, "scale": 0.5, "reduction": "sum"}),
    CompositionCase("gan_discriminator_loss", REAL_AND_FAKE, {"from_logits": False}),
    CompositionCase("gan_generator_loss", FAKE),
    CompositionCase("gan_generator_loss", FAKE, {"saturating": True, "scale": 0.5, "reduction": "sum"}),
    CompositionCase("gan_generator_loss", FAKE, {"saturating": True, "from_logits": False}),
    CompositionCase("lsgan_discriminator_loss", REAL_AND_FAKE),
    CompositionCase(
        "lsgan_discriminator_loss",
        REAL_AND_FAKE,
        {"real_label": 0.8, "fake_label": -1.0, "scale": 1.0, "reduction": "sum"},
    ),
    CompositionCase("lsgan_generator_loss", FAKE),
    CompositionCase("lsgan_generator_loss", FAKE, {"label": 0.0, "scale": 2.0, "reduction": "sum"}),
    CompositionCase("hinge_gan_discriminator_loss", REAL_AND_FAKE),
    CompositionCase("hinge_gan_discriminator_loss", REAL_AND_FAKE, {"reduction": "sum"}),
    CompositionCase("hinge_gan_generator_loss", FAKE),
    CompositionCase("hinge_gan_generator_loss", FAKE, {"reduction": "sum"}),
    CompositionCase("wgan_discriminator_loss", REAL_AND_FAKE),
    CompositionCase("wgan_discriminator_loss", REAL_AND_FAKE, {"reduction": "sum"}),
    CompositionCase("wgan_generator_loss", FAKE),
    CompositionCase("wgan_generator_loss", FAKE, {"reduction": "sum"}),
    CompositionCase("relativistic_discriminator_loss", REAL_AND_FAKE),
    CompositionCase("relativistic_discriminator_loss", REAL_AND_FAKE, {"scale": 0.5, "reduction": "sum"}),
    CompositionCase("relativistic_generator_loss", REAL_AND_FAKE),
    CompositionCase("relativistic_generator_loss", REAL_AND_FAKE, {"scale": 0.5, "reduction": "sum"}),
    CompositionCase("gradient_penalty", SLOPES),
    CompositionCase("gradient_penalty", SLOPES, {"one_sided": True, "target": 2.0, "scale": 3.0}),
    CompositionCase("r1_penalty", SLOPES),
    CompositionCase("r1_penalty", SLOPES, {"gamma": 2.0}),
    CompositionCase("cycle_consistency_loss", CYCLES),
    CompositionCase("cycle_consistency_loss", CYCLES, {"scale": 10.0, "reduction": "sum_per_sample"}),
    CompositionCase("cycle_consistency_loss", CYCLES, {"reduction": "sum"}),
    CompositionCase("identity_loss", SAME),
    CompositionCase("identity_loss", SAME, {"scale": 0.5, "reduction": "sum_per_sample"}),
    CompositionCase("identity_loss", SAME, {"reduction": "sum"}),
    CompositionCase("feature_matching_loss", LAYERS),
    CompositionCase("feature_matching_loss", LAYERS, {"norm": "l2", "scale": 10.0, "reduction": "sum_per_sample"}),
    CompositionCase("feature_matching_loss", REAL_AND_FAKE | {"real": (5, 2)}, {"reduction": "sum"}),
    CompositionCase("vae_kl_loss", CODES),
    CompositionCase("vae_kl_loss", CODES, {"reduction": "sum"}),
    CompositionCase("vae_kl_loss", CODES, {"free_bits": 0.9}),
    CompositionCase("vae_kl_loss", CODES, {"free_bits": 0.9, "reduction": "sum"}),
    CompositionCase("l1_penalty", WEIGHTS),
    CompositionCase("l1_penalty", {"weights": (3, 4)}, {"scale": 0.1}),
    CompositionCase("l2_penalty", WEIGHTS),
    CompositionCase("l2_penalty", {"weights": (3, 4)}, {"scale": 0.1}),
)


def softplus(x: Array) -> Array:
    return np.logaddexp(0.0, x)


def _reduced(values: Array, reduction: str = "mean") -> Any:
    if reduction == "sum_per_sample":
        return values.sum() / len(values)
    return values.mean() if reduction == "mean" else values.sum()


def _gan_discriminator(real, fake, from_logits=True, real_label=1.0, scale=1.0, reduction="mean"):
    if from_logits:
        on_real, on_fake = real_label * softplus(-real) + (1 - real_label) * softplus(real), softplus(fake)
    else:
        on_real, on_fake = -real_label * np.log(real) - (1 - real_label) * np.log(1 - real), -np.log(1 - fake)
    return scale * (_reduced(on_real, reduction) + _reduced(on_fake, reduction))


def _gan_generator(fake, saturating=False, from_logits=True, scale=1.0, reduction="mean"):
    p = 1 / (1 + np.exp(-fake)) if from_logits else fake
    return scale * _reduced(np.log(1 - p) if saturating else -np.log(p), reduction)


def _lsgan_discriminator(real, fake, real_label=1.0, fake_label=0.0, scale=0.5, reduction="mean"):
    return scale * (_reduced((real - real_label) ** 2, reduction) + _reduced((fake - fake_label) ** 2, reduction))


def _hinge_gan_discriminator(real, fake, reduction="mean"):
    return _reduced(np.maximum(0, 1 - real), reduction) + _reduced(np.maximum(0, 1 + fake), reduction)


def _relativistic(real, fake, scale=1.0, reduction="mean"):
    ahead, behind = softplus(-(real - fake.mean())), softplus(fake - real.mean())
    return scale * (_reduced(ahead, reduction) + _reduced(behind, reduction))


def _gradient_penalty(gradients, target=1.0, one_sided=False, scale=10.0):
    norms = np.sqrt((gradients**2).reshape(len(gradients), -1).sum(1))
    excess = norms - target
    return scale * ((np.maximum(excess, 0) if one_sided else excess) ** 2).mean()


def _distance(pairs, scale, reduction, power=1):
    return scale * sum(_reduced(abs(a - b) ** power, reduction) for a, b in pairs)


def _feature_matching(real, fake, norm="l1", scale=1.0, reduction="mean"):
    lists = isinstance(real, list)
    return _distance(zip(real, fake, strict=True) if lists else [(real, fake)], scale, reduction, int(norm[1]))


def _vae_kl(mu, logvar, free_bits=0.0, reduction="mean"):
    each = ((mu**2 + np.exp(logvar) - logvar - 1) / 2).mean(0)
    return np.maximum(each, free_bits).sum() * (1 if reduction == "mean" else len(mu))


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


def _penalty(power):
    def penalty(weights, scale=1.0):
        return scale * sum((abs(w) ** power).sum() for w in (weights if isinstance(weights, list) else [weights]))

    return penalty


REFERENCES: dict[str, Callable[..., Any]] = {
    "gan_discriminator_loss": _gan_discriminator,
    "gan_generator_loss": _gan_generator,
    "lsgan_discriminator_loss": _lsgan_discriminator,
    "lsgan_generator_loss": lambda fake, label=1.0, scale=0.5, reduction="mean": (
        scale * _reduced((fake - label) ** 2, reduction)
    ),
    "hinge_gan_discriminator_loss": _hinge_gan_discriminator,
    "hinge_gan_generator_loss": lambda fake, reduction="mean": -_reduced(fake, reduction),
    "wgan_discriminator_loss": lambda real, fake, reduction="mean": (
        _reduced(fake, reduction) - _reduced(real, reduction)
    ),
    "wgan_generator_loss": lambda fake, reduction="mean": -_reduced(fake, reduction),
    "relativistic_discriminator_loss": _relativistic,
    "relativistic_generator_loss": lambda real, fake, **params: _relativistic(fake, real, **params),
    "gradient_penalty": _gradient_penalty,
    "r1_penalty": lambda gradients, gamma=10.0: gamma / 2 * (gradients**2).sum() / len(gradients),
    "cycle_consistency_loss": lambda real_a, cycled_a, real_b, cycled_b, scale=1.0, reduction="mean": _distance(
        [(real_a, cycled_a), (real_b, cycled_b)], scale, reduction
    ),
    "identity_loss": lambda real_a, same_a, real_b, same_b, scale=1.0, reduction="mean": _distance(
        [(real_a, same_a), (real_b, same_b)], scale, reduction
    ),
    "feature_matching_loss": _feature_matching,
    "vae_kl_loss": _vae_kl,
    "l1_penalty": _penalty(1),
    "l2_penalty": _penalty(2),
}
