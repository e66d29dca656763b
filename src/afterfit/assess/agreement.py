"""Whether the folds of the cross-validation and the held-out rows tell the same."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

from afterfit.assess import findings
from afterfit.core.finding import Finding
from afterfit.core.formulae import find_formula
from afterfit.core.metric import Metric, find, in_percent
from afterfit.records.assess import Fold
from afterfit.stats.interval import normal_quantile

__all__ = ["LEVEL", "Gap", "about_agreement", "gap_of"]

LEVEL = 0.99
"""A held-out table like the training rows is called another one in at most 1 % of cases."""
WIDE = 0.1
"""A gap of this much (of an error: this share of it) would have to show; else rows are too few."""
LEAST_PART = 0.5
"""Folds that train on less than this part of the largest do not stand for the model."""


class Gap(NamedTuple):
    """The held-out metric less the mean of the folds, with its error; above 0 is better."""

    value: float
    error: float

    @property
    def p(self) -> float:
        """The chance of so large a gap where there is none."""
        if self.error == 0.0:
            return 1.0
        return 2 * NormalDist().cdf(-abs(self.value) / self.error)


def gap_of(held_out: Metric, folds: tuple[Fold, ...]) -> Gap | None:
    """Return the gap of the metric ``held_out`` to the folds; None where a side has no interval.

    Three errors add up: that of the held-out rows; that of the rows that the folds test, each once
    in a repetition; and the spread of the folds beyond those, for models that other rows would
    train. Errors of rows are taken from the widths of intervals, so they know how rows hang
    together.
    """
    most = max((fold.n_train for fold in folds), default=0)
    same = [find(f.metrics, held_out.name) for f in folds if f.n_train >= LEAST_PART * most]
    values = [m.value for m in same if m is not None and m.value is not None]
    errors = [error for m in same if m is not None and (error := _error(m)) is not None]
    own = _error(held_out)
    if own is None or held_out.value is None or len(values) < 2 or len(errors) < len(values):
        return None
    repeats = len({fold.repeat for fold in folds})
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    of_rows = sum(error * error for error in errors) / len(errors)
    models = max(0.0, spread - of_rows)
    folds_each = len(values) / repeats
    variance = own * own + of_rows / folds_each + models * (1 + 1 / len(values))
    sign = 1.0 if find_formula(held_out.name).bigger_is_better else -1.0
    return Gap(sign * (held_out.value - mean), math.sqrt(variance))


def _error(metric: Metric) -> float | None:
    """Return the standard error that the width of an interval stands for."""
    if metric.low is None or metric.high is None or not metric.low < metric.high:
        return None
    return (metric.high - metric.low) / (2 * normal_quantile(metric.level))


def about_agreement(
    name: str, held_out: tuple[Metric, ...], folds: tuple[Fold, ...], margin: float
) -> list[Finding]:
    """Return whether the main metric of the held-out rows is that of the folds, but for chance.

    A gap counts where it is significant at `LEVEL` and larger than ``margin`` (of an error: as a
    share of it), because with many rows every gap is significant. Where no gap below `WIDE` would
    have been, nothing was shown.
    """
    if not folds:
        return []
    check = findings.HeldOutDisagrees
    ours = find(held_out, name, "held-out")
    if ours is None or ours.value is None:
        return [check.skipped(f"{name} could not be computed on the held-out rows")]
    gap = gap_of(ours, folds)
    if gap is None:
        return [check.skipped(f"{name} has no interval on one of the sides")]
    half = normal_quantile(LEVEL) * gap.error
    scale = abs(ours.value) if find_formula(name).unit == "target" else 1.0
    way = "better" if gap.value > 0 else "worse"
    text = (
        f"{name}: the held-out rows are {abs(gap.value):.3g} {way} than the folds "
        f"({gap.value - half:.3g} to {gap.value + half:.3g} at {in_percent(LEVEL)}, "
        f"p = {gap.p:.2g}, n = {ours.n:,})"
    )
    evidence: dict[str, Any] = {"gap": gap.value, "error": gap.error, "p": gap.p, "level": LEVEL}
    if gap.p < 1 - LEVEL and abs(gap.value) > margin * scale:
        fix = "look for leaks and rows on both sides" if gap.value > 0 else "look for drift"
        return [check.issue(text, fix=fix, **evidence)]
    if half > WIDE * scale:
        # The width falls as 1/√n where both tables grow.
        needed = math.ceil(min(1e9, ours.n * (half / (WIDE * scale)) ** 2)) if scale else 0
        return [check.skipped(f"{text}: too few to tell", needed_n=needed, **evidence)]
    return [check.passed(text, **evidence)]
