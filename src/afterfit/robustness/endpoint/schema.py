"""What a JSON Schema says of one value, as far as the checks can use it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from afterfit.robustness.endpoint.fields import Kind, Path

KINDS: dict[str, Kind] = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "string": "text",
}
# Larger bounds are those of a type, and no range of the data.
WIDE = 1e15


class Told(NamedTuple):
    """What is declared; None where nothing is."""

    kind: Kind | None = None
    nullable: bool | None = None
    required: bool | None = None
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()


def described(schema: dict[str, Any], path: Path) -> Told:
    """Return what the schema of a row says of the value at a path; references are resolved."""
    required: bool | None = None
    for step in path:
        properties = schema.get("properties")
        if isinstance(step, str) and isinstance(properties, dict) and step in properties:
            required = step in schema.get("required", ())
            schema = properties[step]
        elif isinstance(step, int) and isinstance(schema.get("items"), dict):
            required, schema = True, schema["items"]
        else:
            return Told()
    return _told(schema, required=required)


def branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas that a value may follow, one where there is no choice."""
    for name in ("anyOf", "oneOf"):
        if isinstance(schema.get(name), list):
            return [b for b in schema[name] if isinstance(b, dict)]
    return [schema]


def types(schema: dict[str, Any]) -> set[str]:
    """Return the types that a schema allows, as far as it names them."""
    found: set[str] = set()
    for branch in branches(schema):
        named = branch.get("type")
        found |= set(named) if isinstance(named, list) else {named} if named else set()
        if "enum" in branch and all(isinstance(word, str) for word in branch["enum"]):
            found.add("string")
    return found | ({"null"} if schema.get("nullable") else set())


def _told(schema: dict[str, Any], *, required: bool | None) -> Told:
    found = types(schema)
    kinds = [KINDS[name] for name in ("number", "integer", "boolean", "string") if name in found]
    words = [w for branch in branches(schema) for w in branch.get("enum", ())]
    return Told(
        kind=kinds[0] if kinds else None,
        nullable=("null" in found) if found else None,
        required=required,
        low=_bound(schema, "minimum", "exclusiveMinimum"),
        high=_bound(schema, "maximum", "exclusiveMaximum"),
        words=tuple(word for word in words if isinstance(word, str)),
    )


def _bound(schema: dict[str, Any], *names: str) -> float | None:
    for branch in branches(schema):
        for name in names:
            value = branch.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value) if math.isfinite(value) and abs(value) < WIDE else None
    return None
