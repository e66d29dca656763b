"""Whether what the model says comes true: reliability, the Brier score's parts, and the line."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from afterfit.assess import findings
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.recalibration import about_recalibration, how_to_map, recalibrated
from afterfit.core.effort import Effort
from afterfit.core.finding import Check, Finding
from afterfit.core.metric import Metric, in_percent
from afterfit.records.assess_calibration import (
    LIKELIEST,
    BrierScore,
    Calibration,
    Reliability,
    ReliabilityBin,
)
from afterfit.stats.calibration import (
    binned,
    brier_parts,
    error_of_bins,
    null_test,
    squared_error,
)
from afterfit.stats.interval import Interval, mean_interval, wilson
from afterfit.stats.multiple import holm
from afterfit.stats.recalibration import logit_line
from afterfit.stats.slope import slope_of_values

SCOPE = "calibration"
RARE = 0.01
"""The chance of an ``issue`` on a calibrated model, for all classes together."""
WORTH = 0.02
WORTH_OF_RARER = 0.2
"""An error matters from 0.02 on, or from a fifth of the rarer outcome's share on."""
VAGUE = 0.1
MOST_BINS, ROWS_IN_BIN, LEAST_ROWS = 15, 20, 10
MOST_CLASSES = 10
REPLICATES: dict[Effort, int] = {"quick": 499, "standard": 999, "full": 4999}
OUTSIDE = 1e-6
LEAST_VALUES = 20
WORTH_OF_SPREAD, WORTH_OF_SLOPE, VAGUE_SLOPE = 0.05, 0.1, 0.5
BOTH_SURE = 0.995


class Side(NamedTuple):
    """One class, or the likeliest one: its probability and whether it came true, [n] each."""

    of: str
    score: np.ndarray
    hit: np.ndarray


def calibration(evidence: Evidence) -> Part:
    """Return how well probabilities or values agree with the truth on average."""
    if evidence.signature.task == "regression":
        return _of_values(evidence)
    off = findings.PredictionsOff.not_applicable("only a regression predicts values")
    part = _of_probabilities(evidence)
    return Part((*part.findings, off), part.metrics, part.fields)


def _of_probabilities(evidence: Evidence) -> Part:
    checks = (findings.Miscalibrated, findings.RecalibrationHelps, findings.SureAndWrong)
    probabilities = evidence.predictions.probabilities
    if probabilities is None:
        text = "the model gives labels and no probabilities"
        return Part(tuple(check.not_applicable(text) for check in checks))
    if why := _why_no_probabilities(probabilities):
        return Part(tuple(check.skipped(why) for check in checks))
    p = np.clip(probabilities, 0.0, 1.0)
    sides = sides_of(evidence, p)
    if len(p) < LEAST_ROWS:
        text = f"{len(p)} rows say nothing about shares"
        few = (check.skipped(text, needed_n=LEAST_ROWS) for check in checks[:2])
        return Part((*few, _sure_and_wrong(evidence, p)))
    reliability = reliabilities(evidence, sides)
    found = recalibrated(evidence, p)
    after = None
    if found.tested is not None:
        after = reliability_of(_side_after(evidence, *found.tested), evidence, REPLICATES["quick"])
    kept = Calibration(
        reliability=reliability,
        brier=_brier(evidence, p),
        line=_logit_line(sides[0], evidence) if len(sides) == 1 else (),
        recalibrations=found.told,
        best=found.best,
        after=after,
    )
    map_told = about_recalibration(found)
    helpful = found.best if map_told.outcome == "tip" else ""
    findings_made = (
        about_reliability(reliability, best=helpful),
        map_told,
        _sure_and_wrong(evidence, p),
    )
    metrics = (_error_metric(reliability[0]), *kept.line)
    return Part(findings_made, metrics, {"calibration": kept})


def _why_no_probabilities(probabilities: np.ndarray) -> str:
    """Return why the model's probabilities cannot be judged; empty where they can."""
    bad = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if bad:
        return f"{bad} of {len(probabilities)} rows have a probability that is not finite"
    outside = ((probabilities < -OUTSIDE) | (probabilities > 1 + OUTSIDE)).any(axis=1)
    if outside.any():
        return f"{int(outside.sum())} rows have a probability that is not between 0 and 1"
    return ""


def sides_of(evidence: Evidence, p: np.ndarray) -> list[Side]:
    """Return the positive class; or the likeliest one and the commonest classes one by one."""
    signature, truth = evidence.signature, evidence.truth
    if signature.task == "binary":
        positive = positive_of(evidence)
        label = str(signature.classes[positive])
        return [Side(label, p[:, positive], truth == positive)]
    counts = np.bincount(truth, minlength=p.shape[1])
    often = np.sort(np.argsort(-counts, kind="stable")[:MOST_CLASSES])
    each = [Side(str(signature.classes[code]), p[:, code], truth == code) for code in often]
    return [Side(LIKELIEST, p.max(axis=1), truth == p.argmax(axis=1)), *each]


