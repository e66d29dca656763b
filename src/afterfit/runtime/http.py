"""HTTP/1.1 on asyncio protocols and the httptools parser: what a model server needs, and no more.

One connection is one ``Connection``. Requests that arrive together are answered in order. Limits
hold before memory is spent: header and body bytes, seconds, connections. What a handler raises
becomes a 500 without its text.
"""

from __future__ import annotations

import asyncio
import time
import traceback
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, NamedTuple

import httptools
import msgspec

from afterfit.core.event import new_id
from afterfit.runtime.log import log_line

__all__ = ["Connection", "HttpLimits", "Request", "Response", "Server", "json_response"]

REASONS = {status.value: status.phrase for status in HTTPStatus}
JSON = "application/json"
MAX_PIPELINED = 64
LINGER_SECONDS = 2.0
_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and seconds that one client may take, and how many clients there may be."""

    header_bytes: int = 32 << 10
    body_bytes: int = 16 << 20
    request_seconds: float = 20.0
    idle_seconds: float = 75.0
    write_seconds: float = 30.0
    connections: int = 2048


class Request:
    """One whole request; header names are lower-case bytes; ``received`` is perf_counter seconds."""

    __slots__ = ("body", "headers", "id", "method", "path", "received")

    def __init__(self, method: str, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.received = time.perf_counter()
        self.id = request_id(headers.get(b"x-request-id", b""))


class Response(NamedTuple):
    """What a handler answers; ``headers`` are beside content type, length, date and request id."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Response | Awaitable[Response]]
Observer = Callable[[int], None]


