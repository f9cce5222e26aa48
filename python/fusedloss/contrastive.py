"""Losses of the similarities of all pairs of embeddings: each embedding finds its own among many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._blocks import Guided, LateInteraction
from ._composition import composed, composition_of_a_batch, given
from ._core_kernels import SimilarityKernel
from ._loss import Result, similarity
from ._validation import as_array, choice, finite
from ._validation import positive as _positive
from .multiclass import cross_entropy

__all__ = [
    "clip_loss",
    "decoupled_contrastive_loss",
    "gist_embed_loss",
    "gte_loss",
    "info_nce_loss",
    "instance_loss",
    "labelled_nt_xent_loss",
    "multi_vector_ranking_loss",
    "multiple_negatives_ranking_loss",
    "n_pairs_loss",
    "nt_xent_loss",
    "siglip_loss",
    "supervised_contrastive_loss",
]

_VIEWS = {"view1": "both", "view2": "both"}

_IN_BATCH = SimilarityKernel("cross_entropy", {"query": "row", "positive": "column"})
_AGAINST_ALL = SimilarityKernel("cross_entropy", {"query": "row", "positive": "own", "negatives": "column"})
_AGAINST_OWN = SimilarityKernel("cross_entropy", {"query": "row", "positive": "own", "negatives": "own"})
_RANKING = SimilarityKernel("cross_entropy", {"anchor": "row", "positive": "column"})
_HARD_RANKING = SimilarityKernel("cross_entropy", {"anchor": "row", "positive": "column", "negatives": "column"})
_BOTH_WAYS = SimilarityKernel("two_sided_cross_entropy", {"anchor": "row", "positive": "column"})
_HARD_BOTH_WAYS = SimilarityKernel(
    "two_sided_cross_entropy", {"anchor": "row", "positive": "column", "negatives": "column"}
)
_FOUR_BLOCKS = SimilarityKernel("shared_partition", {"anchor": "both", "positive": "both"})
_CLIP = SimilarityKernel(
    "two_sided_cross_entropy", {"image_features": "row", "text_features": "column", "logit_scale": "scale"}
)
_SIGLIP = SimilarityKernel(
    "sigmoid_pairs",
    {"image_features": "row", "text_features": "column", "logit_scale": "scale", "logit_bias": "bias"},
)
_TWO_VIEWS = SimilarityKernel("cross_entropy", _VIEWS)
_DECOUPLED = SimilarityKernel("decoupled_contrastive", _VIEWS)
_INSTANCES = SimilarityKernel("cross_entropy", {"input": "both"})
_SUPERVISED = SimilarityKernel("supervised_contrastive", {"input": "both"}, target="target")
_PAIRS = SimilarityKernel("pairwise_nt_xent", {"input": "both"}, target="target")


@similarity(
    trains=("query", "positive"),
    aliases=("InfoNCE", "contrastive predictive coding", "MoCo", "memory bank contrastive loss"),
)
def info_nce_loss(
    query: ArrayLike,
    positive: ArrayLike,
    *,
    negatives: ArrayLike | None = None,
    temperature: float = 0.1,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """InfoNCE: each query finds its own positive among the others.

    Formula: ``log(sum_j exp(s[i, j])) - s[i, own]`` with ``s = <query_i, key_j> / temperature``. Without `negatives`
        the keys are all positives of the batch; with them, the query's own positive and the negatives.
    Gradient: through ``p - onehot`` with ``p = softmax(s[i])``, for `query` and `positive`; `negatives` on request.
    Domain: any real vectors; with `normalize` one of norm below 1e-12 counts as zero and has no gradient.
    Source: van den Oord et al. (2018), Representation learning with contrastive predictive coding; with a queue of
        negatives: He et al. (2020), Momentum contrast.

    Parameters
    ----------
    query : array_like
        Embeddings ``[N, D]``.
    positive : array_like
        Row i is the positive of query i.
    negatives : array_like, optional
        ``[K, D]``, shared by all queries (a queue or memory bank), or ``[N, K, D]``, K for each query.
    temperature : float, default 0.1
        What similarities are divided by; must be positive.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    options: dict[str, Any] = {"scale": 1.0 / _positive("temperature", temperature), "normalize": bool(normalize)}
    if negatives is None:
        return _IN_BATCH(query, positive, labels="diagonal", **options)
    kernel = _AGAINST_OWN if np.ndim(negatives) == 3 else _AGAINST_ALL
    return kernel(query, positive, negatives, labels="first", **options)


