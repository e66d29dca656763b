"""The metric formulae: equal to scikit-learn where it defines a value, NaN with a reason else."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as peer

from afterfit.core.formulae import (
    FORMULAE,
    compute,
    confusion_matrix,
    find_formula,
    row_losses,
)
from afterfit.errors import InputError, NotFoundError

Array = NDArray[Any]


def binary_rows(seed: int, n: int = 300, digits: int = 2) -> tuple[Array, Array, Array]:
    """Return truth, labels and probabilities with many ties."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, n)
    noise = generator.normal(size=n)
    probability = np.round(1 / (1 + np.exp(-(2 * truth - 1 + noise))), digits)
    return truth, (probability >= 0.5).astype(int), probability


def multiclass_rows(seed: int, n: int = 300, classes: int = 4) -> tuple[Array, Array, Array]:
    """Return truth, labels and rounded probabilities of shape (n, K)."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    weights = generator.random((n, classes)) + 0.7 * np.eye(classes)[truth]
    weights = np.round(weights, 1) + 0.05
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    return truth, probabilities.argmax(axis=1), probabilities


BINARY_LABELS: dict[str, Callable[..., float]] = {
    "accuracy": peer.accuracy_score,
    "balanced_accuracy": peer.balanced_accuracy_score,
    "precision": peer.precision_score,
    "recall": peer.recall_score,
    "f1": peer.f1_score,
    "mcc": peer.matthews_corrcoef,
}
BINARY_PROBABILITIES: dict[str, Callable[..., float]] = {
    "roc_auc": peer.roc_auc_score,
    "pr_auc": peer.average_precision_score,
    "log_loss": peer.log_loss,
    "brier": peer.brier_score_loss,
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", [*BINARY_LABELS, *BINARY_PROBABILITIES])
def test_binary_metrics_equal_scikit_learn(name: str, seed: int) -> None:
    """Every binary metric is scikit-learn's, with tied scores and clipped probabilities."""
    truth, labels, probability = binary_rows(seed, digits=1)
    if name in BINARY_LABELS:
        expected, prediction = BINARY_LABELS[name](truth, labels), labels
    else:
        expected, prediction = BINARY_PROBABILITIES[name](truth, probability), probability
    assert compute(name, truth, prediction, positive=1).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_the_positive_class_may_be_code_0(name: str) -> None:
    """``positive=0`` is scikit-learn's ``pos_label=0``."""
    truth, labels, _ = binary_rows(9)
    expected = BINARY_LABELS[name](truth, labels, pos_label=0)
    assert compute(name, truth, labels, positive=0).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", list(BINARY_PROBABILITIES))
def test_two_columns_are_one_probability(name: str) -> None:
    """(n, 2) gives the value of (n,), for either positive class."""
    truth, _, probability = binary_rows(3)
    columns = np.column_stack([1 - probability, probability])
    one = compute(name, truth, probability, positive=1).value
    assert compute(name, truth, columns, positive=1).value == pytest.approx(one, abs=1e-12)
    assert compute(name, truth, columns).value == pytest.approx(one, abs=1e-12)
    flipped = compute(name, truth, columns, positive=0).value
    assert flipped == pytest.approx(
        compute(name, 1 - truth, columns[:, 0], positive=1).value, abs=1e-12
    )


@pytest.mark.parametrize("seed", range(3))
def test_multiclass_metrics_equal_scikit_learn(seed: int) -> None:
    """Macro averages, one-against-rest areas, log loss and the Brier sum are scikit-learn's."""
    truth, labels, probabilities = multiclass_rows(seed)
    expected = {
        "accuracy": peer.accuracy_score(truth, labels),
        "balanced_accuracy": peer.balanced_accuracy_score(truth, labels),
        "precision": peer.precision_score(truth, labels, average="macro"),
        "recall": peer.recall_score(truth, labels, average="macro"),
        "f1": peer.f1_score(truth, labels, average="macro"),
        "mcc": peer.matthews_corrcoef(truth, labels),
        "roc_auc": peer.roc_auc_score(truth, probabilities, multi_class="ovr"),
        "pr_auc": peer.average_precision_score(truth, probabilities),
        "log_loss": peer.log_loss(truth, probabilities),
        "brier": peer.brier_score_loss(truth, probabilities),
    }
    for name, value in expected.items():
        prediction = labels if FORMULAE[name].needs == "labels" else probabilities
        assert compute(name, truth, prediction).value == pytest.approx(value, abs=1e-12), name


