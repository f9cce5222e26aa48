"""SciPy: value and gradient as `scipy.optimize.minimize` takes them (``jac=True``), and models linear in their weights.

Examples
--------
>>> import numpy as np
>>> import fusedloss as fl
>>> from fusedloss.adapters.scipy import LinearModel
>>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
>>> model = LinearModel(fl.half_squared_error, x, [1.0, 3.0, 5.0, 7.0])
>>> model.fit().x.round(3)
array([2., 1.])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._config import get_num_threads
from .._loss import Array, Loss

__all__ = ["LinearModel", "Objective"]

_BLOCK_BYTES = 1 << 20  # of the design matrix: read for the scores, it is still in cache for the gradient
_FEW_BLOCKS = 4


class Objective:
    """The value of a loss and its gradient in what is to be found.

    An instance is the function that ``minimize(objective, x0, jac=True)`` calls. Every call returns a new gradient, as
    some of the minimisers keep the last ones.

    Parameters
    ----------
    loss : Loss
        The loss.
    *data : array_like
        Its arguments after the first, which are the predictions.
    model : callable, optional
        Makes predictions of ``x``; by default ``x`` are the predictions, in the shape of the first of `data`.
    pullback : callable, optional
        ``pullback(x, grad)`` is the gradient in ``x`` of a function whose gradient in the predictions is ``grad``: the
        product with the Jacobian of `model`, transposed. Needed with `model`.
    sample_weight : array_like, optional
        Weights of the terms.
    **params
        Parameters of the loss.
    """

    def __init__(
        self,
        loss: Loss[Any],
        *data: ArrayLike,
        model: Callable[[Array], Array] | None = None,
        pullback: Callable[[Array, Array], Array] | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> None:
        if (model is None) != (pullback is None):
            raise TypeError("Objective: a model needs a pullback, and the other way round")
        self.loss = loss.bind(**{"reduction": "mean", **params})
        self.data = tuple(np.asarray(array) for array in data)
        self.model = model
        self.pullback = pullback
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Value and gradient."""
        predictions = np.reshape(x, self.data[0].shape) if self.model is None else self.model(x)
        first = self.loss.inputs[0]
        options: dict[str, Any] = {"sample_weight": self.sample_weight, "wrt": first}
        value, grad = self.loss.value_and_grad(predictions, *self.data, **options)
        own: Any = grad if self.pullback is None else self.pullback(x, np.asarray(grad))
        return float(value), np.asarray(own, np.float64).reshape(-1)

    def __repr__(self) -> str:
        return f"Objective({self.loss.name})"


