"""``afterfit endpoint``: it finds the server that runs, changes it, and tells what that led to."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.runtime.traffic import BIASES, rows
from tests.runtime.waiting import until

from afterfit.cli.app import run
from afterfit.runtime.endpoint import Canary, ModelRoute
from afterfit.runtime.running import Running, read_running, write_running
from afterfit.serve.config import ServeConfig
from afterfit.serve.rollout import parse_share
from afterfit.serve.run import ServerHandle, start_server
from afterfit.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with three versions of churn."""
    from tests.runtime.bundles import people_bundle

    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    for number, bias in enumerate(BIASES[:3]):
        people_bundle(tmp_path / f"draft{number}", bias=bias)
        space.registry.register("churn", tmp_path / f"draft{number}", who="ana")
    return space


@pytest.fixture
def server(space: Workspace) -> Iterator[ServerHandle]:
    """Version 1, served as ``afterfit serve`` does; versions 2 and 3 are only in the registry."""
    state = space.folder / "endpoints" / "churn"
    with start_server({"churn": space.version("churn@1")}, ServeConfig(port=0), state) as handle:
        yield handle


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """The result of a command, which must end well."""

    def command(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)["result"]

    return command


def test_a_change_from_the_command_line_and_what_became_of_it(
    server: ServerHandle, said: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Versions come from the registry; shares, rates and differences have intervals and n."""
    told = said("endpoint", "set", "churn", "--canary", "2=25%", "--key", "hours", "--shadow", "3")
    assert (told["generation"], told["models"]["churn"]["canary"]["share_ppm"]) == (2, 250_000)
    line = Workspace(create=False).registry.log("churn")[-1]
    assert (line.action, line.name) == ("divide", "churn")
    assert line.details == {"canary": "2=25%", "key": "hours", "shadow": ["3"], "generation": 2}
    with server.client() as client:
        versions = [client.predict([row])["version"] for row in rows(240)]
    canary = versions.count(2)
    primary = 240 - canary
    assert canary > 0
    until(lambda: server.admin.status().models["churn"].pairs[0].total.rows == primary, 90)
    (model,) = said("endpoint", "status")["models"]
    roles = {role["role"]: role for role in model["roles"]}
    observed = roles["canary"]["observed"]
    assert (roles["canary"]["asked"], observed["n"]) == (0.25, 240)
    assert observed["value"] == pytest.approx(canary / 240)
    assert observed["low"] < observed["value"] < observed["high"]
    assert [metric["name"] for metric in roles["primary"]["latency"]] == ["mean", "p50", "p99"]
    (answers,) = model["answers"]
    assert answers["of"] == "yes"
    assert (answers["primary"]["n"], answers["canary"]["n"]) == (primary, canary)
    gap = answers["difference"]
    assert gap["low"] < gap["value"] < gap["high"]
    assert gap["value"] == pytest.approx(answers["canary"]["value"] - answers["primary"]["value"])
    (shadow,) = model["shadows"]
    assert (shadow["version"], shadow["against"], shadow["rows"]) == (3, 1, primary)
    assert shadow["flips"]["n"] == primary
    assert 0 < shadow["absolute"]["low"] < shadow["largest"]
    assert run(["endpoint", "status", "churn"]) == 0
    text = capsys.readouterr().out
    for word in ("generation 2", "sticky by hours", "canary less primary", "beside", "restarts 0"):
        assert word in text


def test_parts_stay_until_they_are_changed_or_cleared(
    server: ServerHandle, said: Callable[..., Any]
) -> None:
    """Each option changes its own part; none takes one away, --clear all that is not named."""

    def parts(*options: str) -> tuple[Any, Any, Any]:
        route = said("endpoint", "set", "churn", *options)["models"]["churn"]
        numbers, canary, standing = route["versions"], route["canary"], route["stand_in"]
        return (
            canary and numbers[canary["digest"]],
            [numbers[digest] for digest in route["shadow"]],
            standing and (standing["constant"] or numbers[standing["digest"]]),
        )

    assert parts("--canary", "2=0.1", "--stand-in", "constant:no") == (2, [], "no")
    assert parts("--shadow", "3", "--shadow", "2") == (2, [3, 2], "no")
    assert parts("--stand-in", "3") == (2, [3, 2], 3)
    assert parts("--canary", "none") == (None, [3, 2], 3)
    assert parts("--clear", "--canary", "3=50%") == (3, [], None)
    assert parts("--clear") == (None, [], None)
    assert list(server.admin.get().models["churn"].versions.values()) == [1]


def test_a_promotion_keeps_the_division_and_a_roll_back_does_not_wait_for_it(
    server: ServerHandle, space: Workspace, said: Callable[..., Any], tmp_path: Path
) -> None:
    """The canary that becomes the primary is one no more; what does not fit a new one goes."""
    from tests.runtime.bundles import people_bundle

    said("endpoint", "set", "churn", "--canary", "2=10%", "--shadow", "3")
    route = server.replace("churn", space.version("churn@2")).models["churn"]
    assert (route.version, route.canary) == (2, None)
    assert [route.number(digest) for digest in route.shadow] == [3]
    people_bundle(tmp_path / "other", regression=True)
    space.registry.register("churn", tmp_path / "other", who="ana")
    route = server.replace("churn", space.version("churn@4")).models["churn"]
    assert (route.version, route.shadow) == (4, ())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "nothing to change"),
        (("--canary", "2"), "not a canary"),
        (("--canary", "2=110%"), "no share"),
        (("--canary", "2=many"), "no share"),
        (("--canary", "9=10%"), "churn@9 does not exist"),
        (("--key", "hours", "--shadow", "2"), "--key is for a canary"),
        (("--canary", "2=10%", "--key", "customer_id"), "customer_id"),
        (("--stand-in", "constant:perhaps"), "no class 'perhaps'"),
    ],
)
def test_a_mistake_changes_nothing_and_says_so(
    server: ServerHandle,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    """Code 2, what is wrong, and no traceback."""
    assert run(["endpoint", "set", "churn", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert server.admin.get().generation == 1


def test_somebody_elses_change_is_a_conflict(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generation moves between the reading and the writing: code 2 and what to do."""
    from afterfit.runtime.client import AdminClient

    put = AdminClient.put

    def slow(self: AdminClient, endpoint: Any, generation: int | None = None) -> Any:
        put(server.admin, server.admin.get())
        return put(self, endpoint, generation)

    monkeypatch.setattr(AdminClient, "put", slow)
    assert run(["endpoint", "set", "churn", "--stand-in", "constant:no"]) == 2
    error = capsys.readouterr().err
    assert "somebody else has changed the endpoint" in error
    assert "afterfit endpoint status" in error
    assert server.admin.get().models["churn"].stand_in is None


def test_without_a_server_the_command_says_how_to_name_one(
    space: Workspace, server: ServerHandle, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model, a stopped server, a killed one; and --admin reaches one anywhere."""
    assert run(["endpoint", "status", "fraud"]) == 2
    assert "no server of fraud runs here" in capsys.readouterr().err
    state = space.folder / "endpoints" / "churn"
    admin = server.admin.address
    (state / "running.json").unlink()
    assert run(["endpoint", "status"]) == 2
    assert "--admin unix:PATH" in capsys.readouterr().err
    assert run(["endpoint", "status", "--admin", admin]) == 0
    assert run(["endpoint", "set", "churn", "--stand-in", "constant:no", "--admin", admin]) == 0
    write_running(str(state), Running(url=server.url, admin=admin, pid=2**22 - 3))
    assert read_running(state) is None


def test_a_running_server_is_recorded_for_its_owner_alone_until_it_ends(
    space: Workspace, server: ServerHandle
) -> None:
    """The file may hold a token, so nobody else reads it."""
    state = space.folder / "endpoints" / "churn"
    found = read_running(state)
    assert found is not None
    assert (found.url, found.admin, found.pid) == (server.url, server.admin.address, server.pid)
    assert (state / "running.json").stat().st_mode & 0o777 == 0o600
    server.stop()
    assert not (state / "running.json").exists()


@pytest.mark.usefixtures("space")
def test_a_killed_server_is_told_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``serve`` says which signal ended it, with code 2, where nobody had asked it to end."""
    from afterfit.cli import serve as command

    def kill(server: ServerHandle, *_: Any, **__: Any) -> None:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()

    monkeypatch.setattr(command, "_tell", kill)
    assert run(["serve", "churn@1", "--port", "0"]) == 2
    error = capsys.readouterr().err
    assert "the server was ended by SIGKILL" in error
    assert "memory ran out" in error


@pytest.mark.parametrize(
    ("text", "ppm"), [("10%", 100_000), ("0.1", 100_000), ("2.5 %", 25_000), ("100%", 1_000_000)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, ppm: int) -> None:
    """Either way of writing it."""
    assert parse_share(text) == ppm


def test_a_document_keeps_its_words() -> None:
    """Canary, shadow and stand-in survive the way through JSON."""
    route = ModelRoute(primary="ab" * 32, canary=Canary(digest="cd" * 32, share_ppm=1, key="age"))
    assert msgspec.json.decode(msgspec.json.encode(route), type=ModelRoute) == route
