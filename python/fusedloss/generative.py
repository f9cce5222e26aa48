"""Losses of generative models, composed of others: adversarial ones, cycles, penalties, variational bounds."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._composition import (
    Given,
    Part,
    SampleSums,
    composed,
    composition,
    composition_by_sample,
    composition_of_differences,
    each_given,
    given,
    several,
)
from ._generative import FreeBits, Norms, Relative
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


def _cross_entropy(from_logits: bool) -> Loss[...]:
    return binary_cross_entropy_with_logits if from_logits else binary_cross_entropy


def _against(
    loss: Loss[...], real: ArrayLike, label: float, fake: ArrayLike, other: float, scale: float = 1.0
) -> Result:
    """What a discriminator is trained with: real scores shall have a label, fake ones another."""
    scores, others, factor = given("real", real), given("fake", fake), finite("scale", scale)
    parts = Part(loss, (scores, label), factor), Part(loss, (others, other), factor)
    return composed(*parts, real=scores, fake=others)


def _towards(loss: Loss[...], fake: ArrayLike, label: float, scale: float = 1.0) -> Result:
    """What a generator is trained with: fake scores shall have a label."""
    scores = given("fake", fake)
    return composed(Part(loss, (scores, label), finite("scale", scale)), fake=scores)


@composition(trains=("real", "fake"), aliases=("minimax GAN discriminator", "non-saturating GAN discriminator"))
def gan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    from_logits: bool = True,
    real_label: float = 1.0,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
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
    {arrays}
    from_logits : bool, default True
        Whether the scores are logits; else they are probabilities.
    real_label : float, default 1.0
        Target of the real samples, in (0, 1]; below 1 it is the one-sided label smoothing of Salimans et al. (2016).
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    {common}
    """
    loss, label = _cross_entropy(from_logits), in_range("real_label", real_label, 0.0, 1.0, inclusive="high")
    return _against(loss, real, label, fake, 0.0, scale)


