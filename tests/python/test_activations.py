"""Activations: values and derivatives against references and PyTorch, and every way to ask for them."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import re
import typing
from dataclasses import dataclass, field
from typing import Any

import fusedloss as fl
import ml_dtypes
import numpy as np
import pytest
from battery import FLOATS, HALVES, assert_close, assert_same_bits, each_float, each_half
from cases import Real
from fusedloss import _core
from fusedloss import activation as module
from references import MP, NP, Exact, _context
from references_activations import REFERENCES, errors

ELEMENTWISE = {a.name: a for a in fl.activations() if a.family == "elementwise"}


@dataclass(frozen=True)
class Case:
    """An activation with one set of parameters, and where it is not smooth."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    kinks: tuple[float, ...] = ()

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.params.items())])

    @property
    def bound(self) -> fl.Activation:
        return ELEMENTWISE[self.name].bind(**self.params)

    def reference(self, x: np.ndarray) -> Any:
        return REFERENCES[self.name](NP, x, **self.params)

    def sample(self, shape: Any = 1000, dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
        """Moderate numbers on both sides of the kinks and none next to one."""
        x = np.random.default_rng(seed).uniform(-5, 5, shape).astype(dtype)
        for kink in self.kinks:
            x = np.where(abs(x - kink) < 1e-2, x + 0.03, x).astype(dtype)
        return x


CASES = [
    Case("sigmoid"),
    Case("half_logit"),
    Case("log_sigmoid"),
    Case("softplus"),
    Case("softplus", {"beta": 1.7}),
    Case("softplus", {"beta": 37.5}),
    Case("softplus", {"beta": 0.3125, "threshold": 1.015625}, (3.25,)),
    Case("tanh"),
    Case("exp"),
    Case("softsign", kinks=(0.0,)),
    Case("relu", kinks=(0.0,)),
    Case("leaky_relu", kinks=(0.0,)),
    Case("leaky_relu", {"negative_slope": 0.25}, (0.0,)),
    Case("hardtanh", kinks=(-1.0, 1.0)),
    Case("hardtanh", {"min_val": 0.0, "max_val": 4.0}, (0.0, 4.0)),
    Case("hardsigmoid", kinks=(-3.0, 3.0)),
    Case("softshrink", kinks=(-0.5, 0.5)),
    Case("softshrink", {"lambd": 1.25}, (-1.25, 1.25)),
    Case("elu", kinks=(0.0,)),
    Case("elu", {"alpha": 1.75}, (0.0,)),
    Case("selu", kinks=(0.0,)),
    Case("silu"),
    Case("gelu"),
    Case("gelu", {"approximate": "tanh"}),
    Case("mish"),
]
FIRST_CASES = list({case.name: case for case in reversed(CASES)}.values())[::-1]

each_activation = pytest.mark.parametrize("activation", fl.activations(), ids=lambda a: a.name)
each_case = pytest.mark.parametrize("case", CASES, ids=str)
first_cases = pytest.mark.parametrize("case", FIRST_CASES, ids=str)

LEVELS = [name for name, supported in fl.show_config()["isa_levels"].items() if supported]


def test_every_activation_has_a_reference_and_a_case():
    assert set(ELEMENTWISE) == set(REFERENCES) == {case.name for case in CASES}
    for activation in ELEMENTWISE.values():
        reached = {key for case in CASES if case.name == activation.name for key in case.params}
        assert set(activation.params) <= reached


def test_every_kernel_has_a_case():
    units = {info["name"] for info in _core.losses() if info["name"].endswith("_unit")}
    assert units == {case.bound._probe[0].name for case in CASES}


class TestNumbers:
    @each_case
    def test_values(self, case):
        x = case.sample()
        assert_close(case.bound(x), case.reference(x).value, 1e-12, atol=1e-15)

    @each_case
    def test_derivatives(self, case):
        x = case.sample()
        exact = case.reference(x)
        assert_close(case.bound.grad(x), exact.slope, 1e-12, exact.scale, atol=1e-15)

    @each_case
    def test_reference_is_the_derivative_of_its_value(self, case):
        with _context.workdps(60):
            for x in case.sample(6):
                true = Exact(REFERENCES[case.name](MP, Exact(float(x)), **case.params).slope).v
                differentiated = _context.diff(
                    lambda t: Exact(REFERENCES[case.name](MP, Exact(t), **case.params).value).v, _context.mpf(float(x))
                )
                assert abs(true - differentiated) < 1e-15

    @each_case
    def test_derivative_is_the_difference_of_values(self, case):
        x, h = case.sample(), 1e-3
        f = case.bound
        slope = (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)
        steepness = max(1.0, case.params.get("beta", 1.0)) ** 5  # how fast the error of the difference grows
        assert_close(f.grad(x), slope, 1e-9, atol=1e-11 * steepness + 1e-12)

    @each_case
    @each_float
    def test_extremes(self, case, dtype):
        """Two units in the last place (three for a float64 derivative), and the limits at the infinities."""
        generator = np.random.default_rng(1)
        spread = np.concatenate([generator.uniform(-50, 50, 60), generator.normal(0, 2, 60), case.kinks])
        x = np.concatenate([Real().extremes(dtype), [np.nan, np.inf, -np.inf], spread.astype(dtype)]).astype(dtype)
        value, slope = case.bound.value_and_grad(x)
        for at, v, s in zip(x, value, slope, strict=True):
            by_value, by_slope = errors(case.name, at, v, s, dtype, **case.params)
            assert by_value <= 2, (at, v)
            assert by_slope <= (2 if dtype is np.float32 else 3), (at, s)

    @each_case
    def test_many_floats(self, case):
        """Every float32 is a float64 too, and there references have digits to spare."""
        x = np.random.default_rng(2).uniform(-20, 20, 200_000).astype(np.float32)
        x = x[~np.isin(x, np.float32(case.kinks))]
        wide = x.astype(np.float64)
        value, slope = case.bound.value_and_grad(x)
        exact_value, exact_slope = case.bound.value_and_grad(wide)
        for actual, exact in ((value, exact_value), (slope, exact_slope)):
            scale = (
                np.maximum(abs(exact), case.reference(wide).scale) if actual is slope and needs_scale(case) else exact
            )
            unit = np.spacing(np.maximum(abs(scale), np.finfo(np.float32).tiny).astype(np.float32))
            # A product with 1 / beta may take a result to where units are half as large.
            assert np.max(abs(actual - exact) / unit) <= (2.25 if "beta" in case.params else 2)

    @each_case
    @each_half
    def test_halves_are_storage(self, case, dtype):
        x = case.sample(500, dtype)
        value, slope = case.bound.value_and_grad(x)
        assert value.dtype == slope.dtype == x.dtype
        single = case.bound.value_and_grad(x.astype(np.float32))
        assert_same_bits(value, single[0].astype(dtype))
        assert_same_bits(slope, single[1].astype(dtype))
        assert_same_bits(case.bound(x), value)

    def test_tails_have_all_their_digits(self):
        x = np.array([-30.0, -17.0], np.float32)
        tail = np.exp(x.astype(np.float64))
        for name, value, slope in (
            ("sigmoid", tail, tail),
            ("softplus", tail, tail),
            ("silu", x * tail, (1 + x) * tail),
            ("mish", x * tail, (1 + x) * tail),
            ("tanh", np.tanh(x), 4 * tail**2),
        ):
            actual = ELEMENTWISE[name].value_and_grad(x)
            assert_close(actual[0], value, 3e-7)
            assert_close(actual[1], slope, 3e-7)

    def test_softplus_is_exact_unless_told_otherwise(self):
        x = np.array([25.0])
        assert fl.softplus(x)[0] > 25
        assert fl.softplus(x, threshold=20.0)[0] == 25
        assert fl.softplus.grad(x, threshold=20.0)[0] == 1


def needs_scale(case: Case) -> bool:
    return case.reference(np.zeros(1)).scale is not None


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


class TestTorch:
    @each_case
    def test_values_and_derivatives(self, torch, case):
        if case.name == "half_logit":
            pytest.skip("not in PyTorch")
        functional = torch.nn.functional
        renamed = {"log_sigmoid": functional.logsigmoid, "exp": torch.exp, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
        function = renamed.get(case.name) or getattr(functional, case.name)
        params = dict(case.params)
        if case.name == "softplus":
            params.setdefault("threshold", 1e30)
        x = np.concatenate([case.sample(500), case.kinks])
        tensor = torch.tensor(x, requires_grad=True)
        expected = function(tensor, **params)
        expected.backward(torch.ones_like(tensor))
        value, slope = case.bound.value_and_grad(x)
        assert_close(value, expected.detach().numpy(), 1e-12, atol=1e-14)
        # PyTorch's 1/6 is a float32.
        assert_close(slope, tensor.grad.numpy(), 1e-7 if case.name == "hardsigmoid" else 1e-11, atol=1e-14)

    @pytest.mark.parametrize("activation", ELEMENTWISE.values(), ids=ELEMENTWISE)
    def test_signatures_have_the_same_names(self, torch, activation):
        function = getattr(torch.nn.functional, activation.name, None)
        if function is None or activation.name in ("tanh", "sigmoid"):
            return
        try:
            theirs = inspect.signature(function).parameters
        except ValueError:  # a builtin
            theirs = dict.fromkeys(re.findall(r"(\w+)\s*(?:=|,|\))", function.__doc__.split("->")[0]))
        assert set(activation.params) <= set(theirs)


class TestAsking:
    @first_cases
    @each_float
    def test_value_and_derivative_agree_bitwise(self, case, dtype):
        x = case.sample(1003, dtype)
        value, slope = case.bound.value_and_grad(x)
        assert value.dtype == slope.dtype == dtype
        assert_same_bits(case.bound(x), value)
        assert_same_bits(case.bound.grad(x), slope)

    @first_cases
    @each_float
    def test_backward(self, case, dtype):
        x = case.sample((4, 25), dtype)
        slope = case.bound.grad(x)
        for shape in ((4, 25), (25,), (4, 1), ()):
            cotangent = np.random.default_rng(1).normal(size=shape).astype(dtype)
            actual = case.bound.backward(cotangent, x)
            assert actual.dtype == dtype
            assert_close(actual, cotangent * slope, np.finfo(dtype).eps)
        assert_close(case.bound.backward(2.0, x), 2 * slope, 0)
        assert not case.bound.backward(np.zeros_like(x), x).any()

    def test_cotangent_zero_masks(self):
        x = np.array([np.nan, np.inf, 1.0])
        assert_close(fl.silu.backward(np.array([0.0, 0.0, 1.0]), x), [0, 0, fl.silu.grad(x)[2]], 0)

    @first_cases
    @pytest.mark.parametrize("dtype", [*FLOATS, *HALVES], ids=lambda dtype: np.dtype(dtype).name)
    def test_out(self, case, dtype):
        x = case.sample(5000, dtype)
        value, slope = case.bound(x), case.bound.grad(x)
        for out in (np.empty_like(x), np.empty((2, 5000), dtype)[1], np.empty((5000, 2), dtype)[:, 0], x.copy()):
            assert case.bound(x, out=out) is out
            assert_same_bits(out, value)
            assert case.bound.grad(x, out=out) is out
            assert_same_bits(out, slope)
            assert case.bound.backward(1.0, x, out=out) is out
            assert_same_bits(out, slope)
        first, second = np.empty_like(x), np.empty_like(x)
        returned = case.bound.value_and_grad(x, out=(first, second))
        assert returned[0] is first
        assert returned[1] is second
        assert_same_bits(first, value)
        assert_same_bits(second, slope)

    @first_cases
    @each_float
    def test_out_may_be_the_input(self, case, dtype):
        x = case.sample(5000, dtype)
        for ask in (case.bound, case.bound.grad, lambda x, out=None: case.bound.backward(1.5, x, out=out)):
            expected, own = ask(x), x.copy()
            assert ask(own, out=own) is own
            assert_same_bits(own, expected)
        shifted = np.concatenate([x, x[:7]])
        expected = case.bound(shifted[7:].copy())
        assert_same_bits(case.bound(shifted[7:], out=shifted[:-7]), expected)

    @first_cases
    def test_value_may_replace_the_input_beside_the_derivative(self, case):
        x = case.sample(5000)
        value, slope = case.bound.value_and_grad(x)
        own, other = x.copy(), np.empty_like(x)
        case.bound.value_and_grad(own, out=(own, other))
        assert_same_bits(own, value)
        assert_same_bits(other, slope)

    def test_one_of_two_outputs(self):
        x = np.linspace(-1, 1, 5)
        out = np.empty_like(x)
        value, slope = fl.tanh.value_and_grad(x, out=(None, out))
        assert slope is out
        assert_same_bits(value, fl.tanh(x))

    @first_cases
    @each_float
    def test_layouts(self, case, dtype):
        x = case.sample((6, 8, 10), dtype)
        value, slope = case.bound(x), case.bound.grad(x)
        wide = np.zeros((6, 16, 10), dtype)
        wide[:, ::2] = x
        swapped = x.astype(x.dtype.newbyteorder())
        read_only = x.copy()
        read_only.flags.writeable = False
        for same in (np.asfortranarray(x), wide[:, ::2], x[::-1][::-1], swapped, read_only):
            assert_same_bits(case.bound(same), value)
            assert_same_bits(case.bound.grad(same), slope)
        assert_same_bits(case.bound(x.T), value.T)

    @first_cases
    def test_small_arrays(self, case):
        x = case.sample(70)
        value, slope = case.bound(x), case.bound.grad(x)
        for n in (*range(18), 63, 64, 65):
            assert_same_bits(case.bound(x[:n]), value[:n])
            assert_same_bits(case.bound.grad(x[:n]), slope[:n])
        for shape in ((0,), (3, 0), (0, 2, 0)):
            empty = np.empty(shape, np.float32)
            assert case.bound(empty).shape == case.bound.grad(empty).shape == shape
            assert case.bound.backward(np.empty(shape), empty).shape == shape

    def test_scalars_lists_and_integers(self):
        assert fl.sigmoid(0.0) == 0.5
        assert fl.sigmoid(0.0).shape == ()
        assert_same_bits(fl.relu([-1, 2]), np.array([0.0, 2.0]))
        assert_same_bits(fl.tanh(np.array([0, 1], np.int8)), np.tanh([0.0, 1.0]))
        assert_same_bits(fl.sigmoid.grad(np.array([False])), np.array([0.25]))

    @first_cases
    def test_input_is_never_written(self, case):
        x = case.sample(100)
        before = x.copy()
        case.bound.value_and_grad(x)
        case.bound.backward(x, x)
        assert_same_bits(x, before)

    @first_cases
    def test_nan_stays(self, case):
        x = np.array([np.nan, 1.0])
        for result in (*case.bound.value_and_grad(x), case.bound.backward(2.0, x)):
            assert np.isnan(result[0])
            assert not np.isnan(result[1])


class TestDeterminism:
    @first_cases
    @each_float
    def test_threads(self, case, dtype):
        x = case.sample(70_001, dtype)
        expected = case.bound.value_and_grad(x, n_threads=1)
        pulled = case.bound.backward(x, x, n_threads=1)
        for n in (2, 3, 8):
            for actual, one in zip(case.bound.value_and_grad(x, n_threads=n), expected, strict=True):
                assert_same_bits(actual, one)
            assert_same_bits(case.bound.backward(x, x, n_threads=n), pulled)

    @each_case
    @each_float
    def test_levels(self, case, dtype):
        x = np.concatenate([case.sample(1003, dtype), Real().extremes(dtype), [np.nan, np.inf, -np.inf]]).astype(dtype)
        results = {}
        for level in LEVELS:
            fl.set_isa(level)
            results[level] = case.bound.value_and_grad(x)
        fused = [level for level in LEVELS if level in ("v3", "v4")]
        for level in fused[1:]:
            for actual, expected in zip(results[level], results[fused[0]], strict=True):
                assert_same_bits(actual, expected)
        moderate = case.sample(1003, dtype)
        scale = case.reference(moderate.astype(np.float64)).scale
        for level in set(LEVELS) - set(fused) if fused else ():
            for k, (actual, expected) in enumerate(zip(results[level], results[fused[0]], strict=True)):
                own_scale = scale if k else None
                assert_close(actual[:1003], expected[:1003], 3 * np.finfo(dtype).eps, own_scale, what=level)


def others(activation) -> tuple[np.ndarray, ...]:
    """What an activation takes besides its input: noise."""
    return tuple(np.zeros((4, 3)) for _ in activation.inputs[1:])


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (None, "None"),
            ("0.5", "str"),
            (np.array([1j]), "complex"),
            (np.array([object()]), "object"),
            (np.ma.masked_array([1.0], [True]), "masked"),
        ],
        ids=["None", "str", "complex", "object", "masked"],
    )
    @each_activation
    def test_input(self, activation, given, words):
        for ask in (activation, lambda *x: activation.backward(1.0, *x)):
            with pytest.raises(TypeError, match=rf"^{activation.name}: input .*{words}"):
                ask(given, *others(activation))

    @each_activation
    def test_cotangent(self, activation):
        x = np.ones((4, 3))
        with pytest.raises(ValueError, match=rf"^{activation.name}: grad_output has shape \(7,\)"):
            activation.backward(np.ones(7), x, *others(activation))
        with pytest.raises(TypeError, match=rf"^{activation.name}: grad_output"):
            activation.backward(None, x, *others(activation))

    @each_activation
    def test_out(self, activation):
        x = np.ones((4, 3))
        read_only = np.ones((4, 3))
        read_only.flags.writeable = False
        rest = others(activation)
        own = activation(x, *rest)
        for bad, error, words in (
            (np.empty((5, 3)), ValueError, "shape"),
            (np.empty(own.shape, np.float32), TypeError, "dtype"),
            ([0.0] * 4, TypeError, "numpy array"),
        ):
            with pytest.raises(error, match=rf"^{activation.name}: out.*{words}"):
                activation(x, *rest, out=bad)
        if own.shape == x.shape:
            with pytest.raises(ValueError, match=rf"^{activation.name}: out is read-only"):
                activation(x, *rest, out=read_only)
        with pytest.raises(ValueError, match=rf"^{activation.name}: out is read-only"):
            activation.backward(1.0, x, *rest, out=read_only)

    def test_overlapping_outputs(self):
        x, out = np.ones(4), np.empty(5)
        with pytest.raises(ValueError, match="tanh: out: two of the arrays overlap"):
            fl.tanh.value_and_grad(x, out=(out[:4], out[1:]))

    @pytest.mark.parametrize(
        ("name", "params"),
        [
            ("softplus", {"beta": 0.0}),
            ("softplus", {"beta": math.inf}),
            ("softplus", {"threshold": -1.0}),
            ("leaky_relu", {"negative_slope": math.nan}),
            ("hardtanh", {"max_val": -1.0}),
            ("softshrink", {"lambd": -0.5}),
            ("elu", {"alpha": math.inf}),
            ("gelu", {"approximate": "erf"}),
        ],
        ids=lambda p: p if isinstance(p, str) else "-".join(f"{k}={v}" for k, v in p.items()),
    )
    def test_parameters(self, name, params):
        key = next(iter(params))
        for ask in (ELEMENTWISE[name], ELEMENTWISE[name].grad, lambda _, **p: ELEMENTWISE[name].bind(**p)):
            with pytest.raises(ValueError, match=key):
                ask(1.0, **params)
        with pytest.raises(ValueError, match=f"^{name}: "):
            ELEMENTWISE[name](1.0, **params)


