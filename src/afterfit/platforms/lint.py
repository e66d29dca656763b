"""What a catalog of prices must not have: wrong units, missing sources, sizes out of order.

It is run on the catalog that ships, and can be run on one with a user's price lists.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from afterfit.platforms.catalog import Catalog
from afterfit.platforms.facts import COMPLIANCE, FACTS, PATHS
from afterfit.platforms.freshness import day_of
from afterfit.platforms.shapes import Fact, Machine, Rate, Service

__all__ = ["Problem", "lint"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: which ``rule`` it breaks, ``where``, and what is there."""

    rule: str
    where: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.where}: {self.message} [{self.rule}]"


USD_PER_VCPU_HOUR = (0.001, 0.5)
USD_PER_GPU_HOUR = (0.1, 40.0)
VCPU = (0.1, 1024.0)
GIB = (0.1, 32_768.0)
GIB_PER_VCPU = (0.2, 64.0)
GPU_GIB = (2.0, 320.0)
"""From a sixth of a GPU to the greatest: what is below was in TiB or is a count, above in MiB."""
OF_FAMILY = (0.7, 1.3)
"""Price per vCPU over the family's median. Above it is, as a rule, the price with Windows."""
RATES: dict[str, tuple[float, float]] = {
    "vcpu_s": (1e-6, 1e-3), "gib_s": (1e-7, 1e-4), "requests": (1e-9, 1e-4),
    "cluster_h": (0.0, 2.0), "balancer_h": (0.0, 1.0), "balancer_gb": (0.0, 0.1),
    "egress_gb": (0.0, 0.5), "zone_gb": (0.0, 0.1), "storage_gb": (0.001, 0.5),
    "cdn_gb": (0.0, 0.5),
}  # fmt: skip
"""Item -> USD per unit, at least and at most: a price per million requests is out of them."""


def lint(catalog: Catalog) -> list[Problem]:
    """Every problem of a catalog, in the order of the rules; empty where it has none."""
    return [problem for rule in _RULES for problem in rule(catalog)]


def _ids(catalog: Catalog) -> Iterator[Problem]:
    ids = [machine.id for machine in catalog.machines]
    ids += [service.id for service in catalog.services]
    for name, count in Counter(ids).items():
        if count > 1:
            yield Problem("ids", name, f"is there {count} times")


def _sources(catalog: Catalog) -> Iterator[Problem]:
    for where, name in _used(catalog):
        if name not in catalog.sources:
            yield Problem("sources", where, f"its source {name!r} is not among the sources")
    for name, source in catalog.sources.items():
        if not source.text:
            yield Problem("sources", name, "says nothing")
        try:
            day_of(source.date or "2026")
        except ValueError as error:
            yield Problem("dates", name, str(error))


