"""What a daemon says once and keeps in its status: what it cannot judge, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from afterfit.monitor.batches import Batch
from afterfit.monitor.impossible import counted, from_future
from afterfit.monitor.setup import Progress
from afterfit.monitor.watched import Watched
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["Notes", "Say"]

REFERENCE = "give labelled rows that the model was not trained on: --reference FILE"


class Say(Protocol):
    """Tells what happens: the name of an event, and its words."""

    def __call__(self, event: str, **words: object) -> None:
        """Tell it."""
        ...


class Notes:
    """Keeps in ``progress`` what is wrong, and tells of each thing once."""

    def __init__(self, progress: Progress, say: Say) -> None:
        self._progress, self._say = progress, say
        self._missing: set[str] = set()

    def failed(self, signal: str, error: Exception) -> None:
        """Tell that a signal could not be made."""
        why = f"{type(error).__name__}: {error}"
        if self._progress.failed.get(signal) != why:
            self._progress.failed[signal] = why
            self._say("signal_failed", signal=signal, why=why)

    def works(self, signal: str) -> None:
        """Take note that a signal is made again."""
        self._progress.failed.pop(signal, None)

    def missing(self, scope: Scope, watched: Watched) -> None:
        """Tell of a version which signals are not made, and how they would be."""
        version = f"{scope.model}@{scope.version}"
        if version in self._missing:
            return
        self._missing.add(version)
        missing = watched.missing()
        self._progress.missing.pop(version, None)
        if missing:
            why = "; ".join(dict.fromkeys(missing.values()))
            self._progress.missing[version] = f"{', '.join(missing)}: {why}"
            self._say("skipped", version=version, signals=list(missing), why=why, fix=REFERENCE)

    def judged(self, points: Sequence[SignalPoint]) -> None:
        """Take note that drift is judged, where it is."""
        if any(point.signal == "drift" and point.state in ("ok", "alarm") for point in points):
            self.works("drift")

    def possible(self, batch: Batch, watched: Watched, now: int) -> Batch:
        """Return the rows that are not of the future, after counting those that cannot be."""
        told = self._progress.impossible
        for what, count in counted(batch, watched.signature.task, now).items():
            if what not in told:
                self._say("impossible", what=what)
            told[what] = told.get(what, 0) + count
        ahead = from_future(batch.ts, now)
        return batch.take(~ahead) if ahead.any() else batch
