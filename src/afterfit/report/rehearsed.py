"""The section of ``monitor rehearse``: what each fault was seen as, when, and beside what clock."""

from __future__ import annotations

from collections.abc import Iterable

from afterfit.core.metric import Metric
from afterfit.records.rehearsal import Outcome, RehearsalRecord
from afterfit.report import number
from afterfit.report.page import Block, Cell, Chart, Details, Line, Lines, Table, Text, Tone
from afterfit.report.parts import code, key_values, note, table

__all__ = ["rehearsed"]

HALF = 0.5
HOUR_US = 3.6e9


def rehearsed(record: RehearsalRecord) -> tuple[Block, ...]:
    """Return the verdict, the table of faults, dummies beside them, and scores over time."""
    blocks: list[Block] = [_verdict(record), _setting(record)]
    if record.outcomes:
        blocks += [_faults(record), _monitors(record)]
    if record.remedies:
        blocks.append(_remedies(record))
    blocks += [_chart(record, name) for name in _names(record.outcomes)]
    if record.skipped:
        rows = [[code(name), why] for name, why in record.skipped.items()]
        blocks.append(table(("Fault", "Why it was left out"), rows, caption="Not rehearsed"))
    if record.outcomes:
        blocks.append(Details("Every replay", tuple(_trials(each) for each in record.outcomes)))
    return tuple(blocks)


def _names(outcomes: Iterable[Outcome]) -> list[str]:
    return list(dict.fromkeys(outcome.fault for outcome in outcomes))


def _verdict(record: RehearsalRecord) -> Text:
    unseen = [each for each in record.outcomes if (each.detected.value or 0.0) <= HALF]
    if not record.outcomes:
        return note("No fault could be put into these rows.", "warn")
    if not unseen:
        return note("Every fault was seen in most replays.", "good")
    told = "; ".join(f"{each.title} ({each.size})" for each in unseen)
    return note(f"This monitor would not see: {told}.", "warn")


def _setting(record: RehearsalRecord) -> Block:
    length = f"{number.plain(record.window_us / HOUR_US)} h"
    if not record.timed:
        length += " (by the settings, and not by the times of the rows)"
    answers = (
        "given anew to the changed rows"
        if record.rescored
        else "those of the log, whatever a fault does to the rows"
    )
    quality = (
        "measured on the labels; usual is that of the first half of the rows"
        if record.labelled
        else "not measured: too few labels"
    )
    return key_values(
        ("A window", f"{number.plural(record.window_rows, 'row')}, {length}"),
        ("Replays", record.replays),
        ("Rows", f"drawn in blocks of {record.block} neighbours"),
        ("Answers", answers),
        ("Quality", quality),
    )


def _faults(record: RehearsalRecord) -> Table:
    rows = []
    for each in record.outcomes:
        tone: Tone = "bad" if (each.detected.value or 0.0) <= HALF else "good"
        rows.append(
            [
                each.title,
                each.size,
                Cell(_share(each.detected), tone),
                _delay(each.delay),
                _rows(each, record.window_rows),
                _share(each.named),
                _first(each),
            ]
        )
    columns = ("Fault", "How hard", "Detected", "Windows until then", "Rows until then",
               "Named rightly", "Named first")  # fmt: skip
    level = f"{100 * record.outcomes[0].detected.level:g} %"
    replays = number.plural(record.replays, "replay")
    remark = (
        f"Of {replays}, each with another column, with {level} intervals; the median of windows "
        "and rows. 'Named rightly' are replays in whose first alarms the column that was hit, or "
        "the signal of its kind, is among those named."
    )
    return table(columns, rows, caption="Faults", numeric=range(2, 6), note=remark)


def _share(metric: Metric) -> str:
    hits = round((metric.value or 0.0) * metric.n)
    bounds = ""
    if metric.low is not None and metric.high is not None:
        bounds = f" ({100 * metric.low:.0f} to {100 * metric.high:.0f} %)"
    return f"{hits} of {metric.n}{bounds}"


def _delay(metric: Metric, factor: int = 1) -> Cell:
    if metric.value is None:
        return Cell("never in half of them", "muted")
    low = 1 if metric.low is None else metric.low
    shown = f"{round(low * factor):,}"
    if metric.high is None:
        shown += " or more"
    elif metric.high > low:
        shown += f" to {round(metric.high * factor):,}"
    return Cell(f"{round(metric.value * factor):,} ({shown})")


def _rows(outcome: Outcome, window_rows: int) -> Cell:
    return _delay(outcome.delay, window_rows)