def _used(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Where a number stands, and the name of its source."""
    for machine in catalog.machines:
        yield machine.id, machine.source
        for term, price in machine.prices.items():
            yield f"{machine.id} {term}", price.source
    for service in catalog.services:
        if service.premium:
            yield f"{service.id} premium", service.premium_source
        if service.status != "open":
            yield f"{service.id} status", service.status_source
        for item, rates in service.rates.items():
            yield from ((f"{service.id} {item}", rate.source) for rate in rates)
        for name, fact in _facts(service):
            if fact.value is not None or fact.source:
                yield f"{service.id} {name}", fact.source


def _facts(service: Service) -> Iterator[tuple[str, Fact]]:
    for part in (service.facts, service.compliance, service.paths):
        yield from part.items()


def _sizes(catalog: Catalog) -> Iterator[Problem]:
    for machine in catalog.machines:
        yield from _within(machine.id, "vCPU", machine.vcpu, VCPU)
        yield from _within(machine.id, "GiB of memory", machine.memory_gib, GIB)
        if machine.vcpu and machine.memory_gib:
            each = machine.memory_gib / machine.vcpu
            yield from _within(machine.id, "GiB for each vCPU", each, GIB_PER_VCPU)
        yield from _within(machine.id, "GiB of memory of a GPU", machine.gpu_memory_gib, GPU_GIB)
        if bool(machine.gpu) != bool(machine.gpu_count):
            yield Problem("sizes", machine.id, f"has {machine.gpu_count:g} GPUs {machine.gpu!r}")
        if machine.tier and (machine.tier in {"neon", "i8mm"}) != (machine.arch == "arm64"):
            yield Problem("sizes", machine.id, f"{machine.arch} has no tier {machine.tier}")


def _prices(catalog: Catalog) -> Iterator[Problem]:
    for machine in catalog.machines:
        for term, price in machine.prices.items():
            whole = price.usd_per_hour
            if not math.isfinite(whole) or whole <= 0:
                yield Problem("prices", machine.id, f"{whole:g} USD/h ({term}) is no price")
        listed = machine.prices.get("on_demand")
        if listed is None:
            continue
        usd = listed.usd_per_hour
        if machine.gpu_count:
            yield from _within(
                machine.id,
                "USD/h for each GPU",
                usd / max(machine.gpu_count, 0.1),
                USD_PER_GPU_HOUR,
            )
        elif machine.vcpu:
            yield from _within(
                machine.id, "USD/h for each vCPU", usd / machine.vcpu, USD_PER_VCPU_HOUR
            )
        for term, price in machine.prices.items():
            if price.usd_per_hour > usd:
                message = f"{term} costs {price.usd_per_hour:g} USD/h, more than {usd:g} on demand"
                yield Problem("terms", machine.id, message)


def _within(
    where: str, what: str, value: float | None, bounds: tuple[float, float]
) -> Iterator[Problem]:
    low, high = bounds
    if value is not None and not low <= value <= high:
        message = f"{value:g} {what} is outside of {low:g} to {high:g}: is its unit right?"
        yield Problem("units", where, message)


def _families(catalog: Catalog) -> Iterator[Problem]:
    """Sizes of one family: memory and price grow with vCPU, the price of one vCPU is alike."""
    families: dict[tuple[str, str, str, float], list[Machine]] = defaultdict(list)
    for machine in catalog.machines:
        if machine.vcpu:
            key = (machine.provider, machine.region, machine.family, machine.gpu_count)
            families[key].append(machine)
    for family in families.values():
        family.sort(key=lambda machine: machine.vcpu or 0.0)
        for less, more in pairwise(family):
            yield from _grows(less, more)
        yield from _alike(family)


def _grows(less: Machine, more: Machine) -> Iterator[Problem]:
    if less.vcpu == more.vcpu:
        return
    if less.memory_gib and more.memory_gib and less.memory_gib > more.memory_gib:
        yield Problem("families", more.id, f"has less memory than the smaller {less.name}")
    for term in less.prices.keys() & more.prices.keys():
        if less.prices[term].usd_per_hour > more.prices[term].usd_per_hour:
            yield Problem("families", less.id, f"costs more ({term}) than the greater {more.name}")


def _alike(family: list[Machine]) -> Iterator[Problem]:
    each = {
        machine.id: machine.prices["on_demand"].usd_per_hour / machine.vcpu
        for machine in family
        if machine.vcpu
        and "on_demand" in machine.prices
        and not (machine.gpu_count or machine.shared)
    }
    usual = median(each.values()) if each else 0.0
    for name, usd in each.items():
        low, high = OF_FAMILY
        if not low * usual <= usd <= high * usual:
            message = f"{usd:.4g} USD/h for each vCPU, where its family has {usual:.4g}"
            yield Problem("families", name, f"{message}: is it for another system?")


def _services(catalog: Catalog) -> Iterator[Problem]:
    offered = {offer.service.id for offer in catalog.offers()}
    for service in catalog.services:
        yield from _complete(service.id, "facts", service.facts, FACTS)
        yield from _complete(service.id, "compliance", service.compliance, COMPLIANCE)
        yield from _complete(service.id, "paths", service.paths, PATHS)
        for name, fact in service.facts.items():
            yield from _fact(f"{service.id} {name}", fact)
        if service.status != "open" and not service.status_note:
            yield Problem("services", service.id, f"is {service.status} and does not say why")
        if service.id not in offered:
            yield Problem("services", service.id, "has no offer: no machine or size is its own")
        for share in service.premium.values():
            yield from _within(f"{service.id} premium", "of a price", share, (0.0, 3.0))


def _complete(
    where: str, part: str, there: Mapping[str, Fact], wanted: Iterable[str]
) -> Iterator[Problem]:
    for name in set(wanted) - there.keys():
        yield Problem(
            "services", where, f"{part} has no {name!r}: what is unknown is there as such"
        )
    for name in there.keys() - set(wanted):
        yield Problem("services", where, f"{part} has {name!r}, which nothing reads")


def _fact(where: str, fact: Fact) -> Iterator[Problem]:
    """A fact with a unit is a number, one without is true or false; shares are at most 1."""
    number = isinstance(fact.value, int | float) and not isinstance(fact.value, bool)
    if fact.value is not None and number != bool(fact.unit):
        yield Problem("facts", where, f"{fact.value!r} is not what a fact in {fact.unit!r} can be")
    if number and isinstance(fact.value, int | float):
        share = fact.unit == "share" or fact.unit.startswith("0 ")
        yield from _within(where, fact.unit, fact.value, (0.0, 1.0 if share else math.inf))


def _rates(catalog: Catalog) -> Iterator[Problem]:
    for service in catalog.services:
        for item, rates in service.rates.items():
            yield from _rate(f"{service.id} {item}", item, rates)
        for item in service.unpriced:
            if item not in RATES or item in service.rates:
                yield Problem("rates", service.id, f"{item!r} cannot be unpriced")


def _rate(where: str, item: str, rates: tuple[Rate, ...]) -> Iterator[Problem]:
    if item not in RATES or not rates:
        yield Problem("rates", where, "is no item that is charged for, or has no rate")
        return
    starts = [rate.start for rate in rates]
    if starts[0] != 0.0 or any(b <= a for a, b in pairwise(starts)):
        yield Problem("rates", where, f"its tiers start at {starts}, not at 0 and upwards")
    for rate in rates:
        if rate.usd:
            yield from _within(where, rate.unit, rate.usd, RATES[item])


_RULES: tuple[Callable[[Catalog], Iterator[Problem]], ...] = (
    _ids, _sources, _sizes, _prices, _families, _services, _rates,
)  # fmt: skip
