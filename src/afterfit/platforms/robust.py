"""How sure a choice is: over all weightings, at the bounds of what is known, and beside the next.

Weights are drawn from the Dirichlet distribution with all parameters 1, so that every weighting is
as likely as any other (stochastic multicriteria acceptability, Lahdelma et al., 1998).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from afterfit.core.metric import Metric
from afterfit.platforms.config import CRITERIA
from afterfit.platforms.families import processor_of
from afterfit.platforms.question import Answered
from afterfit.platforms.value import Valued
from afterfit.records.platforms import Bar, Flip, Range
from afterfit.stats.interval import wilson

__all__ = ["Close", "bars", "close_calls", "weight_flips", "win_metric", "wins"]

PRICE = 0.2
"""Prices are tried that much lower and higher."""
TRAFFIC = 2.0
MATERIAL = 0.01
"""A lead of less than this score is none: it is a hundredth of the way from worst to best."""
MOST_FINALISTS = 3
EDGE = 1e-9
"""At a weight of 0 and of 1 all that is left is equal; nothing flips there."""


def wins(answer: Answered) -> dict[str, float]:
    """Return the share of drawn weightings that each service wins with any of its offers, by id.

    Criteria that weigh nothing stay out of it. Only those in the running can win; a service that
    others beat in every criterion has no share.
    """
    names = [name for name in CRITERIA if answer.weights[name] > 0]
    able = [each for each in answer.running if each.id in answer.ahead]
    if not able:
        return {}
    config = answer.question.config
    random = np.random.default_rng([config.seed, 5])
    weights = random.dirichlet(np.ones(len(names)), config.draws)
    values = np.array([[each.values[name] for name in names] for each in able])
    won = np.bincount(np.argmax(values @ weights.T, axis=0), minlength=len(able))
    shares: dict[str, float] = {}
    for each, n in zip(able, won, strict=True):
        service = each.evaluated.offer.service.id
        shares[service] = shares.get(service, 0.0) + float(n) / config.draws
    return shares


def win_metric(answer: Answered, share: float) -> Metric:
    """Return how many of the weightings its service wins, with Wilson's interval."""
    draws = answer.question.config.draws
    bounds = wilson(share * draws, draws)
    return Metric.of("win_share", share, bounds, n=draws, scope="weightings")


def weight_flips(answer: Answered, choice: Valued) -> list[Flip]:
    """Return for each criterion the nearest weight at which another offer wins.

    The other weights keep their proportions to each other. A criterion at which nothing changes the
    winner is left out.
    """
    found = []
    for name in CRITERIA:
        now = answer.weights[name]
        crossings = [
            (weight, other)
            for other in answer.running
            if other.id != choice.id
            and (weight := _crossing(choice, other, answer.weights, name)) is not None
        ]
        if crossings and now < 1:
            weight, other = min(crossings, key=lambda each: (abs(each[0] - now), each[1].id))
            found.append(
                Flip(
                    what=f"weight of {name}",
                    now=now,
                    value=weight,
                    unit="share",
                    winner=other.id,
                    title=other.evaluated.offer.title,
                )
            )
    return found


def _crossing(
    choice: Valued, other: Valued, weights: Mapping[str, float], name: str
) -> float | None:
    """Return the weight of a criterion at which two scores are equal, None where there is none.

    With weight w it adds w times its own lead to (1 - w) times the lead of all others.
    """
    now = weights[name]
    if now >= 1:
        return None
    own = choice.values[name] - other.values[name]
    rest = (choice.score - other.score - now * own) / (1 - now)
    if own == rest:
        return None
    weight = rest / (rest - own)
    within = EDGE < weight < 1 - EDGE
    return weight if within and abs(weight - now) > EDGE else None


@dataclass(frozen=True, kw_only=True)
class Close:
    """Who may be as good as the choice, and which measurement would settle it.

    ``probe`` are ids, the one to measure first before the others; ``alone`` says that the first one
    is enough where it confirms what is expected.
    """

    rivals: tuple[Valued, ...] = ()
    probe: tuple[str, ...] = ()
    alone: bool = False


def close_calls(answer: Answered, choice: Valued) -> Close:
    """Return the finalists whose bounds overlap those of the choice; none where it is clear.

    Sizes of one service with the same processors are no rivals. What is certain by measurement on
    both sides is no close call: no probe would settle it. Two machines with the same processors are
    as uncertain as each other, so they are compared at the same ends.
    """
    rivals: dict[tuple[str, str], Valued] = {}
    for other in answer.running:
        if _kind(other) != _kind(choice) and _overlaps(choice, other):
            rivals.setdefault(_kind(other), other)
    first = tuple(rivals.values())[: MOST_FINALISTS - 1]
    if not first:
        return Close()
    unsure = [each for each in (choice, *first) if not _measured(each)]
    unsure.sort(key=lambda each: -(each.high - each.low))
    alone = [each for each in unsure if _settles(each, choice, first)]
    order = [*alone[:1], *(each for each in unsure if each not in alone[:1])]
    distinct = {_machine(each): each.id for each in reversed(order)}
    probe = tuple(each.id for each in order if distinct[_machine(each)] == each.id)
    return Close(rivals=first, probe=probe, alone=bool(alone))


