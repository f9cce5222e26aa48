"""Losses of pairs of boxes: values and gradients, layouts and types, boxes of every kind, the matrix of IoU."""

from __future__ import annotations

import json

import fusedloss as fl
import numpy as np
import pytest
from battery import assert_close, assert_same_bits
from battery_arrays import sample
from cases_boxes import CASES, box_case
from fusedloss.cli import main
from references_boxes import Pair

BOX_LOSSES = {loss.name: loss for loss in fl.losses() if loss.family == "boxes"}
BOTH = ("boxes1", "boxes2")
FLOATS = (np.float32, np.float64)
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_loss = pytest.mark.parametrize("loss", BOX_LOSSES.values(), ids=BOX_LOSSES)
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)


def everything(case, arrays, **options):
    """Values and both gradients, by name."""
    value, (first, second) = BOX_LOSSES[case.loss].value_and_grad(
        **arrays, **case.params, **{"reduction": "none", **options}, wrt=BOTH
    )
    return {"value": value, "d/dboxes1": first, "d/dboxes2": second}


def assert_all_same_bits(actual, expected, what=""):
    for key in expected:
        assert_same_bits(actual[key], expected[key], f"{what} {key}")


@each_case
def test_single_precision_is_rounded_once(case):
    arrays = sample(case, 150, dtype=np.float32)
    found = everything(case, arrays)
    exact = everything(case, {name: boxes.astype(np.float64) for name, boxes in arrays.items()})
    for key, result in found.items():
        assert result.dtype == np.float32
        assert_same_bits(result, exact[key].astype(np.float32), key)


@each_case
def test_any_number_of_axes_and_broadcasting(case):
    arrays = sample(case, 60)
    loss = BOX_LOSSES[case.loss].bind(**case.params)
    expected = everything(case, arrays)
    shaped = everything(case, {name: boxes.reshape(3, 4, 5, 4) for name, boxes in arrays.items()})
    assert shaped["value"].shape == (3, 4, 5)
    assert_all_same_bits({key: x.reshape(expected[key].shape) for key, x in shaped.items()}, expected)
    one = {name: boxes[0] for name, boxes in arrays.items()}
    assert loss(**one) == expected["value"][0]
    against_one = arrays | {"boxes2": arrays["boxes2"][0]}
    whole = arrays | {"boxes2": np.repeat(arrays["boxes2"][:1], 60, 0)}
    value, grads = loss.value_and_grad(**against_one, wrt=BOTH)
    full, fulls = loss.value_and_grad(**whole, wrt=BOTH)
    assert value == full
    assert_same_bits(grads[0], fulls[0])
    assert_close(grads[1], fulls[1].sum(0), 1e-12, scale=1e-3)


