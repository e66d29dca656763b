"""From traffic to action: a month that drifted is seen, its labels come, and the server goes back.

The server, its requests, its events and the labels are real. Their times are moved into the past,
since the two months of the demo's payments would take two months. The tests go on from each other.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pandas as pd
import pytest
from tests.e2e.helpers import plain_rows
from tests.monitor.alarms.samples import until

from afterfit.cli.app import run
from afterfit.config import load_config
from afterfit.core.frame import take
from afterfit.models.save import skops_bytes
from afterfit.monitor import daemon
from afterfit.runtime.client import Client
from afterfit.runtime.event_write import batches_of
from afterfit.runtime.events import read_segments
from afterfit.runtime.sinks.segments import SegmentWriter
from afterfit.testing.fraud import FEATURES, TARGET, TIME, make_fraud, train_fraud
from afterfit.workspace import Workspace, effort

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DAY = 24 * 3_600_000_000
WINDOW = 10 * DAY
CHAMPION = "fraud@champion"


class Place(NamedTuple):
    """A folder with two versions of the demo's model, the second champion, and the payments."""

    folder: Path
    months: pd.DataFrame


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two versions, shipped; a month as they know it, and the one that drifted."""
    folder = tmp_path_factory.mktemp("fraud")
    shares = dataclasses.replace(effort.SHARES["quick"], robustness=0.5, robustness_rows=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(effort.SHARES, "quick", shares)
        # The silence of the hours since then is looked for in two of them, and not in a month's.
        patch.setattr(daemon, "MOST_HOURS", 2)
        shipped(folder)
        months = [make_fraud(6000, seed=9, months=1), make_fraud(6000, months=1, drifted=True)]
        table = pd.concat([pd.DataFrame(month) for month in months], ignore_index=True)
        yield Place(folder, table)


def shipped(folder: Path) -> None:
    """Ship the demo's model as it is, and of fewer rows."""
    rows = make_fraud(11_500)
    held = pd.DataFrame(take(rows, slice(9000, None))).drop(columns=TIME)
    held.to_csv(folder / "held.csv", index=False)
    configured(folder)
    for number, n in enumerate((9000, 6000), 1):
        path = folder / f"fraud-{number}.skops"
        path.write_bytes(skops_bytes(train_fraud(take(rows, slice(0, n)))))
        with space_of(folder) as space:
            space.ship(path, folder / "held.csv", TARGET, name="fraud")


def configured(folder: Path, alarms: str = "") -> None:
    """Watch in windows of ten days, with these alarms."""
    data = f'data = "{folder / "held.csv"}"\ntarget = "{TARGET}"'
    (folder / "afterfit.toml").write_text(
        f'[model]\nname = "fraud"\npositive = "yes"\n[data]\n{data}\n'
        '[line]\neffort = "quick"\nfolds = 0\n[loadtest]\nbudget = 0.3\n'
        '[serve]\nport = 0\nworkers = 1\ncapture = "all"\n'
        f'[monitor]\nwindow = "10d"\n[alarms]\n{alarms}\n',
        "utf-8",
    )


@contextmanager
def space_of(folder: Path) -> Iterator[Workspace]:
    """The workspace under its configuration of now."""
    yield Workspace(folder / ".afterfit", config=load_config(folder, environ={}))


@contextmanager
def serving(folder: Path, live: Path) -> Iterator[Client]:
    """A server that follows the champion."""
    with (
        space_of(folder) as space,
        (folder / "server.log").open("wb") as log,
        space.serve(CHAMPION, events=str(live), log=log) as served,
        served.server.client() as client,
    ):
        yield client


