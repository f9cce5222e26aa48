"""The value of every loss over class scores: against the reference, reductions, weights, labels, what is ignored."""

from __future__ import annotations

import itertools
import math

import fusedloss as fl
import numpy as np
import pytest
from battery import FLOATS, assert_close, assert_same_bits, each_float
from battery_rows import (
    ROW_CASES_ENLISTED,
    ROW_LOSSES,
    call_of,
    each_row_case,
    everything,
    generator,
    one_case_per_row_kernel,
    one_case_per_row_loss,
    reference,
    sample,
    value,
    value_and_grads,
)
from cases_rows import Scores, row_cases_of

# One row at most, lanes full and not, both layouts, and rows of several vectors.
CLASSES = (1, 2, 3, 10, 64, 65, 200)


@each_row_case
@each_float
def test_equals_the_reference(case, dtype):
    rtol = 1e-12 if dtype is np.float64 else 2 * np.finfo(np.float32).eps
    for classes in CLASSES:
        arrays = sample(case, 37, classes, dtype)
        exact = reference(case, arrays)
        actual = value(case, arrays, reduction="none")
        assert actual.dtype == dtype
        scale = abs(exact.value) if exact.value_scale is None else exact.value_scale
        assert_close(actual, exact.value, rtol, scale, 1e-15 * np.max(scale), f"value of {classes} classes")


@one_case_per_row_kernel
def test_many_rows(case):
    arrays = sample(case, 1500, 5)
    exact = reference(case, arrays)
    scale = abs(exact.value) if exact.value_scale is None else exact.value_scale
    assert_close(value(case, arrays, reduction="none"), exact.value, 1e-12, scale, 1e-15 * np.max(scale), "value")


@each_row_case
@each_float
def test_thousands_of_classes(case, dtype):
    """Several stretches of a row, with all that weighs, shifts or smooths them."""
    if case.kinks is not None:
        pytest.skip("has kinks everywhere among so many")
    rtol = 1e-11 if dtype is np.float64 else 2 * np.finfo(np.float32).eps
    arrays = sample(case, 5, 5003, dtype)
    exact = reference(case, arrays)
    values, grads = value_and_grads(case, arrays, reduction="none")
    scale = abs(exact.value) if exact.value_scale is None else exact.value_scale
    assert_close(values, exact.value, rtol, scale, 1e-15 * np.max(scale), "value")
    for key, grad in grads.items():
        scale = exact.grad_scales.get(key, abs(exact.grads[key]))
        assert_close(grad, exact.grads[key], rtol, scale, 1e-15 * np.max(scale), key)


def counted(case, arrays):
    """Rows that count, and the weight a mean divides by."""
    rows = len(arrays[case.first])
    if not case.indexed:
        return np.ones(rows, bool), np.ones(rows)
    label, options = arrays["target"], case.options(arrays["input"].shape[1])
    valid = label != options.get("ignore_index", -100)
    normalises = case.loss in ("cross_entropy", "nll_loss", "ldam_loss") and "weight" in options
    weight = options["weight"][np.where(valid, label, 0)] if normalises else np.ones(rows)
    if case.loss == "corn_loss":
        weight = np.minimum(label + 1, arrays["input"].shape[1])
    return valid, weight * valid


