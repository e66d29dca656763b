"""A made-up market: services, offers, and an evaluation of them that needs no catalog."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from afterfit.core.slo import Slo, slo_of
from afterfit.core.trace import Trace
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.facts import COMPLIANCE, FACTS, PATHS
from afterfit.platforms.question import Question
from afterfit.platforms.shapes import (
    HOURS_PER_MONTH,
    Basis,
    Capacity,
    Check,
    Fact,
    Kind,
    Machine,
    Measured,
    Offer,
    Price,
    Service,
    Tier,
)
from afterfit.records.platforms import Range

SLO: Slo = slo_of("p99<50ms")
MEASURED = Measured(
    rate=100, low=95, high=105, cores=1, memory_gib=0.5, tier="vnni", arch="x86_64",
    service_ms=4.0, source="told",
)  # fmt: skip


def facts(**known: float | bool | str | None) -> dict[str, Fact]:
    """All facts, unknown but for those that are given."""
    return {name: Fact(value=known.get(name)) for name in FACTS}


def service(
    name: str, *, kind: Kind = "vm", hipaa: bool | None = None, premium: float = 0.0, **known: Any
) -> Service:
    """A service of the provider that its name begins with."""
    compliance = {each: Fact(value=hipaa if each == "hipaa" else None) for each in COMPLIANCE}
    return Service(
        id=name, provider=name.partition("-")[0], title=name.replace("-", " ").title(), kind=kind,
        regions=("us-east-1",), facts=facts(**known), compliance=compliance,
        paths={each: Fact(value=None) for each in PATHS}, premium={"": premium},
    )  # fmt: skip


def offer(
    told: Service, machine: str, usd_h: float, *, vcpu: float = 2, tier: Tier = "vnni"
) -> Offer:
    """A service on one size."""
    price = Price(usd_per_hour=usd_h, source="list")
    size = Machine(
        provider=told.provider, region="us-east-1", name=machine, arch="x86_64", tier=tier,
        vcpu=vcpu, memory_gib=4 * vcpu, prices={"on_demand": price}, source="list",
    )  # fmt: skip
    return Offer(service=told, machine=size, prices={"on_demand": price})


SELF = service("aws-ec2", effort=0.9, lock_in=0.1, autoscaling=True, private_network=True,
               encryption_at_rest=None, hipaa=True, availability=0.9999, scale_lag_s=60.0,
               most_replicas=1000.0)  # fmt: skip
MANAGED = service("aws-sagemaker", kind="endpoint", effort=0.2, lock_in=0.6, autoscaling=True,
                  canary=True, data_capture=True, private_network=True, own_keys=True,
                  hipaa=True, identity=True, encryption_at_rest=True, availability=0.9995,
                  scale_lag_s=300.0, most_replicas=500.0)  # fmt: skip
CHEAP = service("hetzner-cloud", kind="host", effort=1.0, lock_in=0.1, hipaa=False,
                availability=None)  # fmt: skip
UNSURE = service("gcp-run", kind="containers", effort=0.1, lock_in=0.3, autoscaling=True,
                 scale_to_zero=True, hipaa=None, availability=0.9995, scale_lag_s=10.0)  # fmt: skip

OFFERS = (
    offer(SELF, "m7i.large", 0.10),
    offer(SELF, "m6i.large", 0.096),
    offer(SELF, "c5.large", 0.085, tier="avx512"),
    offer(MANAGED, "ml.m7i.large", 0.12),
    offer(CHEAP, "cx33", 0.01, vcpu=4, tier=""),
    offer(UNSURE, "2 vCPU", 0.16),
)
FACTORS: dict[str, tuple[Basis, float]] = {
    "m7i.large": ("measured", 1.02), "ml.m7i.large": ("measured", 1.02),
    "m6i.large": ("same tier", 1.2), "2 vCPU": ("same tier", 1.3),
    "c5.large": ("cross tier", 1.6), "cx33": ("cross tier", 2.2),
}  # fmt: skip
"""How the capacity of each machine is known, and by which factor it may be off."""


DAY = np.array([0.2, 0.1, 0.3, 0.6, 1.0, 0.5])


def evaluate(
    offers: Sequence[Offer],
    config: PlatformsConfig,
    measured: Measured,
    trace: Trace,
    probes: Sequence[Measured],
) -> list[Evaluated]:
    """Each offer at the peak of the traffic, with machines that come whole and no other cost."""
    return [_evaluated(each, config, measured, trace, probes) for each in offers]


def _evaluated(
    each: Offer,
    config: PlatformsConfig,
    measured: Measured,
    trace: Trace,
    probes: Sequence[Measured],
) -> Evaluated:
    basis, factor = FACTORS[each.machine.name]
    rate = measured.rate * (each.machine.vcpu or 1)
    for probe in probes:
        if probe.machine == each.machine.id:
            basis, rate, factor = "measured", probe.rate * (each.machine.vcpu or 1), 1.01
    capacity = Capacity(rate=rate, low=rate / factor, high=rate * factor, basis=basis)

    def usd(carried: float) -> float:
        machines = max(1.0, trace.peak / carried)
        return machines * each.prices["on_demand"].usd_per_hour * HOURS_PER_MONTH

    checks = [_programme(each, name, config) for name in config.requirements.compliance]
    low, high = usd(capacity.high), usd(capacity.low)
    budget = config.requirements.budget_usd_per_month
    if budget is not None:
        within = high <= budget
        checks.append(Check(name="budget", outcome="pass" if within else "fail",
                            why=f"{high:.0f} USD a month of {budget:g}"))  # fmt: skip
    mean, most = high * 0.8, math.ceil(trace.peak / capacity.low)
    return Evaluated(
        offer=each, checks=tuple(checks), capacity=capacity,
        machines=(1, most / 2, most),
        costs={"compute": mean, "idle": high - mean},
        usd=Range(value=high, low=low, high=high), p99_ms=Range(value=20, low=18, high=24),
        sources=("list",),
    )  # fmt: skip


def _programme(each: Offer, name: str, config: PlatformsConfig) -> Check:
    fact = each.service.compliance[name].value
    if fact is None and name in config.confirmed:
        fact = True
    if fact is None:
        return Check(name=name, outcome="unknown", why="not known", confirm=f"{name} is offered")
    return Check(name=name, outcome="pass" if fact else "fail", why=f"{name}: {fact}")


def question(
    offers: Sequence[Offer] = OFFERS,
    *,
    peak: float = 400.0,
    probes: Sequence[Measured] = (),
    **asked: Any,
) -> Question:
    """A question of the market; ``asked`` are settings of the configuration."""
    config = msgspec.convert({"draws": 2000, **asked}, PlatformsConfig)
    return Question(
        offers=tuple(offers), config=config, measured=MEASURED,
        trace=Trace("a day", peak * DAY, 3600.0), slo=SLO, evaluate=evaluate, probes=tuple(probes),
    )  # fmt: skip
