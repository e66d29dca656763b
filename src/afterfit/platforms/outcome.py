"""What can be checked of an offer only once it is sized and priced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from afterfit.core.metric import in_figures
from afterfit.core.slo import Slo
from afterfit.platforms.capacity import Speeds
from afterfit.platforms.commit import terms_of
from afterfit.platforms.config import PlatformsConfig
from afterfit.platforms.constraints import failed, passed, unknown
from afterfit.platforms.cost import ITEMS
from afterfit.platforms.latency import NETWORK_MS, Pace
from afterfit.platforms.shapes import Capacity, Check, Measured, Offer
from afterfit.platforms.sizing import Demand, cold_share, fact
from afterfit.records.platforms import Range

__all__ = ["MOST_MACHINES", "Outcome", "outcome_checks"]

MOST_MACHINES = 20_000
"""An offer of which more machines would be needed is not priced: nobody rents so many."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An offer and what came out of it; ``usd`` is None where a price or a capacity is unknown."""

    offer: Offer
    config: PlatformsConfig
    measured: Measured
    slo: Slo | None
    demand: Demand
    pace: Pace | None
    capacity: Capacity
    speeds: Speeds
    unpriced: tuple[str, ...]
    machines: tuple[float, float, float] | None
    usd: Range | None


def outcome_checks(found: Outcome) -> tuple[Check, ...]:
    """Return the checks of price, capacity, latency, cold starts, replicas and budget."""
    rules = (_price, _capacity, _latency, _cold, _replicas, _budget)
    return tuple(check for rule in rules for check in rule(found))


def _price(found: Outcome) -> Iterator[Check]:
    offer = found.offer
    if not offer.prices:
        why = "what it costs is not known here"
        yield unknown(offer, "price", why, "a price for it: bring a price file", of_offer=True)
        return
    if not any(terms_of(offer, found.config)):
        terms = ", ".join(offer.prices)
        yield failed("price", f"it is sold as {terms} alone, and that is not allowed")
        return
    if found.unpriced:
        names = " and ".join(dict.fromkeys(ITEMS.get(item, item) for item in found.unpriced))
        why = f"{names} cost something that is not known here: the cost is a lower bound"
        yield unknown(offer, "price", why, f"that what {names} cost does not matter")
    else:
        yield passed("price", "every price that it takes is known")


def _capacity(found: Outcome) -> Iterator[Check]:
    capacity = found.capacity
    if capacity.basis == "unknown":
        yield unknown(
            found.offer, "capacity", capacity.why, "what it carries: measure it by a probe",
            of_offer=True,
        )  # fmt: skip
    else:
        yield passed("capacity", capacity.why)


def _latency(found: Outcome) -> Iterator[Check]:
    slo, pace, speeds = found.slo, found.pace, found.speeds
    if slo is None:
        return
    if slo.limit_ms <= NETWORK_MS:
        yield failed("latency", f"the way there alone takes {NETWORK_MS:g} ms")
        return
    if found.capacity.basis == "unknown":
        return
    if pace is None:
        if found.capacity.basis != "measured":
            yield unknown(
                found.offer, "latency", "no service time was measured of a quiet server",
                f"that it holds {slo}: measure it by a probe", of_offer=True,
            )  # fmt: skip
        return
    slow, usual, fast = (pace.quantile_ms(s, 0.0) for s in (speeds.low, speeds.speed, speeds.high))
    name = f"p{slo.quantile * 100:g}"
    shown = [in_figures(float(f"{each:.3g}")) for each in (usual, fast, slow)]
    why = f"one request alone takes {shown[0]} ms at {name} ({shown[1]} to {shown[2]})"
    if fast > slo.limit_ms:
        yield failed("latency", f"{why}, {slo.limit_ms:g} ms are allowed")
    elif found.capacity.low <= 0 or slow > slo.limit_ms:
        why = f"{why}: at its slowest it misses {slo}"
        confirm = f"that it holds {slo}: measure it by a probe"
        yield unknown(found.offer, "latency", why, confirm, of_offer=True)
    else:
        yield passed("latency", why)


def _cold(found: Outcome) -> Iterator[Check]:
    """Cold starts of what scales to zero count against the objective."""
    if found.slo is None or found.offer.service.billed != "busy" or found.capacity.rate <= 0:
        return
    told = fact(found.offer, "cold_start_s")
    parts = [told if isinstance(told, float | int) else None, found.measured.cold_start_s]
    known = [part for part in parts if part is not None]
    carried = found.capacity.low if found.capacity.low > 0 else found.capacity.rate
    share = cold_share(found.demand, carried, sum(known) if known else 1.0)
    why = f"{share * 100:.2g} % of requests meet a cold start"
    if share <= found.slo.allowed / 2:
        # Half of what may miss the objective is left for the others.
        yield passed("cold_start", f"{why}, {found.slo.allowed * 100:.2g} % may be late")
    elif not known:
        confirm = f"that a cold start ends within {found.slo.limit_ms:g} ms"
        yield unknown(found.offer, "cold_start", f"{why}, which nobody has measured", confirm)
    elif sum(known) * 1e3 > found.slo.limit_ms:
        late = f"{found.slo.allowed * 100:.2g} % may be late"
        yield failed("cold_start", f"{why}, which takes {sum(known):.3g} s; {late}")


def _replicas(found: Outcome) -> Iterator[Check]:
    if found.machines is None:
        least = found.capacity.low or found.capacity.rate
        peak = found.demand.peak
        if least > 0 and peak > least * MOST_MACHINES:
            need = f"more than {MOST_MACHINES:,} machines are needed"
            why = f"{need} for {in_figures(peak)} requests/s"
            yield failed("replicas", why)
        return
    most, told = found.machines[2], fact(found.offer, "most_replicas")
    title = found.offer.service.title
    if not isinstance(told, float | int):
        why = f"how many {title} allows is not known here, {most:g} are needed"
        if most > 1:
            yield unknown(found.offer, "replicas", why, f"a quota of {most:g} on {title}")
    elif most > told:
        yield failed("replicas", f"{most:g} are needed, {title} allows {told:g}")


def _money(usd: float) -> str:
    return f"{usd:,.0f}" if usd >= 100 else f"{usd:.3g}"


def _budget(found: Outcome) -> Iterator[Check]:
    budget, usd = found.config.requirements.budget_usd_per_month, found.usd
    if budget is None or usd is None:
        return
    value, low, limit = map(_money, (usd.value, usd.low, budget))
    why = f"{value} USD a month ({low} at the least), the budget is {limit}"
    if usd.value <= budget:
        yield passed("budget", why)
    elif usd.low > budget:
        yield failed("budget", why)
    else:
        confirm = "that it carries more than the least that it may: measure it by a probe"
        yield unknown(found.offer, "budget", why, confirm, of_offer=True)
