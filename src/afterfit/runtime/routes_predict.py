"""Predictions by name: ``POST /predict``, ``/invocations``, and the routes of platforms."""

from __future__ import annotations

from afterfit.errors import AfterfitError
from afterfit.runtime.app import READ, WRITE, App, Result, Route
from afterfit.runtime.batch import Finish, Work
from afterfit.runtime.deadline import deadline_of
from afterfit.runtime.formats.negotiate import Family, negotiate, plain_json
from afterfit.runtime.live import LiveModel
from afterfit.runtime.messages import Request, json_response
from afterfit.runtime.predict_answer import PredictWriter
from afterfit.runtime.problems import HttpError
from afterfit.runtime.rows import Parsed

__all__ = ["add", "add_platform"]


def add(app: App) -> None:
    """Add ``/predict`` and ``/predict/NAME``."""
    app.fixed["/predict"] = _route(app, "predict", "")
    app.finders.append(lambda parts: _find(app, parts))


def add_platform(app: App, routes: dict[str, str]) -> None:
    """Add the paths of a platform: health, or predictions in a form of its own."""
    for path, family in routes.items():
        if family == "health":
            app.fixed[path] = Route("health", READ, lambda _: _ready(app))
        else:
            app.fixed[path] = _route(app, family, "")


def _find(app: App, parts: list[str]) -> Route | None:
    if len(parts) != 2 or parts[0] != "predict":
        return None
    return _route(app, "predict", parts[1])


def _route(app: App, family: str, name: str) -> Route:
    known: Family = family  # type: ignore[assignment]  # settings name families only

    def model() -> LiveModel:
        return app.model(name) if name else app.only()

    def handle(request: Request) -> Result:
        return _predict(app, request, model(), known)

    return Route("predict", WRITE, handle, role="predict", model=name, target=model)


def _ready(app: App) -> Result:
    return json_response(200 if app.ready else 503, {"ready": app.ready})


def _predict(app: App, request: Request, model: LiveModel, family: Family) -> Result:
    service = app.service
    away = service.turn_away(model, request)
    if away is not None:
        return away
    try:
        parsed, finish = _read(model, request, family)
        deadline = deadline_of(request, 0.0, service.batching)
    except (AfterfitError, HttpError) as error:
        service.refused(model, error, request.id)
        raise
    return service.submit(model, Work(parsed, request, "predict", finish, deadline))


def _read(model: LiveModel, request: Request, family: Family) -> tuple[Parsed, Finish]:
    """Return the rows of a request and what writes its answer."""
    kind = request.headers.get(b"content-type", b"")
    accept = request.headers.get(b"accept", b"")
    if family == "predict" and plain_json(kind, accept):
        return _read_json(model, request.body), model.part(PredictWriter).json
    decode, encode = negotiate(family, kind, accept)
    rows = decode(request.body, model.decoder)
    size = len(next(iter(rows.frame.values())))
    return Parsed(size, frame=rows.frame, entities=rows.entities), encode


def _read_json(model: LiveModel, body: bytes) -> Parsed:
    fast = model.reader.read(body)
    if fast is not None:
        rows, entities = fast
        return Parsed(
            len(rows), rows=rows, entities=entities, strict=lambda: model.decoder.decode(body).frame
        )
    slow = model.decoder.decode(body)
    size = len(next(iter(slow.frame.values())))
    return Parsed(size, frame=slow.frame, entities=slow.entities)
