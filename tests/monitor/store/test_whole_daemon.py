"""The whole daemon with PostgreSQL as its log and as its store, which restarts in the middle."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.monitor.test_daemon import SCOPE, SIGNATURE, START, WATCH, plain, rows, watched
from tests.optional import optional

from afterfit.monitor.cut import HOUR
from afterfit.monitor.daemon import Daemon
from afterfit.monitor.labelled import LabelFeed
from afterfit.monitor.labels import LabelJoin
from afterfit.monitor.setup import Setup
from afterfit.monitor.sources import LogColumns, QuerySource
from afterfit.monitor.store import MonitorStore, PointQuery
from afterfit.monitor.store.embedded import EmbeddedStore
from afterfit.monitor.store.postgres import PostgresStore

if TYPE_CHECKING:
    from pathlib import Path

    from afterfit.monitor.producers import Watched
    from afterfit.monitor.store import Change

HOURS, EACH, MOVED = 8, 250, 6
MAPPING = {"score": "prob", "ts": "at", "event_id": "id", "y": "truth"}
COLUMNS = LogColumns(MAPPING, SIGNATURE, SCOPE)
QUERY = "SELECT id, at, prob, truth, age, job FROM predictions ORDER BY n"


def fill(address: str) -> None:
    """Eight hours of predictions with labels, the last two of older people."""
    psycopg = optional("psycopg", "postgres")
    columns = "n int, id text, at bigint, prob float8, truth text, age float8, job text"
    with psycopg.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS predictions")
        cursor.execute(f"CREATE TABLE predictions ({columns})")
        for hour in range(HOURS):
            frame, prob = rows(hour, EACH, moved=hour >= MOVED), np.random.default_rng(hour)
            cursor.executemany(
                "INSERT INTO predictions VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (hour * EACH + i, f"{hour}-{i}", START + hour * HOUR + i * (HOUR // EACH),
                     float(p), "yes" if p > 0.5 else "no", float(frame["age"][i]), frame["job"][i])
                    for i, p in enumerate(prob.random(EACH))
                ],
            )  # fmt: skip


def daemon_on(address: str, store: MonitorStore, version: Watched, folder: Path) -> Daemon:
    """A daemon that reads the table of a database."""
    feed = LabelFeed(LabelJoin(folder / "labels.sqlite"), lambda _: version, WATCH, {})
    return Daemon(
        Setup(
            endpoint="churn",
            source=QuerySource(
                address, QUERY, LogColumns(MAPPING, SIGNATURE, SCOPE), batch_rows=90
            ),
            watched_of=lambda _: version,
            store=store,
            watch=WATCH,
            labels=feed,
            clock=lambda: START + 40 * HOUR,
        )
    )


def started(server: Any) -> None:
    """Start the database again; while it recovers it does not count as ready."""
    until = time.monotonic() + 30
    while True:
        try:
            server.start()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


def test_a_restart_of_the_database_loses_nothing_and_doubles_nothing(
    postgres: str, postgres_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log and store go away in the middle of reading; the points are those of a quiet run."""
    fill(postgres)
    version = watched()
    monkeypatch.setattr("afterfit.monitor.daemon.COMMIT_ROWS", 200)
    (tmp_path / "quiet").mkdir()
    quiet = EmbeddedStore(tmp_path / "quiet" / "monitor")
    daemon_on(postgres, quiet, version, tmp_path / "quiet").poll()

    store, middle, calls = PostgresStore(postgres, patience_s=0.2), threading.Event(), [0]
    commit = store.commit

    def counted(endpoint: str, change: Change) -> None:
        commit(endpoint, change)
        calls[0] += 1
        if calls[0] == 4:
            middle.set()
            time.sleep(0.3)

    monkeypatch.setattr(store, "commit", counted)
    daemon = daemon_on(postgres, store, version, tmp_path)
    told: list[str] = []
    monkeypatch.setattr(daemon, "_tell", lambda event, **_: told.append(event))
    # Its connections belong to the thread that opened them.
    daemon.setup.labels.join = None  # type: ignore[union-attr]

    def watch() -> None:
        assert daemon.setup.labels is not None
        daemon.setup.labels.join = LabelJoin(tmp_path / "labels.sqlite")
        daemon.run(0.02)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    assert middle.wait(30)
    postgres_server.stop()
    time.sleep(0.5)
    started(postgres_server)
    seen = PostgresStore(postgres)
    until = time.monotonic() + 60
    while not seen.points(PointQuery(signal="performance")) and time.monotonic() < until:
        time.sleep(0.2)
    daemon.stopped.set()
    watching.join(30)
    assert not watching.is_alive()

    assert "store_away" in told
    assert daemon.kept.progress.rows == HOURS * EACH
    drift = seen.points(PointQuery(signal="drift", subject="age"))
    assert [point.n for point in drift] == [EACH] * HOURS
    assert [point.state for point in drift] == ["ok"] * MOVED + ["alarm"] * (HOURS - MOVED)
    assert plain(seen.points()) == plain(quiet.points())
    assert [a.id for a in seen.alarms()] == [a.id for a in quiet.alarms()]
    assert sum(alarm.signal == "drift" for alarm in seen.alarms()) == 1
    seen.close()
    store.close()
    quiet.close()
