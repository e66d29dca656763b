"""Every kind of page in a real browser: self-contained, readable by all, on a desk and a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.browser.chromium import launched
from tests.report import samples
from tests.runtime.signatures import ODD_NAME, odd, people

from afterfit.core.sections import CardSection
from afterfit.records.record import Environment
from afterfit.records.robustness_endpoint import EndpointCase, RobustnessEndpointRecord
from afterfit.report import html
from afterfit.report.build import monitor_page, record_page, release_page
from afterfit.report.model_card import card_page
from afterfit.report.page import Page
from afterfit.report.score import score, score_page
from afterfit.runtime.page import page as served_page

LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")
SITE = "http://127.0.0.1:8080/"
DESK, PHONE, NARROW = 1280, 390, 320
LONG = "a_very_long_column_name_of_the_warehouse_that_goes_on_and_on_without_any_end/" * 3
KINDS = (
    "promoted", "stopped", "hostile", "long names", "monitor", "score", "card", "attacked",
    "robustness", "served",
)  # fmt: skip
"""The last one is the page of a running server, where a person tries a model."""


@cache
def source(kind: str) -> tuple[bytes, dict[str, str]]:
    """A page of a kind with the headers that come with it."""
    if kind == "served":
        answer = served_page({"churn": people(), ODD_NAME: odd()}, url=SITE.rstrip("/"))
        return answer.body, {**dict(answer.headers), "content-type": answer.content_type}
    return html.render(reported(kind)).encode(), {"content-type": "text/html; charset=utf-8"}


def reported(kind: str) -> Page:
    """A page of the reports, from records with every part filled in."""
    records = samples.all_records()
    makers: dict[str, Callable[[], Page]] = {
        "promoted": lambda: release_page(samples.ship_record(), records),
        "stopped": stopped,
        "hostile": lambda: named(samples.HOSTILE),
        "long names": lambda: named(LONG),
        "monitor": lambda: monitor_page(samples.monitor_record()),
        "score": lambda: score_page("churn 1", "9be1", score(records, today=date(2026, 11, 26))),
        "card": lambda: card_page("churn", 3, samples.BUNDLE, records, CardSection(owner="Ana")),
        "attacked": lambda: record_page(samples.stored(attacked())),
    }
    return makers[kind]() if kind in makers else record_page(records[kind])


def stopped() -> Page:
    """A release that a gate stopped, and of which most did not run."""
    records = {"assess": samples.stored(samples.assess_record())}
    gates, skipped = ("roc_auc >= 0.99",), {"loadtest": "out of time"}
    return release_page(samples.ship_record("stopped", gates, skipped=skipped), records)


def named(word: str) -> Page:
    """A release whose every name is this word."""
    return release_page(samples.ship_record(name=word, why=word), samples.all_records(word))


def attacked() -> RobustnessEndpointRecord:
    """What strange requests to a server showed."""
    failed = EndpointCase(
        check="null.declared",
        level="must",
        clause="Null is refused",
        status="fail",
        code="R036",
        why="null got 200",
        command="curl -sS -X POST http://127.0.0.1:8000/predict --data-binary " + "x" * 400,
        came="200 {}",
        requests=2,
    )
    passed = EndpointCase(check="rows.order", level="must", clause="Order", status="pass")
    return RobustnessEndpointRecord(
        subject="0" * 64,
        env=Environment(afterfit="1"),
        cases=(passed, failed),
        url="http://127.0.0.1:8000",
        protocol="JSON",
        route="/predict",
        requests=1234,
        ending="finished",
        growth_bytes=3 << 20,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all tests of this file."""
    with launched() as started:
        yield started


