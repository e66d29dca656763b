"""Real servers on loopback, well-behaved and not."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def running(handler: Handler) -> Iterator[str]:
    """Yield the URL of a server that hands each connection to ``handler``."""
    loop = asyncio.new_event_loop()
    ready, ports = threading.Event(), list[int]()

    async def serve() -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (ConnectionError, EOFError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    async def end(tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def work() -> None:
        starting = loop.create_task(serve())
        loop.run_forever()
        starting.result()
        loop.run_until_complete(end(asyncio.all_tasks(loop)))
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def request(reader: asyncio.StreamReader) -> bytes:
    """Return the body of the next request; raises IncompleteReadError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = [
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    ]
    return await reader.readexactly(length)


@pytest.fixture
def server() -> Callable[[Handler], AbstractContextManager[str]]:
    """A function that runs a server of a handler of connections."""
    return running


@pytest.fixture
def answering() -> Callable[..., AbstractContextManager[str]]:
    """A function that runs a server that answers every request with the same bytes.

    With ``close`` it closes each connection after its first answer.
    """

    def make(answer: bytes, *, close: bool = False) -> AbstractContextManager[str]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await request(reader)
                writer.write(answer)
                await writer.drain()
                if close:
                    return

        return running(handle)

    return make
