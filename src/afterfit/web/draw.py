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

__all__ = ["Drawing", "Heat", "OverTime", "Shares", "svg"]

WIDTH, HEIGHT = 480, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 26
LEAST_SPAN = 0.1  # of the greatest value: a plot spans at least so much
LABEL = 22  # letters of a category that have room beside its bars
_STEPS_S = (60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000)
Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class OverTime:
    """A signal over windows: ``at`` is the middle of each, in µs since 1970.

    ``low`` and ``high`` bound ``value``; ``threshold`` and ``usual`` are what it is compared with.
    ``alarm`` says of each window whether it was one. None is a gap.
    """

    at: tuple[float, ...]
    value: Numbers
    low: Numbers
    high: Numbers
    threshold: Numbers
    usual: Numbers
    alarm: tuple[bool, ...]
    y_title: str
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


Drawing = OverTime | Heat | Shares


def svg(drawing: Drawing, title: str, description: str) -> str:
    """Return a drawing as an SVG element with its title and description; safe to put in a page."""
    words = f"{drawing!r}\0{title}\0{description}".encode(errors="replace")
    canvas = _Canvas("d" + sha256_bytes(words)[:10], title, description)
    if isinstance(drawing, OverTime):
        _over_time(canvas, drawing)
    elif isinstance(drawing, Heat):
        _heat(canvas, drawing)
    elif drawing.labels:
        _categories(canvas, drawing)
    else:
        _bins(canvas, drawing)
    return canvas.text()


class _Canvas:
    """An SVG element that grows; all places are in its own units."""

    def __init__(self, name: str, title: str, description: str) -> None:
        self.height = HEIGHT
        self.root = ET.Element("svg", role="img", width=str(WIDTH))
        self.root.set("aria-labelledby", f"{name}-title {name}-desc")
        self.add("title", clipped(title), id=f"{name}-title")
        self.add("desc", clipped(description), id=f"{name}-desc")

    def add(self, tag: str, text: str = "", **attributes: object) -> ET.Element:
        """Return a new child; ``_`` in a name stands for ``-``, and ``class_`` for class."""
        named = {
            name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _short(value)
            for name, value in attributes.items()
        }
        child = ET.SubElement(self.root, tag, named)
        child.text = text or None
        return child

    def word(
        self, text: str, x: float, y: float, anchor: str = "start", ink: str = "muted"
    ) -> None:
        """Write a few words."""
        self.add(
            "text", clipped(text), x=x, y=y, text_anchor=anchor, font_size=12, class_=f"f-{ink}"
        )

    def line(
        self, points: Sequence[tuple[float, float]], ink: str, width: float = 2, dash: str = ""
    ) -> None:
        """Draw a line through points; a single one becomes a dot."""
        if len(points) == 1:
            self.add("circle", cx=points[0][0], cy=points[0][1], r=2.5, class_=f"f-{ink}")
        elif points:
            more = {"stroke_dasharray": dash} if dash else {}
            self.add(
                "path", d=_path(points), fill="none", stroke_width=width, class_=f"s-{ink}", **more
            )

    def text(self) -> str:
        """Return the element as text."""
        self.root.set("viewBox", f"0 0 {WIDTH} {_short(self.height)}")
        return ET.tostring(self.root, encoding="unicode", short_empty_elements=True)


