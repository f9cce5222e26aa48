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


@one_per_loss
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_numbers(case, dtype):
    """Computed in float32 from the rounded arrays."""
    arrays = case.draw(generator_of(case, 1), 12)
    narrow = {key: array if array.dtype.kind in "iu" else array.astype(dtype) for key, array in arrays.items()}
    wide = {key: array.astype(np.float64) if array.dtype == dtype else array for key, array in narrow.items()}
    loss = LOSSES[case.loss].bind(**case.params)
    value, grads = loss.value_and_grad(**narrow, wrt=case.trains)
    exact, exact_grads = loss.value_and_grad(**wide, wrt=case.trains)
    assert value == pytest.approx(exact, rel=3e-5)
    largest = max(np.abs(grad).max() for grad in tuples(exact_grads))
    for grad, expected in zip(tuples(grads), tuples(exact_grads), strict=True):
        assert grad.dtype == dtype
        np.testing.assert_allclose(grad, expected, rtol=0, atol=largest * (2e-3 if dtype == np.float16 else 2e-4))


def tuples(grads):
    return grads if isinstance(grads, tuple) else (grads,)


@one_per_loss
def test_bits_do_not_depend_on_threads_or_layout(case):
    arrays = case.draw(generator_of(case, 2), 40)
    loss = LOSSES[case.loss].bind(**case.params)
    value, grads = loss.value_and_grad(**arrays, wrt=case.trains, n_threads=1)
    strided = {k: np.repeat(a[..., None], 2, -1)[..., 0] if a.ndim else a for k, a in arrays.items()}
    for given, threads in ((arrays, 3), (strided, 1)):
        again, others = loss.value_and_grad(**given, wrt=case.trains, n_threads=threads)
        assert again == value
        assert all(np.array_equal(a, b) for a, b in zip(tuples(grads), tuples(others), strict=True))


@one_per_loss
def test_weights_and_cotangents(case):
    arrays = case.draw(generator_of(case, 3), 10)
    loss = LOSSES[case.loss].bind(**case.params)
    rows = len(loss(**arrays, reduction="none"))
    weight = np.random.default_rng(5).uniform(0.5, 2, rows)
    expected = [numerical(case, arrays, weight, name) for name in case.trains]
    weighted = loss.grad(**arrays, sample_weight=weight, reduction="sum", wrt=case.trains)
    pulled = loss.backward(weight, **arrays, reduction="none", wrt=case.trains)
    for grads in (weighted, pulled):
        for grad, exact in zip(tuples(grads), expected, strict=True):
            np.testing.assert_allclose(grad, exact, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(exact).max()))


HEADS = [case.loss for case in METRIC_CASES if case.trains == ("input", "weight")]
HEADS = sorted(set(HEADS) - {"sub_center_arcface_loss", "soft_triple_loss"})


