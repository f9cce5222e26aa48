"""Losses of similarities: values, gradients, and that their bits depend on nothing but the numbers."""

from __future__ import annotations

import pickle

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from cases_similarity import CASES
from fusedloss import _core
from fusedloss._core_kernels import SimilarityKernel
from references_similarity import COUNTS, REFERENCES

each_case = pytest.mark.parametrize("case", CASES, ids=str)
FLOATS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def loss_of(case):
    return getattr(fl, case.loss).bind(reduction="mean")


def sample(case, n, dtype=np.float64, seed=3):
    arrays = case.arrays(np.random.default_rng(seed), n)
    return {key: a.astype(dtype) if a.dtype.kind == "f" else a for key, a in arrays.items()}


def in_double(arrays):
    return {key: a.astype(np.float64) if a.dtype.kind not in "iu" else a for key, a in arrays.items()}


def trainable(case, arrays):
    return tuple(key for key in arrays if not key.startswith(("target", "labels")))


def expected(case, arrays):
    return REFERENCES[case.loss](**in_double(arrays), **case.params)


def counts(case, arrays):
    count = COUNTS.get(case.loss)
    return np.ones(len(expected(case, arrays))) if count is None else count(**in_double(arrays), **case.params)


def numerical(case, arrays, weights):
    """The gradient of the weighted sum, by central differences."""
    arrays = in_double(arrays)
    gradients = []
    for key in trainable(case, arrays):
        x, g = arrays[key], np.zeros_like(arrays[key])
        for i in np.ndindex(x.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = x.copy()
                moved[i] += step
                sides.append(REFERENCES[case.loss](**{**arrays, key: moved}, **case.params))
            g[i] = ((sides[0] - sides[1]) * weights).sum() / 2e-5
        gradients.append(g)
    return gradients


def as_tuple(grads):
    return grads if isinstance(grads, tuple) else (grads,)


def close(given, wanted, tolerance):
    most = max(np.abs(wanted).max(initial=0.0), 1e-300)
    np.testing.assert_allclose(np.asarray(given, np.float64), wanted, rtol=0, atol=tolerance * most)


def test_every_loss_has_cases_and_a_reference():
    everything = {*fl.contrastive.__all__, *fl.linear.__all__}
    names = {name for name in everything if getattr(fl, name).family == "similarity"}
    assert {case.loss for case in CASES} == set(REFERENCES) == names


@each_case
@pytest.mark.parametrize("dtype", FLOATS)
def test_values(case, dtype):
    arrays = sample(case, 9, dtype)
    wanted, count = expected(case, arrays), counts(case, arrays)
    # Products are rounded to single precision, and then multiplied by what may be 1 / 0.07.
    tolerance = {8: 1e-13, 4: 2e-5, 2: 2e-2}[np.dtype(dtype).itemsize]
    loss = loss_of(case)
    given = loss(**arrays, **case.params, reduction="none")
    assert given.dtype == dtype
    close(given, wanted, tolerance)
    tolerance = min(tolerance, 2e-5)
    assert loss(**arrays, **case.params, reduction="sum") == pytest.approx(wanted.sum(), rel=tolerance)
    assert loss(**arrays, **case.params) == pytest.approx(wanted.sum() / count.sum(), rel=tolerance)
    weights = np.random.default_rng(5).random(len(wanted))
    weights[2] = 0.0
    given = loss(**arrays, **case.params, sample_weight=weights)
    assert given == pytest.approx((weights * wanted).sum() / (weights * count).sum(), rel=tolerance)


@each_case
def test_gradients(case):
    arrays = sample(case, 5)
    wanted = expected(case, arrays)
    weights = np.random.default_rng(5).random(len(wanted))
    weights[1] = 0.0
    wrt = trainable(case, arrays)
    loss = loss_of(case)
    value, grads = loss.value_and_grad(**arrays, **case.params, wrt=wrt, reduction="sum", sample_weight=weights)
    assert value == pytest.approx((weights * wanted).sum(), rel=1e-13)
    exact = numerical(case, arrays, weights)
    for given, other in zip(as_tuple(grads), exact, strict=True):
        close(given, other, 1e-7)
    cotangent = loss.backward(weights, **arrays, **case.params, wrt=wrt, reduction="none")
    for given, other in zip(as_tuple(cotangent), exact, strict=True):
        close(given, other, 1e-7)
    scaled = loss.backward(3.0, **arrays, **case.params, wrt=wrt)
    for given, other in zip(
        as_tuple(scaled), numerical(case, arrays, 3.0 / counts(case, arrays).sum() * np.ones(len(wanted))), strict=True
    ):
        close(given, other, 1e-7)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_gradients_of_other_types_are_those_of_double(case, dtype):
    arrays = sample(case, 40, dtype)
    wrt = trainable(case, arrays)
    grads = as_tuple(loss_of(case).grad(**arrays, **case.params, wrt=wrt))
    exact = as_tuple(loss_of(case).grad(**in_double(arrays), **case.params, wrt=wrt))
    for key, given, other in zip(wrt, grads, exact, strict=True):
        assert given.dtype == dtype
        assert given.shape == arrays[key].shape
        close(given, other, {4: 1e-4, 2: 1e-2}[np.dtype(dtype).itemsize])


def layouts(a):
    yield np.asfortranarray(a)
    if a.ndim > 1:
        wide = np.zeros((a.shape[0] * 2, *a.shape[1:-1], a.shape[-1] * 3), a.dtype)
        wide[::2, ..., ::3] = a
        yield wide[::2, ..., ::3]
        yield np.ascontiguousarray(a[::-1])[::-1]
        yield np.ascontiguousarray(a[..., ::-1])[..., ::-1]
    yield a.astype(a.dtype.newbyteorder(">"))


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_layout_threads_or_level(case, dtype):
    arrays = sample(case, 70, dtype)
    wrt = trainable(case, arrays)
    loss = loss_of(case)

    def run(given, **more):
        value, grads = loss.value_and_grad(**given, **case.params, wrt=wrt, **more)
        return value, [g.tobytes() for g in as_tuple(grads)]

    first = run(arrays, n_threads=1)
    assert all(run(arrays, n_threads=n) == first for n in (2, 3, 8))
    for k in range(5):
        moved = {key: (list(layouts(a)) * 5)[k] for key, a in arrays.items()}
        assert run(moved) == first
    before = fl.get_isa()
    # The baseline has no fused multiply-add: its last digits are its own.
    levels = [name for name, runs in _core.isa_levels().items() if runs and "v1" not in (name, before)]
    try:
        for name in levels:
            fl.set_isa(name)
            assert run(arrays) == first
    finally:
        fl.set_isa(before)


@each_case
def test_results_go_where_they_are_wanted(case):
    arrays = sample(case, 9, np.float32)
    wrt = trainable(case, arrays)
    value, grads = loss_of(case).value_and_grad(**arrays, **case.params, wrt=wrt)
    out = tuple(np.full((*a.shape, 2), 7, a.dtype)[..., 0] for a in map(arrays.get, wrt))
    other, given = loss_of(case).value_and_grad(**arrays, **case.params, wrt=wrt, out=out if len(out) > 1 else out[0])
    assert other == value
    for a, b, c in zip(as_tuple(grads), as_tuple(given), out, strict=True):
        assert b is c
        assert np.array_equal(a, c)
    # In place of the arrays themselves.
    copies = {key: a.copy() for key, a in arrays.items()}
    out = tuple(copies[key] for key in wrt)
    loss_of(case).grad(**copies, **case.params, wrt=wrt, out=out if len(out) > 1 else out[0])
    assert all(np.array_equal(a, b) for a, b in zip(as_tuple(grads), out, strict=True))


@each_case
def test_nothing_has_no_mean(case):
    arrays = sample(case, 0)
    value, grads = loss_of(case).value_and_grad(**arrays, **case.params, wrt=trainable(case, arrays))
    assert np.isnan(value)
    assert not any(g.any() for g in as_tuple(grads))
    assert loss_of(case)(**arrays, **case.params, reduction="sum") == 0.0


@each_case
def test_no_number_spreads_to_value_and_gradient(case):
    arrays = sample(case, 6)
    name = next(iter(arrays))
    arrays[name][0, 1] = np.nan
    value, grads = loss_of(case).value_and_grad(**arrays, **case.params, wrt=name)
    assert np.isnan(value)
    assert np.isnan(grads[0]).all()


@each_case
def test_rows_without_weight_may_hold_anything(case):
    arrays = sample(case, 6)
    name = next(iter(arrays))
    if not case.loss.startswith("linear_") and (
        name in ("view1", "input") or case.loss in ("gte_loss", "clip_loss") or "symmetric" in case.params
    ):
        return  # a row is a column of the others, too
    weights = np.ones(6)
    weights[0] = 0.0
    value, grads = loss_of(case).value_and_grad(
        **arrays, **case.params, wrt=trainable(case, arrays), sample_weight=weights
    )
    arrays[name][0] = np.nan
    other, spoiled = loss_of(case).value_and_grad(
        **arrays, **case.params, wrt=trainable(case, arrays), sample_weight=weights
    )
    assert other == value
    for a, b in zip(as_tuple(grads), as_tuple(spoiled), strict=True):
        assert np.array_equal(a, b)
    assert not as_tuple(grads)[0][0].any()


@each_case
def test_bound_losses_are_picklable(case):
    arrays = sample(case, 6)
    bound = loss_of(case).bind(**case.params)
    assert pickle.loads(pickle.dumps(bound)) == bound
    assert bound(**arrays) == loss_of(case)(**arrays, **case.params)


class TestTeachers:
    """PyTorch's gradients of what Liger's fused losses of a student and a teacher compute, transcribed."""

    @pytest.mark.parametrize("temperature", [1.0, 2.0])
    @pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, "kl", "cosine"])
    def test_are_those_of_torch(self, beta, temperature):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        functional, generator = torch.nn.functional, np.random.default_rng(0)
        x, w, b, t = (generator.normal(size=shape) for shape in ((9, 4), (300, 4), 300, (9, 300)))
        labels = np.where(np.arange(9) % 3, 1, -100)
        layer = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
        z, teacher = layer[0] @ layer[1].T + layer[2], torch.tensor(t)
        p, r = (torch.log_softmax(s / temperature, -1) for s in (z, teacher))

        def kl(one, other):
            return functional.kl_div(other, one, reduction="none", log_target=True).sum(-1)

        loss, params = fl.linear_jensen_shannon_divergence, {"beta": beta, "temperature": temperature}
        if beta == "cosine":
            loss, params, each = fl.linear_cosine_distillation_loss, {}, 1 - torch.cosine_similarity(z, teacher)
        elif beta == "kl":
            loss, params, each = fl.linear_distillation_loss, {"temperature": temperature}, temperature**2 * kl(r, p)
        elif beta in (0.0, 1.0):
            each = kl(p, r) if beta else kl(r, p)
        else:
            m = torch.logsumexp(torch.stack([r + np.log(beta), p + np.log(1 - beta)]), 0)
            each = beta * kl(r, m) + (1 - beta) * kl(p, m)
        mean = each[torch.tensor(labels != -100)].mean()
        value, grads = loss.value_and_grad(
            x, w, t, linear_bias=b, labels=labels, wrt=("input", "linear_weight", "linear_bias"), **params
        )
        assert value == pytest.approx(mean.item(), rel=1e-12)
        for given, wanted in zip(grads, torch.autograd.grad(mean, layer), strict=True):
            close(given, wanted.numpy(), 1e-12)


