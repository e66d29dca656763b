"""What a monitor is worth: shares detected, delays and false alarms, over replays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from afterfit.core.metric import Metric, known
from afterfit.monitor.budget import MONTH_US
from afterfit.records.rehearsal import Dummy, Outcome, Trial
from afterfit.stats.interval import wilson
from afterfit.stats.quantile import quantile_interval, quantile_of

__all__ = ["delay_metric", "dummies", "false_alarms", "outcome_of", "periods", "share_metric"]


def share_metric(name: str, hits: int, n: int, level: float) -> Metric:
    """Return a share of n replays with its interval."""
    return Metric.of(name, hits / n, wilson(hits, n, level), n=n, level=level)


def delay_metric(name: str, delays: Sequence[int | None], level: float, unit: str) -> Metric:
    """Return the median delay; None counts as longer than any, and may be the median.

    A bound that is None is beyond what was replayed.
    """
    ordered = np.sort([np.inf if delay is None else float(delay) for delay in delays])
    bounds = quantile_interval(ordered, 0.5, level)
    return Metric(
        name=name,
        value=known(quantile_of(ordered, 0.5)),
        low=known(bounds.low),
        high=known(bounds.high),
        level=level,
        n=len(ordered),
        method=bounds.method,
        unit=unit,
    )


def false_alarms(alarms: int, windows: int, window_us: int, level: float) -> Metric:
    """Return the false alarms of a month, from windows without a fault of which some had new ones.

    Windows count as independent; those of one replay share rows, so the truth is less sure.
    """
    per_month = MONTH_US / window_us
    bounds = wilson(alarms, windows, level)
    return Metric(
        name="false_alarms_per_month",
        value=alarms / windows * per_month,
        low=bounds.low * per_month,
        high=bounds.high * per_month,
        level=level,
        n=windows,
        method="wilson, windows as independent",
        unit="alarms/month",
    )


def outcome_of(
    titles: tuple[str, str, str, str],
    trials: Sequence[Trial],
    scores: Sequence[float],
    onset: int,
    level: float,
) -> Outcome:
    """Return a fault's outcome: ``titles`` are its name, title, severity and size."""
    n = len(trials)
    detected = sum(trial.windows is not None for trial in trials)
    name, title, severity, size = titles
    return Outcome(
        fault=name,
        title=title,
        severity=severity,
        size=size,
        trials=tuple(trials),
        detected=share_metric("detected_share", detected, n, level),
        named=share_metric("named_share", sum(trial.among for trial in trials), n, level),
        delay=delay_metric("delay", [trial.windows for trial in trials], level, "windows"),
        scores=tuple(round(score, 4) for score in scores),
        onset=onset,
    )


def periods(alarms: int, windows: int, level: float) -> int:
    """Return in every how many windows a clock must ring to have as many false alarms.

    The upper bound of the rate counts, which is what the dummy is given for free.
    """
    rate = wilson(alarms, windows, level).high
    return max(1, round(1 / rate))


def dummies(
    rung: Mapping[str, Sequence[int | None]],
    alarms: Mapping[str, float],
    window_us: int,
    level: float,
) -> tuple[Dummy, ...]:
    """Return the dummies: delays in windows by name, and the share of windows with an alarm."""
    per_month = MONTH_US / window_us
    return tuple(
        Dummy(
            name=name,
            detected=share_metric(
                "detected_share", sum(d is not None for d in delays), len(delays), level
            ),
            delay=delay_metric("delay", delays, level, "windows"),
            false_alarms=Metric(
                name="false_alarms_per_month",
                value=alarms[name] * per_month,
                method="by its construction",
                unit="alarms/month",
            ),
        )
        for name, delays in rung.items()
    )
