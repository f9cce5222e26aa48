"""The same losses by other means: PyTorch, JAX with Optax, NumPy, numexpr, scikit-learn.

Every peer computes the mean of a loss and, if asked, the gradient in the arguments a field trains; the class axis is 1.
The harness refuses to time one that disagrees with fusedloss.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

Run = Callable[[], tuple[Any, tuple[Any, ...]]]


@dataclass(frozen=True)
class Task:
    """One loss on given arrays; `trained` names the arguments to differentiate in, none for the value alone."""

    loss: str
    arrays: Mapping[str, np.ndarray]
    params: Mapping[str, Any]
    trained: tuple[str, ...]
    threads: int

    @property
    def positions(self) -> tuple[int, ...]:
        return tuple(list(self.arrays).index(name) for name in self.trained)


# ---- formulas ---------------------------------------------------------------------------------------
#
# Value per element and gradients per trained argument, in what NumPy, numexpr, PyTorch and JAX all evaluate. Names are
# those of arguments and parameters, and x = input, t = target. PyTorch and JAX use the value alone, and only where
# neither they nor Optax have the loss themselves; NumPy and numexpr differentiate only what has a gradient here.

SOFTPLUS = "(log1p(exp(-abs({0}))) + where({0} > 0, {0}, 0.0))"
SIGMOID = "(1 / (1 + exp(-({0}))))"
LOGISTIC = f"((1 - t) * x + {SOFTPLUS.format('(-x)')})"
PT = f"(t * {SIGMOID.format('x')} + (1 - t) * {SIGMOID.format('-x')})"

FORMULAS: dict[str, tuple[str, ...]] = {
    # regression
    "mse_loss": ("(x - t) ** 2", "2 * (x - t)"),
    "half_squared_error": ("(x - t) ** 2 / 2", "x - t"),
    "l1_loss": ("abs(x - t)", "where(x > t, 1.0, 0.0) - where(x < t, 1.0, 0.0)"),
    "smooth_l1_loss": (
        "where(abs(x - t) < beta, (x - t) ** 2 / (2 * beta), abs(x - t) - beta / 2)",
        "where(abs(x - t) < beta, (x - t) / beta, where(x > t, 1.0, -1.0))",
    ),
    "huber_loss": (
        "where(abs(x - t) <= delta, (x - t) ** 2 / 2, delta * (abs(x - t) - delta / 2))",
        "where(abs(x - t) <= delta, x - t, where(x > t, delta, -delta))",
    ),
    "pseudo_huber_loss": (
        "delta ** 2 * (sqrt(1 + ((x - t) / delta) ** 2) - 1)",
        "(x - t) / sqrt(1 + ((x - t) / delta) ** 2)",
    ),
    "charbonnier_loss": ("((x - t) ** 2 + eps ** 2) ** alpha",),
    "log_cosh_loss": (
        "(abs(a * (x - t)) + log1p(exp(-2 * abs(a * (x - t)))) - 0.6931471805599453) / a",
        "tanh(a * (x - t))",
    ),
    "quantile_loss": (
        "where(t >= x, quantile * (t - x), (1 - quantile) * (x - t))",
        "where(t >= x, -quantile, 1 - quantile)",
    ),
    "expectile_loss": ("where(t >= x, expectile, 1 - expectile) * (x - t) ** 2",),
    "mean_absolute_percentage_error": ("scale * abs(x - t) / where(abs(t) > eps, abs(t), eps)",),
    "mean_squared_logarithmic_error": ("(log1p(where(x > eps, x, eps)) - log1p(where(t > eps, t, eps))) ** 2",),
    "epsilon_insensitive_loss": ("where(abs(x - t) > epsilon, abs(x - t) - epsilon, 0.0)",),
    "squared_epsilon_insensitive_loss": ("where(abs(x - t) > epsilon, abs(x - t) - epsilon, 0.0) ** 2",),
    "linex_loss": ("exp(a * (x - t)) - a * (x - t) - 1",),
    # robust regression
    "cauchy_loss": ("c ** 2 / 2 * log1p(((x - t) / c) ** 2)", "(x - t) / (1 + ((x - t) / c) ** 2)"),
    "fair_loss": ("c ** 2 * (abs(x - t) / c - log1p(abs(x - t) / c))", "(x - t) / (1 + abs(x - t) / c)"),
    "welsch_loss": ("c ** 2 / 2 * (1 - exp(-(((x - t) / c) ** 2)))", "(x - t) * exp(-(((x - t) / c) ** 2))"),
    # likelihoods
    "poisson_nll_loss": ("exp(x) - t * x", "exp(x) - t"),
    "gaussian_nll_loss": ("(log(var) + (x - t) ** 2 / var) / 2",),
    "gamma_nll_loss": ("x + t * exp(-x)", "1 - t * exp(-x)"),
    "tweedie_nll_loss": (
        "exp((2 - power) * x) / (2 - power) - t * exp((1 - power) * x) / (1 - power)",
        "exp((2 - power) * x) - t * exp((1 - power) * x)",
    ),
    "laplace_nll_loss": ("abs(x - t) / scale + log(2 * scale)",),
    "kl_div": ("where(t > 0, t * (log(where(t > 0, t, 1.0)) - x), 0.0)", "-t"),
    # binary classification
    "binary_cross_entropy": ("-(t * log(x) + (1 - t) * log(1 - x))", "(x - t) / (x * (1 - x))"),
    "binary_cross_entropy_with_logits": (LOGISTIC, f"{SIGMOID.format('x')} - t"),
    "sigmoid_focal_loss": (
        f"(alpha * t + (1 - alpha) * (1 - t)) * (1 - {PT}) ** gamma * {LOGISTIC}",
        f"(alpha * t + (1 - alpha) * (1 - t)) * (1 - {PT}) ** gamma"
        f" * (1 - 2 * t) * (1 - {PT} + gamma * {PT} * {LOGISTIC})",
    ),
    "soft_margin_loss": (SOFTPLUS.format("(-t * x)"), f"-t * {SIGMOID.format('-t * x')}"),
    "hinge_loss": ("where(t * x < margin, margin - t * x, 0.0)", "where(t * x < margin, -t, 0.0)"),
    "squared_hinge_loss": (
        "where(t * x < margin, margin - t * x, 0.0) ** 2",
        "-2 * t * where(t * x < margin, margin - t * x, 0.0)",
    ),
    "perceptron_loss": ("where(t * x < 0, -t * x, 0.0)", "where(t * x < 0, -t, 0.0)"),
    "savage_loss": (f"{SIGMOID.format('-t * x')} ** 2",),
    "exponential_loss": ("exp(-t * x)", "-t * exp(-t * x)"),
    "quality_focal_loss": (f"abs(t - {SIGMOID.format('x')}) ** beta * {LOGISTIC}",),
    "poly1_bce_loss": (f"{LOGISTIC} + epsilon * (1 - {PT})",),
    # ranking and preference
    "hinge_embedding_loss": ("where(t != -1, x, 0.0) + where((t != 1) & (x < margin), margin - x, 0.0)",),
    "margin_ranking_loss": ("where(t * (input1 - input2) < margin, margin - t * (input1 - input2), 0.0)",),
    "bpr_loss": (
        SOFTPLUS.format("(negative - positive)"),
        f"-{SIGMOID.format('negative - positive')}",
        SIGMOID.format("negative - positive"),
    ),
    "dpo_loss": (
        SOFTPLUS.format("(-beta * (policy_chosen - policy_rejected - reference_chosen + reference_rejected))"),
    ),
    "simpo_loss": (SOFTPLUS.format("(gamma - beta * (policy_chosen - policy_rejected))"),),
    "ppo_clip_loss": (
        "-where(exp(log_prob - old_log_prob) * advantage < clipped * advantage,"
        " exp(log_prob - old_log_prob), clipped) * advantage".replace(
            "clipped",
            "where(exp(log_prob - old_log_prob) < 1 - clip_low, 1 - clip_low,"
            " where(exp(log_prob - old_log_prob) > 1 + clip_high, 1 + clip_high, exp(log_prob - old_log_prob)))",
        ),
    ),
}

# Value per row of class scores, in what PyTorch and JAX evaluate along axis 1.
ROW_FORMULAS: dict[str, str] = {
    "cross_entropy": "-pick(log_softmax(x), t)",
    "selected_log_prob": "pick(log_softmax(x), t)",
    "nll_loss": "-pick(x, t)",
    "categorical_cross_entropy": "-log(pick(x, t))",
    "softmax_focal_loss": "-((1 - exp(pick(log_softmax(x), t))) ** gamma) * pick(log_softmax(x), t)",
    "poly1_cross_entropy": "epsilon * (1 - exp(pick(log_softmax(x), t))) - pick(log_softmax(x), t)",
    "generalized_cross_entropy": "(1 - exp(q * pick(log_softmax(x), t))) / q",
    "brier_loss": "total(exp(log_softmax(x)) ** 2) - 2 * exp(pick(log_softmax(x), t)) + 1",
    "kl_div_with_logits": "total(t * (log(t) - log_softmax(x)))",
    "reverse_kl_div_with_logits": "total(exp(log_softmax(x)) * (log_softmax(x) - log(t)))",
    "distillation_loss": (
        "temperature ** 2 * total(exp(log_softmax(t / temperature))"
        " * (log_softmax(t / temperature) - log_softmax(x / temperature)))"
    ),
    "softmax_entropy": "-total(exp(log_softmax(x)) * log_softmax(x))",
    "zlpr_loss": "log1p(total((1 - t) * exp(x))) + log1p(total(t * exp(-x)))",
}

_SHORT = {"input": "x", "target": "t"}
_FUNCTIONS = ("abs", "exp", "log", "log1p", "sqrt", "tanh", "where")


def _arguments(task: Task) -> dict[str, np.ndarray]:
    return {_SHORT.get(name, name): array for name, array in task.arrays.items()}


def _texts(task: Task) -> tuple[str, ...] | None:
    """The formulas a task needs, if they are known."""
    texts = FORMULAS.get(task.loss, ())
    needed = 1 + len(task.trained)
    return texts[:needed] if len(texts) >= needed else None


def _function(text: str, task: Task, library: Any) -> Callable[..., Any]:
    """A formula as a function of the arrays, in terms of a library's functions."""
    names = {name: getattr(library, name) for name in _FUNCTIONS} | _row_functions(library)
    function: Callable[..., Any] = eval(f"lambda {', '.join(_arguments(task))}: {text}", {**names, **task.params})
    return function


