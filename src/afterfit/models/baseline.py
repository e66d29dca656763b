"""Trivial models to stand beside the user's own: what one would get for nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from afterfit.core.frame import Frame, Predictions, is_missing, row_count
from afterfit.core.signature import Signature
from afterfit.errors import ModelError

MAX_ROWS, MAX_BOOSTED_ROWS = 50_000, 5_000
MAX_ONE_HOT = 50
_ITERATIONS = 500
# Squares of larger numbers, summed over rows, leave the range of float64.
_LARGEST = 1e100


def constant(signature: Signature, target: np.ndarray, n: int) -> Predictions:
    """Return the class shares (or the mean) of ``target`` (codes or values) for each of n rows."""
    if signature.task == "regression":
        return Predictions(values=np.full(n, float(np.mean(target))))
    shares = np.bincount(target, minlength=len(signature.classes)) / max(1, len(target))
    return Predictions(probabilities=np.tile(shares, (n, 1)))


def linear(
    signature: Signature, train: Frame, target: np.ndarray, test: Frame, *, seed: int
) -> Predictions:
    """Return the predictions of a logistic (or ridge) regression on imputed, scaled, one-hot rows.

    ``target`` holds class codes or values; at most 50,000 rows are fitted, drawn with ``seed``.
    Raises ModelError where no linear model can be fitted: one class only, no column but text.
    """
    if all(column.kind == "text" for column in signature.columns):
        raise ModelError("no linear model was fitted: every column is free text")
    keep = np.random.default_rng(seed).permutation(len(target))[:MAX_ROWS]
    if signature.task != "regression" and len(np.unique(target[keep])) < 2:
        raise ModelError("no linear model was fitted: the rows hold only one class")
    rows = {name: values[keep] for name, values in train.items()}
    try:
        # That the iterations ran out, or a column is constant, is nothing a user should mend.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _fitted(signature, rows, target[keep], test)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        why = f"{type(error).__name__}: {error}"[:300]
        raise ModelError("no linear model was fitted", why=why) from None


def boosted(
    signature: Signature, train: Frame, target: np.ndarray, test: Frame, *, seed: int
) -> Predictions:
    """Return the probabilities of a few boosted trees: another kind of model than `linear`.

    ``target`` holds class codes; at most 5,000 rows are fitted, drawn with ``seed``. Raises
    ModelError where none can be fitted.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    keep = np.random.default_rng(seed).permutation(len(target))[:MAX_BOOSTED_ROWS]
    rows = {name: values[keep] for name, values in train.items()}
    # Small trees of large leaves: deeper ones learn noise, and are then sure of too much.
    model = HistGradientBoostingClassifier(
        max_iter=60, max_leaf_nodes=6, min_samples_leaf=40, early_stopping=False, random_state=seed
    )
    try:
        return _classified(model, signature, rows, target[keep], test, dense=True)
    except (ValueError, ArithmeticError) as error:
        raise ModelError("no boosted model was fitted", why=str(error)[:300]) from None


def boosted_values(
    signature: Signature, train: Frame, target: np.ndarray, *, seed: int
) -> Callable[[Frame], np.ndarray]:
    """Return a function from rows to the values that a few boosted trees expect of them.

    ``target`` is float64 of [n]; at most 50,000 rows are fitted, drawn with ``seed``. Raises
    ModelError where none can be fitted.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    keep = np.random.default_rng(seed).permutation(len(target))[:MAX_ROWS]
    rows = {name: values[keep] for name, values in train.items()}
    model = HistGradientBoostingRegressor(
        max_iter=100, max_leaf_nodes=12, min_samples_leaf=40, early_stopping=False,
        random_state=seed,
    )  # fmt: skip
    encode = _encoder(signature, dense=True)
    try:
        model.fit(encode.fit_transform(_table(signature, rows)), target[keep])
    except (ValueError, ArithmeticError) as error:
        raise ModelError("no boosted model was fitted", why=str(error)[:300]) from None

    def expected(frame: Frame) -> np.ndarray:
        found: np.ndarray = model.predict(encode.transform(_table(signature, frame)))
        return found

    return expected


def _fitted(signature: Signature, rows: Frame, target: np.ndarray, test: Frame) -> Predictions:
    from sklearn.linear_model import LogisticRegression, Ridge

    if signature.task == "regression":
        encode = _encoder(signature)
        design = encode.fit_transform(_table(signature, rows))
        tested = encode.transform(_table(signature, test))
        return Predictions(values=Ridge().fit(design, target).predict(tested))
    model = LogisticRegression(max_iter=_ITERATIONS)
    return _classified(model, signature, rows, target, test)


def _classified(
    model: Any,
    signature: Signature,
    rows: Frame,
    target: np.ndarray,
    test: Frame,
    *,
    dense: bool = False,
) -> Predictions:
    encode = _encoder(signature, dense=dense)
    model.fit(encode.fit_transform(_table(signature, rows)), target)
    probabilities = np.zeros((row_count(test), len(signature.classes)))
    probabilities[:, model.classes_] = model.predict_proba(
        encode.transform(_table(signature, test))
    )
    return Predictions(probabilities=probabilities)


def _encoder(signature: Signature, *, dense: bool = False) -> Any:
    """Return what makes numbers of columns; boosted trees take them ``dense`` only."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [column.name for column in signature.columns if column.numeric]
    words = [column.name for column in signature.columns if column.kind == "category"]
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_ONE_HOT)
    return ColumnTransformer(
        [("numbers", make_pipeline(impute, StandardScaler()), numbers), ("words", one_hot, words)],
        sparse_threshold=0.0 if dense else 0.3,
    )


def _table(signature: Signature, frame: Frame) -> Any:
    import pandas as pd

    columns: dict[str, Any] = {}
    for column in signature.columns:
        values = frame[column.name]
        if column.numeric:
            columns[column.name] = _numbers(values)
        else:
            columns[column.name] = ["" if is_missing(value) else str(value) for value in values]
    return pd.DataFrame(columns)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Return float64 within what can be squared; None and infinity become NaN."""
    if values.dtype.kind == "O":
        values = np.array([np.nan if is_missing(v) else float(v) for v in values.tolist()])
    numbers = values.astype(np.float64)
    return np.where(np.isinf(numbers), np.nan, np.clip(numbers, -_LARGEST, _LARGEST))
