"""``robustness`` on models in child processes: planted defects are found, a sound model passes."""

from __future__ import annotations

import time
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.svm import LinearSVC

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions, row_count
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ModelError
from afterfit.models.loaded import Hints, open_model
from afterfit.models.sklearn import SklearnModel
from afterfit.records.robustness import Case
from afterfit.robustness.cases import ROUNDED, Spoiled, planned_cases
from afterfit.robustness.config import RobustnessConfig
from afterfit.robustness.judge import judged
from afterfit.robustness.kept import failures_of
from afterfit.robustness.probe import same
from afterfit.robustness.run import robustness
from afterfit.testing.samples import frame_of, labels, pipeline, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from afterfit.core.finding import Finding
    from afterfit.core.frame import Frame
    from afterfit.records.robustness import RobustnessRecord

QUICK = RobustnessConfig(rows=30)
PARTS_FROM = "R020"
"""Codes from here on are of parts with tests of their own."""
COLUMNS = (
    Column(name="amount", kind="number", nullable=True, low=-4.0, high=4.0),
    Column(name="visits", kind="integer", low=0.0, high=8.0),
    Column(name="city", kind="category", nullable=True, categories=("Bonn", "Kiel", "Ulm")),
)
BINARY = Signature(
    task="binary", columns=COLUMNS, classes=("no", "yes"), positive="yes", threshold=0.5
)
REGRESSION = Signature(task="regression", columns=COLUMNS[:2])


class Answering:
    """A model in this process, made of one function from a frame to the shares of class 1."""

    def __init__(self, function: Callable[[Frame], Any]) -> None:
        self.function = function

    def predict(self, frame: Frame) -> Predictions:
        """Return the function's answer as values."""
        return Predictions(values=np.asarray(self.function(frame), dtype=np.float64))


def issues(record: RobustnessRecord) -> dict[str, list[Finding]]:
    """The issues by code; the record must survive its own JSON."""
    assert msgspec.json.decode(record.encode(), type=type(record)).digest == record.digest
    found: dict[str, list[Finding]] = {}
    for finding in record.issues:
        found.setdefault(finding.code, []).append(finding)
    return found


def outcomes(record: RobustnessRecord) -> dict[str, str]:
    """The outcome of each check that has no issue."""
    return {f.code: f.outcome for f in record.findings if f.outcome != "issue"}


def examined(fitted: Any, signature: Signature) -> RobustnessRecord:
    """The record of an estimator behind its adapter, in this process."""
    model = SklearnModel(fitted, Hints.of(signature))
    return robustness(model, signature, Dataset(frame=frame_of(table())), QUICK, subject="m")


def plain(word: Any) -> str:
    """A word as every spelling and look of it is meant."""
    kept = unicodedata.normalize("NFKC", word)
    return "".join(c for c in kept if unicodedata.category(c) != "Cf").strip().lower()


def test_a_sound_model_passes_every_check(tmp_path: Path) -> None:
    """Imputed, scaled, and words in their normal spelling: no issue, and every case ran."""
    data = table(missing=False)
    normal = FunctionTransformer(lambda words: words.fillna("").map(plain))
    words = make_pipeline(normal, OneHotEncoder(handle_unknown="ignore"))
    numbers = pipeline(None).steps[0][1].transformers[0][1]
    branches = make_column_transformer((numbers, ["amount", "visits"]), (words, ["city"]))
    fitted = make_pipeline(branches, LogisticRegression()).fit(data, labels(data))
    with open_model(fitted, workdir=tmp_path) as model:
        record = robustness(model, BINARY, Dataset(frame=frame_of(table())), QUICK, subject="m")
    assert issues(record) == {}
    told = {code: outcome for code, outcome in outcomes(record).items() if code < PARTS_FROM}
    # Nothing is declared monotone, and there are no labels for the ladders.
    assert {told.pop("R012"), told.pop("R016")} == {"not_applicable", "skipped"}
    assert set(told.values()) == {"passed"}
    assert record.status == "complete"
    assert len(record.cases) == 2 + 1 + 4 + 1 + 3 + len(planned_cases(BINARY))
    assert (record.metrics[0].name, record.metrics[0].value) == ("failed_cases", 0.0)
    refused = [case.column for case in record.cases if case.case == "missing"
               and case.outcome == "refused"]  # fmt: skip
    assert refused == ["visits"]


