"""Live counts: what each served version saw and said, on the fingerprint's own bins.

A count needs no raw rows and merges exactly with those of other workers and hours. Every worker
has a file an hour, ``counts-WORKER-START-NUMBER.json``, that is replaced until the hour is over.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame
from afterfit.errors import IntegrityError
from afterfit.runtime.endpoint import write_atomic

__all__ = ["CountsFile", "LiveCounts", "Window", "read_counts"]

WINDOW_SECONDS = 3600
MOST_HOURS = 168
"""Hours that are kept while they cannot be written, and files of this worker that are kept."""


class Window(msgspec.Struct, kw_only=True):
    """What one version saw from ``start`` (seconds since 1970, UTC) for ``seconds``."""

    model: str
    version: int
    digest: str
    start: int
    seconds: int = WINDOW_SECONDS
    fingerprint: Fingerprint


class CountsFile(msgspec.Struct, kw_only=True):
    """The windows of one worker."""

    worker: str
    windows: list[Window] = []
    schema: int = 1


class _Hour:
    """The windows of one hour; ``number`` tells apart hours that a clock came back to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.changed = False
        self.windows: dict[tuple[str, int, str], Window] = {}


class LiveCounts:
    """The windows of this worker that change or wait to be written, and their files."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._hours: dict[int, _Hour] = {}
        self._number = 0
        self._written: list[Path] = []

    def update(
        self,
        key: tuple[str, int, str],
        reference: Fingerprint,
        frame: Frame,
        scores: np.ndarray,
        *,
        now: float | None = None,
    ) -> None:
        """Add rows and their scores to this hour's window; ``key`` is (model, version, digest)."""
        seconds = int(time.time() if now is None else now)
        start = seconds - seconds % WINDOW_SECONDS
        hour = self._hours.get(start) or self._begin(start)
        window = hour.windows.get(key)
        if window is None:
            model, version, digest = key
            window = hour.windows[key] = Window(
                model=model,
                version=version,
                digest=digest,
                start=start,
                fingerprint=reference.blank(),
            )
        hour.changed = True
        window.fingerprint.update(frame, scores)

    def save(self, folder: Path) -> None:
        """Write the hours that changed, and forget all but the last one; raises OSError."""
        for start, hour in list(self._hours.items()):
            if hour.changed:
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"counts-{self.worker}-{start}-{hour.number}.json"
                content = CountsFile(worker=self.worker, windows=list(hour.windows.values()))
                write_atomic(path, msgspec.json.encode(content))
                hour.changed = False
                if path not in self._written:
                    self._written.append(path)
        for start in list(self._hours)[:-1]:
            del self._hours[start]
        while len(self._written) > MOST_HOURS:
            self._written.pop(0).unlink(missing_ok=True)

    def _begin(self, start: int) -> _Hour:
        self._number += 1
        hour = self._hours[start] = _Hour(self._number)
        while len(self._hours) > MOST_HOURS:
            del self._hours[next(iter(self._hours))]
        return hour


def read_counts(folder: Path) -> list[Window]:
    """Return the windows of every worker in ``folder`` and below; raises IntegrityError."""
    windows: list[Window] = []
    for path in sorted(folder.rglob("counts-*.json")):
        try:
            windows += msgspec.json.decode(path.read_bytes(), type=CountsFile).windows
        except msgspec.MsgspecError as error:
            raise IntegrityError(
                "live counts cannot be read",
                where=str(path),
                why=str(error),
                fix="put the file elsewhere; its counts are lost",
            ) from None
    return windows
