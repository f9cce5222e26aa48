"""Robust linear regression with SciPy: one target in twenty is wrong, and the Huber loss hardly notices."""

import fusedloss as fl
import numpy as np
from fusedloss.adapters.scipy import LinearModel

rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 3))
y = X @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * rng.normal(size=2000)
y[::20] += 50.0

result = LinearModel(fl.huber_loss, X, y, delta=0.2).fit()
print("weights", *result.x.round(1))
