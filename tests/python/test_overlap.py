"""Losses of overlaps of masks: value and gradient against their formulas, in every type, layout, thread count."""

from __future__ import annotations

import pickle

import fusedloss as fl
import numpy as np
import pytest
from cases_overlap import OVERLAP_CASES, labels, scores
from references_overlap import OVERLAP_REFERENCES

LEVELS = [name for name, supported in fl.show_config()["isa_levels"].items() if supported]
LOSSES = sorted(name for name, loss in fl.Loss.registry.items() if loss.family == "overlap")

each_case = pytest.mark.parametrize("case", OVERLAP_CASES, ids=lambda case: case.id)
one_case_per_loss = pytest.mark.parametrize(
    "case", [next(c for c in OVERLAP_CASES if c.loss == name) for name in LOSSES], ids=lambda case: case.id
)
each_float = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def loss_of(case):
    return fl.Loss.registry[case.loss].bind(**case.params)


def reference(case, input, target, arrays):
    return np.asarray(OVERLAP_REFERENCES[case.loss](input, target, **case.params, **arrays))


def numerical_gradient(case, input, target, arrays, weight):
    """Of the weighted sum of the values, by central differences of fourth order.

    Those of sorted errors are linear as long as no two of them change places.
    """

    def value(x):
        return (reference(case, x, target, arrays) * weight).sum()

    gradient, h = np.zeros_like(input), 1e-6 if "lovasz" in case.loss else 1e-4
    for i in np.ndindex(input.shape):
        step = np.zeros_like(input)
        step[i] = h
        near, far = (value(input + k * step) - value(input - k * step) for k in (1, 2))
        gradient[i] = (8 * near - far) / (12 * h)
    return gradient


def bits(x):
    x = np.asarray(x)
    return x.view(f"u{x.itemsize}")


def test_every_loss_has_cases_and_a_reference():
    assert set(LOSSES) == set(OVERLAP_REFERENCES) == {case.loss for case in OVERLAP_CASES}


@each_case
@each_float
def test_values(case, dtype):
    input, target, arrays = case.draw()
    input = input.astype(dtype)
    expected = reference(case, input, target, arrays)
    loss = loss_of(case)
    tolerance = 1e-12 if dtype is np.float64 else 1e-6
    actual = loss(input, target, reduction="none", **arrays)
    assert actual.shape == expected.shape
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
    assert loss(input, target, reduction="sum", **arrays) == pytest.approx(expected.sum(), rel=tolerance)
    assert loss(input, target, **arrays) == pytest.approx(expected.mean(), rel=tolerance)
    weight = np.random.default_rng(1).random(expected.shape)
    average = (weight * expected).sum() / weight.sum()
    assert loss(input, target, sample_weight=weight, **arrays) == pytest.approx(average, rel=tolerance)


@each_case
def test_gradients(case):
    input, target, arrays = case.draw(seed=3)
    loss = loss_of(case)
    shape = reference(case, input, target, arrays).shape
    weight = np.random.default_rng(2).random(shape)
    expected = numerical_gradient(case, input, target, arrays, weight)
    scale = np.abs(expected).max()
    rough = 1e-9 if "lovasz" in case.loss else 0.0
    close = {"rtol": 1e-6, "atol": 1e-8 * scale + 1e-11 + rough}
    value, actual = loss.value_and_grad(input, target, sample_weight=weight, reduction="none", **arrays)
    np.testing.assert_allclose(actual, expected, **close)
    assert value.shape == shape
    back = loss.backward(weight, input, target, reduction="none", **arrays)
    np.testing.assert_allclose(back, expected, **close)
    mean = loss.grad(input, target, sample_weight=weight, **arrays)
    np.testing.assert_allclose(mean * weight.sum(), expected, **close)
    single = loss.grad(input.astype(np.float32), target, sample_weight=weight, reduction="none", **arrays)
    assert single.dtype == np.float32
    if "lovasz" not in case.loss:
        np.testing.assert_allclose(single, expected, rtol=2e-5, atol=2e-6 * scale)


