"""Streaming evaluation: the same bits however the data are stored, cut and shared."""

from __future__ import annotations

import functools
import io
import itertools
import json
import math
import pickle
import subprocess
import sys
import textwrap
import zipfile
from fractions import Fraction

import fusedloss as fl
import numpy as np
import pytest
from fusedloss._exact import ExactSum
from fusedloss._sources import open_source

ROWS = 1000


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(7)
    logits = (4 * rng.standard_normal(ROWS)).astype(np.float32)
    return logits, rng.integers(0, 2, ROWS, dtype=np.int64), rng.random(ROWS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("stored")
    names = ("logits", "labels", "weights")
    for name, array in zip(names, data, strict=True):
        np.save(folder / f"{name}.npy", array)
    arrays = dict(zip(names, data, strict=True))
    np.savez(folder / "stored.npz", **arrays)
    np.savez_compressed(folder / "compressed.npz", **arrays)
    return folder


def bits(evaluation):
    return evaluation.to_dict()


class TestExactSum:
    TERMS = (1e308, 1e308, -1e308, 5e-324, 1.0, -1e-300, 3.3, -1e308, 2.0**-1074 * 7)

    def test_any_order_and_grouping_gives_the_exact_sum(self):
        exact = sum(map(Fraction, self.TERMS))
        rng = np.random.default_rng(0)
        for _ in range(50):
            terms = rng.permutation(self.TERMS).tolist()
            cut = int(rng.integers(len(terms)))
            left, right = ExactSum(), ExactSum()
            for term in terms[:cut]:
                left.add(term)
            for term in terms[cut:]:
                right.add(term)
            left += right
            assert left.finite == exact
            assert float(left) == float(exact)

    @pytest.mark.parametrize(
        ("terms", "expected"),
        [
            ([1e308, 1e308], math.inf),
            ([-1e308, -1e308], -math.inf),
            ([math.inf, -1e308], math.inf),
            ([math.inf, -math.inf], math.nan),
            ([math.nan, math.inf, 1.0], math.nan),
            ([], 0.0),
        ],
    )
    def test_limits(self, terms, expected):
        total = ExactSum()
        for term in terms:
            total.add(term)
        assert float(total) == pytest.approx(expected, abs=0, nan_ok=True)
        assert float(ExactSum(*total.state())) == pytest.approx(expected, abs=0, nan_ok=True)

    def test_division(self):
        assert math.isnan(ExactSum() / ExactSum())
        assert ExactSum(-1) / ExactSum() == -math.inf
        assert ExactSum(1) / ExactSum(0, math.inf) == 0.0
        assert ExactSum(1) / ExactSum(3) == 1 / 3


class TestEvaluation:
    def test_equals_the_loss_on_whole_arrays(self, data):
        logits, labels, weights = data
        loss = fl.binary_cross_entropy_with_logits
        evaluation = fl.Evaluation(loss).update(logits, labels)
        assert evaluation.count == ROWS
        assert evaluation.weight == ROWS
        assert evaluation.sum == loss(logits, labels, reduction="sum")
        assert evaluation.value == pytest.approx(loss(logits, labels), rel=4e-16)
        weighted = fl.Evaluation(loss).update(logits, labels, sample_weight=weights)
        assert weighted.weight == pytest.approx(math.fsum(weights), rel=4e-16)
        assert weighted.value == pytest.approx(loss(logits, labels, sample_weight=weights), rel=4e-16)

    def test_merging_in_any_order_gives_the_same_bits(self, data):
        logits, labels, weights = data
        cuts = [0, 1, 17, 400, 401, ROWS]
        parts = [
            fl.Evaluation(fl.mse_loss).update(logits[a:b], labels[a:b], sample_weight=weights[a:b])
            for a, b in itertools.pairwise(cuts)
        ]
        merge = functools.partial(functools.reduce, fl.Evaluation.merge)
        results = []
        for order in itertools.permutations(parts):
            left, right = (
                merge(group, fl.Evaluation(fl.mse_loss))
                for group in (order[: len(order) // 2], order[len(order) // 2 :])
            )
            results.append(bits(left.merge(right)))
        assert all(result == results[0] for result in results)

    def test_state_survives_pickle_and_json(self, data):
        logits, labels, _ = data
        evaluation = fl.Evaluation(fl.huber_loss, delta=2.0).update(logits, labels)
        for copy in (
            pickle.loads(pickle.dumps(evaluation)),
            fl.Evaluation.from_dict(json.loads(json.dumps(evaluation.to_dict()))),
        ):
            assert bits(copy) == bits(evaluation)
            assert bits(copy.update(logits, labels)) == bits(
                fl.Evaluation.from_dict(bits(evaluation)).merge(evaluation)
            )

    def test_merge_refuses_another_loss(self):
        with pytest.raises(ValueError, match="huber_loss"):
            fl.Evaluation(fl.huber_loss, delta=2.0).merge(fl.Evaluation(fl.huber_loss, delta=3.0))

    def test_from_dict_refuses_an_unknown_loss(self):
        state = fl.Evaluation(fl.mse_loss).to_dict()
        with pytest.raises(ValueError, match="no_such_loss"):
            fl.Evaluation.from_dict({**state, "loss": "no_such_loss"})

    def test_nothing_seen(self):
        assert math.isnan(fl.Evaluation(fl.mse_loss).value)
        assert fl.Evaluation(fl.mse_loss).sum == 0.0

    def test_infinite_and_nan_terms(self):
        evaluation = fl.Evaluation(fl.l1_loss).update([1.0, np.inf], [0.0, 0.0])
        assert evaluation.value == np.inf
        assert math.isnan(evaluation.update([np.nan], [0.0]).value)

    def test_repr_names_loss_and_value(self):
        assert "delta=2.0" in repr(fl.Evaluation(fl.huber_loss, delta=2.0))


class TestEvaluate:
    @pytest.mark.parametrize("chunk_rows", [None, 1, 7, 64, 333, ROWS - 1, ROWS, 10 * ROWS])
    def test_chunks_do_not_change_the_bits(self, data, chunk_rows):
        logits, labels, weights = data[0].astype(np.float64), data[1], data[2]
        expected = fl.evaluate(fl.mse_loss, logits, labels, sample_weight=weights)
        scores = fl.evaluate(fl.mse_loss, logits, labels, sample_weight=weights, chunk_rows=chunk_rows)
        assert scores.value == expected.value
        assert scores.rows == ROWS

    def test_chunks_of_whole_blocks_do_not_change_the_bits_in_float32(self):
        rng = np.random.default_rng(5)
        prediction, target = np.exp(3 * rng.standard_normal((2, 100_000))).astype(np.float32)
        expected = fl.evaluate(fl.mse_loss, prediction, target)
        for blocks in (1, 2, 3, 11):
            assert fl.evaluate(fl.mse_loss, prediction, target, chunk_rows=8192 * blocks).value == expected.value
        ragged = fl.evaluate(fl.mse_loss, prediction, target, chunk_rows=777)
        assert ragged.value == pytest.approx(expected.value, rel=1e-15)

    @pytest.mark.parametrize("pattern", ["{}.npy", "stored.npz:{}", "compressed.npz:{}", "compressed.npz:{}.npy"])
    @pytest.mark.parametrize("chunk_rows", [None, 77])
    def test_files_equal_arrays(self, data, folder, pattern, chunk_rows):
        logits, labels, weights = data
        losses = [fl.binary_cross_entropy_with_logits, fl.mse_loss]
        expected = fl.evaluate(losses, logits, labels, sample_weight=weights, chunk_rows=chunk_rows)
        paths = [str(folder / pattern.format(name)) for name in ("logits", "labels", "weights")]
        scores = fl.evaluate(losses, paths[0], paths[1], sample_weight=paths[2], chunk_rows=chunk_rows)
        assert dict(scores) == dict(expected)
        assert list(scores) == [loss.name for loss in losses]
        assert scores.bytes == sum(array.nbytes for array in data)
        assert scores.seconds > 0

    def test_parquet(self, data, tmp_path):
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
        logits, labels, weights = data
        table = pa.table({"logits": logits, "labels": labels.astype(bool), "weights": weights})
        path = tmp_path / "stored.parquet"
        pq.write_table(table, path, row_group_size=150)
        expected = fl.evaluate(fl.mse_loss, logits, labels, sample_weight=weights, chunk_rows=64)
        scores = fl.evaluate(
            fl.mse_loss, f"{path}:logits", f"{path}:labels", sample_weight=f"{path}:weights", chunk_rows=64
        )
        assert bits(scores.evaluations[0]) == bits(expected.evaluations[0])
        with pytest.raises(ValueError, match=r"input \(.*stored.parquet'\).*logits, labels, weights"):
            fl.evaluate(fl.mse_loss, path, labels)

    def test_parquet_vectors_and_what_is_refused(self, tmp_path):
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
        vectors = np.arange(30, dtype=np.float32).reshape(10, 3)
        table = pa.table(
            {
                "vectors": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 3),
                "gaps": pa.array([1.0, None] * 5),
                "words": pa.array(["a"] * 10),
            }
        )
        path = tmp_path / "stored.parquet"
        pq.write_table(table, path, row_group_size=4)
        source = open_source("input", f"{path}:vectors")
        assert source.shape == (10, 3)
        np.testing.assert_array_equal(np.concatenate([chunk.copy() for chunk in source.chunks(3, 0, 1)]), vectors)
        with pytest.raises(ValueError, match="missing values"):
            fl.evaluate(fl.mse_loss, f"{path}:gaps", np.zeros(10))
        with pytest.raises(ValueError, match="expected numbers, got a column of string"):
            fl.evaluate(fl.mse_loss, f"{path}:words", np.zeros(10))

    def test_several_settings_of_one_loss(self, data):
        logits, labels, _ = data
        scores = fl.evaluate([fl.huber_loss.bind(delta=delta) for delta in (1.0, 2.0)], logits, labels)
        assert len(scores) == 2
        assert all("delta=" in key for key in scores)

    def test_params_are_bound(self, data):
        logits, labels, _ = data
        scores = fl.evaluate(fl.huber_loss, logits, labels, delta=2.0)
        assert scores["huber_loss"] == pytest.approx(fl.huber_loss(logits, labels, delta=2.0), rel=4e-16)

    def test_a_number_is_a_constant(self, data):
        logits, _, _ = data
        assert fl.evaluate(fl.mse_loss, logits, 1.0, chunk_rows=9).value == pytest.approx(
            fl.mse_loss(logits, 1.0), rel=4e-16
        )

    def test_no_rows(self):
        scores = fl.evaluate(fl.mse_loss, np.empty(0), np.empty(0))
        assert scores.rows == 0
        assert math.isnan(scores.value)

    def test_progress(self, data):
        logits, labels, _ = data
        for n_threads in (1, 4):
            calls = []
            fl.evaluate(
                fl.mse_loss,
                logits,
                labels,
                chunk_rows=100,
                n_threads=n_threads,
                progress=lambda *call: calls.append(call),  # noqa: B023
            )
            assert calls == [(done, ROWS) for done in range(100, ROWS + 1, 100)]

    def test_progress_bar(self, data, capsys):
        pytest.importorskip("tqdm", reason="tqdm is not installed")
        logits, labels, _ = data
        fl.evaluate(fl.mse_loss, logits, labels, progress=True)
        assert "1.00k/1.00k" in capsys.readouterr().err

    @pytest.mark.parametrize("chunk_rows", [7, 100, None])
    @pytest.mark.parametrize("pattern", ["{}.npy", "compressed.npz:{}"])
    def test_threads_do_not_change_the_bits(self, folder, pattern, chunk_rows):
        paths = [str(folder / pattern.format(name)) for name in ("logits", "labels")]
        scores = [fl.evaluate(fl.mse_loss, *paths, chunk_rows=chunk_rows, n_threads=n) for n in (1, 2, 3, 8)]
        assert len({str(bits(score.evaluations[0])) for score in scores}) == 1
        assert all(score.evaluations[0].count == ROWS for score in scores)

    @pytest.mark.parametrize("n_threads", [1, 4])
    def test_an_error_in_one_chunk_ends_the_pass(self, data, n_threads):
        class Failing:
            shape, dtype = (ROWS,), np.dtype(float)

            def __getitem__(self, rows):
                return None if rows.start == 300 else np.zeros(ROWS)[rows]

        done = []
        with pytest.raises(TypeError, match="rows 300 to 309 of input, target"):
            fl.evaluate(
                fl.mse_loss,
                data[0],
                Failing(),
                chunk_rows=10,
                n_threads=n_threads,
                progress=lambda n, _: done.append(n),
            )
        assert done == sorted(done)
        assert len(done) < ROWS // 10


CLASSES = 7


@pytest.fixture(scope="module")
def class_scores():
    """Scores whose accuracy is known not to be all or nothing, and labels."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, CLASSES, ROWS, dtype=np.int64)
    scores = 2 * rng.standard_normal((ROWS, CLASSES))
    scores[np.arange(ROWS), labels] += 2
    return scores.astype(np.float32), labels


def softmax(scores):
    powers = np.exp(scores.astype(np.float64) - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def calibration_error(scores, labels, weights, bins):
    """As its definition reads, bin by bin."""
    probabilities = softmax(scores)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    edges = np.linspace(0, 1, bins + 1)
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (low < confidence) & (confidence <= high)
        total += abs((weights * (confidence - correct))[inside].sum())
    return total / weights.sum()


class TestMetrics:
    def test_against_definitions(self, class_scores):
        scores, labels = class_scores
        for weights in (np.ones(ROWS), np.random.default_rng(1).random(ROWS)):
            options = {} if weights[0] == 1 else {"sample_weight": weights}
            expected = np.average(scores.argmax(1) == labels, weights=weights)
            assert 0.3 < expected < 0.9
            assert fl.accuracy(scores, labels, **options) == pytest.approx(expected, rel=1e-14)
            for bins in (1, 2, 15, 100):
                expected = calibration_error(scores, labels, weights, bins)
                actual = fl.expected_calibration_error(scores, labels, bins=bins, **options)
                assert actual == pytest.approx(expected, rel=1e-5), bins

    @pytest.mark.parametrize("metric", [fl.accuracy, fl.expected_calibration_error], ids=lambda metric: metric.name)
    def test_dtypes_and_layouts(self, class_scores, metric):
        scores, labels = class_scores
        expected = metric(scores, labels)
        for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.uint64):
            assert metric(scores, labels.astype(dtype)) == expected
        assert metric(np.asfortranarray(scores), labels) == expected
        assert metric(scores.T, labels, axis=0) == expected
        assert metric(scores.reshape(10, 100, CLASSES), labels.reshape(10, 100), axis=-1) == expected
        assert metric(scores.tolist(), labels.tolist()) == pytest.approx(expected, rel=1e-6)
        halves = scores.astype(np.float16)
        assert metric(halves, labels) == metric(halves.astype(np.float32), labels)

    def test_probabilities_for_labels(self, class_scores):
        scores, labels = class_scores
        soft = 0.6 * np.eye(CLASSES)[labels] + 0.4 / CLASSES
        assert fl.accuracy(scores, soft) == fl.accuracy(scores, labels)

    @pytest.mark.parametrize("metric", [fl.accuracy, fl.expected_calibration_error], ids=lambda metric: metric.name)
    def test_rows_that_do_not_count(self, class_scores, metric):
        scores, labels = class_scores[0].copy(), class_scores[1].copy()
        expected = metric(scores[1:], labels[1:])
        scores[0] = np.nan
        assert math.isnan(metric(scores, labels))
        assert metric(scores, labels, sample_weight=np.arange(ROWS) > 0) == expected
        labels[0] = -100
        assert metric(scores, labels) == expected
        labels[0] = 3 * CLASSES
        assert metric(scores, labels, ignore_index=3 * CLASSES) == expected
        with pytest.raises(IndexError, match=rf"{metric.name}: target\[0\] = {3 * CLASSES} is not in \[0, {CLASSES}\)"):
            metric(scores, labels)

    @pytest.mark.parametrize("metric", [fl.accuracy, fl.expected_calibration_error], ids=lambda metric: metric.name)
    def test_nothing(self, metric):
        assert math.isnan(metric(np.zeros((0, 3)), np.zeros(0, int)))
        assert math.isnan(metric(np.zeros((2, 3)), np.full(2, -100)))

    def test_a_sure_prediction(self):
        scores = np.array([[1e4, 0.0, -1e4], [0.0, 1e4, 0.0]], np.float32)
        assert fl.expected_calibration_error(scores, [0, 1]) == 0.0
        assert fl.expected_calibration_error(scores, [1, 1]) == 0.5

    def test_bound_and_pickled(self, class_scores):
        metric = fl.expected_calibration_error.bind(bins=5)
        assert metric.params == {"bins": 5, "ignore_index": -100, "axis": None}
        assert pickle.loads(pickle.dumps(metric)) == metric != fl.expected_calibration_error
        assert repr(metric) == "<metric expected_calibration_error with bins=5>"
        assert metric(*class_scores) == fl.expected_calibration_error(*class_scores, bins=5)
        with pytest.raises(TypeError, match="beans"):
            metric.bind(beans=3)
        for bins in (0, -1):
            with pytest.raises(ValueError, match="bins must be positive"):
                metric.bind(bins=bins)

    def test_listed(self):
        assert [metric.name for metric in fl.metrics()] == [
            "accuracy",
            "expected_calibration_error",
            "mask_dice",
            "mask_iou",
        ]
        assert fl.metrics("ECE") == [fl.expected_calibration_error]


SCORERS = [fl.cross_entropy, fl.accuracy, fl.brier_loss, fl.expected_calibration_error]


class TestClassScores:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.int8])
    @pytest.mark.parametrize("labels_dtype", [np.uint8, np.int64, ">i2"])
    def test_stored_scores_equal_arrays(self, class_scores, tmp_path, dtype, labels_dtype):
        scores, labels = class_scores[0].astype(dtype), class_scores[1].astype(labels_dtype)
        np.save(tmp_path / "scores.npy", scores)
        np.savez_compressed(tmp_path / "labels.npz", labels=labels)
        stored = fl.evaluate(SCORERS, tmp_path / "scores.npy", tmp_path / "labels.npz", chunk_rows=64)
        for scorer in SCORERS:
            assert stored[scorer.name] == pytest.approx(scorer(scores, labels), rel=1e-12), scorer.name
        assert stored.rows == ROWS
        assert [evaluation.count for evaluation in stored.evaluations] == [ROWS] * len(SCORERS)

    def test_chunks_of_whole_blocks_and_threads_do_not_change_the_bits(self):
        rng = np.random.default_rng(5)
        for classes, rows, blocks, scorers in (
            (3, 3 * 8192, (8192, 16384, None), SCORERS),
            (10, 3 * 8192, (8192, 16384, None), SCORERS),
            (300, 3 * 64, (64, 128, None), [fl.cross_entropy, fl.brier_loss]),
        ):
            scores = rng.standard_normal((rows, classes)).astype(np.float32)
            labels = rng.integers(0, classes, rows)
            states = {
                tuple(fl.evaluate(scorers, scores, labels, chunk_rows=block, n_threads=n).values())
                for block in blocks
                for n in (1, 2, 3)
            }
            assert len(states) == 1, classes

    def test_merged_parts_have_the_bits_of_any_order(self, class_scores):
        scores, labels = class_scores
        weights = np.random.default_rng(2).random(ROWS)
        for scorer in SCORERS:
            parts = [
                fl.Evaluation(scorer).update(scores[a:b], labels[a:b], sample_weight=weights[a:b])
                for a, b in itertools.pairwise([0, 1, 300, ROWS])
            ]
            merged = {
                str(bits(functools.reduce(fl.Evaluation.merge, order, fl.Evaluation(scorer))))
                for order in itertools.permutations(parts)
            }
            assert len(merged) == 1
            restored = fl.Evaluation.from_dict(json.loads(json.dumps(bits(parts[0]))))
            assert restored.value == pickle.loads(pickle.dumps(restored)).value == parts[0].value

    def test_means_divide_as_the_loss_does(self, class_scores):
        scores, labels = class_scores[0], class_scores[1].copy()
        labels[::3] = -1
        weight = np.arange(1.0, CLASSES + 1)
        whole = fl.cross_entropy(scores, labels, weight=weight, ignore_index=-1)
        parts = fl.evaluate(fl.cross_entropy, scores, labels, weight=weight, ignore_index=-1, chunk_rows=77)
        assert parts.value == pytest.approx(whole, rel=1e-12)

    def test_a_loss_of_scores_alone(self, class_scores):
        scores = fl.evaluate(fl.softmax_entropy, class_scores[0], chunk_rows=64)
        assert scores.value == pytest.approx(fl.softmax_entropy(class_scores[0]), rel=1e-12)

    def test_a_bad_label_is_located(self, class_scores):
        scores, labels = class_scores[0], class_scores[1].copy()
        labels[150] = CLASSES
        with pytest.raises(IndexError, match=r"target\[50\] = 7 .* \(in rows 100 to 199 of input, target\)"):
            fl.evaluate(fl.cross_entropy, scores, labels, chunk_rows=100)

    def test_rows_never_meet_classes(self):
        square = np.zeros((9, 9))
        with pytest.raises(ValueError, match=r"q has shape \(9,\), p has \(9, 9\)"):
            fl.evaluate(fl.kl_divergence, square, np.full(9, 1 / 9), chunk_rows=9)
        images, labels = np.zeros((9, 2, 9)), np.zeros((9, 9), int)
        with pytest.raises(ValueError, match=r"sample_weight has shape \(9,\), input has \(9, 2, 9\)"):
            fl.evaluate(fl.cross_entropy, images, labels, sample_weight=np.ones(9), chunk_rows=9)
        with pytest.raises(ValueError, match="rows are the first axis"):
            fl.evaluate(fl.cross_entropy, np.zeros(9), np.zeros(9, int))
        for axis in (0, -2):
            with pytest.raises(ValueError, match="rows are the first axis"):
                fl.evaluate(fl.cross_entropy, square, np.zeros(9, int), axis=axis)


class TestStoredLayouts:
    """Every layout in which the NPY format keeps an array, read in chunks of 4 rows."""

    ARRAY = np.arange(11 * 3 * 2, dtype=np.float64).reshape(11, 3, 2)

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    @pytest.mark.parametrize(
        "array",
        [
            ARRAY,
            np.asfortranarray(ARRAY),
            np.asfortranarray(ARRAY[:, :, 0]),
            ARRAY.astype(">f4"),
            ARRAY.astype(np.float16),
            ARRAY[:, 0, 0] > 8,
            ARRAY[:, :0],
            ARRAY[:0],
        ],
        ids=["C", "F", "F-2d", "big-endian", "float16", "bool", "no-columns", "no-rows"],
    )
    def test_round_trip(self, tmp_path, save, array):
        np.save(tmp_path / "a.npy", array)
        save(tmp_path / "b.npz", other=np.ones(5), array=array)
        for path in (tmp_path / "a.npy", f"{tmp_path / 'b.npz'}:array"):
            source = open_source("input", path)
            assert source.shape == array.shape
            for step in (1, 2, 5):  # as that many workers share the chunks
                chunks = [[np.array(chunk) for chunk in source.chunks(4, first, step)] for first in range(step)]
                in_order = [chunk for group in itertools.zip_longest(*chunks) for chunk in group if chunk is not None]
                assert all(chunk.dtype == array.dtype for chunk in in_order)
                np.testing.assert_array_equal(np.concatenate([array[:0], *in_order]), array)

    def test_constant(self, tmp_path):
        np.save(tmp_path / "a.npy", np.float32(3.0))
        chunks = open_source("input", tmp_path / "a.npy").chunks(4, 0, 1)
        assert [next(chunks), next(chunks)] == [3.0, 3.0]

    def test_only_member_needs_no_name(self, tmp_path):
        np.savez(tmp_path / "a.npz", only=np.ones(3))
        assert open_source("input", tmp_path / "a.npz").shape == (3,)

    def test_columns_of_other_libraries_are_sliced_by_row(self):
        class Column:
            def to_numpy(self):
                return np.arange(5.0)

        assert [chunk.tolist() for chunk in open_source("input", Column()).chunks(2, 0, 1)] == [[0, 1], [2, 3], [4]]


class TestRefusals:
    def test_different_lengths(self, folder, data):
        with pytest.raises(ValueError, match=r"target has 999 rows, input \('.*logits.npy'\) has 1000"):
            fl.evaluate(fl.mse_loss, folder / "logits.npy", data[1][:-1])

    def test_what_the_loss_refuses_is_located(self, folder):
        with pytest.raises(TypeError, match=r"rows 0 to 999 of input \('.*logits.npy'\), target"):
            fl.evaluate(fl.huber_loss, folder / "logits.npy", None)

    @pytest.mark.parametrize("chunk_rows", [1, 3, None])
    def test_rows_never_meet_columns(self, chunk_rows):
        with pytest.raises(ValueError, match=r"target has shape \(9,\), input has \(9, 3\)"):
            fl.evaluate(fl.mse_loss, np.zeros((9, 3)), np.zeros(9), chunk_rows=chunk_rows)

    @pytest.mark.parametrize("name", ["a.csv", "a", "a.npy:member", ""])
    def test_unknown_form_of_file(self, name):
        with pytest.raises(ValueError, match="target"):
            fl.evaluate(fl.mse_loss, np.ones(3), name)

    def test_missing_file(self):
        with pytest.raises(FileNotFoundError):
            fl.evaluate(fl.mse_loss, "no_such_file.npy", np.ones(3))

    def test_missing_member(self, folder):
        with pytest.raises(ValueError, match=r"input \(.*logits, labels, weights"):
            fl.evaluate(fl.mse_loss, str(folder / "stored.npz:nothing"), np.ones(3))
        with pytest.raises(ValueError, match=r"input \(.*logits, labels, weights"):
            fl.evaluate(fl.mse_loss, folder / "stored.npz", np.ones(3))

    @pytest.mark.parametrize("array", [np.array(["a", "b"]), np.array([1j]), np.array([(1, 2)], "i4,i4")])
    def test_not_numbers(self, tmp_path, array):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match=r"input \(.*a.npy'\): expected numbers"):
            fl.evaluate(fl.mse_loss, tmp_path / "a.npy", np.ones(3))

    def test_pickled_objects_are_not_loaded(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
        with pytest.raises(ValueError, match="expected numbers, got dtype object"):
            fl.evaluate(fl.mse_loss, tmp_path / "a.npy", np.ones(1))

    @pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x05\x00{...}"])
    @pytest.mark.parametrize("suffix", ["npy", "npz"])
    def test_foreign_content(self, tmp_path, content, suffix):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"input \("):
            fl.evaluate(fl.mse_loss, path, np.ones(1))

    def test_truncated_file(self, tmp_path):
        stream = io.BytesIO()
        np.save(stream, np.ones(100))
        (tmp_path / "a.npy").write_bytes(stream.getvalue()[:-8])
        with pytest.raises(ValueError, match="ends before its last row"):
            fl.evaluate(fl.mse_loss, tmp_path / "a.npy", np.ones(100))

    def test_corrupt_archive(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez_compressed(path, a=np.random.default_rng(0).random(1000))
        with zipfile.ZipFile(path) as archive:
            middle = archive.getinfo("a.npy").compress_size // 2
        content = bytearray(path.read_bytes())
        content[middle : middle + 64] = b"\xff" * 64
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"input \("):
            fl.evaluate(fl.mse_loss, path, np.ones(1000))

    @pytest.mark.parametrize("setting", ["chunk_rows", "n_threads"])
    @pytest.mark.parametrize("value", [0, -1])
    def test_settings(self, setting, value):
        with pytest.raises(ValueError, match=setting):
            fl.evaluate(fl.mse_loss, [1.0], [1.0], **{setting: value})

    def test_no_loss(self):
        with pytest.raises(ValueError, match="loss is empty"):
            fl.evaluate([], [1.0], [1.0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Two sparse files of 200 MB each; the peak of the process may rise by a few chunks only."""
    script = """
        import re, sys
        import numpy as np
        import fusedloss as fl

        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

        for name in "ab":
            with open(f"{name}.npy", "wb") as stream:
                header = {"descr": "<f4", "fortran_order": False, "shape": (50_000_000,)}
                np.lib.format.write_array_header_1_0(stream, header)
                stream.truncate(stream.tell() + 200_000_000)
        fl.evaluate(fl.mse_loss, np.ones(1 << 20), np.ones(1 << 20))
        before = peak()
        scores = fl.evaluate(fl.mse_loss, "a.npy", "b.npy")
        assert scores.rows == 50_000_000 and scores.value == 0.0
        print(peak() - before)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 40_000
