"""The metrics of scikit-learn again, and scorers in its searches."""

from __future__ import annotations

import copy
import inspect
import pickle

import fusedloss as fl
import numpy as np
import pytest

M = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
from fusedloss.adapters import sklearn as ours  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402

N, K = 300, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5))
INDEX = (X[:, :K] + RNG.gumbel(size=(N, K))).argmax(1)
TWO = (INDEX > 1).astype(int)
SCORES = X[:, :K] + 0.1
PROBA = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
WEIGHT = RNG.random(N) + 0.1
TARGETS = RNG.gamma(2.0, size=(N, 2))
PREDICTIONS = TARGETS * RNG.uniform(0.5, 1.5, size=(N, 2))
LABELS = {
    "indices": lambda y: y,
    "numbers": lambda y: y * 10 - 7,
    "signs": lambda y: np.where(y == y.max(), 1, -1) if y.max() == 1 else y,
    "strings": lambda y: np.array(["ant", "bee", "cat", "dog"])[y],
    "bools": lambda y: y == 1 if y.max() == 1 else y,
}
each_label = pytest.mark.parametrize("label", LABELS)
weighted = pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weighted"])


class TestMetricsOfClasses:
    @each_label
    @weighted
    def test_log_loss(self, label, weight):
        for y, p in (
            (INDEX, PROBA),
            (TWO, PROBA[:, 0]),
            (TWO, PROBA[:, :1]),
            (TWO, PROBA[:, :2] / PROBA[:, :2].sum(1, keepdims=True)),
        ):
            y = LABELS[label](y)
            for options in ({}, {"normalize": False}, {"labels": np.unique(y)}):
                expected = M.log_loss(y, p, sample_weight=weight, **options)
                assert ours.log_loss(y, p, sample_weight=weight, **options) == pytest.approx(expected, rel=1e-12)

    @each_label
    @weighted
    def test_brier_score_loss(self, label, weight):
        for y, p in ((INDEX, PROBA), (TWO, PROBA[:, 0]), (TWO, PROBA[:, :2] / PROBA[:, :2].sum(1, keepdims=True))):
            y = LABELS[label](y)
            for half in ("auto", True, False):
                options = {"sample_weight": weight, "scale_by_half": half}
                if label == "strings" and p.ndim == 1:
                    options["pos_label"] = "bee"
                expected = M.brier_score_loss(y, p, **options)
                assert ours.brier_score_loss(y, p, **options) == pytest.approx(expected, rel=1e-12)

    @each_label
    @weighted
    def test_hinge_loss(self, label, weight):
        for y, scores in ((INDEX, SCORES), (TWO, SCORES[:, 0])):
            y = LABELS[label](y)
            expected = M.hinge_loss(y, scores, sample_weight=weight)
            assert ours.hinge_loss(y, scores, sample_weight=weight) == pytest.approx(expected, rel=1e-12)

    def test_labels_that_do_not_occur(self):
        y, p = np.array([0, 2, 0]), PROBA[:3]
        assert ours.log_loss(y, p, labels=range(K)) == pytest.approx(M.log_loss(y, p, labels=range(K)))
        with pytest.raises(ValueError, match="labels"):
            ours.log_loss(y, p)

    def test_certain_mistakes_are_finite(self):
        for dtype in (np.float32, np.float64):
            p = np.array([[1.0, 0.0], [0.0, 1.0]], dtype)
            assert ours.log_loss([1, 1], p, labels=[0, 1]) == pytest.approx(
                M.log_loss([1, 1], p, labels=[0, 1]), rel=1e-5
            )

    def test_refusals(self):
        with pytest.raises(ValueError, match="not in"):
            ours.log_loss([0, 1], [1.5, 0.5])
        with pytest.raises(ValueError, match="y_true has 2 samples, y_proba has 3"):
            ours.log_loss([0, 1], [0.5, 0.5, 0.5])
        with pytest.raises(ValueError, match="not among"):
            ours.log_loss([0, 7], [0.5, 0.5], labels=[0, 1])
        with pytest.raises(ValueError, match="y_true has shape"):
            ours.log_loss(PROBA, PROBA)
        with pytest.raises(ValueError, match="dtype"):
            ours.log_loss([0, 1], ["0.5", "0.5"])
        with pytest.raises(ValueError, match="columns"):
            ours.hinge_loss(INDEX, SCORES[:, 0])


REGRESSION = (
    *("mean_squared_error", "root_mean_squared_error", "mean_absolute_error", "mean_squared_log_error"),
    *("mean_absolute_percentage_error", "mean_pinball_loss"),
)


