"""The record of ``loadtest``: what the served model did under requests."""

from __future__ import annotations

from afterfit.records.record import Record


class LoadtestRecord(Record, frozen=True, kw_only=True, tag="loadtest"):
    """``quantiles`` are (quantile in 0..1, latency in ms) pairs for the percentile plot.

    ``schedule`` says how requests were sent (``closed:4`` is four users without think time);
    ``errors`` counts the answers that were not 200.
    """

    schedule: str
    requests: int
    errors: int
    duration_s: float
    rate: float
    quantiles: tuple[tuple[float, float], ...] = ()
    settings: dict[str, int] = {}
