"""Failures shrink to the rows, columns and values that they need, without anybody's row."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.robustness.models import BINARY, VALUES, Scoring, Valuing, numbers, people, sound

from afterfit.core.dataset import Dataset
from afterfit.core.disclosure import MIN_ROWS
from afterfit.core.fingerprint import build
from afterfit.core.frame import row_count
from afterfit.core.signature import Column, Signature
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_cases import CaseFile, KeptCase
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.fewest import fewest
from afterfit.robustness.harmless import harmless_row, public_values
from afterfit.robustness.replay import frame_of, rows_of
from afterfit.robustness.run import robustness
from afterfit.robustness.simple import simpler

if TYPE_CHECKING:
    from afterfit.core.frame import Frame


class Book:
    """A book of one name: what was kept becomes what is earlier."""

    def __init__(
        self, earlier: CaseFile | None = None, previous: RobustnessRecord | None = None
    ) -> None:
        self.earlier = earlier
        self.previous = previous
        self.kept: CaseFile | None = None

    def keep(self, document: CaseFile) -> dict[str, str]:
        """Remember the document."""
        self.kept = document
        return {"cases.json": "0" * 64}


def asked(
    model: Any,
    signature: Signature = BINARY,
    data: Dataset | None = None,
    book: Book | None = None,
    **settings: Any,
) -> tuple[RobustnessRecord, CaseFile]:
    """The record and the document of a run on 40 rows."""
    book = book or Book()
    config = RobustnessConfig(**{"rows": 40, **settings})
    record = robustness(
        model, signature, people() if data is None else data, config, subject="m", book=book
    )
    assert book.kept is not None
    return record, book.kept


def of(document: CaseFile, code: str) -> list[KeptCase]:
    """The cases of one finding code."""
    return [case for case in document.cases if case.code == code]


def safe(frame: Frame) -> np.ndarray:
    """The sound model, which answers zero rows too."""
    return sound(frame) if row_count(frame) else np.zeros(0)


def ulm(frame: Frame) -> np.ndarray:
    """Which rows are of Ulm."""
    return np.array([word == "Ulm" for word in frame["city"].tolist()], dtype=bool)


def poor(frame: Frame) -> np.ndarray:
    """Which rows have no income."""
    return np.isnan(np.asarray(frame["income"], dtype=np.float64))


def pair_crash(frame: Frame) -> np.ndarray:
    """A model that fails where Ulm has no income."""
    if (ulm(frame) & poor(frame)).any():
        raise ValueError("Ulm without income")
    return safe(frame)


def test_a_crash_of_a_category_with_a_gap_shrinks_to_these_two_columns() -> None:
    """The harmless row does not crash; what is left is no value of a real row."""
    record, document = asked(Scoring(pair_crash))
    (case,) = of(document, "R001")
    assert set(case.columns) == {"city", "income"}
    (row,) = case.rows
    assert (row["city"], row["income"]) == ("Ulm", None)
    typical = harmless_row(build(people().frame, BINARY), BINARY)
    assert (row["age"], row["member"]) == (typical["age"], typical["member"])
    assert (case.local, case.minimal, case.happened) == (False, True, "crashed")
    assert "Ulm without income" in case.message
    (told,) = record.kept
    assert told.values == {"income": None, "city": "Ulm"}
    assert record.blobs == {"cases.json": "0" * 64}


def test_nan_shrinks_to_one_column_and_the_least_power_of_ten() -> None:
    """Infinity minus infinity from 1,000 on: no value of the data gets there."""

    def blows_up(frame: Frame) -> np.ndarray:
        income = np.asarray(frame["income"], dtype=np.float64)
        return np.where(income >= 1000, np.nan, safe(frame))

    _, document = asked(Scoring(blows_up))
    (case,) = of(document, "R002")
    assert case.columns == ("income",)
    assert [row["income"] for row in case.rows] == [1000.0]
    assert (case.happened, case.local) == ("not_finite", False)


def test_a_failure_that_only_a_real_value_shows_is_local() -> None:
    """Its value is in the document alone: the record has the column's name."""
    data = people()
    income = np.asarray(data.frame["income"])
    secret = float(income[np.argsort(income)[200]])

    def odd(frame: Frame) -> np.ndarray:
        if (np.isin(np.asarray(frame["income"], float), [secret]) & ~ulm(frame)).any():
            raise KeyError("odd")
        return safe(frame)

    only = data.take(np.flatnonzero((income == secret) | (np.arange(400) < 60)))
    fingerprint = build(data.frame, BINARY)
    assert secret not in public_values(fingerprint, BINARY.column("income"))
    book = Book()
    config = RobustnessConfig(rows=100)
    record = robustness(
        Scoring(odd), BINARY, only, config, subject="m", book=book, fingerprint=fingerprint
    )
    assert book.kept is not None
    (case,) = of(book.kept, "R001")
    assert case.local
    assert "income" in case.columns
    assert {row["income"] for row in case.rows} == {secret}
    (told,) = (each for each in record.kept if each.code == "R001")
    assert (told.local, told.values) == (True, {})
    assert record.status == "partial"  # nothing else could be examined


