"""``afterfit monitor report``: the gates of the configuration as alarms."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

import afterfit
from afterfit.cli.app import run
from afterfit.core.bundle import Bundle
from afterfit.records.monitor import MonitorRecord
from afterfit.runtime.counts import LiveCounts
from afterfit.workspace import Workspace


def test_the_gates_of_the_configuration_are_alarms_and_stop_no_promotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate on live rows is judged by the report, and by nothing before it."""
    monkeypatch.chdir(tmp_path)
    gates = ["monitor.accuracy >= 0.999", "labelled_share >= 0.5"]
    (tmp_path / "afterfit.toml").write_text(f"gates = {json.dumps(gates)}\n")
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    assert run(["version", "promote", "churn@1"]) == 0
    random = np.random.default_rng(0)
    table = pd.DataFrame(people(400)).assign(target=random.choice(["no", "yes"], 400))
    table.to_csv("rows.csv", index=False)
    assert run(["predict", "churn", "rows.csv", "-o", "scored.csv"]) == 0
    capsys.readouterr()
    assert run(["monitor", "report", "churn", "--log", "scored.csv", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["result"]["body"]["findings"]
    alarms = {each["where"]: each["outcome"] for each in findings if each["code"] == "M009"}
    assert alarms == {gates[0]: "issue", gates[1]: "passed"}


def test_predictions_of_a_loaded_version_are_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``afterfit.load(...).predict`` leaves events and live counts that the report reads."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    with afterfit.load("churn@1") as model:
        model.predict(pd.DataFrame(people(300)))
    record = _reported(space, "churn@1")
    assert record.counts["served"] == 300
    assert record.live is not None
    assert {column.total for column in record.live.columns} == {300}


def test_a_folder_of_events_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of ``serve --events``; another folder, or a folder without a version, is told."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    with afterfit.load("churn@1") as model:
        model.predict(pd.DataFrame(people(30)))
    space.events.rename("elsewhere")
    record = _reported(space, "churn@1", "--log", "elsewhere")
    assert record.counts["served"] == 30
    assert record.live is not None
    capsys.readouterr()
    assert run(["monitor", "report", "churn", "--log", "draft"]) == 2
    assert "holds no events" in capsys.readouterr().err
    assert run(["monitor", "report", "--log", "elsewhere"]) == 2
    assert "--log elsewhere" in capsys.readouterr().err
    assert run(["monitor", "report", "churn", "--log", "elsewhere", "--map", "score=p"]) == 2
    assert "leave out --map" in capsys.readouterr().err


def test_a_period_bounds_live_counts_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts of hours outside of the period are left out, and the report names those it took."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    version = space.registry.register("churn", tmp_path / "draft", who="ana")
    counts = LiveCounts("w")
    nine = datetime(2026, 11, 23, 9, tzinfo=UTC)
    for hour, rows in enumerate((200, 300, 400)):
        counts.update(
            ("churn", 1, version.digest),
            Bundle(tmp_path / "draft").fingerprint,
            people(rows),
            np.full(rows, 0.5),
            now=(nine + timedelta(hours=hour, minutes=20)).timestamp(),
        )
    counts.save(space.events)
    period = ["--since", "2026-11-23T10:30:00Z", "--until", "2026-11-23T11:00:00Z"]
    record = _reported(space, "churn@1", *period)
    assert record.live is not None
    assert {column.total for column in record.live.columns} == {300}
    assert record.counted == ("2026-11-23T10:00:00+00:00", "2026-11-23T11:00:00+00:00")
    record = _reported(space, "churn@1", "--since", "2030-01-01")
    assert record.live is not None
    assert {column.total for column in record.live.columns} == {0}
    assert record.counted is None
    assert [f.outcome for f in record.findings if f.code in {"M003", "M010"}] == ["skipped"]


def _reported(space: Workspace, *arguments: str) -> MonitorRecord:
    assert run(["monitor", "report", *arguments]) == 0
    stored = space.records.latest("monitor")
    assert stored is not None
    assert isinstance(stored.body, MonitorRecord)
    return stored.body
