"""Parsed JSON in the usual shapes of a table to a frame: records, arrays, columns, split."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from afterfit.runtime.columns import MAX_PROBLEMS, FieldError, Problem, check_column
from afterfit.runtime.decode import Decoder, TooLargeError, parse_json

__all__ = [
    "clip",
    "from_arrays",
    "from_columns",
    "from_list",
    "from_record",
    "from_records",
    "from_split",
    "moved",
    "name_problems",
    "no_parameters",
    "one_key",
    "parse",
    "too_many",
    "wrong",
]

_ROWS = "$.rows"
_LARGE = 1 << 20
_NO_ROWS = "expected an array with at least one row"


def parse(body: bytes, decoder: Decoder) -> Any:
    """Return the parsed body; raises MalformedError, FieldError or TooLargeError.

    An empty array or object takes some sixty bytes of memory for two of the body, so a large body
    has its brackets counted before it is parsed.
    """
    if len(body) > _LARGE and body.count(b"{") + body.count(b"[") > 4 * decoder.limits.rows + 64:
        raise too_many("the request", decoder)
    return parse_json(body)


def one_key(document: Any, forms: Collection[str], others: Collection[str] = ()) -> str:
    """Return the one key of ``forms`` that the document has; raises FieldError."""
    expected = " or ".join(f'"{form}"' for form in forms)
    if not isinstance(document, dict):
        raise wrong("$", f"expected an object with {expected}")
    unknown = sorted(document.keys() - set(forms) - set(others))
    if unknown:
        raise FieldError([Problem(f"$.{clip(name)}", "unknown field") for name in unknown])
    given = [form for form in forms if form in document]
    if len(given) != 1:
        raise wrong("$", f"needs exactly one of {expected}")
    return given[0]


def no_parameters(document: dict[str, Any], key: str) -> None:
    """Raise FieldError where parameters are given: silence would look as if they had an effect."""
    if document.get(key) not in (None, {}):
        raise wrong(f"$.{key}", "the model takes no parameters; leave them out")


def from_list(data: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    """Return the frame of rows that are objects, or arrays in the signature's order."""
    if isinstance(data, list) and data and isinstance(data[0], list):
        return from_arrays(data, decoder.signature.names, decoder, base)
    return from_records(data, decoder, base)


def from_records(rows: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    """Return the frame of an array of objects; paths begin with ``base``."""
    try:
        return decoder.from_rows(rows)
    except FieldError as error:
        raise moved(error, lambda path: base + path.removeprefix(_ROWS)) from None


def from_record(row: dict[str, Any], decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    """Return the frame of one row; paths begin with ``base`` and have no number of a row."""
    try:
        return decoder.from_rows([row])
    except FieldError as error:
        raise moved(error, lambda path: base + path.removeprefix(_ROWS + "[0]")) from None


def from_columns(columns: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    """Return the frame of an object of arrays; paths begin with ``base``."""
    return decoder.from_columns(columns, base + ".{}")


def from_split(table: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    """Return the frame of ``{columns, index?, data}``, as pandas writes it; the index is unused."""
    if not isinstance(table, dict):
        raise wrong(base, 'expected an object: {"columns": […], "data": [[…]]}')
    problems = [
        Problem(f"{base}.{clip(name)}", "unknown field")
        for name in sorted(table.keys() - {"columns", "index", "data"})
    ]
    problems += [
        Problem(f"{base}.{name}", "expected an array")
        for name in ("columns", "data")
        if not isinstance(table.get(name), list)
    ]
    if problems:
        raise FieldError(problems)
    names, data, index = table["columns"], table["data"], table.get("index")
    _check_names(names, decoder, f"{base}.columns")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        raise wrong(f"{base}.index", f"expected an array of {len(data)} values, one a row")
    return from_arrays(data, names, decoder, f"{base}.data")


def from_arrays(
    data: list[Any], names: Sequence[str], decoder: Decoder, base: str
) -> dict[str, np.ndarray]:
    """Return the frame of an array of arrays, whose values are in the order of ``names``."""
    _check_rows(data, len(names), decoder, base)
    by_column = list(zip(*data, strict=True))
    position = {name: index for index, name in enumerate(names)}
    frame: dict[str, np.ndarray] = {}
    problems: list[Problem] = []
    for column in decoder.signature.columns:
        at = position[column.name]
        where = partial(_cell, base, at)
        limit = decoder.limits.string_characters
        values = list(by_column[at])
        frame[column.name] = check_column(column, values, where, problems, limit=limit)
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise FieldError(problems)
    return frame


def moved(error: FieldError, path: Callable[[str], str]) -> FieldError:
    """Return the error with ``path(old path)`` for the path of each problem."""
    return FieldError([Problem(path(each.path), each.message) for each in error.problems])


def too_many(what: str, decoder: Decoder) -> TooLargeError:
    """Return the error of a request with more rows than one request may have."""
    return TooLargeError(
        f"{what} is more than {decoder.limits.rows} rows, the limit of one request",
        fix="send several smaller requests",
    )


def wrong(path: str, message: str) -> FieldError:
    """Return the error of one field."""
    return FieldError([Problem(path, message)])


def clip(text: str) -> str:
    """Return the beginning of a name or value that a client sent, for a message."""
    return text if len(text) <= 80 else f"{text[:80]}…"


def name_problems(names: Mapping[str, int], decoder: Decoder, path: str) -> list[Problem]:
    """Return what is wrong with given column names, each with how often it was given."""
    known = decoder.names
    problems = [
        Problem(path, f"{clip(name)!r} is given {count} times")
        for name, count in names.items()
        if count > 1
    ]
    problems += [
        Problem(path, f"unknown column {clip(name)!r}") for name in names if name not in known
    ]
    problems += [
        Problem(path, f"the column {name!r} is missing")
        for name in decoder.signature.names
        if name not in names
    ]
    return problems


def _check_names(names: list[Any], decoder: Decoder, path: str) -> None:
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise wrong(f"{path}[{index}]", "expected a column name, a string")
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    problems = name_problems(counts, decoder, path)
    if problems:
        raise FieldError(problems)


def _check_rows(data: list[Any], width: int, decoder: Decoder, base: str) -> None:
    if not data:
        raise wrong(base, _NO_ROWS)
    if len(data) > decoder.limits.rows:
        raise too_many(f"{len(data)} rows", decoder)
    problems = []
    for index, row in enumerate(data):
        if not isinstance(row, list):
            problems.append(Problem(f"{base}[{index}]", f"expected an array of {width} values"))
        elif len(row) != width:
            message = f"expected {width} values, got {len(row)}"
            problems.append(Problem(f"{base}[{index}]", message))
    if problems:
        raise FieldError(problems)


def _cell(base: str, at: int, row: int) -> str:
    return f"{base}[{row}][{at}]"
