"""What drawings are made on: an SVG element that grows, and the scales of its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from afterfit.report import number
from afterfit.report.printable import clipped

__all__ = [
    "BOTTOM",
    "HEIGHT",
    "LEFT",
    "RIGHT",
    "TOP",
    "WIDTH",
    "Axis",
    "Canvas",
    "marked",
    "path_of",
    "short",
]

WIDTH, HEIGHT = 480, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 26


class Canvas:
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
            name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else short(value)
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
                "path",
                d=path_of(points),
                fill="none",
                stroke_width=width,
                class_=f"s-{ink}",
                **more,
            )

    def text(self) -> str:
        """Return the element as text."""
        self.root.set("viewBox", f"0 0 {WIDTH} {short(self.height)}")
        return ET.tostring(self.root, encoding="unicode", short_empty_elements=True)


class Axis:
    """A linear scale from values to places."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        """Return where a value is."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def marked(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Return round numbers between two, with as many decimals as their step has."""
    marks, step = _nice(low, high, most)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(round(step * 10**places) - step * 10**places) > 1e-6:
        places += 1  # a step of 2.5
    # Beyond a few decimals each is written as short as it can be.
    return [(m, number.plain(m, places=places) if places <= 4 else f"{m:.3g}") for m in marks]


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


def path_of(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through some points."""
    return "M" + "L".join(f"{short(x)},{short(y)}" for x, y in points)


def short(value: object) -> str:
    """Return a number with a decimal at most, and anything else as text."""
    return f"{float(value):.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
