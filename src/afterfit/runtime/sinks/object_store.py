"""Events to an object store through fsspec: whole segments, from a bounded folder of their own.

The server writes segments to a local spool, and a thread uploads each that has ended and removes
it. What a process leaves behind is uploaded by the next one with the same spool.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
import tempfile
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from afterfit.errors import DependencyError
from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.log import log_line
from afterfit.runtime.sinks.base import Trouble
from afterfit.runtime.sinks.opening import needs, scheme_of
from afterfit.runtime.sinks.segments import SUFFIX, SegmentWriter, has_ended

__all__ = ["ObjectStoreSink", "open_object_store"]

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}


class ObjectStoreSink:
    """Uploads segments to ``root`` of a filesystem of fsspec, as ``date=2026-11-23/NAME``.

    A segment ends at ``max_bytes`` or after ``max_seconds``. When ``spool_bytes`` wait in the
    folder ``spool``, new events are refused (OSError), so that a store that is away for long does
    not fill the disk.
    """

    def __init__(
        self,
        filesystem: Any,
        root: str,
        worker: str,
        spool: Path,
        *,
        max_bytes: int = 16 << 20,
        max_seconds: float = 60.0,
        spool_bytes: int = 512 << 20,
        first_delay: float = FIRST_DELAY,
    ) -> None:
        self.root = root.rstrip("/")
        self.spool = spool
        self.spool_bytes = spool_bytes
        self.first_delay = first_delay
        self._filesystem = filesystem
        # Containers have equal numbers of processes, and may have been started together.
        self._writer = SegmentWriter(
            spool,
            f"{worker}-{os.urandom(4).hex()}",
            max_bytes=max_bytes,
            max_seconds=max_seconds,
            closed=self._add,
        )
        self._trouble = Trouble("upload of events", calm_seconds=0.0)
        self._changed = threading.Condition()
        self._paths: deque[tuple[Path, int]] = deque()
        self._pending = 0
        self._closing = self._hurried = False
        self._take_over()
        self._thread = threading.Thread(target=self._run, name="afterfit-upload", daemon=True)
        self._thread.start()

    def write(self, batch: EventBatch) -> None:
        """Write to the spool; raises OSError where that is full."""
        if self._pending >= self.spool_bytes:
            raise OSError(f"{self._pending >> 20} MiB wait for their upload, as much as may wait")
        self._writer.write(batch)

    def tick(self) -> None:
        """Sync the segment, and end it when it is old."""
        self._writer.tick()

    def hurry(self) -> None:
        """Try no more after the upload that goes on now."""
        with self._changed:
            self._hurried = True
            self._changed.notify()

    def close(self) -> None:
        """End the segment and upload what waits, until that is done or ``hurry`` is called."""
        try:
            self._writer.close()
        finally:
            with self._changed:
                self._closing = True
                self._changed.notify()
            self._thread.join()
        if self._paths:
            log_line({"event": "events_left", "files": len(self._paths), "spool": str(self.spool)})

    def _take_over(self) -> None:
        """Queue what an earlier process ended and did not upload; the rest is mended later."""
        if self.spool.is_dir():
            for path in sorted(self.spool.glob(f"events-*{SUFFIX}")):
                if has_ended(path):
                    self._add(path)

    def _add(self, path: Path) -> None:
        size = _size(path)
        with self._changed:
            self._paths.append((path, size))
            self._pending += size
            self._changed.notify()

    def _run(self) -> None:
        delay = self.first_delay
        while True:
            with self._changed:
                while not self._paths and not self._closing and not self._hurried:
                    self._changed.wait()
                if not self._paths or self._hurried:
                    return
                path, size = self._paths[0]
            if self._upload(path):
                delay = self.first_delay
                with self._changed:
                    self._paths.popleft()
                    self._pending -= size
                continue
            with self._changed:
                if not self._hurried:
                    # Apart from each other, so that servers do not come back all at once.
                    self._changed.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            delay = min(LONGEST_DELAY, 2 * delay)

    def _upload(self, path: Path) -> bool:
        """Return whether a segment is in the store, or is gone from the spool."""
        if _size(path):
            try:
                day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
                folder = f"{self.root}/date={day}"
                self._filesystem.makedirs(folder, exist_ok=True)
                self._filesystem.put_file(str(path), f"{folder}/{path.name}")
            except Exception as error:  # noqa: BLE001 - each store has errors of its own
                self._trouble.bad(f"{type(error).__name__}: {error}")
                return False
        path.unlink(missing_ok=True)
        self._trouble.good()
        return True


def open_object_store(address: str, worker: str) -> ObjectStoreSink:
    """Return the sink of an address such as ``s3://bucket/events``; raises DependencyError.

    Credentials come from the environment, as the store's own package reads them. The spool lies in
    the folder of temporary files (``TMPDIR``).
    """
    fsspec = needs("fsspec", "objectstore", address)
    try:
        filesystem, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(scheme_of(address))
        raise DependencyError(
            f"events to {scheme_of(address)}:// need one more package",
            why=str(error),
            fix=f"pip install {package}" if package else "pip install 'afterfit[objectstore]'",
        ) from None
    return ObjectStoreSink(filesystem, root, worker, _spool(address))


def _spool(address: str) -> Path:
    """Return a folder that only this user can use, the same one each time where that may be."""
    name = hashlib.sha256(address.encode()).hexdigest()[:12]
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    path = Path(tempfile.gettempdir()) / f"afterfit-spool-{user}-{name}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return path  # it may be made later; until then each write says why not
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
    return path if ours or os.name != "posix" else Path(tempfile.mkdtemp(prefix="afterfit-spool-"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
