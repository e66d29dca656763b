"""How a classifier decides: by a threshold on its probabilities, or in a way of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.frame import Frame
from afterfit.models.native import NativeModel

__all__ = ["OwnThreshold", "final_step", "own_labels", "own_threshold"]


class OwnThreshold(msgspec.Struct, frozen=True, kw_only=True):
    """The probability, in (0, 1), of the class ``code`` from which a model decides for it.

    ``named`` says that somebody chose this class, and not that it comes second.
    """

    value: float
    code: int = 1
    named: bool = False


def own_threshold(native: NativeModel) -> OwnThreshold | None:
    """Return the threshold that a model of two classes carries; None where none can be read.

    Tuned (``TunedThresholdClassifierCV``) or fixed (``FixedThresholdClassifier``) by the user, as
    the last step of a pipeline and inside of a finished search too.
    """
    carried = getattr(native, "threshold", None)
    if isinstance(carried, float) and 0.0 < carried < 1.0:
        return OwnThreshold(value=carried)
    decider = final_step(native.estimator)
    value = _value(decider)
    if value is None or not 0.0 < value < 1.0 or not _of_probabilities(decider):
        return None
    classes = np.asarray(decider.classes_).tolist()
    positive = _positive(decider)
    code = 1 if positive is None else classes.index(positive)
    return OwnThreshold(value=value, code=code, named=_is_fixed(decider) and positive is not None)


def own_labels(native: NativeModel, frame: Frame) -> np.ndarray | None:
    """Return the classes that the model itself decides for, int64 of [n]; -1 is none of them.

    None where a model's labels are what its probabilities say, as a booster's are.
    """
    decide = getattr(native, "decide", None)
    found: np.ndarray | None = None if decide is None else decide(frame)
    return found


def final_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, inside of a finished search or not."""
    while True:
        if "best_estimator_" in getattr(estimator, "__dict__", {}):
            estimator = estimator.best_estimator_
        elif getattr(estimator, "steps", None):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def _is_fixed(decider: Any) -> bool:
    return type(decider).__name__ == "FixedThresholdClassifier"


def _value(decider: Any) -> float | None:
    value = getattr(decider, "best_threshold_", None)
    if value is None and _is_fixed(decider):
        # scikit-learn's "auto" is the middle for probabilities.
        value = 0.5 if decider.threshold == "auto" else decider.threshold
    return float(value) if isinstance(value, int | float | np.number) else None


def _of_probabilities(decider: Any) -> bool:
    """Return whether the threshold is one of probabilities, and not of a decision function."""
    method = getattr(decider, "response_method", "auto")
    inner = getattr(decider, "estimator_", None) or getattr(decider, "estimator", None)
    return method == "predict_proba" or (method == "auto" and hasattr(inner, "predict_proba"))


def _positive(decider: Any) -> Any:
    """Return the label that the threshold speaks of; None for the second class."""
    if _is_fixed(decider):
        return decider.pos_label
    scorer = getattr(decider, "_curve_scorer", None)
    return None if scorer is None else scorer._get_pos_label()  # noqa: SLF001 - no public name
