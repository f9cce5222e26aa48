"""Laws that hold for any input, on inputs that hypothesis chooses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from battery import (
    FLOATS,
    LOSSES,
    assert_close,
    assert_same_bits,
    bound,
    one_case_per_kernel,
    one_case_per_loss,
    sample,
    value,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

settings.register_profile("fixed", derandomize=True, max_examples=60, deadline=None, database=None)
settings.load_profile("fixed")


def numbers(dtype, **options):
    width = np.dtype(dtype).itemsize * 8
    return st.floats(width=width, allow_nan=False, **options)


def pairs(dtype, **options):
    shape = st.shared(arrays_of.array_shapes(max_dims=3, max_side=9), key="shape")
    one = arrays_of.arrays(dtype, shape, elements=numbers(dtype, **options))
    return st.tuples(one, one)


each_dtype = pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)


def none(name, *arrays, **options):
    return LOSSES[name](*arrays, reduction="none", **options)


@each_dtype
def test_logistic_losses_mirror(dtype):
    @given(pairs(dtype))
    def law(arrays):
        x, t = arrays
        b = (t > 0).astype(dtype)
        y = 2 * b - 1
        mirrored = none("binary_cross_entropy_with_logits", -x, 1 - b)
        assert_same_bits(none("binary_cross_entropy_with_logits", x, b), mirrored)
        assert_close(none("soft_margin_loss", x, y), mirrored, 4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
        assert_close(none("bpr_loss", x, 0.0), none("soft_margin_loss", x, 1.0), 4 * np.finfo(dtype).eps)

    law()


@each_dtype
@pytest.mark.parametrize("name", [
    "mse_loss", "l1_loss", "huber_loss", "pseudo_huber_loss", "log_cosh_loss", "cauchy_loss", "welsch_loss",
    "fair_loss",
])  # fmt: skip
def test_symmetric_losses_are_zero_at_the_target_and_never_negative(name, dtype):
    @given(pairs(dtype, allow_infinity=False))
    def law(arrays):
        x, t = arrays
        assert_same_bits(none(name, x, t), none(name, t, x))
        assert_same_bits(none(name, -x, -t), none(name, x, t))
        assert (none(name, x, t) >= 0).all()
        assert (none(name, x, x) == 0).all()
        grad = LOSSES[name].grad(x, t, reduction="sum")
        mirrored = LOSSES[name].grad(t, x, reduction="sum")
        assert (grad == -mirrored).all()

    law()


@each_dtype
def test_limits_of_families(dtype):
    @given(pairs(dtype, min_value=-1e4, max_value=1e4))
    def law(arrays):
        x, t = arrays
        eps = np.finfo(dtype).eps
        step = 2 * np.finfo(dtype).smallest_subnormal  # half of the smallest subnormal number is no number
        assert_close(none("huber_loss", x, t, delta=math.inf), none("half_squared_error", x, t), 3 * eps, atol=step)
        assert_same_bits(none("smooth_l1_loss", x, t, beta=0.0), none("l1_loss", x, t))
        assert_close(2 * none("quantile_loss", x, t, quantile=0.5), none("l1_loss", x, t), eps, atol=step)
        assert_close(
            2 * none("expectile_loss", x, t, expectile=0.5), none("mse_loss", x, t), 3 * eps, atol=np.finfo(dtype).tiny
        )
        assert_close(
            none("smooth_l1_loss", x, t, beta=0.5), 2 * none("huber_loss", x, t, delta=0.5), 4 * eps, atol=1e-44
        )
        assert_close(none("lp_loss", x, t, p=1.0), none("l1_loss", x, t), 4 * eps, atol=step)
        assert_same_bits(none("epsilon_insensitive_loss", x, t, epsilon=0.0), none("l1_loss", x, t))

    law()


@each_dtype
def test_focal_losses_without_focus_are_the_cross_entropy(dtype):
    @given(pairs(dtype, min_value=-1e4, max_value=1e4))
    def law(arrays):
        x, t = arrays
        t = np.clip(abs(t), 0, 1)
        plain, allowed = none("binary_cross_entropy_with_logits", x, t), 8 * np.finfo(dtype).eps
        tiny = np.finfo(dtype).tiny
        assert_close(none("sigmoid_focal_loss", x, t, alpha=None, gamma=0.0), plain, allowed, atol=tiny)
        assert_close(none("quality_focal_loss", x, t, beta=0.0), plain, allowed, atol=tiny)
        assert_close(none("poly1_bce_loss", x, t, epsilon=0.0), plain, allowed, atol=tiny)
        ones = none("binary_cross_entropy_with_logits", x, t, pos_weight=1.0)
        assert_close(ones, plain, allowed, atol=tiny)

    law()


@one_case_per_kernel
def test_a_batch_is_its_parts(case):
    @settings(max_examples=10)
    @given(st.integers(0, 200), st.integers(0, 2**16))
    def law(cut, salt):
        arrays = sample(case, 200, np.float64, salt)
        parts = [{key: array[part] for key, array in arrays.items()} for part in (np.s_[:cut], np.s_[cut:])]
        total = [value(case, part, reduction="sum") for part in parts]
        assert_close(value(case, arrays, reduction="sum"), sum(total), 1e-15, sum(map(abs, total)))
        together = value(case, arrays, reduction="none")
        assert_same_bits(together, np.concatenate([value(case, part, reduction="none") for part in parts]))

    law()


@one_case_per_loss
def test_order_does_not_matter_but_for_the_last_bit(case):
    @settings(max_examples=5)
    @given(st.randoms(use_true_random=False))
    def law(random):
        arrays = sample(case, 100)
        order = list(range(100))
        random.shuffle(order)
        shuffled = {key: array[order] for key, array in arrays.items()}
        elements = value(case, arrays, reduction="none")
        assert_same_bits(value(case, shuffled, reduction="none"), elements[order])
        largest = math.fsum(abs(elements))
        assert_close(value(case, shuffled, reduction="sum"), value(case, arrays, reduction="sum"), 4e-16, largest)

    law()


CONVEX = (
    "mse_loss", "l1_loss", "huber_loss", "pseudo_huber_loss", "log_cosh_loss", "quantile_loss", "expectile_loss",
    "linex_loss", "binary_cross_entropy_with_logits", "soft_margin_loss", "hinge_loss", "squared_hinge_loss",
    "poisson_nll_loss", "gamma_nll_loss", "smooth_hinge_loss", "modified_huber_loss",
)  # fmt: skip


@pytest.mark.parametrize("name", CONVEX)
def test_convex_losses(name):
    @given(numbers(np.float64, min_value=-20, max_value=20), numbers(np.float64, min_value=-20, max_value=20))
    def law(a, b):
        middle = LOSSES[name]((a + b) / 2, 1.0)
        ends = (LOSSES[name](a, 1.0) + LOSSES[name](b, 1.0)) / 2
        assert middle <= ends + 1e-12 * (1 + abs(ends))
        # Monotone gradients, too.
        grads = LOSSES[name].grad(np.sort([a, b]), 1.0, reduction="sum")
        assert grads[0] <= grads[1] + 1e-12 * max(abs(grads))
        if LOSSES[name].has_hessian:
            assert LOSSES[name].grad_and_hess(np.array([a]), 1.0)[1] >= 0

    law()


@one_case_per_kernel
def test_any_finite_weight(case):
    @settings(max_examples=15)
    @given(arrays_of.arrays(np.float64, 16, elements=st.floats(0, 1e100)))
    def law(weight):
        arrays = sample(case, 16)
        loss = bound(case)
        expected = loss(**arrays, reduction="none") * weight
        # Adding 0 makes the sign of zeros alike: a product may underflow to -0, weight 0 gives 0.
        assert_same_bits(loss(**arrays, reduction="none", sample_weight=weight) + 0.0, expected + 0.0)

    law()
