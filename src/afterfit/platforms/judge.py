"""What a choice is told as: decided or not, in two sentences, and with its findings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from afterfit.core.finding import Finding
from afterfit.core.metric import in_figures
from afterfit.platforms import findings
from afterfit.platforms.breakeven import MANAGED, Scan, both_kinds
from afterfit.platforms.constraints import conflicts
from afterfit.platforms.freshness import STALE_DAYS, age_days
from afterfit.platforms.question import Answered
from afterfit.platforms.robust import Close
from afterfit.platforms.shapes import Check
from afterfit.platforms.value import Valued
from afterfit.platforms.why import lost_features, nearest

if TYPE_CHECKING:
    from afterfit.platforms.run import Basis

__all__ = ["Judged", "findings_of", "said"]

FAST_INTEGERS = ("vnni", "amx", "i8mm")
MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An answer with who is close to it, what other traffic would change, and what it rests on."""

    answer: Answered
    close: Close
    scan: Scan
    basis: Basis

    @property
    def ref(self) -> str:
        """The version as commands take it."""
        return self.basis.ref or "NAME@champion"

    @property
    def choice(self) -> Valued | None:
        """The offer that was chosen."""
        return self.answer.choice

    @property
    def decided(self) -> Literal["yes", "if", "close", "none"]:
        """Whether there is a choice, and whether it can be relied on."""
        if self.choice is None:
            return "none"
        if self.choice.evaluated.unknown:
            return "if"
        return "close" if self.close.rivals else "yes"


def said(judged: Judged, shares: Mapping[str, float]) -> str:
    """Return the decision in two sentences."""
    choice = judged.choice
    if choice is None:
        return _nothing(judged)
    name = f"{judged.basis.name}@{judged.basis.number}" if judged.basis.name else "the model"
    offer = choice.evaluated.offer
    where = f"{offer.title}{_paid(choice)}"
    cost = f"{_usd(choice)} a month{_latency(judged, choice)}"
    if judged.decided == "if":
        confirm = _to_confirm(choice)
        return f"Run {name} on {where}, once it is confirmed {confirm}. It costs {cost}."
    if judged.decided == "close":
        rivals = " and ".join(each.evaluated.offer.title for each in judged.close.rivals)
        return (
            f"{where} leads for {name} at {cost}, but {rivals} may be as good. {_settling(judged)}"
        )
    share = shares.get(offer.service.id, 0.0)
    return f"Run {name} on {where}. It costs {cost}, and {_lead(judged, share)}."


def _paid(choice: Valued) -> str:
    words = {"on_demand": "", "monthly": ""}
    term = choice.evaluated.term
    commit = choice.evaluated.commit
    if commit is None or not commit.machines:
        return words.get(term, f", {term.replace('_', ' ')}")
    return f", {commit.machines} bound ({commit.term.replace('_', ' ')})"


def _usd(each: Valued) -> str:
    usd = each.evaluated.usd
    if usd is None:
        return "an unknown amount"
    low, high = _round(usd.low), _round(usd.high)
    return f"{high} USD" if low == high else f"{low} to {high} USD"


def _round(amount: float) -> str:
    if amount >= 1000:
        scale = 10 ** (math.floor(math.log10(amount)) - 2)
        amount = round(amount / scale) * scale
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"


def _latency(judged: Judged, each: Valued) -> str:
    late, quantile = each.evaluated.p99_ms, judged.answer.question.slo.quantile
    return "" if late is None else f" at a p{quantile * 100:g} of {late.value:.3g} ms"


def _lead(judged: Judged, share: float) -> str:
    title = judged.choice.evaluated.offer.service.title if judged.choice else ""
    wins = f"{title} wins in {100 * share:.0f} % of weightings"
    service = judged.choice.evaluated.offer.service.id if judged.choice else ""
    others = [v for v in judged.answer.running if v.evaluated.offer.service.id != service]
    if not others:
        return f"{wins}; no other service passes"
    return f"{wins}; next is {others[0].evaluated.offer.title} at {_usd(others[0])}"


def _to_confirm(choice: Valued) -> str:
    return _to_confirm_of(choice.evaluated.unknown)


def _to_confirm_of(unknown: Sequence[Check]) -> str:
    told = [check.confirm.partition(": ")[2] or check.why for check in unknown]
    shown = "; ".join(told[:MOST_NAMED])
    left = len(told) - MOST_NAMED
    return f"{shown} and {left} more" if left > 0 else shown