class TestReductions:
    @each_row_case
    @each_float
    def test_sum_and_mean(self, case, dtype):
        for classes in (5, 70):
            arrays = sample(case, 103, classes, dtype)
            values = value(case, arrays, reduction="none").astype(np.float64)
            total, mean = value(case, arrays, reduction="sum"), value(case, arrays, reduction="mean")
            assert type(total) is type(mean) is float
            assert abs(total - math.fsum(values)) <= np.finfo(dtype).eps * math.fsum(abs(values))
            assert_close(mean, total / math.fsum(counted(case, arrays)[1]), 4e-16)

    @one_case_per_row_loss
    def test_default_is_the_documented_one(self, case):
        arrays = sample(case, 50, 4)
        default = ROW_LOSSES[case.loss].__signature__.parameters["reduction"].default
        assert_same_bits(value(case, arrays), value(case, arrays, reduction=default))

    @one_case_per_row_loss
    @pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2), (2, 3, 0)])
    def test_nothing(self, case, shape):
        flat = sample(case, 4, 3)
        rows = (shape[0], *shape[2:])
        arrays = {key: np.empty(rows if x.ndim == 1 else shape, x.dtype) for key, x in flat.items()}
        assert value(case, arrays, reduction="none", axis=1).shape == rows
        assert value(case, arrays, reduction="sum", axis=1) == 0.0
        assert math.isnan(value(case, arrays, reduction="mean", axis=1))
        for reduction in ("none", "mean", "sum"):
            for grad in value_and_grads(case, arrays, reduction=reduction, axis=1)[1].values():
                assert grad.shape == shape

    @one_case_per_row_loss
    def test_no_classes(self, case):
        arrays = {key: x[:, :0] if x.ndim == 2 else x for key, x in sample(case, 4, 3).items()}
        with pytest.raises(ValueError, match=f"{case.loss}: {case.first}"):
            value(case, arrays)

    @one_case_per_row_loss
    def test_one_row(self, case):
        arrays = sample(case, 1, 5)
        one = {key: x[0] for key, x in arrays.items()}
        values = value(case, arrays, reduction="none")
        assert_same_bits(value(case, one, reduction="none"), values[0])
        assert value(case, one, reduction="sum") == values[0]
        for key, grad in value_and_grads(case, one)[1].items():
            assert_same_bits(grad, value_and_grads(case, arrays)[1][key][0], key)
        plain = ROW_LOSSES[case.loss](**one, **case.options(5), reduction="none")
        assert plain == values[0], "the only axis is the class axis"


class TestIgnoredRows:
    each_ignoring = pytest.mark.parametrize(
        "name", [name for name, loss in ROW_LOSSES.items() if "ignore_index" in loss.params]
    )

    @each_ignoring
    @each_float
    def test_count_for_nothing(self, name, dtype):
        case = row_cases_of(name)[0]
        for classes in (4, 70):
            arrays = sample(case, 101, classes, dtype)
            ignored = generator(case, 1).random(101) < 0.4
            for skip in (-100, -1, 255, 2**40):
                spoiled = {
                    "input": np.where(ignored[:, None], dtype(np.nan), arrays["input"]),
                    "target": np.where(ignored, skip, arrays["target"]),
                }
                kept = {key: array[~ignored] for key, array in arrays.items()}
                for reduction in ("sum", "mean"):
                    actual = value(case, spoiled, reduction=reduction, ignore_index=skip)
                    assert_close(actual, value(case, kept, reduction=reduction), 1e-14)
                expected = everything(case, kept)
                for key, result in everything(case, spoiled, ignore_index=skip).items():
                    assert (result[ignored] == 0).all(), key
                    assert not np.signbit(result[ignored]).any(), key
                    assert_same_bits(result[~ignored], expected[key], key)

    @each_ignoring
    def test_all_of_them(self, name):
        case = row_cases_of(name)[0]
        arrays = {**sample(case, 20, 4), "target": np.full(20, -100)}
        assert math.isnan(value(case, arrays, reduction="mean"))
        assert value(case, arrays, reduction="sum") == 0.0
        for reduction in ("mean", "sum", "none"):
            for grad in value_and_grads(case, arrays, reduction=reduction)[1].values():
                assert (grad == 0).all()


