"""``assess`` on models in child processes: what is measured, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.svm import LinearSVC

from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.findings import CrossValidation, NoLabels
from afterfit.assess.run import assess
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.metric import find
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.models.native import Hints
from afterfit.models.sklearn import SklearnModel
from afterfit.testing.samples import labels, pipeline, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from afterfit.core.finding import Finding
    from afterfit.models.loaded import LoadedModel
    from afterfit.records.assess import AssessRecord

QUICK = AssessConfig(effort="quick", folds=0)
NAMES = {"roc_auc", "pr_auc", "f1", "precision", "recall", "accuracy", "balanced_accuracy",
         "mcc", "log_loss", "brier"}  # fmt: skip


class Told:
    """A model that answers what it was told to."""

    def __init__(self, answer: Predictions) -> None:
        self.answer = answer

    def predict(self, _frame: Any) -> Predictions:
        """Return the answer."""
        return self.answer


def here(final: Any, target: Any) -> SklearnModel:
    """A pipeline that is fitted on the sample table, behind its adapter, in this process."""
    return SklearnModel(pipeline(final).fit(table(), target), Hints())


def finding(record: AssessRecord, code: str) -> Finding:
    """The one finding of that code."""
    (found,) = [each for each in record.findings if each.code == code]
    return found


def number_signature(task: Any = "regression", **outputs: Any) -> Signature:
    """A signature of one number."""
    columns = (Column(name="x", kind="number", low=0.0, high=1.0),)
    return Signature(task=task, columns=columns, target="price", **outputs)


def run(model: Any, signature: Signature, data: Dataset, **asked: Any) -> AssessRecord:
    """Assess without training rows; the record must survive its own JSON."""
    record = assess(model, signature, data, None, QUICK, subject="m", **asked)
    assert msgspec.json.decode(record.encode(), type=type(record)).digest == record.digest
    return record


def test_metrics_are_those_of_scikit_learn_with_intervals_and_folds(
    opened: Callable[..., LoadedModel], binary: Signature, rows: dict[str, Any]
) -> None:
    """Held-out numbers first, then lifts and baselines, then the folds of the clones."""
    truth = labels(table())
    model = opened(HistGradientBoostingClassifier(max_iter=20, random_state=0))
    data = Dataset(frame=rows, target=truth, target_name="target")
    config = AssessConfig(effort="quick", folds=3, jobs=2)
    record = assess(model, binary, data, data, config, subject="m", refittable=True)
    scores = model.predict(rows).main[:, 1]
    held = {m.name: m for m in record.metrics if m.scope == "held-out"}
    assert {*NAMES, "baseline_lift", "linear_lift"} == set(held)
    assert held["roc_auc"].value == pytest.approx(roc_auc_score(truth == "yes", scores))
    assert held["f1"].value == pytest.approx(f1_score(truth == "yes", scores >= 0.5))
    for metric in held.values():
        assert metric.low is not None
        assert metric.high is not None
        assert metric.value is not None
        assert metric.low <= metric.value <= metric.high
    assert {m.scope for m in record.metrics} == {
        "held-out", "baseline:majority", "baseline:logistic", "cv", "calibration",
        "data"}  # fmt: skip
    assert [(f.n_train, f.n_test) for f in record.folds] == [(160, 80)] * 3
    assert finding(record, "A001").outcome == "passed"
    assert finding(record, "A006").outcome == "passed"
    assert record.confusion is not None
    assert sum(map(sum, record.confusion.counts)) == len(truth)
    assert {curve.name for curve in record.curves} == {"ROC", "precision-recall"}


def test_a_time_column_makes_the_folds_go_forward(
    logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """Each fold trains on more rows than the one before, and the method says how."""
    days = np.array([f"2026-01-{1 + i // 10:02d}" for i in range(240)], dtype=object)
    data = Dataset(frame=rows, target=labels(table()), time=days)
    config = AssessConfig(effort="quick", folds=3, jobs=1)
    record = assess(logistic, binary, data, data, config, subject="m", refittable=True)
    assert [fold.n_train for fold in record.folds] == [60, 120, 180]
    metric = find(record.metrics, "roc_auc", "cv")
    assert metric is not None
    assert "earlier rows only" in metric.method
    assert "earlier rows only" in finding(record, "A006").message


def test_labels_of_another_type_and_a_class_of_one_row_do_not_stop_the_folds(
    opened: Callable[..., LoadedModel], rows: dict[str, Any], binary: Signature
) -> None:
    """The model was fitted on 0, 1, 2; the table says "a", "b", "c", and "c" once."""
    codes = np.arange(240) % 2
    codes[17] = 2
    signature = msgspec.structs.replace(
        binary, task="multiclass", classes=("a", "b", "c"), positive=None, threshold=None
    )
    model = opened(LogisticRegression(), codes, signature)
    target = np.array(["a", "b", "c"], dtype=object)[codes]
    data = Dataset(frame=rows, target=target)
    config = AssessConfig(effort="quick", folds=3, jobs=1)
    record = assess(model, signature, data, data, config, subject="m", refittable=True)
    assert len(record.folds) == 3, finding(record, "A006").message
    assert finding(record, "A005").outcome == "tip"
    assert find(record.metrics, "accuracy", "cv") is not None


def test_a_classifier_of_labels_alone_is_measured_by_labels(
    opened: Callable[..., LoadedModel], binary: Signature, rows: dict[str, Any]
) -> None:
    """LinearSVC has no probabilities: no AUC is invented, the lift is of accuracy."""
    signature = msgspec.structs.replace(binary, probabilities=False, threshold=None)
    model = opened(LinearSVC())
    data = Dataset(frame=rows, target=labels(table()))
    config = AssessConfig(effort="quick", folds=2, jobs=1)
    record = assess(model, signature, data, data, config, subject="m", refittable=True)
    names = {m.name for m in record.metrics}
    assert not names & {"roc_auc", "pr_auc", "log_loss", "brier"}
    lift = find(record.metrics, "baseline_lift")
    assert lift is not None
    assert lift.method.startswith("accuracy")
    assert finding(record, "A001").outcome == "passed"
    assert finding(record, "A007").outcome == "not_applicable"
    assert len(record.folds) == 2
    assert record.curves == ()


def test_a_constant_answer_has_no_interval_of_zero_width(
    binary: Signature, rows: dict[str, Any]
) -> None:
    """MCC of a constant is 0 without an interval; the constant is not better than itself."""
    record = run(
        here(DummyClassifier(), labels(table())),
        binary,
        Dataset(frame=rows, target=labels(table())),
    )
    mcc = find(record.metrics, "mcc", "held-out")
    assert mcc is not None
    assert (mcc.value, mcc.low, mcc.high) == (0.0, None, None)
    assert mcc.method.startswith("undefined: ")
    assert finding(record, "A001").outcome == "issue"
    assert finding(record, "A007").outcome == "tip"
    for metric in record.metrics:
        assert metric.low is None or metric.low < metric.high  # type: ignore[operator]


def test_one_class_of_held_out_rows_has_no_auc_and_says_why() -> None:
    """What needs two classes is not computed, what does not is."""
    signature = number_signature("binary", classes=(0, 1), positive=1, threshold=0.5)
    shares = np.linspace(0.1, 0.9, 30)
    model = Told(Predictions(probabilities=np.column_stack([1 - shares, shares])))
    record = run(model, signature, Dataset(frame={"x": shares}, target=np.zeros(30)))
    auc, accuracy = (find(record.metrics, name, "held-out") for name in ("roc_auc", "accuracy"))
    assert auc is not None
    assert auc.value is None
    assert auc.method.startswith("undefined: ")
    assert accuracy is not None
    assert accuracy.value == 0.5
    assert {finding(record, code).outcome for code in ("A001", "A002", "A007")} == {"skipped"}


def test_a_model_that_is_surely_worse_is_called_so() -> None:
    """Answers the wrong way round are worse than a constant and a line, not "not surely better"."""
    signature = number_signature("binary", classes=(0, 1), positive=1, threshold=0.5)
    x = np.linspace(0, 1, 400)
    wrong = Told(Predictions(probabilities=np.column_stack([x, 1 - x])))
    truth = (np.random.default_rng(0).random(400) < x).astype(int)
    record = run(wrong, signature, Dataset(frame={"x": x}, target=truth))
    constant, linear = finding(record, "A001"), finding(record, "A002")
    assert (constant.outcome, linear.outcome) == ("issue", "issue")
    assert constant.message.startswith("surely worse than a constant answer: the lift is -0.")
    assert linear.message.startswith("surely worse than a linear model: the lift is -0.")


def test_what_needs_no_fit_is_checked_before_the_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leak is looked for while there is time; findings stay in the order of the parts."""
    order = []

    def leak(evidence: Evidence) -> Part:
        order.append(("leak", evidence.cv))
        return Part((NoLabels.passed("second"),))

    def curve(evidence: Evidence) -> Part:
        order.append(("curve", evidence.cv))
        return Part((NoLabels.passed("first"),))

    def folds(*args: Any, refittable: bool) -> tuple[tuple[Any, ...], Any]:
        assert not refittable
        assert 0 < args[3].seconds < 100
        order.append(("folds", ()))
        return (), CrossValidation.skipped("none")

    monkeypatch.setattr("afterfit.assess.run.PARTS", (curve, leak))
    monkeypatch.setattr("afterfit.assess.run.AFTER_FOLDS", {curve})
    monkeypatch.setattr("afterfit.assess.run.fit_folds", folds)
    signature = number_signature("binary", classes=(0, 1), positive=1, threshold=0.5)
    x = np.linspace(0, 1, 60)
    model = Told(Predictions(probabilities=np.column_stack([1 - x, x])))
    data = Dataset(frame={"x": x}, target=(x > 0.4).astype(int))
    config = AssessConfig(effort="quick", seconds=100.0)
    record = assess(model, signature, data, None, config, subject="m")
    assert order == [("leak", ()), ("folds", ()), ("curve", ())]
    assert [f.message for f in record.findings[-2:]] == ["first", "second"]