def _settling(judged: Judged) -> str:
    titles = {each.id: each.evaluated.offer.title for each in judged.answer.running}
    named = [titles[name] for name in judged.close.probe if name in titles]
    if not named:
        return "Nothing that can be measured tells them apart."
    if judged.close.alone:
        return f"Measure {named[0]}: that alone should settle it."
    if len(named) == len(judged.close.rivals) + 1:
        return f"Measure {'both' if len(named) == 2 else 'all of them'} to settle it."
    return f"Measure {', '.join(named[:-1])} and {named[-1]} to settle it." if len(named) > 1 else (
        f"Measure {named[0]} to settle it.")  # fmt: skip


def _nothing(judged: Judged) -> str:
    answer = judged.answer
    if not answer.evaluated:
        return "There is no offer to choose from."
    near = nearest(answer.evaluated)
    failing = [check for check in near.checks if check.outcome == "fail"]
    lacks = "; ".join(check.why.rstrip(".") for check in failing[:MOST_NAMED])
    lacks = lacks or "its cost is not known here; to be confirmed: " + _to_confirm_of(near.unknown)
    return (
        f"None of {len(answer.evaluated):,} offers meets every requirement. "
        f"The nearest is {near.offer.title}: {lacks}."
    )


def findings_of(judged: Judged) -> Iterator[Finding]:
    """Yield the findings, those about what was asked first."""
    yield from _conflicts(judged)
    yield from _passing(judged)
    yield from _stale(judged)
    yield from _traffic(judged)
    yield from _told(judged)
    if judged.choice is not None:
        yield from _confirmable(judged, judged.choice)
        yield from _capacity(judged, judged.choice)
        yield from _close(judged)
        yield from _cheapest(judged, judged.choice)
        yield from _instructions(judged, judged.choice)
        yield from _lifecycle(judged.choice)
        yield from _break_even(judged)


def _conflicts(judged: Judged) -> Iterator[Finding]:
    question = judged.answer.question
    found = conflicts(question.config.requirements)
    for text in found:
        yield findings.Conflict.issue(text, fix="drop or change one of the two")
    if not found:
        yield findings.Conflict.passed()


def _passing(judged: Judged) -> Iterator[Finding]:
    answer = judged.answer
    if answer.choice is not None:
        yield findings.NothingPasses.passed()
        return
    counts: dict[str, int] = {}
    for each in answer.evaluated:
        name = each.failed.name if each.failed else "cost"
        counts[name] = counts.get(name, 0) + 1
    told = ", ".join(f"{n:,} by {name}" for name, n in sorted(counts.items(), key=lambda i: -i[1]))
    yield findings.NothingPasses.issue(
        f"no offer passes: {told or 'there is none'}",
        fix="see below what each service lacks, and without which requirement it would pass",
        counts=counts,
    )


def _stale(judged: Judged) -> Iterator[Finding]:
    running = judged.answer.running[:5]
    names = dict.fromkeys(name for each in running for name in each.evaluated.sources)
    basis = judged.basis
    ages = {n: age_days(basis.sources[n], basis.today) for n in names if n in basis.sources}
    old = {n: days for n, days in ages.items() if days is None or days > STALE_DAYS}
    if not ages:
        yield findings.StalePrices.skipped("no price has a source")
    elif not old:
        yield findings.StalePrices.passed()
    else:
        known = [days for days in old.values() if days is not None]
        most = f"up to {max(known)} days old" if known else "undated"
        yield findings.StalePrices.issue(
            f"numbers of the first five offers are {most}: {', '.join(list(old)[:MOST_NAMED])}",
            fix="afterfit platforms import FILE   # a price list of today", sources=list(old),
        )  # fmt: skip


def _traffic(judged: Judged) -> Iterator[Finding]:
    if judged.basis.counted:
        yield findings.TrafficIsAShape.passed()
    else:
        name = judged.answer.question.trace.name
        yield findings.TrafficIsAShape.tip(
            f"the traffic is the shape {name!r}, not what was counted",
            fix="--traffic FILE, with times and requests/s",
        )


def _told(judged: Judged) -> Iterator[Finding]:
    measured = judged.answer.question.measured
    exact = measured.low == measured.high
    if exact or "told" in measured.source:
        words = (
            f"the rate of one replica was told, not measured{', and has no interval' * exact}"
            if "told" in measured.source
            else "of one replica only a certified rate is known: how much more it holds is not"
        )
        yield findings.ReplicaTold.issue(
            words,
            fix=f'afterfit loadtest {judged.ref} --slo "{judged.answer.question.slo}"',
        )
    else:
        yield findings.ReplicaTold.passed()


