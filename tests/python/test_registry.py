"""A loss is three edits: a struct, a public function, a reference. Here it shows when one of them is missing."""

from __future__ import annotations

import inspect
import re
import typing

import fusedloss as fl
import numpy as np
import pytest
from battery import CASES_ENLISTED, LOSSES, bound, differentiable, each_case, kernel_of, sample
from battery_arrays import CASES as BATTERY_CASES
from battery_rows import ROW_CASES_ENLISTED, ROW_LOSSES, call_of, each_row_case, reference
from battery_rows import differentiable as differentiable_of
from battery_rows import sample as sample_of
from cases import CASES, OneOf, cases_of
from cases_overlap import OVERLAP_CASES
from cases_pairs import PAIR_CASES
from cases_rows import ROW_CASES, row_cases_of
from fusedloss import _core
from references import NP, REFERENCES
from references_overlap import OVERLAP_REFERENCES
from references_pairs import PAIR_REFERENCES
from references_rows import ROW_REFERENCES

EVERY_LOSS = dict(sorted(fl.Loss.registry.items()))
OWN_TESTS = {"cumulative_link_loss"}  # test_thresholds.py
OWN_TESTS |= {name for name, loss in EVERY_LOSS.items() if loss.family == "similarity"}  # test_similarity.py
each_loss = pytest.mark.parametrize("loss", EVERY_LOSS.values(), ids=EVERY_LOSS)


ARRAY_CASES = (*BATTERY_CASES, *OVERLAP_CASES, *PAIR_CASES)
ARRAY_REFERENCES = {*(case.loss for case in BATTERY_CASES), *OVERLAP_REFERENCES, *PAIR_REFERENCES}


def array_cases_of(name):
    return tuple(case for case in ARRAY_CASES if case.loss == name)


def cases_of_any(name):
    return cases_of(name) or row_cases_of(name) or array_cases_of(name)


def test_every_loss_has_a_reference_and_cases():
    assert set(REFERENCES) == set(LOSSES)
    assert {case.loss for case in CASES} == set(LOSSES)
    assert set(ROW_REFERENCES) == set(ROW_LOSSES)
    assert {case.loss for case in ROW_CASES} == set(ROW_LOSSES)
    assert {case.loss for case in ARRAY_CASES} == ARRAY_REFERENCES
    assert set(EVERY_LOSS) == {*LOSSES, *ROW_LOSSES, *ARRAY_REFERENCES, *OWN_TESTS}


def test_every_kernel_has_a_loss_and_a_case():
    tested = {kernel_of(case) for case in CASES_ENLISTED} | {call_of(case)[0].name for case in ROW_CASES_ENLISTED}
    tested |= {kernel_of_arrays(case) for case in ARRAY_CASES if EVERY_LOSS[case.loss].family != "composition"}
    activations = {activation._probe[0].name for activation in fl.activations()}
    compiled = {info["name"] for info in _core.losses() if info["shape"] != "similarity"}
    assert tested <= compiled
    assert all(name in activations or name.endswith(("_unit", "_vjp")) for name in compiled - tested)


def kernel_of_arrays(case):
    loss = EVERY_LOSS[case.loss].bind(**case.params)
    return loss._call(tuple(case.arrays(np.random.default_rng(0), 2).values()), {})[0].name


def test_a_hundred_losses():
    assert len(fl.losses()) >= 100


def test_list_is_sorted_and_reachable():
    names = [loss.name for loss in fl.losses()]
    assert names == sorted(names)
    for loss in fl.losses():
        assert getattr(fl, loss.name) is loss


@pytest.mark.parametrize("loss", [loss for name, loss in EVERY_LOSS.items() if name not in OWN_TESTS])
def test_cases_reach_every_parameter(loss):
    cases = cases_of_any(loss.name)
    reached = {key for case in cases for key in (*case.params, *case.arguments)}
    assert set(loss.params) - {"axis"} <= reached
    for key, default in loss.params.items():
        if isinstance(default, bool):
            assert {case.params.get(key, default) for case in cases} == {False, True}, key
        if isinstance(default, str):
            choices = re.search(rf"{key} must be one of (.*), got", refusal(loss, **{key: "?"}))[1]
            tried = {case.params.get(key, default) for case in cases}
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


@each_row_case
def test_reference_of_rows_gives_what_the_loss_offers(case):
    exact = reference(case, sample_of(case, 3, 4))
    assert set(differentiable_of(case)) <= set(exact.grads)
    assert exact.hess is not None or not call_of(case)[0].has_hessian


@each_case
def test_cases_vary(case):
    """The tests would say nothing about arrays that hold one value, or about one side of a kink."""
    arrays = sample(case, 4000)
    for key, domain in case.arguments.items():
        assert len(np.unique(arrays[key])) > (0 if isinstance(domain, OneOf) else 5), key


def parameter_sets(loss):
    if loss.family == "rows":
        return [case.options(3) for case in row_cases_of(loss.name)]
    return [{}] if loss.name in OWN_TESTS else [case.params for case in cases_of_any(loss.name)]


class TestMetadata:
    @each_loss
    def test_name(self, loss):
        kinds = "loss|entropy|error|divergence|distance|similarity|kl_div|score|log_prob|penalty|regularization"
        assert re.fullmatch(rf"([a-z][a-z0-9]*_)*({kinds})(_with_logits)?", loss.name)
        assert loss.__name__ == loss.name
        families = {"elementwise", "rows", "ordinal", "similarity", "boxes", "overlap", "pairs", "composition"}
        assert loss.family in families

    @each_loss
    def test_documentation_is_complete(self, loss):
        assert loss.summary == loss.__doc__.splitlines()[0]
        assert loss.summary.endswith(".")
        assert len(loss.summary) <= 120
        for section in ("formula", "gradient", "domain", "source"):
            assert getattr(loss, section), section
        assert bool(loss.hessian) == any(loss.bind(**params).has_hessian for params in parameter_sets(loss))
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
                words = [word.strip('",()') for word in shown.split() if word != "and"]
                if isinstance(parameter.default, tuple):
                    assert list(parameter.default) == [float(word) for word in words]
                    continue
                assert parameter.default in [word == "True" if kind is bool else kind(word) for word in words]

    @each_loss
    def test_signature(self, loss):
        signature = inspect.signature(loss)
        kinds = [parameter.kind for parameter in signature.parameters.values()]
        assert kinds == sorted(kinds)
        assert inspect.Parameter.VAR_KEYWORD not in kinds
        of_terms = loss._reductions != ("mean",)
        assert (list(signature.parameters)[-2:] == ["sample_weight", "reduction"]) == of_terms
        assert of_terms or not signature.parameters.keys() & {"sample_weight", "reduction"}
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                assert parameter.name in (*loss.inputs, "target")
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