@each_case
def test_single_precision_of_many_positions(case):
    """More than a panel and than a chunk; what `out` held before does not matter."""
    input, target, arrays = case.draw(shape=(2, case.shape[1], 64, 160), seed=4)
    loss = loss_of(case)
    value, gradient = loss.value_and_grad(input, target, **arrays)
    out = np.full(input.shape, np.nan, np.float32)
    single, _ = loss.value_and_grad(input.astype(np.float32), target, out=out, **arrays)
    assert single == pytest.approx(value, rel=1e-6)
    scale = np.abs(gradient).max()
    if "lovasz" in case.loss:  # errors that are equal in single precision may be found in another order
        assert np.isclose(out, gradient, rtol=2e-5, atol=2e-6 * scale).mean() > 0.98
        np.testing.assert_allclose(out, gradient, rtol=0, atol=0.1 * scale)
    else:
        np.testing.assert_allclose(out, gradient, rtol=2e-5, atol=2e-6 * scale)


@each_case
def test_half_precision_is_that_of_its_numbers(case):
    input, target, arrays = case.draw()
    half = input.astype(np.float16)
    loss = loss_of(case)
    value, gradient = loss.value_and_grad(half, target, **arrays)
    expected, wide = loss.value_and_grad(half.astype(np.float32), target, **arrays)
    assert value == expected
    assert gradient.dtype == np.float16
    np.testing.assert_array_equal(bits(gradient), bits(wide.astype(np.float16)))


LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": lambda a: a[::-1, ..., ::-1].copy()[::-1, ..., ::-1],
    "strided": lambda a: np.repeat(a, 2, -1)[..., ::2],
    "classes last": lambda a: np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "read only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@one_case_per_loss
@each_float
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layout_changes_no_bit(case, dtype, layout):
    input, target, arrays = case.draw(shape=(3, 4, 9, 131))
    input = input.astype(dtype)
    loss = loss_of(case)
    value, gradient = loss.value_and_grad(input, target, **arrays)
    other, grad = loss.value_and_grad(layout(input), layout(target), **arrays)
    assert other == value
    np.testing.assert_array_equal(bits(grad), bits(gradient))
    out = layout(np.zeros_like(input))
    if out.flags.writeable and out.dtype.isnative:
        loss.grad(input, target, out=out, **arrays)
        np.testing.assert_array_equal(bits(np.ascontiguousarray(out)), bits(gradient))


@one_case_per_loss
@each_float
def test_axis_of_the_classes(case, dtype):
    input, target, arrays = case.draw()
    input = input.astype(dtype)
    last = np.moveaxis(input, 1, -1).copy()
    target_last = np.moveaxis(target, 1, -1) if target.ndim == input.ndim else target
    loss = loss_of(case)
    value, gradient = loss.value_and_grad(input, target, **arrays)
    other, grad = loss.value_and_grad(last, target_last, axis=-1, **arrays)
    assert other == value
    np.testing.assert_array_equal(np.moveaxis(grad, -1, 1), gradient)
    np.testing.assert_array_equal(
        loss(input[0], target[0], axis=0, reduction="none"), loss(input[:1], target[:1], reduction="none", batch=True)
    )


@one_case_per_loss
@each_float
def test_threads_and_levels_change_no_bit(case, dtype):
    input, target, arrays = case.draw(shape=(3, 4, 70, 131))
    input = input.astype(dtype)
    loss = loss_of(case)
    for batch in (False, True):
        value, gradient = loss.value_and_grad(input, target, n_threads=1, batch=batch, **arrays)
        assert loss(input, target, batch=batch, **arrays) == value
        for n in (2, 3, 5):
            other, grad = loss.value_and_grad(input, target, n_threads=n, batch=batch, **arrays)
            assert other == value
            np.testing.assert_array_equal(bits(grad), bits(gradient))
        level = fl.get_isa()
        # The baseline has no fused multiply-add: its last digits are its own.
        for name in {"v3", "v4"} & set(LEVELS) if level != "v1" else ():
            fl.set_isa(name)
            other, grad = loss.value_and_grad(input, target, batch=batch, **arrays)
            fl.set_isa(level)
            assert other == value
            np.testing.assert_array_equal(bits(grad), bits(gradient))


@one_case_per_loss
def test_gradient_in_place_of_the_scores(case):
    input, target, arrays = case.draw()
    loss = loss_of(case)
    value, gradient = loss.value_and_grad(input, target, **arrays)
    assert loss.value_and_grad(input, target, out=input, **arrays)[0] == value
    np.testing.assert_array_equal(input, gradient)


