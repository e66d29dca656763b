"""A log that is a query: DuckDB over files or a database, and PostgreSQL, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from typing import Any

import pyarrow as pa

from afterfit.errors import DependencyError, InputError, UnavailableError, first_line
from afterfit.monitor.batches import Batch, Cursor
from afterfit.monitor.sources.columns import LogColumns
from afterfit.monitor.sources.files import BATCH_ROWS, Block, Place, batches_of

__all__ = ["QuerySource"]

_POSTGRES = ("postgres://", "postgresql://")


class QuerySource:
    """Predictions that a query gives: a ``SELECT`` in an order under which new rows are last.

    ``address`` is ``postgresql://…``, the path of a DuckDB database, or empty for DuckDB over the
    files that the query names. A cursor counts rows, so the order must stay. Raises
    DependencyError with the command that installs what is needed, UnavailableError where a
    database cannot be reached, InputError for a query that it refuses.
    """

    def __init__(
        self, address: str, query: str, columns: LogColumns, *, batch_rows: int = BATCH_ROWS
    ) -> None:
        self.address = address
        self.query = query.strip().rstrip(";")
        self.columns = columns
        self.batch_rows = batch_rows
        self.schema: pa.Schema | None = None

    def read(self, cursor: Cursor) -> Iterator[tuple[Batch, Cursor]]:
        """Yield what comes after the cursor, each with the cursor that goes on behind it."""
        place = Place(*cursor.get("query", ()))
        tables = self._postgres(place.at) if self._is_postgres else self._duckdb(place.at)
        blocks = self._blocks(tables, place)
        for batch, after in batches_of(blocks, self.columns, self.query, place):
            yield batch, {"query": list(after)}

    @property
    def _is_postgres(self) -> bool:
        return self.address.startswith(_POSTGRES)

    def _blocks(self, tables: Iterator[Any], place: Place) -> Iterator[Block]:
        """Yield blocks of so many rows, whatever the database gives, so that they are cut alike."""
        row = place.at
        size = place.until - place.at if place.until else self.batch_rows
        kept: list[Any] = []
        for table in tables:
            self.schema = self.schema or table.schema
            self.columns.wanted(table.schema.names)
            kept.append(table)
            while sum(each.num_rows for each in kept) >= size:
                whole = pa.concat_tables(kept, promote_options="permissive")
                yield Block(whole.slice(0, size), row, row + size)
                row, kept, size = row + size, [whole.slice(size)], self.batch_rows
        rest = pa.concat_tables(kept, promote_options="permissive") if kept else None
        if rest is not None and rest.num_rows:
            yield Block(rest, row, row + rest.num_rows)

    def _duckdb(self, skip: int) -> Iterator[Any]:
        duckdb = _needs("duckdb", "pip install duckdb", "a query over files")
        try:
            database = duckdb.connect(self.address or ":memory:", read_only=bool(self.address))
            with closing(database):
                rows = database.sql(self._from(skip))
                # DuckDB 1 has another name for it.
                read = getattr(rows, "to_arrow_reader", None) or rows.fetch_arrow_reader
                for batch in read(self.batch_rows):
                    yield pa.Table.from_batches([batch])
        except duckdb.Error as error:
            raise self._refused(error) from None

    def _postgres(self, skip: int) -> Iterator[Any]:
        psycopg = _needs("psycopg", "pip install 'afterfit[postgres]'", "a query to PostgreSQL")
        try:
            with (
                closing(psycopg.connect(self.address, connect_timeout=10)) as connection,
                # A cursor with a name stays on the server: rows come as they are fetched.
                connection.cursor(name="afterfit_log") as rows,
            ):
                rows.execute(self._from(skip))
                names = [column.name for column in rows.description]
                while found := rows.fetchmany(self.batch_rows):
                    yield _table(names, found)
        except psycopg.OperationalError as error:
            raise UnavailableError(
                "the database does not answer",
                where=_shown(self.address),
                why=first_line(error),
                fix="look at the address, and whether the database runs",
            ) from None
        except psycopg.Error as error:
            raise self._refused(error) from None

    def _from(self, skip: int) -> str:
        # The order of the inner query is kept: nothing outside asks for another one.
        return f"SELECT * FROM ({self.query}) AS log OFFSET {int(skip)}"  # noqa: S608 - the user's own query, with the user's own rights

    def _refused(self, error: Exception) -> InputError:
        return InputError(
            "the database refuses the query",
            where=self.query[:200],
            why=first_line(error),
            fix="run the query by itself, and give the one that works",
        )


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table({name: _array(column) for name, column in zip(names, columns, strict=True)})


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


def _needs(module: str, install: str, what: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"{what} needs the package {module}", why=str(error), fix=install
        ) from None


def _shown(address: str) -> str:
    """Return an address without user and password."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
