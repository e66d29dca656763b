"""Frames: rows in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.frame import (
    Frame,
    Predictions,
    batches,
    column_digest,
    concatenate,
    frame_digest,
    is_missing,
    missing_mask,
    row_count,
    select,
    take,
)

VALUES = st.one_of(st.none(), st.text(max_size=5), st.booleans(), st.integers(), st.floats())


def objects(values: list[Any]) -> np.ndarray:
    """An object array of the values."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@given(st.lists(st.floats()), st.integers(1, 7))
def test_batches_put_together_are_the_frame(values: list[float], size: int) -> None:
    """Every row is in one batch, in order, and none has more than ``size`` rows."""
    frame = {"a": np.array(values, dtype=np.float64), "b": np.arange(len(values))}
    parts = list(batches(frame, size))
    assert all(0 < row_count(part) <= size for part in parts)
    joined = [value for part in parts for value in part["b"].tolist()]
    assert joined == list(range(len(values)))


@given(st.lists(VALUES, max_size=20))
def test_missing_is_none_or_nan_in_any_array(values: list[Any]) -> None:
    """The mask of an object array is ``is_missing`` of each value; of numbers it is NaN."""
    expected = [v is None or (isinstance(v, float) and np.isnan(v)) for v in values]
    assert missing_mask(objects(values)).tolist() == expected
    assert [is_missing(v) for v in values] == expected
    numbers = np.array([v for v in values if isinstance(v, float)], dtype=np.float64)
    assert (missing_mask(numbers) == np.isnan(numbers)).all()
    assert not missing_mask(np.arange(3)).any()


@given(st.lists(VALUES, max_size=12), st.lists(VALUES, max_size=12))
def test_two_object_columns_share_a_digest_only_if_they_are_equal(
    first: list[Any], second: list[Any]
) -> None:
    """Type and value decide: 1, 1.0, True and "1" differ; None and NaN are one missing value."""

    def key(values: list[Any]) -> list[tuple[str, str]]:
        return [("", "") if is_missing(v) else (type(v).__name__, str(v)) for v in values]

    same = column_digest(objects(first)) == column_digest(objects(second))
    assert same == (key(first) == key(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["1"], [1]),
        ([1], [True]),
        ([1], [1.0]),
        ([None], ["None"]),
        ([""], [None]),
        ([0.0, -0.0], [0.0, 0.0]),
        (["x", None], [None, "x"]),
    ],
)
def test_values_that_look_alike_have_their_own_digest(first: list[Any], second: list[Any]) -> None:
    """Neither the text nor the place of a value can be mistaken for another's."""
    assert column_digest(objects(first)) != column_digest(objects(second))


def test_all_nan_are_one_and_minus_zero_is_not_zero() -> None:
    """A NaN with other bits is the same missing number."""
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert column_digest(other_nan) == column_digest(np.array([np.nan]))
    assert column_digest(np.array([0.0])) != column_digest(np.array([-0.0]))


def test_a_frame_digest_depends_on_names_and_dtypes_and_not_on_order() -> None:
    """The order of the columns is no content; a name, a dtype and a value are."""
    a, b = np.arange(3), np.arange(3.0)
    digest = frame_digest({"a": a, "b": b})
    assert digest == frame_digest({"b": b, "a": a})
    assert digest == frame_digest({"a": a[::1].copy(), "b": np.asfortranarray(b)})
    others: list[Frame] = [{"a": b, "b": a}, {"a": a, "c": b}, {"a": a}, {"a": a, "b": b + 1}]
    others.append({"ab": a, "": b})
    assert len({digest, *map(frame_digest, others)}) == 1 + len(others)


def test_a_strided_column_has_the_digest_of_its_values() -> None:
    """A view into a matrix is its values."""
    matrix = np.arange(10.0).reshape(5, 2)
    assert column_digest(matrix[:, 1]) == column_digest(matrix[:, 1].copy())


def test_take_and_select_keep_rows_together() -> None:
    """Rows by mask, by index and by slice; columns by name, in the order asked."""
    frame = {"a": np.arange(4), "b": objects(list("wxyz"))}
    assert take(frame, np.array([3, 0]))["b"].tolist() == ["z", "w"]
    assert take(frame, frame["a"] > 1)["a"].tolist() == [2, 3]
    assert list(select(frame, ("b", "a"))) == ["b", "a"]
    with pytest.raises(KeyError):
        select(frame, ("c",))
    assert row_count({}) == 0


def test_predictions_join_and_split() -> None:
    """Parts put together are the whole, for each of the three forms."""
    rng = np.random.default_rng(0)
    for whole in (
        Predictions(probabilities=rng.random((7, 3))),
        Predictions(values=rng.random(7)),
        Predictions(codes=np.arange(7)),
    ):
        again = concatenate([whole.take(slice(0, 3)), whole.take(np.arange(3, 7))])
        assert len(again) == 7
        assert (again.main == whole.main).all()
    with pytest.raises(ValueError, match="no predictions"):
        concatenate([])
    with pytest.raises(ValueError, match="empty"):
        len(Predictions())


def test_a_score_is_the_positive_class_or_the_top_one() -> None:
    """One float a row, whatever the model gives."""
    two = Predictions(probabilities=np.array([[0.3, 0.7], [0.9, 0.1]]))
    assert two.score(0).tolist() == [0.3, 0.9]
    assert two.score(None).tolist() == [0.7, 0.9]
    assert Predictions(values=np.array([5.0])).score(None).tolist() == [5.0]
    assert Predictions(codes=np.array([2])).score(1).dtype == np.float64
