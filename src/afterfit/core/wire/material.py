"""Rows to send: generated from a model's metadata, or taken from a request that the user gave."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec
import numpy as np

from afterfit.core.wire.documents import TensorMetadata
from afterfit.core.wire.tensors import DATATYPES, FLOATS, Tensor, flat
from afterfit.errors import InputError

__all__ = ["Generated", "Given", "Material", "candidates", "given"]

_WORDS = ("alpha", "beta", "gamma", "delta", "7", "12")
_STYLES = ("varied", "small")
# Rows of up to that many values are kept: most requests of a run send the same few rows.
_SMALL = 1024
_LARGEST = 2_000_000


class Material(Protocol):
    """Where the rows of the requests come from."""

    @property
    def batched(self) -> bool:
        """Return whether the first dimension of every input is rows, any number of them."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters that every request carries."""
        ...

    def tensors(self, rows: int, start: int = 0) -> list[Tensor]:
        """Return the inputs of some rows from ``start`` on, or others where there are no rows."""
        ...


class Generated(msgspec.Struct, frozen=True):
    """Seeded rows that fit the metadata: ``free`` is the size of variable dimensions but rows."""

    metadata: Sequence[TensorMetadata]
    seed: int
    style: str = "varied"
    free: int = 1
    batched: bool = True
    parameters: dict[str, Any] = {}

    def tensors(self, rows: int, start: int = 0) -> list[Tensor]:
        """Return the inputs of rows ``start`` to ``start + rows`` of one endless seeded table."""
        return [self._tensor(meta, rows, start) for meta in self.metadata]

    def size(self, rows: int) -> int:
        """Return how many values some rows have."""
        each = [math.prod(map(self._size, meta.shape[self.batched :])) for meta in self.metadata]
        return sum(each) * (rows if self.batched else 1)

    def _tensor(self, meta: TensorMetadata, rows: int, start: int) -> Tensor:
        if not self.batched:
            shape = tuple(self._size(size) for size in meta.shape)
            whole = self._values(meta, math.prod(shape), start)
            return Tensor(meta.name, meta.datatype, shape, whole)
        rest = tuple(self._size(size) for size in meta.shape[1:])
        width = math.prod(rest)
        values = [v for row in range(start, start + rows) for v in self._values(meta, width, row)]
        return Tensor(meta.name, meta.datatype, (rows, *rest), tuple(values))

    def _size(self, size: int) -> int:
        return self.free if size < 0 else size

    def _values(self, meta: TensorMetadata, count: int, row: int) -> tuple[Any, ...]:
        """Return the values of one row."""
        key = (self.seed, zlib.crc32(meta.name.encode()), row)
        make = _row if count > _SMALL else _remembered_row
        return make(key, meta.datatype, self.style, count)


class Given(msgspec.Struct, frozen=True):
    """The rows of a user's request, over and over."""

    inputs: list[Tensor]
    batched: bool
    parameters: dict[str, Any]

    @property
    def rows(self) -> int:
        """Return how many rows the request has, 1 where it has no dimension for them."""
        return self.inputs[0].shape[0] if self.batched else 1

    def tensors(self, rows: int, start: int = 0) -> list[Tensor]:
        """Return the inputs of some rows of the request."""
        if not self.batched:
            return self.inputs
        return [_rows(tensor, rows, start) for tensor in self.inputs]


def _row(key: tuple[int, int, int], datatype: str, style: str, count: int) -> tuple[Any, ...]:
    """Return values that every datatype holds exactly, so that JSON and raw bytes agree."""
    random = np.random.default_rng(key)
    if datatype == "BYTES":
        words = _WORDS if style == "varied" else ("0", "1")
        return tuple(words[index] for index in random.integers(0, len(words), count))
    if datatype == "BOOL":
        return tuple(bool(value) for value in random.integers(0, 2, count))
    if style == "small":
        return tuple(random.integers(0, 2, count).tolist())
    if datatype in FLOATS:
        return tuple((random.integers(-16, 17, count) / 8).tolist())
    return tuple(random.integers(0, 10, count).tolist())


_remembered_row = lru_cache(maxsize=256)(_row)


def candidates(metadata: Sequence[TensorMetadata], seed: int) -> Iterator[tuple[Generated, int]]:
    """Yield generators of rows to try and how many rows to begin with, the plainest first.

    Three rows tell a batch from a row. A model may want other sizes or words than the first
    guess, which its metadata cannot tell. Inputs that are too large to make up are left out.
    """
    batched = bool(metadata) and all(meta.shape and meta.shape[0] == -1 for meta in metadata)
    frees = (1, 4) if any(-1 in meta.shape[batched:] for meta in metadata) else (1,)
    for rows in (3, 1) if batched else (1,):
        for style in _STYLES:
            for free in frees:
                made = Generated(metadata, seed, style, free, batched)
                if made.size(rows) <= _LARGEST:
                    yield made, rows


def given(request: Any, metadata: Sequence[TensorMetadata]) -> Given:
    """Return the rows of a user's request; raises InputError with the path of what is wrong."""
    try:
        wanted = msgspec.convert(request, _Request)
        inputs = [_input(tensor, index) for index, tensor in enumerate(wanted.inputs)]
    except msgspec.ValidationError as error:
        raise _unusable(str(error)) from None
    if not inputs:
        raise _unusable("$.inputs is empty")
    variable = {meta.name for meta in metadata if meta.shape and meta.shape[0] == -1}
    rows = {tensor.shape[0] if tensor.shape else -1 for tensor in inputs}
    known = not metadata or {tensor.name for tensor in inputs} <= variable
    return Given(inputs, known and len(rows) == 1 and min(rows) > 0, wanted.parameters)


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    parameters: dict[str, Any] = {}


def _input(tensor: _Input, index: int) -> Tensor:
    values = flat(tensor.data)
    if tensor.datatype not in DATATYPES:
        raise _unusable(f"$.inputs[{index}].datatype: {tensor.datatype!r} is not of the protocol")
    if min(tensor.shape, default=0) < 0 or math.prod(tensor.shape) != len(values):
        raise _unusable(f"$.inputs[{index}]: {len(values)} values for the shape {tensor.shape}")
    return Tensor(tensor.name, tensor.datatype, tuple(tensor.shape), values, tensor.parameters)


def _rows(tensor: Tensor, rows: int, start: int) -> Tensor:
    has, width = tensor.shape[0], math.prod(tensor.shape[1:])
    chosen = [row % has for row in range(start, start + rows)]
    values = tuple(v for row in chosen for v in tensor.values[row * width : (row + 1) * width])
    shape = (rows, *tensor.shape[1:])
    return Tensor(tensor.name, tensor.datatype, shape, values, tensor.parameters)


def _unusable(why: str) -> InputError:
    return InputError(
        "the given request cannot be used",
        where="--input",
        why=why,
        fix='give {"inputs": [{"name": …, "shape": […], "datatype": …, "data": […]}]}',
    )