@composition(trains=("fake",), aliases=("minimax GAN generator", "saturating GAN generator", "non-saturating GAN"))
def gan_generator_loss(
    fake: ArrayLike,
    *,
    saturating: bool = False,
    from_logits: bool = True,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
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
    {arrays}
    saturating : bool, default False
        Whether to take the minimax loss.
    from_logits : bool, default True
        Whether the scores are logits; else they are probabilities.
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    {common}
    """
    loss = _cross_entropy(from_logits)
    return _towards(loss, fake, 0.0 if saturating else 1.0, -finite("scale", scale) if saturating else scale)


@composition(trains=("real", "fake"), aliases=("least squares GAN discriminator",))
def lsgan_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    real_label: float = 1.0,
    fake_label: float = 0.0,
    scale: float = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Discriminator of the least squares GAN.

    Formula: ``scale * (mean((real - real_label)**2) + mean((fake - fake_label)**2))``.
    Gradient: ``2 * scale * (real - real_label) / real.size`` and ``2 * scale * (fake - fake_label) / fake.size``.
    Domain: any real scores.
    Source: Mao, Li, Xie, Lau, Wang and Smolley (2017), Least squares generative adversarial networks.

    Parameters
    ----------
    {arrays}
    real_label : float, default 1.0
        Target of the real samples.
    fake_label : float, default 0.0
        Target of the generated samples.
    scale : float, default 0.5
        Multiplies the loss.
    {common}
    """
    return _against(mse_loss, real, finite("real_label", real_label), fake, finite("fake_label", fake_label), scale)


@composition(trains=("fake",), aliases=("least squares GAN generator",))
def lsgan_generator_loss(
    fake: ArrayLike,
    *,
    label: float = 1.0,
    scale: float = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generator of the least squares GAN.

    Formula: ``scale * mean((fake - label)**2)``.
    Gradient: ``2 * scale * (fake - label) / fake.size``.
    Domain: any real scores.
    Source: Mao, Li, Xie, Lau, Wang and Smolley (2017), Least squares generative adversarial networks.

    Parameters
    ----------
    {arrays}
    label : float, default 1.0
        The score that the generator aims at.
    scale : float, default 0.5
        Multiplies the loss.
    {common}
    """
    return _towards(mse_loss, fake, finite("label", label), scale)


@composition(trains=("real", "fake"), aliases=("geometric GAN discriminator",))
def hinge_gan_discriminator_loss(
    real: ArrayLike, fake: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Discriminator of the hinge GAN.

    Formula: ``mean(max(0, 1 - real)) + mean(max(0, 1 + fake))``.
    Gradient: ``-1 / real.size`` where ``real < 1`` and ``1 / fake.size`` where ``fake > -1``, else 0 (at the kinks,
        too).
    Domain: any real scores.
    Source: Lim and Ye (2017), Geometric GAN.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _against(hinge_loss, real, 1.0, fake, -1.0)


@composition(trains=("fake",), aliases=("geometric GAN generator",))
def hinge_gan_generator_loss(
    fake: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Generator of the hinge GAN.

    Formula: ``-mean(fake)``.
    Gradient: ``-1 / fake.size``.
    Domain: any real scores.
    Source: Lim and Ye (2017), Geometric GAN.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _towards(mean_bias_error, fake, 0.0)


@composition(trains=("real", "fake"), aliases=("Wasserstein GAN critic", "earth mover critic"))
def wgan_discriminator_loss(
    real: ArrayLike, fake: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Critic of the Wasserstein GAN; it wants `gradient_penalty` or clipped weights beside it.

    Formula: ``mean(fake) - mean(real)``.
    Gradient: ``-1 / real.size`` and ``1 / fake.size``.
    Domain: any real scores.
    Source: Arjovsky, Chintala and Bottou (2017), Wasserstein generative adversarial networks.

    Parameters
    ----------
    {arrays}
    {common}
    """
    scores, others = given("real", real), given("fake", fake)
    parts = Part(mean_bias_error, (scores, 0.0)), Part(mean_bias_error, (others, 0.0), -1.0)
    return composed(*parts, real=scores, fake=others)


@composition(trains=("fake",), aliases=("Wasserstein GAN generator",))
def wgan_generator_loss(fake: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean") -> Result:
    """Generator of the Wasserstein GAN.

    Formula: ``-mean(fake)``.
    Gradient: ``-1 / fake.size``.
    Domain: any real scores.
    Source: Arjovsky, Chintala and Bottou (2017), Wasserstein generative adversarial networks.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _towards(mean_bias_error, fake, 0.0)


def _relativistic(real: Given, fake: Given, scale: float, label: float) -> Result:
    """Cross entropy of real scores relative to the mean of fake ones, and the reverse, the label that of real ones."""
    factor = finite("scale", scale)
    ahead = Part(binary_cross_entropy_with_logits, (Relative(real, fake), label), factor)
    behind = Part(binary_cross_entropy_with_logits, (Relative(fake, real), 1.0 - label), factor)
    return composed(ahead, behind, real=real, fake=fake)


@composition(trains=("real", "fake"), aliases=("RaGAN discriminator", "relativistic average GAN discriminator"))
def relativistic_discriminator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Discriminator of the relativistic average GAN: real samples shall score above the average fake one.

    Formula: ``scale * (mean(softplus(-(real - mean(fake)))) + mean(softplus(fake - mean(real))))``.
    Gradient: through both scores and both means, which `sample_weight` weighs, too.
    Domain: any logits.
    Source: Jolicoeur-Martineau (2019), The relativistic discriminator.

    Parameters
    ----------
    {arrays}
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    {common}
    """
    return _relativistic(given("real", real), given("fake", fake), scale, 1.0)


@composition(trains=("fake",), aliases=("RaGAN generator", "relativistic average GAN generator"))
def relativistic_generator_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generator of the relativistic average GAN: fake samples shall score above the average real one.

    Formula: ``scale * (mean(softplus(-(fake - mean(real)))) + mean(softplus(real - mean(fake))))``.
    Gradient: through both scores and both means, which `sample_weight` weighs, too.
    Domain: any logits.
    Source: Jolicoeur-Martineau (2019), The relativistic discriminator.

    Parameters
    ----------
    {arrays}
    scale : float, default 1.0
        Multiplies the loss; some authors take 0.5.
    {common}
    """
    return _relativistic(given("real", real), given("fake", fake), scale, 0.0)


@composition_by_sample(trains=("gradients",), aliases=("R1 regularization",))
def r1_penalty(
    gradients: ArrayLike, *, gamma: float = 10.0, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
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
    slopes = given("gradients", gradients)
    return composed(SampleSums(mse_loss, (slopes, 0.0), 0.5 * non_negative("gamma", gamma)), gradients=slopes)


def _apart(own: str, a: tuple[ArrayLike, ArrayLike], b: tuple[ArrayLike, ArrayLike], scale: float) -> Result:
    """Absolute differences between real samples of two domains and what generators make of them."""
    names = "real_a", f"{own}_a", "real_b", f"{own}_b"
    arrays = {name: given(name, x) for name, x in zip(names, (*a, *b), strict=True)}
    real_a, own_a, real_b, own_b = arrays.values()
    factor = finite("scale", scale)
    return composed(*(Part(l1_loss, pair, factor) for pair in ((own_a, real_a), (own_b, real_b))), **arrays)


@composition_of_differences(trains=("cycled_a", "cycled_b"), aliases=("CycleGAN",))
def cycle_consistency_loss(
    real_a: ArrayLike,
    cycled_a: ArrayLike,
    real_b: ArrayLike,
    cycled_b: ArrayLike,
    *,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
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
    {common}
    """
    return _apart("cycled", (real_a, cycled_a), (real_b, cycled_b), scale)


@composition_of_differences(trains=("same_a", "same_b"), aliases=("CycleGAN identity",))
def identity_loss(
    real_a: ArrayLike,
    same_a: ArrayLike,
    real_b: ArrayLike,
    same_b: ArrayLike,
    *,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
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
    {common}
    """
    return _apart("same", (real_a, same_a), (real_b, same_b), scale)


@composition_of_differences(trains=("fake",), aliases=("pix2pixHD", "perceptual distance of features"))
def feature_matching_loss(
    real: ArrayLike,
    fake: ArrayLike,
    *,
    norm: str = "l1",
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
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
    {common}
    """
    loss: Loss[...] = {"l1": l1_loss, "l2": mse_loss}[choice("norm", norm, ("l1", "l2"))]
    ours, others, factor = each_given("fake", fake), each_given("real", real), finite("scale", scale)
    if len(several(ours)) != len(several(others)):
        raise ValueError(f"fake has {len(several(ours))} arrays, real has {len(several(others))}")
    layers = zip(several(ours), several(others), strict=True)
    return composed(*(Part(loss, layer, factor) for layer in layers), real=others, fake=ours)


@composition_by_sample(trains=("mu", "logvar"), aliases=("ELBO KL", "Gaussian KL to the standard normal"))
def vae_kl_loss(
    mu: ArrayLike,
    logvar: ArrayLike,
    *,
    free_bits: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
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
        Divergence per latent dimension that costs the same as none, in nats; must not be negative. As it holds for
        averages over the samples, there is no reduction "none" with it.
    {common}
    """
    mean, log_variance, least = given("mu", mu), given("logvar", logvar), non_negative("free_bits", free_bits)
    if mean.array.shape != log_variance.array.shape:
        raise ValueError(f"logvar has shape {log_variance.array.shape}, mu has {mean.array.shape}")
    terms = SampleSums(mse_loss, (mean, 0.0), 0.5), SampleSums(linex_loss, (log_variance, 0.0), 0.5)
    return composed(*((FreeBits(terms, least),) if least else terms), mu=mean, logvar=log_variance)


@composition_by_sample(trains=("gradients",), aliases=("WGAN-GP", "one-sided gradient penalty"))
def gradient_penalty(
    gradients: ArrayLike,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    scale: float = 10.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
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
    slopes = given("gradients", gradients)
    norms = Norms(slopes, wanted if one_sided else 0.0)
    return composed(Part(mse_loss, (norms, wanted), finite("scale", scale)), gradients=slopes)


def _penalty(loss: Loss[...], weights: ArrayLike, scale: float) -> Result:
    arrays, factor = each_given("weights", weights), finite("scale", scale)
    return composed(*(Part(loss, (w, 0.0), factor) for w in several(arrays)), weights=arrays)


@composition(trains=("weights",), aliases=("lasso", "L1 regularization"))
def l1_penalty(
    weights: ArrayLike, *, scale: float = 1.0, sample_weight: ArrayLike | None = None, reduction: str = "sum"
) -> Result:
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
    return _penalty(l1_loss, weights, scale)


@composition(trains=("weights",), aliases=("ridge", "weight decay", "L2 regularization"))
def l2_penalty(
    weights: ArrayLike, *, scale: float = 1.0, sample_weight: ArrayLike | None = None, reduction: str = "sum"
) -> Result:
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
    return _penalty(mse_loss, weights, scale)
