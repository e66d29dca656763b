"""What is sent to a model, and that many cases in one call are told as if each came alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from tests.robustness.models import (
    BINARY,
    COLUMNS,
    VALUES,
    Scoring,
    Valuing,
    examined,
    found,
    people,
    sound,
)

from afterfit.core.dataset import Dataset
from afterfit.core.frame import missing_mask, row_count
from afterfit.core.signature import Column, Signature
from afterfit.robustness.cases import MOST_PAIRS, NOISE, TOGETHER, planned_cases, usual_values
from afterfit.robustness.resolution import Step, noised, resolutions
from afterfit.robustness.words import LOOKS, changed_words

if TYPE_CHECKING:
    from afterfit.core.frame import Frame


def test_a_sound_model_has_no_issue_and_shares_few_calls() -> None:
    """Hundreds of rows a call: the cases are many, the calls are few."""
    model = Scoring(sound)
    record = examined(model)
    assert [f for f in record.findings if f.outcome == "issue"] == []
    assert record.status == "complete"
    assert record.unreached == ()
    assert len(record.cases) > 55
    # 25 rows alone, five batches, a call for each column that is missing or usual, 24 rungs.
    assert model.calls < 90


def test_cases_in_one_call_are_told_as_when_each_is_asked_alone() -> None:
    """A model that depends on its neighbours is asked case by case; the others' cases agree."""
    together = {(c.case, c.column): c for c in examined(Scoring(sound)).cases}

    def nosy(frame: Frame) -> Any:
        # Beyond 1e-5 in a batch of two and more, so that no case shares a call.
        return sound(frame) * (1 - 1e-4 * (row_count(frame) > 1))

    alone = examined(Scoring(nosy))
    assert found(alone, "R004")
    for case in alone.cases:
        if case.column:
            other = together[case.case, case.column]
            assert (case.changed, case.n, case.outcome) == (other.changed, other.n, other.outcome)


def test_a_crash_hides_no_other_case_of_its_call_and_tells_how_many_rows_fail() -> None:
    """An unseen city raises; its column alone has an issue, with rows sent alone."""

    def picky(frame: Frame) -> Any:
        cities = frame["city"].tolist()
        if any(isinstance(c, str) and c.startswith("afterfit") for c in cities):
            raise ValueError("found unknown categories")
        return sound(frame)

    record = examined(Scoring(picky))
    (crash,) = found(record, "R001")
    assert crash.where == "column 'city'"
    assert crash.evidence["cases"] == ["unseen category"]
    assert "sent alone, 10 of 10 rows (100 %" in crash.message
    outcomes = {case.outcome for case in record.cases if case.case != "unseen category"}
    assert outcomes <= {"answered", "refused", "not_applicable"}


def test_a_gap_that_becomes_nan_is_told_with_its_share_and_pairs_do_not_repeat_it() -> None:
    """Income missing gives NaN for every row: one issue of one column, not one for each pair."""

    def careless(frame: Frame) -> Any:
        return np.asarray(frame["income"], dtype=np.float64) * 2

    record = examined(Valuing(careless), VALUES, Dataset(frame=people().frame))
    (bad,) = found(record, "R002")
    assert bad.where == "column 'income'"
    assert bad.evidence["cases"] == ["missing"]
    assert "40 of 40 rows (100 %, 95 % interval 91.2 to 100 %)" in bad.message
    pairs = [case for case in record.cases if case.case == TOGETHER and "income" in case.column]
    assert {case.outcome for case in pairs} == {"not_finite"}


def test_scores_that_are_no_probabilities_and_random_answers_are_found() -> None:
    """R010 for 1.4, R011 for a draw in every call."""

    def high(frame: Frame) -> Any:
        return np.where(np.asarray(frame["income"], dtype=np.float64) > 100, 1.4, 0.5)

    none = found(examined(Scoring(high)), "R010")
    assert none[0].where == "column 'income'"
    assert "wrong units at severity 5" in none[1].evidence["cases"]
    random = np.random.default_rng(0)
    drawing = Scoring(lambda frame: random.random(row_count(frame)))
    (drawn,) = found(examined(drawing, rows=30, data=people(60)), "R011")
    assert "the same rows again" in drawn.message


