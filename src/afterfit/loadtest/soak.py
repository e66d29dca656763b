"""A long run at a part of the capacity, with things that go wrong in the middle of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.errors import AfterfitError
from afterfit.loadtest import findings
from afterfit.loadtest.gathered import Live
from afterfit.loadtest.shot import Arrivals, Shooter, Shot
from afterfit.loadtest.slo import Slo
from afterfit.records.loadtest import FaultOutcome
from afterfit.stats.slope import slope_of_values

__all__ = ["Fault", "FaultName", "Soaked", "fault_moments", "memory_slope", "soak", "soak_findings"]

FaultName = Literal["kill", "swap", "slow"]
FAULTS: tuple[FaultName, ...] = ("kill", "swap", "slow")
CALM_S = 2.0
"""It is over when so many seconds in a row keep the objective."""
STRETCHES = 20
"""Memory is averaged over so many stretches: neighbouring looks at it say nearly the same."""
DAY_MIN = 24 * 60.0
GROWS = 0.2
"""A server that would grow by this share of its memory in a day does not run for weeks."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong ``at_s`` s into the run: ``act`` does it and returns at once."""

    name: FaultName
    at_s: float
    act: Callable[[], None]


@dataclass(frozen=True)
class Soaked:
    """The run, the numbers of each of its seconds, and what became of each fault."""

    shot: Shot
    lives: tuple[Live, ...]
    faults: tuple[FaultOutcome, ...]


def fault_moments(
    names: Sequence[FaultName], seconds: float
) -> tuple[tuple[FaultName, float], ...]:
    """Return when each fault happens: spread evenly, with calm before the first and at the end."""
    gap = seconds / (len(names) + 1)
    return tuple((name, gap * (number + 1)) for number, name in enumerate(names))


def soak(
    shooter: Shooter,
    arrivals: Arrivals,
    seconds: float,
    seed: int,
    *,
    slo: Slo | None = None,
    faults: Sequence[Fault] = (),
    lives: list[Live] | None = None,
) -> Soaked:
    """Return what became of a long run in which the faults happen.

    ``lives`` is the list that the shooter's live numbers go to. A fault that cannot be done says
    why in its outcome, and the run goes on.
    """
    seen = [] if lives is None else lives
    seen.clear()
    failed: dict[str, str] = {}
    over = threading.Event()
    thread = threading.Thread(target=_act, args=(faults, over, failed), daemon=True)
    thread.start()
    try:
        shot = shooter.fire(arrivals, seconds, seed)
    finally:
        over.set()
        thread.join()
    outcomes = tuple(_outcome(fault, shot, slo, failed.get(fault.name, "")) for fault in faults)
    return Soaked(shot, tuple(seen), outcomes)


def _act(faults: Sequence[Fault], over: threading.Event, failed: dict[str, str]) -> None:
    begun = time.monotonic()
    for fault in sorted(faults, key=lambda each: each.at_s):
        if over.wait(max(0.0, begun + fault.at_s - time.monotonic())):
            failed[fault.name] = "the run was over before"
            continue
        try:
            fault.act()
        except (AfterfitError, OSError) as error:
            failed[fault.name] = getattr(error, "message", "") or str(error)


def _outcome(fault: Fault, shot: Shot, slo: Slo | None, why: str) -> FaultOutcome:
    """Return what a fault cost: counted from it until the calm after it, or to the end."""
    if why:
        return FaultOutcome(name=fault.name, at_s=fault.at_s, why=why)
    bad = ~shot.good if slo is None else shot.missed(slo.limit_ms)
    after = shot.due >= fault.at_s
    times = shot.due[after & bad]
    recovered = _calm_from(times, fault.at_s, shot.seconds)
    until = shot.seconds if recovered is None else recovered
    during = after & (shot.due <= until)
    return FaultOutcome(
        name=fault.name,
        at_s=fault.at_s,
        requests=int(np.count_nonzero(during)),
        errors=int(np.count_nonzero(during & (shot.status != 200))),
        wrong=int(np.count_nonzero(during & shot.wrong)),
        misses=int(np.count_nonzero(during & bad)),
        recovery_s=None if recovered is None else max(0.0, recovered - fault.at_s),
    )


def _calm_from(bad: np.ndarray, start: float, end: float) -> float | None:
    """Return the moment from which nothing bad happens for `CALM_S`; None where none comes."""
    at = start
    for moment in bad:
        if moment - at >= CALM_S:
            break
        at = float(moment)
    return at if end - at >= CALM_S or at == start else None


def memory_slope(lives: Sequence[Live], level: float = 0.95) -> Metric | None:
    """Return by how much the server's memory grows in the second half, in MB/min.

    The first half is left out: caches and pools fill. None where memory was not seen.
    """
    seen = [
        (live.second, live.seen["server_memory_bytes"])
        for live in lives
        if "server_memory_bytes" in live.seen
    ]
    half = seen[len(seen) // 2 :]
    if len(half) < STRETCHES:
        return None
    second, memory = np.array(half, dtype=np.float64).T
    parts = np.array_split(np.arange(len(half)), STRETCHES)
    minutes = np.array([second[part].mean() for part in parts]) / 60.0
    mb = np.array([memory[part].mean() for part in parts]) / 1e6
    line = slope_of_values(mb, minutes, level)
    known = np.isfinite(line.slope) and np.isfinite(line.interval.low)
    flat = float(np.ptp(mb)) == 0.0
    return Metric(
        name="memory_slope_mb_min",
        value=0.0 if flat else float(line.slope),
        low=float(line.interval.low) if known else 0.0 if flat else None,
        high=float(line.interval.high) if known else 0.0 if flat else None,
        level=level,
        n=len(half),
        unit="MB/min",
        method=f"least squares through {STRETCHES} means of the second half, HC3",
        scope="soak",
    )


def soak_findings(soaked: Soaked, slope: Metric | None) -> tuple[Finding, ...]:
    """Return what a long run says: whether memory grows, and whether faults were survived."""
    found: list[Finding] = [_memory(soaked, slope)]
    for outcome in soaked.faults:
        where = f"{outcome.name} at {outcome.at_s:.3g} s"
        if outcome.why:
            found.append(findings.FaultUnderLoad.skipped(outcome.why, where=where))
            continue
        told = f"{outcome.errors} of {outcome.requests} requests failed"
        if outcome.wrong:
            told += f", {outcome.wrong} were answered wrongly"
        if outcome.recovery_s is None or outcome.wrong:
            ends = "; it did not recover before the end" if outcome.recovery_s is None else ""
            fix = "look at the server's log of that moment"
            found.append(findings.FaultUnderLoad.issue(told + ends, where=where, fix=fix))
        else:
            text = f"{told}; calm again after {outcome.recovery_s:.2g} s"
            if not outcome.misses:
                text = "no request felt it"
            found.append(findings.FaultUnderLoad.passed(text, where=where))
    return tuple(found)


def _memory(soaked: Soaked, slope: Metric | None) -> Finding:
    check = findings.MemoryGrows
    if slope is None or slope.value is None or slope.low is None:
        n = len(soaked.lives)
        needed = 2 * STRETCHES
        return check.skipped(f"memory was seen for {n} s, {needed} are needed", needed_n=needed)
    first = next(
        x.seen["server_memory_bytes"] for x in soaked.lives if "server_memory_bytes" in x.seen
    )
    text = f"{slope.text()} at {first / 1e6:.3g} MB"
    if slope.low > 0 and slope.low * DAY_MIN > GROWS * first / 1e6:
        return check.issue(text, fix="soak for longer to be sure: --soak 1h; then look for a leak")
    return check.passed(text)
