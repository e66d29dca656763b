"""Keys and certificates through a real server: who is let in, and what a change of files does."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.runtime.bundles import numbers_bundle, people_bundle
from tests.runtime.certificates import Pair, issue, make_authority
from tests.runtime.hostile.hosting import Hosted, hosted
from tests.runtime.hostile.pipes import converse
from tests.runtime.hostile.test_bodies import GOOD
from tests.runtime.waiting import until

from afterfit.runtime.key_file import (
    KeyFile,
    KeyLimits,
    Role,
    add_key,
    encode_key_file,
    new_key_file,
    revoke_key,
)
from afterfit.runtime.tls import TlsSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELOAD_SECONDS = 3.0
MODELS = {"churn": people_bundle, "numbers": numbers_bundle}
LABELS = {"labels": [{"event_id": "01900000-0000-7000-8000-000000000000", "label": "yes"}]}


class Keys:
    """A file of keys that changes while a server reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: KeyFile = new_key_file()
        self.save()

    def add(self, *roles: Role, **options: Any) -> str:
        """The text of a new key."""
        name = f"k{len(self.file.keys)}"
        self.file, _, text = add_key(self.file, name, roles, **options)
        self.save()
        return text

    def revoke(self, text: str) -> None:
        """Revoke a key."""
        self.file, _ = revoke_key(self.file, text)
        self.save()

    def save(self, data: bytes | None = None) -> None:
        """Write the file beside itself, then in its place."""
        new = self.path.with_name("new")
        new.write_bytes(encode_key_file(self.file) if data is None else data)
        new.chmod(0o600)
        new.replace(self.path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The keys of the server."""
    return Keys(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture(scope="module")
def known(keys: Keys) -> dict[str, str]:
    """A key of each kind."""
    return {
        "none": "",
        "unknown": "af_" + "0" * 12 + "_" + "x" * 43,
        "rubbish": "secret",
        "predict": keys.add("predict"),
        "label": keys.add("label"),
        "admin": keys.add("admin"),
        "all": keys.add("predict", "label", "admin"),
        "numbers only": keys.add("predict", models=("numbers",)),
    }


@pytest.fixture(scope="module")
def server(
    keys: Keys, known: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hosted]:
    """A server with keys, of two models, whose clients may load and unload models."""
    assert known
    folder = tmp_path_factory.mktemp("keyed")
    with hosted(folder, MODELS, keys=str(keys.path), repository_control=True) as found:
        yield found


def ask(server: Hosted, what: str, key: str, header: str = "authorization") -> int:
    """The status of ``METHOD PATH``, with a key."""
    method, path = what.split()
    bodies: dict[str, Any] = {"/predict/churn": json.loads(GOOD), "/labels/churn": LABELS}
    body = json.dumps(bodies[path]).encode() if path in bodies else None
    shown = f"Bearer {key}" if header == "authorization" else key
    with server.handle.client() as client:
        sent = {"content_type": "application/json"} if body else {}
        return client.request(method, path, body, **sent, **({header: shown} if key else {})).status


OPEN = ("GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/churn/ready", "GET /ping")
PREDICT = (
    "POST /predict/churn",
    "GET /v2",
    "GET /v2/models/churn",
    "GET /v2/models/churn/config",
    "GET /v2/models/churn/stats",
    "POST /v2/repository/index",
    "GET /metrics",
    "GET /version",
    "GET /openapi.json",
    "GET /docs",
    "GET /",
)
LABEL = ("POST /labels/churn",)
ADMIN = ("POST /v2/repository/models/churn/load",)
ROLES: dict[str, tuple[str, ...]] = {
    "none": (),
    "unknown": (),
    "rubbish": (),
    "predict": PREDICT,
    "label": LABEL,
    "admin": ADMIN,
    "all": (*PREDICT, *LABEL, *ADMIN),
}


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
@pytest.mark.parametrize("who", ROLES)
def test_each_role_is_let_in_where_it_belongs_and_nowhere_else(
    server: Hosted, known: dict[str, str], who: str, header: str
) -> None:
    """Without a right key 401, with one of another role 403, else 200; health is open to all."""
    for what in OPEN:
        assert ask(server, what, known[who], header) == 200
    for what in (*PREDICT, *LABEL, *ADMIN):
        refused = 401 if who in {"none", "unknown", "rubbish"} else 403
        expected = 200 if what in ROLES[who] else refused
        assert ask(server, what, known[who], header) == expected, what


def test_what_is_not_there_and_what_is_not_allowed_say_no_more_without_a_key(
    server: Hosted, known: dict[str, str]
) -> None:
    """An unknown model is a 401 as well, so that nobody can find out names."""
    assert ask(server, "POST /predict/nobody", "") == 401
    assert ask(server, "GET /v2/models/nobody", "") == 401
    assert ask(server, "GET /v2/models/nobody", known["predict"]) == 404


def test_a_key_for_some_models_is_for_no_other(server: Hosted, known: dict[str, str]) -> None:
    """And not for orders that concern all of them."""
    key = known["numbers only"]
    assert ask(server, "GET /v2/models/numbers", key) == 200
    assert ask(server, "GET /version", key) == 200
    assert ask(server, "POST /predict/churn", key) == 403
    assert ask(server, "GET /v2/models/churn", key) == 403


def test_a_refusal_tells_how_to_ask_and_never_the_key(server: Hosted, keys: Keys) -> None:
    """``www-authenticate``, and an error without a part of the secret; so is the log."""
    text = keys.add("label")
    until(lambda: ask(server, "POST /predict/churn", text) == 403, RELOAD_SECONDS)
    with server.handle.client() as client:
        refused = client.post("/predict/churn", {})
        wrong = client.request("GET", "/version", authorization=f"Bearer {text[:-1]}#")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert wrong.status == 401
    secret = text.split("_", 2)[2]
    assert secret[:8].encode() not in refused.body + wrong.body + server.log.read_bytes()


def test_rates_are_a_429_with_the_seconds_to_wait(server: Hosted, keys: Keys) -> None:
    """Requests and rows are counted apart; a bucket fills again."""
    few = keys.add("predict", limits=KeyLimits(rate=2.0, burst=3.0))
    rows = keys.add("predict", limits=KeyLimits(rows_rate=10.0))
    until(lambda: ask(server, "GET /version", rows) == 200, RELOAD_SECONDS)
    with server.handle.client() as client:
        replies = [client.request("GET", "/version", x_api_key=few) for _ in range(6)]
        assert [reply.status for reply in replies[:3]] == [200, 200, 200]
        assert replies[-1].status == 429
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 2
        until(lambda: client.request("GET", "/version", x_api_key=few).status == 200, 2)
        body = json.dumps({"rows": json.loads(GOOD)["rows"] * 30}).encode()
        taken = client.request("POST", "/predict/churn", body, x_api_key=rows)
        refused = client.request("POST", "/predict/churn", body, x_api_key=rows)
    assert (taken.status, refused.status) == (200, 429)
    assert b"rows/s" in refused.body


def test_keys_change_within_three_seconds_while_requests_go_on(server: Hosted, keys: Keys) -> None:
    """A new one is let in, a revoked one is not; a file that cannot be read changes nothing."""
    text = keys.add("predict")
    until(lambda: ask(server, "GET /version", text) == 200, RELOAD_SECONDS)
    with server.handle.client() as client:
        assert client.request("GET", "/version", x_api_key=text).status == 200
        keys.revoke(text)
        # On the connection that stands, where the key was just found right.
        until(
            lambda: client.request("GET", "/version", x_api_key=text).status == 401, RELOAD_SECONDS
        )
    other = keys.add("predict")
    until(lambda: ask(server, "GET /version", other) == 200, RELOAD_SECONDS)
    keys.save(b"{ no keys")
    until(lambda: bool(server.lines("keys_not_reloaded")), RELOAD_SECONDS)
    assert ask(server, "GET /version", other) == 200
    keys.save()


# Certificates.


@contextmanager
def secured(folder: Path, settings: TlsSettings) -> Iterator[Hosted]:
    """A server with TLS whose handshakes may take a second."""
    with hosted(folder, {"churn": people_bundle}, tls=settings) as found:
        assert found.handle.url.startswith("https://")
        yield found


class Authority:
    """A certificate that signs those of servers and clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pair = make_authority(folder, "authority")

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A client that trusts it, with a certificate of its own where given."""
        context = ssl.create_default_context(cafile=self.pair.cert)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return context

    def issue(self, name: str, **options: Any) -> Pair:
        """A certificate."""
        return issue(self.pair, self.folder, name, **options)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the tests."""
    return Authority(tmp_path_factory.mktemp("authority"))


def predict(server: Hosted, context: ssl.SSLContext) -> int:
    """The status of a prediction on a new connection."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
    try:
        connection.request("POST", "/predict", GOOD, {"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def serial(server: Hosted, context: ssl.SSLContext) -> str:
    """The serial number of the certificate that a new connection gets."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
    connection.connect()
    try:
        assert isinstance(connection.sock, ssl.SSLSocket)
        certificate = connection.sock.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])
    finally:
        connection.close()


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    """One of another authority as well; one that the right authority has signed is let in."""
    own = authority.issue("server")
    stranger = Authority(tmp_path / "strangers")
    settings = TlsSettings(cert=str(own.cert), key=str(own.key), client_ca=str(authority.pair.cert))
    with secured(tmp_path, settings) as server:
        good = authority.client(authority.issue("ana", usage="clientAuth"))
        assert predict(server, good) == 200
        expired = authority.issue("late", usage="clientAuth", days=-1)
        strange = stranger.issue("eve", usage="clientAuth")
        for pair in (None, strange, expired):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                predict(server, authority.client(pair))
        assert predict(server, good) == 200
        assert {line["event"] for line in server.lines()} <= {"ready", "certificate_loaded"}


