"""A search of scikit-learn that goes by the focal loss of the predicted probabilities, in two processes."""

import fusedloss as fl
import numpy as np
from fusedloss.adapters.sklearn import log_loss, make_scorer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 5))
y = np.array(["no", "yes"])[(X[:, 0] + rng.normal(size=1000) > 1.5).astype(int)]

scorer = make_scorer(fl.sigmoid_focal_loss, gamma=2.0, alpha=0.5)
search = GridSearchCV(LogisticRegression(), {"C": [0.001, 0.1, 10.0]}, scoring=scorer, n_jobs=2).fit(X, y)

print(f"log loss {log_loss(y, search.predict_proba(X)):.2f}")
