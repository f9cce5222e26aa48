"""Robust regression: losses of the residual ``e = input - target`` that grow slower than its square."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise
from ._validation import finite, positive

__all__ = [
    "adaptive_wing_loss",
    "arctan_loss",
    "cauchy_loss",
    "charbonnier_loss",
    "fair_loss",
    "geman_mcclure_loss",
    "general_robust_loss",
    "pseudo_huber_loss",
    "tukey_biweight_loss",
    "welsch_loss",
    "wing_loss",
]


def _scale(name: str, value: Any) -> float:
    return positive(name, finite(name, value))


# ---- between the square and the absolute value ----------------------------------------------------


@elementwise(aliases=("pseudo-Huber", "soft L1", "smooth Huber"))
def pseudo_huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """A smooth Huber loss.

    Formula: ``delta**2 * (r - 1)`` with ``r = sqrt(1 + (e / delta)**2)`` and ``e = input - target``.
    Gradient: ``e / r``; `target` gets the negative.
    Hessian: ``r**-3``.
    Domain: any real `input` and `target`.
    Source: Charbonnier et al. (1997), Deterministic edge-preserving regularization in computed imaging.

    Parameters
    ----------
    {arrays}
    delta : float, default 1.0
        Where the loss turns linear; must be positive.
    {common}
    """
    return kernels.pseudo_huber(input, target, delta=_scale("delta", delta))


@elementwise(aliases=("Charbonnier", "smooth absolute error", "generalised Charbonnier"))
def charbonnier_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    eps: float = 1e-3,
    alpha: float = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """A smooth absolute error, raised to a power.

    Formula: ``s**alpha`` with ``s = e**2 + eps**2`` and ``e = input - target``.
    Gradient: ``2 * alpha * e * s**(alpha - 1)``; `target` gets the negative.
    Hessian: ``2 * alpha * s**(alpha - 2) * (eps**2 + (2 * alpha - 1) * e**2)``.
    Domain: any real `input` and `target`.
    Source: Charbonnier et al. (1994), Two deterministic half-quadratic regularization algorithms.

    Parameters
    ----------
    {arrays}
    eps : float, default 1e-3
        Where the loss rounds off; must be positive.
    alpha : float, default 0.5
        The exponent; must be positive. 0.5 gives ``sqrt(e**2 + eps**2)``.
    {common}
    """
    return kernels.charbonnier(input, target, eps=_scale("eps", eps), alpha=_scale("alpha", alpha))


@elementwise(aliases=("fair",))
def fair_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    c: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Quadratic near zero, linear less a logarithm far away.

    Formula: ``c**2 * (r - log(1 + r))`` with ``r = |e| / c`` and ``e = input - target``.
    Gradient: ``c * e / (|e| + c)``; `target` gets the negative.
    Hessian: ``c**2 / (|e| + c)**2``.
    Domain: any real `input` and `target`.
    Source: Fair (1974), On the robust estimation of econometric models.

    Parameters
    ----------
    {arrays}
    c : float, default 1.0
        The scale of the residual; must be positive.
    {common}
    """
    return kernels.fair(input, target, c=_scale("c", c))


# ---- redescending ---------------------------------------------------------------------------------


@elementwise(aliases=("Lorentzian", "Cauchy"))
def cauchy_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    c: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Logarithmic in the squared residual.

    Formula: ``c**2 / 2 * log(1 + z)`` with ``z = (e / c)**2`` and ``e = input - target``.
    Gradient: ``e / (1 + z)``; `target` gets the negative.
    Hessian: ``(1 - z) / (1 + z)**2``.
    Domain: any real `input` and `target`.
    Source: Black and Anandan (1996), The robust estimation of multiple motions.

    Parameters
    ----------
    {arrays}
    c : float, default 1.0
        The scale of the residual; must be positive.
    {common}
    """
    return kernels.cauchy(input, target, c=_scale("c", c))


@elementwise(aliases=("arctangent loss",))
def arctan_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    c: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Arctangent of the squared residual, bounded.

    Formula: ``c**2 / 2 * atan(z)`` with ``z = (e / c)**2`` and ``e = input - target``.
    Gradient: ``e / (1 + z**2)``; `target` gets the negative.
    Hessian: ``(1 - 3 * z**2) / (1 + z**2)**2``.
    Domain: any real `input` and `target`.
    Source: Virtanen et al. (2020), SciPy 1.0 (``least_squares``).

    Parameters
    ----------
    {arrays}
    c : float, default 1.0
        The scale of the residual; must be positive.
    {common}
    """
    return kernels.arctan(input, target, c=_scale("c", c))


@elementwise(aliases=("correntropy", "Leclerc", "maximum correntropy criterion"))
def welsch_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    c: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """One minus a Gaussian of the residual, bounded.

    Formula: ``c**2 / 2 * (1 - exp(-z))`` with ``z = (e / c)**2`` and ``e = input - target``.
    Gradient: ``e * exp(-z)``; `target` gets the negative.
    Hessian: ``(1 - 2 * z) * exp(-z)``.
    Domain: any real `input` and `target`.
    Source: Dennis and Welsch (1978), Techniques for nonlinear least squares and robust regression.

    Parameters
    ----------
    {arrays}
    c : float, default 1.0
        The scale of the residual; must be positive.
    {common}
    """
    return kernels.welsch(input, target, c=_scale("c", c))


