"""How far probabilities are from the shares that come true, without the bias of small bins.

A binned calibration error is never below 0, so chance alone makes that of a perfectly calibrated
model positive (Roelofs et al. 2022, arXiv 2012.08668). Here chance is taken off (Kumar, Liang and
Ma 2019, arXiv 1909.10155), and what remains is compared with what labels drawn from the
probabilities themselves would give.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Binned", "BrierParts", "NullTest", "binned", "brier_parts", "calibration_error",
           "error_of_bins", "expected_of_bins", "null_test", "squared_error"]  # fmt: skip

FloatArray = NDArray[np.float64]

BINS = 15
LEAST_IN_BIN = 5
SINGLE_ROWS = 3000
GROUPS = 300
"""Up to so many rows each label is drawn alone, beyond it in so many groups of like scores."""
CHUNK = 1 << 20
RARE = 0.01
ROUNDING = 1e-12


class Binned(NamedTuple):
    """Bins of about equally many rows, by score; equal scores are always in one bin.

    All are float64 of [bins]: the number of rows, the mean score, the share that came true, the
    variance that chance gives their difference, and the part of the Brier score that the means
    do not tell (see `brier_parts`).
    """

    n: FloatArray
    score: FloatArray
    observed: FloatArray
    noise: FloatArray
    within: FloatArray


class BrierParts(NamedTuple):
    """The Brier score and its parts: ``reliability - resolution + uncertainty + within``."""

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


class NullTest(NamedTuple):
    """How often a calibrated model would seem as far off, and its mean plain error (ECE).

    ``notable`` is the root mean square error, chance taken off, that one in a hundred calibrated
    models shows: smaller ones cannot be told from chance.
    """

    p_value: float
    expected: float
    notable: float
    replicates: int


def calibration_error(y_true: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Return the debiased root mean square calibration error in bins of equal numbers of rows.

    ``y_true`` holds class codes of [n], ``probabilities`` is of [n, classes]: with two classes
    the second's is compared, with more that of the likeliest. Sampling alone would make each bin
    err by the variance of its mean, which is taken off. NaN for fewer than 10 rows. Source: Kumar,
    Liang and Ma (2019), NeurIPS 32, section 5.
    """
    p = np.asarray(probabilities, np.float64)
    y_true = np.asarray(y_true)
    if p.shape[1] == 2:
        score, hit = p[:, 1], (y_true == 1).astype(np.float64)
    else:
        score, hit = p.max(axis=1), (y_true == p.argmax(axis=1)).astype(np.float64)
    bins = min(BINS, len(hit) // LEAST_IN_BIN)
    if bins < 2:
        return float("nan")
    return math.sqrt(max(0.0, squared_error(binned(score, hit, bins))))


def binned(score: NDArray[Any], hit: NDArray[Any], bins: int) -> Binned:
    """Return at most ``bins`` bins of n scores and whether each came true (0 or 1); n > 0."""
    order = np.argsort(score, kind="stable")
    ordered, came = np.asarray(score, float)[order], np.asarray(hit, float)[order]
    starts = _starts(ordered, bins)
    n = np.diff(np.append(starts, len(ordered))).astype(np.float64)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.add.reduceat(values, starts) / n)

    def centred(values: FloatArray, means: FloatArray) -> FloatArray:
        return np.asarray(values - np.repeat(means, n.astype(np.int64)))

    p, y = mean(ordered), mean(came)
    off_p, off_y = centred(ordered, p), centred(came, y)
    spread = mean(np.square(off_p - off_y))
    noise = np.divide(spread, n - 1, out=np.zeros_like(spread), where=n > 1)
    return Binned(n, p, y, noise, mean(np.square(off_p) - 2 * off_p * off_y))


def squared_error(bins: Binned) -> float:
    """Return the mean squared distance of score and share, less what chance gives; may be < 0.

    Its expectation is 0 for a calibrated model, whatever the number of rows and bins, and that of
    the bins' true squared distances for any other. The root of it is a little biased, towards 0
    from below.
    """
    gaps = np.square(bins.score - bins.observed) - bins.noise
    return float((bins.n * gaps).sum() / bins.n.sum())


def error_of_bins(bins: Binned) -> float:
    """Return the plain expected calibration error (ECE): the mean absolute distance, biased up."""
    return float((bins.n * np.abs(bins.score - bins.observed)).sum() / bins.n.sum())


