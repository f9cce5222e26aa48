"""Negative log-likelihoods of counts, positive quantities, real numbers with a predicted spread, and survival times."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise
from ._validation import choice, finite, non_negative, positive

__all__ = [
    "aft_nll_loss",
    "beta_nll_loss",
    "evidential_nig_loss",
    "gamma_nll_loss",
    "gaussian_nll_loss",
    "laplace_nll_loss",
    "negative_binomial_nll_loss",
    "poisson_nll_loss",
    "student_t_nll_loss",
    "tweedie_deviance_loss",
    "tweedie_nll_loss",
]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


# ---- counts ---------------------------------------------------------------------------------------


@elementwise(aliases=("Poisson regression", "Poisson deviance", "PoissonNLLLoss"))
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Poisson negative log-likelihood of a rate or, by default, of its logarithm.

    Formula: ``exp(x) - t * x``; with ``log_input=False`` ``x - t * log(x + eps)``; `full` adds ``log(t!)``.
    Gradient: ``exp(x) - t``; with ``log_input=False`` ``1 - t / (x + eps)``.
    Hessian: ``exp(x)``; with ``log_input=False`` ``t / (x + eps)**2``.
    Domain: any real `input` as a logarithm, ``input >= -eps`` as a rate, NaN below; ``target >= 0``.
    Source: Poisson regression; McCullagh and Nelder (1989), Generalized Linear Models.

    Parameters
    ----------
    input : array_like
        Log-rates, or rates with ``log_input=False``; any shape.
    target : array_like
        Counts, not necessarily whole, broadcast to the shape of `input`.
    log_input : bool, default True
        Whether `input` is the logarithm of the rate.
    full : bool, default False
        Add ``log(t!) = lgamma(t + 1)``, exact for every `target`. PyTorch adds Stirling's approximation, and only
        where ``target > 1``.
    eps : float, default 1e-8
        Keeps the logarithm finite with ``log_input=False``; must not be negative.
    {common}
    """
    eps = non_negative("eps", eps)
    if full:
        return kernels.poisson_nll_full(input, target, log_input=float(bool(log_input)), eps=eps)
    if log_input:
        return kernels.poisson_nll(input, target)
    return kernels.poisson_rate_nll(input, target, eps=eps)


@elementwise(aliases=("NB loss", "NB2", "overdispersed counts"))
def negative_binomial_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    dispersion: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Negative binomial negative log-likelihood of a mean, with variance ``m + a * m**2``.

    Formula: ``lgamma(r) - lgamma(t + r) + lgamma(t + 1) + r * log1p(a * m) - t * log(a * m / (1 + a * m))`` with
        ``m = input``, ``a = dispersion`` and ``r = 1 / a``. At ``a = 0`` its limit, the full Poisson likelihood.
    Gradient: ``(m - t) / (m * (1 + a * m))`` in `input`; also available in `dispersion`.
    Hessian: ``(t / m**2 + a * (2 * t / m - 1)) / (1 + a * m)**2``.
    Domain: ``input >= 0``, ``dispersion >= 0``, NaN below; ``target >= 0``.
    Source: Lawless (1987), Negative binomial and mixed Poisson regression.

    Parameters
    ----------
    input : array_like
        Predicted means, any shape.
    target : array_like
        Counts, not necessarily whole, broadcast to the shape of `input`.
    dispersion : array_like
        The dispersion a, broadcast to the shape of `input`; often one number.
    {common}
    """
    return kernels.negative_binomial_nll(input, target, dispersion)


# ---- positive quantities --------------------------------------------------------------------------


@elementwise(aliases=("gamma regression", "gamma deviance", "reg:gamma"))
def gamma_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Gamma negative log-likelihood of the logarithm of a mean, up to terms of the target alone.

    Formula: ``x + t * exp(-x)``.
    Gradient: ``1 - t * exp(-x)``.
    Hessian: ``t * exp(-x)``.
    Domain: any real `input`; ``target > 0``.
    Source: McCullagh and Nelder (1989), Generalized Linear Models, chapter 8.

    Parameters
    ----------
    input : array_like
        Logarithms of the predicted means, any shape.
    target : array_like
        Positive values, broadcast to the shape of `input`.
    {common}
    """
    return kernels.gamma_nll(input, target)


def _tweedie_power(power: float) -> float:
    power = finite("power", power)
    if 0.0 < power < 1.0:
        raise ValueError(f"power must not be between 0 and 1, where there is no Tweedie distribution, got {power}")
    return power


