"""Independent references: every loss over rows of class scores, written straight from its published formula.

As in `references`, each function takes a maths namespace first and is written once for both: `EXACT` computes on object
arrays of mpmath numbers with 400 digits, `PLAIN` on float64 arrays, for moderate inputs. Arrays have the class axis
last, ``[N, C]``; labels are ``[N]``. Values and their scales are ``[N]``, gradients ``[N, C]``, before any reduction.

Where terms of opposite sign are added, the scales give the sum of their magnitudes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from references import MP, Exact, Reference
from scipy import special

Array = np.ndarray

_context = Exact(0).v.context

ROW_REFERENCES: dict[str, Callable[..., Reference]] = {}


def _elementwise(name: str) -> Callable[..., Array]:
    function = getattr(MP, name)
    count = len(inspect.signature(function).parameters)
    return staticmethod(np.frompyfunc(function, count, 1))


def _trigamma(x: Any) -> Exact:
    with _context.workdps(60):
        return Exact(_context.psi(1, Exact(x).v))


class EXACT:
    """Arrays of numbers with 400 digits."""

    exp, log, log1p, expm1 = map(_elementwise, ("exp", "log", "log1p", "expm1"))
    sqrt, tanh, softplus, sigmoid = map(_elementwise, ("sqrt", "tanh", "softplus", "sigmoid"))
    lgamma, digamma, sign = map(_elementwise, ("lgamma", "digamma", "sign"))
    trigamma = staticmethod(np.frompyfunc(_trigamma, 1, 1))
    power = staticmethod(np.frompyfunc(MP.pow, 2, 1))
    array = staticmethod(np.frompyfunc(Exact, 1, 1))


class PLAIN:
    """float64 arrays, plain formulas: meant for moderate inputs."""

    exp, log, log1p, expm1 = map(staticmethod, (np.exp, np.log, np.log1p, np.expm1))
    sqrt, tanh, sign, power = map(staticmethod, (np.sqrt, np.tanh, np.sign, np.power))
    lgamma, digamma, sigmoid = map(staticmethod, (special.gammaln, special.digamma, special.expit))

    @staticmethod
    def trigamma(x: Array) -> Array:
        return special.polygamma(1, x)

    @staticmethod
    def softplus(x: Array) -> Array:
        return np.logaddexp(0, x)

    @staticmethod
    def array(x: Any) -> Array:
        return np.asarray(x, np.float64)


def row_reference(function: Callable[..., Reference]) -> Callable[..., Reference]:
    """Register a reference under its own name; it gets arrays of the namespace, labels aside, and exact parameters.

    Rows whose label is `ignore_index` become zero here: no formula knows of them.
    """
    defaults = {p.name: p.default for p in inspect.signature(function).parameters.values() if p.default is not p.empty}

    def lifted(m: Any, value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind not in "iub":
            return m.array(value if value.dtype == object else value.astype(np.float64))
        if isinstance(value, tuple):
            return tuple(lifted(m, part) for part in value)
        return m.array(value) if type(value) is float else value

    @functools.wraps(function)
    def lifting(m: Any, **named: Any) -> Reference:
        mode = "exact" if "hessian" in defaults else named.pop("hessian", "exact")
        ignored = None
        if "ignore_index" in defaults:
            skip = named.pop("ignore_index", -100)
            labels = named["target"]
            if labels.dtype.kind in "iub":
                ignored = labels.astype(np.int64) == skip
                named["target"] = np.where(ignored, 0, labels)
        for name, default in defaults.items():
            if name != "ignore_index":
                named.setdefault(name, default)
        with np.errstate(all="ignore"):
            result = function(m, **{name: lifted(m, value) for name, value in named.items()})
            if mode != "exact":
                result = replace(result, hess=_curvature(m, mode, result, lifted(m, named["input"]), named["target"]))
        return result if ignored is None else _emptied(result, ignored)

    ROW_REFERENCES[function.__name__] = lifting
    return lifting


def _emptied(result: Reference, rows: Array) -> Reference:
    def empty(part: Any) -> Any:
        return None if part is None else np.where(rows.reshape(rows.shape + (1,) * (np.ndim(part) - 1)), 0.0, part)

    grads = {key: empty(grad) for key, grad in result.grads.items()}
    return replace(result, value=empty(result.value), grads=grads, hess=empty(result.hess))


def check_row_derivatives(
    name: str,
    arrays: Mapping[str, Array],
    params: Mapping[str, Any],
    *,
    hessian: bool = True,
    tolerance: float = 1e-15,
) -> None:
    """Hold the explicit gradients and Hessian diagonals of a reference to numerical differentiation."""
    function = functools.partial(ROW_REFERENCES[name], EXACT, **params)
    with _context.workdps(60):
        result = function(**arrays)
        checks = [(key, f"d/d{key}", grad, lambda r: r.value.sum(), result.grad_scales.get(key))
                  for key, grad in result.grads.items()]  # fmt: skip
        if hessian and result.hess is not None:
            checks.append(("input", "hess", result.hess, None, result.hess_scale))
        for key, label, explicit, part, scale in checks:
            for at in np.ndindex(explicit.shape):

                def along(x: Any, key: str = key, at: tuple[int, ...] = at, part: Any = part) -> Any:
                    moved = EXACT.array(arrays[key])
                    moved[at] = x
                    shifted = function(**{**arrays, key: moved})
                    return shifted.grads[key][at] if part is None else part(shifted)

                numerical = _context.diff(lambda x: Exact(along(x)).v, float(arrays[key][at]))
                allowed = tolerance * max(abs(numerical), Exact(0 if scale is None else scale[at]).v)
                if not abs(Exact(explicit[at]).v - numerical) <= max(allowed, 1e-30):
                    raise AssertionError(f"{label} of {name} {params} at {at}: {explicit[at]}, numerical {numerical}")


# ---- what formulas share ---------------------------------------------------------------------------


def _sum(x: Array) -> Array:
    return x.sum(axis=-1)


def _column(x: Array) -> Array:
    return np.asarray(x)[..., None]


def _where(m: Any, condition: Array, a: Any, b: Any = 0.0) -> Array:
    return m.array(np.where(condition, a, b))


def _times(m: Any, weight: Array, x: Array) -> Array:
    """weight * x, 0 where the weight is 0 whatever x is."""
    none = weight == 0
    return _where(m, none, 0.0, weight * _where(m, none, 0.0, x))


def _xlogy(m: Any, x: Array, y: Array) -> Array:
    return _times(m, x, m.log(_where(m, x == 0, 1.0, y)))


def _at(m: Any, label: Array, classes: int) -> Array:
    return np.arange(classes) == _column(label)


def _pick(m: Any, x: Array, label: Array) -> Array:
    return _sum(_where(m, _at(m, label, x.shape[-1]), x))


def _top(x: Array) -> Array:
    """True at the lowest index of the maximum."""
    best = np.zeros(x.shape[:-1], int)
    for j in range(1, x.shape[-1]):
        best = np.where(x[..., j] > np.take_along_axis(x, _column(best), -1)[..., 0], j, best)
    return np.arange(x.shape[-1]) == _column(best)


def _log_softmax(m: Any, z: Array) -> tuple[Array, Array, Array]:
    """Probabilities, their logarithms, and log-sum-exp."""
    top = _column(z.max(axis=-1))
    log_total = m.log(_column(_sum(m.exp(z - top))))
    return m.exp(z - top - log_total), z - top - log_total, (top + log_total)[..., 0]


def _through_softmax(p: Array, a: Array) -> tuple[Array, Array]:
    """The gradient in the scores from that in the probabilities, and its scale."""
    return p * (a - _column(_sum(p * a))), p * (abs(a) + _column(_sum(p * abs(a))))


def _dense(m: Any, target: Array, classes: int) -> Array:
    """Class probabilities, whatever stands for them."""
    if target.dtype.kind in "iub":
        return m.array(_at(m, target, classes).astype(np.float64))
    return target


def _of_dense(target: Array, grad: Array) -> dict[str, Array]:
    """The gradient in the target, which class indices do not have."""
    return {} if target.dtype.kind in "iub" else {"target": grad}


def _of_log_prob(
    m: Any, z: Array, target: Array, value: Any, slope: Any, curvature: Any, factor: Any = 1.0
) -> Reference:
    """A function of the logarithm `u` of the probability of a class, its first and second derivative.

    For target probabilities, the sum over the classes weighted by them.
    """
    p, lp, _ = _log_softmax(m, z)
    if target.dtype.kind not in "iub":
        part, pull = factor * _times(m, target, value(lp)), factor * _times(m, target, slope(lp))
        grad, size = pull - p * _column(_sum(pull)), abs(pull) + p * _column(_sum(abs(pull)))
        each = factor * value(lp)
        grads, sizes = {"input": grad, "target": each}, {"input": size, "target": abs(each)}
        return Reference(_sum(part), grads, None, _sum(abs(part)), sizes)
    u = _pick(m, lp, target)
    factor = factor if np.ndim(factor) == 0 else factor[target]
    onehot = _dense(m, target, z.shape[-1])
    first, second = _column(slope(u) * factor), _column(curvature(u) * factor)
    bend, flat = _times(m, (onehot - p) ** 2, second), -first * p * (1 - p)
    return Reference(value(u) * factor, {"input": first * (onehot - p)}, bend + flat, None, {}, abs(bend) + abs(flat))


def _curvature(m: Any, mode: str, result: Reference, z: Array, label: Array) -> Array:
    """What boosting libraries take for the diagonal of the Hessian."""
    p, _, _ = _log_softmax(m, z)
    flat = p * (1 - p)
    if mode == "gauss_newton":
        # The gradient at the label is phi' * (1 - p).
        rest = _pick(m, 1 - p, label)
        slope = _pick(m, result.grads["input"], label) / _where(m, rest == 0, 1.0, rest)
        return -_column(slope) * flat
    classes = z.shape[-1]
    return {
        "upper": 2 * flat,
        "lightgbm": flat * classes / max(classes - 1, 1),
        "abs_residual": abs(p - _dense(m, label, classes)),
    }[mode]


# ---- cross entropies -------------------------------------------------------------------------------


@row_reference
def cross_entropy(m, input, target, *, weight=None, ignore_index=-100, label_smoothing=0.0, softcap=None, z_loss=0.0):
    classes = input.shape[-1]
    bend = m.array(np.ones(input.shape))
    z, curve = input, m.array(np.zeros(input.shape))
    if softcap is not None:
        t = m.tanh(input / softcap)
        z, bend = softcap * t, 1 - t**2
        curve = -2 * t * bend / softcap
    p, lp, lse = _log_softmax(m, z)
    q = _dense(m, target, classes)
    w = m.array(np.ones(classes)) if weight is None else weight
    smoothed = w * ((1 - label_smoothing) * q + label_smoothing / classes)
    total = _column(_sum(smoothed))
    height = _column(2 * z_loss * lse)
    inner = p * total - smoothed + height * p
    size = p * total + smoothed + abs(height) * p
    exact = target.dtype.kind in "iub" and label_smoothing == 0 and z_loss == 0
    second = p * (1 - p) * (total + height) + 2 * z_loss * p**2
    second_size = p * (1 - p) * (total + abs(height)) + 2 * z_loss * p**2
    return Reference(
        -_sum(_times(m, smoothed, lp)) + z_loss * lse**2,
        {"input": inner * bend} | _of_dense(target, -(1 - label_smoothing) * w * lp),
        second * bend**2 + inner * curve,
        None,
        {} if exact else {"input": size * bend},
        second_size * bend**2 + abs(size * curve),
    )


@row_reference
def nll_loss(m, input, target, *, weight=None, ignore_index=-100):
    classes = input.shape[-1]
    w = m.array(np.ones(classes)) if weight is None else weight
    onehot = _at(m, target, classes)
    return Reference(-_sum(_where(m, onehot, w * input)), {"input": -_where(m, onehot, w + 0 * _finite(m, input))})


def _finite(m, x):
    return _where(m, abs(x) < np.inf, x)


@row_reference
def categorical_cross_entropy(m, input, target, *, renormalize=False, ignore_index=-100):
    q = _dense(m, target, input.shape[-1])
    total = _sum(input) if renormalize else m.array(1.0)
    terms = -_xlogy(m, q, input)
    spread = _sum(q) * m.log(total)
    grad = -_times(m, q, 1 / _where(m, q == 0, 1.0, input))
    pull = _column(_sum(q) / total) if renormalize else m.array(0.0)
    size = _sum(abs(terms)) + abs(spread)
    share = m.log(_column(total)) if renormalize else m.array(0.0)
    grads = {"input": grad + pull} | _of_dense(target, share - m.log(input))
    sizes = {"input": abs(grad) + pull, "target": abs(share) + abs(m.log(input))}
    return Reference(_sum(terms) + spread, grads, None, size, sizes)


@row_reference
def softmax_focal_loss(m, input, target, *, gamma=2.0, alpha=None, ignore_index=-100):
    g = gamma
    factor = m.array(1.0) if alpha is None else alpha

    def rest(u, exponent):
        # Where 1 - p is 0 even to 400 digits, its powers in the derivatives win over this one.
        q = -m.expm1(u)
        return m.power(_where(m, (q == 0) & (exponent < 0), 1.0, q), exponent)

    def value(u):
        return -rest(u, g) * u

    def slope(u):
        return -rest(u, g) + (g * _times(m, u, rest(u, g - 1) * m.exp(u)) if g != 0 else 0)

    def curvature(u):
        p = m.exp(u)
        if g == 0:
            return 0 * p
        bend = g * rest(u, g - 1) * p * (2 + u)
        return bend if g == 1 else bend - g * (g - 1) * _times(m, u, rest(u, g - 2) * p**2)

    return _of_log_prob(m, input, target, value, slope, curvature, factor)


@row_reference
def poly_cross_entropy(m, input, target, *, epsilon=(2.0,), ignore_index=-100, scale=1.0):
    powers = range(1, len(epsilon) + 1)

    def combined(first, term):
        return first + sum(e * term(k) for e, k in zip(epsilon, powers, strict=True))

    def value(u):
        return combined(-scale * u, lambda k: (-m.expm1(u)) ** k)

    def slope(u):
        return combined(-scale, lambda k: -k * (-m.expm1(u)) ** (k - 1) * m.exp(u))

    def curvature(u):
        p, rest = m.exp(u), -m.expm1(u)
        return combined(0 * u, lambda k: k * (k - 1) * rest ** max(k - 2, 0) * p**2 - k * rest ** (k - 1) * p)

    result = _of_log_prob(m, input, target, value, slope, curvature)
    if all(e >= 0 for e in epsilon):
        return result
    absolute = poly_cross_entropy.__wrapped__(m, input, target, epsilon=tuple(map(abs, epsilon)), scale=scale)
    sizes = {key: absolute.grad_scales.get(key, abs(grad)) for key, grad in absolute.grads.items()}
    return Reference(result.value, result.grads, result.hess, absolute.value, sizes, absolute.hess_scale)


@row_reference
def poly1_cross_entropy(m, input, target, *, epsilon=2.0, ignore_index=-100):
    return poly_cross_entropy.__wrapped__(m, input, target, epsilon=(epsilon,))


@row_reference
def generalized_cross_entropy(m, input, target, *, q=0.7, ignore_index=-100):
    return _of_log_prob(
        m,
        input,
        target,
        lambda u: -m.expm1(q * u) / q,
        lambda u: -m.exp(q * u),
        lambda u: -q * m.exp(q * u),
    )


@row_reference
def symmetric_cross_entropy(m, input, target, *, alpha=0.1, beta=1.0, log_zero=-4.0, ignore_index=-100):
    return poly_cross_entropy.__wrapped__(m, input, target, epsilon=(-beta * log_zero,), scale=alpha)


@row_reference
def logit_adjusted_cross_entropy(m, input, target, *, prior=None, tau=1.0, ignore_index=-100):
    return cross_entropy.__wrapped__(m, input if prior is None else input + tau * m.log(prior), target)


@row_reference
def ldam_loss(m, input, target, *, counts=None, max_margin=0.5, scale=30.0, weight=None, ignore_index=-100):
    quarter = m.power(m.array(np.ones(input.shape[-1])) if counts is None else counts, m.array(-0.25))
    margin = max_margin * quarter / quarter.max()
    onehot = _at(m, target, input.shape[-1])
    z = scale * _where(m, onehot, input - margin, input)
    result = cross_entropy.__wrapped__(m, z, target, weight=weight)
    return Reference(result.value, {"input": scale * result.grads["input"]}, scale**2 * result.hess)


@row_reference
def selected_log_prob(m, input, target, *, temperature=1.0, ignore_index=-100):
    result = cross_entropy.__wrapped__(m, input / temperature, target)
    return Reference(-result.value, {"input": -result.grads["input"] / temperature}, -result.hess / temperature**2)


@row_reference
def brier_loss(m, input, target, *, ignore_index=-100, hessian="exact"):
    p, _, _ = _log_softmax(m, input)
    q = _dense(m, target, input.shape[-1])
    e = p - q
    e_size = abs(e) if target.dtype.kind in "iub" else p + q
    (grad, _), (_, size) = _through_softmax(p, 2 * e), _through_softmax(p, 2 * e_size)
    rest, square = 1 - p, _column(_sum(p**2))
    own, own_size = rest**2 + square - p**2, rest**2 + square + p**2
    shifted, shifted_size = e - _column(_sum(p * e)), e_size + _column(_sum(p * e_size))
    if hessian == "exact":
        hess, hess_size = rest * shifted + p * (own - shifted), rest * shifted_size + p * (own_size + shifted_size)
    else:
        hess, hess_size = p * own, p * own_size
    grads, sizes = {"input": grad} | _of_dense(target, -2 * e), {"input": size, "target": 2 * e_size}
    return Reference(_sum(e**2), grads, 2 * p * hess, _sum(abs(e) * e_size), sizes, 2 * p * hess_size)


@row_reference
def dino_loss(m, input, target, *, student_temperature=0.1, teacher_temperature=0.04, center=None):
    shifted = target if center is None else target - center
    q, _, _ = _log_softmax(m, shifted / teacher_temperature)
    result = cross_entropy.__wrapped__(m, input / student_temperature, q)
    pull, pull_size = _through_softmax(q, result.grads["target"])
    grads = {"input": result.grads["input"] / student_temperature, "target": pull / teacher_temperature}
    scales = {
        "input": result.grad_scales["input"] / student_temperature,
        "target": pull_size / teacher_temperature,
    }
    return Reference(result.value, grads, None, None, scales)


@row_reference
def softmax_entropy(m, input, *, log_input=True):
    p, lp = _distribution(m, input, log_input)
    value = -_sum(_times(m, p, lp))
    grad, size = _pulled(m, log_input, p, -lp - 1, abs(lp) + 1)
    return Reference(value, {"input": grad}, None, abs(value), {"input": size})


@row_reference
def confidence_penalty_loss(m, input, target, *, beta=0.1, ignore_index=-100):
    hard, soft = cross_entropy.__wrapped__(m, input, target), softmax_entropy.__wrapped__(m, input)
    grad, pull = hard.grads["input"], beta * soft.grads["input"]
    size = abs(grad) + beta * soft.grad_scales["input"]
    return Reference(
        hard.value - beta * soft.value, {"input": grad - pull}, None, hard.value + beta * soft.value, {"input": size}
    )


# ---- margins ---------------------------------------------------------------------------------------


def _margins(m, input, target, margin):
    """``margin + z_j - z_y`` for j != y, the mask of these j, and the scale of the sum."""
    gap = input - _column(_pick(m, input, target))
    return gap + margin, ~_at(m, target, input.shape[-1]), abs(gap) + abs(margin)


def _hinges(m, input, target, margin, p, factor):
    h, others, size = _margins(m, input, target, margin)
    active = others & (h > 0)
    weight = _column(factor)
    h = _where(m, active, h)
    slope = _where(m, active, weight * (1.0 if p == 1 else 2 * h))
    slope_size = _where(m, active, weight * (1.0 if p == 1 else 2 * size))
    onehot = ~others
    return Reference(
        _sum(weight * h**p),
        {"input": _where(m, onehot, -_column(_sum(slope)), slope)},
        None,
        _sum(_where(m, active, weight * size**p)),
        {"input": _where(m, onehot, _column(_sum(slope_size)), slope_size)},
    )


@row_reference
def multi_margin_loss(m, input, target, *, p=1, margin=1.0, weight=None):
    factor = m.array(np.ones(target.shape)) if weight is None else weight[target]
    return _hinges(m, input, target, margin, int(p), factor / input.shape[-1])


@row_reference
def weston_watkins_loss(m, input, target, *, margin=1.0, ignore_index=-100):
    return _hinges(m, input, target, margin, 1, m.array(np.ones(target.shape)))


def _worst(m, input, target, margin, others_at_least=None):
    """The largest of ``margin + z_j - z_y``, if it is positive."""
    onehot = _at(m, target, input.shape[-1])
    other = _where(m, onehot, -np.inf, input)
    top = _top(other) & ~onehot
    best = other.max(axis=-1)
    if others_at_least is not None:
        top &= _column(best > others_at_least)
        best = _where(m, best > others_at_least, best, others_at_least)
    own = _pick(m, input, target)
    value = best - own + margin
    active = value > 0
    grad = _where(m, _column(active), 1.0 * top - 1.0 * onehot)
    return Reference(_where(m, active, value), {"input": grad}, None, _where(m, active, abs(best - own) + margin))


@row_reference
def multiclass_hinge_loss(m, input, target, *, margin=1.0, ignore_index=-100):
    return _worst(m, input, target, margin)


@row_reference
def categorical_hinge_loss(m, input, target, *, ignore_index=-100):
    return _worst(m, input, target, 1.0, 0.0)


@row_reference
def multiclass_perceptron_loss(m, input, target, *, ignore_index=-100):
    return _worst(m, input, target, 0.0)


# ---- sparse transformations ------------------------------------------------------------------------


def _support(m, z, threshold, inside):
    """The threshold of a sparse transformation: the last that the sorted scores still exceed."""
    ordered = np.sort(z, axis=-1)[..., ::-1]
    found = threshold(ordered[..., :1])
    for k in range(2, z.shape[-1] + 1):
        candidate = threshold(ordered[..., :k])
        found = _where(m, inside(ordered[..., k - 1], candidate), candidate, found)
    return found


@row_reference
def sparsemax_loss(m, input, target, *, ignore_index=-100):
    z = input - _column(input.max(axis=-1))
    tau = _support(m, z, lambda s: (_sum(s) - 1) / s.shape[-1], lambda last, tau: last > tau)
    p = _where(m, z > _column(tau), z - _column(tau))
    own = _pick(m, z, target)
    q = m.array(_at(m, target, z.shape[-1]).astype(np.float64))
    # <p, z> - |p|^2 / 2 + 1/2 - z_y, which is the published form without its squares of large numbers.
    parts = (_sum(_times(m, p, z)), -_sum(p**2) / 2 + 0.5, -own)
    return Reference(
        sum(parts), {"input": p - q}, None, sum(map(abs, parts)) + 0.5, {"input": abs(z) * (p > 0) + p + q}
    )


@row_reference
def entmax15_loss(m, input, target, *, ignore_index=-100):
    z = input - _column(input.max(axis=-1))
    half = z / 2

    def threshold(s):
        k = s.shape[-1]
        mean = _sum(s) / k
        inner = (1 - (_sum(s**2) - k * mean**2)) / k
        return mean - m.sqrt(_where(m, inner > 0, inner))

    tau = _support(m, half, threshold, lambda last, tau: last > tau)
    root = _where(m, half > _column(tau), half - _column(tau))
    p = root**2
    own = _pick(m, z, target)
    q = m.array(_at(m, target, z.shape[-1]).astype(np.float64))
    parts = (_sum(_times(m, p, z)), (1 - _sum(root**3)) * 4 / 3, -own)
    return Reference(sum(parts), {"input": p - q}, None, sum(map(abs, parts)) + 1, {"input": abs(z) * root + p + q})


# ---- evidence --------------------------------------------------------------------------------------


@row_reference
def evidential_dirichlet_loss(m, input, target, *, evidence="softplus", kl_weight=0.0, ignore_index=-100):
    classes = input.shape[-1]
    if evidence == "softplus":
        e, slope = m.softplus(input), m.sigmoid(input)
    elif evidence == "relu":
        e, slope = _where(m, input > 0, input), _where(m, input > 0, 1.0)
    else:
        e, slope = m.exp(input), m.exp(input)
    q = _dense(m, target, classes)
    alpha = e + 1
    total = _column(_sum(alpha))
    mean = alpha / total
    squares, variance = (q - mean) ** 2, mean * (1 - mean) / (total + 1)
    inner = -2 * (q - mean) + (1 - 2 * mean) / (total + 1)
    inner_size = 2 * (q + mean) + abs(1 - 2 * mean) / (total + 1)
    spread = _column(_sum(mean * (1 - mean))) / (total + 1) ** 2
    grad = (inner - _column(_sum(inner * mean))) / total - spread
    size = (inner_size + _column(_sum(inner_size * mean))) / total + spread
    if kl_weight == 0:
        result = Reference(_sum(squares + variance), {"input": grad * slope})
        return replace(result, grad_scales={"input": size * slope})
    rest = q + (1 - q) * alpha
    whole = _sum(rest)
    parts = (
        m.lgamma(whole) - m.lgamma(m.array(float(classes))) - _sum(m.lgamma(rest)),
        _sum((rest - 1) * (m.digamma(rest) - m.digamma(_column(whole)))),
    )
    pull = (1 - q) * ((rest - 1) * m.trigamma(rest) - _column(m.trigamma(whole) * (whole - classes)))
    pull_size = (1 - q) * ((rest - 1) * m.trigamma(rest) + _column(m.trigamma(whole) * (whole - classes)))
    scale = _sum(abs((rest - 1) * m.digamma(rest))) + _sum(rest - 1) * abs(m.digamma(whole)) + abs(m.lgamma(whole))
    return Reference(
        _sum(squares + variance) + kl_weight * sum(parts),
        {"input": (grad + kl_weight * pull) * slope},
        None,
        _sum(squares + variance) + kl_weight * (scale + _sum(abs(m.lgamma(rest)))),
        {"input": (size + kl_weight * pull_size) * slope},
    )


# ---- divergences of a prediction from a target -----------------------------------------------------


def _distribution(m: Any, x: Array, logarithmic: bool) -> tuple[Array, Array]:
    """Probabilities and their logarithms."""
    return _log_softmax(m, x)[:2] if logarithmic else (x, m.log(x))


def _pulled(m: Any, logarithmic: bool, p: Array, slope: Array, size: Array) -> tuple[Array, Array]:
    """From the derivative in the probabilities to that in the argument, and its scale."""
    if not logarithmic:
        return slope, size
    mean, mean_size = _column(_sum(_times(m, p, slope))), _column(_sum(_times(m, p, size)))
    return _times(m, p, slope - mean), _times(m, p, size + mean_size)


def _divergence(m, log_input, log_target, p, r, value, value_size, slopes, sizes) -> Reference:
    """From the derivatives in the probabilities `p` and `r` to those in the arguments."""
    input, input_size = _pulled(m, log_input, p, slopes[0], sizes[0])
    target, target_size = _pulled(m, log_target, r, slopes[1], sizes[1])
    grads, scales = {"input": input, "target": target}, {"input": input_size, "target": target_size}
    return Reference(value, grads, None, value_size, scales)


def kl_divergence_of(m, input, target, *, log_input=False, log_target=False):
    (p, lp), (r, lr) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    slopes = -_times(m, r, 1 / p), lr - lp + 1
    value, size = _sum(_times(m, r, lr - lp)), _sum(_times(m, r, abs(lr) + abs(lp)))
    sizes = abs(slopes[0]), abs(lr) + abs(lp) + 1
    return _divergence(m, log_input, log_target, p, r, value, size, slopes, sizes)


def _mirrored(result: Reference, first: str = "input", second: str = "target") -> Reference:
    """The same with the arguments exchanged, under these names."""

    def exchange(parts):
        return {first: parts["target"], second: parts["input"]}

    return replace(result, grads=exchange(result.grads), grad_scales=exchange(result.grad_scales))


@row_reference
def kl_divergence(m, p, q):
    return _mirrored(kl_divergence_of(m, q, p), "p", "q")


@row_reference
def kl_div_with_logits(m, input, target, *, log_target=False):
    return kl_divergence_of(m, input, target, log_input=True, log_target=log_target)


@row_reference
def reverse_kl_div_with_logits(m, input, target, *, log_target=False, log_input=True):
    return _mirrored(kl_divergence_of(m, target, input, log_input=log_target, log_target=log_input))


@row_reference
def jensen_shannon_divergence(m, input, target, *, beta=0.5, log_input=True, log_target=False):
    if beta == 0:
        return kl_divergence_of(m, input, target, log_input=log_input, log_target=log_target)
    if beta == 1:
        return reverse_kl_div_with_logits.__wrapped__(m, input, target, log_input=log_input, log_target=log_target)
    (p, lp), (r, lr) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    lm = m.log(beta * r + (1 - beta) * p)
    value = _sum(beta * _times(m, r, lr - lm) + (1 - beta) * _times(m, p, lp - lm))
    size = _sum(beta * _times(m, r, abs(lr) + abs(lm)) + (1 - beta) * _times(m, p, abs(lp) + abs(lm)))
    slopes = (1 - beta) * (lp - lm), beta * (lr - lm)
    sizes = (1 - beta) * (abs(lp) + abs(lm)), beta * (abs(lr) + abs(lm))
    return _divergence(m, log_input, log_target, p, r, value, size, slopes, sizes)


@row_reference
def jeffreys_divergence(m, input, target, *, log_input=True, log_target=False):
    parts = [
        one(m, input, target, log_input=log_input, log_target=log_target)
        for one in (kl_divergence_of, reverse_kl_div_with_logits.__wrapped__)
    ]
    return Reference(
        sum(part.value for part in parts),
        {key: sum(part.grads[key] for part in parts) for key in ("input", "target")},
        None,
        sum(part.value_scale for part in parts),
        {key: sum(part.grad_scales[key] for part in parts) for key in ("input", "target")},
    )


@row_reference
def total_variation_distance(m, input, target, *, log_input=True, log_target=False):
    (p, _), (r, _) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    slope = m.sign(p - r) / 2
    value, sizes = _sum(abs(p - r)) / 2, (abs(slope), abs(slope))
    return _divergence(m, log_input, log_target, p, r, value, _sum(p + r) / 2, (slope, -slope), sizes)


@row_reference
def hellinger_distance(m, input, target, *, log_input=True, log_target=False):
    (p, _), (r, _) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    value = _sum((m.sqrt(p) - m.sqrt(r)) ** 2) / 2
    up, down = m.sqrt(r / p), m.sqrt(p / r)
    slopes, sizes = ((1 - up) / 2, (1 - down) / 2), ((1 + up) / 2, (1 + down) / 2)
    return _divergence(m, log_input, log_target, p, r, value, _sum(p + r) / 2, slopes, sizes)


def _powers(m, p, r, order):
    """r**order * p**(1 - order), and that over p and over r."""
    s = m.power(r, order) * m.power(p, 1 - order)
    return _column(_sum(s)), s / p, s / r


@row_reference
def bhattacharyya_distance(m, input, target, *, log_input=True, log_target=False):
    (p, _), (r, _) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    total, up, down = _powers(m, p, r, m.array(0.5))
    value, slopes = -m.log(total[..., 0]), (-up / total / 2, -down / total / 2)
    sizes = abs(slopes[0]), abs(slopes[1])
    return _divergence(m, log_input, log_target, p, r, value, 1 + abs(value), slopes, sizes)


@row_reference
def renyi_divergence(m, input, target, *, alpha=0.5, log_input=True, log_target=False):
    if alpha == 1:
        return kl_divergence_of(m, input, target, log_input=log_input, log_target=log_target)
    (p, _), (r, _) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    total, up, down = _powers(m, p, r, alpha)
    value, slopes = m.log(total[..., 0]) / (alpha - 1), (-up / total, alpha / (alpha - 1) * down / total)
    sizes = abs(slopes[0]), abs(slopes[1])
    return _divergence(m, log_input, log_target, p, r, value, 1 / abs(alpha - 1) + abs(value), slopes, sizes)


@row_reference
def alpha_divergence(m, input, target, *, alpha=0.5, log_input=True, log_target=False):
    if alpha == 0 or alpha == 1:
        limit = reverse_kl_div_with_logits.__wrapped__ if alpha == 0 else kl_divergence_of
        return limit(m, input, target, log_input=log_input, log_target=log_target)
    (p, _), (r, _) = _distribution(m, input, log_input), _distribution(m, target, log_target)
    total, up, down = _powers(m, p, r, alpha)
    value, slopes = (1 - total[..., 0]) / (alpha * (1 - alpha)), (-up / alpha, -down / (1 - alpha))
    size, sizes = (1 + total[..., 0]) / abs(alpha * (1 - alpha)), (abs(slopes[0]), abs(slopes[1]))
    return _divergence(m, log_input, log_target, p, r, value, size, slopes, sizes)


@row_reference
def distillation_loss(m, input, target, *, temperature=1.0):
    t = temperature
    result = kl_divergence_of(m, input / t, target / t, log_input=True, log_target=True)
    grads, scales = ({k: t * x for k, x in part.items()} for part in (result.grads, result.grad_scales))
    return Reference(t**2 * result.value, grads, None, t**2 * result.value_scale, scales)


# ---- several labels --------------------------------------------------------------------------------


@row_reference
def multilabel_margin_loss(m, input, target):
    classes = input.shape[-1]
    listed = np.logical_and.accumulate(target >= 0, axis=-1)
    positive = ((target[:, :, None] == np.arange(classes)) & listed[:, :, None]).any(axis=1)
    gap = input[:, :, None] - input[:, None, :]
    active = positive[:, :, None] & ~positive[:, None, :] & (gap < 1)
    grad = active.sum(axis=1) - active.sum(axis=2)
    return Reference(
        _sum(_sum(_where(m, active, 1 - gap))) / classes,
        {"input": m.array(grad.astype(np.float64)) / classes},
        None,
        _sum(_sum(_where(m, active, 1 + abs(gap)))) / classes,
    )


@row_reference
def multilabel_soft_margin_loss(m, input, target, *, weight=None):
    classes = input.shape[-1]
    w = (m.array(np.ones(classes)) if weight is None else weight) / classes
    s = m.sigmoid(input)
    own, other = w * target, w * (1 - target)
    return Reference(
        _sum(own * m.softplus(-input) + other * m.softplus(input)),
        {"input": other * s - own * m.sigmoid(-input)},
        w * s * m.sigmoid(-input),
        None,
        {"input": abs(other * s) + abs(own * m.sigmoid(-input))},
    )


@row_reference
def zlpr_loss(m, input, target):
    positive = target > 0 if target.dtype.kind != "b" else target
    rise = _where(m, positive, 0.0, m.exp(_where(m, positive, 0.0, input)))
    fall = _where(m, positive, m.exp(-_where(m, positive, input)))
    up, down = 1 + _sum(rise), 1 + _sum(fall)
    return Reference(m.log(up) + m.log(down), {"input": rise / _column(up) - fall / _column(down)})


# ---- ordered classes -------------------------------------------------------------------------------


def _cumulative_tasks(m, input, target, weight, considered):
    """Binary cross entropies of ``target > k`` over the tasks considered."""
    above = _column(target) > np.arange(input.shape[-1])
    w = m.array(np.ones(input.shape[-1])) if weight is None else weight
    values = w * _where(m, above, m.softplus(-input), m.softplus(input))
    grads = w * _where(m, above, -m.sigmoid(-input), m.sigmoid(input))
    hess = _where(m, considered, w * m.sigmoid(input) * m.sigmoid(-input))
    return Reference(_sum(_where(m, considered, values)), {"input": _where(m, considered, grads)}, hess)


@row_reference
def coral_loss(m, input, target, *, weight=None, ignore_index=-100):
    return _cumulative_tasks(m, input, target, weight, np.ones(input.shape, bool))


@row_reference
def corn_loss(m, input, target, *, weight=None, ignore_index=-100):
    return _cumulative_tasks(m, input, target, weight, _column(target) >= np.arange(input.shape[-1]))


@row_reference
def ranked_probability_score(m, input, target, *, ignore_index=-100):
    p, _, _ = _log_softmax(m, input)
    q = _dense(m, target, input.shape[-1])
    step = np.cumsum(p - q, axis=-1)
    size = np.cumsum(p + q, axis=-1)

    def from_the_end(x):
        return np.cumsum(x[..., ::-1], axis=-1)[..., ::-1]

    grad, _ = _through_softmax(p, 2 * from_the_end(step))
    scale = p * (from_the_end(2 * size) + _column(_sum(p * from_the_end(2 * size))))
    grads = {"input": grad} | _of_dense(target, -2 * from_the_end(step))
    scales = {"input": scale, "target": from_the_end(2 * size)}
    return Reference(_sum(step**2), grads, None, _sum(size * abs(step)), scales)
