"""Frames as the tables that estimators were trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from afterfit.core.frame import Frame, MatrixFrame, missing_mask, row_count
from afterfit.errors import InputError

__all__ = [
    "chosen_features",
    "require_columns",
    "require_numbers",
    "to_array",
    "to_matrix",
    "to_numbers",
    "to_pandas",
]


def require_columns(frame: Frame, features: Sequence[str]) -> None:
    """Do nothing if every feature is a column of the frame; raises InputError naming the others."""
    missing = [name for name in features if name not in frame]
    if missing:
        raise InputError(
            f"missing column{'s' if len(missing) > 1 else ''}: {', '.join(missing)}",
            where=missing[0],
            why=f"the model was trained on {len(features)} columns",
            fix="add the column to the data, under the name that the model knows",
        )


def require_numbers(frame: Frame, features: Sequence[str]) -> None:
    """Do nothing if all these columns are numeric; raises InputError naming one that is not."""
    for name in features:
        array = frame[name]
        if array.dtype.kind != "O":
            continue
        wrong = next((value for value in array if isinstance(value, str)), None)
        if wrong is not None:
            raise InputError(
                f"column {name} holds text where the model needs numbers",
                where=name,
                why=f"for example {wrong!r}",
                fix=f"give numbers in {name}, or a model whose pipeline encodes them",
            )


def to_pandas(
    frame: Frame,
    features: Sequence[str],
    *,
    categorical: Mapping[str, Sequence[Any]] | None = None,
    missing: object = np.nan,
) -> Any:
    """Return a DataFrame of these columns with the dtypes that reading a file gives.

    Text becomes pandas' own string dtype (object before pandas 3) with ``missing`` for None.
    ``categorical`` maps a column to the categories its dtype had in training.
    """
    import pandas as pd

    categories = categorical or {}
    columns = {
        name: _category(frame[name], categories[name])
        if name in categories
        else _series(frame[name], missing)
        for name in features
    }
    return pd.DataFrame(columns, index=range(row_count(frame)), copy=False)


def _category(array: np.ndarray, known: Sequence[Any]) -> Any:
    # A value that is none of the known ones has no code, as a missing one has none.
    import pandas as pd

    categories = pd.Index(list(known))
    codes = categories.get_indexer(pd.Index(_with_missing(array, np.nan)))
    return pd.Categorical.from_codes(codes, categories=categories)


def _series(array: np.ndarray, missing: object) -> Any:
    import pandas as pd

    if array.dtype.kind != "O":
        return array
    text = all(isinstance(value, str) or value is None for value in array)
    modern = int(pd.__version__.partition(".")[0]) >= 3
    if text and modern and missing is not None:
        return pd.array(array, dtype=pd.StringDtype(na_value=np.nan))
    return pd.Series(_with_missing(array, missing), dtype=object)


def _with_missing(array: np.ndarray, missing: object) -> np.ndarray:
    if array.dtype.kind != "O":
        return array
    filled = array.copy()
    filled[missing_mask(array)] = missing
    return filled


def to_numbers(table: Any) -> Any:
    """Return a DataFrame in which booleans with missing values are floats, as boosters need."""
    kinds = {name: str(table[name].dtype) for name in table.columns}
    plain = [name for name, kind in kinds.items() if kind == "object"]
    # Of a column without any value nobody can tell that it is no text.
    plain += [name for name, kind in kinds.items() if kind == "str" and table[name].isna().all()]
    return table.astype(dict.fromkeys(plain, np.float64)) if plain else table


def to_array(frame: Frame, features: Sequence[str]) -> np.ndarray:
    """Return the columns side by side: float64 of [n, columns], object where one holds text."""
    columns = [frame[name] for name in features]
    if any(column.dtype.kind == "O" for column in columns):
        if any(isinstance(value, str) for column in columns for value in column[:100]):
            return np.column_stack([_with_missing(c.astype(object), np.nan) for c in columns])
        columns = [_with_missing(column, np.nan).astype(np.float64) for column in columns]
    return np.column_stack([column.astype(np.float64) for column in columns])


def to_matrix(frame: Frame, features: Sequence[str], dtype: Any = np.float64) -> np.ndarray:
    """Return columns of numbers side by side, floats of [n, columns] with NaN for missing ones.

    A number beyond the range of ``dtype`` becomes an infinity.
    """
    if isinstance(frame, MatrixFrame) and frame.names == tuple(features):
        with np.errstate(over="ignore"):
            return frame.matrix.astype(dtype, copy=False)
    out = np.empty((row_count(frame), len(features)), dtype)
    with np.errstate(over="ignore"):
        for index, name in enumerate(features):
            out[:, index] = _with_missing(frame[name], np.nan)
    return out


def chosen_features(
    frame: Frame, trained: Sequence[str], told: Sequence[str], expected: int | None
) -> tuple[str, ...]:
    """Return the frame's columns in the model's order; raises InputError where they do not fit.

    By the names of the training where the frame has them; else by those that were told, and for a
    model without names the frame's own order: both are matched by position.
    """
    if trained and not (told and len(told) == len(trained) and set(told) != set(trained)):
        require_columns(frame, trained)
        return tuple(trained)
    features = tuple(told) or tuple(frame)
    require_columns(frame, features)
    if expected is not None and len(features) != expected:
        raise InputError(
            f"the model takes {expected} columns, the data has {len(features)}",
            why="the model knows no column names, so columns are matched by position",
            fix="give exactly the training columns, in their order",
        )
    return features
