"""What a pipeline demands of a version: its gates, the champion, regressions and the load test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from afterfit.core.metric import find
from afterfit.records.assess import AssessRecord
from afterfit.records.codec import Stored
from afterfit.records.loadtest import LoadtestRecord
from afterfit.report import number
from afterfit.report.junit import Demand

if TYPE_CHECKING:
    from afterfit.workspace.release import Release
    from afterfit.workspace.space import Workspace

__all__ = ["Checked", "check"]

CHAMPION = "the champion"


class Checked(NamedTuple):
    """A release, what was demanded of it, and one record that has the findings of all its steps."""

    release: Release
    demands: tuple[Demand, ...]
    all_findings: Stored

    @property
    def passed(self) -> bool:
        """Whether every demand is met."""
        return all(demand.met for demand in self.demands)


def check(space: Workspace, ref: str) -> Checked:
    """Return what a pipeline demands of a version that was shipped; raises InputError."""
    release = space.release(ref)
    records = release.records
    demands = (
        *(
            Demand(g.gate, g.outcome == "pass", g.why or number.gate_value(g))
            for g in space.judge(ref)
        ),
        *_champion(records),
        _regressions(records),
        _load(records),
    )
    findings = tuple(f for stored in records.values() for f in stored.body.findings)
    stored = next(iter(records.values()))
    body = msgspec.structs.replace(release.record, findings=findings)
    whole = Stored(body=body, envelope=stored.envelope)
    return Checked(release, demands, whole)


def _champion(records: Mapping[str, Stored]) -> Iterator[Demand]:
    """Yield one demand a metric: it is not inferior to the champion, by its paired interval."""
    body = records["assess"].body if "assess" in records else None
    if not isinstance(body, AssessRecord):
        yield Demand("beside the champion", False, "it was not assessed")
        return
    found = [each for each in body.comparisons if each.against.startswith(CHAMPION)]
    if not found:
        yield Demand(
            "beside the champion", True, "there is no champion yet, or none that can be asked"
        )
    for each in found:
        told = f"{each.verdict}: gains {each.gain.text()}, margin {each.margin:g}"
        yield Demand(f"{each.metric} beside {each.against}", each.verdict != "inferior", told)


def _regressions(records: Mapping[str, Stored]) -> Demand:
    name = "robustness: nothing fails that did not fail before"
    stored = records.get("robustness")
    metric = None if stored is None else find(stored.body.metrics, "regressed_cases")
    if metric is None or metric.value is None:
        return Demand(name, False, "it was not measured")
    return Demand(name, metric.value == 0, number.metric_text(metric))


def _load(records: Mapping[str, Stored]) -> Demand:
    name = "load test: every request is answered"
    stored = records.get("loadtest")
    body = None if stored is None else stored.body
    if not isinstance(body, LoadtestRecord):
        return Demand(name, False, "it was not measured")
    p99 = find(body.metrics, "latency_p99_ms") or find(body.metrics, "latency_p99")
    told = f"{body.errors} of {body.requests} requests failed"
    told += f"; latency p99 {number.metric_text(p99)}" if p99 else ""
    return Demand(name, body.requests > 0 and body.errors == 0, told)
