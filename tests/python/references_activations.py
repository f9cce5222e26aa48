"""Independent references of the activations, written straight from their published formulas.

As in `references`, each function takes a maths namespace first: `MP` for 400 digits, `NP` for float64 arrays. It gives
the value, the derivative and, where terms of opposite sign add up to the derivative, the magnitude of the largest.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from references import MP, Exact, ulp_error

_FAR = 10**120  # stands for infinity where arithmetic with that is undefined


class Curve(NamedTuple):
    """An activation at one point, or at every element of an array."""

    value: Any
    slope: Any
    scale: Any = None


REFERENCES: dict[str, Callable[..., Curve]] = {}


def reference(function: Callable[..., Curve]) -> Callable[..., Curve]:
    """Register a reference under its own name; with `MP` its parameters are lifted too."""
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    @functools.wraps(function)
    def lifting(m: Any, x: Any, **params: Any) -> Curve:
        params = {**defaults, **params}
        if m is MP:
            return function(m, x, **{k: Exact(v) if type(v) is float else v for k, v in params.items()})
        with np.errstate(all="ignore"):
            return function(m, x, **params)

    REFERENCES[function.__name__] = lifting
    return lifting


def exact(name: str, x: float, **params: Any) -> Curve:
    """The exact result at one number; at an infinity its limit, and NaN at NaN."""
    if math.isnan(x):
        return Curve(*(Exact(math.nan).v,) * 2)
    at = Exact(math.copysign(1, x)) * _FAR if math.isinf(x) else Exact(float(x))
    parts = [None if part is None else Exact(part).v for part in REFERENCES[name](MP, at, **params)]
    if math.isinf(x):
        parts = [part if part is None else _limit(part) for part in parts]
    return Curve(*parts)


def _limit(number: Any) -> Any:
    if abs(number) > _FAR**0.5:
        return Exact(math.copysign(math.inf, number)).v
    return number if abs(number) > _FAR**-0.5 else number * 0


def errors(name: str, x: float, value: Any, slope: Any, dtype: Any, **params: Any) -> tuple[float, float]:
    """Units in the last place by which a computed value and slope are off."""
    true = exact(name, float(x), **params)
    return ulp_error(float(value), true.value, dtype), ulp_error(float(slope), true.slope, dtype, true.scale)


@reference
def sigmoid(m, x):
    return Curve(m.sigmoid(x), m.sigmoid(x) * m.sigmoid(-x))


@reference
def half_logit(m, x):
    return Curve(m.sigmoid(2 * x), 2 * m.sigmoid(2 * x) * m.sigmoid(-2 * x))


@reference
def log_sigmoid(m, x):
    return Curve(-m.softplus(-x), m.sigmoid(-x))


@reference
def softplus(m, x, beta=1.0, threshold=math.inf):
    z = beta * x
    return Curve(m.where(z > threshold, x, m.softplus(z) / beta), m.where(z > threshold, m.like(x, 1), m.sigmoid(z)))


@reference
def tanh(m, x):
    return Curve(m.tanh(x), 4 * m.sigmoid(2 * x) * m.sigmoid(-2 * x))


@reference
def exp(m, x):
    return Curve(m.exp(x), m.exp(x))


@reference
def softsign(m, x):
    return Curve(x / (1 + abs(x)), 1 / (1 + abs(x)) ** 2)


@reference
def relu(m, x):
    return leaky_relu(m, x, negative_slope=0.0)


@reference
def leaky_relu(m, x, negative_slope=0.01):
    return Curve(m.where(x > 0, x, negative_slope * x), m.where(x > 0, m.like(x, 1), m.like(x, negative_slope)))


@reference
def hardtanh(m, x, min_val=-1.0, max_val=1.0):
    inside = m.where(x > min_val, m.where(x < max_val, m.like(x, 1), m.like(x, 0)), m.like(x, 0))
    return Curve(m.minimum(m.maximum(x, min_val), max_val), inside)


@reference
def hardsigmoid(m, x):
    z = (x + 3) / 6
    inside = m.where(z > 0, m.where(z < 1, m.like(x, 1), m.like(x, 0)), m.like(x, 0))
    return Curve(m.minimum(m.maximum(z, m.like(x, 0)), 1), inside / 6)


@reference
def softshrink(m, x, lambd=0.5):
    zero, one = m.like(x, 0), m.like(x, 1)
    value = m.where(x > lambd, x - lambd, m.where(x < -lambd, x + lambd, zero))
    return Curve(value, m.where(abs(x) > lambd, one, zero))


@reference
def elu(m, x, alpha=1.0, scale=1.0):
    low = m.minimum(x, m.like(x, 0))
    return Curve(
        m.where(x > 0, scale * x, scale * alpha * m.expm1(low)),
        m.where(x > 0, m.like(x, 1) * scale, scale * alpha * m.exp(low)),
    )


@reference
def selu(m, x):
    return elu(m, x, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946)


@reference
def silu(m, x):
    s, rest = m.sigmoid(x), m.sigmoid(-x)
    return Curve(x * s, s + x * s * rest, m.maximum(s, abs(x * s * rest)))


@reference
def gelu(m, x, approximate="none"):
    if approximate == "none":
        density = m.exp(-x * x / 2) / m.sqrt(2 * m.pi)
        return Curve(x * m.ndtr(x), m.ndtr(x) + x * density, m.maximum(m.ndtr(x), abs(x * density)))
    k, c = m.sqrt(2 / m.pi * m.like(x, 1)), m.like(x, 44715) / 1000000
    y, slope = 2 * k * (x + c * x * x * x), 2 * k * (1 + 3 * c * x * x)
    s = m.sigmoid(y)
    second = x * slope * s * m.sigmoid(-y)
    return Curve(x * s, s + second, m.maximum(s, abs(second)))


@reference
def mish(m, x):
    t, s = m.tanh(m.softplus(x)), m.sigmoid(x)
    second = x * s / m.pow(_cosh(m, m.softplus(x)), m.like(x, 2))
    return Curve(x * t, t + second, m.maximum(abs(t), abs(second)))


def _cosh(m, x):
    return (m.exp(x) + m.exp(-x)) / 2


class Rows(NamedTuple):
    """An activation of rows ``[N, C]``, its vector-Jacobian product, and the sizes of what is added up in each."""

    value: Any
    vjp: Any
    value_scale: Any = None
    vjp_scale: Any = None


ROW_REFERENCES: dict[str, Callable[..., Rows]] = {}


def row_reference(function: Callable[..., Rows]) -> Callable[..., Rows]:
    """Register a reference of a namespace of `references_rows`, class scores and a cotangent, under its own name."""

    @functools.wraps(function)
    def lifting(m: Any, z: Any, g: Any, **params: Any) -> Rows:
        return function(
            m, m.array(z), m.array(g), **{k: x if isinstance(x, int) else m.array(x) for k, x in params.items()}
        )

    ROW_REFERENCES[function.__name__] = lifting
    return lifting


def _sum(x):
    return x.sum(-1, keepdims=True)


def _normalised(m, z, temperature=1):
    e = m.exp((z - z.max(-1, keepdims=True)) / temperature)
    return e / _sum(e)


@row_reference
def softmax(m, z, g, temperature=1):
    p = _normalised(m, z, temperature)
    scale = abs(1 / temperature)
    return Rows(p, p * (g - _sum(p * g)) / temperature, None, p * (abs(g) + _sum(p * abs(g))) * scale)


@row_reference
def softmin(m, z, g, temperature=1):
    return softmax.__wrapped__(m, z, g, -temperature)


def gumbel_noise(classes: int) -> np.ndarray:
    """The same few numbers whenever there are so many classes, exact in every dtype."""
    return np.round(8 * np.random.default_rng(classes).gumbel(size=classes)) / 8


def _with_noise(m: Any, z: Any, g: Any, **params: Any) -> Rows:
    """Of the sum rounded to double precision, which is exact for narrower dtypes."""
    return ROW_REFERENCES["softmax"](m, z + gumbel_noise(z.shape[-1]), g, **params)


ROW_REFERENCES["gumbel_softmax"] = _with_noise


@row_reference
def taylor_softmax(m, z, g, order=2):
    def series(n):
        powers = [z**0]
        for k in range(1, n + 1):
            powers.append(powers[-1] * z / k)
        return sum(powers), sum(abs(power) for power in powers)

    (t, t_size), (slope, slope_size) = series(order), series(order - 1)
    p, p_size = t / _sum(t), t_size / _sum(t) + t * _sum(t_size) / _sum(t) ** 2
    vjp = slope / _sum(t) * (g - _sum(p * g))
    return Rows(p, vjp, p_size, slope_size / _sum(t) * (abs(g) + _sum(p_size * abs(g))))


@row_reference
def log_softmax(m, z, g, temperature=1):
    y = z / temperature
    top = y.max(-1, keepdims=True)
    value, p = (y - top) - m.log(_sum(m.exp(y - top))), _normalised(m, z, temperature)
    return Rows(value, (g - p * _sum(g)) / temperature, None, (abs(g) + p * _sum(abs(g))) / temperature)


@row_reference
def logsumexp(m, z, g):
    top = z.max(-1, keepdims=True)
    rest = m.log(_sum(m.exp(z - top)))
    return Rows((top + rest)[..., 0], g[..., None] * _normalised(m, z), (abs(top) + rest)[..., 0])


def _thresholds(z, threshold):
    """Of each row: the threshold of the most leading scores that lie above it, and the size of what it is made of."""
    chosen = []
    for row in z:
        ordered = sorted(row, reverse=True)
        candidates = [(*threshold(ordered[:k]), ordered[k - 1]) for k in range(1, len(ordered) + 1)]
        chosen.append([(tau, size) for tau, size, least in candidates if least > tau][-1])
    tau, size = (np.array(column)[:, None] for column in zip(*chosen, strict=True))
    return tau, size


def _projection(m, z, g, threshold, weigh):
    """What lies above the threshold, and the product of g with ``diag(w) - w w' / sum(w)``; with sizes of both."""
    tau, size = _thresholds(z, threshold)
    zero = 0 * z
    inside = z > tau
    above = np.where(inside, z - tau, zero)
    size = np.where(inside, abs(z) + size, zero)  # an error of `above` is relative to this
    w, w_size = weigh(above, size, inside)
    vjp = w * (g - _sum(w * g) / _sum(w))
    return above, size, vjp, w_size * (abs(g) + _sum(w_size * abs(g)) / _sum(w))