@one_case_per_loss
def test_nan_shows(case):
    input, target, arrays = case.draw()
    input[1, 2, 0, 0] = np.nan
    value, gradient = loss_of(case).value_and_grad(input, target, **arrays)
    assert np.isnan(value)
    assert np.isnan(gradient[1, 2, 0, 0])


@one_case_per_loss
def test_weight_zero_excludes_whatever_is_there(case):
    input, target, arrays = case.draw()
    loss = loss_of(case).bind(**({"batch": False}))
    expected, gradient = loss.value_and_grad(input[1:], target[1:], **arrays)
    input[0] = np.nan
    values = loss(input, target, reduction="none", **arrays)
    weight = np.ones(values.shape)
    weight[0] = 0
    value, grad = loss.value_and_grad(input, target, sample_weight=weight, **arrays)
    assert value == expected
    np.testing.assert_array_equal(grad[1:], gradient)
    np.testing.assert_array_equal(grad[0], 0)


@one_case_per_loss
def test_pickle_and_no_images(case):
    loss = loss_of(case)
    input, target, arrays = case.draw()
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss
    assert again(input, target, **arrays) == loss(input, target, **arrays)
    value, gradient = loss.bind(batch=False).value_and_grad(input[:0], target[:0])
    assert np.isnan(value)
    assert gradient.shape == (0, *input.shape[1:])


class TestMasks:
    """Masks that leave nothing to compare."""

    def test_empty_and_full(self):
        wrong, right = np.full((1, 1, 4), 1e4), np.full((1, 1, 4), -1e4)
        empty, full = np.zeros((1, 1, 4), bool), np.ones((1, 1, 4), bool)
        for loss in (fl.dice_loss, fl.jaccard_loss, fl.tversky_loss):
            sure = loss.bind(activation="sigmoid")
            assert sure(right, empty) == 0
            assert sure(wrong, full) == 0
            assert sure(wrong, empty) == pytest.approx(1, abs=1e-5)
            assert sure(right, full) == pytest.approx(1, abs=1e-5)

    def test_nothing_and_no_smoothing(self):
        nothing = np.zeros((2, 1, 4))
        for loss in (fl.dice_loss, fl.jaccard_loss, fl.tversky_loss):
            value, gradient = loss.value_and_grad(nothing, nothing, activation="none", smooth_nr=0.0, smooth_dr=0.0)
            assert value == 0
            np.testing.assert_array_equal(gradient, 0)

    @pytest.mark.parametrize("name", LOSSES)
    def test_all_ignored(self, name):
        if name == "boundary_loss":
            pytest.skip("distances are not ignored")
        z = np.full((2, 3, 4), np.nan)
        value, gradient = fl.Loss.registry[name].value_and_grad(z, np.full((2, 4), -100))
        assert value == (1.0 if name == "mcc_loss" else 0.0)
        np.testing.assert_array_equal(gradient, 0)

    def test_absent_class(self):
        z, y = np.zeros((1, 3, 6)), np.zeros((1, 6), int)
        kept = fl.dice_loss(z, y, reduction="none")
        zero, gradient = fl.dice_loss.value_and_grad(z, y, absent="zero", reduction="none")
        assert kept[0, 1] > 0.99
        assert zero[0, 0] == kept[0, 0]
        np.testing.assert_array_equal(zero[0, 1:], 0)
        assert gradient.any()

    @each_float
    def test_tails_are_exact(self, dtype):
        """A prediction that is nearly right has a loss and a gradient, however near."""
        gap = 60.0
        z = np.array([[[gap, gap], [0, 0]]], dtype)
        y = np.zeros((1, 2), int)
        value, gradient = fl.dice_loss.value_and_grad(
            z, y, include_background=True, smooth_nr=0, smooth_dr=0, reduction="none"
        )
        assert value[0, 0] == pytest.approx(np.exp(-gap) / 2, rel=1e-6)
        z = np.array([[[gap, gap]]], dtype)
        value, gradient = fl.dice_loss.value_and_grad(z, np.ones((1, 2), int), activation="sigmoid")
        assert value == pytest.approx(np.exp(-gap) / 2, rel=1e-5)
        np.testing.assert_allclose(gradient, -np.exp(-gap) / 4, rtol=1e-5)

    def test_infinite_scores_are_the_limit_of_large_ones(self):
        z = np.array([[[np.inf, -np.inf, 0.0], [0.0, 0.0, -np.inf]]])
        large = np.where(np.isinf(z), np.sign(z) * 1e5, z)
        y = np.array([[0, 0, 1]])
        for loss in (fl.dice_loss, fl.dice_ce_loss.bind(lambda_ce=0.0), fl.lovasz_softmax_loss):
            value, gradient = loss.value_and_grad(z, y)
            expected, grad = loss.value_and_grad(large, y)
            assert value == expected
            np.testing.assert_array_equal(gradient, grad)

    def test_equal_errors_keep_the_order_of_the_positions(self):
        value, gradient = fl.lovasz_hinge_loss.value_and_grad(np.zeros((1, 1, 4)), np.array([[1, 0, 1, 0]]))
        assert value == 1
        np.testing.assert_allclose(gradient, [[[-1 / 2, 1 / 6, -1 / 3, 0]]])

    def test_order_of_many_errors(self):
        generator = np.random.default_rng(0)
        z = generator.integers(-3, 4, (1, 1, 5000)).astype(float)  # many are equal
        y = generator.integers(0, 2, (1, 5000))
        errors = 1 - z[0, 0] * (2 * y[0] - 1)
        order = np.argsort(-errors, kind="stable")
        gradient = -fl.lovasz_hinge_loss.grad(z, y)[0, 0] * (2 * y[0] - 1)
        there = y[0][order]
        jaccard = 1 - (there.sum() - np.cumsum(there)) / (there.sum() + np.cumsum(1 - there))
        steps = np.where(errors[order] > 0, np.diff(jaccard, prepend=0), 0)
        np.testing.assert_allclose(gradient[order], steps, atol=1e-15)


