"""Losses of embeddings of sentences against sentence-transformers, on its own conventions."""

from __future__ import annotations

import fusedloss as fl
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
theirs = pytest.importorskip(
    "sentence_transformers.sentence_transformer.losses", reason="sentence-transformers is not installed"
)

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")

N, D = 16, 6
DIRECTIONS = ("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc")
COSINE = theirs.BatchHardTripletLossDistanceFunction.cosine_distance


def model(features):
    """In place of one that embeds sentences: they are embeddings already."""
    return features


def embeddings(count):
    return list(np.random.default_rng(5).normal(size=(count, N, D)))


def compare(loss, ours, count, label=None, tolerance=1e-9):
    """Value and gradients in so many columns of embeddings."""
    arrays = embeddings(count)
    tensors = [torch.tensor(x, requires_grad=True) for x in arrays]
    value = loss([{"sentence_embedding": t} for t in tensors], None if label is None else torch.tensor(label))
    value.backward()
    found, grads = ours(*arrays, *(() if label is None else (label,)))
    assert found == pytest.approx(value.item(), rel=tolerance)
    for grad, tensor in zip(grads if isinstance(grads, tuple) else (grads,), tensors, strict=True):
        expected = tensor.grad.numpy()
        np.testing.assert_allclose(grad, expected, rtol=100 * tolerance, atol=tolerance * np.abs(expected).max())


def with_negatives(anchor, positive, *negatives):
    """The gradients in every array of hard negatives."""
    loss, more = fl.multiple_negatives_ranking_loss, np.concatenate(negatives)
    value, grads = loss.value_and_grad(anchor, positive, negatives=more, wrt=("anchor", "positive", "negatives"))
    return value, (*grads[:2], *np.split(grads[2], len(negatives)))


