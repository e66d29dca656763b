"""The text of ``afterfit endpoint status``."""

from __future__ import annotations

from collections.abc import Callable

from afterfit.cli.output import table
from afterfit.core.metric import Metric, in_digits
from afterfit.report import number
from afterfit.runtime.ledger import WorkerStatus
from afterfit.serve.observe import Answers, EndpointReport, ModelReport, RoleReport, ShadowReport

__all__ = ["told"]

NOTHING = "-"
SHOWN_SECONDS = 0.1
ROLES = ("role", "version", "asked", "observed (95 %)", "requests", "failed")
ANSWERS = ("answers", "primary (95 %)", "canary (95 %)", "canary less primary (95 %)", "n")
SHADOWS = (
    *("shadow", "beside", "other class (95 %)", "mean difference (95 %)"),
    *("mean absolute (95 %)", "largest", "rows", "dropped", "failed"),
)


def told(report: EndpointReport, now: float) -> str:
    """Return the report as text; ``now`` is seconds since 1970."""
    since = number.age(now - report.changed)
    lines = [f"{report.name} at {report.url}, generation {report.generation}, since {since}"]
    for model in report.models:
        lines += ["", *_model(model)]
    workers = [
        (worker.kind, worker.pid, "ready" if worker.ready else "not ready", _busy(worker))
        for worker in report.workers
    ]
    lines += ["", table(workers, ("process", "pid", "state", "in a call for"))]
    lines.append(f"restarts {report.restarts}, of them for a hung model {report.hangs}")
    return "\n".join(lines)


def _model(model: ModelReport) -> list[str]:
    if not model.loaded:
        return [f"{model.name}: unloaded"]
    lines = [model.name, table([_role(role) for role in model.roles], ROLES)]
    latency = [_latency(role) for role in model.roles if role.latency]
    if latency:
        lines += ["", table(latency, ("latency of", "mean (95 %)", "median", "p99", "n"))]
    if model.answers:
        lines += ["", table([_answer(each) for each in model.answers], ANSWERS)]
    if model.shadows:
        lines += ["", table([_shadow(each) for each in model.shadows], SHADOWS)]
    if model.key:
        lines += ["", f"the canary is sticky by {model.key}"]
    for role in model.roles:
        if role.stood_in:
            reasons = ", ".join(f"{count} {name}" for name, count in role.stood_in.items())
            lines += ["", f"the stand-in answered for the {role.role}: {reasons} (requests)"]
    return lines


def _role(role: RoleReport) -> tuple[object, ...]:
    asked = NOTHING if role.asked is None else in_digits(role.asked)
    observed = NOTHING if role.observed is None else _share(role.observed)
    version = role.version or role.digest[:12]
    return role.role, version, asked, observed, role.requests, role.failed


def _latency(role: RoleReport) -> tuple[object, ...]:
    return (role.role, *(_ms(metric) for metric in role.latency), role.latency[0].n)


def _answer(answers: Answers) -> tuple[object, ...]:
    show = _number if answers.of == "value" else _share
    return (
        answers.of,
        show(answers.primary),
        show(answers.canary),
        show(answers.difference),
        answers.difference.n,
    )


def _shadow(shadow: ShadowReport) -> tuple[object, ...]:
    flips = NOTHING if shadow.flips is None else _share(shadow.flips)
    largest = f"{shadow.largest:.3g}"
    parts = (flips, _number(shadow.difference), _number(shadow.absolute), largest)
    counts = (shadow.rows, shadow.dropped, shadow.failed)
    return (shadow.version or shadow.digest[:12], shadow.against, *parts, *counts)


def _share(metric: Metric) -> str:
    return _with_bounds(metric, in_digits)


def _number(metric: Metric) -> str:
    return _with_bounds(metric, lambda value: f"{value:.3g}")


def _ms(metric: Metric) -> str:
    return _with_bounds(metric, lambda value: f"{value:.3g}") + " ms"


def _with_bounds(metric: Metric, show: Callable[[float], str]) -> str:
    if metric.value is None:
        return NOTHING
    low = "?" if metric.low is None else show(metric.low)
    high = "?" if metric.high is None else show(metric.high)
    return f"{show(metric.value)} ({low} to {high})"


def _busy(worker: WorkerStatus) -> str:
    return f"{worker.busy_seconds:.1f} s" if worker.busy_seconds >= SHOWN_SECONDS else NOTHING
