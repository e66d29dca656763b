"""The Open Inference Protocol, version 2, as JSON over HTTP.

A signature of numeric columns alone is one tensor ``input`` of [-1, columns], and one tensor a
column is taken too; any other signature is one tensor a column of [-1]. A missing value is a null
in the data. Outputs are ``label`` and ``probabilities``, or ``value``.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from afterfit.core.signature import Column, Label, Signature
from afterfit.errors import InputError
from afterfit.runtime.columns import FieldError, Problem
from afterfit.runtime.decode import Decoder, Rows, parse_json
from afterfit.runtime.live import Answer, LiveModel

__all__ = ["InferRequest", "ProtocolError", "infer_response", "metadata", "parse", "rows_of"]

ONE_TENSOR = "input"
FLOATS = frozenset({"FP16", "FP32", "FP64"})
INTEGERS = frozenset(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
DATATYPES = FLOATS | INTEGERS | {"BOOL", "BYTES"}
_KINDS = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": "BYTES",
    "text": "BYTES",
}
_ACCEPTED = {
    "number": FLOATS | INTEGERS,
    "integer": FLOATS | INTEGERS,
    "boolean": frozenset({"BOOL"}),
    "category": frozenset({"BYTES"}),
    "text": frozenset({"BYTES"}),
}


class ProtocolError(InputError):
    """A request that is not of the protocol: status 400."""


class Tensor(msgspec.Struct, kw_only=True):
    """One input: its name, shape, datatype and data, flat or nested, row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, kw_only=True):
    """One output that the client wants."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True):
    """The body of ``infer``; ``outputs`` empty means all."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[RequestedOutput] = []
    parameters: dict[str, Any] = {}


def parse(body: bytes) -> InferRequest:
    """Return the request; raises ProtocolError, MalformedError, or FieldError for NaN tokens."""
    document = parse_json(body)
    try:
        return msgspec.convert(document, InferRequest)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ProtocolError("not an inference request", why=str(error)) from None


def metadata(model: LiveModel) -> dict[str, Any]:
    """Return the model's metadata."""
    signature = model.predictor.signature
    return {
        "name": model.name,
        "versions": [str(model.version)],
        "platform": f"{model.predictor.variant.framework}_{model.predictor.variant.runtime}",
        "inputs": input_tensors(signature),
        "outputs": output_tensors(signature),
    }


def input_tensors(signature: Signature) -> list[dict[str, Any]]:
    """Return name, datatype and shape of each input."""
    columns = signature.columns
    if signature.numeric_only:
        whole = all(column.kind == "integer" and not column.nullable for column in columns)
        datatype = "INT64" if whole else "FP64"
        return [{"name": ONE_TENSOR, "datatype": datatype, "shape": [-1, len(columns)]}]
    return [{"name": c.name, "datatype": _KINDS[c.kind], "shape": [-1]} for c in columns]


def output_tensors(signature: Signature) -> list[dict[str, Any]]:
    """Return name, datatype and shape of each output."""
    if signature.task == "regression":
        return [{"name": "value", "datatype": "FP64", "shape": [-1]}]
    label = {"name": "label", "datatype": label_datatype(signature.classes), "shape": [-1]}
    if not signature.probabilities:
        return [label]
    shape = [-1, len(signature.classes)]
    return [label, {"name": "probabilities", "datatype": "FP64", "shape": shape}]


def label_datatype(classes: tuple[Label, ...]) -> str:
    """Return INT64 or BOOL where every class is one, else BYTES."""
    kinds = {type(label) for label in classes}
    return {frozenset({int}): "INT64", frozenset({bool}): "BOOL"}.get(frozenset(kinds), "BYTES")


def rows_of(request: InferRequest, decoder: Decoder) -> Rows:
    """Return the rows; raises ProtocolError for tensors that do not fit, FieldError for values."""
    signature = decoder.signature
    names = [tensor.name for tensor in request.inputs]
    if len(set(names)) < len(names):
        raise ProtocolError("an input is given twice", why=f"inputs: {names}")
    for index, tensor in enumerate(request.inputs):
        _check(tensor, index)
    if signature.numeric_only and names == [ONE_TENSOR] and ONE_TENSOR not in signature.names:
        return _from_matrix(request.inputs[0], decoder)
    if signature.numeric_only and names == [ONE_TENSOR] and len(request.inputs[0].shape) == 2:
        return _from_matrix(request.inputs[0], decoder)
    return _from_tensors(request.inputs, decoder)


