"""Matrix products of the similarity driver, and its bits: they depend on nothing but the numbers."""

from __future__ import annotations

import fusedloss as fl
import numpy as np
import pytest


@pytest.fixture
def generator():
    return np.random.default_rng(7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), [(5, 3), (130, 20), (700, 300)])
def test_in_batch_cross_entropy_is_that_of_the_scores(generator, dtype, n, d):
    query, positive = (generator.normal(size=(n, d)).astype(dtype) for _ in range(2))
    value, grads = fl.info_nce_loss.value_and_grad(query, positive, temperature=7.0, normalize=False)
    a, b = query.astype(np.float64), positive.astype(np.float64)
    exact, inner = fl.cross_entropy.value_and_grad(a @ b.T / 7.0, np.arange(n))
    epsilon = float(np.finfo(dtype).eps)
    assert value == pytest.approx(exact, rel=4 * epsilon)
    for given, expected in zip(grads, (inner @ b / 7.0, inner.T @ a / 7.0), strict=True):
        assert given.dtype == dtype
        np.testing.assert_allclose(given, expected, rtol=0, atol=100 * epsilon * np.abs(expected).max())


def test_bits_do_not_depend_on_threads(generator):
    query, positive = (generator.normal(size=(1500, 70)).astype(np.float32) for _ in range(2))
    first, grads = fl.info_nce_loss.value_and_grad(query, positive, n_threads=1)
    for threads in (2, 3, 8):
        value, others = fl.info_nce_loss.value_and_grad(query, positive, n_threads=threads)
        assert value == first
        assert all(np.array_equal(a, b) for a, b in zip(grads, others, strict=True))
