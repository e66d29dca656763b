"""What decisions cost at each threshold, and the threshold that costs least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from afterfit.assess import findings
from afterfit.assess.config import DecisionCosts
from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.splits import splits
from afterfit.assess.threshold import LARGEST, shortest
from afterfit.core.finding import Finding
from afterfit.core.metric import Metric, in_percent
from afterfit.errors import InputError, in_record
from afterfit.records.assess_calibration import CostCurve, Costs, ThresholdCurve
from afterfit.stats.interval import Interval, mean_interval, undefined
from afterfit.stats.paired import mean_difference

SCOPE = "cost"
PER = 1000
UNIT = "per 1,000 rows"
FOLDS = 5
LEAST_OF_SIDE = 10
STEPS, TAIL_STEPS, TAIL = 60, 20, 0.05
REPLICATES = {"quick": 500, "standard": 1000, "full": 4000}
NO_COSTS = (
    "what a miss and a false alarm cost is not known: write [cost] false_negative and "
    "false_positive in afterfit.toml"
)


@dataclass(frozen=True)
class Decider:
    """Rows of a binary task: which are positive, their scores, and what is decided now."""

    hits: np.ndarray
    scores: np.ndarray
    decided: np.ndarray
    present: float


def costs_of_thresholds(evidence: Evidence) -> Part:
    """Return what each threshold decides, and with costs what it costs."""
    check = findings.CheaperThreshold
    made = decider_of(evidence)
    if made is None:
        text = "only a probability of a positive class has a threshold"
        return Part((check.not_applicable(text),))
    if not np.isfinite(made.scores).all():
        return Part((check.skipped("some probabilities are not finite"),))
    fields: dict[str, Any] = {}
    if made.hits.any():
        fields["thresholds"] = threshold_curve(made)
    asked = evidence.config.costs
    if asked is None:
        return Part((check.not_applicable(NO_COSTS),), fields=fields)
    fewest = int(min(made.hits.sum(), (~made.hits).sum()))
    if fewest < LEAST_OF_SIDE:
        text = f"a threshold is chosen and judged on at least {LEAST_OF_SIDE} rows of each class"
        needed = len(made.hits) * LEAST_OF_SIDE // max(1, fewest) + 1
        return Part((check.skipped(f"{text}, not {fewest}", needed_n=needed),), fields=fields)
    try:
        costs = judged(made, asked, evidence)
    except InputError as error:
        return Part((check.skipped(in_record(error)),), fields=fields)
    fields["costs"] = costs
    return Part((_about(costs),), (costs.at_present, costs.saving), fields)


def decider_of(evidence: Evidence) -> Decider | None:
    """Return the rows with their scores; None where no threshold decides."""
    signature, positive = evidence.signature, evidence.signature.positive_index
    probabilities = evidence.predictions.probabilities
    ranks = signature.task == "binary" and signature.own_labels is not True
    if not ranks or positive is None or probabilities is None:
        return None
    return Decider(
        evidence.truth == positive,
        probabilities[:, positive],
        signature.codes(evidence.predictions) == positive,
        0.5 if signature.threshold is None else signature.threshold,
    )


def row_costs(hits: np.ndarray, decided: np.ndarray, costs: DecisionCosts) -> np.ndarray:
    """Return what each decision costs, [n], in the user's unit; gains are below 0."""
    of_hits = np.where(decided, -costs.true_positive, costs.false_negative)
    of_others = np.where(decided, costs.false_positive, -costs.true_negative)
    return np.where(hits, of_hits, of_others)


def theoretical_threshold(costs: DecisionCosts) -> float:
    """Return the cheapest threshold of a calibrated model: c_fp / (c_fp + c_fn), gains added.

    Source: Elkan (2001), The foundations of cost-sensitive learning, IJCAI.
    """
    wrong_alarm = costs.false_positive + costs.true_negative
    miss = costs.false_negative + costs.true_positive
    return wrong_alarm / (wrong_alarm + miss)


def cheapest(hits: np.ndarray, falling: np.ndarray, costs: DecisionCosts) -> float:
    """Return the threshold in (0, 1) of least cost, in as few digits as decide alike.

    ``falling`` are scores below 1 in falling order, ``hits`` bool of [n] in that order. Of
    thresholds that cost the same the highest is taken.
    """
    gain = -(costs.false_negative + costs.true_positive)
    more = np.where(hits, gain, costs.false_positive + costs.true_negative)
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    ends = ends[falling[ends] > 0.0]
    totals = np.append(0.0, np.cumsum(more)[ends])
    best = int(np.argmin(totals))
    if best == 0:
        return shortest(float(falling[0]), LARGEST) if falling[0] < LARGEST else LARGEST
    after = int(ends[best - 1]) + 1
    below = float(falling[after]) if after < len(falling) else 0.0
    return shortest(below, float(falling[ends[best - 1]]))


