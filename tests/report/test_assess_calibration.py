"""Calibration and costs on the page: every number with its interval or n, in text and in charts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
from scipy.special import expit, softmax
from tests.assess.samples import binary, multiclass, regression
from tests.report.samples import assess_record

from afterfit.assess.calibration import calibration
from afterfit.assess.config import DecisionCosts
from afterfit.assess.cost import costs_of_thresholds
from afterfit.records.assess import AssessRecord
from afterfit.report import chart
from afterfit.report.assess_calibration import calibration_blocks
from afterfit.report.page import Block, Chart, Details, Lines, Table
from afterfit.report.quality import quality
from afterfit.stats.recalibration import logit

if TYPE_CHECKING:
    from afterfit.assess.evidence import Evidence

RNG = np.random.default_rng(3)
SCORES = RNG.beta(1, 3, 1500)
HITS = RNG.random(1500) < SCORES
COSTS = DecisionCosts(false_negative=20, false_positive=1)


def record_of(evidence: Evidence) -> AssessRecord:
    """The sample record with what the two parts found, after a journey through JSON."""
    parts = [calibration(evidence), costs_of_thresholds(evidence)]
    fields = {name: value for part in parts for name, value in part.fields.items()}
    record = msgspec.structs.replace(assess_record(), **fields)
    read = msgspec.json.decode(record.encode(), type=AssessRecord)
    assert read.digest == record.digest
    return read


def named(blocks: tuple[Block, ...], start: str) -> Chart | Table:
    """The one chart or table whose title or caption starts so."""
    (found,) = [
        block
        for block in blocks
        if (isinstance(block, Chart) and block.title.startswith(start))
        or (isinstance(block, Table) and block.caption.startswith(start))
    ]
    return found


def test_a_binary_task_shows_bins_errors_maps_costs_and_thresholds() -> None:
    """Each table and chart is there, and each chart can be drawn with its band."""
    record = record_of(binary(HITS, expit(2 * logit(SCORES)), costs=COSTS))
    blocks = calibration_blocks(record)
    reliability = named(blocks, "Do probabilities come true?")
    assert isinstance(reliability, Chart)
    assert "n = 1,500" in reliability.description
    assert "95 % interval" in reliability.description
    assert isinstance(reliability.drawing, Lines)
    first, after, diagonal = reliability.drawing.lines
    assert len(first.low) == len(first.high) == len(first.x) > 5
    assert after.name.startswith("after ")
    assert diagonal.reference
    errors = named(blocks, "How far probabilities are off")
    assert isinstance(errors, Table)
    assert "too large even for a calibrated model" in errors.note
    maps = named(blocks, "What recalibration would change")
    assert isinstance(maps, Table)
    assert len(maps.rows) == 4
    assert all("[" in row[2].text for row in maps.rows)
    costs = named(blocks, "What decisions cost")
    assert isinstance(costs, Table)
    assert [row[0].text for row in costs.rows] == ["present", "cheapest", "of a calibrated model"]
    assert "A miss costs 20, a false alarm 1" in costs.note
    named(blocks, "What the Brier score is made of")
    named(blocks, "The truth as a line")
    named(blocks, "What each threshold decides")
    for block in blocks:
        if isinstance(block, Chart):
            source = chart.svg(block.drawing, block.title, block.description)
            assert len(source) < 60_000
            ET.fromstring(source)  # noqa: S314
    assert set(blocks) <= set(quality(record))


def test_a_band_is_an_area_of_the_colour_of_its_line() -> None:
    """With a band there is one filled shape more than without, and no colour of its own."""
    record = record_of(binary(HITS, SCORES, costs=COSTS))
    shown = named(calibration_blocks(record), "Cost by threshold")
    assert isinstance(shown, Chart)
    drawn = chart.svg(shown.drawing, "t", "d")
    root = ET.fromstring(drawn)  # noqa: S314
    filled = [e for e in root.iter() if (e.get("fill-opacity") or "").startswith("0.16")]
    assert len(filled) == 1
    assert not [e for e in root.iter() if (e.get("fill") or "").startswith("#")]


def test_several_classes_keep_their_bins_folded() -> None:
    """The likeliest class is drawn, each class is one folded table, and there are no thresholds."""
    p = softmax(RNG.normal(size=(900, 3)), axis=1)
    codes = np.array([RNG.choice(3, p=row) for row in p])
    blocks = calibration_blocks(record_of(multiclass(codes, p)))
    (folded,) = [block for block in blocks if isinstance(block, Details)]
    assert folded.summary == "Calibration of 3 classes"
    assert len(folded.blocks) == 3
    assert not [b for b in blocks if isinstance(b, Chart) and "threshold" in b.title]


def test_a_regression_shows_its_line_alone() -> None:
    """Mean error with its unit and the slope, each with interval and n."""
    values = RNG.normal(size=400)
    (shown,) = calibration_blocks(record_of(regression(values + RNG.normal(size=400), values)))
    assert isinstance(shown, Table)
    assert [row[0].text for row in shown.rows] == ["mean error", "calibration slope"]
    assert all("[" in row[2].text for row in shown.rows)
    assert all(row[3].text == "400" for row in shown.rows)


def test_a_record_without_the_parts_shows_nothing_more() -> None:
    """Records of earlier versions have none of it."""
    assert calibration_blocks(assess_record()) == ()