class TestSampleWeight:
    @one_case_per_row_kernel
    @each_float
    def test_is_the_repetition_of_rows(self, case, dtype):
        arrays = sample(case, 101, 5, dtype)
        counts = generator(case, 1).integers(0, 4, 101)
        repeated = {key: np.repeat(array, counts, axis=0) for key, array in arrays.items()}
        size = np.mean(abs(value(case, repeated, reduction="none")), dtype=np.float64)
        for reduction in ("mean", "sum"):
            magnitude = size * (counts.sum() if reduction == "sum" else 1)
            actual = value(case, arrays, reduction=reduction, sample_weight=counts)
            expected = value(case, repeated, reduction=reduction)
            assert_close(actual, expected, 2 * np.finfo(dtype).eps, magnitude, what=reduction)

    @one_case_per_row_kernel
    @each_float
    def test_multiplies_rows_and_gradients(self, case, dtype):
        for classes in (5, 70):
            arrays = sample(case, 41, classes, dtype)
            weight = generator(case, 1).uniform(0, 3, 41).astype(dtype)
            plain, weighted = everything(case, arrays), everything(case, arrays, sample_weight=weight)
            for key, result in plain.items():
                factor = weight.reshape(-1, *(1,) * (result.ndim - 1))
                assert_close(weighted[key], result * factor, 2 * np.finfo(dtype).eps, what=key)

    @one_case_per_row_kernel
    @each_float
    def test_ones_change_no_bit(self, case, dtype):
        arrays = sample(case, 41, 5, dtype)
        expected = everything(case, arrays)
        for one in (1, np.ones(41), np.ones(41, np.int8), np.ones(41, bool)):
            for key, result in everything(case, arrays, sample_weight=one).items():
                assert_same_bits(result, expected[key], key)

    @one_case_per_row_kernel
    @each_float
    def test_zero_excludes_whatever_the_row_holds(self, case, dtype):
        for classes in (5, 70):
            arrays = sample(case, 41, classes, dtype)
            mask = generator(case, 1).random(41) < 0.5
            spoiled = {**arrays, case.first: np.where(mask[:, None], arrays[case.first], dtype(np.nan))}
            kept = {key: array[mask] for key, array in arrays.items()}
            for weight in (mask, mask.astype(dtype)):
                for reduction in ("mean", "sum"):
                    actual = value(case, spoiled, reduction=reduction, sample_weight=weight)
                    assert_close(actual, value(case, kept, reduction=reduction), 1e-14)
                expected = everything(case, kept)
                for key, result in everything(case, spoiled, sample_weight=weight).items():
                    assert (result[~mask] == 0).all(), key
                    assert_same_bits(result[mask], expected[key], key)


LABEL_DTYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)


@one_case_per_row_loss
def test_every_integer_dtype_of_labels(case):
    if not case.indexed:
        pytest.skip("no class indices")
    arrays = sample(case, 41, 5)
    expected = everything(case, arrays)
    for dtype in LABEL_DTYPES:
        for kind in (np.dtype(dtype), np.dtype(dtype).newbyteorder()):
            label = arrays["target"].astype(kind)
            for key, result in everything(case, {**arrays, "target": label}).items():
                assert_same_bits(result, expected[key], f"{dtype} {key}")
    two = {**sample(case, 41, 2), "target": np.arange(41) % 2}
    expected = everything(case, two)
    for key, result in everything(case, {**two, "target": two["target"].astype(bool)}).items():
        assert_same_bits(result, expected[key], f"bool {key}")