def test_spelling_order_and_batch_shrink_to_what_shows_them() -> None:
    """Each is what it says: two rows that differ by a space, one row, and two rows of a batch."""

    def spelled(frame: Frame) -> np.ndarray:
        return np.where(ulm(frame), 0.9, 0.1)

    _, document = asked(Scoring(spelled))
    (case,) = of(document, "R003")
    before, after = case.rows
    assert (case.columns, case.expectation) == (("city",), "same_decision")
    assert (before["city"], after["city"]) == ("Ulm", " Ulm ")
    assert {k: v for k, v in before.items() if k != "city"} == {
        k: v for k, v in after.items() if k != "city"
    }

    def ordered(frame: Frame) -> np.ndarray:
        return np.full(row_count(frame), 0.2 if next(iter(frame)) == "age" else 0.7)

    _, document = asked(Scoring(ordered))
    (case,) = of(document, "R009")
    assert (case.columns, len(case.rows), case.local) == ((), 1, False)

    def together(frame: Frame) -> np.ndarray:
        income = numbers(frame, "income", 50.0)
        return 0.5 + 0.001 * (income - (income.mean() if len(income) else 0.0))

    _, document = asked(Scoring(together))
    (case,) = of(document, "R004")
    assert (case.columns, len(case.rows), case.local) == (("income",), 2, False)


def test_an_unsteady_answer_and_zero_rows_are_kept_too() -> None:
    """Dropout in prediction is one harmless row; an empty request has no row."""
    random = np.random.default_rng(0)

    def unsteady(frame: Frame) -> np.ndarray:
        if not row_count(frame):
            raise IndexError("no rows")
        return random.uniform(0.1, 0.4, row_count(frame))

    _, document = asked(Scoring(unsteady))
    (again,) = of(document, "R011")
    assert (again.columns, len(again.rows), again.expectation) == ((), 1, "same_again")
    (empty,) = of(document, "R005")
    assert (empty.rows, empty.columns, empty.happened) == ((), (), "crashed")


def test_a_model_that_answers_nothing_has_its_case() -> None:
    """Where even usual rows crash, the harmless row is the case, and nothing else is examined."""

    def broken(_: Frame) -> np.ndarray:
        raise RuntimeError("not today")

    record, document = asked(Scoring(broken))
    (case,) = of(document, "R001")
    assert (case.columns, len(case.rows), case.local) == ((), 1, False)
    assert [f.outcome for f in record.findings if f.code == "R063"] == ["skipped"]


def test_the_same_seed_shrinks_alike_and_a_steady_model_has_no_case() -> None:
    """Documents are equal byte for byte; without a failure there is none."""
    first, second = (asked(Scoring(pair_crash))[1] for _ in range(2))
    assert first == second
    assert asked(Scoring(safe))[1].cases == ()


def test_a_value_of_a_regression_moves_within_its_tolerance() -> None:
    """Noise that moves a value by more than 1 % of the spread is a pair of rows."""

    def steep(frame: Frame) -> np.ndarray:
        return np.floor(numbers(frame, "income", 50.0) * 10 + 1e-6) % 2

    _, document = asked(Valuing(steep), VALUES)
    (case,) = of(document, "R014")
    assert 0 < case.tolerance < 0.02
    assert (case.columns, len(case.rows)) == (("income",), 2)


