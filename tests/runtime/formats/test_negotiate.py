"""Which format is read and written for which headers, route by route."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from tests.runtime.formats.samples import (
    DECODER,
    NAMES,
    ROWS,
    assert_same,
    classified,
    columns,
    lists,
    stream,
    table,
)

from afterfit.runtime.columns import FieldError
from afterfit.runtime.formats.negotiate import Family, MediaTypeError, negotiate
from afterfit.runtime.messages import Response

ARROW = b"application/vnd.apache.arrow.stream"
JSON = b"application/json"
PREDICT = json.dumps({"rows": ROWS}).encode()
CSV = (",".join(NAMES) + '\n39.5,40,2,false,nurse,"a,""b"""\n').encode()
LINES = json.dumps(ROWS[0]).encode() + b"\n"
STREAM = stream(table(ROWS[:1]))


def answered(
    family: Family, body: bytes, content_type: bytes = JSON, accept: bytes = b""
) -> Response:
    """The answer of two rows that a request gets, after its body was read."""
    decode, encode = negotiate(family, content_type, accept)
    decode(body, DECODER)
    return encode(classified())


def kind(response: Response) -> str:
    """The media type of a response without parameters."""
    return response.content_type.partition(";")[0]


@pytest.mark.parametrize(
    ("family", "document", "shape"),
    [
        ("predict", {"rows": ROWS}, "model"),
        ("predict", {"columns": columns(ROWS)}, "model"),
        ("invocations", {"rows": ROWS}, "model"),
        ("invocations", {"instances": ROWS}, "labels"),
        ("invocations", {"inputs": columns(ROWS), "params": {}}, "labels"),
        ("invocations", {"dataframe_records": ROWS}, "labels"),
        ("invocations", {"dataframe_split": {"columns": NAMES, "data": lists(ROWS)}}, "labels"),
        ("invocations", {"instances": ROWS, "parameters": {}}, "objects"),
        ("invocations", {"input_data": lists(ROWS)}, "array"),
        ("vertex", {"instances": ROWS}, "objects"),
        ("azureml", {"data": ROWS}, "array"),
        ("azureml", {"input_data": {"columns": NAMES, "data": lists(ROWS)}}, "array"),
        ("azureml", {"dataframe_records": ROWS}, "labels"),
        ("azureml", {"rows": ROWS}, "model"),
    ],
)
def test_json_is_answered_in_the_form_that_came_in(
    family: Family, document: Any, shape: str
) -> None:
    """Each form has its own answer, and one route takes several forms."""
    body = json.dumps(document).encode()
    decode, encode = negotiate(family, JSON, b"*/*")
    assert_same(decode(body, DECODER).frame, ROWS)
    found = json.loads(encode(classified()).body)
    if shape == "array":
        assert found == ["yes", "no"]
        return
    assert ("model" in found) == (shape == "model")
    first = found["predictions"][0]
    assert type(first).__name__ == {"labels": "str", "objects": "dict", "model": "dict"}[shape]
    assert ("id" in first) == (shape == "model")


@pytest.mark.parametrize("family", ["predict", "vertex", "azureml"])
@pytest.mark.parametrize(
    ("content_type", "body", "answer"),
    [
        (b"text/csv", CSV, "text/csv"),
        (b"text/csv; charset=UTF-8; header=present", CSV, "text/csv"),
        (b"application/jsonlines", LINES, "application/jsonlines"),
        (b"application/x-ndjson", LINES, "application/x-ndjson"),
        (ARROW, STREAM, ARROW.decode()),
    ],
)
def test_a_table_is_answered_like_it_was_asked(
    family: Family, content_type: bytes, body: bytes, answer: str
) -> None:
    """Where Accept says nothing else, as curl's does not."""
    for accept in (b"", b"*/*", b"text/html, */*;q=0.8"):
        assert kind(answered(family, body, content_type, accept)) == answer


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(b"text/csv", CSV), (b"application/x-ndjson", LINES), (ARROW, STREAM)],
)
def test_invocations_answers_json_unless_it_is_asked_for_something_else(
    content_type: bytes, body: bytes
) -> None:
    """MLflow's clients and SageMaker's expect ``predictions`` whatever they send."""
    plain = answered("invocations", body, content_type, b"*/*")
    assert json.loads(plain.body) == {"predictions": ["yes", "no"]}
    assert kind(answered("invocations", body, content_type, b"text/csv")) == "text/csv"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (b"text/csv", "text/csv"),
        (b"application/json", "application/json"),
        (b"application/jsonlines;verbose=true", "application/jsonlines"),
        (b"application/x-ndjson", "application/x-ndjson"),
        (b"image/png, text/csv;q=0.5", "text/csv"),
        (b"text/csv;q=0.1, application/json", "application/json"),
        (b"text/csv;q=0, application/json;q=0.1", "application/json"),
        (b"text/csv;q=x", "text/csv"),
        (b"text/*", "text/csv"),
        (b"application/*", "application/json"),
        (b"APPLICATION/VND.APACHE.ARROW.STREAM", ARROW.decode()),
        (b" , ;q=1,", "application/json"),
    ],
)
def test_accept_chooses_what_is_written(accept: bytes, answer: str) -> None:
    """The best liked of those that there are."""
    assert kind(answered("predict", PREDICT, JSON, accept)) == answer


