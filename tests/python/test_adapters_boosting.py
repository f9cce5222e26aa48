"""Boosting with our losses: the built-in objectives again, and what makes a custom objective train a wrong model."""

from __future__ import annotations

import copy
import json
import pickle
from importlib import import_module
from typing import ClassVar

import fusedloss as fl
import numpy as np
import pytest

N, COLUMNS, ROUNDS = 600, 5, 12
TASKS = ("binary", "regression", "poisson", "huber", "multiclass", "tweedie")
LIGHTGBM = {"verbose": -1, "num_leaves": 7, "min_data_in_leaf": 5, "deterministic": True, "num_threads": 1, "seed": 1}
XGBOOST = {"max_depth": 3, "eta": 0.3, "nthread": 1, "seed": 1, "tree_method": "exact", "max_delta_step": 0}


def data_of(task, rows=N):
    rng = np.random.default_rng(len(task))
    x = rng.normal(size=(rows, COLUMNS))
    signal = x[:, 0] - 0.5 * x[:, 1] ** 2 + rng.normal(size=rows) * 0.3
    y = {
        "binary": lambda: (signal > 0.3).astype(np.float64),
        "multiclass": lambda: np.digitize(signal, [-0.8, 0.4]).astype(np.float64),
        "poisson": lambda: rng.poisson(np.exp(signal / 2)).astype(np.float64),
        "tweedie": lambda: rng.poisson(np.exp(signal / 2)) * rng.gamma(2.0, size=rows),
    }.get(task, lambda: 10.0 + 2.0 * signal)()
    weight = rng.integers(1, 4, rows).astype(np.float64)
    return x, y, weight


LOSSES = {
    "binary": (fl.binary_cross_entropy_with_logits, {}),
    "regression": (fl.half_squared_error, {}),
    "poisson": (fl.poisson_nll_loss, {}),
    "huber": (fl.huber_loss, {"delta": 0.9}),
    "multiclass": (fl.cross_entropy, {}),
    "tweedie": (fl.tweedie_nll_loss, {"power": 1.5}),
}
OWN = {"huber": {"alpha": 0.9}, "multiclass": {"num_class": 3}}
each_task = pytest.mark.parametrize("task", TASKS)
weighted = pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])


@pytest.fixture
def lgb():
    return pytest.importorskip("lightgbm", reason="LightGBM is not installed")


@pytest.fixture
def xgb():
    return pytest.importorskip("xgboost", reason="XGBoost is not installed")


def lightgbm_objective(task, **options):
    from fusedloss.adapters.lightgbm import Objective

    loss, params = LOSSES[task]
    return Objective(loss, **params, **options)


def xgboost_objective(task, **options):
    from fusedloss.adapters.xgboost import Objective

    loss, params = LOSSES[task]
    return Objective(loss, **params, **options)


def start_of(objective, task, y, w):
    if task != "huber":
        return objective.init_score(y, w)
    objective.start = np.average(y, weights=w)  # LightGBM's own objective starts from the mean
    return objective.same_score(len(y))


