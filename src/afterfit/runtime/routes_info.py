"""Routes about the server itself: ``/metrics``, ``/version``, ``/openapi.json`` and a page."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.runtime.app import READ, App, Route, document, metrics_response
from afterfit.runtime.messages import Request, Response, json_response
from afterfit.runtime.openapi import document as openapi_document
from afterfit.runtime.page import page

__all__ = ["add"]


def add(app: App) -> None:
    """Add the routes; with keys, the page and its document want one unless told otherwise."""
    told = "" if app.public_docs else "predict"

    def version(_: Request) -> Response:
        return json_response(200, document(app))

    app.fixed["/metrics"] = Route("metrics", READ, lambda _: metrics_response(app), role="predict")
    app.fixed["/version"] = Route("version", READ, version, role="predict")
    shown = _each_generation(app, lambda: _page(app))
    app.fixed["/"] = app.fixed["/docs"] = Route("metadata", READ, shown, role=told)
    described = _each_generation(app, lambda: _openapi(app))
    app.fixed["/openapi.json"] = Route("metadata", READ, described, role=told)


def _each_generation(app: App, make: Callable[[], Response]) -> Callable[[Request], Response]:
    """Return a handler whose answer is made once for each generation of the models."""
    kept: dict[int, Response] = {}

    def handle(_: Request) -> Response:
        if app.generation not in kept:
            kept.clear()
            kept[app.generation] = make()
        return kept[app.generation]

    return handle


def _page(app: App) -> Response:
    return page(app.service.models, endpoint=app.endpoint, url="", secured=app.ring is not None)


def _openapi(app: App) -> Response:
    models = app.service.models
    found = openapi_document(
        models,
        endpoint=app.endpoint,
        limits=next((model.decoder.limits for model in models.values()), None),
        routes=app.platform_routes,
        secured=app.ring is not None,
        routed=app.has,
    )
    return json_response(200, found)