def judged(made: Decider, asked: DecisionCosts, evidence: Evidence) -> Costs:
    """Return the present, the theoretical and the cheapest threshold with what each costs.

    The cheapest is chosen on parts of the rows and judged on the others. Raises InputError for
    times that have no order, or for rows that cannot be split.
    """
    present = row_costs(made.hits, made.decided, asked)
    theoretical = theoretical_threshold(asked)
    in_theory = row_costs(made.hits, made.scores >= theoretical, asked)
    order = np.argsort(-made.scores, kind="stable")
    falling = np.minimum(made.scores[order], LARGEST)
    proposed = cheapest(made.hits[order], falling, asked)
    chosen = _cross_fitted(made, asked, evidence, order)
    rows = np.flatnonzero(np.isfinite(chosen))
    if not len(rows):
        raise InputError(
            "the rows cannot be split: one part chooses, the other judges",
            fix="give rows of more than one group and time",
        )
    thresholds = (made.present, proposed, theoretical)
    dearer = _gap("cost_of_theoretical", in_theory[rows], chosen[rows], evidence)
    return Costs(
        false_negative=float(asked.false_negative),
        false_positive=float(asked.false_positive),
        true_positive=float(asked.true_positive),
        true_negative=float(asked.true_negative),
        present=float(made.present),
        proposed=proposed,
        theoretical=theoretical,
        at_present=_mean("expected_cost", present, evidence),
        at_proposed=_mean("expected_cost_proposed", chosen[rows], evidence),
        at_theoretical=_mean("expected_cost_theoretical", in_theory, evidence),
        saving=_gap("cost_saving", present[rows], chosen[rows], evidence),
        saving_theoretical=_gap("cost_saving_theoretical", present, in_theory, evidence),
        dearer_theoretical=dearer,
        curve=cost_curve(made, asked, thresholds, evidence),
    )


def _cross_fitted(
    made: Decider, asked: DecisionCosts, evidence: Evidence, order: np.ndarray
) -> np.ndarray:
    """Return what rows cost at a threshold that others chose, NaN for rows that only choose."""
    found, data = np.full(len(made.hits), np.nan), evidence.data
    # Classes spread evenly would tell the part that chooses how many the other part has.
    planned = splits(
        made.hits.astype(np.int64),
        FOLDS,
        stratify=False,
        group=data.group,
        seed=evidence.config.seed,
        time=data.time,
    )
    for split in planned:
        chooses = np.zeros(len(made.hits), dtype=bool)
        chooses[split.train] = True
        falling = order[chooses[order]]
        scores = np.minimum(made.scores[falling], LARGEST)
        threshold = cheapest(made.hits[falling], scores, asked)
        decided = made.scores[split.test] >= threshold
        found[split.test] = row_costs(made.hits[split.test], decided, asked)
    return found


def _mean(name: str, costs: np.ndarray, evidence: Evidence) -> Metric:
    bounds = mean_interval(costs, evidence.config.level)
    return _metric(name, float(costs.mean()), bounds, len(costs), evidence)


def _gap(name: str, first: np.ndarray, second: np.ndarray, evidence: Evidence) -> Metric:
    value, bounds = mean_difference(first, second, evidence.config.level)
    return _metric(name, value, bounds, len(first), evidence)


def _metric(name: str, value: float, bounds: Interval, n: int, evidence: Evidence) -> Metric:
    if not bounds.low < bounds.high:
        bounds = undefined("the rows do not vary")
    scaled = Interval(PER * bounds.low, PER * bounds.high, bounds.method)
    level = evidence.config.level
    return Metric.of(name, PER * value, scaled, n=n, level=level, unit=UNIT, scope=SCOPE)


def _about(costs: Costs) -> Finding:
    """Return whether another threshold surely saves, and which.

    What the costs ask of a calibrated model was not chosen on these rows, so it is named unless the
    cheapest one is surely cheaper still.
    """
    check, dearer, more = findings.CheaperThreshold, costs.dearer_theoretical, ""
    if dearer is not None and dearer.low is not None and dearer.low > 0:
        named, cost, saving = costs.proposed, costs.at_proposed, costs.saving
        which = "the cheapest of these rows, judged on rows that did not choose it"
    else:
        named, cost = short_threshold(costs.theoretical), costs.at_theoretical
        saving, which = costs.saving_theoretical, "what the costs ask of a calibrated model"
        if dearer is not None:
            more = f"; the cheapest of these rows, {costs.proposed:g}, is not surely cheaper still"
            more += f" (by {_brief(dearer)}, on rows that did not choose it)"
    text = (
        f"1,000 rows cost {_brief(costs.at_present)} when decided from {costs.present:g} on, and "
        f"{_brief(cost)} from {named:g} on, {which}: {_brief(saving)} saved "
        f"({in_percent(saving.level)} intervals, n = {saving.n:,}){more}"
    )
    told: dict[str, Any] = {"threshold": costs.present, "proposed": named}
    if saving.low is not None and saving.low > 0:
        return check.tip(text, fix=f"--threshold {named:g}", n=saving.n, **told)
    return check.passed(f"{text}; that is not surely a saving", n=saving.n, **told)


