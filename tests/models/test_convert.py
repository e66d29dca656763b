"""Models as ONNX graphs: every family to the last digit, nothing changed, the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature, Task
from afterfit.errors import InputError
from afterfit.models.convert import Attempt, attempts, brief, thresholds, to_onnx
from afterfit.models.native import Hints, NativeModel, adapter_for_object
from afterfit.models.tables import to_pandas
from afterfit.runtime.onnx import OnnxModel

EXACT = Attempt(name="exact")
MARKER = "\x1fmissing"
N = 500


def numbers(*, holes: bool = False) -> dict[str, np.ndarray]:
    """Three columns of numbers on different scales; one with holes where asked."""
    rng = np.random.default_rng(0)
    frame = {f"x{index}": rng.normal(size=N) * 100.0**index for index in range(3)}
    if holes:
        frame["x0"] = np.where(rng.random(N) < 0.1, np.nan, frame["x0"])
    return frame


def truth(frame: Frame, task: Task) -> np.ndarray:
    """Labels 0, 1 (, 2) or values that depend on all columns."""
    score = np.nan_to_num(frame["x0"]) + frame["x1"] / 100 + frame["x2"] / 20000
    if task == "regression":
        return np.asarray(np.exp(score / 3))
    return np.digitize(score, [0.2] if task == "binary" else [-0.5, 0.7])


def wrap(estimator: Any, frame: Frame, task: Task) -> tuple[NativeModel, Signature]:
    """A fitted model with the signature of its columns."""
    columns = tuple(
        Column(name=name, kind="category" if values.dtype == object else "number", nullable=True)
        for name, values in frame.items()
    )
    classes = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}[task]
    signature = Signature(task=task, columns=columns, classes=classes)
    return adapter_for_object(estimator).wrap(estimator, Hints.of(signature)), signature


def fitted(estimator: Any, frame: Frame, task: Task) -> tuple[NativeModel, Signature]:
    """The same, trained on a DataFrame first."""
    estimator.fit(to_pandas(frame, tuple(frame)), truth(frame, task))
    return wrap(estimator, frame, task)


def graph(native: NativeModel, signature: Signature, attempt: Attempt = EXACT) -> OnnxModel:
    """The loaded graph; fails with the converter's words."""
    made = to_onnx(native, signature, attempt, MARKER)
    assert not made.error, made.error
    assert made.output is not None
    return OnnxModel(made.data, made.inputs, made.output, signature.classes)


def gap(native: NativeModel, signature: Signature, frame: Frame) -> float:
    """The largest difference, relative to max(1, |value|)."""
    expected = native.predict(frame).main
    found = graph(native, signature).predict(frame).main
    return float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())


