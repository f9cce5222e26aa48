"""Losses of answers under a linear layer: values, gradients, and that their bits depend on nothing but the numbers."""

from __future__ import annotations

import pickle

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from cases_answers import CASES, REFERENCES, tokens_of
from fusedloss import _core

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_loss = pytest.mark.parametrize("name", sorted(REFERENCES))
FLOATS = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
TRAINED = ("input", "linear_weight", "linear_bias")


def loss_of(case):
    return getattr(fl, case.loss).bind(**case.params)


def sample(case, n=4, dtype=np.float64, seed=3):
    arrays = case.arrays(np.random.default_rng(seed), n)
    return {key: a.astype(dtype) if a.dtype.kind == "f" else a for key, a in arrays.items()}


def in_double(arrays):
    return {key: a.astype(np.float64) if a.dtype.kind not in "iu" else a for key, a in arrays.items()}


def trained(arrays):
    return tuple(key for key in TRAINED if key in arrays)


def terms_of(case, arrays, weight, **held):
    return REFERENCES[case.loss](weight=weight, **in_double(arrays), **case.params, **held)


def count_of(case, arrays):
    answers = len(arrays["target"])
    return answers if case.loss in ("linear_kto_loss", "linear_grpo_loss") else answers // 2


def weights_of(case, arrays):
    weights = np.random.default_rng(5).uniform(0.5, 2.0, count_of(case, arrays))
    weights[1] = 0.0
    return weights


def numerical(case, arrays, weight, factors):
    """The gradient of the weighted sum of the terms, by differences."""
    arrays, step = in_double(arrays), 1e-4
    held = {"held": tokens_of(**arrays)[0]} if case.loss == "linear_grpo_loss" else {}
    gradients = []
    for key in trained(arrays):
        x, g = arrays[key], np.zeros_like(arrays[key])
        for i in np.ndindex(x.shape):
            kept, sides = x[i], []
            for k in (-2, -1, 1, 2):
                x[i] = kept + k * step
                sides.append((terms_of(case, arrays, weight, **held) * factors).sum())
            x[i] = kept
            g[i] = (sides[0] - 8 * sides[1] + 8 * sides[2] - sides[3]) / (12 * step)
        gradients.append(g)
    return gradients


def close(given, wanted, tolerance):
    most = max(np.abs(wanted).max(initial=0.0), 1e-300)
    np.testing.assert_allclose(np.asarray(given, np.float64), wanted, rtol=0, atol=tolerance * most)


def test_every_loss_has_cases_that_reach_its_parameters():
    assert {case.loss for case in CASES} == set(REFERENCES) == set(fl.linear_preference.__all__)
    for name in REFERENCES:
        reached = {key for case in CASES if case.loss == name for key in (*case.params, *case.arguments)}
        assert set(getattr(fl, name).params) - {"ignore_index"} <= reached


@each_case
@pytest.mark.parametrize("dtype", FLOATS)
def test_values(case, dtype):
    arrays = sample(case, dtype=dtype)
    weights, loss = weights_of(case, arrays), loss_of(case)
    ones = np.ones_like(weights)
    wanted = terms_of(case, arrays, ones)
    # Log-probabilities have single precision at least; what is not reduced is rounded to the type of the input.
    tolerance = 1e-13 if dtype == np.float64 else 2e-6 * max(1.0, case.params.get("beta", 1.0) * 40)
    assert loss(**arrays) == pytest.approx(wanted.mean(), rel=tolerance)
    assert loss(**arrays, reduction="sum") == pytest.approx(wanted.sum(), rel=tolerance)
    each = loss(**arrays, reduction="none")
    assert each.dtype == dtype
    close(each, wanted, max(tolerance, float(ml_dtypes.finfo(dtype).eps)))
    wanted = weights * terms_of(case, arrays, weights)
    assert loss(**arrays, sample_weight=weights) == pytest.approx(wanted.sum() / weights.sum(), rel=tolerance)
    close(
        loss(**arrays, sample_weight=weights, reduction="none"),
        wanted,
        max(tolerance, float(ml_dtypes.finfo(dtype).eps)),
    )


