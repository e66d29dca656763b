"""Golden rows look like the reference and are nobody's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from afterfit.core.disclosure import reference_range
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.core.frame import Frame, Predictions, frame_digest, missing_mask, row_count
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ModelError
from afterfit.package.golden import golden_finding, golden_rows, make_golden, plain
from afterfit.runtime.columns import frame_of

SIGNATURE = Signature(
    task="regression",
    columns=(
        Column(name="age", kind="integer"),
        Column(name="income", kind="number", nullable=True),
        Column(name="member", kind="boolean", nullable=True),
        Column(name="job", kind="category", nullable=True, categories=("cook", "nurse", "poet")),
        Column(name="notes", kind="text"),
    ),
)


def people(n: int = 4000) -> Frame:
    """A table of every kind; one poet, who must not be told."""
    rng = np.random.default_rng(3)
    income = np.where(rng.random(n) < 0.5, np.nan, rng.normal(1000, 200, n))
    job = np.array(["cook"] * (n // 4) + ["nurse"] * (n - n // 4 - 1) + ["poet"], dtype=object)
    member = np.array([True, None, True, True] * (n // 4), dtype=object)
    notes = np.array([f"note {i}" for i in range(n)], dtype=object)
    return {
        "age": rng.integers(17, 90, n),
        "income": income,
        "member": member,
        "job": job,
        "notes": notes,
    }


@pytest.fixture(scope="module")
def fingerprint() -> Fingerprint:
    """The fingerprint of those people."""
    return build(people(), SIGNATURE)


def test_rows_have_the_kinds_ranges_and_shares_of_the_reference(fingerprint: Fingerprint) -> None:
    """Over many seeds: integers stay whole and inside, and categories and gaps keep their share."""
    draws = [golden_rows(fingerprint, SIGNATURE, seed=seed) for seed in range(40)]
    joined = {
        name: np.concatenate([d[name].astype(object) for d in draws]) for name in SIGNATURE.names
    }
    ages = joined["age"].astype(np.float64)
    assert draws[0]["age"].dtype == np.int64
    assert ages.min() >= 17
    assert ages.max() <= 89
    reference = people()["age"]
    assert abs(ages.mean() - reference.mean()) < 3 * reference.std() / np.sqrt(len(ages))
    for name, share in {"income": 0.5, "member": 0.25, "job": 0.0}.items():
        assert abs(missing_mask(joined[name]).mean() - share) < 0.05
    present = joined["member"][~missing_mask(joined["member"])]
    assert set(present.tolist()) == {True}
    assert abs((joined["job"] == "cook").mean() - 0.25) < 0.05
    assert "poet" not in set(joined["job"].tolist())


def test_the_same_seed_gives_the_same_rows(fingerprint: Fingerprint) -> None:
    """And another seed others; a column more leaves the others' values alone."""
    once, again = (golden_rows(fingerprint, SIGNATURE, seed=5) for _ in range(2))
    assert frame_digest(once) == frame_digest(again)
    assert frame_digest(once) != frame_digest(golden_rows(fingerprint, SIGNATURE, seed=6))


def test_no_text_of_the_data_is_repeated(fingerprint: Fingerprint) -> None:
    """Free text may hold anything about anybody, so it is made up."""
    known = set(people()["notes"].tolist())
    assert known.isdisjoint(golden_rows(fingerprint, SIGNATURE)["notes"].tolist())


@pytest.mark.parametrize("n", [0, -1, 65])
def test_one_to_sixty_four_rows(n: int, fingerprint: Fingerprint) -> None:
    """Another number of rows is refused."""
    with pytest.raises(ValueError, match="1 to 64"):
        golden_rows(fingerprint, SIGNATURE, n=n)


@settings(max_examples=60)
@given(
    values=arrays.arrays(
        np.float64,
        st.integers(1, 60),
        elements=st.floats(allow_nan=True, allow_infinity=True),
    ),
    nullable=st.booleans(),
)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_numbers_stay_inside_any_reference(values: np.ndarray, *, nullable: bool) -> None:
    """Any doubles at all: golden values are finite, in the range that the reference tells."""
    column = Column(name="x", kind="number", nullable=nullable)
    signature = Signature(task="regression", columns=(column,))
    drawn = golden_rows(build({"x": values}, signature), signature, seed=1)["x"]
    present = drawn[~np.isnan(drawn)]
    assert nullable or len(present) == 64
    low, high = told_range(values)
    assert present.min(initial=low) >= low
    assert present.max(initial=high) <= high
    assert np.isfinite(present).all()


