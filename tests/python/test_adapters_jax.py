"""Losses of JAX arrays: the same numbers under its transformations, and errors that say what is wrong."""

from __future__ import annotations

import inspect
from importlib import import_module

import fusedloss as fl
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy
F = import_module("fusedloss.adapters.jax")

Z = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = np.array([0, 1, 2, 3, 1, 0])
REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


@REDUCTIONS
@pytest.mark.parametrize("wrapped", ["", "jit"])
def test_values_and_gradients_are_the_same(reduction, wrapped):
    def loss(z):
        return F.cross_entropy(z, Y, label_smoothing=0.1, reduction=reduction)

    def weighted(z):
        return (loss(z) * jnp.arange(1.0, 7.0)).sum() if reduction == "none" else 3 * loss(z)

    value, grad = loss, jax.grad(weighted)
    if wrapped:
        value, grad = jax.jit(value), jax.jit(grad)
    options = {"label_smoothing": 0.1, "reduction": reduction}
    np.testing.assert_allclose(value(Z), fl.cross_entropy(Z, Y, **options), rtol=1e-6)
    cotangent = np.arange(1.0, 7.0) if reduction == "none" else 3.0
    np.testing.assert_allclose(grad(Z), fl.cross_entropy.backward(cotangent, Z, Y, **options), rtol=1e-5, atol=1e-8)


def test_only_what_is_differentiated_is_computed(monkeypatch):
    asked = []
    run = fl.Loss.value_and_grad

    def spy(self, *args, wrt=None, **options):
        asked.append(wrt)
        return run(self, *args, wrt=wrt, **options)

    monkeypatch.setattr(fl.Loss, "value_and_grad", spy)
    jax.grad(lambda t: F.huber_loss(Z, t))(Z + 0.5)
    jax.grad(F.huber_loss, argnums=(0, 1))(Z, Z + 0.5)
    assert asked == [("target",), ("input", "target")]


def test_vmap():
    rows = jax.vmap(F.huber_loss)(Z, Z[::-1] * 2)
    np.testing.assert_allclose(rows, [fl.huber_loss(a, b) for a, b in zip(Z, Z[::-1] * 2, strict=True)], rtol=1e-6)


def test_halves():
    half = jnp.asarray(Z).astype(jnp.bfloat16)
    assert F.huber_loss(half, 0.0).dtype == jnp.bfloat16
    assert jax.grad(lambda z: F.huber_loss(z, 0.0))(half).dtype == jnp.bfloat16


def test_compositions():
    grad = jax.jit(jax.grad(lambda fake: F.gan_generator_loss(fake)))(Z)
    np.testing.assert_allclose(grad, fl.gan_generator_loss.grad(Z), rtol=1e-6)
    with pytest.raises(TypeError, match="list of arrays"):
        F.feature_matching_loss([Z, Z], [Z, Z])


def test_every_loss_is_there():
    for loss in fl.losses():
        function = getattr(F, loss.name)
        assert list(inspect.signature(function).parameters) == list(inspect.signature(loss).parameters)
    with pytest.raises(AttributeError, match="no_such_loss"):
        _ = F.no_such_loss


@pytest.mark.filterwarnings("ignore")
def test_errors():
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"target\[3\] = 4 is not in \[0, 4\)"):
        jax.jit(lambda z: F.cross_entropy(z, Y + 1))(Z).block_until_ready()
    with pytest.raises(TypeError, match="weight is differentiated"):
        jax.grad(lambda weight: F.cross_entropy(Z, Y, weight=weight))(jnp.ones(4))
    with pytest.raises(ValueError, match="delta"):
        F.huber_loss(Z, Z, delta=-1.0)
