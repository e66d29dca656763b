"""Groups of a column that the user named, beside one another: selection, error rates, quality.

Each measure compares every group with the one that fares best by it. The best one is known only
from these rows, so intervals are as wide as all pairs of groups need at once (Bonferroni).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from afterfit.assess.evidence import Evidence, Part
from afterfit.assess.findings.slices import ErrorRates, GroupQuality, SelectionRates
from afterfit.assess.group_measures import measures_of, sums_of
from afterfit.core.cuts import cut
from afterfit.core.dataset import Dataset
from afterfit.core.finding import Check, Finding
from afterfit.errors import InputError
from afterfit.records.assess_slices import Disparity, Fairness, Group
from afterfit.stats.groups import LEAST_ROWS, Measure, Sums, group_metrics

__all__ = ["fairness", "require_columns"]

RANGES = 4
MOST_GROUPS = 20
MOST_TOLD = 3
CHECKS: dict[str, type[Check]] = {
    "selection_ratio": SelectionRates,
    "true_positive_gap": ErrorRates,
    "false_positive_gap": ErrorRates,
    "accuracy_gap": GroupQuality,
    "mae_gap": GroupQuality,
    "mean_error_gap": GroupQuality,
}


@dataclass(frozen=True, eq=False)
class Named:
    """The rows of one group: its name and their places, int64 of [n]."""

    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class Measured:
    """One group and the sums that all its metrics come from."""

    name: str
    sums: Sums

    @property
    def n(self) -> int:
        """The number of its rows."""
        return max(part.n for part in self.sums.values())


def require_columns(data: Dataset, names: Sequence[str]) -> None:
    """Do nothing where the table has all columns; raises InputError with the nearest name."""
    known = [*data.frame, *data.roles.values()]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"there is no column {name!r} to compare groups by",
                where=f"{data.source}: fairness.columns",
                why=f"{hint}its columns are: {', '.join(known[:20])}",
                fix=f"--fairness {near[0] if near else known[0]}",
            )


def fairness(evidence: Evidence) -> Part:
    """Return how the groups of each named column compare; nothing where none is named."""
    names = evidence.config.fairness
    checks = (SelectionRates, ErrorRates, GroupQuality)
    if not names:
        text = "no column was named whose groups are to be compared: --fairness COLUMN"
        return Part(findings=tuple(check.not_applicable(text) for check in checks))
    if not np.isfinite(evidence.predictions.main).all():
        text = "some predictions are not finite"
        return Part(findings=tuple(check.skipped(text) for check in checks))
    evidence.progress.step("fairness")
    require_columns(evidence.data, names)
    told, findings = [], []
    for name in dict.fromkeys(names):
        view, found = _of_column(evidence, name)
        told.append(view)
        findings += found
    return Part(findings=tuple(findings), fields={"fairness": tuple(told)})


def _column(data: Dataset, name: str) -> np.ndarray:
    if name in data.frame:
        return data.frame[name]
    role = next(role for role, column in data.roles.items() if column == name)
    values: np.ndarray = getattr(data, role)
    return values


def _groups(name: str, values: np.ndarray) -> tuple[list[Named], int]:
    """Return the groups, most rows first, and how many rows are in none of them."""
    made = cut(name, values, ranges=RANGES)
    codes = made.codes(values)
    spans = [span for span in made.spans() if span.first == span.last]
    names = [span.name.removeprefix(f"{name} = ") for span in spans]
    rows = [np.flatnonzero(span.holds(codes)) for span in spans]
    found = [Named(*each) for each in zip(names, rows, strict=True)]
    found = [group for group in found if len(group.rows)]
    kept = sorted(found, key=lambda group: -len(group.rows))[:MOST_GROUPS]
    if made.ordered:
        kept = [group for group in found if group in kept]
    return kept, len(values) - sum(len(group.rows) for group in kept)


def _of_column(evidence: Evidence, name: str) -> tuple[Fairness, list[Finding]]:
    groups, left_out = _groups(name, _column(evidence.data, name))
    measured = [Measured(group.name, sums_of(evidence, group.rows)) for group in groups]
    measures, absent = measures_of(evidence)
    findings = [check.not_applicable(text, where=name) for check, text in absent]
    disparities: list[Disparity] = []
    for check in dict.fromkeys(CHECKS[measure.name] for measure in measures):
        mine = [measure for measure in measures if CHECKS[measure.name] is check]
        found = [each for measure in mine for each in _disparities(measure, measured, evidence)]
        findings.append(_finding(check, name, found, mine, measured))
        disparities += found
    level = evidence.config.level
    told = tuple(
        Group(name=group.name, n=len(group.rows), metrics=group_metrics(one.sums, measures, level))
        for group, one in zip(groups, measured, strict=True)
    )
    view = Fairness(column=name, groups=told, disparities=tuple(disparities), left_out=left_out)
    return view, findings


def _disparities(
    measure: Measure, groups: Sequence[Measured], evidence: Evidence
) -> Iterator[Disparity]:
    """Yield each group that has enough rows beside the best one."""
    enough = [group for group in groups if measure.n(group.sums) >= LEAST_ROWS]
    if len(enough) < 2:
        return
    pairs = len(enough) * (len(enough) - 1) // 2
    level = 1 - (1 - evidence.config.level) / pairs
    best = max(enough, key=lambda group: measure.good(group.sums))
    for group in enough:
        metric = None if group is best else measure.compare(group.sums, best.sums, level)
        if metric is None:
            continue
        outcome, factor = measure.judge(metric)
        yield Disparity(
            measure=measure.name,
            group=group.name,
            reference=best.name,
            metric=metric,
            limit=measure.limit,
            outcome=outcome,
            needed_n=None if factor is None else math.ceil(factor * len(evidence.truth)),
        )


def _finding(
    check: type[Check],
    column: str,
    found: Sequence[Disparity],
    measures: Sequence[Measure],
    groups: Sequence[Measured],
) -> Finding:
    if not found:
        return _too_few(check, column, measures, groups)
    beyond = [each for each in found if each.outcome == "beyond"]
    perhaps = [each for each in found if each.outcome == "perhaps"]
    few = _few(measures, groups)
    if beyond:
        text = _sentences(beyond)
        fix = "find out which columns and labels carry the difference, and whether they may"
        return check.issue(f"{text}{few}", where=column, fix=fix)
    if perhaps:
        text = _sentences(perhaps)
        needed = max(each.needed_n or 0 for each in perhaps)
        return check.tip(
            f"perhaps beyond the limit, by these rows not surely: {text}{few}",
            where=column,
            needed_n=needed,
        )
    nearest = min(found, key=lambda each: abs((each.metric.value or 0.0) - each.limit))
    unsure = sum(each.outcome == "unsure" for each in found)
    not_all = f", {unsure} of {len(found)} comparisons not surely" if unsure else ""
    text = f"within the limits{not_all}; nearest to them: {_sentence(nearest)}{few}"
    return check.passed(text, where=column)


_WORDS = {
    "selection_ratio": ("is selected", " times as often as", "at least"),
    "true_positive_gap": ("has a true positive rate lower by", " than", "at most"),
    "false_positive_gap": ("has a false positive rate higher by", " than", "at most"),
    "accuracy_gap": ("has an accuracy lower by", " than", "at most"),
    "mae_gap": ("has a mean absolute error higher by", " than", "at most"),
    "mean_error_gap": ("has a mean error higher by", " than", "at most"),
}


def _sentences(found: Sequence[Disparity]) -> str:
    """Return the comparisons farthest beyond their limits in words, and how many more there are."""
    worst = sorted(found, key=lambda each: -abs((each.metric.value or 0.0) - each.limit))
    more = f"; and {len(found) - MOST_TOLD} more groups" if len(found) > MOST_TOLD else ""
    return "; ".join(map(_sentence, worst[:MOST_TOLD])) + more


def _sentence(each: Disparity) -> str:
    """Return a comparison in words, with its interval and limit."""
    before, after, side = _WORDS[each.measure]
    metric = each.metric
    interval = f"{metric.low:.3g} to {metric.high:.3g}, {metric.level * 100:.4g} %, n = {metric.n}"
    return (
        f"{each.group} {before} {metric.value:.3g}{after} {each.reference} ({interval}; "
        f"{side} {each.limit:.3g})"
    )


def _few(measures: Sequence[Measure], groups: Sequence[Measured]) -> str:
    """Return which groups have too few rows for some measure, in words."""
    names = [
        group.name
        for group in groups
        if any(measure.n(group.sums) < LEAST_ROWS for measure in measures)
    ]
    return f"; too few rows to tell of all: {', '.join(names)}" if names else ""


def _too_few(
    check: type[Check], column: str, measures: Sequence[Measure], groups: Sequence[Measured]
) -> Finding:
    if len(groups) < 2:
        return check.not_applicable("all rows are of one group", where=column)
    enough = [group for group in groups if measures[0].n(group.sums) >= LEAST_ROWS]
    if check is SelectionRates and len(enough) > 1:
        return check.skipped("no row of any group was decided positive", where=column)
    # The second largest group is the first that lacks rows.
    second = sorted(max(m.n(g.sums) for m in measures) for g in groups)[-2]
    rows = sum(group.n for group in groups)
    return check.skipped(
        f"fewer than two groups have {LEAST_ROWS} rows to compare them by",
        where=column,
        needed_n=math.ceil(rows * LEAST_ROWS / max(second, 1)),
    )
