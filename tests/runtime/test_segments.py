"""Segments of events: what any reader of Arrow sees, and what survives kill -9 and flipped bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runtime.sinking import FullDisk, batch_of, log_lines, some

from afterfit.core.event import Event, new_ids
from afterfit.runtime.event_schema import (
    CODED,
    FIELDS,
    FLAG_BITS,
    SCHEMA,
    label_of,
    label_text,
)
from afterfit.runtime.events import Scan, SegmentWriter, batches_of, read_segments
from afterfit.runtime.formats.arrow_write import END
from afterfit.runtime.sinks.segments import AGAIN_BYTES, mend

if TYPE_CHECKING:
    from pathlib import Path

RICH = [
    Event(
        event_id=f"id-{n}",
        kind="served",
        ts=1_790_000_000_000_000 + n,
        endpoint="shop",
        model="churn",
        version=3,
        digest="d" * 64,
        request_id=f"r{n}",
        row=n % 2,
        entity="Jürgen 東京" if n == 1 else "",
        label=("yes", "no", "1")[n % 3],
        probabilities=(0.25, 0.75),
        queue_us=n,
        infer_us=44,
        flags=("range", "missing") if n % 2 else (),
        inputs={"age": None, "job": "größe"} if n == 2 else None,
    )
    for n in range(5)
]
MIXED = [
    *RICH,
    Event(event_id="a", kind="refused", ts=1, error="line\nof text\t"),
    Event(event_id="b", kind="failed", ts=2, model="churn", version=3),
    *(
        Event(event_id="c", kind="label", ts=3, model="churn", true_label=label)
        for label in (True, 1, "1", "yes", 2.5, "true", "[", '"', "null")
    ),
    Event(event_id="", kind="label", ts=4, entity="Jürgen", true_value=-1e300),
    Event(event_id="d", kind="served", ts=5, role="canary", parent="a", subject="s", value=0.0),
    Event(event_id="e", kind="served", ts=6, role="shadow", value=2.5, flags=("ood", "truncated")),
]


def written(folder: Path, events: list[Event], worker: str = "w", **options: Any) -> Path:
    """The last segment of a writer that wrote the events and ended."""
    writer = SegmentWriter(folder, worker, **options)
    for batch in batches_of(events):
        writer.write(batch)
    writer.close()
    return writer._path


def with_pyarrow(path: Path) -> pa.Table:
    """The whole segment as pyarrow reads it, validated."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Every kind of event and every field, over several batches and segments."""
    writer = SegmentWriter(tmp_path, "w", max_bytes=20_000)
    for _ in range(4):
        for batch in batches_of(MIXED):
            writer.write(batch)
    writer.close()
    assert len(list(tmp_path.iterdir())) > 1
    assert list(read_segments(tmp_path)) == MIXED * 4


def test_a_segment_is_a_stream_that_pyarrow_reads(tmp_path: Path) -> None:
    """Columns by the names of the schema, null where not set, times as times, lists as lists."""
    table = with_pyarrow(written(tmp_path, MIXED))
    assert table.column_names == list(Event.__struct_fields__[:-1])
    assert table.schema.metadata[b"afterfit.schema"] == b"1"
    assert table.schema.field("ts").type == pa.timestamp("us", "UTC")
    assert table.schema.field("probabilities").type.value_type == pa.float64()
    assert table.schema.field("flags").metadata[b"bits"].startswith(b"range=1,new_category=2")
    rows = table.to_pylist()
    assert [row["event_id"] for row in rows] == [event.event_id or None for event in MIXED]
    first, second = rows[:2]
    assert (first["kind"], first["model"], first["version"]) == ("served", "churn", 3)
    assert first["ts"].timestamp() == 1_790_000_000
    assert (first["probabilities"], first["label"], first["flags"]) == ([0.25, 0.75], "yes", 0)
    assert (second["entity"], second["flags"]) == ("Jürgen 東京", 1 | 4)
    assert rows[2]["inputs"] == '{"age":null,"job":"größe"}'
    unset = {"error", "true_label", "true_value", "parent", "subject", "value", "inputs", "entity"}
    assert {name for name, value in first.items() if value is None} == unset
    assert [row["true_label"] for row in rows if row["kind"] == "label"][:3] == ["true", "1", '"1"']


def test_whoever_counts_with_pyarrow_counts_over_batches(tmp_path: Path) -> None:
    """Dictionaries change from batch to batch, and words stay words."""
    table = with_pyarrow(written(tmp_path, MIXED))
    kinds = table["kind"].cast(pa.string()).value_counts().to_pylist()
    counts = {each["values"]: each["counts"] for each in kinds}
    assert counts == {"served": 7, "refused": 1, "failed": 1, "label": 10}


@given(st.text(max_size=12) | st.booleans() | st.integers(-(2**53), 2**53) | st.floats())
def test_a_class_keeps_its_word_and_type(label: Any) -> None:
    """Text that looks like a number or a boolean is still text."""
    if isinstance(label, float) and label - label != 0:
        return  # JSON has no word for it, and a class is none
    found = label_of(label_text(label))
    assert (found, type(found)) == (label, type(label))


