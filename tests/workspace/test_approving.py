"""Four eyes: others approve bytes and gates; who promotes cannot, and only some may override."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.runtime.bundles import people_bundle

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.core.sections import ApprovalsSection
from afterfit.errors import AfterfitError, ForbiddenError
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.workspace import Workspace
from afterfit.workspace.approving import approve

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Workspace]:
    """A function from a person and settings to the workspace of two versions of churn."""
    monkeypatch.chdir(tmp_path)
    for number, bias in enumerate((-3.0, -2.0)):
        people_bundle(tmp_path / f"draft{number}", bias=bias)

    def of(who: str, *gates: str, **asked: object) -> Workspace:
        monkeypatch.setenv("AFTERFIT_USER", who)
        approvals = ApprovalsSection(**{"required": 1, **asked})  # type: ignore[arg-type]
        space = Workspace(tmp_path / ".afterfit", config=Config(gates=gates, approvals=approvals))
        for number in range(2):
            space.registry.register("churn", tmp_path / f"draft{number}", who="ana")
        return space

    return of


def test_somebody_else_has_to_approve_the_same_bytes_and_gates(
    opened: Callable[..., Workspace],
) -> None:
    """An approval of one's own, of another version, or before a gate changed does not count."""
    ana = opened("ana")
    approve(ana, "churn@1", why="mine")
    refused = ana.promote("churn", 1)
    assert isinstance(refused, GateRefusal)
    assert "ana promotes, so their own does not count" in refused.blocking[0].why
    assert ana.registry.log("churn")[-1].action == "refuse"
    approve(opened("ben"), "churn@2", why="another version")
    assert isinstance(opened("ana").promote("churn", 1), GateRefusal)
    approve(opened("ben"), "churn@1", why="read the card")
    moved = opened("ana").promote("churn", 1)
    assert isinstance(moved, Promotion)
    assert moved.version.number == 1
    gates = opened("ana").registry.log("churn")[-1].details["gates"]
    assert gates == [{"gate": "approvals >= 1", "outcome": "pass", "value": 1.0}]
    # Other gates than those that ben saw: his approval is of something else.
    changed = opened("ana", "f1 >= 0").promote("churn", 1, alias="champion")
    assert isinstance(changed, GateRefusal)
    assert {gate.gate for gate in changed.blocking} == {"f1 >= 0", "approvals >= 1"}
    other_alias = opened("ana").promote("churn", 2, alias="challenger")
    assert isinstance(other_alias, Promotion)


def test_only_some_may_approve_or_override_and_a_rollback_never_waits(
    opened: Callable[..., Workspace],
) -> None:
    """Roles are names in the configuration."""
    with pytest.raises(ForbiddenError, match="eve may not approve"):
        approve(opened("eve", approvers=("ben",)), "churn@1", why="please")
    with pytest.raises(ForbiddenError, match="may not override"):
        opened("ana").promote("churn", 1, override="now")
    with pytest.raises(ForbiddenError, match="may not override"):
        opened("ana", required=0, override=("cat",)).promote("churn", 1, override="now")
    for number in (1, 2):
        moved = opened("cat", override=("cat",)).promote("churn", number, override="hotfix")
        assert isinstance(moved, Promotion)
    assert opened("eve").rollback("churn").version.number == 1
    with pytest.raises(AfterfitError, match="needs a reason"):
        approve(opened("ben"), "churn@1", why=" ")


def test_from_the_command_line(
    opened: Callable[..., Workspace],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refusal says what somebody else has to run; after that the promotion passes."""
    opened("ana")
    Path("afterfit.toml").write_text("gates = []\n[approvals]\nrequired = 1\n")
    assert run(["version", "promote", "churn@1"]) == 1
    assert "afterfit version approve churn@1 --why" in capsys.readouterr().out
    monkeypatch.setenv("AFTERFIT_USER", "ben")
    assert run(["version", "approve", "churn@1", "--why", "looked at it", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert (told["action"], told["who"], told["why"]) == ("approve", "ben", "looked at it")
    assert run(["version", "promote", "churn@1"]) == 1
    monkeypatch.setenv("AFTERFIT_USER", "ana")
    assert run(["version", "promote", "churn@1"]) == 0
