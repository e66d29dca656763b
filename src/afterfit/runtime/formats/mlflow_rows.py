"""The JSON bodies of MLflow's ``/invocations``.

``dataframe_split`` (as ``DataFrame.to_dict("split")`` has it), ``dataframe_records``, ``instances``
(rows as objects or arrays, or columns) and ``inputs`` (the same, or one row as an object of plain
values); exactly one of them. Where MLflow would ignore something, this refuses it: an unknown
field, or ``params``, which a model without a parameter schema has no use for.

The answer is what ``predict`` of the model returned when MLflow called it: ``predictions`` with a
label or value a row. For the probabilities send the same body with ``Accept: text/csv``,
``application/jsonlines`` or Arrow's media type, or send ``rows`` or ``columns``.

Source: MLflow 3, ``mlflow.pyfunc.scoring_server`` and the page "Deploy MLflow Model as a Local
Inference Server".
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
    from_record,
    from_records,
    from_split,
    no_parameters,
    one_key,
    parse,
)
from afterfit.runtime.messages import Response, json_response

__all__ = ["KEYS", "decode", "encode", "rows_of"]

KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def decode(body: bytes, decoder: Decoder) -> Rows:
    """Return the rows; raises MalformedError, FieldError or TooLargeError."""
    return rows_of(parse(body, decoder), decoder)


def rows_of(document: Any, decoder: Decoder) -> Rows:
    """Return the rows of a parsed document; raises FieldError or TooLargeError."""
    key = one_key(document, KEYS, ("params",))
    no_parameters(document, "params")
    return Rows(_FORMS[key](document[key], decoder, f"$.{key}"))


def encode(answer: Answer) -> Response:
    """Return ``{"predictions": […]}``: the label or the value of each row."""
    return json_response(200, {"predictions": predictions(answer)})


def _instances(data: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    if isinstance(data, dict):
        return from_columns(data, decoder, base)
    return from_list(data, decoder, base)


def _inputs(data: Any, decoder: Decoder, base: str) -> dict[str, np.ndarray]:
    if isinstance(data, dict) and data and not any(isinstance(v, list) for v in data.values()):
        # MLflow makes a table of one row of it.
        return from_record(data, decoder, base)
    return _instances(data, decoder, base)


_FORMS = {
    "dataframe_split": from_split,
    "dataframe_records": from_records,
    "instances": _instances,
    "inputs": _inputs,
}
