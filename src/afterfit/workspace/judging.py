"""What the gates say of a version's records; what lapsed or is too old is evidence of nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from afterfit.core.gate import GateResult
from afterfit.core.metric_names import is_alarm, judged
from afterfit.records.codec import Stored
from afterfit.registry.version import Version
from afterfit.workspace.age import expired, explained
from afterfit.workspace.certified import certificate_of

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["judge"]

STEP, CERTIFIED = "loadtest", "certified_rps"


def judge(
    space: Workspace, version: Version, records: Mapping[str, Stored]
) -> tuple[GateResult, ...]:
    """Return what each gate of the configuration says of a version's records, by step.

    Alarms are left out. A record that is too old has no metrics, and a certificate of load that
    does not hold for what `serve` would run here has no rate: such a gate is missing, and says why.
    """
    old = expired(records)
    metrics = {step: stored.body.metrics for step, stored in records.items() if step not in old}
    lapsed = _lapsed(space, version, records[STEP]) if STEP in metrics else ""
    if lapsed:
        metrics[STEP] = tuple(metric for metric in metrics[STEP] if metric.name != CERTIFIED)
    gates = [gate for gate in space.config.parsed_gates() if not is_alarm(gate)]
    results = explained(tuple(judged(gate, metrics) for gate in gates), old)
    return tuple(
        _told(result, lapsed) if lapsed and gate.metric == CERTIFIED else result
        for gate, result in zip(gates, results, strict=True)
    )


def _lapsed(space: Workspace, version: Version, stored: Stored) -> str:
    """Return why a load test's certificate holds no longer; empty where it does, or has none."""
    name = f"{version.name}@{version.number}"
    found = certificate_of(space, stored, version.digest, lambda: space.version(name))
    if found is None or not found.lapsed:
        return ""
    return f"{found.finding().message}; to measure anew: afterfit loadtest {name}"


def _told(result: GateResult, lapsed: str) -> GateResult:
    return msgspec.structs.replace(result, why=lapsed) if result.outcome == "missing" else result
