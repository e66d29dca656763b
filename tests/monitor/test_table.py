"""Any table of predictions as a log."""

from __future__ import annotations

import numpy as np
import pytest

from afterfit.core.metric import find
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, UsageError
from afterfit.monitor.config import MonitorConfig
from afterfit.monitor.run import monitor_report
from afterfit.monitor.table import (
    Reference,
    infer_signature,
    log_from_table,
    parse_mapping,
    reference_from_table,
)
from afterfit.records.record import Environment

MAPPING = parse_mapping("score=prob, y=label, ts=time")


def table(seed: int, n: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    """A log as teams have it: features, a score, a label that is missing for some rows, a time."""
    random = np.random.default_rng(seed)
    prob = random.beta(2, 4, n)
    label = np.array([int(random.random() < p) for p in prob], dtype=object)
    label[random.random(n) < 0.2] = None
    time = np.array([f"2026-11-23T{i % 24:02}:00:00Z" for i in range(n)], dtype=object)
    age = random.normal(40 + 20 * shift, 10, n)
    return {"age": age, "prob": prob, "label": label, "time": time}


def test_a_plain_table_becomes_a_report() -> None:
    """Without any bundle: an earlier table is the reference, and labels give quality."""
    before, after = table(0, 3000), table(1, 1000, shift=1.0)
    signature = infer_signature(before, MAPPING)
    assert (signature.task, signature.positive) == ("binary", 1)
    reference = reference_from_table(before, MAPPING, signature)
    log = log_from_table(after, MAPPING, signature)
    record = monitor_report(log, reference, MonitorConfig(), env=Environment(afterfit="0"))
    assert record.counts["served"] == 1000
    assert record.period == ("2026-11-23T00:00:00+00:00", "2026-11-23T23:00:00+00:00")
    issues = {(f.code, f.where) for f in record.findings if f.outcome == "issue"}
    assert issues == {("M003", "age"), ("M031", "")}
    found = find(record.metrics, "roc_auc")
    assert found is not None
    assert found.n == record.counts["label"]
    assert 700 < found.n < 900


def test_the_index_that_pandas_writes_is_no_input() -> None:
    """Numbers of rows differ between any two tables, and mean nothing."""
    frame = table(0, 300) | {"__index_level_0__": np.arange(300)}
    assert [c.name for c in infer_signature(frame, MAPPING).columns] == ["age"]


def test_marks_that_are_predicted_as_values_are_a_regression() -> None:
    """Whole numbers from 3 to 8 are classes where scores are probabilities, and else values."""
    random = np.random.default_rng(0)
    marks = random.integers(3, 9, 300)
    frame = {"mark": marks, "said": marks + random.normal(size=300), "sure": random.random(300)}
    assert infer_signature(frame, {"y": "mark", "score": "said"}).task == "regression"
    assert infer_signature(frame, {"y": "mark", "score": "sure"}).task == "multiclass"
    words = frame | {"mark": np.array([f"m{mark}" for mark in marks], dtype=object)}
    assert infer_signature(words, {"y": "mark", "score": "said"}).task == "multiclass"


def test_the_score_is_of_the_positive_class() -> None:
    """With the positive class first among the classes, probabilities stand in that order."""
    frame = {"prob": np.array([0.9, 0.2]), "label": np.array(["bad", "good"], dtype=object)}
    signature = Signature(task="binary", columns=(), classes=("bad", "good"), positive="bad")
    log = log_from_table(frame, {"score": "prob", "y": "label"}, signature)
    assert log.scores.tolist() == [0.9, 0.2]
    assert log.codes.tolist() == [0, 1]
    assert log.probabilities is not None
    assert log.probabilities[0].tolist() == pytest.approx([0.9, 0.1])


def test_repeated_ids_keep_their_own_inputs() -> None:
    """A row that comes twice counts once, and the inputs stay those of the rows that count."""
    frame = {
        "id": np.array(["a", "b", "a"], dtype=object),
        "prob": np.array([0.1, 0.2, 0.3]),
        "x": np.array([1.0, 2.0, 3.0]),
    }
    signature = Signature(
        task="binary", columns=(Column(name="x", kind="number"),), classes=(0, 1), positive=1
    )
    log = log_from_table(frame, {"score": "prob", "event_id": "id"}, signature)
    assert log.counts["duplicate"] == 1
    assert log.frame["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_are_read_in_any_unit(scale: int) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds are told apart by their size."""
    frame = {"prob": np.array([0.5]), "t": np.array([1_795_435_200 * scale])}
    signature = Signature(task="binary", columns=(), classes=(0, 1), positive=1)
    log = log_from_table(frame, {"score": "prob", "ts": "t"}, signature)
    assert log.period == ("2026-11-23T12:00:00+00:00", "2026-11-23T12:00:00+00:00")


@pytest.mark.parametrize("text", ["score", "colour=x", "score="])
def test_a_mapping_that_is_none_shows_the_roles(text: str) -> None:
    """The error lists what may stand on the left."""
    with pytest.raises(UsageError, match="not a mapping") as caught:
        parse_mapping(text)
    assert "score" in caught.value.why


def test_a_column_that_is_not_there_is_named() -> None:
    """The error says which role asked for it and what there is."""
    with pytest.raises(InputError, match="no column 'prob'") as caught:
        log_from_table(
            {"p": np.array([0.5])}, {"score": "prob"}, Signature(task="regression", columns=())
        )
    assert "score=prob" in caught.value.where


def test_two_named_classes_need_a_positive_one() -> None:
    """The words good and bad do not say which of them a score is about."""
    frame = {"label": np.array(["good", "bad"], dtype=object)}
    with pytest.raises(InputError, match="positive class"):
        infer_signature(frame, {"y": "label"})
    assert infer_signature(frame, {"y": "label"}, positive="bad").positive == "bad"


def test_a_reference_may_be_nothing() -> None:
    """Without a fingerprint there are counts and quality, and no distance."""
    after = table(1, 400)
    signature = infer_signature(after, MAPPING)
    log = log_from_table(after, MAPPING, signature)
    record = monitor_report(log, Reference("x", signature), env=Environment(afterfit="0"))
    assert record.distances == ()
    assert [f.outcome for f in record.findings if f.code == "M010"] == ["skipped"]


def test_a_table_of_answers_says_nothing_of_failures() -> None:
    """Failures and flags that a table cannot hold are not passed, and no time is no period."""
    after = table(1, 400)
    del after["time"]
    signature = infer_signature(after, {"score": "prob", "y": "label"})
    log = log_from_table(after, {"score": "prob", "y": "label"}, signature)
    record = monitor_report(log, Reference("x", signature), env=Environment(afterfit="0"))
    outcomes = {f.code: f.outcome for f in record.findings}
    assert (outcomes["M004"], outcomes["M005"]) == ("not_applicable", "not_applicable")
    assert find(record.metrics, "unanswered_share") is None
    assert record.period is None
