"""The server's handler behind an HTTP server of somebody else, by the messages of ASGI."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.errors import IntegrityError, UsageError
from afterfit.runtime.alone import Alone
from afterfit.runtime.asgi import AsgiApp
from afterfit.runtime.endpoint import Endpoint, ModelRoute
from afterfit.runtime.key_file import add_key, encode_key_file, new_key_file
from afterfit.runtime.messages import HttpLimits, Reply, Request, Response
from afterfit.runtime.platform import EVERY_SERVER
from afterfit.runtime.predict import load_bundle
from afterfit.runtime.settings import WorkerSettings
from afterfit.runtime.worker import WATCH_SECONDS

ROW = {"age": 39.5, "hours": 40, "job": "nurse"}
SETTINGS = WorkerSettings(
    routes={**EVERY_SERVER, "/health": "health"}, http=HttpLimits(body_bytes=4096)
)
Headers = tuple[tuple[bytes, bytes], ...]
RUN = asyncio.Runner().run
"""One event loop for all, as a process has one."""


def scope(method: str, path: str, headers: Headers = (), **more: Any) -> dict[str, Any]:
    """What an HTTP server tells of a request."""
    told = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    return {**told, "query_string": b"", **more}


async def exchanged(
    app: Any, told: dict[str, Any], pieces: tuple[bytes, ...] = (b"",)
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request whose body comes in pieces."""
    left, sent = list(pieces), []

    async def receive() -> dict[str, Any]:
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(told, receive, send)
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, body["body"]


def asked(
    app: Any, method: str, path: str, body: Any = b"", headers: Headers = (), **more: Any
) -> tuple[int, dict[str, str], bytes]:
    """The answer to one request; a body that is no bytes goes as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RUN(exchanged(app, scope(method, path, headers, **more), (data,)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle."""
    found: Path = tmp_path_factory.mktemp("asgi") / "bundle"
    people_bundle(found)
    return found


def opened(folder: Path, settings: WorkerSettings = SETTINGS) -> Alone:
    """The bundle under the name churn, as version 3."""
    digest = load_bundle(folder).digest
    endpoint = Endpoint(
        name="e", models={"churn": ModelRoute(primary=digest, versions={digest: 3})}
    )
    return Alone(settings, endpoint, {digest: str(folder)}, "w")


@pytest.fixture
def alone(folder: Path) -> Iterator[Alone]:
    """A process of its own, as it were."""
    found = opened(folder)
    yield found
    found.close()


