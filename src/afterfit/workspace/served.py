"""Events where servers put them: a folder, an object store, or a table of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from afterfit.core.event import Event
from afterfit.errors import (
    DependencyError,
    NotFoundError,
    UnavailableError,
    UsageError,
    first_line,
)
from afterfit.runtime.event_columns import EventColumns
from afterfit.runtime.event_schema import FIELDS, FLAG_BITS, label_of
from afterfit.runtime.events import SUFFIX, Scan, read_columns
from afterfit.runtime.sinks.opening import folder_of, scheme_of
from afterfit.runtime.sinks.postgres import TABLE
from afterfit.store.remote.objects import Objects
from afterfit.store.remote.secret import redacted

__all__ = ["counts_at", "events_at", "where_of"]

AT_ONCE = 5000
_POSTGRES = {"postgresql", "postgres"}
_MOMENT = "(extract(epoch FROM ts) * 1000000)::bigint"
_COLUMNS = ", ".join(_MOMENT if f.name == "ts" else f'"{f.name}"' for f in FIELDS)
_OURS = "(model = %s OR (kind = 'label' AND model IS NULL))"


def events_at(address: str | Path, name: str, first: int = 0) -> Iterator[Event]:
    """Yield what a model answered from ``first`` µs since 1970 on, and every label, in any order.

    ``address`` is what a server was given as ``--events``. Raises UsageError for standard output,
    NotFoundError for a database without events, DependencyError, ForbiddenError, UnavailableError.
    """
    if _scheme(address) in _POSTGRES:
        kinds = "(kind = 'label' OR (kind = 'served' AND ts >= to_timestamp(%s / 1e6)))"
        query = f"SELECT {_COLUMNS} FROM {TABLE} WHERE {_OURS} AND {kinds}"  # noqa: S608 - our own
        yield from map(_event, _rows(str(address), query, (name, first)))
        return
    for columns in _columns(address, first):
        yield from (event for event in columns.events() if event.model in {name, ""})


def counts_at(address: str | Path, name: str) -> dict[str, tuple[int, int]]:
    """Return rows served and requests failed of a model by digest; a shadow serves nobody.

    Raises what `events_at` raises.
    """
    if _scheme(address) in _POSTGRES:
        query = (
            "SELECT digest, count(*) FILTER (WHERE kind = 'served'),"  # noqa: S608 - our own
            f" count(*) FILTER (WHERE kind = 'failed') FROM {TABLE}"
            " WHERE model = %s AND kind IN ('served', 'failed')"
            " AND coalesce(role, 'primary') <> 'shadow' GROUP BY digest"
        )
        return {row[0] or "": (row[1], row[2]) for row in _rows(str(address), query, (name,))}
    found: dict[str, tuple[int, int]] = {}
    for columns in _columns(address, 0):
        digests, kinds = _texts(columns, "digest"), _texts(columns, "kind")
        ours = (_texts(columns, "model") == name) & (_texts(columns, "role") != "shadow")
        ours &= (kinds == "served") | (kinds == "failed")
        for digest in set(digests[ours]):
            mine = kinds[ours & (digests == digest)]
            served, failed = found.get(digest, (0, 0))
            found[digest] = (
                served + int((mine == "served").sum()),
                failed + int((mine == "failed").sum()),
            )
    return found


def where_of(address: str | Path) -> str:
    """Return an address for a message, without its secrets."""
    return redacted(str(address))


def _texts(columns: EventColumns, name: str) -> np.ndarray:
    return np.array([each or "" for each in columns.values(name)], dtype=object)


def _scheme(address: str | Path) -> str:
    scheme = "file" if isinstance(address, Path) else scheme_of(address)
    if scheme == "stdout":
        raise UsageError(
            "events that went to standard output are not read back",
            why="whoever took them has them",
            fix="name a place that keeps them, as: afterfit serve NAME@champion --events s3://…",
        )
    return scheme


def _columns(address: str | Path, first: int) -> Iterator[EventColumns]:
    """Yield every whole batch of a folder or of an object store, but for days before ``first``."""
    folder = address if isinstance(address, Path) else folder_of(address)
    if folder is not None:
        yield from read_columns(folder)
        return
    objects, day = Objects(str(address)), datetime.fromtimestamp(first / 1e6, UTC).date()
    for each in objects.listed(""):
        # A segment lies below the day on which it ended.
        if each.key.endswith(SUFFIX) and _day(each.key) >= day.isoformat():
            for batch in Scan(b"".join(objects.chunks(each.key))):
                yield batch.columns()


def _day(key: str) -> str:
    """Return the day in ``date=2026-11-23/NAME``; the last of days where there is none."""
    return next((p[5:] for p in key.split("/") if p.startswith("date=")), "9999-12-31")


def _event(row: Iterable[Any]) -> Event:
    """Return the event of a row, whose columns are those of `FIELDS`."""
    values = zip((field.name for field in FIELDS), row, strict=True)
    found = {name: value for name, value in values if value is not None}
    for name in {"label", "true_label"} & found.keys():
        found[name] = label_of(found[name])
    if "probabilities" in found:
        found["probabilities"] = tuple(found["probabilities"])
    if "flags" in found:
        found["flags"] = tuple(name for name, bit in FLAG_BITS.items() if found["flags"] & bit)
    return msgspec.convert({"event_id": "", **found}, Event)


def _rows(address: str, query: str, values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, some thousand at a time."""
    try:
        import psycopg
    except ImportError as error:
        raise DependencyError(
            "events in PostgreSQL need the package psycopg",
            why=str(error),
            fix="pip install 'afterfit[postgres]'",
        ) from None
    with _errors(psycopg.Error, address), psycopg.connect(address, connect_timeout=10) as line:
        there = line.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()
        if there is None or there[0] is None:
            raise NotFoundError(
                "there are no events in this database",
                where=redacted(address),
                why=f"it has no table {TABLE}, which a server makes when it writes the first",
                fix="look at the address: afterfit serve NAME@champion --events ADDRESS",
            )
        with line.cursor(name="afterfit_events_read") as cursor:
            cursor.itersize = AT_ONCE
            yield from cursor.execute(query, values)


@contextmanager
def _errors(kind: type[Exception], address: str) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise UnavailableError(
            "the events in PostgreSQL cannot be read",
            where=redacted(address),
            why=redacted(first_line(error)),
            fix="look at the address and at the database; a password is read from PGPASSWORD",
        ) from None
