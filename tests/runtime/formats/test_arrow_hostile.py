"""Arrow streams of an attacker: a clean error or a frame, never a crash, in little memory."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.runtime.formats.samples import DECODER, ROWS, stream, table

from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.runtime.decode import Decoder, MalformedError, TooLargeError
from afterfit.runtime.formats import arrow_stream
from afterfit.runtime.formats.flatbuffers import BrokenError, root

VIEWS = {"job": pa.dictionary(pa.int8(), pa.string()), "note": pa.string_view()}
LONG = [{**row, "note": row["note"] and row["note"] * 4} for row in ROWS]
BODY = stream(table(LONG, **VIEWS), chunk=2)
EXTREMES = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**40)
TEXT = Decoder(
    Signature(task="regression", columns=(Column(name="x", kind="text", nullable=True),))
)
MEGABYTES = 1 << 20


def survives(body: bytes) -> bool:
    """Whether a stream is decoded; anything but a clean error fails the test."""
    try:
        rows = len(arrow_stream.decode(body, DECODER).frame["age"])
    except (InputError, TooLargeError):
        return False
    assert 0 < rows <= DECODER.limits.rows
    return True


def agrees_with_pyarrow(body: bytes) -> bool:
    """Whether pyarrow, if it takes the stream at all, reads the values that are read here."""
    frame = arrow_stream.decode(body, DECODER).frame
    try:
        found = pa.ipc.open_stream(body).read_all()
        found.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError, ValueError):
        return True
    return all(
        plain(values.tolist(), float) == plain(found.column(name).to_pylist(), float)
        if values.dtype.kind == "f"
        else values.tolist() == found.column(name).to_pylist()
        for name, values in frame.items()
    )


def plain(values: list[Any], kind: type) -> list[Any]:
    """The values as one type, None for NaN and for nothing, so that they can be compared."""
    return [None if value is None or value != value else kind(value) for value in values]  # noqa: PLR0124 - NaN


def test_a_stream_that_is_cut_anywhere_is_malformed() -> None:
    """At every byte: rows that got lost on the way must not look like fewer rows."""
    for size in range(len(BODY)):
        with pytest.raises(MalformedError):
            arrow_stream.decode(BODY[:size], DECODER)
    with pytest.raises(MalformedError, match="Arrow"):
        arrow_stream.decode(BODY + b"\0", DECODER)
    assert survives(BODY)


def test_any_byte_may_be_anything() -> None:
    """Every byte set to two values; what is still taken is what pyarrow reads too."""
    taken = 0
    for at in range(len(BODY)):
        for value in (0, 0xFF):
            body = BODY[:at] + bytes([value]) + BODY[at + 1 :]
            if survives(body):
                taken += 1
                assert agrees_with_pyarrow(body), (at, value)
    assert taken > 100


@pytest.mark.parametrize("form", ["<i", "<q"])
def test_any_number_may_be_extreme(form: str) -> None:
    """Lengths, offsets and counts: at every fourth byte each extreme that fits."""
    size = struct.calcsize(form)
    for at in range(0, len(BODY) - size, 4):
        for value in EXTREMES:
            if size == 8 or -(2**31) <= value < 2**31:
                body = bytearray(BODY)
                struct.pack_into(form, body, at, value)
                if survives(bytes(body)):
                    assert agrees_with_pyarrow(bytes(body)), (at, value)


def test_several_changes_at_once_are_survived() -> None:
    """Seeded: changed, removed and doubled pieces of a stream."""
    chance = random.Random(5)
    for _ in range(3000):
        body = bytearray(BODY)
        for _ in range(chance.choice((2, 3, 5))):
            at = chance.randrange(len(body))
            end = at + chance.randrange(1, 24)
            change = chance.randrange(3)
            if change == 0:
                body[at] = chance.randrange(256)
            elif change == 1:
                del body[at:end]
            else:
                body[at:at] = body[at:end]
        survives(bytes(body))


def peak(call: Callable[[], object]) -> int:
    """The bytes of memory that a call took at most; it raises a clean error."""
    tracemalloc.start()
    try:
        with pytest.raises((InputError, TooLargeError)):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def nulls(length: int) -> bytes:
    """A stream that tells of as many nulls, which it does not need to have."""
    body = stream(pa.table({"x": pa.nulls(1234567)}))
    assert body.count(struct.pack("<q", 1234567)) >= 2
    return body.replace(struct.pack("<q", 1234567), struct.pack("<q", length))


def view_stream(views: list[tuple[int, int]], data: bytes) -> bytes:
    """A stream of string views of (length, offset) into one buffer."""
    raw = b"".join(
        struct.pack("<i4sii", length, data[offset : offset + 4], 0, offset)
        for length, offset in views
    )
    buffers = [None, pa.py_buffer(raw), pa.py_buffer(data)]
    values = pa.Array.from_buffers(pa.string_view(), len(views), buffers)
    return stream(pa.table({"x": values}))


def test_views_that_share_bytes_cannot_make_endless_text() -> None:
    """10,000 views of nearly all of 200 kB would be 2 GB; refused before that is made."""
    data = bytes(range(97, 123)) * 7700
    body = view_stream([(len(data) - at, at) for at in range(10_000)], data)
    assert len(body) < MEGABYTES
    assert peak(lambda: arrow_stream.decode(body, TEXT)) < 64 * MEGABYTES


def test_equal_views_are_one_text() -> None:
    """A column of one long text repeated is honest, and costs it once."""
    data = b"abcdefgh" * 25_000
    frame = arrow_stream.decode(view_stream([(len(data), 0)] * 5000, data), TEXT).frame
    assert len({id(text) for text in frame["x"]}) == 1


@pytest.mark.parametrize(
    "length", [2**62, 2**40, 10**9], ids=["beyond memory", "a terabyte", "a gigabyte"]
)
def test_rows_that_are_only_told_take_no_memory(length: int) -> None:
    """A column of nulls has no bytes, so its length is free to be anything."""
    body = nulls(length)
    assert peak(lambda: arrow_stream.decode(body, TEXT)) < MEGABYTES


def test_huge_vectors_in_a_message_take_no_memory() -> None:
    """A schema that tells of 2^32 fields, at the place where their number stands."""
    body = bytearray(stream(pa.table({"x": ["y"]})))
    at = body.index(struct.pack("<I", 1))
    struct.pack_into("<I", body, at, 2**32 - 1)
    assert peak(lambda: arrow_stream.decode(bytes(body), TEXT)) < MEGABYTES


def test_offsets_that_go_back_are_refused() -> None:
    """Texts that overlap, and one that ends before it begins."""
    offsets = np.array([0, 4, 2, 6], np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"abcdefgh")]
    values = pa.Array.from_buffers(pa.string(), 3, buffers)
    with pytest.raises(MalformedError):
        arrow_stream.decode(stream(pa.table({"x": values})), TEXT)


def test_text_that_is_not_utf8_is_named() -> None:
    """By row; in a dictionary by column."""
    values = pa.array([b"a", b"\xff"]).view(pa.string())
    with pytest.raises(InputError, match=r"\$\.x\[1\]: text that is not UTF-8"):
        arrow_stream.decode(stream(pa.table({"x": values})), TEXT)
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1]), values)
    with pytest.raises(InputError, match=r"\$\.x: text that is not UTF-8"):
        arrow_stream.decode(stream(pa.table({"x": codes})), TEXT)


def test_random_bytes_after_a_good_head_end_quickly() -> None:
    """A megabyte of noise is refused in less than a second."""
    noise = random.Random(3).randbytes(MEGABYTES)
    began = time.perf_counter()
    for head in (b"", BODY[:8], BODY[:-8]):
        survives(head + noise)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("data", [b"", b"\1", bytes(3), b"\xff\xff\xff\xff", b"\4\0\0\0\xff\xff"])
def test_a_flatbuffer_that_points_outside_is_broken(data: bytes) -> None:
    """Also one position before its begin: Python would count that from the end."""
    with pytest.raises(BrokenError):
        root(memoryview(data)).table(0)
