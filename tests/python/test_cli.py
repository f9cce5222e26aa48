"""The command `fusedloss`: what it prints, where, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import fusedloss as fl
import numpy as np
import pytest
from fusedloss import cli
from fusedloss.sample import SAMPLES


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    arrays = rng.standard_normal(50), rng.standard_normal(50), rng.random(50)
    for name, array in zip("abw", arrays, strict=True):
        np.save(f"{name}.npy", array)
    return arrays


def run(capsys, *arguments):
    """Exit status, stdout and stderr of the command."""
    try:
        status = cli.main(arguments)
    except SystemExit as exit:
        status = exit.code
    return status, *capsys.readouterr()


class TestSample:
    def test_without_arguments(self, capsys):
        status, out, err = run(capsys, "evaluate")
        assert (status, err) == (0, "")
        for sample in SAMPLES:
            assert sample.title in out
            assert sample.origin in out
            assert sample.licence in out

    def test_json_has_the_same_losses(self, capsys):
        status, out, _ = run(capsys, "evaluate", "--json")
        assert status == 0
        samples = json.loads(out)["samples"]
        assert [sample["name"] for sample in samples] == [sample.name for sample in SAMPLES]
        log_loss = samples[0]["losses"][0]
        assert log_loss["name"] == "binary_cross_entropy_with_logits"
        assert log_loss["count"] == 569

    def test_values_against_plain_numpy(self, capsys):
        _, out, _ = run(capsys, "evaluate", "--json")
        cancer, diabetes, digits = json.loads(out)["samples"]
        arrays = SAMPLES[0].arrays()
        logit, label = arrays["logit"].astype(float), arrays["malignant"].astype(float)
        expected = np.mean(np.logaddexp(0, logit) - label * logit)
        assert cancer["losses"][0]["mean"] == pytest.approx(expected, rel=1e-6)
        arrays = SAMPLES[1].arrays()
        expected = np.mean((arrays["mean"].astype(float) - arrays["progression"]) ** 2)
        assert diabetes["losses"][0]["mean"] == pytest.approx(expected, rel=1e-6)
        arrays = SAMPLES[2].arrays()
        powers = np.exp(arrays["scores"].astype(float))
        probabilities = powers / powers.sum(1, keepdims=True)
        truth = np.eye(10)[arrays["digit"]]
        loss, accuracy, brier, calibration = (score["mean"] for score in digits["losses"])
        assert loss == pytest.approx(-np.mean(np.log(probabilities[truth == 1])), rel=1e-6)
        assert accuracy == pytest.approx(np.mean(probabilities.argmax(1) == arrays["digit"]), rel=1e-14)
        assert brier == pytest.approx(np.mean(((probabilities - truth) ** 2).sum(1)), rel=1e-6)
        assert 0 < calibration < 0.05

    def test_predictions_are_better_than_guessing(self, capsys):
        for sample in SAMPLES:
            arrays = sample.arrays()
            assert len({len(array) for array in arrays.values()}) == 1
        cancer, diabetes, digits = (sample.arrays() for sample in SAMPLES)
        assert np.mean((cancer["logit"] > 0) == cancer["malignant"]) > 0.95
        assert np.var(diabetes["progression"] - diabetes["mean"]) < 0.6 * np.var(diabetes["progression"])
        covered = (diabetes["quantile_10"] <= diabetes["progression"]) & (
            diabetes["progression"] <= diabetes["quantile_90"]
        )
        assert 0.7 < covered.mean() < 0.9
        assert np.mean(digits["scores"].argmax(1) == digits["digit"]) > 0.95

    def test_is_small(self):
        assert (
            sum(Path(str(path)).stat().st_size for path in files("fusedloss.sample").iterdir() if path.is_file()) < 6e4
        )


class TestEvaluate:
    def test_several_losses(self, capsys, stored):
        status, out, err = run(capsys, "evaluate", "--loss", "mse_loss", "--loss", "huber:delta=2", "a.npy", "b.npy")
        assert (status, err) == (0, "")
        assert f"{fl.mse_loss(*stored[:2]):.9g}" in out
        assert f"{fl.huber_loss(*stored[:2], delta=2.0):.9g}" in out
        assert "50 rows" in out

    def test_json(self, capsys, stored):
        status, out, _ = run(
            capsys, "evaluate", "--json", "--weight", "w.npy", "--chunk-rows", "7", "--threads", "1", "--quiet",
            "--loss", "huber_loss:delta=2.5", "a.npy", "b.npy",
        )  # fmt: skip
        assert status == 0
        report = json.loads(out)
        assert report["rows"] == 50
        assert report["bytes"] == 3 * 50 * 8
        (loss,) = report["losses"]
        assert (loss["name"], loss["params"], loss["count"]) == ("huber_loss", {"delta": 2.5}, 50)
        a, b, w = stored
        assert loss["mean"] == pytest.approx(fl.huber_loss(a, b, delta=2.5, sample_weight=w), rel=4e-16)

    def test_json_stays_strict_with_infinities(self, capsys, stored):
        np.save("a.npy", np.full(50, np.inf))
        _, out, _ = run(capsys, "evaluate", "--json", "--loss", "l1_loss", "a.npy", "b.npy")
        (loss,) = json.loads(out, parse_constant=pytest.fail)["losses"]
        assert float(loss["mean"]) == np.inf

    def test_a_terminal_shows_progress(self, capsys, stored, monkeypatch):
        pytest.importorskip("tqdm", reason="tqdm is not installed")
        command = ("evaluate", "--loss", "mse_loss", "a.npy", "b.npy")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert "50.0/50.0" in run(capsys, *command)[2]
        assert run(capsys, *command, "--quiet")[2] == ""

    def test_class_scores(self, capsys, stored):
        rng = np.random.default_rng(4)
        scores, labels = rng.standard_normal((50, 3)).astype(np.float16), rng.integers(0, 3, 50).astype(np.uint8)
        np.savez("classes.npz", scores=scores, labels=labels)
        status, out, err = run(
            capsys, "evaluate", "--loss", "cross_entropy", "--loss", "accuracy", "--loss", "ECE:bins=10",
            "classes.npz:scores", "classes.npz:labels",
        )  # fmt: skip
        assert (status, err) == (0, "")
        assert f"{fl.cross_entropy(scores, labels):.9g}" in out
        assert f"{fl.accuracy(scores, labels):.9g}" in out
        assert f"{fl.expected_calibration_error(scores, labels, bins=10):.9g}" in out

    def test_aliases_name_a_loss(self, capsys, stored):
        alias = next(alias for alias in fl.mse_loss.aliases)
        status, out, _ = run(capsys, "evaluate", "--loss", alias.upper(), "a.npy", "b.npy")
        assert status == 0
        assert "mse_loss" in out

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--loss", "mse_loss", "missing.npy", "b.npy"],
            ["--loss", "mse_loss", "a.csv", "b.npy"],
            ["--loss", "mse_loss", "a.npy", "short.npy"],
            ["--loss", "mse_loss", "a.npy", "text.npy"],
            ["--loss", "mse_loss", "a.npy", "b.npy", "--weight", "short.npy"],
            ["--loss", "accuracy", "a.npy", "b.npy"],
        ],
        ids=["missing", "format", "rows", "dtype", "weight-rows", "no-classes"],
    )
    def test_errors_in_the_data(self, capsys, stored, arguments):
        np.save("short.npy", np.ones(7))
        np.save("text.npy", np.array(["a"] * 50))
        status, out, err = run(capsys, "evaluate", *arguments)
        assert (status, out) == (1, "")
        assert err.startswith("fusedloss: error: ")
        assert err.count("\n") == 1
        assert any(path in err for path in arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["no-such-command"],
            ["evaluate", "a.npy", "b.npy"],
            ["evaluate", "--loss", "mse_loss"],
            ["evaluate", "--loss", "mse_loss", "a.npy"],
            ["evaluate", "--loss", "mse_loss", "a.npy", "b.npy", "w.npy", "a.npy", "b.npy", "w.npy"],
            ["evaluate", "--loss", "no_such_loss", "a.npy", "b.npy"],
            ["evaluate", "--loss", "huber_loss:no_such_parameter=1", "a.npy", "b.npy"],
            ["evaluate", "--loss", "huber_loss:delta", "a.npy", "b.npy"],
            ["evaluate", "--loss", "ECE:bins=0", "a.npy", "b.npy"],
            ["evaluate", "--loss", "mse_loss", "a.npy", "b.npy", "--threads", "0"],
            ["evaluate", "--loss", "mse_loss", "a.npy", "b.npy", "--chunk-rows", "many"],
            ["show"],
            ["show", "no_such_loss"],
        ],
    )
    def test_errors_in_the_arguments(self, capsys, stored, arguments):
        status, out, err = run(capsys, *arguments)
        assert (status, out) == (2, "")
        assert "error: " in err

    def test_a_misspelt_loss_is_corrected(self, capsys):
        assert "did you mean huber" in run(capsys, "show", "hubr_loss")[2]


class TestOtherCommands:
    def test_list(self, capsys):
        status, out, _ = run(capsys, "list")
        assert status == 0
        everything = (*fl.losses(), *fl.metrics(), *fl.activations())
        assert [line.split()[0] for line in out.splitlines()] == [each.name for each in everything]

    def test_list_finds(self, capsys):
        status, out, _ = run(capsys, "list", "huber")
        assert status == 0
        assert "huber_loss" in out
        assert "mse_loss" not in out

    def test_list_finds_nothing(self, capsys):
        status, out, err = run(capsys, "list", "no such loss")
        assert (status, out) == (1, "")
        assert "no such loss" in err

    def test_show(self, capsys):
        status, out, _ = run(capsys, "show", "huber_loss")
        assert status == 0
        for part in ("fusedloss.huber_loss(input", "delta", *fl.huber_loss.aliases):
            assert part in out
        for part in (fl.huber_loss.formula, fl.huber_loss.gradient, fl.huber_loss.source):
            assert part.split()[0] in out

    def test_show_knows_activations(self, capsys):
        for name in ("softplus", "swish", "log softmax"):
            status, out, _ = run(capsys, "show", name)
            assert status == 0
            assert "Formula: " in out
        assert run(capsys, "evaluate", "--loss", "softplus", "a.npy", "b.npy")[0] == 2

    def test_config(self, capsys):
        status, out, _ = run(capsys, "config")
        assert status == 0
        assert out

    def test_version(self, capsys):
        assert run(capsys, "--version") == (0, f"fusedloss {fl.__version__}\n", "")

    def test_places_of_headers_and_cmake_package(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "10")  # a path is one line however narrow the terminal
        for flag, expected in (("--includes", "fusedloss/fusedloss.hpp"), ("--cmakedir", "fusedloss-config.cmake")):
            result = subprocess.run(
                [sys.executable, "-m", "fusedloss", flag], capture_output=True, text=True, check=True
            )
            assert (Path(result.stdout.strip()) / expected).is_file()

    def test_a_closed_pipe_is_no_error(self):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "fusedloss", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 0
