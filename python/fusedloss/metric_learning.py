"""Metric learning with labels: losses of the distances or similarities of all pairs in a batch."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from ._blocks import AngularPairs, Histograms, PairLimits
from ._composition import composed, composition_of_a_batch, given
from ._core_kernels import SimilarityKernel
from ._loss import _SIMILARITY, Loss, Result, similarity
from ._validation import choice, finite, in_range, integer, non_negative, positive

__all__ = [
    "angular_loss",
    "batch_all_triplet_loss",
    "batch_hard_triplet_loss",
    "batch_semi_hard_triplet_loss",
    "circle_loss",
    "fast_ap_loss",
    "generalized_lifted_structure_loss",
    "histogram_loss",
    "intra_pair_variance_loss",
    "lifted_structure_loss",
    "margin_loss",
    "mega_batch_margin_loss",
    "multi_similarity_loss",
    "nca_loss",
    "pnp_loss",
    "ranked_list_loss",
    "smooth_ap_loss",
    "threshold_consistent_margin_loss",
    "tuplet_margin_loss",
]


def _kernel(name: str, **options: Any) -> SimilarityKernel:
    return SimilarityKernel(name, {"input": "both"}, target="target", **options)


_MULTI_SIMILARITY = _kernel("multi_similarity")
_CIRCLE = _kernel("circle")
_NCA = _kernel("nca")
_LIFTED = _kernel("lifted_structure", first="lifted_negatives")
_GENERALIZED_LIFTED = _kernel("generalized_lifted")
_TUPLET = _kernel("tuplet_margin")
_ANGULAR = SimilarityKernel("angular", {"input": "row", "negatives": "column", "pull": "numbers"}, target="target")
_SMOOTH_AP = _kernel("smooth_ap")
_PNP = _kernel("pnp")
_RANKED_LIST = _kernel("ranked_list")
_FAST_AP = _kernel("fast_ap")
_MARGIN = SimilarityKernel("margin_pairs", {"input": "both", "beta": "number"}, target="target")
_BATCH_HARD = _kernel("batch_hard")
_BATCH_ALL = _kernel("batch_all")
_SEMI_HARD = _kernel("batch_semi_hard")
_MEGA_BATCH = SimilarityKernel("mega_batch_margin", {"anchor": "row", "positive": "column"})

_MEASURES = {"euclidean": 0.0, "sqeuclidean": 1.0, "cosine": 2.0}


def _pairs(target: Any) -> dict[str, Any]:
    """Every vector against every other one."""
    return {"label": target, "of_columns": (target,), "exclude_self": True, "divisor": "terms"}


def _distances(target: Any, distance: str, normalize: bool) -> dict[str, Any]:
    measure = _MEASURES[choice("distance", distance, _MEASURES)]
    cosine = distance == "cosine"
    return {**_pairs(target), "distance": not cosine, "normalize": cosine or bool(normalize), "measure": measure}


@similarity(trains=("input",), aliases=("multi-similarity", "MultiSimilarityLoss"))
def multi_similarity_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Multi-similarity: soft maxima over the least similar positives and the most similar negatives of each anchor.

    Formula: ``log(1 + sum_same exp(-alpha * (s - base))) / alpha + log(1 + sum_other exp(beta * (s - base))) / beta``
        over the cosines ``s`` of an anchor with the others of the batch.
    Gradient: by cosine, the exponentials divided by the sums they stand in: negative for positives.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Wang et al. (2019), Multi-similarity loss with general pair weighting for deep metric learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    alpha : float, default 2.0
        How sharp the maximum over positives is; must be positive.
    beta : float, default 50.0
        How sharp the maximum over negatives is; must be positive.
    base : float, default 0.5
        The cosine at which a pair begins to count.
    {common}
    """
    return _MULTI_SIMILARITY(
        input,
        **_pairs(target),
        normalize=True,
        alpha=positive("alpha", alpha),
        beta=positive("beta", beta),
        base=finite("base", base),
    )


