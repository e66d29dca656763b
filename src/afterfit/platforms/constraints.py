"""What an offer must have, checked in order: pass, fail, or unknown, which is never a pass.

What is unknown says exactly what has to be confirmed. Somebody who knows it confirms it by name:
``hipaa`` everywhere, ``aws-ec2.hipaa`` for one service, or with the id of one offer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from afterfit.platforms.config import Requirements
from afterfit.platforms.facts import COMPLIANCE, PATHS
from afterfit.platforms.regions import PLACES, place_of_region
from afterfit.platforms.shapes import Check, Fact, Offer

__all__ = [
    "AIRLESS", "CONFIRMABLE", "Needs", "checks", "confirmed_by", "conflicts", "failed", "passed",
    "unknown",
]  # fmt: skip

AIRLESS = ("own", "local")
"""The providers whose places may stand without any outside."""
CONFIRMABLE = (
    *COMPLIANCE, *PATHS, "region", "residency", "air_gapped", "private_network", "own_keys",
    "scale_to_zero", "encryption_at_rest", "encryption_in_transit", "identity", "gpu", "memory",
    "payload", "timeout", "concurrency", "availability", "interruptible", "price", "capacity",
    "latency", "cold_start", "replicas", "budget",
)  # fmt: skip
"""What may be unknown of an offer, by the names of checks and of facts that count as security."""
_UNSAID = ("", "unspecified", "own", "global")


class Needs(NamedTuple):
    """What the replica itself needs: memory in GiB, its GPU if any, and the greatest body in MB."""

    memory_gib: float
    gpu: str = ""
    payload_mb: float = 0.0


Rule = Callable[[Offer, Requirements, Needs], Iterator[Check]]


def checks(
    offer: Offer, requirements: Requirements, needs: Needs, confirmed: Collection[str] = ()
) -> tuple[Check, ...]:
    """Return every constraint that applies, in their order; what is confirmed passes."""
    found = (check for rule in _RULES for check in rule(offer, requirements, needs))
    return tuple(confirmed_by(confirmed, offer, check) for check in found)


def confirmed_by(confirmed: Collection[str], offer: Offer, check: Check) -> Check:
    """Return an unknown check as passed where its name is among those that were confirmed."""
    keys = (check.name, f"{offer.service.id}.{check.name}", f"{offer.id}.{check.name}")
    if check.outcome != "unknown" or not any(key in confirmed for key in keys):
        return check
    return Check(
        name=check.name, outcome="pass", why=f"confirmed: {check.why}", source=check.source
    )


def passed(name: str, why: str, source: str = "") -> Check:
    """Return a check that passes."""
    return Check(name=name, outcome="pass", why=why, source=source)


def failed(name: str, why: str, source: str = "") -> Check:
    """Return a check that fails."""
    return Check(name=name, outcome="fail", why=why, source=source)


def unknown(offer: Offer, name: str, why: str, confirm: str, *, of_offer: bool = False) -> Check:
    """Return a check that passes once ``confirm`` is confirmed, by the name that goes before it."""
    key = f"{offer.id if of_offer else offer.service.id}.{name}"
    return Check(name=name, outcome="unknown", why=why, confirm=f"{key}: {confirm}")


def _lifecycle(offer: Offer, _asked: Requirements, _needs: Needs) -> Iterator[Check]:
    service = offer.service
    if service.status == "closed":
        yield failed("lifecycle", service.status_note or "it takes no new customers")
    elif service.status == "sustained":
        yield passed("lifecycle", service.status_note or "kept alive, without new features")


def _provider(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    service = offer.service
    if asked.providers and service.provider not in asked.providers:
        yield failed(
            "provider", f"it is sold by {service.provider}, not by {' or '.join(asked.providers)}"
        )
    left_out = {service.id, service.provider, service.kind, offer.id, offer.machine.name}
    for name in asked.exclude:
        if name in left_out:
            yield failed("exclude", f"{name} is excluded")


def _region(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    region = offer.machine.region
    if asked.regions:
        names = " or ".join(asked.regions)
        if region in _UNSAID:
            yield unknown(
                offer, "region", "where it stands is not known here", f"that it is in {names}"
            )
        elif region in asked.regions or place_of_region(region) in asked.regions:
            yield passed("region", f"{region} is among {names}")
        else:
            yield failed("region", f"it stands in {region}, not in {names}")
    if asked.residency:
        yield _residency(offer, asked.residency)


def _residency(offer: Offer, residency: str) -> Check:
    region = offer.machine.region
    if region in _UNSAID:
        why = "where it stands is not known here"
        return unknown(offer, "residency", why, f"that data stays in {residency}")
    if residency not in {region, place_of_region(region)}:
        return failed("residency", f"it stands in {region}, not in {residency}")
    return _of_fact(
        offer, "residency", offer.service.facts.get("data_residency"),
        no="the provider does not keep data in the region",
        confirm=f"that the provider keeps data in {residency}, in writing",
    )  # fmt: skip


def _of_fact(offer: Offer, name: str, fact: Fact | None, *, no: str, confirm: str) -> Check:
    """Return the check of a fact that is true, false or unknown."""
    if fact is None or fact.value is None:
        return unknown(offer, name, (fact and fact.note) or "not known here", confirm)
    if fact.value is False:
        return failed(name, fact.note or no, fact.source)
    told = fact.value if isinstance(fact.value, str) else fact.note
    return passed(name, told or "it does", fact.source)


def _flags(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    facts, title = offer.service.facts, offer.service.title
    wanted = (
        ("air_gapped", asked.air_gapped, "it needs an outside", "that it runs without any outside"),
        ("private_network", asked.private_network, "it has no private network",
         f"that {title} can be reached by your private network alone"),
        ("own_keys", asked.own_keys, "it takes no keys of yours",
         f"that {title} encrypts with keys of yours"),
        ("scale_to_zero", asked.scale_to_zero, "something always stands",
         f"that {title} costs nothing without traffic"),
    )  # fmt: skip
    for name, wished, no, confirm in wanted:
        if wished:
            yield _of_fact(offer, name, facts.get(name), no=no, confirm=confirm)


def _compliance(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    for name in asked.compliance:
        yield _of_fact(
            offer, name, offer.service.compliance.get(name),
            no=f"there is no evidence of {name} for {offer.service.provider}",
            confirm=f"that {offer.service.title} is covered by {name}, with the evidence for it",
        )  # fmt: skip


def _gpu(offer: Offer, asked: Requirements, needs: Needs) -> Iterator[Check]:
    machine, wanted = offer.machine, asked.gpu_memory_gib
    if needs.gpu and not machine.gpu:
        yield failed("gpu", f"the replica was measured on {needs.gpu}, the machine has no GPU")
    elif wanted is not None and not machine.gpu:
        yield failed("gpu", f"it has no GPU, {wanted:g} GiB of one are needed")
    elif wanted is not None and machine.gpu_memory_gib is None:
        why = f"how much memory its {machine.gpu} has is not known here"
        yield unknown(offer, "gpu", why, f"that it has {wanted:g} GiB", of_offer=True)
    elif wanted is not None and machine.gpu_memory_gib is not None:
        share = f"{machine.gpu_count:.2g} of a " if machine.gpu_count < 1 else ""
        why = f"{share}{machine.gpu} with {machine.gpu_memory_gib:.3g} GiB, {wanted:g} are needed"
        fits = machine.gpu_memory_gib >= wanted * (1 - 1e-9)
        yield passed("gpu", why) if fits else failed("gpu", why)


def _memory(offer: Offer, _asked: Requirements, needs: Needs) -> Iterator[Check]:
    memory = offer.machine.memory_gib
    if memory is None:
        why = "how much memory it has is not known here"
        yield unknown(offer, "memory", why, f"that it has {needs.memory_gib:.2g} GiB")
        return
    why = f"{memory:g} GiB, a replica needs {needs.memory_gib:.2g}"
    yield passed("memory", why) if memory >= needs.memory_gib else failed("memory", why)


def _limits(offer: Offer, asked: Requirements, needs: Needs) -> Iterator[Check]:
    payload = max(asked.payload_mb or 0.0, needs.payload_mb)
    wanted = (
        ("payload", "payload_mb", payload or None, "MB"),
        ("timeout", "timeout_s", asked.timeout_s, "s"),
        ("concurrency", "concurrency", asked.concurrency, "requests at once"),
    )
    for name, fact, least, unit in wanted:
        if least is not None:
            yield _limit(offer, name, offer.service.facts.get(fact), least, unit)


def _limit(offer: Offer, name: str, fact: Fact | None, least: float, unit: str) -> Check:
    """Return whether a service's limit lets ``least`` through."""
    if fact is None or not isinstance(fact.value, float | int):
        why = f"its limit of {name} is {(fact and fact.note) or 'not known here'}"
        return unknown(offer, name, why, f"that {offer.service.title} takes {least:.3g} {unit}")
    told = "sets no limit" if math.isinf(fact.value) else f"takes {fact.value:g} {unit}"
    why = f"{offer.service.title} {told}, {least:.3g} {'is' if least == 1 else 'are'} needed"
    return (passed if fact.value >= least else failed)(name, why, fact.source)


