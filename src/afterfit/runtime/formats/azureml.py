"""Azure Machine Learning's scoring bodies.

``{"input_data": …}`` is what its MLflow deployments take: ``{columns, index?, data}``, an array of
rows, or an object of columns. ``{"data": […]}`` is the convention of its scoring scripts: an array
of rows. The answer is what those deployments give: a plain array of labels or values.

Source: Azure Machine Learning, "Deploy MLflow models to online endpoints".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.runtime.answers import Answer
from afterfit.runtime.decode import Decoder, Rows
from afterfit.runtime.formats.scores import predictions
from afterfit.runtime.formats.tables import (
    from_columns,
    from_list,
    from_split,
    no_parameters,
    one_key,
    parse,
)
from afterfit.runtime.messages import Response, json_response

__all__ = ["KEYS", "decode", "encode", "rows_of"]

KEYS = ("input_data", "data")


def decode(body: bytes, decoder: Decoder) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError."""
    return rows_of(parse(body, decoder), decoder)


def rows_of(document: Any, decoder: Decoder) -> Rows:
    """Return the rows of a parsed document; raises FieldError or TooLargeError."""
    key = one_key(document, KEYS, ("params",))
    no_parameters(document, "params")
    read = _input_data if key == "input_data" else from_list
    return Rows(read(document[key], decoder, f"$.{key}"))


def encode(answer: Answer) -> Response:
    """Return an array: the label or the value of each row."""
    return json_response(200, predictions(answer))


def _input_data(data: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    if not isinstance(data, dict):
        return from_list(data, decoder, base)
    if data.keys() & {"columns", "data"} and not data.keys() <= decoder.names:
        return from_split(data, decoder, base)
    return from_columns(data, decoder, base)
