"""A workspace that cannot be written, as a scoring job mounts it: what was asked for is done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.runtime.bundles import people, people_bundle

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.core.sections import LineSection, ServeSection
from afterfit.testing.samples import labels, pipeline, table
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
    with read_only_folder(space.folder):
        yield space.folder


@contextmanager
def read_only_folder(folder: Path) -> Iterator[None]:
    """A folder that cannot be written for the time of the block."""
    undo = _mount_read_only(folder) if os.geteuid() == 0 else _take_write_modes(folder)
    try:
        yield
    finally:
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


@pytest.mark.slow
def test_the_page_of_a_release_is_told_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text and Markdown need no place; HTML goes where it is asked to, else names the folder."""
    monkeypatch.chdir(tmp_path)
    data = table(missing=False)
    data.assign(bought=labels(data)).to_csv("rows.csv", index=False)
    model = pipeline(LogisticRegression()).fit(data, labels(data))
    release = Workspace(config=Config(line=LineSection(effort="quick"))).ship(
        model, Path("rows.csv"), "bought", name="churn"
    )
    shutil.rmtree(release.path.parent)
    with read_only_folder(tmp_path / ".afterfit"):
        capsys.readouterr()
        for form in ("text", "markdown"):
            assert run(["report", "churn@1", "--format", form]) == 0
            assert "promoted" in capsys.readouterr().out.lower()
        assert run(["report", "churn@1", "-o", "page.html"]) == 0
        assert "<html" in Path("page.html").read_text(encoding="utf-8")
        assert run(["report", "churn@1"]) == 2
        assert "reports" in capsys.readouterr().err


def test_a_server_leaves_no_folder_of_its_own_behind(
    read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its state, which has no place in the workspace, goes with it."""
    assert read_only.is_dir()
    places = tmp_path / "temporary"
    places.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(places))
    config = Config(serve=ServeSection(port=0, workers=1))
    with Workspace(config=config, create=False).serve("churn", events="-") as served:
        assert [path for path in places.iterdir() if path.name.startswith("afterfit-endpoint-")]
        assert served.server.client().get("/v2/health/ready").status == 200
    assert list(places.iterdir()) == []


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
