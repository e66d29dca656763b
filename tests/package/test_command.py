"""``afterfit package``: a version of the registry as a folder for an image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from afterfit.cli.app import run
from afterfit.core.bundle import Bundle
from afterfit.workspace import Workspace


@pytest.fixture(autouse=True)
def workspace(
    draft: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workspace that holds churn@1, in the working directory."""
    monkeypatch.chdir(tmp_path)
    space = Workspace(".afterfit")
    space.registry.register("churn", draft(tmp_path / "bundle").folder, who="ana")


def test_the_image_reports_the_number_of_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    """What serves is churn version 1 to every client and in every event, and never version 0."""
    assert run(["package", "churn@1", "-o", "image", "--json"]) == 0
    assert "churn@1=/bundle" in Path("image/Dockerfile").read_text()
    body = json.loads(capsys.readouterr().out)["result"]["body"]
    assert (body["resolved"]["name"], body["resolved"]["number"]) == ("churn", 1)
    assert body["args"] == {}


def test_port_and_openness_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """An image that answers anybody is an issue that names the port."""
    options = ["--port", "9000", "--allow-unauthenticated"]
    assert run(["package", "churn@1", "-o", "image", *options, "--json"]) == 0
    text = Path("image/Dockerfile").read_text()
    assert "EXPOSE 9000" in text
    assert "--allow-unauthenticated" in text
    body = json.loads(capsys.readouterr().out)["result"]["body"]
    (finding,) = [each for each in body["findings"] if each["code"] == "K005"]
    assert finding["outcome"] == "issue"
    assert "9000" in finding["message"]
    assert body["args"] == {"port": 9000, "allow_unauthenticated": True}
