"""Cases to findings: one for each kind, with the checks that found it."""

from __future__ import annotations

from collections.abc import Sequence

from afterfit.core.finding import Check as Kind
from afterfit.core.finding import Finding
from afterfit.records.robustness_endpoint import Ending, EndpointCase
from afterfit.robustness.endpoint import findings
from afterfit.robustness.endpoint.catalog import CHECKS

ANYWHERE: tuple[type[Kind], ...] = (
    findings.FieldNotNamed,
    findings.ServerErrorOnWrongRequest,
    findings.StackTraceShown,
    findings.NotWellAfterwards,
    findings.EndpointStops,
)
"""Kinds that any check may find."""
ENDED: dict[Ending, str] = {
    "died": "the server takes no connections any more",
    "hung": "the server answers no more",
    "out_of_time": "the time was over",
    "finished": "",
}
"""Why the checks after the end of a run did not run."""


def judged(
    cases: Sequence[EndpointCase], ending: Ending, *, memory_known: bool
) -> tuple[Finding, ...]:
    """Return a finding for every kind: what was found, and what was looked for in vain."""
    kinds = sorted({*ANYWHERE, *(check.kind for check in CHECKS)}, key=lambda kind: kind.code)
    found = [_of_kind(kind, cases) for kind in kinds]
    return (*found, _memory(cases, known=memory_known), _not_run(cases, ending))


def _of_kind(kind: type[Kind], cases: Sequence[EndpointCase]) -> Finding:
    failed = [case for case in cases if case.code == kind.code]
    if failed:
        return _issue(kind, failed)
    looked = {check.id for check in CHECKS if check.kind is kind}
    mine = [case for case in cases if kind in ANYWHERE or case.check in looked]
    ran = [case for case in mine if case.status in {"pass", "fail"}]
    if ran:
        requests = sum(case.requests for case in ran)
        return kind.passed(f"not found in {requests} requests, n = {len(ran)} checks")
    whys = sorted({case.why for case in mine})
    text = "; ".join(whys)[:300]
    if mine and all(case.status == "not_applicable" for case in mine):
        return kind.not_applicable(text)
    return kind.skipped(text or "its checks were not asked for")


def _issue(kind: type[Kind], failed: Sequence[EndpointCase]) -> Finding:
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    names = [case.check for case in failed]
    make = kind.issue if any(case.level == "must" for case in failed) else kind.tip
    return make(
        f"{first.why}{more}", where=", ".join(names), fix=kind.page().get("Fix", ""), checks=names
    )


def _memory(cases: Sequence[EndpointCase], *, known: bool) -> Finding:
    kind = findings.MemoryGrows
    failed = [case for case in cases if case.code == kind.code]
    if failed:
        return _issue(kind, failed)
    if not known:
        return kind.not_applicable("the server's processes are not known on this machine")
    return kind.passed("within its limit in every check")


def _not_run(cases: Sequence[EndpointCase], ending: Ending) -> Finding:
    kind = findings.ChecksNotRun
    skipped = [case for case in cases if case.status == "skipped"]
    if not skipped:
        return kind.passed(f"{len(cases)} checks ran or do not concern the endpoint")
    why = ENDED[ending] or skipped[0].why
    text = f"{len(skipped)} of {len(cases)} checks did not run: {why}"
    return kind.skipped(text, fix="--seconds 300" if ending == "out_of_time" else "")