def _confirmable(judged: Judged, choice: Valued) -> Iterator[Finding]:
    unknown = choice.evaluated.unknown
    for check in unknown:
        key, _, what = check.confirm.partition(": ")
        yield findings.ToConfirm.issue(
            f"it is not known {what or check.why}", where=key or check.name,
            fix=f"ask the provider, then --confirm {key or check.name}",
        )  # fmt: skip
    better = next(
        (each for each in judged.answer.ranked
         if each.evaluated.unknown and each.score > choice.score), None
    )  # fmt: skip
    if not unknown and better is not None:
        keys = [check.confirm.partition(": ")[0] for check in better.evaluated.unknown]
        yield findings.ToConfirm.tip(
            f"{better.evaluated.offer.title} would be better ({_usd(better)} a month), once "
            f"confirmed: {_to_confirm(better)}",
            fix=" ".join(f"--confirm {key}" for key in keys),
        )
    elif not unknown:
        yield findings.ToConfirm.passed()


def _capacity(judged: Judged, choice: Valued) -> Iterator[Finding]:
    capacity = choice.evaluated.capacity
    if capacity is None or capacity.basis == "measured":
        yield findings.CapacityGuessed.passed()
        return
    words = {"same tier": "of another machine of its tier", "cross tier": "of another tier"}
    yield findings.CapacityGuessed.issue(
        f"{in_figures(capacity.low)} to {in_figures(capacity.high)} requests/s of one machine "
        f"were derived from a measurement {words.get(capacity.basis, 'of another machine')}",
        where=choice.id, fix=f"afterfit platforms probe {judged.ref}",
    )  # fmt: skip


def _close(judged: Judged) -> Iterator[Finding]:
    rivals = judged.close.rivals
    if not rivals:
        yield findings.CloseCall.passed()
        return
    named = ", ".join(f"{each.evaluated.offer.title} ({_usd(each)} a month)" for each in rivals)
    yield findings.CloseCall.issue(
        f"may be as good: {named}", fix=_settling(judged), probe=list(judged.close.probe)
    )


def _cheapest(judged: Judged, choice: Valued) -> Iterator[Finding]:
    priced = [each for each in judged.answer.evaluated if each.usd is not None]
    cheapest = min(priced, key=lambda e: e.usd.value if e.usd else math.inf, default=None)
    if cheapest is None or cheapest.usd is None:
        return
    failed = cheapest.failed
    if failed is None:
        yield findings.CheapestRejected.passed()
        return
    saved = choice.usd - cheapest.usd.value
    yield findings.CheapestRejected.tip(
        f"{cheapest.offer.title} would cost {_round(saved)} USD a month less, and failed "
        f"{failed.name.replace('_', ' ')}: {failed.why}", where=cheapest.offer.id,
    )  # fmt: skip


def _instructions(judged: Judged, choice: Valued) -> Iterator[Finding]:
    tier = choice.evaluated.offer.machine.tier
    if tier not in FAST_INTEGERS or choice.evaluated.offer.machine.gpu:
        yield findings.OtherInstructions.not_applicable("its processor has no fast whole numbers")
    elif judged.basis.quantized is None:
        yield findings.OtherInstructions.skipped("it is not known which form of the model ships")
    elif judged.basis.quantized:
        yield findings.OtherInstructions.passed()
    else:
        yield findings.OtherInstructions.tip(
            f"the chosen machine has {tier.upper()}, and the form that ships is not quantized",
            fix="afterfit optimize MODEL --data DATA --allow quantize", tier=tier,
        )  # fmt: skip


def _lifecycle(choice: Valued) -> Iterator[Finding]:
    service, machine = choice.evaluated.offer.service, choice.evaluated.offer.machine
    if service.status == "sustained":
        yield findings.Lifecycle.issue(
            f"{service.title} is kept alive without new features. {service.status_note}".strip(),
            fix=f"--exclude {service.id}, or plan the move",
        )
    else:
        yield findings.Lifecycle.passed()
    if machine.shared:
        yield findings.SharedProcessor.issue(
            f"{machine.name} shares its processor or bursts", fix=f"--exclude {machine.name}"
        )


def _break_even(judged: Judged) -> Iterator[Finding]:
    managed, own = both_kinds(judged.answer.ranked)
    if managed is None or own is None:
        yield findings.BreakEven.not_applicable("only one kind passes")
        return
    lost = lost_features(managed.evaluated, own.evaluated)
    without = f", and go without {', '.join(lost)}" if lost else ""
    gap = managed.usd - own.usd
    word = "less" if gap > 0 else "more"
    text = (
        f"own machines ({own.evaluated.offer.title}) cost {_round(abs(gap))} USD a month {word} "
        f"than managed ones ({managed.evaluated.offer.title}){without}"
    )
    level = judged.scan.own
    if level is not None:
        kind = "managed" if level.winner.evaluated.offer.service.kind in MANAGED else "own"
        where = "under" if level.factor < 1 else "above"
        peak = in_figures(level.peak)
        text += f"; {where} {peak} requests/s at the peak {kind} ones are the cheapest"
    yield findings.BreakEven.tip(text, break_even=level.peak if level else None)
