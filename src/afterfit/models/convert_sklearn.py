"""Scikit-learn estimators and pipelines through skl2onnx, with our own way to write trees."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.signature import Signature
from afterfit.errors import ModelError
from afterfit.models.convert_booster import read_booster
from afterfit.models.convert_graph import (
    ML_OPSET,
    OPSET,
    ConverterContainer,
    column_names,
    finish,
)
from afterfit.models.convert_repair import repair
from afterfit.models.convert_steps import (
    write_imputer,
    write_one_hot,
    write_ordinal,
    write_polynomial,
)
from afterfit.models.convert_text import text_options, write_tfidf
from afterfit.models.convert_trees import emit
from afterfit.models.convert_verified import verified_once
from afterfit.models.native import NativeModel

if TYPE_CHECKING:
    from afterfit.models.convert import Attempt, Converted

__all__ = ["first_columns", "sklearn_to_onnx"]

LIBRARY_ML_OPSET = 3
FLOAT, STRING, DOUBLE = 1, 8, 11
_TREE_ALIASES = tuple(
    f"Sklearn{name}{kind}"
    for name in (
        "DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees", "GradientBoosting",
        "HistGradientBoosting",
    )
    for kind in ("Classifier", "Regressor")
)  # fmt: skip


def first_columns(estimator: Any) -> Any | None:
    """Return the fitted ColumnTransformer that the rows reach first, or None."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    for name in ("best_estimator_", "estimator_", "estimator"):
        if name in getattr(estimator, "__dict__", {}) and hasattr(
            getattr(estimator, name), "steps"
        ):
            return first_columns(getattr(estimator, name))
    return estimator if hasattr(estimator, "transformers_") else None


def sklearn_to_onnx(
    native: NativeModel, signature: Signature, attempt: Attempt, missing: str
) -> Converted:
    """Return an estimator as a graph; raises whatever the converter raises."""
    from skl2onnx import convert_sklearn

    from afterfit.models.convert import Converted

    estimator = copy.deepcopy(_unwrapped(native.estimator))
    options, mended = text_options(estimator)
    repaired = (*repair(estimator, missing), *mended)
    if native.description.probabilities:
        options[id(estimator)] = {"zipmap": False}
    names = column_names(native, signature)
    inputs = _inputs(estimator, names, signature, attempt, missing)
    exact = attempt.trees == "exact"
    types = [(tensor.name, _tensor_type(tensor)) for tensor in inputs]
    with _registered(exact=exact), verified_once():
        model = convert_sklearn(
            estimator,
            name="model",
            initial_types=types,
            target_opset={"": OPSET, "ai.onnx.ml": LIBRARY_ML_OPSET},
            options=options or None,
        )
    output = _output(model, native)
    ml_opset = ML_OPSET if exact else LIBRARY_ML_OPSET
    data = finish(model, output.name, ml_opset=ml_opset)
    return Converted(data=data, inputs=inputs, output=output, repaired=repaired)


def _unwrapped(estimator: Any) -> Any:
    """Return what answers inside of a finished search."""
    while "best_estimator_" in getattr(estimator, "__dict__", {}):
        estimator = estimator.best_estimator_
    return estimator


def _output(model: Any, native: NativeModel) -> GraphOutput:
    outputs = [value.name for value in model.graph.output]
    if native.description.task == "regression":
        return GraphOutput(name=outputs[0], form="value")
    if native.description.probabilities:
        return GraphOutput(name=outputs[1], form="matrix")
    return GraphOutput(name=outputs[0], form="label")


