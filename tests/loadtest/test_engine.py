"""The engine ends in bounded time and counts every request, whatever the server does."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from afterfit.loadtest.engine import runs
from afterfit.loadtest.engine.frames import GIVEN_UP, RECORD
from afterfit.loadtest.engine.pool import Plan, Pool
from afterfit.loadtest.engine.runs import Scheduled, Users

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


@dataclass
class Seen:
    """What became of the requests of one run: (due, answered, status, lag) by index."""

    ended: dict[int, tuple[float, float, int, float]] = field(default_factory=dict)
    first_error: str = ""
    cut: str = ""

    def take(self, chunk: bytes) -> None:
        """Read records; a second one of the same request would be a defect."""
        for index, due, _, answered, lag, status, _ in RECORD.iter_unpack(chunk):
            assert index not in self.ended
            self.ended[index] = (due, answered, status, lag)

    @property
    def statuses(self) -> list[int]:
        """Return the statuses in the order in which requests were due."""
        return [self.ended[index][2] for index in sorted(self.ended)]


async def fired(  # noqa: PLR0913 - what a run may be
    url: str,
    *,
    due: list[float] | None = None,
    users: int = 0,
    requests: int = 20,
    seconds: float = 2.0,
    timeout_s: float = 0.3,
    body: bytes = b"{}",
    connections: int = 8,
    stop_after: float = math.inf,
) -> Seen:
    """Run the engine in this process: an open loop where moments are given, a closed one else."""
    place = urlsplit(url)
    plan = Plan(
        host=place.hostname or "",
        port=place.port or 0,
        server_name="",
        secure=False,
        timeout_s=timeout_s,
        connections=connections,
        ahead=1,
    )
    head = f"POST /predict HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    seen = Seen()
    pool = Pool(plan, [head.encode() + body], None, seen.take)
    await pool.open_ahead()
    run: Scheduled | Users = (
        Users(pool, users, seconds=seconds, requests=requests, think_s=0.0, seed=1)
        if users
        else Scheduled(pool, array("d", due or []))
    )
    pool.begin(time.monotonic())
    run.go()
    if stop_after < math.inf:
        asyncio.get_running_loop().call_later(stop_after, run.stop, "stopped")
    await run.wait()
    seen.first_error, seen.cut = pool.first_error, run.cut
    return seen


def load(url: str, **changed: Any) -> Seen:
    """Run two users for 20 requests, and see that they kept to their time."""
    asked: dict[str, Any] = {"users": 2} | changed
    started = time.monotonic()
    seen = asyncio.run(fired(url, **asked))
    assert time.monotonic() - started < asked.get("seconds", 2.0) + 3.0
    assert sorted(seen.ended) == list(range(len(seen.ended)))
    return seen


@pytest.mark.parametrize("answer", [OK, CHUNKED, INTERIM])
def test_every_way_to_send_a_body_is_read(answering: Callable[..., Any], answer: bytes) -> None:
    """Of a stated length, in chunks, after an interim answer: the connection is kept."""
    with answering(answer) as url:
        seen = load(url, connections=2)
    assert seen.statuses == [200] * 20, seen.first_error
    assert all(answered >= due for due, answered, _, _ in seen.ended.values())


@pytest.mark.parametrize(
    "answer", [TO_THE_END, OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")]
)
def test_a_server_that_closes_after_each_answer_is_asked_anew(
    answering: Callable[..., Any], answer: bytes
) -> None:
    """A close that was announced is no error."""
    with answering(answer, close=True) as url:
        seen = load(url)
    assert seen.statuses == [200] * 20, seen.first_error


def test_a_close_without_a_word_is_an_error_and_the_users_go_on(
    answering: Callable[..., Any],
) -> None:
    """Requests that meet a closed connection fail, and all are counted."""
    with answering(OK, close=True) as url:
        seen = load(url)
    assert set(seen.statuses) <= {0, 200}
    assert len(seen.statuses) == 20
    assert 200 in seen.statuses


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_an_error_and_never_an_exception(
    answering: Callable[..., Any], name: str
) -> None:
    """Each request is counted as one without an answer, with what came."""
    with answering(GARBAGE[name]) as url:
        seen = load(url, requests=4)
    assert seen.statuses == [0] * 4
    assert seen.first_error


def test_an_answer_nobody_asked_for_is_given_to_nobody(answering: Callable[..., Any]) -> None:
    """Two answers to one request: the second must not be taken for the next request's."""
    with answering(OK + OK.replace(b"200", b"500")) as url:
        assert load(url).statuses == [200] * 20


