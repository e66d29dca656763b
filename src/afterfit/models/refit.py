"""Fitting a fresh clone of the user's model on a fold; runs in the model's process."""

from __future__ import annotations

import random
import sys
from importlib import import_module
from typing import Any

import numpy as np

from afterfit.core.dataset import encode_labels
from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature, dtype_of
from afterfit.errors import ModelError, NotFoundError
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.models.tables import to_pandas


def fit_fold(
    native: NativeModel,
    *,
    signature: Signature,
    train: Frame,
    target: np.ndarray,
    test: Frame,
    refit: str = "",
    code: str = "",
    seed: int = 0,
) -> Predictions:
    """Return the predictions for ``test`` of a model that was fitted on ``train`` alone.

    A scikit-learn estimator (or a wrapper that speaks its language) is cloned: ``target`` then
    holds class codes or values, and the clone is fitted on the labels that the model knows.
    Otherwise ``refit`` names the user's ``module:function(table, target) -> fitted model``, and
    ``target`` holds the labels as the table has them. ``seed`` is for estimators without a
    ``random_state``. Raises ModelError with the library's own words.
    """
    _seed(seed)
    fitted = _by_function(refit, code, train, target) if refit else _clone(native, train, target)
    predictions = adapter_for_object(fitted).wrap(fitted, Hints.of(signature)).predict(test)
    reference = () if refit else getattr(native.estimator, "classes_", ())
    return _aligned(predictions, fitted, signature, np.asarray(reference))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # what estimators without a random_state draw from


def _clone(native: NativeModel, train: Frame, codes: np.ndarray) -> Any:
    from sklearn.base import clone

    known = getattr(native.estimator, "classes_", None)
    # A library may number the classes, or have read them as another type than this table holds.
    target = codes if known is None else np.asarray(known)[codes]
    estimator = clone(native.estimator)
    table: Any = getattr(native, "table", None)
    rows = table(train) if table is not None else to_pandas(train, tuple(train))
    return estimator.fit(rows, target)


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
    fitted = function(to_pandas(train, tuple(train)), _plain(target))
    if not hasattr(fitted, "predict"):
        raise ModelError(
            f"{refit} returned no fitted model",
            why=f"what it returned has no predict: a {type(fitted).__name__}",
            fix="return the fitted model: return pipeline.fit(frame, target)",
        )
    return fitted


def _aligned(
    predictions: Predictions, fitted: Any, signature: Signature, reference: np.ndarray
) -> Predictions:
    """Return the predictions in the signature's classes; a class that was not fitted gets 0.

    ``reference`` holds the classes of the user's own model, in the signature's order.
    """
    labels = getattr(fitted, "classes_", None)
    if predictions.values is not None or labels is None:
        return predictions
    k = len(signature.classes)
    names = tuple(reference.tolist()) if len(reference) else signature.classes
    where = encode_labels(np.asarray(labels, dtype=object), names)
    if (where < 0).any() and len(where) == k:
        # Numbered by the library in the order of the user's words.
        where = np.arange(k)
    if (where < 0).any():
        raise ModelError(
            "the fitted model has classes that the signature has not",
            why=f"{list(labels)} are not all among {list(names)}",
            fix="fit on the labels as they are given, without encoding them to others",
        )
    codes = None if predictions.codes is None else where[predictions.codes]
    if predictions.probabilities is None:
        return Predictions(codes=codes)
    probabilities = np.zeros((len(predictions), k))
    probabilities[:, where] = predictions.probabilities
    return Predictions(probabilities=probabilities, codes=codes)


def _plain(target: np.ndarray) -> np.ndarray:
    """Return labels as the user would have them: words as str, numbers as numbers."""
    if target.dtype != dtype_of("category"):
        return target
    kinds = {type(value) for value in target.tolist()}
    return target.astype(str) if kinds == {str} else np.array(target.tolist())
