"""Divergences of one distribution over classes from another, row by row, and the entropy of one."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from ._core_kernels import row_kernels
from ._loss import Result, rows, rows_of_distributions
from ._validation import finite, in_range, positive

__all__ = [
    "alpha_divergence",
    "bhattacharyya_distance",
    "distillation_loss",
    "hellinger_distance",
    "jeffreys_divergence",
    "jensen_shannon_divergence",
    "kl_div_with_logits",
    "kl_divergence",
    "renyi_divergence",
    "reverse_kl_div_with_logits",
    "softmax_entropy",
    "total_variation_distance",
]

_KL, _REVERSE_KL, _JEFFREYS, _JENSEN_SHANNON, _TOTAL_VARIATION, _HELLINGER = 1.0, 2.0, 3.0, 4.0, 5.0, 6.0
_RENYI, _ALPHA = 0.0, 1.0
_LOGITS, _PROBABILITIES = 0.0, 2.0


def _form(logarithmic: bool) -> float:
    return _LOGITS if logarithmic else _PROBABILITIES


def _parameters(
    kind: float,
    *,
    log_input: bool = True,
    log_target: bool = False,
    beta: float = 0.5,
    temperature: float = 1.0,
    factor: float = 1.0,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "input_form": _form(log_input),
        "target_form": _form(log_target),
        "temperature": temperature,
        "target_temperature": temperature,
        "factor": factor,
        "beta": beta,
    }


def distillation_parameters(temperature: float) -> dict[str, Any]:
    """Those of the kernel of divergences for Hinton's distillation."""
    t = positive("temperature", temperature)
    return _parameters(_KL, log_target=True, temperature=t, factor=t * t)


def jensen_shannon_parameters(beta: float, **forms: Any) -> dict[str, Any]:
    """Those of the kernel of divergences for the one of Jensen and Shannon, whose limits are others."""
    beta = in_range("beta", beta, 0.0, 1.0)
    kind = _KL if beta == 0.0 else _REVERSE_KL if beta == 1.0 else _JENSEN_SHANNON
    return _parameters(kind, beta=beta, **forms)


def _divergence(input: ArrayLike, target: ArrayLike, kind: float, axis: int | None, **forms: bool) -> Result:
    return row_kernels.divergence(input, target, axis=axis, **_parameters(kind, **forms))


def _power_divergence(
    input: ArrayLike,
    target: ArrayLike,
    kind: float,
    axis: int | None,
    alpha: float,
    *,
    log_input: bool,
    log_target: bool,
    factor: float = 1.0,
) -> Result:
    return row_kernels.power_divergence(
        input,
        target,
        axis=axis,
        kind=kind,
        alpha=alpha,
        input_form=_form(log_input),
        target_form=_form(log_target),
        temperature=1.0,
        factor=factor,
    )


# ---- Kullback and Leibler's -----------------------------------------------------------------------


