"""Which rows train and which test: shuffled, by group, and forward in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afterfit.assess.splits import seconds_of, splits
from afterfit.errors import InputError

codes = arrays(np.int64, st.integers(2, 80), elements=st.integers(0, 3))
folds = st.integers(2, 8)
seeds = st.integers(0, 1000)


@given(codes, folds, seeds, st.booleans())
def test_every_row_is_tested_exactly_once_when_shuffled(
    truth: np.ndarray,
    k: int,
    seed: int,
    stratify: bool,  # noqa: FBT001  # hypothesis hands it over
) -> None:
    """The tests part the rows, both sides part each fold, and no fold is empty."""
    found = list(splits(truth, k, stratify=stratify, group=None, seed=seed))
    tested = np.concatenate([split.test for split in found])
    assert np.array_equal(np.sort(tested), np.arange(len(truth)))
    for split in found:
        both = np.concatenate([split.train, split.test])
        assert np.array_equal(np.sort(both), np.arange(len(truth)))
        assert len(split.test)
    assert len(found) == min(k, len(truth))


@given(codes, folds, seeds)
def test_classes_are_spread_evenly(truth: np.ndarray, k: int, seed: int) -> None:
    """Two folds differ by at most one row of a class."""
    found = list(splits(truth, k, stratify=True, group=None, seed=seed))
    if len(found) == k:
        for code in np.unique(truth):
            shares = [int((truth[split.test] == code).sum()) for split in found]
            assert max(shares) - min(shares) <= 1


@given(codes, folds, seeds, st.data())
def test_a_group_is_never_on_both_sides(
    truth: np.ndarray, k: int, seed: int, data: st.DataObject
) -> None:
    """Shuffled or forward in time; and shuffled, every row is tested once."""
    n = len(truth)
    group = data.draw(arrays(np.int64, n, elements=st.integers(0, 9)))
    time = data.draw(arrays(np.int64, n, elements=st.integers(0, 20)))
    for moments in (None, time):
        found = list(splits(truth, k, stratify=True, group=group, seed=seed, time=moments))
        for split in found:
            assert not set(group[split.train]) & set(group[split.test])
        if moments is None and len(set(group)) > 1:
            assert sorted(row for split in found for row in split.test) == list(range(n))


@given(codes, folds, st.data())
def test_time_folds_never_train_on_the_future(
    truth: np.ndarray, k: int, data: st.DataObject
) -> None:
    """Every training row is strictly earlier than every tested one; no row is tested twice."""
    times = st.one_of(st.just(float("nan")), st.integers(0, 30).map(float))
    time = np.array(data.draw(st.lists(times, min_size=len(truth), max_size=len(truth))))
    found = list(splits(truth, k, stratify=True, group=None, seed=0, time=time))
    for split in found:
        assert time[split.train].max() < time[split.test].min()
        assert not np.isnan(time[np.concatenate([split.train, split.test])]).any()
    tested = [row for split in found for row in split.test]
    assert len(tested) == len(set(tested))
    assert bool(found) == (len(set(time[~np.isnan(time)].tolist())) > 1)


def test_distinct_times_give_as_many_folds_as_asked() -> None:
    """Thirty days and five folds: five tests of five days, training on all days before."""
    days = np.array([f"2026-11-{day:02d}" for day in range(1, 31)], dtype=object)
    found = list(splits(np.zeros(30, int), 5, stratify=False, group=None, seed=0, time=days))
    assert [len(split.test) for split in found] == [5] * 5
    assert [len(split.train) for split in found] == [5, 10, 15, 20, 25]


def test_groups_that_come_again_leave_no_fold_forward_in_time() -> None:
    """Three shops every day: what is earlier is of the shops that are tested. New ones: fine."""
    days, truth = np.arange(60), np.zeros(60, int)
    again, anew = days % 3, days // 6
    assert not list(splits(truth, 3, stratify=False, group=again, seed=0, time=days))
    found = list(splits(truth, 3, stratify=False, group=anew, seed=0, time=days))
    assert [len(split.train) for split in found] == [12, 30, 42]


def test_fewer_groups_than_folds_give_fewer_folds() -> None:
    """Three people cannot be in five folds."""
    group = np.array(["a", "b", "c", None, "a"], dtype=object)
    found = list(splits(np.zeros(5, int), 5, stratify=False, group=group, seed=0))
    assert 2 <= len(found) <= 4


def test_times_are_read_as_numbers_or_iso_text() -> None:
    """Zones count, numbers as text are numbers, missing stays missing, other words are refused."""
    texts = np.array(["2026-11-23T10:00:00+02:00", "2026-11-23T09:00:00Z", None], dtype=object)
    moments = seconds_of(texts)
    assert moments[0] < moments[1]
    assert np.isnan(moments[2])
    assert seconds_of(np.array(["9", "10"], dtype=object)).tolist() == [9.0, 10.0]
    assert seconds_of(np.array(["2026-01-01", "NaT"], dtype="M8[D]"))[0] == 1767225600.0
    assert np.isnan(seconds_of(np.array(["2026-01-01", "NaT"], dtype="M8[D]"))[1])
    with pytest.raises(InputError, match="no order"):
        seconds_of(np.array(["last Tuesday"], dtype=object))
