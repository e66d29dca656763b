"""Datasets, labels and signatures."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.dataset import Dataset, encode_labels, to_label
from afterfit.core.frame import Predictions
from afterfit.core.signature import MIDDLE, Column, Signature, dtype_of, index_of


def objects(values: list[Any]) -> np.ndarray:
    """An object array of the values."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@given(st.lists(st.sampled_from(["no", "yes", "?", ""]), max_size=30))
def test_labels_are_found_among_the_classes(labels: list[str]) -> None:
    """The code of each label is its index; what is no class is -1."""
    codes = encode_labels(objects(labels), ("no", "yes"))
    assert codes.dtype == np.int64
    assert codes.tolist() == [{"no": 0, "yes": 1}.get(label, -1) for label in labels]


@pytest.mark.parametrize("one", [1, 1.0, "1", True, np.int32(1), np.float64(1), np.str_("1")])
@pytest.mark.parametrize("classes", [(0, 1), ("0", "1"), (0.0, 1.0)])
def test_a_class_is_found_in_whatever_type_the_file_has_it(one: Any, classes: Any) -> None:
    """1, 1.0, "1" and True find the class 1, whichever of them the model has."""
    assert encode_labels(objects([one]), classes).tolist() == [1]


@pytest.mark.parametrize("word", [True, "True", "true", np.True_, 1])
def test_a_boolean_class_is_found_by_its_words(word: Any) -> None:
    """Booleans of a column, of text and of numbers are the same labels."""
    assert encode_labels(objects([word]), (False, True)).tolist() == [1]


@pytest.mark.parametrize("missing", [None, np.nan, float("nan")])
def test_a_missing_label_is_no_class(missing: Any) -> None:
    """None and NaN are -1, even where a class is called None or nan."""
    assert encode_labels(objects([missing]), ("None", "nan")).tolist() == [-1]


def test_labels_of_numeric_arrays() -> None:
    """Float targets with gaps and boolean targets find their classes; none gives none."""
    assert encode_labels(np.array([0.0, 1.0, np.nan, 2.5]), (0, 1)).tolist() == [0, 1, -1, -1]
    assert encode_labels(np.array([True, False]), (False, True)).tolist() == [1, 0]
    assert encode_labels(np.empty(0), (0, 1)).dtype == np.int64


@pytest.mark.parametrize(
    ("value", "label"),
    [(np.int8(3), 3), (3.0, 3), (2.5, 2.5), (np.bool_(1), True), (np.str_("a"), "a")],
)
def test_a_label_is_a_plain_value(value: Any, label: Any) -> None:
    """Numpy's types become Python's, and whole floats ints."""
    assert to_label(value) == label
    assert type(to_label(value)) is type(label)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_an_odd_float_is_a_label_without_a_crash(value: float) -> None:
    """What is no whole number stays a float."""
    assert isinstance(to_label(value), float)


def dataset() -> Dataset:
    """Three rows with a role each."""
    return Dataset(
        frame={"a": np.arange(3), "b": objects(["x", None, "z"])},
        target=objects(["p", None, "n"]),
        time=np.arange(3.0),
        group=objects(["g", "g", "h"]),
        entity=np.arange(3),
    )


def test_some_rows_have_all_their_roles() -> None:
    """Taking rows keeps target, time, group and entity with them."""
    some = dataset().take(np.array([2, 0]))
    assert len(some) == 2
    assert some.target is not None
    assert some.time is not None
    assert some.group is not None
    assert some.entity is not None
    assert some.target.tolist() == ["n", "p"]
    assert [some.time.tolist(), some.entity.tolist()] == [[2.0, 0.0], [2, 0]]
    assert some.group.tolist() == ["h", "g"]
    assert list(dataset().select(("b",)).frame) == ["b"]
    assert dataset().labelled().tolist() == [True, False, True]
    assert Dataset(frame={"a": np.arange(2)}).labelled().tolist() == [False, False]


def test_the_digest_covers_roles_and_not_where_it_came_from() -> None:
    """A role changes it; the source, in words, does not."""
    plain = Dataset(frame={"a": np.arange(3)})
    assert plain.digest == Dataset(frame={"a": np.arange(3)}, source="t.csv").digest
    targets = Dataset(frame={"a": np.arange(3)}, target=np.arange(3))
    groups = Dataset(frame={"a": np.arange(3)}, group=np.arange(3))
    column = Dataset(frame={"a": np.arange(3), "target": np.arange(3)})
    assert len({each.digest for each in (plain, targets, groups, column)}) == 4


def signature(**fields: Any) -> Signature:
    """A binary signature with every kind of column."""
    kinds = ("number", "integer", "boolean", "category", "text")
    columns = tuple(Column(name=kind, kind=kind) for kind in kinds)  # type: ignore[arg-type]
    defaults = {"task": "binary", "columns": columns, "classes": ("no", "yes"), "positive": "yes"}
    return Signature(**(defaults | fields))


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.floats(0.01, 0.99).filter(lambda threshold: threshold != MIDDLE),
    st.sampled_from(["no", "yes"]),
)
def test_the_threshold_decides_and_a_tie_is_positive(
    scores: list[float], threshold: float, positive: str
) -> None:
    """For either positive class: its probability at or above the threshold.

    At one half the model's own rule decides a tie: test_small_nouns has that.
    """
    p = np.array(scores)
    columns = [1 - p, p] if positive == "yes" else [p, 1 - p]
    wanted = signature(positive=positive, threshold=threshold)
    codes = wanted.codes(Predictions(probabilities=np.column_stack(columns)))
    expected = [
        positive if score >= threshold else {"no": "yes", "yes": "no"}[positive] for score in p
    ]
    assert [wanted.classes[code] for code in codes] == expected


def test_without_a_positive_class_the_most_probable_one_is_decided() -> None:
    """Multiclass, and binary without a positive class."""
    p = Predictions(probabilities=np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]))
    many = signature(task="multiclass", classes=("a", "b", "c"), positive=None)
    assert many.codes(p).tolist() == [1, 0]
    assert signature(positive=None).codes(p.take(slice(0, 1))).dtype == np.int64
    assert many.codes(Predictions(codes=np.array([2, 0]))).tolist() == [2, 0]
    with pytest.raises(ValueError, match="no class codes"):
        many.codes(Predictions(values=np.array([1.0])))


def test_true_and_one_are_different_words() -> None:
    """A class is found by type and value."""
    assert index_of((1, True), True) == 1
    assert index_of((0, 1), 1) == 1
    with pytest.raises(ValueError, match="not one of"):
        index_of((0, 1), True)


def test_a_signature_survives_json_and_gives_empty_frames() -> None:
    """Its file is itself; zero rows have the dtypes of the kinds."""
    whole = signature(classes=(False, True), positive=True, threshold=0.3)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Signature) == whole
    dtypes = {name: str(array.dtype) for name, array in whole.empty().items()}
    assert list(dtypes.values()) == ["float64", "int64", "bool", "object", "object"]
    assert dtype_of("text") == np.dtype(object)
    assert not whole.numeric_only
    assert whole.column("integer").numeric
    with pytest.raises(KeyError):
        whole.column("other")
