"""What gradient boosting asks of a loss, whatever the library: gradient and Hessian of raw scores, a start, a link."""

from __future__ import annotations

import functools
import math
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import _core, activation
from .._config import thread_count
from .._loss import _FLOAT32_RESULTS, _GRAD, _HESS, Array, Loss

_SOFTMAX_HESSIANS = ("gauss_newton", "upper", "lightgbm", "abs_residual")
HESSIANS = ("builtin", "exact", "ones", *_SOFTMAX_HESSIANS)

_LOGITS = (
    *("binary_cross_entropy_with_logits", "sigmoid_focal_loss", "asymmetric_loss", "quality_focal_loss"),
    *("reduced_focal_loss", "varifocal_loss", "poly1_bce_loss", "soft_margin_loss", "savage_loss"),
)
_LOGARITHMS = ("gamma_nll_loss", "tweedie_nll_loss", "generalized_kl_divergence")
_CLASS_SCORES = (
    *("cross_entropy", "softmax_focal_loss", "poly1_cross_entropy", "poly_cross_entropy", "brier_loss"),
    *("generalized_cross_entropy", "symmetric_cross_entropy", "confidence_penalty_loss"),
    *("logit_adjusted_cross_entropy", "ldam_loss"),
)
LINKS: dict[str, Callable[[Any], Any]] = {
    "identity": np.asarray,
    "log": np.exp,
    "logit": activation.sigmoid,
    "half_logit": lambda raw: activation.sigmoid(2.0 * raw),
    "softmax": lambda raw: activation.softmax(raw, axis=-1),
}


def link_of(loss: Loss[Any]) -> str:
    """The name of the function whose inverse turns scores into predictions."""
    if loss.name in _LOGITS:
        return "logit"
    if loss.name == "exponential_loss":
        return "half_logit"
    if loss.name in _CLASS_SCORES:
        return "softmax"
    if loss.name in _LOGARITHMS or loss.params.get("log_input", False):
        return "log"
    return "identity"


def takes_signs(loss: Loss[Any]) -> bool:
    """Whether labels are -1 and 1."""
    return "-1 or 1" in loss.domain or loss.params.get("labels") == "signed"


PARAMETERS = """\
Parameters
    ----------
    loss : Loss
        Of two arrays: scores and labels.
    hessian : str, default "builtin"
        "exact" is the loss's own second derivative, "ones" is 1 everywhere; of losses on a softmax also "gauss_newton",
        "upper" (``2 * p * (1 - p)``), "lightgbm" (``K / (K - 1) * p * (1 - p)``) and "abs_residual" (``|p - y|``).
        "builtin" is what the library uses in its own objective, as far as it has one, else "gauss_newton" of a softmax,
        "exact" where there is a second derivative, "ones" where there is none.
    hess_floor : float, default 1e-16
        Smaller Hessians are raised to this.
    link : str, optional
        What the scores are of the predictions: "identity", "log", "logit", "half_logit" or "softmax". By default as the
        loss suggests.
    n_threads : int, optional
        Threads of the loss. By default 1, as the library's own threads stand in their way when the two take turns, and
        the loss takes little of the time; with LightGBM as many as everywhere, for both use the same OpenMP.
    **params
        Parameters of the loss.

    Attributes
    ----------
    loss : Loss
        The same with its parameters bound.
    start : float or ndarray
        The score that training starts from; 0 until it is found."""
METRIC_PARAMETERS = """\
Parameters
    ----------
    loss : Loss or Metric
        Of two arrays: scores and labels.
    name : str, optional
        What the library calls it.
    higher_is_better : bool, default False
        Which way is better.
    **params
        Parameters of the loss."""


_SMALL = 1 << 17  # bytes that allocators keep at hand


class _Plan(NamedTuple):
    """How the kernel is called, whether it computes the Hessian, and what that is multiplied by."""

    run: Callable[[tuple[Any, ...], Any, Any, int], Any]
    has_hessian: bool
    factor: float


