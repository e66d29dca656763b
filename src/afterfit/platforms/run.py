"""``platforms``: from offers, one measured replica and traffic to where a model is best run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import msgspec
import numpy as np

from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.trace import Trace, greatest_ahead, thinned
from afterfit.platforms.breakeven import Scan, contenders, scanned
from afterfit.platforms.evaluated import Evaluated
from afterfit.platforms.freshness import age_days
from afterfit.platforms.judge import Judged, findings_of, said
from afterfit.platforms.question import Answered, Question, eligible_of
from afterfit.platforms.redecide import redecided
from afterfit.platforms.robust import (
    Close,
    bars,
    close_calls,
    weight_flips,
    win_metric,
    wins,
)
from afterfit.platforms.shapes import Measured, Source
from afterfit.platforms.sizing import Demand, fleet_of, lag_of, least_of
from afterfit.platforms.value import Valued, services
from afterfit.platforms.why import nearest, reason_of
from afterfit.records.autoscale import TraceTold
from afterfit.records.platforms import (
    CheckTold,
    Flip,
    OfferOutcome,
    PlatformsRecord,
    Range,
    ReplicaMeasured,
    SourceTold,
)
from afterfit.store.environment import current_environment

__all__ = ["Basis", "platforms"]

MOST_FRONT = 4


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a decision rests on beside the question, and of which version it is.

    ``sources`` are those of the catalog by name, ``dated`` is its date, ``today`` the day of the
    decision, ``quantized`` whether the form that ships is (None: not known). ``cpu`` is where the
    replica was measured; ``counted`` says that the traffic is a file of the user's.
    """

    name: str = ""
    number: int = 0
    digest: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    dated: str = ""
    today: date
    cpu: str = ""
    quantized: bool | None = None
    counted: bool = True

    @property
    def ref(self) -> str:
        """The version as people write it: ``fraud@3``; empty where there is none."""
        return f"{self.name}@{self.number}" if self.name else ""


def platforms(question: Question, basis: Basis, *, progress: Progress = SILENT) -> PlatformsRecord:
    """Return where the model is best run, why, how sure that is, and why not elsewhere.

    Raises UsageError for weights and anchors that cannot be.
    """
    progress.step("platforms")
    answer = question.answered()
    choice = answer.choice
    near = _near(answer)
    scan = scanned(near, progress)
    close = close_calls(answer, choice) if choice else Close()
    judged = Judged(answer=answer, close=close, scan=scan, basis=basis)
    shares = wins(answer)
    shown = _shown(answer, close)
    progress.step("why not the others", len(shown))
    outcomes = []
    for each in shown:
        outcomes.append(_outcome(each, answer, shares, scan))
        progress.advance()
    return PlatformsRecord(
        subject=basis.digest,
        env=current_environment(),
        inputs=basis.inputs,
        resolved=msgspec.to_builtins(question.config),
        findings=tuple(findings_of(judged)),
        metrics=_metrics(answer, shares),
        slo=str(question.slo),
        ref=basis.ref,
        traffic=_trace(question.trace),
        rates=tuple(zip(*thinned(question.trace.rates, question.trace.step_s), strict=True)),
        machines=_stood(choice, question) if choice else (),
        replica=_replica(question.measured, basis.cpu),
        decided=judged.decided,
        choice=choice.id if choice else "",
        said=said(judged, shares),
        considered=len(answer.evaluated),
        failed=_failed(answer),
        outcomes=tuple(outcomes),
        weights=answer.weights,
        anchors=answer.anchors.told(),
        bars=tuple(bars(near, near.valued[choice.id])) if choice else (),
        flips=(*weight_flips(answer, choice), *_turns(scan, question)) if choice else (),
        probe=close.probe,
        redecide=redecided(answer, choice, scan) if choice else (),
        sources=_sources(outcomes, basis),
        catalog_date=basis.dated,
    )


def _near(answer: Answered) -> Answered:
    """Return the answer among those offers alone that may win with other traffic or prices."""
    offers = {offer.id for offer in contenders(answer)}
    evaluated = tuple(each for each in answer.evaluated if each.offer.id in offers)
    return replace(
        answer,
        question=answer.question.of([each.offer for each in evaluated]),
        evaluated=evaluated,
        ranked=tuple(each for each in answer.ranked if each.id in offers),
    )


def _shown(answer: Answered, close: Close) -> list[Evaluated]:
    """Return the offers of interest: the choice, the front, and the best of each service."""
    wanted = [each for each in answer.running if each.id in answer.ahead][:MOST_FRONT]
    by_service: dict[str, Valued] = {}
    for each in answer.ranked:
        by_service.setdefault(each.evaluated.offer.service.id, each)
    wanted = [*answer.running[:1], *wanted, *close.rivals, *by_service.values()]
    passing = {each.id: each for each in wanted}
    order = sorted(passing.values(), key=lambda each: (each not in answer.running, -each.score))
    failing = [
        nearest(same)
        for service, same in services(answer.evaluated).items()
        if service not in by_service
    ]
    return [*(each.evaluated for each in order), *failing]


