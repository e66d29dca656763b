"""Whole bodies that a server takes, from one row: what the document shows and a page can send."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from afterfit.core.signature import Signature
from afterfit.runtime.example import example_columns
from afterfit.runtime.oip import TYPES, input_tensors

__all__ = ["examples_of"]

Row = Mapping[str, Any]
Examples = dict[str, Any]


def examples_of(signature: Signature, row: Row, family: str) -> dict[str, Examples]:
    """Return ``examples`` of a media type, by name, for a family of bodies."""
    made = _FAMILIES[family](signature, row)
    return {"examples": {name: {"value": value} for name, value in made.items()}}


def _predict(_: Signature, row: Row) -> Examples:
    return {"rows": {"rows": [row]}, "columns": {"columns": example_columns(dict(row))}}


def _invocations(signature: Signature, row: Row) -> Examples:
    split = {"columns": list(row), "data": [list(row.values())]}
    records = {"dataframe_records": [row]}
    return {
        "dataframe_split": {"dataframe_split": split},
        "dataframe_records": records,
        "instances": {"instances": [row]},
        "inputs": {"inputs": example_columns(dict(row))},
        **_predict(signature, row),
    }


def _vertex(_: Signature, row: Row) -> Examples:
    return {"instances": {"instances": [row]}}


def _azureml(_: Signature, row: Row) -> Examples:
    split = {"columns": list(row), "index": [0], "data": [list(row.values())]}
    return {"input_data": {"input_data": split}, "data": {"data": [list(row.values())]}}


def _infer(signature: Signature, row: Row) -> Examples:
    """Return one tensor of all columns where they are numbers, else one a column."""
    matrix = [{**tensor, "shape": [1, len(row)]} for tensor in input_tensors(signature)]
    if signature.numeric_only:
        matrix[0]["data"] = [value + 0 for value in row.values()]  # true and false as 1 and 0
        return {"tensor": {"inputs": matrix}}
    columns = [
        {"name": c.name, "datatype": TYPES[c.kind], "shape": [1], "data": [row[c.name]]}
        for c in signature.columns
    ]
    return {"tensors": {"inputs": columns}}


def _csv(_: Signature, row: Row) -> Examples:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerows([list(row), [_field(value) for value in row.values()]])
    return {"csv": stream.getvalue()}


def _lines(_: Signature, row: Row) -> Examples:
    return {"lines": msgspec.json.encode(dict(row)).decode() + "\n"}


def _field(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


_FAMILIES: dict[str, Callable[[Signature, Row], Examples]] = {
    "predict": _predict,
    "invocations": _invocations,
    "vertex": _vertex,
    "azureml": _azureml,
    "infer": _infer,
    "csv": _csv,
    "lines": _lines,
}
