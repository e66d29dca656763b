"""What the numbers of a report mean: its findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from afterfit.core.finding import Finding
from afterfit.core.fingerprint import OUTPUT
from afterfit.core.gate import evaluate, parse_gate
from afterfit.core.metric import Metric, in_percent
from afterfit.monitor import findings as checks
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.drift import Comparison, adjusted
from afterfit.monitor.log import Log
from afterfit.monitor.measure import USUAL

_GATE_STEPS = ("", "assess", "monitor")
_LIFT = "_lift"
"""What is compared with other models needs those models: no live row tells it."""
_QUALITY = frozenset(name for names in USUAL.values() for name in names)


def judge(
    log: Log,
    comparisons: Sequence[Comparison],
    metrics: Sequence[Metric],
    config: MonitorConfig,
    *,
    labelled: int,
    strange: Sequence[object],
    classes: Sequence[object],
    inputs_seen: bool,
) -> Iterator[Finding]:
    """Yield every finding of the report; ``strange`` are labels that are none of ``classes``."""
    if not len(log):
        fix = "check the period, the version and the folder of the events"
        yield checks.NoPredictions.issue("the log holds no answered prediction", fix=fix)
    yield from _moved(comparisons, config)
    if not inputs_seen:
        yield checks.InputsUnseen.skipped(
            "no inputs were captured or counted, so no column was compared",
            fix="keep the counts-*.json of the events, or: afterfit serve NAME --capture COLUMN",
        )
    yield from _flags(log, config)
    yield from _failures(log, config)
    yield from _labels(log, metrics, config, labelled)
    yield from _strange(strange, classes)
    yield from _alarms(metrics, config)


def _moved(comparisons: Sequence[Comparison], config: MonitorConfig) -> Iterator[Finding]:
    p_values = adjusted(comparisons)
    for check, of_output in ((checks.OutputMoved, True), (checks.ColumnMoved, False)):
        mine = [
            (comparison, p)
            for comparison, p in zip(comparisons, p_values, strict=True)
            if (comparison.column == OUTPUT) == of_output
        ]
        compared = [pair for pair in mine if pair[0].total_variation is not None]
        moved = [pair for pair in compared if _has_moved(*pair, config)]
        for comparison, p in moved:
            yield _moved_finding(check, comparison, p)
        if compared and not moved:
            what = "the output" if of_output else f"{len(compared)} columns"
            yield check.passed(f"{what} compared, none moved by {config.least_distance:g} or more")
        yield from _too_few(check, [pair[0] for pair in mine if pair not in compared], config)


def _has_moved(comparison: Comparison, p_value: float, config: MonitorConfig) -> bool:
    distance = comparison.total_variation or 0.0
    return distance >= config.least_distance and p_value <= config.false_alarms


def _moved_finding(
    check: type[checks.OutputMoved | checks.ColumnMoved], comparison: Comparison, p: float
) -> Finding:
    name = "the output" if comparison.column == OUTPUT else comparison.column
    return check.issue(
        f"{name} has moved: {in_percent(comparison.total_variation or 0.0, 1)} of its rows lie "
        f"elsewhere ({comparison.n} live rows, {comparison.n_ref} reference rows); "
        f"{comparison.told}",
        where=name,
        fix="find what changed upstream; assess the model on recent labelled rows",
        total_variation=comparison.total_variation,
        by_chance=comparison.by_chance,
        p_value=p,
    )


def _too_few(
    check: type[checks.OutputMoved | checks.ColumnMoved],
    few: Sequence[Comparison],
    config: MonitorConfig,
) -> Iterator[Finding]:
    if few:
        names = ["the output" if item.column == OUTPUT else item.column for item in few]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        yield check.skipped(
            f"insufficient data: {', '.join(names[:5])}{more}",
            needed_n=config.min_rows,
            n=min(item.n for item in few),
        )


def _flags(log: Log, config: MonitorConfig) -> Iterator[Finding]:
    if log.answers_only:
        yield checks.RowsFlagged.not_applicable("this log carries no flags")
        return
    if len(log) < config.min_rows:
        yield checks.RowsFlagged.skipped(
            "insufficient data on flagged rows", needed_n=config.min_rows, n=len(log)
        )
        return
    many = {
        flag: count for flag, count in log.flags.items() if count > config.flagged_share * len(log)
    }
    for flag, count in sorted(many.items()):
        yield checks.RowsFlagged.issue(
            f"{in_percent(count / len(log), 1)} of {len(log)} rows are flagged "
            f"{flag.replace('_', ' ')}",
            where=flag,
            fix="find the sender of those rows; refuse them at the door, or train with them",
            count=count,
        )
    if not many:
        yield checks.RowsFlagged.passed()


def _failures(log: Log, config: MonitorConfig) -> Iterator[Finding]:
    if log.answers_only:
        yield checks.Failures.not_applicable("this log holds answered rows only")
        return
    bad = log.counts["refused"] + log.counts["failed"]
    asked = bad + len(log)
    if not asked:
        return
    if bad > config.failed_share * asked:
        common = next(iter(log.errors), "")
        yield checks.Failures.issue(
            f"{bad} of {asked} requests ({in_percent(bad / asked, 1)}) got no answer",
            where=common,
            fix="read the errors of the failed and refused events",
            errors=log.errors,
        )
    else:
        yield checks.Failures.passed(f"{bad} of {asked} requests got no answer")


def _labels(
    log: Log,
    metrics: Sequence[Metric],
    config: MonitorConfig,
    labelled: int,
) -> Iterator[Finding]:
    if unknown := log.counts.get("label_unknown", 0):
        yield checks.LabelsUnknown.issue(
            f"{unknown} of {log.counts['label']} labels belong to no prediction of this log",
            fix="send the event_id that the prediction returned, or the same entity in both",
            ids=list(log.unknown),
        )
    elif log.counts["label"]:
        yield checks.LabelsUnknown.passed()
    measured = [
        metric for metric in metrics if metric.name in _QUALITY and metric.value is not None
    ]
    if measured:
        kept = len(log.scores)
        of = f", of a sample of {kept} of {len(log)} predictions" if kept < len(log) else ""
        yield checks.LiveQuality.passed(
            f"{len(measured)} metrics on {measured[0].n} labelled rows{of}"
        )
    else:
        yield checks.LiveQuality.skipped(
            "insufficient data: too few labels to measure quality",
            needed_n=config.min_labels,
            n=labelled,
        )


def _strange(labels: Sequence[object], classes: Sequence[object]) -> Iterator[Finding]:
    if labels:
        shown = ", ".join(map(repr, sorted({str(label) for label in labels})[:3]))
        known = ", ".join(map(repr, classes[:5]))
        yield checks.ClassesUnknown.issue(
            f"{len(labels)} labels are no class of the model and were left out, such as {shown}; "
            f"its classes are {known}",
            fix="map the labels to the model's classes",
        )


def _alarms(metrics: Sequence[Metric], config: MonitorConfig) -> Iterator[Finding]:
    for text in config.gates:
        gate = parse_gate(text, where="gates")
        if gate.step not in _GATE_STEPS or gate.metric.endswith(_LIFT):
            continue
        result = evaluate(gate, {gate.step or "monitor": metrics})
        if result.outcome == "missing":
            yield checks.Alarm.skipped(f"{text}: not measured on live rows", where=text)
        elif result.outcome == "pass":
            yield checks.Alarm.passed(f"{text} holds", where=text, value=result.value)
        else:
            shown = result.metric.text() if result.metric else ""
            yield checks.Alarm.issue(
                f"{text} no longer holds: {shown}",
                where=text,
                fix="afterfit version rollback NAME, if the version before was better",
                value=result.value,
            )