class TestRefusals:
    a, b = np.ones((4, 3)), np.ones((4, 3))

    def test_vectors_of_other_length(self):
        with pytest.raises(ValueError, match=r"info_nce_loss: positive has shape \(4, 2\), expected \[n, 3\]"):
            fl.info_nce_loss(self.a, np.ones((4, 2)))

    def test_too_few_positives(self):
        with pytest.raises(ValueError, match="n_pairs_loss: positive has 3 vectors"):
            fl.n_pairs_loss(self.a, self.b[:3])

    def test_arrays_of_other_rank(self):
        with pytest.raises(ValueError, match="nt_xent_loss: view1 has shape"):
            fl.nt_xent_loss(np.ones(3), self.b)
        with pytest.raises(ValueError, match="info_nce_loss: negatives has shape"):
            fl.info_nce_loss(self.a, self.b, negatives=np.ones(3))

    def test_labels(self):
        with pytest.raises(IndexError, match=r"linear_cross_entropy: target\[1\] = 4 is not in \[0, 4\)"):
            fl.linear_cross_entropy(self.a, self.b, np.array([0, 4, 1, 1]))
        with pytest.raises(ValueError, match="supervised_contrastive_loss: target has shape"):
            fl.supervised_contrastive_loss(self.a, np.array([0, 1]))
        with pytest.raises(TypeError, match="supervised_contrastive_loss: target has dtype float64"):
            fl.supervised_contrastive_loss(self.a, np.array([0.0, 1, 1, 0]))
        with pytest.raises(IndexError, match=r"supervised_contrastive_loss: target\[2\] = -1"):
            fl.supervised_contrastive_loss(self.a, np.array([0, 1, -1, 0]))

    def test_numbers(self):
        with pytest.raises(ValueError, match="clip_loss: logit_scale has shape"):
            fl.clip_loss(self.a, self.b, np.ones(2))
        with pytest.raises(ValueError, match="info_nce_loss: temperature must be positive"):
            fl.info_nce_loss(self.a, self.b, temperature=0.0)

    def test_weights(self):
        with pytest.raises(ValueError, match=r"info_nce_loss: sample_weight\[1\] is negative"):
            fl.info_nce_loss(self.a, self.b, sample_weight=[1, -1, 1, 1])

    def test_teachers(self):
        x, w = self.a, np.ones((5, 3))
        for loss in (fl.linear_distillation_loss, fl.linear_cosine_distillation_loss):
            with pytest.raises(ValueError, match=rf"{loss.name}: target has shape \(4, 3\), expected \[4, 5\]"):
                loss(x, w, self.b)
            with pytest.raises(ValueError, match=rf"{loss.name}: target has shape \(3, 3\), expected \[4, n\]"):
                loss(x, w, self.b[:3], target_weight=w)
            with pytest.raises(ValueError, match=r"target_weight has shape \(3, 5\), expected \(5, 3\)"):
                loss(x, w, self.b, target_weight=w.T)
            with pytest.raises(ValueError, match=r"target_bias has shape \(4,\), expected a single number or one for"):
                loss(x, w, self.b, target_weight=w, target_bias=np.ones(4))
            with pytest.raises(ValueError, match="target_bias has no target_weight beside it"):
                loss(x, w, np.ones((4, 5)), target_bias=np.ones(5))
            with pytest.raises(TypeError, match="target_weight has dtype complex128"):
                loss(x, w, self.b, target_weight=w + 1j)
            with pytest.raises(IndexError, match=r"labels\[3\] = 5 is not in \[0, 5\)"):
                loss(x, w, np.ones((4, 5)), labels=np.array([0, -100, 1, 5]))
            with pytest.raises(ValueError, match="wrt must be among 'input', 'linear_weight', got 'target'"):
                loss.grad(x, w, np.ones((4, 5)), wrt="target")

    def test_nothing_is_written(self):
        out = np.full((4, 3), 5.0)
        with pytest.raises(IndexError):
            fl.linear_cross_entropy.grad(self.a, self.b, np.array([0, 4, 1, 1]), wrt="input", out=out)
        assert (out == 5.0).all()


