"""One HTTP/1.1 connection: bytes to requests, responses to bytes, in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

from afterfit.runtime.away import Away, Ready, following, written
from afterfit.runtime.compress import LEAST_BYTES, compressed, inflate
from afterfit.runtime.due import Due, Promise, failed
from afterfit.runtime.heads import Head, HeadMemo
from afterfit.runtime.messages import Handler, HttpLimits, Reply, Request, Response, json_response
from afterfit.runtime.receiver import MAX_PIPELINED, Receiver

__all__ = ["Connection", "Owner"]

REASONS = {status.value: status.phrase for status in HTTPStatus}
LINGER_SECONDS = 2.0


class Owner(Protocol):
    """What connections share: see ``http.Server``."""

    handler: Handler
    limits: HttpLimits
    closing: bool
    connections: set[Connection]
    heads: HeadMemo
    observe: Callable[[Request, Response], None] | None
    away: Callable[[Head], Away | None] | None
    hurried: bool

    def refused(self, status: int) -> None:
        """Count an answer that no handler saw."""
        ...

    def date(self) -> str:
        """Return the Date header line."""
        ...

    def forget(self, connection: Connection) -> None:
        """Take note that a connection is gone."""
        ...


class Connection(Receiver):
    """One client: bytes to requests, responses to bytes, in order."""

    def __init__(self, server: Owner) -> None:
        super().__init__(server.limits, server.heads)
        self.server = server
        self.pending: deque[Due | Ready] = deque()
        self.idle_since = time.monotonic()
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

    # Answers.

    def _glance(self, data: bytes) -> int:
        """Take the whole requests at the start whose heads are known; return where they end."""
        server = self.server
        known, at = (None if server.closing else server.heads.find(data)), 0
        while known is not None:
            head, body, at = known
            away = server.away(head) if server.hurried and server.away is not None else None
            if away is None:
                server.hurried = False
                self._known(head, body)
            else:
                more, at = following(server.heads, head, data, at)
                self._turn_away(away, head, more + 1)
            if at == len(data):
                break
            known = None if self._full() else server.heads.find(data, at)
        return at

    def _turn_away(self, away: Away, head: Head, count: int) -> None:
        """Refuse so many requests with one head, in their place among the others."""
        reason = REASONS.get(away.response.status, "")
        data, ids = written(away, head, count, reason, self.server.date())
        away.note(ids)
        if self.pending:
            self.pending.append(Ready(data))
        else:
            self.transport.write(data)
            self.idle_since = time.monotonic()

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
        answer = self._call(request)
        if type(answer) is Response and answer.status == 429:
            self.server.hurried = True
        self._take(request, answer, keep_alive=True)

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
        while self.pending:
            answer = self.pending[0]
            if isinstance(answer, Ready):
                self.transport.write(answer.data)
                self.pending.popleft()
                continue
            response = answer.ready()
            if response is None:
                break
            self.pending.popleft()
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
