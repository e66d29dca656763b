"""Records: the list, and each one as the page that reports make of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from afterfit.core.digest import short
from afterfit.records.record import Envelope
from afterfit.report.page import Page
from afterfit.web.pages.common import RecordLine, nothing, record_lines, records_table, step_title
from afterfit.web.parts import Link, Pages, Part, View, counted, link, pages_of, turns_of
from afterfit.web.site import Site

SIZE = 50


@dataclass(frozen=True)
class Records(View):
    """One page of the records, the newest first; ``steps`` counts them by step."""

    step: str
    subject: str
    steps: dict[str, int]
    pages: Pages
    records: tuple[RecordLine, ...]

    area: ClassVar[str] = "/records"
    every: ClassVar[int] = 10

    @property
    def title(self) -> str:
        """What is listed."""
        return f"Records: {step_title(self.step)}" if self.step else "Records"

    @property
    def subtitle(self) -> str:
        """How many there are."""
        of = f" of {short(self.subject)}" if self.subject else ""
        return counted(self.pages, "record") + of

    @property
    def parts(self) -> tuple[Part, ...]:
        """The list."""
        listed = (records_table(self.records),) if self.records else nothing("No such record.")
        return (Part("records", "Records", listed),)

    @property
    def choices(self) -> tuple[Link, ...]:
        """All steps, and each one."""
        steps = [("", "All", sum(self.steps.values()))]
        steps += [(step, step_title(step), count) for step, count in sorted(self.steps.items())]
        return tuple(
            link(
                f"{title} ({count})",
                "records",
                tone="info" if step == self.step else "",
                query={"step": step},
            )
            for step, title, count in steps
        )

    @property
    def turns(self) -> tuple[Link, ...]:
        """Newer and older ones."""
        return turns_of(self.pages, ("records",), {"step": self.step, "subject": self.subject})


@dataclass(frozen=True)
class RecordPage(View):
    """One record: its envelope, and the page that shows its body."""

    digest: str
    step: str
    envelope: Envelope
    page: Page

    template: ClassVar[str] = "report.html.j2"
    area: ClassVar[str] = "/records"

    @property
    def title(self) -> str:
        """The step's title."""
        return self.page.title

    @property
    def subtitle(self) -> str:
        """Of what it is, and when it was made."""
        return self.page.subtitle

    @property
    def trail(self) -> tuple[Link, ...]:
        """The records, and those of this step."""
        return (
            link("Records", "records"),
            link(step_title(self.step), "records", query={"step": self.step}),
        )


def records(site: Site, step: str = "", subject: str = "", page: int = 1) -> Records:
    """Return a page of the list."""
    rows = site.rows()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.step] = counts.get(row.step, 0) + 1
    chosen = [
        row for row in rows if (not step or row.step == step) and subject in ("", row.subject)
    ]
    pages = pages_of(len(chosen), SIZE, page)
    shown = chosen[(pages.page - 1) * SIZE : pages.page * SIZE]
    return Records(step, subject, counts, pages, record_lines(shown))


def record(site: Site, digest: str) -> RecordPage:
    """Return the page of one record; raises NotFoundError, UsageError or IntegrityError."""
    from afterfit.report.build import record_page

    stored = site.record(digest)
    return RecordPage(stored.digest, stored.body.step, stored.envelope, record_page(stored))
