"""Signals of the service: latency, failures, cost, and how fast the error budget burns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from afterfit.monitor.cut import HOUR
from afterfit.monitor.settings import Objective, Watch
from afterfit.monitor.state import WindowState
from afterfit.monitor.tempo import TICK, Tempo
from afterfit.monitor.waits import Waits
from afterfit.records.signals import PointState, SignalPoint
from afterfit.stats.interval import wilson

__all__ = ["BURNS", "Burn", "burn_points", "service_points"]

QUANTILES = (0.5, 0.95, 0.99)
LEVEL = 0.95
LEAST_REFUSED = 3
"""One mistake of one sender in a quiet hour is nobody's alarm."""


class Burn(NamedTuple):
    """Two stretches (µs) of which both must burn ``rate`` times as fast as the budget lasts."""

    name: str
    long: int
    short: int
    rate: float


BURNS = (Burn("1h", HOUR, TICK, 14.4), Burn("6h", 6 * HOUR, HOUR // 2, 6.0))
"""2 % of the budget of 30 days in an hour, and 5 % in six.

Source: Beyer et al. (2018), The Site Reliability Workbook, chapter 5, table 5-8.
"""


def burn_points(
    tempo: Tempo, objectives: Sequence[Objective], now: int, *, level: float = LEVEL
) -> list[SignalPoint]:
    """Return how fast each objective's budget burns, at the last whole 5 minutes (µs).

    A rate of 1 uses the budget up just when it is made new. It is an alarm where the long and the
    short stretch both reach the rate of `BURNS`, so that it ends soon after the trouble does, and
    where the long one surely burns faster than 1. Where one bad prediction alone would reach the
    rate there are too few.
    """
    tick = now // TICK * TICK
    return [
        _burn(tempo, objective, burn, tick, level) for objective in objectives for burn in BURNS
    ]


def _burn(tempo: Tempo, objective: Objective, burn: Burn, tick: int, level: float) -> SignalPoint:
    n, bad = tempo.within(objective.name, tick - burn.long, tick)
    short_n, short_bad = tempo.within(objective.name, tick - burn.short, tick)
    needed = int(1 / (objective.allowed * burn.rate)) + 1
    bounds = wilson(bad, n, level) if n else None
    value = bad / n / objective.allowed if n else None
    short = short_bad / short_n / objective.allowed if short_n else 0.0
    low = None if bounds is None else bounds.low / objective.allowed
    state: PointState = "insufficient"
    if value is not None and low is not None and n >= needed:
        state = "alarm" if min(value, short) >= burn.rate and low > 1.0 else "ok"
    return SignalPoint(
        signal="burn",
        subject=f"{objective.name}, {burn.name}",
        scope=tempo.scope,
        start=tick - burn.long,
        end=tick,
        n=n,
        state=state,
        value=value,
        low=low,
        high=None if bounds is None else bounds.high / objective.allowed,
        level=level,
        unit="x budget",
        usual=1.0,
        threshold=burn.rate,
        needed=needed,
        message=f"{bad:,} of {n:,} predictions broke {objective.name} in {burn.name}"
        f" ({objective.allowed:.3g} of them may)",
        evidence={"bad": bad, "short_n": short_n, "short_bad": short_bad, "short_burn": short},
    )


def service_points(state: WindowState, watch: Watch, *, level: float = LEVEL) -> list[SignalPoint]:
    """Return latency, failed and refused shares, and cost of one window; slices have latency.

    Latency has no threshold of its own: `burn_points` judges it against the objectives. A share of
    failures is an alarm where it is surely above ``watch.failed_share``.
    """
    points = [*_latency(state, watch, level)]
    if not state.scope.slice:
        points += _shares(state, watch, level)
        points += _cost(state, watch)
    return points


def _latency(state: WindowState, watch: Watch, level: float) -> Iterator[SignalPoint]:
    for part, waits in (("queue", state.queue), ("infer", state.infer)):
        for q in QUANTILES:
            if waits.n:
                yield _quantile(state, watch, f"{part}_p{q * 100:g}", waits, q, level)


def _quantile(
    state: WindowState, watch: Watch, name: str, waits: Waits, q: float, level: float
) -> SignalPoint:
    value, low, high = waits.quantile(q, level)
    n = waits.n
    edges, counts = waits.halves() if q == QUANTILES[0] else ([], [])
    # Its interval has an upper bound only where some rows are expected above the quantile.
    needed = max(watch.min_rows, round(5 / (1 - q)))
    return SignalPoint(
        signal="latency",
        subject=name,
        scope=state.scope,
        start=state.start,
        end=state.end,
        n=n,
        state="ok" if n >= needed else "insufficient",
        value=value / 1000,
        low=low / 1000,
        high=high / 1000,
        level=level,
        unit="ms",
        needed=needed,
        evidence={"edges_ms": edges, "counts": counts} if edges else {},
    )


def _shares(state: WindowState, watch: Watch, level: float) -> Iterator[SignalPoint]:
    served, failed, refused = (state.kinds.get(k, 0) for k in ("served", "failed", "refused"))
    for name, count, n, most, few in (
        ("failed", failed, served + failed, watch.failed_share, 1),
        ("refused", refused, served + failed + refused, watch.refused_share, LEAST_REFUSED),
    ):
        if not n:
            continue
        bounds = wilson(count, n, level)
        # So few that none of them being bad would not show that the share is below its limit.
        needed = int(3 / most)
        surely = bounds.low > most and count >= few
        commonest = max(state.errors, key=lambda text: state.errors[text], default="")
        told: PointState = "alarm" if surely else "ok" if n >= needed else "insufficient"
        yield SignalPoint(
            signal=name,
            scope=state.scope,
            start=state.start,
            end=state.end,
            n=n,
            state=told,
            value=count / n,
            low=bounds.low,
            high=bounds.high,
            level=level,
            usual=0.0,
            threshold=most,
            needed=needed,
            message=f"{count:,} of {n:,} predictions {name}"
            + (f", the commonest: {commonest}" if commonest else ""),
            evidence={"errors": dict(state.errors)},
        )


def _cost(state: WindowState, watch: Watch) -> Iterator[SignalPoint]:
    if not watch.usd_per_hour or not watch.width_us or state.role != "primary":
        return
    usd = watch.usd_per_hour * (state.end - state.start) / HOUR
    yield SignalPoint(
        signal="cost",
        subject="usd_per_1000",
        scope=state.scope,
        start=state.start,
        end=state.end,
        n=state.n,
        state="ok" if state.n else "not_applicable",
        value=1000 * usd / state.n if state.n else None,
        unit="USD per 1,000 predictions",
        evidence={"usd": usd},
    )
