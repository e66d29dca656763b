"""Arrow streams in and out against pyarrow, which wrote the format's first reader."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.runtime.bundles import PEOPLE_INPUTS, people_graph, people_signature
from tests.runtime.formats.samples import (
    CHANCES,
    DECODER,
    NAMES,
    ROWS,
    answer,
    assert_same,
    classified,
    problems,
    stream,
    table,
    valued,
)

from afterfit.core.bundle import GraphOutput
from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Label, Signature
from afterfit.predict.scores import score_columns as file_columns
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits, MalformedError, TooLargeError
from afterfit.runtime.formats import arrow_stream
from afterfit.runtime.formats.arrow_write import write_stream
from afterfit.runtime.onnx import OnnxModel

NUMBER = Decoder(
    Signature(task="regression", columns=(Column(name="x", kind="number", nullable=True),))
)
WHOLE = Decoder(
    Signature(task="regression", columns=(Column(name="x", kind="integer", nullable=True),))
)
STRICT = Decoder(Signature(task="regression", columns=(Column(name="x", kind="number"),)))


def one(values: pa.Array) -> bytes:
    """A stream of one column x."""
    return stream(pa.table({"x": values}))


def wrong(body: bytes, decoder: Decoder = DECODER) -> dict[str, str]:
    """Path and message of everything that is wrong with a stream."""
    return problems(FieldError, arrow_stream.decode, body, decoder)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64"])
def test_integers_of_every_width_are_numbers_and_integers(kind: str) -> None:
    """With and without nulls, in several batches."""
    values = pa.array([1, None, 100], getattr(pa, kind)())
    for decoder in (NUMBER, WHOLE):
        body = stream(pa.table({"x": values}), chunk=2)
        np.testing.assert_array_equal(
            arrow_stream.decode(body, decoder).frame["x"], [1, np.nan, 100]
        )
    whole = arrow_stream.decode(one(values.drop_null()), WHOLE).frame["x"]
    assert whole.dtype == np.int64
    assert whole.tolist() == [1, 100]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_floats_of_every_width_are_numbers_and_whole_ones_integers(kind: str) -> None:
    """3.0 is an integer, as in JSON; a NaN is a missing value, as in a file."""
    body = one(pa.array(np.array([3.0, np.nan, -2.0], kind)))
    for decoder in (NUMBER, WHOLE):
        frame = arrow_stream.decode(body, decoder).frame
        assert frame["x"].dtype == np.float64
        np.testing.assert_array_equal(frame["x"], [3, np.nan, -2])


@pytest.mark.parametrize(
    ("values", "decoder", "path"),
    [
        (pa.array([1.0, np.inf]), NUMBER, "$.x[1]"),
        (pa.array([1.0, -np.inf]), WHOLE, "$.x[1]"),
        (pa.array([1.0, 1.5]), WHOLE, "$.x[1]"),
        (pa.array([1.0, 2.0**63]), WHOLE, "$.x[1]"),
        (pa.array([1, 2**63], pa.uint64()), WHOLE, "$.x[1]"),
        (pa.array([1.0, None]), STRICT, "$.x[1]"),
        (pa.array([1.0, np.nan]), STRICT, "$.x[1]"),
        (pa.nulls(2), STRICT, "$.x"),
        (pa.array([True]), NUMBER, "$.x"),
        (pa.array(["1"]), NUMBER, "$.x"),
        (pa.array([1]).cast(pa.timestamp("s")), NUMBER, "$.x"),
        (pa.array([[1.0]]), NUMBER, "$.x"),
        (pa.array([Decimal("1.5")]), NUMBER, "$.x"),
        (pa.array([1, 1]).dictionary_encode(), NUMBER, "$.x"),
        (pa.array([b"1"]), NUMBER, "$.x"),
        (pa.array([{"a": 1}]), NUMBER, "$.x"),
    ],
)
def test_a_value_or_type_that_does_not_fit_is_named(
    values: pa.Array, decoder: Decoder, path: str
) -> None:
    """Each is a FieldError with exactly this path: the row for a value, none for a type."""
    assert list(wrong(one(values), decoder)) == [path]


def test_a_column_of_nulls_is_missing_values() -> None:
    """Pandas writes one where it knows no value and so no type."""
    for name, kind in (("age", "f"), ("children", "f"), ("retired", "O"), ("note", "O")):
        rows = [{**row, name: None} for row in ROWS]
        frame = arrow_stream.decode(stream(table(rows, **{name: pa.null()})), DECODER).frame
        assert frame[name].dtype.kind == kind
        assert_same(frame, rows)


def test_columns_that_do_not_fit_the_signature_are_all_told() -> None:
    """Missing, unknown and of another type."""
    renamed = table(ROWS).rename_columns([*NAMES[:5], "x"])
    assert wrong(stream(renamed)) == {"$": "the column 'note' is missing"}
    twice = table(ROWS).append_column("age", pa.array([1, 2, 3]))
    assert wrong(stream(twice)) == {"$": "'age' is given 2 times"}
    types = {"age": pa.string(), "job": pa.int64()}
    swapped = table([{**row, "age": "x", "job": 1} for row in ROWS], **types)
    assert set(wrong(stream(swapped))) == {"$.age", "$.job"}
    many = pa.table({f"c{index}": [1] for index in range(500)})
    assert "500 columns" in wrong(stream(many))["$"]


def test_a_text_beyond_the_limit_is_refused() -> None:
    """The limits of JSON hold here too."""
    decoder = Decoder(DECODER.signature, Limits(string_characters=3))
    assert set(wrong(stream(table(ROWS)), decoder)) >= {"$.job[0]", "$.note[0]"}


def test_a_number_column_in_one_batch_is_not_copied() -> None:
    """Its array is a view of the body, and read-only."""
    body = one(pa.array(np.arange(100.0)))
    values = arrow_stream.decode(body, NUMBER).frame["x"]
    assert np.shares_memory(values, np.frombuffer(body, np.uint8))
    assert not values.flags.writeable


def test_dictionaries_may_be_replaced_between_batches() -> None:
    """Pyarrow writes a new one where a batch has other categories."""
    sink = io.BytesIO()
    schema = table(ROWS, job=pa.dictionary(pa.int8(), pa.string())).schema
    with pa.ipc.new_stream(sink, schema) as writer:
        for row in ROWS:
            (batch,) = table([row], job=schema.field("job").type).to_batches()
            writer.write_batch(batch)
    assert_same(arrow_stream.decode(sink.getvalue(), DECODER).frame, ROWS)


def test_a_dictionary_costs_only_what_is_used_of_it() -> None:
    """A large one that is sent with every small request is not decoded as a whole."""
    words = pa.array(["nurse", *(f"category {index}" for index in range(50_000)), None])
    codes = pa.array([0, None, 50_001, 7], pa.int32())
    values = pa.DictionaryArray.from_arrays(codes, words)
    rows = [{**ROWS[0], "note": note} for note in ("nurse", None, None, "category 6")]
    shown = table(rows).set_column(5, "note", values)
    assert_same(arrow_stream.decode(stream(shown), DECODER).frame, rows)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (stream(table(ROWS), compression="zstd"), "compressed"),
        (stream(table(ROWS), chunk=1, emit_dictionary_deltas=True), ""),
        (stream(table(ROWS[:0])), "at least one row"),
    ],
)
def test_what_pyarrow_can_write_and_is_not_read_is_told(body: bytes, message: str) -> None:
    """A FieldError for the whole stream."""
    if not message:
        assert_same(arrow_stream.decode(body, DECODER).frame, ROWS)
    else:
        assert message in wrong(body)["$"]


def test_a_delta_of_a_dictionary_is_refused() -> None:
    """With the column, and what to do."""
    kind = pa.dictionary(pa.int8(), pa.string())
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, pa.schema([("x", kind)]), options=options) as writer:
        for words in (["a"], ["a", "b"]):
            codes = pa.array([len(words) - 1], pa.int8())
            values = pa.DictionaryArray.from_arrays(codes, pa.array(words))
            writer.write_batch(pa.record_batch({"x": values}))
    columns = (Column(name="x", kind="category"),)
    decoder = Decoder(Signature(task="regression", columns=columns))
    assert "delta" in wrong(sink.getvalue(), decoder)["$.x"]


def test_the_file_format_is_told_from_the_stream() -> None:
    """Feather files and .arrow files begin with other bytes."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table(ROWS).schema) as writer:
        writer.write_table(table(ROWS))
    with pytest.raises(MalformedError) as caught:
        arrow_stream.decode(sink.getvalue(), DECODER)
    assert "file format" in caught.value.why


