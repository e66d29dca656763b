"""The record of ``platforms``: where a version is best run, and why not elsewhere."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.records.autoscale import TraceTold
from afterfit.records.record import Record


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A number with what it may be at least and at most."""

    value: float
    low: float
    high: float


class CheckTold(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint that an offer failed, or that is unknown until ``confirm`` is confirmed."""

    name: str
    outcome: Literal["pass", "fail", "unknown"]
    why: str
    confirm: str = ""
    source: str = ""


class ReplicaMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """The replica that everything is derived from: requests/s within the objective, and of what."""

    rate: Range
    cores: float
    memory_gib: float
    tier: str
    cpu: str = ""
    p99_ms: float | None = None
    cold_start_s: float | None = None
    source: str = ""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """How many machines are bound, on which term, at which discount (share of on demand)."""

    term: str
    machines: int
    discount: float
    usd_per_month: float
    on_demand_usd_per_month: float
    why: str = ""


class OfferOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One offer, judged.

    ``eligible`` is ``yes``, ``if`` (what is ``unknown`` has to be confirmed) or ``no``.
    ``capacity`` is requests/s of one machine, ``basis`` how that is known. ``machines`` are (least,
    mean, most) over the traffic. ``costs`` are USD per month by part (``compute``, ``premium``,
    ``storage``, ``egress``, ``balancer``, ``cdn``, ``requests``, ``cluster``, ``redundancy``,
    ``idle``) and sum up to ``usd_per_month``, whose bounds follow from those of the capacity.
    ``values`` are the criteria from 0 to 1, ``score`` their weighted mean; ``wins`` the share of
    draws of weights that its service won with any offer, told at the best of the service.
    ``why_not`` says why it is not the choice, ``change`` the smallest change that would make it so.
    """

    id: str
    title: str
    service: str
    provider: str
    region: str
    machine: str
    kind: str
    term: str = ""
    eligible: Literal["yes", "if", "no"] = "yes"
    checks: tuple[CheckTold, ...] = ()
    capacity: Range | None = None
    basis: str = ""
    capacity_why: str = ""
    machines: tuple[float, float, float] | None = None
    usd_per_month: Range | None = None
    costs: dict[str, float] = {}
    commit: Commit | None = None
    p99_ms: Range | None = None
    values: dict[str, float] = {}
    score: float | None = None
    wins: float | None = None
    front: bool = False
    why_not: str = ""
    change: str = ""
    lost: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What the lead of the choice (score, or USD per month) is at both ends of one assumption."""

    name: str
    low: float
    high: float
    at_low: str
    at_high: str
    winner_low: str = ""
    winner_high: str = ""


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """At which ``value`` of ``what`` (now ``now``, in ``unit``) another offer would win."""

    what: str
    now: float
    value: float
    unit: str
    winner: str
    title: str = ""


class SourceTold(msgspec.Struct, frozen=True, kw_only=True):
    """Where numbers of this decision are from."""

    name: str
    text: str
    date: str = ""
    licence: str = ""
    confidence: str = "high"
    link: str = ""
    age_days: int | None = None


class Redecide(msgspec.Struct, frozen=True, kw_only=True):
    """A condition to decide anew: a gate that monitoring can watch, and what it means."""

    gate: str
    why: str


class PlatformsRecord(Record, frozen=True, kw_only=True, tag="platforms"):
    """What was chosen, from which offers, and how sure that is.

    ``ref`` is the version as people write it, empty for numbers that were told. ``choice`` is
    the id of the offer that was chosen, empty where none could be. ``decided`` is ``yes``; ``if``
    (something has to be confirmed first), ``close`` (bounds overlap: ``probe`` names the finalists
    to measure) or ``none`` (no offer passes). ``outcomes`` are those of interest, best first: the
    choice, the front, the best of each service, and of each service that failed the one nearest to
    passing. ``considered`` counts all offers, ``failed`` those that failed first by each
    constraint. ``rates`` are (hours, requests/s) over the traffic, ``machines`` the (hours,
    machines) of the choice that stand for it.
    """

    slo: str
    ref: str = ""
    traffic: TraceTold | None = None
    rates: tuple[tuple[float, float], ...] = ()
    machines: tuple[tuple[float, float], ...] = ()
    replica: ReplicaMeasured | None = None
    decided: Literal["yes", "if", "close", "none"] = "none"
    choice: str = ""
    said: str = ""
    considered: int = 0
    failed: dict[str, int] = {}
    outcomes: tuple[OfferOutcome, ...] = ()
    weights: dict[str, float] = {}
    anchors: dict[str, tuple[float, float]] = {}
    bars: tuple[Bar, ...] = ()
    flips: tuple[Flip, ...] = ()
    probe: tuple[str, ...] = ()
    redecide: tuple[Redecide, ...] = ()
    sources: tuple[SourceTold, ...] = ()
    catalog_date: str = ""