class TestBadInput:
    z, y = scores(np.random.default_rng(0), (2, 3, 4)), labels(np.random.default_rng(1), (2, 3, 4))

    @pytest.mark.parametrize(
        ("error", "message", "change"),
        [
            (IndexError, r"dice_loss: target\[1, 2\] = 3 is not in \[0, 3\)", {"target": (1, 2, 3)}),
            (ValueError, r"dice_loss: target has shape \(2, 3\)", {"target": np.zeros((2, 3), int)}),
            (ValueError, r"dice_loss: target has shape \(2, 4\) and dtype float64", {"target": np.zeros((2, 4))}),
            (TypeError, "dice_loss: target is None", {"target": None}),
            (ValueError, "activation must be one of", {"activation": "tanh"}),
            (ValueError, "form must be one of", {"form": "sum"}),
            (ValueError, "absent must be one of", {"absent": "skip"}),
            (ValueError, "smooth_nr must not be negative", {"smooth_nr": -1.0}),
            (ValueError, r"dice_loss: weight has shape \(2,\), expected \(3,\)", {"weight": [1.0, 2.0]}),
            (ValueError, r"dice_loss: sample_weight\[0, 0\] is negative", {"sample_weight": -np.ones((2, 3))}),
            (ValueError, "dice_loss: sample_weight has shape", {"sample_weight": np.ones((2, 4))}),
            (ValueError, "dice_loss: axis is 3", {"axis": 3}),
            (TypeError, "axis must be an integer", {"axis": 1.5}),
        ],
    )
    def test_is_refused_by_name_and_nothing_is_written(self, error, message, change):
        change, target = dict(change), self.y.copy()
        given = change.pop("target", target)
        if isinstance(given, tuple):  # a bad label and where it is
            target[given[:2]] = given[2]
            given = target
        out = np.full(self.z.shape, 7.0)
        with pytest.raises(error, match=message):
            fl.dice_loss.value_and_grad(self.z, given, out=out, **change)
        np.testing.assert_array_equal(out, 7.0)

    def test_nothing_but_background(self):
        with pytest.raises(ValueError, match="without any classes but the background"):
            fl.dice_loss(self.z[:, :1], self.y.clip(0, 1), include_background=False)


def confusion_iou(predicted, target, classes, kept):
    both, either = np.zeros(classes), np.zeros(classes)
    for c in range(classes):
        both[c] = ((predicted == c) & (target == c) & kept).sum()
        either[c] = (((predicted == c) | (target == c)) & kept).sum()
    return both, either


