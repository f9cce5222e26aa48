"""A focal loss in CatBoost, whose training takes its derivatives of whole blocks of rows."""

import warnings

import catboost
import fusedloss as fl
import numpy as np
from fusedloss.adapters.catboost import Objective

warnings.filterwarnings("ignore", message=".*numba.*")  # CatBoost would compile objectives with it

rng = np.random.default_rng(0)
X = rng.normal(size=(5000, 10))
y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=5000) > 2.4).astype(int)

objective = Objective(fl.sigmoid_focal_loss, gamma=2.0, alpha=0.5)
pool = catboost.Pool(X[:4000], y[:4000], baseline=objective.init_score(y[:4000]))
model = catboost.CatBoostClassifier(
    loss_function=objective, eval_metric=objective.metric(), iterations=50, verbose=False, allow_writing_files=False
)
model.fit(pool)
p = objective.predict(model, X[4000:])

print(f"accuracy {np.mean((p > 0.5) == y[4000:]):.3f}")