def test_other_answers_are_told(answering: Callable[..., Any]) -> None:
    """422 without what the server says, and 204, which is no prediction."""
    refusal = b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 4\r\n\r\nnope"
    for answer, status in ((refusal, 422), (EMPTY, 204)):
        with answering(answer) as url:
            seen = load(url)
        assert seen.statuses == [status] * 20
        assert seen.first_error == f"answered with {status}"


def test_a_server_that_never_answers_ends_the_run(server: Callable[..., Any]) -> None:
    """Connections are taken and nothing comes, in both kinds of loop."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with server(silent) as url:
        assert load(url, seconds=0.4).statuses[:2] == [0, 0]
        # Two connections: the others wait in vain for one of them.
        seen = load(url, users=0, due=[0.0] * 6, connections=2)
    assert seen.statuses == [0] * 6
    assert "no answer within 0.3 s" in seen.first_error


def test_a_server_that_drips_ends_the_run(server: Callable[..., Any]) -> None:
    """One byte at a time: the time is that of the whole answer, not of a byte."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    with server(drip) as url:
        assert load(url, seconds=0.4).statuses[:2] == [0, 0]


def test_a_server_that_never_reads_ends_the_run(server: Callable[..., Any]) -> None:
    """A body larger than every buffer, and a peer that takes none of it."""
    stop = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await stop.wait()

    with server(deaf) as url:
        assert load(url, users=1, seconds=0.4, body=b"x" * (32 << 20)).statuses[0] == 0


def test_a_server_that_goes_away_is_no_busy_loop() -> None:
    """It answers one request and closes its door: its users come again, but not at once."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        user, _ = listening.accept()
        listening.close()
        with user:
            user.recv(1 << 16)
            user.sendall(OK)

    thread = threading.Thread(target=serve)
    thread.start()
    port = listening.getsockname()[1]
    seen = load(f"http://127.0.0.1:{port}", users=1, seconds=0.5, requests=1000)
    thread.join()
    assert seen.statuses[0] == 200
    assert 2 <= len(seen.statuses) <= 10
    assert set(seen.statuses[1:]) == {0}


def test_time_bounds_the_loop_when_the_count_does_not(answering: Callable[..., Any]) -> None:
    """A million requests in a quarter of a second are cut short."""
    with answering(OK) as url:
        seen = load(url, seconds=0.25, requests=1_000_000)
    assert 0 < len(seen.ended) < 1_000_000


def test_requests_leave_when_they_are_due_whatever_became_of_others(
    server: Callable[..., Any],
) -> None:
    """The server takes 0.2 s for an answer: twenty are on their way at once, and none is late."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"{}"):
            await asyncio.sleep(0.2)
            writer.write(OK)

    due = [0.01 * place for place in range(20)]
    with server(slow) as url:
        seen = load(url, users=0, due=due, connections=32, timeout_s=3.0)
    assert seen.statuses == [200] * 20, seen.first_error
    assert [seen.ended[index][0] for index in range(20)] == due
    assert min(answered - moment for moment, answered, _, _ in seen.ended.values()) >= 0.19
    # Behind one another they would take 4 s.
    assert max(answered for _, answered, _, _ in seen.ended.values()) < 2.0


def test_what_is_stopped_gives_up_what_waits_and_keeps_what_was_answered(
    server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of six is answered; the others are marked as given up, and the end comes at once."""
    monkeypatch.setattr(runs, "GRACE_S", 0.1)

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)
        await reader.read()

    with server(once) as url:
        seen = load(
            url, users=0, due=[0.0] * 6 + [60.0] * 3, connections=1, timeout_s=9, stop_after=0.2
        )
    assert seen.cut == "stopped"
    assert seen.statuses == [200, *[GIVEN_UP] * 5]


def test_no_more_connections_are_open_than_are_allowed(server: Callable[..., Any]) -> None:
    """Sixty requests at once, a server that closes after each answer, and three connections."""
    now, most = [0], [0]

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now[0] += 1
        most[0] = max(most[0], now[0])
        try:
            await reader.readuntil(b"{}")
            writer.write(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
            await writer.drain()
        finally:
            now[0] -= 1

    with server(once) as url:
        seen = load(url, users=0, due=[0.0] * 60, connections=3, timeout_s=3.0)
    assert seen.statuses == [200] * 60, seen.first_error
    # One that the client has closed may still be ending here.
    assert most[0] <= 6
