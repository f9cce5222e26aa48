"""Binary classification: cross entropies of probabilities and logits, focal losses, margin losses."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from ._core_kernels import kernels
from ._loss import Result, elementwise
from ._validation import choice, finite, in_range, non_negative, positive

__all__ = [
    "asymmetric_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "binary_sparsemax_loss",
    "exponential_loss",
    "hinge_loss",
    "modified_huber_loss",
    "perceptron_loss",
    "poly1_bce_loss",
    "quality_focal_loss",
    "reduced_focal_loss",
    "savage_loss",
    "sigmoid_focal_loss",
    "smooth_hinge_loss",
    "soft_margin_loss",
    "squared_hinge_loss",
    "tangent_loss",
    "varifocal_loss",
]


# ---- cross entropies ------------------------------------------------------------------------------


@elementwise(aliases=("BCE", "log loss", "Bernoulli negative log-likelihood"))
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    log_clamp: float | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Binary cross entropy of probabilities.

    Formula: ``-(t * log(p) + (1 - t) * log(1 - p))`` with ``p = input`` and ``0 * log(0) = 0``.
    Gradient: ``(p - t) / (p * (1 - p))``, computed without cancellation: ``-1 / p`` for ``t = 1``,
        ``1 / (1 - p)`` for ``t = 0``.
    Hessian: ``t / p**2 + (1 - t) / (1 - p)**2``.
    Domain: `input` in [0, 1], NaN outside; `target` in [0, 1].
    Source: Good (1952), Rational decisions.

    Parameters
    ----------
    input : array_like
        Probabilities, any shape.
    target : array_like
        Labels or probabilities, broadcast to the shape of `input`.
    weight : array_like, optional
        As in PyTorch: multiplies the loss; the mean still divides by the number of elements.
    log_clamp : float, optional
        Cut logarithms off at ``-log_clamp``, and ``p * (1 - p)`` in the gradient at 1e-12. 100 is what PyTorch does;
        by default the logarithm is the true one.
    {common}
    """
    clamp = math.inf if log_clamp is None else positive("log_clamp", log_clamp)
    return kernels.bce(input, target, log_clamp=clamp, weight=weight, weight_normalises=False)


