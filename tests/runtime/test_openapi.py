"""The document: valid, true of what the decoder takes, and answered as it says by a real server."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from jsonschema import Draft202012Validator
from tests.runtime.signatures import ODD_NAME, Described, numbers, odd, people

from afterfit.core.signature import Column, Signature
from afterfit.runtime.columns import FieldError
from afterfit.runtime.decode import Decoder, Limits, TooLargeError
from afterfit.runtime.example import example_row
from afterfit.runtime.openapi import document
from afterfit.serve.run import ServerHandle

ROW = {"age": 39.5, "hours": 40, "job": "nurse"}
ROUTES = {
    "/ping": "health",
    "/invocations": "invocations",
    "/v1/endpoints/1:predict": "vertex",
    "/v1/endpoints/1": "health",
    "/score": "azureml",
}
METHODS = {"get", "post"}


def plain(models: dict[str, Described], **options: Any) -> dict[str, Any]:
    """The document as a client reads it."""
    text = msgspec.json.encode(document(models, **options))
    read: dict[str, Any] = json.loads(text)
    return read


def one() -> dict[str, Any]:
    """A document of one model."""
    return plain({"churn": people()}, url="http://127.0.0.1:8080")


def documents() -> list[dict[str, Any]]:
    """Documents of one, of an odd one on every platform, and of several."""
    several = {
        "churn": people(),
        "numbers": numbers(),
        ODD_NAME: odd(),
        "über <b>_mich__/b>_x": odd(),
    }
    return [one(), plain({ODD_NAME: odd()}, routes=ROUTES, secured=True), plain(several)]


def operations(read: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, item in read["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def media(operation: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    """What an operation takes as a media type."""
    found: dict[str, Any] = operation["requestBody"]["content"][kind]
    return found


def values_of(node: Any, key: str) -> Iterator[Any]:
    """Every value under a key, at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values_of(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value, key)


