"""The catalog: what providers sell at which price, as it ships and with what a user brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from statistics import median_low
from typing import TYPE_CHECKING

import msgspec

from afterfit.errors import NotFoundError
from afterfit.platforms import shipped
from afterfit.platforms.shapes import Machine, Offer, Price, Service, Source, Term

if TYPE_CHECKING:  # the importers load numpy, which nothing here needs
    from afterfit.platforms.importers import Priced

__all__ = ["Catalog", "builtin"]

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Machines and services with the sources of their numbers."""

    machines: tuple[Machine, ...]
    services: tuple[Service, ...]
    sources: Mapping[str, Source]

    @cached_property
    def date(self) -> str:
        """The date that half of its dated prices are as old as or older, empty without any."""
        named = (price.source for machine in self.machines for price in machine.prices.values())
        dates = [self.sources[name].date for name in named if name in self.sources]
        return median_low(dated) if (dated := [each for each in dates if each]) else ""

    def machine(self, id: str) -> Machine:  # noqa: A002  # ids are what offers and files call it
        """The machine ``aws/us-east-1/m7i.large``; raises NotFoundError."""
        try:
            return self._machines[id]
        except KeyError:
            raise _missing("machine", id, self._machines) from None

    def service(self, id: str) -> Service:  # noqa: A002  # as above
        """The service ``aws-ec2``; raises NotFoundError."""
        services = {service.id: service for service in self.services}
        try:
            return services[id]
        except KeyError:
            raise _missing("service", id, services) from None

    def offers(self) -> tuple[Offer, ...]:
        """Every service on every size that it sells, in the order of the services."""
        return self._offers

    def merged(
        self,
        *,
        machines: Iterable[Machine] = (),
        prices: Iterable[Priced] = (),
        sources: Mapping[str, Source] | None = None,
    ) -> Catalog:
        """This catalog with a user's machines and prices, which replace ours term by term.

        A machine keeps the sizes that we know and the user's file does not tell. A price of a
        machine that is not known here is left out: without a size nothing can be said of it.
        """
        merged = dict(self._machines)
        by_name = {(machine.provider, machine.name): machine for machine in self.machines}
        for machine in machines:
            known = merged.get(machine.id) or by_name.get((machine.provider, machine.name))
            merged[machine.id] = _completed(machine, merged.get(machine.id), known)
        for price in prices:
            known = merged.get(f"{price.provider}/{price.region}/{price.name}")
            known = known or self._renamed(price, by_name)
            if known is not None:
                told = Price(usd_per_hour=price.usd_per_hour, source=price.source)
                merged[known.id] = msgspec.structs.replace(
                    known, prices=known.prices | {price.term: told}
                )
        return replace(
            self,
            machines=tuple(merged.values()),
            sources={**self.sources, **(sources or {})},
        )

    @cached_property
    def _offers(self) -> tuple[Offer, ...]:
        return tuple(offer for service in self.services for offer in self._offers_of(service))

    @cached_property
    def _machines(self) -> dict[str, Machine]:
        return {machine.id: machine for machine in self.machines}

    @cached_property
    def _claimed(self) -> dict[str, tuple[str, ...]]:
        """Beginnings of names that belong to plans and to names of services, by provider."""
        claimed: dict[str, tuple[str, ...]] = {}
        for service in self.services:
            own = service.families if service.sized == "plans" else ()
            own += (service.prefix,) if service.prefix else ()
            claimed[service.provider] = claimed.get(service.provider, ()) + own
        return claimed

    def _renamed(self, price: Priced, by_name: Mapping[tuple[str, str], Machine]) -> Machine | None:
        """The machine below a service's own name for it (``ml.m7i.large``), without its prices.

        None where it is not known; a machine that is known from another region has its sizes.
        """
        known = by_name.get((price.provider, price.name))
        for service in self.services:
            if known is None and service.prefix and service.provider == price.provider:
                known = by_name.get((price.provider, price.name.removeprefix(service.prefix)))
        if known is None:
            return None
        return msgspec.structs.replace(known, name=price.name, region=price.region, prices={})

    def _offers_of(self, service: Service) -> Iterator[Offer]:
        if service.sized == "shares":
            yield from _shares(service)
            return
        claimed = () if service.sized == "plans" else self._claimed[service.provider]
        for machine in self.machines:
            if (
                machine.provider == service.provider
                and (not service.regions or machine.region in service.regions)
                and (not service.families or machine.name.startswith(service.families))
                and not machine.name.startswith(claimed)
            ):
                yield self._offer(service, machine)

    def _offer(self, service: Service, machine: Machine) -> Offer:
        if service.prefix:
            named = msgspec.structs.replace(machine, name=service.prefix + machine.name)
            if own := self._machines.get(named.id):
                return Offer(service=service, machine=own, prices=own.prices)
            machine = named
        premium = _premium(service, machine.name.removeprefix(service.prefix))
        if premium is None:
            return Offer(service=service, machine=machine)
        prices = {
            term: Price(usd_per_hour=price.usd_per_hour * (1 + premium), source=price.source)
            for term, price in machine.prices.items()
            if not service.terms or term in service.terms
        }
        whole = machine.prices.get("on_demand")
        over = whole.usd_per_hour * premium if whole else None
        return Offer(service=service, machine=machine, prices=prices, premium_per_hour=over)


