"""The share of wrong labels beside the model's own miscalibration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from afterfit.stats.label_noise import _gradients, _several, _two, label_noise


def drawn(n: int, seed: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels that follow their probabilities, of [n] and [n, classes]."""
    random = np.random.default_rng(seed)
    raised = np.exp(random.normal(size=(n, classes)) * 2.5)
    p = raised / raised.sum(axis=1, keepdims=True)
    labels = (random.random(n)[:, None] > np.cumsum(p, axis=1)).sum(axis=1)
    return np.minimum(labels, classes - 1), p


def flipped(labels: np.ndarray, share: float, classes: int, seed: int) -> np.ndarray:
    """The labels, a share of them moved to another class."""
    random = np.random.default_rng(seed)
    out = labels.copy()
    rows = random.choice(len(labels), int(share * len(labels)), replace=False)
    out[rows] = (out[rows] + random.integers(1, classes, len(rows))) % classes
    return out


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_the_interval_holds_the_share_of_flips(classes: int) -> None:
    """In most of eight tables of 5 % flips, each seen as flips at p <= 0.001."""
    held = seen = 0
    for seed in range(8):
        labels, p = drawn(2000, seed, classes)
        found = label_noise(flipped(labels, 0.05, classes, seed), p)
        held += found.low <= 0.05 <= found.high
        seen += found.p_value <= 0.001
    assert held >= 6
    assert seen >= 6


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.5])
def test_probabilities_that_are_off_alone_are_no_flips(slope: float) -> None:
    """The p-value is small as seldom as it says, however steep the model is."""
    small = 0
    for seed in range(40):
        labels, p = drawn(1500, seed, 2)
        odds = slope * np.log(p[:, 1] / p[:, 0]) + 0.5
        steep = 1 / (1 + np.exp(-odds))
        both = np.column_stack([1 - steep, steep])
        small += label_noise(labels, both, interval=False).p_value <= 0.05
    assert small <= 6


def test_the_doubt_of_a_row_is_the_chance_that_its_label_was_flipped() -> None:
    """Among rows with a doubt of about d, about a share d was flipped."""
    labels, p = drawn(20_000, 1, 2)
    given = flipped(labels, 0.08, 2, 1)
    found = label_noise(given, p)
    wrong = given != labels
    assert found.doubt.sum() == pytest.approx(wrong.sum(), rel=0.15)
    sure = found.doubt > 0.8
    assert wrong[sure].mean() == pytest.approx(found.doubt[sure].mean(), abs=0.06)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_gradients_are_those_of_the_likelihood(classes: int) -> None:
    """Against differences, with flips and without."""
    labels, p = drawn(200, 2, classes)
    logs = np.log(p)
    calibrate = _two if classes == 2 else _several
    start = np.array([0.2, -0.1, 0.3, -2.0] if classes == 2 else [0.2, -2.0])
    for flips in (True, False):
        at = start if flips else start[:-1]

        def mean(x: np.ndarray, flips: bool = flips) -> float:  # noqa: FBT001 - bound per loop
            values, _ = _gradients(lambda y: calibrate(labels, logs, y), x, classes, flips=flips)
            return float(values.mean())

        _, slopes = _gradients(lambda y: calibrate(labels, logs, y), at, classes, flips=flips)
        expected = approx_fprime(at, mean, 1e-7)
        assert slopes.mean(axis=1) == pytest.approx(expected, abs=1e-5)


def test_votes_of_zero_and_one_are_no_certainty() -> None:
    """Forty trees that all say no have said less than 1/40; what they miss is no flip."""
    random = np.random.default_rng(0)
    shares = random.beta(0.4, 0.4, 4000)
    labels = (random.random(4000) < shares).astype(np.int64)
    votes = random.binomial(40, shares) / 40
    assert label_noise(labels, np.column_stack([1 - votes, votes])).p_value > 0.001
