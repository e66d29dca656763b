"""Targets: what a server is asked, what is expected of it, and what is refused before any load."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from afterfit.core.dataset import Dataset
from afterfit.core.signature import Column, Signature
from afterfit.core.wire.client import Sent
from afterfit.core.wire.tensors import Tensor
from afterfit.errors import InputError, UnavailableError, UsageError
from afterfit.loadtest.bodies import tensor_request
from afterfit.loadtest.engine.check import Checker
from afterfit.loadtest.quiet import expectation
from afterfit.loadtest.target import Ask, target_of

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Dataset(
    frame={"age": np.array([30.0, 41.0, 52.0]), "city": np.array(["a", "b", None], object)}
)
SIGNATURE = Signature(
    task="regression",
    columns=(
        Column(name="age", kind="number"),
        Column(name="city", kind="category", nullable=True),
    ),
)
METADATA = {
    "name": "m",
    "platform": "test",
    "inputs": [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "city", "datatype": "BYTES", "shape": [-1]},
    ],
    "outputs": [{"name": "value", "datatype": "FP64", "shape": [-1]}],
}


def serving(respond: Callable[[str, bytes], tuple[int, Any]]) -> Callable[..., Any]:
    """Return a handler of connections that answers with JSON, from the request line and body."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0] or 0)
            status, document = respond(head.decode(), await reader.readexactly(length))
            body = json.dumps(document).encode()
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )

    return handle


def predict(_head: str, body: bytes) -> tuple[int, Any]:
    """Answer as our own server does, with an id of each answer."""
    rows = json.loads(body)["rows"]
    return 200, {
        "model": "m",
        "predictions": [{"id": str(uuid.uuid4()), "value": row["age"]} for row in rows],
    }


def test_our_own_server_gets_the_users_rows_and_its_answers_are_expected(
    server: Callable[..., Any],
) -> None:
    """Two rows a request; the ids are cut out, and headers are shown to nobody."""
    key = "secret-key"
    with server(serving(predict)) as url:
        target = target_of(
            url,
            Ask(rows=2, distinct=9),
            data=DATA,
            signature=SIGNATURE,
            headers=[("Authorization", key)],
        )
    assert (target.protocol, target.route, target.rows) == ("afterfit", "/predict", 2)
    assert len(target.requests) == len(target.expected) == 1
    body = json.loads(target.requests[0].partition(b"\r\n\r\n")[2])
    assert {row["age"] for row in body["rows"]} <= {30.0, 41.0, 52.0}
    assert key.encode() in target.requests[0]
    assert key not in repr(target)
    found: list[int] = []
    checker = Checker(target.expected, target.volatile.encode(), lambda n, _r, _b: found.append(n))
    other = json.loads(target.expected[0])
    for each in other["predictions"]:
        each["id"] = str(uuid.uuid4())
    assert checker.number(0, json.dumps(other).encode()) == 0
    other["predictions"].reverse()
    mixed = json.dumps(other).encode()
    assert [checker.number(0, mixed) for _ in range(3)] == [1, 1, 1]
    assert found == [1]
    assert target.wrong is not None
    assert target.wrong(0, mixed)


def test_rounding_is_no_wrong_answer_and_a_length_that_differs_is() -> None:
    """Floats up to rounding, other labels of other lengths, garbage, and an answer too many."""
    sent = (Sent("POST", "/"),)
    answer = b'{"predictions":[{"id":"aa","label":"yes","probabilities":{"yes":0.75}}]}'
    found = expectation(sent, (answer,), [answer.replace(b"aa", b"bb")])
    for right in (b'{"id":"c","label":"yes","probabilities":{"yes":0.75000001}}',):
        assert not found.judge(0, b'{"predictions":[' + right + b"]}")
    wrong = (
        b'{"predictions":[{"id":"c","label":"no","probabilities":{"yes":0.75}}]}',
        b'{"predictions":[{"id":"c","label":"yes","probabilities":{"yes":0.74}}]}',
        b'{"predictions":[]}',
        b"garbage",
        b"",
    )
    assert all(found.judge(0, each) for each in wrong)


def test_what_moves_without_being_a_prediction_is_learnt() -> None:
    """A nonce is left out and told; a prediction that moves makes answers incomparable."""
    sent = (Sent("POST", "/"),)
    nonce = expectation(sent, (b'{"v":1,"nonce":"x"}',), [b'{"v":1,"nonce":"y"}'])
    assert nonce.expected
    assert not nonce.judge(0, b'{"v":1,"nonce":"z"}')
    assert nonce.judge(0, b'{"v":2,"nonce":"x"}')
    assert "nonce" in nonce.notes[0]
    checker = Checker(nonce.expected, nonce.volatile.encode(), lambda *_: None)
    assert checker.number(0, b'{"v":1,"nonce":"longer"}') == 0
    moving = expectation(sent, (b'{"v":1}',), [b'{"v":2}'])
    assert moving.expected == ()
    assert "not compared" in moving.notes[0]
    # A model that predicts seconds: the only field there is has the name of a time.
    timed = expectation(sent, (b'{"seconds":1.5}',), [b'{"seconds":1.5}'])
    assert timed.judge(0, b'{"seconds":2.5}')


def test_raw_tensors_are_compared_up_to_rounding() -> None:
    """The JSON in front of the bytes tells how to read them."""

    def answer(value: float) -> bytes:
        tensors = [Tensor("value", "FP64", (1,), (value,))]
        return tensor_request("/", tensors, {}, binary=True).body.replace(b"inputs", b"outputs")

    found = expectation((Sent("POST", "/"),), (answer(1.5),), [answer(1.5)])
    assert not found.judge(0, answer(1.5 + 1e-9))
    assert found.judge(0, answer(1.6))