def test_a_class_never_predicted_counts_zero_in_macro_averages() -> None:
    """As in scikit-learn; a class in neither array is left out."""
    truth, labels = np.array([0, 0, 1, 1, 3, 3]), np.array([0, 1, 1, 1, 0, 1])
    for name, peer_of in [("precision", peer.precision_score), ("f1", peer.f1_score),
                          ("recall", peer.recall_score)]:  # fmt: skip
        expected = peer_of(truth, labels, average="macro", zero_division=0)
        assert compute(name, truth, labels).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_regression_metrics_equal_scikit_learn(seed: int) -> None:
    """MAE, RMSE, R² and the pinball loss are scikit-learn's."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(50, 3, 200)
    values = truth + generator.gamma(2, 1, 200)
    assert compute("mae", truth, values).value == pytest.approx(
        peer.mean_absolute_error(truth, values)
    )
    assert compute("rmse", truth, values).value == pytest.approx(
        peer.root_mean_squared_error(truth, values)
    )
    assert compute("r2", truth, values).value == pytest.approx(peer.r2_score(truth, values))
    for quantile in (0.1, 0.5, 0.9):
        assert compute("quantile_loss", truth, values, quantile=quantile).value == pytest.approx(
            peer.mean_pinball_loss(truth, values, alpha=quantile)
        )


def test_log_loss_clips_at_the_epsilon_of_the_dtype() -> None:
    """Certainty in the wrong class costs -log(eps), of float64 or float32, as in scikit-learn."""
    truth = np.array([0, 1, 1, 0])
    for dtype in (np.float64, np.float32):
        wrong = np.array([1.0, 0.0, 1.0, 0.0], dtype)
        expected = -math.log(np.finfo(dtype).eps) / 2
        found = compute("log_loss", truth, wrong, positive=1).value
        assert found == pytest.approx(expected, rel=1e-6)
        assert found == pytest.approx(peer.log_loss(truth, wrong), rel=1e-6)


def test_confusion_matrix_equals_scikit_learn() -> None:
    """Rows are true classes, columns predicted ones."""
    truth, labels, _ = multiclass_rows(5)
    assert (confusion_matrix(truth, labels) == peer.confusion_matrix(truth, labels)).all()
    assert confusion_matrix(truth, labels, n_classes=7).shape == (7, 7)


def test_cells_of_many_tables_are_computed_at_once() -> None:
    """A stack of confusion matrices gives the metric of each."""
    tables = []
    for seed in range(3):
        truth, labels, _ = multiclass_rows(seed)
        tables.append(confusion_matrix(truth, labels))
    for formula in FORMULAE.values():
        if formula.cells is None:
            continue
        for positive in (None, 1):
            stacked = formula.cells(np.stack(tables), positive)
            single = [float(formula.cells(table, positive)) for table in tables]
            assert stacked == pytest.approx(single), formula.name


@pytest.mark.parametrize("name", ["accuracy", "log_loss", "brier", "mae", "quantile_loss"])
def test_the_mean_of_row_losses_is_the_metric(name: str) -> None:
    """`row_losses` and `compute` agree."""
    truth, labels, probability = binary_rows(11)
    prediction = labels if FORMULAE[name].needs == "labels" else probability
    losses = row_losses(name, truth, prediction, positive=1, quantile=0.3)
    value = compute(name, truth, prediction, positive=1, quantile=0.3).value
    assert losses.shape == truth.shape
    assert losses.mean() == pytest.approx(value, abs=1e-12)


def test_row_losses_of_rmse_are_squared_errors() -> None:
    """The root of their mean is the metric."""
    truth, values = np.array([1.0, 2.0, 4.0]), np.array([1.0, 4.0, 1.0])
    assert row_losses("rmse", truth, values).tolist() == [0.0, 4.0, 9.0]
    with pytest.raises(InputError, match="not a mean"):
        row_losses("f1", np.array([0, 1]), np.array([0, 1]))


ONES, ZEROS = np.ones(5, int), np.zeros(5, int)
UNDEFINED: list[tuple[str, Array, Array, str]] = [
    ("precision", ONES, ZEROS, "predicted positive"),
    ("recall", ZEROS, ONES, "positive class"),
    ("f1", ZEROS, ZEROS, "positive class"),
    ("balanced_accuracy", ONES, ONES, "one class"),
    ("mcc", ONES, ONES, "one class"),
    ("roc_auc", ONES, np.linspace(0, 1, 5), "class"),
    ("roc_auc", ZEROS, np.linspace(0, 1, 5), "class"),
    ("pr_auc", ZEROS, np.linspace(0, 1, 5), "positive class"),
    ("r2", ONES * 2.0, np.linspace(0, 1, 5), "constant"),
    ("log_loss", ONES, np.array([0.5, np.nan, 0.5, 0.5, 0.5]), "finite"),
    ("mae", ONES * 1.0, np.array([0.5, np.inf, 0.5, 0.5, 0.5]), "finite"),
    ("mae", np.array([np.nan, 1, 1, 1, 1]), np.linspace(0, 1, 5), "finite"),
]


@pytest.mark.parametrize(("name", "truth", "prediction", "reason"), UNDEFINED)
def test_what_the_data_do_not_define_is_nan_with_a_reason(
    name: str, truth: Array, prediction: Array, reason: str
) -> None:
    """No exception, no warning, and no 0 that reads like a bad model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = compute(name, truth, prediction, positive=1)
    assert math.isnan(score.value)
    assert reason in score.reason


