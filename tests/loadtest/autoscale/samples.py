"""A small comparison that several tests read: a quarter of an hour, one run in means."""

from __future__ import annotations

from functools import cache
from typing import Any

from afterfit.core.trace import Trace, event_of, preset, with_event
from afterfit.loadtest.autoscale.config import AutoscaleConfig, Measured
from afterfit.loadtest.autoscale.run import Subject, autoscale
from afterfit.loadtest.slo import Slo
from afterfit.records.autoscale import AutoscaleRecord

SLO = Slo(0.99, 50.0)
MEASURED = Measured(
    rate=400.0, service_ms=2.1, cv=1.0, concurrency=2, queue=200, cold_start_s=30.0
)  # fmt: skip
CHURN = Subject(name="Churn Model!", number=7, digest="ab" * 32)


def trace(name: str = "diurnal", peak: float = 4000.0, *, step_s: float = 60.0) -> Trace:
    """A shape in coarse steps, so that a run takes hundredths of a second."""
    made = preset(name).with_peak(peak)
    width = max(1, round(step_s / made.step_s))
    rates = made.rates[: len(made.rates) // width * width].reshape(-1, width).mean(axis=1)
    return Trace(name, rates, made.step_s * width)


def compared(traffic: Trace, **config: Any) -> AutoscaleRecord:
    """The record of a comparison, two runs each unless told otherwise."""
    return autoscale(MEASURED, SLO, traffic, AutoscaleConfig(**{"runs": 2, **config}), of=CHURN)


@cache
def with_an_event() -> AutoscaleRecord:
    """A day with five times the traffic from 8 to 10."""
    return compared(with_event(trace(), event_of("2026-11-27T08:00 x5 2h")), usd_h=0.1)


@cache
def of_every_day() -> AutoscaleRecord:
    """A day like every other."""
    return compared(trace())
