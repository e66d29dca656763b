"""A log in Parquet, CSV or Arrow: one file or a folder of them, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from afterfit.errors import NotFoundError
from afterfit.monitor.batches import Batch, Cursor
from afterfit.monitor.sources.columns import LogColumns
from afterfit.store.arrow import arrow_type
from afterfit.store.csv_file import check_names, csv_layout, csv_parts
from afterfit.store.files import is_temporary, os_errors
from afterfit.store.sniff import FileKind, broken_file, ipc_reader, kind_of

__all__ = ["BATCH_ROWS", "Block", "Place", "TableSource", "batches_of", "is_whole", "log_files"]

BATCH_ROWS = 16_384
"""Rows of a batch: what sorts quickest is what stays in the cache."""
SUFFIXES = (".parquet", ".pq", ".csv", ".arrow", ".arrows", ".feather", ".ipc")
_AS_TEXT = ("event_id", "entity", "version")
_HEAD = 1 << 16
_ENDS = {b"PAR1": b"PAR1", b"ARROW1": b"ARROW1"}
_STREAM = b"\xff\xff\xff\xff"


class Place(NamedTuple):
    """How far a log was read: to which byte or row, and how many rows that is.

    Of the block that begins there, and ends ``until``, the batches of ``parts`` versions were read
    as well.
    """

    at: int = 0
    row: int = 0
    parts: int = 0
    until: int = 0


class Block(NamedTuple):
    """Some rows of a log: their table, the first one's number, and where the log goes on."""

    table: Any
    first_row: int
    at: int


class TableSource:
    """Predictions in a file, or in the files of a folder, in the order of their names.

    A cursor says of each file how far it was read, so files may grow, and more may come. With
    ``waiting`` what is not whole is left for the next time: a file that is being written, the last
    line of a CSV; without it such a file is an InputError. ``schema`` is that of all columns of
    the file that was begun last.
    """

    def __init__(
        self,
        path: Path,
        columns: LogColumns,
        *,
        waiting: bool = False,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self.path = path
        self.columns = columns
        self.waiting = waiting
        self.batch_rows = batch_rows
        self.schema: pa.Schema | None = None

    def read(self, cursor: Cursor) -> Iterator[tuple[Batch, Cursor]]:
        """Yield what comes after the cursor, each with the cursor that goes on behind it."""
        done = dict(cursor)
        for path in log_files(self.path):
            if self.waiting and not is_whole(path):
                continue
            place = Place(*done.get(path.name, ()))
            blocks = self._blocks(path, place)
            for batch, after in batches_of(blocks, self.columns, path.name, place):
                done = {**done, path.name: list(after)}
                yield batch, done

    def _blocks(self, path: Path, place: Place) -> Iterator[Block]:
        kind = kind_of(path)
        if kind == "csv":
            yield from self._csv_blocks(path, place)
        elif kind == "parquet":
            yield from self._parquet_blocks(path, place.at)
        else:
            yield from self._arrow_blocks(path, kind, place.at)

    def _csv_blocks(self, path: Path, place: Place) -> Iterator[Block]:
        layout = csv_layout(path)
        self.columns.wanted(layout.names)
        first = next(csv_parts(layout, {}, torn=self.waiting), None)
        self.schema = None if first is None else first[0].schema
        inputs = set(self.columns.inputs)
        types = {
            column.name: arrow_type(column)
            for column in self.columns.signature.columns
            if column.name in layout.names and column.name in inputs
        }
        texts = (self.columns.mapping.get(role) for role in _AS_TEXT)
        types |= {name: pa.string() for name in texts if name}
        row = place.row
        parts = csv_parts(layout, types, place.at, until=place.until, torn=self.waiting)
        for table, end in parts:
            yield Block(table, row, end)
            row += table.num_rows

    def _parquet_blocks(self, path: Path, at: int) -> Iterator[Block]:
        # Without a buffer ahead only the group that is read is in memory.
        with (
            os_errors(path, "read"),
            broken_file(path),
            pq.ParquetFile(path, pre_buffer=False) as parquet,
        ):
            self.schema = parquet.schema_arrow
            names = self.schema.names
            check_names(names, str(path))
            wanted = self.columns.wanted(names)
            begins = 0
            for group in range(parquet.metadata.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                if begins + rows > at:
                    # One group at a time: batches are then cut alike, wherever reading begins.
                    found = parquet.iter_batches(
                        self.batch_rows, row_groups=[group], columns=wanted
                    )
                    yield from _after(found, begins, at)
                begins += rows

    def _arrow_blocks(self, path: Path, kind: FileKind, at: int) -> Iterator[Block]:
        with (
            os_errors(path, "read"),
            broken_file(path),
            pa.memory_map(str(path)) as file,
            ipc_reader(file, kind) as reader,
        ):
            self.schema = reader.schema
            check_names(self.schema.names, str(path))
            wanted = self.columns.wanted(self.schema.names)
            tables = (
                whole.select(wanted).slice(start, self.batch_rows)
                for whole in self._arrow_batches(reader, kind)
                for start in range(0, whole.num_rows, self.batch_rows)
            )
            yield from _after(tables, 0, at)

    def _arrow_batches(self, reader: Any, kind: FileKind) -> Iterator[Any]:
        if kind == "arrow-file":
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
            return
        while True:
            try:
                yield reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError):
                # The end of a stream that is being written is torn.
                if self.waiting:
                    return
                raise


def batches_of(
    blocks: Iterable[Block], columns: LogColumns, where: str, place: Place
) -> Iterator[tuple[Batch, Place]]:
    """Yield the predictions of some blocks, each with the place that goes on behind it.

    Rows of several versions give a batch each, and reading may go on between these.
    """
    at, parts = place.at, place.parts
    for block in blocks:
        found = list(columns.batches(block.table, where=where, first_row=block.first_row))
        for number, batch in enumerate(found[parts:], start=parts + 1):
            if number == len(found):
                yield batch, Place(block.at, block.first_row + block.table.num_rows)
            else:
                yield batch, Place(at, block.first_row, number, block.at)
        at, parts = block.at, 0


def _after(tables: Iterable[Any], begins: int, at: int) -> Iterator[Block]:
    """Yield the rows of tables that follow each other, from row ``at`` of the file on."""
    for table in tables:
        skipped = min(table.num_rows, max(0, at - begins))
        first, begins = begins + skipped, begins + table.num_rows
        if first < begins:
            yield Block(table.slice(skipped), first, begins)


def log_files(path: Path) -> list[Path]:
    """Return the files of a log, by name; raises NotFoundError for a folder without any."""
    if not path.is_dir():
        return [path]
    files = [each for each in sorted(path.iterdir()) if each.suffix.lower() in SUFFIXES]
    files = [each for each in files if each.is_file() and not is_temporary(each)]
    if not files:
        raise NotFoundError(
            "the folder holds no table",
            where=str(path),
            why=f"a log is of {', '.join(SUFFIXES)}",
            fix="name the file or the folder of the log",
        )
    return files


def is_whole(path: Path) -> bool:
    """Return whether a file has what its kind ends with; a CSV and a stream may grow."""
    with os_errors(path, "read"), path.open("rb") as stream:
        head = stream.read(_HEAD)
        end = _ENDS.get(head[:4]) or _ENDS.get(head[:6])
        if end is None:
            return b"\n" in head or head[:4] == _STREAM
        size = stream.seek(0, 2)
        stream.seek(max(0, size - len(end)))
        return size > 2 * len(end) and stream.read() == end
