"""Options of the commands that ask an endpoint: in groups, and none is passed over in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from afterfit.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://127.0.0.1:9"
GROUPS = {
    "loadtest": ("What is to be shown", "Traffic", "A server that a URL names", "Results"),
    "robustness": ("The model and its tables", "A server that a URL names"),
    "autoscale": ("Traffic", "One replica", "The fleet", "Files"),
}


@pytest.mark.parametrize("command", GROUPS)
def test_options_stand_in_groups(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of every command stand last."""
    run([command, "--help"])
    told = capsys.readouterr().out
    places = [told.index(f" {group} ") for group in (*GROUPS[command], "Every command")]
    assert places == sorted(places)


@pytest.mark.parametrize("command", ["loadtest", "robustness"])
def test_what_says_nothing_of_an_endpoint_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of training and folds are of a model, not of a server; no request was sent."""
    words = [command, URL, "--train", "t.csv", "--folds", "3", "--workspace", str(tmp_path / "w")]
    assert run(words) == 2
    assert "--train, --folds: only for a model" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("command", "option"), [("loadtest", "--header"), ("robustness", "--allow-remote")]
)
def test_what_is_of_a_url_is_refused_for_a_file(
    command: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model file is asked by no header."""
    (tmp_path / "m.joblib").write_bytes(b"no model")
    assert run([command, str(tmp_path / "m.joblib"), option, "a: b"]) == 2
    assert option in capsys.readouterr().err
