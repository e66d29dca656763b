"""What two versions say of the same rows, and how long each takes: the proof of a version diff."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.metric import Metric

__all__ = ["Direction", "Flip", "FlipSlice", "MetricPair", "RowsCompared"]

Direction = Literal["improved", "regressed", "cannot tell"]


class MetricPair(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of both versions on the same rows.

    ``gain`` is how much better the new one is (above 0), with its paired interval, in the metric's
    unit, or where ``share`` is true as a share of the old one's value. ``direction`` is that of the
    whole interval: one that holds 0 is ``cannot tell``. ``needed_n`` is about how many rows would
    show that no more than the margin is lost, 0 where that is not known.
    """

    name: str
    old: float | None
    new: float | None
    gain: Metric
    direction: Direction
    share: bool = False
    needed_n: int = 0


class Flip(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were decided as ``old`` and now as ``new``; right ones where labels tell."""

    old: str
    new: str
    n: int
    was_right: int | None = None
    is_right: int | None = None


class FlipSlice(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that change more than others, found on one half and measured on the other.

    ``inside`` and ``outside`` are the share of rows that flip (or the mean change of the value of
    a regression), ``gap`` their difference; ``adjusted`` is Benjamini and Hochberg's p-value over
    all candidates.
    """

    name: str
    n: int
    inside: Metric
    outside: Metric
    gap: Metric
    adjusted: float


class RowsCompared(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions on ``n`` rows of ``source`` (``data`` is their digest), ``labelled`` with truth.

    ``changed`` is the share of rows decided otherwise, or of a regression the mean change of the
    value. ``latency`` are the medians of one row in ms, old and new, and their paired difference
    (new - old). ``skipped`` says what could not be looked into, and why. Intervals are at the
    level of their metrics, each for itself: of twenty, one misses at 95 %.
    """

    source: str
    data: str
    n: int
    labelled: int
    metrics: tuple[MetricPair, ...] = ()
    changed: Metric
    flips: tuple[Flip, ...] = ()
    slices: tuple[FlipSlice, ...] = ()
    tested: int = 0
    largest: float | None = None
    latency: tuple[Metric, ...] = ()
    skipped: tuple[str, ...] = ()

    def among(self, direction: Direction) -> tuple[MetricPair, ...]:
        """Return the metrics that went one way."""
        return tuple(each for each in self.metrics if each.direction == direction)