def test_a_crash_on_an_unseen_category_is_found_in_its_column(tmp_path: Path) -> None:
    """One issue for the column, with the cases and the library's own words."""
    data = table(missing=False)
    branches = make_column_transformer(
        (OneHotEncoder(handle_unknown="error"), ["city"]), ("passthrough", ["visits"])
    )
    fitted = make_pipeline(branches, LogisticRegression()).fit(data, labels(data))
    signature = msgspec.structs.replace(
        BINARY, columns=tuple(msgspec.structs.replace(c, nullable=False) for c in COLUMNS)
    )
    data_set = Dataset(frame=frame_of(data))
    with open_model(fitted, workdir=tmp_path) as model:
        record = robustness(model, signature, data_set, QUICK, subject="m")
    (crash,) = issues(record)["R001"]
    assert crash.where == "column 'city'"
    assert "unseen category" in crash.evidence["cases"]
    assert "unknown categories" in crash.message
    assert "handle_unknown" in crash.fix
    assert record.metrics[0].value == len(crash.evidence["cases"])


def test_nan_for_nan_is_found(tmp_path: Path) -> None:
    """A regression without an imputer that lets NaN through to its answer."""
    data = table(missing=False)
    linear = LinearRegression().fit(data[["amount", "visits"]], data["visits"])
    coefficient = linear.coef_.copy()

    class Careless(LinearRegression):  # type: ignore[misc]  # scikit-learn has no types
        def predict(self, rows: Any) -> Any:
            return np.asarray(rows, float) @ coefficient

    fitted = Careless().fit(data[["amount", "visits"]], data["visits"])
    frame = {name: array for name, array in frame_of(data).items() if name != "city"}
    with open_model(fitted, workdir=tmp_path) as model:
        record = robustness(model, REGRESSION, Dataset(frame=frame), QUICK, subject="m")
    (bad,) = issues(record)["R002"]
    assert bad.where == "column 'amount'"
    assert "30 of 30 rows" in bad.message


def test_an_answer_that_depends_on_its_batch_is_found(tmp_path: Path) -> None:
    """A step that scales by the batch's own mean is another model in every batch."""
    data = table(missing=False)[["amount", "visits"]]
    scale = FunctionTransformer(lambda rows: rows - rows.mean())
    fitted = make_pipeline(scale, LogisticRegression()).fit(data, labels(table(missing=False)))
    signature = msgspec.structs.replace(
        BINARY, columns=tuple(msgspec.structs.replace(c, nullable=False) for c in COLUMNS[:2])
    )
    frame = {name: array for name, array in frame_of(data).items() if name != "city"}
    with open_model(fitted, workdir=tmp_path) as model:
        record = robustness(model, signature, Dataset(frame=frame), QUICK, subject="m")
    (batch,) = issues(record)["R004"]
    assert batch.evidence["cases"] == ["one row at a time", "one row repeated"]
    assert "25 of 25 rows" in batch.message


def test_spelling_that_changes_decisions_is_an_issue_of_low_severity() -> None:
    """Every word that is spelled otherwise is unseen to a plain one-hot encoder."""
    data = table(missing=False)
    truth = np.where(data["city"] == "Ulm", "yes", "no")
    fitted = pipeline(LogisticRegression()).fit(data, truth)
    record = examined(fitted, BINARY)
    (spelling,) = issues(record)["R003"]
    assert (spelling.severity, spelling.where) == ("low", "column 'city'")
    cases = {"stray space", "line end behind it", "other case"}
    assert {name: set(told) for name, told in spelling.evidence["columns"].items()} == {
        "city": cases
    }
    assert "normalise words" in spelling.fix


def test_spelling_of_several_columns_is_one_issue_and_a_case_for_each() -> None:
    """Eight columns of words would be eight issues with one and the same fix."""
    cases = [
        Case(case=name, column=column, n=10, outcome="answered", changed=changed)
        for name, column, changed in (
            ("stray space", "city", 3), ("other case", "city", 2), ("stray space", "job", 5),
            ("other case", "job", 0),
        )
    ]  # fmt: skip
    planned = [Spoiled(c.case, c.column, lambda values: values, alike="spelling") for c in cases]
    (told,) = [f for f in judged(cases, planned) if f.outcome == "issue"]
    assert (told.code, told.where) == ("R003", "2 columns")
    assert told.message.startswith("stray space in 'job': 5 of 10 rows (50 %, 95 % interval 24 to")
    assert "columns: city, job; by stray space, other case" in told.message
    assert told.evidence["columns"] == {"city": ["stray space", "other case"],
                                        "job": ["stray space"]}  # fmt: skip
    failures = failures_of([told], planned, (), 0.0)
    assert [(f.place, f.case) for f in failures] == [
        ("city", "stray space"),
        ("job", "stray space"),
    ]


