"""The store: all of a change or nothing, a point once, and the same answers from either kind."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.optional import optional

from afterfit.errors import ConfigError, ConflictError, InputError, IntegrityError, UnavailableError
from afterfit.monitor.cut import DAY, HOUR
from afterfit.monitor.store import Change, MonitorStore, PointQuery, open_store
from afterfit.monitor.store.embedded import EmbeddedStore
from afterfit.monitor.store.postgres import PostgresStore
from afterfit.records.signals import Alarm, Scope, SignalPoint

if TYPE_CHECKING:
    from pathlib import Path

MIDNIGHT = 20_000 * DAY
SCOPE = Scope(endpoint="shop", model="churn", version=3, digest="9b")


def point(hour: int, value: float | None = 0.1, **more: Any) -> SignalPoint:
    """What one hour said of a column."""
    start = MIDNIGHT + hour * HOUR
    usual: dict[str, Any] = {
        "signal": "drift", "subject": "age", "scope": SCOPE, "start": start, "end": start + HOUR,
        "n": 500, "state": "ok", "value": value, "evidence": {"counts": [1, 2]},
    }  # fmt: skip
    return SignalPoint(**(usual | more))


def alarm(hour: int, **more: Any) -> Alarm:
    """An alarm of an hour."""
    worst = point(hour, state="alarm")
    usual: dict[str, Any] = {
        "signal": "drift", "subject": "age", "scope": SCOPE, "state": "firing",
        "severity": "high", "opened": worst.start, "updated": worst.end, "worst": worst,
    }  # fmt: skip
    return Alarm(**(usual | more))


def test_a_point_comes_back_as_it_was(store: MonitorStore) -> None:
    """Evidence, a name with the character 0, and what is not known, through either database."""
    odd = point(1, subject="\0output", value=None, low=float("inf"), state="cannot_tell")
    store.commit("shop", Change(points=[point(0), odd]))
    first, second = store.points()
    assert first == point(0)
    assert second.subject == "\0output"
    assert second.value is None
    assert store.points(PointQuery(subject="\0output")) == [second]


def test_a_window_told_again_takes_the_place_of_what_it_said(store: MonitorStore) -> None:
    """Points are keyed by their series and the beginning of the window."""
    store.commit("shop", Change(points=[point(0, 0.1), point(1, 0.2)]))
    store.commit("shop", Change(points=[point(0, 0.3)]))
    assert [each.value for each in store.points()] == [0.3, 0.2]


def test_a_query_narrows(store: MonitorStore) -> None:
    """By what it is of, by time, by state, and the newest only."""
    other = Scope(endpoint="bank", model="fraud", version=1, slice="country = it")
    kept = [point(0), point(1, state="alarm"), point(2, scope=other), point(3, subject="job")]
    store.commit("shop", Change(points=kept))
    assert store.points(PointQuery(endpoint="bank", slice="country = it")) == [kept[2]]
    assert store.points(PointQuery(state="alarm", version=3)) == [kept[1]]
    since = PointQuery(since=MIDNIGHT + HOUR, until=MIDNIGHT + 3 * HOUR)
    assert store.points(since) == kept[1:3]
    assert store.points(limit=2) == kept[2:]
    assert store.points(PointQuery(signal="latency")) == []


def test_many_points_come_as_columns(store: MonitorStore) -> None:
    """What a page draws needs no evidence."""
    store.commit("shop", Change(points=[point(h, h / 10, subject=f"c{h}") for h in range(4)]))
    frame = store.series(PointQuery(since=MIDNIGHT + HOUR))
    assert frame["subject"].tolist() == ["c1", "c2", "c3"]
    assert frame["value"].tolist() == [0.1, 0.2, 0.3]
    assert frame["low"].dtype.kind == "f"
    assert frame["start"].tolist() == [MIDNIGHT + h * HOUR for h in (1, 2, 3)]
    assert store.series(PointQuery(signal="none"))["n"].tolist() == []


def test_an_alarm_is_kept_once_and_as_it_is_last(store: MonitorStore) -> None:
    """By its id, which the first window gives."""
    lasting = alarm(1, subject="job")
    store.commit("shop", Change(alarms=[alarm(0), lasting]))
    over = alarm(0, state="resolved", resolved=MIDNIGHT + 5 * HOUR)
    store.commit("shop", Change(alarms=[over]))
    assert store.alarms() == [lasting, over]
    assert store.alarms(lasting=True, endpoint="shop") == [lasting]
    assert store.alarms(endpoint="bank") == []


def test_a_change_is_made_whole_or_not_at_all(store: MonitorStore) -> None:
    """What cannot be written takes the rest of its change with it."""
    store.commit("shop", Change(points=[point(0)], parts={"cursor": b"1", "window/a": b"x"}))
    bad: Any = {"cursor": b"2", "window/b": object()}
    with pytest.raises((sqlite3.Error, ConfigError)):
        store.commit("shop", Change(points=[point(1)], alarms=[alarm(1)], parts=bad))
    assert store.points() == [point(0)]
    assert store.alarms() == []
    assert store.parts("shop") == {"cursor": b"1", "window/a": b"x"}


def test_parts_are_by_endpoint_and_name(store: MonitorStore) -> None:
    """None takes one away; a prefix is no pattern."""
    store.commit("shop", Change(parts={"window/1": b"a", "window/2": b"b", "cursor": b"\x00"}))
    store.commit("bank", Change(parts={"cursor": b"c"}))
    store.commit("shop", Change(parts={"window/1": None}))
    assert store.parts("shop", "window/") == {"window/2": b"b"}
    assert store.part_names("shop") == ["cursor", "window/2"]
    assert store.parts("shop", "win%") == {}
    assert store.endpoints() == ["bank", "shop"]


def test_an_endpoint_has_one_daemon(address: str, tmp_path: Path, store: MonitorStore) -> None:
    """The second one is told; another endpoint is free, and so is this one afterwards."""
    second = open_store(address, tmp_path)
    with store.writer("shop"):
        with pytest.raises(ConflictError, match="another process"), second.writer("shop"):
            pass
        with second.writer("bank"):
            pass
    with second.writer("shop"):
        pass
    second.close()


def test_what_is_old_goes(store: MonitorStore) -> None:
    """Points and resolved alarms; what lasts stays."""
    over = alarm(0, state="resolved", subject="job")
    store.commit("shop", Change(points=[point(0), point(30)], alarms=[alarm(0), over]))
    assert store.retain(MIDNIGHT + DAY) == 2
    assert store.points() == [point(30)]
    assert store.alarms() == [alarm(0)]
    assert store.size_bytes() > 0


def test_packed_days_answer_as_before(tmp_path: Path) -> None:
    """Whole days are in Parquet; a point told anew counts; a day packed twice keeps both parts."""
    store = EmbeddedStore(tmp_path)
    every = [point(hour, hour / 100) for hour in range(60)]
    store.commit("shop", Change(points=every))
    assert store.compact(MIDNIGHT + 50 * HOUR) == 48
    assert sorted(path.name for path in (tmp_path / "points").iterdir()) == [
        "2024-10-04.parquet", "2024-10-05.parquet",
    ]  # fmt: skip
    assert store.points() == every
    assert store.points(PointQuery(since=every[20].start, until=every[26].start)) == every[20:26]
    assert store.points(limit=3) == every[-3:]
    again = point(5, 0.9)
    store.commit("shop", Change(points=[again, point(5, 0.5, subject="job")]))
    assert store.points(PointQuery(subject="age"))[5] == again
    assert store.compact(MIDNIGHT + DAY) == 2
    assert store.points(PointQuery(subject="age"))[5] == again
    assert len(store.points()) == 61
    assert store.compact(MIDNIGHT + DAY) == 0
    assert store.retain(MIDNIGHT + DAY) == 25
    assert store.points() == every[24:]
    store.close()


def test_a_crash_between_packing_and_taking_out_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, and the rows still are in SQLite."""
    store = EmbeddedStore(tmp_path)
    store.commit("shop", Change(points=[point(0), point(1)]))
    pack = EmbeddedStore._pack

    def killed(self: EmbeddedStore, day: str, rows: Any) -> None:
        pack(self, day, rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedStore, "_pack", killed)
    with pytest.raises(KeyboardInterrupt):
        store.compact(MIDNIGHT + DAY)
    monkeypatch.undo()
    assert store.points() == [point(0), point(1)]
    assert store.compact(MIDNIGHT + DAY) == 2
    assert store.points() == [point(0), point(1)]
    store.close()


