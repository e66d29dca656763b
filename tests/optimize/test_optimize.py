"""``optimize`` on real models, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.digest import sha256_bytes, sha256_file
from afterfit.core.frame import Frame, take
from afterfit.core.signature import Signature
from afterfit.errors import InputError
from afterfit.models.convert import Attempt
from afterfit.models.loaded import Hints, open_model
from afterfit.models.tables import to_pandas
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.judge import _speed
from afterfit.optimize.ladder import Trial
from afterfit.optimize.latency import Timings, metrics_of, prefers_onnx
from afterfit.optimize.parity import differences
from afterfit.optimize.run import ONNX_FILE, Optimized, optimize
from afterfit.records.optimize import OptimizeRecord
from afterfit.runtime.onnx import OnnxModel
from afterfit.store.tables import read_dataset

QUICK = OptimizeConfig(effort="quick", batches=(1, 64))
Signed = Callable[..., Signature]


def run(
    estimator: Any, signature: Signature, frame: Frame, folder: Path, **hints: Any
) -> tuple[Optimized, np.ndarray]:
    """The outcome, and the model's own answers to the same rows."""
    with open_model(estimator, hints=Hints(**hints), workdir=folder) as model:
        done = optimize(model, signature, Dataset(frame=dict(frame)), QUICK)
        return done, model.predict(frame).main


def variant_of(done: Optimized, signature: Signature) -> OnnxModel:
    """The ONNX model that ships."""
    content = done.files[ONNX_FILE]
    variant = done.record.variant
    assert isinstance(content, bytes)
    assert variant.output is not None
    return OnnxModel(content, variant.inputs, variant.output, signature.classes)


def codes_of(done: Optimized) -> dict[str, str]:
    """Code to outcome of the findings."""
    return {finding.code: finding.outcome for finding in done.record.findings}


def adult_pipeline(final: Any) -> Any:
    """The usual pipeline: impute and scale numbers, impute and encode text."""
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", numbers, make_column_selector(dtype_include="number")),
                ("text", text, make_column_selector(dtype_exclude="number")),
            ]
        ),
        final,
    )


@pytest.mark.parametrize("name", ["forest", "histogram", "logistic", "lightgbm", "xgboost"])
def test_adult_models_ship_as_exact_onnx(
    name: str, shared_data: Callable[[str], Path], tmp_path: Path, signed: Signed
) -> None:
    """Pipelines on the Adult table convert, answer alike on rows they never saw, and are faster."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    finals = {
        "forest": RandomForestClassifier(30, max_depth=12, random_state=0),
        "histogram": HistGradientBoostingClassifier(max_iter=30),
        "logistic": LogisticRegression(max_iter=300),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=30, verbose=-1),
        "xgboost": xgboost.XGBClassifier(n_estimators=30),
    }
    data = read_dataset(shared_data("adult_train.csv"), target="income")
    assert data.target is not None
    truth = (data.target == data.target[7]).astype(int)
    train, test = take(data.frame, slice(0, 4000)), take(data.frame, slice(4000, 6000))
    estimator = adult_pipeline(finals[name]).fit(to_pandas(train, tuple(train)), truth[:4000])
    signature = signed(train, "binary", (0, 1))
    done, native = run(estimator, signature, test, tmp_path)
    assert done.record.chosen == "onnx-float64"
    assert codes_of(done) == {"O003": "passed", "O004": "passed", "O006": "passed"}
    answers = variant_of(done, signature).predict(test).main
    assert np.abs(answers - native).max() <= 1e-5
    assert np.array_equal(answers[:, 1] >= 0.5, native[:, 1] >= 0.5)


def test_wine_regression_and_the_record(
    shared_data: Callable[[str], Path], tmp_path: Path, signed: Signed
) -> None:
    """A regressor on a real table: the record says what was compared, timed and chosen."""
    from sklearn.ensemble import GradientBoostingRegressor

    data = read_dataset(shared_data("wine_quality_red.csv"), target="quality")
    assert data.target is not None
    estimator = GradientBoostingRegressor(n_estimators=40, random_state=0)
    estimator.fit(to_pandas(data.frame, tuple(data.frame)), data.target.astype(float))
    signature = signed(data.frame, "regression")
    done, native = run(estimator, signature, data.frame, tmp_path)
    answers = variant_of(done, signature).predict(data.frame)
    assert answers.values is not None
    assert np.abs(answers.values - native).max() <= 1e-5 * np.abs(native).max()
    record = done.record
    assert [report.name for report in record.variants] == ["native", record.chosen]
    assert [report.status for report in record.variants] == ["as_is", "exact"]
    assert {parity.rows for parity in record.variants[1].parity} == {
        "held-out rows", "edge rows", "threshold rows",
    }  # fmt: skip
    for report in record.variants:
        named = {(metric.name, metric.scope) for metric in report.metrics}
        assert {("latency_p50_us", "batch:1"), ("latency_p99_us", "batch:64")} <= named
        assert {("size_bytes", ""), ("load_ms", "")} <= named
        assert all(metric.n > 0 for metric in report.metrics)
    assert record.blobs == {ONNX_FILE: sha256_bytes(done.files[ONNX_FILE])}  # type: ignore[arg-type]
    assert msgspec.json.decode(record.encode(), type=OptimizeRecord) == record


def test_a_custom_transformer_ships_as_it_is(
    tmp_path: Path, signed: Signed, table: Callable[..., dict[str, np.ndarray]]
) -> None:
    """What no converter knows ships in its own form, with the converter's words, shortened."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    frame = {name: table(holes=False)[name] for name in ("income", "ratio")}
    truth = (frame["ratio"] > 0).astype(int)
    estimator = make_pipeline(SplineTransformer(), LogisticRegression())
    estimator.fit(to_pandas(frame, tuple(frame)), truth)
    done, _ = run(estimator, signed(frame, "binary", (0, 1)), frame, tmp_path)
    assert done.record.chosen == "native"
    assert codes_of(done) == {"O001": "tip"}
    assert "SplineTransformer" in done.record.findings[0].message
    assert all(len(report.why) <= 300 for report in done.record.variants)
    assert all(isinstance(path, Path) for path in done.files.values())
    assert done.record.blobs == {
        name: sha256_file(path) for name, path in done.files.items() if isinstance(path, Path)
    }


