"""What losses over class scores must refuse, by name and with nothing written: labels, shapes, dtypes, parameters."""

from __future__ import annotations

import math
import re

import fusedloss as fl
import numpy as np
import pytest
from battery_rows import (
    ROW_LOSSES,
    differentiable,
    each_row_case,
    each_row_loss,
    has_hessian,
    one_case_per_row_kernel,
    one_case_per_row_loss,
    run_of,
    sample,
)
from test_bad_input import BAD_WEIGHTS, NOT_ARRAYS

N, C = 20, 4


def refused(case, arrays, error, *says, **options):
    """Every method refuses the call, names loss and argument, and leaves outputs alone."""
    loss, names = run_of(case, C), differentiable(case)
    good = sample(case, N, C)
    with pytest.raises(error) as info:
        loss(**arrays, **options)
    for text in (case.loss, *says):
        assert text in str(info.value), str(info.value)
    for reduction in ("none", "sum"):
        out = tuple(np.full(good[key].shape, 777.0) for key in names)
        with pytest.raises(error):
            loss.value_and_grad(**{"reduction": reduction, **arrays, **options}, wrt=names, out=out)
        assert all((array == 777).all() for array in out)
    if has_hessian(case):
        out = np.full((N, C), 777.0), np.full((N, C), 777.0)
        with pytest.raises(error):
            loss.grad_and_hess(**arrays, **options, out=out)
        assert all((array == 777).all() for array in out)


@one_case_per_row_loss
@pytest.mark.parametrize("mistake", NOT_ARRAYS)
def test_what_is_no_array(case, mistake):
    wrong = NOT_ARRAYS[mistake]
    for key in case.arguments:
        refused(case, {**sample(case, N, C), key: wrong.value}, wrong.error, f"{case.loss}: {key}")
    if mistake != "None":
        refused(case, sample(case, N, C), wrong.error, f"{case.loss}: sample_weight", sample_weight=wrong.value)


class TestLabels:
    @one_case_per_row_kernel
    @pytest.mark.parametrize("bad", [-1, -2, C + 1, 100, 2**40, -(2**62)])
    def test_out_of_range(self, case, bad):
        if not case.indexed:
            pytest.skip("no class indices")
        arrays = sample(case, N, C)
        arrays["target"][[11, 17]] = bad
        labels = C + case.arguments["target"].beyond
        refused(case, arrays, IndexError, f"{case.loss}: target[11] = {bad} is not in [0, {labels})")

    def test_message(self):
        label = np.zeros((2, 30), int)
        label[1, 17] = 12
        says = "cross_entropy: target[1, 17] = 12 is not in [0, 10) and is not ignore_index (-100)"
        with pytest.raises(IndexError, match=re.escape(says)):
            fl.cross_entropy(np.zeros((2, 10, 30)), label)

    def test_first_bad_one_is_named_whatever_the_threads(self):
        label = np.zeros(100_000, np.int32)
        label[[99_999, 70_001, 70_002]] = 3
        for threads in (1, 2, 3):
            with pytest.raises(IndexError, match=re.escape("target[70001] = 3")):
                fl.cross_entropy(np.zeros((100_000, 3)), label, n_threads=threads)

    def test_ignored_labels_may_be_anything(self):
        scores = np.zeros((3, 2))
        assert fl.cross_entropy(scores, np.array([0, 255, 1], np.uint8), ignore_index=255) == pytest.approx(math.log(2))
        with pytest.raises(IndexError, match="255"):
            fl.cross_entropy(scores, np.array([0, 255, 1], np.uint8))
        with pytest.raises(IndexError, match="-1"):
            fl.cross_entropy(scores, np.array([0, -1, 1], np.int8), ignore_index=255)
        assert fl.cross_entropy(scores, np.array([0, 1, 1]), ignore_index=1) == pytest.approx(math.log(2))

    @one_case_per_row_loss
    def test_weight_zero_does_not_excuse(self, case):
        if not case.indexed:
            pytest.skip("no class indices")
        arrays = sample(case, N, C)
        arrays["target"][3] = 77
        refused(case, arrays, IndexError, "target[3] = 77", sample_weight=np.arange(N) != 3)

    @one_case_per_row_loss
    @pytest.mark.parametrize("kind", ["float labels", "column", "too few", "onehot integers", "number"])
    def test_of_another_kind(self, case, kind):
        if not case.indexed:
            pytest.skip("no class indices")
        arrays = sample(case, N, C)
        label = arrays["target"]
        wrong = {
            "float labels": label.astype(np.float64),
            "column": label[:, None],
            "too few": label[:-1],
            "onehot integers": np.zeros((N, C), int),
            "number": 0,
        }[kind]
        refused(case, {**arrays, "target": wrong}, (TypeError, ValueError), f"{case.loss}: target")


@one_case_per_row_kernel
def test_shapes_of_what_goes_with_the_scores(case):
    arrays = sample(case, N, C)
    for key in arrays.keys() - {case.first}:
        for wrong in (np.ones((N, C + 1)), np.ones((N + 1, C)), np.ones((N, C, 1)), np.ones(N)):
            if not case.indexed:
                refused(case, {**arrays, key: wrong.astype(arrays[key].dtype)}, (TypeError, ValueError), key)
    for wrong in (np.ones((N, C)), np.ones((N, 1)), np.ones(N + 1), np.ones(C)):
        refused(case, arrays, ValueError, f"{case.loss}: sample_weight", sample_weight=wrong)
    refused(case, {**arrays, case.first: 1.0}, (TypeError, ValueError), case.loss)


