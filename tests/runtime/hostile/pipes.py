"""A raw client: bytes out, answers in, pipelined on kept connections."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self


class Answer(NamedTuple):
    """One answer; header names are lower-case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether it is the last one of its connection."""
        return self.headers.get(b"connection", b"").lower() == b"close"


class Pipe:
    """One connection, opened anew whenever the server has closed it."""

    def __init__(self, port: int, seconds: float = 20.0) -> None:
        self.port = port
        self.seconds = seconds
        self.opened = 0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def ask(self, requests: list[bytes], heads: set[int] | None = None) -> list[Answer]:
        """The answers to requests that are sent at once, in their order.

        After an answer that ends the connection the rest is sent again on another. ``heads`` are
        the places of requests whose answers have no body.
        """
        answers: list[Answer] = []
        while len(answers) < len(requests):
            before = len(answers)
            fresh = self._streams is None
            reader, writer = await self._connected()
            try:
                writer.write(b"".join(requests[before:]))
                while len(answers) < len(requests):
                    head = heads is not None and len(answers) in heads
                    answer = await asyncio.wait_for(read_answer(reader, head=head), self.seconds)
                    answers.append(answer)
                    if answer.closes:
                        break
            except (asyncio.IncompleteReadError, ConnectionError):
                self.close()
                if fresh and len(answers) == before:
                    raise
            else:
                if answers[-1].closes:
                    self.close()
        return answers

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            self.opened += 1
        return self._streams


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> Answer:
    """The next answer; raises IncompleteReadError where the server closes in the middle."""
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw[:-4].split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    size = 0 if head else int(headers.get(b"content-length", b"0"))
    return Answer(int(first.split(b" ", 2)[1]), headers, await reader.readexactly(size))


async def converse(port: int, *pieces: bytes, pause: float = 0.02, seconds: float = 20.0) -> bytes:
    """All that the server sends until it closes, while the pieces go out one by one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause if len(pieces) > 1 else 0)
        return await asyncio.wait_for(reader.read(), seconds)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
