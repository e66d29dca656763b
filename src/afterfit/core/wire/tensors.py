"""Tensors as the protocol writes them: flat or nested JSON, and raw little-endian bytes.

Sources: Open Inference Protocol, "Tensor Data" and "Tensor Data Types"; Triton, "Binary Tensor
Data Extension" (which adds BF16).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

__all__ = ["DATATYPES", "FLOATS", "INTEGERS", "RAW_ONLY", "Tensor", "alike", "flat", "from_raw"]

FLOATS = ("FP16", "BF16", "FP32", "FP64")
INTEGERS = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
DATATYPES = frozenset({"BOOL", "BYTES", *FLOATS, *INTEGERS})
# JSON has no agreed form for these two, so servers may take and give them as bytes alone.
RAW_ONLY = frozenset({"FP16", "BF16"})
_FORMATS = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BF16": "<u2"} | {
    name: f"<{'u' if name[0] == 'U' else 'i'}{int(name.rpartition('T')[2]) // 8}"
    for name in INTEGERS
}
# The same rows through JSON text, raw bytes, alone or among others: floats may differ by rounding.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-6


class Tensor(msgspec.Struct, frozen=True):
    """A named tensor; ``values`` are plain and flat, row by row."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]
    parameters: dict[str, Any] = {}

    def described(self, **parameters: Any) -> dict[str, Any]:
        """Return name, shape, datatype and parameters, as JSON holds them."""
        document: dict[str, Any] = {
            "name": self.name,
            "shape": list(self.shape),
            "datatype": self.datatype,
        }
        if self.parameters or parameters:
            document["parameters"] = self.parameters | parameters
        return document

    def as_json(self, *, nested: bool = False) -> dict[str, Any]:
        """Return the tensor with its data in JSON."""
        data = _nest(self.values, self.shape) if nested else list(self.values)
        return {**self.described(), "data": data}

    def as_raw(self) -> bytes:
        """Return the elements as bytes."""
        if self.datatype == "BYTES":
            texts = [str(value).encode("utf-8", "surrogateescape") for value in self.values]
            return b"".join(struct.pack("<I", len(text)) + text for text in texts)
        if self.datatype == "BF16":
            wide = np.array(self.values, "<f4").view("<u4")
            return (wide >> 16).astype("<u2").tobytes()
        return np.array(self.values, _FORMATS[self.datatype]).tobytes()


def from_raw(data: bytes, datatype: str) -> tuple[Any, ...]:
    """Return the values in raw bytes; raises ValueError where they do not fit the datatype."""
    if datatype == "BYTES":
        return tuple(_texts(data))
    if datatype not in _FORMATS:
        raise ValueError(f"no datatype {datatype!r}")
    if datatype == "BOOL" and set(data) - {0, 1}:
        raise ValueError("a BOOL is one byte, 0 or 1")
    array = np.frombuffer(data, _FORMATS[datatype])
    if datatype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return tuple(array.tolist())


def flat(data: Any) -> tuple[Any, ...]:
    """Return nested or flat JSON data as flat; raises ValueError where it is no array."""
    if not isinstance(data, list):
        raise ValueError("data is no array")  # noqa: TRY004 - what was received is wrong, not a type
    values: list[Any] = []
    waiting = [iter(data)]
    while waiting:
        for item in waiting[-1]:
            if isinstance(item, list):
                waiting.append(iter(item))
                break
            values.append(item)
        else:
            waiting.pop()
    return tuple(values)


def alike(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether two lists of values are the same, floats up to rounding."""
    return len(some) == len(others) and all(map(_same, some, others))


def _same(one: Any, other: Any) -> bool:
    numbers = (int, float)
    if not (isinstance(one, numbers) and isinstance(other, numbers)):
        return bool(one == other)
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _nest(values: Iterable[Any], shape: tuple[int, ...]) -> list[Any]:
    """Return flat values as lists of lists."""
    level = list(values)
    for size in reversed(shape[1:]):
        level = [level[start : start + size] for start in range(0, len(level), max(size, 1))]
    return level


def _texts(data: bytes) -> Iterable[str]:
    start = 0
    while start < len(data):
        if start + 4 > len(data):
            raise ValueError("a BYTES element has no whole length")
        (size,) = struct.unpack_from("<I", data, start)
        text = data[start + 4 : start + 4 + size]
        if len(text) < size:
            raise ValueError(f"a BYTES element of {size} bytes has {len(text)}")
        yield text.decode("utf-8", "surrogateescape")
        start += 4 + size
