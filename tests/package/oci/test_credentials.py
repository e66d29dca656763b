"""Who one is at a registry: by files and by helpers, told to the registry alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.package.oci.fakes import REFRESH, SECRET, USER, Registry, base_layout

from afterfit.cli.app import run
from afterfit.errors import (
    DependencyError,
    ForbiddenError,
    InputError,
    UnavailableError,
)
from afterfit.package.oci import credentials as kept
from afterfit.package.oci.client import Client, image_name
from afterfit.package.oci.credentials import Credentials, docker_credentials
from afterfit.package.oci.layout import MANIFEST

BODY = b'{"schemaVersion": 2}'
INLINE = {"auth": "YW5hOnA6dw=="}
"""What ``docker login`` writes for USER and SECRET."""
KNOWS_NOTHING = "echo credentials not found in native keychain; exit 1"

Settings = Callable[..., None]
Helper = Callable[[str], Path]


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """A registry with a manifest."""
    registry.manifests["1"] = (MANIFEST, BODY)
    return registry


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A function that writes a ``config.json`` of docker, which is the user's then."""

    def write(**told: object) -> None:
        (tmp_path / "config.json").write_text(json.dumps(told))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    return write


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helper:
    """A function that installs ``docker-credential-fake``; it gives the log of what was asked."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")

    def install(does: str) -> Path:
        program, log = tmp_path / "bin" / "docker-credential-fake", tmp_path / "asked"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nread -r server\necho "$1 $server" >> {log}\n{does}\n')
        program.chmod(0o755)
        log.touch()
        return log

    return install


def tells(user: str = USER, secret: str = SECRET) -> str:
    """What a helper does that knows a user and a secret."""
    told = json.dumps({"ServerURL": "any", "Username": user, "Secret": secret})
    return f"printf '%s' '{told}'"


def manifest(registry: Registry) -> bytes:
    """The manifest that this user gets."""
    name = image_name(f"{registry.host}/team/app:1")
    return Client(name, docker_credentials()).manifest()[0]


@pytest.mark.parametrize("login", ["basic", "bearer"])
@pytest.mark.parametrize("of_host", [True, False], ids=["credHelpers", "credsStore"])
def test_a_helper_lets_in(
    filled: Registry, settings: Settings, helper: Helper, login: str, *, of_host: bool
) -> None:
    """That of the host before that of all hosts; it is asked for this host, and once."""
    filled.login = login
    log = helper(tells())
    of_one = {"credHelpers": {filled.host: "fake"}, "credsStore": "of-others"}
    settings(**(of_one if of_host else {"credsStore": "fake"}))
    assert manifest(filled) == BODY
    assert log.read_text() == f"get {filled.host}\n"


def test_a_helper_gives_an_identity_token(
    filled: Registry, settings: Settings, helper: Helper
) -> None:
    """The token service takes it for a token; the registry itself never sees it."""
    filled.login = "bearer"
    helper(tells("<token>", REFRESH))
    settings(credsStore="fake")
    assert manifest(filled) == BODY
    assert ("POST", "/token") in {(method, path) for method, path, _ in filled.asked}
    assert not [sent for _, _, sent in filled.asked if sent.startswith("Basic")]
    filled.login = "basic"
    with pytest.raises(ForbiddenError):
        manifest(filled)


def test_a_file_may_have_an_identity_token(filled: Registry, settings: Settings) -> None:
    """As some clouds' own login writes it, beside a user without a password."""
    filled.login = "bearer"
    settings(auths={filled.host: {**INLINE, "identitytoken": REFRESH}})
    assert manifest(filled) == BODY
    assert not [sent for _, _, sent in filled.asked if sent.startswith("Basic")]


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_the_file_counts_where_the_helper_knows_nothing(
    filled: Registry, settings: Settings, helper: Helper, login: str
) -> None:
    """A login that was written there before the helper came."""
    filled.login = login
    helper(KNOWS_NOTHING)
    settings(auths={filled.host: INLINE}, credsStore="fake")
    assert manifest(filled) == BODY


def test_nobody_knows(filled: Registry, settings: Settings, helper: Helper) -> None:
    """As without a helper: refused, with the command to log in."""
    filled.login = "bearer"
    helper(KNOWS_NOTHING)
    settings(credsStore="fake")
    with pytest.raises(ForbiddenError, match="refuses") as refused:
        manifest(filled)
    assert refused.value.fix.startswith("docker login")


@pytest.mark.parametrize("does", [tells(), "exit 1", None], ids=["works", "fails", "not there"])
def test_who_asks_nothing_is_told_nothing(
    filled: Registry, settings: Settings, helper: Helper, does: str | None
) -> None:
    """A public image needs no helper, also where the one that is named does not work."""
    log = helper(does) if does else None
    settings(credsStore="fake")
    assert manifest(filled) == BODY
    assert log is None or log.read_text() == ""
    assert {sent for _, _, sent in filled.asked} == {""}


