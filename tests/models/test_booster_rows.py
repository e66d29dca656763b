"""Boosters read all-numeric rows as a matrix, and answer to the bit as from their own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from afterfit.core.frame import Frame, MatrixFrame
from afterfit.errors import InputError
from afterfit.models.native import Hints, adapter_for_object
from afterfit.models.tables import to_matrix

ROWS = 300


def frame_of() -> dict[str, np.ndarray]:
    """Numbers with holes, large integers, and booleans with holes."""
    rng = np.random.default_rng(3)
    yes = rng.random(ROWS) < 0.5
    holed = yes.astype(object)
    holed[::9] = None
    return {
        "number": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(size=ROWS) * 1e3),
        "whole": rng.integers(-(2**40), 2**40, ROWS),
        "yes": yes,
        "maybe": holed,
    }


def pandas_of(frame: Frame) -> pd.DataFrame:
    """The frame as a person would hold it."""
    table = {k: v.astype(float) if v.dtype.kind == "O" else v for k, v in frame.items()}
    return pd.DataFrame(table)


def boosters(kind: str) -> Any:
    """A fitted estimator of each library."""
    import lightgbm
    import xgboost

    frame = frame_of()
    table, answer = pandas_of(frame), np.nan_to_num(frame["number"]) + frame["whole"] / 2.0**31
    classes = np.digitize(answer, np.quantile(answer, [0.4, 0.7]))
    few: dict[str, Any] = {"n_estimators": 12, "random_state": 0}
    made: dict[str, Callable[[], Any]] = {
        "lightgbm": lambda: lightgbm.LGBMClassifier(**few, verbose=-1).fit(table, classes > 0),
        "lightgbm-multi": lambda: lightgbm.LGBMClassifier(**few, verbose=-1).fit(table, classes),
        "lightgbm-value": lambda: lightgbm.LGBMRegressor(**few, verbose=-1).fit(table, answer),
        "xgboost": lambda: xgboost.XGBClassifier(**few).fit(table, classes > 0),
        "xgboost-multi": lambda: xgboost.XGBClassifier(**few).fit(table, classes),
        "xgboost-value": lambda: xgboost.XGBRegressor(**few).fit(table, answer),
        "xgboost-dart": lambda: xgboost.XGBRegressor(**few, booster="dart").fit(table, answer),
    }
    return made[kind]()


KINDS = (
    "lightgbm",
    "lightgbm-multi",
    "lightgbm-value",
    "xgboost",
    "xgboost-multi",
    "xgboost-value",
    "xgboost-dart",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_booster_answers_as_its_estimator_does_from_a_dataframe(kind: str) -> None:
    """One row and many, holes, integers, booleans and columns in another order: the same bits."""
    estimator = boosters(kind)
    booster = getattr(estimator, "booster_", None) or estimator.get_booster()
    frame = frame_of()
    native = adapter_for_object(booster).wrap(booster, Hints())
    ask = getattr(estimator, "predict_proba", estimator.predict)
    for rows in (slice(0, 1), slice(0, ROWS)):
        part = {name: frame[name][rows] for name in reversed(list(frame))}
        given = native.predict(part).main
        expected = np.asarray(ask(pandas_of(frame)[rows]), dtype=np.float64)
        if given.ndim == 2 and given.shape[1] == 2:
            given, expected = given[:, 1], expected[:, 1]
        if kind == "xgboost-dart":
            # The estimator adds up in another order than its own booster.
            np.testing.assert_allclose(given, expected, rtol=1e-6)
        else:
            assert np.array_equal(given, expected)


def test_a_booster_stops_at_its_best_round_where_its_estimator_saved_it() -> None:
    """A file that the estimator wrote is asked as the estimator is: up to its best round."""
    import xgboost

    frame = frame_of()
    table = pandas_of(frame)
    label = (frame["number"] > 0).astype(int)
    estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2)
    estimator.fit(table[:100], label[:100], eval_set=[(table[100:], label[::-1][:200])])
    booster = xgboost.Booster()
    booster.load_model(estimator.get_booster().save_raw("ubj"))
    booster.set_attr(scikit_learn="{}")
    assert estimator.best_iteration + 1 < booster.num_boosted_rounds()
    found = adapter_for_object(booster).wrap(booster, Hints()).predict(frame).probabilities
    assert found is not None
    assert np.array_equal(found[:, 1], estimator.predict_proba(table)[:, 1])
    matrix = to_matrix(frame, tuple(frame), np.float32)
    assert not np.array_equal(found[:, 1], booster.inplace_predict(matrix, validate_features=False))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_xgboost_refuses_infinities_as_it_does_in_its_own_tables(value: float) -> None:
    """A matrix of infinities would be answered without a word."""
    import xgboost

    booster = boosters("xgboost").get_booster()
    native = adapter_for_object(booster).wrap(booster, Hints())
    frame = frame_of()
    frame["number"][5] = value
    with pytest.raises(xgboost.core.XGBoostError, match="inf"):
        native.predict(frame)


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost"])
def test_text_and_missing_columns_are_told(kind: str) -> None:
    """No text is turned into a number, and no column is made up."""
    estimator = boosters(kind)
    booster = getattr(estimator, "booster_", None) or estimator.get_booster()
    native = adapter_for_object(booster).wrap(booster, Hints())
    frame = frame_of()
    with pytest.raises(InputError, match="holds text"):
        native.predict({**frame, "maybe": np.array(["a"] * ROWS, dtype=object)})
    with pytest.raises(InputError, match="missing column"):
        native.predict({name: frame[name] for name in list(frame)[1:]})


def test_a_matrix_is_taken_as_it_is() -> None:
    """Rows that arrive as one matrix are not copied; with other columns they are put in order."""
    matrix = np.arange(6.0).reshape(3, 2)
    frame = MatrixFrame({"a": "number", "b": "integer"}, matrix)
    assert to_matrix(frame, ("a", "b")) is matrix
    assert np.array_equal(to_matrix(frame, ("b", "a")), matrix[:, ::-1])
