"""A model with a name, columns and classes of quotes, markup and other alphabets is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.runtime.hostile.odd import ODD_NAME, odd_bundle, odd_frame

from afterfit.runtime.decode import Limits
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, ServerHandle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(rows=7, string_characters=5_000, body_bytes=100_000)


@pytest.fixture(scope="module")
def odd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerHandle]:
    """A server of the odd model alone."""
    folder = tmp_path_factory.mktemp("odd")
    bundle = ServedBundle(4, odd_bundle(folder / "bundle"), folder / "bundle")
    config = ServeConfig(port=0, limits=LIMITS, events=str(folder / "events"))
    with start_server({ODD_NAME: bundle}, config, folder / "state") as handle:
        yield handle


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of plain values."""
    columns = {name: values.tolist() for name, values in odd_frame(count).items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_rows_and_columns_by_odd_names_are_answered_alike(odd_server: ServerHandle) -> None:
    """At ``/predict``, by the model's name, and a class of each type comes back as it is."""
    columns = {name: values.tolist() for name, values in odd_frame(7).items()}
    with odd_server.client() as client:
        answers = [
            client.post(path, body).json()
            for path in ("/predict", f"/predict/{quote(ODD_NAME, safe='')}")
            for body in ({"rows": rows(7)}, {"columns": columns})
        ]
    assert {answer["model"] for answer in answers} == {ODD_NAME}
    told = [
        [(row["label"], row["probabilities"]) for row in answer["predictions"]]
        for answer in answers
    ]
    assert all(each == told[0] for each in told)
    assert list(told[0][0][1]) == ["true", "1", "x'\"</p>"]


def test_a_wrong_field_is_named_as_it_is(odd_server: ServerHandle) -> None:
    """The path of the error has the column's own name."""
    (row,) = rows(1)
    script = next(iter(row))
    with odd_server.client() as client:
        reply = client.post("/predict", {"rows": [{**row, script: 3}]})
    assert reply.status == 422
    assert reply.json()["fields"][0]["path"] == f"$.rows[0].{script}"


def test_tensors_by_odd_names_are_answered(odd_server: ServerHandle) -> None:
    """At the percent-encoded path of the protocol; classes of several types are BYTES."""
    kinds = dict(zip(rows(1)[0], ("BYTES", "BYTES", "BYTES", "BOOL", "INT64"), strict=True))
    inputs = [
        {"name": name, "datatype": kinds[name], "shape": [2], "data": values.tolist()}
        for name, values in odd_frame(2).items()
    ]
    with odd_server.client() as client:
        path = f"/v2/models/{quote(ODD_NAME, safe='')}/versions/4/infer"
        reply = client.post(path, {"inputs": inputs})
    assert reply.status == 200
    label, chances = reply.json()["outputs"]
    assert label["datatype"] == "BYTES"
    assert chances["shape"] == [2, 3]


def test_the_document_tells_the_limits_that_hold(odd_server: ServerHandle) -> None:
    """So many rows and characters are taken as it says, and one more is refused."""
    with odd_server.client() as client:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        most = next(s["maxItems"] for name, s in schemas.items() if name.endswith(".Rows"))
        assert most == LIMITS.rows
        assert client.post("/predict", {"rows": rows(most)}).status == 200
        assert client.post("/predict", {"rows": rows(most + 1)}).status == 413
    row = next(schema for name, schema in schemas.items() if name.endswith(".Row"))
    text = row["properties"]["größe / ~1 %7B 東京"]
    assert text["maxLength"] == LIMITS.string_characters
