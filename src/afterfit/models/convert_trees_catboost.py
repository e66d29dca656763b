"""CatBoost's trees, read from its own JSON.

A symmetric tree asks one question a level, and the answers are the bits of the leaf's number,
the first question the lowest bit. Borders and values are compared in single precision.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from afterfit.errors import ModelError
from afterfit.models.catboost import EXPONENTIAL, loss_of
from afterfit.models.convert_trees import LEAF, LEQ, Link, Tree, Trees

__all__ = ["read_catboost"]

_LINEAR = frozenset({"Expectile", "Huber", "LogCosh", "Lq", "MAE", "MAPE", "Quantile", "RMSE"})
_LINEAR |= {"LogLinQuantile", "SMAPE", "MedianAbsoluteError"}


def read_catboost(model: Any) -> Trees:
    """Return a model's trees; raises ModelError for what one ensemble cannot say."""
    source = _json(model)
    info = source["features_info"]
    if source.get("ctr_data") or info.get("ctrs"):
        raise ModelError(
            "CatBoost's categorical features: it counts targets by category in tables of its own"
        )
    columns = [int(feature["flat_feature_index"]) for feature in info.get("float_features", [])]
    left = [feature.get("nan_value_treatment") != "AsTrue" for feature in info["float_features"]]
    factor, base = source["scale_and_bias"]
    link, classifier = _link(loss_of(model))
    n_outputs = len(base)
    symmetric = "oblivious_trees" in source
    read = _symmetric if symmetric else _grown
    trees = [
        read(tree, n_outputs, columns, left)
        for tree in source["oblivious_trees" if symmetric else "trees"]
    ]
    return Trees(
        trees=tuple(trees),
        n_outputs=n_outputs,
        base=np.array(base, dtype=np.float64),
        link=link,
        scale=float(factor),
        single=True,
        binary=classifier and n_outputs == 1,
        classifier=classifier,
    )


def _json(model: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        return json.loads(path.read_bytes())


def _link(loss: str) -> tuple[Link, bool]:
    if loss in ("Logloss", "CrossEntropy"):
        return "sigmoid", True
    if loss == "MultiClass":
        return "softmax", True
    if loss == "MultiClassOneVsAll":
        return "each_sigmoid", True
    if loss in EXPONENTIAL:
        return "exp", False
    if loss in _LINEAR:
        return "identity", False
    raise ModelError(f"CatBoost's loss {loss!r}")


def _question(split: dict[str, Any], columns: list[int], left: list[bool]) -> list[Any]:
    """Return [kind, feature, split, side of NaN] of a question whose no goes left."""
    if split["split_type"] != "FloatFeature":
        raise ModelError("CatBoost's categorical features: it compares hashes of words")
    index = int(split["float_feature_index"])
    return [LEQ, columns[index], float(np.float32(split["border"])), left[index]]


def _symmetric(tree: dict[str, Any], n_outputs: int, columns: list[int], left: list[bool]) -> Tree:
    # The last question is the highest bit, so it is the root of a tree whose leaves are in order.
    questions = [_question(split, columns, left) for split in tree.get("splits") or ()][::-1]
    depth = len(questions)
    inner = (1 << depth) - 1
    rows = [questions[(node + 1).bit_length() - 1] for node in range(inner)]
    values = np.asarray(tree["leaf_values"], dtype=np.float64).reshape(1 << depth, n_outputs)
    number = np.arange(inner + len(values))
    return _tree(
        [*rows, *([LEAF, 0, 0.0, False] for _ in values)],
        np.where(number < inner, 2 * number + 1, 0),
        np.where(number < inner, 2 * number + 2, 0),
        np.concatenate([np.zeros((inner, n_outputs)), values]),
    )


def _grown(tree: dict[str, Any], n_outputs: int, columns: list[int], left: list[bool]) -> Tree:
    rows: list[list[Any]] = []
    sides: list[list[int]] = []
    values: list[Any] = []
    waiting: list[tuple[dict[str, Any], int, int]] = [(tree, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        number = len(rows)
        if parent >= 0:
            sides[parent][side] = number
        sides.append([0, 0])
        if "split" in node:
            rows.append(_question(node["split"], columns, left))
            values.append(np.zeros(n_outputs))
            waiting += [(node["right"], number, 1), (node["left"], number, 0)]
        else:
            rows.append([LEAF, 0, 0.0, False])
            values.append(np.asarray(node["value"], dtype=np.float64).reshape(n_outputs))
    places = np.array(sides)
    return _tree(rows, places[:, 0], places[:, 1], np.array(values))


def _tree(rows: list[list[Any]], left: np.ndarray, right: np.ndarray, value: np.ndarray) -> Tree:
    kind, feature, split, missing = zip(*rows, strict=True)
    return Tree(
        kind=np.array(kind),
        feature=np.array(feature),
        split=np.array(split, dtype=np.float64),
        left=left,
        right=right,
        missing_left=np.array(missing, dtype=bool),
        value=value,
    )