def test_postgres_that_restarts_in_the_middle_loses_and_doubles_nothing(
    postgres: str, postgres_server: Any
) -> None:
    """A change that is on its way is made once the database is back; the lock is held anew."""
    store = PostgresStore(postgres, patience_s=30)
    with store.writer("shop"):
        store.commit("shop", Change(points=[point(0)], parts={"cursor": b"1"}))
        terminate(postgres, "afterfit monitor")
        store.commit("shop", Change(points=[point(0), point(1)], parts={"cursor": b"2"}))
        postgres_server.stop()
        writing = threading.Thread(
            target=store.commit, args=("shop", Change([point(2)], [alarm(2)], {"cursor": b"3"}))
        )
        writing.start()
        postgres_server.start()
        writing.join(30)
        assert not writing.is_alive()
        other = PostgresStore(postgres)
        with pytest.raises(ConflictError), other.writer("shop"):
            pass
        other.close()
    assert [each.start for each in store.points()] == [point(h).start for h in range(3)]
    assert store.parts("shop") == {"cursor": b"3"}
    assert len(store.alarms()) == 1
    store.close()


def terminate(address: str, application: str) -> None:
    """End the connections of an application, as a failover does."""
    psycopg = optional("psycopg", "postgres")
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(query, (application,))


def test_a_database_that_stays_away_is_told_without_its_password(tmp_path: Path) -> None:
    """After the patience that was asked for."""
    optional("psycopg", "postgres")
    with pytest.raises(UnavailableError) as caught:
        PostgresStore(f"postgresql://user:secret@/db?host={tmp_path}", patience_s=0)
    assert "secret" not in str(caught.value)