class LinearModel:
    """The mean of a loss of ``X @ coef + intercept``, plus a penalty: a generalised linear model, or one with any loss.

    An instance is the function that ``minimize(model, model.start(), jac=True)`` calls, with a new gradient each time;
    `fit` does that. Losses of class scores have a column of coefficients per class. The matrix is read once per call, a
    block at a time; products with it are NumPy's, hence those of BLAS. The result does not depend on the number of
    threads as far as BLAS's does not.

    Parameters
    ----------
    loss : Loss
        Of scores and labels: `binary_cross_entropy_with_logits`, `cross_entropy`, `poisson_nll_loss`, `huber_loss`...
    X : array_like of shape (n, p)
        The design matrix; float32 is computed with in float32. A sparse matrix of SciPy is taken as a whole.
    y : array_like of shape (n,) or (n, k)
        Labels; with several columns so are the scores.
    l2 : float, default 0.0
        ``l2 / 2 * sum(coef**2)`` is added to the mean loss; the intercept is free.
    fit_intercept : bool, default True
        Whether there is an intercept.
    sample_weight : array_like of shape (n,), optional
        Weights of the rows.
    classes : int, optional
        Number of classes, by default those in `y`.
    **params
        Parameters of the loss.

    Attributes
    ----------
    shape : tuple of int
        ``(p, )`` or ``(p, k)``: the shape of the coefficients.
    """

    def __init__(
        self,
        loss: Loss[Any],
        X: Any,
        y: ArrayLike,
        *,
        l2: float = 0.0,
        fit_intercept: bool = True,
        sample_weight: ArrayLike | None = None,
        classes: int | None = None,
        **params: Any,
    ) -> None:
        self.loss = loss.bind(**params) if params else loss
        self.X = X if hasattr(X, "tocsr") else np.asarray(X)
        if self.X.dtype not in (np.float32, np.float64):
            self.X = self.X.astype(np.float64)
        self.y = np.asarray(y)
        n, p = self.X.shape
        if len(self.y) != n:
            raise ValueError(f"LinearModel: y has {len(self.y)} rows, X has {n}")
        self.l2 = float(l2)
        self.fit_intercept = bool(fit_intercept)
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        if self.loss.family == "rows":
            self.shape: tuple[int, ...] = (p, int(self.y.max()) + 1 if classes is None else int(classes))
        else:
            self.shape = (p, *self.y.shape[1:])
        self._total = self._sum_of_weights()
        self._curved_at: tuple[Array, Array] | None = None

    # ---- what minimisers call ----------------------------------------------------------------------

    def start(self) -> Array:
        """Weights that are all zero: a vector with the coefficients and then the intercept."""
        return np.zeros(int(np.prod(self.shape)) + (int(np.prod(self.shape[1:])) if self.fit_intercept else 0))

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Mean loss with the penalty, and its gradient."""
        coef, intercept = self.unpack(x)
        weights = coef.astype(self.X.dtype, copy=False)

        def part(rows: slice, threads: int) -> tuple[float, Array, Any]:
            block = self.X[rows]
            scores = self._scores(block, weights, intercept)
            options = self._options(rows, threads)
            first = self.loss.inputs[0]
            value, grad = self.loss.value_and_grad(scores, self.y[rows], wrt=first, out=scores, **options)
            return float(value), block.T @ grad, np.sum(grad, axis=0, dtype=np.float64) if self.fit_intercept else ()

        value, grad, shift = 0.0, np.zeros(self.shape), np.zeros(self.shape[1:])
        for own, product, total in self._each_block(part):
            value += own
            grad += product
            if self.fit_intercept:
                shift += total
        value = value / self._total + self.l2 / 2 * float(np.vdot(coef, coef))
        grad /= self._total
        grad += self.l2 * coef
        return value, self._packed(grad, shift / self._total)

    def hessp(self, x: Array, v: Array) -> Array:
        """The product of the Hessian at `x` with `v`, for ``minimize(hessp=model.hessp)``; of elementwise losses."""
        if self.loss.family != "elementwise" or not self.loss.has_hessian:
            raise TypeError(f"LinearModel: {self.loss.name} has no Hessian of single scores")
        if self._curved_at is None or not np.array_equal(self._curved_at[0], x):
            scores = self._scores(self.X, *self.unpack(x))
            options = self._options(slice(None), None)
            self._curved_at = x.copy(), self.loss.grad_and_hess(scores, self.y, **options)[1]
        curvature = self._curved_at[1]
        coef, intercept = self.unpack(v)
        along = curvature * self._scores(self.X, coef, intercept)
        grad = self.X.T @ along / self._total + self.l2 * coef
        return self._packed(grad, along.sum(0) / self._total)

    def fit(self, x0: ArrayLike | None = None, *, method: str = "L-BFGS-B", **options: Any) -> Any:
        """The ``OptimizeResult`` of ``scipy.optimize.minimize``, to which further options go."""
        minimize = import_module("scipy.optimize").minimize
        return minimize(self, self.start() if x0 is None else x0, jac=True, method=method, **options)

    def decision_function(self, x: Array, X: Any) -> Array:
        """Scores of other data with weights `x`."""
        coef, intercept = self.unpack(x)
        return self._scores(np.asarray(X) if not hasattr(X, "tocsr") else X, coef, intercept)

    def unpack(self, x: Array) -> tuple[Array, Any]:
        """Coefficients and intercept in a vector of weights."""
        x = np.asarray(x, np.float64)
        n = int(np.prod(self.shape))
        return x[:n].reshape(self.shape), x[n:].reshape(self.shape[1:]) if self.fit_intercept else 0.0

    # ---- how -----------------------------------------------------------------------------------------

    def _packed(self, coef: Array, intercept: Any) -> Array:
        return np.concatenate(
            [coef.reshape(-1), np.reshape(intercept, -1)] if self.fit_intercept else [coef.reshape(-1)]
        )

    def _scores(self, X: Any, coef: Array, intercept: Any) -> Array:
        if coef.ndim == 1 or not isinstance(X, np.ndarray):
            scores: Array = X @ coef
            if self.fit_intercept:
                scores += intercept
            return scores
        # A column after the other: along short rows NumPy takes as long to add the intercept as the product takes.
        columns: Array = coef.T @ X.T
        if self.fit_intercept:
            columns += intercept[:, None]
        return columns.T

    def _options(self, rows: slice, threads: int | None) -> dict[str, Any]:
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        if weight is not None and self.loss.family == "elementwise" and self.y.ndim > 1:
            weight = weight.reshape(-1, *[1] * (self.y.ndim - 1))
        return {"sample_weight": weight, "reduction": "sum", "n_threads": threads}

    def _sum_of_weights(self) -> float:
        """What the mean divides by; class weights and ignored rows make it the loss's own business."""
        scores = np.zeros(self.shape[1:], self.X.dtype)
        options = self._options(slice(None), None)
        del options["reduction"]
        rows = np.broadcast_to(scores, (len(self.y), *scores.shape))
        return self.loss.partial(rows, self.y, **options).weight

    def _each_block(self, part: Callable[[slice, int], Any]) -> Iterator[Any]:
        """Results for the blocks of rows, in order."""
        n = len(self.y)
        size = n
        if isinstance(self.X, np.ndarray):
            per_row = self.X.itemsize * max(1, self.X.shape[1])
            size = 1 << max(8, (_BLOCK_BYTES // per_row).bit_length() - 1)
        blocks = [slice(k, k + size) for k in range(0, n, max(1, size))]
        threads = min(get_num_threads(), len(blocks))
        if threads < 2 or len(blocks) < _FEW_BLOCKS:
            for rows in blocks:
                yield part(rows, get_num_threads() if len(blocks) == 1 else 1)
            return
        # Blocks for each thread rather than threads for each block: nobody waits for the others.
        runs = [blocks[len(blocks) * t // threads : len(blocks) * (t + 1) // threads] for t in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            for results in pool.map(lambda run: [part(rows, 1) for rows in run], runs):
                yield from results

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_curved_at": None}

    def __repr__(self) -> str:
        return f"LinearModel({self.loss.name}, {self.X.shape[0]} x {self.X.shape[1]}, l2={self.l2})"
