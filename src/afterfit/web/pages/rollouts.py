"""Who answers now beside the primary, and every change that led there, from the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from afterfit.core.metric import in_percent
from afterfit.registry.audit import Entry
from afterfit.registry.history import PROMOTE, ROLLBACK
from afterfit.registry.registry import REFUSE
from afterfit.report.page import Cell, Table, Tone
from afterfit.report.parts import table, when
from afterfit.runtime.endpoint import MILLION
from afterfit.serve.observe import ModelReport
from afterfit.serve.rollout import DIVIDE
from afterfit.serve.rollouts.judge import compare
from afterfit.serve.rollouts.run import told_of
from afterfit.serve.rollouts.state import RolloutState, read_state, unwatched
from afterfit.web.pages.common import nothing
from afterfit.web.parts import Link, Pages, Part, View, ago, counted, link, pages_of, turns_of
from afterfit.web.site import Server, Site

ACTED = "monitor_action"
ROLLOUT = "rollout"
ACTIONS: dict[str, tuple[str, Tone]] = {
    PROMOTE: ("promoted", ""),
    ROLLBACK: ("rolled back", "warn"),
    REFUSE: ("not promoted", "bad"),
    DIVIDE: ("traffic divided", "info"),
    ROLLOUT: ("rollout", "info"),
    ACTED: ("monitor acted", "warn"),
}
STATES: dict[str, Tone] = {
    "promoted": "good",
    "rolled_back": "bad",
    "running": "info",
    "unwatched": "bad",
}
STOPPED = {"unwatched", "paused"}
SIZE = 50


@dataclass(frozen=True)
class Division:
    """A model of a running server whose traffic is divided: versions, and a share from 0 to 1."""

    server: str
    model: str
    primary: int
    canary: int | None
    share: float | None
    key: str
    shadows: tuple[int, ...]
    generation: int
    changed: float


@dataclass(frozen=True)
class Driven:
    """The last rollout of a model: versions, how it stands, the share from 0 to 1, and why.

    ``record`` is the digest of its record, empty until it has ended.
    """

    model: str
    primary: int
    candidate: int
    state: str
    share: float
    step: int
    steps: int
    canary_requests: int
    compared: tuple[str, ...]
    why: str
    record: str


@dataclass(frozen=True)
class Change:
    """One line of the audit log that changed who answers, or was to; ``line`` is its number."""

    line: int
    time: str
    model: str
    action: str
    what: str
    who: str
    why: str


@dataclass(frozen=True)
class Rollouts(View):
    """Divided traffic at ``at`` seconds since 1970, and the changes, the newest first."""

    at: float
    divisions: tuple[Division, ...]
    driven: tuple[Driven, ...]
    pages: Pages
    changes: tuple[Change, ...]

    area: ClassVar[str] = "/rollouts"
    every: ClassVar[int] = 5

    @property
    def title(self) -> str:
        """The heading."""
        return "Rollouts"

    @property
    def subtitle(self) -> str:
        """How many there are."""
        return f"{len(self.divisions)} under way, {counted(self.pages, 'change')}"

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is under way, then what was done."""
        now = nothing(
            "No server here has a canary or a shadow: afterfit endpoint set NAME --canary 2=10%"
        )
        none = nothing("No version was promoted yet: afterfit version promote NAME@1")
        return (
            Part("now", "Under way", (self._divisions(),) if self.divisions else now),
            *((Part("driven", "Rollouts", (self._driven(),)),) if self.driven else ()),
            Part("changes", "Changes", (self._changes(),) if self.changes else none),
        )

    @property
    def turns(self) -> tuple[Link, ...]:
        """The changes before and after."""
        return turns_of(self.pages, ("rollouts",), {})

    def _divisions(self) -> Table:
        rows = [
            [
                link(each.model, "models", each.model),
                each.server,
                each.primary,
                each.canary,
                None if each.share is None else in_percent(each.share, 1),
                each.key or None,
                ", ".join(map(str, each.shadows)) or None,
                f"{each.generation}, {ago(self.at - each.changed)}",
            ]
            for each in self.divisions
        ]
        columns = ("Model", "Server", "Primary", "Canary", "Asked share", "Sticky by", "Shadows",
                   "Generation")  # fmt: skip
        note = "What each version answers, how often and how fast is on the page of endpoints."
        return table(columns, rows, numeric=(2, 3, 4), note=note)

    def _driven(self) -> Table:
        rows = [
            [
                link(each.model, "models", each.model),
                f"{each.primary} to {each.candidate}",
                Cell(each.state.replace("_", " "), STATES.get(each.state, "warn")),
                f"{in_percent(each.share, 1)}, {each.step} of {each.steps}",
                each.canary_requests,
                each.why if each.state in STOPPED else "; ".join(each.compared) or each.why or None,
                link(each.record[:12], "records", each.record) if each.record else None,
            ]
            for each in self.driven
        ]
        columns = ("Model", "From and to", "Is", "Share, step", "Requests of the canary",
                   "Compared", "Record")  # fmt: skip
        note = "Started with: afterfit rollout start NAME --to NUMBER. The last one of each model."
        return table(columns, rows, numeric=(4,), note=note)

    def _changes(self) -> Table:
        rows = [
            [
                when(each.time),
                link(each.model, "models", each.model) if each.model else None,
                Cell(*ACTIONS[each.action]),
                each.what,
                each.who,
                each.why,
            ]
            for each in self.changes
        ]
        return table(("When", "Model", "What", "To", "Who", "Why"), rows)


