"""Losses of the order of scores: pairs of sentences that are more alike should have the higher score."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from ._batch import Cosines, Magnitudes, Ordered, TurnedCosines
from ._composition import composed, composition_of_a_batch, given
from ._loss import Result
from ._validation import positive
from .metric import cosine_similarity

__all__ = ["angle_loss", "cosent_embedding_loss", "cosent_loss"]

_COSINE = cosine_similarity.bind(eps=1e-12)


@composition_of_a_batch(
    trains=("input",), aliases=("CoSENT", "cosine sentence loss", "ranking loss of all score pairs")
)
def cosent_loss(input: ArrayLike, target: ArrayLike, *, scale: float = 20.0) -> Result:
    """CoSENT of scores: all pairs of scores that stand in another order than their targets, in time O(P log P).

    Formula: ``log(1 + sum(exp(scale * (s_i - s_j))))`` over all i and j with ``target_i < target_j``.
    Gradient: ``scale`` times the share of a pair in the sum for ``s_i``, minus as much for ``s_j``.
    Domain: any finite scores and targets; pairs of equal targets do not count.
    Source: Su (2022), CoSENT: a more effective sentence vector scheme than Sentence-BERT.

    Parameters
    ----------
    input : array_like
        Scores of the pairs, any shape.
    target : array_like
        How alike they should be: numbers of which the order alone counts, in the shape of `input`.
    scale : float, default 20.0
        What scores are multiplied by; must be positive.
    {common}
    """
    scores, order = given("input", input), given("target", target, constant=True)
    return composed(Ordered(scores, order, positive("scale", scale)), input=scores, target=order)


@composition_of_a_batch(trains=("x1", "x2"), aliases=("CoSENTLoss", "CoSENT of embeddings"))
def cosent_embedding_loss(x1: ArrayLike, x2: ArrayLike, target: ArrayLike, *, scale: float = 20.0) -> Result:
    """CoSENT of embeddings: `cosent_loss` of the cosines of paired vectors.

    Formula: ``log(1 + sum(exp(scale * (s_i - s_j))))`` over all i and j with ``target_i < target_j``, ``s`` being the
        cosines of the rows.
    Gradient: that of `cosent_loss` times that of the cosine, for both.
    Domain: any real vectors; one of norm below 1e-12 has no gradient. Pairs of equal targets do not count.
    Source: Su (2022), CoSENT: a more effective sentence vector scheme than Sentence-BERT.

    Parameters
    ----------
    x1 : array_like
        Embeddings ``[P, D]``.
    x2 : array_like
        The embeddings they are paired with, row by row.
    target : array_like
        How alike the two of each pair should be ``[P]``: numbers of which the order alone counts.
    scale : float, default 20.0
        What cosines are multiplied by; must be positive.
    {common}
    """
    first, second, order = given("x1", x1), given("x2", x2), given("target", target, constant=True)
    plan = Ordered(Cosines(_COSINE, first, second), order, positive("scale", scale))
    return composed(plan, x1=first, x2=second, target=order)


@composition_of_a_batch(trains=("x1", "x2"), aliases=("AnglE", "AnglELoss", "angle-optimized embedding loss"))
def angle_loss(x1: ArrayLike, x2: ArrayLike, target: ArrayLike, *, scale: float = 20.0) -> Result:
    """AnglE: `cosent_loss` of the angles between paired vectors of complex numbers.

    Formula: ``log(1 + sum(exp(scale * (s_i - s_j))))`` over all i and j with ``target_i < target_j``, with ``s =
        abs(sum(re(q) + im(q)))`` of ``q = u * conj(v)`` where ``u`` and ``v`` are the vectors divided by their norms,
        the halves of each being real and imaginary parts; to an odd number of components a zero is added.
    Gradient: that of `cosent_loss` times that of ``s``, for both; 0 where ``s`` is 0.
    Domain: any real vectors; one of norm below 1e-12 has no gradient. Pairs of equal targets do not count.
    Source: Li and Li (2024), AoE: angle-optimized embeddings for semantic textual similarity.

    Parameters
    ----------
    x1 : array_like
        Embeddings ``[P, D]``.
    x2 : array_like
        The embeddings they are paired with, row by row.
    target : array_like
        How alike the two of each pair should be ``[P]``: numbers of which the order alone counts.
    scale : float, default 20.0
        What scores are multiplied by; must be positive.
    {common}
    """
    first, second, order = given("x1", x1), given("x2", x2), given("target", target, constant=True)
    scores = Magnitudes(TurnedCosines(_COSINE, first, second), math.sqrt(2.0))
    return composed(Ordered(scores, order, positive("scale", scale)), x1=first, x2=second, target=order)