def test_a_wrong_conversion_is_reported_with_its_cause(
    tmp_path: Path, signed: Signed, table: Callable[..., dict[str, np.ndarray]]
) -> None:
    """linear_tree converts silently wrong: no graph ships, and the finding says why."""
    lightgbm = pytest.importorskip("lightgbm")
    frame = {name: table(holes=False)[name] for name in ("income", "ratio")}
    truth = (frame["ratio"] + np.log(frame["income"]) > 10).astype(int)
    estimator = lightgbm.LGBMClassifier(n_estimators=10, linear_tree=True, verbose=-1)
    estimator.fit(to_pandas(frame, tuple(frame)), truth)
    done, _ = run(estimator, signed(frame, "binary", (0, 1)), frame, tmp_path)
    assert done.record.chosen == "booster-direct"
    assert done.record.variant.runtime == "native"
    finding = done.record.findings[0]
    assert (finding.code, finding.outcome) == ("O002", "tip")
    assert "linear_tree" in finding.message
    assert finding.evidence["beyond"] > 0
    statuses = {report.name: report.status for report in done.record.variants}
    assert statuses["onnx-float32"] == "rejected"


def test_rows_that_only_the_onnx_form_answers_are_told(
    tmp_path: Path, signed: Signed, table: Callable[..., dict[str, np.ndarray]]
) -> None:
    """Both refuse NaN: the graph of trees gives a number, which is told; that of GaussianNB NaN.

    NaN would be no answer, so what ships refuses the row as the model does.
    """
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.naive_bayes import GaussianNB

    frame = {name: table(holes=False)[name] for name in ("income", "ratio")}
    rows, truth = to_pandas(frame, tuple(frame)), (frame["ratio"] > 0).astype(int)
    signature = signed(frame, "binary", (0, 1))
    trees = GradientBoostingClassifier(n_estimators=5).fit(rows, truth)
    done, _ = run(trees, signature, frame, tmp_path)
    assert codes_of(done)["O007"] == "tip"
    assert done.record.variant.output is not None
    assert done.record.variant.output.refuses_nan is not True
    done, _ = run(GaussianNB().fit(rows, truth), signature, frame, tmp_path)
    assert "O007" not in codes_of(done)
    assert codes_of(done)["O006"] == "passed"
    assert done.record.variant.output is not None
    assert done.record.variant.output.refuses_nan is True


def test_the_same_model_gives_the_same_files(
    tmp_path: Path, signed: Signed, table: Callable[..., dict[str, np.ndarray]]
) -> None:
    """Two runs in two processes ship the same bytes."""
    from sklearn.ensemble import RandomForestClassifier

    frame = {name: table(holes=False)[name] for name in ("income", "ratio")}
    truth = (frame["ratio"] > 0).astype(int)
    estimator = RandomForestClassifier(5, random_state=0)
    estimator.fit(to_pandas(frame, tuple(frame)), truth)
    signature = signed(frame, "binary", (0, 1))
    first, _ = run(estimator, signature, frame, tmp_path)
    again, _ = run(estimator, signature, frame, tmp_path)
    assert first.record.blobs == again.record.blobs


def test_no_rows_is_a_mistake_of_the_user(tmp_path: Path, signed: Signed) -> None:
    """A comparison on nothing would prove nothing, so it is refused."""
    from sklearn.linear_model import LinearRegression

    estimator = LinearRegression().fit(np.eye(3)[:, :1], np.arange(3.0))
    signature = signed({"x": np.arange(3.0)}, "regression")
    with open_model(estimator, workdir=tmp_path) as model, pytest.raises(InputError):
        optimize(model, signature, Dataset(frame={"x": np.empty(0)}), QUICK)