@similarity(trains=("input",), aliases=("Circle", "CircleLoss"))
def circle_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.4,
    scale: float = 80.0,
    detach: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Circle loss: pairs are weighted by how far their similarity is from where it should be.

    Formula: ``softplus(lse_same(-scale * a * (s - (1 - margin))) + lse_other(scale * b * (s - margin)))`` with ``a =
        max(0, 1 + margin - s)`` and ``b = max(0, s + margin)``, over the cosines ``s`` of an anchor. An anchor without
        positives or without negatives has the loss 0 and is not counted in a mean.
    Gradient: through the sums alone; with ``detach=False`` through the weights `a` and `b`, too.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Sun et al. (2020), Circle loss: A unified perspective of pair similarity optimization.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    margin : float, default 0.4
        Positives should reach ``1 - margin``, negatives stay below `margin`.
    scale : float, default 80.0
        Multiplies the weighted similarities; must be positive.
    detach : bool, default True
        Treat the weights as constants, as the paper does.
    {common}
    """
    return _CIRCLE(
        input,
        **_pairs(target),
        normalize=True,
        relaxation=finite("margin", margin),
        gain=positive("scale", scale),
        detach=float(bool(detach)),
    )


@similarity(trains=("input",), aliases=("neighbourhood components analysis", "NCALoss"))
def nca_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    scale: float = 1.0,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Neighbourhood components analysis: the chance that a random neighbour has the anchor's class.

    Formula: ``-log(sum_same p)`` with ``p = softmax(-scale * d2)`` over the squared distances ``d2`` to all others. An
        anchor without positives has the loss 0 and is not counted in a mean.
    Gradient: ``-scale * (p - p * same / sum_same p)``, by squared distance.
    Domain: any real vectors; a normalised one of norm below 1e-12 counts as zero and has no gradient.
    Source: Goldberger et al. (2004), Neighbourhood components analysis.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    scale : float, default 1.0
        Multiplies squared distances; must be positive.
    normalize : bool, default True
        Divide embeddings by their lengths.
    {common}
    """
    return _NCA(input, **_pairs(target), distance=True, normalize=bool(normalize), scale=positive("scale", scale))


@similarity(trains=("input",), aliases=("lifted structured loss", "LiftedStructureLoss"))
def lifted_structure_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    positive_margin: float = 0.0,
    negative_margin: float = 1.0,
    distance: str = "euclidean",
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Lifted structure: every positive pair against all negatives of both of its ends.

    Formula: ``max(0, J)**2 / 2`` with ``J = log(sum exp(negative_margin - d_negative)) + d - positive_margin`` for
        every ordered pair of the same class, the sum being over the negatives of either end. The unreduced loss has the
        sums over the pairs of each anchor; the mean divides by the number of pairs.
    Gradient: ``max(0, J)`` for the pair, minus as much spread over the negatives by their share in the sum.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Oh Song et al. (2016), Deep metric learning via lifted structured feature embedding.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    positive_margin : float, default 0.0
        Taken off the distances of positives.
    negative_margin : float, default 1.0
        What distances of negatives are taken off.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default True
        Divide embeddings by their lengths.
    {common}
    """
    return _LIFTED(
        input,
        **_distances(target, distance, normalize),
        positive_margin=finite("positive_margin", positive_margin),
        negative_margin=finite("negative_margin", negative_margin),
    )


@similarity(trains=("input",), aliases=("GeneralizedLiftedStructureLoss",))
def generalized_lifted_structure_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    positive_margin: float = 0.0,
    negative_margin: float = 1.0,
    distance: str = "euclidean",
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Generalised lifted structure: all positives of an anchor against all of its negatives.

    Formula: ``max(0, lse_same(d - positive_margin) + lse_other(negative_margin - d))`` over the distances ``d`` of an
        anchor; the log-sum-exp of nothing is 0 here.
    Gradient: the softmax over the positives, minus that over the negatives, where the loss is positive.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Hermans et al. (2017), In defense of the triplet loss for person re-identification.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    positive_margin : float, default 0.0
        Taken off the distances of positives.
    negative_margin : float, default 1.0
        What distances of negatives are taken off.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default True
        Divide embeddings by their lengths.
    {common}
    """
    return _GENERALIZED_LIFTED(
        input,
        **_distances(target, distance, normalize),
        positive_margin=finite("positive_margin", positive_margin),
        negative_margin=finite("negative_margin", negative_margin),
    )


