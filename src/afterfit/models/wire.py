"""Messages between a model's parent and its child: length-framed msgpack, never pickle.

A message is 8 bytes of little-endian length and a msgpack body. Numpy arrays travel as an extension
(dtype, shape, raw bytes), object arrays as lists, and Afterfit's own structs under their type name.
"""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import numpy as np

from afterfit.errors import IntegrityError, ResourceError

__all__ = ["MAX_BYTES", "decode", "encode", "framed", "receive"]

MAX_BYTES = 2 << 30
"""The largest body, in bytes: more is a defect or an attack."""

_LENGTH_BYTES = 8
_ARRAY, _OBJECTS, _STRUCT = 1, 2, 3
_RAW_KINDS = frozenset("biufc")


def encode(message: object) -> bytes:
    """Return the msgpack body of plain values, numpy arrays, Paths and Afterfit's structs."""
    body = _encode(message)
    if len(body) > MAX_BYTES:
        raise ResourceError(
            f"a message of {len(body):,} bytes is more than a model is sent at once",
            why=f"the limit is {MAX_BYTES:,} bytes",
            fix="send fewer rows at a time",
        )
    return body


def decode(body: bytes | bytearray) -> Any:
    """Return the message in a body; raises IntegrityError where it is none."""
    try:
        return msgspec.msgpack.decode(body, ext_hook=_from_extension)
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
        raise IntegrityError(
            "a message cannot be read",
            why=str(error),
            fix="run the command again; report it if it comes again",
        ) from None


def framed(message: object) -> bytes:
    """Return one message as it goes over a stream: its length, then its body."""
    body = encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def receive(stream: IO[bytes]) -> Any:
    """Return the next message; raises EOFError where the other side is gone."""
    length = int.from_bytes(_read(stream, _LENGTH_BYTES), "little")
    if length > MAX_BYTES:
        raise IntegrityError(
            f"a message claims {length:,} bytes",
            why=f"the limit is {MAX_BYTES:,} bytes",
            fix="ask with fewer rows at once",
        )
    return decode(_read(stream, length))


def _read(stream: IO[bytes], size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        part = stream.read(min(size - len(data), 1 << 24))
        if not part:
            raise EOFError("the other side closed the connection")
        data += part
    return data


def _encode(value: object) -> bytes:
    return msgspec.msgpack.encode(_plain(value), enc_hook=_to_extension)


def _plain(value: object) -> object:
    # msgspec would write structs and dataclasses as bare maps, forgetting what they are.
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct) or _is_dataclass(value):
        return _struct(value)
    return value


def _is_dataclass(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _struct(value: object) -> msgspec.msgpack.Ext:
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        names = kind.__struct_fields__  # type: ignore[attr-defined]
    else:
        names = tuple(field.name for field in dataclasses.fields(cast("Any", value)))
    fields = {name: getattr(value, name) for name in names}
    fields = {name: each for name, each in fields.items() if each is not msgspec.UNSET}
    return msgspec.msgpack.Ext(_STRUCT, _encode([kind.__module__, kind.__qualname__, fields]))


def _to_extension(value: object) -> object:
    if isinstance(value, np.ndarray):
        if value.dtype.kind in _RAW_KINDS:
            header = msgspec.msgpack.encode([value.dtype.str, list(value.shape)])
            raw = np.ascontiguousarray(value).tobytes()
            size = len(header).to_bytes(4, "little")
            return msgspec.msgpack.Ext(_ARRAY, b"".join((size, header, raw)))
        flat = [_scalar(item) for item in value.ravel().tolist()]
        return msgspec.msgpack.Ext(_OBJECTS, _encode([list(value.shape), flat]))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent to a model's process")


def _scalar(value: object) -> object:
    if value is None or isinstance(value, str | bool | int | float | bytes):
        return value
    return value.item() if isinstance(value, np.generic) else str(value)


def _from_extension(code: int, data: memoryview) -> object:
    if code == _ARRAY:
        return _array(data)
    if code == _OBJECTS:
        shape, flat = msgspec.msgpack.decode(data)
        array = np.empty(len(flat), dtype=object)
        array[:] = flat
        return array.reshape(shape)
    if code == _STRUCT:
        module, name, fields = msgspec.msgpack.decode(data, ext_hook=_from_extension)
        return _restore(module, name, fields)
    raise ValueError(f"unknown extension {code}")


def _array(data: memoryview) -> np.ndarray:
    size = int.from_bytes(data[:4], "little")
    dtype, shape = msgspec.msgpack.decode(data[4 : 4 + size])
    kind = np.dtype(dtype)
    if kind.kind not in _RAW_KINDS:
        raise ValueError(f"an array of {dtype} cannot travel as bytes")
    return np.frombuffer(data[4 + size :], dtype=kind).reshape(shape).copy()


def _restore(module: str, name: str, fields: dict[str, Any]) -> object:
    if not (module == "afterfit" or module.startswith("afterfit.")):
        raise ValueError(f"{module}.{name} is none of Afterfit's types")
    kind = getattr(import_module(module), name)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return msgspec.convert(fields, kind, strict=False, dec_hook=_as_is)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return kind(**fields)
    raise ValueError(f"{module}.{name} is no record type")


def _as_is(_kind: type, value: object) -> object:
    return value
