"""A small client of MLflow's REST interface: JSON in and out, files up and down.

Nothing is followed to another address, so credentials go to the named server only. Questions are
asked again after an answer of 429 or 5xx; what changes something is sent once, because whoever
calls looks first whether it is there already. Source: MLflow REST API 2.0.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from afterfit.core.shell import shell_word
from afterfit.errors import (
    AfterfitError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
)
from afterfit.registry.mlflow.address import Server

__all__ = ["Client"]

_API = "/api/2.0/mlflow"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_CHUNK = 1 << 20
_MOST_JSON = 64 << 20
_TRIES = 3
_AGAIN = {429, 500, 502, 503, 504}
_CODES: dict[str, type[AfterfitError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFoundError,
    "ENDPOINT_NOT_FOUND": NotFoundError,
    "FEATURE_DISABLED": NotFoundError,
    "RESOURCE_ALREADY_EXISTS": ConflictError,
    "PERMISSION_DENIED": ForbiddenError,
    "UNAUTHENTICATED": ForbiddenError,
    "INVALID_PARAMETER_VALUE": InputError,
}


class Client:
    """Asks one server; ``sleep`` waits some seconds before it is asked again."""

    def __init__(self, server: Server, sleep: Callable[[float], None] = time.sleep) -> None:
        self.server = server
        self._sleep = sleep

    def get(self, path: str, /, **asked: Any) -> dict[str, Any]:
        """Return the answer to a question such as ``model-versions/get``."""
        return self._json("GET", f"{_API}/{path}?{urlencode(asked)}", None)

    def search(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a question that MLflow takes as POST."""
        return self._json("POST", f"{_API}/{path}", body, again=True)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a change; it is sent once."""
        return self._json("POST", f"{_API}/{path}", body)

    def version(self) -> str:
        """Return the version of MLflow that the server tells; empty where it tells none."""
        try:
            with self._ask("GET", "/version", again=True) as answer:
                told = answer.read(100).decode(errors="replace").strip()
        except (NotFoundError, ForbiddenError, InputError, UnavailableError):
            return ""
        return told if re.fullmatch(r"\d+(\.\w+)*", told) else ""

    def listing(self, path: str) -> list[dict[str, Any]]:
        """Return the files that the server's proxy of artifacts has below ``path``."""
        told = self._json("GET", f"{_PROXY}?{urlencode({'path': path})}", None)
        return _objects(told.get("files"))

    @contextmanager
    def artifact(self, path: str) -> Iterator[Iterator[bytes]]:
        """Give the bytes of a file of the proxy in pieces."""
        with self._ask("GET", f"{_PROXY}/{_quoted(path)}", again=True) as answer:
            yield _pieces(answer, self.server.host)

    def upload(self, path: str, body: IO[bytes], size: int) -> None:
        """Send a file to the proxy of artifacts, in place of what was there."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with self._ask("PUT", f"{_PROXY}/{_quoted(path)}", body=body, headers=headers) as answer:
            answer.read()

    @contextmanager
    def elsewhere(self, url: str, headers: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """Give the bytes behind an address that the server signed; no credentials are sent."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not self.server.is_local:
            raise ForbiddenError(
                "the server sends to an address without TLS", where=parts.netloc,
                why="the model could be exchanged on the way",
                fix="ask who runs the server for an address with https",
            )  # fmt: skip
        with self._send("GET", url, None, headers) as answer:
            if answer.status != 200:
                raise self._error(answer, f"{parts.netloc}{parts.path}")
            yield _pieces(answer, parts.netloc)

    def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, again: bool = False
    ) -> dict[str, Any]:
        sent = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        asked = again or method == "GET"
        with self._ask(method, path, body=sent, headers=headers, again=asked) as answer:
            told = answer.read(_MOST_JSON + 1)
        try:
            found = json.loads(told) if told.strip() else {}
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or len(told) > _MOST_JSON:
            raise UnavailableError(
                f"{self.server.host} does not answer as MLflow does",
                where=self._where(path),
                why=f"its answer is no JSON object: {_first(told)}",
                fix="look at MLFLOW_TRACKING_URI: is a proxy or a login page before the server?",
            )
        return found

    @contextmanager
    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        again: bool = False,
    ) -> Iterator[http.client.HTTPResponse]:
        sent = {"Accept": "application/json", **(headers or {})}
        if self.server.authorization:
            sent["Authorization"] = self.server.authorization
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1 or not again
            with self._send(method, self.server.url + path, body, sent) as answer:
                if answer.status < 300:
                    yield answer
                    return
                error = self._error(answer, self._where(path))
                if last or answer.status not in _AGAIN:
                    raise error
            self._sleep(0.2 * 4**attempt)

    @contextmanager
    def _send(
        self, method: str, url: str, body: bytes | IO[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        parts = urlsplit(url)
        connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            try:
                connection.request(method, target, body=body, headers=dict(headers))
                answer = connection.getresponse()
            except ssl.SSLError as error:
                raise self._tls(error, parts.netloc) from None
            except (OSError, http.client.HTTPException) as error:
                raise UnavailableError(
                    f"{parts.netloc} does not answer",
                    where=f"{parts.scheme}://{parts.netloc}",
                    why=str(error) or type(error).__name__,
                    fix=f"look at the address: curl -sS {shell_word(self.server.url)}/version",
                ) from None
            yield answer
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=self.server.timeout_s)
        return http.client.HTTPSConnection(
            host, port, timeout=self.server.timeout_s, context=self._context()
        )

    def _context(self) -> ssl.SSLContext:
        server = self.server
        try:
            context = ssl.create_default_context(cafile=server.ca_file or None)
            if server.client_cert:
                context.load_cert_chain(server.client_cert)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "a certificate for the MLflow server cannot be read",
                where=server.ca_file or server.client_cert,
                why=str(error),
                fix="MLFLOW_TRACKING_SERVER_CERT_PATH and _CLIENT_CERT_PATH name PEM files",
            ) from None
        if not server.check_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _tls(self, error: ssl.SSLError, host: str) -> UnavailableError:
        return UnavailableError(
            f"{host} cannot be trusted by TLS",
            where=host,
            why=getattr(error, "verify_message", "") or error.reason or str(error),
            fix="export MLFLOW_TRACKING_SERVER_CERT_PATH=ca.pem   # the certificate that signed it",
        )

    def _where(self, path: str) -> str:
        return self.server.url + path.partition("?")[0]

    def _error(self, answer: http.client.HTTPResponse, where: str) -> AfterfitError:
        status, body = answer.status, answer.read(65_536)
        code, message = _told(body)
        why = f"it answered {status}" + (f": {message}" if message else "")
        if 300 <= status < 400:
            to = urlsplit(answer.headers.get("Location", "")).netloc or "another address"
            return UnavailableError(
                f"{self.server.host} sends to {to}", where=where, why=why,
                fix="a login page or a proxy is before it: set MLFLOW_TRACKING_URI to the server, "
                "and MLFLOW_TRACKING_TOKEN",
            )  # fmt: skip
        kind = ForbiddenError if status in {401, 403} else _CODES.get(code)
        if kind is None:
            kind = NotFoundError if status == 404 else UnavailableError
        return kind(_WHAT[kind].format(host=self.server.host), where=where, why=why,
                    fix=_FIXES[kind])  # fmt: skip


