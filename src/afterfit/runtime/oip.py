"""The Open Inference Protocol, version 2, over HTTP: metadata, and requests to rows.

A signature of numeric columns alone is one tensor ``input`` of [-1, columns] (a tensor a column is
taken too); any other signature is one tensor a column of [-1]. A missing value is a null in the
data, or a NaN where the data are raw. Outputs are ``label`` and ``probabilities``, or ``value``.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from afterfit.core.frame import Frame
from afterfit.core.signature import Column, Signature
from afterfit.runtime.batch import Finish
from afterfit.runtime.columns import FieldError, Problem
from afterfit.runtime.decode import Decoder, parse_json
from afterfit.runtime.oip_answer import InferWriter, output_tensors
from afterfit.runtime.oip_binary import as_text, itemsize, plain, unpack
from afterfit.runtime.problems import ProtocolError
from afterfit.runtime.rows import Parsed, RowReader

__all__ = ["InferReader", "ProtocolError", "input_tensors", "metadata"]

ONE_TENSOR = "input"
FLOATS = frozenset({"FP16", "FP32", "FP64"})
INTEGERS = frozenset(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
NUMBERS = FLOATS | INTEGERS
DATATYPES = NUMBERS | {"BOOL", "BYTES"}
TYPES = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": "BYTES",
    "text": "BYTES",
}
_ACCEPTED = {
    "number": NUMBERS,
    "integer": NUMBERS,
    "boolean": frozenset({"BOOL"}),
    "category": frozenset({"BYTES"}),
    "text": frozenset({"BYTES"}),
}
NOT_DONE = (
    "sequence_id",
    "sequence_start",
    "sequence_end",
    "classification",
    "shared_memory_region",
)


class RequestedOutput(msgspec.Struct, kw_only=True):
    """One output that the client wants."""

    name: str
    parameters: dict[str, Any] = {}


class Tensor(msgspec.Struct, kw_only=True):
    """One input; ``data`` is flat or nested, row by row, and absent where it comes raw."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, kw_only=True):
    """The body of ``infer``; ``outputs`` empty means all."""

    inputs: list[Tensor]
    id: str = ""
    outputs: list[RequestedOutput] = []
    parameters: dict[str, Any] = {}


class NumberTensor(Tensor, kw_only=True):
    """An input of numbers alone, flat: what nearly every request for a table of numbers is."""

    data: list[float]


class NumberRequest(InferRequest, kw_only=True):
    """A request of such inputs."""

    inputs: list[NumberTensor]  # type: ignore[assignment]  # a list that is only read


_numbers = msgspec.json.Decoder(NumberRequest)
_general = msgspec.json.Decoder(InferRequest)


