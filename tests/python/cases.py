"""What to try every elementwise loss on: the domain of each argument, parameter sets, and where the kinks are.

A `Case` is a loss with one set of parameters. It makes random moderate arrays that stay away from kinks, and a grid of
extreme points. Parameters are exactly representable in float32, so that every precision computes the same function.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray

KINK_DISTANCE = 1e-3

# Where exponentials, logistic functions and their complements saturate in float32 and float64.
SATURATION = (16.6, 17.0, 20.0, 36.7, 37.0, 88.7, 103.97, 709.8, 745.1)
MODERATE = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 3.7, 10.0)


def _unique(values: Sequence[float], dtype: Any) -> Array:
    """The finite values rounded to the dtype, each bit pattern once: -0.0 is not 0.0."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(values, np.float64).astype(dtype)
    rounded = rounded[np.isfinite(rounded) | np.isinf(values)]
    _, first = np.unique(rounded.view(f"i{rounded.itemsize}"), return_index=True)
    return rounded[np.sort(first)]


def _magnitudes(dtype: Any) -> list[float]:
    """Positive numbers from the smallest subnormal to the largest finite number."""
    info = np.finfo(dtype)
    step = 5 if info.bits <= 32 else 25
    low, high = (-37, 38) if info.bits <= 32 else (-300, 300)
    tiny, largest = float(info.tiny), float(info.max)
    return [
        *(float(info.smallest_subnormal), tiny / 2, tiny, float(info.eps), largest / 2, largest),
        *(10.0**k for k in (*range(low, high, step), high)),
        *(1e-3, 1e-2, 1e3, 1e4),
        *SATURATION,
        *MODERATE,
    ]


@dataclass(frozen=True)
class Domain:
    """The set of values an argument may take."""

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        """Moderate float64 values that cover the regimes."""
        raise NotImplementedError

    def extremes(self, dtype: Any) -> Array:
        """Every value worth trying at least once."""
        raise NotImplementedError

    def regimes(self, values: Array) -> tuple[Array, ...]:
        """Masks, each of which some of the values should fall into."""
        raise NotImplementedError


@dataclass(frozen=True)
class Real(Domain):
    """Any real number; `span` bounds the moderate ones, `limit` the extremes."""

    span: float = 4.0
    limit: float = np.inf

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return generator.uniform(-self.span, self.span, shape)

    def extremes(self, dtype: Any) -> Array:
        positive = [v for v in _magnitudes(dtype) if v <= self.limit]
        return _unique([0.0, -0.0, *positive, *(-v for v in positive)], dtype)

    def regimes(self, values: Array) -> tuple[Array, ...]:
        small = abs(values) < self.span / 2
        return values < 0, values > 0, small, ~small


@dataclass(frozen=True)
class Positive(Domain):
    """A positive number, within [1 / limit, limit] at the extremes."""

    low: float = 0.1
    high: float = 4.0
    limit: float = np.inf

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return generator.uniform(self.low, self.high, shape)

    def extremes(self, dtype: Any) -> Array:
        return _unique([v for v in _magnitudes(dtype) if 1 / self.limit <= v <= self.limit], dtype)

    def regimes(self, values: Array) -> tuple[Array, ...]:
        middle = (self.low + self.high) / 2
        return values < middle, values > middle


@dataclass(frozen=True)
class NonNegative(Positive):
    """A number that is zero or greater."""

    def extremes(self, dtype: Any) -> Array:
        return _unique([0.0, *super().extremes(dtype)], dtype)


@dataclass(frozen=True)
class Unit(Domain):
    """A probability or a soft label in [0, 1]."""

    low: float = 0.0
    high: float = 1.0

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return generator.uniform(self.low, self.high, shape)

    def extremes(self, dtype: Any) -> Array:
        eps = float(np.finfo(dtype).eps)
        small = [v for v in _magnitudes(dtype) if v <= 0.5]
        return _unique([0.0, *small, 0.3, 0.7, 0.75, 0.99, 1 - 2**-10, 1 - eps, 1 - eps / 2, 1.0], dtype)

    def regimes(self, values: Array) -> tuple[Array, ...]:
        return values < 0.4, (values > 0.3) & (values < 0.7), values > 0.6


