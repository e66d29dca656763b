"""What the pages of the dashboard are made of, beside the blocks of reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import quote, urlencode

from afterfit.report import number
from afterfit.report.page import Block, Cell, Figure, State, Table, Tone
from afterfit.report.parts import cell
from afterfit.web.draw import Drawing

__all__ = [
    "Link",
    "Pages",
    "Part",
    "Plot",
    "View",
    "address",
    "ago",
    "counted",
    "link",
    "moment",
    "pages_of",
    "turns_of",
]


@dataclass(frozen=True)
class Link(Cell):
    """A cell that leads to another page of the dashboard."""

    href: str = ""


@dataclass(frozen=True)
class Plot:
    """A drawing of ours with the sentence that says what it shows, and its numbers as a table."""

    title: str
    description: str
    drawing: Drawing
    table: Table
    kind: str = field(default="chart", init=False)


@dataclass(frozen=True)
class Part:
    """A heading with its blocks, as `report.page.Section` with plots and links."""

    anchor: str
    title: str
    blocks: tuple[Block | Plot, ...] = ()
    state: State = "ran"
    why: str = ""


@dataclass(frozen=True)
class Pages:
    """Where a reader is in a long list: ``page`` of ``pages``, ``total`` things in all."""

    page: int
    pages: int
    total: int


@dataclass(frozen=True)
class View(ABC):
    """One page: its fields are the whole answer in JSON, and all that its template shows.

    ``area`` is the entry of the navigation that it belongs to; ``every`` is after how many seconds
    an open page looks for news, 0 for never.
    """

    template: ClassVar[str] = "view.html.j2"
    area: ClassVar[str] = ""
    every: ClassVar[int] = 0

    @property
    @abstractmethod
    def title(self) -> str:
        """The heading."""

    @property
    def subtitle(self) -> str:
        """What stands below the heading."""
        return ""

    @property
    def trail(self) -> tuple[Link, ...]:
        """The pages above this one."""
        return ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The numbers of the head."""
        return ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything else, in the order of reading."""
        return ()

    @property
    def choices(self) -> tuple[Link, ...]:
        """Links that narrow what is shown; the one whose tone is ``info`` is chosen."""
        return ()

    @property
    def turns(self) -> tuple[Link, ...]:
        """Links to the pages before and after, of a long list."""
        return ()


def address(*path: object, **query: object) -> str:
    """Return the address of a page; each part and each value is escaped, empty ones are left out.

    >>> address("models", "churn", 3)
    '/models/churn/3'
    """
    told = {name: str(value) for name, value in query.items() if value not in ("", None)}
    place = "/" + "/".join(quote(str(part), safe="") for part in path)
    return f"{place}?{urlencode(told)}" if told else place


def link(
    text: object,
    *path: object,
    tone: Tone = "",
    code: bool = False,
    query: Mapping[str, object] | None = None,
) -> Link:
    """Return a cell that leads to a page."""
    return Link(cell(text).text, tone, code, address(*path, **(query or {})))


def moment(at: float) -> str:
    """Return a moment in µs since 1970 as ``2026-11-23 14:05 UTC``."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def ago(seconds: float) -> str:
    """Return how long ago something was: ``3 min ago``."""
    return f"{number.age(seconds)} ago"


def pages_of(total: int, size: int, page: int) -> Pages:
    """Return where ``page`` (from 1) is, held to the pages that there are."""
    pages = max(1, -(-total // size))
    return Pages(min(max(1, page), pages), pages, total)


def turns_of(
    pages: Pages, path: tuple[object, ...], query: Mapping[str, object]
) -> tuple[Link, ...]:
    """Return links to the page before and the page after, where there are such."""
    found = []
    if pages.page > 1:
        found.append(link("Newer", *path, query={**query, "page": pages.page - 1}))
    if pages.page < pages.pages:
        found.append(link("Older", *path, query={**query, "page": pages.page + 1}))
    return tuple(found)


def counted(pages: Pages, word: str, words: str = "") -> str:
    """Return which of how many things are shown."""
    if pages.pages == 1:
        return number.plural(pages.total, word, words)
    return f"{number.plural(pages.total, word, words)}, page {pages.page} of {pages.pages}"
