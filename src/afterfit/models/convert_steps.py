"""Preprocessing steps that ONNX's own operators cannot do in double precision, or not as fitted."""

from __future__ import annotations

from typing import Any

import numpy as np

from afterfit.core.frame import is_missing
from afterfit.errors import ModelError
from afterfit.models.convert_graph import ML, ConverterContainer, texts

__all__ = ["look_up", "write_imputer", "write_one_hot", "write_ordinal", "write_polynomial"]

INT64, DOUBLE = 7, 11


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
    estimator = operator.raw_operator
    if getattr(estimator, "infrequent_categories_", None) is not None and any(
        group is not None for group in estimator.infrequent_categories_
    ):
        raise ModelError("an OrdinalEncoder that folds rare categories")
    out = ConverterContainer(scope, container)
    rows, text = _values(operator, out)
    marker = getattr(estimator, "afterfit_missing_", None)
    columns = []
    for index, known in enumerate(estimator.categories_):
        codes = np.arange(len(known), dtype=np.float64)
        holes = [is_missing(value) or value == marker for value in known]
        codes[holes] = float(estimator.encoded_missing_value)
        unknown = estimator.unknown_value
        default = np.nan if unknown is None else float(unknown)
        columns.append(look_up(out, rows, index, _keys(known, text=text), codes, default))
    out.named("Concat", columns, operator.outputs[0].full_name, axis=1)


def write_one_hot(scope: Any, operator: Any, container: Any) -> None:
    """Write a OneHotEncoder: each value's row in a table; drops and rare categories included.

    A value that the encoder refuses has no row, so the graph refuses it too.
    """
    estimator = operator.raw_operator
    out = ConverterContainer(scope, container)
    rows, text = _values(operator, out)
    parts = []
    for index, known in enumerate(estimator.categories_):
        values = _keys(known, text=text)
        codes = np.arange(len(known), dtype=np.float64)
        code = look_up(out, rows, index, values, codes, float(len(known)))
        whole = out.node("Cast", [code], to=INT64)
        table = out.constant(_one_hot_rows(estimator, index))
        found = out.node("Gather", [table, whole], axis=0)
        parts.append(out.node("Squeeze", [found, out.constant(np.array([1]))]))
    out.named("Concat", parts, operator.outputs[0].full_name, axis=1)


def write_polynomial(scope: Any, operator: Any, container: Any) -> None:
    """Write PolynomialFeatures as products of columns, multiplied in scikit-learn's own order."""
    from skl2onnx.common.data_types import DoubleTensorType

    powers = np.asarray(operator.raw_operator.powers_)
    degree = max(1, int(powers.sum(axis=1).max()))
    width = powers.shape[1]
    # A product of fewer factors has ones for the others: the column after the last.
    factors = [np.repeat(np.arange(width), row)[::-1] for row in powers]
    table = np.array([[*row, *[width] * (degree - len(row))] for row in factors], np.int64)
    out = ConverterContainer(scope, container)
    rows = _joined(operator, out)
    if not all(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs):
        rows = out.node("Cast", [rows], to=DOUBLE)
    pads = out.constant(np.array([0, 0, 0, 1]))
    rows = out.node("Pad", [rows, pads, out.constant(np.array(1.0))])
    product = out.node("Gather", [rows, out.constant(table[:, 0])], axis=1)
    for index in range(1, degree):
        factor = out.node("Gather", [rows, out.constant(table[:, index])], axis=1)
        product = out.node("Mul", [product, factor])
    out.named("Identity", [product], operator.outputs[0].full_name)


def _one_hot_rows(estimator: Any, index: int) -> np.ndarray:
    """Return [categories (+ 1 for an unknown one), columns]: what each category becomes."""
    known = estimator.categories_[index]
    mapping = np.arange(len(known))
    rare = getattr(estimator, "infrequent_categories_", None)
    folded = rare is not None and rare[index] is not None
    if folded:
        mapping = estimator._default_to_infrequent_mappings[index]  # noqa: SLF001 - no public name
    width = int(mapping.max()) + 1
    rows = np.eye(width)[mapping]
    unknown = np.zeros((1, width))
    if folded and estimator.handle_unknown == "infrequent_if_exist":
        unknown[0, -1] = 1.0
    if estimator.handle_unknown != "error":
        rows = np.concatenate([rows, unknown])
    dropped = None if estimator.drop_idx_ is None else estimator.drop_idx_[index]
    return rows if dropped is None else np.delete(rows, mapping[int(dropped)], axis=1)


def look_up(
    out: Any, rows: str, index: int, keys: np.ndarray, codes: np.ndarray, default: float
) -> str:
    """Return the name of [n, 1] doubles: each value of column ``index`` as its code."""
    from onnx import numpy_helper

    column = out.node("Gather", [rows, out.constant(np.array([index]))], axis=1)
    return str(
        out.node(
            "LabelEncoder",
            [column],
            domain=ML,
            keys_tensor=_tensor("keys", keys),
            values_tensor=numpy_helper.from_array(np.asarray(codes, dtype=np.float64), "values"),
            default_tensor=numpy_helper.from_array(np.array([default]), "default"),
        )
    )


def _values(operator: Any, out: ConverterContainer) -> tuple[str, bool]:
    """Return (the rows, whether they are text); numbers are made doubles."""
    from skl2onnx.common.data_types import StringTensorType

    text = all(isinstance(variable.type, StringTensorType) for variable in operator.inputs)
    rows = _joined(operator, out)
    return (rows if text else out.node("Cast", [rows], to=DOUBLE)), text


def _keys(known: np.ndarray, *, text: bool) -> np.ndarray:
    """Return an encoder's categories as what a LabelEncoder compares with."""
    return np.array([str(value) for value in known] if text else known.astype(np.float64))


def _tensor(name: str, values: np.ndarray) -> Any:
    from onnx import numpy_helper

    if values.dtype.kind in "OU":
        return texts(name, values)
    return numpy_helper.from_array(np.asarray(values, dtype=np.float64), name)


def _joined(operator: Any, out: ConverterContainer) -> str:
    names = [variable.full_name for variable in operator.inputs]
    return str(names[0]) if len(names) == 1 else out.node("Concat", names, axis=1)
