"""Every offer at the objective: what it carries, how many stand, what that costs, what it fails."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from afterfit.core.slo import Slo, slo_of
from afterfit.core.trace import Trace
from afterfit.platforms.capacity import SYSTEM_GIB, Capacities, Speeds
from afterfit.platforms.commit import Paid
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.constraints import Needs, checks, confirmed_by
from afterfit.platforms.cost import Bill, Charged, bill_of, busy_bill, charged_of, commit_of
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.outcome import MOST_MACHINES, Outcome, outcome_checks
from afterfit.platforms.shapes import Capacity, Measured, Offer
from afterfit.platforms.sizing import Demand, Fleet, busy_share, fleet_of, lag_of, least_of
from afterfit.records.platforms import Range

__all__ = ["Evaluation", "cheapest", "evaluate"]

Probes = Mapping[str, Measured] | Sequence[Measured]


def evaluate(
    offers: Iterable[Offer],
    config: PlatformsConfig,
    measured: Measured,
    trace: Trace,
    probes: Probes = (),
) -> list[Evaluated]:
    """Return every offer with its checks, its capacity, its machines and its cost.

    ``probes`` are measurements of the same replica on other machines. Raises UsageError for an
    objective that is none.
    """
    evaluation = Evaluation.of(config, measured, trace, probes)
    return [evaluation.evaluated(offer) for offer in offers]


def cheapest(evaluated: Iterable[Evaluated]) -> Evaluated | None:
    """Return the offer that passes every constraint at the least cost; None where none does.

    Of two at one cost the id decides, so that the order of the offers does not.
    """
    passing = [
        (each.usd.value, each.offer.id, each)
        for each in evaluated
        if each.usd is not None and all(check.outcome == "pass" for check in each.checks)
    ]
    return min(passing, key=lambda found: found[:2], default=(0.0, "", None))[2]


@dataclass(frozen=True)
class Evaluation:
    """What is the same for every offer: settings, replica, traffic, and what follows of them."""

    config: PlatformsConfig
    measured: Measured
    demand: Demand
    slo: Slo | None
    capacities: Capacities
    _services: dict[int, Charged] = field(default_factory=dict)

    @classmethod
    def of(
        cls, config: PlatformsConfig, measured: Measured, trace: Trace, probes: Probes = ()
    ) -> Evaluation:
        """Return it; raises UsageError for an objective that is none."""
        slo = slo_of(config.slo, where="slo") if config.slo else None
        several = tuple(probes.values() if isinstance(probes, Mapping) else probes)
        known = Capacities(measured, several, slo, config.level)
        return cls(config, measured, Demand(trace), slo, known)

    @cached_property
    def needs(self) -> Needs:
        """What the replica and its requests need."""
        payload = max(self.config.request_bytes, self.config.response_bytes) / 1e6
        return Needs(self.measured.memory_gib, self.measured.gpu, payload)

    def evaluated(self, offer: Offer) -> Evaluated:
        """Return one offer with everything that is known of it."""
        reserve = 0.0 if offer.service.sized == "shares" else SYSTEM_GIB
        capacity, speeds = self.capacities.of(offer.machine, reserve)
        charged = self._charged(offer)
        found = self._sized(offer, capacity, speeds, charged)
        asked = self.config.requirements
        static = checks(offer, asked, self.needs, self.config.confirmed)
        later = outcome_checks(self._outcome(offer, capacity, speeds, charged, found))
        told = tuple(confirmed_by(self.config.confirmed, offer, check) for check in later)
        bill, paid = found.bill, found.paid
        return Evaluated(
            offer=offer,
            checks=static + told,
            term=paid.term if paid else "on_demand",
            capacity=capacity if capacity.basis != "unknown" else None,
            machines=found.machines,
            costs=bill.costs if bill else {},
            usd=found.usd,
            commit=commit_of(paid),
            p99_ms=found.p99_ms,
            sources=_sources(offer, paid),
        )

    def _charged(self, offer: Offer) -> Charged:
        """Return what a service charges beside machines, the same for all of its offers."""
        key = id(offer.service)
        if key not in self._services:
            self._services[key] = charged_of(offer.service, self.demand, self.config)
        return self._services[key]

    def _outcome(
        self,
        offer: Offer,
        capacity: Capacity,
        speeds: Speeds,
        charged: Charged,
        found: _Found,
    ) -> Outcome:
        return Outcome(
            offer=offer,
            config=self.config,
            measured=self.measured,
            slo=self.slo,
            demand=self.demand,
            pace=self.capacities.pace,
            capacity=capacity,
            speeds=speeds,
            unpriced=charged.unpriced,
            machines=found.machines,
            usd=found.usd,
        )

    def _sized(self, offer: Offer, capacity: Capacity, speeds: Speeds, charged: Charged) -> _Found:
        """Return machines and costs, sized by the least that a machine may carry.

        Where at its slowest it does not hold the objective at all, it is sized in proportion to
        speed, and the check of latency says that it has to be measured.
        """
        if capacity.basis == "unknown" or capacity.rate <= 0:
            return _Found()
        least = capacity.low or capacity.rate * speeds.low / speeds.speed
        if self.demand.peak > least * MOST_MACHINES:
            return _Found()
        if offer.service.billed == "busy":
            sized = msgspec.structs.replace(capacity, low=least)
            return self._busy(offer, sized, speeds, charged)
        fleet = self._fleet(offer, least)
        bill = bill_of(offer, fleet, charged, self.config)
        best = bill_of(offer, self._fleet(offer, capacity.high), charged, self.config)
        each = self.demand.mean / fleet.mean / max(capacity.replicas, 1)
        return _Found(fleet.told, bill, _range(bill, best), self._p99(speeds, each))

    def _fleet(self, offer: Offer, carried: float) -> Fleet:
        lag = lag_of(offer, self.measured)
        return fleet_of(self.demand, carried, lag, self.config, least_of(offer, self.config))

    def _busy(
        self,
        offer: Offer,
        capacity: Capacity,
        speeds: Speeds,
        charged: Charged,
    ) -> _Found:
        """Return what is billed while it answers; what stands for a loss is the service's own."""
        alone = offer.service.kind == "function"
        busy = [
            busy_share(self.demand, carried, self._service_s(speed), at_once=1 if alone else None)
            for carried, speed in ((capacity.low, speeds.low), (capacity.high, speeds.high))
        ]
        bills = [busy_bill(offer, each, charged) for each in busy]
        peak = self.demand.peak
        most = peak * self._service_s(speeds.low) if alone else peak / capacity.low
        each = 0.0 if alone else min(capacity.low, self.demand.mean) / capacity.replicas
        machines = (0.0, busy[0], max(1.0, float(math.ceil(most))))
        return _Found(machines, bills[0], _range(*bills), self._p99(speeds, each))

    def _service_s(self, speed: float) -> float:
        """Return the mean service time in s at a speed, at the most where it was not measured."""
        if self.measured.service_ms:
            return self.measured.service_ms / 1e3 / speed
        return max(1.0, self.measured.cores) / self.measured.rate / speed

    def _p99(self, speeds: Speeds, rate: float) -> Range | None:
        pace = self.capacities.pace
        if pace is None or min(speeds) <= 0:
            return None
        value, high, low = (pace.quantile_ms(speed, rate) for speed in speeds)
        return Range(value=value, low=min(low, value), high=max(high, value))


@dataclass(frozen=True)
class _Found:
    """Machines (least, mean, most), their bill, its range, and what one request takes."""

    machines: tuple[float, float, float] | None = None
    bill: Bill | None = None
    usd: Range | None = None
    p99_ms: Range | None = None

    @property
    def paid(self) -> Paid | None:
        """How the machines are paid."""
        return self.bill.paid if self.bill else None


def _range(bill: Bill | None, best: Bill | None) -> Range | None:
    if bill is None or best is None:
        return None
    return Range(value=bill.usd, low=min(best.usd, bill.usd), high=bill.usd)


def _sources(offer: Offer, paid: Paid | None) -> tuple[str, ...]:
    """Return the names of the sources that this offer's numbers come from, each once."""
    prices = [price.source for term, price in offer.prices.items() if not paid or term == paid.term]
    rates = [rate.source for told in offer.service.rates.values() for rate in told]
    found = [*prices, offer.machine.source, offer.service.premium_source, *rates]
    return tuple(dict.fromkeys(name for name in found if name))
