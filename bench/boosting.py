"""Training of boosted trees with our objectives, with those in NumPy, and with the built-in ones; objectives alone.

One process per number of threads, confined to as many CPUs. Contestants take turns; medians count. "Any custom
objective" is one that computes nothing: what the library takes to ask and to read the answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import fusedloss as fl
import numpy as np

ROWS, COLUMNS, CLASSES = 100_000, 20, 10
PACKAGES = ("lightgbm", "xgboost", "catboost")
Training = Callable[[], Any]


def data(task: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS), np.float32)
    if task == "focal":
        return x, (x[:, 0] + x[:, 1] * x[:, 2] + rng.standard_normal(ROWS) > 2).astype(np.float32)
    return x, (x[:, :CLASSES] + rng.gumbel(size=(ROWS, CLASSES))).argmax(1).astype(np.float32)


def focal_in_numpy(z: np.ndarray, y: np.ndarray, gamma: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian as formulas, every factor once."""
    s = 2.0 * y - 1.0
    p = 1.0 / (1.0 + np.exp(-s * z))
    q = 1.0 - p
    log_p = np.log(np.maximum(p, 1e-15))
    weight = q**gamma
    grad = s * weight * (gamma * p * log_p - q)
    inner = gamma * p * log_p - q
    hess = p * q * (gamma * q ** (gamma - 1.0) * -inner + weight * (gamma * (log_p + 1.0) + 1.0))
    return grad, np.maximum(hess, 1e-16)


