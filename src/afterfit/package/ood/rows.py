"""Rows that are unlike the reference, made of rows of it: what a scorer is chosen by."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from afterfit.core.frame import Frame, missing_mask, row_count
from afterfit.core.signature import Column, Signature

__all__ = ["FAMILIES", "made_up"]

SHARE = 0.25
"""Columns of a row that are changed, at least one."""
FAR = 3.0
FACTORS = (-1.0, 0.1, 10.0)
WIDER = 0.25
FEWEST_PIXELS = 16
CHANNELS = (1, 3)
FAMILIES = {
    "permuted": "every column shuffled by itself",
    "mixed": "each value from one of two rows",
    "shifted": "a quarter of the numbers moved by three standard deviations",
    "scaled": "a quarter of the numbers times -1, 0.1 or 10",
    "box": "uniform in a box a quarter wider than the reference on each side",
    "blocks": "the quarters of an image in another order",
    "inverted": "an image with dark for light",
}
"""What is made up, in words."""


def made_up(
    frame: Frame, signature: Signature, shape: tuple[int, ...], rng: np.random.Generator
) -> dict[str, Frame]:
    """Return as many rows of each family as the frame has, by the family's name.

    ``shape`` is (channels, height, width) of an image, or empty. Families that say nothing of
    these columns are left out.
    """
    found = {"permuted": _permuted(frame, rng), "mixed": _mixed(frame, rng)}
    numbers = [c for c in signature.columns if c.kind in {"number", "integer"}]
    if numbers:
        found["shifted"] = _changed(frame, numbers, _shift, rng)
        found["scaled"] = _changed(frame, numbers, _scale, rng)
    found["box"] = {c.name: _uniform(c, frame[c.name], rng) for c in signature.columns}
    if shape:
        pixels = np.stack([frame[name] for name in signature.names], axis=1)
        found["blocks"] = _columns(_blocks(pixels, shape), frame, signature)
        found["inverted"] = _columns(pixels.max() + pixels.min() - pixels, frame, signature)
    if len(signature.columns) == 1:
        # One column alone cannot be put together wrongly.
        del found["permuted"], found["mixed"]
    return found


def image_shape(frame: Frame, signature: Signature) -> tuple[int, ...]:
    """Return (channels, height, width) where the columns look like the pixels of an image, else ().

    They are numbers of a square or three, none of them missing or below zero, and half of them
    reach up to the same greatest value.
    """
    names, count = signature.names, len(signature.columns)
    if count < FEWEST_PIXELS or any(c.kind not in {"number", "integer"} for c in signature.columns):
        return ()
    highest = np.array([frame[name].max() for name in names], dtype=np.float64)
    lowest = np.array([frame[name].min() for name in names], dtype=np.float64)
    alike = np.count_nonzero(highest == highest.max()) * 2 >= count
    if not alike or not np.isfinite(highest).all() or not (lowest >= 0).all():
        return ()
    for channels in CHANNELS:
        side = math.isqrt(count // channels)
        if channels * side * side == count:
            return channels, side, side
    return ()


def _permuted(frame: Frame, rng: np.random.Generator) -> Frame:
    return {name: values[rng.permutation(len(values))] for name, values in frame.items()}


def _mixed(frame: Frame, rng: np.random.Generator) -> Frame:
    n = row_count(frame)
    other = rng.permutation(n)
    return {name: np.where(rng.random(n) < 0.5, v, v[other]) for name, v in frame.items()}


Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _changed(
    frame: Frame, numbers: list[Column], change: Change, rng: np.random.Generator
) -> Frame:
    """Return the rows with some of the numbers of each changed."""
    n = row_count(frame)
    order = rng.random((n, len(numbers))).argsort(axis=1).argsort(axis=1)
    chosen = order < max(1, round(SHARE * len(numbers)))
    found = dict(frame)
    for index, column in enumerate(numbers):
        values = frame[column.name]
        other = _as_kind(change(values.astype(np.float64), rng), values)
        found[column.name] = np.where(chosen[:, index], other, values)
    return found


def _shift(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    known = values[np.isfinite(values)]
    spread = float(known.std()) if len(known) else 1.0
    moved: np.ndarray = values + FAR * (spread or 1.0) * rng.choice([-1.0, 1.0], len(values))
    return moved


def _scale(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scaled: np.ndarray = values * rng.choice(FACTORS, len(values))
    return scaled


def _uniform(column: Column, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n, gone = len(values), missing_mask(values)
    known = values[~gone]
    if not len(known) or column.kind == "text":
        return values[rng.permutation(n)]
    if column.kind in {"category", "boolean"}:
        words = np.array(sorted(set(known.tolist())), dtype=known.dtype)
        return words[rng.integers(len(words), size=n)]
    low, high = float(known.min()), float(known.max())
    wider = WIDER * (high - low)
    return _as_kind(rng.uniform(low - wider, high + wider, n), values)


def _as_kind(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return numbers as whole ones where the column holds such, within int64."""
    if like.dtype.kind not in "iu":
        return numbers
    limit = 2.0**62
    whole: np.ndarray = np.clip(np.rint(numbers), -limit, limit).astype(like.dtype)
    return whole


def _blocks(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    channels, height, width = shape
    images = pixels.reshape(-1, channels, height, width)
    moved = np.roll(images, (height // 2, width // 2), axis=(2, 3))
    return moved.reshape(len(pixels), -1)


def _columns(pixels: np.ndarray, frame: Frame, signature: Signature) -> Frame:
    return {
        name: pixels[:, index].astype(frame[name].dtype)
        for index, name in enumerate(signature.names)
    }
