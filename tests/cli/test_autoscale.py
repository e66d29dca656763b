"""``afterfit autoscale`` as a person meets it: answers, files, and what is wrong with the input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from afterfit.cli.app import run

REPLICA = ["--replica-rps", "400", "--service-ms", "2.1", "--concurrency", "2"]
TOLD = [*REPLICA, "--cold-start", "8", "--slo", "p99<50ms", "--quiet"]
SMALL = ["--trace", "flash-crowd", "--peak", "40", "--policies", "static,knative", "--runs", "2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of a command."""
    code = run(["autoscale", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_it_answers_with_a_record_a_page_and_files(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a version and a workspace, from numbers alone."""
    code, told = answer(capsys, *TOLD, *SMALL, "--for", "knative", "-o", "out")
    assert (code, told["ok"]) == (0, True)
    body = told["result"]["body"]
    assert body["step"] == "autoscale"
    assert body["chosen"] in {"static", "knative"}
    assert (here / "out" / "knative.yaml").read_text("utf-8").startswith("# Knative (KPA)")
    assert Path(told["result"]["report"]).is_file()


def test_it_exits_with_1_where_nothing_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """As a gate that failed."""
    code, told = answer(capsys, *TOLD, *SMALL[:2], "--peak", "4000", "--policies", "static",
                        "--max", "2")  # fmt: skip
    assert (code, told["ok"], told["result"]["body"]["chosen"]) == (1, True, "")


def test_a_file_is_scaled(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times with rates, twice as high."""
    rows = "\n".join(f"{t},{20 + t % 60}" for t in range(0, 1200, 30))
    (here / "traffic.csv").write_text(f"time,rate\n{rows}\n", "utf-8")
    code, told = answer(capsys, *TOLD, "--trace", "traffic.csv", "--scale", "2",
                        "--policies", "static")  # fmt: skip
    assert code == 0
    assert told["result"]["body"]["trace"]["peak"] == 100
    assert "trace" in told["result"]["body"]["inputs"]


BAD = {
    "no peak": (["--trace", "diurnal"], "a shape needs its peak"),
    "no such shape": (["--trace", "dirnal", "--peak", "4"], "no trace is called"),
    "no such file": (["--trace", "gone.csv"], "no such trace"),
    "a negative peak": (["--peak", "-4"], "--peak is -4"),
    "no scale": (["--peak", "4", "--scale", "0"], "--scale is 0"),
    "an event": (["--peak", "4", "--event", "soon"], "no event"),
    "a policy": ([*SMALL[:4], "--policies", "hpb"], "no policy is called"),
    "a target": ([*SMALL, "--for", "nomad"], "nothing can be written for 'nomad'"),
    "zones": ([*SMALL, "--zones", "1"], "an option cannot be that"),
    "a namespace": ([*SMALL, "--for", "knative", "--namespace", "A b"], "no namespace"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_exits_with_2_and_says_what_to_do(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for a mistake."""
    options, what = BAD[name]
    code, told = answer(capsys, *TOLD, *options)
    assert (code, told["ok"]) == (2, False)
    assert what in told["error"]["message"]
    assert told["error"]["fix"]


MISSING = {
    "the rate": ([*TOLD[2:], *SMALL], "how much one replica holds"),
    "the time": ([*TOLD[:2], *TOLD[4:], *SMALL], "how long one request takes"),
    "the start": ([*REPLICA, "--slo", "p99<50ms", *SMALL], "how long a replica takes to start"),
    "the objective": ([*REPLICA, "--cold-start", "8", *SMALL], "no objective"),
    "a rate above 0": (["--replica-rps", "0", *TOLD[2:], *SMALL], "--replica-rps is 0"),
    "what fits": (["--replica-rps", "4000", *TOLD[2:], *SMALL], "contradict"),
}


@pytest.mark.parametrize("name", sorted(MISSING))
def test_what_is_not_known_of_a_replica_is_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One number at a time, with the option that gives it."""
    options, what = MISSING[name]
    code, told = answer(capsys, *options)
    assert code == 2
    assert what in told["error"]["message"]
    assert "--" in told["error"]["fix"]
