"""One HTTP/1.1 connection: bytes to requests, responses to bytes, in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

import httptools

from afterfit.runtime.arriving import Message
from afterfit.runtime.compress import LEAST_BYTES, compressed, inflate
from afterfit.runtime.due import Due, Promise, failed, target_of
from afterfit.runtime.heads import Head, HeadMemo
from afterfit.runtime.messages import Handler, HttpLimits, Reply, Request, Response, json_response

__all__ = ["Connection", "Owner"]

REASONS = {status.value: status.phrase for status in HTTPStatus}
MAX_PIPELINED = 64
PIECE_BYTES = 4096  # as many of small requests are parsed before a look at who reads the answers
LINGER_SECONDS = 2.0


class Owner(Protocol):
    """What connections share: see ``http.Server``."""

    handler: Handler
    limits: HttpLimits
    closing: bool
    connections: set[Connection]
    heads: HeadMemo
    observe: Callable[[Request, Response], None] | None

    def refused(self, status: int) -> None:
        """Count an answer that no handler saw."""
        ...

    def date(self) -> str:
        """Return the Date header line."""
        ...

    def forget(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """One client: bytes to requests, responses to bytes, in order."""

    transport: Any

    def __init__(self, server: Owner) -> None:
        self.server = server
        self.parser: Any = httptools.HttpRequestParser(self)
        self.chunk = self.unread = b""
        self.message = Message()
        self.refusal: tuple[int, str] | None = None
        self.pending: deque[Due] = deque()
        self.waiting: deque[tuple[Request, bool]] = deque()
        self.last = False
        self.begun = 0
        self.active_since: float | None = None
        self.idle_since = time.monotonic()
        self.blocked_since: float | None = None
        self.lingers_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport; beyond the limit of connections answer 429."""
        self.transport = transport
        full = len(self.server.connections) >= self.server.limits.connections
        self.server.connections.add(self)
        if full:
            self._refuse(429, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Cancel what nobody waits for any more."""
        self.last, self.unread = True, b""
        self.parser = None  # it knows the connection: together they would wait for the collector
        for answer in self.pending:
            answer.abandon()
        self.pending.clear()
        self.server.forget(self)

    def data_received(self, data: bytes) -> None:
        """Parse some bytes and answer each request that they complete."""
        if self.last or self.unread or self.waiting:
            self.unread += b"" if self.last else data
            return
        self.chunk = b""
        if self.active_since is None and not self.server.closing:
            known, at = self.server.heads.find(data), 0
            while known is not None:
                head, body, at = known
                self._known(head, body)
                if at == len(data):
                    return
                known = None if self._full() else self.server.heads.find(data, at)
            self.chunk = data = data[at:]
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Parse piece by piece; what is left over waits until the answers so far are read."""
        at = 0
        while at < len(data) and not self.last:
            if self._full():
                self.unread = data[at:]
                self.transport.pause_reading()
                return
            piece = data[at : at + max(PIECE_BYTES, self.message.due)]
            at += len(piece)
            begun, fresh = self.begun, self.active_since is None
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrade(data[at - len(piece) + upgrade.args[0] :])
                return
            except httptools.HttpParserError:
                self.refusal = self.refusal or (400, "not a valid HTTP/1.1 request")
            alone = self.begun == begun + fresh
            if alone and self.active_since is not None and not self.message.headers_done:
                # The parser keeps an unfinished header to itself, so what it was fed is counted,
                # but for a header that began behind another request in the same piece.
                self.message.fed_bytes += len(piece)
                self._check_header(self.message.fed_bytes)
            if self.refusal is not None:
                self._refuse(*self.refusal)

    def _full(self) -> bool:
        return self.last or self.blocked_since is not None or len(self.pending) >= MAX_PIPELINED

    def _read_on(self) -> None:
        """Go on with what was read already, then with what the client sends."""
        while self.waiting and not self._full():
            self._handle(*self.waiting.popleft())
        if self._full():
            return
        if self.unread:
            data, self.unread, self.chunk = self.unread, b"", b""
            self._parse(data)
        if not self.unread and not self.last:
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        """Keep the write side open while answers are due; TLS has no half of a connection."""
        self.last = True
        if self.transport.get_extra_info("sslcontext") is not None:
            return False
        return bool(self.pending) and self.lingers_since is None

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        self.blocked_since = time.monotonic()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self.blocked_since = None
        self._read_on()

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self.begun += 1
        self.message = Message()
        self.active_since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.message.url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; of several with one name the first counts, and trailers do not."""
        self._count_header(len(name) + len(value) + 4)
        if self.refusal is None and not self.message.headers_done:
            name = name.lower()
            if name == b"host" and name in self.message.headers:
                self.refusal = (400, "the header has two hosts")
            self.message.headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        """Refuse by the declared length, and tell a waiting client to go on."""
        self.message.headers_done = True
        headers = self.message.headers
        declared = headers.get(b"content-length", b"0")
        self.message.declared = int(declared[:20]) if declared.isdigit() else 0
        if self.parser.get_http_version() == "2.0":
            self.refusal = (505, "this server speaks HTTP/1.1")
        if self.message.declared > self.server.limits.body_bytes:
            self.refusal = (413, self._too_large())
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        if expects and self.refusal is None and not self.pending:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, up to the limit."""
        self.message.body_bytes += len(body)
        if self.message.body_bytes > self.server.limits.body_bytes:
            self.refusal = self.refusal or (413, self._too_large())
        elif self.refusal is None:
            self.message.take(body)

    def on_message_complete(self) -> None:
        """Hand the request to the handler."""
        if self.refusal is not None or self.last or self._wants_upgrade():
            return
        message = self.message
        self.active_since = None
        keep = bool(self.parser.should_keep_alive())
        method = self.parser.get_method().decode("ascii", "replace")
        path, query = target_of(message.url)
        body = bytes(message.body)
        message.body = b""
        if keep and self.chunk and self.parser.get_http_version() == "1.1":
            self.server.heads.learn(
                self.chunk, Head(method, path, query, message.headers, len(body))
            )
        request = Request(method, path, message.headers, body, query)
        if self._full():
            self.waiting.append((request, keep))
        else:
            self._handle(request, keep)

    def _wants_upgrade(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _upgrade(self, rest: bytes) -> None:
        """Read a request again as if it wanted no other protocol, as RFC 9110, 7.8 allows.

        The parser leaves out the body of one that does, and Java's client asks for HTTP/2 so with
        every first request. What follows a CONNECT is no request of ours.
        """
        if self.refusal is not None:
            self._refuse(*self.refusal)
            return
        if not self._wants_upgrade():
            self.last = True
            self._flush()
            return
        head = self.message.head(self.parser.get_method(), self.parser.get_http_version())
        self.parser = httptools.HttpRequestParser(self)
        self._parse(head + rest)

    # Answers.

    def _handle(self, request: Request, keep: bool) -> None:  # noqa: FBT001 - as it was kept
        refused = inflate(request, self.server.limits.body_bytes)
        answer = self._refusal(*refused) if refused else self._call(request)
        self._take(request, answer, keep_alive=keep)

    def _known(self, head: Head, body: bytes) -> None:
        """Hand on a request whose head was parsed before."""
        if len(body) > self.server.limits.body_bytes:
            self._refuse(413, self._too_large())
            return
        request = Request(head.method, head.path, head.headers, body, head.query)
        self._take(request, self._call(request), keep_alive=True)

    def _take(self, request: Request, response: Promise, *, keep_alive: bool) -> None:
        """Write the response where it is there and due; otherwise keep its place in the order."""
        if type(response) is Response and keep_alive and not (self.pending or self.server.closing):
            self._write(response, request, keep=True)
            self.idle_since = time.monotonic()
            return
        self.pending.append(Due(request, response, keep_alive=keep_alive))
        if len(self.pending) >= MAX_PIPELINED:
            self.transport.pause_reading()
        if type(response) is Reply:
            response.notify = self._flush
            if response.response is None:
                return
        if not self.server.closing:
            self._flush()
        else:  # what stands behind it in the same piece is answered as well, before the end
            asyncio.get_running_loop().call_soon(self._flush)

    def close_when_idle(self) -> None:
        """Close now, or after the answers that are due."""
        busy = self.pending or self.waiting or self.unread or self.active_since is not None
        if busy or self.lingers_since is not None:
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
        elif self.active_since is not None and not self.unread:
            if now - self.active_since > limits.request_seconds:
                self._refuse(408, "the request did not arrive in time")
        elif not self.pending and now - self.idle_since > limits.idle_seconds:
            self.transport.close()

    def _count_header(self, size: int) -> None:
        self.message.header_bytes += size
        self._check_header(self.message.header_bytes)

    def _check_header(self, size: int) -> None:
        if size > self.server.limits.header_bytes:
            self.refusal = self.refusal or (431, "the request header is too large")

    def _too_large(self) -> str:
        return f"the body is larger than {self.server.limits.body_bytes} bytes"

    def _call(self, request: Request) -> Promise:
        try:
            result = self.server.handler(request)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the client gets a 500
            return failed(request)
        if isinstance(result, Response | Reply):
            return result
        task: asyncio.Future[Response] = asyncio.ensure_future(result)
        task.add_done_callback(lambda _: self._flush())
        return task

    def _refusal(self, status: int, message: str) -> Response:
        self.server.refused(status)
        later = (("retry-after", "1"),) if status == 429 else ()
        return json_response(status, {"error": message}, later)

    def _flush(self) -> None:
        while self.pending and (response := self.pending[0].ready()) is not None:
            answer = self.pending.popleft()
            # Requests that came in before the end are all answered, however they were sent.
            behind = bool(self.pending or self.waiting or self.unread)
            keep = answer.keep_alive and (not self.server.closing or behind)
            self._write(response, answer.request, keep=keep)
            if not keep:
                self.last = True
                self.pending.clear()
                self.transport.close()
                return
        if self.last and not self.pending:
            self._end()
        elif self.unread or self.waiting:
            asyncio.get_running_loop().call_soon(self._read_on)
        elif not self._full():
            self.transport.resume_reading()
        self.idle_since = time.monotonic()

    def _write(self, response: Response, request: Request | None, *, keep: bool) -> None:
        if len(response.body) >= LEAST_BYTES and request is not None:
            response = compressed(request, response)
        status, body, content_type, extra = response
        text = f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\ncontent-type: {content_type}\r\n"
        for name, value in extra:
            text += f"{name}: {value}\r\n"
        if request is not None:
            text += f"x-request-id: {request.id}\r\n"
        if not keep:
            text += "connection: close\r\n"
        head = f"{text}content-length: {len(body)}\r\n{self.server.date()}\r\n".encode("latin-1")
        if request is not None and self.server.observe is not None:
            self.server.observe(request, response)
        hide = request is not None and request.method == "HEAD"
        self.transport.write(head if hide else head + body)

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is due, then this, then end the connection."""
        if self.last:
            return
        self.last = True
        self.active_since = None
        # The answer to a request behind others that were put off would be taken for one of theirs.
        self.refusal = None if self.waiting else (status, message)
        if not self.pending:
            self._end()

    def _end(self) -> None:
        if self.refusal is None:
            self.transport.close()
        elif self.lingers_since is None:
            self._write(self._refusal(*self.refusal), None, keep=False)
            # Closing now, with bytes of the client unread, would reset the connection and so
            # destroy the answer on its way (RFC 9112, 9.6): read on for a moment, throw it away.
            self.lingers_since = time.monotonic()
            if self.transport.can_write_eof():
                self.transport.write_eof()
