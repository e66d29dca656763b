"""Calibration: what was planted is found, calibrated models are left alone, few rows say so."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import kstest
from tests.assess.samples import binary, evidence_of, finding, multiclass, regression, with_data

from afterfit.assess.calibration import about_reliability, calibration, reliabilities, sides_of
from afterfit.core.frame import Predictions
from afterfit.core.metric import find
from afterfit.records.assess_calibration import Calibration
from afterfit.stats.recalibration import logit

if TYPE_CHECKING:
    from afterfit.assess.evidence import Evidence, Part

RNG = np.random.default_rng(20261126)
TRUE = RNG.beta(1, 2, 4000)
HITS = RNG.random(4000) < TRUE
SHARP = expit(2 * logit(TRUE))
CODES = ("A030", "A032", "A034")


def kept(part: Part) -> Calibration:
    """What the record keeps of calibration."""
    found = part.fields["calibration"]
    assert isinstance(found, Calibration)
    return found


def draw(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """One class code for each row of probabilities."""
    reached = rng.random((len(probabilities), 1)) > np.cumsum(probabilities, axis=1)
    return np.asarray(reached[:, :-1].sum(axis=1))


def test_probabilities_sharpened_by_two_are_found_and_mended() -> None:
    """Issue with error, p and the worst bin; slope 0.5; every map gains; the mended ones agree."""
    part = calibration(binary(HITS, SHARP))
    found, told = finding(part, "A030"), kept(part)
    assert found.outcome == "issue"
    assert found.evidence["error"] == pytest.approx(np.sqrt(np.mean((SHARP - TRUE) ** 2)), abs=0.02)
    assert found.evidence["p_value"] == 1 / 500
    assert "came true" in found.message
    assert "p <= 0.002" in found.message
    slope = find(part.metrics, "calibration_slope")
    assert slope is not None
    assert slope.low is not None
    assert slope.low < 0.5 < slope.high  # type: ignore[operator]
    assert finding(part, "A032").outcome == "tip"
    assert told.best in {"platt", "temperature", "isotonic"}
    assert [one.method for one in told.recalibrations] == [
        "chosen", "temperature", "platt", "isotonic"]  # fmt: skip
    for one in told.recalibrations:
        for loss in one.losses:
            assert loss.gain.low is not None
            assert loss.gain.low > 0
    assert told.after is not None
    assert told.after.p_value > 0.01
    assert told.after.error < 0.02


def test_a_calibrated_model_passes_and_no_map_helps() -> None:
    """Slope 1 within its interval, the plain error is no larger than chance, nothing to fix."""
    part = calibration(binary(HITS, TRUE))
    assert {finding(part, code).outcome for code in CODES} == {"passed"}
    (one,) = kept(part).reliability
    assert one.ece < 2 * one.expected_ece
    assert sum(b.n for b in one.bins) == one.n == 4000
    for b in one.bins:
        assert b.low <= b.observed <= b.high
    brier = kept(part).brier
    assert brier is not None
    assert brier.value == pytest.approx(np.mean((TRUE - HITS) ** 2))
    whole = brier.reliability - brier.resolution + brier.uncertainty + brier.within
    assert brier.value == pytest.approx(whole)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_calibrated_models_are_hardly_ever_an_issue(classes: int) -> None:
    """Of 240 simulated ones at most 5 % are; p-values are uniform, or smaller ones rarer."""
    rng = np.random.default_rng(classes)
    issues, p_values = 0, []
    for seed in range(240):
        p = softmax(rng.normal(size=(600, classes)) * 1.5, axis=1)
        codes = draw(rng, p)
        evidence = (
            binary(codes == 1, p[:, 1], seed=seed)
            if classes == 2
            else multiclass(codes, p, seed=seed)
        )
        found = reliabilities(evidence, sides_of(evidence, p))
        issues += about_reliability(found).outcome == "issue"
        p_values.append(found[0].p_value)
    assert issues <= 0.05 * 240
    assert kstest(p_values, "uniform").statistic < 1.63 / np.sqrt(240) + 1 / 500


def test_several_classes_are_judged_by_the_likeliest_and_one_by_one() -> None:
    """Sharpened probabilities of four classes: found, and mended by one temperature."""
    logits = RNG.normal(size=(3000, 4)) * 1.5
    codes = draw(RNG, softmax(logits, axis=1))
    part = calibration(multiclass(codes, softmax(2 * logits, axis=1)))
    told = kept(part)
    assert finding(part, "A030").outcome == "issue"
    assert [one.of for one in told.reliability] == ["the likeliest class", "a", "b", "c", "d"]
    assert told.best == "temperature"
    assert 'method="temperature"' in finding(part, "A030").fix
    assert told.recalibrations[1].parameters["temperature"] == pytest.approx(2.0, abs=0.25)
    assert told.after is not None
    assert told.after.error < 0.02
    assert told.brier is not None
    truth = np.eye(4)[codes]
    score = np.square(softmax(2 * logits, axis=1) - truth).sum(axis=1).mean()
    assert told.brier.value == pytest.approx(score)
    honest = calibration(multiclass(codes, softmax(logits, axis=1)))
    assert finding(honest, "A030").outcome == "passed"


def test_a_small_error_of_many_rows_is_sure_and_no_issue() -> None:
    """P is small, and 0.01 of 0.3 changes nothing."""
    scores = np.full(200_000, 0.31)
    part = calibration(binary(np.arange(200_000) % 10 < 3, scores))
    (one,) = kept(part).reliability
    assert one.p_value == 1 / 500
    assert one.error == pytest.approx(0.01, abs=1e-4)
    assert finding(part, "A030").outcome == "passed"


def test_a_small_error_of_rare_rows_is_an_issue() -> None:
    """0.5 % are positive and all are given 1 %: half a point, and twice too much."""
    part = calibration(binary(np.arange(40_000) % 200 == 0, np.full(40_000, 0.01)))
    assert finding(part, "A030").outcome == "issue"


@pytest.mark.parametrize("hits", [np.zeros(300, bool), np.ones(300, bool)])
def test_one_class_only_is_no_crash(hits: np.ndarray) -> None:
    """What was said can be wrong all the same; no map is fitted to one class."""
    part = calibration(binary(hits, np.linspace(0.1, 0.9, 300)))
    assert finding(part, "A030").outcome == "issue"
    assert finding(part, "A032").outcome == "skipped"
    assert finding(part, "A034").outcome == "passed"


def test_constant_certainties_that_are_wrong_are_told() -> None:
    """All rows are given 0 (or 1), half of them wrongly; where they hold all is well."""
    hits = np.arange(200) < 100
    for constant in (0.0, 1.0):
        part = calibration(binary(hits, np.full(200, constant)))
        assert finding(part, "A030").outcome == "issue"
        assert finding(part, "A034").outcome == "tip"
        assert "100 of 200 rows" in finding(part, "A034").message
        slope = find(part.metrics, "calibration_slope")
        assert slope is not None
        assert slope.value is None
    right = calibration(binary(hits, hits.astype(float)))
    assert {finding(right, code).outcome for code in ("A030", "A034")} == {"passed"}


def test_three_rows_say_nothing_and_how_many_would() -> None:
    """Skipped, with the number of rows that is needed."""
    part = calibration(binary(np.array([True, False, True]), np.array([0.9, 0.2, 0.4])))
    for code in ("A030", "A032"):
        assert finding(part, code).outcome == "skipped"
        assert finding(part, code).evidence["needed_n"] > 3
    few = calibration(binary(HITS[:60], TRUE[:60]))
    assert finding(few, "A030").outcome == "skipped"
    assert finding(few, "A030").evidence["needed_n"] > 60


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5, 1.5])
def test_what_is_no_probability_is_skipped(bad: float) -> None:
    """NaN, infinity and numbers outside of 0 to 1: why, and no number."""
    part = calibration(binary(HITS, np.where(np.arange(4000) == 7, bad, TRUE)))
    assert {finding(part, code).outcome for code in CODES} == {"skipped"}
    assert part.metrics == ()


def test_labels_alone_have_no_calibration() -> None:
    """Not applicable, and not passed."""
    evidence = binary(HITS, TRUE)
    part = calibration(
        evidence_of(evidence.signature, evidence.truth, Predictions(codes=evidence.truth))
    )
    assert {found.outcome for found in part.findings} == {"not_applicable"}


def test_groups_stay_together_and_maps_are_judged_on_later_rows() -> None:
    """Groups of ten rows are in one part; with a time column the earliest rows are not judged."""
    evidence = binary(HITS, SHARP)
    grouped = calibration(with_data(evidence, group=np.arange(4000) // 10))
    assert kept(grouped).recalibrations[0].losses[0].gain.n == 4000
    timed = calibration(with_data(evidence, time=np.arange(4000)))
    assert kept(timed).recalibrations[0].losses[0].gain.n < 3400
    words = np.array(["last Tuesday"] * 4000, dtype=object)
    unordered = finding(calibration(with_data(evidence, time=words)), "A032")
    assert unordered.outcome == "skipped"
    assert "no order" in unordered.message


def test_without_time_no_map_is_tried() -> None:
    """The deadline has passed: skipped, and the reliability is there all the same."""
    late = replace(binary(HITS, SHARP), deadline=time.monotonic() - 1)
    part = calibration(late)
    assert finding(part, "A032").outcome == "skipped"
    assert finding(part, "A030").outcome == "issue"


def test_the_chosen_map_is_judged_on_rows_that_did_not_choose_it() -> None:
    """Random truths: over 40 tables the chosen map's mean gain is not above 0."""
    gains = []
    rng = np.random.default_rng(1)
    for seed in range(40):
        score = rng.beta(2, 2, 150)
        evidence = binary(rng.random(150) < score, score, seed=seed)
        gains.append(kept(calibration(evidence)).recalibrations[0].losses[0].gain.value)
    values = np.array(gains, float)
    assert values.mean() < 2 * values.std() / np.sqrt(40)


