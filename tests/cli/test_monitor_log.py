"""``afterfit monitor report`` on anyone's log: tables, folders of them, and what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from afterfit.cli.app import run

MAP = "score=p,y=y,ts=t,event_id=id"


def log(seed: int, n: int, first: int = 0) -> pd.DataFrame:
    """Scores that come true, two related columns, and a time."""
    random = np.random.default_rng(seed)
    p = random.beta(2, 2, n)
    x = random.normal(size=n)
    return pd.DataFrame(
        {
            "id": np.arange(first, first + n),
            "t": pd.Timestamp("2026-11-23") + pd.to_timedelta(np.arange(n), unit="min"),
            "x": x,
            "z": x + random.normal(0, 0.3, n),
            "p": p,
            "y": (random.random(n) < p).astype(int),
        }
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a reference and a folder of logs."""
    monkeypatch.chdir(tmp_path)
    log(0, 2000).to_parquet("ref.parquet")
    (tmp_path / "preds").mkdir()
    log(1, 900).to_parquet("preds/a.parquet")
    log(2, 700, 800).to_csv("preds/b.csv", index=False)
    return tmp_path


@pytest.mark.usefixtures("place")
def test_a_folder_of_tables_is_one_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Parquet and CSV together, ids that come twice once, all columns together looked at."""
    arguments = ["monitor", "report", "--log", "preds", "--reference", "ref.parquet", "--map", MAP]
    assert run([*arguments, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)["result"]["body"]
    assert (body["counts"]["served"], body["counts"]["duplicate"]) == (1500, 100)
    outcomes = {each["code"]: each["outcome"] for each in body["findings"]}
    assert outcomes["M030"] == outcomes["M031"] == outcomes["M032"] == "passed"
    found = {metric["name"]: metric for metric in body["metrics"]}
    assert found["domain_auc"]["low"] < 0.5 < found["domain_auc"]["high"] + 0.05
    assert {column["name"] for column in body["live"]["columns"]} == {"x", "z"}


@pytest.mark.usefixtures("place")
def test_a_relation_that_broke_and_a_column_that_went(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither needs a column that moved."""
    broken = log(3, 1500)
    broken["z"] = np.random.default_rng(0).permutation(broken["z"])
    broken.to_parquet("broken.parquet")
    log(4, 1500).drop(columns="z").assign(note="text").to_parquet("less.parquet")
    arguments = ["monitor", "report", "--reference", "ref.parquet", "--map", MAP]
    codes = {}
    for name in ("broken", "less"):
        assert run([*arguments, "--log", f"{name}.parquet", "--json"]) == 0
        findings = json.loads(capsys.readouterr().out)["result"]["body"]["findings"]
        codes[name] = {f["code"]: f["message"] for f in findings if f["outcome"] == "issue"}
    assert {"M031", "M032"} <= set(codes["broken"])
    assert "M003" not in codes["broken"]
    assert codes["less"] == {"M030": "z is not there"}


@pytest.mark.usefixtures("place")
def test_a_log_whose_labels_are_to_come(capsys: pytest.CaptureFixture[str]) -> None:
    """The reference has labels, so quality is estimated; a column with another name is shown."""
    later = log(5, 1500).drop(columns="y").rename(columns={"z": "Z "})
    later.set_index(later.pop("id").rename(None)).assign(id=range(1500)).to_parquet("later.parquet")
    arguments = ["monitor", "report", "--log", "later.parquet", "--reference", "ref.parquet"]
    assert run([*arguments, "--map", MAP, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["warnings"] == ["the log has no column 'y': no label is known yet"]
    found = answer["result"]["body"]["findings"]
    estimates = {f["where"]: f["outcome"] for f in found if f["code"] == "M040"}
    assert set(estimates) == {"roc_auc", "log_loss", "accuracy"}
    (gone,) = [f["message"] for f in found if f["code"] == "M030"]
    assert gone == "z is not there; the log has 'Z '"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--log", "nowhere.parquet", "--reference", "ref.parquet"], "no file nowhere.parquet"),
        (["--log", "preds/a.parquet"], "nothing to compare the log with"),
        (["--log", "half.parquet", "--reference", "ref.parquet"], "half.parquet is damaged"),
        (["--log", "preds", "--reference", "ref.parquet", "--map", "score=q"], "no column 'q'"),
        (["--log", "comma.csv", "--reference", "ref.parquet"], "none of 900 rows has a score"),
        (["--query", "SELECT 1", "--reference", "ref.parquet"], "pip install duckdb"),
        (["--query", "SELECT 1", "--log", "postgresql://127.0.0.1:1/x",
          "--reference", "ref.parquet"], "does not answer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    """Without a traceback, with what to do."""
    log(1, 900).to_csv("comma.csv", index=False, sep=";", decimal=",")
    (place / "half.parquet").write_bytes((place / "preds" / "a.parquet").read_bytes()[:-40])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    mapped = [] if "--map" in arguments else ["--map", MAP]
    assert run(["monitor", "report", *arguments, *mapped]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