class TestEvaluation:
    """Stored masks, scored in chunks."""

    shape = (23, 4, 6, 5)

    @pytest.fixture
    def stored(self, tmp_path):
        generator = np.random.default_rng(8)
        z = scores(generator, self.shape).astype(np.float32)
        y = labels(generator, self.shape).astype(np.uint8)
        y[generator.random(y.shape) < 0.1] = 255
        np.save(tmp_path / "scores.npy", z)
        np.save(tmp_path / "labels.npy", y)
        np.save(tmp_path / "found.npy", z.argmax(1).astype(np.int16))
        return tmp_path, z, y

    def test_losses_of_stored_scores(self, stored):
        folder, z, y = stored
        chosen = [fl.dice_loss, fl.generalized_dice_loss, fl.lovasz_softmax_loss]
        scores = fl.evaluate(chosen, folder / "scores.npy", folder / "labels.npy", ignore_index=255, chunk_rows=4)
        for loss in chosen:
            assert scores[loss.name] == pytest.approx(loss(z, y, ignore_index=255), rel=1e-12)

    @pytest.mark.parametrize("per_image", [False, True])
    @pytest.mark.parametrize("metric", [fl.mask_iou, fl.mask_dice], ids=lambda metric: metric.name)
    def test_metrics_of_stored_masks(self, stored, metric, per_image):
        folder, z, y = stored
        found, kept = z.argmax(1), y != 255
        groups = [slice(n, n + 1) for n in range(len(z))] if per_image else [slice(None)]
        ratios = []
        for group in groups:
            both, either = confusion_iou(found[group], y[group], 4, kept[group])
            above, below = (2 * both, both + either) if metric is fl.mask_dice else (both, either)
            ratios += list((above / np.where(either, below, 1))[either > 0])
        options = {"ignore_index": 255, "per_image": per_image}
        assert metric(z, y, **options) == pytest.approx(np.mean(ratios), rel=1e-12)
        labelled = {**options, "classes": 4}
        for name, more in (("scores", options), ("found", labelled)):
            states = set()
            for rows in (1, 4, 23):
                values = fl.evaluate(metric, folder / f"{name}.npy", folder / "labels.npy", chunk_rows=rows, **more)
                states.add(values.value)
            assert states == {metric(z, y, **options)}, name

    def test_metrics_of_masks(self):
        generator = np.random.default_rng(9)
        z, m = scores(generator, self.shape), generator.random(self.shape) < 0.4
        both, either = ((z > 0) & m).sum((0, 2, 3)), ((z > 0) | m).sum((0, 2, 3))
        assert fl.mask_iou(z, m, activation="sigmoid") == pytest.approx((both / either).mean(), rel=1e-12)
        p = 1 / (1 + np.exp(-z))
        assert fl.mask_iou(p, m, activation="none") == fl.mask_iou(z, m, activation="sigmoid")
        last = np.moveaxis(z, 1, -1), np.moveaxis(m, 1, -1)
        assert fl.mask_iou(*last, activation="sigmoid", axis=-1) == fl.mask_iou(z, m, activation="sigmoid")
        half = np.arange(len(z)) < 11
        weighted = fl.mask_iou(z, m, activation="sigmoid", sample_weight=half)
        assert weighted == fl.mask_iou(z[:11], m[:11], activation="sigmoid")
        assert np.isnan(fl.mask_iou(z[:0], m[:0], activation="sigmoid"))

    def test_what_has_no_mean_over_images_is_refused(self, stored):
        folder, _, y = stored
        paths = folder / "scores.npy", folder / "labels.npy"
        with pytest.raises(ValueError, match="dice_loss with batch=True is no mean over images"):
            fl.evaluate(fl.dice_loss, *paths, batch=True)
        with pytest.raises(ValueError, match="expected one weight per image and class"):
            fl.evaluate(fl.dice_loss, *paths, sample_weight=np.ones(len(y)))
        with pytest.raises(ValueError, match="classes must say how many"):
            fl.mask_iou(y, y)
        with pytest.raises(IndexError, match=r"mask_iou: target\[0, 0, 0\] = 9 is not in \[0, 4\)"):
            fl.mask_iou(np.zeros(self.shape), np.full((23, 6, 5), 9))
