"""A second version beside the champion: from two model files to the verdict that is printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from tests.e2e.helpers import quick_space

from afterfit.cli.app import run
from afterfit.records.assess import AssessRecord

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from afterfit.records.codec import Stored


def people(n: int, seed: int) -> pd.DataFrame:
    """Rows whose class one column tells almost alone."""
    generator = np.random.default_rng(seed)
    rows = pd.DataFrame({"a": generator.normal(size=n), "b": generator.normal(size=n)})
    noise = generator.normal(size=n)
    return rows.assign(y=np.where(rows["a"] + 0.3 * noise > 0, "yes", "no"))


def verdicts(stored: Stored) -> dict[str, str]:
    """The verdict by the metric, of comparisons with the champion."""
    body = stored.body
    assert isinstance(body, AssessRecord)
    return {
        each.metric: each.verdict
        for each in body.comparisons
        if each.against.startswith("the champion")
    }


def test_a_second_version_is_judged_beside_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ship the good one, assess a bad one: inferior. The champion beside itself: non-inferior."""
    monkeypatch.chdir(tmp_path)
    train, data = people(400, 0), people(2500, 1)
    good = LogisticRegression().fit(train[["a", "b"]], train["y"])
    bad = LogisticRegression().fit(train[["a", "b"]], np.roll(train["y"], 1))
    for name, model in (("v1", good), ("v2", bad)):
        joblib.dump(model, tmp_path / f"{name}.joblib")
    space = quick_space(tmp_path)
    rows, target = data[["a", "b"]], data["y"].to_numpy()
    first = space.ship(tmp_path / "v1.joblib", rows, target, name="income")
    assert first.record.verdict == "promoted"
    data.to_csv("held.csv", index=False)
    command = ["assess", "v2.joblib", "--name", "income", "--data", "held.csv", "--target", "y",
               "--effort", "quick", "--quiet"]  # fmt: skip
    capsys.readouterr()
    assert run([*command, "--workspace", str(space.folder)]) == 0
    shown = capsys.readouterr().out
    assert "inferior to the champion income@1" in shown
    assert run([*command, "--workspace", str(space.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]["body"]
    assert told["comparisons"][0]["against"] == "the champion income@1"
    assert told["comparisons"][0]["verdict"] == "inferior"
    assert told["inputs"]["champion"] == first.version.digest
    itself = space.assess(tmp_path / "v1.joblib", rows, target, fresh=True)
    assert verdicts(itself) == {}  # its file is called v1: no champion has that name
    again = run(["assess", "v1.joblib", *command[2:], "--fresh", "--json",
                 "--workspace", str(space.folder)])  # fmt: skip
    assert again == 0
    told = json.loads(capsys.readouterr().out)["result"]["body"]
    judged = {
        each["metric"]: each["verdict"]
        for each in told["comparisons"]
        if each["against"].startswith("the champion")
    }
    assert set(judged.values()) == {"non-inferior"}
    assert set(judged) == {"roc_auc", "accuracy", "log_loss"}