class TestLightGBM:
    def train(self, lgb, objective, data, params=None):
        return lgb.train({**LIGHTGBM, **(params or {}), "objective": objective}, data, ROUNDS)

    @each_task
    @weighted
    def test_train_gives_the_predictions_of_the_built_in_objective(self, lgb, task, weighted):
        x, y, w = data_of(task)
        w = w if weighted else None
        expected = self.train(lgb, task, lgb.Dataset(x, y, weight=w), OWN.get(task)).predict(x)
        objective = lightgbm_objective(task)
        params = {"num_class": 3} if task == "multiclass" else None
        start = start_of(objective, task, y, w)
        booster = self.train(lgb, objective, lgb.Dataset(x, y, weight=w, init_score=start), params)
        np.testing.assert_allclose(objective.predict(booster, x), expected, rtol=1e-6, atol=1e-6)

    @each_task
    @weighted
    def test_estimators_give_the_predictions_of_the_built_in_objective(self, lgb, task, weighted):
        x, y, w = data_of(task)
        w = w if weighted else None
        make = lgb.LGBMClassifier if task in ("binary", "multiclass") else lgb.LGBMRegressor
        params = {**{k: v for k, v in LIGHTGBM.items() if k != "num_threads"}, "n_estimators": ROUNDS, "n_jobs": 1}
        own = {k: v for k, v in OWN.get(task, {}).items() if k != "num_class"}
        built_in = make(objective=task, **params, **own).fit(x, y, sample_weight=w)
        expected = built_in.predict_proba(x) if make is lgb.LGBMClassifier else built_in.predict(x)
        expected = expected[:, 1] if task == "binary" else expected
        objective = lightgbm_objective(task)
        model = make(objective=objective, **params)
        model.fit(x, y, sample_weight=w, init_score=start_of(objective, task, y, w))
        np.testing.assert_allclose(objective.predict(model, x), expected, rtol=1e-6, atol=1e-6)

    def test_first_tree_of_quantile_splits_as_the_built_in_one(self, lgb):
        """Its leaves are then moved, which only built-in objectives may do."""
        from fusedloss.adapters.lightgbm import Objective

        x, y, _ = data_of("regression")
        y = np.round(y * 8) / 8 + 0.01  # no residual is 0 at the start
        start = np.full(N, np.quantile(y, 0.8) + 0.003)
        own = {"boost_from_average": False, "alpha": 0.8}

        def splits(objective, params):
            data = lgb.Dataset(x, y, init_score=start)
            booster = lgb.train({**LIGHTGBM, **params, "objective": objective}, data, 1)
            tree = booster.dump_model()["tree_info"][0]["tree_structure"]
            text = json.dumps(tree)
            return [text.count(key) for key in ("split_feature",)], booster.trees_to_dataframe()[
                ["split_feature", "threshold", "count"]
            ]

        ours = splits(Objective(fl.quantile_loss, quantile=0.8), {})
        theirs = splits("quantile", own)
        assert ours[0] == theirs[0]
        assert ours[1].equals(theirs[1])

    @pytest.mark.parametrize(("weights", "rounds"), [("2", ROUNDS), ("1 to 3", 1)])
    def test_weight_2_is_the_row_twice(self, lgb, weights, rounds):
        """Of different weights only at first: LightGBM estimates how many rows a leaf has, in its own objective too."""
        objective = lightgbm_objective("binary")
        x, y, w = data_of("binary")
        w = np.full(N, 2.0) if weights == "2" else w
        params = {**LIGHTGBM, "objective": objective, "max_bin": 1023, "min_data_in_leaf": 0, "min_data_in_bin": 1}
        one = lgb.train(params, objective.dataset(x, y, weight=w), rounds)
        expected = objective.predict(one, x)
        twice = np.repeat(np.arange(N), w.astype(int))
        many = lgb.train(params, objective.dataset(x[twice], y[twice]), rounds)
        np.testing.assert_allclose(objective.predict(many, x), expected, rtol=1e-6, atol=1e-6)

    def test_gradients_need_no_copy(self, lgb):
        objective = lightgbm_objective("multiclass")
        for result in objective(np.array([0.0, 2.0, 1.0]), np.asfortranarray(np.zeros((3, 3)))):
            assert result.dtype == np.float32
            assert result.flags.f_contiguous
            assert np.shares_memory(result.ravel(order="F"), result)

    def test_validation(self, lgb):
        x, y, w = data_of("multiclass")
        objective = lightgbm_objective("multiclass")
        train = objective.dataset(x, y, weight=w)
        valid = objective.dataset(x, y, weight=w, reference=train)
        seen = {}
        params = {**LIGHTGBM, "objective": objective, "num_class": 3, "metric": "None"}
        from fusedloss.adapters.lightgbm import Metric

        def metrics(scores, data):
            return [objective.metric()(scores, data), Metric(fl.accuracy)(scores, data)]

        booster = lgb.train(
            params,
            train,
            ROUNDS,
            valid_sets=[valid],
            feval=metrics,
            callbacks=[lgb.record_evaluation(seen)],
        )
        p = objective.predict(booster, x)
        history = seen["valid_0"]
        picked = p[np.arange(N), y.astype(int)]
        np.testing.assert_allclose(history["cross_entropy"][-1], np.average(-np.log(picked), weights=w), rtol=1e-6)
        assert history["accuracy"][-1] == pytest.approx(np.average(p.argmax(1) == y, weights=w))
        assert Metric(fl.accuracy).higher_is_better

    def test_estimators_may_be_searched_in_processes(self, lgb):
        selection = pytest.importorskip("sklearn.model_selection", reason="scikit-learn is not installed")
        x, y, _ = data_of("binary")
        from fusedloss.adapters.lightgbm import Objective

        objectives = [Objective(fl.sigmoid_focal_loss, gamma=gamma, alpha=-1.0) for gamma in (0.0, 1.0)]
        model = lgb.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)
        search = selection.GridSearchCV(model, {"objective": objectives}, cv=2, n_jobs=2, scoring=raw_score_accuracy)
        assert search.fit(x, y).best_score_ > 0.8


