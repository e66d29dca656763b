"""Events and live counts: what survives a crash, a full disk and a stalled sink."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import numpy as np
import pytest
from tests.runtime.bundles import people, people_bundle, people_signature

from afterfit.core.event import Event, new_ids
from afterfit.core.fingerprint import Fingerprint, build
from afterfit.runtime.counts import LiveCounts, merge_counts, read_counts
from afterfit.runtime.events import SegmentWriter, StdoutSink, read_segments
from afterfit.runtime.journal import Capture, Journal, refusal
from afterfit.runtime.live import LiveModel, Service
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.predict import load_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def some(count: int) -> list[Event]:
    """Events that differ."""
    return [Event(event_id=one, kind="served", ts=n) for n, one in enumerate(new_ids(count))]


class FullDisk(io.BytesIO):
    """A file on a disk that takes ``room`` bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any) -> int:
        """Take what there is room for, then fail as a full disk does."""
        if self.tell() + len(data) > self.room:
            super().write(data[: self.room - self.tell()])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)

    def fileno(self) -> int:
        """No descriptor: it cannot be synced or cut."""
        raise OSError(errno.EBADF, "no descriptor")


class Stalled:
    """A sink that blocks until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.written = 0

    def write(self, events: Sequence[Event]) -> None:
        """Wait, then count."""
        self.entered.set()
        self.release.wait(30)
        self.written += len(events)

    def close(self) -> None:
        """Nothing is kept."""


def service(base: Path, **options: Any) -> tuple[Service, LiveModel, Journal]:
    """A service with one people model and a journal that writes into ``base/events``."""
    people_bundle(base / "bundle")
    metrics = Metrics()
    events = base / "events"
    settings: dict[str, Any] = {"sink": SegmentWriter(events, "0"), "folder": events, **options}
    journal = Journal(metrics, endpoint="e", **settings)
    model = LiveModel("churn", 2, load_bundle(base / "bundle"))
    return Service(metrics, journal), model, journal


def ask(parts: tuple[Service, LiveModel, Journal], rows: int = 3, seed: int = 5) -> None:
    """One request of some rows."""
    from afterfit.runtime.decode import Rows

    asked, model, _ = parts
    entities = [f"person-{n}" for n in range(rows)]
    asked.predict(model, Rows(people(rows, seed), entities), "r1")


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    """In order, over several batches and segments."""
    events = some(100)
    writer = SegmentWriter(tmp_path, "w", max_bytes=2000)
    for start in range(0, 100, 10):
        writer.write(events[start : start + 10])
    writer.close()
    assert len(list(tmp_path.iterdir())) > 1
    assert list(read_segments(tmp_path)) == events


def test_a_torn_tail_costs_its_own_batch_and_other_segments_are_read(tmp_path: Path) -> None:
    """Cut anywhere in the last frame, all whole frames before it remain."""
    writer = SegmentWriter(tmp_path, "a")
    writer.write(some(5))
    whole = (tmp_path / "events-a-000001.afev").stat().st_size
    writer.write(some(5))
    writer.close()
    path = tmp_path / "events-a-000001.afev"
    data = path.read_bytes()
    other = SegmentWriter(tmp_path, "b")
    other.write(some(2))
    other.close()
    for cut in range(whole, len(data), 7):
        path.write_bytes(data[:cut])
        assert len(list(read_segments(tmp_path))) == 7
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert len(list(read_segments(tmp_path))) == 7


def test_a_file_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    """Rubbish and an absurd length end that file, not the reader."""
    (tmp_path / "events-a-000001.afev").write_bytes(b"rubbish")
    (tmp_path / "events-b-000001.afev").write_bytes(b"AFEV1\n" + b"\xff" * 40)
    assert list(read_segments(tmp_path)) == []


def test_what_was_flushed_survives_kill_minus_9(tmp_path: Path) -> None:
    """A process that is killed right after a write has lost nothing of it."""
    script = """