@dataclass(frozen=True)
class OneOf(Domain):
    """One of a few labels."""

    labels: tuple[float, ...]

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return generator.choice(np.asarray(self.labels), shape)

    def extremes(self, dtype: Any) -> Array:
        return _unique(self.labels, dtype)

    def regimes(self, values: Array) -> tuple[Array, ...]:
        return tuple(values == label for label in self.labels)


@dataclass(frozen=True)
class Count(Domain):
    """A number of events."""

    limit: float = 1e6

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return generator.poisson(2.0, shape).astype(np.float64)

    def extremes(self, dtype: Any) -> Array:
        counts = (0, 1, 2, 3, 7, 20, 170, 171, 1000, 65536, 1e6, 1e15, 1e30)
        return _unique([v for v in counts if v <= self.limit], dtype)

    def regimes(self, values: Array) -> tuple[Array, ...]:
        return values == 0, values == 1, values > 1


@dataclass(frozen=True)
class LogProbability(Domain):
    """The logarithm of a probability; `below_zero` keeps probability 1 itself out."""

    span: float = 5.0
    limit: float = 1e4
    below_zero: bool = False

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
        return generator.uniform(-self.span, -0.05, shape)

    def extremes(self, dtype: Any) -> Array:
        zero = [] if self.below_zero else [0.0]
        return _unique([*zero, *(-v for v in _magnitudes(dtype) if v <= self.limit)], dtype)

    def regimes(self, values: Array) -> tuple[Array, ...]:
        return values < -self.span / 2, values > -self.span / 2


Kinks = Callable[..., tuple[Array, ...]]


@dataclass(frozen=True)
class Case:
    """A loss with one set of parameters, and what to feed it."""

    loss: str
    arguments: Mapping[str, Domain]
    params: Mapping[str, Any] = field(default_factory=dict)
    kinks: Kinks | None = None
    """Expressions that change sign where the loss has a kink or changes formula, from arguments and parameters."""
    detached: tuple[str, ...] = ()
    """Arguments whose gradient is, by definition of the loss, not the derivative of its value."""
    fragile: bool = False
    """Whether rounding may take a point within a few eps of a kink to its other side, where something jumps."""
    link: Callable[..., tuple[Array, ...]] | None = None
    """Makes arguments that depend on each other consistent: from all arguments to all arguments."""

    def __str__(self) -> str:
        return f"{self.loss}({', '.join(f'{key}={value}' for key, value in self.params.items())})"

    def distances(self, arrays: Mapping[str, Array]) -> tuple[Array, ...]:
        """The kink expressions at each element."""
        if self.kinks is None:
            return ()
        widened = {key: np.asarray(array, np.float64) for key, array in arrays.items()}
        with np.errstate(all="ignore"):
            return tuple(np.broadcast_arrays(*self.kinks(*widened.values(), **self.params)))

    def random(self, shape: tuple[int, ...], dtype: Any, generator: np.random.Generator) -> dict[str, Array]:
        """Moderate arrays of one shape, no element within `KINK_DISTANCE` of a kink."""
        arrays = self._draw(shape, dtype, generator)
        while True:
            close = np.zeros(shape, bool)
            for distance in self.distances(arrays):
                close |= ~(abs(distance) >= KINK_DISTANCE)
            if not close.any():
                break
            for key, fresh in self._draw((int(close.sum()),), dtype, generator).items():
                arrays[key][close] = fresh
        if np.prod(shape) >= 1000:
            assert_spread(self, arrays)
        return arrays

    def _draw(self, shape: tuple[int, ...], dtype: Any, generator: np.random.Generator) -> dict[str, Array]:
        drawn = {key: domain.random(shape, generator).astype(dtype) for key, domain in self.arguments.items()}
        return self._linked(drawn)

    def _linked(self, arrays: dict[str, Array]) -> dict[str, Array]:
        return arrays if self.link is None else dict(zip(arrays, map(np.array, self.link(**arrays)), strict=True))

    def grid(self, dtype: Any, *, limit: int = 2000, seed: int = 0) -> dict[str, Array]:
        """Extreme points as parallel arrays: all combinations, or `limit` of them chosen at random.

        A sweep of every argument on its own, the others moderate, is always in.
        """
        generator = np.random.default_rng(seed)
        axes = [domain.extremes(dtype) for domain in self.arguments.values()]
        size = int(np.prod([len(axis) for axis in axes]))
        if size <= limit:
            rows = list(itertools.product(*axes))
        else:
            rows = [tuple(generator.choice(axis) for axis in axes) for _ in range(limit)]
        for k, axis in enumerate(axes):
            others = self.random((len(axis),), dtype, generator)
            columns = [axis if j == k else column for j, column in enumerate(others.values())]
            rows.extend(zip(*columns, strict=True))
        columns = zip(*rows, strict=True)
        points = {key: np.asarray(column, dtype) for key, column in zip(self.arguments, columns, strict=True)}
        return self._linked(points)

    def settled(self, arrays: Mapping[str, Array]) -> Array:
        """Where it is certain, whatever the rounding, on which side of the kinks an element lies."""
        sizes = [np.maximum(abs(np.asarray(array, np.float64)), 1) for array in arrays.values()]
        eps = max(float(np.finfo(array.dtype).eps) for array in arrays.values())
        tolerance = 8 * eps * np.maximum.reduce(sizes)
        certain = np.ones(tolerance.shape, bool)
        for distance in self.distances(arrays) if self.fragile else ():
            certain &= abs(distance) > tolerance
        return certain

    def special(self, dtype: Any, *, seed: int = 0) -> dict[str, Array]:
        """Points with one argument NaN, or infinite where its domain is not bounded, and the others moderate."""
        generator = np.random.default_rng(seed)
        base = self.random((4,), dtype, generator)
        blocks = []
        for key, domain in self.arguments.items():
            for value in (np.nan, *_infinities(domain)):
                blocks.append({**base, key: np.full(4, value, dtype)})
        return self._linked({key: np.concatenate([block[key] for block in blocks]) for key in self.arguments})


