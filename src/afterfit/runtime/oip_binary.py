"""Raw tensors of the Open Inference Protocol's binary extension: little-endian, row by row.

Source: Triton's docs/protocol/extension_binary_data.md. A BYTES element is a u32 length and its
bytes; a BOOL is one byte; ``Inference-Header-Content-Length`` tells where the JSON ends.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from afterfit.runtime.problems import ProtocolError

__all__ = ["as_text", "itemsize", "pack", "pack_bytes", "plain", "unpack"]

DTYPES = {
    "BOOL": "|b1",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
}
_LENGTH = struct.Struct("<I")


def unpack(raw: bytes, datatype: str, shape: Sequence[int], where: str) -> np.ndarray | list[str]:
    """Return the flat values of one raw tensor; raises ProtocolError where the size is off."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return _strings(raw, count, where)
    dtype = np.dtype(DTYPES[datatype])
    if len(raw) != count * dtype.itemsize:
        raise ProtocolError(
            f"{where}: {len(raw)} bytes for {count} values of {datatype} "
            f"({count * dtype.itemsize} expected)"
        )
    if datatype == "BOOL":
        bits = np.frombuffer(raw, np.uint8)
        if (bits > 1).any():
            raise ProtocolError(f"{where}: a BOOL is the byte 0 or 1")
        return bits.astype(bool)
    return np.frombuffer(raw, dtype)


def plain(values: np.ndarray | list[str]) -> list[Any]:
    """Return raw values as JSON has them: what is missing is a NaN in bytes, and None from here."""
    items = values if isinstance(values, list) else values.tolist()
    return [None if value != value else value for value in items]  # noqa: PLR0124 - NaN


def itemsize(datatype: str) -> int:
    """Return the bytes of one number or boolean."""
    return np.dtype(DTYPES[datatype]).itemsize


def as_text(raw: bytes) -> str:
    """Return the one string of a raw BYTES tensor, length first; raises ProtocolError."""
    (text,) = _strings(raw, 1, "$")
    return text


def pack(values: np.ndarray, datatype: str) -> bytes:
    """Return the raw bytes of numbers or booleans."""
    return values.astype(DTYPES[datatype]).tobytes()


def pack_bytes(texts: Sequence[str]) -> bytes:
    """Return the raw bytes of a BYTES tensor."""
    encoded = [text.encode() for text in texts]
    return b"".join(_LENGTH.pack(len(each)) + each for each in encoded)


def _strings(raw: bytes, count: int, where: str) -> list[str]:
    if count * _LENGTH.size > len(raw):
        raise ProtocolError(f"{where}: {len(raw)} bytes cannot hold {count} strings")
    texts, place = [], 0
    for _ in range(count):
        if place + _LENGTH.size > len(raw):
            raise ProtocolError(f"{where}: fewer than the {count} strings of the shape")
        (length,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size
        if place + length > len(raw):
            raise ProtocolError(f"{where}: a string goes beyond the end of the data")
        try:
            texts.append(raw[place : place + length].decode())
        except UnicodeDecodeError:
            raise ProtocolError(f"{where}: a string is not UTF-8") from None
        place += length
    if place != len(raw):
        raise ProtocolError(f"{where}: {len(raw) - place} bytes more than the shape holds")
    return texts