class TestKindsOfBoxes:
    UNIT = np.array([0.0, 0.0, 1.0, 1.0])

    @each_loss
    def test_identical(self, loss):
        value, grads = loss.value_and_grad(self.UNIT, self.UNIT, wrt=BOTH)
        assert 0.0 <= value < 4e-7
        assert max(abs(grad).max() for grad in grads) < 2e-7
        value, grads = loss.value_and_grad(self.UNIT, self.UNIT, wrt=BOTH, eps=0.0)
        assert value == 0.0
        assert not np.any(grads)

    @each_loss
    def test_apart(self, loss):
        away = self.UNIT + np.array([3.0, 4.0, 3.0, 4.0])
        value, (first, second) = loss.value_and_grad(away, self.UNIT, wrt=BOTH)
        assert value >= 1.0
        assert np.isfinite([first, second]).all()
        if loss.name in ("box_iou_loss", "alpha_iou_loss"):
            assert value == 1.0
            assert not np.any([first, second])
        else:
            assert value > 1.0
            assert first.sum() > 0.0  # down the gradient, the boxes move together
            assert second.sum() < 0.0

    @each_loss
    def test_touching_boxes_do_not_meet(self, loss):
        beside = self.UNIT + np.array([1.0, 0.0, 1.0, 0.0])
        assert loss(beside, self.UNIT) >= 1.0

    @each_loss
    def test_points_and_lines(self, loss):
        point, line = np.full(4, 0.5), np.array([0.0, 0.5, 2.0, 0.5])
        for degenerate in (point, line, line[[1, 0, 3, 2]]):
            for pair in ((degenerate, self.UNIT), (self.UNIT, degenerate), (degenerate, point), (point, degenerate)):
                for eps in (1e-7, 0.0):
                    value, grads = loss.value_and_grad(*pair, wrt=BOTH, eps=eps)
                    assert value >= 1.0
                    assert np.isfinite(value)
                    assert np.isfinite(grads).all()
        value, grads = loss.value_and_grad(point, point, wrt=BOTH)
        assert value == 1.0
        assert not np.any(grads)

    def test_aspect_ratio_without_height_is_the_limit(self):
        flat, nearly = np.array([0.0, 0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1e-9])
        value, grad = fl.complete_box_iou_loss.value_and_grad(flat, self.UNIT)
        limit, limits = fl.complete_box_iou_loss.value_and_grad(nearly, self.UNIT)
        assert value == pytest.approx(limit, rel=1e-8)
        assert_close(grad[[0, 2]], limits[[0, 2]], 1e-6)

    @each_loss
    def test_inverted(self, loss):
        for inverted in ([1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0], [2.0, 2.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]):
            for boxes in ((np.array(inverted), self.UNIT), (self.UNIT, np.array(inverted))):
                value, grads = loss.value_and_grad(*boxes, wrt=BOTH)
                assert value >= 1.0
                assert np.isfinite(value)
                assert np.isfinite(grads).all()

    def test_an_inverted_box_is_turned_back(self):
        inverted = np.array([0.75, 0.0, 0.25, 1.0])
        grad = fl.generalized_box_iou_loss.grad(inverted, self.UNIT)
        assert grad[0] > 0.0 > grad[2]

    @each_loss
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_nan_and_infinity(self, loss, bad):
        generator = np.random.default_rng(0)
        for format in ("xyxy", "cxcywh", "xywh"):
            for which in range(2):
                for corner in range(4):
                    pair = generator.uniform(1, 2, (2, 40, 4))
                    pair[:, :, 2:] += 2.0
                    pair[which, 17, corner] = bad
                    value, grads = loss.value_and_grad(*pair, wrt=BOTH, reduction="none", format=format)
                    poisoned = np.arange(40) == 17
                    np.testing.assert_array_equal(np.isnan(value), poisoned)
                    for grad in grads:
                        np.testing.assert_array_equal(np.isnan(grad), np.repeat(poisoned[:, None], 4, 1))

    @each_case
    @pytest.mark.parametrize("size", [1e-250, 1e-170, 1e170, 1e250])
    def test_size_does_not_matter(self, case, size):
        if case.loss.startswith("minimum"):
            pytest.skip("is relative to the size of the image")
        arrays = sample(case, 40)
        case = box_case(case.loss, {**case.params, "eps": 0.0})
        unit, scaled = (everything(case, {name: s * x for name, x in arrays.items()}) for s in (1.0, size))
        assert_close(scaled["value"], unit["value"], 1e-12, scale=1.0)
        for name in BOTH:
            assert_close(scaled[f"d/d{name}"] * size, unit[f"d/d{name}"], 1e-11, scale=1.0)

    def test_logarithm_stops_at_eps(self):
        value, grad = fl.box_iou_loss.value_and_grad(self.UNIT + 2.0, self.UNIT, log=True)
        assert value == pytest.approx(-np.log(1e-7))
        assert not grad.any()
        assert fl.box_iou_loss(self.UNIT + 2.0, self.UNIT, log=True, eps=0.0) == np.inf

    def test_nothing(self):
        empty = np.empty((0, 4))
        assert np.isnan(fl.box_iou_loss(empty, empty))
        assert fl.box_iou_loss(empty, empty, reduction="sum") == 0.0
        assert fl.box_iou_loss(empty, empty, reduction="none").shape == (0,)
        assert fl.box_iou_loss.grad(empty, empty).shape == (0, 4)

    def test_integers(self):
        first, second = np.array([[0, 0, 4, 4]]), np.array([[2, 2, 6, 6]], np.uint8)
        value, grad = fl.box_iou_loss.value_and_grad(first, second, eps=0.0)
        assert value == pytest.approx(1 - 4 / 28, rel=1e-15)
        assert grad.dtype == np.float64


