"""What is sent with an alarm: one JSON object with all that is known, and a few lines of text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from afterfit.core.digest import canonical_json
from afterfit.core.metric import Metric
from afterfit.monitor.rank import loss_text
from afterfit.monitor.runbooks import steps_of
from afterfit.records.signals import Alarm, Scope, SignalPoint

__all__ = ["Event", "bundle", "scope_text", "text", "title", "value_text"]

Event = Literal["firing", "resolved", "retrain", "test"]
SCHEMA = 1


def bundle(alarm: Alarm, event: Event) -> bytes:
    """Return the evidence as canonical JSON: the alarm, its runbook, its loss and its window.

    It holds counts and distributions, and no row. The same alarm gives the same bytes.
    """
    told = {
        "schema": SCHEMA,
        "event": event,
        "id": alarm.id,
        "title": title(alarm, event),
        "text": text(alarm),
        "alarm": msgspec.to_builtins(msgspec.structs.replace(alarm, deliveries=())),
        "loss": loss_text(alarm.worst),
        "window": {"from": _iso(alarm.worst.start), "to": _iso(alarm.worst.end)},
        "runbook": {"code": alarm.runbook, "page": _named(steps_of(alarm.runbook))},
    }
    return canonical_json(told)


def title(alarm: Alarm, event: Event) -> str:
    """Return one line: ``firing, high: performance f1 of churn@3``."""
    subject = f" {alarm.subject}" if alarm.subject else ""
    line = f"{event}, {alarm.severity}: {alarm.signal}{subject} of {scope_text(alarm.scope)}"
    # Names of columns are somebody's text: a line break would end a header of an e-mail.
    return " ".join(line.split())[:200]


def text(alarm: Alarm) -> str:
    """Return what a person needs to decide, in a few lines."""
    point = alarm.worst
    limits = [_number(each, point.unit) for each in (point.threshold, point.usual)]
    windows = f"{alarm.windows} window{'s' * (alarm.windows != 1)}"
    lines = [
        f"over: {alarm.ended}" if alarm.ended else "",
        point.message,
        f"value: {value_text(point)}",
        f"threshold: {limits[0]}, usual: {limits[1]}",
        f"estimated loss: {loss_text(point)}",
        f"since {_iso(alarm.opened)}, in {windows}; worst {_iso(point.start)} to {_iso(point.end)}",
        f"what to do: {steps_of(alarm.runbook).get('Fix', '')}",
        f"alarm {alarm.id}; more: afterfit explain {alarm.runbook}",
    ]
    return "\n".join(line for line in lines if line)


def value_text(point: SignalPoint) -> str:
    """Return a point's value with its interval and n."""
    return Metric(
        name=point.signal,
        value=point.value,
        low=point.low,
        high=point.high,
        level=point.level,
        n=point.n,
        unit=point.unit,
    ).text()


def scope_text(scope: Scope) -> str:
    """Return of what an alarm is: ``churn@3 on endpoint, country = FR``."""
    version = f"@{scope.version}" if scope.version else ""
    where = f" on {scope.endpoint}" if scope.endpoint else ""
    return f"{scope.model or 'the log'}{version}{where}" + (f", {scope.slice}" * bool(scope.slice))


def _number(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value:.4g}{f' {unit}' if unit else ''}"


def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _named(page: dict[str, str]) -> dict[str, Any]:
    return {label.lower().replace(" ", "_") or "summary": words for label, words in page.items()}
