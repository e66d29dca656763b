"""The whole document.

Each model has paths and schemas of its own, because its columns are its own. A path that the
server does not have is left out, so that the document cannot promise one.

Source: https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from afterfit.core.signature import Signature
from afterfit.runtime.decode import Limits
from afterfit.runtime.example import example_row
from afterfit.runtime.openapi.operations import Model, model_paths, server_paths, shared_paths
from afterfit.runtime.openapi.parts import Node, Server, components
from afterfit.runtime.openapi.schemas import SHARED, model_schemas

__all__ = ["Described", "document", "path_of"]

VERSION = "3.1.1"
EVERY_SERVER = {"/ping": "health", "/invocations": "invocations"}
ABOUT = (
    "Predictions of models that were trained elsewhere, each by the columns of its signature."
    " Every answer has `x-request-id`. A method that a path does not have is answered with 405 and"
    " `allow`, an unknown path with 404."
)


class Described(Protocol):
    """What the document says of a model; ``afterfit.runtime.answers.Served`` has it."""

    @property
    def signature(self) -> Signature:
        """The columns and outputs."""
        ...

    @property
    def version(self) -> int:
        """The number for people; 0 where it has none."""
        ...

    @property
    def digest(self) -> str:
        """The version digest."""
        ...


def document(
    models: Mapping[str, Described],
    url: str = "",
    *,
    endpoint: str = "afterfit",
    limits: Limits | None = None,
    routes: Mapping[str, str] = EVERY_SERVER,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    secured: bool = False,
    routed: Callable[[str], bool] = lambda _: True,
) -> Node:
    """Return the document of the models by name, as plain values for JSON.

    ``url`` is where clients reach the server (empty: where they got the document). ``routes`` are
    a platform's paths with their families. ``rows`` has an example row by model in place of one
    made from the signature. ``secured`` tells that keys are asked for. ``routed`` says whether the
    server has a path.
    """
    known = _models(models, rows or {})
    server = Server(limits or Limits(), secured, routes)
    paths = {**server_paths(server), **shared_paths(known, server)}
    schemas = dict(SHARED)
    for model in known:
        paths |= model_paths(model, server)
        schemas |= model_schemas(model.key, model.signature, server.limits, model.row)
    keys: Node = {"security": [{"bearer": []}, {"header": []}]} if secured else {}
    return {
        "openapi": VERSION,
        "info": _info(models, endpoint),
        "servers": [{"url": url or "/"}],
        "paths": {path: item for path, item in paths.items() if routed(_concrete(path, item))},
        "components": components(schemas, secured=secured),
        **keys,
    }


def path_of(name: str) -> str:
    """Return a model's name as a part of a path."""
    return quote(name, safe="")


def _models(models: Mapping[str, Described], rows: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    known: list[Model] = []
    taken: set[str] = set()
    for name, each in models.items():
        base = key = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        while key in taken:
            key = f"{base}_{len(taken)}"
        taken.add(key)
        row = rows.get(name) or example_row(each.signature)
        known.append(Model(name, key, path_of(name), each.version, each.signature, row))
    return known


def _info(models: Mapping[str, Described], endpoint: str) -> Node:
    version = importlib.import_module("afterfit").__version__
    lines = [
        f"- `{name}`, version {each.version}, SHA-256 `{each.digest}`"
        for name, each in models.items()
    ]
    numbers = [str(each.version) for each in models.values()]
    return {
        "title": endpoint,
        "version": numbers[0] if len(numbers) == 1 else version,
        "summary": f"Served by Afterfit {version}",
        "description": "\n".join([ABOUT, "", *lines]),
    }


def _concrete(path: str, item: Node) -> str:
    """Return the path with its parameters filled in."""
    for parameter in item.get("parameters", []):
        path = path.replace(f"{{{parameter['name']}}}", parameter["schema"]["enum"][0])
    return path
