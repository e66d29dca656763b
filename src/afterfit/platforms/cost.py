"""What an offer costs in a month, by the parts of `afterfit.platforms.evaluated.PARTS`.

The machines' money is divided by what they stand for: the share that the traffic fills is
``compute``, what stands for a loss ``redundancy``, the rest ``idle``; the managed premium is taken
out of all three. Parts add up to the total exactly: the last one is what is left of it.
"""

from __future__ import annotations

from typing import NamedTuple

from afterfit.platforms.commit import Paid, cheapest_term
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.evaluated import PARTS
from afterfit.platforms.rates import tiered
from afterfit.platforms.shapes import HOURS_PER_MONTH, Offer, Service
from afterfit.platforms.sizing import Demand, Fleet
from afterfit.records.platforms import Commit

__all__ = ["ITEMS", "Bill", "Charged", "bill_of", "busy_bill", "charged_of", "commit_of"]

ITEMS = {
    "requests": "requests",
    "cluster_h": "cluster",
    "balancer_h": "balancer",
    "balancer_gb": "balancer",
    "egress_gb": "egress",
    "zone_gb": "zones",
    "storage_gb": "storage",
    "cdn_gb": "cdn",
}
"""What is charged for beside machines -> the part of the cost."""


class Bill(NamedTuple):
    """USD per month by parts, and how the machines are paid."""

    costs: dict[str, float]
    paid: Paid | None

    @property
    def usd(self) -> float:
        """The total in USD per month."""
        return sum(self.costs.values())


class Charged(NamedTuple):
    """What a service charges beside machines: USD per month by parts, and items without a price."""

    costs: dict[str, float]
    unpriced: tuple[str, ...]


def charged_of(service: Service, demand: Demand, config: PlatformsConfig) -> Charged:
    """Return what a month of the demand is charged for beside machines."""
    amounts = _amounts(service, demand, config)
    costs = dict.fromkeys(PARTS, 0.0)
    for item, part in ITEMS.items():
        costs[part] += tiered(service.rates.get(item, ()), amounts[item])
    needed = {item for item, amount in amounts.items() if amount > 0} | {"vcpu_s", "gib_s"}
    return Charged(costs, tuple(item for item in service.unpriced if item in needed))


def _amounts(service: Service, demand: Demand, config: PlatformsConfig) -> dict[str, float]:
    """Return how many units of each item a month takes: requests, hours, GB (10**9 bytes)."""
    out = demand.per_month * config.response_bytes / 1e9
    both = out + demand.per_month * config.request_bytes / 1e9
    spread = config.survive == "zone" and config.zones > 1 and service.kind != "function"
    return {
        "requests": demand.per_month,
        "cluster_h": HOURS_PER_MONTH,
        "balancer_h": HOURS_PER_MONTH,
        "balancer_gb": both,
        "egress_gb": 0.0 if config.cdn else out,
        # Of requests that come to one zone, this share is answered in another.
        "zone_gb": both * (config.zones - 1) / config.zones if spread else 0.0,
        "storage_gb": config.storage_gb,
        "cdn_gb": out if config.cdn else 0.0,
    }


def bill_of(offer: Offer, fleet: Fleet, charged: Charged, config: PlatformsConfig) -> Bill | None:
    """Return what a month of standing machines costs; None where no allowed term has a price."""
    paid = cheapest_term(offer, fleet, config)
    if paid is None:
        return None
    machines = paid.usd * HOURS_PER_MONTH
    over = paid.idle * HOURS_PER_MONTH
    premium = _premium_share(offer)
    each = (machines - over) * (1 - premium) / fleet.mean
    costs = dict(charged.costs)
    costs["premium"] = machines * premium
    costs["compute"] = each * fleet.busy
    costs["redundancy"] = each * max(fleet.mean - fleet.bare, 0.0)
    costs["idle"] = machines - costs["premium"] - costs["compute"] - costs["redundancy"]
    return Bill(costs, paid)


def busy_bill(offer: Offer, instances: float, charged: Charged) -> Bill | None:
    """Return what a month costs where the mean number of busy ``instances`` is billed."""
    machine = offer.machine
    if "on_demand" not in offer.prices:
        return None
    costs = dict(charged.costs)
    seconds = instances * HOURS_PER_MONTH * 3600
    rates = offer.service.rates
    if "vcpu_s" in rates or "gib_s" in rates:
        costs["compute"] = tiered(rates.get("vcpu_s", ()), seconds * (machine.vcpu or 0.0))
        costs["compute"] += tiered(rates.get("gib_s", ()), seconds * (machine.memory_gib or 0.0))
    else:
        costs["compute"] = seconds / 3600 * offer.prices["on_demand"].usd_per_hour
    return Bill(costs, None)


def commit_of(paid: Paid | None) -> Commit | None:
    """Return what is bound for a record; None where nothing is."""
    if paid is None or paid.term in {"on_demand", "monthly"} or not paid.machines:
        return None
    kept = "stand on demand, what is above them is spot" if paid.term == "spot" else "are bound"
    whole = paid.usd if paid.on_demand is None else paid.on_demand
    return Commit(
        term=paid.term,
        machines=paid.machines,
        discount=paid.discount,
        usd_per_month=paid.usd * HOURS_PER_MONTH,
        on_demand_usd_per_month=whole * HOURS_PER_MONTH,
        why=f"{paid.machines} {kept}; one more would cost more than it saves",
    )


def _premium_share(offer: Offer) -> float:
    whole = offer.prices.get("on_demand")
    if whole is None or not offer.premium_per_hour or not whole.usd_per_hour:
        return 0.0
    return offer.premium_per_hour / whole.usd_per_hour
