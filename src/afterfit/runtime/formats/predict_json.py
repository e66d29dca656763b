"""``{"rows": […]}`` or ``{"columns": {…}}`` in, and each row's id, label and probabilities out."""

from __future__ import annotations

from typing import Any

from afterfit.runtime.answers import Answer
from afterfit.runtime.decode import Decoder, Rows
from afterfit.runtime.messages import Response, json_response

__all__ = ["KEYS", "decode", "encode", "rows_of"]

KEYS = ("rows", "columns")


def decode(body: bytes, decoder: Decoder) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError."""
    return decoder.decode(body)


def rows_of(document: Any, decoder: Decoder) -> Rows:
    """Return the rows of a parsed document; raises FieldError or TooLargeError."""
    return decoder.rows_of(document)


def encode(answer: Answer) -> Response:
    """Return the model, its version and digest, and ``predictions`` with an object a row."""
    return json_response(200, answer.document())
