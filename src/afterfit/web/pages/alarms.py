"""Alarms, and the story of one: what moved, by how much, who was told, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from afterfit.errors import NotFoundError
from afterfit.monitor.store.base import PointQuery
from afterfit.records.signals import Alarm, Delivery
from afterfit.registry.history import Move, move_of
from afterfit.report import number
from afterfit.report.page import Block, Cell, KeyValue, Table, Tone
from afterfit.report.parts import key_values, table
from afterfit.web.pages.common import nothing
from afterfit.web.pages.plots import Distribution, distribution, over_time, shares
from afterfit.web.pages.signals import NOT_YET, scope_text
from afterfit.web.parts import (
    Link,
    Pages,
    Part,
    Plot,
    View,
    counted,
    link,
    moment,
    pages_of,
    turns_of,
)
from afterfit.web.series import Thin, thinned
from afterfit.web.site import Site

SIZE = 50
AROUND = 40
"""Windows before an alarm that its plot begins with."""
ORDER = ("firing", "pending", "resolved")
SEVERITY_TONES: dict[str, Tone] = {"high": "bad", "medium": "warn", "low": "info", "info": "muted"}
STATE_TONES: dict[str, Tone] = {"firing": "bad", "pending": "warn", "resolved": "good"}
SENT_TONES: dict[str, Tone] = {
    "sent": "good",
    "failed": "bad",
    "dropped": "bad",
    "dry_run": "muted",
}


@dataclass(frozen=True)
class AlarmLine:
    """One alarm as lists show it; times are µs since 1970."""

    id: str
    signal: str
    subject: str
    scope: str
    state: str
    severity: str
    opened: int
    resolved: int | None
    windows: int
    loss: str
    silenced: str


@dataclass(frozen=True)
class Alarms(View):
    """Alarms, those that last first: of one model where it was chosen."""

    monitored: bool
    model: str
    lasting: int
    pages: Pages
    alarms: tuple[AlarmLine, ...]

    area: ClassVar[str] = "/alarms"
    every: ClassVar[int] = 5

    @property
    def title(self) -> str:
        """What is listed."""
        return f"Alarms: {self.model}" if self.model else "Alarms"

    @property
    def subtitle(self) -> str:
        """How many there are."""
        return f"{self.lasting} open; {counted(self.pages, 'alarm')}"

    @property
    def turns(self) -> tuple[Link, ...]:
        """Older ones."""
        return turns_of(self.pages, ("alarms",), {"model": self.model})

    @property
    def parts(self) -> tuple[Part, ...]:
        """The list."""
        if not self.monitored:
            return (Part("alarms", "Alarms", nothing(NOT_YET)),)
        listed = (alarms_table(self.alarms),) if self.alarms else nothing("No alarm so far.")
        return (Part("alarms", "Alarms", listed),)


@dataclass(frozen=True)
class Event:
    """Something that happened while an alarm lasted, or just before; ``at`` is µs since 1970."""

    at: int
    what: str
    told: str
    tone: Tone = ""


@dataclass(frozen=True)
class Story(View):
    """One alarm: its signal around that time, what happened in order, what to do, what else."""

    alarm: Alarm
    id: str
    steps: dict[str, str]
    events: tuple[Event, ...]
    windows: Thin | None
    distribution: Distribution | None
    others: tuple[AlarmLine, ...]

    area: ClassVar[str] = "/alarms"
    every: ClassVar[int] = 5

    @property
    def title(self) -> str:
        """The signal and its subject."""
        alarm = self.alarm
        return f"{alarm.signal}: {alarm.subject}" if alarm.subject else alarm.signal

    @property
    def subtitle(self) -> str:
        """Of what, and since when."""
        return f"{scope_text(self.alarm.scope)} · since {moment(self.alarm.opened)}".lstrip(" ·")

    @property
    def trail(self) -> tuple[Link, ...]:
        """The alarms."""
        return (link("Alarms", "alarms"),)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it is, plots, what happened, what to do, and other alarms of that time."""
        parts = [Part("what", "What is wrong", (self._facts(), *self._message()))]
        plots = tuple(self._plots())
        if plots:
            parts.append(Part("plots", "Over time", plots))
        if self.steps:
            rows = [(label or "What it is", Cell(text)) for label, text in self.steps.items()]
            parts.append(Part("runbook", "What to do", (KeyValue(tuple(rows)),)))
        parts.append(Part("events", "What happened", (_events_table(self.events),)))
        if self.others:
            parts.append(Part("others", "At the same time", (alarms_table(self.others),)))
        return tuple(parts)

    def _facts(self) -> Block:
        alarm, worst = self.alarm, self.alarm.worst
        value = number.number(worst.value, worst.unit)
        if worst.low is not None and worst.high is not None:
            value += f" [{number.plain(worst.low)}, {number.plain(worst.high)}]"
        return key_values(
            ("State", Cell(alarm.state, STATE_TONES[alarm.state])),
            ("Severity", Cell(alarm.severity, SEVERITY_TONES[alarm.severity])),
            ("Worst value", f"{value} (n = {number.count(worst.n)})"),
            ("Usual", number.number(worst.usual, worst.unit)),
            ("Threshold", number.number(worst.threshold, worst.unit)),
            ("Estimated loss", _loss(alarm)),
            ("Windows", alarm.windows),
            ("Resolved", moment(alarm.resolved) if alarm.resolved is not None else "not yet"),
            ("Silenced", alarm.silenced),
            ("Alarm", Cell(self.id, code=True)),
        )

    def _message(self) -> tuple[Block, ...]:
        return nothing(self.alarm.worst.message) if self.alarm.worst.message else ()

    def _plots(self) -> Iterator[Plot]:
        if self.windows is not None and self.windows.start:
            yield over_time(self.title, self.alarm.worst.unit, self.windows, self.alarm.worst.level)
        if self.distribution is not None:
            yield shares("Distribution of the worst window", self.distribution)


