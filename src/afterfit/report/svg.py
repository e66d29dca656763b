"""Makes the SVG that Vega draws small, safe to put in a page, and coloured by the page's CSS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from afterfit.core.digest import sha256_bytes
from afterfit.report.printable import clipped

# Each colour is drawn as a hexadecimal that nothing else uses, then becomes a class.
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "accent": "#040404",
    "reference": "#050505",
    "series3": "#060606",
    "series4": "#070707",
    "series5": "#080808",
    "on-accent": "#090909",
}
SERIES = [COLOURS[name] for name in ("accent", "reference", "series3", "series4", "series5")]

_NAMES = {colour: name for name, colour in COLOURS.items()}
_KEPT = frozenset(
    "svg g path rect line text tspan circle defs clipPath title desc".split()  # noqa: SIM905
)
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_SPOKEN = {"point", "rect mark", "bar"}


def clean(source: str, title: str, description: str) -> str:
    """Return an SVG element without colours, fonts, scripts or links, with a title and a text.

    Only shapes and words survive. A mark that Vega described keeps the description as a title,
    which browsers show when the pointer rests on it.
    """
    root = ET.fromstring(source)  # noqa: S314 - our own renderer wrote it a moment ago
    prefix = "c" + sha256_bytes(f"{source}\0{title}\0{description}".encode(errors="replace"))[:8]
    _strip(root)
    for element in root.iter():
        _tidy(element, prefix)
    _name(root, title, description, prefix)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _strip(element: ET.Element) -> None:
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        child_tag = str(child.tag).rpartition("}")[2]
        if child_tag not in _KEPT:
            element.remove(child)
        else:
            _strip(child)


def _tidy(element: ET.Element, prefix: str) -> None:
    attributes = element.attrib
    spoken = attributes.get("aria-roledescription") in _SPOKEN and attributes.get("aria-label")
    classes = list(_classes(attributes))
    for name in list(attributes):
        if name.startswith(("aria-", "on", "{")) or name in _DROPPED:
            del attributes[name]
        elif "url(#" in attributes[name]:
            attributes[name] = attributes[name].replace("url(#", f"url(#{prefix}-")
        elif name in _GEOMETRY:
            attributes[name] = _NUMBER.sub(_short, attributes[name])
    if "id" in attributes:
        attributes["id"] = f"{prefix}-{attributes['id']}"
    if classes:
        attributes["class"] = " ".join(classes)
    if spoken:
        ET.SubElement(element, "title").text = spoken


_GEOMETRY = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height"}
_DROPPED = {"class", "role", "font-family", "pointer-events", "style", "href", "cursor", "version"}


def _classes(attributes: dict[str, str]) -> Iterator[str]:
    for name, letter in (("fill", "f"), ("stroke", "s")):
        colour = _NAMES.get(attributes.get(name, ""))
        if colour:
            del attributes[name]
            yield f"{letter}-{colour}"


def _short(match: re.Match[str]) -> str:
    return f"{float(match.group()):.1f}".removesuffix(".0")


def _name(root: ET.Element, title: str, description: str, prefix: str) -> None:
    width = root.attrib.pop("width", "400")
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}-title {prefix}-desc")
    root.set("width", width)
    words = ET.Element("title", id=f"{prefix}-title")
    words.text = clipped(title)
    more = ET.Element("desc", id=f"{prefix}-desc")
    more.text = clipped(description)
    root.insert(0, words)
    root.insert(1, more)
