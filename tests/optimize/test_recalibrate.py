"""A map behind the model: it ships where it surely helps, and every label stays as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.core.signature import Signature
from afterfit.models.convert import Attempt, to_onnx
from afterfit.models.loaded import Hints, LoadedModel, open_model
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.lossy import Means
from afterfit.optimize.maps import chosen_map, mapped, moved_threshold, need_of
from afterfit.optimize.recalibrate import Base, Remapped, recalibrate
from afterfit.optimize.run import ONNX_FILE, Optimized, optimize
from afterfit.optimize.split import Part, trained_on
from afterfit.runtime.onnx import OnnxModel
from afterfit.stats.recalibration import Logistic, Map, Temperature, fit_rising

COLUMNS = tuple("abcd")
ASKED = OptimizeConfig(effort="quick", batches=(1, 16), allow=("recalibrate",), seconds=60.0)
RNG = np.random.default_rng(5)


def rows(n: int, seed: int) -> Dataset:
    """Return n rows whose label is a noisy sum, as column a says it and b, c, d say it again."""
    rng = np.random.default_rng(seed)
    hit = rng.random(n) < 0.3
    a = hit + rng.normal(scale=1.2, size=n)
    frame = {"a": a} | {name: a + rng.normal(scale=0.05, size=n) for name in COLUMNS[1:]}
    return Dataset(frame=frame, target=np.where(hit, "yes", "no").astype(object))


def table(data: Dataset) -> np.ndarray:
    """Return the columns as a matrix."""
    return np.column_stack(list(data.frame.values()))


def bayes(train: Dataset) -> Any:
    """Return a naive Bayes that counts the same evidence four times: far too sure of itself."""
    from sklearn.naive_bayes import GaussianNB

    return GaussianNB().fit(table(train), train.target)


def here(
    model: Any, signature: Signature, data: Dataset, *, deadline: float = math.inf
) -> Remapped:
    """Return what a map does for a model of this process, behind its exact graph."""
    graph = to_onnx(model.native, signature, Attempt(name="exact"))
    assert not graph.error
    model.pid = None
    base = Base("exact", graph)
    return recalibrate(model, signature, data, None, base, ASKED, deadline=deadline)


@contextmanager
def opened(estimator: Any, folder: Path, classes: tuple[Any, ...]) -> Iterator[LoadedModel]:
    """Yield the estimator in a process of its own."""
    joblib.dump(estimator, folder / "model.joblib")
    hints = Hints(features=COLUMNS, classes=classes)
    with open_model(folder / "model.joblib", hints=hints, workdir=folder) as model:
        yield model


@pytest.fixture
def signature(signed: Callable[..., Signature]) -> Signature:
    """The signature of the rows."""
    return signed(rows(500, 0).frame, "binary", ("no", "yes"))


def told(done: Optimized, code: str = "O017") -> Finding:
    """Return the finding of that code."""
    return next(finding for finding in done.record.findings if finding.code == code)


def graph_of(done: Optimized, signature: Signature) -> OnnxModel:
    """Return the graph that ships."""
    variant, content = done.record.variant, done.files[ONNX_FILE]
    assert isinstance(content, bytes)
    assert variant.output is not None
    return OnnxModel(content, variant.inputs, variant.output, signature.classes)


def test_a_model_that_is_too_sure_gets_a_map_and_keeps_its_labels(
    tmp_path: Path, signature: Signature
) -> None:
    """The log loss falls on rows of no part in it, with a certificate; labels are the model's."""
    signature = msgspec.structs.replace(signature, positive="no", threshold=0.3)
    train, data, fresh = rows(1500, 1), rows(4000, 2), rows(3000, 3)
    estimator = bayes(train)
    with opened(estimator, tmp_path, ("no", "yes")) as model:
        done = optimize(model, signature, data, ASKED, means=Means(train))
        native = model.predict(fresh.frame)
    record = done.record
    found = record.recalibrated
    assert found is not None
    assert (record.chosen, found.verdict) == (found.variant, "helps")
    assert told(done).outcome == "passed"
    assert told(done).where == found.map.method
    proof = record.certificate
    assert proof is not None
    assert (proof.metric, proof.verdict) == ("log_loss", "certified")
    assert proof.high is not None
    assert proof.high < 0
    assert [guard.value for guard in proof.guards if guard.name == "flips"] == [0.0]
    assert found.fitted + found.judged == len(data)
    moved = record.decides(signature)
    assert moved.threshold == found.threshold != signature.threshold
    assert told(done, "O018").evidence["threshold"] == moved.threshold
    answers = graph_of(done, signature).predict(fresh.frame)
    assert answers.probabilities is not None
    assert native.probabilities is not None
    np.testing.assert_array_equal(moved.codes(answers), signature.codes(native))
    truth = (np.asarray(fresh.target) == "yes").astype(int)
    before, after = (need_of(p, truth, 0) for p in (native.probabilities, answers.probabilities))
    assert before.error > 0.1
    assert after.error < 0.03
    parity = next(v.parity for v in record.variants if v.name == record.chosen)
    assert {each.rows for each in parity} >= {"held-out rows", "edge rows"}
    assert all(each.beyond == 0 and each.flips == 0 for each in parity)
    gains = [metric for metric in record.metrics if metric.name.endswith("_gain")]
    assert [metric.name for metric in gains] == ["log_loss_gain", "brier_gain"]
    assert all(metric.low is not None and metric.low > 0 for metric in gains)


