"""A quantile of the target in XGBoost, with a smooth loss in place of one that has no Hessian."""

import fusedloss as fl
import numpy as np
import xgboost as xgb
from fusedloss.adapters.xgboost import Objective

rng = np.random.default_rng(0)
X = rng.normal(size=(5000, 5))
y = X[:, 0] + rng.gamma(2.0, size=5000)

objective = Objective(fl.quantile_huber_loss, quantile=0.9, delta=0.1, hessian="ones")
model = xgb.XGBRegressor(objective=objective, base_score=objective.base_score(y), n_estimators=100)
model.fit(X[:4000], y[:4000])

print(f"share below {np.mean(y[4000:] < objective.predict(model, X[4000:])):.2f}")
