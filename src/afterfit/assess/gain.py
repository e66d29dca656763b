"""How much better the model is than another on the same rows, with a verdict by margin."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from afterfit.assess.config import AssessConfig
from afterfit.assess.evidence import Rows
from afterfit.core.formulae import compute, find_formula
from afterfit.core.frame import Predictions
from afterfit.core.metric import Metric, known
from afterfit.core.quality import needed
from afterfit.core.signature import Signature
from afterfit.records.assess_generalization import Comparison, Judgement
from afterfit.stats.dependent import dependent_difference
from afterfit.stats.interval import Interval
from afterfit.stats.noninferior import Drop, metric_drop, needed_rows, relative

__all__ = ["Other", "judgement", "paired_comparison", "rows_needed"]

ROW_BUDGET = 200_000_000
MOST_REPLICATES, LEAST_REPLICATES = 2000, 200
SAME = "every answer is the same"


class Other(NamedTuple):
    """Another model: its name for a person, its signature, and its answers to the same rows."""

    name: str
    signature: Signature
    answers: Predictions


def paired_comparison(rows: Rows, other: Other, name: str, config: AssessConfig) -> Comparison:
    """Return the comparison by the metric ``name``.

    Tango's interval for accuracy, DeLong's for ROC AUC, a paired bootstrap for others; where rows
    hang together, whole units are drawn.
    """
    truth = rows.truth
    ours = needed(rows.signature, rows.predictions, name)
    theirs = needed(other.signature, other.answers, name)
    positive = rows.signature.positive_index
    values = [compute(name, truth, each, positive=positive).value for each in (ours, theirs)]
    if rows.units is None:
        drop = _independent(name, truth, theirs, ours, positive, config)
    else:
        drop = _dependent(name, rows, theirs, ours, config)
    verdict, needed_n = _verdict(drop, config, len(truth))
    share = relative(name)
    gain = Metric(
        name=f"{name}_gain",
        value=known(0.0 - drop.value),
        low=known(0.0 - drop.high),
        high=known(0.0 - drop.low),
        level=config.level,
        n=len(truth),
        method=drop.method,
        unit="" if share else find_formula(name).unit,
        scope="held-out",
    )
    return Comparison(
        against=other.name,
        metric=name,
        ours=known(values[0]),
        theirs=known(values[1]),
        gain=gain,
        margin=config.margin,
        verdict=verdict,
        share=share,
        needed_n=needed_n,
    )


def _independent(
    name: str,
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    positive: int | None,
    config: AssessConfig,
) -> Drop:
    replicates = min(MOST_REPLICATES, max(LEAST_REPLICATES, ROW_BUDGET // max(1, len(truth))))
    return metric_drop(
        name,
        truth,
        first,
        second,
        alpha=(1 - config.level) / 2,
        positive=positive,
        seed=config.seed,
        replicates=replicates,
    )


def _dependent(
    name: str, rows: Rows, first: np.ndarray, second: np.ndarray, config: AssessConfig
) -> Drop:
    units, positive = rows.units, rows.signature.positive_index
    if units is None:
        return Drop(math.nan, math.nan, math.nan, "undefined: no units", 0)
    gap, found = dependent_difference(
        name, rows.truth, first, second, units, positive=positive, level=config.level
    )
    scale = 1.0 if find_formula(name).bigger_is_better else -1.0
    if relative(name):
        scale /= compute(name, rows.truth, first, positive=positive).value or math.nan
    differ = np.asarray(first != second)
    changed = int(differ.sum() if differ.ndim == 1 else differ.any(axis=1).sum())
    low, high = sorted((scale * found.low, scale * found.high))
    return Drop(scale * gap, low, high, f"paired {found.method}", changed)


def judgement(bounds: Interval, margin: float) -> Judgement:
    """Return what an interval of a gain says: never that two models are equal."""
    if bounds.low > 0:
        return "superior"
    if bounds.low > -margin:
        return "non-inferior"
    return "inferior" if bounds.high < 0 else "cannot tell"


def _verdict(drop: Drop, config: AssessConfig, n: int) -> tuple[Judgement, int]:
    """Return the verdict, and where it cannot be told about how many rows would tell, or 0."""
    alpha = (1 - config.level) / 2
    enough = math.ceil(math.log(alpha) / math.log1p(-config.margin))
    if drop.changed == 0 and not math.isnan(drop.value):
        # Rows that would differ are rarer than the margin, or that cannot be told of so few.
        return ("non-inferior", 0) if n >= enough else ("cannot tell", enough)
    if math.isnan(drop.value) or (math.isnan(drop.low) and math.isnan(drop.high)):
        return "cannot tell", 0 if math.isnan(drop.value) else enough
    found = judgement(Interval(-drop.high, -drop.low, ""), config.margin)
    return found, rows_needed(drop, config, n) if found == "cannot tell" else 0


def rows_needed(drop: Drop, config: AssessConfig, n: int) -> int:
    """Return about how many rows would show no loss beyond the margin, were it as seen; 0: none."""
    return needed_rows(drop, config.margin, n, (1 - config.level) / 2) or 0
