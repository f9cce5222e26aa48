"""Regression: losses of the residual ``e = input - target``, and relative and logarithmic errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise
from ._validation import finite, in_range, non_negative, positive

__all__ = [
    "epsilon_insensitive_loss",
    "expectile_loss",
    "half_squared_error",
    "huber_loss",
    "l1_loss",
    "linex_loss",
    "log_cosh_loss",
    "lp_loss",
    "mean_absolute_percentage_error",
    "mean_bias_error",
    "mean_squared_logarithmic_error",
    "mse_loss",
    "quantile_huber_loss",
    "quantile_loss",
    "smooth_l1_loss",
    "squared_epsilon_insensitive_loss",
    "symmetric_mean_absolute_percentage_error",
]


# ---- squares and absolute values ------------------------------------------------------------------


@elementwise(aliases=("MSE", "mean squared error", "L2 loss", "quadratic loss", "squared error"))
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared error.

    Formula: ``e**2`` with ``e = input - target``.
    Gradient: ``2 * e``; `target` gets the negative.
    Hessian: 2.
    Domain: any real `input` and `target`.
    Source: Legendre (1805), Nouvelles méthodes pour la détermination des orbites des comètes.

    Parameters
    ----------
    {arrays}
    weight : array_like, optional
        As in PyTorch: multiplies the loss, and the mean divides by its sum.
    {common}
    """
    return kernels.mse(input, target, scale=1.0, weight=weight, weight_normalises=True)


