"""JSON lines in and out: errors name the line."""

from __future__ import annotations

import json

import pytest
from tests.runtime.formats.samples import DECODER, ROWS, classified, problems, valued

from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits, MalformedError, TooLargeError
from afterfit.runtime.formats import json_lines

LINES = [json.dumps(row) for row in ROWS]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('{"age":"x"', "line 3"),
        ('{"hours":1}', "line 3, $.age"),
        (json.dumps({**ROWS[0], "age": "x"}), "line 3, $.age"),
        (json.dumps({**ROWS[0], "age": float("nan")}), "line 3, $.age"),
        (json.dumps({**ROWS[0], "extra": 1}), "line 3, $.extra"),
        ("[1]", "line 3, $"),
        ("7", "line 3, $"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(line: str, place: str) -> None:
    """Blank lines count as lines; text that is no JSON is malformed, and the line is told too."""
    body = f"{LINES[0]}\r\n\r\n{line}\n{LINES[1]}\n".encode()
    error = MalformedError if place == "line 3" else FieldError
    with pytest.raises(error, match="line 3"):
        json_lines.decode(body, DECODER)
    if error is FieldError:
        assert place in problems(FieldError, json_lines.decode, body, DECODER)


@pytest.mark.parametrize("body", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_body_without_lines_is_malformed(body: bytes) -> None:
    """There is nothing to predict."""
    with pytest.raises(MalformedError, match="no line"):
        json_lines.decode(body, DECODER)


@pytest.mark.parametrize("body", ["{}\n" * 1_000_000, "\n" * 1_000_000])
def test_more_lines_than_the_limit_are_too_large(body: str) -> None:
    """Counted while they are read, so the rest is never parsed."""
    with pytest.raises(TooLargeError):
        json_lines.decode(body.encode(), Decoder(DECODER.signature, Limits(rows=10)))


def test_an_answer_is_an_object_a_line() -> None:
    """As in the answer to ``/predict``, one a line."""
    response = json_lines.encode(classified())
    assert response.body.endswith(b"\n")
    assert [json.loads(line) for line in response.body.splitlines()] == classified().rows()
    assert json_lines.encode(valued()).body.splitlines()[0] == b'{"id":"id-0","value":1.5}'