def send(client: Client, table: pd.DataFrame, *, size: int = 2000, wrong: int = 0) -> list[str]:
    """The names of the predictions of every row, whose labels were sent after them.

    Where version ``wrong`` answered, the labels are those of other rows.
    """
    rows, names, versions = plain_rows(table[list(FEATURES)]), list[str](), list[int]()
    for start in range(0, len(rows), size):
        answered = client.predict(rows[start : start + size])
        names += [each["id"] for each in answered["predictions"]]
        versions += [answered["version"]] * len(answered["predictions"])
    right = table[TARGET].tolist()
    truth = [t if v != wrong else o for t, o, v in zip(right, right[::-1], versions, strict=True)]
    for start in range(0, len(rows), 2000):
        told = zip(names[start : start + 2000], truth[start : start + 2000], strict=True)
        labels = [{"event_id": name, "label": label} for name, label in told]
        assert client.post("/labels", {"labels": labels}).status == 200
    return names


def into_the_past(live: Path, past: Path, names: list[str], windows: int) -> None:
    """Write a server's events again as windows of ten days, the labels of each after it."""
    end = (time.time_ns() // 1000 - DAY) // WINDOW * WINDOW
    step = windows * WINDOW // len(names)
    when = {name: end - windows * WINDOW + step * row for row, name in enumerate(names)}
    found = []
    for event in read_segments(live):
        moment = when[event.event_id]
        if event.kind == "label":
            moment = moment // WINDOW * WINDOW + WINDOW + DAY // 2
        found.append(msgspec.structs.replace(event, ts=moment))
    assert len(found) == 2 * len(names)
    # A window's labels stand together, as a file of them does.
    found.sort(key=lambda event: (event.ts // WINDOW, event.kind == "served", event.ts))
    writer = SegmentWriter(past, "w0")
    for start in range(0, len(found), 2000):
        for batch in batches_of(found[start : start + 2000]):
            writer.write(batch)
    writer.close()


def told(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> list[dict[str, Any]]:
    """What a command says with --json, line by line."""
    capsys.readouterr()
    assert run([*words, "--json", "--workspace", str(folder / ".afterfit")]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def alarms_of(capsys: pytest.CaptureFixture[str], folder: Path) -> list[dict[str, Any]]:
    """The alarms that last, the worst first."""
    (answer,) = told(capsys, folder, "monitor", "alarms")
    return list(answer["result"])


def lines_of(folder: Path, action: str) -> list[Any]:
    """The lines of the audit log."""
    with space_of(folder) as space:
        return [line for line in space.registry.log("fraud") if line.action == action]


def actions_of(folder: Path, name: str) -> list[Any]:
    """What the audit log has of an action."""
    lines = lines_of(folder, "monitor_action")
    return [line for line in lines if line.details["action"] == name]


def answered_by(client: Client, table: pd.DataFrame) -> int:
    """The version that answers."""
    return int(client.predict(plain_rows(table[list(FEATURES)]))["version"])


def test_a_month_that_drifted_rolls_the_server_back(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns that moved are named, the loss is told, and version 1 answers again.

    A dry run before says so and changes nothing; a second alarm within the cool-down acts not.
    """
    folder = place.folder
    monkeypatch.chdir(folder)
    live, past = folder / "live", folder / "past"
    watch = ("monitor", "run", CHAMPION, "--events", str(past), "--once")
    configured(folder, 'actions = ["rollback"]')
    with serving(folder, live) as client:
        into_the_past(live, past, send(client, place.months), 6)
        said = told(capsys, folder, *watch, "--reference", str(folder / "held.csv"))
        windows = [line for line in said if line["event"] == "window"]
        assert [line["n"] for line in windows] == [2000] * 6
        alarms = alarms_of(capsys, folder)
        moved = [a for a in alarms if a["signal"] in ("drift", "missing", "new_category")]
        assert {a["subject"] for a in moved} == {"country", "device"}
        assert all(a["worst"]["loss"]["low"] <= a["worst"]["loss"]["high"] for a in moved)
        harm = alarms[0]
        assert (harm["signal"], harm["worst"]["loss"]["low"] > 0.05) == ("performance", True)
        assert client.get("/version").json()["version"] == 2
        (line,) = actions_of(folder, "rollback")
        assert line.details["outcome"] == "would roll back fraud from version 2 to 1"
        assert (line.details["dry_run"], lines_of(folder, "rollback")) == (True, [])

        configured(folder, 'actions = ["rollback"]\ndry_run = false')
        for _ in range(2):
            told(capsys, folder, *watch)
        until(lambda: client.get("/version").json()["version"] == 1, seconds=60)
    (line,) = lines_of(folder, "rollback")
    assert (line.source, line.to) == ("2", "1")
    assert line.why.startswith(f"alarm {harm['id']}: firing, high: performance")
    done = actions_of(folder, "rollback")[1:]
    assert [each.details["outcome"] for each in done] == ["fraud is version 1 again"]
    story = next(a for a in alarms_of(capsys, folder) if a["id"] == harm["id"])
    assert [each["state"] for each in story["deliveries"]] == ["dry_run", "sent"]
    page = folder / "alarms.html"
    told(capsys, folder, "monitor", "alarms", "-o", str(page))
    assert "fraud is version 1 again" in page.read_text("utf-8")


def test_a_canary_that_harms_gets_no_more_requests(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels say that its answers are worth nothing: its share goes to 0, and the log says why."""
    folder = place.folder
    monkeypatch.chdir(folder)
    live, past = folder / "live-canary", folder / "past-canary"
    shutil.rmtree(folder / ".afterfit" / "monitor", ignore_errors=True)
    with space_of(folder) as space:
        space.promote("fraud", 1, why="version 2 is to be a canary")
    configured(folder, 'actions = ["pause_canary"]\ndry_run = false\ngates = ["roc_auc >= 0.8"]')
    with serving(folder, live) as client:
        (answer,) = told(capsys, folder, "endpoint", "set", "fraud", "--canary", "2=50%")
        canary = answer["result"]["models"]["fraud"]["canary"]
        assert canary["share_ppm"] == 500_000
        names = send(client, place.months[:6000], size=100, wrong=2)
        into_the_past(live, past, names, 1)
        said = told(capsys, folder, "monitor", "run", CHAMPION, "--events", str(past), "--once")
        gates = [a for a in said if a["event"] == "alarm" and a["signal"] == "gate"]
        assert {(a["subject"], a["scope"]["version"]) for a in gates} == {("roc_auc >= 0.8", 2)}
        assert [answered_by(client, place.months[:20]) for _ in range(10)] == [1] * 10
    (line,) = actions_of(folder, "pause_canary")
    assert "no more requests" in line.details["outcome"]
    assert line.why == "firing, high: gate roc_auc >= 0.8 of fraud@2 on afterfit"


RETRAIN = """
import json, os, sys
from pathlib import Path
evidence = json.loads(Path(os.environ["AFTERFIT_EVIDENCE"]).read_text())
assert evidence["alarm"]["scope"]["model"] == os.environ["AFTERFIT_NAME"] == "fraud"
assert os.environ["AFTERFIT_FROM"] < os.environ["AFTERFIT_TO"]
sys.path[:0] = {path!r}
from afterfit.models.save import skops_bytes
from afterfit.testing.fraud import make_fraud, train_fraud
model = train_fraud(make_fraud(6000, months=1, drifted=True))
Path(os.environ["AFTERFIT_MODEL_OUT"], "fraud.skops").write_bytes(skops_bytes(model))
"""


def test_an_alarm_brings_a_challenger(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script trains on what the alarm is of; its model ships, and waits beside the champion."""
    folder = place.folder
    monkeypatch.chdir(folder)
    shutil.rmtree(folder / ".afterfit" / "monitor")
    (folder / "train.py").write_text(RETRAIN.format(path=sys.path), "utf-8")
    command = json.dumps([sys.executable, str(folder / "train.py")])
    configured(folder, f'actions = ["retrain"]\ndry_run = false\nretrain = {command}')
    watch = ("monitor", "run", CHAMPION, "--events", str(folder / "past"), "--once")
    told(capsys, folder, *watch)
    with space_of(folder) as space:
        assert space.registry.resolve("fraud@challenger").number == 3
        assert space.registry.resolve(CHAMPION).number == 1
    (line,) = actions_of(folder, "retrain")
    assert line.details["outcome"] == "fraud@3 is challenger"
