"""A made-up harmless row, and simple values, both from the fingerprint: nobody's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.signature import Column, Signature
from afterfit.robustness.replay import Row

__all__ = ["drawn_rows", "harmless_row", "public_values"]

DRAWN = 8
_WORD = "alpha"


def harmless_row(fingerprint: Fingerprint, signature: Signature) -> Row:
    """Return one row of typical values: the middle of each column, or its most common category."""
    return {column.name: _typical(column, _counts(fingerprint, column))
            for column in signature.columns}  # fmt: skip


def public_values(fingerprint: Fingerprint, column: Column) -> list[Any]:
    """Return values of a column that no single row holds: its edges and ends, or its categories."""
    counts = _counts(fingerprint, column)
    if column.kind == "boolean":
        return [False, True]
    if column.numeric:
        known = [counts.min, counts.max, *counts.edges]
        found = [value for value in known if value is not None]
        return [_whole(column, value) for value in dict.fromkeys(found)]
    return sorted(counts.categories, key=lambda name: (-counts.categories[name], name))


def drawn_rows(
    fingerprint: Fingerprint, signature: Signature, seed: int, n: int = DRAWN
) -> list[Row]:
    """Return made-up rows of public values, each column drawn by itself."""
    typical = harmless_row(fingerprint, signature)
    drawn: dict[str, list[Any]] = {}
    for place, column in enumerate(signature.columns):
        known = public_values(fingerprint, column) or [typical[column.name]]
        random = np.random.default_rng([seed, place])
        drawn[column.name] = [known[index] for index in random.integers(0, len(known), n).tolist()]
    return [{name: values[row] for name, values in drawn.items()} for row in range(n)]


def _counts(fingerprint: Fingerprint, column: Column) -> ColumnCounts:
    return fingerprint.column(column.name) or ColumnCounts(name=column.name, kind=column.kind)


def _typical(column: Column, counts: ColumnCounts) -> Any:
    if column.kind == "boolean":
        return bool(counts.mean > 0.5)
    if column.numeric:
        return _whole(column, _middle(counts))
    if counts.categories:
        return max(sorted(counts.categories), key=lambda name: counts.categories[name])
    return column.categories[0] if column.categories else _WORD


def _middle(counts: ColumnCounts) -> float:
    """Return the edge next to the median; else the mean, which is 0 where rows are few."""
    if not counts.edges:
        return counts.mean
    below = np.cumsum(counts.counts)[:-1]
    place = int(np.abs(below - counts.finite / 2).argmin())
    return float(counts.edges[place])


def _whole(column: Column, value: float) -> Any:
    return round(value) if column.kind == "integer" else float(value)
