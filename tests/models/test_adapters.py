"""Every adapter, by the public check and by comparison with the library itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from afterfit.errors import InputError, ModelError
from afterfit.models import function, lightgbm, onnx, sklearn, xgboost
from afterfit.models.column_kinds import column_kinds
from afterfit.models.decision import OwnThreshold, own_threshold
from afterfit.models.native import (
    Hints,
    Source,
    adapter_for_format,
    adapter_for_object,
    adapters,
)
from afterfit.testing import AdapterFaultError, check_adapter
from afterfit.testing.samples import frame_of, labels, pipeline, table

EVERYTHING = ("description", "batches", "missing column", "column order", "round trip")


def categorical() -> pd.DataFrame:
    """The table with its text as a pandas category, in an order of its own."""
    data = table()
    data["city"] = pd.Categorical(data["city"], categories=["Ulm", "Bonn", "Kiel"])
    return data


def test_the_built_in_adapters_are_found_in_order() -> None:
    """Every built-in adapter is found, installed or not, the general one last."""
    names = [adapter.name for adapter in adapters()]
    assert {"function", "lightgbm", "onnx", "sklearn", "xgboost"} <= set(names)
    assert names[-1] == "sklearn"
    with pytest.raises(ModelError, match="no adapter loads"):
        adapter_for_format("floppy")
    with pytest.raises(ModelError, match="no model that Afterfit knows"):
        adapter_for_object({"not": "a model"})


@pytest.mark.parametrize("final", [LogisticRegression(), LinearSVC()], ids=["proba", "labels"])
def test_pipelines_trained_on_dataframes(final: Any) -> None:
    """A pipeline answers through Afterfit exactly as it does on its own training DataFrame."""
    data = table()
    fitted = pipeline(final).fit(data, labels(data))
    rows = frame_of(data)
    assert check_adapter(sklearn.Adapter(), lambda: fitted, rows) == EVERYTHING
    answer = sklearn.Adapter().wrap(fitted, Hints()).predict(rows)
    if answer.codes is None:
        assert np.array_equal(answer.main, fitted.predict_proba(data))
    else:
        assert np.array_equal(fitted.classes_[answer.codes], fitted.predict(data))


def test_estimators_trained_on_arrays() -> None:
    """Without names the columns are taken by position, and a wrong number of them is refused."""
    data = table(missing=False)[["amount", "visits"]]
    fitted = RandomForestRegressor(n_estimators=5, random_state=0).fit(
        data.to_numpy(), data["amount"] * 2
    )
    rows = frame_of(data)
    done = check_adapter(sklearn.Adapter(), lambda: fitted, rows)
    assert done == ("description", "batches", "round trip")
    native = sklearn.Adapter().wrap(fitted, Hints(features=("visits", "amount")))
    swapped = {"amount": rows["visits"], "visits": rows["amount"]}
    assert np.array_equal(native.predict(swapped).main, fitted.predict(data.to_numpy()))
    with pytest.raises(InputError, match="takes 2 columns"):
        sklearn.Adapter().wrap(fitted, Hints()).predict({"amount": rows["amount"]})
    with pytest.raises(InputError, match="column amount holds text"):
        sklearn.Adapter().wrap(fitted, Hints()).predict(
            {"amount": np.array(["x"], dtype=object), "visits": np.array([1])}
        )


def hist(data: pd.DataFrame, y: np.ndarray) -> Any:
    """A histogram booster that reads categories from dtypes."""
    return HistGradientBoostingClassifier(max_iter=8, categorical_features="from_dtype").fit(
        data, y
    )


def xgb(data: pd.DataFrame, y: np.ndarray) -> Any:
    """XGBoost's scikit-learn class."""
    import xgboost as library

    codes = (y == "yes").astype(int)
    return library.XGBClassifier(n_estimators=8, enable_categorical=True).fit(data, codes)


def lgbm(data: pd.DataFrame, y: np.ndarray) -> Any:
    """LightGBM's scikit-learn class."""
    import lightgbm as library

    return library.LGBMClassifier(n_estimators=8, verbose=-1).fit(data, y)