@similarity(trains=("input",), aliases=("tuplet margin", "TupletMarginLoss"))
def tuplet_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.1,
    scale: float = 64.0,
    degrees: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Tuplet margin: every positive, its angle less a margin, against all negatives of the anchor.

    Formula: ``log(1 + sum_other exp(scale * (s_other - cos(angle - margin))))`` for every positive of an anchor,
        ``angle`` being between the two. The unreduced loss has the sums over the positives of each anchor; the mean
        divides by the number of pairs.
    Gradient: ``scale`` times the share of a negative in the sum, and minus as much for the positive, times ``sin(angle
        - margin) / sin(angle)`` with a ``sin(angle)`` of at least 1e-6.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Yu & Tao (2019), Deep metric learning with tuplet margin loss.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    margin : float, default 0.1
        In radians, unless `degrees`.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    degrees : bool, default False
        The margin is given in degrees.
    {common}
    """
    turn = finite("margin", margin)
    return _TUPLET(
        input,
        **_pairs(target),
        normalize=True,
        turn=math.radians(turn) if degrees else turn,
        gain=positive("scale", scale),
    )


def _angular_rows(
    input: ArrayLike,
    negatives: ArrayLike,
    pull: ArrayLike,
    target: ArrayLike,
    *,
    column_target: ArrayLike | None = None,
    scale: float = 1.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "sum",
) -> Result:
    """For sums of two vectors of a class ``log(1 + sum_other exp(scale * <input, negative> - pull))``."""
    return _ANGULAR(input, negatives, pull, label=target, of_columns=(column_target,), scale=scale)


@composition_of_a_batch(trains=("input",), aliases=("AngularLoss", "N-pair angular loss"))
def angular_loss(
    input: ArrayLike, target: ArrayLike, *, alpha: float = 40.0, normalize_negatives: bool = True
) -> Result:
    """Angular loss: in the triangle of a pair and a negative, the angle at the negative stays below a bound.

    No array of all triplets is made.

    Formula: the mean over all pairs of a class of ``log(1 + sum_n exp(4 * t * (a + p) . n - 2 * (1 + t) * a . p))``
        with ``t = tan(alpha)**2`` and the vectors divided by their norms, the sum being over the vectors of all other
        classes; 0 without such pairs.
    Gradient: the share of a negative in the sum times ``4 * t`` for the negative and for the pair, and minus the sum of
        the shares times ``2 * (1 + t)`` between the two of the pair.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Wang et al. (2017), Deep metric learning with angular loss.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Classes ``[N]``: numbers that are compared.
    alpha : float, default 40.0
        The bound in degrees, between 0 and 90.
    normalize_negatives : bool, default True
        Divide negatives by their norms, too; pytorch-metric-learning does not.
    {common}
    """
    bound = math.radians(in_range("alpha", alpha, 0.0, 90.0, inclusive="neither"))
    rows = Loss(_angular_rows, family=_SIMILARITY, trains=("input", "negatives", "pull"))
    embeddings, labels = given("input", input), given("target", target, constant=True)
    plan = AngularPairs(rows, embeddings, labels, math.tan(bound) ** 2, bool(normalize_negatives))
    return composed(plan, input=embeddings, target=labels)


@similarity(trains=("input",), aliases=("Smooth-AP", "SmoothAPLoss", "smoothed average precision"))
def smooth_ap_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    temperature: float = 0.01,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Smooth average precision: how high an anchor ranks its class, with sigmoids in place of steps.

    Formula: ``1 - mean_p (1 + sum_same q) / (1 + sum_same q + sum_other q)`` over the positives p of an anchor, with
        ``q = sigmoid((s - s_p) / temperature)`` for all others of the batch, ``s`` being cosines with the anchor. An
        anchor without positives has the loss 0 and is not counted in a mean.
    Gradient: through every ``q``, ``q * (1 - q) / temperature``, to the cosine that it is about and to that of p.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Brown et al. (2020), Smooth-AP: smoothing the path towards large-scale image retrieval.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    temperature : float, default 0.01
        Width of the step; must be positive.
    {common}
    """
    return _SMOOTH_AP(input, **_pairs(target), normalize=True, sharpness=1.0 / positive("temperature", temperature))


