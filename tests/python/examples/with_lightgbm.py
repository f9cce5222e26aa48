"""A focal loss in LightGBM: one class in twenty, trained from its best constant, predicted as probabilities."""

import fusedloss as fl
import lightgbm as lgb
import numpy as np
from fusedloss.adapters.lightgbm import Objective

rng = np.random.default_rng(0)
X = rng.normal(size=(5000, 10))
y = (X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=5000) > 2.4).astype(float)

objective = Objective(fl.sigmoid_focal_loss, gamma=2.0, alpha=0.5)
train = objective.dataset(X[:4000], y[:4000])
valid = objective.dataset(X[4000:], y[4000:], reference=train)
params = {"objective": objective, "metric": "None", "verbose": -1}
booster = lgb.train(params, train, 50, valid_sets=[valid], feval=objective.metric())
p = objective.predict(booster, X[4000:])

print(f"accuracy {np.mean((p > 0.5) == y[4000:]):.3f}")
