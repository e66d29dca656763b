"""Maps of probabilities: what was planted is found, order is kept, extremes do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from afterfit.stats.recalibration import (
    fit_isotonic,
    fit_platt,
    fit_temperature,
    logit,
    logit_line,
)
from afterfit.stats.slope import slope_of_values

RNG = np.random.default_rng(5)
CALIBRATED = RNG.beta(1, 2, 20_000)
HITS = RNG.random(20_000) < CALIBRATED
SHARP = expit(2 * logit(CALIBRATED))
"""Twice as extreme on the logit scale as is true."""

scores = arrays(np.float64, 50, elements=st.floats(0, 1))


def test_what_was_sharpened_is_found_by_every_map() -> None:
    """Slope 0.5 and temperature 2; isotonic steps come near the true probabilities."""
    platt, temperature = fit_platt(SHARP, HITS), fit_temperature(SHARP, HITS)
    assert platt is not None
    assert temperature is not None
    assert platt.slope == pytest.approx(0.5, abs=0.03)
    assert platt.intercept == pytest.approx(0.0, abs=0.05)
    assert temperature.temperature == pytest.approx(2.0, abs=0.1)
    steps = fit_isotonic(SHARP, HITS)
    for found in (platt, temperature, steps):
        assert np.abs(found.apply(SHARP) - CALIBRATED).mean() < 0.02
    assert np.abs(SHARP - CALIBRATED).mean() > 0.05


def test_a_line_on_the_logit_scale_is_that_of_an_unpenalized_regression() -> None:
    """Coefficients as scikit-learn's; the interval of a calibrated model holds 1."""
    line = logit_line(SHARP, HITS)
    peer = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(SHARP)[:, None], HITS)
    assert line.slope == pytest.approx(float(peer.coef_[0, 0]), rel=1e-5)
    assert line.intercept == pytest.approx(float(peer.intercept_[0]), abs=1e-5)
    assert line.slope_interval.high < 0.6
    honest = logit_line(CALIBRATED, HITS)
    assert honest.slope_interval.low < 1 < honest.slope_interval.high


def test_a_temperature_of_several_classes_is_found() -> None:
    """Logits of four classes that are half as far apart as they say."""
    logits = RNG.normal(size=(8000, 4)) * 1.5
    codes = np.array([RNG.choice(4, p=p) for p in softmax(logits, axis=1)])
    found = fit_temperature(softmax(2 * logits, axis=1), codes)
    assert found is not None
    assert found.temperature == pytest.approx(2.0, abs=0.15)
    mapped = found.apply(softmax(2 * logits, axis=1))
    assert mapped.sum(axis=1) == pytest.approx(1.0)
    expected = np.exp(log_softmax(2 * logits / found.temperature, axis=1))
    assert mapped == pytest.approx(expected, abs=1e-3), "logits beyond 1e-7 are cut"


@given(scores, arrays(bool, 50))
def test_maps_keep_the_order_and_stay_strictly_inside(score: np.ndarray, hit: np.ndarray) -> None:
    """Whatever the scores and truths, 0 and 1 among them: finite, rising, between 0 and 1."""
    order = np.argsort(score, kind="stable")
    for fit in (fit_platt, fit_temperature, fit_isotonic):
        found = fit(score, hit)
        if found is None:
            continue
        mapped = found.apply(score)
        assert ((mapped >= 0) & (mapped <= 1)).all()
        assert (np.diff(mapped[order]) >= -1e-12).all()
    steps = fit_isotonic(score, hit).apply(np.array([0.0, 0.5, 1.0]))
    assert ((steps >= 1 / 52) & (steps <= 51 / 52)).all()


def test_where_no_line_fits_there_is_none() -> None:
    """One class, constant scores, scores that part the truths, scores that rank backwards."""
    score = np.linspace(0.1, 0.9, 40)
    for hit, given_scores in (
        (np.ones(40, bool), score),
        (score > 0.5, np.full(40, 0.3)),
        (score > 0.5, score),
    ):
        line = logit_line(given_scores, hit)
        assert np.isnan(line.slope)
        assert line.slope_interval.method.startswith("undefined")
    assert fit_platt(score, score < 0.5) is None
    assert fit_temperature(score, score < 0.5) is None


def test_the_slope_of_values_has_an_interval_that_unequal_spread_does_not_mislead() -> None:
    """Errors grow with the prediction: of 300 intervals about 95 % hold the true slope."""
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(300):
        x = rng.normal(size=120)
        y = 2 + 0.8 * x + rng.normal(size=120) * (0.2 + np.abs(x))
        low, high, _ = slope_of_values(y, x).interval
        held += low <= 0.8 <= high
    assert 270 <= held <= 297


def test_predictions_that_do_not_vary_have_no_slope() -> None:
    """Nor have two rows, nor a perfect line an interval."""
    x = np.linspace(0, 1, 20)
    assert np.isnan(slope_of_values(x, np.full(20, 7.0)).slope)
    assert np.isnan(slope_of_values(x[:2], x[:2]).slope)
    perfect = slope_of_values(x, x)
    assert perfect.slope == pytest.approx(1.0)
    assert perfect.interval.method.startswith("undefined")