@pytest.mark.parametrize("make", [hist, xgb, lgbm])
def test_category_columns_keep_the_order_of_training(
    make: Callable[[pd.DataFrame, np.ndarray], Any],
) -> None:
    """Text becomes the category that it was in training, missing and unseen values included."""
    data = categorical()
    fitted = make(data, labels(data))
    rows = frame_of(data)
    assert check_adapter(sklearn.Adapter(), lambda: fitted, rows) == EVERYTHING
    native = sklearn.Adapter().wrap(fitted, Hints())
    assert native.description.categorical["city"] in {
        ("Ulm", "Bonn", "Kiel"),
        ("Bonn", "Kiel", "Ulm"),
    }
    assert np.allclose(native.predict(rows).main, fitted.predict_proba(data), atol=1e-7)
    part = data.head(3).copy()
    part["city"] = pd.Categorical([None] * 3, categories=["Ulm", "Bonn", "Kiel"])
    unseen = {**frame_of(part), "city": np.array(["Rom"] * 3, dtype=object)}
    assert np.allclose(native.predict(unseen).main, fitted.predict_proba(part), atol=1e-7)


@pytest.mark.parametrize("ending", [".ubj", ".json"])
def test_xgboost_files(tmp_path: Path, ending: str) -> None:
    """A booster's file answers as the sklearn class that wrote it, categories included."""
    data = categorical()
    fitted = xgb(data, labels(data))
    rows = frame_of(data)
    assert check_adapter(xgboost.Adapter(), fitted.get_booster, rows) == EVERYTHING
    path = tmp_path / f"model{ending}"
    fitted.save_model(path)
    form = "xgboost-ubj" if ending == ".ubj" else "xgboost-json"
    native = xgboost.Adapter().load(Source(format=form, path=str(path)))
    assert np.allclose(native.predict(rows).main, fitted.predict_proba(data), atol=1e-6)
    with pytest.raises(InputError, match="column visits holds text"):
        native.predict({**rows, "visits": np.array(["x"] * len(data), dtype=object)})


@pytest.mark.parametrize(
    "objective", ["multi:softprob", "multi:softmax", "reg:squarederror", "binary:logitraw"]
)
def test_xgboost_objectives(objective: str) -> None:
    """Boosters trained on arrays give probabilities or values, whatever their raw output is."""
    import xgboost as library

    data = table(missing=False)[["amount", "visits"]]
    multi = objective.startswith("multi")
    y = data["visits"] % 3 if multi else (data["amount"] > 0).astype(int)
    settings = {"objective": objective} | ({"num_class": 3} if multi else {})
    booster = library.train(settings, library.DMatrix(data.to_numpy(), label=y), 5)
    assert "batches" in check_adapter(xgboost.Adapter(), lambda: booster, frame_of(data))
    if multi:
        native = xgboost.Adapter().wrap(booster, Hints(classes=("a", "b", "c")))
        assert native.description.classes == ("a", "b", "c")
        codes = native.predict(frame_of(data)).main.argmax(axis=1)
        assert (codes == y.to_numpy()).mean() > 0.9


def test_xgboost_uses_the_best_iteration(tmp_path: Path) -> None:
    """A file of an early-stopped sklearn class answers with the trees that the class would use."""
    import xgboost as library

    data = table(missing=False)[["amount", "visits"]]
    y = np.random.default_rng(0).integers(0, 2, len(data))
    fitted = library.XGBClassifier(n_estimators=60, early_stopping_rounds=3, random_state=0)
    fitted.fit(data[:120], y[:120], eval_set=[(data[120:], y[120:])], verbose=False)
    assert fitted.best_iteration < fitted.get_booster().num_boosted_rounds() - 1
    fitted.save_model(tmp_path / "m.ubj")
    source = Source(format="xgboost-ubj", path=str(tmp_path / "m.ubj"))
    answer = xgboost.Adapter().load(source).predict(frame_of(data))
    assert np.allclose(answer.main, fitted.predict_proba(data), atol=1e-6)


