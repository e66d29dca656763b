"""The verbs are methods of a workspace: one a step, and the command line calls them."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space
from tests.runtime.bundles import people, people_bundle

from afterfit.cli.app import COMMANDS, run
from afterfit.errors import NotFoundError, UsageError
from afterfit.records.monitor import MonitorRecord
from afterfit.workspace import Workspace
from afterfit.workspace.line import NEEDS, STEPS

RANDOM = np.random.default_rng(0)
ROWS = pd.DataFrame({"a": RANDOM.normal(size=200), "b": RANDOM.normal(size=200)})
TARGET = np.where(ROWS["a"] + ROWS["b"] > 0, "yes", "no")


def test_every_step_is_a_verb_and_a_command() -> None:
    """``package`` alone takes a version: what it drafts in the line is no end in itself."""
    verbs = {
        *NEEDS,
        "package",
        "serve",
        "monitor",
        "predict",
        "promote",
        "rollback",
        "load",
        "ship",
        "robustness_endpoint",
        "loadtest_endpoint",
        "judge",
        "score",
        "attest",
        "card",
        "cases",
        "export_cases",
        "add_labels",
    }
    assert set(STEPS) <= verbs
    for verb in sorted(verbs):
        assert (getattr(Workspace, verb).__doc__ or "").startswith(("Return", "Yield")), verb
    assert set(NEEDS) <= set(COMMANDS)


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A workspace beside a model file."""
    joblib.dump(LogisticRegression().fit(ROWS, TARGET), tmp_path / "m.joblib")
    return quick_space(tmp_path)


def test_a_step_alone_runs_what_it_needs_and_reuses_it(space: Workspace) -> None:
    """``workspace.assess`` inspects first; the next verb finds that record again."""
    model = space.folder.parent / "m.joblib"
    inspected = space.inspect(model, ROWS, TARGET)
    assert inspected.body.step == "inspect"
    assessed = space.assess(model, ROWS, TARGET, train=(ROWS, TARGET))
    assert assessed.body.step == "assess"
    assert assessed.body.subject == inspected.body.subject
    assert space.reused == []  # with training rows, the inspection is another one
    again = space.assess(model, ROWS, TARGET, train=(ROWS, TARGET))
    assert again == assessed
    assert space.reused == ["inspect", "assess"]
    space.assess(model, ROWS, TARGET, train=(ROWS, TARGET), fresh=True)
    assert space.reused == []
    assert space.robustness(model, ROWS, TARGET, positive="no").body.step == "robustness"
    drafted = space.records.latest("package")
    assert drafted is not None
    told = {finding.code: finding.outcome for finding in drafted.body.findings}
    assert told["K007"] == "skipped"  # so few rows make no scorer


def test_the_command_line_keeps_the_same_record(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verb and its command have one record: the second of them reuses it."""
    folder = space.folder.parent
    monkeypatch.chdir(folder)
    ROWS.assign(y=TARGET).to_csv("d.csv", index=False)
    stored = space.inspect(folder / "m.joblib", folder / "d.csv", "y")
    assert run(["inspect", "m.joblib", "--data", "d.csv", "--target", "y", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["envelope"]["digest"] == stored.digest


def test_a_step_alone_raises_what_stops_it(space: Workspace) -> None:
    """Alone nothing is skipped in silence."""
    with pytest.raises(NotFoundError):
        space.loadtest(space.folder / "nothing.joblib", ROWS, TARGET)


def test_a_version_is_served_and_its_predictions_are_reported(tmp_path: Path) -> None:
    """``workspace.serve`` is a server for a block; ``workspace.monitor`` reads what it left."""
    space = quick_space(tmp_path)
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    rows = pd.DataFrame(people(30)).astype(object).where(lambda t: t.notna(), None)
    space = quick_space(tmp_path, **{"serve.port": 0, "serve.workers": 1})
    with (
        (tmp_path / "log").open("wb") as log,
        space.serve("churn@1", log=log) as served,
        served.server.client() as client,
    ):
        sent = [
            {str(name): value for name, value in row.items()} for row in rows.to_dict("records")
        ]
        assert len(client.predict(sent)["predictions"]) == 30
    assert served.bundles["churn"].version == 1
    record = space.monitor("churn@1").body
    assert isinstance(record, MonitorRecord)
    assert record.counts["served"] == 30
    with pytest.raises(UsageError, match="nothing to serve"), space.serve():
        pass
