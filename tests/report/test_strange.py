"""The section of ``robustness``: curves with bands, directions, what columns decide, the rest."""

from __future__ import annotations

from typing import Any

import msgspec

from afterfit.records.record import Environment
from afterfit.records.robustness import Case, Ladder, RobustnessRecord, Rung, Trend
from afterfit.report.html import render
from afterfit.report.page import Bars, Chart, Lines, Page, Section, Table
from afterfit.report.strange import robustness

HOSTILE = "<b>'a'|`x`</b>"


def rung(severity: int, drop: float | None) -> Rung:
    """One severity; without a drop the model crashed on it."""
    if drop is None:
        return Rung(severity=severity, level=severity / 10, why="ValueError: too high")
    return Rung(
        severity=severity,
        level=severity / 10,
        value=0.9 - drop,
        drop=drop,
        low=drop - 0.01,
        high=drop + 0.01,
        method="delong",
        changed=7 * severity,
    )


def ladder(name: str, drops: list[float | None], unit: str = "of the rows") -> Ladder:
    """A ladder of 200 rows."""
    return Ladder(
        name=name,
        gate="noise_drop",
        unit=unit,
        metric="roc_auc",
        clean=0.9,
        n=200,
        relative=False,
        rungs=tuple(rung(severity, drop) for severity, drop in enumerate(drops, start=1)),
    )


def record(**fields: Any) -> RobustnessRecord:
    """A record with the usual value of two columns."""
    cases = tuple(
        Case(case="its usual value", column=column, n=40, outcome="answered", changed=changed,
             mean_shift=shift, max_shift=2 * shift)
        for column, changed, shift in ((HOSTILE, 4, 0.05), ("age", 10, 0.2))
    )  # fmt: skip
    made = RobustnessRecord(subject="m", env=Environment(afterfit="1"), cases=cases)
    return msgspec.structs.replace(made, **fields)


def tables(blocks: Any) -> dict[str, Table]:
    """The tables by their captions."""
    return {block.caption: block for block in blocks if isinstance(block, Table)}


def charts(blocks: Any) -> dict[str, Chart]:
    """The charts by their titles."""
    return {block.title: block for block in blocks if isinstance(block, Chart)}


def test_curves_start_at_the_rows_as_they_are_and_have_bands() -> None:
    """A rung without a number is no point of the curve, and its reason is in the table."""
    blocks = robustness(record(ladders=(ladder("noise", [0.01, 0.02, 0.05, 0.1, None]),)))
    drawing = charts(blocks)["What worse rows cost"].drawing
    assert isinstance(drawing, Lines)
    (line,) = drawing.lines
    assert line.x == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert line.y == (0.0, 0.01, 0.02, 0.05, 0.1)
    assert len(line.low) == len(line.high) == len(line.x)
    rows = tables(blocks)["Ladders: rows that get worse"].rows
    assert [cell.text for cell in rows[0]][:3] == ["noise", "1", "10 % of the rows"]
    assert (rows[4][4].text, rows[4][4].tone) == ("ValueError: too high", "bad")


def test_of_many_ladders_those_that_cost_most_are_drawn() -> None:
    """Five lines have five colours; the table has all."""
    many = tuple(ladder(f"l{i}", [0.01 * i] * 5, "sd") for i in range(6))
    blocks = robustness(record(ladders=many))
    chart = charts(blocks)["What worse rows cost"]
    assert isinstance(chart.drawing, Lines)
    assert [line.name for line in chart.drawing.lines] == ["l1", "l2", "l3", "l4", "l5"]
    assert "5 ladders that cost most" in chart.description
    assert len(tables(blocks)["Ladders: rows that get worse"].rows) == 30


def test_columns_are_ordered_by_how_far_they_move_answers() -> None:
    """The chart and its table; labels alone are counted by decisions."""
    (chart,) = charts(robustness(record())).values()
    assert isinstance(chart.drawing, Bars)
    assert chart.drawing.names == ("age", HOSTILE)
    assert chart.drawing.values == (0.2, 0.05)
    plain = tuple(
        msgspec.structs.replace(case, mean_shift=None, max_shift=None) for case in record().cases
    )
    (chart,) = charts(robustness(record(cases=plain))).values()
    assert isinstance(chart.drawing, Bars)
    assert chart.drawing.values == (25.0, 10.0)
    assert chart.drawing.x_title == "% of rows decided otherwise"


def test_directions_say_what_was_declared_and_where_it_broke() -> None:
    """Declared columns first, with their tone."""
    trends = (
        Trend(column="age", n=40, points=12, up=30, down=0, flat=10),
        Trend(column="income", n=40, points=24, up=28, down=2, flat=0, declared="up",
              against="down", broken=12, worst=0.3, worst_from=60.0, worst_to=70.0),
    )  # fmt: skip
    rows = tables(robustness(record(trends=trends)))[
        "Rows whose answer moves as a column rises"
    ].rows
    assert [cell.text for cell in rows[0]] == [
        "income", "up: broken in 12 rows", "28", "2", "10", "0", "0.300 (down, from 60.0 to 70.0)",
    ]  # fmt: skip
    assert rows[0][1].tone == "bad"
    assert rows[1][1].tone == "muted"


def test_hostile_names_are_shown_as_they_are_and_what_was_not_reached_is_listed() -> None:
    """The page holds the text, and no element of it."""
    blocks = robustness(record(
        ladders=(ladder("noise", [0.01] * 5),), unreached=(f"missing in {HOSTILE!r}",)
    ))  # fmt: skip
    source = render(Page("record", "t", sections=(Section("robustness", "Robustness", blocks),)))
    assert "<b>'a'" not in source
    assert "Not reached (1)" in source
    assert source.count("<svg") >= 2
