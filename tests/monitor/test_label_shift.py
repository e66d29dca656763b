"""Classes in other proportions: seen by counting labels, and by nothing that should not be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.monitor.test_performance import WINDOW
from tests.monitor.test_score_table import binary_table

from afterfit.core.signature import Label
from afterfit.monitor.runbooks import runbook_of
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.label_shift import label_shift_points
from afterfit.monitor.signals.quality import QualityConfig
from afterfit.records.signals import SignalPoint

CLASSES: tuple[Label, ...] = ("no", "yes")
CONFIG = QualityConfig(chance=0.001)


def window(positive: int, n: int) -> ScoreTable:
    """Labels of which so many are of the positive class; nobody knows their scores."""
    table = ScoreTable.empty("binary", 2, 1)
    table.cells = [n - positive, 0, positive, 0]
    table.answered = n
    return table


REFERENCE = window(2000, 100_000)


def told(table: ScoreTable, config: QualityConfig = CONFIG, **more: float | None) -> SignalPoint:
    """What is said of the positive class of a window."""
    (point,) = label_shift_points(REFERENCE, table, CLASSES, WINDOW, config, positive=1, **more)
    return point


def test_half_as_many_frauds_again_are_seen_once_there_are_enough() -> None:
    """2 % become 3 %: not of 300 labels, and of 3,000 with the shares in words."""
    assert told(window(9, 300)).state == "ok"
    point = told(window(90, 3000))
    assert (point.signal, point.subject, point.state) == ("label_shift", "yes", "alarm")
    assert "3.00 % of 3,000 labels are 'yes', usually 2.00 %" in point.message
    assert point.low is not None
    assert point.low < 0.03
    assert runbook_of(point.signal) == "M094"


@pytest.mark.parametrize("more", [True, False])
def test_the_threshold_is_the_last_share_that_is_usual(*, more: bool) -> None:
    """One label beyond it is an alarm, in both directions."""
    threshold = told(window(61 if more else 59, 3000)).threshold
    assert threshold is not None
    if not more:
        below = told(window(0, 3000))
        assert below.threshold is not None
        threshold = below.threshold
    last = round(threshold * 3000)
    assert told(window(last, 3000)).state == "ok"
    assert told(window(last + (1 if more else -1), 3000)).state == "alarm"


def test_false_alarms_are_as_rare_as_asked() -> None:
    """Of windows with the reference's own proportions, both samples drawn; 5 % were asked."""
    random, alarms, runs = np.random.default_rng(5), 0, 600
    config = QualityConfig(chance=0.05, least_share=0.0)
    for _ in range(runs):
        pair = [window(int(n), 1000) for n in random.binomial(1000, 0.1, 2)]
        (point,) = label_shift_points(pair[0], pair[1], CLASSES, WINDOW, config, positive=1)
        alarms += point.state == "alarm"
    assert abs(alarms / runs - 0.05) < 4 * math.sqrt(0.05 * 0.95 / runs)


def test_labels_that_are_few_early_or_chosen_say_nothing() -> None:
    """Needed is how many; labels that follow the score are no sample of all rows."""
    few = told(window(1, 40))
    assert (few.state, few.needed) == ("insufficient", CONFIG.min_labels)
    early = told(window(90, 3000), maturity=0.8)
    assert early.state == "insufficient"
    assert early.needed > 3000
    assert told(window(90, 3000), maturity=0.95).state == "alarm"
    scores = np.random.default_rng(1).random(4000)
    truth = np.where(scores > 0.5, (np.arange(4000) % 10 == 0).astype(np.int64), -1)
    chosen = told(binary_table(scores, (scores >= 0.5).astype(np.int64), truth))
    assert chosen.state == "cannot_tell"
    assert "labels depend on the score" in chosen.message


def test_a_change_too_small_to_know_is_no_alarm() -> None:
    """A tenth of what is usual is the least."""
    reference, table = window(400_000, 1_000_000), window(410_000, 1_000_000)
    (point,) = label_shift_points(reference, table, CLASSES, WINDOW, CONFIG, positive=1)
    assert point.state == "ok"
    assert point.least == pytest.approx(0.04)


def test_of_several_classes_each_is_told_and_of_values_none() -> None:
    """Three classes have a point each; a regression and a window without a reference none."""
    tables = []
    for shares in ((0.5, 0.3, 0.2), (0.5, 0.2, 0.3)):
        table = ScoreTable.empty("multiclass", 3)
        truth = np.repeat(np.arange(3), (np.array(shares) * 2000).astype(int))
        table.update(np.full(2000, 0.6), np.zeros(2000, np.int64), truth)
        tables.append(table)
    points = label_shift_points(tables[0], tables[1], ("a", "b", "c"), WINDOW, CONFIG)
    assert [(p.subject, p.state) for p in points] == [("a", "ok"), ("b", "alarm"), ("c", "alarm")]
    assert list(label_shift_points(None, tables[0], ("a", "b", "c"), WINDOW, CONFIG)) == []
    values = ScoreTable.empty("regression")
    assert list(label_shift_points(values, values, (), WINDOW, CONFIG)) == []
