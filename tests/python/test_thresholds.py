"""The cumulative link loss, whose thresholds belong to all elements: values, gradients, and what it refuses."""

from __future__ import annotations

import pickle

import fusedloss as fl
import numpy as np
import pytest
from battery import FLOATS, HALVES, assert_close, assert_same_bits, each_float
from references import NP, REFERENCES

LOSS = fl.cumulative_link_loss
SHAPES = ((), (7,), (3, 5), (0,), (4, 0))


def sample(shape, classes=4, dtype=np.float64):
    rng = np.random.default_rng(classes)
    thresholds = np.sort(rng.uniform(-3, 3, classes - 1))
    return {
        "input": rng.normal(0, 2, shape).astype(dtype),
        "thresholds": thresholds.astype(dtype),
        "target": rng.integers(0, classes, shape),
    }


def same(actual, expected):
    for ours, theirs in zip(actual, expected, strict=True):
        assert_same_bits(ours, theirs)


def expected(input, thresholds, target):
    """Value and gradients, unreduced: those of each element in its two thresholds, gathered by class."""
    wide = np.concatenate([[-np.inf], thresholds, [np.inf]], dtype=np.float64)
    with np.errstate(all="ignore"):
        around = {"lower": wide[target], "upper": wide[target + 1]}
        exact = REFERENCES["logistic_interval_loss"](NP, input=np.asarray(input, np.float64), **around)
    total = np.zeros(len(wide))
    np.add.at(total, target, exact.grads["lower"])
    np.add.at(total, target + 1, exact.grads["upper"])
    return exact.value, exact.grads["input"], total[1:-1]


class TestNumbers:
    @each_float
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("classes", [1, 2, 4, 30])
    def test_values_and_gradients(self, dtype, shape, classes):
        arrays = sample(shape, classes, dtype)
        values, own, between = expected(**arrays)
        units = 1e-12 if dtype is np.float64 else 4 * np.finfo(dtype).eps
        actual, grads = LOSS.value_and_grad(**arrays, reduction="none")
        assert_close(actual, values, units)
        assert_close(grads[0], own, units, 1.0)
        assert_close(grads[1], between, units, max(1, np.size(own)))
        assert [grad.dtype for grad in grads] == [dtype, dtype]
        if np.size(own):
            assert LOSS(**arrays) == pytest.approx(np.mean(values), rel=1e-6)
            assert_close(LOSS.grad(**arrays)[1], between / np.size(own), units, 1.0)
        grad, hess = LOSS.grad_and_hess(**arrays)
        assert_same_bits(grad, grads[0])
        assert (hess >= 0).all()

    def test_gradients_are_derivatives(self):
        arrays, step = sample((40,)), 1e-6
        grads = LOSS.grad(**arrays, reduction="sum")
        for name, grad in zip(("input", "thresholds"), grads, strict=True):
            for k in range(len(arrays[name])):
                moved = [arrays[name] + sign * step * (np.arange(len(arrays[name])) == k) for sign in (1, -1)]
                ends = [LOSS(**{**arrays, name: x}, reduction="sum") for x in moved]
                assert grad[k] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-8)

    def test_weights(self):
        arrays = sample((40,))
        mask = np.arange(40) % 3 > 0
        spoiled = {**arrays, "input": np.where(mask, arrays["input"], np.nan)}
        kept = {key: x if key == "thresholds" else x[mask] for key, x in arrays.items()}
        assert LOSS(**spoiled, sample_weight=mask) == pytest.approx(LOSS(**kept), rel=1e-14)
        for ours, theirs in zip(LOSS.grad(**spoiled, sample_weight=mask), LOSS.grad(**kept), strict=True):
            assert_close(ours[mask] if ours.size == 40 else ours, theirs, 1e-14, 1.0)
        pulled = LOSS.backward(np.arange(40.0), **arrays, reduction="none", wrt="thresholds")
        assert_close(pulled, LOSS.grad(**arrays, sample_weight=np.arange(40.0), reduction="sum")[1], 1e-14, 40.0)

    @pytest.mark.parametrize("name", ["input", "thresholds"])
    def test_nan(self, name):
        arrays = sample((40,))
        arrays["target"][0] = 1
        arrays[name][0] = np.nan
        values, grads = LOSS.value_and_grad(**arrays, reduction="none")
        assert np.isnan(values[0])
        assert np.isnan(grads[0][0])
        assert np.isnan(grads[1][0])
        assert np.isfinite(values[arrays["target"] > 1][1:]).all()


