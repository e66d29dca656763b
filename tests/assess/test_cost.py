"""Thresholds by cost: the cheapest one, judged on rows that did not choose it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit
from tests.assess.samples import binary, evidence_of, finding, multiclass, with_data

from afterfit.assess.config import DecisionCosts
from afterfit.assess.cost import (
    cheapest,
    costs_of_thresholds,
    decider_of,
    row_costs,
    theoretical_threshold,
)
from afterfit.assess.threshold import LARGEST
from afterfit.core.frame import Predictions
from afterfit.records.assess_calibration import Costs, ThresholdCurve
from afterfit.stats.recalibration import logit

RNG = np.random.default_rng(20261126)
TRUE = RNG.beta(0.6, 6, 6000)
HITS = RNG.random(6000) < TRUE
MISSES_COST = DecisionCosts(false_negative=50, false_positive=1)


@given(
    arrays(bool, 40),
    arrays(float, 40, elements=st.floats(0, 1)),
    st.floats(0.001, 0.999),
    st.tuples(*[st.floats(0, 10)] * 4),
)
def test_no_threshold_is_cheaper_than_the_cheapest(
    hits: np.ndarray, scores: np.ndarray, other: float, told: tuple[float, ...]
) -> None:
    """Whatever the costs and gains; it lies in (0, 1)."""
    costs = DecisionCosts(
        false_negative=told[0] + 0.1,
        false_positive=told[1] + 0.1,
        true_positive=told[2],
        true_negative=told[3],
    )
    order = np.argsort(-scores, kind="stable")
    best = cheapest(hits[order], np.minimum(scores[order], LARGEST), costs)
    assert 0 < best < 1
    least = row_costs(hits, scores >= best, costs).sum()
    assert least <= row_costs(hits, scores >= other, costs).sum() + 1e-9


def test_the_theory_of_a_calibrated_model() -> None:
    """c_fp / (c_fp + c_fn), with gains on their side; equal costs give the middle."""
    assert theoretical_threshold(MISSES_COST) == pytest.approx(1 / 51)
    assert theoretical_threshold(DecisionCosts(false_negative=3, false_positive=3)) == 0.5
    gains = DecisionCosts(false_negative=2, false_positive=1, true_positive=2, true_negative=1)
    assert theoretical_threshold(gains) == pytest.approx(2 / 6)


def test_a_cheaper_threshold_is_told_with_what_it_saves() -> None:
    """A miss costs 50: from about 0.02 on is cheaper than from 0.5 on, and the interval says so.

    The scores are calibrated, so what the costs ask for is named, and not what luck chose.
    """
    part = costs_of_thresholds(binary(HITS, TRUE, costs=MISSES_COST))
    found, costs = finding(part, "A033"), part.fields["costs"]
    assert isinstance(costs, Costs)
    assert found.outcome == "tip"
    assert found.fix == "--threshold 0.01961"
    assert "not surely cheaper still" in found.message
    assert 0.005 < costs.proposed < 0.06
    assert costs.theoretical == pytest.approx(1 / 51)
    present = 1000 * row_costs(HITS, TRUE >= 0.5, MISSES_COST).mean()
    assert costs.at_present.value == pytest.approx(present)
    assert costs.saving.low is not None
    assert costs.saving.low > 0
    assert costs.saving.n == costs.at_proposed.n == 6000
    assert costs.at_proposed.value is not None
    assert costs.saving.value == pytest.approx(present - costs.at_proposed.value)
    assert {metric.name for metric in part.metrics} == {"expected_cost", "cost_saving"}
    assert {metric.unit for metric in part.metrics} == {"per 1,000 rows"}


def test_the_curve_is_the_cost_at_each_threshold_within_its_band() -> None:
    """Counted cell by cell it is what the rows cost one by one; present and proposed are on it."""
    part = costs_of_thresholds(binary(HITS, TRUE, costs=MISSES_COST))
    costs = part.fields["costs"]
    curve = costs.curve
    assert len(curve.thresholds) <= 90
    for at in (costs.present, costs.proposed):
        assert at in curve.thresholds
    pairs = zip(curve.thresholds, curve.cost, curve.low, curve.high, strict=True)
    for threshold, cost, low, high in pairs:
        assert cost == pytest.approx(1000 * row_costs(HITS, threshold <= TRUE, MISSES_COST).mean())
        assert low <= cost <= high
    at_present = curve.thresholds.index(costs.present)
    width = curve.high[at_present] - curve.low[at_present]
    assert width == pytest.approx(costs.at_present.high - costs.at_present.low, rel=0.15)


def test_the_best_threshold_is_not_cheaper_than_itself() -> None:
    """At the threshold of a calibrated model there is surely nothing to save."""
    part = costs_of_thresholds(binary(HITS, TRUE, 1 / 51, costs=MISSES_COST))
    assert finding(part, "A033").outcome == "passed"


def test_what_choosing_saves_is_judged_on_other_rows() -> None:
    """Scores that say nothing: on the rows that choose a threshold saves, on others it does not."""
    rng = np.random.default_rng(2)
    equal = DecisionCosts(false_negative=1, false_positive=1)
    seen, honest = [], []
    for seed in range(60):
        hits, scores = rng.random(80) < 0.5, rng.random(80)
        part = costs_of_thresholds(binary(hits, scores, seed=seed, costs=equal))
        costs = part.fields["costs"]
        before = row_costs(hits, scores >= 0.5, equal).mean()
        seen.append(before - row_costs(hits, scores >= costs.proposed, equal).mean())
        honest.append(costs.saving.value)
    assert np.mean(seen) > 0.05
    assert np.mean(honest) < 3 * np.std(honest) / np.sqrt(60)


def test_without_costs_there_is_the_curve_of_what_thresholds_decide() -> None:
    """Not applicable, with what to write; precision, recall, F1 and share at each threshold."""
    part = costs_of_thresholds(binary(HITS, TRUE))
    found = finding(part, "A033")
    assert found.outcome == "not_applicable"
    assert "[cost]" in found.message
    curve = part.fields["thresholds"]
    assert isinstance(curve, ThresholdCurve)
    assert "costs" not in part.fields
    columns = zip(
        curve.thresholds, curve.precision, curve.recall, curve.f1, curve.selected, strict=True
    )
    for threshold, precision, recall, f1, selected in columns:
        decided = threshold <= TRUE
        assert precision == pytest.approx(HITS[decided].mean())
        assert recall == pytest.approx(decided[HITS].mean())
        assert selected == pytest.approx(decided.mean())
        assert f1 == pytest.approx(2 * (decided & HITS).sum() / (decided.sum() + HITS.sum()))


def test_what_has_no_threshold_is_not_judged() -> None:
    """Several classes, labels alone, and a model that decides by itself."""
    several = multiclass(np.arange(30) % 3, np.full((30, 3), 1 / 3), costs=MISSES_COST)
    assert decider_of(several) is None
    rows = binary(HITS, TRUE)
    labels = evidence_of(rows.signature, rows.truth, Predictions(codes=rows.truth))
    for evidence in (several, labels):
        assert finding(costs_of_thresholds(evidence), "A033").outcome == "not_applicable"


@pytest.mark.parametrize(
    ("hits", "scores"),
    [
        (np.zeros(200, bool), np.linspace(0, 1, 200)),
        (np.ones(200, bool), np.linspace(0, 1, 200)),
        (np.array([True, False, True]), np.array([0.9, 0.1, 0.4])),
        (HITS[:200], np.where(np.arange(200) == 5, np.nan, TRUE[:200])),
    ],
)
def test_rows_that_choose_nothing_are_skipped(hits: np.ndarray, scores: np.ndarray) -> None:
    """One class, three rows, NaN: skipped with the reason."""
    part = costs_of_thresholds(binary(hits, scores, costs=MISSES_COST))
    assert finding(part, "A033").outcome == "skipped"


@pytest.mark.parametrize("constant", [0.0, 0.3, 1.0])
def test_constant_scores_are_no_crash(constant: float) -> None:
    """All or none are decided positive, and what that costs is told."""
    hits = np.arange(300) % 3 == 0
    part = costs_of_thresholds(binary(hits, np.full(300, constant), costs=MISSES_COST))
    assert finding(part, "A033").outcome in {"passed", "tip"}
    assert 0 < part.fields["costs"].proposed < 1


def test_time_and_groups_decide_which_rows_choose() -> None:
    """With a time column later rows judge earlier ones' choice; a time without order is told."""
    evidence = binary(HITS, TRUE, costs=MISSES_COST)
    timed = costs_of_thresholds(with_data(evidence, time=np.arange(6000)))
    assert timed.fields["costs"].saving.n == 5000
    words = np.array(["last Tuesday"] * 6000, dtype=object)
    unordered = finding(costs_of_thresholds(with_data(evidence, time=words)), "A033")
    assert unordered.outcome == "skipped"
    grouped = costs_of_thresholds(with_data(evidence, group=np.arange(6000) // 50))
    assert grouped.fields["costs"].saving.n == 6000


def test_a_miscalibrated_model_is_cheaper_at_another_threshold_than_in_theory() -> None:
    """Sharpened scores: theory says 1/51, the rows say less, and both are told."""
    sharp = expit(2 * logit(TRUE))
    part = costs_of_thresholds(binary(HITS, sharp, costs=MISSES_COST))
    costs = part.fields["costs"]
    assert costs.proposed < costs.theoretical / 5
    assert costs.at_proposed.value < costs.at_theoretical.value
    found = finding(part, "A033")
    assert found.fix == f"--threshold {costs.proposed:g}"
    assert costs.dearer_theoretical.low > 0
