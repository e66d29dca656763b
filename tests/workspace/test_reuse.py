"""When a step's record stands for another run, and when the step runs again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space
from tests.runtime.bundles import people_bundle

from afterfit.core.metric import Metric
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.record import Record, reuse_key
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.store.environment import current_environment
from afterfit.store.records import in_envelope
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

if TYPE_CHECKING:
    from afterfit.records.codec import Stored
    from afterfit.workspace import Workspace

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=200), "b": RANDOM.normal(size=200)})
TARGET = np.where(ROWS["a"] + ROWS["b"] > 0, "yes", "no")


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A workspace beside a model file."""
    joblib.dump(LogisticRegression().fit(ROWS, TARGET), tmp_path / "m.joblib")
    return quick_space(tmp_path)


def sources(space: Workspace) -> Sources:
    """The model and its rows."""
    return Sources(model=space.folder.parent / "m.joblib", data=ROWS, target=TARGET)


def reused(space: Workspace, *steps: str) -> list[str]:
    """Which of the steps a walk of its own reused."""
    space.reused = []
    with opened_line(space, sources(space), "m", fresh=False) as line:
        line.walk(steps)
    return space.reused


def test_another_version_of_a_library_runs_every_step_again(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of inspect and assess, too, are of the library that answered."""
    here = current_environment()
    assert reused(space, "inspect", "assess") == []
    assert reused(space, "inspect", "assess") == ["inspect", "assess"]
    upgraded = msgspec.structs.replace(here, packages={**here.packages, "scikit-learn": "99.0"})
    monkeypatch.setattr("afterfit.workspace.space.current_environment", lambda: upgraded)
    assert reused(space, "inspect", "assess") == []


def test_the_versions_of_what_the_model_imports_are_inputs(space: Workspace) -> None:
    """A library that only this model needs counts as well as those that Afterfit names."""
    with opened_line(space, sources(space), "m", fresh=False) as line:
        before = line.inputs
        description = line.model.description
        other = {**description.installed, "category-encoders": "2.6.0"}
        line.model._description = msgspec.structs.replace(description, installed=other)
        assert line.inputs["libraries"] != before["libraries"]
        assert {**line.inputs, "libraries": ""} == {**before, "libraries": ""}


def load_test(space: Workspace, digest: str, *, days: float) -> Stored:
    """A load test of some days ago, with an answer in 3 ms, as the workspace keeps it."""
    env = current_environment()
    record = LoadtestRecord(
        subject=digest,
        env=env,
        metrics=(Metric(name="latency_p99_ms", value=3.0, n=400, unit="ms"),),
        schedule="closed:1",
        requests=400,
        errors=0,
        duration_s=1.0,
        rate=400.0 + days,
    )
    made = in_envelope(record, reuse_key("loadtest", digest, {}, {}, env, measured=True))
    created = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds")
    envelope = msgspec.structs.replace(made.envelope, created=created)
    return space.records.add(msgspec.structs.replace(made, envelope=envelope))


@pytest.mark.parametrize(("days", "counts"), [(29.0, True), (31.0, False)])
def test_a_load_test_is_measured_anew_after_thirty_days(
    tmp_path: Path, days: float, *, counts: bool
) -> None:
    """Kernels and neighbours change without a trace in any key, so its record expires."""
    space = quick_space(tmp_path)
    old = load_test(space, "d" * 64, days=days)

    def make() -> Record:
        return msgspec.structs.replace(old.body, status="partial")

    again = space.run_step(
        "loadtest", make, subject="d" * 64, inputs={}, resolved={}, measured=True
    )
    assert (again.digest == old.digest) is counts


@pytest.mark.parametrize(("days", "passes"), [(29.0, True), (31.0, False)])
def test_an_old_load_test_passes_no_gate(tmp_path: Path, days: float, *, passes: bool) -> None:
    """A version is promoted on a load test that counts; another is missing, and says why."""
    space = quick_space(tmp_path, gates=["latency_p99_ms <= 20"])
    people_bundle(tmp_path / "draft")
    version = space.registry.register("churn", tmp_path / "draft", who="ana")
    stored = load_test(space, version.digest, days=days)
    space.registry.attach(version, who="ana", evidence={"loadtest": stored.digest})
    moved = space.promote("churn", 1)
    assert isinstance(moved, Promotion) is passes
    if isinstance(moved, GateRefusal):
        assert [gate.outcome for gate in moved.gates] == ["missing"]
        assert "counts for 30 days" in moved.why
