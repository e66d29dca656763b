"""From traffic to action: a month that drifted is seen, its labels come, and the server goes back.

Servers, requests, events and labels are real. Their times are moved into the past, since forty days
would take forty days. The two versions are small graphs; the one that is trained anew is shipped.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.e2e.helpers import plain_rows
from tests.monitor.alarms.samples import until
from tests.runtime.bundles import JOBS, people, people_bundle

from afterfit.cli.app import run
from afterfit.config import load_config
from afterfit.monitor import pulse
from afterfit.runtime.client import Client
from afterfit.runtime.event_write import batches_of
from afterfit.runtime.events import read_segments
from afterfit.runtime.sinks.segments import SegmentWriter
from afterfit.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DAY = 24 * 3_600_000_000
WINDOW = 10 * DAY
EACH = 300
"""Rows of a window: fewer than the 400 that the versions know."""
CHAMPION = "people@champion"
FEATURES = ["age", "hours", "job"]
TARGET = "pays"


def table_of(rows: int, seed: int, *, drifted: bool = False) -> pd.DataFrame:
    """People and whether they pay; drifted, they are older, pilots come, and nothing tells it."""
    frame, random = people(rows, seed), np.random.default_rng(seed)
    jobs = np.array([JOBS.index(job) / 2 for job in frame["job"]])
    logit = 0.05 * np.nan_to_num(frame["age"], nan=40) + 0.01 * frame["hours"] + jobs - 3
    pays = random.random(rows) < (0.5 if drifted else 1 / (1 + np.exp(-6 * logit)))
    if drifted:
        frame["age"] = np.minimum(frame["age"] + 20, 80)
        frame["job"][random.random(rows) < 0.3] = "pilot"
    return pd.DataFrame(frame | {TARGET: np.where(pays, "yes", "no")})


def months() -> pd.DataFrame:
    """Two windows as the versions know them, and two that drifted."""
    known, other = table_of(2 * EACH, 5), table_of(2 * EACH, 6, drifted=True)
    return pd.concat([known, other], ignore_index=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The silence of the hours since then is looked for in two of them, and not in a month's."""
    monkeypatch.setattr(pulse, "MOST_HOURS", 2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two versions, of which the second is champion."""
    monkeypatch.chdir(tmp_path)
    return made(tmp_path)


def made(folder: Path) -> Path:
    """Register two versions, and promote one after the other."""
    table_of(400, 4).to_csv(folder / "held.csv", index=False)
    configured(folder)
    with space_of(folder) as space:
        for number, bias in ((1, -3.0), (2, -2.9)):
            people_bundle(folder / f"draft-{number}", bias=bias)
            space.registry.register("people", folder / f"draft-{number}", who="ana")
            space.promote("people", number, override="there is no record of it")
    return folder


def configured(folder: Path, alarms: str = "") -> None:
    """Watch in windows of ten days, with these alarms."""
    data = f'data = "{folder / "held.csv"}"\ntarget = "{TARGET}"'
    (folder / "afterfit.toml").write_text(
        f'[model]\nname = "people"\npositive = "yes"\n[data]\n{data}\n'
        '[line]\neffort = "quick"\nfolds = 0\n[loadtest]\nbudget = 0.3\n'
        '[serve]\nport = 0\nworkers = 1\ncapture = "all"\n'
        f'[monitor]\nwindow = "10d"\n[alarms]\n{alarms}\n',
        "utf-8",
    )


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty days of events of version 2: of requests to a server, whose labels came later."""
    folder = made(tmp_path_factory.mktemp("served"))
    with serving(folder, folder / "live") as client:
        into_the_past(folder / "live", folder / "past", send(client, months()), 4)
    return folder / "past"


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


def send(client: Client, table: pd.DataFrame, *, size: int = 600, wrong: int = 0) -> list[str]:
    """The names of the predictions of every row, whose labels were sent after them.

    Where version ``wrong`` answered, the labels are those of other rows.
    """
    rows, names, versions = plain_rows(table[FEATURES]), list[str](), list[int]()
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
        return [line for line in space.registry.log("people") if line.action == action]


def actions_of(folder: Path, name: str) -> list[Any]:
    """What the audit log has of an action."""
    lines = lines_of(folder, "monitor_action")
    return [line for line in lines if line.details["action"] == name]


def answered_by(client: Client, table: pd.DataFrame) -> int:
    """The version that answers."""
    return int(client.predict(plain_rows(table[FEATURES]))["version"])


def test_a_month_that_drifted_rolls_the_server_back(
    folder: Path, past: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The columns that moved are named, the loss of quality is told, and version 1 answers again.

    A dry run before says so and changes nothing; a second alarm within the cool-down acts not.
    """
    watch = ("monitor", "run", CHAMPION, "--events", str(past), "--once")
    configured(folder, 'actions = ["rollback"]')
    with serving(folder, folder / "live") as client:
        said = told(capsys, folder, *watch, "--reference", str(folder / "held.csv"))
        windows = [line for line in said if line["event"] == "window"]
        assert [line["n"] for line in windows] == [EACH] * 4
        alarms = alarms_of(capsys, folder)
        moved = [a for a in alarms if a["signal"] in ("drift", "missing", "new_category")]
        assert {a["subject"] for a in moved} == {"age", "job"}
        harm = alarms[0]
        assert (harm["signal"], harm["worst"]["loss"]["low"] > 0.05) == ("performance", True)
        assert client.get("/version").json()["version"] == 2
        (line,) = actions_of(folder, "rollback")
        assert line.details["outcome"] == "would roll back people from version 2 to 1"
        assert (line.details["dry_run"], lines_of(folder, "rollback")) == (True, [])

        configured(folder, 'actions = ["rollback"]\ndry_run = false')
        for _ in range(2):
            told(capsys, folder, *watch)
        until(lambda: client.get("/version").json()["version"] == 1, seconds=60)
    (line,) = lines_of(folder, "rollback")
    assert (line.source, line.to) == ("2", "1")
    assert line.why.startswith(f"alarm {harm['id']}: firing, high: performance")
    done = actions_of(folder, "rollback")[1:]
    assert [each.details["outcome"] for each in done] == ["people is version 1 again"]
    story = next(a for a in alarms_of(capsys, folder) if a["id"] == harm["id"])
    assert [each["state"] for each in story["deliveries"]] == ["dry_run", "sent"]
    page = folder / "alarms.html"
    told(capsys, folder, "monitor", "alarms", "-o", str(page))
    assert "people is version 1 again" in page.read_text("utf-8")


def test_a_canary_that_harms_gets_no_more_requests(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels say that its answers are worth nothing: its share goes to 0, and the log says why."""
    live, past = folder / "live", folder / "past"
    with space_of(folder) as space:
        space.promote("people", 1, why="version 2 is to be a canary", override="as before")
    configured(folder, 'actions = ["pause_canary"]\ndry_run = false\ngates = ["roc_auc >= 0.8"]')
    people_asked = table_of(1000, 8)
    with serving(folder, live) as client:
        (answer,) = told(capsys, folder, "endpoint", "set", "people", "--canary", "2=50%")
        canary = answer["result"]["models"]["people"]["canary"]
        assert canary["share_ppm"] == 500_000
        into_the_past(live, past, send(client, people_asked, size=20, wrong=2), 1)
        said = told(capsys, folder, "monitor", "run", CHAMPION, "--events", str(past), "--once")
        gates = [a for a in said if a["event"] == "alarm" and a["signal"] == "gate"]
        assert {(a["subject"], a["scope"]["version"]) for a in gates} == {("roc_auc >= 0.8", 2)}
        assert [answered_by(client, people_asked[:20]) for _ in range(10)] == [1] * 10
    (line,) = actions_of(folder, "pause_canary")
    assert "no more requests" in line.details["outcome"]
    assert line.why == "firing, high: gate roc_auc >= 0.8 of people@2 on afterfit"


RETRAIN = """
import json, os, sys
from pathlib import Path
evidence = json.loads(Path(os.environ["AFTERFIT_EVIDENCE"]).read_text())
assert evidence["alarm"]["scope"]["model"] == os.environ["AFTERFIT_NAME"] == "people"
assert os.environ["AFTERFIT_FROM"] < os.environ["AFTERFIT_TO"]
sys.path[:0] = {path!r}
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tests.e2e.helpers import preprocess
from afterfit.models.save import skops_bytes
rows = pd.read_csv({table!r})
model = make_pipeline(preprocess(rows, {target!r}), LogisticRegression())
model.fit(rows.drop(columns={target!r}), rows[{target!r}])
Path(os.environ["AFTERFIT_MODEL_OUT"], "people.skops").write_bytes(skops_bytes(model))
"""


def test_an_alarm_brings_a_challenger(
    folder: Path, past: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script trains on new rows; its model ships, and waits beside the champion."""
    table = folder / "new.csv"
    table_of(400, 9).to_csv(table, index=False)
    script = RETRAIN.format(path=sys.path, table=str(table), target=TARGET)
    (folder / "train.py").write_text(script, "utf-8")
    command = json.dumps([sys.executable, str(folder / "train.py")])
    configured(folder, f'actions = ["retrain"]\ndry_run = false\nretrain = {command}')
    watch = ("monitor", "run", CHAMPION, "--events", str(past), "--once")
    told(capsys, folder, *watch, "--reference", str(folder / "held.csv"))
    (line,) = actions_of(folder, "retrain")
    assert line.details["outcome"] == "people@3 is challenger"
    with space_of(folder) as space:
        assert space.registry.resolve("people@challenger").number == 3
        assert space.registry.resolve(CHAMPION).number == 2
