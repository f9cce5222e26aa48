"""The losses of metric learning against pytorch-metric-learning, on its own conventions."""

from __future__ import annotations

import fusedloss as fl
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
theirs = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")
MeanReducer = pytest.importorskip(
    "pytorch_metric_learning.reducers", reason="pytorch-metric-learning is not installed"
).MeanReducer

# Theirs hand tensors to NumPy.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

N, D, C = 24, 8, 5
TUPLET = fl.tuplet_margin_loss.bind(margin=5.73, degrees=True, scale=16.0)
VARIANCE = fl.intra_pair_variance_loss.bind(positive_eps=0.05, negative_eps=0.25)
CONSISTENT = fl.threshold_consistent_margin_loss.bind(
    positive_weight=2.0, negative_weight=0.5, positive_margin=0.75, negative_margin=0.25
)
THRESHOLDS = theirs.ThresholdConsistentMarginLoss
RANKED_LIST = fl.ranked_list_loss.bind(detach=False, eps=1e-5)
ARCFACE = fl.arcface_loss.bind(margin=20.0, degrees=True, scale=16.0)


def arrays():
    generator = np.random.default_rng(3)
    return generator.normal(size=(N, D)), generator.integers(0, C, N)


def compare(loss, given, learned, ours, names):
    """Value and gradients of the embeddings and of what the other loss has learned."""
    x, target = arrays()
    embeddings = torch.tensor(x, requires_grad=True)
    value = loss(embeddings, torch.tensor(target))
    value.backward()
    result, grads = ours.value_and_grad(x, *given, target, wrt=names)
    assert result == pytest.approx(value.item(), rel=1e-9)
    grads = grads if isinstance(grads, tuple) else (grads,)
    for grad, expected in zip(grads, (embeddings.grad.numpy(), *(p.grad.numpy() for p in learned)), strict=True):
        turned = expected.T.reshape(grad.shape) if expected.shape != grad.shape else expected
        np.testing.assert_allclose(grad, turned, rtol=1e-6, atol=1e-9 * max(1, np.abs(turned).max()))


@pytest.mark.parametrize(
    ("loss", "ours"),
    [
        (lambda: theirs.MultiSimilarityLoss(), fl.multi_similarity_loss),
        (lambda: theirs.CircleLoss(), fl.circle_loss),
        (lambda: theirs.NCALoss(softmax_scale=2.0), fl.nca_loss.bind(scale=2.0)),
        (lambda: theirs.GeneralizedLiftedStructureLoss(), fl.generalized_lifted_structure_loss),
        (lambda: theirs.LiftedStructureLoss(reducer=MeanReducer()), fl.lifted_structure_loss),
        (
            lambda: theirs.TupletMarginLoss(margin=5.73, scale=16),
            TUPLET,
        ),
        (lambda: theirs.AngularLoss(), fl.angular_loss.bind(normalize_negatives=False)),
        (lambda: theirs.FastAPLoss(num_bins=10), fl.fast_ap_loss),
        (lambda: theirs.IntraPairVarianceLoss(0.05, 0.25), VARIANCE),
        (lambda: THRESHOLDS(2.0, 0.5, 0.75, 0.25), CONSISTENT),
        (lambda: theirs.RankedListLoss(margin=0.4, Tn=5), RANKED_LIST.bind(negative_temperature=5.0)),
        (
            lambda: theirs.RankedListLoss(margin=0.5, Tn=3, Tp=2, imbalance=0.25, alpha=1.5),
            RANKED_LIST.bind(
                margin=0.5, negative_temperature=3.0, positive_temperature=2.0, imbalance=0.25, boundary=1.5
            ),
        ),
        *(
            (
                lambda variant=variant: theirs.PNPLoss(variant=variant, alpha=2, b=3, anneal=0.05),
                fl.pnp_loss.bind(variant=variant, alpha=2.0, b=3.0, temperature=0.05, include_self=True),
            )
            for variant in ("O", "Iu", "Ib", "Ds", "Dq")
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_pairs(loss, ours):
    compare(loss(), (), (), ours, ("input",))


@pytest.mark.parametrize(
    ("loss", "parameter", "ours"),
    [
        (lambda: theirs.ArcFaceLoss(C, D, margin=20.0, scale=16), "W", ARCFACE),
        (lambda: theirs.CosFaceLoss(C, D, margin=0.3, scale=16), "W", fl.cosface_loss.bind(margin=0.3, scale=16.0)),
        (lambda: theirs.SphereFaceLoss(C, D, margin=4, scale=1), "W", fl.sphereface_loss),
        (lambda: theirs.LargeMarginSoftmaxLoss(C, D), "W", fl.large_margin_softmax_loss),
        (lambda: theirs.LargeMarginSoftmaxLoss(C, D, margin=3, scale=0.5), "W",
         fl.large_margin_softmax_loss.bind(margin=3.0, scale=0.5)),
        (lambda: theirs.NormalizedSoftmaxLoss(C, D), "W", fl.normalized_softmax_loss),
        (lambda: theirs.SubCenterArcFaceLoss(num_classes=C, embedding_size=D, margin=20, scale=16, sub_centers=3), "W",
         fl.sub_center_arcface_loss.bind(margin=20.0, degrees=True, scale=16.0)),
        (lambda: theirs.SoftTripleLoss(C, D, centers_per_class=4), "fc", fl.soft_triple_loss),
        (lambda: theirs.ProxyNCALoss(C, D), "proxies", fl.proxy_nca_loss),
        (lambda: theirs.ProxyAnchorLoss(C, D), "proxies", fl.proxy_anchor_loss),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_learned(loss, parameter, ours):
    loss = loss().double()
    learned = getattr(loss, parameter)
    given = learned.detach().numpy()
    if parameter != "proxies":
        given = given.T
    if "sub_center" in ours.name or "triple" in ours.name:
        given = given.reshape(C, -1, D)
    compare(loss, (given,), (learned,), ours, ours.trains)


def test_p2sgrad():
    """Theirs averages over the classes, and takes vectors of the classes for as long as 1, which they nearly are."""
    loss = theirs.P2SGradLoss(D, C).double()
    x, target = arrays()
    embeddings = torch.tensor(x, requires_grad=True)
    value = C * loss(embeddings, torch.tensor(target))
    value.backward()
    weight = loss.weight.detach().numpy().T
    result, (of_x, of_weight) = fl.p2sgrad_loss.value_and_grad(x, weight, target)
    assert result == pytest.approx(value.item(), rel=1e-6)
    np.testing.assert_allclose(of_x, embeddings.grad.numpy(), rtol=1e-6, atol=1e-6)
    raw = loss.weight.grad.numpy().T
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    np.testing.assert_allclose(of_weight, raw - (raw * unit).sum(1, keepdims=True) * unit, rtol=1e-6, atol=1e-6)


def test_instance():
    """Theirs with a label of its own for each vector."""
    x, _ = arrays()
    embeddings = torch.tensor(x, requires_grad=True)
    value = theirs.InstanceLoss(gamma=16)(embeddings, torch.arange(N))
    value.backward()
    result, grad = fl.instance_loss.value_and_grad(x, scale=16.0)
    assert result == pytest.approx(value.item(), rel=1e-9)
    np.testing.assert_allclose(grad, embeddings.grad.numpy(), rtol=1e-6, atol=1e-9)
