"""Overlap of predicted and true masks: Dice, Jaccard, Tversky and what has been made of them."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from ._core_kernels import overlap_kernels
from ._loss import Result, overlap
from ._validation import choice, in_range, non_negative, positive

__all__ = [
    "asymmetric_unified_focal_loss",
    "boundary_loss",
    "dice_ce_loss",
    "dice_focal_loss",
    "dice_loss",
    "focal_tversky_loss",
    "generalized_dice_loss",
    "generalized_wasserstein_dice_loss",
    "hausdorff_dt_loss",
    "jaccard_loss",
    "log_cosh_dice_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "mcc_loss",
    "tversky_loss",
]

_NONE, _LOG, _POWER, _LOG_COSH = 0.0, 1.0, 2.0, 3.0  # transforms of 1 - score


_SIZES = {"square": 2.0, "simple": 1.0, "uniform": 0.0}


def _shared(
    activation: str,
    weight: ArrayLike | None,
    ignore_index: int | None,
    include_background: bool,
    absent: str,
    batch: bool,
    axis: int | None,
) -> dict[str, Any]:
    return {
        "activation": activation,
        "weight": weight,
        "ignore_index": ignore_index,
        "include_background": include_background,
        "absent": absent,
        "batch": batch,
        "axis": axis,
    }


def _smoothed(smooth_nr: float, smooth_dr: float, scale: float = 1.0) -> dict[str, Any]:
    return {
        "smooth_nr": scale * non_negative("smooth_nr", smooth_nr),
        "smooth_dr": scale * non_negative("smooth_dr", smooth_dr),
    }


def _transformed(log_loss: bool, eps: float) -> dict[str, Any]:
    return {"transform": _LOG if log_loss else _NONE, "exponent": non_negative("eps", eps)}


def _combined(activation: str, lambda_dice: float, pixel_weight: float) -> dict[str, Any]:
    return {
        "overlap_weight": non_negative("lambda_dice", lambda_dice),
        "pixel_weight": pixel_weight,
        "by_class": float(choice("activation", activation, ("softmax", "sigmoid")) == "sigmoid"),
    }


@overlap(
    aliases=(
        "Dice",
        "DSC",
        "soft Dice",
        "Sorensen-Dice",
        "F1 loss",
        "DiceLoss",
    )
)
def dice_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    log_loss: bool = False,
    eps: float = 0.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Soft Dice loss: how little the predicted and the true mask of a class overlap.

    Formula: ``1 - (2 * I + smooth_nr) / (P + T + smooth_dr)`` with ``I = sum(p * t)``, ``P = sum(p)``, ``T = sum(t)``
        over the positions of a class; `form` "squared" has ``P = sum(p**2)`` and ``T = sum(t**2)``, "minimum" has
        ``I = sum(min(p, t))``. With `log_loss`, ``-log(max(score, eps))``.
    Gradient: ``(score - 2 * t) / (P + T + smooth_dr)`` in ``p`` for "product", then through the activation.
    Domain: any real scores, or probabilities in [0, 1] where there is no activation; targets in [0, 1]. Nothing
        predicted, nothing there and no smoothing is 0.
    Source: Milletari, Navab and Ahmadi (2016), V-Net: fully convolutional neural networks for volumetric segmentation.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return overlap_kernels.tversky(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        form=form,
        alpha=0.5,
        beta=0.5,
        **_smoothed(smooth_nr, smooth_dr, 0.5),
        **_transformed(log_loss, eps),
    )


@overlap(
    aliases=(
        "IoU loss",
        "soft IoU",
        "soft Jaccard",
        "intersection over union of masks",
        "JaccardLoss",
    )
)
def jaccard_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    log_loss: bool = False,
    eps: float = 0.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Soft Jaccard loss: 1 minus the intersection of predicted and true mask over their union.

    Formula: ``1 - (I + smooth_nr) / (P + T - I + smooth_dr)`` with the sums of `dice_loss`. With `log_loss`,
        ``-log(max(score, eps))``.
    Gradient: ``(score * (1 - t) - t) / (P + T - I + smooth_dr)`` in ``p`` for "product", then through the activation.
    Domain: as for `dice_loss`.
    Source: Rahman and Wang (2016), Optimizing intersection-over-union in deep neural networks for image segmentation.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return overlap_kernels.tversky(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        form=form,
        alpha=1.0,
        beta=1.0,
        **_smoothed(smooth_nr, smooth_dr),
        **_transformed(log_loss, eps),
    )


@overlap(
    aliases=(
        "Tversky index",
        "TverskyLoss",
    )
)
def tversky_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    alpha: float = 0.5,
    beta: float = 0.5,
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    log_loss: bool = False,
    eps: float = 0.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Tversky loss: a Dice loss that weighs false positives and false negatives by their own.

    Formula: ``1 - (I + smooth_nr) / (I + alpha * FP + beta * FN + smooth_dr)`` with ``I = sum(p * t)``,
        ``FP = sum(p * (1 - t))`` and ``FN = sum((1 - p) * t)``, or the other forms of `dice_loss`.
    Gradient: ``-((1 - score) * t + score * (beta * t - alpha * (1 - t))) / D`` in ``p`` with the denominator ``D`` for
        "product", then through the activation.
    Domain: as for `dice_loss`; alpha and beta are not negative.
    Source: Salehi, Erdogmus and Gholipour (2017), Tversky loss function for image segmentation using 3D fully
        convolutional deep networks.

    Parameters
    ----------
    {arrays}
    alpha, beta : float, default 0.5
        Weights of what is predicted but not there, and of what is there but not predicted. (Keras has them the other
        way round.)
    {common}
    """
    return overlap_kernels.tversky(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        form=form,
        alpha=non_negative("alpha", alpha),
        beta=non_negative("beta", beta),
        **_smoothed(smooth_nr, smooth_dr),
        **_transformed(log_loss, eps),
    )


