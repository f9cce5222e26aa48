"""Gradients and Hessians: against the reference, against differences of values, and the ways to ask for them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from battery import (
    LOSSES,
    assert_all_same_bits,
    assert_close,
    assert_same_bits,
    bound,
    differentiable,
    each_case,
    each_float,
    elements,
    everything,
    generator,
    grads_of,
    one_case_per_kernel,
    one_case_per_loss,
    sample,
    value,
    value_and_grads,
)
from cases import Case, Count, LogProbability, OneOf, Positive, Unit
from references import NP, REFERENCES

EPS32 = float(np.finfo(np.float32).eps)


@each_case
def test_gradients_equal_the_reference(case):
    arrays = sample(case, 2000)
    exact = REFERENCES[case.loss](NP, **arrays, **case.params)
    for key, grad in grads_of(case, arrays).items():
        least = 1e-15 * np.max(abs(exact.grads[key]))
        assert_close(grad, exact.grads[key], 1e-11, exact.grad_scales.get(key), least, key)


@each_case
def test_float32_gradients_equal_the_reference(case):
    arrays = sample(case, 2000, np.float32)
    exact = REFERENCES[case.loss](NP, **{k: v.astype(np.float64) for k, v in arrays.items()}, **case.params)
    for key, grad in grads_of(case, arrays).items():
        assert grad.dtype == np.float32
        least = max(1e-15 * np.max(abs(exact.grads[key])), np.finfo(np.float32).tiny)
        assert_close(grad, exact.grads[key], 2 * EPS32, exact.grad_scales.get(key), least, key)


@each_case
def test_hessian_equals_the_reference(case):
    if not bound(case).has_hessian:
        with pytest.raises(TypeError, match="has no Hessian"):
            LOSSES[case.loss].grad_and_hess(**sample(case, 3), **case.params)
        return
    arrays = sample(case, 2000)
    exact = REFERENCES[case.loss](NP, **arrays, **case.params)
    first = next(iter(case.arguments))
    grad, hess = LOSSES[case.loss].grad_and_hess(**arrays, **case.params)
    assert_same_bits(grad, grads_of(case, arrays)[first])
    if exact.hess is not None:
        assert_close(hess, exact.hess, 1e-11, exact.hess_scale, 1e-13 * np.max(abs(exact.hess)), "hess")


def steps(case: Case, key: str, x: np.ndarray) -> np.ndarray | None:
    """Differences that stay inside the domain and short of the kinks; None where an argument is a mere label."""
    domain = case.arguments[key]
    if isinstance(domain, OneOf):
        return None if domain.labels == (0.0, 1.0) else np.full_like(x, 1e-4)
    if isinstance(domain, Count):
        return np.where(x > 0, 1e-4, np.nan)
    room = np.ones_like(x)
    if isinstance(domain, (Positive, LogProbability)):
        room = np.minimum(1, abs(x))
    if isinstance(domain, Unit):
        room = np.minimum(x, 1 - x)
    return np.where(room > 1e-3, 1e-4 * room, np.nan)


def difference(f, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The central difference of fourth order and a bound of its rounding error."""
    near_up, near_down, far_up, far_down = (f(x + k * h) for k in (1, -1, 2, -2))
    size = np.max(np.abs([near_up, near_down, far_up, far_down]), axis=0) + abs(x)
    return (8 * (near_up - near_down) - (far_up - far_down)) / (12 * h), 2e-15 * size / h