def test_a_certificate_is_replaced_while_the_server_runs(
    authority: Authority, tmp_path: Path
) -> None:
    """New connections get it within 3 s; one that stands goes on; a bad pair is kept out."""
    first, second = authority.issue("first"), authority.issue("second")
    cert, key = tmp_path / "server.pem", tmp_path / "server.key"
    _put(first, cert, key)
    context = authority.client()
    with secured(tmp_path, TlsSettings(cert=str(cert), key=str(key))) as server:
        before = serial(server, context)
        kept = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=context)
        kept.request("GET", "/v2/health/live")
        assert kept.getresponse().read() == b'{"live":true}'
        _put(second, cert, key)
        until(lambda: serial(server, context) != before, RELOAD_SECONDS)
        after = serial(server, context)
        kept.request("GET", "/v2/health/live")
        assert kept.getresponse().status == 200
        kept.close()
        cert.write_bytes(first.cert.read_bytes())
        until(lambda: bool(server.lines("certificate_not_reloaded")), RELOAD_SECONDS)
        assert serial(server, context) == after


def _put(pair: Pair, cert: Path, key: Path) -> None:
    for source, target in ((pair.cert, cert), (pair.key, key)):
        new = target.with_suffix(".new")
        shutil.copyfile(source, new)
        new.chmod(0o600)
        new.replace(target)