def _availability(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    if asked.availability is None:
        return
    fact = offer.service.facts.get("availability")
    if fact is None or not isinstance(fact.value, float | int):
        yield unknown(
            offer, "availability", (fact and fact.note) or "no agreement known here",
            f"an agreement on {asked.availability * 100:.9g} % for {offer.service.title}",
        )  # fmt: skip
        return
    why = f"agreed {fact.value * 100:.6g} %, asked {asked.availability * 100:.9g} %"
    yield (passed if fact.value >= asked.availability else failed)("availability", why, fact.source)


def _interruptible(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    if asked.interruptible:
        return
    fact = offer.service.facts.get("interrupted")
    if fact is None or fact.value is None:
        why = (fact and fact.note) or "whether machines are taken away is not known here"
        confirm = f"that {offer.service.title} takes no machine away"
        yield unknown(offer, "interruptible", why, confirm)
    elif fact.value is True or set(offer.prices) == {"spot"}:
        yield failed("interruptible", "its machines are taken away", fact.source)


def _integrations(offer: Offer, asked: Requirements, _needs: Needs) -> Iterator[Check]:
    for name in asked.integrations:
        yield _of_fact(
            offer, name, offer.service.paths.get(name), no=f"it reaches no {name}",
            confirm=f"how {offer.service.title} reaches your {name}",
        )  # fmt: skip


_RULES: tuple[Rule, ...] = (
    _lifecycle, _provider, _region, _flags, _compliance, _gpu, _memory, _limits, _availability,
    _interruptible, _integrations,
)  # fmt: skip


def conflicts(requirements: Requirements) -> list[str]:
    """Return what cannot be had together, whatever the offers: one sentence for each."""
    asked = requirements
    places = [region for region in asked.regions if region in PLACES or place_of_region(region)]
    lying = {region if region in PLACES else place_of_region(region) for region in places}
    outside = bool(asked.regions) and len(places) == len(asked.regions)
    both = sorted(set(asked.providers) & set(asked.exclude))
    clouds = [name for name in asked.providers if name not in AIRLESS]
    words = [
        (asked.residency in PLACES and outside and asked.residency not in lying,
         f"data must stay in {asked.residency}, and every region asked for is elsewhere"),
        (asked.air_gapped and bool(clouds) and len(clouds) == len(asked.providers),
         f"air_gapped asks for a place without any outside, and {', '.join(clouds)} is one"),
        (bool(both) and len(both) == len(asked.providers),
         f"providers and exclude both name {', '.join(both)}: nothing is left"),
        (asked.air_gapped and asked.scale_to_zero,
         "scale_to_zero asks that nothing stands, and an air_gapped place always does"),
        (asked.gpu_memory_gib is not None and not asked.scale_to_zero
         and (asked.budget_usd_per_month or math.inf) < _GPU_USD,
         f"a GPU is not to be had for {asked.budget_usd_per_month or 0:g} USD a month"),
    ]  # fmt: skip
    named = [*asked.compliance, *asked.integrations]
    strange = [name for name in named if name not in COMPLIANCE + PATHS]
    found = [text for wrong, text in words if wrong]
    return found + [f"{name} is no programme and no path that is known here" for name in strange]


_GPU_USD = 50.0
"""No GPU stands for a month at less (USD); the cheapest hour in the catalog is 0.2 USD or more."""
