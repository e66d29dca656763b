"""The scales and words of columns, as a scorer needs them; none is of fewer than ten rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from afterfit.core.disclosure import MIN_ROWS
from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Column, Signature
from afterfit.runtime.ood import ScoredColumn

__all__ = ["DIGITS", "HOT_WORDS", "MOST_WORDS", "digits", "scored_columns"]

MOST_WORDS = 255
HOT_WORDS = 12
"""Words of a column that have a feature of their own; all have one that tells how rare they are."""
HOT = math.sqrt(0.5)
"""Two rows that differ in a common word are at a distance of 1, as two that differ by a scale."""
LEAST_SHARE = 0.01
QUANTILES = ((25.0, 75.0, 1.349), (5.0, 95.0, 3.290))
"""Percentiles and how many standard deviations of a normal distribution lie between them."""
DIGITS = 5


def scored_columns(
    frame: Frame, signature: Signature, *, pixels: bool = False
) -> tuple[ScoredColumn, ...]:
    """Return how each column becomes features, by the rows of a frame.

    All ``pixels`` have one scale: those that hardly change are as bright as the others.
    """
    if pixels:
        brightest = float(f"{max(float(frame[name].max()) for name in signature.names):.3g}") or 1.0
        return tuple(
            ScoredColumn(name=name, kind="number", scale=brightest) for name in signature.names
        )
    return tuple(_column(column, frame[column.name]) for column in signature.columns)


def digits(values: np.ndarray, count: int = DIGITS) -> Any:
    """Return numbers as nested tuples, with so many digits: the last ones differ between CPUs."""
    if values.ndim:
        return tuple(digits(value, count) for value in values)
    return float(f"{float(values):.{count - 1}e}")


def _column(column: Column, values: np.ndarray) -> ScoredColumn:
    gone = missing_mask(values)
    gap = _rarity(int(gone.sum()), len(values)) if column.nullable else 0.0
    if column.kind == "category":
        return _words(column, values[~gone].tolist(), int(gone.sum()))
    if column.kind == "text":
        sizes = np.log1p([len(text) for text in values[~gone].tolist()])
        centre, scale = _centre_and_scale(sizes)
        return ScoredColumn(name=column.name, kind="text", centre=centre, scale=scale, gap=gap)
    centre, scale = _centre_and_scale(values[~gone].astype(np.float64))
    return ScoredColumn(name=column.name, kind="number", centre=centre, scale=scale, gap=gap)


def _centre_and_scale(values: np.ndarray) -> tuple[float, float]:
    """Return median and spread, the first to a hundredth of the second."""
    finite = values[np.isfinite(values)]
    if len(finite) < MIN_ROWS:
        return 0.0, 1.0
    centre = float(np.median(finite))
    scale = next((scale for scale in _scales(finite) if scale > 0 and math.isfinite(scale)), 1.0)
    scale = float(f"{scale:.2e}")
    unit = 10.0 ** (math.floor(math.log10(scale)) - 2)
    rounded = round(centre / unit) * unit if math.isfinite(centre / unit) else centre
    return float(f"{rounded:.12g}"), scale


def _scales(finite: np.ndarray) -> list[float]:
    with np.errstate(over="ignore"):
        widths = [
            float(np.percentile(finite, high) - np.percentile(finite, low)) / deviations
            for low, high, deviations in QUANTILES
        ]
        return [*widths, float(finite.std())]


def _words(column: Column, values: Sequence[str], gone: int) -> ScoredColumn:
    tally = Counter(values)
    common = [(word, n) for word, n in tally.most_common(MOST_WORDS) if n >= MIN_ROWS]
    counts = dict(sorted(common))
    n = len(values) + gone
    by_count = sorted(counts, key=lambda word: (-counts[word], word))
    hot = [word for word in by_count[:HOT_WORDS] if counts[word] >= LEAST_SHARE * n]
    other = len(values) - sum(counts.values())
    sizes = [*counts.values(), other, gone]
    names = [*counts, None, None]
    table = tuple(
        (_rarity(size, n), *(HOT if name == word else 0.0 for word in hot))
        for name, size in zip(names, sizes, strict=True)
    )
    return ScoredColumn(name=column.name, kind="words", words=tuple(counts), table=table)


def _rarity(count: int, n: int) -> float:
    """Return minus the decimal logarithm of a share: 1 for a tenth, 2 for a hundredth."""
    # Half a row where there is none: unseen is rarer than seen once.
    return float(f"{-math.log10(max(count, 0.5) / max(n, 1)):.3g}")