_CURVES = {"O": 0.0, "Iu": 1.0, "Ib": 2.0, "Ds": 3.0, "Dq": 4.0}


@similarity(trains=("input",), aliases=("PNP", "PNPLoss", "penalizing negative instances before positive ones"))
def pnp_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    variant: str = "O",
    temperature: float = 0.01,
    alpha: float = 1.0,
    b: float = 2.0,
    include_self: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """PNP: every negative that an anchor ranks before a positive costs something, with sigmoids in place of steps.

    Formula: ``mean_p f(R)`` over the positives p of an anchor, with ``R = sum_other sigmoid((s - s_p) / temperature)``
        over the negatives and cosines ``s`` with the anchor. `f` by `variant`: ``R`` ("O"), ``(1 + R) * log(1 + R)``
        ("Iu"), ``(b * R - log(1 + b * R)) / b**2`` ("Ib"), ``log(1 + R)`` ("Ds") or ``1 - (1 + R)**-alpha`` ("Dq"). An
        anchor without positives has the loss 0 and is not counted in a mean.
    Gradient: ``f'(R)`` through every sigmoid q, ``q * (1 - q) / temperature``, to the cosine of the negative and to
        that of p.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Li et al. (2021), Rethinking the optimization of average precision: Only penalizing negative instances
        before positive ones is enough.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    variant : {"O", "Iu", "Ib", "Ds", "Dq"}, default "O"
        What a rank costs: in proportion, rising without ("Iu") and with bounds ("Ib"), or slowing down.
    temperature : float, default 0.01
        Width of the step; must be positive.
    alpha : float, default 1.0
        The power of "Dq"; must be positive.
    b : float, default 2.0
        How soon "Ib" is in proportion; must be positive.
    include_self : bool, default False
        Count the anchor as one of its positives, with the cosine 1, as the published code and
        pytorch-metric-learning do.
    {common}
    """
    return _PNP(
        input,
        **_pairs(target),
        normalize=True,
        sharpness=1.0 / positive("temperature", temperature),
        curve=_CURVES[choice("variant", variant, _CURVES)],
        alpha=positive("alpha", alpha),
        b=positive("b", b),
        with_self=float(bool(include_self)),
    )


