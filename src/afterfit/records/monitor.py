"""The record of ``monitor report``: what a version saw and said in a period."""

from __future__ import annotations

from typing import Any

import msgspec

from afterfit.core.fingerprint import Fingerprint
from afterfit.records.record import Record
from afterfit.records.signals import SignalPoint


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column's live distribution is from the reference, both with their rows."""

    column: str
    name: str
    value: float | None
    n: int
    n_ref: int
    message: str = ""


class MonitorRecord(Record, frozen=True, kw_only=True, tag="monitor"):
    """Counts by kind, live distributions beside the reference, and the period (ISO 8601, UTC).

    ``points`` are labels, performance and estimates: of the whole period, and of stretches of it.
    ``counted`` is the first and the last moment of the whole hours whose live counts stand in
    ``live``; None where none were used.
    """

    counts: dict[str, int] = {}
    period: tuple[str, str] | None = None
    counted: tuple[str, str] | None = None
    reference: Fingerprint | None = None
    live: Fingerprint | None = None
    distances: tuple[Distance, ...] = ()
    versions: dict[str, Any] = {}
    points: tuple[SignalPoint, ...] = ()
