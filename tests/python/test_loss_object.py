"""What a `Loss` is besides a function: bound, pickled, copied, compared, shown."""

from __future__ import annotations

import copy
import inspect
import pickle

import fusedloss as fl
import pytest
from battery import (
    LOSSES,
    assert_all_same_bits,
    bound,
    differentiable,
    each_case,
    each_loss,
    everything,
    one_case_per_loss,
    sample,
)


@each_case
def test_bound_pickled_and_copied_losses_give_the_same_bits(case):
    arrays, loss = sample(case, 40), bound(case)
    expected = everything(case, arrays)
    for same in (loss, pickle.loads(pickle.dumps(loss)), copy.copy(loss), copy.deepcopy(loss), loss.bind()):
        values, grads = same.value_and_grad(**arrays, reduction="none", wrt=differentiable(case))
        named = zip(differentiable(case), grads if isinstance(grads, tuple) else (grads,), strict=True)
        actual = {"value": values, **{f"d/d{key}": grad for key, grad in named}}
        assert_all_same_bits(actual, {key: expected[key] for key in actual})
        assert same == loss
        assert hash(same) == hash(loss)
        assert repr(same) == repr(loss)


@each_loss
def test_unbound_losses_are_single_objects(loss):
    assert pickle.loads(pickle.dumps(loss)) is loss
    assert copy.deepcopy(loss) == loss
    assert repr(loss) == f"<loss {loss.name}>"
    assert loss.bind() == loss


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(protocol):
    loss = LOSSES["huber_loss"].bind(delta=2.5, reduction="sum")
    same = pickle.loads(pickle.dumps(loss, protocol))
    assert same(3.0, 0.0) == loss(3.0, 0.0) == 2.5 * (3 - 1.25)


def test_bind():
    huber = LOSSES["huber_loss"]
    wide = huber.bind(delta=2.5)
    assert wide.params == {"delta": 2.5}
    assert huber.params == {"delta": 1.0}
    assert wide != huber
    assert wide == huber.bind(delta=2.5)
    assert repr(wide) == "<loss huber_loss with delta=2.5>"
    assert wide(3.0, 0.0) == huber(3.0, 0.0, delta=2.5) != huber(3.0, 0.0)
    assert wide(3.0, 0.0, delta=1.0) == huber(3.0, 0.0)
    assert wide.bind(delta=1.0)(3.0, 0.0) == huber(3.0, 0.0)
    summed = wide.bind(reduction="sum")
    assert summed([3.0, 3.0], 0.0) == 2 * wide(3.0, 0.0)
    assert summed([3.0, 3.0], 0.0, reduction="mean") == wide(3.0, 0.0)
    assert inspect.signature(summed).parameters["delta"].default == 2.5
    assert inspect.signature(summed).parameters["reduction"].default == "sum"
    assert inspect.signature(huber).parameters["delta"].default == 1.0


@each_loss
def test_bind_refuses_arrays_and_what_is_no_parameter(loss):
    arrays = [key for key in loss.inputs if key not in keyword_only(loss)]
    for name in (*arrays, "sample_weight", "n_threads", "wrt", "x"):
        with pytest.raises(TypeError, match=name):
            loss.bind(**{name: 1.0})


def keyword_only(loss):
    return [p.name for p in inspect.signature(loss).parameters.values() if p.kind is p.KEYWORD_ONLY]


@one_case_per_loss
def test_positional_and_keyword_arguments_are_one(case):
    loss, arrays = bound(case), sample(case, 10)
    named = {key: array for key, array in arrays.items() if key in keyword_only(loss)}
    positional = [arrays[key] for key in inspect.signature(loss).parameters if key in arrays and key not in named]
    assert loss(*positional, **named, reduction="sum") == loss(**arrays, reduction="sum")


@each_loss
def test_attributes_cannot_be_confused(loss):
    assert isinstance(loss, fl.Loss)
    assert callable(loss)
    assert isinstance(loss.inputs, tuple)
    assert isinstance(loss.aliases, tuple)
    assert loss.__doc__.startswith(loss.summary)
    assert loss.__module__.startswith("fusedloss.")


def test_documentation_tools_see_a_function():
    assert inspect.unwrap(LOSSES["huber_loss"]).__name__ == "huber_loss"
    assert "delta: 'float' = 1.0" in str(inspect.signature(LOSSES["huber_loss"]))
