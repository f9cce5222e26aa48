"""Heads whose margins go with lengths or with the training, against PyTorch code of their papers' formulas."""

from __future__ import annotations

import math

import fusedloss as fl
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

N, D, C = 64, 16, 40


def arrays():
    generator = np.random.default_rng(7)
    x = generator.normal(size=(N, D)) * generator.uniform(0.5, 30.0, (N, 1))
    return x, generator.normal(size=(C, D)), generator.integers(0, C, N)


def entropy(cosine, own, target, scale):
    at_label = torch.nn.functional.one_hot(target, C).bool()
    return torch.nn.functional.cross_entropy(scale * torch.where(at_label, own[:, None], cosine), target)


def directions(x, weight):
    return torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(weight).T


def adaface(x, weight, target, state):
    """`state`: mean and deviation of norms, which nothing flows through."""
    norms = x.norm(dim=1).clamp(0.001, 100).detach()
    mean, std = (0.1 * a + 0.9 * b for a, b in zip((norms.mean(), norms.std()), state, strict=True))
    q = (0.333 * (norms - mean) / (std + 1e-3)).clamp(-1, 1)
    cosine = directions(x, weight)
    theta = cosine.gather(1, target[:, None])[:, 0].acos()
    own = (theta - 0.4 * q).clamp(0, math.pi).cos() - (0.4 + 0.4 * q)
    return entropy(cosine, own, target, 64.0), (mean, std)


def magface(x, weight, target, easy):
    a = x.norm(dim=1).clamp(10, 110)
    m = (0.8 - 0.45) / (110 - 10) * (a - 10) + 0.45
    cosine = directions(x, weight)
    c = cosine.gather(1, target[:, None])[:, 0]
    turned = c * m.cos() - (1 - c * c).sqrt() * m.sin()
    own = torch.where(c > 0, turned, c) if easy else torch.where(c > -m.cos(), turned, c - m * m.sin())
    return entropy(cosine, own, target, 64.0) + 35.0 * (a / 110**2 + 1 / a).mean()


def curricularface(x, weight, target, t):
    cosine = directions(x, weight)
    c = cosine.gather(1, target[:, None])[:, 0]
    turned = c * math.cos(0.5) - (1 - c * c).sqrt() * math.sin(0.5)
    own = torch.where(c > math.cos(math.pi - 0.5), turned, c - math.sin(math.pi - 0.5) * 0.5)
    t = (0.1 * c.mean() + 0.9 * t).detach()
    modulated = torch.where(cosine > turned[:, None], cosine * (t + cosine), cosine)
    return entropy(modulated, own, target, 64.0), t


def compare(theirs, given, ours, x, weight, target, **params):
    of_theirs = torch.autograd.grad(theirs, given)
    value, grads = ours.value_and_grad(x, weight, target, **params)
    assert value == pytest.approx(theirs.item(), rel=1e-12)
    for grad, expected in zip(grads, of_theirs, strict=True):
        largest = expected.abs().max().item()
        np.testing.assert_allclose(grad, expected.numpy(), rtol=0, atol=1e-11 * largest)


def tensors(*arrays):
    return [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]


def test_adaface():
    x, weight, target = arrays()
    given = tensors(x, weight, target)
    loss, state = adaface(*given, (20.0, 100.0))
    mean, std = fl.updated_norms(x, 20.0, 100.0, rate=0.1)
    assert (mean, std) == pytest.approx([s.item() for s in state], rel=1e-13)
    compare(loss, given[:2], fl.adaface_loss, x, weight, target, norm_mean=mean, norm_std=std)
    loss, state = adaface(*given, (15.0, 3.0))
    mean, std = fl.updated_norms(x, 15.0, 3.0, rate=0.1)
    compare(loss, given[:2], fl.adaface_loss, x, weight, target, norm_mean=mean, norm_std=std)


@pytest.mark.parametrize("easy", [True, False])
def test_magface(easy):
    x, weight, target = arrays()
    given = tensors(x, weight, target)
    compare(magface(*given, easy), given[:2], fl.magface_loss, x, weight, target, easy_margin=easy)


def test_curricularface():
    x, weight, target = arrays()
    given = tensors(x, weight, target)
    loss, state = curricularface(*given, 0.375)
    t = fl.updated_curriculum(x, weight, target, 0.375, rate=0.1)
    assert t == pytest.approx(state.item(), rel=1e-13)
    compare(loss, given[:2], fl.curricularface_loss, x, weight, target, curriculum=t)


class TestStates:
    def test_of_batches_that_say_nothing(self):
        nothing = np.empty((0, D))
        assert fl.updated_norms(nothing, 3.0, 2.0) == (3.0, 2.0)
        assert fl.updated_norms(np.ones((1, 4)), 3.0, 5.0, rate=0.5) == (2.5, 5.0)
        assert fl.updated_curriculum(nothing, np.ones((C, D)), np.empty(0, int), 0.25) == 0.25
        assert fl.updated_curriculum(np.ones((1, D)), np.ones((C, D)), [-100], 0.25) == 0.25

    def test_out_of_range(self):
        with pytest.raises(ValueError, match="rate must be in"):
            fl.updated_norms(np.ones((2, 3)), 3.0, 2.0, rate=1.5)
        with pytest.raises(ValueError, match="lower_norm must be below upper_norm"):
            fl.magface_loss(*arrays(), lower_norm=5.0, upper_norm=5.0)
        with pytest.raises(ValueError, match="norm_std must not be negative"):
            fl.adaface_loss(*arrays(), norm_std=-1.0)