def beside(native: NativeModel, signature: Signature, frame: Frame) -> dict[str, np.ndarray]:
    """Rows with values on the trees' thresholds and one last digit (double, single) beside."""
    found = thresholds(native, signature)
    rng = np.random.default_rng(1)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in frame}
    for name, every in found.items():
        splits = every[np.isfinite(every)]
        chosen = rng.choice(splits, min(len(splits), 80), replace=False)
        single = chosen.astype(np.float32)
        ends = (np.float32(np.inf), np.float32(-np.inf))
        around = [chosen, np.nextafter(chosen, np.inf), np.nextafter(chosen, -np.inf), single]
        around += [np.nextafter(single, end) for end in ends]
        values = np.concatenate(around).astype(np.float64)
        picked = rng.integers(0, N, len(values))
        for other in frame:
            rows[other].append(values if other == name else frame[other][picked])
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def families() -> dict[str, tuple[Callable[[], Any], Task, bool]]:
    """Name to (maker, task, whether it takes holes) of every kind of tree."""
    import lightgbm as lgb
    import xgboost as xgb
    from sklearn import ensemble, tree

    quiet: dict[str, Any] = {"n_estimators": 8, "verbose": -1}
    rf: dict[str, Any] = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
    return {
        "tree": (lambda: tree.DecisionTreeClassifier(max_depth=5), "multiclass", True),
        "tree value": (lambda: tree.DecisionTreeRegressor(max_depth=5), "regression", True),
        "forest": (lambda: ensemble.RandomForestClassifier(8), "binary", True),
        "forest 3": (lambda: ensemble.RandomForestClassifier(8), "multiclass", True),
        "forest value": (lambda: ensemble.RandomForestRegressor(8), "regression", False),
        "extra": (lambda: ensemble.ExtraTreesClassifier(8), "binary", False),
        "gb": (lambda: ensemble.GradientBoostingClassifier(n_estimators=8), "binary", False),
        "gb 3": (lambda: ensemble.GradientBoostingClassifier(n_estimators=8), "multiclass", False),
        "gb zero": (
            lambda: ensemble.GradientBoostingClassifier(n_estimators=8, init="zero"),
            "binary",
            False,
        ),
        "hgb": (lambda: ensemble.HistGradientBoostingClassifier(max_iter=8), "binary", True),
        "hgb 3": (lambda: ensemble.HistGradientBoostingClassifier(max_iter=8), "multiclass", True),
        "hgb poisson": (
            lambda: ensemble.HistGradientBoostingRegressor(max_iter=8, loss="poisson"),
            "regression",
            True,
        ),
        "lightgbm": (lambda: lgb.LGBMClassifier(**quiet), "binary", True),
        "lightgbm no holes": (lambda: lgb.LGBMClassifier(**quiet), "binary", False),
        "lightgbm 3": (lambda: lgb.LGBMClassifier(**quiet), "multiclass", True),
        "lightgbm ova": (
            lambda: lgb.LGBMClassifier(objective="multiclassova", **quiet),
            "multiclass",
            True,
        ),
        "lightgbm rf": (lambda: lgb.LGBMClassifier(**rf, **quiet), "multiclass", True),
        "lightgbm gamma": (
            lambda: lgb.LGBMRegressor(objective="gamma", **quiet),
            "regression",
            True,
        ),
        "lightgbm sqrt": (lambda: lgb.LGBMRegressor(reg_sqrt=True, **quiet), "regression", True),
        "xgboost": (lambda: xgb.XGBClassifier(n_estimators=8), "binary", True),
        "xgboost 3": (lambda: xgb.XGBClassifier(n_estimators=8), "multiclass", True),
        "xgboost dart": (
            lambda: xgb.XGBClassifier(n_estimators=8, booster="dart", rate_drop=0.5),
            "binary",
            True,
        ),
        "xgboost forest": (lambda: xgb.XGBRFClassifier(n_estimators=8), "binary", True),
        "xgboost poisson": (
            lambda: xgb.XGBRegressor(n_estimators=8, objective="count:poisson"),
            "regression",
            True,
        ),
    }


@pytest.mark.parametrize("name", sorted(families()))
def test_trees_agree_to_the_last_digit_of_every_threshold(name: str) -> None:
    """On the data, with a hole in every column, and on or one digit beside thresholds: equal."""
    make, task, holes = families()[name]
    frame = numbers(holes=holes)
    native, signature = fitted(make(), frame, task)
    assert gap(native, signature, frame) < 1e-6
    assert gap(native, signature, beside(native, signature, frame)) < 1e-6
    if holes:
        for column in frame:
            assert gap(native, signature, {**frame, column: np.full(N, np.nan)}) < 1e-6


