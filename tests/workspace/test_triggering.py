"""Changes are told: signed, tried again, logged, and never waited for."""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.waiting import until

from afterfit.config import Config, load_config
from afterfit.core.sections import TriggersSection
from afterfit.errors import ConfigError
from afterfit.monitor.channels.webhook import verify
from afterfit.workspace import Workspace, triggering
from afterfit.workspace.triggering import deliver_all

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "quite a long secret"  # noqa: S105 - of a test


class _Receiver(BaseHTTPRequestHandler):
    """Answers 500 once, then takes everything."""

    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        """Keep one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((dict(self.headers), body))
        self.send_response(500 if len(self.got) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """The host and port of a receiver."""
    _Receiver.got.clear()
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def _space(folder: Path, **triggers: Any) -> Workspace:
    config = Config(gates=(), triggers=TriggersSection(**triggers))
    return Workspace(folder / ".afterfit", config=config)


def test_a_change_is_posted_signed_and_tried_again(
    receiver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver can check who sent it; the log has both attempts, and no secret."""
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setattr(triggering, "_start", lambda _: None)
    address = f"webhook://{receiver}/hook?secret=env:HOOK"
    space = _space(tmp_path, new_version=[address], failed_gate=[address])
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    assert deliver_all(space.folder, sleep=lambda _: None) == 1
    assert deliver_all(space.folder, sleep=lambda _: None) == 0
    (first, body), (second, again) = _Receiver.got
    assert body == again
    assert first["Afterfit-Id"] == second["Afterfit-Id"]
    assert verify(SECRET, second, again, now=time.time())
    assert not verify("another", second, again, now=time.time())
    told = json.loads(again)
    assert (told["event"], told["name"], told["to"], told["who"]) == (
        "new_version", "churn", "1", "ana",
    )  # fmt: skip
    log = (space.folder / "triggers" / "log.jsonl").read_text()
    outcomes = [json.loads(line)["outcome"] for line in log.splitlines()]
    assert outcomes == ["failed", "told"]
    assert SECRET not in log


def test_a_command_gets_the_event_while_the_change_goes_on(tmp_path: Path) -> None:
    """A process of its own runs it: the change itself does not wait for a command that sleeps."""
    script = tmp_path / "notify.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        f"time.sleep(1)\npathlib.Path({str(tmp_path / 'told')!r} + os.environ['AFTERFIT_EVENT'])"
        ".write_text(sys.stdin.read())\n"
    )
    command = f"command:{sys.executable} {script}"
    space = _space(tmp_path, rollback=[command])
    for number, bias in enumerate((-3.0, -2.0), 1):
        people_bundle(tmp_path / f"draft{number}", bias=bias)
        space.registry.register("churn", tmp_path / f"draft{number}", who="ana")
        space.promote("churn", number)
    assert not (space.folder / "triggers").exists()
    space.rollback("churn", why="worse")
    assert not (tmp_path / "toldrollback").exists()
    until((space.folder / "triggers" / "log.jsonl").exists, 60)
    told = json.loads((tmp_path / "toldrollback").read_text())
    assert (told["event"], told["from"], told["to"], told["why"]) == (
        "rollback", "2", "1", "worse",
    )  # fmt: skip


def test_what_cannot_be_told_is_dropped_with_a_reason_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is not there; an address that is none is refused with the configuration."""
    monkeypatch.setattr(triggering, "_start", lambda _: None)
    space = _space(tmp_path, new_version=["command:no-such-program-here"])
    people_bundle(tmp_path / "draft")
    version = space.registry.register("churn", tmp_path / "draft", who="ana")
    assert version.number == 1
    assert deliver_all(space.folder, sleep=lambda _: None) == 0
    lines = (space.folder / "triggers" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == [*["failed"] * 3, "dropped"]
    (tmp_path / "afterfit.toml").write_text('[triggers]\nrollback = ["slack"]\n')
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert "neither a webhook nor a command" in caught.value.why
