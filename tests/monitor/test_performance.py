"""Performance with labels that come late, are few, or are of some rows only; and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.monitor.test_labels import SERIES, add, batch, labels
from tests.monitor.test_score_table import binary_rows, binary_table

from afterfit.core.cuts import Cut
from afterfit.core.formulae import compute
from afterfit.core.signature import Column, Signature
from afterfit.monitor.findings import LabelsImmature
from afterfit.monitor.labels import HOUR_US, LabelJoin
from afterfit.monitor.maturity import label_selection, maturity_curve
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.fairness import fairness_points
from afterfit.monitor.signals.performance import (
    coverage_points,
    group_tables,
    performance_points,
    table_of,
)
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.records.signals import Scope, SignalPoint

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = Window(Scope(model="loans", version=1), 0, HOUR_US)
CONFIG = QualityConfig(metrics=("accuracy", "roc_auc", "log_loss"))
SIGNATURE = Signature(
    task="binary",
    columns=(Column(name="sex", kind="category", categories=("f", "m")),),
    classes=("no", "yes"),
    positive="yes",
    threshold=0.4,
)


def by_subject(points: list[SignalPoint]) -> dict[str, SignalPoint]:
    """Points by what they are of."""
    return {point.subject: point for point in points}


def flipped(seed: int, share: float, n: int = 3000) -> ScoreTable:
    """A window in which so great a share of truths are the other class."""
    scores, codes, truth = binary_rows(n, seed)
    wrong = np.random.default_rng(seed + 1).random(n) < share
    return binary_table(scores, codes, np.where(wrong, 1 - truth, truth))


def test_a_window_that_is_worse_is_an_alarm_and_says_by_how_much() -> None:
    """Every tenth label turned: accuracy, area and loss all fall beyond chance and the least."""
    points = performance_points(flipped(0, 0, 20_000), flipped(1, 0.1), WINDOW, CONFIG)
    for point in points:
        assert point.state == "alarm"
        assert point.loss is not None
        assert point.loss.value is not None
        assert point.least is not None
        assert point.loss.value > point.least
        assert point.n == 3000
        assert "worse than in the reference" in point.message


def test_windows_like_the_reference_are_seldom_alarms() -> None:
    """Of 100 null windows with chance 1 %, no metric is an alarm in more than 5 %."""
    reference = flipped(0, 0, 20_000)
    config = QualityConfig(metrics=("accuracy", "log_loss"), least=0.0, least_share=0.0)
    alarms = dict.fromkeys(config.metrics, 0)
    for seed in range(2, 102):
        for point in performance_points(reference, flipped(seed, 0, 600), WINDOW, config):
            alarms[point.subject] += point.state == "alarm"
    assert max(alarms.values()) <= 5


def test_few_labels_and_early_ones_are_no_answer() -> None:
    """Below the least labels, or the least maturity, a point says what is needed."""
    reference = flipped(0, 0)
    few = performance_points(reference, flipped(1, 0.3, 60), WINDOW, CONFIG)
    assert {p.state for p in few} == {"insufficient"}
    assert {p.needed for p in few} == {100}
    early = performance_points(reference, flipped(1, 0.3), WINDOW, CONFIG, maturity=0.2)
    assert {p.state for p in early} == {"insufficient"}
    assert "only 20 %" in early[0].message
    assert early[0].needed == 7500
    assert early[0].evidence["finding"] == LabelsImmature.code


def filled(path: Path, delays: Any, n: int = 2000) -> tuple[LabelJoin, Any, Any]:
    """A join of one prediction a minute, whose labels come after the delays (NaN: never)."""
    scores, codes, truth = binary_rows(n, 5)
    join = LabelJoin(path, cuts=[Cut("sex", ordered=False, values=("f", "m"))])
    minute = HOUR_US // 60
    rows = [(str(i), "", i * minute) for i in range(n)]
    sex = np.where(np.arange(n) % 3 == 0, "f", "m").astype(object)
    add(join, batch(rows, scores=scores, codes=codes, frame={"sex": sex}))
    given = delays(scores)
    told = [
        (str(i), "", int(i * minute + given[i]), SIGNATURE.classes[truth[i]])
        for i in range(n)
        if np.isfinite(given[i])
    ]
    add(join, labels(told))
    return join, codes, truth


def test_a_windows_table_is_that_of_its_joined_rows(tmp_path: Path) -> None:
    """The table from the file has the metrics of the arrays, and so have the groups' tables."""
    join, codes, truth = filled(tmp_path / "join.sqlite", lambda s: np.full(len(s), 1.0))
    table = table_of(join, SERIES, SIGNATURE, 0, 2**62)
    (point,) = performance_points(table, table, WINDOW, QualityConfig(metrics=("accuracy",)))
    assert point.value == pytest.approx(compute("accuracy", truth, codes).value)
    groups = group_tables(join, SERIES, SIGNATURE, 0, 2**62)["sex"]
    assert {name: t.labelled for name, t in groups.items()} == {"sex = f": 667, "sex = m": 1333}
    half = table_of(join, SERIES, SIGNATURE, 0, 1000 * (HOUR_US // 60))
    assert half.labelled == 1000
    join.close()


def test_the_maturity_curve_is_the_share_of_delays_that_have_passed(tmp_path: Path) -> None:
    """Half of the labels come after 30 minutes, the other half after five hours."""
    hours = np.array([0.5, 5.0])

    def delays(scores: Any) -> Any:
        return hours[np.arange(len(scores)) % 2] * HOUR_US

    join, _, _ = filled(tmp_path / "join.sqlite", delays)
    now = 2000 * (HOUR_US // 60)
    curve = maturity_curve(join, SERIES, now)
    shares = {p.age // HOUR_US: p.share for p in curve.points}
    assert shares[1].value == pytest.approx(0.5, abs=0.01)
    assert shares[3].value == pytest.approx(0.5, abs=0.01)
    assert shares[6].value == 1.0
    assert shares[1].n == 1941
    # Ages that fewer than 50 predictions have reached are not told.
    assert max(shares) == 24
    assert curve.of_window(now - HOUR_US, now, now) == pytest.approx(0.25, abs=0.01)
    assert curve.of_window(0, HOUR_US, now) == pytest.approx(1.0)
    join.close()


@pytest.mark.parametrize("selective", [False, True])
def test_labels_that_depend_on_the_score_are_flagged(*, selective: bool) -> None:
    """Rows that were decided against are hardly ever labelled: an alarm, and a word beside all."""
    scores, codes, truth = binary_rows(4000, 6)
    chance = np.where(scores < 0.4, 0.1, 0.8) if selective else 0.4
    seen = np.random.default_rng(0).random(4000) < chance
    table = binary_table(scores, codes, np.where(seen, truth, -1))
    points = by_subject(coverage_points(table, WINDOW, CONFIG, {"early": 3}))
    assert points["labelled_share"].value == pytest.approx(float(seen.mean()))
    assert points["labelled_share"].evidence["early"] == 3
    assert points["labelled_by_score"].state == ("alarm" if selective else "ok")
    assert ("finding" in points["labelled_by_score"].evidence) is selective
    told = performance_points(table, table, WINDOW, CONFIG)[0].message
    assert ("labels depend on the score" in told) is selective


def test_labels_that_do_not_depend_on_the_score_are_seldom_called_selective() -> None:
    """Ten ranges, one test: p-values of null windows are spread evenly."""
    p_values = []
    for seed in range(80):
        scores, codes, truth = binary_rows(500, seed)
        seen = np.random.default_rng(seed).random(500) < 0.5
        found = label_selection(binary_table(scores, codes, np.where(seen, truth, -1)))
        assert found is not None
        p_values.append(found.p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.13


def groups_of(second_rate: float, n: int = 2000) -> dict[str, ScoreTable]:
    """Two groups, of which the second's truths are turned at a rate."""
    return {"sex = f": flipped(8, 0.0, n), "sex = m": flipped(9, second_rate, n)}


def test_a_group_that_fares_worse_is_an_alarm() -> None:
    """A quarter of one group's truths turned: its accuracy and true positive rate fall behind."""
    points = by_subject(fairness_points(groups_of(0.25), "sex", WINDOW, CONFIG))
    assert points["sex: accuracy_gap"].state == "alarm"
    assert points["sex: true_positive_gap"].state == "alarm"
    assert points["sex: selection_ratio"].state == "ok"
    assert points["sex: accuracy_gap"].evidence["group"] == "sex = m"
    assert points["sex: accuracy_gap"].threshold == 0.1
    assert "sex = m beside sex = f" in points["sex: accuracy_gap"].message


def test_groups_alike_are_no_alarm_and_small_ones_no_answer() -> None:
    """Equal groups are within the limits; one of 20 rows cannot be compared."""
    alike = fairness_points(groups_of(0.0), "sex", WINDOW, CONFIG)
    assert {p.state for p in alike} == {"ok"}
    small = {"sex = f": flipped(8, 0.0, 20), "sex = m": flipped(9, 0.4)}
    few = fairness_points(small, "sex", WINDOW, CONFIG)
    assert {p.state for p in few} == {"insufficient"}
    assert all(p.needed > 2000 for p in few)


def test_groups_of_a_regression_compare_by_their_errors() -> None:
    """Errors twice as large, and to one side, in one group."""
    rng = np.random.default_rng(3)
    tables = {}
    for name, scale, shift in (("a", 1.0, 0.0), ("b", 2.0, 1.0)):
        tables[name] = ScoreTable.empty("regression")
        truth = rng.normal(0, 5, 800)
        values = truth + rng.normal(shift, scale, 800)
        tables[name].update(values, np.full(800, -1), truth)
    points = by_subject(fairness_points(tables, "k", WINDOW, CONFIG))
    assert points["k: mae_gap"].state == "alarm"
    assert points["k: mean_error_gap"].state == "alarm"
    assert points["k: mae_gap"].evidence["group"] == "b"
