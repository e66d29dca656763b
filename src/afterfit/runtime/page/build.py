"""The page as one HTML text, with the headers that hold it to what it does.

It is made as a tree, so that no name can become markup: a column may be called ``<script>``. The
script and the style are the same bytes for every server, and the policy names them by their hash.

Source: https://www.w3.org/TR/CSP3/ for the policy
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from afterfit.core.signature import Column, Signature
from afterfit.runtime.example import example_row
from afterfit.runtime.messages import Response
from afterfit.runtime.openapi import Described, path_of
from afterfit.runtime.page import snippets

__all__ = ["page"]

CONTENT_TYPE = "text/html; charset=utf-8"
MOST_CHOICES = 50
LINKS = {
    "OpenAPI": "openapi.json",
    "Version": "version",
    "Ready": "v2/health/ready",
    "Metrics": "metrics",
}
KINDS = {"category": "category", "text": "text", "boolean": "true or false"}


class Shown(NamedTuple):
    """One model of the page: its place, name and example row, and where it is asked."""

    place: int
    name: str
    model: Described
    row: Mapping[str, Any]
    path: str
    url: str
    secured: bool


def page(
    models: Mapping[str, Described],
    *,
    endpoint: str = "afterfit",
    url: str = "http://127.0.0.1:8080",
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    secured: bool = False,
) -> Response:
    """Return the page of the models by name; ``/`` and ``/docs`` answer with it.

    ``url`` is what the commands ask until the script knows where the page came from. ``rows`` has
    an example row by model in place of one made from the signature. ``secured`` adds a field for
    an API key, which stays in the page's memory.
    """
    root = ET.Element("html", lang="en")
    _head(root, endpoint)
    body = ET.SubElement(root, "body")
    _header(body, endpoint, models)
    main = ET.SubElement(body, "main", {"class": "wrap"})
    for index, (name, model) in enumerate(models.items()):
        row = (rows or {}).get(name) or example_row(model.signature)
        path = f"predict/{path_of(name)}"
        _model(main, Shown(index, name, model, row, path, f"{url.rstrip('/')}/{path}", secured))
    version = importlib.import_module("afterfit").__version__
    _text(body, "footer", f"Served by Afterfit {version}", "wrap")
    _text(body, "script", _script())
    html = "<!doctype html>\n" + ET.tostring(root, encoding="unicode", method="html")
    return Response(200, html.encode("utf-8", "replace"), CONTENT_TYPE, _headers())


def _head(root: ET.Element, endpoint: str) -> None:
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    ET.SubElement(head, "link", rel="icon", href="data:,")
    _text(head, "title", endpoint)
    _text(head, "style", _style())


def _header(body: ET.Element, endpoint: str, models: Mapping[str, Described]) -> None:
    header = ET.SubElement(body, "header", {"class": "wrap"})
    _text(header, "h1", endpoint)
    if len(models) > 1:
        nav = ET.SubElement(header, "nav", {"aria-label": "Models"})
        for index, name in enumerate(models):
            _text(nav, "a", name).set("href", f"#model-{index}")
    links = ET.SubElement(header, "nav", {"aria-label": "Server", "class": "links"})
    for text, href in LINKS.items():
        _text(links, "a", text).set("href", href)


def _model(main: ET.Element, shown: Shown) -> None:
    model = shown.model
    section = ET.SubElement(main, "section", id=f"model-{shown.place}")
    _text(section, "h2", shown.name)
    facts = ET.SubElement(section, "div", {"class": "facts"})
    _text(facts, "p", f"Version {model.version} · {_purpose(model.signature)}")
    _text(_text(facts, "p", "SHA-256 "), "code", model.digest)
    form = ET.SubElement(section, "form", {"data-path": shown.path, "autocomplete": "off"})
    fields = ET.SubElement(form, "div", {"class": "fields"})
    for column in model.signature.columns:
        _field(fields, column, shown.row[column.name])
    _buttons(form, secured=shown.secured)
    ET.SubElement(section, "div", {"class": "result", "aria-live": "polite", "hidden": ""})
    _text(section, "noscript", "Trying the model here needs JavaScript; curl does not.")
    _snippets(section, shown)


def _snippets(section: ET.Element, shown: Shown) -> None:
    """Add what the script writes anew when a value changes."""
    for title, write in (("curl", snippets.curl), ("Python", snippets.python)):
        titled = ET.SubElement(section, "div", {"class": "titled"})
        _text(titled, "h3", title)
        _text(titled, "button", "Copy", "copy").set("type", "button")
        _text(section, "pre", write(shown.url, shown.row, secured=shown.secured), title.lower())


def _buttons(form: ET.Element, *, secured: bool) -> None:
    send = ET.SubElement(form, "div", {"class": "send"})
    _text(send, "button", "Predict").set("disabled", "")
    reset = _text(send, "button", "Reset", "quiet")
    reset.set("type", "reset")
    reset.set("disabled", "")
    if secured:
        form.set("data-secured", "yes")
        key = ET.SubElement(send, "input", {"class": "key", "type": "password"})
        key.attrib |= {"placeholder": "API key", "aria-label": "API key", "autocomplete": "off"}


def _field(fields: ET.Element, column: Column, example: Any) -> None:
    field = ET.SubElement(fields, "label", {"class": "field", "data-name": _literal(column.name)})
    field.set("data-kind", "number" if column.kind in {"number", "integer"} else "text")
    if column.nullable:
        field.set("data-nullable", "yes")
    if column.low is not None and column.high is not None:
        field.set("data-low", repr(column.low))
        field.set("data-high", repr(column.high))
    _text(field, "span", column.name, "name")
    _text(field, "span", _hint(column), "hint")
    entry = ET.SubElement(field, "span", {"class": "entry"})
    choices = _choices(column)
    if choices:
        _select(entry, column, choices, example)
    else:
        value = "" if example is None else str(example)
        typed = ET.SubElement(entry, "input", type="text", value=value)
        if field.get("data-kind") == "number":
            typed.set("inputmode", "decimal")
    _text(entry, "span", "", "note")


def _choices(column: Column) -> list[Any]:
    if column.kind == "boolean":
        return [False, True]
    if column.kind == "category" and len(column.categories) <= MOST_CHOICES:
        return list(column.categories)
    return []


def _select(entry: ET.Element, column: Column, choices: list[Any], example: Any) -> None:
    """Add a choice of known values, and a way to give another one where that is served."""
    select = ET.SubElement(entry, "select")
    known = {_literal(choice): choice for choice in choices}
    if column.nullable:
        known["null"] = "null"
    for literal, choice in known.items():
        word = choice if isinstance(choice, str) else _literal(choice)
        option = _text(select, "option", word or "(empty)")
        option.set("value", literal)
        if literal == _literal(example):
            option.set("selected", "")
    if column.kind == "category":
        _text(select, "option", "other…").set("value", "other")
        ET.SubElement(entry, "input", type="text", hidden="", placeholder="another value")


def _hint(column: Column) -> str:
    parts = [KINDS.get(column.kind, column.kind)]
    if column.kind in {"number", "integer"} and column.low is not None and column.high is not None:
        parts.append(f"{column.low:g} to {column.high:g}")
    if column.kind == "category" and len(column.categories) > MOST_CHOICES:
        parts.append(f"{len(column.categories)} known")
    if column.nullable:
        parts.append("may be null" if _choices(column) else "empty for null")
    return " · ".join(parts)


def _purpose(signature: Signature) -> str:
    if signature.task == "regression":
        return f"predicts {signature.target}, a number"
    words = ", ".join(str(label) for label in signature.classes[:10])
    more = f" and {len(signature.classes) - 10} more" if len(signature.classes) > 10 else ""
    if signature.task == "binary" and signature.threshold is not None:
        more = f" · {signature.positive} from a probability of {signature.threshold:g}"
    return f"predicts {signature.target}: {words}{more}"


def _text(parent: ET.Element, tag: str, text: str, name: str = "") -> ET.Element:
    made = ET.SubElement(parent, tag, {"class": name} if name else {})
    made.text = text
    return made


def _literal(value: Any) -> str:
    """Return JSON in plain ASCII without a sign that HTML knows."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _script() -> str:
    return files(__package__).joinpath("page.js").read_text("utf-8")


@cache
def _style() -> str:
    return files(__package__).joinpath("page.css").read_text("utf-8")


@cache
def _headers() -> tuple[tuple[str, str], ...]:
    policy = {
        "default-src": "'none'",
        "script-src": _source(_script()),
        "style-src": _source(_style()),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return (
        ("content-security-policy", "; ".join(f"{key} {value}" for key, value in policy.items())),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
    )


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
