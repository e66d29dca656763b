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
from afterfit.errors import UsageError
from afterfit.loadtest.config import LoadConfig
from afterfit.records.assess import AssessRecord
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.record import Record, reuse_key
from afterfit.records.robustness_endpoint import RobustnessEndpointRecord
from afterfit.registry.version import GateRefusal, Promotion
from afterfit.store.environment import current_environment
from afterfit.store.records import in_envelope
from afterfit.workspace.line import opened_line
from afterfit.workspace.loading import loadtest_endpoint
from afterfit.workspace.sources import Sources

if TYPE_CHECKING:
    from afterfit.records.codec import Stored
    from afterfit.records.record import Status
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
    monkeypatch.setattr("afterfit.workspace.folder.current_environment", lambda: upgraded)
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
        assert "afterfit loadtest NAME@NUMBER" in moved.why


def test_a_load_test_of_a_version_takes_the_place_of_one_that_is_too_old(tmp_path: Path) -> None:
    """``afterfit loadtest churn@1`` is enough to promote; another does not replace what counts."""
    space = quick_space(tmp_path, gates=["latency_p99_ms <= 1000"])
    people_bundle(tmp_path / "draft")
    version = space.registry.register("churn", tmp_path / "draft", who="ana")
    old = load_test(space, version.digest, days=31)
    space.attach("churn@1", old.digest[:16])
    assert isinstance(space.promote("churn", 1), GateRefusal)
    config = LoadConfig(schedule="closed:1", seconds=0.5)
    fresh = loadtest_endpoint(space, "churn@1", config)
    assert space.registry.resolve("churn@1").evidence == {"loadtest": fresh.digest}
    line = space.registry.log("churn")[-1]
    assert (line.action, line.who) == ("evidence", space.who)
    assert line.details["evidence"] == {"loadtest": fresh.digest}
    moved = space.promote("churn", 1)
    assert isinstance(moved, Promotion)
    again = loadtest_endpoint(space, "churn@1", config)
    assert again.digest != fresh.digest
    assert space.registry.resolve("churn@1").evidence == {"loadtest": fresh.digest}
    assert space.attach("churn@1", again.digest).evidence == {"loadtest": again.digest}


def test_a_record_of_something_else_is_no_evidence(tmp_path: Path) -> None:
    """Neither one about another bundle, nor one of a step that no gate is judged on."""
    space = quick_space(tmp_path)
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    other = load_test(space, "d" * 64, days=1)
    with pytest.raises(UsageError, match="the record is not about churn@1"):
        space.attach("churn@1", other.digest)
    endpoint = RobustnessEndpointRecord(
        subject="d" * 64, env=current_environment(), url="", protocol="", route="", requests=0,
        ending="finished",
    )  # fmt: skip
    stored = space.records.put(endpoint)
    with pytest.raises(UsageError, match="a record of robustness_endpoint is no evidence"):
        space.attach("churn@1", stored.digest)
    assert space.registry.resolve("churn@1").evidence == {}


@pytest.mark.parametrize(
    ("before", "now", "again"),
    [(3.0, 15.0, True), (15.0, 15.0, False), (15.0, 3.0, False), (3.0, None, True),
     (None, 15.0, False)],
)  # fmt: skip
def test_a_partial_record_is_made_anew_where_there_is_more_time(
    tmp_path: Path, before: float | None, now: float | None, *, again: bool
) -> None:
    """What the line's budget cut short does not stand for what a step does in its whole time."""
    space = quick_space(tmp_path)
    env = current_environment()
    made: list[float | None] = []

    def run(seconds: float | None, status: Status) -> Stored:
        def make() -> Record:
            made.append(seconds)
            return AssessRecord(subject="m", env=env, status=status, n_labelled=len(made))

        return space.run_step("assess", make, subject="m", inputs={}, resolved={}, seconds=seconds)

    first = run(before, "partial")
    found = run(now, "complete")
    assert (found.digest != first.digest) is again
    assert made == ([before, now] if again else [before])
    # A whole one stands for any time, and is not shadowed by what was cut short.
    assert (run(1.0, "partial").digest == found.digest) is True
