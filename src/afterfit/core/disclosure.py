"""What may be said of a column without saying anything of one person.

A bundle, an image and a public page carry ranges and edges, so each of them stands for at least
ten rows (the small-cell rule of official statistics): a number is given as it is where ten rows
hold it, and else rounded as coarsely as the ten rows around it are apart.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["MAX_EDGES", "MIN_ROWS", "reference_bins", "reference_edges", "reference_range"]

MIN_ROWS = 10
"""What fewer rows hold is not told."""
MAX_EDGES = 63
_MOST_DIGITS = 17
_ABOVE = 1e-6
"""So far above a value, as a share of it, is another one: beyond the rounding of float32."""
_STEPS = (1, 2, 5, 10)


def reference_edges(values: np.ndarray) -> list[float]:
    """Return up to 63 ascending edges near equal quantiles of the finite values.

    Between two edges lie ten rows or more, or none. An edge is a value that ten rows hold, or the
    shortest decimal number among the ten rows around the quantile; fewer than 20 rows have none.
    """
    ordered = _finite(values)
    bins = min(MAX_EDGES + 1, len(ordered) // MIN_ROWS)
    ranks = [math.ceil(len(ordered) * step / bins) - 1 for step in range(1, bins)]
    edges = sorted({_edge(ordered, rank) for rank in ranks})
    return _with_rows_between(ordered, edges)


def reference_bins(values: np.ndarray) -> list[float]:
    """Return the edges of the bins that live values are counted in: `reference_edges`, and one.

    Where ten rows hold the greatest value that lies just above it, so that a constant that rises,
    or a code that is new, falls in a bin in which no row of the reference is.
    """
    edges = reference_edges(values)
    if edges and len(edges) < MAX_EDGES and edges[-1] == np.max(values[np.isfinite(values)]):
        edges += _just_above(edges[-1])
    return edges


def reference_range(values: np.ndarray) -> tuple[float | None, float | None]:
    """Return numbers below and above all finite values; (None, None) for fewer than ten.

    An end is the outermost value where ten rows hold it. Else it is the next multiple, outwards, of
    a round step that is at least twice as wide as the ten outermost values.
    """
    ordered = _finite(values)
    if len(ordered) < MIN_ROWS:
        return None, None
    return 0.0 - _upper(-ordered[::-1]), _upper(ordered)


def _finite(values: np.ndarray) -> np.ndarray:
    numbers = np.asarray(values, dtype=np.float64)
    finite = numbers[np.isfinite(numbers)]
    rising = bool((finite[1:] >= finite[:-1]).all())
    # Adding 0 makes of a negative zero the one that all tools write alike.
    return (finite if rising else np.sort(finite)) + 0.0


def _edge(ordered: np.ndarray, rank: int) -> float:
    value = ordered[rank]
    first, after = np.searchsorted(ordered, value), np.searchsorted(ordered, value, side="right")
    if after - first >= MIN_ROWS:
        return float(value)
    half = MIN_ROWS // 2
    return _shortest(float(ordered[max(0, rank - half + 1)]), float(ordered[rank + half]))


def _just_above(value: float) -> list[float]:
    """Return a number of few digits that is greater by a millionth; none near the greatest ones."""
    found = float(f"{value + _ABOVE * (abs(value) or 1.0):.7e}")
    return [found] if value < found < math.inf else []


def _shortest(low: float, high: float) -> float:
    """Return a number of few digits in [low, high]."""
    if low <= 0 <= high:
        return 0.0
    middle = low / 2 + high / 2
    for digits in range(_MOST_DIGITS):
        found = float(f"{middle:.{digits}e}")
        if low <= found <= high:
            return found
    return middle


def _with_rows_between(ordered: np.ndarray, edges: list[float]) -> list[float]:
    """Return the edges without those that would leave one to nine rows between two."""
    below = dict(zip(edges, np.searchsorted(ordered, edges).tolist(), strict=True))
    kept: list[float] = []
    for edge in edges:
        count = below[edge] - (below[kept[-1]] if kept else 0)
        if not 0 < count < MIN_ROWS:
            kept.append(edge)
    while kept and 0 < len(ordered) - below[kept[-1]] < MIN_ROWS:
        kept.pop()
    return kept


def _upper(ordered: np.ndarray) -> float:
    top = float(ordered[-1])
    width = 2 * (top - float(ordered[-MIN_ROWS]))
    if width == 0 or not math.isfinite(width):
        return top
    exponent = math.floor(math.log10(width))
    factor = next(each for each in _STEPS if each * 10.0**exponent >= width)
    return _next_multiple(top, factor, exponent)


def _next_multiple(top: float, factor: int, exponent: int) -> float:
    """Return the smallest ``k * factor * 10 ** exponent`` that is not below ``top``."""
    step = factor * 10.0**exponent
    if step == 0 or not math.isfinite(top / step):
        return top
    count = math.ceil(top / step)
    found = [float(f"{k * factor}e{exponent}") for k in (count - 1, count, count + 1)]
    return next((each for each in found if each >= top and math.isfinite(each)), top)
