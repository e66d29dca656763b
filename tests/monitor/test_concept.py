"""Concept drift: false alarms as seldom as asked, soon found, and exact to go on with."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterfit.errors import InputError
from afterfit.monitor.signals.concept import (
    Detector,
    ErrorStream,
    concept_point,
    errors_of,
    fit_detector,
)
from afterfit.monitor.signals.quality import QualityConfig, Window
from afterfit.records.signals import Scope
from afterfit.stats.cusum import alarm_limit, cycle_peaks

WINDOW = Window(Scope(), 0, 1)
CONFIG = QualityConfig(least=0.05)


def bernoulli(seed: int, n: int, rate: float) -> np.ndarray:
    """Errors of 0 and 1 at a rate."""
    return (np.random.default_rng(seed).random(n) < rate).astype(np.float64)


def alarms(detector: Detector, values: np.ndarray) -> list[int]:
    """The rows at which a sum that starts anew after each alarm passes its limit."""
    found, total = [], 0.0
    for row, step in enumerate(detector.steps(values).tolist()):
        total = max(0.0, total + step)
        if total >= detector.limit:
            found.append(row)
            total = 0.0
    return found


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A detector for an error rate of 0.10 that may rise to 0.15, once in 5,000 rows by chance."""
    return fit_detector("binary", bernoulli(0, 20_000, 0.10), 5000, CONFIG, block=1)


def test_false_alarms_come_as_seldom_as_asked() -> None:
    """Over 6 references and 240,000 rows without a change, within a quarter of one in 5,000."""
    seen = 0
    for seed in range(6):
        made = fit_detector("binary", bernoulli(seed, 20_000, 0.1), 5000, CONFIG, block=1)
        seen += len(alarms(made, bernoulli(1000 + seed, 40_000, 0.1)))
    assert 0.75 <= seen / (240_000 / 5000) <= 1.25


def test_rare_false_alarms_follow_from_the_tail(detector: Detector) -> None:
    """A limit beyond what was simulated is that of a longer simulation."""
    steps = detector.steps(bernoulli(0, 20_000, 0.10))
    short = alarm_limit(steps, 100_000, block=1, seed=0, rows=400_000)
    long = alarm_limit(steps, 100_000, block=1, seed=1, rows=4_000_000)
    assert short == pytest.approx(long, rel=0.15)


def test_a_shift_is_found_after_about_the_delay_that_is_told(detector: Detector) -> None:
    """From 0.10 to 0.15: the mean delay of 100 streams is within a quarter of what was foretold."""
    delays = [alarms(detector, bernoulli(seed, 4000, 0.15))[0] for seed in range(100)]
    assert np.mean(delays) == pytest.approx(detector.delay, rel=0.25)
    assert detector.delay < 400


def test_rows_that_hang_together_need_a_higher_limit() -> None:
    """Errors in runs of 20: blocks keep the false alarms down where single rows do not."""
    rng = np.random.default_rng(5)
    runs = np.repeat((rng.random(40_000) < 0.1).astype(float), 20)
    reference, later = runs[:40_000], runs[40_000:]
    single, blocks = (
        fit_detector("binary", reference, 20_000, CONFIG, block=size) for size in (1, 200)
    )
    expected = len(later) / 20_000
    assert len(alarms(single, later)) > 10 * expected
    assert len(alarms(blocks, later)) <= 2 * expected


def test_losses_that_grow_are_found() -> None:
    """Absolute errors that grow by a fifth, in the target's unit; one huge error alone is none."""
    rng = np.random.default_rng(6)
    reference = np.abs(rng.normal(0, 10, 20_000))
    config = QualityConfig(least_share=0.2)
    made = fit_detector("regression", reference, 50_000, config)
    assert made.usual == pytest.approx(7.98, abs=0.1)
    assert made.shift == pytest.approx(made.usual * 0.2)
    assert alarms(made, np.abs(rng.normal(0, 12, 5000)))[0] < 1000
    calm = np.abs(rng.normal(0, 10, 200))
    calm[50] = 1e9
    assert alarms(made, calm) == []


