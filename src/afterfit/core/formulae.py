"""The formulae of the metrics: what is computed, in which unit, and which way is better.

Classes are integer codes ``0..K-1``. A prediction is one of

* ``labels``: predicted codes, shape (n,);
* ``probabilities``: shape (n,) of the positive class, or (n, K) with one column per code;
* ``values``: numbers, shape (n,).

``positive`` is the code of the positive class; ``None`` means the macro average over classes
(and, for probabilities of shape (n,), class 1). A metric that the data do not define is NaN with
a reason, never an exception and never a 0 that reads like a bad model. Wherever the data define
it, the value is that of scikit-learn without weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.core.ranking import average_precision, binary_roc_auc, one_against_rest
from afterfit.core.signature import Task
from afterfit.errors import InputError, InternalError, NotFoundError

__all__ = [
    "FORMULAE",
    "Formula",
    "Options",
    "Score",
    "compute",
    "confusion_matrix",
    "find_formula",
    "row_losses",
]

Needs = Literal["labels", "probabilities", "values"]
Array = NDArray[Any]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CLASSIFICATION: frozenset[Task] = frozenset({"binary", "multiclass"})
REGRESSION: frozenset[Task] = frozenset({"regression"})
RATE = (0.0, 1.0)
LOSS = (0.0, float("inf"))
BINARY = 2


class Score(NamedTuple):
    """A metric's value; where it is NaN, ``reason`` says why."""

    value: float
    reason: str = ""


@dataclass(frozen=True)
class Options:
    """What a formula may need to know besides the rows."""

    positive: int | None = None
    quantile: float = 0.5


@dataclass(frozen=True)
class Formula:
    """One metric: its name, unit, direction, and how to compute it.

    ``unit`` is ``""`` for a pure number, ``nats``, or ``target`` for the unit of the target.
    ``rows`` gives one loss per row whose mean is the metric; ``cells`` takes confusion matrices
    of shape (..., K, K), rows true and columns predicted; ``whole`` takes all rows. ``undefined``
    says what is missing from the data when the value is NaN.
    """

    name: str
    title: str
    bigger_is_better: bool
    tasks: frozenset[Task]
    needs: Needs
    bounds: tuple[float, float] = RATE
    unit: str = ""
    undefined: str = ""
    rows: Callable[[Array, Array, Options], FloatArray] | None = None
    cells: Callable[[Array, int | None], FloatArray] | None = None
    whole: Callable[[Array, Array, Options], float] | None = None

    def score(
        self,
        y_true: Array,
        prediction: Array,
        *,
        positive: int | None = None,
        quantile: float = 0.5,
    ) -> Score:
        """Return the metric over all rows; see `compute`."""
        y_true, prediction = check_rows(self, y_true, prediction, positive)
        if y_true.shape[0] == 0:
            return Score(float("nan"), "there are no rows")
        if not np.all(np.isfinite(prediction)):
            return Score(float("nan"), "some predictions are not finite")
        value = self._value(y_true, prediction, Options(positive, quantile))
        return Score(value) if np.isfinite(value) else Score(float("nan"), self.undefined)

    def _value(self, y_true: Array, prediction: Array, options: Options) -> float:
        if self.cells is not None:
            cells = confusion_matrix(y_true, prediction, n_classes=least_classes(options.positive))
            return float(self.cells(cells, options.positive))
        if self.rows is not None:
            return float(self.rows(y_true, prediction, options).mean())
        if self.whole is None:
            raise InternalError(f"the metric {self.name} has no formula")
        return self.whole(y_true, prediction, options)


def compute(
    name: str,
    y_true: Array,
    prediction: Array,
    *,
    positive: int | None = None,
    quantile: float = 0.5,
) -> Score:
    """Return the metric ``name`` over all rows, NaN with a reason where it is undefined.

    ``y_true`` (n,) holds codes or values; ``prediction`` what the formula needs. Raises
    `NotFoundError` for an unknown name and `InputError` for arrays that do not fit together.
    """
    return find_formula(name).score(y_true, prediction, positive=positive, quantile=quantile)


