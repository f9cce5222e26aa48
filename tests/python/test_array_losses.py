"""Losses of boxes and losses composed of others keep the promises of every loss."""

from __future__ import annotations

import copy
import pickle

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from battery import assert_close, assert_same_bits
from battery_arrays import (
    CASES,
    LOSSES,
    by_name,
    differentiable,
    each_array,
    each_case,
    everything,
    flat,
    one_case_per_loss,
    outs_like,
    reductions,
    reference,
    run_of,
    sample,
    slopes_of,
    terms_of,
    weights_of,
)
from cases_batch import IN_PRODUCTS
from fusedloss import _core

FLOATS = (np.float32, np.float64)
STORED = (np.float16, ml_dtypes.bfloat16, np.float32)
LISTED = {case.loss for case in CASES if any(isinstance(x, list) for x in sample(case).values())}
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)
each_stored = pytest.mark.parametrize("dtype", STORED, ids=lambda dtype: np.dtype(dtype).name)


def assert_all_same(actual, expected, what=""):
    assert actual.keys() == expected.keys()
    for key in expected:
        for one, other in zip(flat(actual[key]), flat(expected[key]), strict=True):
            assert_same_bits(one, other, f"{what} {key}")


def options_of(case, arrays, dtype=np.float64):
    """Every way to reduce, without weights and with them."""
    weight = weights_of(case, arrays, dtype)
    for reduction in reductions(case):
        yield {"reduction": reduction}
        if weight is not None:
            yield {"reduction": reduction, "sample_weight": weight}


def test_every_loss_has_cases():
    assert {case.loss for case in CASES} == set(LOSSES)