class InferReader:
    """Reads the requests for one model."""

    def __init__(self, decoder: Decoder, rows: RowReader, writer: InferWriter) -> None:
        self.signature = decoder.signature
        self.decoder = decoder
        self.rows = rows
        self.writer = writer
        self._numeric = self.signature.numeric_only
        self._width = len(self.signature.columns)
        self._columns = {column.name: column for column in self.signature.columns}

    def read(self, body: bytes, json_bytes: int | None = None) -> tuple[Parsed, Finish, float]:
        """Return the rows, what writes the answer, and the request's ``timeout`` (s; 0 for none).

        ``json_bytes`` is the length of the JSON where raw tensors follow it.
        Raises ProtocolError, MalformedError, FieldError or TooLargeError.
        """
        if json_bytes is None and self._numeric:
            try:
                numbers = _numbers.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
            else:
                parsed = self._flat(numbers, body)
                if parsed is not None:
                    return parsed, *self._asked(numbers)
        request = self._raw(body) if json_bytes == 0 else parse(body, json_bytes)
        return self._parsed(request), *self._asked(request)

    def _flat(self, request: NumberRequest, body: bytes) -> Parsed | None:
        """Return the rows of one flat tensor of numbers; None for what is anything else."""
        if len(request.inputs) != 1:
            return None
        (tensor,) = request.inputs
        shape, data, width = tensor.shape, tensor.data, self._width
        if (
            tensor.name != ONE_TENSOR
            or len(shape) != 2
            or shape[1] != width
            or len(data) != shape[0] * width
            or not 0 < shape[0] <= self.decoder.limits.rows
            or tensor.datatype not in NUMBERS
        ):
            return None
        rows = (
            [data] if shape[0] == 1 else [data[i : i + width] for i in range(0, len(data), width)]
        )
        # Read again where an integer may have lost its last digits as a float.
        return Parsed(shape[0], rows=rows, strict=lambda: self._frame(parse(body)))

    def _raw(self, body: bytes) -> InferRequest:
        """Return the request of a body that is one tensor's bytes and nothing else.

        Its size tells the number of rows; a BYTES tensor is one string.
        """
        inputs = input_tensors(self.signature)
        if len(inputs) != 1:
            raise ProtocolError(
                "a body without JSON is taken by models of one input",
                why=f"the inputs are {[each['name'] for each in inputs]}"[:300],
            )
        name, datatype, shape = (inputs[0][key] for key in ("name", "datatype", "shape"))
        width = math.prod(shape[1:])
        if datatype == "BYTES":
            values: Any = [as_text(body)]
        else:
            size = width * itemsize(datatype)
            if not body or len(body) % size:
                raise ProtocolError(f"{len(body)} bytes are no rows of {size} bytes each")
            values = plain(unpack(body, datatype, [len(body) // size, width], "$"))
        rows = [len(values) // width, *shape[1:]]
        tensor = Tensor(name=name, shape=rows, datatype=datatype, data=values)
        return InferRequest(inputs=[tensor], parameters={"binary_data_output": True})

    def _asked(self, request: InferRequest) -> tuple[Finish, float]:
        parameters = request.parameters
        if not (parameters or request.outputs or request.id):
            return self.writer.json, 0.0
        _refuse_not_done(parameters, "$")
        for index, output in enumerate(request.outputs):
            _refuse_not_done(output.parameters, f"$.outputs[{index}]")
        wanted = [output.name for output in request.outputs]
        self.writer.check(wanted)
        raw = bool(parameters.get("binary_data_output", False))
        binary = frozenset(
            name for name in self.writer.tensors if raw and name not in wanted
        ) | frozenset(
            output.name for output in request.outputs if output.parameters.get("binary_data", raw)
        )
        timeout = parameters.get("timeout", 0)
        seconds = timeout / 1e6 if isinstance(timeout, int) and timeout > 0 else 0.0
        return self.writer.writer(wanted, binary, request.id), seconds

    def _parsed(self, request: InferRequest) -> Parsed:
        frame = self._frame(request)
        return Parsed(len(next(iter(frame.values()))), frame=frame)

    def _frame(self, request: InferRequest) -> Frame:
        names = [tensor.name for tensor in request.inputs]
        if len(set(names)) < len(names):
            raise ProtocolError("an input is given twice", why=f"inputs: {names}"[:300])
        for index, tensor in enumerate(request.inputs):
            _check(tensor, index)
        one = self._numeric and names == [ONE_TENSOR]
        if one and (ONE_TENSOR not in self._columns or len(request.inputs[0].shape) == 2):
            return self._from_matrix(request.inputs[0])
        return self._from_tensors(request.inputs)

    def _from_matrix(self, tensor: Tensor) -> Frame:
        width, shape = self._width, tensor.shape
        if len(shape) != 2 or shape[1] != width:
            raise ProtocolError(
                f"$.inputs[0].shape: expected [rows, {width}], got {shape}",
                why=f"the columns are {', '.join(self.signature.names)}"[:300],
            )
        if tensor.datatype == "BYTES":
            raise ProtocolError("$.inputs[0].datatype: expected numbers, got BYTES")
        data = _values(tensor)
        columns = {
            column.name: _as_kind(data[index::width], column)
            for index, column in enumerate(self.signature.columns)
        }
        return self.decoder.from_columns(columns, "$.inputs[0].{}")

    def _from_tensors(self, tensors: list[Tensor]) -> Frame:
        data: dict[str, Any] = {}
        for index, tensor in enumerate(tensors):
            column = self._columns.get(tensor.name)
            if column is None:
                raise self._no_input(tensors, index)
            if tensor.datatype not in _ACCEPTED[column.kind]:
                raise ProtocolError(
                    f"$.inputs[{index}].datatype: {tensor.name!r} is {TYPES[column.kind]}, "
                    f"got {tensor.datatype}"
                )
            if len(tensor.shape) == 2 and tensor.shape[1] != 1:
                raise ProtocolError(f"$.inputs[{index}].shape: expected [rows] or [rows, 1]")
            data[tensor.name] = _values(tensor)
        return self.decoder.from_columns(data, "$.inputs.{}")

    def _no_input(self, tensors: list[Tensor], index: int) -> ProtocolError:
        """Return the refusal of an input that is no column, or of what stands beside the whole."""
        expected = [each["name"] for each in input_tensors(self.signature)]
        names = [tensor.name for tensor in tensors]
        if names[index] in expected and len(names) > 1:
            index = 1 if index == 0 else 0
        return ProtocolError(
            f"$.inputs[{index}].name: no input {names[index][:80]!r}",
            why=f"the inputs are {expected}"[:300],
        )


def parse(body: bytes, json_bytes: int | None = None) -> InferRequest:
    """Return the request with its raw tensors; raises ProtocolError, MalformedError, FieldError."""
    text = body if json_bytes is None else body[:json_bytes]
    if json_bytes is not None and not 0 < json_bytes <= len(body):
        raise ProtocolError(
            f"the header says {json_bytes} bytes of JSON, and the body has {len(body)}",
        )
    try:
        request = _general.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            request = msgspec.convert(parse_json(text), InferRequest)
        except (msgspec.ValidationError, RecursionError) as error:
            raise ProtocolError("not an inference request", why=str(error)) from None
    _attach(request, body, len(text))
    return request


def metadata(name: str, version: int, platform: str, signature: Signature) -> dict[str, Any]:
    """Return the model's metadata."""
    return {
        "name": name,
        "versions": [str(version)],
        "platform": platform,
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
    return [{"name": c.name, "datatype": TYPES[c.kind], "shape": [-1]} for c in columns]


def _attach(request: InferRequest, body: bytes, place: int) -> None:
    """Give each raw tensor its bytes; raises ProtocolError where sizes do not add up."""
    for index, tensor in enumerate(request.inputs):
        where = f"$.inputs[{index}]"
        _refuse_not_done(tensor.parameters, where)
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            if tensor.data is msgspec.UNSET:
                raise ProtocolError(f"{where}: neither data nor binary_data_size")
            continue
        if type(size) is not int or size < 0 or place + size > len(body):
            raise ProtocolError(f"{where}.parameters.binary_data_size: goes beyond the body")
        if tensor.data is not msgspec.UNSET:
            raise ProtocolError(f"{where}: both data and binary_data_size")
        _check_form(tensor, where)
        values = unpack(body[place : place + size], tensor.datatype, tensor.shape, where)
        tensor.data = plain(values)
        place += size
    if place != len(body):
        raise ProtocolError(f"{len(body) - place} bytes after the last tensor")


def _refuse_not_done(parameters: dict[str, Any], where: str) -> None:
    """Raise ProtocolError for what the client counts on and would not get."""
    for name in NOT_DONE if parameters else ():
        if parameters.get(name):
            raise ProtocolError(f"{where}.parameters.{name}: this server does not do that")


def _values(tensor: Tensor) -> list[Any]:
    return [] if tensor.data is msgspec.UNSET else tensor.data


def _check_form(tensor: Tensor, where: str) -> None:
    if tensor.datatype not in DATATYPES:
        raise ProtocolError(f"{where}.datatype: {tensor.datatype[:40]!r} is not of the protocol")
    if not 1 <= len(tensor.shape) <= 2 or min(tensor.shape) < 0:
        raise ProtocolError(f"{where}.shape: expected [rows] or [rows, columns]")


def _check(tensor: Tensor, index: int) -> None:
    where = f"$.inputs[{index}]"
    _check_form(tensor, where)
    if isinstance(tensor.data, list):
        tensor.data = _flatten(tensor.data, tensor.shape, where)


def _flatten(data: list[Any], shape: list[int], where: str) -> list[Any]:
    """Return flat data of the size that the shape tells."""
    if len(shape) == 2 and data and all(type(item) is list for item in data):
        if len(data) != shape[0] or any(len(item) != shape[1] for item in data):
            raise ProtocolError(f"{where}.data: does not fit the shape {shape}")
        data = [value for item in data for value in item]
    if len(data) != math.prod(shape):
        raise ProtocolError(f"{where}.data: {len(data)} values for the shape {shape}")
    return data


def _as_kind(values: list[Any], column: Column) -> list[Any]:
    """Return a column of a number tensor; booleans are 0 and 1 there."""
    if column.kind != "boolean":
        return values
    if any(value not in {0, 1, None} for value in values if not isinstance(value, list | dict)):
        raise FieldError([Problem(f"$.inputs[0].{column.name}", "a boolean is 0 or 1")])
    return [bool(v) if isinstance(v, int | float) else v for v in values]
