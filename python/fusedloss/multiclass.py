"""One class out of several: cross entropies of scores and of probabilities, margin, sparse and evidential losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._core_kernels import row_kernels
from ._loss import Array, Result, rows, rows_of_logits, rows_of_scores
from ._validation import as_array, as_input, choice, finite, in_range, integer, non_negative, one_of, positive, spread

__all__ = [
    "brier_loss",
    "categorical_cross_entropy",
    "categorical_hinge_loss",
    "class_balanced_weights",
    "confidence_penalty_loss",
    "cross_entropy",
    "dino_loss",
    "entmax15_loss",
    "evidential_dirichlet_loss",
    "generalized_cross_entropy",
    "ldam_loss",
    "logit_adjusted_cross_entropy",
    "multi_margin_loss",
    "multiclass_hinge_loss",
    "multiclass_perceptron_loss",
    "nll_loss",
    "poly1_cross_entropy",
    "poly_cross_entropy",
    "selected_log_prob",
    "softmax_focal_loss",
    "sparsemax_loss",
    "symmetric_cross_entropy",
    "weston_watkins_loss",
]


def _is_dense(loss: str, target: Any) -> bool:
    """Whether a target holds probabilities rather than class indices."""
    array = as_input(loss, "target", target)
    return np.ndim(array) > 0 and array.dtype.kind not in "iub"


# ---- cross entropies ------------------------------------------------------------------------------


@rows_of_logits(
    aliases=(
        "CrossEntropyLoss",
        "softmax cross entropy",
        "sparse_categorical_crossentropy",
        "softmax_cross_entropy_with_integer_labels",
        "multinomial logistic loss",
        "HalfMultinomialLoss",
        "SoftTargetCrossEntropy",
        "logarithm of the perplexity",
        "log_loss",
    )
)
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    softcap: float | None = None,
    z_loss: float = 0.0,
    hessian: str = "exact",
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cross entropy of class scores with class indices or class probabilities.

    Formula: ``sum_c weight[c] * q'[c] * (lse - z[c])`` with ``z = input``, ``lse = log(sum(exp(z)))``, ``q`` the target
        probabilities (1 at a class index) and ``q' = (1 - label_smoothing) * q + label_smoothing / C``; plus
        ``z_loss * lse**2``. With `softcap`, ``z = softcap * tanh(input / softcap)``.
    Gradient: ``p * sum(weight * q') - weight * q'`` with ``p = softmax(z)``, plus ``2 * z_loss * lse * p``; exact in
        both tails: the target's part comes from the sum of the other exponentials.
    Hessian: ``p * (1 - p) * sum(weight * q')`` for "exact"; see `hessian` for what boosting libraries use instead.
    Domain: any real scores, minus infinity for excluded classes; a row of nothing but minus infinity is NaN. Target
        probabilities are not negative and need not sum to one; where they are 0 the score has no effect.
    Source: Good (1952), Rational decisions; label smoothing: Szegedy et al. (2016), Rethinking the Inception
        architecture.

    Parameters
    ----------
    {arrays}
    weight : array_like, optional
        One weight per class. As in PyTorch the mean over class indices divides by the sum of the weights of the
        targets, the mean over class probabilities by the number of rows.
    label_smoothing : float, default 0.0
        How much of the target is spread over all classes, in [0, 1].
    softcap : float, optional
        Keeps scores within ``(-softcap, softcap)``.
    z_loss : float, default 0.0
        Factor of the squared log-sum-exp, which keeps scores from drifting. Class weights do not multiply it; their
        mean divides it like the rest.
    hessian : {"exact", "gauss_newton", "upper", "lightgbm", "abs_residual"}, default "exact"
        What `grad_and_hess` gives: the true diagonal, the same without the loss's own curvature, ``2 * p * (1 - p)`` as
        in XGBoost, ``C / (C - 1) * p * (1 - p)`` as in LightGBM, or ``|p - q|``.
    {common}

    Notes
    -----
    ``return_aux=True`` also gives, per row, the log-sum-exp, the index of the largest score, and whether it is the
    target: perplexity and accuracy in the same pass.
    """
    return row_kernels.cross_entropy(
        input,
        label=target,
        axis=axis,
        weight=weight,
        ignore_index=ignore_index,
        softcap=0.0 if softcap is None else positive("softcap", softcap),
        z_loss=non_negative("z_loss", z_loss),
        label_smoothing=in_range("label_smoothing", label_smoothing, 0.0, 1.0),
        divisor="weights",
        hessian=hessian,
    )


