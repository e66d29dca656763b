"""Drawings: safe, small, readable in light and dark, and drawn once."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from afterfit.report import chart
from afterfit.report.page import (
    Bars,
    Dot,
    Drawing,
    Front,
    Heat,
    Histogram,
    Intervals,
    Line,
    Lines,
    Quantiles,
    Range,
)

NASTY = "</text><script>alert(1)</script>&]]>\x00\x1b[31m\u202e\ufffe"

DRAWINGS: list[Drawing] = [
    Intervals((Range(NASTY, "held out", 0.8, 0.7, 0.9), Range("b", "baseline", 0.5, 0.5, 0.5))),
    Heat((NASTY, "yes"), ((90, 3), (5, 20))),
    Heat(("1", "1"), ((90, 3), (5, 20))),
    Lines(
        (Line(NASTY, (0, 1), (0, 1)), Line("chance", (0, 1), (0, 1), reference=True)), "x", NASTY
    ),
    Histogram(NASTY, (0.2, 0.8), (0.5, 0.5), edges=(0, 1, 2)),
    Histogram("t", (0.2, 0.8), (0.5, 0.5), labels=(NASTY, "b")),
    Bars((NASTY, "b"), (1.0, 2.0), "ms", NASTY),
    Front((Dot(NASTY, 40.0, 0.0, "ships", "1"), Dot("b", 9.0, 0.02, "beaten")), "µs", "loss of it"),
    Quantiles(((0.0, 1.0), (0.5, 2.0), (0.99, 9.0), (1.0, 30.0))),
]


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: type(drawing).__name__)
def test_a_drawing_is_clean_xml_without_colours_of_its_own(drawing: Drawing) -> None:
    """Only shapes and words are left, and every colour is a class of the page."""
    source = chart.svg(drawing, NASTY.replace("\x00", "").replace("\x1b", ""), "what it shows")
    root = ET.fromstring(source)  # noqa: S314
    tags = {element.tag for element in root.iter()}
    assert "script" not in tags
    assert tags <= {
        "svg",
        "g",
        "path",
        "rect",
        "line",
        "text",
        "tspan",
        "title",
        "desc",
        "defs",
        "clipPath",
        "circle",
    }
    colours = {e.get(name) for e in root.iter() for name in ("fill", "stroke")}
    assert not [colour for colour in colours if colour and colour.startswith("#0")]
    assert not [e for e in root.iter() if e.get("style") or e.get("href") or e.get("onload")]
    assert len(source) < 40_000


def test_a_drawing_names_itself() -> None:
    """The image is labelled by its title and description."""
    root = ET.fromstring(chart.svg(DRAWINGS[1], "Confusions", "Rows by class"))  # noqa: S314
    texts = {
        element.get("id"): element.text for element in root if element.tag in ("title", "desc")
    }
    labelled = (root.get("aria-labelledby") or "").split()
    assert [texts[name] for name in labelled] == ["Confusions", "Rows by class"]


def test_equal_drawings_are_drawn_once() -> None:
    """The second time comes from memory and is the same text."""
    first = chart.svg(DRAWINGS[6], "a", "b")
    hits = chart.svg.cache_info().hits
    assert chart.svg(DRAWINGS[6], "a", "b") is first
    assert chart.svg.cache_info().hits == hits + 1


def test_classes_of_one_spelling_keep_their_own_cells() -> None:
    """The classes 1 and "1" are two rows of a heat map."""
    source = chart.svg(DRAWINGS[2], "t", "d")
    assert "1 (2)" in source
    assert all(f">{count}<" in source for count in ("90", "3", "5", "20"))