@pytest.mark.parametrize("dtype", FLOATS)
class TestCrossEntropyAtTheEdges:
    """Exact tails, equal scores, excluded classes."""

    def test_lead_of_17(self, dtype):
        loss, grad = fl.cross_entropy.value_and_grad(np.array([[17.0, 0.0]], dtype), np.array([0]))
        exact = math.log1p(math.exp(-17))
        assert loss == pytest.approx(exact, rel=1e-7 if dtype is np.float32 else 1e-15)
        other = math.exp(-17) / (1 + math.exp(-17))
        assert_close(grad, [[-other, other]], 2 * np.finfo(dtype).eps)

    def test_equal_scores(self, dtype):
        for height in (0.0, 1e4, -1e30, 1e30):
            for classes in (1, 2, 3, 64, 65, 1000):
                scores, label = np.full((3, classes), height, dtype), np.array([0, classes // 2, classes - 1])
                values, grad = fl.cross_entropy.value_and_grad(scores, label, reduction="none")
                assert_close(values, math.log(classes), 2 * np.finfo(dtype).eps)
                onehot = np.arange(classes) == label[:, None]
                assert_close(grad, 1 / classes - 1.0 * onehot, 2 * np.finfo(dtype).eps)

    def test_half_of_the_classes_excluded(self, dtype):
        for classes in (2, 10, 66, 1000):
            scores = np.where(np.arange(classes) % 2 == 0, 1.0, -np.inf)[None].astype(dtype)
            values, grad = fl.cross_entropy.value_and_grad(scores, np.array([0]), reduction="none")
            assert_close(values, math.log(classes // 2), 2 * np.finfo(dtype).eps)
            expected = np.where(np.arange(classes) % 2 == 0, 2 / classes, 0.0) - (np.arange(classes) == 0)
            assert_close(grad, expected[None], 2 * np.finfo(dtype).eps)
            dense = np.zeros((1, classes), dtype)
            dense[0, 0] = 1
            assert_close(fl.cross_entropy(scores, dense), math.log(classes // 2), 2 * np.finfo(dtype).eps)

    def test_nan_among_the_probabilities(self, dtype):
        for classes in (2, 10, 70):
            scores, target = np.zeros((3, classes), dtype), np.full((3, classes), 1 / classes, dtype)
            target[1, 0] = np.nan
            values, grad = fl.cross_entropy.value_and_grad(scores, target, reduction="none")
            assert np.isnan(values).tolist() == [False, True, False]
            assert np.isnan(grad[1]).any()
            assert np.isfinite(grad[[0, 2]]).all()

    def test_excluded_target_is_infinite(self, dtype):
        assert fl.cross_entropy(np.array([[0.0, -np.inf]], dtype), np.array([1])) == math.inf

    def test_nothing_but_minus_infinity(self, dtype):
        for classes in (1, 3, 70):
            values, grad = fl.cross_entropy.value_and_grad(np.full((1, classes), -np.inf, dtype), np.array([0]))
            assert math.isnan(values)
            assert np.isnan(grad).all()

    def test_onehot_probabilities_are_indices(self, dtype):
        rng = np.random.default_rng(0)
        for classes in (2, 3, 64, 65, 300):
            scores = (rng.normal(size=(50, classes)) * 30).astype(dtype)
            label = rng.integers(0, classes, 50)
            label[:25] = scores[:25].argmax(1)
            dense = (np.arange(classes) == label[:, None]).astype(dtype)
            values, grad = fl.cross_entropy.value_and_grad(scores, label, reduction="none")
            dense_values, dense_grad = fl.cross_entropy.value_and_grad(scores, dense, reduction="none")
            assert_close(dense_values, values, 4 * np.finfo(dtype).eps)
            assert_close(dense_grad, grad, 4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


class TestAux:
    def test_of_cross_entropy(self):
        rng = np.random.default_rng(0)
        for dtype in FLOATS:
            for classes in (2, 10, 70):
                scores, label = rng.normal(size=(33, classes)).astype(dtype), rng.integers(0, classes, 33)
                plain, plain_grad = fl.cross_entropy.value_and_grad(scores, label)
                value_alone, alone = fl.cross_entropy(scores, label, return_aux=True)
                both, grad, aux = fl.cross_entropy.value_and_grad(scores, label, return_aux=True)
                assert value_alone == both == plain
                assert_same_bits(grad, plain_grad)
                exact = np.log(np.exp(scores.astype(np.float64)).sum(1))
                for found in (alone, aux):
                    assert_close(found.log_sum_exp, exact, 4 * np.finfo(dtype).eps, 1.0)
                    assert (found.argmax == scores.argmax(1)).all()
                    assert (found.correct == (scores.argmax(1) == label)).all()

    def test_lowest_index_of_ties(self):
        for classes in (3, 64, 65, 300):
            scores = np.zeros((1, classes))
            scores[0, 1:] = 1.0
            assert fl.cross_entropy(scores, np.array([0]), return_aux=True)[1].argmax[0] == 1

    def test_shape_is_that_of_the_rows(self):
        scores, label = np.zeros((2, 3, 4, 5)), np.zeros((2, 4, 5), int)
        aux = fl.cross_entropy(scores, label, return_aux=True)[1]
        assert aux.log_sum_exp.shape == aux.argmax.shape == aux.correct.shape == (2, 4, 5)


class TestDivergenceOfProbabilities:
    """Its arguments are those of the formula, D(p || q), and so are their names."""

    def test_order(self):
        p, q = np.array([1.0, 0.0]), np.array([0.5, 0.5])
        assert fl.kl_divergence(p, q) == fl.kl_divergence(q=q, p=p) == pytest.approx(math.log(2))
        assert fl.kl_divergence(q, p) == math.inf

    def test_gradients_come_in_argument_order(self):
        p, q = np.array([0.25, 0.75, 0.0]), np.array([0.5, 0.25, 0.25])
        assert_close(fl.kl_divergence.grad(p, q), -p / q, 1e-15)
        first, second = fl.kl_divergence.grad(p, q, wrt=("q", "p"))
        assert_close(first, [math.log(0.5) + 1, math.log(3) + 1, 0.0], 1e-15)
        assert_close(second, -p / q, 1e-15)


DIVERGENCES = ("divergence", "power_divergence", "kl_divergence")


class TestProbabilitiesOfZero:
    """Classes that a model or a target excludes: limits where they exist, infinities that say where, never NaN."""

    @pytest.mark.parametrize("case", [c for c in ROW_CASES_ENLISTED if call_of(c)[0].name in DIVERGENCES], ids=str)
    def test_no_nan(self, case):
        for classes in (1, 2, 3, 5, 70):
            arrays, edges = sample(case, 1, classes), {}
            for key, domain in case.arguments.items():
                nothing = -np.inf if isinstance(domain, Scores) else 0.0
                edges[key] = [arrays[key]]
                for k in {1, classes // 2, classes - 1} - {0, classes}:
                    few, many = arrays[key].copy(), arrays[key].copy()
                    few[0, :k], many[0, k:] = nothing, nothing
                    edges[key] += [few, many]
            for chosen in itertools.product(*edges.values()):
                for key, result in everything(case, dict(zip(edges, chosen, strict=True))).items():
                    assert not np.isnan(result).any(), f"{key} at {chosen}"

    def test_reverse_kl(self):
        scores, target = np.array([0.5, -1.0, -np.inf, 2.0]), np.array([0.5, 0.0, 0.5, 0.0])
        value, grad = fl.reverse_kl_div_with_logits.value_and_grad(scores, target)
        assert value == math.inf
        assert grad.tolist() == [-math.inf, math.inf, 0.0, math.inf]
        assert fl.reverse_kl_div_with_logits.grad(scores, target, wrt="target").tolist()[3] == -math.inf
        value, grad = fl.reverse_kl_div_with_logits.value_and_grad(np.zeros(1), np.zeros(1))
        assert (value, grad[0]) == (math.inf, 0.0)

    def test_powers(self):
        scores, target = np.array([-np.inf, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])
        for loss in (fl.renyi_divergence, fl.bhattacharyya_distance):
            value, grad = loss.value_and_grad(scores, target)
            assert value == math.inf
            factor = 0.5 if loss is fl.bhattacharyya_distance else 1.0
            assert_close(grad, factor * np.array([-1 / 3, 1 / 6, 1 / 6]), 1e-15)
        target = np.array([0.5, 0.5, 0.0])
        value, grad = fl.renyi_divergence.value_and_grad(scores, target, alpha=2.0)
        assert (value, grad.tolist()) == (math.inf, [-1.0, 0.5, 0.5])
        value, grad = fl.alpha_divergence.value_and_grad(scores, target, alpha=2.0)
        assert (value, grad.tolist()) == (math.inf, [-math.inf, math.inf, math.inf])
        p, r = np.array([0.0, 0.5, 0.5]), np.array([0.5, 0.5, 0.0])
        for loss in (fl.renyi_divergence, fl.alpha_divergence, fl.hellinger_distance):
            grad, back = loss.grad(p, r, log_input=False, wrt=("input", "target"))
            assert np.isneginf(grad).tolist() == [True, False, False], "the slope of a root at 0"
            assert np.isneginf(back).tolist() == [False, False, True]

    def test_of_the_target_are_not_pulled(self):
        scores, target = np.array([0.5, -1.0, 1.0]), np.array([0.25, 0.0, 0.75])
        for loss in (fl.kl_div_with_logits, fl.jensen_shannon_divergence):
            grad = loss.grad(scores, target, wrt="target")
            assert grad[1] == 0.0
            assert (grad[[0, 2]] != 0).all()
            assert np.isfinite(grad).all()

    def test_multilabel(self):
        value, grad = fl.zlpr_loss.value_and_grad(np.array([-np.inf, 0.0]), np.array([1.0, 0.0]))
        assert value == math.inf
        assert_close(grad, [-1.0, 0.5], 1e-15)


class TestHelpers:
    def test_class_balanced_weights(self):
        counts = np.array([1, 10, 1000])
        expected = (1 - 0.99) / (1 - 0.99**counts)
        assert_close(fl.class_balanced_weights(counts, beta=0.99), expected, 1e-12)
        assert fl.class_balanced_weights(counts, beta=0.99, normalize=True).mean() == pytest.approx(1)
        assert (fl.class_balanced_weights(counts, beta=0.0) == 1).all()
        for wrong in ([0, 1], [-1, 2], [np.nan, 1]):
            with pytest.raises(ValueError, match="counts"):
                fl.class_balanced_weights(wrong)
        with pytest.raises(ValueError, match="beta"):
            fl.class_balanced_weights(counts, beta=1.0)
