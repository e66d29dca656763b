"""Distances of binned samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as peer
from scipy.spatial.distance import jensenshannon

from afterfit.errors import InputError
from afterfit.stats.distance import (
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    total_variation,
    wasserstein,
)

pairs = st.integers(1, 20).flatmap(
    lambda bins: st.tuples(
        *[arrays(np.int64, bins, elements=st.integers(0, 50)).filter(np.any) for _ in range(2)]
    )
)


@given(pairs)
@settings(deadline=None)
def test_distances_are_finite_symmetric_and_bounded(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Whatever is empty: 0 to 1 (PSI: from 0), and the same both ways."""
    before, after = pair
    for distance in (total_variation, jensen_shannon, kolmogorov_smirnov, psi):
        value = float(distance(before, after))
        assert 0 <= value < (np.inf if distance is psi else 1 + 1e-12)
        assert value == pytest.approx(float(distance(after, before)), abs=1e-12)


@given(pairs, st.integers(1, 9))
@settings(deadline=None)
def test_equal_shares_are_at_distance_zero(pair: tuple[np.ndarray, np.ndarray], times: int) -> None:
    """A sample and the same sample several times over; constants are one filled bin."""
    before = pair[0]
    positions = np.arange(len(before))
    for distance in (total_variation, jensen_shannon, kolmogorov_smirnov, psi):
        assert float(distance(before, times * before)) == pytest.approx(0, abs=1e-7)
    assert float(wasserstein(before, times * before, positions)) == pytest.approx(0, abs=1e-12)


@given(pairs)
@settings(deadline=None)
def test_distances_equal_scipy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Jensen-Shannon, Wasserstein and Kolmogorov-Smirnov of the same histograms."""
    before, after = pair
    positions = np.cumsum(np.arange(1, len(before) + 1)) / 3
    expected = np.nan_to_num(jensenshannon(before, after, base=2))
    assert float(jensen_shannon(before, after)) == pytest.approx(expected, abs=1e-6)
    moved = peer.wasserstein_distance(positions, positions, before, after)
    assert float(wasserstein(before, after, positions)) == pytest.approx(moved, abs=1e-9)
    rows = [np.repeat(positions, counts) for counts in (before, after)]
    gap = peer.ks_2samp(*rows, method="asymp").statistic
    assert float(kolmogorov_smirnov(before, after)) == pytest.approx(gap, abs=1e-12)


def test_psi_and_total_variation_by_hand() -> None:
    """Shares of a half against nine tenths; an empty bin counts with the floor."""
    before, after = np.array([50, 50]), np.array([90, 10])
    expected = 0.4 * np.log(1.8) - 0.4 * np.log(0.2)
    assert float(psi(before, after)) == pytest.approx(expected)
    assert float(total_variation(before, after)) == pytest.approx(0.4)
    empty = float(psi(np.array([1, 1]), np.array([1, 0]), floor=0.01))
    assert empty == pytest.approx(0.5 * np.log(2) + (0.01 - 0.5) * np.log(0.01 / 0.5))


def test_many_samples_are_compared_at_once() -> None:
    """Leading axes broadcast: one reference, a stack of windows."""
    generator = np.random.default_rng(0)
    before, windows = generator.integers(0, 9, 12), generator.integers(1, 9, (5, 12))
    positions = np.sort(generator.random(12))
    for distance in (total_variation, jensen_shannon, kolmogorov_smirnov, psi):
        single = [float(distance(before, window)) for window in windows]
        assert distance(before, windows).tolist() == pytest.approx(single)
    single = [float(wasserstein(before, window, positions)) for window in windows]
    assert wasserstein(before, windows, positions).tolist() == pytest.approx(single)


def test_a_sample_without_rows_is_an_input_error() -> None:
    """No distribution is not a distance of zero; nor are negative counts or unlike bins."""
    full = np.array([1, 2, 3])
    for wrong in (np.zeros(3), np.array([1, -1, 3]), np.array([1, np.nan, 2]), np.ones(2)):
        with pytest.raises(InputError):
            total_variation(full, wrong)
    for positions in (np.array([3, 2, 1]), np.array([0, np.nan, 1]), np.arange(4)):
        with pytest.raises(InputError, match="positions"):
            wasserstein(full, full, positions)