def test_more_rows_or_batches_than_the_limit_are_refused() -> None:
    """Rows are counted as they are told, before anything is read."""
    with pytest.raises(TooLargeError):
        arrow_stream.decode(one(pa.array(np.zeros(10_001))), NUMBER)
    many = Decoder(NUMBER.signature, Limits(rows=100_000))
    tiny = stream(pa.table({"x": np.zeros(20_000)}), chunk=1)
    assert "batches" in wrong(tiny, many)["$"]


@pytest.mark.parametrize("classes", [("no", "yes"), (0, 1), (False, True), (0.5, 1.0), ("a", 1)])
def test_an_answer_is_the_table_that_predict_writes(classes: tuple[Label, Label]) -> None:
    """Names, types and values of the columns under ``afterfit predict``, after the id."""
    found = answer(Predictions(probabilities=CHANCES), classes)
    response = arrow_stream.encode(found)
    assert response.content_type == "application/vnd.apache.arrow.stream"
    written = pa.ipc.open_stream(response.body).read_all()
    written.validate(full=True)
    assert written.column("id").to_pylist() == ["id-0", "id-1"]
    expected = file_columns(found.predictions, found.model.signature)
    for column, values in zip(written.columns[1:], expected, strict=True):
        assert column.combine_chunks().equals(values)


