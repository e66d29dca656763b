"""Services, machines and replicas of which every fact is known, and an exhaustive search."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from afterfit.core.trace import Trace
from afterfit.platforms.commit import INTERRUPTIONS_PER_H
from afterfit.platforms.config import PlatformsConfig, Requirements
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.facts import COMPLIANCE, FACTS, PATHS
from afterfit.platforms.shapes import (
    HOURS_PER_MONTH,
    Fact,
    Machine,
    Measured,
    Offer,
    Price,
    Rate,
    Service,
)
from afterfit.platforms.sizing import lag_of, least_of

KNOWN: dict[str, bool | float] = {
    "payload_mb": math.inf, "timeout_s": math.inf, "concurrency": math.inf,
    "most_replicas": math.inf, "scale_to_zero": False, "autoscaling": True, "scale_lag_s": 40.0,
    "cold_start_s": 20.0, "availability": 0.999, "least_replicas_of_sla": 2.0,
    "private_network": True, "own_keys": True, "data_residency": True, "interrupted": False,
    "air_gapped": False,
}  # fmt: skip


def rate(usd: float, start: float = 0.0) -> Rate:
    """A rate of a made-up list."""
    return Rate(usd=usd, unit="", source="list", start=start)


def service(facts: dict[str, Any] | None = None, **known: Any) -> Service:
    """A service of which everything is known but what ``facts`` say otherwise."""
    told = KNOWN | (facts or {})
    return msgspec_service(known, {name: Fact(value=told.get(name)) for name in FACTS})


def msgspec_service(known: dict[str, Any], facts: dict[str, Fact]) -> Service:
    """A service with defaults for what does not matter."""
    base: dict[str, Any] = {
        "id": "aws-vm", "provider": "aws", "title": "VMs", "kind": "vm",
        "compliance": {name: Fact(value=True, source="map") for name in COMPLIANCE},
        "paths": {name: Fact(value="by a driver") for name in PATHS},
    }  # fmt: skip
    return Service(facts=facts, **(base | known))


def machine(name: str = "m7i.large", **known: Any) -> Machine:
    """A machine of two vCPUs and 8 GiB."""
    base: dict[str, Any] = {
        "provider": "aws", "region": "us-east-1", "arch": "x86_64", "tier": "amx", "vcpu": 2.0,
        "memory_gib": 8.0, "coremark": 44_000.0, "source": "specs",
    }  # fmt: skip
    return Machine(name=name, **(base | known))


def offer(told: Service | None = None, where: Machine | None = None, **prices: float) -> Offer:
    """An offer at prices in USD per hour by term; 0.1 on demand where none is given."""
    usd = {term: Price(usd_per_hour=v, source="list") for term, v in prices.items()}
    return Offer(
        service=told or service(),
        machine=where or machine(),
        prices=usd or {"on_demand": Price(usd_per_hour=0.1, source="list")},  # type: ignore[arg-type]
    )


def measured(**known: Any) -> Measured:
    """A replica of one vCPU that does 100 requests/s on an m7i.large."""
    base: dict[str, Any] = {
        "rate": 100.0, "low": 95.0, "high": 105.0, "cores": 1.0, "memory_gib": 0.5, "tier": "amx",
        "arch": "x86_64", "coremark_per_core": 22_000.0, "siblings": "busy",
    }  # fmt: skip
    return Measured(**(base | known))


def trace(*rates: float, step_s: float = 3600.0) -> Trace:
    """Rates of an hour each."""
    return Trace("told", np.array(rates, dtype=np.float64), step_s)


def machines_by_hand(
    told: Trace, carried: float, lag_s: float | None, config: PlatformsConfig, least: int
) -> list[int]:
    """The machines of each step, by the words of the rule: a loop without any shortcut."""
    found = []
    for step in range(len(told.rates)):
        until = len(told.rates) if lag_s is None else step + math.ceil(lag_s / told.step_s) + 1
        window = told.rates if lag_s is None else told.rates[step:until]
        needed = max(1, math.ceil(float(window.max()) / carried - 1e-9))
        count = needed
        if config.survive == "replica":
            count = needed + 1
        if config.survive == "zone":
            tried = np.arange(needed, 2 * needed + 2)
            count = int(tried[tried - np.ceil(tried / config.zones) >= needed][0])
        found.append(max(count, least))
    return found


def exhaustive(
    evaluated: Iterable[Evaluated], config: PlatformsConfig, replica: Measured, told: Trace
) -> tuple[float, str] | None:
    """The least cost (USD per month) and its offer, trying every term and number of machines.

    Of what was evaluated only the checks, the capacity and what is charged beside machines count.
    """
    found = []
    for each in evaluated:
        if each.usd is None or any(check.outcome != "pass" for check in each.checks):
            continue
        usd = each.usd.value
        if each.offer.service.billed == "hours":
            beside = ("requests", "cluster", "balancer", "egress", "zones", "storage", "cdn")
            usd = sum(each.costs[part] for part in beside) + _least(each, config, replica, told)
        found.append((usd, each.offer.id))
    return min(found, default=None)


def _least(each: Evaluated, config: PlatformsConfig, replica: Measured, told: Trace) -> float:
    assert each.capacity is not None
    offer = each.offer
    lag, least = lag_of(offer, replica), least_of(offer, config)
    counts = np.array(machines_by_hand(told, each.capacity.low, lag, config, least))
    whole = offer.prices.get("on_demand")
    tried = []
    for term, price in offer.prices.items():
        usd = price.usd_per_hour
        if term == "on_demand":
            tried.append(usd * counts.mean())
        elif term == "spot" and config.requirements.interruptible and whole:
            taken = usd + INTERRUPTIONS_PER_H * whole.usd_per_hour
            kept = counts.min()
            tried.append(kept * whole.usd_per_hour + (counts - kept).mean() * taken)
        elif term == "monthly":
            tried.append(usd * counts.max())
        elif term.endswith(_bound(config)):
            tops = np.arange(counts.max() + 1) if whole else np.array([counts.max()])
            other = whole.usd_per_hour if whole else 0.0
            over = np.maximum(counts - tops[:, None], 0).mean(axis=1)
            tried.append(float((usd * tops + over * other).min()))
    return float(min(tried)) * HOURS_PER_MONTH


def _bound(config: PlatformsConfig) -> tuple[str, ...]:
    return {"none": ("never",), "1y": ("_1y",), "3y": ("_1y", "_3y")}[
        config.requirements.commitment
    ]


def random_requirements(random: np.random.Generator) -> PlatformsConfig:
    """Settings and requirements drawn by chance, that can be had together."""

    def some(chance: float, value: Any, otherwise: Any) -> Any:
        return value if random.random() < chance else otherwise

    def one_of(*values: Any) -> Any:
        return values[int(random.integers(len(values)))]

    needs = Requirements(
        providers=some(0.2, (one_of("aws", "azure", "gcp"),), ()),
        regions=some(0.3, (one_of("us", "eu", "us-east-1"),), ()),
        compliance=some(0.3, (one_of("hipaa", "soc2", "iso27001"),), ()),
        private_network=some(0.3, value=True, otherwise=False),
        availability=some(0.3, one_of(0.99, 0.995, 0.999), None),
        budget_usd_per_month=some(0.2, float(random.uniform(100, 2000)), None),
        commitment=one_of("none", "1y", "3y"),
        interruptible=some(0.4, value=True, otherwise=False),
        timeout_s=some(0.2, one_of(30.0, 600.0), None),
    )
    known = ("price", "replicas", "payload", "timeout", "availability", "cold_start")
    return PlatformsConfig(
        requirements=needs,
        slo=one_of("p99<50ms", "p99<200ms", "p95<100ms"),
        survive=one_of("none", "replica", "zone"),
        zones=one_of(2, 3),
        confirmed=some(0.7, known, ()),
    )
