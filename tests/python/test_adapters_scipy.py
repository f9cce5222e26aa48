"""Minimisers of SciPy with our objectives: the optimum and the number of evaluations that NumPy takes."""

from __future__ import annotations

import pickle
from importlib import import_module

import fusedloss as fl
import numpy as np
import pytest

optimize = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")
scipy_adapter = import_module("fusedloss.adapters.scipy")
LinearModel, Objective = scipy_adapter.LinearModel, scipy_adapter.Objective

N, P, K = 3000, 5, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P))
Z = X[:, 0] - 0.5 * X[:, 1]
BINARY = (RNG.random(N) < 1 / (1 + np.exp(-Z))).astype(float)
COUNTS = RNG.poisson(np.exp(Z / 2)).astype(float)
CLASSES = (X[:, :K] + RNG.gumbel(size=(N, K))).argmax(1)
WEIGHT = RNG.random(N) + 0.5


def logistic(w, l2=0.0, weight=WEIGHT):
    z = X @ w[:P] + w[P]
    p = 1 / (1 + np.exp(-z))
    grad = weight * (p - BINARY) / weight.sum()
    value = np.average(np.logaddexp(0, z) - BINARY * z, weights=weight) + l2 / 2 * w[:P] @ w[:P]
    return value, np.append(X.T @ grad + l2 * w[:P], grad.sum())


def multinomial(w, l2=0.0):
    coef, shift = w[: P * K].reshape(P, K), w[P * K :]
    z = X @ coef + shift
    m = z.max(1, keepdims=True)
    log_p = z - m - np.log(np.exp(z - m).sum(1, keepdims=True))
    grad = np.exp(log_p)
    grad[np.arange(N), CLASSES] -= 1
    value = -log_p[np.arange(N), CLASSES].mean() + l2 / 2 * (coef**2).sum()
    return value, np.append((X.T @ grad / N + l2 * coef).ravel(), grad.mean(0))


def poisson(w, l2=0.0):
    z = X @ w[:P] + w[P]
    grad = (np.exp(z) - COUNTS) / N
    return (np.exp(z) - COUNTS * z).mean() + l2 / 2 * w[:P] @ w[:P], np.append(X.T @ grad + l2 * w[:P], grad.sum())


MODELS = {
    "logistic": (
        lambda **o: LinearModel(fl.binary_cross_entropy_with_logits, X, BINARY, sample_weight=WEIGHT, **o),
        logistic,
    ),
    "multinomial": (lambda **o: LinearModel(fl.cross_entropy, X, CLASSES, **o), multinomial),
    "poisson": (lambda **o: LinearModel(fl.poisson_nll_loss, X, COUNTS, **o), poisson),
}
each_model = pytest.mark.parametrize("name", MODELS)


