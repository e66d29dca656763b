"""How much each column matters: its values dealt out anew among the rows.

Breiman (2001), Mach. Learn. 45:5; Fisher, Rudin and Dominici (2019), JMLR 20:177.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from afterfit.assess.evidence import Evidence
from afterfit.assess.metrics import main_metric, needed
from afterfit.core.effort import Effort
from afterfit.core.formulae import find_formula, row_losses
from afterfit.core.frame import Frame, Predictions
from afterfit.core.metric import known
from afterfit.records.assess_explain import Importance
from afterfit.stats.delong import auc_contributions
from afterfit.stats.interval import Interval, mean_interval, normal_quantile, undefined

__all__ = ["NOTHING_MOVED", "importances"]

NOTHING_MOVED = "no row is answered worse or better"

ROWS: dict[Effort, int] = {"quick": 500, "standard": 2_000, "full": 10_000}
REPEATS: dict[Effort, int] = {"quick": 3, "standard": 5, "full": 10}


def importances(evidence: Evidence, deadline: float) -> list[Importance]:
    """Return the columns that were reached before ``deadline``, the greatest importance first.

    A column's rows are dealt out ``REPEATS`` times, and each row counts with its mean, so that the
    interval is one over rows; that of the ROC AUC holds the luck of the dealing too.
    """
    config, signature = evidence.config, evidence.signature
    rng = np.random.default_rng(config.seed)
    rows = _sample(evidence, ROWS[config.effort], rng)
    frame = {name: evidence.data.frame[name][rows] for name in signature.names}
    gain = _Gain(evidence, rows)
    evidence.progress.step("importance", len(signature.names))
    found: list[Importance] = []
    for name in signature.names:
        if found and time.monotonic() > deadline:
            break
        orders = [rng.permutation(len(rows)) for _ in range(REPEATS[config.effort])]
        found.append(gain.of(name, [frame | {name: frame[name][order]} for order in orders]))
        evidence.progress.advance()
    return sorted(found, key=lambda each: -each.value)


def _sample(evidence: Evidence, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most ``most`` row numbers, in order.

    The ROC AUC does not depend on how common the classes are, so there each has as many as it can.
    """
    truth = evidence.truth
    if len(truth) <= most:
        return np.arange(len(truth))
    if main_metric(evidence.signature) != "roc_auc":
        return np.sort(rng.permutation(len(truth))[:most])
    classes = [rng.permutation(np.flatnonzero(truth == code)) for code in (0, 1)]
    few, many = sorted(classes, key=len)
    few = few[: most // 2]
    return np.sort(np.concatenate([few, many[: most - len(few)]]))


class _Gain:
    """What the rows lose when a column is dealt out anew, in the main metric."""

    def __init__(self, evidence: Evidence, rows: np.ndarray) -> None:
        self._evidence = evidence
        self._truth = evidence.truth[rows]
        self._metric = main_metric(evidence.signature)
        base = evidence.predictions.take(rows)
        self._score, self._rows = self._scored(base)

    def of(self, column: str, frames: Sequence[Frame]) -> Importance:
        """Return the importance of one column from its dealings."""
        level = self._evidence.config.level
        scored = [self._scored(self._evidence.model.predict(frame)) for frame in frames]
        sign = 1.0 if find_formula(self._metric).bigger_is_better else -1.0
        losses = np.array([sign * (self._score - score) for score, _ in scored])
        gaps = np.mean([sign * (self._rows - rows) for _, rows in scored], axis=0)
        value = float(losses.mean())
        luck = float(losses.var(ddof=1)) / len(losses) if len(losses) > 1 else 0.0
        bounds = self._bounds(value, gaps, luck, level)
        return Importance(
            column=column,
            metric=self._metric,
            value=value,
            low=known(bounds.low),
            high=known(bounds.high),
            level=level,
            n=len(self._truth),
            repeats=len(frames),
            method=bounds.method,
        )

    def _bounds(self, value: float, gaps: np.ndarray, luck: float, level: float) -> Interval:
        if not gaps.any():
            # An interval of no width would say that no other row could be answered otherwise.
            return undefined(NOTHING_MOVED)
        if self._metric != "roc_auc":
            return mean_interval(gaps, level)
        error = normal_quantile(level) * math.sqrt(float(np.square(gaps).sum()) + luck)
        if math.isnan(error):
            return undefined("a class has fewer than two rows")
        return Interval(max(-1.0, value - error), min(1.0, value + error), "delong")

    def _scored(self, predictions: Predictions) -> tuple[float, np.ndarray]:
        """Return the metric, and what each row has to do with it."""
        signature = self._evidence.signature
        if self._metric == "roc_auc":
            found = auc_contributions(
                self._truth, predictions.main, positive=signature.positive_index
            )
            return found.auc, found.rows
        rows = row_losses(self._metric, self._truth, needed(signature, predictions, self._metric))
        return float(rows.mean()), rows
