"""The lift over trivial models on the same rows, in pairs."""

from __future__ import annotations

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.metrics import known, main_metric, needed
from afterfit.core.formulae import row_losses
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric
from afterfit.core.signature import Signature
from afterfit.stats.interval import Interval
from afterfit.stats.paired import delong_difference, mean_difference


def lift(
    signature: Signature,
    truth: np.ndarray,
    model: Predictions,
    baseline: Predictions,
    config: AssessConfig,
    *,
    name: str,
    constant: Metric | None = None,
) -> Metric:
    """Return how much better the model is than a baseline; above 0 is better.

    Binary tasks: difference of ROC AUC (DeLong, paired). Others: difference of accuracy, or mean
    absolute error saved, in pairs of rows. A constant answer has a ROC AUC of 0.5 and no variance,
    so ``constant`` hands the model's own interval over.
    """
    main = main_metric(signature)
    if main == "roc_auc" and constant is not None and constant.value is not None:
        value, bounds = constant.value - 0.5, _shifted(constant)
    elif main == "roc_auc":
        value, bounds = delong_difference(
            truth, model.main, baseline.main, positive=signature.positive_index, level=config.level
        )
    else:
        value, bounds = _mean(signature, truth, model, baseline, main, config)
    return Metric(
        name=name,
        value=known(value),
        low=known(bounds.low),
        high=known(bounds.high),
        level=config.level,
        n=len(truth),
        method=f"{main}: {bounds.method}",
        unit=signature.target if signature.task == "regression" else "",
        scope="held-out",
    )


def _shifted(metric: Metric) -> Interval:
    nan = float("nan")
    low = nan if metric.low is None else metric.low - 0.5
    high = nan if metric.high is None else metric.high - 0.5
    return Interval(low, high, metric.method)


def _mean(
    signature: Signature,
    truth: np.ndarray,
    model: Predictions,
    baseline: Predictions,
    main: str,
    config: AssessConfig,
) -> tuple[float, Interval]:
    ours = row_losses(main, truth, needed(signature, model, main))
    theirs = row_losses(main, truth, needed(signature, baseline, main))
    first, second = (theirs, ours) if main == "mae" else (ours, theirs)
    return mean_difference(first, second, config.level)