def _row_functions(library: Any) -> dict[str, Callable[..., Any]]:
    if library.__name__ == "torch":
        return {
            "log_softmax": lambda x: library.log_softmax(x, 1),
            "pick": lambda x, t: x.gather(1, t[:, None])[:, 0],
            "total": lambda x: x.sum(1),
        }
    if library.__name__ == "jax.numpy":
        from jax import nn

        return {
            "log_softmax": lambda x: nn.log_softmax(x, 1),
            "pick": lambda x, t: library.take_along_axis(x, t[:, None], 1)[:, 0],
            "total": lambda x: x.sum(1),
        }
    return {}


def _mean(task: Task, own: Mapping[str, Callable[..., Any]], library: Any) -> Callable[..., Any] | None:
    """The mean loss as a function of the arrays: the library's own loss if it has one, else its formula."""
    if task.loss in own:
        return partial(own[task.loss], **task.params)
    text = ROW_FORMULAS.get(task.loss) or FORMULAS.get(task.loss, ("",))[0]
    if not text:
        return None
    per_element = _function(text, task, library)
    return lambda *arrays: per_element(*arrays).mean()


# ---- NumPy, numexpr, scikit-learn -----------------------------------------------------------------------


def _numpy_cross_entropy(x: np.ndarray, t: np.ndarray, trained: bool) -> tuple[Any, tuple[Any, ...]]:
    index = t[:, None]
    shifted = x - x.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    value = (np.log(total) - np.take_along_axis(shifted, index, 1)).mean()
    if not trained:
        return value, ()
    p /= total
    np.put_along_axis(p, index, np.take_along_axis(p, index, 1) - 1, 1)
    p /= t.size
    return value, (p,)


