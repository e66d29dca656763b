"""What the operations of the document share: answers, errors, headers and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from afterfit.runtime.decode import Limits
from afterfit.runtime.openapi.schemas import reference

__all__ = [
    "ALWAYS",
    "BODY",
    "JSON",
    "REQUEST_ID",
    "RUN",
    "TIMEOUT",
    "Node",
    "Server",
    "answer",
    "components",
    "problems",
]

Node = dict[str, Any]
JSON = "application/json"
REQUEST_ID: Node = {"$ref": "#/components/parameters/request-id"}
TIMEOUT: Node = {"$ref": "#/components/parameters/timeout"}

# What any request may end in, and what one with a body may.
ALWAYS = (408, 431, 500, 503)
BODY = (400, 413, 415, 422, 429, *ALWAYS)
RUN = (*BODY, 504)
STATUSES = {
    400: "The body or a header is malformed.",
    401: "A key is needed, or the one given is not known.",
    403: "The key does not allow this.",
    404: "There is no such model or version.",
    406: "None of the media types in Accept can be written.",
    408: "The request did not arrive in time.",
    413: "The body or its rows are more than the limit.",
    415: "A body of this media type, charset or encoding is not read.",
    422: "Some fields cannot be used; each is named.",
    429: "More work than the server gets through; nothing was done. Try again after `retry-after`.",
    431: "The request's header is too large.",
    500: "A defect; the log has it under the request id.",
    501: "This server does not do that.",
    503: "Not ready, stopping, or too many connections.",
    504: "The deadline passed before the model could run.",
}


class Server(NamedTuple):
    """What all operations share."""

    limits: Limits
    secured: bool
    routes: Mapping[str, str]


def answer(description: str, content: Node) -> Node:
    """Return a response with the headers that every one has."""
    headers = {"x-request-id": {"$ref": "#/components/headers/request-id"}}
    return {
        "description": description,
        "headers": headers,
        **({"content": content} if content else {}),
    }


def problems(server: Server, *statuses: int) -> Node:
    """Return the responses of an operation that may end so, and in what keys add."""
    secured = (401, 403, 429) if server.secured else ()
    found = sorted({*statuses, *secured})
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in found}


def components(schemas: Node, *, secured: bool) -> Node:
    """Return what the operations refer to."""
    retry = {"retry-after": {"$ref": "#/components/headers/retry-after"}}
    content = {JSON: {"schema": reference("Error")}}
    responses = {str(status): answer(words, content) for status, words in STATUSES.items()}
    responses["429"]["headers"] |= retry
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    return {
        "schemas": schemas,
        "responses": responses,
        "headers": {
            "request-id": {"description": "The client's, or made.", "schema": {"type": "string"}},
            "retry-after": {"description": "Seconds.", "schema": {"type": "integer"}},
        },
        "parameters": {
            "request-id": _header(
                "x-request-id",
                "Kept in answer, log and events: its letters, digits and `-_.:`, at most 128.",
                "string",
            ),
            "timeout": _header("x-request-timeout-ms", "Of no use after that.", "number"),
        },
        **({"securitySchemes": schemes} if secured else {}),
    }


def _header(name: str, description: str, kind: str) -> Node:
    limits: Node = {"exclusiveMinimum": 0} if kind == "number" else {}
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": kind, **limits},
    }