def positive_of(evidence: Evidence) -> int:
    """Return the code of the positive class of a binary task; the second where none is named."""
    positive = evidence.signature.positive_index
    return 1 if positive is None else positive


def _side_after(evidence: Evidence, rows: np.ndarray, p: np.ndarray) -> Side:
    truth = evidence.truth[rows]
    if p.ndim == 1:
        return Side("recalibrated", p, truth == positive_of(evidence))
    return Side("recalibrated", p.max(axis=1), truth == p.argmax(axis=1))


def reliabilities(evidence: Evidence, sides: list[Side]) -> tuple[Reliability, ...]:
    """Return the reliability of each side; a test's draws are many enough for all of them."""
    # The smallest p-value has to be able to fall below its share of RARE.
    replicates = max(REPLICATES[evidence.config.effort], round(2 * len(sides) / RARE) - 1)
    return tuple(reliability_of(side, evidence, replicates) for side in sides)


def reliability_of(side: Side, evidence: Evidence, replicates: int) -> Reliability:
    """Return the bins of one side with their intervals, and how far off they are."""
    n, config = len(side.hit), evidence.config
    bins = binned(side.score, side.hit, max(2, min(MOST_BINS, n // ROWS_IN_BIN)))
    squared, base = squared_error(bins), float(side.hit.mean())
    test = null_test(side.score, bins, seed=config.seed, replicates=replicates)
    shown = []
    for rows, score, share in zip(bins.n, bins.score, bins.observed, strict=True):
        bounds = wilson(round(share * rows), int(rows), config.level)
        shown.append(
            ReliabilityBin(
                score=float(score), observed=float(share), low=bounds.low, high=bounds.high,
                n=int(rows),
            )
        )  # fmt: skip
    return Reliability(
        of=side.of,
        bins=tuple(shown),
        n=n,
        ece=error_of_bins(bins),
        expected_ece=test.expected,
        error=math.sqrt(max(0.0, squared)),
        squared_error=squared,
        p_value=test.p_value,
        replicates=test.replicates,
        level=config.level,
        worth=min(WORTH, WORTH_OF_RARER * min(base, 1 - base)),
        notable=test.notable,
    )


def about_reliability(found: tuple[Reliability, ...], *, best: str = "") -> Finding:
    """Return an issue where a side is surely off by enough to matter; ``best`` is a map's name."""
    check = findings.Miscalibrated
    adjusted = holm(np.array([each.p_value for each in found]))
    off = [
        (each, float(p))
        for each, p in zip(found, adjusted, strict=True)
        if p <= RARE and each.error >= each.worth
    ]
    if off:
        worst, p = max(off, key=lambda pair: pair[0].error)
        text = f"{_told(worst)}; {_chance(p, found)}; {_where_off(worst)}"
        return check.issue(
            text,
            where=worst.of,
            fix=how_to_map(best),
            n=worst.n,
            error=worst.error,
            p_value=p,
            classes=[each.of for each, _ in off],
        )
    first = found[0]
    if first.notable > VAGUE:
        text = (
            f"on {first.n} rows an error below {first.notable:.2g} cannot be told from chance: too "
            "few to tell"
        )
        needed = math.ceil(first.n * (first.notable / VAGUE) ** 2)
        return check.skipped(text, needed_n=max(needed, first.n + 1))
    return check.passed(
        f"{_told(first)}; {_chance(float(adjusted[0]), found)}; an error from "
        f"{first.notable:.2g} on would have shown",
        n=first.n,
        error=first.error,
        p_value=float(adjusted[0]),
    )


def _chance(p: float, found: tuple[Reliability, ...]) -> str:
    """Return the p-value in words; it cannot fall below one in all draws."""
    least = len(found) / (1 + found[0].replicates)
    holm_told = f", by Holm over {len(found)} tests" if len(found) > 1 else ""
    return f"p {'<=' if p <= least else '='} {p:.2g}{holm_told}"


def _told(one: Reliability) -> str:
    return (
        f"the probability of {one.words} is off by {one.error:.3g} (root mean square in "
        f"{len(one.bins)} bins, chance taken off, n = {one.n})"
    )


def _where_off(one: Reliability) -> str:
    """Return the bin that is farthest off by number of rows, in words."""
    worst = max(one.bins, key=lambda b: b.n * (b.score - b.observed) ** 2)
    return (
        f"of {worst.n} rows given {worst.score:.3g} on average, {worst.observed:.3g} came true "
        f"({worst.low:.3g} to {worst.high:.3g})"
    )


def _brier(evidence: Evidence, p: np.ndarray) -> BrierScore | None:
    """Return the Brier score's parts, summed over the classes of a task with three or more."""
    codes = [positive_of(evidence)] if p.shape[1] == 2 else list(range(p.shape[1]))
    if len(codes) > MOST_CLASSES:
        return None
    most = max(2, min(MOST_BINS, len(p) // ROWS_IN_BIN))
    tables = [binned(p[:, code], evidence.truth == code, most) for code in codes]
    parts = np.array([brier_parts(table) for table in tables]).sum(axis=0)
    value, reliability, resolution, uncertainty, within = parts.tolist()
    return BrierScore(
        value=value,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=within,
        bins=max(len(table.n) for table in tables),
        n=len(p),
    )


def _logit_line(side: Side, evidence: Evidence) -> tuple[Metric, ...]:
    line = logit_line(side.score, side.hit, evidence.config.level)
    return (
        _metric("calibration_slope", line.slope, line.slope_interval, evidence),
        _metric("calibration_intercept", line.intercept, line.intercept_interval, evidence),
    )


def _error_metric(one: Reliability) -> Metric:
    method = f"debiased root mean square of {len(one.bins)} bins; no interval is claimed"
    return Metric(
        name="calibration_error", value=one.error, n=one.n, method=method, scope=SCOPE
    )  # fmt: skip


def _metric(
    name: str, value: float, bounds: Interval, evidence: Evidence, unit: str = ""
) -> Metric:
    n, level = len(evidence.truth), evidence.config.level
    return Metric.of(name, value, bounds, n=n, level=level, unit=unit, scope=SCOPE)


def _sure_and_wrong(evidence: Evidence, p: np.ndarray) -> Finding:
    check = findings.SureAndWrong
    n = len(p)
    given = p[np.arange(n), evidence.truth]
    wrong = int((given <= 0.0).sum())
    if wrong:
        bounds = wilson(wrong, n, evidence.config.level)
        text = (
            f"{wrong} of {n} rows ({in_percent(wrong / n, 2)}, {in_percent(bounds.low, 2)} to "
            f"{in_percent(bounds.high, 2)}) are of a class that was given a probability of 0"
        )
        return check.tip(text, fix=how_to_map("platt"), n=n, rows=wrong)
    return check.passed(f"in none of {n} rows a probability of 0 came true", n=n)


def _of_values(evidence: Evidence) -> Part:
    """Return the mean error and the slope of a regression."""
    classes = (findings.Miscalibrated, findings.RecalibrationHelps, findings.SureAndWrong)
    absent = tuple(check.not_applicable("a regression has no probabilities") for check in classes)
    check, truth, values = findings.PredictionsOff, evidence.truth, evidence.predictions.values
    if values is None or not np.isfinite(values).all():
        return Part((*absent, check.skipped("some predictions are not finite")))
    if len(truth) < LEAST_VALUES:
        text = f"{len(truth)} rows say little about a mean or a slope"
        return Part((*absent, check.skipped(text, needed_n=LEAST_VALUES)))
    level, unit = evidence.config.level, evidence.signature.target
    errors = values - truth
    bounds = mean_interval(errors, level)
    if bounds.low == bounds.high:
        bounds = Interval(math.nan, math.nan, "undefined: the errors do not vary")
    line = slope_of_values(truth, values, level)
    metrics = (
        _metric("mean_error", float(errors.mean()), bounds, evidence, unit),
        _metric("calibration_slope", line.slope, line.interval, evidence),
    )
    finding = _about_values(check, evidence, errors, metrics)
    return Part((*absent, finding), metrics, {"calibration": Calibration(line=metrics)})


def _about_values(
    check: type[Check], evidence: Evidence, errors: np.ndarray, told: tuple[Metric, Metric]
) -> Finding:
    mean, slope = told
    text = f"mean error {mean.text()}, slope {slope.text()}"
    truth, values = evidence.truth, evidence.truth + errors
    bounds, line = mean_interval(errors, BOTH_SURE), slope_of_values(truth, values, BOTH_SURE)
    spread = float(truth.std())
    high = bounds.low > 0 or bounds.high < 0
    if high and mean.value is not None and abs(mean.value) > WORTH_OF_SPREAD * spread:
        direction = "high" if mean.value > 0 else "low"
        why = f"predictions are too {direction} on average, against a spread of {spread:.3g}"
        return check.issue(f"{text}: {why}", n=len(truth))
    surely = line.interval.low > 1 or line.interval.high < 1
    if surely and abs(line.slope - 1) >= WORTH_OF_SLOPE:
        way = "more" if line.slope < 1 else "less"
        return check.issue(f"{text}: predictions spread {way} than the truth", n=len(truth))
    half = (line.interval.high - line.interval.low) / 2
    if half > VAGUE_SLOPE:
        needed = math.ceil(len(truth) * (half / VAGUE_SLOPE) ** 2)
        return check.skipped(f"{text}: too few rows to tell", needed_n=needed)
    return check.passed(text, n=len(truth))
