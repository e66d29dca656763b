"""What is found of each class, and a class that is never decided for."""

from __future__ import annotations

import numpy as np
import pytest
from tests.assess.samples import binary, finding, multiclass, regression, with_data

from afterfit.assess.by_class import by_class
from afterfit.core.metric import Metric
from afterfit.records.assess import AssessRecord, ClassQuality
from afterfit.records.record import Environment
from afterfit.report.page import Table
from afterfit.report.quality import quality
from afterfit.stats.interval import wilson


def rows_of(counts: dict[tuple[int, int], int]) -> tuple[np.ndarray, np.ndarray]:
    """True codes, and probabilities that decide as told: rows by (true, decided)."""
    pairs = np.repeat(np.array(list(counts)), list(counts.values()), axis=0)
    return pairs[:, 0], np.eye(3)[pairs[:, 1]]


def test_recall_and_precision_are_those_that_are_counted_by_hand() -> None:
    """Of 20 rows of b 15 are found; 18 are decided to be b, of which 15 are."""
    codes, said = rows_of({(0, 0): 30, (0, 1): 3, (1, 1): 15, (1, 2): 5, (2, 2): 12})
    part = by_class(multiclass(codes, said))
    b = part.fields["classes"][1]
    assert isinstance(b, ClassQuality)
    assert (b.label, b.n, b.decided) == ("b", 20, 18)
    for share, found, n in ((b.recall, 15, 20), (b.precision, 15, 18)):
        assert isinstance(share, Metric)
        bounds = wilson(found, n)
        assert (share.value, share.low, share.high) == (found / n, bounds.low, bounds.high)
        assert (share.n, share.method) == (n, "wilson")
    told = finding(part, "A008")
    assert told.outcome == "passed"
    least = "the least recall is that of 'b': 0.75 (0.5313 to 0.8881, 95 %, n = 20)"
    assert told.message == f"each of 3 classes is decided for; {least}"


def test_a_class_that_is_never_decided_for_is_an_issue_and_stands_in_the_page() -> None:
    """With 10 rows or more; with fewer it is a tip, and a class without rows is no fault."""
    codes, said = rows_of({(0, 0): 30, (1, 1): 15, (2, 0): 12})
    part = by_class(multiclass(codes, said))
    told = finding(part, "A008")
    assert (told.outcome, told.where) == ("issue", "c")
    assert "none of its 12 rows is found (surely no more than 24 % of such rows)" in told.message
    record = AssessRecord(subject="m", env=Environment(afterfit="0"), **part.fields)
    (shown,) = [block for block in quality(record) if isinstance(block, Table)]
    assert [cell.text for cell in shown.rows[2]] == [
        "c", "12", "0", "0 [0, 0.2]", "\N{EN DASH}",
    ]  # fmt: skip
    few, said = rows_of({(0, 0): 30, (1, 1): 15, (2, 0): 4})
    assert finding(by_class(multiclass(few, said)), "A008").outcome == "tip"
    none, said = rows_of({(0, 0): 30, (1, 1): 15})
    assert finding(by_class(multiclass(none, said)), "A008").outcome == "passed"


def test_two_classes_are_sent_to_the_threshold_and_values_have_no_class() -> None:
    """A threshold that nothing reaches decides for one class alone."""
    part = by_class(binary(np.arange(100) % 10 == 0, np.full(100, 0.1)))
    told = finding(part, "A008")
    assert told.outcome == "issue"
    assert "A007" in told.fix
    values = np.arange(9.0)
    assert finding(by_class(regression(values, values)), "A008").outcome == "not_applicable"


def test_rows_that_hang_together_widen_the_intervals() -> None:
    """Ten machines of ten rows each, of which each is found or not: about ten rows."""
    codes = np.zeros(100, np.int64)
    said = np.eye(3)[(np.arange(100) // 10) % 2]
    rows = multiclass(codes, said)
    alone = by_class(rows).fields["classes"][0].recall
    grouped = by_class(with_data(rows, group=np.arange(100) // 10)).fields["classes"][0].recall
    assert grouped.high - grouped.low == pytest.approx(
        np.sqrt(10) * (alone.high - alone.low), rel=0.25
    )
    assert "rows worth" in grouped.method
