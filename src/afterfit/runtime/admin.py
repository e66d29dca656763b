"""The admin API: reads and changes the endpoint document of a running server.

It has a socket of its own: a unix socket of mode 0600, or a loopback port with a bearer token.
``PUT /admin/v1/endpoint`` wants ``If-Match: GENERATION``, so that two changes cannot cross.
``PUT /admin/v1/lease`` says that somebody watches a canary: see `afterfit.runtime.lease`.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    InternalError,
    UnavailableError,
    UsageError,
)
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.http import HttpLimits, Request, Response, Server, json_response
from afterfit.runtime.lease import Lease, Leases
from afterfit.runtime.settings import ServerSettings
from afterfit.runtime.supervisor import Supervisor, listen

__all__ = ["AdminApp", "start_admin"]

LIMITS = HttpLimits(body_bytes=1 << 20, connections=32)


class AdminApp:
    """The handler of the admin server; without a ``token`` the socket itself is the guard."""

    def __init__(self, supervisor: Supervisor, token: str = "") -> None:
        self.supervisor = supervisor
        self.token = token.encode()
        self.leases = Leases(supervisor)

    async def __call__(self, request: Request) -> Response:
        """Return the answer."""
        if not self._allowed(request):
            return json_response(401, {"error": "a bearer token is required"})
        reads: dict[str, Callable[[], Response]] = {
            "/admin/v1/endpoint": lambda: _document(self.supervisor.endpoint),
            "/admin/v1/status": lambda: json_response(200, self.supervisor.status()),
            "/admin/v1/workers": self._workers,
        }
        if (request.method, request.path) == ("PUT", "/admin/v1/lease"):
            return self._hold(request)
        read = reads.get(request.path)
        if read is None:
            return json_response(404, {"error": f"there are {', '.join(reads)}"})
        if request.method == "GET":
            return read()
        if request.method == "PUT" and request.path == "/admin/v1/endpoint":
            return await self._put(request)
        return json_response(405, {"error": "GET or PUT"}, (("allow", "GET, PUT"),))

    def _allowed(self, request: Request) -> bool:
        if not self.token:
            return True
        given = request.headers.get(b"authorization", b"")
        return hmac.compare_digest(given, b"Bearer " + self.token)

    async def _put(self, request: Request) -> Response:
        try:
            generation = int(request.headers[b"if-match"].strip(b'" W/'))
        except (KeyError, ValueError):
            return json_response(428, {"error": "send If-Match: GENERATION, as GET tells it"})
        try:
            wanted = msgspec.json.decode(request.body, type=Endpoint)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return json_response(400, {"error": f"not an endpoint document: {error}"})
        try:
            return _document(await self.supervisor.apply(wanted, generation))
        except AfterfitError as error:
            return json_response(_status(error), {"error": error.message, **error.as_dict()})

    def _hold(self, request: Request) -> Response:
        try:
            lease = msgspec.json.decode(request.body, type=Lease)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return json_response(400, {"error": f"not a lease: {error}"})
        self.leases.hold(lease)
        return json_response(200, lease)

    def _workers(self) -> Response:
        workers = [
            {"slot": worker.slot, "pid": worker.pid, "ready": worker.ready}
            for worker in self.supervisor.workers.values()
        ]
        return json_response(200, {"workers": workers, "restarts": self.supervisor.restarts})


async def start_admin(supervisor: Supervisor, settings: ServerSettings) -> str:
    """Return the address of the started admin API: ``unix:PATH``, a URL, or empty for none."""
    if settings.admin == "none":
        return ""
    if settings.admin == "port" and not settings.admin_token:
        raise UsageError("an admin port needs a token", where="admin_token", fix='admin = "socket"')
    server = Server(AdminApp(supervisor, settings.admin_token), LIMITS)
    loop = asyncio.get_running_loop()
    if settings.admin == "port":
        listener = listen("127.0.0.1", settings.admin_port)
        await loop.create_server(server.connection, sock=listener)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener = _unix_listener(Path(settings.admin_socket))
    await loop.create_unix_server(server.connection, sock=listener)
    return f"unix:{settings.admin_socket}"


def _unix_listener(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mask holds from the moment that the socket exists; a chmod after bind would come late.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise UsageError(
            "the admin socket cannot be made",
            where=str(path),
            why=str(error),
            fix="choose a path of fewer than 100 characters in a folder that can be written",
        ) from None
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def _document(endpoint: Endpoint) -> Response:
    return json_response(200, endpoint, (("etag", f'"{endpoint.generation}"'),))


def _status(error: AfterfitError) -> int:
    if error.code == "unsupported":
        return 501
    statuses: dict[type[AfterfitError], int] = {
        ConflictError: 412,
        UsageError: 400,
        UnavailableError: 503,
        InternalError: 500,
    }
    return statuses.get(type(error), 422)
