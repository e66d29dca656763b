"""How far live counts are from the reference's, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from afterfit.core.fingerprint import ColumnCounts, Fingerprint
from afterfit.core.metric import in_percent
from afterfit.errors import InputError
from afterfit.monitor.moved import moved
from afterfit.records.monitor import Distance
from afterfit.stats.distance import jensen_shannon, total_variation
from afterfit.stats.multiple import benjamini_hochberg
from afterfit.stats.two_sample import chi_squared, expected_by_chance

MOST_BINS = 16
"""More bins than this would mostly measure noise at some hundreds of rows."""


@dataclass(frozen=True)
class Comparison:
    """One column: its distances, and the p-value of "both samples have one distribution".

    ``told`` says in words what changed most.
    """

    column: str
    n: int
    n_ref: int
    bins: int = 0
    total_variation: float | None = None
    jensen_shannon: float | None = None
    by_chance: float = 0.0
    p_value: float = float("nan")
    message: str = ""
    told: str = ""

    def distances(self) -> tuple[Distance, ...]:
        """Return the distances as the record keeps them."""
        values = {"total_variation": self.total_variation, "jensen_shannon": self.jensen_shannon}
        return tuple(
            Distance(
                column=self.column,
                name=name,
                value=value,
                n=self.n,
                n_ref=self.n_ref,
                message=self.message,
            )
            for name, value in values.items()
            if value is not None or name == "total_variation"
        )


def compare(before: ColumnCounts, after: ColumnCounts, *, min_rows: int) -> Comparison:
    """Return how far a column's live counts are from the reference's, in at most 16 bins.

    The p-value is Pearson's two-sample chi-squared with bins of few expected rows pooled; it takes
    rows as independent, so rows that hang together make it too small.
    """
    n, n_ref = after.total, before.total
    if n < min_rows or n_ref < min_rows:
        few = "live" if n < min_rows else "reference"
        message = f"too few {few} rows: {min_rows} are needed"
        return Comparison(before.name, n, n_ref, message=message)
    first, second, only_missing = _bins(before, after)
    by_chance = expected_by_chance(first, second)
    what = "missing or not; " if only_missing else ""
    return Comparison(
        column=before.name,
        n=n,
        n_ref=n_ref,
        bins=len(first),
        total_variation=float(total_variation(first, second)),
        jensen_shannon=float(jensen_shannon(first, second)),
        by_chance=by_chance,
        p_value=chi_squared(first, second),
        message=f"{what}{len(first)} bins; by chance total variation is about {by_chance:.2g}",
        told=_told(before, after),
    )


def adjusted(comparisons: Iterable[Comparison]) -> list[float]:
    """Return the p-values adjusted for how many columns were looked at; NaN stays NaN."""
    p_values = np.array([comparison.p_value for comparison in comparisons], dtype=np.float64)
    return [float(p) for p in benjamini_hochberg(p_values)] if len(p_values) else []


def merged(windows: Iterable[Fingerprint], reference: Fingerprint) -> Fingerprint | None:
    """Return the sum of some windows of live counts, None without any; raises InputError."""
    whole: Fingerprint | None = None
    for window in windows:
        if whole is None:
            whole = reference.blank()
        try:
            whole.merge(window)
        except ValueError as error:
            raise InputError(
                "live counts of another version",
                why=str(error),
                fix="give one version's counts only",
            ) from None
    return whole


def _told(before: ColumnCounts, after: ColumnCounts) -> str:
    """Return the change in words: of missing values, or else where present ones lie now."""
    shares = [(c.missing + c.nan) / max(1, c.total) for c in (before, after)]
    change = moved(before, _present(before, before), _present(before, after))
    if abs(shares[1] - shares[0]) >= change.share * (1 - max(shares)):
        return f"{in_percent(shares[1], 1)} are missing, usually {in_percent(shares[0], 1)}"
    return change.told()


def _present(reference: ColumnCounts, counts: ColumnCounts) -> np.ndarray:
    """Return the counts of the present values, as `moved` has its bins."""
    if reference.kind in ("category", "text"):
        known = [counts.categories.get(name, 0) for name in reference.categories]
        return np.array([*known, counts.other + counts.new], np.float64)
    return np.array(counts.counts, np.float64)


def _bins(before: ColumnCounts, after: ColumnCounts) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return both samples' counts in common bins; what the reference folded away is one bin.

    Rare reference categories are only known as ``other``, so a live ``new`` value may be one of
    them: both go into one bin.
    """
    if before.kind in ("category", "text"):
        names = list(before.categories)
        counts = [
            [*(c.categories.get(name, 0) for name in names), c.other + c.new, c.missing + c.nan]
            for c in (before, after)
        ]
        return np.array(counts[0]), np.array(counts[1]), not names
    size = max(1, -(-len(before.counts) // MOST_BINS))
    starts = np.arange(0, len(before.counts), size)
    rows = [
        np.concatenate(
            [np.add.reduceat(np.asarray(c.counts), starts), [c.pinf + c.ninf, c.missing + c.nan]]
        )
        for c in (before, after)
    ]
    return rows[0], rows[1], False
