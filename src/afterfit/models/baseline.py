"""Trivial models to stand beside the user's own: what one would get for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature

MAX_ROWS = 50_000
MAX_ONE_HOT = 50
_ITERATIONS = 500


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
    """
    from sklearn.linear_model import LogisticRegression, Ridge

    keep = np.random.default_rng(seed).permutation(len(target))[:MAX_ROWS]
    rows = {name: values[keep] for name, values in train.items()}
    encode = _encoder(signature)
    design = encode.fit_transform(_table(signature, rows))
    tested = encode.transform(_table(signature, test))
    if signature.task == "regression":
        return Predictions(values=Ridge().fit(design, target[keep]).predict(tested))
    model = LogisticRegression(max_iter=_ITERATIONS).fit(design, target[keep])
    probabilities = np.zeros((len(next(iter(test.values()))), len(signature.classes)))
    probabilities[:, model.classes_] = model.predict_proba(tested)
    return Predictions(probabilities=probabilities)


def _encoder(signature: Signature) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [column.name for column in signature.columns if column.numeric]
    words = [column.name for column in signature.columns if column.kind == "category"]
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_ONE_HOT)
    return ColumnTransformer(
        [("numbers", make_pipeline(impute, StandardScaler()), numbers), ("words", one_hot, words)]
    )


def _table(signature: Signature, frame: Frame) -> Any:
    import pandas as pd

    columns: dict[str, Any] = {}
    for column in signature.columns:
        values = frame[column.name]
        if column.numeric:
            numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
            columns[column.name] = numbers.astype(float).replace([np.inf, -np.inf], np.nan)
        else:
            columns[column.name] = ["" if value is None else str(value) for value in values]
    return pd.DataFrame(columns)
