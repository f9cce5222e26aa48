"""Evaluation on a cluster: the bits of one machine, whoever does the work and whoever dies of it."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import re
import signal
import textwrap
import time
from importlib import import_module

import fusedloss as fl
import numpy as np
import pytest

da = pytest.importorskip("dask.array", reason="dask is not installed")
dask_adapter = import_module("fusedloss.adapters.dask")
evaluate = dask_adapter.evaluate

pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed, about ports and such
N, K, CHUNK = 50_000, 7, 4_000
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(N, K)).astype(np.float32)
LABELS = RNG.integers(0, K, N)
WEIGHT = RNG.random(N)
EXPECTED = fl.evaluate(fl.cross_entropy, SCORES, LABELS, sample_weight=WEIGHT, chunk_rows=CHUNK)


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def arrays(chunk=CHUNK):
    return (
        da.from_array(SCORES, chunks=(chunk, 3)),
        da.from_array(LABELS, chunks=2 * chunk + 1),
        da.from_array(WEIGHT, chunks=chunk),
    )


def check(scores):
    assert scores.value == EXPECTED.value
    assert scores.evaluations[0].count == N
    assert scores.evaluations[0].weight == EXPECTED.evaluations[0].weight
    assert (scores.rows, scores.bytes) == (EXPECTED.rows, EXPECTED.bytes)


class TestLocalScheduler:
    def test_bits(self):
        scores, labels, weight = arrays()
        check(evaluate(fl.cross_entropy, scores, labels, sample_weight=weight))
        check(evaluate(fl.cross_entropy, scores.rechunk(999), LABELS, sample_weight=weight, chunk_rows=CHUNK))

    def test_progress(self):
        seen = []
        scores, labels, weight = arrays()
        evaluate(fl.cross_entropy, scores, labels, sample_weight=weight, progress=lambda *at: seen.append(at))
        assert len(seen) == 13
        assert seen[-1] == (N, N)
        assert [rows for rows, _ in seen] == sorted(rows for rows, _ in seen)

    def test_several_losses_constants_and_parameters(self):
        x = da.from_array(SCORES, chunks=(CHUNK, K))
        both = evaluate([fl.huber_loss, fl.log_cosh_loss], x, 0.0)
        expected = fl.evaluate([fl.huber_loss, fl.log_cosh_loss], SCORES, 0.0, chunk_rows=CHUNK)
        assert dict(both) == dict(expected)
        assert evaluate(fl.huber_loss, x, 0.0, delta=0.5).value == pytest.approx(fl.huber_loss(SCORES, 0.0, delta=0.5))
        assert evaluate(fl.accuracy, x, LABELS).value == pytest.approx(fl.accuracy(SCORES, LABELS))

    def test_many_chunks_merge_in_a_tree(self):
        x = da.from_array(SCORES[:, 0], chunks=10)[:3000]
        expected = fl.evaluate(fl.mse_loss, SCORES[:3000, 0], 0.5, chunk_rows=10)
        assert evaluate(fl.mse_loss, x, 0.5).value == expected.value

    def test_files(self, tmp_path):
        np.save(tmp_path / "scores.npy", SCORES)
        np.savez(tmp_path / "more.npz", labels=LABELS, weight=WEIGHT)
        more = f"{tmp_path}/more.npz"
        files = (tmp_path / "scores.npy", f"{more}:labels")
        check(evaluate(fl.cross_entropy, *files, sample_weight=f"{more}:weight", chunk_rows=CHUNK))
        assert evaluate(fl.cross_entropy, *files).value == pytest.approx(fl.cross_entropy(SCORES, LABELS))

    def test_no_rows(self):
        assert np.isnan(evaluate(fl.mse_loss, da.zeros(0), 0.0).value)

    def test_a_failing_chunk_is_named(self):
        bad = LABELS.copy()
        bad[9000] = K
        with pytest.raises(IndexError, match=r"target\[1000\] = 7 .*in rows 8000 to 11999 of input, target"):
            evaluate(fl.cross_entropy, arrays()[0], da.from_array(bad, chunks=CHUNK))

    def test_refusals(self):
        x = arrays()[0]
        with pytest.raises(ValueError, match="rows"):
            evaluate(fl.cross_entropy, x, LABELS[:-1])
        with pytest.raises(ValueError, match="compute_chunk_sizes"):
            evaluate(fl.cross_entropy, x[da.from_array(LABELS) > 2], LABELS)
        with pytest.raises(ValueError, match="chunk_rows"):
            evaluate(fl.cross_entropy, x, LABELS, chunk_rows=0)
        with pytest.raises(ValueError, match="empty"):
            evaluate([], x, LABELS)


class TestCluster:
    def test_bits_and_progress(self, cluster):
        seen = []
        scores, labels, weight = arrays()
        options = {"sample_weight": weight, "client": cluster, "progress": lambda *at: seen.append(at)}
        check(evaluate(fl.cross_entropy, scores, labels, **options))
        assert seen[-1] == (N, N)

    def test_a_failing_chunk_is_named(self, cluster):
        bad = LABELS.copy()
        bad[9000] = K
        with pytest.raises(IndexError, match="in rows 8000 to 11999 of input, target"):
            evaluate(fl.cross_entropy, arrays()[0], da.from_array(bad, chunks=CHUNK), client=cluster)

    def test_survives_the_death_of_a_worker(self, cluster):
        workers = cluster.run(os.getpid)

        def slowly(block):
            time.sleep(0.05)
            return block

        def kill_one(done, rows):
            if done > rows / 3 and workers:
                os.kill(workers.popitem()[1], signal.SIGKILL)
                workers.clear()

        scores, labels, weight = arrays()
        check(
            evaluate(
                fl.cross_entropy,
                scores.rechunk((CHUNK, K)).map_blocks(slowly),
                labels,
                sample_weight=weight,
                client=cluster,
                progress=kill_one,
            )
        )
        assert not workers


PARTS = """
import functools, json, multiprocessing
from multiprocessing.connection import wait
from types import SimpleNamespace
import fusedloss as fl
import numpy as np

