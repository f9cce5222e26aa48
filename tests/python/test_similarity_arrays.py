"""Losses of the scores of all pairs keep the promises of every loss about arrays: layouts, results, what is refused."""

from __future__ import annotations

import zlib

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from battery import assert_close, assert_same_bits
from cases_answers import CASES as ANSWER_CASES
from cases_batch import BATCH_CASES
from cases_metric import METRIC_CASES
from cases_similarity import CASES as SIMILARITY_CASES
from fusedloss import _core
from test_array_losses import LAYOUTS, NOT_ARRAYS, backwards, spread

FLOATS = [np.float32, np.float64]
EVERY_CASE = (*SIMILARITY_CASES, *ANSWER_CASES, *METRIC_CASES)
# Of a whole batch, those that ask for nothing but lengths and angles.
TURNED = {
    *("uniformity_loss", "align_uniform_loss", "histogram_loss", "cosent_embedding_loss", "angular_loss"),
    *("gist_embed_loss", "multi_vector_ranking_loss", "te2e_loss"),
    *("intra_pair_variance_loss", "threshold_consistent_margin_loss"),
}
LENGTHS_AND_ANGLES = (*EVERY_CASE, *(case for case in BATCH_CASES if case.loss in TURNED))


def arrays_of(case, n, dtype=np.float64):
    draw = case.draw if hasattr(case, "draw") else case.arrays
    arrays = draw(np.random.default_rng(zlib.crc32(str(case).encode())), n)
    return {key: np.asarray(a, dtype) if a.dtype.kind == "f" else a for key, a in arrays.items()}


def laid(lay, array):
    """In another layout, if it can have one."""
    return lay(array) if array.ndim else array.copy()


# Of each loss the case with the most arguments.
CASES = {case.loss: case for case in sorted(EVERY_CASE, key=lambda case: len(arrays_of(case, 4)))}
each_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def loss_of(case):
    loss = getattr(fl, case.loss)
    reduced = {"reduction": "mean"} if "reduction" in loss.__signature__.parameters else {}
    return loss.bind(**reduced, **case.params)


def trained(case, arrays):
    """The arguments that have a gradient."""
    kernel = getattr(fl, case.loss)._call((), {**arrays, **case.params})[0]
    names = [name for k, name in enumerate(kernel.inputs) if kernel.differentiable >> k & 1]
    return tuple(name for name in names if arrays[name].dtype.kind not in "iu")


def tuples(grads):
    return grads if isinstance(grads, tuple) else (grads,)


def run(case, arrays, **options):
    value, grads = loss_of(case).value_and_grad(**arrays, wrt=trained(case, arrays), **options)
    return [np.float64(value), *tuples(grads)]


def assert_all_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        assert_same_bits(one, other)


def test_every_loss_is_there():
    assert set(CASES) == {name for name, loss in fl.Loss.registry.items() if loss.family == "similarity"}


class TestBits:
    @each_loss
    @pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
    def test_do_not_depend_on_the_layout(self, case, dtype):
        arrays = arrays_of(case, 20, dtype)
        expected = run(case, arrays)
        for lay in LAYOUTS.values():
            assert_all_same(run(case, {key: laid(lay, a) for key, a in arrays.items()}), expected)

    @each_loss
    @pytest.mark.parametrize("dtype", FLOATS)
    def test_do_not_depend_on_threads_or_instruction_set(self, case, dtype):
        arrays, results, before = arrays_of(case, 300, dtype), [], fl.get_isa()
        try:
            for level, supported in _core.isa_levels().items():
                if supported and level != "v1":  # without fused multiply-add
                    fl.set_isa(level)
                    results += [run(case, arrays, n_threads=n) for n in (1, 2, 5)]
        finally:
            fl.set_isa(before)
        for other in results[1:]:
            assert_all_same(other, results[0])

    @each_loss
    def test_do_not_depend_on_what_else_is_wanted(self, case):
        arrays = arrays_of(case, 20)
        value, *grads = run(case, arrays)
        assert loss_of(case)(**arrays) == value
        for name, grad in zip(trained(case, arrays), grads, strict=True):
            assert_same_bits(loss_of(case).grad(**arrays, wrt=name), grad)


class TestOut:
    @each_loss
    @pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, *FLOATS])
    def test_is_what_comes_back(self, case, dtype):
        arrays = arrays_of(case, 12, dtype)
        names, expected = trained(case, arrays), run(case, arrays)
        for lay in (np.copy, spread, np.asfortranarray, backwards):
            outs = tuple(laid(lay, np.full(arrays[name].shape, 7, dtype)) for name in names)
            found = run(case, arrays, out=outs if len(outs) > 1 else outs[0])
            assert all(a is b for a, b in zip(outs, found[1:], strict=True))
            assert_all_same(found, expected)

    @each_loss
    def test_may_be_or_overlap_the_arguments(self, case):
        arrays = arrays_of(case, 12)
        names, expected = trained(case, arrays), run(case, arrays)
        outs = tuple(arrays[name].copy() for name in names)
        given = {**arrays, **dict(zip(names, outs, strict=True))}
        assert_all_same(run(case, given, out=outs if len(outs) > 1 else outs[0]), expected)
        first, shape = arrays[names[0]], arrays[names[0]].shape
        buffer = np.zeros(first.size + 3)
        buffer[3:] = first.ravel()
        given = {**arrays, names[0]: buffer[3:].reshape(shape)}
        found = loss_of(case).grad(**given, wrt=names[0], out=buffer[: first.size].reshape(shape))
        assert_same_bits(found.copy(), loss_of(case).grad(**arrays, wrt=names[0]))

    @each_loss
    def test_of_another_kind_is_refused_by_name(self, case):
        arrays = arrays_of(case, 8)
        name = trained(case, arrays)[0]
        like = arrays[name]
        read_only = np.zeros_like(like)
        read_only.flags.writeable = False
        for wrong, error in (
            (np.zeros((*like.shape, 2)), ValueError),
            (np.zeros_like(like, np.float32), TypeError),
            (np.zeros_like(like).astype(like.dtype.newbyteorder()), TypeError),
            (like.tolist(), TypeError),
            (read_only, ValueError),
            ((like,) * 7, ValueError),
        ):
            with pytest.raises(error, match=f"^{case.loss}: out"):
                loss_of(case).grad(**arrays, wrt=name, out=wrong)