def short_threshold(value: float) -> float:
    """Return a threshold in (0, 1) in four digits, which a person can type."""
    short = float(f"{value:.4g}")
    return short if 0 < short < 1 else value


def _brief(metric: Metric) -> str:
    if metric.value is None:
        return "an unknown sum"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.4g}"
    return f"{metric.value:.4g} ({metric.low:.4g} to {metric.high:.4g})"


def _grid(scores: np.ndarray, more: tuple[float, ...]) -> np.ndarray:
    """Return at most about 80 thresholds in (0, 1), with more where few rows are decided for."""
    tail = 1 - np.geomspace(1 / max(2, len(scores)), TAIL, TAIL_STEPS)
    levels = np.union1d(np.linspace(0, 1, STEPS), tail)
    found = np.union1d(np.quantile(scores, levels, method="nearest"), more)
    return np.asarray(found[(found > 0) & (found < 1)])


def _cells(made: Decider, grid: np.ndarray) -> np.ndarray:
    """Return rows by how many thresholds they reach and by class, int64 of [thresholds + 1, 2]."""
    reached = np.searchsorted(grid, made.scores, side="right")
    flat = np.bincount(reached * 2 + made.hits, minlength=2 * (len(grid) + 1))
    return flat.reshape(-1, 2)


def threshold_curve(made: Decider) -> ThresholdCurve:
    """Return precision, recall, F1 and the share decided positive by threshold."""
    grid = _grid(made.scores, (made.present,))
    selected = np.cumsum(_cells(made, grid)[::-1], axis=0)[::-1][1:]
    rows, hits = selected.sum(axis=1), selected[:, 1]
    shown = rows > 0
    grid, rows, hits = grid[shown], rows[shown], hits[shown]
    total = int(made.hits.sum())
    return ThresholdCurve(
        present=made.present,
        thresholds=tuple(grid.tolist()),
        precision=tuple((hits / rows).tolist()),
        recall=tuple((hits / total).tolist()),
        f1=tuple((2 * hits / (rows + total)).tolist()),
        selected=tuple((rows / len(made.hits)).tolist()),
        n=len(made.hits),
    )


def cost_curve(
    made: Decider, asked: DecisionCosts, marks: tuple[float, ...], evidence: Evidence
) -> CostCurve:
    """Return what 1,000 rows cost by threshold, with a bootstrap band at each.

    Drawing n rows and counting them by threshold reached is one draw of those counts, so the band
    takes no longer for more rows.
    """
    grid = _grid(made.scores, marks)
    cells = _cells(made, grid)
    n, level = int(cells.sum()), evidence.config.level
    replicates = REPLICATES[evidence.config.effort]
    rng = np.random.default_rng(evidence.config.seed)
    filled = np.flatnonzero(cells)
    drawn = np.zeros((replicates, cells.size))
    drawn[:, filled] = rng.multinomial(n, cells.reshape(-1)[filled] / n, size=replicates)
    costs = _by_threshold(drawn.reshape(replicates, -1, 2), asked) / n
    low, high = np.quantile(costs, [(1 - level) / 2, (1 + level) / 2], axis=0)
    value = _by_threshold(cells[None], asked)[0] / n
    return CostCurve(
        thresholds=tuple(grid.tolist()),
        cost=tuple((PER * value).tolist()),
        low=tuple((PER * np.minimum(low, value)).tolist()),
        high=tuple((PER * np.maximum(high, value)).tolist()),
        level=level,
        replicates=replicates,
    )


def _by_threshold(cells: np.ndarray, costs: DecisionCosts) -> np.ndarray:
    """Return the cost at each threshold, [R, thresholds], of cells [R, thresholds + 1, 2]."""
    above = np.cumsum(cells[:, ::-1], axis=1)[:, ::-1][:, 1:]
    below = cells.sum(axis=1, keepdims=True) - above
    lost = costs.false_positive * above[..., 0] + costs.false_negative * below[..., 1]
    gained = costs.true_positive * above[..., 1] + costs.true_negative * below[..., 0]
    return np.asarray(lost - gained, np.float64)