@pytest.mark.parametrize(
    ("loss", "ours", "count"),
    [
        (
            lambda: theirs.MultipleNegativesRankingLoss(model),
            fl.multiple_negatives_ranking_loss.value_and_grad,
            2,
        ),
        (lambda: theirs.MultipleNegativesRankingLoss(model), with_negatives, 4),
        (
            lambda: theirs.MultipleNegativesSymmetricRankingLoss(model, scale=7.0),
            fl.multiple_negatives_ranking_loss.bind(scale=7.0, symmetric=True).value_and_grad,
            2,
        ),
        (
            lambda: theirs.MultipleNegativesRankingLoss(model, scale=10.0, directions=DIRECTIONS),
            fl.gte_loss.bind(temperature=0.1).value_and_grad,
            2,
        ),
        (
            lambda: theirs.MegaBatchMarginLoss(model, use_mini_batched_version=False),
            fl.mega_batch_margin_loss.value_and_grad,
            2,
        ),
        (
            lambda: theirs.TripletLoss(model, triplet_margin=2.0),
            fl.triplet_margin_loss.bind(margin=2.0, eps=0.0).value_and_grad,
            3,
        ),
        (
            lambda: theirs.TripletLoss(model, theirs.TripletDistanceMetric.COSINE, 0.5),
            fl.triplet_margin_loss.bind(margin=0.5, distance="cosine").value_and_grad,
            3,
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_positives(loss, ours, count):
    compare(loss(), ours, count)


@pytest.mark.parametrize(
    ("loss", "ours"),
    [
        (lambda: theirs.CoSENTLoss(model), fl.cosent_embedding_loss),
        (lambda: theirs.CoSENTLoss(model, scale=2.0), fl.cosent_embedding_loss.bind(scale=2.0)),
        (lambda: theirs.AnglELoss(model), fl.angle_loss),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("kinds", [1, 3, 1000])
def test_scores(loss, ours, kinds):
    label = np.random.default_rng(0).integers(0, kinds, N) / kinds
    compare(loss(), ours.value_and_grad, 2, label)


@pytest.mark.parametrize(
    ("loss", "ours"),
    [
        (
            lambda: theirs.ContrastiveLoss(model),
            fl.contrastive_loss.bind(distance="cosine", margin=0.5, similar_label=1),
        ),
        (
            lambda: theirs.ContrastiveLoss(model, theirs.SiameseDistanceMetric.EUCLIDEAN, margin=4.0),
            fl.contrastive_loss.bind(margin=4.0, similar_label=1, eps=1e-6),
        ),
        (
            lambda: theirs.OnlineContrastiveLoss(model, margin=1.5),
            fl.online_contrastive_loss.bind(margin=1.5, similar_label=1, reduction="sum"),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_pairs(loss, ours):
    compare(loss(), ours.value_and_grad, 2, np.arange(N) % 3 % 2)


@pytest.mark.parametrize(
    ("loss", "ours"),
    [
        (theirs.BatchHardTripletLoss, fl.batch_hard_triplet_loss.bind(skip_invalid=False)),
        (theirs.BatchSemiHardTripletLoss, fl.batch_semi_hard_triplet_loss),
        (theirs.BatchAllTripletLoss, fl.batch_all_triplet_loss),
        (
            theirs.BatchHardSoftMarginTripletLoss,
            fl.batch_hard_triplet_loss.bind(soft_margin=True, skip_invalid=False),
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_mined_triplets(loss, ours, distance):
    label = np.arange(N) % 5
    metric = COSINE if distance == "cosine" else theirs.BatchHardTripletLossDistanceFunction.euclidean_distance
    # Their tensors start in single precision somewhere on the way.
    compare(loss(model, metric), ours.bind(distance=distance).value_and_grad, 1, label, 1e-6)


def guided(names, **options):
    """Their loss without the tokenisers it asks for."""
    loss = theirs.GISTEmbedLoss.__new__(theirs.GISTEmbedLoss)
    torch.nn.Module.__init__(loss)
    loss.model, loss.must_retokenize, loss.gather_across_devices = model, False, False
    loss.similarity_fct, loss.cross_entropy_loss = torch.nn.CosineSimilarity(dim=-1), torch.nn.CrossEntropyLoss()
    of_guide = [{"sentence_embedding": torch.tensor(x)} for x in names]
    loss.guide = lambda features: of_guide.pop(0)
    for key, value in options.items():
        setattr(loss, key, value)
    return loss


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("margin", [0.0, 0.25])
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
@pytest.mark.parametrize(("anchors", "positives"), [(True, True), (False, True), (True, False)])
def test_guided(count, margin, strategy, anchors, positives):
    guides = list(np.random.default_rng(1).normal(size=(count, N, 4)))
    options = {
        "temperature": 0.2,
        "margin": margin,
        "margin_strategy": strategy,
        "contrast_anchors": anchors,
        "contrast_positives": positives,
    }

    def ours(anchor, positive, negatives=None):
        more = {} if negatives is None else {"negatives": negatives, "guide_negatives": guides[2]}
        wrt = ("anchor", "positive", *more)[:count]
        return fl.gist_embed_loss.value_and_grad(anchor, positive, *guides[:2], **more, **options, wrt=wrt)

    compare(guided(guides, **options), ours, count)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_late_interaction(scale):
    maxsim = pytest.importorskip(
        "sentence_transformers.util.similarity", reason="sentence-transformers is older"
    ).maxsim
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(5, 3, 4)), generator.normal(size=(8, 6, 4))
    keep = [generator.uniform(size=shape[:2]) < 0.75 for shape in (x.shape, y.shape)]
    for mask in keep:
        mask[:, 0] = True
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, y)]
    scores = maxsim(*tensors, *map(torch.tensor, keep))
    value = torch.nn.functional.cross_entropy(scale * scores, torch.arange(5))
    value.backward()
    loss = fl.multi_vector_ranking_loss.bind(scale=scale)
    found, grads = loss.value_and_grad(x, y, query_mask=keep[0], document_mask=keep[1])
    assert found == pytest.approx(value.item(), rel=1e-5)  # theirs are single
    for grad, tensor in zip(grads, tensors, strict=True):
        np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_margin_mse():
    label = np.random.default_rng(0).normal(size=N)
    compare(
        theirs.MarginMSELoss(model),
        lambda *given: fl.margin_mse_loss.value_and_grad(*given, wrt=("query", "positive", "negative")),
        3,
        label,
    )


def test_cosine_similarity():
    label = np.random.default_rng(0).uniform(size=N).astype(np.float32).astype(np.float64)
    compare(theirs.CosineSimilarityLoss(model), fl.cosine_similarity_loss.value_and_grad, 2, label)


def test_global_orthogonality():
    (x,) = embeddings(1)
    tensor = torch.tensor(x, requires_grad=True)
    terms = theirs.GlobalOrthogonalRegularizationLoss(model)([{"sentence_embedding": tensor}])
    sum(terms.values()).backward()
    value, grad = fl.global_orthogonal_regularization.value_and_grad(x)
    assert value == pytest.approx(sum(term.item() for term in terms.values()), rel=1e-9)
    np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-7, atol=1e-12)
