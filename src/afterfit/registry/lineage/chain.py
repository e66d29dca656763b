"""The chain of a version: what it was made of, what it is, and where it went."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.digest import short

__all__ = ["LAYERS", "Chain", "Edge", "Node", "told"]

Kind = Literal[
    "data", "code", "origin", "model", "record", "bundle", "package", "image", "endpoint"
]
LAYERS: tuple[tuple[Kind, ...], ...] = (
    ("data", "code", "origin"),
    ("model",),
    ("record",),
    ("bundle",),
    ("package",),
    ("image",),
    ("endpoint",),
)
"""The kinds from top to bottom of the diagram."""
_WORDS: dict[Kind, str] = {
    "data": "data",
    "code": "code",
    "origin": "MLflow",
    "model": "model",
    "record": "record",
    "bundle": "version",
    "package": "package",
    "image": "image",
    "endpoint": "endpoint",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One link: ``title`` for people, ``digest`` where it has one, ``facts`` by name.

    ``doubt`` says what is not sure of it, such as changes that were not committed.
    """

    kind: Kind
    title: str
    digest: str = ""
    facts: dict[str, str] = {}
    doubt: str = ""

    @property
    def word(self) -> str:
        """The kind in words."""
        return _WORDS[self.kind]


class Edge(msgspec.Struct, frozen=True):
    """``source`` went into ``target``; both are positions among the nodes."""

    source: int
    target: int


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes of one version and what went into what; ``missing`` says what is not known."""

    name: str
    number: int
    digest: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    missing: tuple[str, ...] = ()


def told(chain: Chain) -> str:
    """Return the chain as lines of text, from the data to the endpoints."""
    lines = [f"{chain.name}@{chain.number} (sha256:{short(chain.digest)})"]
    for layer in LAYERS:
        for node in (each for each in chain.nodes if each.kind in layer):
            digest = f"  {_shown(node.digest)}" if node.digest else ""
            lines.append(f"  {node.word:<9} {node.title}{digest}")
            lines += [f"            {name}: {fact}" for name, fact in node.facts.items() if fact]
            if node.doubt:
                lines.append(f"            ! {node.doubt}")
        if layer is not LAYERS[-1] and any(each.kind in layer for each in chain.nodes):
            lines.append("      ↓")
    if lines[-1].strip() == "↓":
        lines.pop()
    return "\n".join([*lines, *(f"  not known: {each}" for each in chain.missing)])


def _shown(digest: str) -> str:
    scheme, colon, rest = digest.rpartition(":")
    return f"{scheme}{colon}{short(rest)}"
