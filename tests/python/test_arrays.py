"""Where numbers lie: dtypes of storage, strides, alignment, positions, and results written into given arrays."""

from __future__ import annotations

import sys

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from battery import (
    FLOATS,
    HALVES,
    LOSSES,
    assert_all_same_bits,
    assert_same_bits,
    bound,
    differentiable,
    each_case,
    each_float,
    each_half,
    everything,
    filled_like,
    generator,
    grads_of,
    one_case_per_kernel,
    one_case_per_loss,
    sample,
    value,
    value_and_grads,
)


class TestHalfPrecision:
    @each_case
    @each_half
    def test_is_rounded_float32(self, case, dtype):
        arrays = {key: array.astype(dtype) for key, array in sample(case, 997, np.float32).items()}
        widened = {key: array.astype(np.float32) for key, array in arrays.items()}
        expected = everything(case, widened)
        with np.errstate(over="ignore"):
            rounded = {key: result.astype(dtype) for key, result in expected.items()}
        assert_all_same_bits(everything(case, arrays), rounded)
        for reduction in ("mean", "sum"):
            assert_same_bits(value(case, arrays, reduction=reduction), value(case, widened, reduction=reduction))

    @one_case_per_loss
    @each_half
    def test_mixes_with_float32_and_float64(self, case, dtype):
        first, *rest = case.arguments
        arrays = {key: array.astype(dtype) for key, array in sample(case, 97, np.float32).items()}
        for other in FLOATS:
            mixed = {first: arrays[first], **{key: arrays[key].astype(other) for key in rest}}
            same = {key: array.astype(other) for key, array in arrays.items()}
            values, grads = value_and_grads(case, mixed, reduction="none")
            expected, expected_grads = value_and_grads(case, same, reduction="none")
            assert_same_bits(values, expected)
            for key, grad in grads.items():
                exact = expected_grads[key]
                if mixed[key].dtype == dtype:  # halves are written from float32, whatever was computed before
                    with np.errstate(over="ignore"):
                        exact = exact.astype(np.float32).astype(dtype)
                assert_same_bits(grad, exact, key)

    def test_two_kinds_of_halves_give_float32(self):
        values = LOSSES["mse_loss"](np.ones(3, np.float16), np.zeros(3, ml_dtypes.bfloat16), reduction="none")
        assert_same_bits(values, np.ones(3, np.float32))

    @each_half
    def test_every_number_survives_reading_and_writing(self, dtype):
        every = np.arange(2**16, dtype=np.uint16).view(dtype)
        finite = every[np.isfinite(every.astype(np.float32))]
        zero = np.zeros_like(finite)
        # The gradient of x**2 / 2 is x itself: nothing but the conversions is tested.
        assert_same_bits(residual(finite, zero), finite)
        special = np.array([np.inf, -np.inf, np.nan], dtype)
        assert_same_bits(residual(special, np.zeros_like(special)), special)

    @each_half
    def test_rounding_to_nearest_even(self, dtype):
        rng, info = np.random.default_rng(5), ml_dtypes.finfo(dtype)
        exponents = rng.uniform(float(info.minexp) - 8, float(info.maxexp), 50_000)
        with np.errstate(over="ignore", under="ignore"):
            x = (rng.choice([-1, 1], 50_000) * np.exp2(exponents)).astype(np.float32)
            below = x.astype(dtype).astype(np.float32)
            halfway = below + (np.nextafter(x.astype(dtype), dtype(0)).astype(np.float32) - below) / 2
            x = np.concatenate([x, halfway])
            x = x[np.isfinite(x) & (x != 0)]
            # The gradient of the bias is -1 everywhere, so a cotangent passes through as it is.
            one = np.ones(x.size, dtype)
            grad = LOSSES["mean_bias_error"].backward(-x, one, one, reduction="none")
            assert_same_bits(grad, x.astype(dtype))


def residual(input, target):
    """The gradient of half the squared error."""
    return LOSSES["half_squared_error"].grad(input, target, reduction="sum")


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    result = raw[1:].view(array.dtype).reshape(array.shape)
    result[...] = array
    return result


def read_only(array):
    result = array.copy()
    result.flags.writeable = False
    return result