@overlap(
    aliases=(
        "FTL",
        "focal Tversky",
    )
)
def focal_tversky_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 0.75,
    reduce_first: bool = False,
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Focal Tversky loss: a power of the Tversky loss, by class or of their mean.

    Formula: ``(1 - score)**gamma`` with the score of `tversky_loss`; with `reduce_first`,
        ``mean(1 - score)**gamma`` over the classes.
    Gradient: that of `tversky_loss` times ``gamma * (1 - score)**(gamma - 1)``; 0 where the loss is 0.
    Domain: as for `tversky_loss`; gamma is positive.
    Source: Abraham and Khan (2019), A novel focal Tversky loss function with improved attention U-Net; their exponent
        4/3 is ``gamma = 0.75`` here.

    Parameters
    ----------
    {arrays}
    alpha : float, default 0.3
        Weight of what is predicted but not there.
    beta : float, default 0.7
        Weight of what is there but not predicted.
    gamma : float, default 0.75
        The exponent.
    reduce_first : bool, default False
        One value for all classes of an image: the power of their mean.
    {common}
    """
    options: dict[str, Any] = {
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        **_smoothed(smooth_nr, smooth_dr),
        "form": form,
        "alpha": non_negative("alpha", alpha),
        "beta": non_negative("beta", beta),
        "exponent": positive("gamma", gamma),
    }
    if reduce_first:
        return overlap_kernels.tversky_mean(input, label=target, **options)
    return overlap_kernels.tversky(input, label=target, **options, transform=_POWER)


@overlap(
    aliases=(
        "log-cosh Dice",
        "LogCoshDiceLoss",
    )
)
def log_cosh_dice_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Log-cosh Dice loss: a Dice loss whose gradient fades as it becomes small.

    Formula: ``log(cosh(dice_loss))``.
    Gradient: that of `dice_loss` times ``tanh(dice_loss)``.
    Domain: as for `dice_loss`.
    Source: Jadon (2020), A survey of loss functions for semantic segmentation.

    Parameters
    ----------
    {arrays}
    {common}
    """
    return overlap_kernels.tversky(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        form=form,
        alpha=0.5,
        beta=0.5,
        **_smoothed(smooth_nr, smooth_dr, 0.5),
        transform=_LOG_COSH,
        exponent=0.0,
    )


