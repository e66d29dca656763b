"""The part of the page about cases that stay: standings, values that may be shown, and sizes."""

from __future__ import annotations

from afterfit.records.robustness_cases import (
    FlipExample,
    Flips,
    KeptCase,
    Move,
    Standing,
    Within,
)
from afterfit.report.cases import cases_page, cases_table, flip_blocks
from afterfit.report.html import render
from afterfit.report.page import Table
from afterfit.robustness.kept import told_case

SECRET = 4711.25


def case(standing: Standing, *, local: bool = False) -> KeptCase:
    """A crash of one column."""
    return KeptCase(
        code="R001",
        case="missing",
        place="income",
        expectation="answers",
        columns=("income", "<b>city</b>"),
        rows=({"income": SECRET if local else None, "<b>city</b>": "<i>Ulm</i>", "age": 40},),
        happened="crashed",
        local=local,
        minimal=not local,
        standing=standing,
    )


def flips(**changed: object) -> Flips:
    """What a search of 50 rows found."""
    told = {
        "n": 50,
        "flipped": 40,
        "amount": 0.0,
        "rows_of": "rightly decided",
        "tried": ("income",),
        "fixed": ("age",),
        "within": (Within(size=0.25, flipped=5, n=50, low=0.043, high=0.214),),
        "median": 0.61,
        "low": 0.5,
        "high": 0.8,
        "examples": ((Move(column="income", size=0.012),),),
    }
    return Flips(**{**told, **changed})  # type: ignore[arg-type]


def test_cases_are_in_order_and_local_ones_hide_their_values() -> None:
    """Failing ones first; no value of a real row is on the page, names of columns are quoted."""
    kept = [case("held"), case("known", local=True), case("regressed")]
    shown = cases_table([told_case(each) for each in kept])
    assert [row[0].text for row in shown.rows] == ["regressed", "known", "holds"]
    page = render(cases_page("own@3", "", [told_case(each) for each in kept], ()))
    assert str(SECRET) not in page
    assert "kept locally" in page
    assert "search cut short" in page
    assert "<b>city" not in page
    assert "<i>Ulm" not in page
    assert str(SECRET) in render(
        cases_page("own@3", "", [told_case(each, real_rows=True) for each in kept], ())
    )


def test_sizes_have_n_and_intervals_and_a_median_beyond_says_so() -> None:
    """Shares with Wilson's bounds, the median with its own; nothing where nothing was searched."""
    assert flip_blocks(None) == ()
    shares, smallest = flip_blocks(flips())
    assert isinstance(shares, Table)
    assert isinstance(smallest, Table)
    assert [cell.text for cell in shares.rows[0]] == [
        "0.25 spreads", "5 of 50", "10.0 %", "[4.3 %, 21.4 %]"
    ]  # fmt: skip
    assert "n = 50 rows rightly decided" in shares.note
    assert "0.610 spreads (95 % interval 0.500 to 0.800)" in shares.note
    assert "Fixed: age" in shares.note
    (beyond,) = flip_blocks(flips(median=None, low=None, high=None, examples=()))
    assert isinstance(beyond, Table)
    assert "lies beyond" in beyond.note
    (moved, _) = flip_blocks(flips(amount=12.5))
    assert isinstance(moved, Table)
    assert "move the value by 12.5" in moved.note


def test_examples_of_real_rows_are_on_the_page_that_was_asked_for() -> None:
    """Before and after of the moved columns, and what was said of each."""
    example = FlipExample(
        before={"income": SECRET, "age": 40},
        after={"income": 4800.0, "age": 40},
        said_before="no (0.510)",
        said_after="yes (0.502)",
        size=0.02,
    )
    page = render(cases_page("own@3", "", (), (example,)))
    assert "income: 4711.25 → 4800.0" in page
    assert "age" not in page.split("<main")[-1].split("income: 4711.25")[1].split("</tr>")[0]
    assert "No failure is kept." in page
