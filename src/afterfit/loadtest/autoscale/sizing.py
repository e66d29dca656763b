"""How many replicas are needed at the least, and how full they may be, so that a ramp is survived.

A fleet that is sized by rules reacts late: until a new replica answers, traffic has grown. So the
load to aim at follows from how steep this trace is and how long this policy takes; it is no flat
70 %. Where the steepest ramps start from little traffic, a floor of replicas is cheaper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from afterfit.core.trace import Trace, greatest_ahead
from afterfit.loadtest.autoscale.queueing import Floats, Replica
from afterfit.loadtest.slo import Slo

Survive = Literal["none", "replica", "zone"]
SHARE = 0.5
"""The share of the misses that the objective allows which sizes are made for."""
HEADROOM = 1.25
"""By how much a peak may be higher than the trace's before ``most`` stops the policy."""
LOADS = 29


@dataclass(frozen=True)
class Fleet:
    """What every size is made for.

    ``safe_rate`` is the greatest rate (requests/s) of one replica that misses half of what it may.
    ``survive`` is the loss that must do no harm: none, one replica, or one of ``zones`` zones.
    """

    replica: Replica
    slo: Slo
    safe_rate: float
    survive: Survive = "replica"
    zones: int = 3
    most: int | None = None

    @classmethod
    def of(
        cls, replica: Replica, slo: Slo, survive: Survive, zones: int, most: int | None
    ) -> Fleet:
        """Return it with the rate that follows."""
        return cls(replica, slo, replica.greatest_rate(slo, share=SHARE), survive, zones, most)

    def needed(self, rate: float) -> int:
        """Return the replicas that carry a rate after the loss that must do no harm."""
        alone = max(1, math.ceil(rate / self.safe_rate - 1e-9))
        if self.survive == "replica":
            return alone + 1
        if self.survive == "zone":
            return math.ceil(alone * self.zones / (self.zones - 1) - 1e-9)
        return alone

    def left(self, replicas: Floats) -> Floats:
        """Return how many replicas are left after the loss."""
        if self.survive == "replica":
            return replicas - 1
        if self.survive == "zone":
            return np.floor(replicas * (self.zones - 1) / self.zones + 1e-9)
        return replicas


@dataclass(frozen=True)
class Size:
    """Replicas between ``least`` and ``most``, each with ``rate`` requests/s.

    ``reaction_s`` is what passes until a new replica answers; ``growth`` by how much traffic grows
    meanwhile at the worst, from ``growth_from`` requests/s.
    """

    least: int
    most: int
    rate: float
    reaction_s: float
    growth: float
    growth_from: float


def size(fleet: Fleet, trace: Trace, reaction_s: float, tolerance: float = 0.0) -> Size:
    """Return the cheapest floor and load with which each ramp of the trace is survived.

    ``tolerance`` is by how much the policy lets a replica be fuller than it aims at.
    """
    rates = trace.smooth
    ahead = greatest_ahead(rates, math.ceil(reaction_s / trace.step_s))
    best = (math.inf, fleet.safe_rate, 1)
    for share in np.linspace(1.0, 0.3, LOADS):
        aim = fleet.safe_rate / (1 + tolerance) * share
        replicas = np.maximum(np.ceil(rates / aim - 1e-9), 1.0)
        short = fleet.left(replicas) * fleet.safe_rate < ahead * (1 - 1e-9)
        least = fleet.needed(float(ahead[short].max())) if short.any() else fleet.needed(0.0)
        cost = float(np.maximum(replicas, least).mean())
        if cost < best[0] * (1 - 1e-6):
            best = (cost, aim, least)
    _, aim, least = best
    grown = ahead / np.maximum(rates, trace.peak * 0.01)
    worst = int(np.argmax(grown))
    top = trace.peak * HEADROOM
    most = fleet.most or max(fleet.needed(top), math.ceil(top / aim), least)
    return Size(
        min(least, most), most, float(aim), reaction_s, float(grown[worst]), float(rates[worst])
    )


@dataclass(frozen=True)
class Block:
    """From ``start_s`` to ``end_s`` of the trace at least ``least`` replicas."""

    start_s: float
    end_s: float
    least: int


def blocks_of(fleet: Fleet, trace: Trace, block_s: float) -> tuple[Block, ...]:
    """Return the floors of each part of the trace, neighbours that are alike taken together.

    A floor carries the peak of its part; who uses it begins it earlier, so that its replicas answer
    when the part begins.
    """
    rates, steps = trace.smooth, max(1, round(block_s / trace.step_s))
    found: list[Block] = []
    for first in range(0, len(rates), steps):
        last = min(first + steps, len(rates))
        least = fleet.needed(float(rates[first:last].max()))
        least = min(least, fleet.most or least)
        start, end = first * trace.step_s, last * trace.step_s
        before = found[-1] if found else None
        if before and max(least, before.least) <= 1.15 * min(least, before.least) + 1e-9:
            found[-1] = Block(before.start_s, end, max(least, before.least))
        else:
            found.append(Block(start, end, least))
    return tuple(found)


def block_length(trace: Trace) -> float:
    """Return the length of the parts of a schedule in s: an hour, of short traces a 24th."""
    return float(max(60.0, min(3600.0, trace.seconds / 24)))
