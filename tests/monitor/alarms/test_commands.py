"""The commands, and what actions do to a real registry."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.monitor.alarms.samples import HOUR, alarmed, one
from tests.monitor.alarms.servers import http_receiver

from afterfit.cli.app import run
from afterfit.config import load_config
from afterfit.core.bundle import Variant, write_manifest
from afterfit.core.digest import canonical_json
from afterfit.core.fingerprint import Fingerprint
from afterfit.core.sections import AlarmsSection
from afterfit.core.signature import Column, Signature
from afterfit.errors import AfterfitError, ConfigError, ConflictError, NotFoundError
from afterfit.monitor.actions import Rollback
from afterfit.monitor.channels import Message, Opened
from afterfit.monitor.channels.trial import try_channel
from afterfit.monitor.runbooks import steps_of
from afterfit.monitor.store import Change, open_store
from afterfit.records.signals import Delivery, Scope
from afterfit.report import html, text
from afterfit.report.alarms import alarms_page
from afterfit.workspace import Workspace
from afterfit.workspace.acting import WorkspaceHands, actions_of, gates_of

if TYPE_CHECKING:
    from afterfit.records.signals import Alarm

SIGNATURE = Signature(task="binary", columns=(Column(name="age", kind="number"),),
                      classes=("no", "yes"), positive="yes")  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose configuration is written by the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(folder: Path, words: str) -> Workspace:
    """The workspace under such a configuration."""
    (folder / "afterfit.toml").write_text(f"[alarms]\n{words}\n", "utf-8")
    return Workspace(folder / ".afterfit", config=load_config(folder))


def told(capsys: pytest.CaptureFixture[str], *words: str, exit_code: int = 0) -> Any:
    """The result of a command as JSON, or its error."""
    assert run(["monitor", *words, "--json"]) == exit_code
    found = json.loads(capsys.readouterr().out)
    return found["result"] if found["ok"] else found["error"]


def shelved(space: Workspace, *models: bytes) -> list[str]:
    """The digests of versions of churn, the last one champion."""
    for number, model in enumerate(models, 1):
        folder = space.folder.parent / f"bundle-{number}"
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "model.onnx").write_bytes(model)
        variant = Variant(name="onnx", runtime="onnx", framework="sklearn", file="model/model.onnx")
        for name, value in (("signature", SIGNATURE), ("variant", variant),
                            ("fingerprint", Fingerprint(n_ref=0, seed=0, columns=[]))):  # fmt: skip
            (folder / f"{name}.json").write_bytes(canonical_json(value))
        write_manifest(folder)
        space.registry.register("churn", folder, who="anna")
        space.registry.promote("churn", number, who="anna")
    return [version.digest for version in space.registry.list("churn")]


@pytest.fixture
def kept(here: Path) -> Alarm:
    """An alarm in the store, of which one channel was told and another gave up."""
    configured(here, "")
    found = alarmed()
    alarm = found.open()[0]
    for channel, state in (("ops", "sent"), ("mail", "dropped")):
        delivery = Delivery(channel=channel, at=HOUR, state=state, message="firing")  # type: ignore[arg-type]
        alarm = found.delivered(alarm.id, delivery) or alarm
    store = open_store("", here / ".afterfit" / "monitor")
    store.commit("churn", Change(alarms=[alarm]))
    store.close()
    return alarm


def test_alarms_are_shown_with_who_was_told(
    here: Path, kept: Alarm, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, as JSON, and as a page with runbook and plot; a lost channel is a warning."""
    (shown,) = told(capsys, "alarms")
    assert (shown["id"], shown["runbook"]) == (kept.id, "M078")
    assert run(["monitor", "alarms", "-o", "alarms.html"]) == 0
    out, err = capsys.readouterr()
    assert "mail dropped, ops sent" in out
    assert "the channel mail was given up" in err
    page = (here / "alarms.html").read_text("utf-8")
    assert "1 alarm fires, 0 silenced." in page
    assert "cannot tell" in page
    assert "<svg" in page


def test_a_page_of_no_alarms_and_of_hostile_names() -> None:
    """Nothing wrong is said; what callers name is escaped; histograms come from the evidence."""
    assert "Nothing is wrong" in text.render(alarms_page([], steps_of))
    evil = "<script>alert(1)</script>"
    evidence = {"before": [0.2, 0.8], "after": [0.9, 0.1], "edges": [3.0]}
    alarm = one(signal="drift", subject=evil, evidence=evidence)
    page = html.render(alarms_page([alarm], steps_of))
    assert evil not in page
    assert "below 3" in text.render(alarms_page([alarm], steps_of))
    names = evidence | {"edges": [], "categories": ["a", evil]}
    assert evil not in html.render(alarms_page([one(evidence=names)], steps_of))


