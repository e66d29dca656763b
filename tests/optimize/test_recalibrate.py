"""A map behind the model: it ships where it surely helps, and every label stays as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.frame import Predictions
from afterfit.core.signature import Signature
from afterfit.models.convert import Attempt, to_onnx
from afterfit.models.timebox import TimeOverError
from afterfit.optimize.certify import Judge
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.maps import chosen_map, mapped, moved_threshold, need_of
from afterfit.optimize.recalibrate import Base, Remapped, recalibrate
from afterfit.optimize.search import answers_of_graph
from afterfit.optimize.split import Part, trained_on
from afterfit.records.optimize import Certificate
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


def too_sure(
    fitted: Callable[..., tuple[Any, Signature]], train: Dataset, task: str = "binary"
) -> tuple[Any, Signature]:
    """Return a naive Bayes that counts the same evidence four times, and its signature."""
    from sklearn.naive_bayes import GaussianNB

    return fitted(GaussianNB(), train.frame, train.target, task)


def here(
    model: Any,
    signature: Signature,
    data: Dataset,
    train: Dataset | None = None,
    *,
    lossy: Certificate | None = None,
) -> Remapped:
    """Return what a map does for a model of this process, behind its exact graph."""
    graph = to_onnx(model.native, signature, Attempt(name="exact"))
    assert not graph.error
    model.pid = None
    base = Base("exact", graph, lossy)
    return recalibrate(model, signature, data, train, base, ASKED, deadline=math.inf)


def answers_of(done: Remapped, signature: Signature, data: Dataset) -> Predictions:
    """Return what the form with the map answers."""
    assert done.chosen is not None
    made = done.chosen.converted
    assert made is not None
    return answers_of_graph(made, signature, data.frame)


@pytest.fixture
def signature(signed: Callable[..., Signature]) -> Signature:
    """The signature of the rows."""
    return signed(rows(500, 0).frame, "binary", ("no", "yes"))


def test_a_model_that_is_too_sure_gets_a_map_and_keeps_its_labels(
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """The log loss falls on rows of no part in it, with a certificate; labels are the model's."""
    train, data, fresh = rows(1500, 1), rows(4000, 2), rows(3000, 3)
    model, signature = too_sure(fitted, train)
    signature = msgspec.structs.replace(signature, positive="no", threshold=0.3)
    done = here(model, signature, data, train)
    found, chosen = done.record, done.chosen
    assert found is not None
    assert chosen is not None
    assert (chosen.name, chosen.status, found.verdict) == (found.variant, "certified", "helps")
    assert [(f.code, f.outcome) for f in done.findings] == [("O017", "passed"), ("O018", "passed")]
    proof = chosen.certificate
    assert proof is not None
    assert (proof.metric, proof.verdict) == ("log_loss", "certified")
    assert proof.high is not None
    assert proof.high < 0
    assert [guard.value for guard in proof.guards if guard.name == "flips"] == [0.0]
    assert found.judged == 4000 - 1333
    assert found.fitted == 1333
    assert found.threshold is not None
    assert done.findings[1].evidence["threshold"] == found.threshold != 0.3
    moved = msgspec.structs.replace(signature, threshold=found.threshold)
    native, answers = model.predict(fresh.frame), answers_of(done, signature, fresh)
    np.testing.assert_array_equal(moved.codes(answers), signature.codes(native))
    truth = (np.asarray(fresh.target) == "yes").astype(int)
    errors = [need_of(np.asarray(each.probabilities), truth, 0).error for each in (native, answers)]
    assert errors[0] > 0.1
    assert errors[1] < 0.03
    (report,) = done.reports
    assert {each.rows for each in report.parity} >= {"held-out rows", "edge rows"}
    assert all(each.beyond == 0 and each.flips == 0 for each in report.parity)
    gains = [metric for metric in done.metrics if metric.name.endswith("_gain")]
    assert [metric.name for metric in gains] == ["log_loss_gain", "brier_gain"]
    assert all(metric.low is not None and metric.low > 0 for metric in gains)


def test_a_lossy_form_gets_a_map_too_and_keeps_its_certificate(
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """It is certified anew with the map, by the metric that its loss is allowed in."""
    train, data = rows(1500, 1), rows(4000, 2)
    model, signature = too_sure(fitted, train)
    part = Part(data.frame, (np.asarray(data.target) == "yes").astype(np.int64), 4000)
    proof = Judge(signature, part, model.predict(data.frame), ASKED).certificate(
        model.predict(data.frame), "its bytes", 3
    )
    done = here(model, signature, data, train, lossy=proof)
    assert done.record is not None
    assert done.record.verdict == "helps"
    assert done.record.judged == 4000 - 1333
    assert done.chosen is not None
    found = done.chosen.certificate
    assert found is not None
    assert (found.metric, found.verdict, found.candidates) == ("accuracy", "certified", 3)
    assert found.drop == 0.0


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
    data = rows(90, 1)
    model, signed = too_sure(fitted, data)
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


def test_time_that_is_over_is_told(
    fitted: Callable[..., tuple[Any, Signature]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is then partial, so the next run tries it again."""

    def over(*_: object, **__: object) -> None:
        raise TimeOverError

    model, signature = too_sure(fitted, rows(1500, 1))
    monkeypatch.setattr(model, "call", over)
    late = here(model, signature, rows(2000, 2))
    assert late.findings[0].outcome == "skipped"
    assert late.cut


def test_a_map_of_another_time_is_found_to_hurt(
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """Earlier rows fit and later ones judge: where the world turned between them, it hurts."""
    train, old, new = rows(1500, 1), rows(1200, 2), rows(1200, 3)
    model, signature = too_sure(fitted, train)
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

    def make(n: int, seed: int) -> Dataset:
        rng = np.random.default_rng(seed)
        code = rng.integers(0, 3, n)
        a = code + rng.normal(scale=1.0, size=n)
        frame = {name: a + rng.normal(scale=0.05, size=n) for name in COLUMNS}
        words = np.array(["u", "v", "w"], dtype=object)
        return Dataset(frame=frame, target=words[code], group=np.arange(n) // 3)

    train, data = make(1500, 1), make(3000, 2)
    model, signature = too_sure(fitted, train, "multiclass")
    done = here(model, signature, data)
    found = done.record
    assert found is not None
    assert (found.map.method, found.verdict, found.threshold) == ("temperature", "helps", None)
    assert found.map.parameters["temperature"] > 2
    assert "groups" in found.map.losses[0].gain.method
    native, answers = model.predict(data.frame), answers_of(done, signature, data)
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