@each_case
def test_gradients(case):
    arrays = sample(case, 3)
    if arrays["linear_weight"].size > 1000:
        pytest.skip("differences would take long; the bits of its rows are those of shorter ones")
    weights, loss = weights_of(case, arrays), loss_of(case)
    wrt, ones = trained(arrays), np.ones_like(weights)
    for options, weight, factors in (
        ({}, ones, ones / len(ones)),
        ({"sample_weight": weights}, weights, weights / weights.sum()),
        ({"sample_weight": weights, "reduction": "sum"}, weights, weights),
    ):
        value, grads = loss.value_and_grad(**arrays, wrt=wrt, **options)
        assert value == loss(**arrays, **options)
        for given, wanted in zip(grads, numerical(case, arrays, weight, factors), strict=True):
            close(given, wanted, 1e-8)
        for given, other in zip(loss.backward(3.0, **arrays, wrt=wrt, **options), grads, strict=True):
            close(given, 3.0 * other, 1e-14)
    cotangent = np.linspace(-1.0, 2.0, len(ones))
    grads = loss.backward(cotangent, **arrays, wrt=wrt, reduction="none")
    for given, wanted in zip(grads, numerical(case, arrays, ones, cotangent), strict=True):
        close(given, wanted, 1e-8)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_gradients_of_other_types_are_those_of_double(case, dtype):
    arrays = sample(case, dtype=dtype)
    wrt = trained(arrays)
    grads, exact = (loss_of(case).grad(**given, wrt=wrt) for given in (arrays, in_double(arrays)))
    for key, given, other in zip(wrt, grads, exact, strict=True):
        assert given.dtype == dtype
        assert given.shape == arrays[key].shape
        close(given, other, {4: 1e-4, 2: 1e-2}[np.dtype(dtype).itemsize])


def layouts(a):
    yield np.asfortranarray(a)
    yield np.repeat(a, 2, -1)[..., ::2]
    yield np.ascontiguousarray(a[::-1])[::-1]
    yield a.astype(a.dtype.newbyteorder(">"))


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_layout_threads_or_level(case, dtype):
    arrays, loss = sample(case, 30, dtype), loss_of(case)
    wrt = trained(arrays)

    def run(given, **more):
        value, grads = loss.value_and_grad(**given, wrt=wrt, **more)
        return value, [g.tobytes() for g in grads]

    first = run(arrays, n_threads=1)
    assert all(run(arrays, n_threads=n) == first for n in (2, 3, 8))
    for k in range(4):
        assert run({key: list(layouts(a))[k] for key, a in arrays.items()}) == first
    before = fl.get_isa()
    levels = [name for name, runs in _core.isa_levels().items() if runs and "v1" not in (name, before)]
    try:
        for name in levels:
            fl.set_isa(name)
            assert run(arrays) == first
    finally:
        fl.set_isa(before)


@each_case
def test_results_go_where_they_are_wanted(case):
    arrays, loss = sample(case, dtype=np.float32), loss_of(case)
    wrt = trained(arrays)
    value, grads = loss.value_and_grad(**arrays, wrt=wrt)
    for make in (np.empty_like, lambda a: np.full((*a.shape, 2), 7, a.dtype)[..., 0]):
        out = tuple(make(arrays[key]) for key in wrt)
        other, given = loss.value_and_grad(**arrays, wrt=wrt, out=out)
        assert other == value
        for a, b, c in zip(grads, given, out, strict=True):
            assert b is c
            np.testing.assert_array_equal(a, c)
    copies = {key: a.copy() for key, a in arrays.items()}
    loss.grad(**copies, wrt=wrt, out=tuple(copies[key] for key in wrt))
    for key, grad in zip(wrt, grads, strict=True):
        np.testing.assert_array_equal(copies[key], grad)
        out = np.empty_like(grad)
        assert loss.grad(**arrays, wrt=key, out=out) is out
        np.testing.assert_array_equal(out, grad)


@each_case
def test_nothing_has_no_mean(case):
    arrays, loss = sample(case, 0), loss_of(case)
    value, grads = loss.value_and_grad(**arrays, wrt=trained(arrays))
    assert np.isnan(value)
    assert not any(g.any() for g in grads)
    assert loss(**arrays, reduction="sum") == 0.0


@each_case
def test_answers_without_any_tokens(case):
    arrays, loss = sample(case), loss_of(case)
    arrays["target"][:] = -100
    value, grads = loss.value_and_grad(**arrays, wrt=trained(arrays))
    likelihood = loss.bind().params.get("alpha", 0.0) or case.params.get("average") == "tokens"
    assert np.isnan(value) == bool(likelihood)
    assert not any(g.any() for g in grads)