@rows(aliases=("NLLLoss", "negative log-likelihood of log-probabilities"))
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Negative log-likelihood of log-probabilities: their negative at the target.

    Formula: ``-weight[y] * x[y]`` with ``x = input`` and ``y = target``.
    Gradient: ``-weight[y]`` at the target, 0 elsewhere.
    Domain: log-probabilities, minus infinity allowed; they are not normalised.
    Source: Fisher (1922), On the mathematical foundations of theoretical statistics.

    Parameters
    ----------
    input : array_like
        Log-probabilities: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Class indices in the shape of `input` without the class axis.
    weight : array_like, optional
        One weight per class; as in PyTorch the mean divides by the sum of the weights of the targets.
    {common}
    """
    return row_kernels.nll(input, label=target, axis=axis, weight=weight, ignore_index=ignore_index, divisor="weights")


@rows(aliases=("categorical_crossentropy", "cross entropy of probabilities"))
def categorical_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    renormalize: bool = False,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cross entropy of class probabilities; for scores see `cross_entropy`.

    Formula: ``-sum(q * log(p))`` with ``p = input``, ``q`` the target probabilities and ``0 * log(0) = 0``.
    Gradient: ``-q / p``; with `renormalize` plus ``sum(q) / sum(p)``. In target probabilities ``-log(p)``.
    Domain: probabilities in [0, 1]; infinite where a target has probability 0.
    Source: Good (1952), Rational decisions.

    Parameters
    ----------
    input : array_like
        Probabilities: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Class indices of an integer dtype, in the shape of `input` without the class axis; or class probabilities of a
        floating dtype in the shape of `input`.
    renormalize : bool, default False
        Divide `input` by its sum first, as Keras does.
    {common}
    """
    if not _is_dense("categorical_cross_entropy", target):
        return row_kernels.sparse_categorical_cross_entropy(
            input, label=target, axis=axis, ignore_index=ignore_index, renormalize=float(renormalize)
        )
    return row_kernels.divergence(
        input,
        target,
        axis=axis,
        kind=0.0,
        input_form=3.0 if renormalize else 2.0,
        target_form=2.0,
        temperature=1.0,
        target_temperature=1.0,
        factor=1.0,
        beta=0.5,
    )


