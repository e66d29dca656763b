"""CSV files: what a word means, and an error that says where.

The words for a missing value are exactly those of pandas: an empty field and ``MISSING_WORDS``;
``?`` is none of them. A column is integer, boolean (true, True, TRUE, false, False, FALSE),
number or text, whichever first holds all its words; one word that does not fit makes it text.
Dates stay text. A column of whole numbers with leading zeros (a zip code, ``02139``) stays text.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.types as pt

from afterfit.core.shell import shell_word
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.store.arrow import arrow_type
from afterfit.store.files import os_errors
from afterfit.store.sniff import no_rows

__all__ = [
    "MISSING_WORDS",
    "Layout",
    "check_names",
    "csv_batches",
    "csv_layout",
    "csv_parts",
    "read_csv",
]

MISSING_WORDS = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
_TRUE = ["true", "True", "TRUE"]
_FALSE = ["false", "False", "FALSE"]
_BLOCK_BYTES = 4 << 20
_STREAM_BYTES = 1 << 20
_PART_BYTES = 4 << 20
_LEADING_ZERO = re.compile(rb"[,;\t|\"\r\n ][+-]?0[0-9]")
_LONGEST_MATCH = 4
_QUOTE = re.compile(rb'"')
_ROW = re.compile(r"Row #(\d+)")


class Layout(NamedTuple):
    """How a CSV file is written: column names, delimiter, lines of the header, quotes or none."""

    path: Path
    names: list[str]
    delimiter: str
    header_lines: int
    quoted: bool


def read_csv(path: Path) -> pa.Table:
    """Return the whole file; raises InputError that names the line, the column or the byte."""
    layout = csv_layout(path)
    table = _read(layout, {})
    kinds = {name: table.column(name).type for name in layout.names}
    as_text = [n for n, kind in kinds.items() if pt.is_temporal(kind) or pt.is_binary(kind)]
    whole = [name for name, kind in kinds.items() if pt.is_integer(kind)]
    if whole and _holds(path, _LEADING_ZERO):
        as_text += whole
    if not as_text:
        return table
    texts = _read(layout, dict.fromkeys(as_text, pa.string()), as_text)
    for name in as_text:
        if name not in whole or _zeros_lead(texts.column(name)):
            table = table.set_column(layout.names.index(name), name, texts.column(name))
    return table


def csv_layout(path: Path) -> Layout:
    """Return the columns and the delimiter; raises InputError.

    The delimiter is a comma unless the header has none but has tabs, semicolons or bars. A column
    without a name, such as the index that pandas writes, is ``Unnamed: 0``.
    """
    try:
        with os_errors(path, "read"), path.open(encoding="utf-8-sig", newline="") as stream:
            first = next((line for line in stream if line.strip()), "")
            delimiter = _delimiter(first)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            header = next((row for row in reader if row), [])
            lines = reader.line_num
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except csv.Error as error:
        raise InputError(
            "the header cannot be read",
            where=str(path),
            why=str(error),
            fix="the first line must hold the names of the columns, separated as the rows are",
        ) from None
    if not header:
        raise InputError(f"{path.name} is empty", where=str(path), fix="give a file with rows")
    names = [name or f"Unnamed: {index}" for index, name in enumerate(header)]
    check_names(names, str(path))
    return Layout(path, names, delimiter, lines, _holds(path, _QUOTE))


def check_names(names: list[str], where: str) -> None:
    """Raise InputError for names that stand for two columns."""
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise InputError(
            f"the same column name more than once: {', '.join(map(repr, twice[:5]))}",
            where=where,
            why="a name must say which column is meant",
            fix="rename or remove the copies",
        )


def csv_batches(layout: Layout, signature: Signature | None) -> Iterator[pa.RecordBatch]:
    """Yield the file in blocks of a megabyte, in constant memory.

    The signature's columns have its types, the others are text; without one all are text. Raises
    pyarrow.ArrowInvalid for a word that does not fit its column, InputError for all else.
    """
    types = dict.fromkeys(layout.names, pa.string())
    if signature is not None:
        types |= {c.name: arrow_type(c) for c in signature.columns if c.name in types}
    read, parse, convert = _options(layout, types)
    # Arrow reads some 40 blocks ahead, which is what the memory of a stream amounts to.
    read.block_size = _STREAM_BYTES
    read.use_threads = False
    convert.true_values = [*_TRUE, "1"]
    convert.false_values = [*_FALSE, "0"]
    try:
        with (
            os_errors(layout.path, "read"),
            pa_csv.open_csv(layout.path, read, parse, convert) as reader,
        ):
            yield from reader
    except pa.ArrowInvalid as error:
        if signature is None or "CSV parse error" in str(error):
            raise _csv_error(layout, error) from None
        raise


def csv_parts(
    layout: Layout,
    types: Mapping[str, pa.DataType],
    start: int = 0,
    *,
    until: int = 0,
    torn: bool = False,
) -> Iterator[tuple[pa.Table, int]]:
    """Yield the rows from a byte on, some megabytes each, with the byte that goes on behind them.

    Columns that ``types`` does not name are read as what all their words in a part are; where a
    word does not fit its type, those of the part are text. With ``torn`` a last line without an
    end is left, as its writer may still be at it. ``until`` is a byte where the first part ends,
    so that parts can be read again as they were. Raises InputError that names the line.
    """
    with os_errors(layout.path, "read"), layout.path.open("rb") as stream:
        stream.seek(start)
        rest, at = b"", start
        size = until - start if until else _PART_BYTES
        while True:
            block, size = stream.read(size), _PART_BYTES
            data = rest + block
            end = len(data) if not block and not torn else _whole_lines(data, layout)
            rest, part = data[end:], data[:end]
            skip = layout.header_lines if at == 0 else 0
            at += end
            if part:
                table = _parse(layout, types, part, skip)
                if table.num_rows:
                    yield table, at
            if not block:
                return


def _whole_lines(data: bytes, layout: Layout) -> int:
    """Return where the last whole row ends; a line may end within quotes."""
    end = data.rfind(b"\n") + 1
    while layout.quoted and end and data.count(b'"', 0, end) % 2:
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def _parse(layout: Layout, types: Mapping[str, pa.DataType], data: bytes, skip: int) -> pa.Table:
    read, parse, convert = _options(layout, dict(types))
    read.skip_rows, read.use_threads = skip, False
    # Zeros and ones would else be read as booleans where no column is known to be one.
    if pa.bool_() in types.values():
        convert.true_values, convert.false_values = [*_TRUE, "1"], [*_FALSE, "0"]
    try:
        return pa_csv.read_csv(pa.BufferReader(data), read, parse, convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error) or "Could not skip" in str(error):
            return pa.table({})
        if "CSV parse error" in str(error) or not set(types.values()) - {pa.string()}:
            raise _csv_error(layout, error) from None
    return _parse(layout, dict.fromkeys(types, pa.string()), data, skip)


def _read(layout: Layout, types: dict[str, pa.DataType], only: list[str] | None = None) -> pa.Table:
    read, parse, convert = _options(layout, types)
    convert.include_columns = only or []
    try:
        with os_errors(layout.path, "read"):
            return pa_csv.read_csv(layout.path, read, parse, convert)
    except pa.ArrowInvalid as error:
        raise _csv_error(layout, error) from None


def _options(
    layout: Layout, types: dict[str, pa.DataType]
) -> tuple[pa_csv.ReadOptions, pa_csv.ParseOptions, pa_csv.ConvertOptions]:
    read = pa_csv.ReadOptions(
        block_size=_BLOCK_BYTES, column_names=layout.names, skip_rows=layout.header_lines
    )
    # Only a quoted field can hold a line break, and looking for one makes parsing slower.
    parse = pa_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=layout.quoted)
    convert = pa_csv.ConvertOptions(
        column_types=types,
        null_values=list(MISSING_WORDS),
        strings_can_be_null=True,
        true_values=_TRUE,
        false_values=_FALSE,
    )
    return read, parse, convert


def _delimiter(header: str) -> str:
    if "," in header:
        return ","
    return max("\t;|", key=header.count) if any(c in header for c in "\t;|") else ","


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Return whether the bytes of the file match the pattern somewhere, in constant memory."""
    tail = b""
    with os_errors(path, "read"), path.open("rb") as stream:
        while chunk := stream.read(_BLOCK_BYTES):
            if pattern.search(chunk) or pattern.search(tail + chunk[:_LONGEST_MATCH]):
                return True
            tail = chunk[-_LONGEST_MATCH:]
    return False


