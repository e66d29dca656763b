"""What groups of rows compare by, from sums: selection, error rates, quality."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from afterfit.core.metric import Metric
from afterfit.stats.interval import Interval, wilson
from afterfit.stats.rates import (
    mean_difference_of_sums,
    mean_of_sums,
    newcombe_difference,
    ratio_of_rates,
)

__all__ = ["ERROR_SHARE", "LEAST_ROWS", "MEASURES", "Measure", "Outcome", "Sum", "Sums",
           "group_metrics", "how"]  # fmt: skip

Outcome = Literal["beyond", "perhaps", "unsure", "within"]
FOUR_FIFTHS = 0.8
GAP_LIMIT = 0.1
ERROR_SHARE = 0.25
"""Of a regression: the gap that is too much, as a share of the mean absolute error of all rows."""
LEAST_ROWS = 30
"""Rows that a group needs for a measure: of all, of the positive ones, or of the others."""


class Sum(NamedTuple):
    """Rows that a metric is the mean of, and the sums of their values and squares.

    ``effect`` is by how much the variance of the mean is greater because rows hang together.
    Counts divided by it have the usual intervals: Rao and Scott (1992), Biometrics 48:577.
    """

    n: int
    total: float
    squares: float
    effect: float = 1.0

    @property
    def mean(self) -> float:
        """The metric; raises ZeroDivisionError without rows."""
        return self.total / self.n

    @property
    def effective(self) -> tuple[float, float, float]:
        """Rows, sum and squares as if the rows were independent."""
        return self.n / self.effect, self.total / self.effect, self.squares / self.effect


Sums = Mapping[str, Sum]
"""The sums of one group by metric."""


@dataclass(frozen=True)
class Measure:
    """A comparison of groups by one metric; ``limit`` is the ratio or gap that may be.

    ``sign`` is 1 where more is better. ``rate`` says that the metric is a share of rows.
    """

    name: str
    metric: str
    limit: float
    sign: int
    ratio: bool = False
    rate: bool = True
    unit: str = ""

    def n(self, sums: Sums) -> int:
        """Return the rows that the metric is the mean of."""
        return sums[self.metric].n

    def good(self, sums: Sums) -> float:
        """Return the metric as more is better."""
        return self.sign * sums[self.metric].mean

    def compare(self, sums: Sums, best: Sums, level: float) -> Metric | None:
        """Return the ratio to, or the gap behind, the best group; None where it has no interval."""
        mine, other = sums[self.metric], best[self.metric]
        if self.ratio:
            (n, total, _), (m, theirs, _) = mine.effective, other.effective
            bounds = ratio_of_rates(total, n, theirs, m, level)
            value = mine.mean / other.mean if other.total else float("nan")
        else:
            # The side that is expected to be larger comes first, so that a gap is positive.
            sides = (other, mine) if self.sign > 0 else (mine, other)
            first, second = (side.effective for side in sides)
            value = sides[0].mean - sides[1].mean
            if self.rate:
                bounds = newcombe_difference(first[1], first[0], second[1], second[0], level)
            else:
                bounds = mean_difference_of_sums(first, second, level)
        if not all(map(math.isfinite, (value, bounds.low, bounds.high))):
            return None
        told = how(bounds, mine, other)
        n = mine.n + other.n
        return Metric.of(self.name, value, bounds, n=n, level=level, method=told, unit=self.unit)

    def judge(self, metric: Metric) -> tuple[Outcome, float | None]:
        """Return what the interval says of the limit, and by what factor more rows would decide.

        The factor is None where it is decided, and where the value lies within the limit.
        """
        value, low, high = (part or 0.0 for part in (metric.value, metric.low, metric.high))
        # Ratios must not be below their limit, gaps not above it.
        parts = (value, high, low) if self.ratio else (value, low, high)
        side = -1 if self.ratio else 1
        excess, near, far = (side * (part - self.limit) for part in parts)
        if near > 0:
            return "beyond", None
        if excess <= 0:
            return ("within" if far <= 0 else "unsure"), None
        return "perhaps", ((excess - near) / excess) ** 2


MEASURES: dict[str, Measure] = {
    measure.metric: measure
    for measure in (
        Measure("selection_ratio", "selection_rate", FOUR_FIFTHS, 1, ratio=True),
        Measure("true_positive_gap", "true_positive_rate", GAP_LIMIT, 1),
        Measure("false_positive_gap", "false_positive_rate", GAP_LIMIT, -1),
        Measure("accuracy_gap", "accuracy", GAP_LIMIT, 1),
    )
}


def how(bounds: Interval, *sums: Sum) -> str:
    """Return the method of an interval, and what a row was worth where rows hang together."""
    effect = max(part.effect for part in sums)
    return bounds.method if effect == 1.0 else f"{bounds.method}, rows worth 1/{effect:.3g}"


def group_metrics(sums: Sums, measures: Sequence[Measure], level: float) -> tuple[Metric, ...]:
    """Return the metrics of one group alone; one without rows has no value."""
    found = []
    for measure in measures:
        part = sums[measure.metric]
        n, total, squares = part.effective
        bounds = wilson(total, n, level) if measure.rate else mean_of_sums(n, total, squares, level)
        found.append(
            Metric.of(
                measure.metric,
                part.mean if part.n else math.nan,
                bounds,
                level=level,
                n=part.n,
                method=how(bounds, part),
                unit=measure.unit,
            )
        )
    return tuple(found)