@overlap(
    aliases=(
        "GDL",
        "generalised Dice",
        "GeneralizedDiceLoss",
    )
)
def generalized_dice_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    weight_type: str = "square",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generalized Dice loss: one Dice loss of all classes, in which small ones count more.

    Formula: ``1 - (2 * sum_c w[c] * I[c] + smooth_nr) / (sum_c w[c] * (P[c] + T[c]) + smooth_dr)`` with the sums of
        `dice_loss` and ``w[c] = 1 / T[c]**2`` ("square"), ``1 / T[c]`` ("simple") or 1 ("uniform"). An empty class has
        the largest of the other weights.
    Gradient: ``w[c] * (score - 2 * t) / D`` in ``p`` with the denominator ``D``, then through the activation.
    Domain: as for `dice_loss`. Without any target at all the loss is that of the smoothing alone.
    Source: Sudre et al. (2017), Generalised Dice overlap as a deep learning loss function for highly unbalanced
        segmentations.

    Parameters
    ----------
    {arrays}
    weight_type : {"square", "simple", "uniform"}, default "square"
        How the weight of a class follows from its size.
    {common}
    """
    return overlap_kernels.generalized_dice(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        **_smoothed(smooth_nr, smooth_dr),
        exponent=_SIZES[choice("weight_type", weight_type, _SIZES)],
    )


@overlap(
    aliases=(
        "Matthews correlation coefficient",
        "phi coefficient",
        "MCCLoss",
    )
)
def mcc_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    smooth: float = 1e-5,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Matthews correlation loss: 1 minus the correlation of predicted and true mask.

    Formula: ``1 - (TP * TN - FP * FN) / sqrt((TP + FP) * (TP + FN) * (TN + FP) * (TN + FN))`` of the soft counts
        ``TP = sum(p * t)``, ``TN = sum((1 - p) * (1 - t))``, ``FP = sum(p * (1 - t))`` and ``FN = sum((1 - p) * t)``,
        to each of which `smooth` is added.
    Gradient: that of the formula in ``p``, then through the activation.
    Domain: as for `dice_loss`; in [0, 2]. Without smoothing a denominator of 0 is a correlation of 0.
    Source: Abhishek and Hamarneh (2021), Matthews correlation coefficient loss for deep convolutional networks.

    Parameters
    ----------
    {arrays}
    smooth : float, default 1e-5
        Added to each of the four counts.
    {common}
    """
    return overlap_kernels.matthews(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        smooth=non_negative("smooth", smooth),
    )


@overlap(
    aliases=(
        "Dice + cross entropy",
        "combo loss",
        "DiceCELoss",
        "Dice BCE",
    )
)
def dice_ce_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    lambda_dice: float = 1.0,
    lambda_ce: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Dice loss plus cross entropy, in one pass over the scores.

    Formula: ``lambda_dice * mean(dice_loss over the classes) + lambda_ce * mean(ce)`` for each image, where ``ce`` is
        the cross entropy of each position with a softmax and the binary cross entropy of each position and class with a
        sigmoid; class weights multiply the Dice losses alone.
    Gradient: the sum of both, that of the cross entropy being ``p - t``.
    Domain: any real scores; targets in [0, 1].
    Source: Taghanaki et al. (2019), Combo loss: handling input and output imbalance in multi-organ segmentation.

    Parameters
    ----------
    {arrays}
    activation : {"softmax", "sigmoid"}, default "softmax"
        How scores become probabilities.
    lambda_dice, lambda_ce : float, default 1.0
        Weights of the two losses.
    {common}
    """
    return overlap_kernels.tversky_and_pixels(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        form=form,
        alpha=0.5,
        beta=0.5,
        **_smoothed(smooth_nr, smooth_dr, 0.5),
        **_combined(activation, lambda_dice, non_negative("lambda_ce", lambda_ce)),
    )


@overlap(
    aliases=(
        "Dice + focal",
        "DiceFocalLoss",
    )
)
def dice_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    gamma: float = 2.0,
    form: str = "product",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    lambda_dice: float = 1.0,
    lambda_focal: float = 1.0,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Dice loss plus focal loss, in one pass over the scores.

    Formula: ``lambda_dice * mean(dice_loss over the classes) + lambda_focal * mean(focal)`` for each image, where
        ``focal`` is ``-(1 - p_t)**gamma * log(p_t)``: of each position with a softmax, of each position and class with
        a sigmoid.
    Gradient: the sum of both.
    Domain: any real scores; targets in [0, 1]; gamma is not negative.
    Source: Zhu et al. (2019), AnatomyNet: deep learning for fast and fully automated whole-volume segmentation.

    Parameters
    ----------
    {arrays}
    activation : {"softmax", "sigmoid"}, default "softmax"
        How scores become probabilities.
    gamma : float, default 2.0
        How much positions that are predicted well are discounted.
    lambda_dice, lambda_focal : float, default 1.0
        Weights of the two losses.
    {common}
    """
    return overlap_kernels.tversky_and_pixels(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, absent, batch, axis),
        form=form,
        gamma=non_negative("gamma", gamma),
        alpha=0.5,
        beta=0.5,
        **_smoothed(smooth_nr, smooth_dr, 0.5),
        **_combined(activation, lambda_dice, non_negative("lambda_focal", lambda_focal)),
    )


