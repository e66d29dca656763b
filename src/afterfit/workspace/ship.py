"""``ship``: the walk of the whole line, the version that it registers, and its verdict."""

from __future__ import annotations

import time
from typing import Any

from afterfit.core.gate import GateResult
from afterfit.records.ship import ShipRecord, Verdict
from afterfit.registry.names import check_name
from afterfit.registry.version import GateRefusal, Version
from afterfit.report.html import require_charts
from afterfit.store.environment import current_environment
from afterfit.workspace.asked import asked_of
from afterfit.workspace.grounding import keep_shipped
from afterfit.workspace.judging import judge
from afterfit.workspace.line import Line, opened_line
from afterfit.workspace.lineage import data_sources, dvc_inputs
from afterfit.workspace.publish import publish
from afterfit.workspace.release import Release
from afterfit.workspace.sources import Sources, name_of
from afterfit.workspace.space import Workspace


def ship(  # noqa: PLR0913 - see afterfit.ship
    space: Workspace,
    model: Any,
    data: Any,
    target: Any = None,
    *,
    train: Any = None,
    name: str = "",
    promote: bool = True,
    override: str | None = None,
    fresh: bool = False,
    **hints: Any,
) -> Release:
    """Return the Release after walking the whole line; see `afterfit.ship`."""
    # What would stop its end is told before the work, not after it.
    space.config.parsed_gates()
    require_charts()
    sources = Sources(model=model, data=data, target=target, train=train, **hints)
    name = check_name(name or space.config.model.name or name_of(model))
    started = time.monotonic()
    space.reused = []
    with opened_line(space, sources, name, fresh=fresh) as line:
        line.walk()
        space.progress.step("register")
        version, verdict, gates, why = _register(line, promote=promote, override=override)
        keep_shipped(line)
        asked: dict[str, Any] = {} if promote else {"promote": False}
        asked |= {"override": override} if override else {}
        record = _ship_record(line, version, verdict, gates, why, asked)
    stored = space.records.put(record, started=started)
    return publish(space, stored, version, line.records)


def _register(
    line: Line, *, promote: bool, override: str | None
) -> tuple[Version, Verdict, tuple[GateResult, ...], str]:
    space = line.space
    evidence = {step: stored.digest for step, stored in line.records.items()}
    version = space.registry.register(
        line.name, line.bundle.folder, who=space.who, evidence=evidence
    )
    gates = judge(space, version, line.records)
    if not promote:
        return version, "registered", gates, "promotion was not asked for"
    moved = space.promote(version.name, version.number, why="ship", override=override)
    if isinstance(moved, GateRefusal):
        return version, "stopped", moved.gates, moved.why
    why = f"promoted in spite of its gates: {override}" if override else "every gate passed"
    return moved.version, "promoted", gates, why


def _ship_record(
    line: Line,
    version: Version,
    verdict: Verdict,
    gates: tuple[GateResult, ...],
    why: str,
    asked: dict[str, Any],
) -> ShipRecord:
    moves = line.space.registry.moves(version.name, "champion")
    previous = str(moves[-2].to) if verdict == "promoted" and len(moves) > 1 else ""
    tables = data_sources(line)
    return ShipRecord(
        subject=version.digest,
        env=current_environment(),
        inputs=line.inputs | dvc_inputs(tables),
        args=asked_of("ship", line.sources, line.space.given) | asked,
        status="partial" if line.skipped else "complete",
        name=version.name,
        version=version.number,
        bundle=version.digest,
        verdict=verdict,
        why=why,
        records={step: stored.digest for step, stored in line.records.items()},
        reused=tuple(line.space.reused),
        skipped=line.skipped,
        gates=gates,
        previous=previous,
        data=tables,
        origin=line.sources.origin,
    )
