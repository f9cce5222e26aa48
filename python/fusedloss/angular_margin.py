"""Classification heads for embeddings: softmax losses of the angles between embeddings and learned class vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._core_kernels import _BEYOND, SimilarityKernel
from ._loss import Result, similarity
from ._validation import as_input, choice, finite, in_range, non_negative, positive
from .metric import cosine_similarity

__all__ = [
    "adaface_loss",
    "arcface_loss",
    "combined_margin_loss",
    "cosface_loss",
    "curricularface_loss",
    "large_margin_softmax_loss",
    "magface_loss",
    "normalized_softmax_loss",
    "p2sgrad_loss",
    "proxy_anchor_loss",
    "proxy_nca_loss",
    "soft_triple_loss",
    "sphereface_loss",
    "sub_center_arcface_loss",
    "updated_curriculum",
    "updated_norms",
]

_HEAD = SimilarityKernel("cross_entropy", {"input": "row", "weight": "column"}, target="target")
_ADAPTIVE = SimilarityKernel("adaptive_margin", {"input": "row", "weight": "column"}, target="target")
_REGRESSION = SimilarityKernel("target_regression", {"input": "row", "weight": "column"}, target="target")
_PROXIES = SimilarityKernel("cross_entropy", {"input": "row", "proxies": "column"}, target="target")
_OTHER_PROXIES = SimilarityKernel("decoupled_contrastive", {"input": "row", "proxies": "column"}, target="target")
_ANCHORS = SimilarityKernel("proxy_anchor", {"input": "column", "proxies": "row"}, target="target")
_CENTERS = SimilarityKernel("centre_softmax", {"input": "row", "weight": "centres"}, target="target")
_ONE_CENTER = SimilarityKernel("cross_entropy", {"input": "row", "weight": "centres"}, target="target")

Margin = tuple[float, float, float, str]


def _head(input: Any, weight: Any, target: Any, scale: float, margin: Margin, ignore_index: int | None) -> Result:
    return _HEAD(
        input,
        weight,
        label=target,
        scale=positive("scale", scale),
        normalize=True,
        margin=margin,
        ignore_index=ignore_index,
    )


def _angle(margin: float, degrees: bool) -> float:
    return math.radians(finite("margin", margin)) if degrees else finite("margin", margin)


@similarity(trains=("input", "weight"), aliases=("ArcFace", "AAM-softmax", "additive angular margin loss"))
def arcface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.5,
    scale: float = 64.0,
    easy_margin: bool = False,
    degrees: bool = False,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """ArcFace: cross entropy of scaled cosines, with a margin added to the angle of the target.

    Formula: ``lse(z) - z[y]`` with ``z = scale * cos(input, weight)``, but ``scale * cos(angle + margin)`` at ``y =
        target``; where ``angle + margin > pi`` it is ``scale * (cos(angle) - margin * sin(margin))``.
    Gradient: ``scale * (p - onehot)``, at the target times ``sin(angle + margin) / sin(angle)`` (1 in the fallback);
        ``sin(angle)`` counts as at least 1e-6, so that the gradient is finite at cosines of -1 and 1.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Deng et al. (2019), ArcFace: Additive angular margin loss for deep face recognition.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 0.5
        In radians, unless `degrees`.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    easy_margin : bool, default False
        Add the margin only where the cosine is positive, and nothing elsewhere.
    degrees : bool, default False
        The margin is given in degrees.
    {common}
    """
    beyond = "cosine" if easy_margin else "line"
    return _head(input, weight, target, scale, (1.0, _angle(margin, degrees), 0.0, beyond), ignore_index)


@similarity(trains=("input", "weight"), aliases=("CosFace", "AM-softmax", "large margin cosine loss"))
def cosface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.35,
    scale: float = 64.0,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """CosFace: cross entropy of scaled cosines, with a margin taken off the cosine of the target.

    Formula: ``lse(z) - z[y]`` with ``z = scale * (cos(input, weight) - margin * onehot)`` and ``y = target``.
    Gradient: ``scale * (p - onehot)`` with ``p = softmax(z)``.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Wang et al. (2018), CosFace: Large margin cosine loss for deep face recognition.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 0.35
        Taken off the cosine of the target.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    {common}
    """
    return _head(input, weight, target, scale, (1.0, 0.0, finite("margin", margin), "line"), ignore_index)


@similarity(trains=("input", "weight"), aliases=("SphereFace", "A-softmax", "angular softmax"))
def sphereface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 4.0,
    scale: float = 1.0,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """SphereFace: cross entropy with the angle of the target multiplied, and the length of the embedding for a scale.

    Formula: ``lse(z) - z[y]`` with ``z = scale * |input| * cos(angle)``, but ``scale * |input| * psi(angle)`` at ``y =
        target``; ``psi(angle) = (-1)**k * cos(margin * angle) - 2 * k`` with ``k = floor(margin * angle / pi)``.
    Gradient: ``scale * |input| * (p - onehot)``, at the target times ``psi'(angle) / -sin(angle)``, and along `input`
        what its length does.
    Domain: any real vectors; a class vector of norm below 1e-12 counts as zero and has no gradient.
    Source: Liu et al. (2017), SphereFace: Deep hypersphere embedding for face recognition.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``; their lengths matter.
    weight : array_like
        One vector per class ``[C, D]``; their lengths do not.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 4.0
        Multiplies the angle of the target; must be positive.
    scale : float, default 1.0
        Multiplies the scores; must be positive.
    {common}
    """
    return _HEAD(
        input,
        weight,
        label=target,
        scale=positive("scale", scale),
        normalize=True,
        raw_rows=True,
        margin=(positive("margin", margin), 0.0, 0.0, "falls"),
        ignore_index=ignore_index,
    )


@similarity(trains=("input", "weight"), aliases=("L-Softmax", "LargeMarginSoftmaxLoss"))
def large_margin_softmax_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 4.0,
    scale: float = 1.0,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Large margin softmax: cross entropy of a linear layer, the angle of the target being multiplied.

    Formula: that of `sphereface_loss`, with ``scale * |input| * |weight[c]|`` for the factor of class c.
    Gradient: that of `sphereface_loss`, and along the vectors of the classes what their lengths do.
    Domain: any real vectors.
    Source: Liu et al. (2016), Large-margin softmax loss for convolutional neural networks; without the annealing
        towards plain scores that the paper begins its training with.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``; their lengths matter.
    weight : array_like
        One vector per class ``[C, D]``; their lengths matter.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 4.0
        Multiplies the angle of the target; must be positive.
    scale : float, default 1.0
        Multiplies the scores; must be positive.
    {common}
    """
    return _HEAD(
        input,
        weight,
        label=target,
        scale=positive("scale", scale),
        margin=(positive("margin", margin), 0.0, 0.0, "falls"),
        ignore_index=ignore_index,
    )


