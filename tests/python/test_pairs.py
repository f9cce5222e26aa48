"""Losses of paired vectors: values, gradients, types, layouts, weights, threads, ISA levels, ends of the range."""

from __future__ import annotations

import pickle
import zlib

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from battery import assert_same_bits
from cases_pairs import PAIR_CASES, WIDTH
from references_pairs import PAIR_REFERENCES

LEVELS = [name for name, supported in fl.show_config()["isa_levels"].items() if supported]
WITH_FMA = [name for name in LEVELS if name in ("v3", "v4")]
WIDTHS = (1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 64, 100, 2100)
STORED = (np.float32, np.float16, ml_dtypes.bfloat16)

each_case = pytest.mark.parametrize("case", PAIR_CASES, ids=str)
first_cases = pytest.mark.parametrize("case", {c.loss: c for c in reversed(PAIR_CASES)}.values(), ids=str)


def bound(case):
    return getattr(fl, case.loss).bind(**case.params)


def sample(case, rows=23, width=WIDTH, dtype=np.float64):
    generator = np.random.default_rng(zlib.crc32(str(case).encode()))
    arrays = case.arrays(generator, rows, width)
    return {name: x if x.dtype.kind == "i" else x.astype(dtype) for name, x in arrays.items()}


def differentiable(case, arrays):
    return tuple(name for name in bound(case).differentiable if name in arrays)


def everything(case, arrays, **options):
    """Values and gradients per row, by name."""
    wrt = differentiable(case, arrays)
    values, grads = bound(case).value_and_grad(**arrays, wrt=wrt, **{"reduction": "none", **options})
    return {"value": values, **dict(zip(wrt, grads if isinstance(grads, tuple) else (grads,), strict=True))}


def wide(arrays):
    return {name: x if x.dtype.kind == "i" else x.astype(np.longdouble) for name, x in arrays.items()}


def reference(case, arrays):
    return PAIR_REFERENCES[case.loss](**wide(arrays), **case.params)


def numerical_gradient(case, arrays, name, weight=1.0):
    """Of the weighted sum, by differences of fourth order in extended precision."""
    exact, step = wide(arrays), np.longdouble(1e-5)
    gradient = np.zeros(exact[name].shape, np.longdouble)
    for index in np.ndindex(*gradient.shape):
        total = 0.0
        for factor, k in ((8, 1), (-8, -1), (-1, 2), (1, -2)):
            moved = exact[name].copy()
            moved[index] += k * step
            total += factor * (weight * reference(case, {**exact, name: moved})).sum()
        gradient[index] = total / (12 * step)
    return gradient.astype(np.float64)


def assert_all_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name in actual:
        assert_same_bits(actual[name], expected[name], name)


