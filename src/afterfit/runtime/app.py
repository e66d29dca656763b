"""What a worker answers: a table of routes, and what every request goes through."""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from afterfit.runtime import metrics as prometheus
from afterfit.runtime.accelerator import standing
from afterfit.runtime.away import Away
from afterfit.runtime.heads import Head
from afterfit.runtime.keys import KeyRing, Refusal, credentials
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.messages import Reply, Request, Response, json_response
from afterfit.runtime.model_metrics import model_lines
from afterfit.runtime.platform import EVERY_SERVER
from afterfit.runtime.problems import HttpError, error_response
from afterfit.runtime.repository import divided

__all__ = ["App", "Result", "Route"]

Result = Response | Reply | Awaitable[Response]
READ = ("GET", "HEAD")
WRITE = ("POST",)
ANY = (*READ, "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
MAX_KNOWN_PATHS = 1024


class Route(NamedTuple):
    """What a path is: the class that its counters have, the methods it takes, and its handler.

    ``role`` is what a key needs to be let in; empty for what anyone may ask. ``target`` returns
    the model that a prediction is asked of, or raises HttpError.
    """

    name: str
    methods: tuple[str, ...]
    handle: Callable[[Request], Result]
    role: str = ""
    model: str = ""
    target: Callable[[], LiveModel] | None = None


class App:
    """The handler of a worker's HTTP server."""

    def __init__(
        self,
        service: Service,
        *,
        endpoint: str = "afterfit",
        routes: dict[str, str] | None = None,
        ring: KeyRing | None = None,
        public_docs: bool = False,
    ) -> None:
        self.service = service
        self.endpoint = endpoint
        self.ring = ring
        self.public_docs = public_docs
        self.platform_routes = dict(routes or EVERY_SERVER)
        self.ready = False
        self.generation = 0
        self.fixed: dict[str, Route] = {}
        self.finders: list[Callable[[list[str]], Route | None]] = []
        self._found: dict[str, Route] = {}
        # They import this module, and a worker needs them all in any case.
        for name in ("routes_info", "routes_predict", "routes_oip", "routes_labels"):
            importlib.import_module(f"afterfit.runtime.{name}").add(self)
        # Last, as a platform may name a path of the server's own for its own purpose.
        importlib.import_module("afterfit.runtime.routes_predict").add_platform(
            self, self.platform_routes
        )

    def __call__(self, request: Request) -> Result:
        """Return the answer, or a promise of it, and count it."""
        route = self.fixed.get(request.path) or self._find(request.path)
        try:
            check_method(route, request.method)
            if self.ring is not None and route.role:
                self._check_key(self.ring, route, request)
            result = route.handle(request)
        except Exception as error:  # noqa: BLE001 - a defect is counted and raised again
            result = self.failed(error, request)
        if isinstance(result, Reply):
            return result
        if isinstance(result, Response):
            return self._counted(route, request, result)
        return self._wait(route, request, result)

    def away(self, head: Head) -> Away | None:
        """Return how requests with this head are refused, where they can be without a look at them.

        With keys each request is looked at, as a key may not be let in at all.
        """
        route = self.fixed.get(head.path) or self._found.get(head.path)
        if route is None or route.target is None or self.ring is not None:
            return None
        if head.method not in route.methods:
            return None
        try:
            found = self.service.away(route.target())
        except HttpError:
            return None
        if found is None:
            return None
        name = route.name

        def note(ids: list[str]) -> None:
            found.note(ids)
            self.service.metrics.refused(name, found.response.status, len(ids))

        return Away(found.response, note)

    def count_refused(self, status: int) -> None:
        """Count an answer of the HTTP layer."""
        self.service.metrics.request("refused", status)

    def failed(self, error: Exception, request: Request) -> Response:
        """Return what the client may know of an error; raises a defect again."""
        response = error_response(error, request.id)
        if response is None:
            self.service.metrics.request("refused", 500)
            raise error
        return response

    def changed(self) -> None:
        """Forget what was found out about paths: the models are others now."""
        self._found.clear()

    def model(self, name: str, version: str = "") -> LiveModel:
        """Return the model that serves under a name; raises HttpError 404 or 503."""
        model = self.service.models.get(name)
        if model is None:
            if not self.ready:
                raise HttpError(503, "the models are being loaded")
            raise HttpError(404, f"no model {name[:128]!r}")
        return model.numbered(version) if version else model

    def only(self) -> LiveModel:
        """Return the one model of this server; raises HttpError where there are several."""
        models = self.service.models
        if len(models) != 1:
            if not self.ready:
                raise HttpError(503, "the models are being loaded")
            names = ", ".join(f"/predict/{name}" for name in models)
            raise HttpError(404, f"there are several models; use one of: {names}")
        return next(iter(models.values()))

    def has(self, path: str) -> bool:
        """Return whether a path leads somewhere."""
        return path in self.fixed or self._find(path).name != "unknown"

    def _check_key(self, ring: KeyRing, route: Route, request: Request) -> None:
        """Raise HttpError 401, 403 or 429 where the request's key is not one that may do this."""
        name = route.model or (next(iter(self.service.models), "") if self._alone() else "")
        found = ring.authorize(credentials(request.headers), route.role, name, time.time())  # type: ignore[arg-type]
        if isinstance(found, Refusal):
            raise HttpError(found.status, found.message, found.headers)
        request.grant = found

    def _alone(self) -> bool:
        return len(self.service.models) == 1

    async def _wait(self, route: Route, request: Request, result: Awaitable[Response]) -> Response:
        try:
            response = await result
        except Exception as error:  # noqa: BLE001 - as above
            response = self.failed(error, request)
        return self._counted(route, request, response)

    def _counted(self, route: Route, request: Request, response: Response) -> Response:
        spent = time.perf_counter() - request.received
        self.service.metrics.request(route.name, response.status, spent)
        return response

    def _find(self, path: str) -> Route:
        found = self._found.get(path)
        if found is not None:
            return found
        parts = [unquote(part) for part in path.split("/")[1:]]
        for finder in self.finders:
            route = finder(parts)
            if route is not None:
                # Only paths of models that there are: others could be made up without end.
                if route.model in self.service.models and len(self._found) < MAX_KNOWN_PATHS:
                    self._found[path] = route
                return route
        return Route("unknown", ANY, _not_found)


def check_method(route: Route, method: str) -> None:
    """Raise HttpError 405 for a method that the route does not take."""
    if method not in route.methods:
        allow = ", ".join(route.methods)
        raise HttpError(405, f"{method} is not allowed", (("allow", allow),))


def document(app: App) -> dict[str, Any]:
    """Return what runs: the endpoint, its generation, and each model's version and digest."""
    routes = app.service.document.models
    models = {
        name: _describe(model) | divided(routes[name]) for name, model in app.service.models.items()
    }
    found: dict[str, Any] = {
        "endpoint": app.endpoint,
        "generation": app.generation,
        "models": models,
    }
    if len(models) == 1:
        (only,) = models.values()
        found |= {"version": only["version"], "digest": only["digest"]}
    if computing := standing():
        found["accelerator"] = computing
    return found


def _describe(model: LiveModel) -> dict[str, Any]:
    predictor = model.predictor
    return {
        "version": model.version,
        "digest": predictor.digest,
        "variant": predictor.variant.name,
        "runtime": predictor.variant.runtime,
        "golden": predictor.golden,
        "proof": predictor.proof,
    }


def metrics_response(app: App) -> Response:
    """Return the Prometheus text of all workers."""
    service = app.service
    serving = [each for model in service.models.values() for each in model.versions]
    text = service.metrics.text([model.key for model in serving])
    text += model_lines(service.metrics, service.slots)
    return Response(200, text.encode(), prometheus.CONTENT_TYPE)


def _not_found(request: Request) -> Response:
    paths = "/predict, /v2/models/NAME/infer, /v2/health/ready, /metrics, /version"
    return json_response(404, {"error": f"nothing at {request.path[:200]}; there are {paths}"})
