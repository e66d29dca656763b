"""The dashboard as an ASGI application: the same handler answers HTML and, at ``.json``, JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afterfit.core.digest import sha256_bytes
from afterfit.errors import AfterfitError, NotFoundError, UsageError
from afterfit.runtime.keys import Refusal
from afterfit.web import render
from afterfit.web.guard import HEADERS, Door, Hosts, safe_path, same_origin
from afterfit.web.pages import alarms, endpoints, models, overview, records, signals
from afterfit.web.pages.messages import Login, Problem
from afterfit.web.parts import View
from afterfit.web.site import Site

__all__ = ["PAGES", "application"]

Path_ = Mapping[str, Any]
Query = Mapping[str, str]
Maker = Callable[[Site, Path_, Query], View]
MOST_FORM = 4096
MOST_PAGE = 1_000_000
HERE = Path(__file__).parent
STATIC: dict[str, tuple[Path, str]] = {
    "report.css": (HERE.parent / "report" / "templates" / "page.css", "text/css"),
    "dashboard.css": (HERE / "static" / "dashboard.css", "text/css"),
    "dashboard.js": (HERE / "static" / "dashboard.js", "text/javascript"),
}
STATUS = {
    "usage": 400, "config": 500, "input": 400, "not_found": 404, "conflict": 409,
    "permission": 403, "unavailable": 503, "dependency": 503,
}  # fmt: skip
LOG = logging.getLogger("afterfit.web")


class Route_(NamedTuple):  # noqa: N801 - a route before Starlette has it
    """A page: its path, and what makes it of path and query."""

    path: str
    make: Maker


def _page(query: Query) -> int:
    text = query.get("page", "1")
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_PAGE:
        raise UsageError(f"no page is called {text[:40]!r}", fix="page=1")
    return int(text[:9])


def _filter(query: Query) -> signals.Filter:
    names = ("endpoint", "model", "version", "slice", "signal")
    version = query.get("version", "")
    if version and not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise UsageError(f"no version is called {version[:40]!r}", fix="version=1")
    return signals.Filter(**{name: query.get(name, "") for name in names})


def _rollouts(site: Site, query: Query) -> View:
    # Here, because it alone takes the statistics of a comparison, and nobody should wait for them.
    from afterfit.web.pages import rollouts

    return rollouts.rollouts(site, _page(query))


def _shown(path: Path_) -> models.Shown:
    for each in get_args(models.Shown):
        if path["shown"] == each:
            found: models.Shown = each
            return found
    raise NotFoundError("there is no such page of a version", fix="release, card or score")


PAGES: tuple[Route_, ...] = (
    Route_("/", lambda site, _, __: overview.overview(site)),
    Route_("/models/{name}", lambda site, p, q: models.model(site, p["name"], _page(q))),
    Route_(
        "/models/{name}/{number:int}",
        lambda site, p, _: models.version_page(site, p["name"], p["number"]),
    ),
    Route_(
        "/models/{name}/{number:int}/{shown}",
        lambda site, p, _: models.version_report(site, p["name"], p["number"], _shown(p)),
    ),
    Route_("/endpoints", lambda site, _, __: endpoints.endpoints(site)),
    Route_("/rollouts", lambda site, _, q: _rollouts(site, q)),
    Route_("/loads", lambda site, _, __: endpoints.loads(site)),
    Route_("/signals", lambda site, _, q: signals.signals(site, _filter(q), _page(q))),
    Route_(
        "/signals/series",
        lambda site, _, q: signals.series(site, _filter(q), q.get("subject", "")),
    ),
    Route_("/alarms", lambda site, _, q: alarms.alarms(site, q.get("model", ""), _page(q))),
    Route_("/alarms/{id}", lambda site, p, _: alarms.story(site, p["id"])),
    Route_(
        "/records",
        lambda site, _, q: records.records(site, q.get("step", ""), q.get("subject", ""), _page(q)),
    ),
    Route_("/records/{digest}", lambda site, p, _: records.record(site, p["digest"])),
)


def application(site: Site, hosts: Hosts, door: Door) -> ASGIApp:
    """Return the application; every answer of it, errors too, has the headers that guard it."""
    routes: list[BaseRoute] = [
        Route("/static/{name}", _static, methods=["GET"]),
        Route("/login", partial(_login, door), methods=["GET", "POST"]),
        Route("/logout", partial(_logout, door), methods=["POST"]),
    ]
    for page in PAGES:
        told = "/index.json" if page.path == "/" else f"{page.path}.json"
        for path, is_json in ((told, True), (page.path, False)):
            handler = partial(_show, site, page.make, is_json=is_json)
            routes.append(Route(path, handler, methods=["GET"]))
    inner = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    return Guarded(inner, hosts, door)


class Guarded:
    """The application behind its door."""

    def __init__(self, app: ASGIApp, hosts: Hosts, door: Door) -> None:
        self.app = app
        self.hosts = hosts
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say why not."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = dict(scope["headers"])
        refused = self._refusal(scope, headers)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(k.encode(), v.encode()) for k, v in HEADERS]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        app: ASGIApp = self.app if refused is None else refused
        return await app(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> Response | None:
        path, is_json = scope["path"], _wants_json(scope["path"], headers)
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self.hosts.allow(hosts[0].decode("latin-1")):
            problem = Problem(
                421, "this server is not the host that was asked for",
                why="another site could read it through a name of its own",
                fix="ask for its address, or start it with --allow-host NAME",
            )  # fmt: skip
            return _answer(problem, is_json=is_json, status=421)
        if path.startswith("/static/") or path in {"/login", "/logout"}:
            return None
        found = self.door.enter(headers)
        if isinstance(found, Refusal):
            return _unknown(found, scope, is_json=is_json)
        scope.setdefault("state", {})["user"] = found.name
        return None


async def _show(site: Site, make: Maker, request: Request, *, is_json: bool) -> Response:
    """Return a page, or what went wrong as one."""
    is_json = is_json or _wants_json(request.url.path, dict(request.scope["headers"]))
    user = getattr(request.state, "user", "")
    return await run_in_threadpool(_made, site, make, request, is_json=is_json, user=user)


def _made(site: Site, make: Maker, request: Request, *, is_json: bool, user: str) -> Response:
    try:
        view = make(site, request.path_params, request.query_params)
        return _answer(
            view, is_json=is_json, user=user, known=request.headers.get("if-none-match", "")
        )
    except AfterfitError as error:
        status = STATUS.get(error.kind, 500)
        problem = Problem(status, error.message, error.where, error.why, error.fix)
    except Exception:
        LOG.exception("a page could not be made: %s", request.url.path)
        problem = Problem(
            500, "this page could not be made", fix="see what the dashboard wrote to its log"
        )
    return _answer(problem, is_json=is_json, status=problem.status, user=user)


def _answer(
    view: View, *, is_json: bool, status: int = 200, user: str = "", known: str = "", **headers: str
) -> Response:
    body = render.json(view) if is_json else render.html(view, user=user).encode("utf-8", "replace")
    kind = "application/json" if is_json else "text/html; charset=utf-8"
    tag = f'"{sha256_bytes(body)[:32]}"'
    told = {"etag": tag, "cache-control": "private, no-cache", "vary": "accept, cookie"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    if status == 200 and known == tag:
        return Response(status_code=304, headers=told)
    return Response(body, status, told, media_type=kind)


def _unknown(refusal: Refusal, scope: Scope, *, is_json: bool) -> Response:
    """Return what somebody without a key that counts is told: a page leads to the way in."""
    told = {name.replace("-", "_"): value for name, value in refusal.headers}
    if is_json or refusal.status != 401:
        problem = Problem(
            refusal.status, refusal.message, fix="afterfit key create NAME --role view"
        )
        return _answer(problem, is_json=is_json, status=refusal.status, **told)
    asked = scope["path"] + (
        f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    )
    following = safe_path(asked)
    from afterfit.web.parts import address

    return Response(status_code=303, headers={"location": address("login", following=following)})


def _wants_json(path: str, headers: Mapping[bytes, bytes]) -> bool:
    return path.endswith(".json") or headers.get(b"accept", b"").startswith(b"application/json")


async def _static(request: Request) -> Response:
    path, kind = STATIC.get(request.path_params["name"], (None, ""))
    if path is None:
        raise HTTPException(404)
    body = path.read_bytes()
    tag = f'"{sha256_bytes(body)[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=kind)


async def _login(door: Door, request: Request) -> Response:
    """Return the form, or the session of somebody who showed a key."""
    following = safe_path(request.query_params.get("following", "/"))
    if request.method != "POST":
        return _answer(Login(following), is_json=False)
    headers = dict(request.scope["headers"])
    if not same_origin(headers):
        return _answer(
            Problem(403, "a form of another site was sent here"), is_json=False, status=403
        )
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM:
            return _answer(Problem(400, "too long for a key"), is_json=False, status=400)
    form = parse_qs(body.decode("utf-8", "replace"))
    found = door.open(form.get("key", [""])[0])
    if isinstance(found, Refusal):
        told = Login(following, found.message)
        return _answer(told, is_json=False, status=found.status)
    return Response(status_code=303, headers={"location": following, "set-cookie": found[1]})


async def _logout(door: Door, request: Request) -> Response:
    headers = dict(request.scope["headers"])
    if not same_origin(headers):
        return _answer(
            Problem(403, "a form of another site was sent here"), is_json=False, status=403
        )
    return Response(
        status_code=303, headers={"location": "/login", "set-cookie": door.close(headers)}
    )


async def _refused(request: Request, error: Exception) -> Response:
    """Return a path or method that there is not, as a page."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    is_json = _wants_json(request.url.path, dict(request.scope["headers"]))
    message = "pages are only read here" if status == 405 else "there is no such page"
    return _answer(Problem(status, message, fix="begin at /"), is_json=is_json, status=status)
