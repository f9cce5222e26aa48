"""Activations of rows of class scores: values and vector-Jacobian products, along any axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fusedloss as fl
import numpy as np
import pytest
from battery import FLOATS, HALVES, assert_close, assert_same_bits, each_float
from references import Exact, ulp_error
from references_activations import ROW_REFERENCES, gumbel_noise
from references_rows import EXACT, PLAIN

ROWS = {a.name: a for a in fl.activations() if a.family == "rows"}
CLASSES = (1, 2, 3, 10, 63, 64, 65, 200, 300)
BARS = {"float32": (2, 2), "float64": (4, 6)}  # whole rows are computed in double, whatever the dtype


@dataclass(frozen=True)
class WithNoise:
    """An activation whose second argument has the same numbers in every row."""

    activation: fl.Activation

    def _noise(self, z: Any, axis: int | None) -> np.ndarray:
        scores = np.asarray(z)
        along = (1 if scores.ndim > 1 else 0) if axis is None else axis
        if not -scores.ndim <= along < scores.ndim:
            return scores
        shape = np.ones(scores.ndim, int)
        shape[along] = -1
        noise = gumbel_noise(scores.shape[along]).reshape(shape)
        return np.broadcast_to(noise, scores.shape).astype(scores.dtype if scores.dtype.kind in "fV" else np.float64)

    def __call__(self, z: Any, *, axis: int | None = None, **options: Any) -> np.ndarray:
        return self.activation(z, self._noise(z, axis), axis=axis, **options)

    def backward(self, g: Any, z: Any, *, axis: int | None = None, **options: Any) -> np.ndarray:
        return self.activation.backward(g, z, self._noise(z, axis), axis=axis, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.activation, name)
        return lambda z, **options: method(z, self._noise(z, None), **options)


@dataclass(frozen=True)
class Case:
    """An activation of rows with one set of parameters."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.params.items())])

    @property
    def bound(self) -> Any:
        activation = ROWS[self.name].bind(**self.params)
        return WithNoise(activation) if "noise" in activation.inputs else activation

    def cotangent(self, shape: tuple[int, ...], axis: int, dtype: Any = np.float64, seed: int = 1) -> np.ndarray:
        """Random numbers in the shape of the result."""
        own = tuple(np.delete(shape, axis)) if self.name == "logsumexp" else shape
        return np.random.default_rng(seed).normal(size=own).astype(dtype)

    def reference(self, m: Any, z: np.ndarray, g: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            return ROW_REFERENCES[self.name](m, z.astype(np.float64), g.astype(np.float64), **self.params)


CASES = [
    Case("softmax"),
    Case("softmax", {"temperature": 0.3125}),
    Case("softmin"),
    Case("softmin", {"temperature": 3.75}),
    Case("log_softmax"),
    Case("log_softmax", {"temperature": 0.75}),
    Case("logsumexp"),
    Case("sparsemax"),
    Case("entmax15"),
    Case("gumbel_softmax"),
    Case("gumbel_softmax", {"temperature": 0.3125}),
    Case("taylor_softmax"),
    Case("taylor_softmax", {"order": 6}),
    Case("l2_normalize"),
    Case("l2_normalize", {"eps": 2.0}),
]
FIRST_CASES = list({case.name: case for case in reversed(CASES)}.values())[::-1]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
first_cases = pytest.mark.parametrize("case", FIRST_CASES, ids=str)
LEVELS = [name for name, supported in fl.show_config()["isa_levels"].items() if supported]


def scores(shape: Any, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def extreme_rows(classes: int, dtype: Any) -> np.ndarray:
    """Rows of all sizes, with ties, with a dominant score, and next to the ends of the range."""
    rng = np.random.default_rng(classes)
    dominated = rng.normal(size=(6, classes))
    dominated[:, 0] += [5, 17, 40, 90, 100, 700]
    return np.concatenate(
        [
            *(rng.normal(size=(3, classes)) * size for size in (1e-3, 1, 10, 50)),
            np.round(rng.normal(size=(4, classes))) / 2,
            dominated,
            rng.choice([-1, 1], (4, classes)) * 10.0 ** rng.uniform(-30, 30, (4, classes)),
            np.zeros((1, classes)),
            np.full((1, classes), -3.5),
        ]
    ).astype(dtype)


def test_every_row_activation_has_a_reference_and_a_case():
    assert set(ROWS) == set(ROW_REFERENCES) == {case.name for case in CASES}
    for activation in ROWS.values():
        reached = {key for case in CASES if case.name == activation.name for key in case.params}
        assert set(activation.params) <= reached | {"axis"}


class TestNumbers:
    @each_case
    @pytest.mark.parametrize("classes", CLASSES)
    def test_values_and_products(self, case, classes):
        z = scores((30, classes))
        g = case.cotangent(z.shape, -1)
        exact = case.reference(PLAIN, z, g)
        assert_close(case.bound(z, axis=-1), exact.value, 1e-12, exact.value_scale, atol=1e-14)
        assert_close(case.bound.backward(g, z, axis=-1), exact.vjp, 1e-11, exact.vjp_scale, atol=1e-14)

    @each_case
    def test_product_is_the_difference_of_values(self, case):
        z, h = scores((20, 5), seed=3), 1e-5
        g, direction = case.cotangent(z.shape, -1), scores((20, 5), seed=4)
        f = case.bound
        change = (8 * (f(z + h * direction) - f(z - h * direction))) / (12 * h)
        change -= (f(z + 2 * h * direction) - f(z - 2 * h * direction)) / (12 * h)
        along = (change * g).sum(-1) if case.name != "logsumexp" else change * g
        product = (f.backward(g, z) * direction).sum(-1)
        smooth = abs(product - along) <= 1e-8 * np.maximum(1, abs(along))
        # Where the support of a sparse projection changes within the step the difference means nothing.
        assert smooth.mean() == 1 if case.name not in ("sparsemax", "entmax15") else smooth.mean() >= 0.9

    @each_case
    @each_float
    @pytest.mark.parametrize("classes", [1, 2, 10, 65])
    def test_extremes(self, case, dtype, classes):
        z = extreme_rows(classes, dtype)[:: 1 if classes < 65 else 5]
        g = case.cotangent(z.shape, -1, dtype)
        exact = case.reference(EXACT, z, g)
        results = case.bound(z, axis=-1), case.bound.backward(g, z, axis=-1)
        parts = (exact.value, exact.value_scale), (exact.vjp, exact.vjp_scale)
        for actual, (true, scale), bar in zip(results, parts, BARS[np.dtype(dtype).name], strict=True):
            for at in np.ndindex(actual.shape):
                size = None if scale is None else Exact(scale[at]).v
                ulp = ulp_error(float(actual[at]), Exact(true[at]).v, dtype, size)
                assert ulp <= bar, f"{ulp:.3g} at {at}: {actual[at]!r} instead of {true[at]!r}; {z[at[0]].tolist()}"

    @each_float
    def test_probabilities(self, dtype):
        for classes in CLASSES:
            z = scores((50, classes), dtype)
            for name in ("softmax", "softmin", "sparsemax", "entmax15"):
                p = ROWS[name](z, axis=-1)
                assert (p >= 0).all()
                assert_close(p.astype(np.float64).sum(-1), np.ones(50), 4 * np.finfo(dtype).eps)
                order = np.argsort(z, -1)
                assert (np.argmax(p, -1) == (order[:, 0] if name == "softmin" else order[:, -1])).all()

    def test_sparse(self):
        z = np.array([[3.0, 1.0, 0.5], [0.2, 0.1, 0.0]])
        assert_same_bits(fl.sparsemax(z), np.array([[1.0, 0.0, 0.0], fl.sparsemax(z[1])]))
        assert_close(fl.sparsemax(z[1]), [0.2 + 0.7 / 3, 0.1 + 0.7 / 3, 0.7 / 3], 1e-15)
        assert (fl.entmax15(np.array([9.0, 1.0, 0.5]))[1:] == 0).all()
        assert (fl.sparsemax.backward(np.ones((2, 3)), z) == 0).all()

    def test_tails(self):
        z = np.array([[0.0, -30.0]], np.float32)
        assert_close(fl.log_softmax(z), [[-np.exp(-30.0), -30.0]], 1e-7)
        assert_close(fl.softmax.backward(np.array([[1.0, 0.0]], np.float32), z), [[np.exp(-30), -np.exp(-30)]], 3e-7)

    def test_masked_scores(self):
        """A score of minus infinity is a class that is not there."""
        z = np.array([[1.0, -np.inf, 0.5], [-np.inf, 2.0, -np.inf]])
        for name in ("softmax", "sparsemax", "entmax15"):
            p = ROWS[name](z)
            assert_same_bits(p[0, [0, 2]], ROWS[name](z[0, [0, 2]]))
            assert_same_bits(p[z == -np.inf], np.zeros(3))
            assert p[1, 1] == 1
        assert_same_bits(fl.log_softmax(z)[1], np.array([-np.inf, 0.0, -np.inf]))
        assert_same_bits(fl.logsumexp(z)[1], np.float64(2))

    @each_float
    def test_infinite_scores_are_the_limit_of_large_ones(self, dtype):
        """In a row of three classes, and in one whose other classes are not there."""
        inf = np.inf
        z = np.array([[inf, 0, 1], [inf, inf, 1], [-inf, inf, 4], [1e4, inf, -inf]], dtype)
        p = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 1, 0]], dtype)
        wide = np.full((4, 9000), -inf, dtype)
        wide[:, [7, 100, 8999]] = z
        for scores, at in ((z, [0, 1, 2]), (wide, [7, 100, 8999])):
            assert_same_bits(fl.softmax(scores)[:, at], p)
            with np.errstate(divide="ignore"):
                assert_close(fl.log_softmax(scores)[:, at], np.log(p), np.finfo(dtype).eps)
            for label in range(3):
                target = np.full(4, at[label])
                losses, grad = fl.cross_entropy.value_and_grad(scores, target, reduction="none")
                assert np.array_equal(grad[:, at], p - np.eye(3, dtype=dtype)[label])
                assert np.array_equal(losses, -fl.log_softmax(scores)[:, at[label]])

    @each_float
    def test_log_softmax_of_rows_wider_than_a_cache(self, dtype):
        z = np.random.default_rng(0).normal(size=(2, 40_000)).astype(dtype)
        z[0, 39_999], z[1, 17] = 100, 15
        exact = z.astype(np.longdouble)
        exact -= exact.max(1, keepdims=True)
        total = np.log1p(np.where(exact == 0, 0, np.exp(exact)).sum(1, keepdims=True))
        expected = exact - total
        assert_close(fl.log_softmax(z), expected, 2 * np.finfo(dtype).eps)
        turned = np.empty((40_000, 2), dtype)
        assert_same_bits(fl.log_softmax(np.ascontiguousarray(z.T), axis=0, out=turned).T, fl.log_softmax(z))
        strided = np.repeat(z, 2, axis=1)[:, ::2]
        assert_same_bits(fl.log_softmax(strided), fl.log_softmax(z))
        assert_same_bits(fl.log_softmax(z, out=z), turned.T)

    @each_case
    def test_nan_spoils_its_own_row(self, case):
        z = scores((3, 7))
        z[1, 2] = np.nan
        g = case.cotangent(z.shape, -1)
        value, product = case.bound(z), case.bound.backward(g, z)
        assert np.isnan(value[1]).all()
        assert np.isnan(product[1]).all()
        assert np.isfinite(value[[0, 2]]).all()
        assert np.isfinite(product[[0, 2]]).all()

    def test_temperature(self):
        z = scores((4, 6))
        assert_close(fl.softmax(z, temperature=2.0), fl.softmax(z / 2), 1e-15)
        assert_close(fl.softmin(z, temperature=2.0), fl.softmax(-z / 2), 1e-15)
        assert_close(fl.log_softmax(z, temperature=0.5), fl.log_softmax(2 * z), 1e-14)

    def test_short_vectors_have_no_direction(self):
        x = np.array([[3e-13, 4e-13], [3e-3, 4e-3]])
        assert_close(fl.l2_normalize(x), [[0.3, 0.4], [0.6, 0.8]], 1e-14)
        assert (fl.l2_normalize.backward(np.ones((2, 2)), x)[0] == 0).all()
        assert (fl.l2_normalize(np.zeros((1, 3))) == 0).all()