def rollouts(site: Site, page: int = 1) -> Rollouts:
    """Return the page; raises IntegrityError where the audit log cannot be read."""
    log = [entry for entry in site.registry.log()[::-1] if entry.action in ACTIONS]
    pages = pages_of(len(log), SIZE, page)
    shown = log[(pages.page - 1) * SIZE : pages.page * SIZE]
    divisions = tuple(each for server in site.servers() for each in _divided(server))
    paths = sorted((site.folder / "rollouts").glob("*.json"))
    states = [(path, read_state(path)) for path in paths]
    driven = tuple(_drive(s, unwatched(path, s)) for path, s in states if s is not None)
    return Rollouts(site.clock(), divisions, driven, pages, tuple(map(_change, shown)))


def _drive(state: RolloutState, alone: str) -> Driven:
    compared = compare(state.judge, state.config)
    return Driven(
        model=state.name,
        primary=state.primary_number,
        candidate=state.candidate_number,
        state=state.verdict or ("unwatched" if alone else state.status),
        share=state.share_ppm / MILLION,
        step=state.step + 1,
        steps=len(state.config.steps),
        canary_requests=round(state.judge.step_canary),
        compared=tuple(told_of(each) for each in compared if each.canary.n),
        why=alone or state.why,
        record=state.record,
    )


def _divided(server: Server) -> Iterator[Division]:
    report = server.report
    for model in () if report is None else report.models:
        roles = {role.role: role for role in model.roles}
        canary, primary = roles.get("canary"), roles.get("primary")
        if report is None or primary is None or not (canary or model.shadows):
            continue
        yield Division(
            server=server.name,
            model=model.name,
            primary=primary.version,
            canary=canary.version if canary else None,
            share=canary.asked if canary else None,
            key=model.key,
            shadows=_shadows(model),
            generation=report.generation,
            changed=report.changed,
        )


def _shadows(model: ModelReport) -> tuple[int, ...]:
    return tuple(sorted({shadow.version for shadow in model.shadows}))


def _change(entry: Entry) -> Change:
    return Change(
        line=entry.seq,
        time=entry.time,
        model=entry.name,
        action=entry.action,
        what=_what(entry),
        who=entry.who,
        why=entry.why,
    )


def _what(entry: Entry) -> str:
    told = entry.details
    if entry.action == DIVIDE:
        return (
            ", ".join(f"{name} {_flat(value)}" for name, value in told.items()) or "primary alone"
        )
    if entry.action == ROLLOUT:
        event = str(told.get("event", "")).replace("_", " ")
        return f"version {entry.source} to {entry.to}: {event} at {told.get('share', '')}"
    if entry.action == ACTED:
        return str(told.get("outcome", ""))
    if entry.action == REFUSE:
        return f"version {entry.to} as {told.get('alias', '')}"
    passed = f" (gates were passed by: {told['override']})" if told.get("override") else ""
    before = f", before it {entry.source}" if entry.source else ""
    return f"{told.get('alias', '')}: version {entry.to}{before}{passed}"


def _flat(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
