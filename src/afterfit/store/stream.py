"""A table file in batches, in constant memory, with its columns as a signature has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.store.arrow import BadValue, column_to_numpy, conform
from afterfit.store.csv_file import Layout, check_names, csv_batches, csv_layout
from afterfit.store.files import os_errors
from afterfit.store.sniff import FileKind, broken_file, ipc_reader, kind_of, missing_columns

__all__ = ["BATCH_ROWS", "Batch", "TableFile", "open_table", "stream_table"]

BATCH_ROWS = 16_384
_TAKES = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "category": "text",
    "text": "text",
}


class Batch(NamedTuple):
    """Some rows: the number of the first (from 1), how many, the columns to keep, the frame."""

    first_row: int
    rows: int
    kept: pa.RecordBatch
    frame: dict[str, np.ndarray]


class TableFile(NamedTuple):
    """What is known of a table file before its rows are read; ``rows`` is None for CSV."""

    path: Path
    kind: FileKind
    names: list[str]
    rows: int | None = None
    layout: Layout | None = None


def open_table(path: Path) -> TableFile:
    """Return the kind, column names and row count of a file; raises InputError or NotFoundError."""
    kind = kind_of(path)
    if kind == "csv":
        layout = csv_layout(path)
        return TableFile(path, kind, layout.names, layout=layout)
    with os_errors(path, "read"), broken_file(path):
        if kind == "parquet":
            with pq.ParquetFile(path) as parquet:
                table = TableFile(path, kind, parquet.schema_arrow.names, parquet.metadata.num_rows)
        else:
            with pa.OSFile(str(path)) as file, ipc_reader(file, kind) as reader:
                table = TableFile(path, kind, reader.schema.names)
    check_names(table.names, str(path))
    return table


def stream_table(
    path: Path,
    signature: Signature,
    batch_rows: int = BATCH_ROWS,
    *,
    keep: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """Yield the rows of a CSV, Parquet or Arrow file in batches of at most ``batch_rows``.

    A batch's frame holds the signature's columns with its kinds, whatever the other batches hold.
    ``keep`` are the columns to hand on: from CSV the signature's have its types, others are text.
    Raises InputError that names file, row and column of the first value that cannot be used, and
    for columns that are not there.
    """
    table = open_table(path)
    _check_columns(table, signature.names, "the model needs")
    _check_columns(table, keep, "to keep")
    first_row = 1
    for block in _blocks(table, signature, keep, batch_rows):
        for start in range(0, block.num_rows, batch_rows):
            batch = _batch(block.slice(start, batch_rows), signature, keep, table, first_row)
            yield batch
            first_row += batch.rows


def _check_columns(table: TableFile, wanted: tuple[str, ...], who: str) -> None:
    absent = [name for name in wanted if name not in table.names]
    if absent:
        raise missing_columns(absent, table.names, str(table.path), who)


def _blocks(
    table: TableFile, signature: Signature, keep: tuple[str, ...], batch_rows: int
) -> Iterator[Any]:
    if table.layout is not None:
        yield from _csv_blocks(table.layout, signature)
        return
    path = table.path
    with os_errors(path, "read"), broken_file(path):
        if table.kind == "parquet":
            columns = list(dict.fromkeys((*signature.names, *keep)))
            with pq.ParquetFile(path) as parquet:
                yield from parquet.iter_batches(batch_rows, columns=columns)
            return
        with pa.OSFile(str(path)) as file, ipc_reader(file, table.kind) as reader:
            if table.kind == "arrow-stream":
                yield from reader
            else:
                yield from (reader.get_batch(i) for i in range(reader.num_record_batches))


def _csv_blocks(layout: Layout, signature: Signature) -> Iterator[Any]:
    """Yield blocks parsed by the signature; from the first word that does not fit on, as text.

    Parsing straight into the types is quick; text shows which row is wrong, and that ``3.0`` is a
    whole number after all.
    """
    done = 0
    try:
        for block in csv_batches(layout, signature):
            yield block
            done += block.num_rows
    except pa.ArrowInvalid:
        for block in csv_batches(layout, None):
            skipped = min(done, block.num_rows)
            done -= skipped
            yield block.slice(skipped)


def _batch(
    block: Any, signature: Signature, keep: tuple[str, ...], table: TableFile, first_row: int
) -> Batch:
    frame, columns = {}, {}
    for column in signature.columns:
        values = conform(block.column(column.name), column)
        if isinstance(values, BadValue):
            raise _bad_value(values, column, table.path, first_row)
        frame[column.name] = column_to_numpy(values, column.name, str(table.path))
        columns[column.name] = values
    # A block of CSV may be typed or text: what is handed on has the signature's types in both.
    own = columns if table.layout is not None else {}
    kept = [own[name] if name in own else block.column(name) for name in keep]
    fields = [pa.field(name, array.type) for name, array in zip(keep, kept, strict=True)]
    rows = pa.RecordBatch.from_arrays(kept, schema=pa.schema(fields))
    return Batch(first_row, block.num_rows, rows, frame)


def _bad_value(bad: BadValue, column: Column, path: Path, first_row: int) -> InputError:
    row = first_row + bad.row
    return InputError(
        f"{path.name}, row {row}, column {column.name!r}: {bad.message}",
        where=f"{path}, row {row}, column {column.name}",
        why=f"the model takes {_TAKES[column.kind]} there; the first row of data is row 1",
        fix="mend the value, or leave out the row"
        if not column.nullable
        else "mend the value, or leave it empty",
    )
