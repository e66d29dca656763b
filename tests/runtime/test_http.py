"""The HTTP layer over real sockets, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest

from afterfit.runtime.http import HttpLimits, Request, Response, Server, json_response
from afterfit.runtime.messages import request_id

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = HttpLimits(header_bytes=4096, body_bytes=1000, request_seconds=0.4, idle_seconds=0.4)
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CLOSE = b"connection: close\r\n"


def handler(request: Request) -> Any:
    """Echo; raise at /boom; answer late at /slow."""
    if request.path == "/boom":
        raise ValueError("a secret")
    if request.path == "/slow":
        return _slow()
    size = len(request.body)
    return json_response(200, {"path": request.path, "method": request.method, "size": size})


async def _slow() -> Response:
    await asyncio.sleep(0.05)
    return json_response(200, {"path": "slow"})


def talk(*pieces: bytes, limits: HttpLimits = LIMITS, pause: float = 0.03) -> bytes:
    """Everything that the server answers to the pieces, until it closes the connection."""

    async def exchange(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause if len(pieces) > 1 else 0)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    answer: bytes = with_server(exchange, limits)
    return answer


def with_server(talker: Callable[[int], Any], limits: HttpLimits = LIMITS) -> Any:
    """What ``talker(port)`` returns beside a running server."""

    async def main() -> Any:
        server = Server(handler, limits)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server.connection, "127.0.0.1", 0)
        try:
            return await talker(listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
            await server.close(1)

    return asyncio.run(main())


def status(answer: bytes) -> int:
    """The status of the first answer."""
    return int(answer.split(b" ", 2)[1])


def test_a_get_is_answered_with_length_date_and_request_id() -> None:
    """The query is no part of the path."""
    answer = talk(b"GET /a?b=1 HTTP/1.1\r\nhost: x\r\nx-request-id: r-1\r\n" + CLOSE + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b'{"path":"/a","method":"GET","size":0}'
    assert b"content-length: 37" in head
    assert b"x-request-id: r-1" in head
    assert b"date: " in head


def test_requests_that_arrive_together_are_answered_in_order() -> None:
    """A slow answer holds back the quick ones behind it."""
    answer = talk(
        b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\n\r\n"
        b"GET /b HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n"
    )
    assert [answer.index(p) for p in (b'"slow"', b'"/a"', b'"/b"')] == sorted(
        answer.index(p) for p in (b'"slow"', b'"/a"', b'"/b"')
    )
    assert answer.count(b"HTTP/1.1 200") == 3


def test_what_was_asked_before_a_broken_request_is_still_answered() -> None:
    """The refusal comes last, and the connection ends."""
    answer = talk(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nrubbish\r\n\r\n")
    assert answer.index(b"200 OK") < answer.index(b"400 Bad Request")


def test_head_has_the_length_and_no_body() -> None:
    """As RFC 9110 has it."""
    answer = talk(b"HEAD /a HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n")
    assert b"content-length: 38" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_chunked_body_is_joined() -> None:
    """In pieces that arrive apart."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\n"
    assert b'"size":9' in talk(head + b"5\r\nhel", b"lo\r\n4\r\nabcd\r\n", b"0\r\n\r\n")


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    """And then its answer."""
    head = POST + b"expect: 100-continue\r\ncontent-length: 2\r\n" + CLOSE + b"\r\n"
    answer = talk(head, b"ab")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


def test_a_defect_becomes_a_500_without_its_text(capfd: pytest.CaptureFixture[str]) -> None:
    """The log has it under the same request id."""
    answer = talk(b"GET /boom HTTP/1.1\r\nhost: x\r\nx-request-id: r-9\r\n" + CLOSE + b"\r\n")
    assert status(answer) == 500
    assert b"secret" not in answer
    assert b"Traceback" not in answer
    log = capfd.readouterr().err
    assert "a secret" in log
    assert "r-9" in log


