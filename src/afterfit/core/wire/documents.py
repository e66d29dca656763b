"""The JSON documents of the protocol, read strictly: no NaN, no field of another type."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from afterfit.core.wire.client import Exchange
from afterfit.core.wire.tensors import Tensor, flat, from_raw

__all__ = [
    "HEADER_LENGTH",
    "Answer",
    "ModelMetadata",
    "ServerMetadata",
    "TensorMetadata",
    "UnreadableError",
    "answer_of",
    "json_of",
    "typed",
]

Document = TypeVar("Document")
HEADER_LENGTH = "inference-header-content-length"


class UnreadableError(Exception):
    """A document that is not what the protocol says; the text tells where."""


class ServerMetadata(msgspec.Struct):
    """``$metadata_server_response``."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(msgspec.Struct):
    """``$metadata_tensor``: -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """``$metadata_model_response``."""

    name: str
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    versions: list[str] = []


class Answer(msgspec.Struct):
    """An inference response: its document, its outputs in order, and which of them were raw."""

    document: dict[str, Any]
    outputs: list[Tensor]
    raw: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Return the names of the outputs in their order."""
        return [output.name for output in self.outputs]


def json_of(data: bytes) -> Any:
    """Return a strictly parsed document; raises UnreadableError."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"not strict JSON: {error}") from None


def typed(document: Any, shape: type[Document]) -> Document:
    """Return the document as its struct; raises UnreadableError with the path of what is wrong."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        raise UnreadableError(str(error)) from None


def answer_of(exchange: Exchange) -> Answer:
    """Return the inference response of an exchange, raw outputs decoded; raises UnreadableError."""
    try:
        content = exchange.content()
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    head, tail = _split(content, exchange.header(HEADER_LENGTH))
    document = json_of(head)
    if not isinstance(document, dict) or not isinstance(document.get("outputs"), list):
        raise UnreadableError("no object with an array `outputs`")
    outputs, raw = [], set()
    for index, output in enumerate(document["outputs"]):
        tensor, used = _output(output, tail, f"$.outputs[{index}]")
        outputs.append(tensor)
        if used is not None:
            raw.add(tensor.name)
            tail = tail[used:]
    if tail:
        raise UnreadableError(f"{len(tail)} bytes after the last raw output")
    return Answer(document, outputs, frozenset(raw))


def _split(content: bytes, length: str | None) -> tuple[bytes, bytes]:
    if length is None:
        return content, b""
    if not length.isdigit() or int(length) > len(content):
        raise UnreadableError(f"{HEADER_LENGTH} is {length}, and the body has {len(content)} bytes")
    return content[: int(length)], content[int(length) :]


def _output(output: Any, tail: bytes, where: str) -> tuple[Tensor, int | None]:
    """Return an output, and how many raw bytes it took (None where its data is JSON)."""
    if not isinstance(output, dict) or not isinstance(output.get("name"), str):
        raise UnreadableError(f"{where} has no name")
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    try:
        if size is None:
            values = flat(output.get("data"))
        elif isinstance(size, int) and 0 <= size <= len(tail):
            values = from_raw(tail[:size], str(output.get("datatype")))
        else:
            raise UnreadableError(f"{where}: binary_data_size {size!r} of {len(tail)} bytes")
    except ValueError as error:
        raise UnreadableError(f"{where}: {error}") from None
    shape = output.get("shape")
    fine = isinstance(shape, list) and all(type(size) is int for size in shape)
    sizes = tuple(shape) if isinstance(shape, list) and fine else ()
    return Tensor(output["name"], str(output.get("datatype")), sizes, values), size
