"""The record of ``assess``: how good the model is, and how sure that is."""

from __future__ import annotations

import msgspec

from afterfit.core.metric import Metric
from afterfit.core.signature import Label
from afterfit.records.assess_calibration import Calibration, Costs, ThresholdCurve
from afterfit.records.assess_data import Alone, Repeats, Shift, Suspects
from afterfit.records.assess_explain import Dependence, Importance
from afterfit.records.assess_generalization import Comparison, Learning
from afterfit.records.assess_slices import Fairness, SliceSearch
from afterfit.records.record import Record


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by true class (first index) and decided class (second), in the order of ``labels``."""

    labels: tuple[Label, ...]
    counts: tuple[tuple[int, ...], ...]


class ClassQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One class: its ``n`` rows, how many were ``decided`` to be of it, and shares of both.

    ``recall`` is of its own rows, ``precision`` of those decided; both have Wilson's interval.
    """

    label: Label
    n: int
    decided: int
    recall: Metric
    precision: Metric


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """A line to draw: ``x`` and ``y`` of equal length (≤ 200 points) with their titles."""

    name: str
    x_title: str
    y_title: str
    x: tuple[float, ...]
    y: tuple[float, ...]


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """One fold of a cross-validation: its number, rows, metrics, and which repetition it is of."""

    fold: int
    n_train: int
    n_test: int
    metrics: tuple[Metric, ...]
    repeat: int = 0


class AssessRecord(Record, frozen=True, kw_only=True, tag="assess"):
    """Metrics of scope ``held-out`` first, then ``baseline:…`` and ``cv``; what they came from."""

    confusion: Confusion | None = None
    curves: tuple[Curve, ...] = ()
    folds: tuple[Fold, ...] = ()
    baseline: str = ""
    n_labelled: int = 0
    classes: tuple[ClassQuality, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    learning: Learning | None = None
    calibration: Calibration | None = None
    thresholds: ThresholdCurve | None = None
    costs: Costs | None = None
    importances: tuple[Importance, ...] = ()
    dependences: tuple[Dependence, ...] = ()
    slices: SliceSearch | None = None
    fairness: tuple[Fairness, ...] = ()
    repeats_training: Repeats | None = None
    repeats_held_out: Repeats | None = None
    alone: tuple[Alone, ...] = ()
    shifts: tuple[Shift, ...] = ()
    suspects: Suspects | None = None
