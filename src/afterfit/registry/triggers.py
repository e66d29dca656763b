"""What a line of the audit log is to others: a new version, a move, a refusal, a way back."""

from __future__ import annotations

from typing import Any

import msgspec

from afterfit.registry.audit import Entry
from afterfit.registry.history import PROMOTE, ROLLBACK
from afterfit.registry.registry import REFUSE
from afterfit.registry.shelf import REGISTER

__all__ = ["events_of", "told_of"]

_EVENTS: dict[str, tuple[str, ...]] = {
    REGISTER: ("new_version",),
    PROMOTE: ("moved_alias",),
    ROLLBACK: ("moved_alias", "rollback"),
    REFUSE: ("failed_gate",),
}
_TAKEN_BACK = ("rollout", "rolled_back")


def events_of(entry: Entry) -> tuple[str, ...]:
    """Return the events of ``[triggers]`` that a line is; none for most."""
    if (entry.action, entry.details.get("event")) == _TAKEN_BACK:
        return ("rollback",)
    return _EVENTS.get(entry.action, ())


def told_of(entry: Entry, event: str) -> dict[str, Any]:
    """Return what is told of a line: the event, and the line itself with its hash."""
    return {"schema": 1, "event": event, **msgspec.to_builtins(entry)}
