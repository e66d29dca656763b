"""What a worker answers: ``/predict``, the Open Inference Protocol, ``/metrics``, ``/version``."""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from afterfit.errors import AfterfitError, InputError
from afterfit.runtime import metrics as prometheus
from afterfit.runtime import oip
from afterfit.runtime.decode import MalformedError, TooLargeError
from afterfit.runtime.http import Request, Response, json_response
from afterfit.runtime.journal import refusal
from afterfit.runtime.live import Answer, LiveModel, Service, answer_error

__all__ = ["App"]

Result = Response | Awaitable[Response]
READ = ("GET", "HEAD")
WRITE = ("POST",)


class Route(NamedTuple):
    """What a path is: the class that its counters have, the methods it takes, and its handler."""

    name: str
    methods: tuple[str, ...]
    handle: Callable[[Request], Result]


class HttpError(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class App:
    """The handler of a worker's HTTP server."""

    def __init__(self, service: Service, *, endpoint: str = "afterfit") -> None:
        self.service = service
        self.endpoint = endpoint
        self.ready = False
        self.generation = 0
        self.fixed = {
            "/predict": Route("predict", WRITE, lambda r: self._predict(r, self._only())),
            "/v2": Route("metadata", READ, self._server_metadata),
            "/v2/health/live": Route("health", READ, _live),
            "/v2/health/ready": Route("health", READ, self._ready),
            "/metrics": Route("metrics", READ, self._metrics),
            "/version": Route("version", READ, self._version),
        }

    def __call__(self, request: Request) -> Result:
        """Return the answer, or a promise of it, and count it."""
        route = self.fixed.get(request.path) or self._find(request.path)
        if request.method not in route.methods:
            allow = ", ".join(route.methods)
            response = json_response(
                405, {"error": f"{request.method} is not allowed"}, (("allow", allow),)
            )
            return self._counted(route, request, response)
        try:
            result = route.handle(request)
        except Exception as error:  # noqa: BLE001 - a defect is counted and raised again
            result = self._error(error, request)
        if isinstance(result, Response):
            return self._counted(route, request, result)
        return self._wait(route, request, result)

    def count_refused(self, status: int) -> None:
        """Count an answer of the HTTP layer."""
        self.service.metrics.request("refused", status)

    async def _wait(self, route: Route, request: Request, result: Awaitable[Response]) -> Response:
        try:
            response = await result
        except Exception as error:  # noqa: BLE001 - as above
            response = self._error(error, request)
        return self._counted(route, request, response)

    def _counted(self, route: Route, request: Request, response: Response) -> Response:
        spent = time.perf_counter() - request.received
        self.service.metrics.request(route.name, response.status, spent)
        return response

    def _error(self, error: Exception, request: Request) -> Response:
        """Return what the client may know of an error; a defect goes on to the HTTP layer's 500."""
        if isinstance(error, HttpError):
            return json_response(error.status, {"error": error.message})
        if isinstance(error, MalformedError | oip.ProtocolError):
            return json_response(400, answer_error(error))
        if isinstance(error, TooLargeError):
            return json_response(413, {"error": error.message})
        if isinstance(error, InputError):
            return json_response(422, answer_error(error))
        self.service.metrics.request("refused", 500)
        if isinstance(error, AfterfitError):
            return json_response(500, {"error": error.message, "request_id": request.id})
        raise error

    def _find(self, path: str) -> Route:
        parts = [unquote(part) for part in path.split("/")[1:]]
        if parts[0] == "predict" and len(parts) == 2:
            return Route("predict", WRITE, lambda r: self._predict(r, self._model(parts[1])))
        if parts[:2] == ["v2", "models"] and len(parts) > 2:
            return self._find_model(parts[2], parts[3:])
        return Route("unknown", (*READ, "POST", "PUT", "DELETE", "PATCH", "OPTIONS"), _not_found)

    def _find_model(self, name: str, rest: list[str]) -> Route:
        version = ""
        if len(rest) >= 2 and rest[0] == "versions":
            version, rest = rest[1], rest[2:]

        def model() -> LiveModel:
            return self._model(name, version)

        if not rest:
            return Route("metadata", READ, lambda _: json_response(200, oip.metadata(model())))
        if rest == ["ready"]:
            return Route("health", READ, lambda _: self._model_ready(model()))
        if rest == ["infer"]:
            return Route("infer", WRITE, lambda r: self._infer(r, model()))
        return Route("unknown", (*READ, "POST", "PUT", "DELETE", "PATCH", "OPTIONS"), _not_found)

    def _only(self) -> LiveModel:
        models = self.service.models
        if len(models) != 1:
            if not self.ready:
                raise HttpError(503, "the models are being loaded")
            names = ", ".join(f"/predict/{name}" for name in models)
            raise HttpError(404, f"there are several models; use one of: {names}")
        return next(iter(models.values()))

    def _model(self, name: str, version: str = "") -> LiveModel:
        model = self.service.models.get(name)
        if model is None:
            if not self.ready:
                raise HttpError(503, "the models are being loaded")
            raise HttpError(404, f"no model {name[:128]!r}")
        if version and version != str(model.version):
            raise HttpError(404, f"model {name!r} serves version {model.version}")
        return model

    def _predict(self, request: Request, model: LiveModel) -> Result:
        try:
            rows = model.decoder.decode(_json_body(request))
            return self.service.predict(model, rows, request.id, _predicted)
        except AfterfitError as error:
            raise self._refused(error, model, request) from None

    def _infer(self, request: Request, model: LiveModel) -> Result:
        if b"inference-header-content-length" in request.headers:
            raise HttpError(400, "binary tensors are not supported; send JSON (binary_data=False)")
        try:
            asked = oip.parse(_json_body(request))
            rows = oip.rows_of(asked, model.decoder)

            def inferred(answer: Answer) -> Response:
                return json_response(200, oip.infer_response(asked, answer))

            return self.service.predict(model, rows, request.id, inferred)
        except AfterfitError as error:
            raise self._refused(error, model, request) from None

    def _refused(self, error: AfterfitError, model: LiveModel, request: Request) -> AfterfitError:
        journal = self.service.journal
        if journal is not None:
            kind = "refused" if isinstance(error, InputError | TooLargeError) else "failed"
            journal.put(refusal(kind, error.message, model.key, request.id))  # type: ignore[arg-type]
        return error

    def _server_metadata(self, _: Request) -> Response:
        version = importlib.import_module("afterfit").__version__
        return json_response(200, {"name": "afterfit", "version": version, "extensions": []})

    def _ready(self, _: Request) -> Response:
        return json_response(200 if self.ready else 503, {"ready": self.ready})

    def _model_ready(self, model: LiveModel) -> Response:
        return json_response(200, {"name": model.name, "ready": True})

    def _metrics(self, _: Request) -> Response:
        keys = [model.key for model in self.service.models.values()]
        text = self.service.metrics.text(keys)
        return Response(200, text.encode(), prometheus.CONTENT_TYPE)

    def _version(self, _: Request) -> Response:
        models = {name: _describe(model) for name, model in self.service.models.items()}
        document: dict[str, Any] = {
            "endpoint": self.endpoint,
            "generation": self.generation,
            "models": models,
        }
        if len(models) == 1:
            (only,) = models.values()
            document |= {"version": only["version"], "digest": only["digest"]}
        return json_response(200, document)


def _describe(model: LiveModel) -> dict[str, Any]:
    predictor = model.predictor
    return {
        "version": model.version,
        "digest": predictor.digest,
        "variant": predictor.variant.name,
        "runtime": predictor.variant.runtime,
        "golden": predictor.golden,
    }


def _predicted(answer: Answer) -> Response:
    return json_response(200, answer.document())


def _live(_: Request) -> Response:
    return json_response(200, {"live": True})


def _not_found(request: Request) -> Response:
    paths = "/predict, /v2/models/NAME/infer, /v2/health/ready, /metrics, /version"
    return json_response(404, {"error": f"nothing at {request.path[:200]}; there are {paths}"})


def _json_body(request: Request) -> bytes:
    """Return the body where it may be JSON: any content type will do, another charset will not.

    Clients forget the header (curl sends a form's), so only what contradicts is refused.
    """
    given = request.headers.get(b"content-type", b"").lower()
    _, _, charset = given.partition(b"charset=")
    if charset and charset.split(b";")[0].strip(b"\"' ") not in (b"utf-8", b"utf8", b"us-ascii"):
        raise HttpError(415, "charset: JSON is UTF-8")
    return request.body
