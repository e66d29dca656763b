"""A table file that appears whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pyarrow.types as pt

from afterfit.errors import InputError, UsageError
from afterfit.store.files import os_error, replacing

__all__ = ["Writer", "check_output", "writing"]

_FORMATS: dict[str, Literal["csv", "parquet", "arrow"]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


# Small row groups cost Parquet's readers and writers more than their rows do.
_GROUP_ROWS = 131_072


class Writer:
    """Writes record batches of one schema, which is that of the first."""

    def __init__(self, stream: Any, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._writer: Any = None
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Write some rows, or keep them until there are enough for a row group."""
        if self._writer is None:
            self._writer = self._open(batch.schema)
        self._waiting.append(batch)
        if sum(each.num_rows for each in self._waiting) >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what still waits, and what the format has at its end."""
        if self._writer is not None:
            self._flush()
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            rows = pa.Table.from_batches(self._waiting).combine_chunks()
            self._waiting = []
            self._writer.write_table(rows)

    def _open(self, schema: pa.Schema) -> Any:
        form = _FORMATS[self._path.suffix.lower()]
        if form == "parquet":
            # Scores and measurements hardly repeat: a dictionary of them costs twice the time.
            repeating = [field.name for field in schema if not pt.is_floating(field.type)]
            return pq.ParquetWriter(self._stream, schema, use_dictionary=repeating)
        if form == "arrow":
            return pyarrow.ipc.new_file(self._stream, schema)
        delimiter = "\t" if self._path.suffix.lower() == ".tsv" else ","
        # Arrow would put every name of the header in quotes.
        header = io.StringIO()
        csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(schema.names)
        self._stream.write(header.getvalue().encode())
        options = pa_csv.WriteOptions(
            include_header=False, delimiter=delimiter, quoting_style="needed"
        )
        return pa_csv.CSVWriter(self._stream, schema, write_options=options)


def check_output(source: Path, output: Path) -> None:
    """Raise UsageError for an output that cannot be: the source itself, or an unknown format."""
    if output.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"the output {output.name} has no known ending",
            where=str(output),
            why=f"the ending says the format: {', '.join(_FORMATS)}",
            fix=f"for example: {output.with_suffix('.parquet').name}",
        )
    if output.is_dir():
        raise UsageError(f"{output.name} is a folder", where=str(output), fix="name a file in it")
    with suppress(OSError):
        if output.samefile(source):
            raise UsageError(
                "the output is the source", where=str(output), fix="give the output another name"
            )


@contextmanager
def writing(output: Path) -> Iterator[Writer]:
    """Yield a writer whose rows become the file ``output`` when the block ends well.

    Raises ForbiddenError or ResourceError; after any error nothing new is left.
    """
    try:
        with replacing(output) as stream:
            writer = Writer(stream, output)
            yield writer
            writer.close()
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{output.name} cannot be written",
            where=str(output),
            why=str(error),
            fix=f"write Parquet instead: {output.with_suffix('.parquet').name}",
        ) from None
    except OSError as error:
        raise os_error(error, output, "write") from None
