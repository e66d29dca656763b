"""At which traffic another service wins, and where managed and own machines cost the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from afterfit.core.metric import in_figures
from afterfit.core.progress import SILENT, Progress
from afterfit.platforms.question import Answered, Question
from afterfit.platforms.shapes import Kind, Offer
from afterfit.platforms.value import Valued

__all__ = ["MANAGED", "Level", "Scan", "contenders", "scanned"]

MANAGED: frozenset[Kind] = frozenset({"containers", "endpoint", "function"})
"""Without machines of one's own; the others are machines that one looks after."""

FARTHEST = 3
TIMES = 4.0
STEPS = 5
MOST_OF_SERVICE = 6


def contenders(answer: Answered, most: int = MOST_OF_SERVICE) -> list[Offer]:
    """Return of each service the offers that may win with more or less traffic.

    Those are its best ones here, and the smallest and the largest sizes of their families.
    """
    by_service: dict[str, list[Valued]] = {}
    for each in answer.ranked:
        by_service.setdefault(each.evaluated.offer.service.id, []).append(each)
    found: dict[str, Offer] = {}
    for ranked in by_service.values():
        best = ranked[0].evaluated.offer
        family = [
            each.evaluated.offer
            for each in ranked
            if each.evaluated.offer.machine.family == best.machine.family
            and each.evaluated.offer.machine.region == best.machine.region
        ]
        family.sort(key=lambda offer: offer.machine.vcpu or 0.0)
        spread = family[:: max(1, len(family) // (most // 2))]
        chosen = [each.evaluated.offer for each in ranked[: most // 2]]
        found |= {offer.id: offer for offer in [*chosen, *spread]}
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Level:
    """The peak of the traffic (requests/s) at which something changes, and who wins beyond it."""

    factor: float
    peak: float
    winner: Valued


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What other traffic would change.

    ``services`` has for each service that wins somewhere the nearest traffic where it does;
    ``own`` is where managed services and own machines cost the same, None where nowhere.
    """

    services: dict[str, Level]
    own: Level | None = None

    def told(self, service: str) -> str:
        """Return the change of traffic that would make a service the choice; empty for none."""
        found = self.services.get(service)
        if found is None:
            return ""
        word = "under" if found.factor < 1 else "above"
        return f"traffic {word} {in_figures(found.peak)} requests/s at the peak"

    @property
    def nearest(self) -> list[Level]:
        """The nearest change of the winner below and above the traffic of now."""
        lower = [each for each in self.services.values() if each.factor < 1]
        upper = [each for each in self.services.values() if each.factor > 1]
        found = [max(lower, key=lambda e: e.factor, default=None),
                 min(upper, key=lambda e: e.factor, default=None)]  # fmt: skip
        return [each for each in found if each is not None]


def scanned(answer: Answered, progress: Progress = SILENT) -> Scan:
    """Return what changes between 1/64 and 64 times the traffic."""
    choice = answer.choice
    offers = contenders(answer)
    if choice is None or not offers:
        return Scan(services={})
    asked = answer.question.of(offers)
    factors = [TIMES**power for power in range(-FARTHEST, FARTHEST + 1)]
    progress.step("other traffic", len(factors))
    answers = {}
    for factor in factors:
        answers[factor] = asked.busier(factor).answered()
        progress.advance()
    services: dict[str, Level] = {}
    for direction in (-1, 1):
        _outwards(asked, answers, direction, choice, services)
    return Scan(services=services, own=_own(asked, answers))


def _outwards(
    asked: Question,
    answers: dict[float, Answered],
    direction: int,
    choice: Valued,
    services: dict[str, Level],
) -> None:
    """Add the services that win with less (or more) traffic, the nearest traffic of each."""
    before, winner = 1.0, choice.evaluated.offer.service.id
    path = [f for f in sorted(answers, key=lambda f: abs(math.log(f))) if _beyond(f, direction)]
    for factor in path:
        best = answers[factor].choice
        service = best.evaluated.offer.service.id if best else ""
        if best is not None and service not in (winner, choice.evaluated.offer.service.id):
            level = _edge(asked, before, factor, partial(_wins, service=service))
            known = services.get(service)
            if known is None or abs(math.log(level.factor)) < abs(math.log(known.factor)):
                services[service] = level
        before, winner = factor, service


def _beyond(factor: float, direction: int) -> bool:
    return factor != 1 and (factor > 1) == (direction > 0)


def _wins(answer: Answered, *, service: str) -> Valued | None:
    best = answer.choice
    return best if best is not None and best.evaluated.offer.service.id == service else None


def _edge(
    asked: Question, without: float, holds: float, found: Callable[[Answered], Valued | None]
) -> Level:
    """Return where something begins to hold, between traffic at which it does not and does."""
    answer = asked.busier(holds).answered()
    winner = found(answer)
    for _ in range(STEPS):
        middle = math.sqrt(without * holds)
        tried = asked.busier(middle).answered()
        best = found(tried)
        if best is None:
            without = middle
        else:
            holds, winner = middle, best
    if winner is None:
        raise AssertionError("what holds at the end of a search holds there")
    return Level(factor=holds, peak=asked.trace.peak * holds, winner=winner)


def cheapest(answer: Answered, *, managed: bool) -> Valued | None:
    """Return the cheapest managed offer, or the cheapest on machines of one's own."""
    of_kind = [
        each for each in answer.ranked
        if (each.evaluated.offer.service.kind in MANAGED) == managed
    ]  # fmt: skip
    return min(of_kind, key=lambda each: (each.usd, each.id), default=None)


def _cheaper_kind(answer: Answered) -> bool | None:
    """Return whether the cheapest offer is managed; None where one kind is not there at all."""
    both = [cheapest(answer, managed=managed) for managed in (True, False)]
    if both[0] is None or both[1] is None:
        return None
    return both[0].usd < both[1].usd


def _own(asked: Question, answers: dict[float, Answered]) -> Level | None:
    now = _cheaper_kind(answers[1.0])
    if now is None:
        return None
    for factor in sorted(answers, key=lambda f: abs(math.log(f))):
        if _cheaper_kind(answers[factor]) == (not now):

            def other(answer: Answered) -> Valued | None:
                if _cheaper_kind(answer) != (not now):
                    return None
                return cheapest(answer, managed=not now)

            nearer = factor / TIMES if factor > 1 else factor * TIMES
            return _edge(asked, nearer, factor, other)
    return None


def both_kinds(answers: Sequence[Valued]) -> tuple[Valued | None, Valued | None]:
    """Return the best managed offer and the best on own machines, in the order of a ranking."""
    managed = next((v for v in answers if v.evaluated.offer.service.kind in MANAGED), None)
    own = next((v for v in answers if v.evaluated.offer.service.kind not in MANAGED), None)
    return managed, own