@lru_cache(maxsize=1)
def builtin() -> Catalog:
    """The catalog that ships with this version."""
    return Catalog(
        machines=shipped.machines(), services=shipped.services(), sources=shipped.sources()
    )


def _premium(service: Service, name: str) -> float | None:
    """The share on top of a machine's price: 0 without any entry, None where it is not known."""
    if not service.premium:
        return 0.0
    fitting = [begin for begin in service.premium if name.startswith(begin)]
    return service.premium[max(fitting, key=len)] if fitting else None


def _shares(service: Service) -> Iterator[Offer]:
    """The pairs of vCPU and memory that a service sells by the second."""
    rates = [service.rates.get(item, ()) for item in ("vcpu_s", "gib_s")]
    unknown = {"vcpu_s", "gib_s"} & set(service.unpriced)
    source = next((told[0].source for told in rates if told), "")
    for region in service.regions:
        for vcpu, memory in service.sizes:
            machine = Machine(
                provider=service.provider,
                region=region,
                name=f"{vcpu:g}vcpu-{memory:g}gib",
                arch=service.arch,
                tier=service.tier,
                vcpu=vcpu,
                memory_gib=memory,
                source=source,
            )
            prices: dict[Term, Price] = {}
            if not unknown and source:
                each = [told[0].usd if told else 0.0 for told in rates]
                usd = SECONDS_PER_HOUR * (vcpu * each[0] + memory * each[1])
                prices["on_demand"] = Price(usd_per_hour=usd, source=source)
            priced = msgspec.structs.replace(machine, prices=prices)
            yield Offer(service=service, machine=priced, prices=prices)


def _completed(machine: Machine, same: Machine | None, known: Machine | None) -> Machine:
    """A user's machine with our prices of other terms and the sizes that it does not tell."""
    prices = {**(same.prices if same else {}), **machine.prices}
    if known is None:
        return machine
    told = {
        name: getattr(known, name)
        for name in (
            "arch",
            "tier",
            "vcpu",
            "memory_gib",
            "gpu",
            "gpu_count",
            "gpu_memory_gib",
            "coremark",
        )
        if not getattr(machine, name)
    }
    return msgspec.structs.replace(machine, prices=prices, **told)


def _missing(kind: str, name: str, known: Iterable[str]) -> NotFoundError:
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=3, cutoff=0.4)
    return NotFoundError(
        f"no {kind} {name!r} is in the catalog",
        where="the catalog of platforms",
        why=f"there are {', '.join(near)}" if near else "",
        fix="see docs/reference/catalog.md for what is in it",
    )
