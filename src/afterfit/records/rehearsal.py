"""The record of ``monitor rehearse``: what a monitor said of faults that were put there."""

from __future__ import annotations

import msgspec

from afterfit.core.metric import Metric
from afterfit.records.record import Record

__all__ = ["Dummy", "Outcome", "RehearsalRecord", "Remedy", "Trial"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One replay of a fault: what it hit, and what the monitor first said of it.

    ``windows`` counts those from the onset to the first alarm, that window included, and ``rows``
    their rows; None where there was no alarm. ``signal`` and ``named`` are of the alarm that stood
    first in that window. ``right`` says that it named the fault, ``among`` that any alarm of that
    window did.
    """

    subject: str
    windows: int | None = None
    rows: int | None = None
    signal: str = ""
    named: str = ""
    right: bool = False
    among: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One fault at one severity over all replays.

    ``size`` says in words how hard it hit. ``detected`` and ``named`` are shares of replays with
    an alarm, and with one that named the fault; ``delay`` is the median of windows, None where half
    of the replays or more had no alarm. ``scores`` are of the first replay, window by window: how
    far the worst signal was towards an alarm, which is 1; the fault sets in at window ``onset``.
    """

    fault: str
    title: str
    severity: str
    size: str
    trials: tuple[Trial, ...]
    detected: Metric
    named: Metric
    delay: Metric
    scores: tuple[float, ...] = ()
    onset: int = 0


class Dummy(msgspec.Struct, frozen=True, kw_only=True):
    """A monitor that looks at nothing: what the same number of alarms is worth by chance.

    ``detected`` is the share of replays with an alarm in ``after`` windows, ``delay`` the median of
    windows, ``false_alarms`` those of a month.
    """

    name: str
    detected: Metric
    delay: Metric
    false_alarms: Metric


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """Another setting that was tried on a fault that was missed, and what share it then detected.

    ``delay_rows`` is the median of rows until the first alarm.
    """

    fault: str
    severity: str
    setting: str
    detected: Metric
    delay_rows: Metric


class RehearsalRecord(Record, frozen=True, kw_only=True, tag="rehearsal"):
    """What a monitor said of scripted faults in replayed traffic.

    A window is of ``window_rows`` rows and ``window_us`` µs (``timed`` where that is known of the
    rows, else as ``[monitor] window`` or an hour has it). ``outcomes`` are by fault and severity,
    ``skipped`` says of faults that could not be put there why. ``null_scores`` are of the first
    replay without a fault, ``false_alarms`` of all of them, in alarms a month. ``raised`` is the
    share of labelled rows of the class that the fault ``labels`` makes more frequent, 0 of a
    regression or without labels.
    """

    window_rows: int
    window_us: int
    timed: bool = False
    block: int = 1
    replays: int
    labelled: bool = False
    raised: float = 0.0
    rescored: bool = True
    outcomes: tuple[Outcome, ...] = ()
    skipped: dict[str, str] = {}
    null_windows: int = 0
    null_alarms: int = 0
    null_scores: tuple[float, ...] = ()
    false_alarms: Metric
    asked_per_month: float = 1.0
    dummies: tuple[Dummy, ...] = ()
    remedies: tuple[Remedy, ...] = ()