@similarity(trains=("input", "weight"), aliases=("combined margin head", "ArcFace m1-m2-m3"))
def combined_margin_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    m1: float = 1.0,
    m2: float = 0.3,
    m3: float = 0.2,
    scale: float = 64.0,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """The margins of SphereFace, ArcFace and CosFace together.

    Formula: ``lse(z) - z[y]`` with ``z = scale * cos(angle)``, but ``scale * (cos(m1 * angle + m2) - m3)`` at ``y =
        target``. Beyond ``m1 * angle + m2 = pi`` the target's term keeps falling: as in `arcface_loss` for ``m1 = 1``,
        as in `sphereface_loss` otherwise.
    Gradient: ``scale * (p - onehot)``, at the target times ``m1 * sin(m1 * angle + m2) / sin(angle)``.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Deng et al. (2019), ArcFace: Additive angular margin loss for deep face recognition, section 2.3.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    m1 : float, default 1.0
        Multiplies the angle of the target; must be positive.
    m2 : float, default 0.3
        Added to it, in radians.
    m3 : float, default 0.2
        Taken off its cosine.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    {common}
    """
    times = positive("m1", m1)
    margin = times, finite("m2", m2), finite("m3", m3), "line" if times == 1.0 else "falls"
    return _head(input, weight, target, scale, margin, ignore_index)


