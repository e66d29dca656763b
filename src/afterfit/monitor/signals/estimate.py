"""Performance without labels: an estimate with its bounds, or why there is none.

None of these can see that the same rows came to mean something else (pure concept drift): scores
and inputs stay as they were. Only labels show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from afterfit.core.formulae import find_formula
from afterfit.core.metric import Metric, in_percent
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.monitor.density import MOST_ROWS, Ratios, Rows, density_ratios
from afterfit.monitor.findings import NoEstimate
from afterfit.monitor.score_metrics import TABLE_METRICS, table_metric
from afterfit.monitor.score_table import ScoreTable
from afterfit.monitor.signals.losses import ErrorModel, fit_errors
from afterfit.monitor.signals.quality import QualityConfig, Window, judged, least_effect, unjudged
from afterfit.monitor.signals.shifted import Correction, corrections
from afterfit.records.signals import SignalPoint
from afterfit.stats.expected import (
    Shares,
    bounds_around,
    expected_metric,
    fit_shares,
    outcomes,
    redrawn_shares,
    spread_outcomes,
)
from afterfit.stats.interval import Interval

__all__ = ["BLIND", "Estimator", "estimate_points", "fit_estimator"]

BLIND = "an estimate cannot see that the same rows came to mean something else"
LEAST_REFERENCE = 500
FAR = 4.0
"""By how many standard errors an estimate may miss the other half's metric."""


@dataclass(frozen=True)
class Estimator:
    """What the reference's labelled rows say of scores; `fit_estimator` makes one.

    ``usual`` are the reference's own metrics, ``unproven`` says by metric why no estimate of it
    is made: fitted to one half of the reference, in time order, it missed the other half's.
    """

    signature: Signature
    config: QualityConfig
    table: ScoreTable
    usual: dict[str, Metric]
    unproven: dict[str, str]
    rows: Rows
    shares: Shares | None = None
    drawn: Shares | None = None
    errors: dict[str, ErrorModel] | None = None


def fit_estimator(signature: Signature, reference: Rows, config: QualityConfig) -> Estimator:
    """Return what estimates stand on, from labelled rows in time order (`Rows.truth` is set).

    All rows are counted; at most 5,000 of them, drawn with the seed, stand for the inputs.
    """
    halves = [_table(signature, reference, part) for part in _halves(len(reference))]
    table = halves[0].blank()
    for half in halves:
        table.merge(half)
    names = config.metrics or TABLE_METRICS[signature.task]
    metrics = (table_metric(table, name, level=config.level, scope="reference") for name in names)
    usual = {m.name: m for m in metrics if m is not None and m.value is not None}
    rows = reference.drawn(MOST_ROWS, config.seed)
    given: dict[str, Any] = {"signature": signature, "config": config, "table": table}
    if table.labelled < LEAST_REFERENCE:
        few = f"the reference has {table.labelled} labelled rows, {LEAST_REFERENCE} are needed"
        return Estimator(**given, usual=usual, unproven=dict.fromkeys(usual, few), rows=rows)
    if signature.task == "regression":
        errors = fit_errors(signature, rows, tuple(usual), config)
        unproven = {name: model.unproven for name, model in errors.items() if model.unproven}
        return Estimator(**given, usual=usual, unproven=unproven, rows=rows, errors=errors)
    scored = table.by_bin("hits").sum() + table.by_bin("misses").sum() > 0
    known = {n: m for n, m in usual.items() if scored and _can(signature, n)}
    counts = (*_counts(table), table.positive)
    return Estimator(
        **given,
        usual=known,
        unproven=_backtest(halves, tuple(known), config),
        rows=rows,
        shares=fit_shares(*counts) if known else None,
        drawn=redrawn_shares(*counts, draws=config.draws, seed=config.seed) if known else None,
    )


