"""The record of ``autoscale``: how many replicas a trace needs, by each policy."""

from __future__ import annotations

import msgspec

from afterfit.core.metric import Metric
from afterfit.records.record import Record


class ReplicaTold(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one replica, and what the simulation made of it.

    ``rate`` is the greatest that holds the objective, in requests/s, with its bounds where it was
    measured. ``service_ms`` is the mean of a quiet server, ``loaded_ms`` that of a busy one with
    which the model holds the objective just up to ``rate``; ``cv`` its coefficient of variation.
    ``queue`` requests may wait. ``safe_rate`` misses half of what the objective allows. ``source``
    says where the numbers are from.
    """

    rate: float
    low: float | None
    high: float | None
    service_ms: float
    loaded_ms: float
    cv: float
    concurrency: int
    queue: int
    cold_start_s: float
    safe_rate: float
    source: str


class TraceTold(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic: rates in requests/s, ``start`` in ISO 8601 (UTC) or empty, what was done."""

    name: str
    seconds: float
    step_s: float
    peak: float
    mean: float
    requests: float
    counted: bool = False
    start: str = ""
    notes: tuple[str, ...] = ()


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One run over time, each point the mean of a stretch: hours, replicas, share of misses."""

    hours: tuple[float, ...]
    ready: tuple[float, ...]
    missed: tuple[float, ...]


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """At least ``least`` replicas from ``start_s`` to ``end_s`` of the trace."""

    start_s: float
    end_s: float
    least: int


class PolicyOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One policy: its settings, why they are so, what it came to, and why it won or lost.

    ``raised`` is the floor that followed from the trace where a run showed that it needs more.
    """

    name: str
    title: str
    settings: dict[str, float]
    reasons: dict[str, str]
    metrics: tuple[Metric, ...]
    holds: bool
    why: str
    timeline: Timeline
    floors: tuple[Floor, ...] = ()
    raised: int | None = None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What another cold start would come to, with a size of its own."""

    what: str
    holds: bool
    settings: dict[str, float]
    replica_hours: float
    violation_minutes: float


class AutoscaleRecord(Record, frozen=True, kw_only=True, tag="autoscale"):
    """``chosen`` is the cheapest policy that holds the objective, empty where none does.

    ``engine`` says how it was simulated (``exact``: request by request; ``means``), ``runs`` how
    often with other chance. ``usd_h`` is the price of a replica-hour, None where none was told.
    ``rates`` is the trace over time: (hours, requests/s) pairs.
    """

    name: str
    number: int
    slo: str
    replica: ReplicaTold
    trace: TraceTold
    engine: str
    runs: int
    policies: tuple[PolicyOutcome, ...]
    chosen: str
    usd_h: float | None = None
    survive: str = "replica"
    zones: int = 3
    rates: tuple[tuple[float, float], ...] = ()
    what_ifs: tuple[WhatIf, ...] = ()

    def policy(self, name: str) -> PolicyOutcome | None:
        """Return what a policy came to, None for one that was not simulated."""
        return next((each for each in self.policies if each.name == name), None)