class TestStoredBoxes:
    @pytest.fixture
    def files(self, tmp_path):
        arrays = sample(CASES[0], 20_000, np.float32)
        arrays["weight"] = np.random.default_rng(0).uniform(0, 1, 20_000)
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return arrays, [str(tmp_path / f"{name}.npy") for name in arrays]

    def test_command(self, files, capsys):
        arrays, (first, second, weight) = files
        losses = ("--loss", "complete_box_iou_loss", "--loss", "giou", "--loss", "iou:log=true")
        assert main(["evaluate", first, second, *losses, "--weight", weight, "--json", "--quiet"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["rows"] == 20_000
        for found, loss in zip(
            report["losses"],
            (fl.complete_box_iou_loss, fl.generalized_box_iou_loss, fl.box_iou_loss.bind(log=True)),
            strict=True,
        ):
            expected = loss(arrays["boxes1"], arrays["boxes2"], sample_weight=arrays["weight"])
            assert found["mean"] == pytest.approx(expected, rel=1e-14)

    def test_chunks_and_workers_give_the_same_bits(self, files):
        arrays, (first, second, _) = files
        whole = fl.evaluate(fl.efficient_box_iou_loss, first, second)
        for chunk_rows in (8192, 16384):
            assert fl.evaluate(fl.efficient_box_iou_loss, first, second, chunk_rows=chunk_rows).value == whole.value
        halves = [
            fl.Evaluation(fl.efficient_box_iou_loss).update(arrays["boxes1"][part], arrays["boxes2"][part])
            for part in (slice(8192), slice(8192, None))
        ]
        assert halves[0].merge(halves[1]).value == whole.value

    def test_shapes(self):
        boxes = np.ones((8, 4))
        with pytest.raises(
            ValueError, match=r"boxes1 has shape \(4,\) without a row of boxes; rows are the first axis"
        ):
            fl.evaluate(fl.box_iou_loss, boxes[0], boxes[0])
        with pytest.raises(ValueError, match=r"boxes2 has shape \(8, 1, 4\), boxes1 has \(8, 4\)"):
            fl.evaluate(fl.box_iou_loss, boxes, boxes[:, None])


class TestErrors:
    def test_shapes_by_name(self):
        with pytest.raises(ValueError, match=r"^box_iou_loss: boxes1 has shape \(3, 5\), expected boxes of four"):
            fl.box_iou_loss(np.ones((3, 5)), np.ones((3, 4)))
        with pytest.raises(ValueError, match=r"^box_iou_loss: boxes2 has shape \(\), expected boxes of four"):
            fl.box_iou_loss(np.ones((3, 4)), 1.0)
        with pytest.raises(ValueError, match=r"^box_iou_loss: boxes2 has shape \(2, 4\), which does not broadcast"):
            fl.box_iou_loss(np.ones((3, 4)), np.ones((2, 4)))
        with pytest.raises(ValueError, match=r"^box_iou_loss: sample_weight has shape \(3, 4\)"):
            fl.box_iou_loss(np.ones((3, 4)), np.ones((3, 4)), sample_weight=np.ones((3, 4)))

    def test_nothing_is_written(self):
        out = np.full((3, 4), 7.0)
        weight = np.array([1.0, -1.0, 1.0])
        with pytest.raises(ValueError, match=r"^box_iou_loss: sample_weight\[1\] is negative or not finite"):
            fl.box_iou_loss.grad(np.ones((3, 4)), np.ones((3, 4)), sample_weight=weight, out=out)
        assert (out == 7.0).all()

    def test_types_by_name(self):
        with pytest.raises(TypeError, match=r"^box_iou_loss: boxes2 is a masked array"):
            fl.box_iou_loss(np.ones(4), np.ma.ones(4))
        with pytest.raises(TypeError, match=r"^box_iou_loss: boxes1 has dtype"):
            fl.box_iou_loss(np.ones(4, complex), np.ones(4))

    def test_parameters_by_name(self):
        box = np.ones(4)
        with pytest.raises(ValueError, match=r"^box_iou_loss: format must be one of 'xyxy', 'cxcywh', 'xywh', got"):
            fl.box_iou_loss(box, box, format="xy")
        with pytest.raises(ValueError, match="eps must not be negative"):
            fl.box_iou_loss(box, box, eps=-1.0)
        with pytest.raises(ValueError, match="alpha must be positive"):
            fl.alpha_iou_loss.bind(alpha=0.0)
        with pytest.raises(ValueError, match="image_size must be positive"):
            fl.minimum_point_distance_iou_loss.bind(image_size=(0.0, 1.0))


class TestMatrix:
    @pytest.mark.parametrize("format", ["xyxy", "cxcywh", "xywh"])
    @each_float
    def test_values(self, format, dtype):
        case = box_case("box_iou_loss", {"format": format})
        arrays = sample(case, 700, dtype)
        first, second = arrays["boxes1"][:130], arrays["boxes2"]
        matrix = fl.box_iou(first, second, format=format)
        assert matrix.dtype == dtype
        assert matrix.shape == (130, 700)
        exact = Pair(first[:, None].astype(np.float64), second[None].astype(np.float64), format, 0.0).iou
        assert_close(matrix, exact, 1e-7 if dtype == np.float32 else 1e-13, scale=0.01)
        for same in (np.asfortranarray, lambda boxes: boxes.repeat(2, 0)[::2]):
            assert_same_bits(fl.box_iou(same(first), same(second), format=format, n_threads=3), matrix)

    def test_large_results(self):
        arrays = sample(CASES[0], 3000, np.float32)
        matrix = fl.box_iou(**arrays)
        np.testing.assert_array_equal(matrix[5:7], fl.box_iou(arrays["boxes1"][5:7], arrays["boxes2"]))
        assert_close(1 - np.diagonal(matrix), fl.box_iou_loss(**arrays, eps=0.0, reduction="none"), 1e-6, scale=1.0)

    def test_edges(self):
        unit = np.array([[0.0, 0.0, 1.0, 1.0]])
        odd = np.array([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], [1, 1, 0, 0], [np.nan, 0, 1, 1], [0, 0, np.inf, 1]])
        np.testing.assert_array_equal(fl.box_iou(unit, odd), [[1, 0, 0, np.nan, np.nan]])
        np.testing.assert_array_equal(fl.box_iou(odd[1:2], odd[1:2]), [[0]])
        assert fl.box_iou(np.empty((0, 4)), unit).shape == (0, 1)
        assert fl.box_iou(unit, np.empty((0, 4))).shape == (1, 0)
        np.testing.assert_array_equal(fl.box_iou(1e200 * unit, 1e200 * unit), [[1]])

    def test_errors_by_name(self):
        with pytest.raises(ValueError, match=r"^box_iou: boxes1 has shape \(4,\), expected boxes of shape \(N, 4\)"):
            fl.box_iou(np.ones(4), np.ones((1, 4)))
        with pytest.raises(ValueError, match=r"^box_iou: boxes2 has shape \(1, 3\), expected boxes of four numbers"):
            fl.box_iou(np.ones((1, 4)), np.ones((1, 3)))
        with pytest.raises(TypeError, match=r"^box_iou: boxes2 is None"):
            fl.box_iou(np.ones((1, 4)), None)


class TestAsInTorchvision:
    """The formulas of torchvision.ops, in torch, with autograd."""

    @staticmethod
    def parts(torch, first, second):
        x1, y1, x2, y2 = first.unbind(-1)
        u1, v1, u2, v2 = second.unbind(-1)
        left, top, right, bottom = torch.max(x1, u1), torch.max(y1, v1), torch.min(x2, u2), torch.min(y2, v2)
        meet = (bottom > top) & (right > left)
        common = torch.zeros_like(x1)
        common[meet] = (right[meet] - left[meet]) * (bottom[meet] - top[meet])
        union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
        hull_w, hull_h = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
        centers = ((x1 + x2) / 2 - (u1 + u2) / 2) ** 2 + ((y1 + y2) / 2 - (v1 + v2) / 2) ** 2
        return common, union, hull_w, hull_h, centers

    @classmethod
    def generalized(cls, torch, first, second, eps=1e-7):
        common, union, hull_w, hull_h, _ = cls.parts(torch, first, second)
        hull = hull_w * hull_h
        return 1 - (common / (union + eps) - (hull - union) / (hull + eps))

    @classmethod
    def distance(cls, torch, first, second, eps=1e-7):
        common, union, hull_w, hull_h, centers = cls.parts(torch, first, second)
        return 1 - common / (union + eps) + centers / (hull_w**2 + hull_h**2 + eps)

    @classmethod
    def complete(cls, torch, first, second, eps=1e-7):
        common, union, *_ = cls.parts(torch, first, second)
        iou = common / (union + eps)
        w1, h1 = first[..., 2] - first[..., 0], first[..., 3] - first[..., 1]
        w2, h2 = second[..., 2] - second[..., 0], second[..., 3] - second[..., 1]
        v = (4 / torch.pi**2) * (torch.atan(w2 / h2) - torch.atan(w1 / h1)) ** 2
        with torch.no_grad():
            alpha = v / (1 - iou + v + eps)
        return cls.distance(torch, first, second) + alpha * v

    @pytest.mark.parametrize("kind", ["generalized", "distance", "complete"])
    def test_values_and_gradients(self, kind):
        torch = pytest.importorskip("torch", reason="torch is not installed")
        arrays = sample(CASES[0], 500)
        tensors = [torch.tensor(boxes, requires_grad=True) for boxes in arrays.values()]
        expected = getattr(self, kind)(torch, *tensors)
        expected.sum().backward()
        value, grads = BOX_LOSSES[f"{kind}_box_iou_loss"].value_and_grad(**arrays, reduction="none", wrt=BOTH)
        assert_close(value, expected.detach().numpy(), 1e-13, scale=1.0)
        for grad, tensor in zip(grads, tensors, strict=True):
            assert_close(grad, tensor.grad.numpy(), 1e-12, scale=1.0)


@pytest.fixture(scope="module")
def ops():
    pytest.importorskip("torch", reason="torch is not installed")
    try:
        from torchvision import ops
    except (ImportError, RuntimeError) as error:  # the latter where it was built for another torch
        pytest.skip(f"torchvision cannot be imported: {error}")
    return ops


class TestTorchvision:
    """The package itself: its losses with autograd, and its matrix of IoU."""

    @pytest.mark.parametrize("kind", ["generalized", "distance", "complete"])
    @pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
    @each_float
    def test_losses(self, ops, kind, reduction, dtype):
        import torch

        name = f"{kind}_box_iou_loss"
        arrays = sample(CASES[0], 500, dtype)
        tensors = [torch.tensor(boxes, requires_grad=True) for boxes in arrays.values()]
        expected = getattr(ops, name)(*tensors, reduction=reduction)
        expected.sum().backward()
        value, grads = BOX_LOSSES[name].value_and_grad(**arrays, reduction=reduction, wrt=BOTH)
        rounding = 8 * float(np.finfo(dtype).eps)
        assert_close(value, expected.detach().numpy(), rounding, scale=1.0)
        for grad, tensor in zip(grads, tensors, strict=True):
            # Single precision rounds every step there; a gradient in corners is a sum of larger terms.
            assert_close(grad, tensor.grad.numpy(), 4 * rounding, scale=abs(grad).max())

    @pytest.mark.parametrize("format", ["xyxy", "cxcywh", "xywh"])
    @each_float
    def test_matrix(self, ops, format, dtype):
        import torch

        first, second = sample(box_case("box_iou_loss", {"format": format}), 300, dtype).values()
        expected = ops.box_iou(
            *(ops.box_convert(torch.tensor(boxes), format, "xyxy") for boxes in (first[:70], second))
        )
        matrix = fl.box_iou(first[:70], second, format=format)
        assert_close(matrix, expected.numpy(), 32 * float(np.finfo(dtype).eps), scale=1.0)
