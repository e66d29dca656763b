"""The page of alarms: what each says, how sure that is, what to do, and who was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from afterfit.core.metric import Metric
from afterfit.records.signals import Alarm, SignalPoint
from afterfit.report.page import (
    Block,
    Cell,
    Chart,
    Details,
    Histogram,
    Intervals,
    Page,
    Range,
    Section,
    Tone,
    Verdict,
)
from afterfit.report.parts import code, key_values, note, table, when

__all__ = ["alarm_section", "alarms_page"]

TONES: dict[str, Tone] = {"high": "bad", "medium": "warn", "low": "info", "info": "muted"}
MOST = 50
Runbook = Callable[[str], Mapping[str, str]]


def alarms_page(alarms: Sequence[Alarm], runbook: Runbook) -> Page:
    """Return the page of alarms in the order given; ``runbook`` gives a page by its code."""
    firing = [alarm for alarm in alarms if alarm.state == "firing"]
    loud = sum(not alarm.silenced for alarm in firing)
    quiet = len(firing) - loud
    words = f"{loud} {'alarm fires' if loud == 1 else 'alarms fire'}, {quiet} silenced."
    verdict = Verdict("alarm" if loud else "quiet", words, "bad" if loud else "good")
    shown = alarms[:MOST]
    sections = [Section("alarms", "Alarms", (_list(alarms),))]
    sections += [alarm_section(alarm, runbook(alarm.runbook)) for alarm in shown]
    return Page(
        kind="monitor",
        title="Alarms",
        subtitle="the greatest estimated loss first",
        verdict=verdict,
        sections=tuple(sections),
    )


def alarm_section(alarm: Alarm, runbook: Mapping[str, str]) -> Section:
    """Return one alarm: facts, plots from its evidence, its runbook and its deliveries."""
    point = alarm.worst
    facts = key_values(
        ("State", Cell(alarm.state, TONES[alarm.severity] if alarm.state == "firing" else "")),
        ("Severity", alarm.severity),
        ("Of", _scope(alarm)),
        ("Since", _when(alarm.opened)),
        ("Windows", alarm.windows),
        ("Value", _metric(point).text()),
        ("Threshold", _number(point.threshold, point)),
        ("Usual", _number(point.usual, point)),
        ("Estimated loss", _loss(point)),
        ("Silenced by", alarm.silenced or "nothing"),
        ("Alarm", code(alarm.id)),
    )
    blocks: list[Block] = [note(point.message, "")] if point.message else []
    blocks += [facts, *_charts(point)]
    if runbook:
        steps = key_values(*((label or "What", text) for label, text in runbook.items()))
        blocks.append(Details(f"Runbook {alarm.runbook}", (steps,)))
    if alarm.deliveries:
        rows = [(d.channel, _when(d.at), d.state, d.attempt, d.message) for d in alarm.deliveries]
        names = ("Channel or action", "When", "State", "Attempt", "What")
        blocks.append(Details("Who was told, and what was done", (table(names, rows),)))
    name = f"{alarm.signal} {alarm.subject}".strip()
    return Section(f"alarm-{alarm.id}", name, tuple(blocks))


def _list(alarms: Sequence[Alarm]) -> Block:
    if not alarms:
        return note("Nothing is wrong that a signal could tell.", "good")
    rows = [
        (
            Cell(alarm.severity, TONES[alarm.severity]),
            f"{alarm.signal} {alarm.subject}".strip(),
            _scope(alarm),
            alarm.state if not alarm.silenced else f"{alarm.state}, silenced",
            _loss(alarm.worst),
            _metric(alarm.worst).text(),
            _when(alarm.opened),
        )
        for alarm in alarms
    ]
    columns = ("Severity", "Signal", "Of", "State", "Estimated loss", "Value", "Since")
    left = len(alarms) - MOST
    return table(columns, rows, note=f"{left} more have no section below" if left > 0 else "")


def _charts(point: SignalPoint) -> list[Block]:
    found: list[Block] = []
    if None not in (point.value, point.low, point.high):
        found.append(_interval(point))
    told = point.evidence
    before, after = told.get("before"), told.get("after")
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        found.append(_histogram(point, before, after))
    return found


def _interval(point: SignalPoint) -> Chart:
    marks = [("threshold", point.threshold), ("usual", point.usual)]
    ranges = [Range("this window", "value", _of(point.value), _of(point.low), _of(point.high))]
    ranges += [Range(name, "value", at, at, at) for name, at in marks if at is not None]
    rows = [(r.label, r.value, r.low, r.high) for r in ranges]
    return Chart(
        title="The value beside its threshold",
        description="The worst window's value with its interval, the threshold and the usual.",
        drawing=Intervals(tuple(ranges), x_title=point.unit),
        table=table(("What", "Value", "Low", "High"), rows, numeric=(1, 2, 3)),
        repeats=True,
    )


def _histogram(point: SignalPoint, before: list[float], after: list[float]) -> Chart:
    names = _bins(point, len(before))
    rows = list(zip(names, before, after, strict=True))
    return Chart(
        title=f"{point.subject or 'the output'}: reference and this window",
        description="Shares of rows by value.",
        drawing=Histogram(
            title=point.subject or "the output",
            reference=tuple(before),
            live=tuple(after),
            labels=names,
        ),
        table=table(("Bin", "Reference", "Window"), rows, numeric=(1, 2)),
    )


def _bins(point: SignalPoint, n: int) -> tuple[str, ...]:
    """Return the names of ``n`` bins: ranges between edges, categories, or their numbers."""
    edges = point.evidence.get("edges") or []
    if len(edges) == n - 1 and n > 1:
        inner = (f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))
        return (f"below {edges[0]:.4g}", *inner, f"from {edges[-1]:.4g}")
    names = tuple(map(str, point.evidence.get("categories") or ()))
    return names if len(names) == n else tuple(f"bin {place + 1}" for place in range(n))


def _metric(point: SignalPoint) -> Metric:
    return Metric(name=point.signal, value=point.value, low=point.low, high=point.high,
                  level=point.level, n=point.n, unit=point.unit)  # fmt: skip


def _loss(point: SignalPoint) -> str:
    return "cannot tell" if point.loss is None else f"{point.loss.name}: {point.loss.text()}"


def _scope(alarm: Alarm) -> str:
    scope = alarm.scope
    version = f"@{scope.version}" if scope.version else ""
    parts = (f"{scope.model or 'the log'}{version}", scope.slice)
    return ", ".join(part for part in parts if part)


def _number(value: float | None, point: SignalPoint) -> str:
    return "not known" if value is None else f"{value:.4g} {point.unit}".strip()


def _of(value: float | None) -> float:
    return 0.0 if value is None else value


def _when(moment: int) -> str:
    return when(datetime.fromtimestamp(moment / 1e6, UTC).isoformat())