def test_the_fix_of_rounding_speaks_of_numbers() -> None:
    """Words have no part in it."""
    case = Case(case=ROUNDED, column="age", n=10, outcome="answered", changed=3)
    planned = [Spoiled(ROUNDED, "age", lambda values: values, alike="spelling")]
    (finding,) = [f for f in judged([case], planned) if f.outcome == "issue"]
    assert (finding.code, finding.where) == ("R003", "column 'age'")
    assert "round the column" in finding.fix
    assert "words" not in finding.fix


def test_labels_alone_have_decisions_but_no_shift() -> None:
    """LinearSVC: batches are compared by label, and no score is made up."""
    data = table()
    signature = msgspec.structs.replace(BINARY, probabilities=False, threshold=None)
    record = examined(pipeline(LinearSVC()).fit(data, labels(data)), signature)
    assert outcomes(record)["R004"] == "passed"
    assert any(case.changed for case in record.cases)
    assert all(case.max_shift is None for case in record.cases)


def test_gaps_in_booleans_and_big_integers_are_spoiled_like_the_rest() -> None:
    """Booleans with gaps, integers near 2**63, floats near the largest: every case has its rows."""
    columns = (
        Column(name="flag", kind="boolean", nullable=True),
        Column(name="sure", kind="boolean"),
        Column(name="big", kind="integer", low=-(2.0**63), high=2.0**63),
        Column(name="vast", kind="number", nullable=True, low=-1e308, high=1.7e308),
        Column(name="blank", kind="number", nullable=True),
    )
    frame = {
        "flag": np.array([True, None, False, True], dtype=object),
        "sure": np.array([True, False, True, True]),
        "big": np.array([2**63 - 1, -(2**63), 0, 7]),
        "vast": np.array([1e308, -1e308, np.nan, 0.0]),
        "blank": np.full(4, np.nan),
    }
    signature = Signature(task="regression", columns=columns)
    for spoiled in planned_cases(signature):
        if spoiled.change is None:
            if not spoiled.source:
                assert spoiled.why
            continue
        for values in spoiled.applied(frame).values():
            assert len(values) == 4
            assert not (values.dtype.kind == "f" and np.isinf(values).any())
    seen: list[Any] = []

    def look(rows: Any) -> Any:
        seen.append(rows["flag"])
        return np.ones(row_count(rows))

    record = robustness(Answering(look), signature, Dataset(frame=frame), QUICK, subject="m")
    assert issues(record) == {}
    fours = [list(flag[place : place + 4]) for flag in seen for place in range(0, len(flag), 4)]
    assert [False, None, True, False] in fours
    none = [case for case in record.cases if case.outcome == "not_applicable"]
    assert {case.column for case in none if "no range" in case.message} == {"blank"}
    assert record.metrics[0].n == len(record.cases) - len(none)


def test_a_model_that_fails_on_the_rows_as_they_are_is_an_issue_and_the_rest_is_skipped() -> None:
    """Nothing else is claimed to have passed."""

    def fail(_rows: Any) -> Any:
        raise ModelError("the model failed on these rows", why="ZeroDivisionError: division")

    frame = {"amount": np.arange(5.0), "visits": np.arange(5)}
    record = robustness(Answering(fail), REGRESSION, Dataset(frame=frame), QUICK, subject="m")
    (crash,) = issues(record)["R001"]
    assert "rows as they are" in crash.message
    assert "ZeroDivisionError" in crash.message
    told = {outcome for code, outcome in outcomes(record).items() if code < PARTS_FROM}
    assert told == {"skipped"}
    assert record.status == "partial"


def test_a_crash_on_a_single_row_or_a_wrong_count_is_found() -> None:
    """A transformer that needs two rows, and one that drops rows with missing values."""
    frame = {"amount": np.arange(5.0), "visits": np.arange(5)}

    def needs_two(rows: Any) -> Any:
        if row_count(rows) == 1:
            raise ValueError("Found array with 1 sample(s) while a minimum of 2 is required")
        return np.ones(row_count(rows))

    def drops(rows: Any) -> Any:
        return rows["visits"][~np.isnan(rows["amount"])]

    first = robustness(Answering(needs_two), REGRESSION, Dataset(frame=frame), QUICK, subject="m")
    assert issues(first)["R001"][0].evidence["cases"] == ["one row at a time"]
    second = robustness(Answering(drops), REGRESSION, Dataset(frame=frame), QUICK, subject="m")
    assert "5 rows gave 0 answers" in issues(second)["R001"][0].message


def test_a_refusal_by_name_is_no_crash() -> None:
    """A model that names the column that it cannot take has answered as it should."""

    def picky(rows: Any) -> Any:
        if np.isnan(rows["amount"]).any():
            raise InputError("column 'amount' has a gap", where="amount")
        return np.ones(row_count(rows))

    frame = {"amount": np.arange(5.0), "visits": np.arange(5)}
    record = robustness(Answering(picky), REGRESSION, Dataset(frame=frame), QUICK, subject="m")
    assert issues(record) == {}
    assert any(c.case == "missing" and c.outcome == "refused" for c in record.cases)


