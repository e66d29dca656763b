"""The verb: a log and a reference make the record of a period."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from afterfit.core.digest import digest_of
from afterfit.core.event import Event
from afterfit.core.finding import Finding
from afterfit.core.fingerprint import OUTPUT, Fingerprint
from afterfit.core.frame import row_count
from afterfit.core.metric import Metric
from afterfit.core.progress import SILENT, Progress
from afterfit.core.signature import Signature
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.drift import Comparison, compare, merged
from afterfit.monitor.gather import MOST_SAMPLED, gather
from afterfit.monitor.held_out import MeasuredRate
from afterfit.monitor.impossible import impossible_findings
from afterfit.monitor.judge import judge
from afterfit.monitor.judge_rows import judge_rows, of_rows, row_metrics
from afterfit.monitor.log import Log, collect
from afterfit.monitor.measure import quality, share_metric, shares, truth_codes, waits
from afterfit.monitor.over_period import estimated_metrics, quality_findings, quality_over_time
from afterfit.monitor.sample import Sample
from afterfit.monitor.signals.schema import Change, changes, kinds_of
from afterfit.monitor.sources import QuerySource, TableSource
from afterfit.monitor.table import Reference
from afterfit.monitor.watched import Watched
from afterfit.monitor.windows import span, within
from afterfit.records.monitor import MonitorRecord
from afterfit.records.record import Environment, given
from afterfit.runtime.counts import Window


def monitor_report(
    log: Log | Iterable[Event],
    reference: Reference,
    config: MonitorConfig | None = None,
    *,
    env: Environment,
    windows: Iterable[Window] = (),
    watched: Watched | None = None,
    rates: Sequence[MeasuredRate] = (),
    progress: Progress = SILENT,
) -> MonitorRecord:
    """Return what a version saw and said in a period, beside what it was assessed on.

    ``windows`` are snapshots of live counts, each of rows of its own; those that touch the period
    stand in for the inputs where none were captured. ``watched`` is the same reference with the
    rows that estimates stand on, ``rates`` the false alarms that were measured on these. Raises
    InputError for counts on other bins.
    """
    config = config or MonitorConfig()
    if isinstance(log, Log):
        read = log
    else:
        progress.step("read the log")
        read = _collect(log, reference, config)
    progress.step("compare with the reference")
    counted = [] if _captured(read) else within(windows, config.since, config.until)
    live = _live(read, reference.fingerprint, counted)
    comparisons = _comparisons(reference.fingerprint, live, config)
    progress.step("compare all columns together")
    watched = watched or Watched(reference, seed=config.seed)
    read = _sampled(read, reference, config)
    points = of_rows(read, watched.sampled, reference.fingerprint, config)
    progress.step("measure quality, and estimate it")
    over_time = quality_over_time(read, watched, config) if len(read) else []
    metrics = _metrics(read, reference, config) + row_metrics(points)
    metrics += estimated_metrics(over_time)
    return MonitorRecord(
        subject=reference.subject,
        env=env,
        inputs=_inputs(reference),
        args=given(config),
        resolved=msgspec.to_builtins(config),
        findings=(
            *_findings(read, reference, live, comparisons, metrics, config),
            *impossible_findings(read, reference.signature.task, time.time_ns() // 1000),
            *judge_rows(points, read.changes),
            *quality_findings(over_time, watched, rates),
        ),
        metrics=tuple(metrics),
        counts=read.counts,
        period=read.period,
        counted=span(counted) if live is not None else None,
        reference=reference.fingerprint,
        live=live,
        distances=tuple(d for comparison in comparisons for d in comparison.distances()),
        versions=read.versions,
        points=tuple(over_time),
    )


def log_of(source: TableSource | QuerySource, reference: Reference, config: MonitorConfig) -> Log:
    """Return the log of anyone's predictions, read a batch at a time."""
    log = gather(
        (batch for batch, _ in source.read({})),
        reference.signature,
        reference.fingerprint,
        since=config.since,
        until=config.until,
        digest=config.digest,
        seed=config.seed,
    )
    if source.schema is None:
        return log
    return replace(log, changes=tuple(_changes(source, reference.signature)))


