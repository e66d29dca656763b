"""Pipelines: every host's file holds the same steps, as variables and never as text in a script."""

from __future__ import annotations

import json

import pytest
import yaml

from afterfit.core.finding import Finding
from afterfit.errors import UsageError
from afterfit.report.junit import Demand
from afterfit.report.pipeline import FILES, Pipeline, pipeline, steps
from afterfit.report.sarif import sarif

ABOUT = Pipeline(model="m.joblib", data="d.csv", target="y", name="churn", version="0.1.0")
PLANTED = "PLANTED-7f3a"


@pytest.mark.parametrize("host", FILES)
def test_every_host_gets_every_step(host: str) -> None:
    """It is YAML, has all lines of all steps, and no value that was told stands in a script."""
    text = pipeline(host, ABOUT)  # type: ignore[arg-type]
    yaml.safe_load(text)
    for step in steps():
        for line in step.lines:
            assert line in text
    assert text.count("m.joblib") == 1


def test_github_gives_no_more_rights_than_needed() -> None:
    """No expression in a script, no kept credentials, and deploying on main alone."""
    job = yaml.safe_load(pipeline("github", ABOUT))["jobs"]["release"]
    assert job["permissions"] == {
        "contents": "read",
        "pull-requests": "write",
        "security-events": "write",
    }
    assert all("${{" not in step.get("run", "") for step in job["steps"])
    assert job["steps"][0]["with"]["persist-credentials"] is False
    deploys = {step.key for step in steps() if step.deploys}
    assert deploys == {"build", "push", "canary", "promote"}
    for step in job["steps"]:
        if step.get("id") in deploys:
            assert "refs/heads/main" in step["if"]


@pytest.mark.parametrize("field", ["model", "name", "target", "image"])
def test_what_would_need_quoting_is_refused(field: str) -> None:
    """A name with a quote, a space or an expression is an error that names its option."""
    for value in ('a"b', "a b", "${{ secrets.X }}", "a\nb", "$(id)"):
        with pytest.raises(UsageError, match="cannot stand in a pipeline") as caught:
            Pipeline(**{field: value})
        assert caught.value.where == f"--{field}"


def test_sarif_has_what_is_wrong_and_no_rows() -> None:
    """Issues and demands that are not met are results; evidence stays out."""
    issue = Finding(code="A003", outcome="issue", severity="high", where="age", message="leaks",
                    fix="drop it", evidence={"rows": [PLANTED]})  # fmt: skip
    passed = Finding(code="A004", outcome="passed", severity="low", message="fine")
    demands = [Demand("f1 >= 0.8", False, "0.7"), Demand("met", True, "")]
    made = sarif([issue, passed], demands, path="m.joblib", version="0.1.0")
    assert PLANTED.encode() not in made
    run = json.loads(made)["runs"][0]
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [
        ("gate", "error"),
        ("A003", "error"),
    ]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {"gate", "A003"}
    place = run["results"][1]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "m.joblib"
    assert place["logicalLocations"][0]["name"] == "age"