@similarity(trains=("input", "weight"), aliases=("NormFace", "NormalizedSoftmaxLoss", "cosine softmax"))
def normalized_softmax_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    temperature: float = 0.05,
    normalize_input: bool = True,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """NormFace: cross entropy of cosines divided by a temperature.

    Formula: ``lse(z) - z[y]`` with ``z = cos(input, weight) / temperature`` and ``y = target``.
    Gradient: ``(p - onehot) / temperature`` with ``p = softmax(z)``.
    Domain: any real vectors; a normalised one of norm below 1e-12 counts as zero and has no gradient.
    Source: Wang et al. (2017), NormFace: L2 hypersphere embedding for face verification; Zhai & Wu (2019),
        Classification is a strong baseline for deep metric learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    temperature : float, default 0.05
        What cosines are divided by; must be positive.
    normalize_input : bool, default True
        Divide embeddings by their length; class vectors always are.
    {common}
    """
    return _HEAD(
        input,
        weight,
        label=target,
        scale=1.0 / positive("temperature", temperature),
        normalize=True,
        raw_rows=not normalize_input,
        ignore_index=ignore_index,
    )


@similarity(trains=("input", "weight"), aliases=("P2SGrad", "P2SGradLoss", "cosine regression to one-hot"))
def p2sgrad_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """P2SGrad: cosines are drawn to 1 for the target and to 0 for all others, without a scale or a margin.

    Formula: ``sum((cos(input, weight) - onehot)**2)`` over the classes; pytorch-metric-learning takes the mean over
        them.
    Gradient: ``2 * (cos(input, weight) - onehot)``, by cosine: twice that of the paper.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Zhang et al. (2019), P2SGrad: Refined gradients for optimizing deep face models; as a loss: Wang & Yamagishi
        (2021), A comparative study on recent neural spoofing countermeasures.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    {common}
    """
    return _REGRESSION(input, weight, label=target, normalize=True, ignore_index=ignore_index)


# ---- margins that go with lengths or with the training --------------------------------------------


_UNMOVED: dict[str, Any] = {
    "second": 0.0, "third": 0.0, "origin": 0.0, "width": 1.0, "least": 0.0, "most": 1.0, "second_by": 0.0,
    "third_by": 0.0, "follows": 0.0, "length_cost": 0.0, "curriculum": 0.0, "hardness": 0.0,
}  # fmt: skip


def _adaptive(
    input: Any, weight: Any, target: Any, scale: float, beyond: str, ignore_index: int | None, **params: Any
) -> Result:
    return _ADAPTIVE(
        input,
        weight,
        label=target,
        ignore_index=ignore_index,
        normalize=True,
        by_length=True,
        gain=positive("scale", scale),
        beyond=float(_BEYOND[beyond]),
        **{**_UNMOVED, **params},
    )


_NORM_RANGE = 1e-3, 100.0  # norms beyond count as these, as in the published code of AdaFace
_LEAST_DEVIATION = 1e-3  # added to the standard deviation there


@similarity(trains=("input", "weight"), aliases=("AdaFace", "quality adaptive margin"))
def adaface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.4,
    concentration: float = 0.333,
    scale: float = 64.0,
    norm_mean: float = 20.0,
    norm_std: float = 100.0,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """AdaFace: the margin of an embedding goes with its norm, which stands for the quality of the image.

    The statistics of the norms are those of the training so far::

        mean, std = 20.0, 100.0
        for x, y in batches:
            mean, std = fl.updated_norms(x, mean, std)
            statistics = {"norm_mean": mean, "norm_std": std}
            loss, (of_x, of_weight) = fl.adaface_loss.value_and_grad(x, weight, y, **statistics)

    Formula: ``lse(z) - z[y]`` with ``z = scale * cos(angle)``, but ``scale * (cos(angle - margin * q) - margin * (1 +
        q))`` at ``y = target``, the angle less its margin being kept in [0, pi]; ``q = clip(concentration * (|input| -
        norm_mean) / (norm_std + 0.001), -1, 1)``, of norms clipped to [0.001, 100].
    Gradient: ``scale * (p - onehot)``, at the target times ``sin(angle - margin * q) / sin(angle)``, 0 where that angle
        was clipped; `q` is a constant.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Kim et al. (2022), AdaFace: Quality adaptive margin for face recognition; its published code also keeps all
        cosines 0.001 from -1 and 1, which the gradients here do not need.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``; their lengths matter.
    weight : array_like
        One vector per class ``[C, D]``; their lengths do not.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 0.4
        In radians, and what is taken off the cosine.
    concentration : float, default 0.333
        How many standard deviations of the norms the margins spread over; must be positive.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    norm_mean : float, default 20.0
        Mean of the norms, see `updated_norms`.
    norm_std : float, default 100.0
        Their standard deviation; must not be negative.
    {common}
    """
    mean = finite("norm_mean", norm_mean)
    spread = finite("concentration", positive("concentration", concentration))
    width = (non_negative("norm_std", norm_std) + _LEAST_DEVIATION) / spread
    least, most = (min(max((norm - mean) / width, -1.0), 1.0) for norm in _NORM_RANGE)
    by = finite("margin", margin)
    return _adaptive(
        input, weight, target, scale, "stays", ignore_index,
        origin=mean, width=width, least=least, most=most, third=by, second_by=-by, third_by=by,
    )  # fmt: skip


