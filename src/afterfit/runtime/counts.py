"""Live counts: what each served version saw and said, on the fingerprint's own bins.

A count needs no raw rows and merges exactly with those of other workers and hours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.frame import Frame
from afterfit.errors import IntegrityError
from afterfit.runtime.endpoint import write_atomic

__all__ = ["CountsFile", "LiveCounts", "Window", "merge_counts", "read_counts"]

WINDOW_SECONDS = 3600
MAX_WINDOWS = 168


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


class LiveCounts:
    """The windows of this worker, the last 168 hours of them, and their file."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.windows: dict[tuple[str, int, str, int], Window] = {}

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
        window = self.windows.get((*key, start))
        if window is None:
            model, version, digest = key
            window = Window(
                model=model,
                version=version,
                digest=digest,
                start=start,
                fingerprint=reference.blank(),
            )
            self.windows[*key, start] = window
            while len(self.windows) > MAX_WINDOWS:
                del self.windows[next(iter(self.windows))]
        window.fingerprint.update(frame, scores)

    def save(self, folder: Path) -> Path:
        """Return the file ``counts-WORKER.json`` after replacing it; raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"counts-{self.worker}.json"
        content = CountsFile(worker=self.worker, windows=list(self.windows.values()))
        write_atomic(path, msgspec.json.encode(content))
        return path


def read_counts(folder: Path) -> list[Window]:
    """Return the windows of every worker in ``folder``; raises IntegrityError."""
    windows: list[Window] = []
    for path in sorted(folder.glob("counts-*.json")):
        try:
            windows += msgspec.json.decode(path.read_bytes(), type=CountsFile).windows
        except msgspec.MsgspecError as error:
            raise IntegrityError(
                "live counts cannot be read", where=str(path), why=str(error)
            ) from None
    return windows


def merge_counts(windows: Iterable[Window]) -> dict[tuple[str, int, str], Fingerprint]:
    """Return the sums by (model, version, digest); raises ValueError where bins differ."""
    total: dict[tuple[str, int, str], Fingerprint] = {}
    for window in windows:
        key = (window.model, window.version, window.digest)
        if key not in total:
            total[key] = window.fingerprint.blank()
        total[key].merge(window.fingerprint)
    return total
