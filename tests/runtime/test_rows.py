"""The quick reader takes what the strict decoder takes, with the same values, or leaves it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.bundles import people_signature

from afterfit.core.frame import MatrixFrame
from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError, ResourceError
from afterfit.runtime.decode import Decoder, Limits
from afterfit.runtime.rows import RowReader

LIMITS = Limits(rows=5, string_characters=2000)
NUMBERS = Signature(
    task="regression",
    columns=(
        Column(name="a %b", kind="number", nullable=True),
        Column(name="n", kind="integer"),
        Column(name="on", kind="boolean", nullable=True),
    ),
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([3.0, -0.0, "nurse", "", "x", [], {}]),
)


@pytest.mark.parametrize("signature", [people_signature(), NUMBERS])
@given(data=st.data())
def test_both_readers_agree(signature: Signature, data: st.DataObject) -> None:
    """Whatever comes, the quick reader gives the decoder's frame or nothing at all."""
    names = st.sampled_from([*signature.names, "other"])
    row = st.one_of(
        st.fixed_dictionaries(dict.fromkeys(signature.names, values)),
        st.dictionaries(names, values),
    )
    entities = st.lists(st.one_of(st.text(max_size=300), st.integers()), max_size=3)
    document: dict[str, Any] = {"rows": data.draw(st.lists(row, max_size=6))}
    if data.draw(st.booleans()):
        document["entities"] = data.draw(entities)
    check(signature, json.dumps(document).encode())


@given(st.binary(max_size=60))
def test_rubbish_is_left_to_the_decoder(body: bytes) -> None:
    """The quick reader never raises."""
    assert RowReader(people_signature(), LIMITS).read(body) is None


def check(signature: Signature, body: bytes) -> None:
    """The quick reader's frame is the decoder's; what the decoder refuses, it does not take."""
    reader, decoder = RowReader(signature, LIMITS), Decoder(signature, LIMITS)
    found = reader.read(body)
    frame = None if found is None else reader.frame(found[0])
    if found is None or frame is None:
        return
    try:
        strict = decoder.decode(body)
    except (InputError, ResourceError) as error:
        pytest.fail(f"the decoder refuses what was taken: {error}")
    assert found[1] == strict.entities
    for name, expected in strict.frame.items():
        assert frame[name].dtype == expected.dtype
        np.testing.assert_array_equal(frame[name], expected)


def test_what_nearly_every_request_is_goes_the_quick_way() -> None:
    """Else the property above would hold for a reader that takes nothing."""
    people = RowReader(people_signature(), LIMITS)
    found = people.read(b'{"rows":[{"job":"nurse","age":null,"hours":40}],"entities":["p"]}')
    assert found == ([(None, 40, "nurse")], ["p"])
    frame = people.frame(found[0])
    assert frame is not None
    assert frame["job"].tolist() == ["nurse"]
    numbers = RowReader(NUMBERS, LIMITS)
    found = numbers.read(b'{"rows":[{"a %b":1,"n":2,"on":true},{"a %b":null,"n":3,"on":null}]}')
    assert found is not None
    matrix = numbers.frame(found[0])
    assert isinstance(matrix, MatrixFrame)
    assert matrix["n"].dtype == np.int64
    assert matrix["on"].tolist() == [True, None]
    assert np.isnan(matrix["a %b"][1])


@pytest.mark.parametrize("n", [2**53, -(2**53), 2**62 + 1, 2**64])
def test_integers_that_a_float_cannot_hold_are_left_to_the_decoder(n: int) -> None:
    """So that no digit is lost on the way."""
    reader = RowReader(NUMBERS, LIMITS)
    found = reader.read(json.dumps({"rows": [{"a %b": 1, "n": n, "on": False}]}).encode())
    assert found is not None
    assert reader.frame(found[0]) is None


def test_a_body_longer_than_the_longest_string_is_left_to_the_decoder() -> None:
    """It alone measures strings."""
    row = {"age": 1.0, "hours": 1, "job": "x" * 2500}
    assert RowReader(people_signature(), LIMITS).read(json.dumps({"rows": [row]}).encode()) is None