FAULTS = {
    "not there": (None, DependencyError, "is not installed"),
    "fails": (f"echo {SECRET} {REFRESH}; echo {SECRET} >&2; exit 3", ForbiddenError, "with 3"),
    "prints something else": (f"echo {SECRET} {REFRESH}", UnavailableError, "as a helper does"),
    "has no secret": ('echo \'{"Username": "p:w"}\'', UnavailableError, "as a helper does"),
    "hangs": ("exec sleep 20", UnavailableError, "within 0.2 s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_helper_that_does_not_work(
    filled: Registry, settings: Settings, helper: Helper, monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:  # fmt: skip
    """It is named with a way on, and nothing that it printed is shown."""
    does, kind, told = FAULTS[fault]
    filled.login = "basic"
    monkeypatch.setattr(kept, "_SECONDS", 0.2)
    if does:
        helper(does)
    settings(credHelpers={filled.host: "fake"})
    with pytest.raises(kind, match="docker-credential-fake") as refused:
        manifest(filled)
    assert told in str(refused.value)
    assert refused.value.fix
    assert SECRET not in str(refused.value)
    assert REFRESH not in str(refused.value)


def test_no_secret_is_printed(
    registry: Registry, settings: Settings, helper: Helper, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Neither by a push that works, nor by one that is refused, as text or as JSON."""
    registry.login = "basic"
    base_layout(tmp_path / "image")
    helper(tells())
    settings(credsStore="fake")
    words = ["package", "push", str(tmp_path / "image"), f"{registry.host}/team/app:3"]
    assert run(words) == 0
    registry.status["."] = 403
    assert run(words) == 2
    assert run([*words, "--json"]) == 2
    out, err = capfd.readouterr()
    assert "refuses" in err
    for secret in (SECRET, INLINE["auth"]):
        assert secret not in out + err
    assert SECRET not in repr(docker_credentials())


def test_docker_hub_has_another_name(helper: Helper) -> None:
    """A helper knows it by the address that ``docker login`` gave it."""
    log = helper(tells())
    found = Credentials({}, {"docker.io": "other"}, "fake")
    assert found.login("registry-1.docker.io/library/python") == (USER, SECRET)
    assert log.read_text() == "get https://index.docker.io/v1/\n"


@pytest.mark.parametrize(
    "place", ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "HOME"], ids=["named", "session", "home"]
)
def test_what_podman_keeps(
    filled: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """In its own files; the longest path that fits an image counts."""
    paths = {"XDG_RUNTIME_DIR": "containers/auth.json", "HOME": ".config/containers/auth.json"}
    path = tmp_path / paths.get(place, "auth.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(place, str(path if place == "REGISTRY_AUTH_FILE" else tmp_path))
    wrong = {"auth": "YW5hOndyb25n"}
    names = ("", "/team", "/team/app/deep", "/te")
    auths = {f"{filled.host}{each}": INLINE if each == "/team" else wrong for each in names}
    path.write_text(json.dumps({"auths": auths}))
    filled.login = "basic"
    assert manifest(filled) == BODY


def test_docker_comes_before_podman(
    filled: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where both know a registry; what only one knows is taken from it."""
    other = {"auths": {filled.host: {"auth": "YW5hOndyb25n"}, "r.example.com": INLINE}}
    (tmp_path / "auth.json").write_text(json.dumps(other))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    settings(auths={filled.host: INLINE})
    filled.login = "basic"
    assert manifest(filled) == BODY
    assert docker_credentials().login("r.example.com/x") == (USER, SECRET)


def test_credentials_of_docker(tmp_path: Path) -> None:
    """What ``docker login`` wrote is read, Docker Hub under its other name too, and never shown."""
    path = tmp_path / "config.json"
    auths = {"https://index.docker.io/v1/": {"auth": "YW5hOnA6dw=="}, "r.example.com": {}}
    path.write_text(json.dumps({"auths": auths}))
    found = Credentials.of_docker(path)
    assert found.by_host["registry-1.docker.io"] == (USER, SECRET)
    assert found.basic("r.example.com") == ""
    assert SECRET not in repr(found)
    assert Credentials.of_docker(tmp_path / "none.json").by_host == {}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"auths": 1}', '{"auths": {"r": {"auth": "%"}}}', '{"credsStore": "../x"}',
     '{"credHelpers": {"r": "/bin/x"}}'],
)  # fmt: skip
def test_no_credentials(tmp_path: Path, text: str) -> None:
    """A file that is none says so; a helper is a name and no path."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match="credentials"):
        Credentials.of_docker(path)
