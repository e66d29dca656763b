"""An incident: what changed before it, which requests it touched, the way back, and the proof."""

from __future__ import annotations

import msgspec

from afterfit.core.metric import Metric

__all__ = ["Affected", "Changed", "IncidentReport", "Proof"]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that changed at ``at`` (ISO 8601, UTC; empty: when is not known).

    ``kind`` is ``version``, ``traffic``, ``trust``, ``endpoint``, ``configuration``, ``data``,
    ``certificate``, ``platform`` or ``other``; ``source`` says where that is written.
    """

    at: str
    kind: str
    what: str
    who: str = ""
    why: str = ""
    source: str = ""


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """What one version answered in the window, in one role.

    ``failed`` is the rate of rows that failed or were refused, ``before`` that in a window of the
    same length before it, ``gap`` their difference (now - before). ``flags`` and ``errors`` count
    rows; ``captured`` rows have their inputs.
    """

    model: str
    version: int
    digest: str
    role: str
    rows: int
    first: str
    last: str
    failed: Metric
    before: Metric
    gap: Metric
    flags: dict[str, int] = {}
    errors: dict[str, int] = {}
    captured: int = 0


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The audit log's lines and head hash, and by version whether every byte is what it was.

    ``broken`` says what is not; an incident with a broken chain proves nothing about who did what.
    """

    lines: int
    head: str
    digests: dict[str, str] = {}
    broken: tuple[str, ...] = ()


class IncidentReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; ``since`` and ``until`` are ISO 8601 in UTC, ``looked_from`` is for changes.

    ``rollback`` are commands with what they do, ``replayed`` what another version said of the same
    rows, ``replay_note`` why that was not asked. ``notes`` say what could not be looked at.
    """

    about: str
    since: str
    until: str
    looked_from: str
    models: tuple[str, ...]
    changes: tuple[Changed, ...] = ()
    affected: tuple[Affected, ...] = ()
    rollback: tuple[tuple[str, str], ...] = ()
    replayed: tuple[Metric, ...] = ()
    replay_note: str = ""
    proof: Proof
    notes: tuple[str, ...] = ()
