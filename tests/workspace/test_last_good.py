"""The way back to what really served, and a drill of it on a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.runtime.bundles import people_bundle
from tests.runtime.traffic import rows

from afterfit.cli.app import run
from afterfit.config import Config
from afterfit.core.sections import ServeSection
from afterfit.errors import ForbiddenError, NotFoundError
from afterfit.records.rollout import DrillRecord
from afterfit.report.build import record_page
from afterfit.report.text import render
from afterfit.runtime.key_file import add_key, encode_key_file, new_key_file
from afterfit.workspace import Workspace
from afterfit.workspace.drilling import drill
from afterfit.workspace.last_good import health_of, last_good


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with three versions of churn, each promoted in turn; none has served."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afterfit.toml").write_text("gates = []\n")
    config = Config(gates=(), serve=ServeSection(port=0, workers=1))
    space = Workspace(tmp_path / ".afterfit", config=config)
    for number, bias in enumerate((-3.0, -2.0, -2.5), 1):
        people_bundle(tmp_path / f"draft{number}", bias=bias)
        space.registry.register("churn", tmp_path / f"draft{number}", who="ana")
        space.promote("churn", number)
    return space


def test_the_last_good_version_is_one_that_served(
    space: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Version 2 was champion and never answered; version 1 answered 120 rows."""
    with pytest.raises(NotFoundError, match="no earlier version"):
        last_good(space, "churn")
    with space.serve("churn@1", follow=False) as served, served.server.client() as client:
        client.predict(rows(120))
    assert (last_good(space, "churn").number, last_good(space, "churn").served) == (1, 120)
    assert run(["version", "rollback", "churn", "--last-good", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]
    assert (told["from"], told["to"], told["health"]["served"]) == (3, 1, 120)
    assert run(["version", "rollback", "churn", "--last-good"]) == 2
    assert "2 answered 0 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("served", "failed", "healthy"),
    [(99, 0, False), (100, 0, True), (100, 2, False), (0, 0, False)],
)
def test_healthy_is_enough_rows_and_few_failures(
    served: int, failed: int, *, healthy: bool
) -> None:
    """At least 100 rows, and 1 % at most."""
    assert health_of(1, "d", served, failed).healthy is healthy


def test_a_drill_goes_back_and_forward_again_without_a_failure(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server follows the alias both ways; the log has both moves.

    It asks for keys: without one that may ask, nothing is moved.
    """
    made = add_key(new_key_file(), "drill", ("predict",))
    labels = add_key(made.file, "labels", ("label",))
    (tmp_path / "keys.json").write_bytes(encode_key_file(labels.file))
    (tmp_path / "keys.json").chmod(0o600)
    section = ServeSection(port=0, workers=1, keys=str(tmp_path / "keys.json"))
    space.config = Config(gates=(), serve=section)
    with space.serve("churn@champion"):
        for key in ("", labels.text):
            with pytest.raises(ForbiddenError, match="the load of a drill") as caught:
                drill(space, "churn", key=key)
            assert not key or key not in str(caught.value)
        assert len(space.registry.moves("churn")) == 3
        monkeypatch.setenv("AFTERFIT_KEY", made.text)
        assert run(["rollout", "drill", "churn", "--seconds", "0.3", "--clients", "2", "-q"]) == 0
    (stored,) = space.records.list(step="rollback_drill")
    record = stored.body
    assert isinstance(record, DrillRecord)
    assert (record.source, record.target, record.failed) == (3, 2, 0)
    assert record.requests > 50
    assert 0 < record.moved_s <= record.first_s
    assert f"0 of {record.requests} requests failed" in render(record_page(stored))
    assert space.registry.resolve("churn@champion").number == 3
    assert [move.to for move in space.registry.moves("churn")] == [1, 2, 3, 2, 3]
