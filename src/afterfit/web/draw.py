"""Drawings of the dashboard as SVG, made in well under a millisecond each.

Reports draw with Vega, whose first drawing costs seconds and each later one tens of milliseconds:
too much for a page that is made anew every few seconds. Elements are made as a tree, so that no
name becomes markup; colours are the classes of the reports' style sheet.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from afterfit.core.digest import sha256_bytes
from afterfit.core.metric import in_percent
from afterfit.report import number
from afterfit.report.printable import clipped
from afterfit.web.canvas import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Canvas,
    marked,
    path_of,
)

__all__ = ["Curve", "Drawing", "Heat", "Numbers", "Other", "OverTime", "Shares", "svg"]

LEAST_SPAN = 0.1  # of the greatest value: a plot spans at least so much
LABEL = 22  # letters of a category that have room beside its bars
_STEPS_S = (60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
_AGES = ((1, "1 h"), (6, "6 h"), (24, "1 d"), (168, "1 w"), (720, "30 d"), (4320, "180 d"))
Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Other:
    """A second line over the same windows, with its bounds and its name."""

    name: str
    value: Numbers
    low: Numbers
    high: Numbers


@dataclass(frozen=True)
class OverTime:
    """A signal over windows: ``at`` is the middle of each, in µs since 1970.

    ``low`` and ``high`` bound ``value``; ``threshold`` and ``usual`` are what it is compared with.
    ``alarm`` says of each window whether it was one. None is a gap. ``other`` is a second line, and
    ``name`` then what the first is called.
    """

    at: tuple[float, ...]
    value: Numbers
    low: Numbers
    high: Numbers
    threshold: Numbers
    usual: Numbers
    alarm: tuple[bool, ...]
    y_title: str
    other: Other | None = None
    name: str = "value"
    kind: str = field(default="over_time", init=False)


@dataclass(frozen=True)
class Heat:
    """Counts by window (``starts``, ``end``, µs) and by bin of ``edges`` (one more than bins)."""

    starts: tuple[float, ...]
    end: float
    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    y_title: str
    kind: str = field(default="heat_over_time", init=False)


@dataclass(frozen=True)
class Shares:
    """Shares of two samples by bin: between inner ``edges``, or of named ``labels``."""

    before: tuple[float, ...]
    after: tuple[float, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    kind: str = field(default="shares", init=False)


@dataclass(frozen=True)
class Curve:
    """A share by age in hours, with its bounds, on a logarithmic axis of ages."""

    hours: tuple[float, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    y_title: str
    kind: str = field(default="curve", init=False)


Drawing = OverTime | Heat | Shares | Curve


def svg(drawing: Drawing, title: str, description: str) -> str:
    """Return a drawing as an SVG element with its title and description; safe to put in a page."""
    words = f"{drawing!r}\0{title}\0{description}".encode(errors="replace")
    canvas = Canvas("d" + sha256_bytes(words)[:10], title, description)
    if isinstance(drawing, OverTime):
        _over_time(canvas, drawing)
    elif isinstance(drawing, Heat):
        _heat(canvas, drawing)
    elif isinstance(drawing, Curve):
        _curve(canvas, drawing)
    elif drawing.labels:
        _categories(canvas, drawing)
    else:
        _bins(canvas, drawing)
    return canvas.text()


def _over_time(canvas: Canvas, told: OverTime) -> None:
    seen = [
        v
        for part in (told.value, told.low, told.high, told.threshold, told.usual, *_sides(told))
        for v in _known(part)
    ]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    # What hardly moves shall not look as if it did.
    pad = max((high - low) * 0.06, (LEAST_SPAN * max(abs(low), abs(high)) - (high - low)) / 2)
    down = Axis(low - pad, high + pad, HEIGHT - BOTTOM, TOP)
    across = Axis(min(told.at, default=0.0), max(told.at, default=1.0), LEFT, WIDTH - RIGHT)
    _grid(canvas, down)
    _times(canvas, across, HEIGHT - BOTTOM)
    canvas.word(told.y_title, 0, 12)
    places = [across(at) for at in told.at]
    if told.other is not None:
        _band(canvas, places, told.other.low, told.other.high, down, "series3")
        for run in _runs(places, told.other.value):
            canvas.line([(x, down(value)) for x, value in run], "series3", 2.0)
    _band(canvas, places, told.low, told.high, down, "accent")
    for values, ink, width, dash in (
        (told.usual, "reference", 1.5, ""),
        (told.threshold, "series4", 1.5, "5 4"),
        (told.value, "accent", 2.0, ""),
    ):
        for run in _runs(places, values):
            canvas.line([(x, down(value)) for x, value in run], ink, width, dash)
    for x, value, is_alarm, at in zip(places, told.value, told.alarm, told.at, strict=True):
        if is_alarm and value is not None:
            dot = canvas.add("circle", cx=x, cy=down(value), r=4, class_="f-alarm")
            ET.SubElement(dot, "title").text = f"alarm: {number.plain(value)} at {_day_time(at)}"
    _legend(canvas, told)


def _sides(told: OverTime) -> tuple[Numbers, ...]:
    other = told.other
    return () if other is None else (other.value, other.low, other.high)


def _band(
    canvas: Canvas, places: list[float], low: Numbers, high: Numbers, down: Axis, ink: str
) -> None:
    for band in _runs(places, low, high):
        up = [(x, down(above)) for x, _, above in band]
        back = [(x, down(below)) for x, below, _ in reversed(band)]
        canvas.add("path", d=path_of(up + back) + "Z", fill_opacity="0.16", class_=f"f-{ink}")


def _curve(canvas: Canvas, told: Curve) -> None:
    """Draw a share by age; ages are marked at hours, days, weeks and months."""
    down = Axis(0.0, max([*told.high, 1e-9]), HEIGHT - BOTTOM, TOP)
    logs = [math.log10(hours) for hours in told.hours]
    across = Axis(logs[0], logs[-1], LEFT, WIDTH - RIGHT)
    _grid(canvas, down)
    canvas.word(told.y_title, 0, 12)
    for hours, word in _AGES:
        if told.hours[0] <= hours <= told.hours[-1]:
            canvas.word(word, across(math.log10(hours)), HEIGHT - BOTTOM + 18, "middle")
    places = [across(each) for each in logs]
    _band(canvas, places, told.low, told.high, down, "accent")
    canvas.line([(x, down(v)) for x, v in zip(places, told.value, strict=True)], "accent")


def _legend(canvas: Canvas, told: OverTime) -> None:
    """Name the lines that are there, at the right of the title of the axis."""
    named = [("accent", told.name), ("series4", "threshold"), ("reference", "usual")]
    there = [told.value, told.threshold, told.usual]
    if told.other is not None:
        named.insert(1, ("series3", told.other.name))
        there.insert(1, told.other.value)
    x = float(WIDTH - RIGHT)
    shown = [pair for pair, values in zip(named, there, strict=True) if _known(values)]
    if any(told.alarm):
        shown.append(("alarm", "alarm"))
    for ink, word in reversed(shown):
        canvas.word(word, x, 12, "end", "ink")
        x -= 8.2 * len(word) + 14
        if ink == "alarm":
            canvas.add("circle", cx=x + 4, cy=8, r=4, class_="f-alarm")
        else:
            dash = "4 3" if ink == "series4" else ""
            canvas.line([(x - 6, 8), (x + 8, 8)], ink, 2.5, dash)
        x -= 18


def _heat(canvas: Canvas, told: Heat) -> None:
    """Draw a column a window, darker where more of its requests are; decades on the left."""
    logs = [math.log10(max(edge, 1e-3)) for edge in told.edges]
    down = Axis(logs[0], logs[-1], HEIGHT - BOTTOM, TOP)
    across = Axis(told.starts[0] if told.starts else 0.0, told.end, LEFT, WIDTH - RIGHT)
    ends = [*told.starts[1:], told.end]
    for start, end, counts in zip(told.starts, ends, told.counts, strict=True):
        total = sum(counts)
        for place, count in enumerate(counts):
            if not count:
                continue
            x, y = across(start), down(logs[place + 1])
            share = count / total
            box = canvas.add(
                "rect",
                x=x,
                y=y,
                width=max(0.6, across(end) - x - 0.4),
                height=down(logs[place]) - y,
                fill_opacity=f"{0.1 + 0.9 * math.sqrt(share):.2f}",
                class_="f-accent",
            )
            between = (
                f"{number.plain(told.edges[place])} to {number.plain(told.edges[place + 1])} ms"
            )
            ET.SubElement(
                box, "title"
            ).text = (
                f"{_day_time(start)}: {in_percent(share, 1)} of {number.count(total)} in {between}"
            )
    for decade in range(math.ceil(logs[0]), math.floor(logs[-1]) + 1):
        canvas.line([(LEFT, down(decade)), (WIDTH - RIGHT, down(decade))], "grid", 1)
        canvas.word(f"{10.0**decade:g}", LEFT - 7, down(decade) + 4, "end")
    _times(canvas, across, HEIGHT - BOTTOM)
    canvas.word(told.y_title, 0, 12)


def _bins(canvas: Canvas, told: Shares) -> None:
    """Draw both samples as steps: height is share by width, so that areas are shares."""
    canvas.height = 150
    edges = _closed(told.edges)
    widths = [high - low for low, high in itertools.pairwise(edges)]
    tall = [
        [share / width if width > 0 else 0.0 for share, width in zip(sample, widths, strict=True)]
        for sample in (told.before, told.after)
    ]
    across = Axis(edges[0], edges[-1], 8, WIDTH - RIGHT)
    down = Axis(0, max([*tall[0], *tall[1], 1e-12]), canvas.height - BOTTOM, TOP)
    for heights, ink in zip(tall, ("reference", "accent"), strict=True):
        points = [(across(edges[0]), down(0))]
        for place, height in enumerate(heights):
            points += [
                (across(edges[place]), down(height)),
                (across(edges[place + 1]), down(height)),
            ]
        points.append((across(edges[-1]), down(0)))
        canvas.add("path", d=path_of(points) + "Z", fill_opacity="0.16", class_=f"f-{ink}")
        canvas.line(points, ink, 1.8)
    for value, word in marked(edges[0], edges[-1], 5):
        canvas.word(word, across(value), canvas.height - 8, "middle")
    _samples(canvas)


def _categories(canvas: Canvas, told: Shares) -> None:
    canvas.height = TOP + 30 * len(told.labels) + 22
    across = Axis(0, max([*told.before, *told.after, 1e-12]), 170, WIDTH - 54)
    for place, label in enumerate(told.labels):
        y = TOP + 30 * place
        canvas.word(clipped(label, LABEL), 162, y + 17, "end", "ink")
        for offset, share, ink in (
            (0, told.before[place], "reference"),
            (12, told.after[place], "accent"),
        ):
            width = max(0.5, across(share) - 170)
            canvas.add("rect", x=170, y=y + offset, width=width, height=10, rx=2, class_=f"f-{ink}")
            canvas.word(in_percent(share, 1), 176 + width, y + offset + 9)
    _samples(canvas)


def _samples(canvas: Canvas) -> None:
    for x, ink, word in ((8, "reference", "reference"), (110, "accent", "window")):
        canvas.add("rect", x=x, y=2, width=12, height=10, rx=2, class_=f"f-{ink}")
        canvas.word(word, x + 18, 12, "start", "ink")


def _grid(canvas: Canvas, down: Axis) -> None:
    for mark, word in marked(down.low, down.high, 5):
        canvas.line([(LEFT, down(mark)), (WIDTH - RIGHT, down(mark))], "grid", 1)
        canvas.word(word, LEFT - 7, down(mark) + 4, "end")


def _times(canvas: Canvas, across: Axis, y: float) -> None:
    """Write at most five moments below, at whole minutes, hours or days of UTC."""
    span = (across.high - across.low) / 1e6
    step = next((s for s in _STEPS_S if span / s <= 5), _STEPS_S[-1])
    first = math.ceil(across.low / 1e6 / step) * step
    for place in range(6):
        at = (first + place * step) * 1e6
        if at > across.high:
            break
        form = "%m-%d" if step >= 86_400 else "%H:%M"
        if step < 86_400 and span > 86_400:
            form = "%m-%d %H:%M"
        x = across(at)
        canvas.line([(x, y), (x, y + 4)], "grid", 1)
        canvas.word(
            f"{datetime.fromtimestamp(at / 1e6, UTC):{form}}",
            min(max(x, LEFT), WIDTH - 40),
            y + 18,
            "middle",
        )


def _closed(edges: tuple[float, ...]) -> list[float]:
    """Return edges with ends: the open bins are as wide as their neighbours."""
    if not edges:
        return [0.0, 1.0]
    if len(edges) == 1:
        return [edges[0] - 1, edges[0], edges[0] + 1]
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    return [edges[0] - width, *edges, edges[-1] + width]


def _known(values: Numbers) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _runs(places: Sequence[float], *columns: Numbers) -> list[list[tuple[float, ...]]]:
    """Return stretches of (place, value …) without a gap."""
    runs: list[list[tuple[float, ...]]] = [[]]
    for x, *values in zip(places, *columns, strict=True):
        found = _known(tuple(values))
        if len(found) == len(columns):
            runs[-1].append((x, *found))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _day_time(at: float) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%m-%d %H:%M UTC")
