"""Activations: what turns the last layer's numbers into probabilities, rates and scores, and the common hidden ones."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from ._activation import activation
from ._core_kernels import kernels, row_kernels
from ._loss import Array, Result
from ._validation import choice, finite, integer, non_negative, positive

__all__ = [
    "elu",
    "entmax15",
    "exp",
    "gelu",
    "gumbel_softmax",
    "half_logit",
    "hardsigmoid",
    "hardtanh",
    "l2_normalize",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "sparsemax",
    "tanh",
    "taylor_softmax",
]


@activation(aliases=("expit", "logistic function", "inverse logit"))
def sigmoid(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Logistic sigmoid: the probability of a logit.

    Formula: ``1 / (1 + exp(-x))``.
    Gradient: ``sigmoid(x) * sigmoid(-x)``, exact in both tails.
    Domain: any real number; 0 and 1 at the infinities.
    Source: Verhulst (1838), Notice sur la loi que la population suit dans son accroissement.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    {common}
    """
    return kernels.sigmoid_unit(input, scale=1.0)


@activation(aliases=("HalfLogitLink",))
def half_logit(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Probability of a half logit, the inverse link of the exponential loss.

    Formula: ``sigmoid(2 * x)``.
    Gradient: ``2 * sigmoid(2 * x) * sigmoid(-2 * x)``.
    Domain: any real number; 0 and 1 at the infinities.
    Source: Friedman, Hastie and Tibshirani (2000), Additive logistic regression: a statistical view of boosting.

    Parameters
    ----------
    input : array_like
        Half logits, any shape.
    {common}
    """
    return kernels.sigmoid_unit(input, scale=2.0)


@activation(aliases=("LogSigmoid",))
def log_sigmoid(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Logarithm of the sigmoid, without underflow.

    Formula: ``-log(1 + exp(-x))``.
    Gradient: ``sigmoid(-x)``.
    Domain: any real number; ``x`` itself far below 0, 0 at infinity.
    Source: Verhulst (1838), Notice sur la loi que la population suit dans son accroissement.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    {common}
    """
    return kernels.softplus_unit(input, beta=-1.0, threshold=math.inf)


@activation(aliases=("smooth relu",))
def softplus(input: ArrayLike, *, beta: float = 1.0, threshold: float = math.inf, out: Array | None = None) -> Result:
    """Softplus: a smooth rectifier, and a positive number from any.

    Formula: ``log(1 + exp(beta * x)) / beta``; ``x`` where ``beta * x > threshold``.
    Gradient: ``sigmoid(beta * x)``; 1 where ``beta * x > threshold``.
    Domain: any real number; 0 at minus infinity.
    Source: Dugas, Bengio, Belisle, Nadeau and Garcia (2001), Incorporating second-order functional knowledge for better
        option pricing.

    Parameters
    ----------
    input : array_like
        Any shape.
    beta : float, default 1.0
        Sharpness; must be positive and finite.
    threshold : float, default inf
        Where to replace the function by ``x``. The exact function needs none; PyTorch's default is 20, which in
        float64 costs up to ``1e-10`` of the result.
    {common}
    """
    beta = positive("beta", finite("beta", beta))
    return kernels.softplus_unit(input, beta=beta, threshold=positive("threshold", threshold))


@activation(aliases=("hyperbolic tangent",))
def tanh(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Hyperbolic tangent.

    Formula: ``tanh(x)``.
    Gradient: ``1 - tanh(x)**2``, without the cancellation.
    Domain: any real number; -1 and 1 at the infinities.
    Source: LeCun, Bottou, Orr and Mueller (1998), Efficient BackProp.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.tanh_unit(input)


@activation(aliases=("inverse log link", "LogLink"))
def exp(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Exponential: the rate of a Poisson, gamma or Tweedie regression from its logarithm.

    Formula: ``exp(x)``.
    Gradient: ``exp(x)``.
    Domain: any real number; 0 at minus infinity, infinite where the result leaves the range of the dtype.
    Source: Nelder and Wedderburn (1972), Generalized linear models.

    Parameters
    ----------
    input : array_like
        Logarithms, any shape.
    {common}
    """
    return kernels.exp_unit(input)


@activation()
def softsign(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Softsign: like the hyperbolic tangent, but with slow tails.

    Formula: ``x / (1 + |x|)``.
    Gradient: ``1 / (1 + |x|)**2``.
    Domain: any real number; -1 and 1 at the infinities.
    Source: Bergstra, Desjardins, Lamblin and Bengio (2009), Quadratic polynomials learn better image features.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.softsign_unit(input)


@activation(aliases=("rectifier", "rectified linear unit"))
def relu(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Rectified linear unit.

    Formula: ``max(0, x)``.
    Gradient: 1 where ``x > 0``, else 0; 0 at the kink.
    Domain: any real number.
    Source: Nair and Hinton (2010), Rectified linear units improve restricted Boltzmann machines.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.rectified_unit(input, negative_slope=0.0)


@activation(aliases=("LReLU",))
def leaky_relu(input: ArrayLike, *, negative_slope: float = 0.01, out: Array | None = None) -> Result:
    """Rectified linear unit with a small slope below zero.

    Formula: ``x`` where ``x > 0``, else ``negative_slope * x``.
    Gradient: 1 where ``x > 0``, else `negative_slope`; `negative_slope` at the kink.
    Domain: any real number.
    Source: Maas, Hannun and Ng (2013), Rectifier nonlinearities improve neural network acoustic models.

    Parameters
    ----------
    input : array_like
        Any shape.
    negative_slope : float, default 0.01
        Slope below zero; any finite number.
    {common}
    """
    return kernels.rectified_unit(input, negative_slope=finite("negative_slope", negative_slope))


@activation(aliases=("clip", "relu6"))
def hardtanh(input: ArrayLike, *, min_val: float = -1.0, max_val: float = 1.0, out: Array | None = None) -> Result:
    """The number itself, but within an interval.

    Formula: ``min(max(x, min_val), max_val)``.
    Gradient: 1 where ``min_val < x < max_val``, else 0; 0 at the kinks.
    Domain: any real number.
    Source: Collobert (2004), Large scale machine learning.

    Parameters
    ----------
    input : array_like
        Any shape.
    min_val : float, default -1.0
        Lower end, finite.
    max_val : float, default 1.0
        Upper end, finite and above `min_val`; 0 and 6 make ReLU6.
    {common}
    """
    low, high = finite("min_val", min_val), finite("max_val", max_val)
    if not low < high:
        raise ValueError(f"max_val must be greater than min_val, got {high} and {low}")
    return kernels.clipped_unit(input, low=low, high=high, shift=0.0, divisor=1.0)


@activation(aliases=("hard sigmoid",))
def hardsigmoid(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Piecewise linear sigmoid.

    Formula: ``min(max((x + 3) / 6, 0), 1)``.
    Gradient: ``1 / 6`` where ``|x| < 3``, else 0; 0 at the kinks.
    Domain: any real number.
    Source: Courbariaux, Bengio and David (2015), BinaryConnect; with the slope of Howard et al. (2019), MobileNetV3.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.clipped_unit(input, low=-3.0, high=3.0, shift=3.0, divisor=6.0)


@activation(aliases=("soft thresholding", "proximal operator of the L1 norm"))
def softshrink(input: ArrayLike, *, lambd: float = 0.5, out: Array | None = None) -> Result:
    """Soft shrinkage: towards zero by a constant, and zero where that is too far.

    Formula: ``sign(x) * max(|x| - lambd, 0)``.
    Gradient: 1 where ``|x| > lambd``, else 0; 0 at the kinks.
    Domain: any real number.
    Source: Donoho (1995), De-noising by soft-thresholding.

    Parameters
    ----------
    input : array_like
        Any shape.
    lambd : float, default 0.5
        How far; must not be negative.
    {common}
    """
    return kernels.softshrink_unit(input, lambd=non_negative("lambd", lambd))


@activation(aliases=("exponential linear unit",))
def elu(input: ArrayLike, *, alpha: float = 1.0, out: Array | None = None) -> Result:
    """Exponential linear unit.

    Formula: ``x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``.
    Gradient: 1 where ``x > 0``, else ``alpha * exp(x)``; `alpha` at 0.
    Domain: any real number; ``-alpha`` at minus infinity.
    Source: Clevert, Unterthiner and Hochreiter (2016), Fast and accurate deep network learning by ELUs.

    Parameters
    ----------
    input : array_like
        Any shape.
    alpha : float, default 1.0
        Depth of the negative part; any finite number.
    {common}
    """
    return kernels.elu_unit(input, alpha=finite("alpha", alpha), scale=1.0)


@activation(aliases=("scaled exponential linear unit",))
def selu(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Exponential linear unit that keeps mean 0 and variance 1.

    Formula: ``scale * x`` where ``x > 0``, else ``scale * alpha * (exp(x) - 1)``, with ``alpha = 1.6732632423543772``
        and ``scale = 1.0507009873554805``.
    Gradient: ``scale`` where ``x > 0``, else ``scale * alpha * exp(x)``; the latter at 0.
    Domain: any real number.
    Source: Klambauer, Unterthiner, Mayr and Hochreiter (2017), Self-normalizing neural networks.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.elu_unit(input, alpha=1.6732632423543772, scale=1.0507009873554805)


@activation(aliases=("swish", "sigmoid linear unit"))
def silu(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Sigmoid linear unit.

    Formula: ``x * sigmoid(x)``.
    Gradient: ``sigmoid(x) * (1 + x * sigmoid(-x))``.
    Domain: any real number; 0 at minus infinity.
    Source: Elfwing, Uchibe and Doya (2018), Sigmoid-weighted linear units for neural network function approximation in
        reinforcement learning.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.silu_unit(input)


@activation(aliases=("Gaussian error linear unit",))
def gelu(input: ArrayLike, *, approximate: str = "none", out: Array | None = None) -> Result:
    """Gaussian error linear unit.

    Formula: ``x * Phi(x)`` with the normal distribution function; for "tanh"
        ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2``.
    Gradient: ``Phi(x) + x * phi(x)`` with the normal density; for "tanh" the derivative of that formula.
    Domain: any real number; 0 at minus infinity.
    Source: Hendrycks and Gimpel (2016), Gaussian error linear units.

    Parameters
    ----------
    input : array_like
        Any shape.
    approximate : {"none", "tanh"}, default "none"
        Which formula.
    {common}
    """
    exact = choice("approximate", approximate, ("none", "tanh")) == "none"
    return kernels.gelu_unit(input) if exact else kernels.gelu_tanh_unit(input)


@activation()
def mish(input: ArrayLike, *, out: Array | None = None) -> Result:
    """Mish: a smooth rectifier with a dip below zero.

    Formula: ``x * tanh(log(1 + exp(x)))``.
    Gradient: ``t + x * sigmoid(x) * (1 - t**2)`` with ``t = tanh(log(1 + exp(x)))``, without the cancellation.
    Domain: any real number; 0 at minus infinity.
    Source: Misra (2020), Mish: a self regularized non-monotonic activation function.

    Parameters
    ----------
    input : array_like
        Any shape.
    {common}
    """
    return kernels.mish_unit(input)


@activation(aliases=("multinomial logit link", "Boltzmann distribution"))
def softmax(input: ArrayLike, *, temperature: float = 1.0, axis: int | None = None, out: Array | None = None) -> Result:
    """Softmax: the probabilities of class scores.

    Formula: ``exp(z_j / temperature) / sum(exp(z / temperature))``.
    Gradient: ``p * (g - sum(p * g)) / temperature`` for the cotangent ``g``, without cancellation in the most
        probable class.
    Domain: any real numbers.
    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.

    Parameters
    ----------
    input : array_like
        Class scores.
    temperature : float, default 1.0
        Divides the scores; must be positive and finite. Above 1 the probabilities become more alike.
    {axis}
    {common}
    """
    return row_kernels.softmax(input, axis=axis, temperature=_temperature(temperature), log=0.0)


@activation(aliases=("logarithmic softmax",))
def log_softmax(
    input: ArrayLike, *, temperature: float = 1.0, axis: int | None = None, out: Array | None = None
) -> Result:
    """Logarithm of the softmax, without underflow.

    Formula: ``z_j / temperature - log(sum(exp(z / temperature)))``.
    Gradient: ``(g - p * sum(g)) / temperature`` for the cotangent ``g``, with ``p`` the softmax.
    Domain: any real numbers.
    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.

    Parameters
    ----------
    input : array_like
        Class scores.
    temperature : float, default 1.0
        Divides the scores; must be positive and finite.
    {axis}
    {common}
    """
    return row_kernels.softmax(input, axis=axis, temperature=_temperature(temperature), log=1.0)


@activation(aliases=("soft minimum",))
def softmin(input: ArrayLike, *, temperature: float = 1.0, axis: int | None = None, out: Array | None = None) -> Result:
    """Softmin: the softmax of the negative, weights that are largest for the smallest.

    Formula: ``exp(-z_j / temperature) / sum(exp(-z / temperature))``.
    Gradient: ``p * (sum(p * g) - g) / temperature`` for the cotangent ``g``.
    Domain: any real numbers.
    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.

    Parameters
    ----------
    input : array_like
        Distances or energies.
    temperature : float, default 1.0
        Divides them; must be positive and finite.
    {axis}
    {common}
    """
    return row_kernels.softmax(input, axis=axis, temperature=-_temperature(temperature), log=0.0)


@activation(aliases=("log-sum-exp", "soft maximum"), reduces=True)
def logsumexp(input: ArrayLike, *, axis: int | None = None, out: Array | None = None) -> Result:
    """Logarithm of a sum of exponentials: a smooth maximum, and the normaliser of the softmax.

    Formula: ``log(sum(exp(z)))``.
    Gradient: ``g * softmax(z)`` for the cotangent ``g``.
    Domain: any real numbers.
    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.

    Parameters
    ----------
    input : array_like
        Class scores.
    {axis}
    {common}
    """
    return row_kernels.logsumexp(input, axis=axis)


@activation(aliases=("concrete distribution",))
def gumbel_softmax(
    input: ArrayLike, noise: ArrayLike, *, temperature: float = 1.0, axis: int | None = None, out: Array | None = None
) -> Result:
    """Softmax of scores with Gumbel noise: a smooth sample of one class.

    Formula: ``softmax((z + noise) / temperature)``.
    Gradient: ``p * (g - sum(p * g)) / temperature`` for the cotangent ``g``, in `input`.
    Domain: any real numbers.
    Source: Jang, Gu and Poole (2017), Categorical reparameterization with Gumbel-softmax.

    Parameters
    ----------
    input : array_like
        Class scores.
    noise : array_like
        Standard Gumbel numbers in the shape of `input`, such as ``np.random.default_rng().gumbel(size=...)``: the
        caller owns the randomness.
    temperature : float, default 1.0
        Must be positive and finite; towards 0 the sample becomes a one-hot vector.
    {axis}
    {common}
    """
    return row_kernels.gumbel_softmax(input, noise, axis=axis, temperature=_temperature(temperature))


@activation(aliases=("polynomial softmax",))
def taylor_softmax(input: ArrayLike, *, order: int = 2, axis: int | None = None, out: Array | None = None) -> Result:
    """Softmax with a few terms of the exponential series in place of the exponential.

    Formula: ``t_j / sum(t)`` with ``t = sum(z**k / k!)`` for ``k`` from 0 to `order`.
    Gradient: ``t' / sum(t) * (g - sum(p * g))`` for the cotangent ``g``, with ``t'`` the series of one order less.
    Domain: any real numbers.
    Source: de Brebisson and Vincent (2016), An exploration of softmax alternatives belonging to the spherical loss
        family.

    Parameters
    ----------
    input : array_like
        Class scores.
    order : int, default 2
        The highest power, even: the series is positive then. At most 20.
    {axis}
    {common}
    """
    if integer("order", order) not in range(2, 21, 2):
        raise ValueError(f"order must be an even number from 2 to 20, got {order!r}")
    return row_kernels.taylor_softmax(input, axis=axis, order=float(order))


@activation(aliases=("sparse softmax", "projection onto the simplex"))
def sparsemax(input: ArrayLike, *, axis: int | None = None, out: Array | None = None) -> Result:
    """Sparsemax: probabilities of which many are exactly zero.

    Formula: ``max(z_j - tau, 0)`` with the threshold that makes the sum 1: the nearest point of the simplex.
    Gradient: ``g - mean(g over the support)`` on the support, 0 elsewhere, for the cotangent ``g``.
    Domain: any real numbers.
    Source: Martins and Astudillo (2016), From softmax to sparsemax.

    Parameters
    ----------
    input : array_like
        Class scores.
    {axis}
    {common}
    """
    return row_kernels.entmax(input, axis=axis, alpha=2.0)


@activation(aliases=("1.5-entmax",))
def entmax15(input: ArrayLike, *, axis: int | None = None, out: Array | None = None) -> Result:
    """Entmax with exponent 1.5: between softmax and sparsemax.

    Formula: ``max(z_j / 2 - tau, 0)**2`` with the threshold that makes the sum 1.
    Gradient: ``w * (g - sum(w * g) / sum(w))`` for the cotangent ``g``, with ``w`` the root of the probability.
    Domain: any real numbers.
    Source: Peters, Niculae and Martins (2019), Sparse sequence-to-sequence models.

    Parameters
    ----------
    input : array_like
        Class scores.
    {axis}
    {common}
    """
    return row_kernels.entmax(input, axis=axis, alpha=1.5)


@activation(aliases=("unit vectors",))
def l2_normalize(input: ArrayLike, *, eps: float = 1e-12, axis: int | None = None, out: Array | None = None) -> Result:
    """Vectors of length one.

    Formula: ``x / max(|x|, eps)`` with the Euclidean norm.
    Gradient: ``(g - u * sum(u * g)) / |x|`` for the cotangent ``g``, with ``u`` the result; 0 where ``|x| < eps``, for
        such a vector has no direction.
    Domain: any real numbers.
    Source: Wang, Xiang, Cheng and Yuille (2017), NormFace: L2 hypersphere embedding for face verification.

    Parameters
    ----------
    input : array_like
        Vectors.
    eps : float, default 1e-12
        Shortest length to divide by; must be positive.
    {axis}
    {common}
    """
    return row_kernels.l2_normalize(input, axis=axis, eps=positive("eps", eps))


def _temperature(value: float) -> float:
    return positive("temperature", finite("temperature", value))