def test_a_calibrated_model_is_told_that_nothing_is_needed(
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """No map is fitted, so there is no form with one."""
    from sklearn.linear_model import LogisticRegression

    train, data = rows(1500, 1), rows(3000, 2)
    model, signature = fitted(LogisticRegression(), train.frame, train.target, "binary")
    found = here(model, signature, data)
    (finding,) = found.findings
    assert finding.outcome == "passed"
    assert "Nothing is needed" in finding.message
    assert (found.record, found.chosen, found.reports) == (None, None, ())


def test_who_cannot_have_a_map_is_told_why(
    fitted: Callable[..., tuple[Any, Signature]], signature: Signature
) -> None:
    """No probabilities, labels of its own, no graph that a map could stand behind, or few rows."""
    from sklearn.naive_bayes import GaussianNB

    data = rows(90, 1)
    model, signed = fitted(GaussianNB(), data.frame, data.target, "binary")
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"task": "regression"}, "not_applicable", "a regression has no probabilities"),
        ({"probabilities": False}, "not_applicable", "gives labels and no probabilities"),
        ({"own_labels": True}, "not_applicable", "decides its labels by something else"),
        ({}, "skipped", "of each outcome 20 are needed"),
    ]
    for change, outcome, words in cases:
        (finding,) = here(model, msgspec.structs.replace(signed, **change), data).findings
        assert finding.outcome == outcome
        assert words in finding.message
    nothing: Any = None
    found = recalibrate(nothing, signature, data, None, None, ASKED, deadline=0.0)
    assert found.findings[0].outcome == "skipped"
    assert "a graph that answers as the model does, and there is none" in found.findings[0].message
    late = here(model, signed, rows(2000, 1), deadline=0.0)
    assert late.findings[0].outcome == "skipped"
    assert late.cut