def raw_score_accuracy(model, x, y):
    return float(((model.predict(x, raw_score=True) > 0) == y).mean())


BUILT_IN = {
    "binary": ("binary:logistic", {}),
    "regression": ("reg:squarederror", {}),
    "poisson": ("count:poisson", {"max_delta_step": 0.7}),
    "huber": ("reg:pseudohubererror", {"huber_slope": 0.9}),
    "multiclass": ("multi:softprob", {"num_class": 3}),
    "tweedie": ("reg:tweedie", {"tweedie_variance_power": 1.5}),
}


class TestXGBoost:
    def train(self, xgb, data, **params):
        objective = params.pop("obj", None)
        return xgb.train({**XGBOOST, **params}, data, ROUNDS, obj=objective)

    def objective(self, task):
        if task == "huber":
            from fusedloss.adapters.xgboost import Objective

            return Objective(fl.pseudo_huber_loss, delta=0.9)
        return xgboost_objective(task)

    def base_of(self, task, start):
        """The start as built-in objectives take it: a prediction rather than a score."""
        return {"binary": lambda s: 1 / (1 + np.exp(-s)), "poisson": np.exp, "tweedie": np.exp}.get(task, lambda s: s)(
            start
        )

    @each_task
    @weighted
    def test_train_gives_the_predictions_of_the_built_in_objective(self, xgb, task, weighted):
        x, y, w = data_of(task)
        data = xgb.DMatrix(x, y, weight=w if weighted else None)
        objective = self.objective(task)
        start = objective.base_score(y, w if weighted else None)
        name, own = BUILT_IN[task]
        expected = self.train(xgb, data, objective=name, **own, base_score=self.base_of(task, start)).predict(data)
        params = {"max_delta_step": own["max_delta_step"]} if "max_delta_step" in own else {}
        params |= {"num_class": 3} if task == "multiclass" else {}
        booster = self.train(xgb, data, obj=objective, base_score=start, **params)
        # XGBoost computes its pseudo-Huber loss in float32, and splits that are nearly as good change places.
        tolerance = 1e-3 if task == "huber" else 1e-6
        np.testing.assert_allclose(objective.predict(booster, data), expected, rtol=tolerance, atol=1e-6)

    @weighted
    def test_without_the_private_handle_of_the_c_interface(self, xgb, weighted, monkeypatch):
        x, y, w = data_of("binary")
        data = xgb.DMatrix(x, y, weight=w if weighted else None)
        scores = np.linspace(-3.0, 3.0, len(y), dtype=np.float32)
        expected = [array.copy() for array in xgboost_objective("binary")(scores, data)]
        monkeypatch.setattr(import_module("fusedloss.adapters.xgboost"), "_float_info", lambda: None)
        found = xgboost_objective("binary")(scores, data)
        assert [array.tobytes() for array in found] == [array.tobytes() for array in expected]

    @pytest.mark.parametrize("task", ["binary", "regression", "poisson", "multiclass"])
    @weighted
    def test_estimators_give_the_predictions_of_the_built_in_objective(self, xgb, task, weighted):
        x, y, w = data_of(task)
        w = w if weighted else None
        objective = self.objective(task)
        start = objective.base_score(y, w)
        name, own = BUILT_IN[task]
        make = xgb.XGBClassifier if task in ("binary", "multiclass") else xgb.XGBRegressor
        params = {**XGBOOST, **own, "n_estimators": ROUNDS, "base_score": self.base_of(task, start)}
        params.pop("num_class", None)
        built_in = make(objective=name, **params).fit(x, y, sample_weight=w)
        expected = built_in.predict_proba(x) if make is xgb.XGBClassifier else built_in.predict(x)
        expected = expected[:, 1] if task == "binary" else expected
        params["base_score"] = objective.inverse_link(start) if task == "binary" else start
        model = make(objective=objective, **params).fit(x, y, sample_weight=w)
        np.testing.assert_allclose(objective.predict(model, x), expected, rtol=1e-6, atol=1e-6)

    def test_weight_2_is_the_row_twice(self, xgb):
        x, y, w = data_of("binary")
        objective = self.objective("binary")
        start = objective.base_score(y, w)
        one = self.train(xgb, xgb.DMatrix(x, y, weight=w), obj=objective, base_score=start)
        twice = np.repeat(np.arange(N), w.astype(int))
        assert objective.base_score(y[twice]) == pytest.approx(start, rel=1e-12)
        many = self.train(xgb, xgb.DMatrix(x[twice], y[twice]), obj=objective, base_score=start)
        np.testing.assert_allclose(objective.predict(many, x), objective.predict(one, x), rtol=1e-6, atol=1e-6)

    def test_validation(self, xgb):
        x, y, w = data_of("binary")
        data = xgb.DMatrix(x, y, weight=w)
        objective, seen = self.objective("binary"), {}
        booster = xgb.train(
            XGBOOST,
            data,
            ROUNDS,
            obj=objective,
            custom_metric=objective.metric(),
            evals=[(data, "train")],
            evals_result=seen,
            verbose_eval=False,
        )
        p = objective.predict(booster, data)
        expected = np.average(-np.log(np.where(y == 1, p, 1 - p)), weights=w)
        history = seen["train"]["binary_cross_entropy_with_logits"]
        assert history[-1] == pytest.approx(expected, rel=1e-5)

    def test_validation_of_estimators(self, xgb):
        x, y, _ = data_of("binary")
        objective = self.objective("binary")
        model = xgb.XGBClassifier(n_estimators=3, objective=objective, eval_metric=objective.metric(), base_score=0.5)
        model.fit(x, y, eval_set=[(x, y)], verbose=False)
        history = model.evals_result()["validation_0"]["binary_cross_entropy_with_logits"]
        expected = fl.binary_cross_entropy_with_logits(model.predict(x, output_margin=True), y)
        assert history[-1] == pytest.approx(expected, rel=1e-5)

    def test_several_targets(self, xgb):
        x, y, w = data_of("regression")
        both = np.stack([y, -y], 1)
        objective = self.objective("regression")
        data = xgb.DMatrix(x, both, weight=w)
        params = {"base_score": 0.0}
        ours = self.train(xgb, data, obj=objective, **params)
        theirs = self.train(xgb, data, objective="reg:squarederror", **params)
        np.testing.assert_allclose(objective.predict(ours, x), theirs.predict(data), rtol=1e-6, atol=1e-6)


