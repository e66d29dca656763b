"""Maps from a model's probabilities to ones that come true as often as they say.

Every map keeps the order of the rows: it changes what a probability says, not who is above whom.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from afterfit.stats.interval import Interval, normal_quantile, undefined

__all__ = ["CLIP", "Isotonic", "Logistic", "Map", "Temperature", "fit_isotonic",
           "fit_isotonic_counts", "fit_platt", "fit_rising", "fit_temperature", "logit",
           "logit_line"]  # fmt: skip

FloatArray = NDArray[np.float64]

CLIP = 1e-7
"""Probabilities nearer than this to 0 or 1 count as this far: their logits are infinite."""
STEPS = 60
CLOSE = 1e-10
"""The squared distance to the optimum, in standard errors, that is near enough."""
HALVINGS = 30
SINGULAR = 1e13
PARTED = 1e-6
"""A loss (nats, of all rows) below this says that a score parts the truths without error."""
LOG_TEMPERATURES = (-3.0, 3.0)


class Map(Protocol):
    """A fitted map; ``name`` and ``parameters`` are those that a person is told."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def parameters(self) -> dict[str, float]:
        """What was fitted."""
        ...

    def apply(self, probabilities: NDArray[Any]) -> FloatArray:
        """Return other probabilities of the same shape."""
        ...


class Logistic(NamedTuple):
    """Platt's: 1 / (1 + exp(-(slope * logit(p) + intercept))), of probabilities of [n]."""

    slope: float
    intercept: float
    name: str = "platt"

    @property
    def parameters(self) -> dict[str, float]:
        """The line on the logit scale."""
        return {"slope": self.slope, "intercept": self.intercept}

    def apply(self, probabilities: NDArray[Any]) -> FloatArray:
        """Return the mapped probabilities, [n]."""
        return _expit(self.slope * logit(probabilities) + self.intercept)


class Temperature(NamedTuple):
    """Logits divided by one number: above 1 takes certainty away. Of [n], or of [n, classes]."""

    temperature: float
    name: str = "temperature"

    @property
    def parameters(self) -> dict[str, float]:
        """The number."""
        return {"temperature": self.temperature}

    def apply(self, probabilities: NDArray[Any]) -> FloatArray:
        """Return the mapped probabilities in the same shape."""
        p = np.asarray(probabilities, np.float64)
        if p.ndim == 1:
            return _expit(logit(p) / self.temperature)
        return _softmax(np.log(np.clip(p, CLIP, 1.0)) / self.temperature)


class Isotonic(NamedTuple):
    """A rising line through points, level outside of them; of probabilities of [n]."""

    x: FloatArray
    y: FloatArray
    name: str = "isotonic"

    @property
    def parameters(self) -> dict[str, float]:
        """How many points the line has."""
        return {"points": float(len(self.x))}

    def apply(self, probabilities: NDArray[Any]) -> FloatArray:
        """Return the mapped probabilities, [n]."""
        return np.asarray(np.interp(probabilities, self.x, self.y), np.float64)


class LogitLine(NamedTuple):
    """Slope and intercept of the truth's log-odds on the model's, with their intervals."""

    slope: float
    slope_interval: Interval
    intercept: float
    intercept_interval: Interval