@one_case_per_row_loss
@pytest.mark.parametrize("axis", [2, -3, 100, 1.0, "1"])
def test_axis(case, axis):
    refused(case, sample(case, N, C), (TypeError, ValueError), "axis", axis=axis)


@pytest.mark.parametrize("key", ["weight", "prior", "counts", "alpha"])
def test_arrays_with_one_number_per_class(key):
    for loss in ROW_LOSSES.values():
        if loss.params.get(key, loss.__signature__.parameters.get(key, 0)) is not None:
            continue
        target = np.zeros((N, C)) if loss.name == "multilabel_soft_margin_loss" else np.zeros(N, int)
        for wrong in (np.ones(C + 1), np.ones((C, C)), np.ones((1, C)), np.ones(0)):
            out = np.full((N, C), 777.0)
            with pytest.raises((TypeError, ValueError), match=loss.name):
                loss.value_and_grad(np.zeros((N, C)), target, **{key: wrong}, out=out)
            assert (out == 777).all()
        for number in BAD_WEIGHTS:
            with pytest.raises(ValueError, match=loss.name):
                loss(np.zeros((N, C)), target, **{key: np.array([1.0, 1.0, number, 1.0])})


@one_case_per_row_loss
@pytest.mark.parametrize("bad", BAD_WEIGHTS)
def test_bad_sample_weights(case, bad):
    weight = np.ones(N)
    weight[[7, 9]] = bad
    says = f"{case.loss}: sample_weight[7] is negative or not finite"
    refused(case, sample(case, N, C), ValueError, says, sample_weight=weight)


class TestOptions:
    @one_case_per_row_loss
    @pytest.mark.parametrize("reduction", ["average", "Mean", "partial", "batchmean", "", None, 0, b"mean"])
    def test_reduction(self, case, reduction):
        refused(case, sample(case, N, C), ValueError, f"{case.loss}: reduction", repr(reduction), reduction=reduction)

    @one_case_per_row_loss
    @pytest.mark.parametrize("typo", ["reductoin", "ignore_indices", "n_thread", "dim"])
    def test_typo(self, case, typo):
        refused(case, sample(case, N, C), TypeError, typo, **{typo: 1})

    @one_case_per_row_loss
    @pytest.mark.parametrize("wrt", ["nothing", "sample_weight", "", (), ("nothing",), 0, b"input"])
    def test_wrt(self, case, wrt):
        with pytest.raises((TypeError, ValueError), match=f"{case.loss}: wrt"):
            run_of(case, C).grad(**sample(case, N, C), wrt=wrt)

    @pytest.mark.parametrize("wrong", [1.5, "0", [1]])
    def test_ignore_index(self, wrong):
        for loss in ROW_LOSSES.values():
            if "ignore_index" in loss.params:
                with pytest.raises(TypeError, match=f"{loss.name}: ignore_index"):
                    loss(np.zeros((N, C)), np.zeros(N, int), ignore_index=wrong)

    def test_return_aux_where_there_is_no_softmax(self):
        with pytest.raises(TypeError, match=r"multi_margin_loss.*return_aux"):
            fl.multi_margin_loss(np.zeros((N, C)), np.zeros(N, int), return_aux=True)


@each_row_loss
def test_parameters_that_are_no_numbers(loss):
    for key, default in loss.params.items():
        if type(default) is not float:
            continue
        for wrong in ("1.0", 1j, b"1", {}, np.datetime64("2020-01-01"), math.nan, None):
            with pytest.raises((TypeError, ValueError), match=key):
                loss.bind(**{key: wrong})


@each_row_loss
def test_documented_ranges_are_kept(loss):
    outside = {
        "label_smoothing": (-0.1, 1.1),
        "softcap": (0.0, -1.0),
        "z_loss": (-1.0, math.inf),
        "gamma": (-1.0, math.inf),
        "q": (-0.1, 1.1),
        "temperature": (0.0, -1.0),
        "student_temperature": (0.0,),
        "teacher_temperature": (0.0,),
        "scale": (0.0, -1.0),
        "max_margin": (-0.5,),
        "kl_weight": (-1.0, math.inf),
        "margin": (math.inf,),
        "p": (0, 3, 1.5),
        "epsilon": (math.inf, (), (1.0,) * 5, "x"),
        "evidence": ("tanh",),
        "hessian": ("newton", None),
    }
    for key, values in outside.items():
        if key in loss.params:
            for wrong in values:
                with pytest.raises((TypeError, ValueError), match=key):
                    loss.bind(**{key: wrong})


@each_row_case
def test_a_hessian_that_does_not_exist(case):
    """Also where the loss has one, but not for probabilities."""
    if has_hessian(case):
        pytest.skip("has one")
    arrays, out = sample(case, N, C), (np.full((N, C), 777.0), np.full((N, C), 777.0))
    with pytest.raises(TypeError, match=f"^{case.loss} has no Hessian"):
        run_of(case, C).grad_and_hess(**arrays, out=out)
    assert all((array == 777).all() for array in out)
