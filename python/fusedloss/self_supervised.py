"""Losses of self-supervised embeddings: predicted views, decorrelated dimensions, spread over the sphere."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._batch import LogMeanExp, MomentLoss, Moments
from ._composition import Given, Part, Plan, composed, composition_of_a_batch, given
from ._core_kernels import SimilarityKernel, pair_kernels
from ._loss import _SIMILARITY, Loss, Result, pairs
from ._validation import finite, non_negative, positive

__all__ = [
    "align_uniform_loss",
    "alignment_loss",
    "barlow_twins_loss",
    "byol_loss",
    "flops_loss",
    "global_orthogonal_regularization",
    "simsiam_loss",
    "uniformity_loss",
    "vicreg_loss",
]


@pairs(trains=("x1",), aliases=("bootstrap your own latent",))
def byol_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    eps: float = 1e-12,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """BYOL: squared distance of a prediction and a projection, both normalised.

    Formula: ``2 - 2 * cos(x1, x2)``.
    Gradient: minus twice that of the cosine; the target `x2` is detached, that is, not among what is trained.
    Domain: any real vectors; one shorter than `eps` has gradient 0.
    Source: Grill et al. (2020), Bootstrap your own latent.

    Parameters
    ----------
    x1 : array_like
        Predictions of the online network along the last axis.
    x2 : array_like
        Projections of the target network, broadcast to the shape of `x1`.
    eps : float, default 1e-12
        Norms below it count as `eps`.
    {common}
    """
    eps = non_negative("eps", eps)
    return pair_kernels.pair_value(x1, x2, scale=2.0, power=1.0, axis=axis, measure="cosine_distance", eps=eps)


@pairs(trains=("x1",), aliases=("negative cosine similarity", "keras CosineSimilarity"))
def simsiam_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    eps: float = 1e-8,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """SimSiam: minus the cosine of a prediction and a projection.

    Formula: ``-cos(x1, x2)``.
    Gradient: minus that of the cosine; the projection `x2` is detached, that is, not among what is trained.
    Domain: any real vectors; one shorter than `eps` has gradient 0.
    Source: Chen and He (2021), Exploring simple Siamese representation learning.

    Parameters
    ----------
    x1 : array_like
        Predictions along the last axis.
    x2 : array_like
        Projections of the other view, broadcast to the shape of `x1`.
    eps : float, default 1e-8
        Norms below it count as `eps`.
    {common}
    """
    eps = non_negative("eps", eps)
    return pair_kernels.pair_value(x1, x2, scale=-1.0, power=1.0, axis=axis, measure="cosine", eps=eps)


@pairs(trains=("x1", "x2"), aliases=("alignment",))
def alignment_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    alpha: float = 2.0,
    axis: int = -1,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Alignment: a power of the distance between the embeddings of a positive pair.

    Formula: ``sum((x1 - x2)**2)**(alpha / 2)``.
    Gradient: ``alpha * d**(alpha - 2) * (x1 - x2)`` for `x1` with ``d`` the distance, and its negative for `x2`; 0
        where ``d`` is 0.
    Domain: any real vectors, meant to be normalised.
    Source: Wang and Isola (2020), Understanding contrastive representation learning through alignment and uniformity
        on the hypersphere.

    Parameters
    ----------
    x1 : array_like
        Embeddings along the last axis.
    x2 : array_like
        Embeddings of the other views, broadcast to the shape of `x1`.
    alpha : float, default 2.0
        Power of the distance; must be positive.
    {common}
    """
    power = positive("alpha", alpha) / 2.0
    return pair_kernels.pair_value(x1, x2, scale=1.0, power=power, axis=axis, measure="squared_l2")


_NEIGHBOURS = SimilarityKernel("logsumexp", {"input": "row", "others": "column"})


def _log_neighbourhood(
    input: ArrayLike,
    others: ArrayLike,
    *,
    t: float = 2.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "none",
) -> Result:
    """For every vector the log-sum-exp of ``-t`` times the squared distances of the others."""
    return _NEIGHBOURS(input, others, scale=t, exclude_self=True, distance=True)


