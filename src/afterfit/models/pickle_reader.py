"""Bytes of a pickle stream, read the way an unpickler reads them, frames included."""

from __future__ import annotations

import struct

from afterfit.models.pickle_values import RefusedError

__all__ = ["Reader"]

LINE_WINDOWS = (1 << 8, 1 << 14, 1 << 24)


class Reader:
    """A cursor over ``data`` that never copies what it does not have to.

    The C and the Python unpickler treat frames differently when an argument crosses the end of
    one; such a stream is refused, so that what is walked here is what either of them would run.
    """

    def __init__(self, data: memoryview, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.limit = len(data)
        self.framed = False

    def at_frame_end(self) -> bool:
        """Return whether no frame is open, or the open one is read to its last byte."""
        return not self.framed or self.position == self.limit

    def unframe(self) -> None:
        """Close a frame that is read to its end."""
        self.framed = False
        self.limit = len(self.data)

    def frame(self) -> None:
        """Open the frame whose length comes next."""
        size = self.unsigned(8)
        if not self.at_frame_end():
            raise RefusedError("a frame inside of a frame", self.position)
        self.unframe()
        if self.position + size > self.limit:
            raise RefusedError("the file ends in the middle of a frame", self.position)
        if size:
            self.framed = True
            self.limit = self.position + size

    def take(self, size: int) -> memoryview:
        """Return the next ``size`` bytes as a view."""
        if self.framed and self.position == self.limit:
            self.unframe()
        start = self.position
        end = start + size
        if size < 0 or end > self.limit:
            where = "a frame" if self.framed else "the file"
            raise RefusedError(f"{where} ends in the middle of an instruction", start)
        self.position = end
        return self.data[start:end]

    def byte(self) -> int:
        """Return the next byte."""
        if self.framed and self.position == self.limit:
            self.unframe()
        if self.position >= self.limit:
            raise RefusedError("the file ends before the pickle does", self.position)
        value = self.data[self.position]
        self.position += 1
        return value

    def unsigned(self, size: int) -> int:
        """Return the next little-endian unsigned integer of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """Return the next little-endian two's complement integer of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def number(self) -> float:
        """Return the next big-endian double."""
        value: float = struct.unpack(">d", self.take(8))[0]
        return value

    def line(self) -> bytes:
        """Return the bytes up to the next newline, without it."""
        if self.framed and self.position == self.limit:
            self.unframe()
        start = self.position
        for size in LINE_WINDOWS:
            window = bytes(self.data[start : min(self.limit, start + size)])
            end = window.find(b"\n")
            if end >= 0:
                self.position = start + end + 1
                return window[:end]
        raise RefusedError("a line without an end", start)