class BoostingLoss:
    """A loss of scores and labels, with the conventions that boosting libraries need to be told."""

    order: ClassVar[Any]  # of the results in memory
    class_count: ClassVar[str] = "num_class"  # the parameter of training
    default_threads: ClassVar[int | None] = 1

    def __init__(
        self,
        loss: Loss[Any],
        *,
        hessian: str = "builtin",
        hess_floor: float = 1e-16,
        link: str | None = None,
        n_threads: int | None = None,
        **params: Any,
    ) -> None:
        if not isinstance(loss, Loss):
            raise TypeError(f"Objective: loss must be a Loss such as fusedloss.huber_loss, got {type(loss).__name__}")
        arrays = [p.name for p in loss._signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if len(arrays) != 2 or loss.family not in ("elementwise", "rows"):
            raise ValueError(f"Objective: {loss.name} is no loss of scores and labels: it takes {', '.join(arrays)}")
        if hessian not in HESSIANS:
            raise ValueError(f"Objective: hessian must be one of {', '.join(map(repr, HESSIANS))}, got {hessian!r}")
        if hessian in _SOFTMAX_HESSIANS and "hessian" not in loss.params:
            raise ValueError(f"Objective: {loss.name} has no {hessian!r} Hessian")
        if hessian == "exact" and not loss.has_hessian:
            raise ValueError(f"Objective: {loss.name} has no Hessian; take 'ones'")
        if link is not None and link not in LINKS:
            raise ValueError(f"Objective: link must be one of {', '.join(map(repr, LINKS))}, got {link!r}")
        self.loss = loss.bind(**params) if params else loss
        self.hessian = hessian
        self.hess_floor = float(hess_floor)
        self.link = link_of(self.loss) if link is None else link
        self.n_threads = self.default_threads if n_threads is None else int(n_threads)
        self.signed = takes_signs(self.loss)
        self.start: float | Array = 0.0

    # ---- what training asks for --------------------------------------------------------------------

    def builtin_hessian(self) -> tuple[str, float]:
        """The mode and factor that make the Hessian of the library's own objective of this loss."""
        raise NotImplementedError

    def _resolved_hessian(self) -> tuple[str, float]:
        if self.hessian != "builtin":
            return self.hessian, 1.0
        if self.loss.name == "poisson_nll_loss" and self.link == "log":
            return "exact", math.exp(0.7)  # poisson_max_delta_step of LightGBM, max_delta_step of XGBoost
        mode, factor = self.builtin_hessian()
        if mode:
            return mode, factor
        if self.loss.name in ("softmax_focal_loss", "brier_loss"):  # the true ones are negative in places
            return "gauss_newton", 1.0
        return "exact" if self.loss.has_hessian else "ones", 1.0

    @functools.cached_property
    def _plan(self) -> _Plan:
        mode, factor = self._resolved_hessian()
        bound: dict[str, Any] = {"reduction": "sum"}
        if self.loss.family == "rows":
            bound["axis"] = 1
        if mode not in ("exact", "ones"):
            bound["hessian"] = mode
        has_hessian = mode != "ones"
        results = _GRAD | _FLOAT32_RESULTS | (_HESS if has_hessian else 0)
        return _Plan(self.loss.bind(**bound)._prepared(results, self.loss.inputs[0]), has_hessian, factor)

    @functools.cached_property
    def _memory(self) -> dict[str, Any]:
        return {}

    def grad_and_hess(
        self, labels: Any, scores: Any, weight: Any, out: tuple[Array, Array] | None = None, sign: float = 1.0
    ) -> tuple[Array, Array]:
        """Gradient and Hessian of the weighted sum of losses in raw scores, times `sign`: float32 arrays."""
        scores, labels = self.checked(scores, labels)
        by_row = weight
        if weight is not None:
            if weight.ndim != 1 or len(weight) != len(scores):
                raise ValueError(f"{self}: weight has shape {weight.shape}, scores have {scores.shape}")
            if scores.ndim == 2 and self.loss.family == "elementwise":
                by_row = weight[:, None]
        grad, hess = out or self._results(scores.shape)
        run, has_hessian, factor = self._plan
        threads = thread_count(self.n_threads)
        run((scores, labels), by_row, (grad, hess) if has_hessian else (grad,), threads)
        if not has_hessian:
            hess[...] = 1.0 if weight is None else weight.reshape(-1, *[1] * (scores.ndim - 1))
        if not _core.finish_derivatives(grad, hess, factor, self.hess_floor, sign, threads):
            self._refuse_results(grad, hess, scores, labels)
        return grad, hess

    def _results(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Arrays for gradient and Hessian: those of the last call, if nobody has them any more, else new ones.

        New memory has to be fetched from the system page by page, which can take longer than a loss.
        """
        size = 8 * math.prod(shape)
        if size < _SMALL:
            return np.empty(shape, np.float32, order=self.order), np.empty(shape, np.float32, order=self.order)
        pages, lent = self._memory.pop("last", (b"", ()))
        if len(pages) != size or any(array() is not None for array in lent):
            pages = np.empty(size, np.uint8).data
        # No views of an array but arrays on a buffer: they live as long as any view of them.
        grad: Array = np.ndarray(shape, np.float32, pages, 0, order=self.order)
        hess: Array = np.ndarray(shape, np.float32, pages, size // 2, order=self.order)
        self._memory["last"] = pages, (weakref.ref(grad), weakref.ref(hess))
        return grad, hess

    def _refuse_results(self, grad: Array, hess: Array, scores: Array, labels: Array) -> None:
        bad = (~(np.isfinite(grad) & np.isfinite(hess))).reshape(len(grad), -1).any(1)
        row = int(np.argmax(bad))
        raise ValueError(
            f"{self}: gradient {grad[row]} and Hessian {hess[row]} in row {row}, of score {scores[row]} and label "
            f"{labels[row]}; is the label in the domain of the loss ({self.loss.domain})?"
        )

    def checked(self, scores: Any, labels: Any) -> tuple[Array, Array]:
        """Scores and labels as the loss takes them, refused where their meaning is not clear."""
        for name, given in (("scores", scores), ("labels", labels)):
            if not isinstance(given, np.ndarray) or given.dtype.kind not in "fiub":
                kind = given.dtype if isinstance(given, np.ndarray) else type(given).__name__
                raise TypeError(f"{self}: {name} are {kind}, expected a NumPy array of numbers")
        if scores.dtype not in (np.float32, np.float64):
            raise TypeError(f"{self}: scores have dtype {scores.dtype}, expected float32 or float64")
        if scores.shape[:1] != labels.shape[:1]:
            raise ValueError(f"{self}: scores have shape {scores.shape}, labels {labels.shape}")
        by_class = self.loss.family == "rows"
        if by_class and scores.ndim != 2:
            raise ValueError(
                f"{self}: scores have shape {scores.shape}, expected a column per class; set {self.class_count} in "
                "the parameters of training"
            )
        if not by_class and scores.shape != labels.shape:
            raise ValueError(
                f"{self}: scores have shape {scores.shape}, labels {labels.shape}; the loss is elementwise"
            )
        return scores, self.labels_of(labels)

    def labels_of(self, labels: Array) -> Array:
        """Labels as the loss has them: class indices, or -1 and 1 instead of 0 and 1."""
        if self.loss.family == "rows" and labels.ndim == 1 and labels.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                indices = labels.astype(np.int32)
            if (wrong := indices != labels).any():
                row = int(np.argmax(wrong))
                raise ValueError(f"{self}: label {labels[row]} in row {row} is no class index")
            return indices
        if self.signed and labels.size and labels.min() == 0:
            if not ((labels == 0) | (labels == 1)).all():
                raise ValueError(f"{self}: labels must be 0 and 1, or -1 and 1")
            return 2 * labels - 1
        return labels

    # ---- before and after --------------------------------------------------------------------------

    def find_start(self, labels: Any, weight: Any = None, num_class: int | None = None) -> float | Array:
        """The constant score, one per class if there are classes, that minimises the loss; kept as `start`."""
        labels = self.labels_of(np.asarray(labels))
        weight = np.ones(len(labels)) if weight is None else np.asarray(weight, np.float64)
        if self.loss.family == "rows":
            counts = np.bincount(labels, weight, num_class or 0)
            self.start = best_class_scores(self.loss, counts / counts.sum())
        else:
            values, place = np.unique(np.asarray(labels, np.float64), return_inverse=True)
            self.start = best_score(self.loss, values, np.bincount(place, weight))
        return self.start

    def inverse_link(self, scores: Any) -> Array:
        """Predictions (probabilities, rates, ...) of raw scores."""
        predictions: Array = LINKS[self.link](scores)
        return predictions

    # ---- being a plain object ----------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return False
        mine, its = self.__getstate__(), other.__getstate__()
        return np.array_equal(mine.pop("start"), its.pop("start")) and mine == its

    def __hash__(self) -> int:
        return hash((self.loss, self.hessian, self.link))

    def __repr__(self) -> str:
        params = "".join(f", {key}={value!r}" for key, value in self.loss._bound.items())
        return f"{type(self).__name__}({self.loss.name}{params})"


class BoostingMetric:
    """A loss or metric of raw scores, for validation during training."""

    default_threads: ClassVar[int | None] = 1

    def __init__(self, loss: Any, *, name: str | None = None, higher_is_better: bool = False, **params: Any) -> None:
        self.loss = loss.bind(**params) if params else loss
        self.name = loss.name if name is None else name
        self.higher_is_better = higher_is_better or loss.name == "accuracy"

    def mean(self, labels: Any, scores: Any, weight: Any) -> float:
        """The weighted mean over the rows."""
        labels = np.asarray(labels)
        options: dict[str, Any] = {"n_threads": self.default_threads}
        if isinstance(self.loss, Loss):
            options["reduction"] = "mean"
        if self.loss.family == "rows":
            labels = labels.astype(np.int32)
            options["axis"] = 1
        else:
            if scores.shape != labels.shape:
                raise ValueError(f"{self}: scores have shape {scores.shape}, labels {labels.shape}, expected the same")
            if takes_signs(self.loss) and labels.size and labels.min() == 0:
                labels = 2 * labels - 1
            if weight is not None and labels.ndim == 2:
                weight = weight[:, None]
        return float(self.loss(scores, labels, sample_weight=weight, **options))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.loss, self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


def best_score(loss: Loss[Any], labels: Array, weight: Array) -> float:
    """The constant that minimises a loss over labels with weights, to rounding."""

    def sum_of(score: float) -> tuple[float, float]:
        scores = np.broadcast_to(np.float64(score), labels.shape)
        value, grad = loss.value_and_grad(scores, labels, sample_weight=weight, reduction="sum", wrt=loss.inputs[0])
        return float(value), float(np.sum(grad))

    def slope(score: float) -> float:
        return sum_of(score)[1]

    total = float(weight.sum())
    mean = float(labels @ weight / total)
    middle = float(labels[np.searchsorted(np.cumsum(weight), total / 2)])
    starts = {0.0, mean, middle}
    if mean > 0.0:
        starts.add(math.log(mean))
    values = {start: sum_of(start)[0] for start in starts}
    low = min(values, key=lambda start: values[start] if math.isfinite(values[start]) else math.inf)
    down = slope(low)
    if down == 0.0 or not math.isfinite(down):
        return low
    # Downhill in growing steps, until the slope changes its sign or fades: then the minimum lies at infinity.
    step = -math.copysign(max(1.0, abs(low)) / 8, down)
    high = low
    while down * (up := slope(high + step)) > 0.0:
        low = high = high + step
        if abs(up) < 1e-15 * total:
            return low
        step *= 2.0
    high += step
    return _root(slope, low, high)


def _root(f: Callable[[float], float], a: float, b: float) -> float:
    """Where `f` changes its sign between `a` and `b`, by secants and, where these do not halve the bracket, halves."""
    fa, fb = f(a), f(b)
    while fa and fb and abs(b - a) > 2e-16 * (abs(a) + abs(b)):
        middle = (a + b) / 2
        secant = b - fb * (b - a) / (fb - fa) if math.isfinite(fb - fa) else middle
        width = abs(b - a)
        for at in (secant, middle):
            if not min(a, b) < at < max(a, b):
                continue
            if (value := f(at)) * fa > 0.0:
                a, fa = at, value
            else:
                b, fb = at, value
            if not fb or abs(b - a) < width / 2:
                break
        if abs(b - a) == width:
            break
    return a if abs(fa) < abs(fb) else b


def best_class_scores(loss: Loss[Any], shares: Array) -> Array:
    """Scores, one per class, that minimise a loss over rows whose classes have these shares."""
    classes = len(shares)
    labels = np.arange(classes)
    weight = shares.astype(np.float64)

    def sum_of(scores: Array) -> tuple[float, Array, Array]:
        rows = np.broadcast_to(scores, (classes, classes))
        options: dict[str, Any] = {"sample_weight": weight, "reduction": "sum", "axis": 1}
        value, grad = loss.value_and_grad(rows, labels, **options)
        curvature = loss.grad_and_hess(rows, labels, **options)[1].sum(0) if loss.has_hessian else np.ones(classes)
        return float(value), np.sum(grad, axis=0), curvature

    # What LightGBM starts from, and the best for cross entropy itself.
    scores: Array = np.log(np.maximum(weight, 1e-15))
    value, grad, curvature = sum_of(scores)
    for _ in range(200):
        if abs(grad).max() < 1e-12:
            break
        step = grad / np.maximum(curvature, 1e-3 * max(1e-3, float(curvature.max())))
        while True:
            new = sum_of(scores - step)
            if new[0] < value or abs(step).max() < 1e-9:
                break
            step /= 4
        if not new[0] < value:
            break
        scores = scores - step
        value, grad, curvature = new
    return scores
