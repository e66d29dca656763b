"""The store of a team: the same tables and queries in PostgreSQL.

Everything that is written has a key, so a transaction whose answer was lost with the connection is
simply done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from afterfit.errors import (
    ConfigError,
    ConflictError,
    DependencyError,
    UnavailableError,
    first_line,
)
from afterfit.monitor.store import sql
from afterfit.monitor.store.sql import Row, SqlStore

__all__ = ["PostgresStore"]

T = TypeVar("T")
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
_LOCK = 0x61666D6F
"""The number of the lock under which tables are made: any that others do not use."""
_CONNECTION = {
    "application_name": "afterfit monitor",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class PostgresStore(SqlStore):
    """Tables of a database, which is waited for while it is away, ``patience_s`` seconds at most.

    ``address`` is one of libpq, such as ``postgresql://user@host/database``; what it leaves out
    comes from the environment (``PGPASSWORD``). Raises DependencyError without psycopg.
    """

    def __init__(self, address: str, *, patience_s: float = 60.0) -> None:
        self.address = address
        self._patience = patience_s
        self._psycopg = _psycopg()
        self._connection: Any = None
        self._watched: list[str] = []
        self._run(lambda _: None)

    def compact(self, before: int) -> int:
        """Do nothing: the database packs its own pages. Returns 0."""
        del before
        return 0

    def size_bytes(self) -> int:
        """Return what the tables and their indexes take, in bytes."""
        query = (
            "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint FROM "
            "unnest(ARRAY['afterfit_points', 'afterfit_alarms', 'afterfit_parts']) AS name"
        )
        return int(self._run(lambda transaction: transaction.rows(query))[0][0])

    @contextmanager
    def writer(self, endpoint: str) -> Iterator[None]:
        """Be the only daemon of an endpoint; raises ConflictError where there is one.

        The lock is one of the connection that writes, so whoever has lost it cannot write either.
        """
        self._run(lambda _: self._lock(endpoint))
        self._watched.append(endpoint)
        try:
            yield
        finally:
            self._watched.remove(endpoint)
            # With the connection goes its lock.
            self._disconnect()

    def close(self) -> None:
        """Let go of the connection."""
        self._disconnect()

    def _run(self, work: Callable[[sql.Sql], T]) -> T:
        until = time.monotonic() + self._patience
        delay = FIRST_DELAY
        while True:
            try:
                connection = self._connected()
                with connection.transaction():
                    return work(_Transaction(connection))
            except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as error:
                self._disconnect()
                if time.monotonic() + delay > until:
                    raise UnavailableError(
                        "the store of monitoring is away",
                        where="monitor.store",
                        why=first_line(error),
                        fix="look at the database; nothing that was kept is lost",
                    ) from None
                time.sleep(delay)
                delay = min(LONGEST_DELAY, 2 * delay)
            except self._psycopg.Error as error:
                raise ConfigError(
                    "the database refuses what monitoring keeps",
                    where="monitor.store",
                    why=first_line(error),
                    fix="give it a database where it may make tables of its own",
                ) from None

    def _connected(self) -> Any:
        if self._connection is None:
            connection = self._psycopg.connect(self.address, autocommit=True, **_CONNECTION)
            try:
                connection.execute("SET statement_timeout = '60s'")
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    for statement in sql.create("BYTEA"):
                        connection.execute(statement)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            for endpoint in self._watched:
                self._lock(endpoint)
        return self._connection

    def _lock(self, endpoint: str) -> None:
        query = "SELECT pg_try_advisory_lock(%s, hashtext(%s))"
        if not self._connection.execute(query, (_LOCK, endpoint)).fetchone()[0]:
            raise ConflictError(
                "another process watches this endpoint",
                where="monitor.store",
                why="two would write the same windows twice",
                fix="afterfit monitor status",
            )

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Transaction:
    """Statements of PostgreSQL."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return what a query gives."""
        found: list[Row] = self._connection.execute(query.replace("?", "%s"), values).fetchall()
        return found

    def each(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run a statement with the values of each row, and return how many rows it touched."""
        values = list(rows)
        if not values:
            return 0
        with self._connection.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s"), values)
            return int(cursor.rowcount)


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise DependencyError(
            "a store in PostgreSQL needs the package psycopg",
            where="monitor.store",
            why=str(error),
            fix="pip install 'afterfit[postgres]'",
        ) from None
    return psycopg