@rows_of_logits(aliases=("multi-class focal loss", "categorical focal cross entropy"))
def softmax_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    gamma: float = 2.0,
    alpha: float | ArrayLike | None = None,
    ignore_index: int = -100,
    hessian: str = "exact",
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Focal loss of a softmax: cross entropy that fades for well classified rows.

    Formula: ``-alpha[y] * (1 - p[y])**gamma * log(p[y])`` with ``p = softmax(input)`` and ``y = target``; for target
        probabilities the sum of that over the classes, weighted by them.
    Gradient: ``phi' * ([j == y] - p[j])`` with
        ``phi' = alpha[y] * (1 - p[y])**(gamma - 1) * (gamma * p[y] * log(p[y]) - (1 - p[y]))``. In target
        probabilities the loss of each class.
    Hessian: ``phi'' * ([j == y] - p[j])**2 - phi' * p[j] * (1 - p[j])``, negative in places; "gauss_newton" leaves the
        first term out.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Lin et al. (2017), Focal loss for dense object detection.

    Parameters
    ----------
    {arrays}
    gamma : float, default 2.0
        How fast well classified rows fade; 0 is the cross entropy.
    alpha : float or array_like, optional
        A factor, or one per class; the mean still divides by the number of rows.
    hessian : {"exact", "gauss_newton", "upper", "lightgbm", "abs_residual"}, default "exact"
        What `grad_and_hess` gives; see `cross_entropy`.
    {common}
    """
    gamma = non_negative("gamma", gamma)
    factor, weight = 1.0, None
    if isinstance(alpha, (int, float, np.number)):
        factor = non_negative("alpha", alpha)
    elif alpha is not None:
        weight = _class_numbers("alpha", alpha, "not negative", _classes(input, axis))
    if _is_dense("softmax_focal_loss", target):
        return row_kernels.softmax_focal_dense(input, target, axis=axis, weight=weight, gamma=gamma, alpha=factor)
    return row_kernels.softmax_focal(
        input,
        label=target,
        axis=axis,
        weight=weight,
        ignore_index=ignore_index,
        hessian=hessian,
        gamma=gamma,
        alpha=factor,
    )


def _poly(
    loss: str,
    input: ArrayLike,
    target: ArrayLike,
    axis: int | None,
    ignore_index: int,
    factor: float,
    epsilon: Sequence[float],
) -> Result:
    coefficients: dict[str, Any] = {f"epsilon{j + 1}": epsilon[j] if j < len(epsilon) else 0.0 for j in range(4)}
    if _is_dense(loss, target):
        return row_kernels.poly_cross_entropy_dense(input, target, axis=axis, factor=factor, **coefficients)
    return row_kernels.poly_cross_entropy(
        input, label=target, axis=axis, ignore_index=ignore_index, factor=factor, **coefficients
    )


@rows_of_logits(aliases=("PolyLoss of a softmax", "poly_loss_cross_entropy"))
def poly1_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    epsilon: float = 2.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Poly-1 loss: cross entropy with the first coefficient of its series changed.

    Formula: ``-log(p[y]) + epsilon * (1 - p[y])`` with ``p = softmax(input)`` and ``y = target``; for target
        probabilities the sum of that over the classes, weighted by them.
    Gradient: ``(1 + epsilon * p[y]) * (p[j] - [j == y])``. In target
        probabilities the loss of each class.
    Hessian: ``(1 + epsilon * p[y]) * p[j] * (1 - p[j]) - epsilon * p[y] * ([j == y] - p[j])**2``.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Leng et al. (2022), PolyLoss: a polynomial expansion perspective of classification loss functions.

    Parameters
    ----------
    {arrays}
    epsilon : float, default 2.0
        Added to the coefficient of ``1 - p[y]``: 2 for ImageNet in the paper, -1 for detection.
    {common}
    """
    return _poly("poly1_cross_entropy", input, target, axis, ignore_index, 1.0, (finite("epsilon", epsilon),))


@rows_of_logits(aliases=("poly-N", "PolyLoss of higher order"))
def poly_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    epsilon: Sequence[float] = (2.0,),
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Poly-N loss: cross entropy with the first few coefficients of its series changed.

    Formula: ``-log(p[y]) + sum_k epsilon[k - 1] * (1 - p[y])**k`` with ``p = softmax(input)`` and ``y = target``; for
        target probabilities the sum of that over the classes, weighted by them.
    Gradient: ``phi' * ([j == y] - p[j])`` with ``phi' = -1 - p[y] * sum_k k * epsilon[k - 1] * (1 - p[y])**(k - 1)``.
        In target probabilities the loss of each class.
    Hessian: ``phi'' * ([j == y] - p[j])**2 - phi' * p[j] * (1 - p[j])``, negative in places.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Leng et al. (2022), PolyLoss: a polynomial expansion perspective of classification loss functions.

    Parameters
    ----------
    {arrays}
    epsilon : sequence of float, default (2.0,)
        Added to the coefficients of the powers of ``1 - p[y]``: up to four.
    {common}
    """
    if np.ndim(epsilon) != 1 or not 1 <= len(epsilon) <= 4:
        raise ValueError(f"epsilon must be a sequence of one to four numbers, got {epsilon!r}")
    coefficients = [finite("epsilon", e) for e in epsilon]
    return _poly("poly_cross_entropy", input, target, axis, ignore_index, 1.0, coefficients)


@rows_of_logits(aliases=("GCE", "categorical_generalized_cross_entropy", "Lq loss"))
def generalized_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    q: float = 0.7,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generalized cross entropy: between cross entropy and absolute error, to withstand wrong labels.

    Formula: ``(1 - p[y]**q) / q`` with ``p = softmax(input)`` and ``y = target``; for target probabilities the sum of
        that over the classes, weighted by them.
    Gradient: ``p[y]**q * (p[j] - [j == y])``. In target
        probabilities the loss of each class.
    Hessian: ``p[y]**q * (p[j] * (1 - p[j]) - q * ([j == y] - p[j])**2)``, negative in places.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Zhang and Sabuncu (2018), Generalized cross entropy loss for training deep neural networks with noisy
        labels.

    Parameters
    ----------
    {arrays}
    q : float, default 0.7
        In [0, 1]: 0 is the cross entropy, 1 is ``1 - p[y]``. Keras has 0.5.
    {common}
    """
    q = in_range("q", q, 0.0, 1.0)
    if _is_dense("generalized_cross_entropy", target):
        return row_kernels.generalized_cross_entropy_dense(input, target, axis=axis, q=q)
    return row_kernels.generalized_cross_entropy(input, label=target, axis=axis, ignore_index=ignore_index, q=q)


