"""Events to a table of PostgreSQL, by COPY.

A batch goes to a temporary table and from there to ``afterfit_events``, where an event of the same
id, or the same label, is passed over: a batch that is sent twice is there once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from afterfit.errors import first_line
from afterfit.runtime.event_batch import EventBatch
from afterfit.runtime.event_columns import EventColumns
from afterfit.runtime.event_schema import FIELDS
from afterfit.runtime.sinks.base import Trouble
from afterfit.runtime.sinks.opening import needs

__all__ = ["TABLE", "PostgresSink", "open_postgres"]

TABLE = "afterfit_events"
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
_LOCK = 0x61667465
"""The number of the lock under which the table is made: any that others do not use."""
_CONNECTION = {
    "application_name": "afterfit",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_TYPES = {
    "utf8": "text",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float64": "double precision",
    "list": "double precision[]",
    "timestamp": "timestamptz",
}
_NAMES = ", ".join(f'"{field.name}"' for field in FIELDS)
_COLUMNS = ", ".join(
    f'"{f.name}" {"json" if f.name == "inputs" else _TYPES[f.kind]}' for f in FIELDS
)
_CREATE = (
    f"CREATE TABLE {TABLE} ({_COLUMNS})",
    f"COMMENT ON TABLE {TABLE} IS 'Events of Afterfit, schema 1'",
    f"CREATE UNIQUE INDEX {TABLE}_once ON {TABLE} (event_id) WHERE kind <> 'label'",
    (
        f"CREATE UNIQUE INDEX {TABLE}_label_once ON {TABLE} (coalesce(model, ''), "
        "coalesce(event_id, ''), coalesce(entity, ''), ts, coalesce(true_label, ''), "
        "coalesce(true_value, 'NaN')) WHERE kind = 'label'"
    ),
    f"CREATE INDEX {TABLE}_ts ON {TABLE} (model, ts)",
)
_STAGE = "CREATE TEMPORARY TABLE afterfit_stage ({}) ON COMMIT DELETE ROWS".format(
    _COLUMNS.replace("timestamptz", "bigint")
)
_COPY = f"COPY afterfit_stage ({_NAMES}) FROM STDIN"
_MOMENT = "timestamptz 'epoch' + \"ts\" * interval '1 microsecond'"
_INSERT = (
    f"INSERT INTO {TABLE} ({_NAMES}) SELECT {_NAMES.replace(chr(34) + 'ts' + chr(34), _MOMENT)} "  # noqa: S608 - names of our own
    "FROM afterfit_stage ON CONFLICT DO NOTHING"
)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\ufffd"})
_NULL = "\\N"


class PostgresSink:
    """Copies batches over one connection, and tries again while the database is away.

    ``address`` is one of libpq, such as ``postgresql://user@host/database``; what it leaves out
    comes from the environment (``PGPASSWORD``). The table is made where it is not there.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.trouble = Trouble("PostgreSQL")
        self._psycopg = needs("psycopg", "postgres", address)
        self._connection: Any = None
        self._hurried = threading.Event()

    def write(self, batch: EventBatch) -> None:
        """Return when the batch is committed; raises OSError for what trying again cannot mend."""
        data = copy_text(batch.columns()).encode("utf-8", "replace")
        delay = FIRST_DELAY
        while True:
            try:
                self._send(data)
            except (self._psycopg.OperationalError, self._psycopg.InterfaceError) as error:
                self._disconnect()
                self.trouble.bad(first_line(error))
                if self._hurried.wait(delay):
                    raise OSError(f"PostgreSQL is away: {first_line(error)}") from None
                delay = min(LONGEST_DELAY, 2 * delay)
            except self._psycopg.Error as error:
                self._disconnect()
                raise OSError(f"PostgreSQL refuses events: {first_line(error)}") from None
            else:
                return

    def hurry(self) -> None:
        """Try no more."""
        self._hurried.set()

    def close(self) -> None:
        """Close the connection; whatever was written is committed."""
        self._disconnect()

    def _send(self, data: bytes) -> None:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection.transaction(), self._connection.cursor() as cursor:
            with cursor.copy(_COPY) as copy:
                copy.write(data)
            cursor.execute(_INSERT)

    def _connect(self) -> Any:
        connection = self._psycopg.connect(self.address, autocommit=True, **_CONNECTION)
        try:
            connection.execute("SET statement_timeout = '60s'")
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                there = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()[0]
                for statement in () if there else _CREATE:
                    connection.execute(statement)
            connection.execute(_STAGE)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def open_postgres(address: str, worker: str) -> PostgresSink:
    """Return the sink of a database; raises DependencyError."""
    del worker
    return PostgresSink(address)


def copy_text(columns: EventColumns) -> str:
    """Return a batch in the text format of COPY."""
    rows = zip(*(_fields(columns, field.name) for field in FIELDS), strict=True)
    return "".join("\t".join(row) + "\n" for row in rows)


def _fields(columns: EventColumns, name: str) -> Iterable[str]:
    valid = columns.valid(name)
    if not valid.any():
        return [_NULL] * len(columns)
    values = columns[name]
    if values.ndim > 1:
        texts = ["{" + ",".join(map(repr, row)) + "}" for row in values.tolist()]
    elif values.dtype.kind == "O":
        texts = _escaped(["" if value is None else value for value in values.tolist()])
    else:
        texts = list(map(repr, values.tolist()))
    return texts if valid.all() else np.where(valid, np.array(texts, object), _NULL).tolist()


def _escaped(texts: list[str]) -> list[str]:
    whole = "".join(texts)
    if any(character in whole for character in "\\\t\n\r\0"):
        return [text.translate(_ESCAPES) for text in texts]
    return texts
