"""From what a load test found to what its record tells: metrics, findings, settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.finding import Finding
from afterfit.core.metric import Metric, in_figures
from afterfit.core.serving_settings import ServingSettings
from afterfit.loadtest import findings
from afterfit.loadtest.config import LoadConfig
from afterfit.loadtest.found import Found
from afterfit.loadtest.grid import Grid, best
from afterfit.loadtest.scaling import (
    by_workers,
    capacity_metrics,
    fit_scaling,
    law_is_possible,
    replica_metrics,
)
from afterfit.loadtest.soak import memory_slope, soak_findings
from afterfit.loadtest.verdicts import certificate_findings, search_findings
from afterfit.records.loadtest import Certificate, GridPoint, Scaling
from afterfit.stats.interval import wilson
from afterfit.stats.quantile import quantile_metric, quantile_of

__all__ = [
    "QUANTILES",
    "chosen",
    "enough",
    "failures",
    "findings_of",
    "law",
    "metrics_of",
    "quantiles",
    "rates",
]

QUANTILES = (0.5, 0.9, 0.95, 0.99)
PLOTTED = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0)
ENOUGH = 368
"""Fewer values have no upper bound of their 99th percentile: 0.99 ** 368 is just below 0.025."""
MUCH_LESS = 0.7
"""Below this share of what the queue of theory carries something is in the workers' way."""

Latencies = npt.NDArray[np.float64]


def quantiles(latency: Latencies) -> tuple[tuple[float, float], ...]:
    """Return (quantile, ms) of sorted latencies; those are left out at which nothing was good."""
    pairs = ((q, quantile_of(latency, q)) for q in PLOTTED if len(latency))
    return tuple((q, ms) for q, ms in pairs if math.isfinite(ms))


def law(grid: Grid | None, seed: int) -> Scaling | None:
    """Return the law of scaling through a grid; None where too few workers were measured."""
    points = grid.points if grid is not None else ()
    return fit_scaling(points, seed) if law_is_possible(points) else None


def chosen(found: Found) -> ServingSettings | None:
    """Return the settings for `serve`: those that were best, admitting what was shown to hold.

    None where no settings were tried.
    """
    if found.grid is None or best(found.grid.points, "throughput") is None:
        return None
    certificate = found.certified.certificate if found.certified else None
    rate = certificate.rate if certificate else found.search.rate if found.search else None
    return msgspec.structs.replace(found.settings, admission_rps=math.floor(rate or 0.0))


def metrics_of(config: LoadConfig, found: Found, latency: Latencies) -> tuple[Metric, ...]:
    """Return latencies and rates of the runs that the record tells of, and the capacity.

    ``latency`` is sorted, in ms, infinite for requests without a good answer.
    """
    scope = found.shots[-1].schedule if found.shots else ""
    metrics = [_percentile(latency, quantile, scope) for quantile in QUANTILES]
    metrics += _rates(found, scope)
    rate = found.search.metric if found.search is not None else None
    certificate = found.certified.certificate if found.certified else None
    if rate is not None:
        metrics.append(rate)
    if certificate is not None:
        metrics.append(_certified(certificate))
    held = rate or (_certified(certificate) if certificate else None)
    if held is not None and held.value and config.slo is not None and found.workers:
        steps = [step for step in found.steps if step.kind != "grid"]
        metrics += capacity_metrics(held.value, found.workers, steps, config.slo, held.n)
    if held is not None and config.expected_rps:
        metrics += replica_metrics(config.expected_rps, held)
    if found.soaked is not None and (slope := memory_slope(found.soaked.lives)) is not None:
        metrics.append(slope)
    return tuple(metrics)


