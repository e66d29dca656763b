"""The request that is arriving on a connection, as far as it has come."""

from __future__ import annotations

__all__ = ["Message"]


class Message:
    """Target, headers and body; ``declared`` is the length that the header tells, in bytes."""

    __slots__ = (
        "body",
        "body_bytes",
        "declared",
        "fed_bytes",
        "header_bytes",
        "headers",
        "headers_done",
        "url",
    )

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: bytes | bytearray = b""
        self.body_bytes = 0
        self.declared = 0
        self.header_bytes = 0
        self.fed_bytes = 0
        self.headers_done = False

    @property
    def due(self) -> int:
        """The bytes of a body of declared length that have not come yet."""
        return self.declared - self.body_bytes if self.headers_done else 0

    def take(self, piece: bytes) -> None:
        """Add to the body, in one array: a million small objects would take far more room."""
        if not self.body:
            self.body = piece
            return
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += piece

    def head(self, method: bytes, version: str) -> bytes:
        """Return the request line and the headers, without the one that asks for an upgrade."""
        first = b"%b %b HTTP/%b" % (method, self.url, version.encode())
        kept = [b"%b: %b" % (n, v) for n, v in self.headers.items() if n != b"upgrade"]
        return b"\r\n".join((first, *kept, b"", b""))
