"""Where class scores lie: the class axis, strides, dtypes of storage, threads, results written into given arrays."""

from __future__ import annotations

import fusedloss as fl
import numpy as np
import pytest
from battery import FLOATS, HALVES, assert_close, assert_same_bits, each_float, each_half
from battery_rows import (
    differentiable,
    each_row_case,
    everything,
    generator,
    grads_of,
    moved,
    one_case_per_row_kernel,
    one_case_per_row_loss,
    reference,
    run_of,
    sample,
    value,
    value_and_grads,
)
from test_arrays import misaligned, read_only
from test_determinism import LEVELS, WITH_FMA


def same(actual, expected, what=""):
    """The same bits in results by name."""
    assert actual.keys() == expected.keys()
    for key in expected:
        assert_same_bits(actual[key], expected[key], f"{what} {key}")


@one_case_per_row_kernel
@each_float
@pytest.mark.parametrize("classes", [1, 10, 64, 65])
def test_class_axis_changes_no_bit(case, dtype, classes):
    """``[N, C, H, W]`` and every other place of the class axis, against ``[N * H * W, C]``."""
    flat = sample(case, 2 * 3 * 5, classes, dtype)
    weight = generator(case, 1).random(30).astype(dtype)
    arrays = {key: x.reshape(2, 3, 5, *x.shape[1:]) for key, x in flat.items()}
    expected = everything(case, flat, sample_weight=weight)
    total = value(case, flat, reduction="sum", sample_weight=weight)
    for axis in (0, 1, 2, 3, -1, -3):
        options = {"sample_weight": weight.reshape(2, 3, 5), "axis": axis}
        turned = moved(case, arrays, axis, np.ascontiguousarray)
        for key, result in everything(case, turned, **options).items():
            back = result if key == "value" else np.moveaxis(result, axis, -1)
            assert_same_bits(back.reshape(expected[key].shape), expected[key], f"axis {axis}: {key}")
        assert value(case, turned, reduction="sum", **options) == total
    by_default = {key: x for key, x in moved(case, arrays, 1, np.ascontiguousarray).items()}
    loss = run_of(case, classes)
    assert_same_bits(loss(**by_default, reduction="none").ravel(), value(case, flat, reduction="none"))


@one_case_per_row_kernel
@pytest.mark.parametrize("dtype", [*FLOATS, np.float16], ids=lambda dtype: np.dtype(dtype).name)
def test_class_axis_of_long_rows(case, dtype):
    """Rows beside each other, their classes apart, are turned into rows of their own first."""
    if case.loss == "multilabel_margin_loss":
        pytest.skip("to draw rows of so many pairs away from kinks takes longer than to test them")
    layouts = (np.ascontiguousarray, lambda x: np.flip(np.flip(x, axis).copy(), axis))
    for shape, classes in (((2, 3, 7), 300), ((37,), 257), ((3,), 9000)):
        flat = sample(case, int(np.prod(shape)), classes, np.float32)
        flat = {key: x.astype(dtype) if x.dtype.kind == "f" else x for key, x in flat.items()}
        weight = generator(case, 1).random(shape)
        expected = everything(case, flat, sample_weight=weight.ravel())
        arrays = {key: x.reshape(*shape, *x.shape[1:]) for key, x in flat.items()}
        for axis in (0, 1):
            options = {"axis": axis, "sample_weight": weight}
            for lay in layouts[: 1 if case.indexed and axis else 2]:
                turned = moved(case, arrays, axis, lay)
                for key, result in everything(case, turned, **options).items():
                    result = result if key == "value" else np.moveaxis(result, axis, -1)
                    assert_same_bits(result.reshape(expected[key].shape), expected[key], f"axis {axis}: {key}")
            own = {key: x.copy() for key, x in moved(case, arrays, axis, np.ascontiguousarray).items()}
            in_place = {"wrt": case.first, "out": own[case.first], "reduction": "none"}
            grad = np.moveaxis(run_of(case, classes).grad(**own, **options, **in_place), axis, -1)
            name = f"d/d{case.first}"
            assert_same_bits(grad.reshape(expected[name].shape), expected[name], "in place")


