"""The requests of a load test: rows of the user's data, in the words of a protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from afterfit.core import frame as frames
from afterfit.core.dataset import Dataset
from afterfit.core.frame import Frame, is_missing
from afterfit.core.signature import Signature
from afterfit.core.wire.client import Sent
from afterfit.core.wire.documents import HEADER_LENGTH, ModelMetadata, TensorMetadata
from afterfit.core.wire.material import Material
from afterfit.core.wire.model import JSON_TYPE, taken_apart
from afterfit.core.wire.tensors import INTEGERS, Tensor
from afterfit.errors import InputError

__all__ = [
    "columns_of",
    "json_bodies",
    "request_bodies",
    "tensor_request",
    "tensors_of_rows",
]

DISTINCT_ROWS = 500


def request_bodies(
    data: Dataset, signature: Signature, seed: int, *, rows: int = 1, most: int = DISTINCT_ROWS
) -> list[bytes]:
    """Return up to ``most`` bodies of our ``/predict``, of ``rows`` rows each, from the data."""
    chosen = drawn(data, seed, rows, most)
    columns = columns_of(data, list(signature.names), "the model")
    return [msgspec.json.encode({"rows": plain_rows(columns, part)}) for part in chosen]


def drawn(data: Dataset, seed: int, rows: int, most: int) -> list[np.ndarray]:
    """Return the numbers of the rows of each request, drawn without repeats while there are any.

    Raises InputError for data without rows.
    """
    if not len(data):
        raise InputError(
            "the data has no rows to send", where=data.source, fix="give --data a table with rows"
        )
    random = np.random.default_rng(seed)
    count = min(most, max(1, len(data) // rows))
    order = np.concatenate(
        [random.permutation(len(data)) for _ in range(-(-count * rows // len(data)))]
    )
    return list(order[: count * rows].reshape(count, rows))


def plain_rows(frame: Frame, numbers: np.ndarray) -> list[dict[str, Any]]:
    """Return rows of a table as JSON has them; what is missing is null."""
    columns = {name: [_plain(v) for v in frame[name][numbers]] for name in frame}
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def json_bodies(
    example: Any, data: Dataset | None, seed: int, *, rows: int, most: int
) -> Iterator[bytes]:
    """Yield bodies of the form of the example, with rows of the data, or its own over and over.

    Of the data, rows take the fields that the example's rows have. Raises InputError for an
    example of no use, or data that lacks a field.
    """
    holder, samples, many = taken_apart(example)
    if rows > 1 and not many:
        raise InputError(
            f"a request of {rows} rows cannot be made from an example of one",
            where="--example",
            fix='give an example such as {"rows": [{"age": 41}]}, or ask for one row',
        )
    for part in _samples(samples, data, seed, rows, most):
        document = part if many else part[0]
        yield msgspec.json.encode({**example, holder: part} if holder else document)


def _samples(
    samples: list[Any], data: Dataset | None, seed: int, rows: int, most: int
) -> Iterator[list[Any]]:
    if data is None or not isinstance(samples[0], dict):
        for start in range(min(most, len(samples))):
            yield [samples[(start + place) % len(samples)] for place in range(rows)]
        return
    columns = columns_of(data, list(samples[0]), "the example")
    for numbers in drawn(data, seed, rows, most):
        yield plain_rows(columns, numbers)


def columns_of(data: Dataset, names: list[str], who: str) -> dict[str, np.ndarray]:
    """Return these columns of the data; raises InputError that names those it lacks."""
    absent = [name for name in names if name not in data.frame]
    if absent:
        raise InputError(
            f"the data lacks what {who} has: {', '.join(absent)}",
            where=data.source,
            why=f"its columns are {', '.join(data.frame)}",
            fix="name the columns as the server does",
        )
    return frames.select(data.frame, tuple(names))


# The Open Inference Protocol.


def tensors_of_rows(metadata: ModelMetadata, data: Dataset, numbers: np.ndarray) -> list[Tensor]:
    """Return the inputs of a model from columns of its inputs' names, or one of all of them.

    Raises InputError where its inputs are neither.
    """
    inputs = metadata.inputs
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].name not in data.frame:
        return [_matrix(inputs[0], data, numbers)]
    columns = columns_of(data, [meta.name for meta in inputs], "the model")
    return [_column(meta, columns[meta.name][numbers]) for meta in inputs]


def _column(meta: TensorMetadata, values: np.ndarray) -> Tensor:
    if meta.shape not in ([-1], [-1, 1]):
        raise InputError(
            f"the input {meta.name} of the shape {meta.shape} is no column",
            fix="--example request.json   # a right request of the protocol, as JSON",
        )
    shape = (len(values),) if len(meta.shape) == 1 else (len(values), 1)
    return Tensor(meta.name, meta.datatype, shape, tuple(_typed(meta, v) for v in values))


def _matrix(meta: TensorMetadata, data: Dataset, numbers: np.ndarray) -> Tensor:
    names = [name for name in data.frame if data.frame[name].dtype.kind in "iufb"]
    if meta.shape[1] not in {-1, len(names)}:
        raise InputError(
            f"the input {meta.name} has {meta.shape[1]} columns, the data {len(names)} of numbers",
            where=data.source,
            fix="give a table of the model's columns, and the target's name",
        )
    rows = [_typed(meta, data.frame[name][row]) for row in numbers for name in names]
    return Tensor(meta.name, meta.datatype, (len(numbers), len(names)), tuple(rows))


def _typed(meta: TensorMetadata, value: Any) -> Any:
    plain = _plain(value)
    if plain is None or meta.datatype == "BOOL":
        return plain if plain is None else bool(plain)
    if meta.datatype == "BYTES":
        return str(plain)
    return int(plain) if meta.datatype in INTEGERS else float(plain)


def tensor_request(
    route: str, tensors: list[Tensor], parameters: dict[str, Any], *, binary: bool
) -> Sent:
    """Return a request for predictions, its data in JSON or as raw bytes behind it."""
    document: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if not binary:
        document["inputs"] = [tensor.as_json() for tensor in tensors]
        return Sent("POST", route, JSON_TYPE, msgspec.json.encode(document))
    # Without a value there is no raw form: a NaN stands for what is missing.
    filled = [
        msgspec.structs.replace(t, values=tuple(np.nan if v is None else v for v in t.values))
        for t in tensors
    ]
    raw = [tensor.as_raw() for tensor in filled]
    document["inputs"] = [
        tensor.described(binary_data_size=len(each))
        for tensor, each in zip(filled, raw, strict=True)
    ]
    document["parameters"] = parameters | {"binary_data_output": True}
    head = msgspec.json.encode(document)
    headers = (
        ("Content-Type", "application/octet-stream"),
        (HEADER_LENGTH.title(), str(len(head))),
    )
    return Sent("POST", route, headers, b"".join([head, *raw]))


def material_request(
    route: str, material: Material, rows: int, start: int, *, binary: bool
) -> Sent:
    """Return a request with made-up rows, or those of an example."""
    tensors = material.tensors(rows, start)
    return tensor_request(route, tensors, material.parameters, binary=binary)


def _plain(value: Any) -> Any:
    if is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
