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


def test_clauses_of_checks_are_texts_there_too() -> None:
    """They stand in the records of an endpoint and of conformance."""
    program = (
        "from afterfit.robustness.endpoint.catalog import CHECKS\n"
        "from afterfit.testing.conformance.checks import binary\n"
        "from afterfit.testing.conformance.check import checks_of\n"
        "print(min(len(check.clause) for check in CHECKS))\n"
        "print(min(len(check.sense) for check in checks_of(binary)))\n"
    )
    command = [sys.executable, "-OO", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(int(least) > 10 for least in done.stdout.split())