LAYOUTS = {
    "negative": lambda a: a[(slice(None, None, -1),) * a.ndim].copy()[(slice(None, None, -1),) * a.ndim],
    "negative rows": lambda a: a[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "every third": lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[1::2],
    "misaligned": misaligned,
    "misaligned steps": lambda a: misaligned(np.repeat(a, 2, axis=-1))[..., ::2],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": read_only,
}


@one_case_per_row_kernel
@each_float
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_changes_no_bit(case, dtype, layout):
    lay = LAYOUTS[layout]
    for classes in (5, 33, 70):
        arrays = sample(case, 21, classes, dtype)
        weight = generator(case, 1).random(21).astype(dtype)
        expected = everything(case, arrays, sample_weight=weight)
        laid = {key: lay(array) for key, array in arrays.items()}
        same(everything(case, laid, sample_weight=lay(weight)), expected, layout)
        assert value(case, laid, reduction="sum") == value(case, arrays, reduction="sum")
        turned = {key: lay(array.T) for key, array in arrays.items()}
        for key, result in everything(case, turned, sample_weight=lay(weight), axis=0).items():
            assert_same_bits(result.T, expected[key], f"{layout} transposed {key}")


@one_case_per_row_kernel
@each_float
def test_number_of_rows_changes_no_bit(case, dtype):
    for classes in (3, 64, 70):
        arrays = sample(case, 70, classes, dtype)
        expected = everything(case, arrays)
        for rows in (1, 2, 7, 8, 9, 15, 16, 17, 33, 69):
            short = everything(case, {key: array[:rows] for key, array in arrays.items()})
            same(short, {key: result[:rows] for key, result in expected.items()}, f"{rows} rows")
            late = everything(case, {key: array[70 - rows :] for key, array in arrays.items()})
            same(late, {key: result[70 - rows :] for key, result in expected.items()}, f"last {rows} rows")


@one_case_per_row_kernel
def test_rows_repeated_by_stride_zero(case):
    arrays = {key: x[:1] for key, x in sample(case, 3, 6).items()}
    full = {key: np.broadcast_to(x, (40, *x.shape[1:])) for key, x in arrays.items()}
    expected = everything(case, {key: x.copy() for key, x in full.items()})
    same(everything(case, full), expected)


@one_case_per_row_loss
@each_float
def test_threads_change_no_bit(case, dtype):
    for rows, classes in ((4001, 5), (130, 1030)):
        if case.loss == "multilabel_margin_loss" and classes > 5:
            continue  # to draw rows of so many pairs away from kinks takes longer than to test them
        arrays = sample(case, rows, classes, dtype)
        results = []
        for threads in (1, 2, 3):
            with fl.num_threads(threads):
                results.append({**everything(case, arrays), "sum": value(case, arrays, reduction="sum")})
        same(results[1], results[0], "two threads")
        same(results[2], results[0], "three threads")


@pytest.mark.skipif(len(WITH_FMA) < 2, reason="one level with fused multiply-add is compiled in and supported here")
@one_case_per_row_kernel
@each_float
def test_levels_with_fma_give_the_same_bits(case, dtype):
    for classes in (1, 5, 64, 70):
        arrays = sample(case, 37, classes, dtype)
        results = []
        for level in WITH_FMA:
            fl.set_isa(level)
            results.append({**everything(case, arrays), "sum": value(case, arrays, reduction="sum")})
        for other in results[1:]:
            same(other, results[0], f"{classes} classes")


@pytest.mark.skipif(len(LEVELS) < 2 or not WITH_FMA, reason="one level is compiled in and supported here")
@each_row_case
@each_float
def test_other_levels_give_nearly_the_same(case, dtype):
    units = (2 if dtype is np.float32 else 64) * np.finfo(dtype).eps
    for classes in (3, 70):
        arrays = sample(case, 21, classes, dtype)
        exact = reference(case, arrays)
        scales = {"value": exact.value_scale, "hess": exact.hess_scale}
        scales |= {f"d/d{key}": scale for key, scale in exact.grad_scales.items()}
        scales["grad of grad_and_hess"] = exact.grad_scales.get(case.first)
        fl.set_isa(WITH_FMA[0])
        expected = everything(case, arrays)
        for level in set(LEVELS) - set(WITH_FMA):
            fl.set_isa(level)
            for key, result in everything(case, arrays).items():
                assert_close(result, expected[key], units, scales.get(key), atol=np.finfo(dtype).tiny, what=key)


class TestHalfPrecision:
    @each_row_case
    @each_half
    def test_is_rounded_float32(self, case, dtype):
        if "center" in case.params:
            pytest.skip("the centre is subtracted in the precision of the scores")
        for classes in (5, 70):
            arrays = sample(case, 29, classes, np.float32)
            halves = {key: x.astype(dtype) if x.dtype == np.float32 else x for key, x in arrays.items()}
            widened = {key: x.astype(np.float32) if x.dtype == dtype else x for key, x in halves.items()}
            with np.errstate(over="ignore"):
                rounded = {key: result.astype(dtype) for key, result in everything(case, widened).items()}
            same(everything(case, halves), rounded)
            for reduction in ("mean", "sum"):
                assert value(case, halves, reduction=reduction) == value(case, widened, reduction=reduction)


class TestOut:
    @one_case_per_row_kernel
    @pytest.mark.parametrize("dtype", [*FLOATS, *HALVES], ids=lambda dtype: np.dtype(dtype).name)
    def test_is_what_comes_back(self, case, dtype):
        for classes in (5, 70):
            arrays = sample(case, 19, classes, np.float32)
            arrays = {key: x.astype(dtype) if x.dtype == np.float32 else x for key, x in arrays.items()}
            loss, name = run_of(case, classes), differentiable(case)[0]
            for reduction in ("none", "mean", "sum"):
                expected = grads_of(case, arrays, reduction=reduction, wrt=(name,))[name]
                out = np.full(expected.shape, 777, dtype)
                assert loss.value_and_grad(**arrays, reduction=reduction, wrt=name, out=out)[1] is out
                assert_same_bits(out, expected, reduction)
            if "hess" in everything(case, arrays):
                out = np.zeros_like(arrays[case.first]), np.zeros_like(arrays[case.first])
                written = loss.grad_and_hess(**arrays, out=out)
                for given, returned, fresh in zip(out, written, loss.grad_and_hess(**arrays), strict=True):
                    assert returned is given
                    assert_same_bits(given, fresh)

    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize("classes", [1, 2, 10, 65, 300])
    @pytest.mark.parametrize("hessian", ["exact", "gauss_newton", "upper", "lightgbm", "abs_residual"])
    def test_of_boosting_may_be_float32(self, hessian, classes, order):
        """With the digits of float32, although scores may differ in digits that it does not have."""
        rng = np.random.default_rng(classes)
        scores = np.array(rng.normal(size=(150, classes)) * 10 ** rng.uniform(-3, 2, (150, 1)), order=order)
        scores[50:100] += 1e6
        scores[::10, 0] = scores[::10, -1]
        scores[7, 0], scores[8, -1], scores[9] = np.inf, -np.inf, 1e300
        target, weight = rng.integers(0, classes, 150), rng.random(150)
        weight[::20] = 0.0
        for loss in (fl.cross_entropy, fl.softmax_focal_loss):
            options = {"hessian": hessian, "sample_weight": weight, "axis": 1}
            out = tuple(np.full(scores.shape, 777, np.float32, order=order) for _ in range(2))
            loss.grad_and_hess(scores, target, out=out, **options)
            for rounded, exact in zip(out, loss.grad_and_hess(scores, target, **options), strict=True):
                terms = np.abs(exact).max(1, keepdims=True) if hessian == "exact" else 0.0
                np.testing.assert_array_less(np.abs(rounded - exact), 5e-7 * (np.abs(exact) + terms) + 1e-36)

    @one_case_per_row_kernel
    @pytest.mark.parametrize("dtype", [*FLOATS, *HALVES], ids=lambda dtype: np.dtype(dtype).name)
    def test_may_be_the_scores_themselves(self, case, dtype):
        for shape in ((40, 5), (9, 70), (3, 1500), (2, 6, 4, 5)):
            flat = sample(case, int(np.prod(shape)) // shape[1], shape[1], np.float32)
            arrays = {
                key: (x if x.ndim == 1 else np.moveaxis(x.reshape(shape[0], *shape[2:], shape[1]), -1, 1).copy())
                for key, x in flat.items()
            }
            arrays = {key: x.reshape(shape[0], *shape[2:]) if x.ndim == 1 else x for key, x in arrays.items()}
            arrays = {key: x.astype(dtype) if x.dtype == np.float32 else x for key, x in arrays.items()}
            before, grads = value_and_grads(case, arrays, reduction="mean", wrt=(case.first,), axis=1)
            own = {key: x.copy() for key, x in arrays.items()}
            after, _ = run_of(case, shape[1]).value_and_grad(
                **own, reduction="mean", wrt=case.first, out=own[case.first]
            )
            assert_same_bits(after, before)
            assert_same_bits(own[case.first], grads[case.first], str(shape))
            for key in own.keys() - {case.first}:
                assert_same_bits(own[key], arrays[key])

    @one_case_per_row_kernel
    def test_layout(self, case):
        for classes in (5, 70):
            arrays = sample(case, 21, classes)
            expected = grads_of(case, arrays, wrt=(case.first,))[case.first]
            for layout in ("negative", "Fortran", "every third", "misaligned steps"):
                out = LAYOUTS[layout](np.full(arrays[case.first].shape, 777.0))
                run_of(case, classes).grad(**arrays, reduction="sum", wrt=case.first, out=out)
                assert_same_bits(out, expected, layout)

    @one_case_per_row_kernel
    def test_may_overlap_inputs_as_if_they_were_copied(self, case):
        for classes in (5, 70):
            arrays = sample(case, 30, classes)
            expected = grads_of(case, arrays, wrt=(case.first,))[case.first]
            for down in (True, False):
                larger = np.zeros((33, classes))
                view, out = (larger[3:], larger[:30]) if down else (larger[:30], larger[3:])
                view[...] = arrays[case.first]
                run_of(case, classes).grad(**{**arrays, case.first: view}, reduction="sum", wrt=case.first, out=out)
                assert_same_bits(out, expected)

    @one_case_per_row_kernel
    def test_nothing_beside_an_output_is_written(self, case):
        for rows, classes in ((1, 3), (17, 5), (9, 64), (5, 70), (3, 1000)):
            arrays = sample(case, rows, classes)
            surroundings = np.full(rows * classes + 64, 777.0)
            out = surroundings[32:-32].reshape(rows, classes)
            run_of(case, classes).grad(**arrays, wrt=case.first, out=out)
            assert (surroundings[:32] == 777).all()
            assert (surroundings[-32:] == 777).all()

    @one_case_per_row_loss
    def test_that_does_not_fit_is_refused_and_not_written(self, case):
        arrays = sample(case, 6, 5)
        for out, error in (
            (np.full((6, 4), 777.0), ValueError),
            (np.full((5, 6), 777.0), ValueError),
            (np.full((6, 5), 777, np.float32), TypeError),
            (read_only(np.full((6, 5), 777.0)), ValueError),
        ):
            with pytest.raises(error, match=f"{case.loss}: out"):
                run_of(case, 5).value_and_grad(**arrays, wrt=case.first, out=out)
            assert (out == 777).all()


@pytest.mark.parametrize("dtype", [*FLOATS, np.float16], ids=lambda dtype: np.dtype(dtype).name)
def test_large_arrays_are_the_same_as_small_ones(dtype):
    """Outputs beyond the last-level cache are written past it."""
    rng = np.random.default_rng(0)
    for rows, classes in ((2**20, 20), (700, 40_000)):
        part = rng.normal(size=(350, classes)).astype(dtype)
        label = rng.integers(0, classes, 350)
        scores, labels = np.tile(part, (-(-rows // 350), 1))[:rows], np.tile(label, -(-rows // 350))[:rows]
        values, grad = fl.cross_entropy.value_and_grad(scores, labels, reduction="none")
        few, few_grad = fl.cross_entropy.value_and_grad(part, label, reduction="none")
        assert_same_bits(values[-350 - rows % 350 : len(values) - rows % 350], few)
        assert_same_bits(grad[:350], few_grad)
        assert_same_bits(grad[-350 - rows % 350 : len(grad) - rows % 350], few_grad)


def test_more_scores_than_an_int_holds():
    """2**31 and a few scores through strides of zero: only the value, so nothing large exists."""
    rows, classes = 2**21 + 17, 1024
    scores = np.broadcast_to(np.float32(0.5), (rows, classes))
    label = np.broadcast_to(np.array([7], np.int16), (rows,))
    assert fl.cross_entropy(scores, label) == pytest.approx(np.log(1024), rel=1e-6)
