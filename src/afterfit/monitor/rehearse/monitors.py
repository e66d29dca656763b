"""Monitors that can be rehearsed: our own, and dummies that look at nothing.

Anything with ``see`` and ``fork`` can be scored in their place.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np

from afterfit.core.frame import Frame, Predictions
from afterfit.core.signature import Signature
from afterfit.monitor.alarms import Alarms
from afterfit.monitor.batches import Batch
from afterfit.monitor.budget import Budget
from afterfit.monitor.producers import SIGNALS, Watched, produce
from afterfit.monitor.rank import rank
from afterfit.monitor.score_metrics import MAIN_METRICS
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.settings import Watch
from afterfit.monitor.signals.label_shift import label_shift_points
from afterfit.monitor.signals.performance import performance_points
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.monitor.sources.columns import same
from afterfit.monitor.state import WindowState
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["Always", "Monitor", "OwnMonitor", "Periodic", "Seen", "Told", "closeness", "table_of"]

FAR = 10.0
"""A signal that is farther beyond its threshold is drawn no farther."""


@dataclass(frozen=True)
class Seen:
    """A window as a monitor sees it: rows, answers, and the labels that will be known of them.

    ``answers`` is None where the model refused the rows, and ``error`` says why. ``start`` and
    ``end`` are µs since 1970, end excluded.
    """

    frame: Frame
    rows: int
    answers: Predictions | None
    truth: np.ndarray | None
    start: int
    end: int
    error: str = ""


@dataclass(frozen=True)
class Told:
    """What a monitor says of a window: alarms that are new, the first to look at first.

    ``score`` is how far the worst signal is towards an alarm, which is 1.
    """

    raised: tuple[SignalPoint, ...]
    score: float


class Monitor(Protocol):
    """What can be rehearsed."""

    def see(self, seen: Seen) -> Told:
        """Return what is said of the next window."""
        ...

    def fork(self) -> Self:
        """Return a copy that goes on from here by itself."""
        ...


@dataclass(frozen=True)
class Always:
    """Raises an alarm in every window."""

    def see(self, seen: Seen) -> Told:
        """Raise it."""
        return Told((_blind(seen),), 1.0)

    def fork(self) -> Self:
        """Return itself: it knows nothing."""
        return self


@dataclass
class Periodic:
    """Raises an alarm in every so many windows, the first ``phase`` (below ``every``) windows on.

    It is what as many alarms are worth by chance.
    """

    every: int
    phase: int = 0
    count: int = 0

    def see(self, seen: Seen) -> Told:
        """Raise it where its time has come."""
        due = self.count % self.every == self.phase
        self.count += 1
        return Told((_blind(seen),) if due else (), float(due))

    def fork(self) -> Self:
        """Return one that goes on from here."""
        return replace(self)


def _blind(seen: Seen) -> SignalPoint:
    return SignalPoint(
        signal="clock", scope=Scope(), start=seen.start, end=seen.end, n=seen.rows, state="alarm"
    )


@dataclass
class OwnMonitor:
    """Ours, as the daemon runs it: the same producers, thresholds and rules of alarms.

    With ``quality``, the score table of the reference, it also measures quality, ``label_delay``
    windows later. ``alarms`` are without gates and actions: what is rehearsed is whether somebody
    is told. ``failed`` holds producers that broke, and on what.
    """

    watched: Watched
    watch: Watch
    alarms: Alarms
    quality: ScoreTable | None = None
    label_delay: int = 1
    known: set[str] = field(default_factory=set)
    waiting: deque[tuple[ScoreTable, int, int]] = field(default_factory=deque)
    failed: dict[str, str] = field(default_factory=dict)

    def fork(self) -> Self:
        """Return one that goes on from here; what is watched is shared."""
        return replace(
            self,
            alarms=copy.deepcopy(self.alarms),
            known=set(self.known),
            waiting=deque(self.waiting),
        )

    def see(self, seen: Seen) -> Told:
        """Return the alarms that fire since this window."""
        points = [*self._of_window(seen), *self._of_labels(seen)]
        changed = self.alarms.step(points, seen.end)
        new = [a for a in changed if a.state == "firing" and a.id not in self.known]
        self.known.update(alarm.id for alarm in new)
        score = max([0.0, *map(closeness, points)])
        return Told(tuple(alarm.worst for alarm in rank(new)), score)

    def _budget(self) -> Budget:
        """Return the daemon's budget; quality is one more that shares it."""
        families = SIGNALS + (self.quality is not None)
        return Budget(false_alarms_per_month=self.watch.false_alarms_per_month, signals=families)

    def _of_window(self, seen: Seen) -> list[SignalPoint]:
        fingerprint = self.watched.reference.fingerprint
        if fingerprint is None:
            return []
        state = WindowState.empty(Scope(), seen.start, seen.end, fingerprint)
        state.update(_batch(seen, self.watched.reference.signature))
        return produce(state, self.watched, self.watch, self._budget(), failed=self._note)

    def _note(self, name: str, error: Exception) -> None:
        self.failed.setdefault(name, f"{type(error).__name__}: {error}")

    def _of_labels(self, seen: Seen) -> list[SignalPoint]:
        """Return the quality of the window whose labels are known by now."""
        if self.quality is None:
            return []
        table = table_of(self.watched.reference.signature, seen.answers, seen.truth)
        self.waiting.append((table, seen.start, seen.end))
        if len(self.waiting) <= self.label_delay:
            return []
        due, start, end = self.waiting.popleft()
        names, signature = MAIN_METRICS[due.task], self.watched.signature
        chance = self._budget().per_window(start, end) / (len(names) + bool(signature.classes))
        config = QualityConfig(metrics=names, chance=chance, min_labels=min_labels(self.watch))
        window = Window(Scope(), start, end)
        shares = label_shift_points(
            self.quality, due, signature.classes, window, config, positive=signature.positive_index
        )
        return [*performance_points(self.quality, due, window, config), *shares]