@similarity(trains=("anchor", "positive"), aliases=("N-pair loss", "multi-class N-pair loss"))
def n_pairs_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """N-pairs loss: cross entropy of the plain products of each anchor with all positives.

    Formula: ``log(sum_j exp(s[i, j])) - s[i, i]`` with ``s = <anchor_i, positive_j>``.
    Gradient: through ``softmax(s[i]) - onehot``, for both.
    Domain: any real vectors.
    Source: Sohn (2016), Improved deep metric learning with multi-class N-pair loss objective.

    Parameters
    ----------
    anchor : array_like
        Embeddings ``[N, D]``, usually not normalised.
    positive : array_like
        Row i is the positive of anchor i.
    {common}
    """
    return _RANKING(anchor, positive, labels="diagonal")


@similarity(
    trains=("anchor", "positive"),
    aliases=("MultipleNegativesRankingLoss", "MNRL", "in-batch negatives", "MultipleNegativesSymmetricRankingLoss"),
)
def multiple_negatives_ranking_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    *,
    negatives: ArrayLike | None = None,
    scale: float = 20.0,
    symmetric: bool = False,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Multiple negatives ranking: each anchor's positive against all other positives and hard negatives.

    Formula: ``log(sum_j exp(s[i, j])) - s[i, i]`` with ``s = scale * cos(anchor_i, document_j)``, the documents being
        the positives and then the negatives. With `symmetric` the mean of this and of the same over the columns,
        ``log(sum_k exp(s[k, i])) - s[i, i]``.
    Gradient: through ``softmax(s[i]) - onehot``, and half of both for `symmetric`; `negatives` on request.
    Domain: any real vectors; with `normalize` one of norm below 1e-12 counts as zero and has no gradient.
    Source: Henderson et al. (2017), Efficient natural language response suggestion for smart reply.

    Parameters
    ----------
    anchor : array_like
        Embeddings ``[N, D]``.
    positive : array_like
        Row i is the positive of anchor i.
    negatives : array_like, optional
        Hard negatives ``[K, D]``, further columns for every anchor.
    scale : float, default 20.0
        What similarities are multiplied by; must be positive.
    symmetric : bool, default False
        Whether positives have to find their anchors too.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    options: dict[str, Any] = {"scale": _positive("scale", scale), "normalize": bool(normalize), "labels": "diagonal"}
    if symmetric:
        options["two_sided"] = True
    if negatives is None:
        return (_BOTH_WAYS if symmetric else _RANKING)(anchor, positive, **options)
    return (_HARD_BOTH_WAYS if symmetric else _HARD_RANKING)(anchor, positive, negatives, **options)


@similarity(trains=("anchor", "positive"), aliases=("improved contrastive loss", "GTE contrastive loss"))
def gte_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    *,
    temperature: float = 0.01,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Improved contrastive loss: one partition over both directions and both kinds of vectors.

    Formula: ``log(Z_i) - s(a_i, p_i)`` where ``Z_i`` sums ``exp(s)`` over ``(a_i, p_j)``, ``(p_i, a_j)`` and, for j
        other than i, ``(a_i, a_j)`` and ``(p_i, p_j)``; ``s = cos / temperature``. The unreduced loss has it for every
        anchor and once more for every positive.
    Gradient: through ``exp(s) / Z_i`` less the two appearances of the pair, for both.
    Domain: any real vectors; with `normalize` one of norm below 1e-12 counts as zero and has no gradient.
    Source: Li et al. (2023), Towards general text embeddings with multi-stage contrastive learning.

    Parameters
    ----------
    anchor : array_like
        Embeddings ``[N, D]``.
    positive : array_like
        Row i is the positive of anchor i.
    temperature : float, default 0.01
        What similarities are divided by; must be positive.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    scale = 1.0 / _positive("temperature", temperature)
    return _FOUR_BLOCKS(
        anchor,
        positive,
        labels="opposite",
        scale=scale,
        normalize=bool(normalize),
        exclude_self=True,
        two_sided=True,
        paired=True,
    )


