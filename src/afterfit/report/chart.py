"""Drawings as inline SVG: declared with Altair, drawn by vl-convert, coloured by the page's CSS.

The first drawing of a process costs about two seconds of imports, each later one some hundredths.
Equal drawings are drawn once. Colours leave here as classes (``f-…`` for fills, ``s-…`` for
strokes), so that one SVG is readable in light and in dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from afterfit.core.metric import in_percent
from afterfit.report import number
from afterfit.report.chart_theme import theme
from afterfit.report.page import (
    Bars,
    Drawing,
    Front,
    Heat,
    Histogram,
    Intervals,
    Line,
    Lines,
    Quantiles,
    Stacked,
    Tornado,
)
from afterfit.report.printable import clipped_values
from afterfit.report.svg import COLOURS, SERIES, clean

WIDTH = 450
ROW_HEIGHT = 18
SMALL_SQUARE = 240
TICKS = 5  # more labels than this would run into one another on a short axis
_QUANTILE_LABELS = {0.5: "50 %", 0.9: "90 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}


@lru_cache(maxsize=1024)
def svg(drawing: Drawing, title: str, description: str) -> str:
    """Return a drawing as an SVG element with its title and description; safe to put in a page."""
    import vl_convert
    from altair.utils.schemapi import debug_mode

    from afterfit.report.chart_money import stacked, tornado

    builders: dict[type[Any], Callable[[Any], Any]] = {
        Intervals: _intervals,
        Heat: _heat,
        Lines: _lines,
        Histogram: _histogram,
        Bars: _bars,
        Quantiles: _quantiles,
        Front: _front,
        Stacked: stacked,
        Tornado: tornado,
    }
    # Altair checks each part against a schema: half a second a page, of drawings that tests check.
    with debug_mode(False):
        chart = builders[type(drawing)](drawing).configure(**theme())
        declared = chart.to_dict(validate=False)
    # vl-convert ends the process when a label holds a control character.
    source = vl_convert.vegalite_to_svg(clipped_values(declared))
    return clean(source, title, description)


def _data(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.InlineData(values=rows)


def _colour(names: list[str], colours: list[str], *, legend: bool = True) -> Any:
    import altair as alt

    scale = alt.Scale(domain=names, range=colours)
    shown: dict[str, Any] = {} if legend else {"legend": None}
    return alt.Color("series:N", scale=scale, sort=names, title=None, **shown)


def _intervals(drawing: Intervals) -> Any:
    import altair as alt

    series = list(dict.fromkeys(item.series for item in drawing.ranges))
    labels = list(dict.fromkeys(item.label for item in drawing.ranges))
    rows = [
        {
            "label": item.label,
            "series": item.series,
            "value": item.value,
            "low": item.low,
            "high": item.high,
            "say": f"{item.label}, {item.series}: {number.plain(item.value)} "
            f"({number.plain(item.low)} to {number.plain(item.high)})",
        }
        for item in drawing.ranges
    ]
    axis = alt.Axis(grid=True, ticks=False, labelExpr=_TWO_LINES)
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("label:N", sort=labels, title=None, axis=axis),
        yOffset=alt.YOffset("series:N", sort=series, scale=alt.Scale(paddingOuter=0.6)),
        color=_colour(series, _series_colours(series), legend=len(series) > 1),
        description="say:N",
    )
    x = alt.Scale(zero=False, nice=True)
    bars = base.mark_rule(strokeWidth=2.5, strokeCap="round").encode(
        x=alt.X("low:Q", scale=x, title=drawing.x_title or None, axis=alt.Axis(tickCount=TICKS)),
        x2="high:Q",
    )
    dots = base.mark_point(size=64, filled=True, opacity=1).encode(x="value:Q")
    step = max(28, ROW_HEIGHT * len(series))
    return (bars + dots).properties(width=WIDTH - 130, height=step * len(labels))


# The name of a slice has two parts, which are too long for one line.
_TWO_LINES = r"split(replace(datum.label, ' and ', ' and\n'), '\n')"
_PARTS = r"split(replace(datum.label, ', ', ',\n'), '\n')"


def _series_colours(series: list[str]) -> list[str]:
    """Return the accent for what is judged, and other colours for what it is compared with."""
    others = [COLOURS["reference"], COLOURS["series4"], COLOURS["series5"]]
    known = {
        "held out": COLOURS["accent"],
        "in the slice": COLOURS["accent"],
        "cross-validation": COLOURS["series3"],
    }
    if not known.keys() & set(series):
        return [(SERIES * len(series))[place] for place in range(len(series))]
    spare = iter(others * len(series))
    return [known.get(name) or next(spare) for name in series]


# From this share on, a cell is so dark that its number is light. Shades between the two would be
# too near to both colours of the numbers, in light or in dark, and are left out.
_MOST = 0.55


def _heat(drawing: Heat) -> Any:
    import altair as alt

    labels = _distinct(drawing.labels)
    rows = []
    for label, counts in zip(labels, drawing.counts, strict=True):
        total = sum(counts) or 1
        for decided, value in zip(labels, counts, strict=True):
            share = value / total
            rows_told = f"{number.plural(value, 'row')} ({in_percent(share, 1)})"
            say = f"true {label}, decided {decided}: {rows_told}"
            text = number.count(value) if len(labels) <= 12 else ""
            rows.append({"t": label, "d": decided, "share": share, "text": text, "say": say})
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("d:N", sort=labels, title="decided", axis=alt.Axis(orient="top", **_TIDY)),
        y=alt.Y("t:N", sort=labels, title="true", axis=alt.Axis(**_TIDY)),
        description="say:N",
    )
    shades = alt.Scale(domain=[0, _MOST, _MOST, 1], range=[0.06, 0.55, 0.9, 1])
    opacity = alt.Opacity("share:Q", legend=None, scale=shades)
    cells = base.mark_rect(color=COLOURS["accent"]).encode(opacity=opacity)
    strong = alt.condition(
        f"datum.share >= {_MOST}", alt.value(COLOURS["on-accent"]), alt.value(COLOURS["ink"])
    )
    words = base.mark_text(fontSize=13).encode(text="text:N", color=strong)
    side = min(WIDTH - 90, max(170, 44 * len(labels)))
    return (cells + words).properties(width=side, height=side * 0.8)


_TIDY: dict[str, Any] = {
    "labelAngle": 0,
    "domain": False,
    "ticks": False,
    "labelLimit": 90,
    "grid": False,
}


def _distinct(names: tuple[str, ...]) -> list[str]:
    """Return names told apart: 1 and "1" are two classes but would be one row of a chart."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result