@overlap(
    aliases=(
        "unified focal loss",
        "AsymmetricUnifiedFocalLoss",
    )
)
def asymmetric_unified_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    delta: float = 0.7,
    gamma: float = 0.5,
    lambda_focal: float = 0.5,
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    absent: str = "keep",
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Asymmetric unified focal loss: focal for the background, Tversky to a power for the foreground of rare masks.

    Formula: ``lambda_focal * mean(focal) / 2 + (1 - lambda_focal) * ((1 - TI_0) + (1 - TI_1)**(1 - gamma)) / 2``, the
        mean of it over the classes, with ``p = sigmoid(input)``, ``focal = -delta * t * log(p)
        - (1 - delta) * (1 - t) * p**gamma * log(1 - p)`` and the scores ``TI_1 = (I + smooth_nr) /
        (I + (1 - delta) * FP + delta * FN + smooth_dr)`` of `tversky_loss` for the mask and ``TI_0`` for what is
        outside of it.
    Gradient: that of the formula in ``p``, then through the sigmoid; 0 for the power where its base is 0.
    Domain: any real scores; targets in [0, 1]; delta and lambda_focal in [0, 1], gamma in [0, 1).
    Source: Yeung et al. (2022), Unified focal loss: generalising Dice and cross entropy-based losses to handle class
        imbalanced medical image segmentation.

    Parameters
    ----------
    input : array_like
        Scores ``[N, C, d1, ...]``, or with the classes along `axis`; each class is a mask by itself.
    target : array_like
        Masks in the shape of `input`, or class indices of an integer dtype in its shape without the class axis (0 or 1
        if there is one class).
    delta : float, default 0.7
        How much what is missed counts; what is found where it is not counts for the rest.
    gamma : float, default 0.5
        How much background that is predicted well is discounted, and the foreground's score is enhanced.
    lambda_focal : float, default 0.5
        The share of the loss by position; the overlap has the rest.
    {common}
    """
    delta = in_range("delta", delta, 0.0, 1.0)
    gamma = in_range("gamma", gamma, 0.0, 1.0, inclusive="low")
    return overlap_kernels.unified_focal(
        input,
        label=target,
        **_shared("sigmoid", weight, ignore_index, include_background, absent, batch, axis),
        alpha=1.0 - delta,
        beta=delta,
        **_smoothed(smooth_nr, smooth_dr),
        gamma=(gamma, 0.0),
        factor=(1.0 - delta, delta),
        pixel_weight=in_range("lambda_focal", lambda_focal, 0.0, 1.0),
        exponent=1.0 - gamma,
    )


@overlap(aliases=("boundary loss of signed distances", "surface loss"))
def boundary_loss(
    input: ArrayLike,
    distance: ArrayLike,
    *,
    activation: str = "softmax",
    weight: ArrayLike | None = None,
    include_background: bool = True,
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Boundary loss: predicted probability times signed distance from the true boundary.

    Formula: ``mean(p * distance)`` over the positions of a class.
    Gradient: ``distance / positions`` in ``p``, then through the activation.
    Domain: any real scores, or probabilities where there is no activation; any real distances.
    Source: Kervadec et al. (2019), Boundary loss for highly unbalanced segmentation.

    Parameters
    ----------
    input : array_like
        Scores ``[N, C, d1, ...]``, or with the classes along `axis`; or probabilities.
    distance : array_like
        Signed distances from the true boundary in the shape of `input`: positive outside, negative inside.
    {common}
    """
    return overlap_kernels.boundary(
        input,
        label=distance,
        **_shared(activation, weight, None, include_background, "keep", batch, axis),
    )


