"""One 64-bit number for each row, equal where the rows are: duplicates in linear time.

A row's number is the sum of a well mixed number for each of its values, salted by the column. Two
different rows have the same one with a chance of 2^-64, so a table of 10^6 rows with about 3e-8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from afterfit.core.dataset import to_label
from afterfit.core.frame import Frame, is_missing, missing_mask
from afterfit.core.signature import Column

GONE = np.uint64(0x9E3779B97F4A7C15)
_SALT = 0xD1342543DE82EF95
_ALL = (1 << 64) - 1
_EXACT_INTEGERS = 2**53
_LARGEST = 1e38
"""Near the end of single precision; beyond it numbers are compared as they are."""


def row_hashes(
    frames: Sequence[Frame], columns: Sequence[Column], *, near: bool
) -> list[np.ndarray]:
    """Return the numbers of the rows of each frame, uint64 of [n].

    ``near`` makes values equal that differ in rounding (to single precision, and then to 16
    binary digits after the first, about 5 significant decimal ones; whole numbers stay as they
    are) or in case and white space. Two numbers on both sides of an edge of the rounding stay
    apart, so near rows may be missed, and are never invented beyond that width.
    """
    sums = [np.zeros(len(frame[columns[0].name]), np.uint64) for frame in frames]
    for place, column in enumerate(columns):
        salt = np.uint64((place + 1) * _SALT & _ALL)
        for place_of, values in enumerate(value_hashes(frames, column, near=near)):
            sums[place_of] += mixed(values + salt)
    return sums


def value_hashes(frames: Sequence[Frame], column: Column, *, near: bool) -> list[np.ndarray]:
    """Return a number for each value of a column, in each frame, uint64 of [n]."""
    arrays = [frame[column.name] for frame in frames]
    if column.numeric:
        arrays = [_as_numbers(array) for array in arrays]
    if all(array.dtype.kind in "fiub" for array in arrays):
        return [_of_numbers(array, near=near) for array in arrays]
    return _of_words(arrays, near=near)


def with_label(hashes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the numbers of rows together with their labels (codes or values)."""
    return mixed(hashes ^ _of_numbers(truth, near=False))


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Return well spread numbers, one to one.

    Source: the finalizer of SplitMix64, Steele, Lea and Flood (2014), OOPSLA.
    """
    out: np.ndarray = numbers ^ (numbers >> np.uint64(30))
    out *= np.uint64(0xBF58476D1CE4E5B9)
    out ^= out >> np.uint64(27)
    out *= np.uint64(0x94D049BB133111EB)
    out ^= out >> np.uint64(31)
    return out


def _as_numbers(array: np.ndarray) -> np.ndarray:
    """Return an array of booleans with gaps as numbers; what is none stays as it is."""
    if array.dtype.kind != "O":
        return array
    try:
        return np.where(missing_mask(array), np.nan, array).astype(np.float64)
    except (TypeError, ValueError):
        return array


def _of_numbers(array: np.ndarray, *, near: bool) -> np.ndarray:
    numbers = array.astype(np.float64) + 0.0  # of a negative zero this makes the usual one
    gone = np.isnan(numbers)
    bits = numbers.view(np.uint64).copy()
    if near:
        rounded = np.isfinite(numbers) & (numbers != np.rint(numbers))
        rounded &= np.abs(numbers) < _LARGEST
        single = numbers[rounded].astype(np.float32).view(np.uint32)
        bits[rounded] = ((single + np.uint32(0x40)) & np.uint32(0xFFFFFF80)).astype(np.uint64)
    elif array.dtype.kind in "iu" and np.abs(numbers).max(initial=0.0) > _EXACT_INTEGERS:
        # Beyond 2^53 several integers are one float64: what it leaves over tells them apart.
        with np.errstate(invalid="ignore"):
            bits += (array - numbers.astype(array.dtype)).view(np.uint64)
    bits[gone] = GONE
    return mixed(bits)


def _of_words(arrays: Sequence[np.ndarray], *, near: bool) -> list[np.ndarray]:
    import pandas as pd

    whole = np.concatenate([array.astype(object) for array in arrays])
    codes, distinct = pd.factorize(whole, use_na_sentinel=True)
    texts = [_text(value, near=near) for value in distinct.tolist()]
    known = np.append(pd.util.hash_array(np.array(texts, object), categorize=False), GONE)
    ends = np.cumsum([len(array) for array in arrays])[:-1]
    return np.split(known[codes].astype(np.uint64), ends)


def _text(value: object, *, near: bool) -> str:
    text = "" if is_missing(value) else str(to_label(value))
    return " ".join(text.casefold().split()) if near else text