@rows_of_logits(aliases=("SCE", "symmetric cross entropy learning"))
def symmetric_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Symmetric cross entropy: cross entropy plus its reverse, to withstand wrong labels.

    Formula: ``-alpha * log(p[y]) - beta * log_zero * (1 - p[y])`` with ``p = softmax(input)`` and ``y = target``; for
        target probabilities the sum of that over the classes, weighted by them.
    Gradient: ``(alpha - beta * log_zero * p[y]) * (p[j] - [j == y])``. In target
        probabilities the loss of each class.
    Hessian: ``(alpha + b * p[y]) * p[j] * (1 - p[j]) - b * p[y] * ([j == y] - p[j])**2`` with ``b = -beta * log_zero``.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Wang et al. (2019), Symmetric cross entropy for robust learning with noisy labels.

    Parameters
    ----------
    {arrays}
    alpha : float, default 0.1
        Factor of the cross entropy.
    beta : float, default 1.0
        Factor of the reverse cross entropy.
    log_zero : float, default -4.0
        What stands for the logarithm of 0 in the reverse cross entropy.
    {common}
    """
    reverse = -non_negative("beta", beta) * in_range("log_zero", log_zero, -math.inf, 0.0, inclusive="neither")
    alpha = non_negative("alpha", alpha)
    return _poly("symmetric_cross_entropy", input, target, axis, ignore_index, alpha, (reverse,))


@rows_of_logits(aliases=("Menon's logit adjustment", "balanced softmax"))
def logit_adjusted_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    *,
    prior: ArrayLike | None = None,
    tau: float = 1.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cross entropy of scores shifted by the logarithm of the class frequencies, for classes of unequal size.

    Formula: ``lse(z) - z[y]`` with ``z = input + tau * log(prior)`` and ``y = target``.
    Gradient: ``p - [j == y]`` with ``p = softmax(z)``.
    Hessian: ``p * (1 - p)``.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Menon et al. (2021), Long-tail learning via logit adjustment.

    Parameters
    ----------
    {arrays}
    prior : array_like, optional
        Frequencies of the classes, in any unit; by default equal, which changes nothing.
    tau : float, default 1.0
        How much of the adjustment is made.
    {common}
    """
    tau = finite("tau", tau)
    offset = None
    if prior is not None:
        classes = _classes(input, axis)
        offset = tau * np.log(_class_numbers("prior", prior, "positive", classes))
    return row_kernels.cross_entropy(input, label=target, axis=axis, ignore_index=ignore_index, offset=offset)


