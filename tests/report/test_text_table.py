"""Tables of plain text keep words, digests and intervals whole where the width allows it."""

from __future__ import annotations

import sys

import pytest

from afterfit.report import text
from afterfit.report.page import Cell, KeyValue, Page, Section, Table
from afterfit.report.text_table import table_lines

DIGEST = "9be1" * 16


def table(columns: str, *rows: str, numeric: tuple[int, ...] = ()) -> Table:
    """A table of which the cells are parted by bars."""
    cells = tuple(tuple(Cell(part) for part in row.split("|")) for row in rows)
    return Table(tuple(columns.split("|")), cells, numeric=numeric)


def test_an_identifier_breaks_behind_an_underscore_only() -> None:
    """A column's name is not cut in the middle of a word."""
    shown = table_lines(table("Slice|Rows", "transactions_last_day ≥ 4 and amount|820"), 26)
    assert [line.split("  ")[0].strip() for line in shown[2:]] == [
        "transactions_last_",
        "day ≥ 4 and amount",
    ]


def test_an_interval_stays_in_one_line_while_there_is_room() -> None:
    """The words beside it give way first, and the interval breaks only in a narrower place."""
    rows = table("Metric|Held out|95 % interval", "mean absolute error|0.4|[0.406, 0.479]")
    assert any("[0.406, 0.479]" in line for line in table_lines(rows, 36))
    assert all(len(line) <= 30 for line in table_lines(rows, 30))


def test_a_percentage_keeps_its_sign() -> None:
    """12.0 and % are in one line as long as any layout allows it."""
    shown = table_lines(table("Rows with|Decided otherwise", "noise|451 (90.4 %)"), 22)
    assert any("(90.4 %)" in line for line in shown)


def test_a_long_last_column_stands_below_its_row() -> None:
    """A reason of many words takes the whole width instead of a narrow column."""
    why = "the converted model decides otherwise in 3 of 2,150 rows, more than the none allowed"
    shown = table_lines(table("Variant|Outcome|Size|Why", f"onnx|refused|33 kB|{why}"), 44)
    assert shown[2].split() == ["onnx", "refused", "33", "kB"]
    assert shown[3].startswith("    Why: the converted model")
    assert " ".join(line.strip() for line in shown[3:]) == f"Why: {why}"


@pytest.mark.parametrize("width", [70, 80, 96])
def test_a_digest_is_never_broken(width: int) -> None:
    """In facts, in columns and in blocks a digest can be copied in one go."""
    blocks = (
        KeyValue((("Digest of the whole bundle", Cell(DIGEST)),)),
        table("Step|What it read|Digest", f"inspect|the model's file|{DIGEST}"),
    )
    shown = text.render(Page("record", "x", sections=(Section("a", "A", blocks),)), width=width)
    assert shown.count(DIGEST) == 2
    assert all(len(line) <= width for line in shown.splitlines())


def test_text_takes_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a width the page fits the terminal; in a file it is the same everywhere."""
    page = Page("record", "x", subtitle="word " * 60)
    monkeypatch.setenv("COLUMNS", "60")
    assert 90 < max(map(len, text.render(page).splitlines())) <= 96
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns, most in (("60", 60), ("80", 80), ("300", 96)):
        monkeypatch.setenv("COLUMNS", columns)
        longest = max(map(len, text.render(page).splitlines()))
        assert most - 5 < longest <= most
