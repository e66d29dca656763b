"""Rules for Prometheus, from the configuration and the names at ``/metrics``.

Each rule is an expression of the server's own counters, so it works where no monitor runs. What
needs a model's reference or labels is the monitor's: it tells Alertmanager by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from afterfit.core.gate import Gate
from afterfit.monitor.gates import LATENCY
from afterfit.monitor.settings import Objective
from afterfit.monitor.signals.service import BURNS

__all__ = ["Rule", "burn_rules", "gate_rules", "rules_file", "server_rules"]

ROUTES = 'route=~"predict|infer"'
FAILED = f'afterfit_requests_total{{{ROUTES},status=~"5.."}}'
ALL = f"afterfit_requests_total{{{ROUTES}}}"
BUCKET = f"afterfit_request_seconds_bucket{{{ROUTES}}}"
_OPPOSITE = {">=": "<", ">": "<=", "<=": ">", "<": ">=", "==": "!="}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One alert: what Prometheus asks, and for how long it must hold (such as ``5m``)."""

    alert: str
    expr: str
    lasts: str
    severity: str
    summary: str
    runbook: str


def server_rules() -> list[Rule]:
    """Return the rules that every server has."""
    return [
        _rule("NotReady", "sum by (instance) (afterfit_workers_ready) == 0", "1m", "high",
              "No worker of {{ $labels.instance }} has its models loaded", "M084"),
        _rule("WorkerRestarts", "increase(afterfit_worker_restarts_total[15m]) > 3", "0m", "high",
              "Workers were started anew {{ $value }} times in 15 minutes", "M085"),
        _rule("WorkerHangs", "increase(afterfit_worker_hangs_total[1h]) > 0", "0m", "medium",
              "A model did not come back, and its worker was ended", "M085"),
        _rule("EventsLost", "increase(afterfit_events_dropped_total[15m])"
              " + increase(afterfit_events_failed_total[15m]) > 0", "0m", "medium",
              "{{ $value }} events were lost: monitoring sees less than there was", "M070"),
        _rule("CanaryFails", _share_of_model('role="canary"') + " > 0.01", "5m", "high",
              "Over 1 % of the requests of canary {{ $labels.model }}@{{ $labels.version }} fail",
              "M084"),
        # A server that is gone has no series: that is silence too.
        _rule("Silent", f"(sum({_rate(ALL, '1h')}) or vector(0)) == 0"
              f" and sum({_rate(ALL, '1h', ' offset 1d')}) > 0", "30m", "high",
              "No predictions for an hour, and yesterday there were", "M087"),
    ]  # fmt: skip


def gate_rules(gates: Iterable[Gate]) -> list[Rule]:
    """Return a rule for each gate that the server's counters can tell: latency and errors."""
    found = []
    for gate in gates:
        if gate.step not in ("", "loadtest", "monitor"):
            continue
        if gate.metric in LATENCY:
            of = f"histogram_quantile({LATENCY[gate.metric]:g}, sum by (le) ({_rate(BUCKET)}))"
            found.append(_gate_rule(gate, f"1000 * {of}", "{{ $value }} ms", "M083"))
        elif gate.metric == "error_rate":
            of = f"sum({_rate(FAILED)}) / sum({_rate(ALL)})"
            found.append(_gate_rule(gate, of, "{{ $value | humanizePercentage }}", "M084"))
    return found


def burn_rules(objectives: Sequence[Objective]) -> list[Rule]:
    """Return the rules of objectives: how fast the budget of errors burns, over two stretches.

    As `signals.service.burn_points`; a limit of latency is taken at the next bucket below it.
    """
    found = []
    for objective in objectives:
        for burn in BURNS:
            stretches = (_minutes(burn.long), _minutes(burn.short))
            limit = f"{burn.rate * objective.allowed:g}"
            expr = " and ".join(f"{_bad_share(objective, each)} > {limit}" for each in stretches)
            found.append(
                _rule(
                    _camel(f"burn {objective.name} {burn.name}"), expr, "2m", "high",
                    f"{objective.name}: the budget of errors burns over {burn.rate:g} times too"
                    f" fast for {burn.name}", "M084",
                )
            )  # fmt: skip
    return found


def rules_file(rules: Iterable[Rule]) -> str:
    """Return the rules as a file of Prometheus, in YAML; two of one name are told apart."""
    seen: dict[str, int] = {}
    lines = ["# Made by: afterfit monitor rules", "groups:", "  - name: afterfit", "    rules:"]
    for rule in rules:
        seen[rule.alert] = seen.get(rule.alert, 0) + 1
        number = "" if seen[rule.alert] == 1 else str(seen[rule.alert])
        lines += [
            f"      - alert: {rule.alert}{number}",
            f"        expr: {_quoted(rule.expr)}",
            f"        for: {rule.lasts}",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          summary: {_quoted(rule.summary)}",
            f"          runbook: {_quoted(f'afterfit explain {rule.runbook}')}",
        ]
    return "\n".join(lines) + "\n"


def _rule(name: str, expr: str, lasts: str, severity: str, summary: str, runbook: str) -> Rule:
    return Rule(alert=f"Afterfit{name}", expr=expr, lasts=lasts, severity=severity,
                summary=summary, runbook=runbook)  # fmt: skip


def _gate_rule(gate: Gate, of: str, shown: str, runbook: str) -> Rule:
    expr = f"{of} {_OPPOSITE[gate.op]} {gate.limit:g}"
    return _rule(_camel(f"gate {gate.metric}"), expr, "10m", "high",
                 f"The gate {gate} does not hold: {shown}", runbook)  # fmt: skip


def _rate(series: str, stretch: str = "5m", before: str = "") -> str:
    return f"rate({series}[{stretch}]{before})"


def _share_of_model(role: str) -> str:
    failed = f"sum by (model, version) (rate(afterfit_model_failed_total{{{role}}}[5m]))"
    asked = f"sum by (model, version) (rate(afterfit_model_request_seconds_count{{{role}}}[5m]))"
    return f"{failed} / ({asked} + {failed})"


def _bad_share(objective: Objective, stretch: str) -> str:
    if not objective.limit_us:
        return f"sum({_rate(FAILED, stretch)}) / sum({_rate(ALL, stretch)})"
    quick = BUCKET.replace("}", f",{_bucket_below(objective.limit_us / 1e6)}}}")
    count = f"afterfit_request_seconds_count{{{ROUTES}}}"
    return f"1 - sum({_rate(quick, stretch)}) / sum({_rate(count, stretch)})"


def _bucket_below(seconds: float) -> str:
    """Return what asks for the bucket; Prometheus 3 calls a whole one ``1.0``, 2 calls it ``1``."""
    from afterfit.runtime.metrics import BUCKETS

    bound = max([b for b in BUCKETS if b <= seconds], default=BUCKETS[0])
    return f'le=~"{bound:.0f}|{bound:.1f}"' if float(bound).is_integer() else f'le="{bound}"'


def _minutes(us: int) -> str:
    return f"{us // 60_000_000}m"


def _camel(text: str) -> str:
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", text))


def _quoted(text: Any) -> str:
    """Return a scalar of YAML: a string of JSON is one."""
    return msgspec.json.encode(text).decode()
