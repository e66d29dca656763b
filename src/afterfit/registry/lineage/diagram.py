"""Draws a chain: boxes in layers, from the data at the top to the endpoints at the bottom."""

from __future__ import annotations

from html import escape

from afterfit.core.digest import short
from afterfit.registry.lineage.chain import LAYERS, Chain, Node

__all__ = ["CSS", "drawing"]

_WIDTH, _HEIGHT, _GAP, _BETWEEN = 216, 64, 20, 40
_MOST = 28
CSS = """
.lineage { max-width: 100%; height: auto; }
.lineage rect { fill: var(--card); stroke: var(--rule); }
.lineage .bundle rect { stroke: var(--accent); stroke-width: 2; }
.lineage .doubt rect { stroke: var(--warn); stroke-dasharray: 4 3; }
.lineage text { fill: var(--ink); font: 13px system-ui, sans-serif; }
.lineage .kind, .lineage .digest { fill: var(--muted); font-size: 11px; }
.lineage path { fill: none; stroke: var(--muted); }
"""


def drawing(chain: Chain) -> str:
    """Return the diagram as an SVG element; every text of a record is escaped.

    Lines go from each box to those that it went into; a dashed box has a doubt.
    """
    rows = [[i for i, node in enumerate(chain.nodes) if node.kind in layer] for layer in LAYERS]
    rows = [row for row in rows if row]
    widest = max((len(row) for row in rows), default=1)
    width = widest * (_WIDTH + _GAP) - _GAP + 4
    height = len(rows) * (_HEIGHT + _BETWEEN) - _BETWEEN + 4
    places = {
        index: _place(column, len(row), line, width)
        for line, row in enumerate(rows)
        for column, index in enumerate(row)
    }
    parts = [_edge(places[edge.source], places[edge.target]) for edge in chain.edges]
    parts += [_box(chain.nodes[index], place) for index, place in places.items()]
    title = escape(f"Where {chain.name}@{chain.number} came from and where it went")
    return (
        f'<svg class="lineage" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{title}"><title>{title}</title>{"".join(parts)}</svg>'
    )


def _place(column: int, count: int, line: int, width: int) -> tuple[int, int]:
    """Return the upper left corner of a box, its row centred."""
    left = (width - (count * (_WIDTH + _GAP) - _GAP)) // 2
    return left + column * (_WIDTH + _GAP), 2 + line * (_HEIGHT + _BETWEEN)


def _edge(source: tuple[int, int], target: tuple[int, int]) -> str:
    x1, y1 = source[0] + _WIDTH // 2, source[1] + _HEIGHT
    x2, y2 = target[0] + _WIDTH // 2, target[1]
    middle = (y1 + y2) // 2
    return f'<path d="M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"/>'


def _box(node: Node, place: tuple[int, int]) -> str:
    x, y = place
    doubt = " doubt" if node.doubt else ""
    lines = (
        f'<text class="kind" x="{x + 10}" y="{y + 18}">{escape(node.word)}</text>'
        f'<text x="{x + 10}" y="{y + 36}">{escape(_clipped(node.title))}</text>'
    )
    if node.digest:
        digest = short(node.digest.rpartition(":")[2])
        lines += f'<text class="digest" x="{x + 10}" y="{y + 53}">{escape(digest)}</text>'
    about = "; ".join([f"{name}: {fact}" for name, fact in node.facts.items() if fact])
    hover = escape("; ".join(filter(None, [node.title, about, node.doubt])))
    return (
        f'<g class="{node.kind}{doubt}"><title>{hover}</title>'
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>{lines}</g>'
    )


def _clipped(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"