def min_labels(watch: Watch) -> int:
    """Return how many labels a window needs before its quality is judged."""
    return min(QualityConfig().min_labels, max(2, watch.min_rows))


def table_of(
    signature: Signature, answers: Predictions | None, truth: np.ndarray | None
) -> ScoreTable:
    """Return the score table of answered rows with their truth, as far as it is known."""
    table = ScoreTable.of(signature)
    if answers is not None:
        codes = _codes(signature, answers)
        table.update(_scores(signature, answers), codes, truth, answers.probabilities)
    return table


def closeness(point: SignalPoint) -> float:
    """Return how far a point is towards an alarm, 1 at it: by its threshold and its least effect.

    0 where it says nothing.
    """
    if point.value is None or point.threshold is None or point.state not in ("ok", "alarm"):
        return 0.0
    usual = point.usual or 0.0
    way, effect = point.threshold - usual, point.value - usual
    far = effect / way if way else (FAR if effect else 0.0)
    if point.least:
        far = min(far, abs(effect) / point.least)
    far = max(0.0, min(FAR, far))
    return max(1.0, far) if point.state == "alarm" else min(far, 1.0)


def _batch(seen: Seen, signature: Signature) -> Batch:
    n = seen.rows
    answers = seen.answers
    kind = "served" if answers is not None else "failed"
    return Batch(
        scope=Scope(),
        role="primary",
        ts=np.linspace(seen.start, seen.end, n, endpoint=False).astype(np.int64),
        kinds=same(kind, n),
        scores=np.full(n, np.nan) if answers is None else _scores(signature, answers),
        probabilities=None if answers is None else answers.probabilities,
        codes=np.full(n, -1, np.int64) if answers is None else _codes(signature, answers),
        ids=same("", n),
        entities=same("", n),
        queue_us=same(-1, n, np.int64),
        infer_us=same(-1, n, np.int64),
        flags=same(-1, n, np.int64),
        errors=same(seen.error, n),
        frame=seen.frame,
    )


def _scores(signature: Signature, answers: Predictions) -> np.ndarray:
    return np.asarray(answers.score(signature.positive_index), np.float64)


def _codes(signature: Signature, answers: Predictions) -> np.ndarray:
    if signature.task == "regression":
        return np.full(len(answers), -1, np.int64)
    return signature.codes(answers)