def test_lightgbm_files(tmp_path: Path) -> None:
    """A booster's text file answers as the sklearn class does; spaces in names are understood."""
    data = categorical()
    y = labels(data)
    fitted = lgbm(data, y)
    rows = frame_of(data)
    assert check_adapter(lightgbm.Adapter(), lambda: fitted.booster_, rows) == EVERYTHING
    spaced = data.rename(columns={"visits": "visits per year"})
    other = lgbm(spaced, y)
    other.booster_.save_model(tmp_path / "m.txt")
    source = Source(
        format="lightgbm-text",
        path=str(tmp_path / "m.txt"),
        hints=Hints(features=tuple(map(str, spaced))),
    )
    native = lightgbm.Adapter().load(source)
    assert native.description.features == tuple(map(str, spaced))
    assert np.allclose(native.predict(frame_of(spaced)).main, other.predict_proba(spaced))


def graph(fitted: Any, *, zipmap: bool, single: bool) -> Any:
    """Return an ONNX graph of a numeric model, as others export it."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    shape = [("rows", FloatTensorType([None, 2]))]
    columns = [(name, FloatTensorType([None, 1])) for name in ("amount", "visits")]
    options = {"zipmap": zipmap} if hasattr(fitted, "classes_") else None
    return to_onnx(fitted, initial_types=shape if single else columns, options=options)


@pytest.mark.parametrize("zipmap", [True, False])
def test_onnx_classifiers(zipmap: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Graphs of others answer with the labels of the graph, as maps or as a matrix."""
    data = table(missing=False)[["amount", "visits"]]
    y = np.where(data["amount"] > 0, "hot", "cold")
    fitted = LogisticRegression().fit(data.to_numpy(), y)
    model = graph(fitted, zipmap=zipmap, single=True)
    assert "round trip" in check_adapter(onnx.Adapter(), lambda: model, frame_of(data))
    native = onnx.Adapter().wrap(model, Hints())
    assert native.description.classes == ("cold", "hot")
    assert np.allclose(
        native.predict(frame_of(data)).main, fitted.predict_proba(data.to_numpy()), atol=1e-5
    )


def test_onnx_graphs_with_an_input_for_each_column() -> None:
    """Inputs are columns by their names, in any order of the data."""
    from sklearn.compose import make_column_transformer

    data = table(missing=False)[["amount", "visits"]]
    branches = make_column_transformer((StandardScaler(), ["amount", "visits"]))
    fitted = make_pipeline(branches, LogisticRegression()).fit(data, data["amount"] > 0)
    model = graph(fitted, zipmap=False, single=False)
    assert check_adapter(onnx.Adapter(), lambda: model, frame_of(data)) == EVERYTHING


