"""Request heads that were parsed before: a keep-alive client sends the same bytes each time."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Head", "HeadMemo"]

MAX_HEADS = 256
MAX_HEAD_BYTES = 2048
END = b"\r\n\r\n"
_UNSURE = (b"transfer-encoding", b"expect", b"upgrade", b"content-encoding", b"connection")


class Head(NamedTuple):
    """A request line and headers, parsed; ``length`` is the declared bytes of the body."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    length: int


class HeadMemo:
    """Heads by their exact bytes, shared by the connections of a server.

    Only heads that the parser took as a whole, of a plain HTTP/1.1 request whose body has a
    declared length, are kept: equal bytes at the start of a message then mean an equal request.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def find(self, data: bytes, at: int = 0) -> tuple[Head, bytes, int] | None:
        """Return head, body and end of the request at ``at``, if it is whole and its head known."""
        end = data.find(END, at) + 4
        head = self._heads.get(data[at:end])
        if head is None:
            return None
        stop = end + head.length
        return (head, data[end:stop], stop) if stop <= len(data) else None

    def learn(self, data: bytes, head: Head) -> None:
        """Keep the head of ``data``, which the parser took as exactly one request."""
        end = len(data) - head.length
        if end > MAX_HEAD_BYTES or data.find(END) + 4 != end:
            return
        if any(name in head.headers for name in _UNSURE):
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[data[:end]] = head