def test_a_map_of_another_time_is_found_to_hurt(
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """Earlier rows fit and later ones judge: where the world turned between them, it hurts."""
    from sklearn.naive_bayes import GaussianNB

    train, old, new = rows(1500, 1), rows(1200, 2), rows(1200, 3)
    model, signature = fitted(GaussianNB(), train.frame, train.target, "binary")
    turned = np.where(np.asarray(old.target) == "yes", "no", "yes").astype(object)
    both = {name: np.concatenate([values, new.frame[name]]) for name, values in old.frame.items()}
    data = Dataset(
        frame=both,
        target=np.concatenate([turned, np.asarray(new.target)]),
        time=np.arange(2400.0),
    )
    found = here(model, signature, data)
    assert found.chosen is None
    assert found.record is not None
    assert found.record.verdict == "hurts"
    assert found.findings[0].outcome == "tip"
    assert "hurts" in found.findings[0].message
    (report,) = found.reports
    assert (report.status, report.certificate) == ("rejected", None)


def test_several_classes_get_a_temperature(
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """What is likeliest stays; there is no threshold to move. Groups are parted by none."""
    from sklearn.naive_bayes import GaussianNB

    def make(n: int, seed: int) -> Dataset:
        rng = np.random.default_rng(seed)
        code = rng.integers(0, 3, n)
        a = code + rng.normal(scale=1.0, size=n)
        frame = {name: a + rng.normal(scale=0.05, size=n) for name in COLUMNS}
        words = np.array(["u", "v", "w"], dtype=object)
        return Dataset(frame=frame, target=words[code], group=np.arange(n) // 3)

    train, data = make(1500, 1), make(3000, 2)
    model, signature = fitted(GaussianNB(), train.frame, train.target, "multiclass")
    done = here(model, signature, data)
    found = done.record
    assert found is not None
    assert (found.map.method, found.verdict, found.threshold) == ("temperature", "helps", None)
    assert found.map.parameters["temperature"] > 2
    assert "groups" in found.map.losses[0].gain.method
    assert done.chosen is not None
    made = done.chosen.converted
    assert made is not None
    assert made.output is not None
    answers = OnnxModel(made.data, made.inputs, made.output, signature.classes).predict(data.frame)
    native = model.predict(data.frame)
    np.testing.assert_array_equal(signature.codes(answers), signature.codes(native))
    assert [finding.outcome for finding in done.findings] == ["passed", "passed"]


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("threshold", [0.5, 0.25, 0.9])
@pytest.mark.parametrize("kind", ["platt", "temperature", "isotonic"])
def test_the_threshold_moves_so_that_no_label_does(
    signature: Signature, kind: str, threshold: float, *, second: bool
) -> None:
    """Also of rows that stand on the threshold, and of answers rounded to seven decimals."""
    positive = "yes" if second else "no"
    before = msgspec.structs.replace(signature, positive=positive, threshold=threshold)
    p = np.round(RNG.random(3000), 2)
    maps: dict[str, Map] = {
        "platt": Logistic(0.37, -1.1),
        "temperature": Temperature(3.3),
        "isotonic": fit_rising(p, RNG.random(3000) < p**2),
    }
    answers = Predictions(probabilities=np.column_stack([1 - p, p]))
    after = mapped(maps[kind], answers)
    moved = moved_threshold(maps[kind], before)
    decided = before if moved is None else msgspec.structs.replace(before, threshold=moved)
    np.testing.assert_array_equal(decided.codes(after), before.codes(answers))
    assert after.probabilities is not None
    rounded = Predictions(probabilities=after.probabilities.round(7))
    np.testing.assert_array_equal(decided.codes(rounded), before.codes(answers))


def test_a_map_is_chosen_by_folds_and_none_where_none_helps() -> None:
    """A curve that no line follows takes the rising line; calibrated probabilities take nothing."""
    p = RNG.random(4000)
    both = np.column_stack([1 - p, p])
    curved = (RNG.random(4000) < 0.5 + 4 * (p - 0.5) ** 3).astype(np.int64)
    found = chosen_map(both, curved, None, 0)
    assert found is not None
    assert found.name == "isotonic"
    few = chosen_map(both[:300], curved[:300], None, 0)
    assert few is None or few.name != "isotonic"
    even = chosen_map(both, curved, None, 0, even=True)
    assert even is not None
    assert even.name == "temperature"


def test_rows_that_trained_the_model_take_no_part(signature: Signature) -> None:
    """The same row with the same label is one of them; in a table of repeats nothing is said."""
    train, data = rows(500, 1), rows(200, 2)
    mixed = {name: np.concatenate([v, train.frame[name][:50]]) for name, v in data.frame.items()}
    target = np.concatenate([np.asarray(data.target), np.asarray(train.target)[:50]])
    codes = (target == "yes").astype(np.int64)
    part = Part(mixed, codes, 250)
    assert trained_on(signature, part, train).nonzero()[0].tolist() == list(range(200, 250))
    repeated = train.take(np.repeat(np.arange(100), 3))
    assert not trained_on(signature, part, repeated).any()