@rows_of_scores(aliases=("LDAM", "label-distribution-aware margin loss"))
def ldam_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    counts: ArrayLike | None = None,
    max_margin: float = 0.5,
    scale: float = 30.0,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Label-distribution-aware margin loss: cross entropy with a larger margin for rarer classes.

    Formula: ``lse(z) - z[y]`` with ``z = scale * input``, less ``scale * margin[y]`` at ``y = target``;
        ``margin[c]`` is proportional to ``counts[c]**-0.25`` and at most `max_margin`.
    Gradient: ``scale * (p - [j == y])`` with ``p = softmax(z)``.
    Hessian: ``scale**2 * p * (1 - p)``.
    Domain: any real scores; the paper's are cosines.
    Source: Cao et al. (2019), Learning imbalanced datasets with label-distribution-aware margin loss.

    Parameters
    ----------
    {arrays}
    counts : array_like, optional
        How many rows each class has; by default equally many.
    max_margin : float, default 0.5
        The margin of the rarest class.
    scale : float, default 30.0
        Multiplies the scores.
    weight : array_like, optional
        One weight per class; the mean divides by the sum of the weights of the targets.
    {common}
    """
    scale, largest = positive("scale", scale), non_negative("max_margin", max_margin)
    margin, classes = None, _classes(input, axis)
    if counts is not None:
        rarity = _class_numbers("counts", counts, "positive", classes) ** -0.25
        margin = scale * largest * rarity / rarity.max(initial=0.0)
    elif largest > 0.0 and classes is not None:
        margin = np.full(classes, scale * largest)
    return row_kernels.cross_entropy(
        input,
        label=target,
        axis=axis,
        weight=weight,
        ignore_index=ignore_index,
        margin=margin,
        scale=scale,
        divisor="weights",
    )


def class_balanced_weights(counts: ArrayLike, *, beta: float = 0.999, normalize: bool = False) -> Array:
    """Class weights from the effective number of samples of each class, for the `weight` of a loss.

    Formula: ``(1 - beta) / (1 - beta**counts)``.
    Source: Cui et al. (2019), Class-balanced loss based on effective number of samples.

    Parameters
    ----------
    counts : array_like
        How many rows each class has; positive.
    beta : float, default 0.999
        In [0, 1): 0 weights all classes alike, towards 1 the weights go to those of inverse frequency.
    normalize : bool, default False
        Scale the weights so that their mean is 1, as the authors' code does.

    Returns
    -------
    ndarray
        One weight per class, float64.

    Raises
    ------
    ValueError
        If `beta` is out of range or a count is not positive.
    """
    number = _class_numbers("counts", counts, "positive")
    beta = in_range("beta", beta, 0.0, 1.0, inclusive="low")
    weights: Array = np.ones_like(number) if beta == 0.0 else (1.0 - beta) / -np.expm1(number * math.log(beta))
    return weights / weights.mean() if normalize else weights


def _classes(input: Any, axis: int | None) -> int | None:
    """How many classes the scores have; None where there is no such axis, which is refused by name later."""
    shape = as_array("input", input).shape
    along = min(1, len(shape) - 1) if axis is None else integer("axis", axis)
    return shape[along] if -len(shape) <= along < len(shape) else None


def _class_numbers(name: str, value: Any, sign: str, classes: int | None = None) -> Array:
    """Finite numbers that are "positive" or "not negative", one for each of so many classes."""
    numbers = as_array(name, value).astype(np.float64)
    right = numbers > 0.0 if sign == "positive" else numbers >= 0.0
    if not (right & np.isfinite(numbers)).all():
        raise ValueError(f"{name} must be {sign} and finite, got {value!r}")
    if classes is not None and numbers.shape != (classes,):
        raise ValueError(f"{name} has shape {numbers.shape}, expected one number per class: ({classes},)")
    return numbers


@rows(aliases=("gathered log-softmax", "log-probability of the label", "per-token log-probability"))
def selected_log_prob(
    input: ArrayLike,
    target: ArrayLike,
    *,
    temperature: float = 1.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """Logarithm of the probability of the target: the log-softmax of scores at one class, not negated.

    Formula: ``log(p[y])`` with ``p = softmax(input / temperature)`` and ``y = target``.
    Gradient: ``([j == y] - p[j]) / temperature``.
    Hessian: ``-p * (1 - p) / temperature**2``.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.

    Parameters
    ----------
    input : array_like
        Scores (logits): ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Class indices in the shape of `input` without the class axis.
    temperature : float, default 1.0
        Divides the scores.
    {common}

    Notes
    -----
    Preference losses take sums of it over the tokens of an answer; `backward` gives their gradient in the scores.
    """
    return row_kernels.selected_log_prob(
        input, label=target, axis=axis, ignore_index=ignore_index, scale=1.0 / positive("temperature", temperature)
    )


@rows_of_logits(aliases=("Brier score", "MSE on softmax", "quadratic score", "brier_score_loss"))
def brier_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    hessian: str = "exact",
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Brier score: squared error of the softmax of scores, summed over the classes.

    Formula: ``sum((p - q)**2)`` with ``p = softmax(input)`` and ``q`` the target probabilities (1 at a class index).
    Gradient: ``2 * p * (e - sum(p * e))`` with ``e = p - q``; ``-2 * e`` in target probabilities.
    Hessian: ``2 * p * ((1 - p) * f + p * (s - f))`` with ``f = e - sum(p * e)`` and ``s = 1 - 2 * p + sum(p**2)``,
        negative in places; ``2 * p**2 * s`` for "gauss_newton".
    Domain: any real scores, minus infinity for excluded classes.
    Source: Brier (1950), Verification of forecasts expressed in terms of probability.

    Parameters
    ----------
    {arrays}
    hessian : {"exact", "gauss_newton"}, default "exact"
        What `grad_and_hess` gives: the true diagonal, or one without the second derivatives of ``p``, which is never
        negative.
    {common}
    """
    mode = choice("hessian", hessian, ("exact", "gauss_newton"))
    return row_kernels.brier(
        input, label=target, axis=axis, ignore_index=ignore_index, gauss_newton=float(mode == "gauss_newton")
    )


