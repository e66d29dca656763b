"""What others see while some clients are slow, deaf or too many: nothing."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from tests.runtime.hostile.pipes import Pipe, read_answer
from tests.runtime.hostile.test_bodies import GOOD, chances, request
from tests.runtime.hostile.test_protocol import GET, POST, statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.runtime.hostile.hosting import Hosted

pytestmark = pytest.mark.usefixtures("nothing_is_left")
CALM_FACTOR, CALM_FLOOR_MS = 5.0, 3.0
"""Others' median latency may rise to that factor; below the floor a busy machine decides."""


async def median_ms(port: int, count: int = 150) -> float:
    """The median latency of good requests, one after the other on one connection."""
    asked, spent = request("/predict", GOOD), []
    async with Pipe(port) as pipe:
        for _ in range(count):
            began = time.perf_counter()
            (answer,) = await pipe.ask([asked])
            spent.append(time.perf_counter() - began)
            chances(answer)
            await asyncio.sleep(0.002)
    return 1000 * statistics.median(spent)


@asynccontextmanager
async def others_are_served(port: int) -> AsyncIterator[None]:
    """What goes on inside must not slow down somebody else."""
    before = await median_ms(port)
    meanwhile = asyncio.create_task(median_ms(port, 300))
    yield
    during = await meanwhile
    allowed = max(CALM_FACTOR * before, CALM_FLOOR_MS)
    assert during <= allowed, f"{during:.2f} ms in place of {before:.2f} ms"


@pytest.mark.parametrize(
    "data", [GET + b"x: " + b"a" * 500, POST + b"content-length: 500\r\n\r\n" + b" " * 500]
)
def test_slow_clients_get_408_and_others_are_served(server: Hosted, data: bytes) -> None:
    """200 connections that send their header, or their body, byte by byte."""
    start = len(data) - 500

    async def attack() -> list[bytes]:
        async with others_are_served(server.port):
            return await asyncio.gather(*(_drip(server.port, data, start) for _ in range(200)))

    for answer in asyncio.run(attack()):
        assert statuses(answer) == [408]


async def _drip(port: int, data: bytes, start: int) -> bytes:
    """What the server sends while all from ``start`` comes a byte each 50 ms."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data[:start])
    answer = asyncio.create_task(reader.read())
    for byte in data[start:]:
        if answer.done():
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
    found = await asyncio.wait_for(answer, 10)
    writer.close()
    return found


def test_clients_that_never_read_are_cut_off_and_others_are_served(server: Hosted) -> None:
    """20 connections that ask for the API document without end; memory stays bounded."""
    asked = b"GET /openapi.json HTTP/1.1\r\nhost: h\r\n\r\n" * 50

    async def deaf() -> None:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Deaf, "127.0.0.1", server.port)
        while not protocol.lost.done():
            if not protocol.full:
                protocol.transport.write(asked)
            await asyncio.sleep(0.02)

    async def attack() -> float:
        async with others_are_served(server.port):
            clients = [asyncio.create_task(deaf()) for _ in range(20)]
            await asyncio.sleep(1.0)
            used = await asyncio.to_thread(server.memory_mb)
            await asyncio.wait_for(asyncio.gather(*clients), 20)
        return used

    before = server.memory_mb()
    assert asyncio.run(attack()) - before < 20


class Deaf(asyncio.Protocol):
    """A client that writes as long as there is room, and never reads."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Stop reading at once."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.full = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport.pause_reading()

    def pause_writing(self) -> None:
        """The server takes no more."""
        self.full = True

    def resume_writing(self) -> None:
        """The server takes more."""
        self.full = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The server has cut it off."""
        if not self.lost.done():
            self.lost.set_result(None)


def test_connections_beyond_the_limit_are_told_so_and_others_are_served(server: Hosted) -> None:
    """Idle ones do not shut anybody out for longer than they may idle."""

    async def attack() -> list[bytes]:
        async with others_are_served(server.port):
            return await asyncio.gather(*(_idle(server.port) for _ in range(800)))

    told = [statuses(answer) for answer in asyncio.run(attack())]
    assert [429] in told
    assert [] in told
    assert asyncio.run(median_ms(server.port, 5))


async def _idle(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def test_clients_that_come_and_go_leave_nothing(server: Hosted) -> None:
    """2,000 connections, each cut at another place of its request."""
    asked = request("/predict", GOOD)

    async def cut(place: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(asked[: place % (len(asked) + 1)])
        if place % 3:
            writer.transport.abort()
        writer.close()

    async def attack() -> None:
        async with others_are_served(server.port):
            for start in range(0, 2000, 50):
                await asyncio.gather(*(cut(start + n) for n in range(50)))

    before = server.memory_mb()
    asyncio.run(attack())
    assert server.memory_mb() - before < 20


def test_many_small_requests_for_large_answers_wait_until_the_answers_are_read(
    server: Hosted,
) -> None:
    """40,000 requests in one burst: only so many are answered as the client takes."""
    asked = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"

    async def burst() -> tuple[float, int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        writer.write(asked * 40_000)
        await asyncio.sleep(1.0)
        used = await asyncio.to_thread(server.memory_mb)
        read = 0
        for _ in range(500):
            read += (await read_answer(reader)).status == 200
        writer.transport.abort()
        return used, read

    before = server.memory_mb()
    used, read = asyncio.run(burst())
    assert used - before < 15
    assert read == 500