def updated_norms(input: ArrayLike, mean: float, std: float, *, rate: float = 0.01) -> tuple[float, float]:
    """The mean and the standard deviation of norms that `adaface_loss` asks for, after one more batch.

    Both move towards those of the batch by `rate`; norms are clipped to [0.001, 100], and the deviation of a batch of
    N vectors divides by ``N - 1``. A batch of fewer than two vectors leaves it as it was, an empty one both.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    mean : float
        Mean of the norms before the batch; 20 to begin with.
    std : float
        Their standard deviation; 100 to begin with.
    rate : float, default 0.01
        The share of the batch, between 0 and 1.

    Returns
    -------
    tuple of float
        The new mean and standard deviation.
    """
    share = in_range("rate", rate, 0.0, 1.0)
    norms = np.clip(np.linalg.norm(np.asarray(input, np.float64), axis=-1), *_NORM_RANGE)
    new_mean = float(norms.mean()) if norms.size else mean
    new_std = float(norms.std(ddof=1)) if norms.size > 1 else std
    return mean + share * (new_mean - mean), std + share * (new_std - std)


@similarity(trains=("input", "weight"), aliases=("MagFace", "magnitude aware margin"))
def magface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    lower_norm: float = 10.0,
    upper_norm: float = 110.0,
    lower_margin: float = 0.45,
    upper_margin: float = 0.8,
    norm_weight: float = 35.0,
    scale: float = 64.0,
    easy_margin: bool = True,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """MagFace: the margin of an embedding grows with its norm, and the norm is rewarded.

    Formula: that of `arcface_loss` with the margin ``lower_margin + (upper_margin - lower_margin) * (a - lower_norm) /
        (upper_norm - lower_norm)``, plus ``norm_weight * (a / upper_norm**2 + 1 / a)``, where ``a = clip(|input|,
        lower_norm, upper_norm)``.
    Gradient: that of `arcface_loss`, and along `input` what its norm does to the margin and to the reward; 0 where it
        is clipped.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Meng et al. (2021), MagFace: A universal representation for face recognition and quality assessment.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``; their lengths matter.
    weight : array_like
        One vector per class ``[C, D]``; their lengths do not.
    target : array_like
        Class indices ``[N]``.
    lower_norm, upper_norm : float, default 10.0, 110.0
        What norms are clipped to: ``0 < lower_norm < upper_norm``.
    lower_margin, upper_margin : float, default 0.45, 0.8
        The margins there, in radians.
    norm_weight : float, default 35.0
        Factor of the reward; must not be negative.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    easy_margin : bool, default True
        Add the margin only where the cosine is positive, as the published code does, and nothing elsewhere. Otherwise
        `arcface_loss` says what happens beyond an angle of pi.
    {common}
    """
    low, high = positive("lower_norm", lower_norm), positive("upper_norm", upper_norm)
    if not low < high:
        raise ValueError(f"lower_norm must be below upper_norm, got {low} and {high}")
    first = finite("lower_margin", lower_margin)
    return _adaptive(
        input, weight, target, scale, "cosine" if easy_margin else "line", ignore_index,
        origin=low, width=high - low, second=first, second_by=finite("upper_margin", upper_margin) - first,
        follows=1.0, length_cost=non_negative("norm_weight", norm_weight),
    )  # fmt: skip


