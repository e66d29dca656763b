"""Performance on the rows whose labels came, with what is known of those that did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from afterfit.core.dataset import encode_labels
from afterfit.core.formulae import find_formula
from afterfit.core.metric import Metric, in_percent
from afterfit.core.signature import Signature
from afterfit.monitor.findings import LabelsImmature, LabelsSelective
from afterfit.monitor.labels import LabelJoin, Series
from afterfit.monitor.maturity import MaturityCurve, Selection, label_selection
from afterfit.monitor.score_metrics import TABLE_METRICS, table_metric
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.quality import QualityConfig, Window, error_of, judged, unjudged
from afterfit.records.signals import PointState, SignalPoint
from afterfit.stats.interval import wilson

__all__ = [
    "coverage_points",
    "group_tables",
    "is_selected",
    "performance_points",
    "selection_words",
    "table_of",
    "truth_of",
]

NOTHING_USUAL = "what is usual is not known yet: it takes earlier windows with enough labels"
LEAST_SELECTION = 0.1
"""A labelled share that differs by less between scores is no selection worth a word."""


def truth_of(truth: npt.NDArray[np.object_], signature: Signature) -> npt.NDArray[Any]:
    """Return labels (None: unknown) as `ScoreTable.update` takes them: codes, or values."""
    known = np.array([value is not None for value in truth], bool)
    if signature.task == "regression":
        numbers = [_number(value) for value in truth.tolist()]
        return np.where(known, np.array(numbers, np.float64), np.nan)
    codes = encode_labels(truth, signature.classes)
    return np.where(known, np.where(codes < 0, -2, codes), -1)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("inf")


def table_of(
    join: LabelJoin, series: Series, signature: Signature, start: int, end: int
) -> ScoreTable:
    """Return the score table of a window (µs, end excluded) with the labels as they are now."""
    table = ScoreTable.of(signature)
    for part in join.read(series, start, end):
        table.update(part.scores, part.codes, truth_of(part.truth, signature), part.probabilities)
    return table


def group_tables(
    join: LabelJoin, series: Series, signature: Signature, start: int, end: int
) -> dict[str, dict[str, ScoreTable]]:
    """Return a table for each group of each column that the join keeps, by column and group."""
    found: dict[str, dict[str, ScoreTable]] = {}
    for part in join.read(series, start, end):
        truth = truth_of(part.truth, signature)
        for column, values in part.groups.items():
            tables = found.setdefault(column, {})
            for name in sorted({*values.tolist()} - {""}):
                rows = values == name
                shown = None if part.probabilities is None else part.probabilities[rows]
                table = tables.setdefault(name, ScoreTable.of(signature))
                table.update(part.scores[rows], part.codes[rows], truth[rows], shown)
    return found


def performance_points(
    reference: ScoreTable | None,
    table: ScoreTable,
    window: Window,
    config: QualityConfig,
    *,
    maturity: float | None = None,
) -> list[SignalPoint]:
    """Return every metric of a window beside the reference's, from the rows with a label.

    ``maturity`` is the share of the window's labels-to-come that have come, from
    `MaturityCurve.of_window`. With too few labels, or too early, a point is ``insufficient``.
    Without a reference it is compared with nothing, and says what it is: gates judge it.
    """
    selection = label_selection(table)
    evidence = _evidence(table, maturity, selection)
    found = []
    for name in config.metrics or TABLE_METRICS[table.task]:
        metric = table_metric(table, name, level=config.level, seed=config.seed)
        if metric is None:
            continue
        few = table.labelled < config.min_labels
        if few or (maturity is not None and maturity < config.least_maturity):
            found.append(_too_early(metric, table, window, config, maturity, evidence))
            continue
        if reference is None:
            found.append(unjudged("performance", metric, "cannot_tell", window,
                                  message=NOTHING_USUAL, evidence=evidence))  # fmt: skip
            continue
        usual = table_metric(reference, name, level=config.level, seed=config.seed)
        if usual is None:
            continue
        error = _together(error_of(metric), error_of(usual))
        point = judged("performance", metric, usual, error, window, config, evidence=evidence)
        found.append(_said(point, table, maturity, selection, config))
    return found


def _together(mine: float, theirs: float) -> float:
    return float((mine**2 + theirs**2) ** 0.5)


def _too_early(
    metric: Metric,
    table: ScoreTable,
    window: Window,
    config: QualityConfig,
    maturity: float | None,
    evidence: dict[str, Any],
) -> SignalPoint:
    n = table.labelled
    needed, message = config.min_labels, f"{n} labels, {config.min_labels} are needed"
    if n >= config.min_labels and maturity is not None:
        evidence = evidence | {"finding": LabelsImmature.code}
        needed = round(n * config.least_maturity / max(maturity, 1e-9))
        message = (
            f"only {in_percent(maturity)} of the labels can have come by now: those that come "
            "first may not be like the rest"
        )
    return unjudged(
        "performance", metric, "insufficient", window, needed=needed, message=message,
        evidence=evidence,
    )  # fmt: skip


def _said(
    point: SignalPoint,
    table: ScoreTable,
    maturity: float | None,
    selection: Selection | None,
    config: QualityConfig,
) -> SignalPoint:
    if point.value is None or point.usual is None:
        return point
    title = find_formula(point.subject).title
    alarm = point.state == "alarm"
    word = "worse than in the reference" if alarm else "not surely worse than usual"
    text = f"{title} is {word}: {point.value:.4g}, usual {point.usual:.4g}"
    text += f"; {in_percent(table.labelled / table.answered)} of {table.answered:,} are labelled"
    if maturity is not None and maturity < 1 - 1e-9:
        text += f", {in_percent(maturity)} of those to come"
    if selection is not None and is_selected(selection, config):
        text += f"; {selection_words(selection)}, so this is of the labelled rows alone"
    return msgspec.structs.replace(point, message=text)


def is_selected(selection: Selection, config: QualityConfig) -> bool:
    """Return whether labels surely depend on the score, by as much as is worth a word."""
    far = selection.most - selection.least >= LEAST_SELECTION
    return far and selection.p_value <= config.chance


def selection_words(selection: Selection) -> str:
    """Return in words that labels depend on the score."""
    return (
        f"labels depend on the score ({in_percent(selection.least)} to "
        f"{in_percent(selection.most)} labelled)"
    )


def _evidence(
    table: ScoreTable, maturity: float | None, selection: Selection | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "answered": table.answered,
        "labelled": table.labelled,
        "unclear": table.unclear,
    }
    if maturity is not None:
        found["maturity"] = maturity
    if selection is not None:
        found["labelled_share_by_score"] = list(selection.shares)
    return found


def coverage_points(
    table: ScoreTable,
    window: Window,
    config: QualityConfig,
    tallies: Mapping[str, int],
    *,
    curve: MaturityCurve | None = None,
) -> list[SignalPoint]:
    """Return the labelled share of a window, and whether labels depend on the score.

    ``tallies`` are those of the join, which become evidence, as does ``curve``. Labels that depend
    on the score (credit that was refused is never paid back) are an alarm: quality on labelled rows
    is then not that of all.
    """
    n, labelled = table.answered, min(table.labelled, table.answered)
    nothing = Metric(name="labelled_share", value=None, n=n)
    if not n:
        return [unjudged("labels", nothing, "insufficient", window, needed=config.min_rows)]
    bounds = wilson(labelled, n, config.level)
    share = msgspec.structs.replace(
        nothing, value=labelled / n, low=bounds.low, high=bounds.high, level=config.level
    )
    evidence: dict[str, Any] = dict(tallies)
    if curve is not None:
        evidence["maturity"] = [
            {"age_us": p.age, "share": p.share.value, "low": p.share.low, "high": p.share.high,
             "n": p.share.n}
            for p in curve.points
        ]  # fmt: skip
    points = [unjudged("labels", share, "ok", window, evidence=evidence)]
    selection = label_selection(table)
    if selection is None:
        return points
    span = Metric(name="labelled_by_score", value=selection.most - selection.least, n=selection.n)
    bad = is_selected(selection, config)
    message = (
        f"{selection_words(selection)}: quality on labelled rows is not that of all rows; "
        "have a few rows of every score labelled at random"
        if bad
        else "labels do not depend on the score as far as can be seen"
    )
    evidence = {
        "shares": list(selection.shares),
        "sizes": list(selection.sizes),
        "p_value": selection.p_value,
    }
    if bad:
        evidence["finding"] = LabelsSelective.code
    state: PointState = "alarm" if bad else "ok"
    point = unjudged("labels", span, state, window, message=message, evidence=evidence)
    return [*points, msgspec.structs.replace(point, least=LEAST_SELECTION)]
