"""Where a model's trees compare, in the units of its columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.signature import Signature
from afterfit.models.convert_graph import column_names
from afterfit.models.native import NativeModel

__all__ = ["mapped"]


def mapped(
    native: NativeModel, signature: Signature, found: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return {column: thresholds in its own unit}, float64 arrays, for numeric columns.

    Steps before the trees are probed with two rows: a column that reaches a feature as
    ``scale * x + shift`` turns its thresholds back; what is not such a line is left out. The rows
    are made up: where the steps refuse them, nothing is known of any column.
    """
    estimator = native.estimator
    names = column_names(native, signature)
    columns = {name: index for index, name in enumerate(names) if signature.column(name).numeric}
    if not hasattr(estimator, "steps") or len(estimator.steps) == 1:
        return {
            name: found["split"][found["feature"] == index]
            for name, index in columns.items()
            if (found["feature"] == index).any()
        }
    lines = _lines(native, signature, names, tuple(columns))
    result: dict[str, list[np.ndarray]] = {}
    for name, feature, scale, shift in lines:
        splits = found["split"][found["feature"] == feature]
        if len(splits):
            result.setdefault(name, []).append((splits - shift) / scale)
    return {name: np.unique(np.concatenate(parts)) for name, parts in result.items()}


def _lines(
    native: NativeModel, signature: Signature, names: tuple[str, ...], numeric: tuple[str, ...]
) -> list[tuple[str, int, float, float]]:
    """Return (column, feature, scale, shift) of the features that are a line in one column."""
    rows = _rows(signature, names, numeric)
    table = native.table(rows) if hasattr(native, "table") else None
    if table is None:
        return []
    try:
        answers = native.estimator[:-1].transform(table)
        dense = answers.todense() if hasattr(answers, "todense") else answers
        matrix = np.asarray(dense, dtype=float)
    except Exception:  # noqa: BLE001 - the steps may be the user's own and raise anything
        return []
    lines = []
    for index, name in enumerate(numeric):
        zero, one, two = matrix[0], matrix[2 * index + 1], matrix[2 * index + 2]
        slope = one - zero
        straight = np.isclose(two - zero, 2 * slope, rtol=1e-9, atol=0) & (slope != 0)
        lines += [
            (name, int(feature), float(slope[feature]), float(zero[feature]))
            for feature in np.flatnonzero(straight)
        ]
    return lines


def _rows(
    signature: Signature, names: tuple[str, ...], numeric: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return a row of zeros, then for each numeric column one row with 1 and one with 2 in it."""
    count = 2 * len(numeric) + 1
    frame: dict[str, np.ndarray] = {}
    for name in names:
        column = signature.column(name)
        if column.numeric:
            values = np.zeros(count)
            index = numeric.index(name)
            values[2 * index + 1 : 2 * index + 3] = (1.0, 2.0)
            frame[name] = values
        else:
            text = column.categories[0] if column.categories else "text"
            frame[name] = np.array([text] * count, dtype=object)
    return frame
