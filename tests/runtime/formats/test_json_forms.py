"""The JSON bodies of MLflow, Vertex AI and Azure Machine Learning: strict, with paths."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.formats.samples import (
    CHANCES,
    DECODER,
    NAMES,
    ROWS,
    answer,
    assert_same,
    classified,
    columns,
    lists,
    problems,
    valued,
)

from afterfit.core.frame import Predictions
from afterfit.core.signature import Column, Label, Signature
from afterfit.errors import InputError
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits, MalformedError, TooLargeError
from afterfit.runtime.formats import azureml, mlflow_rows, vertex

SPLIT = {"columns": list(NAMES), "data": lists(ROWS)}
BAD_CELL = [*lists(ROWS)[:2], [39.5, "x", 2, True, "nurse", None]]
SHORT_ROW = [*lists(ROWS)[:2], [1, 2]]


def wrong(form: Any, document: Any) -> dict[str, str]:
    """Path and message of everything that is wrong with a document."""
    return problems(FieldError, form.decode, json.dumps(document).encode(), DECODER)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "$"),
        ({}, "$"),
        ({"params": {}}, "$"),
        ({"inputs": columns(ROWS), "instances": ROWS}, "$"),
        ({"inputs": columns(ROWS), "extra": 1}, "$.extra"),
        ({"inputs": columns(ROWS), "params": {"top": 1}}, "$.params"),
        ({"inputs": columns(ROWS), "params": []}, "$.params"),
        ({"dataframe_split": []}, "$.dataframe_split"),
        ({"dataframe_split": {**SPLIT, "names": []}}, "$.dataframe_split.names"),
        ({"dataframe_split": {"data": lists(ROWS)}}, "$.dataframe_split.columns"),
        ({"dataframe_split": {"columns": list(NAMES)}}, "$.dataframe_split.data"),
        ({"dataframe_split": {**SPLIT, "index": [0]}}, "$.dataframe_split.index"),
        ({"dataframe_split": {**SPLIT, "index": {}}}, "$.dataframe_split.index"),
        ({"dataframe_split": {**SPLIT, "data": []}}, "$.dataframe_split.data"),
        ({"dataframe_split": {**SPLIT, "data": BAD_CELL}}, "$.dataframe_split.data[2][1]"),
        ({"dataframe_split": {**SPLIT, "data": SHORT_ROW}}, "$.dataframe_split.data[2]"),
        ({"dataframe_split": {**SPLIT, "data": ROWS}}, "$.dataframe_split.data[0]"),
        ({"dataframe_split": {**SPLIT, "columns": [1, 2]}}, "$.dataframe_split.columns[0]"),
        ({"dataframe_split": {**SPLIT, "columns": [*NAMES[:5], "x"]}}, "$.dataframe_split.columns"),
        ({"dataframe_split": {**SPLIT, "columns": [*NAMES, "age"]}}, "$.dataframe_split.columns"),
        ({"dataframe_records": {}}, "$.dataframe_records"),
        ({"dataframe_records": [{**ROWS[0], "age": "x"}]}, "$.dataframe_records[0].age"),
        ({"dataframe_records": [7]}, "$.dataframe_records[0]"),
        ({"instances": 7}, "$.instances"),
        ({"instances": []}, "$.instances"),
        ({"instances": [ROWS[0], [1]]}, "$.instances[1]"),
        ({"instances": [lists(ROWS)[0], ROWS[0]]}, "$.instances[1]"),
        ({"instances": BAD_CELL}, "$.instances[2][1]"),
        ({"inputs": {**columns(ROWS), "age": 1}}, "$.inputs.age"),
        ({"inputs": {**columns(ROWS), "age": ["x", 1, 2]}}, "$.inputs.age[0]"),
        ({"inputs": {**ROWS[0], "age": "x"}}, "$.inputs.age"),
        ({"inputs": {}}, "$.inputs.*"),
    ],
)
def test_an_mlflow_body_that_is_wrong_is_told_where(document: Any, path: str) -> None:
    """Each is a FieldError whose first problem has this path; nothing is passed over in silence."""
    assert next(iter(wrong(mlflow_rows, document))) == path


def test_mlflow_takes_one_row_of_plain_inputs_and_empty_params() -> None:
    """As its own server does."""
    for document in ({"inputs": ROWS[0]}, {"inputs": [ROWS[0]], "params": {}}):
        assert_same(mlflow_rows.rows_of(document, DECODER).frame, ROWS[:1])


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"rows": ROWS}, "$.rows"),
        ({"parameters": {}}, "$"),
        ({"instances": {}}, "$.instances"),
        ({"instances": columns(ROWS)}, "$.instances"),
        ({"instances": ROWS, "parameters": {"k": 1}}, "$.parameters"),
        ({"instances": [{**ROWS[0], "hours": None}]}, "$.instances[0].hours"),
    ],
)
def test_a_vertex_body_that_is_wrong_is_told_where(document: Any, path: str) -> None:
    """Each is a FieldError with exactly this path."""
    assert list(wrong(vertex, document)) == [path]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"input_data": SPLIT, "data": ROWS}, "$"),
        ({"input_data": {**SPLIT, "data": BAD_CELL}}, "$.input_data.data[2][1]"),
        ({"input_data": {"columns": list(NAMES)}}, "$.input_data.data"),
        ({"input_data": {**columns(ROWS), "age": ["x", 1, 2]}}, "$.input_data.age[0]"),
        ({"input_data": SPLIT, "params": {"a": 1}}, "$.params"),
        ({"data": columns(ROWS)}, "$.data"),
        ({"data": BAD_CELL}, "$.data[2][1]"),
    ],
)
def test_an_azure_body_that_is_wrong_is_told_where(document: Any, path: str) -> None:
    """Each is a FieldError with exactly this path."""
    assert list(wrong(azureml, document)) == [path]


def test_a_column_may_be_called_as_a_field_of_azure_is() -> None:
    """``{"input_data": {"data": […]}}`` is a column of a model that has no other."""
    columns_of = (Column(name="data", kind="number"),)
    decoder = Decoder(Signature(task="regression", columns=columns_of))
    frame = azureml.rows_of({"input_data": {"data": [1.0, 2.0]}}, decoder).frame
    assert frame["data"].tolist() == [1, 2]


@pytest.mark.parametrize("form", [mlflow_rows, vertex])
@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e309"])
def test_numbers_that_json_does_not_have_are_refused_with_their_path(form: Any, token: str) -> None:
    """Also inside of arrays; the message says what to send instead."""
    body = json.dumps({"instances": lists(ROWS)}).replace("39.5", token).encode()
    found = problems(FieldError, form.decode, body, DECODER)
    assert list(found) == ["$.instances[0][0]"]
    assert "null" in found["$.instances[0][0]"]


@pytest.mark.parametrize("form", [mlflow_rows, vertex, azureml])
@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'{"instances":"\xff"}'])
def test_what_is_no_json_is_malformed(form: Any, body: bytes) -> None:
    """Truncated, endlessly nested or badly encoded."""
    with pytest.raises(MalformedError):
        form.decode(body, DECODER)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"instances": lists(ROWS) * 40}),
        json.dumps({"instances": ROWS * 40}),
        '{"instances":[' + "[]," * 1_000_000 + "[]]}",
    ],
)
def test_more_rows_than_the_limit_are_too_large(body: str) -> None:
    """Counted before they are built where the body is large."""
    with pytest.raises(TooLargeError):
        mlflow_rows.decode(body.encode(), Decoder(DECODER.signature, Limits(rows=100)))


@pytest.mark.parametrize("form", [mlflow_rows, vertex, azureml])
@given(document=st.data())
def test_any_document_is_refused_or_decoded(form: Any, document: Any) -> None:
    """No value in any place leads to another exception."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*NAMES, "columns", "data", "index", "x"]), inner)
        ),
        max_leaves=12,
    )
    keys = st.sampled_from([*form.KEYS, "params", "parameters"])
    drawn = document.draw(st.dictionaries(keys, values, max_size=2) | values)
    with pytest.raises(InputError):
        form.decode(json.dumps(drawn).encode(), DECODER)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("no", "yes"), ["yes", "no"]),
        ((0, 1), [1, 0]),
        ((False, True), [True, False]),
        (("a", 1), [1, "a"]),
    ],
)
def test_mlflow_and_azure_answer_with_labels(
    classes: tuple[Label, Label], labels: list[Label]
) -> None:
    """In the user's words and types, as ``predict`` returns them."""
    found = answer(Predictions(probabilities=CHANCES), classes)
    assert json.loads(mlflow_rows.encode(found).body) == {"predictions": labels}
    assert json.loads(azureml.encode(found).body) == labels


def test_mlflow_and_azure_answer_with_values_for_a_regression() -> None:
    """Plain numbers."""
    assert json.loads(mlflow_rows.encode(valued()).body) == {"predictions": [1.5, -2.0]}
    assert json.loads(azureml.encode(valued()).body) == [1.5, -2.0]


def test_vertex_answers_with_an_object_a_row() -> None:
    """Label and probabilities, a label alone, or a value."""
    first = {"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
    assert json.loads(vertex.encode(classified()).body)["predictions"][0] == first
    codes = answer(Predictions(codes=np.array([1])), ("no", "yes"), probabilities=False)
    assert json.loads(vertex.encode(codes).body) == {"predictions": [{"label": "yes"}]}
    assert json.loads(vertex.encode(valued()).body)["predictions"] == [
        {"value": 1.5},
        {"value": -2.0},
    ]
