"""Metric learning: values and gradients against float64 references, and the special cases of batches and angles."""

from __future__ import annotations

import zlib

import fusedloss as fl
import numpy as np
import pytest
from cases_metric import METRIC_CASES

LOSSES = {loss.name: loss for loss in fl.losses()}
each_case = pytest.mark.parametrize("case", METRIC_CASES, ids=str)
one_per_loss = pytest.mark.parametrize("case", {case.loss: case for case in METRIC_CASES[::-1]}.values(), ids=str)
EPSILON = {np.float16: 1e-3, np.float32: 1.2e-7, np.float64: 1e-13}


def generator_of(case, salt=0):
    return np.random.default_rng([zlib.crc32(str(case).encode()), salt])


def numerical(case, arrays, weight, name, step=1e-5):
    """The gradient of the weighted sum of the reference, by differences of the fourth order."""
    frozen = {"at": arrays[case.frozen]} if case.frozen else {}

    def total(x):
        values = case.reference(**{**arrays, name: x}, **case.params, **frozen)[0]
        return (weight * values).sum()

    array = np.asarray(arrays[name], np.float64)
    grad = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        moved = [array.copy() for _ in range(4)]
        for x, steps in zip(moved, (-2, -1, 1, 2), strict=True):
            x[index] += steps * step
        far_below, below, above, far_above = map(total, moved)
        grad[index] = (far_below - 8 * below + 8 * above - far_above) / (12 * step)
    return grad


@each_case
@pytest.mark.parametrize("n", [6, 13])
def test_value_and_gradient(case, n):
    arrays = case.draw(generator_of(case, n), n)
    loss = LOSSES[case.loss].bind(**case.params)
    values, counts = case.reference(**arrays, **case.params)
    given, grads = loss.value_and_grad(**arrays, reduction="none", wrt=case.trains)
    np.testing.assert_allclose(given, values, rtol=1e-9, atol=1e-11)
    grads = grads if isinstance(grads, tuple) else (grads,)
    exact = [numerical(case, arrays, np.ones(len(values)), name) for name in case.trains]
    for grad, expected in zip(grads, exact, strict=True):
        np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(expected).max()))

    total, of_total = loss.value_and_grad(**arrays, reduction="sum", wrt=case.trains)
    assert total == pytest.approx(values.sum(), rel=1e-9)
    mean, of_mean = loss.value_and_grad(**arrays, reduction="mean", wrt=case.trains)
    divisor = counts.sum()
    assert mean == pytest.approx(values.sum() / divisor, rel=1e-9)
    for a, b in zip(np.atleast_1d(np.array(of_total, object)), np.atleast_1d(np.array(of_mean, object)), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), divisor * np.asarray(b, float), rtol=1e-9, atol=1e-12)
