"""Gradients and Hessians over class scores: against the reference, and the ways to ask for them.

The references are held to numerical differentiation here, so that they stand on their own.
"""

from __future__ import annotations

import numpy as np
import pytest
from battery import assert_close, assert_same_bits, each_float
from battery_rows import (
    ROW_LOSSES,
    differentiable,
    each_row_case,
    each_row_loss,
    everything,
    generator,
    grads_of,
    has_hessian,
    one_case_per_row_kernel,
    one_case_per_row_loss,
    reference,
    run_of,
    sample,
    value,
    value_and_grads,
)
from references_rows import check_row_derivatives

CLASSES = (1, 2, 3, 10, 64, 65, 200)


@each_row_case
def test_reference_is_the_derivative(case):
    options = {key: param for key, param in case.options(3).items() if key not in ("hessian", "ignore_index")}
    check_row_derivatives(case.loss, sample(case, 1, 3), options, hessian="hessian" not in case.params)


@each_row_case
@each_float
def test_gradients_equal_the_reference(case, dtype):
    rtol = 1e-11 if dtype is np.float64 else 2 * np.finfo(np.float32).eps
    for classes in CLASSES:
        arrays = sample(case, 37, classes, dtype)
        exact = reference(case, arrays)
        for key, grad in grads_of(case, arrays).items():
            assert grad.dtype == dtype
            scale = exact.grad_scales.get(key, abs(exact.grads[key]))
            assert_close(grad, exact.grads[key], rtol, scale, 1e-15 * np.max(scale), f"{key} of {classes} classes")


@each_row_case
@each_float
def test_hessian_equals_the_reference(case, dtype):
    if not has_hessian(case):
        pytest.skip("no Hessian")
    rtol = 1e-11 if dtype is np.float64 else 4 * np.finfo(np.float32).eps
    for classes in (1, 2, 10, 64, 70):
        arrays = sample(case, 37, classes, dtype)
        exact = reference(case, arrays)
        grad, hess = run_of(case, classes).grad_and_hess(**arrays, axis=-1)
        alone = grads_of(case, arrays)[case.first]
        assert_close(grad, alone, 2 * np.finfo(dtype).eps, exact.grad_scales.get(case.first))
        scale = abs(exact.hess) if exact.hess_scale is None else exact.hess_scale
        assert_close(hess, exact.hess, rtol, scale, 1e-14 * np.max(abs(exact.hess)), f"hess of {classes} classes")


@each_row_loss
def test_losses_without_a_hessian_say_so(loss):
    if not loss.has_hessian:
        with pytest.raises(TypeError, match="has no Hessian"):
            loss.grad_and_hess(np.zeros((1, 2)), np.zeros(1, int))


class TestWrt:
    @one_case_per_row_loss
    def test_default_is_what_the_field_trains(self, case):
        loss, arrays = run_of(case, 4), sample(case, 10, 4)
        assert set(loss.trains) <= set(loss.differentiable)
        default, named = loss.grad(**arrays), loss.grad(**arrays, wrt=loss.trains)
        assert isinstance(default, tuple) == (len(loss.trains) > 1)
        assert_same_bits(default, named)

    @one_case_per_row_kernel
    @each_float
    def test_grad_and_value_and_grad_and_value_agree_bitwise(self, case, dtype):
        for classes in (1, 5, 64, 70, 200):
            arrays, loss, wrt = sample(case, 103, classes, dtype), run_of(case, classes), differentiable(case)
            for reduction in ("none", "mean", "sum"):
                both, grads = loss.value_and_grad(**arrays, reduction=reduction, wrt=wrt)
                assert_same_bits(loss(**arrays, reduction=reduction), both, reduction)
                assert_same_bits(loss.grad(**arrays, reduction=reduction, wrt=wrt), grads, reduction)

    @one_case_per_row_kernel
    @each_float
    def test_gradient_of_the_mean(self, case, dtype):
        arrays = sample(case, 103, 5, dtype)
        total, mean = value(case, arrays, reduction="sum"), value(case, arrays, reduction="mean")
        summed = grads_of(case, arrays)
        for key, grad in grads_of(case, arrays, reduction="mean").items():
            exact = summed[key].astype(np.float64) * (mean / total if total else 0)
            assert_close(grad, exact, 2 * np.finfo(dtype).eps, what=key)
        for key, grad in grads_of(case, arrays, reduction="none").items():
            assert_same_bits(grad, summed[key], key)


class TestBackward:
    @one_case_per_row_kernel
    @each_float
    def test_scalar_cotangent(self, case, dtype):
        arrays, loss, wrt = sample(case, 30, 5, dtype), run_of(case, 5), differentiable(case)
        for reduction in ("mean", "sum", "none"):
            expected = value_and_grads(case, arrays, reduction=reduction)[1]
            for cotangent in (2.0, np.float32(2), -0.5):
                grads = loss.backward(cotangent, **arrays, reduction=reduction, wrt=wrt)
                for key, grad in zip(wrt, grads if isinstance(grads, tuple) else (grads,), strict=True):
                    assert_close(grad, float(cotangent) * expected[key], np.finfo(dtype).eps, what=key)

    @one_case_per_row_kernel
    @each_float
    def test_array_cotangent(self, case, dtype):
        for classes in (5, 70):
            arrays, loss, wrt = sample(case, 30, classes, dtype), run_of(case, classes), differentiable(case)
            expected, cotangent = grads_of(case, arrays), generator(case, 1).normal(size=30).astype(dtype)
            grads = loss.backward(cotangent, **arrays, reduction="none", wrt=wrt)
            for key, grad in zip(wrt, grads if isinstance(grads, tuple) else (grads,), strict=True):
                assert_close(grad, cotangent[:, None] * expected[key], 2 * np.finfo(dtype).eps, what=key)

    @one_case_per_row_loss
    def test_array_cotangent_of_a_reduced_loss_is_refused(self, case):
        for reduction in ("mean", "sum"):
            with pytest.raises(ValueError, match="grad_output"):
                run_of(case).backward(np.ones(5), **sample(case, 5, 3), reduction=reduction)


@one_case_per_row_loss
def test_inputs_are_never_written(case):
    arrays = sample(case, 20, 5)
    copies = {key: array.copy() for key, array in arrays.items()}
    everything(case, arrays, sample_weight=np.ones(20))
    value(case, arrays)
    for key, copy in copies.items():
        assert_same_bits(arrays[key], copy, key)


def test_modes_of_the_hessian_are_named():
    for name in ("cross_entropy", "softmax_focal_loss"):
        if name in ROW_LOSSES:
            with pytest.raises(ValueError, match=f"{name}: hessian must be one of 'exact'"):
                ROW_LOSSES[name].grad_and_hess(np.zeros((1, 2)), np.array([0]), hessian="newton")
