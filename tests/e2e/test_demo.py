"""The demo, run as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def _afterfit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from afterfit.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_demo_ends_with_a_promoted_version_and_commands_that_work(tmp_path: Path) -> None:
    """Verdict, report and next commands; each of those commands that ends by itself runs."""
    done = _afterfit(tmp_path, "demo", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["verdict"] == "promoted"
    assert all(gate["outcome"] == "pass" for gate in result["gates"])
    page = Path(tmp_path / result["report"]).read_text(encoding="utf-8")
    assert len(page) <= 1_000_000
    assert "<script" not in page
    assert "http://" not in page.replace("http://127.0.0.1", "").replace("http://www.w3.org", "")
    folder = tmp_path / "afterfit-demo"
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
        done = _afterfit(folder, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    assert len((folder / "scored.csv").read_text().splitlines()) == 1001


def test_the_drifted_month_is_seen(tmp_path: Path) -> None:
    """The later month, scored and reported on, raises the columns that moved."""
    assert _afterfit(tmp_path, "demo", "--quiet").returncode == 0
    folder = tmp_path / "afterfit-demo"
    scored = ("predict", "fraud@champion", "next_month.csv", "-o", "scored.parquet")
    assert _afterfit(folder, *scored).returncode == 0
    done = _afterfit(folder, "monitor", "report", "fraud", "--log", "scored.parquet", "--json")
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)["result"]["body"]
    moved = " ".join(f["where"] + f["message"] for f in body["findings"] if f["outcome"] == "issue")
    assert "device" in moved
