"""Scikit-learn's trees, forests and boosted trees as Trees."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import is_missing
from afterfit.errors import ModelError
from afterfit.models.convert_trees import LEAF, LEQ, MEMBER, Link, Tree, Trees

__all__ = ["read_sklearn"]


def read_sklearn(estimator: Any) -> Trees:
    """Return an estimator's trees; raises ModelError for one that is not made of trees."""
    if hasattr(estimator, "_predictors"):
        return _histogram(estimator)
    if hasattr(estimator, "init_"):
        return _gradient(estimator)
    members = getattr(estimator, "estimators_", None) or [estimator]
    if not hasattr(members[0], "tree_"):
        raise ModelError(f"{type(estimator).__name__} is not made of trees")
    return _forest(estimator, members)


def _forest(estimator: Any, members: list[Any]) -> Trees:
    classes = getattr(estimator, "classes_", None)
    n_outputs = 1 if classes is None else len(classes)
    trees = tuple(_tree(member.tree_, normalize=classes is not None) for member in members)
    binary = n_outputs == 2
    return Trees(
        trees=trees,
        n_outputs=1 if binary else n_outputs,
        base=np.zeros(1 if binary else n_outputs),
        divisor=float(len(trees)),
        single=True,
        binary=binary,
        classifier=classes is not None,
    )


def _tree(tree: Any, *, normalize: bool = False, target: int = 0) -> Tree:
    """Return one fitted ``tree_``; a classifier's leaf holds shares that add up to 1."""
    value = np.asarray(tree.value, dtype=np.float64)[:, 0, :]
    if normalize:
        totals = value.sum(axis=1, keepdims=True)
        value = value / np.where(totals == 0, 1.0, totals)
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(
        kind=np.where(tree.children_left < 0, LEAF, LEQ),
        feature=np.asarray(tree.feature, dtype=np.int64),
        split=np.asarray(tree.threshold, dtype=np.float64),
        left=np.asarray(tree.children_left),
        right=np.asarray(tree.children_right),
        missing_left=np.asarray(missing, dtype=bool),
        value=value,
        target=target,
    )


def _gradient(estimator: Any) -> Trees:
    stages = estimator.estimators_
    n_outputs = stages.shape[1]
    rows = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    if estimator.init_ != "zero" and "dummy" not in type(estimator.init_).__module__:
        raise ModelError("a GradientBoosting model that starts from another model")
    start = estimator._raw_predict_init(rows)  # noqa: SLF001 - no public name
    classifier = hasattr(estimator, "classes_")
    link: Link = "identity"
    if classifier:
        link = "sigmoid" if n_outputs == 1 else "softmax"
    if type(estimator._loss).__name__ == "ExponentialLoss":  # noqa: SLF001 - no public name
        raise ModelError("a GradientBoosting model with exponential loss")
    return Trees(
        trees=tuple(_tree(t.tree_, target=k) for stage in stages for k, t in enumerate(stage)),
        n_outputs=n_outputs,
        base=np.asarray(start, dtype=np.float64).ravel(),
        link=link,
        scale=float(estimator.learning_rate),
        single=True,
        binary=classifier and n_outputs == 1,
        classifier=classifier,
    )


_HISTOGRAM_LINKS: dict[str, Link] = {
    "HalfSquaredError": "identity",
    "AbsoluteError": "identity",
    "PinballLoss": "identity",
    "HalfPoissonLoss": "exp",
    "HalfGammaLoss": "exp",
    "HalfBinomialLoss": "sigmoid",
    "HalfMultinomialLoss": "softmax",
}


def _histogram(estimator: Any) -> Trees:
    loss = type(estimator._loss).__name__  # noqa: SLF001 - no public name
    if loss not in _HISTOGRAM_LINKS:
        raise ModelError(f"a HistGradientBoosting model with the loss {loss}")
    columns = _Columns(estimator)
    start = estimator._baseline_prediction  # noqa: SLF001 - no public name
    stages = estimator._predictors  # noqa: SLF001 - its trees have no other name
    trees = [_grown(t, k, columns) for stage in stages for k, t in enumerate(stage)]
    n_outputs = len(stages[0]) if stages else 1
    classifier = hasattr(estimator, "classes_")
    return Trees(
        trees=tuple(trees),
        n_outputs=n_outputs,
        base=np.asarray(start, dtype=np.float64).ravel(),
        link=_HISTOGRAM_LINKS[loss],
        binary=classifier and n_outputs == 1,
        classifier=classifier,
    )


class _Columns:
    """Which input column a histogram tree's feature is, and what its category codes stand for.

    Fitted with categories, the model puts those columns first and numbers their values.
    """

    def __init__(self, estimator: Any) -> None:
        preprocessor = getattr(estimator, "_preprocessor", None)
        count = estimator.n_features_in_
        self.source = np.arange(count)
        self.values: dict[int, np.ndarray] = {}
        if preprocessor is None:
            return
        is_category = np.asarray(estimator.is_categorical_, dtype=bool)
        self.source = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
        encoder = preprocessor.named_transformers_["encoder"]
        for feature, known in enumerate(encoder.categories_):
            present = [value for value in known.tolist() if not is_missing(value)]
            numeric = all(isinstance(value, int | float) for value in present)
            # Text reaches the trees as its number: the graph looks it up first.
            self.values[feature] = np.array(present if numeric else range(len(present)), float)


def _grown(predictor: Any, target: int, columns: _Columns) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    category = nodes["is_categorical"].astype(bool) & ~leaf
    feature = nodes["feature_idx"].astype(np.int64)
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    missing_left = nodes["missing_go_to_left"].astype(bool)
    kind = np.where(leaf, LEAF, np.where(category, MEMBER, LEQ))
    members: dict[int, tuple[float, ...]] = {}
    for node in np.flatnonzero(category):
        known = columns.values[int(feature[node])]
        inside = _bits(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]], len(known))
        if missing_left[node]:
            # An unknown category goes where a missing one goes: ask for the right side instead.
            left[node], right[node], inside = right[node], left[node], ~inside
            missing_left[node] = False
        members[int(node)] = tuple(float(value) for value in known[inside])
    if any(not values for values in members.values()):
        raise ModelError("a comparison with no category")
    return Tree(
        kind=kind,
        feature=columns.source[np.where(leaf, 0, feature)],
        split=np.where(kind == LEQ, nodes["num_threshold"], 0.0),
        left=left,
        right=right,
        missing_left=missing_left,
        value=nodes["value"].astype(np.float64)[:, None],
        members=members,
        target=target,
    )


def _bits(words: np.ndarray, count: int) -> np.ndarray:
    """Return the first ``count`` bits of a bitset of 32-bit words, bool of [count]."""
    index = np.arange(count)
    return np.asarray(
        (np.asarray(words)[index // 32] >> (index % 32).astype(np.uint32)) & 1 == 1, dtype=bool
    )
