"""Which inputs events keep: none, all, or the columns that were named."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.cli.app import run
from afterfit.cli.serve import _mode
from afterfit.config import load_config
from afterfit.runtime.journal import Capture
from afterfit.workspace import Workspace
from afterfit.workspace.serving import capture_of


@pytest.mark.parametrize(
    ("given", "capture"),
    [
        (None, Capture()),
        (["none"], Capture()),
        (["all"], Capture(mode="all")),
        (["age", "job"], Capture(mode="columns", columns=("age", "job"))),
    ],
)
def test_columns_can_be_named(tmp_path: Path, given: list[str] | None, capture: Capture) -> None:
    """One ``--capture`` a column; none and all are words of their own."""
    people_bundle(tmp_path / "draft")
    config = load_config(tmp_path, overrides={"serve.capture": _mode(given)}, environ={}).config
    assert capture_of(config.serve.capture, [tmp_path / "draft"]) == capture


def test_a_misspelt_column_is_told_before_the_server_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing would be kept of a column that no model has, so it is an error with the nearest."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    assert run(["serve", "churn@1", "--port", "0", "--capture", "agee"]) == 2
    told = capsys.readouterr().err
    assert "'agee'" in told
    assert "fix: --capture age" in told
