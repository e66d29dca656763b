"""The row bootstrap, as counts of how often each row was drawn.

Rows are drawn without regard to their class: drawing within classes fixes the prevalence and
so leaves its share of the error out of precision, F1, the Brier score and the log loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from afterfit.core.metric import in_percent
from afterfit.errors import UsageError
from afterfit.stats.interval import Interval, check_level, undefined

__all__ = ["Method", "Statistic", "bootstrap", "bootstrap_cells"]

Method = Literal["bca", "percentile"]
FloatArray = NDArray[np.float64]
Statistic = Callable[[NDArray[Any]], FloatArray]

# Chunks of this many draws stay inside the processor's cache and bound the memory.
CHUNK = 1 << 18
JACKKNIFE_GROUPS = 500
LEAST_REPLICATES = 20
# With fewer defined replicates than this share, the quantiles would be of another population.
LEAST_DEFINED = 0.9


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    seed: int,
    replicates: int = 1000,
    level: float = 0.95,
    method: Method = "bca",
) -> Interval:
    """Return the bootstrap interval of ``statistic`` over ``n`` rows.

    ``statistic`` takes counts of shape (R, n), how often each row is drawn in each of R
    replicates, and returns R numbers, NaN where undefined. ``bca`` corrects bias and skewness
    (Efron 1987, J. Am. Stat. Assoc. 82:171) with a jackknife over at most 500 groups of rows;
    ``percentile`` takes the quantiles as they are. The interval holds the estimate.
    """
    _check(level, replicates, method)
    if n <= 1:
        return undefined("a bootstrap needs two rows")
    generator = np.random.default_rng(seed)
    point = float(statistic(np.ones((1, n), np.int64))[0])
    draws = np.concatenate([statistic(chunk) for chunk in _row_counts(generator, n, replicates)])
    left_out: tuple[FloatArray, FloatArray] | None = None
    if method == "bca":
        left_out = _jackknife(statistic, n, generator)
    return _interval(point, draws, left_out, level)


def bootstrap_cells(
    statistic: Statistic,
    cells: NDArray[Any],
    *,
    seed: int,
    replicates: int = 1000,
    level: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
) -> Interval:
    """Return the bootstrap interval of a metric of the confusion matrix ``cells``, shape (K, K).

    Drawing n rows with replacement and counting them by cell is a multinomial draw of the cells,
    so this is the row bootstrap at a cost that does not grow with n. ``statistic`` takes matrices
    of shape (R, K, K) and returns R numbers.
    """
    _check(level, replicates, method)
    n = int(cells.sum())
    if n <= 1:
        return undefined("a bootstrap needs two rows")
    generator = np.random.default_rng(seed)
    filled = np.flatnonzero(cells)
    counts = cells.reshape(-1)[filled]

    def of_filled(drawn: NDArray[Any]) -> FloatArray:
        tables = np.zeros((len(drawn), cells.size), np.int64)
        tables[:, filled] = drawn
        return statistic(tables.reshape(-1, *cells.shape))

    point = float(of_filled(counts[None])[0])
    draws = np.concatenate(
        [
            of_filled(generator.multinomial(n, counts / n, size=size))
            for size in _chunk_sizes(replicates, cells.size)
        ]
    )
    left_out: tuple[FloatArray, FloatArray] | None = None
    if method == "bca":
        left_out = of_filled(counts - np.eye(len(counts), dtype=np.int64)), counts.astype(float)
    return _interval(point, draws, left_out, level)


def _check(level: float, replicates: int, method: Method) -> None:
    check_level(level)
    if replicates < LEAST_REPLICATES:
        raise UsageError(f"{replicates} bootstrap replicates are too few", fix="replicates = 1000")
    if method not in get_args(Method):
        raise UsageError(f"no bootstrap interval is called {method!r}", fix='method = "bca"')


def _chunk_sizes(replicates: int, width: int) -> Iterator[int]:
    """Yield how many replicates to hold at a time, so that a chunk has about CHUNK numbers."""
    step = max(1, CHUNK // width)
    for start in range(0, replicates, step):
        yield min(step, replicates - start)


def _row_counts(
    generator: np.random.Generator, n: int, replicates: int
) -> Iterator[NDArray[np.int64]]:
    """Yield counts of shape (r, n), each row a bootstrap sample of n rows."""
    for size in _chunk_sizes(replicates, n):
        draws = generator.integers(0, n, (size, n))
        draws += np.arange(size)[:, None] * n
        yield np.bincount(draws.reshape(-1), minlength=size * n).reshape(size, n)


def _jackknife(
    statistic: Statistic, n: int, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the statistic without each of at most 500 random groups of rows, and group weights."""
    groups = min(n, JACKKNIFE_GROUPS)
    member = generator.permutation(n) % groups
    values = []
    start = 0
    for size in _chunk_sizes(groups, n):
        values.append(statistic((member != np.arange(start, start + size)[:, None]).astype(int)))
        start += size
    return np.concatenate(values), np.ones(groups)


def _why_undefined(point: float, draws: FloatArray) -> str:
    """Return why these replicates bound nothing, or nothing."""
    if not np.isfinite(point):
        return "the metric is not defined on these rows"
    share = 1 - np.isfinite(draws).mean()
    if share > 1 - LEAST_DEFINED:
        return f"the metric is not defined in {in_percent(share)} of the bootstrap replicates"
    return ""


def _interval(
    point: float, draws: FloatArray, left_out: tuple[FloatArray, FloatArray] | None, level: float
) -> Interval:
    if reason := _why_undefined(point, draws):
        return undefined(reason)
    defined = draws[np.isfinite(draws)]
    tail = (1 - level) / 2
    method = "bootstrap-percentile"
    levels = (tail, 1 - tail)
    if left_out is not None:
        levels = _bca_levels(point, defined, left_out, tail)
        method = "bootstrap-bca"
    low, high = (float(bound) for bound in np.quantile(defined, levels))
    return Interval(min(low, point), max(high, point), method)


def _bca_levels(
    point: float, draws: FloatArray, left_out: tuple[FloatArray, FloatArray], tail: float
) -> tuple[float, float]:
    """Return the quantile levels after correction for median bias and acceleration."""
    normal = NormalDist()
    # Ties count half: metrics of counts repeat their own value often.
    below = float(np.mean(draws < point) + np.mean(draws == point) / 2)
    edge = 0.5 / len(draws)
    bias = normal.inv_cdf(min(max(below, edge), 1 - edge))
    acceleration = _acceleration(*left_out)

    def corrected(share: float) -> float:
        moved = bias + normal.inv_cdf(share)
        scale = 1 - acceleration * moved
        return normal.cdf(bias + moved / scale) if scale > 0 else float(moved > 0)

    return corrected(tail), corrected(1 - tail)


def _acceleration(values: FloatArray, weights: FloatArray) -> float:
    defined = np.isfinite(values)
    values, weights = values[defined], weights[defined]
    if not weights.sum():
        return 0.0
    gaps = np.average(values, weights=weights) - values
    square = float((weights * gaps**2).sum())
    return float((weights * gaps**3).sum()) / (6 * square**1.5) if square > 0 else 0.0