class TestNumbers:
    @each_case
    def test_values(self, case):
        arrays = sample(case, 40)
        for options in options_of(case, arrays):
            exact = reference(case, arrays, options["reduction"], options.get("sample_weight"))
            found = run_of(case)(**arrays, **options)
            assert_close(found, exact, 1e-12, scale=1.0)
            assert isinstance(found, np.ndarray if options["reduction"] == "none" else float)

    @each_case
    def test_gradients(self, case):
        arrays = sample(case, 6)
        for options in options_of(case, arrays):
            exact = slopes_of(case, arrays, options["reduction"], options.get("sample_weight"))
            found = everything(case, arrays, **options)
            assert_close(found.pop("value"), run_of(case)(**arrays, **options), 1e-15)
            for name, grads in found.items():
                for grad, slope in zip(grads, exact[name], strict=True):
                    assert_close(grad, slope, 1e-7, scale=1.0, what=f"{name} {options}")

    @each_case
    def test_backward(self, case):
        arrays, loss, names = sample(case, 7), run_of(case), differentiable(case)
        for options in options_of(case, arrays):
            once = everything(case, arrays, **options)
            twice = by_name(names, loss.backward(-2.5, **arrays, wrt=names, **options))
            for name in names:
                for one, other in zip(twice[name], once[name], strict=True):
                    assert_close(one, -2.5 * other, 1e-14, scale=1.0)
        if "none" in reductions(case):
            weight = weights_of(case, arrays)
            pulled = by_name(names, loss.backward(weight, **arrays, reduction="none", wrt=names))
            kept = by_name(names, loss.backward(-weight, **arrays, reduction="none", wrt=names))
            if not case.loss.startswith("relativistic"):  # whose averages take the weights, but no cotangent
                weighted = everything(case, arrays, reduction="sum", sample_weight=weight)
                for name in names:
                    for one, other in zip(pulled[name], weighted[name], strict=True):
                        assert_close(one, other, 1e-14, scale=1e-3)
            for name in names:
                for one, other in zip(pulled[name], kept[name], strict=True):
                    assert_close(one, -other, 1e-15)

    @each_case
    @each_stored
    def test_smaller_types_are_rounded(self, case, dtype):
        arrays = sample(case, 50, dtype)
        wide = each_array(arrays, lambda a: a.astype(np.float64))
        eps, tiny = float(ml_dtypes.finfo(dtype).eps), float(ml_dtypes.finfo(dtype).smallest_subnormal)
        for options in options_of(case, wide, np.float32):
            found, exact = everything(case, arrays, **options), everything(case, wide, **options)
            if options["reduction"] == "none":
                assert found["value"].dtype == dtype
                assert_close(found["value"], exact["value"], 2 * eps, atol=2e-6 + tiny)
            else:
                assert found["value"] == pytest.approx(exact["value"], rel=1e-6, abs=2e-6)
            for name in differentiable(case):
                for grad, slope in zip(found[name], exact[name], strict=True):
                    assert grad.dtype == dtype
                    rounding = 1e-6 if case.loss in IN_PRODUCTS else 3e-7
                    assert_close(grad, slope, eps, atol=rounding * abs(slope).max() + tiny, what=name)

    @each_case
    def test_integers(self, case):
        arrays = each_array(sample(case), lambda a: np.rint(3 * a).astype(np.int16))
        expected = everything(case, each_array(arrays, lambda a: a.astype(np.float64)))
        assert_all_same(everything(case, arrays), expected)
        if case.loss not in LISTED:  # where a list is one of arrays
            assert_all_same(everything(case, each_array(arrays, lambda a: a.tolist())), expected)

    @each_case
    def test_nan_in_nan_out(self, case):
        for name in differentiable(case):
            arrays = sample(case)
            flat(arrays[name])[0].reshape(-1)[0] = np.nan
            found = everything(case, arrays)
            assert np.isnan(found["value"]), name
            assert np.isnan(flat(found[name])[0]).any(), name

    @each_case
    def test_weight_0_excludes_whatever_it_weighs(self, case):
        arrays = sample(case)
        weight = weights_of(case, arrays)
        if weight is None:
            pytest.skip("is one number of a whole batch")
        expected = everything(case, arrays, sample_weight=weight)
        out = np.broadcast_to((weight == 0.0).reshape(weight.shape + (1,) * 9), weight.shape + (1,) * 9)
        for bad in (np.nan, np.inf):
            spoiled = each_array(
                arrays,
                lambda a: np.where(out.reshape(out.shape[: a.ndim]) if out.ndim >= a.ndim else out, bad, a),  # noqa: B023
            )
            assert_all_same(everything(case, spoiled, sample_weight=weight), expected)

    @each_case
    @pytest.mark.parametrize("size", [1e-9, 1e-3, 30.0, 3e3])
    def test_ends_of_the_range(self, case, size):
        if case.params.get("from_logits") is False and size > 1:
            pytest.skip("probabilities end at 1")
        arrays = each_array(sample(case, 20), lambda a: size * a)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            terms = terms_of(case, arrays)
        if not all(np.isfinite(term).all() for term in terms):
            pytest.skip("the exact value is not finite")
        found = everything(case, arrays)
        assert found["value"] == pytest.approx(reference(case, arrays, run_of(case)._chosen_reduction), rel=1e-11)
        assert all(np.isfinite(grad).all() for name in differentiable(case) for grad in found[name])

    @each_case
    def test_nothing(self, case):
        arrays, loss = each_array(sample(case), lambda a: a[:0]), run_of(case)
        if "none" not in loss._reductions:
            pytest.skip("is one number of a whole batch")
        for reduction in reductions(case):
            found = everything(case, arrays, reduction=reduction)
            expected = {"none": np.empty(0), "sum": 0.0}.get(reduction, np.nan)
            np.testing.assert_array_equal(np.ravel(found["value"]), np.ravel(expected))
            for name in differentiable(case):
                assert [grad.shape for grad in found[name]] == [a.shape for a in flat(arrays[name])]
        none = np.zeros(len(flat(next(iter(sample(case).values())))[0])).reshape(
            -1, *[1] * (terms_of(case, sample(case))[0].ndim - 1)
        )
        found = everything(case, sample(case), reduction="mean", sample_weight=none)
        assert np.isnan(found["value"])
        assert not any(grad.any() for name in differentiable(case) for grad in found[name])


def spread(array):
    big = np.full([3 * n for n in array.shape], 7, array.dtype)
    view = big[tuple(slice(1, None, 3) for _ in array.shape)]
    view[...] = array
    return view


def backwards(array):
    turned = tuple(slice(None, None, -1) for _ in array.shape)
    return np.ascontiguousarray(array[turned])[turned]


def unaligned(array):
    return np.frombuffer(b"?" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "spread": spread,
    "backwards": backwards,
    "unaligned and read-only": unaligned,
    "swapped bytes": lambda array: array.astype(array.dtype.newbyteorder()),
    "subclass": lambda array: array.view(np.recarray),
}