def test_every_cut_keeps_the_whole_batches_before_it(tmp_path: Path) -> None:
    """A torn tail is noticed and costs its own batch."""
    data = written(tmp_path, MIXED).read_bytes().removesuffix(END)
    ends = [0]
    for cut in range(0, len(data), 29):
        scan = Scan(data[:cut])
        found = [event for batch in scan for event in batch.events()]
        assert found == MIXED[: len(found)]
        assert scan.whole + scan.torn == cut
        assert not scan.ended
        ends.append(len(found))
    assert ends == sorted(ends)
    assert len(set(ends)) > 5


def test_every_flipped_bit_is_noticed_and_costs_its_own_batch(tmp_path: Path) -> None:
    """Whatever comes after it is read; nothing wrong comes out. Here it is each 61st byte."""
    path = written(tmp_path, MIXED)
    data = path.read_bytes()
    largest = max(batch.rows for batch in batches_of(MIXED))
    for place in range(len(SCHEMA), len(data) - len(END), 61):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        scan = Scan(bytes(damaged))
        found = [event for batch in scan for event in batch.events()]
        assert 0 < len(MIXED) - len(found) <= largest
        assert all(event in MIXED for event in found)
        assert scan.lost + scan.torn > 0


def test_a_broken_dictionary_costs_no_more_than_comes_until_it_is_written_again(
    tmp_path: Path,
) -> None:
    """Batches of one model share their dictionaries, for 64 KiB at most."""
    events = [some(20, model="churn", label="yes") for _ in range(200)]
    writer = SegmentWriter(tmp_path, "w")
    for each in events:
        writer.write(batch_of(each))
    writer.close()
    data = bytearray(writer._path.read_bytes())
    again = len(batch_of(events[0]).dictionaries)
    assert len(data) < sum(len(batch_of(each).records) for each in events) + 20 * again
    data[len(SCHEMA) + 100] ^= 1
    writer._path.write_bytes(bytes(data))
    scan = Scan(bytes(data))
    assert 0 < 200 - len(list(scan)) < 60
    assert AGAIN_BYTES < scan.lost < AGAIN_BYTES + 10_000


def test_other_segments_are_read_and_files_of_another_kind_passed_over(tmp_path: Path) -> None:
    """Rubbish, a beginning without an end and an empty file end themselves, not the reader."""
    written(tmp_path, MIXED, "b")
    (tmp_path / "events-a-000001.arrows").write_bytes(b"rubbish" * 1000)
    (tmp_path / "events-c-000001.arrows").write_bytes(SCHEMA[:100])
    (tmp_path / "events-d-000001.arrows").write_bytes(SCHEMA + b"\xff" * 4000)
    (tmp_path / "events-e-000001.arrows").write_bytes(b"")
    assert list(read_segments(tmp_path)) == MIXED


SCRIPT = """
import sys
from pathlib import Path
from afterfit.core.event import Event, new_ids
from afterfit.runtime.events import SegmentWriter, batches_of
writer, size = SegmentWriter(Path(sys.argv[1]), "k"), int(sys.argv[2])
while True:
    events = [Event(event_id=one, kind="served", ts=1, error="x" * 99) for one in new_ids(size)]
    for batch in batches_of(events):
        writer.write(batch)
    print(batch.rows, flush=True)
"""