def numpy(task: Task) -> Run | None:
    if task.loss == "cross_entropy":
        return partial(_numpy_cross_entropy, *task.arrays.values(), bool(task.trained))
    texts = _texts(task)
    if texts is None:
        return None
    value, *gradients = (_function(text, task, np) for text in texts)
    arrays = tuple(task.arrays.values())
    if not gradients:
        return lambda: (value(*arrays).mean(), ())
    return lambda: (value(*arrays).mean(), tuple([gradient(*arrays) / arrays[0].size for gradient in gradients]))


def numexpr(task: Task) -> Run | None:
    texts = _texts(task)
    if texts is None:
        return None
    library = importlib.import_module("numexpr")
    library.set_num_threads(task.threads)
    # A Python number would turn the whole expression into float64.
    names = {key: np.float32(value) for key, value in task.params.items() if isinstance(value, float)}

    def named(literal: re.Match[str]) -> str:
        key = f"constant_{len(names)}"
        names[key] = np.float32(literal[0])
        return key

    value, *gradients = (re.sub(r"\b\d+\.\d+", named, text) for text in texts)
    first = next(iter(task.arrays.values()))
    names["count"] = np.float32(first.size)
    evaluate = partial(library.evaluate, local_dict={**names, **_arguments(task)}, global_dict={})
    losses, *outs = (np.empty_like(first) for _ in texts)

    def run() -> tuple[Any, tuple[Any, ...]]:
        # Its own sum() runs in one thread and in float32.
        mean = evaluate(value, out=losses).mean()
        return mean, tuple([evaluate(f"({g}) / count", out=out) for g, out in zip(gradients, outs, strict=True)])

    return run


