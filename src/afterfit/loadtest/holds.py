"""What a certificate holds for: the version, settings and machine that it was measured with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from afterfit.records.loadtest import LoadtestRecord
from afterfit.records.record import Environment

__all__ = ["changes", "holds_for"]

NEEDED = ("cpu", "cores", "afterfit", "python")
"""What, beside the packages, decides whether a measured record is used again: see `reuse_key`."""


def holds_for(
    record: LoadtestRecord,
    created: datetime,
    most: timedelta | None,
    *,
    subject: str,
    settings: Mapping[str, int],
    env: Environment,
    now: datetime,
) -> tuple[str, ...]:
    """Return why the record's certificate says nothing of this; empty where it still holds.

    ``created`` is the record's own time and ``most`` how old it may be (None: any age). Everything
    that would keep the record from being used again ends the certificate too, and so do other
    settings of the server.
    """
    if record.certificate is None:
        return ("the record has no certificate",)
    told = []
    if record.subject != subject:
        told.append(f"it is of {record.subject[:12] or '?'}, not of {subject[:12] or '?'}")
    told += changes("setting", record.settings, settings)
    told += changes("", *({name: getattr(e, name) for name in NEEDED} for e in (record.env, env)))
    told += changes("package", record.env.packages, env.packages)
    if most is not None and now - created > most:
        days = most.total_seconds() / 86400
        told.append(f"it is of {created:%Y-%m-%d} and counts for {days:g} days")
    return tuple(told)


def changes(kind: str, then: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return a sentence for each name whose value differs."""
    return [
        f"{kind} {name} was {then.get(name, 'not there')}, is {now.get(name, 'not there')}".strip()
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
