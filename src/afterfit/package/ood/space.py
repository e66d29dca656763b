"""Distances: the covariance of features, shrunk, and the centres of rows."""

from __future__ import annotations

import numpy as np

from afterfit.core.disclosure import MIN_ROWS
from afterfit.package.ood.columns import DIGITS, digits
from afterfit.runtime.ood import Space

__all__ = ["make_space", "with_centres"]

WHOLE = 128
"""Up to so many features all of their covariance is kept."""
AXES = 64
"""Beyond, so many axes of greatest spread are, and one number for the rest."""
CENTRES = 128
ROUNDS = 15


def make_space(features: np.ndarray) -> Space:
    """Return coordinates in which the rows of [n, features] are uncorrelated, one centre at 0."""
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    covariance = _shrunk(rows - mean)
    if len(mean) <= WHOLE:
        # A Cholesky factor is the same on every machine, axes of equal spread are not.
        axes = np.linalg.inv(np.linalg.cholesky(covariance)).T
        spread, rest, count = np.ones(len(mean)), 0.0, DIGITS
    else:
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
        spread = np.sqrt(values[:AXES])
        axes = (vectors * signs)[:, :AXES] / spread
        rest, count = float(np.sqrt(values[AXES:].mean())), DIGITS - 1
    coordinates = len(spread) + (rest > 0)
    return Space(
        mean=digits(mean),
        axes=digits(axes, count),
        spread=digits(spread),
        rest=digits(np.array(rest)),
        centres=((0.0,) * coordinates,),
    )


def with_centres(space: Space, coordinates: np.ndarray, rng: np.random.Generator) -> Space:
    """Return the space with the centres of groups of ten rows or more, [n, coordinates].

    Source: Lloyd (1982), IEEE Trans. Inf. Theory 28:129. A centre is a mean and no row; groups of
    fewer rows join their neighbours.
    """
    rows = coordinates.astype(np.float64)
    wanted = min(CENTRES, len(rows) // (3 * MIN_ROWS))
    centres = rows[np.sort(rng.choice(len(rows), max(1, wanted), replace=False))]
    for _ in range(ROUNDS):
        nearest = _nearest(rows, centres)
        sizes = np.bincount(nearest, minlength=len(centres))
        if (sizes < MIN_ROWS).any():
            centres = centres[sizes >= MIN_ROWS] if (sizes >= MIN_ROWS).any() else centres[:1]
            nearest = _nearest(rows, centres)
            sizes = np.bincount(nearest, minlength=len(centres))
        sums = [np.bincount(nearest, column, len(centres)) for column in rows.T]
        centres = np.array(sums).T / np.maximum(sizes, 1)[:, None]
    return Space(
        mean=space.mean,
        axes=space.axes,
        spread=space.spread,
        rest=space.rest,
        centres=digits(centres[sizes >= MIN_ROWS]),
    )


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = np.square(centres).sum(axis=1) - 2 * rows @ centres.T
    found: np.ndarray = distances.argmin(axis=1)
    return found


def _shrunk(moved: np.ndarray) -> np.ndarray:
    """Return the covariance of centred rows, drawn towards equal spreads.

    Source: Ledoit and Wolf (2004), J. Multivar. Anal. 88:365.
    """
    n, width = moved.shape
    sample = moved.T @ moved / n
    middle = float(np.trace(sample)) / width or 1.0
    apart = float(np.square(sample - middle * np.eye(width)).sum())
    fourth = float(np.square(np.square(moved).sum(axis=1)).sum())
    noise = fourth / n - float(np.square(sample).sum())
    share = 1.0 if apart <= 0 else min(1.0, max(LEAST, noise / n / apart))
    found: np.ndarray = (1 - share) * sample + share * middle * np.eye(width)
    return found


LEAST = 1e-3
"""The least share of equal spreads: columns that follow from others have a little of their own."""
