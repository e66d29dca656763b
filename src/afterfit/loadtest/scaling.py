"""How capacity grows: with workers on one machine, and with machines beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from afterfit.core.metric import Metric, in_figures
from afterfit.errors import InputError
from afterfit.loadtest.slo import Slo
from afterfit.records.loadtest import GridPoint, LoadStep, ScalePoint, Scaling
from afterfit.stats.queueing import most_rate, servers_needed
from afterfit.stats.usl import LEAST_POINTS, UslFit, fit_usl

__all__ = [
    "by_workers",
    "capacity_metrics",
    "fit_scaling",
    "occupied_s",
    "queue_rate",
    "replica_metrics",
    "service_sample",
]

SAMPLE = 1000


def by_workers(points: Sequence[GridPoint]) -> dict[int, float]:
    """Return the most requests/s by number of workers, of combinations with one thread each."""
    found: dict[int, float] = {}
    for point in points:
        if point.settings.intra_op == 1 and point.sustained_rps:
            workers = point.settings.workers
            found[workers] = max(found.get(workers, 0.0), point.sustained_rps)
    return dict(sorted(found.items()))


def fit_scaling(points: Sequence[GridPoint], seed: int, level: float = 0.95) -> Scaling:
    """Return the universal scalability law through the combinations with one thread each.

    Raises InputError where fewer than four different numbers of workers were measured.
    """
    pairs = [
        (point.settings.workers, point.sustained_rps)
        for point in points
        if point.settings.intra_op == 1 and point.sustained_rps
    ]
    workers = [count for count, _ in pairs]
    fit = fit_usl(workers, [rate for _, rate in pairs], seed)
    one, contention, coherency, peak = fit.bounds(level)
    return Scaling(
        one_rps=(fit.best.rate, *one),
        contention=(fit.best.contention, *contention),
        coherency=(fit.best.coherency, *coherency),
        peak=(_finite(fit.best.peak), _finite(peak[0]), _finite(peak[1])),
        level=level,
        n=fit.points,
        points=_curve(fit, set(workers), level),
    )


def _curve(fit: UslFit, measured: set[int], level: float) -> tuple[ScalePoint, ...]:
    step = max(1, fit.most // 40)
    wanted = sorted({*range(1, fit.most + 1, step), *measured, fit.most})
    found = []
    for workers in wanted:
        value, low, high = fit.at(workers, level)
        found.append(
            ScalePoint(
                workers=workers, value=value, low=low, high=high, measured=workers in measured
            )
        )
    return tuple(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def service_sample(step: LoadStep) -> npt.NDArray[np.float64]:
    """Return 1000 service times in s that have the quantiles of a run at a light load.

    Between the quantiles they are taken to lie evenly; below the first, they equal it.
    """
    if not step.service_ms:
        raise InputError(
            "the run has no service times", why=step.why, fix="measure at a lower rate"
        )
    quantiles, times = zip(*step.service_ms, strict=True)
    at = (np.arange(SAMPLE) + 0.5) / SAMPLE
    return np.asarray(np.interp(at, quantiles, times), dtype=np.float64) / 1e3


def occupied_s(steps: Sequence[LoadStep]) -> float | None:
    """Return for how long a request keeps a worker busy, in s: CPU time by requests.

    Of the run with the highest rate that passed. What a request takes at a light load is longer:
    most of that is the network and waking up, in which a worker is free for others. None where
    the server's CPU was not seen.
    """
    known = [
        s for s in steps if s.verdict == "pass" and s.seen.get("server_cpu") and s.achieved_rps
    ]
    top = max(known, key=lambda step: step.rate, default=None)
    return None if top is None else top.seen["server_cpu"] / top.achieved_rps


def queue_rate(step: LoadStep, servers: int, slo: Slo, busy_s: float | None = None) -> float:
    """Return the rate (requests/s) at which a plain queue with such service times holds the SLO.

    ``step`` is a run at a light load, where hardly anything waits: it tells how service times
    vary, and ``busy_s`` their mean (that of the run where it is None). A server that batches
    carries more than this, one whose workers are in each other's way less.
    """
    sample = service_sample(step)
    if busy_s is not None:
        sample = sample * (busy_s / float(sample.mean()))
    return most_rate(sample, servers, slo.limit_ms / 1e3, slo.allowed)


def capacity_metrics(
    sustained: float, servers: int, steps: Sequence[LoadStep], slo: Slo, n: int
) -> tuple[Metric, ...]:
    """Return what the queue of theory would carry and how busy the real one is at its limit.

    ``headroom`` is the share of the workers' whole time that must stay free for the objective to
    hold: it shrinks with parallelism, so no fixed share of 70 % is right.
    """
    light = min((s for s in steps if s.verdict == "pass"), key=lambda s: s.rate, default=None)
    if light is None or not light.service_ms:
        return ()
    busy_s = occupied_s(steps)
    mean_s = float(service_sample(light).mean()) if busy_s is None else busy_s
    foretold = queue_rate(light, servers, slo, busy_s)
    of = "at a light load" if busy_s is None else "of CPU"
    method = f"M/G/c of {servers} workers with {mean_s * 1e3:.3g} ms {of} a request"
    full = servers / mean_s
    return (
        Metric(name="queue_model_rps", value=foretold, n=n, unit="requests/s", method=method),
        Metric(
            name="headroom",
            value=max(0.0, 1.0 - min(sustained, full) / full),
            n=n,
            method=f"{method}: the share that is free at {in_figures(sustained)} requests/s",
        ),
    )


def replica_metrics(
    expected: float, sustained: Metric, *, spare: int = 1, zones: int = 3
) -> tuple[Metric, ...]:
    """Return how many replicas carry ``expected`` requests/s: just so, with one gone, a zone gone.

    Bounds are by those of the sustained rate, the lower one needing more.
    """
    wanted = (
        ("replicas", 0, 1, "all of them at work"),
        ("replicas_spare", spare, 1, f"{spare} of them gone"),
        ("replicas_zone", spare, zones, f"one of {zones} zones gone"),
    )

    def needed(rate: float | None, gone: int, over: int) -> float | None:
        return None if not rate else float(servers_needed(expected, rate, spare=gone, zones=over))

    return tuple(
        Metric(
            name=name,
            value=needed(sustained.value, gone, over),
            low=needed(sustained.high, gone, over),
            high=needed(sustained.low, gone, over),
            level=sustained.level,
            n=sustained.n,
            unit="replicas",
            method=f"{in_figures(expected)} requests/s over the sustained rate, {text}",
        )
        for name, gone, over, text in wanted
    )


def law_is_possible(points: Sequence[GridPoint]) -> bool:
    """Return whether enough different numbers of workers were measured for the law."""
    return len(by_workers(points)) >= LEAST_POINTS