@similarity(trains=("input", "weight"), aliases=("CurricularFace", "adaptive curriculum learning loss"))
def curricularface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    curriculum: float = 0.0,
    margin: float = 0.5,
    scale: float = 64.0,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """CurricularFace: ArcFace whose hard negatives count for more as the training proceeds.

    How far it has come is the mean cosine of the targets so far::

        curriculum = 0.0
        for x, y in batches:
            curriculum = fl.updated_curriculum(x, weight, y, curriculum)
            loss, (of_x, of_weight) = fl.curricularface_loss.value_and_grad(x, weight, y, curriculum=curriculum)

    Formula: that of `arcface_loss`, with ``scale * c * (curriculum + c)`` for the cosines ``c`` of other classes above
        that of the target with its margin, ``cos(angle + margin)``.
    Gradient: that of `arcface_loss`, for such a class times ``curriculum + 2 * c``; `curriculum` is a constant.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Huang et al. (2020), CurricularFace: Adaptive curriculum learning loss for deep face recognition.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    curriculum : float, default 0.0
        The mean cosine between embeddings and their classes, see `updated_curriculum`.
    margin : float, default 0.5
        In radians.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    {common}
    """
    return _adaptive(
        input, weight, target, scale, "line", ignore_index,
        second=finite("margin", margin), curriculum=1.0, hardness=finite("curriculum", curriculum),
    )  # fmt: skip


def updated_curriculum(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    curriculum: float,
    *,
    rate: float = 0.01,
    ignore_index: int = -100,
) -> float:
    """What `curricularface_loss` asks for after one more batch: it moves towards the mean cosine of the targets.

    A batch without labels leaves it as it was.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        One vector per class ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    curriculum : float
        The mean before the batch; 0 to begin with.
    rate : float, default 0.01
        The share of the batch, between 0 and 1.
    ignore_index : int, default -100
        Rows with this label are left out.

    Returns
    -------
    float
        The new mean.
    """
    share, labels = in_range("rate", rate, 0.0, 1.0), np.asarray(target)
    kept = labels != ignore_index
    if not kept.any():
        return curriculum
    cosines = cosine_similarity(np.asarray(input)[kept], np.asarray(weight)[labels[kept]], reduction="mean")
    return curriculum + share * (float(cosines) - curriculum)


# ---- several centres for each class ---------------------------------------------------------------


def _centers(
    input: Any, weight: Any, target: Any, name: str, scale: float, margin: Margin, gamma: float, ignore_index: int
) -> Result:
    shape = np.shape(as_input(name, "weight", weight))
    number = shape[1] if len(shape) == 3 else 2
    common = {"label": target, "normalize": True, "ignore_index": ignore_index}
    if number == 1:
        return _ONE_CENTER(input, weight, scale=scale, margin=margin, **common)
    first, second, third, _ = margin
    return _CENTERS(
        input, weight, **common, gain=scale, first=first, second=second, third=third, gamma=gamma,
        centres=float(number),
    )  # fmt: skip


@similarity(trains=("input", "weight"), aliases=("sub-center ArcFace", "SubCenterArcFaceLoss"))
def sub_center_arcface_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.5,
    scale: float = 64.0,
    degrees: bool = False,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """ArcFace with several centres for each class, of which the nearest counts.

    Formula: `arcface_loss` of ``cos[c] = max_k cos(input, weight[c, k])``.
    Gradient: that of `arcface_loss`, to the nearest centre of every class (the first of ties).
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Deng et al. (2020), Sub-center ArcFace: Boosting face recognition by large-scale noisy web faces.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        K centres for each class, ``[C, K, D]``.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 0.5
        In radians, unless `degrees`.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    degrees : bool, default False
        The margin is given in degrees.
    {common}
    """
    harder = (1.0, _angle(margin, degrees), 0.0, "line")
    return _centers(
        input, weight, target, "sub_center_arcface_loss", positive("scale", scale), harder, 0.0, ignore_index
    )