class TestAsking:
    @pytest.mark.parametrize("dtype", [*FLOATS, *HALVES], ids=lambda dtype: np.dtype(dtype).name)
    def test_out(self, dtype):
        arrays = sample((40,), dtype=dtype)
        for wrt in ("input", "thresholds", ("input", "thresholds")):
            grads = LOSS.grad(**arrays, wrt=wrt)
            grads = grads if isinstance(grads, tuple) else (grads,)
            out = tuple(np.empty_like(grad) for grad in grads)
            written = LOSS.grad(**arrays, wrt=wrt, out=out)
            for given, back, fresh in zip(out, written if len(out) > 1 else (written,), grads, strict=True):
                assert back is given
                assert_same_bits(given, fresh)
        own = arrays["input"].copy()
        fresh = LOSS.grad(**arrays, wrt="input")
        assert_same_bits(LOSS.grad(own, arrays["thresholds"], arrays["target"], wrt="input", out=own), fresh)

    @each_float
    def test_layout_threads_and_broadcasting(self, dtype):
        arrays = sample((60, 90), dtype=dtype)
        value, grads = LOSS.value_and_grad(**arrays)
        for threads in (1, 2, 3):
            again, others = LOSS.value_and_grad(**arrays, n_threads=threads)
            assert again == value
            same(others, grads)
        laid = {k: np.asfortranarray(x).astype(x.dtype.newbyteorder()) for k, x in arrays.items()}
        again, others = LOSS.value_and_grad(**laid)
        assert again == value
        same(others, grads)
        one = {**arrays, "target": arrays["target"][0]}
        full = {**arrays, "target": np.broadcast_to(arrays["target"][0], (60, 90))}
        assert LOSS(**one) == LOSS(**full)
        assert_close(LOSS.grad(**one)[1], LOSS.grad(**full)[1], 8 * np.finfo(dtype).eps, 1.0)

    def test_other_types(self):
        arrays = {**sample((40,)), "thresholds": np.array([-1, 0, 2])}
        expected = LOSS.value_and_grad(**{**arrays, "thresholds": np.array([-1.0, 0.0, 2.0])})
        for thresholds in (arrays["thresholds"], [-1, 0, 2]):
            for target in (arrays["target"].astype(np.uint8), arrays["target"].tolist()):
                value, grads = LOSS.value_and_grad(arrays["input"], thresholds, target)
                assert value == expected[0]
                same(grads, expected[1])
        copied = pickle.loads(pickle.dumps(LOSS.bind(reduction="sum")))
        assert copied(**arrays) == LOSS(**arrays, reduction="sum")
        assert fl.Evaluation(LOSS).update(*arrays.values()).value == pytest.approx(expected[0])


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"thresholds": np.array([1.0, 1.0, 2.0])}, ValueError, "thresholds must ascend"),
            ({"thresholds": np.zeros((1, 3))}, ValueError, "thresholds has shape"),
            ({"thresholds": np.array(["a", "b", "c"])}, TypeError, "thresholds"),
            ({"thresholds": np.array([1j, 2j, 3j])}, TypeError, "thresholds"),
            ({"thresholds": None}, TypeError, "thresholds"),
            ({"target": np.full(40, 4)}, IndexError, r"target\[0\] = 4 is not in \[0, 4\)"),
            ({"target": np.full(40, -1)}, IndexError, r"target\[0\] = -1"),
            ({"target": np.zeros(40)}, TypeError, "target has dtype float64"),
            ({"target": np.zeros(39, int)}, ValueError, ""),
            ({"input": np.zeros(40, complex)}, TypeError, "input"),
            ({"sample_weight": np.full(40, -1.0)}, ValueError, "sample_weight"),
        ],
    )
    def test_is_refused_and_nothing_is_written(self, change, error, says):
        arrays = {**sample((40,)), **change}
        out = np.full(40, 777.0), np.full(3, 777.0)
        with pytest.raises(error, match=f"^cumulative_link_loss: .*{says}"):
            LOSS.value_and_grad(**arrays, out=out)
        assert (out[0] == 777).all()
        assert (out[1] == 777).all()

    def test_out(self):
        arrays, good = sample((40,)), np.full(40, 777.0)
        for own, error in (
            (np.zeros(3, np.float32), TypeError),
            (np.zeros(4), ValueError),
            ([0.0] * 3, TypeError),
            (good[:3], ValueError),
        ):
            with pytest.raises(error, match=r"^cumulative_link_loss: out"):
                LOSS.grad(**arrays, out=(good, own))
        for wrong in ((good,), (good, None, None), good):
            with pytest.raises(ValueError, match=r"^cumulative_link_loss: out"):
                LOSS.grad(**arrays, out=wrong)
        assert (good == 777).all()
