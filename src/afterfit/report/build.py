"""Records to pages: a release, one record of any step, or a monitoring period."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from afterfit.core.digest import short
from afterfit.core.gate import GateResult
from afterfit.records.assess import AssessRecord
from afterfit.records.autoscale import AutoscaleRecord
from afterfit.records.codec import Stored
from afterfit.records.inspect import InspectRecord
from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.monitor import MonitorRecord
from afterfit.records.optimize import OptimizeRecord
from afterfit.records.package import PackageRecord
from afterfit.records.platforms import PlatformsRecord
from afterfit.records.predict import PredictRecord
from afterfit.records.record import Envelope, Record
from afterfit.records.rehearsal import RehearsalRecord
from afterfit.records.robustness import RobustnessRecord
from afterfit.records.robustness_endpoint import RobustnessEndpointRecord
from afterfit.records.rollout import DrillRecord, ReplayRecord, RolloutRecord
from afterfit.records.ship import ShipRecord, Verdict
from afterfit.report import number
from afterfit.report.attacked import attacked
from afterfit.report.autoscale import autoscaled
from afterfit.report.front import another_ships
from afterfit.report.load import load
from afterfit.report.page import (
    Block,
    Cell,
    Commands,
    Details,
    Figure,
    Page,
    Section,
    State,
    StepState,
    Tone,
)
from afterfit.report.page import Verdict as VerdictBox
from afterfit.report.parts import STEP_TITLES, gates_table, key_values, note, state_of, when
from afterfit.report.platforms import (
    decision,
    decision_figures,
    decision_sections,
    decision_verdict,
)
from afterfit.report.problems import problems, tallies
from afterfit.report.quality import baseline_of, headline, quality
from afterfit.report.recalibrated import decided
from afterfit.report.rehearsed import rehearsed
from afterfit.report.rollout import drilled, replayed, rolled_out, rollout_verdict
from afterfit.report.shipping import (
    batch,
    bundle,
    default_commands,
    evidence,
    model,
    signature_blocks,
)
from afterfit.report.speed import speed, speed_up
from afterfit.report.strange import robustness
from afterfit.report.watching import watching

TIMES = "\N{MULTIPLICATION SIGN}"
LINE = ("inspect", "assess", "optimize", "package", "robustness", "loadtest")
"""The steps that a release page tells of, in the order of the line."""

_WORDS: dict[Verdict, tuple[str, Tone, str]] = {
    "promoted": ("Promoted", "good", "It passed its gates and is what the alias serves."),
    "registered": ("Registered", "info", "It is a version now, and was not promoted."),
    "stopped": ("Stopped", "bad", "A gate failed, so it was not promoted."),
}
_BODIES: dict[type[Record], Callable[[Any], tuple[Block, ...]]] = {
    InspectRecord: model,
    AssessRecord: quality,
    OptimizeRecord: speed,
    RobustnessRecord: robustness,
    RobustnessEndpointRecord: attacked,
    LoadtestRecord: load,
    AutoscaleRecord: autoscaled,
    PlatformsRecord: decision,
    PackageRecord: bundle,
    PredictRecord: batch,
    MonitorRecord: watching,
    RehearsalRecord: rehearsed,
    RolloutRecord: rolled_out,
    DrillRecord: drilled,
    ReplayRecord: replayed,
}


def release_page(
    ship: ShipRecord,
    records: Mapping[str, Stored],
    *,
    name: str = "",
    commands: Commands | None = None,
    created: str = "",
) -> Page:
    """Return the page of a release from the record of ``ship`` and those of any of its steps.

    A step without a record says why it did not run. ``name`` is the model's name where it is
    not the record's; ``commands`` replaces the commands to go on with.
    """
    shown = name or ship.name
    ordered = {step: records[step] for step in (*LINE, *records) if step in records}
    used = commands or default_commands(shown, ship.version, ship.previous)
    sections = [problems(ordered)]
    sections += [
        _step_section(step, ship, ordered)
        for step in ("assess", "optimize", "robustness", "loadtest")
    ]
    sections += [_step_section("inspect", ship, ordered), _what_ships(ship, ordered)]
    sections.append(Section("use", "Use it", (used,)))
    sections.append(evidence(ordered))
    return Page(
        kind="release",
        title=shown,
        subtitle=_subtitle(ship, created),
        verdict=_verdict(ship, ordered),
        figures=_figures(ship, ordered),
        steps=tuple(_step(step, ship, ordered) for step in LINE),
        sections=tuple(sections),
        footer=f"Release record {short(ship.digest)}, Afterfit {ship.env.afterfit}.",
    )


def record_page(stored: Stored) -> Page:
    """Return the page of one record of any step."""
    record = stored.body
    if isinstance(record, ShipRecord):
        return release_page(record, {}, created=stored.envelope.created)
    if isinstance(record, PlatformsRecord):
        return _decision_page(stored, record)
    title = STEP_TITLES.get(record.step, record.step)
    records = {record.step: stored}
    body = Section(record.step, title, _body(record) + _settings(record), state_of(stored))
    return Page(
        kind="monitor" if isinstance(record, MonitorRecord) else "record",
        title=title,
        subtitle=_of(stored),
        verdict=_record_verdict(record, records),
        sections=(problems(records), body, evidence(records)),
        footer=f"Record {short(stored.digest)}, Afterfit {record.env.afterfit}.",
    )


def _decision_page(stored: Stored, record: PlatformsRecord) -> Page:
    """Return the page of a choice of platforms: the decision first, for who has to sign it."""
    records = {record.step: stored}
    settings = Section("settings", "What was asked", _settings(record))
    return Page(
        kind="record",
        title=STEP_TITLES[record.step],
        subtitle=_of(stored),
        verdict=decision_verdict(record, tallies(records)),
        figures=decision_figures(record),
        sections=(*decision_sections(record), problems(records), settings, evidence(records)),
        footer=f"Record {short(stored.digest)}, Afterfit {record.env.afterfit}.",
    )


def monitor_page(record: MonitorRecord) -> Page:
    """Return the page of a monitoring period."""
    return record_page(Stored(envelope=Envelope(digest=record.digest), body=record))


def _body(record: Record) -> tuple[Block, ...]:
    return _BODIES[type(record)](record)


def _of(stored: Stored) -> str:
    subject = f"of {short(stored.body.subject)}" if stored.body.subject else ""
    parts = [subject, when(stored.envelope.created)]
    return " · ".join(part for part in parts if part)


def _record_verdict(record: Record, records: Mapping[str, Stored]) -> VerdictBox:
    if isinstance(record, RolloutRecord):
        return rollout_verdict(record)
    issues = len(record.issues)
    tone: Tone
    if record.status == "failed":
        word, tone, sentence = "Failed", "bad", "The step did not come to its end."
    elif record.status == "partial":
        word, tone, sentence = (
            "Cut short",
            "warn",
            "Some of the step did not run; see what was not checked.",
        )
    elif issues:
        high = any(finding.severity == "high" for finding in record.issues)
        word, tone = number.plural(issues, "issue"), "bad" if high else "warn"
        sentence = "The worst stands first below, each with its fix."
    elif any(finding.outcome == "passed" for finding in record.findings):
        word, tone, sentence = "No issue", "good", "No check that ran found anything wrong."
    else:
        word, tone, sentence = "Done", "info", "This step judges nothing; its results are below."
    return VerdictBox(word, sentence, tone, None, tallies(records))


def _settings(record: Record) -> tuple[Details, ...]:
    items = [
        (name.replace("_", " "), Cell(_flat(value), code=True))
        for name, value in sorted(record.resolved.items())
    ]
    return (Details("Settings of the step", (key_values(*items),)),) if items else ()


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_flat(item) for item in value)
    return str(value)


def _subtitle(ship: ShipRecord, created: str) -> str:
    version = f"version {ship.version}" if ship.version else "no version"
    parts = [version, short(ship.bundle), when(created)]
    if ship.previous:
        parts.append(f"before it: {short(ship.previous)}")
    return " · ".join(part for part in parts if part)


def _verdict(ship: ShipRecord, records: Mapping[str, Stored]) -> VerdictBox:
    word, tone, sentence = _WORDS[ship.verdict]
    return VerdictBox(
        word=word,
        sentence=ship.why or sentence,
        tone=tone,
        gates=gates_table(ship.gates),
        tallies=(*_gate_tally(ship.gates), *tallies(records)),
    )


def _gate_tally(gates: tuple[GateResult, ...]) -> tuple[Cell, ...]:
    if not gates:
        return (Cell("no gates set", "muted"),)
    passed = sum(gate.outcome == "pass" for gate in gates)
    tone: Tone = "good" if passed == len(gates) else "bad"
    return (Cell(f"{passed} of {number.plural(len(gates), 'gate')} passed", tone),)


def _step(step: str, ship: ShipRecord, records: Mapping[str, Stored]) -> StepState:
    stored = records.get(step)
    if stored is None:
        return StepState(step, "not_run", _why_not(step, ship))
    state = state_of(stored, reused=step in ship.reused)
    return StepState(step, state, number.seconds(stored.envelope.duration_s))


def _why_not(step: str, ship: ShipRecord) -> str:
    if step in ship.skipped:
        return ship.skipped[step]
    if step in ship.records:
        return f"its record {short(ship.records[step])} is not in this workspace"
    return "the line did not come to it"


def _step_section(step: str, ship: ShipRecord, records: Mapping[str, Stored]) -> Section:
    title = STEP_TITLES[step]
    stored = records.get(step)
    if stored is None:
        return Section(step, title, (), "not_run", _why_not(step, ship))
    state: State = state_of(stored, reused=step in ship.reused)
    blocks = _body(stored.body)
    other = _another_ships(records) if step == "assess" else ""
    return Section(step, title, (note(other, "warn"), *blocks) if other else blocks, state)


def _another_ships(records: Mapping[str, Stored]) -> str:
    body = records["optimize"].body if "optimize" in records else None
    return another_ships(body) if isinstance(body, OptimizeRecord) else ""


def _what_ships(ship: ShipRecord, records: Mapping[str, Stored]) -> Section:
    stored, seen = records.get("package"), records.get("inspect")
    blocks: tuple[Block, ...] = ()
    if stored is not None and isinstance(stored.body, PackageRecord):
        blocks += bundle(stored.body)
    if seen is not None and isinstance(seen.body, InspectRecord):
        blocks += signature_blocks(decided(seen.body.signature, records))
    if stored is None:
        return Section(
            "package", STEP_TITLES["package"], blocks, "not_run", _why_not("package", ship)
        )
    return Section(
        "package", STEP_TITLES["package"], blocks, state_of(stored, reused="package" in ship.reused)
    )


def _figures(ship: ShipRecord, records: Mapping[str, Stored]) -> tuple[Figure, ...]:
    """Return up to four numbers: quality, speed-up, latency under load, size."""
    found: list[Figure] = []
    for step in ("assess", "optimize", "loadtest", "package"):
        body = records[step].body if step in records else None
        if isinstance(body, AssessRecord):
            found += _quality_figure(ship, body, other=bool(_another_ships(records)))
        elif isinstance(body, OptimizeRecord):
            found += _speed_figure(body)
        elif isinstance(body, LoadtestRecord):
            found += _load_figure(body)
        elif isinstance(body, PackageRecord) and body.files:
            size = number.size(sum(body.files.values()))
            found.append(Figure("Bundle", size, number.plural(len(body.files), "file")))
    return tuple(found)


def _quality_figure(ship: ShipRecord, record: AssessRecord, *, other: bool) -> list[Figure]:
    wanted = [
        gate.metric.name for gate in ship.gates if gate.metric is not None and gate.step == "assess"
    ]
    metric = headline(record, wanted)
    if metric is None:
        return []
    detail = number.level_text(metric)
    baseline = baseline_of(record, metric.name)
    if baseline is not None and baseline.value is not None:
        detail += f"; baseline {number.number(baseline.value, baseline.unit)}"
    detail += "; of the model as given, another form ships" if other else ""
    return [
        Figure(number.metric_title(metric.name), number.number(metric.value, metric.unit), detail)
    ]


def _load_figure(record: LoadtestRecord) -> list[Figure]:
    for name in ("latency_p99_ms", "latency_p50_ms"):
        for metric in record.metrics:
            if metric.name == name and metric.value is not None:
                detail = number.level_text(metric) or f"n = {number.count(record.requests)}"
                title = number.metric_title(name).capitalize()
                return [Figure(title, number.number(metric.value, metric.unit or "ms"), detail)]
    return []


def _speed_figure(record: OptimizeRecord) -> list[Figure]:
    factor = speed_up(record)
    if factor is None:
        return [Figure("Ships as", record.chosen, "the variant that was chosen")]
    detail = f"one row, {record.chosen} against native, medians"
    word = "faster" if factor >= 1 else "slower"
    shown = factor if factor >= 1 else 1 / factor
    return [Figure("Speed", f"{number.plain(shown)}{TIMES} {word}", detail)]
