"""How many machines to bind, and what may be taken away: the mix of terms that costs least.

A bound machine is paid all the time, another one only while it stands. Binding one more is worth it
as long as it would stand for a greater share of the time than the share of the price that is still
due: P(D >= c*) = 1 - discount, the newsvendor's rule (Arrow, Harris and Marschak, Econometrica
19(3), 1951), here exactly, over whole machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from afterfit.platforms.config import Commitment, PlatformsConfig
from afterfit.platforms.shapes import Offer, Term
from afterfit.platforms.sizing import Fleet

__all__ = ["INTERRUPTIONS_PER_H", "Paid", "bound_machines", "cheapest_term", "terms_of"]

INTERRUPTIONS_PER_H = 1 / 24
"""How often a spot machine is taken away; each time one on demand stands in for an hour. An
assumption on the side of caution: providers publish shares of a month, and promise nothing."""

_BOUND: dict[Term, Commitment] = {
    "reserved_1y": "1y",
    "savings_1y": "1y",
    "reserved_3y": "3y",
    "savings_3y": "3y",
}
_ALLOWED: dict[Commitment, frozenset[Commitment]] = {
    "none": frozenset(),
    "1y": frozenset({"1y"}),
    "3y": frozenset({"1y", "3y"}),
}


class Paid(NamedTuple):
    """What a fleet costs in USD per hour on a term, of which ``idle`` for bound machines at rest.

    ``machines`` are bound (or never taken away, with spot); ``on_demand`` is the fleet at that
    price, None where there is none.
    """

    term: Term
    usd: float
    idle: float
    machines: int
    discount: float
    on_demand: float | None


def bound_machines(fleet: Fleet, price: float, on_demand: float) -> int:
    """Return how many machines to bind at ``price``, where another one costs ``on_demand``."""
    tail = np.cumsum(fleet.shares[::-1])[::-1]
    worth = np.flatnonzero(tail * on_demand >= price - 1e-12)
    return int(fleet.counts[worth[-1]]) if len(worth) else 0


def terms_of(offer: Offer, config: PlatformsConfig) -> Iterator[Term]:
    """Yield the terms that an offer has and the requirements allow."""
    allowed = _ALLOWED[config.requirements.commitment]
    for term in offer.prices:
        bound = _BOUND.get(term)
        taken = term == "spot" and not config.requirements.interruptible
        if not taken and (bound is None or bound in allowed):
            yield term


def cheapest_term(offer: Offer, fleet: Fleet, config: PlatformsConfig) -> Paid | None:
    """Return the cheapest way to pay the fleet; None where no term has a price."""
    paid = (_paid(offer, fleet, term) for term in terms_of(offer, config))
    return min((each for each in paid if each), key=lambda each: each.usd, default=None)


def _paid(offer: Offer, fleet: Fleet, term: Term) -> Paid | None:
    price = offer.prices[term].usd_per_hour
    told = offer.prices.get("on_demand")
    whole = told.usd_per_hour if told else None
    on_demand = whole * fleet.mean if whole is not None else None
    if term == "on_demand":
        return Paid(term, price * fleet.mean, 0.0, 0, 0.0, on_demand)
    discount = 1 - price / whole if whole else 0.0
    if term == "spot":
        if whole is None:
            return None
        kept = int(fleet.counts[0])
        each = price + INTERRUPTIONS_PER_H * whole
        return Paid(term, kept * whole + (fleet.mean - kept) * each, 0.0, kept, discount, on_demand)
    # What is due whether it runs or not, and what cannot be topped up, stands for the peak.
    peak = int(fleet.counts[-1])
    machines = peak if term == "monthly" or not whole else bound_machines(fleet, price, whole)
    over = float(np.maximum(fleet.counts - machines, 0) @ fleet.shares)
    rest = max(machines - (fleet.mean - over), 0.0)
    return Paid(
        term, machines * price + over * (whole or 0.0), rest * price, machines, discount, on_demand
    )
