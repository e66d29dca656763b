"""A model as an ONNX graph, run by ONNX Runtime: on the CPU, or a GPU where one is asked for."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Wheels of ONNX Runtime send telemetry unless told not to before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime

from afterfit.core.bundle import GraphOutput, TensorInput
from afterfit.core.dataset import encode_labels
from afterfit.core.frame import Frame, MatrixFrame, Predictions, is_missing, missing_mask, row_count
from afterfit.core.scores import sigmoid, softmax
from afterfit.core.signature import Label
from afterfit.errors import RESTORE, InputError, ModelError, first_line
from afterfit.runtime.accelerator import providers, seen
from afterfit.runtime.columns import no_answer

__all__ = ["OnnxModel", "feed", "onnx_session", "session_options"]

# Kinds of columns in which no value can be one that the tensor has no word for, by its numbers.
_AS_THEY_ARE = {
    "float32": frozenset("dfli"),
    "float64": frozenset("dfli"),
    "int64": frozenset("li"),
}
_NUMPY = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "int32": np.int32}


class OnnxModel:
    """An ONNX graph that answers as a Model.

    ``source`` is a file or the bytes of the graph. ``classes`` are the signature's, in its order;
    empty for a regression. ``threads`` are the threads inside of one call.
    Raises ModelError where the graph cannot be loaded or lacks an input or output.
    """

    def __init__(
        self,
        source: Path | bytes,
        inputs: Sequence[TensorInput],
        output: GraphOutput,
        classes: tuple[Label, ...] = (),
        threads: int = 1,
    ) -> None:
        self.inputs = tuple(inputs)
        self.output = output
        self.classes = classes
        self.session = onnx_session(source, threads)
        whole = len(self.inputs) == 1 and self.inputs[0].rank != 1
        self._whole = self.inputs[0] if whole else None
        self._label = output.label or ""
        self._refuses_nan = output.refuses_nan is True
        self._names = [output.name, self._label] if self._label else [output.name]
        self._check_names()
        for tensor in self.inputs:
            _check_shape(tensor)
        # What ``session.run`` calls once it has looked at its arguments, which are right here.
        inner = getattr(self.session, "_sess", None)
        self._call = self.session.run if inner is None else inner.run

    def predict(self, frame: Frame) -> Predictions:
        """Return the predictions of n rows; raises InputError for rows the graph cannot take."""
        if row_count(frame) == 0:
            return self._read(None)
        feeds = self._feeds(frame)
        try:
            answer, *labels = self._call(self._names, feeds, None)
        except Exception as error:  # noqa: BLE001
            # ONNX Runtime raises classes of its own and bare RuntimeErrors. The golden rows have
            # shown that the graph itself runs, so what fails here is due to these rows.
            raise InputError(
                "the model cannot take these rows",
                why=first_line(error),
                fix="send rows like those that the model was trained on",
            ) from None
        found = self._read(answer)
        if self._refuses_nan:
            _require_numbers(found.main)
        if not labels:
            return found
        codes = _codes(np.asarray(labels[0]).reshape(-1), self.classes)
        return Predictions(probabilities=found.probabilities, codes=codes)

    def _feeds(self, frame: Frame) -> dict[str, np.ndarray]:
        if self._whole and isinstance(frame, MatrixFrame) and frame.names == self._whole.columns:
            return {self._whole.name: _matrix_feed(frame.matrix, self._whole)}
        return {tensor.name: feed(frame, tensor) for tensor in self.inputs}

    def _read(self, answer: Any) -> Predictions:
        form = self.output.form
        k = len(self.classes)
        if answer is None:
            return _no_rows(form, k)
        if form == "value":
            return Predictions(values=np.asarray(answer, dtype=np.float64).reshape(-1))
        if form == "label":
            return Predictions(codes=_codes(np.asarray(answer).reshape(-1), self.classes))
        return Predictions(probabilities=_probabilities(answer, form, self.classes))

    def _check_names(self) -> None:
        has = {node.name for node in self.session.get_inputs()}
        wants = {tensor.name for tensor in self.inputs}
        outputs = {node.name for node in self.session.get_outputs()}
        if has != wants or not outputs.issuperset(self._names):
            raise ModelError(
                "the ONNX graph is not the one that variant.json describes",
                why=f"its inputs are {sorted(has)} and outputs {sorted(outputs)}; described are "
                f"{sorted(wants)} and {self._names}",
                fix=RESTORE,
            )


def _require_numbers(main: np.ndarray) -> None:
    """Do nothing for answers that are numbers; raises FieldError naming the rows that have none."""
    # A sum is NaN where a part of it is: one call for the rows of every day.
    if not math.isnan(np.add.reduce(main, axis=None)):
        return
    gone = np.isnan(main)
    if gone.any():
        raise no_answer(np.flatnonzero(gone.reshape(len(main), -1).any(axis=1)).tolist())


def session_options(threads: int = 1) -> Any:
    """Return options for serving: ``threads`` inside of one call, none of them spinning idle."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


