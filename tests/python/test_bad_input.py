"""What must be refused: one table of mistakes, applied to every loss. Refusals name the argument and write nothing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from battery import (
    LOSSES,
    assert_close,
    bound,
    differentiable,
    each_loss,
    elements,
    filled_like,
    one_case_per_loss,
    sample,
)
from cases import cases_of
from references import NP, REFERENCES

N = 20


class Elsewhere:
    """An array that says it lies on another device."""

    device = "cuda:1"

    def __dlpack_device__(self):
        return 2, 1

    def __dlpack__(self, **options):
        raise AssertionError("must not be asked for its data")

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("must not be asked for its data")


@dataclass(frozen=True)
class Mistake:
    """A replacement for an argument, and the exception that names it."""

    value: Any
    error: type[Exception]
    says: str = ""


NOT_ARRAYS = {
    "None": Mistake(None, TypeError, "None"),
    "object": Mistake(np.full(N, 1.0, object), TypeError, "object"),
    "object None": Mistake(np.array([None] * N), TypeError, "object"),
    "str": Mistake(np.full(N, "1.0"), TypeError, "U3"),
    "bytes": Mistake(np.full(N, b"1.0"), TypeError, "S3"),
    "one str": Mistake("1.0", TypeError, "str"),
    "one bytes": Mistake(b"1.0", TypeError, "bytes"),
    "complex": Mistake(np.full(N, 1j), TypeError, "complex128"),
    "one complex": Mistake(1j, TypeError, "complex128"),
    "complex64": Mistake(np.full(N, 1j, np.complex64), TypeError, "complex64"),
    "longdouble": Mistake(np.ones(N, np.longdouble), TypeError, np.dtype(np.longdouble).name),
    "datetime": Mistake(np.full(N, "2020-01-01", "M8[D]"), TypeError, "datetime64"),
    "timedelta": Mistake(np.full(N, 1, "m8[s]"), TypeError, "timedelta64"),
    "structured": Mistake(np.ones(N, [("a", "f8")]), TypeError, "a"),
    "void": Mistake(np.zeros(N, "V8"), TypeError, "V8"),
    "masked": Mistake(np.ma.masked_array(np.ones(N), np.arange(N) % 2), TypeError, "masked"),
    "ragged": Mistake([[1.0], [1.0, 2.0]], TypeError, "list"),
    "dict": Mistake({"a": 1.0}, TypeError, "dict"),
    "set": Mistake({1.0}, TypeError, "set"),
    "generator": Mistake((i for i in range(N)), TypeError, ""),
    "function": Mistake(len, TypeError, ""),
    "device": Mistake(Elsewhere(), TypeError, "cuda:1"),
}
WRONG_SHAPES = {
    "column": np.ones((N, 1)),
    "row of more dimensions": np.ones((1, N)),
    "too long": np.ones(N + 1),
    "too short": np.ones(N - 1),
    "length 2": np.ones(2),
    "empty": np.ones(0),
    "matrix": np.ones((N, N)),
    "one element of more dimensions": np.ones((1, 1)),
}
BAD_WEIGHTS = (-1.0, -1e-300, -np.inf, np.inf, np.nan)


def refused(case, arrays, error, *says, **options):
    """Every method refuses the call, names loss and argument, and leaves outputs alone."""
    loss, names = bound(case), differentiable(case)
    good = sample(case, N)
    with pytest.raises(error) as info:
        loss(**arrays, **options)
    message = str(info.value)
    for text in (case.loss, *says):
        assert text in message, message
    for reduction in ("none", "sum"):
        out = filled_like(good, names)
        with pytest.raises(error):
            loss.value_and_grad(**{"reduction": reduction, **arrays, **options}, wrt=names, out=out)
        assert all((array == 777).all() for array in out)
    if loss.has_hessian:
        first = next(iter(case.arguments))
        out = filled_like(good, (first, first))
        with pytest.raises(error):
            loss.grad_and_hess(**arrays, **options, out=out)
        assert all((array == 777).all() for array in out)


@one_case_per_loss
@pytest.mark.parametrize("mistake", NOT_ARRAYS)
def test_what_is_no_array(case, mistake):
    wrong = NOT_ARRAYS[mistake]
    for key in case.arguments:
        refused(case, {**sample(case, N), key: wrong.value}, wrong.error, f"{case.loss}: {key}", wrong.says)
    if mistake != "None":
        weighted = {"sample_weight": wrong.value}
        refused(case, sample(case, N), wrong.error, f"{case.loss}: sample_weight", wrong.says, **weighted)


@one_case_per_loss
@pytest.mark.parametrize("mistake", WRONG_SHAPES)
def test_shapes_that_do_not_broadcast_to_the_first_argument(case, mistake):
    wrong = WRONG_SHAPES[mistake]
    first, *rest = case.arguments
    for key in rest:
        refused(case, {**sample(case, N), key: wrong}, ValueError, f"{case.loss}: {key}", str(wrong.shape), f"({N},)")
    refused(case, sample(case, N), ValueError, f"{case.loss}: sample_weight", str(wrong.shape), sample_weight=wrong)
    if mistake not in ("matrix", "row of more dimensions"):
        # The first argument sets the shape and never grows; the message names the one that does not fit it.
        refused(case, {**sample(case, N), first: wrong}, ValueError, f"{case.loss}: {rest[0]}", f"({N},)")


@one_case_per_loss
def test_a_number_against_arrays(case):
    first, *rest = case.arguments
    refused(case, {**sample(case, N), first: 0.5}, ValueError, f"{case.loss}: {rest[0]}", f"({N},)")


class TestSampleWeight:
    @one_case_per_loss
    @pytest.mark.parametrize("bad", BAD_WEIGHTS)
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_negative_or_not_finite(self, case, bad, dtype):
        if dtype(bad) == 0:
            pytest.skip("rounds to zero")
        weight = np.ones(N, dtype)
        weight[[7, 9]] = bad
        says = f"{case.loss}: sample_weight[7] is negative or not finite"
        refused(case, sample(case, N), ValueError, says, sample_weight=weight)

    def test_the_first_bad_weight_is_named(self):
        x, weight = np.ones((300, 400)), np.ones((300, 400))
        weight[[250, 100, 101], [3, 399, 0]] = -1
        for threads in (1, 2, 3):
            with pytest.raises(ValueError, match=re.escape("sample_weight[100, 399]")):
                LOSSES["mse_loss"](x, x, sample_weight=weight, n_threads=threads)
        with pytest.raises(ValueError, match=re.escape("sample_weight[100, 0]")):
            LOSSES["mse_loss"](x, x, sample_weight=weight.min(axis=1, keepdims=True))

    def test_integers(self):
        with pytest.raises(ValueError, match=re.escape("sample_weight[1]")):
            LOSSES["mse_loss"]([1.0, 2.0], 0.0, sample_weight=[1, -1])


class TestOptions:
    @one_case_per_loss
    @pytest.mark.parametrize("reduction", ["average", "Mean", "partial", "", None, 0, 1.0, b"mean", ["mean"], "mean "])
    def test_reduction(self, case, reduction):
        refused(case, sample(case, N), ValueError, f"{case.loss}: reduction", repr(reduction), reduction=reduction)
        with pytest.raises(ValueError, match="reduction"):
            LOSSES[case.loss].bind(reduction=reduction)

    @one_case_per_loss
    @pytest.mark.parametrize("typo", ["reductoin", "sample_weights", "Reduction", "n_thread", "delt"])
    def test_typo(self, case, typo):
        refused(case, sample(case, N), TypeError, typo, **{typo: 1})
        with pytest.raises(TypeError, match=typo):
            LOSSES[case.loss].bind(**{typo: 1})

    @one_case_per_loss
    def test_missing_argument(self, case):
        for key in case.arguments:
            arrays = sample(case, N)
            del arrays[key]
            if LOSSES[case.loss].__signature__.parameters[key].kind.name != "KEYWORD_ONLY":
                refused(case, arrays, TypeError, key)

    @one_case_per_loss
    def test_too_many_positional_arguments(self, case):
        loss = LOSSES[case.loss]
        count = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in loss.__signature__.parameters.values())
        with pytest.raises(TypeError, match=f"{case.loss}.*positional"):
            loss(*[np.ones(N)] * (count + 1))

    @one_case_per_loss
    def test_arguments_given_twice(self, case):
        first = next(iter(case.arguments))
        with pytest.raises(TypeError, match=first):
            LOSSES[case.loss](np.ones(N), **sample(case, N))

    @one_case_per_loss
    @pytest.mark.parametrize("wrt", ["nothing", "sample_weight", "reduction", "", (), ("nothing",), 0, b"input", (0,)])
    def test_wrt(self, case, wrt):
        with pytest.raises((TypeError, ValueError), match=f"{case.loss}: wrt"):
            bound(case).grad(**sample(case, N), wrt=wrt)

    @one_case_per_loss
    def test_wrt_of_an_argument_without_gradient(self, case):
        for key in case.arguments:
            if key not in differentiable(case):
                with pytest.raises(ValueError, match=f"{case.loss}: wrt.*{key}"):
                    bound(case).grad(**sample(case, N), wrt=key)

    @one_case_per_loss
    @pytest.mark.parametrize("threads", [0, -1, 1.5, "2", True])
    def test_threads(self, case, threads):
        with pytest.raises((TypeError, ValueError), match="n_threads"):
            bound(case)(**sample(case, N), n_threads=threads)

    @one_case_per_loss
    def test_cotangent(self, case):
        loss, arrays, names = bound(case), sample(case, N), differentiable(case)
        for wrong, error in (
            (np.ones(N + 1), ValueError),
            (np.ones((N, 1)), ValueError),
            ("1", TypeError),
            (1j, TypeError),
        ):
            out = filled_like(arrays, names)
            with pytest.raises(error, match=f"{case.loss}: grad_output"):
                loss.backward(wrong, **arrays, reduction="none", wrt=names, out=out)
            assert all((array == 777).all() for array in out)


def numbers_of(loss):
    """The numeric parameters of a loss."""
    return [key for key, default in loss.params.items() if type(default) in (int, float)]


class TestParameters:
    @each_loss
    def test_of_another_type(self, loss):
        for key in numbers_of(loss):
            for wrong in ("1.0", [1.0, 2.0], 1j, b"1", {}, np.datetime64("2020-01-01")):
                for use in (loss.bind, lambda **params: loss(*[1.0] * required(loss), **params)):
                    with pytest.raises((TypeError, ValueError), match=key):
                        use(**{key: wrong})

    @each_loss
    def test_nan(self, loss):
        for key in numbers_of(loss):
            for nan in (math.nan, np.float32("nan")):
                with pytest.raises(ValueError, match=f"{loss.name}: {key}"):
                    loss(*[1.0] * required(loss), **{key: nan})

    @each_loss
    def test_choices(self, loss):
        for key, default in loss.params.items():
            if isinstance(default, str):
                for wrong in ("nonsense", "", None, 0, default.upper()):
                    with pytest.raises(ValueError, match=f"{loss.name}: {key} must be one of .*{default}"):
                        loss(*[1.0] * required(loss), **{key: wrong})

    @each_loss
    @pytest.mark.parametrize("number", [-math.inf, -2.0, -1e-3, 0.0, 1.0, 1.5, 2.0, 1e3, math.inf])
    def test_numbers_are_refused_by_name_or_right(self, loss, number):
        """Either a message says which parameter is out of range, or the result is what the formula says."""
        for case in cases_of(loss.name)[:1]:
            arrays = sample(case, N)
            for key in numbers_of(loss):
                params = {**case.params, key: number}
                actual, refusal = result_or_refusal(loss, arrays, params)
                if refusal:
                    assert f"{loss.name}: {key}" in refusal
                    continue
                exact = REFERENCES[loss.name](NP, **arrays, **params)
                plain = np.isfinite(np.asarray(exact.value, np.float64))
                scale = np.broadcast_to(0 if exact.value_scale is None else np.nan_to_num(exact.value_scale), N)[plain]
                least = 1e-15 * np.max(abs(np.where(plain, exact.value, 0)))
                assert_close(
                    actual[plain], np.broadcast_to(exact.value, N)[plain], 1e-8, scale, least, f"{key}={number}"
                )

    @each_loss
    def test_documented_ranges_are_kept(self, loss):
        """What the documentation says must be positive, not negative or between limits is checked."""
        text = " ".join(loss.__doc__.partition("Parameters\n")[2].split())
        for key in numbers_of(loss):
            entry = re.search(rf"\b{key}(?:, \w+)* : (.*?)(?= \w+(?:, \w+)* : |$)", text)[1]
            wrong = []
            if "must be positive" in entry:
                wrong = [0.0, -1.0]
            elif "must not be negative" in entry:
                wrong = [-1.0, -1e-300]
            elif limits := re.search(r"in ([\[(])(\d\S*), (\d\S*)([\])])", entry):
                low, high = float(limits[2]), float(limits[3].rstrip("])"))
                wrong = [low - 0.5, high + 0.5]
                wrong += [low] * (limits[1] == "(") + [high] * (limits[4] == ")")
            if "finite" in entry:
                wrong += [math.inf]
            for number in wrong:
                with pytest.raises(ValueError, match=f"{loss.name}: {key}"):
                    loss(*[1.0] * required(loss), **{key: number})


def result_or_refusal(loss, arrays, params):
    """What a call gives, or why it was refused."""
    try:
        return loss(**arrays, **params, reduction="none"), None
    except ValueError as error:
        return None, str(error)


def required(loss):
    """How many arrays a loss must be given."""
    return sum(p.default is p.empty for p in loss.__signature__.parameters.values())


class TestOutsideTheDomain:
    """Documented under Domain: NaN, never a plausible number."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("p", [-0.1, 1.1, -1e-30, 2.0, -np.inf, np.inf])
    def test_probabilities(self, p, dtype):
        for t in (0.0, 0.3, 1.0):
            x = np.array([p], dtype)
            value, grad = LOSSES["binary_cross_entropy"].value_and_grad(x, t, reduction="none")
            assert np.isnan(value).all()
            assert np.isnan(grad).all()

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("kl_div", (-1.0, -0.5)),
            ("generalized_kl_divergence", (-1.0, -0.5)),
            ("laplace_nll_loss", (1.0, 2.0, -1.0)),
            ("student_t_nll_loss", (1.0, 2.0, -1.0)),
            ("gaussian_nll_loss", (1.0, 2.0, -1.0)),
            ("beta_nll_loss", (1.0, 2.0, -1.0)),
            ("tweedie_deviance_loss", (-1.0, 2.0)),
            ("negative_binomial_nll_loss", (-1.0, 2.0, 0.5)),
            ("negative_binomial_nll_loss", (1.0, 2.0, -0.5)),
            ("orpo_loss", (0.5, -1.0)),
            ("orpo_loss", (-1.0, 0.5)),
        ],
    )
    def test_values(self, name, arguments):
        assert math.isnan(LOSSES[name](*arguments, reduction="sum"))


def test_values_are_not_confused_with_errors():
    """The table would pass vacuously if good calls failed, too."""
    for case in [cases_of(name)[0] for name in LOSSES if cases_of(name)]:
        assert np.isfinite(elements(case, sample(case, N))).all()
