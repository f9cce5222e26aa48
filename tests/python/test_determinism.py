"""The same bits whatever the threads, the ISA level, the run or the question; and how exact a sum is."""

from __future__ import annotations

import math

import fusedloss as fl
import numpy as np
import pytest
from battery import (
    LOSSES,
    assert_all_same_bits,
    assert_close,
    bound,
    differentiable,
    each_case,
    each_float,
    everything,
    generator,
    one_case_per_kernel,
    sample,
    value,
    value_and_grads,
)
from references import NP, REFERENCES

LEVELS = [name for name, supported in fl.show_config()["isa_levels"].items() if supported]
WITH_FMA = [name for name in LEVELS if name in ("v3", "v4")]


@one_case_per_kernel
@each_float
def test_threads_change_no_bit(case, dtype):
    arrays = sample(case, 70_001, dtype)
    weight = generator(case, 1).random(70_001)
    for options in ({}, {"sample_weight": weight}):
        expected = value_and_grads(case, arrays, reduction="mean", n_threads=1, **options)
        for n in range(2, 9):
            actual = value_and_grads(case, arrays, reduction="mean", n_threads=n, **options)
            assert actual[0] == expected[0], n
            assert_all_same_bits(actual[1], expected[1], f"{n} threads")


@one_case_per_kernel
@each_float
def test_runs_are_alike(case, dtype):
    arrays = sample(case, 20_001, dtype)
    expected = value_and_grads(case, arrays, reduction="mean")
    for _ in range(10):
        actual = value_and_grads(case, arrays, reduction="mean")
        assert actual[0] == expected[0]
        assert_all_same_bits(actual[1], expected[1])


@one_case_per_kernel
@each_float
def test_value_is_the_same_alone_and_beside_the_gradient(case, dtype):
    loss, arrays = bound(case), sample(case, 20_001, dtype)
    for reduction in ("mean", "sum"):
        values = {loss(**arrays, reduction=reduction)}
        for name in differentiable(case):
            values.add(loss.value_and_grad(**arrays, reduction=reduction, wrt=name)[0])
        values.add(loss.value_and_grad(**arrays, reduction=reduction, wrt=differentiable(case))[0])
        assert len(values) == 1
    blocks = loss.partial(**arrays)
    assert blocks.total + blocks.total_low == loss(**arrays, reduction="sum")
    assert (blocks.weight, blocks.size) == (20_001, 20_001)


@each_float
@pytest.mark.parametrize("alpha", [0.25, None])
def test_probabilities_beside_classes_change_no_bit(dtype, alpha):
    """Packs of labels 0 and 1 alone take a shorter way than others."""
    rng = np.random.default_rng(0)
    x, t = (5 * rng.standard_normal(5001)).astype(dtype), rng.random(5001).astype(dtype)
    t = np.where(rng.random(5001) < 0.9, np.rint(t), t)
    loss = fl.sigmoid_focal_loss.bind(alpha=alpha)

    def results(chosen):
        narrow = tuple(np.empty(len(x[chosen]), np.float32) for _ in range(2))
        value, grad = loss.value_and_grad(x[chosen], t[chosen])
        _, hess = loss.grad_and_hess(x[chosen], t[chosen])
        loss.grad_and_hess(x[chosen], t[chosen], out=narrow)
        return {"value": value, "grad": grad, "hess": hess, "narrow grad": narrow[0], "narrow hess": narrow[1]}

    every = results(slice(None))
    for chosen in (t == np.rint(t), slice(3, None)):
        assert_all_same_bits(results(chosen), {name: a[chosen] for name, a in every.items()})


def at_level(level, case, arrays):
    fl.set_isa(level)
    assert fl.get_isa() == level
    return {**everything(case, arrays), "sum": value(case, arrays, reduction="sum")}


@pytest.mark.skipif(len(WITH_FMA) < 2, reason="one level with fused multiply-add is compiled in and supported here")
@each_case
@each_float
def test_levels_with_fma_give_the_same_bits(case, dtype):
    for arrays in (sample(case, 1003, dtype), case.grid(dtype, limit=300), case.special(dtype)):
        expected = at_level(WITH_FMA[0], case, arrays)
        for level in WITH_FMA[1:]:
            assert_all_same_bits(at_level(level, case, arrays), expected, level)


