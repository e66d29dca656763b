"""How surprising the difference of two binned samples is: -ln p, in nats.

A p-value of any test has one distribution under "both samples come from one distribution", so
columns of different kinds can be compared and the greatest taken. The p-values here are
approximations by moments; they rank columns fairly, and what the greatest of them may be by chance
is for a bootstrap to say. Counts have shape (..., bins) and broadcast over the leading axes; the
first sample is the reference. Empty samples and constants give 0, never NaN.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Binned",
    "Law",
    "deviance",
    "deviation",
    "law_of_deviance",
    "law_of_gaps",
    "ordered",
    "share",
    "spike",
    "surprising_count",
]

FloatArray = NDArray[np.float64]
LEAST_EXPECTED = 5.0
_SMALLEST = 1e-280
_LEAST_VARIANCE = 1e-12
_LN2 = float(np.log(2.0))


class Law(NamedTuple):
    """The distribution of a sum of weighted chi-squared variables, matched in three moments.

    Source: Imhof (1961), Biometrika 48:419, section 4 (Pearson's approximation). Each is an array
    over columns: ``mean``, ``spread`` (standard deviation over that of the chi-squared variable)
    and its ``freedom``; a column whose freedom is 0 does not vary.
    """

    mean: FloatArray
    spread: FloatArray
    freedom: FloatArray

    @classmethod
    def of(cls, first: FloatArray, second: FloatArray, third: FloatArray) -> Law:
        """Return the law from the sums of the weights, of their squares and of their cubes."""
        varies = (second > 0) & (third > 0)
        safe = np.where(varies, third, 1.0)
        freedom = np.where(varies, second**3 / safe**2, 0.0)
        spread = np.where(varies, safe / np.where(varies, second, 1.0), 0.0)
        return cls(np.asarray(first, float), spread, freedom)

    def surprise(self, statistic: NDArray[Any]) -> FloatArray:
        """Return -ln P(a value at least this great), 0 where the column does not vary."""
        from scipy.special import gammaincc, gammaln

        shape = np.maximum(self.freedom, 1e-9) / 2
        scale = np.where(self.spread > 0, self.spread, 1.0)
        half = np.maximum(self.freedom + (statistic - self.mean) / scale, 0.0) / 2
        tail = gammaincc(shape, half)
        with np.errstate(divide="ignore"):
            near = -np.log(np.maximum(tail, _SMALLEST))
            # Beyond the smallest float64: the first term of the tail's expansion.
            far = half - (shape - 1) * np.log(np.maximum(half, _SMALLEST)) + gammaln(shape)
        return np.asarray(np.where(self.freedom > 0, np.where(tail > _SMALLEST, near, far), 0.0))

    def value(self, surprise: float) -> FloatArray:
        """Return the statistic that is as surprising; infinite where the column does not vary."""
        from scipy.special import gammainccinv

        half = gammainccinv(np.maximum(self.freedom, 1e-9) / 2, np.exp(-surprise))
        found = self.mean + (2 * half - self.freedom) * self.spread
        return np.asarray(np.where(self.freedom > 0, found, np.inf))


class Binned:
    """Samples in bins, (..., bins), and what follows from their counts, each made once.

    A reference is compared with windows of several sizes: its own part of it is the same.
    """

    def __init__(self, counts: NDArray[Any]) -> None:
        self.counts: FloatArray = np.asarray(counts, np.float64)

    @classmethod
    def of(cls, counts: Binned | NDArray[Any]) -> Binned:
        """Return samples as they are, or made of their counts."""
        return counts if isinstance(counts, Binned) else cls(counts)

    @cached_property
    def rows(self) -> FloatArray:
        """The size of each sample, (...)."""
        return np.asarray(self.counts.sum(axis=-1))

    @cached_property
    def shares(self) -> FloatArray:
        """The share of each bin, 0 in an empty sample."""
        return np.asarray(self.counts / np.maximum(self.rows, _SMALLEST)[..., None])

    @cached_property
    def below(self) -> FloatArray:
        """The share below each cut between two bins, (..., bins - 1)."""
        return np.asarray(np.cumsum(self.shares[..., :-1], axis=-1))

    @cached_property
    def roots(self) -> tuple[FloatArray, FloatArray]:
        """The roots of each share and of what remains: sine and cosine of one angle."""
        rest = np.subtract(1.0, self.shares)
        return np.sqrt(self.shares), np.sqrt(rest, out=rest)


def law_of_gaps(reference: NDArray[Any]) -> Law:
    """Return the law of `ordered` for one sample of each column of ``reference``, (C, bins)."""
    shares = _shares(reference)
    below = np.cumsum(shares, axis=-1)[..., :-1]
    weight = _weights(shares)
    moments = np.zeros((3, len(shares)))
    for place, used in enumerate(weight > 0):
        f, w = below[place, used], weight[place, used]
        spread = np.sqrt(w / (f * (1 - f)))
        covariance = (np.minimum.outer(f, f) - np.outer(f, f)) * np.outer(spread, spread)
        square = covariance @ covariance
        moments[:, place] = np.trace(covariance), np.trace(square), (square * covariance).sum()
    return Law.of(*moments)


def ordered(
    reference: NDArray[Any], before: Binned | NDArray[Any], after: Binned | NDArray[Any]
) -> FloatArray:
    """Return the Anderson-Darling distance of samples in ordered bins, times the sample size.

    ``reference`` fixes the weights of the cuts. The sample size is that of one sample beside the
    truth that is as noisy as these two: 1 / (1 / n + 1 / n_ref). Source: Pettitt (1976), Biometrika
    63:161, on bins.
    """
    first, second = Binned.of(before), Binned.of(after)
    both = np.maximum(first.rows + second.rows, _SMALLEST)
    gap = second.below - first.below
    pooled = gap * (second.rows / both)[..., None]
    pooled += first.below
    variance = pooled * np.subtract(1.0, pooled, out=np.empty_like(pooled))
    gap *= gap
    gap *= _weights(_shares(reference))
    # Where nobody lies on one side of a cut, the gap is 0 but for its last digits.
    gap /= np.maximum(variance, _LEAST_VARIANCE, out=variance)
    return np.asarray(first.rows * second.rows / both * gap.sum(axis=-1))


def law_of_deviance(reference: NDArray[Any], n: float) -> Law:
    """Return the law of `deviance` for windows of ``n`` rows.

    It is chi-squared with as many degrees as bins remain, less one, times Williams' factor, which
    counts what few expected rows add (Williams 1976, Biometrika 63:33).
    """
    rare = _rare(reference, n)
    shares = _shares(reference)
    kept = np.where((shares > 0) & ~rare, shares, 0.0)
    rest = np.where(rare, shares, 0.0).sum(axis=-1, keepdims=True)
    bins = np.concatenate([kept, rest], axis=-1)
    freedom = np.maximum((bins > 0).sum(axis=-1) - 1.0, 0.0)
    inverse = np.divide(1.0, bins, out=np.zeros_like(bins), where=bins > 0).sum(axis=-1)
    n_ref = np.maximum(np.asarray(reference, float).sum(axis=-1), 1.0)
    few = 1 / max(n, 1.0) + 1 / n_ref - 1 / (n + n_ref)
    factor = 1 + np.maximum(inverse - 1, 0.0) * few / (6 * np.maximum(freedom, 1.0))
    return Law.of(freedom * factor, freedom * factor**2, freedom * factor**3)


def deviance(
    reference: NDArray[Any], before: NDArray[Any], after: NDArray[Any], n: float
) -> FloatArray:
    """Return twice the log of the likelihood ratio of two samples in bins without an order.

    Bins in which ``n`` rows of the reference would be fewer than 5 are pooled into one of at least
    5. Its tail falls as e^(-half of it) at any number of rows (Sanov); that of Pearson's
    chi-squared is heavier where few rows are expected, and once a month it would be seen.
    """
    first, second = np.broadcast_arrays(np.asarray(before, float), np.asarray(after, float))
    rare = np.broadcast_to(_rare(reference, n), second.shape)
    both = (_with_rest(counts, rare) for counts in (first, second))
    n_first, n_second = first.sum(axis=-1), second.sum(axis=-1)
    r, k = both
    total = np.maximum(n_first + n_second, _SMALLEST)[..., None]
    rate = np.maximum((r + k) / total, _SMALLEST)
    found = sum(
        _relative(counts, rate * rows[..., None]) for counts, rows in ((r, n_first), (k, n_second))
    )
    return np.asarray(np.maximum(2 * found, 0.0))


def _with_rest(counts: FloatArray, rare: NDArray[np.bool_]) -> FloatArray:
    """Return counts with the rare bins emptied into one more."""
    rest = np.where(rare, counts, 0.0).sum(axis=-1, keepdims=True)
    return np.concatenate([np.where(rare, 0.0, counts), rest], axis=-1)


def _relative(counts: FloatArray, expected: FloatArray) -> FloatArray:
    from scipy.special import xlogy

    ratio = counts / np.maximum(expected, _SMALLEST)
    return np.asarray(xlogy(counts, ratio).sum(axis=-1))


def spike(
    before: Binned | NDArray[Any], after: Binned | NDArray[Any], bins: NDArray[Any]
) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the bin whose share changed most surprisingly, and that surprise over ``bins`` bins.

    The bin is found by the difference of arcsines of roots, which has about one variance in all
    bins, by its sine, which grows with it; it is then judged by `share`. The p-value is multiplied
    by the number of bins.
    """
    first, second = Binned.of(before), Binned.of(after)
    (sine, cosine), (other_sine, other_cosine) = first.roots, second.roots
    change = sine * other_cosine
    change -= cosine * other_sine
    place = np.abs(change, out=change).argmax(axis=-1)
    r, k = (np.take_along_axis(np.broadcast_to(c, change.shape), place[..., None], -1)[..., 0]
            for c in (first.counts, second.counts))  # fmt: skip
    found = share(r, first.rows, k, second.rows)
    return place, np.maximum(found - np.log(np.maximum(bins, 1)), 0.0)


def share(r: Any, n_ref: Any, k: Any, n: Any, *, more_only: bool = False) -> FloatArray:
    """Return the surprise at k of n rows where the reference has r of n_ref.

    It is the likelihood ratio's, k moved by half a row towards what is expected; both sides unless
    ``more_only``.
    """
    from scipy.special import log_ndtr, xlogy

    r, n_ref, k, n = np.broadcast_arrays(*(np.asarray(x, float) for x in (r, n_ref, k, n)))
    filled = (n > 0) & (n_ref > 0)
    n, n_ref = np.where(filled, n, 1.0), np.where(filled, n_ref, 1.0)
    gap = k - n * (k + r) / (n + n_ref)
    k = k - np.sign(gap) * np.minimum(0.5, np.abs(gap))
    rate = np.clip((k + r) / (n + n_ref), 0.0, 1.0)
    safe, other = np.where(rate > 0, rate, 1.0), np.where(rate < 1, 1 - rate, 1.0)
    ratio = sum(
        xlogy(count, count / np.maximum(total * chance, _SMALLEST))
        for count, total, chance in (
            (k, n, safe), (n - k, n, other), (r, n_ref, safe), (n_ref - r, n_ref, other)
        )
    )  # fmt: skip
    z = np.sqrt(2 * np.maximum(ratio, 0.0)) * np.sign(gap)
    found = -log_ndtr(-z) if more_only else np.maximum(-log_ndtr(-np.abs(z)) - _LN2, 0.0)
    return np.asarray(np.where(filled, found, 0.0))


def deviation(surprise: NDArray[Any]) -> FloatArray:
    """Return the standard normal deviate, of either sign, that is as surprising."""
    from scipy.special import ndtri_exp

    return np.asarray(-ndtri_exp(-(np.asarray(surprise, float) + _LN2)))


def surprising_count(
    r: Any, n_ref: Any, n: Any, surprise: float, *, more: Any = True, more_only: bool = False
) -> NDArray[np.int64]:
    """Return the least (with ``more``; else the greatest) counts of n rows beyond that surprise.

    It is that of `share`, for arrays all at once. One more than n, or -1, where no count is so
    surprising.
    """
    r, n_ref, n, more = np.broadcast_arrays(r, n_ref, n, more)
    usual = r / n_ref * n
    inside = np.where(more, np.floor(usual), np.ceil(usual)).astype(np.int64)
    outside = np.where(more, n + 1, -1)
    while (between := np.abs(outside - inside) > 1).any():
        middle = np.where(between, (inside + outside) // 2, inside)
        beyond = share(r, n_ref, middle, n, more_only=more_only) > surprise
        outside = np.where(between & beyond, middle, outside)
        inside = np.where(between & ~beyond, middle, inside)
    return np.asarray(outside, np.int64)


def _shares(counts: NDArray[Any]) -> FloatArray:
    counts = np.asarray(counts, float)
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), _SMALLEST))


def _weights(shares: FloatArray) -> FloatArray:
    """Return the weight of each cut, 0 where the reference lies on one side of it."""
    below = np.cumsum(shares, axis=-1)[..., :-1]
    inside = (below > 1e-9) & (below < 1 - 1e-9)
    return np.asarray(np.where(inside, (shares[..., :-1] + shares[..., 1:]) / 2, 0.0))


def _rare(reference: NDArray[Any], n: float) -> NDArray[np.bool_]:
    """Return which bins are pooled: those that expect few rows, and more until all expect enough.

    A pool that still expected few rows would have a far heavier tail than chi-squared.
    """
    expected = _shares(reference) * n
    order = np.argsort(expected, axis=-1, kind="stable")
    rising = np.take_along_axis(expected, order, -1)
    smaller = np.cumsum(rising, axis=-1) - rising
    pooled = (rising < LEAST_EXPECTED) | ((smaller > 0) & (smaller < LEAST_EXPECTED))
    found = np.zeros_like(pooled)
    np.put_along_axis(found, order, pooled, -1)
    return found
