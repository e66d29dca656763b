"""Whether a log has the columns that the model knows: missing, more, or of another type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

import pyarrow.types as pt

from afterfit.core.signature import ColumnKind, Signature
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["Change", "changes", "is_index", "kinds_of", "schema_points"]

_INDEX = re.compile(r"__index_level_\d+__")

_ALIKE: dict[ColumnKind, frozenset[ColumnKind]] = {
    "number": frozenset({"number", "integer"}),
    # Whole numbers with gaps are floats in a file of pandas.
    "integer": frozenset({"number", "integer"}),
    "boolean": frozenset({"boolean", "integer", "number"}),
    # Whole numbers are categories by their digits.
    "category": frozenset({"category", "text", "integer"}),
    "text": frozenset({"category", "text", "integer"}),
}


class Change(NamedTuple):
    """One difference: ``what`` it is, of which column, and both kinds where there are two.

    ``near`` is a column that the log has and the reference has not, with nearly the same name.
    """

    column: str
    what: Literal["missing", "extra", "retyped"]
    before: str = ""
    after: str = ""
    near: str = ""

    @property
    def message(self) -> str:
        """What it is in words."""
        if self.what == "retyped":
            return f"{self.column} was {self.before} and is {self.after}"
        near = f"; the log has {self.near!r}" if self.near else ""
        return f"{self.column} is {'not there' if self.what == 'missing' else 'new'}{near}"


def is_index(name: str) -> bool:
    """Return whether a column is the index that pandas writes to Parquet: row numbers, no input."""
    return _INDEX.fullmatch(name) is not None


def kinds_of(schema: Any) -> dict[str, ColumnKind]:
    """Return the kinds of the columns of an Arrow schema; of null alone is any kind, left out."""
    return {field.name: _kind(field.type) for field in schema if not pt.is_null(field.type)}


def changes(
    reference: Signature,
    names: list[str],
    kinds: Mapping[str, ColumnKind],
    *,
    roles: frozenset[str] = frozenset(),
) -> list[Change]:
    """Return how a log's columns differ from the inputs of the reference.

    ``names`` are all columns of the log, ``kinds`` those whose kind is known, ``roles`` the
    columns that are no inputs. A log without any input was captured so, and misses nothing.
    """
    inputs = [column for column in reference.columns if column.name not in roles]
    if not {column.name for column in inputs} & set(names):
        return []
    known = {*reference.names, *roles, reference.target}
    extra = [name for name in names if name not in known and not is_index(name)]
    found = [
        Change(c.name, "missing", c.kind, near=_near(c.name, extra))
        for c in inputs
        if c.name not in names
    ]
    for column in inputs:
        kind = kinds.get(column.name)
        if kind is not None and kind not in _ALIKE[column.kind]:
            found.append(Change(column.name, "retyped", column.kind, kind))
    return found + [Change(name, "extra", "", str(kinds.get(name, ""))) for name in extra]


def _near(name: str, extra: list[str]) -> str:
    """Return the name among some that is nearly this one, whatever its case; else empty."""
    lowered = {each.lower().strip(): each for each in extra}
    found = get_close_matches(name.lower().strip(), lowered, n=1, cutoff=0.8)
    return lowered[found[0]] if found else ""


def schema_points(
    found: list[Change], scope: Scope, span: tuple[int, int], n: int
) -> list[SignalPoint]:
    """Return a point for each input that is missing or of another type, else one that all is well.

    Columns that are new change nothing for the model, and are evidence alone.
    """
    bad = [change for change in found if change.what != "extra"]
    extra = [change.column for change in found if change.what == "extra"]
    common: dict[str, Any] = {
        "signal": "schema",
        "scope": scope,
        "start": span[0],
        "end": span[1],
        "n": n,
    }
    if not bad:
        return [SignalPoint(**common, state="ok", value=0.0, evidence={"extra": extra})]
    return [
        SignalPoint(
            **common,
            subject=change.column,
            state="alarm",
            value=1.0,
            usual=0.0,
            threshold=0.0,
            message=change.message,
            evidence={"what": change.what, "before": change.before, "after": change.after},
        )
        for change in bad
    ]


def _kind(kind: Any) -> ColumnKind:
    if pt.is_dictionary(kind):
        return _kind(kind.value_type)
    if pt.is_boolean(kind):
        return "boolean"
    if pt.is_integer(kind):
        return "integer"
    return "number" if pt.is_floating(kind) or pt.is_decimal(kind) else "category"
