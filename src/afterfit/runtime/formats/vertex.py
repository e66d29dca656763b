"""Vertex AI's prediction requests: ``{"instances": […], "parameters": {}}``.

An instance is an object, or an array in the signature's order. The prediction of a row is
``{label, probabilities}`` or ``{value}``.

Source: Vertex AI, "Custom container requirements for inference", request and response.
"""

from __future__ import annotations

from typing import Any

from afterfit.runtime.answers import Answer
from afterfit.runtime.decode import Decoder, Rows
from afterfit.runtime.formats.tables import from_list, no_parameters, one_key, parse
from afterfit.runtime.messages import Response, json_response

__all__ = ["KEYS", "decode", "encode", "rows_of"]

KEYS = ("instances",)


def decode(body: bytes, decoder: Decoder) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError."""
    return rows_of(parse(body, decoder), decoder)


def rows_of(document: Any, decoder: Decoder) -> Rows:
    """Return the rows of a parsed document; raises FieldError or TooLargeError."""
    key = one_key(document, KEYS, ("parameters",))
    no_parameters(document, "parameters")
    return Rows(from_list(document[key], decoder, f"$.{key}"))


def encode(answer: Answer) -> Response:
    """Return ``{"predictions": […]}`` with an object a row."""
    rows = [{key: value for key, value in row.items() if key != "id"} for row in answer.rows()]
    return json_response(200, {"predictions": rows})
