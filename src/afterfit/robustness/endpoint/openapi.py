"""The route, the example and the schema of a row out of a server's OpenAPI document."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from afterfit.core.wire.client import Client, NoAnswerError, Sent
from afterfit.core.wire.documents import UnreadableError, json_of
from afterfit.errors import NotFoundError, UsageError
from afterfit.robustness.endpoint.schema import branches, types

DOCUMENT = "/openapi.json"
LIKELY = re.compile(r"predict|infer|invocations|score|classify", re.IGNORECASE)
DEEPEST = 12
"""Levels of a schema that are followed: one that names itself has no end."""


class Described(NamedTuple):
    """A route that takes JSON; ``schema`` is that of the body, references resolved."""

    route: str
    example: Any
    schema: dict[str, Any]


def document_of(client: Client) -> dict[str, Any]:
    """Return the server's OpenAPI document, an empty one where it has none that can be read."""
    try:
        exchange = client.request(Sent("GET", DOCUMENT))
        document = json_of(exchange.body) if exchange.status == 200 else None
    except (NoAnswerError, UnreadableError):
        return {}
    return document if isinstance(document, dict) else {}


def described(document: dict[str, Any], *, route: str, model: str, url: str) -> Described:
    """Return the route to examine, with an example of its body.

    Raises NotFoundError where the document has no such route, UsageError where it leaves a choice.
    """
    bodies = _bodies(document)
    if route:
        if route not in bodies:
            raise NotFoundError(
                f"the server describes no body for POST {route}",
                where=f"{url.rstrip('/')}{DOCUMENT}",
                fix=f"afterfit robustness {url} --route {route} --example example.json",
            )
        chosen = route
    else:
        chosen = _chosen(list(bodies), model, url)
    media = bodies[chosen]
    schema = _resolved(media.get("schema") or {}, document, DEEPEST)
    return Described(chosen, _example(media, schema), schema)


def row_schema(schema: dict[str, Any], holder: str) -> dict[str, Any]:
    """Return the schema of one row: below ``holder``, and below the items of an array."""
    for branch in branches(schema):
        inner = branch.get("properties", {}).get(holder, {}) if holder else branch
        for each in branches(inner):
            found = each.get("items", {}) if "items" in each else each
            if found.get("properties") or found.get("items"):
                return dict(found)
    return {}


def _bodies(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the media type objects of the routes that take JSON by POST."""
    found = {}
    paths = document.get("paths")
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        operation = item.get("post") if isinstance(item, dict) else None
        content = (operation or {}).get("requestBody", {}).get("content", {})
        media = content.get("application/json")
        if isinstance(media, dict) and "{" not in path:
            found[path] = media
    return found


def _chosen(routes: list[str], model: str, url: str) -> str:
    likely = [r for r in routes if LIKELY.search(r) and not r.startswith("/v2/")] or routes
    named = [route for route in likely if model and route.rstrip("/").endswith(f"/{model}")]
    if len(named or likely) == 1 or named or (likely and LIKELY.search(likely[0])):
        return (named or likely)[0]
    raise UsageError(
        "the route of the predictions is not known",
        where=url,
        why=f"its OpenAPI document has {', '.join(routes)}"
        if routes
        else "the server speaks no Open Inference Protocol and has no OpenAPI document",
        fix=f"afterfit robustness {url} --route /predict --example example.json",
    )


def _resolved(schema: Any, document: dict[str, Any], depth: int) -> dict[str, Any]:
    """Return the schema with its references replaced by what they name."""
    if not isinstance(schema, dict) or depth <= 0:
        return {}
    if "$ref" in schema:
        return _resolved(_named(str(schema["$ref"]), document), document, depth - 1)
    made = dict(schema)
    if isinstance(made.get("allOf"), list):
        for part in made.pop("allOf"):
            made = {**_resolved(part, document, depth - 1), **made}
    for name in ("anyOf", "oneOf"):
        if isinstance(made.get(name), list):
            made[name] = [_resolved(each, document, depth - 1) for each in made[name]]
    if isinstance(made.get("items"), dict):
        made["items"] = _resolved(made["items"], document, depth - 1)
    if isinstance(made.get("properties"), dict):
        properties = made["properties"].items()
        made["properties"] = {n: _resolved(each, document, depth - 1) for n, each in properties}
    return made


def _named(reference: str, document: dict[str, Any]) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if found else {}
    return found


def _example(media: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return the example of a body, made up from its schema where none is given."""
    if "example" in media:
        return media["example"]
    given = media.get("examples")
    for each in given.values() if isinstance(given, dict) else ():
        if isinstance(each, dict) and "value" in each:
            return each["value"]
    return _made_up(schema)


def _made_up(schema: dict[str, Any]) -> Any:
    """Return a value that fits the schema, the plainest one."""
    told = [schema[name] for name in ("example", "default", "const") if name in schema]
    told += schema.get("examples") or []
    if told and told[0] is not None:
        return told[0]
    branch = next((b for b in branches(schema) if types(b) - {"null"}), {})
    if "enum" in branch:
        return branch["enum"][0]
    if "properties" in branch:
        return {name: _made_up(each) for name, each in branch["properties"].items()}
    if "array" in types(branch):
        return [_made_up(branch.get("items", {}))] * max(1, branch.get("minItems", 1))
    return _plainest(branch)


def _plainest(schema: dict[str, Any]) -> Any:
    """Return a number, a boolean or a text that fits."""
    found = types(schema)
    if found & {"number", "integer"}:
        return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    return False if "boolean" in found else "a" * max(1, schema.get("minLength", 1))


__all__ = ["Described", "described", "document_of", "row_schema"]