@rows(aliases=("CE minus beta times entropy", "Pereyra's confidence penalty"))
def confidence_penalty_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    beta: float = 0.1,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cross entropy less a part of the entropy of the prediction: confidence costs.

    Formula: ``-log(p[y]) + beta * sum(p * log(p))`` with ``p = softmax(input)`` and ``y = target``.
    Gradient: ``p - [j == y] + beta * p * (log(p) + H)`` with ``H = -sum(p * log(p))``.
    Domain: any real scores, minus infinity for excluded classes.
    Source: Pereyra et al. (2017), Regularizing neural networks by penalizing confident output distributions.

    Parameters
    ----------
    input : array_like
        Scores (logits): ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Class indices in the shape of `input` without the class axis.
    beta : float, default 0.1
        Factor of the entropy.
    {common}
    """
    return row_kernels.confidence_penalty(
        input, label=target, axis=axis, ignore_index=ignore_index, beta=finite("beta", beta)
    )


@rows(aliases=("self-distillation with soft targets", "SwAV cross entropy"))
def dino_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    center: ArrayLike | None = None,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Cross entropy of a student's scores with the sharpened, centred softmax of a teacher's.

    Formula: ``-sum(r * log(p))`` with ``p = softmax(input / student_temperature)`` and
        ``r = softmax((target - center) / teacher_temperature)``.
    Gradient: ``(p - r) / student_temperature``; in the teacher's scores ``r * (D - log(p)) / teacher_temperature`` with
        ``D = sum(r * log(p))``.
    Domain: any real scores.
    Source: Caron et al. (2021), Emerging properties in self-supervised vision transformers.

    Parameters
    ----------
    input : array_like
        Scores of the student: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
    target : array_like
        Scores of the teacher, in the shape of `input`.
    student_temperature : float, default 0.1
        Divides the student's scores.
    teacher_temperature : float, default 0.04
        Divides the teacher's scores.
    center : array_like, optional
        Subtracted from the teacher's scores, broadcast to their shape.
    {common}
    """
    teacher: Any = target
    if center is not None:
        teacher, middle = as_array("target", target), as_array("center", center)
        if teacher.ndim:  # not in a call that only asks what the body would do
            middle = spread("center", middle, teacher.shape)
        teacher = (teacher - middle).astype(teacher.dtype if teacher.dtype.kind not in "iub" else None)
    return row_kernels.divergence(
        input,
        teacher,
        axis=axis,
        kind=0.0,
        input_form=0.0,
        target_form=0.0,
        temperature=positive("student_temperature", student_temperature),
        target_temperature=positive("teacher_temperature", teacher_temperature),
        factor=1.0,
        beta=0.5,
    )