def validator(read: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """What checks values by a schema that refers into the document."""
    return Draft202012Validator({**schema, "components": read["components"]})


def row_schema(read: dict[str, Any], key: str = "churn") -> Draft202012Validator:
    """What checks the body of a prediction by rows."""
    return validator(read, {"$ref": f"#/components/schemas/{key}.PredictRequest"})


@pytest.mark.parametrize("read", documents(), ids=["one", "odd", "several"])
def test_the_document_is_whole(read: dict[str, Any]) -> None:
    """Every schema is one, every reference leads somewhere, every operation has its name."""
    assert read["openapi"] == "3.1.1"
    assert {"title", "version"} <= read["info"].keys()
    for name, schema in read["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        Draft202012Validator.check_schema(schema)
    for target in set(values_of(read, "$ref")):
        node = read
        for part in target.removeprefix("#/").split("/"):
            node = node[part]
    names = [operation["operationId"] for _, _, operation in operations(read)]
    assert len(names) == len(set(names))
    for path, _, operation in operations(read):
        assert operation["responses"].keys() & {"200"}
        declared = {each["name"] for each in read["paths"][path].get("parameters", [])}
        assert set(re.findall(r"\{(\w+)\}", path)) == declared
        assert path == "/" or not path.endswith("/")


@pytest.mark.parametrize("read", documents(), ids=["one", "odd", "several"])
def test_every_example_fits_its_schema(read: dict[str, Any]) -> None:
    """A reader who copies an example sends what the schema asks for."""
    seen = 0
    for _, _, operation in operations(read):
        for each in operation.get("requestBody", {}).get("content", {}).values():
            for example in each.get("examples", {}).values():
                validator(read, each["schema"]).validate(example["value"])
                seen += 1
    assert seen > 10


@pytest.mark.parametrize("made", [people(), numbers(), odd()], ids=["people", "numbers", "odd"])
def test_the_decoder_takes_every_example_of_predict(made: Described) -> None:
    """Rows and columns; in range and known, so that nothing is flagged."""
    read = plain({"m": made})
    decoder = Decoder(made.signature)
    for name, example in media(read["paths"]["/predict"]["post"])["examples"].items():
        rows = decoder.decode(json.dumps(example["value"]).encode())
        flags = decoder.flags(rows.frame).counts()
        # No integer lies between 0.5 and 0.9: that column has no value inside of its range.
        assert sum(flags.values()) == (1 if made.signature.task == "regression" else 0), name


def test_the_examples_of_other_media_are_the_same_row() -> None:
    """CSV with a header, and one line of JSON."""
    operation = plain({"m": odd()})["paths"]["/predict"]["post"]
    row = media(operation)["examples"]["rows"]["value"]["rows"][0]
    lines = media(operation, "application/jsonlines")["examples"]["lines"]["value"]
    assert json.loads(lines) == row
    table = media(operation, "text/csv")["examples"]["csv"]["value"]
    assert table.splitlines()[1] == "c0,text,x<y,false,1820"
    assert media(operation, "application/vnd.apache.arrow.stream") == {"schema": {}}


@pytest.mark.parametrize(
    ("changed", "taken"),
    [
        ({}, True),
        ({"age": 500.0}, True),
        ({"age": None}, True),
        ({"job": "never seen"}, True),
        ({"hours": 2.0}, True),
        ({"hours": 2**63 - 1}, True),
        ({"hours": -(2**63) - 1}, False),
        ({"hours": None}, False),
        ({"hours": 2.5}, False),
        ({"hours": "2"}, False),
        ({"hours": True}, False),
        ({"age": "39"}, False),
        ({"age": [39]}, False),
        ({"job": None}, False),
        ({"job": 3}, False),
        ({"job": "x" * 50}, True),
        ({"job": "x" * 51}, False),
        ({"unknown": 1}, False),
    ],
)
def test_the_schema_of_a_row_says_what_the_decoder_does(
    changed: dict[str, Any],
    taken: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Out of range and never seen is taken, with a flag; the limits are those of the server."""
    limits = Limits(rows=2, string_characters=50)
    read = plain({"churn": people()}, limits=limits)
    body = {"rows": [{**ROW, **changed}]}
    assert row_schema(read).is_valid(body) is taken
    decoder = Decoder(people().signature, limits)
    if taken:
        decoder.decode(json.dumps(body).encode())
    else:
        with pytest.raises(FieldError):
            decoder.decode(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ({"rows": [ROW, ROW], "entities": ["a", "b"]}, True),
        ({"columns": {name: [value, value] for name, value in ROW.items()}}, True),
        ({"rows": []}, False),
        ({"rows": [ROW, ROW, ROW]}, False),
        ({"rows": [{"age": 1.0, "hours": 2}]}, False),
        ({"rows": ROW}, False),
        ({"columns": {"age": [1.0], "hours": [2]}}, False),
        ({"rows": [ROW], "columns": {}}, False),
        ({"rows": [ROW], "more": 1}, False),
        ({"rows": [ROW], "entities": [1]}, False),
        ([ROW], False),
        ({}, False),
    ],
)
def test_the_schema_of_a_body_says_what_the_decoder_does(
    body: Any,
    taken: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Forgotten columns, unknown fields, and more rows than the limit."""
    limits = Limits(rows=2)
    read = plain({"churn": people()}, limits=limits)
    assert row_schema(read).is_valid(body) is taken
    decoder = Decoder(people().signature, limits)
    if taken:
        decoder.decode(json.dumps(body).encode())
    else:
        with pytest.raises((FieldError, TooLargeError)):
            decoder.decode(json.dumps(body).encode())


def test_columns_are_described_in_words_and_types() -> None:
    """Ranges and categories are words beside an open type; long lists of categories are counted."""
    properties = one()["components"]["schemas"]["churn.Row"]["properties"]
    assert properties["age"]["type"] == ["number", "null"]
    assert "18 to 80" in properties["age"]["description"]
    assert "minimum" not in properties["age"]
    assert properties["hours"]["type"] == "integer"
    assert {"enum": ["clerk", "nurse", "smith"]} in properties["job"]["anyOf"]
    assert "new_category" in properties["job"]["description"]
    many = plain({"m": odd()})["components"]["schemas"]["m.Row"]["properties"]
    script = many['<script>alert("1")</script>']
    assert script["type"] == ["string", "null"]
    assert "80 known categories" in script["description"]
    assert {"type": "null"} in many["a'b\"c&d"]["anyOf"]


def test_answers_are_described_by_the_outputs() -> None:
    """Labels in the user's words and types, probabilities by word, or a value."""
    schemas = one()["components"]["schemas"]
    prediction = schemas["churn.Prediction"]["properties"]
    assert prediction["label"]["enum"] == ["no", "yes"]
    assert "0.5" in prediction["label"]["description"]
    assert prediction["probabilities"]["required"] == ["no", "yes"]
    mixed = plain({"m": odd()})["components"]["schemas"]["m.Prediction"]["properties"]
    assert mixed["label"]["enum"] == [True, 1, "x'\"</p>"]
    assert mixed["probabilities"]["required"] == ["true", "1", "x'\"</p>"]
    value = plain({"m": numbers()})["components"]["schemas"]["m.Prediction"]
    assert value["required"] == ["id", "value"]


def test_statuses_are_those_that_can_come() -> None:
    """A prediction can end in more ways than a look; keys add two more."""
    paths = one()["paths"]
    predict = {"200", "400", "404", "406", "408", "413", "415", "422", "429", "431"}
    assert paths["/predict"]["post"]["responses"].keys() == predict | {"500", "503", "504"}
    assert paths["/version"]["get"]["responses"].keys() == {"200", "408", "431", "500", "503"}
    secured = plain({"churn": people()}, secured=True)
    assert secured["security"] == [{"bearer": []}, {"header": []}]
    assert {"401", "403", "429"} <= secured["paths"]["/version"]["get"]["responses"].keys()
    assert "retry-after" in secured["components"]["responses"]["429"]["headers"]


def test_several_models_have_paths_by_name_only() -> None:
    """As the server has; odd names are escaped, and schemas with like names stay apart."""
    models = {"churn": people(), "a b": numbers(), "a_b": odd()}
    read = plain(models)
    assert "/predict" not in read["paths"]
    assert "/invocations" not in read["paths"]
    named = [path for path in read["paths"] if path.startswith("/predict/")]
    assert named == ["/predict/churn", "/predict/a%20b", "/predict/a_b"]
    rows = [name for name in read["components"]["schemas"] if name.endswith(".Row")]
    assert len(rows) == 3
    assert "/v2/models/a%20b/versions/{version}/infer" in read["paths"]
    (path,) = plain({ODD_NAME: odd()})["paths"].keys() & {
        "/predict/%C3%BCber%20%3Cb%3E%7Bmich%7D%3C%2Fb%3E%2Fx"
    }
    assert unquote(path) == f"/predict/{ODD_NAME}"


def test_a_platforms_routes_are_documented_in_its_own_form() -> None:
    """Instances for Vertex AI, input_data for Azure ML, GET for health."""
    paths = plain({"churn": people()}, routes=ROUTES)["paths"]
    assert paths["/v1/endpoints/1"].keys() == {"get"}
    vertex = media(paths["/v1/endpoints/1:predict"]["post"])["examples"]
    assert list(vertex) == ["instances"]
    assert "input_data" in media(paths["/score"]["post"])["examples"]
    assert "dataframe_split" in media(paths["/invocations"]["post"])["examples"]
    own = plain({"churn": people()}, routes={"/predict": "vertex"})["paths"]["/predict"]
    assert list(media(own["post"])["examples"]) == ["instances"]


def test_a_path_that_the_server_does_not_have_is_left_out() -> None:
    """It is asked about each, with the version in its place."""
    asked: list[str] = []

    def routed(path: str) -> bool:
        asked.append(path)
        return not path.endswith(("/stats", "/labels"))

    paths = plain({"churn": people()}, routed=routed)["paths"]
    assert "/v2/models/churn/versions/3/infer" in asked
    assert "/labels" in asked
    assert "/labels" not in paths
    assert "/v2/models/churn/versions/{version}/infer" in paths
    assert not [path for path in paths if path.endswith("/stats")]


def test_an_example_can_be_given() -> None:
    """Such as the bundle's own golden row."""
    row = {"age": None, "hours": 11, "job": "smith"}
    read = plain({"churn": people()}, rows={"churn": row})
    assert media(read["paths"]["/predict"]["post"])["examples"]["rows"]["value"] == {"rows": [row]}
    assert read["components"]["schemas"]["churn.Row"]["examples"] == [row]


@pytest.mark.parametrize(
    ("low", "high", "number", "integer"),
    [
        (18.0, 80.0, 49.0, 49),
        (0.12345, 0.12346, 0.123455, 1),
        (1 / 3, 1 / 3, 1 / 3, 1),
        (-5.0, -4.0, -4.5, -5),
        (-1.7e308, 1.7e308, 0.0, 0),
        (None, None, 0.0, 0),
        (7.0, None, 7.0, 7),
    ],
)
def test_an_example_lies_in_the_range(
    low: float | None, high: float | None, number: float, integer: int
) -> None:
    """Three digits where that is inside; whole where the column is."""
    kinds = {"number": number, "integer": integer}
    for kind, expected in kinds.items():
        column = Column(name="x", kind=kind, low=low, high=high)  # type: ignore[arg-type]
        value = example_row(Signature(task="regression", columns=(column,)))["x"]
        assert math.isclose(value, expected)
        assert isinstance(value, int if kind == "integer" else float)


def test_a_real_server_answers_every_example(server: ServerHandle) -> None:
    """Each path that it has takes each of its examples, and gives what the schema says."""
    models = {"churn": people(), "numbers": Described(two_numbers(), 1, "")}
    answered = set()
    with server.client() as client:
        read = plain(models, routed=lambda path: b"nothing at" not in client.get(path).body)
        for path, method, operation in operations(read):
            concrete = path.replace("{version}", "1" if "/numbers/" in path else "3")
            if method == "get":
                assert client.get(concrete).status == 200, path
            for name, example in bodies(operation):
                reply = client.post(concrete, example)
                assert reply.status == 200, (path, name, reply.body)
                answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
                validator(read, answer).validate(reply.json())
                answered.add(path)
    assert {"/predict/churn", "/predict/numbers", "/v2/models/churn/infer"} <= answered


def two_numbers() -> Signature:
    """The signature of the fixture's model ``numbers``."""
    columns = tuple(Column(name=name, kind="number", low=-3, high=3) for name in "ab")
    return Signature(task="binary", columns=columns, classes=(0, 1), positive=1)


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of each example of JSON that an operation takes."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for name, example in content.get("examples", {}).items():
        yield name, example["value"]
