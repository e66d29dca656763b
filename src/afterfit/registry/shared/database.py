"""One connection to PostgreSQL: reads that try once more, changes that are whole or nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from afterfit.errors import (
    AfterfitError,
    ConfigError,
    DependencyError,
    ForbiddenError,
    ResourceError,
    UnavailableError,
    first_line,
)
from afterfit.store.remote.secret import redacted

__all__ = ["Away", "Database"]

LOCK_SECONDS = 30
_CONNECTION = {
    "application_name": "afterfit-registry",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


class Away(UnavailableError):  # noqa: N818 - an UnavailableError, told apart here only
    """The connection was lost."""


class Database:
    """The database at ``address``, such as ``postgresql://ana@host/team``.

    What the address leaves out comes from the environment (``PGPASSWORD``) or ``~/.pgpass``.
    Threads take turns. Raises DependencyError without psycopg.
    """

    def __init__(self, address: str) -> None:
        self.where = redacted(address)
        self._address = address
        self._psycopg = _psycopg()
        self._lock = threading.RLock()
        self._connection: Any = None
        self._process = 0
        self._inside = False

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what a query gives; outside of a change it is asked once more on a new line."""
        with self._lock:
            try:
                return self._asked(query, values)
            except Away:
                if self._inside:
                    raise
                return self._asked(query, values)

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run a statement of a change."""
        with self._lock, self._errors():
            self._connected().execute(statement, values)

    @contextmanager
    def transaction(self, begin: str = "") -> Iterator[None]:
        """Do what the block does, or nothing of it; ``begin`` is run first.

        Raises Away where the connection is lost; when that is while it commits, only a look at
        what is there can tell whether it did.
        """
        with self._lock:
            if self._inside:
                yield
                return
            self._refreshed()
            with self._errors(), self._connected().transaction():
                self._inside = True
                try:
                    if begin:
                        self._connected().execute(begin)
                    yield
                finally:
                    self._inside = False

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and self._process == os.getpid():
                with suppress(Exception):
                    connection.close()

    def _asked(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._errors():
            found: list[tuple[Any, ...]] = self._connected().execute(query, values).fetchall()
            return found

    def _refreshed(self) -> None:
        """Find out before a change whether the connection has died while nobody used it."""
        with suppress(Away):
            self._asked("SELECT 1", ())

    def _connected(self) -> Any:
        # A process that was forked must not speak on its parent's connection.
        if self._connection is not None and self._process != os.getpid():
            self._connection = None
        if self._connection is None:
            connection = self._psycopg.connect(self._address, autocommit=True, **_CONNECTION)
            connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            self._connection, self._process = connection, os.getpid()
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            told = self._told(error)
            if isinstance(told, Away):
                self.close()
            raise told from None

    def _told(self, error: Exception) -> AfterfitError:
        why, where = redacted(f"{first_line(error)}"), self.where
        state = getattr(error, "sqlstate", None) or ""
        if state == "55P03":
            return UnavailableError(
                "somebody else is changing this workspace", where=where,
                why=f"it took more than {LOCK_SECONDS} s",
                fix="run the same command again",
            )  # fmt: skip
        if state in {"42501", "28000", "28P01", "25006"} or "authentication" in why:
            return ForbiddenError(
                "the database does not let you do that", where=where, why=why,
                fix="look at the user and its grants; its password is in PGPASSWORD or ~/.pgpass",
            )  # fmt: skip
        if state in {"53100", "53200", "53300", "53400"}:
            return ResourceError(
                "the database has no room", where=where, why=why,
                fix="free some space or connections there, then run the same command again",
            )  # fmt: skip
        if isinstance(error, self._psycopg.OperationalError | self._psycopg.InterfaceError):
            return Away(
                "the database of the workspace does not answer", where=where, why=why,
                fix="look at the database, then run the same command again: nothing is half done",
            )  # fmt: skip
        return ConfigError(
            "the database refuses what the registry asks", where=where, why=why,
            fix="give it a database where it may make tables of its own",
        )  # fmt: skip


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise DependencyError(
            "a shared workspace needs the package psycopg",
            why=str(error),
            fix="pip install 'afterfit[postgres]'",
        ) from None
    return psycopg
