"""Groups of the columns that the user named, beside one another, window by window.

The measures and limits are those of ``assess``; every group is compared with the one that fares
best in this window, with intervals as wide as all pairs of groups need at once (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from afterfit.core.metric import Metric
from afterfit.monitor.score_table import LossSum, ScoreTable
from afterfit.monitor.signals.quality import QualityConfig, Window, unjudged
from afterfit.records.signals import PointState, SignalPoint
from afterfit.stats.groups import (
    ERROR_SHARE,
    LEAST_ROWS,
    MEASURES,
    Measure,
    Sum,
    Sums,
    group_metrics,
)

__all__ = ["fairness_points", "group_sums"]

_STATES: Mapping[str, PointState] = {
    "beyond": "alarm",
    "perhaps": "cannot_tell",
    "unsure": "ok",
    "within": "ok",
}


def group_sums(table: ScoreTable) -> Sums:
    """Return what measures of a group come from; selection is of all answers, labelled or not."""
    if table.task == "regression":
        return {"mae": _sum(table.absolute), "mean_error": _sum(table.error)}
    cells = table.confusion()
    found = {"accuracy": _share(int(np.trace(cells)), int(cells.sum()))}
    if table.positive is not None:
        positive = table.positive
        actual = cells.sum(axis=1)
        wrongly = int(cells[:, positive].sum() - cells[positive, positive])
        found["selection_rate"] = _share(table.decided[positive], sum(table.decided))
        found["true_positive_rate"] = _share(int(cells[positive, positive]), int(actual[positive]))
        found["false_positive_rate"] = _share(wrongly, int(actual.sum() - actual[positive]))
    return found


def fairness_points(
    groups: Mapping[str, ScoreTable], column: str, window: Window, config: QualityConfig
) -> list[SignalPoint]:
    """Return one point for each measure of a column: the group farthest behind the best one.

    ``groups`` maps each group to its table. Points are ``insufficient`` where fewer than two groups
    have 30 rows for the measure, and ``cannot_tell`` where a value is beyond its limit and its
    interval not: ``needed`` says how many answers of the window would decide.
    """
    sums = {name: group_sums(table) for name, table in groups.items()}
    rows = sum(table.answered for table in groups.values())
    return [
        _point(measure, sums, column, rows, window, config)
        for measure in _measures(list(groups.values()))
    ]


def _measures(tables: list[ScoreTable]) -> list[Measure]:
    if not tables:
        return []
    first = tables[0]
    if first.task != "regression":
        return [MEASURES["accuracy"]] if first.positive is None else list(MEASURES.values())
    n = sum(table.absolute.n for table in tables)
    limit = ERROR_SHARE * sum(table.absolute.total for table in tables) / n if n else math.nan
    gaps = ("mae_gap", "mae"), ("mean_error_gap", "mean_error")
    return [Measure(name, metric, limit, -1, rate=False, unit="target") for name, metric in gaps]


def _point(
    measure: Measure,
    sums: Mapping[str, Sums],
    column: str,
    rows: int,
    window: Window,
    config: QualityConfig,
) -> SignalPoint:
    enough = {name: s for name, s in sums.items() if measure.n(s) >= LEAST_ROWS}
    compared = _compared(measure, enough, config.level)
    if not compared:
        n = sum(measure.n(s) for s in sums.values())
        nothing = Metric(name=measure.name, value=None, n=n)
        message = f"fewer than two groups of {column} have {LEAST_ROWS} rows for it"
        second = sorted((measure.n(s) for s in sums.values()), reverse=True)[1:2]
        needed = math.ceil(rows * LEAST_ROWS / max(1, *second, 1))
        point = unjudged(
            "fairness", nothing, "insufficient", window, message=message, needed=needed
        )
        return msgspec.structs.replace(point, subject=f"{column}: {measure.name}")
    name, best, metric = compared
    outcome, factor = measure.judge(metric)
    evidence = {
        "column": column,
        "group": name,
        "best": best,
        "groups": {
            each: msgspec.to_builtins(group_metrics(s, [measure], config.level)[0])
            for each, s in sums.items()
        },
    }
    point = unjudged("fairness", metric, _STATES[outcome], window, evidence=evidence)
    ratio = " times" if measure.ratio else ""
    side = "at least" if measure.ratio else "at most"
    return msgspec.structs.replace(
        point,
        subject=f"{column}: {measure.name}",
        threshold=measure.limit,
        needed=0 if factor is None else math.ceil(factor * rows),
        message=(
            f"{measure.name} of {name} beside {best} is {metric.value:.3g}{ratio} "
            f"({metric.low:.3g} to {metric.high:.3g}); {side} {measure.limit:.3g} is allowed"
        ),
    )


def _compared(
    measure: Measure, groups: Mapping[str, Sums], level: float
) -> tuple[str, str, Metric] | None:
    """Return the group farthest beyond the limit, the best group, and the comparison."""
    if len(groups) < 2:
        return None
    pairs = len(groups) * (len(groups) - 1) // 2
    best = max(groups, key=lambda name: measure.good(groups[name]))
    found = []
    for name, sums in groups.items():
        metric = None
        if name != best:
            metric = measure.compare(sums, groups[best], 1 - (1 - level) / pairs)
        if metric is not None and metric.value is not None:
            found.append((metric.value * (-1 if measure.ratio else 1), name, metric))
    if not found:
        return None
    _, name, metric = max(found, key=lambda each: each[0])
    return name, best, metric


def _share(hits: int, n: int) -> Sum:
    return Sum(n, float(hits), float(hits))


def _sum(sums: LossSum) -> Sum:
    return Sum(sums.n, sums.total, sums.squares)
