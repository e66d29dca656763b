"""What an offer is worth: five criteria between fixed anchors, added up by swing weights.

The anchors follow from the traffic and the requirements, or are the user's. They never follow from
the offers at hand, so taking a losing offer away changes no other offer's score and never the
winner. Scores between the best and the worst offer at hand, and TOPSIS, do not have that property.
(Belton and Stewart, Multiple Criteria Decision Analysis, 2002, on rank reversal and swing weights.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from afterfit.core.slo import Slo
from afterfit.core.trace import Trace
from afterfit.errors import UsageError
from afterfit.platforms.config import CRITERIA, PlatformsConfig
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.facts import COMPLIANCE, PATHS
from afterfit.platforms.shapes import HOURS_PER_MONTH, Fact, Measured, Service
from afterfit.records.platforms import Range

__all__ = [
    "DEFAULT_WEIGHTS", "Anchors", "Scale", "Valued", "anchors_of", "best_first", "front",
    "services", "weights_of",
]  # fmt: skip

DEFAULT_WEIGHTS = {
    "cost": 4.0, "latency": 1.5, "scalability": 1.5, "integration": 1.5, "security": 1.5,
}  # fmt: skip

CPU_HOUR, GPU_HOUR = 0.05, 1.0
"""USD of a vCPU or a GPU for an hour, about what containers without machines cost: no offer's price
but a fixed yardstick, from which a tenth is the best anchor of cost and ten times it the worst."""
DECADE = 10.0
LEAST_CORES = 0.5
"""Traffic that keeps less than this busy is measured by the yardstick of so many vCPUs."""
FASTEST = 0.1
"""Answers within a tenth of the objective are worth as much as faster ones."""

SECURITY = (
    "private_network", "encryption_at_rest", "encryption_in_transit", "own_keys", "identity",
)  # fmt: skip
INTEGRATION = {"paths": 0.4, "effort": 0.3, "lock_in": 0.1, "canary": 0.1, "data_capture": 0.1}
SCALABILITY = {"autoscaling": 0.3, "lag": 0.3, "room": 0.2, "availability": 0.2}
LAG_S = (10.0, 600.0)
ROOM = 10.0
NINES = (2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """Between what each criterion is measured: (best, worst) in its unit.

    ``cost`` is USD per month and ``latency`` ms, both by their logarithms; the others are shares of
    what could be there. ``peak`` is requests/s.
    """

    cost: tuple[float, float]
    latency: tuple[float, float]
    peak: float

    def told(self) -> dict[str, tuple[float, float]]:
        """Return them by criterion, as a record has them."""
        shares = dict.fromkeys(CRITERIA[2:], (1.0, 0.0))
        return {"cost": self.cost, "latency": self.latency, **shares}


@dataclass(frozen=True, kw_only=True)
class Valued:
    """An evaluated offer with its values from 0 to 1 by criterion, and its score by the weights.

    ``low`` and ``high`` bound the score as far as cost and latency are uncertain.
    """

    evaluated: Evaluated
    values: dict[str, float] = field(default_factory=dict)
    score: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def id(self) -> str:
        """The name of its offer for programs."""
        return self.evaluated.offer.id

    @property
    def usd(self) -> float:
        """Its cost in USD per month; infinite where it is not known."""
        return self.evaluated.usd.value if self.evaluated.usd else math.inf


def weights_of(config: PlatformsConfig) -> dict[str, float]:
    """Return the weights by criterion with a sum of 1; criteria that were not named weigh nothing.

    Raises UsageError for a name that is no criterion, and where all weigh nothing.
    """
    told = config.weights or DEFAULT_WEIGHTS
    for name in told:
        if name not in CRITERIA:
            raise UsageError(
                f"no criterion is called {name!r}", where="--weights",
                why=f"there are {', '.join(CRITERIA)}", fix="--weights cost=3,latency=2",
            )  # fmt: skip
    total = sum(told.values())
    if not (math.isfinite(total) and total > 0):
        raise UsageError(
            "the weights decide nothing", where="--weights", why="at least one is above 0",
            fix="--weights cost=3,latency=2",
        )  # fmt: skip
    return {name: told.get(name, 0.0) / total for name in CRITERIA}


def anchors_of(config: PlatformsConfig, measured: Measured, trace: Trace, slo: Slo) -> Anchors:
    """Return the anchors by the fixed rule; those of cost that the user gave win.

    The yardstick of cost is what the peak of the traffic keeps busy at a fixed price per hour. A
    budget is the worst anchor. Raises UsageError where the best is no better than the worst.
    """
    yard = _yardstick(measured, trace.peak)
    budget = config.requirements.budget_usd_per_month
    worst = config.worst_usd or budget or yard * DECADE
    best = config.best_usd or min(yard / DECADE, worst / DECADE)
    if not best < worst:
        raise UsageError(
            "the best cost is not below the worst",
            where=f"best_usd {best:g}, worst_usd {worst:g} (USD per month)",
            why="the value of cost runs from 1 at the best to 0 at the worst",
            fix="give a best_usd below worst_usd, or leave both to the rule",
        )
    return Anchors(
        cost=(best, worst), latency=(FASTEST * slo.limit_ms, slo.limit_ms), peak=trace.peak
    )


def _yardstick(measured: Measured, peak: float) -> float:
    """Return USD per month of what the peak keeps busy, at the fixed price."""
    cores = max(LEAST_CORES, peak / measured.rate * measured.cores)
    if measured.gpu:
        return max(1.0, peak / measured.rate) * GPU_HOUR * HOURS_PER_MONTH
    return cores * CPU_HOUR * HOURS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What values offers: anchors, weights with a sum of 1, and what the user has confirmed."""

    anchors: Anchors
    weights: dict[str, float]
    confirmed: tuple[str, ...] = ()
    _services: dict[str, tuple[float, float]] = field(default_factory=dict)

    def value(self, evaluated: Evaluated) -> Valued:
        """Return an offer's values and score. What is unknown and unconfirmed is worth nothing."""
        usd, p99 = evaluated.usd, evaluated.p99_ms
        service = evaluated.offer.service
        if service.id not in self._services:
            found = _integration(service), _security(service, self.confirmed)
            self._services[service.id] = found
        integration, security = self._services[service.id]
        values = {
            "cost": _by_log(usd.value if usd else math.inf, *self.anchors.cost),
            "latency": _by_log(p99.value if p99 else math.inf, *self.anchors.latency),
            "scalability": _scalability(evaluated, self.anchors.peak),
            "integration": integration,
            "security": security,
        }
        score = math.fsum(self.weights[name] * values[name] for name in CRITERIA)
        low, high = (
            score
            + self.weights["cost"] * (_end(usd, end, self.anchors.cost) - values["cost"])
            + self.weights["latency"] * (_end(p99, end, self.anchors.latency) - values["latency"])
            for end in ("high", "low")
        )
        return Valued(evaluated=evaluated, values=values, score=score, low=low, high=high)