def embedded(array, index, shape):
    """The array as a view, `index`, of a larger one of NaN."""
    larger = np.full(shape, np.nan, array.dtype)
    larger[index] = array
    return larger[index]


ROWS, COLUMNS = 12, 70
LAYOUTS = {
    "negative": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "negative rows": lambda a: a[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "transposed": lambda a: a.T.copy().T,
    "every third column": lambda a: embedded(a, np.s_[:, ::3], (ROWS, 3 * COLUMNS)),
    "every second row": lambda a: embedded(a, np.s_[1::2], (2 * ROWS, COLUMNS)),
    "slice of three dimensions": lambda a: embedded(a, np.s_[1:-1, 2, 3:-2], (ROWS + 2, 4, COLUMNS + 5)),
    "moved axes": lambda a: embedded(a, np.s_[3, :, :], (5, ROWS, COLUMNS)).copy(order="K"),
    "misaligned": misaligned,
    "misaligned steps": lambda a: misaligned(np.repeat(a, 2, axis=1))[:, ::2],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": read_only,
    "subclass": lambda a: a.view(np.recarray),
    "memory map": lambda a: a.view(np.memmap),
}


@one_case_per_loss
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_changes_no_bit(case, layout):
    for dtype in FLOATS:
        arrays, weight = sample(case, (ROWS, COLUMNS), dtype), generator(case, 1).random((ROWS, COLUMNS)).astype(dtype)
        expected, lay = everything(case, arrays, sample_weight=weight), LAYOUTS[layout]
        moved = {key: lay(array) for key, array in arrays.items()}
        assert_all_same_bits(everything(case, moved, sample_weight=lay(weight)), expected, "all")
        assert_same_bits(value(case, moved, reduction="sum"), value(case, arrays, reduction="sum"))
        for key in case.arguments:
            some = {**arrays, key: moved[key]}
            assert_all_same_bits(everything(case, some, sample_weight=weight), expected, key)


@one_case_per_loss
def test_stride_zero_changes_no_bit(case):
    arrays = {key: array[:1] for key, array in sample(case, (ROWS, COLUMNS)).items()}
    for key, array in arrays.items():
        for view in (np.broadcast_to(array, (ROWS, COLUMNS)), np.broadcast_to(array[:, :1], (ROWS, COLUMNS))):
            full = {k: np.broadcast_to(a, (ROWS, COLUMNS)).copy() for k, a in arrays.items()}
            expected = everything(case, {**full, key: view.copy()})
            assert_all_same_bits(everything(case, {**full, key: view}), expected, key)


@each_half
@one_case_per_loss
def test_layout_of_halves_changes_no_bit(case, dtype):
    arrays = {key: array.astype(dtype) for key, array in sample(case, (ROWS, COLUMNS), np.float32).items()}
    expected = everything(case, arrays)
    for layout in ("negative", "Fortran", "every third column", "misaligned"):
        moved = {key: LAYOUTS[layout](array) for key, array in arrays.items()}
        assert_all_same_bits(everything(case, moved), expected, layout)


@one_case_per_loss
def test_many_dimensions(case):
    arrays = sample(case, 2**10)
    expected = everything(case, arrays)
    shape, axes = (2,) * 10, generator(case, 1).permutation(10)
    for key, result in everything(case, {k: a.reshape(shape).transpose(axes) for k, a in arrays.items()}).items():
        assert_same_bits(result, expected[key].reshape(shape).transpose(axes), key)


def at_offset(array, offset):
    """A copy that starts `offset` bytes past a cache line, its surroundings NaN."""
    raw = np.full(array.nbytes // 8 + 24, np.nan)
    start = -raw.ctypes.data % 64 + offset
    result = raw.view(np.uint8)[start : start + array.nbytes].view(array.dtype)
    result[...] = array
    return result


LONGEST = 257


class TestPosition:
    """The bits of an element do not depend on where it lies or how many others there are."""

    @one_case_per_kernel
    @each_float
    def test_every_length(self, case, dtype):
        arrays, wrt, loss = sample(case, LONGEST, dtype), differentiable(case), bound(case)
        values, grads = value_and_grads(case, arrays, reduction="none")
        hessian = loss.grad_and_hess(**arrays)[1] if loss.has_hessian else None
        for n in range(LONGEST + 1):
            short = {key: at_offset(array[:n], 7 * n % 64) for key, array in arrays.items()}
            out = tuple(at_offset(np.zeros(n, dtype), 11 * n % 64) for _ in wrt)
            actual, written = loss.value_and_grad(**short, reduction="none", wrt=wrt, out=out)
            assert_same_bits(actual, values[:n], f"value of {n}")
            for key, grad in zip(wrt, np.atleast_2d(written), strict=True):
                assert_same_bits(grad, grads[key][:n], f"{key} of {n}")
            if hessian is not None:
                assert_same_bits(loss.grad_and_hess(**short)[1], hessian[:n], f"hess of {n}")

    @pytest.mark.parametrize(
        "name",
        [name for name in ("huber_loss", "binary_cross_entropy_with_logits", "gamma_nll_loss") if name in LOSSES],
    )
    @each_float
    def test_every_offset_and_length(self, name, dtype):
        rng = np.random.default_rng(3)
        x, t = rng.normal(size=LONGEST).astype(dtype), rng.random(LONGEST).astype(dtype)
        loss = LOSSES[name]
        values, grads = loss.value_and_grad(x, t, reduction="none")
        sums = [loss(x[:n], t[:n], reduction="sum") for n in range(LONGEST + 1)]
        for offset in range(64):
            a, b, out = at_offset(x, offset), at_offset(t, 63 - offset), at_offset(x, (offset + 8) % 64)
            for n in range(LONGEST + 1):
                total = loss.value_and_grad(a[:n], b[:n], reduction="sum", out=out[:n])[0]
                assert total == sums[n], (offset, n)
                assert (out[:n] == grads[:n]).all(), (offset, n)
                assert (loss(a[:n], b[:n], reduction="none") == values[:n]).all(), (offset, n)

    @one_case_per_loss
    def test_nothing_beside_an_output_is_written(self, case):
        names = differentiable(case)
        for n in (0, 1, 15, 16, 17, 100, 10_000):
            arrays = sample(case, n)
            surroundings = {key: np.full(n + 64, 777.0) for key in names}
            out = tuple(array[32 : n + 32] for array in surroundings.values())
            bound(case).value_and_grad(**arrays, wrt=names, out=out)
            for key, array in surroundings.items():
                assert (array[:32] == 777).all(), key
                assert (array[n + 32 :] == 777).all(), key


class TestOut:
    @one_case_per_kernel
    @pytest.mark.parametrize("dtype", [*FLOATS, *HALVES], ids=lambda dtype: np.dtype(dtype).name)
    def test_is_what_comes_back(self, case, dtype):
        arrays = {key: array.astype(dtype) for key, array in sample(case, (9, 31), np.float32).items()}
        names, loss = differentiable(case), bound(case)
        for reduction in ("none", "mean", "sum"):
            expected = value_and_grads(case, arrays, reduction=reduction)[1]
            out = filled_like(arrays, names)
            written = loss.value_and_grad(**arrays, reduction=reduction, wrt=names, out=out)[1]
            for given, returned, key in zip(out, written if len(names) > 1 else (written,), names, strict=True):
                assert returned is given, key
                assert_same_bits(given, expected[key], key)
            for name in names:
                (alone,) = filled_like(arrays, (name,))
                assert loss.grad(**arrays, reduction=reduction, wrt=name, out=alone) is alone
                assert_same_bits(alone, expected[name], name)
        if loss.has_hessian:
            first = next(iter(case.arguments))
            out = filled_like(arrays, (first, first))
            for given, returned, fresh in zip(
                out, loss.grad_and_hess(**arrays, out=out), loss.grad_and_hess(**arrays), strict=True
            ):
                assert returned is given
                assert_same_bits(given, fresh)

    @one_case_per_loss
    def test_of_boosting_may_be_float32(self, case):
        arrays, loss = sample(case, (ROWS, COLUMNS)), bound(case)
        if loss.has_hessian:
            out = tuple(np.full((ROWS, COLUMNS), 777, np.float32, order="F") for _ in range(2))
            loss.grad_and_hess(**arrays, out=out)
            for rounded, exact in zip(out, loss.grad_and_hess(**arrays), strict=True):
                np.testing.assert_allclose(rounded, exact, rtol=1e-6, atol=1e-9)

    @one_case_per_loss
    def test_layout(self, case):
        arrays, names = sample(case, (ROWS, COLUMNS)), differentiable(case)
        expected = grads_of(case, arrays)
        for layout in ("negative", "Fortran", "every third column", "slice of three dimensions", "misaligned steps"):
            out = tuple(LAYOUTS[layout](array) for array in filled_like(arrays, names))
            bound(case).grad(**arrays, reduction="sum", wrt=names, out=out)
            for key, array in zip(names, out, strict=True):
                assert_same_bits(array, expected[key], f"{key} {layout}")

    @one_case_per_kernel
    @each_float
    @pytest.mark.parametrize("size", [100, 50_000])
    def test_may_be_the_argument_itself(self, case, dtype, size):
        names, original = differentiable(case), sample(case, size, dtype)
        for reduction in ("mean", "sum"):
            value_before, expected = value_and_grads(case, original, reduction=reduction)
            arrays = {key: array.copy() for key, array in original.items()}
            out = tuple(arrays[key] for key in names)
            assert bound(case).value_and_grad(**arrays, reduction=reduction, wrt=names, out=out)[0] == value_before
            for key in case.arguments:
                assert_same_bits(arrays[key], expected.get(key, original[key]), key)

    @one_case_per_loss
    @pytest.mark.parametrize("size", [100, 20_000])
    def test_may_overlap_inputs_as_if_they_were_copied(self, case, size):
        original, name = sample(case, size), differentiable(case)[0]
        weight = generator(case, 1).random(size)
        expected = grads_of(case, original, wrt=(name,), sample_weight=weight)[name]
        for key in (*case.arguments, "sample_weight"):
            source = weight if key == "sample_weight" else original[key]
            for lay in (
                lambda b: (b[3 : 3 + size], b[:size]),
                lambda b: (b[:size], b[3 : 3 + size]),
                lambda b: (b[:size], b[:size][::-1]),
                lambda b: (b[: 2 * size : 2], b[1 : 1 + size]),
            ):
                view, out = lay(np.zeros(2 * size + 8))
                view[...] = source
                named = {**original, "sample_weight": weight, key: view}
                bound(case).grad(**named, reduction="sum", wrt=name, out=out)
                assert_same_bits(out, expected, key)

    @one_case_per_loss
    def test_of_a_broadcast_argument(self, case):
        full = sample(case, (6, 35))
        for name in differentiable(case)[1:]:
            arrays = {**full, name: full[name][0].copy()}
            expected = grads_of(case, arrays, wrt=(name,))[name]
            (out,) = filled_like(arrays, (name,))
            assert bound(case).grad(**arrays, reduction="sum", wrt=name, out=out) is out
            assert_same_bits(out, expected)
            before = arrays[name].copy()
            bound(case).grad(**arrays, reduction="sum", wrt=name, out=arrays[name])
            assert_same_bits(arrays[name], expected)
            assert (before != expected).any()

    @one_case_per_loss
    def test_that_does_not_fit_is_refused_and_not_written(self, case):
        arrays, names = sample(case, 30), differentiable(case)
        name, loss = names[0], bound(case)

        def other(content):
            return (content, *filled_like(arrays, names)[1:]) if len(names) > 1 else content

        locked = np.full(30, 777.0)
        locked.flags.writeable = False
        shared = np.full(60, 777.0)
        for given, error in (
            (np.full(31, 777.0), ValueError),
            (np.full(29, 777.0), ValueError),
            (np.full((30, 1), 777.0), ValueError),
            (np.full((1, 30), 777.0), ValueError),
            (np.full(30, 777, np.float32), TypeError),
            (np.full(30, 777, np.float16), TypeError),
            (np.full(30, 777), TypeError),
            (np.full(30, 777, ">f8"), TypeError),
            ([777.0] * 30, TypeError),
            (777.0, TypeError),
            (locked, ValueError),
        ):
            out = other(given)
            with pytest.raises(error, match=f"{case.loss}: out"):
                loss.value_and_grad(**arrays, wrt=names, out=out)
            for array in out if isinstance(out, tuple) else (out,):
                assert (np.asarray(array, float) == 777).all()
        with pytest.raises(ValueError, match=f"{case.loss}: out"):
            loss.grad(**arrays, wrt=name, out=(shared[:30], shared[30:]))
        if len(names) > 1:
            for overlapping in (shared[:30], shared[29:59]):
                out = (shared[:30], overlapping, *filled_like(arrays, names)[2:])
                with pytest.raises(ValueError, match=f"{case.loss}: out"):
                    loss.grad(**arrays, wrt=names, out=out)
            for too_few in (shared[:30], (shared[:30],)):
                with pytest.raises((TypeError, ValueError), match=f"{case.loss}: out"):
                    loss.grad(**arrays, wrt=names, out=too_few)
        if loss.has_hessian:
            with pytest.raises(ValueError, match=f"{case.loss}: out"):
                loss.grad_and_hess(**arrays, out=(shared[:30], shared[1:31]))
        assert (shared == 777).all()


@each_float
def test_large_outputs_are_the_same_as_small_ones(dtype):
    """Past the size of the caches results are streamed to memory; that must not change them."""
    n = fl.show_config()["last_level_cache"] // np.dtype(dtype).itemsize + 100_011  # so that one output is enough
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=n).astype(dtype), rng.random(n).astype(dtype)
    x[:32] = 1e4  # the first chunk ends among them: one counted twice, or not at all, shows in the sum
    for name in ("mse_loss", "binary_cross_entropy_with_logits"):
        loss = LOSSES[name]
        values, grads = elements_and_grads(loss, x, t)
        for start in range(0, n, 400_009):
            part = slice(start, start + 400_009)
            small_values, small_grads = elements_and_grads(loss, x[part], t[part])
            assert_same_bits(values[part], small_values)
            assert_same_bits(grads[part], small_grads)
        out = np.empty(2 * n + 3, dtype)
        for view in (out[1 : n + 1], out[: 2 * n : 2]):
            total, _ = loss.value_and_grad(x, t, reduction="sum", out=view)
            assert_same_bits(view, grads)
            assert total == loss(x, t, reduction="sum")


def elements_and_grads(loss, *arrays):
    return loss.value_and_grad(*arrays, reduction="none")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_arrays(run_python):
    """Every loss on 4 million elements with out= given: the peak may rise by buffers of the threads, not by arrays."""
    script = """
        import re
        import numpy as np
        from battery import FIRST_CASES, bound, differentiable, generator

        def kilobytes(field):
            return int(re.search(field + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

        n = 1 << 22
        for case in FIRST_CASES:
            small = case.random((4096,), np.float32, generator(case))
            loss, names = bound(case), differentiable(case)
            loss.value_and_grad(**small, n_threads=2)
            arrays = {key: np.tile(array, n // 4096) for key, array in small.items()}
            weight = np.ones(n, np.float32)
            # Strided, converted and broadcast inputs need no copy either.
            last = list(arrays)[-1]
            variants = [arrays, {**arrays, last: np.ones(n, np.int64)[::-1]}, {**arrays, last: np.ones(n // 2, bool)}]
            variants[2] = {key: array.reshape(2, -1) for key, array in arrays.items()} | {last: variants[2][last]}
            for variant in variants:
                wrt = tuple(name for name in names if variant is arrays or name != last)
                if not wrt:
                    continue
                out = tuple(np.empty(variant[key].shape, np.float32) for key in wrt)
                for array in out:
                    array.fill(0)
                options = dict(sample_weight=weight.reshape(next(iter(variant.values())).shape), reduction="mean")
                grown = []
                # The kernel's own bookkeeping comes and goes; a copied array would be there each time.
                while len(grown) < 3 and min(grown, default=1 << 30) > 1024:
                    open("/proc/self/clear_refs", "w").write("5")
                    before = kilobytes("VmRSS")
                    loss.value_and_grad(**variant, wrt=wrt, out=out, n_threads=2, **options)
                    grown.append(kilobytes("VmHWM") - before)
                print(min(grown), case, [a.dtype.name for a in variant.values()])
    """
    # A fixed threshold gives large arrays back at once; otherwise one that was kept hides the next.
    printed = run_python(script, timeout=240, MALLOC_MMAP_THRESHOLD_="131072")
    growth = {line: int(line.split()[0]) for line in printed.splitlines()}
    assert len(growth) > 100
    assert not [line for line, kilobytes in growth.items() if kilobytes > 2048]
