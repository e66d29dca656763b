"""JSON lines: an object a line, in and out. Blank lines are passed over; errors name the line.

Source: https://jsonlines.org
"""

from __future__ import annotations

import io
from typing import Any

import msgspec

from afterfit.runtime.answers import Answer
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import BYTE_ORDER_MARK, Decoder, MalformedError, Rows, parse_json
from afterfit.runtime.formats.tables import moved, too_many
from afterfit.runtime.messages import Response

__all__ = ["CONTENT_TYPE", "decode", "encode"]

CONTENT_TYPE = "application/jsonlines"


def decode(body: bytes, decoder: Decoder) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError."""
    rows: list[Any] = []
    numbers: list[int] = []
    blank = 0
    for number, line in enumerate(io.BytesIO(body.removeprefix(BYTE_ORDER_MARK)), start=1):
        if not line.strip():
            blank += 1
        else:
            rows.append(_parse(line, number))
            numbers.append(number)
        if max(len(rows), blank) > decoder.limits.rows:
            raise too_many("the request", decoder)
    if not rows:
        raise MalformedError("the body has no line; expected a JSON object a line")
    try:
        return Rows(decoder.from_rows(rows))
    except FieldError as error:
        raise moved(error, lambda path: _place(path, numbers)) from None


def encode(answer: Answer) -> Response:
    """Return a line a row: ``{id, value}`` or ``{id, label, probabilities}``."""
    lines = b"\n".join(msgspec.json.encode(row) for row in answer.rows())
    return Response(200, lines + b"\n", CONTENT_TYPE)


def _parse(line: bytes, number: int) -> Any:
    try:
        return parse_json(line)
    except FieldError as error:
        raise moved(error, lambda path: f"line {number}, {path}") from None
    except MalformedError as error:
        raise MalformedError(f"line {number}: {error.message}", why=error.why) from None


def _place(path: str, numbers: list[int]) -> str:
    """Return ``line 3, $.age`` for ``$.rows[1].age``."""
    row, bracket, rest = path.removeprefix("$.rows[").partition("]")
    return f"line {numbers[int(row)]}, ${rest}" if bracket else path
