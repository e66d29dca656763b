"""Conversions that are known to succeed and then answer otherwise: the reason beside the proof."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.models.convert_repair import walk
from afterfit.models.native import NativeModel, family

__all__ = ["known_traps"]


def known_traps(native: NativeModel) -> list[str]:
    """Return why common converters may get this model wrong, a sentence each."""
    return list(
        dict.fromkeys(reason for part in walk(native.estimator) for reason in _of(part, native))
    )


def _of(part: Any, native: NativeModel) -> list[str]:
    reasons = []
    name = type(part).__name__
    if getattr(part, "_preprocessor", None) is not None and hasattr(part, "_predictors"):
        reasons.append("common converters read the categories of HistGradientBoosting as numbers")
    if hasattr(part, "estimators_") and _saw_missing(part):
        reasons.append("common converters lose which way a forest sends NaN")
    if family(part, "lightgbm") and _linear(part):
        reasons.append("ONNX's trees have a number in each leaf, linear_tree has a linear model")
    if name == "CalibratedClassifierCV" and getattr(part, "method", "") == "isotonic":
        reasons.append("isotonic calibration is a staircase: a last digit can move a row one step")
    if name == "LinearDiscriminantAnalysis" and len(getattr(part, "classes_", ())) == 2:
        reasons.append("skl2onnx applies softmax where LinearDiscriminantAnalysis has a sigmoid")
    if hasattr(part, "tree_") or hasattr(part, "estimators_"):
        steps = getattr(native.estimator, "steps", None) or []
        if any(hasattr(step, "scale_") or hasattr(step, "transformers_") for _, step in steps[:-1]):
            reasons.append("scaled values fall on the trees' thresholds, where rounding decides")
    return reasons


def _saw_missing(part: Any) -> bool:
    """Return whether it answers rows with NaN, and sends some of them left."""
    if not _takes_missing(part):
        return False
    members = part.estimators_
    flat = list(np.asarray(members, dtype=object).ravel())[:5]
    trees = [getattr(member, "tree_", None) for member in flat]
    return any(
        tree is not None and bool(np.any(getattr(tree, "missing_go_to_left", np.zeros(1))))
        for tree in trees
    )


def _takes_missing(part: Any) -> bool:
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(part).input_tags.allow_nan)
    except (AttributeError, TypeError):
        return True


def _linear(part: Any) -> bool:
    booster = getattr(part, "booster_", part)
    params = getattr(booster, "params", {})
    return bool(params.get("linear_tree")) or "is_linear=1" in booster.model_to_string(
        num_iteration=1
    )