class TestTorch:
    @pytest.mark.parametrize(("shape", "dim"), [((5,), 0), ((7, 10), 1), ((4, 100), 1), ((3, 6, 5), 1), ((3, 6, 5), 0)])
    def test_values_and_products(self, shape, dim):
        torch = pytest.importorskip("torch", reason="torch is not installed")
        functional = torch.nn.functional
        peers = {
            "softmax": functional.softmax,
            "softmin": functional.softmin,
            "log_softmax": functional.log_softmax,
            "logsumexp": torch.logsumexp,
            "l2_normalize": lambda x, dim: functional.normalize(x, dim=dim),
        }
        z = scores(shape)
        for name, function in peers.items():
            g = Case(name).cotangent(shape, dim)
            tensor = torch.tensor(z, requires_grad=True)
            expected = function(tensor, dim=dim)
            expected.backward(torch.tensor(g))
            assert_close(ROWS[name](z, axis=dim), expected.detach().numpy(), 1e-13, atol=1e-14)
            assert_close(ROWS[name].backward(g, z, axis=dim), tensor.grad.numpy(), 1e-12, atol=1e-14)


class TestAsking:
    @first_cases
    @each_float
    @pytest.mark.parametrize("classes", [6, 100])
    def test_any_axis_gives_the_same_bits(self, case, dtype, classes):
        rows = scores((20, classes), dtype)
        g = case.cotangent(rows.shape, -1, dtype)
        value, product = case.bound(rows), case.bound.backward(g, rows)
        reduced = case.name == "logsumexp"
        shaped = rows.reshape(4, 5, classes)
        g_shaped = g.reshape(shaped.shape[:2] if reduced else shaped.shape)
        for axis in range(3):
            z = np.moveaxis(shaped, -1, axis)
            own = g_shaped if reduced else np.moveaxis(g_shaped, -1, axis)
            for layout in (z, np.ascontiguousarray(z), np.asfortranarray(z)):
                for given in (axis, axis - 3):
                    actual = case.bound(layout, axis=given)
                    back = actual if reduced else np.moveaxis(actual, axis, -1)
                    assert_same_bits(back.reshape(value.shape), value)
                    pulled = np.moveaxis(case.bound.backward(own, layout, axis=given), axis, -1)
                    assert_same_bits(pulled.reshape(product.shape), product)

    @first_cases
    def test_default_axis(self, case):
        for shape, axis in (((5,), 0), ((4, 5), 1), ((4, 5, 6), 1)):
            z = scores(shape)
            assert_same_bits(case.bound(z), case.bound(z, axis=axis))
            g = case.cotangent(shape, axis)
            assert_same_bits(case.bound.backward(g, z), case.bound.backward(g, z, axis=axis))

    @first_cases
    @pytest.mark.parametrize("dtype", [*FLOATS, *HALVES], ids=lambda dtype: np.dtype(dtype).name)
    def test_dtypes_and_out(self, case, dtype):
        z = scores((40, 12), dtype)
        g = case.cotangent(z.shape, -1, dtype)
        value, product = case.bound(z), case.bound.backward(g, z)
        assert value.dtype == product.dtype == z.dtype
        if dtype in HALVES:
            single = case.bound(z.astype(np.float32)), case.bound.backward(g.astype(np.float32), z.astype(np.float32))
            assert_same_bits(value, single[0].astype(dtype))
            assert_same_bits(product, single[1].astype(dtype))
        out = np.empty_like(value)
        assert case.bound(z, out=out) is out
        assert_same_bits(out, value)
        other = np.empty_like(z)
        assert case.bound.backward(g, z, out=other) is other
        assert_same_bits(other, product)
        own = z.copy()
        assert case.bound.backward(g, own, out=own) is own
        assert_same_bits(own, product)
        if value.shape == z.shape:
            own, own_g = z.copy(), g.copy()
            assert case.bound(own, out=own) is own
            assert_same_bits(own, value)
            assert case.bound.backward(own_g, z, out=own_g) is own_g
            assert_same_bits(own_g, product)

    @first_cases
    def test_cotangent_is_broadcast(self, case):
        z = scores((4, 5))
        full = case.cotangent(z.shape, -1)
        for g in (2.0, np.float64(2), full[:1], full[0] if full.ndim > 1 else full[:1]):
            expected = case.bound.backward(np.broadcast_to(g, full.shape).copy(), z)
            assert_close(case.bound.backward(g, z), expected, 1e-15)

    @first_cases
    def test_integers_and_lists(self, case):
        z = [[1, 2, 3], [0, 5, 0]]
        expected = case.bound(np.array(z, np.float64))
        assert_same_bits(case.bound(z), expected)
        assert_same_bits(case.bound(np.array(z, np.int8)), expected)

    @first_cases
    def test_no_rows(self, case):
        for shape in ((0, 3), (2, 3, 0)):
            z = np.empty(shape, np.float32)
            value = case.bound(z)
            assert value.dtype == np.float32
            assert case.bound.backward(np.empty_like(value), z).shape == shape

    @first_cases
    @each_float
    def test_threads_and_levels(self, case, dtype):
        for classes in (7, 150):
            fl.set_isa(LEVELS[0])
            z = scores((3001, classes), dtype)
            g = case.cotangent(z.shape, -1, dtype)
            value, product = case.bound(z, n_threads=1), case.bound.backward(g, z, n_threads=1)
            for n in (2, 5):
                assert_same_bits(case.bound(z, n_threads=n), value)
                assert_same_bits(case.bound.backward(g, z, n_threads=n), product)
            for level in LEVELS:
                fl.set_isa(level)
                if level in ("v3", "v4") and LEVELS[0] in ("v3", "v4"):
                    assert_same_bits(case.bound(z), value, level)
                    assert_same_bits(case.bound.backward(g, z), product, level)
                else:
                    size = np.max(abs(product))
                    assert_close(case.bound(z), value, 8 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)
                    assert_close(case.bound.backward(g, z), product, 8 * np.finfo(dtype).eps, size)

    @first_cases
    def test_has_no_derivative_by_element(self, case):
        for ask in (case.bound.grad, case.bound.value_and_grad):
            with pytest.raises(TypeError, match=f"^{case.name} .*no derivative"):
                ask(scores((2, 3)))