class TestNumbers:
    @each_loss
    def test_nan_in_nan_out(self, case):
        for name in trained(case, arrays_of(case, 8)):
            arrays = arrays_of(case, 8)
            arrays[name] = arrays[name].copy()
            arrays[name].reshape(-1)[0] = np.nan
            value, grad = loss_of(case).value_and_grad(**arrays, wrt=name)
            assert np.isnan(value), name
            assert np.isnan(grad).any(), name

    @pytest.mark.parametrize("case", EVERY_CASE, ids=str)
    @pytest.mark.parametrize("left_out", ["without weight", "ignored"])
    def test_rows_that_do_not_count(self, case, left_out):
        """Whatever is in a row that no other is compared with."""
        arrays = arrays_of(case, 6)
        first, shape = next(iter(arrays)), loss_of(case)(**arrays, reduction="none").shape
        options = {}
        if left_out == "ignored":
            parameter = loss_of(case).__signature__.parameters.get("ignore_index")
            label = arrays.get("labels", arrays.get("target"))
            if parameter is None or label is None or label.dtype.kind != "i":
                pytest.skip("has no labels that may be ignored")
            label[2 :: shape[0]] = parameter.default
        else:
            options["sample_weight"] = np.ones(shape)
            options["sample_weight"][2] = 0.0

        def holding(content):
            x = arrays[first].copy()
            x[2 :: shape[0]] = content
            return run(case, {**arrays, first: x}, **options)

        expected = holding(0.5)
        if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, holding(-2.0), strict=True)):
            pytest.skip("others are compared with it")
        for content in (np.nan, np.inf, -np.inf, 1e300):
            assert_all_same(holding(content), expected)

    @pytest.mark.parametrize("case", LENGTHS_AND_ANGLES, ids=str)
    def test_of_vectors_in_a_larger_space(self, case):
        """Turning vectors into more dimensions, more than one stretch of a product has, turns the gradients alone."""
        arrays = arrays_of(case, 10)
        width = next(iter(arrays.values())).shape[-1]
        basis = np.linalg.qr(np.random.default_rng(width).normal(size=(300, width)))[0].T

        def turned(array):
            return array @ basis if array.ndim > 1 and array.shape[-1] == width and array.dtype.kind == "f" else array

        value, *grads = run(case, arrays)
        wide_value, *wide_grads = run(case, {name: turned(array) for name, array in arrays.items()})
        assert_close(wide_value, value, 1e-11, scale=1.0)
        largest = max(abs(grad).max() for grad in grads)
        for grad, wide in zip(grads, wide_grads, strict=True):
            assert_close(wide, turned(grad), 1e-9, scale=largest)


class TestBadInput:
    def refused(self, case, arrays, error, *says, **options):
        names = trained(case, arrays_of(case, 8))
        outs = tuple(np.full(a.shape, 7.0) for a in map(arrays_of(case, 8).get, names))
        for call in (
            lambda: loss_of(case)(**{**arrays, **options}),
            lambda: loss_of(case).grad(**{**arrays, **options}, wrt=names, out=outs if len(outs) > 1 else outs[0]),
        ):
            with pytest.raises(error) as info:
                call()
            assert all(text in str(info.value) for text in (case.loss, *says)), str(info.value)
        assert all((out == 7.0).all() for out in outs)

    @each_loss
    @pytest.mark.parametrize("mistake", NOT_ARRAYS)
    def test_what_is_no_array(self, case, mistake):
        wrong, says = NOT_ARRAYS[mistake]
        arrays = arrays_of(case, 8)
        required = getattr(fl, case.loss).inputs if wrong is None else arrays
        for name in required:
            self.refused(case, {**arrays, name: wrong}, TypeError, f"{case.loss}: {name} ", says)
        if wrong is not None:
            self.refused(case, arrays, TypeError, "sample_weight", says, sample_weight=wrong)

    @each_loss
    def test_weights(self, case):
        arrays = arrays_of(case, 8)
        rows = loss_of(case)(**arrays, reduction="none").shape
        self.refused(case, arrays, ValueError, "sample_weight has shape (17,", sample_weight=np.ones((17, *rows)))
        for bad in (-1.0, -1e-300, np.inf, np.nan):
            weight = np.ones(rows)
            weight[1] = bad
            self.refused(case, arrays, ValueError, "sample_weight[1", "negative or not finite", sample_weight=weight)

    @each_loss
    @pytest.mark.parametrize("reduction", ["average", "partial", None, 0])
    def test_names(self, case, reduction):
        arrays = arrays_of(case, 8)
        self.refused(case, arrays, ValueError, "reduction", repr(reduction), reduction=reduction)
        self.refused(case, arrays, TypeError, "colour", colour=1.0)
        for wrt in ("nothing", "sample_weight", "", (), 0):
            with pytest.raises((TypeError, ValueError), match=f"^{case.loss}: wrt"):
                loss_of(case).grad(**arrays, wrt=wrt)
