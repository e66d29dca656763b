"""Wrong-typed values through the server's own validation: each must be refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import Frame, is_missing, row_count
from afterfit.core.signature import Column, Signature
from afterfit.errors import AfterfitError
from afterfit.records.robustness import Case
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder

_STAND_IN = {"number": 0.0, "integer": 0, "boolean": False, "category": "", "text": ""}


def wrong_type_cases(signature: Signature, rows: Frame) -> list[Case]:
    """Return, for each column, whether a value of the wrong type is refused naming the field."""
    if not row_count(rows):
        return []
    good = {column.name: _good(column, rows[column.name][0]) for column in signature.columns}
    return [_one(signature, column, good) for column in signature.columns]


def _good(column: Column, value: Any) -> Any:
    """Return one value of a frame as JSON has it; only the spoiled field may be wrong."""
    if is_missing(value):
        return None if column.nullable else _STAND_IN[column.kind]
    return value.item() if isinstance(value, np.generic) else value


def _one(signature: Signature, column: Column, good: dict[str, Any]) -> Case:
    wrong: Any = "not-a-number" if column.numeric else 12.5
    body = msgspec.json.encode({"rows": [{**good, column.name: wrong}]})
    case = f"wrong type: {'a word' if column.numeric else 'a number'}"
    try:
        Decoder(signature).decode(body)
    except FieldError as error:
        if any(problem.path == f"$.rows[0].{column.name}" for problem in error.problems):
            message = error.message
            return Case(case=case, column=column.name, n=1, outcome="refused", message=message)
        message = f"refused without naming the field: {error.message}"
    except AfterfitError as error:
        message = f"refused without naming the field: {error.message}"
    else:
        message = "accepted"
    return Case(case=case, column=column.name, n=1, outcome="answered", message=message)
