"""The paths of the document and what can be done at each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from afterfit.core.signature import Signature
from afterfit.runtime.openapi.examples import examples_of
from afterfit.runtime.openapi.parts import (
    ALWAYS,
    BODY,
    JSON,
    REQUEST_ID,
    RUN,
    TIMEOUT,
    Node,
    Server,
    answer,
    problems,
)
from afterfit.runtime.openapi.schemas import ANY_OBJECT, TEXT, reference

__all__ = ["Model", "model_paths", "server_paths", "shared_paths"]

CSV, LINES = "text/csv", "application/jsonlines"
ARROW = "application/vnd.apache.arrow.stream"
OCTETS = "application/octet-stream"
PREDICT, PROTOCOL, PLATFORM, SERVER = "predict", "open inference protocol", "platforms", "server"
ANYTHING: Node = {JSON: {"schema": ANY_OBJECT}}
REQUESTS = {
    "invocations": "InvocationsRequest",
    "vertex": "VertexRequest",
    "azureml": "AzureRequest",
}


class Model(NamedTuple):
    """One model: its name, its key in the names of schemas, its path, and an example row."""

    name: str
    key: str
    path: str
    version: int
    signature: Signature
    row: Mapping[str, Any]


def server_paths(server: Server) -> dict[str, Node]:
    """Return the paths that are about no single model."""
    done = answer("As asked.", ANYTHING)
    read = {
        "/v2": ("server_metadata", "Name, version and extensions", PROTOCOL),
        "/v2/health/live": ("server_live", "Whether the server runs", PROTOCOL),
        "/v2/health/ready": ("server_ready", "Whether every model is ready", PROTOCOL),
        "/version": ("version", "Versions and digests that answer", SERVER),
        "/openapi.json": ("openapi", "This document", SERVER),
    }
    paths = {path: {"get": _read(server, *words, done)} for path, words in read.items()}
    text = answer("Prometheus text.", {"text/plain": {"schema": TEXT}})
    paths["/metrics"] = {"get": _read(server, "metrics", "Counters of the server", SERVER, text)}
    paths["/v2/repository/index"] = {"post": _index(server)}
    return paths


def shared_paths(models: list[Model], server: Server) -> dict[str, Node]:
    """Return the platform's paths, and those that need no name where there is one model."""
    ready = answer("Every model is ready.", {})
    one = len(models) == 1
    paths: dict[str, Node] = {}
    for path, family in server.routes.items():
        end = re.sub(r"[^A-Za-z0-9]+", "_", path).rstrip("_")
        if family == "health":
            told = "Whether the server is ready"
            paths[path] = {"get": _read(server, f"ready{end}", told, PLATFORM, ready)}
        elif one:
            paths[path] = {"post": _predict(models[0], server, family, f"{end}_")}
    if one:
        paths.setdefault("/predict", {"post": _predict(models[0], server, "predict", "_")})
        paths["/labels"] = {"post": _labels(models[0], server, "_")}
    return paths


def model_paths(model: Model, server: Server) -> dict[str, Node]:
    """Return the paths that name a model, with and without its version."""
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"enum": [str(model.version)]},
    }
    base = f"/v2/models/{model.path}"
    by_name = _predict(model, server, "predict", "_by_name_")
    labels = _labels(model, server, "_by_name_")
    paths: dict[str, Node] = {
        f"/predict/{model.path}": {"post": by_name},
        f"/labels/{model.path}": {"post": labels},
    }
    paths |= _protocol_paths(model, server, base, "", {})
    versioned = {"parameters": [version]}
    return paths | _protocol_paths(
        model, server, f"{base}/versions/{{version}}", "_version", versioned
    )


def _protocol_paths(
    model: Model, server: Server, base: str, end: str, shared: Node
) -> dict[str, Node]:
    paths = {f"{base}/infer": {**shared, "post": _infer(model, server, end)}}
    for path, what in (("", "metadata"), ("/ready", "ready"), ("/config", "config")):
        paths[f"{base}{path}"] = {**shared, "get": _model_read(model, server, what, end)}
    paths[f"{base}/stats"] = {**shared, "get": _model_read(model, server, "statistics", end)}
    return paths


