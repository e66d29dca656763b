"""A SQLite index of the records: a cache that is brought up to date from the files' names.

Nothing is lost with it: deleting it is always safe, and a writer that dies before its row is
written is found by its file. It has no write-ahead log, whose two more files and shared memory
neither a network drive nor a deletion by hand would survive. Where it cannot be kept (a read-only
folder, locks that do not work) the same table lives in memory.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

__all__ = ["Index", "Row"]

T = TypeVar("T")
_VERSION = 1
_BUSY_S = 10.0
_SCHEMA = (
    "DROP TABLE IF EXISTS records",
    "CREATE TABLE records (digest TEXT PRIMARY KEY, step, subject, key, created, status)",
    "CREATE INDEX records_key ON records (key, created)",
    f"PRAGMA user_version = {_VERSION}",
)
_INSERT = "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)"


class Row(NamedTuple):
    """What is known of one record without reading its file; ``created`` is ISO 8601 in UTC.

    ``status`` is the record's own, or ``unreadable``.
    """

    digest: str
    step: str
    subject: str
    key: str
    created: str
    status: str


class Index:
    """The rows of one folder of records, at ``path`` or, where that cannot be, in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: sqlite3.Connection | None = None
        self._memory_lock = threading.Lock()

    def add(self, row: Row) -> None:
        """Add a row; one with its digest that is there already stays."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_INSERT, row)

        self._run(work)

    def rows(self, names: set[str], read: Callable[[str], Row], **equal: str | None) -> list[Row]:
        """Return the rows whose columns have the given values (None is any), newest first.

        First the rows are made those of ``names``: ``read`` gives what is new, what is gone is
        dropped.
        """
        wanted = {name: value for name, value in equal.items() if value is not None}
        if unknown := wanted.keys() - set(Row._fields):
            raise ValueError(f"no such column: {sorted(unknown)}")
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        query = f"SELECT * FROM records WHERE {where} ORDER BY created DESC, digest"  # noqa: S608 - names are checked above

        def work(connection: sqlite3.Connection) -> list[Row]:
            _sync(connection, names, read)
            return [Row(*each) for each in connection.execute(query, tuple(wanted.values()))]

        return self._run(work)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` returns, on the file, on a new one if it is broken, or in memory."""
        if self._memory is None:
            try:
                return self._on_file(work)
            except sqlite3.Error:
                self._memory = _in_memory()
        with self._memory_lock:
            return work(self._memory)

    def _on_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with closing(self._ready()) as connection:
                return work(connection)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # Not a database, or a damaged one: the records hold all that it held.
            self._remove()
            with closing(self._ready()) as connection:
                return work(connection)

    def _ready(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            if _version(connection) != _VERSION:
                _create(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _remove(self) -> None:
        try:
            for suffix in ("", "-journal", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create(connection: sqlite3.Connection) -> None:
    """Make the table, unless another process has done so while this one waited for the lock."""
    with _transaction(connection):
        if _version(connection) != _VERSION:
            for statement in _SCHEMA:
                connection.execute(statement)


def _sync(connection: sqlite3.Connection, names: set[str], read: Callable[[str], Row]) -> None:
    known = {name for (name,) in connection.execute("SELECT digest FROM records")}
    gone = known - names
    added = [read(name) for name in sorted(names - known)]
    if gone or added:
        with _transaction(connection):
            connection.executemany("DELETE FROM records WHERE digest = ?", [(n,) for n in gone])
            connection.executemany(_INSERT, added)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    _create(connection)
    return connection
