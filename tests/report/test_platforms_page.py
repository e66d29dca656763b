"""The page of a choice of platforms: the decision first, then what it hangs on."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from tests.platforms.market import OFFERS, question

from afterfit.platforms.run import Basis, platforms
from afterfit.platforms.shapes import Source
from afterfit.records.codec import Stored
from afterfit.records.platforms import PlatformsRecord
from afterfit.records.record import Envelope
from afterfit.report import html, markdown, text
from afterfit.report.build import record_page
from afterfit.report.page import Chart, Page, Stacked, Table, Tornado

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def record() -> PlatformsRecord:
    """A choice on the made-up market, with a hostile title of a service among them."""
    service = msgspec.structs.replace(OFFERS[3].service, title=f"Sage {HOSTILE}")
    offers = (*OFFERS[:3], msgspec.structs.replace(OFFERS[3], service=service), *OFFERS[4:])
    sources = {"list": Source(text="a price list", date="2026-11-01", licence="MIT")}
    basis = Basis(name="churn", number=3, sources=sources, dated="2026-11-01",
                  today=date(2026, 11, 27))  # fmt: skip
    return platforms(question(offers), basis)


def page_of(record: PlatformsRecord) -> Page:
    """Its page."""
    return record_page(Stored(envelope=Envelope(digest=record.digest), body=record))


def test_the_decision_stands_first(record: PlatformsRecord) -> None:
    """As the verdict, with cost, latency, machines and wins as numbers beside it."""
    page = page_of(record)
    assert page.verdict is not None
    assert page.verdict.sentence == record.said
    assert [figure.label for figure in page.figures] == [
        "Cost a month", "p99 latency", "Machines", "Wins",
    ]  # fmt: skip
    anchors = [section.anchor for section in page.sections]
    assert anchors[:4] == ["decision", "cost", "sure", "why-not"]
    assert {"traffic", "again", "sources", "problems"} <= set(anchors)


def test_its_drawings_have_the_numbers_of_the_record(record: PlatformsRecord) -> None:
    """Stacked costs add up to what each offer costs; the tornado has every assumption."""
    drawings = [b.drawing for s in page_of(record).sections for b in s.blocks
                if isinstance(b, Chart)]  # fmt: skip
    stacked = next(each for each in drawings if isinstance(each, Stacked))
    sums = [sum(column) for column in zip(*(amounts for _, amounts in stacked.parts), strict=True)]
    priced = [each for each in record.outcomes if each.costs]
    assert sums == pytest.approx([sum(each.costs.values()) for each in priced])
    tornado = next(each for each in drawings if isinstance(each, Tornado))
    assert [swing.name for swing in tornado.swings] == [bar.name for bar in record.bars]


def test_every_service_has_its_reason(record: PlatformsRecord) -> None:
    """In one table, with what would make it the choice."""
    section = next(s for s in page_of(record).sections if s.anchor == "why-not")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert len(table.rows) == len([each for each in record.outcomes if each.id != record.choice])
    assert all(row[1].text for row in table.rows)


@pytest.mark.parametrize("render", [html.render, markdown.render, text.render])
def test_all_forms_say_the_decision_and_no_form_runs_what_a_title_says(
    record: PlatformsRecord, render: object
) -> None:
    """HTML escapes it, and draws all charts."""
    assert callable(render)
    shown = str(render(page_of(record)))
    assert "m7i.large" in shown
    if render is html.render:
        assert HOSTILE not in shown
        assert shown.count("<svg") >= 5


def test_nothing_passes_is_said_without_numbers() -> None:
    """A page without a choice has no figures, and what failed."""
    basis = Basis(today=date(2026, 11, 27))
    none = platforms(question(requirements={"budget_usd_per_month": 1.0}), basis)
    page = page_of(none)
    assert page.verdict is not None
    assert page.verdict.word == "Nothing passes"
    assert page.figures == ()
    assert "budget" in html.render(page)