SKLEARN: dict[str, Callable[[Any, Task], Any]] = {
    "half_squared_error": lambda module, task: module.HalfSquaredError(),
    "l1_loss": lambda module, task: module.AbsoluteError(),
    "quantile_loss": lambda module, task: module.PinballLoss(quantile=task.params["quantile"]),
    "poisson_nll_loss": lambda module, task: module.HalfPoissonLoss(),
    "gamma_nll_loss": lambda module, task: module.HalfGammaLoss(),
    "tweedie_nll_loss": lambda module, task: module.HalfTweedieLoss(power=task.params["power"]),
    "binary_cross_entropy_with_logits": lambda module, task: module.HalfBinomialLoss(),
    "cross_entropy": lambda module, task: module.HalfMultinomialLoss(n_classes=task.arrays["input"].shape[1]),
}


def sklearn(task: Task) -> Run | None:
    """Its losses give the gradient of the sum, and one loss per element or row."""
    if task.loss not in SKLEARN or len(next(iter(task.arrays.values())).shape) > 2:
        return None
    loss = SKLEARN[task.loss](importlib.import_module("sklearn._loss.loss"), task)
    raw, true = task.arrays.values()
    true = true.astype(raw.dtype)
    options = {"y_true": true, "raw_prediction": raw, "n_threads": task.threads, "loss_out": np.empty_like(true)}
    if not task.trained:
        return lambda: (loss.loss(**options).mean(), ())
    options["gradient_out"] = np.empty_like(raw)

    def run() -> tuple[Any, tuple[Any, ...]]:
        values, gradient = loss.loss_gradient(**options)
        return values.mean(), (gradient,)

    return run


def log_loss(task: Task) -> Run | None:
    """scikit-learn's metric, given the probabilities. It makes a dense array of the labels, so for few classes only."""
    if task.loss != "cross_entropy" or task.trained:
        return None
    scores, labels = task.arrays.values()
    if scores.ndim != 2 or scores.shape[1] > 100:
        return None
    metric = importlib.import_module("sklearn.metrics").log_loss
    probabilities = importlib.import_module("scipy.special").softmax(scores, axis=1)
    classes = np.arange(scores.shape[1])
    return lambda: (metric(labels, probabilities, labels=classes), ())


# ---- PyTorch --------------------------------------------------------------------------------------------