ADAPTERS = ("lightgbm", "xgboost", "catboost")
each_adapter = pytest.mark.parametrize("package", ADAPTERS)


def objective_of(package, loss=fl.sigmoid_focal_loss, **options):
    from importlib import import_module

    return import_module(f"fusedloss.adapters.{package}").Objective(loss, **options)


class TestObjects:
    @each_adapter
    def test_are_plain(self, package):
        objective = objective_of(package, gamma=1.5, hess_floor=1e-6)
        objective.find_start(np.array([0.0, 1.0, 1.0]))
        for same in (copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))):
            assert same == objective
            assert hash(same) == hash(objective)
            assert repr(same) == "Objective(sigmoid_focal_loss, gamma=1.5)"
        assert objective != objective_of(package, gamma=2.0)
        assert objective.__doc__.count("Parameters\n") == 1
        assert "hess_floor" in objective.__doc__

    @each_adapter
    def test_metrics_are_plain(self, package):
        metric = objective_of(package).metric()
        assert pickle.loads(pickle.dumps(metric)) == metric == copy.copy(metric)
        assert repr(metric) == "Metric(sigmoid_focal_loss)"

    def test_import_nothing(self, run_python):
        script = """
            import sys
            from fusedloss.adapters import catboost, lightgbm, xgboost
            import fusedloss as fl
            for module in (catboost, lightgbm, xgboost):
                module.Objective(fl.huber_loss)
            print(sorted({"lightgbm", "xgboost", "catboost", "scipy", "sklearn", "pandas"} & set(sys.modules)))
        """
        assert run_python(script) == "[]"