def test_columns_in_another_order_are_answered_alike_or_it_is_told() -> None:
    """A model that takes its columns by position is found."""

    def first(frame: Frame) -> Any:
        return np.asarray(next(iter(frame.values())), dtype=np.float64)

    columns = (Column(name="a", kind="number"), Column(name="b", kind="number"))
    frame = {"a": np.linspace(0, 1, 30), "b": np.linspace(5, 9, 30)}
    signature = Signature(task="regression", columns=columns)
    (turned,) = found(examined(Valuing(first), signature, Dataset(frame=frame)), "R009")
    assert turned.severity == "high"
    assert "30 of 30 rows" in turned.message


def test_answers_by_rank_within_the_batch_are_found_in_every_order() -> None:
    """A batch-normalising model: alone and repeated rows show it, and other orders for ranks."""

    def normalised(frame: Frame) -> Any:
        income = np.nan_to_num(np.asarray(frame["income"], dtype=np.float64))
        if not len(income):
            return income
        spread = income.std() or 1.0
        place = np.arange(len(income)) / max(1, len(income))
        return 1 / (1 + np.exp(-(income - income.mean()) / spread - place))

    (batch,) = found(examined(Scoring(normalised)), "R004")
    assert set(batch.evidence["cases"]) == {
        "one row at a time",
        "rows in reverse",
        "rows shuffled",
        "one row repeated",
    }


def test_another_look_of_a_word_is_one_tip_for_all_columns() -> None:
    """Zero-width characters are unseen categories; a model that normalises has none of it."""

    def exact(frame: Frame) -> Any:
        return np.array([0.9 if str(c).strip().lower() == "ulm" else 0.1 for c in frame["city"]])

    (tip,) = found(examined(Scoring(exact)), "R008", "tip")
    assert "zero-width joiner inside" in tip.message
    assert tip.evidence["columns"] == ["city"]


@pytest.mark.parametrize("look", sorted(LOOKS))
def test_every_look_is_another_text_for_some_word(look: str) -> None:
    """One of these words has each form; what is missing stays missing."""
    words = np.array(["caf\N{LATIN SMALL LETTER E WITH ACUTE} noir", "e\N{COMBINING ACUTE ACCENT}",
                      None], dtype=object)  # fmt: skip
    changed = changed_words(words, LOOKS[look])
    assert changed[2] is None
    assert any(a != b for a, b in zip(words[:2], changed[:2], strict=True))


def test_a_column_that_no_answer_uses_is_a_tip_and_one_that_moves_is_not() -> None:
    """The membership moves nothing; the others do."""
    (tip,) = found(examined(Scoring(sound)), "R015", "tip")
    assert tip.evidence["columns"] == ["member"]
    assert "0 of 40 rows" in tip.message


def test_rounding_is_read_off_the_values() -> None:
    """Tenths, tens, counts, full digits, and columns with too little to say."""
    random = np.random.default_rng(1)
    columns = {
        "tenths": random.normal(20, 5, 50).round(1),
        "tens": random.integers(0, 40, 50) * 10,
        "counts": random.integers(0, 40, 50),
        "full": random.normal(0, 1, 50),
        "same": np.full(50, 2.5),
        "gone": np.full(50, np.nan),
    }
    kinds: Any = {"tens": "integer", "counts": "integer"}
    signature = Signature(
        task="regression",
        columns=tuple(Column(name=name, kind=kinds.get(name, "number")) for name in columns),
    )
    steps = resolutions(Dataset(frame=columns), signature)
    assert {name: pytest.approx(step.size) for name, step in steps.items()} == {
        "tenths": 0.1,
        "tens": 10.0,
    }


