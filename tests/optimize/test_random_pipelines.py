"""Random small pipelines: what the ladder calls exact agrees on rows that it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from afterfit.core.dataset import Dataset
from afterfit.core.progress import SILENT
from afterfit.core.signature import Signature, Task
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.ladder import CONVERT, climb
from afterfit.optimize.parity import differences
from afterfit.runtime.onnx import OnnxModel

NUMERIC = ["income", "ratio", "age"]
TEXT = ["job", "town"]
CLASSIFIERS = [
    lambda: LogisticRegression(max_iter=300),
    GaussianNB,
    lambda: MLPClassifier((8,), max_iter=30, random_state=0),
    lambda: DecisionTreeClassifier(max_depth=6, random_state=0),
    lambda: RandomForestClassifier(10, random_state=0),
    lambda: ExtraTreesClassifier(10, random_state=0),
    lambda: GradientBoostingClassifier(n_estimators=10, random_state=0),
    lambda: HistGradientBoostingClassifier(max_iter=10, random_state=0),
]
REGRESSORS = [
    Ridge,
    lambda: DecisionTreeRegressor(max_depth=6, random_state=0),
    lambda: RandomForestRegressor(10, random_state=0),
    lambda: ExtraTreesRegressor(10, random_state=0),
    lambda: GradientBoostingRegressor(n_estimators=10, random_state=0),
    lambda: HistGradientBoostingRegressor(max_iter=10, loss="absolute_error", random_state=0),
]


def boosters(task: Task) -> list[Callable[[], Any]]:
    """LightGBM's and XGBoost's estimators, which take numbers for labels."""
    import lightgbm
    import xgboost

    kind = "Regressor" if task == "regression" else "Classifier"
    return [
        lambda: getattr(lightgbm, f"LGBM{kind}")(n_estimators=8, verbose=-1),
        lambda: getattr(xgboost, f"XGB{kind}")(n_estimators=8),
    ]


def random_pipeline(rng: np.random.Generator, task: Task) -> tuple[Any, bool]:
    """A pipeline, and whether its labels must be numbers."""
    scalers = [StandardScaler, MinMaxScaler, RobustScaler]
    scalers.append(lambda: QuantileTransformer(n_quantiles=20, random_state=0))
    encoders = [
        lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ]
    strategy = str(rng.choice(["mean", "median", "most_frequent"]))
    numeric = make_pipeline(SimpleImputer(strategy=strategy), scalers[rng.integers(4)]())
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), encoders[rng.integers(2)]())
    parts = [("numbers", numeric, NUMERIC[: rng.integers(2, 4)]), ("text", text, TEXT)]
    finals = REGRESSORS if task == "regression" else CLASSIFIERS
    choices = [*finals, *boosters(task)]
    pick = int(rng.integers(len(choices)))
    before = ColumnTransformer(parts, sparse_threshold=0.0)
    return make_pipeline(before, choices[pick]()), pick >= len(finals)


@pytest.mark.parametrize("seed", range(24))
def test_what_is_exact_agrees_on_fresh_rows(
    seed: int,
    table: Callable[..., dict[str, np.ndarray]],
    target: Callable[..., np.ndarray],
    fitted: Callable[..., tuple[Any, Signature]],
) -> None:
    """On 400 new rows no answer differs by more than the tolerance, and no label flips."""
    rng = np.random.default_rng(seed)
    task: Task = ("binary", "multiclass", "regression")[seed % 3]
    estimator, numeric_labels = random_pipeline(rng, task)
    frame = table(300, seed)
    truth = target(frame, task, seed)
    if numeric_labels and task != "regression":
        truth = np.unique(truth, return_inverse=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, signature = fitted(estimator, frame, truth, task)
        data = Dataset(frame=frame)
        trials = climb(
            model,
            model.call(f"{CONVERT}:attempts"),
            signature,
            data,
            OptimizeConfig(effort="quick", seed=seed),
            SILENT,
        )
    last = trials[-1]
    assert last.status == "exact", [(trial.attempt.name, trial.why) for trial in trials]
    assert last.converted is not None
    assert last.converted.output is not None
    made = last.converted
    variant = OnnxModel(made.data, made.inputs, last.converted.output, signature.classes)
    fresh = table(400, seed + 1000)
    native, answers = model.predict(fresh), variant.predict(fresh)
    assert differences(native, answers).max() <= 1e-5
    if task != "regression":
        assert np.array_equal(signature.codes(native), signature.codes(answers))
