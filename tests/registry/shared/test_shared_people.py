"""Several people at one shared workspace: one approves what another promotes, and others hear."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.waiting import until

from afterfit.config import Config
from afterfit.core.sections import ApprovalsSection, TriggersSection
from afterfit.registry.shared.opening import Stores
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.workspace import Workspace
from afterfit.workspace.approving import approve

MakeBundle = Callable[..., Path]
Machine = Callable[..., Stores]


def test_one_approves_on_a_machine_what_another_promotes_and_a_command_is_told(
    machine: Machine, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The approval is a line of the shared log; the command runs where the alias was moved."""
    told = tmp_path / "told.json"
    script = tmp_path / "notify.py"
    script.write_text(
        f"import pathlib, sys\npathlib.Path({str(told)!r}).write_text(sys.stdin.read())\n"
    )
    triggers = TriggersSection(moved_alias=(f"command:{sys.executable} {script}",))
    config = Config(gates=(), approvals=ApprovalsSection(required=1), triggers=triggers)

    def opened(who: str) -> Workspace:
        machine(who)
        monkeypatch.setenv("AFTERFIT_USER", who)
        return Workspace(tmp_path / f"{who}.toml", config=config)

    ana = opened("ana")
    ana.registry.register("churn", make_bundle(b"one"), who="ana")
    refused = ana.promote("churn", 1)
    assert isinstance(refused, GateRefusal)
    assert "nobody else has approved" in refused.why
    approve(opened("bo"), "churn@1", why="read the card")
    assert not told.exists()
    ana = opened("ana")
    assert isinstance(ana.promote("churn", 1, why="approved"), Promotion)
    until((ana.folder / "triggers" / "log.jsonl").exists, 60)
    event = json.loads(told.read_text("utf-8"))
    assert (event["event"], event["to"], event["who"]) == ("moved_alias", "1", "ana")
    actions = [(entry.action, entry.who) for entry in opened("bo").registry.log()]
    assert actions == [("register", "ana"), ("refuse", "ana"), ("approve", "bo"),
                       ("promote", "ana")]  # fmt: skip
