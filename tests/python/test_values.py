"""The value of every loss: against the reference, and what reductions, weights, labels and broadcasting do to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from battery import (
    FLOATS,
    LOSSES,
    assert_all_same_bits,
    assert_close,
    assert_same_bits,
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
from cases import Count, OneOf
from references import NP, REFERENCES

EPS32 = float(np.finfo(np.float32).eps)


@each_case
def test_equals_the_reference(case):
    arrays = sample(case, 2000)
    exact = REFERENCES[case.loss](NP, **arrays, **case.params)
    least = 1e-15 * np.max(abs(exact.value))
    assert_close(elements(case, arrays), exact.value, 1e-12, exact.value_scale, least, "value")


@each_case
def test_float32_equals_the_reference(case):
    arrays = sample(case, 2000, np.float32)
    exact = REFERENCES[case.loss](NP, **{k: v.astype(np.float64) for k, v in arrays.items()}, **case.params)
    actual = elements(case, arrays)
    assert actual.dtype == np.float32
    least = max(1e-15 * np.max(abs(exact.value)), np.finfo(np.float32).tiny)
    assert_close(actual, exact.value, 2 * EPS32, exact.value_scale, least, "value")


class TestReductions:
    @each_case
    @each_float
    def test_sum_and_mean(self, case, dtype):
        arrays = sample(case, 1003, dtype)
        values = elements(case, arrays).astype(np.float64)
        total, mean = value(case, arrays, reduction="sum"), value(case, arrays, reduction="mean")
        assert type(total) is type(mean) is float
        # Where float32 losses are computed in double, each element of "none" is rounded and the sum is not.
        assert abs(total - math.fsum(values)) <= np.finfo(dtype).eps * math.fsum(abs(values))
        assert mean == total / 1003

    @one_case_per_loss
    def test_default_is_the_documented_one(self, case):
        arrays = sample(case, 50)
        default = LOSSES[case.loss].__signature__.parameters["reduction"].default
        assert_same_bits(value(case, arrays), value(case, arrays, reduction=default))

    def test_batchmean_divides_by_rows(self):
        losses = [loss for loss in LOSSES.values() if '"batchmean"' in loss.__doc__]
        assert "kl_div" in {loss.name for loss in losses}
        for loss in losses:
            x = np.full((4, 3), -1.0)
            assert loss(x, 0.25, reduction="batchmean") == loss(x, 0.25, reduction="sum") / 4
            grad = loss.grad(x, 0.25, reduction="batchmean")
            assert_close(grad, loss.grad(x, 0.25, reduction="sum") / 4, 3e-16)

    @one_case_per_loss
    @pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
    def test_nothing(self, case, shape):
        arrays = {key: np.empty(shape) for key in case.arguments}
        assert elements(case, arrays).shape == shape
        assert value(case, arrays, reduction="sum") == 0.0
        assert math.isnan(value(case, arrays, reduction="mean"))
        assert math.isnan(value(case, arrays, reduction="mean", sample_weight=np.empty(shape)))
        for reduction in ("none", "mean", "sum"):
            for grad in value_and_grads(case, arrays, reduction=reduction)[1].values():
                assert grad.shape == shape

    @one_case_per_loss
    def test_scalars(self, case):
        arrays = sample(case, 1)
        numbers = {key: float(array[0]) for key, array in arrays.items()}
        expected = elements(case, arrays)[0]
        for reduction in ("mean", "sum"):
            assert value(case, numbers, reduction=reduction) == expected
        zero_dimensional = {key: np.asarray(number) for key, number in numbers.items()}
        for same in (numbers, zero_dimensional):
            result = elements(case, same)
            assert result.shape == ()
            assert result == expected
            for key, grad in value_and_grads(case, same)[1].items():
                assert grad.shape == (), key


class TestSampleWeight:
    @one_case_per_kernel
    @each_float
    def test_is_the_repetition_of_rows(self, case, dtype):
        arrays = sample(case, 301, dtype)
        counts = generator(case, 1).integers(0, 4, 301)
        repeated = {key: np.repeat(array, counts) for key, array in arrays.items()}
        for reduction in ("mean", "sum"):
            expected = value(case, repeated, reduction=reduction)
            magnitude = np.mean(abs(elements(case, repeated)), dtype=np.float64)
            magnitude *= counts.sum() if reduction == "sum" else 1
            for weight in (counts, counts.astype(dtype), counts.astype(np.uint8)):
                actual = value(case, arrays, reduction=reduction, sample_weight=weight)
                assert_close(actual, expected, 2 * np.finfo(dtype).eps, magnitude, what=reduction)

    @one_case_per_kernel
    def test_mean_divides_by_its_sum(self, case):
        arrays, weight = sample(case, 301), generator(case, 1).uniform(0, 3, 301)
        total = value(case, arrays, reduction="sum", sample_weight=weight)
        mean = value(case, arrays, reduction="mean", sample_weight=weight)
        values = elements(case, arrays)
        assert_close(total, math.fsum(values * weight), 1e-15, math.fsum(abs(values * weight)))
        assert_close(mean, total / math.fsum(weight), 3e-16)
        summed = grads_of(case, arrays, sample_weight=weight)
        for key, grad in grads_of(case, arrays, sample_weight=weight, reduction="mean").items():
            assert_close(grad, summed[key] / math.fsum(weight), 1e-15, what=key)

    @one_case_per_kernel
    @each_float
    def test_multiplies_elements_and_gradients(self, case, dtype):
        arrays, weight = sample(case, 301, dtype), generator(case, 1).uniform(0, 3, 301).astype(dtype)
        plain, weighted = everything(case, arrays), everything(case, arrays, sample_weight=weight)
        for key in plain:
            assert_close(weighted[key], plain[key] * weight, np.finfo(dtype).eps, what=key)

    @one_case_per_kernel
    @each_float
    def test_ones_change_no_bit(self, case, dtype):
        arrays = sample(case, 301, dtype)
        expected = everything(case, arrays)
        for one in (1, 1.0, np.ones(301), np.ones(301, np.int8), np.ones(301, bool)):
            assert_all_same_bits(everything(case, arrays, sample_weight=one), expected)

    @one_case_per_kernel
    @each_float
    def test_zero_excludes_whatever_the_element_holds(self, case, dtype):
        arrays = sample(case, 301, dtype)
        mask = generator(case, 1).random(301) < 0.5
        spoiled = {key: np.where(mask, array, dtype(np.nan)) for key, array in arrays.items()}
        kept = {key: array[mask] for key, array in arrays.items()}
        for weight in (mask, mask.astype(dtype), mask.astype(np.int32), mask.view(np.uint8)):
            for reduction in ("mean", "sum"):
                actual = value(case, spoiled, reduction=reduction, sample_weight=weight)
                assert_close(actual, value(case, kept, reduction=reduction), 1e-14)
            for key, result in everything(case, spoiled, sample_weight=weight).items():
                assert (result[~mask] == 0).all(), key
                assert not np.signbit(result[~mask]).any(), key
                assert_same_bits(result[mask], everything(case, kept)[key], key)

    @one_case_per_loss
    def test_of_zero_sum_leaves_a_mean_of_nothing(self, case):
        arrays = sample(case, 20)
        assert math.isnan(value(case, arrays, reduction="mean", sample_weight=np.zeros(20)))
        assert value(case, arrays, reduction="sum", sample_weight=np.zeros(20)) == 0.0
        for key, grad in grads_of(case, arrays, sample_weight=np.zeros(20), reduction="mean").items():
            assert (grad == 0).all(), key

    @one_case_per_loss
    def test_broadcasts(self, case):
        arrays = sample(case, (7, 5))
        for shape in ((5,), (7, 1), (1, 5), (1, 1)):
            weight = generator(case, 1).uniform(0.5, 2, shape)
            expected = everything(case, arrays, sample_weight=np.broadcast_to(weight, (7, 5)).copy())
            assert_all_same_bits(everything(case, arrays, sample_weight=weight), expected, str(shape))


LABEL_DTYPES = (bool, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)


@one_case_per_kernel
@each_float
def test_integer_labels_give_the_bits_of_float_labels(case, dtype):
    labels = [key for key, domain in case.arguments.items() if isinstance(domain, (OneOf, Count))]
    for key in labels or list(case.arguments)[1:]:
        arrays = sample(case, 301, dtype)
        if key not in labels:
            arrays[key] = np.ones(301, dtype)
        wrt = tuple(name for name in differentiable(case) if name != key)
        expected = everything(case, arrays, wrt=wrt)
        for label_dtype in LABEL_DTYPES:
            recast = arrays[key].astype(label_dtype, casting="unsafe") if arrays[key].min() >= 0 else None
            if np.issubdtype(label_dtype, np.signedinteger):
                recast = arrays[key].astype(label_dtype)
            if recast is None or (recast.astype(dtype) != arrays[key]).any():
                continue
            actual = everything(case, {**arrays, key: recast}, wrt=wrt)
            assert_all_same_bits(actual, expected, f"{key} as {np.dtype(label_dtype).name}")


class TestBroadcasting:
    @one_case_per_kernel
    @each_float
    def test_of_every_argument_but_the_first(self, case, dtype):
        full = sample(case, (6, 35), dtype)
        for key in list(case.arguments)[1:]:
            for part in (np.s_[0, 0], np.s_[0], np.s_[:, :1], np.s_[:1], np.s_[:1, :1]):
                small = full[key][part].copy()
                arrays = {**full, key: small}
                spread = {**full, key: np.broadcast_to(small, (6, 35)).copy()}
                wrt = tuple(name for name in differentiable(case) if name != key)
                if wrt:
                    what = f"{key} {small.shape}"
                    assert_all_same_bits(everything(case, arrays, wrt=wrt), everything(case, spread, wrt=wrt), what)

    @one_case_per_kernel
    @each_float
    def test_gradient_is_summed(self, case, dtype):
        full = sample(case, (6, 35), dtype)
        weight = generator(case, 1).uniform(0.5, 2, (6, 35)).astype(dtype)
        for key in differentiable(case):
            if key == next(iter(case.arguments)):
                continue
            for part, axes in ((np.s_[0, 0], (0, 1)), (np.s_[0], (0,)), (np.s_[:, :1], (1,)), (np.s_[:1, :1], (0, 1))):
                small = full[key][part].copy()
                spread = {**full, key: np.broadcast_to(small, (6, 35)).copy()}
                for options in ({}, {"sample_weight": weight}, {"reduction": "mean"}):
                    each = grads_of(case, spread, wrt=(key,), **options)[key].astype(np.float64)
                    actual = grads_of(case, {**full, key: small}, wrt=(key,), **options)[key]
                    assert actual.dtype == dtype
                    assert actual.shape == small.shape
                    summed, magnitude = (m.sum(axis=axes).reshape(small.shape) for m in (each, abs(each)))
                    # Each element of `each` was rounded; the kernel sums unrounded ones.
                    assert_close(actual, summed, 2 * np.finfo(dtype).eps, magnitude, what=f"{key} {small.shape}")

    @one_case_per_kernel
    def test_python_number_keeps_the_precision(self, case):
        arrays = sample(case, 40, np.float32)
        for key in list(case.arguments)[1:]:
            number = float(arrays[key][0])
            wrt = tuple(name for name in differentiable(case) if name != key)
            if not wrt:
                continue
            expected = everything(case, {**arrays, key: np.full(40, number, np.float32)}, wrt=wrt)
            assert_all_same_bits(everything(case, {**arrays, key: number}, wrt=wrt), expected, key)


class TestNonFinite:
    @each_case
    @each_float
    def test_nan_in_any_argument_poisons_everything_there(self, case, dtype):
        arrays = sample(case, 37, dtype)
        clean = everything(case, arrays)
        for key in case.arguments:
            for sign in (1, -1):
                spoiled = {**arrays, key: arrays[key].copy()}
                spoiled[key][[0, 5, 36]] = np.copysign(dtype(np.nan), dtype(sign))
                results = everything(case, spoiled)
                results.pop("hess", None)  # a Hessian that is constant stays what it is; the gradient beside it tells
                for name, result in results.items():
                    assert np.isnan(result[[0, 5, 36]]).all(), f"{name} for NaN in {key}"
                    others = np.delete(np.arange(37), [0, 5, 36])
                    assert_same_bits(result[others], clean[name][others], f"{name} beside NaN in {key}")
                for reduction in ("mean", "sum"):
                    assert math.isnan(value(case, spoiled, reduction=reduction)), key


class TestKinds:
    @one_case_per_loss
    def test_integer_and_bool_predictions_become_float64(self, case):
        arrays = {key: np.ones(9) for key in case.arguments}
        expected = everything(case, arrays)
        for kind in (bool, np.int8, np.int64, np.uint16):
            first = next(iter(case.arguments))
            actual = everything(case, {**arrays, first: np.ones(9, kind)})
            assert_all_same_bits(actual, expected, np.dtype(kind).name)

    @one_case_per_loss
    @pytest.mark.parametrize(
        "kinds", [(a, b) for a in FLOATS for b in FLOATS], ids=lambda kinds: "-".join(np.dtype(k).name for k in kinds)
    )
    def test_each_gradient_has_the_dtype_of_its_argument(self, case, kinds):
        arrays = sample(case, 9, np.float32)
        first, *rest = case.arguments
        arrays = {first: arrays[first].astype(kinds[0]), **{key: arrays[key].astype(kinds[1]) for key in rest}}
        values, grads = value_and_grads(case, arrays, reduction="none")
        assert values.dtype == np.result_type(*kinds)
        for key, grad in grads.items():
            assert grad.dtype == arrays[key].dtype, key
            wide = {name: array.astype(np.float64) for name, array in arrays.items()}
            assert_close(grad, grads_of(case, wide)[key], 3 * EPS32, 1e-3, what=key)

    @one_case_per_loss
    def test_anything_numpy_reads(self, case):
        class Column:
            def __init__(self, array):
                self.array = array

            def __array__(self, dtype=None, copy=None):
                return self.array

        class Capsule:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **options):
                return self.array.__dlpack__(**options)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        arrays = sample(case, 9)
        expected = everything(case, arrays)
        for wrap in (np.ndarray.tolist, lambda a: tuple(a.tolist()), Column, Capsule, memoryview):
            assert_all_same_bits(everything(case, {k: wrap(a) for k, a in arrays.items()}), expected)