def _infinities(domain: Domain) -> tuple[float, ...]:
    if isinstance(domain, Real):
        return (np.inf, -np.inf) if domain.limit == np.inf else ()
    if isinstance(domain, Positive):
        return (np.inf,) if domain.limit == np.inf else ()
    return (-np.inf,) if isinstance(domain, LogProbability) else ()


def assert_spread(case: Case, arrays: Mapping[str, Array], *, least: float = 0.004) -> None:
    """Fail unless the arrays vary, reach every regime of their domains, and lie on both sides of every kink."""
    for key, domain in case.arguments.items():
        array = arrays[key]
        assert not np.isnan(array).any(), f"{case}: {key} holds NaN"
        for k, mask in enumerate(domain.regimes(array)):
            assert mask.mean() >= least, f"{case}: {key} misses regime {k} of {domain}"
        if not isinstance(domain, (OneOf, Count)):
            assert len(np.unique(array)) > array.size // 100, f"{case}: {key} is nearly constant"
    for k, distance in enumerate(case.distances(arrays)):
        for side in (distance > 0, distance < 0):
            assert side.mean() >= least, f"{case}: kink {k} is never passed"


def rounded(value: float) -> float:
    """A default that is not a binary fraction, as float32 holds it."""
    return float(np.float32(value))


REAL = Real()
BINARY = OneOf((0.0, 1.0))
SIGN = OneOf((-1.0, 1.0))
SOFT = Unit()
PROBABILITY = Unit(0.02, 0.98)
PAIR = {"input": REAL, "target": REAL}