def test_steps_that_refuse_made_up_rows_tell_no_thresholds() -> None:
    """A step of the user's may want text that reads as a number, which made-up text does not."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    def region(rows: Any) -> Any:
        return rows.assign(zip=rows["zip"].str[:2].astype(int))

    zips = np.array([f"{10000 + row}A" for row in range(N)], dtype=object)
    frame = {**numbers(), "zip": zips}
    forest = RandomForestClassifier(3, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(region), forest)
    native, signature = fitted(pipeline, frame, "binary")
    assert thresholds(native, signature) == {}


def test_thresholds_come_back_in_the_columns_own_unit() -> None:
    """Behind a scaler, a threshold is turned back: the rows there decide as the model does."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = numbers()
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(8, random_state=0))
    native, signature = fitted(estimator, frame, "binary")
    found = thresholds(native, signature)
    for name, splits in found.items():
        assert len(splits) > 5
        assert frame[name].min() <= splits.min() <= splits.max() <= frame[name].max()
    assert gap(native, signature, beside(native, signature, frame)) < 1e-6


@pytest.mark.parametrize("library", ["lightgbm", "histogram"])
def test_text_categories_without_an_encoder(library: str) -> None:
    """Columns of pandas' category dtype are looked up; unseen and missing go as in the model."""
    import lightgbm as lgb
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = numbers()
    words = np.random.default_rng(3).choice(np.array(["a", "b", "c", "d"], dtype=object), N)
    frame["word"] = words
    label = (np.isin(words, ["b", "d"]) ^ (frame["x0"] > 0)).astype(int)
    rows = to_pandas(frame, tuple(frame))
    rows["word"] = rows["word"].astype("category")
    estimator = HistGradientBoostingClassifier(max_iter=10)
    if library == "lightgbm":
        estimator = lgb.LGBMClassifier(n_estimators=10, min_data_per_group=5, verbose=-1)
    native, signature = wrap(estimator.fit(rows, label), frame, "binary")
    strange = np.array(["a", "b", "unseen", "", None], dtype=object)
    assert gap(native, signature, frame) < 1e-6
    assert gap(native, signature, {**frame, "word": strange[np.arange(N) % 5]}) < 1e-6


def test_lightgbm_reads_the_whole_part_of_a_numeric_category() -> None:
    """2.7 is category 2, -0.5 is category 0, -3 and 99 are none, to LightGBM and to the graph."""
    import lightgbm as lgb

    frame = numbers()
    frame["kind"] = np.random.default_rng(3).integers(0, 6, N).astype(np.float64)
    label = np.isin(frame["kind"], [0, 2, 5]).astype(int)
    data = lgb.Dataset(to_pandas(frame, tuple(frame)), label, categorical_feature=["kind"])
    params = {"objective": "binary", "verbose": -1, "min_data_per_group": 5}
    native, signature = wrap(lgb.train(params, data, 5), frame, "binary")
    strange = np.array([2.7, -0.5, -3.0, 99.0, np.nan, 5.0])
    assert gap(native, signature, frame) < 1e-6
    assert gap(native, signature, {**frame, "kind": strange[np.arange(N) % 6]}) < 1e-6


def test_an_early_stopped_xgboost_answers_with_its_best_round() -> None:
    """The estimator predicts with its best round, so the graph has only those trees."""
    import xgboost as xgb

    frame = numbers()
    rows, label = to_pandas(frame, tuple(frame)), truth(frame, "binary")
    noise = np.random.default_rng(5).integers(0, 2, N)
    estimator = xgb.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.5)
    estimator.fit(
        rows, label ^ (noise & (frame["x0"] > 1)), eval_set=[(rows, noise)], verbose=False
    )
    assert estimator.best_iteration < estimator.get_booster().num_boosted_rounds() - 1
    native, signature = wrap(estimator, frame, "binary")
    assert gap(native, signature, frame) < 1e-6