class TestNumbers:
    @each_case
    def test_gradients_are_those_of_the_reference(self, case):
        arrays = sample(case, rows=6, width=5)
        results = everything(case, arrays)
        assert results.pop("value") == pytest.approx(reference(case, arrays).astype(np.float64), rel=1e-13, abs=1e-15)
        for name, gradient in results.items():
            assert gradient == pytest.approx(numerical_gradient(case, arrays, name), rel=1e-9, abs=1e-11), name

    @each_case
    @pytest.mark.parametrize("width", WIDTHS)
    def test_values_at_every_width(self, case, width):
        arrays = sample(case, rows=19, width=width)
        exact = reference(case, arrays).astype(np.float64)
        scale = abs(exact).max()
        if width > 1 or "cosine" not in f"{case}":
            assert everything(case, arrays)["value"] == pytest.approx(exact, rel=1e-12, abs=2e-12 * scale)

    @each_case
    @pytest.mark.parametrize("width", WIDTHS)
    def test_gradients_at_every_width_follow_the_values(self, case, width):
        """Along a random direction; every number of the gradient counts."""
        arrays = sample(case, rows=19, width=width)
        results, generator = everything(case, arrays), np.random.default_rng(width)
        for name in differentiable(case, arrays):
            exact, step = wide(arrays), np.longdouble(1e-6)
            direction = generator.normal(0, 1, arrays[name].shape) / np.sqrt(width)
            total = sum(
                factor * reference(case, {**exact, name: exact[name] + k * step * direction}).sum()
                for factor, k in ((8, 1), (-8, -1), (-1, 2), (1, -2))
            )
            slope = float(total / (12 * step))
            assert (results[name] * direction).sum() == pytest.approx(slope, rel=1e-8, abs=1e-9), name

    @each_case
    @pytest.mark.parametrize("dtype", STORED)
    def test_smaller_types_are_rounded_once(self, case, dtype):
        for width in (WIDTH, 40):
            arrays = sample(case, width=width, dtype=dtype)
            results = everything(case, arrays)
            exact = everything(case, {k: x if x.dtype.kind == "i" else x.astype(np.float64) for k, x in arrays.items()})
            for name, x in results.items():
                assert x.dtype == dtype
                tiny, eps = (float(f) for f in (ml_dtypes.finfo(dtype).smallest_subnormal, ml_dtypes.finfo(dtype).eps))
                gap = abs(x.astype(np.float64) - exact[name])
                assert (gap <= 0.51 * eps * abs(exact[name]) + 4e-14 * abs(exact[name]).max() + tiny).all(), name

    @each_case
    def test_reductions_and_weights(self, case):
        arrays = sample(case)
        weight = np.random.default_rng(1).uniform(0, 2, 23)
        weight[::5] = 0
        results, loss, wrt = everything(case, arrays), bound(case), differentiable(case, arrays)
        assert loss(**arrays, reduction="sum") == pytest.approx(results["value"].sum(), rel=1e-14)
        assert loss(**arrays, reduction="mean") == pytest.approx(results["value"].mean(), rel=1e-14)
        mean = loss(**arrays, reduction="mean", sample_weight=weight)
        assert mean == pytest.approx(np.average(results["value"], weights=weight), rel=1e-13)
        part = loss.partial(**arrays, sample_weight=weight)
        assert part.total + part.total_low == pytest.approx(mean * weight.sum(), rel=1e-13)
        weighted = everything(case, arrays, sample_weight=weight)
        assert weighted["value"] == pytest.approx(weight * results["value"], rel=1e-14)
        cotangent = loss.backward(weight, **arrays, reduction="none", wrt=wrt)
        for name, ours in zip(wrt, cotangent, strict=True):
            if name != "centers":
                factor = weight.reshape(-1, *[1] * (ours.ndim - 1))
                assert weighted[name] == pytest.approx(factor * results[name], rel=1e-13, abs=1e-15)
            assert ours == pytest.approx(weighted[name], rel=1e-13, abs=1e-15)
        for name, ours in zip(wrt, loss.grad(**arrays, reduction="mean", sample_weight=weight, wrt=wrt), strict=True):
            assert ours == pytest.approx(weighted[name] / weight.sum(), rel=1e-13, abs=1e-15)

    @each_case
    def test_weight_0_excludes_whatever_the_row_holds(self, case):
        if case.loss == "online_contrastive_loss":
            pytest.skip("every pair takes part in the choice")
        arrays = sample(case, width=20)
        expected = everything(case, arrays, sample_weight=np.arange(23) != 4, reduction="sum")
        first = next(iter(arrays))
        arrays[first] = arrays[first].copy()
        arrays[first][4, 3] = np.nan
        actual = everything(case, arrays, sample_weight=np.arange(23) != 4, reduction="sum")
        assert actual["value"] == expected["value"]
        assert all(np.isfinite(actual[name]).all() for name in actual)

    @each_case
    @pytest.mark.parametrize("width", [5, 33])
    def test_nan_in_nan_out(self, case, width):
        for name in differentiable(case, sample(case)):
            arrays = sample(case, width=width)
            poisoned = arrays[name].copy()
            poisoned.reshape(-1)[2] = np.nan
            arrays[name] = poisoned
            results = everything(case, arrays)
            if name != "centers" or (arrays["target"] == 0).any():
                assert np.isnan(results["value"]).any()
                assert np.isnan(results[name]).any(), name


