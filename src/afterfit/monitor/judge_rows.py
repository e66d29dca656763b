"""What a report says of whole rows: the schema, and all columns together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from afterfit.core.finding import Check, Finding
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.metric import Metric
from afterfit.monitor import findings as checks
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.log import Log
from afterfit.monitor.signals.multivariate import (
    Limits,
    Rows,
    domain_classifier,
    reconstruction,
    rows_of,
)
from afterfit.monitor.signals.schema import Change
from afterfit.records.signals import Scope, SignalPoint

__all__ = ["judge_rows", "of_rows", "row_metrics"]

SCOPE = "live"
_CHECKS: dict[str, type[Check]] = {
    "domain": checks.RowsToldApart,
    "structure": checks.StructureBroken,
}

_SAYS = {
    "domain": (
        "a classifier cannot tell live rows from the reference's",
        "a classifier tells live rows from the reference's",
    ),
    "structure": (
        "columns hang together as in the reference",
        "columns do not hang together as in the reference",
    ),
}


def of_rows(
    log: Log, reference: Rows | None, fingerprint: Fingerprint | None, config: MonitorConfig
) -> list[SignalPoint]:
    """Return both signals of all columns together; none where rows were not sampled."""
    if log.sample is None or fingerprint is None or reference is None:
        return []
    live = rows_of(log.sample, fingerprint)
    # A column that a log has not is missing in every row of the sample.
    seen = np.flatnonzero(~np.isnan(live.matrix).all(axis=0)).tolist()
    limits = Limits(chance=config.false_alarms, level=config.level, seed=config.seed)
    before, after = reference.columns(seen), live.columns(seen)
    signals = (domain_classifier, reconstruction)
    return [signal(before, after, Scope(), (0, 0), limits) for signal in signals]


def row_metrics(points: Sequence[SignalPoint]) -> list[Metric]:
    """Return the signals that have a value as metrics."""
    return [
        Metric(
            name=f"{point.signal}_auc",
            value=point.value,
            low=point.low,
            high=point.high,
            level=point.level,
            n=point.n,
            method="delong-logit, rows as independent",
            scope=SCOPE,
        )
        for point in points
        if point.value is not None
    ]


def judge_rows(
    points: Sequence[SignalPoint], changes: Sequence[Change] | None
) -> Iterator[Finding]:
    """Yield what the schema and the signals mean; None are changes of a log that has no schema."""
    if changes is not None:
        yield from _schema(changes)
    for point in points:
        yield from _signal(point)


def _schema(changes: Sequence[Change]) -> Iterator[Finding]:
    check = checks.SchemaChanged
    bad = [change for change in changes if change.what != "extra"]
    for change in bad:
        yield check.issue(
            change.message,
            where=change.column,
            fix="mend the export, or name the column in --map",
            what=change.what,
        )
    extra = [change.column for change in changes if change.what == "extra"]
    if not bad:
        shown = f"; not known to the reference: {', '.join(extra[:5])}" if extra else ""
        more = f" and {len(extra) - 5} more" if len(extra) > 5 else ""
        yield check.passed(f"{check.title}{shown}{more}")


def _signal(point: SignalPoint) -> Iterator[Finding]:
    check = _CHECKS[point.signal]
    if point.state == "insufficient":
        yield check.skipped(f"insufficient data: {point.message}", needed_n=point.needed, n=point.n)
    elif point.value is not None and point.threshold is not None:
        by_chance = abs(point.threshold - 0.5) + 0.5
        shown = (
            f"{_SAYS[point.signal][point.state == 'alarm']}: ROC AUC {point.value:.3f} "
            f"({point.low:.3f} to {point.high:.3f}; by chance at most {by_chance:.3f}), "
            f"{point.message}"
        )
        if point.state == "alarm":
            fix = "look at what changed upstream; assess the model on recent labelled rows"
            yield check.issue(shown, fix=fix, **point.evidence)
        else:
            yield check.passed(shown)
