"""JSON rows or columns to a frame by signature, with the path of every field that is wrong.

``{"rows": [{"age": 39, …}, …]}`` and ``{"columns": {"age": [39, …], …}}`` say the same. A key
that is left out is a null. Numbers are finite; integers may be written ``3.0``; a boolean is no
number. JSON has no NaN and no Infinity (RFC 8259), so those tokens are refused with their path.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np

from afterfit.core.event import FLAG_MISSING, FLAG_NEW_CATEGORY, FLAG_RANGE
from afterfit.core.frame import Frame, MatrixFrame, missing_mask, row_count
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ResourceError
from afterfit.runtime.columns import (
    MAX_PROBLEMS,
    STRING_CHARACTERS,
    FieldError,
    Problem,
    check_column,
    column_array,
)

__all__ = ["Decoder", "Flags", "Limits", "MalformedError", "Rows", "TooLargeError", "parse_json"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_DEPTH = 64
MAX_ENTITY = 256
"""Characters of an entity's name."""
_LARGE = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The largest request: rows, characters of one string, bytes of one body."""

    rows: int = 10_000
    string_characters: int = STRING_CHARACTERS
    body_bytes: int = 16 << 20


class MalformedError(InputError):
    """Bytes that are not JSON."""


class TooLargeError(ResourceError):
    """More rows or bytes than the server takes."""


class Rows(NamedTuple):
    """A decoded request: the frame, and each row's entity where one was given."""

    frame: dict[str, np.ndarray]
    entities: list[str] | None = None


class Flags(NamedTuple):
    """What is unusual about rows, bool of [n] each, by the name of the flag."""

    masks: dict[str, np.ndarray]

    def of(self, row: int) -> tuple[str, ...]:
        """Return the names of one row's flags."""
        return tuple(name for name, mask in self.masks.items() if mask[row])

    def take(self, start: int, stop: int) -> Flags:
        """Return the flags of rows ``start`` to ``stop``."""
        return Flags({name: mask[start:stop] for name, mask in self.masks.items()})

    def counts(self) -> dict[str, int]:
        """Return the number of rows by flag."""
        return {name: int(mask.sum()) for name, mask in self.masks.items()}


class Decoder:
    """Decodes by one signature."""

    def __init__(self, signature: Signature, limits: Limits | None = None) -> None:
        self.signature = signature
        self.limits = limits or Limits()
        self.names = frozenset(signature.names)
        self._numeric = [column for column in signature.columns if column.numeric]
        bounds = [(_or(c.low, -math.inf), _or(c.high, math.inf)) for c in self._numeric]
        self._low = np.array([low for low, _ in bounds])
        self._high = np.array([high for _, high in bounds])
        self._nullable_texts = [
            column.name for column in signature.columns if column.nullable and not column.numeric
        ]
        self._categories = [
            (column.name, frozenset(column.categories))
            for column in signature.columns
            if column.kind == "category" and column.categories
        ]

    def decode(self, body: bytes) -> Rows:
        """Return the rows in a JSON body.

        Raises MalformedError (no JSON), FieldError (paths of what is wrong) or TooLargeError.
        """
        if len(body) > _LARGE and body.count(b"{") > 4 * self.limits.rows + 4:
            raise self._too_many("the request")
        return self.rows_of(parse_json(body))

    def rows_of(self, document: Any) -> Rows:
        """Return the rows of a parsed document; raises as ``decode`` does."""
        if not isinstance(document, dict):
            raise _wrong("$", 'expected an object: {"rows": [{…}]} or {"columns": {…}}')
        given = document.keys() & {"rows", "columns"}
        unknown = sorted(document.keys() - {"rows", "columns", "entities"})
        if unknown:
            raise FieldError([Problem(f"$.{name}", "unknown field") for name in unknown])
        if len(given) != 1:
            raise _wrong("$", 'needs one of "rows" and "columns"')
        if "rows" in document:
            frame = self.from_rows(document["rows"])
        else:
            frame = self.from_columns(document["columns"], "$.columns.{}")
        return Rows(frame, _entities(document.get("entities"), row_count(frame)))

    def from_rows(self, rows: Any) -> dict[str, np.ndarray]:
        """Return the frame of a list of objects; raises FieldError or TooLargeError."""
        if not isinstance(rows, list) or not rows:
            raise _wrong("$.rows", "expected an array with at least one row")
        self._check_count(len(rows))
        frame: dict[str, np.ndarray] = {}
        try:
            for row in rows:
                if not row.keys() <= self.names:
                    raise self._row_errors(rows)
            for column in self.signature.columns:
                name = column.name
                values = [row[name] for row in rows]
                array = column_array(column, values, self.limits.string_characters)
                if array is None:
                    raise self._row_errors(rows)
                frame[name] = array
        except (KeyError, AttributeError):
            raise self._row_errors(rows) from None
        return frame

    def from_columns(self, columns: Any, template: str) -> dict[str, np.ndarray]:
        """Return the frame of an object of arrays; ``template`` makes the path of a column."""
        if not isinstance(columns, dict):
            raise _wrong("$.columns", "expected an object of arrays")
        problems = [
            Problem(template.format(name), "unknown column")
            for name in sorted(columns.keys() - self.names)
        ]
        self._length(columns, template, problems)
        frame = {}
        for column in self.signature.columns:
            path = template.format(column.name)
            values = columns.get(column.name)
            if not isinstance(values, list):
                problems.append(Problem(path, _absent(column, given=column.name in columns)))
                continue
            where = partial("{}[{}]".format, path)
            limit = self.limits.string_characters
            frame[column.name] = check_column(column, values, where, problems, limit=limit)
        if problems:
            raise FieldError(problems)
        return frame

    def flags(self, frame: Frame) -> Flags:
        """Return which rows are out of range, have a category never seen, or miss a value."""
        n = row_count(frame)
        new = np.zeros(n, dtype=bool)
        if isinstance(frame, MatrixFrame):
            matrix = frame.matrix
        else:
            matrix = np.empty((n, len(self._numeric)))
            for index, column in enumerate(self._numeric):
                matrix[:, index] = _as_float(frame[column.name])
        outside: np.ndarray = np.any((matrix < self._low) | (matrix > self._high), axis=1)
        gone: np.ndarray = np.any(np.isnan(matrix), axis=1)
        for name, known in self._categories:
            new |= [v is not None and v not in known for v in frame[name].tolist()]
        for name in self._nullable_texts:
            gone |= missing_mask(frame[name])
        return Flags({FLAG_RANGE: outside, FLAG_NEW_CATEGORY: new, FLAG_MISSING: gone})

    def _length(self, columns: Mapping[str, Any], template: str, problems: list[Problem]) -> int:
        sizes = {name: len(v) for name, v in columns.items() if isinstance(v, list)}
        n = next(iter(sizes.values()), 0)
        self._check_count(n)
        if not n and not problems:
            raise _wrong(template.format("*"), "expected arrays with at least one value")
        problems += [
            Problem(template.format(name), f"{size} values, and {next(iter(sizes))} has {n}")
            for name, size in sizes.items()
            if size != n
        ]
        return n

    def _row_errors(self, rows: list[Any]) -> FieldError:
        problems: list[Problem] = []
        for index, row in enumerate(rows):
            path = f"$.rows[{index}]"
            if not isinstance(row, dict):
                problems.append(Problem(path, "expected an object, one key a column"))
            else:
                self._row_problems(row, path, problems)
            if len(problems) >= MAX_PROBLEMS:
                break
        return FieldError(problems)

    def _row_problems(self, row: dict[str, Any], path: str, problems: list[Problem]) -> None:
        problems += [
            Problem(f"{path}.{_clip(name)}", "unknown column")
            for name in sorted(row.keys() - self.names)
        ]
        for column in self.signature.columns:
            where: Callable[[int], str] = partial(_fixed, f"{path}.{column.name}")
            if column.name in row:
                limit = self.limits.string_characters
                check_column(column, [row[column.name]], where, problems, limit=limit)
            else:
                problems.append(Problem(where(0), _absent(column, given=False)))

    def _check_count(self, n: int) -> None:
        if n > self.limits.rows:
            raise self._too_many(f"{n} rows")

    def _too_many(self, what: str) -> TooLargeError:
        return TooLargeError(
            f"{what} is more than {self.limits.rows} rows, the limit of one request",
            fix="send several smaller requests",
        )


