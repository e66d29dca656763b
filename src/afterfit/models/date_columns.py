"""How a model takes dates: as the text that tables and requests carry, or as datetimes only."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import Frame
from afterfit.errors import first_line
from afterfit.models.native import NativeModel
from afterfit.models.sklearn import SklearnModel, parts

__all__ = ["ask_both_ways"]


def ask_both_ways(native: NativeModel, frame: Frame, columns: list[str]) -> dict[str, Any]:
    """Return how the model answers n rows with these columns as text, and as datetimes.

    ``text`` and ``dates`` are why it refused the rows, or empty where it answered; ``differ`` is
    the share of rows whose answers differ, ``trained_on_dates`` whether a fitted encoder remembers
    datetimes. Empty for a model that takes no table, or columns that are no dates.
    """
    if not isinstance(native, SklearnModel):
        return {}
    table = native.table(frame)
    dated = _with_dates(table, [list(frame).index(name) for name in columns])
    if dated is None:
        return {}
    text, refused_text = _answers(native, table)
    dates, refused_dates = _answers(native, dated)
    both = text is not None and dates is not None
    return {
        "text": refused_text,
        "dates": refused_dates,
        "differ": _share_that_differs(text, dates) if both else 0.0,
        "trained_on_dates": _remembers_dates(native.estimator),
    }


def _with_dates(table: Any, positions: list[int]) -> Any:
    """Return the table with these columns as datetimes; None where that cannot be."""
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        return None
    names = [table.columns[position] for position in positions]
    try:
        dates = {name: pd.to_datetime(table[name], format="ISO8601") for name in names}
    except (ValueError, TypeError):
        return None
    return table.assign(**dates)


def _answers(native: SklearnModel, table: Any) -> tuple[np.ndarray | None, str]:
    """Return the answers, or why there are none."""
    model = native.estimator
    ask = model.predict_proba if native.description.probabilities else model.predict
    try:
        return np.asarray(ask(table)), ""
    except Exception as error:  # noqa: BLE001  # a pipeline may raise anything
        return None, f"{type(error).__name__}: {first_line(error, 200)}"


def _share_that_differs(text: Any, dates: Any) -> float:
    same = text == dates if text.dtype.kind in "OUSb" else np.isclose(text, dates, equal_nan=True)
    return float(1.0 - np.mean(np.asarray(same).reshape(len(text), -1).all(axis=1)))


def _remembers_dates(estimator: Any) -> bool:
    known = [each for part in parts(estimator) for each in getattr(part, "categories_", None) or []]
    return any(np.asarray(each).dtype.kind == "M" for each in known)
