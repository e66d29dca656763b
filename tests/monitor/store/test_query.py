"""A log that is a query to a PostgreSQL of our own."""

from __future__ import annotations

import pytest
from tests.optional import optional

from afterfit.core.signature import Column, Signature
from afterfit.errors import InputError
from afterfit.monitor.batches import Batch
from afterfit.monitor.sources import LogColumns, QuerySource
from afterfit.monitor.table import parse_mapping

SIGNATURE = Signature(
    task="binary", columns=(Column(name="age", kind="number"),), classes=(0, 1), positive=1
)
COLUMNS = LogColumns(parse_mapping("score=p,y=y,ts=t,event_id=id,version=v"), SIGNATURE)
QUERY = "SELECT * FROM predictions ORDER BY id"


def test_a_query_is_read_in_parts_and_gone_on_with(postgres: str) -> None:
    """Numerics, dates with a zone and nulls arrive as they are; new rows come the next time."""
    psycopg = optional("psycopg", "postgres")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS predictions")
        connection.execute(
            "CREATE TABLE predictions AS SELECT i AS id, i % 2 AS v, (i % 10) / 10.0 AS p, "
            "CASE WHEN i % 4 = 0 THEN NULL ELSE i % 3 % 2 END AS y, i::numeric AS age, "
            "timestamptz '2026-11-23 12:00+00' + i * interval '1 s' AS t "
            "FROM generate_series(0, 249) AS i"
        )
        source = QuerySource(postgres, QUERY + ";", COLUMNS, batch_rows=100)
        parts = [(batch, cursor) for batch, cursor in source.read({})]
        assert [len(batch) for batch, _ in parts] == [50, 50, 50, 50, 25, 25]
        first = parts[0][0]
        assert isinstance(first, Batch)
        assert first.ts[1] - first.ts[0] == 2_000_000
        assert first.frame["age"].tolist()[:2] == [0.0, 2.0]
        assert first.truth is not None
        assert first.truth[:3].tolist() == [None, 0, None]
        connection.execute(
            "INSERT INTO predictions SELECT 250, 0, 0.5, 1, 20, timestamptz '2026-11-24'"
        )
    rest = [len(batch) for batch, _ in source.read(parts[2][1])]
    assert rest == [50, 26, 25]
    with pytest.raises(InputError, match="refuses"):
        next(QuerySource(postgres, "SELECT * FROM nothing", COLUMNS).read({}))
