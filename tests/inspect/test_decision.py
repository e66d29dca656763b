"""The label that is served is the one that the model's own ``predict`` gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from afterfit.core.dataset import Dataset
from afterfit.core.finding import Finding
from afterfit.core.frame import Predictions
from afterfit.inspect.config import InspectConfig
from afterfit.inspect.run import inspect_model
from afterfit.models.convert import Converted, attempts, to_onnx
from afterfit.models.decision import OwnThreshold, own_threshold
from afterfit.models.draft import native_files
from afterfit.models.loaded import LoadedModel, open_model
from afterfit.models.native import Hints
from afterfit.models.onnx import Adapter
from afterfit.models.sklearn import SklearnModel
from afterfit.models.variant import load_here
from afterfit.records.inspect import InspectRecord

N = 400


def rows() -> tuple[pd.DataFrame, np.ndarray]:
    """Two columns and labels that they foretell badly, so that thresholds matter."""
    random = np.random.default_rng(5)
    x = pd.DataFrame({"a": random.normal(size=N), "b": random.normal(size=N)})
    y = np.where(x["a"] + 2 * random.normal(size=N) > 0.5, "yes", "no").astype(object)
    return x, y


def dataset() -> Dataset:
    """The rows as a dataset."""
    x, y = rows()
    return Dataset(
        frame={str(name): x[name].to_numpy() for name in x},
        target=y,
        target_name="bought",
        source="rows.csv",
    )


def fixed(threshold: float | str, inner: Any = None, **more: Any) -> Any:
    """A classifier that decides from a threshold on, not fitted."""
    inner = LogisticRegression() if inner is None else inner
    return FixedThresholdClassifier(inner, threshold=threshold, **more)


def inspected(model: LoadedModel, config: InspectConfig | None = None) -> InspectRecord:
    """The record of the model on the rows."""
    return inspect_model(model, dataset(), None, config or InspectConfig())


def about_labels(record: InspectRecord) -> Finding:
    """The finding about the model's own labels."""
    return next(finding for finding in record.findings if finding.code == "I013")


def served(record: InspectRecord, predictions: Predictions) -> list[Any]:
    """The labels that the signature makes of predictions."""
    return [record.signature.classes[code] for code in record.signature.codes(predictions)]


READ: dict[str, tuple[Callable[[], Any], str, float]] = {
    "last step": (lambda: make_pipeline(StandardScaler(), fixed(0.2)), "yes", 0.2),
    "in a search": (
        lambda: GridSearchCV(fixed(0.5, pos_label="yes"), {"threshold": [0.25]}, cv=2),
        "yes",
        0.25,
    ),
    "of the first class": (lambda: fixed(0.8, pos_label="no"), "no", 0.8),
}


@pytest.mark.parametrize("case", READ)
def test_a_threshold_is_read_wherever_it_stands(case: str, tmp_path: Path) -> None:
    """It is that of the class that it was given for, and every label comes out as predicted."""
    make, positive, threshold = READ[case]
    x, y = rows()
    fitted = make().fit(x, y)
    with open_model(fitted, workdir=tmp_path) as model:
        record = inspected(model)
        assert (record.signature.positive, record.signature.threshold) == (positive, threshold)
        assert about_labels(record).outcome == "passed"
        assert about_labels(record).evidence == {"differ": 0, "n": N}
        assert served(record, model.predict(dataset().frame)) == fitted.predict(x).tolist()


def test_a_threshold_that_is_no_probability_is_not_read() -> None:
    """One of a decision function, one that nothing reaches, and none at all."""
    x, y = rows()
    for model in (
        fixed(0.5, response_method="decision_function"),
        fixed(1.5),
        fixed(0.2, LinearSVC()),
        LogisticRegression(),
    ):
        assert own_threshold(SklearnModel(model.fit(x, y), Hints())) is None
    found = own_threshold(SklearnModel(fixed("auto", pos_label="no").fit(x, y), Hints()))
    assert found == OwnThreshold(value=0.5, code=0, named=True)


def test_a_tuned_threshold_is_read_inside_of_a_pipeline(tmp_path: Path) -> None:
    """``TunedThresholdClassifierCV`` as the last step."""
    x, y = rows()
    tuned = TunedThresholdClassifierCV(LogisticRegression(), cv=3)
    fitted = make_pipeline(StandardScaler(), tuned).fit(x, y)
    with open_model(fitted, workdir=tmp_path) as model:
        record = inspected(model)
        assert record.signature.threshold == fitted[-1].best_threshold_
        assert served(record, model.predict(dataset().frame)) == fitted.predict(x).tolist()


def test_a_threshold_is_turned_to_the_positive_class_that_was_named(tmp_path: Path) -> None:
    """Rows that lie on it stay on the side of the class that it was given for."""
    x, y = rows()
    fitted = fixed(0.6, KNeighborsClassifier(), pos_label="no").fit(x, y)
    with open_model(fitted, workdir=tmp_path) as model:
        record = inspected(model, InspectConfig(positive="yes"))
        assert record.signature.positive == "yes"
        assert about_labels(record).outcome == "passed"
        assert served(record, model.predict(dataset().frame)) == fitted.predict(x).tolist()


