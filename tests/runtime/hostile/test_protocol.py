"""HTTP that no honest client sends: answered right, or refused."""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING

import pytest
from tests.runtime.hostile.pipes import converse, read_answer
from tests.runtime.hostile.test_bodies import GOOD, request

if TYPE_CHECKING:
    from tests.runtime.hostile.hosting import Hosted

pytestmark = pytest.mark.usefixtures("nothing_is_left")
POST = b"POST /v2/health/live HTTP/1.1\r\nhost: h\r\n"
GET = b"GET /v2/health/live HTTP/1.1\r\nhost: h\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
CLOSE = b"connection: close\r\n\r\n"


def statuses(answer: bytes) -> list[int]:
    """The status of each answer."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)]


def talk(server: Hosted, *pieces: bytes) -> bytes:
    """All that the server sends until it closes."""
    return asyncio.run(converse(server.port, *pieces))


@pytest.mark.parametrize(
    "data",
    [
        POST + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 0\r\ncontent-length: 40\r\n\r\n",
        POST + b"content-length: 0\r\ncontent-length: 0\r\n\r\n",
        POST + b"content-length: 0, 0\r\n\r\n",
        POST + b"content-length: +0\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 0x0\r\n\r\n",
        POST + b"content-length: 0 0\r\n\r\n",
        POST + b"content-length: \r\n\r\n",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
        POST + b"content-length: \xd9\xa3\r\n\r\n",
        POST + b"transfer-encoding: identity\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        *(CHUNKED + size + b"\r\n\r\n" for size in (b"+0", b"0x0", b" 0", b"-1", b"f" * 18)),
        CHUNKED + b"1\r\naX0\r\n\r\n",
        CHUNKED + b"1\na\n0\n\n",
        CHUNKED + b"0\r\ncontent-length: 5\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\nhost: h\n\n",
        b"GET /v2/health/live HTTP/1.1\rhost: h\r\r",
        b"GET /v2/health/live HTTP/1.1\r\nhost: h\0\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\nho\x01st: h\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\nho st: h\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\nhost\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\n host: h\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /v2/health/live HTTP/1.1\r\naccept: */*\r\n\r\n",
        b"GET /v2/health/live x HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET /v2\0/x HTTP/1.1\r\nhost: h\r\n\r\n",
        b"GET /v2/health/live HTTP/1.2\r\nhost: h\r\n\r\n",
        b"GET /v2/health/live HTTP/9.9\r\nhost: h\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"FOO /v2/health/live HTTP/1.1\r\nhost: h\r\n\r\n",
        b"get /v2/health/live HTTP/1.1\r\nhost: h\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nhost: h\r\n\r\n",
        bytes.fromhex("16030100f8010000f40303") + b"x" * 200,
        bytes(range(256)) * 4,
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused_whole(
    server: Hosted, data: bytes
) -> None:
    """One 400, and the request that is hidden behind it is never seen."""
    answer = talk(server, data + SMUGGLED)
    assert statuses(answer) == [400]
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (POST + b"content-length:  0 \r\n\r\n", [405, 404]),
        (POST + b"transfer-encoding:\tchunked\r\n\r\n0\r\n\r\n", [405, 404]),
        (CHUNKED + b"0;name=value\r\n\r\n", [405, 404]),
        (CHUNKED + b"0\r\nx-trailer: y\r\n\r\n", [405, 404]),
        (GET + b"content-length: 5\r\n\r\nhello", [200, 404]),
        (GET.replace(b"/v2", b"http://elsewhere:80/v2") + b"\r\n", [200, 404]),
        (GET.replace(b"/v2", b"https://u:p@elsewhere/v2") + b"\r\n", [200, 404]),
        (GET.replace(b"live", b"live?a=%00#x") + b"\r\n", [200, 404]),
        (b"\r\n\r\n" + GET + b"\r\n", [200, 404]),
        (b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", [404, 404]),
        (GET.replace(b"GET", b"PROPFIND") + b"\r\n", [405, 404]),
        (GET.replace(b"GET", b"TRACE") + b"x-secret: s\r\n\r\n", [405, 404]),
        (GET.replace(b"1.1", b"1.0") + b"connection: keep-alive\r\n\r\n", [200, 404]),
        (GET.replace(b"1.1", b"1.0") + b"\r\n", [200]),
        (POST.replace(b"1.1", b"1.0") + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n", [405]),
        (GET + b"connection: foo, close\r\n\r\n", [200]),
        (GET.replace(b"1.1", b"2.0") + b"\r\n", [505]),
        (b"CONNECT h:443 HTTP/1.1\r\nhost: h\r\n\r\n", [405]),
    ],
)
def test_what_is_allowed_but_rare_is_answered(
    server: Hosted, data: bytes, expected: list[int]
) -> None:
    """And the next request on the connection as well, where it goes on."""
    answer = talk(server, data + SMUGGLED)
    assert statuses(answer) == expected
    assert b"x-secret" not in answer


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
def test_a_wish_for_another_protocol_is_passed_over_with_its_body(
    server: Hosted, protocol: bytes
) -> None:
    """Java's client asks for HTTP/2 with every first request, and means its body."""
    wish = b"connection: upgrade, http2-settings\r\nhttp2-settings: AAM\r\nupgrade: " + protocol
    asked = request("/predict", GOOD).replace(b"host: h", b"host: h\r\n" + wish)
    answer = talk(server, asked + GET + CLOSE)
    assert statuses(answer) == [200, 200]
    assert b'"predictions"' in answer
    pieces = [asked[start : start + 40] for start in range(0, len(asked), 40)]
    assert statuses(talk(server, *pieces, GET + CLOSE)) == [200, 200]