def feed(frame: Frame, tensor: TensorInput) -> np.ndarray:
    """Return one input tensor: [n], [n, columns], or [n, *shape] where it has a shape.

    Raises InputError naming the column that does not fit.
    """
    if tensor.rank == 1:
        return _column(frame, tensor.columns[0], tensor)
    if len(tensor.columns) == 1:
        return _shaped(_column(frame, tensor.columns[0], tensor)[:, None], tensor)
    whole = _stacked(frame, tensor)
    if whole is not None:
        return _shaped(whole, tensor)
    dtype: Any = np.dtype(_NUMPY.get(tensor.dtype, bool if tensor.dtype == "bool" else object))
    out = np.empty((row_count(frame), len(tensor.columns)), dtype=dtype)
    for index, name in enumerate(tensor.columns):
        out[:, index] = _column(frame, name, tensor)
    return _shaped(out, tensor)


def _stacked(frame: Frame, tensor: TensorInput) -> np.ndarray | None:
    """Return [n, columns] of columns that fit as they are; None where each has to be looked at.

    One call for all of them: column by column, the 64 pixels of a row take longer than its network.
    """
    kinds = _AS_THEY_ARE.get(tensor.dtype)
    if kinds is None:
        return None
    arrays = [frame[name] for name in tensor.columns if name in frame]
    if len(arrays) < len(tensor.columns) or not {array.dtype.char for array in arrays} <= kinds:
        return None
    with np.errstate(over="ignore"):
        flat = np.concatenate(arrays, dtype=_NUMPY[tensor.dtype], casting="unsafe")
    return np.ascontiguousarray(flat.reshape(len(arrays), -1).T)


def _matrix_feed(matrix: np.ndarray, tensor: TensorInput) -> np.ndarray:
    if tensor.dtype == "float64":
        return _shaped(matrix, tensor)
    if tensor.dtype == "float32":
        with np.errstate(over="ignore"):
            return _shaped(matrix.astype(np.float32), tensor)
    # The checks of a column hold for a whole table of them.
    flat = _CASTS[tensor.dtype](matrix.reshape(-1), tensor)
    return _shaped(flat.reshape(matrix.shape), tensor)


def _shaped(table: np.ndarray, tensor: TensorInput) -> np.ndarray:
    """Return [n, columns] as [n, *shape], without a copy."""
    return table.reshape(len(table), *tensor.shape) if tensor.shape else table


def _check_shape(tensor: TensorInput) -> None:
    """Do nothing where the columns fill the tensor; raises ModelError."""
    if tensor.shape and math.prod(tensor.shape) != len(tensor.columns):
        raise ModelError(
            f"the input {tensor.name} is not filled by its columns",
            why=f"a row of it is {list(tensor.shape)}, which are {math.prod(tensor.shape)} numbers "
            f"from {len(tensor.columns)} columns",
            fix="give data with as many columns, in the order in which the input is read",
        )


def _column(frame: Frame, name: str, tensor: TensorInput) -> np.ndarray:
    try:
        values = frame[name]
    except KeyError:
        raise InputError(
            f"no column {name!r}", where=name, fix=f"send a value for {name!r} in every row"
        ) from None
    try:
        return _CASTS[tensor.dtype](values, tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"column {name!r} has a value that is no {tensor.dtype}",
            where=name,
            why=str(error),
            fix="send a number that fits",
        ) from None


def _to_float(values: np.ndarray, tensor: TensorInput) -> np.ndarray:
    if values.dtype.kind == "O":
        values = np.array([np.nan if is_missing(v) else float(v) for v in values], np.float64)
    # A float64 beyond the float32 range becomes an infinity, as the graph was traced to see it.
    with np.errstate(over="ignore"):
        return values.astype(_NUMPY[tensor.dtype], copy=False)


