"""Preprocessing steps that ONNX's own operators cannot do in double precision, or not as fitted."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import is_missing
from afterfit.errors import ModelError
from afterfit.models.convert_graph import ML, ConverterContainer, texts

__all__ = ["look_up", "write_imputer", "write_ordinal"]


def write_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Write a SimpleImputer of numbers in double precision; ONNX's operator has single only."""
    from skl2onnx.common.data_types import DoubleTensorType
    from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

    estimator = operator.raw_operator
    if not all(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs):
        convert_sklearn_imputer(scope, operator, container)
        return
    fill = np.asarray(estimator.statistics_, dtype=np.float64).reshape(1, -1)
    if estimator.indicator_ is not None or np.isnan(fill).any():
        raise ModelError("a SimpleImputer that adds or drops columns")
    out = ConverterContainer(scope, container)
    rows = _joined(operator, out)
    hole = estimator.missing_values
    if is_missing(hole):
        absent = out.node("IsNaN", [rows])
    else:
        absent = out.node("Equal", [rows, out.constant(np.array(float(hole)))])
    out.named("Where", [absent, out.constant(fill), rows], operator.outputs[0].full_name)


def write_ordinal(scope: Any, operator: Any, container: Any) -> None:
    """Write an OrdinalEncoder of text; its missing and unknown values are numbers of their own."""
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from skl2onnx.operator_converters.ordinal_encoder import convert_sklearn_ordinal_encoder

    estimator = operator.raw_operator
    if not all(isinstance(variable.type, StringTensorType) for variable in operator.inputs):
        convert_sklearn_ordinal_encoder(scope, operator, container)
        return
    if getattr(estimator, "infrequent_categories_", None) is not None and any(
        group is not None for group in estimator.infrequent_categories_
    ):
        raise ModelError("an OrdinalEncoder that folds rare categories")
    out = ConverterContainer(scope, container)
    rows = _joined(operator, out)
    marker = getattr(estimator, "afterfit_missing_", None)
    columns = []
    for index, known in enumerate(estimator.categories_):
        codes = np.arange(len(known), dtype=np.float64)
        codes[[value == marker for value in known]] = float(estimator.encoded_missing_value)
        unknown = estimator.unknown_value
        default = np.nan if unknown is None else float(unknown)
        columns.append(look_up(out, rows, index, [str(value) for value in known], codes, default))
    operator.outputs[0].type = DoubleTensorType([None, len(columns)])
    out.named("Concat", columns, operator.outputs[0].full_name, axis=1)


def look_up(
    out: Any, rows: str, index: int, keys: list[str], codes: np.ndarray, default: float
) -> str:
    """Return the name of [n, 1] doubles: each text of column ``index`` as its code."""
    from onnx import numpy_helper

    column = out.node("Gather", [rows, out.constant(np.array([index]))], axis=1)
    return str(
        out.node(
            "LabelEncoder",
            [column],
            domain=ML,
            keys_tensor=texts("keys", np.array(keys, dtype=object)),
            values_tensor=numpy_helper.from_array(np.asarray(codes, dtype=np.float64), "values"),
            default_tensor=numpy_helper.from_array(np.array([default]), "default"),
        )
    )


def _joined(operator: Any, out: ConverterContainer) -> str:
    names = [variable.full_name for variable in operator.inputs]
    return str(names[0]) if len(names) == 1 else out.node("Concat", names, axis=1)
