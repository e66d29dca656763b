"""Trees as ONNX writes them: one ``TreeEnsemble`` (ai.onnx.ml 5) in double precision.

The common converters round thresholds to single precision and know one way to treat a missing
value, so a row near a threshold, or with a hole, may go the other way. Here every comparison is
the library's own: the same precision, the same side for NaN, the same sets of categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from afterfit.models.convert_graph import ML

__all__ = ["LEAF", "LEQ", "LT", "MEMBER", "Container", "Link", "Tree", "Trees", "emit", "table"]

LEAF, LEQ, LT, MEMBER = -1, 0, 1, 6
"""Kinds of node; the last three are the numbers that ONNX gives to its comparisons."""

Link = Literal["identity", "sigmoid", "softmax", "exp", "each_sigmoid", "signed_square"]


@dataclass(frozen=True)
class Tree:
    """One tree by node: arrays of [nodes], the root first.

    ``kind`` is LEAF, LEQ (x <= split), LT (x < split) or MEMBER (x is in ``members``); a true
    comparison goes left. ``missing_left`` is the side of NaN. ``value`` is [nodes, outputs], read
    at leaves only; ``target`` is the output that a tree with one value adds to.
    """

    kind: np.ndarray
    feature: np.ndarray
    split: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    members: dict[int, tuple[float, ...]] = field(default_factory=dict)
    target: int = 0


@dataclass(frozen=True)
class Trees:
    """An ensemble: the sum of its trees' values, by ``divisor``, times ``scale``, plus ``base``.

    ``link`` turns that into the answer; division and factor are apart to round as the libraries do.

    ``single`` says that the library rounds inputs to single precision before it compares.
    ``zero_missing`` says that it takes a zero for a missing value.
    ``binary`` says that the one output is the second class's probability.
    """

    trees: tuple[Tree, ...]
    n_outputs: int
    base: np.ndarray
    link: Link = "identity"
    scale: float = 1.0
    divisor: float = 1.0
    single: bool = False
    binary: bool = False
    classifier: bool = False
    truncated: tuple[int, ...] = ()
    zero_missing: bool = False


class Container(Protocol):
    """Where nodes and constants go: a converter's container or a graph under construction."""

    def constant(self, value: np.ndarray) -> str:
        """Return the name of a constant."""
        ...

    def node(self, kind: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Return the name of a new node's output."""
        ...


def emit(trees: Trees, out: Container, rows: str) -> str:
    """Return the name of the answers, float64 of [n, classes] or [n, 1].

    ``rows`` is of double precision, [n, features].
    """
    if trees.zero_missing:
        zero, hole = out.constant(np.array(0.0)), out.constant(np.array(np.nan))
        rows = out.node("Where", [out.node("Equal", [rows, zero]), hole, rows])
    if trees.single:
        rows = out.node("Cast", [out.node("Cast", [rows], to=_FLOAT)], to=_DOUBLE)
    several = trees.n_outputs > 1 and any(tree.value.shape[1] > 1 for tree in trees.trees)
    total = _by_leaf(trees, out, rows) if several else _summed(trees, out, rows)
    if trees.divisor != 1.0:
        total = out.node("Div", [total, out.constant(np.array(trees.divisor))])
    if trees.scale != 1.0:
        total = out.node("Mul", [total, out.constant(np.array(trees.scale))])
    if trees.base.any():
        total = out.node("Add", [total, out.constant(trees.base.reshape(1, -1))])
    return _linked(trees, out, total)


def table(trees: Trees) -> dict[str, np.ndarray]:
    """Return {feature, split} of every comparison with a number, for probing beside thresholds."""
    pairs = {
        (int(tree.feature[node]), float(tree.split[node]))
        for tree in trees.trees
        for node in np.flatnonzero((tree.kind == LEQ) | (tree.kind == LT))
    }
    ordered = sorted(pairs)
    return {
        "feature": np.array([feature for feature, _ in ordered], dtype=np.int64),
        "split": np.array([split for _, split in ordered], dtype=np.float64),
    }


_FLOAT, _DOUBLE, _INT64 = 1, 11, 7


def _summed(trees: Trees, out: Container, rows: str) -> str:
    """Return [n, outputs]: each leaf adds its value to its tree's output."""
    writer = _Writer()
    for tree in trees.trees:
        column = tree.value.shape[1] - 1
        writer.add(tree, tree.value[:, column], tree.target)
    return out.node("TreeEnsemble", [rows], domain=ML, **writer.attributes(trees.n_outputs))


def _by_leaf(trees: Trees, out: Container, rows: str) -> str:
    """Return [n, outputs] where a leaf has a value for each output.

    A leaf of TreeEnsemble holds one number. So each tree answers the row of its leaf in a table,
    and the table's rows are added up.
    """
    writer = _Writer()
    values: list[np.ndarray] = []
    start = 0
    for index, tree in enumerate(trees.trees):
        number = np.cumsum(tree.kind == LEAF) - 1 + start
        writer.add(tree, number.astype(np.float64), index)
        values.append(tree.value[tree.kind == LEAF])
        start += len(values[-1])
    leaves = out.node("TreeEnsemble", [rows], domain=ML, **writer.attributes(len(trees.trees)))
    whole = out.node("Cast", [leaves], to=_INT64)
    found = out.node("Gather", [out.constant(np.concatenate(values)), whole], axis=0)
    axis = out.constant(np.array([1], dtype=np.int64))
    return out.node("ReduceSum", [found, axis], keepdims=0)


def _linked(trees: Trees, out: Container, total: str) -> str:
    if trees.link == "softmax":
        return out.node("Softmax", [total], axis=1)
    if trees.link == "exp":
        return out.node("Exp", [total])
    if trees.link == "signed_square":
        return out.node("Mul", [total, out.node("Abs", [total])])
    if trees.link in ("sigmoid", "each_sigmoid"):
        total = out.node("Sigmoid", [total])
    if not trees.binary:
        return total
    other = out.node("Sub", [out.constant(np.array(1.0)), total])
    return out.node("Concat", [other, total], axis=1)


class _Writer:
    """Collects trees as the flat attributes of one TreeEnsemble."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.features: list[int] = []
        self.modes: list[int] = []
        self.splits: list[float] = []
        self.children: tuple[list[int], list[int]] = ([], [])
        self.leafs: tuple[list[int], list[int]] = ([], [])
        self.missing: list[int] = []
        self.members: list[float] = []
        self.weights: list[float] = []
        self.targets: list[int] = []

    def add(self, tree: Tree, weights: np.ndarray, target: int) -> None:
        """Append one tree whose leaf ``i`` adds ``weights[i]`` to output ``target``."""
        if tree.kind[0] == LEAF:
            tree, weights = _stump(tree), np.full(2, weights[0])
        inner = np.flatnonzero(tree.kind != LEAF)
        start = len(self.features)
        place = {int(node): start + index for index, node in enumerate(inner)}
        self.roots.append(start)
        for node in inner:
            self.features.append(int(tree.feature[node]))
            self.modes.append(int(tree.kind[node]))
            self.splits.append(float(tree.split[node]))
            self.missing.append(int(tree.missing_left[node]))
            if tree.kind[node] == MEMBER:
                self.members += [*tree.members[int(node)], float("nan")]
            for side, child in enumerate((int(tree.left[node]), int(tree.right[node]))):
                leaf = tree.kind[child] == LEAF
                self.leafs[side].append(int(leaf))
                self.children[side].append(len(self.weights) if leaf else place[child])
                if leaf:
                    self.weights.append(float(weights[child]))
                    self.targets.append(target)

    def attributes(self, n_targets: int) -> dict[str, Any]:
        """Return the operator's attributes."""
        from onnx import numpy_helper

        attributes: dict[str, Any] = {
            "n_targets": n_targets,
            "aggregate_function": 1,
            "post_transform": 0,
            "tree_roots": self.roots,
            "nodes_featureids": self.features,
            "nodes_modes": numpy_helper.from_array(np.array(self.modes, dtype=np.uint8)),
            "nodes_splits": numpy_helper.from_array(np.array(self.splits, dtype=np.float64)),
            "nodes_truenodeids": self.children[0],
            "nodes_falsenodeids": self.children[1],
            "nodes_trueleafs": self.leafs[0],
            "nodes_falseleafs": self.leafs[1],
            "nodes_missing_value_tracks_true": self.missing,
            "leaf_targetids": self.targets,
            "leaf_weights": numpy_helper.from_array(np.array(self.weights, dtype=np.float64)),
        }
        if self.members:
            members = np.array(self.members, dtype=np.float64)
            attributes["membership_values"] = numpy_helper.from_array(members)
        return attributes


def _stump(tree: Tree) -> Tree:
    """Return a tree that is a lone leaf as a comparison with that leaf on both sides."""
    return Tree(
        kind=np.array([LEQ, LEAF]),
        feature=np.zeros(2, dtype=np.int64),
        split=np.zeros(2),
        left=np.array([1, 0]),
        right=np.array([1, 0]),
        missing_left=np.zeros(2, dtype=bool),
        value=np.repeat(tree.value[:1], 2, axis=0),
        target=tree.target,
    )
