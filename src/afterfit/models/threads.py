"""How many threads a loaded model computes with.

Boosting libraries take every processor unless told otherwise, and so does a forest that was trained
with ``n_jobs=-1``. Where each worker of a server has a model, they would be in each other's way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from afterfit.models.convert_repair import walk
from afterfit.models.native import NativeModel, family

__all__ = ["limit_threads"]

_LIGHTGBM = ("n_jobs", "n_thread", "nthread", "nthreads", "num_thread", "num_threads")
_CATBOOST = ("predict", "predict_proba", "predict_log_proba")


def limit_threads(native: NativeModel, threads: int) -> None:
    """Let a model, with all that is fitted inside of it, compute with so many threads.

    The numeric libraries below (OpenMP, BLAS) go by the environment of the process.
    """
    limit: Callable[[int], None] | None = getattr(native, "limit_threads", None)
    if limit is not None:
        limit(threads)
        return
    for part in walk(native.estimator):
        _limit(part, threads)


def _limit(part: Any, threads: int) -> None:
    if family(part, "xgboost"):
        if hasattr(part, "get_booster"):
            part.n_jobs = threads
            part = part.get_booster()
        part.set_param({"nthread": threads})
    elif family(part, "lightgbm"):
        part.n_jobs = threads
        # Given under another of its names, that one wins.
        given = getattr(part, "_other_params", {})
        for name in set(_LIGHTGBM) & set(given):
            given[name] = threads
            setattr(part, name, threads)
    elif family(part, "catboost"):
        for name in _CATBOOST:
            if hasattr(part, name):
                call = getattr(part, name)
                plain = call.func if isinstance(call, partial) else call
                setattr(part, name, partial(plain, thread_count=threads))
    elif isinstance(getattr(part, "n_jobs", None), int):
        part.n_jobs = min(part.n_jobs, threads) if part.n_jobs > 0 else threads
