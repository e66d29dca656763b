"""The ML Test Score: 28 items, no point without evidence, and the weakest section counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest
from tests.report.samples import all_records, finding, ship_record, stored

from afterfit.core.gate import GateResult
from afterfit.report import text
from afterfit.report.score import Attestation, score, score_page
from afterfit.report.score_items import ITEMS, SECTIONS

TODAY = date(2026, 11, 26)
WORD = Attestation("tuned", "ana", date(2026, 10, 1), date(2027, 3, 1), "search of 12 May", 7)


def standing(found: Any, item: str) -> Any:
    """The line of one item."""
    return next(line for line in found.lines if line.item.key == item)


def with_findings(step: str, *findings: Any) -> dict[str, Any]:
    """The records of a release, one of which found this."""
    records = all_records()
    body = msgspec.structs.replace(records[step].body, findings=findings)
    return {**records, "ship": stored(ship_record("promoted")), step: stored(body)}


def test_there_are_seven_items_in_each_of_four_sections_with_names_of_their_own() -> None:
    """As in the paper."""
    assert len({item.key for item in ITEMS}) == 28
    assert {key: sum(i.section == key for i in ITEMS) for key in SECTIONS} == dict.fromkeys(
        SECTIONS, 7
    )


def test_without_records_nothing_counts() -> None:
    """And the page says what would count."""
    found = score({}, today=TODAY)
    assert found.total == 0.0
    assert {line.standing for line in found.lines} == {"not run"}
    shown = text.render(score_page("churn 1", "9be1", found))
    assert "research project" in shown
    assert "version attest" in shown


@pytest.mark.parametrize(
    ("outcomes", "expected", "points"),
    [
        (("passed", "passed"), "evidence", 1.0),
        (("passed", "tip"), "failed", 0.0),
        (("issue", "passed"), "failed", 0.0),
        (("passed", "skipped"), "not run", 0.0),
        (("passed", "not_applicable"), "not run", 0.0),
        (("passed",), "not run", 0.0),
    ],
)
def test_every_check_of_an_item_has_to_pass(outcomes: Any, expected: str, points: float) -> None:
    """A check that did not run, or does not apply, shows nothing."""
    codes = ("A001", "A002")
    made = [finding(code, outcome, "why") for code, outcome in zip(codes, outcomes, strict=False)]
    line = standing(score(with_findings("assess", *made), today=TODAY), "simpler")
    assert (line.standing, line.points) == (expected, points)


def test_equal_answers_are_shown_by_the_comparison_with_the_model() -> None:
    """Golden rows are answered by what ships alone, so they show nothing of what was trained."""
    golden = with_findings("package", finding("K006", "passed", "64 rows"))
    assert standing(score(golden, today=TODAY), "skew").standing != "evidence"
    equal = with_findings("optimize", finding("O003", "passed", "equal"))
    assert standing(score(equal, today=TODAY), "skew").standing == "evidence"


def test_a_word_counts_half_until_it_expires_and_a_later_one_replaces_it() -> None:
    """It is on record by whom, when, why, and in which line."""
    line = standing(score({}, [WORD], today=TODAY), "tuned")
    assert (line.standing, line.points) == ("attested", 0.5)
    assert "ana" in line.why
    assert "line 7" in line.why
    assert standing(score({}, [WORD], today=date(2027, 3, 1)), "tuned").points == 0.5
    assert standing(score({}, [WORD], today=date(2027, 3, 2)), "tuned").standing == "expired"
    later = replace(WORD, line=9, expires=date(2026, 11, 25))
    assert standing(score({}, [later, WORD], today=TODAY), "tuned").standing == "expired"


def test_a_word_does_not_outweigh_a_check_that_failed() -> None:
    """The finding stands."""
    records = with_findings("assess", finding("A001", "issue", "not better"))
    line = standing(score(records, [replace(WORD, item="simpler")], today=TODAY), "simpler")
    assert (line.standing, line.points) == ("failed", 0.0)


def test_the_score_is_that_of_the_weakest_section() -> None:
    """A perfect section does not lift the others."""
    words = [replace(WORD, item=item.key) for item in ITEMS if item.section != "model"]
    found = score({}, [*words, WORD], today=TODAY)
    assert found.sections == {"data": 3.5, "model": 0.5, "infrastructure": 3.5, "monitoring": 3.5}
    assert found.total == 0.5


def test_gates_the_whole_line_and_a_roll_back_are_evidence() -> None:
    """A gate that failed is none; a line with skipped steps is not the whole."""
    records, ship = all_records(), stored(ship_record("promoted"))
    gate = GateResult(gate="f1 >= 0.5", outcome="pass", limit=0.5, step="assess")
    body = msgspec.structs.replace(ship.body, gates=(gate,), skipped={})
    whole = {**records, "ship": msgspec.structs.replace(ship, body=body)}
    found = score(whole, today=TODAY, rolled_back=12)
    assert standing(found, "validated").points == 1.0
    assert standing(found, "integration").points == 1.0
    assert standing(found, "rollback").why == "audit log, line 12"
    failed = msgspec.structs.replace(gate, outcome="fail")
    body = msgspec.structs.replace(body, gates=(failed,), skipped={"loadtest": "no time"})
    found = score({**whole, "ship": msgspec.structs.replace(ship, body=body)}, today=TODAY)
    assert standing(found, "validated").standing == "failed"
    assert standing(found, "integration").why == "skipped: loadtest"
    assert standing(found, "rollback").standing == "not run"
    assert "afterfit version rollback" in standing(found, "rollback").why
    assert standing(found, "speed").standing == "not run"