@elementwise(aliases=("Tweedie regression", "compound Poisson-gamma", "reg:tweedie"))
def tweedie_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    power: float = 1.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Tweedie negative log-likelihood of the logarithm of a mean, up to terms of the target alone.

    Formula: ``exp((2 - p) * x) / (2 - p) - t * exp((1 - p) * x) / (1 - p)`` with ``p = power``; at ``p = 1`` the
        Poisson ``exp(x) - t * x``, at ``p = 2`` the gamma ``x + t * exp(-x)``, at ``p = 0`` ``(exp(x) - t)**2 / 2``.
    Gradient: ``exp((2 - p) * x) - t * exp((1 - p) * x)``.
    Hessian: ``(2 - p) * exp((2 - p) * x) - (1 - p) * t * exp((1 - p) * x)``.
    Domain: any real `input`; ``target >= 0``, positive for ``p >= 2``.
    Source: Tweedie (1984), An index which distinguishes between some important exponential families.

    Parameters
    ----------
    input : array_like
        Logarithms of the predicted means, any shape.
    target : array_like
        Values, broadcast to the shape of `input`.
    power : float, default 1.5
        The variance is the mean to this power; at most 0 or at least 1. As terms of the target are left out, the value
        jumps at 1 and 2; the gradient does not.
    {common}
    """
    power = _tweedie_power(power)
    if power == 1.0:
        return kernels.poisson_nll(input, target)
    if power == 2.0:
        return kernels.gamma_nll(input, target)
    return kernels.tweedie_nll(input, target, power=power)


@elementwise(aliases=("mean Tweedie deviance", "HalfTweedieLossIdentity"))
def tweedie_deviance_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    power: float = 1.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Half the Tweedie deviance of a mean: half of scikit-learn's ``mean_tweedie_deviance``.

    Formula: ``m**(2 - p) / (2 - p) - t * m**(1 - p) / (1 - p) + t**(2 - p) / ((1 - p) * (2 - p))`` with ``m = input``
        and ``p = power``; at ``p = 1`` ``t * log(t / m) + m - t``, at ``p = 2`` ``log(m / t) + t / m - 1``.
    Gradient: ``m**-p * (m - t)``.
    Hessian: ``m**-p * (1 - p + p * t / m)``.
    Domain: ``input > 0``, NaN below 0; ``target >= 0``, positive for ``p >= 2``, any real number for ``p <= 0``. At
        ``p = 0`` any real `input`.
    Source: Jorgensen (1987), Exponential dispersion models.

    Parameters
    ----------
    input : array_like
        Predicted means, any shape.
    target : array_like
        Values, broadcast to the shape of `input`.
    power : float, default 1.5
        The variance is the mean to this power; at most 0 or at least 1.
    {common}
    """
    return kernels.tweedie_deviance(input, target, power=_tweedie_power(power))


# ---- real numbers with a predicted spread -----------------------------------------------------------


