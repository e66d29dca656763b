"""What the tests of the formats share: a signature of every kind, rows of it, and answers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Label, Signature
from afterfit.errors import AfterfitError
from afterfit.runtime.answers import Answer, BatchAnswer, Served
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits

Row = dict[str, Any]

SIGNATURE = Signature(
    task="binary",
    columns=(
        Column(name="age", kind="number", nullable=True),
        Column(name="hours", kind="integer"),
        Column(name="children", kind="integer", nullable=True),
        Column(name="retired", kind="boolean", nullable=True),
        Column(name="job", kind="category", categories=("clerk", "nurse")),
        Column(name="note", kind="text", nullable=True),
    ),
    classes=("no", "yes"),
    positive="yes",
    threshold=0.5,
)
DECODER = Decoder(SIGNATURE, Limits(rows=100))
NAMES = SIGNATURE.names
ROWS: list[Row] = [
    {"age": 39.5, "hours": 40, "children": 2, "retired": False, "job": "nurse", "note": 'a,"b"'},
    {"age": None, "hours": -3, "children": None, "retired": None, "job": "clerk", "note": None},
    {"age": 1e-7, "hours": 2**62, "children": 0, "retired": True, "job": "Ünal\n", "note": "x"},
]
ARROW_TYPES = {
    "age": pa.float64(),
    "hours": pa.int64(),
    "children": pa.int64(),
    "retired": pa.bool_(),
    "job": pa.string(),
    "note": pa.string(),
}

_int64 = st.integers(-(2**63), 2**63 - 1)
# An empty text cannot be told from a missing one in CSV, and a carriage return is a line's end.
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)
rows_of_any_value = st.lists(
    st.fixed_dictionaries(
        {
            "age": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "hours": _int64,
            "children": st.none() | st.integers(-(2**53), 2**53),
            "retired": st.none() | st.booleans(),
            "job": _text,
            "note": st.none() | _text,
        }
    ),
    min_size=1,
    max_size=12,
)


def lists(rows: list[Row], names: tuple[str, ...] = NAMES) -> list[list[Any]]:
    """The rows as arrays in the order of the names."""
    return [[row[name] for name in names] for row in rows]


def columns(rows: list[Row]) -> dict[str, list[Any]]:
    """The rows as columns."""
    return {name: [row[name] for row in rows] for name in NAMES}


def table(rows: list[Row], **types: pa.DataType) -> pa.Table:
    """The rows as an Arrow table, some columns of another type."""
    kinds = {**ARROW_TYPES, **types}
    return pa.table({name: _array([row[name] for row in rows], kinds[name]) for name in NAMES})


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    # pyarrow makes no dictionary of views from Python values.
    plain = pa.array(values, pa.string()).dictionary_encode()
    words = plain.dictionary.cast(kind.value_type)
    return pa.DictionaryArray.from_arrays(plain.indices.cast(kind.index_type), words)


def stream(values: pa.Table, chunk: int | None = None, **options: Any) -> bytes:
    """The Arrow IPC stream of a table, ``chunk`` rows a batch."""
    sink = io.BytesIO()
    options = {"options": pa.ipc.IpcWriteOptions(**options)} if options else {}
    with pa.ipc.new_stream(sink, values.schema, **options) as writer:
        writer.write_table(values, max_chunksize=chunk)
    return sink.getvalue()


def assert_same(found: dict[str, np.ndarray], rows: list[Row]) -> None:
    """Fail unless the frame is the one of the rows: columns, dtypes and values."""
    expected = DECODER.from_rows(rows)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def problems(error: type[AfterfitError], call: Any, *args: Any) -> dict[str, str]:
    """Path and message of everything that a call finds wrong; an empty dict for other errors."""
    with pytest.raises(error) as caught:
        call(*args)
    if isinstance(caught.value, FieldError):
        return {each.path: each.message for each in caught.value.problems}
    return {}


def answer(
    predictions: Predictions, classes: tuple[Label, ...] = (), *, probabilities: bool = True
) -> Answer:
    """An answer with the ids ``id-0``, ``id-1`` …; without classes of a regression."""
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    signature = Signature(
        task=task,  # type: ignore[arg-type]  # one of the three
        columns=SIGNATURE.columns,
        classes=classes,
        probabilities=probabilities,
    )
    ids = [f"id-{index}" for index in range(len(predictions))]
    return Answer(BatchAnswer(Served("churn", 3, "d" * 64, signature), predictions, ids))


CHANCES = np.array([[0.25, 0.75], [0.9, 0.1]])


def classified(classes: tuple[Label, Label] = ("no", "yes")) -> Answer:
    """An answer of two rows: the second class, then the first."""
    return answer(Predictions(probabilities=CHANCES), classes)


def valued() -> Answer:
    """An answer of two values."""
    return answer(Predictions(values=np.array([1.5, -2.0])))