@pytest.mark.parametrize("size", [3, 20_000])
def test_what_was_written_survives_kill_minus_9(
    tmp_path: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """In any reader; the next writer in the folder makes the segment whole."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    rows = sum(int(line) for line in told if line.endswith("\n"))
    (path,) = tmp_path.iterdir()
    assert rows <= rows_before_the_end(path) <= rows + size
    assert rows_before_the_end(path) == sum(
        1 for batch in Scan(path.read_bytes()) for _ in batch.events()
    )
    # A process is rarely killed within a write, so its torn end is added here.
    path.write_bytes(path.read_bytes() + path.read_bytes()[len(SCHEMA) : len(SCHEMA) + 3001])
    writer = SegmentWriter(tmp_path, "next")
    writer.write(batch_of(some(1)))
    assert (
        with_pyarrow(path).num_rows
        == sum(1 for batch in Scan(path.read_bytes()) for _ in batch.events())
        >= rows
    )
    assert path.read_bytes().endswith(END)
    assert [line["file"] for line in log_lines(capsys, "segment_mended")] == [path.name]
    writer.close()


def rows_before_the_end(path: Path) -> int:
    """The rows that pyarrow gives before it complains of a torn end, if it does."""
    rows = 0
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
        try:
            for batch in reader:
                rows += batch.num_rows
        except (pa.ArrowInvalid, OSError):
            return rows
    return rows


def test_a_segment_that_is_being_written_is_left_alone(tmp_path: Path) -> None:
    """Its writer holds a lock; another process's mending must not cut below it."""
    writer = SegmentWriter(tmp_path, "w")
    writer.write(batch_of(RICH))
    script = (
        "import sys; from pathlib import Path; from afterfit.runtime.sinks.segments import mend; "
        "print(mend(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    assert mend(tmp_path) == []
    writer.write(batch_of(RICH))
    writer.close()
    assert with_pyarrow(writer._path).num_rows == 10


def test_a_segment_is_locked_even_where_somebody_looks_at_it_when_it_begins(
    tmp_path: Path,
) -> None:
    """Else a later look could take it for one that was left behind."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    looking: list[BinaryIO] = []

    def open_file(path: Path) -> BinaryIO:
        file = path.open("xb", buffering=0)
        looking.append(path.open("rb"))
        flock(looking[0], LOCK_EX)
        threading.Timer(0.2, looking[0].close).start()
        return file

    writer = SegmentWriter(tmp_path, "w", open_file=open_file)
    writer.write(batch_of(RICH))
    assert looking[0].closed
    with writer._path.open("rb") as other, pytest.raises(BlockingIOError):
        flock(other, LOCK_EX | LOCK_NB)
    writer.close()


def test_segments_end_by_size_and_by_age(tmp_path: Path) -> None:
    """By age also without a new event, so that whoever waits for whole segments gets them."""
    ended: list[Path] = []
    writer = SegmentWriter(tmp_path, "w", max_seconds=0.0, closed=ended.append)
    writer.write(batch_of(RICH))
    assert len(ended) == 1
    writer = SegmentWriter(tmp_path, "v", max_bytes=6000, closed=ended.append)
    writer.write(batch_of(RICH))
    writer.tick()
    assert len(ended) == 1
    writer.write(batch_of(RICH))
    assert len(ended) == 2
    writer.max_seconds = 0.0
    writer.tick()
    assert len(ended) == 3
    assert all(with_pyarrow(path).num_rows == 5 for path in ended)


def test_data_are_synced_at_most_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was written last is synced by the next tick."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    writer = SegmentWriter(tmp_path, "w", sync_seconds=1e9)
    for _ in range(10):
        writer.write(batch_of(RICH))
    assert synced == []
    writer.sync_seconds = 0.0
    writer.tick()
    assert len(synced) == 1
    writer.tick()
    assert len(synced) == 1


def test_a_full_disk_is_an_error_and_the_next_batch_begins_a_segment(tmp_path: Path) -> None:
    """A disk takes a part of a batch before it is full; what is there after that is whole."""
    disks = [FullDisk(len(SCHEMA) + 5000), FullDisk(100_000)]
    opened: list[FullDisk] = []

    def open_file(_: Path) -> BinaryIO:
        opened.append(disks[len(opened)])
        return opened[-1]

    writer = SegmentWriter(tmp_path, "w", open_file=open_file, sync_seconds=1e9)
    writer.write(batch_of(some(3)))
    kept = opened[0].getvalue()
    with pytest.raises(OSError, match="No space"):
        writer.write(batch_of(some(40)))
    writer.write(batch_of(some(2)))
    assert len(opened) == 2
    assert sum(batch.rows for batch in Scan(kept)) == 3


def test_a_batch_that_fitted_in_part_is_taken_back(tmp_path: Path) -> None:
    """The segment goes on after its last whole batch when there is room again."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = SegmentWriter(tmp_path, "w")
    writer.write(batch_of(some(3)))
    size = writer._path.stat().st_size
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            writer.write(batch_of(some(40)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert writer._path.stat().st_size == size
    writer.write(batch_of(some(2)))
    writer.close()
    assert with_pyarrow(writer._path).num_rows == 5


def test_a_disk_without_room_for_a_beginning_keeps_no_empty_files(tmp_path: Path) -> None:
    """However often it is tried."""

    def open_file(path: Path) -> BinaryIO:
        path.touch()
        return FullDisk(10)

    writer = SegmentWriter(tmp_path, "w", open_file=open_file)
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            writer.write(batch_of(some(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_batch_without_rows_of_its_own_dictionary_is_small(tmp_path: Path) -> None:
    """What the rows of a batch have alike costs a byte a row, whatever its length."""
    events = [
        Event(event_id=one, kind="served", ts=1, model="m" * 99, digest="d" * 64, label="yes")
        for one in new_ids(4096)
    ]
    assert written(tmp_path, events).stat().st_size / 4096 < 140
    assert set(CODED) == {"kind", "endpoint", "model", "digest", "role", "label"}
    assert [field.name for field in FIELDS] == list(Event.__struct_fields__[:-1])


def test_the_reference_page_has_every_column_and_flag(project_root: Path) -> None:
    """In their order, with the bits that are written."""
    page = (project_root / "docs" / "reference" / "events.md").read_text("utf-8")
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row in Event.__struct_fields__] == [f.name for f in FIELDS]
    (flags,) = [line for line in page.splitlines() if line.startswith("| `flags`")]
    assert all(f" {bit} " in flags for bit in FLAG_BITS.values())