def _spread(x: Given, t: float, scale: float) -> Plan:
    loss = Loss(_log_neighbourhood, family=_SIMILARITY, trains=("input",)).bind(t=positive("t", t))
    return LogMeanExp(loss, x, scale)


@composition_of_a_batch(trains=("input",), aliases=("uniformity", "Gaussian potential"))
def uniformity_loss(input: ArrayLike, *, t: float = 2.0) -> Result:
    """Uniformity: the logarithm of the mean Gaussian potential between all pairs of embeddings.

    No array of all pairs is made.

    Formula: ``log(mean(exp(-t * d[i, j]**2) for i < j))`` with ``d`` the Euclidean distance.
    Gradient: ``-4 * t * sum_j(w[i, j] * (x_i - x_j))`` with ``w`` the softmax of ``-t * d**2`` over all ordered pairs.
    Domain: at least two real vectors, meant to be normalised.
    Source: Wang and Isola (2020), Understanding contrastive representation learning through alignment and uniformity
        on the hypersphere.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    t : float, default 2.0
        Inverse width of the potential; must be positive.
    {common}
    """
    vectors = given("input", input)
    return composed(_spread(vectors, t, 1.0), input=vectors)


@composition_of_a_batch(trains=("x1", "x2"), aliases=("alignment and uniformity",))
def align_uniform_loss(
    x1: ArrayLike, x2: ArrayLike, *, alpha: float = 2.0, t: float = 2.0, align: float = 1.0, uniform: float = 1.0
) -> Result:
    """Alignment of positive pairs, and uniformity of each of the two views.

    Formula: ``align * mean(d(x1, x2)**alpha) + uniform * (uniformity(x1) + uniformity(x2)) / 2``; see
        `alignment_loss` and `uniformity_loss`.
    Gradient: the sum of theirs.
    Domain: two real vectors at least in each view, meant to be normalised.
    Source: Wang and Isola (2020), Understanding contrastive representation learning through alignment and uniformity
        on the hypersphere.

    Parameters
    ----------
    x1 : array_like
        Embeddings ``[N, D]`` of one view.
    x2 : array_like
        Embeddings of the other view, of the same shape.
    alpha : float, default 2.0
        Power of the distance; must be positive.
    t : float, default 2.0
        Inverse width of the potential; must be positive.
    align : float, default 1.0
        Weight of the alignment.
    uniform : float, default 1.0
        Weight of the uniformity.
    {common}
    """
    first, second = given("x1", x1), given("x2", x2)
    half = non_negative("uniform", uniform) / 2.0
    near = Part(alignment_loss, (first, second), non_negative("align", align), {"alpha": alpha})
    return composed(near, _spread(first, t, half), _spread(second, t, half), x1=first, x2=second)


@composition_of_a_batch(trains=("x1", "x2"), aliases=("variance-invariance-covariance regularization",))
def vicreg_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    eps: float = 1e-4,
    halve_variance: bool = True,
) -> Result:
    """VICReg: views that agree, dimensions that vary, and no correlation between them.

    Formula: ``invariance * mean((x1 - x2)**2) + variance * (v(x1) + v(x2)) + covariance * (c(x1) + c(x2))`` with
        ``v(x) = mean(max(0, 1 - sqrt(var(x) + eps))) / 2`` over the columns, ``c(x)`` the sum of the squares of the
        covariances of different columns divided by their number, and unbiased variances.
    Gradient: in the centred ``x`` of a term, ``-x / (2 * D * (N - 1) * s)`` where ``s = sqrt(var + eps) < 1``, and
        ``4 / (D * (N - 1)) * x @ C`` with ``C`` the covariances without their diagonal.
    Domain: at least two real vectors in each view.
    Source: Bardes, Ponce and LeCun (2022), VICReg; their code halves the variance term, the paper does not.

    Parameters
    ----------
    x1 : array_like
        Embeddings ``[N, D]`` of one view.
    x2 : array_like
        Embeddings of the other view, of the same shape.
    invariance : float, default 25.0
        Weight of the squared error between the views.
    variance : float, default 25.0
        Weight of the hinge on standard deviations.
    covariance : float, default 1.0
        Weight of the squared covariances.
    eps : float, default 1e-4
        Added to variances.
    halve_variance : bool, default True
        Whether the variance term is halved.
    {common}
    """
    views = given("x1", x1), given("x2", x2)
    moments = Moments(
        MomentLoss.VARIANCE_COVARIANCE,
        views,
        agreement=non_negative("invariance", invariance),
        spread=non_negative("variance", variance) * (0.5 if halve_variance else 1.0),
        common=non_negative("covariance", covariance),
        eps=positive("eps", eps),
    )
    return composed(moments, x1=views[0], x2=views[1])