def infer_response(request: InferRequest, answer: Answer) -> dict[str, Any]:
    """Return the answer with the outputs that were asked for; raises ProtocolError."""
    tensors = {
        tensor["name"]: tensor for tensor in output_tensors(answer.model.predictor.signature)
    }
    wanted = [output.name for output in request.outputs] or list(tensors)
    unknown = [name for name in wanted if name not in tensors]
    if unknown:
        raise ProtocolError(f"no output {unknown[0]!r}", why=f"the outputs are {list(tensors)}")
    document: dict[str, Any] = {
        "model_name": answer.model.name,
        "model_version": str(answer.model.version),
    }
    if request.id:
        document["id"] = request.id
    document["outputs"] = [_output(tensors[name], answer) for name in wanted]
    return document


def _output(tensor: dict[str, Any], answer: Answer) -> dict[str, Any]:
    n = len(answer.ids)
    data: list[Any]
    if tensor["name"] == "label":
        data = answer.labels
        if tensor["datatype"] == "BYTES":
            data = [str(label) for label in data]
    else:
        data = answer.predictions.main.reshape(-1).tolist()
    return {**tensor, "shape": [n, *tensor["shape"][1:]], "data": data}


def _check(tensor: Tensor, index: int) -> None:
    where = f"$.inputs[{index}]"
    if tensor.datatype not in DATATYPES:
        raise ProtocolError(f"{where}.datatype: {tensor.datatype[:40]!r} is not of the protocol")
    if not 1 <= len(tensor.shape) <= 2 or min(tensor.shape) < 0:
        raise ProtocolError(f"{where}.shape: expected [rows] or [rows, columns]")
    tensor.data = _flat(tensor.data, tensor.shape, where)


def _flat(data: list[Any], shape: list[int], where: str) -> list[Any]:
    """Return flat data of the size that the shape tells."""
    if len(shape) == 2 and data and all(type(item) is list for item in data):
        if len(data) != shape[0] or any(len(item) != shape[1] for item in data):
            raise ProtocolError(f"{where}.data: does not fit the shape {shape}")
        data = [value for item in data for value in item]
    if len(data) != math.prod(shape):
        raise ProtocolError(f"{where}.data: {len(data)} values for the shape {shape}")
    return data


def _from_matrix(tensor: Tensor, decoder: Decoder) -> Rows:
    columns = decoder.signature.columns
    width = len(columns)
    if len(tensor.shape) != 2 or tensor.shape[1] != width:
        raise ProtocolError(
            f"$.inputs[0].shape: expected [rows, {width}], got {tensor.shape}",
            why=f"the columns are {', '.join(decoder.signature.names)}"[:300],
        )
    if tensor.datatype == "BYTES":
        raise ProtocolError("$.inputs[0].datatype: expected numbers, got BYTES")
    data = {
        column.name: _as_kind(tensor.data[index::width], column)
        for index, column in enumerate(columns)
    }
    return Rows(decoder.from_columns(data, "$.inputs[0].{}"))


def _from_tensors(tensors: list[Tensor], decoder: Decoder) -> Rows:
    known = {column.name: column for column in decoder.signature.columns}
    data = {}
    for index, tensor in enumerate(tensors):
        column = known.get(tensor.name)
        if column is None:
            expected = [each["name"] for each in input_tensors(decoder.signature)]
            raise ProtocolError(
                f"$.inputs[{index}].name: no input {tensor.name[:80]!r}",
                why=f"the inputs are {expected}"[:300],
            )
        if tensor.datatype not in _ACCEPTED[column.kind]:
            raise ProtocolError(
                f"$.inputs[{index}].datatype: {tensor.name!r} is {_KINDS[column.kind]}, "
                f"got {tensor.datatype}"
            )
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise ProtocolError(f"$.inputs[{index}].shape: expected [rows] or [rows, 1]")
        data[tensor.name] = tensor.data
    return Rows(decoder.from_columns(data, "$.inputs.{}"))


def _as_kind(values: list[Any], column: Column) -> list[Any]:
    """Return a column of a number tensor; booleans are 0 and 1 there."""
    if column.kind != "boolean":
        return values
    if any(value not in {0, 1, None} for value in values if not isinstance(value, list | dict)):
        raise FieldError([Problem(f"$.inputs[0].{column.name}", "a boolean is 0 or 1")])
    return [bool(v) if isinstance(v, int | float) else v for v in values]
