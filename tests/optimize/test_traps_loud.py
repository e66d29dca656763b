"""Conversions that fail loudly elsewhere: made right, or told in a line with the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor
from tests.optimize.traps import outcome_of

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.models.convert import Attempt, to_onnx
from afterfit.optimize.parity import differences
from afterfit.runtime.onnx import OnnxModel

Fit = Callable[..., tuple[Any, Signature]]
TOKENS = "token_pattern"
WORDS = ["red car", "blue car", "an old house", "the new house", "cat"]


class Clip(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A step of the user's own."""

    def fit(self, rows: Any, target: Any = None) -> Clip:
        """Return itself."""
        del rows, target
        return self

    def transform(self, rows: Any) -> np.ndarray:
        """Return the values between -1 and 1."""
        found: np.ndarray = np.clip(np.asarray(rows, float), -1, 1)
        return found


def numbers(rows: int = 800) -> dict[str, np.ndarray]:
    """Four columns of numbers, each ten times as large as the one before."""
    rng = np.random.default_rng(0)
    return {f"x{index}": rng.normal(size=rows) * 10.0**index for index in range(4)}


def sentences(rows: int = 400) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """A column of short ASCII texts, and labels that depend on it."""
    rng = np.random.default_rng(3)
    words = rng.choice(np.array(WORDS, dtype=object), rows)
    return {"words": words}, np.isin(words, ["red car", "cat"]).astype(int)


def of_text(vectorizer: Any) -> Any:
    """A classifier of the column of text."""
    before = ColumnTransformer([("words", vectorizer, "words")], sparse_threshold=0.0)
    return make_pipeline(before, LogisticRegression())


@pytest.mark.parametrize(
    "make",
    [
        lambda: DecisionTreeRegressor(max_depth=6),
        lambda: RandomForestRegressor(10, random_state=0),
        lambda: ExtraTreesRegressor(10, random_state=0),
        lambda: GradientBoostingRegressor(n_estimators=10),
        lambda: HistGradientBoostingRegressor(max_iter=10),
    ],
)
def test_tree_regressors_in_double_precision_load_and_are_exact(
    fitted: Fit, make: Callable[[], Any]
) -> None:
    """The common converters write them so that ONNX Runtime refuses them; ours load."""
    frame = numbers()
    model, signature = fitted(make(), frame, frame["x0"] * 2 + frame["x1"], "regression")
    outcome = outcome_of(model, signature, frame)
    assert outcome.ships == "onnx-float64"
    assert outcome.ladder[-1].compared > 1000