def _inputs(
    estimator: Any,
    names: tuple[str, ...],
    signature: Signature,
    attempt: Attempt,
    missing: str,
) -> tuple[TensorInput, ...]:
    """Return the inputs of the graph: tensors by type, or one a column."""
    number = attempt.precision
    numeric = {name: signature.column(name).numeric for name in names}
    chooser = first_columns(estimator)
    if chooser is None:
        if all(numeric.values()):
            return (TensorInput(name="input", columns=names, dtype=number),)
        if not any(numeric.values()):
            return (TensorInput(name="strings", columns=names, dtype="string", missing=missing),)
        raise ModelError("numbers and text in one array")
    if attempt.layout == "columns":
        _name_columns(chooser, names)
        return tuple(
            TensorInput(name=name, columns=(name,), dtype=number)
            if numeric[name]
            else TensorInput(name=name, columns=(name,), dtype="string", missing=missing)
            for name in names
        )
    numbers = tuple(name for name in names if numeric[name])
    text = tuple(name for name in names if not numeric[name])
    _number_columns(chooser, names, numbers + text)
    tensors = []
    if numbers:
        tensors.append(TensorInput(name="numbers", columns=numbers, dtype=number))
    if text:
        tensors.append(TensorInput(name="strings", columns=text, dtype="string", missing=missing))
    return tuple(tensors)


def _positions(columns: Any, names: tuple[str, ...]) -> list[int]:
    """Return the positions that a ColumnTransformer's entry selects, whatever way it says it."""
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = 0 if columns.start is None else names.index(columns.start)
            stop = len(names) if columns.stop is None else names.index(columns.stop) + 1
            return list(range(start, stop))
        return list(range(len(names)))[columns]
    if isinstance(columns, str):
        return [names.index(columns)]
    chosen = np.asarray(columns)
    if chosen.dtype == bool:
        return [int(position) for position in np.flatnonzero(chosen)]
    if chosen.ndim == 0:
        return [int(chosen)]
    return [names.index(one) if isinstance(one, str) else int(one) for one in chosen.tolist()]


def _number_columns(chooser: Any, names: tuple[str, ...], order: tuple[str, ...]) -> None:
    """Make a ColumnTransformer's copy select by position in ``order``."""
    # The data may call the columns otherwise than the training did: they agree by position.
    trained = tuple(getattr(chooser, "feature_names_in_", names))
    chooser.transformers_ = [
        (name, step, [order.index(names[p]) for p in _positions(columns, trained)])
        for name, step, columns in chooser.transformers_
    ]


def _name_columns(chooser: Any, names: tuple[str, ...]) -> None:
    """Make a ColumnTransformer's copy select by name."""
    # The data may call the columns otherwise than the training did: they agree by position.
    trained = tuple(getattr(chooser, "feature_names_in_", names))
    chooser.transformers_ = [
        (name, step, [names[p] for p in _positions(columns, trained)])
        for name, step, columns in chooser.transformers_
    ]


def _tensor_type(tensor: TensorInput) -> Any:
    from skl2onnx.common import data_types

    kinds = {
        "float64": data_types.DoubleTensorType,
        "float32": data_types.FloatTensorType,
        "string": data_types.StringTensorType,
    }
    return kinds[tensor.dtype]([None, len(tensor.columns)])


@contextlib.contextmanager
def _registered(*, exact: bool) -> Iterator[None]:
    """Hold skl2onnx's table of converters so that trees are written as asked."""
    from skl2onnx.common import _registration

    pool = _registration._converter_pool  # noqa: SLF001 - the registry has no other door
    shapes = _registration._shape_calculator_pool  # noqa: SLF001 - as above
    before, shapes_before = dict(pool), dict(shapes)
    _register_boosters(exact=exact)
    ours = dict.fromkeys(_TREE_ALIASES, _write_trees)
    ours |= {
        "SklearnOneHotEncoder": write_one_hot,
        "SklearnOrdinalEncoder": write_ordinal,
        "SklearnSimpleImputer": write_imputer,
        "SklearnPolynomialFeatures": write_polynomial,
    }
    written = (ours if exact else {}) | {"SklearnTfidfTransformer": write_tfidf}
    for alias, write in written.items():
        if alias in pool:
            options = pool[alias].get_allowed_options()
            pool[alias] = _registration.RegisteredConverter(write, options)
    if exact:
        shapes.update({alias: _in_double(shape, alias in ours) for alias, shape in shapes.items()})
    try:
        yield
    finally:
        pool.update({alias: before[alias] for alias in written if alias in before})
        shapes.update(shapes_before)