@pytest.mark.skipif(len(LEVELS) < 2 or not WITH_FMA, reason="one level is compiled in and supported here")
@each_case
@each_float
def test_other_levels_give_nearly_the_same(case, dtype):
    arrays = sample(case, 1003, dtype)
    exact = REFERENCES[case.loss](NP, **{key: array.astype(np.float64) for key, array in arrays.items()}, **case.params)
    scales = {"value": exact.value_scale, "hess": exact.hess_scale}
    scales |= {f"d/d{key}": scale for key, scale in exact.grad_scales.items()}
    scales["grad of grad_and_hess"] = exact.grad_scales.get(next(iter(case.arguments)))
    expected = at_level(WITH_FMA[0], case, arrays)
    units = 2 * np.finfo(dtype).eps
    subnormal = np.finfo(dtype).tiny * 2.0**-20  # products of such results have lost their low parts
    for level in set(LEVELS) - set(WITH_FMA):
        actual = at_level(level, case, arrays)
        for key in exact_keys(actual, exact):
            assert_close(actual[key], expected[key], units, scales.get(key), atol=subnormal, what=f"{level} {key}")


def exact_keys(results, exact):
    """What one rounding more or less can move only a little: not a Hessian without a known scale, not a sum."""
    return [key for key in results if key not in ("sum", "hess") or (key == "hess" and exact.hess_scale is not None)]


@pytest.mark.parametrize("level", LEVELS)
def test_environment_chooses_the_level(level, run_python):
    assert run_python("import fusedloss as fl; print(fl.get_isa())", FUSEDLOSS_ISA=level) == level


def test_unknown_level_is_an_error(run_python):
    assert "unknown ISA level 'v9'" in run_python("import fusedloss", FUSEDLOSS_ISA="v9", fails=True)
    with pytest.raises(ValueError, match="unknown ISA level 'v9'"):
        fl.set_isa("v9")


class TestSums:
    def test_mean_of_many_equal_float32_numbers(self):
        x = np.full(20_000_000, 0.1, np.float32)
        exact = float(np.float32(0.1))
        for mean in (
            LOSSES["l1_loss"](x, 0.0),
            LOSSES["l1_loss"](np.broadcast_to(np.float32(0.1), 20_000_000), 0.0),
            LOSSES["l1_loss"](x, 0.0, sample_weight=1.0),
        ):
            assert abs(mean - exact) <= np.spacing(np.float32(0.1)) / 2**20

    @pytest.mark.parametrize("n", [1, 7, 1000, 8192, 8193, 300_001])
    def test_float32_sums(self, n):
        x = (np.exp(8 * np.random.default_rng(n).normal(size=n))).astype(np.float32)
        exact = math.fsum(x.tolist())
        assert abs(LOSSES["l1_loss"](x, 0.0, reduction="sum") - exact) <= 1e-13 * exact

    @pytest.mark.parametrize("n", [1, 7, 1000, 8192, 8193, 300_001])
    @pytest.mark.parametrize("condition", [1, 1e3, 1e6])
    def test_float64_sums(self, n, condition):
        rng = np.random.default_rng(n)
        x = rng.normal(size=n) if condition > 1 else rng.random(n)
        if condition > 1 and n > 1:
            # The last element brings the sum down to 1 / condition of the sum of the magnitudes.
            x[-1] = 0.0
            x[-1] = math.fsum(abs(x)) / condition - math.fsum(x)
        # mean_bias_error is target - input: its sum is a plain sum.
        actual, exact = LOSSES["mean_bias_error"](np.zeros(n), x, reduction="sum"), math.fsum(x)
        assert abs(actual - exact) <= 2 * np.spacing(abs(exact))

    def test_a_sum_that_fits_does_not_overflow_on_the_way(self):
        big = np.full(64, 3e38, np.float32)
        assert LOSSES["l1_loss"](big, 0.0) == float(np.float32(3e38))
        assert LOSSES["l1_loss"](np.full(9, 1e308), 0.0, reduction="sum") == np.inf

    def test_nor_where_the_gradient_takes_the_place_of_the_input(self):
        x = np.full(9, 1.2e154)
        expected, gradient = LOSSES["mse_loss"].value_and_grad(x, 0.0)
        value, grad = LOSSES["mse_loss"].value_and_grad(x, 0.0, out=x)
        assert value == expected < np.inf
        assert (grad == gradient).all()
        assert LOSSES["l1_loss"](np.array([np.inf, 1.0]), 0.0) == np.inf

    def test_more_elements_than_an_int_holds(self):
        """2**31 + 17 elements without memory for them."""
        n = 2**31 + 17
        x = np.broadcast_to(np.float32(0.5), n)
        assert LOSSES["l1_loss"](x, 0.0, reduction="sum") == 0.5 * n
