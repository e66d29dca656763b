"""What a rehearsal means: what the monitor would not see, and what setting would."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from afterfit.core.finding import Finding
from afterfit.core.metric import Metric
from afterfit.monitor.budget import MONTH_US
from afterfit.monitor.rehearse import findings as checks
from afterfit.monitor.rehearse.faults import fault_called
from afterfit.records.rehearsal import Outcome, RehearsalRecord, Remedy
from afterfit.stats.interval import normal_quantile

__all__ = ["ENOUGH", "missed", "verdict"]

ENOUGH = 0.5
"""A fault is seen where more than this share of replays raise an alarm."""


def missed(outcome: Outcome) -> bool:
    """Return whether a fault was not seen."""
    return (outcome.detected.value or 0.0) <= ENOUGH


def verdict(record: RehearsalRecord) -> Iterator[Finding]:
    """Yield what the record means."""
    unseen = [outcome for outcome in record.outcomes if missed(outcome)]
    for outcome in unseen:
        yield _unseen(outcome, record)
    if record.outcomes and not unseen:
        yield checks.FaultUnseen.passed(f"{len(record.outcomes)} faults, each seen in most replays")
    misnamed = [outcome for outcome in record.outcomes if _misnamed(outcome)]
    for outcome in misnamed:
        yield _wrong_name(outcome)
    if record.outcomes and not misnamed and len(unseen) < len(record.outcomes):
        yield checks.FaultMisnamed.passed()
    yield _false_alarms(record)
    for name, why in record.skipped.items():
        yield checks.FaultUntried.skipped(
            f"{fault_called(name).title}: {why}",
            where=name,
            fix="rehearse with rows that have it",
        )


def _unseen(outcome: Outcome, record: RehearsalRecord) -> Finding:
    tried = [
        r for r in record.remedies if (r.fault, r.severity) == (outcome.fault, outcome.severity)
    ]
    n, hits = _counts(outcome.detected)
    after = len(outcome.scores) - outcome.onset
    message = (
        f"{outcome.title} ({outcome.size}) raised an alarm in {hits} of {n} replays within "
        f"{after} windows of {record.window_rows} rows{_why(outcome, record)}"
    )
    make = checks.FaultUnseen.issue if outcome.severity == "strong" else checks.FaultUnseen.tip
    return make(
        message,
        where=f"{outcome.fault}, {outcome.severity}",
        fix=_fix(outcome, tried, record),
        detected=outcome.detected.value,
        low=outcome.detected.low,
        high=outcome.detected.high,
    )


def _why(outcome: Outcome, record: RehearsalRecord) -> str:
    """Return how far other proportions of a class are from what chance does in one window."""
    share, n = record.raised, record.window_rows
    if outcome.fault != "labels" or not share:
        return ""
    levels = {level.name: level.size for level in fault_called(outcome.fault).levels}
    factor, usual = levels[outcome.severity], share * n
    shifted = factor * share / (1 + (factor - 1) * share) * n
    chance = min(0.4, record.asked_per_month * record.window_us / MONTH_US)
    spread = normal_quantile(1 - 2 * chance) * math.sqrt(usual * (1 - share))
    return (
        f": a window then has {shifted:.3g} rows of the class where {usual:.3g} are usual, and as "
        f"seldom as an alarm may come by chance {usual + spread:.3g} or more without a fault"
    )


def _fix(outcome: Outcome, tried: Sequence[Remedy], record: RehearsalRecord) -> str:
    better = sorted(
        (remedy for remedy in tried if (remedy.detected.value or 0.0) > ENOUGH),
        key=lambda remedy: -(remedy.detected.value or 0.0),
    )
    if better:
        told = [f"{r.setting} ({_of(r.detected)})" for r in better]
        return f"tried, and seen with: {', or '.join(told)}"
    if fault_called(outcome.fault).needs_labels and not record.labelled:
        return "quality was not measured: rehearse and watch with more labels"
    if tried:
        told = [f"{r.setting} ({_of(r.detected)})" for r in tried]
        return f"tried without success: {', '.join(told)}; it stays unseen unless it lasts longer"
    return "try windows of more rows"


def _of(metric: Metric) -> str:
    n, hits = _counts(metric)
    return f"{hits} of {n} replays"


def _counts(metric: Metric) -> tuple[int, int]:
    return metric.n, round((metric.value or 0.0) * metric.n)


def _misnamed(outcome: Outcome) -> bool:
    return not missed(outcome) and 2 * (outcome.named.value or 0) < (outcome.detected.value or 0)


def _wrong_name(outcome: Outcome) -> Finding:
    n, right = _counts(outcome.named)
    first = [f"{t.signal} {t.named}".strip() for t in outcome.trials if t.windows is not None]
    usual = max(sorted(set(first)), key=first.count)
    return checks.FaultMisnamed.issue(
        f"the first alarms of {outcome.title} ({outcome.size}) named it in {right} of {n} replays; "
        f"most often first: {usual}",
        where=f"{outcome.fault}, {outcome.severity}",
        fix="look at all alarms of a window, and at what changed upstream",
    )


def _false_alarms(record: RehearsalRecord) -> Finding:
    rate, asked = record.false_alarms, record.asked_per_month
    told = (
        f"{record.null_alarms} of {record.null_windows} windows without a fault raised an alarm: "
        f"{rate.value:.3g} a month ({rate.low:.3g} to {rate.high:.3g}), asked {asked:g}"
    )
    if (rate.low or 0.0) > asked:
        fix = "replay rows of the reference's time, or make a reference of recent rows"
        return checks.FalseAlarms.issue(told, fix=fix, per_month=rate.value)
    return checks.FalseAlarms.passed(told, per_month=rate.value)