@elementwise(trains=("input", "var"), aliases=("heteroscedastic regression", "GaussianNLLLoss", "normal likelihood"))
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    full: bool = False,
    eps: float = 1e-6,
    log_var: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Gaussian negative log-likelihood of a mean and a variance.

    Formula: ``(log(v) + e**2 / v) / 2`` with ``e = input - target`` and ``v = max(var, eps)``; with `log_var`
        ``(var + e**2 * exp(-var)) / 2``; `full` adds ``log(2 * pi) / 2``.
    Gradient: ``e / v`` in `input`, its negative in `target`, ``(1 / v - e**2 / v**2) / 2`` in `var`, where as in
        PyTorch the floor `eps` lets the gradient through unchanged; with `log_var` ``(1 - e**2 * exp(-var)) / 2``.
    Hessian: ``1 / v``.
    Domain: any real `input` and `target`; ``var >= 0``, NaN below (any real number with `log_var`).
    Source: Nix and Weigend (1994), Estimating the mean and variance of the target probability distribution.

    Parameters
    ----------
    input : array_like
        Predicted means, any shape.
    target : array_like
        True values, broadcast to the shape of `input`.
    var : array_like
        Predicted variances, or their logarithms with `log_var`; broadcast to the shape of `input`.
    full : bool, default False
        Add the constant ``log(2 * pi) / 2``.
    eps : float, default 1e-6
        Floor of the variance; must not be negative. Without effect with `log_var`.
    log_var : bool, default False
        Whether `var` is the logarithm of the variance.
    {common}
    """
    offset = _HALF_LOG_2PI if full else 0.0
    eps = non_negative("eps", eps)
    if log_var:
        return kernels.gaussian_log_var_nll(input, target, var, offset=offset)
    return kernels.gaussian_nll(input, target, var, eps=eps, beta=0.0, offset=offset)


@elementwise(trains=("input", "var"), aliases=("beta-NLL", "variance-weighted Gaussian likelihood"))
def beta_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    *,
    beta: float = 0.5,
    eps: float = 1e-6,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Gaussian negative log-likelihood weighted by a power of the variance, which counts as a constant.

    Formula: ``v**beta * (log(v) + e**2 / v) / 2`` with ``e = input - target`` and ``v = max(var, eps)``.
    Gradient: that of `gaussian_nll_loss` times ``v**beta``: by definition the weight is not differentiated.
    Hessian: ``v**beta / v``.
    Domain: any real `input` and `target`; ``var >= 0``, NaN below.
    Source: Seitzer et al. (2022), On the pitfalls of heteroscedastic uncertainty estimation with probabilistic neural
        networks.

    Parameters
    ----------
    input : array_like
        Predicted means, any shape.
    target : array_like
        True values, broadcast to the shape of `input`.
    var : array_like
        Predicted variances, broadcast to the shape of `input`.
    beta : float, default 0.5
        0 is the likelihood, 1 gives the mean the gradient of the squared error; must not be negative.
    eps : float, default 1e-6
        Floor of the variance; must not be negative.
    {common}
    """
    eps = non_negative("eps", eps)
    return kernels.gaussian_nll(input, target, var, eps=eps, beta=non_negative("beta", beta), offset=0.0)


@elementwise(trains=("input", "scale"), aliases=("double exponential likelihood",))
def laplace_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    scale: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Laplace negative log-likelihood of a location and a scale.

    Formula: ``abs(e) / b + log(2 * b)`` with ``e = input - target`` and ``b = scale``.
    Gradient: ``sign(e) / b`` in `input`, 0 at ``e = 0``, its negative in `target`; ``(1 - abs(e) / b) / b`` in `scale`.
    Domain: any real `input` and `target`; ``scale > 0``, NaN otherwise.
    Source: Laplace (1774), Memoire sur la probabilite des causes par les evenements.

    Parameters
    ----------
    input : array_like
        Predicted locations, any shape.
    target : array_like
        True values, broadcast to the shape of `input`.
    scale : array_like
        Predicted scales, broadcast to the shape of `input`.
    {common}
    """
    return kernels.laplace_nll(input, target, scale)


def _student_t_constant(df: float) -> float:
    """``lgamma(df / 2) - lgamma((df + 1) / 2) + log(df * pi) / 2`` without its cancellation for large `df`.

    With x = df / 2 the gamma ratio is brought to x + 16 by its recurrence; there, with w = x + 16 - 1/4, it is
    ``log(w) / 2`` plus a series in the Euler numbers (Fields 1966).
    """
    x = 0.5 * df
    w = x + 15.75
    v = 1.0 / (16.0 * w * w)
    series = v / 4 * (1 - v * (5 / 2 - v * (61 / 3 - v * (1385 / 4 - v * (50521 / 5 - v * 2702765 / 6)))))
    steps = [math.log1p(0.5 / (x + k)) for k in range(16)]
    return math.fsum([_HALF_LOG_2PI, -0.5 * math.log1p(15.75 / x), -series, *steps])


@elementwise(trains=("input", "scale"), aliases=("Student's t", "Cauchy likelihood", "robust likelihood"))
def student_t_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    scale: ArrayLike,
    *,
    df: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Student's t negative log-likelihood of a location and a scale.

    Formula: ``lgamma(df / 2) - lgamma((df + 1) / 2) + log(df * pi) / 2 + log(c)
        + (df + 1) / 2 * log1p((e / c)**2 / df)`` with ``e = input - target`` and ``c = scale``.
    Gradient: ``(df + 1) * e / (df * c**2 + e**2)`` in `input`, its negative in `target`;
        ``df * (c**2 - e**2) / (c * (df * c**2 + e**2))`` in `scale`.
    Hessian: ``(df + 1) * (df * c**2 - e**2) / (df * c**2 + e**2)**2``, negative in the tails.
    Domain: any real `input` and `target`; ``scale > 0``, NaN otherwise.
    Source: Lange, Little and Taylor (1989), Robust statistical modeling using the t distribution.

    Parameters
    ----------
    input : array_like
        Predicted locations, any shape.
    target : array_like
        True values, broadcast to the shape of `input`.
    scale : array_like
        Predicted scales, broadcast to the shape of `input`.
    df : float, default 1.0
        Degrees of freedom; must be positive and finite. 1 is the Cauchy distribution.
    {common}
    """
    df = positive("df", finite("df", df))
    return kernels.student_t_nll(input, target, scale, df=df, constant=_student_t_constant(df))


