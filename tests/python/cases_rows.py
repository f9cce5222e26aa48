"""What to try every loss over class scores on: domains of its arguments, parameter sets, and where the kinks are.

A `RowCase` is a loss with one set of parameters. It makes moderate random rows that stay away from kinks, and rows of
extreme scores. Parameters are exactly representable in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cases import KINK_DISTANCE, rounded

Array = np.ndarray
Generator = np.random.Generator

# Gaps between the largest score and the others, where exponentials are rounded off, underflow, and vanish.
GAPS = (1e-3, 1.0, 10.0, 16.6, 17.0, 36.7, 37.0, 50.0, 87.0, 100.0, 104.0, 700.0, 745.0)


@dataclass(frozen=True)
class RowDomain:
    """The rows an argument may hold."""

    def random(self, rows: int, classes: int, generator: Generator) -> Array:
        """Moderate rows, ``[rows, classes]`` or one number per row."""
        raise NotImplementedError

    def extremes(self, classes: int, generator: Generator) -> Array:
        """Extreme rows, of a first argument."""
        raise NotImplementedError


@dataclass(frozen=True)
class Scores(RowDomain):
    """Any real scores; `excluded`: minus infinity is allowed, too; `limit` bounds the extremes.

    With a `step` the moderate scores are multiples of it.
    """

    span: float = 4.0
    excluded: bool = False
    limit: float = 1e30
    step: float = 0.0

    def random(self, rows: int, classes: int, generator: Generator) -> Array:
        drawn = generator.uniform(-self.span, self.span, (rows, classes))
        return np.round(drawn / self.step) * self.step if self.step else drawn

    def extremes(self, classes: int, generator: Generator) -> Array:
        found = [np.full(classes, height) for height in (0.0, -0.0, 1.0, 1e4, -1e4, 1e30, -1e30)]
        found += [np.zeros(classes) + generator.uniform(-width, width, classes) for width in (1e-38, 1e-5, 1, 10, 100)]
        found += [1e4 + generator.uniform(-4, 4, classes), np.linspace(-100, 100, classes)]
        for gap in GAPS:
            one = np.zeros(classes)
            one[0] = gap
            found += [one, -one, one[::-1] + generator.uniform(-1, 1, classes)]
        found.append(np.where(np.arange(classes) % 2 == 0, 1e30, -1e30))
        if self.excluded and classes > 1:
            half = np.where(np.arange(classes) % 2 == 0, generator.uniform(-1, 1, classes), -np.inf)
            found += [half, half[::-1], half + 1e4]
        rows = np.stack(found)
        return rows[~((abs(rows) > self.limit) & np.isfinite(rows)).any(axis=1)]


@dataclass(frozen=True)
class Labels(RowDomain):
    """Class indices; `beyond`: how many more there are than scores."""

    beyond: int = 0

    def random(self, rows: int, classes: int, generator: Generator) -> Array:
        return generator.integers(0, classes + self.beyond, rows)


@dataclass(frozen=True)
class Simplex(RowDomain):
    """Probabilities of the classes, at least `least` each times their mean."""

    least: float = 0.0
    logarithmic: bool = False

    def random(self, rows: int, classes: int, generator: Generator) -> Array:
        drawn = generator.dirichlet(np.ones(classes), rows) + self.least / classes
        drawn /= drawn.sum(axis=1, keepdims=True)
        return np.log(drawn) if self.logarithmic else drawn

    def extremes(self, classes: int, generator: Generator) -> Array:
        unequal = generator.dirichlet(np.full(classes, 0.05), 8) + 1e-30
        rows = unequal / unequal.sum(axis=1, keepdims=True)
        if self.logarithmic:
            return np.concatenate([np.log(rows), np.where(rows > 1e-20, np.log(rows), -np.inf)])
        return np.concatenate([self.random(4, classes, generator), rows])


@dataclass(frozen=True)
class Marked(RowDomain):
    """1 at the labels of a row, 0 elsewhere."""

    def random(self, rows: int, classes: int, generator: Generator) -> Array:
        return (generator.random((rows, classes)) < 0.4).astype(np.float64)


@dataclass(frozen=True)
class Listed(RowDomain):
    """Indices of the labels of a row, then -1, then anything."""

    def random(self, rows: int, classes: int, generator: Generator) -> Array:
        listed = np.argsort(generator.random((rows, classes)), axis=1)
        end = generator.integers(0, classes + 1, (rows, 1))
        return np.where(np.arange(classes) == end, -1, listed)


@dataclass(frozen=True)
class PerClass:
    """A parameter with one positive number per class."""

    low: float = 0.5
    high: float = 2.0

    def of(self, classes: int) -> Array:
        drawn = np.random.default_rng(classes).uniform(self.low, self.high, classes)
        return np.round(drawn * 64) / 64

    def __str__(self) -> str:
        return "per-class"


Kinks = Callable[..., Array]


@dataclass(frozen=True)
class RowCase:
    """A loss with one set of parameters, and what to feed it."""

    loss: str
    arguments: Mapping[str, RowDomain]
    params: Mapping[str, Any] = field(default_factory=dict)
    kinks: Kinks | None = None
    """Expressions ``[N, ...]`` that change sign where the loss has a kink, from the arguments and parameters."""

    def __str__(self) -> str:
        target = self.arguments.get("target")
        kinds = {Labels: "index", Simplex: "dense", Scores: "scores"}
        shown = [f"{key}={value}" for key, value in self.params.items()]
        return "-".join([self.loss, *([kinds[type(target)]] if type(target) in kinds else []), *shown])

    @property
    def first(self) -> str:
        """The name of the argument whose shape all others go by."""
        return next(iter(self.arguments))

    @property
    def indexed(self) -> bool:
        """Whether the target is one class index per row."""
        return isinstance(self.arguments.get("target"), Labels)

    def options(self, classes: int) -> dict[str, Any]:
        """The parameters for rows of so many classes."""
        return {key: p.of(classes) if isinstance(p, PerClass) else p for key, p in self.params.items()}

    def random(self, rows: int, classes: int, dtype: Any, generator: Generator) -> dict[str, Array]:
        """Moderate arrays, no row within `KINK_DISTANCE` of a kink."""
        arrays = self._draw(rows, classes, dtype, generator)
        while self.kinks is not None:
            close = self._near_kinks(arrays, classes)
            if not close.any():
                break
            for key, fresh in self._draw(int(close.sum()), classes, dtype, generator).items():
                arrays[key][close] = fresh
        return arrays

    def _draw(self, rows: int, classes: int, dtype: Any, generator: Generator) -> dict[str, Array]:
        drawn = {key: domain.random(rows, classes, generator) for key, domain in self.arguments.items()}
        return {key: x if x.dtype.kind == "i" else x.astype(dtype) for key, x in drawn.items()}

    def _near_kinks(self, arrays: Mapping[str, Array], classes: int) -> Array:
        wide = {key: x if x.dtype.kind == "i" else x.astype(np.float64) for key, x in arrays.items()}
        with np.errstate(invalid="ignore"):
            distance = abs(self.kinks(**wide, **self.options(classes)))
        # With many classes some pair is always close; the least that matters is what float32 tells apart.
        least = min(KINK_DISTANCE, 0.02 / classes)
        return (distance.reshape(len(distance), -1) < least).any(axis=1)

    def extreme(self, classes: int, dtype: Any, generator: Generator) -> dict[str, Array]:
        """Rows of extreme scores; class indices are once the largest score, once the last, once any."""
        first, *others = self.arguments.items()
        with np.errstate(over="ignore"):
            rows = first[1].extremes(classes, generator).astype(dtype)
        variants = []
        for variant in range(3):
            arrays = {first[0]: rows, **{k: d.random(len(rows), classes, generator) for k, d in others}}
            if self.indexed:
                top = np.argmax(rows, axis=1)
                labels = (top, np.full_like(top, classes - 1), arrays["target"])[variant]
                arrays["target"] = np.where(np.isinf(rows[np.arange(len(rows)), labels % classes]), top, labels)
            variants.append(arrays)
        joined = {key: np.concatenate([v[key] for v in variants]) for key in self.arguments}
        return {key: x if x.dtype.kind == "i" else x.astype(dtype) for key, x in joined.items()}


def _hinge_kinks(input: Array, target: Array, *, margin: float = 1.0, **_: Any) -> Array:
    own = np.take_along_axis(input, target[:, None], 1)
    gap = input - own + margin
    gap[np.arange(len(gap)), target] = np.nan
    return gap


def _categorical_hinge_kinks(input: Array, target: Array) -> Array:
    own = np.take_along_axis(input, target[:, None], 1)
    return np.concatenate([_hinge_kinks(input, target), 1 - own, input], axis=1)


def _rank_kinks(input: Array, target: Array) -> Array:
    gaps = 1 - (input[:, :, None] - input[:, None, :])
    pairs = input.shape[1]  # each score is in so many of them
    return gaps.reshape(len(input), -1) * max(1, pairs / 8)


def _variation_kinks(input: Array, target: Array, *, log_input: bool = True, log_target: bool = False) -> Array:
    def softmax(z: Array) -> Array:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    p, r = softmax(input) if log_input else input, softmax(target) if log_target else target
    return 10 * (p - r) if input.shape[1] > 1 else np.ones_like(p)


def _relu_kinks(input: Array, **_: Any) -> Array:
    return input


def _row_cases() -> Iterator[RowCase]:
    logits, label, dense = Scores(excluded=True), Labels(), Simplex(0.1)
    index, soft = {"input": logits, "target": label}, {"input": Scores(), "target": dense}
    weight = PerClass()

    yield RowCase("cross_entropy", index)
    yield RowCase("cross_entropy", {"input": Scores(), "target": Simplex()})
    for target in (label, dense):
        arguments = {"input": Scores(), "target": target}
        yield RowCase("cross_entropy", arguments, {"weight": weight})
        yield RowCase("cross_entropy", arguments, {"label_smoothing": 0.125})
        yield RowCase("cross_entropy", arguments, {"weight": weight, "label_smoothing": 0.25})
        yield RowCase("cross_entropy", arguments, {"z_loss": 0.25})
        yield RowCase("cross_entropy", {**arguments, "input": Scores(limit=20.0)}, {"softcap": 3.0})
    everything = {"weight": weight, "label_smoothing": 0.5, "softcap": 8.0, "z_loss": 0.125}
    yield RowCase("cross_entropy", {"input": Scores(limit=100.0), "target": label}, everything)
    yield RowCase("cross_entropy", index, {"ignore_index": 1})
    for mode in ("gauss_newton", "upper", "lightgbm", "abs_residual"):
        yield RowCase("cross_entropy", index, {"hessian": mode})

    log_probabilities = {"input": Simplex(0.1, logarithmic=True), "target": label}
    for params in ({}, {"weight": weight}, {"ignore_index": 0}):
        yield RowCase("nll_loss", log_probabilities, params)
    probabilities = {"input": Simplex(0.1), "target": label}
    for target in (label, dense):
        for params in ({}, {"renormalize": True}):
            yield RowCase("categorical_cross_entropy", {**probabilities, "target": target}, params)
    yield RowCase("categorical_cross_entropy", probabilities, {"ignore_index": 0})

    for gamma in (2.0, 0.0, 0.5, 1.0, 3.0):
        yield RowCase("softmax_focal_loss", index, {"gamma": gamma})
    yield RowCase("softmax_focal_loss", index, {"alpha": 0.25})
    yield RowCase("softmax_focal_loss", index, {"alpha": weight, "ignore_index": 2})
    yield RowCase("softmax_focal_loss", index, {"hessian": "gauss_newton"})
    for mode in ("upper", "lightgbm", "abs_residual"):
        yield RowCase("softmax_focal_loss", index, {"hessian": mode})
    for gamma in (2.0, 0.5):
        yield RowCase("softmax_focal_loss", soft, {"gamma": gamma})
    for arguments in (index, soft):
        for epsilon in (2.0, -1.0):
            yield RowCase("poly1_cross_entropy", arguments, {"epsilon": epsilon})
        for coefficients in ((2.0,), (1.0, -0.5, 0.25, 2.0)):
            yield RowCase("poly_cross_entropy", arguments, {"epsilon": coefficients})
        for q in (rounded(0.7), 0.5, 1.0):
            yield RowCase("generalized_cross_entropy", arguments, {"q": q})
        yield RowCase("symmetric_cross_entropy", arguments)
        yield RowCase("symmetric_cross_entropy", arguments, {"alpha": 0.5, "beta": 2.0, "log_zero": -6.0})
    for name in ("poly1_cross_entropy", "poly_cross_entropy", "generalized_cross_entropy", "symmetric_cross_entropy"):
        yield RowCase(name, index, {"ignore_index": 0})

    bounded = {"input": Scores(1.0, limit=100.0), "target": label}
    yield RowCase("logit_adjusted_cross_entropy", bounded, {"prior": weight})
    yield RowCase("logit_adjusted_cross_entropy", {**bounded, "target": dense}, {"prior": weight, "tau": 0.5})
    yield RowCase("logit_adjusted_cross_entropy", index, {"ignore_index": 0})
    yield RowCase("ldam_loss", bounded, {"counts": PerClass(10.0, 1000.0)})
    yield RowCase("ldam_loss", bounded, {"weight": weight, "max_margin": 0.25, "scale": 8.0, "ignore_index": 0})
    for params in ({}, {"temperature": 2.0}, {"ignore_index": 0}):
        yield RowCase("selected_log_prob", index, params)
    for params in ({}, {"ignore_index": 1}):
        yield RowCase("brier_loss", index, params)
        yield RowCase("brier_loss", index, {**params, "hessian": "gauss_newton"})
        yield RowCase("confidence_penalty_loss", index, params)
        yield RowCase("sparsemax_loss", {"input": Scores(1.0), "target": label}, params)
        yield RowCase("entmax15_loss", {"input": Scores(1.0), "target": label}, params)
        yield RowCase("ranked_probability_score", index, params)
        yield RowCase("multiclass_perceptron_loss", {"input": Scores(), "target": label}, params)
        yield RowCase(
            "categorical_hinge_loss",
            {"input": Scores(), "target": label},
            params,
            lambda input, target, **_: _categorical_hinge_kinks(input, target),
        )
    for arguments in (soft, {"input": Scores(), "target": Simplex()}):
        yield RowCase("brier_loss", arguments)
        yield RowCase("ranked_probability_score", arguments)
    yield RowCase("brier_loss", soft, {"hessian": "gauss_newton"})
    yield RowCase("confidence_penalty_loss", index, {"beta": 0.5})
    pair = {"input": Scores(), "target": Scores(limit=100.0)}
    teacher = {"student_temperature": 0.5, "teacher_temperature": 0.25}
    yield RowCase("dino_loss", pair, {"student_temperature": 0.25, "teacher_temperature": 0.25})
    yield RowCase("dino_loss", {**pair, "target": Scores(step=1 / 64, limit=0.0)}, {**teacher, "center": PerClass()})

    hinge = {"input": Scores(), "target": label}
    for params in ({}, {"p": 2}, {"margin": 0.5}, {"weight": weight}, {"p": 2, "margin": 2.0, "weight": weight}):
        yield RowCase("multi_margin_loss", hinge, params, _hinge_kinks)
    for params in ({}, {"margin": 0.5}, {"ignore_index": 0}):
        yield RowCase("weston_watkins_loss", hinge, params, _hinge_kinks)
        yield RowCase("multiclass_hinge_loss", hinge, params, _hinge_kinks)

    for evidence in ("softplus", "relu", "exp"):
        arguments = {"input": Scores(limit=50.0 if evidence == "exp" else 1e4), "target": label}
        for kl_weight in (0.0, 0.5):
            kinks = _relu_kinks if evidence == "relu" else None
            params = {"evidence": evidence, "kl_weight": kl_weight}
            yield RowCase("evidential_dirichlet_loss", arguments, params, kinks)
    yield RowCase("evidential_dirichlet_loss", {"input": Scores(limit=1e4), "target": label}, {"ignore_index": 0})

    both = {"input": Simplex(0.1), "target": dense}
    yield RowCase("kl_divergence", {"p": Simplex(0.1), "q": dense})
    for name in ("kl_div_with_logits", "reverse_kl_div_with_logits"):
        yield RowCase(name, soft)
        yield RowCase(name, pair, {"log_target": True})
    for temperature in (1.0, 2.0):
        yield RowCase("distillation_loss", pair, {"temperature": temperature})
    families: list[tuple[str, tuple[dict[str, Any], ...], Kinks | None]] = [
        ("jensen_shannon_divergence", ({}, {"beta": 0.125}, {"beta": 0.0}, {"beta": 1.0}), None),
        ("jeffreys_divergence", ({},), None),
        ("total_variation_distance", ({},), _variation_kinks),
        ("hellinger_distance", ({},), None),
        ("bhattacharyya_distance", ({},), None),
        ("renyi_divergence", ({}, {"alpha": 2.0}, {"alpha": 1.0}), None),
        ("alpha_divergence", ({}, {"alpha": 2.0}, {"alpha": -1.0}, {"alpha": 0.0}, {"alpha": 1.0}), None),
    ]
    for name, choices, kinks in families:
        # A root of what underflows does not.
        near = {"input": Scores(limit=700.0)} if name == "hellinger_distance" else {}
        for params in choices:
            yield RowCase(name, {**soft, **near}, params, kinks)
        yield RowCase(name, {**pair, **near}, {**choices[-1], "log_target": True}, kinks)
        yield RowCase(name, both, {**choices[-1], "log_input": False}, kinks)
        yield RowCase(name, both, {**choices[0], "log_input": False}, kinks)
    yield RowCase("softmax_entropy", {"input": logits})
    yield RowCase("softmax_entropy", {"input": Simplex(0.1)}, {"log_input": False})

    yield RowCase("multilabel_margin_loss", {"input": Scores(), "target": Listed()}, {}, _rank_kinks)
    for target in (Marked(), dense):
        for params in ({}, {"weight": weight}):
            yield RowCase("multilabel_soft_margin_loss", {"input": Scores(), "target": target}, params)
    yield RowCase("zlpr_loss", {"input": Scores(), "target": Marked()})

    ranks = {"input": Scores(), "target": Labels(beyond=1)}
    for name in ("coral_loss", "corn_loss"):
        for params in ({}, {"weight": weight}, {"ignore_index": 1}):
            yield RowCase(name, ranks, params)


ROW_CASES = tuple(_row_cases())


def row_cases_of(name: str) -> tuple[RowCase, ...]:
    """The cases of one loss."""
    return tuple(case for case in ROW_CASES if case.loss == name)
