"""Independent references: every elementwise loss, written straight from its published formula.

Each function takes a maths namespace first: `MP` computes on mpmath numbers with 400 significant digits, so that the
plain textbook form is exact far beyond the range of float64; `NP` computes on float64 arrays, for bulk tests on
moderate inputs. Gradients and Hessians are explicit formulas; `check_derivatives` holds them against numerical
differentiation of the value. Nothing here looks at the kernels: a mistake there must not be repeated here.

Where terms of opposite sign are added, `value_scale`, `grad_scales` and `hess_scale` give the magnitude of the largest
term: the error of a cancelling sum is measured in units of that.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.special
from mpmath import MPContext

_context = MPContext()
_context.dps = 400
_FARTHEST = _context.mpf(10) ** 30000  # where exponents of exponentials are cut off
_REACH = 120  # 10**120 stands for infinity, and 10**240; smaller numbers added to them are not lost


@dataclass(frozen=True)
class Reference:
    """What a loss is at one point (or, with `NP`, at every element of an array)."""

    value: Any
    grads: Mapping[str, Any]
    hess: Any = None
    value_scale: Any = None
    grad_scales: Mapping[str, Any] = field(default_factory=dict)
    hess_scale: Any = None


REFERENCES: dict[str, Callable[..., Reference]] = {}


def reference(function: Callable[..., Reference]) -> Callable[..., Reference]:
    """Register a reference under its own name; with `MP` its parameters are lifted too: `1 - quantile` is exact."""
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    @functools.wraps(function)
    def lifting(m: Any, **named: Any) -> Reference:
        named = {**defaults, **named}
        if m is MP:
            return function(m, **{k: Exact(v) if type(v) is float else v for k, v in named.items()})
        with np.errstate(all="ignore"):
            return function(m, **named)

    REFERENCES[function.__name__] = lifting
    return lifting


def _of_numbers(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that leaves arrays to NumPy, which comes back with one element after the other."""

    @functools.wraps(operation)
    def guarded(self: Any, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else operation(self, other)

    return guarded


class Exact:
    """An mpmath number whose division and powers follow IEEE 754 instead of raising."""

    __slots__ = ("v",)

    def __init__(self, v):
        self.v = v.v if isinstance(v, Exact) else _context.mpf(v)

    @_of_numbers
    def __add__(self, other):
        return Exact(self.v + Exact(other).v)

    @_of_numbers
    def __sub__(self, other):
        return Exact(self.v - Exact(other).v)

    @_of_numbers
    def __mul__(self, other):
        return Exact(self.v * Exact(other).v)

    @_of_numbers
    def __truediv__(self, other):
        divisor = Exact(other).v
        if divisor == 0:
            return Exact(_context.sign(self.v) * _context.inf)
        return Exact(self.v / divisor)

    @_of_numbers
    def __pow__(self, exponent):
        if isinstance(exponent, int) and exponent >= 0:
            return Exact(self.v**exponent)
        return MP.pow(self, exponent)

    def __radd__(self, other):
        return Exact(other) + self

    def __rsub__(self, other):
        return Exact(other) - self

    def __rmul__(self, other):
        return Exact(other) * self

    def __rtruediv__(self, other):
        return Exact(other) / self

    def __neg__(self):
        return Exact(-self.v)

    def __abs__(self):
        return Exact(abs(self.v))

    def __eq__(self, other):
        return self.v == Exact(other).v

    def __lt__(self, other):
        return self.v < Exact(other).v

    def __le__(self, other):
        return self.v <= Exact(other).v

    def __gt__(self, other):
        return self.v > Exact(other).v

    def __ge__(self, other):
        return self.v >= Exact(other).v

    __hash__ = None

    def __repr__(self):
        return f"Exact({_context.nstr(self.v, 20)})"


def _lifted(name: str) -> Callable[[Any], Exact]:
    function = getattr(_context, name)
    return lambda x: Exact(function(Exact(x).v))


class MP:
    """Scalars with 400 digits."""

    pi = Exact(_context.pi)
    atan = staticmethod(_lifted("atan"))
    digamma = staticmethod(_lifted("digamma"))
    sign = staticmethod(_lifted("sign"))

    @staticmethod
    def exp(x):
        """With a range reduction that, unlike mpmath's own, stays fast for huge arguments."""
        x = Exact(x).v
        if not _context.isfinite(x):
            return Exact(0 if x < 0 else x)
        x = max(min(x, _FARTHEST), -_FARTHEST)
        with _context.extraprec(max(int(_context.mag(x)), 0) if x else 0):
            doublings = int(_context.floor(x / _context.ln2))
            rest = x - doublings * _context.ln2
        return Exact(_context.ldexp(_context.exp(rest), doublings))

    @staticmethod
    def expm1(x):
        x = Exact(x)
        return Exact(_context.expm1(x.v)) if abs(x) < 1 else MP.exp(x) - 1

    @staticmethod
    def tanh(x):
        x = Exact(x)
        return Exact(_context.tanh(x.v)) if abs(x) < 1e5 else MP.sign(x)

    @staticmethod
    def log(x):
        x = Exact(x).v
        if x == 0:
            return Exact(-_context.inf)
        return Exact(_context.log(x) if x > 0 else _context.nan)

    @staticmethod
    def log1p(x):
        x = Exact(x).v
        if x <= -1:
            return MP.log(x + 1)
        return Exact(_context.log1p(x))

    @staticmethod
    def sqrt(x):
        x = Exact(x).v
        return Exact(_context.sqrt(x) if x >= 0 else _context.nan)

    @staticmethod
    def pow(x, y):
        x, y = Exact(x).v, Exact(y).v
        if x > 0 or y == 0:
            return Exact(_context.power(x, y))
        if x < 0:
            return Exact(_context.nan)
        return Exact(0 if y > 0 else _context.inf)

    @staticmethod
    def lgamma(x):
        x = Exact(x).v
        return Exact(_context.loggamma(x) if x > 0 else _context.inf)

    @staticmethod
    def softplus(x):
        x = Exact(x)
        return MP.maximum(x, 0) + MP.log1p(MP.exp(-abs(x)))

    @staticmethod
    def sigmoid(x):
        return 1 / (1 + MP.exp(-Exact(x)))

    @staticmethod
    def log_cosh(x):
        magnitude = abs(Exact(x))
        return magnitude + MP.log1p(MP.exp(-2 * magnitude)) - MP.log(2)

    @staticmethod
    def ndtr(x):
        """The normal distribution function; its asymptote where the next term, 1/x**2, is below any rounding."""
        x = Exact(x)
        if x < -1e50:
            return MP.exp(-(x**2) / 2) / (-x * MP.sqrt(2 * MP.pi))
        return Exact(_context.erfc(-x.v / _context.sqrt(2)) / 2) if x < 1e50 else Exact(1)

    @staticmethod
    def log_ndtr(x):
        x = Exact(x)
        if x < -1e50:
            return -(x**2) / 2 - MP.log(-x) - MP.log(2 * MP.pi) / 2
        return MP.log1p(-MP.ndtr(-x)) if x > 0 else MP.log(MP.ndtr(x))

    @staticmethod
    def ndtr_ratio(x):
        """Density over distribution function of the normal distribution."""
        x = Exact(x)
        return -x if x < -1e50 else MP.exp(-(x**2) / 2) / MP.sqrt(2 * MP.pi) / MP.ndtr(x)

    @staticmethod
    def where(condition, a, b):
        return Exact(a) if condition else Exact(b)

    @staticmethod
    def minimum(a, b):
        a, b = Exact(a), Exact(b)
        return a if a < b else b

    @staticmethod
    def maximum(a, b):
        a, b = Exact(a), Exact(b)
        return a if a > b else b

    @staticmethod
    def like(_, constant):
        return Exact(constant)


class NP:
    """float64 arrays, plain formulas: meant for moderate inputs."""

    pi = math.pi
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    sqrt = staticmethod(np.sqrt)
    pow = staticmethod(np.power)
    tanh = staticmethod(np.tanh)
    atan = staticmethod(np.arctan)
    sign = staticmethod(np.sign)
    where = staticmethod(np.where)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    lgamma = staticmethod(scipy.special.gammaln)
    digamma = staticmethod(scipy.special.digamma)
    sigmoid = staticmethod(scipy.special.expit)
    ndtr = staticmethod(scipy.special.ndtr)
    log_ndtr = staticmethod(scipy.special.log_ndtr)

    @staticmethod
    def softplus(x):
        return np.logaddexp(0, x)

    @staticmethod
    def log_cosh(x):
        return np.logaddexp(x, -x) - math.log(2)

    @staticmethod
    def ndtr_ratio(x):
        return np.exp(-np.square(x) / 2 - scipy.special.log_ndtr(x)) / math.sqrt(2 * math.pi)

    @staticmethod
    def like(x, constant):
        return np.full(np.shape(x), float(constant))


def evaluate(name: str, arguments: Mapping[str, float], **params: Any) -> Reference | None:
    """The exact result at one point, as mpmath numbers; None where an infinite argument leaves no limit.

    A NaN argument poisons value and gradients. Where arithmetic with an infinite argument is undefined, the limit is
    read off two finite points so far out that even a logarithm tells growth from convergence.
    """
    function = REFERENCES[name]
    if any(math.isnan(value) for value in arguments.values()):
        moderate = dict.fromkeys(arguments, 0.5)
        poisoned = _map_parts(lambda _: _context.nan, function(MP, **_lift(moderate), **params))
        return replace(poisoned, hess=None)
    infinite = [key for key, value in arguments.items() if math.isinf(value)]
    direct = _map_parts(lambda part: part.v, function(MP, **_lift(arguments), **params))
    if not infinite or not any(
        _context.isnan(part) for part in (direct.value, direct.hess or 0, *direct.grads.values())
    ):
        return direct

    def limit_along(exponents: Mapping[str, int]) -> Reference:
        near, far = (
            function(
                MP,
                **_lift({k: v for k, v in arguments.items() if k not in exponents}),
                **{k: Exact(math.copysign(1, arguments[k])) * Exact(10) ** (e * s) for k, e in exponents.items()},
                **params,
            )
            for s in (1, 2)
        )
        return _map_parts(_limit, near, far)

    paths = [dict.fromkeys(infinite, _REACH)]
    if len(infinite) > 1:
        paths += [{k: _REACH * 3 ** (i if up else -i % len(infinite)) for i, k in enumerate(infinite)} for up in (0, 1)]
    first, *others = (limit_along(path) for path in paths)
    return first if all(_same(first, other) for other in others) else None


def _lift(arguments: Mapping[str, float]) -> dict[str, Exact]:
    return {key: Exact(float(value)) for key, value in arguments.items()}


def _map_parts(f: Callable[..., Any], *references: Reference) -> Reference:
    first = references[0]

    def apply(*parts: Any) -> Any:
        return None if parts[0] is None else f(*(Exact(part) for part in parts))

    return Reference(
        value=apply(*(r.value for r in references)),
        grads={key: apply(*(r.grads[key] for r in references)) for key in first.grads},
        hess=apply(*(r.hess for r in references)),
        value_scale=apply(*(r.value_scale for r in references)),
        grad_scales={key: apply(*(r.grad_scales[key] for r in references)) for key in first.grad_scales},
        hess_scale=apply(*(r.hess_scale for r in references)),
    )


def _limit(near: Exact, far: Exact) -> Any:
    near, far = near.v, far.v
    if not _context.isfinite(near) or not _context.isfinite(far):
        return far
    if abs(far - near) <= 1e-30 * abs(far):
        return far
    return _context.sign(far) * _context.inf if abs(far) > abs(near) else _context.mpf(0)


def _same(a: Reference, b: Reference) -> bool:
    return a.value == b.value and a.hess == b.hess and a.grads == b.grads


def ulp_error(actual: float, exact: Any, dtype: Any, scale: Any = None) -> float:
    """How far a computed number is from the exact one, in units in the last place of the larger of it and `scale`."""
    info = np.finfo(dtype)
    if _context.isnan(exact) or math.isnan(actual):
        return 0.0 if _context.isnan(exact) and math.isnan(actual) else math.inf
    largest = abs(exact) if scale is None or _context.isnan(scale) else max(abs(exact), abs(scale))
    beyond = _context.ldexp(1, info.maxexp)
    if abs(exact) > beyond * (1 + 4 * float(info.eps)):
        return 0.0 if actual == math.copysign(math.inf, exact) else math.inf
    if abs(exact) >= beyond and actual == math.copysign(math.inf, exact):
        return 0.0
    if largest > beyond:
        largest = beyond / 2
    number = _context.mpf(actual) if math.isfinite(actual) else math.copysign(1, actual) * beyond
    exponent = max(_context.frexp(largest)[1] - 1 if largest else info.minexp, info.minexp)
    return float(abs(number - exact) / _context.ldexp(1, exponent - info.nmant))


def cancelling(name: str) -> bool:
    """Whether a loss adds terms of opposite sign, so that its reference comes with scales."""
    from cases import cases_of

    case = cases_of(name)[0]
    result = REFERENCES[name](NP, **case.random((1,), np.float64, np.random.default_rng(0)), **case.params)
    return result.value_scale is not None or bool(result.grad_scales)


def check_derivatives(name: str, *, points: int = 4, tolerance: float = 1e-15, seed: int = 0) -> None:
    """Hold every explicit gradient and Hessian of a loss to numerical differentiation, at random points."""
    from cases import cases_of

    function = REFERENCES[name]
    generator = np.random.default_rng(seed)
    for case in cases_of(name):
        sample = case.random((points,), np.float64, generator)
        for index in range(points):
            at = {key: Exact(float(array[index])) for key, array in sample.items()}
            _check_point(function, at, case, tolerance)


def _check_point(function, at, case, tolerance) -> None:
    params = case.params

    def slope(key: str, part: Callable[[Reference], Any]) -> Any:
        return _context.diff(lambda x: Exact(part(function(MP, **{**at, key: Exact(x)}, **params))).v, at[key].v)

    with _context.workdps(60):
        result = function(MP, **at, **params)
        pairs = {
            f"d/d{key}": (grad, slope(key, lambda r: r.value), result.grad_scales.get(key))
            for key, grad in result.grads.items()
            if key in at and key not in case.detached
        }
        if result.hess is not None:
            first = next(iter(result.grads))
            pairs["hess"] = (result.hess, slope(first, lambda r: r.grads[first]), result.hess_scale)
        for label, (explicit, numerical, scale) in pairs.items():
            explicit = Exact(explicit).v
            allowed = tolerance * max(abs(numerical), Exact(0 if scale is None else scale).v)
            if not abs(explicit - numerical) <= max(allowed, _context.mpf("1e-30")):
                raise AssertionError(f"{label} of {case} at {at}: formula {explicit}, differentiated {numerical}")


def _total(m, *terms):
    """The sum of the terms and the magnitude of the largest."""
    total, scale = terms[0], abs(terms[0])
    for term in terms[1:]:
        total, scale = total + term, m.maximum(scale, abs(term))
    return total, scale


def _xlogy(m, x, y):
    return m.where(x == 0, 0, x * m.log(m.where(x == 0, 1, y)))


def _ratio(m, x, y):
    """x / y, 0 where x is 0 whatever y is."""
    return m.where(x == 0, 0, x / m.where(x == 0, 1, y))


def _power_or_zero(m, x, exponent):
    """x ** exponent, but 0 rather than infinity where x is 0."""
    return m.where(x == 0, m.where(exponent == 0, 1, 0), m.where(x == 0, 1, x) ** exponent)


def _residual(value, slope, curvature=None, value_scale=None, slope_scale=None, curvature_scale=None) -> Reference:
    """A loss of `input - target` alone."""
    scales = {} if slope_scale is None else {"input": slope_scale, "target": slope_scale}
    return Reference(value, {"input": slope, "target": -slope}, curvature, value_scale, scales, curvature_scale)


# Regression


@reference
def mse_loss(m, input, target):
    e = input - target
    return _residual(e**2, 2 * e, m.like(e, 2))


@reference
def half_squared_error(m, input, target):
    e = input - target
    return _residual(e**2 / 2, e, m.like(e, 1))


@reference
def l1_loss(m, input, target):
    e = input - target
    return _residual(abs(e), m.sign(e), m.like(e, 0))


@reference
def smooth_l1_loss(m, input, target, *, beta=1.0):
    e = input - target
    if beta == 0:
        return _residual(abs(e), m.sign(e), m.like(e, 0))
    near = abs(e) < beta
    return _residual(
        m.where(near, e**2 / (2 * beta), abs(e) - beta / 2),
        m.where(near, e / beta, m.sign(e)),
        m.where(near, 1 / m.like(e, beta), 0),
    )


@reference
def huber_loss(m, input, target, *, delta=1.0):
    e = input - target
    near = abs(e) <= delta
    return _residual(
        m.where(near, e**2 / 2, delta * (abs(e) - delta / 2)),
        m.where(near, e, delta * m.sign(e)),
        m.where(near, 1, m.like(e, 0)),
    )


@reference
def pseudo_huber_loss(m, input, target, *, delta=1.0):
    e = input - target
    r = m.sqrt(1 + (e / delta) ** 2)
    return _residual(delta**2 * (r - 1), e / r, 1 / r**3)


@reference
def charbonnier_loss(m, input, target, *, eps=1e-3, alpha=0.5):
    e = input - target
    s = e**2 + eps**2
    curvature, curvature_scale = _total(m, m.like(e, eps) ** 2, (2 * alpha - 1) * e**2)
    factor = 2 * alpha * s ** (alpha - 2)
    return _residual(
        s**alpha, 2 * alpha * e * s ** (alpha - 1), factor * curvature, curvature_scale=factor * curvature_scale
    )


@reference
def log_cosh_loss(m, input, target, *, a=1.0):
    z = a * (input - target)
    return _residual(m.log_cosh(z) / a, m.tanh(z), a * 4 * m.sigmoid(2 * z) * m.sigmoid(-2 * z))


@reference
def quantile_loss(m, input, target, *, quantile=0.5):
    e = input - target
    below = e <= 0
    slope = m.where(below, -quantile, 1 - quantile)
    return _residual(slope * e, slope, m.like(e, 0))


@reference
def quantile_huber_loss(m, input, target, *, quantile=0.5, delta=1.0):
    e = input - target
    w = m.where(e <= 0, quantile, 1 - quantile)
    near = abs(e) <= delta
    return _residual(
        w * m.where(near, e**2 / (2 * delta), abs(e) - delta / 2),
        w * m.where(near, e / delta, m.sign(e)),
        w * m.where(near, 1 / m.like(e, delta), 0),
    )


@reference
def expectile_loss(m, input, target, *, expectile=0.5):
    e = input - target
    w = m.where(e <= 0, expectile, m.like(e, 1 - expectile))
    return _residual(w * e**2, 2 * w * e, 2 * w)


@reference
def mean_absolute_percentage_error(m, input, target, *, scale=100.0, eps=1e-7):
    e = input - target
    divisor = m.maximum(abs(target), eps)
    value = scale * abs(e) / divisor
    slope = scale * m.sign(e) / divisor
    by_divisor = m.where(abs(target) > eps, -value * m.sign(target) / divisor, 0)
    return Reference(value, {"input": slope, "target": by_divisor - slope}, m.like(e, 0))


@reference
def symmetric_mean_absolute_percentage_error(m, input, target):
    e, s = input - target, abs(input) + abs(target)
    both_zero = s == 0
    divisor = m.where(both_zero, 1, s**2)

    def slope(sign, own):
        return m.where(both_zero, 0, 2 * (sign * s - abs(e) * m.sign(own)) / divisor)

    return Reference(
        m.where(both_zero, 0, 2 * abs(e) / m.where(both_zero, 1, s)),
        {"input": slope(m.sign(e), input), "target": slope(-m.sign(e), target)},
    )


@reference
def mean_squared_logarithmic_error(m, input, target, *, eps=1e-7):
    x, t = m.maximum(input, eps), m.maximum(target, eps)
    d = m.log1p(x) - m.log1p(t)
    return Reference(
        d**2,
        {"input": m.where(input < eps, 0, 2 * d / (1 + x)), "target": m.where(target < eps, 0, -2 * d / (1 + t))},
        m.where(input < eps, 0, 2 * (1 - d) / (1 + x) ** 2),
        hess_scale=2 * (1 + abs(d)) / (1 + x) ** 2,
    )


@reference
def mean_bias_error(m, input, target):
    e = input - target
    return _residual(-e, m.like(e, -1), m.like(e, 0))


@reference
def lp_loss(m, input, target, *, p=2.0):
    e = input - target
    return _residual(abs(e) ** p, p * m.sign(e) * _power_or_zero(m, abs(e), p - 1))


@reference
def epsilon_insensitive_loss(m, input, target, *, epsilon=0.1):
    e = input - target
    active = abs(e) > epsilon
    excess, scale = _total(m, abs(e), -m.like(e, epsilon))
    return _residual(m.where(active, excess, 0), m.where(active, m.sign(e), 0), m.like(e, 0), scale)


@reference
def squared_epsilon_insensitive_loss(m, input, target, *, epsilon=0.1):
    e = input - target
    excess, scale = _total(m, abs(e), -m.like(e, epsilon))
    excess = m.maximum(excess, 0)
    return _residual(
        excess**2,
        2 * m.sign(e) * excess,
        m.where(abs(e) > epsilon, 2, m.like(e, 0)),
        m.maximum(2 * excess * scale, excess**2),
        2 * scale,
    )


@reference
def linex_loss(m, input, target, *, a=1.0):
    e = input - target
    return _residual(m.expm1(a * e) - a * e, a * m.expm1(a * e), a**2 * m.exp(a * e))


# Robust regression


@reference
def cauchy_loss(m, input, target, *, c=1.0):
    e = input - target
    z = (e / c) ** 2
    return _residual(c**2 * m.log1p(z) / 2, e / (1 + z), (1 - z) / (1 + z) ** 2, curvature_scale=1 / (1 + z))


@reference
def arctan_loss(m, input, target, *, c=1.0):
    e = input - target
    z = (e / c) ** 2
    return _residual(
        c**2 * m.atan(z) / 2, e / (1 + z**2), (1 - 3 * z**2) / (1 + z**2) ** 2, curvature_scale=3 / (1 + z**2)
    )


@reference
def fair_loss(m, input, target, *, c=1.0):
    e = input - target
    r = abs(e) / c
    return _residual(c**2 * (r - m.log1p(r)), c * e / (abs(e) + c), c**2 / (abs(e) + c) ** 2)


@reference
def welsch_loss(m, input, target, *, c=1.0):
    e = input - target
    z = (e / c) ** 2
    return _residual(
        -(c**2) * m.expm1(-z) / 2, e * m.exp(-z), (1 - 2 * z) * m.exp(-z), curvature_scale=(1 + 2 * z) * m.exp(-z)
    )


@reference
def geman_mcclure_loss(m, input, target, *, c=1.0):
    e = input - target
    z = (e / c) ** 2
    return _residual(
        e**2 / (2 * (1 + z)), e / (1 + z) ** 2, (1 - 3 * z) / (1 + z) ** 3, curvature_scale=3 / (1 + z) ** 2
    )


@reference
def tukey_biweight_loss(m, input, target, *, c=4.685):
    e = input - target
    u = m.minimum((e / c) ** 2, 1)
    return _residual(
        c**2 * (1 - (1 - u) ** 3) / 6,
        e * (1 - u) ** 2,
        (1 - u) * (1 - 5 * u),
        slope_scale=abs(e) * (1 - u),
        curvature_scale=m.where(u < 1, 5, 0 * u),
    )


@reference
def general_robust_loss(m, input, target, *, alpha=1.0, scale=1.0):
    e = input - target
    z, unit = (e / scale) ** 2, e / scale**2
    zero, infinite = abs(alpha) < 1e-100, abs(alpha) == math.inf

    def pick(general, at_two, at_zero, at_minus_infinity, at_infinity):
        limit = m.where(alpha == math.inf, at_infinity, at_minus_infinity)
        return m.where(alpha == 2, at_two, m.where(zero, at_zero, m.where(infinite, limit, general)))

    a = m.where((alpha == 2) | zero | infinite, 1, alpha)
    distance, side = abs(a - 2), m.sign(a - 2)
    log_q, q = m.log1p(z / distance), 1 + z / distance
    power = m.exp(a / 2 * log_q)
    by_alpha, alpha_scale = _total(
        m,
        (side * a - distance) / a**2 * m.expm1(a / 2 * log_q),
        distance / a * power * log_q / 2,
        -power * z * side / (2 * distance * q),
    )
    half = 1 + z / 2
    at_zero = (-m.log(half) / 2, z / (4 * half), m.log(half) ** 2 / 4)
    slope = unit * pick(power / q, m.like(z, 1), 1 / half, m.exp(-z / 2), m.exp(z / 2))
    nothing = m.like(z, 0)
    general = (power / q, (a - 2) * z / distance * power / q**2)
    hess = pick(
        general[0] + general[1],
        1 + nothing,
        1 / half - z / half**2,
        (1 - z) * m.exp(-z / 2),
        (1 + z) * m.exp(z / 2),
    )
    hess_scale = pick(
        m.maximum(general[0], abs(general[1])), 1 + nothing, 1 / half, (1 + z) * m.exp(-z / 2), (1 + z) * m.exp(z / 2)
    )
    return Reference(
        pick(distance / a * m.expm1(a / 2 * log_q), z / 2, m.log1p(z / 2), -m.expm1(-z / 2), m.expm1(z / 2)),
        {
            "input": slope,
            "target": -slope,
            "alpha": pick(by_alpha, nothing, at_zero[0] + at_zero[1] + at_zero[2], nothing, nothing),
            "scale": -e / scale * slope,
        },
        hess / scale**2,
        None,
        {"alpha": pick(alpha_scale, nothing, m.maximum(abs(at_zero[0]), at_zero[2]), nothing, nothing)},
        hess_scale / scale**2,
    )


@reference
def wing_loss(m, input, target, *, width=5.0, curvature=0.5):
    e = input - target
    near = abs(e) < width
    offset = width - width * m.log1p(width / m.like(e, curvature))
    return _residual(
        m.where(near, width * m.log1p(abs(e) / curvature), abs(e) - offset),
        m.sign(e) * m.where(near, width / (curvature + abs(e)), 1),
    )


@reference
def adaptive_wing_loss(m, input, target, *, omega=14.0, theta=0.5, epsilon=1.0, alpha=2.1):
    e = input - target
    d = abs(e)
    a = alpha - target
    ratio = theta / m.like(e, epsilon)
    power = ratio**a
    slope = omega * a * ratio ** (a - 1) / (epsilon * (1 + power))
    offset = theta * slope - omega * m.log1p(power)
    inner = (d / epsilon) ** a
    near = d < theta
    # The exponent depends on the target, hence so do the slope and the offset of the linear part.
    inner_by_a = omega * inner / (1 + inner) * m.log(m.where(d == 0, 1, d / epsilon))
    log_ratio = m.log(ratio)
    slope_by_a = slope * (1 / a + log_ratio / (1 + power))
    outer_by_a = slope_by_a * (d - theta) + omega * power / (1 + power) * log_ratio
    g = m.sign(e) * m.where(near, omega * a * _power_or_zero(m, d / epsilon, a - 1) / (epsilon * (1 + inner)), slope)
    return Reference(
        m.where(near, omega * m.log1p(inner), slope * d - offset),
        {"input": g, "target": -g - m.where(near, inner_by_a, outer_by_a)},
        value_scale=m.where(near, 0, m.maximum(abs(slope * d), abs(offset))),
    )


# Likelihoods


@reference
def poisson_nll_loss(m, input, target, *, log_input=True, full=False, eps=1e-8):
    if log_input:
        rate = m.exp(input)
        terms = [rate, -target * input]
        slopes = (rate, -target)
        by_target, hess = -input, rate
    else:
        shifted = input + eps
        terms = [input, -_xlogy(m, target, shifted)]
        slopes = (m.like(input, 1), -_ratio(m, target, shifted))
        by_target, hess = -m.log(shifted), _ratio(m, target, shifted**2)
    if full:
        terms.append(m.lgamma(target + 1))
        by_target, target_scale = _total(m, by_target, m.digamma(target + 1))
    else:
        target_scale = abs(by_target)
    value, value_scale = _total(m, *terms)
    slope, slope_scale = _total(m, *slopes)
    return Reference(
        value,
        {"input": slope, "target": by_target},
        hess,
        value_scale,
        {"input": slope_scale, "target": target_scale},
    )


@reference
def gaussian_nll_loss(m, input, target, var, *, full=False, eps=1e-6, log_var=False):
    e = input - target
    if log_var:
        log_variance, precision = var, m.exp(-var)
        spread = (m.like(e, 1) / 2, -(e**2) * precision / 2)
    else:
        v = m.maximum(var, eps)
        log_variance, precision = m.log(v), 1 / v
        spread = (precision / 2, -(e**2) * precision**2 / 2)
    constant = m.log(2 * m.pi) / 2 if full else 0
    value, value_scale = _total(m, log_variance / 2, e**2 * precision / 2, m.like(e, constant))
    by_var, var_scale = _total(m, *spread)
    g = e * precision
    return Reference(value, {"input": g, "target": -g, "var": by_var}, precision, value_scale, {"var": var_scale})


@reference
def beta_nll_loss(m, input, target, var, *, beta=0.5, eps=1e-6):
    e = input - target
    v = m.maximum(var, eps)
    weight = v**beta
    value, value_scale = _total(m, weight * m.log(v) / 2, weight * e**2 / v / 2)
    by_var, var_scale = _total(m, weight / v / 2, -weight * (e / v) ** 2 / 2)
    g = weight * e / v
    return Reference(value, {"input": g, "target": -g, "var": by_var}, weight / v, value_scale, {"var": var_scale})


@reference
def gamma_nll_loss(m, input, target):
    decay = m.exp(-input)
    value, value_scale = _total(m, input, target * decay)
    slope, slope_scale = _total(m, m.like(input, 1), -target * decay)
    return Reference(value, {"input": slope, "target": decay}, target * decay, value_scale, {"input": slope_scale})


@reference
def tweedie_nll_loss(m, input, target, *, power=1.5):
    if power == 0:
        rate = m.exp(input)
        e = rate - target
        scale = m.maximum(rate, abs(target))
        return Reference(
            e**2 / 2,
            {"input": e * rate, "target": -e},
            rate * (2 * rate - target),
            m.maximum(abs(e) * scale, e**2 / 2),
            {"input": scale * rate, "target": scale},
            m.maximum(2 * rate, abs(target)) * rate,
        )
    if power == 1:
        return poisson_nll_loss(m, input=input, target=target)
    if power == 2:
        return gamma_nll_loss(m, input=input, target=target)
    up, down = m.exp((2 - power) * input), m.exp((1 - power) * input)
    value, value_scale = _total(m, up / (2 - power), -target * down / (1 - power))
    slope, slope_scale = _total(m, up, -target * down)
    hess, hess_scale = _total(m, (2 - power) * up, -(1 - power) * target * down)
    return Reference(
        value,
        {"input": slope, "target": -down / (1 - power)},
        hess,
        value_scale,
        {"input": slope_scale},
        hess_scale,
    )


@reference
def tweedie_deviance_loss(m, input, target, *, power=1.5):
    if power == 1:
        terms = (_xlogy(m, target, target / input), input, -target)
        by_target = (m.log(target), -m.log(input))
    elif power == 2:
        terms = (m.log(input), -m.log(target), target / input, m.like(input, -1))
        by_target = (1 / input, -1 / target)
    else:
        constant = (1 - power) * (2 - power)
        terms = (
            input ** (2 - power) / (2 - power),
            -target * input ** (1 - power) / (1 - power),
            target ** (2 - power) / constant,
        )
        by_target = (target ** (1 - power) / (1 - power), -(input ** (1 - power)) / (1 - power))
    value, value_scale = _total(m, *terms)
    slope, slope_scale = _total(m, input ** (1 - power), -target * input ** (-power))
    own, own_scale = _total(m, *by_target)
    hess, hess_scale = _total(m, (1 - power) * input ** (-power), power * target * input ** (-power - 1))
    return Reference(
        value,
        {"input": slope, "target": own},
        hess,
        value_scale,
        {"input": slope_scale, "target": own_scale},
        hess_scale,
    )


@reference
def laplace_nll_loss(m, input, target, scale):
    e = input - target
    value, value_scale = _total(m, abs(e) / scale, m.log(2 * scale))
    by_scale, scale_scale = _total(m, 1 / scale, -abs(e) / scale**2)
    g = m.sign(e) / scale
    return Reference(
        value, {"input": g, "target": -g, "scale": by_scale}, m.like(e, 0), value_scale, {"scale": scale_scale}
    )


@reference
def student_t_nll_loss(m, input, target, scale, *, df=1.0):
    e = input - target
    df = m.like(e, df)
    z = (e / scale) ** 2 / df
    value, value_scale = _total(
        m,
        m.lgamma(df / 2) - m.lgamma((df + 1) / 2) + m.log(df * m.pi) / 2,
        m.log(scale),
        (df + 1) / 2 * m.log1p(z),
    )
    divisor = df * scale**2 + e**2
    g = (df + 1) * e / divisor
    by_scale, scale_scale = _total(m, df * scale / divisor, -df * e**2 / (scale * divisor))
    return Reference(
        value,
        {"input": g, "target": -g, "scale": by_scale},
        (df + 1) * (df * scale**2 - e**2) / divisor**2,
        value_scale,
        {"scale": scale_scale},
        (df + 1) / divisor,
    )


@reference
def negative_binomial_nll_loss(m, input, target, dispersion):
    poisson = dispersion == 0
    a = m.where(poisson, 1, dispersion)
    r = 1 / a
    product = dispersion * input
    value, value_scale = _total(
        m,
        m.lgamma(r),
        -m.lgamma(target + r),
        m.lgamma(target + 1),
        r * m.log1p(a * input),
        -_xlogy(m, target, a * input / (1 + a * input)),
    )
    limit, limit_scale = _total(m, input, -_xlogy(m, target, input), m.lgamma(target + 1))
    slope, slope_scale = _total(m, 1 / (1 + product), -_ratio(m, target, input * (1 + product)))
    by_r, by_r_scale = _total(
        m, m.digamma(r), -m.digamma(target + r), m.log1p(a * input), (target - input) * a / (1 + a * input)
    )
    terms = (_ratio(m, target, input**2), 2 * _ratio(m, target * dispersion, input), -dispersion)
    hess, hess_scale = _total(m, *(term / (1 + product) ** 2 for term in terms))
    return Reference(
        m.where(poisson, limit, value),
        {"input": slope, "dispersion": m.where(poisson, (target - (target - input) ** 2) / 2, -by_r / a**2)},
        hess,
        m.where(poisson, limit_scale, value_scale),
        {"input": slope_scale, "dispersion": m.where(poisson, (target - input) ** 2 + target, by_r_scale / a**2)},
        hess_scale,
    )


@reference
def evidential_nig_loss(m, gamma, nu, alpha, beta, target, *, regularizer=0.01):
    e = gamma - target
    omega = 2 * beta * (1 + nu)
    q = e**2 * nu + omega
    value, value_scale = _total(
        m,
        m.log(m.pi / nu) / 2,
        -alpha * m.log(omega),
        (alpha + 0.5) * m.log(q),
        m.lgamma(alpha),
        -m.lgamma(alpha + 0.5),
        regularizer * abs(e) * (2 * nu + alpha),
    )
    by_gamma = (2 * alpha + 1) * nu * e / q + regularizer * m.sign(e) * (2 * nu + alpha)
    by_nu, nu_scale = _total(
        m, -0.5 / nu, -alpha / (1 + nu), (alpha + 0.5) * (e**2 + 2 * beta) / q, 2 * regularizer * abs(e)
    )
    by_alpha, alpha_scale = _total(
        m, m.log(q), -m.log(omega), m.digamma(alpha), -m.digamma(alpha + 0.5), regularizer * abs(e)
    )
    by_beta, beta_scale = _total(m, -alpha / beta, (2 * alpha + 1) * (1 + nu) / q)
    return Reference(
        value,
        {"gamma": by_gamma, "nu": by_nu, "alpha": by_alpha, "beta": by_beta, "target": -by_gamma},
        None,
        value_scale,
        {"nu": nu_scale, "alpha": alpha_scale, "beta": beta_scale},
    )


def _observed_time(m, distribution, z):
    """-log(density) of a standardised log-time and its first two derivatives."""
    if distribution == "normal":
        return z**2 / 2 + m.log(2 * m.pi) / 2, z, m.like(z, 1)
    if distribution == "logistic":
        both = m.sigmoid(z) * m.sigmoid(-z)
        return m.softplus(z) + m.softplus(-z), m.sigmoid(z) - m.sigmoid(-z), 2 * both
    return m.exp(z) - z, m.expm1(z), m.exp(z)


def _censored_time(m, distribution, low, high):
    """-log(mass) of an interval and its first two derivatives by a shift of the interval to the left."""
    bounded = high < math.inf
    if distribution == "extreme":
        # Of the hazards exp(z), in units of the survival function at the lower end.
        hazard, other = m.exp(low), m.exp(m.where(bounded, high, 0))
        gap = m.where(bounded, other - hazard, 1)
        ratio = m.where(bounded, m.exp(-gap), 0)
        share = m.where(bounded, -m.expm1(-gap), 1)
        slope = (other * ratio - hazard) / share
        return hazard - m.log(share), slope, ratio * gap**2 / share**2 - slope

    def parts(z):
        finite = abs(z) < math.inf
        y = m.where(finite, z, 0)
        if distribution == "normal":
            density = m.where(finite, m.exp(-(y**2) / 2) / m.sqrt(2 * m.pi), 0)
            return m.ndtr(z), m.ndtr(-z), density, -y * density
        below, above = m.sigmoid(z), m.sigmoid(-z)
        return below, above, below * above, below * above * (above - below)

    low_below, low_above, low_density, low_slope = parts(low)
    high_below, high_above, high_density, high_slope = parts(high)
    # On the side of the shorter tail, where the two probabilities are not both close to 1.
    mass = m.where(low > 0, low_above - high_above, high_below - low_below)
    slope = (high_density - low_density) / mass
    return -m.log(mass), slope, slope**2 - (high_slope - low_slope) / mass


@reference
def aft_nll_loss(m, input, target_lower, target_upper, *, distribution="normal", scale=1.0):
    observed = target_lower == target_upper
    time = m.where(observed, target_lower, 1)
    nll, slope, curvature = _observed_time(m, distribution, (m.log(time) - input) / scale)
    value, value_scale = _total(m, nll, m.log(scale * time))
    low = m.where(observed, 0, (m.log(target_lower) - input) / scale)
    high = m.where(observed, 1, (m.log(target_upper) - input) / scale)
    censored, censored_slope, censored_curvature = _censored_time(m, distribution, low, high)
    g = m.where(observed, -slope, censored_slope) / scale
    hess = m.where(observed, curvature, censored_curvature) / scale**2
    # z is a difference: its rounding moves the value by the slope and the slope by the curvature.
    spread = abs(input)
    for bound in (target_lower, target_upper):
        inner = (bound > 0) & (bound < math.inf)
        spread = m.maximum(spread, abs(m.log(m.where(inner, bound, 1))))
    return Reference(
        m.where(observed, value, censored),
        {"input": g},
        hess,
        m.maximum(m.where(observed, value_scale, abs(censored)), abs(g) * spread),
        {"input": m.maximum(abs(g), hess * spread)},
        m.maximum(hess, m.where(observed, 0, g**2)),
    )


# Divergences, per element


@reference
def kl_div(m, input, target, *, log_target=False):
    p, log_p = (m.exp(target), target) if log_target else (target, m.log(m.where(target == 0, 1, target)))
    value, value_scale = _total(m, p * log_p, -p * input)
    by_target, target_scale = _total(m, log_p, m.like(input, 1), -input)
    weight = p if log_target else 1
    own = m.where(p == 0, 0, weight * by_target)
    return Reference(
        value, {"input": -p, "target": own}, m.like(input, 0), value_scale, {"target": weight * target_scale}
    )


@reference
def generalized_kl_divergence(m, input, target):
    q, log_p = m.exp(input), m.log(m.where(target == 0, 1, target))
    value, value_scale = _total(m, target * log_p, -target * input, q, -target)
    slope, slope_scale = _total(m, q, -target)
    by_target, target_scale = _total(m, log_p, -input)
    return Reference(
        value,
        {"input": slope, "target": m.where(target == 0, 0, by_target)},
        q,
        value_scale,
        {"input": slope_scale, "target": target_scale},
    )


# Binary classification: labels in [0, 1]


@reference
def binary_cross_entropy(m, input, target, *, log_clamp=None):
    p, q = input, 1 - input
    rest = 1 - target
    if log_clamp is None:
        slope, slope_scale = _total(m, _ratio(m, rest, q), -_ratio(m, target, p))
        value = -_xlogy(m, target, p) - _xlogy(m, rest, q)
        log_p, log_q = m.log(p), m.log(q)
    else:
        log_p, log_q = m.maximum(m.log(p), -log_clamp), m.maximum(m.log(q), -log_clamp)
        value = -(target * log_p + rest * log_q)
        slope, slope_scale = _total(m, rest * p, -target * q)
        divisor = m.maximum(p * q, 1e-12)
        slope, slope_scale = slope / divisor, slope_scale / divisor
    by_target, target_scale = _total(m, log_q, -log_p)
    return Reference(
        value,
        {"input": slope, "target": by_target},
        _ratio(m, target, p**2) + _ratio(m, rest, q**2),
        None,
        {"input": slope_scale, "target": target_scale},
    )


@reference
def binary_cross_entropy_with_logits(m, input, target, *, pos_weight=1.0, label_smoothing=0.0):
    t = target * (1 - label_smoothing) + label_smoothing / 2
    positive = m.softplus(-input)
    slope, slope_scale = _total(m, (1 - t) * m.sigmoid(input), -pos_weight * t * m.sigmoid(-input))
    by_target, target_scale = _total(m, pos_weight * positive, -m.softplus(input))
    return Reference(
        pos_weight * t * positive + (1 - t) * m.softplus(input),
        {"input": slope, "target": (1 - label_smoothing) * by_target, "pos_weight": t * positive},
        (1 - t + pos_weight * t) * m.sigmoid(input) * m.sigmoid(-input),
        None,
        {"input": slope_scale, "target": target_scale},
    )


def _soft_cross_entropy(m, x, t):
    """Cross entropy of a logit against a soft label, its slope and curvature, and the largest term of the slope."""
    slope, scale = _total(m, (1 - t) * m.sigmoid(x), -t * m.sigmoid(-x))
    return t * m.softplus(-x) + (1 - t) * m.softplus(x), slope, m.sigmoid(x) * m.sigmoid(-x), scale


def _one_minus_pt(m, x, t):
    """1 - p_t = (1 - t) * p + t * (1 - p) of a soft label and its first two derivatives."""
    p, rest = m.sigmoid(x), m.sigmoid(-x)
    lean = 1 - 2 * t
    return t * rest + (1 - t) * p, lean * p * rest, lean * p * rest * (rest - p)


def _faded(m, power, q, value):
    """q ** power * value, where q and value come as (value, first, second derivative); terms of each derivative."""
    (q, q1, q2), (v, v1, v2) = q, value
    factor = _power_or_zero(m, q, power)
    by_q = power * _power_or_zero(m, q, power - 1)
    by_q2 = power * (power - 1) * _power_or_zero(m, q, power - 2)
    return factor * v, (factor * v1, by_q * q1 * v), (factor * v2, 2 * by_q * q1 * v1, by_q * q2 * v, by_q2 * q1**2 * v)


@reference
def sigmoid_focal_loss(m, input, target, *, alpha=0.25, gamma=2.0, soft_target="linear"):
    ce, ce1, ce2, ce_scale = _soft_cross_entropy(m, input, target)
    if soft_target == "linear":
        q = _one_minus_pt(m, input, target)
    elif soft_target == "exp_bce":
        pt = m.exp(-ce)
        q = (-m.expm1(-ce), pt * ce1, pt * (ce2 - ce1**2))
    else:
        lean = 2 * target - 1
        miss, pt = m.sigmoid(-lean * input), m.sigmoid(lean * input)
        q = (miss, -lean * miss * pt, lean**2 * miss * pt * (pt - miss))
    value, slopes, curvatures = _faded(m, gamma, q, (ce, ce1, ce2))
    balance = m.like(ce, 1) if alpha is None or alpha == -1 else alpha * target + (1 - alpha) * (1 - target)
    slope, slope_scale = _total(m, *slopes)
    hess, hess_scale = _total(m, *curvatures)
    slope_scale = m.maximum(slope_scale, q[0] ** gamma * ce_scale)
    return Reference(
        balance * value,
        {"input": balance * slope},
        balance * hess,
        None,
        {"input": balance * slope_scale},
        balance * hess_scale,
    )


@reference
def quality_focal_loss(m, input, target, *, beta=2.0):
    ce, d, both, d_scale = _soft_cross_entropy(m, input, target)
    tilt = m.sigmoid(-input) - m.sigmoid(input)
    sign = m.sign(d)
    value, slopes, curvatures = _faded(m, beta, (abs(d), sign * both, sign * both * tilt), (ce, d, both))
    if beta == 2:  # |d| ** 2 is smooth at d = 0, where the sign is not
        curvatures = (*curvatures[:3], 2 * both**2 * ce)
    slope, _ = _total(m, *slopes)
    hess, hess_scale = _total(m, *curvatures)
    # d is itself a difference, so its rounding counts in units of its terms.
    distance = abs(d)
    by_d = beta * _power_or_zero(m, distance, beta - 1)
    by_d2 = beta * (beta - 1) * _power_or_zero(m, distance, beta - 2)
    by_d3 = abs(beta * (beta - 1) * (beta - 2)) * _power_or_zero(m, distance, beta - 3)
    slope_scale = m.maximum((beta + 1) * distance**beta * d_scale, m.maximum(by_d, by_d2 * d_scale) * both * ce)
    hess_scale = m.maximum(hess_scale, (3 * by_d + by_d2 * ce) * both * d_scale + by_d3 * d_scale * both**2 * ce)
    return Reference(
        value, {"input": slope}, hess, m.maximum(value, by_d * d_scale * ce), {"input": slope_scale}, hess_scale
    )


@reference
def varifocal_loss(m, input, target, *, alpha=0.75, gamma=2.0):
    ce, d, both, d_scale = _soft_cross_entropy(m, input, target)
    p, rest = m.sigmoid(input), m.sigmoid(-input)
    value, slopes, curvatures = _faded(m, gamma, (p, both, both * (rest - p)), (m.softplus(input), p, both))
    slope, slope_scale = _total(m, *slopes)
    hess, hess_scale = _total(m, *curvatures)
    positive = target > 0
    return Reference(
        m.where(positive, target * ce, alpha * value),
        {"input": m.where(positive, target * d, alpha * slope)},
        m.where(positive, target * both, alpha * hess),
        None,
        {"input": m.where(positive, target * d_scale, alpha * slope_scale)},
        m.where(positive, target * both, alpha * hess_scale),
    )


@reference
def reduced_focal_loss(m, input, target, *, threshold=0.5, gamma=2.0):
    ce, ce1, ce2, ce_scale = _soft_cross_entropy(m, input, target)
    pt = m.exp(-ce)
    q = tuple(part / threshold for part in (-m.expm1(-ce), pt * ce1, pt * (ce2 - ce1**2)))
    value, slopes, curvatures = _faded(m, gamma, q, (ce, ce1, ce2))
    slope, slope_scale = _total(m, *slopes)
    hess, hess_scale = _total(m, *curvatures)
    hard = pt < threshold
    return Reference(
        m.where(hard, ce, value),
        {"input": m.where(hard, ce1, slope)},
        m.where(hard, ce2, hess),
        None,
        {"input": m.where(hard, ce_scale, m.maximum(slope_scale, q[0] ** gamma * ce_scale))},
        m.where(hard, ce2, hess_scale),
    )


@reference
def poly1_bce_loss(m, input, target, *, epsilon=1.0, gamma=0.0):
    ce, ce1, ce2, ce_scale = _soft_cross_entropy(m, input, target)
    q = _one_minus_pt(m, input, target)
    inner, inner_scale = _total(m, ce, epsilon * q[0])
    factor = q[0] ** gamma
    value, slopes, curvatures = _faded(m, gamma, q, (inner, ce1 + epsilon * q[1], ce2 + epsilon * q[2]))
    slope, _ = _total(m, *slopes)
    hess, _ = _total(m, *curvatures)
    by_q = gamma * _power_or_zero(m, q[0], gamma - 1) * abs(q[1])
    by_q2 = gamma * abs(gamma - 1) * _power_or_zero(m, q[0], gamma - 2) * q[1] ** 2
    inner1 = m.maximum(ce_scale, abs(epsilon * q[1]))
    inner2 = m.maximum(ce2, abs(epsilon) * ce2)
    hess_scale = factor * inner2 + 2 * by_q * inner1 + by_q2 * inner_scale
    if gamma > 0:
        hess_scale = hess_scale + gamma * _power_or_zero(m, q[0], gamma - 1) * ce2 * inner_scale
    return Reference(
        value,
        {"input": slope},
        hess,
        factor * inner_scale,
        {"input": m.maximum(factor * inner1, by_q * inner_scale)},
        hess_scale,
    )


@reference
def asymmetric_loss(m, input, target, *, gamma_pos=1.0, gamma_neg=4.0, clip=0.05, detach=False):
    p, rest = m.sigmoid(input), m.sigmoid(-input)
    shifted, clip_scale = _total(m, p, -m.like(p, clip))
    active = shifted > 0
    shifted = m.where(active, shifted, 0)
    kept = m.where(active, rest + clip, 1)  # 1 - shifted
    kept1 = m.where(active, -p * rest, 0)
    gamma = target * gamma_pos + (1 - target) * gamma_neg
    miss = target * rest + (1 - target) * shifted
    miss1 = -target * p * rest - (1 - target) * kept1
    nll = target * m.softplus(-input) - (1 - target) * m.log(kept)
    nll1 = -target * rest - (1 - target) * kept1 / kept
    weight = m.where(miss == 0, m.where(gamma == 0, 1, 0), m.where(miss == 0, 1, miss) ** gamma)
    by_miss = gamma * m.where(miss == 0, 0, m.where(miss == 0, 1, miss) ** (gamma - 1))
    slope, slope_scale = _total(m, weight * nll1, 0 * nll if detach else by_miss * miss1 * nll)
    # Just above the clip the weight, and log(1 - shifted) with it, inherit the rounding of p - clip.
    relative = m.where(active & (target < 1), (gamma + 1) * clip_scale / m.where(active, shifted, 1), 1)
    return Reference(weight * nll, {"input": slope}, None, weight * nll * relative, {"input": slope_scale * relative})


# Binary classification: labels -1 and +1


def _margin_loss(input, target, value, slope, curvature=None, value_scale=None, slope_scale=None) -> Reference:
    """A loss of `target * input` alone."""
    scales = {}
    if slope_scale is not None:
        scales = {"input": abs(target) * slope_scale, "target": abs(input) * slope_scale}
    hess = None if curvature is None else target**2 * curvature
    return Reference(value, {"input": target * slope, "target": input * slope}, hess, value_scale, scales)


@reference
def soft_margin_loss(m, input, target):
    z = target * input
    return _margin_loss(input, target, m.softplus(-z), -m.sigmoid(-z), m.sigmoid(z) * m.sigmoid(-z))


@reference
def hinge_loss(m, input, target, *, margin=1.0):
    z = target * input
    gap, scale = _total(m, m.like(z, margin), -z)
    return _margin_loss(
        input, target, m.maximum(gap, 0), m.where(gap > 0, -1, m.like(z, 0)), m.like(z, 0), m.where(gap > 0, scale, 0)
    )


@reference
def squared_hinge_loss(m, input, target, *, margin=1.0):
    z = target * input
    gap, scale = _total(m, m.like(z, margin), -z)
    active, gap = gap > 0, m.maximum(gap, 0)
    return _margin_loss(
        input,
        target,
        gap**2,
        -2 * gap,
        m.where(active, 2, m.like(z, 0)),
        m.maximum(gap**2, 2 * gap * scale),
        m.where(active, 2 * scale, 0),
    )


@reference
def modified_huber_loss(m, input, target):
    z = target * input
    gap, scale = _total(m, m.like(z, 1), -z)
    gap = m.maximum(gap, 0)
    far, active = z < -1, gap > 0
    return _margin_loss(
        input,
        target,
        m.where(far, -4 * z, gap**2),
        m.where(far, -4, -2 * gap),
        m.where(far, 0, m.where(active, 2, m.like(z, 0))),
        m.where(far, 4 * abs(z), m.maximum(gap**2, 2 * gap * scale)),
        m.where(far, 4, m.where(active, 2 * scale, 0)),
    )


@reference
def smooth_hinge_loss(m, input, target):
    z = target * input
    gap, scale = _total(m, m.like(z, 1), -z)
    gap = m.maximum(gap, 0)
    linear, active = z <= 0, gap > 0
    return _margin_loss(
        input,
        target,
        m.where(linear, 0.5 - z, gap**2 / 2),
        m.where(linear, -1, -gap),
        m.where((z >= 0) & active, 1, m.like(z, 0)),
        m.where(linear, 0.5 - z, m.maximum(gap**2 / 2, gap * scale)),
        m.where(linear, 1, m.where(active, scale, 0)),
    )


@reference
def perceptron_loss(m, input, target):
    z = target * input
    return _margin_loss(input, target, m.maximum(-z, 0), m.where(z < 0, -1, m.like(z, 0)), m.like(z, 0))


@reference
def exponential_loss(m, input, target, *, labels="signed"):
    w, rest = ((1 + target) / 2, (1 - target) / 2) if labels == "signed" else (target, 1 - target)
    up, down = rest * m.exp(input), w * m.exp(-input)
    slope, slope_scale = _total(m, up, -down)
    return Reference(up + down, {"input": slope}, up + down, None, {"input": slope_scale})


@reference
def savage_loss(m, input, target):
    z = target * input
    u, v = m.sigmoid(-z), m.sigmoid(z)
    return _margin_loss(input, target, u**2, -2 * u**2 * v, 2 * u**2 * v * (2 * v - u))


@reference
def tangent_loss(m, input, target):
    z = target * input
    d, scale = _total(m, 2 * m.atan(z), m.like(z, -1))
    w = 1 + z**2
    return _margin_loss(
        input,
        target,
        d**2,
        4 * d / w,
        8 / w**2 - 8 * z * d / w**2,
        m.maximum(d**2, 2 * abs(d) * scale),
        4 * scale / w,
    )


@reference
def binary_sparsemax_loss(m, input, target):
    z = -target * input
    inside = abs(z) < 1
    gap, scale = _total(m, z, m.like(z, 1))
    ramp = m.where(inside, gap, 0)
    return _margin_loss(
        input,
        target,
        m.where(inside, ramp**2 / 4, m.maximum(z, 0)),
        -m.where(inside, ramp / 2, m.where(z >= 1, 1, m.like(z, 0))),
        m.where(inside | (z == 1), 0.5, m.like(z, 0)),
        m.where(inside, m.maximum(ramp**2 / 4, ramp * scale / 2), m.maximum(z, 0)),
        m.where(inside, scale / 2, 1),
    )


# Ranking


@reference
def hinge_embedding_loss(m, input, target, *, margin=1.0):
    similar, dissimilar = target != -1, target != 1
    gap, scale = _total(m, m.like(input, margin), -input)
    active = dissimilar & (gap > 0)
    value, value_scale = _total(m, m.where(similar, input, 0), m.where(active, gap, 0))
    return Reference(
        value,
        {"input": m.where(similar, 1, m.like(input, 0)) - m.where(active, 1, m.like(input, 0))},
        m.like(input, 0),
        m.maximum(value_scale, m.where(active, scale, 0)),
    )


@reference
def margin_ranking_loss(m, input1, input2, target, *, margin=0.0):
    gap, scale = _total(m, m.like(input1, margin), -target * (input1 - input2))
    slope = m.where(gap > 0, 1, m.like(input1, 0))
    return Reference(
        m.maximum(gap, 0),
        {"input1": -target * slope, "input2": target * slope, "target": -(input1 - input2) * slope},
        None,
        m.where(gap > 0, scale, 0),
    )


@reference
def triplet_margin_with_distance_loss(
    m, positive_distance, negative_distance, swap_distance=None, *, margin=1.0, soft_margin=False
):
    own = m.like(positive_distance, 1)
    swapped = own < 0 if swap_distance is None else swap_distance < negative_distance
    nearer = negative_distance if swap_distance is None else m.where(swapped, swap_distance, negative_distance)
    gap, scale = _total(m, own * (0 if soft_margin else margin), positive_distance, -nearer)
    slope = m.sigmoid(gap) if soft_margin else m.where(gap > 0, 1, own * 0)
    grads = {"positive_distance": slope, "negative_distance": m.where(swapped, own * 0, -slope)}
    if swap_distance is not None:
        grads["swap_distance"] = m.where(swapped, -slope, own * 0)
    value = m.softplus(gap) if soft_margin else m.maximum(gap, 0)
    return Reference(value, grads, None, m.where(gap > 0, scale, value))


@reference
def bpr_loss(m, positive, negative):
    z = positive - negative
    slope = -m.sigmoid(-z)
    return Reference(m.softplus(-z), {"positive": slope, "negative": -slope}, m.sigmoid(z) * m.sigmoid(-z))


@reference
def aucm_loss(m, input, target, a, b, alpha, *, pos_rate=0.5, margin=1.0):
    p, rest = pos_rate, 1 - pos_rate
    pull = (p * rest * margin, p * input * (1 - target), -rest * input * target)
    value, value_scale = _total(
        m,
        rest * (input - a) ** 2 * target,
        p * (input - b) ** 2 * (1 - target),
        *(2 * alpha * term for term in pull),
        -p * rest * alpha**2,
    )
    by_a, by_b = -2 * rest * (input - a) * target, -2 * p * (input - b) * (1 - target)
    slope, slope_scale = _total(m, -by_a, -by_b, 2 * alpha * p * (1 - target), -2 * alpha * rest * target)
    by_alpha, alpha_scale = _total(m, *(2 * term for term in pull), -2 * p * rest * alpha)
    return Reference(
        value,
        {"input": slope, "a": by_a, "b": by_b, "alpha": by_alpha},
        2 * rest * target + 2 * p * (1 - target),
        value_scale,
        {"input": slope_scale, "alpha": alpha_scale},
    )


# Preference and policy losses over log-probabilities


def _preference_terms(m, loss_type, u, c, r, beta, smoothing, mean, tau):
    """Terms of the loss and of its derivatives by u, c and r (the margin, the chosen and the rejected reward)."""
    s, softplus = m.sigmoid, m.softplus
    if loss_type == "sigmoid":
        keep = 1 - smoothing
        return (keep * softplus(-u), smoothing * softplus(u)), (-keep * s(-u), smoothing * s(u)), (), ()
    if loss_type == "robust":
        keep, norm = 1 - smoothing, 1 - 2 * smoothing
        values = (keep * softplus(-u) / norm, -smoothing * softplus(u) / norm)
        return values, (-keep * s(-u) / norm, -smoothing * s(u) / norm), (), ()
    if loss_type == "hinge":
        active = u < 1
        return (m.where(active, 1, 0 * u), m.where(active, -u, 0 * u)), (m.where(active, -1, m.like(u, 0)),), (), ()
    if loss_type == "ipo":
        gap = (u / beta, m.like(u, -1 / (2 * beta)))
        total = gap[0] + gap[1]
        return (total * gap[0], total * gap[1]), tuple(2 * part / beta for part in gap), (), ()
    if loss_type == "exo_pair":
        q, rest = s(u), s(-u)
        log_keep, log_flip = m.log(1 - smoothing), m.log(smoothing)
        log_odds = log_keep - log_flip
        values = (-q * softplus(-u), -q * log_keep, -rest * softplus(u), -rest * log_flip)
        return values, (q * rest * u, -q * rest * log_odds), (), ()
    if loss_type == "nca_pair":
        return (softplus(-c), softplus(c) / 2, softplus(r) / 2), (), (-s(-c), s(c) / 2), (s(r) / 2,)
    if loss_type == "bco_pair":
        c, r = c - mean, r - mean
        return (softplus(-c), softplus(r)), (), (-s(-c),), (s(r),)
    if loss_type == "sppo_hard":
        half = m.like(u, 0.5 / beta)
        values = ((c / beta - half) ** 2, (r / beta + half) ** 2)
        return values, (), (2 * c / beta**2, -2 * half / beta), (2 * r / beta**2, 2 * half / beta)
    if loss_type == "apo_zero":
        return (s(-c), s(r)), (), (-s(c) * s(-c),), (s(r) * s(-r),)
    if loss_type == "apo_down":
        return (s(c), s(-u)), (-s(u) * s(-u),), (s(c) * s(-c),), ()
    k, other = s(u / tau), s(-u / tau)
    decay = m.exp(-u)
    slopes = (-s(-u) * other, -decay * k, k * other / tau * decay, -k * other / tau * softplus(-u))
    return (softplus(-u) * other, decay * k), slopes, (), ()


@reference
def dpo_loss(
    m,
    policy_chosen,
    policy_rejected,
    reference_chosen,
    reference_rejected,
    *,
    beta=0.1,
    loss_type="sigmoid",
    label_smoothing=0.0,
    reward_mean=0.0,
    tau=0.05,
):
    c, r = beta * (policy_chosen - reference_chosen), beta * (policy_rejected - reference_rejected)
    u, spread = _total(m, c, -r, m.like(c, reward_mean))
    u = u - reward_mean
    zero = 0 * u
    values, *slopes = _preference_terms(m, loss_type, u, c, r, beta, label_smoothing, reward_mean, tau)
    value, value_scale = _total(m, zero, *values)
    (by_u, scale_u), (by_c, scale_c), (by_r, scale_r) = (_total(m, zero, *terms) for terms in slopes)
    # The rewards are differences: an error in them moves the loss by its slope and the slope by at most itself.
    value_scale = m.maximum(value_scale, (abs(by_u) + abs(by_c) + abs(by_r)) * spread)
    steps = m.maximum(spread / tau if loss_type == "discopop" else spread, 1)
    chosen, rejected = beta * (by_u + by_c), beta * (by_r - by_u)
    chosen_scale = beta * steps * m.maximum(scale_u, scale_c)
    rejected_scale = beta * steps * m.maximum(scale_u, scale_r)
    return Reference(
        value,
        {
            "policy_chosen": chosen,
            "policy_rejected": rejected,
            "reference_chosen": -chosen,
            "reference_rejected": -rejected,
        },
        None,
        value_scale,
        {
            "policy_chosen": chosen_scale,
            "policy_rejected": rejected_scale,
            "reference_chosen": chosen_scale,
            "reference_rejected": rejected_scale,
        },
    )


def _without_reference(m, policy_chosen, policy_rejected, alpha, beta, gamma, smoothing):
    u, spread = _total(m, beta * (policy_chosen - policy_rejected), -m.like(policy_chosen, gamma))
    keep = 1 - smoothing
    value, value_scale = _total(m, keep * m.softplus(-u), smoothing * m.softplus(u), -alpha * policy_chosen)
    by_u, scale = _total(m, smoothing * m.sigmoid(u), -keep * m.sigmoid(-u))
    by_chosen, chosen_scale = _total(m, beta * by_u, -alpha)
    if gamma != 0:
        value_scale = m.maximum(value_scale, abs(by_u) * spread)
        scale = scale * m.maximum(spread, 1)
    return Reference(
        value,
        {"policy_chosen": by_chosen, "policy_rejected": -beta * by_u, "alpha": -policy_chosen},
        None,
        value_scale,
        {"policy_chosen": m.maximum(chosen_scale, beta * scale), "policy_rejected": beta * scale},
    )


@reference
def cpo_loss(m, policy_chosen, policy_rejected, *, beta=0.1, alpha=1.0, label_smoothing=0.0):
    return _without_reference(m, policy_chosen, policy_rejected, alpha, beta, 0, label_smoothing)


@reference
def simpo_loss(m, policy_chosen, policy_rejected, *, beta=2.0, gamma=0.5, label_smoothing=0.0):
    nothing = m.like(policy_chosen, 0)
    return _without_reference(m, policy_chosen, policy_rejected, nothing, beta, gamma, label_smoothing)


@reference
def orpo_loss(m, policy_chosen, policy_rejected, *, beta=0.1, alpha=1.0):
    chosen, rejected = m.exp(policy_chosen), m.exp(policy_rejected)
    miss_chosen, miss_rejected = -m.expm1(policy_chosen), -m.expm1(policy_rejected)
    # The odds ratio multiplied out, which keeps its slope finite at probability 1.
    ratio = rejected * miss_chosen / (chosen * miss_rejected)
    divisor = chosen * miss_rejected + rejected * miss_chosen
    return Reference(
        beta * m.log1p(ratio) - alpha * policy_chosen,
        {
            "policy_chosen": -beta * rejected / divisor - alpha,
            "policy_rejected": beta * rejected * miss_chosen / (divisor * miss_rejected),
            "alpha": -policy_chosen,
        },
    )


@reference
def kto_loss(m, policy, reference, desirable, kl, *, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    reward, spread = _total(m, beta * (policy - reference), -beta * kl)
    good, bad = desirable_weight * desirable, undesirable_weight * (1 - desirable)
    bell = m.sigmoid(reward) * m.sigmoid(-reward)
    value = good * m.sigmoid(-reward) + bad * m.sigmoid(reward)
    slope = beta * bell * (bad - good)
    slope_scale = abs(slope) * m.maximum(spread, 1)
    return Reference(
        value,
        {"policy": slope, "reference": -slope},
        None,
        m.maximum(value, abs(bad - good) * bell * spread),
        {"policy": slope_scale, "reference": slope_scale},
    )


def _clipped_policy(m, log_prob, old_log_prob, advantage, clip_low, clip_high):
    ratio = m.exp(log_prob - old_log_prob)
    clipped = m.minimum(m.maximum(ratio, 1 - clip_low), 1 + clip_high)
    active = ratio * advantage <= clipped * advantage
    slope = m.where(active, -ratio * advantage, 0)
    chosen = m.where(active, ratio, clipped)
    return -chosen * advantage, {"log_prob": slope, "old_log_prob": -slope, "advantage": -chosen}


@reference
def ppo_clip_loss(m, log_prob, old_log_prob, advantage, *, clip_low=0.2, clip_high=0.2):
    return Reference(*_clipped_policy(m, log_prob, old_log_prob, advantage, clip_low, clip_high))


@reference
def grpo_loss(
    m,
    log_prob,
    old_log_prob,
    advantage,
    reference_log_prob,
    *,
    beta=0.04,
    variant="clip",
    clip_low=0.2,
    clip_high=None,
    tau_pos=1.0,
    tau_neg=1.05,
):
    d = reference_log_prob - log_prob
    if clip_high is None:
        clip_high = 5 if variant == "cispo" else 0.2
    if variant == "clip":
        value, grads = _clipped_policy(m, log_prob, old_log_prob, advantage, clip_low, clip_high)
    elif variant == "cispo":
        weight = m.minimum(m.exp(log_prob - old_log_prob), clip_high)
        value = -weight * advantage * log_prob
        grads = {"log_prob": -weight * advantage, "advantage": -weight * log_prob}
    else:
        tau = m.where(advantage > 0, tau_pos, m.like(advantage, tau_neg))
        ratio = m.exp(log_prob - old_log_prob)
        z = tau * (ratio - 1)
        value = -4 / tau * advantage * m.sigmoid(z)
        slope = -4 * advantage * ratio * m.sigmoid(z) * m.sigmoid(-z)
        grads = {"log_prob": slope, "old_log_prob": -slope, "advantage": -4 / tau * m.sigmoid(z)}
    total, total_scale = _total(m, value, beta * (m.expm1(d) - d))
    slope, slope_scale = _total(m, grads["log_prob"], -beta * m.expm1(d))
    return Reference(
        total,
        {**grads, "log_prob": slope, "reference_log_prob": beta * m.expm1(d)},
        None,
        total_scale,
        {"log_prob": slope_scale},
    )


# Ordered classes


@reference
def logistic_interval_loss(m, input, lower, upper):
    a, b, width = lower - input, upper - input, upper - lower
    # sigmoid(b) - sigmoid(a), without the difference.
    p = m.sigmoid(b) * m.sigmoid(-a) * -m.expm1(-width)
    slope_a, slope_b = m.sigmoid(a) + 1 / m.expm1(width), -m.sigmoid(-b) - 1 / m.expm1(width)
    value = m.softplus(-b) + m.softplus(a) - m.log(-m.expm1(-width)) if m is MP else -m.log(p)
    return Reference(
        value,
        {"input": m.sigmoid(-b) - m.sigmoid(a), "lower": slope_a, "upper": slope_b},
        m.sigmoid(a) * m.sigmoid(-a) + m.sigmoid(b) * m.sigmoid(-b),
        None,
        {"input": m.sigmoid(-b) + m.sigmoid(a)},
    )