class TestObject:
    def test_list(self):
        names = [activation.name for activation in fl.activations()]
        assert names == sorted(names)
        assert not {loss.name for loss in fl.losses()} & set(names)
        assert set(module.__all__) == set(names)
        for activation in fl.activations():
            assert getattr(fl, activation.name) is activation

    @each_activation
    def test_search_finds_it(self, activation):
        for name in (activation.name.upper(), *activation.aliases):
            assert activation in fl.activations(name)
        assert fl.activations("no such thing") == []

    def test_a_name_means_one(self):
        names = [name.casefold() for a in fl.activations() for name in (a.name, *a.aliases)]
        assert len(set(names)) == len(names)

    @each_activation
    def test_documentation(self, activation):
        assert activation.summary == activation.__doc__.splitlines()[0]
        assert activation.summary.endswith(".")
        for section in ("formula", "gradient", "domain", "source"):
            assert getattr(activation, section), section
        assert re.search(r"\b(1[89]|20)\d\d\b", activation.source)
        for heading in ("Parameters\n----", "Returns\n----", "Raises\n----"):
            assert heading in activation.__doc__
        signature = inspect.signature(activation)
        documented = re.findall(r"^(\w+) : (.*)$", activation.__doc__, re.MULTILINE)
        assert [name for name, _ in documented] == list(signature.parameters)
        for name, kind in documented:
            default = signature.parameters[name].default
            if default not in (inspect.Parameter.empty, None):
                shown = kind.partition("default ")[2].strip('"')
                assert type(default)(shown) == default
        assert set(typing.get_type_hints(inspect.unwrap(activation))) == {*signature.parameters, "return"}
        assert next(iter(signature.parameters)) == "input"
        assert list(signature.parameters)[-1] == "out"

    @each_activation
    def test_is_one_object(self, activation):
        assert isinstance(activation, fl.Activation)
        assert pickle.loads(pickle.dumps(activation)) is activation
        assert copy.deepcopy(activation) == activation
        assert hash(copy.copy(activation)) == hash(activation)
        assert repr(activation) == f"<activation {activation.name}>"
        assert activation.__module__ == "fusedloss.activation"

    @each_case
    def test_bind(self, case):
        x = case.sample(40)
        bound, expected = case.bound, ELEMENTWISE[case.name](x, **case.params)
        for same in (bound, copy.copy(bound), *(pickle.loads(pickle.dumps(bound, k)) for k in range(6))):
            assert same == bound
            assert repr(same) == repr(bound)
            assert_same_bits(same(x), expected)
        assert bound.params == {**ELEMENTWISE[case.name].params, **case.params}
        assert (bound == ELEMENTWISE[case.name]) == (not case.params)

    def test_bind_refuses_what_is_no_parameter(self):
        for name in ("out", "input", "n_threads", "gamma"):
            with pytest.raises(TypeError, match=name):
                fl.softplus.bind(**{name: 1.0})
        assert repr(fl.softplus.bind(beta=2.0)) == "<activation softplus with beta=2.0>"

    def test_an_activation_is_no_loss(self):
        assert fl.sigmoid != fl.mse_loss
        assert not isinstance(fl.sigmoid, fl.Loss)

    def test_bfloat16_without_conversion(self):
        x = np.array([-1.0, 0.5], ml_dtypes.bfloat16)
        assert fl.relu(x).dtype == ml_dtypes.bfloat16