@elementwise(aliases=("half MSE", "L2 loss of optax", "Gaussian deviance"))
def half_squared_error(
    input: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Half the squared error, whose gradient is the residual.

    Formula: ``e**2 / 2`` with ``e = input - target``.
    Gradient: ``e``; `target` gets the negative.
    Hessian: 1.
    Domain: any real `input` and `target`.
    Source: Legendre (1805), Nouvelles méthodes pour la détermination des orbites des comètes.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return kernels.mse(input, target, scale=0.5)


@elementwise(aliases=("MAE", "mean absolute error", "absolute error", "least absolute deviations"))
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Absolute error.

    Formula: ``|e|`` with ``e = input - target``.
    Gradient: ``sign(e)``, 0 where ``e = 0``; `target` gets the negative.
    Domain: any real `input` and `target`.
    Source: Boscovich (1757), De litteraria expeditione per pontificiam ditionem.

    Parameters
    ----------
    {arrays}
    weight : array_like, optional
        As in PyTorch: multiplies the loss, and the mean divides by its sum.
    {common}
    """
    return kernels.l1(input, target, weight=weight, weight_normalises=True)


@elementwise(aliases=("smooth L1", "Fast R-CNN box loss"))
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Absolute error, rounded off near zero: the Huber loss divided by its threshold.

    Formula: ``e**2 / (2 * beta)`` where ``|e| < beta``, else ``|e| - beta / 2``, with ``e = input - target``.
    Gradient: ``clip(e / beta, -1, 1)``, for ``beta = 0`` ``sign(e)``; `target` gets the negative.
    Hessian: ``1 / beta`` where ``|e| < beta``, else 0.
    Domain: any real `input` and `target`.
    Source: Girshick (2015), Fast R-CNN.

    Parameters
    ----------
    {arrays}
    beta : float, default 1.0
        Where the loss turns linear; must not be negative. 0 gives `l1_loss`.
    {common}
    """
    return kernels.smooth_l1(input, target, beta=non_negative("beta", beta))


@elementwise(aliases=("Huber",))
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 1.0,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Huber loss: quadratic near zero, linear beyond `delta`.

    Formula: ``e**2 / 2`` where ``|e| <= delta``, else ``delta * (|e| - delta / 2)``, with ``e = input - target``.
    Gradient: ``clip(e, -delta, delta)``; `target` gets the negative.
    Hessian: 1 where ``|e| <= delta``, else 0.
    Domain: any real `input` and `target`.
    Source: Huber (1964), Robust estimation of a location parameter.

    Parameters
    ----------
    {arrays}
    delta : float, default 1.0
        Where the loss turns linear; must be positive.
    weight : array_like, optional
        As in PyTorch: multiplies the loss; the mean still divides by the number of elements.
    {common}
    """
    return kernels.huber(input, target, delta=positive("delta", delta), weight=weight, weight_normalises=False)


@elementwise(aliases=("log-cosh", "logcosh", "log hyperbolic cosine"))
def log_cosh_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    a: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Logarithm of the hyperbolic cosine: quadratic near zero, linear far away, smooth between.

    Formula: ``log(cosh(a * e)) / a`` with ``e = input - target``.
    Gradient: ``tanh(a * e)``; `target` gets the negative.
    Hessian: ``a / cosh(a * e)**2``.
    Domain: any real `input` and `target`.
    Source: Green (1990), Bayesian reconstructions from emission tomography data.

    Parameters
    ----------
    {arrays}
    a : float, default 1.0
        Steepness; must be positive. The loss turns linear around ``|e| = 1 / a``.
    {common}
    """
    return kernels.logcosh(input, target, a=positive("a", finite("a", a)))


@elementwise(aliases=("Lp norm", "p-th power error", "Minkowski error"))
def lp_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: float = 2.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Absolute error to the power `p`.

    Formula: ``|e|**p`` with ``e = input - target``.
    Gradient: ``p * sign(e) * |e|**(p - 1)``, 0 where ``e = 0`` for every `p`; `target` gets the negative.
    Domain: any real `input` and `target`.
    Source: Rice and White (1964), Norms for smoothing and estimation.

    Parameters
    ----------
    {arrays}
    p : float, default 2.0
        The exponent; must be positive.
    {common}
    """
    return kernels.lp(input, target, p=positive("p", finite("p", p)))


# ---- asymmetric losses ----------------------------------------------------------------------------


def _level(quantile: ArrayLike) -> ArrayLike:
    return quantile if np.ndim(quantile) else in_range("quantile", np.asarray(quantile).item(), 0.0, 1.0)


@elementwise(aliases=("pinball loss", "quantile regression", "check loss", "tilted absolute loss"))
def quantile_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    quantile: ArrayLike = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Pinball loss, minimised by a quantile of the target.

    Formula: ``quantile * (target - input)`` where ``target >= input``, else ``(1 - quantile) * (input - target)``.
    Gradient: ``-quantile`` where ``target >= input``, else ``1 - quantile``; `target` gets the negative.
    Domain: any real `input` and `target`; `quantile` in [0, 1].
    Source: Koenker and Bassett (1978), Regression quantiles.

    Parameters
    ----------
    input : array_like
        Predicted quantiles, any shape.
    target : array_like
        True values, broadcast to the shape of `input`; for several quantiles give them a last axis of length 1.
    quantile : float or array_like, default 0.5
        The level, or an array of levels broadcast to the shape of `input`: one per entry of its last axis.
    {common}
    """
    return kernels.quantile(input, target, _level(quantile))


@elementwise(aliases=("quantile Huber", "QR-DQN loss", "Huber pinball loss"))
def quantile_huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    quantile: ArrayLike = 0.5,
    delta: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Pinball loss, rounded off near zero as the Huber loss is.

    Formula: ``w * huber(e) / delta`` with ``e = input - target``, ``w = quantile`` where ``target >= input``, else
        ``1 - quantile``, and ``huber`` the Huber loss with threshold `delta`.
    Gradient: ``w * clip(e / delta, -1, 1)``; `target` gets the negative.
    Hessian: ``w / delta`` where ``|e| <= delta``, else 0.
    Domain: any real `input` and `target`; `quantile` in [0, 1].
    Source: Dabney et al. (2018), Distributional reinforcement learning with quantile regression.

    Parameters
    ----------
    input : array_like
        Predicted quantiles, any shape.
    target : array_like
        True values, broadcast to the shape of `input`; for several quantiles give them a last axis of length 1.
    quantile : float or array_like, default 0.5
        The level, or an array of levels broadcast to the shape of `input`: one per entry of its last axis.
    delta : float, default 1.0
        Where the loss turns linear; must be positive and finite.
    {common}
    """
    return kernels.quantile_huber(input, target, _level(quantile), delta=positive("delta", finite("delta", delta)))


@elementwise(aliases=("expectile regression", "asymmetric least squares"))
def expectile_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    expectile: float = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Asymmetric squared error, minimised by an expectile of the target.

    Formula: ``expectile * e**2`` where ``target >= input``, else ``(1 - expectile) * e**2``, with
        ``e = input - target``.
    Gradient: ``2 * w * e`` with the same weight ``w``; `target` gets the negative.
    Hessian: ``2 * w``.
    Domain: any real `input` and `target`.
    Source: Newey and Powell (1987), Asymmetric least squares estimation and testing.

    Parameters
    ----------
    input : array_like
        Predicted expectiles, any shape.
    target : array_like
        True values, broadcast to the shape of `input`.
    expectile : float, default 0.5
        The level, in [0, 1].
    {common}
    """
    return kernels.expectile(input, target, tau=in_range("expectile", expectile, 0.0, 1.0))


@elementwise(aliases=("linear-exponential loss", "LINEX"))
def linex_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    a: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Exponential on one side of zero, linear on the other.

    Formula: ``exp(a * e) - a * e - 1`` with ``e = input - target``.
    Gradient: ``a * (exp(a * e) - 1)``; `target` gets the negative.
    Hessian: ``a**2 * exp(a * e)``.
    Domain: any real `input` and `target`.
    Source: Varian (1975), A Bayesian approach to real estate assessment.

    Parameters
    ----------
    {arrays}
    a : float, default 1.0
        Steepness: positive punishes predictions that are too large exponentially, negative those too small.
    {common}
    """
    return kernels.linex(input, target, a=finite("a", a))


# ---- insensitive tubes ----------------------------------------------------------------------------


@elementwise(aliases=("support vector regression", "SVR loss", "Vapnik loss"))
def epsilon_insensitive_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    epsilon: float = 0.1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Absolute error beyond a tube of half-width `epsilon`.

    Formula: ``max(|e| - epsilon, 0)`` with ``e = input - target``.
    Gradient: ``sign(e)`` where ``|e| > epsilon``, else 0; `target` gets the negative.
    Domain: any real `input` and `target`.
    Source: Vapnik (1995), The nature of statistical learning theory.

    Parameters
    ----------
    {arrays}
    epsilon : float, default 0.1
        Half the width of the tube; must not be negative.
    {common}
    """
    return kernels.epsilon_insensitive(input, target, epsilon=non_negative("epsilon", epsilon))


@elementwise(aliases=("squared SVR loss", "L2 support vector regression"))
def squared_epsilon_insensitive_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    epsilon: float = 0.1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared error beyond a tube of half-width `epsilon`.

    Formula: ``max(|e| - epsilon, 0)**2`` with ``e = input - target``.
    Gradient: ``2 * sign(e) * max(|e| - epsilon, 0)``; `target` gets the negative.
    Hessian: 2 where ``|e| > epsilon``, else 0.
    Domain: any real `input` and `target`.
    Source: Vapnik (1995), The nature of statistical learning theory.

    Parameters
    ----------
    {arrays}
    epsilon : float, default 0.1
        Half the width of the tube; must not be negative.
    {common}
    """
    return kernels.squared_epsilon_insensitive(input, target, epsilon=non_negative("epsilon", epsilon))


# ---- relative, logarithmic and signed errors ------------------------------------------------------


@elementwise(aliases=("MAPE",))
def mean_absolute_percentage_error(
    input: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 100.0,
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Absolute error relative to the target, in percent.

    Formula: ``scale * |input - target| / max(|target|, eps)``.
    Gradient: ``scale * sign(input - target) / max(|target|, eps)``, 0 where they are equal; by `target`
        ``-scale * sign(input / target - 1) * input / target**2`` where ``|target| > eps``, else the negative of
        the former.
    Domain: any real `input` and `target`.
    Source: Makridakis (1993), Accuracy measures: theoretical and practical concerns.

    Parameters
    ----------
    {arrays}
    scale : float, default 100.0
        Must be positive; 100 gives percent, as in Keras, 1 a fraction, as in scikit-learn.
    eps : float, default 1e-7
        The smallest divisor; must be positive. scikit-learn has 2.2e-16.
    {common}
    """
    return kernels.mean_absolute_percentage(
        input, target, scale=positive("scale", finite("scale", scale)), eps=positive("eps", finite("eps", eps))
    )


@elementwise(aliases=("SMAPE", "symmetric MAPE"))
def symmetric_mean_absolute_percentage_error(
    input: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Absolute error relative to the mean magnitude of prediction and target, between 0 and 2.

    Formula: ``2 * |x - t| / (|x| + |t|)`` with ``x = input``, ``t = target`` and ``0 / 0 = 0``.
    Gradient: ``4 * sign(x - t) * |t| / (|x| + |t|)**2`` where the signs of ``x`` and ``t`` agree, 0 where they differ,
        half the former where ``x = 0``; for `target` exchange the two.
    Domain: any real `input` and `target`.
    Source: Makridakis (1993), Accuracy measures: theoretical and practical concerns.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return kernels.symmetric_mean_absolute_percentage(input, target)


@elementwise(aliases=("MSLE", "RMSLE", "squared log error"))
def mean_squared_logarithmic_error(
    input: ArrayLike,
    target: ArrayLike,
    *,
    eps: float = 1e-7,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared difference of the logarithms of one plus the values.

    Formula: ``d**2`` with ``d = log(1 + max(input, eps)) - log(1 + max(target, eps))``.
    Gradient: ``2 * d / (1 + input)``, 0 where ``input < eps``; by `target` ``-2 * d / (1 + target)``, 0 where
        ``target < eps``.
    Hessian: ``2 * (1 - d) / (1 + input)**2``, 0 where ``input < eps``.
    Domain: any real `input` and `target`; meant for values that are not negative.
    Source: Chollet et al. (2015), Keras.

    Parameters
    ----------
    {arrays}
    eps : float, default 1e-7
        The smallest value taken; must not be negative.
    {common}
    """
    return kernels.mean_squared_logarithmic(input, target, eps=non_negative("eps", eps))


@elementwise(aliases=("bias", "mean error", "MBE"))
def mean_bias_error(
    input: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Target minus prediction, with its sign: a diagnostic of bias. Not to be minimised, it is unbounded below.

    Formula: ``target - input``.
    Gradient: -1; `target` gets 1.
    Domain: any real `input` and `target`.
    Source: Willmott (1982), Some comments on the evaluation of model performance.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return kernels.mean_bias(input, target)
