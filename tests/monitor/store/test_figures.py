"""Business figures of a real PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from afterfit.errors import InputError
from afterfit.monitor.figures import open_database, sql_figure

HOUR = 3_600_000_000
WITHIN = "FROM sales WHERE ts >= :start AND ts < :end"


def test_figures_of_postgresql_are_read_and_nothing_is_written(postgres: str) -> None:
    """The window bounds the rows, a sign of percent means itself, and a DELETE is refused."""
    with psycopg.connect(postgres) as connection:
        connection.execute("DROP TABLE IF EXISTS sales")
        connection.execute("CREATE TABLE sales (ts timestamptz, amount float8)")
        connection.execute(
            "INSERT INTO sales SELECT timestamptz 'epoch' + i * interval '6 minutes', i "
            "FROM generate_series(0, 99) i"
        )
    ask = open_database(postgres)
    sample = sql_figure("s", f"SELECT amount {WITHIN} AND amount::int % 1 = 0", (0, HOUR), ask)
    assert (sample.value, sample.n) == (4.5, 10)
    told = sql_figure("s", f"SELECT sum(amount) AS value, count(*) AS n {WITHIN}", (0, HOUR), ask)
    assert (told.value, told.n) == (45.0, 10)
    with pytest.raises(InputError) as caught:
        sql_figure("s", "DELETE FROM sales RETURNING amount", (0, HOUR), ask)
    assert "read-only" in str(caught.value)
    with psycopg.connect(postgres) as connection:
        row = connection.execute("SELECT count(*) FROM sales").fetchone()
        connection.execute("DROP TABLE sales")
    assert row == (100,)
