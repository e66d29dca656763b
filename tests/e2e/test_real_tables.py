"""From a trained model on a real table to HTTP and batch scores that equal the model's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from tests.e2e.helpers import ask, preprocess, quick_space, serving

from afterfit.serve.follow import Follower
from afterfit.serve.run import ServerHandle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
TRAINED_ON, SHIPPED_ON = 8000, 3000
"""Rows of Adult that a model learns from and a line examines; all test rows are asked of it."""


def _classifier(kind: str) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    if kind == "xgboost":
        import xgboost

        return xgboost.XGBClassifier(n_estimators=60, max_depth=5, n_jobs=2)
    if kind == "lightgbm":
        import lightgbm

        return lightgbm.LGBMClassifier(n_estimators=60, n_jobs=2, verbose=-1)
    if kind == "forest":
        return RandomForestClassifier(n_estimators=40, max_depth=10, random_state=0, n_jobs=2)
    return HistGradientBoostingClassifier(max_iter=60, random_state=0)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    "kind", ["boosting", pytest.param("forest", marks=pytest.mark.processes), "xgboost", "lightgbm"]
)
def test_adult_is_served_as_the_model_says(
    kind: str, adult: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """All 16,281 rows through HTTP and through predict give the native probabilities (1e-5)."""
    from sklearn.pipeline import make_pipeline

    train, test = adult[0][:TRAINED_ON], adult[1]
    words = train["income"].astype(str)
    target = (words == sorted(set(words))[1]).astype(int) if kind == "xgboost" else words
    model = make_pipeline(preprocess(train, "income"), _classifier(kind))
    model.fit(train.drop(columns="income"), target)
    expected = model.predict_proba(test.drop(columns="income"))
    labels = test["income"].astype(str)[:SHIPPED_ON]
    truth = (labels == sorted(set(words))[1]).astype(int) if kind == "xgboost" else labels

    path = tmp_path / "income.joblib"
    joblib.dump(model, path)
    space = quick_space(tmp_path, gates=("roc_auc.low >= 0.85",))
    held_out = test.drop(columns="income")[:SHIPPED_ON]
    release = space.ship(path, held_out, truth.to_numpy(), name="income")
    assert release.verdict == "promoted", release.record.why

    with serving(space, "income@champion", tmp_path) as server:
        answers = ask(server.client(), test.drop(columns="income"))
    classes = [str(c) for c in model.classes_]
    served = np.array([[a["probabilities"][c] for c in classes] for a in answers])
    assert np.abs(served - expected).max() <= 1e-5
    assert [str(a["label"]) for a in answers] == [
        str(x) for x in model.predict(test.drop(columns="income"))
    ]

    source, output = tmp_path / "rows.parquet", tmp_path / "scored.parquet"
    test.drop(columns="income").to_parquet(source)
    space.predict("income@champion", source, output)
    scored = pd.read_parquet(output)[[f"probability_{c}" for c in classes]].to_numpy()
    assert scored.shape == expected.shape
    assert np.abs(scored - expected).max() <= 1e-5


@pytest.mark.usefixtures("inline")
def test_a_regression_on_wine_is_served_as_the_model_says(
    shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    """A forest of wine quality gives the same values over HTTP as in scikit-learn."""
    from sklearn.ensemble import RandomForestRegressor

    wine = pd.read_csv(shared_data("wine_quality_red.csv"))
    rows, target = wine.drop(columns="quality"), wine["quality"]
    model = RandomForestRegressor(n_estimators=50, random_state=0).fit(rows[:1100], target[:1100])
    space = quick_space(tmp_path)
    release = space.ship(model, rows[1100:], target[1100:].to_numpy(), name="wine")
    assert release.verdict == "promoted", release.record.why
    with serving(space, "wine", tmp_path) as server:
        answers = ask(server.client(), rows[1100:])
    served = np.array([answer["value"] for answer in answers])
    assert np.abs(served - model.predict(rows[1100:])).max() <= 1e-5 * 10


TRANSFORMER = '''
"""A transformer of the user's own."""

from sklearn.base import BaseEstimator, TransformerMixin


class Ratio(TransformerMixin, BaseEstimator):
    """Adds the hours worked for each year of age."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        out = X[["age", "hours_per_week", "education_num"]].astype(float).copy()
        out["ratio"] = out["hours_per_week"] / out["age"]
        return out
'''


def test_a_pipeline_with_the_users_own_transformer_ships_and_rolls_back(
    adult: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code goes into the bundle, the native variant serves, and rollback brings it back.

    One server answers by the code of the version that the alias names: after an edit of the code
    and a second shipping by the new code, after the roll-back by the old.
    """
    import importlib

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from afterfit.errors import UntrustedError

    code = tmp_path / "src"
    code.mkdir()
    (code / "ratio_of_mine.py").write_text(TRANSFORMER)
    monkeypatch.syspath_prepend(str(code))
    ratio = importlib.import_module("ratio_of_mine").Ratio
    train, test = adult
    train, test = train[:4000], test[:1000]
    model = make_pipeline(ratio(), LogisticRegression(max_iter=1000))
    model.fit(train.drop(columns="income"), train["income"])
    path = tmp_path / "own.joblib"
    joblib.dump(model, path)

    space = quick_space(tmp_path, gates=())
    with pytest.raises(UntrustedError) as refused:
        space.ship(
            path, test.drop(columns="income"), test["income"].to_numpy(), name="own", code=code
        )
    assert "ratio_of_mine.Ratio" in str(refused.value)
    assert "afterfit trust" in refused.value.fix
    space.trust(path, ("ratio_of_mine.Ratio",))
    rows, labels = test.drop(columns="income"), test["income"].to_numpy()
    release = space.ship(path, rows, labels, name="own", code=code)
    assert release.verdict == "promoted"
    assert "code/ratio_of_mine.py" in release.records["package"].body.files
    first = model.predict_proba(rows)
    features = rows[["age", "hours_per_week", "education_num"]].astype(float)
    turned = features.assign(ratio=features["age"] / features["hours_per_week"])
    second = model[-1].predict_proba(turned)
    assert np.abs(first - second).max() > 0.01
    with serving(space, "own@champion", tmp_path) as server:
        follower = Follower(
            server,
            "own",
            partial(space.registry.pointed, "own@champion"),
            partial(space.version, "own@champion"),
            serving=release.version.digest,
        )
        assert np.abs(_served(server, rows, model) - first).max() <= 1e-9
        edited = TRANSFORMER.replace(
            'out["hours_per_week"] / out["age"]', 'out["age"] / out["hours_per_week"]'
        )
        (code / "ratio_of_mine.py").write_text(edited)
        again = space.ship(path, rows, labels, name="own", code=code)
        assert (again.verdict, again.version.number) == ("promoted", 2)
        assert follower.look().version == 2
        assert np.abs(_served(server, rows, model) - second).max() <= 1e-9
        assert space.rollback("own", why="the test says so").version.number == 1
        assert follower.look().version == 1
        assert np.abs(_served(server, rows, model) - first).max() <= 1e-9


def _served(server: ServerHandle, rows: pd.DataFrame, model: Any) -> np.ndarray:
    """The probabilities that a server gives, in the order of the model's classes."""
    answers = ask(server.client(), rows)
    return np.array([[a["probabilities"][str(c)] for c in model.classes_] for a in answers])