import os, signal, sys
from pathlib import Path
from afterfit.core.event import Event
from afterfit.runtime.events import SegmentWriter
SegmentWriter(Path(sys.argv[1]), "k").write([Event(event_id="1", kind="served", ts=1)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    assert [event.event_id for event in read_segments(tmp_path)] == ["1"]


def test_a_full_disk_is_an_error_and_the_next_batch_begins_a_segment(tmp_path: Path) -> None:
    """The segment keeps its whole frames; writing goes on when there is room again."""
    disks = [FullDisk(700), FullDisk(10_000)]
    opened: list[FullDisk] = []

    def open_file(_: Path) -> BinaryIO:
        opened.append(disks[len(opened)])
        return opened[-1]

    writer = SegmentWriter(tmp_path, "w", open_file=open_file, sync_seconds=1e9)
    writer.write(some(3))
    with pytest.raises(OSError, match="No space"):
        writer.write(some(10))
    writer.write(some(2))
    assert len(opened) == 2


def test_served_rows_become_events_with_label_flags_and_entity(tmp_path: Path) -> None:
    """One event a row; no inputs, as nobody asked to capture them."""
    parts = service(tmp_path)
    ask(parts)
    parts[2].close()
    events = list(read_segments(tmp_path / "events"))
    assert [event.row for event in events] == [0, 1, 2]
    assert [event.entity for event in events] == ["person-0", "person-1", "person-2"]
    assert {(e.endpoint, e.model, e.version, e.request_id) for e in events} == {
        ("e", "churn", 2, "r1")
    }
    assert events[0].flags == ("missing",)
    assert all(event.label in {"no", "yes"} and event.inputs is None for event in events)
    assert len({event.event_id for event in events}) == 3


@pytest.mark.parametrize(
    ("capture", "names"),
    [
        (Capture(mode="all"), {"age", "hours", "job"}),
        (Capture(mode="columns", columns=("hours", "nothing")), {"hours"}),
    ],
)
def test_inputs_are_kept_only_as_declared(
    tmp_path: Path, capture: Capture, names: set[str]
) -> None:
    """All, or the named columns; a missing value is null."""
    parts = service(tmp_path, capture=capture)
    ask(parts)
    parts[2].close()
    first = next(read_segments(tmp_path / "events"))
    assert first.inputs is not None
    assert set(first.inputs) == names
    if "age" in names:
        assert first.inputs["age"] is None


def test_a_stalled_sink_never_blocks_and_what_overflows_is_counted(tmp_path: Path) -> None:
    """Requests go on at once; dropped and written events add up to all."""
    sink = Stalled()
    parts = service(tmp_path, sink=sink, capacity=20)
    asked, _, journal = parts
    ask(parts)
    assert sink.entered.wait(10)
    for _ in range(20):
        ask(parts)
    dropped = asked.metrics.total("events_dropped")
    assert dropped >= 40
    sink.release.set()
    assert journal.flush()
    journal.close()
    assert sink.written + dropped == 63
    assert asked.metrics.total("rows") == 63


def test_a_failing_sink_is_counted_and_live_counts_go_on(tmp_path: Path) -> None:
    """A full disk costs events, and says so; no prediction is lost."""

    def full(_: Path) -> BinaryIO:
        return FullDisk(10)

    parts = service(tmp_path, sink=SegmentWriter(tmp_path / "events", "0", open_file=full))
    ask(parts)
    assert parts[2].flush()
    assert parts[0].metrics.total("events_failed") == 3
    parts[2].close()
    assert read_counts(tmp_path / "events")[0].fingerprint.n_ref == 3


def test_a_refusal_is_an_event_of_its_own_kind(tmp_path: Path) -> None:
    """With the message, and without any input."""
    parts = service(tmp_path)
    parts[2].put(refusal("refused", "$.rows[0].age: x", ("churn", 2, "d"), "r9"))
    parts[2].close()
    (event,) = read_segments(tmp_path / "events")
    assert (event.kind, event.error, event.request_id) == ("refused", "$.rows[0].age: x", "r9")


def test_standard_output_gets_a_json_line_an_event() -> None:
    """For servers without a disk."""
    stream = io.BytesIO()
    StdoutSink(stream).write(some(3))
    lines = stream.getvalue().splitlines()
    assert [msgspec.json.decode(line, type=Event).ts for line in lines] == [0, 1, 2]


# Live counts.


def reference() -> Fingerprint:
    """The fingerprint of the reference people."""
    return build(people(), people_signature())


def test_counts_of_workers_and_hours_merge_to_the_counts_of_all_rows(tmp_path: Path) -> None:
    """Exactly: the bins of the parts add up to the bins of the whole."""
    key = ("churn", 1, "d" * 64)
    frame = people(300, seed=3)
    for worker, start in (("a", 0), ("b", 100)):
        counts = LiveCounts(worker)
        for number in range(10):
            rows = slice(start + number * 10, start + number * 10 + 10)
            part = {name: values[rows] for name, values in frame.items()}
            counts.update(key, reference(), part, np.zeros(10), now=3600.0 * number)
        counts.save(tmp_path)
    windows = read_counts(tmp_path)
    assert len(windows) == 20
    whole = reference().blank()
    whole.update({name: values[:200] for name, values in frame.items()})
    merged = merge_counts(windows)[key]
    assert merged.n_ref == 200
    for mine, theirs in zip(merged.columns, whole.columns, strict=True):
        assert mine.counts == theirs.counts
        assert mine.categories == theirs.categories
        assert (mine.missing, mine.nan, mine.new) == (theirs.missing, theirs.nan, theirs.new)
        assert mine.mean == pytest.approx(theirs.mean)
        assert mine.m2 == pytest.approx(theirs.m2)


def test_the_journal_counts_rows_of_mixed_missingness_in_one_update(tmp_path: Path) -> None:
    """Requests whose columns have different dtypes are counted together."""
    parts = service(tmp_path)
    for seed in range(5):
        ask(parts, rows=4, seed=seed)
    parts[2].close()
    (window,) = read_counts(tmp_path / "events")
    age = window.fingerprint.column("age")
    assert age is not None
    assert (window.fingerprint.n_ref, age.nan, age.total) == (20, 5, 20)
    assert window.fingerprint.output is not None
    assert window.fingerprint.output.total == 20


def test_an_unwritable_folder_for_counts_stops_nothing(tmp_path: Path) -> None:
    """The failure is counted; the thread ends in order."""
    (tmp_path / "file").write_text("no folder")
    parts = service(tmp_path, folder=tmp_path / "file", sink=None)
    ask(parts)
    parts[2].close()
    assert parts[0].metrics.total("events_failed") == 1


# Counters.


def test_counters_of_all_workers_are_summed_and_outlive_their_worker() -> None:
    """Two views of one file, each with its own row; a third goes on where the first stopped."""
    from afterfit.runtime.metrics import create_file

    descriptor = create_file(2)
    first, second = Metrics(descriptor, 0), Metrics(descriptor, 1)
    first.request("predict", 200, 0.002)
    second.request("predict", 200, 0.3)
    second.request("predict", 418)
    again = Metrics(descriptor, 0)
    again.request("predict", 200, 99.0)
    text = again.text([('a"b', 1, "d")])
    os.close(descriptor)
    assert 'afterfit_requests_total{route="predict",status="200"} 3' in text
    assert 'afterfit_requests_total{route="predict",status="other"} 1' in text
    assert 'afterfit_request_seconds_bucket{route="predict",le="0.0025"} 1' in text
    assert 'afterfit_request_seconds_bucket{route="predict",le="+Inf"} 3' in text
    assert 'model="a\\"b"' in text