def alarms_table(lines: tuple[AlarmLine, ...]) -> Table:
    """Return one row an alarm, which leads to its story."""
    rows = [
        [
            Cell(line.state, STATE_TONES.get(line.state, "muted")),
            link(
                f"{line.signal}: {line.subject}" if line.subject else line.signal, "alarms", line.id
            ),
            Cell(line.severity, SEVERITY_TONES.get(line.severity, "")),
            line.scope or None,
            line.loss,
            moment(line.opened),
            None if line.resolved is None else moment(line.resolved),
            line.windows,
        ]
        for line in lines
    ]
    columns = (
        "State",
        "Signal",
        "Severity",
        "Scope",
        "Estimated loss",
        "Since",
        "Resolved",
        "Windows",
    )
    return table(columns, rows, numeric=(7,))


def alarms(site: Site, model: str = "", page: int = 1) -> Alarms:
    """Return a page of the alarms."""
    every = [alarm for alarm in site.alarms() if model in ("", alarm.scope.model)]
    every.sort(key=lambda alarm: (ORDER.index(alarm.state), -alarm.opened))
    pages = pages_of(len(every), SIZE, page)
    shown = every[(pages.page - 1) * SIZE : pages.page * SIZE]
    lasting = sum(alarm.state != "resolved" for alarm in every)
    return Alarms(site.monitor is not None, model, lasting, pages, tuple(map(_line, shown)))


def story(site: Site, identity: str) -> Story:
    """Return the story of an alarm; raises NotFoundError."""
    from afterfit.monitor.runbooks import steps_of

    every = site.alarms()
    alarm = next((alarm for alarm in every if alarm.id == identity), None)
    store = site.monitor
    if alarm is None or store is None:
        raise NotFoundError("there is no such alarm", fix="see those that there are: /alarms")
    length = max(1, alarm.worst.end - alarm.worst.start)
    end = alarm.resolved if alarm.resolved is not None else alarm.updated
    query = PointQuery(
        endpoint=alarm.scope.endpoint,
        model=alarm.scope.model,
        version=alarm.scope.version,
        slice=alarm.scope.slice,
        signal=alarm.signal,
        subject=alarm.subject,
        since=alarm.opened - AROUND * length,
        until=end + AROUND * length,
    )
    others = [one for one in every if one is not alarm and _together(one, alarm)]
    return Story(
        alarm=alarm,
        id=alarm.id,
        steps=steps_of(alarm.runbook),
        events=_events(site, alarm, alarm.opened - AROUND * length, end),
        windows=thinned(store.series(query)),
        distribution=distribution(alarm.worst),
        others=tuple(map(_line, others[:SIZE])),
    )


def _events(site: Site, alarm: Alarm, since: int, end: int) -> tuple[Event, ...]:
    found = [Event(alarm.opened, "first window", alarm.worst.message, "bad")]
    found += [_delivered(each) for each in alarm.deliveries]
    if alarm.scope.model in site.registry.names():
        found += [
            event for entry in site.registry.log(alarm.scope.model)
            if (move := move_of(entry)) is not None and since <= (event := _moved(move)).at <= end
        ]  # fmt: skip
    if alarm.resolved is not None:
        found.append(Event(alarm.resolved, "resolved", alarm.ended, "good"))
    return tuple(sorted(found, key=lambda event: event.at))


def _delivered(each: Delivery) -> Event:
    words = {"dry_run": "would have been told"}
    what = f"{each.channel}: {words.get(each.state, each.state)}"
    attempt = f"attempt {each.attempt}; " if each.attempt > 1 else ""
    return Event(each.at, what, f"{attempt}{each.message}", SENT_TONES[each.state])


def _moved(move: Move) -> Event:
    at = int(datetime.fromisoformat(move.time).timestamp() * 1e6)
    told = f"{move.alias} from {move.source or number.NOTHING} to {move.to}, by {move.who}"
    return Event(at, move.action, f"{told}: {move.why}" if move.why else told, "info")


def _together(one: Alarm, other: Alarm) -> bool:
    """Return whether two alarms lasted at one time."""
    ends = [a.resolved if a.resolved is not None else a.updated for a in (one, other)]
    return one.opened <= ends[1] and other.opened <= ends[0]


def _line(alarm: Alarm) -> AlarmLine:
    return AlarmLine(
        id=alarm.id,
        signal=alarm.signal,
        subject=alarm.subject,
        scope=scope_text(alarm.scope),
        state=alarm.state,
        severity=alarm.severity,
        opened=alarm.opened,
        resolved=alarm.resolved,
        windows=alarm.windows,
        loss=_loss(alarm),
        silenced=alarm.silenced,
    )


def _loss(alarm: Alarm) -> str:
    loss = alarm.worst.loss
    if loss is None or loss.value is None:
        return "cannot tell"
    return f"{number.metric_title(loss.name)} {number.metric_text(loss)}"


def _events_table(events: tuple[Event, ...]) -> Table:
    rows = [[moment(event.at), Cell(event.what, event.tone), event.told] for event in events]
    return table(("When", "What", "Told"), rows)
