"""What a running server tells of its traffic, as numbers with intervals.

Rows of one request, and requests of one client, hang together; the intervals take them for
independent, so they are too narrow where few clients send many rows.
"""

from __future__ import annotations

import math

import msgspec

from afterfit.core.metric import Metric
from afterfit.runtime.endpoint import MILLION
from afterfit.runtime.ledger import ModelStatus, PairStatus, RoleStatus, Status, WorkerStatus
from afterfit.runtime.tally import BOUNDS, CLASSES, ModelTotals
from afterfit.stats.interval import Interval, wilson
from afterfit.stats.rates import (
    histogram_quantile,
    mean_difference_of_sums,
    mean_of_sums,
    newcombe_difference,
)

__all__ = ["Answers", "EndpointReport", "ModelReport", "RoleReport", "ShadowReport", "observe"]

MS = 1000.0


class RoleReport(msgspec.Struct, frozen=True, kw_only=True):
    """One version in one role: its share of the requests, its latency, and who stood in for it."""

    role: str
    version: int
    digest: str
    requests: int
    rows: int
    failed: int
    asked: float | None = None
    observed: Metric | None = None
    latency: tuple[Metric, ...] = ()
    stood_in: dict[str, int] = {}


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """How often primary and canary answer with a class, or the mean of their values."""

    of: str
    primary: Metric
    canary: Metric
    difference: Metric


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a shadow differs from the primary on the same rows."""

    version: int
    digest: str
    against: int
    rows: int
    dropped: int
    failed: int
    flips: Metric | None
    difference: Metric
    absolute: Metric
    largest: float


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the server; ``key`` is what a sticky canary goes by."""

    name: str
    loaded: bool
    roles: tuple[RoleReport, ...] = ()
    answers: tuple[Answers, ...] = ()
    shadows: tuple[ShadowReport, ...] = ()
    key: str = ""


class EndpointReport(msgspec.Struct, frozen=True, kw_only=True):
    """A server: counts of roles and answers are since ``changed`` (s since 1970)."""

    name: str
    url: str
    generation: int
    changed: float
    models: tuple[ModelReport, ...]
    workers: tuple[WorkerStatus, ...]
    restarts: int
    hangs: int


def observe(status: Status, level: float = 0.95) -> EndpointReport:
    """Return the report of a server's status."""
    return EndpointReport(
        name=status.name,
        url=status.url,
        generation=status.generation,
        changed=status.changed,
        models=tuple(_model(name, model, level) for name, model in status.models.items()),
        workers=tuple(status.workers),
        restarts=status.restarts,
        hangs=status.hangs,
    )


def _model(name: str, model: ModelStatus, level: float) -> ModelReport:
    canary = model.route.canary
    roles = {role.role: role for role in model.roles}
    return ModelReport(
        name=name,
        loaded=model.route.loaded,
        roles=tuple(_role(role, model, level) for role in model.roles),
        answers=_answers(model, roles["primary"].since, roles["canary"].since, level)
        if canary
        else (),
        shadows=tuple(_shadow(pair, bool(model.classes), level) for pair in model.pairs),
        key=canary.key if canary else "",
    )


def _role(role: RoleStatus, model: ModelStatus, level: float) -> RoleReport:
    since = role.since
    canary = model.route.canary
    asked = observed = None
    if canary is not None and role.role in {"primary", "canary"}:
        share = canary.share_ppm / MILLION
        asked = share if role.role == "canary" else 1 - share
        routed = sum(r.since.routed for r in model.roles)
        observed = _rate("share", since.routed, routed, level, "requests")
    reasons = {name: round(getattr(since, name)) for name in ("busy", "late", "defect")}
    return RoleReport(
        role=role.role,
        version=role.number,
        digest=role.digest,
        requests=round(since.requests),
        rows=round(since.rows),
        failed=round(since.failed),
        asked=asked,
        observed=observed,
        latency=_latency(since, level),
        stood_in={name: count for name, count in reasons.items() if count},
    )


