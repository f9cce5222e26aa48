"""A loss is three edits: a struct, a public function, a reference. Here it shows when one of them is missing."""

from __future__ import annotations

import inspect
import re
import typing

import fusedloss as fl
import numpy as np
import pytest
from battery import CASES_ENLISTED, LOSSES, bound, differentiable, each_case, each_loss, kernel_of, sample
from cases import CASES, OneOf, cases_of
from fusedloss import _core
from references import NP, REFERENCES


def test_every_loss_has_a_reference_and_cases():
    assert set(REFERENCES) == set(LOSSES)
    assert {case.loss for case in CASES} == set(LOSSES)


def test_every_kernel_has_a_loss_and_a_case():
    assert {kernel_of(case) for case in CASES_ENLISTED} == {info["name"] for info in _core.losses()}


def test_sixty_losses():
    assert len(fl.losses()) >= 60


def test_list_is_sorted_and_reachable():
    names = [loss.name for loss in fl.losses()]
    assert names == sorted(names)
    for loss in fl.losses():
        assert getattr(fl, loss.name) is loss


@each_loss
def test_cases_reach_every_parameter(loss):
    reached = {key for case in cases_of(loss.name) for key in case.params}
    reached |= {key for case in cases_of(loss.name) for key in case.arguments}
    assert set(loss.params) <= reached
    for key, default in loss.params.items():
        if isinstance(default, bool):
            assert {case.params.get(key, default) for case in cases_of(loss.name)} == {False, True}, key
        if isinstance(default, str):
            choices = re.search(rf"{key} must be one of (.*), got", refusal(loss, **{key: "?"}))[1]
            tried = {case.params.get(key, default) for case in cases_of(loss.name)}
            assert tried == set(re.findall("'(.*?)'", choices))


def refusal(loss, **params):
    with pytest.raises(ValueError, match="must be one of") as info:
        loss.bind(**params)
    return str(info.value)


@each_case
def test_case_names_the_arguments_of_its_loss(case):
    loss = bound(case)
    assert set(case.arguments) <= {*loss.inputs, *loss.__signature__.parameters}
    required = {p.name for p in loss.__signature__.parameters.values() if p.default is p.empty}
    assert required <= set(case.arguments)
    assert next(iter(case.arguments)) == loss.inputs[0]
    unknown = set(case.params) - set(loss.__signature__.parameters)
    assert not unknown


@each_case
def test_reference_gives_what_the_loss_offers(case):
    exact = REFERENCES[case.loss](NP, **sample(case, 3), **case.params)
    assert set(differentiable(case)) <= set(exact.grads)
    if bound(case).has_hessian:
        assert exact.hess is not None


@each_case
def test_cases_vary(case):
    """The tests would say nothing about arrays that hold one value, or about one side of a kink."""
    arrays = sample(case, 4000)
    for key, domain in case.arguments.items():
        assert len(np.unique(arrays[key])) > (0 if isinstance(domain, OneOf) else 5), key


class TestMetadata:
    @each_loss
    def test_name(self, loss):
        assert re.fullmatch(r"kl_div|[a-z][a-z0-9_]*_(loss|entropy(_with_logits)?|error|divergence)", loss.name)
        assert loss.__name__ == loss.name
        assert loss.family == "elementwise"

    @each_loss
    def test_documentation_is_complete(self, loss):
        assert loss.summary == loss.__doc__.splitlines()[0]
        assert loss.summary.endswith(".")
        assert len(loss.summary) <= 120
        for section in ("formula", "gradient", "domain", "source"):
            assert getattr(loss, section), section
        assert bool(loss.hessian) == any(bound(case).has_hessian for case in cases_of(loss.name))
        assert re.search(r"\(\d{4}\)|\b(1[89]|20)\d\d\b", loss.source), "a source has a year"
        for heading in ("Parameters\n----", "Returns\n----", "Raises\n----"):
            assert heading in loss.__doc__, heading
        assert "{" not in loss.__doc__.replace('{"', "").replace("{aliases}", "")

    @each_loss
    def test_every_parameter_is_documented_with_its_default(self, loss):
        entries = {}
        for names, kind in re.findall(r"^([\w, ]+) : (.*)$", loss.__doc__, re.MULTILINE):
            entries |= dict.fromkeys(names.split(", "), kind)
        signature = inspect.signature(loss)
        assert set(signature.parameters) <= set(entries)
        for parameter in signature.parameters.values():
            if parameter.default not in (parameter.empty, None):
                kind, shown = type(parameter.default), entries[parameter.name].partition("default ")[2]
                words = [word.strip('",') for word in shown.split() if word != "and"]
                assert parameter.default in [word == "True" if kind is bool else kind(word) for word in words]

    @each_loss
    def test_signature(self, loss):
        signature = inspect.signature(loss)
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        assert kinds == sorted(kinds)
        assert inspect.Parameter.VAR_KEYWORD not in kinds
        assert list(signature.parameters)[-2:] == ["sample_weight", "reduction"]
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert parameter.name in loss.inputs
                assert parameter.default is parameter.empty
            else:
                assert parameter.default is not parameter.empty
        hints = typing.get_type_hints(loss.__wrapped__)
        assert set(hints) == {*signature.parameters, "return"}

    @each_loss
    def test_trains_what_can_be_differentiated(self, loss):
        assert loss.trains
        assert set(loss.trains) <= set(loss.differentiable) <= set(loss.inputs)
        assert set(loss.params).isdisjoint({*loss.inputs, "sample_weight", "reduction", "weight"})

    @each_loss
    def test_search_finds_it(self, loss):
        assert fl.losses(loss.name)[0] in (loss, *fl.losses(loss.name))
        assert loss in fl.losses(loss.name.upper().replace("_", " "))
        for alias in loss.aliases:
            assert loss in fl.losses(alias), alias

    def test_search(self):
        assert fl.losses("no such loss at all") == []
        assert fl.losses("mse_loss")[0].name == "mse_loss"
        names = [name for loss in fl.losses() for name in (loss.name, *loss.aliases)]
        assert len({name.casefold() for name in names}) == len(names), "a name means one loss"