@contextmanager
def opened(browser: Any, kind: str, **options: Any) -> Iterator[Any]:
    """A page in a window of its own, with all that is folded open; what it asked for is watched."""
    body, headers = source(kind)
    context = browser.new_context(viewport={"width": DESK, "height": 900}, **options)
    shown, wrong = context.new_page(), []

    def answer(route: Any) -> None:
        if route.request.url == SITE:
            route.fulfill(body=body, headers=headers)
        else:
            wrong.append(f"asked for {route.request.url}")
            route.abort()

    context.route("**/*", answer)
    shown.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    try:
        shown.goto(SITE)
        shown.evaluate(
            "document.querySelectorAll('details').forEach((each) => { each.open = true })"
        )
        yield shown
        assert wrong == []
    finally:
        context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_reads_well_wide_and_narrow_light_and_dark(browser: Any, kind: str) -> None:
    """Nothing is asked for, is too wide, cut, nameless or pale, and headings go down in order."""
    with opened(browser, kind, color_scheme="light") as shown:
        for width, lines in ((NARROW, 4), (PHONE, 2), (DESK, 1)):
            shown.set_viewport_size({"width": width, "height": 900})
            seen = shown.evaluate(LOOK)
            assert seen["texts"] > 200
            assert seen["wider"] <= 0, f"{width} px"
            assert seen["cut"] == [], f"{width} px"
            assert seen["pale"] == []
            assert set(seen["digests"]) <= {lines}
        shown.emulate_media(color_scheme="dark")
        assert shown.evaluate(LOOK)["pale"] == []
    assert seen["nameless"] == []
    assert seen["levels"][0] == 1
    assert seen["levels"].count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(seen["levels"]))
    assert seen["language"] == "en"
    assert seen["title"]
    assert seen["landmarks"] == [1, 1, 1]


def test_a_pale_text_a_nameless_drawing_and_a_wide_table_are_seen(browser: Any) -> None:
    """The look itself finds what it looks for."""
    spoiled = """
      document.querySelector("h1").style.color = "#999";
      document.querySelector("h2").outerHTML = "<h4>skipped</h4>";
      document.querySelector("figure svg").removeAttribute("aria-labelledby");
      document.querySelector("figure svg text").setAttribute("x", "-4000");
      document.querySelector("main").style.minWidth = "2000px";
    """
    with opened(browser, "promoted") as shown:
        shown.evaluate(f"() => {{ {spoiled} }}")
        seen = shown.evaluate(LOOK)
    assert [text for text in seen["pale"] if "census-income" in text]
    assert seen["levels"][:2] == [1, 4]
    assert len(seen["nameless"]) == 1
    assert len(seen["cut"]) == 1
    assert seen["wider"] > 0


@pytest.mark.parametrize("kind", ["promoted", "score", "served"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser: Any, kind: str) -> None:
    """Each stop of the tabulator has an outline and is on the screen."""
    where = """() => {
      const at = document.activeElement;
      const [style, box] = [getComputedStyle(at), at.getBoundingClientRect()];
      return {
        tag: at.tagName,
        text: at.textContent.trim().slice(0, 40),
        line: style.outlineStyle,
        wide: parseFloat(style.outlineWidth),
        on: box.right > 0 && box.bottom > 0 && box.top < innerHeight,
      };
    }"""
    with opened(browser, kind) as shown:
        for place in range(12):
            shown.keyboard.press("Tab")
            at = shown.evaluate(where)
            if at["tag"] == "BODY":  # behind the last one
                assert place >= 6
                break
            assert at["line"] != "none", at
            assert at["wide"] >= 1, at
            assert at["on"], at
            if place == 0 and kind != "served":
                assert at["text"] == "To the content"
                shown.keyboard.press("Enter")
                assert shown.evaluate("location.hash") == "#main"
                assert shown.evaluate("document.querySelector(location.hash).tagName") == "MAIN"


def test_a_printed_page_is_black_on_white_and_as_wide_as_the_paper(browser: Any) -> None:
    """Whatever the screen's scheme is; tables wrap instead of being cut."""
    with opened(browser, "promoted", color_scheme="dark") as shown:
        shown.emulate_media(media="print")
        shown.set_viewport_size({"width": 720, "height": 900})
        assert (
            shown.evaluate("getComputedStyle(document.body).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        seen = shown.evaluate(LOOK)
        assert seen["wider"] <= 0
        assert seen["pale"] == []
        assert not shown.is_visible("nav")
