"""Trivial models on the same rows, and the lift over them in pairs."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Rows
from afterfit.assess.metrics import measure
from afterfit.assess.splits import splits
from afterfit.core.dataset import Dataset
from afterfit.core.formulae import row_losses
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric, find
from afterfit.core.quality import encode_truth, labelled_rows, main_metric, needed
from afterfit.core.signature import Signature
from afterfit.errors import InputError, ModelError, in_record
from afterfit.models import baseline
from afterfit.stats.dependent import dependent_difference
from afterfit.stats.interval import Interval, undefined
from afterfit.stats.paired import delong_difference, mean_difference

LEAST_ROWS = 4


def beside(
    rows: Rows, train: Dataset | None, held_out: tuple[Metric, ...], config: AssessConfig
) -> tuple[list[Metric], str]:
    """Return the lifts, then the baselines' own metrics, and the constant baseline's name.

    Without training rows the constant is that of the held-out rows themselves, and the linear
    model is fitted on one half of them to answer the other. Where no linear model can be
    fitted its lift has no value, and says why.
    """
    signature, truth = rows.signature, rows.truth
    regression = signature.task == "regression"
    name, linear_name = ("mean", "ridge") if regression else ("majority", "logistic")
    learned = _training(signature, train)
    trivial = baseline.constant(signature, truth if learned is None else learned[1], len(truth))
    # The constant answers the class with most rows, whatever the threshold of the model.
    plain = msgspec.structs.replace(signature, threshold=None)
    others = measure(plain, truth, trivial, config, scope=f"baseline:{name}", units=rows.units)
    main = find(held_out, main_metric(signature))
    over_constant = lift(rows, trivial, plain, config, name="baseline_lift", constant=main)
    try:
        linear = _linear(rows, learned, config.seed)
    except ModelError as error:
        over_linear = _no_lift(rows, config, in_record(error))
    else:
        over_linear = lift(rows, linear, signature, config, name="linear_lift")
        others += measure(
            signature, truth, linear, config, scope=f"baseline:{linear_name}", units=rows.units
        )
    return [over_constant, over_linear, *others], name


def _linear(
    rows: Rows, learned: tuple[dict[str, np.ndarray], np.ndarray] | None, seed: int
) -> Predictions:
    if learned is None:
        return _cross_fitted(rows, seed)
    return baseline.linear(rows.signature, *learned, rows.data.frame, seed=seed)


def _training(
    signature: Signature, train: Dataset | None
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    if train is None or not train.labelled().any():
        return None
    absent = [name for name in signature.names if name not in train.frame]
    if absent:
        raise InputError(
            f"the training table lacks columns: {', '.join(absent[:5])}",
            where=train.source,
            fix="give --train a table with the columns of --data",
        )
    labelled = labelled_rows(train)
    truth = encode_truth(signature, labelled)
    enough = signature.task == "regression" or len(np.unique(truth)) > 1
    return (dict(labelled.frame), truth) if enough else None


def _cross_fitted(rows: Rows, seed: int) -> Predictions:
    """Return each half's answers by a linear model of the other; groups stay together."""
    data, truth, signature = rows.data, rows.truth, rows.signature
    stratify = signature.task != "regression"
    halves = list(splits(truth, 2, stratify=stratify, group=data.group, seed=seed))
    if len(halves) < 2 or len(data) < LEAST_ROWS:
        raise ModelError(
            "no linear model was fitted",
            why="there are too few rows to halve",
            fix="give --train rows to compare with a linear model",
        )
    answers: np.ndarray | None = None
    for half in halves:
        part = baseline.linear(
            signature,
            data.take(half.train).frame,
            truth[half.train],
            data.take(half.test).frame,
            seed=seed,
        ).main
        if answers is None:
            answers = np.empty((len(data), *part.shape[1:]))
        answers[half.test] = part
    if signature.task == "regression":
        return Predictions(values=answers)
    return Predictions(probabilities=answers)


def lift(
    rows: Rows,
    other: Predictions,
    other_signature: Signature,
    config: AssessConfig,
    *,
    name: str,
    constant: Metric | None = None,
) -> Metric:
    """Return how much better the model is than another on the same rows; above 0 is better.

    Binary tasks: difference of ROC AUC (DeLong, paired). Others: difference of accuracy, or mean
    absolute error saved, in pairs of rows; where rows hang together, whole units are drawn. A
    constant answer has a ROC AUC of 0.5 and no variance,
    so ``constant`` hands the model's own interval over. Pairs that are all alike bound nothing.
    """
    signature, truth = rows.signature, rows.truth
    main = main_metric(signature)
    if not np.isfinite(rows.predictions.main).all():
        value, bounds = math.nan, undefined("some predictions are not finite")
    elif main == "roc_auc" and constant is not None and constant.value is not None:
        value, bounds = constant.value - 0.5, _shifted(constant)
    elif rows.units is not None:
        value, bounds = _of_units(rows, other, other_signature, main, config.level)
    elif main == "roc_auc":
        value, bounds = delong_difference(
            truth,
            rows.predictions.main,
            other.main,
            positive=signature.positive_index,
            level=config.level,
        )
    else:
        ours = row_losses(main, truth, needed(signature, rows.predictions, main))
        theirs = row_losses(main, truth, needed(other_signature, other, main))
        first, second = (theirs, ours) if main == "mae" else (ours, theirs)
        value, bounds = mean_difference(first, second, config.level)
    return _metric(rows, config, name, value, _with_width(bounds), main)


def _of_units(
    rows: Rows, other: Predictions, other_signature: Signature, main: str, level: float
) -> tuple[float, Interval]:
    """Return the lift over another model where rows hang together."""
    if rows.units is None:
        return math.nan, undefined("no units")
    value, bounds = dependent_difference(
        main,
        rows.truth,
        needed(rows.signature, rows.predictions, main),
        needed(other_signature, other, main),
        rows.units,
        positive=rows.signature.positive_index,
        level=level,
    )
    if main != "mae":
        return value, bounds
    return -value, Interval(-bounds.high, -bounds.low, bounds.method)


def _metric(
    rows: Rows, config: AssessConfig, name: str, value: float, bounds: Interval, main: str
) -> Metric:
    told = bounds.method.startswith("undefined")
    return Metric.of(
        name,
        value,
        bounds,
        level=config.level,
        n=len(rows.truth),
        method=bounds.method if told else f"{main}: {bounds.method}",
        unit=rows.signature.target if main == "mae" else "",
        scope="held-out",
    )


def _no_lift(rows: Rows, config: AssessConfig, why: str) -> Metric:
    main = main_metric(rows.signature)
    return _metric(rows, config, "linear_lift", math.nan, undefined(why), main)


def _shifted(metric: Metric) -> Interval:
    if metric.low is None or metric.high is None:
        return undefined(metric.method.removeprefix("undefined: "))
    return Interval(metric.low - 0.5, metric.high - 0.5, metric.method)


def _with_width(bounds: Interval) -> Interval:
    if bounds.low == bounds.high:
        return undefined("the differences do not vary")
    return bounds