@pytest.mark.parametrize("name", list(FORMULAE))
def test_no_rows_give_nan_and_one_row_never_raises(name: str) -> None:
    """An empty slice says so; a slice of one row has a value or a reason."""
    kind = float if FORMULAE[name].needs != "labels" else int
    truth = np.array([], float if FORMULAE[name].needs == "values" else int)
    assert compute(name, truth, np.array([], kind)).reason == "there are no rows"
    truth = np.array([1], truth.dtype)
    for positive in (None, 0, 1):
        score = compute(name, truth, np.array([1], kind), positive=positive)
        assert math.isnan(score.value) == bool(score.reason)


def test_constant_predictions_have_an_mcc_of_zero() -> None:
    """A model that always says the same is not undefined, it knows nothing."""
    assert compute("mcc", np.array([0, 1, 1, 0]), np.ones(4, int)).value == 0.0


def test_arrays_that_do_not_fit_are_an_input_error() -> None:
    """Lengths, shapes, text classes and codes beyond the columns are refused with their place."""
    with pytest.raises(InputError, match="same rows"):
        compute("accuracy", np.array([0, 1]), np.array([0]))
    with pytest.raises(InputError, match="shape"):
        compute("mae", np.array([0.0]), np.array([[0.0]]))
    with pytest.raises(InputError, match="integer codes"):
        compute("accuracy", np.array(["a"]), np.array(["a"]))
    with pytest.raises(InputError, match="expected 0 to 1"):
        compute("log_loss", np.array([0, 2]), np.full((2, 2), 0.5))
    with pytest.raises(InputError, match="-1"):
        compute("accuracy", np.array([0, -1]), np.array([0, 1]))
    with pytest.raises(InputError, match="code 5"):
        compute("roc_auc", np.array([0, 1]), np.full((2, 2), 0.5), positive=5)


def test_an_unknown_metric_lists_the_known_ones() -> None:
    """The fix names every metric."""
    with pytest.raises(NotFoundError) as caught:
        find_formula("auc")
    assert "roc_auc" in caught.value.fix


def test_values_lie_within_the_declared_bounds() -> None:
    """Each formula's bounds hold its values on random rows."""
    truth, labels, probability = binary_rows(2)
    for name, formula in FORMULAE.items():
        prediction = labels if formula.needs == "labels" else probability
        value = compute(name, truth, prediction, positive=1).value
        assert formula.bounds[0] <= value <= formula.bounds[1], name
