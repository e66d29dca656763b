"""Request heads that were parsed before give the same requests as the parser does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from afterfit.runtime.http import Request, Response, Server

BODY = b'{"a":1}'
HEAD = b"POST /p?q=1 HTTP/1.1\r\nHost: x\r\nX-Request-Id: r\r\nContent-Length: 7\r\n\r\n"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        """Keep the bytes."""
        self.written += data

    def close(self) -> None:
        """Take note."""
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def talk(*chunks: bytes) -> tuple[list[tuple[str, str, str, bytes]], Wire, int]:
    """What the handler saw of the chunks, the wire, and how often the parser was fed."""
    seen: list[tuple[str, str, str, bytes]] = []

    def handler(request: Request) -> Response:
        seen.append((request.method, request.path, request.query, request.body))
        return Response(200, b"ok")

    async def scenario() -> tuple[Wire, int]:
        server = Server(handler)
        connection, wire = server.connection(), Wire()
        connection.connection_made(wire)
        parser, fed = connection.parser, 0

        class Counting:
            def feed_data(self, data: bytes) -> None:
                nonlocal fed
                fed += 1
                parser.feed_data(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(parser, name)

        connection.parser = Counting()
        for chunk in chunks:
            connection.data_received(chunk)
        server._sweeper.cancel()
        return wire, fed

    wire, fed = asyncio.run(scenario())
    return seen, wire, fed


def test_the_same_head_again_is_not_parsed_again() -> None:
    """And the request is the same, whatever the body of that length."""
    seen, wire, fed = talk(HEAD + BODY, HEAD + b'{"b":2}', HEAD + BODY)
    assert seen == [("POST", "/p", "q=1", body) for body in (BODY, b'{"b":2}', BODY)]
    assert fed == 1
    assert wire.written.count(b"HTTP/1.1 200 OK") == 3
    assert wire.written.count(b"x-request-id: r\r\n") == 3


@pytest.mark.parametrize(
    ("chunks", "bodies"),
    [
        ([HEAD + BODY, HEAD, BODY], [BODY, BODY]),
        ([HEAD + BODY, HEAD + BODY + HEAD + BODY], [BODY] * 3),
        ([HEAD + BODY, HEAD + BODY[:3], BODY[3:]], [BODY, BODY]),
        ([HEAD[:20], HEAD[20:] + BODY, HEAD + BODY], [BODY, BODY]),
        ([HEAD + BODY + HEAD, BODY, HEAD + BODY], [BODY] * 3),
        ([HEAD + BODY, HEAD + BODY + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"], [BODY, BODY, b""]),
    ],
)
def test_pieces_and_pipelined_requests_go_through_the_parser(
    chunks: list[bytes], bodies: list[bytes]
) -> None:
    """However the bytes are cut, the same requests come out."""
    seen, _, _ = talk(*chunks)
    assert [body for *_, body in seen] == bodies


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nhost: x\r\nX: " + b"y" * 3000 + b"\r\nContent-Length: 1\r\n\r\na",
    ],
)
def test_heads_that_say_more_than_a_length_are_parsed_each_time(head: bytes) -> None:
    """Chunks, the end of a connection, another version, and what is too long to keep."""
    _, _, fed = talk(head, head)
    assert fed >= 1
    seen, wire, fed = talk(head, head)
    assert fed == (1 if wire.closed else 2)
    assert len(seen) == fed


def test_another_length_is_another_head() -> None:
    """A body that does not fit the declared length waits for the rest, as ever."""
    seen, _, _ = talk(HEAD + BODY, HEAD + BODY[:5])
    assert len(seen) == 1