class TestBadInput:
    @first_cases
    def test_axis(self, case):
        for axis in (2, -3):
            with pytest.raises(ValueError, match=rf"^{case.name}: axis is {axis}"):
                case.bound(scores((2, 3)), axis=axis)
        with pytest.raises(ValueError, match=rf"^{case.name}: input is a single number"):
            case.bound(1.0)
        with pytest.raises(ValueError, match=rf"^{case.name}: input has shape \(2, 0\)"):
            case.bound(np.empty((2, 0)))

    @pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
    def test_temperature(self, value):
        for name in ("softmax", "softmin", "log_softmax", "gumbel_softmax"):
            with pytest.raises(ValueError, match=f"^{name}: temperature"):
                Case(name).bound(scores((2, 3)), temperature=value)
        with pytest.raises(ValueError, match=r"^l2_normalize: eps"):
            fl.l2_normalize(scores((2, 3)), eps=-abs(value))

    @pytest.mark.parametrize("value", [0, 1, 3, 22, -2, 2.0, "2", None])
    def test_order(self, value):
        with pytest.raises((TypeError, ValueError), match=r"^taylor_softmax: order"):
            fl.taylor_softmax(scores((2, 3)), order=value)

    def test_noise(self):
        for wrong in (np.zeros((2, 2)), np.zeros((3, 3)), 1.0):
            with pytest.raises(ValueError, match=r"^gumbel_softmax: noise"):
                fl.gumbel_softmax(scores((2, 3)), wrong)
        with pytest.raises(TypeError, match=r"^gumbel_softmax: noise"):
            fl.gumbel_softmax(scores((2, 3)), None)
