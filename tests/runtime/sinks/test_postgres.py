"""Events in a real PostgreSQL: every column, once each, through a restart in the middle."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.optional import optional
from tests.runtime.sinking import batch_of, log_lines, some
from tests.runtime.test_segments import MIXED
from tests.runtime.waiting import until

from afterfit.core.event import Event, new_ids
from afterfit.runtime.events import batches_of
from afterfit.runtime.journal import Journal, refusal
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.sinks import open_sink
from afterfit.runtime.sinks.postgres import PostgresSink

if TYPE_CHECKING:
    from collections.abc import Sequence


def rows_of(address: str, query: str) -> list[tuple[Any, ...]]:
    """The rows that a query gives."""
    with optional("psycopg", "postgres").connect(address) as connection:
        found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return found


def write(address: str, events: Sequence[Event]) -> None:
    """Write events through a sink of their own."""
    sink = open_sink(address, "w")
    for batch in batches_of(events):
        sink.write(batch)
    sink.close()


def test_every_field_of_every_kind_of_event_is_a_column(postgres: str) -> None:
    """With the types of the schema, and null where it is not set."""
    write(postgres, MIXED)
    rows = rows_of(postgres, "SELECT * FROM afterfit_events")
    assert len(rows) == len(MIXED)
    (row,) = rows_of(
        postgres,
        "SELECT kind, model, version, digest, role, entity, label, probabilities, flags, "
        "inputs->>'job', inputs->'age' IS NULL, queue_us, infer_us, error, true_label, ts "
        "FROM afterfit_events WHERE event_id = 'id-2'",
    )
    assert row[:5] == ("served", "churn", 3, "d" * 64, "primary")
    assert row[5:10] == (None, '"1"', [0.25, 0.75], 0, "größe")
    assert row[11:15] == (2, 44, None, None)
    assert row[15].timestamp() == 1_790_000_000.000002
    texts = rows_of(postgres, "SELECT error FROM afterfit_events WHERE kind = 'refused'")
    assert texts == [("line\nof text\t",)]
    labels = rows_of(
        postgres, "SELECT true_label FROM afterfit_events WHERE event_id = 'c' ORDER BY 1"
    )
    assert {label for (label,) in labels} >= {"true", '"true"', '"', "2.5"}
    assert rows_of(postgres, "SELECT entity, true_value FROM afterfit_events WHERE ts < '1970-1-2' "
                             "AND entity IS NOT NULL") == [("Jürgen", -1e300)]  # fmt: skip


def test_text_that_no_column_can_hold_costs_a_character(postgres: str) -> None:
    """A NUL byte, backslashes and what looks like a null: the rows arrive."""
    texts = ["a\0b", "\\N", "\\", "a\\tb", "\r\n", '{"x":1}']
    write(postgres, [Event(event_id=t, kind="refused", ts=1, error=t) for t in texts])
    rows = rows_of(postgres, "SELECT event_id, error FROM afterfit_events")
    assert {one for one, _ in rows} == {text.replace("\0", "\ufffd") for text in texts}
    assert all(one == other for one, other in rows)


def test_a_batch_that_is_sent_twice_is_there_once(postgres: str) -> None:
    """By event id; labels by id, time and value, so that a correction is kept beside the first."""
    labels = [
        Event(event_id="a", kind="label", ts=1, true_label="yes"),
        Event(event_id="a", kind="label", ts=2, true_label="no"),
        Event(event_id="a", kind="label", ts=2, true_label="yes"),
        Event(event_id="", kind="label", ts=2, entity="e", true_value=0.5),
    ]
    events = [*some(10), Event(event_id="a", kind="served", ts=1), *labels]
    for _ in range(3):
        write(postgres, events)
    assert rows_of(postgres, "SELECT count(*) FROM afterfit_events") == [(len(events),)]


def test_several_workers_may_begin_at_once(postgres: str) -> None:
    """One makes the table, the others find it."""
    threads = [threading.Thread(target=write, args=(postgres, some(50))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert rows_of(postgres, "SELECT count(*) FROM afterfit_events") == [(300,)]


def test_a_restart_in_the_middle_loses_nothing(
    postgres: str, postgres_server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server goes on meanwhile; the log says when it began, and when it was over."""
    metrics, sink = Metrics(), PostgresSink(postgres)
    sink.trouble.calm_seconds = 0.0
    journal = Journal(metrics, sink=sink)
    refuse(journal, 100)
    assert journal.flush(30)
    postgres_server.stop()
    refuse(journal, 100)
    until(lambda: sink.trouble.since is not None)
    postgres_server.start()
    refuse(journal, 100)
    assert journal.flush(60)
    journal.close()
    assert rows_of(postgres, "SELECT count(*), count(DISTINCT event_id) FROM afterfit_events") == [
        (300, 300)
    ]
    assert metrics.total("events_written") == 300
    assert metrics.total("events_failed") == metrics.total("events_dropped") == 0
    lines = log_lines(capsys, "events_trouble", "events_recovered")
    assert [line["event"] for line in lines] == ["events_trouble", "events_recovered"]


def refuse(journal: Journal, count: int) -> None:
    """Put some refusals."""
    for _ in range(count):
        assert journal.put(refusal("refused", "x", ("m", 1, "d"), [""]))


def test_a_database_that_is_not_there_is_waited_for_and_then_left(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Memory stays bounded, what was lost is counted, and closing does not hang."""
    optional("psycopg", "postgres")
    nowhere = tmp_path_factory.mktemp("nowhere")
    metrics = Metrics()
    sink = open_sink(f"postgresql://user:secret@/db?host={nowhere}", "w")
    journal = Journal(metrics, sink=sink, capacity=1000)
    assert journal.outlet is not None
    for _ in range(10):
        for one in new_ids(240):
            journal.put(refusal("refused", one, ("m", 1, "d"), [""]))
        until(lambda: not journal._waiting)
    assert journal.outlet.waiting <= 1000
    journal.close(2.0)
    lost = metrics.total("events_dropped") + metrics.total("events_failed")
    assert lost == 2400
    (line,) = log_lines(capsys, "events_trouble")
    assert "secret" not in msgspec.json.encode(line).decode()


def test_what_the_database_refuses_is_lost_and_not_tried_for_ever(postgres: str) -> None:
    """A table of another kind under the name of ours."""
    psycopg = optional("psycopg", "postgres")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE afterfit_events (something integer)")
    sink = open_sink(postgres, "w")
    with pytest.raises(OSError, match="refuses events"):
        sink.write(batch_of(some(3)))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE afterfit_events")
    sink.write(batch_of(some(3)))
    sink.close()
    assert rows_of(postgres, "SELECT count(*) FROM afterfit_events") == [(3,)]