@settings(max_examples=60)
@given(arrays.arrays(np.int64, st.integers(1, 60), elements=st.integers(-(2**53), 2**53)))
def test_integers_stay_whole_and_inside(values: np.ndarray) -> None:
    """Any integers that a double can hold."""
    signature = Signature(task="regression", columns=(Column(name="x", kind="integer"),))
    drawn = golden_rows(build({"x": values}, signature), signature, seed=1)["x"]
    assert drawn.dtype == np.int64
    low, high = told_range(values)
    assert low <= drawn.min()
    assert drawn.max() <= high


def told_range(values: np.ndarray) -> tuple[float, float]:
    """Return the range of the reference; 0 to 1 where too few rows tell one."""
    low, high = reference_range(values)
    return (0.0, 1.0) if low is None or high is None else (low, high)


class Doubling:
    """A model that answers twice the age, or what it was told to."""

    def __init__(self, answer: float | None = None) -> None:
        self.answer = answer

    def predict(self, frame: Frame) -> Predictions:
        """Return one value a row."""
        values = frame["age"].astype(np.float64) * 2
        if self.answer is not None:
            values[3] = self.answer
        return Predictions(values=values)


def test_golden_rows_come_back_from_json_as_they_were(fingerprint: Fingerprint) -> None:
    """Written as JSON, read by the runtime: the same frame, so the same answers."""
    rows = golden_rows(fingerprint, SIGNATURE)
    golden = make_golden(rows, Doubling(), SIGNATURE, 1e-6)
    columns = json.loads(json.dumps({name: plain(values) for name, values in rows.items()}))
    assert columns == golden.columns
    assert frame_digest(frame_of(columns, SIGNATURE)) == frame_digest(rows)
    assert golden.values == [2.0 * age for age in golden.columns["age"]]
    assert (golden.tolerance, row_count(rows), golden.probabilities) == (1e-6, 64, None)


class Picky(Doubling):
    """A model with a step that reads nothing but the notes that it knows."""

    def __init__(self, *known: str) -> None:
        super().__init__()
        self.known = known

    def predict(self, frame: Frame) -> Predictions:
        """Return one value a row; raises InputError for any other note."""
        if not set(frame["notes"]) <= set(self.known):
            raise InputError("the model refused these rows")
        return super().predict(frame)


def test_rows_that_the_model_refuses_are_left_out(fingerprint: Fingerprint) -> None:
    """They are made up; those that are left have their own answers, in order."""
    rows = golden_rows(fingerprint, SIGNATURE)
    golden = make_golden(rows, Picky("alpha", "beta"), SIGNATURE)
    kept = np.isin(rows["notes"], ["alpha", "beta"])
    assert 0 < kept.sum() < 64
    assert golden.columns["age"] == rows["age"][kept].tolist()
    assert golden.values == (2.0 * rows["age"][kept]).tolist()
    finding = golden_finding(golden)
    assert (finding.outcome, finding.evidence) == ("tip", {"n": int(kept.sum())})
    assert golden_finding(make_golden(rows, Doubling(), SIGNATURE)).outcome == "passed"


def test_a_bundle_may_have_no_golden_rows(fingerprint: Fingerprint) -> None:
    """Where the model refuses all of them; a finding says so."""
    golden = make_golden(golden_rows(fingerprint, SIGNATURE), Picky(), SIGNATURE)
    assert set(golden.columns) == set(SIGNATURE.names)
    assert (row_count(frame_of(golden.columns, SIGNATURE)), golden.values) == (0, None)
    assert golden_finding(golden).evidence == {"n": 0}


@pytest.mark.parametrize("answer", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_refused(answer: float, fingerprint: Fingerprint) -> None:
    """It could not be compared later; the error names the row."""
    with pytest.raises(ModelError, match="golden row 3"):
        make_golden(golden_rows(fingerprint, SIGNATURE), Doubling(answer), SIGNATURE)
