"""Joblib files as people have them ship as they are: a grid search, and a model with categories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.e2e.helpers import plain_rows, quick_space

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
RANDOM = np.random.default_rng(3)
ROWS = pd.DataFrame(
    {
        "spend": RANDOM.normal(50, 20, 500).round(2),
        "visits": RANDOM.poisson(3, 500),
        "city": pd.Categorical(RANDOM.choice(["Bern", "Chur", "Genf"], 500)),
    }
)
TARGET = np.where(ROWS["spend"] + 20 * (ROWS["city"] == "Chur") > 55, "stays", "leaves")


def _grid_search() -> Any:
    numbers = (StandardScaler(), make_column_selector(dtype_include="number"))
    words = (OneHotEncoder(), make_column_selector(dtype_exclude="number"))
    pipeline = make_pipeline(make_column_transformer(numbers, words), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1.0, 10.0]}
    return GridSearchCV(pipeline, grid, cv=3, scoring="roc_auc")


def _categories() -> Any:
    return HistGradientBoostingClassifier(max_iter=20, categorical_features="from_dtype")


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("make", [_grid_search, _categories])
def test_a_joblib_file_ships_as_it_is(make: Any, tmp_path: Path) -> None:
    """From joblib.dump and a CSV to a promoted version that answers as the model does."""
    model = make().fit(ROWS, TARGET)
    joblib.dump(model, tmp_path / "m.joblib")
    ROWS.assign(answer=TARGET).to_csv(tmp_path / "held.csv", index=False)
    space = quick_space(tmp_path)
    release = space.ship(tmp_path / "m.joblib", tmp_path / "held.csv", "answer", name="m")
    assert release.verdict == "promoted"
    answers = space.load("m@champion", events=False).predict(plain_rows(ROWS))
    found = [[answer["probabilities"][name] for name in model.classes_] for answer in answers]
    assert np.abs(np.array(found) - model.predict_proba(ROWS)).max() <= 1e-5