def softmax_in_numpy(z: np.ndarray, y: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    hess = factor * p * (1.0 - p)
    p[np.arange(len(p)), y.astype(np.int64)] -= 1.0
    return p, np.maximum(hess, 1e-16)


class InNumpy:
    """The objective that users write, for LightGBM and XGBoost."""

    def __init__(self, task: str, factor: float = 1.0) -> None:
        self.task, self.factor = task, factor

    def __call__(self, z: np.ndarray, data: Any) -> tuple[np.ndarray, np.ndarray]:
        if self.task == "focal":
            return focal_in_numpy(z, data.get_label())
        return softmax_in_numpy(z, data.get_label(), self.factor)

    def calc_ders_range(self, approxes: np.ndarray, targets: np.ndarray, weights: Any) -> np.ndarray:
        grad, hess = focal_in_numpy(np.asarray(approxes), np.asarray(targets))
        return np.stack([-grad, -hess], 1)

    def calc_ders_multi(self, approx: np.ndarray, target: float, weight: Any) -> tuple[list[float], list[list[float]]]:
        grad, hess = softmax_in_numpy(approx[None], np.array([target]), self.factor)
        return (-grad[0]).tolist(), np.diag(-hess[0]).tolist()


class Constant:
    """What any custom objective costs: derivatives computed once, for each number of rows asked for."""

    def __init__(self, objective: Any) -> None:
        self.objective, self.known = objective, {}

    def __call__(self, z: np.ndarray, data: Any) -> tuple[np.ndarray, np.ndarray]:
        if len(z) not in self.known:
            self.known[len(z)] = self.objective(z, data)
        return self.known[len(z)]

    def calc_ders_range(self, approxes: np.ndarray, targets: np.ndarray, weights: Any) -> np.ndarray:
        if len(approxes) not in self.known:
            self.known[len(approxes)] = self.objective.calc_ders_range(approxes, targets, weights)
        return self.known[len(approxes)]

    def calc_ders_multi(self, approx: np.ndarray, target: float, weight: Any) -> tuple[list[float], list[list[float]]]:
        if target not in self.known:
            self.known[target] = self.objective.calc_ders_multi(approx, target, weight)
        return self.known[target]


def ours(package: str, task: str) -> Any:
    adapter = import_module(f"fusedloss.adapters.{package}")
    if task == "focal":
        return adapter.Objective(fl.sigmoid_focal_loss, gamma=2.0, alpha=-1.0)
    return adapter.Objective(fl.cross_entropy)


def lightgbm_trainings(task: str, rounds: int, threads: int) -> dict[str, Training]:
    import lightgbm as lgb

    x, y = data(task)
    classes = {} if task == "focal" else {"num_class": CLASSES}
    params = {"verbose": -1, "num_threads": threads, "max_bin": 63}
    dataset = lgb.Dataset(x, y, params=params, free_raw_data=False).construct()
    params |= {"num_leaves": 31, **classes}

    def training(objective: Any) -> Training:
        return lambda: lgb.train({**params, "objective": objective}, dataset, rounds)

    factor = CLASSES / (CLASSES - 1)
    return {
        "built-in": training("binary" if task == "focal" else "multiclass"),
        "fusedloss": training(ours("lightgbm", task)),
        "NumPy": training(InNumpy(task, factor)),
        "constant": training(Constant(ours("lightgbm", task))),
    }


def xgboost_trainings(task: str, rounds: int, threads: int) -> dict[str, Training]:
    import xgboost as xgb

    x, y = data(task)
    classes = {} if task == "focal" else {"num_class": CLASSES}
    params = {"nthread": threads, "max_bin": 64, "max_depth": 5, "tree_method": "hist", **classes}
    matrix = xgb.QuantileDMatrix(x, y, max_bin=64, nthread=threads)
    name = "binary:logistic" if task == "focal" else "multi:softprob"
    return {
        "built-in": lambda: xgb.train({**params, "objective": name}, matrix, rounds),
        "fusedloss": lambda: xgb.train(params, matrix, rounds, obj=ours("xgboost", task)),
        "NumPy": lambda: xgb.train(params, matrix, rounds, obj=InNumpy(task, 2.0)),
        "constant": lambda: xgb.train(params, matrix, rounds, obj=Constant(ours("xgboost", task))),
    }


def catboost_trainings(task: str, rounds: int, threads: int) -> dict[str, Training]:
    import catboost

    if task != "focal":  # of several classes CatBoost asks for one row at a time, which takes long
        rounds = max(1, rounds // 15)
    warnings.filterwarnings("ignore", message=".*numba.*")
    x, y = data(task)
    pool = catboost.Pool(x, y)
    params = {
        **{"iterations": rounds, "depth": 6, "learning_rate": 0.1, "border_count": 63, "thread_count": threads},
        **{"verbose": False, "allow_writing_files": False, "boosting_type": "Plain", "bootstrap_type": "No"},
        **{"leaf_estimation_method": "Newton", "leaf_estimation_iterations": 1, "metric_period": rounds},
    }

    metric = "Logloss" if task == "focal" else "MultiClass"
    if task != "focal":
        params["classes_count"] = CLASSES

    def training(objective: Any) -> Training:
        options = {"loss_function": objective, "eval_metric": metric, **params}
        return lambda: catboost.CatBoostClassifier(**options).fit(pool)

    return {
        "built-in": training(metric),
        "fusedloss": training(ours("catboost", task)),
        "NumPy": training(InNumpy(task)),
        "constant": training(Constant(ours("catboost", task))),
    }


def alone(package: str, task: str) -> dict[str, Training]:
    """Objectives on scores as the library gives them: float64 in columns by LightGBM, float32 in rows by XGBoost.

    CatBoost gives one row of classes at a time: a thousand of them.
    """
    _, y = data(task)
    shape = (ROWS,) if task == "focal" else (ROWS, CLASSES)
    z = np.random.default_rng(1).standard_normal(shape)
    z = z.astype(np.float32) if package == "xgboost" else np.asfortranarray(z)
    objective = ours(package, task)
    if task == "focal":
        return {"fusedloss": lambda: objective.grad_and_hess(y, z, None), "NumPy": lambda: focal_in_numpy(z, y)}
    if package == "catboost":
        given = [(row.copy(), float(label), None) for row, label in zip(z[:1000], y[:1000], strict=True)]
        contestants = {"fusedloss": objective, "NumPy": InNumpy(task)}
        return {name: lambda of=of: [of.calc_ders_multi(*row) for row in given] for name, of in contestants.items()}
    return {"fusedloss": lambda: objective.grad_and_hess(y, z, None), "NumPy": lambda: softmax_in_numpy(z, y, 2.0)}


def medians(contestants: dict[str, Training], repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(repeats):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def measure(package: str, task: str, threads: int, rounds: int, repeats: int) -> None:
    trainings = {"lightgbm": lightgbm_trainings, "xgboost": xgboost_trainings, "catboost": catboost_trainings}
    took = medians(trainings[package](task, rounds, threads), repeats)
    single = medians(alone(package, task), 20)
    cells = [
        f"{took[name]:.2f} s ({took[name] / took['built-in']:.2f}x)" for name in ("constant", "fusedloss", "NumPy")
    ]
    cells.append(f"{single['fusedloss'] * 1e3:.2f} ms, {single['NumPy'] / single['fusedloss']:.1f}x faster than NumPy")
    print(f"| {package} | {task} | {threads} | {took['built-in']:.2f} s |", " | ".join(cells), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", nargs="+", choices=PACKAGES, default=PACKAGES)
    parser.add_argument("--tasks", nargs="+", choices=("focal", "softmax"), default=("focal", "softmax"))
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        for package in chosen.packages:
            for task in chosen.tasks:
                measure(package, task, chosen.threads[0], chosen.rounds, chosen.repeats)
        return
    print("| package | task | threads | built-in | any custom objective | fusedloss | NumPy | objective alone |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    for threads in chosen.threads:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        own = ["--child", "--threads", str(threads), "--rounds", str(chosen.rounds), "--repeats", str(chosen.repeats)]
        command = [sys.executable, __file__, *own, "--packages", *chosen.packages, "--tasks", *chosen.tasks]
        if hasattr(os, "sched_setaffinity"):
            cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads]))
            command = ["taskset", "-c", cpus, *command]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
