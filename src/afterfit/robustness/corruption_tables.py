"""Ways to spoil the rows of a table: noise, gaps, swapped categories, wrong units."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Column
from afterfit.robustness.corruption import SHARES, Corruption
from afterfit.robustness.layout import image_layout

if TYPE_CHECKING:
    from afterfit.robustness.evidence import Evidence

__all__ = ["table_corruptions"]

SDS = (0.05, 0.1, 0.2, 0.5, 1.0)
UNIT_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)
FACTORS = (10.0, 100.0)
LARGEST_WHOLE = 2.0**53


def table_corruptions(evidence: Evidence) -> list[Corruption]:
    """Return the ladders of a table; none for an image, whose columns are pixels."""
    if image_layout(evidence.inputs, evidence.signature) is not None:
        return []
    columns = evidence.signature.columns
    numbers = [column for column in columns if column.kind in ("number", "integer")]
    words = [column for column in columns if column.kind in ("category", "boolean")]
    gaps = [column for column in columns if column.nullable]
    noise = partial(_noise, columns=numbers) if numbers else None
    missing = partial(_missing, columns=gaps) if gaps else None
    swaps = partial(_swaps, columns=words) if words else None
    units = partial(_units, columns=numbers) if numbers else None
    return [
        Corruption("numeric noise", "noise_drop", "standard deviations", SDS, noise),
        Corruption("missing values", "missing_drop", "of the values", SHARES, missing),
        Corruption("swapped categories", "swap_drop", "of the values", SHARES, swaps),
        Corruption("wrong units", "unit_drop", "of the rows", UNIT_SHARES, units),
    ]


def _noise(
    rows: Frame, level: float, random: np.random.Generator, *, columns: list[Column]
) -> dict[str, np.ndarray]:
    """Return normal noise of ``level`` standard deviations on every number, within its range.

    A value that more than half of the rows hold stays: such a 0 means "none", and is exact.
    """
    changed = {}
    for column in columns:
        values = rows[column.name].astype(np.float64)
        drawn = random.standard_normal(len(values))
        known = values[np.isfinite(values)]
        if not len(known):
            continue
        usual = np.sort(known)[len(known) // 2]
        exact = (values == usual) & ((known == usual).mean() > 0.5)
        moved = np.clip(values + level * float(known.std()) * drawn, known.min(), known.max())
        moved = np.where(exact, values, moved)
        changed[column.name] = _typed(moved, rows[column.name], column)
    return changed


def _missing(
    rows: Frame, level: float, random: np.random.Generator, *, columns: list[Column]
) -> dict[str, np.ndarray]:
    """Return a share of the values missing, in the columns that may have gaps."""
    changed = {}
    for column in columns:
        values = rows[column.name]
        gone = random.random(len(values)) < level
        if values.dtype.kind in "fiu":
            changed[column.name] = np.where(gone, np.nan, values.astype(np.float64))
        else:
            emptied = values.astype(object)
            emptied[gone] = None
            changed[column.name] = emptied
    return changed


def _swaps(
    rows: Frame, level: float, random: np.random.Generator, *, columns: list[Column]
) -> dict[str, np.ndarray]:
    """Return a share of the categories and booleans replaced by another one of their column."""
    changed = {}
    for column in columns:
        values = rows[column.name]
        n = len(values)
        hit = (random.random(n) < level) & ~missing_mask(values)
        drawn = random.random(n)
        known = sorted(set(values[~missing_mask(values)].tolist()))
        if len(known) < 2:
            continue
        place = {value: index for index, value in enumerate(known)}
        swapped = values.astype(object)
        for row in np.flatnonzero(hit).tolist():
            away = 1 + int(drawn[row] * (len(known) - 1))
            swapped[row] = known[(place[values[row]] + away) % len(known)]
        changed[column.name] = swapped.astype(values.dtype)
    return changed


def _units(
    rows: Frame, level: float, random: np.random.Generator, *, columns: list[Column]
) -> dict[str, np.ndarray]:
    """Return a share of the rows with one of their numbers ten or a hundred times too large."""
    n = len(rows[columns[0].name])
    hit = random.random(n) < level
    chosen = random.integers(0, len(columns), n)
    factor = random.choice(FACTORS, n)
    changed = {}
    for index, column in enumerate(columns):
        values = rows[column.name].astype(np.float64)
        scaled = np.where(hit & (chosen == index), values * factor, values)
        changed[column.name] = _typed(scaled, rows[column.name], column)
    return changed


def _typed(values: np.ndarray, before: np.ndarray, column: Column) -> np.ndarray:
    """Return values as the column holds them: whole numbers stay whole."""
    if column.kind != "integer":
        return values
    whole: np.ndarray = np.rint(np.clip(values, -LARGEST_WHOLE, LARGEST_WHOLE))
    return whole.astype(before.dtype) if before.dtype.kind in "iu" else whole
