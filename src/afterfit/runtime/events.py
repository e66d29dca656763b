r"""Event segments on disk: framed batches that survive ``kill -9``, their writer and their reader.

A segment begins with ``AFEV1\n``. Then come frames: ``u32`` length and ``u32`` CRC-32 of the
payload, both little-endian, and the payload, a msgpack array of events. A frame counts only when
it is whole, so a torn tail costs its own batch and nothing else.
"""

from __future__ import annotations

import os
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from afterfit.core.event import Event

__all__ = ["SUFFIX", "EventSink", "SegmentWriter", "StdoutSink", "read_segment", "read_segments"]

MAGIC = b"AFEV1\n"
SUFFIX = ".afev"
MAX_FRAME_BYTES = 64 << 20
_HEAD = struct.Struct("<II")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])


class EventSink(Protocol):
    """Where events go. Both methods may block or raise OSError; predictions never wait for them."""

    def write(self, events: Sequence[Event]) -> None:
        """Write a batch."""
        ...

    def close(self) -> None:
        """Make durable what was written."""
        ...


def frame_bytes(events: Sequence[Event]) -> bytes:
    """Return one frame."""
    payload = _encoder.encode(events)
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


class SegmentWriter:
    """Writes one worker's segments into ``folder``, a new one by size (bytes) or age (seconds).

    Data are synced to the disk at most once in ``sync_seconds``. ``open_file`` opens a new
    segment for writing, so that a test can stand in for a disk.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        max_bytes: int = 64 << 20,
        max_seconds: float = 3600.0,
        sync_seconds: float = 1.0,
        open_file: Callable[[Path], BinaryIO] | None = None,
    ) -> None:
        self.folder = folder
        self.worker = worker
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds
        self.sync_seconds = sync_seconds
        self._open_file = open_file or _create
        self._file: BinaryIO | None = None
        self._sequence = 0
        self._size = 0
        self._opened = self._synced = 0.0

    def write(self, events: Sequence[Event]) -> None:
        """Append a batch; raises OSError, after which the segment ends at its last whole frame."""
        data = frame_bytes(events)
        now = time.monotonic()
        if self._file is not None and (
            self._size + len(data) > self.max_bytes or now - self._opened > self.max_seconds
        ):
            self.close()
        file = self._file or self._begin(now)
        try:
            file.write(data)
            file.flush()
            self._size += len(data)
            if now - self._synced >= self.sync_seconds:
                os.fsync(file.fileno())
                self._synced = now
        except OSError:
            self._cut()
            raise

    def close(self) -> None:
        """Sync and close the segment; the next write begins another."""
        file, self._file = self._file, None
        if file is not None:
            try:
                os.fsync(file.fileno())
            finally:
                file.close()

    def _begin(self, now: float) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sequence += 1
        path = self.folder / f"events-{self.worker}-{self._sequence:06d}{SUFFIX}"
        self._file = file = self._open_file(path)
        self._size, self._opened, self._synced = len(MAGIC), now, now
        try:
            file.write(MAGIC)
        except OSError:
            self._cut()
            raise
        return file

    def _cut(self) -> None:
        # The next batch begins a new segment; this one keeps its whole frames.
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(OSError):  # the reader stops at a torn frame anyway
            os.ftruncate(file.fileno(), self._size)
        with suppress(OSError):  # nothing is buffered: the file is opened without a buffer
            file.close()


class StdoutSink:
    """Writes events as JSON lines, for servers whose root is read-only."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self.stream = stream or sys.stdout.buffer

    def write(self, events: Sequence[Event]) -> None:
        """Write one line an event."""
        self.stream.write(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        self.stream.flush()

    def close(self) -> None:
        """Flush what is buffered."""
        self.stream.flush()


def read_segments(folder: Path) -> Iterator[Event]:
    """Yield every event in ``folder``, segment by segment, each up to its last whole batch."""
    for path in sorted(folder.glob(f"events-*{SUFFIX}")):
        yield from read_segment(path)


def read_segment(path: Path) -> Iterator[Event]:
    """Yield the events of one segment up to its last whole batch; none for another kind of file."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, checksum = _HEAD.unpack(head)
            if length > MAX_FRAME_BYTES:
                return
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield from _decoder.decode(payload)


def _create(path: Path) -> BinaryIO:
    return path.open("xb", buffering=0)
