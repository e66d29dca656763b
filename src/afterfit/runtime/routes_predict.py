"""``POST /predict``: rows or columns by name, as JSON."""

from __future__ import annotations

from afterfit.errors import AfterfitError
from afterfit.runtime.app import WRITE, App, Route
from afterfit.runtime.batch import Work
from afterfit.runtime.deadline import deadline_of
from afterfit.runtime.live import LiveModel
from afterfit.runtime.messages import Reply, Request
from afterfit.runtime.predict_answer import PredictWriter
from afterfit.runtime.problems import HttpError
from afterfit.runtime.rows import Parsed

__all__ = ["add", "json_body"]


def add(app: App) -> None:
    """Add the routes."""
    app.fixed["/predict"] = Route("predict", WRITE, lambda r: _predict(app, r, app.only()))
    app.finders.append(lambda parts: _find(app, parts))


def _find(app: App, parts: list[str]) -> Route | None:
    if len(parts) != 2 or parts[0] != "predict":
        return None
    name = parts[1]
    return Route("predict", WRITE, lambda r: _predict(app, r, app.model(name)), model=name)


def _predict(app: App, request: Request, model: LiveModel) -> Reply:
    service = app.service
    try:
        service.batcher(model).admit()
        parsed = read(model, json_body(request))
    except (AfterfitError, HttpError) as error:
        service.refused(model, error, request.id)
        raise
    deadline = deadline_of(request, 0.0, service.batching)
    work = Work(parsed, request, "predict", model.part(PredictWriter).json, deadline)
    return service.submit(model, work)


def read(model: LiveModel, body: bytes) -> Parsed:
    """Return the rows of a body; raises MalformedError, FieldError or TooLargeError."""
    fast = model.reader.read(body)
    if fast is not None:
        rows, entities = fast
        strict = lambda: model.decoder.decode(body).frame  # noqa: E731 - it goes into the tuple
        return Parsed(len(rows), rows=rows, entities=entities, strict=strict)
    slow = model.decoder.decode(body)
    count = len(next(iter(slow.frame.values())))
    return Parsed(count, frame=slow.frame, entities=slow.entities)


def json_body(request: Request) -> bytes:
    """Return the body where it may be JSON: any content type will do, another charset will not.

    Clients forget the header (curl sends a form's), so only what contradicts is refused.
    """
    kind = request.headers.get(b"content-type")
    if kind and b"charset" in kind:
        charset = kind.lower().partition(b"charset=")[2].split(b";")[0].strip(b' "')
        if charset and charset not in {b"utf-8", b"utf8", b"us-ascii"}:
            raise HttpError(415, "JSON is UTF-8")
    return request.body