@similarity(trains=("input",), aliases=("RLL", "RankedListLoss"))
def ranked_list_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 0.4,
    boundary: float = 1.2,
    positive_temperature: float = 0.0,
    negative_temperature: float = 10.0,
    imbalance: float = 0.5,
    detach: bool = True,
    eps: float = 0.0,
    distance: str = "euclidean",
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Ranked list loss: the class of an anchor inside a sphere, all others outside a larger one, the worst first.

    Formula: ``(1 - imbalance) * sum(w * h) / sum(w)`` over the positives with ``h = d - (boundary - margin) > 0`` and
        ``w = exp(positive_temperature * h)``, plus ``imbalance`` times the like over the negatives with ``h = boundary
        - d > 0`` and ``w = exp(negative_temperature * h)``; 0 for none of a kind.
    Gradient: ``w / sum(w)`` by distance, minus as much for negatives; with ``detach=False`` through the weights, too,
        times ``1 + temperature * (h - sum(w * h) / sum(w))``.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Wang et al. (2019), Ranked list loss for deep metric learning. pytorch-metric-learning has ``detach=False``
        and ``eps=1e-5``.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    margin : float, default 0.4
        Between the two spheres.
    boundary : float, default 1.2
        The radius that negatives should be beyond.
    positive_temperature : float, default 0.0
        How much more the worst of the positives weigh; must not be negative.
    negative_temperature : float, default 10.0
        The same of negatives; must not be negative.
    imbalance : float, default 0.5
        The share of the negatives, between 0 and 1.
    detach : bool, default True
        Treat the weights as constants, as the paper does.
    eps : float, default 0.0
        Added to the sum of the weights, once for each vector of the batch; must not be negative.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default True
        Divide embeddings by their lengths.
    {common}
    """
    far = finite("boundary", boundary)
    return _RANKED_LIST(
        input,
        **_distances(target, distance, normalize),
        near=far - finite("margin", margin),
        far=far,
        near_sharpness=non_negative("positive_temperature", positive_temperature),
        far_sharpness=non_negative("negative_temperature", negative_temperature),
        share=in_range("imbalance", imbalance, 0.0, 1.0),
        eps=non_negative("eps", eps),
        detach=float(bool(detach)),
    )


@similarity(trains=("input",), aliases=("FastAP", "FastAPLoss", "histogram average precision"))
def fast_ap_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    bins: int = 10,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """FastAP: average precision of an anchor's ranking by histograms of distances.

    Formula: ``1 - sum_b h_b * H_b / A_b / P`` with ``h_b`` how many of the P positives of an anchor fall into bin b,
        ``H_b`` how many into the bins up to b, ``A_b`` the same of all others of the batch. A squared distance of
        vectors of length one counts for the two bins next to it, by its nearness to their middles, which divide [0, 4]
        into `bins` parts. An anchor without positives has the loss 0 and is not counted in a mean.
    Gradient: through the shares that a distance has in its bins; 0 in the middle of a bin.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Cakir et al. (2019), Deep metric learning to rank.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    bins : int, default 10
        Number of parts, from 1 to 128.
    {common}
    """
    parts = in_range("bins", integer("bins", bins), 1, 128)
    return _FAST_AP(input, **_pairs(target), distance=True, normalize=True, bins=parts, farthest=4.0)


@composition_of_a_batch(trains=("input",), aliases=("HistogramLoss", "histogram loss of similarities"))
def histogram_loss(input: ArrayLike, target: ArrayLike, *, bins: int = 100) -> Result:
    """Histogram loss: how likely two vectors of two classes are more similar than two of the same class.

    Formula: ``sum_r h_r * (g_0 + ... + g_r)`` with the normalised histograms ``g`` of the cosines of all pairs of the
        same class and ``h`` of all others, at `bins` + 1 nodes from -1 to 1; a cosine counts for the two nodes next to
        it by its nearness. 0 where either kind of pairs is lacking.
    Gradient: by cosine, the difference of what a pair counts for at the two nodes; 0 at a node.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Ustinova & Lempitsky (2016), Learning deep embeddings with histogram loss.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Classes ``[N]``: numbers that are compared.
    bins : int, default 100
        Into how many parts the cosines are divided; must be positive.
    {common}
    """
    embeddings, labels = given("input", input), given("target", target, constant=True)
    plan = Histograms(embeddings, labels, int(positive("bins", integer("bins", bins))))
    return composed(plan, input=embeddings, target=labels)


@composition_of_a_batch(trains=("input",), aliases=("IntraPairVarianceLoss", "intra-pair variance"))
def intra_pair_variance_loss(
    input: ArrayLike, target: ArrayLike, *, positive_eps: float = 0.01, negative_eps: float = 0.01
) -> Result:
    """Intra-pair variance: how far cosines are on the wrong side of the mean of their kind.

    It goes with a loss that draws the two kinds apart, as `tuplet_margin_loss`.

    Formula: ``mean_same max(0, (1 - positive_eps) * m_same - s)**2 + mean_other max(0, s - (1 + negative_eps) *
        m_other)**2`` over all pairs of the same class and of two, with the cosines ``s`` and their means ``m_same`` and
        ``m_other``; 0 for none of a kind.
    Gradient: ``-2`` times what a positive lacks, 2 times what a negative exceeds, and through the means.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Yu & Tao (2019), Deep metric learning with tuplet margin loss.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Classes ``[N]``: numbers that are compared.
    positive_eps : float, default 0.01
        How far below their mean positives may be, as a part of it.
    negative_eps : float, default 0.01
        How far above their mean negatives may be.
    {common}
    """
    embeddings, labels = given("input", input), given("target", target, constant=True)
    limits = 1.0 + finite("negative_eps", negative_eps), 1.0 - finite("positive_eps", positive_eps)
    plan = PairLimits(embeddings, labels, limits, (1.0, 1.0), of_means=True)
    return composed(plan, input=embeddings, target=labels)


@composition_of_a_batch(trains=("input",), aliases=("TCM", "ThresholdConsistentMarginLoss"))
def threshold_consistent_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    positive_margin: float = 0.9,
    negative_margin: float = 0.5,
    positive_weight: float = 1.0,
    negative_weight: float = 1.0,
) -> Result:
    """Threshold-consistent margin: draws hard pairs alone, so that one threshold serves all classes.

    It goes with another loss of the batch, whose thresholds it makes alike.

    Formula: ``positive_weight`` times the mean of ``positive_margin - s`` over the pairs of a class with a cosine ``s
        <= positive_margin``, plus ``negative_weight`` times the mean of ``s - negative_margin`` over the pairs of two
        classes with ``s >= negative_margin``; 0 for none of a kind.
    Gradient: the weight, divided by the number of such pairs, to each of their cosines, with a minus for positives; 0
        at the kinks.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Zhang et al. (2024), Threshold-consistent margin loss for open-world deep metric learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Classes ``[N]``: numbers that are compared.
    positive_margin : float, default 0.9
        What cosines of a class should reach.
    negative_margin : float, default 0.5
        Below which cosines of two classes should stay.
    positive_weight : float, default 1.0
        Factor of the positives; must not be negative.
    negative_weight : float, default 1.0
        Factor of the negatives; must not be negative.
    {common}
    """
    embeddings, labels = given("input", input), given("target", target, constant=True)
    limits = finite("negative_margin", negative_margin), finite("positive_margin", positive_margin)
    weights = non_negative("negative_weight", negative_weight), non_negative("positive_weight", positive_weight)
    return composed(PairLimits(embeddings, labels, limits, weights, of_means=False), input=embeddings, target=labels)


@similarity(trains=("input", "beta"), aliases=("margin based loss", "MarginLoss"))
def margin_loss(
    input: ArrayLike,
    beta: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float = 0.2,
    distance: str = "euclidean",
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Margin loss: positives nearer, and negatives farther, than a learned distance, by a margin.

    Formula: ``max(0, alpha + d - beta)`` for positives, ``max(0, alpha - d + beta)`` for negatives. The unreduced loss
        has the sums over the pairs of each anchor; the mean divides by the number of pairs with a loss.
    Gradient: 1 and -1 by distance where a pair has a loss, minus the sum of them by `beta`; 0 at the kink.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Wu et al. (2017), Sampling matters in deep embedding learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    beta : float or array_like
        The distance between positives and negatives, 1.2 to begin with: one number, or one for each class.
    target : array_like
        Class indices ``[N]``, not negative.
    alpha : float, default 0.2
        The margin; must not be negative.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default True
        Divide embeddings by their lengths.
    {common}
    """
    return _MARGIN(input, beta, **_distances(target, distance, normalize), alpha=non_negative("alpha", alpha))