@each_case
def test_what_is_left_out_may_hold_anything(case):
    arrays, loss = sample(case), loss_of(case)
    wrt, weights = trained(arrays), weights_of(case, arrays)
    value, grads = loss.value_and_grad(**arrays, wrt=wrt, sample_weight=weights)
    arrays["input"][arrays["target"] == -100] = np.nan
    for answers in np.split(arrays["input"], len(arrays["input"]) // len(weights)):
        answers[1] = np.nan
    other, spoiled = loss.value_and_grad(**arrays, wrt=wrt, sample_weight=weights)
    assert other == value
    for a, b in zip(grads, spoiled, strict=True):
        np.testing.assert_array_equal(a, b)


@each_case
def test_no_number_spreads_to_value_and_gradient(case):
    arrays, loss = sample(case), loss_of(case)
    for key in trained(arrays):
        spoiled = {name: a.copy() for name, a in arrays.items()}
        spoiled[key].flat[0] = np.nan
        value, grad = loss.value_and_grad(**spoiled, wrt=key)
        assert np.isnan(value)
        assert np.isnan(grad).any()


@each_case
def test_bound_losses_are_picklable(case):
    arrays, loss = sample(case), loss_of(case)
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert loss(**arrays) == getattr(fl, case.loss)(**arrays, **case.params)
    assert not np.isnan(loss.bind(ignore_index=3)(**{**arrays, "target": np.abs(arrays["target"]) % 7}))


class TestRefusals:
    def arrays(self, name):
        case = next(case for case in CASES if case.loss == name)
        return sample(case, 2)

    @each_loss
    def test_shapes(self, name):
        loss, arrays = getattr(fl, name), self.arrays(name)
        for key, wrong, text in (
            ("input", arrays["input"][0], r"input has shape \(3, 4\), expected \[answers, tokens, D\]"),
            ("linear_weight", np.ones(4), r"linear_weight has shape \(4,\), expected \[classes, 4\]"),
            ("linear_weight", np.ones((7, 5)), r"linear_weight has shape \(7, 5\), expected \[n, 4\]"),
            ("linear_bias", np.ones(6), r"linear_bias has shape \(6,\), expected a single number or one for each"),
            ("target", arrays["target"].T, r"target has shape \(3, \d\), expected \(\d, 3\)"),
        ):
            with pytest.raises(ValueError, match=f"^{name}: {text}"):
                loss(**{**arrays, key: wrong})

    @each_loss
    def test_targets(self, name):
        loss, arrays = getattr(fl, name), self.arrays(name)
        with pytest.raises(TypeError, match=f"^{name}: target has dtype float64; expected class indices"):
            loss(**{**arrays, "target": arrays["target"] * 1.0})
        arrays["target"][1, 2] = 7
        out = np.full_like(arrays["input"], 5.0)
        with pytest.raises(
            IndexError, match=rf"^{name}: target\[1, 2\] = 7 is not in \[0, 7\) and is not ignore_index"
        ):
            loss.grad(**arrays, wrt="input", out=out)
        assert (out == 5.0).all()

    @each_loss
    def test_other_arguments(self, name):
        loss, arrays = getattr(fl, name), self.arrays(name)
        with pytest.raises(ValueError, match=rf"^{name}: sample_weight has shape \(9,\), which does not broadcast"):
            loss(**arrays, sample_weight=np.ones(9))
        with pytest.raises(ValueError, match=rf"^{name}: sample_weight\[1.* is negative or not finite"):
            loss(**arrays, sample_weight=[1.0, -1.0])
        with pytest.raises(ValueError, match=rf"^{name}: grad_output has shape \(2,\)"):
            loss.backward(np.ones(2), **arrays)
        with pytest.raises(ValueError, match=f"^{name}: wrt must be among"):
            loss.grad(**arrays, wrt="target")
        with pytest.raises(ValueError, match=rf"^{name}: out has shape \(3, 4\), expected \(\d, 3, 4\)"):
            loss.grad(**arrays, wrt="input", out=np.ones((3, 4)))
        with pytest.raises(TypeError, match=f"^{name}: out has dtype float32, expected float64"):
            loss.grad(**arrays, wrt="input", out=np.ones(arrays["input"].shape, np.float32))
        with pytest.raises(TypeError, match=f"^{name}: out must be a numpy array, got list"):
            loss.grad(**arrays, wrt="input", out=[1.0])
        for key in loss.inputs:
            for wrong in (None, np.ma.masked_array([1.0]), np.array(["a"]), np.array([1j])):
                with pytest.raises(TypeError, match=f"^{name}: {key} "):
                    loss(**{**arrays, key: wrong})
        with pytest.raises(TypeError, match=f"^{name}: a composition of losses has no one sum"):
            loss.partial(**arrays)

    def test_pairs(self):
        arrays = self.arrays("linear_cpo_loss")
        arrays |= {"input": arrays["input"][:3], "target": arrays["target"][:3]}
        with pytest.raises(
            ValueError, match=r"^linear_cpo_loss: input has 3 answers, expected as many rejected ones as"
        ):
            fl.linear_cpo_loss(**arrays)

    def test_references(self):
        arrays = self.arrays("linear_dpo_loss")
        layer = arrays.pop("reference_input")
        with pytest.raises(ValueError, match=r"^linear_dpo_loss: needs reference_log_prob, or reference_input and"):
            fl.linear_dpo_loss(**arrays)
        with pytest.raises(
            ValueError, match=r"^linear_dpo_loss: reference_input has shape \(3, 2\), expected \[4, 3, D\]"
        ):
            fl.linear_dpo_loss(**arrays, reference_input=layer[0])
        arrays["reference_weight"] = arrays["reference_weight"][:, :1]
        with pytest.raises(ValueError, match=r"^linear_dpo_loss: reference_weight has shape \(7, 1\), expected"):
            fl.linear_dpo_loss(**arrays, reference_input=layer)
        with pytest.raises(ValueError, match=r"^linear_dpo_loss: reference_log_prob has shape \(3,\), which does not"):
            fl.linear_dpo_loss(**arrays, reference_log_prob=np.ones(3))
        with pytest.raises(ValueError, match=r"^linear_dpo_loss: beta must be positive"):
            fl.linear_dpo_loss(**arrays, reference_log_prob=np.ones(4), beta=0.0)


class TestParity:
    """PyTorch's gradients of what Liger's fused losses compute, transcribed."""

    def scores(self, case):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        arrays = sample(case)
        layer = [torch.tensor(arrays[name], requires_grad=True) for name in TRAINED]
        kept = torch.tensor(arrays["target"] != -100)
        labels = torch.tensor(arrays["target"]).where(kept, 0)

        def log_probs(input, weight, bias):
            z = torch.log_softmax(input @ weight.T + bias, -1)
            return z.gather(-1, labels[..., None])[..., 0].where(kept, 0.0)

        with torch.no_grad():
            names = [name.replace("linear", "reference").replace("input", "reference_input") for name in TRAINED]
            of_reference = log_probs(*(torch.tensor(arrays[name]) for name in names)) if names[0] in arrays else None
        return torch, arrays, layer, log_probs(*layer), of_reference, kept

    def compare(self, case, loss, torch, arrays, layer, **params):
        exact = torch.autograd.grad(loss, layer)
        value, grads = getattr(fl, case.loss).value_and_grad(**arrays, wrt=TRAINED, **params)
        assert value == pytest.approx(loss.item(), rel=1e-13)
        for given, wanted in zip(grads, exact, strict=True):
            close(given, wanted.numpy(), 1e-12)

    @pytest.mark.parametrize("average", [False, True])
    @pytest.mark.parametrize("name", ["linear_dpo_loss", "linear_cpo_loss", "linear_simpo_loss", "linear_orpo_loss"])
    def test_pairs(self, name, average):
        case = next(case for case in CASES if case.loss == name)
        torch, arrays, layer, tokens, of_reference, kept = self.scores(case)
        halves = len(tokens) // 2

        def answers(x):
            return (x.sum(1) / kept.sum(1).clamp(min=1) if average else x.sum(1)).split(halves)

        softplus, (chosen, rejected) = torch.nn.functional.softplus, answers(tokens)
        if name == "linear_dpo_loss":
            of_chosen, of_rejected = answers(of_reference)
            each = softplus(-0.3 * ((chosen - of_chosen) - (rejected - of_rejected)))
        elif name == "linear_orpo_loss":
            odds = [x - torch.log1p(-torch.exp(x)) for x in (chosen, rejected)]
            each = 0.3 * softplus(odds[1] - odds[0])
        else:
            gamma = 0.5 if name == "linear_simpo_loss" else 0.0
            each = softplus(-(0.3 * (chosen - rejected) - gamma))
        likelihood = -tokens[:halves].sum() / kept[:halves].sum()
        loss = each.mean() + 0.7 * likelihood
        self.compare(case, loss, torch, arrays, layer, beta=0.3, alpha=0.7, average_log_prob=average)

    def test_kto(self):
        case = next(case for case in CASES if case.loss == "linear_kto_loss")
        torch, arrays, layer, tokens, of_reference, _ = self.scores(case)
        gain = 0.3 * ((tokens - of_reference).sum(1) - 0.1) * torch.tensor(2.0 * arrays["desirable"] - 1.0)
        self.compare(case, (1 - torch.sigmoid(gain)).mean(), torch, arrays, layer, beta=0.3, kl=0.1)

    @pytest.mark.parametrize("average", ["answers", "tokens", "length"])
    def test_grpo(self, average):
        case = next(case for case in CASES if case.loss == "linear_grpo_loss")
        torch, arrays, layer, tokens, of_reference, kept = self.scores(case)
        ratio, advantage = torch.exp(tokens - tokens.detach()), torch.tensor(arrays["advantage"])[:, None]
        each = -torch.minimum(ratio * advantage, ratio.clip(0.8, 1.2) * advantage)
        gap = of_reference - tokens
        each = (each + 0.04 * (torch.exp(gap) - gap - 1)).where(kept, 0.0)
        loss = {
            "answers": (each.sum(1) / kept.sum(1).clamp(min=1)).mean(),
            "tokens": each.sum() / kept.sum(),
            "length": each.sum() / each.numel(),
        }[average]
        self.compare(case, loss, torch, arrays, layer, average=average)
