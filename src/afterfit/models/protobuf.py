"""The structure of an ONNX file, from its wire format alone.

Source: the protobuf encoding and ``onnx.proto3``; only lengths and a few fields are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from afterfit.errors import ModelError
from afterfit.models.pickle_values import RefusedError

__all__ = ["OnnxFacts", "fields", "is_onnx", "leaves_folder", "onnx_facts"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# field number -> wire type of ModelProto
MODEL = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
GRAPH, OPSET = 7, 8
KNOWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "com.microsoft"}
    | {"ai.onnx.preview.training", "com.microsoft.nchwc", "com.ms.internal.nhwc"}
)
# message -> field number -> the message that lies in it
NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
# Numbers and short texts of an attribute, each a field of its own: millions in a large forest.
RUNS = re.compile(
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|\x4a\x04.{4}|\x4a\x0a.{10}){1,5000}", re.DOTALL
)
MOST_MESSAGES = 5_000_000
Field = tuple[int, int, int | memoryview]


class OnnxFacts:
    """Versions, names of operators outside of the known domains, and external files."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.custom: set[str] = set()
        self.locations: set[str] = set()
        self.local: set[str] = set()


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data):
            raise RefusedError("the file ends in the middle of a number", position)
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise RefusedError("a number that is too long", position)


def fields(data: memoryview, runs: re.Pattern[bytes] | None = None) -> Iterator[Field]:
    """Yield (number, wire type, value) of one message; raises RefusedError where it is cut off.

    Whole fields that ``runs`` matches are passed over.
    """
    position = 0
    while position < len(data):
        if runs is not None and (run := runs.match(data, position)):
            position = run.end()
            continue
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = _varint(data, position)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, position = _varint(data, position)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise RefusedError(f"wire type {wire} is not used by ONNX", position)
        if position + size > len(data):
            raise RefusedError(f"the file ends in the middle of field {number}", position)
        yield number, wire, data[position : position + size]
        position += size


def is_onnx(data: memoryview, path: Path) -> bool:
    """Return whether the bytes are a plausible ONNX model.

    Raises ModelError where they begin as one and are cut off.
    """
    numbers: set[int] = set()
    try:
        for number, wire, _ in fields(data):
            if number == 0 or MODEL.get(number, wire) != wire or number > 1000:
                return False
            numbers.add(number)
    except RefusedError as error:
        if data[0] == 0x08 and _begins_as_model(data):
            raise _truncated(path, error) from error
        return False
    return GRAPH in numbers and bool(numbers & {1, OPSET})


def _begins_as_model(data: memoryview) -> bool:
    # ir_version first, then a field of ModelProto with its own wire type
    if len(data) < 3 or not 1 <= data[1] <= 99:
        return False
    key = data[2]
    return MODEL.get(key >> 3) == key & 7


def _truncated(path: Path, error: RefusedError) -> ModelError:
    return ModelError(
        "The ONNX file is truncated.",
        where=f"{path}, byte {error.offset}",
        why=error.reason[:1].upper() + error.reason[1:] + ".",
        fix="Copy or export the model again; compare its sha256 with the original.",
        code="truncated",
    )


def onnx_facts(data: memoryview) -> OnnxFacts:
    """Return what an ONNX model refers to outside of itself; raises RefusedError."""
    facts = OnnxFacts()
    _versions(data, facts)
    waiting: list[tuple[str, memoryview]] = [("model", data)]
    seen = 0
    while waiting:
        kind, message = waiting.pop()
        seen += 1
        if seen > MOST_MESSAGES:
            raise RefusedError("too many nested messages")
        nested = NESTED[kind]
        names: dict[int, str] = {}
        for number, wire, value in fields(message, RUNS if kind == "attribute" else None):
            if isinstance(value, int) or wire != BYTES:
                continue
            if number in nested:
                waiting.append((nested[number], value))
            elif kind == "tensor" and number == 13:
                _external(value, facts)
            elif number in NAME_FIELDS.get(kind, ()):
                names[number] = _text(value)
        _operator(kind, names, facts)
    facts.custom -= facts.local
    return facts


NAME_FIELDS = {"node": (4, 7), "function": (1, 10)}


def _operator(kind: str, names: dict[int, str], facts: OnnxFacts) -> None:
    if kind == "node" and names.get(7, "") not in KNOWN_DOMAINS:
        facts.custom.add(f"{names[7]}.{names.get(4, '')}")
    elif kind == "function":
        facts.local.add(f"{names.get(10, '')}.{names.get(1, '')}")


def _text(value: memoryview) -> str:
    return bytes(value[:1000]).decode("utf-8", "replace")


def _versions(data: memoryview, facts: OnnxFacts) -> None:
    labels = {2: "producer", 3: "producer-version"}
    for number, _, value in fields(data):
        if number == 1 and isinstance(value, int):
            facts.versions["onnx-ir"] = str(value)
        elif number in labels and not isinstance(value, int):
            facts.versions[labels[number]] = _text(value)
        elif number == OPSET and not isinstance(value, int):
            domain, version = "", 0
            for inner, _, content in fields(value):
                if inner == 1 and not isinstance(content, int):
                    domain = _text(content)
                elif inner == 2 and isinstance(content, int):
                    version = content
            facts.versions[f"opset:{domain or 'ai.onnx'}"] = str(version)


def _external(entry: memoryview, facts: OnnxFacts) -> None:
    key = value = ""
    for number, _, content in fields(entry):
        if isinstance(content, int):
            continue
        if number == 1:
            key = _text(content)
        elif number == 2:
            value = _text(content)
    if key == "location":
        facts.locations.add(value)


def leaves_folder(location: str) -> bool:
    """Return whether a path from a file points outside of the folder of that file."""
    for path in (PurePosixPath(location), PureWindowsPath(location)):
        if path.is_absolute() or path.anchor or ".." in path.parts:
            return True
    return "\x00" in location or not location
