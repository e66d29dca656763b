"""Bodies that are no JSON: raw tensors, CSV, JSON lines and Arrow streams, whole and damaged."""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from tests.runtime.hostile.json_attacks import damaged

if TYPE_CHECKING:
    import random

EXTREMES = [
    *(math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 2.2e-308, 1.7e308, -1.7e308, 1.8e154),
    *(3.4e38, 3.5e38, -3.5e38, 65504.0, 1e-45, 1e16, 2.0**53 + 2, 1.0, 0.5),
]
WHOLE = [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
CELLS = [
    *("", "nan", "NaN", "inf", "-inf", "1e309", "1_0", "0x1", "1,5", " 1 ", "+1", "--1", "NULL"),
    *('"', '"a', 'a"b', '"a\nb"', "=1+1", "\x00", "\u202e", "1" * 5000, "9" * 400, "clerk"),
]
FORMATS = {"FP64": "d", "FP32": "f", "FP16": "e", "INT64": "q", "INT32": "i", "UINT8": "B"}
SIZES = [-1, 0, 1, 2, 3, 50, 51, 2**31, 2**63 - 1, 2**64, 10**30]


def tensor_body(rng: random.Random, inputs: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """A body of JSON and raw tensors, and the header that tells where the JSON ends."""
    parts, tensors = [], []
    rows = rng.choice((1, 1, 2, 7, 50, 51))
    for tensor in inputs:
        width = tensor["shape"][1] if len(tensor["shape"]) > 1 else None
        datatype = tensor["datatype"] if rng.random() < 0.8 else rng.choice([*FORMATS, "BOOL", "X"])
        raw = _raw(rng, datatype, rows * (width or 1))
        shape = [rows] if width is None else [rows, width]
        size: Any = len(raw)
        if rng.random() < 0.08:
            shape[rng.randrange(len(shape))] = rng.choice(SIZES)
        if rng.random() < 0.08:
            size = rng.choice([*SIZES, None, "8", 1.5, True, len(raw) + 1])
        made = {"name": tensor["name"], "datatype": datatype, "shape": shape}
        tensors.append({**made, "parameters": {"binary_data_size": size}})
        parts.append(raw)
    document: dict[str, Any] = {"inputs": tensors}
    if rng.random() < 0.5:
        document["parameters"] = {"binary_data_output": True}
    if rng.random() < 0.3:
        document["id"] = rng.choice(["", "x" * 500, "\u0000", "\ud83d", "é"])
    head = json.dumps(document).encode("utf-8", "surrogatepass")
    body = head + b"".join(parts)
    length = str(len(head)).encode()
    if rng.random() < 0.1:
        length = rng.choice((b"0", b"-1", b"", b"1e3", b"99999999999999", str(len(body)).encode()))
    return (damaged(body, rng) if rng.random() < 0.15 else body), length


def _raw(rng: random.Random, datatype: str, count: int) -> bytes:
    if datatype == "BYTES":
        texts = [rng.choice([b"clerk", b"", b"\xff", b"x" * 300, b"\0"]) for _ in range(count)]
        lengths = [len(t) if rng.random() < 0.97 else rng.choice((0, 2**32 - 1)) for t in texts]
        return b"".join(struct.pack("<I", n) + t for n, t in zip(lengths, texts, strict=True))
    if datatype == "BOOL":
        return bytes(rng.choice((0, 1, 1, 0, 2, 255)) for _ in range(count))
    if datatype not in FORMATS:
        return rng.randbytes(count * 8)
    form = FORMATS[datatype]
    if form in "def":
        values: list[Any] = [rng.choice([*EXTREMES, rng.gauss(30, 9)]) for _ in range(count)]
        if form == "e":
            values = [v if not math.isfinite(v) or abs(v) < 65504 else 1.0 for v in values]
        if form == "f":
            values = [v if not math.isfinite(v) or abs(v) < 3.4e38 else 3.4e38 for v in values]
        return struct.pack(f"<{count}{form}", *values)
    if form == "q":
        return struct.pack(f"<{count}q", *(rng.choice(WHOLE) for _ in range(count)))
    return rng.randbytes(count * struct.calcsize(form))


def csv_body(rng: random.Random, columns: list[str], row: list[Any]) -> bytes:
    """Lines of a table with strange cells."""
    lines = [list(columns)] if rng.random() < 0.8 else []
    for _ in range(rng.choice((0, 1, 2, 50, 51))):
        cells = [str(value) for value in row]
        if rng.random() < 0.4 and cells:
            cells[rng.randrange(len(cells))] = rng.choice(CELLS)
        lines.append(cells + ([] if rng.random() < 0.95 else ["more"]))
    end = rng.choice(("\n", "\n", "\r\n", "\r", "\n\n"))
    data = end.join(",".join(cells) for cells in lines).encode("utf-8", "replace")
    return damaged(data, rng) if rng.random() < 0.3 else data


def lines_body(rng: random.Random, documents: list[bytes]) -> bytes:
    """JSON lines, some of them wounded."""
    return rng.choice((b"\n", b"\r\n", b"\n\n")).join(documents)


def arrow_body(rng: random.Random, columns: list[str], row: list[Any]) -> bytes:
    """An Arrow stream of a table, with extreme numbers, odd types or damaged bytes."""
    rows = rng.choice((0, 1, 3, 50, 51))
    arrays = [_array(rng, value, rows) for value in row]
    if rng.random() < 0.05 and arrays:
        arrays.pop()
    names = [*columns][: len(arrays)]
    batch = pa.record_batch(arrays, names=names)
    options = pa.ipc.IpcWriteOptions(compression=rng.choice((None, None, "lz4", "zstd")))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            writer.write_batch(batch)
    data = sink.getvalue().to_pybytes()
    return damaged(data, rng) if rng.random() < 0.6 else data


def _array(rng: random.Random, value: Any, rows: int) -> pa.Array:
    kind = rng.random()
    if kind < 0.08:
        return pa.array([[1.0]] * rows, pa.list_(pa.float64()))
    if kind < 0.12:
        return pa.nulls(rows)
    if isinstance(value, str):
        choices = [value, "x" * 300, "", "\u202e", None]
        texts = pa.array([rng.choice(choices) for _ in range(rows)], pa.string())
        return texts.dictionary_encode() if kind < 0.4 else texts
    if isinstance(value, bool):
        return pa.array([rng.random() < 0.5 for _ in range(rows)])
    if isinstance(value, int) and kind < 0.7:
        return pa.array([rng.choice(WHOLE) for _ in range(rows)], pa.int64())
    numbers = [rng.choice([*EXTREMES, float(value)]) for _ in range(rows)]
    return pa.array(numbers, rng.choice((pa.float64(), pa.float64(), pa.float32())))