class TestBits:
    @each_case
    @pytest.mark.parametrize("width", [1, 6, 37, 64])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
    def test_layouts(self, case, width, dtype):
        arrays = sample(case, 70, width, dtype)
        expected = everything(case, arrays)

        def spread(x):
            big = np.zeros([3 * n for n in x.shape], x.dtype)
            view = big[tuple(slice(None, None, 3) for _ in x.shape)]
            view[...] = x
            return view

        layouts = {
            "fortran": np.asfortranarray,
            "spread": spread,
            "backwards": lambda x: x[tuple(slice(None, None, -1) for _ in x.shape)].copy()[
                tuple(slice(None, None, -1) for _ in x.shape)
            ],
            "swapped bytes": lambda x: x.astype(x.dtype.newbyteorder()),
            "unaligned": lambda x: np.frombuffer(b"?" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
        }
        for name, lay in layouts.items():
            assert_all_same(everything(case, {k: lay(x) for k, x in arrays.items()}), expected)
            assert name

    @first_cases
    def test_out_in_any_layout(self, case):
        for width in (5, 40):
            arrays = sample(case, 50, width, np.float32)
            wrt, expected = differentiable(case, arrays), everything(case, arrays)
            outs = tuple(np.full((2, *reversed(arrays[name].shape)), 7, np.float32)[1].T for name in wrt)
            grads = bound(case).grad(**arrays, reduction="none", wrt=wrt, out=outs)
            for name, out, grad in zip(wrt, outs, grads, strict=True):
                assert grad is out
                assert_same_bits(np.ascontiguousarray(out), expected[name])

    @first_cases
    def test_a_gradient_may_replace_its_argument(self, case):
        for width in (5, 37):
            arrays = sample(case, 50, width, np.float32)
            for name in differentiable(case, arrays):
                mine = {k: x.copy() for k, x in arrays.items()}
                expected = bound(case).grad(**arrays, reduction="sum", wrt=name)
                bound(case).grad(**mine, reduction="sum", wrt=name, out=mine[name])
                assert_same_bits(mine[name], expected, name)

    @each_case
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_threads(self, case, dtype):
        arrays = sample(case, 3001, 24, dtype)
        expected = everything(case, arrays, n_threads=1, reduction="mean")
        for n in (2, 3, 5):
            actual = everything(case, arrays, n_threads=n, reduction="mean")
            assert actual.pop("value") == expected["value"]
            assert_all_same(actual, {k: x for k, x in expected.items() if k != "value"})

    @each_case
    @pytest.mark.skipif(len(WITH_FMA) < 2, reason="one level with fused multiply-add is compiled in and supported")
    def test_levels_with_fma(self, case):
        for width, dtype in ((5, np.float64), (50, np.float64), (50, np.float32)):
            arrays, results = sample(case, 40, width, dtype), []
            for level in WITH_FMA:
                fl.set_isa(level)
                results.append(everything(case, arrays))
            fl.set_isa(LEVELS[0])
            assert_all_same(*results)

    @first_cases
    def test_large_gradients_past_the_caches(self, case):
        """Written by whole lines wherever the array begins; compared with parts that are small."""
        width, rows = 39, 1 + (fl.show_config()["last_level_cache"] // (4 * 39))
        small = sample(case, 997, width, np.float32)
        arrays = {k: np.resize(x, (rows, *x.shape[1:])) if k != "centers" else x for k, x in small.items()}
        wrt = tuple(name for name in differentiable(case, arrays) if name != "centers")
        outs = []
        for name in wrt:
            room = np.zeros(arrays[name].size + 32, np.float32)
            outs.append(room[5 : 5 + arrays[name].size].reshape(arrays[name].shape))
        bound(case).grad(**arrays, reduction="sum", wrt=wrt, out=tuple(outs))
        expected = everything(case, small, reduction="sum")
        for name, out in zip(wrt, outs, strict=True):
            assert_same_bits(out, np.resize(expected[name], out.shape), name)
            assert (out.base[:5] == 0).all()
            assert (out.base[5 + out.size :] == 0).all()

    @first_cases
    def test_pickle(self, case):
        arrays = sample(case)
        copied = pickle.loads(pickle.dumps(bound(case)))
        assert copied(**arrays, reduction="sum") == bound(case)(**arrays, reduction="sum")


class TestShapes:
    @first_cases
    def test_more_axes_and_one_row(self, case):
        arrays = sample(case, 24)
        flat = everything(case, arrays)
        fixed = ("centers",)
        deep = {k: x if k in fixed else x.reshape(4, 6, *x.shape[1:]) for k, x in arrays.items()}
        results = everything(case, deep)
        assert results["value"].shape == (4, 6)
        for name, x in results.items():
            assert_same_bits(x.reshape(flat[name].shape), flat[name])
        moved = {k: np.moveaxis(x, -1, 1) if x.ndim == 3 else x for k, x in deep.items()}
        for name, x in everything(case, moved, axis=1).items():
            back = np.moveaxis(x, 1, -1) if x.ndim == 3 else x
            assert_same_bits(np.ascontiguousarray(back.reshape(flat[name].shape)), flat[name])
        if case.loss != "online_contrastive_loss":
            one = everything(case, {k: x if k in fixed else x[0] for k, x in arrays.items()})
            assert one["value"] == flat["value"][0]

    @first_cases
    def test_nothing(self, case):
        arrays = {k: x if k == "centers" else x[:0] for k, x in sample(case).items()}
        results = everything(case, arrays)
        assert results["value"].shape == (0,)
        assert all((x == 0).all() for x in results.values())
        assert np.isnan(bound(case)(**arrays, reduction="mean"))

    def test_broadcast_vectors(self):
        generator = np.random.default_rng(0)
        for width in (3, 20):
            x, y = generator.normal(0, 1, (8, width)), generator.normal(0, 1, width)
            full = fl.pairwise_distance.value_and_grad(x, np.tile(y, (8, 1)))
            values, (dx, dy) = fl.pairwise_distance.value_and_grad(x, y)
            assert_same_bits(values, full[0])
            assert_same_bits(dx, full[1][0])
            assert dy == pytest.approx(full[1][1].sum(0), rel=1e-12)

    def test_bad_input(self):
        x, out = np.ones((3, 4)), np.full((3, 4), 7.0)
        for bad, text in (
            (lambda: fl.contrastive_loss.grad(x, x[:, :3], np.zeros(3), out=(out, None)), r"x2 has shape \(3, 3\)"),
            (lambda: fl.contrastive_loss.grad(x, x, np.zeros(4), out=(out, None)), r"target has shape \(4,\)"),
            (lambda: fl.contrastive_loss(1.0, x, np.zeros(3)), "x1 is a single number"),
            (lambda: fl.cosine_distance(x, x, axis=2), "axis is 2"),
            (lambda: fl.cosine_distance(x[:, :0], x[:, :0]), "without any components"),
            (lambda: fl.pairwise_distance(x, x, p=0.0), "p must be positive"),
            (lambda: fl.triplet_margin_loss(x, x, x, margin=0.0), "margin must be positive"),
            (lambda: fl.triplet_margin_loss(x, x, x, p=1.0, squared=True), "squared needs p = 2"),
            (lambda: fl.triplet_margin_loss(x, x, x, distance="dot", squared=True), "squared needs distance 'lp'"),
            (lambda: fl.contrastive_loss(x, x, np.zeros(3), similar_label=2), "similar_label must be 0 or 1"),
            (lambda: fl.center_loss(x, x[:, :3], np.zeros(3, int)), r"centers has shape \(3, 3\)"),
            (lambda: fl.center_loss(x, x, np.zeros((3, 1), int)), r"target has shape \(3, 1\)"),
            (lambda: fl.cosine_distance(x, x, sample_weight=[1, -1, 1]), r"sample_weight\[1\] is negative"),
        ):
            with pytest.raises(ValueError, match=text):
                bad()
        with pytest.raises(TypeError, match="expected indices of an integer dtype"):
            fl.center_loss(x, x, np.zeros(3))
        with pytest.raises(IndexError, match=r"target\[2\] = 5 is not in \[0, 3\)"):
            fl.center_loss.grad(x, x, np.array([0, 1, 5]), out=(out, None))
        assert (out == 7).all()


class TestEndsOfTheRange:
    @pytest.mark.parametrize("width", [2, 5, 16, 40])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_nothing_overflows_that_is_finite(self, width, dtype):
        generator = np.random.default_rng(width)
        x, y = generator.normal(0, 1, (2, 9, width)).astype(dtype)
        for power in (20, -20) if dtype is np.float32 else (20, -20, 200, -140, 307):
            scale = dtype(10.0) ** power
            values, grads = fl.pairwise_distance.value_and_grad(scale * x, scale * y, eps=0.0)
            units = 8 * float(np.finfo(dtype).eps)
            u = (scale * x - scale * y).astype(np.longdouble) / np.longdouble(scale)
            length = np.sqrt((u * u).sum(-1))
            assert values / scale == pytest.approx(length.astype(float), rel=units)
            assert grads[0] == pytest.approx((u / length[:, None]).astype(float), rel=units, abs=1e-30)
            values, grads = fl.cosine_distance.value_and_grad(scale * x, scale * y, eps=0.0)
            exact, slopes = fl.cosine_distance.value_and_grad(x, y, eps=0.0)
            assert values == pytest.approx(exact, rel=8 * units)
            if abs(power) < 40:
                assert grads[0].astype(float) * float(scale) == pytest.approx(slopes[0], rel=units, abs=units)
            assert all(np.isfinite(g).all() for g in grads)

    @pytest.mark.parametrize("width", [3, 16, 50])
    def test_zero_vectors_and_identical_ones_have_gradient_0(self, width):
        x = np.random.default_rng(0).normal(0, 1, (4, width))
        zero = np.zeros_like(x)
        for loss in (fl.cosine_similarity, fl.cosine_distance):
            value, grads = loss.value_and_grad(zero, x)
            assert (value == (loss is fl.cosine_distance)).all()
            assert (grads[0] == 0).all()
            assert np.isfinite(grads[1]).all()
        value, grads = fl.cosine_embedding_loss.value_and_grad(zero, x, np.ones(4))
        assert value == 1
        assert all((g == 0).all() for g in grads)
        for p in (1.0, 1.5, 2.0, 7.0, np.inf):
            value, grads = fl.pairwise_distance.value_and_grad(x, x, p=p, eps=0.0)
            assert (value == 0).all()
            assert all((g == 0).all() for g in grads)
        value, grads = fl.contrastive_loss.value_and_grad(x, x, np.ones(4), margin=3.0)
        assert value == 4.5
        assert all((g == 0).all() for g in grads)
        value, grads = fl.cosine_distance.value_and_grad(x, x)
        assert (value == 0).all()
        assert all(abs(g).max() < 1e-15 for g in grads)

    @pytest.mark.parametrize("width", [4, 16, 70])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_cosine_distance_of_vectors_that_nearly_agree(self, width, dtype):
        generator = np.random.default_rng(width)
        x = generator.normal(0, 1, (20, width)).astype(dtype)
        for size in (1e-2, 1e-4, 1e-6):
            y = (dtype(3.0) * x * (1 + size * generator.normal(0, 1, x.shape))).astype(dtype)
            a, b = (v.astype(np.longdouble) for v in (x, y))
            k = np.sqrt((a * a).sum(-1) / (b * b).sum(-1))
            exact = (((a - k[:, None] * b) ** 2).sum(-1) / (2 * (a * a).sum(-1))).astype(np.float64)
            assert fl.cosine_distance(x, y).astype(float) == pytest.approx(exact, rel=8 * float(np.finfo(dtype).eps))

    @pytest.mark.parametrize("width", [6, 64])
    def test_away_from_the_origin(self, width):
        generator = np.random.default_rng(0)
        x = (100 + generator.normal(0, 1e-4, (30, width))).astype(np.float32)
        y = (100 + generator.normal(0, 1e-4, (30, width))).astype(np.float32)
        exact = np.sqrt(((x.astype(np.float64) - y) ** 2).sum(-1))
        assert fl.pairwise_distance(x, y, eps=0.0).astype(float) == pytest.approx(exact, rel=1e-7)

    def test_swap_takes_the_nearer_pair(self):
        a, p, n = np.array([[0.0, 0.0]]), np.array([[3.0, 0.0]]), np.array([[4.0, 0.0]])
        value, grads = fl.triplet_margin_loss.value_and_grad(a, p, n, swap=True, eps=0.0)
        assert value == 3.0
        assert [list(g[0]) for g in grads] == [[-1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]]


def test_torch_agrees():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    F = torch.nn.functional
    generator = np.random.default_rng(5)
    for width in (3, 16, 45):
        a, p, n = (generator.normal(0, 1, (21, width)) for _ in range(3))
        sign = generator.choice([-1.0, 1.0], 21)
        calls = [(fl.cosine_similarity, F.cosine_similarity, (a, p), {})]
        for order in (1.0, 2.0, 3.0, float("inf")):
            calls.append((fl.pairwise_distance, F.pairwise_distance, (a, p), {"p": order}))
        for options in ({}, {"p": 3.0, "swap": True}, {"p": 1.0, "margin": 4.0}):
            calls.append((fl.triplet_margin_loss, F.triplet_margin_loss, (a, p, n), options))
        calls.append((fl.cosine_embedding_loss, F.cosine_embedding_loss, (a, p, sign), {"margin": 0.1}))
        for ours, theirs, arrays, options in calls:
            tensors = [torch.tensor(x, requires_grad=x.ndim > 1) for x in arrays]
            expected = theirs(*tensors, **options)
            expected.sum().backward()
            value, grads = ours.value_and_grad(*arrays, **options)
            assert value == pytest.approx(expected.detach().numpy(), rel=1e-8)
            for grad, tensor in zip(grads, tensors, strict=False):
                assert grad == pytest.approx(tensor.grad.numpy(), rel=1e-7, abs=1e-10)