OWN: dict[str, Callable[[], Any]] = {
    "a decision function": lambda: fixed(-1.0, response_method="decision_function"),
    "a calibration of its own": lambda: SVC(probability=True, random_state=0),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("case", OWN)
def test_where_no_threshold_can_be_read_the_model_decides(case: str, tmp_path: Path) -> None:
    """The finding counts the rows; the bundle's variant answers with both, and no graph is made."""
    x, y = rows()
    fitted = OWN[case]().fit(x, y)
    data = dataset()
    with open_model(fitted, workdir=tmp_path / "model") as model:
        record = inspected(model)
        finding = about_labels(record)
        assert (finding.outcome, finding.evidence["n"]) == ("tip", N)
        assert finding.evidence["differ"] > 0
        assert (record.signature.own_labels, record.signature.threshold) == (True, None)
        assert served(record, model.predict(data.frame)) == fitted.predict(x).tolist()
        variant, files = native_files(model, record.signature)
        for name, path in files.items():
            target = tmp_path / "bundle" / name
            target.parent.mkdir(parents=True)
            target.write_bytes(path.read_bytes())
        shipped = load_here(tmp_path / "bundle", variant, record.signature)
    answers = shipped.predict(data.frame)
    assert answers.probabilities is not None
    assert np.array_equal(answers.probabilities, fitted.predict_proba(x))
    assert served(record, answers) == fitted.predict(x).tolist()
    graph = to_onnx(shipped, record.signature, attempts(shipped)[0])
    assert (graph.data, graph.error) == (
        b"",
        "the model decides its labels by itself, and a graph by probabilities",
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_threshold_that_was_asked_for_holds(tmp_path: Path) -> None:
    """The rows that it decides otherwise than the model are told."""
    x, y = rows()
    with open_model(SVC(probability=True, random_state=0).fit(x, y), workdir=tmp_path) as model:
        record = inspected(model, InspectConfig(threshold=0.3))
        assert (record.signature.threshold, record.signature.decides_by_likeliest) == (0.3, False)
        finding = about_labels(record)
        assert (finding.outcome, finding.evidence["differ"] > 0) == ("tip", True)
        again = inspected(model)
        assert again.signature.own_labels is True
        assert inspected(model, InspectConfig(threshold=0.3)).digest == record.digest


def test_a_graph_decides_by_the_labels_that_it_gives(tmp_path: Path) -> None:
    """A graph whose labels are another output than its probabilities answers with both."""
    x, y = rows()
    plain = LogisticRegression().fit(x, y)
    native = SklearnModel(plain, Hints())
    with open_model(plain, workdir=tmp_path) as model:
        signature = inspected(model).signature
    converted: Converted = to_onnx(native, signature, attempts(native)[0])
    graph = with_labels(converted)
    path = tmp_path / "graph.onnx"
    path.write_bytes(graph)
    with open_model(path, workdir=tmp_path) as model:
        record = inspected(model)
        expected = np.where(plain.predict_proba(x)[:, 1] >= 0.25, "yes", "no").tolist()
        assert record.signature.own_labels is True
        assert about_labels(record).outcome == "tip"
        assert served(record, model.predict(dataset().frame)) == expected
        variant, files = native_files(model, record.signature)
        assert variant.output is not None
        assert variant.output.label == "decided"
        assert list(files.values()) == [path.resolve()]


def with_labels(converted: Converted) -> bytes:
    """The graph with an output that decides for the second class from 0.25 on."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(converted.data)
    assert converted.output is not None
    constants = {"second": np.array([1]), "limit": np.array([[0.25]])}
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Gather", [converted.output.name, "second"], ["p"], axis=1),
            helper.make_node("GreaterOrEqual", ["p", "limit"], ["hit"]),
            helper.make_node("Cast", ["hit"], ["decided"], to=TensorProto.INT64),
        ]
    )
    kind = helper.make_tensor_value_info("decided", TensorProto.INT64, [None, 1])
    model.graph.output.append(kind)
    data: bytes = model.SerializeToString()
    assert Adapter().wrap(data, Hints()).description.probabilities
    return data


class Other(LogisticRegression):  # type: ignore[misc]
    """A classifier whose predict speaks another language than its classes."""

    def predict(self, x: Any) -> Any:
        """Return what is none of the classes."""
        return np.array(["oui"] * len(x))


def test_labels_of_another_language_are_an_issue(tmp_path: Path) -> None:
    """They cannot be served; the likeliest class is, and that is told as something wrong."""
    x, y = rows()
    with open_model(Other().fit(x, y), workdir=tmp_path) as model:
        record = inspected(model)
    finding = about_labels(record)
    assert (finding.outcome, finding.severity) == ("issue", "high")
    assert record.signature.own_labels is not True
