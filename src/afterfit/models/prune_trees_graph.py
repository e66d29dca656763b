"""A model with other trees in it, as a graph; and rows as they reach a model's trees."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from afterfit.core.frame import Frame
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.convert import Attempt, Converted, to_onnx
from afterfit.models.convert_booster import read_booster
from afterfit.models.convert_graph import ML_OPSET, finish
from afterfit.models.convert_trees import LEAF, Trees
from afterfit.models.decision import final_step
from afterfit.models.distil_rows import MISSING
from afterfit.models.native import NativeModel

__all__ = ["reaching", "trees_of", "with_trees"]

DOUBLE = 11


def trees_of(native: NativeModel) -> Trees:
    """Return the trees of the model's last step; raises ModelError where it is not made of any."""
    try:
        return read_booster(final_step(native.estimator))
    except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
        raise ModelError(
            f"the model is not made of trees: {error}", fix="leave out --allow prune"
        ) from None


def with_trees(native: NativeModel, signature: Signature, trees: Trees) -> Converted:
    """Return the model's graph with these trees in place of its own; it says why there is none."""
    other: Any = copy.copy(native)
    other.estimator = _swapped(native.estimator, trees)
    return to_onnx(other, signature, Attempt(name="pruned"), MISSING)


def _swapped(estimator: Any, trees: Trees) -> Any:
    """Return a copy of the outer objects that reads as these trees; the steps are shared."""
    if "best_estimator_" in getattr(estimator, "__dict__", {}):
        return _swapped(estimator.best_estimator_, trees)
    other = copy.copy(estimator)
    if getattr(estimator, "steps", None):
        name, step = estimator.steps[-1]
        other.steps = [*estimator.steps[:-1], (name, _swapped(step, trees))]
        return other
    if isinstance(getattr(estimator, "estimators_", None), list):
        # The converter copies what it is given: a forest is gigabytes.
        other.estimators_ = estimator.estimators_[:1]
    other.afterfit_trees_ = trees
    return other


def reaching(
    native: NativeModel, signature: Signature, trees: Trees
) -> Callable[[Frame], np.ndarray]:
    """Return what turns a frame into the numbers that the trees compare, float64 of [n, features].

    It is the model's own graph cut off in front of its trees, so it is exact wherever the
    conversion is. Raises ModelError where there is no graph.
    """
    few = replace(trees, trees=tuple(_stub(trees, output) for output in range(trees.n_outputs)))
    made = with_trees(native, signature, few)
    if made.error:
        raise ModelError(
            f"what comes before the trees has no graph: {made.error}",
            fix="leave out --allow prune",
        )
    name, data = _before_trees(made.data)
    if any(tensor.name == name for tensor in made.inputs):
        return lambda rows: _fed(rows, made, name)
    return _cut(data, made, name)


def _stub(trees: Trees, output: int) -> Any:
    """Return a tree with one comparison, which is enough to write the graph around it."""
    tree = trees.trees[0]
    width = tree.value.shape[1]
    return replace(
        tree,
        kind=np.array([LEAF]),
        feature=np.zeros(1, dtype=np.int64),
        split=np.zeros(1),
        left=np.zeros(1, dtype=np.int64),
        right=np.zeros(1, dtype=np.int64),
        missing_left=np.zeros(1, dtype=bool),
        value=np.zeros((1, width)),
        members={},
        target=output if width == 1 else 0,
    )


def _before_trees(data: bytes) -> tuple[str, bytes]:
    """Return the name of what the one TreeEnsemble reads, and the graph that ends there."""
    import onnx
    from onnx import helper

    model = onnx.load_from_string(data)
    readers = [node for node in model.graph.node if node.op_type == "TreeEnsemble"]
    if len(readers) != 1:
        raise ModelError(
            f"a graph with {len(readers)} ensembles of trees", fix="leave out --allow prune"
        )
    name = str(readers[0].input[0])
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(name, DOUBLE, [None, None]))
    return name, finish(model, name, ml_opset=ML_OPSET)


def _fed(rows: Frame, made: Converted, name: str) -> np.ndarray:
    from afterfit.runtime.onnx import feed

    tensor = next(tensor for tensor in made.inputs if tensor.name == name)
    return np.asarray(feed(rows, tensor), dtype=np.float64)


def _cut(data: bytes, made: Converted, name: str) -> Callable[[Frame], np.ndarray]:
    import onnxruntime

    from afterfit.runtime.onnx import feed, session_options

    session = onnxruntime.InferenceSession(
        data, sess_options=session_options(), providers=["CPUExecutionProvider"]
    )
    used = {node.name for node in session.get_inputs()}

    def read(rows: Frame) -> np.ndarray:
        feeds = {t.name: feed(rows, t) for t in made.inputs if t.name in used}
        return np.asarray(session.run([name], feeds)[0], dtype=np.float64)

    return read
