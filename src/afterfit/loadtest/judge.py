"""From what became of every request to what may be said: the verdict of a step, and its windows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from afterfit.loadtest.shot import STATUS_OK, Floats, Shot
from afterfit.loadtest.slo import Slo
from afterfit.records.loadtest import LoadStep, LoadWindow
from afterfit.stats.quantile import quantile_of

__all__ = ["QUANTILES", "allowed_misses", "judged", "settled", "windows"]

QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)
WINDOW_S = 1.0
MOST_WINDOWS = 600


def settled(shot: Shot, warmup_s: float) -> Shot:
    """Return the run without its first seconds, in which a server warms up and queues fill.

    Times count from the end of the warm-up. Raises ValueError where nothing would be left.
    """
    if not 0.0 <= warmup_s < shot.seconds:
        raise ValueError(f"a warm-up of {warmup_s:g} s of {shot.seconds:g} s")
    kept = shot.due >= warmup_s
    return dataclasses.replace(
        shot,
        seconds=shot.seconds - warmup_s,
        due=shot.due[kept] - warmup_s,
        written=shot.written[kept] - warmup_s,
        answered=shot.answered[kept] - warmup_s,
        status=shot.status[kept],
        wrong=shot.wrong[kept],
        lag=shot.lag[kept],
    )


def allowed_misses(slo: Slo, n: int) -> int:
    """Return how many of n requests may miss the objective."""
    # Rounded first: 1 - 0.95 is a little more than 0.05, and 1 - 0.9 a little less than 0.1.
    return math.floor(round(slo.allowed * n, 9))


def judged(shot: Shot, slo: Slo, kind: str, settings: dict[str, int] | None = None) -> LoadStep:
    """Return what a run says of an objective: ``pass``, ``fail``, or ``invalid`` with the reason.

    Every request counts, those without a good answer as missed. A run is invalid where the
    generator says so, where its own lateness decides the verdict, and where it was cut short
    before anything failed: none of these says anything about the server. One that passes although
    requests were sent late passes: on time they would have been answered no later.
    """
    verdict, why = _verdict(shot, slo)
    lag = np.nan_to_num(shot.lag)
    return LoadStep(
        kind=kind,
        schedule=shot.schedule,
        rate=shot.rate,
        seconds=shot.seconds,
        requests=len(shot),
        achieved_rps=float(shot.good.sum() / shot.seconds),
        errors=int(np.count_nonzero(shot.status != STATUS_OK)),
        wrong=int(np.count_nonzero(shot.wrong)),
        misses=int(np.count_nonzero(shot.missed(slo.limit_ms))),
        latency_ms=_quantiles(shot.latency_ms),
        service_ms=_quantiles(shot.service_ms),
        lag_p99_ms=quantile_of(np.sort(lag), 0.99) * 1e3 if len(lag) else 0.0,
        verdict=verdict,
        why=why,
        seen=shot.seen,
        settings=settings or {},
    )


def _verdict(shot: Shot, slo: Slo) -> tuple[str, str]:
    n, most = len(shot), allowed_misses(slo, len(shot))
    misses = int(np.count_nonzero(shot.missed(slo.limit_ms)))
    if shot.invalid:
        return "invalid", "; ".join(shot.invalid)
    if n == 0:
        return "invalid", "no request was due"
    told = f"{misses} of {n} requests missed {slo.limit_ms:g} ms, {most} may"
    if shot.first_error:
        told += f"; the first error: {shot.first_error}"
    if misses > most:
        return _failed(shot, slo, told, most)
    if shot.cut:
        return "invalid", f"it was cut short: {shot.first_error or 'before its time was over'}"
    return "pass", told


def _failed(shot: Shot, slo: Slo, told: str, most: int) -> tuple[str, str]:
    """Return ``fail``, unless the generator or the machine may have made the run fail.

    A request that was sent late waits for itself and for those that were held back with it, which
    the server then gets at once: twice the longest lateness is the most that this explains.
    """
    lag = np.nan_to_num(shot.lag) * 1e3
    if np.count_nonzero(~(shot.latency_ms - lag <= slo.limit_ms)) <= most:
        return "invalid", f"{told}, but only because the generator sent them late"
    worst = 2.0 * float(lag.max(initial=0.0))
    if shot.slowed and np.count_nonzero(~(shot.latency_ms - worst <= slo.limit_ms)) <= most:
        return "invalid", f"{told}; {'; '.join(shot.slowed)}"
    return "fail", told


def _quantiles(latency: Floats) -> tuple[tuple[float, float], ...]:
    ordered = np.sort(latency)
    pairs = ((q, quantile_of(ordered, q)) for q in QUANTILES if len(ordered))
    return tuple((q, value) for q, value in pairs if math.isfinite(value))


def windows(shot: Shot) -> tuple[LoadWindow, ...]:
    """Return the run in stretches of a second, or longer ones so that there are at most 600.

    A request counts where it was due. A percentile is None where it is infinite (too many of the
    window failed) or nothing was due.
    """
    width = max(WINDOW_S, shot.seconds / MOST_WINDOWS)
    edges = np.arange(0.0, shot.seconds - 1e-9, width)
    cuts = [*np.searchsorted(shot.due, edges).tolist(), len(shot)]
    latency, good = shot.latency_ms, shot.good
    found = []
    for start, first, last in zip(edges.tolist(), cuts, cuts[1:], strict=False):
        seconds = min(width, shot.seconds - start)
        here = slice(first, last)
        ordered = np.sort(latency[here])
        p50, p95, p99 = (_finite(ordered, q) for q in (0.5, 0.95, 0.99))
        found.append(
            LoadWindow(
                start_s=start,
                seconds=seconds,
                due_rps=(last - first) / seconds,
                good_rps=float(good[here].sum() / seconds),
                errors=int(np.count_nonzero(shot.status[here] != STATUS_OK)),
                p50_ms=p50,
                p95_ms=p95,
                p99_ms=p99,
            )
        )
    return tuple(found)


def _finite(ordered: Floats, quantile: float) -> float | None:
    value = quantile_of(ordered, quantile) if len(ordered) else math.inf
    return value if math.isfinite(value) else None
