"""What all signals of quality share: their settings, and when a metric is worse than usual."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

from afterfit.core.formulae import RATE, find_formula
from afterfit.core.metric import Metric
from afterfit.errors import ConfigError
from afterfit.records.signals import PointState, Scope, SignalPoint
from afterfit.stats.interval import normal_quantile

__all__ = ["QualityConfig", "Window", "error_of", "judged", "least_effect", "unjudged"]


class QualityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of performance, estimates, concept drift and fairness.

    ``chance`` is that of a false alarm which the budget leaves one point. ``least`` is the smallest
    change worth knowing of a metric between 0 and 1, ``least_share`` that of any other, as a share
    of what is usual. Below ``min_labels`` labelled rows, or ``min_rows`` rows where there are no
    labels, there is no answer; nor where less than ``least_maturity`` of a window's labels can have
    come. An estimate is not made where more than ``most_beyond`` of the rows are of a kind
    that the reference hardly has, or the reference rows that are like the window count for less
    than ``least_effective`` of them.
    """

    metrics: tuple[str, ...] = ()
    level: float = 0.95
    chance: float = 0.01
    least: float = 0.02
    least_share: float = 0.1
    min_labels: int = 100
    min_rows: int = 200
    least_maturity: float = 0.5
    most_beyond: float = 0.1
    least_effective: float = 0.05
    draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ConfigError for settings that mean nothing."""
        for name in ("level", "chance"):
            if not 0 < getattr(self, name) < 1:
                raise _wrong(name, "it is a chance", "a number between 0 and 1")
        for name in ("least", "least_share", "least_maturity", "most_beyond", "least_effective"):
            if not 0 <= getattr(self, name) <= 1:
                raise _wrong(name, "it is a share", "a number from 0 to 1")
        for name, few in (("min_labels", 2), ("min_rows", 2), ("draws", 20)):
            if getattr(self, name) < few:
                raise _wrong(name, "fewer have no interval", f"{few} or more")


@dataclass(frozen=True)
class Window:
    """Of what and when a point is: a scope, and µs since 1970 with the end excluded."""

    scope: Scope
    start: int
    end: int


def least_effect(name: str, usual: float, config: QualityConfig) -> float:
    """Return the smallest change of a metric that is worth knowing, in the metric's unit."""
    if find_formula(name).bounds == RATE or name in ("brier", "mcc"):
        return config.least
    return config.least_share * abs(usual)


def error_of(metric: Metric) -> float:
    """Return the standard error that an interval stands for; NaN where there is none."""
    if metric.low is None or metric.high is None:
        return math.nan
    return (metric.high - metric.low) / (2 * normal_quantile(metric.level))


def judged(
    signal: str,
    metric: Metric,
    usual: Metric,
    error: float,
    window: Window,
    config: QualityConfig,
    **more: Any,
) -> SignalPoint:
    """Return a metric of a window beside the reference's: an alarm where it is surely worse.

    ``error`` is the standard error of their difference. It is worse beyond
    ``usual`` by as much as chance explains with ``config.chance``, and by the least effect.
    """
    better = 1 if find_formula(metric.name).bigger_is_better else -1
    value, expected = metric.value, usual.value
    if value is None or expected is None or not math.isfinite(error):
        return unjudged(signal, metric, "cannot_tell", window, message="it has no interval", **more)
    least = least_effect(metric.name, expected, config)
    threshold = expected - better * normal_quantile(1 - 2 * config.chance) * error
    worse = better * (expected - value)
    alarm = worse >= least and better * (threshold - value) > 0
    half = normal_quantile(config.level) * error
    loss = Metric(
        name=metric.name,
        value=worse,
        low=worse - half,
        high=worse + half,
        level=config.level,
        n=metric.n,
        method="less than the reference",
        unit=metric.unit,
        scope=signal,
    )
    return msgspec.structs.replace(
        unjudged(signal, metric, "alarm" if alarm else "ok", window, **more),
        usual=expected,
        threshold=threshold,
        least=least,
        loss=loss,
    )


def unjudged(
    signal: str, metric: Metric, state: PointState, window: Window, **more: Any
) -> SignalPoint:
    """Return the point of a metric that is compared with nothing."""
    return SignalPoint(
        signal=signal,
        subject=metric.name,
        scope=window.scope,
        start=window.start,
        end=window.end,
        n=metric.n,
        state=state,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        level=metric.level,
        unit=metric.unit,
        **more,
    )


def _wrong(name: str, why: str, fix: str) -> ConfigError:
    return ConfigError(f"{name} is out of range", where=f"monitor.{name}", why=why, fix=fix)
