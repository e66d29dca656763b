"""``afterfit key``: what stands in the file, what is shown once, and what a server makes of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from afterfit.cli.app import run
from afterfit.cli.common import Common
from afterfit.cli.key import create
from afterfit.errors import AfterfitError
from afterfit.runtime.key_file import read_key_file
from afterfit.runtime.keys import Grant, KeyRing, Refusal

Told = Callable[..., tuple[str, str]]


@pytest.fixture
def tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Told:
    """Run ``afterfit key ...`` in an empty folder; stdout and stderr of one that exits ``code``."""
    monkeypatch.chdir(tmp_path)

    def told(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        found = run(["key", *map(str, arguments)])
        shown = capsys.readouterr()
        assert found == code, shown.err
        assert "Traceback" not in shown.err
        return shown.out, shown.err

    return told


def result(text: str) -> Any:
    """The result of an answer in JSON."""
    return json.loads(text)["result"]


def ring(path: Path) -> KeyRing:
    """What a server makes of the file."""
    return KeyRing(path, say=lambda _: None)


def test_a_key_is_alone_on_stdout_and_opens_the_server(tell: Told, tmp_path: Path) -> None:
    """So ``KEY=$(afterfit key create ...)`` works; the narration goes to stderr."""
    out, err = tell("create", "job", "--role", "predict", "--model", "churn")
    key = out.rstrip("\n")
    assert "\n" not in key
    assert "this once" in err
    answer = ring(tmp_path / "keys.json").authorize(key.encode(), "predict", "churn", time.time())
    assert isinstance(answer, Grant)
    assert answer.name == "job"
    assert key.split("_", 2)[2] not in (tmp_path / "keys.json").read_text() + err


def test_everything_that_was_asked_for_is_in_the_file(tell: Told, tmp_path: Path) -> None:
    """Roles, models, limits and the end, given on the command line and told as JSON."""
    file = tmp_path / "deep" / "k.json"
    out, _ = tell(
        *("create", "all of it", "--file", file, "--json"),
        *("--role", "predict", "--role", "label", "--model", "churn", "--model", "fraud"),
        *("--rate", 100, "--burst", 20, "--rows-rate", 5000, "--rows-burst", 9000),
        *("--expires", "90d"),
    )
    made = result(out)
    assert made["roles"] == ["predict", "label"]
    assert made["models"] == ["churn", "fraud"]
    limits = {"rate": 100.0, "burst": 20.0, "rows_rate": 5000.0, "rows_burst": 9000.0}
    assert made["limits"] == limits
    assert made["key"].startswith(f"af_{made['id']}_")
    ends = datetime.fromisoformat(made["expires"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    (key,) = read_key_file(file)[0].keys
    assert (key.id, key.expires, key.limits.rows_burst) == (made["id"], ends, 9000.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("2w", timedelta(weeks=2)),
        ("2099-01-31", datetime(2099, 1, 31, tzinfo=UTC)),
        ("2099-01-31T12:00:00+02:00", datetime(2099, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_time_from_now_or_a_date(
    tell: Told, tmp_path: Path, text: str, expected: timedelta | datetime
) -> None:
    """A date without a zone is in UTC."""
    tell("create", "job", "--role", "predict", "--expires", text)
    (key,) = read_key_file(tmp_path / "keys.json")[0].keys
    assert key.expires is not None
    wanted = datetime.now(UTC) + expected if isinstance(expected, timedelta) else expected
    assert abs(key.expires - wanted) < timedelta(minutes=5)


def test_the_file_is_for_its_owner_alone(tell: Told, tmp_path: Path) -> None:
    """From the first moment, after a change, and behind a link."""
    file, link = tmp_path / "real" / "keys.json", tmp_path / "keys.json"
    file.parent.mkdir()
    link.symlink_to(file)
    for name in ("one", "two"):
        tell("create", name, "--role", "predict")
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o644)
    assert link.is_symlink()
    assert "0644" in tell("list")[1]
    tell("revoke", "one")
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in file.parent.iterdir()) == [".keys.json.lock", "keys.json"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only the administrator gives files away",
)
def test_the_owner_stays(tell: Told, tmp_path: Path) -> None:
    """A server of another user goes on reading the file that the administrator changes."""
    tell("create", "one", "--role", "predict")
    os.chown(tmp_path / "keys.json", 12345, 12345)
    tell("create", "two", "--role", "predict")
    status = (tmp_path / "keys.json").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 12345, 0o600)


def test_a_revoked_key_is_refused_and_listed(tell: Told, tmp_path: Path) -> None:
    """By name, by id, or by the key that leaked; twice is no error."""
    keys = [tell("create", name, "--role", "predict")[0].strip() for name in ("a", "b", "c", "d")]
    ids = [key.split("_")[1] for key in keys]
    server = ring(tmp_path / "keys.json")
    assert isinstance(server.authorize(keys[0].encode(), "predict", "m", time.time()), Grant)
    for ref in ("a", ids[1], keys[2], "a"):
        out, err = tell("revoke", ref)
        assert keys[2].split("_", 2)[2] not in out + err
    assert server.reload_if_changed()
    answers = [server.authorize(key.encode(), "predict", "m", time.time()) for key in keys]
    assert [isinstance(answer, Refusal) for answer in answers] == [True, True, True, False]
    listed = result(tell("list", "--json")[0])
    assert [key["state"] for key in listed] == ["revoked", "revoked", "revoked", "active"]


def test_the_list_shows_no_secret_and_no_hash(tell: Told, tmp_path: Path) -> None:
    """For people and for machines."""
    limits = ("--rate", 0.5, "--rows-rate", 100)
    secret = tell("create", "job", "--role", "admin", *limits)[0].strip().split("_", 2)[2]
    document = json.loads((tmp_path / "keys.json").read_text())
    text, as_json = tell("list")[0], tell("list", "--json")[0]
    for hidden in (secret, document["pepper"], document["keys"][0]["hash"]):
        assert hidden not in text + as_json
    for shown in ("job", "admin", "all", "0.5 requests/s, 100 rows/s", "never", "active"):
        assert shown in text


def test_commands_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    """Each reads what the one before it has written."""
    file = tmp_path / "keys.json"

    def make(number: int) -> Any:
        return create(f"k{number}", role=("predict",), file=file, common=Common(quiet=True)).result

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(24)))
    found = read_key_file(file)[0].keys
    assert {key.id for key in found} == {one["id"] for one in made}
    server = ring(file)
    for one in made:
        answer = server.authorize(one["key"].encode(), "predict", "m", time.time())
        assert isinstance(answer, Grant)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create", "x"), "--role"),
        (("create", "--role", "predict"), "--name"),
        (("create", "x", "--role", "boss"), "predict"),
        (("create", "x/y", "--role", "label"), "letters"),
        (("create", "x", "--role", "label", "--rate", "0"), "--rate"),
        (("create", "x", "--role", "label", "--rate", "nan"), "--rate"),
        (("create", "x", "--role", "label", "--rows-rate", "inf"), "--rows-rate"),
        (("create", "x", "--role", "label", "--burst", "5"), "--rate"),
        (("create", "x", "--role", "label", "--model", "a/b"), "--model"),
        (("create", "x", "--role", "label", "--expires", "1y"), "90d"),
        (("create", "x", "--role", "label", "--expires", "999999w"), "90d"),
        (("create", "x", "--role", "label", "--expires", "2020-01-01"), "over already"),
        (("create", "held", "--role", "label"), "already"),
        (("revoke", "nobody"), "afterfit key list"),
        (("list", "--file", "gone.json"), "afterfit key create"),
        (("revoke", "x", "--file", "gone.json"), "afterfit key create"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(
    tell: Told, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    """Exit code 2, with the way out."""
    tell("create", "held", "--role", "predict")
    before = (tmp_path / "keys.json").read_bytes()
    out, err = tell(*arguments, code=2)
    assert out == ""
    assert told in err
    assert (tmp_path / "keys.json").read_bytes() == before
    assert not (tmp_path / "gone.json").exists()


def test_a_broken_file_is_never_written_over(tell: Told, tmp_path: Path) -> None:
    """The keys in it may yet be saved."""
    (tmp_path / "keys.json").write_bytes(b'{"schema": 1, "pepp')
    (tmp_path / "keys.json").chmod(0o600)
    _, err = tell("create", "x", "--role", "predict", code=2)
    assert "not a file of API keys" in err
    assert (tmp_path / "keys.json").read_bytes() == b'{"schema": 1, "pepp'
    with pytest.raises(AfterfitError):
        ring(tmp_path / "keys.json")
