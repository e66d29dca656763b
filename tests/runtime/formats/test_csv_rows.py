"""CSV in and out: what is taken, what is refused by line and column, and what comes back."""

from __future__ import annotations

import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.formats.samples import (
    CHANCES,
    DECODER,
    NAMES,
    answer,
    classified,
    problems,
    valued,
)

from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Label, Signature
from afterfit.errors import InputError
from afterfit.predict.scores import score_columns as file_columns
from afterfit.predict.scores import score_names as file_names
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits, MalformedError, TooLargeError
from afterfit.runtime.formats import arrow_stream, csv_rows

HEADER = ",".join(NAMES)
GOOD = "39.5,40,2,true,nurse,hello"
NUMBERS = Decoder(
    Signature(
        task="regression",
        columns=(Column(name="0", kind="number", nullable=True), Column(name="1", kind="number")),
    )
)


def wrong(*lines: str) -> dict[str, str]:
    """Path and message of what is wrong with lines under the header."""
    body = "\n".join((HEADER, *lines)).encode()
    return problems(FieldError, csv_rows.decode, body, DECODER)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("x,40,2,true,nurse,n", "line 2, column 'age'"),
        ("nan,40,2,true,nurse,n", "line 2, column 'age'"),
        ("inf,40,2,true,nurse,n", "line 2, column 'age'"),
        ("1_0,40,2,true,nurse,n", "line 2, column 'age'"),
        ("٣,40,2,true,nurse,n", "line 2, column 'age'"),
        ("1e309,40,2,true,nurse,n", "line 2, column 'age'"),
        ("1,40.5,2,true,nurse,n", "line 2, column 'hours'"),
        ("1,,2,true,nurse,n", "line 2, column 'hours'"),
        ("1,9223372036854775808,2,true,nurse,n", "line 2, column 'hours'"),
        ("1,true,2,true,nurse,n", "line 2, column 'hours'"),
        ("1,40,2,yes,nurse,n", "line 2, column 'retired'"),
        ("1,40,2,true,,n", "line 2, column 'job'"),
        ("1,40,2,true,nurse", "line 2"),
        ("1,40,2,true,nurse,n,n", "line 2"),
    ],
)
def test_the_field_that_is_wrong_is_named_by_line_and_column(line: str, place: str) -> None:
    """Each is a FieldError with exactly this place."""
    assert list(wrong(line)) == [place]


def test_a_record_is_named_by_the_line_where_it_begins() -> None:
    """Quoted line ends and blank lines count as lines of the body."""
    assert list(wrong('1,40,2,true,nurse,"a\nb"', "", "x,40,2,true,nurse,n")) == [
        "line 5, column 'age'"
    ]


def test_numbers_may_have_a_sign_blanks_and_an_exponent() -> None:
    """What a person or a spreadsheet writes; 3.0 is an integer."""
    frame = csv_rows.decode(b" +1.5e3 ,3.0, 4,TRUE,nurse,x\n.5,-2,,0,x,", DECODER).frame
    assert frame["age"].tolist() == [1500, 0.5]
    assert frame["hours"].tolist() == [3, -2]
    assert frame["retired"].tolist() == [True, False]
    np.testing.assert_array_equal(frame["children"], [4, np.nan])
    assert frame["note"].tolist() == ["x", None]


def test_an_integer_of_very_many_digits_is_refused() -> None:
    """Python itself refuses to make a number of that many digits; 70 bits are told as too wide."""
    for digits, message in ((100_000, "is not an integer"), (22, "beyond the range of int64")):
        found = wrong("1,1" + "0" * digits + ",2,true,nurse,n")
        assert message in found["line 2, column 'hours'"]


def test_a_header_may_name_the_columns_in_any_order() -> None:
    """Without one the columns are in the order of the signature."""
    turned = b"note,job,retired,children,hours,age\nhello,nurse,true,2,40,39.5\r\n"
    plain = GOOD.encode()
    for body in (turned, plain, b"\xef\xbb\xbf" + turned, f"{HEADER}\n{GOOD}".encode()):
        frame = csv_rows.decode(body, DECODER).frame
        assert [frame[name].tolist()[0] for name in NAMES] == [39.5, 40, 2, True, "nurse", "hello"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("age,hours,children,retired,job", "the column 'note' is missing"),
        (f"{HEADER},x", "unknown column 'x'"),
        (f"{HEADER},age", "'age' is given 2 times"),
    ],
)
def test_a_header_that_does_not_fit_is_told(header: str, message: str) -> None:
    """Missing, unknown and repeated columns."""
    body = f"{header}\n{GOOD}".encode()
    assert problems(FieldError, csv_rows.decode, body, DECODER) == {"line 1": message}