# ---- mined triplets -------------------------------------------------------------------------------


@similarity(trains=("input",), aliases=("batch hard", "BatchHardTripletLoss", "BatchHardSoftMarginTripletLoss"))
def batch_hard_triplet_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 5.0,
    soft_margin: bool = False,
    skip_invalid: bool = True,
    distance: str = "euclidean",
    normalize: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Triplet loss of the farthest positive and the nearest negative of each anchor.

    Formula: ``max(0, max_same d - min_other d + margin)``, or ``softplus(max_same d - min_other d)`` with a soft
        margin.
    Gradient: 1 by the distance of the farthest positive and -1 by that of the nearest negative where the loss is
        positive, or the sigmoid of the difference; to the first of ties, 0 at the kink.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Hermans et al. (2017), In defense of the triplet loss for person re-identification.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    margin : float, default 5.0
        By how much negatives should be farther than positives.
    soft_margin : bool, default False
        Use the softplus in place of the hinge and the margin.
    skip_invalid : bool, default True
        Leave out anchors without positives or without negatives. Otherwise they take part with 0 for the farthest, and
        the largest distance for the nearest, as in Sentence Transformers.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default False
        Divide embeddings by their lengths.
    {common}
    """
    return _BATCH_HARD(
        input,
        **_distances(target, distance, normalize),
        gap=finite("margin", margin),
        soft=float(bool(soft_margin)),
        valid_only=float(bool(skip_invalid)),
    )


@similarity(trains=("input",), aliases=("batch all", "BatchAllTripletLoss"))
def batch_all_triplet_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 5.0,
    distance: str = "euclidean",
    normalize: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Triplet loss of all triplets in a batch.

    Formula: the sum of ``max(0, d_positive - d_negative + margin)`` over all pairs of a positive and a negative of an
        anchor; the mean divides by the number of triplets with a loss.
    Gradient: 1 by the distance of the positive and -1 by that of the negative for every triplet with a loss; 0 at the
        kink.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Hermans et al. (2017), In defense of the triplet loss for person re-identification.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    margin : float, default 5.0
        By how much negatives should be farther than positives.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default False
        Divide embeddings by their lengths.
    {common}
    """
    return _BATCH_ALL(input, **_distances(target, distance, normalize), gap=finite("margin", margin))


