"""What is known of an incident: from the audit log, endpoints, alarms, events and bytes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from afterfit.core.digest import short
from afterfit.core.event import Event
from afterfit.core.metric import Metric
from afterfit.core.shell import shell_word
from afterfit.errors import AfterfitError, NotFoundError, UsageError
from afterfit.monitor.log import iso
from afterfit.records.incident import Affected, Changed, IncidentReport, Proof
from afterfit.records.signals import Alarm
from afterfit.registry.audit import Entry
from afterfit.registry.history import PRUNE, RESTORE, move_of, rollback_target
from afterfit.registry.shelf import EVIDENCE, REGISTER
from afterfit.registry.version import Version
from afterfit.runtime.endpoint import read_endpoint
from afterfit.runtime.events import read_segments
from afterfit.serve.rollout import DIVIDE
from afterfit.stats.interval import wilson
from afterfit.stats.rates import newcombe_difference
from afterfit.store.environment import current_environment
from afterfit.workspace.certified import certified
from afterfit.workspace.champion import champion_of
from afterfit.workspace.watch import monitor_store

if TYPE_CHECKING:
    from afterfit.workspace.space import Workspace

__all__ = ["LEAD_S", "incident"]

US = 1_000_000
LEAD_S = 2 * 3600.0
"""Changes are looked for from so long before the window on, as it takes a while to be noticed."""
MOST_ERRORS = 10
BAD = ("failed", "refused")


@dataclass(frozen=True)
class _Window:
    """What is looked at, in µs: the incident, and from when on changes count."""

    start: int
    end: int
    changes: int

    def holds(self, ts: int) -> bool:
        return self.start <= ts <= self.end


def incident(
    space: Workspace,
    alarm: str = "",
    *,
    since_s: float | None = None,
    model: str = "",
    now: float | None = None,
) -> IncidentReport:
    """Return what is known of an alarm (its id, or its beginning), or of the last ``since_s``.

    Nothing is changed. Raises UsageError where neither is given, NotFoundError for no such alarm.
    """
    if bool(alarm) == (since_s is not None):
        raise UsageError("say one of both: an alarm, or how far back",
                         fix="afterfit incident --since 2h")  # fmt: skip
    end = round((time.time() if now is None else now) * US)
    alarms, notes = _alarms(space)
    if since_s is not None:
        window = _Window(end - round(since_s * US), end, end - round((since_s + LEAD_S) * US))
        about = f"the time since {iso(window.start)}"
    else:
        found = _named(alarms, alarm)
        last = end if found.resolved is None else found.resolved
        start = min(found.opened, found.worst.start)
        window = _Window(start, last, start - round(LEAD_S * US))
        model = model or found.scope.model
        about = f"alarm {found.id}: {found.signal} {found.subject}".strip()
    models = (model,) if model else space.registry.names()
    changes = [*_logged(space, window, models), *_endpoints(space, window, models),
               *_configuration(window), *_data(alarms, window, models)]  # fmt: skip
    changes += [each for name in models for each in _ground(space, name, notes)]
    affected = tuple(_affected(space, window, models))
    note, replayed = _replayed(space, window, affected, end)
    return IncidentReport(
        about=about,
        since=iso(window.start),
        until=iso(window.end),
        looked_from=iso(window.changes),
        models=models,
        changes=tuple(sorted(changes, key=lambda each: each.at or "~")),
        affected=affected,
        rollback=tuple(each for name in models for each in _way_back(space, name, about)),
        replayed=replayed,
        replay_note=note,
        proof=_proof(space, models),
        notes=tuple(notes),
    )


def _alarms(space: Workspace) -> tuple[list[Alarm], list[str]]:
    try:
        store = monitor_store(space, make=False)
    except NotFoundError:
        return [], ["drift and quality: nothing was watched here (afterfit monitor run)"]
    try:
        return store.alarms(), []
    finally:
        store.close()


def _named(alarms: Sequence[Alarm], told: str) -> Alarm:
    found = [alarm for alarm in alarms if alarm.id.startswith(told)]
    if len(found) == 1:
        return found[0]
    raise NotFoundError(
        f"no alarm {told!r}" if not found else f"{told!r} means {len(found)} alarms",
        why=f"there are: {', '.join(alarm.id for alarm in alarms[:10]) or 'none'}",
        fix="afterfit monitor alarms --ended, or say how far back: afterfit incident --since 2h",
    )


def _logged(space: Workspace, window: _Window, models: Sequence[str]) -> Iterator[Changed]:
    """Yield what the audit log says was changed in the time that counts."""
    for entry in space.registry.log():
        ts = round(datetime.fromisoformat(entry.time).timestamp() * US)
        if not window.changes <= ts <= window.end or (entry.name and entry.name not in models):
            continue
        kind = {DIVIDE: "traffic", "trust": "trust"}.get(entry.action, "other")
        if move_of(entry) or entry.action in {REGISTER, EVIDENCE, PRUNE, RESTORE}:
            kind = "version"
        yield Changed(
            at=entry.time[:19] + "+00:00",
            kind=kind,
            what=_line(entry),
            who=entry.who,
            why=entry.why,
            source=f"audit log, line {entry.seq}",
        )


def _line(entry: Entry) -> str:
    move = move_of(entry)
    if move is not None:
        came = f" (was {move.source})" if move.source else ""
        passed = f"; gates passed by: {move.override}" if move.override else ""
        return f"{entry.action}: {entry.name}@{move.alias} is version {move.to}{came}{passed}"
    path = f" {entry.source} → {entry.to}" if entry.source else f" {entry.to[:16]}"
    return f"{entry.action} {entry.name}{path}".strip()


def _endpoints(space: Workspace, window: _Window, models: Sequence[str]) -> Iterator[Changed]:
    """Yield the documents of endpoints that were written in the time that counts."""
    folder = space.folder / "endpoints"
    for place in sorted(folder.glob("*/endpoint.json")) if folder.is_dir() else []:
        ts = round(place.stat().st_mtime * US)
        document = read_endpoint(place.parent)
        if document is None or not window.changes <= ts <= window.end:
            continue
        for name, route in document.models.items():
            if name not in models:
                continue
            canary = route.canary
            share = f", {short(canary.digest)} gets {canary.share_ppm / 1e4:g} %" if canary else ""
            yield Changed(
                at=iso(ts),
                kind="endpoint",
                what=f"generation {document.generation}: {name} is version {route.version} "
                f"({short(route.primary)}){share}",
                source=str(place.relative_to(space.folder)),
            )


def _configuration(window: _Window) -> Iterator[Changed]:
    for name in ("afterfit.toml", "pyproject.toml"):
        path = Path(name)
        ts = round(path.stat().st_mtime * US) if path.is_file() else 0
        if window.changes <= ts <= window.end:
            told = f"{name} was written"
            yield Changed(at=iso(ts), kind="configuration", what=told, source=name)


def _data(alarms: Sequence[Alarm], window: _Window, models: Sequence[str]) -> Iterator[Changed]:
    """Yield what monitoring says of data, answers and quality in the time that counts."""
    for alarm in alarms:
        over = alarm.resolved is not None and alarm.resolved < window.start
        if over or alarm.opened > window.end or alarm.scope.model not in models:
            continue
        point = alarm.worst
        value = "" if point.value is None else f" {point.value:.4g}{point.unit and ' '}{point.unit}"
        limit = "" if point.threshold is None else f", threshold {point.threshold:.4g}"
        yield Changed(
            at=iso(alarm.opened),
            kind="data",
            what=f"{alarm.signal} {alarm.subject}".strip() + f":{value}{limit} (n = {point.n:,})",
            why=point.message,
            source=f"alarm {alarm.id}, {alarm.state}",
        )


def _ground(space: Workspace, name: str, notes: list[str]) -> Iterator[Changed]:
    """Yield what no longer is as it was when the champion was proven: machine, certificate."""
    version = champion_of(space, name)
    if version is None:
        notes.append(f"{name} has no champion")
        return
    place = f"{name}@{version.number}"
    try:
        found = certified(space, version.digest, lambda: space.version(place))
        if found is not None and found.lapsed:
            yield Changed(at="", kind="certificate", what=found.finding().message,
                          source=f"record {short(found.record)}")  # fmt: skip
        yield from _platform(space, version)
    except AfterfitError as error:
        notes.append(f"{place} could not be looked at: {error.message}")


def _platform(space: Workspace, version: Version) -> Iterator[Changed]:
    """Yield what differs between this machine and the one that the version was proven on."""
    step = next((s for s in ("loadtest", "optimize", "package") if s in version.evidence), "")
    if not step:
        return
    then, now = space.records.get(version.evidence[step]).body.env, current_environment()
    plain = [(n, str(getattr(then, n)), str(getattr(now, n))) for n in ("cpu", "cores", "python")]
    names = sorted(then.packages.keys() & now.packages.keys())
    plain += [(n, then.packages[n], now.packages[n]) for n in names]
    for what, before, after in plain:
        if before != after:
            yield Changed(at="", kind="platform", what=f"{what}: {before} → {after}",
                          source=f"its record of {step}, and this machine")  # fmt: skip


@dataclass
class _Tally:
    """Rows of one version in one role, in the window and before it."""

    rows: int = 0
    bad: int = 0
    old_rows: int = 0
    old_bad: int = 0
    captured: int = 0
    first: int = 0
    last: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, event: Event) -> None:
        """Count an event of the window."""
        self.rows += 1
        self.bad += event.kind in BAD
        self.captured += event.inputs is not None
        self.first = min(self.first or event.ts, event.ts)
        self.last = max(self.last, event.ts)
        self.flags.update(event.flags)
        if event.error:
            self.errors[event.error[:120]] += 1


def _affected(space: Workspace, window: _Window, models: Sequence[str]) -> Iterator[Affected]:
    """Yield what each version answered in the window, beside a window as long before it."""
    tallies: dict[tuple[str, int, str, str], _Tally] = {}
    before = window.start - (window.end - window.start)
    for event in read_segments(space.events):
        if event.kind == "label" or event.model not in models or event.ts < before:
            continue
        key = (event.model, event.version, event.digest, event.role)
        if window.holds(event.ts):
            tallies.setdefault(key, _Tally()).add(event)
        elif event.ts < window.start:
            tally = tallies.setdefault(key, _Tally())
            tally.old_rows += 1
            tally.old_bad += event.kind in BAD
    for (model, version, digest, role), t in sorted(tallies.items()):
        if not t.rows:
            continue
        gap = newcombe_difference(t.bad, t.rows, t.old_bad, t.old_rows)
        value = t.bad / t.rows - t.old_bad / t.old_rows if t.old_rows else math.nan
        yield Affected(
            model=model,
            version=version,
            digest=digest,
            role=role,
            rows=t.rows,
            first=iso(t.first),
            last=iso(t.last),
            failed=_rate(t.bad, t.rows),
            before=_rate(t.old_bad, t.old_rows),
            gap=Metric.of("gap", value, gap, n=t.rows + t.old_rows),
            flags=dict(t.flags.most_common()),
            errors=dict(t.errors.most_common(MOST_ERRORS)),
            captured=t.captured,
        )


def _rate(hits: int, n: int) -> Metric:
    value = hits / n if n else math.nan
    return Metric.of("not answered", value, wilson(hits, n), n=n, scope="rows")


def _way_back(space: Workspace, name: str, about: str) -> Iterator[tuple[str, str]]:
    """Yield commands that go back, each with what it does; nothing is done here."""
    target = rollback_target(space.registry.moves(name))
    if target is None:
        return
    where = "" if space.folder == Path(".afterfit") else f" --workspace {shell_word(space.folder)}"
    found = space.registry.resolve(f"{name}@{target}")
    there = "" if space.blobs.has(found.digest) else "; its bytes were pruned: ship it again first"
    command = f"afterfit version rollback {name} --why {shell_word(about)}{where}"
    yield command, f"{name} is version {target} again (sha256:{short(found.digest)}{there})"


def _replayed(
    space: Workspace,
    window: _Window,
    affected: Sequence[Affected],
    end: int,
) -> tuple[str, tuple[Metric, ...]]:
    """Return why nothing was replayed, or what the version to go back to said of the rows."""
    from afterfit.workspace.replaying import replay

    captured = Counter({each.model: 0 for each in affected})
    for each in affected:
        captured[each.model] += each.captured
    name = next((name for name, count in captured.most_common() if count), "")
    if not name:
        return "no inputs were captured in the window (serve --capture all)", ()
    target = rollback_target(space.registry.moves(name))
    if target is None:
        return f"{name} has no version to go back to", ()
    try:
        stored = replay(space, name, str(target), since_s=(end - window.start) / US, now=end / US)
    except AfterfitError as error:
        return f"{name}@{target} could not be asked: {error.message}", ()
    told = f"{name}@{target} was asked for what was captured since the window began"
    return told, stored.body.metrics


def _proof(space: Workspace, models: Sequence[str]) -> Proof:
    """Return head of the log, and by version that serves or served whether its bytes are whole."""
    lines, head, broken = 0, "", []
    try:
        check = space.registry.verify_log()
        lines, head = check.lines, check.head
    except AfterfitError as error:
        broken.append(f"{error.message}: {error.why}")
    digests = {}
    for name in models:
        version = champion_of(space, name)
        target = rollback_target(space.registry.moves(name))
        numbers = {n for n in (version and version.number, target) if n}
        for number in sorted(numbers):
            ref = f"{name}@{number}"
            try:
                found = space.registry.resolve(ref)
                space.registry.checkout(found)
                digests[ref] = found.digest
            except AfterfitError as error:
                broken.append(f"{ref}: {error.message}")
    return Proof(lines=lines, head=head, digests=digests, broken=tuple(broken))