def test_it_answers_with_the_models_own_numbers(alone: Alone, folder: Path) -> None:
    """By name, version and digest; and whatever the server answers elsewhere it answers here."""
    status, headers, body = asked(alone.asgi, "POST", "/predict", {"rows": [ROW, ROW]})
    told = json.loads(body)
    expected = load_bundle(folder).predict(alone.service.models["churn"].decoder.from_rows([ROW]))
    assert expected.probabilities is not None
    assert (status, told["version"], told["digest"]) == (200, 3, load_bundle(folder).digest)
    assert headers["content-length"] == str(len(body))
    assert headers["server-timing"].startswith("parse;dur=")
    for row in told["predictions"]:
        assert list(row["probabilities"].values()) == expected.probabilities[0].tolist()
    for path in ("/health", "/ping", "/v2/health/ready", "/openapi.json", "/metrics", "/version"):
        assert asked(alone.asgi, "GET", path)[0] == 200
    head = asked(alone.asgi, "HEAD", "/version")
    assert (head[2], head[1]["content-length"] != "0") == (b"", True)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"rows": [{**ROW, "age": "old"}]}, 422, "$.rows[0].age"),
        ({"rows": [{"age": 3, "job": "nurse"}]}, 422, "$.rows[0].hours"),
        (b"{", 400, "JSON"),
        (b"x" * 4097, 413, "larger than 4096 bytes"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(
    alone: Alone, body: Any, status: int, words: str
) -> None:
    """With the status that the server has for it."""
    found = asked(alone.asgi, "POST", "/predict", body)
    assert (found[0], words in found[2].decode()) == (status, True), found[2]


def test_a_body_is_bounded_however_it_comes(alone: Alone) -> None:
    """In pieces, declared, or as a small one that is large when it is inflated."""
    path = scope("POST", "/predict")
    many = RUN(exchanged(alone.asgi, path, (b"x" * 1000,) * 9))
    declared = asked(alone.asgi, "POST", "/predict", b"", ((b"content-length", b"5000"),))
    bomb = gzip.compress(b" " * 100_000)
    inflated = asked(alone.asgi, "POST", "/predict", bomb, ((b"content-encoding", b"gzip"),))
    assert [each[0] for each in (many, declared, inflated)] == [413, 413, 413]
    rows = gzip.compress(json.dumps({"rows": [ROW]}).encode())
    assert asked(alone.asgi, "POST", "/predict", rows, ((b"content-encoding", b"gzip"),))[0] == 200


def test_paths_below_a_root_and_with_escapes_are_found(alone: Alone) -> None:
    """As whoever mounts an application tells its place, with the path as it was sent or decoded."""
    for more in (
        {"root_path": "/team", "raw_path": b"/team/predict/churn"},
        {"raw_path": b"/predict/ch%75rn"},
    ):
        assert asked(alone.asgi, "POST", "/x", {"rows": [ROW]}, **more)[0] == 200
    assert asked(alone.asgi, "POST", "/predict/ch urn", {"rows": [ROW]})[0] == 404


def test_keys_are_asked_for_and_read_anew(folder: Path, tmp_path: Path) -> None:
    """As by the server itself."""
    from msgspec.structs import replace

    keys = tmp_path / "keys.json"
    made = add_key(new_key_file(), "me", ("predict",))
    keys.touch(mode=0o600)
    keys.write_bytes(encode_key_file(new_key_file()))
    found = opened(folder, replace(SETTINGS, keys=str(keys)))
    bearer = ((b"authorization", f"Bearer {made.text}".encode()),)

    async def statuses() -> list[int]:
        watch = asyncio.ensure_future(found.watch())
        seen = []
        for name, data in (("before", b""), ("after", encode_key_file(made.file))):
            if data:
                keys.with_name(name).write_bytes(data)
                keys.with_name(name).chmod(0o600)
                keys.with_name(name).replace(keys)
                await asyncio.sleep(1.2 * WATCH_SECONDS)
            for headers in ((), bearer):
                told, body = scope("POST", "/predict", headers), json.dumps({"rows": [ROW]})
                seen.append((await exchanged(found.asgi, told, (body.encode(),)))[0])
        watch.cancel()
        return seen

    assert RUN(statuses()) == [401, 401, 401, 200]
    found.close()


def test_a_damaged_bundle_does_not_open(tmp_path: Path) -> None:
    """Every byte is verified; and a document without models means nothing."""
    people_bundle(tmp_path / "bundle")
    digest = load_bundle(tmp_path / "bundle").digest
    path = tmp_path / "bundle" / "signature.json"
    path.write_bytes(path.read_bytes() + b" ")
    endpoint = Endpoint(name="e", models={"churn": ModelRoute(primary=digest)})
    with pytest.raises(IntegrityError, match=r"signature\.json"):
        Alone(SETTINGS, endpoint, {digest: str(tmp_path / "bundle")}, "w")
    with pytest.raises(UsageError, match="at least one model"):
        Alone(SETTINGS, Endpoint(name="e"), {}, "w")


def test_a_defect_is_a_500_that_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """At once or later; the log has the trace under the same request id."""

    def wrong(_: Request) -> Response:
        raise ZeroDivisionError("secret")

    async def later(request: Request) -> Response:
        return wrong(request)

    for handler in (wrong, later):
        status, headers, body = asked(AsgiApp(handler), "GET", "/")
        assert (status, b"secret" in body) == (500, False)
        assert headers["x-request-id"] in capsys.readouterr().err


def test_a_client_that_goes_is_worked_for_no_longer() -> None:
    """Before its body is whole nothing happens; while it waits its reply is abandoned."""
    replies: list[Reply] = []

    def handler(_: Request) -> Reply:
        replies.append(Reply())
        return replies[-1]

    async def gone() -> None:
        sent = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await AsgiApp(handler)(scope("POST", "/"), receive, send)
        assert (sent, replies) == ([], [])
        waiting = asyncio.ensure_future(exchanged(AsgiApp(handler), scope("POST", "/")))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert replies[0].abandoned

    RUN(gone())


def test_it_takes_part_in_starting_and_ending_and_takes_no_websocket() -> None:
    """As the specification asks of an application."""

    async def lived() -> list[str]:
        left = ["lifespan.startup", "lifespan.shutdown"]
        sent: list[str] = []

        async def receive() -> dict[str, Any]:
            return {"type": left.pop(0)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        app = AsgiApp(lambda _: Response(200))
        await app({"type": "lifespan"}, receive, send)
        await app({"type": "websocket"}, receive, send)
        return sent

    seen = RUN(lived())
    assert seen == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