def _mean(numbers):
    return sum(numbers) / len(numbers)


@row_reference
def sparsemax(m, z, g):
    def threshold(above):
        return (sum(above) - 1) / len(above), _mean([abs(x) for x in above]) + 1 / m.array(float(len(above)))

    def weigh(above, size, inside):
        ones = np.where(inside, 0 * above + 1, 0 * above)
        return ones, ones

    p, size, vjp, vjp_size = _projection(m, z, g, threshold, weigh)
    return Rows(p, vjp, size, vjp_size)


@row_reference
def entmax15(m, z, g):
    def threshold(above):
        mean = _mean(above)
        rest = (1 - sum((x - mean) * (x - mean) for x in above)) / len(above)
        root = m.sqrt(rest if rest > 0 else 0 * rest)
        return mean - root, _mean([abs(x) for x in above]) + root

    root, size, vjp, vjp_size = _projection(m, z / 2, g, threshold, lambda above, size, inside: (above, above + size))
    return Rows(root * root, vjp, root * size, vjp_size)


@row_reference
def l2_normalize(m, z, g, eps=1e-12):
    length = m.sqrt(_sum(z * z))
    norm = np.where(length > eps, length, 0 * length + eps)
    u = z / norm
    vjp = np.where(length < eps, 0 * z, (g - u * _sum(u * g)) / norm)
    return Rows(u, vjp, None, (abs(g) + abs(u) * _sum(abs(u * g))) / norm)