def slope_of(f, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A derivative and how far to trust it: half the step must give the same."""
    slope, rounding = difference(f, x, h)
    finer, finer_rounding = difference(f, x, h / 2)
    return finer, rounding + finer_rounding + abs(slope - finer)


@each_case
def test_gradients_are_the_differences_of_values(case):
    arrays = sample(case, 400)
    exact = REFERENCES[case.loss](NP, **arrays, **case.params)
    tested = 0
    for key, grad in grads_of(case, arrays).items():
        h = steps(case, key, arrays[key])
        if h is None or key in case.detached:
            continue
        slope, uncertainty = slope_of(lambda x, key=key: elements(case, {**arrays, key: x}), arrays[key], h)
        inside = np.isfinite(h)
        size = np.maximum(np.max(abs(grad)), exact.grad_scales.get(key, 0))
        allowed = uncertainty + 1e-7 * size * np.ones_like(h)
        assert_close(grad[inside], slope[inside], 0, atol=allowed[inside], what=key)
        tested += inside.sum()
    assert tested or case.detached


@each_case
def test_hessian_is_the_difference_of_gradients(case):
    first = next(iter(case.arguments))
    if not bound(case).has_hessian or first in case.detached:
        pytest.skip("no Hessian")
    arrays = sample(case, 400)
    hess = LOSSES[case.loss].grad_and_hess(**arrays, **case.params)[1]
    h = steps(case, first, arrays[first])
    slope, uncertainty = slope_of(lambda x: grads_of(case, {**arrays, first: x})[first], arrays[first], h)
    inside = np.isfinite(h)
    allowed = uncertainty + 1e-7 * np.max(abs(hess))
    assert_close(hess[inside], slope[inside], 0, atol=allowed[inside], what="hess")


class TestAsking:
    @one_case_per_kernel
    @each_float
    def test_any_subset_of_arguments_gives_the_same_bits(self, case, dtype):
        arrays, names = sample(case, 100, dtype), differentiable(case)
        everything_at_once = grads_of(case, arrays)
        for count in range(1, len(names) + 1):
            for wrt in itertools.combinations(names, count):
                assert_all_same_bits(grads_of(case, arrays, wrt=wrt), {k: everything_at_once[k] for k in wrt})

    @one_case_per_loss
    def test_one_name_gives_an_array_and_several_a_tuple_in_argument_order(self, case):
        loss, arrays, names = LOSSES[case.loss], sample(case, 10), differentiable(case)
        for name in names:
            assert isinstance(loss.grad(**arrays, **case.params, wrt=name), np.ndarray)
        if len(names) > 1:
            expected = loss.grad(**arrays, **case.params, wrt=names)
            backwards = loss.grad(**arrays, **case.params, wrt=names[::-1])
            for a, b in zip(expected, backwards, strict=True):
                assert_same_bits(a, b)

    @one_case_per_loss
    def test_default_is_what_the_field_trains(self, case):
        loss, arrays = bound(case), sample(case, 10)
        assert set(loss.trains) <= set(loss.differentiable)
        default, named = loss.grad(**arrays), loss.grad(**arrays, wrt=loss.trains)
        assert isinstance(default, tuple) == (len(loss.trains) > 1)
        for a, b in zip(np.atleast_2d(default), np.atleast_2d(named), strict=True):
            assert_same_bits(a, b)

    @one_case_per_kernel
    @each_float
    def test_grad_and_value_and_grad_and_value_agree_bitwise(self, case, dtype):
        arrays, loss, wrt = sample(case, 1003, dtype), bound(case), differentiable(case)
        for reduction in ("none", "mean", "sum"):
            both, grads = loss.value_and_grad(**arrays, reduction=reduction, wrt=wrt)
            assert_same_bits(loss(**arrays, reduction=reduction), both, reduction)
            alone = loss.grad(**arrays, reduction=reduction, wrt=wrt)
            for a, b in zip(np.atleast_2d(alone), np.atleast_2d(grads), strict=True):
                assert_same_bits(a, b, reduction)

    @one_case_per_kernel
    @each_float
    def test_gradient_of_the_mean(self, case, dtype):
        arrays = sample(case, 1003, dtype)
        summed = grads_of(case, arrays)
        for key, grad in grads_of(case, arrays, reduction="mean").items():
            assert_close(grad, summed[key].astype(np.float64) / 1003, np.finfo(dtype).eps, what=key)
        for key, grad in grads_of(case, arrays, reduction="none").items():
            assert_same_bits(grad, summed[key], key)


class TestBackward:
    @one_case_per_kernel
    @each_float
    def test_scalar_cotangent(self, case, dtype):
        arrays, loss, wrt = sample(case, 100, dtype), bound(case), differentiable(case)
        for reduction in ("mean", "sum", "none"):
            expected = value_and_grads(case, arrays, reduction=reduction)[1]
            for cotangent in (2.0, 2, np.float32(2), np.asarray(2.0), -0.5):
                grads = loss.backward(cotangent, **arrays, reduction=reduction, wrt=wrt)
                for key, grad in zip(wrt, np.atleast_2d(grads), strict=True):
                    assert_close(grad, float(cotangent) * expected[key], np.finfo(dtype).eps, what=key)

    @one_case_per_kernel
    @each_float
    def test_array_cotangent(self, case, dtype):
        arrays, loss, wrt = sample(case, (4, 25), dtype), bound(case), differentiable(case)
        expected = grads_of(case, arrays)
        for shape in ((4, 25), (25,), (4, 1)):
            cotangent = generator(case, 1).normal(size=shape).astype(dtype)
            grads = loss.backward(cotangent, **arrays, reduction="none", wrt=wrt)
            for key, grad in zip(wrt, grads if isinstance(grads, tuple) else (grads,), strict=True):
                assert_close(grad, cotangent * expected[key], np.finfo(dtype).eps, what=key)

    @one_case_per_loss
    def test_array_cotangent_of_a_reduced_loss_is_refused(self, case):
        for reduction in ("mean", "sum"):
            with pytest.raises(ValueError, match="grad_output"):
                bound(case).backward(np.ones(5), **sample(case, 5), reduction=reduction)

    @one_case_per_loss
    def test_cotangent_and_sample_weight_multiply(self, case):
        arrays, (weight, cotangent) = sample(case, 40), generator(case, 1).uniform(0.5, 2, (2, 40))
        expected = bound(case).grad(**arrays, reduction="none", sample_weight=weight * cotangent)
        actual = bound(case).backward(cotangent, **arrays, reduction="none", sample_weight=weight)
        for a, b in zip(np.atleast_2d(actual), np.atleast_2d(expected), strict=True):
            assert_close(a, b, 1e-15)


class TestGradAndHess:
    @one_case_per_kernel
    def test_defaults_to_the_sum(self, case):
        if not bound(case).has_hessian:
            pytest.skip("no Hessian")
        arrays = sample(case, 64)
        grad, hess = bound(case).grad_and_hess(**arrays)
        mean_grad, mean_hess = bound(case).grad_and_hess(**arrays, reduction="mean")
        assert_close(mean_grad, grad / 64, 0)
        assert_close(mean_hess, hess / 64, 0)

    @one_case_per_kernel
    def test_weights(self, case):
        if not bound(case).has_hessian:
            pytest.skip("no Hessian")
        arrays, weight = sample(case, 64), generator(case, 1).uniform(0, 2, 64)
        plain = bound(case).grad_and_hess(**arrays)
        for actual, expected in zip(bound(case).grad_and_hess(**arrays, sample_weight=weight), plain, strict=True):
            assert_close(actual, weight * expected, 3e-16)


@one_case_per_loss
def test_inputs_are_never_written(case):
    arrays = sample(case, 100)
    copies = {key: array.copy() for key, array in arrays.items()}
    everything(case, arrays, sample_weight=np.ones(100))
    value(case, arrays)
    assert_all_same_bits(arrays, copies)
