"""Each policy sized for a trace: its settings, why they are what they are, and how it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from afterfit.core.trace import Trace
from afterfit.loadtest.autoscale.policies import Hpa, Keda, Knative, Policy, Ray, Static
from afterfit.loadtest.autoscale.sizing import Block, Fleet, Size, block_length, blocks_of, size

MARGIN_S = 60.0
"""How much earlier than it has to a scheduled replica starts: image pulls and nodes vary."""
TOLERANCE = 0.1
KNATIVE_SHARE = 0.7
TITLES = {
    "static": "A fixed number",
    "hpa-cpu": "HPA on CPU",
    "hpa-rps": "HPA on requests/s",
    "keda": "KEDA on requests/s",
    "knative": "Knative (KPA)",
    "ray": "Ray Serve",
    "scheduled": "HPA with a schedule",
    "hpa-as-is": "HPA as often set",
}
REACTIONS = {
    "static": 0.0,
    "hpa-cpu": 15 + 15 + 7.5,
    "hpa-rps": 15 + 15 + 15,
    "keda": 15 + 15 + 30,
    "knative": 2 + 30,
    "ray": 30 + 15,
    "scheduled": 15 + 15 + 15,
    "hpa-as-is": 15 + 15 + 7.5,
}
"""Seconds from a rise of traffic to the decision at the worst: scrape, control loop, half of the
window that is averaged, delay. The cold start comes on top."""


@dataclass(frozen=True)
class Plan:
    """One policy, ready to be simulated: ``make`` builds it anew with a phase (s) for its scrapes.

    ``settings`` are what a controller takes, by name; ``first`` replicas run at the start.
    """

    name: str
    size: Size
    settings: dict[str, float]
    make: Callable[[float], Policy]
    first: int
    holds: bool = True
    blocks: tuple[Block, ...] = field(default=())

    @property
    def title(self) -> str:
        """What it is called."""
        return TITLES[self.name]


def plan_of(
    name: str, fleet: Fleet, trace: Trace, *, least: int | None = None, to_zero: bool = False
) -> Plan:
    """Return a policy sized for a trace; ``least`` is a floor instead of the one that follows.

    ``to_zero`` lets KEDA, Knative and Ray stop the last replica.
    """
    reaction = REACTIONS[name] + fleet.replica.cold_start_s
    tolerance = TOLERANCE if name.startswith(("hpa", "keda", "scheduled")) else 0.0
    if name == "static":
        return _static(fleet, trace, least)
    if name == "scheduled":
        return _scheduled(fleet, trace, reaction, least)
    sized = size(fleet, trace, reaction, tolerance)
    if name == "hpa-as-is":
        sized = replace(sized, least=1, rate=0.8 * fleet.replica.capacity)
    elif to_zero and name in ("keda", "knative", "ray"):
        sized = replace(sized, least=0)
    elif least is not None:
        sized = replace(sized, least=min(least, sized.most))
    return _reactive(name, fleet, trace, sized)


def _static(fleet: Fleet, trace: Trace, least: int | None) -> Plan:
    count = least or fleet.needed(trace.peak)
    count = min(count, fleet.most or count)
    sized = Size(count, count, trace.peak / count, 0.0, 1.0, trace.peak)
    return Plan("static", sized, {"replicas": count}, lambda _: Static(count, count), count)


def _scheduled(fleet: Fleet, trace: Trace, reaction: float, least: int | None) -> Plan:
    lead = fleet.replica.cold_start_s + 15 + MARGIN_S
    blocks = blocks_of(fleet, trace, block_length(trace))
    top = size(fleet, trace, reaction, TOLERANCE)
    bottom = max(least or 0, min(block.least for block in blocks))
    rate = floor_to(fleet.safe_rate / (1 + TOLERANCE))
    most = max(top.most, *(block.least for block in blocks))
    sized = Size(bottom, most, rate, reaction, top.growth, top.growth_from)

    def floor(now: float) -> int:
        found = (b.least for b in blocks if b.start_s - lead <= now < b.end_s)
        return max(found, default=bottom)

    def make(phase: float) -> Policy:
        return Hpa("answered", rate, bottom, most, window_s=30.0, phase_s=phase, floor=floor)

    settings = {"min": bottom, "max": most, "rate": rate, "lead_s": lead}
    return Plan("scheduled", sized, settings, make, floor(0.0), blocks=blocks)


def _reactive(name: str, fleet: Fleet, trace: Trace, sized: Size) -> Plan:
    replica, low, most = fleet.replica, sized.least, sized.most
    load = replica.load(sized.rate)
    rate, cpu = floor_to(sized.rate), max(1, math.floor(load * 100 + 1e-9))
    inside = floor_to(replica.curve.of_load(load))
    made: dict[str, tuple[str, float, Callable[[float], Policy]]] = {
        "hpa-cpu": ("cpu_percent", cpu, lambda phase: Hpa(
            "cpu", cpu / 100, low, most, replica.concurrency, phase_s=phase)),
        "hpa-rps": ("rate", rate, lambda phase: Hpa(
            "answered", rate, low, most, window_s=30.0, phase_s=phase)),
        "keda": ("rate", rate, lambda phase: Keda(
            Hpa("answered", rate, max(1, low), most, window_s=60.0, phase_s=phase), low, most)),
        "knative": ("concurrency", inside, lambda _: Knative(inside, low, most)),
        "ray": ("ongoing", inside, lambda _: Ray(inside, low, most)),
    }  # fmt: skip
    made["hpa-as-is"] = made["hpa-cpu"]
    key, value, make = made[name]
    start = min(most, max(low, 1, math.ceil(float(trace.smooth[0]) / sized.rate)))
    settings = {"min": low, "max": most, key: value}
    return Plan(name, sized, settings, make, start, holds=name in ("knative", "ray"))


def floor_to(value: float, digits: int = 3) -> float:
    """Return a number with so many significant digits, never more than it is."""
    scale = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return round(math.floor(value / scale + 1e-9) * scale, 12)
