"""When a run says something of the generator instead of the server: it is invalid, and says why.

What makes latencies look worse than they are speaks only against a failure. A request that is sent
late is answered no earlier in any queue that serves in order, and latency counts from when it was
due: a run that keeps the objective all the same keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from afterfit.loadtest.shot import Floats
from afterfit.stats.quantile import quantile_of

__all__ = ["Generated", "reasons", "slowed"]

MOST_LAG_MS = 1.0
"""Of the generator's lateness, its 99th percentile: a whole ms is in every latency that is told."""
LAG_OF_LIMIT = 0.1
"""Where an objective is known, lateness of a tenth of it decides few verdicts."""
MOST_STEAL = 0.05
"""Of all CPU time: more taken by other guests of the host slows the server as much."""
LEAST_SENT = 0.98
"""Of the requests that were due in time: with fewer the rate is another one than is told."""
SENT_S = 0.1
MOST_CPU = 0.9
"""Of a core: a process that has no more answers late, and takes the answers for late."""


@dataclass(frozen=True)
class Generated:
    """What is known of the generator's own part in a run."""

    due: Floats
    lag: Floats
    seconds: float
    scheduled: bool
    cpu: float
    spins: bool
    steal: float
    own_errors: int
    own_error: str
    ended: tuple[int, ...] = ()


def reasons(run: Generated, *, cut: bool) -> tuple[str, ...]:
    """Return why the run is invalid, nothing where it is valid."""
    found = [*(f"a process of the generator ended with code {code}" for code in run.ended)]
    if run.own_errors:
        found.append(
            f"the generator could not open {run.own_errors} connections itself: {run.own_error}"
        )
    if run.scheduled and len(run.due) and not cut:
        sent = float(np.mean(run.due + run.lag <= run.seconds + SENT_S))
        if sent < LEAST_SENT:
            found.append(
                f"{sent:.1%} of the requests were sent in time, {LEAST_SENT:.0%} have to be"
            )
    return tuple(found)


def slowed(run: Generated, limit_ms: float | None) -> tuple[str, ...]:
    """Return why latencies may be worse than the server's own, nothing where they are its own."""
    found = []
    if run.steal > MOST_STEAL:
        found.append(
            f"other guests of the host took {run.steal:.1%} of the CPU, {MOST_STEAL:.0%} may"
        )
    if not run.spins and run.cpu > MOST_CPU:
        found.append(
            f"the generator used {run.cpu:.0%} of a core, {MOST_CPU:.0%} may: "
            "give it more processes, or the server less load"
        )
    if run.scheduled and len(run.due):
        found += _late(run, limit_ms)
    return tuple(found)


def _late(run: Generated, limit_ms: float | None) -> list[str]:
    most = max(MOST_LAG_MS, LAG_OF_LIMIT * (limit_ms or 0.0))
    lag = quantile_of(np.sort(np.nan_to_num(run.lag, nan=np.inf)), 0.99) * 1e3
    if lag <= most:
        return []
    told = f"{lag:.3g} ms" if np.isfinite(lag) else "not sent at all"
    return [f"the generator was late: 99th percentile {told}, {most:g} ms may be"]