# ---- margins --------------------------------------------------------------------------------------


def _hinge(
    input: ArrayLike,
    target: ArrayLike,
    axis: int | None,
    ignore_index: int,
    *,
    margin: float = 1.0,
    floor: float = -math.inf,
) -> Result:
    return row_kernels.multiclass_hinge(
        input, label=target, axis=axis, ignore_index=ignore_index, margin=margin, floor=floor
    )


@rows_of_scores(aliases=("MultiMarginLoss", "multi-class margin loss"))
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Multi-class margin loss: every class that comes too near to the target costs, averaged over the classes.

    Formula: ``weight[y] / C * sum(max(0, margin - z[y] + z[j])**p)`` over ``j != y``, with ``z = input`` and
        ``y = target``.
    Gradient: ``weight[y] / C * p * h**(p - 1)`` at each class whose ``h = margin - z[y] + z[j]`` is positive, and the
        negative of their sum at the target; 0 at the kink ``h = 0``.
    Domain: any real scores.
    Source: Weston and Watkins (1999), Support vector machines for multi-class pattern recognition.

    Parameters
    ----------
    {arrays}
    p : int, default 1
        1, or 2 to square the hinges.
    margin : float, default 1.0
        How far below the target the others should be.
    weight : array_like, optional
        One weight per class; as in PyTorch the mean still divides by the number of rows.
    {common}
    """
    power, margin = one_of("p", p, (1, 2)), finite("margin", margin)
    return row_kernels.multi_margin(input, label=target, axis=axis, weight=weight, p=power, margin=margin, mean=1.0)


@rows_of_scores(aliases=("Weston-Watkins hinge", "multi-class SVM of Weston and Watkins"))
def weston_watkins_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 1.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Weston and Watkins' hinge loss: every class that comes too near to the target costs, summed over the classes.

    Formula: ``sum(max(0, margin - z[y] + z[j]))`` over ``j != y``, with ``z = input`` and ``y = target``.
    Gradient: 1 at each class whose ``margin - z[y] + z[j]`` is positive, and minus their number at the target; 0 at the
        kink.
    Domain: any real scores.
    Source: Weston and Watkins (1999), Support vector machines for multi-class pattern recognition.

    Parameters
    ----------
    {arrays}
    margin : float, default 1.0
        How far below the target the others should be.
    {common}
    """
    return row_kernels.multi_margin(
        input,
        label=target,
        axis=axis,
        ignore_index=ignore_index,
        p=1.0,
        margin=finite("margin", margin),
        mean=0.0,
    )


