"""Conversions that succeed and answer otherwise: rejected, then done right or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.optimize.traps import Outcome, outcome_of

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.models.convert import attempts
from afterfit.models.convert_known import known_traps
from afterfit.optimize.ladder import Trial

Fit = Callable[..., tuple[Any, Signature]]


def trials_of(model: Any, signature: Signature, frame: Frame) -> tuple[Trial, list[Trial]]:
    """What the common converters' way came to, and the whole ladder."""
    outcome = outcome_of(model, signature, frame)
    return outcome.library, outcome.ladder


def rejection(outcome: Outcome, trials: list[Trial]) -> str:
    """What a person is told of these trials where none of them is exact: one line of O002."""
    (text,) = [finding.message for finding in outcome.told(trials) if finding.code == "O002"]
    assert "\n" not in text
    return text


def numbers(rows: int = 1500, seed: int = 0) -> dict[str, np.ndarray]:
    """Four columns of numbers."""
    rng = np.random.default_rng(seed)
    return {f"x{index}": rng.normal(size=rows) * 10.0**index for index in range(4)}


def test_categories_of_histogram_boosting(fitted: Fit) -> None:
    """The common converter reads categories as numbers; our trees ask for membership."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = numbers()
    frame["kind"] = np.random.default_rng(1).integers(0, 9, 1500).astype(np.float64)
    truth = (np.isin(frame["kind"], [1, 3, 6, 8]) ^ (frame["x0"] > 0)).astype(int)
    estimator = HistGradientBoostingClassifier(max_iter=20, categorical_features=[4])
    model, signature = fitted(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status in ("rejected", "not_available")
    assert outcome.ladder[-1].status == "exact"
    (told,) = outcome.texts("O006")
    assert told == (
        "column `kind`: common converters read the categories of HistGradientBoosting as numbers; "
        "repaired: the graph asks whether a value is one of a set of categories"
    )


def test_forest_trained_with_missing_values(fitted: Fit) -> None:
    """The common converter forgets which way NaN goes; labels flip, and it is rejected."""
    from sklearn.ensemble import RandomForestClassifier

    frame = numbers()
    truth = (frame["x0"] > 0).astype(int)
    frame["x0"] = np.where(np.arange(1500) % 4 == 0, np.nan, frame["x0"])
    model, signature = fitted(RandomForestClassifier(20, random_state=0), frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    library = outcome.library
    assert library.status == "rejected"
    assert sum(judgement.parity.flips for judgement in library.judgements) > 0
    assert outcome.ladder[-1].status == "exact"
    (told,) = outcome.texts("O006")
    assert told == (
        "column `x0`: common converters lose which way a forest sends NaN; "
        "repaired: each node of the graph keeps its side for NaN"
    )
    told = rejection(outcome, [library])
    assert "the worst row agrees once x0 has another value" in told
    assert "the model ships as it is. Known cause: column `x0`: common converters lose" in told


def test_linear_trees_of_lightgbm_ship_as_they_are(fitted: Fit) -> None:
    """ONNX's trees cannot say linear_tree: the silent conversion is rejected, none is exact."""
    lightgbm = pytest.importorskip("lightgbm")
    frame = numbers()
    truth = (frame["x0"] + frame["x1"] / 10 > 0).astype(int)
    estimator = lightgbm.LGBMClassifier(n_estimators=15, linear_tree=True, verbose=-1)
    model, signature = fitted(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status == "rejected"
    assert {trial.status for trial in outcome.ladder} == {"rejected", "not_available"}
    assert "rows beyond the tolerance" in outcome.library.why
    told = rejection(outcome, outcome.ladder)
    assert "held-out rows" in told
    assert "the model ships as it is. Known cause: ONNX's trees have a number in each" in told


def test_scaled_integers_on_the_thresholds_of_a_forest(fitted: Fit) -> None:
    """After a scaler, integers fall on thresholds: single precision goes the other way."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    frame = {f"k{index}": rng.integers(0, 60, 1500).astype(np.float64) for index in range(5)}
    truth = (frame["k0"] + frame["k1"] + rng.normal(size=1500) * 10 > 60).astype(int)
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(30, random_state=0))
    model, signature = fitted(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status == "rejected"
    assert outcome.ladder[-1].status == "exact"
    assert outcome.ladder[-1].attempt.precision == "float64"
    (told,) = outcome.texts("O006")
    cause = "whole numbers sit on the trees' thresholds after StandardScaler"
    assert told.startswith("columns `k0`, `k1`, ")
    assert f"{cause}, where the last digit of single precision decides; repaired: " in told
    assert told.endswith("the graph scales and compares in double precision, as the model does")
    rejected = rejection(outcome, [outcome.library])
    assert "the worst row agrees once k" in rejected
    assert cause in rejected


def test_fractions_behind_a_scaler_are_on_no_threshold(fitted: Fit) -> None:
    """Where no threshold is a whole number, nothing is claimed to have been repaired."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = {name: values for name, values in numbers(600).items() if name in {"x0", "x1"}}
    truth = (frame["x0"] > 0.1).astype(int)
    estimator = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0))
    model, signature = fitted(estimator, frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.ships == "onnx-float64"
    assert outcome.texts("O006") == []
    (trap,) = known_traps(model.native, signature)
    assert str(trap) == "values may fall on the trees' thresholds after StandardScaler"


def test_where_another_converter_is_exact_it_is_told_which_and_why(fitted: Fit) -> None:
    """The form that was not exact is named with its rows, and the one that was taken."""
    from sklearn.linear_model import LogisticRegression

    frame = numbers(400)
    model, signature = fitted(LogisticRegression(), frame, (frame["x0"] > 0).astype(int), "binary")
    outcome = outcome_of(model, signature, frame)
    assert outcome.library.status == "exact", outcome.library.why
    first = replace(outcome.ladder[0], status="rejected", why="edge rows: x1: missing")
    told = rejection(outcome, [first, outcome.library])
    assert told == (
        "onnx-float64 answers otherwise (edge rows: x1: missing); "
        "another converter is exact and was taken: library"
    )


def test_isotonic_calibration_over_a_forest(fitted: Fit) -> None:
    """Whatever is made of the staircase, only an exact one may ship."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier

    frame = numbers()
    truth = np.digitize(frame["x0"] + frame["x1"] / 20, [-0.5, 0.5])
    forest = RandomForestClassifier(10, random_state=0)
    estimator = CalibratedClassifierCV(forest, method="isotonic", cv=2)
    model, signature = fitted(estimator, frame, truth, "multiclass")
    outcome = outcome_of(model, signature, frame)
    ladder = outcome.ladder
    assert outcome.library.status == "rejected"
    assert all(trial.status != "exact" or trial.attempt.trees == "exact" for trial in ladder)
    told = rejection(outcome, [outcome.library])
    assert "Known cause: isotonic calibration is a staircase" in told


def test_binary_discriminant_analysis(fitted: Fit) -> None:
    """skl2onnx applies softmax where the model has a sigmoid: every row differs."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    frame = numbers(400)
    truth = (frame["x0"] + np.random.default_rng(2).normal(size=400) > 0).astype(int)
    model, signature = fitted(LinearDiscriminantAnalysis(), frame, truth, "binary")
    outcome = outcome_of(model, signature, frame)
    assert [trial.status for trial in outcome.ladder] == ["rejected", "rejected"]
    told = rejection(outcome, outcome.ladder)
    assert "the model ships as it is. Known cause: skl2onnx applies softmax where" in told


def test_a_plain_booster_in_single_precision_fails_beside_its_thresholds(fitted: Fit) -> None:
    """Held-out rows cannot show it: the threshold rows do."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame = numbers()
    truth = (frame["x0"] > 0).astype(int)
    model, signature = fitted(HistGradientBoostingClassifier(max_iter=20), frame, truth, "binary")
    library, ladder = trials_of(model, signature, frame)
    held_out, _, thresholds = library.judgements
    assert held_out.exact
    assert thresholds.parity.beyond > 0
    assert library.status == "rejected"
    assert ladder[0].status == "exact"


def test_single_precision_is_not_tried_where_no_row_would_show_its_errors(fitted: Fit) -> None:
    """Products of columns before trees have no probed thresholds: one row in thousands flips."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures

    frame = numbers(400)
    truth = (frame["x0"] * frame["x1"] > 0).astype(int)
    forest = RandomForestClassifier(5, random_state=0)
    for estimator, single in (
        (make_pipeline(PolynomialFeatures(), forest), False),
        (make_pipeline(KBinsDiscretizer(4), LogisticRegression()), False),
        (GridSearchCV(forest, {}, cv=2), False),
        (make_pipeline(PolynomialFeatures(), LogisticRegression(max_iter=500)), True),
        (forest, True),
    ):
        model, _ = fitted(estimator, frame, truth, "binary")
        tried = [attempt.precision for attempt in attempts(model.native)]
        assert ("float32" in tried) == single, estimator


@pytest.mark.parametrize("degree", [2, 3, (2, 3)])
def test_products_of_columns_are_multiplied_as_the_model_does(fitted: Fit, degree: Any) -> None:
    """Their common converter mixes single and double precision, and the graph does not load."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    frame = numbers(600)
    truth = (frame["x0"] * frame["x1"] > 0).astype(int)
    step = PolynomialFeatures(degree, interaction_only=degree == 3, include_bias=degree == 2)
    estimator = make_pipeline(step, RandomForestClassifier(8, random_state=0))
    model, signature = fitted(estimator, frame, truth, "binary")
    ladder = trials_of(model, signature, frame)[1]
    assert [trial.status for trial in ladder] == ["exact"]
    assert max(j.parity.max_difference or 0.0 for j in ladder[0].judgements) < 1e-12
