"""``afterfit monitor rehearse``: a version with rows of its own, and anyone's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

from afterfit.cli.common import Common
from afterfit.cli.monitor_rehearse import rehearse
from afterfit.errors import InputError, UsageError
from afterfit.records.rehearsal import RehearsalRecord
from afterfit.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

QUICK: dict[str, Any] = {"replays": 2, "before": 1, "after": 2, "window_rows": 300}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workspace that has one version of churn, and with rows for it."""
    monkeypatch.chdir(tmp_path)
    people_bundle(tmp_path / "draft")
    Workspace(tmp_path / ".afterfit").registry.register("churn", tmp_path / "draft", who="ana")
    table = pd.DataFrame(people(1200, seed=3))
    table["when"] = pd.date_range("2026-01-01", periods=1200, freq="min")[::-1]
    table.to_parquet(tmp_path / "rows.parquet")
    return tmp_path


def kept(folder: Path) -> RehearsalRecord:
    """The record of the only rehearsal."""
    (stored,) = Workspace(folder / ".afterfit").records.list("rehearsal")
    assert isinstance(stored.body, RehearsalRecord)
    return stored.body


def test_a_version_is_rehearsed_on_rows_of_a_table(folder: Path) -> None:
    """The version answers them; without labels the faults of labels are left out, and said so."""
    answer = rehearse(
        "churn", data=folder / "rows.parquet", ts="when", common=Common(), seed=1, **QUICK
    )
    record = kept(folder)
    found = {(each.fault, each.severity): each for each in record.outcomes}
    assert found["scale", "strong"].detected.value == 1.0
    assert found["scale", "strong"].trials[0].among
    assert record.skipped == {"labels": "no labels were given", "concept": "no labels were given"}
    assert (record.rescored, record.labelled, record.window_rows) == (True, False, 300)
    assert "Rehearsal of the monitor" in answer.text
    page = next((folder / ".afterfit" / "reports").glob("rehearsal-*.html"))
    assert "<svg" in page.read_text("utf-8")


def test_a_log_is_rehearsed_beside_earlier_rows(folder: Path) -> None:
    """Scores stay those of the log; labels that are turned are seen in its quality."""
    random = np.random.default_rng(0)

    def table(n: int) -> pd.DataFrame:
        x = random.normal(size=n)
        p = 1 / (1 + np.exp(-2 * x))
        return pd.DataFrame({"x": x, "prob": p, "y": (random.random(n) < p).astype(int)})

    table(3000).to_parquet(folder / "earlier.parquet")
    table(3000).to_parquet(folder / "log.parquet")
    rehearse(
        log=folder / "log.parquet", reference=folder / "earlier.parquet", map="score=prob,y=y",
        seed=1, **{**QUICK, "after": 3},
    )  # fmt: skip
    record = kept(folder)
    found = {(each.fault, each.severity): each for each in record.outcomes}
    assert (record.rescored, record.labelled) == (False, True)
    assert {trial.signal for trial in found["concept", "strong"].trials} == {"performance"}
    assert found["unit", "strong"].named.value == 1.0
    assert set(record.skipped) == {"renamed", "missing"}


def test_what_cannot_be_rehearsed_says_what_to_do(folder: Path) -> None:
    """Both forms at once, no rows, a column that is not there, too few rows."""
    rows = folder / "rows.parquet"
    with pytest.raises(UsageError, match="or of a log and earlier rows"):
        rehearse("churn", data=rows, log=rows)
    with pytest.raises(UsageError, match="or of a log and earlier rows"):
        rehearse("churn")
    with pytest.raises(InputError, match="no column 'day'"):
        rehearse("churn", data=rows, ts="day")
    table = pd.read_parquet(rows)
    table.drop(columns="job").to_parquet(folder / "few.parquet")
    with pytest.raises(InputError, match="no column 'job'"):
        rehearse("churn", data=folder / "few.parquet")
    table[:100].to_parquet(folder / "few.parquet")
    with pytest.raises(InputError, match="100 rows are too few to replay"):
        rehearse("churn", data=folder / "few.parquet")
