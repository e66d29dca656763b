"""CSV (RFC 4180) in and out: UTF-8, commas, quotes where needed.

With a header the columns may stand in any order; without one they are in the signature's. A media
type says which (``text/csv; header=present`` or ``absent``, RFC 4180 section 3); where it does not,
a first line with the name of a column in it is a header. An empty field is a missing value; a word
such as NA is text. Booleans are true or false (also True, TRUE, 1). Errors name line and column.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from afterfit.core.signature import Column
from afterfit.runtime.answers import Answer
from afterfit.runtime.columns import MAX_PROBLEMS, FieldError, Problem, check_column
from afterfit.runtime.decode import Decoder, MalformedError, Rows
from afterfit.runtime.formats.scores import score_columns
from afterfit.runtime.formats.tables import clip, name_problems, too_many, wrong
from afterfit.runtime.messages import Response

__all__ = ["CONTENT_TYPE", "decode", "encode"]

CONTENT_TYPE = "text/csv; charset=utf-8"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE", "1"), True) | dict.fromkeys(
    ("false", "False", "FALSE", "0"), False
)
# Of these characters alone float() and int() make plain numbers: neither "nan" nor "1_0" is one.
_CHARACTERS = {"number": re.compile(r"[0-9.eE+-]*"), "integer": re.compile(r"[0-9-]*")}
_EMPTY = "empty, and the column is not nullable"
Record = tuple[int, list[str]]
"""The line where a record begins, and its fields."""


def decode(body: bytes, decoder: Decoder, *, header: bool | None = None) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError.

    ``header`` None means that the first line tells.
    """
    records = _records(_text(body), decoder)
    if not records:
        raise MalformedError("the body is empty; expected CSV")
    names = decoder.signature.names
    if header or (header is None and _is_header(records[0], decoder)):
        names = _names(records.pop(0), decoder)
    if not records:
        raise wrong("line 2", "expected at least one row under the header")
    if len(records) > decoder.limits.rows:
        raise too_many(f"{len(records)} rows", decoder)
    _check_widths(records, len(names))
    return Rows(_frame(records, names, decoder))


def encode(answer: Answer) -> Response:
    """Return ``id`` and the columns that ``afterfit predict`` writes, under a header."""
    columns = score_columns(answer)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*map(_words, columns.values()), strict=True))
    return Response(200, stream.getvalue().encode(), CONTENT_TYPE)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise MalformedError(f"line {line}: the CSV is not UTF-8", why=str(error)) from None


def _records(text: str, decoder: Decoder) -> list[Record]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[Record] = []
    blank, line = 0, 1
    try:
        for fields in reader:
            if fields:
                found.append((line, fields))
            else:
                blank += 1
            line = reader.line_num + 1
            # The header is one more than the rows.
            if max(len(found) - 1, blank) > decoder.limits.rows:
                raise too_many("the request", decoder)
    except csv.Error as error:
        raise MalformedError(f"line {line}: the CSV cannot be read", why=str(error)) from None
    return found


def _is_header(record: Record, decoder: Decoder) -> bool:
    line, fields = record
    if decoder.names.isdisjoint(fields):
        return False
    if all(_NUMBER.fullmatch(field) for field in fields):
        raise wrong(
            f"line {line}",
            "column names that are numbers: say header=present or header=absent in the media type",
        )
    return True


def _names(record: Record, decoder: Decoder) -> tuple[str, ...]:
    line, fields = record
    problems = name_problems(Counter(fields), decoder, f"line {line}")
    if problems:
        raise FieldError(problems)
    return tuple(fields)


def _check_widths(records: list[Record], width: int) -> None:
    problems = [
        Problem(f"line {line}", f"expected {width} fields, got {len(fields)}")
        for line, fields in records
        if len(fields) != width
    ]
    if problems:
        raise FieldError(problems)


def _frame(
    records: list[Record], names: tuple[str, ...], decoder: Decoder
) -> dict[str, np.ndarray]:
    lines = [line for line, _ in records]
    by_name = dict(zip(names, zip(*(fields for _, fields in records), strict=True), strict=True))
    frame: dict[str, np.ndarray] = {}
    problems: list[Problem] = []
    for column in decoder.signature.columns:
        where = partial(_cell, lines, column.name)
        before = len(problems)
        values = _values(column, by_name[column.name], where, problems)
        if len(problems) == before:
            limit = decoder.limits.string_characters
            frame[column.name] = check_column(column, values, where, problems, limit=limit)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise FieldError(problems)
    return frame


def _values(
    column: Column, texts: tuple[str, ...], where: Callable[[int], str], problems: list[Problem]
) -> list[Any]:
    """Return the value of each field; what is none is added to ``problems``."""
    quick = _quick(column, texts)
    if quick is not None:
        return quick
    parse = _PARSERS.get(column.kind, _same)
    found: list[Any] = []
    for row, text in enumerate(texts):
        value = parse(text) if text else None
        if value is None and (text or not column.nullable):
            reason = f"{clip(text)!r} is not {_KINDS[column.kind]}" if text else _EMPTY
            problems.append(Problem(where(row), reason))
            if len(problems) >= MAX_PROBLEMS:
                break
        found.append(value)
    return found


def _quick(column: Column, texts: tuple[str, ...]) -> list[Any] | None:
    """Return the values of a column of plain numbers, or None for what needs a closer look."""
    characters = _CHARACTERS.get(column.kind)
    if characters is None or not characters.fullmatch("".join(texts)):
        return None
    if "" in texts and not column.nullable:
        return None
    make: Callable[[str], Any] = float if column.kind == "number" else int
    try:
        return [make(text) if text else None for text in texts]
    except ValueError:
        return None


def _same(text: str) -> str:
    return text


def _number(text: str) -> float | None:
    text = text.strip(" \t")
    return float(text) if _NUMBER.fullmatch(text) else None


def _integer(text: str) -> int | float | None:
    text = text.strip(" \t")
    if not (text.isascii() and text.lstrip("+-").isdecimal()):
        return _number(text)
    try:
        return int(text)
    except ValueError:
        # Two signs, or more digits than Python makes a number of.
        return None


def _boolean(text: str) -> bool | None:
    return _BOOLEANS.get(text.strip(" \t"))


_PARSERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
}
_KINDS = {
    "number": "a number; leave the field empty for a missing value",
    "integer": "an integer; leave the field empty for a missing value",
    "boolean": "true or false",
}


def _cell(lines: list[int], name: str, row: int) -> str:
    return f"line {lines[row]}, column {name!r}"


def _words(values: list[Any] | np.ndarray) -> list[Any]:
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values]
    plain: list[Any] = values.tolist()
    return plain