def estimate_points(
    estimator: Estimator, table: ScoreTable, window: Window, rows: Rows | None = None
) -> list[SignalPoint]:
    """Return the estimate of every metric in a window, from its answers without labels.

    ``table`` counts the window's answers; ``rows`` are a sample of them with inputs. Without
    these a classifier's estimate assumes that a score means what it did, whatever the
    inputs, and that is written in its evidence; a regression has none.
    """
    config = estimator.config
    if table.answered < config.min_rows:
        return [_few(metric, table, window, config) for metric in estimator.usual.values()]
    ratios, why = _support(estimator, table, rows)
    corrected = {}
    if estimator.shares is not None and ratios is not None and not why:
        corrected = corrections(estimator.rows, ratios, table, tuple(estimator.usual), config)
    return [
        _point(estimator, usual, table, window, (rows, ratios, why), corrected.get(usual.name))
        for usual in estimator.usual.values()
    ]


def _point(
    estimator: Estimator,
    usual: Metric,
    table: ScoreTable,
    window: Window,
    known: tuple[Rows | None, Ratios | None, str],
    correction: Correction | None,
) -> SignalPoint:
    rows, ratios, why = known
    config, name = estimator.config, usual.name
    evidence = _evidence(estimator, ratios)
    why = estimator.unproven.get(name, "") or why
    found = None
    if not why:
        if estimator.errors is not None:
            found = estimator.errors[name].estimate(rows, ratios, table.answered, config.level)
        else:
            found = _expected(estimator, table, name, correction)
        why = "" if found else "it is not defined on rows like these"
    if why or found is None:
        nothing = Metric(name=name, value=None, n=table.answered, unit=usual.unit)
        evidence["finding"] = NoEstimate.code
        message = f"no estimate of {find_formula(name).title}: {why}"
        return unjudged(
            "estimate", nothing, "cannot_tell", window, message=message, evidence=evidence
        )
    value, bounds, error = found
    metric = Metric(
        name=name,
        value=value,
        low=bounds.low,
        high=bounds.high,
        level=config.level,
        n=table.answered,
        method=bounds.method,
        unit=usual.unit,
        scope="estimate",
    )
    point = judged("estimate", metric, usual, error, window, config, evidence=evidence)
    return _said(point, usual)


def _said(point: SignalPoint, usual: Metric) -> SignalPoint:
    title = find_formula(usual.name).title
    said = "probably worse than in the reference" if point.state == "alarm" else "about as usual"
    message = f"{title} is {said}: {point.value:.4g}, usual {usual.value:.4g}; {BLIND}"
    return msgspec.structs.replace(point, message=message)


def _expected(
    estimator: Estimator, table: ScoreTable, name: str, correction: Correction | None
) -> tuple[float, Interval, float] | None:
    """Return an estimate, its bounds and its standard error; None where it is not defined."""
    if estimator.shares is None or estimator.drawn is None:
        return None
    config, positive = estimator.config, table.positive
    answers = np.array(table.answers, np.float64)
    value = float(expected_metric(name, outcomes(answers, estimator.shares, positive), positive)[0])
    spread = spread_outcomes(answers, estimator.drawn, positive, seed=config.seed)
    drawn = expected_metric(name, spread, positive)
    if correction is not None:
        value += correction.value
        wider = np.random.default_rng([config.seed, 2]).normal(0, correction.error, len(drawn))
        drawn = drawn + wider
    bounds = bounds_around(value, drawn, config.level, find_formula(name).bounds)
    if bounds is None or not np.isfinite(value):
        return None
    return value, bounds, float(np.nanstd(drawn))


