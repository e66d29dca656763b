"""Raw tensors: what is packed comes back, and what does not add up is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afterfit.runtime.oip_binary import DTYPES, pack, pack_bytes, unpack
from afterfit.runtime.problems import ProtocolError


@pytest.mark.parametrize("datatype", sorted(DTYPES))
@given(data=st.data())
def test_numbers_come_back(datatype: str, data: st.DataObject) -> None:
    """Every datatype of the protocol, bit by bit."""
    values = data.draw(arrays(np.dtype(DTYPES[datatype]), st.integers(0, 20)))
    found = unpack(pack(values, datatype), datatype, [len(values)], "$")
    np.testing.assert_array_equal(found, values)


@given(st.lists(st.text(), max_size=20))
def test_strings_come_back(texts: list[str]) -> None:
    """With lengths in bytes and not in characters."""
    encodable = [text.encode(errors="ignore").decode() for text in texts]
    assert unpack(pack_bytes(encodable), "BYTES", [len(encodable)], "$") == encodable


@given(st.binary(max_size=40), st.sampled_from(["BYTES", *DTYPES]), st.integers(0, 2**40))
def test_rubbish_is_refused_or_fits(raw: bytes, datatype: str, count: int) -> None:
    """Never another exception, never more memory than the bytes deserve."""
    try:
        found = unpack(raw, datatype, [count], "$")
    except ProtocolError:
        return
    assert len(found) == count


def test_a_byte_that_is_no_boolean_is_refused() -> None:
    """Two is neither true nor false."""
    with pytest.raises(ProtocolError, match="0 or 1"):
        unpack(b"\x00\x02", "BOOL", [2], "$")
