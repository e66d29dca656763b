"""Segments of events in a folder: Arrow IPC streams that survive ``kill -9``.

A writer holds a lock on the segment that it writes. A segment without the mark of its end and
without a lock is one whose writer was killed: the next writer in the folder cuts what is torn off
its end and puts the mark, so that any reader of Arrow takes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from afterfit.runtime.event_batch import EventBatch, Scan
from afterfit.runtime.event_schema import SCHEMA
from afterfit.runtime.formats.arrow_write import END
from afterfit.runtime.log import log_line

__all__ = ["SUFFIX", "SegmentWriter", "has_ended", "mend", "open_folder", "segments"]

SUFFIX = ".arrows"
AGAIN_BYTES = 64 << 10
"""Dictionaries are written again after so many bytes: what a broken one can cost."""


class SegmentWriter:
    """Writes one worker's segments into ``folder``, a new one by size (bytes) or age (seconds).

    Data are synced to the disk at most once in ``sync_seconds``. ``closed`` is called with the path
    of each segment that is whole. ``open_file`` opens a new segment for writing, so that a test can
    stand in for a disk.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        max_bytes: int = 64 << 20,
        max_seconds: float = 3600.0,
        sync_seconds: float = 1.0,
        closed: Callable[[Path], None] = lambda _: None,
        open_file: Callable[[Path], BinaryIO] | None = None,
    ) -> None:
        self.folder = folder
        self.worker = worker
        self.max_bytes = max_bytes
        self.max_seconds = max_seconds
        self.sync_seconds = sync_seconds
        self._closed = closed
        self._open_file = open_file or _create
        self._file: BinaryIO | None = None
        self._path = folder
        self._sequence = self._size = self._since = 0
        self._opened = self._synced = 0.0
        self._unsynced = self._mended = False
        self._dictionaries = b""

    def write(self, batch: EventBatch) -> None:
        """Append a batch; raises OSError, after which the segment ends at its last whole batch."""
        size = len(batch.dictionaries) + len(batch.records)
        if self._file is not None and self._size + size > self.max_bytes:
            self.close()
        file = self._file or self._begin()
        same = batch.dictionaries == self._dictionaries and self._since < AGAIN_BYTES
        data = batch.records if same else batch.dictionaries + batch.records
        try:
            _write_all(file, data)
        except OSError:
            self._cut(file)
            raise
        self._size += len(data)
        self._since = self._since + len(data) if same else len(data)
        self._dictionaries = batch.dictionaries
        self._unsynced = True
        self._tend(file)

    def tick(self) -> None:
        """Sync what was written last, and end a segment that is old; raises OSError."""
        if self._file is not None:
            self._tend(self._file)

    def close(self) -> None:
        """Put the mark of the end, sync and close the segment; the next write begins another."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            _write_all(file, END)
            os.fsync(file.fileno())
        except OSError:
            # Readers take a segment without the mark too, but half of one would be torn.
            with suppress(OSError):
                os.ftruncate(file.fileno(), self._size)
            raise
        finally:
            file.close()
            self._closed(self._path)

    def _tend(self, file: BinaryIO) -> None:
        now = time.monotonic()
        if self._unsynced and now - self._synced >= self.sync_seconds:
            os.fsync(file.fileno())
            self._synced, self._unsynced = now, False
        if now - self._opened >= self.max_seconds:
            self.close()

    def _begin(self) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._mended:
            for path in mend(self.folder):
                self._closed(path)
            self._mended = True
        self._sequence += 1
        self._path = self.folder / f"events-{self.worker}-{self._sequence:06d}{SUFFIX}"
        file = self._open_file(self._path)
        with suppress(OSError):  # where there are no locks, nothing will be mended
            # Waits for a process that is just looking whether this segment was left behind.
            _lock(file, wait=True)
        try:
            _write_all(file, SCHEMA)
        except OSError:
            file.close()
            self._path.unlink(missing_ok=True)
            raise
        self._file, self._size, self._dictionaries = file, len(SCHEMA), b""
        self._opened = self._synced = time.monotonic()
        return file

    def _cut(self, file: BinaryIO) -> None:
        """Take back what was written of a batch; where that fails, the segment ends here."""
        try:
            os.ftruncate(file.fileno(), self._size)
            file.seek(self._size)
        except OSError:
            self._file = None
            with suppress(OSError):  # nothing is buffered: the file is opened without a buffer
                file.close()


def segments(folder: Path) -> Iterator[Path]:
    """Yield the segments in a folder and below, those of one worker in the order of writing."""
    yield from sorted(folder.rglob(f"events-*{SUFFIX}"))


def mend(folder: Path) -> list[Path]:
    """Return the segments that killed writers left in a folder, after making them whole."""
    return [path for path in sorted(folder.glob(f"events-*{SUFFIX}")) if _mend(path)]


def open_folder(address: str, worker: str) -> SegmentWriter:
    """Return the sink of a folder, given as a path or as ``file:///path``."""
    return SegmentWriter(Path(address.removeprefix("file://")), worker)


def _mend(path: Path) -> bool:
    """Return whether the segment was left by a writer that was killed, and is whole now."""
    try:
        with path.open("r+b", buffering=0) as file:
            if _ended(file):
                return False
            _lock(file, wait=False)
            # Between the look and the lock its writer may have ended it.
            if _ended(file):
                return False
            found = Scan(path.read_bytes())
            rows = sum(batch.rows for batch in found)
            if not found.whole:
                return False
            os.ftruncate(file.fileno(), found.whole)
            file.seek(found.whole)
            _write_all(file, END)
            os.fsync(file.fileno())
    except OSError:
        return False  # its writer lives, it is gone, or it cannot be written here
    log_line({"event": "segment_mended", "file": path.name, "rows": rows, "cut": found.torn})
    return True


def has_ended(path: Path) -> bool:
    """Return whether a segment has the mark of its end, so that nobody writes it any more."""
    try:
        with path.open("rb", buffering=0) as file:
            return _ended(file)
    except OSError:
        return False


def _ended(file: BinaryIO) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - len(END)))
    return file.read(len(END)) == END


def _lock(file: BinaryIO, *, wait: bool) -> None:
    """Lock a file until it is closed; raises OSError where somebody has it, or nobody can."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        raise OSError("this system has no such locks") from None
    flock(file.fileno(), LOCK_EX if wait else LOCK_EX | LOCK_NB)


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte: on a disk that is nearly full a call takes only a part."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _create(path: Path) -> BinaryIO:
    return path.open("xb", buffering=0)
