"""The routes of the Open Inference Protocol, version 2."""

from __future__ import annotations

import importlib

from afterfit.errors import AfterfitError
from afterfit.runtime import oip
from afterfit.runtime.app import READ, WRITE, App, Result, Route
from afterfit.runtime.batch import Work
from afterfit.runtime.deadline import deadline_of
from afterfit.runtime.live import LiveModel
from afterfit.runtime.messages import Reply, Request, Response, json_response
from afterfit.runtime.oip_answer import InferWriter
from afterfit.runtime.problems import HttpError, ProtocolError

__all__ = ["add"]

EXTENSIONS = ["binary_tensor_data"]
HEADER = b"inference-header-content-length"


def add(app: App) -> None:
    """Add the routes."""
    app.fixed["/v2"] = Route("metadata", READ, _server, role="predict")
    app.fixed["/v2/health/live"] = Route("health", READ, lambda _: _ok({"live": True}))
    app.fixed["/v2/health/ready"] = Route("health", READ, lambda _: _ready(app))
    app.finders.append(lambda parts: _find(app, parts))


def _find(app: App, parts: list[str]) -> Route | None:
    if parts[:2] != ["v2", "models"] or len(parts) < 3:
        return None
    name, rest, version = parts[2], parts[3:], ""
    if len(rest) > 1 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]

    def model() -> LiveModel:
        return app.model(name, version)

    routes: dict[tuple[str, ...], Route] = {
        (): Route("metadata", READ, lambda _: _metadata(model()), role="predict", model=name),
        ("ready",): Route("health", READ, lambda _: _model_ready(model()), model=name),
        ("infer",): Route(
            "infer",
            WRITE,
            lambda r: _infer(app, r, model(), version),
            role="predict",
            model=name,
            target=model,
        ),
    }
    return routes.get(tuple(rest))


def _infer(app: App, request: Request, model: LiveModel, version: str) -> Reply | Response:
    service = app.service
    away = service.turn_away(model, request)
    if away is not None:
        return away
    try:
        check_charset(request)
        reader = model.part(_reader)
        parsed, finish, timeout = reader.read(request.body, _json_bytes(request))
        deadline = deadline_of(request, timeout, service.batching)
    except (AfterfitError, HttpError) as error:
        service.refused(model, error, request.id)
        raise
    work = Work(parsed, request, "infer", finish, deadline)
    return service.submit(model, work, pinned=bool(version))


def check_charset(request: Request) -> None:
    """Raise HttpError 415 for another charset than UTF-8; clients forget the rest of the header."""
    kind = request.headers.get(b"content-type")
    if kind and b"charset" in kind:
        charset = kind.lower().partition(b"charset=")[2].split(b";")[0].strip(b"\"' ")
        if charset not in {b"", b"utf-8", b"utf8", b"us-ascii"}:
            raise HttpError(415, "charset: JSON is UTF-8")


def _reader(model: LiveModel) -> oip.InferReader:
    return oip.InferReader(model.decoder, model.reader, InferWriter(model))


def _json_bytes(request: Request) -> int | None:
    text = request.headers.get(HEADER)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise ProtocolError("inference-header-content-length: expected a number of bytes")
    return int(text)


def _server(_: Request) -> Response:
    version = importlib.import_module("afterfit").__version__
    return _ok({"name": "afterfit", "version": version, "extensions": EXTENSIONS})


def _ready(app: App) -> Response:
    return json_response(200 if app.ready else 503, {"ready": app.ready})


def _model_ready(model: LiveModel) -> Result:
    return _ok({"name": model.name, "ready": True})


def _metadata(model: LiveModel) -> Response:
    variant = model.predictor.variant
    platform = f"{variant.framework}_{variant.runtime}"
    document = oip.metadata(model.name, model.version, platform, model.signature)
    numbers = [str(each.version) for each in model.versions]
    return _ok({**document, "versions": list(dict.fromkeys(numbers))})


def _ok(document: object) -> Response:
    return json_response(200, document)