@elementwise(
    trains=("gamma", "nu", "alpha", "beta"),
    aliases=("deep evidential regression", "normal-inverse-gamma", "NIG"),
)
def evidential_nig_loss(
    gamma: ArrayLike,
    nu: ArrayLike,
    alpha: ArrayLike,
    beta: ArrayLike,
    target: ArrayLike,
    *,
    regularizer: float = 0.01,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Deep evidential regression: the evidence of a normal-inverse-gamma prior, with a penalty on confident errors.

    Formula: ``log(pi / nu) / 2 - alpha * log(w) + (alpha + 1 / 2) * log(q) + lgamma(alpha) - lgamma(alpha + 1 / 2)
        + regularizer * abs(e) * (2 * nu + alpha)`` with ``e = gamma - target``, ``w = 2 * beta * (1 + nu)`` and
        ``q = nu * e**2 + w``.
    Gradient: ``(2 * alpha + 1) * nu * e / q + regularizer * sign(e) * (2 * nu + alpha)`` in `gamma`, with
        ``sign(0) = 0``; accordingly in `nu`, `alpha` and `beta`.
    Domain: any real `gamma` and `target`; positive `nu`, `alpha` and `beta`.
    Source: Amini et al. (2020), Deep evidential regression.

    Parameters
    ----------
    gamma : array_like
        Predicted means, any shape.
    nu, alpha, beta : array_like
        Predicted evidence, broadcast to the shape of `gamma`.
    target : array_like
        True values, broadcast to the shape of `gamma`.
    regularizer : float, default 0.01
        Weight of the penalty; must not be negative.
    {common}
    """
    return kernels.evidential_nig(gamma, nu, alpha, beta, target, regularizer=non_negative("regularizer", regularizer))


# ---- survival times ---------------------------------------------------------------------------------

_AFT_DISTRIBUTIONS = {"normal": 0.0, "logistic": 1.0, "extreme": 2.0}


@elementwise(aliases=("accelerated failure time", "AFT", "survival:aft", "censored regression", "interval regression"))
def aft_nll_loss(
    input: ArrayLike,
    target_lower: ArrayLike,
    target_upper: ArrayLike,
    *,
    distribution: str = "normal",
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Accelerated failure time: negative log-likelihood of a predicted log-time, with censoring.

    The two targets bound the time of the event: equal where it was observed, ``target_upper = inf`` where it is
    censored on the right, ``target_lower = 0`` on the left, an interval otherwise.

    Formula: ``-log(f(z)) + log(scale * t)`` where the targets are equal, ``-log(F(z_upper) - F(z_lower))`` elsewhere,
        with ``z = (log(t) - input) / scale`` and F, f the distribution function and density of `distribution`.
    Gradient: ``f'(z) / f(z) / scale`` where the targets are equal, elsewhere
        ``(f(z_upper) - f(z_lower)) / (F(z_upper) - F(z_lower)) / scale``. Not clipped, unlike XGBoost's.
    Hessian: the derivative of the gradient; not negative.
    Domain: any real `input`; ``0 <= target_lower <= target_upper``, an observed time positive and finite.
    Source: Wei (1992), The accelerated failure time model; Barnwal, Cho and Hocking (2022), Survival regression with
        accelerated failure time model in XGBoost.

    Parameters
    ----------
    input : array_like
        Predicted logarithms of the time, any shape.
    target_lower, target_upper : array_like
        Bounds of the time, broadcast to the shape of `input`.
    distribution : {"normal", "logistic", "extreme"}, default "normal"
        Of the error in the log-time; "extreme" is the minimum (Gumbel) distribution, which makes the time Weibull.
    scale : float, default 1.0
        Scale of that error; must be positive and finite.
    {common}
    """
    return kernels.aft_nll(
        input,
        target_lower,
        target_upper,
        distribution=_AFT_DISTRIBUTIONS[choice("distribution", distribution, _AFT_DISTRIBUTIONS)],
        scale=positive("scale", finite("scale", scale)),
    )