class TestAngles:
    weight = np.eye(3)

    @pytest.mark.parametrize("name", HEADS)
    @pytest.mark.parametrize("sign", [1, -1])
    def test_gradients_are_finite_where_vectors_are_parallel(self, name, sign):
        value, grads = getattr(fl, name).value_and_grad(sign * np.eye(3), self.weight, np.arange(3))
        assert np.isfinite(value)
        assert all(np.isfinite(grad).all() for grad in grads)

    @pytest.mark.parametrize("name", HEADS)
    @pytest.mark.parametrize("size", [0.0, 1e-20, 1e20])
    def test_gradients_are_finite_at_any_length(self, name, size):
        x = size * np.random.default_rng(0).normal(size=(4, 3))
        value, (of_x, of_weight) = getattr(fl, name).value_and_grad(x, self.weight, [0, 1, 2, 0])
        assert np.isfinite(value)
        assert np.isfinite(of_x).all()
        assert np.isfinite(of_weight).all()

    @pytest.mark.parametrize("name", HEADS)
    def test_ignored_rows_may_hold_anything(self, name):
        x = np.random.default_rng(0).normal(size=(4, 3))
        target = [0, -100, 2, -100]
        loss = getattr(fl, name)
        some, (of_x, of_weight) = loss.value_and_grad(x[::2], self.weight, target[::2])
        x[1] = np.nan
        value, (of_all, of_same) = loss.value_and_grad(x, self.weight, target)
        assert value == pytest.approx(some, rel=1e-12)
        np.testing.assert_allclose(of_all[::2], of_x, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(of_same, of_weight, rtol=1e-9, atol=1e-12)
        assert not of_all[1::2].any()

    def test_degrees(self):
        x = np.random.default_rng(0).normal(size=(4, 3))
        radians = fl.arcface_loss(x, self.weight, [0, 1, 2, 0], margin=np.pi / 6)
        assert fl.arcface_loss(x, self.weight, [0, 1, 2, 0], margin=30.0, degrees=True) == radians

    def test_ignored_rows_count_for_nothing(self):
        x = np.random.default_rng(0).normal(size=(4, 3))
        some = fl.arcface_loss(x, self.weight, [0, -100, 2, -100])
        assert some == pytest.approx(fl.arcface_loss(x[::2], self.weight, [0, 2]), rel=1e-12)

    def test_labels_are_checked(self):
        with pytest.raises(IndexError, match=r"target\[1\] = 3 is not in \[0, 3\)"):
            fl.arcface_loss(np.ones((2, 3)), self.weight, [0, 3])

    @pytest.mark.parametrize("wrong", [3, -1])
    def test_labels_of_proxies_are_checked(self, wrong):
        out = np.full((2, 3), 5.0)
        with pytest.raises(IndexError, match=rf"proxy_anchor_loss: target\[1\] = {wrong} is not in \[0, 3\)"):
            fl.proxy_anchor_loss.grad(np.ones((2, 3)), self.weight, [0, wrong], wrt="input", out=out)
        assert (out == 5.0).all()
        with pytest.raises(TypeError, match="proxy_anchor_loss: target has dtype float64; expected class indices"):
            fl.proxy_anchor_loss(np.ones((2, 3)), self.weight, np.array([0.0, 1.0]))


BATCHES = [case for case in METRIC_CASES if case.trains == ("input",)]


@pytest.mark.parametrize("case", {case.loss: case for case in BATCHES}.values(), ids=str)
class TestBatches:
    def run(self, case, x, target):
        return LOSSES[case.loss].bind(**case.params).value_and_grad(x, target, reduction="sum")

    def test_one_class(self, case):
        value, grad = self.run(case, np.random.default_rng(1).normal(size=(6, 4)), np.zeros(6, int))
        assert np.isfinite(value)
        assert np.isfinite(grad).all()

    def test_no_positives(self, case):
        value, grad = self.run(case, np.random.default_rng(1).normal(size=(6, 4)), np.arange(6))
        assert np.isfinite(value)
        assert np.isfinite(grad).all()

    def test_duplicates(self, case):
        x = np.repeat(np.random.default_rng(1).normal(size=(3, 4)), 3, axis=0)
        value, grad = self.run(case, x, np.arange(9) // 3)
        assert np.isfinite(value)
        assert np.isfinite(grad).all()

    def test_not_a_number(self, case):
        x = np.random.default_rng(1).normal(size=(6, 4))
        x[2, 1] = np.nan
        value, grad = self.run(case, x, np.arange(6) % 2)
        assert np.isnan(value)
        assert np.isnan(grad).any()


def test_utterances_need_company():
    with pytest.raises(ValueError, match="at least 2"):
        fl.ge2e_loss(np.ones((3, 1, 4)), 10.0, -5.0)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("variant", ["O", "Iu", "Ib", "Ds", "Dq"])
def test_ranks_near_nothing(variant, temperature):
    """One negative, opposite to the anchor and its positive."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")
    x = np.array([[2.0, 0.0], [3.0, 0.0], [-1.0, 0.0]])
    with mpmath.workdps(60):
        r = 1 / (1 + mpmath.exp(mpmath.mpf(2) / temperature))
        costs = {
            "O": r,
            "Iu": (1 + r) * mpmath.log(1 + r),
            "Ib": (2 * r - mpmath.log(1 + 2 * r)) / 4,
            "Ds": mpmath.log(1 + r),
            "Dq": 1 - 1 / (1 + r),
        }
        exact = float(costs[variant])
    given = fl.pnp_loss(x, [0, 0, 1], variant=variant, temperature=temperature, reduction="none")
    assert given[0] == pytest.approx(exact, rel=1e-14)
    assert given[2] == 0.0