def _zeros_lead(texts: Any) -> bool:
    found = pc.any(pc.match_substring_regex(texts, r"^\s*[+-]?0[0-9]"))
    return bool(found.as_py())


def _csv_error(layout: Layout, error: pa.ArrowInvalid) -> InputError:
    """Return what is wrong and in which line, after looking again with one thread."""
    path = layout.path
    if "UTF8" in str(error):
        return _not_utf8(path)
    if "Could not skip" in str(error) or "Empty CSV file" in str(error):
        return no_rows(str(path))
    ragged: list[pa_csv.InvalidRow] = []

    def keep(row: pa_csv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    read, parse, convert = _options(layout, dict.fromkeys(layout.names, pa.string()))
    read.use_threads = False
    parse.invalid_row_handler = keep
    try:
        with pa_csv.open_csv(path, read, parse, convert) as reader:
            for _ in reader:
                pass
    except pa.ArrowInvalid as again:
        error = again
    if not ragged:
        return InputError(
            f"{path.name} cannot be read as CSV",
            where=str(path),
            why=str(error),
            fix="open it and mend it, or give Parquet",
        )
    row = ragged[0]
    line = _line_of(layout, row.text)
    shown = f"sed -n {line}p {shell_word(path)}   # shows the line: " if line else ""
    return InputError(
        f"{path.name} has a row of {row.actual_columns} fields where "
        f"{row.expected_columns} are needed",
        where=f"{path}, line {line}" if line else str(path),
        why=f"the line is: {row.text[:120]}",
        fix=f"{shown}a field that holds a delimiter or a quote needs double quotes around it",
    )


def _line_of(layout: Layout, text: str) -> int | None:
    first = text.splitlines()[0] if text else ""
    with layout.path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if number > layout.header_lines and line.rstrip("\r\n") == first:
                return number
    return None


def _not_utf8(path: Path) -> InputError:
    with path.open("rb") as stream:
        head = stream.read(2)
        stream.seek(0)
        line = next((n for n, text in enumerate(stream, start=1) if not _decodes(text)), 1)
    source = "UTF-16" if head in (b"\xff\xfe", b"\xfe\xff") else "LATIN1"
    return InputError(
        f"{path.name} is not UTF-8 text",
        where=f"{path}, line {line}",
        why="letters beyond ASCII would be guessed otherwise",
        fix=f"iconv -f {source} -t UTF-8 {shell_word(path)} "
        f"> {shlex.quote(f'{path.stem}.utf8.csv')}",
    )


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
