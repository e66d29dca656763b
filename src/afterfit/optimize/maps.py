"""Which map probabilities need, if any, and what it makes of them and of the threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from afterfit.core.formulae import row_losses
from afterfit.core.frame import Predictions
from afterfit.core.signature import MIDDLE, Signature
from afterfit.optimize.split import numbered
from afterfit.stats.calibration import binned, null_test, squared_error
from afterfit.stats.multiple import holm
from afterfit.stats.recalibration import Map, Temperature, fit_platt, fit_rising, fit_temperature

__all__ = ["Need", "chosen_map", "mapped", "moved_threshold", "need_of"]

FOLDS = 5
LEAST_FOR_STEPS = 1000
"""With fewer rows steps follow chance, and a line of two numbers does better."""

LIKELY = 0.05
"""A calibrated model that seems this far off, or farther, less often than this may need a map."""
DRAWS = 999
MOST_BINS, ROWS_IN_BIN, MOST_CLASSES = 15, 20, 10

DECIMALS = 7
"""A threshold stands between two numbers of so many decimals: rounded answers keep their label."""

Fit = Callable[[Any, Any], Map | None]


class Need(NamedTuple):
    """How far the probabilities are off, root mean square with chance taken off.

    ``p_value`` says how often a calibrated model seems as far off (by Holm over the classes),
    ``notable`` from which error on it would have shown.
    """

    error: float
    p_value: float
    notable: float
    n: int

    @property
    def calibrated(self) -> bool:
        """Whether chance explains what is seen."""
        return self.p_value > LIKELY


def need_of(probabilities: np.ndarray, truth: np.ndarray, seed: int) -> Need:
    """Return how far probabilities of [n, classes] are off for class codes of [n].

    Of two classes the second is looked at; of more the likeliest one, and the ten commonest each.
    """
    p = np.clip(probabilities, 0.0, 1.0)
    if p.shape[1] == 2:
        sides = [(p[:, 1], truth == 1)]
    else:
        often = np.argsort(-np.bincount(truth, minlength=p.shape[1]), kind="stable")[:MOST_CLASSES]
        sides = [(p.max(axis=1), truth == p.argmax(axis=1))]
        sides += [(p[:, code], truth == code) for code in often]
    n, tests, errors = len(p), [], []
    for score, hit in sides:
        bins = binned(score, hit, max(2, min(MOST_BINS, n // ROWS_IN_BIN)))
        tests.append(null_test(score, bins, seed=seed, replicates=DRAWS * len(sides)))
        errors.append(math.sqrt(max(0.0, squared_error(bins))))
    adjusted = holm(np.array([test.p_value for test in tests]))
    worst = int(np.argmin(adjusted))
    return Need(errors[worst], float(adjusted[worst]), tests[0].notable, n)


def chosen_map(
    probabilities: np.ndarray,
    truth: np.ndarray,
    group: np.ndarray | None,
    seed: int,
    *,
    even: bool = False,
) -> Map | None:
    """Return the map of least log loss over five folds, fitted on all rows; None where none is.

    ``probabilities`` are of [n, classes], ``truth`` class codes of [n]; a group is in one fold
    only. ``even`` leaves the temperature alone, which keeps what is likeliest of two classes too.
    """
    several = probabilities.shape[1] > 2
    p = probabilities if several else probabilities[:, 1]
    y = truth if several else truth == 1
    fits: dict[str, Fit] = {"temperature": fit_temperature}
    if not several and not even:
        fits["platt"] = fit_platt
        if len(y) >= LEAST_FOR_STEPS:
            fits["isotonic"] = fit_rising
    fold = _folds(len(y), group, seed)
    losses = {name: _cross_fitted(fit, p, y, fold) for name, fit in fits.items()}
    best = min(losses, key=lambda name: losses[name])
    if not losses[best] < _loss(p, y):
        return None
    return fits[best](p, y)


def _folds(n: int, group: np.ndarray | None, seed: int) -> np.ndarray:
    """Return the fold of each row, int64 of [n]; groups stay whole."""
    units = np.arange(n) if group is None else numbered(group)
    count = int(units.max(initial=-1)) + 1
    return (np.random.default_rng(seed).permutation(count) % FOLDS)[units]


def _cross_fitted(fit: Fit, p: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Return the mean log loss of rows mapped by the other folds; as they are where none fits."""
    after = p.copy()
    for number in range(FOLDS):
        rest, test = fold != number, fold == number
        if test.any() and len(np.unique(y[rest])) > 1:
            found = fit(p[rest], y[rest])
            after[test] = p[test] if found is None else found.apply(p[test])
    return _loss(after, y)


def _loss(p: np.ndarray, y: np.ndarray) -> float:
    return float(row_losses("log_loss", y.astype(np.int64), p).mean())


def mapped(found: Map, answers: Predictions) -> Predictions:
    """Return answers with their probabilities mapped, in numpy: what the graph must answer."""
    p = answers.probabilities
    if p is None:
        raise ValueError("a model without probabilities has none to map")
    if p.shape[1] > 2:
        return Predictions(probabilities=found.apply(p))
    second = np.where(np.isnan(p[:, 1]), np.nan, found.apply(p[:, 1]))
    return Predictions(probabilities=np.column_stack([1.0 - second, second]))


def moved_threshold(found: Map, signature: Signature) -> float | None:
    """Return the threshold that decides the mapped rows as the signature does the others.

    None where nothing has to move: several classes, or a map that leaves the middle there. It
    stands half a step of seven decimals beside the mapped threshold, on the side that keeps what
    stands exactly on it where it was. Raises ValueError where that is not between 0 and 1.
    """
    if signature.task != "binary" or signature.positive_index is None:
        return None
    if signature.decides_by_likeliest and isinstance(found, Temperature):
        return None
    threshold = MIDDLE if signature.threshold is None else signature.threshold
    second = signature.positive_index == 1
    at = float(found.apply(np.array([threshold if second else 1 - threshold]))[0])
    at = at if second else 1 - at
    # Of equal probabilities the first class is taken; on a threshold it is the positive one.
    on_it = not (signature.decides_by_likeliest and second)
    half = 0.5 * 10.0**-DECIMALS
    moved = round(round(at, DECIMALS) + (-half if on_it else half), DECIMALS + 1)
    if not 0 < moved < 1:
        raise ValueError(f"the threshold would move to {at:.3g}")
    return moved