def test_a_regression_with_a_constant_target_has_no_r2() -> None:
    """R² is undefined, errors are not; a perfect constant claims no interval."""
    x = np.linspace(0, 1, 60)
    data = Dataset(frame={"x": x}, target=np.full(60, 3.0), target_name="price")
    record = run(Told(Predictions(values=np.full(60, 3.0))), number_signature(), data)
    r2, mae = (find(record.metrics, name, "held-out") for name in ("r2", "mae"))
    assert r2 is not None
    assert r2.value is None
    assert mae is not None
    assert (mae.value, mae.low, mae.unit) == (0.0, None, "price")


def test_a_regression_is_compared_with_the_mean_and_a_ridge(
    opened: Callable[..., LoadedModel], binary: Signature, rows: dict[str, Any]
) -> None:
    """Boosting on a bent target beats both; its folds are fitted on values."""
    target = np.nan_to_num(rows["amount"]) ** 2 + rows["visits"]
    signature = msgspec.structs.replace(
        binary, task="regression", classes=(), positive=None, threshold=None, target="price"
    )
    model = opened(HistGradientBoostingRegressor(random_state=0), target)
    data = Dataset(frame=rows, target=target)
    config = AssessConfig(effort="quick", folds=2, jobs=1)
    record = assess(model, signature, data, data, config, subject="m", refittable=True)
    assert [m.name for m in record.metrics[:4]] == ["mae", "rmse", "r2", "quantile_loss"]
    assert finding(record, "A001").outcome == finding(record, "A002").outcome == "passed"
    assert len(record.folds) == 2
    assert record.confusion is None