@pytest.mark.parametrize("binary", [False, True])
def test_the_open_inference_protocol_gets_tensors_by_its_metadata(
    server: Callable[..., Any], *, binary: bool
) -> None:
    """Columns of the data become the inputs of their names; without data rows are made up."""

    def respond(head: str, body: bytes) -> tuple[int, Any]:
        path = head.split()[1]
        if path.endswith("/index"):
            return 200, [{"name": "m"}]
        if path == "/v2":
            return 200, {"name": "s", "version": "1", "extensions": []}
        if path == "/v2/models/m":
            return 200, METADATA
        told = head.lower().partition("inference-header-content-length:")[2].split()
        length = int(told[0]) if binary else len(body)
        inputs = {each["name"]: each for each in json.loads(body[:length])["inputs"]}
        rows = inputs["age"]["shape"][0]
        if binary:
            size = inputs["age"]["parameters"]["binary_data_size"]
            data = np.frombuffer(body[length : length + size], "<f8").tolist()
        else:
            data = inputs["age"]["data"]
        output = {"name": "value", "datatype": "FP64", "shape": [rows], "data": data}
        return 200, {"model_name": "m", "outputs": [output]}

    with server(serving(respond)) as url:
        target = target_of(url, Ask(rows=1, distinct=3, binary=binary), data=DATA)
        made_up = target_of(url, Ask(rows=2, distinct=3, binary=binary))
    values = {json.loads(answer)["outputs"][0]["data"][0] for answer in target.expected}
    assert values == {30.0, 41.0, 52.0}
    assert target.route == "/v2/models/m/infer"
    assert len(made_up.requests) == 3
    assert json.loads(made_up.expected[0])["outputs"][0]["shape"] == [2]


def test_any_json_endpoint_gets_its_example_with_rows_of_the_data(
    server: Callable[..., Any],
) -> None:
    """Of the example's form; without data the example itself."""

    def respond(_head: str, body: bytes) -> tuple[int, Any]:
        return 200, [row["age"] for row in json.loads(body)["instances"]]

    example = {"instances": [{"age": 1}]}
    with server(serving(respond)) as url:
        ask = Ask(route="/score", example=example, rows=3, distinct=5)
        target = target_of(url, ask, data=DATA)
        alone = target_of(url, Ask(route="/score", example=example))
        with pytest.raises(InputError, match="the data lacks what the example has: height"):
            target_of(url, Ask(route="/score", example={"height": 1}), data=DATA)
        with pytest.raises(InputError, match="cannot be made from an example of one"):
            target_of(url, Ask(route="/score", example={"age": 1}, rows=2), data=DATA)
    assert sorted(json.loads(target.expected[0])) == [30.0, 41.0, 52.0]
    assert [json.loads(answer) for answer in alone.expected] == [[1]]


def test_expected_answers_of_the_caller_are_held_against_the_quiet_server(
    server: Callable[..., Any],
) -> None:
    """Those of another version are told before any load."""
    asked: dict[str, Any] = {"data": DATA, "signature": SIGNATURE}
    with server(serving(predict)) as url:
        golden = list(target_of(url, **asked).expected)
        assert target_of(url, golden=golden, **asked).expected
        other = [golden[0], golden[1].replace(b"3", b"4").replace(b"4", b"5"), golden[2]]
        with pytest.raises(InputError, match="another answer than the expected one") as caught:
            target_of(url, golden=other, **asked)
        assert caught.value.where == "request 2 of 3"
        with pytest.raises(InputError, match="1 expected answers for 3 requests"):
            target_of(url, golden=golden[:1], **asked)


def test_a_refused_request_shows_what_the_server_says(server: Callable[..., Any]) -> None:
    """422 on the first one ends it; on a few of many it is a note."""

    def refuse(_head: str, body: bytes) -> tuple[int, Any]:
        rows = json.loads(body)["rows"]
        return (422, {"error": "$.rows[0].city is null"}) if rows[0]["city"] is None else (200, 1)

    with server(serving(refuse)) as url:
        target = target_of(url, Ask(seed=2), data=DATA, signature=SIGNATURE)
        with pytest.raises(InputError, match="the server refuses the request") as caught:
            target_of(url, data=DATA.take(slice(2, 3)), signature=SIGNATURE)
    assert "$.rows[0].city is null" in caught.value.why
    assert len(target.requests) == 2
    assert "1 of 3 requests were refused" in target.notes[-1]


def test_what_cannot_be_a_target_is_refused_before_any_load(server: Callable[..., Any]) -> None:
    """Other hosts, no server, no rows, no example, no protocol: each with what to do."""
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (UsageError, "http://example.org", {}),
        (UsageError, "http://10.0.0.1", {"allow_remote": ["10.0.0.2"]}),
        (UsageError, "ftp://127.0.0.1", {}),
        (UnavailableError, "http://127.0.0.1:9", {}),
        (
            InputError,
            "http://127.0.0.1:9",
            {"data": DATA.take(slice(0, 0)), "signature": SIGNATURE},
        ),
        (UsageError, "http://127.0.0.1:9", {"ask": Ask(rows=0)}),
        (UsageError, "http://127.0.0.1:9", {"ask": Ask(route="x")}),
        (UsageError, "http://127.0.0.1:9", {"ask": Ask(route="/x")}),
    ]
    for error, url, options in cases:
        with pytest.raises(error) as caught:
            target_of(url, **options)
        assert getattr(caught.value, "fix", "")
    with (
        server(serving(lambda _head, _body: (404, {}))) as url,
        pytest.raises(UsageError, match="does not say what it takes"),
    ):
        target_of(url)