class TestRefusals:
    labels = np.zeros(4, np.float32)
    scores = np.zeros(4)

    @each_adapter
    @pytest.mark.parametrize(
        ("scores", "error", "says"),
        [
            (np.zeros(12), ValueError, "scores have shape (12,)"),
            (np.zeros(4, np.int64), TypeError, "int64"),
            (np.zeros(4, np.float16), TypeError, "float16"),
            (np.zeros(4, complex), TypeError, "complex128"),
            ([0.0] * 4, TypeError, "list"),
            (np.zeros((4, 3)), ValueError, "(4, 3)"),
        ],
    )
    def test_scores(self, package, scores, error, says):
        with pytest.raises(error) as info:
            objective_of(package).grad_and_hess(self.labels, scores, None)
        assert says in str(info.value)
        assert "Objective(sigmoid_focal_loss)" in str(info.value)

    @each_adapter
    def test_no_classes(self, package):
        with pytest.raises(ValueError, match=r"num_class|classes_count"):
            objective_of(package, fl.cross_entropy).grad_and_hess(self.labels, self.scores, None)

    @each_adapter
    def test_labels_that_are_no_classes(self, package):
        labels = np.array([0.0, 1.0, 1.5, 0.0], np.float32)
        with pytest.raises(ValueError, match=r"label 1\.5 in row 2"):
            objective_of(package, fl.cross_entropy).grad_and_hess(labels, np.zeros((4, 2)), None)
        with pytest.raises(IndexError, match="3"):
            objective_of(package, fl.cross_entropy).grad_and_hess(2 * labels[:2] + 1, np.zeros((2, 2)), None)

    @each_adapter
    def test_results_that_are_no_numbers(self, package):
        labels = np.array([1.0, 2.0, np.nan, 0.0])
        with pytest.raises(ValueError, match=r"row 2.* label nan"):
            objective_of(package, fl.half_squared_error).grad_and_hess(labels, np.zeros(4), None)

    @each_adapter
    def test_but_not_large_ones(self, package):
        scores = np.full(4, 3e38)
        grad, _ = objective_of(package, fl.half_squared_error).grad_and_hess(np.zeros(4), scores, None)
        assert np.isfinite(grad).all()

    @each_adapter
    def test_weights_of_another_shape(self, package):
        with pytest.raises(ValueError, match="weight has shape"):
            objective_of(package).grad_and_hess(self.labels, self.scores, np.ones((4, 2)))

    @each_adapter
    def test_what_is_no_loss_of_scores_and_labels(self, package):
        with pytest.raises(ValueError, match="margin_ranking_loss"):
            objective_of(package, fl.margin_ranking_loss)
        with pytest.raises(TypeError, match="loss must be"):
            objective_of(package, "focal")
        with pytest.raises(ValueError, match="hessian"):
            objective_of(package, hessian="none")
        with pytest.raises(ValueError, match="has no Hessian"):
            objective_of(package, fl.hinge_loss, hessian="exact")
        with pytest.raises(ValueError, match="upper"):
            objective_of(package, fl.huber_loss, hessian="upper")
        with pytest.raises(ValueError, match="link"):
            objective_of(package, link="probit")
        with pytest.raises(TypeError, match="beta"):
            objective_of(package, fl.huber_loss, beta=1.0)


