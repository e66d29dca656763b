"""Some rows of a window that is larger than its reference, drawn from its counts alone."""

from __future__ import annotations

import numpy as np

from afterfit.core.fingerprint import ColumnCounts, Fingerprint

__all__ = ["drawn_of", "thinned"]

_SINGLE = ("missing", "nan", "pinf", "ninf", "new", "other")


def thinned(counts: Fingerprint, most: int, generator: np.random.Generator) -> Fingerprint:
    """Return the counts of at most so many rows, as drawing them without replacement gives them.

    Each column is drawn by itself, from a multivariate hypergeometric distribution: what columns
    have in common is lost, and with it some of what makes them surprising together, so alarms do
    not become more. Means stay those of all rows, and least and greatest values do.
    """
    found = counts.blank()
    found.n_ref = min(counts.n_ref, most)
    for mine, whole in zip(found.columns, counts.columns, strict=True):
        _draw(mine, whole, most, generator)
    if found.output is not None and counts.output is not None:
        _draw(found.output, counts.output, most, generator)
    return found


def drawn_of(count: int, n: int, most: int, generator: np.random.Generator) -> int:
    """Return how many of ``count`` among n rows are among ``most`` that are drawn of these."""
    if n <= most:
        return count
    return int(generator.hypergeometric(count, n - count, most))


def _draw(
    into: ColumnCounts, whole: ColumnCounts, most: int, generator: np.random.Generator
) -> None:
    if whole.total <= most:
        into.merge(whole)
        return
    names, bins = list(whole.categories), len(whole.counts)
    line = [*whole.counts, *whole.categories.values(), *(getattr(whole, n) for n in _SINGLE)]
    drawn = generator.multivariate_hypergeometric(np.array(line, np.int64), most).tolist()
    into.counts = drawn[:bins]
    into.categories = dict(zip(names, drawn[bins : bins + len(names)], strict=True))
    for name, count in zip(_SINGLE, drawn[bins + len(names) :], strict=True):
        setattr(into, name, count)
    into.mean, into.m2 = whole.mean, whole.m2 * into.finite / max(1, whole.finite)
    into.min, into.max = whole.min, whole.max
