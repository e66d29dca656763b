"""Small HTTP clients on the standard library: of a server, and of its admin API."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
    error_from,
)
from afterfit.runtime.endpoint import Endpoint
from afterfit.runtime.lease import Lease
from afterfit.runtime.ledger import Status

__all__ = ["AdminClient", "Client", "HttpReply"]


class HttpReply(NamedTuple):
    """An answer; ``seconds`` from the first byte sent to the last byte read."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Return the body as plain values."""
        return msgspec.json.decode(self.body)


class Client:
    """One kept-alive connection; ``address`` is a URL or ``unix:PATH``. Not for several threads.

    ``key`` is an API key, for a server that asks for one.
    """

    def __init__(self, address: str, *, timeout: float = 30.0, key: str = "") -> None:
        self.address = address
        self.timeout = timeout
        self._always = {"authorization": f"Bearer {key}"} if key else {}
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> HttpReply:
        """Return the answer; raises UnavailableError where nobody answers.

        Header names are given with ``_`` for ``-``. A kept connection that the server has closed
        meanwhile is opened again once.
        """
        fresh = self._connection is None
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | self._always
        try:
            return self._exchange(method, path, body, sent)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if fresh or not isinstance(error, ConnectionError | http.client.BadStatusLine):
                raise self._unavailable(error) from None
        try:
            return self._exchange(method, path, body, sent)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unavailable(error) from None

    def get(self, path: str) -> HttpReply:
        """Return the answer to a GET."""
        return self.request("GET", path)

    def post(self, path: str, document: Any) -> HttpReply:
        """Return the answer to a POST of JSON."""
        body = msgspec.json.encode(document)
        return self.request("POST", path, body, content_type="application/json")

    def predict(self, rows: Sequence[Mapping[str, Any]], path: str = "/predict") -> dict[str, Any]:
        """Return the document of ``POST /predict``; raises what the status stands for."""
        reply = self.post(path, {"rows": list(rows)})
        document: dict[str, Any] = reply.json()
        if reply.status != 200:
            raise _refusal(reply.status, document, f"{self.address}{path}")
        return document

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> HttpReply:
        connection = self._connection or _connect(self.address, self.timeout)
        self._connection = connection
        started = time.perf_counter()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        spent = time.perf_counter() - started
        named = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            self.close()
        return HttpReply(response.status, named, content, spent)

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            "the server does not answer",
            where=self.address,
            why=str(error) or repr(error),
            fix="look at the address, and whether the server runs",
        )


def _refusal(status: int, document: dict[str, Any], where: str) -> AfterfitError:
    """Return what an answer that is not 200 means to the caller."""
    kind, fix = _REFUSALS.get(status, (UnavailableError, "look at the server's own log"))
    fields = [f"{field['path']}: {field['message']}" for field in document.get("fields", ())]
    why = f"status {status}" + (f"; {'; '.join(fields)}" if fields else "")
    return kind(str(document.get("error", "the server refuses")), where=where, why=why, fix=fix)


_SIGNATURE = "send what the signature takes; GET /openapi.json has it"
_REFUSALS: dict[int, tuple[type[AfterfitError], str]] = {
    400: (InputError, _SIGNATURE),
    401: (ForbiddenError, "send a key as `authorization: Bearer KEY`; see: afterfit key create"),
    403: (ForbiddenError, "ask for a key with that role; see: afterfit key create --help"),
    404: (NotFoundError, "see what is served: GET /version"),
    413: (InputError, "send fewer rows a request"),
    422: (InputError, _SIGNATURE),
    429: (UnavailableError, "try again after the seconds of its retry-after header"),
    504: (UnavailableError, "allow more time, or send fewer requests at once"),
}


class AdminClient:
    """Reads and changes the endpoint document of a running server."""

    def __init__(self, address: str, token: str = "", *, timeout: float = 150.0) -> None:
        self.address = address
        self._token = token
        self._timeout = timeout

    def get(self) -> Endpoint:
        """Return the document that serves; raises UnavailableError."""
        return self._document(self._request("GET", "/admin/v1/endpoint"))

    def put(self, endpoint: Endpoint, generation: int | None = None) -> Endpoint:
        """Return the document after the change; raises ConflictError, or what a worker raised.

        ``generation`` is the one that the change is based on: the document's own where None.
        """
        based_on = endpoint.generation if generation is None else generation
        body = msgspec.json.encode(endpoint)
        reply = self._request("PUT", "/admin/v1/endpoint", body, if_match=f'"{based_on}"')
        return self._document(reply)

    def hold(self, lease: Lease) -> bool:
        """Return whether the server took a lease of a canary; one of an older version does not.

        Raises UnavailableError.
        """
        body = msgspec.json.encode(lease)
        return self._request("PUT", "/admin/v1/lease", body).status == 200

    def workers(self) -> dict[str, Any]:
        """Return ``workers`` (slot, pid, ready of each) and ``restarts``."""
        document: dict[str, Any] = self._request("GET", "/admin/v1/workers").json()
        return document

    def status(self) -> Status:
        """Return what serves and what was counted; raises UnavailableError."""
        reply = self._request("GET", "/admin/v1/status")
        if reply.status != 200:
            self._document(reply)
        return msgspec.json.decode(reply.body, type=Status)

    def _request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> HttpReply:
        # A change may take as long as a model takes to load, so connections are not kept.
        with Client(self.address, timeout=self._timeout, key=self._token) as client:
            return client.request(method, path, body, **headers)

    def _document(self, reply: HttpReply) -> Endpoint:
        if reply.status == 200:
            return msgspec.json.decode(reply.body, type=Endpoint)
        fields = {key: str(value) for key, value in reply.json().items()}
        if reply.status == 412:
            raise ConflictError(
                fields.get("message", "conflict"),
                why=fields.get("why", ""),
                fix="read the document again, and change that",
            )
        raise error_from(
            {"message": fields.get("error", f"status {reply.status}"), **fields}, UnavailableError
        )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connect(address: str, timeout: float) -> http.client.HTTPConnection:
    if address.startswith("unix:"):
        return _UnixConnection(address.removeprefix("unix:"), timeout)
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    connection.connect()
    # Without it the kernel waits for more bytes between the header and a small body.
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
