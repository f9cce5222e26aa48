"""The same numbers as torch.nn.functional over class scores: every combination of targets, weights and reductions."""

from __future__ import annotations

import inspect

import fusedloss as fl
import numpy as np
import pytest
from battery import assert_close
from battery_rows import ROW_LOSSES

torch = pytest.importorskip("torch", reason="torch is not installed")
F = torch.nn.functional

SHAPES = ((37, 5), (11, 70), (3, 4, 5, 6), (5,))
REDUCTIONS = ("none", "mean", "sum")


def numbers(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(-4, 4, shape).astype(dtype)


def labels(shape, ignored=None):
    rng = np.random.default_rng(1)
    classes = shape[min(1, len(shape) - 1)]
    rows = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    label = rng.integers(0, classes, rows)
    if ignored is not None and rows:
        label = np.where(rng.random(rows) < 0.3, ignored, label)
    return np.asarray(label)


def probabilities(shape, seed=2):
    axis = min(1, len(shape) - 1)
    drawn = np.random.default_rng(seed).uniform(0, 1, shape)
    return drawn / drawn.sum(axis, keepdims=True)


def compare(name, scores, target, reductions=REDUCTIONS, **options):
    """Value and gradient, with the same arguments by the same names."""
    ours = ROW_LOSSES[name]
    rtol = 1e-12 if scores.dtype == np.float64 else 32 * np.finfo(np.float32).eps
    for reduction in reductions:
        tensor = torch.tensor(scores, requires_grad=True)
        theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        expected = getattr(F, name)(tensor, torch.tensor(target), **theirs, reduction=reduction)
        expected.sum().backward()
        value, grad = ours.value_and_grad(scores, target, **options, reduction=reduction)
        expected = expected.detach().numpy()
        assert np.shape(value) == expected.shape
        if np.isnan(expected).all():  # the only row is ignored
            assert np.isnan(value)
            assert (grad == 0).all()
            continue
        assert_close(value, expected, rtol, np.mean(abs(expected)), what=f"value {reduction}")
        expected = tensor.grad.numpy()
        assert grad.dtype == expected.dtype
        assert_close(grad, expected, rtol, np.mean(abs(expected)), what=f"gradient {reduction}")


def class_weight(shape, dtype=np.float64):
    return np.random.default_rng(3).uniform(0.1, 3, shape[min(1, len(shape) - 1)]).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
class TestCrossEntropy:
    @pytest.mark.parametrize("ignored", [None, -100, 2])
    def test_indices(self, shape, dtype, weighted, smoothing, ignored):
        options = {"weight": class_weight(shape, dtype)} if weighted else {}
        if ignored is not None:
            options["ignore_index"] = ignored
        compare("cross_entropy", numbers(shape, dtype), labels(shape, ignored), label_smoothing=smoothing, **options)

    def test_probabilities(self, shape, dtype, weighted, smoothing):
        options = {"weight": class_weight(shape, dtype)} if weighted else {}
        target = probabilities(shape).astype(dtype)
        compare("cross_entropy", numbers(shape, dtype), target, label_smoothing=smoothing, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [None, -100, 2])
def test_nll_loss(shape, weighted, ignored):
    options = {"weight": class_weight(shape)} if weighted else {}
    if ignored is not None:
        options["ignore_index"] = ignored
    scores = np.log(probabilities(shape))
    compare("nll_loss", scores, labels(shape, ignored), **options)


@pytest.mark.parametrize("shape", [(37, 5), (11, 70), (5,)], ids=str)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("margin", [1.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_multi_margin_loss(shape, p, margin, weighted):
    options = {"weight": class_weight(shape)} if weighted else {}
    compare("multi_margin_loss", numbers(shape), labels(shape), p=p, margin=margin, **options)


@pytest.mark.parametrize("shape", [(37, 5), (7, 70), (5,)], ids=str)
def test_multilabel_margin_loss(shape):
    rng = np.random.default_rng(4)
    rows = shape[0] if len(shape) == 2 else 1
    listed = np.argsort(rng.random((rows, shape[-1])), axis=1)
    listed = np.where(np.arange(shape[-1]) == rng.integers(0, shape[-1] + 1, (rows, 1)), -1, listed)
    compare("multilabel_margin_loss", numbers(shape), listed.reshape(shape))


@pytest.mark.parametrize("shape", [(37, 5), (7, 70)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_multilabel_soft_margin_loss(shape, weighted):
    options = {"weight": class_weight(shape)} if weighted else {}
    compare("multilabel_soft_margin_loss", numbers(shape), np.round(probabilities(shape) * shape[1] / 2), **options)


def test_divergences():
    scores, target = numbers((31, 6)), probabilities((31, 6))
    log_p = torch.log_softmax(torch.tensor(scores), 1)
    expected = F.kl_div(log_p, torch.tensor(target), reduction="batchmean")
    assert_close(ROW_LOSSES["kl_div_with_logits"](scores, target), expected, 1e-12)
    assert_close(fl.kl_divergence(target, np.exp(log_p.numpy())), expected, 1e-12)
    teacher = numbers((31, 6), seed=5)
    log_r = torch.log_softmax(torch.tensor(teacher) / 3, 1)
    soft = F.kl_div(torch.log_softmax(torch.tensor(scores) / 3, 1), log_r, reduction="batchmean", log_target=True)
    assert_close(ROW_LOSSES["distillation_loss"](scores, teacher, temperature=3.0), 9 * soft, 1e-12)
    entropy = torch.distributions.Categorical(logits=torch.tensor(scores)).entropy()
    assert_close(ROW_LOSSES["softmax_entropy"](scores, reduction="none"), entropy.numpy(), 1e-12)


def test_names_and_order_of_arguments():
    """A call written for torch runs unchanged, but for parameters given by position."""
    for name in ("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss",
                 "multilabel_soft_margin_loss"):  # fmt: skip
        their = inspect.signature(getattr(F, name)).parameters
        our = inspect.signature(ROW_LOSSES[name]).parameters
        assert list(our)[:2] == list(their)[:2] == ["input", "target"]
        for key, parameter in their.items():
            if key not in ("size_average", "reduce"):
                assert our[key].default == parameter.default, (name, key)


def test_rows_that_are_all_ignored():
    label = np.full(4, -100)
    assert F.cross_entropy(torch.zeros(4, 3), torch.tensor(label)).isnan()
    assert np.isnan(ROW_LOSSES["cross_entropy"](np.zeros((4, 3)), label))
