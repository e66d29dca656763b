"""The ranges of numbers on the command line, told before anything is opened or served."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from afterfit.cli.app import run
from afterfit.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

RANGES = [("port", 0, 65535), ("workers", 1, 256), ("threads", 1, 256)]


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_a_number_out_of_its_range_is_told_with_the_bound(
    name: str,
    low: int,
    high: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One below, one above and a word: exit 2, the setting or option, and what it may be."""
    monkeypatch.chdir(tmp_path)
    for value, bound in ((low - 1, f">= {low}"), (high + 1, f"<= {high}")):
        assert run(["serve", "churn", f"--{name}", str(value)]) == 2
        told = capsys.readouterr().err
        assert f"$.serve.{name}" in told
        assert bound in told
        assert "Traceback" not in told
    assert run(["serve", "churn", f"--{name}", "many"]) == 2
    told = capsys.readouterr().err
    assert name in told.lower()
    assert "many" in told
    assert not (tmp_path / ".afterfit").exists()


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_the_bounds_themselves_are_taken(name: str, low: int, high: int, tmp_path: Path) -> None:
    """From the command line and from the environment alike."""
    for value in (low, high):
        given = load_config(tmp_path, overrides={f"serve.{name}": value}, environ={})
        assert getattr(given.config.serve, name) == value
        assert given.origins[f"serve.{name}"] == "command line"
        environ = {f"AFTERFIT_SERVE_{name.upper()}": str(value)}
        assert getattr(load_config(tmp_path, environ=environ).config.serve, name) == value
