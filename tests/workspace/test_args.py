"""A record says what was asked as well as what that came to."""

from __future__ import annotations

from pathlib import Path

import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space
from tests.runtime.bundles import people, people_bundle

from afterfit.config import Config, load_config
from afterfit.core.sections import LineSection
from afterfit.package.config import IndexConfig, PackageConfig
from afterfit.package.run import _given
from afterfit.predict.config import PredictConfig
from afterfit.workspace import Workspace
from afterfit.workspace.line import opened_line
from afterfit.workspace.sources import Sources

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=200), "b": RANDOM.normal(size=200)})
TABLE = ROWS.assign(y=np.where(ROWS["a"] + ROWS["b"] > 0, "yes", "no"))


def test_a_step_keeps_what_was_asked_beside_what_it_came_to(tmp_path: Path) -> None:
    """Folds, effort and the positive class as given; no default among them, and no path."""
    joblib.dump(LogisticRegression().fit(ROWS, TABLE["y"]), tmp_path / "m.joblib")
    TABLE.to_csv(tmp_path / "d.csv", index=False)
    space = quick_space(tmp_path, **{"line.folds": 2, "data.data": str(tmp_path / "d.csv")})
    sources = Sources(tmp_path / "m.joblib", tmp_path / "d.csv", "y", positive="no")
    with opened_line(space, sources, "m", fresh=False) as line:
        records = line.walk(("inspect", "assess", "optimize"))
    asked = {step: stored.body.args for step, stored in records.items()}
    assert asked == {
        "inspect": {"data.target": "y", "model.positive": "no"},
        "assess": {"data.target": "y", "line.effort": "quick", "line.folds": 2},
        "optimize": {"line.effort": "quick"},
    }
    assert records["assess"].body.resolved["folds"] == 2
    assert records["assess"].body.resolved["level"] == 0.95
    assert str(tmp_path) not in msgspec.json.encode([r.body for r in records.values()]).decode()


def test_predict_and_package_keep_what_was_asked(tmp_path: Path) -> None:
    """What differs from the defaults is kept; of an address only that there was one."""
    space = Workspace(tmp_path / ".afterfit", config=Config())
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    pd.DataFrame(people(20)).to_csv(tmp_path / "rows.csv", index=False)
    scored = space.predict(
        "churn@1", tmp_path / "rows.csv", tmp_path / "o.csv", PredictConfig(only_scores=True)
    )
    assert scored.body.args == {"only_scores": True}
    index = IndexConfig(index_url="https://ana:word@example.org/simple")
    config = PackageConfig(python="3.12", index=index)
    assert _given(config) == {"python": "3.12", "index": "given"}


@pytest.mark.parametrize("loaded", [True, False])
def test_what_was_set_is_known(tmp_path: Path, *, loaded: bool) -> None:
    """A setting given at its default was given, where the origin is known."""
    (tmp_path / "afterfit.toml").write_text("[line]\nseed = 3\n")
    found = load_config(tmp_path, overrides={"line.effort": "standard"}, environ={})
    config = found if loaded else Config(line=LineSection(seed=3))
    given = Workspace(tmp_path / ".afterfit", config=config).given
    assert given == {"line.seed": 3} | ({"line.effort": "standard"} if loaded else {})
