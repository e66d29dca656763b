"""``afterfit platforms`` as a person meets it: a page, requirements in words, and bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from afterfit.cli.app import run
from afterfit.core.gate import parse_gate
from afterfit.platforms.catalog import builtin
from afterfit.workspace import prices
from afterfit.workspace.required import required_of

TOLD = ["--replica-rps", "120", "--replica-low", "112", "--replica-high", "125", "--cores", "1"]
TOLD += ["--tier", "vnni", "--memory", "0.5", "--service-ms", "4", "--slo", "p99<50ms", "--quiet"]
SMALL = ["--traffic", "flash-crowd", "--peak", "40", "--require", "provider=gcp,region=us"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and of the catalog Google's small machines and the hosts."""
    whole = builtin()
    machines = [m for m in whole.machines if m.provider not in ("aws", "azure")]
    small = tuple(m for m in machines if (m.vcpu or 0) <= 4 and not m.region.startswith("europe"))
    services = tuple(s for s in whole.services if s.provider not in ("aws", "azure"))
    catalog = replace(whole, machines=small, services=services)
    monkeypatch.setattr(prices, "builtin", lambda: catalog)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some.toml").write_text('shape = "diurnal"\npeak_rps = 4\n', "utf-8")
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of a command."""
    code = run(["platforms", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_it_answers_from_numbers_alone_with_a_record_and_a_page(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a version, a workspace, an account or a network; from a traffic.toml."""
    (here / "traffic.toml").write_text(
        'shape = "flash-crowd"\npeak_rps = 40\nresponse_bytes = 900\n\n'
        '[slo]\nobjective = "p99<50ms"\n\n[requirements]\nproviders = ["gcp"]\n', "utf-8",
    )  # fmt: skip
    told = [*TOLD[: TOLD.index("--slo")], "--quiet", "--traffic", "traffic.toml"]
    code, found = answer(capsys, *told, "--require", "region=us", "--weights", "cost=3,latency=1")
    assert (code, found["ok"]) == (0, True)
    body = found["result"]["body"]
    assert body["step"] == "platforms"
    assert body["choice"].startswith("gcp-")
    assert body["slo"] == "p99 <= 50 ms"
    assert body["resolved"]["response_bytes"] == 900
    assert body["resolved"]["requirements"]["regions"] == ["us"]
    assert body["weights"]["cost"] == 0.75
    assert {each["provider"] for each in body["outcomes"] if each["eligible"] != "no"} == {"gcp"}
    assert all(parse_gate(each["gate"]) for each in body["redecide"])
    page = Path(found["result"]["report"]).read_text("utf-8")
    assert body["said"].split(".")[0].replace("'", "&#39;") in page
    assert page.count("<svg") >= 5