def _outcome(
    evaluated: Evaluated, answer: Answered, shares: Mapping[str, float], scan: Scan
) -> OfferOutcome:
    offer, capacity = evaluated.offer, evaluated.capacity
    valued = answer.valued.get(offer.id)
    reason = reason_of(answer, evaluated, scan.told(offer.service.id))
    return OfferOutcome(
        id=offer.id,
        title=offer.title,
        service=offer.service.title,
        provider=offer.service.provider,
        region=offer.machine.region,
        machine=offer.machine.name,
        kind=offer.service.kind,
        term=evaluated.term,
        eligible=eligible_of(evaluated),
        checks=tuple(
            CheckTold(
                name=check.name,
                outcome=check.outcome,
                why=check.why,
                confirm=check.confirm,
                source=check.source,
            )
            for check in evaluated.checks
        ),
        capacity=Range(value=capacity.rate, low=capacity.low, high=capacity.high)
        if capacity
        else None,
        basis=capacity.basis if capacity else "unknown",
        capacity_why=capacity.why if capacity else "",
        machines=evaluated.machines,
        usd_per_month=evaluated.usd,
        costs=evaluated.costs,
        commit=evaluated.commit,
        p99_ms=evaluated.p99_ms,
        values=valued.values if valued else {},
        score=valued.score if valued else None,
        wins=shares.get(offer.service.id, 0.0) if offer.id in _firsts(answer) else None,
        front=offer.id in answer.ahead,
        why_not=reason.why_not,
        change=reason.change,
        lost=reason.lost,
        sources=evaluated.sources,
    )


def _firsts(answer: Answered) -> set[str]:
    """Return the ids of the best offer in the running of each service."""
    found: dict[str, str] = {}
    for each in answer.running:
        found.setdefault(each.evaluated.offer.service.id, each.id)
    return set(found.values())


def _metrics(answer: Answered, shares: Mapping[str, float]) -> tuple[Metric, ...]:
    choice = answer.choice
    if choice is None or choice.evaluated.usd is None:
        return ()
    usd, p99 = choice.evaluated.usd, choice.evaluated.p99_ms
    level = answer.question.config.level
    cost = Metric(name="usd_per_month", value=usd.value, low=usd.low, high=usd.high, level=level,
                  unit="USD", method="bounds of the capacity", scope=choice.id)  # fmt: skip
    latency = p99 and Metric(
        name="platform_p99_ms", value=p99.value, low=p99.low, high=p99.high, level=level,
        unit="ms", method="bounds of the capacity", scope=choice.id,
    )  # fmt: skip
    won = win_metric(answer, shares.get(choice.evaluated.offer.service.id, 0.0))
    return (cost, *((latency,) if latency else ()), won)


def _failed(answer: Answered) -> dict[str, int]:
    return dict(Counter(each.failed.name for each in answer.evaluated if each.failed))


def _turns(scan: Scan, question: Question) -> list[Flip]:
    found = [("traffic at the peak", level) for level in scan.nearest]
    if scan.own is not None:
        found.append(("traffic, cheapest managed or own machines", scan.own))
    return [
        Flip(
            what=what, now=question.trace.peak, value=level.peak, unit="requests/s",
            winner=level.winner.id, title=level.winner.evaluated.offer.title,
        )
        for what, level in found
    ]  # fmt: skip


def _trace(trace: Trace) -> TraceTold:
    return TraceTold(
        name=trace.name, seconds=trace.seconds, step_s=trace.step_s, peak=trace.peak,
        mean=trace.requests / trace.seconds, requests=trace.requests, counted=trace.counted,
        start=trace.start.isoformat() if trace.start else "", notes=trace.notes,
    )  # fmt: skip


def _stood(choice: Valued, question: Question) -> tuple[tuple[float, float], ...]:
    """Return the machines of the choice over time; none where nothing stands between requests."""
    evaluated = choice.evaluated
    if evaluated.capacity is None or evaluated.offer.service.billed == "busy":
        return ()
    trace, config = question.trace, question.config
    carried = evaluated.capacity.low or evaluated.capacity.rate
    lag = lag_of(evaluated.offer, question.measured)
    steps = 0 if lag is None else round(lag / trace.step_s)
    smooth = trace.smooth
    needed = np.full_like(smooth, smooth.max()) if lag is None else greatest_ahead(smooth, steps)
    hours, rates = thinned(needed, trace.step_s)
    least = least_of(evaluated.offer, config)
    made = [
        fleet_of(Demand(Trace("", np.array([rate]), trace.step_s)), carried, 0.0,
                 config, least)
        for rate in rates
    ]  # fmt: skip
    return tuple(zip(hours, (float(fleet.counts[-1]) for fleet in made), strict=True))


def _replica(measured: Measured, cpu: str) -> ReplicaMeasured:
    return ReplicaMeasured(
        rate=Range(value=measured.rate, low=measured.low, high=measured.high),
        cores=measured.cores, memory_gib=measured.memory_gib, tier=measured.tier, cpu=cpu,
        p99_ms=measured.p99_ms, cold_start_s=measured.cold_start_s, source=measured.source,
    )  # fmt: skip


def _sources(outcomes: Sequence[OfferOutcome], basis: Basis) -> tuple[SourceTold, ...]:
    used = dict.fromkeys(name for each in outcomes for name in each.sources)
    return tuple(
        SourceTold(
            name=name, text=source.text, date=source.date, licence=source.licence,
            confidence=source.confidence, link=source.link,
            age_days=age_days(source, basis.today),
        )
        for name in used
        if (source := basis.sources.get(name)) is not None
    )  # fmt: skip
