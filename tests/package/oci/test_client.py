"""The client of registries: logs in, follows, checks, and gives secrets to nobody else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.package.oci.fakes import SECRET, TOKEN, USER, Registry, digest, serving

from afterfit.errors import (
    AfterfitError,
    ForbiddenError,
    InputError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from afterfit.package.oci import client as clients
from afterfit.package.oci.client import Client, Credentials, image_name
from afterfit.package.oci.layout import MANIFEST, Descriptor, Layout

BODY = b'{"schemaVersion": 2}'


def client_of(registry: Registry, *, known: bool = True, tag: str = "1") -> Client:
    """A client of an image there, who knows the password or not."""
    pairs = {registry.host: (USER, SECRET)} if known else {}
    return Client(image_name(f"{registry.host}/team/app:{tag}"), Credentials(pairs))


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """A registry with a manifest and a blob."""
    registry.manifests["1"] = (MANIFEST, BODY)
    registry.blobs[digest(b"blob")] = b"blob"
    return registry


@pytest.mark.parametrize("login", ["", "basic", "bearer"])
def test_who_knows_the_password_is_let_in(filled: Registry, login: str) -> None:
    """With a password, a token, or nothing where nothing is asked."""
    filled.login = login
    client = client_of(filled)
    body, found = client.manifest()
    assert (body, found.digest, found.media_type) == (BODY, digest(BODY), MANIFEST)
    with client.blob(digest(b"blob")) as stream:
        assert stream.read(10) == b"blob"
    used = {authorization.partition(" ")[0] for _, _, authorization in filled.asked}
    assert "Bearer" in used if login == "bearer" else "Bearer" not in used


def test_a_token_is_asked_for_once(filled: Registry) -> None:
    """It serves all requests of a client; one that has run out is renewed."""
    filled.login = "bearer"
    client = client_of(filled)
    for _ in range(3):
        client.manifest()
    assert [path for _, path, _ in filled.asked].count("/token") == 1
    client._authorization = "Bearer of-yesterday"
    client.manifest()
    assert [path for _, path, _ in filled.asked].count("/token") == 2


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_who_does_not_know_it_is_told_how_to_log_in(filled: Registry, login: str) -> None:
    """The message has a command to paste, and no secret."""
    filled.login = login
    with pytest.raises(ForbiddenError, match="refuses") as refused:
        client_of(filled, known=False).manifest()
    assert f"docker login {filled.host}" in refused.value.fix
    assert len(filled.asked) <= 3


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b"{}", b'{"token": "a\\nb"}', b"[" * 100_000])
def test_a_token_that_is_none_is_refused(filled: Registry, answer: bytes) -> None:
    """Whatever the token service says, a header is made of a token only."""
    filled.login, filled.token_answer = "bearer", answer
    with pytest.raises(ForbiddenError):
        client_of(filled).manifest()


def test_where_a_blob_is_redirected_gets_no_credentials(filled: Registry) -> None:
    """The other address gives the bytes, and is told nothing."""
    filled.login = "bearer"
    with serving(Registry()) as other:
        other.blobs = filled.blobs
        filled.redirect = f"http://{other.host}"
        with client_of(filled).blob(digest(b"blob")) as stream:
            assert stream.read(10) == b"blob"
        assert [authorization for _, _, authorization in other.asked] == [""]
    assert f"Bearer {TOKEN}" in {authorization for _, _, authorization in filled.asked}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("http://registry.invalid", ForbiddenError),
        ("file:///etc/passwd?", ForbiddenError),
        ("http://127.0.0.1:port", UnavailableError),
    ],
)
def test_a_redirect_to_what_is_no_registry(
    filled: Registry, place: str, kind: type[AfterfitError]
) -> None:
    """Without TLS to another machine, to a file, to no port: refused, and nothing is sent there."""
    filled.redirect = place
    with pytest.raises(kind), client_of(filled).blob(digest(b"blob")):
        pass


def test_redirects_end(filled: Registry) -> None:
    """A registry that sends in circles is left after a few."""
    filled.redirect = f"http://{filled.host}"
    with pytest.raises(UnavailableError, match="from one address to the next"):
        client_of(filled).blob(digest(b"blob")).__enter__()
    assert len(filled.asked) <= 5


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, ForbiddenError), (403, ForbiddenError), (404, NotFoundError), (500, UnavailableError),
     (429, UnavailableError)],
)  # fmt: skip
def test_each_refusal_is_an_error_of_its_kind(
    filled: Registry, status: int, kind: type[AfterfitError]
) -> None:
    """It names the registry and says what to do."""
    filled.status["GET"] = status
    with pytest.raises(kind) as refused:
        client_of(filled).manifest()
    assert filled.host in str(refused.value)
    assert refused.value.fix


def test_a_blob_that_ends_early_or_is_another(filled: Registry, tmp_path: Path) -> None:
    """Neither is kept."""
    layout = Layout(tmp_path)
    layout.create()
    wanted = Descriptor(digest=digest(b"blob"), size=4)
    filled.cut = True
    filled.blobs[wanted.digest] = b"bl"
    with (
        pytest.raises((IntegrityError, UnavailableError)),
        client_of(filled).blob(wanted.digest) as stream,
    ):
        layout.take(stream, wanted, "there")
    filled.cut = False
    filled.blobs[wanted.digest] = b"BLOB"
    with pytest.raises(IntegrityError), client_of(filled).blob(wanted.digest) as stream:
        layout.take(stream, wanted, "there")
    assert not layout.path(wanted.digest).exists()


def test_a_manifest_that_is_another_or_endless(filled: Registry) -> None:
    """Asked for by digest it must have that digest; over 4 MiB it is not read to its end."""
    wanted = digest(b"another")
    filled.manifests[wanted] = (MANIFEST, BODY)
    with pytest.raises(IntegrityError, match="another manifest"):
        client_of(filled).manifest(wanted)
    filled.manifests["1"] = (MANIFEST, b" " * ((4 << 20) + 1))
    with pytest.raises(InputError, match="too long"):
        client_of(filled).manifest()


def test_nobody_answers() -> None:
    """A port where nothing listens, and one that no address has."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match="does not answer"):
            Client(image_name(f"127.0.0.1:{port}/team/app:1")).manifest()
    with pytest.raises(UnavailableError, match="not the address"):
        Client(image_name("localhost:99999/team/app:1")).manifest()