def changes_of(source: TableSource | QuerySource, watched: Watched) -> list[Change]:
    """Return how the columns of a log, as far as it was read, differ from those of a version."""
    return _changes(source, watched.signature)


def _changes(source: TableSource | QuerySource, signature: Signature) -> list[Change]:
    schema, mapping = source.schema, source.columns.mapping
    if schema is None:
        return []
    roles = frozenset(column for role, column in mapping.items() if role != "slice")
    return changes(signature, schema.names, kinds_of(schema), roles=roles)


def _sampled(log: Log, reference: Reference, config: MonitorConfig) -> Log:
    """Return a log of events with a sample of its captured inputs."""
    fingerprint, n = reference.fingerprint, row_count(log.frame)
    if log.sample is not None or fingerprint is None or not n:
        return log
    scores = log.scores if n == len(log.scores) else np.full(n, np.nan)
    sample = Sample.like(fingerprint, config.seed, MOST_SAMPLED)
    sample.update(np.arange(n, dtype=np.uint64), log.frame, scores, fingerprint)
    return replace(log, sample=sample)


def _collect(events: Iterable[Event], reference: Reference, config: MonitorConfig) -> Log:
    return collect(
        events,
        reference.signature,
        since=config.since,
        until=config.until,
        digest=config.digest,
    )


def _inputs(reference: Reference) -> dict[str, str]:
    return (
        {} if reference.fingerprint is None else {"fingerprint": digest_of(reference.fingerprint)}
    )


def _live(log: Log, reference: Fingerprint | None, windows: Sequence[Window]) -> Fingerprint | None:
    """Return live counts on the reference's edges.

    Columns from captured rows, else from windows; outputs from the log, where it has any.
    """
    if reference is None or log.live is not None:
        return log.live
    counted = merged((window.fingerprint for window in windows), reference)
    live = reference.blank() if counted is None else counted
    if counted is None:
        live.update(log.frame)
    if live.output is not None and len(log):
        output = live.output.blank()
        output.update(log.scores)
        live.output = output
    return live


def _captured(log: Log) -> bool:
    return log.live is not None or row_count(log.frame) > 0


def _comparisons(
    reference: Fingerprint | None, live: Fingerprint | None, config: MonitorConfig
) -> list[Comparison]:
    """Return the comparison of the output first, then of each column."""
    if reference is None or live is None:
        return []
    pairs = [(reference.output, live.output)]
    pairs += [(column, live.column(column.name)) for column in reference.columns]
    return [
        compare(before, after, min_rows=config.min_rows)
        for before, after in pairs
        if before is not None and after is not None and (after.total or before.name == OUTPUT)
    ]


def _metrics(log: Log, reference: Reference, config: MonitorConfig) -> list[Metric]:
    found = quality(log, reference.signature, config) if len(log) else []
    labelled, _ = truth_codes(log, reference.signature)
    if labelled.any():
        found.append(
            share_metric("labelled_share", int(labelled.sum()), len(labelled), config.level)
        )
    return found + waits(log, config.level) + shares(log, config.level)


def _findings(
    log: Log,
    reference: Reference,
    live: Fingerprint | None,
    comparisons: list[Comparison],
    metrics: list[Metric],
    config: MonitorConfig,
) -> tuple[Finding, ...]:
    labelled, truth = truth_codes(log, reference.signature)
    strange: list[object] = []
    if reference.signature.task != "regression":
        strange = log.truth[labelled & (truth < 0)].tolist()
    seen = live is not None and any(column.total for column in live.columns)
    return tuple(
        judge(
            log,
            comparisons,
            metrics,
            config,
            labelled=int(labelled.sum()),
            strange=strange,
            classes=reference.signature.classes,
            inputs_seen=seen,
        )
    )
