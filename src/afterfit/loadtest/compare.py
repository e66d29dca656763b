"""Two load tests side by side: faster, slower, or not to be told from what was measured.

A latency is compared by its percentile in each second: the ratio of their geometric means, with an
error that knows that neighbouring seconds are alike. Each interval has a level of 99 %, so that all
five comparisons together are wrong in at most 5 % of cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.core.wire.model import LOOPBACK
from afterfit.loadtest import findings
from afterfit.loadtest.holds import changes
from afterfit.loadtest.shot import Floats
from afterfit.records.loadtest import LoadtestRecord, LoadWindow
from afterfit.stats.interval import student_quantile
from afterfit.stats.rates import newcombe_difference
from afterfit.stats.units import Spread, Units

__all__ = ["Comparison", "compare"]

LEVEL = 0.99
LEAST_WINDOWS = 5
SCOPE = "now / baseline"
PERCENTILES: dict[str, Callable[[LoadWindow], float | None]] = {
    "p50": lambda window: window.p50_ms,
    "p95": lambda window: window.p95_ms,
    "p99": lambda window: window.p99_ms,
}


SEARCH = "search"
"""The schedule of a record whose rates were searched."""


@dataclass(frozen=True)
class Comparison:
    """``verdicts`` by name of the metric: ``better``, ``worse`` or ``cannot tell``.

    All are empty where the two were not measured ``alike``; ``findings`` then say in what they
    differ.
    """

    verdicts: dict[str, str]
    metrics: tuple[Metric, ...]
    findings: tuple[Finding, ...]
    alike: bool = True


def compare(baseline: LoadtestRecord, now: LoadtestRecord, *, anyway: bool = False) -> Comparison:
    """Return how a load test differs from an earlier one, or why they cannot be compared.

    Other versions, settings and packages are what one compares; another target, objective,
    schedule or machine makes other numbers, which are compared with ``anyway`` only.
    """
    unlike = _unlike(baseline, now)
    told = _told_apart(unlike, anyway=anyway)
    if unlike and not anyway:
        return Comparison({}, (), (told,), alike=False)
    # Of searches the rates differ, and with them latencies say nothing beside each other.
    searched = now.schedule == SEARCH
    ratios = [] if searched else [_latency(name, baseline, now) for name in PERCENTILES]
    rate, errors = _sustained(baseline, now), _errors(baseline, now)
    verdicts = {metric.name: _verdict(metric, 1.0) for metric in ratios}
    verdicts[rate.name] = _verdict(rate, 1.0, more_is_better=True)
    verdicts[errors.name] = _verdict(errors, 0.0)
    metrics = (*ratios, rate, errors)
    found = tuple(_finding(metric, verdicts[metric.name]) for metric in metrics)
    return Comparison(verdicts, metrics, (told, *found), alike=not unlike)


def _unlike(baseline: LoadtestRecord, now: LoadtestRecord) -> list[str]:
    """Return in what two load tests differ that makes their numbers different quantities."""
    first, second = (
        {
            "target": _place(record.target),
            "objective": record.slo or "none",
            "schedule": record.schedule,
            "rows in a request": record.resolved.get("rows", 1),
            "cpu": record.env.cpu,
            "cores": record.env.cores,
        }
        for record in (baseline, now)
    )
    return changes("", first, second)


def _place(target: str) -> str:
    """Return the target without a host of this machine, whose ports change.

    A version or a bundle is served here for the test: which one is what a comparison is about.
    """
    if "://" not in target:
        return "served here"
    parts = urlsplit(target)
    return parts.path if parts.hostname in LOOPBACK else target


def _told_apart(unlike: list[str], *, anyway: bool) -> Finding:
    if not unlike:
        return findings.NotComparable.passed("the baseline was measured alike")
    text = f"{'compared all the same' if anyway else 'not compared'}: {'; '.join(unlike)}"
    return findings.NotComparable.issue(text, fix="repeat the baseline in the same way")


def _latency(name: str, baseline: LoadtestRecord, now: LoadtestRecord) -> Metric:
    """Return the ratio of a percentile of latency, from windows of both runs."""
    metric = f"latency_{name}_ratio"
    logs = [_logs(PERCENTILES[name], record.windows) for record in (baseline, now)]
    if any(values is None for values in logs):
        return _undefined(metric, "too few seconds in which the percentile is known")
    before, after = (values for values in logs if values is not None)
    spreads = [_spread(values - values.mean(), np.ones(len(values))) for values in (before, after)]
    gap, half = float(after.mean() - before.mean()), _half(spreads)
    return _metric(metric, gap, half, len(before) + len(after), "windows, moving blocks")


def _logs(
    value_of: Callable[[LoadWindow], float | None], windows: tuple[LoadWindow, ...]
) -> Floats | None:
    """Return the logarithm in each window; None where too few have one, or failures hide it."""
    used = [window for window in windows if window.due_rps > 0]
    values = [value for window in used if (value := value_of(window)) is not None and value > 0]
    return np.log(values) if len(values) == len(used) >= LEAST_WINDOWS else None


def _spread(gaps: Floats, weights: Floats) -> Spread:
    """Return the error of a mean (shape [n]) over neighbours that are alike."""
    return Units("blocks", np.arange(len(gaps)), len(gaps)).spread(gaps / weights.sum())


def _half(spreads: list[Spread]) -> float:
    """Return half the width of the interval of a difference, with Welch's degrees of freedom."""
    squares = [spread.error**2 for spread in spreads]
    total = sum(squares)
    if not total > 0:
        return total
    parts = sum(s * s / spread.degrees for s, spread in zip(squares, spreads, strict=True))
    return student_quantile(total * total / parts, LEVEL) * math.sqrt(total)


