"""A real server and every edge case of an endpoint: never a 5xx, never a NaN, and it serves on."""

from __future__ import annotations

import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.waiting import until

from afterfit.runtime.client import Client
from afterfit.serve.config import ServeConfig
from afterfit.serve.run import ServedBundle, start_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from afterfit.runtime.client import HttpReply
    from afterfit.serve.run import ServerHandle

GOOD: dict[str, Any] = {"age": 39.5, "hours": 40, "job": "nurse"}
INFER = "/v2/models/numbers/infer"


@pytest.fixture
def client(server: ServerHandle) -> Iterator[Client]:
    """A client whose server must still answer well when the test has ended."""
    with server.client() as client:
        yield client
        after = client.post("/predict/churn", {"rows": [GOOD]})
        assert after.status == 200


def send(client: Client, body: str | bytes, path: str = "/predict/churn") -> HttpReply:
    """The answer to a raw body, which is strict JSON and tells nothing of the inside."""
    data = body.encode() if isinstance(body, str) else body
    reply = client.request("POST", path, data)
    text = reply.body.decode()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in an answer"))
    assert "Traceback" not in text
    assert ".py" not in text
    return reply


def row(**changes: Any) -> str:
    """A body of one good row with some fields changed."""
    return json.dumps({"rows": [{**GOOD, **changes}]})


def tensor(data: Any, shape: list[int], **other: Any) -> str:
    """A body of one tensor ``input``."""
    given = {"name": "input", "datatype": "FP64", "shape": shape, "data": data, **other}
    return json.dumps({"inputs": [given]})


def test_a_prediction_has_ids_labels_and_probabilities_by_class(client: Client) -> None:
    """With the name, number and digest of what answered."""
    document = send(client, row()).json()
    (prediction,) = document["predictions"]
    assert (document["model"], document["version"], len(document["digest"])) == ("churn", 3, 64)
    assert prediction["label"] in prediction["probabilities"]
    assert math.isclose(sum(prediction["probabilities"].values()), 1)
    assert len(prediction["id"]) == 36


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ("{}", 422, "$"),
        ("", 400, "empty"),
        ("{", 400, "JSON"),
        (b"\xff\xfe\x00", 400, "JSON"),
        ("[" * 50_000, 400, "deep"),
        ('{"rows":[]}', 422, "$.rows"),
        ('{"rows":"x"}', 422, "$.rows"),
        (row(extra=1), 422, "$.rows[0].extra"),
        ('{"rows":[{"age":1}]}', 422, "$.rows[0].hours"),
        (row(age="NaN"), 422, "$.rows[0].age"),
        ('{"rows":[{"age":NaN,"hours":1,"job":"x"}]}', 422, "$.rows[0].age"),
        ('{"rows":[{"age":1e309,"hours":1,"job":"x"}]}', 422, "$.rows[0].age"),
        (row(hours=2**63), 422, "$.rows[0].hours"),
        (row(hours=None), 422, "$.rows[0].hours"),
        (row(job="x" * 20_000), 422, "$.rows[0].job"),
        (json.dumps({"rows": [GOOD] * 51}), 413, "rows"),
        ("x" * 200_000, 413, "bytes"),
    ],
)
def test_a_bad_body_is_a_4xx_that_names_the_field(
    client: Client, body: str, status: int, named: str
) -> None:
    """The message of ``error`` has the path."""
    reply = send(client, body)
    assert reply.status == status
    assert named in reply.json()["error"]


def test_each_wrong_field_is_listed_with_its_path(client: Client) -> None:
    """``fields`` has path and message of every one."""
    fields = send(client, row(age="x", job=1)).json()["fields"]
    assert [field["path"] for field in fields] == ["$.rows[0].age", "$.rows[0].job"]


@pytest.mark.parametrize(
    "changes",
    [
        {"age": None},
        {"age": 17.0},
        {"age": -0.0},
        {"age": 5e-324},
        {"age": 1.7e308},
        {"age": -1.7e308},
        {"age": 16777217},
        {"hours": 2**63 - 1},
        {"hours": -(2**63)},
        {"hours": 40.0},
        {"job": ""},
        {"job": " nurse "},
        {"job": "NURSE"},
        {"job": "infirmière"},
        {"job": "infirmie\u0300re"},
        {"job": "\u202egnirob"},
        {"job": "👩\u200d⚕️"},
        {"job": "a\u0000b"},
        {"job": "x" * 10_000},
    ],
)
def test_an_extreme_value_gets_a_finite_answer(client: Client, changes: dict[str, Any]) -> None:
    """Within the types nothing is refused, and the probabilities stay probabilities."""
    reply = send(client, row(**changes))
    assert reply.status == 200
    chances = reply.json()["predictions"][0]["probabilities"].values()
    assert all(0 <= chance <= 1 for chance in chances)


