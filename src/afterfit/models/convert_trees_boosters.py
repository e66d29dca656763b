"""LightGBM's and XGBoost's trees, read from the libraries' own dumps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from afterfit.errors import ModelError
from afterfit.models.convert_trees import LEAF, LEQ, LT, MEMBER, Link, Tree, Trees

__all__ = ["read_lightgbm", "read_xgboost"]


def read_lightgbm(booster: Any) -> Trees:
    """Return a booster's trees; raises ModelError for what one ensemble cannot say."""
    dump = booster.dump_model()
    link, scale, n_classes = _lightgbm_link(str(dump.get("objective", "")))
    n_outputs = int(dump["num_tree_per_iteration"])
    trees, truncated = [], set()
    for index, info in enumerate(dump["tree_info"]):
        tree = _lightgbm_tree(info["tree_structure"], index % n_outputs)
        trees.append(tree)
        truncated |= {int(tree.feature[node]) for node in tree.members}
    averages = bool(dump.get("average_output"))
    return Trees(
        trees=tuple(trees),
        n_outputs=n_outputs,
        base=np.zeros(n_outputs),
        link=link,
        scale=scale,
        divisor=float(max(1, len(trees) // n_outputs)) if averages else 1.0,
        binary=n_classes == 2 and n_outputs == 1,
        classifier=n_classes > 0,
        truncated=tuple(sorted(truncated)),
    )


_ZERO = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold."""

_INFINITE = 1e300
"""What LightGBM's dump has in place of an infinite threshold (its AvoidInf)."""

_EXPONENTIAL = {"poisson", "gamma", "tweedie"}
_LINEAR = {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}


def _lightgbm_link(objective: str) -> tuple[Link, float, int]:
    """Return (link, factor of the sum, number of classes) of LightGBM's objective line."""
    name, *options = objective.split()
    values = dict(option.split(":", 1) for option in options if ":" in option)
    slope = float(values.get("sigmoid", 1.0))
    if name == "binary":
        return "sigmoid", slope, 2
    if name == "multiclass":
        return "softmax", 1.0, int(values["num_class"])
    if name == "multiclassova":
        return "each_sigmoid", slope, int(values["num_class"])
    if name in _EXPONENTIAL:
        return "exp", 1.0, 0
    if name in _LINEAR:
        return ("signed_square" if "sqrt" in options else "identity"), 1.0, 0
    raise ModelError(f"LightGBM's objective {objective!r}")


class _Nodes:
    """A tree under construction."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []
        self.members: dict[int, tuple[float, ...]] = {}

    def leaf(self, value: float) -> int:
        """Return the number of a new leaf."""
        self.rows.append([LEAF, 0, 0.0, 0, 0, False, value])
        return len(self.rows) - 1

    def tree(self, target: int) -> Tree:
        """Return what was built."""
        kind, feature, split, left, right, missing, value = zip(*self.rows, strict=True)
        return Tree(
            kind=np.array(kind),
            feature=np.array(feature),
            split=np.array(split, dtype=np.float64),
            left=np.array(left),
            right=np.array(right),
            missing_left=np.array(missing, dtype=bool),
            value=np.array(value, dtype=np.float64)[:, None],
            members=self.members,
            target=target,
        )


def _lightgbm_tree(root: dict[str, Any], target: int) -> Tree:
    nodes = _Nodes()
    waiting: list[tuple[dict[str, Any], int, int]] = [(root, -1, 0)]
    while waiting:
        source, parent, side = waiting.pop()
        if "split_feature" in source:
            number = _lightgbm_split(source, nodes)
            waiting += [(source["right_child"], number, 4), (source["left_child"], number, 3)]
        elif source.get("leaf_features"):
            raise ModelError("LightGBM's linear trees, whose leaves are linear models")
        else:
            number = nodes.leaf(float(source["leaf_value"]))
        if parent >= 0:
            nodes.rows[parent][side] = number
    return nodes.tree(target)


def _lightgbm_split(source: dict[str, Any], nodes: _Nodes) -> int:
    missing = source["missing_type"]
    feature = int(source["split_feature"])
    number = len(nodes.rows)
    if source["decision_type"] == "==":
        # A missing category goes right, whatever default_left says.
        nodes.members[number] = tuple(float(code) for code in source["threshold"].split("||"))
        nodes.rows.append([MEMBER, feature, 0.0, 0, 0, False, 0.0])
        return number
    if missing == "Zero":
        raise ModelError("LightGBM's zero_as_missing")
    split = float(source["threshold"])
    if split >= _INFINITE:
        # What is missing is parted from all numbers; JSON has no infinity, so it is written so.
        split = np.inf
    # Trained without missing values, LightGBM reads NaN as 0.
    side = bool(source["default_left"]) if missing == "NaN" else split >= 0.0
    if abs(split) <= _ZERO:
        # LightGBM reads every value this near to zero as zero, so all of them go one way.
        split = _ZERO if split >= 0.0 else float(np.nextafter(-_ZERO, -np.inf))
    nodes.rows.append([LEQ, feature, split, 0, 0, side, 0.0])
    return number


def read_xgboost(booster: Any, rounds: int | None = None) -> Trees:
    """Return a booster's trees, those of the first ``rounds`` only where given.

    Raises ModelError for what one ensemble cannot say.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    booster_name = learner["gradient_booster"]["name"]
    if booster_name not in ("gbtree", "dart"):
        raise ModelError(f"XGBoost's booster {booster_name!r} has no trees")
    gradient = learner["gradient_booster"]
    drop = gradient.get("weight_drop")
    model = (gradient["gbtree"] if booster_name == "dart" else gradient)["model"]
    link, classifier = _xgboost_link(learner["objective"]["name"])
    n_outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    stop = len(model["trees"]) if rounds is None else model["iteration_indptr"][rounds]
    weights = [1.0] * stop if drop is None else [float(weight) for weight in drop[:stop]]
    parts = zip(model["trees"][:stop], model["tree_info"][:stop], weights, strict=True)
    trees = [_xgboost_tree(*part) for part in parts]
    return Trees(
        trees=tuple(trees),
        n_outputs=n_outputs,
        base=_xgboost_base(learner["learner_model_param"]["base_score"], link, n_outputs),
        link=link,
        single=True,
        binary=classifier and n_outputs == 1,
        classifier=classifier,
    )


def _xgboost_link(objective: str) -> tuple[Link, bool]:
    if objective in ("binary:logistic", "reg:logistic"):
        return "sigmoid", objective.startswith("binary")
    if objective == "multi:softprob":
        return "softmax", True
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return "exp", False
    if objective.startswith("reg:"):
        return "identity", False
    raise ModelError(f"XGBoost's objective {objective!r}")


def _xgboost_base(text: str, link: Link, n_outputs: int) -> np.ndarray:
    """Return the start of the sum, float64 of [outputs]: base_score is kept after the link."""
    score = np.array(json.loads(text), dtype=np.float64).ravel()
    if link == "sigmoid":
        score = np.log(score / (1 - score))
    elif link == "exp":
        score = np.log(score)
    return np.broadcast_to(score, (n_outputs,)).copy()


def _xgboost_tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    left = np.array(tree["left_children"])
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ModelError("XGBoost's trees with a vector in each leaf")
    if any(tree["split_type"]):
        raise ModelError("XGBoost's categorical splits")
    split = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    leaf = left < 0
    return Tree(
        kind=np.where(leaf, LEAF, LT),
        feature=np.where(leaf, 0, np.array(tree["split_indices"])),
        split=split,
        left=left,
        right=np.array(tree["right_children"]),
        missing_left=np.array(tree["default_left"], dtype=bool),
        value=(split * weight)[:, None],
        target=int(target),
    )
