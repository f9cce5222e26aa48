"""Losses as other packages want them, one module per package.

`lightgbm`, `xgboost`, `catboost`, `scipy`, `sklearn`, `torch`, `jax` and `dask` are imported by name, as in
``from fusedloss.adapters import lightgbm``; importing one imports its package at the earliest.
"""