def test_a_converted_model_is_not_changed() -> None:
    """Repairs are made on a copy: the user's imputer and encoder keep their own missing values."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = numbers(holes=True)
    words = np.random.default_rng(3).choice(np.array(["a", "b", None], dtype=object), N)
    frame["word"], frame["other"] = words, words[::-1].copy()
    imputer = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    encoder = OneHotEncoder(handle_unknown="ignore")
    number = SimpleImputer()
    parts = [("i", imputer, ["word"]), ("e", encoder, ["other"]), ("n", number, ["x0"])]
    estimator = make_pipeline(ColumnTransformer(parts), LogisticRegression())
    native, signature = fitted(estimator, frame, "binary")
    made = to_onnx(native, signature, EXACT, MARKER)
    fitted_imputer = estimator[0].named_transformers_["i"][0]
    assert len(made.repaired) == 2
    assert np.isnan(fitted_imputer.missing_values)
    assert MARKER not in estimator[0].named_transformers_["e"].categories_[0].tolist()
    assert gap(native, signature, frame) < 1e-6


def test_columns_that_the_data_calls_otherwise_are_matched_by_position() -> None:
    """A pipeline trained on ["x0", "x1", "x2"] is told that the data says a, b, c."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = numbers()
    chooser = ColumnTransformer([("s", StandardScaler(), ["x2", "x0"])], remainder="passthrough")
    estimator = make_pipeline(chooser, LogisticRegression(max_iter=500))
    estimator.fit(to_pandas(frame, tuple(frame)), truth(frame, "binary"))
    renamed = dict(zip("abc", frame.values(), strict=True))
    native, signature = wrap(estimator, renamed, "binary")
    for attempt in attempts(native):
        expected = native.predict(renamed).main
        found = graph(native, signature, attempt).predict(renamed).main
        assert np.abs(found - expected).max() < 1e-5, attempt.name


def test_the_library_way_leaves_the_exact_way_as_it_was() -> None:
    """Converting by one way and then the other gives what each gives alone."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = numbers()
    native, signature = fitted(HistGradientBoostingClassifier(max_iter=5), frame, "binary")
    library = Attempt(name="library", precision="float32", trees="library")
    first = to_onnx(native, signature, EXACT, MARKER)
    other = to_onnx(native, signature, library, MARKER)
    assert b"TreeEnsembleClassifier" in other.data
    assert b"TreeEnsembleClassifier" not in first.data
    assert to_onnx(native, signature, EXACT, MARKER).data == first.data


def test_a_complaint_of_megabytes_is_cut_to_its_first_words() -> None:
    """skl2onnx can print its whole graph: 300 characters of the first line are kept."""
    assert brief(ValueError("first line\n" + "x" * 3_000_000)) == "ValueError: first line"
    assert len(brief(ValueError("x" * 3_000_000))) == 300
    assert brief(KeyError()) == "KeyError"


SCRIPT = """
    import hashlib, numpy as np, pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from afterfit.core.signature import Column, Signature
    from afterfit.models.convert import Attempt, attempts, to_onnx
    from afterfit.models.native import Hints, adapter_for_object

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": rng.normal(size=200), "k": rng.choice(["a", "b"], 200)})
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    parts = ColumnTransformer([("n", StandardScaler(), ["x"]), ("t", text, ["k"])])
    model = make_pipeline(parts, RandomForestClassifier(5, random_state=0))
    model.fit(rows, (rows["x"] > 0).astype(int))
    columns = (Column(name="x", kind="number"), Column(name="k", kind="category"))
    signature = Signature(task="binary", columns=columns, classes=(0, 1))
    native = adapter_for_object(model).wrap(model, Hints.of(signature))
    single = {"precision": "float32", "trees": "library"}
    library = [
        Attempt(name="onnx-float32", **single),
        Attempt(name="onnx-float32-columns", layout="columns", **single),
    ]
    for attempt in [*attempts(native), *library]:
        made = to_onnx(native, signature, attempt, "?")
        print(attempt.name, hashlib.sha256(made.data).hexdigest(), made.error)