def test_probabilities_of_an_mlflow_body_come_with_another_accept() -> None:
    """Its JSON has labels alone, as MLflow's has."""
    body = json.dumps({"instances": ROWS}).encode()
    lines = answered("invocations", body, JSON, b"application/jsonlines").body.splitlines()
    assert json.loads(lines[0])["probabilities"] == {"no": 0.25, "yes": 0.75}
    written = pa.ipc.open_stream(answered("invocations", body, JSON, ARROW).body).read_all()
    assert written.column("probability_yes").to_pylist() == [0.75, 0.1]


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/x-www-form-urlencoded",
        b"application/octet-stream",
        b"text/plain; charset=utf-8",
        b"application/cloudevents+json",
        b"Application/JSON; charset=UTF-8",
        b'application/json; charset="utf-8"',
    ],
)
def test_a_media_type_that_says_nothing_is_json(content_type: bytes) -> None:
    """Curl and others send one without being asked."""
    assert kind(answered("predict", PREDICT, content_type)) == "application/json"


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/xml",
        b"application/vnd.apache.parquet",
        b"application/x-npy",
        b"text/libsvm",
        b"application/json; charset=latin-1",
        b"text/csv; charset=utf-16",
        b"text/csv; header=maybe",
        b"\xff\xfe",
    ],
)
def test_a_body_that_cannot_be_read_is_415(content_type: bytes) -> None:
    """With the types that can be read, also in a header (RFC 9110 section 15.5.16)."""
    with pytest.raises(MediaTypeError) as caught:
        negotiate("predict", content_type)
    assert caught.value.status == 415
    assert dict(caught.value.headers)["accept"].startswith("application/json, text/csv")


@pytest.mark.parametrize("accept", [b"image/png", b"text/html", b"text/csv;q=0, image/png"])
def test_an_answer_that_cannot_be_written_is_406(accept: bytes) -> None:
    """Told before the body is read."""
    with pytest.raises(MediaTypeError) as caught:
        negotiate("predict", JSON, accept)
    assert caught.value.status == 406


def test_a_csv_header_can_be_told_by_the_media_type() -> None:
    """``absent`` makes the first line a row even if a value is the name of a column."""
    decode, _ = negotiate("predict", b"text/csv; header=absent")
    assert decode(b"1,2,3,true,age,x\n", DECODER).frame["job"].tolist() == ["age"]
    decode, _ = negotiate("predict", b"text/csv")
    with pytest.raises(FieldError):
        decode(b"1,2,3,true,age,x\n", DECODER)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"x":1}', b"7"])
def test_a_document_of_no_known_form_is_told_the_forms(body: bytes) -> None:
    """All that the route takes."""
    decode, _ = negotiate("invocations", JSON)
    with pytest.raises(FieldError, match=r'"dataframe_split".*"input_data".*"rows"'):
        decode(body, DECODER)


def test_requests_do_not_see_each_other() -> None:
    """What one request was read as does not decide the answer of another with equal headers."""
    first = negotiate("invocations", JSON)
    first.decode(PREDICT, DECODER)
    second = negotiate("invocations", JSON)
    second.decode(json.dumps({"instances": ROWS}).encode(), DECODER)
    assert "model" in json.loads(first.encode(classified()).body)
    assert "model" not in json.loads(second.encode(classified()).body)
