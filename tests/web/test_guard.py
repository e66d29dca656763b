"""Who gets in: hosts, methods, keys, sessions, forms of other sites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.web.samples import Answer, Browser, site_of

from afterfit.cli.app import run
from afterfit.errors import ConflictError, DependencyError, UsageError
from afterfit.runtime.key_file import KeyFile, add_key, encode_key_file, new_key_file, revoke_key
from afterfit.runtime.keys import KeyRing
from afterfit.web.guard import Door, Hosts, safe_path
from afterfit.web.run import Listening, listening, serve, url_of

EVIL = "http://evil.example"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what must not be without keys


class Team:
    """A dashboard beyond this machine, with a clock and keys of every kind."""

    def __init__(self, folder: Path, workspace: Path) -> None:
        self.path = folder / "keys.json"
        self.now = 1_900_000_000.0
        self.keys: dict[str, str] = {}
        file = new_key_file()
        for name, roles, models in (
            ("viewer", ("view",), ()), ("client", ("predict", "label", "admin"), ()),
            ("part", ("view",), ("churn",)), ("gone", ("view",), ()),
        ):  # fmt: skip
            made = add_key(file, name, roles, models=models)  # type: ignore[arg-type]
            file, self.keys[name] = made.file, made.text
        self.write(revoke_key(file, "gone")[0])
        ring = KeyRing(self.path, say=lambda _: None)
        self.door = Door(ring, clock=lambda: self.now)
        site = site_of(workspace)
        self.browser = Browser(site, bound=EVERYWHERE, names=("models.example",), door=self.door)

    def write(self, file: KeyFile) -> None:
        """Put a file of keys in place."""
        self.file = file
        self.path.write_bytes(encode_key_file(file))
        self.path.chmod(0o600)

    def log_in(self, key: str, **headers: str) -> Answer:
        """The answer to the form."""
        path = "/login?following=/records"
        return self.browser.ask("POST", path, headers, f"key={key}".encode())


@pytest.fixture
def team(tmp_path: Path, workspace: Path) -> Team:
    """A dashboard beyond this machine."""
    return Team(tmp_path, workspace)


def cookie_of(answer: Answer) -> str:
    """What a browser sends back."""
    return answer.headers["set-cookie"].partition(";")[0]


@pytest.mark.parametrize(
    ("bound", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8090", True), ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "[::1]:80", True), ("127.0.0.1", "models.example:8090", True),
        ("127.0.0.1", "MODELS.example.", True), ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False), ("127.0.0.1", "10.0.0.7", False),
        ("127.0.0.1", "", False), ("127.0.0.1", "evil.example@127.0.0.1", False),
        ("127.0.0.1", "[::1", False), (EVERYWHERE, "10.0.0.7:8090", True),
        (EVERYWHERE, "evil.example", False), (EVERYWHERE, "localhost.evil.example", False),
    ],
)  # fmt: skip
def test_only_hosts_that_cannot_be_rebound_are_answered(
    browser: Browser, bound: str, host: str, *, allowed: bool
) -> None:
    """An address of digits, this machine's own name, or one that was told."""
    assert Hosts(bound, frozenset({"models.example"})).allow(host) is allowed
    if "models" not in host.lower() and bound == "127.0.0.1":
        assert browser.get("/", host=host).status == (200 if allowed else 421)


def test_every_answer_has_the_headers_that_guard_it(browser: Browser) -> None:
    """Pages, JSON, files, errors and refusals alike; nothing but our own is ever loaded."""
    for path, headers in (
        ("/", {}), ("/records.json", {}), ("/static/dashboard.js", {}), ("/nothing", {}),
        ("/", {"host": "evil.example"}), ("/login", {}),
    ):  # fmt: skip
        answer = browser.get(path, **headers)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_is_changed_here(browser: Browser, method: str) -> None:
    """Every method but GET and HEAD is refused."""
    for path in ("/", "/models/churn", "/alarms", "/records.json"):
        assert browser.ask(method, path).status == 405
    assert browser.ask("HEAD", "/alarms").status == 200


def test_without_a_key_a_page_leads_to_the_form_and_json_says_401(team: Team) -> None:
    """The form and the files that it needs are all that there is."""
    page = team.browser.get("/records?step=assess")
    assert page.status == 303
    assert page.headers["location"] == "/login?following=%2Frecords%3Fstep%3Dassess"
    told = team.browser.get("/records.json")
    assert told.status == 401
    assert told.headers["www-authenticate"].startswith("Bearer")
    assert "data" not in told.json()["data"]
    assert team.browser.get("/login").status == 200
    assert team.browser.get("/static/dashboard.css").status == 200