def row_losses(
    name: str,
    y_true: Array,
    prediction: Array,
    *,
    positive: int | None = None,
    quantile: float = 0.5,
) -> FloatArray:
    """Return one number per row, shape (n,), whose mean is the metric ``name``.

    Defined for accuracy, log_loss, brier, mae and quantile_loss, and for rmse as squared errors
    (the mean of which is its square). Raises `InputError` for a metric that is no mean of rows.
    """
    formula = find_formula(name)
    rows = _squared_errors if name == "rmse" else formula.rows
    if rows is None:
        raise InputError(f"{name} is not a mean of per-row losses", where="metric")
    y_true, prediction = check_rows(formula, y_true, prediction, positive)
    return rows(y_true, prediction, Options(positive, quantile))


def find_formula(name: str) -> Formula:
    """Return the formula called ``name``; raises `NotFoundError` with the known names."""
    if name not in FORMULAE:
        raise NotFoundError(
            f"no metric is called {name!r}", where="metric", fix=f"one of: {', '.join(FORMULAE)}"
        )
    return FORMULAE[name]


def check_rows(
    formula: Formula, y_true: Array, prediction: Array, positive: int | None = None
) -> tuple[Array, Array]:
    """Return both as arrays that fit together; raises `InputError` where they cannot."""
    y_true, prediction = np.asarray(y_true), np.asarray(prediction)
    if y_true.ndim != 1 or prediction.shape[:1] != y_true.shape:
        raise InputError(
            f"{formula.name}: targets {y_true.shape} and predictions {prediction.shape} "
            "do not have the same rows",
            where="prediction",
        )
    if formula.needs == "probabilities":
        prediction = prediction if prediction.dtype.kind == "f" else prediction.astype(float)
        if prediction.ndim > 1 and prediction.shape[1] == 1:
            prediction = prediction[:, 0]
    if prediction.ndim > (2 if formula.needs == "probabilities" else 1):
        raise InputError(
            f"{formula.name}: predictions have shape {prediction.shape}", where="prediction"
        )
    if formula.needs == "values":
        return y_true.astype(float), prediction.astype(float)
    if positive is not None and not 0 <= positive < (
        prediction.shape[1] if prediction.ndim > 1 else positive + 1
    ):
        raise InputError(f"{formula.name}: no class has the code {positive}", where="positive")
    if y_true.size:
        _check_codes(formula, y_true, prediction)
    return y_true, prediction


def _check_codes(formula: Formula, y_true: Array, prediction: Array) -> None:
    known = prediction.shape[1] if prediction.ndim > 1 else None
    codes = (y_true, prediction) if formula.needs == "labels" else (y_true,)
    for array in codes:
        if array.dtype.kind not in "iub":
            raise InputError(f"{formula.name}: classes must be integer codes", where="target")
        if array.min() < 0 or (known is not None and array.max() >= known):
            raise InputError(
                f"{formula.name}: class codes run from {array.min()} to {array.max()}, "
                f"expected 0 to {'K-1' if known is None else known - 1}",
                where="target",
            )


def least_classes(positive: int | None) -> int:
    """Return the smallest confusion matrix that has a row for the positive class."""
    return 2 if positive is None else max(2, positive + 1)


def confusion_matrix(y_true: Array, labels: Array, *, n_classes: int = 0) -> IntArray:
    """Return counts, shape (K, K), rows true and columns predicted.

    K is the greatest code in either array plus one, and at least ``n_classes``.
    """
    y_true, labels = np.asarray(y_true, np.int64), np.asarray(labels, np.int64)
    top = max((int(a.max()) + 1 for a in (y_true, labels) if a.size), default=0)
    size = max(top, n_classes)
    return np.bincount(y_true * size + labels, minlength=size * size).reshape(size, size)