def test_a_megabyte_of_header_is_refused(server: Hosted) -> None:
    """In one line and in many, at once and in pieces."""
    line = b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 1_000_000 + b"\r\n\r\n"
    many = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"h%d: v\r\n" % n for n in range(90_000))
    for data in (line, many, b"GET /" + b"a" * 1_000_000):
        assert statuses(talk(server, data)) == [431]
        pieces = [data[start : start + 10_000] for start in range(0, 100_000, 10_000)]
        assert statuses(asyncio.run(converse(server.port, *pieces, pause=0.005))) == [431]


def test_a_header_behind_large_requests_in_the_same_bytes_is_not_too_large(server: Hosted) -> None:
    """What was read before it on the connection is no part of it."""
    big = request("/predict", GOOD + b" " * 60_000)
    whole = big * 3 + request("/predict", GOOD)
    for cut in (20, 60, 90):
        at = len(big) * 3 + cut
        answer = talk(server, whole[:at], whole[at:] + GET + CLOSE)
        assert statuses(answer) == [200, 200, 200, 200, 200]


def test_trailers_are_no_headers(server: Hosted) -> None:
    """A body that was read as JSON does not become gzip afterwards."""
    head = b"POST /predict HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n" + CLOSE
    body = b"%x\r\n%b\r\n0\r\ncontent-encoding: gzip\r\n\r\n" % (len(GOOD), GOOD)
    assert statuses(talk(server, head + body)) == [200]


def test_ten_thousand_requests_at_once_are_answered_in_order(server: Hosted) -> None:
    """On one connection, written without reading; each answer has the id of its request."""

    async def exchange() -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        asked = request("/predict", GOOD)
        for n in range(10_000):
            writer.write(asked.replace(b"host: h", b"host: h\r\nx-request-id: %d" % n))
        found = [(await read_answer(reader)).headers[b"x-request-id"] for _ in range(10_000)]
        writer.close()
        return found

    before = server.memory_mb()
    assert asyncio.run(exchange()) == [b"%d" % n for n in range(10_000)]
    assert server.memory_mb() - before < 50


def test_a_half_closed_socket_gets_its_answers(server: Hosted) -> None:
    """Those that were asked for whole; a request that is cut off is not answered."""

    async def exchange(data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(data)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    asked = request("/predict", GOOD)
    assert statuses(asyncio.run(exchange(asked * 3))) == [200, 200, 200]
    assert statuses(asyncio.run(exchange(asked[:-5]))) == []
    assert statuses(asyncio.run(exchange(GET))) == []
    assert statuses(asyncio.run(exchange(b""))) == []


def test_small_pieces_of_a_body_take_no_more_room_than_the_body(server: Hosted) -> None:
    """100,000 chunks of two bytes on each of 20 connections."""
    head = request("/predict", b"").replace(b"content-length: 0", b"transfer-encoding: chunked")

    async def fill() -> float:
        writers = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head + b"2\r\n  \r\n" * 99_000)
            writers.append(writer)
        await asyncio.gather(*(writer.drain() for writer in writers))
        await asyncio.sleep(0.3)
        used = server.memory_mb()
        for writer in writers:
            writer.close()
        return used

    before = server.memory_mb()
    assert asyncio.run(fill()) - before < 40


def test_a_head_is_never_taken_for_another_however_the_bytes_come(server: Hosted) -> None:
    """Requests for several paths, in bursts that the server has to put off."""
    paths = ["/metrics", "/v2/health/live", "/openapi.json", "/version"]
    messages = [
        f"GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: {n}\r\n\r\n".encode()
        for n, path in enumerate(paths)
    ]
    begins = {b"0": b"# HELP", b"1": b'{"live"', b"2": b'{"openapi"', b"3": b'{"endpoint"'}

    async def exchange(seed: int) -> None:
        rng = random.Random(seed)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        asked = [rng.randrange(4) for _ in range(400)]
        data = b"".join(messages[n] for n in asked)
        at = 0
        while at < len(data):
            size = rng.choice((40, 100, 5_000, 20_000))
            writer.write(data[at : at + size])
            at += size
            await asyncio.sleep(rng.choice((0, 0.001)))
        for n in asked:
            answer = await read_answer(reader)
            assert answer.headers[b"x-request-id"] == str(n).encode()
            assert answer.body.startswith(begins[str(n).encode()])
        writer.close()

    for seed in range(8):
        asyncio.run(exchange(seed))
