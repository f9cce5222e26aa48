"""Real predictions that ship with the package, for `fusedloss evaluate` without arguments.

The arrays are predictions of scikit-learn models on public data sets, made by `bench/make_sample.py`; no model has seen
the rows that it predicts.
Origin and licence of each data set stand in `SAMPLES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLES", "Sample", "Score"]


@dataclass(frozen=True)
class Score:
    """One line of the report: what it is called there, the loss or metric as the command line writes it, its arrays."""

    title: str
    loss: str
    arrays: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Predictions of one model, with the true values beside them."""

    name: str
    title: str
    model: str
    origin: str
    licence: str
    scores: tuple[Score, ...]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        with (files(__name__) / f"{self.name}.npz").open("rb") as stream, np.load(stream) as archive:
            return dict(archive)


_LOGITS = ("logit", "malignant")
_SIGNED = ("logit", "sign")
_MEAN = ("mean", "progression")
_SCORES = ("scores", "digit")

SAMPLES = (
    Sample(
        name="breast_cancer",
        title="Breast Cancer Wisconsin (Diagnostic): is a tumour malignant? 569 cases",
        model="logistic regression, 10-fold out-of-fold predictions",
        origin="Wolberg, Mangasarian, Street and Street (1993), UCI Machine Learning Repository, doi:10.24432/C5DW2B",
        licence="CC BY 4.0",
        scores=(
            Score("log loss", "binary_cross_entropy_with_logits", _LOGITS),
            Score("focal", "sigmoid_focal_loss:gamma=2", _LOGITS),
            Score("Brier score", "mse_loss", ("probability", "malignant")),
            Score("hinge", "hinge_loss", _SIGNED),
            Score("squared hinge", "squared_hinge_loss", _SIGNED),
        ),
    ),
    Sample(
        name="diabetes",
        title="Diabetes: progression of the disease after one year, 442 patients",
        model="gradient boosting (squared error; quantiles 0.1, 0.5 and 0.9), 10-fold out-of-fold predictions",
        origin="Efron, Hastie, Johnstone and Tibshirani (2004), Least angle regression, Annals of Statistics 32",
        licence="none stated by its authors; redistributed by scikit-learn (BSD-3-Clause)",
        scores=(
            Score("squared error", "mse_loss", _MEAN),
            Score("absolute error", "l1_loss", ("median", "progression")),
            Score("Huber", "huber_loss:delta=50", _MEAN),
            Score("log-cosh", "log_cosh_loss", _MEAN),
            Score("pinball, 10 %", "quantile_loss:quantile=0.1", ("quantile_10", "progression")),
            Score("pinball, 50 %", "quantile_loss:quantile=0.5", ("median", "progression")),
            Score("pinball, 90 %", "quantile_loss:quantile=0.9", ("quantile_90", "progression")),
        ),
    ),
    Sample(
        name="digits",
        title="Handwritten digits: which of ten is it? 899 images of 8 x 8 pixels",
        model="multinomial logistic regression fitted on the other 898 images",
        origin="Alpaydin and Kaynak (1998), UCI Machine Learning Repository, doi:10.24432/C50P49",
        licence="CC BY 4.0",
        scores=(
            Score("cross entropy", "cross_entropy", _SCORES),
            Score("accuracy", "accuracy", _SCORES),
            Score("Brier score", "brier_loss", _SCORES),
            Score("calibration error", "expected_calibration_error", _SCORES),
        ),
    ),
)