@composition_of_a_batch(trains=("x1", "x2"), aliases=("redundancy reduction",))
def barlow_twins_loss(x1: ArrayLike, x2: ArrayLike, *, redundancy: float = 5e-3, eps: float = 1e-6) -> Result:
    """Barlow Twins: the correlations between the dimensions of two views against the identity.

    Formula: ``sum((1 - C[i, i])**2) + redundancy * sum(C[i, j]**2 for i != j)`` with ``C = z1.T @ z2 / N`` and ``z``
        the columns less their mean, divided by their unbiased standard deviation plus `eps`.
    Gradient: ``z2 @ G.T / N`` with ``G`` the derivative in ``C``, then through the standardisation of `x1`; likewise
        for `x2`.
    Domain: at least two real vectors in each view.
    Source: Zbontar et al. (2021), Barlow Twins: self-supervised learning via redundancy reduction.

    Parameters
    ----------
    x1 : array_like
        Embeddings ``[N, D]`` of one view.
    x2 : array_like
        Embeddings of the other view, of the same shape.
    redundancy : float, default 0.005
        Weight of the correlations between different dimensions.
    eps : float, default 1e-6
        Added to standard deviations.
    {common}
    """
    views = given("x1", x1), given("x2", x2)
    weight = non_negative("redundancy", redundancy)
    moments = Moments(MomentLoss.CROSS_CORRELATION, views, common=weight, eps=positive("eps", eps))
    return composed(moments, x1=views[0], x2=views[1])


@composition_of_a_batch(trains=("input",), aliases=("global orthogonal regularizer", "spread-out regularization"))
def global_orthogonal_regularization(input: ArrayLike, *, scale: float = 1.0) -> Result:
    """Global orthogonal regularisation: cosines between different embeddings as those of random directions.

    Formula: ``scale * (m1**2 + max(0, m2 - 1 / D))`` with ``m1`` and ``m2`` the means of the cosine and of its square
        over all pairs of different vectors.
    Gradient: that of the cosines, weighted by ``2 * m1`` and, where the hinge is positive, twice the cosine; 0 for
        vectors shorter than 1e-12, whose cosines are 0.
    Domain: at least two real vectors.
    Source: Zhang et al. (2017), Learning spread-out local feature descriptors.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    scale : float, default 1.0
        Factor of the loss.
    {common}
    """
    vectors = given("input", input)
    return composed(Moments(MomentLoss.ORTHOGONALITY, (vectors,), common=finite("scale", scale)), input=vectors)


@composition_of_a_batch(trains=("input",), aliases=("SPLADE FLOPS regularizer",))
def flops_loss(input: ArrayLike) -> Result:
    """FLOPS regulariser: the sum of the squared mean activations, which makes sparse vectors cheap to compare.

    Formula: ``sum(mean(input, axis=0)**2)``.
    Gradient: ``2 * mean(input, axis=0) / N`` in every row.
    Domain: real vectors, meant not to be negative.
    Source: Paria et al. (2020), Minimizing FLOPs to learn efficient sparse representations.

    Parameters
    ----------
    input : array_like
        Activations ``[N, D]``.
    {common}
    """
    vectors = given("input", input)
    return composed(Moments(MomentLoss.MEAN_ACTIVATION, (vectors,)), input=vectors)
