"""What a daemon stands between, and where it stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from afterfit.monitor.alarms import Alarms, AlarmsState
from afterfit.monitor.batches import Cursor, Source
from afterfit.monitor.first_rows import FirstRows
from afterfit.monitor.labelled import LabelFeed
from afterfit.monitor.producers import PRODUCERS, Producer
from afterfit.monitor.settings import Watch
from afterfit.monitor.signals.schema import Change
from afterfit.monitor.silence import Quiet
from afterfit.monitor.store import MonitorStore
from afterfit.monitor.tempo import Rhythm, Tempo
from afterfit.monitor.usage import Usage
from afterfit.monitor.watched import Watched
from afterfit.records.signals import Alarm, Scope, SignalPoint

__all__ = ["Kept", "Notifying", "Progress", "Setup", "now_us"]

Tell = Callable[[dict[str, Any]], None]


class Notifying(Protocol):
    """What tells people of alarms, in threads of its own."""

    def step(self, now: int) -> list[Alarm]:
        """Return the alarms with new deliveries, after what is due was offered."""
        ...

    def settle(self, stopped: threading.Event) -> list[Alarm]:
        """Return the alarms with new deliveries, after what acts has ended or ``stopped``."""
        ...

    def close(self, timeout_s: float = 5.0) -> list[Alarm]:
        """Stop; returns the alarms that got a last delivery."""
        ...


class Progress(msgspec.Struct, kw_only=True):
    """Where a daemon stands: µs since 1970 throughout.

    ``closed`` is until when windows are closed, ``hour`` the last hour that silence was looked for
    in, ``tick`` when burn rates were last told, ``read`` when the log was last read to its end.
    ``late`` counts rows whose window was closed, ``failed`` what signals could not be made, and
    ``missing`` says by version which are not, since nothing is at hand that they stand on.
    ``impossible`` counts rows that cannot be, by what is wrong with them.
    """

    rows: int = 0
    closed: int = 0
    hour: int = 0
    tick: int = 0
    read: int = 0
    newest: int = 0
    upkeep: int = 0
    late: dict[str, int] = {}
    failed: dict[str, str] = {}
    missing: dict[str, str] = {}
    impossible: dict[str, int] = {}


class Kept(msgspec.Struct, kw_only=True):
    """The small parts of a daemon's state.

    ``first`` are the first rows of versions by digest, ``shown`` the windows (their beginning, µs)
    that keep the distributions of quiet columns. ``answered`` is when each version of a model
    answered last (µs).
    """

    cursor: Cursor = {}
    progress: Progress = msgspec.field(default_factory=Progress)
    tempos: list[Tempo] = []
    rhythms: list[Rhythm] = []
    usage: Usage = msgspec.field(default_factory=Usage)
    first: dict[str, FirstRows] = {}
    shown: list[int] = []
    answered: dict[str, dict[str, int]] = {}


def now_us() -> int:
    """Return the moment, in µs since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a daemon stands between.

    ``watched_of`` gives the version of a scope, None for one that is not watched. ``counts`` is
    where its server keeps live counts, ``changes_of`` how the columns of a foreign log differ from
    a version's. ``alarms_of`` makes the engine of alarms from its state, ``notifier_of`` who tells
    of them, ``quiet_of`` what is silenced now; ``labels`` joins labels and judges by them, and
    ``also`` makes further points of theirs; ``metrics`` reads what a server says of itself.
    ``tell`` hears what happens, as plain values; ``clock`` is µs since 1970.
    ``windows_only`` leaves out what is of now: labels, silence, burn rates, news.
    """

    endpoint: str
    source: Source
    watched_of: Callable[[Scope], Watched | None]
    store: MonitorStore
    watch: Watch
    counts: Path | None = None
    changes_of: Callable[[Watched], list[Change]] | None = None
    alarms_of: Callable[[AlarmsState], Alarms] = lambda state: Alarms(state=state)
    notifier_of: Callable[[Alarms], Notifying] | None = None
    quiet_of: Callable[[], Quiet] = Quiet
    producers: tuple[Producer, ...] = PRODUCERS
    labels: LabelFeed | None = None
    also: Callable[[list[SignalPoint]], list[SignalPoint]] = lambda _: []
    metrics: Callable[[], str] | None = None
    tell: Tell = lambda _: None
    clock: Callable[[], int] = now_us
    windows_only: bool = False