class _Axis:
    """A linear scale from values to places."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _over_time(canvas: _Canvas, told: OverTime) -> None:
    seen = [
        v
        for part in (told.value, told.low, told.high, told.threshold, told.usual)
        for v in _known(part)
    ]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    # What hardly moves shall not look as if it did.
    pad = max((high - low) * 0.06, (LEAST_SPAN * max(abs(low), abs(high)) - (high - low)) / 2)
    down = _Axis(low - pad, high + pad, HEIGHT - BOTTOM, TOP)
    across = _Axis(min(told.at, default=0.0), max(told.at, default=1.0), LEFT, WIDTH - RIGHT)
    _grid(canvas, down)
    _times(canvas, across, HEIGHT - BOTTOM)
    canvas.word(told.y_title, 0, 12)
    places = [across(at) for at in told.at]
    for band in _runs(places, told.low, told.high):
        up = [(x, down(high)) for x, _, high in band]
        back = [(x, down(low)) for x, low, _ in reversed(band)]
        canvas.add("path", d=_path(up + back) + "Z", fill_opacity="0.16", class_="f-accent")
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


def _legend(canvas: _Canvas, told: OverTime) -> None:
    """Name the lines that are there, at the right of the title of the axis."""
    named = [("accent", "value"), ("series4", "threshold"), ("reference", "usual")]
    there = [told.value, told.threshold, told.usual]
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


def _heat(canvas: _Canvas, told: Heat) -> None:
    """Draw a column a window, darker where more of its requests are; decades on the left."""
    logs = [math.log10(max(edge, 1e-3)) for edge in told.edges]
    down = _Axis(logs[0], logs[-1], HEIGHT - BOTTOM, TOP)
    across = _Axis(told.starts[0] if told.starts else 0.0, told.end, LEFT, WIDTH - RIGHT)
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


def _bins(canvas: _Canvas, told: Shares) -> None:
    """Draw both samples as steps: height is share by width, so that areas are shares."""
    canvas.height = 150
    edges = _closed(told.edges)
    widths = [high - low for low, high in itertools.pairwise(edges)]
    tall = [
        [share / width if width > 0 else 0.0 for share, width in zip(sample, widths, strict=True)]
        for sample in (told.before, told.after)
    ]
    across = _Axis(edges[0], edges[-1], 8, WIDTH - RIGHT)
    down = _Axis(0, max([*tall[0], *tall[1], 1e-12]), canvas.height - BOTTOM, TOP)
    for heights, ink in zip(tall, ("reference", "accent"), strict=True):
        points = [(across(edges[0]), down(0))]
        for place, height in enumerate(heights):
            points += [
                (across(edges[place]), down(height)),
                (across(edges[place + 1]), down(height)),
            ]
        points.append((across(edges[-1]), down(0)))
        canvas.add("path", d=_path(points) + "Z", fill_opacity="0.16", class_=f"f-{ink}")
        canvas.line(points, ink, 1.8)
    for value, word in _marked(edges[0], edges[-1], 5):
        canvas.word(word, across(value), canvas.height - 8, "middle")
    _samples(canvas)


def _categories(canvas: _Canvas, told: Shares) -> None:
    canvas.height = TOP + 30 * len(told.labels) + 22
    across = _Axis(0, max([*told.before, *told.after, 1e-12]), 170, WIDTH - 54)
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


def _samples(canvas: _Canvas) -> None:
    for x, ink, word in ((8, "reference", "reference"), (110, "accent", "window")):
        canvas.add("rect", x=x, y=2, width=12, height=10, rx=2, class_=f"f-{ink}")
        canvas.word(word, x + 18, 12, "start", "ink")


def _grid(canvas: _Canvas, down: _Axis) -> None:
    for mark, word in _marked(down.low, down.high, 5):
        canvas.line([(LEFT, down(mark)), (WIDTH - RIGHT, down(mark))], "grid", 1)
        canvas.word(word, LEFT - 7, down(mark) + 4, "end")


def _marked(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return round numbers between two, with as many decimals as their step has."""
    marks, step = _nice(low, high, most)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(round(step * 10**places) - step * 10**places) > 1e-6:
        places += 1  # a step of 2.5
    # Beyond a few decimals each is written as short as it can be.
    return [(m, number.plain(m, places=places) if places <= 4 else f"{m:.3g}") for m in marks]


def _times(canvas: _Canvas, across: _Axis, y: float) -> None:
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


def _nice(low: float, high: float, most: int) -> tuple[list[float], float]:
    """Return at most about ``most`` round numbers between two, and how far apart they are."""
    raw = (high - low) / most
    if not raw > 0 or not math.isfinite(raw):
        return [low], 1.0
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    marks = [round((first + place) * step, 12) for place in range(most + 2)]
    return [mark for mark in marks if mark <= high + 1e-9 * step], step


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


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: object) -> str:
    return f"{float(value):.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def _day_time(at: float) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%m-%d %H:%M UTC")
