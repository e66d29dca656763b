"""The share of wrong labels among rows with probabilities, beside the model's miscalibration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afterfit.stats.interval import normal_quantile

__all__ = ["LabelNoise", "label_noise"]

FloatArray = NDArray[np.float64]
STARTS = (0.01, 0.1)
MOST_ROWS = 20_000
MOST_SHARE = 0.45
LEAST_GAIN = 1e-6
"""Less gain in log-likelihood is rounding, and the share of flips is then 0."""
_STEEP = (0.02, 50.0)
_END, _BISECTIONS = 12.0, 8


class LabelNoise(NamedTuple):
    """The share of flipped labels with its interval, the test of "none", and each row's doubt.

    ``p_value`` is that of the likelihood ratio; ``doubt`` [n] is the probability that the row's
    label is one of the flipped ones.
    """

    share: float
    low: float
    high: float
    p_value: float
    doubt: FloatArray


class _Fit(NamedTuple):
    parameters: FloatArray
    loss: float


def label_noise(
    y_true: NDArray[Any],
    probabilities: NDArray[Any],
    *,
    level: float = 0.95,
    seed: int = 0,
    interval: bool = True,
) -> LabelNoise:
    """Return how many labels were flipped, given probabilities of [n, classes] and codes of [n].

    Two models are fitted by maximum likelihood. Without flips: the label follows the probabilities
    after recalibration, by beta calibration for two classes (Kull, Silva Filho and Flach 2017,
    AISTATS 54:623) or one temperature for more (Guo et al. 2017, ICML 70:1321). With flips: the
    same, but a share e of labels was replaced by another class, each as likely. Twice the
    difference of log-likelihoods is half a point mass at 0 and half chi-squared with one degree of
    freedom where there is no flip (Self and Liang 1987, J. Am. Stat. Assoc. 82:605). A model
    whose error has another shape than that of the calibration can still look like flips.
    The interval is that of the profile likelihood (without ``interval`` all that a share can be).
    Beyond 20,000 rows a sample is fitted; the doubt is that of all rows.
    """
    from scipy.special import chdtrc

    n = len(y_true)
    y, p = np.asarray(y_true, np.int64), np.asarray(probabilities, np.float64)
    least = _surest(p)
    logs = np.log(np.clip(p, least, 1 - least))
    rows = np.arange(n)
    if n > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(n, MOST_ROWS, replace=False))
    classes = p.shape[1]
    calibrate = _two if classes == 2 else _several
    some_y, some = y[rows], logs[rows]

    def at(parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        return calibrate(some_y, some, parameters)

    plain = np.zeros(3 if classes == 2 else 1)
    null = _fit(at, plain, classes, flips=False)
    starts = [np.append(null.parameters, _logit(share)) for share in STARTS]
    best = min((_fit(at, start, classes, flips=True) for start in starts), key=lambda f: f.loss)
    statistic = 2 * (null.loss - best.loss)
    if statistic < LEAST_GAIN:
        best = best._replace(parameters=np.append(null.parameters, -_END), loss=null.loss)
    statistic, share = max(0.0, statistic), _share(best.parameters)
    low, high = _bounds(at, best, classes, level) if interval else (0.0, MOST_SHARE)
    of_all, _ = calibrate(y, logs, best.parameters[:-1])
    flipped = share * (1 - of_all) / (classes - 1)
    doubt = flipped / (flipped + (1 - share) * of_all)
    return LabelNoise(share, low, high, float(chdtrc(1, statistic)) / 2, doubt)


def _surest(p: FloatArray) -> float:
    """Return what stands for a probability of 0.

    On n rows nobody can know that a model is surer than 1 / 2n. And a vote of 40 trees that says 0
    has said less than 1/40, so it is half of the least that the model says above 0.
    """
    inside = p[(p > 0) & (p < 1)]
    step = float(np.minimum(inside, 1 - inside).min(initial=0.5))
    return max(step / 2 if ((p <= 0) | (p >= 1)).any() else 0.0, 1 / (2 * max(len(p), 2)))


def _two(
    y: NDArray[Any], logs: FloatArray, parameters: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the recalibrated probability of each label, and its gradients of [3, n]."""
    from scipy.special import expit

    rising, falling = np.exp(parameters[:2])
    z = rising * logs[:, 1] - falling * logs[:, 0] + parameters[2]
    sign = np.where(y == 1, 1.0, -1.0)
    given = expit(sign * z)
    slope = sign * given * (1 - given)
    return given, slope * np.stack([rising * logs[:, 1], -falling * logs[:, 0], np.ones(len(y))])


def _several(
    y: NDArray[Any], logs: FloatArray, parameters: FloatArray
) -> tuple[FloatArray, FloatArray]:
    steep = np.exp(parameters[0])
    raised = np.exp(steep * (logs - logs.max(axis=1, keepdims=True)))
    q = raised / raised.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    given = q[rows, y]
    return given, (given * steep * (logs[rows, y] - (q * logs).sum(axis=1)))[None]


def _gradients(
    at: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    parameters: FloatArray,
    classes: int,
    *,
    flips: bool,
) -> tuple[FloatArray, FloatArray]:
    """Return the log-likelihood of each row, and its gradients of [parameters, n]."""
    given, slopes = at(parameters[:-1] if flips else parameters)
    share = _share(parameters) if flips else 0.0
    other = (1 - given) / (classes - 1)
    likelihood = np.maximum((1 - share) * given + share * other, 1e-300)
    inner = (1 - share * classes / (classes - 1)) / likelihood * slopes
    if flips:
        chain = share * (1 - share / MOST_SHARE)
        inner = np.concatenate([inner, ((other - given) * chain / likelihood)[None]])
    return np.log(likelihood), inner


def _fit(
    at: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    start: FloatArray,
    classes: int,
    *,
    flips: bool,
    end: tuple[float, float] = (-_END, _END),
) -> _Fit:
    from scipy.optimize import minimize

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        values, slopes = _gradients(at, parameters, classes, flips=flips)
        return -float(values.mean()), -slopes.mean(axis=1)

    n = len(at(start[:-1] if flips else start)[0])
    steep = (math.log(_STEEP[0]), math.log(_STEEP[1]))
    shape = [steep, steep, (-20.0, 20.0)] if classes == 2 else [steep]
    bounds = [*shape, end] if flips else shape
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return _Fit(found.x, float(found.fun) * n)


def _share(parameters: FloatArray) -> float:
    return MOST_SHARE / (1 + math.exp(-float(parameters[-1])))


def _logit(share: float) -> float:
    return math.log(share / (MOST_SHARE - share))


def _bounds(
    at: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    best: _Fit,
    classes: int,
    level: float,
) -> tuple[float, float]:
    """Return the shares whose profile likelihood is within the level's distance of the best."""
    allowed = best.loss + normal_quantile(level) ** 2 / 2

    def fits(end: float) -> bool:
        start = np.append(best.parameters[:-1], end)
        if -float(_gradients(at, start, classes, flips=True)[0].sum()) <= allowed:
            return True
        return _fit(at, start, classes, flips=True, end=(end, end)).loss <= allowed

    found = []
    for outer in (-_END, _END):
        inside, outside = float(best.parameters[-1]), outer
        if fits(outside):
            found.append(0.0 if outer < 0 else MOST_SHARE)
            continue
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if fits(middle) else (inside, middle)
        found.append(_share(np.array([inside])))
    return found[0], found[1]
