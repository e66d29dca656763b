"""``autoscale``: from what one replica holds to how many there should be, and when."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.trace import Trace, thinned
from afterfit.errors import UsageError
from afterfit.loadtest.autoscale.compare import REFERENCE, Arena, Judged, compare
from afterfit.loadtest.autoscale.config import POLICIES, AutoscaleConfig, Measured
from afterfit.loadtest.autoscale.judge import findings_of, why
from afterfit.loadtest.autoscale.plans import plan_of
from afterfit.loadtest.autoscale.queueing import calibrated
from afterfit.loadtest.autoscale.reasons import reasons
from afterfit.loadtest.autoscale.sizing import Fleet
from afterfit.loadtest.slo import Slo
from afterfit.records.autoscale import (
    AutoscaleRecord,
    Floor,
    PolicyOutcome,
    ReplicaTold,
    Timeline,
    TraceTold,
    WhatIf,
)
from afterfit.store.environment import current_environment

COLD_STARTS = (0.5, 0.25)
MOST_REPLICAS = 5000


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The version that sizes are for, and the digests of what was read for it."""

    name: str = ""
    number: int = 0
    digest: str = ""
    inputs: dict[str, str] = msgspec.field(default_factory=dict)


NOBODY = Subject()


def autoscale(
    measured: Measured,
    slo: Slo,
    trace: Trace,
    config: AutoscaleConfig,
    *,
    of: Subject = NOBODY,
    progress: Progress = SILENT,
) -> AutoscaleRecord:
    """Return what each policy comes to over a trace, with the settings that were made for it.

    ``of`` is the version that it is for. Raises UsageError for an unknown policy, for numbers of a
    replica that contradict each other or hold the objective at no rate, and for fleets of more than
    5,000 replicas.
    """
    progress.step("autoscale")
    for policy in config.policies:
        _check_policy(policy)
    replica = calibrated(
        measured.rate, slo, service_s=measured.service_ms / 1e3, cv=measured.cv,
        concurrency=measured.concurrency, queue=measured.queue,
        cold_start_s=measured.cold_start_s,
    )  # fmt: skip
    fleet = Fleet.of(replica, slo, config.survive, config.zones, config.most)
    _check_size(fleet, trace)
    arena = Arena(fleet, trace, config)
    judged = compare(arena, progress)
    best = judged[0] if judged[0].holds and judged[0].plan.name != REFERENCE else None
    told = ReplicaTold(
        rate=measured.rate, low=measured.low, high=measured.high,
        service_ms=measured.service_ms, loaded_ms=replica.service_s * 1e3, cv=replica.cv,
        concurrency=replica.concurrency, queue=replica.queue,
        cold_start_s=replica.cold_start_s, safe_rate=fleet.safe_rate, source=measured.source,
    )  # fmt: skip
    return AutoscaleRecord(
        subject=of.digest,
        env=current_environment(),
        inputs=of.inputs,
        resolved=msgspec.to_builtins(config),
        findings=findings_of(arena, judged, best, measured),
        metrics=_of(best),
        name=of.name,
        number=of.number,
        slo=str(slo),
        replica=told,
        trace=_trace(trace),
        engine="exact" if arena.exact else "means",
        runs=arena.runs,
        policies=tuple(_outcome(each, best, arena) for each in judged),
        chosen=best.plan.name if best else "",
        usd_h=config.usd_h,
        survive=config.survive,
        zones=config.zones,
        rates=tuple(zip(*thinned(trace.rates, trace.step_s), strict=True)),
        what_ifs=_what_ifs(arena, judged),
    )


def _check_policy(name: str) -> None:
    if name not in POLICIES:
        raise UsageError(
            f"no policy is called {name!r}",
            where="--policies",
            why=f"there are {', '.join(POLICIES)}",
            fix="--policies hpa-rps,keda, or leave it out for all",
        )  # fmt: skip


def _check_size(fleet: Fleet, trace: Trace) -> None:
    if fleet.safe_rate <= 0:
        raise UsageError(
            "one replica holds the objective at no rate",
            where=f"{fleet.slo}, {fleet.replica.service_s * 1e3:.3g} ms of service",
            fix="a looser --slo, or a faster model: afterfit optimize",
        )
    needed = fleet.needed(trace.peak)
    if needed > MOST_REPLICAS:
        raise UsageError(
            f"the peak takes {needed:,} replicas",
            where=f"{trace.peak:.4g} requests/s, {fleet.safe_rate:.4g} a replica",
            why=f"at most {MOST_REPLICAS:,} are simulated",
            fix="look at the unit: rates are in requests/s",
        )


def _of(best: Judged | None) -> tuple[Metric, ...]:
    if best is None:
        return ()
    return tuple(msgspec.structs.replace(each, scope=best.plan.name) for each in best.metrics)


def _trace(trace: Trace) -> TraceTold:
    return TraceTold(
        name=trace.name, seconds=trace.seconds, step_s=trace.step_s, peak=trace.peak,
        mean=trace.requests / trace.seconds, requests=trace.requests, counted=trace.counted,
        start=trace.start.isoformat() if trace.start else "", notes=trace.notes,
    )  # fmt: skip


def _outcome(judged: Judged, best: Judged | None, arena: Arena) -> PolicyOutcome:
    run = judged.runs[0]
    hours, ready = thinned(run.ready, run.step_s)
    _, missed = thinned(run.missed, run.step_s)
    _, came = thinned(run.arrived, run.step_s)
    shares = tuple(m / c if c else 0.0 for m, c in zip(missed, came, strict=True))
    plan = judged.plan
    return PolicyOutcome(
        name=plan.name,
        title=plan.title,
        settings=_floats(plan.settings),
        reasons=reasons(judged, arena.fleet, arena.trace),
        metrics=tuple(msgspec.structs.replace(m, scope=plan.name) for m in judged.metrics),
        holds=judged.holds,
        why=why(judged, best, arena),
        timeline=Timeline(hours=hours, ready=ready, missed=shares),
        floors=tuple(Floor(start_s=b.start_s, end_s=b.end_s, least=b.least) for b in plan.blocks),
        raised=judged.raised,
    )


def _floats(settings: dict[str, float]) -> dict[str, float]:
    """Return what reads back as it was written: 17 would come back as 17.0."""
    return {name: float(value) for name, value in settings.items()}


def _what_ifs(arena: Arena, judged: tuple[Judged, ...]) -> tuple[WhatIf, ...]:
    """Return what the best policy that reacts would come to with a shorter cold start."""
    reactive = [each for each in judged if each.plan.name not in ("static", "scheduled",
                                                                   "hpa-as-is")]  # fmt: skip
    if not reactive:
        return ()
    name, found = reactive[0].plan.name, []
    for share in COLD_STARTS:
        old = arena.fleet.replica
        faster = replace(old, cold_start_s=old.cold_start_s * share)
        other = arena.with_replica(faster)
        plan = plan_of(name, other.fleet, arena.trace, to_zero=arena.config.to_zero)
        run = other.run(plan, 0)
        minutes = run.violation_minutes(arena.fleet.slo)
        found.append(
            WhatIf(
                what=f"{plan.title} with a cold start of {faster.cold_start_s:.3g} s",
                holds=arena.affords(minutes),
                settings=_floats(plan.settings),
                replica_hours=run.replica_hours,
                violation_minutes=minutes,
            )
        )
    return tuple(found)
