"""The demo, run as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from afterfit.cli.app import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
FOLDER = "afterfit-demo"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a demo that was run by its own process, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-c", "from afterfit.cli import main; main()", "demo", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)["result"]
    return folder, result


def test_the_demo_ends_with_a_promoted_version_and_commands_that_work(
    demo: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Verdict, report and next commands; each of those commands that ends by itself runs."""
    folder, result = demo
    assert result["verdict"] == "promoted"
    assert all(gate["outcome"] == "pass" for gate in result["gates"])
    page = Path(folder / result["report"]).read_text(encoding="utf-8")
    assert len(page) <= 1_000_000
    assert "<script" not in page
    assert "http://" not in page.replace("http://127.0.0.1", "").replace("http://www.w3.org", "")
    monkeypatch.chdir(folder / FOLDER)
    for arguments in (
        ("predict", "fraud@champion", "new_payments.csv", "-o", "scored.csv"),
        ("monitor", "report", "fraud", "--log", "scored.csv"),
        ("version", "log", "fraud"),
        ("version", "verify"),
        ("report", "fraud@champion", "--format", "text"),
        ("report", "fraud@champion", "--format", "markdown"),
        ("record", "list"),
        ("record", "verify"),
    ):
        assert run(arguments) == 0, f"{arguments}: {capsys.readouterr().err}"
    assert len(Path("scored.csv").read_text().splitlines()) == 1001


def test_the_drifted_month_is_seen(
    demo: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The later month, scored and reported on, raises the columns that moved."""
    monkeypatch.chdir(demo[0] / FOLDER)
    assert run(("predict", "fraud@champion", "next_month.csv", "-o", "scored.parquet")) == 0
    capsys.readouterr()
    done = run(("monitor", "report", "fraud", "--log", "scored.parquet", "--json"))
    told = capsys.readouterr()
    assert done == 0, told.err
    body = json.loads(told.out)["result"]["body"]
    moved = " ".join(f["where"] + f["message"] for f in body["findings"] if f["outcome"] == "issue")
    assert "device" in moved