def test_it_exits_with_1_where_a_budget_fails(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a gate that failed, with the nearest offer and what it costs."""
    (here / "afterfit.toml").write_text('[platforms]\nrequire = ["budget=0.01"]\n', "utf-8")
    code, found = answer(capsys, *TOLD, *SMALL)
    body = found["result"]["body"]
    assert (code, found["ok"], body["decided"], body["choice"]) == (1, True, "none", "")
    assert "the budget is 0.01" in body["said"]


def test_what_scales_to_zero_may_hold_a_short_objective(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Steady traffic seldom meets a cold start, so the objective allows for it."""
    steady = ["--traffic", "diurnal", "--peak", "40", "--require", "scale_to_zero,provider=gcp"]
    code, found = answer(capsys, *TOLD, *steady)
    body = found["result"]["body"]
    assert code == 0
    assert body["choice"].startswith("gcp-run/")
    passed = {each["name"]: each["outcome"] for each in body["outcomes"][0]["checks"]}
    assert (passed["scale_to_zero"], passed["cold_start"]) == ("pass", "pass")


def test_more_machines_than_anybody_rents_are_the_reason_that_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not that a price is missing."""
    code, found = answer(capsys, *TOLD, *SMALL[:3], "1e9", *SMALL[4:])
    body = found["result"]["body"]
    assert code == 1
    assert body["failed"]["replicas"] > 0
    assert any(
        "More than 20,000 machines are needed" in each["why_not"] for each in body["outcomes"]
    )


BAD = {
    "no peak": (["--traffic", "diurnal"], "a shape needs its peak"),
    "negative traffic": (["--traffic", "diurnal", "--peak", "-4"], "--peak is -4"),
    "a negative peak of a file": (["--traffic", "some.toml", "--peak", "-4"], "--peak is -4"),
    "no such file": (["--traffic", "gone.toml"], "no such file"),
    "an unknown region": ([*SMALL[:4], "--require", "region=mars"], "no region is called 'mars'"),
    "an unknown provider": ([*SMALL[:4], "--require", "provider=aw"], "no provider is called"),
    "a requirement": ([*SMALL, "--require", "hippa"], "nothing can be required by 'hippa'"),
    "an amount": ([*SMALL, "--require", "gpu=big"], "nothing can be required by 'gpu=big'"),
    "a negative budget": ([*SMALL, "--require", "budget=-5"], "an option cannot be that"),
    "weights": ([*SMALL, "--weights", "cost=much"], "'cost=much' is no weight"),
    "a criterion": ([*SMALL, "--weights", "price=3"], "no criterion is called 'price'"),
    "a conflict": ([*SMALL[:4], "--require", "region=us,residency=eu"], "cannot be met together"),
    "an absurd objective": ([*SMALL, "--slo", "p99<0.001ms"], "cannot be met together"),
    "no objective": ([*SMALL, "--slo", "fast"], "no service-level objective"),
    "a tier": ([*SMALL, "--tier", "sse"], "no tier is called 'sse'"),
    "a rate": ([*SMALL, "--replica-rps", "0"], "--replica-rps is 0"),
    "bounds": ([*SMALL, "--replica-low", "400"], "not between its bounds"),
    "a rate beyond all": ([*SMALL, "--replica-rps", "1e300"], "--replica-rps is 1e+300"),
    "cores beyond all": ([*SMALL, "--cores", "1e9"], "--cores is 1e+09"),
    "seconds for milliseconds": ([*SMALL, "--service-ms", "9000"], "are not one replica"),
    "endless answers": ([*SMALL, "--response-bytes", "inf"], "an option cannot be that"),
    "one zone to lose": ([*SMALL, "--survive", "zone", "--zones", "1"], "cannot be met together"),
    "what to leave out": ([*SMALL, "--exclude", "heroku,gpc"], "can be left out is called 'gpc'"),
    "what is confirmed": ([*SMALL, "--confirm", "gcp-run.hippa"], "called 'gcp-run.hippa'"),
    "a machine": ([*SMALL, "--machine", "aws/us-east-1/m99.large"], "m99.large"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_input_exits_with_2_and_says_what_to_do(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback for a mistake."""
    options, what = BAD[name]
    again = {option for option in options if option.startswith("--")}
    usual = [w for i, w in enumerate(TOLD) if not {w, TOLD[i - 1]} & again]
    code, found = answer(capsys, *usual, *options)
    assert (code, found["ok"]) == (2, False)
    assert what in found["error"]["message"]
    assert found["error"]["fix"]
    assert "--trace" not in found["error"]["where"] + found["error"]["fix"]


MISSING = {
    "the rate": (TOLD[6:], "how much one replica holds"),
    "the cores": ([*TOLD[:6], *TOLD[8:]], "how many vCPUs the replica had"),
    "the tier": ([*TOLD[:8], *TOLD[10:]], "what the processor of the replica multiplies with"),
    "the objective": ([*TOLD[:14], "--quiet"], "there is no objective"),
}


@pytest.mark.parametrize("name", sorted(MISSING))
def test_what_is_not_known_of_a_replica_is_asked_for(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One number at a time, with the option that gives it."""
    options, what = MISSING[name]
    code, found = answer(capsys, *options, *SMALL)
    assert code == 2
    assert what in found["error"]["message"]
    assert "--" in found["error"]["fix"]


def test_requirements_are_read_in_the_words_of_people() -> None:
    """Percent for availability, lists that add up, dashes or underscores."""
    words = ["hipaa,own-keys,region=eu", "region=us", "availability=99.9,gpu=16,database"]
    assert required_of(words) == {
        "compliance": ["hipaa"], "own_keys": True, "regions": ["eu", "us"],
        "availability": pytest.approx(0.999), "gpu_memory_gib": 16.0,
        "integrations": ["database"],
    }  # fmt: skip