class TestBits:
    @each_case
    @pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
    def test_do_not_depend_on_the_layout(self, case, dtype):
        arrays = sample(case, 70, dtype)
        for options in options_of(case, arrays, dtype):
            expected = everything(case, arrays, **options)
            for name, lay in LAYOUTS.items():
                moved = {key: lay(x) if key == "sample_weight" else x for key, x in options.items()}
                assert_all_same(everything(case, each_array(arrays, lay), **moved), expected, name)

    @each_case
    @each_float
    def test_do_not_depend_on_threads_or_instruction_set(self, case, dtype):
        arrays, results = sample(case, 6011, dtype), []
        weight = weights_of(case, arrays, dtype)
        for level, supported in _core.isa_levels().items():
            if supported and level != "v1":  # without fused multiply-add
                fl.set_isa(level)
                results += [
                    everything(case, arrays, n_threads=n, **({} if weight is None else {"sample_weight": weight}))
                    for n in (1, 2, 5)
                ]
        for other in results[1:]:
            assert_all_same(other, results[0])

    @each_case
    def test_do_not_depend_on_what_else_is_wanted(self, case):
        arrays, loss = sample(case, 33), run_of(case)
        for options in options_of(case, arrays):
            expected = everything(case, arrays, **options)
            assert_same_bits(loss(**arrays, **options), expected["value"])
            for name in differentiable(case):
                alone = by_name((name,), loss.grad(**arrays, wrt=name, **options))
                assert_all_same(alone, {name: expected[name]})
            trained = by_name(loss.trains, loss.grad(**arrays, **options))
            assert_all_same(trained, {name: expected[name] for name in loss.trains})

    @one_case_per_loss
    def test_of_bound_pickled_and_copied_losses(self, case):
        arrays, loss = sample(case), run_of(case)
        for same in (pickle.loads(pickle.dumps(loss)), copy.copy(loss), copy.deepcopy(loss), loss.bind()):
            assert same == loss
            assert hash(same) == hash(loss)
            assert same(**arrays) == loss(**arrays) == LOSSES[case.loss](**arrays, **case.params)


class TestOut:
    @each_case
    @pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, *FLOATS])
    def test_is_what_comes_back(self, case, dtype):
        arrays = sample(case, 31, dtype)
        for options in options_of(case, arrays, np.float32):
            expected = everything(case, arrays, **options)
            for lay in (np.copy, spread, np.asfortranarray, backwards):
                outs = outs_like(case, arrays, lambda a: lay(np.full(a.shape, 7, a.dtype)))  # noqa: B023
                found = everything(case, arrays, out=outs, **options)
                assert all(a is b for a, b in zip(flat(outs), _grads_of(case, found), strict=True))
                assert_all_same(found, expected)

    @each_case
    def test_may_be_the_arguments_themselves(self, case):
        original = sample(case, 300)
        for options in options_of(case, original):
            expected, arrays = everything(case, original, **options), each_array(original, np.copy)
            if options["reduction"] != "none":
                found = everything(case, arrays, out=outs_like(case, arrays, lambda a: a), **options)
                assert_all_same(found, expected)
                assert all(
                    a is b
                    for name in differentiable(case)
                    for a, b in zip(found[name], flat(arrays[name]), strict=True)
                )

    @one_case_per_loss
    def test_may_overlap_arguments(self, case):
        name = differentiable(case)[0]
        original = sample(case, 40)
        if isinstance(original[name], list):
            pytest.skip("is a list of arrays")
        size, shape = original[name].size, original[name].shape
        buffer = np.zeros(size + 3)
        buffer[3:] = original[name].ravel()
        expected = run_of(case).grad(**original, wrt=name)
        run_of(case).grad(**{**original, name: buffer[3:].reshape(shape)}, wrt=name, out=buffer[:size].reshape(shape))
        assert_same_bits(buffer[:size].reshape(shape).copy(), expected)

    @one_case_per_loss
    def test_of_another_kind_is_refused_by_name(self, case):
        arrays = sample(case)
        name = differentiable(case)[0]
        like = flat(arrays[name])[0]
        read_only = np.zeros_like(like)
        read_only.flags.writeable = False
        wrongs = (
            (np.zeros((*like.shape, 2)), ValueError),
            (np.zeros_like(like, np.float32), TypeError),
            (np.zeros_like(like).astype(like.dtype.newbyteorder()), TypeError),
            (like.tolist(), TypeError),
            (read_only, ValueError),
        )
        for wrong, error in wrongs:
            out = (wrong, *flat(arrays[name])[1:]) if isinstance(arrays[name], list) else wrong
            with pytest.raises(error, match=f"^{case.loss}: out"):
                run_of(case).grad(**arrays, wrt=name, out=out)
        with pytest.raises(ValueError, match=f"^{case.loss}: out has 7 arrays, expected {len(flat(arrays[name]))}"):
            run_of(case).grad(**arrays, wrt=name, out=(like,) * 7)


