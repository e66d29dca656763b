"""Classes in other proportions than usual, told by counting the labels that came.

Nothing else sees it early where a class is rare: on the demo's payments one and a half times the
odds of fraud move less than 1 % of the scores, and hardly any metric of quality.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from afterfit.core.metric import Metric, in_percent
from afterfit.core.signature import Label
from afterfit.monitor.maturity import label_selection
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.performance import is_selected, selection_words
from afterfit.monitor.signals.quality import QualityConfig, Window, unjudged
from afterfit.records.signals import PointState, SignalPoint
from afterfit.stats.interval import wilson
from afterfit.stats.surprise import share, surprising_count

__all__ = ["SIGNAL", "label_shift_points"]

SIGNAL = "label_shift"
MATURE = 0.9
"""Labels of one class may come later than those of another, so most of them must have come."""


def label_shift_points(
    reference: ScoreTable | None,
    table: ScoreTable,
    classes: Sequence[Label],
    window: Window,
    config: QualityConfig,
    *,
    positive: int | None = None,
    maturity: float | None = None,
) -> Iterator[SignalPoint]:
    """Yield the share of each class among a window's labels beside the reference's.

    Of two classes it is that of the ``positive`` one (its code), or the last. Classes share
    ``config.chance``. An alarm is beyond what chance explains of both samples, rows counted as
    independent, and differs by ``config.least_share`` of what is usual. ``insufficient`` with too
    few labels or too early (see `MATURE`), ``cannot_tell`` where labels depend on the score.
    Nothing of a regression, nor without a reference.
    """
    if reference is None or table.task == "regression" or not reference.labelled:
        return
    before, after = _by_class(reference), _by_class(table)
    codes = list(range(len(classes)))
    if len(classes) == 2:
        codes = [1 if positive is None else positive]
    limit = -math.log(config.chance / len(codes))
    state, needed, why = _state(table, config, maturity)
    for code in codes:
        metric = _share_of(str(classes[code]), int(after[code]), table.labelled, config.level)
        if state != "ok":
            yield unjudged(SIGNAL, metric, state, window, needed=needed, message=why)
        else:
            pair = (int(before[code]), reference.labelled), (int(after[code]), table.labelled)
            yield _judged(metric, *pair, limit, window, config)


def _judged(
    metric: Metric,
    before: tuple[int, int],
    after: tuple[int, int],
    limit: float,
    window: Window,
    config: QualityConfig,
) -> SignalPoint:
    (r, n_ref), (k, n) = before, after
    usual, value = r / n_ref, k / n
    more = value >= usual
    beyond = int(surprising_count(r, n_ref, n, limit, more=more))
    least = config.least_share * usual
    far = float(share(r, n_ref, k, n)) > limit and abs(value - usual) >= least
    told = (
        f"{in_percent(value, 2)} of {n:,} labels are {metric.name!r}, usually "
        f"{in_percent(usual, 2)}: scores are calibrated for other proportions"
    )
    return msgspec.structs.replace(
        unjudged(SIGNAL, metric, "alarm" if far else "ok", window),
        usual=usual,
        threshold=(beyond - 1 if more else beyond + 1) / n,
        least=least,
        message=told if far else "",
    )


def _state(
    table: ScoreTable, config: QualityConfig, maturity: float | None
) -> tuple[PointState, int, str]:
    n = table.labelled
    if n < config.min_labels:
        return "insufficient", config.min_labels, f"{n} labels, {config.min_labels} are needed"
    if maturity is not None and maturity < MATURE:
        why = f"only {in_percent(maturity)} of the labels can have come by now"
        return "insufficient", round(n * MATURE / max(maturity, 1e-9)), why
    selection = label_selection(table)
    if selection is not None and is_selected(selection, config):
        return "cannot_tell", 0, selection_words(selection)
    return "ok", 0, ""


def _share_of(name: str, k: int, n: int, level: float) -> Metric:
    if not n:
        return Metric(name=name, value=None, n=0)
    bounds = wilson(k, n, level)
    return Metric(name=name, value=k / n, low=bounds.low, high=bounds.high, level=level, n=n,
                  unit="share of labels", method="wilson")  # fmt: skip


def _by_class(table: ScoreTable) -> np.ndarray:
    """Return the number of labels of each class."""
    cells = np.array(table.cells, np.int64).reshape(table.classes, table.classes)
    return np.asarray(cells.sum(axis=1))
