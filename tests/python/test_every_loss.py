"""Promises that every loss of every family keeps, on one call of each."""

from __future__ import annotations

import copy
import pickle
import re

import fusedloss as fl
import numpy as np
import pytest
from battery import assert_close
from every_loss import FIRST, call_of, draw, each_case, each_loss, many

NO_NUMBERS = {
    "text": "x",
    "text of a number": "0.5",
    "object": object(),
    "complex": 1j,
    "dictionary": {},
    "masked array": np.ma.masked_array([1.0, 2.0]),
    "array of objects": np.array([None, 1]),
    "array of texts": np.array(["a"]),
    "array of complex numbers": np.ones(4) * 1j,
    "nothing": np.empty(0),
    "eleven numbers": np.ones(11),
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "not a number": np.nan,
    "an integer larger than any float": 10**400,
    "an integer of more than 64 bits": 2**64,
}


def test_every_loss_has_a_case():
    assert set(FIRST) == set(fl.Loss.registry)


def refusal(loss, arguments):
    """What is said against a call; nothing if it runs."""
    try:
        loss(**arguments)
    except (TypeError, ValueError, IndexError) as error:
        return str(error)
    return None


class TestRefusals:
    @each_loss
    def test_name_the_argument(self, loss):
        arrays, params = call_of(loss)
        for name, parameter in loss.__signature__.parameters.items():
            is_array = name in arrays or parameter.default in (None, parameter.empty)
            named = "|".join(loss.__signature__.parameters) if is_array else name  # or another, which it does not fit
            for what, wrong in NO_NUMBERS.items():
                said = refusal(loss, {**arrays, **params, name: wrong})
                assert said is None or re.match(rf"{loss.name}: .*\b({named})\b", said), (name, what, said)

    @each_loss
    def test_name_what_is_missing(self, loss):
        arrays, params = call_of(loss)
        for name, parameter in loss.__signature__.parameters.items():
            if parameter.default is parameter.empty:
                with pytest.raises(TypeError, match=f"{loss.name}: .*{name} is None"):
                    loss(**{**arrays, **params, name: None})

    @each_loss
    def test_flags_are_true_or_false(self, loss):
        arrays, params = call_of(loss)
        flags = [name for name, p in loss.__signature__.parameters.items() if isinstance(p.default, bool)]
        for name in flags:
            for wrong in (None, "yes", 2, 0.5, np.array([True, False])):
                with pytest.raises(TypeError, match=f"{loss.name}: {name} must be True or False"):
                    loss(**{**arrays, **params, name: wrong})
                with pytest.raises(TypeError, match=f"{loss.name}: {name} must be True or False"):
                    loss.bind(**{name: wrong})
            for same in (np.bool_(True), 1):
                expected = loss(**{**arrays, **params, name: True})
                np.testing.assert_equal(loss(**{**arrays, **params, name: same}), expected)

    @each_loss
    def test_class_indices_of_64_unsigned_bits_do_not_wrap(self, loss):
        arrays, params = call_of(loss)
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind != "i" or array.dtype == np.int8:
                continue
            for label in (2**63, 2**64 - 100, 2**64 - 1):
                wrong = np.where(array < 0, 0, array).astype(np.uint64)
                wrong.flat[0] = label
                with pytest.raises(IndexError, match=rf"{loss.name}: {name}(\[.*\])? = {label} is not in \[0, "):
                    loss(**{**arrays, **params, name: wrong})


def flat(x):
    """The arrays of results, which may be nested."""
    return [a for each in x for a in flat(each)] if isinstance(x, (list, tuple)) else [np.asarray(x)]


