"""A log that is a query of DuckDB: over files, and in a database of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.optional import optional

from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.monitor.batches import Batch
from afterfit.monitor.sources import LogColumns, QuerySource
from afterfit.monitor.table import parse_mapping

SIGNATURE = Signature(
    task="binary",
    columns=(Column(name="age", kind="number"), Column(name="job", kind="category")),
    classes=(0, 1),
    positive=1,
)
COLUMNS = LogColumns(parse_mapping("score=p,y=y,ts=t,event_id=id"), SIGNATURE)
START = 1_763_899_200_000_000


def table(first: int, n: int) -> pa.Table:
    """Predictions of people, a second apart; every fourth has no label yet."""
    places = np.arange(first, first + n)
    return pa.table(
        {
            "id": places,
            "t": pa.array(START + places * 1_000_000, pa.timestamp("us", "UTC")),
            "p": places % 10 / 10,
            "y": pa.array([None if i % 4 == 0 else i % 2 for i in places.tolist()], pa.int8()),
            "age": pa.array(places % 80, pa.int16()),
            "job": pa.array(["cook" if i % 3 else "pilot" for i in places.tolist()]),
        }
    )


def test_files_are_read_in_parts_and_gone_on_with(tmp_path: Path) -> None:
    """Batches of as many rows as asked; a file that comes later is read from where it stood."""
    optional("duckdb", "dev")
    pq.write_table(table(0, 170), tmp_path / "a.parquet")
    pq.write_table(table(170, 80), tmp_path / "b.parquet")
    query = f"SELECT * FROM '{tmp_path}/*.parquet' ORDER BY id;"  # noqa: S608 - our own folder
    source = QuerySource("", query, COLUMNS, batch_rows=100)
    parts = [(batch, cursor) for batch, cursor in source.read({})]
    assert [len(batch) for batch, _ in parts] == [100, 100, 50]
    first = parts[0][0]
    assert isinstance(first, Batch)
    assert first.ts[:2].tolist() == [START, START + 1_000_000]
    assert first.frame["age"].tolist()[:2] == [0, 1]
    assert first.frame["job"].tolist()[:2] == ["pilot", "cook"]
    assert first.truth is not None
    assert first.truth[:3].tolist() == [None, 1, 0]
    pq.write_table(table(250, 30), tmp_path / "c.parquet")
    assert [len(batch) for batch, _ in source.read(parts[1][1])] == [80]


def test_a_database_is_read_and_never_written(tmp_path: Path) -> None:
    """A table of a file of DuckDB; a query that would change it is refused."""
    duckdb = optional("duckdb", "dev")
    path = tmp_path / "log.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("given", table(0, 120))
        connection.execute("CREATE TABLE predictions AS SELECT * FROM given")
    source = QuerySource(str(path), "SELECT * FROM predictions ORDER BY id", COLUMNS)
    (batch,) = [batch for batch, _ in source.read({})]
    assert len(batch) == 120
    for query in ("DROP TABLE predictions", "SELECT * FROM nothing", "SELECT 1 AS p"):
        with pytest.raises(InputError):
            list(QuerySource(str(path), query, COLUMNS).read({}))
    assert len(next(source.read({}))[0]) == 120