class TestExtremes:
    def test_vectors_without_direction_have_no_gradient(self):
        a, b = np.random.default_rng(0).normal(size=(2, 5, 4))
        a[1] = 0.0
        value, (of_a, of_b) = fl.info_nce_loss.value_and_grad(a, b)
        assert np.isfinite(value)
        assert not of_a[1].any()
        assert np.isfinite(of_b).all()

    @pytest.mark.parametrize("size", [1e-20, 1e20])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_lengths_do_not_matter(self, size, dtype):
        a, b = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(dtype)
        if size < 1e-12:
            size *= 1e9
        value, (of_a, _) = fl.info_nce_loss.value_and_grad(a * dtype(size), b)
        exact, (wanted, _) = fl.info_nce_loss.value_and_grad(a, b)
        assert value == pytest.approx(exact, rel=1e-5)
        close(of_a.astype(np.float64) * size, wanted, 1e-4)

    def test_equal_vectors_and_sharp_temperatures(self):
        a = np.eye(4, dtype=np.float32)
        value, grads = fl.info_nce_loss.value_and_grad(a, a, temperature=1e-3)
        assert value == 0.0
        assert all(np.isfinite(g).all() for g in grads)

    def test_embeddings_alone_in_their_class(self):
        a = np.random.default_rng(0).normal(size=(6, 4))
        value, grad = fl.supervised_contrastive_loss.value_and_grad(a, np.arange(6))
        assert np.isnan(value)
        assert not grad.any()
        each = fl.supervised_contrastive_loss(a, np.array([0, 0, 1, 2, 3, 4]), reduction="none")
        assert (each[2:] == 0.0).all()
        assert (each[:2] > 0.0).all()

    @pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
    def test_scores_next_to_those_of_the_teacher(self, size):
        x, w = np.random.default_rng(0).normal(size=(6, 4)), np.random.default_rng(1).normal(size=(300, 4)) * size
        scores = x @ w.T
        turned = scores + 1e-9 * size * np.random.default_rng(2).normal(size=scores.shape)
        value, (of_x, of_w) = fl.linear_cosine_distillation_loss.value_and_grad(x, w, turned)
        s, t = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (scores, turned))
        exact = ((t - s) ** 2).sum(1).mean() / 2
        assert value == pytest.approx(exact, rel=1e-5)
        assert np.isfinite(of_x).all()
        assert np.isfinite(of_w).all()

    def test_scores_without_direction(self):
        x, w = np.zeros((3, 4)), np.ones((5, 4))
        value, grads = fl.linear_cosine_distillation_loss.value_and_grad(x, w, np.ones((3, 5)))
        assert value == 1.0
        assert not any(g.any() for g in grads)