_WHAT: dict[type[AfterfitError], str] = {
    ForbiddenError: "{host} refuses",
    NotFoundError: "{host} has no such thing",
    ConflictError: "{host} has it already",
    InputError: "{host} does not take what was asked",
    UnavailableError: "{host} failed",
}
_FIXES: dict[type[AfterfitError], str] = {
    ForbiddenError: "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN",
    NotFoundError: "look at the name, the version and the alias in MLflow",
    ConflictError: "run the same command again: what is there is kept",
    InputError: "look at what it says; `afterfit mlflow check` tells its version",
    UnavailableError: "look at the server's log, then run the same command again",
}


def _told(body: bytes) -> tuple[str, str]:
    """Return MLflow's code and message of an error; of another body its first words."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return "", _first(body)
    if not isinstance(told, dict):
        return "", _first(body)
    return str(told.get("error_code", "")), str(told.get("message", ""))[:300]


def _first(body: bytes) -> str:
    words = " ".join(re.sub(r"<[^>]*>", " ", body[:2000].decode(errors="replace")).split())
    return "".join(c for c in words if c.isprintable())[:120] or "nothing"


def _objects(told: Any) -> list[dict[str, Any]]:
    return [each for each in told or [] if isinstance(each, dict)]


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path.strip("/"))


def _pieces(answer: http.client.HTTPResponse, host: str) -> Iterator[bytes]:
    """Yield the bytes of an answer; one that ends early is an UnavailableError."""
    try:
        while piece := answer.read(_CHUNK):
            yield piece
        if answer.length:
            raise UnavailableError(
                f"{host} stopped in the middle of a file", why=f"{answer.length} bytes are missing",
                fix="run the same command again",
            )  # fmt: skip
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"{host} stopped in the middle of a file", why=str(error) or type(error).__name__,
            fix="run the same command again",
        ) from None  # fmt: skip