@similarity(trains=("input", "weight"), aliases=("SoftTriple", "SoftTripleLoss"))
def soft_triple_loss(
    input: ArrayLike,
    weight: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """SoftTriple: cross entropy over classes of several centres, each class as similar as their soft maximum.

    Formula: ``lse(z) - z[y]`` with ``z = scale * (s - margin * onehot)``, ``s[c] = sum_k q[c, k] * r[c, k]``, ``q[c] =
        softmax(r[c] / gamma)`` and the cosines ``r[c, k]`` of `input` and ``weight[c, k]``.
    Gradient: ``scale * (p - onehot) * q * (1 + (r - s) / gamma)`` with ``p = softmax(z)``, by cosine.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Qian et al. (2019), SoftTriple loss: Deep metric learning without triplet sampling.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    weight : array_like
        K centres for each class, ``[C, K, D]``.
    target : array_like
        Class indices ``[N]``.
    scale : float, default 20.0
        Multiplies the similarities of the classes; must be positive.
    gamma : float, default 0.1
        How soft the maximum over the centres is; must be positive.
    margin : float, default 0.01
        Taken off the similarity of the target.
    {common}
    """
    lower = (1.0, 0.0, finite("margin", margin), "line")
    soft = positive("gamma", gamma)
    return _centers(input, weight, target, "soft_triple_loss", positive("scale", scale), lower, soft, ignore_index)


# ---- proxies --------------------------------------------------------------------------------------


@similarity(trains=("input", "proxies"), aliases=("Proxy-NCA", "ProxyNCA++", "ProxyNCALoss"))
def proxy_nca_loss(
    input: ArrayLike,
    proxies: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 1.0,
    denominator: str = "all",
    normalize: bool = True,
    ignore_index: int = -100,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Proxy-NCA: a softmax over the distances of an embedding to one proxy for each class.

    Formula: ``scale * d2[y] + lse(-scale * d2)`` with squared distances ``d2`` to the proxies and ``y = target``.
    Gradient: ``scale * (onehot - p)`` by squared distance, ``p = softmax(-scale * d2)``.
    Domain: any real vectors; a normalised one of norm below 1e-12 counts as zero and has no gradient.
    Source: Movshovitz-Attias et al. (2017), No fuss distance metric learning using proxies; with a scale: Teh et al.
        (2020), ProxyNCA++.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    proxies : array_like
        One for each class, ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    scale : float, default 1.0
        Multiplies squared distances; must be positive.
    denominator : {"all", "others"}, default "all"
        Over which proxies the log-sum-exp goes: all, or as in the first paper those of other classes.
    normalize : bool, default True
        Divide embeddings and proxies by their lengths.
    {common}
    """
    kernel = _PROXIES if choice("denominator", denominator, ("all", "others")) == "all" else _OTHER_PROXIES
    # |a - b|^2 = 2 - 2 cos of unit vectors, and what all scores have in common does not matter.
    times = 2.0 * positive("scale", scale) if normalize else positive("scale", scale)
    return kernel(
        input,
        proxies,
        label=target,
        scale=times,
        normalize=bool(normalize),
        distance=not normalize,
        ignore_index=ignore_index,
    )


@similarity(trains=("input", "proxies"), aliases=("Proxy Anchor", "ProxyAnchorLoss"))
def proxy_anchor_loss(
    input: ArrayLike,
    proxies: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.1,
    scale: float = 32.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Proxy Anchor: every proxy is an anchor that pulls its class and pushes the rest of the batch.

    Formula: ``sum log(1 + sum_same exp(-scale * (s - margin))) / P + sum log(1 + sum_other exp(scale * (s + margin))) /
        C`` over the C proxies, of which P have a class in the batch. The unreduced loss has one value per proxy, C
        times its share.
    Gradient: the exponentials divided by the sums they stand in, times ``scale``, by cosine.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Kim et al. (2020), Proxy anchor loss for deep metric learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    proxies : array_like
        One for each class, ``[C, D]``.
    target : array_like
        Class indices ``[N]``.
    margin : float, default 0.1
        By how much cosines should differ from 0 either way.
    scale : float, default 32.0
        Multiplies the cosines; must be positive.
    {common}
    """
    labels = np.asarray(as_input("proxy_anchor_loss", "target", target))
    shape = np.shape(as_input("proxy_anchor_loss", "proxies", proxies))
    present = np.unique(labels).size if labels.dtype.kind in "biu" else 0
    share = float(shape[0]) / present if shape and present else 1.0
    return _ANCHORS(
        input,
        proxies,
        of_columns=(target,),
        labels="numbered",
        normalize=True,
        gain=positive("scale", scale),
        offset=finite("margin", margin),
        positive_share=share,
    )