def test_column_names_that_are_numbers_are_no_reason_to_guess() -> None:
    """A first line ``0,1`` may be a header or a row: only the media type can tell."""
    with pytest.raises(FieldError, match="header=present or header=absent"):
        csv_rows.decode(b"0,1\n5,6", NUMBERS)
    assert csv_rows.decode(b"0,1\n5,6", NUMBERS, header=True).frame["1"].tolist() == [6]
    assert csv_rows.decode(b"0,1\n5,6", NUMBERS, header=False).frame["1"].tolist() == [1, 6]
    assert csv_rows.decode(b"2,3\n5,6", NUMBERS).frame["1"].tolist() == [3, 6]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b'39.5,40,2,true,nurse,"hello', "line 1"),
        (GOOD.encode() + b'\n1,2,3,true,"nurse"x,y', "line 2"),
        (GOOD.encode() + b"\n\xff", "line 2"),
        (HEADER.encode() + b"\n1,2,3,true,x," + b"y" * 200_000, "line 2"),
    ],
)
def test_what_is_no_csv_is_malformed(body: bytes, where: str) -> None:
    """Open quotes, text after a quote, other encodings, fields beyond the parser's limit."""
    with pytest.raises(MalformedError, match=where):
        csv_rows.decode(body, DECODER)


def test_a_header_alone_is_no_row() -> None:
    """There is nothing to predict."""
    assert list(problems(FieldError, csv_rows.decode, HEADER.encode(), DECODER)) == ["line 2"]


@pytest.mark.parametrize(
    "body", [f"{GOOD}\n" * 3, f"{HEADER}\n" + f"{GOOD}\n" * 3, "\n" * 1_000_000]
)
def test_more_lines_than_the_limit_are_too_large(body: str) -> None:
    """Counted while the body is read; blank lines cost time as well."""
    with pytest.raises(TooLargeError):
        csv_rows.decode(body.encode(), Decoder(DECODER.signature, Limits(rows=2)))
    two = f"{HEADER}\n{GOOD}\n{GOOD}\n".encode()
    assert len(csv_rows.decode(two, Decoder(DECODER.signature, Limits(rows=2))).frame["age"]) == 2


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_or_decoded(body: bytes) -> None:
    """No body leads to another exception."""
    try:
        frame = csv_rows.decode(body, NUMBERS).frame
    except (InputError, TooLargeError):
        return
    assert np.isfinite(frame["1"]).all()


def test_an_answer_is_a_table_with_a_header() -> None:
    """Labels with their probabilities, or values, under the id of each row."""
    response = csv_rows.encode(classified())
    assert response.body == (
        b"id,label,probability_no,probability_yes\nid-0,yes,0.25,0.75\nid-1,no,0.9,0.1\n"
    )
    assert response.content_type.startswith("text/csv")
    assert csv_rows.encode(valued()).body == b"id,value\nid-0,1.5\nid-1,-2.0\n"


@pytest.mark.parametrize("classes", [("no", "yes"), (0, 1), (False, True), (0.5, 1.0), ("a,b", 1)])
def test_an_answer_has_the_names_and_labels_of_a_scored_file(classes: tuple[Label, Label]) -> None:
    """A column is called what ``afterfit predict`` calls it, and a label is written alike."""
    found = answer(Predictions(probabilities=CHANCES), classes)
    signature = found.model.signature
    lines = list(csv.reader(io.StringIO(csv_rows.encode(found).body.decode())))
    assert lines[0] == ["id", *file_names(signature)]
    table = pa.table([file_columns(found.predictions, signature)[0]], ["label"])
    pa_csv.write_csv(table, sink := pa.BufferOutputStream())
    labels = list(csv.reader(io.StringIO(sink.getvalue().to_pybytes().decode())))[1:]
    kind = float if isinstance(classes[0], float) else str
    assert [kind(line[1]) for line in lines[1:]] == [kind(label) for (label,) in labels]


def test_a_class_beyond_64_bits_is_written_as_text() -> None:
    """No Arrow integer is as wide, and a label may be any integer."""
    found = answer(Predictions(probabilities=CHANCES), (1, 2**70))
    assert f"id-0,{2**70},0.25,0.75" in csv_rows.encode(found).body.decode()
    written = pa.ipc.open_stream(arrow_stream.encode(found).body).read_all()
    assert written.column("label").to_pylist() == [str(2**70), "1"]