@pytest.mark.parametrize(
    ("onnx", "goal", "ships"),
    [
        ((50.0, 500.0), "latency", True),
        ((105.0, 1000.0), "latency", True),
        ((50.0, 2000.0), "latency", True),
        ((50.0, 2000.0), "throughput", False),
        ((150.0, 500.0), "latency", False),
        ((150.0, 500.0), "throughput", True),
        ((150.0, 2000.0), "throughput", False),
    ],
)
def test_which_of_two_exact_forms_ships(
    onnx: tuple[float, float], goal: str, *, ships: bool
) -> None:
    """No slower anywhere ships; where they disagree the goal decides; 10 % is no difference."""
    timings: Timings = {
        "native": {1: np.full(9, 100.0), 256: np.full(9, 1000.0)},
        "onnx": {1: np.full(9, onnx[0]), 256: np.full(9, onnx[1])},
    }
    config = msgspec.convert({"goal": goal}, OptimizeConfig)
    assert prefers_onnx(timings, (1, 256), config) is ships


@pytest.mark.parametrize(
    ("onnx", "goal", "fix"),
    [
        ((150.0, 500.0), "latency", "--goal throughput"),
        ((50.0, 2000.0), "throughput", "--goal latency"),
        ((150.0, 2000.0), "latency", ""),
    ],
)
def test_the_fix_of_a_slower_form_is_an_option_that_helps(
    onnx: tuple[float, float], goal: str, fix: str
) -> None:
    """Where the other goal would ship the ONNX form it is named; where none would, nothing is."""
    timings: Timings = {
        "native": {1: np.full(9, 100.0), 256: np.full(9, 1000.0)},
        "onnx": {1: np.full(9, onnx[0]), 256: np.full(9, onnx[1])},
    }
    config = msgspec.convert({"goal": goal}, OptimizeConfig)
    exact = Trial(Attempt(name="onnx-float64"), "exact")
    told = _speed(exact, timings, config, ships_onnx=False)
    assert (told.code, told.outcome, told.fix) == ("O005", "tip", fix)


def test_a_quantile_of_times_has_its_interval_where_there_are_calls_enough() -> None:
    """The median of 100 calls is bounded on both sides; the 99th percentile is open above."""
    spent = np.arange(1.0, 101.0)
    median, tail = metrics_of({1: spent})
    assert median.low is not None
    assert median.high is not None
    assert median.value is not None
    assert 35 <= median.low < median.value < median.high <= 65
    assert tail.high is None


def test_what_the_time_did_not_suffice_for_is_skipped(
    table: Callable[..., dict[str, np.ndarray]],
    target: Callable[..., np.ndarray],
    tmp_path: Path,
    signed: Signed,
) -> None:
    """Without time no conversion is tried: each is told as skipped, the model ships as it is."""
    from sklearn.linear_model import LogisticRegression

    frame = {
        name: values for name, values in table(holes=False).items() if name in {"ratio", "age"}
    }
    truth = target(table(holes=False), "binary")
    estimator = LogisticRegression().fit(to_pandas(frame, tuple(frame)), truth)
    signature = signed(frame, "binary", ("no", "yes"))
    config = msgspec.structs.replace(QUICK, seconds=0.0)
    with open_model(estimator, workdir=tmp_path) as model:
        record = optimize(model, signature, Dataset(frame=frame), config).record
    assert (record.status, record.chosen) == ("partial", "native")
    tried = [variant.status for variant in record.variants if variant.name != "native"]
    assert len(tried) >= 2
    assert set(tried) == {"skipped"}
    (finding,) = record.findings
    assert (finding.code, finding.outcome) == ("O001", "skipped")
    assert f"{len(tried)} of {len(tried)} ways" in finding.message
    # No number of rows would help, so none is named as needed.
    assert "needed_n" not in finding.evidence
    assert finding.fix
    # What ships is timed all the same.
    assert record.metrics[0].n >= 5


def test_an_onnx_graph_is_left_as_it_is(tmp_path: Path, signed: Signed) -> None:
    """A model that is an ONNX graph already needs no conversion, and its timing is still taken."""
    from onnx import helper, save

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1, noop_with_empty_axes=0)],
        "sum",
        [value("x", 1, [None, 2])],
        [value("y", 1, [None, 1])],
    )
    graph.node[0].input.append("axes")
    graph.initializer.append(helper.make_tensor("axes", 7, [1], [1]))
    path = tmp_path / "sum.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    frame = {"a": np.arange(50.0), "b": np.ones(50)}
    signature = signed(frame, "regression")
    hints = {"features": ("a", "b"), "task": "regression"}
    done, native = run(path, signature, frame, tmp_path / "work", **hints)
    assert np.array_equal(native, frame["a"] + 1)
    assert done.record.chosen == "native"
    assert codes_of(done) == {"O001": "not_applicable"}
    assert done.record.metrics[0].value is not None


def test_differences_of_infinities_and_holes() -> None:
    """Equal infinities and two NaN are equal answers; one NaN is a difference of NaN."""
    from afterfit.core.frame import Predictions

    first = Predictions(values=np.array([np.inf, np.nan, 1.0]))
    second = Predictions(values=np.array([np.inf, np.nan, np.nan]))
    found = differences(first, second)
    assert found[:2].tolist() == [0.0, 0.0]
    assert np.isnan(found[2])