def regression_rows(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Truths and calibrated predictions of them."""
    values = RNG.normal(10, 2, n)
    return values + RNG.normal(0, 1, n), values


def test_values_that_are_too_high_or_too_extreme_are_found() -> None:
    """Calibrated values pass; a shift and a stretch are issues, each with its numbers."""
    truth, values = regression_rows()
    part = calibration(regression(truth, values))
    assert finding(part, "A031").outcome == "passed"
    slope, mean = (find(part.metrics, name) for name in ("calibration_slope", "mean_error"))
    assert slope is not None
    assert mean is not None
    assert slope.low is not None
    assert slope.low < 1 < slope.high  # type: ignore[operator]
    assert mean.unit == "price"
    high = finding(calibration(regression(truth, values + 0.5)), "A031")
    assert high.outcome == "issue"
    assert "too high" in high.message
    stretched = finding(calibration(regression(truth, 10 + 1.6 * (values - 10))), "A031")
    assert stretched.outcome == "issue"
    assert "spread more than the truth" in stretched.message


def test_calibrated_values_are_hardly_ever_an_issue() -> None:
    """Of 200 simulated ones at most 3 % are, with heavy-tailed errors too."""
    rng = np.random.default_rng(4)
    issues = 0
    for _ in range(200):
        values = rng.normal(size=150)
        truth = values + rng.standard_t(4, 150) * 0.7
        issues += finding(calibration(regression(truth, values)), "A031").outcome == "issue"
    assert issues <= 6


def test_values_that_cannot_be_judged_are_skipped() -> None:
    """Few rows, NaN, a constant: skipped or judged by the mean alone, never a crash."""
    truth, values = regression_rows(200)
    assert finding(calibration(regression(truth[:3], values[:3])), "A031").outcome == "skipped"
    broken = np.where(np.arange(200) == 3, np.nan, values)
    assert finding(calibration(regression(truth, broken)), "A031").outcome == "skipped"
    constant = calibration(regression(truth, np.full(200, truth.mean())))
    assert finding(constant, "A031").outcome == "passed"
    off = calibration(regression(np.full(200, 3.0), np.full(200, 4.0)))
    assert finding(off, "A031").outcome == "issue"


def timed(evidence: Evidence) -> float:
    """The processor time that the part takes, seconds: a busy machine does not lengthen it."""
    start = time.process_time()
    calibration(evidence)
    return time.process_time() - start


@pytest.mark.slow
def test_a_million_rows_take_seconds() -> None:
    """Less than five; 1.9 were measured."""
    scores = RNG.beta(1, 3, 1_000_000)
    assert timed(binary(RNG.random(1_000_000) < scores, scores)) < 5