@composition_of_a_batch(
    trains=("anchor", "positive"), aliases=("GISTEmbed", "GISTEmbedLoss", "guided in-sample selection of negatives")
)
def gist_embed_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    guide_anchor: ArrayLike,
    guide_positive: ArrayLike,
    *,
    negatives: ArrayLike | None = None,
    guide_negatives: ArrayLike | None = None,
    temperature: float = 0.01,
    margin: float = 0.0,
    margin_strategy: str = "absolute",
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
) -> Result:
    """GISTEmbed: multiple negatives ranking without what another model takes for false negatives.

    Formula: the mean of ``log(sum exp(s)) - s(a_i, p_i)`` with ``s = cos / temperature``, the sum being over the
        positives, the similarities of ``a_i`` with other anchors, those of ``p_i`` with other positives, and the
        negatives, except for pairs whose cosine by the guide exceeds ``g_i - margin``, ``g_i`` being that of anchor and
        positive i; or ``g_i - margin * abs(g_i)`` for a relative margin. Anchor and positive i always count.
    Gradient: through ``softmax(s) - onehot``; `negatives` on request, the guide has none.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Solatorio (2024), GISTEmbed: guided in-sample selection of training negatives for text embedding
        fine-tuning.

    Parameters
    ----------
    anchor : array_like
        Embeddings ``[N, D]``.
    positive : array_like
        Row i is the positive of anchor i.
    guide_anchor : array_like
        The anchors as the guide embeds them, ``[N, E]``.
    guide_positive : array_like
        The positives as the guide embeds them.
    negatives : array_like, optional
        Hard negatives ``[K, D]``, further columns for every anchor.
    guide_negatives : array_like, optional
        The negatives as the guide embeds them; needed with `negatives`.
    temperature : float, default 0.01
        What similarities are divided by; must be positive.
    margin : float, default 0.0
        How much less similar than the positive a negative has to be.
    margin_strategy : {"absolute", "relative"}, default "absolute"
        Whether the margin is a cosine, or a part of that of the positive.
    contrast_anchors : bool, default True
        Compare anchors with each other.
    contrast_positives : bool, default True
        Compare positives with each other.
    {common}
    """
    vectors = {"anchor": anchor, "positive": positive} | ({} if negatives is None else {"negatives": negatives})
    guides = {"guide_anchor": guide_anchor, "guide_positive": guide_positive}
    if negatives is None and guide_negatives is not None:
        raise ValueError("guide_negatives needs negatives")
    if negatives is not None:
        guides["guide_negatives"] = guide_negatives  # type: ignore[assignment]
    own = {name: given(name, value) for name, value in vectors.items()}
    theirs = {name: given(name, value, constant=True) for name, value in guides.items()}
    contrasts = [(0, 1)]
    contrasts += [(0, 0)] if contrast_anchors else []
    contrasts += [(1, 1)] if contrast_positives else []
    contrasts += [(0, 2)] if negatives is not None else []
    plan = Guided(
        cross_entropy,
        tuple(own.values()),
        tuple(theirs.values()),
        tuple(contrasts),
        _positive("temperature", temperature),
        finite("margin", margin),
        choice("margin_strategy", margin_strategy, ("absolute", "relative")) == "relative",
    )
    return composed(plan, **own, **theirs)


@composition_of_a_batch(
    trains=("query", "document"), aliases=("ColBERT", "MaxSim", "late interaction", "multi-vector ranking")
)
def multi_vector_ranking_loss(
    query: ArrayLike,
    document: ArrayLike,
    *,
    query_mask: ArrayLike | None = None,
    document_mask: ArrayLike | None = None,
    scale: float = 1.0,
) -> Result:
    """Ranking of documents by late interaction: each token of a query meets the most similar token of a document.

    Formula: the mean of ``log(sum_j exp(s[i, j])) - s[i, i]`` with ``s[i, j] = scale * sum_q max_d <query_iq,
        document_jd>`` over the tokens q of a query and d of a document.
    Gradient: through ``softmax(s[i]) - onehot`` to both tokens of every maximum, the first of equal ones.
    Domain: any real vectors, meant to be normalised.
    Source: Khattab and Zaharia (2020), ColBERT: efficient and effective passage search via contextualized late
        interaction over BERT.

    Parameters
    ----------
    query : array_like
        A vector for each token, ``[N, L, D]``.
    document : array_like
        ``[M, K, D]`` with at least N documents: document i is the positive of query i, those beyond are hard negatives.
    query_mask : array_like, optional
        Tokens of the queries that count, ``[N, L]``: those that are not 0.
    document_mask : array_like, optional
        Tokens of the documents that count, ``[M, K]``.
    scale : float, default 1.0
        What scores are multiplied by; must be positive.
    {common}
    """
    queries, documents = given("query", query), given("document", document)
    of_query = None if query_mask is None else as_array("query_mask", query_mask).astype(bool)
    of_document = None if document_mask is None else as_array("document_mask", document_mask).astype(bool)
    plan = LateInteraction(cross_entropy, queries, documents, of_query, of_document, _positive("scale", scale))
    return composed(plan, query=queries, document=documents)


