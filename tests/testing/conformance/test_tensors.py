"""Tensors through raw bytes and nested JSON."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterfit.core.wire.tensors import (
    DATATYPES,
    INTEGERS,
    Tensor,
    alike,
    flat,
    from_raw,
)

SIZES = {"BOOL": 1, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8}
SIZES |= {name: int(name.rpartition("T")[2]) // 8 for name in INTEGERS}


def values_of(datatype: str) -> st.SearchStrategy[Any]:
    """Values that the datatype holds exactly."""
    if datatype == "BYTES":
        return st.text(st.characters(exclude_categories=["Cs"]))
    if datatype == "BOOL":
        return st.booleans()
    if datatype in INTEGERS:
        bits, signed = 8 * SIZES[datatype], datatype[0] == "I"
        low = -(1 << bits - 1) if signed else 0
        return st.integers(low, low + (1 << bits) - 1)
    return st.integers(-16, 16).map(lambda value: value / 8)


@pytest.mark.parametrize("datatype", sorted(DATATYPES))
@given(data=st.data())
def test_values_come_back_from_their_bytes(datatype: str, data: st.DataObject) -> None:
    """Every datatype, with the size that the protocol's table gives it."""
    values = tuple(data.draw(st.lists(values_of(datatype), max_size=5)))
    raw = Tensor("x", datatype, (len(values),), values).as_raw()
    assert from_raw(raw, datatype) == values
    if datatype != "BYTES":
        assert len(raw) == SIZES[datatype] * len(values)


def test_bytes_are_little_endian_with_a_length_before_each() -> None:
    """As the extension writes them."""
    assert Tensor("x", "BYTES", (2,), ("ü", "")).as_raw() == b"\x02\0\0\0\xc3\xbc\0\0\0\0"
    assert Tensor("x", "INT16", (1,), (258,)).as_raw() == b"\x02\x01"
    assert Tensor("x", "BF16", (1,), (1.0,)).as_raw() == b"\x80\x3f"
    assert Tensor("x", "BOOL", (2,), (True, False)).as_raw() == b"\x01\x00"


@pytest.mark.parametrize(
    ("raw", "datatype"),
    [
        (b"\x01", "FP32"),
        (b"\x02", "BOOL"),
        (b"\x01\0\0", "BYTES"),
        (struct.pack("<I", 5) + b"abc", "BYTES"),
        (b"", "FLOAT"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(raw: bytes, datatype: str) -> None:
    """A cut element, a boolean of 2, a length beyond the end, no such datatype."""
    with pytest.raises(ValueError, match=r".+"):
        from_raw(raw, datatype)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_nested_data_is_as_deep_as_its_shape_and_flattens_to_itself(shape: list[int]) -> None:
    """Row by row."""
    count = 1
    for size in shape:
        count *= size
    tensor = Tensor("x", "INT32", tuple(shape), tuple(range(count)))
    nested = tensor.as_json(nested=True)["data"]
    level = nested
    for size in shape:
        assert len(level) == size
        level = level[0]
    assert flat(nested) == tensor.values == flat(tensor.as_json()["data"])


def test_very_deep_data_is_flattened_without_recursion() -> None:
    """A server may answer anything."""
    deep: list[Any] = [1]
    for _ in range(100_000):
        deep = [deep]
    assert flat(deep) == (1,)
    while deep and isinstance(deep[0], list):
        deep = deep[0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([1.0], [1.00001], True),
        ([1.0], [1.01], False),
        ([float("nan")], [float("nan")], True),
        ([float("nan")], [1.0], False),
        ([1], [2], False),
        ([10**9], [10**9 + 1], False),
        (["a"], ["a"], True),
        (["1"], [1], False),
        ([1], [1, 1], False),
        ([True], [1], True),
    ],
)
def test_values_are_alike_up_to_rounding_of_floats(
    one: list[Any], other: list[Any], *, same: bool
) -> None:
    """Whole numbers and texts must be equal."""
    assert alike(one, other) is same