def json_response(status: int, value: Any, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a response of compact JSON; msgspec writes NaN and infinities as null."""
    return Response(status, msgspec.json.encode(value), JSON, headers)


def request_id(given: bytes) -> str:
    """Return the client's id with only letters, digits and ``-_.:``, cut at 128, or a new one."""
    kept = bytes(c for c in given[:128] if c in _ID_CHARACTERS)
    return kept.decode() if kept else new_id()


class Server:
    """Connections that share a handler and limits; made once a process.

    ``refused`` is called with the status of each answer that no handler saw (400, 408, 413, 431,
    503), so that they are counted too.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        refused: Observer = lambda _: None,
    ) -> None:
        self.handler = handler
        self.limits = limits or HttpLimits()
        self.refused = refused
        self.connections: set[Connection] = set()
        self.closing = False
        self.empty = asyncio.Event()
        self._date = (0, b"")
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def connection(self) -> Connection:
        """Return a new protocol object: the factory of a connection."""
        return Connection(self)

    def date(self) -> bytes:
        """Return the Date header line, made anew each second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, f"date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._date[1]

    async def close(self, grace_seconds: float = 25.0) -> int:
        """Finish what is in flight, close what is idle; return how many had to be cut off."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_when_idle()
        if self.connections:
            self.empty.clear()
            try:
                await asyncio.wait_for(self.empty.wait(), grace_seconds)
            except TimeoutError:
                pass
        left = list(self.connections)
        for connection in left:
            connection.abort()
        self._sweeper.cancel()
        return len(left)

    def forget(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    async def _sweep(self) -> None:
        # One timer for all connections costs less than one for each request.
        interval = min(1.0, self.limits.request_seconds / 4, self.limits.idle_seconds / 4)
        while True:
            await asyncio.sleep(interval)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.check_time(now)


class Connection(asyncio.Protocol):
    """One client: bytes to requests, responses to bytes, in order."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser: Any = httptools.HttpRequestParser(self)
        self.pending: deque[_Answer] = deque()
        self.last = False
        self.active_since: float | None = None
        self.idle_since = time.monotonic()
        self.blocked_since: float | None = None
        self.lingers_since: float | None = None
        self._new_message()

    def connection_made(self, transport: Any) -> None:
        """Keep the transport; beyond the limit of connections answer 503."""
        self.transport = transport
        full = len(self.server.connections) >= self.server.limits.connections
        self.server.connections.add(self)
        if full or self.server.closing:
            self._refuse(503, "too many connections" if full else "the server is stopping")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Cancel what nobody waits for any more."""
        self.last = True
        for answer in self.pending:
            if isinstance(answer.response, asyncio.Task):
                answer.response.cancel()
        self.pending.clear()
        self.server.forget(self)

    def data_received(self, data: bytes) -> None:
        """Parse some bytes and answer each request that they complete."""
        if self.last:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The message was answered as HTTP/1.1; what follows would be another protocol.
            self._finish_after_pending()
        except httptools.HttpParserError:
            if self.refusal is None:
                self.refusal = (400, "not a valid HTTP/1.1 request")
        if self.refusal is None and not self.headers_done:
            self.header_bytes += len(data) if self.started else 0
            if self.header_bytes > self.server.limits.header_bytes:
                self.refusal = (431, "the request header is too large")
        if self.refusal is not None:
            self._refuse(*self.refusal)

    def eof_received(self) -> bool:
        """Keep the write side open while answers are due."""
        self.last = True
        return bool(self.pending) and self.lingers_since is None

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        self.blocked_since = time.monotonic()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self.blocked_since = None
        if len(self.pending) < MAX_PIPELINED:
            self.transport.resume_reading()

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._new_message()
        self.started = True
        self.active_since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; of several with one name the first counts."""
        self._count_header(len(name) + len(value) + 4)
        if self.refusal is None:
            self.headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Refuse by the declared length, and tell a waiting client to go on."""
        self.headers_done = True
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self.server.limits.body_bytes:
            self.refusal = (413, self._too_large())
        expects = self.headers.get(b"expect", b"").lower() == b"100-continue"
        if expects and self.refusal is None and not self.pending:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, up to the limit."""
        self.body_bytes += len(body)
        if self.body_bytes > self.server.limits.body_bytes:
            self.refusal = self.refusal or (413, self._too_large())
        elif self.refusal is None:
            self.body.append(body)

    def on_message_complete(self) -> None:
        """Hand the request to the handler."""
        if self.refusal is not None or self.last:
            return
        method = self.parser.get_method().decode("ascii", "replace")
        keep = bool(self.parser.should_keep_alive()) and not self.server.closing
        self.started = self.headers_done = False
        self.header_bytes = 0
        self.active_since = None
        body = self.body[0] if len(self.body) == 1 else b"".join(self.body)
        self.body = []
        request = Request(method, _path(self.url), self.headers, body)
        response = self._inflate(request) or self._call(request)
        self.pending.append(_Answer(request, response, keep))
        if len(self.pending) >= MAX_PIPELINED:
            self.transport.pause_reading()
        self._flush()

    # Answers.

    def close_when_idle(self) -> None:
        """Close now, or after the answers that are due."""
        if self.pending or self.active_since is not None or self.lingers_since is not None:
            return
        self.last = True
        self.transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abort()

    def check_time(self, now: float) -> None:
        """Answer 408 to a slow request; close what has been idle or blocked for too long."""
        limits = self.server.limits
        if self.lingers_since is not None:
            if now - self.lingers_since > LINGER_SECONDS:
                self.transport.abort()
        elif self.blocked_since is not None:
            if now - self.blocked_since > limits.write_seconds:
                self.transport.abort()
        elif self.active_since is not None:
            if now - self.active_since > limits.request_seconds:
                self._refuse(408, "the request did not arrive in time")
        elif not self.pending and now - self.idle_since > limits.idle_seconds:
            self.transport.close()

    def _new_message(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.header_bytes = 0
        self.started = False
        self.headers_done = False
        self.refusal: tuple[int, str] | None = None

    def _count_header(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > self.server.limits.header_bytes:
            self.refusal = (431, "the request header is too large")

    def _too_large(self) -> str:
        return f"the body is larger than {self.server.limits.body_bytes} bytes"

    def _call(self, request: Request) -> Response | asyncio.Task[Response]:
        try:
            result = self.server.handler(request)
        except Exception:
            return _failed(request)
        if isinstance(result, Response):
            return result
        task: asyncio.Task[Response] = asyncio.ensure_future(result)  # type: ignore[assignment]
        task.add_done_callback(lambda _: self._flush())
        return task

    def _inflate(self, request: Request) -> Response | None:
        encoding = request.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding == b"identity":
            return None
        if encoding not in (b"gzip", b"deflate"):
            self.server.refused(415)
            return json_response(415, {"error": "content-encoding: gzip, deflate or identity"})
        limit = self.server.limits.body_bytes
        inflater = zlib.decompressobj(wbits=47)
        try:
            request.body = inflater.decompress(request.body, limit + 1)
        except zlib.error:
            self.server.refused(400)
            return json_response(400, {"error": f"the body is not {encoding.decode()}"})
        if len(request.body) > limit:
            self.server.refused(413)
            return json_response(413, {"error": self._too_large()})
        if not inflater.eof:
            self.server.refused(400)
            return json_response(400, {"error": "the compressed body ends too early"})
        return None

    def _flush(self) -> None:
        while self.pending and (response := self.pending[0].ready()) is not None:
            answer = self.pending.popleft()
            keep = answer.keep_alive and not self.server.closing
            self._write(response, answer.request, keep=keep)
            if not keep:
                self.last = True
                self.pending.clear()
                self.transport.close()
                return
        if self.last and not self.pending:
            self.transport.close()
        elif self.blocked_since is None and len(self.pending) < MAX_PIPELINED:
            self.transport.resume_reading()
        self.idle_since = time.monotonic()

    def _write(self, response: Response, request: Request | None, *, keep: bool) -> None:
        status, body, content_type, extra = response
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\ncontent-type: {content_type}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in extra]
        if request is not None:
            lines.append(f"x-request-id: {request.id}\r\n")
        if not keep:
            lines.append("connection: close\r\n")
        lines.append(f"content-length: {len(body)}\r\n")
        head = "".join(lines).encode("latin-1") + self.server.date() + b"\r\n"
        hide = request is not None and request.method == "HEAD"
        self.transport.write(head if hide else head + body)

    def _refuse(self, status: int, message: str) -> None:
        if self.last:
            return
        self.last = True
        self.active_since = None
        self.server.refused(status)
        self.pending.clear()
        self._write(json_response(status, {"error": message}), None, keep=False)
        # Closing now, with bytes of the client unread, would reset the connection and so destroy
        # the answer on its way (RFC 9112, 9.6). Read on for a moment and throw away.
        self.lingers_since = time.monotonic()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _finish_after_pending(self) -> None:
        if self.pending:
            self.last = True
        elif not self.last:
            self.last = True
            self.transport.close()


class _Answer:
    """A request and its response, which may still be a task."""

    __slots__ = ("keep_alive", "request", "response")

    def __init__(
        self,
        request: Request,
        response: Response | asyncio.Task[Response],
        keep_alive: bool,  # noqa: FBT001 - private, one caller
    ) -> None:
        self.request = request
        self.response = response
        self.keep_alive = keep_alive

    def ready(self) -> Response | None:
        """Return the response, or None while it is being made."""
        if isinstance(self.response, Response):
            return self.response
        if not self.response.done():
            return None
        if self.response.cancelled():
            return json_response(503, {"error": "the request was cancelled"})
        if self.response.exception() is not None:
            return _failed(self.request, self.response.exception())
        return self.response.result()


def _failed(request: Request, error: BaseException | None = None) -> Response:
    """Return a 500 that tells nothing; the log has the trace under the same request id."""
    trace = traceback.format_exception(error) if error else [traceback.format_exc()]
    log_line({"event": "error", "request_id": request.id, "trace": "".join(trace)})
    return json_response(500, {"error": "internal error", "request_id": request.id})


def _path(url: bytes) -> str:
    """Return the path of a request target, without query, scheme and host."""
    target = url.split(b"?", 1)[0].split(b"#", 1)[0]
    if not target.startswith(b"/") and b"://" in target:
        target = b"/" + target.split(b"://", 1)[1].partition(b"/")[2]
    return target.decode("ascii", "replace")