@similarity(
    trains=("image_features", "text_features", "logit_scale"), aliases=("CLIP", "ClipLoss", "symmetric InfoNCE")
)
def clip_loss(
    image_features: ArrayLike,
    text_features: ArrayLike,
    logit_scale: ArrayLike,
    *,
    normalize: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Contrastive language-image pretraining: images find their texts and texts their images.

    Formula: ``(log(sum_j exp(s[i, j])) + log(sum_k exp(s[k, i]))) / 2 - s[i, i]`` with
        ``s = logit_scale * <image_i, text_j>``.
    Gradient: through ``(softmax over the row + softmax over the column) / 2 - onehot``, for all three.
    Domain: any real vectors.
    Source: Radford et al. (2021), Learning transferable visual models from natural language supervision.

    Parameters
    ----------
    image_features : array_like
        Embeddings ``[N, D]``.
    text_features : array_like
        Row i belongs to image i.
    logit_scale : array_like
        What similarities are multiplied by, a single number: the exponential of the usual parameter.
    normalize : bool, default False
        Whether the features are still to be divided by their norms.
    {common}
    """
    return _CLIP(
        image_features, text_features, logit_scale, labels="diagonal", normalize=bool(normalize), two_sided=True
    )


@similarity(
    trains=("image_features", "text_features", "logit_scale", "logit_bias"), aliases=("SigLIP", "sigmoid CLIP loss")
)
def siglip_loss(
    image_features: ArrayLike,
    text_features: ArrayLike,
    logit_scale: ArrayLike,
    logit_bias: ArrayLike,
    *,
    normalize: bool = False,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Sigmoid loss for language-image pretraining: every pair is classified by itself.

    Formula: ``sum_j softplus(-y[i, j] * z[i, j])`` with ``z = logit_scale * <image_i, text_j> + logit_bias`` and
        ``y`` 1 for the pair i = j and -1 for all others; the mean is over images, not pairs.
    Gradient: through ``-y * sigmoid(-y * z)``, for all four.
    Domain: any real vectors.
    Source: Zhai et al. (2023), Sigmoid loss for language image pre-training.

    Parameters
    ----------
    image_features : array_like
        Embeddings ``[N, D]``.
    text_features : array_like
        Row i belongs to image i.
    logit_scale : array_like
        What similarities are multiplied by, a single number.
    logit_bias : array_like
        What is added to them, a single number.
    normalize : bool, default False
        Whether the features are still to be divided by their norms.
    {common}
    """
    return _SIGLIP(image_features, text_features, logit_scale, logit_bias, labels="diagonal", normalize=bool(normalize))


@similarity(trains=("view1", "view2"), aliases=("NT-Xent", "SimCLR", "normalized temperature-scaled cross entropy"))
def nt_xent_loss(
    view1: ArrayLike,
    view2: ArrayLike,
    *,
    temperature: float = 0.5,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Normalised temperature-scaled cross entropy of two views: each finds the other among all.

    Formula: ``log(sum_k!=i exp(s[i, k])) - s[i, other view]`` for all 2N vectors, ``s = cos / temperature``. The
        unreduced loss has the vectors of the first view and then those of the second.
    Gradient: through ``softmax(s[i]) - onehot``, as row and as column.
    Domain: any real vectors; with `normalize` one of norm below 1e-12 counts as zero and has no gradient.
    Source: Chen et al. (2020), A simple framework for contrastive learning of visual representations.

    Parameters
    ----------
    view1 : array_like
        Embeddings ``[N, D]``.
    view2 : array_like
        Embeddings of the same N in another view.
    temperature : float, default 0.5
        What similarities are divided by; must be positive.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    scale = 1.0 / _positive("temperature", temperature)
    return _TWO_VIEWS(view1, view2, labels="opposite", scale=scale, normalize=bool(normalize), exclude_self=True)


@similarity(trains=("input",), aliases=("InstanceLoss", "instance discrimination"))
def instance_loss(
    input: ArrayLike,
    *,
    scale: float = 64.0,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Instance loss: each embedding is a class of its own, and tells itself from all others of the batch.

    Formula: ``log(sum_j exp(s[i, j])) - s[i, i]`` over all j with ``s = scale * cos``.
    Gradient: through ``softmax(s[i])`` at the others, as row and as column; the cosine with itself has none.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient.
    Source: Zheng et al. (2020), Dual-path convolutional image-text embeddings with instance loss, without its learned
        vectors of the instances: with them it is `linear_cross_entropy`. As in pytorch-metric-learning where all labels
        differ; its labels of classes are taken for numbers of columns.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    scale : float, default 64.0
        Multiplies the cosines; must be positive.
    {common}
    """
    return _INSTANCES(input, labels="diagonal", scale=_positive("scale", scale), normalize=True)


@similarity(trains=("view1", "view2"), aliases=("DCL", "DCLLoss"))
def decoupled_contrastive_loss(
    view1: ArrayLike,
    view2: ArrayLike,
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Decoupled contrastive loss of two views: the positive stays out of the denominator.

    Formula: ``log(sum_k exp(s[i, k])) - s[i, other view]``, k neither i nor its other view, for all 2N vectors;
        ``s = cos / temperature``. The unreduced loss has the vectors of the first view and then those of the second.
    Gradient: -1 at the other view, the softmax of the rest elsewhere; as row and as column.
    Domain: any real vectors, two of each view at least; with `normalize` one of norm below 1e-12 counts as zero and has
        no gradient.
    Source: Yeh et al. (2022), Decoupled contrastive learning.

    Parameters
    ----------
    view1 : array_like
        Embeddings ``[N, D]``.
    view2 : array_like
        Embeddings of the same N in another view.
    temperature : float, default 0.1
        What similarities are divided by; must be positive.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    scale = 1.0 / _positive("temperature", temperature)
    return _DECOUPLED(view1, view2, labels="opposite", scale=scale, normalize=bool(normalize), exclude_self=True)


@similarity(aliases=("SupCon", "SupConLoss", "supervised contrastive learning"))
def supervised_contrastive_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    temperature: float = 0.1,
    base_temperature: float | None = None,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Supervised contrastive loss: each embedding finds all others of its class.

    Formula: ``mean over positives p of (log(sum_k!=i exp(s[i, k])) - s[i, p])``, ``s = cos / temperature``,
        positives being the others of the same class; times ``temperature / base_temperature`` if that is given. An
        embedding without positives has no loss and does not count in the mean.
    Gradient: through ``softmax(s[i]) - 1 / positives`` at the positives, as row and as column.
    Domain: any real vectors; with `normalize` one of norm below 1e-12 counts as zero and has no gradient.
    Source: Khosla et al. (2020), Supervised contrastive learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        The class of each, integers that are not negative.
    temperature : float, default 0.1
        What similarities are divided by; must be positive.
    base_temperature : float, optional
        The loss is multiplied by ``temperature / base_temperature``; the authors' code has 0.07.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    temperature = _positive("temperature", temperature)
    factor = 1.0 if base_temperature is None else temperature / _positive("base_temperature", base_temperature)
    return _SUPERVISED(
        input,
        label=target,
        of_columns=(target,),
        scale=1.0 / temperature,
        normalize=bool(normalize),
        exclude_self=True,
        divisor="anchors",
        factor=factor,
        by_pair=0.0,
    )


@similarity(aliases=("NTXentLoss with labels", "NT-Xent of labelled pairs"))
def labelled_nt_xent_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    denominator: str = "neg_plus_self",
    temperature: float = 0.07,
    normalize: bool = True,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """NT-Xent of labelled embeddings: one term for every pair of the same class.

    Formula: ``sum over positives p of (log(D_p) - s[i, p])``, ``s = cos / temperature``, where ``D_p`` sums ``exp(s)``
        over p and the embeddings of other classes, or over all but i itself. The mean is over pairs.
    Gradient: through the softmax of each denominator less the pair, as row and as column.
    Domain: any real vectors; with `normalize` one of norm below 1e-12 counts as zero and has no gradient.
    Source: Chen et al. (2020), A simple framework for contrastive learning of visual representations; with labels:
        Musgrave et al. (2020), PyTorch metric learning.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]``.
    target : array_like
        The class of each, integers that are not negative.
    denominator : {"neg_plus_self", "all"}, default "neg_plus_self"
        Whether other positives stay out of the denominator.
    temperature : float, default 0.07
        What similarities are divided by; must be positive.
    normalize : bool, default True
        Cosine similarity; otherwise the plain product.
    {common}
    """
    options: dict[str, Any] = {
        "label": target,
        "of_columns": (target,),
        "scale": 1.0 / _positive("temperature", temperature),
        "normalize": bool(normalize),
        "exclude_self": True,
        "divisor": "pairs",
    }
    if choice("denominator", denominator, ("neg_plus_self", "all")) == "all":
        return _SUPERVISED(input, factor=1.0, by_pair=1.0, **options)
    return _PAIRS(input, **options)
