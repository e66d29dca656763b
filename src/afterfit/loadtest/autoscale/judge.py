"""What is to be said of a comparison: findings, and why each policy won or lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from afterfit.core.finding import Finding
from afterfit.loadtest.autoscale import findings
from afterfit.loadtest.autoscale.compare import REFERENCE, Arena, Judged
from afterfit.loadtest.autoscale.config import Measured
from afterfit.loadtest.autoscale.sizing import Fleet
from afterfit.loadtest.slo import Slo

STEEP = 1.5
LOWER = 0.9


def why(judged: Judged, best: Judged | None, arena: Arena) -> str:
    """Return in a sentence why a policy won or lost."""
    minutes = judged.value("violation_minutes")
    if not judged.holds:
        told = f"breaks the objective in {minutes:.3g} of {arena.trace.seconds / 60:.4g} min"
        share = judged.value("miss_share")
        told += f", {share:.2%} of the requests miss it"
        if judged.runs[0].paid.max() >= judged.plan.size.most and judged.plan.name != "static":
            told += f"; it reached its {judged.plan.size.most} replicas"
        return told
    if judged is best:
        return "the cheapest that holds"
    if best is None or judged.plan.name == REFERENCE:
        return "holds too, but was not sized for a loss" if best else "holds"
    ratio = judged.value("replica_hours") / best.value("replica_hours")
    return f"holds, at {ratio:.3g} times the replica-hours of {best.plan.title}"


def findings_of(
    arena: Arena, judged: Sequence[Judged], best: Judged | None, measured: Measured
) -> tuple[Finding, ...]:
    """Return the findings of a comparison."""
    found = [
        _holds(arena, judged, best),
        _ramp(arena, judged, best),
        _most(arena, judged, best),
        *_zero(arena, judged),
        *_as_is(judged),
        _told(measured),
        _coarse(arena, judged),
    ]
    if best is not None:
        found += [_lower(arena, best, measured), _loss(arena.fleet, best, arena.trace.peak)]
    if any(each.plan.blocks for each in judged):
        text = "the schedule was made from the trace on which it is judged"
        found.append(findings.ForecastIsTheTrace.tip(text, fix="plan events with a margin"))
    return tuple(found)


def _holds(arena: Arena, judged: Sequence[Judged], best: Judged | None) -> Finding:
    check = findings.NothingHolds
    if best is not None:
        least = best.value("replica_hours")
        return check.passed(f"{best.plan.title} holds with {least:.4g} replica-hours")
    closest = min(judged, key=lambda each: each.value("violation_minutes"))
    needed = arena.fleet.needed(arena.trace.peak)
    ways = []
    if arena.config.most is not None and arena.config.most < needed:
        ways.append(f"--max {needed}, which the peak takes")
    elif "static" not in arena.names:
        ways.append(f"{needed} replicas at all times")
    if "scheduled" not in arena.names:
        ways.append("a schedule (--policies scheduled, with --event where it is known)")
    return check.issue(
        f"the closest, {closest.plan.title}, breaks it in "
        f"{closest.value('violation_minutes'):.3g} min",
        fix=" or ".join(ways) or "a shorter cold start, or a looser --slo",
        needed=needed,
    )


def _ramp(arena: Arena, judged: Sequence[Judged], best: Judged | None) -> Finding:
    check = findings.SlowerThanTheRamp
    reactive = [each for each in judged if each.plan.name not in ("static", "scheduled", REFERENCE)]
    if not reactive:
        return check.not_applicable("no policy reacts to traffic")
    steep = min(reactive, key=lambda each: each.plan.size.growth)
    size = steep.plan.size
    text = (
        f"traffic grows {size.growth:.3g} times, from {size.growth_from:.4g} requests/s, in the "
        f"{size.reaction_s:.3g} s that {steep.plan.title} takes"
    )
    mean = arena.trace.requests / arena.trace.seconds
    if size.growth <= STEEP or size.least <= arena.fleet.needed(mean):
        return check.passed(f"{text}; {size.least} replicas at the least carry it")
    planned = best is not None and best.plan.name == "scheduled"
    fix = "take the schedule" if planned else "give a known event with --event, or shorten the "
    return check.issue(text, fix=fix if planned else fix + "cold start", growth=size.growth)


def _most(arena: Arena, judged: Sequence[Judged], best: Judged | None) -> Finding:
    check = findings.MostReached
    most = arena.config.most
    if most is None:
        shown = best.plan.size.most if best else max(each.plan.size.most for each in judged)
        return check.passed(f"up to {shown} replicas, a quarter above what the peak takes")
    needed = arena.fleet.needed(arena.trace.peak)
    if most < needed:
        text = f"the peak of {arena.trace.peak:.4g} requests/s takes {needed} replicas"
        return check.issue(f"{text}, --max is {most}", fix=f"--max {needed}", needed=needed)
    return check.passed(f"the peak takes {needed}, --max is {most}")


def _zero(arena: Arena, judged: Sequence[Judged]) -> list[Finding]:
    if not arena.config.to_zero:
        return []
    check, found = findings.ZeroLoses, []
    for each in judged:
        if each.plan.settings.get("min") != 0:
            continue
        lost = each.value("lost_requests")
        zero = sum(float((run.ready == 0).sum()) for run in each.runs) / len(each.runs)
        text = f"{zero * arena.trace.step_s / 60:.3g} min without a replica"
        if not zero:
            found.append(check.passed(f"{each.plan.title} was never at zero", where=each.plan.name))
        elif lost > 0 or not each.holds:
            fix = "keep one replica: leave out --to-zero"
            text = f"{each.plan.title}: {text}, {lost:.4g} requests lost"
            found.append(check.issue(text, where=each.plan.name, fix=fix))
        else:
            found.append(check.passed(f"{each.plan.title}: {text}", where=each.plan.name))
    return found


def _as_is(judged: Sequence[Judged]) -> list[Finding]:
    found = next((each for each in judged if each.plan.name == REFERENCE), None)
    if found is None:
        return []
    check, minutes = findings.AsOftenSet, found.value("violation_minutes")
    if found.holds:
        return [check.passed("80 % CPU from one replica on holds as well")]
    text = f"80 % CPU from one replica on breaks the objective in {minutes:.3g} min"
    return [check.tip(text, fix="take the settings that were made for the trace")]


def _told(measured: Measured) -> Finding:
    check = findings.ToldNotMeasured
    if measured.low is not None:
        return check.passed(f"{measured.source}: {measured.low:.4g} to {measured.high:.4g}")
    fix = 'afterfit loadtest NAME@champion --slo "p99<50ms"   # finds the rate with its interval'
    return check.tip(f"{measured.rate:g} requests/s a replica: {measured.source}", fix=fix)


def _coarse(arena: Arena, judged: Sequence[Judged]) -> Finding:
    check, spacing = findings.CoarseTrace, arena.trace.spacing_s
    reaction = max(each.plan.size.reaction_s for each in judged)
    if spacing <= max(60.0, reaction):
        return check.passed(f"one rate every {spacing:g} s")
    text = f"one rate every {spacing:g} s, policies react within {reaction:.3g} s"
    return check.issue(text, fix="give rates of at most 60 s, or the moments of requests")


def _lower(arena: Arena, best: Judged, measured: Measured) -> Finding:
    """Run the chosen policy with replicas that carry less, its settings as they are."""
    check = findings.LowerBoundFails
    low = measured.low if measured.low is not None else measured.rate * LOWER
    replica = arena.fleet.replica
    weaker = replace(replica, service_s=replica.service_s * measured.rate / low)
    run = arena.with_replica(weaker).run(best.plan, 0)
    minutes = run.violation_minutes(arena.fleet.slo)
    said = f"with {low:.4g} requests/s a replica {minutes:.3g} min break the objective"
    if arena.affords(minutes):
        return check.passed(said)
    return check.issue(said, fix=f"--replica-rps {low:.4g}, or measure longer", rate=low)


def _loss(fleet: Fleet, best: Judged, peak: float) -> Finding:
    check = findings.LossOfCapacity
    run = best.runs[0]
    at = int(run.arrived.argmax())
    ready = run.ready[at]
    parts = []
    for what, left in (
        ("a replica", ready - 1),
        (f"one of {fleet.zones} zones", int(ready * (fleet.zones - 1) / fleet.zones)),
    ):
        fits = left * _limit(fleet, fleet.slo) >= peak
        parts.append((what, fits, left * fleet.safe_rate))
    wanted = {"none": 0, "replica": 1, "zone": 2}[fleet.survive]
    text = "; ".join(
        f"without {what} {rate:,.0f} of {peak:,.0f} requests/s are safe: "
        f"{'holds' if fits else 'does not hold'}"
        for what, fits, rate in parts
    )
    if all(fits for _, fits, _ in parts[:wanted]):
        return check.passed(text)
    return check.issue(
        text, fix="--survive zone" if fleet.survive == "zone" else "--survive replica"
    )


def _limit(fleet: Fleet, slo: Slo) -> float:
    return fleet.replica.greatest_rate(slo)