class TestDistances:
    """Minus squared distances as scores: the same numbers wherever the vectors are."""

    @pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_are_those_of_the_differences(self, offset, dtype):
        generator, n, scale = np.random.default_rng(0), 80, 1.7
        a = (generator.normal(size=(n, 6)) + offset).astype(dtype)
        b = (a + 0.3 * generator.normal(size=(n, 6))).astype(dtype)
        kernel = SimilarityKernel("cross_entropy", {"query": "row", "positive": "column"})
        call, arrays, params, options = kernel(a, b, labels="diagonal", scale=scale, distance=True)
        value, grads, _, _ = kernel.run(call.index, "distances", arrays, params, options, None, None, 1, 3, 3, None, 0)
        apart = a.astype(float)[:, None] - b.astype(float)
        exact, inner = fl.cross_entropy.value_and_grad(-scale * (apart**2).sum(-1), np.arange(n))
        pulls = -2.0 * scale * inner[..., None] * apart
        tolerance = 20 * float(np.finfo(dtype).eps)
        assert value == pytest.approx(exact, rel=tolerance)
        close(grads[0], pulls.sum(1), tolerance)
        close(grads[1], -pulls.sum(0), tolerance)


class TestLearnedScales:
    """The gradient in what multiplies the scores, of products and of distances."""

    @pytest.mark.parametrize("scale", [0.0, 0.75, -2.0])
    @pytest.mark.parametrize("distance", [False, True])
    @pytest.mark.parametrize(
        ("roles", "labels"),
        [("row column scale", "diagonal"), ("both scale", "opposite"), ("row own column scale", "first")],
    )
    def test_gradients(self, roles, labels, distance, scale):
        generator = np.random.default_rng(0)
        vectors = [generator.normal(size=(8, 4)) for _ in roles.split()[:-1]]
        kernel = SimilarityKernel("cross_entropy", dict(zip("abcd", roles.split(), strict=False)))

        def run(*arrays):
            call, arrays, params, options = kernel(
                *arrays, distance=distance, labels=labels, exclude_self=labels == "opposite"
            )
            every = (1 << len(arrays)) - 1
            value, grads, _, _ = kernel.run(
                call.index, "scaled", arrays, params, options, None, None, 1, 3, every, None, 0
            )
            return value, grads

        _, grads = run(*vectors, np.array(scale))
        above, below = (run(*vectors, np.array(scale + step))[0] for step in (1e-5, -1e-5))
        assert grads[-1] == pytest.approx((above - below) / 2e-5, rel=1e-7, abs=1e-9)
        assert all(g.any() == (scale != 0.0) for g in grads[:-1])

    def test_scale_of_nothing(self):
        a, b = np.random.default_rng(0).normal(size=(2, 5, 4))
        value, grads = fl.clip_loss.value_and_grad(a, b, 0.0)
        assert value == pytest.approx(np.log(5.0), rel=1e-14)
        assert all(np.isfinite(g).all() for g in grads)
        value, grads = fl.ge2e_loss.value_and_grad(a.reshape(2, 2, 5), 0.0, -5.0)
        assert value == pytest.approx(4 * np.log(2.0), rel=1e-14)
        assert grads[1] != 0.0
        assert np.isfinite(grads[1])


class TestProduct:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("shape", [(1, 1, 1), (15, 33, 17), (100, 257, 300), (300, 20, 9)])
    def test_is_a_product(self, dtype, shape):
        m, n, k = shape
        generator = np.random.default_rng(0)
        a, b = generator.normal(size=(m, k)).astype(dtype), generator.normal(size=(n, k)).astype(dtype)
        out = np.ones((m, n), dtype)
        _core.gemm(a, b.T, out, 2.0, True, 2)
        close(out, 2.0 * a.astype(float) @ b.T.astype(float) + 1.0, 20 * float(np.finfo(dtype).eps))
        again = np.ones((m, n), dtype)
        _core.gemm(np.asfortranarray(a), np.ascontiguousarray(b.T), again, 2.0, True, 1)
        assert np.array_equal(out, again)

    def test_refuses_what_does_not_fit(self):
        a = np.ones((2, 3))
        with pytest.raises(ValueError, match="gemm"):
            _core.gemm(a, a, a, 1.0, False, 1)
        with pytest.raises(TypeError, match="gemm"):
            _core.gemm(a, a.T, np.ones((2, 2), np.float32), 1.0, False, 1)