fork = multiprocessing.get_context("fork")
rng = np.random.default_rng(0)
scores, labels = rng.normal(size=10_000), rng.integers(0, 2, 10_000).astype(np.float32)
pairs = list(zip(np.split(scores, 5), np.split(labels, 5)))
expected = fl.evaluate(fl.binary_cross_entropy_with_logits, scores, labels).evaluations[0]

def started(function, *args):
    ours, theirs = fork.Pipe()
    fork.Process(target=lambda: theirs.send(function(*args))).start()
    return ours
"""
SPARK = """
class Column(np.ndarray):
    def to_numpy(self):
        return np.asarray(self)

class frame:
    @staticmethod
    def mapInPandas(function, schema):
        def work(score, label):
            halves = zip(np.split(score.view(Column), 2), np.split(label.view(Column), 2))
            batches = ({"score": s, "label": y} for s, y in halves)
            return [state for table in function(batches) for state in table["state"]]

        tasks = [started(work, *pair) for pair in pairs]
        rows = [SimpleNamespace(state=state) for task in tasks for state in task.recv()]
        return SimpleNamespace(toLocalIterator=lambda: iter(rows))

pd = SimpleNamespace(DataFrame=dict)
"""
RAY = """
class ray:
    @staticmethod
    def remote(max_retries):
        return lambda function: SimpleNamespace(remote=functools.partial(started, function))

    @staticmethod
    def wait(tasks):
        done = wait(tasks)[0]
        return [done], [task for task in tasks if task is not done]

    @staticmethod
    def get(task):
        return task.recv()
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs processes that share code")
@pytest.mark.parametrize("place", ["PySpark", "Ray"])
def test_recipes_for_others_merge_to_the_same(place, run_python):
    """With processes in the place of the clusters."""
    text = inspect.getdoc(dask_adapter).partition(place)[2].partition("::\n")[2]
    recipe = textwrap.dedent(re.match(r"(?:\n|    .*\n)+", text)[0])
    check = "print((total.value, total.count) == (expected.value, expected.count))"
    stand_in = {"PySpark": SPARK, "Ray": RAY}[place]
    assert run_python(f"{PARTS}{stand_in}{recipe}\n{check}").splitlines()[-1] == "True"