@overlap(aliases=("Hausdorff distance transform loss", "HausdorffDTLoss"))
def hausdorff_dt_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    distance: ArrayLike = 1.0,
    activation: str = "softmax",
    weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    include_background: bool = True,
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Hausdorff distance loss by distance transforms: squared errors, weighted by how far from the boundaries they are.

    Formula: ``mean((p - t)**2 * distance)`` over the positions of a class.
    Gradient: ``2 * (p - t) * distance / positions`` in ``p``, then through the activation.
    Domain: any real scores, or probabilities where there is no activation; targets in [0, 1], distances not negative.
    Source: Karimi and Salcudean (2020), Reducing the Hausdorff distance in medical image segmentation with
        convolutional neural networks.

    Parameters
    ----------
    {arrays}
    distance : array_like, default 1.0
        ``DT_p**alpha + DT_t**alpha`` of the distance transforms of the predicted and the true mask, broadcast to the
        shape of `input` (or in that of the labels); they have no gradient.
    {common}
    """
    return overlap_kernels.mean_difference(
        input,
        label=target,
        **_shared(activation, weight, ignore_index, include_background, "keep", batch, axis),
        position_weight=distance,
        form="squared",
    )


@overlap(aliases=("GWDL", "Wasserstein Dice", "GeneralizedWassersteinDiceLoss"))
def generalized_wasserstein_dice_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    cost: ArrayLike | None = None,
    activation: str = "softmax",
    smooth_nr: float = 1e-5,
    smooth_dr: float = 1e-5,
    ignore_index: int | None = -100,
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generalized Wasserstein Dice loss: a Dice loss that knows which classes are easily confused.

    Formula: ``1 - (2 * TP + smooth_nr) / (2 * TP + sum(W) + smooth_dr)`` with ``W = sum_c cost[y, c] * p[c]`` at each
        position and ``TP = sum(1 - W)`` over the positions whose label is not the background, class 0.
    Gradient: that of the formula in ``p``, then through the activation.
    Domain: any real scores, or probabilities in [0, 1] where there is no activation; costs in [0, 1].
    Source: Fidon et al. (2017), Generalised Wasserstein Dice score for imbalanced multi-class segmentation using
        holistic convolutional networks.

    Parameters
    ----------
    {arrays}
    cost : array_like, optional
        Matrix ``[C, C]`` of the distances of classes, 0 on the diagonal and 1 at most; by default 1 off the diagonal.
    {common}
    """
    return overlap_kernels.wasserstein_dice(
        input,
        label=target,
        **_shared(activation, None, ignore_index, True, "keep", batch, axis),
        cost=cost,
        **_smoothed(smooth_nr, smooth_dr),
    )


@overlap(aliases=("Lovasz hinge", "LovaszLoss", "binary Lovasz loss"))
def lovasz_hinge_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int | None = -100,
    include_background: bool = True,
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Lovasz hinge: the Jaccard loss of a mask, extended to the hinge errors of its positions.

    Formula: ``sum_k max(e[k], 0) * (J[k] - J[k-1])`` over the positions in order of their errors, the largest first,
        with ``e = 1 - input * (2 * t - 1)`` and ``J[k]`` the Jaccard loss of a mask that is wrong at the first k.
    Gradient: ``-(2 * t - 1) * (J[k] - J[k-1])`` where ``e > 0``, else 0. Equal errors keep the order of the positions.
    Domain: any real scores; targets are present where they exceed 1/2. Without any target the largest error counts.
    Source: Berman, Rannen Triki and Blaschko (2018), The Lovasz-Softmax loss.

    Parameters
    ----------
    input : array_like
        Scores ``[N, C, d1, ...]``, or with the classes along `axis`; each class is a mask by itself.
    target : array_like
        Class indices of an integer dtype in the shape of `input` without the class axis (0 or 1 if there is one class);
        or masks in the shape of `input`.
    {common}
    """
    return overlap_kernels.lovasz_hinge(
        input,
        label=target,
        **_shared("none", None, ignore_index, include_background, "keep", batch, axis),
    )


@overlap(aliases=("Lovasz softmax", "LovaszLoss of several classes"))
def lovasz_softmax_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    activation: str = "softmax",
    classes: str = "present",
    ignore_index: int | None = -100,
    include_background: bool = True,
    batch: bool = False,
    axis: int | None = None,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Lovasz-Softmax: the mean Jaccard loss of the classes, extended to the errors of their probabilities.

    Formula: the mean over the classes of ``sum_k e[k] * (J[k] - J[k-1])`` over the positions in order of their errors,
        the largest first, with ``e = abs(t - p)`` and ``J[k]`` the Jaccard loss of a mask that is wrong at the first k
        of them.
    Gradient: ``(1 - 2 * t) * (J[k] - J[k-1])`` in ``p``, then through the activation. Equal errors keep the order of
        the positions.
    Domain: any real scores, or probabilities in [0, 1] where there is no activation; targets are present where they
        exceed 1/2.
    Source: Berman, Rannen Triki and Blaschko (2018), The Lovasz-Softmax loss.

    Parameters
    ----------
    {arrays}
    classes : {"present", "all"}, default "present"
        Which classes the mean is over: those that have a target, or all.
    {common}
    """
    return overlap_kernels.lovasz_softmax(
        input,
        label=target,
        **_shared(activation, None, ignore_index, include_background, "keep", batch, axis),
        present=float(choice("classes", classes, ("present", "all")) == "present"),
    )
