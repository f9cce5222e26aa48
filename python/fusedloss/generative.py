"""Losses of generative models, composed of others: adversarial ones, cycles, penalties, variational bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._composition import Constant, Given, Norms, Part, Relative, composed, composition, each_given, given
from ._loss import Loss, Result
from ._validation import choice, finite, in_range, non_negative
from .binary import binary_cross_entropy, binary_cross_entropy_with_logits, hinge_loss
from .regression import l1_loss, linex_loss, mean_bias_error, mse_loss

__all__ = [
    "cycle_consistency_loss",
    "feature_matching_loss",
    "gan_discriminator_loss",
    "gan_generator_loss",
    "gradient_penalty",
    "hinge_gan_discriminator_loss",
    "hinge_gan_generator_loss",
    "identity_loss",
    "l1_penalty",
    "l2_penalty",
    "lsgan_discriminator_loss",
    "lsgan_generator_loss",
    "r1_penalty",
    "relativistic_discriminator_loss",
    "relativistic_generator_loss",
    "vae_kl_loss",
    "wgan_discriminator_loss",
    "wgan_generator_loss",
]


def _cross_entropy(from_logits: bool, reduction: str) -> Loss[...]:
    loss: Loss[...] = binary_cross_entropy_with_logits if from_logits else binary_cross_entropy
    return _reduced(loss, reduction)


def _reduced(loss: Loss[...], reduction: str) -> Loss[...]:
    return loss.bind(reduction=choice("reduction", reduction, ("mean", "sum")))


@composition(trains=("real", "fake"), aliases=("minimax GAN discriminator", "non-saturating GAN discriminator"))
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    from_logits: bool = True,
    real_label: float = 1.0,
    scale: float = 1.0,
    reduction: str = "mean",
) -> Result:
    """Discriminator of the original GAN: binary cross entropy of real samples against 1 and of fake ones against 0.

    Formula: ``scale * (mean(softplus(-real)) + mean(softplus(fake)))``, that is
        ``-mean(log(D(x))) - mean(log(1 - D(G(z))))`` with ``D = sigmoid(logit)``.
    Gradient: ``-scale * sigmoid(-real) / real.size`` and ``scale * sigmoid(fake) / fake.size``.
    Domain: any logits; with ``from_logits=False`` probabilities.
    Source: Goodfellow et al. (2014), Generative adversarial nets.

    Parameters
    ----------
    real : array_like
        Scores that the discriminator gives real samples, any shape.
    fake : array_like
        Scores that it gives generated samples, any shape.
    from_logits : bool, default True
        Whether the scores are logits; else they are probabilities.
    real_label : float, default 1.0
        Target of the real samples, in (0, 1]; below 1 it is the one-sided label smoothing of Salimans et al. (2016).
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    reduction : {"mean", "sum"}, default "mean"
        Of each of the two batches; their losses are added.

    {common}
    """
    loss = _cross_entropy(from_logits, reduction)
    factor = finite("scale", scale)
    label = in_range("real_label", real_label, 0.0, 1.0, inclusive="high")
    real_part = Part(loss, (given("real", real), label), factor)
    return composed(real_part, Part(loss, (given("fake", fake), 0.0), factor))


@composition(trains=("fake",), aliases=("minimax GAN generator", "saturating GAN generator", "non-saturating GAN"))
def gan_generator_loss(
    fake: ArrayLike,
    *,
    saturating: bool = False,
    from_logits: bool = True,
    scale: float = 1.0,
    reduction: str = "mean",
) -> Result:
    """Generator of the original GAN: it makes the discriminator take fake samples for real ones.

    Formula: ``scale * mean(softplus(-fake))``, that is ``-mean(log(D(G(z))))``; the minimax loss, with `saturating`, is
        ``-scale * mean(softplus(fake))``, that is ``mean(log(1 - D(G(z))))``.
    Gradient: ``-scale * sigmoid(-fake) / fake.size``; with `saturating` ``-scale * sigmoid(fake) / fake.size``, which
        vanishes where the discriminator wins.
    Domain: any logits; with ``from_logits=False`` probabilities.
    Source: Goodfellow et al. (2014), Generative adversarial nets.

    Parameters
    ----------
    fake : array_like
        Scores that the discriminator gives generated samples, any shape.
    saturating : bool, default False
        Whether to take the minimax loss.
    from_logits : bool, default True
        Whether the scores are logits; else they are probabilities.
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    reduction : {"mean", "sum"}, default "mean"
        Over the batch.

    {common}
    """
    factor, loss = finite("scale", scale), _cross_entropy(from_logits, reduction)
    label, factor = (0.0, -factor) if saturating else (1.0, factor)
    return composed(Part(loss, (given("fake", fake), label), factor))


@composition(trains=("real", "fake"), aliases=("least squares GAN discriminator",))
def lsgan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    real_label: float = 1.0,
    fake_label: float = 0.0,
    scale: float = 0.5,
    reduction: str = "mean",
) -> Result:
    """Discriminator of the least squares GAN.

    Formula: ``scale * (mean((real - real_label)**2) + mean((fake - fake_label)**2))``.
    Gradient: ``2 * scale * (real - real_label) / real.size`` and ``2 * scale * (fake - fake_label) / fake.size``.
    Domain: any real scores.
    Source: Mao, Li, Xie, Lau, Wang and Smolley (2017), Least squares generative adversarial networks.

    Parameters
    ----------
    real : array_like
        Scores that the discriminator gives real samples, any shape.
    fake : array_like
        Scores that it gives generated samples, any shape.
    real_label : float, default 1.0
        Target of the real samples.
    fake_label : float, default 0.0
        Target of the generated samples.
    scale : float, default 0.5
        Multiplies the loss.
    reduction : {"mean", "sum"}, default "mean"
        Of each of the two batches; their losses are added.

    {common}
    """
    loss, factor = _reduced(mse_loss, reduction), finite("scale", scale)
    real_part = Part(loss, (given("real", real), finite("real_label", real_label)), factor)
    return composed(real_part, Part(loss, (given("fake", fake), finite("fake_label", fake_label)), factor))


@composition(trains=("fake",), aliases=("least squares GAN generator",))
def lsgan_generator_loss(fake: ArrayLike, *, label: float = 1.0, scale: float = 0.5, reduction: str = "mean") -> Result:
    """Generator of the least squares GAN.

    Formula: ``scale * mean((fake - label)**2)``.
    Gradient: ``2 * scale * (fake - label) / fake.size``.
    Domain: any real scores.
    Source: Mao, Li, Xie, Lau, Wang and Smolley (2017), Least squares generative adversarial networks.

    Parameters
    ----------
    fake : array_like
        Scores that the discriminator gives generated samples, any shape.
    label : float, default 1.0
        The score that the generator aims at.
    scale : float, default 0.5
        Multiplies the loss.
    reduction : {"mean", "sum"}, default "mean"
        Over the batch.

    {common}
    """
    part = given("fake", fake), finite("label", label)
    return composed(Part(_reduced(mse_loss, reduction), part, finite("scale", scale)))


@composition(trains=("real", "fake"), aliases=("geometric GAN discriminator",))
def hinge_gan_discriminator_loss(real: ArrayLike, fake: ArrayLike, *, reduction: str = "mean") -> Result:
    """Discriminator of the hinge GAN.

    Formula: ``mean(max(0, 1 - real)) + mean(max(0, 1 + fake))``.
    Gradient: ``-1 / real.size`` where ``real < 1`` and ``1 / fake.size`` where ``fake > -1``, else 0 (at the kinks,
        too).
    Domain: any real scores.
    Source: Lim and Ye (2017), Geometric GAN.

    Parameters
    ----------
    real : array_like
        Scores that the discriminator gives real samples, any shape.
    fake : array_like
        Scores that it gives generated samples, any shape.
    reduction : {"mean", "sum"}, default "mean"
        Of each of the two batches; their losses are added.

    {common}
    """
    loss = _reduced(hinge_loss, reduction)
    return composed(Part(loss, (given("real", real), 1.0)), Part(loss, (given("fake", fake), -1.0)))


@composition(trains=("fake",), aliases=("geometric GAN generator",))
def hinge_gan_generator_loss(fake: ArrayLike, *, reduction: str = "mean") -> Result:
    """Generator of the hinge GAN.

    Formula: ``-mean(fake)``.
    Gradient: ``-1 / fake.size``.
    Domain: any real scores.
    Source: Lim and Ye (2017), Geometric GAN.

    Parameters
    ----------
    fake : array_like
        Scores that the discriminator gives generated samples, any shape.
    reduction : {"mean", "sum"}, default "mean"
        Over the batch.

    {common}
    """
    return composed(Part(_reduced(mean_bias_error, reduction), (given("fake", fake), 0.0)))


@composition(trains=("real", "fake"), aliases=("Wasserstein GAN critic", "earth mover critic"))
def wgan_discriminator_loss(real: ArrayLike, fake: ArrayLike, *, reduction: str = "mean") -> Result:
    """Critic of the Wasserstein GAN; it wants `gradient_penalty` or clipped weights beside it.

    Formula: ``mean(fake) - mean(real)``.
    Gradient: ``-1 / real.size`` and ``1 / fake.size``.
    Domain: any real scores.
    Source: Arjovsky, Chintala and Bottou (2017), Wasserstein generative adversarial networks.

    Parameters
    ----------
    real : array_like
        Scores that the critic gives real samples, any shape.
    fake : array_like
        Scores that it gives generated samples, any shape.
    reduction : {"mean", "sum"}, default "mean"
        Of each of the two batches.

    {common}
    """
    loss = _reduced(mean_bias_error, reduction)
    return composed(Part(loss, (given("real", real), 0.0)), Part(loss, (given("fake", fake), 0.0), -1.0))


@composition(trains=("fake",), aliases=("Wasserstein GAN generator",))
def wgan_generator_loss(fake: ArrayLike, *, reduction: str = "mean") -> Result:
    """Generator of the Wasserstein GAN.

    Formula: ``-mean(fake)``.
    Gradient: ``-1 / fake.size``.
    Domain: any real scores.
    Source: Arjovsky, Chintala and Bottou (2017), Wasserstein generative adversarial networks.

    Parameters
    ----------
    fake : array_like
        Scores that the critic gives generated samples, any shape.
    reduction : {"mean", "sum"}, default "mean"
        Over the batch.

    {common}
    """
    return composed(Part(_reduced(mean_bias_error, reduction), (given("fake", fake), 0.0)))


def _relativistic(first: Given, second: Given, scale: float, reduction: str) -> Result:
    loss, factor = _cross_entropy(True, reduction), finite("scale", scale)
    ahead = Part(loss, (Relative(first, second), 1.0), factor)
    return composed(ahead, Part(loss, (Relative(second, first), 0.0), factor))


@composition(trains=("real", "fake"), aliases=("RaGAN discriminator", "relativistic average GAN discriminator"))
def relativistic_discriminator_loss(
    real: ArrayLike, fake: ArrayLike, *, scale: float = 1.0, reduction: str = "mean"
) -> Result:
    """Discriminator of the relativistic average GAN: real samples shall score above the average fake one.

    Formula: ``scale * (mean(softplus(-(real - mean(fake)))) + mean(softplus(fake - mean(real))))``.
    Gradient: through both scores and both means.
    Domain: any logits.
    Source: Jolicoeur-Martineau (2019), The relativistic discriminator.

    Parameters
    ----------
    real : array_like
        Logits that the discriminator gives real samples, any shape.
    fake : array_like
        Logits that it gives generated samples, any shape.
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    reduction : {"mean", "sum"}, default "mean"
        Of each of the two batches; their losses are added.

    {common}
    """
    return _relativistic(given("real", real), given("fake", fake), scale, reduction)


@composition(trains=("fake",), aliases=("RaGAN generator", "relativistic average GAN generator"))
def relativistic_generator_loss(
    real: ArrayLike, fake: ArrayLike, *, scale: float = 1.0, reduction: str = "mean"
) -> Result:
    """Generator of the relativistic average GAN: fake samples shall score above the average real one.

    Formula: ``scale * (mean(softplus(-(fake - mean(real)))) + mean(softplus(real - mean(fake))))``.
    Gradient: through both scores and both means.
    Domain: any logits.
    Source: Jolicoeur-Martineau (2019), The relativistic discriminator.

    Parameters
    ----------
    real : array_like
        Logits that the discriminator gives real samples, any shape.
    fake : array_like
        Logits that it gives generated samples, any shape.
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    reduction : {"mean", "sum"}, default "mean"
        Of each of the two batches; their losses are added.

    {common}
    """
    return _relativistic(given("fake", fake), given("real", real), scale, reduction)


@composition(trains=("gradients",), aliases=("R1 regularization",))
def r1_penalty(gradients: ArrayLike, *, gamma: float = 10.0) -> Result:
    """Squared norm of the discriminator's gradients at real samples.

    Formula: ``gamma / 2 * mean(|g|**2)``: the squared norm of each sample's gradient, averaged over the first axis.
    Gradient: ``gamma * g / N``.
    Domain: any real gradients.
    Source: Mescheder, Geiger and Nowozin (2018), Which training methods for GANs do actually converge?

    Parameters
    ----------
    gradients : array_like
        Gradients of the scores in the samples, samples along the first axis.
    gamma : float, default 10.0
        Weight of the penalty; must not be negative.

    {common}
    """
    g = given("gradients", gradients)
    return composed(Part(_reduced(mse_loss, "sum"), (g, 0.0), 0.5 * non_negative("gamma", gamma) / _samples(g)))


def _samples(x: Given) -> int:
    shape = x.array.shape
    return max(shape[0], 1) if shape else 1


def _distances(loss: Loss[...], pairs: tuple[tuple[Given, Given], ...], scale: float, reduction: str) -> Result:
    choice("reduction", reduction, ("mean", "sum_per_sample", "sum"))
    reduced, factor = _reduced(loss, "mean" if reduction == "mean" else "sum"), finite("scale", scale)
    shares = [factor / (_samples(x) if reduction == "sum_per_sample" else 1) for x, _ in pairs]
    return composed(*(Part(reduced, pair, share) for pair, share in zip(pairs, shares, strict=True)))


@composition(trains=("cycled_a", "cycled_b"), aliases=("CycleGAN",))
def cycle_consistency_loss(
    real_a: ArrayLike,
    cycled_a: ArrayLike,
    real_b: ArrayLike,
    cycled_b: ArrayLike,
    *,
    scale: float = 1.0,
    reduction: str = "mean",
) -> Result:
    """Distance of samples from what two generators, one after the other, make of them, in both directions.

    Formula: ``scale * (mean(|cycled_a - real_a|) + mean(|cycled_b - real_b|))``; the norms of the paper are the sums
        over each sample, "sum_per_sample".
    Gradient: ``scale * sign(cycled - real)``, 0 at 0, over what the mean divides by; the real samples get the negative.
    Domain: any real arrays.
    Source: Zhu, Park, Isola and Efros (2017), Unpaired image-to-image translation using cycle-consistent adversarial
        networks.

    Parameters
    ----------
    real_a : array_like
        Samples of the first domain, x.
    cycled_a : array_like
        What comes back of them, F(G(x)).
    real_b : array_like
        Samples of the second domain, y.
    cycled_b : array_like
        What comes back of them, G(F(y)).
    scale : float, default 1.0
        Multiplies the loss; the paper adds it to others with 10.
    reduction : {"mean", "sum_per_sample", "sum"}, default "mean"
        Over all elements; or the sum over each sample, averaged over the first axis; or the sum.

    {common}
    """
    first = given("cycled_a", cycled_a), given("real_a", real_a)
    second = given("cycled_b", cycled_b), given("real_b", real_b)
    return _distances(l1_loss, (first, second), scale, reduction)


@composition(trains=("same_a", "same_b"), aliases=("CycleGAN identity",))
def identity_loss(
    real_a: ArrayLike,
    same_a: ArrayLike,
    real_b: ArrayLike,
    same_b: ArrayLike,
    *,
    scale: float = 1.0,
    reduction: str = "mean",
) -> Result:
    """Distance of samples from what the generator of their own domain makes of them.

    Formula: ``scale * (mean(|same_a - real_a|) + mean(|same_b - real_b|))``.
    Gradient: ``scale * sign(same - real)``, 0 at 0, over what the mean divides by; the real samples get the negative.
    Domain: any real arrays.
    Source: Zhu, Park, Isola and Efros (2017), Unpaired image-to-image translation using cycle-consistent adversarial
        networks.

    Parameters
    ----------
    real_a : array_like
        Samples of the first domain, x.
    same_a : array_like
        F(x), where F generates that domain.
    real_b : array_like
        Samples of the second domain, y.
    same_b : array_like
        G(y), where G generates that domain.
    scale : float, default 1.0
        Multiplies the loss; the paper takes half the weight of the cycle consistency.
    reduction : {"mean", "sum_per_sample", "sum"}, default "mean"
        Over all elements; or the sum over each sample, averaged over the first axis; or the sum.

    {common}
    """
    first = given("same_a", same_a), given("real_a", real_a)
    second = given("same_b", same_b), given("real_b", real_b)
    return _distances(l1_loss, (first, second), scale, reduction)


@composition(trains=("fake",), aliases=("pix2pixHD", "perceptual distance of features"))
def feature_matching_loss(
    real: ArrayLike, fake: ArrayLike, *, norm: str = "l1", scale: float = 1.0, reduction: str = "mean"
) -> Result:
    """Distance of the features that a network computes of real and of generated samples, over its layers.

    Formula: ``scale * sum(mean(|fake_k - real_k|) for each layer k)``; squares in place of ``|...|`` with "l2".
    Gradient: ``scale * sign(fake - real)``, 0 at 0, or ``2 * scale * (fake - real)``, over what the mean divides by;
        the real features get the negative.
    Domain: any real arrays.
    Source: Wang, Liu, Zhu, Tao, Kautz and Catanzaro (2018), High-resolution image synthesis with conditional GANs.

    Parameters
    ----------
    real : array_like or list of array_like
        Features of real samples, one array per layer.
    fake : array_like or list of array_like
        Features of generated samples, of the same shapes.
    norm : {"l1", "l2"}, default "l1"
        Absolute or squared differences.
    scale : float, default 1.0
        Multiplies the loss.
    reduction : {"mean", "sum_per_sample", "sum"}, default "mean"
        Of each layer: over all elements; or the sum over each sample, averaged over the first axis; or the sum.

    {common}
    """
    loss: Loss[...] = {"l1": l1_loss, "l2": mse_loss}[choice("norm", norm, ("l1", "l2"))]
    ours, others = each_given("fake", fake), each_given("real", real)
    if len(ours) != len(others):
        raise ValueError(f"fake has {len(ours)} arrays, real has {len(others)}")
    return _distances(loss, tuple(zip(ours, others, strict=True)), scale, reduction)


@composition(trains=("mu", "logvar"), aliases=("ELBO KL", "Gaussian KL to the standard normal"))
def vae_kl_loss(mu: ArrayLike, logvar: ArrayLike, *, free_bits: float = 0.0, reduction: str = "mean") -> Result:
    """Divergence of a diagonal Gaussian from the standard normal distribution: the regularizer of an autoencoder.

    Formula: ``sum((mu**2 + exp(logvar) - logvar - 1) / 2)`` over each sample, averaged over the first axis; with
        `free_bits`, each latent dimension counts with its average over the samples, but at least with `free_bits`.
    Gradient: ``mu / N`` and ``(exp(logvar) - 1) / (2 * N)``; 0 in dimensions that do not exceed `free_bits`.
    Domain: any real `mu` and `logvar`.
    Source: Kingma and Welling (2014), Auto-encoding variational Bayes; Kingma et al. (2016), Improved variational
        inference with inverse autoregressive flow, for the free bits.

    Parameters
    ----------
    mu : array_like
        Means, samples along the first axis.
    logvar : array_like
        Logarithms of the variances, in the shape of `mu`.
    free_bits : float, default 0.0
        Divergence per latent dimension that costs the same as none, in nats; must not be negative.
    reduction : {"mean", "sum"}, default "mean"
        Over the samples, after the sum over each.

    {common}
    """
    mean, log_variance, least = given("mu", mu), given("logvar", logvar), non_negative("free_bits", free_bits)
    if mean.array.shape != log_variance.array.shape:
        raise ValueError(f"logvar has shape {log_variance.array.shape}, mu has {mean.array.shape}")
    samples = _samples(mean)
    scale = 0.5 if choice("reduction", reduction, ("mean", "sum")) == "sum" else 0.5 / samples
    terms = ((mse_loss, mean), (linex_loss, log_variance))
    if least == 0.0:
        return composed(*(Part(_reduced(loss, "sum"), (x, 0.0), scale) for loss, x in terms))
    each = [np.asarray(loss(x.array, 0.0, reduction="none"), np.float64) for loss, x in terms]
    active = np.mean(np.atleast_1d(0.5 * (each[0] + each[1])), axis=0) > least
    free = least * float(np.size(active) - np.count_nonzero(active)) * (2.0 * scale * samples)
    options = {"sample_weight": active}
    return composed(Constant(free), *(Part(_reduced(loss, "sum"), (x, 0.0), scale, options) for loss, x in terms))


@composition(trains=("gradients",), aliases=("WGAN-GP", "one-sided gradient penalty"))
def gradient_penalty(
    gradients: ArrayLike, *, target: float = 1.0, one_sided: bool = False, scale: float = 10.0
) -> Result:
    """Penalty on gradients whose norm is not 1, given the gradients of the critic between real and fake samples.

    Formula: ``scale * mean((|g| - target)**2)``, with the norm of each sample's gradient, averaged over the first axis;
        with `one_sided` ``max(0, |g| - target)**2``.
    Gradient: ``2 * scale * (|g| - target) * g / |g| / N``, 0 at ``g = 0``.
    Domain: any real gradients.
    Source: Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville (2017), Improved training of Wasserstein GANs.

    Parameters
    ----------
    gradients : array_like
        Gradients of the scores in the samples, samples along the first axis.
    target : float, default 1.0
        The norm wanted; must not be negative.
    one_sided : bool, default False
        Whether smaller norms are as good.
    scale : float, default 10.0
        Multiplies the penalty.

    {common}
    """
    wanted = non_negative("target", target)
    norms = Norms(given("gradients", gradients), wanted if one_sided else 0.0)
    return composed(Part(_reduced(mse_loss, "mean"), (norms, wanted), finite("scale", scale)))


@composition(trains=("weights",), aliases=("lasso", "L1 regularization"))
def l1_penalty(weights: ArrayLike, *, scale: float = 1.0) -> Result:
    """Sum of absolute weights.

    Formula: ``scale * sum(|w|)``.
    Gradient: ``scale * sign(w)``, 0 at 0.
    Domain: any real weights.
    Source: Tibshirani (1996), Regression shrinkage and selection via the lasso.

    Parameters
    ----------
    weights : array_like or list of array_like
        Weights of a model, any shapes.
    scale : float, default 1.0
        Multiplies the penalty.

    {common}
    """
    loss, factor = _reduced(l1_loss, "sum"), finite("scale", scale)
    return composed(*(Part(loss, (w, 0.0), factor) for w in each_given("weights", weights)))


@composition(trains=("weights",), aliases=("ridge", "weight decay", "L2 regularization"))
def l2_penalty(weights: ArrayLike, *, scale: float = 1.0) -> Result:
    """Sum of squared weights.

    Formula: ``scale * sum(w**2)``.
    Gradient: ``2 * scale * w``.
    Domain: any real weights.
    Source: Hoerl and Kennard (1970), Ridge regression.

    Parameters
    ----------
    weights : array_like or list of array_like
        Weights of a model, any shapes.
    scale : float, default 1.0
        Multiplies the penalty.

    {common}
    """
    loss, factor = _reduced(mse_loss, "sum"), finite("scale", scale)
    return composed(*(Part(loss, (w, 0.0), factor) for w in each_given("weights", weights)))