@elementwise(aliases=("BCE with logits", "sigmoid cross entropy", "logistic regression", "binomial deviance"))
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Binary cross entropy of logits.

    Formula: ``(1 - t) * softplus(x) + pos_weight * t * softplus(-x)`` with ``x = input``.
    Gradient: ``(1 - t) * sigmoid(x) - pos_weight * t * sigmoid(-x)``, exact in both tails.
    Hessian: ``(1 - t + pos_weight * t) * sigmoid(x) * sigmoid(-x)``.
    Domain: any real `input`, infinities included; `target` in [0, 1].
    Source: Cox (1958), The regression analysis of binary sequences.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Labels or probabilities, broadcast to the shape of `input`.
    weight : array_like, optional
        As in PyTorch: multiplies the loss; the mean still divides by the number of elements.
    pos_weight : array_like, optional
        Weight of the positive part, broadcast to the shape of `input`.
    label_smoothing : float, default 0.0
        Moves the target towards 1/2: ``t * (1 - label_smoothing) + label_smoothing / 2``.
    {common}
    """
    smoothing = in_range("label_smoothing", label_smoothing, 0.0, 1.0)
    if pos_weight is None and smoothing == 0.0:
        return kernels.bce_with_logits(input, target, weight=weight, weight_normalises=False)
    return kernels.weighted_bce_with_logits(
        input,
        target,
        1.0 if pos_weight is None else pos_weight,
        label_smoothing=smoothing,
        weight=weight,
        weight_normalises=False,
    )


# ---- focal losses ---------------------------------------------------------------------------------

_FORMS = {"linear": 0.0, "exp_bce": 1.0, "monai": 2.0, "quality": 3.0, "varifocal": 4.0}


def _focal(
    input: ArrayLike,
    target: ArrayLike,
    form: str,
    gamma: float,
    alpha: float = -1.0,
    epsilon: float = 0.0,
    threshold: float = 0.0,
) -> Result:
    return kernels.focal(
        input, target, alpha=alpha, gamma=gamma, epsilon=epsilon, form=_FORMS[form], threshold=threshold
    )


@elementwise(aliases=("focal loss", "binary focal cross entropy", "RetinaNet loss"))
def sigmoid_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    soft_target: str = "linear",
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """Focal loss: binary cross entropy of logits that fades for well classified elements.

    Formula: ``a * Q**gamma * C`` with ``C`` the binary cross entropy of the logit ``x = input``,
        ``a = alpha * t + (1 - alpha) * (1 - t)``, and ``Q = 1 - p_t``, which is ``sigmoid(-x)`` for ``t = 1`` and
        ``sigmoid(x)`` for ``t = 0``.
    Gradient: ``a * Q**gamma * (C' + gamma * C * Q' / Q)``; finite for every ``gamma >= 0``.
    Hessian: ``a * Q**gamma * (C'' + gamma * (2 * C' * Q' + C * Q'') / Q + gamma * (gamma - 1) * C * (Q' / Q)**2)``,
        the true second derivative, negative in places.
    Domain: any real `input`, infinities included; `target` in [0, 1].
    Source: Lin et al. (2017), Focal loss for dense object detection.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Labels or probabilities, broadcast to the shape of `input`.
    alpha : float or None, default 0.25
        Weight of the positives; the negatives get ``1 - alpha``. None or -1 turns it off.
    gamma : float, default 2.0
        How fast well classified elements fade; 0 is the plain cross entropy.
    soft_target : {"linear", "exp_bce", "monai"}, default "linear"
        What `Q` is for targets between 0 and 1: ``(1 - t) * sigmoid(x) + t * sigmoid(-x)`` as in torchvision,
        ``1 - exp(-C)`` as in segmentation_models_pytorch, or ``sigmoid((1 - 2 * t) * x)`` as in MONAI.
    {common}
    """
    form = choice("soft_target", soft_target, ("linear", "exp_bce", "monai"))
    a = (
        -1.0
        if alpha is None or (isinstance(alpha, (int, float)) and alpha == -1)
        else in_range("alpha", alpha, 0.0, 1.0)
    )
    return _focal(input, target, form, non_negative("gamma", gamma), alpha=a)


@elementwise(aliases=("QFL", "generalized focal loss"))
def quality_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 2.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Quality focal loss: focal loss for targets that say how good a detection is.

    Formula: ``|t - sigmoid(x)|**beta * C`` with ``C`` the binary cross entropy of the logit ``x = input``.
    Gradient: with ``d = sigmoid(x) - t``, ``|d|**beta * (d + beta * C * sigmoid(x) * sigmoid(-x) / d)``; 0 at
        ``d = 0``.
    Hessian: the true second derivative, negative in places; at ``d = 0`` 0 unless `beta` is 0 or 2.
    Domain: any real `input`; `target` in [0, 1].
    Source: Li et al. (2020), Generalized focal loss.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Qualities between 0 and 1, broadcast to the shape of `input`.
    beta : float, default 2.0
        How fast elements that are nearly right fade.
    {common}
    """
    return _focal(input, target, "quality", non_negative("beta", beta))


@elementwise(aliases=("VFL", "VarifocalNet loss"))
def varifocal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.75,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Varifocal loss: positives weighted by their quality, negatives as in the focal loss.

    Formula: ``t * C`` where ``t > 0``, else ``alpha * sigmoid(x)**gamma * softplus(x)``, with ``C`` the binary cross
        entropy of the logit ``x = input``.
    Gradient: ``t * (sigmoid(x) - t)``, else ``alpha * p**gamma * (p + gamma * (1 - p) * softplus(x))`` with
        ``p = sigmoid(x)``.
    Hessian: ``t * p * (1 - p)``, else the second derivative of the focal part.
    Domain: any real `input`; `target` in [0, 1].
    Source: Zhang et al. (2021), VarifocalNet: an IoU-aware dense object detector.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Qualities (IoU) of the positives and 0 for the negatives, broadcast to the shape of `input`.
    alpha : float, default 0.75
        Weight of the negatives.
    gamma : float, default 2.0
        How fast well classified negatives fade.
    {common}
    """
    return _focal(input, target, "varifocal", non_negative("gamma", gamma), alpha=non_negative("alpha", alpha))


@elementwise(aliases=("RFL",))
def reduced_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    threshold: float = 0.5,
    gamma: float = 2.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Reduced focal loss: focal loss that leaves badly classified elements at full weight.

    Formula: ``C`` where ``p_t < threshold``, else ``((1 - p_t) / threshold)**gamma * C``, with ``C`` the binary cross
        entropy of the logit ``x = input`` and ``p_t = exp(-C)``.
    Gradient: ``C'``, else ``((1 - p_t) / threshold)**gamma * (1 + gamma * C * p_t / (1 - p_t)) * C'``.
    Hessian: the second derivative of either piece.
    Domain: any real `input`; `target` in [0, 1].
    Source: Sergievskiy and Ponamarev (2019), Reduced focal loss: 1st place solution to xView object detection.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Labels or probabilities, broadcast to the shape of `input`.
    threshold : float, default 0.5
        Elements whose `p_t` is below it keep their full weight; in (0, 1].
    gamma : float, default 2.0
        How fast well classified elements fade.
    {common}
    """
    r = in_range("threshold", threshold, 0.0, 1.0, inclusive="high")
    return _focal(input, target, "exp_bce", non_negative("gamma", gamma), threshold=r)


@elementwise(aliases=("Poly-1", "PolyLoss"))
def poly1_bce_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    epsilon: float = 1.0,
    gamma: float = 0.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Poly-1 loss of logits: binary cross entropy with its leading polynomial term changed by `epsilon`.

    Formula: ``Q**gamma * (C + epsilon * Q)`` with ``C`` the binary cross entropy of the logit ``x = input`` and
        ``Q = 1 - p_t = (1 - t) * sigmoid(x) + t * sigmoid(-x)``.
    Gradient: ``C' + epsilon * Q'`` for ``gamma = 0``, with ``Q' = (1 - 2 * t) * sigmoid(x) * sigmoid(-x)``.
    Hessian: ``C'' + epsilon * Q''`` for ``gamma = 0``.
    Domain: any real `input`; `target` in [0, 1].
    Source: Leng et al. (2022), PolyLoss: a polynomial expansion perspective of classification loss functions.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Labels or probabilities, broadcast to the shape of `input`.
    epsilon : float, default 1.0
        Added coefficient of the leading term.
    gamma : float, default 0.0
        Above 0 the Poly-1 focal loss.
    {common}
    """
    return _focal(input, target, "linear", non_negative("gamma", gamma), epsilon=finite("epsilon", epsilon))


@elementwise(aliases=("ASL",))
def asymmetric_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    gamma_pos: float = 1.0,
    gamma_neg: float = 4.0,
    clip: float = 0.05,
    detach: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Asymmetric loss for multi-label classification: separate focusing of positives and negatives.

    Formula: ``-(1 - p)**gamma_pos * log(p)`` for ``t = 1``, ``-q**gamma_neg * log(1 - q)`` for ``t = 0``, with
        ``p = sigmoid(x)``, ``x = input`` and ``q = max(0, p - clip)``; between them the weight is
        ``(t * (1 - p) + (1 - t) * q)**(t * gamma_pos + (1 - t) * gamma_neg)`` and the logarithms mix likewise.
    Gradient: of the formula, 0 for negatives with ``p <= clip``; with `detach` the weight counts as a constant.
    Domain: any real `input`; `target` in [0, 1].
    Source: Ridnik et al. (2021), Asymmetric loss for multi-label classification.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like
        Labels, broadcast to the shape of `input`.
    gamma_pos, gamma_neg : float, default 1.0 and 4.0
        How fast well classified positives and negatives fade.
    clip : float, default 0.05
        Negatives with a probability up to this are dropped; in [0, 1).
    detach : bool, default False
        Leave the weight out of the gradient, as the authors' code can.
    {common}
    """
    return kernels.asymmetric(
        input,
        target,
        gamma_pos=non_negative("gamma_pos", gamma_pos),
        gamma_neg=non_negative("gamma_neg", gamma_neg),
        clip=in_range("clip", clip, 0.0, 1.0, inclusive="low"),
        detach=float(detach),
    )


# ---- losses of the margin m = target * input ------------------------------------------------------


@elementwise(aliases=("logistic loss", "softplus margin loss"))
def soft_margin_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Logistic loss for labels -1 and 1.

    Formula: ``log(1 + exp(-m))`` with ``m = target * input``; does not overflow.
    Gradient: ``-target * sigmoid(-m)``.
    Hessian: ``target**2 * sigmoid(m) * sigmoid(-m)``.
    Domain: any real `input`; `target` -1 or 1.
    Source: Cox (1958), The regression analysis of binary sequences.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.soft_margin(input, target)


@elementwise(aliases=("SVM loss", "max-margin loss"))
def hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Hinge loss for labels -1 and 1.

    Formula: ``max(0, margin - m)`` with ``m = target * input``.
    Gradient: ``-target`` where ``m < margin``, else 0 (at the kink, too).
    Domain: any real `input`; `target` -1 or 1.
    Source: Cortes and Vapnik (1995), Support-vector networks.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    margin : float, default 1.0
        Where the loss vanishes.
    {common}
    """
    return kernels.hinge(input, target, margin=finite("margin", margin))


@elementwise(aliases=("L2-SVM loss", "quadratic hinge"))
def squared_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Squared hinge loss for labels -1 and 1.

    Formula: ``max(0, margin - m)**2`` with ``m = target * input``.
    Gradient: ``-2 * target * max(0, margin - m)``.
    Hessian: ``2 * target**2`` where ``m < margin``, else 0.
    Domain: any real `input`; `target` -1 or 1.
    Source: Lee and Mangasarian (2001), SSVM: a smooth support vector machine for classification.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    margin : float, default 1.0
        Where the loss vanishes.
    {common}
    """
    return kernels.smoothed_hinge(input, target, margin=finite("margin", margin), curvature=2.0, width=math.inf)


@elementwise(aliases=("robust hinge",))
def modified_huber_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Modified Huber loss for labels -1 and 1: a squared hinge that turns linear for gross errors.

    Formula: ``max(0, 1 - m)**2`` where ``m >= -1``, else ``-4 * m``, with ``m = target * input``.
    Gradient: ``-2 * target * max(0, 1 - m)`` where ``m >= -1``, else ``-4 * target``.
    Hessian: ``2 * target**2`` where ``-1 <= m < 1``, else 0.
    Domain: any real `input`; `target` -1 or 1.
    Source: Zhang (2004), Solving large scale linear prediction problems using stochastic gradient descent algorithms.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.smoothed_hinge(input, target, margin=1.0, curvature=2.0, width=2.0)


@elementwise(aliases=("Rennie's smooth hinge",))
def smooth_hinge_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Smooth hinge loss for labels -1 and 1: a hinge with a rounded corner.

    Formula: ``1/2 - m`` where ``m <= 0``, ``(1 - m)**2 / 2`` where ``0 < m < 1``, else 0, with
        ``m = target * input``.
    Gradient: ``-target * clip(1 - m, 0, 1)``.
    Hessian: ``target**2`` where ``0 <= m < 1``, else 0.
    Domain: any real `input`; `target` -1 or 1.
    Source: Rennie and Srebro (2005), Loss functions for preference levels.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.smoothed_hinge(input, target, margin=1.0, curvature=1.0, width=1.0)


@elementwise(aliases=("sparsemax",))
def binary_sparsemax_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Sparsemax loss of two classes for labels -1 and 1.

    Formula: 0 where ``m >= 1``, ``(1 - m)**2 / 4`` where ``-1 < m < 1``, else ``-m``, with ``m = target * input``.
    Gradient: ``-target * clip((1 - m) / 2, 0, 1)``.
    Hessian: ``target**2 / 2`` where ``-1 <= m < 1``, else 0.
    Domain: any real `input`; `target` -1 or 1.
    Source: Martins and Astudillo (2016), From softmax to sparsemax.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.smoothed_hinge(input, target, margin=1.0, curvature=0.5, width=2.0)


@elementwise(aliases=("perceptron criterion",))
def perceptron_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Perceptron loss for labels -1 and 1: a hinge without a margin.

    Formula: ``max(0, -m)`` with ``m = target * input``.
    Gradient: ``-target`` where ``m < 0``, else 0 (at the kink, too).
    Domain: any real `input`; `target` -1 or 1.
    Source: Rosenblatt (1958), The perceptron.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.hinge(input, target, margin=0.0)


@elementwise(aliases=("AdaBoost loss", "half-logit exponential loss"))
def exponential_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    labels: str = "signed",
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Exponential loss of AdaBoost.

    Formula: ``w * exp(-x) + (1 - w) * exp(x)`` with ``x = input``, and ``w = (1 + target) / 2`` for signed labels
        (hence ``exp(-target * x)``), ``w = target`` for binary ones.
    Gradient: ``(1 - w) * exp(x) - w * exp(-x)``.
    Hessian: the loss itself.
    Domain: any real `input`; `target` in [-1, 1] if signed, in [0, 1] if binary.
    Source: Freund and Schapire (1997), A decision-theoretic generalization of on-line learning.

    Parameters
    ----------
    input : array_like
        Scores, any shape: half the log-odds.
    target : array_like
        Labels, broadcast to the shape of `input`.
    labels : {"signed", "binary"}, default "signed"
        Whether labels are -1 and 1, or 0 and 1 as in scikit-learn.
    {common}
    """
    binary = choice("labels", labels, ("signed", "binary")) == "binary"
    return kernels.exponential_margin(input, target, binary_labels=float(binary))


@elementwise(aliases=("SavageBoost loss",))
def savage_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Savage loss for labels -1 and 1: bounded, so robust to outliers.

    Formula: ``sigmoid(-m)**2`` with ``m = target * input``.
    Gradient: ``-2 * target * sigmoid(-m)**2 * sigmoid(m)``.
    Domain: any real `input`; `target` -1 or 1.
    Source: Masnadi-Shirazi and Vasconcelos (2008), On the design of loss functions for classification.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.savage(input, target)


@elementwise(aliases=("TangentBoost loss",))
def tangent_loss(
    input: ArrayLike, target: ArrayLike, *, sample_weight: ArrayLike | None = None, reduction: str = "mean"
) -> Result:
    """Tangent loss for labels -1 and 1: bounded, and also penalises margins that are too large.

    Formula: ``(2 * atan(m) - 1)**2`` with ``m = target * input``.
    Gradient: ``4 * target * (2 * atan(m) - 1) / (1 + m**2)``.
    Domain: any real `input`; `target` -1 or 1.
    Source: Masnadi-Shirazi, Mahadevan and Vasconcelos (2010), On the design of robust classifiers for computer vision.

    Parameters
    ----------
    input : array_like
        Scores, any shape.
    target : array_like
        Labels -1 or 1, broadcast to the shape of `input`.
    {common}
    """
    return kernels.tangent(input, target)
