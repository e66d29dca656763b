"""Replays: the same traffic without a fault, and with each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from afterfit.core.progress import SILENT, Progress
from afterfit.monitor.rehearse.faults import FAULTS, Fault, Hit, Level
from afterfit.monitor.rehearse.monitors import Always, Monitor, Periodic, Seen
from afterfit.monitor.rehearse.traffic import Rows, Traffic
from afterfit.records.rehearsal import Trial
from afterfit.records.signals import SignalPoint

__all__ = ["Case", "Played", "Stage", "cases_of", "play", "ring"]

MOST_ERROR = 200


@dataclass(frozen=True)
class Stage:
    """How traffic is replayed: rows and µs of a window, and windows before and after the onset."""

    traffic: Traffic
    window_rows: int
    window_us: int
    before: int
    after: int
    seed: int = 0

    def seen(self, rows: Rows, window: int) -> Seen:
        """Return a window (from 0) as a monitor sees it."""
        answers, error = None, ""
        try:
            answers = self.traffic.answer(rows.frame, rows.places)
        except Exception as failure:  # noqa: BLE001 - a model may raise anything: a server says 500
            error = f"{type(failure).__name__}: {failure}"[:MOST_ERROR]
        start = (window + 1) * self.window_us
        return Seen(
            rows.frame, len(rows), answers, rows.truth, start, start + self.window_us, error
        )

    def windows(self, replay: int) -> list[npt.NDArray[np.int64]]:
        """Return the places of the rows of each window of a replay."""
        count = self.before + self.after
        generator = np.random.default_rng([self.seed, replay])
        places = self.traffic.draw(count * self.window_rows, generator, self.window_rows)
        return list(places.reshape(count, self.window_rows))


@dataclass(frozen=True)
class Case:
    """A fault at one severity."""

    fault: Fault
    level: Level

    @property
    def key(self) -> tuple[str, str]:
        """Return its name and severity."""
        return self.fault.name, self.level.name


@dataclass
class Played:
    """What came of replays: trials by case; scores and false alarms of windows without a fault."""

    trials: dict[tuple[str, str], list[Trial]] = field(default_factory=dict)
    scores: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    null_scores: list[float] = field(default_factory=list)
    null_windows: int = 0
    null_alarms: int = 0
    replays: int = 0


def cases_of(traffic: Traffic) -> tuple[list[Case], dict[str, str]]:
    """Return the faults that can be put into the traffic, and why others cannot."""
    cases, skipped = [], {}
    for fault in FAULTS:
        if fault.needs_labels and not traffic.known().any():
            skipped[fault.name] = "no labels were given"
        elif not fault.subjects(traffic):
            skipped[fault.name] = f"it needs {fault.needed}"
        else:
            cases += [Case(fault, level) for level in fault.levels]
    return cases, skipped


def play(
    stage: Stage,
    make: Callable[[], Monitor],
    cases: Sequence[Case],
    replays: int,
    *,
    ends: float = float("inf"),
    progress: Progress = SILENT,
) -> Played:
    """Return what a monitor says of each case; every replay hits a column drawn by the seed.

    A fault sets in on top of the same windows that are replayed without it. No replay begins after
    ``ends`` (`time.monotonic`), the first two excepted. All of the first replay is scored; of the
    others a fault is replayed until its first alarm.
    """
    played = Played()
    subjects = {case.fault.name: case.fault.subjects(stage.traffic) for case in cases}
    for replay in range(replays):
        if replay > 1 and time.monotonic() > ends:
            break
        windows = stage.windows(replay)
        before = _without(stage, make(), windows, played)
        for case in cases:
            generator = np.random.default_rng([stage.seed, replay, _number(case.fault)])
            subject = str(generator.choice(subjects[case.fault.name]))
            faulty = _faulty(stage, case, subject, windows, generator)
            trial, scores = _with(stage, before.fork(), case, subject, faulty, whole=replay == 0)
            played.trials.setdefault(case.key, []).append(trial)
            if replay == 0:
                played.scores[case.key] = [*played.null_scores[: stage.before], *scores]
        played.replays += 1
        progress.advance()
    return played


def _number(fault: Fault) -> int:
    return [each.name for each in FAULTS].index(fault.name)


def _without(
    stage: Stage, monitor: Monitor, windows: Sequence[npt.NDArray[np.int64]], played: Played
) -> Monitor:
    """Replay without a fault; returns the monitor as it was when one would have set in."""
    before = monitor
    for number, places in enumerate(windows):
        if number == stage.before:
            before = monitor.fork()
        told = monitor.see(stage.seen(stage.traffic.rows(places), number))
        played.null_windows += 1
        played.null_alarms += bool(told.raised)
        if played.replays == 0:
            played.null_scores.append(told.score)
    return before


def _faulty(
    stage: Stage,
    case: Case,
    subject: str,
    windows: Sequence[npt.NDArray[np.int64]],
    generator: np.random.Generator,
) -> Iterator[Seen]:
    for count, places in enumerate(windows[stage.before :], start=1):
        hit = Hit(stage.traffic, subject, case.level.size, count, generator)
        rows = case.fault.change(stage.traffic.rows(places), hit)
        yield stage.seen(rows, stage.before + count - 1)


def _with(
    stage: Stage,
    monitor: Monitor,
    case: Case,
    subject: str,
    faulty: Iterator[Seen],
    *,
    whole: bool,
) -> tuple[Trial, list[float]]:
    """Return what became of a fault, and the scores of its windows, all of them where ``whole``."""
    trial, scores = Trial(subject=subject), []
    for count, seen in enumerate(faulty, start=1):
        told = monitor.see(seen)
        scores.append(told.score)
        if told.raised and trial.windows is None:
            trial = _trial(case.fault, subject, count, stage.window_rows, told.raised)
        if trial.windows is not None and not whole:
            break
    return trial, scores


def _trial(
    fault: Fault, subject: str, windows: int, window_rows: int, raised: Sequence[SignalPoint]
) -> Trial:
    first = raised[0]
    return Trial(
        subject=subject,
        windows=windows,
        rows=windows * window_rows,
        signal=first.signal,
        named=first.subject,
        right=fault.is_right(first, subject),
        among=any(fault.is_right(point, subject) for point in raised),
    )


def ring(stage: Stage, every: int, replays: int) -> list[int | None]:
    """Return the delays of a dummy that raises an alarm in every so many windows, by replay.

    It looks at nothing, so one empty window stands for all of them. The phase is drawn.
    """
    blank = Seen({}, stage.window_rows, None, None, 0, stage.window_us)
    generator = np.random.default_rng([stage.seed, every])
    delays: list[int | None] = []
    for _ in range(replays):
        phase = int(generator.integers(every))
        dummy: Always | Periodic = Periodic(every, phase) if every > 1 else Always()
        rung = (count for count in range(1, stage.after + 1) if dummy.see(blank).raised)
        delays.append(next(rung, None))
    return delays