@settings(max_examples=20)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 500))
def test_stretches_in_order_are_one_stream(detector: Detector, sizes: list[int], seed: int) -> None:
    """However a stream is cut, and however its parts are grouped, the sum is the same."""
    values = bernoulli(seed, sum(sizes), 0.3)
    whole = detector.stream(values)
    parts = [detector.stream(part) for part in np.split(values, np.cumsum(sizes)[:-1])]
    forward = detector.nothing()
    for part in parts:
        forward.follow(part)
    backward = parts[-1]
    for part in reversed(parts[:-1]):
        first = msgspec.structs.replace(part)
        first.follow(backward)
        backward = first
    for found in (forward, backward):
        assert found.statistic == pytest.approx(whole.statistic)
        assert (found.n, found.total, found.since) == (whole.n, whole.total, whole.since)
        assert found.peak == pytest.approx(whole.peak)


def test_a_stream_comes_back_from_json_as_it_was(detector: Detector) -> None:
    """What was kept is what is gone on with."""
    stream = detector.stream(bernoulli(3, 500, 0.2))
    assert msgspec.json.decode(msgspec.json.encode(stream), type=ErrorStream) == stream
    assert msgspec.json.decode(msgspec.json.encode(detector), type=Detector) == detector


def test_windows_tell_when_it_began_and_come_down_after() -> None:
    """Ten calm windows, five of drift, ten calm ones: alarms begin and end with the drift."""
    detector = fit_detector("binary", bernoulli(0, 20_000, 0.1), 1_000_000, CONFIG)
    rates = [0.10] * 10 + [0.25] * 5 + [0.10] * 10
    before, points = detector.nothing(), []
    for place, rate in enumerate(rates):
        stretch = detector.stream(bernoulli(70 + place, 300, rate))
        points.append(concept_point(detector, before, stretch, WINDOW))
        before.follow(stretch)
    states = [point.state for point in points]
    assert states[:10] == ["ok"] * 10
    assert states[10:15] == ["alarm"] * 5
    assert states[-6:] == ["ok"] * 6
    assert "rose from 0.1" in points[12].message
    assert points[12].evidence["mean"] == pytest.approx(0.25, abs=0.08)


def test_no_labels_and_a_short_reference_are_no_answer(detector: Detector) -> None:
    """A window without labels says so; a reference that hardly knows its own rate, how long."""
    empty = concept_point(detector, detector.nothing(), detector.nothing(), WINDOW)
    assert (empty.state, empty.n) == ("insufficient", 0)
    short = fit_detector("binary", bernoulli(1, 600, 0.1), 5000, QualityConfig(least=0.02))
    stretch = short.stream(bernoulli(2, 100, 0.1))
    point = concept_point(short, short.nothing(), stretch, WINDOW)
    assert point.state == "cannot_tell"
    assert point.needed > 600
    with pytest.raises(InputError, match="too few"):
        fit_detector("binary", bernoulli(1, 100, 0.1), 5000, CONFIG)


def test_errors_are_those_of_rows_with_label_and_answer() -> None:
    """Unknown truths, foreign labels and missing answers are left out, order stays."""
    codes, truth = np.array([0, 1, -1, 1, 0]), np.array([0, 0, 1, -1, -2])
    assert errors_of("binary", np.zeros(5), codes, truth).tolist() == [0.0, 1.0]
    sizes = errors_of("regression", np.array([1.0, np.nan, 5.0]), codes, np.array([3.0, 1.0, 5.0]))
    assert sizes.tolist() == [2.0, 0.0]


def test_cycles_are_told_apart_by_their_zeros() -> None:
    """The greatest sums between zeros, as counted by hand."""
    steps = np.array([1.0, 1.0, -3.0, 2.0, -1.0, 3.0, -9.0, -1.0, 0.5])
    assert cycle_peaks(steps).tolist() == [2.0, 4.0, 0.5]