class TestWhatIsComputed:
    @each_adapter
    def test_labels_0_and_1_become_signs(self, package):
        objective = objective_of(package, fl.squared_hinge_loss)
        scores = np.array([0.3, -0.2, 0.1])
        zero_one = objective.grad_and_hess(np.array([0.0, 1.0, 1.0]), scores, None)
        signs = objective.grad_and_hess(np.array([-1.0, 1.0, 1.0]), scores, None)
        for a, b in zip(zero_one, signs, strict=True):
            np.testing.assert_array_equal(a, b)
        with pytest.raises(ValueError, match="0 and 1"):
            objective.grad_and_hess(np.array([0.0, 2.0, 1.0]), scores, None)

    @each_adapter
    def test_hessians_are_floored_and_weighted(self, package):
        objective = objective_of(package, fl.hinge_loss, hess_floor=0.5)
        labels, weight = np.array([1.0, -1.0, 1.0]), np.array([0.0, 2.0, 3.0], np.float32)
        grad, hess = objective.grad_and_hess(labels, np.zeros(3), weight)
        assert grad.tolist() == [0.0, 2.0, -3.0]
        assert hess.tolist() == [0.5, 2.0, 3.0]

    @pytest.mark.parametrize("mode", ["exact", "gauss_newton", "upper", "lightgbm", "abs_residual"])
    def test_modes_of_a_softmax(self, mode):
        objective = objective_of("xgboost", fl.cross_entropy, hessian=mode)
        scores = np.random.default_rng(0).normal(size=(4, 3))
        labels = np.array([0.0, 1.0, 2.0, 1.0], np.float32)
        expected = fl.cross_entropy.grad_and_hess(scores, labels.astype(int), hessian=mode)
        for ours, exact in zip(objective(labels, scores), expected, strict=True):
            np.testing.assert_allclose(ours, exact, rtol=1e-6)

    @pytest.mark.parametrize(
        ("loss", "labels", "expected"),
        [
            (fl.half_squared_error, [1.0, 2.0, 6.0], 3.0),
            (fl.l1_loss, [1.0, 2.0, 6.0], 2.0),
            (fl.binary_cross_entropy_with_logits, [0.0, 1.0, 1.0, 1.0], np.log(3.0)),
            (fl.poisson_nll_loss, [1.0, 2.0, 6.0], np.log(3.0)),
            (fl.huber_loss, [1e6, 1e6 + 1, 1e6 + 2], 1e6 + 1),
            (fl.quantile_loss.bind(quantile=0.9), np.arange(101.0), 90.0),
            (fl.exponential_loss, [0.0, 1.0, 1.0, 1.0], np.log(3.0) / 2),
        ],
    )
    def test_start(self, loss, labels, expected):
        start = objective_of("lightgbm", loss).find_start(np.array(labels))
        assert start == pytest.approx(expected, rel=1e-12)

    def test_start_of_a_focal_loss_is_not_that_of_cross_entropy(self):
        labels = np.repeat([0.0, 1.0], [95, 5])
        objective = objective_of("lightgbm", gamma=2.0, alpha=-1.0)
        start = objective.find_start(labels)
        grid = np.linspace(-4, 0, 4001)
        values = [objective.loss(np.full(100, z), labels, reduction="mean") for z in grid]
        assert start == pytest.approx(grid[np.argmin(values)], abs=1e-3)
        assert abs(start - np.log(5 / 95)) > 0.5

    def test_start_where_the_best_is_infinite(self):
        assert 30 < objective_of("lightgbm", fl.binary_cross_entropy_with_logits).find_start(np.ones(5)) < 80

    def test_start_of_classes(self):
        labels, weight = np.array([0, 1, 1, 2]), np.array([1.0, 1.0, 2.0, 4.0])
        start = objective_of("lightgbm", fl.cross_entropy).find_start(labels, weight)
        np.testing.assert_allclose(start, np.log([1 / 8, 3 / 8, 4 / 8]))
        focal = objective_of("lightgbm", fl.softmax_focal_loss)
        start = focal.find_start(labels, weight)
        grad = fl.softmax_focal_loss.grad(np.tile(start, (4, 1)), labels, sample_weight=weight).sum(0)
        np.testing.assert_allclose(grad, 0, atol=1e-7)

    def test_threads(self):
        """Two OpenMP runtimes in turns cost several times what the loss does: only LightGBM shares ours."""
        assert [objective_of(package).n_threads for package in ADAPTERS] == [None, 1, 1]
        labels, scores = np.zeros(100_000), np.linspace(-3, 3, 100_000)
        one, two = (objective_of("xgboost", n_threads=n).grad_and_hess(labels, scores, None) for n in (1, 2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("package", ["lightgbm", "xgboost"])
    def test_memory_is_used_again_once_nobody_has_it(self, package):
        labels, scores = np.zeros(50_000), np.linspace(-3, 3, 50_000)
        objective = objective_of(package)
        grad, hess = objective.grad_and_hess(labels, scores, None)
        kept, copy, part = hess, hess.copy(), grad[:10].copy()
        address, grad = grad.ctypes.data, grad[:10]
        assert objective.grad_and_hess(labels, -scores, None)[0].ctypes.data != address
        np.testing.assert_array_equal(grad, part)
        np.testing.assert_array_equal(kept, copy)
        address = objective.grad_and_hess(labels, scores, None)[0].ctypes.data
        assert objective.grad_and_hess(labels, scores, None)[0].ctypes.data == address
        assert pickle.loads(pickle.dumps(objective)) == objective == objective_of(package)

    def test_links(self):
        assert objective_of("lightgbm").link == "logit"
        assert objective_of("lightgbm", fl.poisson_nll_loss).link == "log"
        assert objective_of("lightgbm", fl.poisson_nll_loss, log_input=False).link == "identity"
        assert objective_of("lightgbm", fl.cross_entropy).link == "softmax"
        np.testing.assert_allclose(objective_of("xgboost", fl.cross_entropy).inverse_link(np.zeros((2, 4))), 0.25)
        assert objective_of("xgboost", fl.exponential_loss).inverse_link(np.array([0.5]))[0] == fl.sigmoid(1.0)


@pytest.mark.filterwarnings("ignore:.*numba.*")
class TestCatBoost:
    PLAIN: ClassVar[dict] = {
        **{"iterations": ROUNDS, "depth": 3, "learning_rate": 0.3, "thread_count": 1, "verbose": False},
        **{"random_seed": 0, "boost_from_average": False, "bootstrap_type": "No", "boosting_type": "Plain"},
        **{"leaf_estimation_iterations": 1, "leaf_estimation_method": "Newton", "score_function": "L2"},
        **{"random_strength": 0, "allow_writing_files": False},
    }

    @pytest.fixture
    def cb(self):
        return pytest.importorskip("catboost", reason="CatBoost is not installed")

    @weighted
    def test_gives_the_predictions_of_the_built_in_objective(self, cb, weighted):
        x, y, w = data_of("binary")
        w = w if weighted else None
        built_in = cb.CatBoostClassifier(loss_function="Logloss", **self.PLAIN).fit(x, y, sample_weight=w)
        objective = objective_of("catboost", fl.binary_cross_entropy_with_logits)
        model = cb.CatBoostClassifier(loss_function=objective, eval_metric=objective.metric(), **self.PLAIN)
        model.fit(x, y, sample_weight=w)
        p = objective.predict(model, x)
        np.testing.assert_allclose(p, built_in.predict_proba(x)[:, 1], rtol=1e-6)
        expected = np.average(-np.log(np.where(y == 1, p, 1 - p)), weights=w)
        assert model.best_score_["learn"]["Metric"] == pytest.approx(expected, rel=1e-6)

    def test_starts_from_the_best_constant(self, cb):
        x, y, w = data_of("binary")
        objective = objective_of("catboost", fl.binary_cross_entropy_with_logits)
        pool = cb.Pool(x, y, weight=w, baseline=objective.init_score(y, w))
        params = {**self.PLAIN, "iterations": 1, "learning_rate": 1e-6}
        model = cb.CatBoostClassifier(loss_function=objective, eval_metric=objective.metric(), **params).fit(pool)
        np.testing.assert_allclose(objective.predict(model, x), np.average(y, weights=w), rtol=1e-5)

    def test_classes(self, cb):
        x, y, _ = data_of("multiclass")
        params = {**self.PLAIN, "iterations": 3}
        objective = objective_of("catboost", fl.cross_entropy)
        ours = cb.CatBoostClassifier(loss_function=objective, eval_metric=objective.metric(), classes_count=3, **params)
        p = objective.predict(ours.fit(x, y), x)
        assert p.shape == (N, 3)
        assert (p.argmax(1) == y).mean() > 0.7
        picked = p[np.arange(N), y.astype(int)]
        assert ours.best_score_["learn"]["Metric"] == pytest.approx(-np.log(picked).mean(), rel=1e-6)

    def test_derivatives_are_columns_of_the_negative_loss(self):
        objective = objective_of("catboost", fl.half_squared_error)
        weight = np.array([1.0, 2.0], np.float32)
        columns = objective.calc_ders_range(np.array([1.0, 2.0]), np.array([0.0, 5.0], np.float32), weight)
        assert columns.tolist() == [[-1.0, -1.0], [6.0, -2.0]]