def test_one_row_or_many_and_in_any_order_is_the_same(client: Client) -> None:
    """A batch, its permutation, permuted columns and single rows agree."""
    rows = [{**GOOD, "age": 20 + n, "hours": 10 + n} for n in range(20)]

    def chances(some: list[dict[str, Any]]) -> list[float]:
        answers = send(client, json.dumps({"rows": some})).json()["predictions"]
        return [answer["probabilities"]["yes"] for answer in answers]

    whole = chances(rows)
    assert chances(rows[::-1])[::-1] == pytest.approx(whole, abs=1e-12)
    assert [chances([one])[0] for one in rows] == pytest.approx(whole, abs=1e-12)
    shuffled = [dict(reversed(one.items())) for one in rows]
    assert chances(shuffled) == pytest.approx(whole, abs=1e-12)


def test_many_clients_at_once_get_their_own_answers(server: ServerHandle) -> None:
    """Each of eight connections sees the answer to its own row, and its own request id."""

    def ask(number: int) -> bool:
        body = json.dumps({"rows": [{**GOOD, "age": 20 + number}]}).encode()
        with Client(server.url) as one:
            replies = [
                one.request("POST", "/predict/churn", body, x_request_id=f"c{number}")
                for _ in range(20)
            ]
        ids = {reply.headers["x-request-id"] for reply in replies}
        answers = {reply.json()["predictions"][0]["probabilities"]["yes"] for reply in replies}
        return ids == {f"c{number}"} and len(answers) == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/predict", 404),
        ("POST", "/predict/nobody", 404),
        ("GET", "/predict/churn", 405),
        ("DELETE", "/v2/models/churn", 405),
        ("POST", "/metrics", 405),
        ("HEAD", "/v2/health/live", 200),
        ("GET", "/v2/models/churn/versions/3/ready", 200),
        ("GET", "/v2/models/churn/versions/4", 404),
        ("GET", "/v2/models/nobody/ready", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
    ],
)
def test_paths_and_methods_that_do_not_exist(
    client: Client, method: str, path: str, status: int
) -> None:
    """404 and 405 with ``error``; 405 says what is allowed."""
    reply = client.request(method, path, b"{}" if method == "POST" else None)
    assert reply.status == status
    if status == 405:
        assert reply.headers["allow"]


def test_any_content_type_is_taken_but_another_charset_is_not(client: Client) -> None:
    """Curl sends a form's type; a charset that contradicts JSON is a 415."""
    body = row().encode()
    for kind in ("application/x-www-form-urlencoded", "text/plain; charset=UTF-8", ""):
        assert client.request("POST", "/predict/churn", body, content_type=kind).status == 200
    kind = "application/json; charset=utf-16"
    assert client.request("POST", "/predict/churn", body, content_type=kind).status == 415


def test_a_client_that_leaves_in_the_middle_does_no_harm(
    client: Client, server: ServerHandle
) -> None:
    """Half a request, then silence and a reset."""
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"POST /predict/churn HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{")
    assert send(client, row()).status == 200


# The Open Inference Protocol.


