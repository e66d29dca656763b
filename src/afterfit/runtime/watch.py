"""Files that may be replaced while the server runs, such as keys and certificates."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["FileWatch"]

_SETTLED_NS = 2_000_000_000


class FileWatch:
    """Tells whether files hold something new since the last look; links are followed.

    A look costs one ``stat`` a file. A file that changed within the last two seconds is read in
    full at every look, because a second change may have left time and size as they were.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(paths)
        self._marks: tuple[object, ...] | None = None
        self._digest = b""

    def changed(self) -> bool:
        """Return whether bytes, mode or owner differ from the last look; True the first time.

        Look first and read afterwards: what is read is then at least as new as what was seen.
        """
        marks = tuple(_mark(path) for path in self.paths)
        if marks == self._marks:
            return False
        oldest_settled = time.time_ns() - _SETTLED_NS
        settled = all(max(mark[:2]) < oldest_settled for mark in marks)
        self._marks = marks if settled else None
        digest = self._read()
        if digest == self._digest:
            return False
        self._digest = digest
        return True

    def _read(self) -> bytes:
        digest = hashlib.sha256()
        for path in self.paths:
            try:
                status, data = path.stat(), path.read_bytes()
            except OSError as error:
                digest.update(f"error {error.errno};".encode())
            else:
                digest.update(f"{status.st_mode} {status.st_uid} {len(data)};".encode() + data)
        return digest.digest()


def _mark(path: Path) -> tuple[int, ...]:
    """Return modified and changed time in ns, then what else tells one file from another."""
    try:
        status = path.stat()
    except OSError as error:
        return 0, 0, error.errno or -1
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev
