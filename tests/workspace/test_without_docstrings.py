"""``python -OO``, under which Altair cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def test_ship_says_so_before_its_work(tmp_path: Path) -> None:
    """It ended as a defect, after minutes and with a version that was promoted already."""
    (tmp_path / "rows.csv").write_text("a,y\n1,0\n")
    words = ["ship", "model.skops", "--data", "rows.csv", "--target", "y"]
    command = [sys.executable, "-OO", "-m", "afterfit", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: no page can be drawn under python -OO"
    assert "fix: unset PYTHONOPTIMIZE, or run python with -O or without" in done.stderr