def _sustained(baseline: LoadtestRecord, now: LoadtestRecord) -> Metric:
    """Return the ratio of the sustained rates, from the interval of each.

    Source: on logarithms, Donner and Zou (2012), Stat. Methods Med. Res. 21:347. The intervals have
    95 %, so what they are combined to is widened to the level of the others as a normal one.
    """
    name = "sustained_rps_ratio"
    pair = [record.sustained_rps for record in (baseline, now)]
    if any(m is None or not m.value or not m.low for m in pair):
        return _undefined(name, "no sustained rate with an interval in both")
    before, after = (m for m in pair if m is not None)
    wider = student_quantile(math.inf, LEVEL) / student_quantile(math.inf, before.level)
    low = wider * math.hypot(_log(after.value, after.low), _log(before.high, before.value))
    high = wider * math.hypot(_log(after.high, after.value), _log(before.value, before.low))
    value = math.exp(_log(after.value, before.value))
    return Metric(
        name=name,
        value=value,
        low=value * math.exp(-low) if math.isfinite(low) else None,
        high=value * math.exp(high) if math.isfinite(high) else None,
        level=LEVEL,
        n=before.n + after.n,
        method="MOVER on logarithms",
        scope=SCOPE,
    )


def _log(above: float | None, below: float | None) -> float:
    """Return the logarithm of a ratio, infinite where one of both is not known."""
    return math.log(above / below) if above and below else math.inf


def _errors(baseline: LoadtestRecord, now: LoadtestRecord) -> Metric:
    """Return the share of requests that failed, less that of the baseline."""
    rates = [record.errors / record.requests for record in (baseline, now)]
    bounds = newcombe_difference(
        now.errors, now.requests, baseline.errors, baseline.requests, LEVEL
    )
    half = _half([_error_spread(record) for record in (baseline, now)])
    gap = rates[1] - rates[0]
    # Failures come in clumps, which single requests do not know of.
    half = 0.0 if math.isnan(half) else half
    return Metric(
        name="error_rate_difference",
        value=gap,
        low=min(bounds.low, gap - half),
        high=max(bounds.high, gap + half),
        level=LEVEL,
        n=baseline.requests + now.requests,
        method="the wider of Newcombe's and moving blocks of windows",
        scope="now - baseline",
    )


def _error_spread(record: LoadtestRecord) -> Spread:
    due = np.array([window.due_rps * window.seconds for window in record.windows])
    errors = np.array([window.errors for window in record.windows], float)
    if len(due) < LEAST_WINDOWS or not due.sum() > 0:
        return Spread(0.0, 1.0, "")
    return _spread(errors - due * errors.sum() / due.sum(), due)


def _metric(name: str, gap: float, half: float, n: int, method: str) -> Metric:
    return Metric(
        name=name,
        value=math.exp(gap),
        low=None if math.isnan(half) else math.exp(gap - half),
        high=None if math.isnan(half) else math.exp(gap + half),
        level=LEVEL,
        n=n,
        method=method,
        scope=SCOPE,
    )


def _undefined(name: str, why: str) -> Metric:
    return Metric(name=name, value=None, level=LEVEL, method=f"undefined: {why}", scope=SCOPE)


def _verdict(metric: Metric, even: float, *, more_is_better: bool = False) -> str:
    above = metric.low is not None and metric.low > even
    below = metric.high is not None and metric.high < even
    if not above and not below:
        return "cannot tell"
    return "better" if above == more_is_better else "worse"


def _finding(metric: Metric, verdict: str) -> Finding:
    check, where = findings.LoadChanged, metric.name
    if metric.value is None:
        text = f"{where}: not computed, {metric.method}"
        return check.skipped(text, where=where, fix="measure both again, for half a minute or more")
    text = f"{where}: {metric.text()}, {verdict}"
    if verdict == "worse":
        fix = "look at what changed between both; where the machine is shared, run both again"
        return check.issue(text, where=where, fix=fix, value=metric.value)
    return check.passed(text, where=where, value=metric.value, verdict=verdict)