def _support(
    estimator: Estimator, table: ScoreTable, rows: Rows | None
) -> tuple[Ratios | None, str]:
    """Return the density ratios, and why nothing can be told of such rows, or nothing."""
    config = estimator.config
    beyond = _strange_scores(estimator.table, table)
    if beyond > config.most_beyond:
        return None, f"{in_percent(beyond)} of the scores are where the reference has hardly any"
    if rows is None or len(rows) < config.min_rows:
        needs_rows = estimator.errors is not None
        return None, "the inputs of too few rows were captured" if needs_rows else ""
    try:
        ratios = density_ratios(estimator.signature, estimator.rows, rows, seed=config.seed)
    except ModelError as error:
        return None, f"the rows cannot be compared with the reference's: {error}"
    if ratios.beyond > config.most_beyond:
        return ratios, (
            f"{in_percent(ratios.beyond)} of the rows are of a kind that the reference hardly has"
        )
    if ratios.effective < config.least_effective:
        return ratios, (
            f"only {in_percent(ratios.effective, 1)} of the reference is like this window"
        )
    return ratios, ""


def _strange_scores(reference: ScoreTable, window: ScoreTable) -> float:
    """Return the share of scores in bins that the reference has a 20th as often, or never."""
    if reference.task == "regression":
        return 0.0
    mine, theirs = (t.by_bin("answers").reshape(-1, 20).sum(axis=1) for t in (reference, window))
    if not theirs.sum():
        return 0.0
    # One row more in the reference: that it has none of a rare kind says little.
    often = (mine + 1) / (mine.sum() + 1) * 20 < theirs / theirs.sum()
    return float(theirs[often].sum() / theirs.sum())


def _backtest(
    halves: list[ScoreTable], names: tuple[str, ...], config: QualityConfig
) -> dict[str, str]:
    """Return by metric why it is not to be trusted: each half's estimate of the other's metric."""
    for fitted, held in (halves, halves[::-1]):
        counts = (*_counts(fitted), fitted.positive)
        answers = np.array(held.answers, np.float64)
        expected = outcomes(answers, fit_shares(*counts), held.positive)
        drawn = redrawn_shares(*counts, draws=config.draws, seed=config.seed)
        spread = spread_outcomes(answers, drawn, held.positive, seed=config.seed)
        for name in names:
            value = float(expected_metric(name, expected, held.positive)[0])
            true = table_metric(held, name)
            error = float(np.nanstd(expected_metric(name, spread, held.positive)))
            if true is None or true.value is None:
                continue
            gap = abs(value - true.value)
            if gap > max(FAR * error, least_effect(name, true.value, config)):
                # What scores mean is one thing: where one metric shows that it changed, the others
                # stand on it as well.
                why = (
                    f"by one half of the reference the other half's {find_formula(name).title} "
                    f"is {value:.4g}, and it is {true.value:.4g}: scores did not keep their meaning"
                )
                return dict.fromkeys(names, why)
    return {}


def _few(usual: Metric, table: ScoreTable, window: Window, config: QualityConfig) -> SignalPoint:
    nothing = Metric(name=usual.name, value=None, n=table.answered, unit=usual.unit)
    message = f"{table.answered} predictions, {config.min_rows} are needed"
    return unjudged(
        "estimate", nothing, "insufficient", window, needed=config.min_rows, message=message
    )


def _evidence(estimator: Estimator, ratios: Ratios | None) -> dict[str, Any]:
    method = "error model" if estimator.errors is not None else "confidence"
    if ratios is None:
        return {"method": method, "inputs": False}
    return {
        "method": method,
        "inputs": True,
        "told_apart_auc": ratios.auc,
        "beyond_share": ratios.beyond,
        "effective_share": ratios.effective,
    }


def _can(signature: Signature, name: str) -> bool:
    """Return whether scores and decisions alone tell a metric."""
    area_or_loss = find_formula(name).cells is None
    return signature.positive_index is not None if area_or_loss else True


def _counts(table: ScoreTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(table.hits), np.array(table.misses), table.confusion()


def _halves(n: int) -> tuple[slice, slice]:
    return slice(0, n // 2), slice(n // 2, n)


def _table(signature: Signature, rows: Rows, part: slice) -> ScoreTable:
    table = ScoreTable.of(signature)
    truth = None if rows.truth is None else rows.truth[part]
    table.update(rows.scores[part], rows.codes[part], truth)
    return table
