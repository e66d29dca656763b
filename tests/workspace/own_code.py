"""A model of the user's own class, whose code lies in a folder and can be edited."""

from __future__ import annotations

import sys
from importlib import import_module, invalidate_caches
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

MODULE = "scorer_of_mine"
NAME = f"{MODULE}.Scorer"
CODE = """\
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

SIGN = {sign}


class Scorer(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.feature_names_in_ = np.array(["spend"], dtype=object)
        self.n_features_in_ = 1
        return self

    def predict_proba(self, X):
        import os

        second = 1 / (1 + np.exp(-SIGN * np.asarray(X, dtype=float)[:, 0]))
        {extra}
        return np.column_stack([1 - second, second])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
"""


def write_code(folder: Path, *, sign: int = 1, extra: str = "pass") -> Path:
    """Return ``folder/src`` with the class's module; its answers turn around with ``sign``."""
    code = folder / "src"
    code.mkdir(exist_ok=True)
    (code / f"{MODULE}.py").write_text(CODE.format(sign=sign, extra=extra))
    return code


def write_model(folder: Path, rows: pd.DataFrame, target: np.ndarray) -> Path:
    """Return the joblib file of a fitted instance; its module is not left imported."""
    code = write_code(folder)
    sys.path.insert(0, str(code))
    try:
        invalidate_caches()
        model = import_module(MODULE).Scorer().fit(rows, target)
        joblib.dump(model, folder / "model.joblib")
    finally:
        sys.path.remove(str(code))
        sys.modules.pop(MODULE, None)
    return folder / "model.joblib"


def people(n: int = 300, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows and labels that a scorer with sign 1 gets mostly right."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame({"spend": random.normal(0, 2, n)})
    return rows, np.where(rows["spend"] + random.normal(0, 1, n) > 0, "stays", "leaves")
