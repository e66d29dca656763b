"""How surprising binned samples are, against exact laws and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.stats import surprise

SHARES = np.array([[0.05, 0.2, 0.3, 0.25, 0.15, 0.05], [0.6, 0.1, 0.1, 0.1, 0.05, 0.05]])
counts = st.lists(st.integers(0, 500), min_size=4, max_size=4)


def drawn(n: int, windows: int) -> np.ndarray:
    """Counts of samples of two columns, (windows, 2, 6)."""
    random = np.random.default_rng(0)
    return np.stack([random.multinomial(n, share, size=windows) for share in SHARES], axis=1)


@pytest.mark.parametrize("chance", [0.1, 0.01])
def test_the_law_of_gaps_is_that_of_samples(chance: float) -> None:
    """Of samples from the reference as many are as surprising as the surprise says."""
    reference = SHARES * 1e9
    found = surprise.law_of_gaps(reference).surprise(
        surprise.ordered(reference, reference, drawn(2000, 20_000))
    )
    rates = (found > -np.log(chance)).mean(axis=0)
    assert rates == pytest.approx(chance, rel=0.25)


def test_the_deviance_is_that_of_a_contingency_table() -> None:
    """It is scipy's G, without pooling, and its law the chi-squared law times Williams' factor."""
    from scipy.stats import chi2_contingency

    before, after = SHARES[:1] * 5000, drawn(400, 1)[0, :1].astype(float)
    both = np.stack([before[0], after[0]])
    told = chi2_contingency(both, correction=False, lambda_="log-likelihood")
    statistic = surprise.deviance(before, before, after, 400)
    assert statistic == pytest.approx(told.statistic)
    law = surprise.law_of_deviance(before, 400)
    assert law.surprise(statistic) == pytest.approx(-np.log(told.pvalue), rel=0.02)
    assert 1 < law.mean[0] / 5 < 1.02


@pytest.mark.parametrize("chance", [0.01, 0.001])
def test_the_law_of_the_deviance_holds_where_few_rows_are_expected(chance: float) -> None:
    """Five rows in the rarest bins; Pearson's statistic would alarm 1.5 times as often at 0.1 %."""
    reference = SHARES * 1e9
    found = surprise.law_of_deviance(reference, 100).surprise(
        surprise.deviance(reference, reference, drawn(100, 40_000), 100)
    )
    assert (found > -np.log(chance)).mean(axis=0) == pytest.approx(chance, rel=0.5)


def test_bins_of_few_rows_are_pooled_until_they_expect_enough() -> None:
    """Two rare bins and the smallest of the others make one."""
    law = surprise.law_of_deviance(np.array([[1.0, 2.0, 60.0, 400.0, 537.0]]), 100)
    assert law.freedom == pytest.approx([2.0])


def test_a_surprise_beyond_the_smallest_number_goes_on() -> None:
    """It is neither infinite nor smaller than one of a smaller statistic."""
    law = surprise.Law.of(np.array([5.0]), np.array([5.0]), np.array([5.0]))
    near, far = law.surprise(np.array([1250.0])), law.surprise(np.array([1500.0]))
    assert np.isfinite(far).all()
    assert far - near == pytest.approx([125.0], rel=0.01)


@given(st.floats(0.5, 200.0))
def test_the_value_of_a_surprise_is_as_surprising(nats: float) -> None:
    """The two functions of a law are inverse to each other."""
    law = surprise.law_of_gaps(SHARES * 1000)
    assert law.surprise(law.value(nats)) == pytest.approx([nats, nats], rel=1e-6)


@given(counts, counts)
def test_no_counts_give_nan_and_equal_ones_no_surprise(first: list[int], second: list[int]) -> None:
    """Empty bins, empty samples and constants included."""
    before, after = np.array([first], float), np.array([second], float)
    _, spike = surprise.spike(before, after, np.array([4]))
    gaps = surprise.law_of_gaps(before).surprise(surprise.ordered(before, before, after))
    ratio = surprise.law_of_deviance(before, 100.0).surprise(
        surprise.deviance(before, before, after, 100.0)
    )
    for found in (spike, gaps, ratio):
        assert np.isfinite(found).all()
        assert (found >= 0).all()
    assert surprise.spike(before, before, np.array([4]))[1] == pytest.approx([0.0])
    assert surprise.ordered(before, before, before) == pytest.approx([0.0])


@pytest.mark.parametrize(("k", "exact"), [(1, 0.0244), (2, 5.9e-4), (3, 1.4e-5)])
def test_a_value_the_reference_never_had_is_as_rare_as_exchangeable_rows_say(
    k: int, exact: float
) -> None:
    """P(the k rarest of n + n_ref rows are all in the window), to a factor of two."""
    found = float(surprise.share(0, 20_000, k, 500, more_only=True))
    assert np.exp(-found) == pytest.approx(exact, rel=0.5)


def test_fewer_rows_surprise_only_where_both_sides_count() -> None:
    """A missing share that fell is a change; fewer new categories are none."""
    assert surprise.share(400, 2000, 20, 500) > 20
    assert surprise.share(400, 2000, 20, 500, more_only=True) < 0.1


@pytest.mark.parametrize("more", [True, False])
@given(r=st.integers(0, 300))
def test_the_surprising_count_is_the_first_one(r: int, *, more: bool) -> None:
    """It exceeds the surprise, and the count before it does not."""
    found = surprise.surprising_count(r, 1000, 200, 6.0, more=more)
    step = -1 if more else 1
    if 0 <= found <= 200:
        assert surprise.share(r, 1000, found, 200) > 6.0
    if 0 <= found + step <= 200:
        assert surprise.share(r, 1000, found + step, 200) <= 6.0


def test_a_deviation_is_as_surprising_on_both_sides() -> None:
    """-ln of the two-sided p-value of 3 is 5.9."""
    from scipy.special import ndtr

    assert surprise.deviation(np.array(-np.log(2 * ndtr(-3.0)))) == pytest.approx(3.0)


def test_the_bin_that_changed_is_found() -> None:
    """A heap of one value is seen though the distribution hardly moves."""
    before = np.full((1, 64), 300.0)
    after = np.full((1, 64), 10.0)
    after[0, 40] = 60
    place, found = surprise.spike(before, after, np.array([64]))
    assert place.tolist() == [40]
    assert found[0] > 30
