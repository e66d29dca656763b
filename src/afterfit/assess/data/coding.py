"""A column of two tables as small whole numbers: bins of a number, or its commonest words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from afterfit.core.frame import Frame, missing_mask
from afterfit.core.signature import Column


class Coded(NamedTuple):
    """Codes 0 to ``bins`` - 1 of the reference's rows and of the other's; the last is missing."""

    reference: np.ndarray
    other: np.ndarray
    bins: int


def coded(column: Column, reference: Frame, other: Frame, *, most: int) -> Coded:
    """Return a column's codes, of bins near equal quantiles of the reference.

    Numbers of at most ``most`` distinct values, and words, have a bin a value; the words beyond
    the commonest ``most``, and those that the reference does not have, share one. A number that
    fills a bin alone has one more above it.
    """
    first, second = reference[column.name], other[column.name]
    if column.numeric:
        first, second = as_numbers(first), as_numbers(second)
    if first.dtype.kind == "f" and second.dtype.kind == "f":
        return _numbers(first, second, most)
    return _words(first, second, most)


def as_numbers(array: np.ndarray) -> np.ndarray:
    """Return numbers and booleans, with gaps or without, as float64; others as they are."""
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    try:
        return np.where(missing_mask(array), np.nan, array).astype(np.float64)
    except (TypeError, ValueError):
        return array


def whole_codes(array: np.ndarray) -> np.ndarray:
    """Return a number for each distinct value, 0 and up in order of appearance, -1 for missing."""
    import pandas as pd

    codes: np.ndarray = pd.factorize(array, use_na_sentinel=True)[0]
    return codes


def _numbers(first: np.ndarray, second: np.ndarray, most: int) -> Coded:
    ordered = np.sort(first[~np.isnan(first)])
    distinct = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    if len(distinct) <= most:
        edges = distinct[1:]
    else:
        ranks = (np.arange(1, most) * len(ordered)) // most
        edges = np.unique(ordered[ranks])
        # A value that fills a bin has it for itself: else nothing above many zeros could be seen.
        after = np.searchsorted(ordered, edges, side="right")
        full = (after - np.searchsorted(ordered, edges) >= len(ordered) // most) & (
            after < len(ordered)
        )
        edges = np.unique(np.concatenate([edges, ordered[after[full]]]))
    gone = len(edges) + 1

    def codes(values: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(values), gone, np.searchsorted(edges, values, side="right"))

    return Coded(codes(first), codes(second), gone + 1)


def _words(first: np.ndarray, second: np.ndarray, most: int) -> Coded:
    n = len(first)
    whole = whole_codes(np.concatenate([first.astype(object), second.astype(object)]))
    counts = np.bincount(whole[:n][whole[:n] >= 0], minlength=int(whole.max(initial=-1)) + 1)
    kept = np.argsort(-counts, kind="stable")[:most]
    kept = kept[counts[kept] > 0]
    rest, gone = len(kept), len(kept) + 1
    table = np.full(len(counts) + 1, rest)
    table[kept] = np.arange(len(kept))
    table[-1] = gone
    codes = table[whole]
    return Coded(codes[:n], codes[n:], gone + 1)
