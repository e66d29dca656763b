"""Requests that are refused by their head: together, in order, and each with an id of its own."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from afterfit.runtime.away import Away
from afterfit.runtime.heads import Head
from afterfit.runtime.http import HttpLimits, Reply, Request, Response, Server
from afterfit.runtime.problems import busy_response

REQUEST = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
NAMED = b"POST /predict HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\ncontent-length: 2\r\n\r\n{}"


class Full:
    """A handler that takes ``room`` requests and answers them when it is told to."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[Reply] = []
        self.alone = 0
        self.noted: list[str] = []

    def __call__(self, request: Request) -> Any:
        """Take a request, or refuse it by itself."""
        if self.away(None) is None:
            self.taken.append(Reply())
            return self.taken[-1]
        self.alone += 1
        self.noted.append(request.id)
        return busy_response(3)

    def away(self, _: Head | None) -> Away | None:
        """Return a refusal while there is no room."""
        return None if len(self.taken) < self.room else Away(busy_response(3), self.noted.extend)

    def answer(self) -> None:
        """Answer all that were taken, and make room again."""
        taken, self.taken = self.taken, []
        for reply in taken:
            reply.set(Response(200, b'{"good":1}'))


def exchange(full: Full, *pieces: bytes) -> bytes:
    """Return what a client reads that sends the pieces; the handler answers before the last."""

    async def main() -> bytes:
        server = Server(full, HttpLimits(), away=full.away)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(server.connection, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces[:-1]:
            writer.write(piece)
            await asyncio.sleep(0.05)
        full.answer()
        writer.write(pieces[-1])
        await asyncio.sleep(0.05)
        full.answer()
        writer.write_eof()
        found = await reader.read()
        writer.close()
        listening.close()
        await server.close(1.0)
        return found

    return asyncio.run(main())


def statuses(answer: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def test_refusals_of_one_piece_keep_their_place_and_carry_ids_of_their_own() -> None:
    """Two are answered, six refused behind them, and nobody is refused before them."""
    full = Full(room=2)
    # The first teaches the head; the second refusal is the first that is made by the head alone.
    answer = exchange(full, REQUEST, REQUEST, REQUEST, REQUEST * 5, REQUEST)
    assert statuses(answer) == [200, 200, *[429] * 6, 200]
    assert full.alone == 1
    ids = re.findall(rb"x-request-id: (\S+)\r\n", answer)
    assert len(set(ids)) == 9
    assert [each.decode() for each in ids[2:8]] == full.noted


def test_a_refusal_says_when_to_come_again_and_has_its_length() -> None:
    """Each is a whole response, with the client's own request id where it sent one."""
    answer = exchange(Full(room=1), NAMED, NAMED, NAMED * 2, NAMED)
    refused = answer.split(b"HTTP/1.1 ")[2:5]
    assert len(refused) == 3
    for each in refused:
        head, _, body = each.partition(b"\r\n\r\n")
        assert head.startswith(b"429 Too Many Requests\r\n")
        assert b"retry-after: 3\r\n" in head
        assert b"x-request-id: mine\r\n" in head
        assert f"content-length: {len(body)}\r\n".encode() in head + b"\r\n"


def test_once_there_is_room_requests_are_looked_at_again() -> None:
    """The first one that is not refused ends the asking by heads."""
    full = Full(room=1)
    answer = exchange(full, REQUEST, REQUEST, REQUEST * 3, REQUEST)
    assert statuses(answer) == [200, 429, 429, 429, 429, 200]


def test_requests_that_differ_in_their_lengths_are_refused_together() -> None:
    """One note of all of them, with an id each; another path is refused by itself."""
    notes: list[int] = []

    class Noting(Full):
        def away(self, head: Head | None) -> Away | None:
            if super().away(head) is None:
                return None
            return Away(busy_response(3), lambda ids: notes.append(len(ids)))

    longer = REQUEST.replace(b"length: 2\r\n\r\n{}", b"length: 4\r\n\r\n[{}]")
    other = REQUEST.replace(b"/predict", b"/other")
    full = Noting(room=4)
    mixed = longer + REQUEST + longer + other + REQUEST
    answer = exchange(full, REQUEST, longer, other, REQUEST, longer, mixed, REQUEST)
    assert statuses(answer) == [200] * 4 + [429] * 6 + [200]
    assert notes == [3, 1, 1]
