"""Two models on the same rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as peer

from afterfit.core.formulae import compute
from afterfit.errors import InputError
from afterfit.stats.interval import mean_interval
from afterfit.stats.paired import (
    delong_difference,
    discordant,
    mcnemar_exact,
    mean_difference,
    tango,
)

tables = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)).filter(any)


def test_the_difference_of_means_pairs_the_rows() -> None:
    """A constant gap has no error however noisy the rows are."""
    losses = np.random.default_rng(0).gamma(2, 1, 100)
    gap, interval = mean_difference(losses + 0.5, losses)
    assert gap == pytest.approx(0.5)
    assert interval[:2] == pytest.approx((0.5, 0.5), abs=1e-9)
    other = losses[::-1]
    gap, interval = mean_difference(losses, other)
    assert interval == mean_interval(losses - other)
    with pytest.raises(InputError, match="shapes"):
        mean_difference(losses, losses[:5])
    assert math.isnan(mean_difference(losses[:0], losses[:0])[0])


def test_delong_difference_equals_the_covariance_form() -> None:
    """The variance is var A + var B - 2 cov, from the placements of both models."""
    generator = np.random.default_rng(3)
    truth = (generator.random(90) < 0.4).astype(int)
    scores = [np.round(generator.normal(size=90) + truth, 1) for _ in range(2)]
    by_positive, by_negative = [], []
    for score in scores:
        positive, negative = score[truth == 1], score[truth == 0]
        won = np.where(positive[:, None] == negative, 0.5, positive[:, None] > negative)
        by_positive.append(won.mean(axis=1))
        by_negative.append(won.mean(axis=0))
    covariance = np.cov(by_positive) / len(by_positive[0])
    covariance += np.cov(by_negative) / len(by_negative[0])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    gap, interval = delong_difference(truth, *scores, positive=1)
    expected = [compute("roc_auc", truth, score, positive=1).value for score in scores]
    assert gap == pytest.approx(expected[0] - expected[1])
    assert interval.high - gap == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-6)
    same, none = delong_difference(truth, scores[0], scores[0], positive=1)
    assert (same, none.low, none.high) == (0.0, 0.0, 0.0)
    assert math.isnan(delong_difference(np.zeros(90, int), *scores)[1].low)


def _score_statistic(only_first: int, only_second: int, n: int, delta: float) -> float:
    """Return the score statistic at delta, its rate found by numeric maximum likelihood."""

    def unlikely(second: float) -> float:
        first, rest = second + delta, 1 - 2 * second - delta
        terms = [(only_first, first), (only_second, second), (n - only_first - only_second, rest)]
        return -sum(count * math.log(max(rate, 1e-300)) for count, rate in terms if count)

    least, most = max(0.0, -delta), (1 - delta) / 2
    found = optimize.minimize_scalar(unlikely, bounds=(least, most), method="bounded",
                                     options={"xatol": 1e-12})  # fmt: skip
    variance = n * (2 * found.x + delta * (1 - delta))
    return abs(only_first - only_second - n * delta) / math.sqrt(variance)


@pytest.mark.parametrize(
    ("only_first", "only_second", "n"), [(9, 3, 40), (1, 12, 60), (20, 21, 99)]
)
def test_tango_inverts_the_score_test(only_first: int, only_second: int, n: int) -> None:
    """At both bounds the score statistic, by numeric likelihood, is the normal quantile."""
    low, high, _ = tango(only_first, only_second, n)
    for bound in (low, high):
        assert _score_statistic(only_first, only_second, n, bound) == pytest.approx(
            1.959964, rel=1e-4
        )


@given(tables, st.floats(0.5, 0.999), st.floats(0.5, 0.999))
@settings(deadline=None)
def test_tango_holds_the_difference_and_grows_with_the_level(
    table: tuple[int, int, int], one: float, other: float
) -> None:
    """Within [-1, 1], nested, and mirrored when the models change places."""
    first, second, rest = table
    n = first + second + rest
    narrow, wide = (tango(first, second, n, level) for level in sorted((one, other)))
    assert -1 <= wide.low <= narrow.low <= (first - second) / n <= narrow.high <= wide.high <= 1
    mirrored = tango(second, first, n, max(one, other))
    assert (mirrored.low, mirrored.high) == pytest.approx((-wide.high, -wide.low), abs=1e-6)


def test_tango_has_a_width_without_disagreement() -> None:
    """Two models that agree on 50 rows may still differ on the next."""
    low, high, _ = tango(0, 0, 50)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(1.959964**2 / (50 + 1.959964**2), rel=1e-4)
    assert math.isnan(tango(0, 0, 0).low)
    with pytest.raises(InputError, match="discordant"):
        tango(3, 3, 5)


@given(st.integers(0, 200), st.integers(0, 200))
@settings(deadline=None)
def test_mcnemar_equals_the_binomial_test(only_first: int, only_second: int) -> None:
    """The exact p-value is scipy's two-sided binomial test at one half."""
    n = only_first + only_second
    expected = peer.binomtest(only_first, n).pvalue if n else 1.0
    assert mcnemar_exact(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def test_discordant_rows_are_counted_by_side() -> None:
    """Only the first, only the second."""
    assert discordant(np.array([1, 1, 0, 1]), np.array([0, 0, 1, 1])) == (2, 1)
    with pytest.raises(InputError, match="shapes"):
        discordant(np.array([1]), np.array([1, 0]))
    with pytest.raises(InputError, match="discordant"):
        mcnemar_exact(-1, 2)
