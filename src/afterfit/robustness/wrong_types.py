"""Wrong-typed values through the server's own validation: each must be refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import Frame, is_missing
from afterfit.core.signature import Column, Signature
from afterfit.errors import AfterfitError
from afterfit.records.robustness import Case
from afterfit.runtime.decode import Decoder


def wrong_type_cases(signature: Signature, rows: Frame) -> list[Case]:
    """Return, for each column, whether a value of the wrong type is refused naming the field."""
    if not len(next(iter(rows.values()), np.empty(0))):
        return []
    good = {name: plain(array[0]) for name, array in rows.items()}
    return [_one(signature, column, good) for column in signature.columns]


def plain(value: Any) -> Any:
    """Return one value of a frame as JSON has it; missing is None."""
    if is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _one(signature: Signature, column: Column, good: dict[str, Any]) -> Case:
    wrong: Any = "not-a-number" if column.numeric else 12.5
    body = msgspec.json.encode({"rows": [{**good, column.name: wrong}]})
    case = f"wrong type: {'a word' if column.numeric else 'a number'}"
    try:
        Decoder(signature).decode(body)
    except AfterfitError as error:
        named = column.name in f"{error.where} {error.message}"
        outcome = "refused" if named else "answered"
        message = error.message if named else f"refused without naming the field: {error.message}"
        return Case(case=case, column=column.name, n=1, outcome=outcome, message=message)
    return Case(case=case, column=column.name, n=1, outcome="answered", message="accepted")