def logit(probabilities: NDArray[Any]) -> FloatArray:
    """Return log-odds, in the same shape; probabilities of 0 and 1 count as 1e-7 from them."""
    p = np.clip(np.asarray(probabilities, np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


def fit_platt(score: NDArray[Any], hit: NDArray[Any]) -> Logistic | None:
    """Return Platt's map for scores and truths (bool) of [n]; None where it would not rise.

    Truths are smoothed as Platt does, so that rows which a score parts without error do not send
    the slope to infinity. Source: Platt (1999), Advances in Large Margin Classifiers, 61.
    """
    found = _newton(_design(score), _smoothed(hit), np.array([1.0, 0.0]))
    if found is None or not found[0][0] > 0:
        return None
    slope, intercept = found[0].tolist()
    return Logistic(slope, intercept)


def fit_temperature(probabilities: NDArray[Any], codes: NDArray[Any]) -> Temperature | None:
    """Return the temperature of least log loss; None where none between 0.05 and 20 is one.

    ``probabilities`` are those of the positive class, [n], with truths (bool) of [n], or of
    [n, classes] with class codes. Source: Guo et al. (2017), arXiv 1706.04599.
    """
    from scipy.optimize import minimize_scalar

    p = np.asarray(probabilities, np.float64)
    if p.ndim == 1:
        found = _newton(logit(p)[:, None], _smoothed(codes), np.array([1.0]))
        inverse = 0.0 if found is None else float(found[0][0])
        return Temperature(1 / inverse) if inverse > 0 else None
    logs, rows = np.log(np.clip(p, CLIP, 1.0)), np.arange(len(p))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        top = scaled.max(axis=1)
        whole = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((whole - scaled[rows, codes]).mean())

    best = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded")
    at_edge = min(abs(best.x - edge) for edge in LOG_TEMPERATURES) < 0.01
    return None if at_edge else Temperature(math.exp(best.x))


def fit_isotonic(score: NDArray[Any], hit: NDArray[Any]) -> Isotonic:
    """Return the rising steps nearest to the truths (bool of [n]), joined by lines.

    No probability is nearer to 0 or 1 than 1 / (n + 2): steps at 0 and 1 would make one later row
    on the wrong side infinitely bad. Source: Zadrozny and Elkan (2002), KDD.
    """
    values, inverse, counts = np.unique(
        np.asarray(score, float), return_inverse=True, return_counts=True
    )
    hits = np.bincount(inverse, weights=np.asarray(hit, float))
    return fit_isotonic_counts(values, hits, counts - hits)


def fit_isotonic_counts(values: NDArray[Any], hits: NDArray[Any], misses: NDArray[Any]) -> Isotonic:
    """Return `fit_isotonic` for rows that are counted by ascending, distinct score, each of [m].

    The counts may be weights; a score with none of either is left out. At least one must have some.
    """
    from scipy.optimize import isotonic_regression

    weights = np.asarray(hits, float) + np.asarray(misses, float)
    some = weights > 0
    values, hits, weights = np.asarray(values, float)[some], np.asarray(hits)[some], weights[some]
    fitted = isotonic_regression(hits / weights, weights=weights).x
    edge = 1 / (weights.sum() + 2)
    fitted = np.clip(fitted, edge, 1 - edge)
    # The ends of each step are enough to draw it.
    ends = np.ones(len(values), dtype=bool)
    ends[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Isotonic(values[ends], fitted[ends])


def fit_rising(score: NDArray[Any], hit: NDArray[Any]) -> Isotonic:
    """Return `fit_isotonic` with a line through the middles of its steps, from 0 to 1.

    On a step many probabilities become one, and the order of their rows is lost: a threshold
    there could decide them as one only. This line rises everywhere, so what is above a threshold
    stays above the mapped one. Source: Oron and Flournoy (2017), Stat. Biopharm. Res. 9:258; beyond
    the middles of the outer steps the line goes halfway to 0 and to 1.
    """
    from scipy.optimize import isotonic_regression

    values, inverse, counts = np.unique(
        np.clip(np.asarray(score, float), 0.0, 1.0), return_inverse=True, return_counts=True
    )
    shares = np.bincount(inverse, weights=np.asarray(hit, float)) / counts
    found = isotonic_regression(shares, weights=counts)
    starts = found.blocks[:-1]
    middles = np.add.reduceat(values * counts, starts) / np.add.reduceat(counts, starts)
    edge = 1 / (len(inverse) + 2)
    x, y = middles, np.clip(found.x[starts], edge, 1 - edge)
    if x[0] > 0:
        x, y = np.append(0.0, x), np.append(y[0] / 2, y)
    if x[-1] < 1:
        x, y = np.append(x, 1.0), np.append(y, (1 + y[-1]) / 2)
    return Isotonic(x, y)


def logit_line(score: NDArray[Any], hit: NDArray[Any], level: float = 0.95) -> LogitLine:
    """Return the truth's log-odds as a line of the model's: slope 1, intercept 0 when calibrated.

    A slope below 1 says that the probabilities are too extreme; intervals are Wald's. Source: Cox
    (1958), Biometrika 45:562. NaN where the truths are of one kind, the scores do not vary, or
    they part the truths without error.
    """
    z = normal_quantile(level)
    nothing = LogitLine(math.nan, undefined("no line fits"), math.nan, undefined("no line fits"))
    truth = np.asarray(hit, float)
    if not 0 < truth.sum() < len(truth):
        return nothing
    found = _newton(_design(score), truth, np.array([1.0, 0.0]))
    if found is None:
        return nothing
    (slope, intercept), covariance = found
    spread = np.sqrt(np.diag(covariance))
    if not np.isfinite(spread).all():
        return nothing
    return LogitLine(
        float(slope),
        Interval(float(slope - z * spread[0]), float(slope + z * spread[0]), "wald"),
        float(intercept),
        Interval(float(intercept - z * spread[1]), float(intercept + z * spread[1]), "wald"),
    )


def _design(score: NDArray[Any]) -> FloatArray:
    scale = logit(score)
    return np.column_stack([scale, np.ones(len(scale))])


def _smoothed(hit: NDArray[Any]) -> FloatArray:
    came = np.asarray(hit, bool)
    above = int(came.sum())
    below = len(came) - above
    return np.where(came, (above + 1) / (above + 2), 1 / (below + 2))


def _newton(
    design: FloatArray, target: FloatArray, start: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Return the logistic coefficients and their covariance; None where there is no optimum."""
    beta, loss = start, _loss(design @ start, target)
    for _ in range(STEPS):
        p = _expit(design @ beta)
        slope = design.T @ (p - target)
        curve = (design * (p * (1 - p))[:, None]).T @ design
        parted = loss < PARTED
        if parted or not np.linalg.cond(curve) < SINGULAR:
            return None
        step = np.linalg.solve(curve, slope)
        if 0 <= float(slope @ step) < CLOSE:
            return beta, np.asarray(np.linalg.inv(curve), np.float64)
        taken, after = beta - step, _loss(design @ (beta - step), target)
        for _ in range(HALVINGS):
            if after <= loss:
                break
            step = step / 2
            taken, after = beta - step, _loss(design @ (beta - step), target)
        beta, loss = taken, min(after, loss)
    return None


def _loss(scale: FloatArray, target: FloatArray) -> float:
    return float((np.logaddexp(0.0, scale) - target * scale).sum())


def _expit(scale: NDArray[Any]) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(scale), np.float64)


def _softmax(scale: FloatArray) -> FloatArray:
    from scipy.special import softmax

    return np.asarray(softmax(scale, axis=1), np.float64)
