"""How much each step may do: what the user said, else what the effort allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space

from afterfit.cli.app import run
from afterfit.cli.sources import Tables
from afterfit.config import load_config
from afterfit.errors import ResourceError
from afterfit.workspace import effort as efforts
from afterfit.workspace.effort import assess_config
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

if TYPE_CHECKING:
    from afterfit.workspace import Workspace

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=200), "b": RANDOM.normal(size=200)})
TARGET = np.where(ROWS["a"] + ROWS["b"] > 0, "yes", "no")


@pytest.mark.parametrize(
    ("effort", "given", "folds"),
    [("quick", 8, 8), ("full", 2, 2), ("quick", 0, 0), ("quick", None, 3), ("full", None, 10)],
)
def test_the_folds_that_were_asked_for_are_fitted(
    tmp_path: Path, effort: str, given: int | None, folds: int
) -> None:
    """A number of one's own wins at every effort; without one the effort decides."""
    overrides = {"line.effort": effort, "line.folds": given}
    config = load_config(tmp_path, overrides=overrides, environ={}).config
    assert assess_config(config, "", seconds=1.0).folds == folds


def test_the_goal_of_the_command_line_reaches_optimize(tmp_path: Path) -> None:
    """``--goal throughput`` is what decides between two exact forms; latency is the default."""
    for given, goal in ((None, "latency"), ("throughput", "throughput")):
        asked = Tables(goal=given).overrides()  # type: ignore[arg-type]
        config = load_config(tmp_path, overrides=asked, environ={}).config
        assert efforts.optimize_config(config, 1.0).goal == goal


def test_the_time_of_the_last_steps_is_kept_free_and_they_run_where_it_is_over() -> None:
    """On a busy machine the steps before get less, and the line ends later, not without gates."""
    now = [0.0]
    budget = efforts.Budget("quick", clock=lambda: now[0])
    assert [budget.share(step) for step in ("assess", "optimize", "robustness")] == [15, 20, 8]
    load = efforts.most_seconds("quick", "loadtest")
    now[0] = 45.0
    assert budget.share("optimize") == pytest.approx(15.0 - 8.0 - load)
    now[0] = 60.0 - load
    assert budget.share("optimize") == 0.0
    now[0] = 75.0
    assert [budget.share(step) for step in ("optimize", "robustness", "loadtest")] == [
        0,
        8,
        load,
    ]
    budget.require("robustness")
    budget.require("loadtest")
    with pytest.raises(ResourceError, match="the time of the line was over: 60 s at quick"):
        budget.require("optimize")
    full = efforts.Budget("full", clock=lambda: now[0])
    assert full.share("assess") == float("inf")


@pytest.fixture
def over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose time is over at once, beside a model file."""
    monkeypatch.setitem(efforts.BUDGET_SECONDS, "quick", 0.0)
    joblib.dump(LogisticRegression().fit(ROWS, TARGET), tmp_path / "m.joblib")
    return quick_space(tmp_path, **{"line.folds": 2})


def test_what_the_time_of_the_line_did_not_suffice_for_is_skipped(over: Workspace) -> None:
    """The version is registered all the same, and every step says what it left out."""
    model = over.folder.parent / "m.joblib"
    release = over.ship(model, ROWS, TARGET, train=(ROWS, TARGET))
    assert set(release.record.skipped) == {"robustness", "loadtest"}
    assert (
        "the time of the line was over: 0 s at quick effort" in release.record.skipped["loadtest"]
    )
    assert release.record.status == "partial"
    told = {
        finding.code: finding.outcome
        for stored in release.records.values()
        for finding in stored.body.findings
    }
    assert told["A006"] == told["O001"] == "skipped"
    assert release.verdict == "promoted"
    assert "skipped" in release.html


def test_the_summary_of_a_job_fails_with_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``report --format ci`` prints the short Markdown, and exits 1 where a gate did not pass."""
    monkeypatch.setitem(efforts.BUDGET_SECONDS, "quick", 0.0)
    monkeypatch.chdir(tmp_path)
    space = quick_space(tmp_path, gates=["accuracy >= 0.5"])
    joblib.dump(LogisticRegression().fit(ROWS, TARGET), tmp_path / "m.joblib")
    space.ship(tmp_path / "m.joblib", ROWS, TARGET)
    assert run(["report", "m@1", "--format", "ci"]) == 0
    assert "Exit 0: every gate passed." in capsys.readouterr().out
    quick_space(tmp_path, gates=["latency_p99_ms <= 20"]).ship(
        tmp_path / "m.joblib", ROWS, TARGET, promote=False
    )
    assert run(["report", "m@1", "--format", "ci"]) == 1
    assert "Exit 1: a gate failed or had no number" in capsys.readouterr().out


def test_the_step_that_a_walk_is_for_has_its_time(over: Workspace) -> None:
    """A single step is never out of time, whatever the steps before it took."""
    sources = Sources(over.folder.parent / "m.joblib", ROWS, TARGET)
    steps = ("inspect", "optimize", "package", "robustness")
    with opened_line(over, sources, "m", fresh=False, required="robustness") as line:
        records = line.walk(steps)
    assert set(records) == set(steps)
    assert records["optimize"].body.status == "partial"
    assert records["robustness"].body.status == "complete"