def test_answers_without_probabilities_are_tables_too() -> None:
    """A regression has values; a classifier may have labels alone."""
    values = pa.ipc.open_stream(arrow_stream.encode(valued()).body).read_all()
    assert values.to_pydict() == {"id": ["id-0", "id-1"], "value": [1.5, -2.0]}
    codes = answer(Predictions(codes=np.array([1])), ("no", "yes"), probabilities=False)
    labels = pa.ipc.open_stream(arrow_stream.encode(codes).body).read_all()
    assert labels.to_pydict() == {"id": ["id-0"], "label": ["yes"]}
    assert arrow_stream.encode(classified()).status == 200


@given(
    st.integers(0, 9).flatmap(
        lambda n: st.fixed_dictionaries(
            {
                "f": st.lists(st.floats(), min_size=n, max_size=n),
                "i": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n),
                "b": st.lists(st.booleans(), min_size=n, max_size=n),
                "déjà vu": st.lists(st.text(max_size=5), min_size=n, max_size=n),
            }
        )
    )
)
@settings(deadline=None)
def test_pyarrow_reads_what_is_written(columns: dict[str, list[Any]]) -> None:
    """Any columns, of any length, none included; every buffer where the format wants it."""
    arrays: dict[str, Any] = {
        "f": np.array(columns["f"], np.float64),
        "i": np.array(columns["i"], np.int64),
        "b": np.array(columns["b"], bool),
        "déjà vu": columns["déjà vu"],
    }
    found = pa.ipc.open_stream(write_stream(arrays)).read_all()
    found.validate(full=True)
    assert repr(found.to_pydict()) == repr({name: columns[name] for name in arrays})


def test_numbers_that_are_not_aligned_are_copied() -> None:
    """A stream may begin anywhere in memory; the values then stand where a float64 should."""
    body = one(pa.array([1.0, 2.0]))
    shifted = memoryview(b"\0" + body)[1:]
    values = arrow_stream.decode(shifted, NUMBER).frame["x"]  # type: ignore[arg-type]  # any bytes
    assert values.flags.aligned
    assert values.tolist() == [1, 2]


def test_a_model_takes_a_frame_that_is_a_view() -> None:
    """ONNX Runtime reads the body where it is; the answer is that of the rows as JSON."""
    output = GraphOutput(name="answer", form="positive")
    model = OnnxModel(people_graph(), PEOPLE_INPUTS, output, ("no", "yes"))
    values = pa.table({"age": [40.0, 50.0], "hours": [1, 2], "job": ["nurse", "clerk"]})
    decoder = Decoder(people_signature())
    frame = arrow_stream.decode(stream(values), decoder).frame
    assert not frame["age"].flags.writeable
    expected = model.predict(decoder.from_rows(values.to_pylist()))
    np.testing.assert_array_equal(model.predict(frame).main, expected.main)
