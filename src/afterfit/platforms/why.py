"""Why not the others: what each service failed or costs more, and what would make it the choice.

Every change was tried: the question is asked again with it, and only what then wins is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from afterfit.platforms.config import CRITERIA, PlatformsConfig, Requirements
from afterfit.platforms.evaluated import PARTS, Evaluated
from afterfit.platforms.facts import FACTS
from afterfit.platforms.question import Answered, Question, cheaper
from afterfit.platforms.value import Valued

__all__ = ["Reason", "lost_features", "nearest", "reason_of"]

MOST_PARTS = 3
DECISIVE = ("price", "capacity")
"""What an offer has no cost without, so nothing else that is unknown of it matters before."""
SMALL_USD = 0.5
FEATURES = (
    "autoscaling", "scale_to_zero", "private_network", "encryption_at_rest",
    "encryption_in_transit", "own_keys", "identity", "canary", "data_capture",
)  # fmt: skip
MOST_TRIED = 8
FASTEST_PROBE = 8.0
STEPS = 8
WORDS = {name: name.replace("_", " ") for name in FACTS}


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why an offer is not the choice, the smallest change that makes it so, and what it lacks."""

    why_not: str = ""
    change: str = ""
    lost: tuple[str, ...] = ()


def nearest(evaluated: Sequence[Evaluated]) -> Evaluated:
    """Return of offers that cannot be chosen the one nearest to it: fewest failures, then cost.

    A budget and a price that is not known are less than a failure, a capacity that is not known is
    more than one.
    """
    return min(
        evaluated,
        key=lambda each: (
            _distance(each),
            each.usd.value if each.usd else math.inf,
            each.offer.id,
        ),
    )


def reason_of(answer: Answered, evaluated: Evaluated, traffic: str = "") -> Reason:
    """Return why an offer is not the choice; ``traffic`` is the change of traffic that would do."""
    choice = answer.choice
    if choice is not None and evaluated.offer.id == choice.id:
        return Reason()
    lost = lost_features(choice.evaluated, evaluated) if choice else ()
    valued = answer.valued.get(evaluated.offer.id)
    if valued is None:
        change = _dropped(answer, evaluated) if evaluated.failed else _missing(evaluated)
        return Reason(why_not=_failure(evaluated), change=change, lost=lost)
    if choice is None:
        return Reason(lost=lost)
    changes = [_confirmed(answer, valued, choice)] if valued not in answer.running else [
        _price(answer, valued, choice), traffic, _probe(answer, valued, choice),
    ]  # fmt: skip
    told = [change for change in changes if change]
    why_not = _beside(valued, choice, answer.weights)
    return Reason(why_not=why_not, change="; or ".join(told), lost=lost)


def lost_features(choice: Evaluated, other: Evaluated) -> tuple[str, ...]:
    """Return what the choice's service is known to have and the other one's is known to lack."""
    own, theirs = choice.offer.service.facts, other.offer.service.facts
    return tuple(
        WORDS[name]
        for name in FEATURES
        if name in own and name in theirs and own[name].value is True
        and theirs[name].value is False
    )  # fmt: skip


def _failure(evaluated: Evaluated) -> str:
    failed = [check for check in evaluated.checks if check.outcome == "fail"]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{_sentence(failed[0].why)}{more}"
    unknown = sorted(evaluated.unknown, key=lambda check: check.name not in DECISIVE)
    return _sentence(unknown[0].why) if unknown else "Its cost is not known."


def _missing(evaluated: Evaluated) -> str:
    """Return what has to be known before its cost can be."""
    words = {"price": "its price has to be known first: afterfit platforms import FILE",
             "capacity": "a probe has to run there first"}  # fmt: skip
    found = [words[check.name] for check in evaluated.unknown if check.name in words]
    return "; ".join(found[:1])


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    first = text.partition(" ")[0]
    # A name stays as it is written: regions and machines are no words.
    named = any(mark in first for mark in "-_0123456789")
    return f"{text if named else text[:1].upper() + text[1:]}."


def _beside(other: Valued, choice: Valued, weights: Mapping[str, float]) -> str:
    """Return the difference of cost in parts, and in what else it is worth less."""
    gap = other.usd - choice.usd
    own, theirs = choice.evaluated.costs, other.evaluated.costs
    parts = sorted(
        ((theirs.get(name, 0.0) - own.get(name, 0.0), name) for name in PARTS),
        key=lambda each: -abs(each[0]),
    )
    told = ", ".join(
        f"{_signed(amount)} {name}" for amount, name in parts[:MOST_PARTS]
        if abs(amount) >= max(SMALL_USD, 0.02 * abs(gap))
    )  # fmt: skip
    split = f" ({told})" if told else ""
    words = "more" if gap > 0 else "less"
    if abs(gap) < SMALL_USD:
        text = "Costs the same"
    else:
        text = f"Costs {_usd(abs(gap))} USD a month {words}{split}"
    worse = [
        f"{name} {other.values[name]:.2f} against {choice.values[name]:.2f}"
        for name in CRITERIA[1:]
        if weights[name] > 0 and choice.values[name] - other.values[name] >= 0.02
    ]
    return f"{text}; worth less in {', '.join(worse)}." if worse else f"{text}."


def _usd(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.3g}"


def _signed(amount: float) -> str:
    return f"{'+' if amount >= 0 else '−'}{_usd(abs(amount))}"  # noqa: RUF001 - a minus, for people


