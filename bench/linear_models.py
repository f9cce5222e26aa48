"""Logistic and multinomial regression by L-BFGS: an evaluation of ours beside NumPy's, and where both arrive."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import fusedloss as fl
import numpy as np
from fusedloss.adapters.scipy import LinearModel
from scipy.optimize import minimize


class InNumpy:
    """Value and gradient as they are written by hand, in float64."""

    def __init__(self, x: np.ndarray, y: np.ndarray, classes: int) -> None:
        self.x, self.y, self.classes = x, y, classes

    def __call__(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        n, p = self.x.shape
        if self.classes == 2:
            z = self.x @ w[:p] + w[p]
            grad = (1.0 / (1.0 + np.exp(-z)) - self.y) / n
            return float((np.logaddexp(0.0, z) - self.y * z).mean()), np.append(self.x.T @ grad, grad.sum())
        z = self.x @ w[: p * self.classes].reshape(p, -1) + w[p * self.classes :]
        top = z.max(1, keepdims=True)
        e = np.exp(z - top)
        total = e.sum(1, keepdims=True)
        rows = np.arange(n)
        value = float((np.log(total) + top)[:, 0].mean() - z[rows, self.y].mean())
        grad = e / total
        grad[rows, self.y] -= 1.0
        grad /= n
        return value, np.append((self.x.T @ grad).ravel(), grad.sum(0))


def median_time(run: Callable[[Any], Any], at: Any, repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        run(at)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((chosen.rows, chosen.columns))
    print("| model | NumPy | fusedloss | faster | evaluations | difference of the weights |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for classes in (2, 5):
        y = (x[:, :classes] + rng.gumbel(size=(chosen.rows, classes))).argmax(1)
        if classes == 2:
            model = LinearModel(fl.binary_cross_entropy_with_logits, x, y.astype(np.float64))
        else:
            model = LinearModel(fl.cross_entropy, x, y)
        reference = InNumpy(x, y, classes)
        at = rng.standard_normal(model.start().shape) / 10
        ours, theirs = (median_time(f, at, chosen.repeats) for f in (model, reference))
        found, expected = (minimize(f, model.start(), jac=True, method="L-BFGS-B") for f in (model, reference))
        name = "logistic" if classes == 2 else f"multinomial, {classes} classes"
        same = f"{found.nfev} and {expected.nfev} | {abs(found.x - expected.x).max():.1e}"
        print(f"| {name} | {theirs * 1e3:.0f} ms | {ours * 1e3:.0f} ms | {theirs / ours:.1f}x | {same} |", flush=True)


if __name__ == "__main__":
    main()
