"""The tables, and the queries that SQLite and PostgreSQL have alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

from afterfit.core.frame import Frame
from afterfit.monitor.store.base import EVERY, Change, PointQuery
from afterfit.records.signals import Alarm, SignalPoint

__all__ = [
    "COLUMNS",
    "KEY",
    "NUMBERS",
    "Row",
    "Sql",
    "SqlStore",
    "create",
    "frame_of",
    "oldest",
    "take",
]

T = TypeVar("T")
Row = tuple[Any, ...]
KEY = ("endpoint", "signal", "subject", "model", "version", "digest", "slice", "start")
NUMBERS = ("value", "low", "high", "usual", "threshold", "least")
COLUMNS = (*KEY, "finish", "n", "state", *NUMBERS, "body")
"""A point as a row: ``finish`` is the end of its window, ``body`` all of it as JSON."""
_INTEGERS = ("version", "start", "finish", "n")
_NAMES = ", ".join(COLUMNS)
_UPSERT = (
    f"INSERT INTO {{}} ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - names of our own
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in KEY)
)
_ALARM = (
    "INSERT INTO {} (id, endpoint, state, opened, updated, body) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, updated = excluded.updated, "
    "body = excluded.body"
)
_PART = (
    "INSERT INTO {} (endpoint, name, body) VALUES (?, ?, ?) "
    "ON CONFLICT (endpoint, name) DO UPDATE SET body = excluded.body"
)
_POINTS, _ALARMS, _PARTS = "afterfit_points", "afterfit_alarms", "afterfit_parts"


class Sql(Protocol):
    """An open transaction of either database; values stand as ``?``."""

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return what a query gives."""
        ...

    def each(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run a statement with the values of each row, and return how many rows it touched."""
        ...


def create(blob: str) -> tuple[str, ...]:
    """Return the statements that make the tables; ``blob`` is the type of bytes."""
    texts = "".join(f"{name} TEXT NOT NULL, " for name in KEY if name not in _INTEGERS)
    whole = "".join(f"{name} BIGINT NOT NULL, " for name in _INTEGERS)
    numbers = "".join(f"{name} DOUBLE PRECISION, " for name in NUMBERS)
    points = f"{texts}{whole}{numbers}state TEXT NOT NULL, body TEXT NOT NULL"
    alarms = "id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, state TEXT NOT NULL"
    alarms += ", opened BIGINT NOT NULL, updated BIGINT NOT NULL, body TEXT NOT NULL"
    parts = f"endpoint TEXT NOT NULL, name TEXT NOT NULL, body {blob} NOT NULL"
    return (
        f"CREATE TABLE IF NOT EXISTS {_POINTS} ({points}, PRIMARY KEY ({', '.join(KEY)}))",
        f"CREATE INDEX IF NOT EXISTS {_POINTS}_start ON {_POINTS} (start)",
        f"CREATE TABLE IF NOT EXISTS {_ALARMS} ({alarms})",
        f"CREATE TABLE IF NOT EXISTS {_PARTS} ({parts}, PRIMARY KEY (endpoint, name))",
    )


class SqlStore(ABC):
    """A store in a database; ``_run`` gives each piece of work a transaction of its own."""

    @abstractmethod
    def _run(self, work: Callable[[Sql], T]) -> T:
        """Return what work returns, after its transaction was committed."""

    def _read(self, work: Callable[[Sql], T]) -> T:
        """Return what work returns that only reads: where it can, it waits for no writer."""
        return self._run(work)

    def commit(self, endpoint: str, change: Change) -> None:
        """Do all of a change or nothing."""
        points = [_row(point) for point in change.points]
        alarms = [_alarm_row(alarm) for alarm in change.alarms]
        kept = [(endpoint, name, body) for name, body in change.parts.items() if body is not None]
        gone = [(endpoint, name) for name, body in change.parts.items() if body is None]

        def work(sql: Sql) -> None:
            sql.each(_UPSERT.format(_POINTS), points)
            sql.each(_ALARM.format(_ALARMS), alarms)
            sql.each(_PART.format(_PARTS), kept)
            sql.each(f"DELETE FROM {_PARTS} WHERE endpoint = ? AND name = ?", gone)  # noqa: S608

        self._run(work)

    def points(self, query: PointQuery = EVERY, *, limit: int = 0) -> list[SignalPoint]:
        """Return the points, oldest window first; only the newest ``limit`` where it is above 0."""
        rows = self._select(query, (*KEY, "body"), limit)
        return [msgspec.json.decode(row[-1], type=SignalPoint) for row in rows]

    def series(self, query: PointQuery = EVERY) -> Frame:
        """Return the points as columns without evidence, oldest window first."""
        return frame_of(self._select(query, COLUMNS[:-1], 0))

    def alarms(self, *, endpoint: str | None = None, lasting: bool = False) -> list[Alarm]:
        """Return the alarms, newest first; ``lasting`` leaves out those that were resolved."""
        where, values = ["1 = 1"], []
        if endpoint is not None:
            where.append("endpoint = ?")
            values.append(endpoint)
        if lasting:
            where.append("state <> 'resolved'")
        query = f"SELECT body FROM {_ALARMS} WHERE {' AND '.join(where)} ORDER BY opened DESC, id"  # noqa: S608
        rows = self._read(lambda sql: sql.rows(query, values))
        return [msgspec.json.decode(body, type=Alarm) for (body,) in rows]

    def parts(self, endpoint: str, prefix: str = "") -> dict[str, bytes]:
        """Return the pieces of a daemon's state whose names begin so."""
        query = f"SELECT name, body FROM {_PARTS} WHERE {_BEGINS} ORDER BY name"  # noqa: S608
        values = (endpoint, len(prefix), prefix)
        return {name: bytes(body) for name, body in self._read(lambda sql: sql.rows(query, values))}

    def part_names(self, endpoint: str, prefix: str = "") -> list[str]:
        """Return the names of such pieces, in order."""
        query = f"SELECT name FROM {_PARTS} WHERE {_BEGINS} ORDER BY name"  # noqa: S608
        values = (endpoint, len(prefix), prefix)
        return [name for (name,) in self._read(lambda sql: sql.rows(query, values))]

    def endpoints(self) -> list[str]:
        """Return whose state is kept, in order."""
        query = f"SELECT DISTINCT endpoint FROM {_PARTS} ORDER BY endpoint"  # noqa: S608
        return [name for (name,) in self._read(lambda sql: sql.rows(query))]

    def retain(self, since: int) -> int:
        """Drop points of windows, and resolved alarms, before a moment; returns how many."""
        old = f"DELETE FROM {_ALARMS} WHERE state = 'resolved' AND updated < ?"  # noqa: S608
        points = f"DELETE FROM {_POINTS} WHERE start < ?"  # noqa: S608
        return self._run(lambda sql: sql.each(points, [(since,)]) + sql.each(old, [(since,)]))

    def _select(self, query: PointQuery, columns: Sequence[str], limit: int) -> list[Row]:
        """Return columns of points, oldest window first."""
        return self._read(lambda sql: select(sql, query, columns, limit))


_BEGINS = "endpoint = ? AND substr(name, 1, ?) = ?"


def select(sql: Sql, query: PointQuery, columns: Sequence[str], limit: int = 0) -> list[Row]:
    """Return columns of the points in the table, oldest window first."""
    equal = query.equal
    where = " AND ".join([*(f"{name} = ?" for name in equal), "start >= ?", "start < ?"])
    newest = f" LIMIT {int(limit)}" if limit else ""
    text = (
        f"SELECT {', '.join(columns)} FROM {_POINTS} WHERE {where} "  # noqa: S608 - names of our own
        f"ORDER BY start DESC, signal DESC, subject DESC{newest}"
    )
    values = [_plain(value) for value in equal.values()]
    return sql.rows(text, [*values, query.since, query.until])[::-1]


def oldest(sql: Sql) -> int | None:
    """Return when the oldest window of the table began (µs), None of an empty one."""
    found: int | None = sql.rows(f"SELECT min(start) FROM {_POINTS}")[0][0]  # noqa: S608
    return found


def take(sql: Sql, before: int) -> list[Row]:
    """Take the points out whose windows began before a moment; returns their rows."""
    rows = select(sql, PointQuery(until=before), COLUMNS)
    sql.each(f"DELETE FROM {_POINTS} WHERE start < ?", [(before,)])  # noqa: S608
    return rows


def frame_of(rows: Sequence[Row]) -> Frame:
    """Return rows of all columns but the body as arrays: int64, float64 with NaN, and text."""
    names = COLUMNS[:-1]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return {
        name: np.array(column, dtype=_kind(name))
        for name, column in zip(names, columns, strict=True)
    }


def _kind(name: str) -> Any:
    return np.int64 if name in _INTEGERS else np.float64 if name in NUMBERS else object


def _row(point: SignalPoint) -> Row:
    scope = point.scope
    key = (
        scope.endpoint, point.signal, point.subject, scope.model, scope.version, scope.digest,
        scope.slice, point.start,
    )  # fmt: skip
    numbers = [getattr(point, name) for name in NUMBERS]
    body = msgspec.json.encode(point).decode()
    return (*map(_plain, key), point.end, point.n, point.state, *numbers, body)


def _alarm_row(alarm: Alarm) -> Row:
    body = msgspec.json.encode(alarm).decode()
    endpoint = _plain(alarm.scope.endpoint)
    return alarm.id, endpoint, alarm.state, alarm.opened, alarm.updated, body


def _plain(value: Any) -> Any:
    # A text of PostgreSQL cannot hold the character 0; the body has the name as it is.
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