def _end(known: Range | None, end: str, anchors: tuple[float, float]) -> float:
    return _by_log(getattr(known, end) if known else math.inf, *anchors)


def _by_log(number: float, best: float, worst: float) -> float:
    """Return 1 at the best and 0 at the worst anchor, straight in the logarithm between them."""
    if not math.isfinite(number):
        return 0.0
    if number <= best:
        return 1.0
    return min(1.0, max(0.0, math.log(worst / number) / math.log(worst / best)))


def services(evaluated: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """Return the evaluated offers by the id of their service, in order."""
    found: dict[str, list[Evaluated]] = {}
    for each in evaluated:
        found.setdefault(each.offer.service.id, []).append(each)
    return found


def _number(service: Service, name: str) -> float | None:
    fact = service.facts.get(name)
    value = fact.value if fact else None
    return None if value is None or isinstance(value, str) else float(value)


def _has(fact: Fact | None) -> float:
    """Return 1 for what is there (a text says by which way), else 0; unknown is not there."""
    return 1.0 if fact is not None and fact.value not in (None, False, "") else 0.0


def _share(facts: Sequence[float]) -> float:
    return sum(facts) / len(facts)


def _scalability(evaluated: Evaluated, peak: float) -> float:
    service = evaluated.offer.service
    lag, most = _number(service, "scale_lag_s"), _number(service, "most_replicas")
    share = _number(service, "availability")
    room = 0.0
    if most is not None and evaluated.capacity is not None and peak > 0:
        room = 1 - _by_log(max(1e-9, most * evaluated.capacity.low / peak), 1.0, ROOM)
    nines = 0.0 if share is None else -math.log10(max(1e-9, 1 - share))
    parts = {
        "autoscaling": _has(service.facts.get("autoscaling")),
        "lag": 0.0 if lag is None else _by_log(lag, *LAG_S),
        "room": room,
        "availability": min(1.0, max(0.0, (nines - NINES[0]) / (NINES[1] - NINES[0]))),
    }
    return math.fsum(SCALABILITY[name] * parts[name] for name in SCALABILITY)


def _integration(service: Service) -> float:
    effort, lock = _number(service, "effort"), _number(service, "lock_in")
    parts = {
        "paths": _share([_has(service.paths.get(name)) for name in PATHS]),
        "effort": 0.0 if effort is None else 1 - effort,
        "lock_in": 0.0 if lock is None else 1 - lock,
        "canary": _has(service.facts.get("canary")),
        "data_capture": _has(service.facts.get("data_capture")),
    }
    return math.fsum(INTEGRATION[name] * parts[name] for name in INTEGRATION)


def _security(service: Service, confirmed: Sequence[str]) -> float:
    def there(name: str, fact: Fact | None) -> float:
        told = name in confirmed or f"{service.id}.{name}" in confirmed
        return 1.0 if told else _has(fact)

    own = [there(name, service.facts.get(name)) for name in SECURITY]
    programmes = [there(name, service.compliance.get(name)) for name in COMPLIANCE]
    return (_share(own) + _share(programmes)) / 2


def best_first(valued: Sequence[Valued]) -> list[Valued]:
    """Return them by score, then cost, then name: one order for the same offers, always."""
    return sorted(valued, key=lambda each: (-each.score, each.usd, each.id))


def front(valued: Sequence[Valued], weights: Mapping[str, float]) -> set[str]:
    """Return the ids of offers that no other one beats: as good in all criteria, better in one.

    Only criteria that weigh something count.
    """
    names = [name for name in CRITERIA if weights[name] > 0]
    points = {each.id: tuple(each.values[name] for name in names) for each in valued}
    kept: list[tuple[float, ...]] = []
    # What beats a point has a greater sum, so it stands before it.
    for point in sorted(set(points.values()), key=sum, reverse=True):
        if not any(_beats(other, point) for other in kept):
            kept.append(point)
    ahead = set(kept)
    return {name for name, point in points.items() if point in ahead}


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