def expected_of_bins(scores: FloatArray, n: FloatArray, shares: FloatArray) -> FloatArray:
    """Return the plain error of drawn shares, [replicates, bins], of bins with mean ``scores``."""
    return np.asarray((np.abs(shares - scores) @ n) / n.sum())


def brier_parts(bins: Binned) -> BrierParts:
    """Return Murphy's parts of the Brier score in these bins.

    Where scores differ within a bin the three do not add up; ``within`` is what is missing: their
    variance less twice their covariance with the truth. Reliability and resolution are each too
    large by the chance in the bins, which their difference is free of. Sources: Murphy (1973),
    J. Appl. Meteor. 12:595; Stephenson, Coelho and Jolliffe (2008), Weather Forecast. 23:752.
    """
    weight = bins.n / bins.n.sum()
    base = float(weight @ bins.observed)
    reliability = float(weight @ np.square(bins.score - bins.observed))
    resolution = float(weight @ np.square(bins.observed - base))
    uncertainty, within = base * (1 - base), float(weight @ bins.within)
    whole = reliability - resolution + uncertainty + within
    return BrierParts(whole, reliability, resolution, uncertainty, within)


def null_test(score: NDArray[Any], bins: Binned, *, seed: int, replicates: int) -> NullTest:
    """Return how likely a calibrated model is to seem as far off as these bins, or farther.

    Labels are drawn from the n scores themselves, and the mean squared distance of score and share
    is compared (Bröcker and Smith 2007, Weather Forecast. 22:651). The p-value counts the rows at
    hand as one of the draws, so it is never 0; with few distinct results it errs upwards.
    """
    ordered = np.clip(np.sort(np.asarray(score, float)), 0.0, 1.0)
    ends = np.cumsum(bins.n).astype(np.int64)
    shares = _drawn(ordered, np.append(0, ends[:-1]), seed, replicates) / bins.n
    weight = bins.n / bins.n.sum()
    drawn = np.square(shares - bins.score) @ weight
    seen = float(np.square(bins.observed - bins.score) @ weight)
    above = int((drawn >= seen - ROUNDING).sum())
    expected = float(expected_of_bins(bins.score, bins.n, shares).mean())
    notable = math.sqrt(max(0.0, float(np.quantile(drawn, 1 - RARE) - drawn.mean())))
    return NullTest((1 + above) / (1 + replicates), expected, notable, replicates)


def _drawn(ordered: FloatArray, starts: NDArray[Any], seed: int, replicates: int) -> FloatArray:
    """Return how many rows of each bin come true, [replicates, bins]."""
    rng, n = np.random.default_rng(seed), len(ordered)
    if n <= SINGLE_ROWS:
        step = max(1, CHUNK // n)
        times = [min(step, replicates - start) for start in range(0, replicates, step)]
        drawn = (rng.random((size, n)) < ordered for size in times)
        sums = [np.add.reduceat(came, starts, axis=1, dtype=np.int64) for came in drawn]
        return np.concatenate(sums).astype(np.float64)
    # Sums of like probabilities are binomial but for their spread within the group, 1/300th.
    parts = np.union1d(starts, np.linspace(0, n, GROUPS, endpoint=False).astype(np.int64))
    sizes = np.diff(np.append(parts, n))
    means = np.clip(np.add.reduceat(ordered, parts) / sizes, 0.0, 1.0)
    counts = rng.binomial(sizes, means, (replicates, len(parts))).astype(np.float64)
    return np.asarray(np.add.reduceat(counts, np.searchsorted(parts, starts), axis=1))


def _starts(ordered: FloatArray, bins: int) -> NDArray[np.int64]:
    """Return where bins start, 0 first; a cut inside of equal scores goes to their nearer end."""
    n = len(ordered)
    wanted = np.arange(1, max(1, bins)) * n // max(1, bins)
    first = np.searchsorted(ordered, ordered[wanted], side="left")
    last = np.searchsorted(ordered, ordered[wanted], side="right")
    cuts = np.where(wanted - first <= last - wanted, first, last)
    kept = [0]
    for cut in np.unique(cuts).tolist():
        if cut - kept[-1] >= LEAST_IN_BIN and n - cut >= LEAST_IN_BIN:
            kept.append(cut)
    return np.array(kept, np.int64)