def _torch_losses() -> dict[str, Callable[..., Any]]:
    import torch
    from torch.nn import functional

    def focal(x: Any, t: Any, alpha: float, gamma: float) -> Any:  # as in torchvision.ops
        p = torch.sigmoid(x)
        entropy = functional.binary_cross_entropy_with_logits(x, t, reduction="none")
        p_t = p * t + (1 - p) * (1 - t)
        return ((alpha * t + (1 - alpha) * (1 - t)) * entropy * (1 - p_t) ** gamma).mean()

    def log_cosh(x: Any, t: Any, a: float) -> Any:
        e = a * (x - t)
        return (e + functional.softplus(-2 * e) - math.log(2)).mean() / a

    class Boxes:  # the formulas of torchvision.ops
        def __init__(self, first: Any, second: Any, eps: float = 1e-7) -> None:
            (x1, y1, x2, y2), (u1, v1, u2, v2) = first.unbind(-1), second.unbind(-1)
            left, top, right, bottom = torch.max(x1, u1), torch.max(y1, v1), torch.min(x2, u2), torch.min(y2, v2)
            common = torch.where((bottom > top) & (right > left), (right - left) * (bottom - top), 0.0)
            self.w1, self.h1, self.w2, self.h2 = x2 - x1, y2 - y1, u2 - u1, v2 - v1
            self.union = self.w1 * self.h1 + self.w2 * self.h2 - common
            self.iou = common / (self.union + eps)
            self.hull_w, self.hull_h = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
            centers = ((x2 + x1) / 2 - (u1 + u2) / 2) ** 2 + ((y2 + y1) / 2 - (v1 + v2) / 2) ** 2
            self.distance = 1 - self.iou + centers / (self.hull_w**2 + self.hull_h**2 + eps)

    def generalized(first: Any, second: Any) -> Any:
        p = Boxes(first, second)
        hull = p.hull_w * p.hull_h
        return (1 - p.iou + (hull - p.union) / (hull + 1e-7)).mean()

    def complete(first: Any, second: Any) -> Any:
        p = Boxes(first, second)
        v = 4 / math.pi**2 * (torch.atan(p.w2 / p.h2) - torch.atan(p.w1 / p.h1)) ** 2
        alpha = (v / (1 - p.iou + v + 1e-7)).detach()
        return (p.distance + alpha * v).mean()

    def masks(x: Any, t: Any, activation: str) -> tuple[Any, Any]:
        if activation == "sigmoid":
            return torch.sigmoid(x), t[:, None].to(x.dtype)
        return torch.softmax(x, 1), functional.one_hot(t, x.shape[1]).movedim(-1, 1).to(x.dtype)

    def tversky(x: Any, t: Any, activation: str, alpha: float, smooth: float) -> Any:
        p, true = masks(x, t, activation)
        both, predicted, present = ((p * true).sum((2, 3)), p.sum((2, 3)), true.sum((2, 3)))
        wrong = predicted + present - 2 * both
        return (1 - (both + smooth) / (both + alpha * wrong + smooth)).mean()

    def lovasz(x: Any, t: Any, activation: str) -> Any:  # Berman's code, image by image
        p, true = masks(x, t, activation)
        images = []
        for probability, mask in zip(p.flatten(2), true.flatten(2), strict=True):
            classes = []
            for own, there in zip(probability, mask, strict=True):
                if not there.any():
                    continue
                errors, order = torch.sort((there - own).abs(), dim=0, descending=True)
                ranked = there[order].double()  # differences of floats are noise where there are many positions
                total = ranked.sum()
                jaccard = 1 - (total - ranked.cumsum(0)) / (total + (1 - ranked).cumsum(0))
                jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
                classes.append(errors @ jaccard.to(errors.dtype))
            images.append(sum(classes) / max(1, len(classes)))
        return sum(images) / len(images)

    def contrastive(x1: Any, x2: Any, target: Any) -> Any:
        distance = functional.pairwise_distance(x1, x2, eps=0.0)
        return ((1 - target) * distance**2 + target * functional.relu(1 - distance) ** 2).mean() / 2

    return {
        "dice_loss": partial(tversky, alpha=0.5, smooth=0.5e-5),
        "jaccard_loss": partial(tversky, alpha=1.0, smooth=1e-5),
        "lovasz_softmax_loss": lovasz,
        "box_iou_loss": lambda first, second: (1 - Boxes(first, second).iou).mean(),
        "generalized_box_iou_loss": generalized,
        "distance_box_iou_loss": lambda first, second: Boxes(first, second).distance.mean(),
        "complete_box_iou_loss": complete,
        "triplet_margin_loss": functional.triplet_margin_loss,
        "contrastive_loss": contrastive,
        "cosine_embedding_loss": functional.cosine_embedding_loss,
        "pairwise_distance": lambda x1, x2: functional.pairwise_distance(x1, x2).mean(),
        "cosine_similarity": lambda x1, x2: functional.cosine_similarity(x1, x2).mean(),
        "mse_loss": functional.mse_loss,
        "l1_loss": functional.l1_loss,
        "smooth_l1_loss": functional.smooth_l1_loss,
        "huber_loss": functional.huber_loss,
        "log_cosh_loss": log_cosh,
        "poisson_nll_loss": functional.poisson_nll_loss,
        "gaussian_nll_loss": functional.gaussian_nll_loss,
        "kl_div": functional.kl_div,
        "binary_cross_entropy": functional.binary_cross_entropy,
        "binary_cross_entropy_with_logits": lambda x, t, **_: functional.binary_cross_entropy_with_logits(x, t),
        "sigmoid_focal_loss": focal,
        "soft_margin_loss": functional.soft_margin_loss,
        "hinge_loss": lambda x, t, margin: functional.relu(margin - t * x).mean(),
        "hinge_embedding_loss": functional.hinge_embedding_loss,
        "margin_ranking_loss": functional.margin_ranking_loss,
        "bpr_loss": lambda positive, negative: -functional.logsigmoid(positive - negative).mean(),
        "cross_entropy": functional.cross_entropy,
        "nll_loss": functional.nll_loss,
        "kl_div_with_logits": lambda x, t: (
            functional.kl_div(functional.log_softmax(x, 1), t, reduction="none").sum(1).mean()
        ),
        "multi_margin_loss": functional.multi_margin_loss,
        "multilabel_margin_loss": functional.multilabel_margin_loss,
        "multilabel_soft_margin_loss": functional.multilabel_soft_margin_loss,
    }