def _first(outcome: Outcome) -> str:
    """Return what the alarm that stood first most often named."""
    named = [
        "the column that was hit" if trial.named == trial.subject else trial.signal
        for trial in outcome.trials
        if trial.windows is not None
    ]
    if not named:
        return number.NOTHING
    usual = max(sorted(set(named)), key=named.count)
    return f"{usual} ({named.count(usual)} of {len(named)})"


def _monitors(record: RehearsalRecord) -> Table:
    """Return the monitor beside dummies that look at nothing."""
    hits = sum(round((each.detected.value or 0.0) * each.detected.n) for each in record.outcomes)
    n = sum(each.detected.n for each in record.outcomes)
    delays = sorted(
        float("inf") if trial.windows is None else trial.windows
        for each in record.outcomes
        for trial in each.trials
    )
    middle = delays[(len(delays) - 1) // 2]
    rows: list[list[object]] = [
        [
            "this monitor, all faults",
            f"{hits} of {n}",
            "never in half of them" if middle == float("inf") else f"{middle:g}",
            _alarms(record.false_alarms),
        ]
    ]
    rows += [
        [dummy.name, _share(dummy.detected), _delay(dummy.delay), _alarms(dummy.false_alarms)]
        for dummy in record.dummies
    ]
    columns = ("Monitor", "Detected", "Windows until then", "False alarms a month")
    remark = (
        f"{record.null_alarms} of {number.plural(record.null_windows, 'window')} without a fault "
        f"raised a new alarm; asked is {record.asked_per_month:g} a month. The clock rings as "
        "often as the upper bound of that rate: a fault that it finds as fast was not seen."
    )
    return table(columns, rows, caption="Beside monitors that look at nothing", numeric=(1, 2, 3),
                 note=remark)  # fmt: skip


def _alarms(metric: Metric) -> str:
    if metric.value is None:
        return number.NOTHING
    text = number.plain(metric.value)
    if metric.low is None or metric.high is None:
        return text
    return f"{text} ({number.plain(metric.low)} to {number.plain(metric.high)})"


def _remedies(record: RehearsalRecord) -> Table:
    titles = {(each.fault, each.severity): each for each in record.outcomes}
    rows = []
    for each in record.remedies:
        outcome = titles[each.fault, each.severity]
        seen = (each.detected.value or 0.0) > HALF
        rows.append(
            [
                f"{outcome.title} ({outcome.size})",
                each.setting,
                Cell(_share(each.detected), "good" if seen else "bad"),
                _delay(each.delay_rows),
            ]
        )
    columns = ("Fault that was not seen", "With", "Detected", "Rows until then")
    remark = "On as many rows as before, with the same settings otherwise."
    return table(columns, rows, caption="What would see it", numeric=(2, 3), note=remark)


def _chart(record: RehearsalRecord, fault: str) -> Chart:
    """Return the scores of the first replay, beside those of the same rows without the fault."""
    mine = [each for each in record.outcomes if each.fault == fault]
    lines = [_line("no fault", record.null_scores, reference=True)]
    lines += [_line(each.severity, each.scores) for each in mine]
    lines.append(_line("alarm", (1.0,) * len(record.null_scores)))
    title = mine[0].title[:1].upper() + mine[0].title[1:]
    rows = [[i + 1, *(line.y[i] for line in lines[:-1])] for i in range(len(record.null_scores))]
    columns = ("Window", *(line.name for line in lines[:-1]))
    onset = mine[0].onset + 1
    return Chart(
        title=title,
        description=f"How far the worst signal is towards an alarm, which is 1, in the first "
        f"replay; the fault sets in with window {onset}. It hits {_subjects(mine)}.",
        drawing=Lines(tuple(lines), "Window", "Score (an alarm is 1)"),
        table=table(columns, rows, numeric=range(len(columns))),
    )


def _subjects(outcomes: Iterable[Outcome]) -> str:
    return " and ".join(dict.fromkeys(each.trials[0].subject for each in outcomes))


def _line(name: str, scores: tuple[float, ...], *, reference: bool = False) -> Line:
    return Line(name, tuple(float(i + 1) for i in range(len(scores))), scores, reference)


def _trials(outcome: Outcome) -> Table:
    rows = [
        [
            code(trial.subject),
            "no alarm" if trial.windows is None else trial.windows,
            code(f"{trial.signal} {trial.named}".strip()),
            "" if trial.windows is None else "yes" if trial.among else "no",
        ]
        for trial in outcome.trials
    ]
    columns = ("Hit", "Windows until an alarm", "Named first", "Named rightly")
    return table(columns, rows, caption=f"{outcome.title} ({outcome.size})", numeric=(1,))
