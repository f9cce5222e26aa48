"""Speaker embeddings: utterances against the centroids of speakers."""

from __future__ import annotations

from numpy.typing import ArrayLike

from ._batch import Verification
from ._composition import Part, composed, composition_by_sample, given
from ._core_kernels import SimilarityKernel
from ._loss import Result, similarity
from ._validation import choice
from .binary import binary_cross_entropy_with_logits
from .metric import cosine_similarity

__all__ = ["ge2e_loss", "te2e_loss"]

_INPUTS = {"input": "groups", "weight": "scale", "bias": "bias"}
_SOFTMAX = SimilarityKernel("cross_entropy", _INPUTS)
_CONTRAST = SimilarityKernel("ge2e_contrast", _INPUTS)
_COSINE = cosine_similarity.bind(eps=1e-12)


@similarity(trains=("input", "weight", "bias"), aliases=("GE2E", "generalized end-to-end loss"))
def ge2e_loss(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    variant: str = "softmax",
    sample_weight: ArrayLike | None = None,
    reduction: str = "sum",
) -> Result:
    """Generalised end-to-end loss: each utterance finds the centroid of its speaker.

    Formula: ``log(sum_k exp(s[k])) - s[j]`` with ``s[k] = weight * cos(utterance, centroid_k) + bias`` for an utterance
        of speaker j, whose own centroid leaves the utterance out; with ``variant="contrast"`` ``1 - sigmoid(s[j]) +
        max_other sigmoid(s)``. The unreduced loss has N * M values, speaker after speaker.
    Gradient: through ``softmax(s) - onehot``, or the sigmoids of the own speaker and of the nearest other one, and
        through the centroids to all of their utterances.
    Domain: any real vectors; one of norm below 1e-12 counts as zero and has no gradient. The paper keeps `weight`
        positive.
    Source: Wan et al. (2018), Generalized end-to-end loss for speaker verification.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, M, D]``: M utterances, at least 2, of each of N speakers.
    weight : float or array_like
        Learned scale of the cosines, a single number; 10 to begin with.
    bias : float or array_like
        Learned bias, a single number; -5 to begin with.
    variant : {"softmax", "contrast"}, default "softmax"
        Against all other speakers, or against the nearest of them.
    {common}
    """
    kernel = _SOFTMAX if choice("variant", variant, ("softmax", "contrast")) == "softmax" else _CONTRAST
    return kernel(input, weight, bias, labels="groups", normalize=True)


@composition_by_sample(trains=("input", "enrolment", "weight", "bias"), aliases=("TE2E", "tuple-based end-to-end loss"))
def te2e_loss(
    input: ArrayLike,
    enrolment: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Result:
    """Tuple-based end-to-end loss: whether an utterance is of the speaker of some others.

    Formula: ``softplus(s) - target * s`` with ``s = weight * cos(input, mean(enrolment)) + bias`` for each utterance
        and the centroid of the utterances it is compared with.
    Gradient: through ``sigmoid(s) - target``, the cosine, and the centroid to all of its utterances.
    Domain: any real vectors; one of norm below 1e-12 has no gradient. `target` is 1 for the same speaker
        and 0 for another one.
    Source: Heigold et al. (2016), End-to-end text-dependent speaker verification.

    Parameters
    ----------
    input : array_like
        Embeddings ``[N, D]`` of the utterances to verify.
    enrolment : array_like
        Embeddings ``[N, M, D]`` of the M utterances that each is compared with.
    weight : float or array_like
        Learned scale of the cosines, a single number or one for each of them.
    bias : float or array_like
        Learned bias, a single number or one for each of the cosines.
    target : array_like
        Whether the speakers are the same ``[N]``.
    {common}
    """
    x, others, same = given("input", input), given("enrolment", enrolment), given("target", target, constant=True)
    scale, shift = given("weight", weight), given("bias", bias)
    scores = Verification(_COSINE, x, others, scale, shift)
    plan = Part(binary_cross_entropy_with_logits, (scores, same))
    return composed(plan, input=x, enrolment=others, weight=scale, bias=shift, target=same)