def _percentile(latency: Latencies, quantile: float, scope: str) -> Metric:
    name = f"latency_p{quantile * 100:g}_ms"
    metric = quantile_metric(name, latency, quantile, unit="ms", scope=scope)

    def known(value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else value

    method = metric.method if known(metric.value) is not None else "too many requests failed"
    return msgspec.structs.replace(
        metric,
        value=known(metric.value),
        low=known(metric.low),
        high=known(metric.high),
        method=method,
    )


def _rates(found: Found, scope: str) -> tuple[Metric, ...]:
    sent = sum(map(len, found.shots))
    seconds = sum(shot.seconds for shot in found.shots)
    good = sum(int(np.count_nonzero(shot.good)) for shot in found.shots)
    return rates(sent, good, seconds, scope) if sent and seconds else ()


def rates(sent: int, good: int, seconds: float, scope: str) -> tuple[Metric, ...]:
    """Return the good answers a second, and the share of requests without one."""
    failed = wilson(sent - good, sent)
    return (
        Metric(
            name="throughput_rps",
            value=good / seconds,
            n=good,
            unit="requests/s",
            method="count over time",
            scope=scope,
        ),
        Metric(
            name="error_rate",
            value=(sent - good) / sent,
            low=failed.low,
            high=failed.high,
            n=sent,
            method=failed.method,
            scope=scope,
        ),
    )


def _certified(certificate: Certificate) -> Metric:
    return Metric(
        name="certified_rps",
        value=certificate.rate,
        level=certificate.confidence,
        n=certificate.n,
        unit="requests/s",
        method=certificate.method,
    )


def findings_of(
    config: LoadConfig, found: Found, metrics: Sequence[Metric], latency: Latencies
) -> tuple[Finding, ...]:
    """Return what the runs say, in the order in which a person reads it."""
    told = [_errors(found), enough(len(latency))]
    if found.shots and found.shots[-1].schedule.startswith("closed"):
        text = "closed loop: users wait for their answers, so these are those of a quiet service"
        told.append(findings.ClosedLoopOnly.tip(text))
    told += [findings.TraceLooksOdd.tip(note) for note in found.notes]
    by_name = {metric.name: metric for metric in metrics}
    if found.search is not None:
        told += search_findings(found.search)
    if found.certified is not None and config.slo is not None:
        told += certificate_findings(found.certified, config.slo)
    if config.slo is not None and not config.schedule:
        told.append(_queue(by_name))
    if found.grid is not None:
        told += [_settings(config, found), _growing(found.grid.points)]
    if found.soaked is not None:
        told += soak_findings(found.soaked, by_name.get("memory_slope_mb_min"))
    return tuple(told)


def _errors(found: Found) -> Finding:
    check = findings.ErrorsUnderLoad
    sent = sum(map(len, found.shots))
    wrong = sum(int(np.count_nonzero(shot.wrong)) for shot in found.shots)
    failed = sum(int(np.count_nonzero(shot.status != 200)) for shot in found.shots)
    if not sent:
        return check.skipped("no run was finished")
    if wrong:
        text = f"{wrong} of {sent} answers were of another request or changed under load"
        fix = "send these rows one by one and together: afterfit robustness URL --only rows"
        return check.issue(text, fix=fix, wrong=wrong, n=sent)
    first = next((shot.first_error for shot in found.shots if shot.first_error), "")
    return failures(sent, failed, first)


def enough(n: int) -> Finding:
    """Return whether so many answers tell how sure their 99th percentile is."""
    if n < ENOUGH:
        text = f"{n} answers, {ENOUGH} are needed for an interval of the 99th percentile"
        return findings.TooFewRequests.skipped(text, needed_n=ENOUGH)
    return findings.TooFewRequests.passed(f"{n} answers")


def failures(sent: int, failed: int, first: str) -> Finding:
    """Return whether every request was answered with 200; ``first`` is the first error."""
    check = findings.ErrorsUnderLoad
    if not failed:
        return check.passed(f"{sent} requests, each answered with 200")
    text = f"{failed} of {sent} requests failed" + (f"; the first: {first}" if first else "")
    fix = "look at the server's log; send rows by hand with curl"
    return check.issue(text, fix=fix, errors=failed, n=sent)


def _queue(metrics: dict[str, Metric]) -> Finding:
    check = findings.PlainQueue
    model, held = metrics.get("queue_model_rps"), metrics.get("sustained_rps")
    if held is None or not held.value:
        return check.skipped("no rate was verified")
    if model is None or not model.value:
        return check.skipped("the workers or the service times are not known")
    share = held.value / model.value
    text = (
        f"{in_figures(held.value)} requests/s are held, {share * 100:.0f} % of the "
        f"{in_figures(model.value)} that a plain queue would carry ({model.method})"
    )
    if share < MUCH_LESS:
        return check.tip(text, fix="look at server_cpu of the runs: are all cores busy?")
    return check.passed(text)


def _settings(config: LoadConfig, found: Found) -> Finding:
    check = findings.SettingsTried
    points = found.grid.points if found.grid else ()
    top, first = best(points, config.goal), points[0]
    if top is None:
        return check.skipped(f"nothing held the objective: {first.why}")
    text = f"{top.settings} is best for {config.goal}, of {len(points)} that were tried"
    if top.settings == first.settings:
        return check.passed(text)
    if first.sustained_rps and top.sustained_rps:
        most, usual = in_figures(top.sustained_rps), in_figures(first.sustained_rps)
        text += f": {most} requests/s beside {usual} by default"
    return check.tip(text, fix="nothing to do: afterfit serve takes them over on such hardware")


def _growing(points: Sequence[GridPoint]) -> Finding:
    """Say from which price on a larger machine is worth it, by what more workers added."""
    check = findings.WayToGrow
    carried = by_workers(points)
    if len(carried) < 2:
        return check.skipped("one number of workers was measured", needed_n=2)
    few, many = min(carried), max(carried)
    ratio = carried[many] / carried[few]
    share = ratio / (many / few)
    threads = [p.sustained_rps for p in points if p.settings.intra_op > 1 and p.sustained_rps]
    text = (
        f"{many} workers carry {ratio:.2f} times what {few} does, {share:.0%} of a full share: a "
        f"machine with {many // few} times the cores is worth up to {ratio:.2f} times the price, "
        "above that take more small ones"
    )
    if threads and max(threads) > carried[many]:
        text += "; threads inside of a call carry more than workers here"
    return check.passed(text, ratio=ratio)
