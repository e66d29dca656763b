"""What the client makes of a server's answers, good and bad."""

from __future__ import annotations

import http.server
import ssl
import threading
from pathlib import Path

import pytest
from tests.registry.mlflow.fake import FakeMlflow
from tests.runtime.certificates import issue, make_authority

from afterfit.errors import (
    AfterfitError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from afterfit.registry.mlflow.address import server_of
from afterfit.registry.mlflow.checks import concerns
from afterfit.registry.mlflow.client import Client

EXISTS = b'{"error_code": "RESOURCE_ALREADY_EXISTS", "message": "churn is there"}'


@pytest.mark.parametrize(
    ("failures", "kind", "words"),
    [
        ([(500, b"<h1>Internal</h1>")] * 3, UnavailableError, "it answered 500: Internal"),
        ([(302, b"")], UnavailableError, "sends to login.example.com"),
        ([(200, b"<html>Sign in</html>")], UnavailableError, "no JSON object: Sign in"),
        ([(200, b"[" * 100_000)], UnavailableError, "no JSON object"),
        ([(404, b"nothing")], NotFoundError, "has no such thing"),
        ([(400, EXISTS)], ConflictError, "churn is there"),
        ([(403, b'{"error_code": "PERMISSION_DENIED"}')], ForbiddenError, "MLFLOW_TRACKING_TOKEN"),
    ],
)
def test_each_bad_answer_has_its_error(
    fake: FakeMlflow,
    client: Client,
    failures: list[tuple[int, bytes]],
    kind: type[AfterfitError],
    words: str,
) -> None:
    """The error says what came, from where, and what to do."""
    fake.failures = list(failures)
    with pytest.raises(kind) as caught:
        client.get("registered-models/search")
    assert words in str(caught.value)
    assert caught.value.fix
    assert caught.value.where.startswith(fake.url)


def test_a_question_is_asked_again_and_a_change_is_not(fake: FakeMlflow, client: Client) -> None:
    """Two failures are got over; whoever changes something looks first whether it is there."""
    fake.failures = [(503, b""), (429, b"")]
    assert client.get("registered-models/search") == {"registered_models": []}
    fake.failures = [(503, b"")]
    with pytest.raises(UnavailableError):
        client.post("registered-models/create", {"name": "churn"})
    assert fake.models == {}


def test_a_wrong_password_is_told_and_not_shown(fake: FakeMlflow) -> None:
    """The error names the variables and holds no secret."""
    fake.authorization = "Bearer right"
    wrong = Client(server_of(fake.url, {"MLFLOW_TRACKING_TOKEN": "wr0ng-secret"}))
    with pytest.raises(ForbiddenError) as caught:
        wrong.get("registered-models/search")
    assert "MLFLOW_TRACKING_USERNAME" in caught.value.fix
    assert "wr0ng-secret" not in str(caught.value)
    right = Client(server_of(fake.url, {"MLFLOW_TRACKING_TOKEN": "right"}))
    assert right.get("registered-models/search") == {"registered_models": []}


def test_no_server_is_told() -> None:
    """With a command that asks it."""
    with pytest.raises(UnavailableError) as caught:
        Client(server_of("http://127.0.0.1:1", {})).get("registered-models/search")
    assert "curl -sS http://127.0.0.1:1/version" in caught.value.fix


def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    """Unless it is named; without any check only where that was asked for."""
    authority = make_authority(tmp_path, "ca")
    pair = issue(authority, tmp_path, "server")
    with http.server.HTTPServer(("127.0.0.1", 0), _Empty) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(UnavailableError) as caught:
            Client(server_of(url, {})).get("x")
        named = Client(
            server_of(url, {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority.cert)})
        ).get("x")
        unchecked = Client(server_of(url, {"MLFLOW_TRACKING_INSECURE_TLS": "true"}))
        told = (unchecked.get("x"), concerns(unchecked)[0])
        server.shutdown()
        thread.join()
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in caught.value.fix
    assert named == {}
    assert told == ({}, f"the certificate of {url[8:]} is not checked (INSECURE_TLS)")


class _Empty(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_old_open_server_worries(fake: FakeMlflow, client: Client) -> None:
    """A version before 3.11 and an answer to a stranger are told; one with a password is not."""
    fake.version = "3.10.1"
    old, open_ = concerns(client)
    assert "is 3.10.1: before 3.11" in old
    assert "answers without a password" in open_
    fake.version, fake.authorization = "3.11.0", "Bearer t"
    assert concerns(Client(server_of(fake.url, {"MLFLOW_TRACKING_TOKEN": "t"}))) == ()
