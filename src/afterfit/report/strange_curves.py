"""What ``robustness`` found beyond single cases: ladders, trends, and what each column decides."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.metric import in_percent
from afterfit.records.robustness import Case, Ladder, RobustnessRecord, Rung, Trend
from afterfit.report import number
from afterfit.report.page import Bars, Block, Cell, Chart, Line, Lines, Table
from afterfit.report.parts import code, table

__all__ = ["columns_chart", "ladder_blocks", "trends_table"]

USUAL = "its usual value"
MOST_BARS = 15
MOST_LINES = 5


def ladder_blocks(record: RobustnessRecord) -> tuple[Block, ...]:
    """Return the curves of the ladders, and a table of every rung."""
    if not record.ladders:
        return ()
    rungs = _rungs(record.ladders)
    lines, left_out = _lines(record.ladders)
    if not lines:
        return (rungs,)
    first = record.ladders[0]
    what = f"{number.metric_title(first.metric)}, worse by"
    more = f" The {MOST_LINES} ladders that cost most are drawn." if left_out else ""
    chart = Chart(
        title="What worse rows cost",
        description=(
            f"How much worse {number.metric_title(first.metric)} is on the same "
            f"{number.count(first.n)} labelled rows as they are spoiled more and more; 0 is the "
            f"rows as they are ({number.plain(first.clean)}), bands are 95 % intervals.{more}"
        ),
        drawing=Lines(
            lines=lines,
            x_title="severity",
            y_title=f"{what} (share)" if first.relative else what,
        ),
        table=rungs,
        repeats=True,
    )
    return (chart, rungs)


def _lines(ladders: Sequence[Ladder]) -> tuple[tuple[Line, ...], int]:
    """Return the lines to draw, in the order of the record, and how many are left out."""
    lines = [line for line in map(_line, ladders) if line is not None]
    worst = sorted(lines, key=lambda line: -line.y[-1])[:MOST_LINES]
    return tuple(line for line in lines if line in worst), len(lines) - len(worst)


def _line(ladder: Ladder) -> Line | None:
    """Return the drops by severity from 0 on; None where no rung has a number."""
    known = [rung for rung in ladder.rungs if rung.drop is not None]
    if not known:
        return None
    return Line(
        ladder.name,
        (0.0, *(float(rung.severity) for rung in known)),
        (0.0, *(rung.drop or 0.0 for rung in known)),
        low=(0.0, *(_or(rung.low, rung.drop) for rung in known)),
        high=(0.0, *(_or(rung.high, rung.drop) for rung in known)),
    )


def _or(bound: float | None, value: float | None) -> float:
    return (value or 0.0) if bound is None else bound


def _rungs(ladders: Sequence[Ladder]) -> Table:
    first = ladders[0]
    rows = [
        [
            ladder.name if rung.severity == 1 else "",
            rung.severity,
            ladder.amount(rung),
            number.plain(rung.value) if rung.value is not None else None,
            _worse(rung),
            _interval(rung),
            f"{number.count(rung.changed)} ({in_percent(rung.changed / ladder.n, 1)})",
        ]
        for ladder in ladders
        for rung in ladder.rungs
    ]
    title = number.metric_title(first.metric)
    worse = "Worse by (share)" if first.relative else "Worse by"
    columns = (
        "Rows with",
        "Severity",
        "How much",
        title,
        worse,
        "95 % interval",
        "Decided otherwise",
    )
    text = (
        f"The same {number.count(first.n)} labelled rows each time; as they are: {title} "
        f"{number.plain(first.clean)}. The difference is paired, by {_methods(ladders)}."
    )
    return table(
        columns, rows, caption="Ladders: rows that get worse", numeric=(1, 3, 4, 5, 6), note=text
    )


def _methods(ladders: Sequence[Ladder]) -> str:
    methods = {rung.method for ladder in ladders for rung in ladder.rungs if rung.method}
    return ", ".join(sorted(methods)) or "no method: there is no number"


def _worse(rung: Rung) -> Cell:
    if rung.drop is None:
        return Cell(rung.why or rung.method, "bad" if rung.why else "muted")
    return Cell(number.plain(rung.drop))


def _interval(rung: Rung) -> str | None:
    if rung.low is None or rung.high is None:
        return None
    return f"[{number.plain(rung.low)}, {number.plain(rung.high)}]"


def trends_table(trends: Sequence[Trend]) -> tuple[Block, ...]:
    """Return how answers move with each column of numbers, the declared ones first."""
    if not trends:
        return ()
    rows = [
        [
            code(trend.column),
            _declared(trend),
            trend.up,
            trend.down,
            trend.both,
            trend.flat,
            _step(trend),
        ]
        for trend in sorted(trends, key=lambda trend: not trend.declared)
    ]
    n, points = trends[0].n, max(trend.points for trend in trends)
    text = (
        f"{number.plural(n, 'row')} each, asked with up to {number.plural(points, 'value')} of "
        "the column and nothing else changed. The step is the largest against the direction, in "
        "the unit of the score."
    )
    columns = ("Column", "Declared", "Only up", "Only down", "Both", "Unmoved", "Largest step back")
    caption = "Rows whose answer moves as a column rises"
    return (table(columns, rows, caption=caption, numeric=(2, 3, 4, 5), note=text),)


def _declared(trend: Trend) -> Cell:
    if not trend.declared:
        return Cell(number.NOTHING, "muted")
    if not trend.broken:
        return Cell(f"{trend.declared}: holds", "good")
    return Cell(f"{trend.declared}: broken in {number.plural(trend.broken, 'row')}", "bad")


def _step(trend: Trend) -> str | None:
    if trend.worst_from is None or trend.worst_to is None:
        return None
    values = f"{number.plain(trend.worst_from)} to {number.plain(trend.worst_to)}"
    return f"{number.plain(trend.worst)} ({trend.against}, from {values})"


def columns_chart(cases: Sequence[Case]) -> tuple[Block, ...]:
    """Return how many decisions each column carries: those that its usual value changes."""
    mine = [case for case in cases if case.case == USUAL and case.outcome == "answered" and case.n]
    if len(mine) < 2:
        return ()
    scored = all(case.mean_shift is not None for case in mine)
    mine.sort(key=lambda case: (-(case.mean_shift or 0.0), -case.changed))
    rows = [
        [
            code(case.column),
            f"{number.count(case.changed)} ({in_percent(case.changed / case.n, 1)})",
            number.plain(case.mean_shift) if case.mean_shift is not None else None,
            number.plain(case.max_shift) if case.max_shift is not None else None,
        ]
        for case in mine
    ]
    n = mine[0].n
    columns = ("Column", "Decided otherwise", "Mean shift", "Greatest shift")
    by_column = table(
        columns,
        rows,
        caption="Without a column's own values",
        numeric=(1, 2, 3),
        note=f"n = {number.plural(n, 'row')} each; shifts are of the score.",
    )
    shown = mine[:MOST_BARS]
    moved = "mean shift of the score" if scored else "% of rows decided otherwise"
    chart = Chart(
        title="What each column decides",
        description=(
            f"How far the answers to {number.plural(n, 'row')} move when every row has the "
            "column's median or most common word."
        ),
        drawing=Bars(
            names=tuple(case.column for case in shown),
            values=tuple(
                (case.mean_shift or 0.0) if scored else 100 * case.changed / case.n
                for case in shown
            ),
            x_title=moved,
        ),
        table=by_column,
    )
    return (chart,)
