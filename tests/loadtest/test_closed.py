"""The closed loop ends in bounded time, whatever the server does."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from afterfit.errors import UnavailableError, UsageError
from afterfit.loadtest.closed import Samples, run_closed_loop

if TYPE_CHECKING:
    from collections.abc import Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1;note=x\r\n{\r\n1\r\n}\r\n0\r\nTrailer: yes\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\nall of it"

GARBAGE = {
    "no http": b"\x00\x01\x02garbage\r\n\r\n",
    "no status": b"HTTP/1.1 abc OK\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "a length beyond memory": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
    "a chunk that is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk beyond memory": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
    "a chunk longer than it says": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"
    ),
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 17),
}


def load(url: str, **changed: Any) -> Samples:
    """Run the loop for a moment, and see that it kept to its time."""
    usual = {"users": 2, "seconds": 2.0, "requests": 20, "warmup": 1, "timeout_s": 0.3}
    asked: dict[str, Any] = usual | changed
    started = time.monotonic()
    try:
        return run_closed_loop(f"{url}/predict", [b'{"a": 1}', b'{"a": 2}'], **asked)
    finally:
        allowed = 2 * (asked["seconds"] + asked["timeout_s"]) + 3.0
        assert time.monotonic() - started < allowed


@pytest.mark.parametrize("answer", [OK, CHUNKED, INTERIM])
def test_every_way_to_send_a_body_is_read(answering: Callable[..., Any], answer: bytes) -> None:
    """Of a stated length, in chunks, after an interim answer: the connection is kept."""
    with answering(answer) as url:
        samples = load(url)
    assert (samples.requests, samples.errors) == (20, 0), samples.first_error
    assert len(samples.latencies_ms) == 20
    assert min(samples.latencies_ms) > 0


@pytest.mark.parametrize(
    "answer", [TO_THE_END, OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")]
)
def test_a_server_that_closes_after_each_answer_is_asked_anew(
    answering: Callable[..., Any], answer: bytes
) -> None:
    """A close that was announced is no error."""
    with answering(answer, close=True) as url:
        samples = load(url)
    assert (samples.requests, samples.errors) == (20, 0), samples.first_error


def test_a_close_without_a_word_is_an_error_and_the_users_go_on(
    answering: Callable[..., Any],
) -> None:
    """Every second request meets a closed connection, and all are counted."""
    with answering(OK, close=True) as url:
        samples = load(url)
    assert samples.requests == 20
    assert samples.latencies_ms
    assert samples.errors == samples.broken > 0


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_an_error_and_never_an_exception(
    answering: Callable[..., Any], name: str
) -> None:
    """Each request is counted as broken, with what came."""
    with answering(GARBAGE[name]) as url:
        samples = load(url, requests=4)
    assert (samples.requests, samples.broken) == (4, 4)
    assert samples.first_error
    assert samples.latencies_ms == []


def test_other_answers_are_errors_without_a_latency(answering: Callable[..., Any]) -> None:
    """A quick 422 must not make the percentiles look good; 204 is no prediction."""
    refusal = b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 4\r\n\r\nnope"
    for answer, told in ((refusal, "422: b'nope'"), (EMPTY, "204")):
        with answering(answer) as url:
            samples = load(url)
        assert (samples.errors, samples.broken, samples.latencies_ms) == (20, 0, [])
        assert samples.first_error.startswith(told)


def test_a_server_that_never_answers_ends_the_loop(server: Callable[..., Any]) -> None:
    """Connections are taken and nothing comes."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with server(silent) as url:
        samples = load(url, seconds=0.5)
    assert samples.errors == samples.broken >= 2
    assert "no answer within 0.3 s" in samples.first_error


def test_a_server_that_drips_ends_the_loop(server: Callable[..., Any]) -> None:
    """One byte at a time: the time is that of the whole answer, not of a byte."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    with server(drip) as url:
        assert load(url, seconds=0.5).broken >= 2


def test_a_server_that_never_reads_ends_the_loop(server: Callable[..., Any]) -> None:
    """A body larger than every buffer, and a peer that takes none of it."""
    stop = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await stop.wait()

    with server(deaf) as url:
        started = time.monotonic()
        samples = run_closed_loop(
            url, [b"x" * (64 << 20)], users=1, seconds=0.5, requests=9, warmup=0, timeout_s=0.3
        )
        assert time.monotonic() - started < 5.0
    assert samples.broken >= 1


def test_where_nothing_listens_is_told() -> None:
    """A port that was just given back."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(UnavailableError, match="no server answers"):
        load(f"http://127.0.0.1:{port}")


def test_a_server_that_goes_away_is_told_once_by_each_user() -> None:
    """It answers one request and closes its door: no busy loop of refused connections."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        probe, _ = listening.accept()
        user, _ = listening.accept()
        listening.close()
        with probe, user:
            user.recv(1 << 16)
            user.sendall(OK)

    thread = threading.Thread(target=serve)
    thread.start()
    port = listening.getsockname()[1]
    samples = load(f"http://127.0.0.1:{port}", users=1, warmup=0, requests=1000)
    thread.join()
    assert len(samples.latencies_ms) == 1
    assert samples.errors == samples.broken == 2


def test_it_works_inside_a_running_event_loop(answering: Callable[..., Any]) -> None:
    """As in a notebook."""

    async def notebook(url: str) -> Samples:
        return load(url)

    with answering(OK) as url:
        assert asyncio.run(notebook(url)).requests == 20


def test_time_bounds_the_loop_when_the_count_does_not(answering: Callable[..., Any]) -> None:
    """A million requests in a quarter of a second are cut short."""
    with answering(OK) as url:
        samples = load(url, seconds=0.25, requests=1_000_000)
    assert 0 < samples.requests < 1_000_000
    assert samples.duration_s < 1.5


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "https://127.0.0.1:1", "ftp://localhost", "http://127.0.0.1:99999999",
     "http://127.0.0.1.example.org", "http://10.0.0.1"],
)  # fmt: skip
def test_only_this_machine_is_loaded(url: str) -> None:
    """Anything but http on loopback is refused before a byte is sent."""
    with pytest.raises(UsageError):
        load(url)