def chunks(size: int) -> bytes:
    """A chunked body of that many bytes."""
    return b"".join(b"64\r\n" + b"x" * 100 + b"\r\n" for _ in range(size // 100))


@pytest.mark.parametrize(
    ("expected", "pieces"),
    [
        (400, (b"rubbish\r\n\r\n",)),
        (400, (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",)),
        (400, (POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n",)),
        (431, (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 9000 + b"\r\n\r\n",)),
        (431, (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 900,)),
        (431, (b"GET /" + b"a" * 3000, b"a" * 3000)),
        (413, (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n",)),
        (413, (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n",)),
        (413, (POST + b"transfer-encoding: chunked\r\n\r\n" + chunks(2000),)),
        (408, (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12",)),
        (408, (b"GET / HTT",)),
    ],
)
def test_what_cannot_be_taken_is_refused_and_the_connection_ends(
    expected: int, pieces: tuple[bytes, ...]
) -> None:
    """Each with its own status and an ``error``, never by a reset."""
    answer = talk(*pieces)
    assert status(answer) == expected
    assert b'{"error":"' in answer
    assert b"connection: close" in answer


def test_a_large_body_that_is_being_sent_gets_its_413() -> None:
    """The server reads on for a moment, so that no reset destroys the answer."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n"
    assert status(talk(head, b"x" * 3_000_000)) == 413


def test_headers_in_small_pieces_are_not_counted_twice() -> None:
    """3,000 bytes in ten pieces stay under a limit of 4,096."""
    lines = b"".join(b"h%d: %s\r\n" % (n, b"v" * 290) for n in range(10))
    data = b"GET /a HTTP/1.1\r\nhost: x\r\n" + lines + CLOSE + b"\r\n"
    size = len(data) // 10 + 1
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    assert status(talk(*pieces, pause=0.005)) == 200


def test_gzip_is_taken_and_a_bomb_is_not() -> None:
    """Decompression stops one byte beyond the limit."""

    def post(body: bytes, encoding: bytes = b"gzip") -> bytes:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n" % (
            encoding,
            len(body),
        )
        return talk(head + CLOSE + b"\r\n" + body, limits=HttpLimits(body_bytes=20_000))

    assert b'"size":500' in post(gzip.compress(b"x" * 500))
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert len(bomb) < 20_000
    assert status(post(bomb)) == 413
    assert status(post(b"no gzip")) == 400
    assert status(post(gzip.compress(b"x" * 500)[:-9])) == 400
    assert status(post(b"x", b"br")) == 415


def test_an_idle_connection_is_closed_and_a_kept_one_serves_again() -> None:
    """Two requests on one connection, then silence until the server closes it."""

    async def exchange(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        for _ in range(2):
            writer.write(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
            answer += await reader.readuntil(b"}")
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer + rest

    assert with_server(exchange).count(b"200 OK") == 2


def test_beyond_the_limit_of_connections_there_is_a_429() -> None:
    """The connection that serves goes on serving."""

    async def exchange(port: int) -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n")
        first = await reader.readuntil(b"}")
        other, other_writer = await asyncio.open_connection("127.0.0.1", port)
        second = await asyncio.wait_for(other.read(), 5)
        writer.close()
        other_writer.close()
        return first, second

    first, second = with_server(exchange, HttpLimits(connections=1))
    assert (status(first), status(second)) == (200, 429)
    assert b"retry-after: 1" in second


def test_closing_finishes_what_is_in_flight() -> None:
    """A slow request gets its answer while the server closes; nobody is cut off."""

    async def main() -> tuple[bytes, int]:
        server = Server(handler, LIMITS)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server.connection, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        while not any(connection.pending for connection in server.connections):  # noqa: ASYNC110
            await asyncio.sleep(0)
        cut = await server.close(5)
        answer = await reader.read()
        writer.close()
        listener.close()
        return answer, cut

    answer, cut = asyncio.run(main())
    assert (status(answer), cut) == (200, 0)
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("given", "kept"),
    [(b"abc-1.2:x_Y", "abc-1.2:x_Y"), (b"a\r\nb: <c>", "ab:c"), (b"x" * 500, "x" * 128)],
)
def test_a_request_id_is_bounded_and_clean(given: bytes, kept: str) -> None:
    """What could break a header, a log line or a page is left out."""
    assert request_id(given) == kept


def test_a_request_without_an_id_gets_one() -> None:
    """Another each time, from random bits of the process and a counter."""
    first, second = request_id(b""), request_id(b"\xff\xff")
    assert first[:17] == second[:17]
    assert int(second[17:], 16) == int(first[17:], 16) + 1
