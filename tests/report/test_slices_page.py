"""Slices and groups on the page: words, numbers with intervals, and drawings that are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from tests.assess.parts import evidence
from tests.report.samples import HOSTILE, assess_record, stored

from afterfit.assess.fairness import fairness
from afterfit.assess.slices import weak_slices
from afterfit.core.frame import Predictions
from afterfit.records.assess import AssessRecord
from afterfit.records.assess_slices import SliceSearch
from afterfit.report import chart, html, text
from afterfit.report.assess_slices import slices_blocks
from afterfit.report.build import record_page
from afterfit.report.page import Chart, Intervals, Range, Table, Text

if TYPE_CHECKING:
    from afterfit.report.page import Block


def record_of(task: str, hostile: str = "Ulm") -> AssessRecord:
    """The sample record with a broken slice and two groups, after a journey through JSON."""
    rng = np.random.default_rng(1)
    n = 3000
    frame = {
        "city": rng.choice([hostile, "Kiel", "Bonn", "Jena"], n).astype(object),
        "x": rng.normal(size=n),
    }
    bad = frame["city"] == hostile
    if task == "regression":
        truth = frame["x"] + rng.normal(size=n) * np.where(bad, 3, 1)
        answer = Predictions(values=frame["x"])
    else:
        p = 1 / (1 + np.exp(-2 * frame["x"]))
        truth = (rng.random(n) < p).astype(np.int64)
        truth = np.where(bad & (rng.random(n) < 0.7), (p < 0.5).astype(np.int64), truth)
        answer = Predictions(probabilities=np.stack([1 - p, p], axis=1))
    given = evidence(frame, truth, answer, task, fairness=("city",))
    parts = [weak_slices(given), fairness(given)]
    fields = {name: value for part in parts for name, value in part.fields.items()}
    findings = tuple(each for part in parts for each in part.findings)
    record = msgspec.structs.replace(assess_record(), findings=findings, **fields)
    read = msgspec.json.decode(record.encode(), type=AssessRecord)
    assert read.digest == record.digest
    return read


def tables(blocks: tuple[Block, ...]) -> list[Table]:
    """All tables, those of charts included."""
    return [block.table if isinstance(block, Chart) else block
            for block in blocks if isinstance(block, Chart | Table)]  # fmt: skip


def test_a_weak_slice_is_told_in_a_chart_and_a_table() -> None:
    """Its rows, both losses, the interval of the difference and the adjusted p are there."""
    blocks = slices_blocks(record_of("binary"))
    drawn = blocks[0]
    assert isinstance(drawn, Chart)
    assert isinstance(drawn.drawing, Intervals)
    assert {item.series for item in drawn.drawing.ranges} == {"in the slice", "elsewhere"}
    found = next(table for table in tables(blocks) if table.caption == "Slices of the rows")
    row = dict(zip(found.columns, (cell.text for cell in found.rows[0]), strict=True))
    assert row["Slice"] == "city = Ulm"
    assert row["Verdict"] == "weak"
    assert row["Difference"].startswith("+")
    assert "points [+" in row["Difference"]
    assert row["Adjusted p"] == "< 0.0001"
    assert "1,500 other rows" in found.note
    assert "at least 30 rows" in found.note


def test_groups_have_rates_with_intervals_and_comparisons_their_limit() -> None:
    """One chart a column, and the comparison with its level, limit and outcome."""
    blocks = slices_blocks(record_of("binary"))
    found = tables(blocks)
    groups = next(table for table in found if table.caption == "Groups by city")
    assert groups.columns[:3] == ("Group", "Rows", "Selection rate")
    assert all("[" in row[2].text for row in groups.rows)
    beside = found[-1]
    assert beside.columns[5:7] == ("Limit", "Outcome")
    assert {row[6].text for row in beside.rows} <= {
        "beyond", "perhaps beyond", "within", "within, not surely",
    }  # fmt: skip
    assert {row[4].text for row in beside.rows} == {"99.17 %"}


def test_a_regression_shows_errors_in_the_unit_of_the_target() -> None:
    """No shares and no points: mean absolute errors, and the value they are clipped at."""
    blocks = slices_blocks(record_of("regression"))
    found = next(table for table in tables(blocks) if table.caption == "Slices of the rows")
    assert "Foreseen" not in found.columns
    assert "price" in found.rows[0][3].text
    assert "count as it" in found.note


def test_no_candidate_and_no_part_leave_a_sentence_or_nothing() -> None:
    """A record of an older version has neither part."""
    assert slices_blocks(assess_record()) == ()
    empty = SliceSearch(
        loss="mae", n_discovery=100, n_confirmation=100, least=30, columns=2, slices=()
    )
    (block,) = slices_blocks(msgspec.structs.replace(assess_record(), slices=empty))
    assert isinstance(block, Text)
    assert "2 columns" in block.text


def test_the_name_of_a_slice_by_two_columns_has_two_lines() -> None:
    """Neither half is cut off where the whole would be too long."""
    name = "relationship = Husband and capital_gain < 1070"
    drawing = Intervals((Range(name, "in the slice", 0.3, 0.2, 0.4),))
    drawn = chart.svg(drawing, "Where", "Words")
    assert "<tspan>relationship = Husband and</tspan>" in drawn
    assert ">capital_gain &lt; 1070</tspan>" in drawn


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_hostile_values_are_words_on_every_page(task: str) -> None:
    """A category that is a script is drawn, printed and written, and never run."""
    record = record_of(task, HOSTILE)
    for block in slices_blocks(record):
        if isinstance(block, Chart):
            ET.fromstring(chart.svg(block.drawing, block.title, block.description))  # noqa: S314 - ours
    page = record_page(stored(record))
    assert "<script>alert" not in html.render(page)
    assert "\x1b" not in text.render(page)
