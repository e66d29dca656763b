"""The page of an endpoint under strange requests."""

from __future__ import annotations

from typing import Any

import pytest

from afterfit.records.codec import Stored
from afterfit.records.record import Envelope, Environment
from afterfit.records.robustness_endpoint import EndpointCase, RobustnessEndpointRecord
from afterfit.report.build import record_page
from afterfit.report.ci import summary
from afterfit.report.html import render as html
from afterfit.report.text import render as text
from afterfit.robustness.endpoint.judge import judged

HOSTILE = "<script>alert(1)</script>"
FAILED: dict[str, Any] = {
    "clause": "Null is refused",
    "status": "fail",
    "code": "R036",
    "why": "null got 200",
    "command": "curl -X POST http://h/p",
    "came": f"200 {HOSTILE}",
    "requests": 2,
}


def stored(*cases: EndpointCase, **fields: Any) -> Stored:
    """A record of an endpoint with an envelope."""
    given: dict[str, Any] = {
        "url": "http://127.0.0.1:8000",
        "protocol": "JSON",
        "route": "/predict",
        "requests": 1234,
        "ending": "finished",
        "growth_bytes": 3 << 20,
    }
    record = RobustnessEndpointRecord(
        subject="0" * 64, env=Environment(afterfit="1"), cases=cases, **(given | fields)
    )
    return Stored(envelope=Envelope(digest=record.digest), body=record)


def test_the_page_has_groups_failures_and_commands() -> None:
    """A row a group, a row a clause that does not hold, and the command for it."""
    passed = EndpointCase(check="rows.order", level="must", clause="Order", status="pass")
    failed = EndpointCase(check="null.declared", level="must", **FAILED)
    page = text(record_page(stored(passed, failed)))
    assert "POST /predict" in page
    assert "1,234" in page
    assert "Same rows, other company  passed " in page
    assert "Null                      failed " in page
    assert "null.declared: null got 200\n  curl -X POST http://h/p\n" in page
    assert "Every check (2)" in html(record_page(stored(passed, failed)))


def test_a_comment_has_no_request_and_no_answer() -> None:
    """Both hold the user's example row, which stays in the workspace."""
    row = {"command": "curl --data-binary '{\"income\": 51.2573}'", "came": "422 income 51.2573"}
    failed = EndpointCase(check="null.declared", level="must", **{**FAILED, **row})
    told = judged([failed], "finished", memory_known=True)
    kept = stored(failed, findings=told)
    assert any("null got 200" in each.message for each in told)
    comment = summary(record_page(kept), 1)
    assert "null got 200" in comment
    assert "51.2573" not in comment
    assert all("51.2573" not in f"{each}" for each in told)


def test_what_a_server_says_is_no_markup() -> None:
    """Its answer stands in the page as text."""
    page = html(record_page(stored(EndpointCase(check="null.x", level="must", **FAILED))))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ending": "died", "ended_by": "payload.deep"}, "no connections any more, after payload"),
        ({"ending": "hung"}, "the server answers no more"),
        ({"ending": "out_of_time"}, "the time was over"),
        ({"growth_bytes": None}, "not measured: the server's processes are not known"),
        ({}, "grew by at most 3.15 MB during one check"),
    ],
)
def test_how_the_run_ended_is_told(fields: dict[str, Any], told: str) -> None:
    """And what the server's memory did."""
    case = EndpointCase(check="null.x", level="must", clause="Null", status="pass")
    assert told in " ".join(text(record_page(stored(case, **fields))).split())


def test_a_should_and_what_did_not_run_are_no_failure() -> None:
    """Their groups say so."""
    should = EndpointCase(check="null.x", level="should", **FAILED)
    later = EndpointCase(check="rows.x", level="must", clause="Rows", status="skipped")
    page = text(record_page(stored(should, later)))
    assert "could be better" in page
    assert "not all run" in page
    assert "No check ran." in text(record_page(stored()))
