"""Rules of Prometheus and the dashboard of Grafana: well-formed, and of metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.monitor.alarms.promql import names_and_labels

from afterfit.core.gate import parse_gate
from afterfit.monitor.grafana import dashboard_file
from afterfit.monitor.prometheus import burn_rules, gate_rules, rules_file, server_rules
from afterfit.monitor.settings import objective_of
from afterfit.runtime.metrics import BUCKETS, Metrics
from afterfit.runtime.model_metrics import model_lines
from afterfit.runtime.slots import Slot, SlotKey, SlotRole

GATES = [parse_gate(text) for text in ("latency_p99_ms <= 20", "loadtest.latency_p50_ms < 4",
                                       "error_rate <= 0.01", "f1 >= 0.8")]  # fmt: skip
SLO = [objective_of(text) for text in ("p99 < 50 ms", "available 99.9")]
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ", re.MULTILINE)


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """The labels of each name at /metrics, of a server with a canary and a shadow."""
    metrics = Metrics()
    for route in ("predict", "infer"):
        metrics.request(route, 200, 0.001)
    roles: tuple[SlotRole, ...] = ("primary", "canary", "pair")
    slots = [
        Slot(index=index, key=SlotKey(model="churn", digest="d" * 64, role=role), number=3)
        for index, role in enumerate(roles)
    ]
    text = metrics.text([("churn", 3, "d" * 64)]) + model_lines(metrics, slots)
    found: dict[str, set[str]] = {}
    for name, labels in SAMPLE.findall(text):
        found.setdefault(name, {"instance"}).update(re.findall(r"(\w+)=", labels))
    return found


def check(expression: str, exposed: dict[str, set[str]]) -> None:
    """Fail for an expression that is none, or that names what nobody exposes."""
    used = names_and_labels(expression)
    assert used, expression
    for name, labels in used:
        assert name in exposed, expression
        assert labels <= exposed[name], expression


def test_every_rule_is_well_formed_and_of_metrics_that_exist(exposed: dict[str, set[str]]) -> None:
    """Each has what Prometheus asks of a rule, a name of its own, and a runbook."""
    text = rules_file([*server_rules(), *gate_rules(GATES), *burn_rules(SLO)])
    ((group,),) = [yaml.safe_load(text)["groups"]]
    rules: list[dict[str, Any]] = group["rules"]
    assert group["name"] == "afterfit"
    assert len({rule["alert"] for rule in rules}) == len(rules) == 6 + 3 + 4
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"[a-zA-Z_]\w*", rule["alert"])
        assert re.fullmatch(r"\d+[smhd]", rule["for"])
        assert rule["labels"]["severity"] in {"low", "medium", "high"}
        assert re.fullmatch(r"afterfit explain M0\d\d", rule["annotations"]["runbook"])
        check(rule["expr"], exposed)


def test_a_gate_is_asked_the_other_way_round() -> None:
    """What must be at most 20 ms alarms above it; what no counter tells has no rule."""
    rules = {rule.alert: rule.expr for rule in gate_rules(GATES)}
    assert rules["AfterfitGateLatencyP99Ms"].endswith("> 20")
    assert rules["AfterfitGateLatencyP50Ms"].endswith(">= 4")
    assert "histogram_quantile(0.99" in rules["AfterfitGateLatencyP99Ms"]
    assert len(rules) == 3


def test_an_objective_burns_over_two_stretches() -> None:
    """In an hour and 5 minutes, and in 6 hours and 30 minutes; limits are buckets."""
    rules = burn_rules(SLO)
    assert [rule.expr.count(" and ") for rule in rules] == [1] * 4
    assert "[60m]" in rules[0].expr
    assert "[5m]" in rules[0].expr
    assert "> 0.144" in rules[0].expr
    (bound,) = set(re.findall(r'le="([\d.]+)"', rules[0].expr))
    assert float(bound) == max(each for each in BUCKETS if each <= 0.05)
    whole = burn_rules([objective_of("p99 < 1500 ms")])[0].expr
    # Prometheus 3 writes 1.0 where 2 kept what the server said.
    assert 'le=~"1|1.0"' in whole


PROMTOOL_TEST = """
rule_files: [afterfit-rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'afterfit_requests_total{route="predict",status="200"}'
        values: '0+60x1440 _x600'
    alert_rule_test:
      - {eval_time: 23h, alertname: AfterfitSilent}
      - eval_time: 26h
        alertname: AfterfitSilent
        exp_alerts:
          - exp_labels: {severity: high}
            exp_annotations:
              summary: No predictions for an hour, and yesterday there were
              runbook: afterfit explain M087
  - interval: 1m
    input_series:
      - series: 'afterfit_requests_total{route="predict",status="200"}'
        values: '0+95x300'
      - series: 'afterfit_requests_total{route="predict",status="500"}'
        values: '0x120 0+5x180'
    alert_rule_test:
      - {eval_time: 2h, alertname: AfterfitGateErrorRate}
      - eval_time: 4h
        alertname: AfterfitGateErrorRate
        exp_alerts:
          - exp_labels: {severity: high}
            exp_annotations:
              summary: "The gate error_rate <= 0.01 does not hold: 5%"
              runbook: afterfit explain M084
      - {eval_time: 2h, alertname: AfterfitBurnAvailable9991h}
      - eval_time: 4h
        alertname: AfterfitBurnAvailable9991h
        exp_alerts:
          - exp_labels: {severity: high}
            exp_annotations:
              summary: >-
                available 99.9 %: the budget of errors burns over 14.4 times too fast for 1h
              runbook: afterfit explain M084
"""


def promtool(*words: str, folder: Path) -> str:
    """What it says; the test is skipped, and says so, where it is not installed."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus): the rules were"
                    " checked by a parser of ours alone")  # fmt: skip
    done = subprocess.run([tool, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_itself_takes_the_rules_and_they_ring(tmp_path: Path) -> None:
    """A server that went away, and one that fails: by Prometheus's own engine, over hours."""
    rules = [*server_rules(), *gate_rules(GATES), *burn_rules(SLO)]
    (tmp_path / "afterfit-rules.yml").write_text(rules_file(rules), "utf-8")
    (tmp_path / "ring.yml").write_text(PROMTOOL_TEST, "utf-8")
    assert "13 rules found" in promtool("check", "rules", "afterfit-rules.yml", folder=tmp_path)
    assert "SUCCESS" in promtool("test", "rules", "ring.yml", folder=tmp_path)


def test_the_dashboard_has_what_grafana_needs(exposed: dict[str, set[str]]) -> None:
    """Fields of its model, no two panels in one place, and lines of metrics that exist."""
    told = json.loads(dashboard_file(GATES))
    needed = {"uid", "title", "schemaVersion", "version", "panels", "templating", "time", "tags"}
    assert needed <= set(told)
    assert told["templating"]["list"][0]["type"] == "datasource"
    panels = told["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(set(places)) == len(places)
    for panel in panels:
        assert {"type", "title", "datasource", "gridPos", "fieldConfig", "targets"} <= set(panel)
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${source}"
            check(target["expr"], exposed)
    (latency,) = (panel for panel in panels if panel["title"] == "Latency")
    assert latency["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"] == 0.004


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(a[5m])",
        "rate(a[5x])",
        "a b",
        "sum by (le (a)",
        "a{b=1}",
        "nofunction(a)",
        "sum(rate(a[1h])) offset 1d",
        "a >",
        "",
    ],
)
def test_the_check_sees_what_is_no_expression(expression: str) -> None:
    """The checks above can fail."""
    with pytest.raises(ValueError, match="no expression"):
        names_and_labels(expression)
