"""``afterfit monitor run|status|backfill`` on the events of a version."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

import afterfit
from afterfit.cli.app import run
from afterfit.cli.monitor_run import _teller
from afterfit.runtime.event_write import batches_of
from afterfit.runtime.events import read_segments
from afterfit.runtime.sinks.segments import SegmentWriter
from afterfit.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000


@pytest.fixture
def past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a version, and its 300 predictions of five hours ago in ``past``."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    with afterfit.load("churn@1") as model:
        model.predict(pd.DataFrame(people(300)))
    ago = time.time_ns() // 1000 // HOUR * HOUR - 5 * HOUR
    writer = SegmentWriter(tmp_path / "past", "w0")
    found = [msgspec.structs.replace(each, ts=ago) for each in read_segments(space.events)]
    for batch in batches_of(found):
        writer.write(batch)
    writer.close()
    return tmp_path


def result_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The result of a command with --json."""
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["result"]
    return found


def test_an_endpoint_is_watched_shown_and_judged_anew(
    past: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One window of 300 predictions; its points stay as they are when it is judged again."""
    del past
    command = ["monitor", "run", "churn@1", "--events", "past", "--once"]
    assert run([*command, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["event"] == "watching"
    (window,) = [line for line in lines if line["event"] == "window"]
    assert (window["n"], window["scope"]["version"]) == (300, 1)
    assert run(command) == 0
    assert "watching churn@1" in capsys.readouterr().out
    status = result_of(capsys, "monitor", "status", "churn")
    (endpoint,) = status["endpoints"]
    assert (endpoint["endpoint"], endpoint["rows"], endpoint["running"]) == ("churn@1", 300, False)
    assert endpoint["versions"] == ["churn@1"]
    assert status["store_bytes"] > 0
    counts = [
        result_of(capsys, "monitor", "backfill", "churn@1", "--events", "past") for _ in range(2)
    ]
    assert counts[0] == counts[1]
    assert (counts[0]["rows"], counts[0]["points"]) == (300, window["points"])
    assert run(["monitor", "status"]) == 0
    assert "predictions read: 300" in capsys.readouterr().out


def test_what_cannot_be_watched_or_shown_says_what_to_do(
    past: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown model, nothing watched, a moment that is none, a setting that is none."""
    assert run(["monitor", "status"]) == 2
    assert "afterfit monitor run NAME@champion" in capsys.readouterr().err
    assert run(["monitor", "run", "nobody@1", "--once"]) == 2
    assert run(["monitor", "backfill", "churn@1", "--from", "yesterday"]) == 2
    assert "ISO 8601" in capsys.readouterr().err
    (past / "afterfit.toml").write_text('[monitor]\nwindow = "7 parsecs"\n')
    assert run(["monitor", "run", "churn@1", "--once"]) == 2
    told = capsys.readouterr().err
    assert "monitor.window" in told
    assert "Traceback" not in told


def test_sigterm_ends_it_and_it_is_alone_while_it_runs(
    past: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0, and the second daemon of an endpoint is refused."""
    command = [sys.executable, "-m", "afterfit", "monitor", "run", "churn@1", "--json"]
    with subprocess.Popen(command, cwd=past, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        assert json.loads(daemon.stdout.readline())["event"] == "watching"
        assert run(["monitor", "run", "churn@1", "--once"]) == 2
        assert "another process watches" in capsys.readouterr().err
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0


def test_an_alarm_that_lasts_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each window of it is a line for programs; for a person it is news when something changes."""
    say = _teller()
    line = {"event": "alarm", "at": "now", "id": "a1", "state": "firing", "severity": "high",
            "signal": "drift", "subject": "age", "message": "older", "silenced": ""}  # fmt: skip
    for more in ({}, {"message": "older still"}, {"state": "resolved"}, {"id": "a2"}):
        say(line | more)
    told = capsys.readouterr().out.splitlines()
    assert [each.split()[3:5] for each in told] == [
        ["a1,", "firing:"], ["a1,", "resolved:"], ["a2,", "firing:"],
    ]  # fmt: skip