@elementwise(aliases=("Geman-McClure",))
def geman_mcclure_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    c: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """A rational function of the squared residual, bounded.

    Formula: ``e**2 / (2 * (1 + z))`` with ``z = (e / c)**2`` and ``e = input - target``.
    Gradient: ``e / (1 + z)**2``; `target` gets the negative.
    Hessian: ``(1 - 3 * z) / (1 + z)**3``.
    Domain: any real `input` and `target`.
    Source: Geman and McClure (1985), Bayesian image analysis: an application to single photon emission tomography.

    Parameters
    ----------
    {arrays}
    c : float, default 1.0
        The scale of the residual; must be positive.
    {common}
    """
    return kernels.geman_mcclure(input, target, c=_scale("c", c))


@elementwise(aliases=("bisquare", "Tukey"))
def tukey_biweight_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    c: float = 4.685,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Tukey's biweight: constant beyond `c`, so that outliers have no influence at all.

    Formula: ``c**2 / 6 * (1 - (1 - u)**3)`` with ``u = min((e / c)**2, 1)`` and ``e = input - target``.
    Gradient: ``e * (1 - u)**2``; `target` gets the negative.
    Hessian: ``(1 - u) * (1 - 5 * u)``.
    Domain: any real `input` and `target`.
    Source: Beaton and Tukey (1974), The fitting of power series, meaning polynomials.

    Parameters
    ----------
    {arrays}
    c : float, default 4.685
        Where the loss turns constant; must be positive. The default is 95 % efficient for Gaussian residuals of
        standard deviation 1.
    {common}
    """
    return kernels.tukey_biweight(input, target, c=_scale("c", c))


@elementwise(aliases=("Barron loss", "adaptive robust loss", "general and adaptive robust loss"))
def general_robust_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: ArrayLike = 1.0,
    scale: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Barron's family, which a shape `alpha` takes from the square to the Welsch loss.

    Formula: ``A / alpha * (q**(alpha / 2) - 1)`` with ``q = 1 + z / A``, ``z = (e / scale)**2``,
        ``A = |alpha - 2|`` and ``e = input - target``; the limits are ``z / 2`` for ``alpha = 2``, ``log(1 + z / 2)``
        for 0, and ``1 - exp(-z / 2)`` for minus infinity.
    Gradient: ``e / scale**2 * q**(alpha / 2 - 1)``, `target` gets the negative; by `scale` ``-e / scale`` times
        that; by `alpha` the derivative of the formula, where ``alpha = 2``, at which it is infinite, 0.
    Hessian: ``q**(alpha / 2 - 2) * (q + (alpha - 2) * z / A) / scale**2``.
    Domain: any real `input` and `target`; `alpha` finite or minus infinity; `scale` positive and finite.
    Source: Barron (2019), A general and adaptive robust loss function.

    Parameters
    ----------
    {arrays}
    alpha : float or array_like, default 1.0
        Shape: 2 gives the squared error, 1 the pseudo-Huber loss, 0 the Cauchy, -2 the Geman-McClure and minus
        infinity the Welsch loss. Its gradient has fewer correct digits within 1e-3 of 2.
    scale : float or array_like, default 1.0
        Where the loss leaves the square; must be positive.
    {common}
    """
    return kernels.general_robust(input, target, alpha, scale if np.ndim(scale) else _scale("scale", scale))


# ---- face alignment -------------------------------------------------------------------------------


@elementwise(aliases=("wing",))
def wing_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    width: float = 5.0,
    curvature: float = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Logarithmic near zero, to amplify small errors of landmarks, and linear beyond.

    Formula: ``width * log(1 + |e| / curvature)`` where ``|e| < width``, else ``|e| - C`` with the constant ``C`` that
        joins the two, and ``e = input - target``.
    Gradient: ``sign(e) * width / (curvature + |e|)`` where ``|e| < width``, else ``sign(e)``; 0 where ``e = 0``;
        `target` gets the negative.
    Domain: any real `input` and `target`.
    Source: Feng et al. (2018), Wing loss for robust facial landmark localisation with convolutional neural networks.

    Parameters
    ----------
    {arrays}
    width : float, default 5.0
        Where the loss turns linear; must be positive. The paper has 10.
    curvature : float, default 0.5
        How sharp the logarithm is; must be positive. The paper has 2.
    {common}
    """
    return kernels.wing(input, target, width=_scale("width", width), curvature=_scale("curvature", curvature))


@elementwise(aliases=("adaptive wing", "AWing"))
def adaptive_wing_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    omega: float = 14.0,
    theta: float = 0.5,
    epsilon: float = 1.0,
    alpha: float = 2.1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """A wing loss for heat maps: sharper on the foreground, where the target is close to 1.

    Formula: ``omega * log(1 + (|e| / epsilon)**n)`` where ``|e| < theta``, else its tangent there, with
        ``n = alpha - target`` and ``e = input - target``.
    Gradient: ``sign(e) * omega * n * r**(n - 1) / (epsilon * (1 + r**n))`` with ``r = min(|e|, theta) / epsilon``,
        0 where ``e = 0``.
    Domain: any real `input`; `target` in [0, 1] and below `alpha`.
    Source: Wang, Bo and Fuxin (2019), Adaptive wing loss for robust face alignment via heatmap regression.

    Parameters
    ----------
    input : array_like
        Predicted heat maps, any shape.
    target : array_like
        True heat maps, broadcast to the shape of `input`.
    omega : float, default 14.0
        Height of the loss; must be positive.
    theta : float, default 0.5
        Where the loss turns linear; must be positive.
    epsilon : float, default 1.0
        Scale of the residual; must be positive.
    alpha : float, default 2.1
        The exponent where the target is 0; should be greater than 2, so that all exponents are greater than 1.
    {common}
    """
    return kernels.adaptive_wing(
        input,
        target,
        omega=_scale("omega", omega),
        theta=_scale("theta", theta),
        epsilon=_scale("epsilon", epsilon),
        alpha=finite("alpha", alpha),
    )
