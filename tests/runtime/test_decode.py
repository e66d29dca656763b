"""JSON to frames: what is taken, what is refused, and the path that tells where."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.bundles import people_signature

from afterfit.core.signature import Column, Signature
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits, MalformedError, TooLargeError

PEOPLE = Decoder(people_signature())
GOOD = {"age": 39.5, "hours": 40, "job": "nurse"}
SWITCH = Decoder(
    Signature(task="regression", columns=(Column(name="on", kind="boolean", nullable=True),))
)


def paths(body: str | bytes, decoder: Decoder = PEOPLE) -> dict[str, str]:
    """Path and message of everything that is wrong with the body."""
    data = body.encode() if isinstance(body, str) else body
    with pytest.raises(FieldError) as caught:
        decoder.decode(data)
    return {problem.path: problem.message for problem in caught.value.problems}


def row(**changes: Any) -> str:
    """A body of one good row with some fields changed."""
    return json.dumps({"rows": [{**GOOD, **changes}]})


def test_rows_and_columns_say_the_same() -> None:
    """Both forms give equal frames, of the dtypes that the signature tells."""
    rows = PEOPLE.decode(json.dumps({"rows": [GOOD, GOOD]}).encode()).frame
    columns = {name: [value] * 2 for name, value in GOOD.items()}
    same = PEOPLE.decode(json.dumps({"columns": columns}).encode()).frame
    assert [rows[name].dtype.kind for name in ("age", "hours", "job")] == ["f", "i", "O"]
    for name in GOOD:
        np.testing.assert_array_equal(rows[name], same[name])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"rows":[{"hours":1,"job":"x"}]}', "$.rows[0].age"),
        ('{"columns":{"hours":[1],"job":["x"]}}', "$.columns.age"),
    ],
)
def test_a_forgotten_column_is_refused_even_where_null_is_allowed(body: str, path: str) -> None:
    """Whoever means null writes null; a key left out is a mistake that must not be answered."""
    assert paths(body) == {path: "missing; write null where 'age' is not known"}


def test_integers_may_be_written_with_a_point() -> None:
    """3.0 is 3; 3.5 is no integer."""
    assert PEOPLE.decode(row(hours=3.0).encode()).frame["hours"].tolist() == [3]
    assert paths(row(hours=3.5)) == {"$.rows[0].hours": "expected an integer, got 3.5"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{}", "$"),
        ("[]", "$"),
        ("3", "$"),
        ('{"rows":[]}', "$.rows"),
        ('{"rows":{}}', "$.rows"),
        ('{"rows":[1]}', "$.rows[0]"),
        ('{"rows":[{}],"columns":{}}', "$"),
        ('{"rows":[{}],"extra":1}', "$.extra"),
        ('{"columns":3}', "$.columns"),
        ('{"columns":{}}', "$.columns.*"),
        ('{"columns":{"age":[1,2],"hours":[1],"job":["a","b"]}}', "$.columns.hours"),
        ('{"columns":{"age":[1],"hours":1,"job":["a"]}}', "$.columns.hours"),
        ('{"columns":{"age":[1],"job":["a"]}}', "$.columns.hours"),
        ('{"columns":{"age":[1],"hours":[1],"job":["a"],"x":[1]}}', "$.columns.x"),
        (row(age="39"), "$.rows[0].age"),
        (row(age="NaN"), "$.rows[0].age"),
        (row(age=True), "$.rows[0].age"),
        (row(age=[1]), "$.rows[0].age"),
        (row(hours=None), "$.rows[0].hours"),
        (row(hours=True), "$.rows[0].hours"),
        (row(hours=2**63), "$.rows[0].hours"),
        (row(age=10**400), "$.rows[0].age"),
        (row(job=3), "$.rows[0].job"),
        (row(job=None), "$.rows[0].job"),
        (row(job="x" * 262_145), "$.rows[0].job"),
        (row(unknown=1), "$.rows[0].unknown"),
        ('{"rows":[{"age":1,"job":"x"}]}', "$.rows[0].hours"),
        ('{"rows":[{"age":NaN,"hours":1,"job":"x"}]}', "$.rows[0].age"),
        ('{"rows":[{"age":-Infinity,"hours":1,"job":"x"}]}', "$.rows[0].age"),
        ('{"rows":[{"age":1e309,"hours":1,"job":"x"}]}', "$.rows[0].age"),
        ('{"rows":[{"age":1,"hours":1,"job":"x"}],"entities":[]}', "$.entities"),
        ('{"rows":[{"age":1,"hours":1,"job":"x"}],"entities":[7]}', "$.entities[0]"),
    ],
)
def test_the_field_that_is_wrong_is_named(body: str, path: str) -> None:
    """Each is a FieldError with exactly this path."""
    assert list(paths(body)) == [path]


def test_every_wrong_field_is_listed_up_to_twenty() -> None:
    """A client mends all of them at once; a flood of them does not come back."""
    assert set(paths(row(age="x", hours="y", job=1))) == {
        "$.rows[0].age",
        "$.rows[0].hours",
        "$.rows[0].job",
    }
    assert len(paths(json.dumps({"rows": [{}] * 1000}))) == 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"not json",
        b'{"rows":[{"job":"\\ud800","hours":1}]}',
        '{"job":"é"}'.encode("latin-1"),
        '{"rows":[]}'.encode("utf-16"),
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    """Truncated, badly encoded or endlessly nested bytes are one kind of error."""
    with pytest.raises(MalformedError):
        PEOPLE.decode(body)


def test_a_byte_order_mark_is_no_reason_to_refuse() -> None:
    """Some clients write one."""
    assert len(PEOPLE.decode(b"\xef\xbb\xbf" + row().encode()).frame["age"]) == 1


def test_more_rows_than_the_limit_are_too_large() -> None:
    """Counted before they are checked, and before they are built where the body is large."""
    decoder = Decoder(people_signature(), Limits(rows=2))
    with pytest.raises(TooLargeError):
        decoder.decode(json.dumps({"rows": [GOOD] * 3}).encode())
    with pytest.raises(TooLargeError):
        decoder.decode(b'{"rows":[' + b"{}," * 1_000_000 + b"{}]}")


def test_booleans_take_true_false_and_null_only() -> None:
    """0, 1 and words are other kinds."""
    values = SWITCH.decode(b'{"columns":{"on":[true,null,false]}}').frame["on"]
    assert values.tolist() == [True, None, False]
    assert SWITCH.decode(b'{"columns":{"on":[true]}}').frame["on"].dtype == bool
    assert list(paths('{"columns":{"on":[1]}}', SWITCH)) == ["$.columns.on[0]"]


def test_entities_come_back_beside_the_frame() -> None:
    """One a row, so that labels can find their predictions later."""
    body = json.dumps({"rows": [GOOD], "entities": ["customer-7"]})
    assert PEOPLE.decode(body.encode()).entities == ["customer-7"]


def test_flags_tell_what_is_unusual_about_each_row() -> None:
    """Out of the reference range, a category never seen, a missing value; else nothing."""
    rows = [GOOD, {**GOOD, "age": 200}, {**GOOD, "job": "Nurse "}, {**GOOD, "age": None}]
    frame = PEOPLE.from_rows(rows)
    flags = PEOPLE.flags(frame)
    assert [flags.of(i) for i in range(4)] == [(), ("range",), ("new_category",), ("missing",)]
    assert flags.counts() == {"range": 1, "new_category": 1, "missing": 1}


def test_a_missing_boolean_is_flagged() -> None:
    """Columns of objects count as well."""
    assert SWITCH.flags(SWITCH.from_rows([{"on": None}])).of(0) == ("missing",)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "zz"), json_values)))
def test_any_row_is_either_a_frame_or_a_field_error(fields: dict[str, Any]) -> None:
    """No value of any type leads to another exception, and no number that is not finite gets in."""
    body = json.dumps({"rows": [fields]}).encode()
    try:
        frame = PEOPLE.decode(body).frame
    except (FieldError, MalformedError):
        return
    assert set(frame) == set(GOOD)
    assert fields["hours"] == frame["hours"][0]
    assert not np.isinf(frame["age"]).any()


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_decoded(body: bytes) -> None:
    """No body leads to another exception."""
    with pytest.raises((FieldError, MalformedError)):
        PEOPLE.decode(body)