"""


def test_the_same_model_gives_the_same_bytes_in_every_process(project_root: Path) -> None:
    """Two processes with other hash seeds write the same graph, whatever the way to convert."""

    def digests(seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(project_root / "src")},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    first = digests("1")
    assert first.count("onnx-") == 4
    assert "Error" not in first
    assert digests("2") == first


@pytest.mark.parametrize("numeric", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"handle_unknown": "ignore"},
        {"handle_unknown": "infrequent_if_exist", "min_frequency": 60},
        {"handle_unknown": "ignore", "max_categories": 3},
        {"drop": "first"},
        {"drop": "if_binary", "min_frequency": 60},
    ],
)
def test_one_hot_encoders_with_drops_and_rare_categories(
    options: dict[str, Any], *, numeric: bool
) -> None:
    """Each known, rare, unseen and missing category becomes what the encoder makes of it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(3)
    kinds: list[Any] = [1.0, 2.5, 3.0, 7.0] if numeric else ["a", "b", "c", "d"]
    hole: Any = np.nan if numeric else None
    dtype: Any = np.float64 if numeric else object
    known = np.array([*kinds, hole], dtype=dtype)
    codes = rng.choice(5, N, p=[0.4, 0.35, 0.1, 0.05, 0.1])
    frame = {"kind": known[codes], "two": known[rng.integers(0, 2, N)]}
    label = (codes % 2) ^ (rng.random(N) < 0.2)
    estimator = make_pipeline(OneHotEncoder(**options), LogisticRegression())
    estimator.fit(to_pandas(frame, ("kind", "two")), label)
    native, signature = wrap(estimator, frame, "binary")
    assert gap(native, signature, frame) < 1e-6
    unseen = np.array([99.0 if numeric else "unseen"] * N, dtype=dtype)
    strange = {**frame, "kind": unseen}
    if "handle_unknown" in options:
        assert gap(native, signature, strange) < 1e-6
    else:
        model = graph(native, signature)
        with pytest.raises(InputError):
            model.predict(strange)


@pytest.mark.parametrize("numeric", [False, True])
def test_ordinal_encoders_of_text_and_of_numbers(*, numeric: bool) -> None:
    """Unknown and missing values become the numbers that the encoder was told."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(3)
    dtype: Any = np.float64 if numeric else object
    kinds: list[Any] = [1.0, 2.5, 3.0, np.nan] if numeric else ["a", "b", "c", None]
    codes = rng.integers(0, 4, N)
    frame = {"kind": np.array(kinds, dtype=dtype)[codes]}
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    estimator = make_pipeline(encoder, DecisionTreeClassifier())
    label = np.isin(codes, [0, 2, 3]) ^ (rng.random(N) < 0.2)
    estimator.fit(to_pandas(frame, ("kind",)), label.astype(int))
    native, signature = wrap(estimator, frame, "binary")
    unseen = {"kind": np.array([99.0 if numeric else "unseen"] * N, dtype=dtype)}
    assert gap(native, signature, frame) < 1e-6
    assert gap(native, signature, unseen) < 1e-6


def test_xgboost_takes_the_zeros_of_sparse_rows_for_missing_values() -> None:
    """One-hot columns reach XGBoost sparse, so its zeros go the way of missing values."""
    import xgboost as xgb
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(3)
    words = np.array([f"w{code}" for code in rng.integers(0, 30, N)], dtype=object)
    frame: dict[str, np.ndarray] = {"x0": rng.integers(-2, 3, N).astype(np.float64), "word": words}
    label = (frame["x0"] > 0) ^ np.isin(words, ["w1", "w4", "w9", "w16", "w25"])
    parts = [("word", OneHotEncoder(handle_unknown="ignore"), ["word"])]
    chooser = ColumnTransformer(parts, remainder="passthrough")
    estimator = make_pipeline(chooser, xgb.XGBClassifier(n_estimators=20))
    estimator.fit(to_pandas(frame, tuple(frame)), label.astype(int))
    native, signature = wrap(estimator, frame, "binary")
    assert chooser.sparse_output_
    assert gap(native, signature, frame) < 1e-6
    dense = make_pipeline(chooser.set_params(sparse_threshold=0.0), xgb.XGBClassifier())
    dense.fit(to_pandas(frame, tuple(frame)), label.astype(int))
    assert gap(*wrap(dense, frame, "binary"), frame) < 1e-6
