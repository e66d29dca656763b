"""Any rows, written in any of the formats, come back as the frame that their JSON rows give."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from tests.runtime.formats.samples import (
    DECODER,
    NAMES,
    ROWS,
    Row,
    assert_same,
    columns,
    lists,
    rows_of_any_value,
    stream,
    table,
)

from afterfit.runtime.formats import (
    arrow_stream,
    azureml,
    csv_rows,
    json_lines,
    mlflow_rows,
    predict_json,
    vertex,
)

BACKWARDS = tuple(reversed(NAMES))


def as_csv(rows: list[Row], names: tuple[str, ...], *, header: bool) -> bytes:
    """The rows as ``csv`` writes them; None is an empty field."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    if header:
        writer.writerow(names)
    writer.writerows(lists(rows, names))
    return sink.getvalue().encode()


def as_json(make: Callable[[list[Row]], Any]) -> Callable[[list[Row]], bytes]:
    """A writer of JSON."""
    return lambda rows: json.dumps(make(rows)).encode()


def split(rows: list[Row]) -> Row:
    """The rows as pandas writes ``split``."""
    return {
        "columns": list(BACKWARDS),
        "index": list(range(len(rows))),
        "data": lists(rows, BACKWARDS),
    }


def as_lines(rows: list[Row]) -> bytes:
    """An object a line."""
    return "\n".join(json.dumps(row) for row in rows).encode()


TEXTS = {"job": pa.dictionary(pa.int8(), pa.string()), "note": pa.large_string()}
VIEWS = {"job": pa.dictionary(pa.uint32(), pa.string_view()), "note": pa.string_view()}
WRITERS: dict[str, tuple[Callable[..., Any], Callable[[list[Row]], bytes]]] = {
    "csv with a header": (csv_rows.decode, lambda r: as_csv(r, BACKWARDS, header=True)),
    "csv without one": (
        lambda body, decoder: csv_rows.decode(body, decoder, header=False),
        lambda r: as_csv(r, NAMES, header=False),
    ),
    "json lines": (json_lines.decode, as_lines),
    "arrow": (arrow_stream.decode, lambda r: stream(table(r))),
    "arrow in batches": (arrow_stream.decode, lambda r: stream(table(r, **TEXTS), chunk=5)),
    "arrow of views": (arrow_stream.decode, lambda r: stream(table(r, **VIEWS), chunk=7)),
    "rows": (predict_json.decode, as_json(lambda r: {"rows": r})),
    "dataframe_split": (mlflow_rows.decode, as_json(lambda r: {"dataframe_split": split(r)})),
    "dataframe_records": (mlflow_rows.decode, as_json(lambda r: {"dataframe_records": r})),
    "instances": (mlflow_rows.decode, as_json(lambda r: {"instances": r})),
    "instances as arrays": (mlflow_rows.decode, as_json(lambda r: {"instances": lists(r)})),
    "instances as columns": (mlflow_rows.decode, as_json(lambda r: {"instances": columns(r)})),
    "inputs": (mlflow_rows.decode, as_json(lambda r: {"inputs": columns(r)})),
    "inputs as arrays": (mlflow_rows.decode, as_json(lambda r: {"inputs": lists(r)})),
    "vertex": (vertex.decode, as_json(lambda r: {"instances": r, "parameters": {}})),
    "vertex as arrays": (vertex.decode, as_json(lambda r: {"instances": lists(r)})),
    "azure": (azureml.decode, as_json(lambda r: {"input_data": split(r)})),
    "azure as arrays": (azureml.decode, as_json(lambda r: {"input_data": lists(r)})),
    "azure as columns": (azureml.decode, as_json(lambda r: {"input_data": columns(r)})),
    "azure data": (azureml.decode, as_json(lambda r: {"data": r})),
}


@pytest.mark.parametrize("name", WRITERS)
@given(rows=rows_of_any_value)
@settings(max_examples=40, deadline=None)
def test_any_rows_come_back_as_the_same_frame(name: str, rows: list[Row]) -> None:
    """Columns, dtypes and values are those of the same rows as JSON objects."""
    decode, write = WRITERS[name]
    assert_same(decode(write(rows), DECODER).frame, rows)


@pytest.mark.parametrize("name", WRITERS)
def test_rows_of_every_kind_come_back(name: str) -> None:
    """Quotes, line ends, umlauts, gaps and the edges of numbers; a check with fixed rows."""
    decode, write = WRITERS[name]
    assert_same(decode(write(ROWS), DECODER).frame, ROWS)