def test_rows_without_a_label_are_left_out_and_none_at_all_is_told(
    logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """Half of the labels are missing; then all; then there is no target column."""
    target = labels(table())
    target[::2] = None
    assert run(logistic, binary, Dataset(frame=rows, target=target)).n_labelled == 120
    for nothing in (np.full(240, None, dtype=object), None):
        record = run(logistic, binary, Dataset(frame=rows, target=nothing))
        assert [f.outcome for f in record.findings] == ["skipped"]
        assert record.status == "partial"


def test_a_handful_of_rows_is_never_an_exception_nor_a_verdict(
    logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """What cannot be said of few rows is skipped; a good model is not called a bad one."""
    data = Dataset(frame=rows, target=labels(table()))
    for n in (1, 2, 3, 8):
        record = run(logistic, binary, data.take(slice(0, n)))
        assert record.n_labelled == n
        assert finding(record, "A001").outcome in {"skipped", "passed"}
        assert finding(record, "A006").outcome == "skipped"


def test_infinite_answers_are_no_numbers_in_the_record() -> None:
    """NaN of a model becomes "not computed" with the reason, in every metric."""
    values = np.linspace(0, 1, 60)
    data = Dataset(frame={"x": values}, target=values)
    record = run(
        Told(Predictions(values=np.where(values > 0.5, np.nan, 1))), number_signature(), data
    )
    held = [m for m in record.metrics if m.scope == "held-out"]
    assert held
    assert all(m.value is None and m.method.startswith("undefined: ") for m in held)


def test_huge_integers_gaps_and_booleans_do_not_stop_the_linear_baseline() -> None:
    """A column near the largest integer, one of 1e300, one all missing, booleans with gaps."""
    generator = np.random.default_rng(0)
    n = 80
    flags = np.array([True, False, None, True] * 20, dtype=object)
    frame = {
        "big": generator.integers(2**62, 2**63 - 1, n),
        "huge": np.where(generator.random(n) > 0.5, 1e300, -1e300),
        "gone": np.full(n, np.nan),
        "flag": flags,
        "word": np.array([None, "a", "b", "a"] * 20, dtype=object),
        "note": np.array([f"text {i}" for i in range(n)], dtype=object),
    }
    kinds = ["integer", "number", "number", "boolean", "category", "text"]
    columns = tuple(
        Column(name=name, kind=kind, nullable=True)  # type: ignore[arg-type]
        for name, kind in zip(frame, kinds, strict=True)
    )
    signature = Signature(
        task="binary", columns=columns, classes=(False, True), positive=True, threshold=0.5
    )
    truth = generator.random(n) > 0.5
    shares = generator.random(n)
    model = Told(Predictions(probabilities=np.column_stack([1 - shares, shares])))
    record = run(model, signature, Dataset(frame=frame, target=truth))
    linear = find(record.metrics, "roc_auc", "baseline:logistic")
    assert linear is not None
    assert linear.value is not None


def test_text_alone_has_no_linear_baseline_and_the_check_is_skipped(binary: Signature) -> None:
    """What was not compared never reads as passed."""
    signature = msgspec.structs.replace(binary, columns=(Column(name="note", kind="text"),))
    shares = np.linspace(0, 1, 60)
    frame = {"note": np.array([f"text {i}" for i in range(60)], dtype=object)}
    truth = np.where(shares > 0.5, "yes", "no").astype(object)
    model = Told(Predictions(probabilities=np.column_stack([1 - shares, shares])))
    record = run(model, signature, Dataset(frame=frame, target=truth))
    assert finding(record, "A002").outcome == "skipped"
    assert finding(record, "A001").outcome == "passed"


def test_unknown_labels_and_a_target_of_words_are_refused_with_the_column(
    binary: Signature, rows: dict[str, Any]
) -> None:
    """The error names the table, the column and the labels."""
    model = Told(Predictions(values=np.zeros(240)))
    data = Dataset(frame=rows, target=labels(table()), target_name="income", source="held.csv")
    odd = replace(data, target=np.full(240, "maybe", dtype=object))
    with pytest.raises(InputError, match="maybe") as caught:
        run(model, binary, odd)
    assert caught.value.where == "held.csv: column 'income'"
    with pytest.raises(InputError, match="not numeric"):
        run(model, number_signature(), data)
    with pytest.raises(InputError, match="not finite"):
        run(model, number_signature(), replace(data, target=np.full(240, np.inf)))


def test_a_fit_that_never_ends_is_ended_and_the_model_still_answers(
    tmp_path: Any, logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """The time is over: nothing is claimed, and no process is left broken."""
    (tmp_path / "refit_stuck.py").write_text(
        "import threading\ndef again(table, target):\n    threading.Event().wait()\n"
    )
    data = Dataset(frame=rows, target=labels(table()))
    config = AssessConfig(
        folds=3, jobs=2, seconds=1.0, refit="refit_stuck:again", code=str(tmp_path)
    )
    record = assess(logistic, binary, data, data, config, subject="m")
    assert finding(record, "A006").outcome == "skipped"
    assert "0 of 3 folds" in finding(record, "A006").message
    assert (record.status, record.folds) == ("partial", ())
    assert len(logistic.predict(rows)) == 240


def test_the_users_own_function_fits_the_folds(
    tmp_path: Any, logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """--refit gets a table and the user's labels; a function that is not there is told."""
    (tmp_path / "refit_here.py").write_text(
        "from afterfit.testing.samples import pipeline\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "def again(table, target):\n"
        "    assert set(target) == {'yes', 'no'}\n"
        "    return pipeline(LogisticRegression()).fit(table, target)\n"
    )
    data = Dataset(frame=rows, target=labels(table()))
    for name, outcome in (("refit_here:again", "passed"), ("refit_here:absent", "skipped")):
        config = AssessConfig(effort="quick", folds=2, jobs=1, refit=name, code=str(tmp_path))
        record = assess(logistic, binary, data, data, config, subject="m")
        assert finding(record, "A006").outcome == outcome, finding(record, "A006").message
    assert "absent" in finding(record, "A006").message


def test_a_record_whose_slices_and_importances_the_time_cut_is_partial(
    logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """No folds were asked for, and yet it is not the whole: with more time there is more."""
    data = Dataset(frame=rows, target=labels(table()))
    found = {}
    for seconds in (0.0, 60.0):
        config = AssessConfig(effort="quick", folds=0, jobs=1, seconds=seconds)
        record = assess(logistic, binary, data, None, config, subject="m")
        found[seconds] = record.status
        late = [f for f in record.findings if f.fix == "--effort standard"]
        assert bool(late) is (seconds == 0.0)
    assert found == {0.0: "partial", 60.0: "complete"}


def test_the_words_of_a_fit_that_fails_stay_out_of_the_record(
    tmp_path: Any, logistic: LoadedModel, binary: Signature, rows: dict[str, Any]
) -> None:
    """They may quote a row: the record has the type of the exception, the terminal the rest."""
    (tmp_path / "refit_fails.py").write_text(
        "def again(table, target):\n    raise ValueError(f'cannot take {table.amount.iloc[0]!r}')\n"
    )
    data = Dataset(frame=rows, target=labels(table()))
    config = AssessConfig(
        effort="quick", folds=2, jobs=1, refit="refit_fails:again", code=str(tmp_path)
    )
    record = assess(logistic, binary, data, data, config, subject="m")
    for code in ("A006", "A042"):
        told = finding(record, code)
        assert (told.outcome, "ValueError" in told.message) == ("skipped", True)
    assert b"cannot take" not in record.encode()


def test_the_same_seed_gives_the_same_record(
    opened: Callable[..., LoadedModel], binary: Signature, rows: dict[str, Any]
) -> None:
    """Digest for digest, folds of an estimator with its own randomness included."""
    model = opened(HistGradientBoostingClassifier(max_iter=5, early_stopping=True))
    data = Dataset(frame=rows, target=labels(table()))
    config = AssessConfig(effort="quick", folds=2, jobs=2, seed=5)
    first, second = (
        assess(model, binary, data, data, config, subject="m", refittable=True) for _ in range(2)
    )
    assert first.digest == second.digest


def test_ridge_is_as_good_as_itself(binary: Signature, rows: dict[str, Any]) -> None:
    """A linear model is told that a linear model would do: a tip, not an issue."""
    target = np.nan_to_num(rows["amount"]) + rows["visits"]
    signature = msgspec.structs.replace(
        binary, task="regression", classes=(), positive=None, threshold=None
    )
    record = run(here(Ridge(), target), signature, Dataset(frame=rows, target=target))
    assert finding(record, "A001").outcome == "passed"
    assert finding(record, "A002").outcome in {"tip", "passed"}


def test_of_a_linear_model_it_is_no_news_that_a_linear_one_is_as_good() -> None:
    """By the name of its class it does not apply; of any other model it is a tip with a fix."""
    signature = number_signature("binary", classes=(0, 1), positive=1, threshold=0.5)
    x = np.random.default_rng(0).random(300)
    truth = (np.random.default_rng(1).random(300) < x).astype(int)
    said = np.clip(x + np.random.default_rng(2).normal(size=300) / 30, 0, 1)
    model = Told(Predictions(probabilities=np.column_stack([1 - said, said])))
    data = Dataset(frame={"x": x}, target=truth)
    for estimator, outcome in (("LogisticRegression", "not_applicable"), ("", "tip")):
        told = finding(run(model, signature, data, estimator=estimator), "A002")
        assert told.outcome == outcome, told.message
        assert "not surely better than a linear model" in told.message
