"""Events in an object store: whole segments, through times when it is away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.optional import optional
from tests.runtime.sinking import batch_of, log_lines, some
from tests.runtime.waiting import until

from afterfit.runtime.events import SegmentWriter, read_segments
from afterfit.runtime.journal import Journal, refusal
from afterfit.runtime.metrics import Metrics
from afterfit.runtime.sinks.object_store import ObjectStoreSink, open_object_store
from afterfit.runtime.sinks.segments import SUFFIX


@pytest.fixture
def local() -> Any:
    """The filesystem of this machine as fsspec has it."""
    return optional("fsspec", "objectstore").filesystem("local")


class Away:
    """A filesystem that is away until it is told to be there."""

    def __init__(self, filesystem: Any) -> None:
        self.filesystem = filesystem
        self.there = threading.Event()
        self.tried = 0

    def makedirs(self, *arguments: Any, **options: Any) -> None:
        """Fail, or make folders."""
        self.tried += 1
        if not self.there.is_set():
            raise ConnectionError("no route to the store")
        self.filesystem.makedirs(*arguments, **options)

    def put_file(self, *arguments: Any) -> None:
        """Upload a file."""
        self.filesystem.put_file(*arguments)


def sink_of(filesystem: Any, base: Path, **options: Any) -> ObjectStoreSink:
    """A sink that uploads into ``base/store``."""
    return ObjectStoreSink(filesystem, f"{base}/store", "w", base / "spool", **options)


def test_whole_segments_arrive_by_day_and_leave_the_spool(tmp_path: Path, local: Any) -> None:
    """While the server runs, and the rest when it ends."""
    sink = sink_of(local, tmp_path, max_bytes=20_000)
    events = some(200)
    for start in range(0, 200, 20):
        sink.write(batch_of(events[start : start + 20]))
    until(lambda: bool(list(tmp_path.glob(f"store/date=*/*{SUFFIX}"))))
    sink.close()
    assert sorted(read_segments(tmp_path / "store"), key=lambda e: e.ts) == events
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_segment_ends_by_age_without_new_events(tmp_path: Path, local: Any) -> None:
    """So what was served is in the store soon, also when nobody asks any more."""
    sink = sink_of(local, tmp_path, max_seconds=0.2)
    journal = Journal(Metrics(), sink=sink)
    journal.put(refusal("refused", "x", ("m", 1, "d"), [""]))
    until(lambda: len(list(read_segments(tmp_path / "store"))) == 1)
    journal.close()


def test_a_store_that_is_away_is_tried_again_until_it_is_there(
    tmp_path: Path, local: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing waits for it, nothing is lost, and the log says when it began and when it ended."""
    store = Away(local)
    sink = sink_of(store, tmp_path, max_seconds=0.0, first_delay=0.01)
    for _ in range(5):
        sink.write(batch_of(some(4)))
    until(lambda: store.tried >= 3)
    store.there.set()
    sink.close()
    assert len(list(read_segments(tmp_path / "store"))) == 20
    lines = log_lines(capsys, "events_trouble", "events_recovered")
    assert [line["event"] for line in lines] == ["events_trouble", "events_recovered"]
    assert "no route to the store" in lines[0]["why"]


def test_a_full_spool_refuses_and_does_not_grow(tmp_path: Path, local: Any) -> None:
    """The newest events are lost and counted; those that wait arrive later."""
    store, metrics = Away(local), Metrics()
    sink = sink_of(store, tmp_path, max_seconds=0.0, spool_bytes=20_000, first_delay=0.01)
    journal = Journal(metrics, sink=sink)
    for _ in range(20):
        journal.put(refusal("refused", "x" * 400, ("m", 1, "d"), [""]))
        assert journal.flush()
    kept, failed = metrics.total("events_written"), metrics.total("events_failed")
    assert failed > 0
    assert kept + failed == 20
    assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) < 30_000
    store.there.set()
    journal.close()
    assert len(list(read_segments(tmp_path / "store"))) == kept


def test_closing_while_the_store_is_away_leaves_the_spool_for_the_next_process(
    tmp_path: Path, local: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which uploads it, and what a killed process left torn as well."""
    journal = Journal(Metrics(), sink=sink_of(Away(local), tmp_path))
    journal.put(refusal("refused", "x", ("m", 1, "d"), [""]))
    journal.close(1.0)
    assert log_lines(capsys, "events_left")[0]["files"] == 1
    script = """
import os, signal, sys
from pathlib import Path
from tests.runtime.sinking import batch_of, some
from afterfit.runtime.events import SegmentWriter
SegmentWriter(Path(sys.argv[1]), "killed").write(batch_of(some(7)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script, str(tmp_path / "spool")]
    done = subprocess.run(
        command, check=False, timeout=60, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert done.returncode == -9
    sink = sink_of(local, tmp_path)
    sink.write(batch_of(some(1)))
    sink.close()
    assert len(list(read_segments(tmp_path / "store"))) == 1 + 7 + 1
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_segment_that_another_process_uploaded_makes_room_too(tmp_path: Path, local: Any) -> None:
    """Two workers that begin at once may both find what a third one left."""
    left = SegmentWriter(tmp_path / "spool", "left")
    left.write(batch_of(some(100)))
    left.close()
    store = Away(local)
    sink = sink_of(store, tmp_path, first_delay=0.01)
    assert sink._pending > 0
    left._path.unlink()
    until(lambda: sink._pending == 0)
    sink.close()
    assert list(read_segments(tmp_path / "store")) == []


def test_a_segment_of_a_process_that_lives_is_not_taken(tmp_path: Path, local: Any) -> None:
    """Two workers may share a spool."""
    other = SegmentWriter(tmp_path / "spool", "other")
    other.write(batch_of(some(2)))
    sink = sink_of(local, tmp_path)
    sink.write(batch_of(some(1)))
    sink.close()
    assert len(list(read_segments(tmp_path / "store"))) == 1
    other.write(batch_of(some(2)))
    other.close()
    assert len(list(read_segments(tmp_path / "spool"))) == 4


def test_an_address_opens_a_store_with_a_spool_that_only_this_user_can_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through fsspec, here its store in memory; somebody else's folder is not used."""
    fsspec = optional("fsspec", "objectstore")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sink = open_object_store("memory://bucket/events", "w")
    sink.write(batch_of(some(3)))
    sink.close()
    stored = fsspec.filesystem("memory").find("/bucket/events")
    assert len(stored) == 1
    assert stored[0].endswith(SUFFIX)
    assert sink.spool.stat().st_mode & 0o777 == 0o700
    sink.spool.chmod(0o777)
    again = open_object_store("memory://bucket/events", "w")
    again.close()
    assert again.spool != sink.spool
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_s3_itself_where_its_packages_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small S3 in this process; its packages are no part of the locked environment."""
    server = pytest.importorskip("moto.server", reason="NOT RUN: S3 needs moto[server] and s3fs")
    fsspec = pytest.importorskip("s3fs", reason="NOT RUN: S3 needs moto[server] and s3fs")
    threaded = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    threaded.start()
    try:
        host, port = threaded.get_host_and_port()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        store = fsspec.S3FileSystem()
        store.mkdir("bucket")
        sink = open_object_store("s3://bucket/events", "w")
        events = some(30)
        sink.write(batch_of(events))
        sink.close()
        (found,) = store.find("bucket/events")
        store.get_file(found, str(tmp_path / Path(found).name))
        assert list(read_segments(tmp_path)) == events
    finally:
        threaded.stop()
