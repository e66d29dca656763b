"""Comparing a variant with the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from afterfit.core.frame import Frame, Predictions, row_count
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.optimize.ladder import usual_scale
from afterfit.optimize.parity import Judgement, answers_of, blame, compare, is_exact
from afterfit.optimize.rows import RowSet

BINARY = Signature(
    task="binary",
    columns=(Column(name="x", kind="number"), Column(name="z", kind="number")),
    classes=("no", "yes"),
    positive="yes",
)
REGRESSION = Signature(task="regression", columns=BINARY.columns)


class Formula:
    """A model whose answer is a formula of the columns."""

    def __init__(self, formula: Callable[[Frame], np.ndarray], *, regression: bool = False) -> None:
        self.formula = formula
        self.regression = regression

    def predict(self, frame: Frame) -> Predictions:
        """Return the formula's answer; refuses NaN in x."""
        if np.isnan(frame["x"]).any():
            raise InputError("x is missing", why="NaN")
        p = self.formula(frame)
        if self.regression:
            return Predictions(values=p)
        return Predictions(probabilities=np.column_stack([1 - p, p]))


def rows(*values: float) -> RowSet:
    """A row set of one case a value."""
    x = np.array(values, dtype=np.float64)
    names = tuple(f"case {index}" for index in range(len(x)))
    return RowSet("rows", {"x": x, "z": np.zeros(len(x))}, np.arange(len(x)), names)


def judged(
    native: Formula, variant: Formula, row_set: RowSet, signature: Signature = BINARY
) -> Judgement:
    """The comparison at a tolerance of 1e-5."""
    return compare(variant, answers_of(native, row_set), signature, 1e-5)


def test_equal_answers_are_exact() -> None:
    """The same formula twice is exact, with a largest difference of zero."""
    found = judged(Formula(lambda f: f["x"]), Formula(lambda f: f["x"]), rows(0.1, 0.7))
    assert found.exact
    assert found.parity.max_difference == 0.0


def test_one_row_beyond_the_tolerance_is_not_exact() -> None:
    """A single row that differs by more is counted and named."""
    variant = Formula(lambda f: f["x"] + np.where(f["x"] == 0.7, 2e-5, 0.0))
    found = judged(Formula(lambda f: f["x"]), variant, rows(0.1, 0.7, 0.9))
    assert (found.parity.beyond, found.parity.flips, found.worst) == (1, 0, 1)
    assert "case 1" in found.parity.message


def test_a_label_that_flips_within_the_tolerance_is_not_exact() -> None:
    """A probability beside the threshold that crosses it changes what a user is told."""
    variant = Formula(lambda f: f["x"] + 1e-9)
    found = judged(Formula(lambda f: f["x"]), variant, rows(0.5, 0.9))
    assert (found.parity.beyond, found.parity.flips) == (0, 1)
    assert not found.exact


def test_values_are_compared_relative_to_their_size() -> None:
    """A regression's 1e6 may differ by 1, its 0.5 may not differ by 1e-4."""
    native = Formula(lambda f: f["x"], regression=True)
    near = Formula(lambda f: f["x"] * (1 + 1e-6), regression=True)
    far = Formula(lambda f: f["x"] + 1e-4, regression=True)
    assert judged(native, near, rows(1e6), REGRESSION).exact
    assert not judged(native, far, rows(0.5), REGRESSION).exact


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_a_variant_that_answers_a_constant_is_never_exact(unit: float) -> None:
    """Rates and concentrations are far below 1e-5: zero is no answer to them."""
    values = np.random.default_rng(0).normal(3, 1, 40) * unit
    native = Formula(lambda f: f["x"], regression=True)
    for constant in (0.0, float(values.mean())):
        variant = Formula(lambda f, c=constant: np.full(len(f["x"]), c), regression=True)  # type: ignore[misc]
        found = judged(native, variant, rows(*values), REGRESSION)
        assert not found.exact
        assert found.parity.beyond >= 39
    near = Formula(lambda f: f["x"] + 1e-6 * unit, regression=True)
    assert judged(native, near, rows(*values), REGRESSION).exact


def test_usual_rows_are_judged_by_usual_answers() -> None:
    """Edge rows of a million times the size do not loosen what is allowed for the others."""
    native = Formula(lambda f: f["x"], regression=True)
    variant = Formula(lambda f: f["x"] + 1e-3, regression=True)
    usual = rows(*np.linspace(-1, 1, 40))
    strange = rows(0.5, 1e6, -1e6)
    answers = [answers_of(native, usual), answers_of(native, strange)]
    found = compare(variant, answers[1], REGRESSION, 1e-5, usual_scale(answers))
    assert found.parity.beyond == 1


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_not_exact(wrong: float) -> None:
    """NaN or an infinity where the model has a number is a difference."""
    native = Formula(lambda f: f["x"], regression=True)
    variant = Formula(lambda f: np.where(f["x"] == 2.0, wrong, f["x"]), regression=True)
    found = judged(native, variant, rows(1.0, 2.0), REGRESSION)
    assert found.parity.beyond == 1
    assert found.parity.max_difference is None


def test_rows_that_the_model_refuses_are_left_out_and_named() -> None:
    """Only the refused case is left out, and whether the variant answers it is counted."""
    variant = Formula(lambda f: np.nan_to_num(f["x"]))
    variant.predict = lambda frame: Predictions(  # type: ignore[method-assign]
        probabilities=np.column_stack([1 - np.nan_to_num(frame["x"]), np.nan_to_num(frame["x"])])
    )
    found = judged(Formula(lambda f: f["x"]), variant, rows(0.1, np.nan, 0.9))
    assert found.parity.n == 2
    assert found.exact
    assert "case 1" in found.parity.message
    assert found.answered_refused == 1


def test_nothing_compared_is_not_exact() -> None:
    """Where the model refuses every row, nothing was proven."""
    found = judged(Formula(lambda f: f["x"]), Formula(lambda f: f["x"]), rows(np.nan))
    assert found.parity.n == 0
    assert not is_exact([found])


def test_a_variant_that_raises_is_not_exact() -> None:
    """A row that the model answers and the variant refuses counts as beyond."""

    class Refuses:
        def predict(self, _frame: Frame) -> Predictions:
            raise InputError("no", why="ValueError: not 0.2", code="refused")

    found = compare(Refuses(), answers_of(Formula(lambda f: f["x"]), rows(0.2)), BINARY, 1e-5)
    assert not found.exact
    assert found.parity.message == "the variant raised: no: ValueError"


def test_an_answer_that_depends_on_the_batch_size_is_not_exact() -> None:
    """A graph with a fixed batch axis or a leak between rows is seen."""
    variant = Formula(lambda f: f["x"] + (0.1 if row_count(f) == 7 else 0.0))
    values = np.linspace(0.0, 0.4, 100)
    assert not judged(Formula(lambda f: f["x"]), variant, rows(*values)).exact


def test_the_column_that_explains_a_difference_is_named() -> None:
    """Replacing x by a calm value makes the difference go; z has nothing to do with it."""
    native = Formula(lambda f: f["x"])
    variant = Formula(lambda f: np.where(f["x"] > 0.8, 0.0, f["x"]))
    assert blame(native, variant, rows(0.1, 0.9), 1, 0, 1e-5) == "x"
