"""A row that a model takes, made from its signature alone: for documents and pages."""

from __future__ import annotations

from typing import Any

from afterfit.core.signature import Column, Signature

__all__ = ["example_columns", "example_row"]

WORD = "text"


def example_row(signature: Signature) -> dict[str, Any]:
    """Return a value for each column, inside of its range or of its categories; never null."""
    return {column.name: _value(column) for column in signature.columns}


def example_columns(row: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the row as columns of one value."""
    return {name: [value] for name, value in row.items()}


def _value(column: Column) -> Any:
    if column.kind == "number":
        return _middle(column)
    if column.kind == "integer":
        low = -(-column.low // 1) if column.low is not None else 0.0
        return int(max(low, _middle(column) // 1))
    if column.kind == "boolean":
        return bool(column.low)
    return column.categories[0] if column.categories else WORD


def _middle(column: Column) -> float:
    """Return the middle of the range, at three digits where that is still inside."""
    if column.low is None or column.high is None:
        return column.low or column.high or 0.0
    # Halved first: the sum of two numbers near the end of float64 would be infinite.
    middle = column.low / 2 + column.high / 2
    short = float(f"{middle:.3g}")
    return short if column.low <= short <= column.high else middle
