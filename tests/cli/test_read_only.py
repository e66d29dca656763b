"""A workspace that cannot be written, as a scoring job mounts it: what was asked for is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

from afterfit.cli.app import run
from afterfit.workspace import Workspace

SCORES = {"label", "probability_no", "probability_yes"}


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workspace with one version, mounted read-only (a mode alone does not stop root)."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    space.version("churn")
    pd.DataFrame(people(50)).to_csv("rows.csv", index=False)
    undo = _mount_read_only(space.folder) if os.geteuid() == 0 else _take_write_modes(space.folder)
    yield space.folder
    subprocess.run(undo, check=True)


def _mount_read_only(folder: Path) -> list[str]:
    command = [shutil.which("mount") or "mount", "--bind", "-o", "ro", str(folder), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NOT RUN: no read-only mount can be made here: {done.stderr.strip()}")
    return ["umount", str(folder)]


def _take_write_modes(folder: Path) -> list[str]:
    subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)
    return ["chmod", "-R", "u+w", str(folder)]


def records(space: Path) -> list[Path]:
    """The records that are kept."""
    return list((space / "records").glob("*"))


def test_predict_writes_its_output_and_warns_that_no_record_is_kept(
    read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0, the whole output, and the warning on stderr."""
    assert run(["predict", "churn", "rows.csv", "-o", "out.csv"]) == 0
    told = capsys.readouterr()
    assert "50 rows scored into out.csv" in told.out
    assert "warning: the record of predict was not kept" in told.err
    assert "read-only" in told.err or "not allowed" in told.err
    table = pd.read_csv("out.csv")
    assert len(table) == 50
    assert set(table.columns) > SCORES
    assert records(read_only) == []


def test_the_warning_stands_in_the_envelope(
    read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json the record is told whole, and ``warnings`` says that it is kept nowhere."""
    assert run(["predict", "churn", "rows.csv", "-o", "out.parquet", "--json"]) == 0
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["ok"] is True
    assert envelope["result"]["body"]["rows"] == 50
    (warning,) = envelope["warnings"]
    assert "was not kept" in warning
    assert records(read_only) == []


def test_a_monitor_report_is_written_where_it_is_asked_for(
    read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page of a scored file appears with --output; without, the folder is named and why."""
    assert run(["predict", "churn", "rows.csv", "-o", "scored.csv"]) == 0
    report = ["monitor", "report", "churn", "--log", "scored.csv"]
    capsys.readouterr()
    assert run([*report, "-o", "page.html"]) == 0
    assert "the record of monitor was not kept" in capsys.readouterr().err
    assert "<html" in Path("page.html").read_text(encoding="utf-8")
    assert run(report) == 2
    told = capsys.readouterr().err
    assert str(read_only.name) in told
    assert "read-only" in told or "not allowed" in told


def test_the_record_is_kept_where_the_workspace_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No warning, and one record, elsewhere."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    pd.DataFrame(people(50)).to_csv("rows.csv", index=False)
    assert run(["predict", "churn", "rows.csv", "-o", "out.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    assert len(records(space.folder)) == 1
