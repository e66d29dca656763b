"""A small table with gaps, its labels, and an unfitted pipeline that takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

N = 240


def table(*, missing: bool = True) -> pd.DataFrame:
    """Rows with a number, an integer and a text column, as ``read_csv`` gives them."""
    rng = np.random.default_rng(7)
    data = pd.DataFrame(
        {
            "amount": rng.normal(size=N).round(3),
            "visits": rng.integers(0, 9, N),
            "city": pd.Series(rng.choice(["Bonn", "Kiel", "Ulm"], N), dtype="str"),
        }
    )
    if missing:
        data.loc[[3, 50], "amount"] = np.nan
        data.loc[[4, 60], "city"] = np.nan
    return data


def frame_of(data: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return a DataFrame as Afterfit's frame."""
    frame: dict[str, np.ndarray] = {}
    for name in data:
        column = data[name]
        if column.dtype.kind in "ifb" and not isinstance(column.dtype, pd.CategoricalDtype):
            frame[str(name)] = column.to_numpy()
        else:
            values = column.astype(object).where(column.notna(), None).to_numpy(dtype=object)
            frame[str(name)] = values
    return frame


def labels(data: pd.DataFrame) -> np.ndarray:
    """Return yes or no for each row, learnable from all columns."""
    hit = (data["amount"].fillna(0) > 0) | (data["city"] == "Ulm") & (data["visits"] > 4)
    return np.where(hit, "yes", "no").astype(object)


def pipeline(final: Any) -> Any:
    """Return an unfitted pipeline of imputing, scaling, encoding and ``final``."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    branches = make_column_transformer((numbers, ["amount", "visits"]), (words, ["city"]))
    return make_pipeline(branches, final)