def _latency(total: ModelTotals, level: float) -> tuple[Metric, ...]:
    """Return mean, median and 99th percentile in ms; none where nothing was asked."""
    n = round(total.requests)
    if not n:
        return ()
    mean = mean_of_sums(total.requests, total.seconds, total.seconds_sq, level)
    mean = mean._replace(low=max(0.0, mean.low))  # no time is negative
    found = [_metric("mean", total.seconds / n, mean, n, level, "ms", MS)]
    for name, quantile in (("p50", 0.5), ("p99", 0.99)):
        value, interval = histogram_quantile(BOUNDS, total.buckets, quantile, level)
        found.append(_metric(name, value, interval, n, level, "ms", MS))
    return tuple(found)


def _answers(
    model: ModelStatus, primary: ModelTotals, canary: ModelTotals, level: float
) -> tuple[Answers, ...]:
    """Return one item a class, the second alone of two; the mean of values for a regression."""
    if not model.classes:
        return (_means(primary, canary, level),)
    classes = [str(label) for label in model.classes[: CLASSES - 1]]
    if len(model.classes) >= CLASSES:
        classes.append("any other")
    places = range(1, 2) if len(classes) == 2 else range(len(classes))
    return tuple(_label_rate(classes[place], place, primary, canary, level) for place in places)


def _label_rate(
    of: str, place: int, primary: ModelTotals, canary: ModelTotals, level: float
) -> Answers:
    counts = [(t.labels[place] if t.labels else 0.0, t.rows) for t in (primary, canary)]
    (own, rows), (other, other_rows) = ((round(hit), round(n)) for hit, n in counts)
    gap = newcombe_difference(other, other_rows, own, rows, level)
    value = other / other_rows - own / rows if rows and other_rows else math.nan
    return Answers(
        of=of,
        primary=_rate("rate", own, rows, level, "rows"),
        canary=_rate("rate", other, other_rows, level, "rows"),
        difference=_metric("difference", value, gap, rows + other_rows, level),
    )


def _means(primary: ModelTotals, canary: ModelTotals, level: float) -> Answers:
    sums = [(t.values, t.value_sum, t.value_sq) for t in (primary, canary)]
    own, other = (_mean("mean", *each, level) for each in sums)
    gap = mean_difference_of_sums(sums[1], sums[0], level)
    value = math.nan if own.value is None or other.value is None else other.value - own.value
    n = own.n + other.n
    return Answers(
        of="value",
        primary=own,
        canary=other,
        difference=_metric("difference", value, gap, n, level),
    )


def _shadow(pair: PairStatus, classes: bool, level: float) -> ShadowReport:  # noqa: FBT001 - private
    total = pair.total
    return ShadowReport(
        version=pair.number,
        digest=pair.digest,
        against=pair.against_number,
        rows=round(total.rows),
        dropped=round(total.dropped),
        failed=round(total.failed),
        flips=_rate("flips", total.flips, total.rows, level, "rows") if classes else None,
        difference=_mean("difference", total.scores, total.difference, total.square, level),
        absolute=_mean("absolute", total.scores, total.absolute, total.square, level),
        largest=total.largest,
    )


def _rate(name: str, hits: float, n: float, level: float, scope: str) -> Metric:
    interval = wilson(round(hits), round(n), level)
    value = hits / n if n else math.nan
    return _metric(name, value, interval, round(n), level, scope=scope)


def _mean(name: str, n: float, total: float, squares: float, level: float) -> Metric:
    value = total / n if n else math.nan
    return _metric(name, value, mean_of_sums(n, total, squares, level), round(n), level)


def _metric(
    name: str,
    value: float,
    interval: Interval,
    n: int,
    level: float,
    unit: str = "",
    factor: float = 1.0,
    *,
    scope: str = "",
) -> Metric:
    scaled = Interval(factor * interval.low, factor * interval.high, interval.method)
    return Metric.of(name, factor * value, scaled, n=n, level=level, unit=unit, scope=scope)