def test_thirty_columns_are_found_and_bounded_calls_say_that_they_did_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every other one of 60 columns is needed: 400 calls find all, 40 a form that says so."""
    names = [f"c{index}" for index in range(60)]
    signature = Signature(
        task="regression",
        columns=tuple(Column(name=name, kind="number", nullable=True) for name in names),
    )
    random = np.random.default_rng(1)
    frame = {name: random.normal(size=8) for name in names}  # too few for a typical value but 0

    def needs_many(rows: Frame) -> np.ndarray:
        matrix = np.stack([np.asarray(rows[name], float) for name in names], axis=1)
        return np.where((matrix[:, ::2] != 0).all(axis=1), np.nan, 1.0)

    data = Dataset(frame=frame)
    case = of(asked(Valuing(needs_many), signature, data, seconds=20.0)[1], "R002")[0]
    assert case.columns == tuple(names[::2])
    assert {case.rows[0][name] for name in case.columns} == {1.0}
    assert (case.local, case.minimal) == (False, True)
    monkeypatch.setattr("afterfit.robustness.shrink.MOST_CALLS", 40)
    started = time.monotonic()
    case = of(asked(Valuing(needs_many), signature, data, seconds=3.0)[1], "R002")[0]
    assert time.monotonic() - started < 8.0
    assert set(case.columns) >= set(names[::2])
    assert (case.local, case.minimal) == (True, False)


def test_rows_survive_their_json() -> None:
    """Gaps, booleans, whole numbers and words come back with the dtypes of frames."""
    frame = {
        "age": np.array([20.0, np.nan]),
        "income": np.array([1e39, -0.0]),
        "city": np.array(["Ulm", None], dtype=object),
        "member": np.array([True, None], dtype=object),
    }
    back = frame_of(BINARY, rows_of(frame))
    assert {name: values.dtype for name, values in back.items()} == {
        name: values.dtype for name, values in frame.items()
    }
    assert rows_of(back) == rows_of(frame)
    whole = frame_of(BINARY, [{"age": 20, "income": 1.0, "city": "Ulm", "member": True}])
    assert [values.dtype.kind for values in whole.values()] == ["i", "f", "O", "b"]


@given(st.integers(1, 40), st.sets(st.integers(0, 39), min_size=1))
def test_delta_debugging_finds_exactly_what_is_needed(n: int, wanted: set[int]) -> None:
    """Where all of some parts are needed and no other, these are what is left."""
    needed = {index % n for index in wanted}
    assert set(fewest(range(n), lambda some: needed <= set(some))) == needed


def test_simple_values_come_first() -> None:
    """0, 1, -1, a power of ten, a value of the reference, and else the value itself."""
    number = Column(name="x", kind="number")
    whole = Column(name="x", kind="integer")
    word = Column(name="x", kind="category")
    assert simpler(number, 7.3, [], lambda v: v > 0.5) == 1.0
    assert simpler(number, -8e20, [], lambda v: v < -1e6) == -1e7
    assert simpler(whole, 2**63 - 1, [], lambda v: v > 2**31) == 10**10
    assert simpler(number, 7.31, [5.5, 7.0], lambda v: v > 6.0) == 7.0
    assert simpler(number, 7.31, [5.5], lambda v: v > 7.0) == 7.31
    assert simpler(word, "x" * 9000, [], lambda v: len(v) > 100) == "x" * 101
    assert simpler(word, "Ulm", ["Ulm"], lambda _: True) == "Ulm"
    assert simpler(number, None, [], lambda _: True) is None


def test_no_public_value_is_one_of_few_rows() -> None:
    """The harmless row and simple values follow the rules of the fingerprint."""
    data = people(8)
    assert len(data) < MIN_ROWS
    typical = harmless_row(build(data.frame, BINARY), BINARY)
    assert (typical["income"], typical["age"]) == (0.0, 0)