def _lines(drawing: Lines) -> Any:
    import altair as alt

    names = _distinct(tuple(line.name for line in drawing.lines))
    rows = [
        {"series": name, "order": place, "x": x, "y": y}
        for name, line in zip(names, drawing.lines, strict=True)
        for place, (x, y) in enumerate(zip(line.x, line.y, strict=True))
    ]
    colours, dashes = _line_looks(drawing)
    scale = alt.Scale(domain=[0, 1]) if drawing.unit_square else alt.Scale(zero=False)
    upright = alt.Scale(type="log") if drawing.log_y else scale
    base = alt.Chart(_data(rows)).mark_line(strokeWidth=2, clip=True)
    dash = alt.StrokeDash(
        "series:N", title=None, sort=names, scale=alt.Scale(domain=names, range=dashes)
    )
    chart = base.encode(
        x=alt.X("x:Q", title=drawing.x_title, scale=scale, axis=alt.Axis(tickCount=5)),
        y=alt.Y("y:Q", title=drawing.y_title, scale=upright, axis=alt.Axis(tickCount=5)),
        order="order:Q",
        color=_colour(names, colours, legend=len(names) > 1),
        **({"strokeDash": dash} if len(names) > 1 else {}),
    )
    bands = [
        _band(line, colour, scale)
        for line, colour in zip(drawing.lines, colours, strict=True)
        if line.low
    ]
    whole = alt.layer(*bands, chart) if bands else chart
    return whole.properties(width=WIDTH - 100, height=SMALL_SQUARE)


def _band(line: Line, colour: str, scale: Any) -> Any:
    import altair as alt

    rows = [
        {"x": x, "low": low, "high": high}
        for x, low, high in zip(line.x, line.low, line.high, strict=True)
    ]
    mark = alt.Chart(_data(rows)).mark_area(color=colour, fillOpacity=0.16, clip=True)
    return mark.encode(x=alt.X("x:Q", scale=scale), y=alt.Y("low:Q", scale=scale), y2="high:Q")


def _line_looks(drawing: Lines) -> tuple[list[str], list[list[int]]]:
    colours, dashes, used = [], [], 0
    for line in drawing.lines:
        if line.reference:
            colours.append(COLOURS["reference"])
            dashes.append([4, 4])
        else:
            colours.append(SERIES[used % len(SERIES)])
            dashes.append([1, 0])
            used += 1
    return colours, dashes


def _histogram(drawing: Histogram) -> Any:
    return _binned(drawing) if drawing.edges else _categories(drawing)


_SAMPLES = ["reference", "live"]
_SAMPLE_COLOURS = [COLOURS["reference"], COLOURS["accent"]]


def _binned(drawing: Histogram) -> Any:
    import altair as alt

    rows = []
    for series, shares in zip(_SAMPLES, (drawing.reference, drawing.live), strict=True):
        for place, share in enumerate(shares):
            low, high = drawing.edges[place], drawing.edges[place + 1]
            height = share / (high - low) if high > low else 0.0
            rows.append({"series": series, "x": low, "y": height})
        rows.append({"series": series, "x": drawing.edges[-1], "y": 0.0})
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("x:Q", title=drawing.title, scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("y:Q", title=None, axis=None, stack=None),
        color=_colour(_SAMPLES, _SAMPLE_COLOURS),
    )
    mark = base.mark_area(interpolate="step-after", line={"strokeWidth": 2}, fillOpacity=0.16)
    return mark.properties(width=WIDTH - 60, height=150)


