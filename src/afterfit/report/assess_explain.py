"""The part of ``assess`` on columns: what each is worth, and how the answer moves with it."""

from __future__ import annotations

from itertools import groupby

from afterfit.records.assess import AssessRecord
from afterfit.records.assess_explain import Dependence, Importance
from afterfit.report import number
from afterfit.report.page import Bars, Block, Chart, Intervals, Line, Lines, Range, Table
from afterfit.report.parts import code, note, table

SHOWN = 15


def explained(record: AssessRecord) -> tuple[Block, ...]:
    """Return the importance of the columns, and the curves of the first of them."""
    if not record.importances:
        return ()
    curves = [list(same) for _, same in groupby(record.dependences, lambda each: each.column)]
    drawn = tuple(_dependence(same) for same in curves)
    return (_importance(record.importances), *drawn, *((CAUTION,) if drawn else ()))


CAUTION = note(
    "By a column: the mean answer where every row gets the same value of it and keeps its other "
    "columns; rows that cannot exist may be among them. A curve tells what the model does, not "
    "what would happen."
)


def _importance(importances: tuple[Importance, ...]) -> Chart:
    first = importances[0]
    title = number.metric_title(first.metric)
    shown = importances[:SHOWN]
    ranges = [
        Range(
            each.column,
            "held out",
            each.value,
            each.value if each.low is None else each.low,
            each.value if each.high is None else each.high,
        )
        for each in shown
    ]
    rows = [
        [
            code(each.column),
            number.plain(each.value),
            None if each.low is None else number.plain(each.low),
            None if each.high is None else number.plain(each.high),
        ]
        for each in importances
    ]
    left = f" The first {SHOWN} of {len(importances)} columns." if len(shown) < len(rows) else ""
    return Chart(
        title="What each column is worth",
        description=f"How much worse {title} gets when a column's values are dealt out anew among "
        f"{number.count(first.n)} held-out rows, {first.repeats} times; with "
        f"{first.level * 100:g} % intervals.{left} Columns that say the same share their worth.",
        drawing=Intervals(tuple(ranges), f"loss of {title}"),
        table=table(("Column", f"Loss of {title}", "Low", "High"), rows, numeric=(1, 2, 3)),
    )


def _dependence(same: list[Dependence]) -> Chart:
    first = same[0]
    words = isinstance(first.at[0], str)
    title = f"By {first.column}"
    what = f"Mean {'answer' if len(same) > 1 else first.output}"
    description = f"{what} over {first.n} rows by the value of {first.column}."
    if words:
        bars = Bars(tuple(map(str, first.at)), first.mean, first.output)
        return Chart(title, description, bars, _points(same))
    lines = [
        Line(each.output, tuple(map(float, each.at)), each.mean, low=each.low, high=each.high)
        for each in same
    ]
    drawing = Lines(tuple(lines), first.column, first.output if len(same) == 1 else "probability")
    return Chart(title, description, drawing, _points(same))


def _points(same: list[Dependence]) -> Table:
    rows = [
        [str(at), each.output, *(number.plain(v) for v in values)]
        for each in same
        for at, *values in zip(each.at, each.mean, each.low, each.high, strict=True)
    ]
    columns = (same[0].column, "Of", "Mean", "Low", "High")
    return table(columns, rows, numeric=(2, 3, 4))
