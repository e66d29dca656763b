"""Fitting a fresh clone of the user's model on a fold; runs in the model's process."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature, dtype_of
from afterfit.errors import ModelError, NotFoundError
from afterfit.models.native import Hints, NativeModel, adapter_for_object


def fit_fold(
    native: NativeModel,
    *,
    signature: Signature,
    train: Frame,
    target: np.ndarray,
    test: Frame,
    refit: str = "",
    code: str = "",
) -> Predictions:
    """Return the predictions for ``test`` of a model that was fitted on ``train`` alone.

    A scikit-learn estimator (or a wrapper that speaks its language) is cloned and fitted;
    otherwise ``refit`` names the user's ``module:function(table, target) -> fitted model``.
    Raises ModelError with the library's own words.
    """
    hints = Hints.of(signature)
    fitted = _by_function(refit, code, train, target) if refit else _clone(native, train, target)
    return adapter_for_object(fitted).wrap(fitted, hints).predict(test)


def _clone(native: NativeModel, train: Frame, target: np.ndarray) -> Any:
    from sklearn.base import clone

    estimator = clone(native.estimator)
    table: Any = getattr(native, "table", None)
    rows = table(train) if table is not None else _pandas(train)
    return estimator.fit(rows, _plain(target))


def _by_function(refit: str, code: str, train: Frame, target: np.ndarray) -> Any:
    if code and code not in sys.path:
        sys.path.insert(0, code)
    module, _, name = refit.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise NotFoundError(
            f"there is no function {refit}",
            why=str(error),
            fix="--refit module:function, with --code FOLDER that holds the module",
        ) from None
    fitted = function(_pandas(train), _plain(target))
    if not hasattr(fitted, "predict"):
        raise ModelError(f"{refit} returned no fitted model", why=f"it has no predict: {fitted!r}")
    return fitted


def _pandas(frame: Frame) -> Any:
    import pandas as pd

    return pd.DataFrame(dict(frame))


def _plain(target: np.ndarray) -> np.ndarray:
    """Return labels as the user would have them: words as str, numbers as numbers."""
    if target.dtype != dtype_of("category"):
        return target
    kinds = {type(value) for value in target.tolist()}
    return target.astype(str) if kinds == {str} else np.array(target.tolist())
