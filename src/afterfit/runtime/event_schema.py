"""Event schema 1 as Arrow columns: names, types, and how the words of a schema become values.

A segment is an Arrow IPC stream whose schema is ``SCHEMA``. A batch holds events of one ``Origin``,
so what they have alike is a dictionary of one text. What is not set is null.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from afterfit.core.event import (
    FLAG_MISSING,
    FLAG_NEW_CATEGORY,
    FLAG_OOD,
    FLAG_RANGE,
    FLAG_STAND_IN,
    FLAG_TRUNCATED,
    EventKind,
    Role,
)
from afterfit.core.signature import Label
from afterfit.runtime.formats.arrow_write import Field, schema_message

__all__ = ["CODED", "FIELDS", "FLAG_BITS", "SCHEMA", "Origin", "label_of", "label_text"]

FLAG_BITS = {
    FLAG_RANGE: 1,
    FLAG_NEW_CATEGORY: 2,
    FLAG_MISSING: 4,
    FLAG_OOD: 8,
    FLAG_TRUNCATED: 16,
    FLAG_STAND_IN: 32,
}
"""The bits of the column ``flags``."""

_BITS = {"bits": ",".join(f"{name}={bit}" for name, bit in FLAG_BITS.items())}
FIELDS = (
    Field("event_id", "utf8"),
    Field("kind", "utf8", "int8", 0),
    Field("ts", "timestamp"),
    Field("endpoint", "utf8", "int8", 1),
    Field("model", "utf8", "int8", 2),
    Field("version", "int32"),
    Field("digest", "utf8", "int8", 3),
    Field("role", "utf8", "int8", 4),
    Field("parent", "utf8"),
    Field("request_id", "utf8"),
    Field("row", "int32"),
    Field("entity", "utf8"),
    Field("subject", "utf8"),
    Field("label", "utf8", "int32", 5),
    Field("value", "float64"),
    Field("probabilities", "list"),
    Field("true_label", "utf8"),
    Field("true_value", "float64"),
    Field("queue_us", "int64"),
    Field("infer_us", "int64"),
    Field("flags", "int16", metadata=_BITS),
    Field("error", "utf8"),
    Field("inputs", "utf8", metadata={"format": "json"}),
)
"""The columns, in the order of the schema of events."""

CODED = {field.name: field.dictionary for field in FIELDS if field.codes}
"""The number of the dictionary of each column that has one."""

SCHEMA = schema_message(FIELDS, {"afterfit.schema": "1", "afterfit.content": "events"})
"""The message that every segment begins with."""


class Origin(NamedTuple):
    """What the events of one batch have alike; empty or 0 where it is not set."""

    kind: EventKind
    endpoint: str = ""
    model: str = ""
    version: int = 0
    digest: str = ""
    role: Role = "primary"


def label_text(label: Label) -> str:
    """Return a class as the columns hold it: its JSON, but text that is no JSON without quotes.

    So ``yes`` is the word, ``1`` the number, ``true`` the boolean and ``"1"`` the text of a digit.
    """
    if isinstance(label, str) and _parsed(label) is None:
        return label
    return msgspec.json.encode(label).decode()


def label_of(text: str) -> Label:
    """Return the class that ``label_text`` wrote."""
    found = _parsed(text)
    return found if isinstance(found, str | int | float) else text


def _parsed(text: str) -> Any:
    """Return the value of a JSON text, wrapped where that is None; None for what is no JSON."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return (None,) if found is None else found