def _divide(top: Array, bottom: Array, otherwise: float = float("nan")) -> FloatArray:
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    out = np.full(bottom.shape, otherwise)
    return np.asarray(np.divide(top, bottom, out=out, where=bottom != 0))


def _cell_totals(cells: Array) -> tuple[Array, Array, Array]:
    """Return hits, predicted and true rows per class, each of shape (..., K)."""
    return np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(axis=-2), cells.sum(axis=-1)


def _macro(top: Array, bottom: Array, present: Array) -> FloatArray:
    """Return the mean over the classes present; a class that is never predicted counts 0."""
    return _divide((_divide(top, bottom, 0.0) * present).sum(axis=-1), present.sum(axis=-1))


def _accuracy(cells: Array, _positive: int | None) -> FloatArray:
    hits, predicted, _ = _cell_totals(cells)
    return _divide(hits.sum(axis=-1), predicted.sum(axis=-1))


def _precision(cells: Array, positive: int | None) -> FloatArray:
    hits, predicted, actual = _cell_totals(cells)
    if positive is None:
        return _macro(hits, predicted, predicted + actual > 0)
    return _divide(hits[..., positive], predicted[..., positive])


def _recall(cells: Array, positive: int | None) -> FloatArray:
    hits, predicted, actual = _cell_totals(cells)
    if positive is None:
        return _macro(hits, actual, predicted + actual > 0)
    return _divide(hits[..., positive], actual[..., positive])


def _f1(cells: Array, positive: int | None) -> FloatArray:
    hits, predicted, actual = _cell_totals(cells)
    if positive is None:
        return _macro(2 * hits, predicted + actual, predicted + actual > 0)
    return _divide(2 * hits[..., positive], (predicted + actual)[..., positive])


def _balanced_accuracy(cells: Array, _positive: int | None) -> FloatArray:
    hits, _, actual = _cell_totals(cells)
    present = actual > 0
    several = present.sum(axis=-1) > 1
    return np.where(several, _macro(hits, actual, present), np.nan)


def _mcc(cells: Array, _positive: int | None) -> FloatArray:
    """Return Gorodkin's multiclass form; 0 where the predictions are one class, as usual."""
    hits, predicted, actual = (a.astype(float) for a in _cell_totals(cells))
    n = predicted.sum(axis=-1)
    both = n * hits.sum(axis=-1) - (predicted * actual).sum(axis=-1)
    spread_true = n * n - (actual * actual).sum(axis=-1)
    spread_predicted = n * n - (predicted * predicted).sum(axis=-1)
    value = _divide(both, np.sqrt(spread_true * spread_predicted), 0.0)
    return np.where(spread_true > 0, value, np.nan)


def _roc_auc(y_true: Array, probabilities: Array, options: Options) -> float:
    pairs = one_against_rest(y_true, probabilities, options.positive)
    return float(np.mean([binary_roc_auc(*pair) for pair in pairs]))


def _pr_auc(y_true: Array, probabilities: Array, options: Options) -> float:
    pairs = one_against_rest(y_true, probabilities, options.positive)
    return float(np.mean([average_precision(*pair) for pair in pairs]))


def _log_loss(y_true: Array, probabilities: Array, options: Options) -> FloatArray:
    """Return -log of the probability given to the truth, clipped at the dtype's epsilon."""
    given = _given_to_truth(y_true, probabilities, options)
    eps = np.finfo(probabilities.dtype).eps
    return np.asarray(-np.log(np.clip(given.astype(float), eps, 1 - eps)))


def _given_to_truth(y_true: Array, probabilities: Array, options: Options) -> Array:
    if probabilities.ndim > 1:
        return np.asarray(probabilities[np.arange(len(y_true)), y_true])
    is_positive = y_true == (1 if options.positive is None else options.positive)
    return np.where(is_positive, probabilities, 1 - probabilities)


