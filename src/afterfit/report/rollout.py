"""The sections of a rollout, of a drill of the way back, and of a replay of served rows."""

from __future__ import annotations

from afterfit.core.metric import Metric
from afterfit.records.rollout import Comparison, DrillRecord, ReplayRecord, RolloutRecord
from afterfit.report import number
from afterfit.report.page import Block, Cell, Table, Tone, Verdict
from afterfit.report.parts import key_values, metrics_table, note, table

__all__ = ["drilled", "replayed", "rolled_out", "rollout_verdict"]

MILLION = 1_000_000
_ENDS: dict[str, tuple[str, Tone]] = {
    "promoted": ("It was shown to be not worse, and is the primary now.", "good"),
    "rolled_back": ("It was confirmed to be worse: the version before answers alone.", "bad"),
    "aborted": ("It was called off: the version before answers alone.", "warn"),
    "gave_up": ("It stayed undecided: the version before answers alone.", "warn"),
    "refused": ("It may not be promoted: the version before answers alone.", "bad"),
    "overtaken": ("Somebody else changed who answers; the rollout let go.", "warn"),
}


def rollout_verdict(record: RolloutRecord) -> Verdict:
    """Return how it ended, for the head of a page."""
    sentence, tone = _ENDS[record.verdict]
    return Verdict(record.verdict.replace("_", " ").capitalize(), sentence, tone)


def rolled_out(record: RolloutRecord) -> tuple[Block, ...]:
    """Return how it ended and why, what was compared, and its steps."""
    _, tone = _ENDS[record.verdict]
    names = ("false_alarms", "margin", "confidence")
    false_alarms, margin, sure = (f"{100 * float(record.resolved[name]):g} %" for name in names)
    blocks: list[Block] = [
        note(f"Why: {record.why}.", tone),
        key_values(
            ("Model", record.name),
            ("From and to", f"version {record.primary} to {record.candidate}"),
            ("Took", number.seconds(record.seconds)),
            ("False alarms", f"at most {false_alarms} of rollouts of a version no worse go back"),
            ("Not worse", f"at most {margin} more requests fail, or are slow, at {sure}"),
        ),
    ]
    if record.back_s is not None:
        took = number.seconds(record.back_s)
        blocks.append(note(f"From the decision to the primary alone: {took}."))
    return (*blocks, _comparisons(record.comparisons), _steps(record))


def _comparisons(found: tuple[Comparison, ...]) -> Table:
    rows = [
        [
            _watch(each),
            _share(each.canary),
            None if each.primary is None else _share(each.primary),
            _share(each.excess),
            f"{100 * each.margin:g} %",
            f"{each.log_e:.1f} of {each.needed:.1f}",
            Cell("worse", "bad") if each.worse else Cell("not worse", "good")
            if each.shown else Cell("not known", "muted"),
        ]
        for each in found
    ]  # fmt: skip
    columns = ("Watch", "Canary", "Primary", "Difference", "Margin", "Evidence of harm", "Is")
    remark = (
        "Shares of requests (disagreement: of rows) with bounds that hold at every look, however "
        "often one looks. Evidence is a natural logarithm; at the second number the canary goes "
        "back. Requests are taken to be independent."
    )
    return table(columns, rows, caption="What was compared", note=remark)


def _steps(record: RolloutRecord) -> Table:
    rows = [
        [
            f"{100 * each.share_ppm / MILLION:g} %" if each.share_ppm else "copies only",
            number.seconds(each.seconds),
            each.canary,
            each.primary,
        ]
        for each in record.steps
    ]
    columns = ("Share", "Lasted", "Requests of the canary", "Of the primary")
    return table(columns, rows, caption="Steps", numeric=(2, 3))


def _watch(each: Comparison) -> str:
    over = f" (over {each.slow_ms:.3g} ms)" if each.slow_ms else ""
    return each.watch.replace("_", " ") + over


def _share(metric: Metric) -> Cell:
    if metric.value is None:
        return Cell("nothing to compare", "muted")
    bounds = ""
    if metric.low is not None and metric.high is not None:
        bounds = f" ({100 * metric.low:.3g} to {100 * metric.high:.3g} %)"
    return Cell(f"{100 * metric.value:.3g} % of {number.count(metric.n)}{bounds}")


def drilled(record: DrillRecord) -> tuple[Block, ...]:
    """Return how long the way back took, and what it cost."""
    good = record.failed == 0
    told = f"{record.failed} of {record.requests} requests failed while the version changed."
    return (
        note(told, "good" if good else "bad"),
        key_values(
            ("Model", record.name),
            ("From and to", f"version {record.source} to {record.target}, and back again"),
            ("The alias had moved after", number.seconds(record.moved_s)),
            ("First answer of the old version after", number.seconds(record.first_s)),
            ("Last answer of the new version after", number.seconds(record.last_s)),
        ),
    )


def replayed(record: ReplayRecord) -> tuple[Block, ...]:
    """Return what the other version would have said, beside what was said."""
    versions = ", ".join(f"{n} by {v}" for v, n in record.served.items())
    skipped = "; ".join(f"{n}: {why}" for why, n in record.skipped.items())
    items: list[tuple[str, object]] = [
        ("Model", f"{record.name}, challenger: version {record.challenger}"),
        ("Rows", record.read),
        ("With a label", record.labelled),
        ("Answered by", versions or None),
        ("Left out", skipped or None),
    ]
    if record.period:
        items.append(("From and to", " to ".join(record.period)))
    flips = next((m for m in record.metrics if m.name == "disagreement"), None)
    blocks: list[Block] = [key_values(*items)]
    if flips is not None:
        blocks.insert(0, note(f"Another class: {_share(flips).text} rows.", "info"))
    return (*blocks, metrics_table(record.metrics))