def test_onnx_regressions_and_fixed_batches() -> None:
    """One float output is a value, unless the task is told; a fixed batch axis is refused."""
    from onnx import TensorProto, helper

    data = table(missing=False)[["amount", "visits"]]
    fitted = RandomForestRegressor(n_estimators=3).fit(data.to_numpy(), data["amount"] > 0)
    model = graph(fitted, zipmap=False, single=True)
    assert "batches" in check_adapter(onnx.Adapter(), lambda: model, frame_of(data))
    told = onnx.Adapter().wrap(model, Hints(task="binary", classes=("no", "yes")))
    assert told.predict(frame_of(data)).main.shape == (len(data), 2)
    node = helper.make_node("Identity", ["x"], ["y"])
    fixed = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in ("x", "y")]
    small = helper.make_model(
        helper.make_graph([node], "g", fixed[:1], fixed[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    with pytest.raises(ModelError, match="fixed shape"):
        onnx.Adapter().wrap(small, Hints())


def test_functions() -> None:
    """A function answers with probabilities, one probability, labels or numbers."""

    def matrix(rows: pd.DataFrame) -> Any:
        hit = (rows["amount"].fillna(0) > 0).to_numpy(dtype=float)
        return np.column_stack([1 - hit, hit])

    data = table()
    rows = frame_of(data)
    hints = Hints(features=tuple(map(str, data)), classes=("no", "yes"), task="binary")
    adapter = function.Adapter()

    def answer(f: Any, with_hints: Hints = hints) -> Any:
        return adapter.wrap(f, with_hints).predict(rows)

    whole = answer(matrix).main
    assert np.array_equal(answer(lambda d: matrix(d)[:, 1]).main, whole)
    words = answer(lambda d: np.where(matrix(d)[:, 1] > 0, "yes", "no"))
    assert np.array_equal(words.codes, whole.argmax(axis=1))
    values = answer(lambda d: d["visits"] * 2, Hints(task="regression"))
    assert np.array_equal(values.values, data["visits"] * 2.0)
    for wrong, message in (
        (lambda d: matrix(d)[:5], "answered"),
        (lambda d: matrix(d) * 3, "do not sum to 1"),
        (lambda d: matrix(d)[:, 1] * 3, "outside of 0 to 1"),
        (lambda d: ["maybe"] * len(d), "none of the classes"),
    ):
        with pytest.raises(ModelError, match=message):
            answer(wrong)
    with pytest.raises(AdapterFaultError):
        check_adapter(adapter, lambda: matrix, rows)
    matrix.features, matrix.classes = tuple(map(str, data)), ("no", "yes")  # type: ignore[attr-defined]
    native = adapter.wrap(matrix, Hints())
    assert native.description.task == "binary"
    assert native.description.features == ("amount", "visits", "city")
    assert np.array_equal(native.predict(rows).main, whole)


def test_function_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """module:name may be a class; load() runs once before the first row, beside its weights."""
    (tmp_path / "weights.json").write_text('{"slope": 2.0}')
    (tmp_path / "my_scores.py").write_text(
        "import json, pathlib\n"
        "STATE = {}\n"
        "def load():\n"
        "    STATE.update(json.loads((pathlib.Path(__file__).parent/'weights.json').read_text()))\n"
        "class Scorer:\n"
        "    def predict(self, rows):\n"
        "        return rows['visits'] * STATE['slope']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = frame_of(table())
    source = Source(
        format="function",
        function="my_scores:Scorer",
        code=str(tmp_path),
        hints=Hints(task="regression", features=tuple(rows)),
    )
    expected = ("description", "batches", "missing column", "column order")
    assert check_adapter(function.Adapter(), lambda: source, rows) == expected
    answer = function.Adapter().load(source).predict(rows)
    assert np.array_equal(answer.main, rows["visits"] * 2.0)
    with pytest.raises(ModelError, match="has no nothing"):
        function.Adapter().load(Source(format="function", function="my_scores:nothing"))


def test_what_cannot_be_carried_is_refused_with_a_reason() -> None:
    """Unfitted, clustering, one-class and several-target models are model errors, not crashes."""
    from sklearn.cluster import KMeans
    from sklearn.multioutput import MultiOutputClassifier

    data = table(missing=False)[["amount", "visits"]]
    wrap = sklearn.Adapter().wrap
    two = np.column_stack([data["amount"] > 0, data["visits"] > 4])
    for estimator, message in (
        (LogisticRegression(), "is not fitted"),
        (KMeans(2, n_init=1).fit(data), "clusters or outliers"),
        (MultiOutputClassifier(LogisticRegression()).fit(data, two), "several targets"),
    ):
        with pytest.raises(ModelError, match=message):
            wrap(estimator, Hints())


def test_the_check_finds_a_faulty_adapter() -> None:
    """An adapter that ignores the names of columns does not pass."""
    data = table(missing=False)[["amount", "visits"]]
    fitted = LogisticRegression().fit(data, labels(table(missing=False)))

    class Careless(sklearn.Adapter):
        def wrap(self, estimator: Any, hints: Hints) -> Any:
            native = super().wrap(estimator, hints)

            class Wrong:
                description = native.description

                def predict(self, frame: Any) -> Any:
                    names = native.description.features or ()
                    return native.predict(dict(zip(names, frame.values(), strict=False)))

            return Wrong()

    with pytest.raises(AdapterFaultError, match="another order"):
        check_adapter(Careless(), lambda: fitted, frame_of(data))


def test_a_models_own_threshold_and_column_kinds() -> None:
    """A tuned threshold is found, and fitted encoders tell which columns held text."""
    data = table(missing=False)
    y = labels(data) == "yes"
    tuned = TunedThresholdClassifierCV(pipeline(LogisticRegression()), cv=2).fit(data, y)
    native = sklearn.Adapter().wrap(tuned, Hints())
    assert own_threshold(native) == OwnThreshold(value=tuned.best_threshold_)
    kinds = {"amount": "number", "visits": "number", "city": "text"}
    assert column_kinds(native) == kinds
    plain = make_pipeline(OrdinalEncoder(), LogisticRegression()).fit(data[["visits"]], y)
    assert own_threshold(sklearn.Adapter().wrap(plain, Hints())) is None