def _categories(drawing: Histogram) -> Any:
    import altair as alt

    labels = _distinct(drawing.labels)
    rows = [
        {"series": series, "label": label, "share": share,
         "say": f"{label}: {in_percent(share, 1)} {series}"}
        for series, shares in zip(_SAMPLES, (drawing.reference, drawing.live), strict=True)
        for label, share in zip(labels, shares, strict=True)
    ]  # fmt: skip
    chart = alt.Chart(_data(rows)).mark_bar(cornerRadiusEnd=2)
    return chart.encode(
        y=alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(ticks=False)),
        yOffset=alt.YOffset("series:N", sort=_SAMPLES),
        x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="~%", tickCount=4)),
        color=_colour(_SAMPLES, _SAMPLE_COLOURS),
        description="say:N",
    ).properties(width=WIDTH - 130, height=26 * len(labels))


def _bars(drawing: Bars) -> Any:
    import altair as alt

    names = _distinct(drawing.names)
    rows = [
        {
            "name": name,
            "value": value,
            "text": number.plain(value),
            "series": "chosen" if drawing.chosen in {raw, ""} else "other",
            "say": f"{name}: {number.plain(value)} {drawing.x_title}",
        }
        for raw, name, value in zip(drawing.names, names, drawing.values, strict=True)
    ]
    colours = [COLOURS["accent"], COLOURS["reference"]]
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False, labelExpr=_PARTS)),
        x=alt.X("value:Q", title=drawing.x_title, axis=alt.Axis(tickCount=4)),
        description="say:N",
    )
    bars = base.mark_bar(cornerRadiusEnd=3, height=16).encode(
        color=_colour(["chosen", "other"], colours, legend=False)
    )
    words = base.mark_text(align="left", dx=6, color=COLOURS["ink"], fontSize=12).encode(
        text="text:N"
    )
    return (bars + words).properties(width=WIDTH - 150, height=30 * len(names))


def _quantiles(drawing: Quantiles) -> Any:
    import altair as alt

    points = [(q, ms) for q, ms in drawing.points if q < 1]
    rows = [{"x": -math.log10(1 - q), "y": ms, "order": i} for i, (q, ms) in enumerate(points)]
    top = max((row["x"] for row in rows), default=1.0)
    marks = {q: -math.log10(1 - q) for q in _QUANTILE_LABELS if -math.log10(1 - q) <= top + 0.05}
    names = " : ".join(
        f"abs(datum.value - {place:.6f}) < 0.01 ? '{_QUANTILE_LABELS[q]}'"
        for q, place in marks.items()
    )
    axis = alt.Axis(values=list(marks.values()), labelExpr=f"{names} : ''" if names else "''")
    chart = alt.Chart(_data(rows)).mark_line(
        strokeWidth=2, color=COLOURS["accent"], interpolate="monotone"
    )
    return chart.encode(
        x=alt.X("x:Q", title="share of requests answered within", axis=axis),
        y=alt.Y("y:Q", title="latency, ms", axis=alt.Axis(tickCount=5)),
        order="order:Q",
    ).properties(width=WIDTH - 70, height=200)


def _decades(values: list[float]) -> list[float] | None:
    """Return where a logarithmic axis has marks, as many as have room; None for its own choice."""
    least, most = min(values), max(values)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    steps = (1, 2, 5) if high - low <= 2 else (1, 3) if high - low <= 4 else (1,)
    marks = [step * 10.0**decade for decade in range(low, high + 1) for step in steps]
    within = [mark for mark in marks if least <= mark <= most]
    return within if len(within) > 1 else None


def _front(drawing: Front) -> Any:
    import altair as alt

    series = list(dict.fromkeys(dot.series for dot in drawing.dots))
    rows = [
        {
            "x": dot.x,
            "y": dot.y,
            "series": dot.series,
            "label": dot.label,
            "say": f"{dot.name}: {number.plain(dot.x)} {drawing.x_title}, "
            f"{number.plain(dot.y)} {drawing.y_title}",
        }
        for dot in drawing.dots
    ]
    marks = _decades([dot.x for dot in drawing.dots])
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "x:Q",
            title=drawing.x_title,
            scale=alt.Scale(type="log", nice=False, padding=24),
            axis=alt.Axis() if marks is None else alt.Axis(values=marks),
        ),
        y=alt.Y("y:Q", title=drawing.y_title, axis=alt.Axis(tickCount=5)),
        description="say:N",
    )
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(color=_colour(series, SERIES))
    words = base.mark_text(align="left", dx=8, dy=-7, color=COLOURS["ink"], fontSize=12).encode(
        text="label:N"
    )
    return (dots + words).properties(width=WIDTH - 70, height=220)