def test_a_silence_is_kept_listed_and_ended(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its line in the audit log; without reason or time it is refused."""
    space = configured(here, "")
    monkeypatch.setenv("AFTERFIT_USER", "anna")
    held = told(capsys, "silence", "drift/*", "--for", "4h", "--why", "known")
    assert [each["id"] for each in told(capsys, "silence")] == [held["id"]]
    told(capsys, "silence", held["id"], "--end")
    assert told(capsys, "silence") == []
    lines = [(line.action, line.who, line.why) for line in space.registry.log()]
    assert lines == [("monitor_silence", "anna", "known"), ("monitor_silence_end", "anna", "known")]
    wrong = ("--for 4h", "--why x", "--for 4h --until 2030-01-01 --why x", "--for soon --why x",
             "--until 2020-01-01 --why x")  # fmt: skip
    for words in map(str.split, wrong):
        assert told(capsys, "silence", "drift", *words, exit_code=2)["fix"]


def test_a_channel_is_tried(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 0 where it was taken, 1 where it was not, and 2 for one that there is not."""
    monkeypatch.setenv("HOOK", "secret-of-hook")
    with http_receiver() as receiver:
        address = f"webhook://127.0.0.1:{receiver.port}/x?secret=env:HOOK"
        configured(here, f'channels = {{own = "{address}"}}')
        assert told(capsys, "test-channel")["state"] == "sent"
        assert json.loads(receiver.requests[0].body)["event"] == "test"
        receiver.statuses += [503, 403]
        assert told(capsys, "test-channel", "own", exit_code=1)["state"] == "failed"
        assert told(capsys, "test-channel", "own", exit_code=1)["state"] == "dropped"
    assert "there are: own" in told(capsys, "test-channel", "ops", exit_code=2)["why"]

    class Odd:
        def send(self, message: Message) -> str:
            raise ValueError(f"no secret-of-hook for {message.event}")

    assert try_channel(Opened("odd", Odd(), ("secret-of-hook",)), 1).message == "no … for test"


def test_rules_are_written_from_the_configuration(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file for each of Prometheus and Grafana, with the gates in them."""
    (here / "afterfit.toml").write_text('gates = ["latency_p99_ms <= 20"]\n[monitor]\nslo = '
                                        '["available 99.9"]\n', "utf-8")  # fmt: skip
    files = told(capsys, "rules", "-o", "out")["files"]
    assert files == ["out/afterfit-rules.yml", "out/afterfit-dashboard.json"]
    rules = (here / "out" / "afterfit-rules.yml").read_text("utf-8")
    assert "AfterfitGateLatencyP99Ms" in rules
    assert "AfterfitBurnAvailable9991h" in rules


def test_the_hands_roll_a_real_registry_back(here: Path) -> None:
    """To the version before, with the alarm as the reason; another champion stays where it is."""
    space = configured(here, 'actions = ["rollback"]\ndry_run = false')
    first, second = shelved(space, b"one", b"two")
    (action,) = actions_of(space, {})
    assert isinstance(action, Rollback)
    scope = Scope(model="churn", version=2, digest=second)
    message = Message(one(scope=scope), "firing")
    assert action.send(message) == "churn is version 1 again"
    assert space.registry.resolve("churn@champion").digest == first
    why = [line.why for line in space.registry.log("churn") if line.action == "rollback"]
    assert why[0].startswith(f"alarm {message.alarm.id}: firing")
    hands = WorkspaceHands(space)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        hands.rollback("churn", digest=second, why="")
    assert (hands.champion("churn"), hands.champion("other")) == (first, "")
    with pytest.raises(NotFoundError, match="no server"):
        hands.canary("churn")


def test_a_model_that_ships_becomes_challenger(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ship` runs in a process of its own; what it says of a failure is passed on."""
    space = configured(here, "")
    first, second = shelved(space, b"one", b"two")
    hands = WorkspaceHands(space)
    answer = {"ok": True, "result": {"version": 1}}

    def shipping(command: list[str], **_: Any) -> Any:
        assert command[:4] == [sys.executable, "-m", "afterfit", "ship"]
        assert {"--no-promote", "--json", "churn"} <= set(command)

        class Done:
            stdout = json.dumps(answer).encode()

        return Done()

    monkeypatch.setattr("afterfit.workspace.acting.subprocess.run", shipping)
    monkeypatch.setattr(Workspace, "judge", lambda *_: ())
    assert hands.ship("churn", here / "m", why="alarm") == "churn@1 is challenger"
    assert space.registry.resolve("churn@challenger").digest == first
    assert hands.champion("churn") == second
    for wrong in ({"ok": False, "error": {"message": "no model"}}, {}, {"ok": True, "result": {}}):
        answer = wrong
        with pytest.raises(AfterfitError, match="did not ship"):
            hands.ship("churn", here / "m", why="alarm")


def test_what_cannot_be_done_is_told_before_the_watch_begins(here: Path) -> None:
    """A channel for retraining that there is not, and a database whose password is written down."""
    space = configured(here, 'actions = ["retrain"]\nretrain = ["channel:none"]')
    with pytest.raises(ConfigError, match="no channel 'none'"):
        actions_of(space, {})
    with pytest.raises(ConfigError, match="does not belong"):
        gates_of(configured(here, 'database = "postgresql://u:p@h/d"'))
    assert gates_of(configured(here, 'database = "sqlite:///nothing"')).of_points([]) == []
    assert AlarmsSection(actions=("rollback",)).dry_run