@pytest.mark.parametrize(
    ("who", "status"), [("viewer", 200), ("client", 403), ("part", 403), ("gone", 401)]
)
def test_a_key_counts_by_its_role(team: Team, who: str, status: int) -> None:
    """A key of a client, one for some models only and one that was revoked see nothing."""
    told = team.browser.get("/records.json", authorization=f"Bearer {team.keys[who]}")
    assert told.status == status
    assert ("records" in told.json()["data"]) is (status == 200)
    answer = team.log_in(team.keys[who])
    assert answer.status == (303 if status == 200 else status)
    assert ("set-cookie" in answer.headers) is (status == 200)


@pytest.mark.parametrize("key", ["", "af_0123456789ab_wrong", "x" * 300, "%00%ff", "af__"])
def test_a_wrong_key_shows_the_form_again(team: Team, key: str) -> None:
    """With a reason and without what was typed."""
    answer = team.log_in(key)
    assert answer.status == 401
    assert 'role="alert"' in answer.text
    assert key == "" or key not in answer.text


def test_a_session_lasts_until_it_ends_is_closed_or_its_key_is_revoked(team: Team) -> None:
    """The cookie is for this server's own pages alone."""
    entered = team.log_in(team.keys["viewer"])
    assert entered.headers["location"] == "/records"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(
        entered.headers["set-cookie"].split("; ")
    )
    cookie = cookie_of(entered)
    assert "viewer" in team.browser.get("/", cookie=cookie).text
    assert team.keys["viewer"] not in entered.headers["set-cookie"]
    assert team.browser.get("/", cookie=cookie[:-1]).status == 303
    left = team.browser.ask("POST", "/logout", {"cookie": cookie})
    assert "Max-Age=0" in left.headers["set-cookie"]
    assert team.browser.get("/", cookie=cookie).status == 303
    second = cookie_of(team.log_in(team.keys["viewer"]))
    team.now += 13 * 3600
    assert team.browser.get("/", cookie=second).status == 303


def test_a_revoked_key_ends_its_sessions(team: Team) -> None:
    """Within about a second, as it does at a server."""
    cookie = cookie_of(team.log_in(team.keys["viewer"]))
    assert team.browser.get("/", cookie=cookie).status == 200
    team.write(revoke_key(team.file, "viewer")[0])
    team.now += 2
    assert team.browser.get("/", cookie=cookie).status == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(team: Team, headers: dict[str, Any]) -> None:
    """It can neither log somebody in nor out."""
    body = f"key={team.keys['viewer']}".encode()
    for path in ("/login", "/logout"):
        answer = team.browser.ask("POST", path, headers, body)
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    own = {"origin": "http://127.0.0.1:8090", "sec-fetch-site": "same-origin"}
    assert team.browser.ask("POST", "/login", own, body).status == 303
    assert team.browser.ask("POST", "/login", own, body + b"x" * 5000).status == 400


@pytest.mark.parametrize(
    "text",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "",
     "/a\r\nset-cookie: x", "/login", "/\u202e"],
)  # fmt: skip
def test_the_way_in_leads_to_pages_of_this_server_only(text: str) -> None:
    """What another site may have put into the address is not followed."""
    assert safe_path(text) == "/"
    assert safe_path("/signals?signal=drift") == "/signals?signal=drift"


def test_over_tls_the_cookie_is_held_to_the_host(team: Team) -> None:
    """And goes over TLS only."""
    door = Door(team.door.ring, secure=True)
    found = door.open(team.keys["viewer"])
    assert isinstance(found, tuple)
    assert found[1].startswith("__Host-afterfit_session=")
    assert found[1].endswith("; Secure")


def test_beyond_this_machine_it_does_not_listen_without_keys(tmp_path: Path) -> None:
    """What is wrong with an address is said with its fix."""
    with (
        pytest.raises(UsageError, match="there are no keys") as refused,
        listening(Listening(host=EVERYWHERE, port=0)),
    ):
        pytest.fail("it listens")
    assert "--keys" in refused.value.fix
    wrong = Listening(host="x" * 70, keys="keys.json")
    with pytest.raises(UsageError, match="not an address"), listening(wrong):
        pytest.fail("it listens")
    told = Listening(host=EVERYWHERE, port=0, keys=str(tmp_path / "keys.json"))
    with listening(told) as sock:
        taken = Listening(port=sock.getsockname()[1])
        assert url_of(told, sock) == f"http://127.0.0.1:{taken.port}/"
        with pytest.raises(ConflictError, match="is taken") as refused_too, listening(taken):
            pytest.fail("it listens")
    assert "--port 0" in refused_too.value.fix


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself is there, and its fix is a command; so it is without a workspace."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with (
        listening(Listening(port=0)) as sock,
        pytest.raises(DependencyError, match="uvicorn") as refused,
    ):
        serve(site_of(workspace), Listening(), sock)
    assert refused.value.fix == "pip install 'afterfit[ui]'"
    assert run(["ui", "--workspace", str(tmp_path / "none")]) == 2