class TestLinearModel:
    @each_model
    @pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS"])
    @pytest.mark.parametrize("l2", [0.0, 0.1])
    def test_takes_the_same_way_as_numpy(self, name, method, l2):
        make, reference = MODELS[name]
        ours = make(l2=l2).fit(method=method)
        theirs = optimize.minimize(reference, make().start(), args=(l2,), jac=True, method=method)
        assert ours.nfev == theirs.nfev
        assert ours.fun == pytest.approx(theirs.fun, rel=1e-12)
        np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-6, atol=1e-6)

    @each_model
    def test_gradient(self, name):
        model = MODELS[name][0](l2=0.3)
        x = RNG.normal(size=model.start().shape) / 3
        assert optimize.check_grad(lambda v: model(v)[0], lambda v: model(v)[1], x) < 1e-5

    def test_gradients_are_new(self):
        model = MODELS["logistic"][0]()
        first = model(model.start())[1]
        kept = first.copy()
        model(model.start() + 1)
        np.testing.assert_array_equal(first, kept)

    @pytest.mark.parametrize("method", ["Newton-CG", "trust-krylov"])
    @pytest.mark.parametrize("name", ["logistic", "poisson"])
    def test_second_order(self, name, method):
        model = MODELS[name][0](l2=0.01)
        result = model.fit(method=method, hessp=model.hessp)
        assert result.success
        np.testing.assert_allclose(result.x, model.fit(tol=1e-12).x, rtol=1e-4, atol=1e-4)
        x = model.start() + 0.1
        product = model.hessp(x, np.ones_like(x))
        step = 1e-6
        numeric = (model(x + step)[1] - model(x - step)[1]) / (2 * step)
        np.testing.assert_allclose(product, numeric, rtol=1e-5)

    def test_no_hessian(self):
        model = MODELS["multinomial"][0]()
        with pytest.raises(TypeError, match="cross_entropy has no Hessian"):
            model.hessp(model.start(), model.start())

    def test_does_not_depend_on_threads(self):
        x = RNG.normal(size=P + 1)
        rows = np.repeat(np.arange(N), 40)
        model = LinearModel(fl.binary_cross_entropy_with_logits, X[rows], BINARY[rows])
        results = []
        for threads in (1, 2, 3):
            with fl.num_threads(threads):
                results.append(model(x))
        for value, grad in results[1:]:
            assert value == results[0][0]
            np.testing.assert_array_equal(grad, results[0][1])
        assert results[0][0] == pytest.approx(LinearModel(fl.binary_cross_entropy_with_logits, X, BINARY)(x)[0])

    def test_robust_regression_of_several_targets(self):
        targets = np.stack([Z, -Z], 1) + 0.1 * RNG.standard_cauchy((N, 2))
        fitted = LinearModel(fl.huber_loss, X, targets, delta=0.1, sample_weight=WEIGHT)
        coef, intercept = fitted.unpack(fitted.fit().x)
        np.testing.assert_allclose(coef[:2, 0], [1.0, -0.5], atol=0.05)
        np.testing.assert_allclose(coef[:2, 1], [-1.0, 0.5], atol=0.05)
        assert intercept.shape == (2,)

    def test_options(self):
        weight = np.array([1.0, 2.0, 0.5, 1.0])
        model = LinearModel(fl.cross_entropy, X, CLASSES, weight=weight, fit_intercept=False)
        assert model.start().shape == (P * K,)
        x = RNG.normal(size=P * K)
        expected = fl.cross_entropy(X @ x.reshape(P, K), CLASSES, weight=weight)
        assert model(x)[0] == pytest.approx(expected, rel=1e-12)
        scores = model.decision_function(x, X[:3])
        np.testing.assert_allclose(scores, X[:3] @ x.reshape(P, K))
        assert LinearModel(fl.cross_entropy, X, CLASSES, classes=7).shape == (P, 7)
        with pytest.raises(ValueError, match="y has 4 rows"):
            LinearModel(fl.huber_loss, X, np.zeros(4))

    def test_float32(self):
        model = LinearModel(fl.binary_cross_entropy_with_logits, X.astype(np.float32), BINARY, sample_weight=WEIGHT)
        value, grad = model(np.full(P + 1, 0.1))
        expected = logistic(np.full(P + 1, 0.1))
        assert grad.dtype == np.float64
        assert value == pytest.approx(expected[0], rel=1e-6)
        np.testing.assert_allclose(grad, expected[1], rtol=1e-4)

    def test_sparse_matrices(self):
        sparse = pytest.importorskip("scipy.sparse").csr_array(np.where(abs(X) > 1, X, 0))
        dense = LinearModel(fl.huber_loss, sparse.toarray(), Z)
        x = RNG.normal(size=P + 1)
        ours = LinearModel(fl.huber_loss, sparse, Z)(x)
        assert ours[0] == pytest.approx(dense(x)[0])
        np.testing.assert_allclose(ours[1], dense(x)[1], rtol=1e-10)

    def test_is_plain(self):
        model = MODELS["logistic"][0]()
        model.hessp(model.start(), model.start())
        same = pickle.loads(pickle.dumps(model))
        assert same(model.start())[0] == model(model.start())[0]
        assert repr(model) == "LinearModel(binary_cross_entropy_with_logits, 3000 x 5, l2=0.0)"


class TestObjective:
    def test_of_predictions(self):
        objective = Objective(fl.huber_loss, Z[:10], delta=0.5)
        result = optimize.minimize(objective, np.zeros(10), jac=True, method="BFGS")
        np.testing.assert_allclose(result.x, Z[:10], atol=1e-4)
        assert repr(objective) == "Objective(huber_loss)"
        assert pickle.loads(pickle.dumps(objective))(np.zeros(10))[0] == objective(np.zeros(10))[0]

    def test_of_a_model(self):
        """Exponential decay with outliers."""
        t = np.linspace(0, 4, 200)
        y = 3.0 * np.exp(-1.5 * t)
        y[::10] += 5.0
        objective = Objective(
            fl.cauchy_loss,
            y,
            model=lambda x: x[0] * np.exp(-x[1] * t),
            pullback=lambda x, g: np.array([g @ np.exp(-x[1] * t), -g @ (x[0] * t * np.exp(-x[1] * t))]),
            c=0.1,
        )
        assert optimize.check_grad(lambda v: objective(v)[0], lambda v: objective(v)[1], [2.0, 1.0]) < 1e-6
        result = optimize.minimize(objective, [2.0, 1.0], jac=True)
        np.testing.assert_allclose(result.x, [3.0, 1.5], atol=0.01)

    def test_more_data_and_weights(self):
        mean, scale, weight = np.zeros(5), np.full(5, 2.0), np.arange(5.0)
        objective = Objective(fl.laplace_nll_loss, Z[:5], scale, sample_weight=weight)
        value, grad = objective(mean)
        assert value == pytest.approx(fl.laplace_nll_loss(mean, Z[:5], scale, sample_weight=weight))
        np.testing.assert_array_equal(
            grad, fl.laplace_nll_loss.grad(mean, Z[:5], scale, sample_weight=weight, wrt="input")
        )

    def test_half_a_model(self):
        with pytest.raises(TypeError, match="pullback"):
            Objective(fl.huber_loss, Z, model=lambda x: x)