def test_cases_out_of_time_are_skipped_and_their_checks_have_not_passed() -> None:
    """No time at all: what compares columns is skipped, and the record is partial."""
    frame = {"amount": np.arange(5.0), "visits": np.arange(5)}
    config = RobustnessConfig(rows=5, seconds=-1.0)
    model = Answering(lambda rows: np.ones(row_count(rows)))
    record = robustness(model, REGRESSION, Dataset(frame=frame), config, subject="m")
    told = outcomes(record)
    late = ("R001", "R002", "R003", "R007", "R008", "R010", "R012", "R014", "R015", "R016")
    assert {told[code] for code in late} == {"skipped"}
    assert "missing in 'amount'" in record.unreached
    assert "missing in 'amount'" in next(f for f in record.findings if f.code == "R007").message
    assert {told[code] for code in ("R004", "R005", "R006")} == {"passed"}
    assert record.status == "partial"


def test_an_answer_that_is_late_is_ended_and_is_no_crash(tmp_path: Path) -> None:
    """A model that takes a minute for a gap is not waited for; the case was not reached."""
    (tmp_path / "slow.py").write_text(
        "import time\nimport numpy as np\n\n\ndef predict(rows):\n"
        "    time.sleep(60 if rows['amount'].isna().any() else 0)\n"
        "    return np.ones(len(rows))\n\n\npredict.task = 'regression'\n"
    )
    frame = {"amount": np.arange(5.0), "visits": np.arange(5)}
    config = RobustnessConfig(rows=5, seconds=5.0)
    started = time.monotonic()
    with open_model("slow:predict", code=tmp_path, workdir=tmp_path) as model:
        record = robustness(
            model, REGRESSION, Dataset(frame=frame), config, subject="m", ends=(model,)
        )
    assert time.monotonic() - started < 45
    assert record.status == "partial"
    assert issues(record) == {}
    assert outcomes(record)["R007"] == "skipped"


def test_no_rows_are_refused() -> None:
    """There is nothing to spoil."""
    empty = {"amount": np.empty(0), "visits": np.empty(0, int)}
    model = Answering(lambda rows: np.ones(row_count(rows)))
    with pytest.raises(InputError, match="no rows"):
        robustness(model, REGRESSION, Dataset(frame=empty), QUICK, subject="m")


def test_a_moved_value_of_a_regression_counts_as_another_decision() -> None:
    """A word in another case moves the value by more than 1 % of the answers' spread."""
    frame = frame_of(table(missing=False))
    signature = Signature(task="regression", columns=COLUMNS)

    def by_city(rows: Any) -> Any:
        ulm = np.array([city == "Ulm" for city in rows["city"]])
        return np.nan_to_num(rows["visits"]) + 5.0 * ulm

    record = robustness(Answering(by_city), signature, Dataset(frame=frame), QUICK, subject="m")
    assert issues(record)["R003"][0].where == "column 'city'"


def test_batches_are_compared_by_row_whatever_the_kind_of_answer() -> None:
    """NaN twice is the same, one infinity is not; codes and probabilities compare by row."""
    values = np.array([1.0, np.nan, 2.0, np.inf])
    alike = same("x", Predictions(values=values), Predictions(values=values.copy()), 4)
    assert (alike.changed, alike.max_shift) == (0, 0.0)
    other = Predictions(values=np.array([1.0, 0.0, 2.0, -np.inf]))
    assert same("x", Predictions(values=values), other, 4).changed == 2
    codes = Predictions(codes=np.array([0, 1, 2]))
    assert same("x", codes, Predictions(codes=np.array([0, 2, 2])), 3).changed == 1
    matrix = Predictions(probabilities=np.array([[0.5, 0.5], [1.0, 0.0]]))
    moved = Predictions(probabilities=np.array([[0.5, 0.5], [0.9, 0.1]]))
    assert same("x", matrix, moved, 2).changed == 1
    assert same("x", matrix, Predictions(values=np.ones(2)), 2).outcome == "crashed"


def test_boosting_takes_gaps_by_itself() -> None:
    """A regression on rows with gaps: nothing crashes, every answer is finite."""
    data = table()[["amount", "visits"]]
    target = data["visits"] + pd.Series(np.linspace(0, 1, len(data)))
    fitted = HistGradientBoostingRegressor(max_iter=10).fit(data, target)
    record = examined(fitted, REGRESSION)
    assert set(issues(record)) <= {"R003"}
    assert outcomes(record)["R001"] == outcomes(record)["R002"] == "passed"