def _in_double(calculate: Any, ours: bool) -> Any:  # noqa: FBT001 - written once, above
    """Return a calculator of shapes that declares double where double is what will be written.

    skl2onnx guesses a model's precision before it knows that of the steps in front of it.
    """
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    def declared(operator: Any) -> None:
        calculate(operator)
        fed = bool(operator.inputs) and isinstance(operator.inputs[0].type, DoubleTensorType)
        if not ours and not (fed and hasattr(operator.raw_operator, "predict")):
            return
        for variable in operator.outputs:
            if isinstance(variable.type, FloatTensorType):
                variable.type = DoubleTensorType(variable.type.shape)

    return declared


def _write_trees(scope: Any, operator: Any, container: Any) -> None:
    """Write an estimator of trees as nodes of the graph that skl2onnx is making."""
    from skl2onnx.common.data_types import DoubleTensorType

    estimator = operator.raw_operator
    trees = read_booster(estimator)
    if getattr(estimator, "afterfit_zero_missing_", False):
        trees = replace(trees, zero_missing=True)
    if trees.truncated:
        raise ModelError("LightGBM's categories behind other steps")
    out = ConverterContainer(scope, container)
    names = [variable.full_name for variable in operator.inputs]
    rows = names[0] if len(names) == 1 else out.node("Concat", names, axis=1)
    if len(names) > 1 or not isinstance(operator.inputs[0].type, DoubleTensorType):
        rows = out.node("Cast", [rows], to=DOUBLE)
    answer = emit(trees, out, rows)
    results = [variable.full_name for variable in operator.outputs]
    if not trees.classifier:
        out.named("Identity", [answer], results[0])
        return
    best = out.node("ArgMax", [answer], axis=1, keepdims=0)
    labels = np.asarray(estimator.classes_)
    labels = labels.astype(object) if labels.dtype.kind in "OU" else labels.astype(np.int64)
    out.named("Gather", [out.constant(labels), best], results[0])
    out.named("Identity", [answer], results[1])


def _register_boosters(*, exact: bool) -> None:
    """Tell skl2onnx of the estimators of boosting libraries, where they are installed.

    CatBoost takes long to import: where the model is of it, it is there already.
    """
    from importlib.util import find_spec

    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    packages = {"lightgbm": "LGBM", "xgboost": "XGB"}
    if exact and "catboost" in sys.modules:
        packages["catboost"] = "CatBoost"
    for package, prefix in packages.items():
        if find_spec(package) is None:
            continue
        module = __import__(package)
        for kind in ("Classifier", "Regressor"):
            shape = calculate_linear_classifier_output_shapes
            options: Any = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
            if kind == "Regressor":
                shape, options = calculate_linear_regressor_output_shapes, None
            update_registered_converter(
                getattr(module, prefix + kind),
                f"Afterfit{prefix}{kind}",
                shape,
                _write_trees if exact else _library_converter(package),
                overwrite=True,
                options=options,
                parser=_two_outputs if prefix + kind == "CatBoostClassifier" else None,
            )


def _two_outputs(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    """Return labels and probabilities, which skl2onnx foresees for scikit-learn's own classes."""
    from skl2onnx._supported_operators import _get_sklearn_operator_name
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType

    del custom_parsers
    operator = scope.declare_local_operator(_get_sklearn_operator_name(type(model)), model)
    operator.inputs.extend(inputs)
    text = np.asarray(model.classes_).dtype.kind in "OU"
    label = StringTensorType() if text else Int64TensorType()
    for name, kind in (("label", label), ("probabilities", DoubleTensorType())):
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _library_converter(package: str) -> Any:
    if package == "lightgbm":
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        return convert_lightgbm
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

    return convert_xgboost