def test_scaled_and_encoded_columns_before_a_forest(fitted: Fit) -> None:
    """A few rows differ by the common way; in double precision none does."""
    rng = np.random.default_rng(1)
    frame: dict[str, Any] = {
        "money": rng.normal(size=900),
        "age": rng.integers(0, 60, 900),
        "job": rng.choice(np.array(["a", "b", "c"], dtype=object), 900),
    }
    truth = ((frame["age"] > 30) ^ (frame["job"] == "b")).astype(int)
    parts = [
        ("numbers", StandardScaler(), ["money", "age"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["job"]),
    ]
    forest = RandomForestClassifier(20, random_state=0)
    estimator = make_pipeline(ColumnTransformer(parts), forest)
    model, signature = fitted(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status == "rejected"
    assert outcome.ships == "onnx-float64"
    (told,) = outcome.texts("O006")
    cause = "whole numbers sit on the trees' thresholds after StandardScaler"
    assert told.startswith(f"column `age`: {cause}")
    assert "; repaired: the graph scales and compares in double precision" in told


@pytest.mark.parametrize("named", [True, False])
def test_names_of_columns_that_xgboosts_converter_refuses(fitted: Fit, *, named: bool) -> None:
    """Its converter wants f0, f1; the names are left out in a copy, and ours needs none."""
    xgboost = pytest.importorskip("xgboost")
    frame = {f"a column, number {name}": values for name, values in numbers().items()}
    first = next(iter(frame.values()))
    estimator = xgboost.XGBClassifier(n_estimators=5)
    model, signature = fitted(estimator, frame, (first > 0).astype(int), "binary", named=named)
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status == "exact", outcome.library.why
    assert outcome.ships == "onnx-float64"
    kept = model.native.estimator.get_booster().feature_names
    assert kept == (list(frame) if named else None)


def test_dart_keeps_the_weights_of_its_trees(fitted: Fit) -> None:
    """The common converter ends with a KeyError; ours weighs each tree."""
    xgboost = pytest.importorskip("xgboost")
    frame = numbers()
    estimator = xgboost.XGBClassifier(n_estimators=12, booster="dart", rate_drop=0.4, seed=1)
    model, signature = fitted(estimator, frame, (frame["x0"] > 0).astype(int), "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status == "not_available"
    assert "KeyError" in outcome.library.why
    assert outcome.ships == "onnx-float64"


def test_a_linear_booster_is_told_to_have_no_trees(fitted: Fit) -> None:
    """It ships as it is, with the reason in a line."""
    xgboost = pytest.importorskip("xgboost")
    frame = numbers()
    estimator = xgboost.XGBClassifier(n_estimators=5, booster="gblinear")
    model, signature = fitted(estimator, frame, (frame["x0"] > 0).astype(int), "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.ships == "native"
    assert "booster 'gblinear' has no trees" in outcome.message


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_tensor_types_of_the_boosters_own_converters(fitted: Fit, library: str) -> None:
    """They take only the types of onnxmltools, and are given them: the graph takes float32."""
    module = pytest.importorskip(library)
    options: dict[str, Any] = {"verbose": -1} if library == "lightgbm" else {}
    kind = module.LGBMRegressor if library == "lightgbm" else module.XGBRegressor
    frame = numbers()
    model, signature = fitted(kind(n_estimators=5, **options), frame, frame["x0"], "regression")
    attempt = Attempt(name="library", precision="float32", trees="library")
    converted = to_onnx(model.native, signature, attempt)
    assert converted.error == ""
    assert [tensor.dtype for tensor in converted.inputs] == ["float32"]


@pytest.mark.parametrize(
    ("step", "name", "fix"),
    [
        (Clip(), "Clip is not scikit-learn's own", "steps of scikit-learn's"),
        (SplineTransformer(), "scikit-learn's SplineTransformer", "a step that has one"),
        (FunctionTransformer(np.tanh), "FunctionTransformer with a function of its own", "a step"),
    ],
)
def test_a_step_without_a_converter_is_named_with_the_way_out(
    fitted: Fit, step: Any, name: str, fix: str
) -> None:
    """No words of a converter: which step it is, what to do, and that nothing has to be done."""
    frame = numbers()
    estimator = make_pipeline(step, LogisticRegression())
    model, signature = fitted(estimator, frame, (frame["x0"] > 0).astype(int), "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.ships == "native"
    assert outcome.found[0].code == "O001"
    assert name in outcome.message
    assert f"(fix: {fix}" in outcome.message
    assert "\n" not in outcome.message
    assert len(outcome.message) < 300


def test_a_function_transformer_that_does_nothing_converts(fitted: Fit) -> None:
    """The identity is the one function that a graph can have."""
    frame = numbers()
    estimator = make_pipeline(FunctionTransformer(), LogisticRegression())
    model, signature = fitted(estimator, frame, (frame["x0"] > 0).astype(int), "binary")
    assert outcome_of(model, signature, frame).ships == "onnx-float64"


def test_rare_categories_that_are_folded(fitted: Fit) -> None:
    """The common converter has no infrequent_if_exist; ours has a row for each category."""
    rng = np.random.default_rng(2)
    jobs = rng.choice(np.array(["a", "b", "rare", "rarer"], object), 800, p=[0.5, 0.47, 0.02, 0.01])
    frame = {**numbers(), "job": jobs}
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50)
    parts = [("numbers", StandardScaler(), ["x0"]), ("text", encoder, ["job"])]
    estimator = make_pipeline(ColumnTransformer(parts), LogisticRegression())
    truth = ((frame["x0"] > 0) ^ (jobs == "b")).astype(int)
    model, signature = fitted(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert "Infrequent categories" in outcome.library.why
    assert outcome.ships == "onnx-float64"


@pytest.mark.parametrize(
    ("vectorizer", "cause", "fix"),
    [
        (HashingVectorizer(n_features=64), "a HashingVectorizer has no", "TfidfVectorizer"),
        (TfidfVectorizer(analyzer="char", ngram_range=(2, 3)), "'char' n-grams", "analyzer='word'"),
        (CountVectorizer(analyzer="char_wb"), "'char_wb' n-grams", "analyzer='word'"),
        (TfidfVectorizer(strip_accents="unicode"), "with strip_accents", "strip_accents=None"),
        (CountVectorizer(tokenizer=str.split), "with tokenizer", "tokenizer=None"),
        (TfidfVectorizer(**{TOKENS: r"[^\d]+"}), "the token_pattern", "the default"),
        (
            TfidfVectorizer(stop_words="english", ngram_range=(1, 2)),
            "stop words and n-grams",
            "stop_words=None",
        ),
    ],
)
def test_vectorizers_that_no_graph_can_be(
    fitted: Fit, vectorizer: Any, cause: str, fix: str
) -> None:
    """Each ships as it is, and says why and what to use instead, in a line."""
    frame, truth = sentences()
    model, signature = fitted(of_text(vectorizer), frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.ships == "native"
    assert {trial.status for trial in outcome.ladder} == {"not_available"}
    assert cause in outcome.message
    assert f"(fix: {fix}" in outcome.message
    assert "\n" not in outcome.message


TEXTS = [
    "Red car a truck", "naïve café", "na ve caf", "ÉTÉ straße", "foo_bar 12 3", "a", "", " ",
    "日本 語 日本語", "½ ²x xx²", "e\u0301te\u0301 ab", "foo-bar's red.car\n\tblue", "١٢ red",
    "the old of house", "x" * 3000,
]  # fmt: skip


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(),
        TfidfVectorizer(ngram_range=(1, 2)),
        TfidfVectorizer(stop_words="english"),
        TfidfVectorizer(lowercase=False, sublinear_tf=True),
        TfidfVectorizer(sublinear_tf=True, norm="l1", use_idf=False),
        TfidfVectorizer(**{TOKENS: r"(?u)\b\w+\b"}),
        CountVectorizer(),
        CountVectorizer(binary=True, ngram_range=(1, 2)),
    ],
)
def test_words_are_scikit_learns_in_any_locale(fitted: Fit, vectorizer: Any) -> None:
    """By itself skl2onnx reads ASCII words, single letters too, in a locale slim images lack."""
    frame = {"words": np.array([*WORDS, *TEXTS] * 8, dtype=object)}
    truth = np.arange(len(frame["words"])) % 3 % 2
    model, signature = fitted(of_text(vectorizer), frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.ships == "onnx-float64", [trial.why for trial in outcome.ladder]
    assert "C.UTF-8" in outcome.ladder[-1].report().repaired


def test_words_beyond_ascii_that_training_never_had(fitted: Fit) -> None:
    """Trained on ASCII alone, "naïve" is no word of it, and neither "na" nor "ve"."""
    frame, truth = sentences()
    frame["words"] = np.array([f"{text} na ve" for text in frame["words"]], dtype=object)
    model, signature = fitted(of_text(CountVectorizer()), frame, truth, "binary")
    made = outcome_of(model, signature, frame).ladder[-1].converted
    assert made is not None
    assert made.output is not None
    variant = OnnxModel(made.data, made.inputs, made.output, signature.classes)
    strange: Frame = {
        "words": np.array(["red naïve", "a red a", "VE VÉ", "cat\u2019s"], dtype=object)
    }
    assert differences(model.predict(strange), variant.predict(strange)).max() <= 1e-6


def test_a_lower_case_that_depends_on_the_place_is_refused(fitted: Fit) -> None:
    """A capital sigma at a word's end is another letter to Python, and to no locale."""
    texts = np.array(["ΟΔΟΣ red", "blue"] * 100, dtype=object)
    truth = np.arange(200) % 2
    model, signature = fitted(of_text(TfidfVectorizer()), {"words": texts}, truth, "binary")
    outcome = outcome_of(model, signature, {"words": texts})
    assert outcome.ships == "native"
    assert "the lower case of its letters depends on their place" in outcome.message