def assert_same(actual, expected):
    for one, other in zip(flat(actual), flat(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def weighed(loss):
    """A call of a loss that takes sample weights, and the shape that they have."""
    arrays, params = call_of(loss)
    if "sample_weight" not in loss.__signature__.parameters:
        pytest.skip("is one number of a whole batch")
    bound = loss.bind(**params)
    if "none" not in bound._reductions or params.get("free_bits"):
        pytest.skip("has no value for each sample")
    return bound, arrays, np.shape(bound(**arrays, reduction="none"))


class TestWeights:
    @each_loss
    def test_none_at_all(self, loss, weighed):
        """The sum is 0, and so are all gradients."""
        bound, arrays, shape = weighed
        for reduction in ("none", "sum", "mean"):
            value, grads = bound.value_and_grad(**arrays, reduction=reduction, sample_weight=0.0)
            assert not any(grad.any() for grad in flat(grads)), reduction
            if reduction != "mean":
                assert_same(value, np.zeros(shape if reduction == "none" else ()))
            else:
                assert np.isnan(value) or value == 0.0

    @each_loss
    def test_the_first_bad_one_is_named_by_its_own_indices(self, loss, weighed):
        bound, arrays, shape = weighed
        weight = np.ones(shape)
        for bad in (-1.0, np.nan, np.inf):
            weight.flat[-1] = bad
            last = ", ".join(str(n - 1) for n in shape)
            with pytest.raises(ValueError, match=rf"^{loss.name}: sample_weight\[{last}\] is negative or not finite"):
                bound(**arrays, sample_weight=weight)

    @each_loss
    def test_of_any_kind_are_their_numbers(self, loss, weighed):
        bound, arrays, shape = weighed
        weight = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3
        expected = bound.value_and_grad(**arrays, sample_weight=weight.astype(np.float64))
        for same in (
            weight.astype(np.uint8),
            weight.astype(">i4"),
            weight.astype(">f8"),
            weight.astype(np.float16),
            np.asfortranarray(weight),
            weight[::-1].copy()[::-1],
            weight.tolist(),
        ):
            assert_same(bound.value_and_grad(**arrays, sample_weight=same), expected)
        mask = bound.value_and_grad(**arrays, sample_weight=weight > 0)
        assert_same(mask, bound.value_and_grad(**arrays, sample_weight=(weight > 0).astype(np.float64)))


@each_loss
def test_bound_losses_are_equal_if_their_parameters_are(loss):
    """Arrays among them, too."""
    arrays, params = call_of(loss)
    keywords = {name for name, p in loss.__signature__.parameters.items() if p.kind is p.KEYWORD_ONLY}
    bound = loss.bind(**{name: x for name, x in {**arrays, **params}.items() if name in keywords})
    for same in (pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound)):
        assert same == bound
        assert hash(same) == hash(bound)
    assert (loss == bound) == (not bound._bound)
    for name, value in bound._bound.items():
        if isinstance(value, np.ndarray):
            assert bound.bind(**{name: value + 1}) != bound


@each_loss
def test_gradients_come_in_the_order_they_are_asked_for_once_each(loss):
    arrays, params = call_of(loss)
    bound = loss.bind(**params)
    names = [name for name in bound.differentiable if name in arrays and flat(arrays[name])[0].dtype.kind == "f"]
    alone = {name: bound.grad(**arrays, wrt=name) for name in names}
    together = bound.grad(**arrays, wrt=tuple(names))
    assert_same(together, [alone[name] for name in names])
    assert_same(bound.grad(**arrays, wrt=[*reversed(names), names[0]]), together)


@each_case
def test_many_rows_in_another_order(case):
    """Values and gradients go with their rows and weights, wherever these lie."""
    if case.loss in ("ge2e_loss", "proxy_anchor_loss"):
        pytest.skip("has other values than one for each of its vectors")
    arrays, params = draw(case, many(case))
    loss = fl.Loss.registry[case.loss]
    rows, parameters = len(flat(next(iter(arrays.values())))[0]), loss.__signature__.parameters
    weighed = "sample_weight" in parameters and not params.get("free_bits")
    shape = np.shape(loss(**{**arrays, **params}, reduction="none")) if weighed else (rows,)
    if not shape or (shape[0] % rows and rows % shape[0]):
        pytest.skip("has no value of its own for each row")
    each = min(rows, shape[0])  # two views, or chosen and rejected answers, have as many one after the other
    generator = np.random.default_rng(0)
    order = generator.permutation(each)

    def moved(x):
        if isinstance(x, (list, tuple)):
            return [moved(a) for a in x]
        if np.ndim(x) == 0 or len(x) not in (rows, shape[0]):
            return x
        return x[np.concatenate([order + k for k in range(0, len(x), each)])]

    trained = [name for name in loss.differentiable if name in arrays and flat(arrays[name])[0].dtype.kind == "f"]
    options = {**params, "wrt": trained} | ({"reduction": "sum"} if "reduction" in parameters else {})
    weight = generator.uniform(0.5, 2.0, shape)
    plain, turned = ({"sample_weight": w} if weighed else {} for w in (weight, moved(weight)))
    value, grads = loss.value_and_grad(**{**arrays, **options}, **plain)
    other, others = loss.value_and_grad(**{name: moved(x) for name, x in arrays.items()}, **options, **turned)
    assert_close(other, value, 1e-12, scale=1.0)
    grads, others = (g if len(trained) > 1 else (g,) for g in (grads, others))
    for grad, x in zip(grads, others, strict=True):
        for one, same in zip(flat(moved(grad)), flat(x), strict=True):
            assert_close(same, one, 1e-10, scale=abs(one).max())