def test_what_is_no_handshake_is_closed_and_others_are_served(
    authority: Authority, tmp_path: Path
) -> None:
    """Plain HTTP, rubbish, silence, half a hello, and clients that go in the middle of it."""
    own = authority.issue("plain")
    settings = TlsSettings(cert=str(own.cert), key=str(own.key), handshake_seconds=1.5)
    hello = bytes.fromhex("16030100f8010000f40303") + b"x" * 100
    context = authority.client()
    with secured(tmp_path, settings) as server:

        async def attack() -> list[bytes]:
            plain = b"GET /v2/health/live HTTP/1.1\r\nhost: h\r\n\r\n"
            pieces = [plain, b"\0" * 5000, hello, b"", bytes(range(256)) * 100] * 20
            return await asyncio.gather(*(converse(server.port, piece) for piece in pieces))

        async def meanwhile() -> list[bytes]:
            found = asyncio.create_task(attack())
            began = time.perf_counter()
            for _ in range(10):
                assert await asyncio.to_thread(predict, server, context) == 200
            assert time.perf_counter() - began < 5
            return await found

        for answer in asyncio.run(meanwhile()):
            assert b"HTTP/1.1 200" not in answer
        assert _metric(server, context, "afterfit_connections", 1) == 1
        # One for each attack: none of them became a connection.
        failed = _metric(server, context, "afterfit_tls_handshakes_failed_total", 100)
        assert failed == 100
        assert {line["event"] for line in server.lines()} <= {"ready", "certificate_loaded"}


def _metric(server: Hosted, context: ssl.SSLContext, name: str, expected: float) -> float:
    """A metric of the server, when it has come to what is expected, or after ten seconds."""
    found = [0.0]

    def one() -> bool:
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = (line for line in text.splitlines() if line.startswith(name))
        found[0] = float(next(lines).split()[1])
        return found[0] == expected

    until(one, 10)
    return found[0]
