"""Conversions that are known to succeed and then answer otherwise: the reason beside the proof."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from afterfit.core.signature import Signature
from afterfit.models.convert import thresholds
from afterfit.models.convert_graph import column_names
from afterfit.models.convert_repair import walk
from afterfit.models.native import NativeModel, family

__all__ = ["Trap", "known_traps"]

WHOLE = 1e-6
"""A threshold that is nearer than this share to a whole number stands on it."""


class Trap(msgspec.Struct, frozen=True, kw_only=True):
    """Why common converters may get a model wrong.

    ``columns`` are those that it happens in, where they can be told. ``repair`` is what the exact
    way does in place of it; empty where there is none.
    """

    cause: str
    columns: tuple[str, ...] = ()
    repair: str = ""

    def __str__(self) -> str:
        """Return the columns and the cause in one line."""
        if not self.columns:
            return self.cause
        names = ", ".join(f"`{name}`" for name in self.columns[:5])
        more = f" and {len(self.columns) - 5} more" if len(self.columns) > 5 else ""
        return f"column{'s' if len(self.columns) > 1 else ''} {names}{more}: {self.cause}"


def known_traps(native: NativeModel, signature: Signature) -> list[Trap]:
    """Return why common converters may get this model wrong, each reason once."""
    found: dict[str, Trap] = {}
    for trap in (trap for part in walk(native.estimator) for trap in _of(part, native, signature)):
        found.setdefault(trap.cause, trap)
    return [*found.values(), *_scaled(native, signature)]


def _of(part: Any, native: NativeModel, signature: Signature) -> list[Trap]:
    traps = []
    name = type(part).__name__
    alone = _final(native.estimator) is part
    names = column_names(native, signature) if alone and not _steps(native) else ()
    if getattr(part, "_preprocessor", None) is not None and hasattr(part, "_predictors"):
        traps.append(
            Trap(
                cause="common converters read the categories of HistGradientBoosting as numbers",
                columns=_chosen(names, getattr(part, "is_categorical_", ())),
                repair="the graph asks whether a value is one of a set of categories",
            )
        )
    if hasattr(part, "estimators_") and _saw_missing(part, native, signature):
        traps.append(
            Trap(
                cause="common converters lose which way a forest sends NaN",
                columns=_with_missing(names, part, signature),
                repair="each node of the graph keeps its side for NaN",
            )
        )
    if family(part, "lightgbm") and _linear(part):
        cause = "ONNX's trees have a number in each leaf, linear_tree has a linear model"
        traps.append(Trap(cause=cause))
    if name == "CalibratedClassifierCV" and getattr(part, "method", "") == "isotonic":
        cause = "isotonic calibration is a staircase: a last digit can move a row one step"
        traps.append(Trap(cause=cause))
    if name == "LinearDiscriminantAnalysis" and len(getattr(part, "classes_", ())) == 2:
        cause = "skl2onnx applies softmax where LinearDiscriminantAnalysis has a sigmoid"
        traps.append(Trap(cause=cause))
    return traps


def _scaled(native: NativeModel, signature: Signature) -> list[Trap]:
    """Return the trap of trees behind a step that scales, with the columns that it happens in."""
    before = [part for _, step in _steps(native) for part in walk(step)]
    scaling = [type(part).__name__ for part in before if hasattr(part, "scale_")]
    known = thresholds(native, signature) if scaling else {}
    if not known:
        return []
    kind = scaling[0]
    columns = tuple(name for name, splits in known.items() if _whole(splits).any())
    if not columns:
        return [Trap(cause=f"values may fall on the trees' thresholds after {kind}")]
    return [
        Trap(
            cause=f"whole numbers sit on the trees' thresholds after {kind}, where the last digit "
            "of single precision decides",
            columns=columns,
            repair="the graph scales and compares in double precision, as the model does",
        )
    ]


def _whole(splits: np.ndarray) -> np.ndarray:
    """Return which thresholds, in the unit of their column, are whole numbers."""
    gap = np.abs(splits - np.round(splits))
    return np.asarray(gap <= WHOLE * np.maximum(1.0, np.abs(splits)))


def _steps(native: NativeModel) -> list[tuple[str, Any]]:
    return list(getattr(native.estimator, "steps", None) or [])[:-1]


def _final(estimator: Any) -> Any:
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _chosen(names: tuple[str, ...], mask: Any) -> tuple[str, ...]:
    flags = np.asarray(mask if mask is not None else (), dtype=bool)
    if len(flags) != len(names):
        return ()
    return tuple(name for name, yes in zip(names, flags.tolist(), strict=True) if yes)


def _with_missing(names: tuple[str, ...], forest: Any, signature: Signature) -> tuple[str, ...]:
    """Return the columns with holes at which some tree of a forest sends NaN left."""
    used = np.zeros(len(names), dtype=bool)
    for tree in _trees(forest):
        left = np.asarray(getattr(tree, "missing_go_to_left", np.zeros(tree.node_count)), bool)
        features = np.asarray(tree.feature)[left & (np.asarray(tree.children_left) >= 0)]
        used[features[features < len(names)]] = True
    used &= np.array([signature.column(name).nullable for name in names], dtype=bool)
    return _chosen(names, used)


def _trees(forest: Any) -> list[Any]:
    members = np.asarray(forest.estimators_, dtype=object).ravel()
    return [member.tree_ for member in members if hasattr(member, "tree_")]


def _saw_missing(part: Any, native: NativeModel, signature: Signature) -> bool:
    """Return whether holes of the data reach it, and it sends some of them left."""
    holes = any(column.nullable and column.numeric for column in signature.columns)
    filled = any(hasattr(step, "statistics_") for step in walk(native.estimator))
    if not holes or filled or not _takes_missing(part):
        return False
    return any(
        bool(np.any(getattr(tree, "missing_go_to_left", np.zeros(1)))) for tree in _trees(part)[:5]
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