class TestMetricsOfNumbers:
    @pytest.mark.parametrize("name", REGRESSION)
    @weighted
    def test_several_outputs(self, name, weight):
        for multioutput in ("uniform_average", "raw_values", [0.3, 0.7]):
            for columns in (slice(None), slice(0, 1)):
                if isinstance(multioutput, list) and columns.stop:
                    continue
                options = {"sample_weight": weight, "multioutput": multioutput}
                y, p = TARGETS[:, columns], PREDICTIONS[:, columns]
                expected = getattr(M, name)(y, p, **options)
                np.testing.assert_allclose(getattr(ours, name)(y, p, **options), expected, rtol=1e-12)

    @pytest.mark.parametrize("name", REGRESSION)
    def test_one_output(self, name):
        y, p = TARGETS[:, 0], PREDICTIONS[:, 0]
        assert getattr(ours, name)(y, p) == pytest.approx(getattr(M, name)(y, p), rel=1e-12)
        assert isinstance(getattr(ours, name)(y, p), float)

    @pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
    @weighted
    def test_deviances(self, power, weight):
        y, p = TARGETS[:, 0], PREDICTIONS[:, 0]
        expected = M.mean_tweedie_deviance(y, p, power=power, sample_weight=weight)
        assert ours.mean_tweedie_deviance(y, p, power=power, sample_weight=weight) == pytest.approx(expected)
        assert ours.mean_poisson_deviance(y, p) == pytest.approx(M.mean_poisson_deviance(y, p))
        assert ours.mean_gamma_deviance(y, p) == pytest.approx(M.mean_gamma_deviance(y, p))

    def test_quantile(self):
        y, p = TARGETS[:, 0], PREDICTIONS[:, 0]
        assert ours.mean_pinball_loss(y, p, alpha=0.9) == pytest.approx(M.mean_pinball_loss(y, p, alpha=0.9))

    def test_refusals(self):
        with pytest.raises(ValueError, match="y_pred has shape"):
            ours.mean_squared_error([1.0, 2.0], [1.0])
        with pytest.raises(ValueError, match="greater than -1"):
            ours.mean_squared_log_error([1.0], [-2.0])


METRICS = [name for name in ours.__all__ if hasattr(M, name) and name != "make_scorer"]


@pytest.mark.parametrize("name", METRICS)
def test_arguments_are_those_of_scikit_learn(name):
    theirs = [n for n in inspect.signature(getattr(M, name)).parameters if n != "y_pred" or name != "log_loss"]
    assert list(inspect.signature(getattr(ours, name)).parameters) == theirs


class TestScorers:
    def test_of_logits(self):
        model = LogisticRegression().fit(X, TWO)
        z = model.decision_function(X)
        expected = -fl.sigmoid_focal_loss(z, TWO, gamma=1.0, reduction="mean")
        for method in (None, "decision_function"):
            score = ours.make_scorer(fl.sigmoid_focal_loss, gamma=1.0, response_method=method)(model, X, TWO)
            assert score == pytest.approx(expected, rel=1e-9)

    def test_of_class_scores(self):
        names = np.array(["ant", "bee", "cat", "dog"])[INDEX]
        model = LogisticRegression().fit(X, names)
        expected = -M.log_loss(names, model.predict_proba(X), sample_weight=WEIGHT)
        scorer = ours.make_scorer(fl.cross_entropy)
        assert scorer(model, X, names, sample_weight=WEIGHT) == pytest.approx(expected, rel=1e-9)

    def test_of_class_scores_for_two_classes(self):
        model = LogisticRegression().fit(X, TWO)
        expected = -M.log_loss(TWO, model.predict_proba(X))
        for method in ("predict_proba", "decision_function"):
            scorer = ours.make_scorer(fl.cross_entropy, response_method=method)
            assert scorer(model, X, TWO) == pytest.approx(expected, rel=1e-9)

    def test_of_margins(self):
        model = SGDClassifier(random_state=0).fit(X, TWO)
        expected = -M.hinge_loss(TWO, model.decision_function(X))
        assert ours.make_scorer(fl.hinge_loss)(model, X, TWO) == pytest.approx(expected)

    def test_of_numbers(self):
        model = Ridge().fit(X, TARGETS[:, 0])
        expected = -fl.huber_loss(model.predict(X), TARGETS[:, 0], delta=0.5)
        assert ours.make_scorer(fl.huber_loss, delta=0.5)(model, X, TARGETS[:, 0]) == pytest.approx(expected)

    def test_in_searches_over_processes(self):
        scorer = ours.make_scorer(fl.softmax_focal_loss, gamma=2.0, labels=range(K))
        search = GridSearchCV(LogisticRegression(), {"C": [1e-4, 1.0]}, scoring=scorer, cv=3, n_jobs=2).fit(X, INDEX)
        assert search.best_params_ == {"C": 1.0}
        assert search.best_score_ < 0
        again = clone(search).set_params(n_jobs=1).fit(X, INDEX)
        assert again.best_score_ == search.best_score_

    def test_of_probabilities_that_are_zero(self):
        model = RandomForestClassifier(5, random_state=0)
        scores = cross_val_score(model, X, INDEX, scoring=ours.make_scorer(fl.brier_loss, labels=range(K)), cv=2)
        assert np.isfinite(scores).all()

    def test_are_plain(self):
        score = ours.Score(fl.sigmoid_focal_loss, gamma=1.0)
        for same in (clone(score, safe=False), copy.deepcopy(score), pickle.loads(pickle.dumps(score))):
            assert same == score
            assert hash(same) == hash(score)
        assert repr(score) == "Score(sigmoid_focal_loss, gamma=1.0)"
        assert score.__name__ == "sigmoid_focal_loss"
        with pytest.raises(ValueError, match="huber_loss"):
            ours.Score(fl.huber_loss, probabilities=True)


def test_import_leaves_scikit_learn_alone(run_python):
    script = """
        import sys
        from fusedloss.adapters.sklearn import log_loss
        log_loss([0, 1], [0.1, 0.9])
        print("sklearn" in sys.modules)
    """
    assert run_python(script) == "False"
