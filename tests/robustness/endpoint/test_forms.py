"""Examples, schemas and answers of many forms."""

from __future__ import annotations

from typing import Any

import pytest

from afterfit.core.wire.answers import (
    Layout,
    difference,
    differences,
    improbable,
    not_finite,
)
from afterfit.core.wire.client import Exchange, Sent
from afterfit.core.wire.documents import UnreadableError
from afterfit.errors import InputError, UsageError
from afterfit.robustness.endpoint.fields import Field, raw, with_value, without, written
from afterfit.robustness.endpoint.openapi import described, row_schema
from afterfit.robustness.endpoint.plain import Plain

ROW = {"age": 41.5, "n": 3, "ok": True, "job": "nurse"}
KINDS = ["number", "integer", "boolean", "text"]


def exchange(body: bytes) -> Exchange:
    """An answer of 200."""
    return Exchange(Sent("POST", "/predict"), 200, (), body)


@pytest.mark.parametrize(
    ("example", "holder", "batched"),
    [
        (ROW, "", False),
        ([ROW], "", True),
        ({"rows": [ROW]}, "rows", True),
        ({"instances": [list(ROW.values())]}, "instances", True),
        ({"inputs": [ROW], "parameters": {}}, "inputs", True),
    ],
)
def test_an_example_tells_what_a_row_is(example: Any, holder: str, batched: bool) -> None:  # noqa: FBT001
    """One object, an array of rows, or an array of rows with a name; fields in their kinds."""
    plain = Plain("/predict", example)
    assert (plain.holder, plain.batched) == (holder, batched)
    assert [field.kind for field in plain.fields] == KINDS
    assert plain.document(plain.rows(1)) == example


@pytest.mark.parametrize("example", ["word", 3, [], {}, [3], [[]], {"a": None}])
def test_an_example_without_fields_is_refused(example: Any) -> None:
    """With what would be one."""
    with pytest.raises(InputError, match="the example cannot be used"):
        Plain("/predict", example)


def test_values_in_arrays_and_objects_are_fields() -> None:
    """Their refusal may name the array."""
    plain = Plain("/predict", {"features": [1.5, 2.5], "who": {"age": 3}})
    assert [(f.name, f.path) for f in plain.fields] == [
        ("features", ("features", 0)),
        ("features", ("features", 1)),
        ("age", ("who", "age")),
    ]


def test_rows_are_seeded_and_within_the_declared_range() -> None:
    """The same seed gives the same rows; others differ."""
    schema = {"properties": {"age": {"type": "number", "minimum": 41, "maximum": 42}}}
    rows = [Plain("/p", [ROW], schema=schema, seed=seed).rows(50) for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]
    assert rows[0][0] == ROW
    assert all(41 <= row["age"] <= 42 for row in rows[0])
    assert len({row["age"] for row in rows[0]}) > 20


def test_a_schema_tells_null_range_and_need() -> None:
    """Also through references, anyOf and nullable; bounds of a type are no range."""
    document = {
        "paths": {
            "/other": {},
            "/score/{id}": {"post": {}},
            "/predict": {
                "post": {
                    "requestBody": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Body"}}
                        }
                    }
                }
            },
        },
        "components": {
            "schemas": {
                "Body": {
                    "type": "object",
                    "required": ["age"],
                    "properties": {
                        "age": {"anyOf": [{"type": "number", "maximum": 80}, {"type": "null"}]},
                        "n": {"type": "integer", "minimum": -(2**63), "nullable": False},
                        "job": {"type": "string", "enum": ["a", "b"]},
                        "next": {"$ref": "#/components/schemas/Body"},
                    },
                }
            }
        },
    }
    found = described(document, route="", model="", url="http://h")
    assert found.route == "/predict"
    assert (found.example["n"], found.example["job"]) == (-(2**63), "a")
    example = {name: found.example[name] for name in ("age", "n", "job")}
    age, n, job = Plain("/predict", example, schema=row_schema(found.schema, "")).fields
    assert (age.nullable, age.required, age.high) == (True, True, 80)
    assert (n.nullable, n.required) == (False, False)
    assert job.words == ("a", "b")


def test_no_route_is_guessed_where_none_is_described() -> None:
    """The error says how to name one."""
    with pytest.raises(UsageError, match="route of the predictions"):
        described({}, route="", model="", url="http://h")


@pytest.mark.parametrize(
    "document",
    [
        [{"p": 1}, {"p": 2}, {"p": 3}],
        {"predictions": [1, 2, 3], "model": "m"},
        {"result": {"labels": ["a", "b", "c"], "p": [[1, 2], [3, 4], [5, 6]], "classes": [0, 1]}},
    ],
)
def test_answers_are_found_row_by_row(document: Any) -> None:
    """In an array, below a name, or in several arrays side by side."""
    layout = Layout(document, 3)
    assert len(layout.read(document, 3)) == 3
    with pytest.raises(UnreadableError):
        layout.read(document, 2)
    with pytest.raises(UnreadableError):
        layout.read({"detail": "no"}, 3)


def test_ids_and_times_are_no_predictions() -> None:
    """Numbers are compared up to rounding, everything else as it is."""
    one = {"id": "a", "latency_ms": 3, "label": "no", "p": 0.1 + 0.2}
    assert difference(one, {**one, "id": "b", "latency_ms": 9, "p": 0.3}) == ""
    assert difference(one, {**one, "label": "yes"}) == "label is 'no' and 'yes'"
    assert differences([one], [{**one, "p": 0.31}]).startswith("row 0: p is")
    assert difference(one, {"label": "no"}) == "the answers have different fields"


@pytest.mark.parametrize("value", [None, "NaN", "-Infinity", "inf", float("nan"), float("inf")])
def test_what_is_no_number_is_found(value: Any) -> None:
    """Where the answer to a right row has a number."""
    assert not_finite({"p": value}, {"p": 0.5})
    assert not_finite({"p": 0.1, "note": "nan"}, {"p": 0.5, "note": "x"}) == ""


def test_what_is_no_probability_is_found() -> None:
    """By the names in the answer; sums count where those of a right row are one."""
    like = {"probabilities": {"no": 0.25, "yes": 0.75}, "score": 7}
    assert improbable(like, like) == ""
    assert (
        improbable({"probabilities": {"no": -0.5, "yes": 1.5}}, like) == "probabilities.no is -0.5"
    )
    assert "add up to 0.8" in improbable({"probabilities": {"no": 0.4, "yes": 0.4}}, like)
    assert improbable({"confidence": 1.2}, {"confidence": 0.9}) == "confidence is 1.2"
    assert improbable({"score": 9}, like) == ""


def test_a_field_is_changed_in_a_copy() -> None:
    """Also to what JSON has no value for."""
    row = {"a": [1, 2], "b": 3}
    assert written(with_value(row, ("a", 1), raw("NaN"))) == b'{"a":[1,NaN],"b":3}'
    assert without(row, ("a", 1)) == {"b": 3}
    assert row == {"a": [1, 2], "b": 3}
    assert Field(name="b", path=("b",), kind="integer").numeric


def test_an_empty_answer_is_unreadable() -> None:
    """One row has at least one value as its answer."""
    plain = Plain("/p", ROW)
    plain.learn(exchange(b'{"p": 1}'), 1)
    assert plain.answers(exchange(b'{"p": 1}'), 1) == [{"p": 1}]
    for body in (b"{}", b'{"id": "x"}', b"NaN", b""):
        with pytest.raises(UnreadableError):
            plain.answers(exchange(body), 1)
