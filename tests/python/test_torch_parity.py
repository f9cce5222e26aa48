"""The same numbers as torch.nn.functional where it has the loss, with its arguments by its names."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from battery import LOSSES, assert_close
from cases import Count, Domain, LogProbability, OneOf, Positive, Real, Unit, cases_of

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")

REAL, SOFT, PROBABILITY = Real(), Unit(), Unit(0.02, 0.98)
SIGN = OneOf((-1.0, 1.0))


@dataclass(frozen=True)
class Peer:
    """A loss torch has, too: its arguments, and parameters that mean the same to both."""

    loss: str
    arguments: dict[str, Domain]
    params: dict[str, Any] = field(default_factory=dict)
    ours: dict[str, Any] = field(default_factory=dict)
    """Parameters of ours alone, that ask for what torch always does."""
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    weight: bool = False

    def __str__(self) -> str:
        return "-".join([self.loss, *(f"{key}={value}" for key, value in self.params.items())])


def _peers():
    pair = {"input": REAL, "target": REAL}
    yield Peer("mse_loss", pair, weight=True)
    yield Peer("l1_loss", pair, weight=True)
    for beta in (1.0, 0.25, 0.0):
        yield Peer("smooth_l1_loss", pair, {"beta": beta})
    for delta in (1.0, 2.5):
        yield Peer("huber_loss", pair, {"delta": delta}, weight=True)
    counted = {"input": REAL, "target": Count()}
    yield Peer("poisson_nll_loss", counted)
    yield Peer("poisson_nll_loss", {"input": Positive(), "target": Count()}, {"log_input": False, "eps": 1e-8})
    for full in (False, True):
        yield Peer("gaussian_nll_loss", {**pair, "var": Positive()}, {"full": full, "eps": 1e-6})
    kl = ("none", "mean", "sum", "batchmean")
    yield Peer("kl_div", {"input": LogProbability(), "target": Unit(0.02, 1.0)}, reductions=kl)
    yield Peer("kl_div", {"input": LogProbability(), "target": LogProbability()}, {"log_target": True}, reductions=kl)
    yield Peer("binary_cross_entropy", {"input": PROBABILITY, "target": SOFT}, weight=True)
    yield Peer("binary_cross_entropy", {"input": PROBABILITY, "target": SOFT}, ours={"log_clamp": 100.0})
    yield Peer("binary_cross_entropy_with_logits", {"input": REAL, "target": SOFT}, weight=True)
    weighted = {"input": REAL, "target": SOFT, "pos_weight": Positive()}
    yield Peer("binary_cross_entropy_with_logits", weighted, weight=True)
    yield Peer("soft_margin_loss", {"input": REAL, "target": SIGN})
    for margin in (1.0, 2.5):
        yield Peer("hinge_embedding_loss", {"input": REAL, "target": SIGN}, {"margin": margin})
    yield Peer("hinge_embedding_loss", {"input": REAL, "target": OneOf((-1.0, 0.0, 1.0))}, {"margin": 1.0})
    for margin in (0.0, 0.5):
        yield Peer("margin_ranking_loss", {"input1": REAL, "input2": REAL, "target": SIGN}, {"margin": margin})


PEERS = tuple(_peers())
each_peer = pytest.mark.parametrize("peer", PEERS, ids=str)


def theirs(peer, arrays, reduction, **options):
    tensors = {key: torch.tensor(array, requires_grad=key in grads_of(peer)) for key, array in arrays.items()}
    extra = {key: torch.tensor(array) for key, array in options.items()}
    value = getattr(F, peer.loss)(**tensors, **peer.params, **extra, reduction=reduction)
    value.sum().backward()
    return value.detach().numpy(), {key: tensors[key].grad.numpy() for key in grads_of(peer)}


def ours(peer, arrays, reduction, **options):
    names = grads_of(peer)
    params = {**peer.params, **peer.ours, **options, "reduction": reduction}
    value, grads = LOSSES[peer.loss].value_and_grad(**arrays, **params, wrt=names)
    return value, dict(zip(names, grads if isinstance(grads, tuple) else (grads,), strict=True))


def grads_of(peer):
    """Arguments that both differentiate; torch refuses none but does not mean some."""
    skip = ("pos_weight",) if "pos_weight" in peer.arguments else ()
    return tuple(key for key in LOSSES[peer.loss].differentiable if key in peer.arguments and key not in skip)


def arrays_of(peer, dtype, shape=(37, 11)):
    rng = np.random.default_rng(len(str(peer)))
    arrays = {key: domain.random(shape, rng) for key, domain in peer.arguments.items()}
    # Away from kinks, where subgradients may differ: at least 1/64 apart, in steps that float32 holds.
    for key, domain in peer.arguments.items():
        if isinstance(domain, Real):
            offset = (2 + list(peer.arguments).index(key)) / 128
            arrays[key] = np.round(arrays[key] * 16) / 16 + offset
    return {key: array.astype(dtype) for key, array in arrays.items()}


@each_peer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients(peer, dtype):
    arrays = arrays_of(peer, dtype)
    scale = 1e-12 if dtype is np.float64 else 64 * np.finfo(np.float32).eps
    for reduction in peer.reductions:
        expected, expected_grads = theirs(peer, arrays, reduction)
        actual, grads = ours(peer, arrays, reduction)
        typical = np.mean(abs(expected))
        assert_close(actual, expected, scale, typical, what=f"value {reduction}")
        for key in grads:
            assert grads[key].dtype == expected_grads[key].dtype
            typical = np.mean(abs(expected_grads[key]))
            assert_close(grads[key], expected_grads[key], scale, typical, what=f"d/d{key} {reduction}")


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.weight], ids=str)
def test_weight(peer):
    arrays, weight = arrays_of(peer, np.float64), np.random.default_rng(1).uniform(0, 3, (37, 11))
    for reduction in peer.reductions:
        expected, expected_grads = theirs(peer, arrays, reduction, weight=weight)
        actual, grads = ours(peer, arrays, reduction, weight=weight)
        assert_close(actual, expected, 1e-12, what=f"value {reduction}")
        for key in grads:
            assert_close(grads[key], expected_grads[key], 1e-12, 1e-3, what=f"d/d{key} {reduction}")


def test_names_and_order_of_arguments():
    """A call written for torch runs unchanged, but for parameters given by position."""
    for peer in PEERS:
        their = inspect.signature(getattr(F, peer.loss)).parameters
        our = inspect.signature(LOSSES[peer.loss])
        for name, parameter in our.parameters.items():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert list(their)[list(our.parameters).index(name)] == name
        for name in {**peer.params, "reduction": None}:
            assert our.parameters[name].default == their[name].default, name


def test_every_elementwise_loss_of_torch_is_here():
    rows = {
        "cosine_embedding_loss", "cross_entropy", "ctc_loss", "linear_cross_entropy", "multi_margin_loss",
        "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
    }  # fmt: skip
    names = {name for name in dir(F) if name.endswith(("_loss", "_entropy", "_with_logits", "_div"))}
    assert names - rows == {peer.loss for peer in PEERS}
    for name in names - rows:
        assert cases_of(name)


def test_torch_tensors_are_read_without_a_copy():
    x = torch.linspace(-1, 1, 100)
    value, grad = LOSSES["mse_loss"].value_and_grad(x, torch.zeros(100), out=x.numpy())
    assert value == pytest.approx(float((torch.linspace(-1, 1, 100) ** 2).mean()), rel=1e-6)
    assert np.shares_memory(grad, x.numpy())
    assert x[0] == -0.02
