"""The front door: every metric with its interval."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from afterfit.core.formulae import FORMULAE, compute
from afterfit.stats.metric_interval import metric_with_interval
from afterfit.stats.units import groups

METHODS = {
    "accuracy": "wilson",
    "balanced_accuracy": "wilson-mover",
    "precision": "wilson",
    "recall": "wilson",
    "f1": "wilson-jaccard",
    "pr_auc": "linearised, logit-t",
    "r2": "linearised, log-t",
    "rmse": "t-hall",
    "roc_auc": "delong-logit",
    "log_loss": "t-hall",
    "brier": "t-hall",
    "mae": "t-hall",
    "quantile_loss": "t-hall",
}


def rows(name: str, seed: int, n: int = 150, classes: int = 2) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a target and what the metric needs, every class present."""
    generator = np.random.default_rng(seed)
    truth = np.append(np.arange(classes), generator.integers(0, classes, n - classes))
    if FORMULAE[name].needs == "values":
        return truth + generator.normal(size=n), truth.astype(float)
    weights = generator.random((n, classes)) + 0.5 * np.eye(classes)[truth]
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    if FORMULAE[name].needs == "labels":
        return truth, probabilities.argmax(axis=1)
    return truth, probabilities


@pytest.mark.parametrize("name", list(FORMULAE))
@pytest.mark.parametrize("classes", [2, 3])
@given(seed=st.integers(0, 1000), one=st.floats(0.5, 0.99), other=st.floats(0.5, 0.99))
@settings(deadline=None, max_examples=8)
def test_every_interval_holds_its_value_grows_with_the_level_and_stays_in_bounds(
    name: str, classes: int, seed: int, one: float, other: float
) -> None:
    """For two classes and for macro averages over three."""
    positive = 1 if classes == 2 else None
    truth, prediction = rows(name, seed, classes=classes)
    narrow, wide = (
        metric_with_interval(
            name, truth, prediction, positive=positive, seed=seed, level=level, effort="quick"
        )
        for level in sorted((one, other))
    )
    value = compute(name, truth, prediction, positive=positive).value
    bottom, top = FORMULAE[name].bounds
    assert narrow.value == wide.value == value
    assert bottom <= wide.low <= narrow.low <= value <= narrow.high <= wide.high <= top


@pytest.mark.parametrize("name", list(FORMULAE))
def test_each_metric_names_its_method(name: str) -> None:
    """Closed forms where they hold, the bootstrap elsewhere; the same seed repeats the bounds."""
    truth, prediction = rows(name, 1, n=240)
    found = metric_with_interval(name, truth, prediction, positive=1, seed=3)
    assert found.method == METHODS.get(name, "bootstrap-bca")
    assert found == metric_with_interval(name, truth, prediction, positive=1, seed=3)


def test_macro_precision_is_no_rate() -> None:
    """An average over classes gets a bootstrap, not Wilson's interval."""
    truth, prediction = rows("precision", 1, n=300, classes=3)
    found = metric_with_interval("precision", truth, prediction, positive=None, seed=0)
    assert found.method == "bootstrap-bca"


def test_precision_counts_only_the_rows_predicted_positive() -> None:
    """2 right of 3 predicted positive is Wilson's interval of 2 of 3."""
    truth, labels = np.array([1, 1, 0, 0, 0, 1]), np.array([1, 1, 1, 0, 0, 0])
    found = metric_with_interval("precision", truth, labels, positive=1, seed=0)
    assert found[:3] == pytest.approx((2 / 3, 0.20766, 0.93851), abs=1e-5)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "precision", "recall", "f1",
                                  "mcc", "roc_auc", "pr_auc"])  # fmt: skip
@pytest.mark.parametrize("classes", [2, 3])
def test_a_flawless_model_is_not_certain_to_stay_so(name: str, classes: int) -> None:
    """Thirty rows without an error leave room below 1, for two classes and macro averages."""
    truth = np.repeat(np.arange(classes), 30 // classes)
    prediction = np.eye(classes)[truth] if FORMULAE[name].needs == "probabilities" else truth
    positive = 1 if classes == 2 else None
    found = metric_with_interval(name, truth, prediction, positive=positive, seed=0)
    assert found.value == found.high == 1.0
    assert 0.3 < found.low < 0.99


@pytest.mark.parametrize("name", ["precision", "mcc", "roc_auc", "pr_auc", "r2"])
def test_an_undefined_metric_has_nan_bounds_and_the_reason(name: str) -> None:
    """NaN never turns into a number, or into an exception."""
    truth = np.zeros(6) if name == "r2" else np.zeros(6, int)
    prediction = np.linspace(0, 0.4, 6) if FORMULAE[name].needs != "labels" else np.zeros(6, int)
    found = metric_with_interval(name, truth, prediction, positive=1, seed=0)
    assert all(math.isnan(number) for number in found[:3])
    assert found.method.startswith("undefined: ")


def test_one_row_has_a_value_without_an_interval() -> None:
    """The value is known, its error is not."""
    found = metric_with_interval("mae", np.array([1.0]), np.array([3.0]), positive=None, seed=0)
    assert found.value == 2.0
    assert math.isnan(found.low)
    assert found.method.startswith("undefined: ")


def test_r2_is_exact_far_from_zero() -> None:
    """A target around ten million loses no digits."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=300)
    near = metric_with_interval("r2", truth, truth * 0.9, positive=None, seed=0)
    far = metric_with_interval("r2", truth + 1e7, truth * 0.9 + 1e7, positive=None, seed=0)
    assert far[:3] == pytest.approx(near[:3], abs=1e-6)


@pytest.mark.parametrize("name", ["roc_auc", "pr_auc", "r2", "mcc"])
def test_half_a_million_rows_take_a_second_or_so(name: str) -> None:
    """No interval resamples rows, neither alone nor in groups."""
    truth, prediction = rows(name, 0, n=500_000)
    units = groups(np.arange(500_000) // 5)
    started = time.process_time()
    for each in (None, units):
        found = metric_with_interval(name, truth, prediction, positive=1, seed=0, units=each)
        assert 0 < found.high - found.low < 0.01
    assert time.process_time() - started < 4.0


def test_fewer_rows_than_were_measured_are_approximate() -> None:
    """49 rows of a class, or 199 values; a method that says so already says it once."""
    truth, prediction = rows("accuracy", 0, n=400)
    rare = np.append(np.flatnonzero(truth == 1)[:49], np.flatnonzero(truth == 0))
    told = [
        metric_with_interval("accuracy", truth[r], prediction[r], positive=1, seed=0).method
        for r in (rare, np.arange(400))
    ]
    assert told == ["wilson, approximate", "wilson"]
    units = groups(np.arange(len(rare)) // 40)
    found = metric_with_interval(
        "accuracy", truth[rare], prediction[rare], positive=1, seed=0, units=units
    )
    assert found.method.endswith("groups, approximate")
