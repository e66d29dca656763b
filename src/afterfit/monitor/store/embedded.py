"""The store of one machine: SQLite for what changes, a Parquet file a day for points of the past.

A point is first in SQLite, where it is written in one transaction with the rest of the daemon's
step. Whole days move to Parquet later. After a crash in between a point is in both, and the one in
SQLite counts, which is also how a point of a packed day is written anew.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

from afterfit.errors import ConflictError, IntegrityError, UnavailableError
from afterfit.monitor.cut import DAY
from afterfit.monitor.store import sql
from afterfit.monitor.store.base import PointQuery
from afterfit.monitor.store.sql import COLUMNS, KEY, NUMBERS, Row, SqlStore
from afterfit.store.files import file_lock, os_errors, replacing

__all__ = ["EmbeddedStore"]

T = TypeVar("T")
_BUSY_S = 30.0
_KEY_SIZE = len(KEY)
_FILE = re.compile(r"\d{4}-\d\d-\d\d\.parquet")


class EmbeddedStore(SqlStore):
    """A folder with ``monitor.sqlite`` and ``points/2026-11-27.parquet``.

    Any number of processes may read, and daemons of different endpoints write. Raises
    ForbiddenError for a folder that cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._days = folder / "points"
        with os_errors(folder, "create"):
            self._days.mkdir(parents=True, exist_ok=True)
        self._connection = _connect(folder / "monitor.sqlite")

    def compact(self, before: int) -> int:
        """Pack the points of whole days that ended before a moment; returns how many."""
        midnight, count = before // DAY * DAY, 0

        def work(transaction: sql.Sql) -> int:
            first = sql.oldest(transaction)
            if first is None or first >= midnight:
                return 0
            rows = sql.take(transaction, first // DAY * DAY + DAY)
            self._pack(_day_of(first), rows)
            return len(rows)

        with file_lock(self.folder / "compact.lock"):
            # A day at a time, so that the memory it takes does not grow with their number.
            while packed := self._run(work):
                count += packed
        return count

    def retain(self, since: int) -> int:
        """Drop points and resolved alarms before a moment; returns how many, whole days packed."""
        from pyarrow.parquet import read_metadata

        count = super().retain(since)
        with file_lock(self.folder / "compact.lock"):
            for path in self._packed(0, since // DAY * DAY):
                with _told_if_broken(path):
                    count += read_metadata(path).num_rows
                path.unlink(missing_ok=True)
        return count

    def size_bytes(self) -> int:
        """Return what it takes on the disk, in bytes."""
        files = [*self.folder.glob("monitor.sqlite*"), *self._days.iterdir()]
        return sum(path.stat().st_size for path in files if path.exists())

    @contextmanager
    def writer(self, endpoint: str) -> Iterator[None]:
        """Be the only daemon of an endpoint; raises ConflictError where there is one."""
        name = re.sub(r"[^\w.-]", lambda found: f"%{ord(found[0]):x}", endpoint) or "%"
        try:
            lock = file_lock(self.folder / f"daemon-{name}.lock", timeout_s=0.0)
            lock.__enter__()
        except UnavailableError:
            raise ConflictError(
                "another process watches this endpoint",
                where=str(self.folder),
                why="two would write the same windows twice",
                fix="afterfit monitor status",
            ) from None
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _run(self, work: Callable[[sql.Sql], T]) -> T:
        return self._within("BEGIN IMMEDIATE", work)

    def _read(self, work: Callable[[sql.Sql], T]) -> T:
        # With a write-ahead log a reader sees the last commit, however long a writer takes.
        return self._within("BEGIN", work)

    def _within(self, begin: str, work: Callable[[sql.Sql], T]) -> T:
        try:
            self._connection.execute(begin)
            try:
                found = work(_Transaction(self._connection))
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise UnavailableError(
                "the store of monitoring cannot be used",
                where=str(self.folder),
                why=str(error),
                fix="look at the folder: is it full, or on a drive without locks?",
            ) from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # its subclasses speak of the statement, not of the file
            raise IntegrityError(
                "the database of monitoring is damaged",
                where=str(self.folder / "monitor.sqlite"),
                why=str(error),
                fix="restore it from a copy, or move it away: the log is then judged anew",
            ) from error
        return found

    def _select(self, query: PointQuery, columns: Sequence[str], limit: int) -> list[Row]:
        # SQLite first: what moves to Parquet in between is then seen twice, and never not at all.
        wanted = tuple(dict.fromkeys((*KEY, *columns)))
        fresh = super()._select(query, wanted, limit)
        found = {row[:_KEY_SIZE]: row for row in self._old(query, wanted)}
        found |= {row[:_KEY_SIZE]: row for row in fresh}
        rows = sorted(found.values(), key=lambda row: (row[_KEY_SIZE - 1], row[1], row[2]))
        places = [wanted.index(name) for name in columns]
        return [tuple(row[place] for place in places) for row in rows[-limit if limit else 0 :]]

    def _old(self, query: PointQuery, columns: Sequence[str]) -> Iterator[Row]:
        import pyarrow.dataset as ds

        paths = [str(path) for path in self._packed(query.since // DAY * DAY, query.until)]
        if not paths:
            return
        chosen = (ds.field("start") >= query.since) & (ds.field("start") < query.until)
        for name, value in query.equal.items():
            chosen &= ds.field(name) == value
        with os_errors(self._days, "read"), _told_if_broken(self._days):
            table = ds.dataset(paths, format="parquet").to_table(list(columns), filter=chosen)
        yield from zip(*(table[name].to_pylist() for name in columns), strict=True)

    def _packed(self, since: int, until: int) -> list[Path]:
        """Return the files of days that begin in a stretch (µs), in order."""
        found = (path for path in self._days.iterdir() if _FILE.fullmatch(path.name))
        return sorted(path for path in found if since <= _midnight(path.stem) < until)

    def _pack(self, day: str, rows: Sequence[Row]) -> None:
        """Write a day's file anew, with what it held before and these rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self._days / f"{day}.parquet"
        merged = {row[:_KEY_SIZE]: row for row in rows}
        if path.exists():
            with _told_if_broken(path):
                old = pq.read_table(path, columns=list(COLUMNS))
            before = zip(*(old[name].to_pylist() for name in COLUMNS), strict=True)
            merged = {row[:_KEY_SIZE]: row for row in before} | merged
        ordered = sorted(merged.values(), key=lambda row: row[:_KEY_SIZE])
        kinds = {name: pa.float64() for name in NUMBERS}
        kinds |= dict.fromkeys(("version", "start", "finish", "n"), pa.int64())
        columns = {
            name: pa.array(values, kinds.get(name, pa.string()))
            for name, values in zip(COLUMNS, zip(*ordered, strict=True), strict=True)
        }
        with replacing(path) as file:
            pq.write_table(pa.table(columns), file, compression="zstd", row_group_size=16_384)


class _Transaction:
    """Statements of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return what a query gives."""
        return self._connection.execute(query, values).fetchall()

    def each(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run a statement with the values of each row, and return how many rows it touched."""
        return max(0, self._connection.executemany(statement, rows).rowcount)


def _connect(path: Path) -> sqlite3.Connection:
    with os_errors(path, "open"):
        try:
            connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            # With the log synced at each commit, what was told to somebody is never forgotten.
            connection.execute("PRAGMA synchronous = FULL")
            for statement in sql.create("BLOB"):
                connection.execute(statement)
        except sqlite3.Error as error:
            raise OSError(str(error)) from error
    return connection


def _told_if_broken(path: Path) -> AbstractContextManager[None]:
    """Make InputError of what Arrow says of a damaged file."""
    from afterfit.store.sniff import broken_file  # which imports Arrow

    return broken_file(path)


def _day_of(start: int) -> str:
    """Return the day of a moment (µs), as its file is called."""
    return datetime.fromtimestamp(start // 1_000_000, tz=UTC).date().isoformat()


def _midnight(day: str) -> int:
    """Return when a day begins, µs; 0 for a name that is no day."""
    try:
        return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY
    except ValueError:
        return 0