def _torch_tensors(task: Task) -> list[Any]:
    import torch

    torch.set_num_threads(task.threads)
    tensors = [torch.from_numpy(array) for array in task.arrays.values()]
    return [tensor if tensor.is_floating_point() else tensor.long() for tensor in tensors]


def torch_eager(task: Task) -> Run | None:
    import torch

    mean = _mean(task, _torch_losses(), torch)
    if mean is None:
        return None
    tensors = _torch_tensors(task)
    leaves = [tensors[k].requires_grad_() for k in task.positions]

    def value() -> tuple[Any, tuple[Any, ...]]:
        with torch.no_grad():
            return mean(*tensors).item(), ()

    def value_and_grad() -> tuple[Any, tuple[Any, ...]]:
        for leaf in leaves:
            leaf.grad = None
        loss = mean(*tensors)
        loss.backward()
        return loss.item(), tuple([leaf.grad for leaf in leaves])

    return value_and_grad if leaves else value


def torch_compile(task: Task) -> Run | None:
    """Forward and backward in one graph, which is the fastest that torch.compile has."""
    import torch

    own = _torch_losses()
    del own["gaussian_nll_loss"]  # looks at its data, which no graph can
    mean = _mean(task, own, torch)
    if mean is None or not task.trained:
        return None
    tensors = _torch_tensors(task)
    torch.compiler.reset()
    compiled = torch.compile(torch.func.grad_and_value(mean, argnums=task.positions), dynamic=False, fullgraph=True)

    def run() -> tuple[Any, tuple[Any, ...]]:
        gradients, value = compiled(*tensors)
        return value.item(), gradients

    return run


# ---- JAX ------------------------------------------------------------------------------------------------


def _optax_losses() -> dict[str, Callable[..., Any]]:
    import optax

    return {
        "mse_loss": lambda x, t: optax.squared_error(x, t).mean(),
        "half_squared_error": lambda x, t: optax.l2_loss(x, t).mean(),
        "huber_loss": lambda x, t, **params: optax.huber_loss(x, t, **params).mean(),
        "log_cosh_loss": lambda x, t, a: optax.log_cosh(a * x, a * t).mean() / a,
        "binary_cross_entropy_with_logits": lambda x, t, **_: optax.sigmoid_binary_cross_entropy(x, t).mean(),
        "sigmoid_focal_loss": lambda x, t, alpha, gamma: optax.sigmoid_focal_loss(
            x, t, alpha=alpha, gamma=gamma
        ).mean(),
        "hinge_loss": lambda x, t, margin: optax.hinge_loss(x, t).mean(),
        "cross_entropy": lambda x, t: optax.softmax_cross_entropy_with_integer_labels(x, t, axis=1).mean(),
    }


def jax_jit(task: Task) -> Run | None:
    import jax

    mean = _mean(task, _optax_losses(), jax.numpy)
    if mean is None or not task.trained:
        return None
    arrays = [jax.numpy.asarray(array) for array in task.arrays.values()]
    compiled = jax.jit(jax.value_and_grad(mean, argnums=task.positions))
    return lambda: jax.block_until_ready(compiled(*arrays))


PEERS: dict[str, Callable[[Task], Run | None]] = {
    "torch": torch_eager,
    "torch.compile": torch_compile,
    "jax.jit": jax_jit,
    "numpy": numpy,
    "numexpr": numexpr,
    "sklearn": sklearn,
    "log_loss": log_loss,
}
SLOW_TO_COMPILE = frozenset({"torch.compile"})