def _price(answer: Answered, other: Valued, choice: Valued) -> str:
    """Return the share by which its prices would have to fall, where that alone is enough."""
    weight = answer.weights["cost"]
    needed = other.values["cost"] + (choice.score - other.score) / weight if weight else 2.0
    if needed > 1 or not math.isfinite(other.usd) or other.usd <= 0:
        return ""
    best, worst = answer.anchors.cost
    target = worst * (best / worst) ** needed
    percent = math.ceil(100 * (1 - target / other.usd) + 1e-9)
    for cut in (percent, percent + 1):
        if 0 < cut < 100:
            reduced = cheaper(other.evaluated.offer, 1 - cut / 100)
            again = answer.question.of([reduced]).answered().valued.get(other.id)
            if again is not None and again.score > choice.score:
                return f"prices {cut} % lower"
    return ""


def _probe(answer: Answered, other: Valued, choice: Valued) -> str:
    """Return how much a machine would have to carry, where that may be so and was not measured."""
    capacity = other.evaluated.capacity
    if capacity is None or capacity.basis == "measured" or other.high <= choice.score:
        return ""
    question = answer.question

    def probed(factor: float) -> Valued | None:
        return _as_measured(question, other, factor).answered().valued.get(other.id)

    low, high = 1 / FASTEST_PROBE, FASTEST_PROBE
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        found = probed(middle)
        wins = found is not None and found.score > choice.score
        low, high = (low, middle) if wins else (middle, high)
    found = probed(high)
    if found is None or found.score <= choice.score or found.evaluated.capacity is None:
        return ""
    rate = found.evaluated.capacity.rate
    if rate > capacity.high or rate <= capacity.low:
        return ""
    return (
        f"{_usd(rate)} requests/s measured on a machine (it may carry {_usd(capacity.low)} to "
        f"{_usd(capacity.high)})"
    )


def _as_measured(question: Question, other: Valued, factor: float) -> Question:
    """Return the question as if the replica had been so many times as fast on that machine."""
    machine, was = other.evaluated.offer.machine, question.measured
    told = msgspec.structs.replace(
        was, rate=was.rate * factor, low=was.low * factor, high=was.high * factor,
        tier=machine.tier, arch=machine.arch, machine=machine.id,
        coremark_per_core=machine.coremark / machine.vcpu
        if machine.coremark and machine.vcpu else None,
    )  # fmt: skip
    again = replace(question, probes=(*question.probes, told))
    return again.of([other.evaluated.offer])


def _confirmed(answer: Answered, other: Valued, choice: Valued) -> str:
    """Return what has to be confirmed, and whether it would be the choice then."""
    names = tuple(check.name for check in other.evaluated.unknown)
    config = answer.question.config
    told = msgspec.structs.replace(config, confirmed=(*config.confirmed, *names))
    offers = [other.evaluated.offer, choice.evaluated.offer]
    again = answer.question.asked(told).of(offers).answered().choice
    what = ", ".join(name.replace("_", " ") for name in names)
    if again is not None and again.id == other.id:
        return f"{what} confirmed"
    return ""


def _dropped(answer: Answered, failed: Evaluated) -> str:
    """Return the one requirement without which it passes, and whether it would be the choice."""
    choice = answer.choice
    service = failed.offer.service.id
    same = [
        each
        for each in answer.evaluated
        if each.offer.service.id == service and each.failed is not None
    ]
    near = sorted(same, key=lambda each: (_failures(each), _cost(each)))
    offers = [each.offer for each in near[:MOST_TRIED]]
    passes = ""
    for what, config in _relaxed(answer.question.config):
        others = [choice.evaluated.offer] if choice else []
        again = answer.question.asked(config).of([*offers, *others]).answered()
        winner = again.choice
        if winner is not None and winner.evaluated.offer.service.id == service:
            return f"without {what}"
        if any(each.evaluated.offer.service.id == service for each in again.running):
            passes = passes or f"none: without {what} it passes, and still loses"
    return passes


def _failures(evaluated: Evaluated) -> int:
    return sum(check.outcome == "fail" for check in evaluated.checks)


def _distance(evaluated: Evaluated) -> float:
    """Return failures in number, money counting for less than what no money mends."""
    failed = {check.name for check in evaluated.checks if check.outcome == "fail"}
    failures = _failures(evaluated) - (0.6 if "budget" in failed else 0.0)
    # What needs too many machines has no cost for that reason, and not for want of knowledge.
    unknown = evaluated.usd is None and "replicas" not in failed
    return failures + (_ignorance(evaluated) if unknown else 0.0)


def _ignorance(evaluated: Evaluated) -> float:
    priceless = any(check.name == "price" for check in evaluated.unknown)
    return 0.5 if priceless and evaluated.capacity is not None else 1.5


def _cost(evaluated: Evaluated) -> float:
    return evaluated.usd.value if evaluated.usd else math.inf


def _relaxed(config: PlatformsConfig) -> Iterator[tuple[str, PlatformsConfig]]:
    """Yield what a requirement is called, with the settings without it; one of a list at a time."""
    asked, usual = config.requirements, Requirements()
    for name in Requirements.__struct_fields__:
        told, free = getattr(asked, name), getattr(usual, name)
        if told == free or name in ("exclude", "commitment", "interruptible"):
            continue
        parts = told if isinstance(told, tuple) and name in ("compliance", "integrations") else ()
        for part in parts:
            rest = tuple(each for each in told if each != part)
            yield part, _with(config, name, rest)
        if not parts:
            yield f"{name.replace('_', ' ')} {_shown(told)}".strip(), _with(config, name, free)


def _shown(value: object) -> str:
    if value is True:
        return ""
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(
        value, float | int) else str(value)  # fmt: skip


def _with(config: PlatformsConfig, name: str, value: object) -> PlatformsConfig:
    requirements = msgspec.structs.replace(config.requirements, **{name: value})
    return msgspec.structs.replace(config, requirements=requirements)
