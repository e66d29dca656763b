"""``afterfit monitor report``: the gates of the configuration as alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.runtime.bundles import people, people_bundle

from afterfit.cli.app import run
from afterfit.workspace import Workspace


def test_the_gates_of_the_configuration_are_alarms_and_stop_no_promotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate on live rows is judged by the report, and by nothing before it."""
    monkeypatch.chdir(tmp_path)
    gates = ["monitor.accuracy >= 0.999", "labelled_share >= 0.5"]
    (tmp_path / "afterfit.toml").write_text(f"gates = {json.dumps(gates)}\n")
    space = Workspace(tmp_path / ".afterfit")
    people_bundle(tmp_path / "draft")
    space.registry.register("churn", tmp_path / "draft", who="ana")
    assert run(["version", "promote", "churn@1"]) == 0
    random = np.random.default_rng(0)
    table = pd.DataFrame(people(400)).assign(target=random.choice(["no", "yes"], 400))
    table.to_csv("rows.csv", index=False)
    assert run(["predict", "churn", "rows.csv", "-o", "scored.csv"]) == 0
    capsys.readouterr()
    assert run(["monitor", "report", "churn", "--log", "scored.csv", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["result"]["body"]["findings"]
    alarms = {each["where"]: each["outcome"] for each in findings if each["code"] == "M009"}
    assert alarms == {gates[0]: "issue", gates[1]: "passed"}
