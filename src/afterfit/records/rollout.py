"""Records of a rollout, of a drill of the way back, and of a replay beside another version."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.metric import Metric
from afterfit.records.record import Record

__all__ = [
    "Comparison",
    "DrillRecord",
    "ReplayRecord",
    "RolloutRecord",
    "RolloutStep",
    "RolloutVerdict",
]

RolloutVerdict = Literal["promoted", "rolled_back", "aborted", "gave_up", "refused", "overtaken"]


class RolloutStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step: its share in parts per million (0: copies only), and the requests of both in it."""

    share_ppm: int
    seconds: float
    canary: int
    primary: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What one watch said at the end, with bounds that held at every look.

    ``log_e`` is the log of the evidence that the canary is worse than tolerated, and ``needed``
    what would have rolled it back. ``excess`` is by how much more often the canary failed, was slow
    or disagreed; ``slow_ms`` the time (ms) that a slow request takes longer than, 0 elsewhere.
    """

    watch: str
    canary: Metric
    primary: Metric | None
    excess: Metric
    log_e: float
    needed: float
    margin: float
    worse: bool
    shown: bool
    slow_ms: float = 0.0


class RolloutRecord(Record, frozen=True, kw_only=True, tag="rollout"):
    """A rollout of one version beside another: its steps, what was compared, and how it ended.

    ``back_s`` are the seconds from the look that confirmed harm to the primary alone; None where
    nothing was rolled back.
    """

    name: str
    candidate: int
    primary: int
    verdict: RolloutVerdict
    why: str = ""
    steps: tuple[RolloutStep, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    seconds: float = 0.0
    back_s: float | None = None


class DrillRecord(Record, frozen=True, kw_only=True, tag="rollback_drill"):
    """A rollback that was timed on a running server under load, and undone.

    Times are seconds from before the alias moved: until it had, until the first answer of the old
    version, and until the last of the new one. ``failed`` of ``requests`` got no good answer.
    """

    name: str
    source: int
    target: int
    requests: int
    failed: int
    moved_s: float
    first_s: float
    last_s: float


class ReplayRecord(Record, frozen=True, kw_only=True, tag="replay"):
    """Another version's answers to rows that were served before.

    ``read`` rows had inputs and a past answer, ``labelled`` of them a truth, ``skipped`` could not
    be scored: by reason. The metrics are ``challenger``, ``served`` and ``difference`` by scope.
    """

    name: str
    challenger: int
    source: str
    read: int
    labelled: int = 0
    skipped: dict[str, int] = {}
    served: dict[str, int] = {}
    period: tuple[str, str] | None = None
