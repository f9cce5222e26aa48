"""Promises that every loss of every family keeps, on one call of each."""

from __future__ import annotations

import re

import fusedloss as fl
import numpy as np
import pytest
from every_loss import FIRST, call_of, each_loss

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
