"""A regression's error without labels: a model of how large errors are on rows of each kind.

Source: direct loss estimation, as NannyML calls it; a second model learns the first one's losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afterfit.core.fingerprint import OUTPUT
from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature
from afterfit.errors import ModelError
from afterfit.models.baseline import boosted_values
from afterfit.models.one_thread import one_thread
from afterfit.monitor.density import Ratios, Rows, with_score
from afterfit.monitor.signals.quality import QualityConfig, least_effect
from afterfit.stats.interval import Interval, normal_quantile

__all__ = ["ErrorModel", "fit_errors"]

FloatArray = npt.NDArray[np.float64]

FAR = 4.0
"""By how many standard errors an estimate may miss the other half of the reference."""


@dataclass(frozen=True)
class ErrorModel:
    """What is expected of the loss of a row: absolute errors (mae) or squared ones (rmse).

    ``rest`` is each reference row's loss less what was expected of it by a model that was not
    fitted to it, [n]. ``unproven`` says why it is not to be used, or nothing.
    """

    name: str
    expected: Callable[[Frame], np.ndarray] | None
    rest: FloatArray
    unproven: str = ""

    def estimate(
        self, rows: Rows | None, ratios: Ratios | None, answered: int, level: float
    ) -> tuple[float, Interval, float] | None:
        """Return the metric of a window, its bounds and its standard error, in the target's unit.

        ``rows`` are a sample of its ``answered`` ones, ``ratios`` how the reference differs from
        it. The bounds hold the sample's error, that of reference rows like the window's, and that
        of the window's own losses.
        """
        if rows is None or ratios is None or self.expected is None or len(rows) < 2:
            return None
        losses = np.maximum(self.expected(with_score(rows)), 0.0)
        mean = float(losses.mean())
        variance = float(losses.var(ddof=1)) / len(rows)
        weights = ratios.weights / ratios.weights.sum()
        squares = np.square(self.rest)
        variance += float(weights @ squares) / max(1, answered)
        variance += float(np.square(weights) @ squares)
        error = math.sqrt(variance)
        value = mean
        if self.name == "rmse":
            value = math.sqrt(mean)
            error = error / (2 * value) if value else error
        half = normal_quantile(level) * error
        return value, Interval(max(0.0, value - half), value + half, "error model"), error


@one_thread()
def fit_errors(
    signature: Signature, rows: Rows, names: tuple[str, ...], config: QualityConfig
) -> dict[str, ErrorModel]:
    """Return the models of the named metrics, from labelled reference rows in time order."""
    columns = tuple(c for c in signature.columns if c.name in rows.frame)
    shown = Signature(
        task="regression",
        columns=(*columns, Column(name=OUTPUT, kind="number", nullable=True)),
    )
    errors = rows.scores - np.asarray(rows.truth, np.float64)
    return {
        name: _fitted(shown, rows, name, np.abs(errors) if name == "mae" else errors**2, config)
        for name in names
        if name in ("mae", "rmse")
    }


def _fitted(
    signature: Signature, rows: Rows, name: str, losses: FloatArray, config: QualityConfig
) -> ErrorModel:
    half, n = len(rows) // 2, len(rows)
    parts = np.arange(n)[:half], np.arange(n)[half:]
    try:
        expected = np.empty(n)
        for fitted, held in (parts, parts[::-1]):
            seen = with_score(rows.take(fitted))
            model = boosted_values(signature, seen, losses[fitted], seed=config.seed)
            expected[held] = model(with_score(rows.take(held)))
        whole = boosted_values(signature, with_score(rows), losses, seed=config.seed)
    except ModelError as error:
        return ErrorModel(name, None, np.zeros(n), f"no model of the errors was fitted: {error}")
    rest = losses - expected
    for part in parts:
        why = _missed(name, expected[part], losses[part], float(rest.std()), config)
        if why:
            return ErrorModel(name, whole, rest, why)
    return ErrorModel(name, whole, rest)


def _missed(
    name: str, expected: FloatArray, losses: FloatArray, spread: float, config: QualityConfig
) -> str:
    """Return that a half of the reference was foretold badly by the other, or nothing."""
    guessed, true = float(expected.mean()), float(losses.mean())
    error = spread * math.sqrt(2 / len(losses))
    if name == "rmse":
        guessed, true = math.sqrt(max(0.0, guessed)), math.sqrt(true)
        error = error / (2 * true) if true else error
    if abs(guessed - true) <= max(FAR * error, least_effect(name, true, config)):
        return ""
    return (
        f"by one half of the reference the other half's is {guessed:.4g}, and it is {true:.4g}: "
        "errors did not stay as they were"
    )
