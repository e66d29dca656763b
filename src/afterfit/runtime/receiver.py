"""Bytes of one connection to requests: what was seen before at a glance, the rest by a parser."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import httptools

from afterfit.runtime.arriving import Message
from afterfit.runtime.due import target_of
from afterfit.runtime.heads import Head, HeadMemo
from afterfit.runtime.messages import HttpLimits, Request

__all__ = ["Receiver"]

MAX_PIPELINED = 64
PIECE_BYTES = 4096  # as many of small requests are parsed before a look at who reads the answers


class Receiver(asyncio.Protocol):
    """Takes requests in order; what becomes of them is for `Connection` to say."""

    transport: Any

    def __init__(self, limits: HttpLimits, heads: HeadMemo) -> None:
        self.limits = limits
        self.heads = heads
        self.parser: Any = httptools.HttpRequestParser(self)
        self.chunk = self.unread = b""
        self.message = Message()
        self.refusal: tuple[int, str] | None = None
        self.pending: deque[Any] = deque()
        self.waiting: deque[tuple[Request, bool]] = deque()
        self.last = False
        self.begun = 0
        self.active_since: float | None = None
        self.blocked_since: float | None = None

    # What a connection does with what was received.

    def _glance(self, data: bytes) -> int:
        """Take the whole requests at the start whose heads are known; return where they end."""
        raise NotImplementedError

    def _handle(self, request: Request, keep: bool) -> None:  # noqa: FBT001 - as it was kept
        """Take one request."""
        raise NotImplementedError

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is due, then this, then end the connection."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Write the answers that are there and due."""
        raise NotImplementedError

    # Bytes.

    def data_received(self, data: bytes) -> None:
        """Parse some bytes and answer each request that they complete."""
        if self.last or self.unread or self.waiting:
            self.unread += b"" if self.last else data
            return
        self.chunk = b""
        if self.active_since is None:
            at = self._glance(data)
            if at == len(data):
                return
            self.chunk = data = data[at:] if at else data
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
        version = self.parser.get_http_version()
        if version == "2.0":
            self.refusal = (505, "this server speaks HTTP/1.1")
        elif version == "1.1" and b"host" not in headers:  # RFC 9112, 3.2
            self.refusal = self.refusal or (400, "the header has no host")
        if self.message.declared > self.limits.body_bytes:
            self.refusal = (413, self._too_large())
        expects = headers.get(b"expect", b"").lower() == b"100-continue"
        if expects and self.refusal is None and not self.pending:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, up to the limit."""
        self.message.body_bytes += len(body)
        if self.message.body_bytes > self.limits.body_bytes:
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
            self.heads.learn(self.chunk, Head(method, path, query, message.headers, len(body)))
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

    def _count_header(self, size: int) -> None:
        self.message.header_bytes += size
        self._check_header(self.message.header_bytes)

    def _check_header(self, size: int) -> None:
        if size > self.limits.header_bytes:
            self.refusal = self.refusal or (431, "the request header is too large")

    def _too_large(self) -> str:
        return f"the body is larger than {self.limits.body_bytes} bytes"