def _to_int(values: np.ndarray, tensor: TensorInput) -> np.ndarray:
    if missing_mask(values).any():
        raise ValueError("an integer tensor has no word for a missing value")
    if values.dtype.kind == "O":
        values = np.array([int(value) for value in values], np.int64)
    dtype = _NUMPY[tensor.dtype]
    if values.dtype.kind == "f" and not (np.abs(values) < 2.0**63).all():
        raise ValueError("beyond the range of an integer")
    if dtype is np.int32 and not (np.abs(values.astype(np.float64)) < 2.0**31).all():
        raise ValueError("beyond the range of a 32-bit integer")
    return values.astype(dtype, copy=False)


def _to_bool(values: np.ndarray, tensor: TensorInput) -> np.ndarray:
    if missing_mask(values).any():
        raise ValueError(f"the tensor {tensor.name!r} has no word for a missing value")
    return values.astype(bool, copy=False)


def _to_string(values: np.ndarray, tensor: TensorInput) -> np.ndarray:
    missing = tensor.missing
    return np.array([missing if is_missing(v) else str(v) for v in values.tolist()], dtype=object)


_CASTS: dict[str, Callable[[np.ndarray, TensorInput], np.ndarray]] = {
    "float32": _to_float,
    "float64": _to_float,
    "int64": _to_int,
    "int32": _to_int,
    "bool": _to_bool,
    "string": _to_string,
}


def onnx_session(source: Path | bytes, threads: int = 1) -> Any:
    """Return the session of a graph, ready to run; raises ModelError."""
    where = str(source) if isinstance(source, Path) else "memory"
    if isinstance(source, Path) and not source.is_file():
        raise ModelError("the model file is not there", where=where, fix=RESTORE)
    wanted = providers(onnxruntime)
    try:
        session = onnxruntime.InferenceSession(
            source if isinstance(source, bytes) else str(source),
            sess_options=session_options(threads),
            providers=wanted,
        )
    except Exception as error:  # noqa: BLE001 - as above, no common class of errors to name
        raise ModelError(
            "ONNX Runtime cannot load the graph",
            where=where,
            why=first_line(error),
            fix="pip install --upgrade onnxruntime   # or export the graph for this one",
        ) from None
    seen(session.get_providers())
    return session


def _no_rows(form: str, k: int) -> Predictions:
    if form == "value":
        return Predictions(values=np.empty(0, np.float64))
    if form == "label":
        return Predictions(codes=np.empty(0, np.int64))
    return Predictions(probabilities=np.empty((0, k), np.float64))


def _matrix(answer: Any, k: int) -> np.ndarray:
    matrix = np.asarray(answer, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != k:
        raise ModelError(
            "the graph's probabilities do not fit the classes",
            why=f"their shape is {list(matrix.shape)} for {k} classes",
            fix="ship the model again: the bundle does not hold what was examined",
        )
    return matrix


def _probabilities(answer: Any, form: str, classes: tuple[Label, ...]) -> np.ndarray:
    """Return float64 of [n, classes] from an answer of any form that holds probabilities."""
    if form == "matrix":
        return _matrix(answer, len(classes))
    if form == "positive":
        return _two_sided(np.asarray(answer, dtype=np.float64).reshape(-1))
    if form == "scores":
        return softmax(_matrix(answer, len(classes)))
    if form == "score":
        return _two_sided(sigmoid(np.asarray(answer).reshape(-1)))
    return _zipmap(answer, classes)


def _two_sided(second: np.ndarray) -> np.ndarray:
    return np.column_stack([1.0 - second, second])


def _zipmap(answer: list[dict[Any, float]], classes: tuple[Label, ...]) -> np.ndarray:
    keys = list(answer[0])
    codes = _codes(np.array(keys, dtype=object), classes)
    out = np.zeros((len(answer), len(classes)))
    for row, chances in enumerate(answer):
        out[row, codes] = [chances[key] for key in keys]
    return out


def _codes(labels: np.ndarray, classes: tuple[Label, ...]) -> np.ndarray:
    """Return each label's class; graphs of boosters know only the positions 0..k-1."""
    codes = encode_labels(labels, classes)
    if (codes >= 0).all():
        return codes
    if labels.dtype.kind in "iub" or all(isinstance(v, int) for v in labels.tolist()):
        positions = labels.astype(np.int64)
        if ((positions >= 0) & (positions < len(classes))).all():
            return positions
    raise ModelError(
        "the graph answers with a label that is none of the classes",
        why=f"labels {sorted({str(v) for v in labels.tolist()})[:5]}, classes {list(classes)}",
        fix="ship the model again: the bundle does not hold what was examined",
    )
