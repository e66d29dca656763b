"""``afterfit robustness URL`` on the command line, and its page in the docs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from tests.robustness.endpoint.model_server import Server

from afterfit.cli.app import run
from afterfit.robustness.endpoint.catalog import CHECKS

if TYPE_CHECKING:
    from pathlib import Path

Shown = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace of a command is made in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def broken(*faults: str) -> Server:
    """A server that is wrong in some ways."""
    return Server(frozenset(faults))


def test_a_right_server_exits_0_and_its_record_is_kept(capsys: Shown) -> None:
    """The groups of checks are told, and the record is in the workspace."""
    with Server() as server:
        assert run(["robustness", server.url, "-q", "--only", "request", "--only", "null"]) == 0
    text = capsys.readouterr().out
    assert "NO ISSUE" in text
    assert "POST /predict" in text
    assert re.search(r"Wrong requests +passed +11 +0 +0 +0 ", text)
    assert run(["record", "list", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["result"]
    assert record["step"] == "robustness_endpoint"
    assert run(["record", "show", record["digest"]]) == 0
    assert "every check had its turn" in capsys.readouterr().out


def test_a_must_that_fails_exits_1_with_the_command(capsys: Shown) -> None:
    """The finding stands first, then the clause, the answer and what to send again."""
    with broken("null.declared") as server:
        assert run(["robustness", server.url, "-q", "--only", "null"]) == 1
    text = capsys.readouterr().out
    assert "null for 'hours' got 200 [null.declared]" in text
    assert "curl -sS -i -m 5 -X POST" in text
    assert '"hours":null' in text


def test_a_should_that_fails_exits_0(capsys: Shown) -> None:
    """It is told as a tip."""
    with broken("request.extra-field") as server:
        assert run(["robustness", server.url, "-q", "--only", "request.extra-field"]) == 0
    assert "TIP     R030" in capsys.readouterr().out


def test_json_has_every_case(capsys: Shown) -> None:
    """A must that fails is ok: true, exit: 1, as a failed gate is."""
    with broken("rows.order") as server:
        code = run(["robustness", server.url, "--only", "rows", "--json", "--seed", "3"])
    envelope: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (code, envelope["ok"], envelope["exit"]) == (1, True, 1)
    body = envelope["result"]["body"]
    assert [c["check"] for c in body["cases"]] == [
        check.id for check in CHECKS if check.id.startswith("rows.")
    ]
    failed = {c["check"]: c["code"] for c in body["cases"] if c["status"] == "fail"}
    assert failed["rows.order"] == "R044"
    assert body["resolved"]["seed"] == 3


def test_a_secret_goes_to_the_server_and_nowhere_else(tmp_path: Path, capsys: Shown) -> None:
    """The header is in no command, no answer and no file of the workspace."""
    more = ["--header", "authorization: Bearer s3cret", "--only", "null", "--json"]
    with broken("null.declared") as server:
        assert run(["robustness", server.url, *more]) == 1
    shown = capsys.readouterr()
    assert "authorization: …" in shown.out
    assert "s3cret" not in shown.out + shown.err
    files = [path for path in (tmp_path / ".afterfit").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []


def test_the_command_sends_the_request_again(capsys: Shown) -> None:
    """What is printed is pasted into a shell, and the server answers as it was told."""
    tools = [tool for tool in ("bash", "curl", "base64", "xz") if not shutil.which(tool)]
    if tools:
        pytest.skip(f"NOT RUN: {', '.join(tools)} is not installed")
    faults = ("request.bad-charset", "connection.truncated", "payload.large")
    with broken(*faults) as server:
        only = [word for fault in faults for word in ("--only", fault)]
        assert run(["robustness", server.url, *only, "--json"]) == 1
        cases = json.loads(capsys.readouterr().out)["result"]["body"]["cases"]
        failed = [case for case in cases if case["status"] == "fail"]
        assert [case["check"] for case in failed] == list(faults)
        for case in failed:
            command = ["bash", "-c", case["command"]]
            again = subprocess.run(command, capture_output=True, check=True, timeout=30)
            assert again.stdout.startswith(b"HTTP/1.1 200"), case["command"][:300]


def test_an_example_and_a_route_are_enough(tmp_path: Path, capsys: Shown) -> None:
    """Rows are made like those of the file, by the schema of the document where there is one."""
    example = tmp_path / "example.json"
    example.write_text('{"rows": [{"age": 30.5, "hours": 20, "job": "clerk"}]}')
    more = ["--route", "/predict", "--example", str(example), "--only", "rows"]
    with Server() as server:
        assert run(["robustness", server.url, *more, "-q"]) == 0
    assert "POST /predict" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--example", "none.json"], "no such file"),
        (["--example", "bad.json"], "not JSON"),
        (["--route", "predict"], "not a route"),
        (["--route", "/other"], "describes no body for POST /other"),
        (["--route", "/predict", "--example", "word.json"], "the example cannot be used"),
        (["--route", "/predict", "--example", "other.json"], "no right request is known"),
        (["--header", "no colon"], "not a header"),
        (["--only", "nothing"], "no check is called 'nothing'"),
        (["--seconds", "0"], "needs some time"),
        (["--seed", "-1"], "a seed is at least 0"),
        (["--clients", "1000"], "1 to 64 clients"),
    ],
)
def test_wrong_usage_exits_2(more: list[str], told: str, tmp_path: Path, capsys: Shown) -> None:
    """With what is wrong, and without a traceback."""
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    (tmp_path / "word.json").write_text('"word"')
    (tmp_path / "other.json").write_text('{"rows": [{"height": 2}]}')
    with Server() as server:
        assert run(["robustness", server.url, "-q", *more]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "defect" not in error


def test_hosts_beyond_this_machine_have_to_be_named(capsys: Shown) -> None:
    """Nothing is sent before; a name that is allowed is asked."""
    assert run(["robustness", "http://192.0.2.1:9"]) == 2
    error = capsys.readouterr().err
    assert "this machine only" in error
    assert "--allow-remote 192.0.2.1" in error


def test_a_server_that_is_not_there_exits_2(capsys: Shown) -> None:
    """Kind unavailable, with a command that shows it."""
    assert run(["robustness", "http://127.0.0.1:1", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["fix"]) == ("unavailable", "curl -i http://127.0.0.1:1")


def test_options_of_a_server_are_refused_for_a_file(capsys: Shown) -> None:
    """They would have no effect."""
    assert run(["robustness", "model.skops", "--route", "/predict"]) == 2
    assert "--route: only for a running server" in capsys.readouterr().err


def test_the_page_has_every_check_with_its_clause(project_root: Path) -> None:
    """The table of the docs is that of the code."""
    page = (project_root / "docs" / "how-to" / "attack-an-endpoint.md").read_text("utf-8")
    rows = [
        f"| `{check.id}` | {check.level} | {check.kind.code} | {check.clause} |" for check in CHECKS
    ]
    assert [row for row in rows if row not in page] == []
