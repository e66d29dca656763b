"""Whether answers move as declared: planted breaks are found, what holds passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.robustness.models import (
    BINARY,
    VALUES,
    Scoring,
    Valuing,
    examined,
    found,
    numbers,
    people,
    sound,
)

from afterfit.core.dataset import Dataset
from afterfit.core.metric import find
from afterfit.core.signature import Column, Signature
from afterfit.errors import ConfigError

if TYPE_CHECKING:
    from afterfit.core.frame import Frame


def dented(frame: Frame) -> np.ndarray:
    """The sound model with a dent: incomes of 60 to 70 lower the score by 0.3."""
    income = numbers(frame, "income", 50.0)
    return np.asarray(np.clip(sound(frame) - 0.3 * ((income > 60) & (income < 70)), 0.01, 0.99))


def test_a_dent_in_a_declared_column_is_an_issue_with_its_place() -> None:
    """High where a decision turns; the column, the share with interval, the values, and the fix."""
    record = examined(Scoring(dented), monotone={"income": "up"})
    (broken,) = found(record, "R012")
    assert broken.where == "column 'income'"
    assert broken.severity == "high"
    assert "40 of 40 rows (100 %, 95 % interval 91.2 to 100 %)" in broken.message
    assert "falls as the column rises: by 0.2" in broken.message
    assert "monotonic_cst" in broken.fix
    trend = next(t for t in record.trends if t.column == "income")
    assert trend.worst_from is not None
    assert 50 <= trend.worst_from < 65
    metric = find(record.metrics, "monotone_breaks")
    assert metric is not None
    assert (metric.value, metric.n) == (1.0, 40)


def test_a_break_that_turns_no_decision_is_of_medium_severity() -> None:
    """A dent of a thousandth far from the threshold."""

    def small(frame: Frame) -> Any:
        return 0.9 + 0.001 * (np.nan_to_num(np.asarray(frame["income"], np.float64)) < 50)

    (broken,) = found(examined(Scoring(small), monotone={"income": "up"}), "R012")
    assert broken.severity == "medium"
    assert "no decision turns" in broken.message


@pytest.mark.parametrize(("way", "outcome"), [("up", "passed"), ("down", "issue")])
def test_what_holds_passes_and_the_other_way_does_not(way: Any, outcome: str) -> None:
    """The sound model rises with income, with an interval on how often that was seen."""
    (told,) = found(examined(Scoring(sound), monotone={"income": way}), "R012", outcome)
    assert told.where == "column 'income'"
    assert "of 40 rows" in told.message


def test_values_break_by_more_than_rounding_and_booleans_have_an_order() -> None:
    """A regression: 1 % of the spread decides; a membership may only raise the value."""

    def value(frame: Frame) -> Any:
        member = np.array([bool(m) for m in frame["member"].tolist()])
        return numbers(frame, "income", 50.0) - 20.0 * member

    data = Dataset(frame=people().frame)
    record = examined(Valuing(value), VALUES, data, monotone={"member": "up", "income": "up"})
    (broken,) = found(record, "R012")
    assert (broken.where, broken.severity) == ("column 'member'", "high")
    (holds,) = found(record, "R012", "passed")
    assert holds.where == "column 'income'"


def test_a_nearly_monotone_column_is_a_tip_and_never_an_issue() -> None:
    """One row in twenty falls: perhaps meant, so it is asked about; the fix names the column."""

    def nearly(frame: Frame) -> Any:
        income, age = numbers(frame, "income", 50.0), numbers(frame, "age", 50)
        odd = (age % 20 == 3) & (income > 80)
        return 1 / (1 + np.exp(-(0.05 * (income - 50) - 2.0 * odd)))

    record = examined(Scoring(nearly), rows=200)
    (tip,) = found(record, "R013", "tip")
    assert "income" in tip.message
    assert 'income = "up"' in tip.fix
    assert found(record, "R012") == []


def test_labels_alone_have_a_direction_too() -> None:
    """The label as 0 and 1: it may not go back."""
    signature = msgspec.structs.replace(BINARY, probabilities=False, threshold=None)

    class Labels:
        def predict(self, frame: Frame) -> Any:
            from afterfit.core.frame import Predictions

            income = numbers(frame, "income", 50.0)
            return Predictions(codes=((income > 30) & (income < 70)).astype(np.int64))

    (broken,) = found(examined(Labels(), signature, monotone={"income": "up"}), "R012")
    assert broken.severity == "high"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"incom": "up"}, "did you mean 'income'"),
        ({"city": "up"}, "of the kind category"),
    ],
)
def test_a_declaration_of_no_column_of_numbers_is_refused(declared: Any, words: str) -> None:
    """Before anything runs: what, where, why and what to do."""
    with pytest.raises(ConfigError) as told:
        examined(Scoring(sound), monotone=declared)
    assert words in told.value.why
    assert "[robustness] monotone" in told.value.where
    assert told.value.fix


def test_several_classes_have_no_direction() -> None:
    """A declaration is refused; without one the checks do not apply."""
    signature = Signature(
        task="multiclass", columns=BINARY.columns, classes=("a", "b", "c"), threshold=None
    )

    class Three:
        def predict(self, frame: Frame) -> Any:
            from afterfit.core.frame import Predictions

            score = sound(frame)
            return Predictions(probabilities=np.column_stack([score, (1 - score) / 2] * 2)[:, :3]
                               / (1 + score)[:, None])  # fmt: skip

    data = Dataset(frame=people().frame)
    record = examined(Three(), signature, data)
    assert found(record, "R012", "not_applicable")
    with pytest.raises(ConfigError, match="several classes"):
        examined(Three(), signature, data, monotone={"income": "up"})


def test_a_column_without_two_values_is_skipped_by_name() -> None:
    """Nothing rises in a column of one value; that is no pass."""
    columns = (Column(name="a", kind="number", nullable=True),)
    data = Dataset(frame={"a": np.full(40, 3.0)})
    signature = Signature(task="regression", columns=columns)
    model = Valuing(lambda frame: np.nan_to_num(frame["a"]))
    (skipped,) = found(examined(model, signature, data, monotone={"a": "up"}), "R012", "skipped")
    assert skipped.where == "column 'a'"
