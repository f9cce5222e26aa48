"""Make the predictions that ship in `python/fusedloss/sample`.

Needs scikit-learn: ``python bench/make_sample.py``. Every prediction comes from a model that has not seen the row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDER = Path(__file__).parents[1] / "python" / "fusedloss" / "sample"
SEED = 0


def breast_cancer() -> dict[str, np.ndarray]:
    features, benign = load_breast_cancer(return_X_y=True)
    malignant = (1 - benign).astype(np.uint8)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedKFold(10, shuffle=True, random_state=SEED)
    logit = stored(cross_val_predict(model, features, malignant, cv=folds, method="decision_function"))
    return {
        "logit": logit,
        "probability": expit(logit),
        "malignant": malignant,
        "sign": (2 * malignant.astype(np.int8) - 1),
    }


def diabetes() -> dict[str, np.ndarray]:
    features, progression = load_diabetes(return_X_y=True)
    folds = KFold(10, shuffle=True, random_state=SEED)

    def predict(**options: object) -> np.ndarray:
        model = GradientBoostingRegressor(
            n_estimators=100, learning_rate=0.05, max_depth=2, subsample=0.7, random_state=SEED, **options
        )
        return stored(cross_val_predict(model, features, progression, cv=folds))

    return {
        "mean": predict(),
        "quantile_10": predict(loss="quantile", alpha=0.1),
        "median": predict(loss="quantile", alpha=0.5),
        "quantile_90": predict(loss="quantile", alpha=0.9),
        "progression": progression.astype(np.int16),
    }


def digits() -> dict[str, np.ndarray]:
    features, digit = load_digits(return_X_y=True)
    fitted, unseen, fitted_digit, unseen_digit = train_test_split(
        features, digit, test_size=0.5, stratify=digit, random_state=SEED
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(fitted, fitted_digit)
    return {"scores": stored(model.decision_function(unseen)), "digit": unseen_digit.astype(np.uint8)}


def stored(predictions: np.ndarray) -> np.ndarray:
    """Rounded, so that another BLAS gives the same file."""
    return predictions.round(4).astype(np.float32)


if __name__ == "__main__":
    for make in (breast_cancer, diabetes, digits):
        path = FOLDER / f"{make.__name__}.npz"
        np.savez_compressed(path, **make())
        print(f"{path.name}: {path.stat().st_size} bytes")