@similarity(trains=("input",), aliases=("semi-hard triplets", "BatchSemiHardTripletLoss"))
def batch_semi_hard_triplet_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    margin: float = 5.0,
    distance: str = "euclidean",
    normalize: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Triplet loss of each positive with the nearest negative that is farther.

    Formula: the sum over the positives of an anchor of ``max(0, d_positive - d_negative + margin)`` with the nearest
        negative beyond the positive, or the farthest negative if there is none beyond; the mean divides by the number
        of pairs.
    Gradient: 1 by the distance of the positive and -1 by that of the negative where a triplet has a loss; to the first
        of ties, 0 at the kink.
    Domain: any real vectors; the distance of two equal ones has the gradient 0.
    Source: Schroff et al. (2015), FaceNet: A unified embedding for face recognition and clustering.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        Class indices ``[N]``, not negative.
    margin : float, default 5.0
        By how much negatives should be farther than positives.
    distance : {"euclidean", "sqeuclidean", "cosine"}, default "euclidean"
        Between two embeddings; "sqeuclidean" is its square, "cosine" 1 minus the cosine.
    normalize : bool, default False
        Divide embeddings by their lengths.
    {common}
    """
    return _SEMI_HARD(input, **_distances(target, distance, normalize), gap=finite("margin", margin))


@similarity(trains=("anchor", "positive"), aliases=("mega-batch margin", "MegaBatchMarginLoss"))
def mega_batch_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    *,
    positive_margin: float = 0.8,
    negative_margin: float = 0.3,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Mega-batch margin: the similarity of a pair, and that of its hardest negative in the batch, against two margins.

    Formula: ``max(0, positive_margin - s[i, i]) + max(0, max_other s[i] - negative_margin)`` with the cosines ``s`` of
        `anchor` and `positive`.
    Gradient: -1 at the pair and 1 at the hardest negative (the first of ties), by cosine; 0 at the kinks.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Wieting & Gimpel (2018), ParaNMT-50M, section 4; as in Sentence Transformers.

    Parameters
    ----------
    anchor : array_like
        Embeddings ``[N, D]``.
    positive : array_like
        Row i belongs to row i of `anchor`.
    positive_margin : float, default 0.8
        What the similarity of a pair should reach.
    negative_margin : float, default 0.3
        Below which that of all others should stay.
    {common}
    """
    return _MEGA_BATCH(
        anchor,
        positive,
        labels="diagonal",
        normalize=True,
        positive_margin=finite("positive_margin", positive_margin),
        negative_margin=finite("negative_margin", negative_margin),
    )