def test_an_address_of_no_store_is_refused(tmp_path: Path) -> None:
    """With what would be one."""
    with pytest.raises(ConfigError, match="s3"):
        open_store("s3://bucket/monitor", tmp_path)


def test_what_is_damaged_is_told_with_its_file(tmp_path: Path) -> None:
    """Neither a database nor a packed day that was overwritten ends in a bug."""
    store = EmbeddedStore(tmp_path)
    store.commit("shop", Change(points=[point(hour) for hour in range(48)]))
    assert store.compact(MIDNIGHT + DAY) == 24
    (day,) = (tmp_path / "points").iterdir()
    day.write_bytes(b"no Parquet at all")
    for work in (store.points, lambda: store.retain(MIDNIGHT + DAY)):
        with pytest.raises(InputError, match="damaged"):
            work()
    day.unlink()
    store.close()
    path = tmp_path / "monitor.sqlite"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    store = EmbeddedStore(tmp_path)
    with pytest.raises(IntegrityError, match="monitoring is damaged") as caught:
        store.points()
    assert caught.value.where.endswith("monitor.sqlite")
    store.close()


def test_reading_waits_for_no_writer(tmp_path: Path) -> None:
    """While another process is in the middle of a change, the last one is what is read."""
    store = EmbeddedStore(tmp_path / "monitor")
    store.commit("shop", Change(points=[point(0)], parts={"kept": b"1"}))
    other = sqlite3.connect(tmp_path / "monitor" / "monitor.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM afterfit_points")
    store._connection.execute("PRAGMA busy_timeout = 0")
    assert store.points() == [point(0)]
    assert store.parts("shop") == {"kept": b"1"}
    with pytest.raises(UnavailableError, match="cannot be used"):
        store.commit("shop", Change(points=[point(1)]))
    other.execute("ROLLBACK")
    other.close()
    store.close()