def test_noise_stays_within_half_a_step_and_keeps_whole_numbers_whole() -> None:
    """A value is then recorded as before."""
    values = np.arange(0, 500, 10)
    moved = noised(values, Step(10.0), whole=True, seed=1)
    assert moved.dtype == values.dtype
    assert 0 < np.abs(moved - values).max() <= 5
    gaps = np.array([1.0, np.nan, 3.0])
    assert np.isnan(noised(gaps, Step(1.0), whole=True, seed=1)).tolist() == [False, True, False]


def test_decisions_that_noise_below_the_rounding_turns_are_an_issue() -> None:
    """A model that splits within a tenth: about half of the decisions are chance."""

    def split(frame: Frame) -> Any:
        return (np.nan_to_num(np.asarray(frame["income"], np.float64)) * 10 % 1 > 0.25) * 0.8 + 0.1

    record = examined(Scoring(split))
    (noisy,) = found(record, "R014")
    assert (noisy.severity, noisy.where) == ("low", "column 'income'")
    case = next(c for c in record.cases if c.case == NOISE and c.column == "age")
    assert (case.outcome, "counts" in case.message) == ("not_applicable", True)


def test_usual_values_are_some_row_s_own_and_survive_gaps() -> None:
    """The median of an even number of rows is one of them; the commonest word wins."""
    assert usual_values(np.array([4, 1, 9, 2])).tolist() == [4, 4, 4, 4]
    assert usual_values(np.array([np.nan, 2.0])).tolist() == [2.0, 2.0]
    words = usual_values(np.array(["a", "b", "b", None], dtype=object))
    assert words.tolist() == ["b"] * 4
    assert missing_mask(usual_values(np.full(3, np.nan))).all()


def test_pairs_of_gaps_are_all_there_up_to_twenty_columns_and_drawn_beyond() -> None:
    """190 pairs for 20 columns and for 60; equal seeds draw equal pairs."""

    def pairs(count: int, seed: int = 0) -> list[str]:
        columns = tuple(Column(name=f"c{i}", kind="number", nullable=True) for i in range(count))
        planned = planned_cases(Signature(task="regression", columns=columns), seed=seed)
        return [each.column for each in planned if each.case == TOGETHER]

    assert len(pairs(4)) == 6
    assert len(pairs(20)) == len(pairs(60)) == MOST_PAIRS
    assert pairs(60) == pairs(60) != pairs(60, seed=1)


def test_odd_tables_do_not_crash_the_step() -> None:
    """No column of numbers, one column, all missing, constant columns, three rows, no column."""
    one = Column(name="a", kind="number", nullable=True)
    word = Column(name="w", kind="category", nullable=True)
    tables: list[tuple[tuple[Column, ...], dict[str, np.ndarray]]] = [
        ((one,), {"a": np.arange(3.0)}),
        ((one,), {"a": np.full(12, np.nan)}),
        ((one, msgspec.structs.replace(one, name="b")), {"a": np.ones(40), "b": np.ones(40)}),
        ((word,), {"w": np.array([None] * 12, dtype=object)}),
        ((word,), {"w": np.array(["x"] * 12, dtype=object)}),
        ((COLUMNS[3],), {"member": np.array([True, None] * 6, dtype=object)}),
    ]
    for columns, frame in tables:
        signature = Signature(task="regression", columns=columns)
        target = np.linspace(0, 1, len(next(iter(frame.values()))))
        data = Dataset(frame=frame, target=target, target_name="y")
        record = examined(Valuing(lambda rows: np.ones(row_count(rows))), signature, data)
        assert [f for f in record.findings if f.outcome == "issue"] == []
        assert record.status == "complete"


def test_what_the_time_did_not_reach_is_named() -> None:
    """Cases, trends and ladders: each by its name, and the checks that rest on them skipped."""
    record = examined(Scoring(sound), BINARY, seconds=-1.0)
    assert {"missing in 'age'", "monotone columns", "ladders"} <= set(record.unreached)
    assert record.status == "partial"
    late = ("R001", "R008", "R012", "R013", "R014", "R015", "R016")
    assert all(found(record, code, "skipped") for code in late)
