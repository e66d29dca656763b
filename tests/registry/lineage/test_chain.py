"""The chain as text and as a drawing, in which no text of a record is markup."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from afterfit.registry.lineage.chain import Chain, Edge, Node, told
from afterfit.registry.lineage.diagram import drawing

HOSTILE = '<script>alert("1")</script>&'
CHAIN = Chain(
    name="churn",
    number=3,
    digest="d" * 64,
    nodes=(
        Node(kind="data", title=HOSTILE, digest="a" * 64, facts={"remote": HOSTILE, "stage": ""}),
        Node(kind="code", title="commit of main", digest="c" * 40, doubt="it had changes"),
        Node(kind="model", title="the trained model", digest="b" * 64),
        Node(kind="bundle", title="churn@3", digest="d" * 64),
    ),
    edges=(Edge(0, 2), Edge(1, 2), Edge(2, 3)),
)


def test_the_text_goes_from_data_to_the_version() -> None:
    """In the order of the layers, doubts included; facts that are empty are left out."""
    lines = told(CHAIN).splitlines()
    assert lines[0] == "churn@3 (sha256:dddddddddddd)"
    words = ("data", "code", "model", "version")
    order = [line.split()[0] for line in lines[1:] if line.split()[0] in words]
    assert order == ["data", "code", "model", "version"]
    assert "            ! it had changes" in lines
    assert not any("stage" in line for line in lines)
    assert lines[-1].strip() != "↓"


def test_the_drawing_is_whole_and_escapes_every_text() -> None:
    """A box a node, a line an edge, inside of the picture; a doubt is dashed."""
    root = ET.fromstring(drawing(CHAIN))  # noqa: S314 - made a line before
    boxes, lines = root.findall("g/rect"), root.findall("path")
    assert (len(boxes), len(lines)) == (4, 3)
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    for box in boxes:
        x, y, w, h = (float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height
    assert [g.attrib["class"] for g in root.findall("g")] == [
        "data",
        "code doubt",
        "model",
        "bundle",
    ]
    assert root.find(".//script") is None
