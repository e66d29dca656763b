"""Drawings of a decision: costs in parts, and what moves the lead of a choice."""

from __future__ import annotations

from typing import Any

from afterfit.report import number
from afterfit.report.page import Stacked, Tornado
from afterfit.report.svg import COLOURS, SERIES

__all__ = ["stacked", "tornado"]

WIDTH = 300
BAR, STEP = 16, 30
_TWO_LINES = r"split(replace(datum.label, ', ', ',\n'), '\n')"


def stacked(drawing: Stacked) -> Any:
    """Return the chart of costs in parts, each with its sum at its end."""
    import altair as alt

    parts = [name for name, _ in drawing.parts]
    rows = [
        {
            "name": name, "part": part, "value": amounts[place], "order": order,
            "say": f"{name}, {part}: {number.plain(amounts[place])} {drawing.x_title}",
        }
        for place, name in enumerate(drawing.names)
        for order, (part, amounts) in enumerate(drawing.parts)
    ]  # fmt: skip
    totals = [sum(column) for column in zip(*(told for _, told in drawing.parts), strict=True)]
    sums = [
        {"name": name, "sum": total, "text": number.plain(total)}
        for name, total in zip(drawing.names, totals, strict=True)
    ]
    y = alt.Y("name:N", sort=list(drawing.names), title=None, axis=_names())
    colours = alt.Scale(domain=parts, range=SERIES[: len(parts)])
    most = max(totals, default=1.0) or 1.0
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=BAR)
        .encode(
            y=y,
            x=alt.X(
                "value:Q",
                title=drawing.x_title,
                axis=alt.Axis(tickCount=4),
                scale=alt.Scale(domain=[0, most * 1.12], nice=False),
            ),
            order="order:Q",
            color=alt.Color("part:N", scale=colours, sort=parts, title=None),
            description="say:N",
        )
    )
    words = (
        alt.Chart(alt.InlineData(values=sums))
        .mark_text(align="left", dx=6, color=COLOURS["ink"], fontSize=12)
        .encode(y=y, x="sum:Q", text="text:N")
    )
    return (bars + words).properties(width=WIDTH, height=(STEP + 4) * len(drawing.names))


def _names() -> Any:
    import altair as alt

    return alt.Axis(ticks=False, labelExpr=_TWO_LINES, labelLimit=200)


def tornado(drawing: Tornado) -> Any:
    """Return the chart of swings; a rule marks 0, where the choice would lose its lead."""
    import altair as alt

    names = [swing.name for swing in drawing.swings]
    rows = [
        {
            "name": swing.name, "end": end, "from": drawing.now, "to": value, "text": what,
            "left": value < drawing.now,
            "say": f"{swing.name} {what}: {number.plain(value)} {drawing.x_title}",
        }
        for swing in drawing.swings
        for end, value, what in (
            ("at the low end", swing.low, swing.at_low),
            ("at the high end", swing.high, swing.at_high),
        )
    ]  # fmt: skip
    ends = ["at the low end", "at the high end"]
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False))
    scale = alt.Scale(domain=ends, range=[COLOURS["reference"], COLOURS["accent"]])
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=12)
        .encode(
            y=y,
            yOffset=alt.YOffset("end:N", sort=ends),
            x=alt.X("from:Q", title=drawing.x_title, axis=alt.Axis(tickCount=5)),
            x2="to:Q",
            color=alt.Color("end:N", scale=scale, sort=ends, title=None),
            description="say:N",
        )
    )
    marks = [(drawing.now, [1, 0]), (0.0, [4, 4])]
    rules = [
        alt.Chart(alt.InlineData(values=[{"at": at}]))
        .mark_rule(color=COLOURS["ink"], strokeDash=dash)
        .encode(x="at:Q")
        for at, dash in marks
    ]
    return alt.layer(bars, *rules).properties(width=WIDTH, height=34 * len(names))
