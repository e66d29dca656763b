"""Business figures over a window: the mean of a column, or what a query in SQL gives."""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from afterfit.core.fingerprint import Fingerprint
from afterfit.core.metric import Metric
from afterfit.errors import ConfigError, DependencyError, InputError, UnavailableError, first_line
from afterfit.stats.interval import mean_interval, student_quantile

__all__ = ["Answer", "Ask", "column_figure", "open_database", "sql_figure"]

MOST_ROWS = 100_000
TIMEOUT_S = 30.0
Answer = tuple[tuple[str, ...], list[tuple[Any, ...]]]
"""The names of the columns, and the rows."""
Ask = Callable[[str, Mapping[str, str]], Answer]
"""Puts a query with named parameters to a database."""
_PARAMETER = re.compile(r"(?<![:\w]):(start|end)\b")


def column_figure(name: str, column: str, counts: Fingerprint, level: float = 0.95) -> Metric:
    """Return the mean of a column in a window, with the interval of Student's t, from its counts.

    Values that are missing or infinite are left out.
    """
    found = next((each for each in counts.columns if each.name == column), None)
    if found is None or found.kind not in ("number", "integer"):
        return Metric(name=name, value=None, method=f"no column {column!r} of numbers")
    n = found.finite
    if n < 2:
        return Metric(name=name, value=None, n=n, method="there are no values")
    error = math.sqrt(max(0.0, found.m2) / (n - 1) / n)
    spread = student_quantile(n - 1, level) * error
    mean = float(found.mean)
    return Metric(name=name, value=mean, low=mean - spread, high=mean + spread, level=level, n=n,
                  method="Student's t")  # fmt: skip


def sql_figure(
    name: str, query: str, span: tuple[int, int], ask: Ask | None, level: float = 0.95
) -> Metric:
    """Return what a query gives of a window (µs, end excluded).

    The query may name ``:start`` and ``:end`` (ISO 8601, UTC). One column of numbers is a sample,
    whose mean is taken; one row with ``value``, ``n`` and perhaps ``low`` and ``high`` is taken as
    it is. Raises ConfigError without a database, InputError for an answer of another form.
    """
    if ask is None:
        raise ConfigError(
            f"{name} is asked of no database", where="alarms.database",
            fix='write database = "env:NAME", and put the address into the variable',
        )  # fmt: skip
    start, end = (datetime.fromtimestamp(each / 1e6, UTC).isoformat() for each in span)
    columns, rows = ask(query, {"start": start, "end": end})
    lower = [column.lower() for column in columns]
    if len(rows) > MOST_ROWS:
        raise _wrong_answer(name, f"more than {MOST_ROWS:,} rows", "let the database sum them up")
    if "value" in lower and len(rows) == 1 and len(columns) > 1:
        return _as_told(name, dict(zip(lower, rows[0], strict=True)), level)
    if len(columns) != 1:
        raise _wrong_answer(name, f"the columns {', '.join(columns)}", "select one column")
    numbers = [number for (each,) in rows if (number := _number(name, each)) is not None]
    if len(numbers) < 2:
        value = numbers[0] if numbers else None
        return Metric(name=name, value=value, n=len(numbers), method="there are too few rows")
    found = mean_interval(np.array(numbers), level)
    return Metric(name=name, value=float(np.mean(numbers)), low=_finite(found.low),
                  high=_finite(found.high), level=level, n=len(numbers),
                  method=found.method)  # fmt: skip


def open_database(address: str) -> Ask:
    """Return what asks a database at ``postgresql://…`` or ``sqlite:///path``, to read only.

    Raises ConfigError for another address. Asking raises InputError for a query that is wrong,
    UnavailableError where nobody answers in time, and neither shows the address.
    """
    scheme, _, rest = address.partition("://")
    if scheme in ("postgresql", "postgres"):
        return lambda query, values: _ask_postgres(address, query, values)
    if scheme == "sqlite" and rest.startswith("/"):
        return lambda query, values: _ask_sqlite(unquote(rest), query, values)
    raise ConfigError(
        f"no database at {scheme}://", where="alarms.database",
        fix="give an address such as postgresql://user@host/database or sqlite:///path",
    )  # fmt: skip


def _ask_sqlite(path: str, query: str, values: Mapping[str, str]) -> Answer:
    ends = time.monotonic() + TIMEOUT_S
    try:
        address = f"file:{quote(path)}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=TIMEOUT_S)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
            cursor = connection.execute(query, dict(values))
            return _names(cursor.description), cursor.fetchmany(MOST_ROWS + 1)
    except sqlite3.Error as error:
        raise _no_answer(error, passing="interrupted" in str(error)) from None


def _ask_postgres(address: str, query: str, values: Mapping[str, str]) -> Answer:
    try:
        import psycopg
    except ImportError as error:
        raise DependencyError(
            "figures of PostgreSQL need the package psycopg", why=str(error),
            fix="pip install 'afterfit[postgres]'",
        ) from None  # fmt: skip
    text: Any = _PARAMETER.sub(r"%(\1)s::timestamptz", query.replace("%", "%%"))
    try:
        with psycopg.connect(address, connect_timeout=10) as connection:
            connection.read_only = True
            connection.execute(f"SET statement_timeout = '{TIMEOUT_S:.0f}s'")
            cursor = connection.execute(text, dict(values))
            return _names(cursor.description), cursor.fetchmany(MOST_ROWS + 1)
    except psycopg.Error as error:
        raise _no_answer(error, passing=isinstance(error, psycopg.OperationalError)) from None


def _names(description: Any) -> tuple[str, ...]:
    return tuple(str(column[0]) for column in description or ())


def _as_told(name: str, told: Mapping[str, Any], level: float) -> Metric:
    """Return a row as a metric; a value without bounds, as a sum, is exact."""
    value, low, high, n = (_number(name, told.get(part)) for part in ("value", "low", "high", "n"))
    if n is None:
        raise _wrong_answer(name, "no n", "select count(*) AS n beside the value")
    if low is None and high is None:
        low = high = value
    return Metric(name=name, value=value, low=low, high=high, level=level, n=int(n),
                  method="as the query tells")  # fmt: skip


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        return _finite(float(value))
    except (TypeError, ValueError):
        raise _wrong_answer(name, "no number", "select numbers") from None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _wrong_answer(name: str, what: str, fix: str) -> InputError:
    return InputError(f"the query gives {what}", where=f"alarms.figures.{name}", fix=fix)


def _no_answer(error: Exception, *, passing: bool) -> Exception:
    words = first_line(error)
    kind = UnavailableError if passing else InputError
    return kind("the database gives no answer", where="alarms.database", why=words,
                fix="try the query there by hand")  # fmt: skip
