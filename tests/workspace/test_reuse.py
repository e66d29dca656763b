"""When a step's record stands for another run, and when the step runs again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space

from afterfit.store.environment import current_environment
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

if TYPE_CHECKING:
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