def _kind(each: Valued) -> tuple[str, str]:
    return each.evaluated.offer.service.id, _family(each)[1]


def _machine(each: Valued) -> tuple[str, str]:
    machine = each.evaluated.offer.machine
    return machine.provider, machine.name


def _family(each: Valued) -> tuple[str, str]:
    """Return the provider and the processors, of which each size is as uncertain as another."""
    offer, machine = each.evaluated.offer, each.evaluated.offer.machine
    if offer.service.sized == "shares":
        return machine.provider, offer.service.id
    return machine.provider, processor_of(machine.provider, machine.name.removeprefix("ml."))


def _measured(each: Valued) -> bool:
    capacity = each.evaluated.capacity
    return capacity is not None and capacity.basis == "measured"


def _overlaps(choice: Valued, other: Valued) -> bool:
    if _measured(choice) and _measured(other):
        return False
    if _family(choice) == _family(other):
        return other.low > choice.low + MATERIAL or other.high > choice.high + MATERIAL
    return other.high > choice.low + MATERIAL


def _settles(probed: Valued, choice: Valued, rivals: Sequence[Valued]) -> bool:
    """Return whether a probe that finds what is expected leaves no overlap."""
    expected = (probed.low + probed.high) / 2
    known = replace(probed, low=expected, high=expected)
    first = known if probed is choice else choice
    others = [known if each is probed else each for each in rivals]
    return not any(each.high > first.low + MATERIAL for each in others)


def bars(answer: Answered, choice: Valued) -> list[Bar]:
    """Return what the lead of the choice is at both ends of each assumption, the widest first.

    A lead is the choice's score less that of the best other offer; below 0 the other one wins.
    """
    found = [
        _bar("price of the choice", "20 % less", "20 % more",
             _with_usd(answer, choice, 1 - PRICE), _with_usd(answer, choice, 1 + PRICE)),
        *_capacity_bar(answer, choice),
        _bar("traffic", "half", "double", _busier(answer, choice, 1 / TRAFFIC),
             _busier(answer, choice, TRAFFIC)),
        *(
            _bar(f"weight of {name}", "half", "double",
                 _weighted(answer, choice, name, 0.5), _weighted(answer, choice, name, 2.0))
            for name in CRITERIA if 0 < answer.weights[name] < 1
        ),
    ]  # fmt: skip
    return sorted(found, key=lambda bar: -abs(bar.high - bar.low))


Lead = tuple[float, str]
"""The lead of the choice, and the id of the winner where it is another."""


def _bar(name: str, at_low: str, at_high: str, low: Lead, high: Lead) -> Bar:
    return Bar(name=name, low=low[0], high=high[0], at_low=at_low, at_high=at_high,
               winner_low=low[1], winner_high=high[1])  # fmt: skip


def _lead(choice: Valued | None, others: Sequence[Valued]) -> Lead:
    best = max(others, key=lambda each: each.score, default=None)
    if best is None:
        return (choice.score if choice else 0.0), ""
    if choice is None:
        return -best.score, best.id
    lead = choice.score - best.score
    return lead, best.id if lead < 0 else ""


def _others(answer: Answered, choice: Valued) -> list[Valued]:
    return [each for each in answer.running if each.id != choice.id]


def _with_usd(answer: Answered, choice: Valued, factor: float) -> Lead:
    usd = choice.evaluated.usd
    scaled = usd and Range(value=usd.value * factor, low=usd.low * factor, high=usd.high * factor)
    changed = answer.value(replace(choice.evaluated, usd=scaled))
    return _lead(changed, _others(answer, choice))


def _capacity_bar(answer: Answered, choice: Valued) -> list[Bar]:
    """Return the bar of the choice's capacity, from its bounds of cost; others stay as they are."""
    usd, capacity = choice.evaluated.usd, choice.evaluated.capacity
    if usd is None or capacity is None or usd.low == usd.high:
        return []
    ends = [
        _lead(answer.value(replace(choice.evaluated, usd=Range(value=v, low=v, high=v))),
              _others(answer, choice))
        for v in (usd.high, usd.low)
    ]  # fmt: skip
    least, most = (f"{end:.4g} requests/s" for end in (capacity.low, capacity.high))
    return [_bar("requests/s of a machine", least, most, *ends)]


def _busier(answer: Answered, choice: Valued, factor: float) -> Lead:
    again = answer.question.busier(factor).answered()
    return _lead(again.valued.get(choice.id), _others(again, choice))


def _weighted(answer: Answered, choice: Valued, name: str, factor: float) -> Lead:
    told = {**answer.weights, name: answer.weights[name] * factor}
    total = sum(told.values())
    weights = {each: value / total for each, value in told.items()}
    scored = [
        replace(each, score=sum(weights[n] * each.values[n] for n in CRITERIA))
        for each in answer.running
    ]
    own = next(each for each in scored if each.id == choice.id)
    return _lead(own, [each for each in scored if each.id != choice.id])