def test_the_protocol_describes_server_and_models(client: Client) -> None:
    """Numbers alone are one tensor; anything else is one tensor a column."""
    assert client.get("/v2").json()["name"] == "afterfit"
    assert client.get("/v2/health/ready").status == 200
    numbers = client.get("/v2/models/numbers").json()
    assert numbers["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}]
    assert [output["datatype"] for output in numbers["outputs"]] == ["INT64", "FP64"]
    churn = client.get("/v2/models/churn").json()
    assert [i["datatype"] for i in churn["inputs"]] == ["FP64", "INT64", "BYTES"]
    assert churn["versions"] == ["3"]


def test_infer_takes_flat_and_nested_data_and_one_tensor_a_column(client: Client) -> None:
    """All three ways give the same answer."""
    flat = send(client, tensor([1, 2, 3, 4], [2, 2]), INFER).json()["outputs"]
    nested = send(client, tensor([[1, 2], [3, 4]], [2, 2], datatype="FP32"), INFER).json()
    columns = [
        {"name": "a", "datatype": "FP64", "shape": [2], "data": [1, 3]},
        {"name": "b", "datatype": "INT64", "shape": [2, 1], "data": [2, 4]},
    ]
    apart = send(client, json.dumps({"inputs": columns}), INFER).json()
    assert flat == nested["outputs"] == apart["outputs"]
    assert [(o["name"], o["shape"]) for o in flat] == [("label", [2]), ("probabilities", [2, 2])]


def test_infer_echoes_the_id_and_filters_the_outputs(client: Client) -> None:
    """``id`` comes back only where it was given; outputs in the order asked."""
    body = json.loads(tensor([1, 2], [1, 2])) | {"id": "q7", "outputs": [{"name": "label"}]}
    document = send(client, json.dumps(body), INFER).json()
    assert (document["id"], document["model_version"]) == ("q7", "1")
    assert [output["name"] for output in document["outputs"]] == ["label"]
    assert "id" not in send(client, tensor([1, 2], [1, 2]), INFER).json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{}", 400),
        ('{"inputs":[]}', 422),
        (tensor([1, 2, 3], [2, 2]), 400),
        (tensor([1, 2, 3], [1, 3]), 400),
        (tensor([[1], [2, 3]], [2, 2]), 400),
        (tensor([1, 2], [-1, 2]), 400),
        (tensor([1, 2], [1, 2], datatype="FP8"), 400),
        (tensor(["1", "2"], [1, 2], datatype="BYTES"), 400),
        (tensor([1, 2], [1, 2], name="other"), 400),
        (tensor(["1", 2], [1, 2]), 422),
        (tensor([None, 2], [1, 2]), 422),
        (tensor([[[1]], 2], [1, 2]), 422),
        ('{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[NaN,1]}]}', 422),
        (json.dumps(json.loads(tensor([1, 2], [1, 2])) | {"outputs": [{"name": "x"}]}), 400),
        (tensor(list(range(200)), [100, 2]), 413),
    ],
)
def test_infer_refuses_what_does_not_fit(client: Client, body: str, status: int) -> None:
    """400 for the protocol, 422 for values, always with ``error``."""
    reply = send(client, body, INFER)
    assert reply.status == status, reply.body
    assert reply.json()["error"]


@pytest.mark.parametrize("length", ["3", "99999", "-1", "two", "9" * 30])
def test_a_wrong_length_of_the_json_is_refused(client: Client, length: str) -> None:
    """Before raw tensors the header tells how long the JSON is; what it cannot be is a 400."""
    reply = client.request("POST", INFER, b"{}", inference_header_content_length=length)
    assert reply.status == 400
    assert reply.json()["error"]


# What it tells of itself.


def test_version_tells_the_digest_of_each_model(client: Client) -> None:
    """And that its golden rows were checked."""
    models = client.get("/version").json()["models"]
    assert set(models) == {"churn", "numbers"}
    assert models["churn"]["version"] == 3
    assert models["churn"]["golden"]["outcome"] == "passed"


def test_metrics_count_requests_rows_and_flags(tmp_path: Path) -> None:
    """Prometheus text whose counters grow by what was sent, on a server of its own."""
    bundles = {"churn": ServedBundle(3, people_bundle(tmp_path / "b"), tmp_path / "b")}
    config = ServeConfig(port=0, events=str(tmp_path / "events"))
    names = (
        'afterfit_requests_total{route="predict",status="200"}',
        'afterfit_requests_total{route="predict",status="422"}',
        "afterfit_rows_total",
        'afterfit_rows_flagged_total{flag="missing"}',
        'afterfit_request_seconds_count{route="predict"}',
    )
    with start_server(bundles, config, tmp_path / "s") as server, server.client() as client:

        def sample(name: str) -> float:
            lines = client.get("/metrics").body.decode().splitlines()
            found = (line.rsplit(" ", 1)[1] for line in lines if line.startswith(name))
            return float(next(found, 0))

        send(client, json.dumps({"rows": [GOOD, {**GOOD, "age": None}]}))
        send(client, "{}")
        # Flags are counted off the request path, so they come a moment later.
        until(lambda: [sample(name) for name in names] == [1, 1, 2, 1, 2])
        assert sample("afterfit_model_info{") == 1