def _grads_of(case, found):
    return [grad for name in differentiable(case) for grad in found[name]]


class Elsewhere:
    """An array that says it lies on another device."""

    device = "cuda:1"

    def __dlpack_device__(self):
        return 2, 1


NOT_ARRAYS = {
    "None": (None, "None"),
    "object": (np.full(4, 1.0, object), "object"),
    "text": (np.full(4, "1.0"), "U3"),
    "complex": (np.full(4, 1j), "complex128"),
    "longdouble": (np.ones(4, np.longdouble), np.dtype(np.longdouble).name),
    "dates": (np.full(4, "2020-01-01", "M8[D]"), "datetime64"),
    "masked": (np.ma.masked_array(np.ones(4), np.arange(4) % 2), "masked"),
    "dict": ({"a": 1.0}, "dict"),
    "device": (Elsewhere(), "cuda:1"),
}


class TestBadInput:
    def refused(self, case, arrays, error, *says, **options):
        good, loss = sample(case), run_of(case)
        outs = outs_like(case, good, lambda a: np.full(a.shape, 7.0))
        for call in (
            lambda: loss(**arrays, **options),
            lambda: loss.value_and_grad(**arrays, **options, wrt=differentiable(case), out=outs),
        ):
            with pytest.raises(error) as info:
                call()
            assert all(text in str(info.value) for text in (case.loss, *says)), str(info.value)
        assert all((out == 7.0).all() for out in flat(outs))

    @one_case_per_loss
    @pytest.mark.parametrize("mistake", NOT_ARRAYS)
    def test_what_is_no_array(self, case, mistake):
        wrong, says = NOT_ARRAYS[mistake]
        for name in case.arguments:
            arrays = sample(case)
            arrays[name] = [wrong, *arrays[name][1:]] if isinstance(arrays[name], list) else wrong
            self.refused(case, arrays, TypeError, f"{case.loss}: {name} ", says)
        if mistake != "None":
            self.refused(case, sample(case), TypeError, f"{case.loss}", "sample_weight", sample_weight=wrong)

    @one_case_per_loss
    def test_weights(self, case):
        arrays = sample(case)
        weight = weights_of(case, arrays)
        if weight is None:
            self.refused(case, arrays, TypeError, "has no sample_weight", sample_weight=1.0)
            return
        self.refused(
            case, arrays, ValueError, "sample_weight has shape (17,", sample_weight=np.ones((17, *weight.shape))
        )
        for bad in (-1.0, -1e-300, np.inf, np.nan):
            weight.reshape(-1)[1] = bad
            self.refused(case, arrays, ValueError, "sample_weight[", "is negative or not finite", sample_weight=weight)

    @one_case_per_loss
    @pytest.mark.parametrize("reduction", ["average", "Mean", "partial", "", None, 0, ["mean"]])
    def test_reduction(self, case, reduction):
        self.refused(case, sample(case), ValueError, f"{case.loss}: reduction", repr(reduction), reduction=reduction)
        with pytest.raises(ValueError, match="reduction"):
            LOSSES[case.loss].bind(reduction=reduction)

    @one_case_per_loss
    def test_names(self, case):
        arrays, loss = sample(case), run_of(case)
        self.refused(case, arrays, TypeError, "reductoin", reductoin="mean")
        with pytest.raises(TypeError, match="has no parameter 'colour'"):
            loss.bind(colour=1.0)
        for wrt in ("nothing", "sample_weight", "", (), ("nothing",), 0, b"input", (0,)):
            with pytest.raises((TypeError, ValueError), match=f"{case.loss}: wrt"):
                loss.grad(**arrays, wrt=wrt)
        for threads in (0, -1, 1.5, "2", True):
            with pytest.raises((TypeError, ValueError), match="n_threads"):
                loss(**arrays, n_threads=threads)
        with pytest.raises(TypeError, match=f"{case.loss} has no Hessian"):
            loss.grad_and_hess(**arrays)

    @one_case_per_loss
    def test_cotangents(self, case):
        arrays, loss = sample(case), run_of(case)
        for wrong, error in ((np.ones(17), ValueError), ("1", TypeError), (np.ones((9, 1, 1, 1, 1)), ValueError)):
            for reduction in reductions(case):
                with pytest.raises(error, match=f"^{case.loss}: grad_output"):
                    loss.backward(wrong, **arrays, reduction=reduction)