def _model_read(model: Model, server: Server, what: str, end: str) -> Node:
    done = answer(f"The model's {what}.", ANYTHING)
    summary = f"{what.capitalize()} of {model.name}"
    return _read(server, f"{what}{end}_{model.key}", summary, PROTOCOL, done, 404)


def _read(server: Server, name: str, summary: str, tag: str, done: Node, *more: int) -> Node:
    return {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "parameters": [REQUEST_ID],
        "responses": {"200": done, **problems(server, *more, *ALWAYS)},
    }


def _predict(model: Model, server: Server, family: str, end: str) -> Node:
    """Return the operation of a family of bodies: JSON, CSV, JSON lines and Arrow streams."""
    request = reference(f"{model.key}.{REQUESTS.get(family, 'PredictRequest')}")
    body = {
        kind: {"schema": schema, **examples_of(model.signature, model.row, name)}
        for kind, schema, name in (
            (JSON, request, family),
            (CSV, TEXT, "csv"),
            (LINES, TEXT, "lines"),
        )
    }
    written = {JSON: {"schema": _written(model, family)}, CSV: {"schema": TEXT}}
    written |= {LINES: {"schema": TEXT}, ARROW: {"schema": {}}}
    return {
        "operationId": f"predict{end}{model.key}",
        "summary": f"Predictions of {model.name}",
        "tags": [PREDICT if family == "predict" else PLATFORM],
        "parameters": [REQUEST_ID, TIMEOUT],
        "requestBody": {"required": True, "content": {**body, ARROW: {"schema": {}}}},
        "responses": {
            "200": answer("A prediction for each row, in order.", written),
            **problems(server, 404, 406, *RUN),
        },
    }


def _written(model: Model, family: str) -> Node:
    """Return what the JSON answer of a family is: it follows the form of the request."""
    own = reference(f"{model.key}.PredictResponse")
    if family == "predict":
        return own
    listed = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array"}},
    }
    return listed if family == "vertex" else {"anyOf": [listed, {"type": "array"}, own]}


def _infer(model: Model, server: Server, end: str) -> Node:
    binary = {
        "name": "inference-header-content-length",
        "in": "header",
        "description": "Bytes of JSON, where raw tensors follow it (binary_tensor_data).",
        "schema": {"type": "integer", "minimum": 0},
    }
    content = {
        "schema": reference(f"{model.key}.InferRequest"),
        **examples_of(model.signature, model.row, "infer"),
    }
    written = {JSON: {"schema": reference(f"{model.key}.InferResponse")}, OCTETS: {"schema": {}}}
    return {
        "operationId": f"infer{end}_{model.key}",
        "summary": f"Tensors in, predictions of {model.name} out",
        "tags": [PROTOCOL],
        "parameters": [REQUEST_ID, TIMEOUT, binary],
        "requestBody": {"required": True, "content": {JSON: content, OCTETS: {"schema": {}}}},
        "responses": {
            "200": answer("The outputs that were asked for, or all.", written),
            **problems(server, 404, *RUN),
        },
    }


def _index(server: Server) -> Node:
    models = answer("Models and their states.", {JSON: {"schema": {"type": "array"}}})
    return {
        "operationId": "repository_index",
        "summary": "Every model and whether it is ready",
        "tags": [PROTOCOL],
        "parameters": [REQUEST_ID],
        "requestBody": {"content": ANYTHING},
        "responses": {"200": models, **problems(server, *BODY)},
    }


def _labels(model: Model, server: Server, end: str) -> Node:
    body = {
        JSON: {"schema": reference("Labels")},
        CSV: {"schema": TEXT},
        LINES: {"schema": TEXT},
    }
    return {
        "operationId": f"labels{end}{model.key}",
        "summary": f"What was true of rows that {model.name} predicted before",
        "description": "Joined by event id or entity; the greatest time wins; sent again, no harm.",
        "tags": [SERVER],
        "parameters": [REQUEST_ID],
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": answer("They were taken.", {JSON: {"schema": reference("LabelsTaken")}}),
            **problems(server, 404, 501, *BODY),
        },
    }
