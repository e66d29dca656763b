"""One offer with everything that was computed of it, before it is compared with others."""

from __future__ import annotations

from dataclasses import dataclass, field

from afterfit.platforms.shapes import Capacity, Check, Offer, Term
from afterfit.records.platforms import Commit, Range

__all__ = ["PARTS", "Evaluated"]

PARTS = (
    "compute", "premium", "requests", "cluster", "balancer", "egress", "zones", "storage", "cdn",
    "redundancy", "idle",
)  # fmt: skip
"""Parts of a cost. ``compute`` is what the traffic itself keeps busy, ``redundancy`` what stands
for a loss, ``idle`` what stands because machines come whole and late; ``zones`` is traffic
between."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """An offer at the objective, for the traffic, on its best term.

    ``eligible`` follows from ``checks``: no failure, and nothing unknown that is not confirmed.
    Costs are USD per month by `PARTS`; None where a price or a capacity is not known (the check
    ``price`` or ``capacity`` says so). ``usd`` is their sum, sized by the least that a machine may
    carry (``capacity.low``), so it is also the upper bound; the lower one is sized by
    ``capacity.high``.
    ``machines`` are (least, mean, most) over the traffic, ``p99_ms`` what one request takes.
    """

    offer: Offer
    checks: tuple[Check, ...]
    term: Term = "on_demand"
    capacity: Capacity | None = None
    machines: tuple[float, float, float] | None = None
    costs: dict[str, float] = field(default_factory=dict)
    usd: Range | None = None
    commit: Commit | None = None
    p99_ms: Range | None = None
    sources: tuple[str, ...] = ()

    @property
    def failed(self) -> Check | None:
        """The first constraint that it fails, in the order of the constraints."""
        return next((check for check in self.checks if check.outcome == "fail"), None)

    @property
    def unknown(self) -> tuple[Check, ...]:
        """What has to be confirmed before it passes."""
        return tuple(check for check in self.checks if check.outcome == "unknown")