def _brier(y_true: Array, probabilities: Array, options: Options) -> FloatArray:
    """Return (p - y)^2 of the positive class; with three or more classes, the sum over classes."""
    if probabilities.ndim > 1 and probabilities.shape[1] > BINARY:
        truth = y_true[:, None] == np.arange(probabilities.shape[1])
        return np.asarray(np.square(probabilities.astype(float) - truth).sum(axis=1))
    return np.square(1.0 - _given_to_truth(y_true, probabilities.astype(float), options))


def _absolute_errors(y_true: Array, values: Array, _options: Options) -> FloatArray:
    return np.asarray(np.abs(y_true - values))


def _squared_errors(y_true: Array, values: Array, _options: Options) -> FloatArray:
    return np.asarray(np.square(y_true - values))


def _pinball_losses(y_true: Array, values: Array, options: Options) -> FloatArray:
    gap = y_true - values
    return np.maximum(options.quantile * gap, (options.quantile - 1.0) * gap)


def _rmse(y_true: Array, values: Array, _options: Options) -> float:
    return float(np.sqrt(np.square(y_true - values).mean()))


def _r2(y_true: Array, values: Array, _options: Options) -> float:
    total = float(np.square(y_true - y_true.mean()).sum())
    if total == 0:
        return float("nan")
    return 1.0 - float(np.square(y_true - values).sum()) / total


_ONE_CLASS = "the rows hold only one class"
_ABSENT = "a class has no rows, or all of them"
_NO_POSITIVE = "no row is of the positive class"
_UNBOUNDED = "the target is not finite"

_ALL = (
    Formula("accuracy", "accuracy", True, CLASSIFICATION, "labels", cells=_accuracy,
            rows=lambda y, labels, _options: (y == labels).astype(float)),
    Formula("balanced_accuracy", "balanced accuracy", True, CLASSIFICATION, "labels",
            cells=_balanced_accuracy, undefined=_ONE_CLASS),
    Formula("precision", "precision", True, CLASSIFICATION, "labels", cells=_precision,
            undefined="no row was predicted positive"),
    Formula("recall", "recall", True, CLASSIFICATION, "labels", cells=_recall,
            undefined=_NO_POSITIVE),
    Formula("f1", "F1", True, CLASSIFICATION, "labels", cells=_f1,
            undefined="no row is of the positive class or was predicted so"),
    Formula("mcc", "Matthews correlation", True, CLASSIFICATION, "labels", (-1.0, 1.0),
            cells=_mcc, undefined=_ONE_CLASS),
    Formula("roc_auc", "ROC AUC", True, CLASSIFICATION, "probabilities", whole=_roc_auc,
            undefined=_ABSENT),
    Formula("pr_auc", "average precision", True, CLASSIFICATION, "probabilities", whole=_pr_auc,
            undefined=_NO_POSITIVE),
    Formula("log_loss", "log loss", False, CLASSIFICATION, "probabilities", LOSS, "nats",
            rows=_log_loss),
    Formula("brier", "Brier score", False, CLASSIFICATION, "probabilities", (0.0, 2.0),
            rows=_brier),
    Formula("mae", "mean absolute error", False, REGRESSION, "values", LOSS, "target",
            undefined=_UNBOUNDED, rows=_absolute_errors),
    Formula("rmse", "root mean squared error", False, REGRESSION, "values", LOSS, "target",
            undefined=_UNBOUNDED, whole=_rmse),
    Formula("r2", "R²", True, REGRESSION, "values", (float("-inf"), 1.0),
            undefined="the target is constant or not finite", whole=_r2),
    Formula("quantile_loss", "quantile loss", False, REGRESSION, "values", LOSS, "target",
            undefined=_UNBOUNDED, rows=_pinball_losses),
)  # fmt: skip

FORMULAE: dict[str, Formula] = {formula.name: formula for formula in _ALL}
