"""CatBoost, LightGBM and XGBoost models by themselves, boosters and estimators alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.frame import is_missing
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.convert_graph import ML_OPSET, Graph, column_names, finish
from afterfit.models.convert_steps import look_up
from afterfit.models.convert_trees import Trees, emit
from afterfit.models.convert_trees_boosters import read_lightgbm, read_xgboost
from afterfit.models.convert_trees_sklearn import read_sklearn
from afterfit.models.native import NativeModel, family

if TYPE_CHECKING:
    from afterfit.models.convert import Attempt, Converted

__all__ = ["booster_to_onnx", "read_booster"]

FLOAT, STRING, DOUBLE = 1, 8, 11


def read_booster(estimator: Any) -> Trees:
    """Return the trees of a CatBoost, LightGBM, XGBoost or scikit-learn model; raises ModelError.

    A copy of a model that was given other trees (``afterfit_trees_``, by pruning) has those.
    """
    given = getattr(estimator, "__dict__", {}).get("afterfit_trees_")
    if isinstance(given, Trees):
        return given
    if family(estimator, "lightgbm"):
        return read_lightgbm(getattr(estimator, "booster_", estimator))
    if family(estimator, "catboost"):
        from afterfit.models.convert_trees_catboost import read_catboost

        return read_catboost(estimator)
    if not family(estimator, "xgboost"):
        return read_sklearn(estimator)
    if not hasattr(estimator, "get_booster"):
        return read_xgboost(estimator)
    hole = getattr(estimator, "missing", np.nan)
    if not is_missing(hole):
        raise ModelError(f"an XGBoost model whose missing value is {hole!r}")
    # The estimator stops at its best round, the booster does not.
    rounds = getattr(estimator, "best_iteration", None) if _stopped(estimator) else None
    return read_xgboost(estimator.get_booster(), None if rounds is None else int(rounds) + 1)


def _stopped(estimator: Any) -> bool:
    return estimator.get_booster().attr("best_iteration") is not None


def booster_to_onnx(
    native: NativeModel, signature: Signature, attempt: Attempt, missing: str
) -> Converted:
    """Return a booster as a graph of one TreeEnsemble, or by the common converter."""
    if attempt.trees == "library":
        return _by_library(native, signature)
    from onnx import helper

    from afterfit.models.convert import Converted

    trees = read_booster(native.estimator)
    names = column_names(native, signature)
    graph = Graph()
    rows, inputs, declared = _inputs(native, signature, names, missing, graph)
    if trees.truncated:
        rows = _truncate(graph, rows, trees.truncated, len(names))
    answer = emit(trees, graph, rows)
    width = len(signature.classes) if trees.classifier else 1
    declared_output = helper.make_tensor_value_info(answer, DOUBLE, [None, width])
    data = finish(graph.model(declared, declared_output), answer, ml_opset=ML_OPSET)
    output = GraphOutput(name=answer, form="matrix" if trees.classifier else "value")
    return Converted(data=data, inputs=inputs, output=output)


def _inputs(
    native: NativeModel,
    signature: Signature,
    names: tuple[str, ...],
    missing: str,
    graph: Graph,
) -> tuple[str, tuple[TensorInput, ...], list[Any]]:
    """Return (name of [n, columns] of doubles, the inputs, their declarations).

    A column of text is looked up in the categories that the booster was trained with; one it
    does not know is missing to it.
    """
    from onnx import helper

    text = [name for name in names if not signature.column(name).numeric]
    numbers = [name for name in names if name not in text]
    unknown = [name for name in text if name not in native.description.categorical]
    if unknown:
        raise ModelError(f"column {unknown[0]} holds text and the model keeps no categories of it")
    inputs, declared, parts = [], [], []
    if numbers:
        inputs.append(TensorInput(name="input", columns=tuple(numbers), dtype="float64"))
        declared.append(helper.make_tensor_value_info("input", DOUBLE, [None, len(numbers)]))
        parts.append("input")
    if text:
        inputs.append(
            TensorInput(name="strings", columns=tuple(text), dtype="string", missing=missing)
        )
        declared.append(helper.make_tensor_value_info("strings", STRING, [None, len(text)]))
        parts += [_look_up(graph, native, name, index) for index, name in enumerate(text)]
    rows = parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1)
    order = [(numbers + text).index(name) for name in names]
    if order != sorted(order):
        rows = graph.node("Gather", [rows, graph.constant(np.array(order))], axis=1)
    return rows, tuple(inputs), declared


def _look_up(graph: Graph, native: NativeModel, name: str, index: int) -> str:
    """Return the name of [n, 1]: the number of each text among the categories, NaN for others."""
    known = np.array(native.description.categorical[name])
    return look_up(graph, "strings", index, known, np.arange(len(known)), np.nan)


def _truncate(graph: Graph, rows: str, columns: tuple[int, ...], width: int) -> str:
    """Return the rows with some columns rounded toward zero, as LightGBM reads categories."""
    mask = np.zeros((1, width), dtype=bool)
    mask[0, list(columns)] = True
    whole = graph.node(
        "Mul", [graph.node("Sign", [rows]), graph.node("Floor", [graph.node("Abs", [rows])])]
    )
    return graph.node("Where", [graph.constant(mask), whole, rows])


def _by_library(native: NativeModel, signature: Signature) -> Converted:
    """Return what onnxmltools makes of the model, in single precision."""
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    from afterfit.models.convert import Converted

    names = column_names(native, signature)
    estimator, repaired = _renamed(native.estimator)
    convert = convert_lightgbm if family(estimator, "lightgbm") else convert_xgboost
    types = [("input", FloatTensorType([None, len(names)]))]
    options = {"zipmap": False} if convert is convert_lightgbm else {}
    model = convert(estimator, initial_types=types, target_opset=15, **options)
    output = model.graph.output[-1].name
    return Converted(
        data=bytes(model.SerializeToString(deterministic=True)),
        inputs=(TensorInput(name="input", columns=names, dtype="float32"),),
        output=GraphOutput(name=output, form="matrix" if signature.classes else "value"),
        repaired=repaired,
    )


def _renamed(estimator: Any) -> tuple[Any, tuple[str, ...]]:
    """Return an XGBoost model without feature names, in a copy: its converter wants f0, f1."""
    import copy

    if not family(estimator, "xgboost"):
        return estimator, ()
    clone = copy.deepcopy(estimator)
    booster = clone.get_booster() if hasattr(clone, "get_booster") else clone
    if not booster.feature_names:
        return estimator, ()
    booster.feature_names = None
    return clone, ("the feature names were left out in a copy of the XGBoost model",)