def parse_json(body: bytes) -> Any:
    """Return the parsed body; raises MalformedError, or FieldError for NaN, Infinity and 1e309."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if not body.strip():
        raise MalformedError("the body is empty; expected JSON")
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise MalformedError("the JSON is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _why_not(body, str(error)) from None


def _why_not(body: bytes, message: str) -> InputError:
    # The lenient parser of the standard library takes NaN, Infinity and 1e309, and so tells where
    # they stand; anything that it refuses as well is not JSON.
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return MalformedError("the body is not JSON", why=message)
    problems: list[Problem] = []
    _find_infinite(document, "$", problems, MAX_DEPTH)
    if problems:
        return FieldError(problems)
    return MalformedError("the body is not strict JSON", why=message)


def _find_infinite(value: Any, path: str, problems: list[Problem], depth: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        message = "NaN, Infinity or a number beyond float64; send null for a missing value"
        problems.append(Problem(path, message))
    elif depth and len(problems) < MAX_PROBLEMS:
        if isinstance(value, dict):
            for key, item in value.items():
                _find_infinite(item, f"{path}.{_clip(key)}", problems, depth - 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                _find_infinite(item, f"{path}[{index}]", problems, depth - 1)


def _entities(entities: Any, rows: int) -> list[str] | None:
    if entities is None:
        return None
    if not isinstance(entities, list) or len(entities) != rows:
        raise _wrong("$.entities", f"expected an array of {rows} strings, one a row")
    for index, entity in enumerate(entities):
        if not isinstance(entity, str) or len(entity) > MAX_ENTITY:
            raise _wrong(
                f"$.entities[{index}]", f"expected a string of at most {MAX_ENTITY} characters"
            )
    return entities


def _as_float(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "O":
        return values
    return np.array([math.nan if value is None else float(value) for value in values])


def _absent(column: Column, *, given: bool) -> str:
    """Return what is wrong with a column that is no array, or that was forgotten.

    A forgotten column is refused even where null is allowed: whoever means null can write it.
    """
    if given:
        return "expected an array"
    if column.nullable:
        return f"missing; write null where {column.name!r} is not known"
    return f"missing, and {column.name!r} is not nullable"


def _wrong(path: str, message: str) -> FieldError:
    return FieldError([Problem(path, message)])


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _fixed(path: str, _: int) -> str:
    return path


def _clip(name: str) -> str:
    # The lenient parser takes halves of surrogate pairs, and an answer cannot hold them.
    whole = name[:80].encode("utf-8", "replace").decode()
    return whole if len(name) <= 80 else f"{whole}…"