def test_another_machine_is_asked_with_tls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of a registry elsewhere begins with https."""
    asked: list[str] = []

    def refuse(*asked_for: object) -> None:
        asked.append(str(asked_for[1]))
        raise NotFoundError("stop", fix="")

    monkeypatch.setattr(clients, "_request", refuse)
    with pytest.raises(NotFoundError):
        Client(image_name("registry.example.com/team/app:1")).manifest()
    assert asked == ["https://registry.example.com/v2/team/app/manifests/1"]


@pytest.mark.parametrize(
    ("text", "host", "path", "reference"),
    [
        ("python:3.11", "registry-1.docker.io", "library/python", "3.11"),
        ("team/app", "registry-1.docker.io", "team/app", "latest"),
        ("docker.io/team/app:2", "registry-1.docker.io", "team/app", "2"),
        ("localhost/app:2", "localhost", "app", "2"),
        ("r.example.com:5000/a/b/c:t", "r.example.com:5000", "a/b/c", "t"),
        (f"r.example.com/a:t@sha256:{'0' * 64}", "r.example.com", "a", f"sha256:{'0' * 64}"),
    ],
)
def test_names_of_images(text: str, host: str, path: str, reference: str) -> None:
    """As Docker reads them; the digest before the tag."""
    found = image_name(text)
    assert (found.host, found.path, found.reference) == (host, path, reference)


@pytest.mark.parametrize(
    "text", ["", "App", "a b", "a:b:c", "../x", "r.example.com/", "a@sha256:1"]
)
def test_what_is_no_name(text: str) -> None:
    """Refused before anything is asked."""
    with pytest.raises(UsageError, match="not the name of an image"):
        image_name(text)
