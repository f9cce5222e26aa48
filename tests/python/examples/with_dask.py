"""The log loss of predictions in many files, over whatever cluster dask is given; here that of its local threads."""

import tempfile
from pathlib import Path

import dask.array as da
import fusedloss as fl
import numpy as np
from fusedloss.adapters.dask import evaluate

rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    for k in range(4):
        scores = rng.normal(size=(10_000, 10)).astype(np.float32)
        np.save(Path(folder) / f"scores{k}.npy", scores)
        np.save(Path(folder) / f"labels{k}.npy", (scores + rng.gumbel(size=scores.shape)).argmax(1))

    def stack(pattern):
        return da.concatenate([da.from_array(np.load(path, "r")) for path in sorted(Path(folder).glob(pattern))])

    scores = evaluate([fl.cross_entropy, fl.accuracy], stack("scores*"), stack("labels*"))
    print(f"cross entropy {scores['cross_entropy']:.2f}, accuracy {scores['accuracy']:.2f}, {scores.rows} rows")