def _cases() -> Iterator[Case]:
    def on(
        loss: str,
        arguments: Mapping[str, Domain],
        *params: Mapping[str, Any],
        kinks: Kinks | None = None,
        **rest: Any,
    ) -> Iterator[Case]:
        for chosen in params or ({},):
            yield Case(loss, arguments, chosen, kinks, **rest)

    def tie(x, t, *_, **__):
        return (x - t,)

    # Regression
    yield from on("mse_loss", PAIR)
    yield from on("half_squared_error", PAIR)
    yield from on("l1_loss", PAIR, kinks=tie)
    yield from on(
        "smooth_l1_loss",
        PAIR,
        {"beta": 1.0},
        {"beta": 0.25},
        kinks=lambda x, t, beta: (abs(x - t) - beta,),
        fragile=True,
    )
    yield from on("smooth_l1_loss", PAIR, {"beta": 0.0}, kinks=tie)
    yield from on(
        "huber_loss",
        PAIR,
        {"delta": 1.0},
        {"delta": 0.25},
        {"delta": 2.5},
        kinks=lambda x, t, delta: (abs(x - t) - delta,),
        fragile=True,
    )
    yield from on("huber_loss", PAIR, {"delta": np.inf})
    yield from on("pseudo_huber_loss", PAIR, {"delta": 1.0}, {"delta": 0.5})
    yield from on(
        "charbonnier_loss",
        PAIR,
        {"eps": rounded(1e-3), "alpha": 0.5},
        {"eps": 0.5, "alpha": rounded(0.45)},
        {"eps": 0.5, "alpha": 1.5},
    )
    yield from on("log_cosh_loss", PAIR, {"a": 1.0}, {"a": 2.5})
    yield from on("quantile_loss", PAIR, {"quantile": 0.5}, {"quantile": 0.875}, {"quantile": 0.0}, kinks=tie)
    yield from on("quantile_loss", {**PAIR, "quantile": SOFT}, kinks=tie)
    rounded_tie = {"quantile": 0.5, "delta": 1.0}, {"quantile": 0.125, "delta": 0.5}
    yield from on(
        "quantile_huber_loss",
        PAIR,
        *rounded_tie,
        kinks=lambda x, t, quantile, delta: (x - t, abs(x - t) - delta),
        fragile=True,
    )
    yield from on(
        "quantile_huber_loss",
        {**PAIR, "quantile": SOFT},
        {"delta": 1.5},
        kinks=lambda x, t, quantile, delta: (x - t, abs(x - t) - delta),
        fragile=True,
    )
    yield from on("expectile_loss", PAIR, {"expectile": 0.5}, {"expectile": 0.875}, {"expectile": 0.0}, kinks=tie)
    yield from on(
        "mean_absolute_percentage_error",
        PAIR,
        {"scale": 100.0, "eps": rounded(1e-7)},
        kinks=lambda x, t, scale, eps: (x - t, t),
    )
    yield from on(
        "mean_absolute_percentage_error",
        PAIR,
        {"scale": 1.0, "eps": 0.5},
        kinks=lambda x, t, scale, eps: (x - t, abs(t) - eps),
    )
    yield from on("symmetric_mean_absolute_percentage_error", PAIR, kinks=lambda x, t: (x, t, x - t))
    for eps in (rounded(1e-7), 0.5):
        yield from on("mean_squared_logarithmic_error", PAIR, {"eps": eps}, kinks=lambda x, t, eps: (x - eps, t - eps))
    yield from on("mean_bias_error", PAIR)
    yield from on("lp_loss", PAIR, {"p": 2.0}, {"p": 1.5}, {"p": 3.0}, {"p": 0.5}, {"p": 1.0}, kinks=tie)
    for loss in ("epsilon_insensitive_loss", "squared_epsilon_insensitive_loss"):
        yield from on(
            loss,
            PAIR,
            {"epsilon": rounded(0.1)},
            {"epsilon": 0.5},
            kinks=lambda x, t, epsilon: (abs(x - t) - epsilon,),
            fragile=True,
        )
    yield from on("linex_loss", PAIR, {"a": 1.0}, {"a": -0.5})

    # Robust regression
    for loss in ("cauchy_loss", "arctan_loss", "fair_loss", "welsch_loss", "geman_mcclure_loss"):
        yield from on(loss, PAIR, {"c": 1.0}, {"c": 0.25}, {"c": 2.5})
    yield from on(
        "tukey_biweight_loss", PAIR, {"c": rounded(4.685)}, {"c": 1.5}, kinks=lambda x, t, c: (abs(x - t) - c,)
    )
    shapes = (2.0, 1.0, 0.5, 0.0, -2.0, 3.0, -np.inf)
    yield from on("general_robust_loss", PAIR, *({"alpha": alpha, "scale": 1.5} for alpha in shapes))
    yield from on("general_robust_loss", PAIR, {"alpha": 1.0, "scale": 1.0})
    yield from on(
        "general_robust_loss",
        {**PAIR, "alpha": OneOf((2.0, 1.0, 0.0, -0.5, -2.0, -np.inf)), "scale": Positive(0.5, limit=1e300)},
        detached=("alpha",),
    )
    yield from on(
        "general_robust_loss",
        {**PAIR, "alpha": Real(limit=1e4), "scale": Positive(0.5, limit=1e300)},
        kinks=lambda x, t, alpha, scale: (alpha - 2,),
    )
    yield from on(
        "wing_loss",
        PAIR,
        {"width": 5.0, "curvature": 0.5},
        {"width": 1.5, "curvature": 2.0},
        kinks=lambda x, t, width, curvature: (x - t, abs(x - t) - width),
        fragile=True,
    )
    yield from on(
        "adaptive_wing_loss",
        {"input": REAL, "target": SOFT},
        {"omega": 14.0, "theta": 0.5, "epsilon": 1.0, "alpha": rounded(2.1)},
        {"omega": 8.0, "theta": 1.5, "epsilon": 0.5, "alpha": 2.5},
        kinks=lambda x, t, omega, theta, epsilon, alpha: (x - t, abs(x - t) - theta),
    )

    # Likelihoods
    counted = {"input": REAL, "target": Count()}
    yield from on("poisson_nll_loss", counted, *({"log_input": True, "full": full} for full in (False, True)))
    yield from on(
        "poisson_nll_loss",
        {"input": Positive(), "target": Count()},
        *({"log_input": False, "full": full, "eps": rounded(1e-8)} for full in (False, True)),
    )
    spread = {**PAIR, "var": NonNegative()}
    yield from on("gaussian_nll_loss", spread, *({"full": full, "eps": rounded(1e-6)} for full in (False, True)))
    yield from on("gaussian_nll_loss", {**PAIR, "var": Positive()}, {"eps": 0.0})
    yield from on(
        "gaussian_nll_loss",
        spread,
        {"eps": 0.5},
        kinks=lambda x, t, var, eps: (var - eps,),
        detached=("var",),
    )
    yield from on("gaussian_nll_loss", {**PAIR, "var": REAL}, {"log_var": True}, {"log_var": True, "full": True})
    yield from on(
        "beta_nll_loss",
        spread,
        *({"beta": beta, "eps": rounded(1e-6)} for beta in (0.5, 1.0, 0.0)),
        detached=("var",),
    )
    yield from on("gamma_nll_loss", {"input": REAL, "target": Positive()})
    powers = ({"power": power} for power in (1.5, 1.25, 0.0, 1.0))
    yield from on("tweedie_nll_loss", {"input": REAL, "target": NonNegative()}, *powers)
    yield from on("tweedie_nll_loss", {"input": REAL, "target": Positive()}, {"power": 2.0}, {"power": 3.0})
    powers = ({"power": power} for power in (1.5, 1.25, 0.0, 1.0, -0.5))
    yield from on("tweedie_deviance_loss", {"input": Positive(), "target": NonNegative()}, *powers)
    yield from on("tweedie_deviance_loss", {"input": Positive(), "target": Positive()}, {"power": 2.0}, {"power": 3.0})
    yield from on("laplace_nll_loss", {**PAIR, "scale": Positive()}, kinks=lambda x, t, scale: (x - t,))
    yield from on("student_t_nll_loss", {**PAIR, "scale": Positive()}, {"df": 1.0}, {"df": 4.5})
    counts = {"input": Positive(), "target": Count()}
    yield from on("negative_binomial_nll_loss", {**counts, "dispersion": Positive(limit=1e6)})
    yield from on("negative_binomial_nll_loss", {**counts, "dispersion": OneOf((0.0,))}, detached=("dispersion",))
    shape = Positive(0.2, 4.0, 1e6)
    yield from on(
        "evidential_nig_loss",
        {"gamma": REAL, "nu": shape, "alpha": Positive(1.1, 4.0, 1e6), "beta": shape, "target": REAL},
        {"regularizer": rounded(0.01)},
        {"regularizer": 0.0},
        kinks=lambda gamma, nu, alpha, beta, t, regularizer: (gamma - t,),
    )

    def at_one_time(input, target_lower, target_upper):
        return input, target_lower, target_lower

    def in_order(input, target_lower, target_upper):
        return input, np.minimum(target_lower, target_upper), np.maximum(target_lower, target_upper)

    time = Positive(limit=1e300)
    for distribution, limit in (("normal", 1e150), ("logistic", 1e300), ("extreme", 1e4)):
        several = ({"distribution": distribution, "scale": 1.0}, {"distribution": distribution, "scale": 0.5})
        for lower, upper, link in (
            (time, time, at_one_time),
            (time, OneOf((np.inf,)), None),
            (OneOf((0.0,)), time, None),
            (time, time, in_order),
        ):
            bounds = {"input": Real(1.5, limit), "target_lower": lower, "target_upper": upper}
            yield from on("aft_nll_loss", bounds, *several, link=link)

    # Divergences
    yield from on("kl_div", {"input": LogProbability(), "target": SOFT}, {"log_target": False})
    yield from on("kl_div", {"input": LogProbability(), "target": LogProbability()}, {"log_target": True})
    yield from on("generalized_kl_divergence", {"input": LogProbability(), "target": SOFT})

    # Binary classification
    logit = {"input": REAL, "target": SOFT}
    hard = {"input": REAL, "target": BINARY}
    yield from on("binary_cross_entropy", {"input": PROBABILITY, "target": SOFT})
    yield from on("binary_cross_entropy", {"input": PROBABILITY, "target": BINARY})
    yield from on("binary_cross_entropy", {"input": PROBABILITY, "target": SOFT}, {"log_clamp": 100.0})
    weighted = Positive(limit=1e4)
    yield from on("binary_cross_entropy_with_logits", logit, {"label_smoothing": 0.0})
    yield from on(
        "binary_cross_entropy_with_logits",
        {**hard, "pos_weight": weighted},
        {"label_smoothing": 0.0},
        {"label_smoothing": 0.125},
    )
    yield from on(
        "sigmoid_focal_loss",
        hard,
        {"alpha": 0.25, "gamma": 2.0},
        {"alpha": None, "gamma": 2.0},
        {"alpha": 0.75, "gamma": 0.5},
        {"alpha": 0.25, "gamma": 0.0},
    )
    yield from on(
        "sigmoid_focal_loss",
        logit,
        *({"alpha": 0.25, "gamma": 2.0, "soft_target": flavour} for flavour in ("linear", "exp_bce", "monai")),
    )
    yield from on("quality_focal_loss", logit, {"beta": 2.0}, {"beta": 1.5})
    yield from on("varifocal_loss", logit, {"alpha": 0.75, "gamma": 2.0}, {"alpha": 0.5, "gamma": 1.5})
    yield from on("varifocal_loss", hard, {"alpha": 0.75, "gamma": 2.0})

    def threshold_logit(x, t, threshold, **_):
        return (t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x) + np.log(threshold),)

    yield from on("reduced_focal_loss", hard, {"gamma": 2.0, "threshold": 0.5}, kinks=threshold_logit, fragile=True)
    yield from on(
        "reduced_focal_loss",
        logit,
        {"gamma": 2.0, "threshold": 0.5},
        {"gamma": 1.5, "threshold": 0.25},
        kinks=threshold_logit,
        fragile=True,
    )

    def at_clip(x, t, clip, **_):
        return () if clip == 0 else (x - np.log(clip / (1 - clip)),)

    yield from on(
        "asymmetric_loss",
        hard,
        {"gamma_pos": 1.0, "gamma_neg": 4.0, "clip": rounded(0.05)},
        {"gamma_pos": 0.0, "gamma_neg": 2.0, "clip": 0.25},
        {"gamma_pos": 1.0, "gamma_neg": 4.0, "clip": 0.0},
        kinks=at_clip,
    )
    yield from on("asymmetric_loss", logit, {"gamma_pos": 1.0, "gamma_neg": 4.0, "clip": rounded(0.05)}, kinks=at_clip)
    yield from on(
        "asymmetric_loss",
        hard,
        {"gamma_pos": 1.0, "gamma_neg": 4.0, "clip": rounded(0.05), "detach": True},
        kinks=at_clip,
        detached=("input",),
    )
    yield from on(
        "poly1_bce_loss",
        logit,
        *({"epsilon": epsilon, "gamma": gamma} for epsilon, gamma in ((1.0, 0.0), (-0.5, 0.0), (1.0, 2.0), (2.0, 0.5))),
    )

    signed = {"input": REAL, "target": SIGN}

    def at_margin(*levels):
        return lambda x, y, **_: tuple(y * x - level for level in levels)

    for loss in ("soft_margin_loss", "savage_loss", "tangent_loss"):
        yield from on(loss, signed)
    yield from on("exponential_loss", signed, {"labels": "signed"})
    yield from on("exponential_loss", logit, {"labels": "binary"})
    for loss in ("hinge_loss", "squared_hinge_loss"):
        yield from on(loss, signed, {"margin": 1.0}, {"margin": 2.5}, kinks=lambda x, y, margin: (margin - y * x,))
    yield from on("modified_huber_loss", signed, kinks=at_margin(-1, 1))
    yield from on("smooth_hinge_loss", signed, kinks=at_margin(0, 1), fragile=True)
    yield from on("perceptron_loss", signed, kinks=at_margin(0))
    yield from on("binary_sparsemax_loss", signed, kinks=at_margin(-1, 1))

    # Ranking
    yield from on(
        "hinge_embedding_loss",
        {"input": REAL, "target": OneOf((-1.0, 0.0, 1.0))},
        {"margin": 1.0},
        {"margin": 2.5},
        kinks=lambda x, y, margin: (margin - x,),
    )
    yield from on(
        "margin_ranking_loss",
        {"input1": REAL, "input2": REAL, "target": SIGN},
        {"margin": 0.0},
        {"margin": 0.5},
        kinks=lambda x1, x2, y, margin: (margin - y * (x1 - x2),),
        fragile=True,
    )
    distances = {"positive_distance": REAL, "negative_distance": REAL}
    yield from on(
        "triplet_margin_with_distance_loss",
        distances,
        {"margin": 1.0},
        {"margin": 0.25},
        kinks=lambda p, n, margin: (p - n + margin,),
        fragile=True,
    )
    yield from on(
        "triplet_margin_with_distance_loss",
        {**distances, "swap_distance": REAL},
        {"margin": 1.0},
        kinks=lambda p, n, s, margin: (p - n + margin, p - s + margin, n - s),
        fragile=True,
    )
    yield from on("triplet_margin_with_distance_loss", distances, {"soft_margin": True})
    yield from on("bpr_loss", {"positive": REAL, "negative": REAL})
    moderate = Real(limit=1e6)
    yield from on(
        "aucm_loss",
        {"input": moderate, "target": BINARY, "a": moderate, "b": moderate, "alpha": moderate},
        {"pos_rate": 0.5, "margin": 1.0},
        {"pos_rate": 0.25, "margin": 0.5},
    )

    # Preference
    log_probability = LogProbability()
    policy = {"policy_chosen": log_probability, "policy_rejected": log_probability}
    pairs = {**policy, "reference_chosen": log_probability, "reference_rejected": log_probability}
    plain = ("sigmoid", "ipo", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down")
    yield from on(
        "dpo_loss",
        pairs,
        {"beta": rounded(0.1), "loss_type": "sigmoid"},
        *({"beta": 0.5, "loss_type": kind} for kind in plain),
        *({"beta": 0.5, "loss_type": kind, "label_smoothing": 0.125} for kind in ("sigmoid", "robust", "exo_pair")),
        {"beta": 0.5, "loss_type": "bco_pair", "reward_mean": 0.25},
        {"beta": 0.5, "loss_type": "discopop", "tau": 0.25},
    )
    yield from on(
        "dpo_loss",
        pairs,
        {"beta": 0.5, "loss_type": "hinge"},
        kinks=lambda c, r, rc, rr, beta, loss_type: (1 - beta * (c - rc - r + rr),),
        fragile=True,
    )
    yield from on("cpo_loss", policy, {"beta": rounded(0.1)}, {"beta": 0.5, "label_smoothing": 0.125})
    yield from on("cpo_loss", {**policy, "alpha": Positive(limit=1e4)}, {"beta": 0.5})
    yield from on(
        "simpo_loss", policy, {"beta": 2.0, "gamma": 0.5}, {"beta": 1.0, "gamma": 1.5, "label_smoothing": 0.25}
    )
    surely = LogProbability(below_zero=True)
    surely_both = {"policy_chosen": surely, "policy_rejected": surely}
    yield from on("orpo_loss", surely_both, {"beta": rounded(0.1)}, {"beta": 1.5})
    yield from on("orpo_loss", {**surely_both, "alpha": NonNegative(limit=1e4)}, {"beta": 0.5})
    yield from on(
        "kto_loss",
        {"policy": log_probability, "reference": log_probability, "desirable": BINARY, "kl": NonNegative(limit=1e4)},
        {"beta": rounded(0.1)},
        {"beta": 0.5, "desirable_weight": 1.5, "undesirable_weight": 0.75},
    )

    token = {"log_prob": log_probability, "old_log_prob": log_probability, "advantage": Real(limit=1e6)}
    tokens = {**token, "reference_log_prob": log_probability}

    def at_clips(x, old, advantage, *_, clip_low, clip_high, **__):
        ratio = np.exp(x - old)
        return advantage, ratio - (1 - clip_low), ratio - (1 + clip_high)

    narrow = {"clip_low": rounded(0.2), "clip_high": rounded(0.2)}
    wide = {"clip_low": 0.25, "clip_high": 0.5}
    yield from on("ppo_clip_loss", token, narrow, wide, kinks=at_clips)
    yield from on("grpo_loss", tokens, {**narrow, "beta": rounded(0.04)}, {**wide, "beta": 0.0}, kinks=at_clips)
    yield from on(
        "grpo_loss",
        tokens,
        {"variant": "cispo", "beta": 0.125},
        {"variant": "cispo", "beta": 0.125, "clip_high": 1.5},
        kinks=lambda x, old, *_, clip_high=5.0, **__: (np.exp(x - old) - clip_high,),
        detached=("log_prob",),
    )
    yield from on(
        "grpo_loss",
        tokens,
        {"variant": "sapo", "beta": 0.125, "tau_pos": 1.0, "tau_neg": rounded(1.05)},
        {"variant": "sapo", "beta": 0.125, "tau_pos": 0.5, "tau_neg": 2.0},
        kinks=lambda x, old, advantage, *_, **__: (advantage,),
    )

    def ascending(input, lower, upper):
        low, high = np.fmin(lower, upper), np.fmax(lower, upper)
        with np.errstate(invalid="ignore"):
            apart = np.where(high > low, high, low + abs(low) / 4 + 1)
        return input, np.where(np.isnan(lower), lower, low), np.where(np.isnan(upper), upper, apart)

    yield from on("logistic_interval_loss", {"input": REAL, "lower": REAL, "upper": REAL}, link=ascending)


CASES: tuple[Case, ...] = tuple(_cases())


def cases_of(loss: str) -> tuple[Case, ...]:
    """The cases of one loss."""
    return tuple(case for case in CASES if case.loss == loss)