@rows_of_scores(aliases=("Crammer-Singer hinge", "multiclass SVM", "multi-class hinge"))
def multiclass_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 1.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Crammer and Singer's hinge loss: the class that comes nearest to the target costs.

    Formula: ``max(0, margin - z[y] + max(z[j]))`` with the maximum over ``j != y``, ``z = input`` and ``y = target``.
    Gradient: where the loss is positive, 1 at the largest of the others (the first of equals) and -1 at the target.
    Domain: any real scores.
    Source: Crammer and Singer (2001), On the algorithmic implementation of multiclass kernel-based vector machines.

    Parameters
    ----------
    {arrays}
    margin : float, default 1.0
        How far below the target the others should be.
    {common}
    """
    return _hinge(input, target, axis, ignore_index, margin=finite("margin", margin))


@rows_of_scores(aliases=("keras categorical hinge",))
def categorical_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Keras' categorical hinge: Crammer and Singer's with the best of the others never below 0.

    Formula: ``max(0, 1 - z[y] + max(0, z[j]))`` with the maximum over ``j != y``, ``z = input`` and ``y = target``.
    Gradient: where the loss is positive, -1 at the target, and 1 at the largest of the others (the first of equals) if
        that is positive.
    Domain: any real scores.
    Source: Crammer and Singer (2001), On the algorithmic implementation of multiclass kernel-based vector machines;
        Keras (2015).

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _hinge(input, target, axis, ignore_index, floor=0.0)


@rows_of_scores(aliases=("multi-class perceptron",))
def multiclass_perceptron_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Perceptron loss of several classes: by how much another class beats the target.

    Formula: ``max(z) - z[y]`` with ``z = input`` and ``y = target``.
    Gradient: where the loss is positive, 1 at the largest score (the first of equals) and -1 at the target.
    Domain: any real scores.
    Source: Rosenblatt (1958), The perceptron; for several classes Collins (2002), Discriminative training methods for
        hidden Markov models.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return _hinge(input, target, axis, ignore_index, margin=0.0)


# ---- sparse and evidential ------------------------------------------------------------------------


@rows_of_scores(
    aliases=("multiclass_sparsemax_loss", "Martins and Astudillo's loss", "Fenchel-Young loss of sparsemax")
)
def sparsemax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Sparsemax loss: like cross entropy, but 0 as soon as the target leads by one.

    Formula: ``-z[y] + sum(z**2 - tau**2) / 2 + 1 / 2`` with the sum over the support of ``p = max(0, z - tau)``, whose
        threshold ``tau`` makes ``p`` sum to one; ``z = input`` and ``y = target``.
    Gradient: ``p - [j == y]``.
    Domain: any real scores.
    Source: Martins and Astudillo (2016), From softmax to sparsemax.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return row_kernels.entmax_loss(input, label=target, axis=axis, ignore_index=ignore_index, alpha=2.0)


@rows_of_scores(aliases=("entmax-1.5", "Tsallis loss"))
def entmax15_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Entmax-1.5 loss: between cross entropy and the sparsemax loss, with sparse probabilities and a smooth gradient.

    Formula: ``sum(p * z) + 4 / 3 * (1 - sum(p**1.5)) - z[y]`` with ``p = max(0, z / 2 - tau)**2``, whose threshold
        ``tau`` makes ``p`` sum to one; ``z = input`` and ``y = target``.
    Gradient: ``p - [j == y]``.
    Domain: any real scores.
    Source: Peters et al. (2019), Sparse sequence-to-sequence models.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return row_kernels.entmax_loss(input, label=target, axis=axis, ignore_index=ignore_index, alpha=1.5)


_EVIDENCE = {"softplus": 0.0, "relu": 1.0, "exp": 2.0}


@rows_of_scores(aliases=("evidential classification", "EDL", "Sensoy's loss"))
def evidential_dirichlet_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    evidence: str = "softplus",
    kl_weight: float = 0.0,
    ignore_index: int = -100,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Evidential loss: expected squared error of a Dirichlet distribution of class probabilities.

    Formula: ``sum((q - m)**2 + m * (1 - m) / (S + 1)) + kl_weight * KL(Dir(a') || Dir(1))`` with ``q = [j == y]``,
        ``a = evidence(input) + 1``, ``S = sum(a)``, ``m = a / S``, and ``a'`` the ``a`` with 1 at the target.
    Gradient: ``(f - sum(f * m)) / S - sum(m * (1 - m)) / (S + 1)**2`` with ``f = 2 * (m - q) + (1 - 2 * m) / (S + 1)``,
        plus ``kl_weight * ((a' - 1) * trigamma(a') - (S' - C) * trigamma(S'))``, times the slope of the evidence; that
        of "relu" is 0 at 0.
    Domain: any real scores.
    Source: Sensoy et al. (2018), Evidential deep learning to quantify classification uncertainty.

    Parameters
    ----------
    {arrays}
    evidence : {"softplus", "relu", "exp"}, default "softplus"
        What makes evidence of a score.
    kl_weight : float, default 0.0
        Factor of the divergence that discourages evidence for wrong classes; usually raised during training.
    {common}
    """
    return row_kernels.evidential_dirichlet(
        input,
        label=target,
        axis=axis,
        ignore_index=ignore_index,
        kl_weight=non_negative("kl_weight", kl_weight),
        evidence=_EVIDENCE[choice("evidence", evidence, _EVIDENCE)],
    )