@rows(trains=("q",), aliases=("KLD of probabilities", "scipy.stats.entropy"))
def kl_divergence(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kullback-Leibler divergence D(p || q) of two arrays of probabilities, summed over the classes.

    The arguments come in the order of the formula: the target `p` first, then the prediction `q`. For predicted
    log-probabilities, element by element and in PyTorch's order, see `kl_div`; for scores, `kl_div_with_logits`.

    Formula: ``sum(p * log(p / q))`` with ``0 * log(0) = 0``.
    Gradient: ``-p / q`` in `q`; ``log(p / q) + 1`` in `p`, 0 where that is 0.
    Domain: probabilities in [0, 1]; infinite where `p` has a class that `q` excludes.
    Source: Kullback and Leibler (1951), On information and sufficiency.

    Parameters
    ----------
    p : array_like
        Target probabilities: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    q : array_like
        Predicted probabilities, in the shape of `p`.
    {common}
    """
    return row_kernels.kl_divergence(p, q, axis=axis)


@rows_of_distributions(aliases=("softmax KL divergence", "forward KL"))
def kl_div_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kullback-Leibler divergence of target probabilities from the softmax of scores.

    Formula: D(target || softmax(input)) ``= sum(r * log(r / p))`` with ``p = softmax(input)``, ``r = target`` and
        ``0 * log(0) = 0``.
    Gradient: ``p * sum(r) - r``. In `target` ``log(r / p) + 1``, 0 where that is 0; of a target of scores
        ``r * (log(r / p) - D)``.
    Domain: any real scores; target probabilities are not negative.
    Source: Kullback and Leibler (1951), On information and sufficiency.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _divergence(input, target, _KL, axis, log_target=log_target)


@rows_of_distributions(aliases=("reverse KL divergence", "mode-seeking KL"))
def reverse_kl_div_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Kullback-Leibler divergence of the softmax of scores from target probabilities.

    Formula: D(softmax(input) || target) ``= R = sum(p * log(p / r))`` with ``p = softmax(input)``, ``r = target``.
    Gradient: ``p * (log(p / r) - R)``; ``-p / r`` in `target`, ``r - p`` if that holds scores.
    Domain: any real scores; target probabilities are positive: 0 where the prediction is not makes the loss infinite,
        and its gradient infinite, too, upwards at such classes and downwards at the others.
    Source: Kullback and Leibler (1951), On information and sufficiency.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _divergence(input, target, _REVERSE_KL, axis, log_target=log_target)


@rows(aliases=("knowledge distillation", "KD loss", "Hinton distillation", "DistillKLDivLoss"))
def distillation_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    temperature: float = 1.0,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Knowledge distillation: divergence of a teacher's softened softmax from a student's.

    Formula: ``T**2 * sum(r * log(r / p))`` with ``p = softmax(input / T)``, ``r = softmax(target / T)`` and
        ``T = temperature``.
    Gradient: ``T * (p - r)``; in the teacher's scores ``T * r * (log(r / p) - D)`` with ``D = sum(r * log(r / p))``.
    Domain: any real scores.
    Source: Hinton et al. (2015), Distilling the knowledge in a neural network.

    Parameters
    ----------
    input : array_like
        Scores of the student: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Scores of the teacher, in the shape of `input`.
    temperature : float, default 1.0
        Divides both.
    {common}
    """
    return row_kernels.divergence(input, target, axis=axis, **distillation_parameters(temperature))


# ---- symmetric ones -------------------------------------------------------------------------------


@rows_of_distributions(aliases=("JSD", "Jensen-Shannon", "generalized JSD"))
def jensen_shannon_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 0.5,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Jensen-Shannon divergence: of two distributions from their mixture.

    Formula: ``sum(beta * r * log(r / m) + (1 - beta) * p * log(p / m))`` with ``m = beta * r + (1 - beta) * p``,
        ``p = softmax(input)`` and ``r = target``; D(r || p) for ``beta = 0`` and D(p || r) for ``beta = 1``.
    Gradient: ``d - p * sum(d)`` with ``d = (1 - beta) * p * log(p / m)``; in probabilities ``d / p``, 0 at a
        probability of 0. In `target` the same with ``r`` for ``p`` and ``beta`` for ``1 - beta``.
    Domain: any real scores; probabilities in [0, 1], 0 included.
    Source: Lin (1991), Divergence measures based on the Shannon entropy; the limits: Agarwal et al. (2024), On-policy
        distillation of language models.

    Parameters
    ----------
    {arrays}
    beta : float, default 0.5
        Share of the target in the mixture, in [0, 1]. 0 and 1 are no limits of the formula, which vanishes there, but
        the Kullback-Leibler divergences it is proportional to nearby.
    {common}
    """
    parameters = jensen_shannon_parameters(beta, log_input=log_input, log_target=log_target)
    return row_kernels.divergence(input, target, axis=axis, **parameters)


@rows_of_distributions(aliases=("J-divergence", "symmetric KL divergence"))
def jeffreys_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Jeffreys divergence: the sum of the two Kullback-Leibler divergences.

    Formula: ``sum((p - r) * log(p / r))`` with ``p = softmax(input)`` and ``r = target``.
    Gradient: ``p - r + p * (log(p / r) - sum(p * log(p / r)))``; in probabilities ``log(p / r) + 1 - r / p``.
        In `target` the same with ``p`` and ``r`` exchanged.
    Domain: any real scores; probabilities are positive: 0 in one of the two only makes the loss infinite.
    Source: Jeffreys (1946), An invariant form for the prior probability in estimation problems.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _divergence(input, target, _JEFFREYS, axis, log_input=log_input, log_target=log_target)


@rows_of_distributions(aliases=("TVD", "statistical distance"))
def total_variation_distance(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Total variation distance: the largest difference of the probabilities of any event.

    Formula: ``sum(|p - r|) / 2`` with ``p = softmax(input)`` and ``r = target``.
    Gradient: ``p * (s - sum(p * s))`` with ``s = sign(p - r) / 2``, 0 where they are equal; in probabilities ``s``.
        In `target` the same with ``p`` and ``r`` exchanged.
    Domain: any real scores; probabilities in [0, 1].
    Source: Jordan (1881), Sur la serie de Fourier.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _divergence(input, target, _TOTAL_VARIATION, axis, log_input=log_input, log_target=log_target)


@rows_of_distributions(aliases=("squared Hellinger distance",))
def hellinger_distance(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared Hellinger distance of two distributions.

    Formula: ``sum((sqrt(p) - sqrt(r))**2) / 2`` with ``p = softmax(input)`` and ``r = target``, which is
        ``1 - sum(sqrt(p * r))``.
    Gradient: ``p * sum(b) / 2 - b / 2`` with ``b = sqrt(p * r)``; in probabilities ``(1 - sqrt(r / p)) / 2``.
        In `target` the same with ``p`` and ``r`` exchanged.
    Domain: any real scores; probabilities in [0, 1].
    Source: Hellinger (1909), Neue Begruendung der Theorie quadratischer Formen.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _divergence(input, target, _HELLINGER, axis, log_input=log_input, log_target=log_target)


# ---- powers ---------------------------------------------------------------------------------------


@rows_of_distributions(aliases=("Bhattacharyya coefficient, minus its logarithm",))
def bhattacharyya_distance(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Bhattacharyya distance of two distributions.

    Formula: ``-log(B)`` with ``B = sum(sqrt(p * r))``, ``p = softmax(input)`` and ``r = target``.
    Gradient: ``(p - sqrt(p * r) / B) / 2``; in probabilities ``-sqrt(r / p) / (2 * B)``.
        In `target` the same with ``p`` and ``r`` exchanged.
    Domain: any real scores; probabilities in [0, 1]. Infinite where no class has both; the gradient in scores then
        takes ``1 / C`` for ``sqrt(p * r) / B``.
    Source: Bhattacharyya (1943), On a measure of divergence between two statistical populations.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _power_divergence(input, target, _RENYI, axis, 0.5, log_input=log_input, log_target=log_target, factor=0.5)


@rows_of_distributions(aliases=("Renyi entropy, relative",))
def renyi_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.5,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Renyi divergence of target probabilities from a prediction.

    Formula: ``log(S) / (alpha - 1)`` with ``S = sum(s)``, ``s = r**alpha * p**(1 - alpha)``, ``p = softmax(input)`` and
        ``r = target``; D(r || p) for ``alpha = 1``.
    Gradient: ``p - s / S``; in probabilities ``-s / (S * p)``. In `target` ``(r - s / S) * a`` or ``-s / (S * r) * a``
        with ``a = alpha / (1 - alpha)``.
    Domain: any real scores; probabilities in [0, 1]. Infinite where ``S`` is; the gradient in scores then takes equal
        shares ``s / S`` of the classes that make it so.
    Source: Renyi (1961), On measures of entropy and information.

    Parameters
    ----------
    {arrays}
    alpha : float, default 0.5
        The order, positive.
    {common}
    """
    order = in_range("alpha", alpha, 0.0, float("inf"), inclusive="neither")
    if order == 1.0:
        return _divergence(input, target, _KL, axis, log_input=log_input, log_target=log_target)
    return _power_divergence(input, target, _RENYI, axis, order, log_input=log_input, log_target=log_target)


@rows_of_distributions(aliases=("Amari's alpha divergence", "Tsallis divergence"))
def alpha_divergence(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.5,
    log_input: bool = True,
    log_target: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Alpha divergence of target probabilities from a prediction: between the two Kullback-Leibler divergences.

    Formula: ``(1 - S) / (alpha * (1 - alpha))`` with ``S = sum(s)``, ``s = r**alpha * p**(1 - alpha)``,
        ``p = softmax(input)`` and ``r = target``; D(r || p) for ``alpha = 1`` and D(p || r) for ``alpha = 0``.
    Gradient: ``(S * p - s) / alpha``; in probabilities ``-s / (alpha * p)``. In `target` the same with ``r`` for ``p``
        and ``1 - alpha`` for ``alpha``.
    Domain: any real scores; probabilities in [0, 1].
    Source: Amari (1985), Differential-geometrical methods in statistics.

    Parameters
    ----------
    {arrays}
    alpha : float, default 0.5
        Any finite number.
    {common}
    """
    order = finite("alpha", alpha)
    if order in (0.0, 1.0):
        kind = _KL if order == 1.0 else _REVERSE_KL
        return _divergence(input, target, kind, axis, log_input=log_input, log_target=log_target)
    return _power_divergence(input, target, _ALPHA, axis, order, log_input=log_input, log_target=log_target)


# ---- of one distribution --------------------------------------------------------------------------


@rows(aliases=("Shannon entropy", "entropy of a softmax", "entropy bonus"))
def softmax_entropy(
    input: ArrayLike,
    *,
    log_input: bool = True,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Entropy of the softmax of scores, in nats.

    Formula: ``H = -sum(p * log(p))`` with ``p = softmax(input)`` and ``0 * log(0) = 0``.
    Gradient: ``-p * (log(p) + H)``; in probabilities ``-log(p) - 1``.
    Domain: any real scores, minus infinity for excluded classes; probabilities in [0, 1].
    Source: Shannon (1948), A mathematical theory of communication.

    Parameters
    ----------
    input : array_like
        Scores (logits): ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    log_input : bool, default True
        Whether `input` holds scores, or log-probabilities; otherwise it holds probabilities.
    {common}
    """
    return row_kernels.entropy(input, axis=axis, input_form=_form(log_input))
