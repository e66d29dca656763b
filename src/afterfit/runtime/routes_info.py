"""Routes about the server itself: ``/metrics``, ``/version``."""

from __future__ import annotations

from afterfit.runtime.app import READ, App, Route, document, metrics_response
from afterfit.runtime.messages import json_response

__all__ = ["add"]


def add(app: App) -> None:
    """Add the routes."""
    app.fixed["/metrics"] = Route("metrics", READ, lambda _: metrics_response(app))
    app.fixed["/version"] = Route("version", READ, lambda _: json_response(200, document(app)))
