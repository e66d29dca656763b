"""Messages between a model's parent and its child."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from afterfit.core.frame import Predictions
from afterfit.core.model import ModelDescription
from afterfit.errors import IntegrityError, ResourceError
from afterfit.models import wire
from afterfit.models.native import Hints, Source


@given(
    hnp.arrays(
        st.sampled_from(["f8", "f4", "i8", "i4", "u1", "?"]),
        hnp.array_shapes(min_dims=0, max_dims=3),
    )
)
def test_arrays_travel_unchanged(array: np.ndarray) -> None:
    """Any numeric array arrives with its dtype, shape and bits, NaN included."""
    again = wire.decode(wire.encode({"a": array}))["a"]
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()


@given(st.lists(st.none() | st.text(max_size=8) | st.booleans(), max_size=20))
def test_object_arrays_travel_as_lists(values: list[object]) -> None:
    """Text, booleans and None arrive in an object array, in order."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    again = wire.decode(wire.encode(array))
    assert again.dtype == object
    assert again.tolist() == values


def test_structs_arrive_as_themselves() -> None:
    """Afterfit's structs and predictions are told by their type name, nested ones too."""
    source = Source(format="skops", path="m.skops", hints=Hints(features=("a",), classes=("x", 1)))
    answer = Predictions(probabilities=np.array([[0.25, 0.75]]))
    description = ModelDescription(framework="sklearn", estimator="Ridge", task="regression")
    again = wire.decode(wire.encode([source, answer, {"d": description}, Path("p"), np.int64(3)]))
    assert again[0] == source
    assert again[1].probabilities.tolist() == [[0.25, 0.75]]
    assert again[2]["d"] == description
    assert again[3:] == ["p", 3]


def test_a_type_of_another_package_is_refused() -> None:
    """A child cannot make its parent build anything but Afterfit's own types."""
    inner = msgspec.msgpack.encode(["subprocess", "Popen", {"args": "true"}])
    body = msgspec.msgpack.encode(msgspec.msgpack.Ext(3, inner))
    with pytest.raises(IntegrityError, match="cannot be read"):
        wire.decode(body)


def test_an_object_array_cannot_be_forged_into_pointers() -> None:
    """Raw bytes are never read as an array of objects."""
    header = msgspec.msgpack.encode(["|O8", [1]])
    data = len(header).to_bytes(4, "little") + header + b"\0" * 8
    with pytest.raises(IntegrityError):
        wire.decode(msgspec.msgpack.encode(msgspec.msgpack.Ext(1, data)))


def test_what_is_no_value_is_refused() -> None:
    """An object without a wire form is refused on the sending side."""
    with pytest.raises(TypeError, match="cannot be sent"):
        wire.encode({"f": print})


def test_frames_have_a_length_and_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages follow each other on one stream; a claimed length beyond the limit is refused."""
    stream = io.BytesIO()
    stream.write(wire.framed({"n": 1}) + wire.framed({"n": 2}))
    stream.seek(0)
    assert [wire.receive(stream)["n"], wire.receive(stream)["n"]] == [1, 2]
    with pytest.raises(EOFError):
        wire.receive(stream)
    monkeypatch.setattr(wire, "MAX_BYTES", 10)
    with pytest.raises(IntegrityError, match="claims"):
        wire.receive(io.BytesIO((11).to_bytes(8, "little") + b"x" * 11))
    with pytest.raises(ResourceError, match="fewer rows"):
        wire.encode(b"x" * 11)
